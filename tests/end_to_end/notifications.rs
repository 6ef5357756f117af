//! Part 5 of the guard rails over the real binary: each thing that somebody should know is told once, over restarts of
//! either side, and whatever a webhook does.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use countersign::wire::v1 as pb;
use serde_json::Value;

use crate::common::certificates::{now_millis, write_with_mode};
use crate::harness::{Broker, Start, countersign, eventually, run};
use crate::life::{DAY, YEAR};
use crate::organisation::{Files, Organisation};
use crate::person::{ORDERS, Person, call_id, repair, seconds};

/// The example's, with the account of a notifier.
pub fn broker() -> Broker {
    let mut files = Files::example();
    files.policy.push_str(
        "\n[roles.notifier]\nfor = \"machines\"\nowner = \"omar\"\n\
         capabilities = [{ name = \"audit.read\", resources = [\"**\", \"tenants/**\"] }]\n",
    );
    files.directory.push_str(
        "[accounts.notify-bot]\nowner = \"ines\"\nroles = [\"notifier\"]\n\
         identities = [\"spiffe://northwind.example/service/notify-bot\"]\n",
    );
    Broker::of(Organisation::with(&files))
}

/// A notifier that runs, and what it was told to keep.
pub struct Notifier {
    child: Child,
}

impl Notifier {
    pub fn start(broker: &Broker, more: &[&str], hook: &[&str]) -> Self {
        let state = broker.organisation.path("notify.json");
        let state = state.to_str().unwrap();
        let words = [&["notify", "--state", state], more, &["--exec"], hook].concat();
        let child = broker.command("notify-bot", &words).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        Self { child }
    }

