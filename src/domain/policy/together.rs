//! What must hold between a policy and a directory (design.md 4, rule 2; design.md 7). Checked whenever either of them loads.

use std::collections::BTreeSet;

use super::mistake::{Mistake, SourceFile, Warning, nearest};
use super::separation::{fits, separation_rule_2};
use super::{Approver, CapabilityName, MemberKind, Policy, Stage};
use crate::domain::directory::{Account, AccountState, Directory};
use crate::domain::value::ids::{AccountId, PersonId, RequirementName, RoleName};

/// Compares the two. Nothing here depends on the time: memberships count whatever their end. Places are unknown (line 0);
/// [`super::Places::locate`] of the parsed files fills them in.
///
/// # Errors
/// Every contradiction.
pub fn check_together(policy: &Policy, directory: &Directory) -> Result<Vec<Warning>, Vec<Mistake>> {
    let mut findings = Findings::default();
    accounts(&mut findings, policy, directory);
    attestations(&mut findings, policy, directory);
    role_owners(&mut findings, policy, directory);
    for conflict in separation_rule_2(policy, &directory.accounts) {
        let ((asking, ask_role), (approving, approve_role)) = (&conflict.requesting, &conflict.approving);
        let found = format!(
            "`{approve_role}`, which approves `{}`, for `{}`, who may ask for it as `{ask_role}` in account `{asking}`",
            conflict.entitlement, conflict.person
        );
        let wanted = "one of the two roles for one person, over all their accounts and machines";
        findings.mistake(SourceFile::Directory, format!("accounts.{approving}.roles.{approve_role}"), found, wanted);
    }
    too_few_members(&mut findings, policy, directory);
    unknown_tenants(&mut findings, policy, directory);
    findings.mistakes.sort();
    findings.warnings.sort();
    if findings.mistakes.is_empty() { Ok(findings.warnings) } else { Err(findings.mistakes) }
}

#[derive(Default)]
struct Findings {
    mistakes: Vec<Mistake>,
    warnings: Vec<Warning>,
}

impl Findings {
    fn mistake(&mut self, source_file: SourceFile, path: String, found: String, wanted: impl Into<String>) {
        self.mistakes.push(Mistake { source_file, line: 0, column: 0, path, found, wanted: wanted.into() });
    }

    fn warn(&mut self, source_file: SourceFile, path: String, found: String, meaning: impl Into<String>) {
        self.warnings.push(Warning { source_file, line: 0, column: 0, path, found, meaning: meaning.into() });
    }
}

fn accounts(findings: &mut Findings, policy: &Policy, directory: &Directory) {
    for (id, account) in &directory.accounts {
        let person = directory.people.get(account.person());
        let moved = person.is_some_and(|person| person.tenant.as_ref() != account.tenant());
        if moved && account.state != AccountState::Closed {
            let found = format!("`{}`, who is recorded on another side", account.person());
            let wanted = "a person of one tenant for good, or of the own organisation";
            findings.mistake(SourceFile::Directory, format!("accounts.{id}"), found, wanted);
        }
        for role_name in account.roles.keys() {
            let path = format!("accounts.{id}.roles.{role_name}");
            let Some(role) = policy.roles.get(role_name) else {
                let close = nearest(role_name.as_str(), policy.roles.keys().map(RoleName::as_str));
                let suggestion = close.map(|name| format!("perhaps `{name}`: ")).unwrap_or_default();
                let found = format!("`{role_name}`, which is no role of the policy");
                findings.mistake(SourceFile::Directory, path, found, format!("{suggestion}a role that policy defines"));
                continue;
            };
            if !fits(role, account) {
                let found = format!("`{role_name}`, a role for {}", role.member_kind.as_str());
                let wanted = format!("a role for {}, as this account is", MemberKind::of(account).as_str());
                findings.mistake(SourceFile::Directory, path, found, wanted);
            }
        }
        of_persons_alone(findings, policy, id, account);
        let checks = carries(policy, account, CapabilityName::AccessCheck);
        let meaning = match (checks, account.audience.is_empty()) {
            (true, true) => "it may check nothing but itself",
            (false, false) => "it has no effect without a role that carries `access.check`",
            (true, false) | (false, true) => continue,
        };
        let found = if checks { "`access.check` without an audience" } else { "an audience" };
        findings.warn(SourceFile::Directory, format!("accounts.{id}"), found.to_owned(), meaning);
    }
}

