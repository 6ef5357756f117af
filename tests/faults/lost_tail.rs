//! The end of the journal is gone: bits flipped in its log, the log cut or deleted, an old copy put back, no mark. A start
//! names it and goes on by an operator's word alone; what is honest is never refused (known failures H17, H18).

use std::fs;
use std::sync::Arc;

use countersign::journal::{Mark, mark, verify_file};
use countersign::wire::v1 as pb;
use tonic::Code;

use crate::harness::{Broker, Ended, Start, countersign, eventually, run, verify};
use crate::organisation::Organisation;
use crate::person::{ORDERS, refused, repair};

const ALLOWED: (pb::Verdict, pb::CheckReason) = (pb::Verdict::Allow, pb::CheckReason::Granted);

/// A journal's files as they were at one moment.
struct Files(Vec<(&'static str, Option<Vec<u8>>)>);

impl Files {
    fn of(organisation: &Organisation) -> Self {
        let read = |suffix| (suffix, fs::read(organisation.path(&format!("journal.db{suffix}"))).ok());
        Self(["", "-wal", ".mark"].map(read).to_vec())
    }

    fn get(&self, suffix: &str) -> &[u8] {
        let (_, bytes) = self.0.iter().find(|(name, _)| *name == suffix).unwrap();
        bytes.as_deref().unwrap()
    }

    /// Puts them back, with one of them as it is given here.
    fn put(&self, organisation: &Organisation, other: Option<(&str, Option<&[u8]>)>) {
        let _ = fs::remove_file(organisation.path("journal.db-shm"));
        for (suffix, bytes) in &self.0 {
            let bytes = other.filter(|(name, _)| name == suffix).map_or(bytes.as_deref(), |(_, bytes)| bytes);
            let path = organisation.path(&format!("journal.db{suffix}"));
            // What is there keeps its mode.
            match bytes {
                Some(bytes) if path.exists() => fs::write(&path, bytes).unwrap(),
                Some(bytes) => {
                    fs::copy(organisation.path("journal.db.lock"), &path).unwrap();
                    fs::write(&path, bytes).unwrap();
                }
                None => drop(fs::remove_file(&path)),
            }
        }
    }
}

/// The mark, once it has come to the head.
async fn marked(organisation: &Organisation) -> Mark {
    let path = mark::beside(&organisation.journal());
    eventually("the mark at the head", async || {
        let head = verify_file(&organisation.journal(), None).unwrap().recovered.head;
        mark::read(&path).ok().filter(|mark| mark.head == head)
    })
    .await
}

/// A broker that was killed once a grant of ana's was revoked and the mark had come to that; another person's is live, a
/// third one waits. With its files, and those of before the revocation.
async fn killed() -> (Arc<Organisation>, Files, Files) {
    let broker = Broker::new();
    let (ana, ben, sam) = (broker.person("ana").await, broker.person("ben").await, broker.person("sam").await);
    let grant = ana.granted(repair(), &ben).await;
    broker.person("eng01").await.granted(repair(), &ben).await;
    broker.person("eng02").await.request(repair()).await.unwrap();
    marked(&broker.organisation).await;
    let earlier = Files::of(&broker.organisation);
    sam.revoke(&grant.id).await.unwrap();
    marked(&broker.organisation).await;
    let organisation = broker.kill();
    let files = Files::of(&organisation);
    (organisation, files, earlier)
}

/// A start that is refused because of a loss, and names the row that is left. Nothing of the files has changed by it.
fn refused_for_loss(organisation: &Organisation) -> String {
    let before = Files::of(organisation);
    let said = organisation.serve_refused();
    assert!(said.contains("--accept-loss "), "{said}");
    for ((suffix, before), (_, after)) in before.0.iter().zip(&Files::of(organisation).0) {
        // A log of nothing is none.
        let bytes = |file: &Option<Vec<u8>>| file.clone().unwrap_or_default();
        assert!(bytes(before) == bytes(after), "a start that was refused has changed journal.db{suffix}");
    }
    said
}

fn accepting(sequence: u64) -> Start {
    Start { flags: vec!["--accept-loss".to_owned(), sequence.to_string()], ..Start::default() }
}

fn kinds(organisation: &Organisation) -> Vec<String> {
    let journal = rusqlite::Connection::open(organisation.journal()).unwrap();
    let mut rows = journal.prepare("SELECT kind FROM event ORDER BY seq").unwrap();
    rows.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect()
}

fn verify_with(organisation: &Organisation, file: &str, words: &[&str]) -> Ended {
    run(countersign().args(["audit", "verify"]).arg(organisation.path(file)).args(words))
}

#[tokio::test]
async fn a_bit_that_flips_in_the_log_loses_nothing_in_silence() {
    // given a killed broker
    let (organisation, files, _) = killed().await;
    let log = files.get("-wal").to_vec();
    let whole = verify_file(&organisation.journal(), None).unwrap().recovered.head;
    // when a bit flips, at any of twenty places over the whole log
    let mut losses = 0;
    for place in 0..20 {
        let mut flipped = log.clone();
        let at = (log.len() - 1) * place / 19;
        flipped[at] ^= 0x10;
        files.put(&organisation, Some(("-wal", Some(&flipped))));
        // then either nothing is lost, or audit and start both say so
        let verified = verify(&organisation);
        if verified.code == Some(0) {
            assert_eq!(verify_file(&organisation.journal(), None).unwrap().recovered.head, whole, "at byte {at}");
        } else {
            losses += 1;
            let said = organisation.serve_refused();
            assert!(said.contains("--accept-loss ") || said.contains("is bad"), "at byte {at}: {said}");
        }
    }
    assert!(losses > 10, "{losses}: it proves too little");
    // and as it was it starts, with ana's grant revoked
    files.put(&organisation, None);
    let broker = Broker::serve(&organisation, &Start::default());
    assert_ne!(broker.person("orders-api").await.verdict("ana", "db.read", ORDERS).await, ALLOWED);
}

#[tokio::test]
async fn a_clean_stop_leaves_no_log_and_one_that_comes_back_is_a_loss() {
    let broker = Broker::new();
    let (ana, ben, sam) = (broker.person("ana").await, broker.person("ben").await, broker.person("sam").await);
    let grant = ana.granted(repair(), &ben).await;
    let log = fs::read(broker.organisation.path("journal.db-wal")).unwrap();
    sam.revoke(&grant.id).await.unwrap();
    // given somebody whose lists have been read, so that readers are open
    assert!(!sam.events(pb::ListEventsRequest::default()).await.is_empty());
    // when it stops
    broker.terminate();
    let (code, printed, organisation) = broker.ended().await;
    assert_eq!(code, Some(0), "{printed}");
    // then the journal is one whole file, and its mark is at its head
    let left = fs::metadata(organisation.path("journal.db-wal")).map_or(0, |log| log.len());
    assert_eq!(left, 0, "a log is left");
    let head = verify_file(&organisation.journal(), None).unwrap().recovered.head;
    assert_eq!(mark::read(&mark::beside(&organisation.journal())).unwrap().head, head);
    let files = Files::of(&organisation);
    // when the log of before comes back, as after a power cut, then its older rows are not believed
    files.put(&organisation, Some(("-wal", Some(&log))));
    if verify_file(&organisation.journal(), None).is_ok_and(|found| found.recovered.head == head) {
        panic!("the old log does not lie over the file: it proves nothing");
    }
    assert_eq!(verify(&organisation).code, Some(1));
    let said = organisation.serve_refused();
    assert!(said.contains("--accept-loss ") || said.contains("bad") || said.contains("damaged"), "{said}");
    files.put(&organisation, None);
    Broker::serve(&organisation, &Start::default());
}

#[tokio::test]
async fn a_log_cut_or_deleted_an_old_copy_and_no_mark_each_stop_a_start() {
    let (organisation, files, earlier) = killed().await;
    let mark = mark::read(&mark::beside(&organisation.journal())).unwrap();
    let log = files.get("-wal").to_vec();
    let expected = format!("{}:", mark.head.sequence);
    // given a log that was cut, one that is gone
    for log in [Some(&log[..log.len() / 2]), Some(&log[..0]), None] {
        files.put(&organisation, Some(("-wal", log)));
        assert!(refused_for_loss(&organisation).contains(&expected));
        assert_eq!(verify(&organisation).code, Some(1));
    }
    // given a copy of before the revocation put back, with `resume` as it is by default
    earlier.put(&organisation, Some((".mark", Some(files.get(".mark")))));
    assert!(refused_for_loss(&organisation).contains(&expected));
    // given no mark, one of which neither slot holds, that of another journal
    files.put(&organisation, Some((".mark", None)));
    assert!(refused_for_loss(&organisation).contains("there is no head mark"));
    files.put(&organisation, Some((".mark", Some(&[7; 8_192]))));
    assert!(refused_for_loss(&organisation).contains("cannot be read"));
    let other = Organisation::new();
    assert_eq!(other.init().code, Some(0));
    let theirs = fs::read(mark::beside(&other.journal())).unwrap();
    files.put(&organisation, Some((".mark", Some(&theirs))));
    assert!(refused_for_loss(&organisation).contains("of journal"));
    // given one slot that is torn, which is none of these
    for slot in [0, 4_096] {
        let mut torn = files.get(".mark").to_vec();
        torn[slot + 20] ^= 1;
        files.put(&organisation, Some((".mark", Some(&torn))));
        assert_eq!(verify(&organisation).code, Some(0));
    }
    Broker::serve(&organisation, &Start::default());
}

#[tokio::test]
async fn a_loss_that_is_accepted_ends_all_that_was_open_and_locks_everything_until_a_person_lifts_it() {
    let (organisation, files, _) = killed().await;
    let mark = mark::read(&mark::beside(&organisation.journal())).unwrap();
    let log = files.get("-wal").to_vec();
    // A part of the log, so that ana's revocation is gone and the grants are not.
    let kept = (1..100).rev().map(|hundredth| log.len() * hundredth / 100).find(|kept| {
        files.put(&organisation, Some(("-wal", Some(&log[..*kept]))));
        let kinds = kinds(&organisation);
        !kinds.iter().any(|kind| kind.starts_with("grant-revoked"))
    });
    files.put(&organisation, Some(("-wal", Some(&log[..kept.unwrap()]))));
    let head = verify_file(&organisation.journal(), None).unwrap().recovered.head;
    assert!(head.sequence < mark.head.sequence);
    // when another row is named, then the start is refused, and says which is the last
    let wrong = run(&mut organisation.serve_command(&accepting(mark.head.sequence)));
    assert_eq!(wrong.code, Some(1), "{}", wrong.stderr);
    assert!(wrong.stderr.contains(&format!("--accept-loss {}", head.sequence)), "{}", wrong.stderr);
    // when the row that is left is named
    let broker = Broker::serve(&organisation, &accepting(head.sequence));
    let (ana, sam, orders) =
        (broker.person("ana").await, broker.person("sam").await, broker.person("orders-api").await);
    // then nobody is allowed anything, nothing waits, and nobody asks
    for who in ["ana", "eng01"] {
        assert_ne!(orders.verdict(who, "db.read", ORDERS).await, ALLOWED, "{who}");
    }
    let status = refused(ana.request(repair()).await, Code::PermissionDenied, "LOCKED");
    assert!(status.message().contains("the journal lost what followed row"), "{status:?}");
    let events = sam.events(pb::ListEventsRequest::default()).await;
    assert!(!events.is_empty());
    // when somebody with the capability has looked, and lifts the lock
    let listed = run(&mut broker.command("sam", &["lock", "list", "-o", "json"]));
    let id = listed.stdout.split('"').find(|word| word.len() == 36 && word.matches('-').count() == 4);
    let id = id.unwrap_or_else(|| panic!("{}{}", listed.stdout, listed.stderr));
    let lifted = run(&mut broker.command("sam", &["unlock", id, "--reason", "looked at what was decided"]));
    assert_eq!(lifted.code, Some(0), "{}{}", lifted.stdout, lifted.stderr);
    // then the grants stay revoked, and people ask anew
    assert_ne!(orders.verdict("eng01", "db.read", ORDERS).await, ALLOWED);
    let anew = ana.granted(repair(), &broker.person("ben").await).await;
    assert_eq!(orders.verdict("ana", "db.read", ORDERS).await, ALLOWED);
    marked(&organisation).await;
    let organisation = broker.kill();
    // and the journal says all of it, and goes on without anybody's word; with it, that costs a line in the log
    let kinds = kinds(&organisation);
    for kind in ["loss-accepted/1", "lock-created/1", "grant-revoked/1", "elevation-cancelled/1"] {
        assert!(kinds.iter().any(|found| found == kind), "{kind}: {kinds:?}");
    }
    assert_eq!(verify(&organisation).code, Some(0));
    let broker = Broker::serve(&organisation, &accepting(head.sequence));
    assert!(broker.printed().contains("has nothing to accept"), "{}", broker.printed());
    assert_eq!(broker.person("ben").await.grant(&anew.id).await.unwrap().state(), pb::GrantState::Active);
}

#[tokio::test]
async fn while_the_mark_cannot_be_written_nothing_is_given_and_all_is_taken() {
    let broker = Broker::new();
    let (ana, ben, sam) = (broker.person("ana").await, broker.person("ben").await, broker.person("sam").await);
    let grant = ana.granted(repair(), &ben).await;
    let path = mark::beside(&broker.organisation.journal());
    marked(&broker.organisation).await;
    // given a folder where the mark was
    fs::remove_file(&path).unwrap();
    fs::create_dir(&path).unwrap();
    // when the broker has recorded something since
    let engineer = broker.person("eng01").await;
    let status = eventually("a refusal", async || {
        let elevation = match engineer.request(repair()).await {
            Ok(elevation) => elevation,
            Err(status) => return Some(status),
        };
        engineer.withdraw(&elevation.id).await.unwrap();
        None
    })
    .await;
    // then nothing is given
    let status = refused(Err::<(), _>(status), Code::Unavailable, "STORAGE_UNAVAILABLE");
    assert!(status.message().contains("head mark"), "{status:?}");
    // and what takes away goes on
    sam.revoke(&grant.id).await.unwrap();
    assert_ne!(broker.person("orders-api").await.verdict("ana", "db.read", ORDERS).await, ALLOWED);
    // when it can be written again, then the broker gives again
    fs::remove_dir(&path).unwrap();
    eventually("the mark", async || engineer.request(repair()).await.ok()).await;
    marked(&broker.organisation).await;
}

#[tokio::test]
async fn a_start_that_cannot_serve_writes_nothing_into_the_journal() {
    // given a broker that ended well, whose operator would accept a loss
    let organisation = Broker::new().kill();
    fs::remove_file(mark::beside(&organisation.journal())).unwrap();
    let head = verify_file(&organisation.journal(), None).unwrap().recovered.head;
    let secret = fs::read(organisation.path("journal.db.secret")).unwrap();
    let keys = fs::read(organisation.path("journal.db.token-keys")).unwrap();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let busy = taken.local_addr().unwrap().to_string();
    let refused = |flags: &[&str]| {
        let mut start = accepting(head.sequence);
        start.flags.extend(flags.iter().map(|flag| (*flag).to_owned()));
        let ended = run(&mut organisation.serve_command(&start));
        assert_eq!(ended.code, Some(1), "{}{}", ended.stdout, ended.stderr);
        let left = verify_file(&organisation.journal(), None).unwrap().recovered.head;
        assert_eq!(left, head, "{}", ended.stderr);
    };
    // when a port is taken, the secret is of no use, the keys of tokens are none or a pipe that nobody writes to
    refused(&["--listen", &busy]);
    refused(&["--metrics-listen", &busy]);
    fs::write(organisation.path("journal.db.secret"), "").unwrap();
    refused(&[]);
    fs::write(organisation.path("journal.db.secret"), secret).unwrap();
    fs::write(organisation.path("journal.db.token-keys"), "no keys").unwrap();
    refused(&[]);
    fs::remove_file(organisation.path("journal.db.token-keys")).unwrap();
    let pipe = std::process::Command::new("mkfifo").arg(organisation.path("journal.db.token-keys")).status().unwrap();
    assert!(pipe.success());
    refused(&[]);
    // then it serves once that is mended
    fs::remove_file(organisation.path("journal.db.token-keys")).unwrap();
    fs::write(organisation.path("journal.db.token-keys"), keys).unwrap();
    let permissions = fs::metadata(organisation.path("journal.db.secret")).unwrap().permissions();
    fs::set_permissions(organisation.path("journal.db.token-keys"), permissions).unwrap();
    Broker::serve(&organisation, &accepting(head.sequence));
}

#[tokio::test]
async fn an_honest_start_is_never_refused() {
    let organisation = Organisation::new();
    assert_eq!(organisation.init().code, Some(0));
    let mut organisation = Arc::new(organisation);
    for round in 0..8_u32 {
        let broker = Broker::serve(&organisation, &Start::default());
        let engineer = broker.person("eng01").await;
        for _ in 0..round % 4 {
            let elevation = engineer.request(repair()).await.unwrap();
            engineer.withdraw(&elevation.id).await.unwrap();
        }
        organisation = if round.is_multiple_of(2) {
            broker.kill()
        } else {
            broker.terminate();
            broker.ended().await.2
        };
        let verified = verify(&organisation);
        assert_eq!(verified.code, Some(0), "{}", verified.stderr);
        assert!(verified.stdout.contains("beyond the head mark"), "{}", verified.stdout);
    }
}

#[tokio::test]
async fn an_audit_says_whether_the_end_was_compared() {
    let (organisation, files, earlier) = killed().await;
    let mark = organisation.path("journal.db.mark").display().to_string();
    // given a copy without its mark
    fs::write(organisation.path("copy.db"), files.get("")).unwrap();
    fs::write(organisation.path("copy.db-wal"), files.get("-wal")).unwrap();
    let alone = verify_with(&organisation, "copy.db", &[]);
    assert_eq!(alone.code, Some(0), "{}", alone.stderr);
    assert!(alone.stdout.contains("end not compared"), "{}", alone.stdout);
    let with_mark = verify_with(&organisation, "copy.db", &["--mark", &mark]);
    assert_eq!(with_mark.code, Some(0), "{}", with_mark.stderr);
    assert!(with_mark.stdout.contains("beyond the head mark"), "{}", with_mark.stdout);
    // given one that ends before
    fs::write(organisation.path("old.db"), earlier.get("")).unwrap();
    fs::write(organisation.path("old.db-wal"), earlier.get("-wal")).unwrap();
    assert_eq!(verify_with(&organisation, "old.db", &[]).code, Some(0));
    let cut = verify_with(&organisation, "old.db", &["--mark", &mark]);
    assert_eq!(cut.code, Some(1), "{}", cut.stdout);
    assert!(cut.stderr.contains("was expected"), "{}", cut.stderr);
    // given a mark that is none
    let none = verify_with(&organisation, "copy.db", &["--mark", &mark.replace(".mark", ".nothing")]);
    assert_eq!(none.code, Some(1), "{}", none.stdout);
    assert!(none.stderr.contains("there is no head mark"), "{}", none.stderr);
}
