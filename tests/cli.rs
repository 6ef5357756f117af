//! What the binary says where it needs no broker: help, usage errors, checking files, verifying journals.
#![allow(clippy::unwrap_used, reason = "the helpers of a test may fail it")]

use std::path::Path;
use std::process::{Command, Output};

#[test]
fn golden() {
    // given an environment that names no broker
    trycmd::TestCases::new().env("HOME", "/nonexistent").env("COLUMNS", "100").case("tests/cli/*.trycmd");
}

fn countersign(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_countersign")).args(arguments).output().unwrap()
}

fn init(journal: &Path) -> Output {
    let journal = journal.to_str().unwrap();
    countersign(&[
        "-o",
        "json",
        "init",
        "--policy",
        "examples/policy.toml",
        "--directory",
        "examples/directory.toml",
        "--journal",
        journal,
    ])
}

fn json(bytes: &[u8]) -> serde_json::Value {
    serde_json::from_slice(bytes).unwrap()
}

#[test]
fn a_journal_is_made_once_and_verifies_against_its_head() {
    // given a journal made from the examples
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("journal.sqlite");
    let made = init(&path);
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let head = json(&made.stdout)["head"].as_str().unwrap().to_owned();
    // when it is verified, then it has the head that was told, and no other
    let journal = path.to_str().unwrap();
    let verified = countersign(&["-o", "json", "audit", "verify", journal, "--expect-head", &head]);
    assert_eq!(verified.status.code(), Some(0), "{}", String::from_utf8_lossy(&verified.stderr));
    assert_eq!(json(&verified.stdout)["head"], head.as_str());
    let other = head.replace(|digit: char| digit.is_ascii_hexdigit() && !digit.is_ascii_digit(), "0");
    let differs = countersign(&["audit", "verify", journal, "--expect-head", &other]);
    assert_eq!((differs.status.code(), differs.stdout.is_empty()), (Some(1), true));
    // and it is never overwritten
    let again = init(&path);
    assert_eq!(again.status.code(), Some(1));
    assert!(json(&again.stderr)["error"]["text"].as_str().unwrap().contains("has been filled before"));
}

#[test]
fn a_policy_with_mistakes_makes_no_journal() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("journal.sqlite");
    let refused = countersign(&[
        "init",
        "--policy",
        "tests/cli/mistakes.toml",
        "--directory",
        "examples/directory.toml",
        "--journal",
        path.to_str().unwrap(),
    ]);
    assert_eq!((refused.status.code(), path.exists()), (Some(1), false));
    let told = String::from_utf8(refused.stderr).unwrap();
    assert!(told.contains("mistakes.toml:17:21: error:") && told.ends_with("no journal was made\n"), "{told}");
}

#[test]
fn a_reader_that_went_away_is_no_error_and_a_full_disk_is_one() {
    // given a pipe that nobody reads
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    // when / then
    let mut command = Command::new(env!("CARGO_BIN_EXE_countersign"));
    let ran = command.arg("errors").stdout(writer).stderr(std::process::Stdio::piped()).spawn().unwrap();
    let ran = ran.wait_with_output().unwrap();
    assert_eq!((ran.status.code(), ran.stderr.is_empty()), (Some(0), true), "{}", String::from_utf8_lossy(&ran.stderr));
    // and what could not be written is not passed over
    let full = std::fs::File::create("/dev/full").unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_countersign"));
    let ran = command.arg("errors").stdout(full).stderr(std::process::Stdio::piped()).spawn().unwrap();
    let ran = ran.wait_with_output().unwrap();
    assert_eq!(ran.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&ran.stderr).starts_with("error: the output cannot be written"));
}

#[test]
fn completion_is_there_for_each_shell() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = countersign(&["completion", shell]);
        let text = String::from_utf8_lossy(&script.stdout);
        for command in ["relinquish", "take-over", "recertify", "end-membership", "also-approved"] {
            assert!(script.status.success() && text.contains(command), "{shell} {command}");
        }
    }
}

#[test]
fn expectations_kept_beside_a_policy_are_held_against_it() {
    // given the example's expectations, held against the example's policy
    let test = |policy: &str| {
        let arguments = ["-o", "json", "policy", "test", "examples/policy_test.toml", "--policy", policy];
        countersign(&[&arguments[..], &["--directory", "examples/directory.toml"]].concat())
    };
    let held = test("examples/policy.toml");
    assert_eq!(held.status.code(), Some(0), "{}", String::from_utf8_lossy(&held.stderr));
    assert_eq!(json(&held.stdout)["failed"], 0);
    // when the policy is changed so that one of them is not met, then that one is told
    let folder = tempfile::tempdir().unwrap();
    let changed = folder.path().join("policy.toml");
    let text = std::fs::read_to_string("examples/policy.toml").unwrap();
    let from = "approval = [{ by = [\"incident-commander\"], count = 1 }, { by = [\"security-duty\"], count = 1 }]";
    assert!(text.contains(from));
    std::fs::write(&changed, text.replace(from, "approval = [{ by = [\"security-duty\"], count = 1 }]")).unwrap();
    let held = test(changed.to_str().unwrap());
    assert_eq!(held.status.code(), Some(1));
    let outcomes = json(&held.stdout)["outcomes"].as_array().unwrap().clone();
    let failed: Vec<_> = outcomes.iter().filter(|it| it["met"] == false).collect();
    assert_eq!((failed.len(), failed[0]["what"].as_str()), (1, Some("ana may ask for payments-db-admin")));
    assert_eq!(failed[0]["instead"][0], "could approve: sam");
}

#[test]
#[cfg(target_os = "linux")]
fn help_that_cannot_be_written_is_a_failure_and_a_reader_that_left_is_none() {
    for arguments in
        [&["--help"][..], &["--version"], &["help", "request"], &["request", "--help"], &["completion", "bash"]]
    {
        // given a full disk, when something is printed to it, then that is told
        let full = std::fs::File::options().write(true).open("/dev/full").unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_countersign"));
        let told = command.args(arguments).stdout(full).output().unwrap();
        let text = String::from_utf8(told.stderr).unwrap();
        assert_eq!(told.status.code(), Some(1), "{arguments:?}");
        assert!(text.contains("the output cannot be written"), "{arguments:?}: {text}");
        // given a reader that went away, then nothing is wrong
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let quiet = Command::new(env!("CARGO_BIN_EXE_countersign")).args(arguments).stdout(writer).output().unwrap();
        assert_eq!((quiet.status.code(), quiet.stderr.is_empty()), (Some(0), true), "{arguments:?}");
    }
}

#[test]
#[cfg(unix)]
fn a_policy_that_nobody_writes_is_given_up_and_named() {
    let directory = tempfile::tempdir().unwrap();
    let pipe = directory.path().join("policy.toml");
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let told = Command::new(env!("CARGO_BIN_EXE_countersign")).args(["policy", "check"]).arg(&pipe).output().unwrap();
    let text = String::from_utf8(told.stderr).unwrap();
    assert_eq!(told.status.code(), Some(2), "{text}");
    assert!(text.contains(&format!("`{}` cannot be read", pipe.display())), "{text}");
}
