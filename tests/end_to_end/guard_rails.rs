//! Guard rails by hand, over the real binary: each answer tells the whole of what it is about, and each failure is for
//! programs one object (known failures H29 to H33).

use std::path::PathBuf;

use countersign::wire::v1 as pb;
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::harness::{Broker, Ended, countersign, run};
use crate::organisation::{Files, Organisation};
use crate::person::repair;

fn said(broker: &Broker, who: &str, words: &[&str], code: i32) -> Ended {
    let ended = run(&mut broker.command(who, words));
    assert_eq!(ended.code, Some(code), "{who}: {words:?}: {}{}", ended.stdout, ended.stderr);
    ended
}

fn json(ended: &Ended) -> Value {
    serde_json::from_str(&ended.stdout).unwrap()
}

fn last(id: &str) -> &str {
    &id[id.len() - 8..]
}

fn audited(broker: &Broker, who: &str, words: &[&str]) -> Vec<Value> {
    let words = [&["audit", "ls", "--limit", "0", "-o", "json"], words].concat();
    json(&said(broker, who, &words, 0)).as_array().unwrap().clone()
}

#[tokio::test]
async fn a_feed_whose_owner_leaves_tells_all_that_followed() {
    let broker = Broker::new();
    // given vera, who owns the machine that sends HR's events
    let left = ["hr", "left", "vera", "--urgent", "-o", "json"];
    let tried = json(&said(&broker, "hr-sync", &[&left[..], &["--dry-run"]].concat(), 0));
    // when that machine says that she leaves, then the answer is that of the dry run, though its sender is closed by it
    let done = said(&broker, "hr-sync", &left, 0);
    let told = json(&done);
    assert_eq!(told["effects"], tried["effects"]);
    assert_eq!(told["effects"]["changed_accounts"].as_array().unwrap().len(), 2, "{told}");
    assert_eq!(
        (told["skipped_count"].as_u64(), done.stderr.contains("nothing new")),
        (Some(0), false),
        "{}",
        done.stderr
    );
}

#[tokio::test]
async fn a_command_that_closed_its_own_sender_is_told_again_when_it_is_repeated() {
    let broker = Broker::new();
    // given vera's machine, which says that she leaves, and is closed by that
    let id = "019380a1-0000-7000-8000-0000aa11bb22";
    let left = ["hr", "left", "vera", "--urgent", "--request-id", id, "-o", "json"];
    let first = json(&said(&broker, "hr-sync", &left, 0));
    // when its answer was lost, and it sends the same again, then it is told the same
    let again = json(&said(&broker, "hr-sync", &left, 0));
    assert_eq!(again["effects"], first["effects"]);
    // and nobody else learns of it, nor it anything by another command
    said(&broker, "eng03", &left, 3);
    let other = ["hr", "left", "eng04", "--urgent", "--request-id", id];
    said(&broker, "hr-sync", &other, 3);
    said(&broker, "hr-sync", &["hr", "left", "eng04", "--urgent"], 3);
}

#[tokio::test]
async fn whoever_approves_that_their_own_account_goes_is_told_what_they_did() {
    let mut files = Files::example();
    files.directory = files.directory.replacen("[\"people-office\"]", "[\"people-office\", \"policy-admin\"]", 1);
    let broker = Broker::of(Organisation::with(&files));
    let present = std::fs::read_to_string(broker.organisation.path("directory.toml")).unwrap();
    let account = "[accounts.vera]\nperson = \"vera\"\nidentities = [\"spiffe://northwind.example/person/vera\"]\nroles = [\"policy-admin\"]\n";
    let without = present.replacen(account, "", 1);
    assert_ne!(without, present);
    let proposal = broker.person("omar").await.propose_directory(&present, &without).await;
    let approved = broker.person("vera").await.approve_proposal(Some(proposal)).await.unwrap();
    assert_eq!(approved.proposal.unwrap().state(), pb::ProposalState::Approved);
    assert!(!approved.effects.unwrap().changed_accounts.is_empty());
}

