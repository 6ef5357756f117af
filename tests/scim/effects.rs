//! What follows from a call: an urgent deactivation cuts a live grant, and the brake holds what many calls would do.

use countersign::wire::v1 as pb;
use serde_json::json;
use tonic::codegen::http::Method;

use crate::harness::{Broker, CORE, ENTERPRISE, OWN, USERS};
use crate::organisation::Files;
use crate::person::{ORDERS, repair};

#[tokio::test]
async fn a_deactivation_cuts_a_live_grant_before_it_is_answered() {
    let broker = Broker::start();
    let (ana, ben, orders) =
        (broker.person("ana").await, broker.person("ben").await, broker.person("orders-api").await);
    // given a live grant
    ana.granted(repair(), &ben).await;
    assert_eq!(orders.verdict("ana", "db.read", ORDERS).await.0, pb::Verdict::Allow);
    // when the identity system says that she is not active, in the words of Entra ID
    let user = broker.patch("ana", json!([{ "op": "Replace", "path": "active", "value": "False" }])).await.is(200);
    // then the very next check denies, and she can ask for nothing
    assert_eq!(orders.verdict("ana", "db.read", ORDERS).await.0, pb::Verdict::Deny);
    assert_eq!((&user["active"], &user[OWN]["logins"]), (&json!(false), &json!([])));
    assert!(ana.request(repair()).await.is_err());
    assert_eq!(broker.hr_events(), [("ana".to_owned(), "LEFT")]);
    // when she is active again, then with nothing: no login, no manager, no grant
    let user = broker.patch("ana", json!([{ "op": "replace", "value": { "active": true } }])).await.is(200);
    assert_eq!((&user["active"], &user[OWN]["logins"]), (&json!(true), &json!([])));
    assert_eq!(orders.verdict("ana", "db.read", ORDERS).await.0, pb::Verdict::Deny);
    assert!(ana.request(repair()).await.is_err());
}

#[tokio::test]
async fn a_user_who_is_deleted_leaves_at_once_and_stays_on_record() {
    let broker = Broker::start();
    let (ana, ben, orders) =
        (broker.person("ana").await, broker.person("ben").await, broker.person("orders-api").await);
    ana.granted(repair(), &ben).await;
    let path = format!("{USERS}/ana");
    broker.hr(Method::DELETE, &path, None).await.is(204);
    assert_eq!(orders.verdict("ana", "db.read", ORDERS).await.0, pb::Verdict::Deny);
    assert_eq!(broker.get(&path).await.is(200)["active"], json!(false));
    // once more changes nothing
    broker.hr(Method::DELETE, &path, None).await.is(204);
    assert_eq!(broker.hr_events(), [("ana".to_owned(), "LEFT")]);
}

#[tokio::test]
async fn what_the_brake_holds_is_told() {
    // given a brake that lets one person through in 24 hours
    let files = Files::example();
    let policy =
        files.policy.replace("hr_brake = { people = 50, percent = 20 }", "hr_brake = { people = 1, percent = 100 }");
    assert_ne!(policy, files.policy);
    let broker = Broker::with(&Files { policy, directory: files.directory });
    let create = async |person: &str| {
        let body = json!({ "schemas": [CORE], "userName": person });
        broker.hr(Method::POST, USERS, Some(body)).await
    };
    // when a second one is created, then it waits, and the answer says where
    create("zoe").await.is(201);
    let reply = create("zora").await;
    let hold = broker.running().engine().read(|state| *state.holds().keys().next().unwrap());
    assert!(reply.is_error(409, None, "HELD: ").contains(&hold.to_string()), "{reply:?}");
    broker.get("/scim/v2/Users/zora").await.is_error(404, None, "NOT_FOUND: ");
    // and who asks again, as identity systems do for days, makes no more of it
    let sequence = broker.running().engine().sequence();
    for _ in 0..3 {
        assert!(create("zora").await.is_error(409, None, "HELD: ").contains(&hold.to_string()));
    }
    assert_eq!(broker.running().engine().sequence(), sequence);
    // another word of the same person waits behind it
    let body = json!({ "schemas": [CORE], "userName": "zora", ENTERPRISE: { "manager": "ines" } });
    let other = broker.hr(Method::POST, USERS, Some(body)).await;
    assert!(!other.is_error(409, None, "HELD: ").contains(&hold.to_string()), "{other:?}");
}

