//! A full disk refuses commands and loses nothing; what was granted goes on to its end (known failures H3, H8 and H10).

use std::path::{Path, PathBuf};
use std::process::Command;

use countersign::wire::v1 as pb;
use tonic::Code;

use crate::harness::{Broker, Start, eventually, verify};
use crate::organisation::Organisation;
use crate::person::{ORDERS, Person, reason, repair};

const ALLOWED: (pb::Verdict, pb::CheckReason) = (pb::Verdict::Allow, pb::CheckReason::Granted);

/// Runs a broker whose journal lies on a disk of its own, of 4 MiB. A mount needs a name space: that of the machine's
/// administrator, or of a user where the system lets users make one.
fn on_a_small_disk(organisation: &Organisation) -> Option<Vec<String>> {
    let disk = organisation.path("disk");
    std::fs::create_dir(&disk).unwrap();
    let journal = organisation.journal();
    let script = format!(
        "mount -t tmpfs -o size=4m,mode=700 tmpfs '{disk}' && cp -p '{journal}' '{disk}/journal.db' && \
         cp -p '{journal}.mark' '{disk}/journal.db.mark' && exec \"$@\"",
        disk = disk.display(),
        journal = journal.display()
    );
    for name_space in ["-m", "-rm"] {
        let mount = format!("mount -t tmpfs tmpfs '{}'", disk.display());
        let tried = Command::new("unshare").args([name_space, "sh", "-c", &mount]).output();
        if tried.is_ok_and(|tried| tried.status.success()) {
            return Some(["unshare", name_space, "sh", "-c", &script, "sh"].map(str::to_owned).to_vec());
        }
    }
    None
}

#[tokio::test]
async fn a_full_disk_refuses_commands_until_there_is_room_and_loses_nothing() {
    // given a broker with a live grant, on a small disk
    let organisation = Organisation::new();
    assert_eq!(organisation.init().code, Some(0));
    let Some(under) = on_a_small_disk(&organisation) else {
        // What can be said without a disk of one's own, the other test here and the journal's own tests say.
        eprintln!("skipped: this machine lets nobody mount a disk");
        return;
    };
    let flags = vec!["--journal".to_owned(), organisation.path("disk/journal.db").display().to_string()];
    let broker = Broker::serve(&organisation.into(), &Start { under, flags, ..Start::default() });
    let (ana, ben, orders) =
        (broker.person("ana").await, broker.person("ben").await, broker.person("orders-api").await);
    let grant = ana.granted(repair(), &ben).await;
    // when the disk is filled to the last byte
    let filler = inside(&broker, "disk/filler");
    let engineer = broker.person("eng01").await;
    let request = repair();
    let status = filled(&broker, &filler, &request).await;
    // then a command is refused with what to do, and has not happened
    assert_eq!((status.code(), reason(&status).as_str()), (Code::Unavailable, "STORAGE_UNAVAILABLE"), "{status:?}");
    assert!(pending(&engineer).await.is_empty());
    // and what was granted is still allowed, what was recorded still read
    assert_eq!(orders.verdict("ana", "db.read", ORDERS).await, ALLOWED);
    assert_eq!(ana.grant(&grant.id).await.unwrap().state(), pb::GrantState::Active);
    // when there is room again, then the same call takes effect, once
    std::fs::remove_file(&filler).unwrap();
    let elevation = eventually("room", async || engineer.request(request.clone()).await.ok()).await;
    assert_eq!(engineer.request(request).await.unwrap().id, elevation.id);
    assert_eq!(pending(&engineer).await, [elevation.id]);
    assert_eq!(ana.relinquish(&grant.id).await.unwrap().state(), pb::GrantState::Relinquished);
    // and the chain is whole
    std::fs::copy(inside(&broker, "disk/journal.db"), broker.organisation.path("copy.db")).unwrap();
    std::fs::copy(inside(&broker, "disk/journal.db-wal"), broker.organisation.path("copy.db-wal")).unwrap();
    let copy = broker.organisation.path("copy.db");
    let verified = crate::harness::run(crate::harness::countersign().args(["audit", "verify"]).arg(copy));
    assert_eq!(verified.code, Some(0), "{}{}", verified.stdout, verified.stderr);
}

