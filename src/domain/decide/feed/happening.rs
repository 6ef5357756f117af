//! Applies one event of a feed with all that follows from it, and names the author of what is sent.

use super::rewriting;
use crate::domain::decide::caller::Caller;
use crate::domain::directory::{BroughtBy, tenant_named_by};
use crate::domain::effect::life;
use crate::domain::effect::life::{Arriving, LoginsDifference};
use crate::domain::effect::overlay::Overlay;
use crate::domain::record::event::{Fact, FeedFact, HrEventApplied};
use crate::domain::record::hr::{HrChange, HrEvent, StreamPlace};
use crate::domain::state::State;
use crate::domain::state::organisation::Organisation;
use crate::domain::value::ids::{PersonId, TenantName};
use crate::domain::value::refusal::{Reason, Refusal};

/// An event that was sent, with its place in a stream.
pub(super) struct Sent {
    pub(super) place: Option<StreamPlace>,
    pub(super) event: HrEvent,
}

/// One event, and all that follows; of a tenant's feed, within the tenant. `by`: the feed that brings whoever joins.
pub(super) fn happen(
    overlay: &mut Overlay,
    tenant: Option<&TenantName>,
    by: Option<&BroughtBy>,
    place: Option<&StreamPlace>,
    released: bool,
    event: &HrEvent,
) -> Result<(), Refusal> {
    let person = &event.person;
    overlay.record([applied(place, released, event)]);
    life::settle(overlay, person);
    match &event.change {
        HrChange::Joined { login, manager } => {
            let arriving = Arriving { tenant, by, person, login, manager: manager.as_ref() };
            life::join(overlay, arriving, released)
        }
        HrChange::Renamed { login } => life::rename(overlay, by, person, login, released),
        HrChange::LoginsChanged { added, removed } => {
            // What waits was said before: it gives nothing back. What is let go comes in the order in which it was said.
            if !released {
                rewriting::strip(overlay, person, removed);
            }
            life::change_logins(overlay, by, person, &LoginsDifference { added, removed, let_go: released })
        }
        HrChange::Transferred { manager, .. } if tenant.is_some() => life::report_to(overlay, person, manager.as_ref()),
        HrChange::Transferred { manager, at } => life::transfer(overlay, person, manager.as_ref(), *at),
        HrChange::Left { at, urgent, also_approved } => life::leave(overlay, person, *at, *urgent, *also_approved),
        HrChange::Stays => life::stay(overlay, person),
        // Only a tenant's feed gives roles, and `tenant.rs` applies them.
        HrChange::Roles { .. } => Ok(()),
    }
}

pub(super) fn applied(place: Option<&StreamPlace>, released: bool, event: &HrEvent) -> Fact {
    Fact::Feed(FeedFact::EventApplied(HrEventApplied { place: place.cloned(), released, event: event.clone() }))
}

/// The person who answers for what the caller sends: its own, or the machine's owner.
pub(super) fn author(state: &State, caller: &Caller<'_>) -> Option<PersonId> {
    state.organisation.accounts.get(caller.account).map(|account| account.person().clone())
}

/// Nobody widens what they themselves may do (design.md 7), but anybody may send their own leaving, or that an identity of
/// theirs is theirs no longer.
pub(super) fn not_own(author: Option<&PersonId>, event: &HrEvent) -> Result<(), Refusal> {
    let narrows = event.change.is_leaving() || event.change.only_takes_logins();
    if author == Some(&event.person) && !narrows {
        return Err(Refusal::new(Reason::OwnStanding, format!("`{}`", event.person)).with("person", &event.person));
    }
    Ok(())
}

/// A tenant's people are its own feed's to tell of, as are customers' roles, and ids that begin with its name.
///
/// # Errors
/// `OUTSIDE_TENANT`: in one way, whether somebody is called so or not.
pub(super) fn of_own_organisation(organisation: &Organisation, event: &HrEvent) -> Result<(), Refusal> {
    let of_tenant = match organisation.people().get(&event.person) {
        Some(person) => person.tenant.is_some(),
        None => tenant_named_by(organisation.tenants(), event.person.as_str()).is_some(),
    };
    if of_tenant || matches!(event.change, HrChange::Roles { .. }) {
        let detail = format!("`{}`: of tenants' people and their roles their own feeds tell", event.person);
        return Err(Refusal::new(Reason::OutsideTenant, detail).with("person", &event.person));
    }
    Ok(())
}
