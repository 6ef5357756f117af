//! What the one in the middle does to the feed, and what comes of it.

use std::sync::Mutex;
use std::time::Duration;

use countersign::sdk::Replica;
use countersign::wire::v1 as pb;
use pb::replicate_grants_response::Message;

use crate::harness::{Broker, Start, eventually};
use crate::middle::{Middle, Passed};
use crate::person::{ORDERS, Person, repair};

/// Long enough for a slow machine to answer pings in, short enough to wait for.
const MAX_STALENESS: Duration = Duration::from_secs(4);

/// A broker of its own, its replica as orders-api through the middle, an engineer and those who approve and revoke.
struct Stage {
    broker: Broker,
    middle: Middle,
    replica: Replica,
    engineer: Person,
    ben: Person,
    sam: Person,
}

impl Stage {
    async fn set() -> Self {
        let broker = Broker::new();
        let (middle, address) = Middle::start(&broker, "orders-api").await;
        let replica = connect(&broker, &format!("https://localhost:{}", address.port())).await;
        let (ben, sam) = (broker.person("ben").await, broker.person("sam").await);
        let engineer = broker.engineer().await;
        Self { broker, middle, replica, engineer, ben, sam }
    }

    async fn granted(&self) -> pb::Grant {
        let grant = self.engineer.granted(repair(), &self.ben).await;
        eventually("the grant in the replica", async || self.is_allowed().then_some(())).await;
        grant
    }

    fn is_allowed(&self) -> bool {
        self.replica.check(&self.engineer.name, "db.read", ORDERS).is_allowed()
    }

    fn reason(&self) -> &'static str {
        self.replica.check(&self.engineer.name, "db.read", ORDERS).reason()
    }

    async fn becomes(&self, reason: &'static str) {
        eventually(reason, async || (self.reason() == reason).then_some(())).await;
    }

    /// That it is right again by itself: a new grant arrives and its revocation too.
    async fn is_right_again(&self) {
        let grant = self.granted().await;
        self.sam.revoke(&grant.id).await.unwrap();
        self.becomes("NO_GRANT").await;
    }
}

async fn connect(broker: &Broker, endpoint: &str) -> Replica {
    let (certificate, key) = broker.organisation.leaf_files("orders-api");
    let builder = Replica::builder([endpoint])
        .authority_file(broker.organisation.path("northwind.pem"))
        .identity_files(certificate, key)
        .max_staleness(MAX_STALENESS);
    builder.connect().await.unwrap()
}

/// Alters the first change that comes.
fn first_change(
    mut then: impl FnMut(&pb::ReplicaChange) -> Passed + Send + 'static,
) -> impl FnMut(&Message) -> Passed + Send {
    let mut done = false;
    move |message| match message {
        Message::Change(change) if !done => {
            done = true;
            then(change)
        }
        _ => Passed::AsItIs,
    }
}

fn at_once(message: Message) -> (Duration, Message) {
    (Duration::ZERO, message)
}

#[tokio::test]
async fn a_dropped_revocation_denies_and_is_made_up_for() {
    let stage = Stage::set().await;
    let grant = stage.granted().await;
    // given somebody who keeps the revocation back
    stage.middle.alter(first_change(|_| Passed::Dropped));
    // when it is revoked
    stage.sam.revoke(&grant.id).await.unwrap();
    // then the next pong, whose number, count and digest are others, stops the replica; and it syncs anew
    eventually("the end", async || (!stage.is_allowed()).then_some(())).await;
    stage.becomes("NO_GRANT").await;
    stage.is_right_again().await;
}

#[tokio::test]
async fn a_repeated_change_changes_nothing_for_the_worse() {
    let stage = Stage::set().await;
    let grant = stage.granted().await;
    stage.middle.alter(first_change(|change| {
        let message = Message::Change(change.clone());
        Passed::Instead(vec![at_once(message.clone()), at_once(message)])
    }));
    stage.sam.revoke(&grant.id).await.unwrap();
    eventually("the end", async || (!stage.is_allowed()).then_some(())).await;
    stage.is_right_again().await;
}

