//! The same through every path of a real broker, over mutual TLS, after a history made by real requests, approvals,
//! revocations and starts to come.

use std::time::Duration;

use countersign::domain::value::time::Timestamp;
use countersign::sdk::{Client, PresentedToken, Replica, TokenVerdict, TokenVerifier};
use countersign::wire::v1 as pb;
use countersign::wire::v1::lock_service_client::LockServiceClient;
use pb::token_service_client::TokenServiceClient;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;

use crate::chance::Chance;
use crate::common::certificates::{Leaf, now_millis};
use crate::harness::{Broker, files};
use crate::memory::REASONS;
use crate::model::Answer;
use crate::organisation::identity;
use crate::paths::{Asked, AuthZen, Batch, Copy, Core, ExtAuthz, Path, Stream, Unary};
use crate::person::{Person, call_id, repair, seconds};
use crate::tally::Tally;
use pb::lock_target::Target;

const ENGINEERS: usize = 10;
const POINT: &str = "orders-api";
const QUESTIONS: usize = 2_500;
const DAY: i64 = 86_400_000;
const RESOURCES: [&str; 4] = [
    "prod/eu/db/orders/primary",
    "prod/eu/db/orders/replica",
    "prod/us/db/orders/primary",
    "prod/ap/db/orders/archive/old",
];
const SCOPES: [&str; 4] =
    ["prod/eu/db/orders/primary", "prod/eu/db/orders/**", "prod/us/db/orders/primary", "prod/ap/db/orders/**"];
const ACTIONS: [&str; 4] = ["db.read", "db.write", "db.schema", "metadata.read"];
const MALFORMED_FOR_NOBODY: [&str; 3] = ["status/orders", "prod/eu/db/payments/primary", "prod/eu/db/orders-old/x"];

/// A live grant and whoever holds it.
struct Held {
    engineer: usize,
    grant: pb::Grant,
}

/// A broker after a random history.
struct Scene {
    broker: Broker,
    engineers: Vec<Person>,
    leaves: Vec<Leaf>,
    held: Vec<Held>,
    sam: Person,
}

impl Scene {
    async fn set(chance: &mut Chance) -> Self {
        let mut files = files();
        let audience = "audience = [\"prod/*/db/orders/**\"]";
        assert!(files.directory.contains(audience));
        files.directory = files.directory.replace(audience, "audience = [\"prod/*/db/orders/**\", \"status/**\"]");
        let broker = Broker::with_routes(&files, &ExtAuthz::routes(&ACTIONS));
        let (ben, sam) = (broker.person("ben").await, broker.person("sam").await);
        let (mut engineers, mut leaves, mut held) = (Vec::new(), Vec::new(), Vec::new());
        for number in 0..ENGINEERS {
            let name = format!("eng{:02}", number + 1);
            let leaf = broker.organisation.leaf(&name);
            let engineer = Person { name, channel: channel(&broker, &leaf).await };
            for _ in 0..1 + chance.below(3) {
                let grant = engineer.granted(wish(chance), &ben).await;
                match chance.below(4) {
                    0 => drop(sam.revoke(&grant.id).await.unwrap()),
                    1 => drop(engineer.relinquish(&grant.id).await.unwrap()),
                    _ => held.push(Held { engineer: number, grant }),
                }
            }
            if number % 2 == 0 {
                let start_time = crate::person::at_millis(now_millis() / 1_000 * 1_000 + 3 * DAY);
                let planned = pb::RequestElevationRequest {
                    entitlement: "orders-db-maintenance".to_owned(),
                    start_time,
                    ticket: String::new(),
                    actions: vec!["db.read".to_owned(), "db.schema".to_owned()],
                    resources: vec!["prod/eu/db/orders/**".to_owned()],
                    ..wish(chance)
                };
                engineer.granted(planned, &ben).await;
            }
            // One that nobody has approved gives nothing.
            engineer.request(wish(chance)).await.unwrap();
            engineers.push(engineer);
            leaves.push(leaf);
        }
        // Locks on one of them, and on resources.
        let mut locks = LockServiceClient::new(sam.channel.clone());
        for target in [
            Target::Account(engineers[ENGINEERS - 1].name.clone()),
            Target::Resources("prod/ap/db/orders/archive/**".to_owned()),
        ] {
            let target = Some(pb::LockTarget { target: Some(target) });
            let (request_id, reason, mode) = (call_id(), "an incident".to_owned(), pb::LockMode::Suspend.into());
            let lock = pb::CreateLockRequest { request_id, target, reason, mode, ..Default::default() };
            locks.create_lock(lock).await.unwrap();
        }
        held.retain(|it| it.engineer != ENGINEERS - 1);
        assert!(held.len() >= 3, "{}", held.len());
        Self { broker, engineers, leaves, held, sam }
    }

