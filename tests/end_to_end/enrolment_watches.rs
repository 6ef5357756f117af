//! Watches of enrolments: open to whoever may ask for one, so to a person without an account and to a disabled account
//! too, who are told of their own and of nothing else; every other watch ends with the account (known failures B1, B7 and A14).

use std::time::Duration;

use countersign::wire::v1 as pb;
use tonic::Streaming;

use crate::harness::{Broker, run};
use crate::life::{account, left_urgently, refused, restore};
use crate::person::{Person, reason};

type Watch = Streaming<pb::WatchEnrolmentsResponse>;

async fn watch(person: &Person) -> Watch {
    let request = pb::WatchEnrolmentsRequest::default();
    let mut stream = person.enrolments().watch_enrolments(request).await.unwrap().into_inner();
    assert!(stream.message().await.unwrap().unwrap().event.is_none());
    stream
}

/// The next steps that are told: of which enrolment, and what happened.
async fn next(watch: &mut Watch) -> (String, String) {
    loop {
        let message = tokio::time::timeout(Duration::from_secs(20), watch.message()).await.expect("a step");
        if let Some(event) = message.unwrap().expect("an open stream").event {
            return (event.enrolment_id, event.kind);
        }
    }
}

#[tokio::test]
async fn a_person_without_an_account_watches_their_own_request_and_nobody_elses() {
    // given two persons without accounts, one of whom watches; who is nobody on record cannot
    let broker = Broker::new();
    let stranger = broker.person("mallory").await;
    let request = pb::WatchEnrolmentsRequest::default();
    refused(stranger.enrolments().watch_enrolments(request).await.map(|_| ()), "NO_ACCOUNT");
    let (first, second) = (broker.joined("first", "ines").await, broker.joined("second", "ines").await);
    let mut stream = watch(&first).await;
    // when both ask, and the manager approves both, the other's first
    let theirs = second.ask(account()).await.unwrap().id;
    let own = first.ask(account()).await.unwrap().id;
    let ines = broker.person("ines").await;
    ines.approve_enrolment(&theirs).await.unwrap();
    ines.approve_enrolment(&own).await.unwrap();
    // then the watch tells the own request alone, to its end, over the moment at which the account is there
    for kind in ["enrolment-requested", "enrolment-approval-recorded", "enrolment-approved"] {
        assert_eq!(next(&mut stream).await, (own.clone(), kind.to_owned()));
    }
}

#[tokio::test]
async fn a_disabled_account_watches_what_it_asks_for_and_every_other_watch_of_it_ends() {
    // given a manager who watches enrolments and elevations
    let broker = Broker::new();
    let (dev, sam) = broker.hired("dev", "sam").await;
    let mut enrolments = watch(&dev).await;
    let request = pb::WatchElevationsRequest::default();
    let mut elevations = dev.elevations().watch_elevations(request.clone()).await.unwrap().into_inner();
    let new = broker.joined("new", "dev").await;
    let first = new.ask(account()).await.unwrap();
    assert_eq!(next(&mut enrolments).await, (first.id.clone(), "enrolment-requested".to_owned()));
    // when a training of that manager is taken back, which disables the account
    let training = broker.person("training-feed").await;
    training.correct("dev", "annual-training", None, false).await.unwrap();
    // then the watch of elevations is cut off, and no new one is opened
    let ended = tokio::time::timeout(Duration::from_secs(20), async {
        loop {
            if let Err(status) = elevations.message().await {
                return status;
            }
        }
    });
    assert_eq!(reason(&ended.await.expect("an end")), "ACCOUNT_DISABLED");
    refused(dev.elevations().watch_elevations(request).await.map(|_| ()), "ACCOUNT_DISABLED");
    // and the one of enrolments goes on, also one that begins now, without what the manager saw before
    let mut again = watch(&dev).await;
    let withdrawal = pb::WithdrawEnrolmentRequest {
        request_id: crate::person::call_id(),
        enrolment_id: first.id.clone(),
        ..Default::default()
    };
    new.enrolments().withdraw_enrolment(withdrawal).await.unwrap();
    training.attest("dev", "annual-training", crate::common::certificates::now_millis() - 1_000).await.unwrap();
    let asked = dev.ask(restore()).await.unwrap();
    sam.approve_enrolment(&asked.id).await.unwrap();
    for stream in [&mut enrolments, &mut again] {
        for kind in ["enrolment-requested", "enrolment-approval-recorded", "enrolment-approved"] {
            assert_eq!(next(stream).await, (asked.id.clone(), kind.to_owned()));
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_waits_for_an_account_on_the_command_line_hears_of_its_end() {
    let broker = Broker::new();
    let dev = broker.joined("dev", "ines").await;
    let wait = |words: &'static [&'static str]| {
        let mut command = broker.command("dev", words);
        tokio::task::spawn_blocking(move || run(&mut command))
    };
    // given a person who asks and waits
    let waiting = wait(&["enrol", "account", "--wait"]);
    let id = crate::harness::eventually("the request", async || {
        dev.enrolment_ids(pb::EnrolmentRelation::Requested).await.pop()
    });
    let id = id.await;
    // when the manager says no
    broker.person("ines").await.deny_enrolment(&id).await.unwrap();
    // then the waiting ends, and says so
    let ended = waiting.await.unwrap();
    assert_eq!((ended.code, ended.stdout.trim()), (Some(3), id.as_str()), "{}", ended.stderr);
    assert!(ended.stderr.contains("not this quarter"), "{}", ended.stderr);
    // when the person leaves in the middle of another, it ends as well
    let waiting = wait(&["enrol", "account", "--wait"]);
    crate::harness::eventually("the request", async || {
        let ids = dev.enrolment_ids(pb::EnrolmentRelation::Requested).await;
        ids.into_iter().find(|other| *other != id)
    })
    .await;
    broker.person("hr-sync").await.tell(vec![left_urgently("dev", false)]).await.unwrap();
    let ended = waiting.await.unwrap();
    assert!(matches!(ended.code, Some(3 | 7)), "{:?} {}{}", ended.code, ended.stdout, ended.stderr);
}
