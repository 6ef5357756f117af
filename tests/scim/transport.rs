//! The listener itself: the same certificates as the first, HTTP/1.1 and HTTP/2, off unless it is asked for, and a drain
//! that ends both.

use std::collections::BTreeMap;
use std::path::Path;

use countersign::server::assembly::start;
use countersign::server::config::{ServeOverrides, parse};
use countersign::server::metrics::Call;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tonic::codegen::http::Method;

use crate::common::certificates::{Authority, Wanted, client};
use crate::harness::{Broker, Http, USERS, request, settings};
use crate::organisation::identity;

#[tokio::test]
async fn both_protocols_say_the_same() {
    let broker = Broker::start();
    let leaf = broker.organisation.leaf("hr-sync");
    for path in ["/scim/v2/Users/ana", "/scim/v2/Users?count=3", "/scim/v2/ServiceProviderConfig", "/scim/v2/Schemas"] {
        let get = async |http| broker.send(Some(&leaf), http, request(Method::GET, path, None)).await.unwrap().is(200);
        assert_eq!(get(Http::One).await, get(Http::Two).await, "{path}");
    }
    // and so does an id that a client escapes
    let plain = broker.get("/scim/v2/Users/ana").await.is(200);
    assert_eq!(broker.get("/scim/v2/Users/%61na").await.is(200), plain);
    // and are counted alike, under one label, whatever paths clients make up
    broker.get("/scim/v2/made-up").await.is_error(404, None, "nothing is here");
    let counted = |code: &str| {
        let call = Call { method: "scim".to_owned(), code: code.to_owned() };
        broker.running().metrics().calls.get_or_create(&call).get()
    };
    assert_eq!((counted("Ok"), counted("NotFound")), (10, 1));
}

#[tokio::test]
async fn what_is_spoken_here_can_be_read() {
    let broker = Broker::start();
    let config = broker.get("/scim/v2/ServiceProviderConfig").await.is(200);
    assert_eq!((&config["patch"]["supported"], &config["bulk"]["supported"]), (&json!(true), &json!(false)));
    let types = broker.get("/scim/v2/ResourceTypes").await.is(200);
    assert_eq!((&types["totalResults"], &types["Resources"][0]["endpoint"]), (&json!(1), &json!("/Users")));
    assert_eq!(broker.get("/scim/v2/ResourceTypes/User").await.is(200), types["Resources"][0]);
    // every schema that a resource names is described, each under its own address
    let schemas = broker.get("/scim/v2/Schemas").await.is(200);
    let described: Vec<&Value> = schemas["Resources"].as_array().unwrap().iter().map(|schema| &schema["id"]).collect();
    let user = broker.get("/scim/v2/Users/ana").await.is(200);
    assert_eq!(user["schemas"].as_array().unwrap().iter().collect::<Vec<_>>(), described);
    for schema in schemas["Resources"].as_array().unwrap() {
        let location = schema["meta"]["location"].as_str().unwrap();
        assert_eq!(&broker.get(location).await.is(200), schema);
    }
}

#[tokio::test]
async fn nobody_gets_in_without_a_certificate_that_the_broker_trusts() {
    let broker = Broker::start();
    let hr = identity("hr-sync");
    let stranger = Authority::new("stranger").issue(&client(&hr));
    let foreign = broker.organisation.acme.issue(&client(&hr));
    let over = broker.organisation.northwind.issue(&Wanted { to_seconds: -60, ..client(&hr) });
    let named = broker.organisation.northwind.issue(&Wanted { common_name: Some(hr.clone()), ..Wanted::default() });
    for leaf in [None, Some(&stranger), Some(&foreign), Some(&over), Some(&named)] {
        for http in [Http::One, Http::Two] {
            let outcome = broker.send(leaf, http, request(Method::GET, USERS, None)).await;
            assert!(outcome.is_err(), "{outcome:?}");
        }
    }
    broker.get(USERS).await.is(200);
}

