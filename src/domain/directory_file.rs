//! Reads a whole directory file (docs/policy.md lists every key): a [`Directory`] that is consistent in itself, or every
//! mistake in it. What it says of roles and requirements is compared with policy by `check_together`.
//!
//! One identity means one account, or one person without one (known failure D8). Dates are days in UTC and instants say their
//! offset, because the local time zone is never read (known failure C5).

use std::collections::BTreeMap;

use draft::{Draft, Holder, NamedIdentity};

use super::directory::{Account, AccountKind, AccountState, ActsFor, Directory, Disabling, Membership, Person, Tenant};
use super::policy::document::read;
use super::policy::reader::{Node, Reader, Table};
use super::policy::{Mistake, Places, SourceFile, Warning};
use super::value::ids::{AccountId, Identity, PersonId, RequirementName, RoleName, TenantName, TrustDomain, excerpt};
use super::value::limits::IDENTITIES;
use super::value::scope::Pattern;

mod dates;
mod draft;
mod relations;

/// The longest directory file.
pub const LONGEST_DIRECTORY_BYTES: usize = 16 * 1024 * 1024;

/// A directory file that has no mistake in itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParsedDirectory {
    /// What it says.
    pub directory: Directory,
    /// What is allowed in it and probably not meant, in the order of the text.
    pub warnings: Vec<Warning>,
    /// Where the things are that a policy may contradict.
    pub places: Places,
}

/// Reads a directory file.
///
/// # Errors
/// Every mistake in it, in the order of the text.
pub fn parse_directory(text: &str) -> Result<ParsedDirectory, Vec<Mistake>> {
    let read = read(SourceFile::Directory, text, LONGEST_DIRECTORY_BYTES, directory)?;
    Ok(ParsedDirectory { directory: read.value, warnings: read.warnings, places: read.places })
}

fn directory(reader: &mut Reader<'_>, root: &Table<'_>) -> Directory {
    reader.only_known_keys(root, &["tenants", "people", "accounts"]);
    let mut draft = Draft::default();
    for (name, node) in section::<TenantName>(reader, root, "tenants") {
        if let Some(tenant) = tenant(reader, &node) {
            draft.directory.tenants.insert(name, tenant);
        }
    }
    for (id, node) in section::<PersonId>(reader, root, "people") {
        let person = person(reader, &id, &node, &mut draft);
        draft.directory.people.insert(id, person);
    }
    for (id, node) in section::<AccountId>(reader, root, "accounts") {
        if let Some(account) = account(reader, &id, &node, &mut draft) {
            draft.directory.accounts.insert(id, account);
        }
    }
    relations::check(reader, root, &mut draft);
    draft.directory
}

fn section<'d, N>(reader: &mut Reader<'_>, root: &Table<'d>, key: &str) -> Vec<(N, Node<'d>)>
where
    N: std::str::FromStr<Err = super::value::ids::InvalidId>,
{
    let table = root.key(key).and_then(|node| reader.named_tables(&node));
    table.map(|table| reader.named(&table)).unwrap_or_default()
}

fn tenant(reader: &mut Reader<'_>, node: &Node<'_>) -> Option<Tenant> {
    let table = reader.table(node, &["trust_domain"])?;
    let trust_domain =
        reader.required(&table, "trust_domain", "the trust domain of its identities, as in `\"acme.example\"`")?;
    reader.parsed::<TrustDomain>(&trust_domain).map(|trust_domain| Tenant { trust_domain })
}

fn person(reader: &mut Reader<'_>, id: &PersonId, node: &Node<'_>, draft: &mut Draft) -> Person {
    let mut person = Person::default();
    let Some(table) = reader.table(node, &["login", "manager", "attestations"]) else { return person };
    if let Some(login) = table.key("login") {
        let wanted = "a list of SPIFFE IDs that mean this person until there is an account";
        let found = reader.set::<Identity>(&login, wanted);
        few_enough(reader, &login, found.len());
        name_identities(draft, &found, &Holder::Login(id.clone()), &login.path);
        person.login = found.into_keys().collect();
    }
    if let Some(manager) = table.key("manager") {
        person.manager = reader.parsed::<PersonId>(&manager);
        if let Some(named) = &person.manager {
            draft.persons_named.push((named.clone(), manager.at, manager.path.clone()));
            draft.managers.insert(id.clone(), (manager.at, manager.path.clone()));
        }
    }
    if let Some(attestations) = table.key("attestations").and_then(|node| reader.named_tables(&node)) {
        for (requirement, node) in reader.named::<RequirementName>(&attestations) {
            reader.record(node.path.clone(), node.at);
            if let Some(attested) = dates::instant(reader, &node, dates::DayCounts::FromItsStart) {
                person.attestations.insert(requirement, attested);
            }
        }
    }
    person
}