#[tokio::test]
async fn a_write_that_fails_half_way_stops_the_broker_and_nothing_acknowledged_is_lost() {
    // given a broker whose files may not grow beyond what a shell allows it, with an elevation on record
    let organisation = Organisation::new();
    assert_eq!(organisation.init().code, Some(0));
    let script = "trap '' XFSZ; ulimit -f 600; exec \"$@\"";
    let under = ["sh", "-c", script, "sh"].map(str::to_owned).to_vec();
    let broker = Broker::serve(&organisation.into(), &Start { under, ..Start::default() });
    let first = broker.person("ana").await.request(repair()).await.unwrap();
    // when it asks for more until a write fails
    let engineer = broker.person("eng01").await;
    let mut acknowledged = vec![];
    let status = loop {
        let request = pb::RequestElevationRequest { justification: "x".repeat(2_000), ..repair() };
        let elevation = match engineer.request(request).await {
            Ok(elevation) => elevation,
            Err(status) => break status,
        };
        acknowledged.push(elevation.id.clone());
        if let Err(status) = engineer.withdraw(&elevation.id).await {
            break status;
        }
        assert!(acknowledged.len() < 2_000, "it never failed");
    };
    // then the caller is told so, and what to do
    assert_eq!((status.code(), reason(&status).as_str()), (Code::Unavailable, "HALTED"), "{status:?}");
    // and the broker ends by itself, saying why
    let (code, printed, organisation) = broker.ended().await;
    assert_ne!(code, Some(0), "{printed}");
    assert!(printed.contains("journal"), "{printed}");
    // when it is started again with room, then all that was acknowledged is there
    assert_eq!(verify(&organisation).code, Some(0));
    let broker = Broker::serve(&organisation, &Start::default());
    let (ana, engineer) = (broker.person("ana").await, broker.person("eng01").await);
    assert_eq!(ana.elevation(&first.id).await.unwrap().state(), pb::ElevationState::Pending);
    for id in acknowledged {
        engineer.elevation(&id).await.unwrap();
    }
    engineer.request(repair()).await.map_or_else(|status| assert_eq!(reason(&status), "ALREADY_PENDING"), |_| ());
}

/// Fills the disk, has somebody use up what the journal's files have left, and then asks what finds no room.
async fn filled(broker: &Broker, filler: &Path, request: &pb::RequestElevationRequest) -> tonic::Status {
    use std::io::Write;
    let (engineer, other) = (broker.person("eng01").await, broker.person("eng02").await);
    let mut file = std::fs::File::create(filler).unwrap();
    for _ in 0..200 {
        while file.write_all(&[0; 4096]).is_ok() {}
        let elevation = match other.request(repair()).await {
            Ok(elevation) => elevation,
            Err(_) => return engineer.request(request.clone()).await.unwrap_err(),
        };
        if other.withdraw(&elevation.id).await.is_err() {
            return engineer.request(request.clone()).await.unwrap_err();
        }
    }
    panic!("the disk is never full")
}

async fn pending(person: &Person) -> Vec<String> {
    let request = pb::ListElevationsRequest {
        relation: pb::ElevationRelation::Requested.into(),
        states: vec![pb::ElevationState::Pending.into()],
        ..Default::default()
    };
    let page = person.elevations().list_elevations(request).await.unwrap().into_inner();
    page.elevations.into_iter().map(|elevation| elevation.id).collect()
}

/// A path as the broker's process sees it.
fn inside(broker: &Broker, name: &str) -> PathBuf {
    let path = broker.organisation.path(name);
    PathBuf::from(format!("/proc/{}/root{}", broker.id(), path.display()))
}
