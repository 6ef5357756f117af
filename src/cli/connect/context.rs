//! Which broker, and as whom: flags, then the environment, then a section of the context file (design.md 12).
//!
//! ```toml
//! # ~/.config/countersign/contexts.toml; paths are relative to this file's folder
//! current = "production"
//! [production]
//! address = "https://broker.northwind.example:7443"
//! authority = "authority.pem"
//! certificate = "ana.pem"
//! key = "ana.key"
//! ```

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use serde::Deserialize;

use crate::cli::term::failure::{Failure, read_text};
use crate::sdk::{Client, ClientBuilder};

/// Where `dev` puts its certificates, in the folder that it runs in.
pub const DEV_FOLDER: &str = "certs-dev";
/// What `dev` says about itself, in [`DEV_FOLDER`].
pub const DEV_FILE: &str = "dev.toml";
/// The authority's certificate in [`DEV_FOLDER`].
pub const DEV_AUTHORITY: &str = "authority.pem";

/// How to reach a broker. Every option has a place in the environment or in the context file as well.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Connection")]
pub struct ConnectionArguments {
    /// The broker's address, `https://host:port` [env: COUNTERSIGN_ADDR]
    #[arg(long, global = true, value_name = "ADDRESS")]
    pub addr: Option<String>,
    /// The certificate of the authority that vouches for the broker, PEM [env: COUNTERSIGN_CA]
    #[arg(long, global = true, value_name = "FILE")]
    pub ca: Option<PathBuf>,
    /// Your certificate, PEM [env: COUNTERSIGN_CERT]
    #[arg(long, global = true, value_name = "FILE")]
    pub cert: Option<PathBuf>,
    /// Your key, PEM [env: COUNTERSIGN_KEY]
    #[arg(long, global = true, value_name = "FILE")]
    pub key: Option<PathBuf>,
    /// The name that the broker's certificate carries, if not the address's host
    #[arg(long, global = true, value_name = "NAME")]
    pub server_name: Option<String>,
    /// The section of the context file to use [env: COUNTERSIGN_CONTEXT]
    #[arg(long, global = true, value_name = "NAME")]
    pub context: Option<String>,
    /// The context file, if not ~/.config/countersign/contexts.toml
    #[arg(long, global = true, value_name = "FILE")]
    pub context_file: Option<PathBuf>,
    /// As one of the people of `countersign dev`, running in this folder
    #[arg(long = "as", global = true, value_name = "NAME", conflicts_with_all = ["cert", "key", "context"])]
    pub dev_person: Option<String>,
    /// How long to wait for an answer: 10s
    #[arg(long, global = true, value_name = "DURATION", value_parser = crate::cli::term::values::span)]
    pub timeout: Option<crate::domain::value::time::Span>,
}

/// What `dev` writes for `--as`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DevFile {
    /// Where it listens.
    pub address: String,
}

impl DevFile {
    /// The file's text.
    #[must_use]
    pub fn text(&self) -> String {
        // A JSON string is a TOML string.
        let address = serde_json::Value::from(self.address.as_str());
        format!("# Written by `countersign dev`, for `--as NAME`.\naddress = {address}\n")
    }
}

/// A section of the context file; also what flags and environment come to.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Target {
    /// `https://host:port`.
    pub address: Option<String>,
    /// The authority's certificate.
    pub authority: Option<PathBuf>,
    /// The client's certificate.
    pub certificate: Option<PathBuf>,
    /// The client's key.
    pub key: Option<PathBuf>,
    /// The name that the broker's certificate carries.
    pub server_name: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
struct ContextFile {
    current: Option<String>,
    #[serde(flatten)]
    sections: BTreeMap<String, Target>,
}

/// Connects as flags, environment and context file say.
///
/// # Errors
/// If they do not say enough, or the broker cannot be reached.
pub async fn connect(arguments: &ConnectionArguments) -> Result<Client, Failure> {
    let environment = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    let target = resolve(arguments, &environment)?;
    let mut builder = builder(&target)?;
    if let Some(timeout) = arguments.timeout {
        let timeout = Duration::from_millis(timeout.millis().unsigned_abs());
        builder = builder.call_timeout(timeout).connect_timeout(timeout);
    }
    // Whoever has no account yet may ask for one.
    Ok(builder.connect_unasked().await?)
}

/// Where flags, environment and context file lead to.
///
/// # Errors
/// If a file that they name cannot be used.
pub fn resolve(
    arguments: &ConnectionArguments,
    environment: &dyn Fn(&str) -> Option<String>,
) -> Result<Target, Failure> {
    let flags = Target {
        address: arguments.addr.clone(),
        authority: arguments.ca.clone(),
        certificate: arguments.cert.clone(),
        key: arguments.key.clone(),
        server_name: arguments.server_name.clone(),
    };
    if let Some(name) = &arguments.dev_person {
        // A flag: the environment does not mix with it.
        return Ok(flags.or(dev_target(Path::new(DEV_FOLDER), name)?));
    }
    let path = |name: &str| environment(name).map(PathBuf::from);
    let from_environment = Target {
        address: environment("COUNTERSIGN_ADDR"),
        authority: path("COUNTERSIGN_CA"),
        certificate: path("COUNTERSIGN_CERT"),
        key: path("COUNTERSIGN_KEY"),
        server_name: None,
    };
    let from_file = from_context_file(arguments, environment)?;
    Ok(flags.or(from_environment).or(from_file))
}

