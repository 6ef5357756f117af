//! The parts that several sections of a policy file share: stages, references to roles and requirements.

use std::collections::{BTreeMap, BTreeSet};

use super::reader::{Node, Reader, Table};
use super::separation::may_approve;
use super::{Approver, MemberKind, Stage};
use crate::domain::value::ids::{RequirementName, RoleName};

/// The most distinct persons that a stage may ask for, and the most stages of a review: the matching of persons to
/// stages takes longer with both.
const MOST_PERSONS: u32 = 16;
const MOST_STAGES: usize = 8;

/// The names that the file defines; a role whose definition has a mistake is here as well, without its kind.
#[derive(Default)]
pub(super) struct Names {
    pub(super) requirements: BTreeSet<RequirementName>,
    pub(super) roles: BTreeMap<RoleName, Option<MemberKind>>,
    /// Those that `@tenant` means.
    pub(super) tenant_approvers: BTreeSet<RoleName>,
}

/// What a review is of: it decides which approvers make sense.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum ReviewOf {
    Elevation,
    Enrolment,
}

/// Stages, and where each approving role is named.
#[derive(Default)]
pub(super) struct Stages {
    pub(super) stages: Vec<Stage>,
    pub(super) roles: BTreeMap<RoleName, (usize, String)>,
    pub(super) tenant_at: Option<(usize, String)>,
}

impl Stages {
    pub(super) fn asks_tenant(&self) -> bool {
        self.tenant_at.is_some()
    }
}

impl Names {
    /// Reports each role that is not defined.
    pub(super) fn check_roles(&self, reader: &mut Reader<'_>, path: &str, roles: &BTreeMap<RoleName, usize>) {
        for (role, at) in roles.iter().filter(|(role, _)| !self.roles.contains_key(*role)) {
            if !reader.may_have_said(role.as_str()) {
                let suggestion = reader.suggest(role.as_str(), self.roles.keys().map(RoleName::as_str));
                let wanted = format!("{suggestion}a role that is defined in `[roles.…]`");
                reader.mistake(*at, path, format!("`{role}`, which is no role"), wanted);
            }
        }
    }

    /// A list of requirements, all of them defined.
    pub(super) fn requirements(
        &self,
        reader: &mut Reader<'_>,
        table: &Table<'_>,
        key: &str,
    ) -> BTreeSet<RequirementName> {
        let Some(node) = table.key(key) else { return BTreeSet::new() };
        let found = reader.set::<RequirementName>(&node, "a list of requirements");
        for (name, at) in found.iter().filter(|(name, _)| !self.requirements.contains(*name)) {
            if !reader.may_have_said(name.as_str()) {
                let suggestion = reader.suggest(name.as_str(), self.requirements.iter().map(RequirementName::as_str));
                let wanted = format!("{suggestion}a requirement that is defined in `[requirements.…]`");
                reader.mistake(*at, &node.path, format!("`{name}`, which is no requirement"), wanted);
            }
        }
        found.into_keys().collect()
    }

    /// `approval = [{ by = […], count = 1 }, …]`: never empty, and every role in it may approve.
    pub(super) fn stages(&self, reader: &mut Reader<'_>, node: &Node<'_>, review_of: ReviewOf) -> Stages {
        let wanted = "a list of stages, as in `[{ by = [\"incident-commander\"], count = 1 }]`";
        let mut all = Stages::default();
        let Some(items) = reader.list(node, wanted) else { return all };
        if items.is_empty() || items.len() > MOST_STAGES {
            let found = if items.is_empty() { "no stage".to_owned() } else { format!("{} stages", items.len()) };
            reader.mistake(node.at, &node.path, found, format!("1 to {MOST_STAGES} stages"));
        }
        for item in items {
            let Some(table) = reader.table(&item, &["by", "count"]) else { continue };
            let wanted = "who may approve: roles, `@manager`, `@role-owner` (enrolments), `@tenant` (elevations)";
            let by = reader.required(&table, "by", wanted);
            let by = by.map(|by| (reader.filled_set::<Approver>(&by, wanted), by.path)).unwrap_or_default();
            self.check_approvers(reader, &by.0, &by.1, review_of, &mut all);
            let count = table.key("count").map_or(Some(1), |count| reader.number(&count, 1..=MOST_PERSONS));
            let of_own = !by.0.contains_key(&Approver::Tenant);
            if let (true, Some((at, path))) = (of_own, &all.tenant_at) {
                let wanted = "`@tenant` in the last stages: a customer is asked once the own organisation agrees";
                reader.mistake(*at, path, "`@tenant` before a stage of the own organisation", wanted);
            }
            all.stages.push(Stage { by: by.0.into_keys().collect(), count: count.unwrap_or(1) });
        }
        all
    }

    fn check_approvers(
        &self,
        reader: &mut Reader<'_>,
        by: &BTreeMap<Approver, usize>,
        path: &str,
        review_of: ReviewOf,
        all: &mut Stages,
    ) {
        if let (Some(at), true) = (by.get(&Approver::Tenant), by.len() > 1) {
            let wanted = "a stage of its own for `@tenant`: nobody approves in a customer's place";
            reader.mistake(*at, path, "`@tenant` beside others in one stage", wanted);
        }
        let mut roles = BTreeMap::new();
        for (approver, at) in by {
            match (approver, review_of) {
                (Approver::Role(role), _) => {
                    roles.insert(role.clone(), *at);
                    all.roles.entry(role.clone()).or_insert((*at, path.to_owned()));
                    if let Some(Some(kind)) = self.roles.get(role).filter(|kind| !kind.is_none_or(may_approve)) {
                        let found = format!("`{role}`, a role for {}", kind.as_str());
                        let wanted = match kind {
                            MemberKind::Customers => "`@tenant`: customers approve only for their own tenant",
                            MemberKind::Machines | MemberKind::People => "a role for people: machines never approve",
                        };
                        reader.mistake(*at, path, found, wanted);
                    }
                }
                (Approver::Capability(_), _) => {
                    let wanted = "a role: who may use a capability reviews loads, and nothing else by that";
                    reader.mistake(*at, path, format!("`{approver}`"), wanted);
                }
                (Approver::RoleOwner, ReviewOf::Elevation) => {
                    let wanted = "a role or `@manager`: an elevation asks for no role that could have an owner";
                    reader.mistake(*at, path, "`@role-owner`", wanted);
                }
                (Approver::Tenant, ReviewOf::Enrolment) => {
                    let wanted = "a role, `@manager` or `@role-owner`: no tenant takes part in an enrolment";
                    reader.mistake(*at, path, "`@tenant`", wanted);
                }
                (Approver::Tenant, ReviewOf::Elevation) => all.tenant_at = Some((*at, path.to_owned())),
                (Approver::Manager, _) | (Approver::RoleOwner, ReviewOf::Enrolment) => {}
            }
        }
        self.check_roles(reader, path, &roles);
    }
}
