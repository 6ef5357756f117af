//! Files, ports and journals that are not right: each is an error at once that says what to do, and nothing is changed
//! (known failures H5, H15 and H16).

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use rusqlite::Connection;

use crate::harness::{Broker, Start, countersign, run, verify};
use crate::organisation::{Files, Organisation};
use crate::person::repair;

#[test]
fn a_policy_with_five_mistakes_is_refused_with_five_lines_and_makes_no_journal() {
    let (policy, lines) = five_mistakes();
    let organisation = Organisation::with(&Files { policy, ..Files::example() });
    let ended = organisation.init();
    assert_eq!(ended.code, Some(1), "{}{}", ended.stdout, ended.stderr);
    let told = format!("{}{}", ended.stdout, ended.stderr);
    for line in lines {
        let named = told.contains(&format!(":{line}:")) || told.contains(&format!("line {line}"));
        assert!(named, "line {line} is not named:\n{told}");
    }
    assert!(!organisation.journal().exists());
}

#[test]
fn a_directory_that_names_an_unknown_role_is_refused_at_its_line() {
    let mut files = Files::example();
    files.directory = files.directory.replacen("[\"db-engineer\"]", "[\"db-enginer\"]", 1);
    let line = 1 + files.directory.lines().position(|line| line.contains("db-enginer")).unwrap();
    let organisation = Organisation::with(&files);
    let ended = organisation.init();
    assert_eq!(ended.code, Some(1), "{}{}", ended.stdout, ended.stderr);
    let told = format!("{}{}", ended.stdout, ended.stderr);
    assert!(told.contains("`db-enginer`") && told.contains(&line.to_string()), "line {line}:\n{told}");
    assert!(!organisation.journal().exists());
}

#[test]
fn a_journal_is_filled_once_and_a_missing_one_is_not_made_by_serving() {
    let organisation = Organisation::new();
    let told = organisation.serve_refused();
    assert!(told.contains("countersign init"), "{told}");
    assert!(!organisation.journal().exists());
    assert_eq!(organisation.init().code, Some(0));
    let before = verify(&organisation).stdout;
    assert!(before.contains("every row verifies"), "{before}");
    let again = organisation.init();
    assert_eq!(again.code, Some(1), "{}{}", again.stdout, again.stderr);
    let what_to_do = "propose a new policy or directory to the running broker";
    assert!(again.stderr.contains(what_to_do), "{}", again.stderr);
    assert_eq!(verify(&organisation).stdout, before);
}

#[tokio::test]
async fn a_journal_that_was_tampered_with_is_refused_and_the_row_named() {
    // given a journal with a few rows and nobody on it
    let broker = Broker::new();
    broker.person("ana").await.request(repair()).await.unwrap();
    let organisation = broker.kill();
    assert_eq!(verify(&organisation).code, Some(0));
    let rows = rows(&organisation);
    assert!(rows > 20);
    let flip_body = "UPDATE journal SET body = replace(body, '\"ana\"', '\"anb\"') WHERE seq = ?1";
    let flip_hash = "UPDATE journal SET hash = CAST(substr(hash, 1, 31)
        || CASE substr(hash, 32) WHEN x'00' THEN x'01' ELSE x'00' END AS BLOB) WHERE seq = ?1";
    let move_row = "UPDATE journal SET seq = seq + 1000 WHERE seq = ?1";
    let edits: [(&str, &str, i64); 6] = [
        ("a flipped bit in the body", flip_body, rows),
        ("a flipped bit in the hash", flip_hash, 5),
        ("a flipped bit in the number", move_row, 7),
        ("a deleted row", "DELETE FROM journal WHERE seq = ?1", 9),
        ("the first row deleted", "DELETE FROM journal WHERE seq = ?1", 1),
        (
            "two rows swapped",
            "UPDATE journal SET body = (SELECT o.body FROM journal o WHERE o.seq = 2 * ?1 + 1 - journal.seq),
             hash = (SELECT o.hash FROM journal o WHERE o.seq = 2 * ?1 + 1 - journal.seq) WHERE seq IN (?1, ?1 + 1)",
            11,
        ),
    ];
    for (what, edit, row) in edits {
        // when one thing of one row is changed
        let copy = copy_of(&organisation);
        let changed = Connection::open(copy.journal()).unwrap().execute(edit, [row]).unwrap();
        assert!(changed > 0, "{what}");
        // then the broker does not start, and the auditor's tool says the same
        for told in [copy.serve_refused(), verify(&copy).stderr] {
            assert!(told.contains(&format!("row {row} ")) && told.contains("restore a copy"), "{what}: {told}");
        }
        assert_eq!(verify(&copy).code, Some(1), "{what}");
    }
    // and the journal as it was is served
    Broker::serve(&organisation, &Start::default()).person("ana").await;
}

