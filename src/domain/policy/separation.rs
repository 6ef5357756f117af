//! The first two of the four places where duties are kept separate (design.md 4; known failures A3, A4, A5 and D8).
//!
//! Each rule is one function, so that a test can disable it and see another test fail.

use std::collections::{BTreeMap, BTreeSet};

use super::{MemberKind, Policy, Role};
use crate::domain::directory::{Account, AccountState};
use crate::domain::value::ids::{AccountId, EntitlementName, PersonId, RoleName};

/// Rule 1, when a policy is read: the roles that would both ask for an entitlement and approve it. Approvers of its
/// emergency way count as approvers. There should be none.
#[must_use]
pub fn separation_rule_1(requesting: &BTreeSet<RoleName>, approving: &BTreeSet<RoleName>) -> BTreeSet<RoleName> {
    requesting.intersection(approving).cloned().collect()
}

/// The other half of rule 1: whether members of this role may approve anything. Machines never approve; customers approve
/// for their tenant alone, by `@tenant`.
#[must_use]
pub fn may_approve(role: MemberKind) -> bool {
    match role {
        MemberKind::People => true,
        MemberKind::Machines | MemberKind::Customers => false,
    }
}

/// A person on both sides of one entitlement.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Conflict {
    /// Who.
    pub person: PersonId,
    /// Of what.
    pub entitlement: EntitlementName,
    /// Where this person may ask.
    pub requesting: (AccountId, RoleName),
    /// Where this person may approve.
    pub approving: (AccountId, RoleName),
}

/// Rule 2, when membership is given: every person who, over all their accounts and the machines they own, holds a
/// requesting and an approving role of one entitlement. There should be none.
///
/// Memberships count whatever their end, and disabled accounts count, because they can return; closed ones cannot. To
/// leave out what is over, leave it out of `accounts`.
pub fn separation_rule_2<'a>(
    policy: &Policy,
    accounts: impl IntoIterator<Item = (&'a AccountId, &'a Account)>,
) -> Vec<Conflict> {
    let mut held: BTreeMap<&PersonId, BTreeMap<&RoleName, &AccountId>> = BTreeMap::new();
    for (id, account) in accounts.into_iter().filter(|(_, account)| account.state != AccountState::Closed) {
        let of_person = held.entry(account.person()).or_default();
        account.roles.keys().for_each(|role| {
            of_person.entry(role).or_insert(id);
        });
    }
    let mut conflicts = Vec::new();
    for (name, entitlement) in &policy.entitlements {
        let approving: BTreeSet<&RoleName> = policy.approving_roles(&entitlement.terms).collect();
        for (person, roles) in &held {
            let first = |role: &RoleName| roles.get_key_value(role).map(|(role, id)| ((*id).clone(), (*role).clone()));
            let asks = entitlement.terms.requestable_by.iter().find_map(first);
            let approves = approving.iter().find_map(|role| first(role));
            if let (Some(requesting), Some(approving)) = (asks, approves) {
                conflicts.push(Conflict {
                    person: (*person).clone(),
                    entitlement: name.clone(),
                    requesting,
                    approving,
                });
            }
        }
    }
    conflicts.sort();
    conflicts
}