impl Target {
    /// This, with what it lacks taken from another. A certificate never goes with another's key.
    #[must_use]
    fn or(self, other: Self) -> Self {
        let own_identity = self.certificate.is_some() || self.key.is_some();
        let (certificate, key) =
            if own_identity { (self.certificate, self.key) } else { (other.certificate, other.key) };
        Self {
            address: self.address.or(other.address),
            authority: self.authority.or(other.authority),
            certificate,
            key,
            server_name: self.server_name.or(other.server_name),
        }
    }

    fn within(self, folder: &Path) -> Self {
        let join = |path: Option<PathBuf>| path.map(|path| folder.join(path));
        Self { authority: join(self.authority), certificate: join(self.certificate), key: join(self.key), ..self }
    }
}

fn builder(target: &Target) -> Result<ClientBuilder, Failure> {
    let missing = |what: &str, flag: &str, variable: &str| {
        Failure::Usage(format!(
            "no {what} is given: use `{flag}`, `{variable}`, a context file, or `--as NAME` with `countersign dev`"
        ))
    };
    let address = target.address.as_ref().ok_or_else(|| missing("broker's address", "--addr", "COUNTERSIGN_ADDR"))?;
    let authority = target.authority.as_ref().ok_or_else(|| missing("authority", "--ca", "COUNTERSIGN_CA"))?;
    let certificate =
        target.certificate.as_ref().ok_or_else(|| missing("certificate", "--cert", "COUNTERSIGN_CERT"))?;
    let key = target.key.as_ref().ok_or_else(|| missing("key", "--key", "COUNTERSIGN_KEY"))?;
    let builder = Client::builder(address).authority_file(authority).identity_files(certificate, key);
    Ok(match &target.server_name {
        Some(name) => builder.server_name(name),
        None => builder,
    })
}

fn dev_target(folder: &Path, name: &str) -> Result<Target, Failure> {
    let file = folder.join(DEV_FILE);
    let text = read_text(&file).map_err(|_| {
        let text = format!("there is no `{}`: run `countersign dev` in this folder first", file.display());
        Failure::Usage(text)
    })?;
    let dev: DevFile = toml::from_str(&text).map_err(|error| unusable(&file, &error))?;
    let plain = !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b));
    let certificate = folder.join(format!("{name}.pem"));
    if !plain || !certificate.is_file() {
        return Err(Failure::Usage(format!("`{name}` is none of the people of this `countersign dev`")));
    }
    Ok(Target {
        address: Some(dev.address),
        authority: Some(folder.join(DEV_AUTHORITY)),
        certificate: Some(certificate),
        key: Some(folder.join(format!("{name}.key"))),
        server_name: None,
    })
}

fn from_context_file(
    arguments: &ConnectionArguments,
    environment: &dyn Fn(&str) -> Option<String>,
) -> Result<Target, Failure> {
    let wanted = arguments.context.clone().or_else(|| environment("COUNTERSIGN_CONTEXT"));
    let home = environment("XDG_CONFIG_HOME")
        .map(PathBuf::from)
        .or_else(|| environment("HOME").map(|home| Path::new(&home).join(".config")));
    let usual = home.map(|home| home.join("countersign").join("contexts.toml"));
    // A file that was named has to be there; the usual one only if a section of it was named.
    let required = arguments.context_file.is_some() || wanted.is_some();
    let Some(path) = arguments.context_file.clone().or(usual) else { return Ok(Target::default()) };
    if !required && !path.exists() {
        return Ok(Target::default());
    }
    let file: ContextFile = toml::from_str(&read_text(&path)?).map_err(|error| unusable(&path, &error))?;
    let Some(name) = wanted.or(file.current) else { return Ok(Target::default()) };
    let folder = path.parent().unwrap_or(Path::new("."));
    match file.sections.get(&name) {
        Some(section) => Ok(section.clone().within(folder)),
        None => {
            let known: Vec<_> = file.sections.keys().map(|name| format!("`{name}`")).collect();
            let text = format!("`{}` has no context `{name}`; it has {}", path.display(), known.join(", "));
            Err(Failure::Usage(text))
        }
    }
}

fn unusable(path: &Path, error: &toml::de::Error) -> Failure {
    Failure::Usage(format!("`{}` cannot be used: {}", path.display(), error.to_string().trim_end()))
}

#[cfg(test)]
#[path = "context_tests.rs"]
mod tests;
