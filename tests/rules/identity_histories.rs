//! Invariants 2 and 5 over histories in which identities change hands: renames, exchanges, squatting by machines, leavers whose
//! names come again, and whoever may let go. Whose an identity is is read out of the journal alone, by other code than the core's.

use std::collections::{BTreeMap, BTreeSet};

use countersign::domain::directory::{AccountState, Disabling};
use countersign::domain::record::event::{Actor, ElevationFact, Event, Fact, FeedFact, GrantFact, OrganisationFact};
use countersign::domain::record::grant::GrantPhase;
use countersign::domain::record::hr::{HrChange, HrEvent};
use countersign::domain::record::review::{Decision, Phase};
use countersign::domain::value::ids::{AccountId, ElevationId, Identity, PersonId, Principal};
use countersign::domain::value::refusal::Reason;
use countersign::domain::value::time::{Span, Timestamp};
use proptest::prelude::*;

use crate::support::feed::{decide, id, left, tell, world};
use crate::world::enrolments::machine_with;
use crate::world::{Ask, World, identity, span};

const PEOPLE: [&str; 6] = ["ana", "dan", "ben", "cleo", "rela", "relo"];
const NAMES: [&str; 9] = ["ana", "dan", "ben", "cleo", "rela", "relo", "parked", "y", "z"];
const REMEMBERED: Span = Span::seconds(180 * 86_400);

#[derive(Debug, Clone)]
enum Step {
    /// HR says who is known by what; several in one command.
    Rename(Vec<(usize, Vec<usize>)>),
    Leave(usize),
    Join(usize, usize),
    Release(usize, bool),
    Squat(usize, usize),
    Ask(usize, usize),
    Approve(usize, usize),
    Pass(usize),
}

fn step() -> impl Strategy<Value = Step> {
    let names = || prop::collection::vec(0..NAMES.len(), 1..3);
    // Whoever is behind a request, and whoever could approve it, more often than others; and often back to one's own.
    let rename = prop_oneof![
        3 => (0_usize..4, names()),
        2 => (0_usize..4).prop_map(|who| (who, vec![who])),
        2 => (0_usize..4).prop_map(|who| (who, vec![6 + who % 3])),
        2 => (0_usize..4, 0_usize..4).prop_map(|(who, to)| (who, vec![who, to])),
        1 => (0..PEOPLE.len(), names()),
    ];
    prop_oneof![
        8 => prop::collection::vec(rename, 1..3).prop_map(Step::Rename),
        1 => (0..PEOPLE.len()).prop_map(Step::Leave),
        1 => (0..PEOPLE.len(), 0..NAMES.len()).prop_map(|(who, name)| Step::Join(who, name)),
        4 => (4_usize..6, prop::bool::weighted(0.8)).prop_map(|(who, release)| Step::Release(who, release)),
        1 => (0..PEOPLE.len(), 0..NAMES.len()).prop_map(|(who, name)| Step::Squat(who, name)),
        8 => (0..NAMES.len(), 0_usize..3).prop_map(|(who, what)| Step::Ask(who, what)),
        12 => (0..NAMES.len(), 0_usize..3).prop_map(|(who, which)| Step::Approve(who, which)),
        3 => (0_usize..4).prop_map(Step::Pass),
    ]
}

/// What a journal says of who has which identity.
#[derive(Default)]
struct Read {
    logins: BTreeMap<PersonId, BTreeSet<Identity>>,
    accounts: BTreeMap<AccountId, (PersonId, BTreeSet<Identity>)>,
    /// Whose each identity is now.
    now: BTreeMap<Identity, PersonId>,
    /// When somebody last had one.
    had: BTreeMap<(Identity, PersonId), Timestamp>,
    /// For each elevation, who and which identities have been behind it since it was made.
    behind: BTreeMap<ElevationId, (BTreeSet<PersonId>, BTreeSet<Identity>)>,
    approvals: BTreeMap<ElevationId, Vec<Decision>>,
    /// What took an identity from a person: place in the journal.
    lost: BTreeMap<PersonId, u64>,
    moves: usize,
    grants: usize,
}

