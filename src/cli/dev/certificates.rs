//! The throwaway certificates of `dev` and `demo`: authorities that forget their keys, one a trust domain, a broker's leaf for loopback alone,
//! and a client's leaf with exactly one URI for each person and service. Valid for a day; files 0600 in a folder 0700.

use std::collections::BTreeMap;
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose, SanType, date_time_ymd,
};

use crate::domain::value::ids::Identity;
use crate::domain::value::time::{Span, Timestamp};

/// Where the files are.
#[derive(Debug, Clone)]
pub struct DevCertificates {
    /// The certificate of the authority that speaks for the broker.
    pub authority: PathBuf,
    /// Each authority's, by the trust domain that it speaks for: a customer's speaks for the customer alone.
    pub authorities: BTreeMap<String, PathBuf>,
    /// The broker's certificate and key.
    pub server: LeafFiles,
    /// The folder, for [`DevCertificates::client`].
    folder: PathBuf,
}

/// A certificate and its key.
#[derive(Debug, Clone)]
pub struct LeafFiles {
    /// The certificate, PEM.
    pub certificate: PathBuf,
    /// The private key, PEM.
    pub key: PathBuf,
}

impl DevCertificates {
    /// The files of the client called `name`, as they were given to [`make`].
    #[must_use]
    pub fn client(&self, name: &str) -> LeafFiles {
        leaf_files(&self.folder, name)
    }
}

/// Makes new authorities and their leaves in `folder`, over whatever was there. `clients` are file names and identities.
///
/// # Errors
/// If the folder or a file cannot be written, or a name is no file name.
pub fn make(
    folder: &Path,
    server: &Identity,
    clients: &[(String, Identity)],
    now: Timestamp,
) -> Result<DevCertificates> {
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)
        .and_then(|()| std::fs::set_permissions(folder, std::fs::Permissions::from_mode(0o700)))
        .with_context(|| format!("cannot make the folder `{}`; check who owns it", folder.display()))?;
    let own = server.trust_domain();
    let mut authorities = BTreeMap::new();
    let mut issuers = BTreeMap::new();
    for domain in clients.iter().map(|(_, identity)| identity.trust_domain()).chain([own]) {
        if !issuers.contains_key(domain) {
            let issuer = authority(domain, now)?;
            let name = if domain == own { "authority.pem".to_owned() } else { format!("authority-{domain}.pem") };
            write_secret(&folder.join(&name), &issuer.pem())?;
            authorities.insert(domain.to_owned(), folder.join(name));
            issuers.insert(domain, issuer);
        }
    }
    let issuer = |identity: &Identity| issuers.get(identity.trust_domain()).context("a trust domain without authority");
    let loopback = [std::net::IpAddr::from([127, 0, 0, 1]), std::net::Ipv6Addr::LOCALHOST.into()];
    let mut names = vec![SanType::DnsName("localhost".try_into()?)];
    names.extend(loopback.map(SanType::IpAddress));
    let files = leaf_files(folder, "broker");
    issue(issuer(server)?, server, names, ExtendedKeyUsagePurpose::ServerAuth, now, &files)?;
    for (name, identity) in clients {
        if name.is_empty() || name == "broker" || name.starts_with("authority") || name.contains(['/', '\\', '\0']) {
            bail!("`{}` cannot be the file name of a certificate", name.escape_debug());
        }
        issue(
            issuer(identity)?,
            identity,
            Vec::new(),
            ExtendedKeyUsagePurpose::ClientAuth,
            now,
            &leaf_files(folder, name),
        )?;
    }
    let authority = folder.join("authority.pem");
    Ok(DevCertificates { authority, authorities, server: files, folder: folder.to_owned() })
}

/// An authority that forgets its key.
fn authority(domain: &str, now: Timestamp) -> Result<CertifiedIssuer<'static, KeyPair>> {
    let mut params = params(now);
    params.distinguished_name.push(DnType::CommonName, format!("countersign throwaway authority of {domain}"));
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    Ok(CertifiedIssuer::self_signed(params, KeyPair::generate()?)?)
}

fn issue(
    authority: &CertifiedIssuer<'_, KeyPair>,
    identity: &Identity,
    mut names: Vec<SanType>,
    usage: ExtendedKeyUsagePurpose,
    now: Timestamp,
    files: &LeafFiles,
) -> Result<()> {
    let mut params = params(now);
    names.push(SanType::URI(identity.as_str().try_into()?));
    params.subject_alt_names = names;
    params.extended_key_usages = vec![usage];
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    let key = KeyPair::generate()?;
    let certificate = params.signed_by(&key, authority)?;
    write_secret(&files.certificate, &certificate.pem())?;
    write_secret(&files.key, &key.serialize_pem())
}

/// Valid for a day, and from a minute ago: two processes of one machine may read the clock in either order.
fn params(now: Timestamp) -> CertificateParams {
    let date = |at: Timestamp| {
        date_time_ymd(1970, 1, 1) + Duration::from_millis(u64::try_from(at.millis()).unwrap_or_default())
    };
    let mut params = CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.not_before = date(now.minus(Span::seconds(60)));
    params.not_after = date(now.plus(Span::DAY));
    params
}

fn leaf_files(folder: &Path, name: &str) -> LeafFiles {
    LeafFiles { certificate: folder.join(format!("{name}.pem")), key: folder.join(format!("{name}.key")) }
}

/// Removed first, so that neither an old file's mode nor a link stays.
fn write_secret(path: &Path, text: &str) -> Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            return Err(error).with_context(|| format!("cannot replace `{}`", path.display()));
        }
        _ => {}
    }
    let mut file = std::fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
        .with_context(|| format!("cannot write `{}`", path.display()))?;
    file.write_all(text.as_bytes()).with_context(|| format!("cannot write `{}`", path.display()))
}