    /// `SIGTERM`: it ends well.
    pub fn stop(mut self) {
        let id = self.child.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &id]).status().unwrap().success());
        assert_eq!(self.child.wait().unwrap().code(), Some(0));
    }

    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Notifier {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A hook that keeps what it is told, a line each, and takes nothing while there is a file `broken`.
pub fn keeping(broker: &Broker) -> (PathBuf, PathBuf) {
    let folder = broker.organisation.folder.path();
    let kept = folder.join("told.jsonl");
    let script = format!(
        "#!/bin/sh\ntest -e {0}/broken && exit 1\nline=\"$(cat)\"\ntest -n \"$line\" || exit 1\necho \"$line\" >> {0}/told.jsonl\n",
        folder.display()
    );
    (write_with_mode(folder, "hook.sh", &script, 0o700), kept)
}

pub fn told(kept: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(kept).unwrap_or_default();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Waits until so much of a type was told; the newest of it.
pub async fn until_told(kept: &Path, kind: &str, count: usize) -> Value {
    eventually(kind, async || {
        let mut of_kind: Vec<Value> = told(kept).into_iter().filter(|it| it["type"] == kind).collect();
        (of_kind.len() >= count).then(|| of_kind.pop().unwrap())
    })
    .await
}

fn each_once(kept: &Path) {
    let all = told(kept);
    let mut ids: Vec<&str> = all.iter().map(|it| it["id"].as_str().unwrap()).collect();
    ids.sort_unstable();
    let count = ids.len();
    ids.dedup();
    assert_eq!(ids.len(), count, "told twice: {all:?}");
}

#[tokio::test]
async fn whatever_asks_a_notifier_to_stop_it_ends_what_it_has_begun() {
    let broker = broker();
    // given a hook that takes a while
    let folder = broker.organisation.folder.path();
    let script = format!(
        "#!/bin/sh\ncat > {0}/begun\nuntil test -e {0}/go; do sleep 0.01; done\nmv {0}/begun {0}/done\n",
        folder.display()
    );
    let hook = write_with_mode(folder, "slow.sh", &script, 0o700);
    let (begun, done, go) = (folder.join("begun"), folder.join("done"), folder.join("go"));
    for signal in ["-HUP", "-INT", "-TERM"] {
        let mut notifier = Notifier::start(&broker, &[], &[hook.to_str().unwrap()]);
        broker.engineer().await.request(repair()).await.unwrap();
        eventually("a hook that runs", async || begun.exists().then_some(())).await;
        // when it is asked to stop meanwhile
        let id = notifier.child.id().to_string();
        assert!(Command::new("kill").args([signal, &id]).status().unwrap().success());
        std::fs::write(&go, "").unwrap();
        // then it ends well, after the hook
        assert_eq!(notifier.child.wait().unwrap().code(), Some(0), "{signal}");
        assert!(done.exists(), "{signal}");
        std::fs::remove_file(&go).unwrap();
        std::fs::remove_file(&done).unwrap();
    }
}

#[tokio::test]
async fn part_5_a_proposal_that_waits_is_told_to_whoever_could_approve_it() {
    let broker = broker();
    let (hook, kept) = keeping(&broker);
    let _notifier = Notifier::start(&broker, &[], &[hook.to_str().unwrap()]);
    // when a directory is proposed, and approved by another
    let directory = std::fs::read_to_string(broker.organisation.path("directory.toml")).unwrap();
    let proposal = broker.person("omar").await.propose_directory(&directory, &format!("{directory}# again\n")).await;
    let opened = until_told(&kept, "proposal.opened", 1).await;
    assert_eq!(
        (opened["proposal"].as_str(), opened["what"]["file"].as_str()),
        (Some(proposal.id.as_str()), Some("DIRECTORY"))
    );
    assert_eq!(opened["to"], serde_json::json!([{ "account": "vera", "person": "vera" }]));
    broker.person("vera").await.approve_proposal(Some(proposal)).await.unwrap();
    let decided = until_told(&kept, "proposal.decided", 1).await;
    assert_eq!((decided["outcome"].as_str(), decided["to"][0]["account"].as_str()), (Some("APPROVED"), Some("omar")));
}

#[tokio::test]
async fn part_5_everything_that_somebody_should_know_is_told_once_over_restarts_of_either_side() {
    let broker = broker();
    let (hook, kept) = keeping(&broker);
    let hook = hook.to_str().unwrap().to_owned();
    let (ana, ben) = (broker.person("ana").await, broker.person("ben").await);
    // given what waited before there was a notifier
    let first = ana.request(repair()).await.unwrap();
    let notifier = Notifier::start(&broker, &[], &[&hook]);
    // then those who could review it are told: who asks for what, by when; and nothing that decides
    let opened = until_told(&kept, "elevation.opened", 1).await;
    assert_eq!(
        (opened["elevation"].as_str(), opened["who"]["account"].as_str()),
        (Some(first.id.as_str()), Some("ana"))
    );
    assert_eq!(opened["stage"]["could_review"], serde_json::json!([{ "account": "ben", "person": "ben" }]));
    assert_eq!(opened["to"], opened["stage"]["could_review"]);
    assert!(opened["deadline"].is_string() && opened["why"] == "orders have been stuck since noon", "{opened}");
    assert!(!opened.to_string().contains("http"), "{opened}");
    // when it is decided, then the requester is told by whom
    ben.approve(&first.id).await.unwrap();
    let decided = until_told(&kept, "elevation.decided", 1).await;
    assert_eq!((decided["outcome"].as_str(), decided["by"].as_str()), (Some("APPROVED"), Some("account:ben")));
    assert_eq!(decided["to"][0]["account"], "ana");
    // when the notifier is away, and things come and go meanwhile
    notifier.stop();
    let second = ana.request(pb_request("prod/eu/db/orders/b")).await.unwrap();
    ben.deny(&second.id).await.unwrap();
    let third = ana.request(pb_request("prod/eu/db/orders/c")).await.unwrap();
    let grant = ana.elevation(&first.id).await.unwrap().grant_id;
    ana.relinquish(&grant).await.unwrap();
    // and the broker is killed and comes back, then all of it is told
    let broker = Broker::serve(&broker.kill(), &Start::default());
    let notifier = Notifier::start(&broker, &[], &[&hook]);
    assert_eq!(until_told(&kept, "elevation.decided", 2).await["outcome"], "DENIED");
    assert_eq!(until_told(&kept, "elevation.opened", 2).await["elevation"], third.id.as_str());
    assert_eq!(until_told(&kept, "grant.ended", 1).await["cause"], "RELINQUISHED");
    // when nothing is taken for a while, and the notifier is killed with what it has
    let broken = broker.organisation.path("broken");
    std::fs::write(&broken, "").unwrap();
    let ben = broker.person("ben").await;
    ben.deny(&third.id).await.unwrap();
    let state = broker.organisation.path("notify.json");
    let waits = async || {
        let state: Value = serde_json::from_str(&std::fs::read_to_string(&state).ok()?).ok()?;
        (state["queue"][0]["attempts"].as_u64()? > 0).then_some(())
    };
    eventually("it was tried", waits).await;
    notifier.kill();
    std::fs::remove_file(&broken).unwrap();
    // then the next one tells it
    let notifier = Notifier::start(&broker, &[], &[&hook]);
    until_told(&kept, "elevation.decided", 3).await;
    // and of two notifiers with one file the second one ends
    let words = ["notify", "--state", state.to_str().unwrap(), "--exec", "true"];
    let ended = run(&mut broker.command("notify-bot", &words));
    assert!(ended.code == Some(1) && ended.stderr.contains("another notifier"), "{}", ended.stderr);
    notifier.stop();
    each_once(&kept);
}

fn pb_request(resource: &str) -> countersign::wire::v1::RequestElevationRequest {
    countersign::wire::v1::RequestElevationRequest {
        request_id: call_id(),
        resources: vec![resource.to_owned()],
        ..repair()
    }
}

#[tokio::test]
async fn part_5_half_of_the_time_gone_and_the_end_ahead_are_told() {
    // given a policy under which requests wait for eight seconds
    let mut files = Files::example();
    files.policy = files.policy.replacen("review_within = \"30m\"", "review_within = \"8s\"", 1);
    files.policy.push_str("\n[roles.notifier]\nfor = \"machines\"\ncapabilities = [\"audit.read\"]\n");
    files.directory.push_str(
        "[accounts.notify-bot]\nowner = \"ines\"\nroles = [\"notifier\"]\n\
         identities = [\"spiffe://northwind.example/service/notify-bot\"]\n",
    );
    let broker = Broker::of(Organisation::with(&files));
    let (hook, kept) = keeping(&broker);
    let (ana, ben) = (broker.person("ana").await, broker.person("ben").await);
    let notifier = Notifier::start(&broker, &[], &[hook.to_str().unwrap()]);
    let id = ana.request(repair()).await.unwrap().id;
    // when half of that is gone, then those who could review it are told again
    let half = until_told(&kept, "elevation.half_time", 1).await;
    assert_eq!((half["elevation"].as_str(), half["to"][0]["account"].as_str()), (Some(id.as_str()), Some("ben")));
    ben.deny(&id).await.unwrap();
    // when a grant's end is near, then its holder is told, and again when it is over
    let short = countersign::wire::v1::RequestElevationRequest { duration: seconds(6), ..pb_request(ORDERS) };
    let grant = ana.granted(short, &ben).await;
    assert_eq!(until_told(&kept, "grant.ending", 1).await["grant"], grant.id.as_str());
    let ended = until_told(&kept, "grant.ended", 1).await;
    assert_eq!((ended["grant"].as_str(), ended["state"].as_str()), (Some(grant.id.as_str()), Some("ENDED")));
    notifier.stop();
    each_once(&kept);
}

#[tokio::test]
async fn part_5_a_lapse_ahead_and_what_an_emergency_owes_are_told() {
    let broker = broker();
    let (hook, kept) = keeping(&broker);
    let notifier = Notifier::start(&broker, &[], &[hook.to_str().unwrap()]);
    // when a training comes to be seven days from its lapse, then its person is told
    let met = now_millis() - YEAR + 7 * DAY + 5_000;
    let training = broker.person("training-feed").await;
    training.correct("ana", "annual-training", Some((met / 1_000) * 1_000), false).await.unwrap();
    let ahead = until_told(&kept, "lapse.ahead", 1).await;
    assert_eq!(ahead["to"], serde_json::json!([{ "person": "ana" }]));
    assert_eq!(
        (ahead["facts"]["requirement"].as_str(), ahead["facts"]["days"].as_i64()),
        (Some("annual-training"), Some(7))
    );
    // when an emergency was let through, then those whom it went around are told what they owe, and by when
    let (ana, sam) = (broker.person("ana").await, broker.person("sam").await);
    let id = ana.request(pb::RequestElevationRequest { emergency: true, ..repair() }).await.unwrap().id;
    sam.approve(&id).await.unwrap();
    let owed = until_told(&kept, "follow_up.opened", 1).await;
    assert_eq!(owed["to"], serde_json::json!([{ "account": "ben", "person": "ben" }]));
    assert_eq!((owed["elevation"].as_str(), owed["what"]["emergency"].as_bool()), (Some(id.as_str()), Some(true)));
    assert!(owed["deadline"].is_string(), "{owed}");
    notifier.stop();
    each_once(&kept);
}

/// The lines of a head, and a body.
type Sent = (Vec<String>, String);

/// What a receiver was sent, and how it answers.
struct Receiver {
    address: std::net::SocketAddr,
    got: Arc<Mutex<Vec<Sent>>>,
    answer: Arc<Mutex<&'static str>>,
}

impl Receiver {
    fn listen() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (got, answer) = (Arc::new(Mutex::new(Vec::new())), Arc::new(Mutex::new(OK)));
        let (kept, answers) = (Arc::clone(&got), Arc::clone(&answer));
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (kept, answers) = (Arc::clone(&kept), Arc::clone(&answers));
                std::thread::spawn(move || received(stream, &kept, &answers));
            }
        });
        Self { address, got, answer }
    }

    fn answers(&self, with: &'static str) {
        *self.answer.lock().unwrap() = with;
    }

    fn got(&self) -> Vec<Sent> {
        self.got.lock().unwrap().clone()
    }
}

