use std::collections::BTreeSet;

use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use proptest::prelude::*;
use rcgen::{CertificateParams, KeyPair, PKCS_ED25519, PublicKeyData as _, SanType};
use serde_json::{Value, json};

use super::*;
use crate::domain::value::ids::Digest;
use crate::domain::value::time::Span;
use crate::domain::value::token::TOKEN_MAX_BYTES;
use crate::wire::grant_token::TOKEN_TYPE;

const NOW: i64 = 1_795_348_800;
const LEAF: &[u8] = b"the holder's certificate";
const ANA: &str = "spiffe://northwind.example/person/ana";
const RESOURCE: &str = "prod/eu/db/orders/primary";

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_millis(seconds * 1_000).unwrap()
}

fn base64(bytes: &[u8]) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(bytes)
}

struct Broker {
    pair: KeyPair,
}

impl Broker {
    fn new() -> Self {
        Self { pair: KeyPair::generate_for(&PKCS_ED25519).unwrap() }
    }

    fn public(&self) -> &[u8] {
        self.pair.der_bytes()
    }

    fn jwk(&self) -> Value {
        json!({"kty": "OKP", "crv": "Ed25519", "alg": "EdDSA", "use": "sig", "kid": "k1", "x": base64(self.public()),
            "nbf": NOW - 3_600, "exp": NOW + 3_600})
    }

    fn keys(&self) -> TokenKeys {
        TokenKeys::parse(&json!({ "keys": [self.jwk()] }).to_string()).unwrap()
    }

    fn verifier(&self) -> TokenVerifier {
        TokenVerifier::new("orders-api", self.keys()).unwrap()
    }

    fn header() -> Header {
        let mut header = Header::new(Algorithm::EdDSA);
        header.typ = Some(TOKEN_TYPE.to_owned());
        header.kid = Some("k1".to_owned());
        header
    }

    fn sign(&self, header: &Header, claims: &Value) -> String {
        encode(header, claims, &EncodingKey::from_ed_der(&self.pair.serialize_der())).unwrap()
    }

    fn token(&self, claims: &Value) -> String {
        self.sign(&Self::header(), claims)
    }
}

fn claims() -> Value {
    json!({
        "iss": "countersign", "aud": "orders-api", "sub": "ana", "iat": NOW - 10, "exp": NOW + 50,
        "jti": "0197c9a2-7f3b-7cc1-8000-0123456789ab", "grant_id": "0197c9a2-7f3b-7cc1-8000-0123456789ac",
        "cnf": {"x5t#S256": base64(Digest::of(LEAF).bytes())},
        "authorization_details": [{"type": "countersign", "actions": ["db.read"], "resources": ["prod/*/db/orders/**"]}],
        "sequence": "7"
    })
}

/// Presented at the time of all tests, to read orders.
fn presented<'a>(token: &'a str, peer_leaf_der: &'a [u8]) -> PresentedToken<'a> {
    PresentedToken { token, peer_leaf_der, action: "db.read", resource: RESOURCE, now: at(NOW) }
}

fn with(change: impl FnOnce(&mut Value)) -> Value {
    let mut claims = claims();
    change(&mut claims);
    claims
}

#[track_caller]
fn denied(verifier: &TokenVerifier, token: &str, because: TokenDenied) {
    let verdict = verifier.verify(presented(token, LEAF));
    assert_eq!(verdict, TokenVerdict::Deny { because });
    assert!(!verdict.is_allowed() && verdict.reason().starts_with("TOKEN_"));
}

#[test]
fn a_token_allows_what_it_says_to_whom_it_says_until_it_is_over() {
    let broker = Broker::new();
    let (verifier, token) = (broker.verifier(), broker.token(&claims()));
    let verify = |peer_leaf_der, action, resource, now| {
        verifier.verify(PresentedToken { token: &token, peer_leaf_der, action, resource, now }).reason()
    };
    let verdict = verifier.verify(presented(&token, LEAF));
    let TokenVerdict::Allow { subject, valid_until, .. } = &verdict else { panic!("{verdict:?}") };
    assert_eq!((subject.as_str(), *valid_until), ("ana", at(NOW + 50)));
    assert_eq!(verify(LEAF, "db.write", RESOURCE, at(NOW)), "TOKEN_OUT_OF_SCOPE");
    assert_eq!(verify(LEAF, "db.read", "prod/eu/db/payments/ledger", at(NOW)), "TOKEN_OUT_OF_SCOPE");
    assert_eq!(verify(LEAF, "db.read", "prod/eu/db/orders/../x", at(NOW)), "TOKEN_OUT_OF_SCOPE");
    assert_eq!(verify(LEAF, "", "", at(NOW)), "TOKEN_OUT_OF_SCOPE");
    // to the millisecond, without leeway
    let end = at(NOW + 50);
    assert_eq!(verify(LEAF, "db.read", RESOURCE, end.minus(Span::from_millis(1).unwrap())), "GRANTED");
    assert_eq!(verify(LEAF, "db.read", RESOURCE, end), "TOKEN_EXPIRED");
    assert_eq!(verify(LEAF, "db.read", RESOURCE, at(NOW - 11)), "TOKEN_NOT_YET");
    // with another certificate, or none
    assert_eq!(verify(b"another's", "db.read", RESOURCE, at(NOW)), "TOKEN_OTHER_CERTIFICATE");
    assert_eq!(verify(b"", "db.read", RESOURCE, at(NOW)), "TOKEN_OTHER_CERTIFICATE");
}

