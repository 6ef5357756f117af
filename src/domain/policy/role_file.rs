//! `[roles.<name>]`: reads a job function and the standing power over the broker that it may carry.

use std::collections::BTreeSet;

use super::reader::{Node, Reader, Table};
use super::stage_file::Names;
use super::{Capability, CapabilityName, MemberKind, Role};
use crate::domain::value::ids::{PersonId, excerpt};
use crate::domain::value::scope::Pattern;
use crate::domain::value::time::Span;

/// Whom a role is for, if it says so rightly; read before the rest, since other sections ask.
pub(super) fn member_kind(node: &Node<'_>) -> Option<MemberKind> {
    match node.get("for") {
        None => Some(MemberKind::People),
        Some(given) => kind(given.as_text()?),
    }
}

/// One role.
pub(super) fn role(reader: &mut Reader<'_>, node: &Node<'_>, names: &Names) -> Option<Role> {
    let known = ["for", "requires", "owner", "longest_membership", "approves_for_tenant", "capabilities"];
    let table = reader.table(node, &known)?;
    if let (Some(given), None) = (table.key("for"), member_kind(node)) {
        let found = given.as_text().map_or(given.kind().to_owned(), |text| format!("`{}`", excerpt(text)));
        reader.mistake(given.at, &given.path, found, "`\"people\"`, `\"machines\"` or `\"customers\"`");
    }
    let member_kind = member_kind(node).unwrap_or(MemberKind::People);
    let owner = table.key("owner").and_then(|node| {
        reader.record(node.path.clone(), node.at);
        reader.parsed::<PersonId>(&node)
    });
    let longest = table.key("longest_membership").and_then(|node| reader.span(&node, Span::SECOND..=Span::MAX));
    let approves_for_tenant = approves_for_tenant(reader, &table, member_kind);
    let capabilities = table.key("capabilities").map(|node| capabilities(reader, &node, names, member_kind));
    let capabilities = capabilities.unwrap_or_default();
    // Whoever says who a tenant's people are decides nothing in their name.
    if approves_for_tenant && capabilities.iter().any(|it| it.name == CapabilityName::HrFeed) {
        let wanted = "two roles: whoever provisions a tenant's accounts does not approve for it";
        reader.mistake(table.at, &table.path, "`approves_for_tenant` beside `hr.feed`", wanted);
    }
    Some(Role {
        requires: names.requirements(reader, &table, "requires"),
        owner,
        longest_membership: longest,
        member_kind,
        approves_for_tenant,
        capabilities,
    })
}

/// Whether `@tenant` means its members: customers alone, each for the own tenant.
pub(super) fn may_approve_for_tenant(node: &Node<'_>) -> bool {
    node.get("approves_for_tenant").is_some_and(|node| node.as_bool() == Some(true))
}

fn approves_for_tenant(reader: &mut Reader<'_>, table: &Table<'_>, members: MemberKind) -> bool {
    let Some(node) = table.key("approves_for_tenant") else { return false };
    let Some(given) = node.as_bool() else {
        reader.mistake(node.at, &node.path, node.kind().to_owned(), "`true` or `false`");
        return false;
    };
    if given && members != MemberKind::Customers {
        let found = format!("`approves_for_tenant` in a role for {}", members.as_str());
        reader.mistake(node.at, &node.path, found, "such a key in a role `for = \"customers\"` alone");
    }
    given && members == MemberKind::Customers
}

fn kind(text: &str) -> Option<MemberKind> {
    [MemberKind::People, MemberKind::Machines, MemberKind::Customers].into_iter().find(|kind| kind.as_str() == text)
}

