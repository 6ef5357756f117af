//! Reads a whole policy file (docs/policy.md lists every key): a consistent [`Policy`], or every mistake in it.

use std::collections::{BTreeMap, BTreeSet};

use super::document::read;
use super::entitlement_file::{entitlement, scope};
use super::mistake::{Mistake, Places, SourceFile, Warning};
use super::reader::{Node, Reader, Table};
use super::role_file::{may_approve_for_tenant, member_kind, role};
use super::stage_file::{Names, ReviewOf};
use super::{Baseline, Limits, MemberKind, Policy, Requirement, TenantLimits};
use crate::domain::value::identity_pattern::IdentityPattern;
use crate::domain::value::ids::{Digest, EntitlementName, RequirementName, RoleName};
use crate::domain::value::scope::Scope;
use crate::domain::value::time::Span;

/// The longest policy file.
pub const LONGEST_POLICY_BYTES: usize = 256 * 1024;
const MONTH: Span = Span::seconds(30 * 86_400);

/// A policy file that has no mistake.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParsedPolicy {
    /// What it says.
    pub policy: Policy,
    /// What is allowed in it and probably not meant, in the order of the text.
    pub warnings: Vec<Warning>,
    /// Where the things are that a directory may contradict.
    pub places: Places,
}

/// Reads a policy file.
///
/// # Errors
/// Every mistake in it, in the order of the text.
pub fn parse_policy(text: &str) -> Result<ParsedPolicy, Vec<Mistake>> {
    let read = read(SourceFile::Policy, text, LONGEST_POLICY_BYTES, policy)?;
    let policy = Policy { digest: Some(Digest::of(text.as_bytes())), ..read.value };
    Ok(ParsedPolicy { policy, warnings: read.warnings, places: read.places })
}

fn policy(reader: &mut Reader<'_>, root: &Table<'_>) -> Policy {
    reader.only_known_keys(
        root,
        &["person_identities", "baseline", "requirements", "limits", "tenant_limits", "roles", "entitlements"],
    );
    let requirements = section::<RequirementName>(reader, root, "requirements");
    let roles = section::<RoleName>(reader, root, "roles");
    let entitlements = section::<EntitlementName>(reader, root, "entitlements");
    // All names first: what refers to them may stand anywhere in the file.
    let names = Names {
        requirements: requirements.iter().map(|(name, _)| name.clone()).collect(),
        roles: roles.iter().map(|(name, node)| (name.clone(), member_kind(node))).collect(),
        tenant_approvers: roles
            .iter()
            .filter(|(_, node)| may_approve_for_tenant(node))
            .map(|(name, _)| name.clone())
            .collect(),
    };
    let mut policy = Policy::default();
    for (name, node) in requirements {
        if let Some(requirement) = requirement(reader, &node) {
            policy.requirements.insert(name, requirement);
        }
    }
    for (name, node) in roles {
        if let Some(role) = role(reader, &node, &names) {
            policy.roles.insert(name, role);
        }
    }
    for (name, node) in entitlements {
        reader.record(node.path.clone(), node.at);
        if let Some(entitlement) = entitlement(reader, &node, &names) {
            policy.entitlements.insert(name, entitlement);
        }
    }
    policy.person_identities = person_identities(reader, root);
    policy.limits = root.key("limits").map(|node| limits(reader, &node)).unwrap_or_default();
    policy.tenant_limits = root.key("tenant_limits").map(|node| tenant_limits(reader, &node)).unwrap_or_default();
    policy.baseline = root.key("baseline").map(|node| baseline(reader, &node, &names)).unwrap_or_default();
    warn_of_standing_privilege(reader, root, &policy);
    policy
}

/// Identities that belong to persons alone, whatever account they come to have.
fn person_identities(reader: &mut Reader<'_>, root: &Table<'_>) -> BTreeSet<IdentityPattern> {
    let Some(node) = root.key("person_identities") else { return BTreeSet::new() };
    let wanted = "a list of patterns, as in `[\"spiffe://northwind.example/person/*\"]`";
    reader.filled_set::<IdentityPattern>(&node, wanted).into_keys().collect()
}

fn section<'d, N>(reader: &mut Reader<'_>, root: &Table<'d>, key: &str) -> Vec<(N, Node<'d>)>
where
    N: std::str::FromStr<Err = crate::domain::value::ids::InvalidId>,
{
    let table = root.key(key).and_then(|node| reader.named_tables(&node));
    table.map(|table| reader.named(&table)).unwrap_or_default()
}

fn requirement(reader: &mut Reader<'_>, node: &Node<'_>) -> Option<Requirement> {
    let table = reader.table(node, &["valid_for"])?;
    let valid_for = reader.required(
        &table,
        "valid_for",
        "how long an attestation of it holds: `\"730d\"`, or `\"never\"` if it never lapses",
    )?;
    if valid_for.as_text() == Some("never") {
        return Some(Requirement { valid_for: None });
    }
    reader.span(&valid_for, Span::SECOND..=Span::MAX).map(|span| Requirement { valid_for: Some(span) })
}