#[tokio::test]
async fn changes_in_another_order_deny() {
    let stage = Stage::set().await;
    // given a grant and its revocation that arrive the other way round: taken as they come she would hold it
    let held = Mutex::new(Vec::new());
    stage.middle.alter(move |message| match message {
        Message::Change(change) => {
            let mut held = held.lock().unwrap();
            held.push(Message::Change(change.clone()));
            if held.len() < 2 { Passed::Dropped } else { Passed::Instead(held.drain(..).rev().map(at_once).collect()) }
        }
        _ => Passed::AsItIs,
    });
    let grant = stage.engineer.granted(repair(), &stage.ben).await;
    stage.sam.revoke(&grant.id).await.unwrap();
    // then she is let in at no moment
    stage.becomes("STALE").await;
    stage.middle.leave_alone();
    eventually("right again", async || {
        assert!(!stage.is_allowed(), "she was let in");
        (stage.reason() == "NO_GRANT").then_some(())
    })
    .await;
    stage.is_right_again().await;
}

#[tokio::test]
async fn an_altered_entry_is_seen_by_the_digest() {
    let stage = Stage::set().await;
    // given somebody who gives the next grant another holder of the same length
    stage.middle.alter(first_change(|change| {
        let mut entries = change.entries.to_vec();
        let at = entries.windows(5).position(|window| window.starts_with(b"eng")).unwrap();
        entries[at] = b'x';
        Passed::Instead(vec![at_once(Message::Change(pb::ReplicaChange { entries: entries.into(), ..change.clone() }))])
    }));
    let grant = stage.engineer.granted(repair(), &stage.ben).await;
    // then the replica stops, and has the truth from a new snapshot
    stage.becomes("GRANTED").await;
    stage.sam.revoke(&grant.id).await.unwrap();
    stage.becomes("NO_GRANT").await;
    let forged = stage.engineer.name.replacen('e', "x", 1);
    assert!(!stage.replica.check(&forged, "db.read", ORDERS).is_allowed());
}

#[tokio::test]
async fn entries_that_cannot_be_read_deny_and_never_panic() {
    for entries in
        [vec![0xff; 64], vec![1, 0, 0, 0, 4], vec![5, 0, 0, 0, 200, 0, 0, 0, 0], vec![0xff, 0xff, 0xff, 0xff]]
    {
        let stage = Stage::set().await;
        let grant = stage.granted().await;
        stage.middle.alter(first_change(move |change| {
            let entries = entries.clone().into();
            Passed::Instead(vec![at_once(Message::Change(pb::ReplicaChange { entries, ..change.clone() }))])
        }));
        stage.sam.revoke(&grant.id).await.unwrap();
        eventually("the end", async || (!stage.is_allowed()).then_some(())).await;
        stage.is_right_again().await;
    }
}

#[tokio::test]
async fn a_delayed_feed_lets_nobody_in_beyond_the_bound() {
    let stage = Stage::set().await;
    let grant = stage.granted().await;
    // given somebody who holds everything back for longer than may be
    stage.middle.alter(|message| Passed::Instead(vec![(MAX_STALENESS * 4, message.clone())]));
    tokio::time::sleep(Duration::from_millis(10)).await;
    stage.sam.revoke(&grant.id).await.unwrap();
    // then age ends it: what a ping was answered late cannot make it young
    stage.becomes("STALE").await;
    let answer = stage.replica.check(&stage.engineer.name, "db.read", ORDERS);
    assert!(answer.age() >= MAX_STALENESS, "{answer:?}");
    stage.middle.leave_alone();
    stage.becomes("NO_GRANT").await;
}

