//! HR's connector and one certificate that would approve their own request (known failure B10), on the real binary.

use countersign::wire::v1 as pb;
use pb::hr_event::Change;
use sha2::{Digest, Sha256};

use crate::harness::Broker;
use crate::life::{event, refused};
use crate::organisation::identity;
use crate::person::{Person, call_id, repair};

/// Known by these names and no others.
fn known_as(person: &str, names: &[&str]) -> pb::HrEvent {
    event(person, Change::Renamed(pb::Renamed { logins: names.iter().map(|name| identity(name)).collect() }))
}

/// The calls of an elevation, as somebody is told them.
async fn calls(person: &Person, id: &str) -> Vec<pb::Call> {
    let request = pb::GetElevationRequest { elevation_id: id.to_owned() };
    person.elevations().get_elevation(request).await.unwrap().into_inner().calls
}

#[tokio::test]
async fn hrs_connector_and_one_certificate_do_not_approve_their_own_request() {
    let broker = Broker::new();
    let (hr, ana, omar) = (broker.person("hr-sync").await, broker.person("ana").await, broker.person("omar").await);
    // given what ana asked for, with her certificate
    let asked = ana.request(repair()).await.unwrap();
    // when HR gives her a parked name, and ben hers
    let told = hr.tell(vec![known_as("ana", &["ana-parked"]), known_as("ben", &["ana"])]).await.unwrap();
    // then the one request is over, and the other renaming waits for a person
    assert_ne!(told.hold_id, "");
    let closed = omar.elevation(&asked.id).await.unwrap();
    assert_eq!(
        (closed.state(), closed.closing.unwrap().cause.as_str()),
        (pb::ElevationState::Cancelled, "IDENTITY_MOVED")
    );
    refused(ana.approve(&asked.id).await, "NO_ACCOUNT");
    // when somebody lets it go, who is neither of the two, then that certificate is ben's, and approves nothing of that
    let noa = broker.person("noa").await;
    let hold = noa.feed().await.unwrap().holds.remove(0);
    let release = pb::ReleaseBrakeRequest {
        request_id: call_id(),
        hold_id: hold.id.clone(),
        digest: Sha256::digest(&hold.events_json).to_vec(),
        discard: false,
        reason: "HR says that it is so".to_owned(),
        validate_only: false,
    };
    noa.hr().release_brake(release).await.unwrap();
    assert_eq!(ana.whoami().await.person.unwrap().id, "ben");
    let text = closed.review.unwrap().approval_text;
    refused(ana.approve_text(&asked.id, &text).await, "NOT_PENDING");
    // and HR does not give ben and ana their own names back without anybody's word
    let told = hr.tell(vec![known_as("ben", &["ben"]), known_as("ana", &["ana"])]).await.unwrap();
    assert_ne!(told.hold_id, "");
}

#[tokio::test]
async fn who_audits_is_told_by_which_certificate_and_from_where_and_nobody_else() {
    let broker = Broker::new();
    let (eng, ben, omar) = (broker.person("eng01").await, broker.person("ben").await, broker.person("omar").await);
    let before = omar.audit().list_events(pb::ListEventsRequest::default()).await.unwrap().into_inner().sequence;
    let asked = eng.request(repair()).await.unwrap();
    ben.approve(&asked.id).await.unwrap();
    // given a request and its approval, then an auditor reads of both where they came from
    let told = calls(&omar, &asked.id).await;
    let who: Vec<(&str, &str)> = told.iter().map(|it| (it.caller.as_str(), it.identity.as_str())).collect();
    assert_eq!(who, [("account:eng01", identity("eng01").as_str()), ("account:ben", &identity("ben"))]);
    for call in &told {
        assert!(call.address.starts_with("127.0.0.1:") && call.certificate_digest.len() == 32, "{call:?}");
        assert!(!call.serial.is_empty() && call.serial.len() <= 40, "{call:?}");
        assert!(call.serial.bytes().all(|it| it.is_ascii_hexdigit() && !it.is_ascii_uppercase()), "{call:?}");
    }
    assert_ne!(told[0].certificate_digest, told[1].certificate_digest);
    // while neither of those who are in it is told
    assert!(calls(&eng, &asked.id).await.is_empty() && calls(&ben, &asked.id).await.is_empty());
    let filter = || pb::ListEventsRequest { about: format!("elevation:{}", asked.id), ..Default::default() };
    let said = |events: &[pb::Event]| events.iter().filter(|it| it.facts_json.contains("\"address\"")).count();
    let (audited, own) = (omar.events(filter()).await, eng.events(filter()).await);
    assert_eq!((said(&audited), said(&own)), (2, 0));
    assert!(own.len() >= 2 && own.iter().any(|it| it.facts_json.contains("\"justification\"")), "{own:?}");
    // and neither by a watch
    for (who, wanted) in [(&omar, true), (&eng, false)] {
        let about = format!("elevation:{}", asked.id);
        let request = pb::WatchEventsRequest { after_sequence: before.clone(), about, ..Default::default() };
        let mut watched = who.audit().watch_events(request).await.unwrap().into_inner();
        let first = loop {
            if let Some(event) = watched.message().await.unwrap().expect("a message").event {
                break event;
            }
        };
        assert_eq!((first.kind.as_str(), first.facts_json.contains("\"address\"")), ("elevation-requested/1", wanted));
    }
}