const OK: &str = "HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n";
const FAILED: &str = "HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
const ELSEWHERE: &str = "HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1:1/\r\ncontent-length: 0\r\n\r\n";
const NO_HTTP: &str = "* OK IMAP4rev1\r\n";
const NOTHING: &str = "";

fn received(mut stream: TcpStream, got: &Mutex<Vec<Sent>>, answer: &Mutex<&'static str>) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let mut head = Vec::new();
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).unwrap_or(0) == 0 {
            return;
        }
        match line.trim_end() {
            "" => break,
            line => head.push(line.to_owned()),
        }
    }
    let length = header(&head, "content-length").unwrap().parse().unwrap();
    let mut body = vec![0; length];
    reader.read_exact(&mut body).unwrap();
    got.lock().unwrap().push((head, String::from_utf8(body).unwrap()));
    let answer = *answer.lock().unwrap();
    if answer.is_empty() {
        // It hangs.
        std::thread::sleep(Duration::from_secs(20));
    }
    let _ = stream.write_all(answer.as_bytes());
}

fn header<'a>(head: &'a [String], name: &str) -> Option<&'a str> {
    let found = head.iter().find_map(|line| line.split_once(": ").filter(|(key, _)| key.eq_ignore_ascii_case(name)));
    found.map(|(_, value)| value)
}

