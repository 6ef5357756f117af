//! Random histories, against the plain rules of [`crate::check::reference`].

use super::*;
use crate::check::reference::Reference;
use crate::domain::value::scope::Pattern;
use proptest::prelude::*;

const ACCOUNTS: [&str; 4] = ["ana", "ben", "orders-api", "zoe"];
const PATTERNS: [&str; 10] = [
    "**",
    "*",
    "*/db/**",
    "prod/**",
    "prod/*/db",
    "prod/eu/db",
    "tenants/*/db",
    "tenants/acme/**",
    "prod/eu/*",
    "prod/eu/**",
];
/// Three bits of the hash alone: names collide, in two shards.
const FEW_HASHES: u64 = 0x0300_0000_0000_0001;

/// A step of a random history. An identity is moved, never given to two.
#[derive(Debug, Clone)]
enum Step {
    Account { id: usize, active: bool, locked: bool, baseline_until: i64, audience: usize, checks_until: i64 },
    Gone { id: usize },
    Move { identity: usize, to: usize },
    Grant { holder: usize, number: u128, patterns: [usize; 2], action: usize, end: i64, started: bool, locked: bool },
    GrantGone { holder: usize, number: u128 },
    Baseline { pattern: usize },
    Locked { patterns: Vec<usize> },
}

fn any_step() -> impl Strategy<Value = Step> {
    let (holder, pattern) = (0..ACCOUNTS.len(), 0..PATTERNS.len());
    prop_oneof![
        2 => (holder.clone(), any::<bool>(), 0_i64..6, pattern.clone(), 0_i64..6, 0..4).prop_map(
            |(id, inactive, baseline_until, audience, checks_until, locked)| Step::Account {
                id, active: !inactive || id == 2, locked: locked == 0 && id != 2, baseline_until: baseline_until * 10, audience, checks_until: checks_until * 10 }),
        1 => holder.clone().prop_map(|id| Step::Gone { id }),
        2 => (0_usize..4, 0..=ACCOUNTS.len()).prop_map(|(identity, to)| Step::Move { identity, to }),
        5 => (holder.clone(), 0_u128..5, [pattern.clone(), pattern.clone()], 0_usize..2, 0_i64..6, any::<bool>(), 0..3).prop_map(
            |(holder, number, patterns, action, end, started, locked)| Step::Grant { holder, number, patterns, action, end: end * 10, started, locked: locked == 0 }),
        2 => (holder, 0_u128..5).prop_map(|(holder, number)| Step::GrantGone { holder, number }),
        1 => pattern.clone().prop_map(|pattern| Step::Baseline { pattern }),
        1 => prop::collection::vec(pattern, 0..3).prop_map(|patterns| Step::Locked { patterns }),
    ]
}

/// The changes that a step is, given what is so before it.
fn changes_of(step: &Step, before: &Reference) -> Vec<Change> {
    let known = |id: usize| before.accounts.get(ACCOUNTS[id]).cloned().unwrap_or_else(|| account(ACCOUNTS[id]));
    match *step {
        Step::Locked { ref patterns } => {
            vec![Change::Locked(patterns.iter().map(|pattern| PATTERNS[*pattern].parse().unwrap()).collect())]
        }
        Step::Account { id, active, locked, baseline_until, audience, checks_until } => {
            let audience = [PATTERNS[audience].parse().unwrap()].into();
            vec![Change::Account(AccountEntry {
                active,
                locked,
                baseline_until: at(baseline_until),
                audience,
                checks_until: at(checks_until),
                ..known(id)
            })]
        }
        Step::Gone { id } => vec![Change::AccountGone(ACCOUNTS[id].parse().unwrap())],
        Step::Move { identity: number, to } => {
            let mut changes = Vec::new();
            if let Some(mut owner) = before.named(identity(number).as_str()).cloned() {
                owner.identities.remove(&identity(number));
                changes.push(Change::Account(owner));
            }
            if to < ACCOUNTS.len() {
                let mut owner = known(to);
                owner.identities.insert(identity(number));
                changes.push(Change::Account(owner));
            }
            changes
        }
        Step::Grant { holder, number, patterns, action, end, started, locked } => {
            let scope =
                scope(&["db.write", ["db.read", "db.list"][action]], &patterns.map(|pattern| PATTERNS[pattern]));
            vec![Change::Grant(GrantEntry { scope, started, locked, ..grant(ACCOUNTS[holder], number, end) })]
        }
        Step::GrantGone { holder, number } => {
            vec![Change::GrantGone { holder: ACCOUNTS[holder].parse().unwrap(), id: Uuid::from_u128(number).into() }]
        }
        Step::Baseline { pattern } => vec![Change::Baseline(vec![scope(&["db.list"], &[PATTERNS[pattern]])])],
    }
}

