//! A client whose certificate is refused hears so, by its own look at the file or by the broker's alert, each time; and the
//! broker's log says why (known failure G20).

use crate::common::certificates::{Authority, Leaf, Wanted, client, write_leaf};
use crate::harness::{Broker, Ended, countersign, eventually, run};

const ANA: &str = "spiffe://northwind.example/person/ana";

fn who_am_i(broker: &Broker, leaf: &Leaf) -> Ended {
    let folder = broker.organisation.folder.path();
    write_leaf(folder, "refused", leaf);
    let mut command = countersign();
    command.arg("whoami").env("COUNTERSIGN_ADDR", format!("https://{}", broker.address));
    command.env("COUNTERSIGN_CA", broker.organisation.path("northwind.pem"));
    command.env("COUNTERSIGN_CERT", folder.join("refused.pem")).env("COUNTERSIGN_KEY", folder.join("refused.key"));
    run(&mut command)
}

#[test]
fn what_a_client_sees_of_its_own_certificate_it_says_before_it_asks() {
    let broker = Broker::new();
    let northwind = &broker.organisation.northwind;
    let two = vec![ANA.to_owned(), "spiffe://northwind.example/person/ben".to_owned()];
    let chained = |leaf: Leaf| Leaf { chain_pem: leaf.chain_pem + &Authority::new("another").pem(), ..leaf };
    for (leaf, told) in [
        (northwind.issue(&Wanted { from_seconds: -7_000, to_seconds: -60, ..client(ANA) }), "has ended at"),
        (northwind.issue(&Wanted { from_seconds: 600, ..client(ANA) }), "is valid from"),
        (northwind.issue(&Wanted { uris: two, ..Wanted::default() }), "has 2 URIs"),
        (northwind.issue(&Wanted { dns: vec!["ana.example".to_owned()], ..Wanted::default() }), "has no URI"),
        (chained(northwind.issue(&client(ANA))), "was not issued by the one that follows it"),
    ] {
        let ended = who_am_i(&broker, &leaf);
        assert!(ended.code == Some(7) && ended.stderr.contains(told), "{told}: {:?} {}", ended.code, ended.stderr);
    }
    // and the broker was never asked
    assert!(!broker.printed().contains("a client was not let in"), "{}", broker.printed());
}

#[tokio::test]
async fn what_the_broker_alone_can_see_is_told_by_its_alert_each_time_and_by_its_log() {
    let broker = Broker::new();
    // given an authority that the broker does not know, and one that only has the name of one that it knows
    let (unknown, renewed) = (Authority::new("another"), Authority::new("northwind"));
    let unknown = (unknown, "not issued by an authority configured for its trust domain");
    for (authority, why) in [unknown, (renewed, "of the configured name, but with another key")] {
        let foreign = authority.issue(&client(ANA));
        for _ in 0..40 {
            let ended = who_am_i(&broker, &foreign);
            let told = "the broker refuses the client certificate; its log says why";
            assert!(ended.code == Some(7) && ended.stderr.contains(told), "{:?} {}", ended.code, ended.stderr);
        }
        // Of a crowd that is turned away the log has so many lines a second.
        eventually(why, async || {
            who_am_i(&broker, &foreign);
            broker.printed().contains(why).then_some(())
        })
        .await;
    }
}
