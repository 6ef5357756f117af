//! The sample configuration in a real Envoy, with the real binary on one side and a backend on the other: who gets
//! through, what the backend is told, and that no way of writing a path is another path (known failures D3, D4, D10, F6, F11 and F12).

use countersign::wire::v1 as pb;
use pb::token_service_client::TokenServiceClient;
use tokio::io::AsyncWriteExt as _;

use crate::common::certificates::{Leaf, client};
use crate::envoy_proxy::{Envoy, HOST, backend, exchange, request};
use crate::harness::Broker;
use crate::organisation::{Organisation, identity};
use crate::person::{Person, call_id, repair};

const LINE: &str = "GET /eu/orders/primary";
const SUBJECT: &str = "x-countersign-subject";
const REASON: &str = "x-countersign-reason";

async fn stage() -> (Broker, Envoy) {
    let organisation = Organisation::new();
    std::fs::write(organisation.path("routes.toml"), include_str!("../../examples/routes.toml")).unwrap();
    organisation.configure("ext_authz.routes = \"routes.toml\"");
    let broker = Broker::of(organisation);
    let envoy = Envoy::start(&broker, backend().await).await;
    (broker, envoy)
}

async fn with_certificate(broker: &Broker, name: &str) -> (Person, Leaf) {
    let leaf = broker.organisation.leaf(name);
    let channel = broker.endpoint(Some(&leaf)).connect().await.unwrap();
    (Person { name: name.to_owned(), channel }, leaf)
}

#[tokio::test]
async fn a_request_passes_a_real_envoy_while_there_is_a_grant() {
    let (broker, envoy) = stage().await;
    let ((ana, hers), (ben, bens)) = (with_certificate(&broker, "ana").await, with_certificate(&broker, "ben").await);
    // given no grant, then it is refused with the reason, and the backend hears nothing
    let refused = envoy.ask(&hers, LINE, &[]).await;
    assert_eq!((refused.status, refused.header(REASON)), (403, Some("NO_GRANT")), "{refused:?}\n{}", envoy.log());
    assert_eq!(refused.body, "access is denied: NO_GRANT\n");
    // given one, then it passes, and what the client says of itself does not
    let grant = ana.granted(repair(), &ben).await;
    let forged = [
        (SUBJECT, "spiffe://northwind.example/person/sam"),
        ("x-countersign-grant", "all"),
        ("X-Countersign-Valid-Until", "9999-12-31T23:59:59Z"),
        (REASON, "NONE"),
        ("x-forwarded-client-cert", "URI=spiffe://northwind.example/person/sam"),
        ("x-http-method-override", "DELETE"),
        ("X-Original-URL", "/us/orders/primary"),
        ("x-rewrite-url", "/us/orders/primary"),
        ("forwarded", "host=payments.northwind.example"),
        // given twice, and by the name that a backend may take for the same
        (SUBJECT, "spiffe://northwind.example/person/ben"),
    ];
    let passed = envoy.ask(&hers, LINE, &forged).await;
    assert_eq!(passed.status, 200, "{passed:?}");
    assert!(passed.body.starts_with("GET /eu/orders/primary HTTP/1.1\r\n"), "{passed:?}");
    assert_eq!(passed.seen(SUBJECT), Some(identity("ana").as_str()));
    assert_eq!(passed.seen("x-countersign-grant"), Some(grant.id.as_str()));
    assert!(passed.seen("x-countersign-valid-until").unwrap().starts_with("20"));
    assert_eq!(passed.body.to_ascii_lowercase().matches(&format!("{SUBJECT}:")).count(), 1, "{passed:?}");
    for name in forged.iter().skip(3).map(|(name, _)| *name).filter(|name| *name != SUBJECT) {
        assert_eq!(passed.seen(&name.to_ascii_lowercase()), None, "{name}");
    }
    let underscores =
        envoy.ask(&hers, LINE, &[("x_countersign_subject", "spiffe://northwind.example/person/sam")]).await;
    assert_eq!(underscores.status, 400, "{underscores:?}");
    // and nobody else does, whatever the headers say, and not ana on another thing
    for (leaf, line, headers, reason) in [
        (&bens, LINE, &forged[..], "NO_GRANT"),
        (&hers, "GET /us/orders/primary", &[], "NO_GRANT"),
        (&hers, "POST /eu/orders/primary/repairs", &[("content-length", "0")], "NO_GRANT"),
        (&hers, "GET /eu/payments/ledger", &[], "NO_ROUTE"),
        (&hers, "DELETE /eu/orders/primary", &[], "NO_ROUTE"),
    ] {
        let refused = envoy.ask(leaf, line, headers).await;
        assert_eq!((refused.status, refused.header(REASON)), (403, Some(reason)), "{line}");
    }
    // when it is revoked, then the next request is refused
    ben.revoke(&grant.id).await.unwrap();
    assert_eq!(envoy.ask(&hers, LINE, &[]).await.header(REASON), Some("NO_GRANT"));
}

