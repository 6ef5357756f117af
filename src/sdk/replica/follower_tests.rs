//! What a feed may and may not do: every message that does not fit destroys the trust, and the next stream mends it.

use super::*;
use crate::check::{AccountEntry, GrantEntry, Query, Verdict};
use crate::domain::value::scope::Scope;
use crate::domain::value::time::Span;

const JOURNAL: &str = "0190c000-0000-7000-8000-000000000001";

fn account(id: &str, checks: bool) -> Change {
    Change::Account(AccountEntry {
        id: id.parse().unwrap(),
        identities: [format!("spiffe://northwind.example/{id}").parse().unwrap()].into(),
        active: true,
        locked: false,
        baseline_until: Timestamp::MIN,
        audience: if checks { ["prod/**".parse().unwrap()].into() } else { [].into() },
        checks_until: if checks { Timestamp::MAX } else { Timestamp::MIN },
    })
}

fn grant(id: u128, resource: &str) -> Change {
    let scope = Scope::new(["db.read".parse().unwrap()].into(), [resource.parse().unwrap()].into()).unwrap();
    let end = Timestamp::from_millis(9_000_000).unwrap();
    Change::Grant(GrantEntry {
        id: Uuid::from_u128(id).into(),
        holder: "ana".parse().unwrap(),
        scope,
        end,
        started: true,
        locked: false,
    })
}

fn gone(id: u128) -> Change {
    Change::GrantGone { holder: "ana".parse().unwrap(), id: Uuid::from_u128(id).into() }
}

/// The broker's side of a feed, which says what is true unless a test makes it lie.
struct Script {
    address: &'static str,
    start: v1::ReplicaStart,
    entries: CheckIndex,
    pieces: Vec<Change>,
    number: u64,
    sequence: u64,
    nonces: u128,
}

fn wrapped(message: Message) -> v1::ReplicateGrantsResponse {
    v1::ReplicateGrantsResponse { message: Some(message) }
}

fn bytes(changes: &[Change]) -> Vec<u8> {
    let mut bytes = Vec::new();
    changes.iter().for_each(|change| change.put(&mut bytes));
    bytes
}

impl Script {
    /// A feed of orders-api, at number 7 and sequence 100, with one grant.
    fn new() -> Self {
        let pieces = vec![account("orders-api", true), account("ana", false), grant(1, "prod/db")];
        let entries = CheckIndex::with_set_digest();
        entries.apply(&pieces);
        let start = v1::ReplicaStart {
            account: "orders-api".into(),
            journal_id: JOURNAL.into(),
            feed_id: "feed-1".into(),
            snapshot: true,
            number: 7,
            sequence: 100,
        };
        Self { address: "one", start, entries, pieces, number: 7, sequence: 100, nonces: 0 }
    }

    fn end(&self) -> v1::ReplicaSnapshotEnd {
        let (count, digest) = self.entries.count_and_digest();
        v1::ReplicaSnapshotEnd { count, digest: digest.bytes().to_vec() }
    }

    /// The next change, true and in order.
    fn next(&mut self, changes: &[Change]) -> v1::ReplicaChange {
        self.entries.apply(changes);
        self.number += 1;
        self.sequence += 3;
        v1::ReplicaChange { number: self.number, sequence: self.sequence, entries: bytes(changes).into() }
    }

    fn pong(&self, nonce: Uuid) -> v1::ReplicaPong {
        let (count, digest) = self.entries.count_and_digest();
        v1::ReplicaPong {
            nonce: nonce.as_bytes().to_vec(),
            time: Some(prost_types::Timestamp { seconds: 1_000, nanos: 0 }),
            number: self.number,
            sequence: self.sequence,
            count,
            digest: digest.bytes().to_vec(),
        }
    }

    /// A ping of the follower.
    fn ping(&mut self, follower: &mut Follower) -> Uuid {
        self.nonces += 1;
        let nonce = Uuid::from_u128(self.nonces);
        follower.ping(nonce, BootMillis::new(50_000)).unwrap();
        nonce
    }

