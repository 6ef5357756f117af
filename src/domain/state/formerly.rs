//! Who had an identity before, kept for 180 days: by it no identity wanders from one person to another unseen, and whoever
//! presents one that was behind a request is known for it (known failure B10).
//!
//! What is noted here, and when, is `identities.rs`.

use std::collections::BTreeMap;

use crate::domain::value::ids::{AccountId, Identity, PersonId};
use crate::domain::value::index::{Index, Map, Set};
use crate::domain::value::time::Timestamp;

/// An identity that somebody had and has no longer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Lost {
    pub(super) at: Timestamp,
    pub(super) sequence: u64,
    /// The machine that it meant, or the account that was shut with it: what the person does by others does not hang on it.
    pub(super) of_account: Option<AccountId>,
    pub(super) of_machine: bool,
}

/// What people had and have no longer.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Formerly {
    lost: Map<Identity, BTreeMap<PersonId, Lost>>,
    by_person: Index<PersonId, Identity>,
    by_age: Set<(Timestamp, Identity, PersonId)>,
}

impl Formerly {
    pub(super) fn note(&mut self, identity: Identity, person: PersonId, lost: Lost) {
        self.forget(&identity, &person);
        self.by_age.insert((lost.at, identity.clone(), person.clone()));
        self.by_person.insert(person.clone(), identity.clone());
        self.lost.or_default(identity).insert(person, lost);
    }

    fn forget(&mut self, identity: &Identity, person: &PersonId) {
        let Some(of) = self.lost.get_mut(identity) else { return };
        let Some(old) = of.remove(person) else { return };
        if of.is_empty() {
            self.lost.remove(identity);
        }
        self.by_person.remove(person, identity);
        self.by_age.remove(&(old.at, identity.clone(), person.clone()));
    }

    /// What somebody has again they have not lost: the person, or the very machine.
    pub(super) fn has_again(&mut self, identity: &Identity, person: &PersonId, machine: Option<&AccountId>) {
        let lost = self.lost.get(identity).and_then(|of| of.get(person));
        let by_the_same = |lost: &Lost| match machine {
            None => !lost.of_machine,
            Some(machine) => lost.of_machine && lost.of_account.as_ref() == Some(machine),
        };
        if lost.is_some_and(by_the_same) {
            self.forget(identity, person);
        }
    }

    /// All that a person has lost.
    pub(super) fn lost_by(&self, person: &PersonId) -> impl Iterator<Item = &Lost> {
        self.by_person.of(person).filter_map(|identity| self.lost.get(identity)?.get(person))
    }

    /// Forgets what was lost before an instant.
    pub(in crate::domain) fn forget_before(&mut self, before: Timestamp) {
        while let Some((_, identity, person)) = self.by_age.get_min().filter(|(at, ..)| *at < before).cloned() {
            self.forget(&identity, &person);
        }
    }

    /// When the oldest was lost that is remembered.
    #[must_use]
    pub fn oldest(&self) -> Option<Timestamp> {
        self.by_age.get_min().map(|(at, ..)| *at)
    }

    pub(super) fn of(&self, identity: &Identity) -> impl Iterator<Item = (&PersonId, &Lost)> {
        self.lost.get(identity).into_iter().flatten()
    }
}
