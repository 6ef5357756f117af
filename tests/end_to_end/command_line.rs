//! Dry runs on the command line: for every command that can cancel, void, cut, suspend, disable or revoke, the lines that
//! `--dry-run` prints are those that the command prints when it is run (known failures B1, B2, B3 and H1).

use sha2::{Digest, Sha256};

use crate::cascades_and_dry_runs::Scene;
use crate::common::certificates::now_millis;
use crate::harness::{Broker, Ended, run};
use crate::hr_feed::{csv, everybody};
use crate::life::{DAY, account, role};
use crate::person::{ORDERS, repair};

fn instant(millis: i64) -> String {
    let at = chrono::DateTime::from_timestamp_millis(millis).unwrap();
    at.format("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// Every event of the journal.
async fn journal(broker: &Broker) -> usize {
    let omar = broker.person("omar").await;
    omar.events(countersign::wire::v1::ListEventsRequest::default()).await.len()
}

/// Tries, looks that nothing happened, does: what it says, which is the same both times.
async fn tried_and_done(broker: &Broker, name: &str, words: &[&str]) -> String {
    let before = journal(broker).await;
    let dry = [words, &["--dry-run"]].concat();
    let tried = ended(broker, name, &dry);
    assert!(
        tried.stderr.contains("nothing was changed") || tried.stderr.contains("would"),
        "{dry:?}: {}",
        tried.stderr
    );
    assert_eq!(journal(broker).await, before, "{dry:?} changed something");
    let done = ended(broker, name, words);
    assert_eq!(instants_alone(&tried.stdout), instants_alone(&done.stdout), "{words:?}");
    assert!(!done.stderr.contains("nothing was changed") && !done.stderr.is_empty(), "{words:?}: {}", done.stderr);
    assert!(journal(broker).await > before, "{words:?} changed nothing");
    done.stdout
}

/// Without how far away an instant is, which is another a moment later.
fn instants_alone(text: &str) -> String {
    let line = |line: &str| match line.split_once(" (in ") {
        Some((before, after)) => before.to_owned() + after.split_once(')').map_or("", |(_, rest)| rest),
        None => line.to_owned(),
    };
    text.lines().map(line).collect::<Vec<_>>().join("\n")
}

fn ended(broker: &Broker, name: &str, words: &[&str]) -> Ended {
    let ended = run(&mut broker.command(name, words));
    assert_eq!(ended.code, Some(0), "{words:?}: {}{}", ended.stdout, ended.stderr);
    ended
}

/// That some line says each of these.
#[track_caller]
fn says(told: &str, lines: &[&[&str]]) {
    for words in lines {
        let found = told.lines().any(|line| words.iter().all(|word| line.contains(word)));
        assert!(found, "{words:?} in\n{told}");
    }
}

/// What ids are shown by.
fn end(id: &str) -> &str {
    &id[id.len() - 8..]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_dry_run_prints_is_what_the_command_prints() {
    let scene = Scene::set().await;
    let broker = &scene.broker;
    let hour = |hours: i64| instant(now_millis() + hours * 3_600_000);
    // a campaign that is due before the scheduled grant would end
    let told = tried_and_done(broker, "ines", &["recertify", "start", "db-engineer", "--due", &hour(50)]).await;
    says(&told, &[&["asks for", "db-engineer of dev"]]);
    // a transfer that is known ahead: the enrolment at the old manager stays until then, the role is cut
    let at = hour(24);
    let words = ["hr", "transferred", "dev", "--manager", "ben", "--at", &at];
    says(&tried_and_done(broker, "hr-sync", &words).await, &[&["role db-engineer of dev"]]);
    // the reviewer's word on an enrolment
    let words = ["deny", &scene.enrolment.id, "--reason", "not this quarter"];
    says(&tried_and_done(broker, "sam", &words).await, &[&["takes away", "nothing"]]);
    // a training that was later than it should have been, so that it lapses in the middle of the grant
    let met = instant((now_millis() / 1_000) * 1_000 - 365 * DAY + 300_000);
    let words = ["attest", "correct", "dev", "dba-training", "--met", &met, "--reason", "entered wrongly"];
    let told = tried_and_done(broker, "training-feed", &words).await;
    says(&told, &[&["shortens", end(&scene.grant.id)], &["shortens", end(&scene.scheduled.id)]]);
    // the machine that goes
    let words = ["account", "close", "lab-bot", "--reason", "no need"];
    let told = tried_and_done(broker, "dev", &words).await;
    says(&told, &[&["closes", "lab-bot"], &["cancels", end(&scene.of_machine.id)]]);
    // the role that is given up, and with it all that rests on it
    let words = ["account", "end-membership", "dev", "db-engineer", "--reason", "moved on"];
    let told = tried_and_done(broker, "dev", &words).await;
    says(&told, &[&["ends", "db-engineer of dev"], &["revokes", end(&scene.grant.id)]]);
    says(&told, &[&["cancels", end(&scene.pending.id)]]);
    assert_eq!(scene.everything().await, ["Revoked", "Revoked", "Cancelled", "Denied", "Cancelled"]);
    // an attestation that is taken back, which disables
    let words = ["attest", "correct", "dev", "annual-training", "--never", "--reason", "somebody else's"];
    says(&tried_and_done(broker, "training-feed", &words).await, &[&["disables", "account dev"]]);
    // and the person goes, by any of the ways
    let at = hour(48);
    tried_and_done(broker, "hr-sync", &["hr", "left", "dev", "--at", &at]).await;
    tried_and_done(broker, "hr-sync", &["hr", "stays", "dev"]).await;
    let login = "spiffe://northwind.example/person/dev.b";
    says(&tried_and_done(broker, "hr-sync", &["hr", "renamed", "dev", "--login", login]).await, &[&["renames", "dev"]]);
    tried_and_done(broker, "hr-sync", &["hr", "left", "dev", "--urgent", "--also-approved"]).await;
    assert_eq!(broker.verify().code, Some(0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_file_and_a_release_would_do_is_what_they_do() {
    let broker = Broker::new();
    let (ben, eng, noa) = (broker.person("ben").await, broker.person("eng07").await, broker.person("noa").await);
    let grant = eng.granted(repair(), &ben).await;
    let path = |name: &str, text: &str| {
        let path = broker.organisation.path(name);
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    // a file of events
    let at = instant(now_millis() + 2 * DAY);
    let text = format!(
        "{{\"person\":\"dev\",\"event\":\"joined\",\"manager\":\"ben\"}}\n\
         {{\"person\":\"eng01\",\"event\":\"transferred\",\"manager\":\"sam\",\"at\":\"{at}\"}}\n\
         {{\"person\":\"eng02\",\"event\":\"left\",\"urgent\":true}}\n"
    );
    let words = ["hr", "apply", &path("events.jsonl", &text), "--stream", "workday", "--number", "1"];
    let told = tried_and_done(&broker, "hr-sync", &words).await;
    says(&told, &[&["disables", "account eng02"], &["cuts", "db-engineer of eng01"]]);
    // a file of everybody, in which one who holds a grant is missing, then one of which half is
    let mut people = everybody();
    people.push(("dev".into(), "ben".into(), String::new()));
    people.retain(|(id, ..)| !["eng02", "eng07"].contains(&id.as_str()));
    let file = path("people.csv", &csv(&people));
    let told =
        tried_and_done(&broker, "hr-sync", &["hr", "import", &file, "--stream", "people", "--number", "1"]).await;
    says(&told, &[&["disables", "account eng07"], &["revokes", end(&grant.id)], &["events", "1 to apply, 0 to hold"]]);
    people.truncate(30);
    let file = path("half.csv", &csv(&people));
    let words = ["hr", "import", &file, "--stream", "people", "--number", "2"];
    says(&tried_and_done(&broker, "hr-sync", &words).await, &[&["0 to apply"], &["holds back"]]);
    // what is held: shown by a dry run, then let through under the digest that was read
    let hold = noa.feed().await.unwrap().holds[0].clone();
    let digest: String = Sha256::digest(&hold.events_json).iter().map(|byte| format!("{byte:02x}")).collect();
    let words = ["hr", "release", &hold.id, "--digest", &digest, "--reason", "looked at with HR"];
    says(&tried_and_done(&broker, "noa", &words).await, &[&["disables", "account eng40"]]);
    // and of a stream that nobody waits for
    tried_and_done(&broker, "noa", &["hr", "retire", "people", "--reason", "another system by now"]).await;
    let orders = broker.person("orders-api").await;
    assert_eq!(orders.verdict("eng07", "db.read", ORDERS).await.0, countersign::wire::v1::Verdict::Deny);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_gives_is_told_before_as_well() {
    let broker = Broker::new();
    let met = instant(now_millis() - 2 * DAY);
    let login = "spiffe://northwind.example/person/dev";
    let told = tried_and_done(&broker, "hr-sync", &["hr", "joined", "dev", "--manager", "ben", "--login", login]).await;
    says(&told, &[&["takes away", "nothing"]]);
    for (source, requirement) in [
        ("noa", "screening"),
        ("noa", "background-check"),
        ("training-feed", "annual-training"),
        ("training-feed", "dba-training"),
    ] {
        let words = ["attest", "record", "dev", requirement, "--met", &met];
        says(&tried_and_done(&broker, source, &words).await, &[&["takes away", "nothing"]]);
    }
    // an account, approved under the text that was read
    let dev = broker.person("dev").await;
    let asked = dev.ask(account()).await.unwrap();
    let approve = |id: &str, text: &str, dry: bool| {
        let digest: String = Sha256::digest(text).iter().map(|byte| format!("{byte:02x}")).collect();
        let mut words = vec!["-o", "json", "approve", id, "--digest", &digest];
        words.extend(dry.then_some("--dry-run"));
        let told = ended(&broker, "ben", &words).stdout;
        serde_json::from_str::<serde_json::Value>(&told).unwrap()["effects"].clone()
    };
    let text = asked.review.unwrap().approval_text;
    let (tried, done) = (approve(&asked.id, &text, true), approve(&asked.id, &text, false));
    assert_eq!((&tried, &tried["changed_accounts"][0]["change"]), (&done, &"CREATED".into()));
    // a role that is taken back before it is approved
    let asked = dev.ask(role("db-engineer")).await.unwrap();
    tried_and_done(&broker, "dev", &["withdraw", &asked.id]).await;
    // a membership that its manager ends in a campaign, and what the brake holds and is thrown away
    let due = instant(now_millis() + 2 * DAY);
    tried_and_done(&broker, "ines", &["recertify", "start", "db-engineer", "--due", &due]).await;
    let listed = ended(&broker, "ines", &["recertify", "ls", "-o", "json"]).stdout;
    let listed: serde_json::Value = serde_json::from_str(&listed).unwrap();
    let campaign = listed[0]["id"].as_str().unwrap();
    let words = ["recertify", "end", campaign, "eng04", "--reason", "moved on"];
    says(&tried_and_done(&broker, "ines", &words).await, &[&["ends", "db-engineer of eng04"]]);
    let people: Vec<_> = everybody().into_iter().take(20).collect();
    let file = broker.organisation.path("half.csv");
    std::fs::write(&file, csv(&people)).unwrap();
    let file = file.to_str().unwrap();
    tried_and_done(&broker, "hr-sync", &["hr", "import", file, "--stream", "people", "--number", "1"]).await;
    let hold = broker.person("noa").await.feed().await.unwrap().holds[0].clone();
    let digest: String = Sha256::digest(&hold.events_json).iter().map(|byte| format!("{byte:02x}")).collect();
    let words = ["hr", "discard", end(&hold.id), "--digest", &digest, "--reason", "half a file"];
    says(&tried_and_done(&broker, "noa", &words).await, &[&["takes away", "nothing"]]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_refused_has_its_exit_code_and_says_what_to_do_next() {
    let broker = Broker::new();
    let campaign = "01a206e5-711d-75a3-a5ab-149840b6b700";
    let text = "{\"person\":\"dev\",\"event\":\"fired\"}\n";
    let file = broker.organisation.path("events.jsonl");
    std::fs::write(&file, text).unwrap();
    let file = file.to_str().unwrap();
    let met = instant(now_millis() + DAY);
    let rows: Vec<(&str, Vec<&str>, i32, &[&str])> = vec![
        ("hr-sync", vec!["hr", "left", "nemo", "--urgent"], 5, &["PERSON_UNKNOWN"]),
        ("hr-sync", vec!["hr", "left", "Ana", "--urgent"], 2, &["`Ana`"]),
        ("hr-sync", vec!["hr", "joined", "ana"], 5, &["PERSON_KNOWN"]),
        ("hr-sync", vec!["hr", "transferred", "ines", "--manager", "ana"], 5, &["MANAGER_CYCLE"]),
        ("hr-sync", vec!["hr", "transferred", "vera", "--manager", "ana"], 3, &["OWN_STANDING"]),
        (
            "hr-sync",
            vec!["hr", "stays", "ana", "--stream", "workday", "--number", "3"],
            5,
            &["FEED_GAP", "goes on with 1"],
        ),
        ("hr-sync", vec!["hr", "apply", file], 1, &["nothing was sent"]),
        ("hr-sync", vec!["hr", "apply", "/nonexistent"], 2, &["/nonexistent"]),
        ("ana", vec!["hr", "left", "ben", "--urgent"], 3, &["CAPABILITY_MISSING", "hr.feed"]),
        ("ana", vec!["hr", "status"], 3, &["CAPABILITY_MISSING"]),
        ("pia", vec!["hr", "status"], 3, &["NO_ACCOUNT", "countersign enrol account"]),
        ("mallory", vec!["enrol", "account"], 3, &["NO_ACCOUNT"]),
        ("noa", vec!["hr", "release", "ffffffff", "--reason", "looked at"], 4, &["ffffffff", "countersign hr status"]),
        ("noa", vec!["hr", "retire", "nothing", "--reason", "old"], 4, &["NOT_FOUND"]),
        ("noa", vec!["attest", "record", "ana", "screening", "--met", &met], 2, &["ATTESTATION_INVALID"]),
        ("noa", vec!["attest", "record", "nemo", "screening", "--met", "2026-01-01"], 5, &["PERSON_UNKNOWN"]),
        ("ana", vec!["enrol", "account"], 5, &["ALREADY_THERE"]),
        ("ana", vec!["enrol", "role", "no-such-role"], 4, &["no-such-role"]),
        ("ana", vec!["enrol", "keep", "db-engineer"], 5, &["NOTHING_TO_KEEP"]),
        ("ana", vec!["enrol", "restore"], 5, &["NOTHING_TO_RESTORE"]),
        ("ana", vec!["recertify", "show", campaign], 4, &["NOT_FOUND"]),
        ("ana", vec!["recertify", "start", "db-engineer", "--due", "2099-01-01"], 3, &[]),
        ("ines", vec!["recertify", "start", "db-engineer", "--due", "2099-01-01"], 2, &["180 days"]),
        ("sam", vec!["account", "end-membership", "ana", "db-engineer", "--reason", "x"], 4, &[]),
        ("ana", vec!["account", "close", "ana", "--reason", "x"], 4, &[]),
    ];
    let before = journal(&broker).await;
    for (name, words, code, says) in rows {
        let ended = run(&mut broker.command(name, &words));
        assert_eq!(ended.code, Some(code), "{name} {words:?}: {}{}", ended.stdout, ended.stderr);
        let named = says.iter().all(|word| ended.stderr.contains(word));
        assert!(named, "{name} {words:?}: {says:?}: {}", ended.stderr);
        // each refusal says what to do, after what is wrong
        assert!(
            ended.stderr.contains(';') || ended.stdout.contains("; wanted") || code == 2,
            "{words:?}: {}",
            ended.stderr
        );
    }
    // then nothing was changed, and what the broker refused is in its journal
    let omar = broker.person("omar").await;
    let after = omar.events(countersign::wire::v1::ListEventsRequest::default()).await;
    let refusals = after.iter().filter(|it| it.kind.starts_with("command-refused")).count();
    assert_eq!(after.len() - refusals, before);
    assert!(refusals >= 12, "{refusals}");
}

#[tokio::test]
async fn a_grant_is_revoked_by_whoever_may_though_they_do_not_see_it() {
    let broker = Broker::new();
    let (ana, ben) = (broker.person("ana").await, broker.person("ben").await);
    let grant = ana.granted(repair(), &ben).await;
    // given sam, who may revoke and sees no grants
    assert!(broker.person("sam").await.grant(&grant.id).await.is_err());
    // when they name the whole id, and send the same again, then it is revoked, and told twice
    let words = ["revoke", &grant.id, "--reason", "over", "--request-id", "11111111-1111-4111-8111-111111111111"];
    for _ in 0..2 {
        let ended = run(&mut broker.command("sam", &words));
        assert_eq!(ended.code, Some(0), "{}{}", ended.stdout, ended.stderr);
    }
    assert_eq!(ana.grant(&grant.id).await.unwrap().state(), countersign::wire::v1::GrantState::Revoked);
}
