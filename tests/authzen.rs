//! AuthZEN Authorization API 1.0 over real mTLS on a real listener, on the real store: what gateways ask, and what has no
//! effect or is refused.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests may panic")]
#![allow(clippy::as_conversions, clippy::arithmetic_side_effects, unreachable_pub, dead_code, reason = "tests")]

mod common;
#[path = "scim/harness.rs"]
mod harness;
#[path = "end_to_end/organisation.rs"]
mod organisation;
#[path = "end_to_end/person.rs"]
mod person;

use harness::{Broker, Http, Reply};
use person::{ORDERS, repair};
use serde_json::{Value, json};
use tonic::codegen::Bytes;
use tonic::codegen::http::{Method, Request};

const EVALUATION: &str = "/access/v1/evaluation";
const EVALUATIONS: &str = "/access/v1/evaluations";

fn evaluation(subject: &str, action: &str, resource: &str) -> Value {
    json!({
        "subject": { "type": "account", "id": subject },
        "action": { "name": action },
        "resource": { "type": "resource", "id": resource },
    })
}

fn post(path: &str, body: impl Into<Bytes>) -> Request<Bytes> {
    let builder = Request::builder().method(Method::POST).uri(path);
    builder.header("content-type", "application/json").header("x-request-id", "call-17").body(body.into()).unwrap()
}

async fn ask(broker: &Broker, name: &str, path: &str, body: &Value) -> Reply {
    let leaf = broker.organisation.leaf(name);
    broker.send(Some(&leaf), Http::One, post(path, body.to_string())).await.unwrap()
}

fn reason(decided: &Value) -> (bool, &str) {
    (decided["decision"].as_bool().unwrap(), decided["context"]["reason"].as_str().unwrap())
}

/// A broker on which ana may read the orders, and the id of her grant.
async fn granted() -> (Broker, String) {
    let broker = Broker::start();
    let (ana, ben) = (broker.person("ana").await, broker.person("ben").await);
    let grant = ana.granted(repair(), &ben).await;
    (broker, grant.id)
}

#[tokio::test]
async fn an_evaluation_is_the_check_of_the_same_question() {
    let (broker, grant) = granted().await;
    // given a live grant: its holder is allowed, by either name, with the grant and its end
    for (kind, id) in [("account", "ana"), ("spiffe", "spiffe://northwind.example/person/ana")] {
        let mut asked = evaluation("", "db.read", ORDERS);
        asked["subject"] = json!({ "type": kind, "id": id });
        let reply = ask(&broker, "orders-api", EVALUATION, &asked).await;
        assert_eq!(reply.headers["x-request-id"], "call-17");
        let decided = reply.is(200);
        assert_eq!(reason(&decided), (true, "GRANTED"), "{decided}");
        assert_eq!(decided["context"]["grant_id"], json!(grant));
        assert!(decided["context"]["valid_until"].is_string() && decided["context"]["sequence"].is_string());
    }
    // then every other question has the answer that a check has
    let orders = broker.person("orders-api").await;
    for (subject, action, resource) in [
        ("ana", "db.read", ORDERS),
        ("ana", "db.schema", ORDERS),
        ("ben", "db.read", ORDERS),
        ("nobody", "db.read", ORDERS),
        ("ana", "db.read", "prod/eu/db/payments/ledger"),
        ("ana", "metadata.read", "status/orders"),
    ] {
        let decided = ask(&broker, "orders-api", EVALUATION, &evaluation(subject, action, resource)).await.is(200);
        let (verdict, why) = orders.verdict(subject, action, resource).await;
        let why = why.as_str_name().trim_start_matches("CHECK_REASON_").to_owned();
        let allowed = verdict == countersign::wire::v1::Verdict::Allow;
        assert_eq!(reason(&decided), (allowed, why.as_str()), "{subject} {action} {resource}");
    }
    // and over HTTP/2 the same
    let leaf = broker.organisation.leaf("orders-api");
    let asked = post(EVALUATION, evaluation("ana", "db.read", ORDERS).to_string());
    assert!(broker.send(Some(&leaf), Http::Two, asked).await.unwrap().is(200)["decision"].as_bool().unwrap());
}

#[tokio::test]
async fn nothing_else_that_a_request_carries_has_an_effect() {
    let (broker, _) = granted().await;
    // given everything by which a client might try to help itself
    let mut asked = evaluation("ben", "db.read", ORDERS);
    asked["subject"]["properties"] = json!({ "roles": ["db-engineer"], "account": "ana", "id": "ana" });
    asked["action"]["properties"] = json!({ "granted": true });
    asked["resource"]["properties"] = json!({ "owner": "ben" });
    asked["context"] = json!({ "time": "2020-01-01T00:00:00Z", "decision": true });
    asked["decision"] = json!(true);
    let decided = ask(&broker, "orders-api", EVALUATION, &asked).await.is(200);
    assert_eq!(reason(&decided), (false, "NO_GRANT"));
    // and one who is no enforcement point learns nothing of others
    let decided = ask(&broker, "ben", EVALUATION, &evaluation("ana", "db.read", ORDERS)).await.is(200);
    assert_eq!(reason(&decided), (false, "OUT_OF_AUDIENCE"));
    let refused = ask(&broker, "pia", EVALUATION, &evaluation("ana", "db.read", ORDERS)).await;
    assert_eq!((refused.status, refused.body["reason"].as_str()), (403, Some("NO_ACCOUNT")));
}