#[tokio::test]
async fn single_leavings_beyond_the_brake_stop_their_people_and_wait() {
    // given a brake that lets one person through in 24 hours, and somebody with a grant
    let files = Files::example();
    let policy =
        files.policy.replace("hr_brake = { people = 50, percent = 20 }", "hr_brake = { people = 1, percent = 100 }");
    let broker = Broker::with(&Files { policy, directory: files.directory });
    let (ana, ben) = (broker.person("ana").await, broker.person("ben").await);
    let grant = ana.granted(crate::person::repair(), &ben).await;
    // when people leave at once, one call after another
    let gone = broker.patch("eng01", json!([{ "op": "replace", "path": "active", "value": false }])).await.is(200);
    assert_eq!(gone["active"], json!(false));
    let deleted = broker.hr(Method::DELETE, &format!("{USERS}/ana"), None).await;
    // then beyond the first they wait, and the answer says where; they are stopped by then
    let hold = broker.running().engine().read(|state| *state.holds().keys().next().unwrap());
    assert!(deleted.is_error(409, None, "HELD: ").contains(&hold.to_string()), "{deleted:?}");
    let refusal = ana.request(crate::person::repair()).await.unwrap_err();
    assert!(refusal.message().contains("HR says that they left"), "{refusal:?}");
    assert_eq!(broker.get("/scim/v2/Users/ana").await.is(200)["active"], json!(true));
    let is_open = |id: &str| {
        let id = id.parse().unwrap();
        broker.running().engine().read(|state| state.grants().get(&id).unwrap().is_open())
    };
    assert!(is_open(&grant.id), "nothing is ended that a person could not undo");
    // and who asks again, as identity systems do for days, makes no more of it
    let sequence = broker.running().engine().sequence();
    for _ in 0..3 {
        let again = broker.hr(Method::DELETE, &format!("{USERS}/ana"), None).await;
        assert!(again.is_error(409, None, "HELD: ").contains(&hold.to_string()));
    }
    assert_eq!(broker.running().engine().sequence(), sequence);
}

#[tokio::test]
async fn a_machine_widens_nothing_for_its_owner() {
    let broker = Broker::start();
    // given HR's machine, which vera owns
    for operation in [
        json!({ "op": "replace", "path": format!("{ENTERPRISE}:manager"), "value": "ines" }),
        json!({ "op": "add", "path": format!("{OWN}:logins"), "value": ["spiffe://northwind.example/person/vera.b"] }),
    ] {
        // when it says something of them that may give them more, then it is refused
        broker.patch("vera", json!([operation])).await.is_error(403, None, "OWN_STANDING: ");
    }
    assert!(broker.hr_events().is_empty());
}

#[tokio::test]
async fn who_leaves_while_a_joining_waits_does_not_come_later() {
    let files = Files::example();
    let policy =
        files.policy.replace("hr_brake = { people = 50, percent = 20 }", "hr_brake = { people = 1, percent = 100 }");
    let broker = Broker::with(&Files { policy, directory: files.directory });
    let waiting = |person: &str| {
        let waits = |hold: &countersign::domain::record::hr::Hold| {
            hold.events.iter().any(|event| event.person.as_str() == person)
        };
        broker.running().engine().read(|state| state.holds().values().any(waits))
    };
    let create = async |person: &str| {
        let body = json!({ "schemas": [CORE], "userName": person });
        broker.hr(Method::POST, USERS, Some(body)).await.status
    };
    let off = json!([{ "op": "replace", "value": { "active": false } }]);
    // given one who has joined, and who is new or comes back and waits
    assert_eq!(create("zoe").await, 201);
    broker.patch("ana", off.clone()).await.is(200);
    assert_eq!((create("zora").await, create("ana").await), (409, 409));
    assert!(waiting("zora") && waiting("ana"));
    // when each is taken out again, then nothing of them waits any more
    broker.hr(Method::DELETE, &format!("{USERS}/zora"), None).await.is(204);
    assert_eq!(broker.patch("ana", off.clone()).await.is(200)["active"], json!(false));
    assert!(!waiting("zora") && !waiting("ana"));
    broker.get("/scim/v2/Users/zora").await.is_error(404, None, "NOT_FOUND: ");
    // and whoever neither is on record nor waits is not there
    broker.hr(Method::DELETE, &format!("{USERS}/nemo"), None).await.is_error(404, None, "NOT_FOUND: ");
    broker.patch("nemo", off).await.is_error(404, None, "NOT_FOUND: ");
}
