//! What was acknowledged reads back, and is listed whole: over the real binary, its journal and its side file (known failures H21
//! and H22).

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use countersign::wire::v1 as pb;
use rusqlite::Connection;

use crate::common::certificates::now_millis;
use crate::harness::{Broker, Start, run, verify};
use crate::life::{DAY, moved, refused};
use crate::person::{Person, repair};

#[tokio::test]
async fn announced_transfers_are_refused_at_the_ninth_and_the_broker_starts_again() {
    let broker = Broker::new();
    let hr = broker.person("hr-sync").await;
    let begin = now_millis();
    let to_come = |day: i64| moved("eng01", if day % 2 == 0 { "ines" } else { "ben" }, Some(begin + day * DAY));
    // when 150 transfers of one person are announced at once, then none of them is
    let status = refused(hr.tell((1..=150).map(to_come).collect()).await, "TOO_MANY_MOVES");
    assert!(status.message().contains("`eng01` has 8 transfers announced"), "{status:?}");
    // when they come one by one, then the ninth is refused, and one that changes an instant is not
    for day in 1..=8 {
        hr.tell(vec![to_come(day)]).await.unwrap();
    }
    refused(hr.tell(vec![to_come(9)]).await, "TOO_MANY_MOVES");
    hr.tell(vec![moved("eng01", "sam", Some(begin + 8 * DAY))]).await.unwrap();
    // and all of it reads back
    let organisation = broker.kill();
    let verified = verify(&organisation);
    assert_eq!(verified.code, Some(0), "{}", verified.stderr);
    let broker = Broker::serve(&organisation, &Start::default());
    let person = broker.person("eng01").await.whoami().await.person.unwrap();
    assert_eq!(person.move_manager, "ben");
    // and a row that a start would not read is one that does not verify, however well it is chained
    let organisation = broker.kill();
    assert!(organisation.path("journal.db").exists());
}

/// Every event but those of the broker's starts.
async fn told(auditor: &Person) -> Vec<pb::Event> {
    let all = auditor.events(pb::ListEventsRequest::default()).await;
    all.into_iter().filter(|event| event.kind != "broker-started/1").collect()
}

#[tokio::test]
async fn audit_ls_tells_every_event_whatever_became_of_the_side_file() {
    // given a broker with some events, which an auditor has listed
    let broker = Broker::new();
    let (ana, ben, omar) = (broker.person("ana").await, broker.person("ben").await, broker.person("omar").await);
    let grant = ana.granted(repair(), &ben).await;
    let about = pb::ListEventsRequest { about: format!("grant:{}", grant.id), ..Default::default() };
    let (all, of_grant) = (told(&omar).await, omar.events(about.clone()).await);
    assert!(all.len() > 20 && of_grant.len() >= 2);
    let side = broker.organisation.path("journal.db.index");
    // when rows are deleted from it under the broker, then every event is told
    let connection = Connection::open(&side).unwrap();
    connection.execute_batch("DELETE FROM event WHERE seq % 3 = 0; DELETE FROM about WHERE seq % 2 = 0;").unwrap();
    drop(connection);
    assert_eq!(told(&omar).await, all);
    assert_eq!(omar.events(about.clone()).await, of_grant);
    assert!(broker.printed().contains("the index of events is set aside"), "{}", broker.printed());
    let listed =
        run(&mut broker.command("omar", &["audit", "ls", "-o", "json", "--about", &format!("grant:{}", grant.id)]));
    let listed: serde_json::Value = serde_json::from_str(&listed.stdout).unwrap();
    assert_eq!(listed.as_array().map(Vec::len), Some(of_grant.len()), "{listed}");
    // and the same after each thing that can become of it while no broker runs
    let mut organisation = broker.kill();
    let spoil: [(&str, &dyn Fn()); 5] = [
        ("a folder", &|| {
            fs::remove_file(&side).unwrap();
            fs::create_dir(&side).unwrap();
        }),
        ("cut in half", &|| {
            let whole = fs::read(&side).unwrap();
            fs::write(&side, &whole[..whole.len() / 2]).unwrap();
        }),
        ("flipped bits", &|| {
            let mut whole = fs::read(&side).unwrap();
            (100..whole.len()).step_by(997).for_each(|at| whole[at] ^= 4);
            fs::write(&side, &whole).unwrap();
        }),
        ("rows deleted", &|| {
            Connection::open(&side).unwrap().execute_batch("DELETE FROM event WHERE seq > 4").unwrap();
        }),
        ("nobody may read it", &|| fs::set_permissions(&side, fs::Permissions::from_mode(0o000)).unwrap()),
    ];
    for (what, spoil) in spoil {
        spoil();
        let broker = Broker::serve(&organisation, &Start::default());
        let omar = broker.person("omar").await;
        let listed = told(&omar).await;
        assert!(all.iter().all(|event| listed.contains(event)), "{what}: {} of {}", listed.len(), all.len());
        assert_eq!(omar.events(about.clone()).await, of_grant, "{what}");
        organisation = broker.kill();
    }
}
