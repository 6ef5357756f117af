//! Policy and directory files: what parses, and what is said of what does not. The texts are part of the product.
#![allow(clippy::panic, clippy::unwrap_used, reason = "a test fails by panicking")]

use countersign::domain::directory::{AccountKind, AccountState, ActsFor, Disabling};
use countersign::domain::directory_file::{ParsedDirectory, parse_directory};
use countersign::domain::policy::{ParsedPolicy, check_together, parse_policy};
use proptest::prelude::*;

#[path = "policy_files/mistakes.rs"]
mod mistakes;

const POLICY: &str = include_str!("../examples/policy.toml");
const DIRECTORY: &str = include_str!("../examples/directory.toml");

fn policy(text: &str) -> ParsedPolicy {
    parse_policy(text).unwrap_or_else(|mistakes| panic!("{}", shown(&mistakes)))
}

fn directory(text: &str) -> ParsedDirectory {
    parse_directory(text).unwrap_or_else(|mistakes| panic!("{}", shown(&mistakes)))
}

fn shown<T: std::fmt::Display>(all: &[T]) -> String {
    all.iter().map(|one| format!("{one}\n")).collect()
}

fn policy_mistakes(text: &str) -> String {
    shown(&parse_policy(text).err().unwrap_or_default())
}

fn directory_mistakes(text: &str) -> String {
    shown(&parse_directory(text).err().unwrap_or_default())
}

/// An entitlement with one more or another line; the roles and what it needs are there.
fn entitlement(line: &str) -> String {
    let key = line.split_once('=').map_or("", |(key, _)| key.trim());
    let lines = [
        "title = \"X\"",
        "actions = [\"db.read\"]",
        "resources = [\"prod/db\"]",
        "requestable_by = [\"engineer\"]",
        "max_duration = \"1h\"",
        "approval = [{ by = [\"commander\"], count = 1 }]",
    ];
    let kept: Vec<&str> = lines.into_iter().filter(|kept| kept.split_once('=').unwrap().0.trim() != key).collect();
    format!("[roles]\nengineer = {{}}\ncommander = {{}}\n[entitlements.x]\n{line}\n{}\n", kept.join("\n"))
}

#[test]
fn the_examples_are_right_and_leave_nothing_to_warn_of() {
    let (policy, directory) = (policy(POLICY), directory(DIRECTORY));
    assert_eq!(shown(&policy.warnings) + &shown(&directory.warnings), "");
    assert_eq!(check_together(&policy.policy, &directory.directory), Ok(vec![]));
    let dates = DIRECTORY.matches("2026-").count();
    assert_eq!(dates, DIRECTORY.matches("= 2026-11-02").count(), "one date throughout, so that it can be replaced");
    let bot = directory.directory.accounts.get("deploy-bot").unwrap();
    assert!(matches!(&bot.kind, AccountKind::Service { acts_for: ActsFor::People, .. }));
}

#[test]
fn the_example_policy_means_what_it_says() {
    let policy = policy(POLICY).policy;
    let repair = &policy.entitlements["orders-db-repair"].terms;
    assert_eq!(repair.default_duration.to_string() + " " + &repair.max_duration.to_string(), "15m 1h");
    assert_eq!(repair.max_continuous.unwrap().to_string(), "4h");
    assert_eq!(repair.min_break.unwrap().to_string(), "24m", "a tenth, where policy names none");
    assert_eq!((repair.justification_min_length, repair.start_within), (Some(10), None));
    assert!(repair.ticket.as_ref().unwrap().matches("INC-4711") && !repair.ticket.as_ref().unwrap().matches("INC-"));
    let payments = &policy.entitlements["payments-db-admin"].terms;
    assert_eq!(payments.approval.len(), 2);
    assert_eq!(payments.default_duration.to_string(), "15m", "where policy names none");
    assert_eq!(payments.review_within.to_string(), "1h", "where policy names none");
    assert!(policy.digest.is_some());
}