    async fn client(&self, name: &str) -> Client {
        let leaf = self.broker.organisation.leaf(name);
        Client::builder(format!("https://localhost:{}", self.broker.running().address().port()))
            .authority_pem(self.broker.organisation.northwind.pem())
            .identity_pem(leaf.chain_pem, leaf.key_pem)
            .connect()
            .await
            .unwrap()
    }

    async fn replica(&self, max_staleness: Duration) -> Replica {
        let (certificate, key) = self.broker.organisation.leaf_files(POINT);
        let builder = Replica::builder([format!("https://localhost:{}", self.broker.running().address().port())])
            .authority_file(self.broker.organisation.path("northwind.pem"))
            .identity_files(certificate, key)
            .max_staleness(max_staleness);
        let replica = builder.connect().await.unwrap();
        replica.reached(self.broker.running().engine().sequence(), Duration::from_secs(20)).await.unwrap();
        replica
    }

    fn core(&self, name: &str) -> Core {
        Core { engine: self.broker.running().engine().clone(), caller: identity(name) }
    }

    /// Questions with the core's answers, a sixth steered to each reason.
    async fn questions(&self, chance: &mut Chance) -> (Vec<Asked>, Vec<Answer>) {
        let mut core = self.core(POINT);
        let (mut all, mut answers) = (Vec::new(), Vec::new());
        for number in 0..QUESTIONS {
            let wanted = REASONS[number % REASONS.len()];
            for last in (0..200).rev() {
                let asked = self.any(chance);
                let answer = core.ask(std::slice::from_ref(&asked)).await[0];
                if answer.reason == wanted || last == 0 {
                    all.push(asked);
                    answers.push(answer);
                    break;
                }
            }
        }
        (all, answers)
    }

    fn any(&self, chance: &mut Chance) -> Asked {
        let name = match chance.below(12) {
            0 => "nobody".to_owned(),
            1 => "ben".to_owned(),
            2 => POINT.to_owned(),
            _ => chance.pick(&self.engineers).name.clone(),
        };
        let subject = if chance.one_in(2) { identity(&name) } else { name };
        let action = (*chance.pick(&ACTIONS)).to_owned();
        let resource = if chance.one_in(3) { *chance.pick(&MALFORMED_FOR_NOBODY) } else { *chance.pick(&RESOURCES) };
        Asked { subject, action, resource: resource.to_owned() }
    }
}

fn wish(chance: &mut Chance) -> pb::RequestElevationRequest {
    let actions: &[&[&str]] = &[&["db.read"], &["db.write"], &["db.read", "db.write"]];
    pb::RequestElevationRequest {
        request_id: call_id(),
        actions: chance.pick(actions).iter().map(|action| (*action).to_owned()).collect(),
        resources: vec![(*chance.pick(&SCOPES)).to_owned()],
        duration: seconds(2_400 + 60 * i64::try_from(chance.below(20)).unwrap()),
        ..repair()
    }
}

async fn broker_channel(scene: &Scene, name: &str) -> tonic::transport::Channel {
    channel(&scene.broker, &scene.broker.organisation.leaf(name)).await
}