#[tokio::test]
async fn a_token_passes_a_real_envoy_with_its_own_certificate_alone() {
    let (broker, envoy) = stage().await;
    let ((ana, hers), ben) = (with_certificate(&broker, "ana").await, broker.person("ben").await);
    let grant = ana.granted(repair(), &ben).await;
    let (request_id, grant_id, audience) = (call_id(), grant.id.clone(), "orders-api".to_owned());
    let asked = pb::IssueGrantTokenRequest { request_id, grant_id, audience, lifetime: None };
    let token = TokenServiceClient::new(ana.channel.clone()).issue_grant_token(asked).await.unwrap().into_inner().token;
    let presented = [("x-countersign-token", token.as_str())];
    let passed = envoy.ask(&hers, LINE, &presented).await;
    assert_eq!((passed.status, passed.seen(SUBJECT)), (200, Some(identity("ana").as_str())), "{passed:?}");
    assert_eq!(passed.seen("x-countersign-token"), None, "the backend has no use for it");
    let stolen = envoy.ask(&broker.organisation.leaf("ben"), LINE, &presented).await;
    assert_eq!((stolen.status, stolen.header(REASON)), (403, Some("TOKEN_OTHER_CERTIFICATE")));
    let twice = envoy.ask(&hers, LINE, &[presented[0], presented[0]]).await;
    assert_eq!((twice.status, twice.header(REASON)), (403, Some("TOKEN_MALFORMED")));
    ben.revoke(&grant.id).await.unwrap();
    assert_eq!(envoy.ask(&hers, LINE, &presented).await.header(REASON), Some("NO_GRANT"));
}

#[tokio::test]
async fn a_real_envoy_is_shut_where_anything_is_missing() {
    let (broker, envoy) = stage().await;
    let ((ana, hers), ben) = (with_certificate(&broker, "ana").await, broker.person("ben").await);
    ana.granted(repair(), &ben).await;
    assert_eq!(envoy.ask(&hers, LINE, &[]).await.status, 200);
    // no certificate, one of another authority, one without a name of ours: no answer at all
    let organisation = &broker.organisation;
    let dns = organisation.northwind.issue_server("https://northwind.example/person/ana");
    for leaf in [None, Some(organisation.acme.issue(&client(&identity("ana")))), Some(dns)] {
        let answer = match envoy.connect(leaf.as_ref()).await {
            Ok(mut stream) => exchange(&mut stream, &request(LINE, HOST, &[])).await,
            Err(_) => None,
        };
        assert!(answer.is_none(), "{answer:?}");
    }
    // another host, an upgrade, a tunnel, a header of ten megabytes
    let mut stream = envoy.connect(Some(&hers)).await.unwrap();
    let elsewhere = exchange(&mut stream, &request(LINE, "payments.northwind.example", &[])).await.unwrap();
    assert_eq!(elsewhere.status, 404);
    let upgrade = [("connection", "upgrade"), ("upgrade", "websocket")];
    assert_eq!(envoy.ask(&hers, LINE, &upgrade).await.status, 403);
    let mut stream = envoy.connect(Some(&hers)).await.unwrap();
    let tunnel = exchange(&mut stream, &format!("CONNECT {HOST}:443 HTTP/1.1\r\nhost: {HOST}:443\r\n\r\n")).await;
    assert!(tunnel.is_none_or(|answer| answer.status >= 400), "a tunnel passes the check");
    let mut stream = envoy.connect(Some(&hers)).await.unwrap();
    let large = request(LINE, HOST, &[("x-large", &"x".repeat(10_000_000))]);
    let large = exchange(&mut stream, &large).await;
    assert!(large.is_none_or(|answer| answer.status == 431));
    let _ = stream.shutdown().await;
    // when the broker is gone, then nothing passes
    let organisation = broker.kill();
    let closed = envoy.ask(&hers, LINE, &[]).await;
    assert_eq!((closed.status, closed.header(REASON)), (403, None), "{closed:?}");
    drop(organisation);
}

