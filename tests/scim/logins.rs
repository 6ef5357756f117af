//! Changes of logins that meet: what one call adds or removes says nothing of what another does (known failure B18).

use std::sync::Arc;

use countersign::domain::record::hr::Hold;
use countersign::wire::v1 as pb;
use pb::hr_service_client::HrServiceClient;
use serde_json::{Value, json};
use tonic::codegen::http::Method;

use crate::harness::{Broker, ENTERPRISE, OWN, USERS};
use crate::person::call_id;

fn login(name: &str) -> String {
    format!("spiffe://northwind.example/person/{name}")
}

fn add(name: &str) -> Value {
    json!([{ "op": "add", "path": format!("{OWN}:logins"), "value": [login(name)] }])
}

fn remove(name: &str) -> Value {
    json!([{ "op": "remove", "path": format!("{OWN}:logins[value eq \"{}\"]", login(name)) }])
}

async fn logins(broker: &Broker, person: &str) -> Vec<String> {
    let user = broker.get(&format!("{USERS}/{person}")).await.is(200);
    user[OWN]["logins"].as_array().unwrap().iter().map(|it| it.as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn logins_that_are_added_side_by_side_are_all_there_and_what_is_removed_stays_away() {
    let broker = Arc::new(Broker::start());
    let names: Vec<String> = (10..16).map(|number| format!("ana-{number}")).collect();
    // when six calls add one each, at once
    let call = |name: &String| {
        let (broker, operations) = (Arc::clone(&broker), add(name));
        tokio::spawn(async move { broker.patch("ana", operations).await })
    };
    let calls: Vec<_> = names.iter().map(call).collect();
    // then each is there, and so is what there was
    for reply in calls {
        reply.await.unwrap().is(200);
    }
    let mut expected: Vec<String> = names.iter().map(|name| login(name)).collect();
    expected.insert(0, login("ana"));
    assert_eq!(logins(&broker, "ana").await, expected);
    // and whatever is added beside a removal, what is removed is gone
    for (number, name) in names.iter().enumerate() {
        let other = format!("ana-new-{number}");
        let (gone, come) = tokio::join!(broker.patch("ana", remove(name)), broker.patch("ana", add(&other)));
        drop((gone.is(200), come.is(200)));
        let left = logins(&broker, "ana").await;
        assert!(!left.contains(&login(name)) && left.contains(&login(&other)), "{left:?}");
    }
}

#[tokio::test]
async fn a_stolen_login_is_taken_away_whatever_is_held_and_does_not_come_back() {
    let broker = Broker::start();
    broker.patch("ana", add("ana-laptop")).await.is(200);
    // given a transfer to the owner of HR's machine, which waits for somebody else
    let path = format!("{ENTERPRISE}:manager");
    let transfer = json!([{ "op": "replace", "path": path, "value": "vera" }]);
    broker.patch("ana", transfer).await.is_error(409, None, "HELD: ");
    // when the login is removed, then it is; and what is added waits
    broker.patch("ana", remove("ana-laptop")).await.is(200);
    assert_eq!(logins(&broker, "ana").await, [login("ana")]);
    let held = broker.patch("ana", add("ana-phone")).await;
    let held = held.is_error(409, None, "HELD: ").to_owned();
    // the same again makes no more of it, also as a document that names all
    assert_eq!(broker.patch("ana", add("ana-phone")).await.is_error(409, None, "HELD: "), held);
    let all =
        json!([{ "op": "replace", "path": format!("{OWN}:logins"), "value": [login("ana"), login("ana-phone")] }]);
    assert_eq!(broker.patch("ana", all).await.is_error(409, None, "HELD: "), held);
    // when what waits is let go in order, then the stolen one is still gone
    let holds = |broker: &Broker| -> Vec<Hold> {
        let mut holds: Vec<Hold> = broker.running().engine().read(|state| state.holds().values().cloned().collect());
        holds.sort_by_key(|hold| hold.after);
        holds
    };
    assert_eq!(holds(&broker).len(), 2);
    let mut noa = HrServiceClient::new(broker.person("noa").await.channel);
    for hold in holds(&broker) {
        let release = pb::ReleaseBrakeRequest {
            request_id: call_id(),
            hold_id: hold.id.to_string(),
            digest: hold.digest().bytes().to_vec(),
            discard: false,
            reason: "HR says that it is so".to_owned(),
            validate_only: false,
        };
        noa.release_brake(release).await.unwrap();
    }
    assert_eq!(logins(&broker, "ana").await, [login("ana"), login("ana-phone")]);
}

#[tokio::test]
async fn of_a_document_what_it_leaves_out_goes_at_once_and_what_waits_is_overtaken() {
    let broker = Broker::start();
    let path = format!("{ENTERPRISE}:manager");
    let transfer = json!([{ "op": "replace", "path": path, "value": "vera" }]);
    broker.patch("ana", transfer).await.is_error(409, None, "HELD: ");
    let document = |names: &[&str]| {
        let logins: Vec<String> = names.iter().map(|name| login(name)).collect();
        let schemas = [crate::harness::CORE, OWN];
        json!({ "schemas": schemas, "userName": "ana", OWN: { "logins": logins } })
    };
    let put = async |names: &[&str]| broker.hr(Method::PUT, &format!("{USERS}/ana"), Some(document(names))).await;
    // when a document names another login, then what it leaves out is gone, and what it gives waits
    put(&["ana-phone"]).await.is_error(409, None, "HELD: ");
    assert!(logins(&broker, "ana").await.is_empty());
    // when another one says that there is none, then nothing of it waits any more
    put(&[]).await.is(200);
    let waits =
        broker.running().engine().read(|state| state.holds().values().map(|hold| hold.events.len()).sum::<usize>());
    assert_eq!(waits, 1, "the transfer alone");
}
