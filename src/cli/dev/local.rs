//! A broker inside this process, for `dev` and `demo`: the assembly that `serve` uses, with a configuration made on the
//! fly. Loopback alone, mutual TLS with throwaway certificates, the SQLite journal.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use tokio::signal::unix::{SignalKind, signal};

use super::certificates::{self, DevCertificates};
use crate::clock::{Clock, SystemClock};
use crate::domain::decide::Files;
use crate::domain::directory_file::parse_directory;
use crate::domain::policy::{Mistake, SourceFile, check_together, parse_policy};
use crate::domain::value::ids::{Identity, TrustDomain};
use crate::domain::value::time::{Span, Timestamp};
use crate::engine::{self, Store};
use crate::server::assembly::{self, Running};
use crate::server::budget::Budgets;
use crate::server::config::{GrantsOnRestart, LogFormat, ServeSettings};
use crate::server::transport::limits::Limits;
use crate::server::transport::tls::{AuthoritySettings, TlsSettings};

/// The policy of the example, as the repository has it.
pub(crate) const EXAMPLE_POLICY: &str = include_str!("../../../examples/policy.toml");
/// The directory of the example, as the repository has it; its dates need [`with_recent_dates`].
pub(crate) const EXAMPLE_DIRECTORY: &str = include_str!("../../../examples/directory.toml");
/// The one day on which everybody in the example proved everything.
const EXAMPLE_DATE: &str = "2026-11-02";
/// Certificates are valid for a day, and made anew after half of it.
const RENEW_AFTER: Span = Span::seconds(12 * 60 * 60);
const LOOK_EVERY: Duration = Duration::from_secs(60);
/// Who the broker itself is.
const BROKER: &str = "spiffe://northwind.example/service/countersign";

/// What a local broker is made of.
pub(crate) struct Setup {
    /// Where certificates go.
    pub(crate) certificates: PathBuf,
    /// The journal; filled from the two files if it is not there.
    pub(crate) journal: PathBuf,
    /// A loopback address.
    pub(crate) listen: SocketAddr,
    /// The policy's text.
    pub(crate) policy: String,
    /// The directory's text.
    pub(crate) directory: String,
}

/// The text with the example's day moved to yesterday, so that the example works in any year.
pub(crate) fn with_recent_dates(text: &str, now: Timestamp) -> String {
    let yesterday = now.minus(Span::DAY).to_string();
    let day = yesterday.split('T').next().unwrap_or_default();
    text.replace(EXAMPLE_DATE, day)
}

/// A broker that runs.
pub(crate) struct LocalBroker {
    /// Where it listens.
    pub(crate) address: SocketAddr,
    /// Everybody's certificates.
    pub(crate) certificates: DevCertificates,
    /// Whose they are.
    pub(crate) clients: Vec<(String, Identity)>,
    folder: PathBuf,
    made_at: Timestamp,
    running: Running,
}

impl LocalBroker {
    /// Makes certificates, fills the journal if it is not there, and serves.
    pub(crate) async fn start(setup: Setup) -> Result<Self> {
        let fresh = !setup.journal.exists();
        if fresh {
            without_mistakes(&setup.policy, &setup.directory)?;
        }
        let clients = clients(&setup.directory)?;
        let made_at = SystemClock.read().wall;
        let certificates = make_certificates(&setup.certificates, &clients, made_at)?;
        if fresh {
            let files = Files { policy: &setup.policy, directory: &setup.directory };
            engine::initialise(&Store::File(setup.journal.clone()), files, Arc::new(SystemClock))?;
        }
        let settings = settings(&setup, &certificates)?;
        let running = assembly::start(settings)?;
        let address = running.address();
        Ok(Self { address, certificates, clients, folder: setup.certificates, made_at, running })
    }

    /// Drains and stops.
    pub(crate) async fn stop(self) -> Result<()> {
        Ok(self.running.stop().await?)
    }

    /// Serves until Ctrl-C or SIGTERM, then drains. Certificates are made anew before they end.
    pub(crate) async fn until_stopped(mut self) -> Result<()> {
        let mut terminate = signal(SignalKind::terminate()).context("cannot hear SIGTERM")?;
        loop {
            tokio::select! {
                heard = tokio::signal::ctrl_c() => {
                    heard.context("cannot hear Ctrl-C")?;
                    return self.stop().await;
                }
                _ = terminate.recv() => return self.stop().await,
                error = self.running.broken() => return Err(error.into()),
                () = tokio::time::sleep(LOOK_EVERY) => self.renew()?,
            }
        }
    }

    /// By the wall clock: a laptop that slept has not waited.
    fn renew(&mut self) -> Result<()> {
        let now = SystemClock.read().wall;
        if now >= self.made_at && now.since(self.made_at) < RENEW_AFTER {
            return Ok(());
        }
        // The broker sees the new files by itself.
        self.certificates = make_certificates(&self.folder, &self.clients, now)?;
        self.made_at = now;
        Ok(())
    }
}

fn make_certificates(folder: &Path, clients: &[(String, Identity)], now: Timestamp) -> Result<DevCertificates> {
    certificates::make(folder, &BROKER.parse()?, clients, now)
}

