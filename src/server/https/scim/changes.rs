//! What a request asserts, compared with the record: the HR events that make up the difference.

use std::collections::BTreeSet;

use crate::domain::directory::AccountState;
use crate::domain::record::hr::{Hold, HrChange, HrEvent};
use crate::domain::state::State;
use crate::domain::value::ids::{AccountId, HoldId, Identity, PersonId};
use crate::domain::value::time::{Now, Timestamp};

/// What is kept of a user, as it is or as it is wished. Who does not work here has neither manager nor logins.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Standing {
    pub(super) active: bool,
    pub(super) manager: Option<PersonId>,
    pub(super) logins: BTreeSet<Identity>,
}

impl Standing {
    /// A person's, by comparison with the time, whatever the timer has recorded.
    pub(super) fn of(state: &State, id: &PersonId, now: Now) -> Option<Self> {
        let organisation = state.organisation();
        let person = organisation.people().get(id)?;
        if !person.is_employed(now.latest) {
            return Some(Self::default());
        }
        let accounts = organisation.accounts_of(id);
        let own = accounts.filter(|(_, account)| !account.is_machine() && account.state != AccountState::Closed);
        let identities = own.flat_map(|(_, account)| account.identities.iter());
        let logins = identities.chain(&person.login).cloned().collect();
        Some(Self { active: true, manager: person.manager_at(now.latest).cloned(), logins })
    }
}

/// What has to happen to get from one to the other, at an instant that has come.
pub(super) fn between(person: &PersonId, present: &Standing, wished: &Standing, at: Timestamp) -> Vec<HrEvent> {
    let changes = match (present.active, wished.active) {
        (false, false) => Vec::new(),
        (false, true) => {
            vec![HrChange::Joined { login: wished.logins.clone(), manager: wished.manager.clone() }]
        }
        (true, false) => return vec![leaving(person, at)],
        (true, true) => {
            let renamed = (present.logins != wished.logins).then(|| HrChange::Renamed { login: wished.logins.clone() });
            let manager = (present.manager != wished.manager).then(|| wished.manager.clone());
            let moved = manager.map(|manager| HrChange::Transferred { manager, at });
            renamed.into_iter().chain(moved).collect()
        }
    };
    changes.into_iter().map(|change| HrEvent { person: person.clone(), change }).collect()
}

/// As the only event of its command it passes the brake: a single urgent departure always does.
pub(super) fn leaving(person: &PersonId, at: Timestamp) -> HrEvent {
    HrEvent { person: person.clone(), change: HrChange::Left { at, urgent: true, also_approved: false } }
}

/// Whether something of a person waits behind the brake.
pub(super) fn waits(state: &State, person: &PersonId) -> bool {
    state.holds().values().any(|hold| hold.events.iter().any(|event| event.person == *person))
}

/// The hold in which these very events already wait, if they are the last that wait for their person and came from this
/// sender.
pub(super) fn waiting(state: &State, sender: &AccountId, events: &[HrEvent]) -> Option<HoldId> {
    let person = &events.first()?.person;
    let mut holds: Vec<&Hold> = state.holds().values().collect();
    holds.sort_by_key(|hold| hold.after);
    let held = holds.iter().flat_map(|hold| hold.events.iter().map(move |event| (*hold, event)));
    let held: Vec<(&Hold, &HrEvent)> = held.filter(|(_, event)| event.person == *person).collect();
    let last = held.get(held.len().checked_sub(events.len())?..)?;
    let all = last.iter().zip(events).all(|((hold, held), event)| hold.sender == *sender && is_same(held, event));
    last.first().filter(|_| all).map(|(hold, _)| hold.id)
}

/// The same but for the instant: what is said over SCIM is of now.
fn is_same(held: &HrEvent, said: &HrEvent) -> bool {
    match (&held.change, &said.change) {
        (HrChange::Transferred { manager: held, .. }, HrChange::Transferred { manager: said, .. }) => held == said,
        (held, said) => held == said,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(present: &Standing, wished: &Standing) -> Vec<&'static str> {
        let events = between(&"ana".parse().unwrap(), present, wished, Timestamp::MIN);
        events.iter().map(|event| event.change.name()).collect()
    }

    #[test]
    fn the_difference_alone_becomes_events_and_a_leaving_stands_by_itself() {
        let gone = Standing::default();
        let here = Standing { active: true, ..Standing::default() };
        let other = Standing {
            active: true,
            manager: Some("bob".parse().unwrap()),
            logins: ["spiffe://n.example/ana".parse().unwrap()].into(),
        };
        assert!(names(&here, &here).is_empty() && names(&gone, &gone).is_empty());
        assert_eq!(names(&gone, &other), ["JOINED"]);
        assert_eq!(names(&here, &other), ["RENAMED", "TRANSFERRED"]);
        assert_eq!(names(&here, &Standing { active: false, ..other.clone() }), ["LEFT"]);
        assert!(names(&gone, &Standing { active: false, ..other }).is_empty(), "a manager of somebody who left");
    }
}
