//! From a whole file to what differs from the directory, as events in an order in which each can happen: leavings
//! first, so that their identities are free; then changed identities; then joinings and transfers from the top, so that
//! a manager comes before their reports; then last days that are announced.

use std::collections::{BTreeMap, BTreeSet};

use super::file::{Conflict, People, claims, from_the_top, refuse};
use crate::domain::directory::{Account, Person};
use crate::domain::effect::life;
use crate::domain::record::hr::{HrChange, HrEvent, ImportedPerson};
use crate::domain::state::organisation::Organisation;
use crate::domain::value::ids::{Identity, PersonId, Principal};
use crate::domain::value::refusal::{Reason, Refusal};
use crate::domain::value::time::Now;

/// What differs.
///
/// # Errors
/// `IMPORT_INVALID`, or the one reason of all conflicts.
pub(super) fn of(organisation: &Organisation, people: &People, now: Now) -> Result<Vec<HrEvent>, Refusal> {
    if people.is_empty() {
        return Err(Refusal::new(Reason::ImportInvalid, "a file without people says nothing"));
    }
    let mut conflicts = Vec::new();
    let order = from_the_top(people, &mut conflicts);
    let claims = claims(people, &mut conflicts);
    refuse(&conflicts)?;
    let mut diff = Diff { organisation, people, now, changes: Changes::default(), conflicts };
    diff.absent();
    for id in order {
        if let Some(person) = people.get(id) {
            diff.one(id, person);
        }
    }
    diff.identities(&claims);
    refuse(&diff.conflicts)?;
    Ok(diff.changes.into_events())
}

#[derive(Default)]
struct Changes {
    leavings: Vec<HrEvent>,
    renamings: Vec<HrEvent>,
    from_the_top: Vec<HrEvent>,
    announced: Vec<HrEvent>,
}

impl Changes {
    fn into_events(self) -> Vec<HrEvent> {
        [self.leavings, self.renamings, self.from_the_top, self.announced].into_iter().flatten().collect()
    }
}

struct Diff<'a> {
    organisation: &'a Organisation,
    people: &'a People,
    now: Now,
    changes: Changes,
    conflicts: Vec<Conflict>,
}

fn event(id: &PersonId, change: HrChange) -> HrEvent {
    HrEvent { person: id.clone(), change }
}

