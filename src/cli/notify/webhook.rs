//! `webhook`: sends what it reads on stdin to one address, signed as Standard Webhooks has it
//! (<https://www.standardwebhooks.com>): for `notify`, and for whoever else has something to send. It follows no redirect,
//! waits no longer than `--within`, and only an answer that begins with 2 counts as received.

use std::io::Read as _;
use std::net::IpAddr;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use clap::Args;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use ureq::http::Uri;
use ureq::http::uri::Authority;
use ureq::tls::{RootCerts, TlsConfig};
use ureq::{Agent, Proxy};
use zeroize::Zeroizing;

use crate::cli::term::failure::{Exit, Failure, Ran, read_file};
use crate::cli::term::output::Output;
use crate::cli::term::text::wall_time;
use crate::domain::value::ids::Digest;
use crate::pem::{CERTIFICATES, mistake, without_mark};
use crate::sdk::address::has_port_or_none;
use crate::wire::certificate::no_authority;

/// What is sent at most.
const LONGEST_BODY_BYTES: u64 = 1024 * 1024;
/// The authorities of the system, where they are.
const SYSTEM_AUTHORITIES: [&str; 3] =
    ["/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/cert.pem"];

/// `webhook`.
#[derive(Debug, Clone, Args)]
pub struct WebhookArguments {
    /// Where to: https, or http to this machine alone
    pub url: String,
    /// The file with the secret that both sides share: `whsec_` and base64
    #[arg(long, value_name = "FILE")]
    pub secret: PathBuf,
    /// The authorities that the receiver's certificate is checked against; left out, those of the system
    #[arg(long, value_name = "FILE")]
    pub authorities: Option<PathBuf>,
    /// How long it may take in all
    #[arg(long, value_parser = crate::cli::term::values::span, default_value = "10s", value_name = "TIME")]
    pub within: crate::domain::value::time::Span,
}

/// Sends stdin.
///
/// # Errors
/// If it was not received, or nobody knows.
pub fn run(output: &mut Output, arguments: &WebhookArguments) -> Ran {
    let mut body = Vec::new();
    let read = std::io::stdin().lock().take(LONGEST_BODY_BYTES.saturating_add(1)).read_to_end(&mut body);
    read.map_err(|error| failed("what is to be sent cannot be read", &error))?;
    if u64::try_from(body.len()).unwrap_or(u64::MAX) > LONGEST_BODY_BYTES {
        return Err(Failure::Usage(format!("what is to be sent has over {LONGEST_BODY_BYTES} bytes")));
    }
    let secret = secret(&arguments.secret)?;
    let id = id_of(&body);
    let seconds = wall_time().millis().div_euclid(1_000).to_string();
    let within = Duration::from_millis(u64::try_from(arguments.within.millis()).unwrap_or_default());
    let agent = agent(arguments, within)?;
    let request = agent
        .post(&arguments.url)
        .header("content-type", "application/json")
        .header("webhook-id", &id)
        .header("webhook-timestamp", &seconds)
        .header("webhook-signature", signature(&secret, &id, &seconds, &body));
    let status = request.send(&body).map_err(|error| failed("it was not received", &error))?.status();
    if !status.is_success() {
        return Err(Failure::Failed(format!("it was not received: the answer is {status}")));
    }
    output.note(&format!("received as {id}"));
    Ok(Exit::Yes)
}

/// The same for the same notification, however often it is sent: the receiver takes one of them.
fn id_of(body: &[u8]) -> String {
    let value: Option<serde_json::Value> = serde_json::from_slice(body).ok();
    let id = value.as_ref().and_then(|value| value.get("id")).and_then(serde_json::Value::as_str);
    let plain = |id: &&str| !id.is_empty() && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    id.filter(plain).map_or_else(|| format!("msg_{}", Digest::of(body)), str::to_owned)
}

/// `v1,` and the HMAC-SHA256 of id, time and body.
fn signature(secret: &[u8], id: &str, seconds: &str, body: &[u8]) -> String {
    let mut context = hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA256, secret));
    context.update(format!("{id}.{seconds}.").as_bytes());
    context.update(body);
    format!("v1,{}", STANDARD.encode(context.sign()))
}

fn secret(file: &Path) -> Result<Zeroizing<Vec<u8>>, Failure> {
    let unreadable = |error: std::io::Error| failed(&format!("`{}`", file.display()), &error);
    let mode = std::fs::metadata(file).map_err(unreadable)?.mode() & 0o7777;
    if mode & 0o077 != 0 {
        let text = format!("`{}` may be read by others (mode {mode:04o}); run `chmod 600` on it", file.display());
        return Err(Failure::Usage(text));
    }
    let text = Zeroizing::new(read_file(file)?);
    let text = std::str::from_utf8(&text).unwrap_or_default();
    let encoded = text.trim().strip_prefix("whsec_");
    let secret = encoded.and_then(|encoded| STANDARD.decode(encoded).ok().map(Zeroizing::new));
    let secret = secret.filter(|it| (24..=64).contains(&it.len()));
    let wanted = || format!("`{}` has no secret: `whsec_` and the base64 of 24 to 64 random bytes", file.display());
    secret.ok_or_else(|| Failure::Usage(wanted()))
}

fn agent(arguments: &WebhookArguments, within: Duration) -> Result<Agent, Failure> {
    let is_local = is_local(&arguments.url)?;
    let mut tls = TlsConfig::builder()
        .unversioned_rustls_crypto_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()));
    if arguments.url.get(..6).is_some_and(|begin| begin.eq_ignore_ascii_case("https:")) {
        tls = tls.root_certs(roots(arguments.authorities.as_deref())?);
    }
    let config = Agent::config_builder()
        .timeout_global(Some(within))
        .max_redirects(0)
        .max_redirects_will_error(false)
        .http_status_as_error(false)
        .user_agent("countersign")
        .proxy(if is_local { None } else { Proxy::try_from_env() })
        .tls_config(tls.build());
    Ok(config.build().new_agent())
}