#[tokio::test]
async fn events_are_found_by_whatever_a_list_prints() {
    let broker = Broker::new();
    let (ana, ben, omar) = (broker.person("ana").await, broker.person("ben").await, broker.person("omar").await);
    let grant = ana.granted(repair(), &ben).await;
    let directory = std::fs::read_to_string(broker.organisation.path("directory.toml")).unwrap();
    let proposal = omar.propose_directory(&directory, &format!("{directory}# again\n")).await;
    let locked = said(&broker, "sam", &["lock", "account", "eng01", "--reason", "lost badge", "-o", "json"], 0);
    let lock = json(&locked)["lock"]["id"].as_str().unwrap().to_owned();
    // then by kind and whole id, by kind and ending, by ending alone, and by the whole id alone
    for (kind, id) in
        [("grant", &grant.id), ("elevation", &grant.elevation_id), ("proposal", &proposal.id), ("lock", &lock)]
    {
        let whole = audited(&broker, "omar", &["--about", &format!("{kind}:{id}")]);
        assert!(!whole.is_empty(), "{kind}");
        for text in [format!("{kind}:{}", last(id)), last(id).to_owned(), id.clone()] {
            assert_eq!(audited(&broker, "omar", &["--about", &text]), whole, "{text}");
        }
        let about = said(&broker, "omar", &["report", "about", last(id)], 0).stdout;
        assert_eq!(about.lines().count(), whole.len() + 1, "{about}");
    }
    assert!(audited(&broker, "omar", &["--about", "tenant:acme"]).is_empty());
    // and what may be several things is a mistake that lists them; what is nothing, or not to be seen, is not there
    let ambiguous = said(&broker, "omar", &["audit", "ls", "--about", "ana"], 2).stderr;
    assert!(ambiguous.contains("`account:ana` or `person:ana`"), "{ambiguous}");
    let nothing = said(&broker, "omar", &["audit", "ls", "--about", "0000ffff"], 4).stderr;
    let hidden = said(&broker, "acme.lena", &["audit", "ls", "--about", last(&lock)], 4).stderr;
    assert_eq!(nothing.replace("0000ffff", last(&lock)), hidden);
    // and each sees what is about themselves so
    assert!(!audited(&broker, "ana", &["--about", last(&grant.id)]).is_empty());
    // and who a person is finds what their accounts did; a machine acts for itself
    let by = |events: Vec<Value>| events.iter().map(|it| it["actor"].as_str().unwrap().to_owned()).collect::<Vec<_>>();
    assert_eq!(by(audited(&broker, "omar", &["--actor", "person:ben"])), ["account:ben"; 3]);
    assert!(audited(&broker, "omar", &["--actor", "person:vera"]).is_empty());
    said(&broker, "hr-sync", &["hr", "left", "eng02", "--urgent"], 0);
    assert!(audited(&broker, "omar", &["--actor", "person:vera"]).is_empty());
    assert_eq!(by(audited(&broker, "ben", &["--actor", "person:ben"])).len(), 3);
    // and whoever has left
    assert!(audited(&broker, "omar", &["--actor", "person:eng02"]).is_empty());
}

#[tokio::test]
async fn a_filter_that_names_nobody_or_no_time_is_refused() {
    let broker = Broker::new();
    broker.person("eng03").await.request(repair()).await.unwrap();
    for filter in ["--actor", "--about"] {
        for name in ["person:typo", "account:typo"] {
            // given a name that nobody ever had, then an auditor hears so
            let nobody = said(&broker, "omar", &["audit", "ls", filter, name], 4).stderr;
            assert!(nobody.contains("`typo` that you may see"), "{nobody}");
            // and a customer hears of nobody what they hear of somebody whom they may not see
            let other = name.replace("typo", "eng03");
            let none = said(&broker, "acme.lena", &["audit", "ls", filter, name], 4).stderr;
            let hidden = said(&broker, "acme.lena", &["audit", "ls", filter, &other], 4).stderr;
            assert_eq!(none.replace("typo", "eng03"), hidden);
            // and the auditor sees them
            said(&broker, "omar", &["audit", "ls", filter, &other], 0);
        }
    }
    // a range of time the other way round holds nothing
    let range = ["--from", "2026-02-01T00:00:00Z", "--until", "2026-01-01T00:00:00Z"];
    for (who, words) in [("omar", ["audit", "ls"]), ("acme.lena", ["record", "export"])] {
        let told = said(&broker, who, &[&words[..], &range].concat(), 2).stderr;
        assert!(told.contains("is before `from_time`"), "{told}");
    }
}