impl Read {
    /// Takes in what one command or tick brought.
    fn batch(&mut self, events: &[Event]) {
        let before = self.now.clone();
        for event in events {
            self.event(event);
        }
        let Some(last) = events.last() else { return };
        let let_go = events.iter().find_map(|event| match (&event.fact, &event.actor) {
            (Fact::Feed(FeedFact::HoldDecided(fact)), Actor::Caller(Principal::Account(by))) if fact.released => {
                Some(self.accounts[by].0.clone())
            }
            _ => None,
        });
        for (identity, person) in &self.now {
            if before.get(identity) == Some(person) {
                continue;
            }
            let others = self
                .had
                .iter()
                .filter(|((of, who), at)| of == identity && who != person && !at.plus(REMEMBERED).is_over(last.at));
            let others: BTreeSet<&PersonId> = others.map(|((_, who), _)| who).collect();
            if let Some(other) = others.first() {
                self.moves += 1;
                let by = let_go.as_ref().unwrap_or_else(|| panic!("{identity} went from {other} to {person} unseen"));
                assert!(by != person && !others.contains(by), "{identity} to {person} by {by}, one of {others:?}");
            }
        }
        for (identity, person) in before {
            if self.now.get(&identity) != Some(&person) {
                self.lost.insert(person, last.sequence);
            }
        }
    }

    fn event(&mut self, event: &Event) {
        match &event.fact {
            Fact::Organisation(OrganisationFact::PersonRecorded(fact)) => {
                self.logins.insert(fact.id.clone(), fact.person.login.clone());
            }
            Fact::Organisation(OrganisationFact::AccountRecorded(fact)) => {
                let shut = matches!(
                    fact.account.state,
                    AccountState::Closed | AccountState::Disabled { because: Disabling::Termination, .. }
                );
                let identities = if shut { BTreeSet::new() } else { fact.account.identities.clone() };
                self.accounts.insert(fact.id.clone(), (fact.account.person().clone(), identities));
            }
            Fact::Elevation(ElevationFact::Requested(it)) => {
                self.behind.insert(it.id, (it.behind.clone(), BTreeSet::new()));
            }
            Fact::Elevation(ElevationFact::ApprovalRecorded(fact)) => {
                let (persons, identities) = &self.behind[&fact.elevation];
                let by = fact.decision.call.from.as_ref().unwrap().identity.clone();
                assert!(!persons.contains(&fact.decision.person), "{} approved their own", fact.decision.person);
                assert!(!identities.contains(&by), "{by} was behind what it approved");
                self.approvals.entry(fact.elevation).or_default().push(fact.decision.clone());
            }
            Fact::Elevation(ElevationFact::ApprovalStruck(fact)) => {
                self.approvals.get_mut(&fact.elevation).unwrap().retain(|it| it.person != fact.person);
            }
            Fact::Grant(GrantFact::Issued(grant)) => {
                self.grants += 1;
                let counted = &self.approvals[&grant.elevation];
                let persons: BTreeSet<_> = counted.iter().map(|it| &it.person).collect();
                let certificates: BTreeSet<_> = counted.iter().map(|it| it.call.identity().unwrap()).collect();
                assert!(!counted.is_empty() && persons.len() == counted.len() && certificates.len() == counted.len());
                let (_, identities) = &self.behind[&grant.elevation];
                assert!(certificates.iter().all(|it| !identities.contains(*it)), "{grant:?}");
                for person in persons.iter().copied().chain(&grant.behind) {
                    let made = self.lost.get(person).copied().unwrap_or_default();
                    let calls = counted.iter().filter(|it| it.person == *person).map(|it| it.call.after);
                    assert!(calls.into_iter().all(|after| after >= made), "{person} has lost an identity since");
                }
            }
            _ => {}
        }
        self.refresh(event.at);
    }

    fn refresh(&mut self, at: Timestamp) {
        let by_login = self.logins.iter();
        let by_account = self.accounts.values().map(|(person, identities)| (person, identities));
        let all =
            by_login.chain(by_account).flat_map(|(person, own)| own.iter().map(move |it| (it.clone(), person.clone())));
        let now: BTreeMap<Identity, PersonId> = all.collect();
        for (identity, person) in self.now.iter().chain(&now) {
            self.had.insert((identity.clone(), person.clone()), at);
        }
        for (persons, identities) in self.behind.values_mut() {
            identities
                .extend(now.iter().filter(|(_, who)| persons.contains(*who)).map(|(identity, _)| identity.clone()));
        }
        self.now = now;
    }

    /// Invariant 5 for identities: nothing rests on one that was taken away since.
    fn nothing_rests_on_what_was_lost(&self, world: &World) {
        let lost_since = |person: &PersonId, after: u64| self.lost.get(person).is_some_and(|lost| *lost > after);
        let now = world.now().latest;
        for it in world.state.elevations().values() {
            let unstarted = |grant| world.state.grants().get(grant).is_some_and(|it| it.phase == GrantPhase::Scheduled);
            let pending = it.phase.is_pending() && !it.review.deadline.is_over(now);
            if pending {
                for person in &it.behind {
                    assert!(!lost_since(person, it.call.after), "{} is pending, and {person} lost a name", it.id);
                }
            }
            if pending || matches!(&it.phase, Phase::Approved { outcome, .. } if unstarted(outcome)) {
                for approval in it.review.approvals() {
                    assert!(!lost_since(&approval.person, approval.call.after), "{approval:?}");
                }
            }
        }
    }
}