#[tokio::test]
async fn pongs_that_were_answered_before_make_nothing_young() {
    let stage = Stage::set().await;
    stage.granted().await;
    // given somebody who cuts the broker off and repeats the last pong instead
    let last = stage.middle.seen().into_iter().rev().find(|message| matches!(message, Message::Pong(_)));
    let last = last.unwrap();
    stage.middle.alter(move |message| match message {
        Message::Pong(_) => Passed::Instead(vec![at_once(last.clone())]),
        _ => Passed::AsItIs,
    });
    stage.becomes("STALE").await;
    stage.middle.leave_alone();
    stage.becomes("GRANTED").await;
}

#[tokio::test]
async fn another_journal_denies() {
    let stage = Stage::set().await;
    stage.granted().await;
    // given a line that breaks, and a broker of another journal at its other end
    let other = Broker::new();
    let (others, _) = Middle::start(&other, "orders-api").await;
    drop(others);
    stage.middle.alter(|message| match message {
        Message::Start(start) => {
            let journal_id = uuid::Uuid::new_v4().to_string();
            Passed::Instead(vec![at_once(Message::Start(pb::ReplicaStart { journal_id, ..start.clone() }))])
        }
        _ => Passed::Broken,
    });
    // then nothing that was known holds, and nothing that it says is taken in
    stage.becomes("STALE").await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_eq!(stage.reason(), "STALE");
}

#[tokio::test]
async fn an_older_snapshot_denies() {
    let stage = Stage::set().await;
    // given what a replica was told at first, before the revocation of a grant that it contains
    let grant = stage.granted().await;
    let (second, _) = {
        let (middle, address) = Middle::start(&stage.broker, "orders-api").await;
        let replica = connect(&stage.broker, &format!("https://localhost:{}", address.port())).await;
        (middle.seen(), replica)
    };
    let mut old = second.into_iter().take_while(|message| !matches!(message, Message::Pong(_) | Message::Change(_)));
    let old: Vec<Message> = old.by_ref().collect();
    assert!(matches!(old.first(), Some(Message::Start(start)) if start.snapshot));
    stage.sam.revoke(&grant.id).await.unwrap();
    stage.becomes("NO_GRANT").await;
    // when the line breaks and that is told again
    stage.middle.alter(move |message| match message {
        Message::Start(_) => Passed::Instead(old.clone().into_iter().map(at_once).collect()),
        Message::Pong(_) => Passed::Broken,
        _ => Passed::Dropped,
    });
    // then she is let in at no moment
    let streams = stage.middle.streams();
    eventually("two attempts more", async || {
        assert!(!stage.is_allowed(), "an older snapshot brought a revoked grant back");
        (stage.middle.streams() > streams + 2).then_some(())
    })
    .await;
    stage.middle.leave_alone();
    stage.is_right_again().await;
}

#[tokio::test]
async fn a_cut_line_and_a_restarted_broker_are_made_up_for() {
    let stage = Stage::set().await;
    let grant = stage.granted().await;
    stage.middle.alter(|_| Passed::Broken);
    stage.sam.revoke(&grant.id).await.unwrap();
    // then it is over at the latest after `max_staleness`
    eventually("the end", async || (!stage.is_allowed()).then_some(())).await;
    stage.middle.leave_alone();
    stage.is_right_again().await;
    // and the same for a replica that asks a broker that was killed and started again at the same place
    let address = stage.broker.address;
    let direct = connect(&stage.broker, &format!("https://localhost:{}", address.port())).await;
    let organisation = stage.broker.kill();
    let lines = format!("listen = \"{address}\"");
    let configured = std::fs::read_to_string(organisation.path("broker.toml")).unwrap();
    std::fs::write(organisation.path("broker.toml"), configured.replace("listen = \"127.0.0.1:0\"", &lines)).unwrap();
    let broker = Broker::serve(&organisation, &Start::default());
    let (engineer, ben) = (broker.engineer().await, broker.person("ben").await);
    engineer.granted(repair(), &ben).await;
    let allowed = || direct.check(&engineer.name, "db.read", ORDERS).is_allowed();
    eventually("a grant of the restarted broker", async || allowed().then_some(())).await;
}
