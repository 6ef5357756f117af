//! What a notifier tells as waiting does wait, its file is of this journal, and what it does not see is said (known failure
//! H29).

use std::io::{BufRead as _, BufReader};
use std::process::Stdio;
use std::time::Duration;

use countersign::wire::v1 as pb;
use serde_json::{Value, json};

use crate::harness::{Broker, eventually, run};
use crate::notifications::{Notifier, broker, keeping, told, until_told};
use crate::person::repair;

fn state(broker: &Broker) -> Value {
    let text = std::fs::read_to_string(broker.organisation.path("notify.json")).unwrap_or_default();
    serde_json::from_str(&text).unwrap_or_default()
}

#[tokio::test]
async fn nothing_is_told_as_waiting_once_its_end_is_known() {
    let broker = broker();
    let (hook, kept) = keeping(&broker);
    let hook = hook.to_str().unwrap().to_owned();
    let (ana, ben) = (broker.person("ana").await, broker.person("ben").await);
    let broken = broker.organisation.path("broken");
    std::fs::write(&broken, "").unwrap();
    // given a hook that fails while a request is opened, and the request denied meanwhile
    let notifier = Notifier::start(&broker, &[], &[&hook]);
    let first = ana.request(repair()).await.unwrap();
    eventually("it was tried", async || (state(&broker)["queue"][0]["attempts"].as_u64()? > 0).then_some(())).await;
    ben.deny(&first.id).await.unwrap();
    let decided = async || state(&broker)["queue"].to_string().contains("elevation.decided").then_some(());
    eventually("its end is read", decided).await;
    // then its opening leaves the queue, and its end alone is told
    assert!(!state(&broker)["queue"].to_string().contains("elevation.opened"), "{}", state(&broker));
    std::fs::remove_file(&broken).unwrap();
    until_told(&kept, "elevation.decided", 1).await;
    notifier.stop();
    // given a notifier that is down with an opening that it could not tell, while that request is denied as well
    std::fs::write(&broken, "").unwrap();
    let notifier = Notifier::start(&broker, &[], &[&hook]);
    let second = ana.request(repair_again()).await.unwrap();
    eventually("it was tried", async || (state(&broker)["queue"][0]["attempts"].as_u64()? > 0).then_some(())).await;
    notifier.kill();
    ben.deny(&second.id).await.unwrap();
    std::fs::remove_file(&broken).unwrap();
    let notifier = Notifier::start(&broker, &[], &[&hook]);
    until_told(&kept, "elevation.decided", 2).await;
    let done = async || state(&broker)["queue"].as_array().is_some_and(Vec::is_empty).then_some(());
    eventually("all is told", done).await;
    notifier.stop();
    let types: Vec<Value> = told(&kept).into_iter().map(|it| it["type"].clone()).collect();
    assert_eq!(types, ["elevation.decided", "elevation.decided"]);
}

#[tokio::test]
async fn a_stage_that_opens_again_is_told_by_another_id() {
    // given a request whose first stage has its approval
    let broker = broker();
    let (hook, kept) = keeping(&broker);
    let notifier = Notifier::start(&broker, &[], &[hook.to_str().unwrap()]);
    let request = pb::RequestElevationRequest {
        entitlement: "payments-db-admin".to_owned(),
        resources: vec!["prod/eu/db/payments/primary".to_owned()],
        justification: "payments are stuck since noon".to_owned(),
        ..repair()
    };
    let (ana, ben) = (broker.person("ana").await, broker.person("ben").await);
    let id = ana.request(request).await.unwrap().id;
    until_told(&kept, "elevation.opened", 1).await;
    ben.approve(&id).await.unwrap();
    until_told(&kept, "elevation.opened", 2).await;
    // when its approver is suspended and is not any more, again and again
    let sam = |words: &[&str]| {
        let ended = run(&mut broker.command("sam", words));
        assert_eq!(ended.code, Some(0), "{words:?}: {}", ended.stderr);
        ended.stdout
    };
    for round in [1, 2] {
        sam(&["lock", "person", "ben", "--reason", "a lost laptop"]);
        until_told(&kept, "elevation.opened", round * 2 + 1).await;
        let locks: Value = serde_json::from_str(&sam(&["lock", "list", "-o", "json"])).unwrap();
        sam(&["unlock", locks[0]["id"].as_str().unwrap(), "--reason", "it was found"]);
        until_told(&kept, "elevation.opened", round * 2 + 2).await;
    }
    notifier.stop();
    // then no two openings have one id
    let ids: std::collections::BTreeSet<String> = told(&kept).iter().map(|it| it["id"].to_string()).collect();
    assert_eq!(ids.len(), told(&kept).len());
}

