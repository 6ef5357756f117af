//! Part 1 of the guard rails over the real binary: a customer decides about its own data, sees and touches its own tenant
//! alone, provisions its own people, and keeps a record that the broker signed.

use std::sync::Arc;

use countersign::wire::v1 as pb;
use countersign::wire::v1::lock_service_client::LockServiceClient;
use tonic::Code;

use crate::common::certificates::client;
use crate::harness::{Broker, Start, run};
use crate::organisation::{Files, Organisation};
use crate::person::{Person, call_id, refused};

const INBOX: &str = "tenants/acme/mail/inbox";

/// The example's, with a second customer.
fn broker() -> Broker {
    let mut files = Files::example();
    files.directory.push_str(
        "[tenants.globex]\ntrust_domain = \"globex.example\"\n[people.\"globex.gus\"]\n\
         [accounts.\"globex.gus\"]\nperson = \"globex.gus\"\ntenant = \"globex\"\nroles = [\"tenant-approver\"]\n\
         identities = [\"spiffe://globex.example/person/gus\"]\n",
    );
    Broker::of(Organisation::with(&files))
}

#[track_caller]
fn said(broker: &Broker, who: &str, words: &[&str], code: i32) -> (String, String) {
    let ended = run(&mut broker.command(who, words));
    assert_eq!(ended.code, Some(code), "{who} {words:?}: {}{}", ended.stdout, ended.stderr);
    (ended.stdout, ended.stderr)
}

/// Ana asks for a mailbox of acme's; the id.
fn asked(broker: &Broker) -> String {
    let words =
        ["request", "mailbox-support", INBOX, "--ticket", "INC-9", "--reason", "lena cannot see mail since noon"];
    said(broker, "ana", &words, 0).0.trim().to_owned()
}

async fn digest(person: &Person, id: &str) -> String {
    let review = person.elevation(id).await.unwrap().review.unwrap();
    countersign::domain::value::ids::Digest::of(review.approval_text.as_bytes()).to_string()
}

/// Asked, and let through by the own organisation and by acme; the grant.
async fn granted(broker: &Broker) -> String {
    let id = asked(broker);
    for who in ["sam", "acme.lena"] {
        let digest = digest(&broker.person(who).await, &id).await;
        said(broker, who, &["approve", &id, "--digest", &digest], 0);
    }
    broker.person("ana").await.elevation(&id).await.unwrap().grant_id
}

#[tokio::test]
async fn part_1_a_customer_decides_about_its_own_mailbox_and_cuts_it() {
    let broker = broker();
    let (ana, lena, gus) =
        (broker.person("ana").await, broker.person("acme.lena").await, broker.person("globex.gus").await);
    let mail = broker.person("mail-api").await;
    // given a request for a mailbox: before the own organisation agrees the customer knows nothing of it
    let id = asked(&broker);
    said(&broker, "acme.lena", &["show", &id], 4);
    assert!(!said(&broker, "acme.lena", &["inbox"], 0).0.contains("mailbox"));
    refused(lena.deny(&id).await, Code::NotFound, "NOT_FOUND");
    let text = digest(&broker.person("sam").await, &id).await;
    said(&broker, "sam", &["approve", &id, "--digest", &text, "-m", "between us"], 0);
    // then it sees who asks, in which role, for what, why and how long; and not what colleagues wrote to each other
    let (card, _) = said(&broker, "acme.lena", &["show", &id], 0);
    for told in ["ana", "db-engineer", "mail.read", INBOX, "since noon", "15m"] {
        assert!(card.contains(told), "{told}: {card}");
    }
    assert!(!card.contains("between us"), "{card}");
    assert_eq!(ana.elevation(&id).await.unwrap().review.unwrap().decisions[0].comment, "between us");
    // and another customer does not: whatever it tries is as if there were nothing
    said(&broker, "globex.gus", &["show", &id], 4);
    said(&broker, "globex.gus", &["approve", &id, "--digest", &text], 4);
    // when the customer approves, then the service that guards mailboxes allows her
    assert_eq!(mail.verdict("ana", "mail.read", INBOX).await.0, pb::Verdict::Deny);
    said(&broker, "acme.lena", &["approve", &id, "--digest", &text], 0);
    assert_eq!(mail.verdict("ana", "mail.read", INBOX).await.0, pb::Verdict::Allow);
    // and when it cuts it, no longer
    let grant = ana.elevation(&id).await.unwrap().grant_id;
    refused(gus.revoke(&grant).await, Code::NotFound, "NOT_FOUND");
    said(&broker, "acme.lena", &["revoke", &grant, "--reason", "enough"], 0);
    assert_eq!(mail.verdict("ana", "mail.read", INBOX).await.0, pb::Verdict::Deny);
    assert!(said(&broker, "acme.lena", &["grants", "--visible", "--all"], 0).0.contains("revoked"));
    // and one request reaches one customer
    let both = ["request", "mailbox-support", INBOX, "tenants/globex/mail/inbox", "--ticket", "INC-9", "--reason"];
    said(&broker, "ana", &[&both[..], &["one for both of them"]].concat(), 2);
}

