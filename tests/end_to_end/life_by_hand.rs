//! The life of an account on the command line, against the real broker: each command once, each change tried with
//! `--dry-run` first, which tells exactly what then happens (design.md 3, 12).

use serde_json::Value;

use crate::common::certificates::now_millis;
use crate::harness::Broker;
use crate::life::{DAY, YEAR};
use crate::organisation::identity;
use crate::person::repair;
use crate::surfaces::{command, failed};

/// A command that ends well, and what it says.
#[track_caller]
fn told(broker: &Broker, who: &str, words: &[&str]) -> Value {
    let ended = command(broker, who, words);
    assert_eq!(ended.code, Some(0), "{who}: {words:?}: {}{}", ended.stdout, ended.stderr);
    if ended.stdout.trim().is_empty() { Value::Null } else { serde_json::from_str(&ended.stdout).unwrap() }
}

/// A command that is refused.
#[track_caller]
fn not(broker: &Broker, who: &str, words: &[&str], wanted: (&str, i32)) {
    let ended = command(broker, who, words);
    assert_ne!(ended.code, Some(0), "{who}: {words:?}: {}", ended.stdout);
    assert_eq!(failed(&ended), (wanted.0.to_owned(), wanted.1), "{who}: {words:?}");
}

/// Tried, then done: what the one told and what the other did are the same.
#[track_caller]
fn tried_and_done(broker: &Broker, who: &str, words: &[&str]) -> Value {
    let before = recorded(broker);
    let tried = told(broker, who, &[words, &["--dry-run"]].concat());
    assert_eq!(recorded(broker), before, "a dry run changes nothing");
    let done = told(broker, who, words);
    assert!(tried["effects"].is_object(), "{who}: {words:?}: {tried}");
    assert_eq!(untimed(tried["effects"].clone()), untimed(done["effects"].clone()), "{who}: {words:?}");
    assert!(recorded(broker) > before, "and the other does");
    done
}

/// The same of what takes nothing away from anybody, and so tells no effects.
#[track_caller]
fn tried_and_done_without_effect(broker: &Broker, who: &str, words: &[&str]) -> Value {
    let before = recorded(broker);
    told(broker, who, &[words, &["--dry-run"]].concat());
    assert_eq!(recorded(broker), before, "a dry run changes nothing");
    let done = told(broker, who, words);
    assert_eq!(recorded(broker), before + 1, "{who}: {words:?}");
    done
}

/// How many rows the journal has, but for those of the clock.
fn recorded(broker: &Broker) -> i64 {
    let journal = rusqlite::Connection::open(broker.organisation.journal()).unwrap();
    let count = "SELECT count(*) FROM journal WHERE json_extract(body, '$.kind') NOT LIKE 'clock-%'";
    journal.query_row(count, [], |row| row.get(0)).unwrap()
}

/// What ends so long after the call has another end at each call.
fn untimed(mut effects: Value) -> Value {
    for membership in effects["changed_memberships"].as_array_mut().into_iter().flatten() {
        membership.as_object_mut().unwrap().remove("new_end_time");
    }
    effects
}

/// Shown to somebody, who approves the digest that `show` printed.
#[track_caller]
fn approved(broker: &Broker, who: &str, id: &str) -> Value {
    let shown = told(broker, who, &["show", id]);
    let digest = shown["enrolment"]["review"]["digest"].as_str().unwrap_or_else(|| panic!("{shown}"));
    tried_and_done(broker, who, &["approve", id, "--digest", digest])
}

#[track_caller]
fn asked(broker: &Broker, who: &str, words: &[&str]) -> String {
    let tried = told(broker, who, &[words, &["--dry-run"]].concat());
    assert_eq!(tried["obstacles"].as_array().map(Vec::len), Some(0), "{tried}");
    told(broker, who, words)["id"].as_str().unwrap().to_owned()
}

fn at(millis: i64) -> String {
    chrono::DateTime::from_timestamp_millis(millis).unwrap().format("%Y-%m-%dT%H:%M:%SZ").to_string()
}

fn day(millis: i64) -> String {
    at(millis)[..10].to_owned()
}

/// Joins and proves what the baseline and the role ask for.
fn joins(broker: &Broker, name: &str, manager: &str) {
    let login = identity(name);
    tried_and_done(broker, "hr-sync", &["hr", "joined", name, "--manager", manager, "--login", &login]);
    let met = at(now_millis() - 2 * DAY);
    let proofs = [
        ("noa", "screening"),
        ("noa", "background-check"),
        ("training-feed", "annual-training"),
        ("training-feed", "dba-training"),
    ];
    for (source, requirement) in proofs {
        tried_and_done(
            broker,
            source,
            &["attest", "record", name, requirement, "--met", &met, "--evidence", "course 7"],
        );
    }
}