/// known failures E2 and E3.
#[test]
fn every_claim_is_there_and_of_its_type() {
    let broker = Broker::new();
    let verifier = broker.verifier();
    let names: Vec<String> = claims().as_object().unwrap().keys().cloned().collect();
    for name in &names {
        // missing, null, or of another type: none is taken as absent
        denied(
            &verifier,
            &broker.token(&with(|it| drop(it.as_object_mut().unwrap().remove(name)))),
            TokenDenied::WrongClaims,
        );
        for wrong in [json!(null), json!(1.5), json!(true), json!({}), json!([]), json!([[]]), json!(["a", "b"])] {
            let token = broker.token(&with(|it| it[name] = wrong.clone()));
            denied(&verifier, &token, TokenDenied::WrongClaims);
        }
    }
    for (at, wrong) in [
        ("/exp", json!((NOW + 50).to_string())),
        ("/exp", json!(1_795_348_850.0)),
        ("/exp", json!(-1)),
        ("/exp", json!(u64::MAX)),
        ("/exp", json!(i64::MAX)),
        ("/iat", json!((NOW - 10).to_string())),
        ("/sequence", json!(7)),
        ("/aud", json!(["orders-api"])),
        ("/cnf/x5t#S256", json!("")),
        ("/cnf/x5t#S256", json!("AAAA")),
        ("/authorization_details/0/type", json!("other")),
        ("/authorization_details/0/actions", json!([])),
        ("/authorization_details/0/actions", json!("db.read")),
        ("/authorization_details/0/resources", json!([])),
        ("/authorization_details/0/resources", json!(["prod//x"])),
    ] {
        let token = broker.token(&with(|it| *it.pointer_mut(at).unwrap() = wrong.clone()));
        denied(&verifier, &token, TokenDenied::WrongClaims);
    }
    // one too many, at any depth, and one twice
    for at in ["", "/cnf", "/authorization_details/0"] {
        let token = broker.token(&with(|it| it.pointer_mut(at).unwrap()["nbf"] = json!(NOW)));
        denied(&verifier, &token, TokenDenied::WrongClaims);
    }
    let two = json!([claims()["authorization_details"][0], claims()["authorization_details"][0]]);
    denied(&verifier, &broker.token(&with(|it| it["authorization_details"] = two.clone())), TokenDenied::WrongClaims);
}

#[test]
fn another_audience_issuer_or_time_is_refused() {
    let broker = Broker::new();
    let verifier = broker.verifier();
    for (name, wrong, because) in [
        ("aud", json!("billing-api"), TokenDenied::OtherAudience),
        ("iss", json!("another"), TokenDenied::OtherIssuer),
        ("exp", json!(NOW), TokenDenied::Expired),
        ("exp", json!(0), TokenDenied::Expired),
        ("exp", json!(NOW + 51), TokenDenied::TooLong),
        ("exp", json!(NOW + 86_400 * 365), TokenDenied::TooLong),
        ("iat", json!(NOW + 1), TokenDenied::NotYet),
        ("iat", json!(0), TokenDenied::TooLong),
    ] {
        denied(&verifier, &broker.token(&with(|it| it[name] = wrong)), because);
    }
    assert!(TokenVerifier::new("", broker.keys()).is_err());
    assert!(TokenVerifier::new("Orders", broker.keys()).is_err());
}