fn limits(reader: &mut Reader<'_>, node: &Node<'_>) -> Limits {
    let known = ["pending_per_person", "live_grants_per_person", "hr_silence", "hr_brake", "author_waits"];
    let mut limits = Limits::default();
    let Some(table) = reader.table(node, &known) else { return limits };
    let number = |reader: &mut Reader<'_>, key: &str, into: &mut u32| {
        if let Some(number) = table.key(key).and_then(|node| reader.number(&node, 1..=1_000)) {
            *into = number;
        }
    };
    number(reader, "pending_per_person", &mut limits.pending_per_person);
    number(reader, "live_grants_per_person", &mut limits.live_grants_per_person);
    if let Some(span) = table.key("hr_silence").and_then(|node| reader.span(&node, Span::seconds(60)..=MONTH)) {
        limits.hr_silence = span;
    }
    if let Some(span) = table.key("author_waits").and_then(|node| reader.span(&node, Span::SECOND..=MONTH)) {
        limits.author_waits = span;
    }
    if let Some(brake) = table.key("hr_brake").and_then(|node| reader.table(&node, &["people", "percent"])) {
        let people = reader.required(&brake, "people", "the most people that one import may touch, from 1");
        limits.hr_brake_people = people.and_then(|node| reader.number(&node, 1..=1_000_000)).unwrap_or(1);
        let percent = reader.required(&brake, "percent", "the same as a share of all people, from 1 to 100");
        limits.hr_brake_percent = percent.and_then(|node| reader.number(&node, 1..=100)).unwrap_or(1);
    }
    limits
}

fn tenant_limits(reader: &mut Reader<'_>, node: &Node<'_>) -> TenantLimits {
    let mut limits = TenantLimits::default();
    let Some(table) = reader.table(node, &["people", "accounts", "streams", "events_a_day"]) else { return limits };
    for (key, into) in [
        ("people", &mut limits.people),
        ("accounts", &mut limits.accounts),
        ("streams", &mut limits.streams),
        ("events_a_day", &mut limits.events_a_day),
    ] {
        if let Some(number) = table.key(key).and_then(|node| reader.number(&node, 1..=1_000_000)) {
            *into = number;
        }
    }
    limits
}

fn baseline(reader: &mut Reader<'_>, node: &Node<'_>, names: &Names) -> Baseline {
    let known = ["requires", "allows", "approval", "manager_missing", "transfer_grace"];
    let Some(table) = reader.table(node, &known) else { return Baseline::default() };
    let allows =
        table.key("allows").and_then(|node| reader.list(&node, "a list of `{ actions = […], resources = […] }`"));
    let allows = allows.unwrap_or_default().iter().filter_map(|item| allowed(reader, item)).collect();
    let approval = table.key("approval").map(|node| names.stages(reader, &node, ReviewOf::Enrolment));
    let mut manager_missing = BTreeMap::new();
    if let Some(node) = table.key("manager_missing") {
        manager_missing = reader.set::<RoleName>(&node, "a list of roles that approve where there is no manager");
        names.check_roles(reader, &node.path, &manager_missing);
        for (role, at) in &manager_missing {
            if let Some(Some(kind @ (MemberKind::Machines | MemberKind::Customers))) = names.roles.get(role) {
                let found = format!("`{role}`, a role for {}", kind.as_str());
                reader.mistake(*at, &node.path, found, "a role for people: it approves in a manager's place");
            }
        }
    }
    let transfer_grace =
        table.key("transfer_grace").and_then(|node| reader.span(&node, Span::SECOND..=MONTH.plus(MONTH).plus(MONTH)));
    Baseline {
        requires: names.requirements(reader, &table, "requires"),
        allows,
        approval: approval.map(|approval| approval.stages).unwrap_or_default(),
        manager_missing: manager_missing.into_keys().collect(),
        transfer_grace: transfer_grace.unwrap_or_default(),
    }
}

fn allowed(reader: &mut Reader<'_>, item: &Node<'_>) -> Option<Scope> {
    let table = reader.table(item, &["actions", "resources"])?;
    let scope = scope(reader, &table)?;
    for pattern in scope.resources().iter().filter(|pattern| pattern.reaches_tenants()) {
        let wanted = "resources outside `tenants/`: nobody has standing access to a tenant's space";
        reader.mistake(item.at, &format!("{}.resources", item.path), format!("`{pattern}`"), wanted);
    }
    Some(scope)
}

/// What the baseline allows needs no grant; an entitlement for the same would never be asked for.
fn warn_of_standing_privilege(reader: &mut Reader<'_>, root: &Table<'_>, policy: &Policy) {
    let Some(node) = root.key("entitlements").and_then(|node| reader.named_tables(&node)) else { return };
    for (name, entitlement) in &policy.entitlements {
        let standing = policy.baseline.allows.iter().any(|allowed| allowed.overlaps(&entitlement.terms.scope));
        if let Some(node) = node.key(name.as_str()).filter(|_| standing) {
            let meaning = "`baseline.allows` gives some of it to every account without a grant";
            reader.warn(node.at, &node.path, format!("`{name}`"), meaning);
        }
    }
}
