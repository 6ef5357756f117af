//! The two commands that a newcomer types, through the real binary: `demo` tells the whole story, and `dev` runs a broker
//! that the rest of the command line is tried out on.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

use countersign::clock::{Clock as _, SystemClock};
use countersign::domain::value::ids::Digest;
use rustix::process::{Pid, Signal, kill_process};

const BINARY: &str = env!("CARGO_BIN_EXE_countersign");

/// What the demo must say, in this order: what was asked, then what the broker answered.
const STORY: &[(&str, &str)] = &[
    ("each of five accounts: whoami, grants", "0 grants"),
    ("orders-api: may ana db.write prod/eu/db/orders/primary?", "DENY NO_GRANT"),
    ("ana: request orders-db-repair, without a ticket", "TICKET_REQUIRED"),
    ("ana: the same with INC-4711", "PENDING"),
    ("ana: approve", "SELF_APPROVAL"),
    ("ana-admin: approve, ana's second account", "SELF_APPROVAL"),
    ("ben: inbox", "waits for ben"),
    ("| who: \"ana\"", ""),
    ("| duration: \"4s\"", ""),
    ("SHA-256, computed by ben's client:", ""),
    ("ben: approve a text that says 8h", "DIGEST_MISMATCH"),
    ("ben: approve the text as it was shown", "APPROVED"),
    ("orders-api: may ana db.write prod/eu/db/orders/primary?", "ALLOW GRANTED"),
    ("orders-api: may ana db.schema prod/eu/db/orders/primary?", "DENY NO_GRANT"),
    ("orders-api: may ana db.write prod/us/db/orders/primary?", "DENY NO_GRANT"),
    ("orders-api: may ana db.write prod/eu/db/payments/ledger?", "DENY OUT_OF_AUDIENCE"),
    ("orders-api: may ben db.write prod/eu/db/orders/primary?", "DENY NO_GRANT"),
    ("ben: deny", "DENIED"),
    ("sam, security-duty: revoke it", "REVOKED"),
    ("orders-api: ana's comparison of the tables, under way", "cut off: NO_GRANT"),
    ("orders-api: may ana db.read prod/eu/db/orders/replica?", "DENY NO_GRANT"),
    ("config-bot: propose a policy where db-engineer also approves", "not proposed"),
    ("`db-engineer`, which may also ask for this", ""),
    ("omar: propose a directory that makes ana-admin an approver", "not proposed"),
    ("for `ana`, who may ask for it", ""),
    ("ben: approve, the first of two stages", "PENDING"),
    ("omar proposes a directory in which ben has lost that role, vera approves", "APPROVED"),
    ("sam: approve, the second stage", "STAGE_NOT_OPEN"),
    ("sam: show it: the open stage, and ben's approval", "stage 1, NOT_AN_APPROVER"),
    ("ana: withdraw it", "WITHDRAWN"),
    ("omar proposes the directory as it was, vera approves", "APPROVED"),
    ("orders-api: may ana db.write prod/eu/db/orders/primary?", "DENY NO_GRANT"),
    ("pia: request orders-db-maintenance", "NO_ACCOUNT"),
    ("pia: enrol, an account", "NOT_ELIGIBLE"),
    ("training-feed: attest pia's screening", "CAPABILITY_MISSING"),
    ("training-feed: attest pia's annual-training", "on record"),
    ("pia: enrol, an account", "PENDING"),
    ("pia: approve it", "NO_ACCOUNT"),
    ("ines, pia's manager: approve", "APPROVED"),
    ("pia: request orders-db-maintenance", "NOT_IN_ROLE"),
    ("ines, pia's manager and the role's owner: approve", "APPROVED"),
    ("pia: enrol, incident-commander", "ROLE_CONFLICT"),
    ("orders-api: may pia db.read prod/eu/db/orders/primary?", "ALLOW GRANTED"),
    ("orders-api: may pia db.read prod/eu/db/orders/primary?", "DENY NO_GRANT"),
    ("pia: whoami", "DISABLED LAPSE"),
    ("training-feed: attest that it was renewed", "on record"),
    ("pia: request orders-db-maintenance", "ACCOUNT_DISABLED"),
    ("pia: enrol, to have it restored", "PENDING"),
    ("ines, pia's manager: approve", "APPROVED"),
    ("hr-sync: pia is transferred to omar", "1 cut"),
    ("ines, pia's old manager: approve", "NOT_FOUND"),
    ("omar, pia's manager: approve", "APPROVED"),
    ("pia: enrol, the machine orders-bot", "PENDING"),
    ("ines, owner of deploy-pipeline: approve", "APPROVED"),
    ("orders-api: may pia db.read prod/eu/db/orders/primary?", "ALLOW GRANTED"),
    ("hr-sync: import a file that was cut off", "all held"),
    ("hr-sync: pia leaves at once, --dry-run", "1 revoked, 1 disabled, 1 closed"),
    ("orders-api: may pia db.read prod/eu/db/orders/primary?", "ALLOW GRANTED"),
    ("hr-sync: the same for real", "1 revoked, 1 disabled, 1 closed"),
    ("orders-api: may pia db.read prod/eu/db/orders/primary?", "DENY NO_GRANT"),
    ("pia: whoami", "DISABLED TERMINATION"),
    ("ana: request mailbox-support, on acme's inbox", "PENDING"),
    ("acme.lena, of that customer: show it", "NOT_FOUND"),
    ("sam: approve", "PENDING"),
    ("acme.lena: approve", "APPROVED"),
    ("mail-api: may ana mail.read tenants/acme/mail/inbox?", "ALLOW GRANTED"),
    ("acme.lena: revoke it", "REVOKED"),
    ("mail-api: may ana mail.read tenants/acme/mail/inbox?", "DENY NO_GRANT"),
    ("ana: request orders-db-repair, --emergency, why: help", "JUSTIFICATION_REQUIRED"),
    ("ana: the same, and why", "PENDING"),
    ("ana-admin: approve", "SELF_APPROVAL"),
    ("ben: approve", "NOT_AN_APPROVER"),
    ("sam, security-duty: approve", "APPROVED"),
    ("orders-api: may ana db.write prod/eu/db/orders/primary?", "ALLOW GRANTED"),
    ("sam: lock person ana", "locked"),
    ("orders-api: may ana db.write prod/eu/db/orders/primary?", "DENY LOCKED"),
    ("ana: request orders-db-repair", "LOCKED"),
    ("sam: unlock", "lifted"),
    ("orders-api: may ana db.write prod/eu/db/orders/primary?", "ALLOW GRANTED"),
    ("sam: follow-up", "ALREADY_REVIEWED"),
    ("ben: follow-up", "JUSTIFIED"),
    ("omar: request policy-change, sam approves", "APPROVED"),
    ("vera: the same", "APPROVED"),
    ("omar: propose the policy", "PENDING"),
    ("omar: approve it, as its author", "SELF_APPROVAL"),
    ("vera: approve it, by the digest of the text shown", "APPROVED"),
    ("omar, auditor: report standing", "nothing else stands"),
    ("audit verify", "verified"),
    ("audit verify, of a copy", "broken"),
    ("answers were the expected ones, in ", ""),
];

