//! The journal, read: by auditors over the API, by everybody about themselves, and by any SQLite reader while the broker
//! writes (known failure H9).

use std::collections::BTreeMap;

use countersign::wire::v1 as pb;
use rusqlite::{Connection, OpenFlags};
use tonic::Code;

use crate::harness::Broker;
use crate::person::{Person, millis, reason, refused, repair};

fn about(what: &str) -> pb::ListEventsRequest {
    pb::ListEventsRequest { about: what.to_owned(), ..Default::default() }
}

fn refusals_of(person: &Person) -> pb::ListEventsRequest {
    let (actor, kind) = (format!("account:{}", person.name), "command-refused".to_owned());
    pb::ListEventsRequest { actor, kind, ..Default::default() }
}

fn facts(event: &pb::Event) -> serde_json::Value {
    serde_json::from_str(&event.facts_json).unwrap()
}

#[tokio::test]
async fn refused_commands_are_recorded_with_their_true_reason() {
    let broker = Broker::shared();
    let (engineer, outsider) = (broker.engineer().await, broker.engineer().await);
    let (ben, omar) = (broker.person("ben").await, broker.person("omar").await);
    // given one refusal of each kind
    let elevation = engineer.request(repair()).await.unwrap();
    let text = elevation.review.as_ref().unwrap().approval_text.clone();
    refused(engineer.approve(&elevation.id).await, Code::PermissionDenied, "SELF_APPROVAL");
    refused(engineer.request(repair()).await, Code::FailedPrecondition, "ALREADY_PENDING");
    let stale = ben.approve_text(&elevation.id, &format!("{text}\n")).await;
    refused(stale, Code::FailedPrecondition, "DIGEST_MISMATCH");
    // and one whose reason the caller may not know
    refused(outsider.approve_text(&elevation.id, &text).await, Code::NotFound, "NOT_FOUND");
    // then the auditor reads each, in order, and what it was about
    let told = |events: Vec<pb::Event>| -> Vec<(String, String)> {
        let both = |event: &pb::Event| {
            let facts = facts(event);
            (facts["command"].as_str().unwrap().to_owned(), facts["reason"].as_str().unwrap().to_owned())
        };
        events.iter().map(both).collect()
    };
    let pair = |command: &str, reason: &str| (command.to_owned(), reason.to_owned());
    let own = omar.events(refusals_of(&engineer)).await;
    assert_eq!(own[0].kind, "command-refused/1");
    assert_eq!(told(own), [pair("approve-elevation", "SELF_APPROVAL"), pair("request-elevation", "ALREADY_PENDING")]);
    let of_outsider = omar.events(refusals_of(&outsider)).await;
    assert_eq!(told(of_outsider.clone()), [pair("approve-elevation", "NOT_AN_APPROVER")]);
    assert_eq!(facts(&of_outsider[0])["about"], format!("elevation:{}", elevation.id));
    // and nobody learns it that way who may not: the outsider least of all
    for event in outsider.events(pb::ListEventsRequest::default()).await {
        assert!(!event.facts_json.contains("NOT_AN_APPROVER"), "{event:?}");
    }
}

#[tokio::test]
async fn everybody_reads_about_themselves_and_an_auditor_reads_all() {
    let broker = Broker::shared();
    let (engineer, other) = (broker.engineer().await, broker.engineer().await);
    let (ben, omar) = (broker.person("ben").await, broker.person("omar").await);
    let grant = engineer.granted(repair(), &ben).await;
    let theirs = other.request(repair()).await.unwrap();
    let mine = engineer.events(pb::ListEventsRequest::default()).await;
    // then she reads her own story, from her record to her grant
    let kinds: Vec<&str> = mine.iter().map(|event| event.kind.split_once('/').unwrap().0).collect();
    let story = ["person-recorded", "account-recorded", "elevation-requested", "grant-issued"];
    assert!(story.iter().all(|kind| kinds.contains(kind)), "{kinds:?}");
    // and nothing of another's, and no hash that would tell of it
    for event in &mine {
        assert!(!event.facts_json.contains(&theirs.id) && !event.facts_json.contains(&other.name), "{event:?}");
        assert_eq!(event.hash, "", "{event:?}");
    }
    let hidden = engineer.audit().list_events(about(&format!("elevation:{}", theirs.id))).await.unwrap_err();
    assert_eq!(hidden.code(), tonic::Code::NotFound, "{hidden:?}");
    // and the auditor reads both, hash by hash as the file has them
    let all = omar.events(pb::ListEventsRequest::default()).await;
    assert!(all.iter().any(|event| event.facts_json.contains(&theirs.id)));
    assert!(all.iter().any(|event| event.facts_json.contains(&grant.id)));
    let rows = rows(broker);
    for (number, event) in (1..).zip(&all) {
        assert_eq!(event.sequence, number.to_string(), "a gap");
        assert_eq!(event.hash, rows[&number], "{event:?}");
    }
}

