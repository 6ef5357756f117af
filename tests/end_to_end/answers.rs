//! Part 6 of the guard rails over the real binary: what an auditor asks, as of now and as of then, and the same answer to
//! both; over a restart; within the rights of whoever asks.

use countersign::wire::v1 as pb;
use serde_json::Value;
use tonic::Code;

use crate::common::certificates::now_millis;
use crate::harness::{Broker, Start, run};
use crate::person::{ORDERS, Person, at_millis, millis, refused, repair};

#[track_caller]
fn said(broker: &Broker, who: &str, words: &[&str], code: i32) -> (String, String) {
    let ended = run(&mut broker.command(who, words));
    assert_eq!(ended.code, Some(code), "{who} {words:?}: {}{}", ended.stdout, ended.stderr);
    (ended.stdout, ended.stderr)
}

#[track_caller]
fn json(broker: &Broker, who: &str, words: &[&str]) -> Value {
    serde_json::from_str(&said(broker, who, &[words, &["-o", "json"]].concat(), 0).0).unwrap()
}

async fn who_could(auditor: &Person, at: Option<i64>) -> Vec<pb::Access> {
    let request = pb::ListAccessAsOfRequest {
        as_of_time: at.and_then(at_millis),
        action: "db.read".into(),
        resource: ORDERS.into(),
        ..Default::default()
    };
    auditor.audit().list_access_as_of(request).await.unwrap().into_inner().accesses
}

/// What is answered now, and the stamp of the last event that it rests on; whatever happens next is later than that.
async fn noted(auditor: &Person) -> (i64, Vec<pb::Access>) {
    let told = who_could(auditor, None).await;
    let events = auditor.events(pb::ListEventsRequest::default()).await;
    tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    (millis(events.last().unwrap().time.as_ref()), told)
}

#[tokio::test]
async fn part_6_what_was_answered_then_is_answered_as_of_then() {
    // given a history, and what an auditor was told after each step of it
    let broker = Broker::new();
    let (ana, ben, omar, orders) = (
        broker.person("ana").await,
        broker.person("ben").await,
        broker.person("omar").await,
        broker.person("orders-api").await,
    );
    let mut told = vec![noted(&omar).await];
    let grant = ana.granted(repair(), &ben).await;
    told.push(noted(&omar).await);
    let other = broker.person("eng01").await;
    other
        .granted(pb::RequestElevationRequest { resources: vec!["prod/eu/db/orders/**".into()], ..repair() }, &ben)
        .await;
    told.push(noted(&omar).await);
    said(&broker, "sam", &["lock", "person", "ana", "--reason", "lost"], 0);
    told.push(noted(&omar).await);
    assert_eq!(orders.verdict("ana", "db.read", ORDERS).await.0, pb::Verdict::Deny);
    ben.revoke(&grant.id).await.unwrap();
    told.push(noted(&omar).await);
    drop((ana, ben, omar, orders, other));
    let organisation = broker.kill();
    let broker = Broker::serve(&organisation, &Start::default());
    let omar = broker.person("omar").await;
    // when it is asked for as of each of those times, then the answers are those
    for (at, then) in told.iter().rev() {
        assert_eq!(who_could(&omar, Some(*at)).await, *then, "as of {at}");
    }
    let holders: Vec<Vec<(&str, bool)>> =
        told.iter().map(|(_, all)| all.iter().map(|it| (it.account.as_str(), it.locked)).collect()).collect();
    let (ana, eng) = (("ana", false), ("eng01", false));
    assert_eq!(holders, [vec![], vec![ana], vec![ana, eng], vec![("ana", true), eng], vec![eng]]);
    let first = &told[1].1[0];
    assert_eq!((first.grant_id.as_str(), first.entitlement.as_str()), (grant.id.as_str(), "orders-db-repair"));
    assert_eq!((first.approvals[0].person.as_str(), first.approvals[0].role.as_str()), ("ben", "incident-commander"));
    assert_eq!(first.ticket, "INC-4711");
}

