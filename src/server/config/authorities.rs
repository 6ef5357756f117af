//! `[[tls.authorities]]`: who may issue client certificates, and for whom.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;
use std::path::Path;
use std::str::FromStr;

use toml::{Table, Value};

use super::values::{ConfigMistake, Values};
use crate::domain::value::identity_pattern::IdentityPattern;
use crate::domain::value::ids::TrustDomain;
use crate::server::transport::tls::{AuthoritySettings, TlsSettings};

pub(super) fn authorities(values: &mut Values, folder: &Path) -> Vec<AuthoritySettings> {
    let wanted = "give `[[tls.authorities]]` with `file` and `trust_domains`";
    let list = match values.given("tls.authorities").map(|given| given.value.clone()) {
        Some(Value::Array(list)) if !list.is_empty() => list,
        _ => {
            values.mistake("`tls.authorities`", format!("no authority may issue client certificates; {wanted}"));
            return Vec::new();
        }
    };
    let mut authorities = Vec::new();
    for (index, entry) in list.iter().enumerate() {
        let place = format!("`tls.authorities[{index}]`");
        let Value::Table(table) = entry else {
            values.mistake(&place, format!("is not a table; {wanted}"));
            continue;
        };
        authorities.extend(authority(values, folder, &place, table));
    }
    authorities
}

fn authority(values: &mut Values, folder: &Path, place: &str, table: &Table) -> Option<AuthoritySettings> {
    for key in table.keys().filter(|key| !matches!(key.as_str(), "file" | "trust_domains" | "identities")) {
        values.mistake(place, format!("unknown key `{key}`; there are `file`, `trust_domains`, `identities`"));
    }
    let Some(file) = table.get("file").and_then(Value::as_str).filter(|file| !file.is_empty()) else {
        values.mistake(place, "`file` is missing; give the authority's root certificates, a PEM file");
        return None;
    };
    let trust_domains: BTreeSet<TrustDomain> = texts(values, place, table, "trust_domains", "northwind.example");
    if trust_domains.is_empty() {
        values.mistake(place, "`trust_domains` is missing or empty; list those that this authority speaks for");
    }
    let example = "spiffe://northwind.example/person/*";
    let identities: BTreeSet<IdentityPattern> = texts(values, place, table, "identities", example);
    if table.contains_key("identities") && identities.is_empty() {
        // Empty would read as "all": the widest, where the least was written.
        values.mistake(place, "`identities` is empty; list those that this authority speaks for, or leave the key out");
    }
    for pattern in identities.iter().filter(|pattern| !trust_domains.iter().any(|domain| pattern.is_of(domain))) {
        let problem = format!("`identities`: `{pattern}` is of none of its `trust_domains`; name one that is");
        values.mistake(place, problem);
    }
    Some(AuthoritySettings { file: folder.join(file), trust_domains, identities })
}

/// A list of texts, each of which parses.
fn texts<T>(values: &mut Values, place: &str, table: &Table, key: &str, example: &str) -> BTreeSet<T>
where
    T: FromStr + Ord,
    T::Err: Display,
{
    let mut found = BTreeSet::new();
    let list = match table.get(key) {
        None => return found,
        Some(Value::Array(list)) => list,
        Some(other) => {
            values.mistake(place, format!("`{key}`: a {} is no list; write `[\"{example}\"]`", other.type_str()));
            return found;
        }
    };
    for text in list {
        match text.as_str().map(str::parse::<T>) {
            Some(Ok(value)) => drop(found.insert(value)),
            Some(Err(error)) => values.mistake(place, format!("`{key}`: {error}")),
            None => values.mistake(place, format!("`{key}`: not a text; write `[\"{example}\"]`")),
        }
    }
    found
}

/// What is allowed and probably not meant: two authorities that may speak for the same people and machines, so that
/// whoever holds either key is anybody of the other's.
#[must_use]
pub fn warnings(tls: &TlsSettings) -> Vec<ConfigMistake> {
    let mut whole: BTreeMap<&TrustDomain, Vec<&AuthoritySettings>> = BTreeMap::new();
    for authority in &tls.authorities {
        for domain in &authority.trust_domains {
            whole.entry(domain).or_default().push(authority);
        }
    }
    let shared = whole.into_iter().filter(|(_, all)| all.len() > 1);
    let told = shared.filter_map(|(domain, all)| {
        let open = all.iter().find(|authority| authority.identities.is_empty())?;
        let problem = format!(
            "{} authorities share the trust domain `{domain}`, and the one in `{}` may speak for all of it; give each its `identities`",
            all.len(),
            open.file.display()
        );
        Some(ConfigMistake { place: "`tls.authorities`".to_owned(), problem })
    });
    told.collect()
}
