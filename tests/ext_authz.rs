//! Envoy's external authorization over real mTLS on a real listener, on the real store, by a client that says what an
//! Envoy says, and much that none should.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests may panic")]
#![allow(clippy::as_conversions, clippy::arithmetic_side_effects, unreachable_pub, dead_code, reason = "tests")]

mod common;
#[path = "end_to_end/organisation.rs"]
mod organisation;
#[path = "end_to_end/person.rs"]
mod person;

use std::collections::BTreeMap;
use std::sync::Arc;

use common::certificates::Leaf;
use countersign::clock::SystemClock;
use countersign::domain::decide::Files as JournalFiles;
use countersign::engine::{self, Store};
use countersign::server::assembly::{Running, start};
use countersign::server::config::{ServeOverrides, parse};
use countersign::wire::v1 as pb;
use envoy_types::pb::envoy::service::auth::v3::attribute_context::{HttpRequest, Peer, Request};
use envoy_types::pb::envoy::service::auth::v3::authorization_client::AuthorizationClient;
use envoy_types::pb::envoy::service::auth::v3::check_response::HttpResponse;
use envoy_types::pb::envoy::service::auth::v3::{AttributeContext, CheckRequest, CheckResponse};
use organisation::{Files, Organisation};
use pb::token_service_client::TokenServiceClient;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use person::{Person, repair};
use tonic::transport::{Certificate, ClientTlsConfig, Endpoint, Identity};
use tonic::{Code, Status};

const ROUTES: &str = r#"
[[routes]]
host = "orders.northwind.example"
methods = ["GET"]
path = "/{region}/orders/{name}"
action = "db.read"
resource = "prod/{region}/db/orders/{name}"

[[routes]]
host = "payments.northwind.example"
methods = ["GET"]
path = "/{name}"
action = "db.read"
resource = "prod/eu/db/payments/{name}"
"#;

struct Broker {
    organisation: Organisation,
    running: Running,
}

impl Broker {
    fn start() -> Self {
        let files = Files::example();
        let organisation = Organisation::with(&files);
        std::fs::write(organisation.path("routes.toml"), ROUTES).unwrap();
        organisation.configure("ext_authz.routes = \"routes.toml\"");
        let files = JournalFiles { policy: &files.policy, directory: &files.directory };
        engine::initialise(&Store::File(organisation.journal()), files, Arc::new(SystemClock)).unwrap();
        let text = std::fs::read_to_string(organisation.path("broker.toml")).unwrap();
        let settings = parse(&text, organisation.folder.path(), &BTreeMap::new(), &ServeOverrides::default()).unwrap();
        Self { running: start(settings).unwrap(), organisation }
    }

    async fn person(&self, name: &str) -> Person {
        self.person_with(name, &self.organisation.leaf(name)).await
    }

    async fn person_with(&self, name: &str, leaf: &Leaf) -> Person {
        let tls = ClientTlsConfig::new()
            .ca_certificate(Certificate::from_pem(self.organisation.northwind.pem()))
            .domain_name("localhost")
            .identity(Identity::from_pem(&leaf.chain_pem, &leaf.key_pem));
        let endpoint = Endpoint::from_shared(format!("https://{}", self.running.address())).unwrap();
        Person { name: name.to_owned(), channel: endpoint.tls_config(tls).unwrap().connect().await.unwrap() }
    }

    /// What an Envoy says of a request of this client.
    fn request(&self, client: &str, method: &str, host: &str, path: &str) -> CheckRequest {
        let leaf = self.organisation.leaf(client);
        let principal = organisation::identity(client);
        described(&leaf.chain_pem, &principal, method, host, path)
    }
}

fn described(pem: &str, principal: &str, method: &str, host: &str, path: &str) -> CheckRequest {
    let certificate = utf8_percent_encode(pem, NON_ALPHANUMERIC).to_string();
    let source = Peer { principal: principal.to_owned(), certificate, ..Peer::default() };
    let http = HttpRequest {
        method: method.to_owned(),
        host: host.to_owned(),
        path: path.to_owned(),
        scheme: "https".to_owned(),
        protocol: "HTTP/2".to_owned(),
        ..HttpRequest::default()
    };
    let request = Request { http: Some(http), ..Request::default() };
    let attributes = AttributeContext { source: Some(source), request: Some(request), ..AttributeContext::default() };
    CheckRequest { attributes: Some(attributes) }
}

const ORDERS_HOST: &str = "orders.northwind.example";
const ORDERS_PATH: &str = "/eu/orders/primary";

async fn ask(envoy: &Person, request: CheckRequest) -> Result<CheckResponse, Status> {
    Ok(AuthorizationClient::new(envoy.channel.clone()).check(request).await?.into_inner())
}