#[tokio::test]
async fn several_are_answered_in_their_places() {
    let (broker, _) = granted().await;
    let mut asked = evaluation("ana", "db.read", ORDERS);
    asked["evaluations"] = json!([
        {},
        { "subject": { "type": "account", "id": "ben" } },
        { "resource": { "type": "resource", "id": "prod//db" } },
        { "action": { "name": "db.schema" } },
        { "subject": { "type": "spiffe", "id": "spiffe://northwind.example/person/ana" } },
        7,
    ]);
    let expected = [
        (true, "GRANTED"),
        (false, "NO_GRANT"),
        (false, "INVALID_MESSAGE"),
        (false, "NO_GRANT"),
        (true, "GRANTED"),
        (false, "INVALID_MESSAGE"),
    ];
    let told = |decided: &Value| {
        let all = decided["evaluations"].as_array().unwrap().clone();
        all.iter().map(|one| (reason(one).0, reason(one).1.to_owned())).collect::<Vec<_>>()
    };
    let wanted =
        |count: usize| expected[..count].iter().map(|(yes, why)| (*yes, (*why).to_owned())).collect::<Vec<_>>();
    for (semantic, count) in [("execute_all", 6), ("deny_on_first_deny", 2), ("permit_on_first_permit", 1)] {
        asked["options"] = json!({ "evaluations_semantic": semantic });
        let decided = ask(&broker, "orders-api", EVALUATIONS, &asked).await.is(200);
        assert_eq!(told(&decided), wanted(count), "{semantic}");
    }
    // and without any of its own it is one evaluation
    for none in [json!([]), Value::Null] {
        let mut single = evaluation("ana", "db.read", ORDERS);
        if !none.is_null() {
            single["evaluations"] = none;
        }
        assert_eq!(reason(&ask(&broker, "orders-api", EVALUATIONS, &single).await.is(200)), (true, "GRANTED"));
    }
}

#[tokio::test]
async fn what_is_malformed_is_no_decision_and_never_an_allow() {
    let (broker, _) = granted().await;
    let mut good = evaluation("ana", "db.read", ORDERS);
    good["subject"]["properties"] = json!({});
    let mut bodies = Vec::new();
    for (path, value) in [
        ("/subject", Value::Null),
        ("/subject/id", json!(7)),
        ("/subject/id", json!("")),
        ("/subject/id", json!("ana\u{0}")),
        ("/subject/type", json!("user")),
        ("/subject/properties", json!("x")),
        ("/action/name", json!(["db.read"])),
        ("/action/name", json!("DB.READ")),
        ("/resource/id", json!("prod/../db")),
        ("/resource/id", json!("prod/eu/db/orders/**")),
        ("/resource/type", json!("database")),
        ("/resource", json!("prod/eu/db/orders/primary")),
    ] {
        let mut body = good.clone();
        *body.pointer_mut(path).unwrap_or_else(|| panic!("{path}")) = value;
        bodies.push(body.to_string());
    }
    let mut context = good.clone();
    context["context"] = json!("now");
    bodies.push(context.to_string());
    for text in
        ["", "[]", "null", "{", "{} {}", "\u{feff}{}", r#"{"subject":{"type":"account","id":"ana","id":"ben"}}"#]
    {
        bodies.push(text.to_owned());
    }
    let leaf = broker.organisation.leaf("orders-api");
    for body in bodies {
        for path in [EVALUATION, EVALUATIONS] {
            let reply = broker.send(Some(&leaf), Http::One, post(path, body.clone())).await.unwrap();
            assert_eq!((reply.status, reply.body["reason"].as_str()), (400, Some("INVALID_MESSAGE")), "{path} {body}");
            assert!(reply.body.get("decision").is_none());
        }
    }
    for options in [json!("x"), json!({ "evaluations_semantic": "any" }), json!({ "evaluations_semantic": 1 })] {
        let mut asked = good.clone();
        asked["options"] = options;
        assert_eq!(ask(&broker, "orders-api", EVALUATIONS, &asked).await.status, 400);
    }
    let mut many = good.clone();
    many["evaluations"] = Value::Array(vec![json!({}); 129]);
    assert_eq!(ask(&broker, "orders-api", EVALUATIONS, &many).await.status, 400);
    let large = format!("{{\"a\":\"{}\"}}", "x".repeat(100_000));
    let reply = broker.send(Some(&leaf), Http::One, post(EVALUATION, large)).await.unwrap();
    assert_eq!(reply.status, 413);
}

#[tokio::test]
async fn gateways_find_it_by_its_configuration() {
    let broker = Broker::start();
    let leaf = broker.organisation.leaf("orders-api");
    let request = Request::builder().uri("/.well-known/authzen-configuration").body(Bytes::new()).unwrap();
    let found = broker.send(Some(&leaf), Http::One, request).await.unwrap().is(200);
    let at = found["policy_decision_point"].as_str().unwrap();
    assert!(at.starts_with("https://localhost"), "{found}");
    assert_eq!(found["access_evaluation_endpoint"], format!("{at}{EVALUATION}"));
    assert_eq!(found["access_evaluations_endpoint"], format!("{at}{EVALUATIONS}"));
}
