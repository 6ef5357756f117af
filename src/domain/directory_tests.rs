use super::*;

fn at(millis: i64) -> Timestamp {
    Timestamp::from_millis(millis).unwrap()
}

#[test]
fn an_account_is_in_use_while_it_is_active_and_not_at_its_own_end() {
    let person = "ana".parse().unwrap();
    let account = |state, until| Account {
        kind: AccountKind::ServiceTeam { person: PersonId::clone(&person) },
        identities: BTreeSet::new(),
        audience: BTreeSet::new(),
        roles: BTreeMap::new(),
        until,
        state,
    };
    let disabled = AccountState::Disabled { reason: "lost".into(), because: Disabling::Directory };
    assert!(account(AccountState::Active, None).is_in_use(at(1_000)));
    assert!(account(AccountState::Active, Some(at(1_001))).is_in_use(at(1_000)));
    // The end is half-open.
    assert!(!account(AccountState::Active, Some(at(1_000))).is_in_use(at(1_000)));
    assert!(!account(disabled, None).is_in_use(at(1_000)));
    assert!(!account(AccountState::Closed, None).is_in_use(at(1_000)));
}