/// What a configuration file would say.
fn settings(setup: &Setup, certificates: &DevCertificates) -> Result<ServeSettings> {
    let authorities = certificates.authorities.iter().map(|(domain, file)| {
        let trust_domains = BTreeSet::from([domain.parse::<TrustDomain>()?]);
        Ok(AuthoritySettings { file: file.clone(), trust_domains, identities: BTreeSet::new() })
    });
    let authorities = authorities.collect::<Result<_>>()?;
    Ok(ServeSettings {
        listen: setup.listen,
        journal: setup.journal.clone(),
        tls: TlsSettings {
            certificate: certificates.server.certificate.clone(),
            key: certificates.server.key.clone(),
            authorities,
        },
        metrics_listen: None,
        https_listen: None,
        ext_authz_routes: None,
        runtimes: std::thread::available_parallelism().map_or(1, NonZeroUsize::get),
        budgets: Budgets::default(),
        limits: Limits::default(),
        grants_on_restart: GrantsOnRestart::Resume,
        drain_deadline: Span::seconds(3),
        keep_closed: Span::DAY,
        log_format: LogFormat::Text,
    })
}

/// Refuses files with mistakes before anything is made, and names all of them.
fn without_mistakes(policy: &str, directory: &str) -> Result<()> {
    match (parse_policy(policy), parse_directory(directory)) {
        (Ok(policy), Ok(directory)) => {
            let together = check_together(&policy.policy, &directory.directory);
            together.map(|_| ()).map_err(|mut mistakes| {
                policy.places.locate(SourceFile::Policy, &mut mistakes);
                directory.places.locate(SourceFile::Directory, &mut mistakes);
                all_of(&mistakes)
            })
        }
        (policy, directory) => {
            let mistakes = policy.err().into_iter().chain(directory.err()).flatten();
            Err(all_of(&mistakes.collect::<Vec<_>>()))
        }
    }
}

fn all_of(mistakes: &[Mistake]) -> anyhow::Error {
    let lines = mistakes.iter().map(|mistake| match mistake.source_file {
        SourceFile::Policy => format!("policy: {mistake}"),
        SourceFile::Directory => format!("directory: {mistake}"),
        SourceFile::People => format!("people: {mistake}"),
    });
    anyhow!("the files have mistakes, and nothing was started\n{}", lines.collect::<Vec<_>>().join("\n"))
}

/// The name and identity of everybody in a directory who can have a certificate: accounts, and people who only log in.
pub(crate) fn clients(directory: &str) -> Result<Vec<(String, Identity)>> {
    let parsed = parse_directory(directory).map_err(|mistakes| all_of(&mistakes))?;
    let accounts = parsed.directory.accounts.iter().map(|(id, account)| (id.to_string(), &account.identities));
    let logins = parsed.directory.people.iter().map(|(id, person)| (id.to_string(), &person.login));
    let mut clients: BTreeMap<String, Identity> = BTreeMap::new();
    for (name, identities) in accounts.chain(logins) {
        for identity in identities {
            // A second identity of one account, or of a person who has one.
            let mut free = name.clone();
            let mut number = 1_u32;
            while clients.contains_key(&free) {
                number = number.saturating_add(1);
                free = format!("{name}-{number}");
            }
            clients.insert(free, identity.clone());
        }
    }
    Ok(clients.into_iter().collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_has_a_certificate_for_everybody_and_recent_attestations() {
        // given the example's directory, at some day
        let now = Timestamp::parse_rfc3339("2031-05-07T09:00:00Z").unwrap();
        let directory = with_recent_dates(EXAMPLE_DIRECTORY, now);
        // then every attestation is of the day before
        assert!(EXAMPLE_DIRECTORY.contains(EXAMPLE_DATE) && !directory.contains(EXAMPLE_DATE));
        let parsed = parse_directory(&directory).unwrap().directory;
        let yesterday = Timestamp::parse_rfc3339("2031-05-06T00:00:00Z").unwrap();
        let mut attestations = parsed.people.values().flat_map(|person| person.attestations.values());
        assert!(attestations.all(|at| *at == yesterday));
        // and accounts and those who only log in are all there
        let names: Vec<String> = clients(&directory).unwrap().into_iter().map(|(name, _)| name).collect();
        let people =
            ["acme.idp", "acme.lena", "ana", "ben", "config-bot", "deploy-bot", "hr-sync", "ines", "mail-api", "noa"];
        assert_eq!(names, [&people[..], &["omar", "orders-api", "pia", "sam", "training-feed", "vera"]].concat());
    }

    #[test]
    fn no_two_identities_share_a_file() {
        let directory = r#"
            [people.ana]
            login = ["spiffe://n.example/other"]
            [accounts.ana]
            person = "ana"
            identities = ["spiffe://n.example/a", "spiffe://n.example/b"]
        "#;
        let clients = clients(directory).unwrap();
        let shown: Vec<String> = clients.iter().map(|(name, identity)| format!("{name} {identity}")).collect();
        assert_eq!(shown, ["ana spiffe://n.example/a", "ana-2 spiffe://n.example/b", "ana-3 spiffe://n.example/other"]);
    }
}
