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
    /// What a wish says of the logins is all of them. Otherwise it says what is added and what is taken, and others may have
    /// changed the rest meanwhile.
    pub(super) is_whole: bool,
    /// The logins that a wish takes by name.
    pub(super) gone: BTreeSet<Identity>,
    /// What would be given by what waits behind the brake, of whom something is to be changed.
    pub(super) awaited: BTreeSet<Identity>,
}

impl Standing {
    /// Wishes for some logins more.
    pub(super) fn add(&mut self, logins: BTreeSet<Identity>) {
        self.gone.retain(|login| !logins.contains(login));
        self.logins.extend(logins);
    }

    /// Wishes that a login be gone.
    pub(super) fn take(&mut self, login: &Identity) {
        self.logins.remove(login);
        self.gone.insert(login.clone());
    }

    /// Wishes for these logins and no others.
    pub(super) fn say_all(&mut self, logins: BTreeSet<Identity>) {
        self.logins = logins;
        self.is_whole = true;
    }

    /// How the logins have to change to be as wished.
    fn renamed(&self, wished: &Self) -> Option<HrChange> {
        if wished.is_whole {
            let differs = self.logins != wished.logins || !self.awaited.is_subset(&wished.logins);
            return differs.then(|| HrChange::Renamed { login: wished.logins.clone() });
        }
        let has = |login: &&Identity| self.logins.contains(*login) || self.awaited.contains(*login);
        let added: BTreeSet<Identity> = wished.logins.difference(&self.logins).cloned().collect();
        let removed: BTreeSet<Identity> = wished.gone.iter().filter(has).cloned().collect();
        (!added.is_empty() || !removed.is_empty()).then_some(HrChange::LoginsChanged { added, removed })
    }

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
        let manager = person.manager_at(now.latest).cloned();
        Some(Self { active: true, manager, logins, ..Self::default() })
    }

    /// The same, with what waits. Whoever only reads asks about many, and a hold may be long.
    pub(super) fn with_awaited(self, state: &State, id: &PersonId) -> Self {
        let gives = state.held_of(id).filter_map(|(_, event)| event.change.gives());
        Self { awaited: gives.flatten().cloned().collect(), ..self }
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
            let renamed = present.renamed(wished);
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
    state.held_of(person).next().is_some()
}

/// The hold in which these very events already wait, if they are the last that wait for their person and came from this
/// sender.
pub(super) fn waiting(state: &State, sender: &AccountId, events: &[HrEvent], now: Now) -> Option<HoldId> {
    let person = &events.first()?.person;
    let held: Vec<(&Hold, &HrEvent)> = state.held_of(person).collect();
    let last = held.get(held.len().checked_sub(events.len())?..)?;
    let present = Standing::of(state, person, now).unwrap_or_default();
    let all = last
        .iter()
        .zip(events)
        .all(|((hold, held), event)| hold.sender == *sender && is_same(held, event, &present.logins));
    last.first().filter(|_| all).map(|(hold, _)| hold.id)
}

/// The hold in which an event waits that was just sent, or what it gives.
pub(super) fn held_in(state: &State, events: &[HrEvent]) -> Option<HoldId> {
    let is_rest = |held: &HrEvent, said: &HrEvent| match (&held.change, &said.change) {
        (HrChange::LoginsChanged { added, .. }, HrChange::Renamed { login }) => added.is_subset(login),
        (HrChange::LoginsChanged { added: held, .. }, HrChange::LoginsChanged { added, .. }) => {
            !added.is_empty() && held == added
        }
        _ => held.change == said.change,
    };
    let mut held =
        events.iter().flat_map(|said| state.held_of(&said.person).map(move |(hold, held)| (hold, held, said)));
    held.find(|(_, held, said)| is_rest(held, said)).map(|(hold, ..)| hold.id)
}

/// The same but for the instant: what is said over SCIM is of now. Of all logins that are said, those wait that are not
/// there yet.
fn is_same(held: &HrEvent, said: &HrEvent, present: &BTreeSet<Identity>) -> bool {
    match (&held.change, &said.change) {
        (HrChange::LoginsChanged { added, removed }, HrChange::Renamed { login }) => {
            removed.is_empty() && present.union(added).eq(login)
        }
        (HrChange::Transferred { manager: held, .. }, HrChange::Transferred { manager: said, .. }) => held == said,
        (HrChange::Left { urgent: true, .. }, HrChange::Left { urgent: true, .. }) => true,
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
            ..Standing::default()
        };
        assert!(names(&here, &here).is_empty() && names(&gone, &gone).is_empty());
        assert_eq!(names(&gone, &other), ["JOINED"]);
        assert_eq!(names(&here, &other), ["RENAMED", "TRANSFERRED"]);
        assert_eq!(names(&here, &Standing { active: false, ..other.clone() }), ["LEFT"]);
        assert!(names(&gone, &Standing { active: false, ..other }).is_empty(), "a manager of somebody who left");
    }
}