impl Diff<'_> {
    /// Whoever works here and is not in the file has left. HR's file does not name the people of tenants.
    fn absent(&mut self) {
        let change = || HrChange::Left { at: self.now.stamp, urgent: false, also_approved: false };
        let people = self.organisation.people.iter().filter(|(_, person)| person.is_employed(self.now.latest));
        let absent = people.filter(|(id, it)| !self.people.contains_key(*id) && it.tenant.is_none());
        self.changes.leavings.extend(absent.map(|(id, _)| event(id, change())));
    }

    fn one(&mut self, id: &PersonId, file: &ImportedPerson) {
        let over = file.leaves_at.filter(|at| at.is_over(self.now.latest));
        // Whom a tenant has does not work here: as one who joins they are set aside.
        let record = self.organisation.employed(id, self.now.latest).filter(|it| it.tenant.is_none());
        let left = |at| HrChange::Left { at, urgent: false, also_approved: false };
        match (record, over) {
            (None, Some(_)) => {}
            (Some(_), Some(at)) => self.changes.leavings.push(event(id, left(at))),
            (None, None) => {
                let joined = HrChange::Joined { login: file.login.clone(), manager: file.manager.clone() };
                self.under_manager(id, file, joined);
                self.changes.announced.extend(file.leaves_at.map(|at| event(id, left(at))));
            }
            (Some(record), None) => {
                // `manager_of` gives none for a manager who has left.
                if self.organisation.manager_of(id, self.now.latest) != file.manager.as_ref() {
                    let moved = HrChange::Transferred { manager: file.manager.clone(), at: self.now.stamp };
                    self.under_manager(id, file, moved);
                }
                // A file without identities says nothing of them.
                if !file.login.is_empty() && differs(self.organisation, id, record, &file.login) {
                    self.changes.renamings.push(event(id, HrChange::Renamed { login: file.login.clone() }));
                }
                self.announce(id, record, file);
            }
        }
    }

    /// A new manager must not have left by the file.
    fn under_manager(&mut self, id: &PersonId, file: &ImportedPerson, change: HrChange) {
        let manager = file.manager.as_ref().and_then(|manager| self.people.get_key_value(manager));
        let gone = manager.filter(|(_, it)| it.leaves_at.is_some_and(|at| at.is_over(self.now.latest)));
        if let Some((manager, _)) = gone {
            let text = format!("`{id}`: the manager `{manager}` has left");
            self.conflicts.push(Conflict::new(Reason::ImportInvalid, text));
        }
        self.changes.from_the_top.push(event(id, change));
    }

    /// A last day that is put off is taken back and announced anew.
    fn announce(&mut self, id: &PersonId, record: &Person, file: &ImportedPerson) {
        if record.employed_until == file.leaves_at {
            return;
        }
        if record.employed_until.is_some_and(|known| file.leaves_at.is_none_or(|at| at > known)) {
            self.changes.announced.push(event(id, HrChange::Stays));
        }
        let left = |at| HrChange::Left { at, urgent: false, also_approved: false };
        self.changes.announced.extend(file.leaves_at.map(|at| event(id, left(at))));
    }

    /// Checks that claimed identities become free in time, and orders renamings so that they do.
    fn identities(&mut self, claims: &BTreeMap<&Identity, &PersonId>) {
        let renamed: BTreeSet<PersonId> = self.changes.renamings.iter().map(|event| event.person.clone()).collect();
        // From a person to those who can be renamed only after them.
        let mut frees: BTreeMap<PersonId, BTreeSet<PersonId>> = BTreeMap::new();
        let mut waits: BTreeMap<PersonId, usize> = BTreeMap::new();
        for (identity, id) in claims {
            let Some(holder) = self.organisation.principal(identity) else { continue };
            let (person, machine) = holder_of(self.organisation, holder);
            if person == Some(*id) && !machine {
                continue;
            }
            // What is not free by then is set aside when it cannot happen.
            let Some(person) = person.filter(|person| !machine && renamed.contains(*person)) else { continue };
            if renamed.contains(*id) && frees.entry(person.clone()).or_default().insert((*id).clone()) {
                let waiting = waits.entry((*id).clone()).or_default();
                *waiting = waiting.saturating_add(1);
            }
        }
        if !waits.is_empty() {
            self.order_renamings(frees, waits);
        }
    }

    fn order_renamings(
        &mut self,
        mut frees: BTreeMap<PersonId, BTreeSet<PersonId>>,
        mut waits: BTreeMap<PersonId, usize>,
    ) {
        let events = std::mem::take(&mut self.changes.renamings);
        let mut events: BTreeMap<PersonId, HrEvent> = events.into_iter().map(|it| (it.person.clone(), it)).collect();
        let mut ready: Vec<PersonId> = events.keys().filter(|id| !waits.contains_key(*id)).cloned().collect();
        while let Some(id) = ready.pop() {
            self.changes.renamings.extend(events.remove(&id));
            for next in frees.remove(&id).into_iter().flatten() {
                let Some(left) = waits.get_mut(&next) else { continue };
                *left = left.saturating_sub(1);
                if *left == 0 {
                    ready.push(next);
                }
            }
        }
        // In a circle nobody's is free first: what is left is set aside, each by itself.
        self.changes.renamings.extend(events.into_values());
    }
}

fn holder_of<'a>(organisation: &'a Organisation, holder: &'a Principal) -> (Option<&'a PersonId>, bool) {
    match holder {
        Principal::Person(person) => (Some(person), false),
        Principal::Account(id) => {
            let account = organisation.accounts.get(id);
            (account.map(Account::person), account.is_some_and(Account::is_machine))
        }
    }
}

/// Whether a renaming would change anything. Identities of the person's other accounts stay where they are.
fn differs(organisation: &Organisation, id: &PersonId, record: &Person, login: &BTreeSet<Identity>) -> bool {
    let Some((first, account)) = life::named(organisation, id) else { return record.login != *login };
    let elsewhere = |identity: &&Identity| {
        let holder = match organisation.principal(identity) {
            Some(Principal::Account(other)) if other != first => organisation.accounts.get(other),
            _ => None,
        };
        holder.is_some_and(|it| !it.is_machine() && it.person() == id)
    };
    let expected: BTreeSet<&Identity> = login.iter().filter(|identity| !elsewhere(identity)).collect();
    account.identities.iter().collect::<BTreeSet<_>>() != expected
}