#[test]
fn the_demo_tells_the_whole_story_and_ends_well() {
    // given a folder of its own
    let folder = tempfile::tempdir().unwrap();
    let clock = SystemClock;
    let began = clock.boot();
    // when the demo runs
    let output = Command::new(BINARY).arg("demo").current_dir(&folder).output().unwrap();
    // then it ends well, soon, with each answer in its place
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    assert!(output.status.success(), "{out}\n{err}");
    assert_eq!(err, "");
    assert!(clock.boot().since(began).millis() < 60_000, "it took too long");
    let mut lines = out.lines();
    for (asked, answered) in STORY {
        let found = lines.any(|line| line.contains(asked) && line.contains(answered));
        assert!(found, "`{asked}` with `{answered}` is missing, or out of order, in\n{out}");
    }
    assert!(out.lines().count() <= 140, "the story is to stay short:\n{out}");
    assert!(out.lines().all(|line| line.chars().count() <= 120), "a line is too long:\n{out}");
    // and leaves nothing where it was started
    assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 0);
}

#[test]
fn dev_runs_a_broker_that_the_command_line_is_tried_out_on() {
    // given `dev` in a folder, on a free port
    let folder = tempfile::tempdir().unwrap();
    let mut dev = Dev::start(folder.path(), &[]);
    assert!(dev.said.contains("--as ben approve ID"), "{}", dev.said);
    owner_only(&folder.path().join("certs-dev"));
    // when ana asks
    let run = |arguments: &[&str]| countersign(folder.path(), arguments);
    let asked = run(&[
        "--as",
        "ana",
        "request",
        "orders-db-repair",
        "prod/eu/db/orders/primary",
        "--for",
        "5m",
        "--ticket",
        "INC-4711",
        "--reason",
        "orders are stuck",
    ]);
    assert!(asked.status.success(), "{asked:?}");
    let id = text(&asked.stdout).trim().to_owned();
    // then ana cannot approve it, ben sees it, and nobody approves without saying what they read
    let digest = digest_of(&run(&["--as", "ben", "-o", "json", "show", &id]));
    assert_eq!(run(&["--as", "ana", "approve", &id, "--digest", &digest]).status.code(), Some(3));
    let inbox = run(&["--as", "ben", "inbox"]);
    assert!(text(&inbox.stdout).contains(&id[id.len() - 6..]), "{inbox:?}");
    assert!(!run(&["--as", "ben", "approve", &id]).status.success());
    let question = ["--as", "orders-api", "check", "ana", "db.write", "prod/eu/db/orders/primary"];
    assert_eq!(run(&question).status.code(), Some(3), "denied before the approval");
    // when ben approves what ben read
    let approved = run(&["--as", "ben", "approve", &id, "--digest", &digest]);
    assert!(approved.status.success(), "{approved:?}");
    // then the service is answered that ana may, and not that ben may
    assert_eq!(run(&question).status.code(), Some(0));
    assert_eq!(
        run(&["--as", "orders-api", "check", "ben", "db.write", "prod/eu/db/orders/primary"]).status.code(),
        Some(3)
    );
    // and Ctrl-C ends it in good order
    dev.stop();
    assert!(!folder.path().join("certs-dev/dev.toml").exists());
    assert_eq!(run(&["--as", "ana", "whoami"]).status.code(), Some(2), "nobody looks for a broker that is gone");
}

