//! Who gets in. Identity is exactly one URI of a certificate whose issuer may speak for its trust domain.

use std::collections::BTreeSet;

use countersign::domain::value::identity_pattern::IdentityPattern;
use countersign::server::transport::tls::TlsStore;
use tonic::Request;
use tonic_health::pb::HealthCheckRequest;

use crate::common::certificates::{self, Authority, Wanted, client};
use crate::harness::{ANA, Broker, health, slow, tls_settings};

#[tokio::test]
async fn one_uri_from_the_right_authority_gets_in_and_headers_change_nothing() {
    let broker = Broker::start();
    broker.gate.send_replace(true);
    let channel = broker.connect(&broker.ana()).await.unwrap();
    let mut request = Request::new(HealthCheckRequest::default());
    for name in ["x-forwarded-client-cert", "x-spiffe-id", "who", "x-client-identity"] {
        request.metadata_mut().insert(name, "spiffe://northwind.example/person/ines".parse().unwrap());
    }
    let response = slow(&channel, request).await.unwrap();
    assert_eq!(response.metadata().get("who").unwrap(), ANA);
}

#[tokio::test]
async fn every_tenants_authority_speaks_for_its_own_domain() {
    let broker = Broker::start();
    broker.connect(&broker.acme.issue(&client("spiffe://acme.example/person/zoe"))).await.unwrap();
}

#[tokio::test]
async fn no_certificate_is_refused() {
    Broker::start().refused(None, "no_certificate").await;
}

#[tokio::test]
async fn an_authority_that_is_not_configured_is_refused() {
    let broker = Broker::start();
    broker.refused(Some(&Authority::new("northwind").issue(&client(ANA))), "untrusted").await;
}

#[tokio::test]
async fn an_authority_that_speaks_for_anothers_trust_domain_is_refused() {
    let broker = Broker::start();
    broker.refused(Some(&broker.acme.issue(&client(ANA))), "foreign_trust_domain").await;
    let also = broker.northwind.issue(&client("spiffe://acme.example/person/zoe"));
    broker.refused(Some(&also), "foreign_trust_domain").await;
}

fn pattern(text: &str) -> BTreeSet<IdentityPattern> {
    [text.parse().unwrap()].into()
}

#[tokio::test]
async fn an_authority_that_speaks_for_an_identity_outside_its_own_is_refused() {
    // given the people's authority, which may speak for persons alone
    let start = || {
        Broker::start_by(|tls| tls.authorities[0].identities = pattern("spiffe://northwind.example/person/*"), |_| {})
    };
    // when it issues a machine's certificate, or one that only begins as a person's, then neither gets in
    for identity in ["spiffe://northwind.example/service/deploy", "spiffe://northwind.example/person/ana/deploy"] {
        let broker = start();
        broker.refused(Some(&broker.northwind.issue(&client(identity))), "foreign_identity").await;
    }
    // and a person does
    let broker = start();
    broker.connect(&broker.ana()).await.unwrap();
}

#[tokio::test]
async fn of_two_authorities_of_one_trust_domain_each_speaks_for_its_own_alone() {
    // given an authority for machines beside that of the people
    let start = || {
        Broker::start_by(
            |tls| {
                tls.authorities[0].identities = pattern("spiffe://northwind.example/person/*");
                tls.authorities[1].trust_domains.insert("northwind.example".parse().unwrap());
                tls.authorities[1].identities = pattern("spiffe://northwind.example/service/**");
            },
            |_| {},
        )
    };
    // then neither mints what is the other's
    let machine = client("spiffe://northwind.example/service/deploy");
    let broker = start();
    broker.refused(Some(&broker.northwind.issue(&machine)), "foreign_identity").await;
    let broker = start();
    broker.refused(Some(&broker.acme.issue(&client(ANA))), "foreign_identity").await;
    // and each what is its own
    let broker = start();
    broker.connect(&broker.acme.issue(&machine)).await.unwrap();
    broker.connect(&broker.ana()).await.unwrap();
}

#[tokio::test]
async fn a_trust_domain_that_nobody_speaks_for_is_refused() {
    let broker = Broker::start();
    let leaf = Authority::new("other").issue(&client("spiffe://other.example/person/ana"));
    broker.refused(Some(&leaf), "unknown_trust_domain").await;
}