/// Whether it leads to this machine, to which plain HTTP may go, and no proxy. The URL is taken apart as it is when it is called: what
/// begins like an address of this machine may lead elsewhere (`http://127.0.0.1:x@127.0.0.2/`).
fn is_local(url: &str) -> Result<bool, Failure> {
    let wanted = || {
        let text = format!(
            "`{url}`: `https://…` is wanted, or `http://` to this machine, no user's name in it, and a port from 1 to 65535"
        );
        Failure::Usage(text)
    };
    let parsed: Uri = url.parse().map_err(|_| wanted())?;
    let is_plain = |authority: &&Authority| has_port_or_none(authority, '@');
    let host = parsed.authority().filter(is_plain).map(Authority::host).ok_or_else(wanted)?;
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    let local = address.map_or(host == "localhost", |address| address.is_loopback());
    match parsed.scheme_str() {
        Some("https") => Ok(local),
        Some("http") if local => Ok(true),
        _ => Err(wanted()),
    }
}

fn roots(given: Option<&Path>) -> Result<RootCerts, Failure> {
    let system = SYSTEM_AUTHORITIES.iter().map(Path::new).find(|path| path.exists());
    let file =
        given.or(system).ok_or_else(|| Failure::Usage("this system has no authorities; name --authorities".into()))?;
    let text = read_file(file)?;
    let text = without_mark(&text);
    let unusable = |why: &dyn std::fmt::Display| Failure::Usage(format!("`{}`: {why}", file.display()));
    // What was named is read whole, or not at all; what the system has is the system's.
    if let Some(found) = given.and_then(|_| mistake(text, CERTIFICATES)) {
        return Err(unusable(&found));
    }
    let parsed: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(text).collect();
    let parsed = parsed.map_err(|error| unusable(&error))?;
    if parsed.is_empty() {
        return Err(unusable(&"it has no certificate of an authority"));
    }
    if let Some(why) = parsed.iter().filter(|_| given.is_some()).find_map(|it| no_authority(it, true)) {
        return Err(unusable(&why));
    }
    let found: Vec<_> = parsed.iter().map(|it| ureq::tls::Certificate::from_der(it).to_owned()).collect();
    Ok(RootCerts::new_with_certs(&found))
}

fn failed(what: &str, error: &dyn std::fmt::Display) -> Failure {
    Failure::Failed(format!("{what}: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of the Standard Webhooks specification's own libraries.
    #[test]
    fn a_signature_is_that_of_the_standard() {
        let secret = STANDARD.decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
        let signed = signature(&secret, "msg_p5jXN8AQM9LWM0D4loKWxJek", "1614265330", br#"{"test": 2432232314}"#);
        assert_eq!(signed, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }

    #[test]
    fn plain_http_goes_to_this_machine_alone() {
        for (url, local) in [
            ("https://hooks.example/x", Some(false)),
            ("http://127.0.0.1:8080/x", Some(true)),
            ("https://localhost:8443/x", Some(true)),
            ("http://localhost/x", Some(true)),
            ("http://[::1]:8080/x", Some(true)),
            ("http://127.0.0.1:x@127.0.0.2/", None),
            ("http://127.0.0.1:80@hooks.example/", None),
            ("https://user@hooks.example/", None),
            ("http://localhost.example:80/", None),
            ("http://127.0.0.1.example/", None),
            ("http://hooks.example/", None),
            ("https://hooks.example:99999/x", None),
            ("http://127.0.0.1:99999/", None),
            ("http://127.0.0.1:0/", None),
            ("http://127.0.0.1:/", None),
            ("http://[::1]:65536/", None),
            ("ftp://127.0.0.1/", None),
            ("127.0.0.1:80", None),
            ("", None),
        ] {
            assert_eq!(is_local(url).ok(), local, "{url}");
        }
    }

    #[test]
    fn authorities_that_would_be_read_by_half_are_refused_with_their_name() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("roots.pem");
        let told = |text: &str| {
            std::fs::write(&file, text).unwrap();
            roots(Some(&file)).err().map(|failure| failure.lines().join("\n")).unwrap_or_default()
        };
        let pem = |is_ca| {
            let mut params = rcgen::CertificateParams::default();
            params.is_ca = is_ca;
            params.self_signed(&rcgen::KeyPair::generate().unwrap()).unwrap().pem()
        };
        let root = pem(rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained));
        assert_eq!(told(&format!("\u{feff}{root}{}", root.replace('\n', "\r\n"))), "");
        assert_eq!(told(&pem(rcgen::IsCa::ExplicitNoCa)), "", "one that signed itself");
        for (text, why) in [
            (format!("{root}{}", root.replace("CERTIFICATE", "TRUSTED CERTIFICATE")), "would not be read"),
            (format!("{root}{}", root.replace("BEGIN", "begin")), "begins or ends no part"),
            (format!("{root}{}", root.replacen("\nMII", "\n#II", 1)), "roots.pem"),
            ("no certificate".to_owned(), "has no certificate"),
        ] {
            assert!(told(&text).contains(why) && told(&text).contains("roots.pem"), "{why}: {}", told(&text));
        }
    }

    #[test]
    fn the_same_notification_has_the_same_id() {
        assert_eq!(id_of(br#"{"id":"ntf_ab12","x":1}"#), "ntf_ab12");
        let other = id_of(br#"{"id":"a.b"}"#);
        assert!(other.starts_with("msg_") && other == id_of(br#"{"id":"a.b"}"#) && other != id_of(b"x"));
    }
}
