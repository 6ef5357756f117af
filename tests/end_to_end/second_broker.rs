//! One broker a journal, whatever it is called (known failure H23); and what others may leave in its file (H26).

use std::fs;
use std::path::Path;

use tonic::Code;

use crate::harness::{Broker, Start, countersign, eventually, run, verify};
use crate::organisation::Organisation;
use crate::person::{reason, repair};

/// A second `serve` of a journal under some name: that it was refused, and what it said.
fn second(organisation: &Organisation, journal: &Path) -> String {
    let free = crate::harness::free_address().to_string();
    let flags = ["--journal".to_owned(), journal.display().to_string(), "--listen".to_owned(), free];
    let start = Start { flags: flags.to_vec(), ..Start::default() };
    let ended = run(&mut organisation.serve_command(&start));
    assert_eq!(ended.code, Some(1), "{}{}", ended.stdout, ended.stderr);
    ended.stderr
}

#[tokio::test]
async fn a_second_broker_is_refused_by_hard_link_rename_and_without_the_lock_file() {
    // given a broker, and other names of its journal as `cp -al` makes them
    let broker = Broker::new();
    let organisation = &broker.organisation;
    let (journal, folder) = (organisation.journal(), organisation.path("linked"));
    fs::create_dir(&folder).unwrap();
    let linked = folder.join("journal.db");
    fs::hard_link(&journal, &linked).unwrap();
    // then a second one is refused by them, and when the lock file was removed
    assert!(second(organisation, &linked).contains("another broker has the journal"));
    fs::remove_file(organisation.path("journal.db.lock")).unwrap();
    assert!(second(organisation, &journal).contains("another broker has the journal"));
    let renamed = organisation.path("renamed.db");
    fs::rename(&journal, &renamed).unwrap();
    assert!(second(organisation, &renamed).contains("another broker has the journal"));
    fs::rename(&renamed, &journal).unwrap();
    // and the first one has lost nothing
    let asked = broker.person("ana").await.request(repair()).await.unwrap();
    let organisation = broker.kill();
    let broker = Broker::serve(&organisation, &Start::default());
    broker.person("ana").await.elevation(&asked.id).await.unwrap();
    assert_eq!(broker.verify().code, Some(0));
}

#[tokio::test]
async fn tables_that_tools_leave_in_the_file_end_nothing_and_a_trigger_is_named() {
    // given a broker in whose file Litestream and ANALYZE have left what they leave
    let broker = Broker::new();
    let litestream = "CREATE TABLE IF NOT EXISTS _litestream_seq (id INTEGER PRIMARY KEY, seq INTEGER); \
        CREATE TABLE IF NOT EXISTS _litestream_lock (id INTEGER); INSERT INTO _litestream_seq VALUES (1, 1); ANALYZE;";
    let foreign = |sql: &str| {
        let other = rusqlite::Connection::open(broker.organisation.journal()).unwrap();
        other.busy_timeout(std::time::Duration::from_secs(5)).unwrap();
        other.execute_batch(sql).unwrap();
    };
    foreign(litestream);
    let (ana, ben) = (broker.person("ana").await, broker.person("ben").await);
    let grant = ana.granted(repair(), &ben).await;
    // when somebody makes a trigger while it runs, then who asks for access is refused, and it is named
    foreign("CREATE TRIGGER gone AFTER INSERT ON journal BEGIN DELETE FROM journal; END");
    let engineer = broker.person("eng01").await;
    let status = engineer.request(repair()).await.unwrap_err();
    assert_eq!((status.code(), reason(&status).as_str()), (Code::Unavailable, "STORAGE_UNAVAILABLE"), "{status:?}");
    assert!(status.message().contains("DROP TRIGGER gone;"), "{}", status.message());
    // and what takes access away still does
    ana.relinquish(&grant.id).await.unwrap();
    // and an offline look at a copy names it, too
    let copy = broker.organisation.path("copy.db");
    countersign::journal::copy(&broker.organisation.journal(), &copy).unwrap();
    let looked = run(countersign().args(["audit", "verify"]).arg(&copy));
    assert_eq!(looked.code, Some(1));
    assert!(
        looked.stderr.contains("trigger `gone`") && looked.stderr.contains("DROP TRIGGER gone;"),
        "{}",
        looked.stderr
    );
    // when it is dropped, then it goes on
    foreign("DROP TRIGGER gone");
    eventually("the trigger's end", async || engineer.request(repair()).await.ok()).await;
    // and the file verifies, and the broker starts again with what the tools left
    let organisation = broker.kill();
    assert_eq!(verify(&organisation).code, Some(0));
    let broker = Broker::serve(&organisation, &Start::default());
    broker.person("ana").await.grant(&grant.id).await.unwrap();
}