#[test]
fn the_sample_of_the_design_parses() {
    let sample = r#"
[baseline]
requires = ["screening", "background-check", "annual-training"]
allows = [{ actions = ["metadata.read"], resources = ["status/**"] }]
approval = [{ by = ["@manager"], count = 1 }]
manager_missing = ["people-office"]
transfer_grace = "14d"
[requirements.screening]
valid_for = "never"
[requirements.background-check]
valid_for = "730d"
[requirements]
annual-training = { valid_for = "365d" }
dba-training = { valid_for = "365d" }
[limits]
pending_per_person = 5
live_grants_per_person = 10
hr_silence = "26h"
hr_brake = { people = 50, percent = 2 }
author_waits = "24h"
[roles]
people-office = {}
incident-commander = {}
security-duty = {}
enforcement-point = { for = "machines", capabilities = ["access.check"] }
[roles.db-engineer]
requires = ["dba-training"]
owner = "ines"
longest_membership = "180d"
[roles.training-feed]
for = "machines"
capabilities = [{ name = "attestation.record", requirements = ["annual-training"] }]
[entitlements.orders-db-repair]
title = "Repair the orders database"
actions = ["db.read", "db.write"]
resources = ["prod/*/db/orders/**"]
requestable_by = ["db-engineer"]
default_duration = "15m"
max_duration = "1h"
max_continuous = "4h"
review_within = "30m"
start_within = "7d"
justification = { min_length = 10 }
ticket = "INC-[0-9]+"
approval = [{ by = ["incident-commander"], count = 1 }]
emergency = { max_duration = "20m", approval = [{ by = ["security-duty"], count = 1 }], follow_up_within = "72h" }
"#;
    let people = r#"
[tenants.acme]
trust_domain = "acme.example"
[people.ines]
[people.ana]
login = ["spiffe://northwind.example/person/ana"]
manager = "ines"
attestations = { screening = 2023-02-01, background-check = 2026-02-03 }
[accounts.ana]
person = "ana"
identities = ["spiffe://northwind.example/person/ana"]
roles = [{ role = "db-engineer", until = 2027-01-31 }]
[accounts.orders-api]
owner = "ana"
identities = ["spiffe://northwind.example/service/orders-api"]
audience = ["prod/*/db/orders/**"]
roles = ["enforcement-point"]
"#;
    let (policy, directory) = (policy(sample), directory(people));
    assert!(check_together(&policy.policy, &directory.directory).is_ok());
    let ana = directory.directory.people.get("ana").unwrap();
    assert!(ana.login.is_empty(), "the login moved to the account");
    assert_eq!(ana.attestations["screening"].to_string(), "2023-02-01T00:00:00.000Z", "from the start of the day");
    let until = directory.directory.accounts.get("ana").unwrap().roles["db-engineer"].until.unwrap();
    assert_eq!(until.to_string(), "2027-02-01T00:00:00.000Z", "to the end of the day");
}

#[test]
fn instants_say_their_offset_and_disabled_accounts_their_reason() {
    let text = "[people.ana]\n[accounts.ana]\nperson = \"ana\"\nidentities = [\"spiffe://n.example/ana\"]\n\
                until = 2027-01-31T18:00:00+02:00\ndisabled = \"on leave\"\n";
    let account = directory(text).directory.accounts.get("ana").unwrap().clone();
    assert_eq!(account.until.unwrap().to_string(), "2027-01-31T16:00:00.000Z");
    assert_eq!(account.state, AccountState::Disabled { reason: "on leave".into(), because: Disabling::Directory });
}

#[test]
fn terms_are_the_same_whatever_the_title_and_differ_with_the_rest() {
    let digest = |line: &str| policy(&entitlement(line)).policy.entitlements["x"].terms_digest;
    let plain = digest("");
    assert_eq!(digest("title = \"Y\""), plain);
    assert_eq!(digest("description = \"Z\""), plain);
    assert_ne!(digest("max_duration = \"59m\""), plain);
    assert_ne!(digest("ticket = \"INC-[0-9]+\""), plain);
}

#[test]
fn what_a_damaged_line_may_have_said_is_not_reported_as_missing() {
    // given a header that is not closed and a value without quotes
    let header = POLICY.replace("[roles.incident-commander]", "[roles.incident-commander");
    let value = POLICY.replace("max_duration = \"4h\"", "max_duration = 4h");
    // then only they are reported: not the role that was defined there, nor the key that was given there
    for text in [header, value] {
        let mistakes = parse_policy(&text).unwrap_err();
        assert_eq!(mistakes.len(), 1, "{}", shown(&mistakes));
        assert!(mistakes[0].found.starts_with("invalid TOML"));
    }
}