    /// A whole stream, up to the first answer.
    fn sync(&mut self, follower: &mut Follower) -> Result<Taken, Break> {
        follower.hello(self.address);
        follower.take(wrapped(Message::Start(self.start.clone())))?;
        let entries = bytes(&self.pieces).into();
        follower.take(wrapped(Message::Piece(v1::ReplicaPiece { entries })))?;
        follower.take(wrapped(Message::SnapshotEnd(self.end())))?;
        let nonce = self.ping(follower);
        follower.take(wrapped(Message::Pong(self.pong(nonce))))
    }

    fn synced() -> (Self, Follower) {
        let (mut script, mut follower) = (Self::new(), Follower::new(1));
        assert!(script.sync(&mut follower).unwrap().synced);
        (script, follower)
    }
}

fn allows(view: &View, resource: &str) -> bool {
    let query = Query { subject: "ana", action: "db.read", resource };
    let verdict = view.index.check(view.caller.as_ref().unwrap(), query, Timestamp::from_millis(1_000_000).unwrap());
    matches!(verdict, Verdict::Allow { .. })
}

#[test]
fn nothing_is_in_force_before_an_answer_proves_it() {
    // given a feed whose snapshot is whole
    let (mut script, mut follower) = (Script::new(), Follower::new(1));
    assert_eq!(follower.hello("one").feed_id, "");
    let messages = [
        Message::Start(script.start.clone()),
        Message::Piece(v1::ReplicaPiece { entries: bytes(&script.pieces).into() }),
        Message::SnapshotEnd(script.end()),
    ];
    for message in messages {
        assert!(follower.ping(Uuid::nil(), BootMillis::new(1)).is_none());
        assert!(follower.take(wrapped(message)).unwrap().view.is_none());
    }
    // when changes come before the answer, then neither is in force, nor told to be
    let change = script.next(&[grant(2, "prod/web")]);
    let taken = follower.take(wrapped(Message::Change(change))).unwrap();
    assert!(taken.view.is_none() && taken.applied.is_none());
    let nonce = Uuid::from_u128(9);
    assert_eq!(follower.ping(nonce, BootMillis::new(60_000)).unwrap().number, 0);
    // and when the answer comes, all of it is, as old as the ping
    let taken = follower.take(wrapped(Message::Pong(script.pong(nonce)))).unwrap();
    assert!(taken.synced && taken.applied == Some(8));
    let view = taken.view.unwrap();
    assert_eq!((view.sequence, view.trust), (103, Trust::Live));
    assert_eq!(view.beat.unwrap().age(BootMillis::new(60_250)), Span::from_millis(250).unwrap());
    assert!(allows(&view, "prod/db") && allows(&view, "prod/web"));
}

#[test]
fn a_change_is_in_force_at_once_and_told() {
    let (mut script, mut follower) = Script::synced();
    let change = script.next(&[gone(1), grant(2, "prod/web")]);
    let taken = follower.take(wrapped(Message::Change(change))).unwrap();
    assert_eq!(taken.applied, Some(8));
    let view = taken.view.unwrap();
    assert_eq!((allows(&view, "prod/db"), allows(&view, "prod/web"), view.sequence), (false, true, 103));
    // and the answers that follow say nothing new
    let nonce = script.ping(&mut follower);
    script.sequence += 50;
    let taken = follower.take(wrapped(Message::Pong(script.pong(nonce)))).unwrap();
    assert_eq!((taken.applied, taken.synced, taken.view.unwrap().sequence), (None, false, 153));
}

