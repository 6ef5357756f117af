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

/// A certificate whose subject alternative names are these bytes, written into the extension as they stand.
fn with_names(names: &[u8]) -> Vec<u8> {
    let mut params = CertificateParams::default();
    params.custom_extensions = vec![rcgen::CustomExtension::from_oid_content(&[2, 5, 29, 17], names.to_vec())];
    params.self_signed(&KeyPair::generate().unwrap()).unwrap().der().to_vec()
}

/// A DER value of a short form.
fn der(tag: u8, content: &[u8]) -> Vec<u8> {
    [&[tag, u8::try_from(content.len()).unwrap()], content].concat()
}

#[test]
fn a_name_that_cannot_be_read_names_nobody() {
    let ana = der(0x86, ANA.as_bytes());
    let names = |names: &[&[u8]]| der(0x30, &names.concat());
    let of = |der: &[u8]| VerifiedPeer::from_certificate(der);
    assert_eq!(of(&with_names(&names(&[&ana]))).unwrap().as_str(), ANA);
    // given a second URI that is no UTF-8, wherever it stands
    let second = der(0x86, b"spiffe://northwind.example/person/b\xffn");
    for odd in [names(&[&ana, &second]), names(&[&second, &ana]), names(&[&second])] {
        assert_eq!(of(&with_names(&odd)), Err(NoPeer::Unreadable));
    }
    // names of other kinds that are no text, of a kind that there is none, or of one that nobody reads
    for tag in [0x81, 0x82, 0xa4, 0x89, 0xa3, 0xa5] {
        assert_eq!(of(&with_names(&names(&[&ana, &der(tag, b"\xff\xfe")]))), Err(NoPeer::Unreadable), "{tag:#x}");
    }
    // a second list after the first, a list that breaks off, and bytes that are no list
    let ben = names(&[&der(0x86, b"spiffe://northwind.example/person/ben")]);
    for odd in [[names(&[&ana]), ben].concat(), names(&[&ana, &[0x86, 0x7f]]), b"\x04\x00".to_vec(), Vec::new()] {
        assert_eq!(of(&with_names(&odd)), Err(NoPeer::Unreadable), "{odd:?}");
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
