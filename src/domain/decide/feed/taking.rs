//! What takes an identity away is never held up by what is held (design.md 4): a rename that waits gives up at once what it
//! takes, and only what it gives waits. The rest is written as a difference, so that when it is let go it neither brings back
//! nor takes away what was said meanwhile.

use std::collections::{BTreeMap, BTreeSet};

use crate::domain::effect::life;
use crate::domain::record::hr::{HrChange, HrEvent};
use crate::domain::state::State;
use crate::domain::state::organisation::Organisation;
use crate::domain::value::ids::{Identity, PersonId};
use crate::domain::value::time::Timestamp;

/// A rename, in its two parts.
pub(super) struct Parts {
    /// What takes away.
    pub(super) takes: Option<HrEvent>,
    /// What gives.
    pub(super) gives: Option<HrEvent>,
}

impl Parts {
    /// Of a rename of somebody who has identities, and of whom events wait that were said earlier.
    pub(super) fn of<'a>(
        event: &HrEvent,
        has: &BTreeSet<Identity>,
        waiting: impl Iterator<Item = &'a HrEvent>,
    ) -> Option<Self> {
        let (added, removed) = match &event.change {
            HrChange::LoginsChanged { added, removed } => (added.clone(), removed.clone()),
            HrChange::Renamed { login } => {
                let (mut awaited, mut stays) = (has.clone(), has.clone());
                for earlier in waiting {
                    awaited.extend(earlier.change.gives().into_iter().flatten().cloned());
                    if let HrChange::LoginsChanged { removed, .. } = &earlier.change {
                        stays.retain(|identity| !removed.contains(identity));
                    }
                }
                // What an earlier word that waits would take away is said to be theirs, and so is given anew.
                (login.difference(&stays).cloned().collect(), awaited.difference(login).cloned().collect())
            }
            HrChange::Joined { .. }
            | HrChange::Transferred { .. }
            | HrChange::Left { .. }
            | HrChange::Stays
            | HrChange::Roles { .. } => return None,
        };
        let nobody = BTreeSet::new;
        let part = |added, removed| HrEvent {
            person: event.person.clone(),
            change: HrChange::LoginsChanged { added, removed },
        };
        let gives = (!added.is_empty()).then(|| part(added, nobody()));
        // One that changes nothing has happened.
        let takes = (!removed.is_empty() || gives.is_none()).then(|| part(nobody(), removed));
        Some(Self { takes, gives })
    }

    /// Whether it takes any identity away.
    pub(super) fn takes_any(&self) -> bool {
        let takes = self.takes.as_ref().map(|event| &event.change);
        matches!(takes, Some(HrChange::LoginsChanged { removed, .. }) if !removed.is_empty())
    }

    /// The two as one.
    pub(super) fn whole(self) -> Option<HrEvent> {
        let Some(mut event) = self.gives else { return self.takes };
        if let (HrChange::LoginsChanged { removed, .. }, Some(HrChange::LoginsChanged { removed: taken, .. })) =
            (&mut event.change, self.takes.map(|it| it.change))
        {
            *removed = taken;
        }
        Some(event)
    }
}

/// The same of somebody who works here, by what is on record and held by now, and also waits.
pub(super) fn parts(state: &State, event: &HrEvent, also: &[HrEvent], at: Timestamp) -> Option<Parts> {
    if !event.change.is_of_logins() || !state.organisation.works_here(&event.person, at) {
        return None;
    }
    let has = on_record(&state.organisation, &event.person);
    let also = also.iter().filter(|other| other.person == event.person);
    Parts::of(event, &has, state.held_of(&event.person).map(|(_, event)| event).chain(also))
}

/// All that is held, by person, in the order in which it was said.
pub(super) fn held(state: &State) -> BTreeMap<&PersonId, Vec<&HrEvent>> {
    let mut holds: Vec<_> = state.holds.values().collect();
    holds.sort_by_key(|hold| hold.after);
    let mut of: BTreeMap<&PersonId, Vec<&HrEvent>> = BTreeMap::new();
    for event in holds.into_iter().flat_map(|hold| &hold.events) {
        of.entry(&event.person).or_default().push(event);
    }
    of
}

/// The identities of a person that a rename is about.
pub(super) fn on_record(organisation: &Organisation, person: &PersonId) -> BTreeSet<Identity> {
    let account = life::named(organisation, person).map(|(_, account)| &account.identities);
    let login = organisation.people().get(person).map(|person| &person.login);
    account.into_iter().chain(login).flatten().cloned().collect()
}