#[tokio::test]
async fn a_protocol_that_was_not_agreed_upon_is_not_spoken() {
    let broker = Broker::start();
    let leaf = broker.organisation.leaf("hr-sync");
    // HTTP/2 where HTTP/1.1 was agreed upon, and the other way round: no answer of SCIM to either
    for (alpn, preface) in
        [("http/1.1", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), ("h2", "GET /scim/v2/Users HTTP/1.1\r\n\r\n")]
    {
        let mut stream = broker.raw(Some(&leaf), &[alpn]).await.unwrap();
        stream.write_all(preface.as_bytes()).await.unwrap();
        let mut said = Vec::new();
        let _ = stream.read_to_end(&mut said).await;
        assert!(!String::from_utf8_lossy(&said).contains("200 OK"), "{alpn}");
    }
    // a client that names no protocol is answered in HTTP/1.1; one that names others is not let in
    let mut stream = broker.raw(Some(&leaf), &[]).await.unwrap();
    let ask = "GET /scim/v2/Users/ana HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";
    stream.write_all(ask.as_bytes()).await.unwrap();
    let mut said = String::new();
    let _ = stream.read_to_string(&mut said).await;
    assert!(said.starts_with("HTTP/1.1 200 OK\r\n") && said.contains("\"id\":\"ana\""), "{said}");
    assert!(broker.raw(Some(&leaf), &["http/1.0", "spdy/3"]).await.is_err());
}

#[tokio::test]
async fn heads_are_bounded_in_both_protocols() {
    let broker = Broker::start();
    let leaf = broker.organisation.leaf("hr-sync");
    let mut many = request(Method::GET, USERS, None);
    for number in 0..40 {
        let name: tonic::codegen::http::HeaderName = format!("x-{number}").parse().unwrap();
        many.headers_mut().insert(name, "y".parse().unwrap());
    }
    let reply = broker.send(Some(&leaf), Http::Two, many.clone()).await.unwrap();
    reply.is_error(429, None, "OVERLOADED: over 32 header fields");
    assert!(reply.headers.contains_key("retry-after"));
    let mut long = request(Method::GET, USERS, None);
    long.headers_mut().insert("x-long", "y".repeat(64 * 1024).parse().unwrap());
    for (http, request) in [(Http::One, many), (Http::One, long.clone()), (Http::Two, long)] {
        if let Ok(reply) = broker.send(Some(&leaf), http, request).await {
            assert_eq!(reply.status, 431, "{reply:?}");
        }
    }
    broker.get(USERS).await.is(200);
}

#[tokio::test]
async fn a_body_that_never_comes_is_given_up() {
    let broker = Broker::start();
    let leaf = broker.organisation.leaf("hr-sync");
    // given a client that announces a body and sends a part of it
    let mut stream = broker.raw(Some(&leaf), &["http/1.1"]).await.unwrap();
    let head = "POST /scim/v2/Users HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/scim+json\r\ncontent-length: 900\r\n\r\n{";
    stream.write_all(head.as_bytes()).await.unwrap();
    // then it is answered though it sends no more, and its connection ends
    let mut said = String::new();
    let _ = stream.read_to_string(&mut said).await;
    assert!(said.starts_with("HTTP/1.1 408 ") && said.contains("nothing was done"), "{said}");
    broker.get(USERS).await.is(200);
}