fn any_name() -> impl Strategy<Value = String> {
    prop_oneof![
        8 => prop::sample::select(&ACCOUNTS[..]).prop_map(str::to_owned),
        6 => (0_usize..4).prop_map(|number| identity(number).to_string()),
        1 => ".{0,12}",
    ]
}

fn any_question() -> impl Strategy<Value = (String, String, String)> {
    let action = prop_oneof![9 => prop::sample::select(vec!["db.read", "db.list", "db.write"]).prop_map(str::to_owned), 1 => ".{0,8}"];
    let resources = vec![
        "prod",
        "prod/eu",
        "prod/eu/db",
        "prod/us/db",
        "test/db/x",
        "tenants/acme/db",
        "tenants/acme",
        "tenants",
        "prod//db",
        "prod/eu/**",
    ];
    let resource = prop_oneof![9 => prop::sample::select(resources).prop_map(str::to_owned), 1 => ".{0,20}"];
    (any_name(), action, resource)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]

    /// The index and the plain rules give one verdict after any history; and a batch is its checks (known failures F1 and F10).
    #[test]
    fn the_index_agrees_with_the_plain_rules(
        batches in prop::collection::vec((prop::collection::vec(any_step(), 1..6), any::<bool>()), 1..8),
        caller in any_name(),
        questions in prop::collection::vec(any_question(), 1..40),
        now in 0_i64..60,
        hash_mask in prop::sample::select(vec![u64::MAX, FEW_HASHES, 0]),
    ) {
        let (index, mut reference) = (CheckIndex::with_hash_mask(hash_mask), Reference::default());
        index.written().tally = Some(super::super::Tally::default());
        let scopes = |audience: &str| AccountEntry { checks_until: Timestamp::MAX, audience: [audience.parse().unwrap()].into(), ..account("orders-api") };
        for id in ACCOUNTS {
            let first = Change::Account(if id == "orders-api" { scopes("**") } else { account(id) });
            reference.apply(&first);
            index.apply(&[first]);
        }
        for (steps, reverse) in batches {
            let mut batch = Vec::new();
            for step in steps {
                let changes = changes_of(&step, &reference);
                changes.iter().for_each(|change| reference.apply(change));
                batch.extend(changes);
            }
            if reverse {
                // Of one thing the last counts, so that one stays last; different things change places.
                batch.reverse();
                batch.sort_by_key(|change| match change {
                    Change::Grant(_) | Change::GrantGone { .. } => 0,
                    Change::Baseline(_) | Change::Locked(_) => 1,
                    Change::Account(_) | Change::AccountGone(_) => 2,
                });
                let mut seen = Vec::new();
                batch.retain(|change| {
                    let thing = match change {
                        Change::Account(AccountEntry { id, .. }) | Change::AccountGone(id) => format!("{id}"),
                        Change::Grant(GrantEntry { holder, id, .. }) | Change::GrantGone { holder, id } => format!("{holder} {id}"),
                        Change::Baseline(_) => String::new(),
                        Change::Locked(_) => "locked".to_owned(),
                    };
                    let new = !seen.contains(&thing);
                    seen.push(thing);
                    new
                });
            }
            index.apply(&batch);
        }
        let callers = [caller.as_str(), "orders-api"];
        for caller_name in callers {
            let caller = index.caller(caller_name);
            let queries: Vec<Query<'_>> = questions.iter().map(|(subject, action, resource)| ask(subject, action, resource)).collect();
            let expected: Vec<_> = queries.iter().map(|query| reference.check(caller_name, *query, at(now))).collect();
            let found: Vec<_> = queries.iter().map(|query| caller.as_ref().map(|c| index.check(c, *query, at(now)))).collect();
            prop_assert_eq!(&found, &expected, "{:?}", &queries);
            let mut batch = Vec::new();
            if let Some(caller) = &caller {
                index.check_batch(caller, &queries, at(now), &mut batch);
                prop_assert_eq!(batch.into_iter().map(Some).collect::<Vec<_>>(), found);
            }
        }
        let entries = {
            let written = index.written();
            let tally = written.tally.as_ref().unwrap();
            reference.entries(tally.baseline.is_some(), tally.locked.is_some())
        };
        let digest = entries.iter().fold(SetDigest::default(), |sum, entry| sum.with(&entry.digest()));
        prop_assert_eq!(index.count_and_digest(), (u64::try_from(entries.len()).unwrap(), digest));
        let known: usize = reference.accounts.values().map(|account| account.identities.len() + 1).sum();
        let orphans: BTreeSet<_> = reference.grants.keys().map(|(holder, _)| holder).filter(|holder| !reference.accounts.contains_key(*holder)).collect();
        let statistics = index.statistics();
        prop_assert_eq!(statistics.grants, reference.grants.len());
        prop_assert_eq!(statistics.holders, reference.accounts.len() + orphans.len());
        if hash_mask == u64::MAX {
            prop_assert_eq!(statistics.names, known + orphans.len());
        }
    }

    /// Whatever is locked, and in however many ways: what was denied stays denied, and an allowance is one that there was.
    #[test]
    fn invariant_6_a_lock_never_turns_a_deny_into_an_allow(
        steps in prop::collection::vec(any_step(), 1..24),
        accounts in prop::collection::btree_set(0..ACCOUNTS.len(), 0..3),
        numbers in prop::collection::btree_set(0_u128..5, 0..4),
        patterns in prop::collection::btree_set(0..PATTERNS.len(), 0..3),
        questions in prop::collection::vec(any_question(), 1..40),
        now in 0_i64..60,
    ) {
        // given any history
        let (index, mut before) = (CheckIndex::new(), Reference::default());
        let asker = AccountEntry { checks_until: Timestamp::MAX, audience: ["**".parse().unwrap()].into(), ..account("orders-api") };
        before.apply(&Change::Account(asker));
        for step in steps {
            let steps = changes_of(&step, &before);
            steps.iter().for_each(|change| before.apply(change));
        }
        // when locks come over it
        let mut after = before.clone();
        after.accounts.values_mut().for_each(|it| it.locked |= accounts.iter().any(|id| ACCOUNTS[*id] == it.id.as_str()));
        after.grants.values_mut().for_each(|it| it.locked |= numbers.contains(&it.id.uuid().as_u128()));
        after.locked.extend(patterns.iter().map(|pattern| PATTERNS[*pattern].parse::<Pattern>().unwrap()));
        index.apply(&before.entries(true, true));
        let ask_all = |index: &CheckIndex| -> Vec<Option<Verdict>> {
            let caller = index.caller("orders-api");
            let verdict = |(subject, action, resource): &(String, String, String)| {
                caller.as_ref().map(|caller| index.check(caller, ask(subject, action, resource), at(now)))
            };
            questions.iter().map(verdict).collect()
        };
        let was = ask_all(&index);
        index.apply(&after.entries(true, true));
        // then nothing more is allowed
        let allowed = |verdict: Option<Verdict>| verdict.is_some_and(|verdict| verdict.is_allowed());
        for (was, is) in was.into_iter().zip(ask_all(&index)) {
            prop_assert!(allowed(was) || !allowed(is), "{:?} became {:?}", was, is);
        }
    }
}