fn repair_again() -> pb::RequestElevationRequest {
    pb::RequestElevationRequest { request_id: crate::person::call_id(), ..repair() }
}

#[tokio::test]
async fn a_place_that_is_not_in_this_journal_ends_it_and_says_what_to_do() {
    let broker = broker();
    let file = broker.organisation.path("notify.json");
    let words = ["notify", "--state", file.to_str().unwrap(), "--exec", "true"];
    let who = broker.person("notify-bot").await.accounts().who_am_i(pb::WhoAmIRequest {}).await.unwrap().into_inner();
    let journal = who.journal;
    let refused = |state: Value| {
        std::fs::write(&file, state.to_string()).unwrap();
        let ended = run(&mut broker.command("notify-bot", &words));
        assert_eq!(ended.code, Some(5), "{}", ended.stderr);
        assert!(ended.stderr.contains("move it away"), "{}", ended.stderr);
        ended.stderr
    };
    // beyond the journal's end, of the same or of one that nobody noted; and of another journal
    let beyond = refused(json!({ "place": 999_999, "time": null, "journal": journal }));
    assert!(beyond.contains("event 999999"), "{beyond}");
    refused(json!({ "place": 999_999, "time": null }));
    let other = refused(json!({ "place": 1, "time": null, "journal": "019380a1-0000-7000-8000-0000aa11bb22" }));
    assert!(other.contains("another journal"), "{other}");
    // one file, one notifier, by whatever name
    std::fs::write(&file, json!({ "place": 1, "time": null }).to_string()).unwrap();
    for (name, soft) in [("soft.json", true), ("hard.json", false)] {
        let link = broker.organisation.path(name);
        if soft { std::os::unix::fs::symlink(&file, &link) } else { std::fs::hard_link(&file, &link) }.unwrap();
        let ended =
            run(&mut broker.command("notify-bot", &["notify", "--state", link.to_str().unwrap(), "--exec", "true"]));
        assert!(ended.code == Some(1) && ended.stderr.contains("is a link"), "{}", ended.stderr);
        std::fs::remove_file(link).unwrap();
    }
}

#[tokio::test]
async fn a_notifier_says_what_it_will_not_see() {
    let broker = broker();
    for (who, words) in [("deploy-bot", "no `audit.read`"), ("omar", "`tenants/**`")] {
        let file = broker.organisation.path(&format!("{who}.json"));
        let mut command = broker.command(who, &["notify", "--state", file.to_str().unwrap(), "--exec", "true"]);
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let stderr = child.stderr.take().unwrap();
        let (sender, said) = std::sync::mpsc::channel();
        std::thread::spawn(move || sender.send(BufReader::new(stderr).lines().next()));
        let line = said.recv_timeout(Duration::from_secs(20));
        child.kill().unwrap();
        child.wait().unwrap();
        let line = line.unwrap().unwrap().unwrap();
        assert!(line.contains(words), "{who}: {line}");
    }
}

#[tokio::test]
async fn a_notifier_outlives_a_broker_that_is_frozen_for_longer_than_a_call() {
    let broker = broker();
    let (hook, kept) = keeping(&broker);
    let broken = broker.organisation.path("broken");
    std::fs::write(&broken, "").unwrap();
    let signal = |name: &str| {
        let id = broker.id().to_string();
        assert!(std::process::Command::new("kill").args([name, &id]).status().unwrap().success());
    };
    // given a notifier that tries again and again to tell of something, and asks each time whether it waits still
    let state = broker.organisation.path("notify.json");
    let words = ["--timeout", "2s", "notify", "--state", state.to_str().unwrap(), "--exec", hook.to_str().unwrap()];
    let mut notifier =
        broker.command("notify-bot", &words).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(notifier.stderr.take().unwrap()).lines().map_while(Result::ok);
    broker.engineer().await.request(repair()).await.unwrap();
    assert!(lines.any(|line| line.contains("; again at ")), "the hook fails first");
    // when the broker is frozen until a call has timed out
    signal("-STOP");
    let lost = lines.find(|line| line.contains("the broker was lost") || line.contains("error"));
    signal("-CONT");
    // then it says so, goes on, and tells it once the hook takes it
    assert!(lost.as_ref().is_some_and(|line| line.contains("the broker was lost")), "{lost:?}");
    std::thread::spawn(move || lines.for_each(drop));
    std::fs::remove_file(broken).unwrap();
    until_told(&kept, "elevation.opened", 1).await;
    assert!(notifier.try_wait().unwrap().is_none());
    notifier.kill().unwrap();
    notifier.wait().unwrap();
}