/// Everything that a broker, or whoever stands between, can do wrong to a feed that was right.
fn lies(script: &mut Script, follower: &mut Follower) -> Vec<(&'static str, Message, Break)> {
    let first = script.next(&[grant(2, "prod/a")]);
    follower.take(wrapped(Message::Change(first.clone()))).unwrap();
    let before = script.pong(Uuid::from_u128(1));
    let second = v1::ReplicaChange { number: 9, sequence: 110, entries: bytes(&[grant(3, "prod/b")]).into() };
    let change = |number, sequence| Message::Change(v1::ReplicaChange { number, sequence, ..second.clone() });
    let with_entries =
        |entries: Vec<u8>| Message::Change(v1::ReplicaChange { entries: entries.into(), ..second.clone() });
    let pong = |change: &dyn Fn(&mut v1::ReplicaPong)| {
        let mut pong = before.clone();
        change(&mut pong);
        Message::Pong(pong)
    };
    let unknown_kind = [1_u32.to_le_bytes().as_slice(), &[4]].concat();
    let cut_short = bytes(&[grant(3, "prod/b")])[..20].to_vec();
    let half_right = [bytes(&[gone(2)]), unknown_kind.clone()].concat();
    vec![
        ("a gap", change(10, 110), Break::Gap),
        ("a repeated change", Message::Change(first), Break::Gap),
        ("an earlier number", change(3, 110), Break::Gap),
        ("the last number of all", change(u64::MAX, 110), Break::Gap),
        ("a change of an earlier sequence", change(9, 102), Break::Sequence),
        ("an unknown kind of entry", with_entries(unknown_kind), Break::Unreadable),
        ("an entry cut short", with_entries(cut_short), Break::Unreadable),
        ("an entry that can be read and one that cannot", with_entries(half_right), Break::Unreadable),
        ("another nonce", pong(&|pong| pong.nonce = vec![7; 16]), Break::Unasked),
        ("no nonce", pong(&|pong| pong.nonce.clear()), Break::Unasked),
        ("an answer ahead of its changes", pong(&|pong| pong.number += 1), Break::Gap),
        ("an answer behind its changes", pong(&|pong| pong.number -= 1), Break::Gap),
        ("an answer of an earlier sequence", pong(&|pong| pong.sequence = 99), Break::Sequence),
        ("another count", pong(&|pong| pong.count += 1), Break::Digest),
        ("another digest", pong(&|pong| pong.digest[31] ^= 1), Break::Digest),
        ("a short digest", pong(&|pong| pong.digest.truncate(31)), Break::Digest),
        ("no time", pong(&|pong| pong.time = None), Break::Unreadable),
        ("a time before all time", pong(&|pong| pong.time.as_mut().unwrap().seconds = i64::MIN), Break::Unreadable),
        ("a second start", Message::Start(script.start.clone()), Break::OutOfPlace),
        ("a piece of no snapshot", Message::Piece(v1::ReplicaPiece::default()), Break::OutOfPlace),
        ("the end of no snapshot", Message::SnapshotEnd(script.end()), Break::OutOfPlace),
    ]
}

#[test]
fn whatever_does_not_fit_breaks_the_trust_and_the_next_stream_mends_it() {
    let (mut script, mut follower) = Script::synced();
    let many = lies(&mut script, &mut follower).len();
    for index in 0..many {
        // given a feed that was right up to now, and a ping on its way
        let (mut script, mut follower) = Script::synced();
        let (what, lie, expected) = lies(&mut script, &mut follower).remove(index);
        follower.ping(Uuid::from_u128(1), BootMillis::new(51_000)).unwrap();
        // when this comes
        let broken = follower.take(wrapped(lie)).map(|_| ());
        // then nothing is believed, and nothing that was known is built upon
        assert_eq!(broken, Err(expected), "{what}");
        let hello = follower.hello("one");
        assert_eq!((hello.feed_id.as_str(), hello.number, hello.count), ("", 0, 0), "{what}");
        // and a true feed is believed again
        let mut anew = Script::new();
        (anew.start.sequence, anew.sequence) = (110, 110);
        let taken = anew.sync(&mut follower).unwrap();
        assert!(taken.synced && allows(&taken.view.unwrap(), "prod/db"), "{what}");
    }
}

#[test]
fn an_altered_change_is_found_by_the_next_answer() {
    // given a change on its way, whose grant somebody widens
    let (mut script, mut follower) = Script::synced();
    let mut change = script.next(&[grant(2, "prod/a")]);
    change.entries = bytes(&[grant(2, "prod/**")]).into();
    follower.take(wrapped(Message::Change(change))).unwrap();
    let nonce = script.ping(&mut follower);
    assert_eq!(follower.take(wrapped(Message::Pong(script.pong(nonce)))).map(|_| ()), Err(Break::Digest));
}