/// known failure E1: the header is believed in nothing but which of the known keys is meant.
#[test]
fn another_algorithm_type_or_key_is_refused() {
    let broker = Broker::new();
    let verifier = broker.verifier();
    // `none`, and what no library knows
    for alg in ["none", "None", "NONE", "", "EdDSA ", "ES256K"] {
        let header = base64(json!({"alg": alg, "typ": TOKEN_TYPE, "kid": "k1"}).to_string().as_bytes());
        for signature in ["", "AAAA"] {
            let token = format!("{header}.{}.{signature}", base64(claims().to_string().as_bytes()));
            denied(&verifier, &token, TokenDenied::WrongAlgorithm);
        }
    }
    // HMAC with the public key, in each of its spellings
    let x = base64(broker.public());
    for secret in [broker.public(), x.as_bytes()] {
        for alg in [Algorithm::HS256, Algorithm::HS384, Algorithm::HS512] {
            let header = Header { alg, ..Broker::header() };
            let token = encode(&header, &claims(), &EncodingKey::from_secret(secret)).unwrap();
            denied(&verifier, &token, TokenDenied::WrongAlgorithm);
        }
    }
    // RSA, elliptic curves: said, whatever signed it
    let signed = broker.token(&claims());
    let (_, rest) = signed.split_once('.').unwrap();
    for alg in ["RS256", "PS512", "ES256", "HS256"] {
        let header = base64(json!({"alg": alg, "typ": TOKEN_TYPE, "kid": "k1"}).to_string().as_bytes());
        denied(&verifier, &format!("{header}.{rest}"), TokenDenied::WrongAlgorithm);
    }
    for typ in
        [None, Some("JWT"), Some("at+jwt"), Some("countersign-grant+JWT"), Some("application/countersign-grant+jwt")]
    {
        let header = Header { typ: typ.map(str::to_owned), ..Broker::header() };
        denied(&verifier, &broker.sign(&header, &claims()), TokenDenied::WrongType);
    }
    for kid in [None, Some("k2"), Some("")] {
        let header = Header { kid: kid.map(str::to_owned), ..Broker::header() };
        denied(&verifier, &broker.sign(&header, &claims()), TokenDenied::UnknownKey);
    }
    denied(&verifier, &Broker::new().token(&claims()), TokenDenied::WrongSignature);
    // a key of its own, a place to fetch one, something critical
    let own = serde_json::from_value(broker.jwk()).unwrap();
    for header in [
        Header { jwk: Some(own), ..Broker::header() },
        Header { jku: Some("https://evil.example/".into()), ..Broker::header() },
        Header { x5u: Some("https://evil.example/".into()), ..Broker::header() },
        Header { crit: Some(vec!["b64".into()]), ..Broker::header() },
        Header { cty: Some("JWT".into()), ..Broker::header() },
    ] {
        denied(&verifier, &broker.sign(&header, &claims()), TokenDenied::Malformed);
    }
}

/// known failure E7.
#[test]
fn a_key_stands_for_its_own_time_alone() {
    let broker = Broker::new();
    for (nbf, exp) in [(NOW - 9, NOW + 3_600), (NOW - 3_600, NOW + 49), (NOW - 3_600, NOW - 10), (0, 0)] {
        let mut key = broker.jwk();
        (key["nbf"], key["exp"]) = (json!(nbf), json!(exp));
        let verifier = broker.verifier();
        verifier.replace_keys(TokenKeys::parse(&json!({ "keys": [key] }).to_string()).unwrap());
        denied(&verifier, &broker.token(&claims()), TokenDenied::KeyOver);
    }
    // and what is no key of this kind is none
    for (name, wrong) in [
        ("kty", json!("RSA")),
        ("crv", json!("X25519")),
        ("alg", json!("HS256")),
        ("use", json!("enc")),
        ("x", json!("AAAA")),
        ("x", json!("%")),
        ("nbf", json!("0")),
        ("exp", json!(null)),
    ] {
        let mut key = broker.jwk();
        key[name] = wrong;
        assert!(TokenKeys::parse(&json!({ "keys": [key] }).to_string()).is_err(), "{name}");
    }
    for text in ["", "{}", "[]", "{\"keys\":{}}", "{\"keys\":[]}", "null"] {
        assert!(TokenKeys::parse(text).is_err(), "{text}");
    }
}

#[test]
fn what_is_huge_or_no_token_is_refused_before_it_is_parsed() {
    let broker = Broker::new();
    let verifier = broker.verifier();
    let header = base64(&vec![b'{'; 10 * 1024 * 1024]);
    denied(&verifier, &format!("{header}.AAAA.AAAA"), TokenDenied::TooLarge);
    denied(&verifier, &"a".repeat(TOKEN_MAX_BYTES + 1), TokenDenied::TooLarge);
    let signed = broker.token(&claims());
    for text in [
        "",
        ".",
        "..",
        "...",
        "a.b",
        "a.b.c",
        "\u{0}",
        "é.é.é",
        &signed[..signed.len() - 90],
        &format!("{signed}."),
        &format!(".{signed}"),
    ] {
        assert!(!verifier.verify(presented(text, LEAF)).is_allowed(), "{text}");
    }
}

