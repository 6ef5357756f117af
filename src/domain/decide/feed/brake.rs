//! The brake: events that would enable or disable many are held for a person to release (known failure B4). It counts
//! persons, enabled and disabled apart, over one command and over any 24 hours. A single urgent leaving waits for nothing else,
//! and beyond what the brake lets through its person is stopped meanwhile.

use std::cell::OnceCell;
use std::collections::{BTreeMap, BTreeSet};

use super::claims::Claims;
use super::happening::{Sent, of_own_organisation};
use super::taking::{self, Parts};
use crate::domain::directory::Account;
use crate::domain::record::hr::{HrChange, HrEvent, Part};
use crate::domain::rule::feed::{brake_limit, touched_lately};
use crate::domain::state::State;
use crate::domain::state::organisation::Organisation;
use crate::domain::value::ids::{Identity, PersonId, Principal};
use crate::domain::value::time::Now;

/// What the brake makes of a command.
pub(super) struct Sorted {
    /// What happens now, in order.
    pub(super) pass: Vec<Sent>,
    /// What waits, in order.
    pub(super) held: Vec<HrEvent>,
    /// Persons who leave now: what is held of them is dropped.
    pub(super) dropped: BTreeSet<PersonId>,
}

/// Whether an event would widen what a person may do (design.md 7): any change of their own but a leaving, and any by
/// which they become somebody's manager. Standing in for a missing manager is given by policy, and does not count.
pub(super) fn lifts(organisation: &Organisation, author: &PersonId, event: &HrEvent, now: Now) -> bool {
    if event.person == *author {
        return !event.change.is_leaving() && !event.change.only_takes_logins();
    }
    match &event.change {
        HrChange::Joined { manager: Some(manager), .. } => manager == author,
        HrChange::Transferred { manager: Some(manager), at } if manager == author => {
            let person = organisation.people.get(&event.person);
            person.and_then(|person| person.manager_at(now.latest.max(*at))) != Some(author)
        }
        HrChange::Joined { .. }
        | HrChange::Transferred { .. }
        | HrChange::Renamed { .. }
        | HrChange::LoginsChanged { .. }
        | HrChange::Left { .. }
        | HrChange::Stays
        | HrChange::Roles { .. } => false,
    }
}

/// Sorts a command's events. What would widen the standing of `author` is held as well, and so is a single leaving beyond what
/// passes (`is_stopped`).
pub(super) fn sort(state: &State, events: Vec<Sent>, author: Option<&PersonId>, is_stopped: bool, now: Now) -> Sorted {
    let lifts_author = |event: &HrEvent| author.is_some_and(|it| lifts(&state.organisation, it, event, now));
    let brakes = match alone(&events) {
        Some(_) if is_stopped => [Part::Disabling].into(),
        Some(_) => BTreeSet::new(),
        None => braked(state, &events, lifts_author, now),
    };
    let mut sorting = Sorting::new(state, now);
    let takes_now = !takes_from_many(&sorting, &events);
    let mut held: Vec<Option<HrEvent>> = Vec::new();
    let mut pass = Vec::new();
    for sent in events {
        let event = &sent.event;
        let goes = !brakes.contains(&event.change.part()) && !lifts_author(event) && !sorting.rests_on_held(event);
        let goes = goes && !sorting.claims.wanders(event);
        if !goes {
            pass.extend(sorting.holds(sent, &mut held, takes_now));
            continue;
        }
        // What a tenant's feed has held is that tenant's: it is not dropped by a leaving that is set aside.
        let is_own = of_own_organisation(&state.organisation, event).is_ok();
        let is_held = is_own && event.change.is_leaving() && sorting.is_held(&event.person);
        if is_held && !sorting.is_over(event) {
            // A last day in the future takes effect now, and is held too, to be applied again after the person's held
            // changes.
            sorting.waiting.entry(event.person.clone()).or_default().push(held.len());
            held.push(Some(event.clone()));
        } else if is_held {
            for index in sorting.waiting.remove(&event.person).unwrap_or_default() {
                if let Some(place) = held.get_mut(index) {
                    *place = None;
                }
            }
            sorting.dropped.insert(event.person.clone());
        }
        sorting.passes(event);
        pass.push(sent);
    }
    Sorted { pass, held: held.into_iter().flatten().collect(), dropped: sorting.dropped }
}

/// The event of a command that is one leaving at once, and nothing else.
pub(super) fn alone(events: &[Sent]) -> Option<&HrEvent> {
    match events {
        [only] if only.event.change.is_urgent() => Some(&only.event),
        _ => None,
    }
}

