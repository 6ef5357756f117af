//! What a person cannot do by having, first, what somebody else is to have: stop HR's stream, keep a tenant from its own ids, or
//! find out who is called and known by what.

use countersign::wire::v1 as pb;
use pb::enrolment_ask::Ask;
use pb::hr_event::Change;
use sha2::{Digest, Sha256};
use tonic::{Code, Status};

use crate::harness::{Broker, Start, eventually, free_address, metric};
use crate::life::{event, joined, left_urgently, place};
use crate::organisation::{Files, Organisation, identity};
use crate::person::{Person, call_id, refused};

/// The example's, in which identities of persons belong to persons alone.
fn organisation() -> Organisation {
    let files = Files::example();
    assert!(files.policy.contains("\nperson_identities = [\"spiffe://northwind.example/person/**\"]\n"));
    Organisation::with(&files)
}

fn machine(account: &str, identity: &str) -> Ask {
    Ask::Machine(pb::MachineAsk {
        account: account.to_owned(),
        identities: vec![identity.to_owned()],
        acts_for: pb::ActsFor::Itself.into(),
        ..Default::default()
    })
}

fn known_by(person: &str, login: &str) -> pb::HrEvent {
    event(person, Change::Joined(pb::Joined { logins: vec![login.to_owned()], manager: "ines".to_owned() }))
}

async fn decide(person: &Person, hold: &pb::FeedHold, discard: bool) -> Result<pb::ReleaseBrakeResponse, Status> {
    let request = pb::ReleaseBrakeRequest {
        request_id: call_id(),
        hold_id: hold.id.clone(),
        digest: Sha256::digest(&hold.events_json).to_vec(),
        discard,
        reason: "looked at".to_owned(),
        validate_only: false,
    };
    Ok(person.hr().release_brake(request).await?.into_inner())
}

#[tokio::test]
async fn nobody_stops_hrs_stream_and_leavings_wait_for_nothing() {
    let organisation = organisation();
    let metrics = free_address();
    assert_eq!(organisation.init().code, Some(0));
    let flags = vec!["--metrics-listen".to_owned(), metrics.to_string()];
    let broker = Broker::serve(&organisation.into(), &Start { flags, ..Start::default() });
    let (ana, hr, noa) = (broker.person("ana").await, broker.person("hr-sync").await, broker.person("noa").await);
    // given an employee who would enrol a machine with what HR's next joiner is to have: that is refused
    let squatting = machine("squat-bot", &identity("next"));
    let refusal = refused(ana.ask(squatting.clone()).await, Code::FailedPrecondition, "IDENTITY_TAKEN");
    assert!(refusal.message().contains("persons alone"), "{refusal:?}");
    assert_eq!(ana.ask_dry(squatting).await.unwrap(), ["IDENTITY_TAKEN"]);
    // given a stream with a joiner known by what a machine has, one who is called as acme's are, and a leaving
    let events = vec![
        known_by("nia", &identity("deploy-bot")),
        known_by("acme.r", "spiffe://northwind.example/person/r"),
        left_urgently("ben", false),
        joined("next", "ines"),
    ];
    let dry = hr.tell_all(place("hr-people", 1), events.clone(), true).await.unwrap();
    let answer = hr.tell_all(place("hr-people", 1), events.clone(), false).await.unwrap();
    // then the two are set aside by their numbers, with why, and the dry run said so
    let told = |answer: &pb::ApplyHrEventsResponse| {
        let aside = answer.set_aside.iter().map(|it| (it.number, it.person.clone(), it.reason.clone()));
        aside.collect::<Vec<_>>()
    };
    let expected = [(1, "nia".to_owned(), "IDENTITY_TAKEN".to_owned()), (2, "acme.r".into(), "OUTSIDE_TENANT".into())];
    assert_eq!((told(&answer), told(&dry)), (expected.to_vec(), expected.to_vec()));
    assert_eq!((answer.skipped_count, answer.hold_id.as_str()), (0, ""));
    // and what follows happened
    let ben = broker.person("ben").await.request(crate::person::repair()).await;
    refused(ben, Code::PermissionDenied, "ACCOUNT_DISABLED");
    assert_eq!(hr.feed().await.unwrap().streams.iter().find(|it| it.stream == "hr-people").unwrap().last_number, 4);
    assert!(broker.person("next").await.whoami().await.person.is_some());
    // and it is named: in the status, as an event, and as a number for whoever watches
    let holds = noa.feed().await.unwrap().holds;
    let named: Vec<_> = holds.iter().map(|hold| (hold.number, hold.reason.as_str(), hold.event_count)).collect();
    assert_eq!(named, [(1, "IDENTITY_TAKEN", 1), (2, "OUTSIDE_TENANT", 1)]);
    let kind = "hr-set-aside".to_owned();
    let omar = broker.person("omar").await;
    let all = omar.events(pb::ListEventsRequest::default()).await;
    assert_eq!(all.iter().filter(|event| event.kind.starts_with(&kind)).count(), 2);
    eventually("the metric", async || (metric(metrics, &["hr_events_set_aside"]) == 2).then_some(())).await;
    // a repetition by number changes nothing, and the stream goes on
    let again = hr.tell_all(place("hr-people", 1), events, false).await.unwrap();
    assert_eq!((again.skipped_count, again.set_aside.len()), (4, 0));
    hr.tell_all(place("hr-people", 5), vec![left_urgently("sam", false)], false).await.unwrap();
    // a person decides: not while it still cannot happen, and what is another's never
    refused(decide(&noa, &holds[0], false).await, Code::FailedPrecondition, "IDENTITY_TAKEN");
    refused(decide(&noa, &holds[1], false).await, Code::PermissionDenied, "OUTSIDE_TENANT");
    for hold in &holds {
        decide(&noa, hold, true).await.unwrap();
    }
    assert!(noa.feed().await.unwrap().holds.is_empty());
    // and acme's own feed finds its id free
    let idp = broker.person("acme.idp").await;
    let acme = pb::Joined { logins: vec![identity("acme.r")], manager: String::new() };
    let answer = idp.tell_all(place("acme.idp", 1), vec![event("acme.r", Change::Joined(acme))], false).await.unwrap();
    assert!(answer.set_aside.is_empty(), "{answer:?}");
    assert!(broker.person("acme.r").await.whoami().await.account.is_some());
}