/// Whether an account may be a member of a role.
#[must_use]
pub fn fits(role: &Role, account: &Account) -> bool {
    role.member_kind == MemberKind::of(account)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::directory_file::parse_directory;
    use crate::domain::policy::{check_together, parse_policy};

    const POLICY: &str = r#"
    [roles.engineer]
    [roles.commander]
    [roles.duty]
    [roles.pipeline]
    for = "machines"
    [entitlements.repair]
    title = "Repair"
    actions = ["db.write"]
    resources = ["prod/db"]
    requestable_by = ["engineer", "pipeline"]
    max_duration = "1h"
    approval = [{ by = ["commander"] }]
    emergency = { max_duration = "10m", approval = [{ by = ["duty"] }] }
    "#;

    fn conflicts(accounts: &str) -> Vec<String> {
        let policy = parse_policy(POLICY).unwrap().policy;
        let directory = parse_directory(&format!("[people.ana]\n[people.ben]\n{accounts}")).unwrap().directory;
        let found = separation_rule_2(&policy, &directory.accounts);
        let together = check_together(&policy, &directory);
        assert_eq!(found.is_empty(), together.is_ok(), "loading both sees what the rule sees: {together:?}");
        found.iter().map(|c| format!("{} {} {:?} {:?}", c.person, c.entitlement, c.requesting, c.approving)).collect()
    }

    fn account(id: &str, of: &str, roles: &str) -> String {
        format!("[accounts.{id}]\n{of}\nidentities = [\"spiffe://n.example/{id}\"]\nroles = {roles}\n")
    }

    #[test]
    fn separation_rule_1_requesting_and_approving_roles_are_disjoint() {
        // given a policy in which one role stands on both sides, in a stage or in the emergency way
        for (approver, line) in [("{ by = [\"commander\"] }", 13), ("{ by = [\"duty\"] }", 14)] {
            let both = POLICY.replace(approver, "{ by = [\"commander\", \"engineer\"] }");
            // when it is read
            let mistakes = parse_policy(&both).unwrap_err();
            // then that role is named, where it approves
            assert_eq!(mistakes.len(), 1, "{mistakes:?}");
            assert_eq!(mistakes[0].line, line);
            assert_eq!(mistakes[0].found, "`engineer`, which may also ask for this");
        }
        assert!(parse_policy(POLICY).is_ok());
    }

    #[test]
    fn separation_rule_1_no_machine_and_no_customer_approves() {
        for kind in ["machines", "customers"] {
            let policy = POLICY.replace("[roles.commander]", &format!("[roles.commander]\nfor = \"{kind}\""));
            let mistakes = parse_policy(&policy).unwrap_err();
            assert_eq!(mistakes.len(), 1, "{mistakes:?}");
            assert_eq!(mistakes[0].found, format!("`commander`, a role for {kind}"));
        }
    }

    #[test]
    fn separation_rule_2_one_person_is_on_one_side_of_an_entitlement() {
        let both = account("ana", "person = \"ana\"", r#"["engineer", "commander"]"#);
        assert_eq!(conflicts(&both), [r#"ana repair (ana, engineer) (ana, commander)"#], "in one account");
        let two = account("ana", "person = \"ana\"", r#"["engineer"]"#)
            + &account("ana-admin", "person = \"ana\"", r#"["commander"]"#);
        assert_eq!(conflicts(&two), ["ana repair (ana, engineer) (ana-admin, commander)"], "over two accounts");
        let persons = two.replace("[accounts.ana-admin]\nperson = \"ana\"", "[accounts.ana-admin]\nperson = \"ben\"");
        assert_eq!(conflicts(&persons), Vec::<String>::new(), "two persons");
    }

    #[test]
    fn separation_rule_2_counts_machines_and_emergency_approvers() {
        let machine =
            account("bot", "owner = \"ana\"", r#"["pipeline"]"#) + &account("ana", "person = \"ana\"", r#"["duty"]"#);
        assert_eq!(conflicts(&machine), ["ana repair (bot, pipeline) (ana, duty)"]);
    }

    #[test]
    fn separation_rule_2_counts_memberships_of_the_past_and_disabled_accounts_but_not_closed_ones() {
        let text = account(
            "ana",
            "person = \"ana\"\ndisabled = \"on leave\"",
            r#"[{ role = "engineer", until = 1999-12-31 }]"#,
        ) + &account("ana-admin", "person = \"ana\"", r#"["commander"]"#);
        assert_eq!(conflicts(&text).len(), 1);
        let policy = parse_policy(POLICY).unwrap().policy;
        let mut directory = parse_directory(&format!("[people.ana]\n{text}")).unwrap().directory;
        directory.accounts.get_mut("ana").unwrap().state = AccountState::Closed;
        assert_eq!(separation_rule_2(&policy, &directory.accounts), []);
    }
}