#[tokio::test]
async fn none_or_several_uris_are_refused_whatever_common_name_and_dns_say() {
    let corpus = [
        (Wanted::default(), "no_identity"),
        (Wanted { common_name: Some(ANA.to_owned()), ..Wanted::default() }, "no_identity"),
        (Wanted { dns: vec!["ana.northwind.example".to_owned()], ..Wanted::default() }, "no_identity"),
        (
            Wanted { dns: vec!["*.northwind.example".to_owned(), "127.0.0.1".to_owned()], ..Wanted::default() },
            "no_identity",
        ),
        (Wanted { uris: vec![ANA.to_owned(), ANA.to_owned()], ..Wanted::default() }, "several_identities"),
        (
            Wanted { uris: vec![ANA.to_owned(), "https://x.example/".to_owned()], ..Wanted::default() },
            "several_identities",
        ),
        (client("https://northwind.example/person/ana"), "bad_identity"),
        (client("spiffe://northwind.example"), "bad_identity"),
        (client("spiffe://northwind.example/person/../person/ana"), "bad_identity"),
        (client("spiffe://Northwind.example/person/ana"), "bad_identity"),
    ];
    for (wanted, outcome) in corpus {
        let broker = Broker::start();
        broker.refused(Some(&broker.northwind.issue(&wanted)), outcome).await;
    }
}

#[tokio::test]
async fn a_name_that_cannot_be_read_is_refused() {
    let der = |tag: u8, content: &[u8]| [&[tag, u8::try_from(content.len()).unwrap()], content].concat();
    let ana = der(0x86, ANA.as_bytes());
    let second = der(0x86, b"spiffe://northwind.example/person/b\xffn");
    let names = |names: &[&[u8]]| der(0x30, &names.concat());
    for odd in [names(&[&ana, &second]), names(&[&second, &ana]), names(&[&second])] {
        let broker = Broker::start();
        let wanted = Wanted { names_der: Some(odd), ..Wanted::default() };
        broker.refused(Some(&broker.northwind.issue(&wanted)), "bad_identity").await;
    }
    // while the same way of writing one name gets in
    let broker = Broker::start();
    let wanted = Wanted { names_der: Some(names(&[&ana])), ..Wanted::default() };
    broker.connect(&broker.northwind.issue(&wanted)).await.unwrap();
}

#[tokio::test]
async fn a_certificate_that_is_over_or_not_begun_is_refused() {
    let broker = Broker::start();
    let over = Wanted { from_seconds: -7_000, to_seconds: -60, ..client(ANA) };
    broker.refused(Some(&broker.northwind.issue(&over)), "untrusted").await;
    // A client may try more than once, so each kind of certificate has a broker of its own to count at.
    let broker = Broker::start();
    let early = Wanted { from_seconds: 600, ..client(ANA) };
    broker.refused(Some(&broker.northwind.issue(&early)), "untrusted").await;
}

#[tokio::test]
async fn the_handshake_reads_the_brokers_clock() {
    let broker = Broker::start();
    let leaf = broker.ana();
    broker.advance_clock(2 * 86_400);
    broker.refused(Some(&leaf), "untrusted").await;
}

#[tokio::test]
async fn large_certificates_and_long_chains_are_refused_before_any_path_is_built() {
    let broker = Broker::start();
    let large = Wanted { padding_bytes: 20_000, ..client(ANA) };
    broker.refused(Some(&broker.northwind.issue(&large)), "certificate_too_large").await;
    let first = broker.northwind.intermediate("first");
    let second = first.intermediate("second");
    let third = second.intermediate("third");
    let mut within = second.issue(&client(ANA));
    within.chain_pem.push_str(&(second.pem() + &first.pem()));
    let mut deep = third.issue(&client(ANA));
    deep.chain_pem.push_str(&(third.pem() + &second.pem() + &first.pem()));
    broker.refused(Some(&deep), "certificate_too_large").await;
    let channel = broker.connect(&within).await.unwrap();
    health(&channel).await.unwrap();
}

#[test]
fn tls_files_that_cannot_be_used_are_all_named_with_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::new("northwind");
    let broker = authority.issue_server("spiffe://northwind.example/service/countersign");
    certificates::write(folder.path(), "northwind.pem", &authority.pem());
    certificates::write(folder.path(), "broker.pem", &broker.chain_pem);
    certificates::write_with_mode(folder.path(), "broker.key", &broker.key_pem, 0o640);
    let load = || {
        let now = std::sync::Arc::new(|| countersign::domain::value::time::Timestamp::MIN);
        let mistakes = TlsStore::load(tls_settings(folder.path()), now).unwrap_err();
        mistakes.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
    };
    let shown = load();
    assert!(shown.contains("tls.key") && shown.contains("mode 0640") && shown.contains("chmod 600"), "{shown}");
    assert!(shown.contains("tls.authorities.file") && shown.contains("acme.pem"), "{shown}");
    // And then content: a key of another certificate, an authority that is no PEM.
    certificates::write(folder.path(), "broker.key", "no key");
    certificates::write(folder.path(), "acme.pem", "no certificate");
    let shown = load();
    assert!(shown.contains("no private key in PEM") && shown.contains("no certificate in PEM"), "{shown}");
    certificates::write(folder.path(), "acme.pem", &authority.pem());
    let other = authority.issue_server("spiffe://northwind.example/service/countersign");
    certificates::write(folder.path(), "broker.key", &other.key_pem);
    assert!(load().contains("cannot be used with the key"), "{}", load());
}
