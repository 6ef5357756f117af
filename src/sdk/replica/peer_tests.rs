//! Certificates that name one identity, and those that do not.

use rcgen::{CertificateParams, DnType, KeyPair, SanType};

use super::*;

fn certificate(uris: &[&str], dns: &[&str], common_name: &str) -> Vec<u8> {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, common_name);
    let uris = uris.iter().map(|uri| SanType::URI((*uri).try_into().unwrap()));
    let dns = dns.iter().map(|name| SanType::DnsName((*name).try_into().unwrap()));
    params.subject_alt_names = uris.chain(dns).collect();
    params.self_signed(&KeyPair::generate().unwrap()).unwrap().der().to_vec()
}

const ANA: &str = "spiffe://northwind.example/person/ana";

#[test]
fn the_one_uri_is_the_identity() {
    let peer = VerifiedPeer::from_certificate(&certificate(&[ANA], &["ana.northwind.example"], "Ben")).unwrap();
    assert_eq!(peer.as_str(), ANA);
}

#[test]
fn anything_else_names_nobody() {
    let ben = "spiffe://northwind.example/person/ben";
    let named = |der: &[u8]| VerifiedPeer::from_certificate(der).unwrap_err();
    assert_eq!(named(&certificate(&[ANA, ben], &[], "")), NoPeer::NotOneIdentity);
    assert_eq!(named(&certificate(&[ANA, ANA], &[], "")), NoPeer::NotOneIdentity);
    // neither a common name nor a DNS name is an identity
    assert_eq!(named(&certificate(&[], &["ana.northwind.example"], ANA)), NoPeer::NotOneIdentity);
    assert_eq!(named(&certificate(&[], &[], ANA)), NoPeer::NotOneIdentity);
    assert_eq!(named(&certificate(&["https://northwind.example/ana"], &[], "")), NoPeer::NotOneIdentity);
    assert_eq!(named(&certificate(&["spiffe://"], &[], "")), NoPeer::NotOneIdentity);
    let mut longer = certificate(&[ANA], &[], "");
    longer.push(0);
    assert_eq!(named(&longer), NoPeer::Unreadable);
    for cut in [0, 1, 40, longer.len() - 2] {
        assert_eq!(named(&longer[..cut]), NoPeer::Unreadable);
    }
}

#[test]
fn a_request_without_a_verified_certificate_has_no_peer() {
    assert_eq!(VerifiedPeer::of(&Extensions::new()), Err(NoPeer::NoCertificate));
    // what tonic knows of a connection whose client showed none is not enough
    let mut extensions = Extensions::new();
    extensions.insert(TcpConnectInfo { local_addr: None, remote_addr: None });
    assert_eq!(VerifiedPeer::of(&extensions), Err(NoPeer::NoCertificate));
}