/// The same, with an account and the role of an engineer.
fn engineer(broker: &Broker, name: &str, manager: &str) {
    joins(broker, name, manager);
    let id = asked(broker, name, &["enrol", "account", "--reason", "the storage team"]);
    approved(broker, manager, &id);
    let id = asked(broker, name, &["enrol", "role", "db-engineer"]);
    approved(broker, manager, &id);
    approved(broker, "ines", &id);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn getting_an_account_and_a_role() {
    // given somebody whom nobody knows yet
    let broker = Broker::new();
    not(&broker, "dev", &["enrol", "account"], ("NO_ACCOUNT", 3));
    joins(&broker, "dev", "ben");
    not(
        &broker,
        "training-feed",
        &["attest", "record", "dev", "screening", "--met", "2026-01-02"],
        ("CAPABILITY_MISSING", 3),
    );
    // when the account is asked for, then it waits where everybody looks for it
    let id = asked(&broker, "dev", &["enrol", "account", "--reason", "the storage team"]);
    assert_eq!(told(&broker, "dev", &["enrolments"])[0]["id"], *id);
    let inbox = told(&broker, "ben", &["inbox"]).to_string();
    assert!(inbox.contains(&id), "{inbox}");
    not(&broker, "dev", &["enrol", "account"], ("ALREADY_PENDING", 5));
    // and it is taken back, asked for anew, denied, and asked for a third time
    tried_and_done_without_effect(&broker, "dev", &["withdraw", &id]);
    let id = asked(&broker, "dev", &["enrol", "account"]);
    tried_and_done_without_effect(&broker, "ben", &["deny", &id, "--reason", "not this quarter"]);
    let id = asked(&broker, "dev", &["enrol", "account"]);
    let given = approved(&broker, "ben", &id);
    assert_eq!(given["effects"]["changed_accounts"][0]["change"], "CREATED");
    assert_eq!(told(&broker, "dev", &["whoami"])["account"]["id"], "dev");
    // when a role is asked for with an end, then the manager and its owner give it
    let until = day(now_millis() + 90 * DAY);
    let id = asked(&broker, "dev", &["enrol", "role", "db-engineer", "--until", &until]);
    approved(&broker, "ben", &id);
    let given = approved(&broker, "ines", &id);
    assert_eq!(given["effects"]["changed_memberships"][0]["change"], "GIVEN");
    let membership = &told(&broker, "dev", &["account", "show", "dev"])["memberships"][0];
    let end = format!("{}T00:00:00", day(now_millis() + 91 * DAY));
    assert!(membership["end_time"].as_str().unwrap().starts_with(&end), "a day counts to its end: {membership}");
    not(&broker, "dev", &["enrol", "role", "incident-commander"], ("ROLE_CONFLICT", 5));
    // and a dry run tells all that stands in the way
    let tried = command(&broker, "dev", &["enrol", "role", "incident-commander", "--dry-run"]);
    assert_eq!(tried.code, Some(3), "{}{}", tried.stdout, tried.stderr);
    assert!(tried.stdout.contains("ROLE_CONFLICT"), "{}", tried.stdout);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keeping_it_moving_and_leaving() {
    let broker = Broker::new();
    engineer(&broker, "dev", "ben");
    // when a training turns out to have lapsed, then the account is disabled, and restored by the manager
    let lapsed = at(now_millis() - YEAR - DAY);
    let cut = ["attest", "correct", "dev", "annual-training", "--met", &lapsed, "--reason", "a typo"];
    let done = tried_and_done(&broker, "training-feed", &cut);
    assert_eq!(done["effects"]["changed_accounts"][0]["change"], "DISABLED");
    let met = at(now_millis() - DAY);
    tried_and_done(&broker, "training-feed", &["attest", "record", "dev", "annual-training", "--met", &met]);
    let id = asked(&broker, "dev", &["enrol", "restore"]);
    let done = approved(&broker, "ben", &id);
    assert_eq!(done["effects"]["changed_memberships"][0]["change"], "RESTORED");
    // when dev moves to sam, then sam lets the role be kept
    let done = tried_and_done(&broker, "hr-sync", &["hr", "transferred", "dev", "--manager", "sam"]);
    assert_eq!(done["effects"]["changed_memberships"][0]["change"], "CUT");
    let id = asked(&broker, "dev", &["enrol", "keep", "db-engineer"]);
    not(&broker, "ben", &["show", &id], ("NOT_FOUND", 4));
    approved(&broker, "sam", &id);
    // when dev's leaving is announced and taken back, the name changes, and dev leaves at once in the middle of a grant
    let last_day = day(now_millis() + 9 * DAY);
    tried_and_done(&broker, "hr-sync", &["hr", "left", "dev", "--at", &last_day]);
    let end = format!("{}T00:00:00", day(now_millis() + 10 * DAY));
    let person = &told(&broker, "dev", &["whoami"])["person"];
    assert!(person["employment_end_time"].as_str().unwrap().starts_with(&end), "{person}");
    tried_and_done(&broker, "hr-sync", &["hr", "stays", "dev"]);
    tried_and_done(&broker, "hr-sync", &["hr", "renamed", "dev", "--login", &identity("devi")]);
    let devi = broker.person("devi").await;
    let grant = devi.granted(repair(), &broker.person("ben").await).await;
    let check = ["check", "dev", "db.read", crate::person::ORDERS];
    told(&broker, "orders-api", &check);
    let done = tried_and_done(&broker, "hr-sync", &["hr", "left", "dev", "--urgent", "--also-approved"]);
    assert_eq!(done["effects"]["revoked_grants"][0]["grant_id"], *grant.id);
    assert_eq!(command(&broker, "orders-api", &check).code, Some(3));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn machines_and_their_owners() {
    let broker = Broker::new();
    let ((dev, _), (heir, _)) = (broker.hired("dev", "sam").await, broker.hired("heir", "ben").await);
    // when dev asks for a machine, then the manager and the owner of its role give it
    let bot = identity("lab-bot");
    let words = [
        "enrol",
        "machine",
        "lab-bot",
        "--identity",
        &bot,
        "--role",
        "deploy-pipeline",
        "--checks",
        "prod/*/db/orders/**",
    ];
    let id = asked(&broker, &dev.name, &words);
    approved(&broker, "sam", &id);
    let given = approved(&broker, "ines", &id);
    assert_eq!(given["effects"]["changed_accounts"][0]["account"], "lab-bot");
    // when somebody else takes it over, and gives a role of it up
    let id = asked(&broker, &heir.name, &["enrol", "take-over", "lab-bot"]);
    approved(&broker, "ben", &id);
    approved(&broker, "ines", &id);
    assert_eq!(told(&broker, "omar", &["account", "show", "lab-bot"])["person"], "heir");
    let end = ["account", "end-membership", "lab-bot", "deploy-pipeline", "--reason", "no longer"];
    not(&broker, &dev.name, &end, ("NOT_FOUND", 4));
    let done = tried_and_done(&broker, &heir.name, &end);
    assert_eq!(done["effects"]["changed_memberships"][0]["change"], "ENDED");
    // and closes it, for ever
    let done = tried_and_done(&broker, &heir.name, &["account", "close", "lab-bot", "--reason", "it is gone"]);
    assert_eq!(done["effects"]["changed_accounts"][0]["change"], "CLOSED");
    not(&broker, "lab-bot", &["grants"], ("NO_ACCOUNT", 3));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn recertification() {
    let broker = Broker::new();
    engineer(&broker, "dev", "ben");
    // when the owner of the role begins a campaign, then the manager sees whom to judge, and confirms one at a time
    let due = day(now_millis() + 30 * DAY);
    let begun = tried_and_done(&broker, "ines", &["recertify", "start", "db-engineer", "--due", &due]);
    let campaign = begun["recertification"]["id"].as_str().unwrap().to_owned();
    assert_eq!(told(&broker, "ben", &["recertify", "list"])[0]["id"], *campaign);
    let shown = told(&broker, "ben", &["recertify", "show", &campaign]).to_string();
    assert!(shown.contains("\"dev\"") && !shown.contains("\"eng01\""), "{shown}");
    let confirm = ["recertify", "confirm", &campaign, "dev"];
    told(&broker, "ben", &[&confirm[..], &["--dry-run"]].concat());
    assert_eq!(outcome(&broker, &campaign, "dev"), "UNSPECIFIED", "a dry run confirms nobody");
    told(&broker, "ben", &confirm);
    let end = ["recertify", "end", &campaign, "ana", "--reason", "another team"];
    let done = tried_and_done(&broker, "ines", &end);
    assert_eq!(done["effects"]["changed_memberships"][0]["account"], "ana");
    assert_eq!(outcome(&broker, &campaign, "dev"), "CONFIRMED");
    assert_eq!(outcome(&broker, &campaign, "ana"), "ENDED");
}

/// What became of somebody in a campaign, as the owner of the role is shown it.
#[track_caller]
fn outcome(broker: &Broker, campaign: &str, account: &str) -> Value {
    let shown = told(broker, "ines", &["recertify", "show", campaign]);
    let items = shown["items"].as_array().unwrap_or_else(|| panic!("{shown}"));
    items.iter().find(|item| item["account"] == account).unwrap()["outcome"].clone()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_feed_its_files_and_its_brake() {
    let broker = Broker::new();
    let path = |name: &str| broker.organisation.path(name).to_str().unwrap().to_owned();
    // when a file of events is applied twice, then the second one says nothing new
    let (events, import) = (path("events.jsonl"), path("people.csv"));
    let last_day = day(now_millis() + 20 * DAY);
    std::fs::write(
        &events,
        format!(
            "{{\"person\":\"dev\",\"event\":\"joined\",\"manager\":\"ben\",\"login\":[\"{}\"]}}\n\
             {{\"person\":\"eng01\",\"event\":\"left\",\"at\":\"{last_day}\"}}\n",
            identity("dev")
        ),
    )
    .unwrap();
    let apply = ["hr", "apply", &events, "--stream", "workday", "--number", "1"];
    tried_and_done(&broker, "hr-sync", &apply);
    assert_eq!(told(&broker, "hr-sync", &apply)["skipped_count"], 2);
    assert_eq!(told(&broker, "dev", &["whoami"])["person"]["manager"], "ben");
    // and a file without events says that the feed lives, and uses no number
    std::fs::write(&events, "").unwrap();
    told(&broker, "hr-sync", &["hr", "apply", &events, "--stream", "workday", "--number", "3"]);
    assert_eq!(told(&broker, "noa", &["hr", "status"])["streams"][0]["last_number"], 2);
    std::fs::write(&events, "{\"person\":\"dev\",\"event\":\"lost\"}\n").unwrap();
    let wrong = command(&broker, "hr-sync", &["hr", "apply", &events]);
    assert_eq!(wrong.code, Some(1), "{}{}", wrong.stdout, wrong.stderr);
    // when a file names hardly anybody, then the brake holds it until noa, who has read it, throws it away
    let file = format!("person,manager,login,last_day\nomar,,{},\nnoa,omar,{},\n", identity("omar"), identity("noa"));
    std::fs::write(&import, file).unwrap();
    let words = |number: &'static str| ["hr", "import", &import, "--stream", "people", "--number", number];
    let held = tried_and_done(&broker, "hr-sync", &words("1"));
    assert_eq!(held["applied_count"], 0, "{held}");
    let hold = |position: usize| {
        let status = told(&broker, "noa", &["hr", "status"]);
        let hold = &status["holds"][position];
        let text = |name: &str| hold[name].as_str().unwrap_or_else(|| panic!("{status}")).to_owned();
        (text("id"), text("digest"))
    };
    let (id, digest) = hold(0);
    let discard = ["hr", "discard", &id, "--digest", &digest, "--reason", "cut off"];
    not(&broker, "hr-sync", &discard, ("CAPABILITY_MISSING", 3));
    tried_and_done(&broker, "noa", &discard);
    // when the next one is as wrong, then what she lets through is what it told
    let held = told(&broker, "hr-sync", &words("2"));
    let (id, digest) = hold(0);
    assert_eq!(held["hold_id"], *id);
    let release = ["hr", "release", &id, "--digest", &digest, "--reason", "we close"];
    let done = tried_and_done(&broker, "noa", &release);
    assert!(done["effects"]["changed_accounts"].as_array().unwrap().len() > 60, "{done}");
    // and of a stream that nobody sends any more nothing is expected
    told(&broker, "noa", &["hr", "retire", "people", "--reason", "another system", "--dry-run"]);
    told(&broker, "noa", &["hr", "retire", "people", "--reason", "another system"]);
    let streams = told(&broker, "noa", &["hr", "status"])["streams"].clone();
    assert_eq!(streams.as_array().unwrap().iter().map(|it| it["stream"].clone()).collect::<Vec<_>>(), ["workday"]);
}