#[tokio::test]
async fn what_one_lists_is_what_one_watches() {
    // given somebody's things in each way that they end, decided by others
    let broker = Broker::shared();
    let (engineer, ben) = (broker.engineer().await, broker.person("ben").await);
    let start = engineer.audit().list_events(pb::ListEventsRequest::default()).await.unwrap().into_inner().sequence;
    let denied = engineer.request(repair()).await.unwrap();
    engineer.approve(&denied.id).await.unwrap_err();
    ben.deny(&denied.id).await.unwrap();
    let grant = engineer.granted(repair(), &ben).await;
    ben.revoke(&grant.id).await.unwrap();
    // when both are read from the same place
    let number = |sequence: &str| sequence.parse::<u64>().unwrap();
    let listed = engineer.events(pb::ListEventsRequest::default()).await;
    let listed: Vec<pb::Event> = listed.into_iter().filter(|it| number(&it.sequence) > number(&start)).collect();
    let last = number(&listed.last().unwrap().sequence);
    let watch = pb::WatchEventsRequest { after_sequence: start, ..Default::default() };
    let mut stream = engineer.audit().watch_events(watch).await.unwrap().into_inner();
    let mut watched = Vec::new();
    while watched.last().is_none_or(|event: &pb::Event| number(&event.sequence) < last) {
        watched.extend(stream.message().await.unwrap().unwrap().event);
    }
    // then both tell the whole story, other people's decisions on it too
    assert_eq!(listed, watched);
    let kinds: Vec<&str> = listed.iter().map(|event| event.kind.split_once('/').unwrap().0).collect();
    let story = [
        "elevation-requested",
        "command-refused",
        "elevation-denied",
        "elevation-requested",
        "approval-recorded",
        "elevation-approved",
        "grant-issued",
        "grant-revoked",
    ];
    assert_eq!(kinds, story);
}

#[tokio::test]
async fn a_filter_narrows_and_never_widens() {
    let broker = Broker::shared();
    let (engineer, omar) = (broker.engineer().await, broker.person("omar").await);
    let elevation = engineer.request(repair()).await.unwrap();
    engineer.withdraw(&elevation.id).await.unwrap();
    let about_it = omar.events(about(&format!("elevation:{}", elevation.id))).await;
    let kinds: Vec<&str> = about_it.iter().map(|event| event.kind.as_str()).collect();
    assert_eq!(kinds, ["elevation-requested/1", "elevation-withdrawn/1"]);
    let (first, last) = (about_it[0].time, about_it[1].time);
    let is_within = |event: &pb::Event| millis(event.time.as_ref()) < millis(last.as_ref());
    let within =
        pb::ListEventsRequest { from_time: first, until_time: last, ..about(&format!("elevation:{}", elevation.id)) };
    let within = omar.events(within).await;
    assert!(within.len() <= 1 && within.iter().all(is_within));
    let by_broker =
        pb::ListEventsRequest { actor: "broker".to_owned(), kind: "broker-started".to_owned(), ..Default::default() };
    assert!(!omar.events(by_broker).await.is_empty());
}

#[tokio::test]
async fn what_needs_a_capability_names_it() {
    let broker = Broker::shared();
    let (engineer, omar) = (broker.engineer().await, broker.person("omar").await);
    let text = engineer.policy().get_policy(pb::GetPolicyRequest {}).await;
    refused(text, Code::PermissionDenied, "CAPABILITY_MISSING");
    let policy = omar.policy().get_policy(pb::GetPolicyRequest {}).await.unwrap().into_inner().policy.unwrap();
    assert_eq!(policy.text, include_str!("../../examples/policy.toml"));
    let account = |person: &Person, id: &str| {
        let (mut accounts, account_id) = (person.accounts(), id.to_owned());
        async move { accounts.get_account(pb::GetAccountRequest { account_id }).await }
    };
    assert!(account(&engineer, &engineer.name).await.is_ok());
    let hidden = account(&engineer, "omar").await.unwrap_err();
    let made_up = account(&engineer, "nobody").await.unwrap_err();
    assert_eq!((reason(&hidden), hidden.code()), (reason(&made_up), made_up.code()));
    assert_eq!(hidden.message().replace("omar", "nobody"), made_up.message());
    assert!(account(&omar, "ben").await.is_ok());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn any_sqlite_reader_reads_the_live_journal() {
    // given a broker that writes all the time
    let broker = Broker::new();
    let ana = broker.person("ana").await;
    let writing = tokio::spawn(async move {
        for _ in 0..30 {
            let elevation = ana.request(repair()).await.unwrap();
            ana.withdraw(&elevation.id).await.unwrap();
        }
    });
    // when somebody else opens the file, to read only, and reads again and again
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let reader = Connection::open_with_flags(broker.organisation.journal(), flags).unwrap();
    let mut counts = Vec::new();
    while !writing.is_finished() {
        let mut events = reader.prepare("SELECT seq, at, actor, kind, about, facts FROM event ORDER BY seq").unwrap();
        let read = events.query_map([], |row| {
            Ok((row.get::<_, i64>(0)?, row.get::<_, String>(1)?, row.get::<_, String>(2)?, row.get::<_, String>(3)?))
        });
        let read: Vec<_> = read.unwrap().map(Result::unwrap).collect();
        assert!(read.iter().enumerate().all(|(at, row)| row.0 == i64::try_from(at).unwrap() + 1));
        assert!(read.iter().all(|row| row.1.ends_with('Z') && row.3.contains('/')), "{:?}", read.last());
        counts.push(read.len());
        tokio::time::sleep(std::time::Duration::from_millis(2)).await;
    }
    writing.await.unwrap();
    // then it saw the journal grow, and held nobody up
    assert!(counts.windows(2).all(|two| two[0] <= two[1]) && counts.first() < counts.last(), "{counts:?}");
}

/// The hashes of the file, by row.
fn rows(broker: &Broker) -> BTreeMap<i64, String> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let reader = Connection::open_with_flags(broker.organisation.journal(), flags).unwrap();
    let mut rows = reader.prepare("SELECT seq, lower(hex(hash)) FROM journal").unwrap();
    let rows = rows.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
    rows.map(Result::unwrap).collect()
}