#[tokio::test]
async fn an_account_that_has_changed_hands_did_for_each_what_it_did_while_it_was_theirs() {
    let broker = Broker::new();
    // given eng03's account, which asks, and is given to eng04 by another directory, and asks again
    broker.person("eng03").await.request(repair()).await.unwrap();
    let present = std::fs::read_to_string(broker.organisation.path("directory.toml")).unwrap();
    let other = present
        .replace("[accounts.eng03]\nperson = \"eng03\"", "[accounts.eng03]\nperson = \"eng04\"")
        .replace("[accounts.eng04]\nperson = \"eng04\"", "[accounts.eng04]\nperson = \"eng03\"");
    let proposal = broker.person("omar").await.propose_directory(&present, &other).await;
    broker.person("vera").await.approve_proposal(Some(proposal)).await.unwrap();
    let asked = |who: &str| {
        let found = audited(&broker, "omar", &["--actor", who, "--kind", "elevation-requested"]);
        found.iter().map(|it| it["actor"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    // then what it did before is the first one's
    assert_eq!((asked("person:eng03"), asked("person:eng04").len()), (vec!["account:eng03".to_owned()], 0));
}

#[tokio::test]
async fn an_auditor_of_some_resources_gets_the_report_of_those() {
    let mut files = Files::example();
    files.policy.push_str(
        "\n[roles.orders-auditor]\nowner = \"omar\"\n\
         capabilities = [{ name = \"audit.read\", resources = [\"prod/*/db/orders/**\", \"status/**\"] }]\n\
         [roles.auditor-of-all]\nowner = \"omar\"\ncapabilities = [{ name = \"audit.read\", resources = [\"**\"] }]\n",
    );
    files.directory = files
        .directory
        .replacen("roles = [\"security-duty\"]", "roles = [\"security-duty\", \"orders-auditor\"]", 1)
        .replacen("roles = [\"people-office\"]", "roles = [\"people-office\", \"auditor-of-all\"]", 1);
    let broker = Broker::of(Organisation::with(&files));
    let (ana, ben) = (broker.person("ana").await, broker.person("ben").await);
    // given a grant on the orders database that was given up, and one elsewhere
    let grant = ana.granted(repair(), &ben).await;
    ana.relinquish(&grant.id).await.unwrap();
    let elsewhere = pb::RequestElevationRequest {
        request_id: crate::person::call_id(),
        entitlement: "orders-deploy".into(),
        actions: vec!["deploy.run".into()],
        resources: vec!["prod/eu/apps/orders".into()],
        ..repair()
    };
    ana.granted(elsewhere, &ben).await;
    let report = |who: &str| json(&said(&broker, who, &["report", "standing", "-o", "json"], 0));
    // then who audits all is told of all, whether that is said by nothing or by `**`
    let (of_part, of_all, by_name) = (report("sam"), report("omar"), report("noa"));
    assert_eq!((&of_all["grants"]["issued"], &of_all["grants"]["active"]), (&2.into(), &1.into()));
    assert_eq!((&of_all["grants"], &of_all["capabilities"]), (&by_name["grants"], &by_name["capabilities"]));
    // and who audits a part of that part, by the same proof
    let grants = &of_part["grants"];
    assert_eq!((&grants["issued"], &grants["relinquished"], &grants["active"]), (&1.into(), &1.into(), &0.into()));
    assert_eq!(of_part["resources"], serde_json::json!(["prod/*/db/orders/**", "status/**"]));
    assert_eq!(of_part["nothing_else_stands"], true);
    let who: Vec<&str> =
        of_part["capabilities"].as_array().unwrap().iter().map(|it| it["account"].as_str().unwrap()).collect();
    assert_eq!((who, of_part["baseline"].as_array().unwrap().len()), (vec!["sam"], 1));
    said(&broker, "ana", &["report", "standing"], 3);
}

#[tokio::test]
async fn a_lock_on_everything_tells_everybody_whom_it_stops_why_and_until_when() {
    let broker = Broker::new();
    let until = "2999-01-01T00:00:00Z";
    said(&broker, "sam", &["lock", "all", "--reason", "we are attacked", "--until", until], 0);
    for who in ["ana", "acme.lena", "pia", "orders-api"] {
        let listed = said(&broker, who, &["lock", "ls"], 0).stdout;
        assert!(listed.contains("we are attacked") && listed.contains("2999-01-01"), "{who}: {listed}");
        let whoami = said(&broker, who, &["whoami"], 0).stdout;
        assert!(whoami.contains("we are attacked") && whoami.contains("2999-01-01"), "{who}: {whoami}");
        assert!(!whoami.contains("eligible"), "{who}: {whoami}");
    }
    // and so does what it refuses
    let refused = said(&broker, "acme.idp", &["hr", "joined", "acme.nils"], 3).stderr;
    assert!(refused.contains("we are attacked"), "{refused}");
}

#[tokio::test]
async fn an_account_says_by_whom_each_role_was_given() {
    let broker = Broker::new();
    let login = "spiffe://acme.example/person/nils";
    said(&broker, "acme.idp", &["hr", "joined", "acme.nils", "--login", login], 0);
    said(&broker, "acme.idp", &["hr", "roles", "acme.nils", "--role", "tenant-approver"], 0);
    let fed = said(&broker, "acme.nils", &["account", "show", "acme.nils"], 0).stdout;
    assert!(fed.contains("by the feed of acme.idp") && !fed.contains("directory's file"), "{fed}");
    let filed = said(&broker, "acme.lena", &["account", "show", "acme.lena"], 0).stdout;
    assert!(filed.contains("by the directory's file"), "{filed}");
}

#[tokio::test]
async fn a_release_says_what_no_longer_applied() {
    let broker = Broker::new();
    // given more who join than the brake lets through, the first of them under somebody who leaves meanwhile
    let lines = (1..=20).map(|number| {
        let manager = if number == 1 { "eng30" } else { "ines" };
        format!("{{\"person\":\"new{number:02}\",\"event\":\"joined\",\"manager\":\"{manager}\"}}\n")
    });
    let file: PathBuf = broker.organisation.path("events.jsonl");
    std::fs::write(&file, lines.collect::<String>()).unwrap();
    said(&broker, "hr-sync", &["hr", "apply", file.to_str().unwrap(), "--stream", "workday", "--number", "1"], 0);
    said(&broker, "hr-sync", &["hr", "left", "eng30", "--urgent"], 0);
    let hold = broker.person("noa").await.feed().await.unwrap().holds[0].clone();
    let digest: String = Sha256::digest(&hold.events_json).iter().map(|byte| format!("{byte:02x}")).collect();
    let release = ["hr", "release", &hold.id, "--digest", &digest, "--reason", "looked at with HR"];
    // when it is tried and let through, then both say which it is
    let tried = said(&broker, "noa", &[&release[..], &["--dry-run"]].concat(), 0).stderr;
    assert!(tried.contains("1 no longer apply and would be left out") && tried.contains("new01 joins"), "{tried}");
    let request_id = crate::person::call_id();
    let release = [&release[..], &["--request-id", &request_id]].concat();
    let done = said(&broker, "noa", &release, 0).stderr;
    assert!(done.contains("of 20 events 19 were applied") && done.contains("new01 joins"), "{done}");
    // and so does the journal
    let told =
        audited(&broker, "omar", &["--kind", "hr-event-left-out", "--about", &format!("hold:{}", last(&hold.id))]);
    assert_eq!(told[0]["facts"]["event"]["person"], "new01", "{told:?}");
}

#[test]
fn expectations_of_a_far_time_are_judged() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let files = Files::example();
    let (policy, directory) = (file("policy.toml", &files.policy), file("directory.toml", &files.directory));
    let lapsed =
        "[[expect]]\naccount = \"ana\"\nmay_not_ask_for = \"orders-db-repair\"\nbecause = [\"REQUIREMENT_LAPSED\"]\n";
    let expected = file("expected.toml", lapsed);
    for at in ["2100-01-01T00:00:00Z", "2020-01-01T00:00:00Z", "9000-01-01T00:00:00Z"] {
        let words = ["policy", "test", &expected, "--policy", &policy, "--directory", &directory, "--at", at];
        let ended = run(countersign().args(words));
        assert!(
            ended.stdout.contains("ana may not ask for orders-db-repair"),
            "{at}: {}{}",
            ended.stdout,
            ended.stderr
        );
        // before the first attestation nothing has lapsed yet: that is another reason, and said to be
        let code = if at.starts_with("2020") { 1 } else { 0 };
        assert_eq!(ended.code, Some(code), "{at}: {}{}", ended.stdout, ended.stderr);
    }
}

#[tokio::test]
async fn with_json_every_failure_is_one_object_on_stderr() {
    let broker = Broker::new();
    let nowhere = broker.organisation.path("nowhere");
    let nowhere = nowhere.to_str().unwrap();
    let bad = broker.organisation.path("bad.toml");
    std::fs::write(&bad, "a b\n").unwrap();
    let bad = bad.to_str().unwrap();
    said(&broker, "sam", &["lock", "account", "eng01", "--reason", "lost badge"], 0);
    let ask =
        ["request", "orders-db-repair", "prod/eu/db/orders/a", "--ticket", "INC-1", "--reason", "stuck since noon"];
    for (who, words, code) in [
        ("ana", vec![], 2),
        ("ana", vec!["lock"], 2),
        ("ana", vec!["hr", "release"], 2),
        ("ana", vec!["nosuch"], 2),
        ("ana", vec!["grants", "--nosuch"], 2),
        ("ana", vec!["completion", "nosuch"], 2),
        ("ana", vec!["errors", "NOSUCH"], 2),
        ("ana", vec!["show", "0000ffff"], 4),
        ("ana", vec!["approve", "0000ffff"], 4),
        ("ana", vec!["report", "standing"], 3),
        // what was said before the failure is in its object
        ("eng01", ask.to_vec(), 3),
        ("omar", vec!["policy", "check", bad], 1),
        ("hr-sync", vec!["hr", "apply", bad], 1),
        ("ana", vec!["policy", "check", nowhere], 2),
        ("ana", vec!["audit", "verify", nowhere], 1),
        ("ana", vec!["record", "verify", nowhere, "--verifier", "x"], 1),
        ("ana", vec!["webhook", "http://127.0.0.1:1/", "--secret", nowhere], 1),
        ("ana", vec!["serve", "--config", nowhere], 2),
        ("ana", vec!["init", "--policy", nowhere, "--directory", nowhere, "--journal", nowhere], 2),
        ("ana", vec!["dev", "--listen", "192.0.2.1:1"], 1),
        ("ana", vec!["whoami", "--addr", "https://127.0.0.1:1"], 8),
        (
            "ana",
            vec!["notify", "--state", broker.organisation.path("broker.toml").to_str().unwrap(), "--exec", "true"],
            1,
        ),
    ] {
        let ended = said(&broker, who, &[&["-o", "json"], &words[..]].concat(), code);
        let objects: Vec<Value> =
            ended.stderr.lines().map(|line| serde_json::from_str(line).unwrap_or_default()).collect();
        assert_eq!(objects.len(), 1, "{words:?}: {}", ended.stderr);
        assert_eq!(objects[0]["error"]["exit"], code, "{words:?}: {}", ended.stderr);
        assert!(!objects[0]["error"]["text"].as_str().unwrap().is_empty(), "{words:?}");
    }
}
