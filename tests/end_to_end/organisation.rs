//! Northwind at run time: its authority and its people's certificates, its policy and directory from `examples/`, and
//! the broker's configuration, all in a folder of its own.

use std::path::{Path, PathBuf};

use crate::common::certificates::{self, Authority, Leaf, client, now_millis};

/// Engineers besides those of the example, so that tests that share a broker do not share a person.
pub const ENGINEERS: usize = 60;

pub struct Organisation {
    pub folder: tempfile::TempDir,
    pub northwind: Authority,
    pub acme: Authority,
    pub globex: Authority,
}

/// The two files, before they are written.
pub struct Files {
    pub policy: String,
    pub directory: String,
}

impl Files {
    /// The example's, with a recent day for each attestation, and the further engineers.
    pub fn example() -> Self {
        let policy = include_str!("../../examples/policy.toml").to_owned();
        let mut directory = include_str!("../../examples/directory.toml").replace("2026-11-02", &days_ago(2));
        for number in 1..=ENGINEERS {
            directory.push_str(&engineer(&format!("eng{number:02}")));
        }
        Self { policy, directory }
    }
}

/// An engineer's lines in a directory.
pub fn engineer(name: &str) -> String {
    let day = days_ago(2);
    format!(
        "[people.{name}]\nmanager = \"ines\"\n\
         attestations = {{ screening = {day}, background-check = {day}, annual-training = {day}, dba-training = {day} }}\n\
         [accounts.{name}]\nperson = \"{name}\"\nroles = [\"db-engineer\"]\n\
         identities = [\"spiffe://northwind.example/person/{name}\"]\n"
    )
}

/// A day in the form of the files.
pub fn days_ago(days: i64) -> String {
    let at = chrono::DateTime::from_timestamp_millis(now_millis() - days * 86_400_000).unwrap();
    at.format("%Y-%m-%d").to_string()
}

impl Organisation {
    pub fn new() -> Self {
        Self::with(&Files::example())
    }

    pub fn with(files: &Files) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let [northwind, acme, globex] = ["northwind", "acme", "globex"].map(Authority::new);
        let broker = northwind.issue_server("spiffe://northwind.example/service/countersign");
        for (name, text) in [
            ("northwind.pem", northwind.pem().as_str()),
            ("acme.pem", &acme.pem()),
            ("globex.pem", &globex.pem()),
            ("broker.pem", &broker.chain_pem),
            ("broker.key", &broker.key_pem),
            ("policy.toml", &files.policy),
            ("directory.toml", &files.directory),
        ] {
            certificates::write(folder.path(), name, text);
        }
        let organisation = Self { folder, northwind, acme, globex };
        organisation.configure("");
        organisation
    }

    /// Writes a configuration in which nobody is over a budget, because one person of the test stands for very many.
    pub fn configure_without_budgets(&self) {
        let budgets = ["person_commands", "machine_commands", "taking_away", "journal_minute", "journal_day"];
        let lines = budgets.map(|key| format!("budgets.{key} = \"1000000000 at once, 1000000000 each 1ms\"\n"));
        self.configure(&lines.concat());
    }

    /// Writes the broker's configuration, with further lines at its top.
    pub fn configure(&self, lines: &str) {
        let text = format!(
            "listen = \"127.0.0.1:0\"\njournal = \"journal.db\"\nruntimes = 1\n{lines}\n\
             [tls]\ncertificate = \"broker.pem\"\nkey = \"broker.key\"\n\
             [[tls.authorities]]\nfile = \"northwind.pem\"\ntrust_domains = [\"northwind.example\"]\n\
             [[tls.authorities]]\nfile = \"acme.pem\"\ntrust_domains = [\"acme.example\"]\n\
             [[tls.authorities]]\nfile = \"globex.pem\"\ntrust_domains = [\"globex.example\"]\n"
        );
        std::fs::write(self.path("broker.toml"), text).unwrap();
    }

    /// The authority of Northwind's people and machines.
    pub fn authority(&self) -> &Authority {
        &self.northwind
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn journal(&self) -> PathBuf {
        self.path("journal.db")
    }

    /// The certificate of somebody or something of Northwind.
    pub fn leaf(&self, name: &str) -> Leaf {
        let identity = identity(name);
        let authority = if identity.starts_with("spiffe://acme.") { &self.acme } else { self.authority() };
        let authority = if identity.starts_with("spiffe://globex.") { &self.globex } else { authority };
        authority.issue(&client(&identity))
    }

    /// The same as files, for the command line.
    pub fn leaf_files(&self, name: &str) -> (PathBuf, PathBuf) {
        let leaf = self.leaf(name);
        let folder: &Path = self.folder.path();
        (
            certificates::write(folder, &format!("{name}.pem"), &leaf.chain_pem),
            certificates::write(folder, &format!("{name}.key"), &leaf.key_pem),
        )
    }
}

pub fn identity(name: &str) -> String {
    if let Some((tenant, own)) = name.split_once('.') {
        let kind = if own == "idp" { "service" } else { "person" };
        return format!("spiffe://{tenant}.example/{kind}/{own}");
    }
    let machines = ["orders-api", "mail-api", "deploy-bot", "hr-sync", "training-feed"];
    let kind = if machines.contains(&name) || name.contains("-bot") { "service" } else { "person" };
    format!("spiffe://northwind.example/{kind}/{name}")
}