#[tokio::test]
async fn an_answer_is_within_the_rights_of_whoever_asks() {
    let broker = Broker::new();
    let (ana, ben) = (broker.person("ana").await, broker.person("ben").await);
    ana.granted(repair(), &ben).await;
    let ask = |account: &str, person: &str, at: Option<prost_types::Timestamp>| pb::ListAccessAsOfRequest {
        account: account.into(),
        person: person.into(),
        as_of_time: at,
        ..Default::default()
    };
    // given an engineer, who may know about herself alone
    let own = ana.audit().list_access_as_of(ask("", "ana", None)).await.unwrap().into_inner().accesses;
    assert!(own.iter().any(|it| it.kind() == pb::AccessKind::Grant) && own.iter().all(|it| it.account == "ana"));
    assert!(own.iter().any(|it| it.kind() == pb::AccessKind::Baseline), "{own:?}");
    for (account, person) in [("", ""), ("ben", ""), ("", "ben"), ("ben", "ben")] {
        let answer = ana.audit().list_access_as_of(ask(account, person, None)).await;
        refused(answer, Code::PermissionDenied, "CAPABILITY_MISSING");
    }
    let both = ana.audit().list_access_as_of(ask("ben", "ana", None)).await.unwrap().into_inner();
    assert_eq!(both.accesses, [], "filters narrow together");
    refused(
        ana.audit().report_standing(pb::ReportStandingRequest::default()).await,
        Code::PermissionDenied,
        "CAPABILITY_MISSING",
    );
    // and whoever has no account knows about nobody
    let pia = broker.person("pia").await;
    refused(pia.audit().list_access_as_of(ask("", "pia", None)).await, Code::PermissionDenied, "NO_ACCOUNT");
    // and nobody asks what will be; of what was before the first event there is nothing
    let omar = broker.person("omar").await;
    let later = at_millis(now_millis() + 60_000);
    let status = omar.audit().list_access_as_of(ask("", "", later)).await.unwrap_err();
    assert!(status.code() == Code::InvalidArgument && status.message().contains("as_of_time"), "{status:?}");
    let before = omar.audit().list_access_as_of(ask("", "", at_millis(1_000))).await.unwrap().into_inner();
    assert_eq!(before, pb::ListAccessAsOfResponse { sequence: "0".into(), ..Default::default() });
    // and pages make a whole, each thing once
    let all = pb::ListAccessAsOfRequest { page_size: 500, ..ask("", "", None) };
    let whole = omar.audit().list_access_as_of(all).await.unwrap().into_inner().accesses;
    let mut paged = Vec::new();
    let mut request = pb::ListAccessAsOfRequest { page_size: 4, ..ask("", "", None) };
    loop {
        let page = omar.audit().list_access_as_of(request.clone()).await.unwrap().into_inner();
        paged.extend(page.accesses);
        request.page_token = page.next_page_token;
        if request.page_token.is_empty() {
            break;
        }
    }
    assert!(whole.len() > 8 && paged == whole, "{} of {}", paged.len(), whole.len());
}

#[tokio::test]
async fn every_question_of_an_auditor_has_a_command() {
    // given grants that ended in several ways, an emergency, and refusals
    let broker = Broker::new();
    let (ana, ben) = (broker.person("ana").await, broker.person("ben").await);
    let first = ana.granted(repair(), &ben).await;
    ana.relinquish(&first.id).await.unwrap();
    let second = ana.granted(repair(), &ben).await;
    let mine = ana.request(pb::RequestElevationRequest { resources: vec!["prod/eu/db/orders/c".into()], ..repair() });
    let mine = mine.await.unwrap().id;
    refused(ana.approve(&mine).await, Code::PermissionDenied, "SELF_APPROVAL");
    // who could do this, and who approved it
    let could = json(&broker, "omar", &["report", "access", ORDERS, "--action", "db.read"]);
    assert_eq!(could[0]["grant_id"], second.id.as_str());
    assert_eq!(could[0]["approvals"][0]["person"], "ben");
    let (table, _) = said(&broker, "omar", &["report", "access", ORDERS], 0);
    assert!(table.contains("(incident-commander)") && table.contains("INC-4711"), "{table}");
    // what this person held, and how each ended
    let held = json(&broker, "omar", &["report", "held", "ana"]);
    assert_eq!([&held[0]["state"], &held[1]["state"]], ["RELINQUISHED", "ACTIVE"]);
    let (own, _) = said(&broker, "ana", &["report", "held", "ana"], 0);
    assert!(own.contains("relinquished, by"), "{own}");
    // every refusal and its reason
    let (refusals, _) = said(&broker, "omar", &["report", "refusals", "--actor", "account:ana"], 0);
    assert!(refusals.contains("approve-elevation") && refusals.contains("SELF_APPROVAL"), "{refusals}");
    // all about one object
    let about = format!("grant:{}", first.id);
    let (all, _) = said(&broker, "omar", &["report", "about", &about], 0);
    assert!(all.contains("grant issued") && all.contains("grant relinquished"), "{all}");
    // what stands, and that nothing else does; the hash is the chain's
    let standing = json(&broker, "omar", &["report", "standing"]);
    assert_eq!(standing["nothing_else_stands"], true);
    let tally = &standing["grants"];
    let counted = ["issued", "relinquished", "active", "ended"].map(|name| tally[name].as_u64().unwrap());
    assert_eq!(counted, [2, 1, 1, 0]);
    let holders = standing["capabilities"].as_array().unwrap();
    let holds = |capability: &str, account: &str| {
        holders.iter().any(|it| it["capability"] == capability && it["account"] == account)
    };
    assert!(holds("audit.read", "omar") && holds("lock.manage", "sam") && holds("access.check", "orders-api"));
    let listed = json(&broker, "omar", &["audit", "ls", "--limit", "0"]);
    let row = listed.as_array().unwrap().iter().find(|it| it["sequence"] == standing["sequence"]).unwrap().clone();
    assert_eq!(row["hash"], standing["hash"]);
    // and as a page, in which what people wrote is no markup
    let shout = pb::RequestElevationRequest { justification: "<script>alert(1)</script>".into(), ..repair() };
    let third = pb::RequestElevationRequest { resources: vec!["prod/eu/db/orders/d".into()], ..shout };
    ana.granted(third, &ben).await;
    for words in [vec!["access"], vec!["held", "ana"], vec!["refusals"], vec!["about", &about], vec!["standing"]] {
        let (page, _) = said(&broker, "omar", &[&["report"], &words[..], &["--html"]].concat(), 0);
        assert!(page.starts_with("<!doctype html>") && page.contains("<table>"), "{page}");
        assert!(!page.contains("<script"), "{page}");
    }
    said(&broker, "ana", &["report", "standing"], 3);
}
