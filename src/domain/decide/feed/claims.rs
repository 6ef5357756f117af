//! Identities that would wander: what gives one that another person has, or had within 180 days, waits for somebody who is neither
//! of the two (known failure B10).

use std::collections::{BTreeMap, BTreeSet};

use super::taking;
use crate::domain::effect::life;
use crate::domain::effect::life::Claim;
use crate::domain::record::hr::{HrChange, HrEvent};
use crate::domain::state::organisation::Organisation;
use crate::domain::value::ids::{Identity, PersonId};
use crate::domain::value::time::Timestamp;

/// Whoever else has, or had lately, what an event gives.
pub(super) fn others(organisation: &Organisation, event: &HrEvent, at: Timestamp) -> BTreeSet<PersonId> {
    let claimed = event.change.gives().into_iter().flatten();
    claimed.flat_map(|identity| organisation.others_with(identity, &event.person, at)).collect()
}

/// What passes of one command, as far as it says whose identities are.
pub(super) struct Claims<'a> {
    organisation: &'a Organisation,
    at: Timestamp,
    /// Whom one means by it; nobody, once it is given up.
    given: BTreeMap<Identity, Option<PersonId>>,
    /// The same, from the other side.
    given_to: BTreeMap<PersonId, BTreeSet<Identity>>,
    /// Who had one by it, at whatever place in it.
    had: BTreeMap<Identity, BTreeSet<PersonId>>,
    left: BTreeSet<PersonId>,
}

impl<'a> Claims<'a> {
    pub(super) fn new(organisation: &'a Organisation, at: Timestamp) -> Self {
        let (given, given_to) = (BTreeMap::new(), BTreeMap::new());
        Self { organisation, at, given, given_to, had: BTreeMap::new(), left: BTreeSet::new() }
    }

    /// Whether an event would take over an identity that somebody else gave up. What somebody still has is no matter of letting
    /// go: such an event is refused.
    pub(super) fn wanders(&self, event: &HrEvent) -> bool {
        event.change.gives().into_iter().flatten().any(|identity| {
            let person = &event.person;
            let by_this = || self.had.get(identity).into_iter().flatten().any(|it| it != person);
            let is_others = by_this() || !self.organisation.others_with(identity, person, self.at).is_empty();
            is_others && self.is_given_up(identity, person)
        })
    }

    fn is_given_up(&self, identity: &Identity, claimer: &PersonId) -> bool {
        let has_left = |person: &PersonId| self.left.contains(person);
        match self.given.get(identity) {
            Some(None) => true,
            Some(Some(person)) => person == claimer || has_left(person),
            None => {
                let taken = life::taken(self.organisation, identity, Some(claimer), self.at) == Claim::Taken;
                !taken || self.organisation.others_with(identity, claimer, self.at).iter().all(has_left)
            }
        }
    }

    /// Takes note of what passes. `leaves` is for a leaving whose time has come.
    pub(super) fn passes(&mut self, event: &HrEvent, leaves: bool) {
        let person = &event.person;
        if leaves {
            self.left.insert(person.clone());
        }
        let Some(login) = event.change.gives() else { return };
        let has = self.has(person);
        let gone: Vec<&Identity> = match &event.change {
            HrChange::LoginsChanged { removed, .. } => removed.intersection(&has).collect(),
            HrChange::Joined { .. }
            | HrChange::Renamed { .. }
            | HrChange::Transferred { .. }
            | HrChange::Left { .. }
            | HrChange::Stays
            | HrChange::Roles { .. } => has.iter().collect(),
        };
        for identity in gone {
            self.had.entry(identity.clone()).or_default().insert(person.clone());
            self.given.insert(identity.clone(), None);
            self.given_to.entry(person.clone()).or_default().remove(identity);
        }
        for identity in login {
            self.had.entry(identity.clone()).or_default().insert(person.clone());
            self.given.insert(identity.clone(), Some(person.clone()));
            self.given_to.entry(person.clone()).or_default().insert(identity.clone());
        }
    }

    /// Whether somebody leaves by it.
    pub(super) fn has_left(&self, person: &PersonId) -> bool {
        self.left.contains(person)
    }

    /// What a person has by then and another name takes the place of.
    pub(super) fn has(&self, person: &PersonId) -> BTreeSet<Identity> {
        let given = self.given_to.get(person).into_iter().flatten().cloned();
        let all = taking::on_record(self.organisation, person).into_iter().chain(given);
        all.filter(|identity| self.given.get(identity).is_none_or(|holder| holder.as_ref() == Some(person))).collect()
    }
}
