//! Whether two persons are left who could load: one to propose, another to approve (DESIGN 7).

use std::collections::{BTreeMap, BTreeSet};

use crate::domain::capability::given_by;
use crate::domain::directory::Account;
use crate::domain::ids::{AccountId, PersonId};
use crate::domain::organisation::Organisation;
use crate::domain::policy::{Approver, CapabilityName, Stage, Terms};
use crate::domain::refusal::{Reason, Refusal};
use crate::domain::review::can_be_filled;
use crate::domain::reviewers::is_peer;
use crate::domain::time::{Now, Timestamp};

/// The persons who may use a capability by a role, or could ask for it and be let.
pub(super) fn able(organisation: &Organisation, capability: CapabilityName, at: Timestamp) -> BTreeSet<PersonId> {
    able_accounts(organisation, capability, at).into_values().cloned().collect()
}

/// The same by accounts, of people alone.
pub(super) fn able_accounts(
    organisation: &Organisation,
    capability: CapabilityName,
    at: Timestamp,
) -> BTreeMap<&AccountId, &PersonId> {
    let person = |id| {
        let (id, account) = organisation.accounts.get_key_value(id)?;
        (!account.is_machine()).then(|| (id, account.person()))
    };
    let mut able: BTreeMap<&AccountId, &PersonId> =
        organisation.standing_holders(capability, at).filter_map(person).collect();
    for terms in organisation.policy.entitlements.values().map(|it| &it.terms) {
        if !given_by(&terms.scope).contains(&capability) {
            continue;
        }
        let asking = terms.requestable_by.iter().flat_map(|role| organisation.members(role));
        let could = asking.filter(|id| could_be_let(organisation, id, terms, at));
        able.extend(could.filter_map(person));
    }
    able
}

/// Whether an account may ask, and distinct eligible persons could let it.
fn could_be_let(organisation: &Organisation, id: &AccountId, terms: &Terms, at: Timestamp) -> bool {
    let Some(own) = organisation.accounts.get(id).map(Account::person) else { return false };
    let could_approve = |stage: &Stage| {
        let mut persons: BTreeSet<PersonId> = BTreeSet::new();
        for approver in &stage.by {
            match approver {
                Approver::Role(role) => {
                    let members =
                        organisation.members(role).filter(|id| organisation.eligible_in(id, role, at).is_ok());
                    persons
                        .extend(members.filter_map(|id| organisation.accounts.get(id)).map(Account::person).cloned());
                }
                Approver::Manager => {
                    let manager = organisation.manager_of(own, at);
                    persons.extend(manager.filter(|it| !is_peer(organisation, &terms.requestable_by, it)).cloned());
                }
                Approver::RoleOwner | Approver::Tenant | Approver::Capability(_) => {}
            }
        }
        persons.remove(own);
        (stage.count, persons)
    };
    organisation.may_request(id, terms, at).is_ok()
        && can_be_filled(&terms.approval.iter().map(could_approve).collect::<Vec<_>>())
}

/// After any load two persons must be able to load again. A machine may propose for its owner, and approves nothing.
///
/// # Errors
/// `NOBODY_COULD_LOAD`.
pub(super) fn two_could_load(after: &Organisation, now: Now) -> Result<(), Refusal> {
    for capability in [CapabilityName::PolicyLoad, CapabilityName::DirectoryLoad] {
        let able = able(after, capability, now.latest);
        let holders = after.standing_holders(capability, now.latest).filter_map(|id| after.accounts.get(id));
        let proposing: BTreeSet<&PersonId> = holders.map(Account::person).chain(&able).collect();
        let other = |person: &PersonId| proposing.iter().any(|proposer| *proposer != person);
        if !able.iter().any(other) {
            let name = capability.as_str();
            let detail = format!("no two eligible persons could use `{name}`");
            return Err(Refusal::new(Reason::NobodyCouldLoad, detail).with("capability", name));
        }
    }
    Ok(())
}
