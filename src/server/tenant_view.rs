//! What a customer sees of what touches its tenant: who asked, for what, why and how long, and what became of it. Not
//! what colleagues of the own organisation wrote to each other, nor what their eligibility rests on.

use std::borrow::Cow;
use std::collections::BTreeSet;

use crate::domain::policy::{Entitlement, Terms};
use crate::domain::record::event::{ElevationFact, Event, Fact, FeedFact, GrantFact, OrganisationFact};
use crate::domain::rule::visibility::Viewer;
use crate::domain::state::State;
use crate::domain::state::organisation::Organisation;
use crate::domain::value::ids::{AccountId, EntitlementName, TenantName};
use crate::wire::{organisation, v1 as pb};

/// The tenant of a viewer who is a customer.
fn tenant<'a>(organisation: &'a Organisation, viewer: &Viewer) -> Option<&'a TenantName> {
    organisation.tenant_of_account(viewer.account().ok()?)
}

fn is_own(organisation: &Organisation, tenant: &TenantName, account: &str) -> bool {
    let account = account.strip_prefix("account:").unwrap_or(account);
    account.parse::<AccountId>().is_ok_and(|id| organisation.tenant_of_account(&id) == Some(tenant))
}

fn close(organisation: &Organisation, tenant: &TenantName, closing: Option<&mut pb::Closing>) {
    if let Some(closing) = closing.filter(|closing| !is_own(organisation, tenant, &closing.actor)) {
        closing.comment.clear();
    }
}

/// An elevation, as a viewer is told it.
pub(super) fn elevation(state: &State, viewer: &Viewer, mut told: pb::Elevation) -> pb::Elevation {
    let organisation = state.organisation();
    let Some(tenant) = tenant(organisation, viewer) else { return told };
    close(organisation, tenant, told.closing.as_mut());
    for decision in told.review.iter_mut().flat_map(|review| &mut review.decisions) {
        if !is_own(organisation, tenant, &decision.account) {
            decision.comment.clear();
            // Which lock stops a colleague of theirs is for that colleague to know.
            decision.suspended = None;
        }
    }
    if let Some(completion) = told.follow_up.as_mut().and_then(|it| it.completion.as_mut()) {
        completion.comment.clear();
    }
    told
}

/// A grant, as a viewer is told it.
pub(super) fn grant(state: &State, viewer: &Viewer, mut told: pb::Grant) -> pb::Grant {
    let organisation = state.organisation();
    let Some(tenant) = tenant(organisation, viewer) else { return told };
    close(organisation, tenant, told.closing.as_mut());
    if !is_own(organisation, tenant, &told.holder_account) {
        told.end_because_name.clear();
    }
    told
}

/// An event, as a viewer is told it: of what colleagues decided, that they did.
pub(super) fn event(state: &State, viewer: &Viewer, it: &Event, mut told: pb::Event) -> pb::Event {
    if withholds(state, viewer, it) {
        told.facts_json.clear();
    }
    told
}

/// Whether the facts of an event are withheld from a viewer: a customer gets those of what its own accounts did, and
/// not of what followed for the own organisation.
pub(super) fn withholds(state: &State, viewer: &Viewer, event: &Event) -> bool {
    let organisation = state.organisation();
    let Some(tenant) = tenant(organisation, viewer) else { return false };
    let is_told = match &event.fact {
        Fact::Elevation(ElevationFact::Requested(_))
        | Fact::Elevation(ElevationFact::ApprovalRecorded(_))
        | Fact::Elevation(ElevationFact::Denied(_))
        | Fact::Elevation(ElevationFact::Withdrawn(_))
        | Fact::Grant(GrantFact::Relinquished(_))
        | Fact::Grant(GrantFact::Revoked(_))
        | Fact::Grant(GrantFact::TokenIssued(_))
        | Fact::Feed(FeedFact::EventApplied(_))
        | Fact::Feed(FeedFact::Heard(_))
        | Fact::Organisation(OrganisationFact::PersonRecorded(_))
        | Fact::Organisation(OrganisationFact::AccountRecorded(_)) => true,
        Fact::Grant(GrantFact::Issued(grant)) => organisation.tenant_of_account(&grant.holder) == Some(tenant),
        _ => false,
    };
    !is_told || !is_own(organisation, tenant, &event.actor.to_string())
}

/// An entitlement, as a viewer is told it: a customer the part that lies in its tenant, and its own roles.
pub(super) fn entitlement(state: &State, viewer: &Viewer, name: &EntitlementName, it: &Entitlement) -> pb::Entitlement {
    let organisation = state.organisation();
    let customer = tenant(organisation, viewer);
    let seen = customer.map(|tenant| {
        let held = viewer.account().ok().and_then(|id| organisation.accounts().get(id));
        let own = |role: &&_| held.is_some_and(|account| account.roles.contains_key(*role));
        let requestable_by: BTreeSet<_> = it.terms.requestable_by.iter().filter(own).cloned().collect();
        let scope = it.terms.scope.of_tenant(tenant.as_str()).unwrap_or_else(|| it.terms.scope.clone());
        Cow::<Entitlement>::Owned(Entitlement {
            terms: Terms { scope, requestable_by, ..it.terms.clone() },
            ..it.clone()
        })
    });
    let mut told = organisation::entitlement(name, &seen.unwrap_or(Cow::Borrowed(it)));
    if customer.is_some() {
        // The digest is over all terms, so hidden ones could be guessed from it.
        told.terms_digest.clear();
    }
    told
}
