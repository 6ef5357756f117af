//! What a request asserts, compared with the record: the HR events that make up the difference.

use std::collections::BTreeSet;

use crate::domain::directory::AccountState;
use crate::domain::hr::{HrChange, HrEvent};
use crate::domain::ids::{Identity, PersonId};
use crate::domain::state::State;
use crate::domain::time::{Now, Timestamp};

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
        // Alone, so that the brake lets it pass: a single urgent leaving always does.
        (true, false) => vec![HrChange::Left { at, urgent: true, also_approved: false }],
        (true, true) => {
            let renamed = (present.logins != wished.logins).then(|| HrChange::Renamed { login: wished.logins.clone() });
            let manager = (present.manager != wished.manager).then(|| wished.manager.clone());
            let moved = manager.map(|manager| HrChange::Transferred { manager, at });
            renamed.into_iter().chain(moved).collect()
        }
    };
    changes.into_iter().map(|change| HrEvent { person: person.clone(), change }).collect()
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