#[tokio::test]
async fn part_1_a_customers_feed_provisions_its_own_people_and_nobody_else() {
    let broker = broker();
    // given a customer's own system, that says who joined and what they may
    let login = "spiffe://acme.example/person/nils";
    said(&broker, "acme.idp", &["hr", "joined", "acme.nils", "--login", login], 0);
    said(&broker, "acme.idp", &["hr", "roles", "acme.nils", "--role", "tenant-approver"], 0);
    // then they approve for it
    let id = asked(&broker);
    let text = digest(&broker.person("sam").await, &id).await;
    said(&broker, "sam", &["approve", &id, "--digest", &text], 0);
    said(&broker, "acme.nils", &["approve", &id, "--digest", &text], 0);
    // and who leaves there, no longer
    said(&broker, "acme.idp", &["hr", "left", "acme.nils", "--urgent"], 0);
    assert!(said(&broker, "acme.nils", &["whoami"], 0).0.contains("the person left"));
    // when it names what is not its own, then it is refused, alike whether that is there or not
    let (_, ana) = said(&broker, "acme.idp", &["hr", "left", "ana", "--urgent"], 3);
    let (_, nobody) = said(&broker, "acme.idp", &["hr", "left", "xyz", "--urgent"], 3);
    assert_eq!(ana.replace("`ana`", "X"), nobody.replace("`xyz`", "X"));
    said(&broker, "acme.idp", &["hr", "left", "globex.gus", "--urgent"], 3);
    said(&broker, "acme.idp", &["hr", "roles", "acme.lena", "--role", "security-duty"], 3);
    // nor does anybody else of the customer's provision, nor HR of the own organisation speak for the customer
    said(&broker, "acme.lena", &["hr", "left", "acme.idp", "--urgent"], 3);
    said(&broker, "hr-sync", &["hr", "left", "acme.lena", "--urgent"], 3);
}

#[tokio::test]
async fn part_1_one_request_reaches_one_tenant() {
    let broker = broker();
    let both = pb::RequestElevationRequest {
        request_id: call_id(),
        entitlement: "mailbox-support".into(),
        actions: vec!["mail.read".into()],
        resources: vec![INBOX.into(), "tenants/globex/mail/inbox".into()],
        justification: "neither of the two can see mail".into(),
        ticket: "INC-9".into(),
        ..Default::default()
    };
    refused(broker.person("ana").await.request(both).await, Code::FailedPrecondition, "TENANTS_MIXED");
    let (_, why) = said(
        &broker,
        "ana",
        &[
            "request",
            "mailbox-support",
            "tenants/*/mail/inbox",
            "--ticket",
            "INC-9",
            "--reason",
            "neither can see mail now",
        ],
        2,
    );
    assert!(why.contains("tenant"), "{why}");
}