/// known failure H28: a token is what was signed, from its first byte to its last.
#[test]
fn text_in_front_of_a_token_behind_it_or_within_makes_it_none() {
    let broker = Broker::new();
    let (verifier, signed) = (broker.verifier(), broker.token(&claims()));
    assert!(verifier.verify(presented(&signed, LEAF)).is_allowed());
    let parts: Vec<&str> = signed.split('.').collect();
    for added in [" ", "\n", "\r\n", "\t", "\0", "=", "==", "A", "{}", ".", "\u{feff}", "\u{200b}", ",", "~"] {
        let mut texts = vec![format!("{added}{signed}"), format!("{signed}{added}")];
        for place in 0..3 {
            // in front of each part, behind it, and in its middle
            let part = parts[place];
            for at in [0, part.len() / 2, part.len()] {
                let mut changed: Vec<String> = parts.iter().map(ToString::to_string).collect();
                changed[place] = format!("{}{added}{}", &part[..at], &part[at..]);
                texts.push(changed.join("."));
            }
        }
        for text in texts {
            assert!(!verifier.verify(presented(&text, LEAF)).is_allowed(), "{added:?}: {text:?}");
        }
    }
    assert!(!verifier.verify(presented(&format!("{signed}\n{signed}"), LEAF)).is_allowed());
}

#[test]
fn whoever_is_asked_too_has_the_last_word() {
    let broker = Broker::new();
    let mut params = CertificateParams::default();
    params.subject_alt_names = vec![SanType::URI(ANA.try_into().unwrap())];
    let leaf = params.self_signed(&KeyPair::generate().unwrap()).unwrap().der().to_vec();
    let bound = with(|claims| claims["cnf"] = json!({ "x5t#S256": base64(Digest::of(&leaf).bytes()) }));
    let (verifier, token) = (broker.verifier(), broker.token(&bound));
    let ask = |answer: Result<(Option<GrantId>, Timestamp), &'static str>| {
        verifier.verify_and(presented(&token, &leaf), |query| {
            // by the certificate's identity, which may have been taken from the holder since
            assert_eq!((query.subject, query.action, query.resource), (ANA, "db.read", RESOURCE));
            answer
        })
    };
    assert_eq!((ask(Err("NO_GRANT")).reason(), ask(Err("STALE")).reason()), ("NO_GRANT", "STALE"));
    // the shorter of both times counts, and the grant that stands now
    let other = Some(GrantId::from(uuid::Uuid::from_u128(9)));
    for (until, shorter) in [(NOW + 2, NOW + 2), (NOW + 500, NOW + 50)] {
        let TokenVerdict::Allow { grant, valid_until, .. } = ask(Ok((other, at(until)))) else { panic!("denied") };
        assert_eq!((grant, valid_until), (other, at(shorter)));
    }
    // and is not asked about what the token does not allow
    let verdict = verifier.verify_and(presented(&token, b""), |_| panic!("asked"));
    assert!(!verdict.is_allowed());
}

/// known failure E5: no token is good at another service, with another certificate, or of another broker.
#[test]
fn a_token_is_good_nowhere_else() {
    let brokers = [Broker::new(), Broker::new()];
    let (services, leaves) = (["orders-api", "billing-api"], [&b"one"[..], b"two"]);
    let mut allowed = BTreeSet::new();
    for (signer, aud, leaf) in (0..8).map(|case| (case & 1, case >> 1 & 1, case >> 2)) {
        let token = brokers[signer].token(&with(|it| {
            it["aud"] = json!(services[aud]);
            it["cnf"]["x5t#S256"] = json!(base64(Digest::of(leaves[leaf]).bytes()));
        }));
        for (broker, service, peer) in (0..8).map(|case| (case & 1, case >> 1 & 1, case >> 2)) {
            let verifier = TokenVerifier::new(services[service], brokers[broker].keys()).unwrap();
            if verifier.verify(presented(&token, leaves[peer])).is_allowed() {
                assert_eq!((signer, aud, leaf), (broker, service, peer));
                allowed.insert((signer, aud, leaf));
            }
        }
    }
    assert_eq!(allowed.len(), 8);
}

proptest! {
    /// known failure E1: a bit anywhere, and it is none.
    #[test]
    fn a_changed_token_is_no_token(place in any::<prop::sample::Index>(), bit in 0..7_u8) {
        let broker = Broker::new();
        let mut bytes = broker.token(&claims()).into_bytes();
        let place = place.index(bytes.len());
        bytes[place] ^= 1 << bit;
        if let Ok(token) = String::from_utf8(bytes) {
            prop_assert!(!broker.verifier().verify(presented(&token, LEAF)).is_allowed());
        }
    }

    #[test]
    fn nothing_that_is_sent_panics(token in ".{0,200}", action in ".{0,20}", resource in ".{0,40}", now in 0..253_402_300_799_999_i64) {
        let broker = Broker::new();
        let now = Timestamp::from_millis(now).unwrap();
        let presented = PresentedToken { action: &action, resource: &resource, now, ..presented(&token, LEAF) };
        prop_assert!(!broker.verifier().verify(presented).is_allowed());
    }
}