async fn channel(broker: &Broker, leaf: &Leaf) -> tonic::transport::Channel {
    use tonic::transport::{Certificate, ClientTlsConfig, Endpoint, Identity};
    let tls = ClientTlsConfig::new()
        .ca_certificate(Certificate::from_pem(broker.organisation.northwind.pem()))
        .domain_name("localhost")
        .identity(Identity::from_pem(&leaf.chain_pem, &leaf.key_pem));
    let endpoint = Endpoint::from_shared(format!("https://{}", broker.running().address())).unwrap();
    endpoint.tls_config(tls).unwrap().connect().await.unwrap()
}

/// Asks all of it of one path.
async fn same<P: Path>(path: &mut P, asked: &[Asked], expected: &[Answer]) -> Tally {
    let answers = path.ask(asked).await;
    assert_eq!(answers.len(), asked.len(), "{}", P::NAME);
    let mut tally = Tally::default();
    for ((asked, expected), answer) in asked.iter().zip(expected).zip(&answers) {
        assert_eq!(answer, expected, "{}: {asked:?}", P::NAME);
        tally.add(answer.reason);
    }
    tally
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn invariant_11_one_verdict_on_every_path() {
    // given a broker with a history, and questions of every reason
    let mut chance = Chance::new(11);
    let mut scene = Scene::set(&mut chance).await;
    let (asked, expected) = scene.questions(&mut chance).await;
    let (client, replica) = (scene.client(POINT).await, scene.replica(Duration::from_secs(60)).await);
    // when they go through each path, then each gives the core's verdict, reason, grant and end
    same(&mut scene.core(POINT), &asked, &expected).await.is_even("core", &REASONS);
    same(&mut Unary(client.clone()), &asked, &expected).await.is_even("unary", &REASONS);
    same(&mut Batch(client.clone()), &asked, &expected).await.is_even("batch", &REASONS);
    let stream = client.check_stream().await.unwrap();
    same(&mut Stream(stream), &asked, &expected).await.is_even("stream", &REASONS);
    let mut authzen = AuthZen::connect(&scene.broker, POINT).await;
    same(&mut authzen, &asked, &expected).await.is_even("AuthZEN", &REASONS);
    let envoy = broker_channel(&scene, POINT).await;
    let mut envoy = ExtAuthz::new(envoy, &scene.broker.organisation.northwind);
    same(&mut envoy, &asked, &expected).await.is_even("ext_authz", &REASONS);
    let mut tally = same(&mut Copy(replica.clone()), &asked, &expected).await;
    // and who is no enforcement point is told the same by each, about itself and about others
    for engineer in &scene.engineers[..3] {
        let some = &asked[..300];
        let expected = scene.core(&engineer.name).ask(some).await;
        let client = scene.client(&engineer.name).await;
        same(&mut Unary(client.clone()), some, &expected).await;
        same(&mut Batch(client), some, &expected).await;
        same(&mut AuthZen::connect(&scene.broker, &engineer.name).await, some, &expected).await;
        let envoy = broker_channel(&scene, &engineer.name).await;
        same(&mut ExtAuthz::new(envoy, &scene.broker.organisation.northwind), some, &expected).await;
    }
    // and once the broker is gone, the replica denies all of it
    let stale = scene.replica(Duration::from_secs(2)).await;
    scene.broker.running.take().unwrap().stop().await.unwrap();
    let granted = asked.iter().zip(&expected).find(|(_, answer)| answer.reason == "GRANTED").unwrap().0;
    for _ in 0..200 {
        if !stale.check(&granted.subject, &granted.action, &granted.resource).is_allowed() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let quarter = &asked[..QUESTIONS / 4];
    let denied = vec![Answer { reason: "STALE", grant: None, until: None }; quarter.len()];
    tally.merge(&same(&mut Copy(stale), quarter, &denied).await);
    tally.is_even("replica", &[&REASONS[..], &["STALE"]].concat());
}

/// Allowed with a replica: by the grant that the core names, and not past its end.
fn no_longer_than(verdict: &TokenVerdict, core: &Answer) {
    if let TokenVerdict::Allow { grant, valid_until, .. } = verdict {
        assert_eq!(*grant, core.grant);
        assert!(Some(valid_until.millis()) <= core.until, "{verdict:?} {core:?}");
    }
}

fn presented<'a>(token: &'a str, peer_leaf_der: &'a [u8], asked: &'a Asked, now: Timestamp) -> PresentedToken<'a> {
    PresentedToken { token, peer_leaf_der, action: &asked.action, resource: &asked.resource, now }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn invariant_11_a_token_allows_no_more_than_the_broker_when_it_was_signed() {
    // given the questions, the core's answers, and a token for every live grant
    let mut chance = Chance::new(12);
    let scene = Scene::set(&mut chance).await;
    let (asked, _) = scene.questions(&mut chance).await;
    let client = scene.client(POINT).await;
    let verifier = TokenVerifier::new(POINT, client.token_keys().await.unwrap()).unwrap();
    let replica = scene.replica(Duration::from_secs(60)).await;
    let engine = scene.broker.running().engine();
    let mut tally = Tally::default();
    for Held { engineer, grant } in &scene.held {
        let person = &scene.engineers[*engineer];
        let request = pb::IssueGrantTokenRequest {
            request_id: call_id(),
            grant_id: grant.id.clone(),
            audience: POINT.to_owned(),
            lifetime: None,
        };
        let mut tokens = TokenServiceClient::new(person.channel.clone());
        let token = tokens.issue_grant_token(request).await.unwrap().into_inner().token;
        let leaf = CertificateDer::from_pem_slice(scene.leaves[*engineer].chain_pem.as_bytes()).unwrap();
        let about = |asked: &Asked| asked.subject == person.name || asked.subject == identity(&person.name);
        let asks: Vec<Asked> = asked.iter().filter(|asked| about(asked)).cloned().collect();
        let expected = scene.core(POINT).ask(&asks).await;
        // when it is asked what the broker was asked about its holder
        for (asked, expected) in asks.iter().zip(&expected) {
            let verdict = verifier.verify(presented(&token, &leaf, asked, engine.latest()));
            tally.add(verdict.reason());
            match &verdict {
                // then it allows nothing that the broker did not allow by a grant, nor for longer
                TokenVerdict::Allow { grant: by, valid_until, .. } => {
                    assert_eq!(expected.reason, "GRANTED", "{asked:?}");
                    assert_eq!(by.map(|by| by.to_string()).as_ref(), Some(&grant.id));
                    assert!(Some(valid_until.millis()) <= expected.until, "{asked:?}");
                }
                // and what the broker allowed by this very grant, it allows
                TokenVerdict::Deny { because } => {
                    let by_this = expected.grant.is_some_and(|by| by.to_string() == grant.id);
                    assert!(!by_this, "{asked:?}: {because:?}");
                }
            }
            // and with a replica it says no more than the replica does
            let with_replica = verifier.verify_by_replica(presented(&token, &leaf, asked, engine.latest()), &replica);
            assert_eq!(with_replica.is_allowed(), verdict.is_allowed(), "{asked:?}");
            no_longer_than(&with_replica, expected);
        }
        // when the grant is revoked, then the replica's word counts; alone, the token says what it said
        scene.sam.revoke(&grant.id).await.unwrap();
        replica.reached(engine.sequence(), Duration::from_secs(20)).await.unwrap();
        let after = scene.core(POINT).ask(&asks).await;
        for (asked, after) in asks.iter().zip(&after) {
            let with_replica = verifier.verify_by_replica(presented(&token, &leaf, asked, engine.latest()), &replica);
            let allowed = ["GRANTED", "BASELINE"].contains(&after.reason)
                && verifier.verify(presented(&token, &leaf, asked, engine.latest())).is_allowed();
            assert_eq!(with_replica.is_allowed(), allowed, "{asked:?}");
            no_longer_than(&with_replica, after);
        }
    }
    tally.is_even("token", &["GRANTED", "TOKEN_OUT_OF_SCOPE"]);
}