#[tokio::test]
async fn part_1_a_customers_authority_speaks_for_its_trust_domain_alone() {
    let broker = broker();
    let acme = &broker.organisation.acme;
    for foreign in ["spiffe://northwind.example/person/ana", "spiffe://globex.example/person/gus"] {
        let leaf = acme.issue(&client(foreign));
        let answered = match broker.endpoint(Some(&leaf)).connect().await {
            Ok(channel) => {
                Person { name: "x".to_owned(), channel }.accounts().who_am_i(pb::WhoAmIRequest {}).await.is_ok()
            }
            Err(_) => false,
        };
        assert!(!answered, "{foreign}");
    }
    broker.person("acme.lena").await.accounts().who_am_i(pb::WhoAmIRequest {}).await.unwrap();
}

#[tokio::test]
async fn part_1_a_customer_keeps_its_own_record_that_the_broker_signed() {
    let broker = broker();
    let grant = granted(&broker).await;
    said(&broker, "ana", &["relinquish", &grant], 0);
    // when the customer takes its record
    let (record, told) = said(&broker, "acme.lena", &["record", "export"], 0);
    let key = told.trim().rsplit(' ').next().unwrap().to_owned();
    // then it says who asked, in which role, why, who decided, and what became of it
    let line = record.lines().nth(1).unwrap();
    let told: serde_json::Value = serde_json::from_str(line).unwrap();
    assert_eq!((told["account"].as_str(), told["role"].as_str()), (Some("ana"), Some("db-engineer")));
    assert_eq!(told["grant"]["state"], "RELINQUISHED");
    let decided: Vec<_> =
        told["decisions"].as_array().unwrap().iter().map(|it| it["person"].as_str().unwrap()).collect();
    assert_eq!(decided, ["sam", "acme.lena"]);
    // and is verified without a broker, and not once it was changed
    let file = broker.organisation.path("record.txt");
    let verified = |text: &str, key: &str| {
        std::fs::write(&file, text).unwrap();
        run(crate::harness::countersign().args(["record", "verify"]).arg(&file).args(["--verifier", key])).code
    };
    assert_eq!(verified(&record, &key), Some(0));
    assert_eq!(verified(&record.replacen("since noon", "since June", 1), &key), Some(1));
    assert_eq!(verified(&record, &key.replacen("countersign", "another", 1)), Some(1));
    // and a file without an end is given up
    let endless = ["record", "verify", "/dev/zero", "--verifier", &key];
    let ended = run(crate::harness::countersign().args(endless));
    assert!(ended.code == Some(1) && ended.stderr.contains("it is over 268435456 bytes"), "{}", ended.stderr);
    // and another customer's has nothing of it, nor does anybody else take one
    let (other, _) = said(&broker, "globex.gus", &["record", "export"], 0);
    assert!(!other.contains("acme") && other.contains("\"tenant\":\"globex\""), "{other}");
    for who in ["ana", "omar", "acme.idp"] {
        said(&broker, who, &["record", "export"], 3);
    }
    // when the broker was killed and is there again, then it signs with the same key
    let broker = Broker::serve(&broker.kill(), &Start::default());
    let (again, _) = said(&broker, "acme.lena", &["record", "export"], 0);
    assert_eq!(verified(&again, &key), Some(0));
}

