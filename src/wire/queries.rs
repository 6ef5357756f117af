//! From messages to questions: lists with their filters, watches, checks. An unknown or UNSPECIFIED value of an enum is
//! refused, so that a filter never means more than it says (known failure D12).

use super::commands::{actions, resources};
use super::message::{Fields, InvalidMessage};
use super::v1 as pb;
use super::values::{SaidSequence, duration, optional, parsed, sequence, timestamp};
use crate::domain::record::command::RequestElevation;
use crate::domain::value::ids::{
    AccountId, ElevationId, EntitlementName, GrantId, Identity, PersonId, RoleName, excerpt,
};
use crate::domain::value::scope::{Action, Resource};

/// The size of a page where the request names none, and the largest.
pub const PAGE_SIZE: (usize, usize) = (50, 500);
/// Questions of one batch.
pub const LARGEST_BATCH: usize = 128;

/// The part that all lists have in common.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Paging {
    /// At most so many.
    pub size: usize,
    /// The token of the page before; empty: the first page.
    pub token: String,
    /// The least sequence of the view.
    pub min_sequence: Option<SaidSequence>,
}

impl Paging {
    pub(super) fn parse(fields: &mut Fields, size: i32, token: &str, min_sequence: &str) -> Option<Self> {
        let (usual, most) = PAGE_SIZE;
        let size = match usize::try_from(size) {
            Ok(0) => Ok(usual),
            Ok(size) if size <= most => Ok(size),
            _ => Err(format!("`{size}`; 1 to {most} is wanted, or 0 for {usual}")),
        };
        let size = fields.take("page_size", size);
        let min_sequence = fields.take("min_sequence", sequence(min_sequence));
        let token = fields.take("page_token", super::values::text(token.to_owned(), 0, 512));
        Some(Self { size: size?, token: token?, min_sequence: min_sequence? })
    }
}

/// `ListEntitlements`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Catalogue {
    /// Which page.
    pub paging: Paging,
    /// This one alone.
    pub entitlement: Option<EntitlementName>,
    /// For whom a machine would ask.
    pub on_behalf_of: Option<PersonId>,
}

impl TryFrom<&pb::ListEntitlementsRequest> for Catalogue {
    type Error = InvalidMessage;

    fn try_from(message: &pb::ListEntitlementsRequest) -> Result<Self, InvalidMessage> {
        let mut fields = Fields::default();
        let paging = Paging::parse(&mut fields, message.page_size, &message.page_token, &message.min_sequence);
        let entitlement = fields.take("entitlement", optional(&message.entitlement));
        let on_behalf_of = fields.take("on_behalf_of", optional(&message.on_behalf_of));
        let query = || Some(Self { paging: paging?, entitlement: entitlement?, on_behalf_of: on_behalf_of? });
        let query = query();
        fields.finish(query)
    }
}

/// `ListElevations`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Elevations {
    /// Which page.
    pub paging: Paging,
    /// What they are to the caller.
    pub relation: pb::ElevationRelation,
    /// In these states; empty: in whatever state.
    pub states: Vec<pb::ElevationState>,
    /// Of this entitlement.
    pub entitlement: Option<EntitlementName>,
    /// Asked for by this account.
    pub requester: Option<AccountId>,
}

impl TryFrom<&pb::ListElevationsRequest> for Elevations {
    type Error = InvalidMessage;

    fn try_from(message: &pb::ListElevationsRequest) -> Result<Self, InvalidMessage> {
        let mut fields = Fields::default();
        let paging = Paging::parse(&mut fields, message.page_size, &message.page_token, &message.min_sequence);
        let relation = fields.take("relation", known::<pb::ElevationRelation>(message.relation));
        let states = all_known(&mut fields, "states", &message.states);
        let entitlement = fields.take("entitlement", optional(&message.entitlement));
        let requester = fields.take("requester_account", optional(&message.requester_account));
        let query = || {
            Some(Self {
                paging: paging?,
                relation: relation?,
                states,
                entitlement: entitlement?,
                requester: requester?,
            })
        };
        let query = query();
        fields.finish(query)
    }
}

/// `ListGrants`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grants {
    /// Which page.
    pub paging: Paging,
    /// What they are to the caller.
    pub relation: pb::GrantRelation,
    /// In these states; empty: in whatever state.
    pub states: Vec<pb::GrantState>,
    /// Of this entitlement.
    pub entitlement: Option<EntitlementName>,
    /// Held by this account.
    pub holder: Option<AccountId>,
}

impl TryFrom<&pb::ListGrantsRequest> for Grants {
    type Error = InvalidMessage;

    fn try_from(message: &pb::ListGrantsRequest) -> Result<Self, InvalidMessage> {
        let mut fields = Fields::default();
        let paging = Paging::parse(&mut fields, message.page_size, &message.page_token, &message.min_sequence);
        let relation = fields.take("relation", known::<pb::GrantRelation>(message.relation));
        let states = all_known(&mut fields, "states", &message.states);
        let entitlement = fields.take("entitlement", optional(&message.entitlement));
        let holder = fields.take("holder_account", optional(&message.holder_account));
        let query =
            || Some(Self { paging: paging?, relation: relation?, states, entitlement: entitlement?, holder: holder? });
        let query = query();
        fields.finish(query)
    }
}

/// `ListAccounts`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Accounts {
    /// Which page.
    pub paging: Paging,
    /// Of this kind.
    pub kind: Option<pb::AccountKind>,
    /// In this role.
    pub role: Option<RoleName>,
    /// Of this person, or owned by them.
    pub person: Option<PersonId>,
}