/// A machine known by a person's identity keeps that person out, and acts as them where identities are compared.
fn of_persons_alone(findings: &mut Findings, policy: &Policy, id: &AccountId, account: &Account) {
    let machine = account.is_machine() && account.state != AccountState::Closed;
    let of_persons = account.identities.iter().filter(|identity| machine && policy.is_of_persons(identity));
    for identity in of_persons {
        let found = format!("`{identity}`, of a machine");
        let wanted = "an identity outside `person_identities` of the policy: those belong to persons alone";
        findings.mistake(SourceFile::Directory, format!("accounts.{id}"), found, wanted);
    }
}

fn carries(policy: &Policy, account: &Account, capability: CapabilityName) -> bool {
    let roles = account.roles.keys().filter_map(|role| policy.roles.get(role));
    roles.flat_map(|role| &role.capabilities).any(|carried| carried.name == capability)
}

fn attestations(findings: &mut Findings, policy: &Policy, directory: &Directory) {
    for (id, person) in &directory.people {
        for name in person.attestations.keys().filter(|name| !policy.requirements.contains_key(*name)) {
            let close = nearest(name.as_str(), policy.requirements.keys().map(RequirementName::as_str));
            let suggestion = close.map(|name| format!("perhaps `{name}`: ")).unwrap_or_default();
            let path = format!("people.{id}.attestations.{name}");
            let found = format!("`{name}`, which is no requirement of the policy");
            findings.mistake(
                SourceFile::Directory,
                path,
                found,
                format!("{suggestion}a requirement that policy defines"),
            );
        }
    }
}

fn role_owners(findings: &mut Findings, policy: &Policy, directory: &Directory) {
    for (name, role) in &policy.roles {
        if let Some(owner) = role.owner.as_ref().filter(|owner| !directory.people.contains_key(*owner)) {
            let close = nearest(owner.as_str(), directory.people.keys().map(PersonId::as_str));
            let suggestion = close.map(|name| format!("perhaps `{name}`: ")).unwrap_or_default();
            let found = format!("`{owner}`, whom the directory does not have");
            let wanted = format!("{suggestion}a person of the directory");
            findings.mistake(SourceFile::Policy, format!("roles.{name}.owner"), found, wanted);
        }
        let customer = |owner: &&PersonId| directory.people.get(*owner).is_some_and(|it| it.tenant.is_some());
        if let Some(owner) = role.owner.as_ref().filter(customer) {
            let found = format!("`{owner}`, who is a customer's");
            let wanted = "a person of the own organisation: whoever owns a role sees all its members";
            findings.mistake(SourceFile::Policy, format!("roles.{name}.owner"), found, wanted);
        }
    }
}

/// A stage that fewer persons can approve than it asks for. A warning: people can still be enrolled.
fn too_few_members(findings: &mut Findings, policy: &Policy, directory: &Directory) {
    let members = |stage: &Stage| -> BTreeSet<&PersonId> {
        let open = directory.accounts.iter().filter(|(_, account)| account.state == AccountState::Active);
        let able = |(_, account): &(&AccountId, &Account)| {
            !account.is_machine() && account.roles.keys().any(|role| stage.by.contains(&Approver::Role(role.clone())))
        };
        open.filter(able).map(|(_, account)| account.person()).collect()
    };
    for (name, entitlement) in &policy.entitlements {
        let terms = &entitlement.terms;
        let ordinary = terms.approval.iter().map(|stage| (stage, ""));
        let emergency = terms.emergency.iter().flat_map(|way| &way.approval).map(|stage| (stage, " in an emergency"));
        for (stage, when) in ordinary.chain(emergency) {
            // How many persons `@manager` or `@tenant` means depends on the request.
            let by_roles = stage.by.iter().all(|approver| matches!(approver, Approver::Role(_)));
            let members = u32::try_from(members(stage).len()).unwrap_or(u32::MAX);
            if by_roles && members < stage.count {
                let by: Vec<String> = stage.by.iter().map(|approver| format!("`{approver}`")).collect();
                let found = format!("{} of {} must approve{when}, and there are {members}", stage.count, by.join(", "));
                let meaning = "a request is refused until there are more";
                findings.warn(SourceFile::Policy, format!("entitlements.{name}"), found, meaning);
            }
        }
    }
}

fn unknown_tenants(findings: &mut Findings, policy: &Policy, directory: &Directory) {
    for (name, entitlement) in &policy.entitlements {
        for pattern in entitlement.terms.scope.resources() {
            if let Some(tenant) = pattern.tenant().filter(|tenant| !directory.tenants.contains_key(*tenant)) {
                let found = format!("`{pattern}`, of a tenant that the directory does not have");
                let meaning = format!("nothing can be asked for in it until there is `[tenants.{tenant}]`");
                findings.warn(SourceFile::Policy, format!("entitlements.{name}"), found, meaning);
            }
        }
    }
}