fn capabilities(reader: &mut Reader<'_>, node: &Node<'_>, names: &Names, members: MemberKind) -> Vec<Capability> {
    let wanted = "a list of capabilities, as in `[\"audit.read\"]` or `[{ name = \"access.check\", resources = [\"prod/**\"] }]`";
    let mut named = BTreeSet::new();
    let mut all = Vec::new();
    for item in reader.list(node, wanted).unwrap_or_default() {
        let Some(capability) = capability(reader, &item, names) else { continue };
        let name = capability.name.as_str();
        if !named.insert(capability.name) {
            let wanted = "each capability once, with all that it is narrowed to";
            reader.mistake(item.at, &item.path, format!("`{name}` a second time"), wanted);
        }
        // A customer acts in one tenant's space; every other capability is power over the broker that all share.
        let of_a_tenant = matches!(capability.name, CapabilityName::AccessCheck | CapabilityName::HrFeed);
        if members == MemberKind::Customers && !of_a_tenant {
            let wanted =
                "`access.check` or `hr.feed`, which reach the own tenant: customers have no power over the broker";
            reader.mistake(item.at, &item.path, format!("`{name}` in a role for customers"), wanted);
        }
        let records = capability.name == CapabilityName::AttestationRecord && capability.requirements.is_empty();
        if records && members == MemberKind::Machines {
            let found = format!("`{name}` of every requirement, in a role for machines");
            let meaning = "one source could attest all; narrow it by `requirements` to those that it knows of";
            reader.warn(item.at, &item.path, found, meaning);
        }
        all.push(capability);
    }
    all
}

/// `"audit.read"`, or a table with its name and what it is narrowed to.
fn capability(reader: &mut Reader<'_>, item: &Node<'_>, names: &Names) -> Option<Capability> {
    if !item.is_table() {
        let name = capability_name(reader, item)?;
        return Some(Capability { name, requirements: BTreeSet::new(), resources: BTreeSet::new() });
    }
    let table = reader.table(item, &["name", "requirements", "resources"])?;
    let name =
        reader.required(&table, "name", "the name of a capability").and_then(|node| capability_name(reader, &node));
    let requirements = names.requirements(reader, &table, "requirements");
    let resources = table
        .key("resources")
        .map(|node| reader.filled_set::<Pattern>(&node, "a list of at least one resource pattern"));
    let name = name?;
    let by_requirements = name == CapabilityName::AttestationRecord;
    let by_resources = match name {
        CapabilityName::AccessCheck
        | CapabilityName::AuditRead
        | CapabilityName::GrantRevoke
        | CapabilityName::LockManage => true,
        CapabilityName::AttestationRecord
        | CapabilityName::DirectoryPropose
        | CapabilityName::FeedRelease
        | CapabilityName::HrFeed
        | CapabilityName::PolicyPropose => false,
    };
    refuse_narrowing(reader, &table, "requirements", by_requirements, "`attestation.record`");
    let those = "`access.check`, `audit.read`, `grant.revoke` and `lock.manage`";
    refuse_narrowing(reader, &table, "resources", by_resources, those);
    if let (Some(node), true) = (table.key("requirements"), requirements.is_empty() && by_requirements) {
        // Empty would read as "not narrowed": the widest, where the least was written.
        reader.mistake(node.at, &node.path, "nothing to narrow to", "at least one requirement, or no such key");
    }
    Some(Capability { name, requirements, resources: resources.unwrap_or_default().into_keys().collect() })
}

fn refuse_narrowing(reader: &mut Reader<'_>, table: &Table<'_>, key: &str, fits: bool, those: &str) {
    if let (Some(node), false) = (table.key(key), fits) {
        reader.mistake(node.at, &node.path, format!("`{key}`"), format!("no such key here: it narrows {those} alone"));
    }
}

fn capability_name(reader: &mut Reader<'_>, node: &Node<'_>) -> Option<CapabilityName> {
    let all = || CapabilityName::ALL.iter().map(|(text, _)| *text);
    let list: Vec<String> = all().map(|text| format!("`{text}`")).collect();
    let wanted = format!("one of {}", list.join(", "));
    let text = reader.text(node, &wanted)?;
    let found = CapabilityName::ALL.iter().find(|(known, _)| *known == text).map(|(_, name)| *name);
    if found.is_none() {
        let suggestion = reader.suggest(text, all());
        reader.mistake(
            node.at,
            &node.path,
            format!("`{}`, which is no capability", excerpt(text)),
            suggestion + &wanted,
        );
    }
    found
}
