//! A disk that is full when the log is to be copied into the file, and when the broker starts (known failures H24 and H25).

use std::fs::{File, OpenOptions};
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use countersign::wire::v1 as pb;
use tonic::Code;

use crate::harness::{Broker, Start, eventually, run};
use crate::organisation::Organisation;
use crate::person::{ORDERS, Person, reason, repair};

const ALLOWED: (pb::Verdict, pb::CheckReason) = (pb::Verdict::Allow, pb::CheckReason::Granted);

/// A disk of 12 MiB with the organisation's journal on it, in a name space of its own that outlives each broker.
struct Disk {
    holder: Child,
    enter: Vec<String>,
    organisation: Arc<Organisation>,
}

impl Disk {
    fn new(organisation: Organisation) -> Option<Self> {
        let disk = organisation.path("disk");
        std::fs::create_dir(&disk).unwrap();
        let script = format!(
            "mount -t tmpfs -o size=12m,mode=700 tmpfs '{disk}' && cp -p '{0}' '{disk}/journal.db' && \
             cp -p '{0}.mark' '{disk}/journal.db.mark' && echo ready && exec cat",
            organisation.journal().display(),
            disk = disk.display(),
        );
        let organisation = Arc::new(organisation);
        for (make, enter) in [("-m", vec!["-m"]), ("-rm", vec!["-U", "-m", "--preserve-credentials"])] {
            let mut holder = Command::new("unshare");
            holder.args([make, "sh", "-c", &script]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
            let Ok(mut holder) = holder.spawn() else { continue };
            let mut line = String::new();
            BufReader::new(holder.stdout.take().unwrap()).read_line(&mut line).unwrap();
            let enter =
                ["nsenter", "-t", &holder.id().to_string()].into_iter().chain(enter).map(str::to_owned).collect();
            let disk = Self { holder, enter, organisation: Arc::clone(&organisation) };
            if line == "ready\n" {
                return Some(disk);
            }
        }
        None
    }

    fn serve(&self) -> Broker {
        let flags = vec!["--journal".to_owned(), self.organisation.path("disk/journal.db").display().to_string()];
        self.organisation.configure_without_budgets();
        Broker::serve(&self.organisation, &Start { under: self.enter.clone(), flags, ..Start::default() })
    }

    /// A path as it is seen from outside of the name space.
    fn outside(&self, name: &str) -> PathBuf {
        let path = self.organisation.path("disk").join(name);
        PathBuf::from(format!("/proc/{}/root{}", self.holder.id(), path.display()))
    }

    /// Leaves so many bytes free, or as nearly as a page allows.
    fn leave(&self, wanted: u64) {
        let mut filler = OpenOptions::new().create(true).append(true).open(self.outside("filler")).unwrap();
        let disk = rustix::fs::statvfs(self.outside("")).unwrap();
        let free = disk.f_bavail * disk.f_frsize;
        if free < wanted {
            let length = filler.metadata().unwrap().len();
            filler.set_len(length.saturating_sub(wanted - free)).unwrap();
        }
        for _ in 0..free.saturating_sub(wanted) / 4096 {
            if filler.write_all(&[0; 4096]).is_err() {
                break;
            }
        }
    }

    fn fill(&self) {
        self.leave(0);
        let mut filler = OpenOptions::new().append(true).open(self.outside("filler")).unwrap();
        while filler.write_all(&[0; 512]).is_ok() {}
    }

    fn make_room(&self) {
        std::fs::remove_file(self.outside("filler")).unwrap();
    }

    fn verified(&self) -> bool {
        let mut command = Command::new(&self.enter[0]);
        command.args(&self.enter[1..]).arg(env!("CARGO_BIN_EXE_countersign")).args(["audit", "verify"]);
        run(command.arg(self.organisation.path("disk/journal.db"))).code == Some(0)
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = self.holder.kill();
        let _ = self.holder.wait();
    }
}

fn disk() -> Option<Disk> {
    let organisation = Organisation::new();
    assert_eq!(organisation.init().code, Some(0));
    let disk = Disk::new(organisation);
    if disk.is_none() {
        // What can be said without a disk of one's own, the tests of the engine and of the journal say.
        eprintln!("skipped: this machine lets nobody mount a disk");
    }
    disk
}

#[track_caller]
fn is_refused(status: &tonic::Status, why: &str) {
    assert_eq!((status.code(), reason(status).as_str()), (Code::Unavailable, "STORAGE_UNAVAILABLE"), "{status:?}");
    assert!(status.message().contains(why), "{}", status.message());
}

/// Asks and withdraws with long words, with 256 KiB free each time, until it is refused.
async fn until_refused(disk: &Disk, engineer: &Person) -> tonic::Status {
    for _ in 0..1_000 {
        disk.leave(256 * 1024);
        let request = pb::RequestElevationRequest { justification: "x".repeat(2_000), ..repair() };
        match engineer.request(request).await {
            Ok(elevation) => {
                if let Err(status) = engineer.withdraw(&elevation.id).await {
                    return status;
                }
            }
            Err(status) => return status,
        }
    }
    panic!("it was never refused")
}

#[tokio::test]
async fn a_log_that_finds_no_room_in_the_file_ends_nothing() {
    let Some(disk) = disk() else { return };
    // given a live grant, and a disk on which the log finds room, and the file does not
    let broker = disk.serve();
    let (ana, ben, orders) =
        (broker.person("ana").await, broker.person("ben").await, broker.person("orders-api").await);
    let grant = ana.granted(repair(), &ben).await;
    // when the log is to be copied, then who asks is told
    let engineer = broker.person("eng01").await;
    let status = until_refused(&disk, &engineer).await;
    is_refused(&status, "its log cannot be copied into its file");
    // and checks, reads and the past go on
    assert_eq!(orders.verdict("ana", "db.read", ORDERS).await, ALLOWED);
    assert_eq!(ana.grant(&grant.id).await.unwrap().state(), pb::GrantState::Active);
    is_refused(&broker.person("eng02").await.request(repair()).await.unwrap_err(), "make room");
    // when it is killed and started on the full disk, then the same holds
    disk.fill();
    drop(broker.kill());
    let broker = disk.serve();
    let (ana, orders, engineer) =
        (broker.person("ana").await, broker.person("orders-api").await, broker.person("eng02").await);
    assert_eq!(orders.verdict("ana", "db.read", ORDERS).await, ALLOWED);
    assert_eq!(ana.grant(&grant.id).await.unwrap().state(), pb::GrantState::Active);
    is_refused(&engineer.request(repair()).await.unwrap_err(), "make room");
    let listed = run(&mut broker.command("omar", &["audit", "ls", "-o", "json"]));
    assert!(listed.code == Some(0) && listed.stdout.contains("grant-issued"), "{}{}", listed.stdout, listed.stderr);
    // when there is room, then it goes on by itself, and nothing was lost
    disk.make_room();
    let request = repair();
    let elevation = eventually("room", async || engineer.request(request.clone()).await.ok()).await;
    assert_eq!(engineer.request(request).await.unwrap().id, elevation.id);
    ana.relinquish(&grant.id).await.unwrap();
    assert!(disk.verified());
}

#[tokio::test]
async fn a_start_without_room_for_what_is_kept_beside_the_journal_reads_until_there_is_some() {
    let Some(disk) = disk() else { return };
    // given a journal whose broker has stopped, without its side files, on a disk filled to the last byte
    let broker = disk.serve();
    let (ana, ben) = (broker.person("ana").await, broker.person("ben").await);
    let grant = ana.granted(repair(), &ben).await;
    broker.terminate();
    let _ = broker.ended().await;
    for name in ["journal.db-shm", "journal.db.index", "journal.db.index-wal", "journal.db.index-shm"] {
        let _ = std::fs::remove_file(disk.outside(name));
    }
    disk.fill();
    // when it is started, then checks, reads and lists of the past go on, and commands are refused
    let broker = disk.serve();
    let (ana, orders, engineer) =
        (broker.person("ana").await, broker.person("orders-api").await, broker.person("eng02").await);
    assert_eq!(orders.verdict("ana", "db.read", ORDERS).await, ALLOWED);
    assert_eq!(ana.grant(&grant.id).await.unwrap().state(), pb::GrantState::Active);
    is_refused(&engineer.request(repair()).await.unwrap_err(), "make room");
    let listed = run(&mut broker.command("omar", &["audit", "ls", "-o", "json"]));
    assert!(listed.code == Some(0) && listed.stdout.contains("grant-issued"), "{}{}", listed.stdout, listed.stderr);
    let shared = || File::open(disk.outside("journal.db-shm")).is_ok_and(|file| file.metadata().unwrap().len() > 4_096);
    assert!(!shared());
    // when there is room, then commands are taken, and others can read the journal beside the broker again
    disk.make_room();
    eventually("room", async || engineer.request(repair()).await.ok()).await;
    eventually("a journal that others can read", async || shared().then_some(())).await;
    assert!(disk.verified());
    let listed = run(&mut broker.command("omar", &["audit", "ls", "-o", "json"]));
    assert!(listed.code == Some(0) && disk.outside("journal.db.index").exists(), "{}", listed.stderr);
}
