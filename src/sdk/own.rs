//! What a client sees of its own certificate before anybody is asked: a broker that refuses it can say no more than an alert.

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use x509_parser::prelude::{FromDer as _, X509Certificate};

use crate::clock::{Clock as _, SystemClock};
use crate::domain::value::ids::{Identity, excerpt};
use crate::domain::value::time::Timestamp;
use crate::wire::certificate::{NoSingleUri, single_uri};

/// Why no broker would accept a client's own certificate, as far as its text shows it.
pub(super) fn refusal(certificate: &[u8]) -> Option<String> {
    let chain: Vec<CertificateDer<'_>> = CertificateDer::pem_slice_iter(certificate).collect::<Result<_, _>>().ok()?;
    let (leaf, issuers) = chain.split_first()?;
    let Ok((_, leaf)) = X509Certificate::from_der(leaf) else {
        return Some("the client certificate cannot be read; have it issued anew".to_owned());
    };
    let issuer = issuers.first().and_then(|issuer| X509Certificate::from_der(issuer).ok());
    out_of_date(&leaf)
        .or_else(|| an_authoritys(&leaf))
        .or_else(|| nameless(&leaf))
        .or_else(|| not_for_clients(&leaf))
        .or_else(|| issuer.and_then(|(_, issuer)| of_another_issuer(&leaf, &issuer)))
}

fn out_of_date(leaf: &X509Certificate<'_>) -> Option<String> {
    let at = |seconds: i64| Timestamp::from_millis(seconds.saturating_mul(1_000)).ok();
    let (begins, ends) = (at(leaf.validity().not_before.timestamp())?, at(leaf.validity().not_after.timestamp())?);
    let now = SystemClock.read().wall;
    if now < begins {
        return Some(format!("the client certificate is valid from {begins} on, and it is {now} here"));
    }
    (ends < now).then(|| format!("the client certificate has ended at {ends}, and it is {now} here"))
}

fn an_authoritys(leaf: &X509Certificate<'_>) -> Option<String> {
    let text = "the client certificate is an authority's; give the one that it issued to you, with its own key";
    leaf.is_ca().then(|| text.to_owned())
}

fn nameless(leaf: &X509Certificate<'_>) -> Option<String> {
    let why = match single_uri(leaf) {
        Ok(uri) => match uri.parse::<Identity>() {
            Ok(_) => return None,
            Err(_) => format!("has the URI `{}`, which is no SPIFFE ID", excerpt(uri)),
        },
        Err(NoSingleUri::None) => "has no URI among its alternative names".to_owned(),
        Err(NoSingleUri::Several(count)) => format!("has {count} URIs among its alternative names"),
        Err(NoSingleUri::Unreadable) => "has an alternative name that cannot be read".to_owned(),
    };
    Some(format!("the client certificate {why}; a broker takes one with exactly one, a SPIFFE ID"))
}

fn not_for_clients(leaf: &X509Certificate<'_>) -> Option<String> {
    let usage = leaf.extended_key_usage().ok().flatten()?;
    let is_for_clients = usage.value.client_auth;
    let text = "the client certificate is not for clients: its extended key usage leaves clientAuth out";
    (!is_for_clients).then(|| text.to_owned())
}

/// What the file has behind the leaf is what issued it. Whether a broker knows that authority, the broker alone can say.
fn of_another_issuer(leaf: &X509Certificate<'_>, issuer: &X509Certificate<'_>) -> Option<String> {
    let text = "the client certificate was not issued by the one that follows it in the file; put its own issuer there";
    (leaf.issuer().as_raw() != issuer.subject().as_raw()).then(|| text.to_owned())
}

#[cfg(all(test, feature = "cli"))]
mod tests {
    use rcgen::{CertificateParams, DnType, ExtendedKeyUsagePurpose, KeyPair, SanType};

    use super::*;

    const ANA: &str = "spiffe://northwind.example/person/ana";

    fn pem(change: impl FnOnce(&mut CertificateParams)) -> String {
        let mut params = CertificateParams::default();
        params.subject_alt_names = vec![SanType::URI(ANA.try_into().unwrap())];
        change(&mut params);
        params.self_signed(&KeyPair::generate().unwrap()).unwrap().pem()
    }

    fn told(pem: &str) -> String {
        refusal(pem.as_bytes()).unwrap_or_default()
    }

    #[test]
    fn each_thing_that_any_broker_would_refuse_is_told_first() {
        assert_eq!(refusal(pem(|_| {}).as_bytes()), None);
        let uri = |text: &str| SanType::URI(text.try_into().unwrap());
        let over = pem(|it| it.not_after = rcgen::date_time_ymd(2020, 1, 1));
        assert!(told(&over).contains("has ended at 2020-01-01T00:00:00"), "{}", told(&over));
        let early = pem(|it| it.not_before = rcgen::date_time_ymd(2900, 1, 1));
        assert!(told(&early).contains("is valid from 2900-01-01T00:00:00"), "{}", told(&early));
        assert!(told(&pem(|it| it.subject_alt_names.clear())).contains("has no URI"));
        let two = pem(|it| it.subject_alt_names.push(uri("spiffe://northwind.example/person/ben")));
        assert!(told(&two).contains("has 2 URIs"), "{}", told(&two));
        let server = pem(|it| it.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth]);
        assert!(told(&server).contains("leaves clientAuth out"), "{}", told(&server));
        let authority = pem(|it| it.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained));
        assert!(told(&authority).contains("is an authority's"), "{}", told(&authority));
        for other in ["https://northwind.example/ana", "urn:uuid:0", "spiffe://Northwind.example/ana"] {
            let told = told(&pem(|it| it.subject_alt_names = vec![uri(other)]));
            assert!(told.contains(&format!("has the URI `{other}`, which is no SPIFFE ID")), "{told}");
        }
        let both = [ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        assert_eq!(told(&pem(|it| it.extended_key_usages = both.to_vec())), "");
    }

    #[test]
    fn an_issuer_that_is_not_its_own_is_told() {
        let foreign = pem(|it| it.distinguished_name.push(DnType::CommonName, "another"));
        assert!(told(&format!("{}{foreign}", pem(|_| {}))).contains("was not issued by the one that follows"));
        // All of these have one and the same name.
        assert_eq!(told(&pem(|_| {}).repeat(2)), "");
    }
}