#[test]
fn dev_goes_on_with_a_kept_journal() {
    // given a pending request in a journal that is kept
    let folder = tempfile::tempdir().unwrap();
    let kept = ["--journal", "kept.sqlite"];
    let mut dev = Dev::start(folder.path(), &kept);
    let asked =
        countersign(folder.path(), &["--as", "ana", "request", "orders-deploy", "prod/eu/apps/orders", "--for", "5m"]);
    assert!(asked.status.success(), "{asked:?}");
    dev.stop();
    // when `dev` is started again on it, with new certificates
    let mut dev = Dev::start(folder.path(), &kept);
    // then the request still waits
    let inbox = countersign(folder.path(), &["--as", "ben", "inbox"]);
    let id = text(&asked.stdout).trim().to_owned();
    assert!(text(&inbox.stdout).contains(&id[id.len() - 6..]), "{inbox:?}");
    dev.stop();
}

#[test]
fn dev_is_for_this_machine_alone_and_says_which_port_is_taken() {
    let folder = tempfile::tempdir().unwrap();
    let wide = countersign(folder.path(), &["dev", "--listen", "0.0.0.0:0"]);
    assert_eq!(wide.status.code(), Some(1));
    assert!(text(&wide.stderr).contains("`0.0.0.0:0` is not a loopback address"), "{wide:?}");
    assert!(!folder.path().join("certs-dev").exists(), "nothing was made");
    // given a port that somebody has
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let busy = countersign(folder.path(), &["dev", "--listen", &address]);
    assert_eq!(busy.status.code(), Some(1));
    assert!(text(&busy.stderr).contains(&address), "{busy:?}");
}

#[test]
fn a_file_with_mistakes_keeps_dev_from_starting_and_every_mistake_is_named() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("policy.toml"), "[roles.a]\nonwer = \"x\"\n[limits]\npending_per_person = 0\n")
        .unwrap();
    let refused = countersign(folder.path(), &["dev", "--policy", "policy.toml"]);
    let said = text(&refused.stderr);
    assert_eq!(refused.status.code(), Some(1));
    assert!(said.contains("policy: line 2: ") && said.contains("policy: line 4: "), "{said}");
    assert!(!folder.path().join("certs-dev").exists(), "nothing was made");
}

/// A running `dev`. Dropping it kills it.
struct Dev {
    child: Child,
    said: String,
}

impl Dev {
    /// Starts it, and waits until it has said what to type next.
    fn start(folder: &Path, arguments: &[&str]) -> Self {
        let mut command = Command::new(BINARY);
        command.arg("dev").args(arguments).current_dir(folder).stdout(Stdio::piped());
        let mut dev = Self { child: command.spawn().unwrap(), said: String::new() };
        let lines = BufReader::new(dev.child.stdout.take().unwrap()).lines();
        for line in lines.map_while(Result::ok) {
            dev.said.push_str(&line);
            dev.said.push('\n');
            if line == "Ctrl-C stops it." {
                return dev;
            }
        }
        panic!("it ended after saying\n{}", dev.said)
    }

    /// Ctrl-C, and the end that follows.
    fn stop(&mut self) {
        let pid = Pid::from_raw(self.child.id().try_into().unwrap()).unwrap();
        kill_process(pid, Signal::INT).unwrap();
        assert!(self.child.wait().unwrap().success());
    }
}

impl Drop for Dev {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The command line in a folder, with nothing of this machine's environment that names a broker.
fn countersign(folder: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(BINARY);
    command.args(arguments).current_dir(folder).stdin(Stdio::null()).env("HOME", folder);
    for variable in ["ADDR", "CA", "CERT", "KEY", "CONTEXT"] {
        command.env_remove(format!("COUNTERSIGN_{variable}"));
    }
    command.output().unwrap()
}

/// SHA-256 of the text that `show` gave, computed here.
fn digest_of(shown: &Output) -> String {
    let shown: serde_json::Value = serde_json::from_slice(&shown.stdout).unwrap_or_else(|_| panic!("{shown:?}"));
    let review = &shown["elevation"]["review"];
    let read = review.get("approval_text").or_else(|| review.get("approvalText")).and_then(|text| text.as_str());
    Digest::of(read.unwrap_or_else(|| panic!("{shown}")).as_bytes()).to_string()
}

fn owner_only(folder: &Path) {
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(folder), 0o700);
    let files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert!(files.iter().any(|path| path.ends_with("ana.key")), "{files:?}");
    for file in files {
        assert_eq!(mode(&file), 0o600, "{}", file.display());
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