/// The reason of a refusal, after a look at its form; none if it may pass.
fn refusal(response: &CheckResponse) -> Option<String> {
    let code = response.status.as_ref().map(|status| Code::from_i32(status.code));
    match (response.http_response.as_ref().unwrap(), code) {
        (HttpResponse::OkResponse(_), Some(Code::Ok)) => None,
        (HttpResponse::DeniedResponse(denied), Some(Code::PermissionDenied)) => {
            assert_eq!(denied.status.as_ref().unwrap().code, 403);
            let header = denied.headers[0].header.as_ref().unwrap();
            assert_eq!(header.key, "x-countersign-reason");
            Some(header.value.clone())
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_request_passes_with_a_grant_of_its_client_and_not_without() {
    let broker = Broker::start();
    let (envoy, ana, ben) = (broker.person("orders-api").await, broker.person("ana").await, broker.person("ben").await);
    let request = || broker.request("ana", "GET", ORDERS_HOST, ORDERS_PATH);
    assert_eq!(refusal(&ask(&envoy, request()).await.unwrap()).as_deref(), Some("NO_GRANT"));
    // given a grant of ana's
    let grant = ana.granted(repair(), &ben).await;
    // then her request passes, and the backend is told of it in headers that she cannot have written
    let passed = ask(&envoy, request()).await.unwrap();
    assert_eq!(refusal(&passed), None);
    let Some(HttpResponse::OkResponse(ok)) = passed.http_response else { panic!("no way through") };
    let told: BTreeMap<&str, &str> = ok
        .headers
        .iter()
        .map(|option| {
            assert_eq!(option.append_action().as_str_name(), "OVERWRITE_IF_EXISTS_OR_ADD");
            let header = option.header.as_ref().unwrap();
            (header.key.as_str(), header.value.as_str())
        })
        .collect();
    assert_eq!(told["x-countersign-subject"], "spiffe://northwind.example/person/ana");
    assert_eq!(told["x-countersign-grant"], grant.id);
    assert!(told.contains_key("x-countersign-valid-until") && told.contains_key("x-countersign-sequence"));
    assert_eq!(ok.headers_to_remove, ["x-countersign-reason", "x-countersign-token"]);
    // and nobody else's, no other method, no other path, nothing outside Envoy's audience
    for (request, reason) in [
        (broker.request("ben", "GET", ORDERS_HOST, ORDERS_PATH), "NO_GRANT"),
        (broker.request("ana", "POST", ORDERS_HOST, ORDERS_PATH), "NO_ROUTE"),
        (broker.request("ana", "GET", ORDERS_HOST, "/us/orders/primary"), "NO_GRANT"),
        (broker.request("ana", "GET", ORDERS_HOST, "/eu/orders/primary/"), "PATH_NOT_CANONICAL"),
        (broker.request("ana", "GET", ORDERS_HOST, "/eu/orders/%70rimary"), "PATH_NOT_CANONICAL"),
        (broker.request("ana", "GET", "ORDERS.northwind.example", ORDERS_PATH), "HOST_NOT_CANONICAL"),
        (broker.request("ana", "get", ORDERS_HOST, ORDERS_PATH), "METHOD_NOT_CANONICAL"),
        (broker.request("ana", "CONNECT", ORDERS_HOST, ORDERS_PATH), "METHOD_NOT_CANONICAL"),
        (broker.request("ana", "GET", "payments.northwind.example", "/ledger"), "OUT_OF_AUDIENCE"),
    ] {
        assert_eq!(refusal(&ask(&envoy, request).await.unwrap()).as_deref(), Some(reason));
    }
    // when it is revoked, then it passes no more
    broker.person("sam").await.revoke(&grant.id).await.unwrap();
    assert_eq!(refusal(&ask(&envoy, request()).await.unwrap()).as_deref(), Some("NO_GRANT"));
}

#[tokio::test]
async fn the_subject_is_the_verified_certificate_and_never_a_word_of_the_client() {
    let broker = Broker::start();
    let (envoy, ana, ben) = (broker.person("orders-api").await, broker.person("ana").await, broker.person("ben").await);
    ana.granted(repair(), &ben).await;
    let northwind = &broker.organisation.northwind;
    let (own, anas) = (organisation::identity("ben"), organisation::identity("ana"));
    let bens = broker.organisation.leaf("ben").chain_pem;
    let issue = |uris: &[&str], dns: &[&str], to_seconds: i64| {
        let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        let wanted =
            common::certificates::Wanted { uris: names(uris), dns: names(dns), to_seconds, ..Default::default() };
        northwind.issue(&wanted).chain_pem
    };
    // given ben, who claims in every header to be ana
    let mut forged = described(&bens, &own, "GET", ORDERS_HOST, ORDERS_PATH);
    let http = forged.attributes.as_mut().unwrap().request.as_mut().unwrap().http.as_mut().unwrap();
    for name in
        ["x-forwarded-client-cert", "x-countersign-subject", "x-countersign-grant", "authorization", ":authority"]
    {
        http.headers.insert(name.to_owned(), format!("By=envoy;URI={anas}"));
    }
    assert_eq!(refusal(&ask(&envoy, forged).await.unwrap()).as_deref(), Some("NO_GRANT"));
    // and certificates that name nobody, or somebody else than the principal
    for (pem, principal, reason) in [
        (String::new(), anas.as_str(), "CERTIFICATE_MISSING"),
        ("words".to_owned(), &anas, "CERTIFICATE_UNREADABLE"),
        (format!("{bens}{bens}"), &own, "CERTIFICATE_UNREADABLE"),
        ("%".repeat(60_000), &anas, "CERTIFICATE_UNREADABLE"),
        (bens.clone(), &anas, "PRINCIPAL_DIFFERS"),
        (bens.clone(), "", "PRINCIPAL_DIFFERS"),
        (issue(&[], &["ana.northwind.example"], 3_600), "ana.northwind.example", "CERTIFICATE_NAMES_NOBODY"),
        (issue(&[&anas, &own], &[], 3_600), &anas, "CERTIFICATE_NAMES_NOBODY"),
        (issue(&[&anas], &[], -1), &anas, "CERTIFICATE_EXPIRED"),
    ] {
        let asked = described(&pem, principal, "GET", ORDERS_HOST, ORDERS_PATH);
        match ask(&envoy, asked).await {
            Ok(response) => assert_eq!(refusal(&response).as_deref(), Some(reason), "{principal}"),
            // Longer than any message may be.
            Err(status) => assert_eq!(status.code(), Code::InvalidArgument, "{status:?}"),
        }
    }
}

/// Ana with a grant, and a token of it for orders-api that is good with this certificate of hers.
async fn token(broker: &Broker) -> (Leaf, pb::Grant, String) {
    let ben = broker.person("ben").await;
    let leaf = broker.organisation.leaf("ana");
    let ana = broker.person_with("ana", &leaf).await;
    let grant = ana.granted(repair(), &ben).await;
    let (request_id, grant_id, audience) = (person::call_id(), grant.id.clone(), "orders-api".to_owned());
    let asked = pb::IssueGrantTokenRequest { request_id, grant_id, audience, lifetime: None };
    let answer = TokenServiceClient::new(ana.channel.clone()).issue_grant_token(asked).await.unwrap();
    (leaf, grant, answer.into_inner().token)
}

#[tokio::test]
async fn a_token_speaks_for_the_certificate_that_it_is_bound_to_and_for_no_other() {
    let broker = Broker::start();
    let (envoy, deploy) = (broker.person("orders-api").await, broker.person("deploy-bot").await);
    let (leaf, grant, token) = token(&broker).await;
    let presented = |pem: &str, principal: &str, path: &str, token: &str| {
        let mut request = described(pem, principal, "GET", ORDERS_HOST, path);
        let http = request.attributes.as_mut().unwrap().request.as_mut().unwrap().http.as_mut().unwrap();
        http.headers.insert("x-countersign-token".to_owned(), token.to_owned());
        request
    };
    // given a connection of which Envoy's principal says less than the certificate: with the token it passes
    let good = || presented(&leaf.chain_pem, "ana.northwind.example", ORDERS_PATH, &token);
    let passed = ask(&envoy, good()).await.unwrap();
    assert_eq!(refusal(&passed), None);
    let Some(HttpResponse::OkResponse(ok)) = passed.http_response else { panic!("no way through") };
    let subject = ok.headers[0].header.as_ref().unwrap();
    assert_eq!(subject.value, "spiffe://northwind.example/person/ana");
    // and with another certificate, hers or another's, another path, another text, it does not, whoever the principal is
    let (other, bens) = (broker.organisation.leaf("ana").chain_pem, broker.organisation.leaf("ben").chain_pem);
    let (anas_name, bens_name) = (organisation::identity("ana"), organisation::identity("ben"));
    for (request, reason) in [
        (presented(&other, &anas_name, ORDERS_PATH, &token), "TOKEN_OTHER_CERTIFICATE"),
        (presented(&bens, &bens_name, ORDERS_PATH, &token), "TOKEN_OTHER_CERTIFICATE"),
        (presented(&leaf.chain_pem, &anas_name, "/eu/orders/replica", &token), "TOKEN_OUT_OF_SCOPE"),
        (presented(&leaf.chain_pem, &anas_name, ORDERS_PATH, ""), "TOKEN_MALFORMED"),
        (presented(&leaf.chain_pem, &anas_name, ORDERS_PATH, &format!("{token},{token}")), "TOKEN_MALFORMED"),
        (presented(&leaf.chain_pem, &anas_name, ORDERS_PATH, &"a".repeat(40_000)), "TOKEN_TOO_LARGE"),
        (presented("", &anas_name, ORDERS_PATH, &token), "CERTIFICATE_MISSING"),
    ] {
        assert_eq!(refusal(&ask(&envoy, request).await.unwrap()).as_deref(), Some(reason));
    }
    // and not through another enforcement point
    assert_eq!(refusal(&ask(&deploy, good()).await.unwrap()).as_deref(), Some("TOKEN_OTHER_AUDIENCE"));
    // when its grant is revoked, then it passes no more, though the token is not over
    broker.person("sam").await.revoke(&grant.id).await.unwrap();
    assert_eq!(refusal(&ask(&envoy, good()).await.unwrap()).as_deref(), Some("NO_GRANT"));
}

#[tokio::test]
async fn a_token_is_worth_nothing_once_its_certificates_identity_is_taken_from_its_holder() {
    let broker = Broker::start();
    let envoy = broker.person("orders-api").await;
    let (leaf, _, token) = token(&broker).await;
    let ask_with = async || {
        let mut request = described(&leaf.chain_pem, &organisation::identity("ana"), "GET", ORDERS_HOST, ORDERS_PATH);
        let http = request.attributes.as_mut().unwrap().request.as_mut().unwrap().http.as_mut().unwrap();
        http.headers.insert("x-countersign-token".to_owned(), token.clone());
        refusal(&ask(&envoy, request).await.unwrap())
    };
    assert_eq!(ask_with().await, None);
    let old = Files::example().directory;
    let others = |new: &str| old.replace(&format!("\"{}\"", organisation::identity("ana")), new);
    // when her identity is another, though her grant stands
    let new = others("\"spiffe://northwind.example/person/ana.new\"");
    let proposed = broker.person("omar").await.propose_directory(&old, &new).await;
    broker.person("vera").await.approve_proposal(Some(proposed)).await.unwrap();
    // then who has the old certificate has nothing
    assert_eq!(ask_with().await.as_deref(), Some("TOKEN_OTHER_HOLDER"));
}

#[tokio::test]
async fn whoever_is_no_enforcement_point_is_told_nothing_of_others() {
    let broker = Broker::start();
    let (ana, ben) = (broker.person("ana").await, broker.person("ben").await);
    ana.granted(repair(), &ben).await;
    let asked = || broker.request("ana", "GET", ORDERS_HOST, ORDERS_PATH);
    assert_eq!(refusal(&ask(&ben, asked()).await.unwrap()).as_deref(), Some("OUT_OF_AUDIENCE"));
    let refused = ask(&broker.person("pia").await, asked()).await.unwrap_err();
    assert_eq!(person::reason(&refused), "NO_ACCOUNT");
}

#[tokio::test]
async fn requests_of_an_odd_form_are_denied_and_nothing_breaks() {
    let broker = Broker::start();
    let envoy = broker.person("orders-api").await;
    let whole = broker.request("ana", "GET", ORDERS_HOST, ORDERS_PATH);
    let mut odd = vec![CheckRequest::default(), CheckRequest { attributes: Some(AttributeContext::default()) }];
    for strip in [
        (|attributes: &mut AttributeContext| attributes.source = None) as fn(&mut AttributeContext),
        |attributes| attributes.source = Some(Peer::default()),
        |attributes| attributes.request = None,
        |attributes| attributes.request = Some(Request::default()),
        |attributes| attributes.request.as_mut().unwrap().http = Some(HttpRequest::default()),
        |attributes| attributes.request.as_mut().unwrap().http.as_mut().unwrap().path = String::new(),
        |attributes| attributes.request.as_mut().unwrap().http.as_mut().unwrap().method = String::new(),
        |attributes| attributes.request.as_mut().unwrap().http.as_mut().unwrap().host = String::new(),
        |attributes| attributes.request.as_mut().unwrap().http.as_mut().unwrap().path = "/".repeat(20_000),
        |attributes| attributes.request.as_mut().unwrap().http.as_mut().unwrap().host = "\u{0}".repeat(9),
    ] {
        let mut request = whole.clone();
        strip(request.attributes.as_mut().unwrap());
        odd.push(request);
    }
    for request in odd {
        assert!(refusal(&ask(&envoy, request).await.unwrap()).is_some());
    }
    // and a header of ten megabytes is an error, which Envoy takes as a deny
    let mut large = whole.clone();
    let http = large.attributes.as_mut().unwrap().request.as_mut().unwrap().http.as_mut().unwrap();
    http.headers.insert("x-large".to_owned(), "x".repeat(10_000_000));
    assert!(ask(&envoy, large).await.is_err());
    assert!(refusal(&ask(&envoy, whole).await.unwrap()).is_some());
}
