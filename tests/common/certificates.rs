//! Certificates made at run time: authorities, and leaves with whatever names and times a test asks for.
#![allow(dead_code, clippy::unwrap_used, reason = "each test file uses its own part; a test may panic")]

use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose, SanType, date_time_ymd,
};

/// Milliseconds since 1970, by the machine's clock: the clients' own TLS reads it too.
#[allow(clippy::disallowed_methods, reason = "certificates that a real client accepts lie around the real time")]
pub fn now_millis() -> i64 {
    i64::try_from(std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_millis()).unwrap()
}

/// A certificate authority.
pub struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
}

/// A leaf certificate with its chain and key, PEM.
pub struct Leaf {
    pub chain_pem: String,
    pub key_pem: String,
}

/// What a leaf says. Times are seconds relative to now.
pub struct Wanted {
    pub uris: Vec<String>,
    pub dns: Vec<String>,
    pub common_name: Option<String>,
    pub from_seconds: i64,
    pub to_seconds: i64,
    pub padding_bytes: usize,
    /// The subject alternative names as DER, as they stand, instead of those above.
    pub names_der: Option<Vec<u8>>,
}

impl Default for Wanted {
    fn default() -> Self {
        Self {
            uris: Vec::new(),
            dns: Vec::new(),
            common_name: None,
            from_seconds: -3_600,
            to_seconds: 86_400,
            padding_bytes: 0,
            names_der: None,
        }
    }
}

/// A client's leaf with exactly one URI.
pub fn client(uri: &str) -> Wanted {
    Wanted { uris: vec![uri.to_owned()], ..Wanted::default() }
}

impl Authority {
    pub fn new(name: &str) -> Self {
        let issuer = CertifiedIssuer::self_signed(authority_params(name), KeyPair::generate().unwrap()).unwrap();
        Self { issuer }
    }

    /// An authority below this one.
    pub fn intermediate(&self, name: &str) -> Self {
        let issuer =
            CertifiedIssuer::signed_by(authority_params(name), KeyPair::generate().unwrap(), &self.issuer).unwrap();
        Self { issuer }
    }

    pub fn pem(&self) -> String {
        self.issuer.pem()
    }

    pub fn issue(&self, wanted: &Wanted) -> Leaf {
        let mut params = CertificateParams::default();
        params.distinguished_name = rcgen::DistinguishedName::new();
        if let Some(name) = &wanted.common_name {
            params.distinguished_name.push(DnType::CommonName, name.as_str());
        }
        let uris = wanted.uris.iter().map(|uri| SanType::URI(uri.as_str().try_into().unwrap()));
        let dns = wanted.dns.iter().map(|name| match name.parse() {
            Ok(ip) => SanType::IpAddress(ip),
            Err(_) => SanType::DnsName(name.as_str().try_into().unwrap()),
        });
        params.subject_alt_names = uris.chain(dns).collect();
        if wanted.padding_bytes > 0 {
            let padding = vec![0_u8; wanted.padding_bytes];
            params.custom_extensions =
                vec![rcgen::CustomExtension::from_oid_content(&[1, 3, 6, 1, 4, 1, 99999], padding)];
        }
        if let Some(names) = &wanted.names_der {
            params.subject_alt_names.clear();
            params.custom_extensions.push(rcgen::CustomExtension::from_oid_content(&[2, 5, 29, 17], names.clone()));
        }
        params.not_before = date_time_ymd(1970, 1, 1) + since_1970(wanted.from_seconds);
        params.not_after = date_time_ymd(1970, 1, 1) + since_1970(wanted.to_seconds);
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        Leaf { chain_pem: certificate.pem(), key_pem: key.serialize_pem() }
    }

    /// A broker's leaf: its own SPIFFE ID, `localhost` and the loopback addresses.
    pub fn issue_server(&self, uri: &str) -> Leaf {
        let dns = ["localhost", "127.0.0.1", "::1"].map(str::to_owned).to_vec();
        self.issue(&Wanted { uris: vec![uri.to_owned()], dns, ..Wanted::default() })
    }
}

/// Writes a leaf's chain and key as `NAME.pem` and `NAME.key`.
pub fn write_leaf(folder: &Path, name: &str, leaf: &Leaf) {
    write(folder, &format!("{name}.pem"), &leaf.chain_pem);
    write(folder, &format!("{name}.key"), &leaf.key_pem);
}

/// Writes an authority, the broker's leaf, and one for each client whose identity `identity` gives.
pub fn write_all(folder: &Path, clients: impl IntoIterator<Item = String>, identity: impl Fn(&str) -> String) {
    let authority = Authority::new("northwind");
    write(folder, "authority.pem", &authority.pem());
    write_leaf(folder, "broker", &authority.issue_server(&identity("countersign")));
    for name in clients {
        write_leaf(folder, &name, &authority.issue(&client(&identity(&name))));
    }
}

/// Writes a file that its owner alone may read.
pub fn write(folder: &Path, name: &str, text: &str) -> PathBuf {
    write_with_mode(folder, name, text, 0o600)
}

pub fn write_with_mode(folder: &Path, name: &str, text: &str, mode: u32) -> PathBuf {
    use std::io::Write;
    use std::os::unix::fs::PermissionsExt;
    let path = folder.join(name);
    let mut file = std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(mode).open(&path).unwrap();
    file.write_all(text.as_bytes()).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
    path
}

fn authority_params(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.not_before = date_time_ymd(1970, 1, 1) + since_1970(-7_200);
    params.not_after = date_time_ymd(1970, 1, 1) + since_1970(7 * 86_400);
    params
}

/// `seconds` after now, since 1970.
fn since_1970(seconds: i64) -> Duration {
    Duration::from_millis(u64::try_from(now_millis() + seconds * 1_000).unwrap())
}