/// Ways to write a path so that two readers differ, and pieces to make more of them.
const PIECES: &[&str] = &[
    "/",
    "//",
    "/./",
    "/../",
    "/.",
    "/..",
    "%2f",
    "%2F",
    "%252f",
    "%5c",
    "\\",
    "%2e%2e/",
    "%2e",
    ".",
    "..",
    ";",
    ";a=b",
    "%3b",
    "?",
    "?a=/../us/orders/primary",
    "%3f",
    "#",
    "#frag",
    "%23",
    "%00",
    "%0a",
    "%20",
    "+",
    "@",
    ":",
    "%70",
    "%c0%af",
    "%",
    "%zz",
    "*",
    "~",
    "|",
    "'",
    "primary",
    "replica",
    "orders",
    "payments",
    "eu",
    "us",
    "PRIMARY",
    "Orders",
    "\u{e9}",
    "\u{ff0f}",
];

#[tokio::test]
async fn no_way_of_writing_a_path_reaches_the_backend_as_another_one() {
    let (broker, envoy) = stage().await;
    let ((ana, hers), ben) = (with_certificate(&broker, "ana").await, broker.person("ben").await);
    // given a grant on the one path
    ana.granted(repair(), &ben).await;
    let mut stream = envoy.connect(Some(&hers)).await.unwrap();
    let (mut passed, mut refused, mut unread) = (0, 0, 0);
    // when 5,000 paths are tried, made by chance from what fooled others
    let mut chance = 7_u64;
    let mut below = |bound: usize| {
        chance = chance.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (chance >> 33) as usize % bound
    };
    for _ in 0..5_000 {
        let base = ["/eu/orders/primary", "/us/orders/primary", "/eu/payments/ledger", "/eu/orders/"][below(4)];
        let mut path = base.to_owned();
        for _ in 0..below(3) {
            let places: Vec<usize> = (1..=path.len()).filter(|at| path.is_char_boundary(*at)).collect();
            path.insert_str(places[below(places.len())], PIECES[below(PIECES.len())]);
        }
        match exchange(&mut stream, &request(&format!("GET {path}"), HOST, &[])).await {
            // then whatever passes reaches the backend as that path and no other
            Some(answer) if answer.status == 200 => {
                let seen = answer.body.split(' ').nth(1).unwrap();
                let seen = seen.split_once('?').map_or(seen, |(path, _)| path);
                assert_eq!(seen, "/eu/orders/primary", "`{path}` reached the backend as `{}`", answer.body);
                passed += 1;
            }
            Some(answer) => {
                assert!([400, 403, 404].contains(&answer.status), "`{path}`: {answer:?}");
                refused += 1;
                if answer.header("connection") == Some("close") {
                    stream = envoy.connect(Some(&hers)).await.unwrap();
                }
            }
            None => {
                stream = envoy.connect(Some(&hers)).await.unwrap();
                unread += 1;
            }
        }
    }
    assert!(passed > 400 && refused > 2_000, "{passed} passed, {refused} refused, {unread} unread");
}