#[tokio::test]
async fn part_5_a_webhook_is_signed_and_may_hang_lie_or_be_down() {
    let broker = broker();
    let receiver = Receiver::listen();
    let secret = write_with_mode(
        broker.organisation.folder.path(),
        "whsec",
        &format!("whsec_{}\n", STANDARD.encode([7; 32])),
        0o600,
    );
    let url = format!("http://{}/hook", receiver.address);
    let send = |url: &str| {
        let mut command = countersign();
        command.args(["webhook", url, "--within", "1s", "--secret"]).arg(&secret).stdin(Stdio::piped());
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(br#"{"id":"ntf_7","type":"x"}"#).unwrap();
        child.wait_with_output().unwrap().status.code()
    };
    // given a receiver that hangs, fails, sends elsewhere, or speaks something else: it was not received
    for bad in [NOTHING, FAILED, ELSEWHERE, NO_HTTP] {
        receiver.answers(bad);
        assert_eq!(send(&url), Some(1), "{bad:?}");
    }
    // or is not there, or is elsewhere without TLS
    assert_eq!(send("http://127.0.0.1:1/hook"), Some(1));
    assert_eq!(send("http://chat.example/hook"), Some(2));
    // when it takes it, then what it got is signed with what both know, under the id of the notification
    receiver.answers(OK);
    assert_eq!(send(&url), Some(0));
    let (head, body) = receiver.got().pop().unwrap();
    let (id, at) = (header(&head, "webhook-id").unwrap(), header(&head, "webhook-timestamp").unwrap());
    let key = hmac::Key::new(hmac::HMAC_SHA256, &[7; 32]);
    let signed = STANDARD.encode(hmac::sign(&key, format!("{id}.{at}.{body}").as_bytes()));
    assert_eq!((id, header(&head, "webhook-signature").unwrap()), ("ntf_7", format!("v1,{signed}").as_str()));
    // and as the hook of a notifier: what it refused for a while comes again, under the same id
    receiver.answers(FAILED);
    let before = receiver.got().len();
    let binary = env!("CARGO_BIN_EXE_countersign");
    let hook = [binary, "webhook", &url, "--within", "2s", "--secret", secret.to_str().unwrap()];
    let notifier = Notifier::start(&broker, &[], &hook);
    let ana: Person = broker.person("ana").await;
    ana.request(repair()).await.unwrap();
    let came = |count: usize| {
        let receiver = &receiver;
        async move { eventually("it comes", async || (receiver.got().len() >= count).then_some(())).await }
    };
    came(before + 1).await;
    receiver.answers(OK);
    came(before + 2).await;
    let ids: Vec<String> =
        receiver.got()[before..].iter().map(|(head, _)| header(head, "webhook-id").unwrap().to_owned()).collect();
    assert!(ids.iter().all(|id| *id == ids[0]), "{ids:?}");
    notifier.stop();
}

#[tokio::test]
async fn the_sample_for_a_chat_tells_it_in_a_line() {
    let broker = broker();
    let receiver = Receiver::listen();
    let hook = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/chat_hook.py");
    let state = broker.organisation.path("notify.json");
    let mut command =
        broker.command("notify-bot", &["notify", "--state", state.to_str().unwrap(), "--exec", "python3"]);
    command.arg(&hook).env("CHAT_WEBHOOK_URL", format!("http://{}/chat", receiver.address));
    command.env("PYTHONDONTWRITEBYTECODE", "1").env_remove("http_proxy").env_remove("HTTP_PROXY").env("no_proxy", "*");
    let notifier = Notifier { child: command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap() };
    let ana = broker.person("ana").await;
    ana.request(repair()).await.unwrap();
    eventually("a line in the chat", async || (!receiver.got().is_empty()).then_some(())).await;
    let (_, body) = receiver.got().pop().unwrap();
    let text: Value = serde_json::from_str(&body).unwrap();
    let line = text["text"].as_str().unwrap();
    assert!(
        line.starts_with(&format!("ana asks for orders-db-repair {ORDERS}; ben could review it, until ")),
        "{line}"
    );
    notifier.stop();
}
