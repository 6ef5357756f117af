//! What one record gives over another, field by field, whether or not it is of use to anybody yet: an end counts on an account
//! that is over, and an audience without a role that checks (design.md 7; known failure J6). Each record is taken apart whole, so
//! that whoever gives it another field says here what more of that would be.

use std::collections::BTreeSet;

use super::right::Right;
use crate::domain::directory::{Account, AccountState, Cut, Disabling, Membership, Person};
use crate::domain::value::time::Timestamp;

/// What an account would have over what it has.
pub(in crate::domain) fn more_in_account(was: &Account, is: &Account) -> BTreeSet<Right> {
    let Account { kind, identities, audience, roles, until, state } = is;
    let mut more = BTreeSet::new();
    if *kind != was.kind {
        more.insert(Right::Kind(kind.clone()));
    }
    more.extend(identities.difference(&was.identities).map(|identity| Right::Identity(identity.to_string())));
    let wider = audience.iter().filter(|pattern| !was.audience.iter().any(|known| known.contains(pattern)));
    more.extend(wider.cloned().map(Right::Audience));
    for (role, membership) in roles {
        if was.roles.get(role).is_none_or(|held| is_more(held, membership)) {
            more.insert(Right::Hold(role.clone(), membership.until));
        }
    }
    if is.ends_at() > was.ends_at() {
        more.insert(Right::Last(*until));
    }
    if openness(state) > openness(&was.state) {
        more.insert(Right::InUse);
    }
    more
}

/// What a person would have over what they have.
pub(in crate::domain) fn more_in_person(was: &Person, is: &Person, at: Timestamp) -> BTreeSet<Right> {
    let Person {
        login,
        tenant,
        manager,
        attestations,
        attested_by: _, // Who recorded an attestation gives nothing by that.
        employment,
        employed_until,
        moves: _, // Taken apart below, with all that come after it.
        awaits_manager,
        touched,
        brought_by,
    } = is;
    let mut more = BTreeSet::new();
    more.extend(login.difference(&was.login).map(|identity| Right::Identity(identity.to_string())));
    if *tenant != was.tenant {
        more.insert(Right::Side(tenant.clone()));
    }
    // While a manager is awaited, nobody decides in their place.
    if *manager != was.manager && !(manager.is_none() && *awaits_manager) || was.awaits_manager && !awaits_manager {
        more.insert(Right::Manager(manager.clone()));
    }
    for (requirement, attested) in attestations {
        // One that is ahead does not count yet: an earlier one would.
        let counted = |known: &Timestamp| attested == known || attested < known && known.is_over(at);
        if !was.attestations.get(requirement).is_some_and(counted) {
            more.insert(Right::Proof(requirement.clone(), *attested));
        }
    }
    if is.employment_ends_at() > was.employment_ends_at() || employment != &was.employment && is.is_employed(at) {
        more.insert(Right::Employment(*employed_until));
    }
    more.extend(other_managers_to_come(was, is, at));
    // Whoever brought somebody stands in for no manager of theirs: that is not forgotten.
    let forgotten = was.brought_by.is_some() && was.brought_by != *brought_by;
    if was.touched && !touched || forgotten {
        more.insert(Right::Untouched);
    }
    more
}

fn other_managers_to_come(was: &Person, is: &Person, at: Timestamp) -> BTreeSet<Right> {
    let (announced, known) = (is.announced_by_time(), was.announced_by_time());
    let called_off = known.keys().any(|moves_at| !moves_at.is_over(at) && !announced.contains_key(moves_at));
    let other = announced.into_iter().filter(|(at, manager)| manager.is_some() && known.get(at) != Some(manager));
    let other = other.map(|(_, manager)| Right::Manager(manager));
    other.chain(called_off.then(|| Right::Manager(is.manager.clone()))).collect()
}