fn login(names: &[usize]) -> BTreeSet<Identity> {
    names.iter().map(|name| identity(NAMES[*name]).parse().unwrap()).collect()
}

fn happen(world: &mut World, step: &Step) {
    let asked = |world: &World, which: usize| world.state.elevations().keys().nth_back(which).copied();
    match step {
        Step::Rename(said) => {
            let event = |(who, names): &(usize, Vec<usize>)| HrEvent {
                person: id(PEOPLE[*who]),
                change: HrChange::Renamed { login: login(names) },
            };
            drop(tell(world, said.iter().map(event).collect()));
        }
        Step::Leave(who) => {
            let now = world.at;
            drop(tell(world, vec![left(PEOPLE[*who], now)]));
        }
        Step::Join(who, name) => {
            let change = HrChange::Joined { login: login(&[*name]), manager: Some(id("ines")) };
            drop(tell(world, vec![HrEvent { person: id(PEOPLE[*who]), change }]));
        }
        Step::Release(who, release) => {
            let oldest = world.state.holds().values().min_by_key(|hold| hold.after).cloned();
            drop(oldest.map(|hold| decide(world, PEOPLE[*who], &hold, *release)));
        }
        Step::Squat(who, name) => {
            let machine = format!("m{}", world.state.sequence());
            let ask = machine_with(&machine, &[], |it| it.identities = login(&[*name]));
            if let Ok(id) = world.enrol(PEOPLE[*who], ask) {
                for approver in ["ines", "omar"] {
                    drop(world.approve_enrolment(approver, id));
                }
            }
        }
        Step::Ask(who, what) => {
            let ask = match what {
                0 => Ask::repair(),
                1 => Ask::critical(),
                _ => Ask::maintenance().starting(world.at.plus(span("1h"))),
            };
            drop(ask.by(NAMES[*who], world));
        }
        Step::Approve(who, which) => drop(asked(world, *which).map(|id| world.approve(NAMES[*who], id))),
        Step::Pass(how) => {
            world.pass(["1m", "20m", "3h", "45d"][*how]);
            world.tick();
        }
    }
}

#[test]
fn invariants_2_and_5_hold_while_identities_change_hands() {
    let (mut moves, mut grants, mut voided, mut held) = (0, 0, 0, 0);
    let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig {
        cases: 160,
        max_shrink_iters: 400,
        failure_persistence: None,
        ..ProptestConfig::default()
    });
    let counts = std::cell::RefCell::new((&mut moves, &mut grants, &mut voided, &mut held));
    let run = |steps: Vec<Step>| {
        let mut world = world(10_000);
        let mut read = Read::default();
        read.batch(&world.events);
        read.moves = 0;
        for step in &steps {
            let seen = world.events.len();
            happen(&mut world, step);
            // One command at a time: what let it go is in the same batch.
            for batch in batches(&world.events[seen..]) {
                read.batch(batch);
            }
            read.nothing_rests_on_what_was_lost(&world);
        }
        let mut counts = counts.borrow_mut();
        *counts.0 += read.moves;
        *counts.1 += read.grants;
        *counts.2 += world.events.iter().filter(|event| is_voided(event)).count();
        *counts.3 += world.events.iter().filter(|event| matches!(event.fact, Fact::Feed(FeedFact::Held(_)))).count();
        Ok(())
    };
    runner.run(&prop::collection::vec(step(), 20..50), run).unwrap();
    let all = [moves, grants, voided, held];
    assert!(all.iter().all(|count| *count > 5), "moves, grants, voided, held: {all:?}");
}

fn is_voided(event: &Event) -> bool {
    match &event.fact {
        Fact::Elevation(ElevationFact::Cancelled(fact)) => format!("{:?}", fact.because).contains("IdentityMoved"),
        Fact::Elevation(ElevationFact::ApprovalStruck(fact)) => fact.because.reason == Reason::IdentityMoved,
        _ => false,
    }
}

/// The events of each command, or of time.
fn batches(events: &[Event]) -> Vec<&[Event]> {
    events.chunk_by(|_, next| next.request.is_none()).collect()
}
