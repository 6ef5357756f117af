//! The example in Python, run as it is by a real Python against the real binary.

use std::path::Path;
use std::process::Command;

use crate::harness::{Broker, Ended, run};
use crate::person::{ORDERS, repair};
use crate::tool::tool;

fn check(broker: &Broker, python: &Path, who: &str, words: [&str; 3]) -> Ended {
    let (certificate, key) = broker.organisation.leaf_files(who);
    let mut command = Command::new(python);
    command.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/check.py")).args(words);
    command.env("COUNTERSIGN_ADDR", format!("https://localhost:{}", broker.address.port()));
    command.env("COUNTERSIGN_CA", broker.organisation.path("northwind.pem"));
    command.env("COUNTERSIGN_CERT", certificate).env("COUNTERSIGN_KEY", key);
    command.env("PYTHONDONTWRITEBYTECODE", "1");
    run(&mut command)
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
