//! One event of a feed: said of now, not of its own author, and all that it brings.

use crate::domain::decide::caller::Caller;
use crate::domain::effect::life;
use crate::domain::effect::life::Arriving;
use crate::domain::effect::overlay::Overlay;
use crate::domain::record::event::{Fact, FeedFact, HrEventApplied};
use crate::domain::record::hr::{HrChange, HrEvent, StreamPlace};
use crate::domain::state::State;
use crate::domain::value::ids::{PersonId, TenantName};
use crate::domain::value::refusal::{Reason, Refusal};

/// An event on its way, with its place.
pub(super) struct Sent {
    pub(super) place: Option<StreamPlace>,
    pub(super) event: HrEvent,
}

/// One event, and all that follows; of a tenant's feed, within the tenant.
pub(super) fn happen(
    overlay: &mut Overlay,
    tenant: Option<&TenantName>,
    place: Option<&StreamPlace>,
    released: bool,
    event: &HrEvent,
) -> Result<(), Refusal> {
    let person = &event.person;
    overlay.record([applied(place, released, event)]);
    life::settle(overlay, person);
    match &event.change {
        HrChange::Joined { login, manager } => {
            life::join(overlay, Arriving { tenant, person, login, manager: manager.as_ref() }, released)
        }
        HrChange::Renamed { login } => life::rename(overlay, person, login, released),
        HrChange::Transferred { manager, .. } if tenant.is_some() => life::report_to(overlay, person, manager.as_ref()),
        HrChange::Transferred { manager, at } => life::transfer(overlay, person, manager.as_ref(), *at),
        HrChange::Left { at, urgent, also_approved } => life::leave(overlay, person, *at, *urgent, *also_approved),
        HrChange::Stays => life::stay(overlay, person),
        // Given by a tenant's feed alone, which decides on it itself.
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

/// Nobody widens what they themselves may do (design.md 7); that they leave they may say.
pub(super) fn not_own(author: Option<&PersonId>, event: &HrEvent) -> Result<(), Refusal> {
    if author == Some(&event.person) && !event.change.is_leaving() {
        return Err(Refusal::new(Reason::OwnStanding, format!("`{}`", event.person)).with("person", &event.person));
    }
    Ok(())
}
