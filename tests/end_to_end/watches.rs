//! Watches whose connection breaks after each event: what was read, joined, is what the journal says (known failures F4 and F5).

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use countersign::domain::record::event::{Actor, BrokerFact, ClockPair, Event, Fact};
use countersign::domain::record::row;
use countersign::domain::value::time::Timestamp;
use countersign::journal::{Journal as _, Options, Row, SqliteJournal};
use countersign::wire::v1 as pb;
use tonic::Code;

use crate::common::certificates::now_millis;
use crate::harness::{Broker, Start, eventually};
use crate::organisation::Organisation;
use crate::person::{Person, refused, repair, seconds};

/// Many lives of elevations and grants, and refusals between them.
async fn live(broker: &Broker, done: Arc<AtomicBool>) -> (Person, Person) {
    let (ana, ben) = (broker.person("ana").await, broker.person("ben").await);
    for _ in 0..3 {
        let grant = ana.granted(repair(), &ben).await;
        ana.relinquish(&grant.id).await.unwrap();
        let elevation = ana.request(repair()).await.unwrap();
        ana.approve(&elevation.id).await.unwrap_err();
        ben.deny(&elevation.id).await.unwrap();
        let grant = ana.granted(pb::RequestElevationRequest { duration: seconds(600), ..repair() }, &ben).await;
        ben.revoke(&grant.id).await.unwrap();
    }
    done.store(true, Ordering::SeqCst);
    (ana, ben)
}

async fn newest(person: &Person) -> String {
    let request = pb::ListEventsRequest { page_size: 1, ..Default::default() };
    person.audit().list_events(request).await.unwrap().into_inner().sequence
}

