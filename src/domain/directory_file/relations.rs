//! What must hold between the parts of a directory: everybody named exists, nobody is above themselves, no identity
//! means two (known failure D8), and each tenant has a trust domain of its own.

use std::collections::{BTreeMap, BTreeSet};

use super::draft::{Draft, Holder};
use crate::domain::directory::{AccountKind, Directory, tenant_named_by};
use crate::domain::policy::reader::{Reader, Table};
use crate::domain::value::ids::{Identity, PersonId, TenantName};

pub(super) fn check(reader: &mut Reader<'_>, root: &Table<'_>, draft: &mut Draft) {
    persons_exist(reader, draft);
    tenants(reader, root, draft);
    managers(reader, draft);
    identities(reader, draft);
    trust_domains(reader, draft);
    one_side_each(reader, draft);
    managers_of_own_side(reader, draft);
    names_of_tenants(reader, root, draft);
    audiences(reader, draft);
}

fn persons_exist(reader: &mut Reader<'_>, draft: &Draft) {
    let people = &draft.directory.people;
    for (person, at, path) in draft.persons_named.iter().filter(|(person, _, _)| !people.contains_key(person)) {
        if !reader.may_have_said(person.as_str()) {
            let suggestion = reader.suggest(person.as_str(), people.keys().map(PersonId::as_str));
            let wanted = format!("{suggestion}a person that is defined in `[people.…]`");
            reader.mistake(*at, path, format!("`{person}`, who is not in the directory"), wanted);
        }
    }
}

fn tenants(reader: &mut Reader<'_>, root: &Table<'_>, draft: &Draft) {
    let tenants = &draft.directory.tenants;
    for (tenant, at, path) in draft.tenants_named.iter().filter(|(tenant, _, _)| !tenants.contains_key(tenant)) {
        if !reader.may_have_said(tenant.as_str()) {
            let suggestion = reader.suggest(tenant.as_str(), tenants.keys().map(TenantName::as_str));
            let wanted = format!("{suggestion}a tenant that is defined in `[tenants.…]`");
            reader.mistake(*at, path, format!("`{tenant}`, which is no tenant"), wanted);
        }
    }
    let mut owners: BTreeMap<&str, &TenantName> = BTreeMap::new();
    let names: BTreeSet<&str> = tenants.keys().map(TenantName::as_str).collect();
    for (name, tenant) in tenants {
        // What a tenant's own feed names begins with `<tenant>.`.
        let dots = name.as_str().match_indices('.');
        if let Some(other) = dots.filter_map(|(at, _)| name.as_str().get(..at)).find(|begin| names.contains(begin)) {
            let node = root.key("tenants").and_then(|tenants| tenants.get(name.as_str()));
            let (at, path) = node.map(|node| (node.at, node.path)).unwrap_or_default();
            let wanted = format!("a name that does not begin with `{other}.`: that is how `{other}` names its own");
            reader.mistake(at, &path, format!("`{name}`"), wanted);
        }
        if let Some(other) = owners.insert(tenant.trust_domain.as_str(), name) {
            let node = root.key("tenants").and_then(|tenants| tenants.get(name.as_str())?.get("trust_domain"));
            let (at, path) = node.map(|node| (node.at, node.path)).unwrap_or_default();
            let found = format!("`{}`, which is the trust domain of `{other}` too", tenant.trust_domain);
            reader.mistake(at, &path, found, "a trust domain of its own for each tenant");
        }
    }
}

/// Nobody is above themselves, over however many steps; each circle is reported once, at its first person's manager.
fn managers(reader: &mut Reader<'_>, draft: &Draft) {
    let people = &draft.directory.people;
    let mut walked: BTreeSet<&PersonId> = BTreeSet::new();
    for start in people.keys() {
        let mut way: Vec<&PersonId> = Vec::new();
        let mut on_way: BTreeSet<&PersonId> = BTreeSet::new();
        let mut next = Some(start);
        while let Some(person) = next.filter(|person| !walked.contains(person)) {
            if !on_way.insert(person) {
                let circle: Vec<&PersonId> = way.iter().copied().skip_while(|id| *id != person).collect();
                report_circle(reader, draft, &circle);
                break;
            }
            way.push(person);
            next = people.get(person).and_then(|person| person.manager.as_ref());
        }
        walked.extend(way);
    }
}