#[tokio::test]
async fn a_drain_ends_both_listeners_and_a_busy_port_is_an_error() {
    let mut broker = Broker::start();
    let (grpc, scim) = (broker.running().address(), broker.scim);
    // given another broker that wants the same port for SCIM: it does not start
    let other = crate::organisation::Organisation::with(&crate::harness::files());
    other.configure(&format!("[https]\nlisten = \"{scim}\""));
    let journal = countersign::engine::Store::File(other.journal());
    let files = crate::harness::files();
    let files = countersign::domain::decide::Files { policy: &files.policy, directory: &files.directory };
    countersign::engine::initialise(&journal, files, std::sync::Arc::new(countersign::clock::SystemClock)).unwrap();
    let error = start(settings(&other)).err().unwrap().to_string();
    assert!(error.contains(&format!("`{scim}` is in use")), "{error}");
    // when the first one stops, with a connection open
    let leaf = broker.organisation.leaf("hr-sync");
    let idle = broker.raw(Some(&leaf), &["http/1.1"]).await.unwrap();
    broker.running.take().unwrap().stop().await.unwrap();
    drop(idle);
    // then neither listens
    for address in [grpc, scim] {
        assert!(tokio::net::TcpStream::connect(address).await.is_err(), "{address}");
    }
}

#[tokio::test]
async fn it_is_off_unless_it_is_asked_for() {
    let broker = Broker::start();
    broker.organisation.configure("");
    assert_eq!(settings(&broker.organisation).https_listen, None);
    let text = std::fs::read_to_string(broker.organisation.path("broker.toml")).unwrap();
    let read = |value: &str| {
        let environment = BTreeMap::from([("COUNTERSIGN_HTTPS_LISTEN".to_owned(), value.to_owned())]);
        parse(&text, Path::new("/"), &environment, &ServeOverrides::default())
    };
    assert_eq!(read("127.0.0.1:7444").unwrap().https_listen, Some("127.0.0.1:7444".parse().unwrap()));
    assert!(read("here").unwrap_err().to_string().contains("`COUNTERSIGN_HTTPS_LISTEN`: `here` is not an address"));
}

#[tokio::test]
async fn a_request_that_two_readers_would_cut_apart_differently_is_not_served() {
    let broker = Broker::start();
    let leaf = broker.organisation.leaf("hr-sync");
    let before = broker.running().engine().sequence();
    let body = "{\"schemas\":[\"urn:ietf:params:scim:schemas:core:2.0:User\"],\"userName\":\"zoe\"}";
    let head = "content-type: application/scim+json\r\nconnection: close\r\n";
    let length = body.len();
    let chunked = format!("{length:x}\r\n{body}\r\n0\r\n\r\n");
    for request in [
        // two lengths, a length beside pieces, pieces under another name, a line folded, a space before the colon
        format!(
            "POST /scim/v2/Users HTTP/1.1\r\nhost: a\r\n{head}content-length: 5\r\ncontent-length: {length}\r\n\r\n{body}"
        ),
        format!("POST /scim/v2/Users HTTP/1.1\r\nhost: a\r\n{head}transfer-encoding: xchunked\r\n\r\n{chunked}"),
        format!("POST /scim/v2/Users HTTP/1.1\r\nhost: a\r\n{head}transfer-encoding : chunked\r\n\r\n{chunked}"),
        format!("POST /scim/v2/Users HTTP/1.1\r\nhost: a\r\n{head}content-length: +{length}\r\n\r\n{body}"),
        format!(
            "POST /scim/v2/Users HTTP/1.1\r\nhost: a\r\nx: 1\r\n y\r\n{head}content-length: {length}\r\n\r\n{body}"
        ),
        format!("POST /scim/v2/Users HTTP/1.0\r\n{head}transfer-encoding: chunked\r\n\r\n{chunked}"),
        format!("POST /scim/v2/Users HTTP/1.1\r\nhost: a\r\n{head}content-length: 900\r\n\r\n{body}"),
    ] {
        let mut stream = broker.raw(Some(&leaf), &["http/1.1"]).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let _ = stream.shutdown().await;
        let mut said = Vec::new();
        let _ = stream.read_to_end(&mut said).await;
        let said = String::from_utf8_lossy(&said).into_owned();
        assert!(
            said.is_empty() || said.starts_with("HTTP/1.1 4") || said.starts_with("HTTP/1.0 4"),
            "{request}\n{said}"
        );
    }
    assert_eq!(broker.running().engine().sequence(), before);
}