fn account(reader: &mut Reader<'_>, id: &AccountId, node: &Node<'_>, draft: &mut Draft) -> Option<Account> {
    reader.record(node.path.clone(), node.at);
    draft.places_of_accounts.insert(id.clone(), (node.at, node.path.clone()));
    let known = ["person", "owner", "acts_for", "tenant", "identities", "audience", "roles", "until", "disabled"];
    let table = reader.table(node, &known)?;
    let wanted = "a list of at least one SPIFFE ID, as in `[\"spiffe://northwind.example/person/ana\"]`";
    let identities = reader.required(&table, "identities", wanted).map(|node| {
        let found = reader.filled_set::<Identity>(&node, wanted);
        few_enough(reader, &node, found.len());
        name_identities(draft, &found, &Holder::Account(id.clone()), &node.path);
        found.into_keys().collect()
    });
    let audience = table.key("audience").map(|node| reader.set::<Pattern>(&node, "a list of resource patterns"));
    let audience = audience.unwrap_or_default();
    draft.audiences.extend(audience.iter().map(|(pattern, at)| (id.clone(), pattern.clone(), *at)));
    let roles = table.key("roles").map(|node| roles(reader, &node, &table.path)).unwrap_or_default();
    let until = table.key("until").and_then(|node| dates::instant(reader, &node, dates::DayCounts::ToItsEnd));
    let disabled = table.key("disabled").map(|node| reader.prose(&node, 200, false).unwrap_or_default());
    Some(Account {
        kind: kind(reader, &table, draft)?,
        identities: identities.unwrap_or_default(),
        audience: audience.into_keys().collect(),
        roles,
        until,
        state: disabled
            .map_or(AccountState::Active, |reason| AccountState::Disabled { reason, because: Disabling::Directory }),
    })
}

fn kind(reader: &mut Reader<'_>, table: &Table<'_>, draft: &mut Draft) -> Option<AccountKind> {
    let (person, owner) = (table.key("person"), table.key("owner"));
    for (key, of_machine) in [("tenant", false), ("acts_for", true)] {
        if let (Some(node), false) = (table.key(key), if of_machine { owner.is_some() } else { person.is_some() }) {
            let wanted = if of_machine {
                "`owner` beside it: machines alone act for somebody"
            } else {
                "`person` beside it: a customer is a person"
            };
            reader.mistake(node.at, &node.path, format!("`{key}`"), wanted);
        }
    }
    let tenant = table.key("tenant").and_then(|node| {
        let tenant = reader.parsed::<TenantName>(&node)?;
        draft.tenants_named.push((tenant.clone(), node.at, node.path));
        Some(tenant)
    });
    let acts_for = table.key("acts_for").and_then(|node| acts_for(reader, &node)).unwrap_or(ActsFor::Itself);
    let mut named = |reader: &mut Reader<'_>, node: &Node<'_>| {
        let person = reader.parsed::<PersonId>(node)?;
        draft.persons_named.push((person.clone(), node.at, node.path.clone()));
        Some(person)
    };
    match (person, owner) {
        (Some(person), None) => {
            let person = named(reader, &person)?;
            let customer = table.key("tenant").is_some();
            if customer {
                Some(AccountKind::Customer { person, tenant: tenant? })
            } else {
                Some(AccountKind::ServiceTeam { person })
            }
        }
        (None, Some(owner)) => Some(AccountKind::Service { owner: named(reader, &owner)?, acts_for }),
        (Some(_), Some(owner)) => {
            let wanted = "one of `person` (a person's account) and `owner` (a machine's)";
            reader.mistake(owner.at, &table.path, "both `person` and `owner`", wanted);
            None
        }
        (None, None) => {
            let wanted = "`person = \"…\"` (a person's account) or `owner = \"…\"` (a machine's)";
            reader.required(table, "person", wanted);
            None
        }
    }
}

fn acts_for(reader: &mut Reader<'_>, node: &Node<'_>) -> Option<ActsFor> {
    match node.as_text() {
        Some("itself") => Some(ActsFor::Itself),
        Some("people") => Some(ActsFor::People),
        text => {
            let found = text.map_or(node.kind().to_owned(), |text| format!("`{}`", excerpt(text)));
            reader.mistake(
                node.at,
                &node.path,
                found,
                "`\"itself\"`, or `\"people\"`: then each request names a person",
            );
            None
        }
    }
}

/// `roles = ["db-engineer", { role = "incident-commander", until = 2027-01-31 }]`.
fn roles(reader: &mut Reader<'_>, node: &Node<'_>, account_path: &str) -> BTreeMap<RoleName, Membership> {
    let wanted = "a list of roles, as in `[\"db-engineer\", { role = \"incident-commander\", until = 2027-01-31 }]`";
    let mut all = BTreeMap::new();
    for item in reader.list(node, wanted).unwrap_or_default() {
        let (role, until) = if item.is_table() {
            let Some(table) = reader.table(&item, &["role", "until"]) else { continue };
            let role = reader.required(&table, "role", "the name of a role");
            let until = table.key("until").and_then(|node| dates::instant(reader, &node, dates::DayCounts::ToItsEnd));
            (role.and_then(|node| reader.parsed::<RoleName>(&node)), until)
        } else {
            (reader.parsed::<RoleName>(&item), None)
        };
        let Some(role) = role else { continue };
        reader.record(format!("{account_path}.roles.{role}"), item.at);
        if all.insert(role.clone(), Membership { until, ..Membership::default() }).is_some() {
            reader.mistake(item.at, &item.path, format!("`{role}` a second time"), "each role once");
        }
    }
    all
}

fn few_enough(reader: &mut Reader<'_>, node: &Node<'_>, count: usize) {
    if count > IDENTITIES {
        reader.mistake(node.at, &node.path, format!("{count} identities"), format!("at most {IDENTITIES}"));
    }
}

fn name_identities(draft: &mut Draft, found: &BTreeMap<Identity, usize>, holder: &Holder, path: &str) {
    for (identity, at) in found {
        let (identity, holder, path) = (identity.clone(), holder.clone(), path.to_owned());
        draft.identities.push(NamedIdentity { identity, holder, at: *at, path });
    }
}