/// A customer answers for no employee, and nobody for another organisation's people.
fn managers_of_own_side(reader: &mut Reader<'_>, draft: &Draft) {
    let people = &draft.directory.people;
    for (id, person) in people {
        let manager = person.manager.as_ref().and_then(|manager| people.get_key_value(manager));
        let Some((manager, _)) = manager.filter(|(_, above)| above.tenant != person.tenant) else { continue };
        let Some((at, path)) = draft.managers.get(id) else { continue };
        let found = format!("`{manager}`, who is not of the same organisation as `{id}`");
        reader.mistake(*at, path, found, "a manager of the same tenant, or of the own organisation");
    }
}

fn report_circle(reader: &mut Reader<'_>, draft: &Draft, circle: &[&PersonId]) {
    let Some(first) = circle.iter().min() else { return };
    let Some((at, path)) = draft.managers.get(*first) else { return };
    let shown: Vec<String> = circle.iter().take(8).map(|id| format!("`{id}`")).collect();
    let more = if circle.len() > 8 { " and others" } else { "" };
    let found = match circle {
        [one] => format!("`{one}`, their own manager"),
        _ => format!("{}{more}, each below the other", shown.join(", ")),
    };
    reader.mistake(*at, path, found, "another manager, or none: nobody is above themselves");
}

/// An identity means one account, or one person without one. What a person logs in with and their own account has
/// as well has moved to the account: it is no login any more.
fn identities(reader: &mut Reader<'_>, draft: &mut Draft) {
    let mut holders: BTreeMap<&Identity, &Holder> = BTreeMap::new();
    let mut moved: Vec<(PersonId, Identity)> = Vec::new();
    // Accounts first, so that a login is compared with them.
    let (accounts, logins): (Vec<_>, Vec<_>) =
        draft.identities.iter().partition(|named| matches!(named.holder, Holder::Account(_)));
    for named in accounts.into_iter().chain(logins) {
        let Some(other) = holders.get(&named.identity).copied() else {
            holders.insert(&named.identity, &named.holder);
            continue;
        };
        match (&named.holder, other) {
            (Holder::Login(person), Holder::Account(account)) if is_account_of(&draft.directory, account, person) => {
                moved.push((person.clone(), named.identity.clone()));
            }
            _ => {
                let found = format!("`{}`, which is in `{other}` as well", named.identity);
                reader.mistake(named.at, &named.path, found, "each identity in one place");
            }
        }
    }
    for (person, identity) in moved {
        if let Some(person) = draft.directory.people.get_mut(&person) {
            person.login.remove(&identity);
        }
    }
}

fn is_account_of(directory: &Directory, account: &crate::domain::value::ids::AccountId, person: &PersonId) -> bool {
    directory.accounts.get(account).is_some_and(|account| !account.is_machine() && account.person() == person)
}

/// A tenant's people speak from its trust domain, and nobody else does.
fn trust_domains(reader: &mut Reader<'_>, draft: &Draft) {
    let tenants = &draft.directory.tenants;
    let domains: BTreeMap<&str, &TenantName> =
        tenants.iter().map(|(name, tenant)| (tenant.trust_domain.as_str(), name)).collect();
    let mut tenants_of: BTreeMap<&PersonId, BTreeSet<Option<&TenantName>>> = BTreeMap::new();
    for account in draft.directory.accounts.values() {
        tenants_of.entry(account.person()).or_default().insert(tenant_of(&account.kind));
    }
    for named in &draft.identities {
        let domain = named.identity.trust_domain();
        let domain_of = domains.get(domain).copied();
        let fits = match &named.holder {
            Holder::Account(id) => {
                let Some(account) = draft.directory.accounts.get(id) else { continue };
                if tenant_of(&account.kind).is_some_and(|tenant| !tenants.contains_key(tenant)) {
                    continue;
                }
                tenant_of(&account.kind) == domain_of
            }
            // Who has no account yet may become a customer of that tenant.
            Holder::Login(person) => domain_of.is_none_or(|tenant| {
                tenants_of.get(person).is_none_or(|theirs| theirs.iter().all(|of| *of == Some(tenant)))
            }),
        };
        if !fits {
            let found = format!("`{}`", named.identity);
            let wanted = match domain_of {
                Some(tenant) => format!("another trust domain: `{domain}` is that of tenant `{tenant}` alone"),
                None => "an identity of the tenant's own trust domain".to_owned(),
            };
            reader.mistake(named.at, &named.path, found, wanted);
        }
    }
}

