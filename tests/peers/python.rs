//! The example in Python, run as it is by a real Python against the real binary.

use std::path::Path;
use std::process::Command;

use countersign::wire::v1 as pb;

use crate::common::certificates::now_millis;
use crate::harness::{Broker, Ended, run};
use crate::held::Held;
use crate::person::{ORDERS, millis, repair, seconds};
use crate::tool::tool;

fn check(broker: &Broker, python: &Path, who: &str, words: [&str; 3]) -> Ended {
    run(&mut command(broker, python, broker.address.port(), who, words))
}

fn command(broker: &Broker, python: &Path, port: u16, who: &str, words: [&str; 3]) -> Command {
    let (certificate, key) = broker.organisation.leaf_files(who);
    let mut command = Command::new(python);
    command.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/check.py")).args(words);
    command.env("COUNTERSIGN_ADDR", format!("https://localhost:{port}"));
    command.env("COUNTERSIGN_CA", broker.organisation.path("northwind.pem"));
    command.env("COUNTERSIGN_CERT", certificate).env("COUNTERSIGN_KEY", key);
    command.env("PYTHONDONTWRITEBYTECODE", "1");
    command
}

/// Known failure C13: whatever the machine does meanwhile, what arrives after the end allows nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_allow_that_arrives_after_the_grants_end_is_none_to_python() {
    let (broker, python) = (Broker::new(), tool("python"));
    let held = Held::before(broker.address).await;
    let (engineer, ben) = (broker.engineer().await, broker.person("ben").await);
    let grant = engineer.granted(pb::RequestElevationRequest { duration: seconds(8), ..repair() }, &ben).await;
    let asked = [engineer.name.as_str(), "db.read", ORDERS];
    let mut asking = command(&broker, &python, held.address.port(), "orders-api", asked);
    // when it asks again and again, the broker is frozen with answers under way, and goes on after the end
    let mut children: Vec<_> = (0..4).map(|_| asking.spawn().unwrap()).collect();
    held.hold();
    let signal = |name: &str| {
        assert!(Command::new("kill").arg(name).arg(broker.id().to_string()).status().unwrap().success());
    };
    signal("-STOP");
    while now_millis() <= millis(grant.end_time.as_ref()) + 200 {
        children.push(asking.spawn().unwrap());
        tokio::time::sleep(std::time::Duration::from_millis(500)).await;
    }
    let late = asking.spawn().unwrap();
    signal("-CONT");
    held.let_go();
    // then none of those that end after it were told that it may be done
    for mut child in
        children.into_iter().filter_map(|mut it| it.try_wait().unwrap().is_none().then_some(it)).chain([late])
    {
        assert!(matches!(child.wait().unwrap().code(), Some(3 | 8)));
    }
}

#[tokio::test]
async fn a_service_in_python_asks_before_it_acts() {
    let (broker, python) = (Broker::new(), tool("python"));
    let (engineer, ben) = (broker.engineer().await, broker.person("ben").await);
    let asked = [engineer.name.as_str(), "db.read", ORDERS];
    let ask = |who: &str, words: [&str; 3]| {
        let ended = check(&broker, &python, who, words);
        (ended.code, ended.stdout.trim().to_owned(), ended.stderr)
    };
    // given no grant, then it is denied
    assert_eq!(ask("orders-api", asked).1, "deny NO_GRANT");
    // given one, then it is allowed, by that grant, until its end
    let grant = engineer.granted(repair(), &ben).await;
    let (code, stdout, stderr) = ask("orders-api", asked);
    assert_eq!(code, Some(0), "{stdout}{stderr}");
    assert!(stdout.starts_with(&format!("allow GRANTED {} until 20", grant.id)), "{stdout}");
    // and nothing outside the audience, and nothing that is malformed, is
    let elsewhere = [engineer.name.as_str(), "db.read", "prod/eu/db/payments/ledger"];
    assert_eq!(ask("orders-api", elsewhere).1, "deny OUT_OF_AUDIENCE");
    let (code, stdout, stderr) = ask("orders-api", [&engineer.name, "db.read", "prod/../x"]);
    assert_eq!((code, stdout.as_str()), (Some(8), ""), "{stderr}");
    assert!(stderr.contains("INVALID_ARGUMENT"), "{stderr}");
    // when it is revoked, then the next question is denied
    ben.revoke(&grant.id).await.unwrap();
    assert_eq!(ask("orders-api", asked).0, Some(3));
    // and a stranger's certificate, or no broker, is no allow
    assert_eq!(ask("stranger", asked).0, Some(8));
    broker.terminate();
    let organisation = broker.organisation.clone();
    broker.ended().await;
    drop(organisation);
}
