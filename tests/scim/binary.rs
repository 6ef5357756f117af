//! The same through the binary as an operator runs it: `init`, `serve`, and again after `kill -9`.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};
use tonic::codegen::http::Method;

use crate::harness::{Broker, CORE, ENTERPRISE, OWN, USERS, files};
use crate::organisation::{Organisation, identity};

/// `serve` in a process of its own.
struct Serving {
    broker: Broker,
    child: Process,
}

fn countersign(organisation: &Organisation, words: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_countersign"));
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("COUNTERSIGN_")) {
        command.env_remove(name);
    }
    command.args(words).current_dir(organisation.folder.path()).stdin(Stdio::null());
    command
}

impl Serving {
    /// Serves the organisation's journal, and finds both addresses in what is printed.
    fn start(organisation: Organisation) -> Self {
        let mut serve = countersign(&organisation, &["serve", "--config", "broker.toml"]);
        let mut child = serve.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let (found, finding) = std::sync::mpsc::channel();
        let streams: [Box<dyn std::io::Read + Send>; 2] =
            [Box::new(child.stdout.take().unwrap()), Box::new(child.stderr.take().unwrap())];
        for stream in streams {
            let found = found.clone();
            std::thread::spawn(move || {
                for line in BufReader::new(stream).lines().map_while(Result::ok) {
                    let words = line.split(|c: char| c.is_whitespace() || c == '=' || c == '/' || c == ',');
                    for address in words.filter_map(|word| word.parse::<std::net::SocketAddr>().ok()) {
                        let _ = found.send((line.clone(), address));
                    }
                }
            });
        }
        let scim = loop {
            let told = finding.recv_timeout(std::time::Duration::from_secs(30));
            let (line, address) = told.unwrap_or_else(|_| panic!("no address of SCIM was printed"));
            if line.to_lowercase().contains("scim") {
                break address;
            }
        };
        Self { broker: Broker { organisation, running: None, scim }, child: Process(child) }
    }

    fn kill(mut self) -> Organisation {
        self.child.0.kill().unwrap();
        self.child.0.wait().unwrap();
        self.broker.organisation
    }
}

/// A process that ends with its test, however that ends.
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[tokio::test]
async fn the_binary_speaks_it_and_what_it_answered_is_there_after_a_kill() {
    // given a broker that serves SCIM
    let organisation = Organisation::with(&files());
    organisation.configure("[https]\nlisten = \"127.0.0.1:0\"");
    let words = ["init", "--policy", "policy.toml", "--directory", "directory.toml", "--journal", "journal.db"];
    assert!(countersign(&organisation, &words).stdout(Stdio::null()).status().unwrap().success());
    let serving = Serving::start(organisation);
    // when somebody is created, found by name, and deactivated
    let body = json!({
        "schemas": [CORE, ENTERPRISE, OWN],
        "userName": "dev",
        ENTERPRISE: { "manager": { "value": "ben" } },
        OWN: { "logins": [identity("dev")] },
    });
    let created = serving.broker.hr(Method::POST, USERS, Some(body)).await.is(201);
    assert_eq!((&created["id"], &created["active"]), (&json!("dev"), &json!(true)));
    let filter = format!("{USERS}?filter=userName%20eq%20%22dev%22");
    let found = serving.broker.get(&filter).await.is(200);
    assert_eq!((&found["totalResults"], &found["Resources"][0]["id"]), (&json!(1), &json!("dev")));
    serving.broker.patch("eng01", json!([{ "op": "replace", "path": "active", "value": false }])).await.is(200);
    // and the broker is killed, and serves again, then all of it is as it was answered
    let serving = Serving::start(serving.kill());
    let user: Value = serving.broker.get(&format!("{USERS}/dev")).await.is(200);
    assert_eq!((&user["active"], &user[ENTERPRISE]["manager"]["value"]), (&json!(true), &json!("ben")));
    assert_eq!(serving.broker.get(&format!("{USERS}/eng01")).await.is(200)["active"], json!(false));
    drop(serving.kill());
}