fn tenant_of(kind: &AccountKind) -> Option<&TenantName> {
    match kind {
        AccountKind::Customer { tenant, .. } => Some(tenant),
        AccountKind::ServiceTeam { .. } | AccountKind::Service { .. } => None,
    }
}

/// A person with all their accounts and machines belongs to one tenant, or to the own organisation, and is recorded so.
fn one_side_each(reader: &mut Reader<'_>, draft: &mut Draft) {
    let tenants = &draft.directory.tenants;
    let domains: BTreeMap<&str, &TenantName> =
        tenants.iter().map(|(name, tenant)| (tenant.trust_domain.as_str(), name)).collect();
    let mut sides: BTreeMap<PersonId, Option<TenantName>> = BTreeMap::new();
    for (id, account) in &draft.directory.accounts {
        let own = account.tenant().cloned();
        let side = sides.entry(account.person().clone()).or_insert_with(|| own.clone());
        if *side != own {
            let of = |side: &Option<TenantName>| {
                side.as_ref().map_or("of the own organisation".to_owned(), |tenant| format!("of tenant `{tenant}`"))
            };
            let found = format!("`{}`, who is {} by another account", account.person(), of(side));
            let (at, path) = draft.places_of_accounts.get(id).cloned().unwrap_or_default();
            reader.mistake(at, &path, found, format!("a person who is {}", of(&own)));
        }
    }
    // Whoever has no account yet belongs to the tenant whose trust domain their login is of.
    for (id, person) in &draft.directory.people {
        let domain = person.login.iter().find_map(|identity| domains.get(identity.trust_domain()));
        if let (Some(tenant), false) = (domain, sides.contains_key(id)) {
            sides.insert(id.clone(), Some((*tenant).clone()));
        }
    }
    for (id, tenant) in sides {
        if let Some(person) = draft.directory.people.get_mut(&id) {
            person.tenant = tenant;
        }
    }
}

/// What begins with a tenant's name and a dot is that tenant's, so that its own feed finds its ids free.
fn names_of_tenants(reader: &mut Reader<'_>, root: &Table<'_>, draft: &Draft) {
    let Directory { tenants, people, accounts } = &draft.directory;
    let people = people.iter().map(|(id, person)| ("people", id.as_str(), person.tenant.as_ref()));
    let accounts = accounts.iter().map(|(id, account)| ("accounts", id.as_str(), account.tenant()));
    for (section, id, side) in people.chain(accounts) {
        let Some(tenant) = tenant_named_by(tenants, id).filter(|tenant| side != Some(*tenant)) else { continue };
        let node = root.key(section).and_then(|section| section.get(id));
        let (at, path) = node.map(|node| (node.at, node.path)).unwrap_or_default();
        let wanted = format!("an id that does not begin with `{tenant}.`: that is how `{tenant}` names its own");
        reader.mistake(at, &path, format!("`{id}`, which is not of tenant `{tenant}`"), wanted);
    }
}

/// A customer checks within its own tenant's space.
fn audiences(reader: &mut Reader<'_>, draft: &Draft) {
    for (id, pattern, at) in &draft.audiences {
        let Some(tenant) = draft.directory.accounts.get(id).and_then(|account| tenant_of(&account.kind)) else {
            continue;
        };
        if pattern.tenant() != Some(tenant.as_str()) {
            let wanted = format!("a pattern in `tenants/{tenant}/`: a customer sees no other space");
            reader.mistake(*at, &format!("accounts.{id}.audience"), format!("`{pattern}`"), wanted);
        }
    }
}