#[tokio::test]
async fn a_second_broker_on_the_journal_and_a_busy_port_are_refused_while_the_first_goes_on() {
    let broker = Broker::new();
    let told = broker.organisation.serve_refused();
    assert!(told.contains("another broker has the journal") && told.contains("stop it first"), "{told}");
    // given another journal, and the port of the first
    let other = Organisation::new();
    assert_eq!(other.init().code, Some(0));
    let start = Start { flags: vec!["--listen".to_owned(), broker.address.to_string()], ..Start::default() };
    let ended = run(&mut other.serve_command(&start));
    assert_eq!(ended.code, Some(1), "{}{}", ended.stdout, ended.stderr);
    assert!(ended.stderr.contains(&broker.address.to_string()) && ended.stderr.contains("in use"), "{}", ended.stderr);
    broker.person("ana").await.request(repair()).await.unwrap();
    // and a start that failed leaves a journal that can be served
    Broker::serve(&other.into(), &Start::default()).person("ana").await;
}

#[test]
fn files_that_others_can_read_or_that_are_not_there_are_refused_by_name() {
    let organisation = Organisation::new();
    assert_eq!(organisation.init().code, Some(0));
    let set =
        |name: &str, mode| std::fs::set_permissions(organisation.path(name), std::fs::Permissions::from_mode(mode));
    for (name, mode) in [("broker.key", 0o640), ("broker.key", 0o604), ("journal.db", 0o644)] {
        // when others than the owner could read it, then it is refused, with what to type
        set(name, mode).unwrap();
        let told = organisation.serve_refused();
        assert!(told.contains(name) && told.contains("600"), "{told}");
        set(name, 0o600).unwrap();
    }
    for name in ["broker.key", "broker.pem", "northwind.pem", "broker.toml"] {
        // when it is not there, then its name is told
        let away = organisation.path("away");
        std::fs::rename(organisation.path(name), &away).unwrap();
        let told = run(&mut organisation.serve_command(&Start::default()));
        assert!(matches!(told.code, Some(1 | 2)) && told.stderr.contains(name), "{name}: {}", told.stderr);
        std::fs::rename(&away, organisation.path(name)).unwrap();
    }
    // when it is not what it should be
    std::fs::write(organisation.path("broker.key"), "not a key").unwrap();
    let told = organisation.serve_refused();
    assert!(told.contains("broker.key"), "{told}");
}

#[test]
fn every_mistake_of_the_configuration_is_told_and_check_config_starts_nothing() {
    let organisation = Organisation::new();
    assert_eq!(organisation.init().code, Some(0));
    let check = |organisation: &Organisation| {
        run(countersign().args(["serve", "--check-config", "--config"]).arg(organisation.path("broker.toml")))
    };
    assert_eq!(check(&organisation).code, Some(0));
    organisation.configure("grants_on_restart = \"maybe\"\nlisten_on = \"x\"\ndrain_deadline = \"soon\"");
    for ended in [check(&organisation), run(&mut organisation.serve_command(&Start::default()))] {
        assert!(matches!(ended.code, Some(1 | 2)), "{}{}", ended.stdout, ended.stderr);
        for word in ["grants_on_restart", "listen_on", "drain_deadline"] {
            assert!(ended.stderr.contains(word), "{word}: {}", ended.stderr);
        }
    }
}

/// The example with five mistakes of five kinds, and their lines.
pub fn five_mistakes() -> (String, Vec<usize>) {
    let mut policy = Files::example().policy;
    let edits = [
        // a number for a text, a time that is none, a role that there is not, one that asks and approves, a pattern
        ("valid_for = \"730d\"", "valid_for = 730"),
        ("review_within = \"30m\"", "review_within = \"half an hour\""),
        ("}, { by = [\"security-duty\"], count = 1 }]", "}, { by = [\"security-dutty\"], count = 1 }]"),
        ("approval = [{ by = [\"incident-commander\", \"security-duty\"]", "approval = [{ by = [\"db-engineer\"]"),
        ("[\"prod/*/apps/orders\"]", "[\"prod/../apps/orders\"]"),
    ];
    let mut places = Vec::new();
    for (right, wrong) in edits {
        assert_eq!(policy.matches(right).count(), 1, "{right}");
        policy = policy.replace(right, wrong);
    }
    for (_, wrong) in edits {
        places.push(1 + policy.lines().position(|line| line.contains(wrong)).unwrap());
    }
    places.sort_unstable();
    (policy, places)
}

fn rows(organisation: &Organisation) -> i64 {
    let connection = Connection::open(organisation.journal()).unwrap();
    connection.query_row("SELECT count(*) FROM journal", [], |row| row.get(0)).unwrap()
}

/// The journal in a folder of its own, with what a broker that was killed left beside it.
fn copy_of(organisation: &Organisation) -> Organisation {
    let copy = Organisation::new();
    for suffix in ["", "-wal", "-shm"] {
        let name = format!("journal.db{suffix}");
        let (from, to) = (organisation.path(&name), copy.path(&name));
        if Path::new(&from).exists() {
            std::fs::copy(from, to).unwrap();
        }
    }
    copy
}
