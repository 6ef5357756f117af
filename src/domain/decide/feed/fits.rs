//! Whether a held event can still be applied: what has happened meanwhile, or no longer can, is left out.

use super::happening::of_own_organisation;
use crate::domain::directory::{Employment, Person};
use crate::domain::effect::life;
use crate::domain::effect::life::{Arriving, Claim, LoginsDifference};
use crate::domain::effect::overlay::Overlay;
use crate::domain::record::event::Actor;
use crate::domain::record::hr::{HrChange, HrEvent};
use crate::domain::value::ids::{Identity, PersonId};
use crate::domain::value::limits::{ANNOUNCED_MOVES, IDENTITIES};

/// Whether the event can be applied now; changes nothing.
pub(super) fn fits(overlay: &Overlay, event: &HrEvent) -> bool {
    let (organisation, now) = (overlay.state().organisation(), overlay.clocks().latest);
    let id = &event.person;
    let person = organisation.people().get(id);
    let employed = organisation.employed(id, now);
    match &event.change {
        // Tried on a copy, because joining itself frees the person's former reports, who may be their manager now.
        HrChange::Joined { login, manager } => {
            if of_own_organisation(organisation, event).is_err() {
                return false;
            }
            let mut tried = Overlay::new(overlay.state(), Actor::Broker, overlay.clocks());
            let arriving = Arriving { tenant: None, by: None, person: id, login, manager: manager.as_ref() };
            life::join(&mut tried, arriving, true).is_ok()
        }
        HrChange::Renamed { login } => {
            employed.is_some() && login.len() <= IDENTITIES && is_free(overlay, login, Some(id))
        }
        HrChange::LoginsChanged { added, removed } => {
            let mut tried = Overlay::new(overlay.state(), Actor::Broker, overlay.clocks());
            let difference = LoginsDifference { added, removed, let_go: true };
            is_free(overlay, added, Some(id)) && life::change_logins(&mut tried, None, id, &difference).is_ok()
        }
        HrChange::Transferred { manager, at } => {
            let closes_circle = |manager| manager == id || life::no_cycle(overlay, id, manager, now.max(*at)).is_err();
            let has_room = |person: &Person| {
                at.is_over(now)
                    || person.moves.len() < ANNOUNCED_MOVES
                    || person.moves.iter().any(|moves| moves.at == *at)
            };
            employed.is_some_and(has_room) && !manager.as_ref().is_some_and(closes_circle)
        }
        HrChange::Left { .. } => person.is_some_and(|person| person.employment == Employment::Employed),
        HrChange::Stays => employed.is_some_and(|person| person.employed_until.is_some()),
        HrChange::Roles { .. } => false,
    }
}

fn is_free<'a>(overlay: &Overlay, login: impl IntoIterator<Item = &'a Identity>, own: Option<&PersonId>) -> bool {
    let (organisation, now) = (overlay.state().organisation(), overlay.clocks().latest);
    login.into_iter().all(|identity| match life::taken(organisation, identity, own, now) {
        Claim::Own => true,
        Claim::Free => organisation.policy().may_be_a_persons(identity),
        Claim::Taken => false,
    })
}
