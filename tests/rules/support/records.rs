//! Facts as HR events, enrolments and lapses record them: for tests of what stands on record, however it came there.

use std::collections::{BTreeMap, BTreeSet};

use countersign::domain::directory::{Account, AccountKind, AccountState, Membership, Person};
use countersign::domain::record::called_from::Call;
use countersign::domain::record::enrolment::{Ask, Enrolment};
use countersign::domain::record::event::{
    AccountRecorded, Actor, EnrolmentFact, EnrolmentNamed, Event, Fact, FeedFact, HrEventApplied, OrganisationFact,
    PersonRecorded,
};
use countersign::domain::record::hr::{HrChange, HrEvent};
use countersign::domain::record::review::Phase;
use countersign::domain::record::review::Review;
use countersign::domain::value::ids::{AccountId, Digest, EnrolmentId, PersonId, Principal};

use crate::world::{World, identity, span};

/// Puts facts in the journal, as one batch.
pub(crate) fn record(world: &mut World, facts: Vec<Fact>) {
    let (sequence, at) = (world.state.sequence() + 1, world.now().stamp);
    let numbered = (sequence..).zip(facts);
    let events =
        numbered.map(|(sequence, fact)| Event { sequence, at, actor: Actor::Broker, request: None, from: None, fact });
    world.commit(events.collect());
}

pub(crate) fn person<'a>(world: &'a World, id: &str) -> &'a Person {
    world.state.organisation().people().get(id).unwrap()
}

pub(crate) fn account<'a>(world: &'a World, id: &str) -> &'a Account {
    world.state.organisation().accounts().get(id).unwrap()
}

pub(crate) fn membership<'a>(world: &'a World, id: &str, role: &str) -> &'a Membership {
    &account(world, id).roles[role]
}

/// A command or HR event changed a person.
pub(crate) fn touch(world: &mut World, id: &str, change: impl FnOnce(&mut Person)) {
    let mut changed = Person { touched: true, ..person(world, id).clone() };
    change(&mut changed);
    record(
        world,
        vec![Fact::Organisation(OrganisationFact::PersonRecorded(PersonRecorded {
            id: id.parse().unwrap(),
            person: changed,
        }))],
    );
}

pub(crate) fn change_account(world: &mut World, id: &str, change: impl FnOnce(&mut Account)) {
    let mut account = account(world, id).clone();
    change(&mut account);
    record(
        world,
        vec![Fact::Organisation(OrganisationFact::AccountRecorded(AccountRecorded {
            id: id.parse().unwrap(),
            account,
        }))],
    );
}

pub(crate) fn joined(world: &mut World, id: &str, manager: &str) {
    let login = BTreeSet::from([identity(id).parse().unwrap()]);
    let (manager, id) = (Some(manager.parse().unwrap()), id.parse::<PersonId>().unwrap());
    let change = HrChange::Joined { login: login.clone(), manager: manager.clone() };
    let event = HrEvent { person: id.clone(), change };
    let person = Person { login, manager, touched: true, ..Person::default() };
    record(
        world,
        vec![
            Fact::Feed(FeedFact::EventApplied(HrEventApplied { place: None, event, released: false })),
            Fact::Organisation(OrganisationFact::PersonRecorded(PersonRecorded { id, person })),
        ],
    );
}

/// An approved enrolment made an account, of this kind, with what it gives.
pub(crate) fn enrolled(world: &mut World, id: &str, kind: AccountKind, roles: BTreeMap<String, Membership>) {
    let account = Account {
        kind,
        identities: BTreeSet::from([identity(id).parse().unwrap()]),
        audience: BTreeSet::new(),
        roles: roles.into_iter().map(|(role, membership)| (role.parse().unwrap(), membership)).collect(),
        until: None,
        state: AccountState::Active,
    };
    let id: AccountId = id.parse().unwrap();
    let mut facts = approved(world, Ask::Account { account: id.clone() }, account.person().as_str());
    facts.push(Fact::Organisation(OrganisationFact::AccountRecorded(AccountRecorded { id, account })));
    record(world, facts);
}

/// An enrolment that somebody asked for, and that all stages approved.
pub(crate) fn approved(world: &mut World, ask: Ask, who: &str) -> Vec<Fact> {
    let id = EnrolmentId::from(uuid::Uuid::from_u128(u128::from(world.state.sequence())));
    let person: PersonId = who.parse().unwrap();
    let requested = Enrolment {
        id,
        requested_at: world.at,
        requester: Principal::Person(person.clone()),
        behind: BTreeSet::from([person.clone()]),
        person,
        call: Call::thought_through(world.state.sequence()),
        ask,
        terms: Digest::of(b"terms"),
        manager: None,
        justification: String::new(),
        review: Review { stages: vec![], text: String::new(), deadline: world.at.plus(span("7d")), decisions: vec![] },
        phase: Phase::Pending,
    };
    vec![
        Fact::Enrolment(EnrolmentFact::Requested(Box::new(requested))),
        Fact::Enrolment(EnrolmentFact::Approved(EnrolmentNamed { enrolment: id })),
    ]
}

pub(crate) fn service_team(person: &str) -> AccountKind {
    AccountKind::ServiceTeam { person: person.parse().unwrap() }
}