#[tokio::test]
async fn part_1_a_customer_is_not_told_what_is_the_own_organisations_alone() {
    let broker = broker();
    let (sam, lena) = (broker.person("sam").await, broker.person("acme.lena").await);
    // given locks on a role, an entitlement and a resource; and one on the tenant itself
    use pb::lock_target::Target;
    let targets = [
        Target::Role("incident-commander".into()),
        Target::Entitlement("orders-db-repair".into()),
        Target::Resources("tenants/acme/mail/archive".into()),
    ];
    let lock = |target| pb::CreateLockRequest {
        request_id: call_id(),
        target: Some(pb::LockTarget { target: Some(target) }),
        mode: pb::LockMode::Suspend.into(),
        reason: "somebody else's trouble".into(),
        ..Default::default()
    };
    let locks = |person: &Person| LockServiceClient::new(person.channel.clone());
    for target in targets {
        locks(&sam).create_lock(lock(target)).await.unwrap();
    }
    let told = locks(&lena).list_locks(pb::ListLocksRequest::default()).await.unwrap().into_inner().locks;
    assert_eq!(told, []);
    let all = locks(&sam).list_locks(pb::ListLocksRequest::default()).await.unwrap().into_inner().locks;
    assert_eq!(all.len(), 3);
    for lock in all {
        let lifted = pb::DeleteLockRequest { request_id: call_id(), lock_id: lock.id, reason: "over".into() };
        locks(&sam).delete_lock(lifted).await.unwrap();
    }
    // then nor how many replicas there are, nor a digest over terms that lie elsewhere
    let waits = lena.grants().await_replicas(pb::AwaitReplicasRequest::default()).await.map(|_| ());
    refused(waits, Code::PermissionDenied, "CAPABILITY_MISSING");
    let offered = lena.elevations().list_entitlements(pb::ListEntitlementsRequest::default()).await.unwrap();
    let offered: Vec<_> = offered.into_inner().offers.into_iter().filter_map(|it| it.entitlement).collect();
    assert!(offered.iter().any(|it| it.name == "mailbox-support"), "{offered:?}");
    assert!(offered.iter().all(|it| it.terms_digest.is_empty()));
    // when it has let a colleague of the own organisation in, and ends that
    let grant = granted(&broker).await;
    said(&broker, "acme.lena", &["revoke", &grant, "--reason", "done"], 0);
    // then it reads the facts of what it did, and not of what that led to for her
    let events = lena.events(pb::ListEventsRequest { about: format!("grant:{grant}"), ..Default::default() }).await;
    let facts: Vec<_> = events.iter().map(|it| (it.kind.as_str(), it.facts_json.is_empty())).collect();
    assert_eq!(facts, [("elevation-approved/1", true), ("grant-issued/1", true), ("grant-revoked/1", false)]);
}

#[tokio::test]
async fn part_1_a_customer_learns_no_count_of_events_and_resumes_all_the_same() {
    let broker = broker();
    let listed = |person: Person| async move {
        person
            .grants()
            .list_grants(pb::ListGrantsRequest { relation: 1, ..Default::default() })
            .await
            .unwrap()
            .into_inner()
    };
    // given a customer that lists, and lists again while nothing happens
    let (one, two) = (listed(broker.person("acme.lena").await).await, listed(broker.person("acme.lena").await).await);
    assert!(
        one.sequence.parse::<u64>().is_err()
            && one.sequence != two.sequence
            && one.sequence.len() == two.sequence.len()
    );
    let own = listed(broker.person("ana").await).await;
    assert!(own.sequence.parse::<u64>().is_ok());
    // then a number is none of its, however right, nor is a text that was told to another
    let by = |after_sequence: String| pb::WatchGrantsRequest { after_sequence, ..Default::default() };
    let lena = broker.person("acme.lena").await;
    for foreign in [own.sequence, listed(broker.person("globex.gus").await).await.sequence] {
        let refusal = lena.grants().watch_grants(by(foreign)).await.map(|_| ());
        refused(refusal, Code::InvalidArgument, "INVALID_MESSAGE");
    }
    // when the broker is killed, and something happens, then it resumes where it was
    let broker = Broker::serve(&broker.kill(), &Start::default());
    let grant = granted(&broker).await;
    let lena = broker.person("acme.lena").await;
    let mut watch = lena.grants().watch_grants(by(one.sequence)).await.unwrap().into_inner();
    let event = loop {
        if let Some(event) = watch.message().await.unwrap().unwrap().event {
            break event;
        }
    };
    assert_eq!((event.grant_id, event.kind.as_str()), (grant, "grant-issued"));
    let _ = (call_id(), Arc::clone(&broker.organisation));
}