/// Whether a membership gives more than another of the same role.
fn is_more(was: &Membership, is: &Membership) -> bool {
    // Since when it is held, and by whose approval, gives nothing.
    let Membership { until, since: _, approved: _, fed_by: _, suspended, cut, confirm } = is;
    let later =
        |was: Option<Timestamp>, is: Option<Timestamp>| is.unwrap_or(Timestamp::MAX) > was.unwrap_or(Timestamp::MAX);
    // What was cut may be kept, up to the end before.
    let kept = |cut: &Option<Cut>| cut.map(|cut| cut.until.unwrap_or(Timestamp::MAX));
    later(was.until, *until)
        || later(was.confirm.map(|it| it.by), confirm.map(|it| it.by))
        || later(was.suspended, *suspended)
        || kept(cut) > kept(&was.cut)
}

/// How near an account is to being used: never again, after its person has come back, by a file or an enrolment, or now.
fn openness(state: &AccountState) -> u8 {
    match state {
        AccountState::Closed => 0,
        AccountState::Disabled { because: Disabling::Termination, .. } => 1,
        AccountState::Disabled { because: Disabling::Lapse | Disabling::Directory, .. } => 2,
        AccountState::Active => 3,
    }
}

/// The account as it would be in use, where anything could still open it.
pub(in crate::domain) fn opened(account: &Account) -> Account {
    let could = match &account.state {
        AccountState::Closed | AccountState::Disabled { because: Disabling::Termination, .. } => false,
        AccountState::Active | AccountState::Disabled { because: Disabling::Lapse | Disabling::Directory, .. } => true,
    };
    let mut account = account.clone();
    if could {
        (account.state, account.until) = (AccountState::Active, None);
    }
    account
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::directory::{AccountKind, Confirm, Employment, Move};

    fn at(millis: i64) -> Timestamp {
        Timestamp::from_millis(millis).unwrap()
    }

    fn account() -> Account {
        Account {
            kind: AccountKind::ServiceTeam { person: "ana".parse().unwrap() },
            identities: BTreeSet::from(["spiffe://northwind.example/ana".parse().unwrap()]),
            audience: BTreeSet::from(["prod/*/db/**".parse().unwrap()]),
            roles: [("engineer".parse().unwrap(), Membership { until: Some(at(9)), ..Membership::default() })].into(),
            until: Some(at(9)),
            state: AccountState::Active,
        }
    }

    fn disabled(because: Disabling) -> AccountState {
        AccountState::Disabled { reason: String::new(), because }
    }

    fn said(more: &BTreeSet<Right>) -> Vec<String> {
        more.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn an_account_has_more_by_each_of_its_fields() {
        let more = |change: fn(&mut Account)| {
            let mut changed = account();
            change(&mut changed);
            // what is more the one way round is not more the other way
            let back = more_in_account(&changed, &account());
            (said(&more_in_account(&account(), &changed)), said(&back))
        };
        let only = |what: &str| (vec![what.to_owned()], Vec::new());
        let until = "1970-01-01T00:00:00.010Z";
        assert_eq!(more(|it| it.until = Some(at(10))), only(&format!("be used until {until}")));
        assert_eq!(more(|it| it.until = None), only("be used without an end"));
        assert_eq!(
            more(|it| {
                it.audience.insert("prod/eu/db/orders".parse().unwrap());
            }),
            (Vec::new(), Vec::new()),
            "what is covered already"
        );
        assert_eq!(
            more(|it| {
                it.audience.insert("stage/**".parse().unwrap());
            }),
            only("check `stage/**` once a role lets it check")
        );
        assert_eq!(
            more(|it| {
                it.identities.insert("spiffe://northwind.example/other".parse().unwrap());
            }),
            only("be `spiffe://northwind.example/other`")
        );
        assert_eq!(
            more(|it| {
                it.roles.insert("robot".parse().unwrap(), Membership::default());
            }),
            only("be in `robot` without an end")
        );
        let engineer = |change: fn(&mut Membership)| {
            let mut changed = account();
            change(changed.roles.get_mut("engineer").unwrap());
            said(&more_in_account(&account(), &changed)).len()
        };
        assert_eq!(engineer(|it| it.until = Some(at(10))), 1);
        assert_eq!(engineer(|it| it.cut = Some(Cut { until: None })), 1, "it could be kept");
        assert_eq!(engineer(|it| it.until = Some(at(8))), 0);
        assert_eq!(engineer(|it| it.suspended = Some(at(1))), 0);
        let enrolment = uuid::Uuid::from_u128(1).into();
        let mut unconfirmed = account();
        unconfirmed.roles.get_mut("engineer").unwrap().confirm = Some(Confirm { campaign: enrolment, by: at(3) });
        assert_eq!(more_in_account(&unconfirmed, &account()).len(), 1, "it need not be confirmed any more");
        assert_eq!(
            more(|it| it.kind = AccountKind::ServiceTeam { person: "ben".parse().unwrap() }).0,
            ["be an account of `ben`"]
        );
    }

    #[test]
    fn each_state_is_more_than_what_is_harder_to_open() {
        let states = [
            AccountState::Closed,
            disabled(Disabling::Termination),
            disabled(Disabling::Directory),
            AccountState::Active,
        ];
        for (low, was) in states.iter().enumerate() {
            for (high, is) in states.iter().enumerate() {
                let of = |state: &AccountState| Account { state: state.clone(), ..account() };
                let more = more_in_account(&of(was), &of(is)).contains(&Right::InUse);
                assert_eq!(more, high > low, "{was:?} to {is:?}");
            }
            let opens = low > 1;
            assert_eq!(opened(&Account { state: was.clone(), ..account() }).is_in_use(at(99)), opens, "{was:?}");
        }
    }

    #[test]
    fn a_person_has_more_by_each_of_their_fields() {
        let ana = || Person {
            manager: Some("ines".parse().unwrap()),
            attestations: [("dba".parse().unwrap(), at(5)), ("oath".parse().unwrap(), at(50))].into(),
            employed_until: Some(at(99)),
            moves: vec![Move { at: at(20), manager: Some("odo".parse().unwrap()) }],
            touched: true,
            ..Person::default()
        };
        let more = |change: fn(&mut Person)| {
            let mut changed = ana();
            change(&mut changed);
            said(&more_in_person(&ana(), &changed, at(10)))
        };
        assert_eq!(more(|_| ()), Vec::<String>::new());
        assert_eq!(more(|it| it.manager = Some("omar".parse().unwrap())), ["the manager `omar`"]);
        assert_eq!(more(|it| it.manager = None), ["no manager"]);
        assert_eq!(more(|it| (it.manager, it.awaits_manager) = (None, true)), Vec::<String>::new());
        assert_eq!(more(|it| it.moves = Vec::new()), ["the manager `ines`"], "a transfer is called off");
        let attested = |name: &str, millis| format!("an attestation of `{name}` at {}", at(millis));
        assert_eq!(more(|it| set(it, "dba", 6)), [attested("dba", 6)]);
        assert_eq!(more(|it| set(it, "dba", 4)), Vec::<String>::new());
        assert_eq!(more(|it| set(it, "oath", 9)), [attested("oath", 9)], "one that is ahead does not count yet");
        assert_eq!(more(|it| it.employed_until = None), ["employment without an end"]);
        assert_eq!(more(|it| it.employment = Employment::Left), Vec::<String>::new());
        assert_eq!(more(|it| it.touched = false), ["take what files give again"]);
        assert_eq!(more(|it| it.tenant = Some("acme".parse().unwrap())), ["be of tenant `acme`"]);
        let left = Person { employment: Employment::Left, ..ana() };
        assert_eq!(said(&more_in_person(&left, &ana(), at(10))), [format!("employment until {}", at(99))]);
    }

    fn set(person: &mut Person, name: &str, millis: i64) {
        person.attestations.insert(name.parse().unwrap(), at(millis));
    }
}