/// Whom a single leaving is of, if they work here and are more than the brake lets through within any 24 hours.
pub(super) fn stops<'a>(state: &State, events: &'a [Sent], now: Now) -> Option<&'a PersonId> {
    let person = &alone(events)?.person;
    let works_here = state.organisation.works_here(person, now.latest);
    let touched = touched_lately(state, Part::Disabling, now);
    let too_many = !touched.contains(person) && touched.len() >= brake_limit(state);
    (works_here && too_many).then_some(person)
}

/// The parts that touch too many persons. Events that are held for another reason do not count.
fn braked(state: &State, events: &[Sent], waits: impl Fn(&HrEvent) -> bool, now: Now) -> BTreeSet<Part> {
    let limit = brake_limit(state);
    let sorting = Sorting::new(state, now);
    let goes = |event: &&HrEvent| !sorting.rests_on_held(event) && !waits(event);
    let free = || events.iter().map(|sent| &sent.event).filter(goes);
    let leaving: BTreeSet<&PersonId> = free().filter(|it| it.change.is_leaving()).map(|event| &event.person).collect();
    // Whatever the limit, no command disables everybody.
    let everybody = !leaving.is_empty() && leaving.len() >= state.organisation.employed_count();
    let is_braked = |part: &Part| {
        let mut persons: BTreeSet<&PersonId> =
            free().filter(|event| event.change.part() == *part).map(|event| &event.person).collect();
        if persons.is_empty() {
            return false;
        }
        persons.extend(touched_lately(state, *part, now));
        persons.len() > limit || (*part == Part::Disabling && everybody)
    };
    [Part::Enabling, Part::Disabling].into_iter().filter(is_braked).collect()
}

/// Whether so many would lose identities at once that a person looks at it first. What takes from one alone never waits.
fn takes_from_many(sorting: &Sorting<'_>, events: &[Sent]) -> bool {
    let takes = |event: &&HrEvent| sorting.parts(event, &[]).is_some_and(|parts| parts.takes_any());
    let mut persons: BTreeSet<&PersonId> =
        events.iter().map(|sent| &sent.event).filter(takes).map(|event| &event.person).collect();
    if persons.len() <= 1 {
        return false;
    }
    let everybody = persons.len() >= sorting.state.organisation.employed_count();
    persons.extend(touched_lately(sorting.state, Part::Disabling, sorting.now));
    everybody || persons.len() > brake_limit(sorting.state)
}

/// Whether an event waits for something that is held by now, or that waits itself.
pub(super) fn waits_for_held(state: &State, event: &HrEvent, waiting: &[HrEvent], now: Now) -> bool {
    let mut sorting = Sorting::new(state, now);
    sorting.waiting.extend(waiting.iter().map(|event| (event.person.clone(), Vec::new())));
    sorting.rests_on_held(event)
}

struct Sorting<'a> {
    state: &'a State,
    now: Now,
    /// From a person to the indexes of their events that this command holds.
    waiting: BTreeMap<PersonId, Vec<usize>>,
    dropped: BTreeSet<PersonId>,
    /// The new managers of those whom this command moves.
    managers: BTreeMap<PersonId, Option<PersonId>>,
    claims: Claims<'a>,
    /// What was held before this command, by person, once it is asked for: a file may rename as many as a hold has events.
    before: OnceCell<BTreeMap<&'a PersonId, Vec<&'a HrEvent>>>,
}

impl<'a> Sorting<'a> {
    fn new(state: &'a State, now: Now) -> Self {
        let (waiting, dropped, managers) = (BTreeMap::new(), BTreeSet::new(), BTreeMap::new());
        let claims = Claims::new(&state.organisation, now.latest);
        Self { state, now, waiting, dropped, managers, claims, before: OnceCell::new() }
    }

    /// Holds an event. Of a rename what it takes away is given back, to pass: also from what waits of the person by now.
    fn holds(&mut self, sent: Sent, held: &mut Vec<Option<HrEvent>>, takes_now: bool) -> Option<Sent> {
        let Sent { place, event } = sent;
        let waits = |sorting: &mut Self, held: &mut Vec<Option<HrEvent>>, event: HrEvent| {
            sorting.waiting.entry(event.person.clone()).or_default().push(held.len());
            held.push(Some(event));
        };
        let Some(parts) = self.parts(&event, held) else {
            waits(self, held, event);
            return None;
        };
        if !takes_now && parts.takes_any() {
            parts.whole().into_iter().for_each(|event| waits(self, held, event));
            return None;
        }
        if let Some(HrChange::LoginsChanged { removed, .. }) = parts.takes.as_ref().map(|it| &it.change) {
            for index in self.waiting.get(&event.person).into_iter().flatten() {
                if let Some(waiting) = held.get_mut(*index) {
                    *waiting = waiting.take().and_then(|waiting| waiting.without(removed));
                }
            }
        }
        parts.gives.into_iter().for_each(|event| waits(self, held, event));
        let event = parts.takes?;
        self.passes(&event);
        Some(Sent { place, event })
    }