impl TryFrom<&pb::ListAccountsRequest> for Accounts {
    type Error = InvalidMessage;

    fn try_from(message: &pb::ListAccountsRequest) -> Result<Self, InvalidMessage> {
        let mut fields = Fields::default();
        let paging = Paging::parse(&mut fields, message.page_size, &message.page_token, &message.min_sequence);
        let kind = match message.kind {
            0 => Some(None),
            kind => fields.take("kind", known::<pb::AccountKind>(kind)).map(Some),
        };
        let role = fields.take("role", optional(&message.role));
        let person = fields.take("person", optional(&message.person));
        let query = || Some(Self { paging: paging?, kind: kind?, role: role?, person: person? });
        let query = query();
        fields.finish(query)
    }
}

/// `ListPersons`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Persons {
    /// Which page.
    pub paging: Paging,
    /// With this manager.
    pub manager: Option<PersonId>,
}

impl TryFrom<&pb::ListPersonsRequest> for Persons {
    type Error = InvalidMessage;

    fn try_from(message: &pb::ListPersonsRequest) -> Result<Self, InvalidMessage> {
        let mut fields = Fields::default();
        let paging = Paging::parse(&mut fields, message.page_size, &message.page_token, &message.min_sequence);
        let manager = fields.take("manager", optional(&message.manager));
        let query = || Some(Self { paging: paging?, manager: manager? });
        let query = query();
        fields.finish(query)
    }
}

/// After which sequence, and of which thing alone.
impl TryFrom<&pb::WatchElevationsRequest> for (Option<SaidSequence>, Option<ElevationId>) {
    type Error = InvalidMessage;

    fn try_from(message: &pb::WatchElevationsRequest) -> Result<Self, InvalidMessage> {
        let mut fields = Fields::default();
        let after = fields.take("after_sequence", sequence(&message.after_sequence));
        let id = fields.take("elevation_id", optional(&message.elevation_id));
        fields.finish(after.zip(id))
    }
}

/// After which sequence, and of which thing alone.
impl TryFrom<&pb::WatchGrantsRequest> for (Option<SaidSequence>, Option<GrantId>) {
    type Error = InvalidMessage;

    fn try_from(message: &pb::WatchGrantsRequest) -> Result<Self, InvalidMessage> {
        let mut fields = Fields::default();
        let after = fields.take("after_sequence", sequence(&message.after_sequence));
        let id = fields.take("grant_id", optional(&message.grant_id));
        fields.finish(after.zip(id))
    }
}

/// `ExplainElevation`: a request to think through.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Explained {
    /// The account that would ask; none: the caller's.
    pub account: Option<AccountId>,
    /// Empty actions and resources here mean: those that the entitlement offers.
    pub request: RequestElevation,
}

impl TryFrom<&pb::ExplainElevationRequest> for Explained {
    type Error = InvalidMessage;

    fn try_from(message: &pb::ExplainElevationRequest) -> Result<Self, InvalidMessage> {
        let mut fields = Fields::default();
        let account = fields.take("account", optional(&message.account));
        let entitlement = fields.take("entitlement", parsed(&message.entitlement));
        let actions = actions(&mut fields, &message.actions);
        let resources = resources(&mut fields, &message.resources);
        let duration = fields.take("duration", message.duration.as_ref().map(duration).transpose());
        let start = fields.take("start_time", message.start_time.as_ref().map(timestamp).transpose());
        let on_behalf_of = fields.take("on_behalf_of", optional(&message.on_behalf_of));
        let explained = || {
            let request = RequestElevation {
                entitlement: entitlement?,
                actions,
                resources,
                duration: duration?,
                start: start?,
                justification: String::new(),
                ticket: None,
                on_behalf_of: on_behalf_of?,
                extends: None,
                emergency: message.emergency,
            };
            Some(Self { account: account?, request })
        };
        let explained = explained();
        fields.finish(explained)
    }
}

/// Whether a question can be asked at all, without building anything: the check path.
///
/// # Errors
/// The fields that are malformed. `path` is what stands before their names.
pub fn check_query(path: &str, subject: &str, action: &str, resource: &str) -> Result<(), InvalidMessage> {
    let known_subject = AccountId::accepts(subject) || Identity::accepts(subject);
    if known_subject && Action::accepts(action) && Resource::accepts(resource) {
        return Ok(());
    }
    let mut fields = Fields::default();
    if !known_subject {
        let shown = excerpt(subject);
        fields.wrong(format!("{path}subject"), format!("`{shown}` is neither an account's id nor a SPIFFE ID"));
    }
    fields.take(format!("{path}action"), parsed::<Action>(action));
    fields.take(format!("{path}resource"), parsed::<Resource>(resource));
    fields.finish(None)
}

pub(super) fn known<E: TryFrom<i32> + Default + PartialEq>(value: i32) -> Result<E, String> {
    let known = E::try_from(value).ok().filter(|known| *known != E::default());
    known.ok_or_else(|| format!("`{value}` is not a value that this broker knows; say one of those in the API"))
}

pub(super) fn all_known<E: TryFrom<i32> + Default + PartialEq>(
    fields: &mut Fields,
    path: &str,
    values: &[i32],
) -> Vec<E> {
    let known = values.iter().enumerate();
    known.filter_map(|(at, value)| fields.take(format!("{path}[{at}]"), known_value(*value))).collect()
}

fn known_value<E: TryFrom<i32> + Default + PartialEq>(value: i32) -> Result<E, String> {
    known(value)
}

#[cfg(test)]
#[path = "queries_tests.rs"]
mod tests;