fn number(sequence: &str) -> u64 {
    sequence.parse().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_watch_of_events_that_breaks_after_each_event_joins_to_the_journal() {
    let broker = Arc::new(Broker::new());
    let omar = broker.person("omar").await;
    let start = newest(&omar).await;
    let done = Arc::new(AtomicBool::new(false));
    let living = tokio::spawn({
        let (broker, done) = (Arc::clone(&broker), Arc::clone(&done));
        async move { live(&broker, done).await }
    });
    // when the watcher's connection ends after each message, and it resumes after what it last read
    let (mut after, mut joined) = (start.clone(), Vec::new());
    loop {
        if done.load(Ordering::SeqCst) && number(&after) >= number(&newest(&omar).await) {
            break;
        }
        let watcher = broker.person("omar").await;
        let request = pb::WatchEventsRequest { after_sequence: after.clone(), ..Default::default() };
        let mut stream = watcher.audit().watch_events(request).await.unwrap().into_inner();
        let step = stream.message().await.unwrap().expect("a message");
        assert!(number(&step.sequence) > number(&after), "the stream went back");
        after = step.sequence;
        joined.extend(step.event);
    }
    living.await.unwrap();
    // then what was read is the journal from there on, event by event
    let all = omar.events(pb::ListEventsRequest::default()).await;
    let wanted: Vec<pb::Event> = all.into_iter().filter(|event| number(&event.sequence) > number(&start)).collect();
    assert!(wanted.len() > 25);
    assert_eq!(joined, wanted);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn watches_of_elevations_and_grants_join_to_the_journals_projection() {
    let broker = Arc::new(Broker::new());
    let (omar, ana) = (broker.person("omar").await, broker.person("ana").await);
    let start = newest(&omar).await;
    let done = Arc::new(AtomicBool::new(false));
    let living = tokio::spawn({
        let (broker, done) = (Arc::clone(&broker), Arc::clone(&done));
        async move { live(&broker, done).await }
    });
    // when she watches hers, over connections that end after each message
    let (mut after, mut elevations) = (start.clone(), Vec::new());
    let (mut after_grants, mut grants) = (start.clone(), Vec::new());
    loop {
        let end = number(&newest(&omar).await);
        if done.load(Ordering::SeqCst) && number(&after) >= end && number(&after_grants) >= end {
            break;
        }
        let watcher = broker.person("ana").await;
        if number(&after) < end {
            let request = pb::WatchElevationsRequest { after_sequence: after.clone(), ..Default::default() };
            let mut stream = watcher.elevations().watch_elevations(request).await.unwrap().into_inner();
            let step = stream.message().await.unwrap().expect("a message");
            elevations.extend(step.event.map(|event| (event.kind, event.elevation_id)));
            after = step.sequence;
        }
        if number(&after_grants) < end {
            let request = pb::WatchGrantsRequest { after_sequence: after_grants.clone(), ..Default::default() };
            let mut stream = watcher.grants().watch_grants(request).await.unwrap().into_inner();
            let step = stream.message().await.unwrap().expect("a message");
            grants.extend(step.event.map(|event| (event.kind, event.grant_id)));
            after_grants = step.sequence;
        }
    }
    living.await.unwrap();
    // then both are what the journal says of them
    let all = omar.events(pb::ListEventsRequest::default()).await;
    let all: Vec<_> = all.into_iter().filter(|event| number(&event.sequence) > number(&start)).collect();
    let project = |kinds: &[&str], about: &str| -> Vec<(String, String)> {
        let of = |event: &pb::Event| {
            let kind = event.kind.split_once('/')?.0;
            let id = event.about.iter().find_map(|it| it.strip_prefix(about))?;
            kinds.iter().any(|prefix| kind.starts_with(prefix)).then(|| (kind.to_owned(), id.to_owned()))
        };
        all.iter().filter_map(of).collect()
    };
    assert_eq!(elevations, project(&["elevation-", "approval-"], "elevation:"));
    assert_eq!(grants, project(&["grant-"], "grant:"));
    assert!(elevations.len() >= 15 && grants.len() >= 12);
    drop(ana);
}

#[tokio::test]
async fn the_first_message_says_from_where_and_a_place_that_is_not_there_means_resync() {
    let broker = Broker::shared();
    let engineer = broker.engineer().await;
    // when she watches from now on, then the first message says from where, and holds nothing else
    let request = pb::WatchElevationsRequest::default();
    let mut stream = engineer.elevations().watch_elevations(request).await.unwrap().into_inner();
    let first = stream.message().await.unwrap().unwrap();
    assert!(first.event.is_none() && number(&first.sequence) > 0);
    let elevation = engineer.request(repair()).await.unwrap();
    let event = loop {
        if let Some(event) = stream.message().await.unwrap().unwrap().event {
            break event;
        }
    };
    assert_eq!((event.kind.as_str(), &event.elevation_id), ("elevation-requested", &elevation.id));
    // when the place is one that the broker has never come to, as after a restored copy, then it says to list anew
    let beyond = || "1000000000".to_owned();
    let events = pb::WatchEventsRequest { after_sequence: beyond(), ..Default::default() };
    refused(engineer.audit().watch_events(events).await.map(|_| ()), Code::OutOfRange, "RESYNC");
    let grants = pb::WatchGrantsRequest { after_sequence: beyond(), ..Default::default() };
    refused(engineer.grants().watch_grants(grants).await.map(|_| ()), Code::OutOfRange, "RESYNC");
}

#[tokio::test]
async fn a_place_that_has_left_memory_means_resync_and_a_later_one_resumes() {
    // given a journal of more events than the broker keeps in memory
    let organisation = Organisation::new();
    assert_eq!(organisation.init().code, Some(0));
    let mut journal = SqliteJournal::open(&organisation.journal(), Options::default(), &mut |_| Ok(())).unwrap().0;
    lengthen(&mut journal, 66_000);
    drop(journal);
    let broker = Broker::serve(&Arc::new(organisation), &Start::default());
    let omar = broker.person("omar").await;
    // when a watcher comes with a place from before those
    let old = pb::WatchEventsRequest { after_sequence: "5".to_owned(), ..Default::default() };
    refused(omar.audit().watch_events(old).await.map(|_| ()), Code::OutOfRange, "RESYNC");
    // then it lists anew, once the list of so many is there, and resumes from that list
    let sequence = eventually("the list", async || {
        let request = pb::ListEventsRequest { page_size: 1, ..Default::default() };
        Some(omar.audit().list_events(request).await.ok()?.into_inner().sequence)
    })
    .await;
    let place = (number(&sequence) - 2).to_string();
    let resumed = pb::WatchEventsRequest { after_sequence: place, ..Default::default() };
    let mut stream = omar.audit().watch_events(resumed).await.unwrap().into_inner();
    assert_eq!(number(&stream.message().await.unwrap().unwrap().sequence), number(&sequence) - 1);
}

/// Appends readings of the clock: the shortest events there are.
fn lengthen(journal: &mut SqliteJournal, count: u64) {
    let wall = Timestamp::from_millis(now_millis()).unwrap();
    while journal.head().sequence < count {
        let first = journal.head().sequence + 1;
        let rows: Vec<Row> = (first..first + 2_000)
            .map(|sequence| {
                let fact =
                    Fact::Broker(BrokerFact::ClockRead(ClockPair { wall, boot_millis: 1, boot_id: String::new() }));
                let event = Event { sequence, at: wall, actor: Actor::Broker, request: None, from: None, fact };
                Row { sequence, body: row::encode(&event, sequence == first + 1_999).unwrap() }
            })
            .collect();
        journal.append(journal.head(), &rows).unwrap();
    }
}