#[test]
fn a_snapshot_that_is_not_whole_never_comes_into_force() {
    let drop_one = |script: &mut Script| drop(script.pieces.pop());
    let add_one = |script: &mut Script| script.pieces.push(grant(9, "prod/**"));
    let alter_one = |script: &mut Script| script.pieces[2] = grant(1, "prod/**");
    let remove_one = |script: &mut Script| script.pieces.push(gone(1));
    type Lie<'a> = &'a dyn Fn(&mut Script);
    let lies: [(Lie<'_>, Break); 4] = [
        (&drop_one, Break::Digest),
        (&add_one, Break::Digest),
        (&alter_one, Break::Digest),
        (&remove_one, Break::Unreadable),
    ];
    for (lie, expected) in lies {
        let (mut script, mut follower) = (Script::new(), Follower::new(1));
        lie(&mut script);
        assert_eq!(script.sync(&mut follower).map(|_| ()), Err(expected));
    }
}

#[test]
fn a_lost_stream_resumes_where_it_was() {
    let (mut script, mut follower) = Script::synced();
    let hello = follower.hello("one");
    assert_eq!((hello.feed_id.as_str(), hello.number, hello.sequence, hello.count), ("feed-1", 7, 100, 3));
    assert_eq!(hello.digest, script.end().digest);
    // when the broker goes on from there
    script.start.snapshot = false;
    let taken = follower.take(wrapped(Message::Start(script.start.clone()))).unwrap();
    assert!(taken.resumed && taken.wants_ping && taken.view.is_none());
    let change = script.next(&[gone(1)]);
    let view = follower.take(wrapped(Message::Change(change))).unwrap().view.unwrap();
    assert!(!allows(&view, "prod/db"));
    // then the age is that of the last answer, on the stream before
    assert_eq!(view.beat.unwrap().sent, BootMillis::new(50_000));
}

#[test]
fn a_stream_resumes_only_what_is_held() {
    type Lie = fn(&mut v1::ReplicaStart);
    let lies: [(Lie, Break); 4] = [
        (|start| start.number = 8, Break::Gap),
        (|start| start.account = "web".into(), Break::Account),
        (|start| start.journal_id = "other".into(), Break::Journal),
        (|start| start.sequence = 99, Break::Sequence),
    ];
    for (lie, expected) in lies {
        let (mut script, mut follower) = Script::synced();
        follower.hello("one");
        script.start.snapshot = false;
        lie(&mut script.start);
        assert_eq!(follower.take(wrapped(Message::Start(script.start.clone()))).map(|_| ()), Err(expected));
        // and from nothing there is nothing to resume
        follower.hello("one");
        assert!(follower.take(wrapped(Message::Start(script.start))).is_err());
    }
    // a broker that started anew counts in another feed: it has compared the digest, and the next answer does again
    let (mut script, mut follower) = Script::synced();
    follower.hello("one");
    (script.start.snapshot, script.start.feed_id, script.start.number) = (false, "feed-2".into(), 0);
    script.number = 0;
    assert!(follower.take(wrapped(Message::Start(script.start.clone()))).unwrap().resumed);
    let nonce = script.ping(&mut follower);
    assert!(follower.take(wrapped(Message::Pong(script.pong(nonce)))).unwrap().answered);
}

#[test]
fn another_journal_is_believed_only_when_no_broker_has_the_known_one() {
    // given a replica of two brokers
    let (mut script, mut follower) = (Script::new(), Follower::new(2));
    script.sync(&mut follower).unwrap();
    // when one of them is a twin, then it is not believed, however often, while the other one cannot be reached
    let mut twin = Script { address: "two", ..Script::new() };
    twin.start.journal_id = "0190c000-0000-7000-8000-000000000002".into();
    for _ in 0..5 {
        assert_eq!(twin.sync(&mut follower).map(|_| ()), Err(Break::Journal));
    }
    // and once the other one is back, it is preferred
    assert!(script.sync(&mut follower).unwrap().synced);
    // when that one too is restored to an earlier state
    assert_eq!(twin.sync(&mut follower).map(|_| ()), Err(Break::Journal));
    let mut older = Script::new();
    (older.start.sequence, older.sequence) = (90, 90);
    assert_eq!(older.sync(&mut follower).map(|_| ()), Err(Break::Sequence));
    // then no broker has more, and what they have is the truth
    assert!(older.sync(&mut follower).unwrap().synced);
    assert!(follower.hello("one").sequence == 90);
}

#[test]
fn what_is_held_no_more_still_says_how_far_it_was() {
    let (mut script, mut follower) = Script::synced();
    let reached = follower.hello("one").sequence;
    follower.forget();
    let hello = follower.hello("one");
    assert_eq!((hello.sequence, hello.feed_id.as_str(), hello.count), (reached, "", 0));
    assert!(script.sync(&mut follower).unwrap().synced);
}
