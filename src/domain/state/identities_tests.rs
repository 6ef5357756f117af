//! What an organisation remembers of who had an identity.

use std::collections::BTreeMap;

use super::*;
use crate::domain::directory::{AccountKind, AccountState, ActsFor, Disabling, Employment};

fn person(name: &str) -> PersonId {
    name.parse().unwrap()
}

fn identity(name: &str) -> Identity {
    format!("spiffe://northwind.example/person/{name}").parse().unwrap()
}

fn login(names: &[&str]) -> Person {
    Person { login: names.iter().map(|name| identity(name)).collect(), ..Person::default() }
}

fn account(kind: AccountKind, names: &[&str]) -> Account {
    Account {
        kind,
        identities: names.iter().map(|name| identity(name)).collect(),
        audience: BTreeSet::new(),
        roles: BTreeMap::new(),
        until: None,
        state: AccountState::Active,
    }
}

fn of(name: &str) -> AccountKind {
    AccountKind::ServiceTeam { person: person(name) }
}

fn machine(owner: &str) -> AccountKind {
    AccountKind::Service { owner: person(owner), acts_for: ActsFor::Itself }
}

fn day(number: i64) -> Timestamp {
    Timestamp::from_millis(number * 86_400_000).unwrap()
}

fn when(number: i64) -> When {
    When { at: day(number), sequence: u64::try_from(number).unwrap() }
}

fn names(of: BTreeSet<PersonId>) -> Vec<String> {
    of.iter().map(ToString::to_string).collect()
}

#[test]
fn whoever_had_an_identity_is_remembered_for_180_days_and_not_a_moment_longer() {
    // given ana, who had an identity until day 10
    let mut organisation = Organisation::default();
    organisation.put_person(person("ana"), login(&["a"]), when(1));
    assert!(names(organisation.others_with(&identity("a"), &person("ana"), day(5))).is_empty());
    assert_eq!(names(organisation.others_with(&identity("a"), &person("ben"), day(5))), ["ana"]);
    organisation.put_person(person("ana"), login(&["parked"]), when(10));
    // then it is hers for whoever would take it, until the 180 days are over
    let almost = Timestamp::from_millis(day(190).millis() - 1).unwrap();
    assert_eq!(names(organisation.others_with(&identity("a"), &person("ben"), almost)), ["ana"]);
    assert!(organisation.others_with(&identity("a"), &person("ben"), day(190)).is_empty());
    // and what is forgotten leaves nothing behind
    organisation.formerly.forget_before(Timestamp::from_millis(day(10).millis() + 1).unwrap());
    assert_eq!(organisation.formerly, crate::domain::state::formerly::Formerly::default());
}

#[test]
fn what_somebody_has_again_was_not_lost_and_what_another_had_since_was() {
    let mut organisation = Organisation::default();
    // given a login that becomes the person's own account's
    organisation.put_person(person("ana"), login(&["a"]), when(1));
    organisation.put_person(person("ana"), login(&[]), when(2));
    assert!(organisation.has_lost_since(&person("ana"), 1, None));
    organisation.put_account("ana".parse().unwrap(), account(of("ana"), &["a"]), when(2));
    assert!(!organisation.has_lost_since(&person("ana"), 1, None));
    assert_eq!(organisation.formerly, crate::domain::state::formerly::Formerly::default());
    // when ben has it in between
    organisation.put_account("ana".parse().unwrap(), account(of("ana"), &["parked"]), when(3));
    organisation.put_account("ben".parse().unwrap(), account(of("ben"), &["a"]), when(4));
    organisation.put_account("ben".parse().unwrap(), account(of("ben"), &["b"]), when(5));
    organisation.put_account("ana".parse().unwrap(), account(of("ana"), &["a"]), when(6));
    // then whom it has meant is known, whoever has it by now
    assert_eq!(organisation.person_of(&identity("a")), Some(&person("ana")));
    assert_eq!(organisation.who_had(&identity("a")).collect::<Vec<_>>(), [&person("ben")]);
    assert!(
        organisation.has_lost_since(&person("ben"), 4, None) && !organisation.has_lost_since(&person("ben"), 5, None)
    );
}

#[test]
fn a_machine_is_known_as_itself_and_an_account_that_becomes_anothers_is_a_move() {
    let mut organisation = Organisation::default();
    let bot: AccountId = "bot".parse().unwrap();
    // given a machine that changes hands
    organisation.put_account(bot.clone(), account(machine("ana"), &["m"]), when(1));
    organisation.put_account(bot.clone(), account(machine("ben"), &["m"]), when(2));
    assert_eq!(organisation.formerly, crate::domain::state::formerly::Formerly::default());
    // when it loses its identity, then its own requests hang on that and its owner's others do not
    organisation.put_account(bot.clone(), account(machine("ben"), &["n"]), when(3));
    assert!(organisation.has_lost_since(&person("ben"), 2, Some(&bot)));
    assert!(!organisation.has_lost_since(&person("ben"), 2, Some(&"ben".parse().unwrap())));
    // and a machine's identity that its owner takes for themselves was the machine's
    organisation.put_account("ben".parse().unwrap(), account(of("ben"), &["m"]), when(4));
    assert!(organisation.has_lost_since(&person("ben"), 2, Some(&bot)));
    // while an account that becomes another person's takes its identity from the first
    organisation.put_account("ben".parse().unwrap(), account(of("cyd"), &["m"]), when(5));
    assert_eq!(names(organisation.others_with(&identity("m"), &person("cyd"), day(6))), ["ben"]);
}

#[test]
fn what_is_shut_is_nobodys_from_then_on() {
    // given somebody who leaves on day 2, whose account keeps its record
    let mut organisation = Organisation::default();
    let id: AccountId = "ana".parse().unwrap();
    organisation.put_person(person("ana"), Person::default(), when(1));
    organisation.put_account(id.clone(), account(of("ana"), &["a"]), when(1));
    organisation.put_person(person("ana"), Person { employment: Employment::Left, ..Person::default() }, when(2));
    let because = Disabling::Termination;
    let shut = AccountState::Disabled { reason: String::new(), because };
    organisation.put_account(id.clone(), Account { state: shut, ..account(of("ana"), &["a"]) }, when(2));
    // then the 180 days count from there, also if the record is cleared later
    organisation.put_account(id, Account { state: AccountState::Closed, ..account(of("ana"), &[]) }, when(100));
    assert_eq!(names(organisation.others_with(&identity("a"), &person("ben"), day(181))), ["ana"]);
    assert!(organisation.others_with(&identity("a"), &person("ben"), day(182)).is_empty());
}