#[test]
fn every_key_is_in_the_documentation() {
    let documentation = include_str!("../docs/policy.md");
    let policies = [
        "x = 1",
        "baseline = { x = 1 }",
        "baseline = { allows = [{ x = 1 }], approval = [{ x = 1 }] }",
        "requirements.a = { x = 1 }",
        "limits = { x = 1, hr_brake = { x = 1 } }",
        "tenant_limits = { x = 1 }",
        "roles.a = { x = 1, capabilities = [{ x = 1 }, \"x\"] }",
        "entitlements.a = { x = 1, emergency = { x = 1 }, justification = { x = 1 } }",
    ];
    let directories = ["tenants.a = { x = 1 }", "people.a = { x = 1 }", "accounts.a = { x = 1, roles = [{ x = 1 }] }"];
    let policies = policies.iter().flat_map(|text| parse_policy(text).unwrap_err());
    let directories = directories.iter().flat_map(|text| parse_directory(text).unwrap_err());
    let lists = policies.chain(directories).filter(|mistake| mistake.wanted.contains("one of"));
    let mut keys = 0;
    for mistake in lists {
        for key in mistake.wanted.split('`').skip(1).step_by(2) {
            assert!(documentation.contains(&format!("`{key}`")), "`{key}` ({mistake})");
            keys += 1;
        }
    }
    assert!(keys > 60, "{keys} keys");
}

#[test]
fn sizes_are_bounded() {
    assert!(policy_mistakes(&"#".repeat(256 * 1024 + 1)).contains("a file of 262145 bytes; wanted at most 256 KiB"));
    assert!(directory_mistakes(&"#".repeat(16 * 1024 * 1024 + 1)).contains("wanted at most 16384 KiB"));
    // A thousand mistakes are enough to go on with.
    let many: String = (0..20_000).map(|n| format!("x{n} = 1\n")).collect();
    let mistakes = parse_directory(&many).unwrap_err();
    assert_eq!(mistakes.len(), 1_001);
    assert_eq!(mistakes[1_000].found, "19000 more mistakes");
}

/// A valid text with a few bytes replaced, inserted or removed.
fn mutated(text: &'static str) -> impl Strategy<Value = String> {
    let edit = (0..text.len(), 0..8_usize, "[ -~\n]{0,6}|[\\[\\]{}=\",.#'\n]{1,4}");
    proptest::collection::vec(edit, 1..6).prop_map(move |edits| {
        let mut mutated = text.to_owned();
        for (at, length, new) in edits {
            let start = at.min(mutated.len());
            let end = start.saturating_add(length).min(mutated.len());
            mutated.replace_range(start..end, &new);
        }
        mutated
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn no_text_makes_the_parsers_panic(text in "(?s).{0,200}|[\\[\\]{}=\",.#'\n a-c0-9-]{0,300}") {
        let _ = parse_policy(&text);
        let _ = parse_directory(&text);
    }

    #[test]
    fn a_damaged_file_is_refused_with_places_or_means_something_consistent(text in mutated(POLICY)) {
        match parse_policy(&text) {
            Ok(parsed) => for entitlement in parsed.policy.entitlements.values() {
                let approving: Vec<_> = parsed.policy.approving_roles(&entitlement.terms).collect();
                prop_assert!(approving.iter().all(|role| !entitlement.terms.requestable_by.contains(*role)));
                prop_assert!(entitlement.terms.approval.iter().all(|stage| !stage.by.is_empty() && stage.count > 0));
                prop_assert!(!entitlement.terms.approval.is_empty() && !entitlement.terms.requestable_by.is_empty());
            },
            Err(mistakes) => {
                prop_assert!(!mistakes.is_empty() && mistakes.is_sorted());
                let lines = u32::try_from(text.matches('\n').count()).unwrap() + 1;
                prop_assert!(mistakes.iter().all(|mistake| (1..=lines).contains(&mistake.line)));
            }
        }
    }

    #[test]
    fn a_damaged_directory_never_lets_an_identity_mean_two(text in mutated(DIRECTORY)) {
        if let Ok(parsed) = parse_directory(&text) {
            let mut seen = std::collections::BTreeSet::new();
            for identity in parsed.directory.accounts.values().flat_map(|account| &account.identities) {
                prop_assert!(seen.insert(identity.clone()));
            }
            for identity in parsed.directory.people.values().flat_map(|person| &person.login) {
                prop_assert!(seen.insert(identity.clone()));
            }
        }
    }
}