    /// A rename of somebody who works here, in its parts.
    fn parts(&self, event: &HrEvent, held: &[Option<HrEvent>]) -> Option<Parts> {
        let person = &event.person;
        if !event.change.is_of_logins() || !self.works_here(person) || self.claims.has_left(person) {
            return None;
        }
        let before = self.before.get_or_init(|| taking::held(self.state)).get(person).into_iter().flatten().copied();
        let waiting = self.waiting.get(person).into_iter().flatten();
        let earlier = before.chain(waiting.filter_map(|index| held.get(*index)?.as_ref()));
        Parts::of(event, &self.claims.has(person), earlier)
    }

    fn passes(&mut self, event: &HrEvent) {
        self.claims.passes(event, self.is_over(event));
        let manager = match &event.change {
            HrChange::Joined { manager, .. } | HrChange::Transferred { manager, .. } => manager.clone(),
            HrChange::Left { .. } if self.is_over(event) => None,
            HrChange::Left { .. }
            | HrChange::Renamed { .. }
            | HrChange::LoginsChanged { .. }
            | HrChange::Stays
            | HrChange::Roles { .. } => return,
        };
        self.managers.insert(event.person.clone(), manager);
    }

    /// Whether it is a leaving whose time has come.
    fn is_over(&self, event: &HrEvent) -> bool {
        event.change.is_leaving_now(self.now.latest)
    }

    fn works_here(&self, person: &PersonId) -> bool {
        self.state.organisation.works_here(person, self.now.latest)
    }

    fn is_held(&self, person: &PersonId) -> bool {
        let earlier = self.state.held_of.count(person) > 0 && !self.dropped.contains(person);
        earlier || self.waiting.contains_key(person)
    }

    /// Whether a held event must come first: one of the person, of a manager who has yet to join or to move out of the
    /// way, or of whoever has an identity that is claimed. The leaving of somebody who works here waits for none.
    fn rests_on_held(&self, event: &HrEvent) -> bool {
        if self.state.holds.is_empty() && self.waiting.is_empty() {
            return false;
        }
        if event.change.is_leaving() && (self.is_over(event) || self.works_here(&event.person)) {
            return false;
        }
        if self.is_held(&event.person) {
            return true;
        }
        match &event.change {
            HrChange::Joined { login, manager } => {
                manager.as_ref().is_some_and(|manager| self.is_to_join(manager)) || self.claims_held(login)
            }
            HrChange::Transferred { manager, .. } => manager
                .as_ref()
                .is_some_and(|manager| self.is_to_join(manager) || self.is_above_but_for_held(&event.person, manager)),
            HrChange::Renamed { login } | HrChange::LoginsChanged { added: login, .. } => self.claims_held(login),
            HrChange::Left { .. } | HrChange::Stays | HrChange::Roles { .. } => false,
        }
    }

    fn is_to_join(&self, manager: &PersonId) -> bool {
        !self.works_here(manager) && self.is_held(manager)
    }

    /// Whether a person is above a manager, by way of somebody whose own change is held.
    fn is_above_but_for_held(&self, person: &PersonId, manager: &PersonId) -> bool {
        let (mut seen, mut waits) = (BTreeSet::new(), false);
        let mut next = Some(manager);
        while let Some(above) = next.filter(|above| seen.insert(*above)) {
            if above == person {
                return waits;
            }
            waits |= self.is_held(above);
            let present = || self.state.organisation.people.get(above)?.manager_at(self.now.latest);
            next = self.managers.get(above).map_or_else(present, Option::as_ref);
        }
        false
    }

    fn claims_held(&self, login: &BTreeSet<Identity>) -> bool {
        let organisation = &self.state.organisation;
        let holders = login.iter().filter_map(|identity| match organisation.principal(identity)? {
            Principal::Person(person) => Some(person),
            Principal::Account(id) => organisation.accounts.get(id).map(Account::person),
        });
        holders.into_iter().any(|holder| self.is_held(holder))
    }
}