#[tokio::test]
async fn an_employee_learns_nothing_of_customers_by_asking_for_what_they_have() {
    let organisation = organisation();
    assert_eq!(organisation.init().code, Some(0));
    let broker = Broker::serve(&organisation.into(), &Start::default());
    let ana = broker.person("ana").await;
    // what a dry run and a real call tell of a machine, without what was named
    let told = async |account: &str, login: &str| {
        let request = pb::RequestEnrolmentRequest {
            request_id: call_id(),
            ask: Some(pb::EnrolmentAsk { ask: Some(machine(account, login)) }),
            justification: "joining the storage team".to_owned(),
            validate_only: true,
        };
        let dry = ana.enrolments().request_enrolment(request).await.unwrap().into_inner();
        let review = dry.enrolment.clone().unwrap().review.unwrap();
        let real = ana.ask(machine(account, login)).await.unwrap_err();
        let shown = format!(
            "{:?} {:?} {:?} {} {:?}",
            dry.obstacles,
            review.stages,
            dry.enrolment.unwrap().manager,
            real.message(),
            String::from_utf8_lossy(real.details())
        );
        // Lengths of what was named are in the details, so that all names here are of one length.
        shown.replace(account, "ACCOUNT").replace(login, "LOGIN")
    };
    // an account of a customer's, and one of nobody
    let free = "spiffe://northwind.example/service/spare";
    assert_eq!(told("acme.lena", free).await, told("acme.none", free).await);
    // an identity of a customer's, and one of nobody
    let theirs = "spiffe://acme.example/person/lena";
    assert_eq!(told("spare", theirs).await, told("spare", "spiffe://acme.example/person/none").await);
    // whoever is looked for in other ways is not there either
    for id in ["acme.lena", "acme.none"] {
        let taken = Ask::TakeOver(pb::TakeOverAsk { account: id.to_owned() });
        let refusal = refused(ana.ask(taken).await, Code::NotFound, "NOT_FOUND");
        assert!(refusal.message().contains(&format!("there is no service account `{id}` that you may see")));
    }
}
