//! Who could propose or approve a file, by a role or by an elevation that others could approve; and whether two persons
//! are left, one to propose and another to approve (design.md 7).

use std::collections::{BTreeMap, BTreeSet};

use crate::domain::directory::Account;
use crate::domain::policy::{Approver, CapabilityName, Stage, Terms};
use crate::domain::record::proposal::{Proposal, REVIEW_WITHIN};
use crate::domain::record::review::can_be_filled;
use crate::domain::rule::reviewers::{is_peer, lock_on_reviewer};
use crate::domain::state::granted::given_by;
use crate::domain::state::organisation::Organisation;
use crate::domain::value::ids::{AccountId, EntitlementName, PersonId};
use crate::domain::value::refusal::{Reason, Refusal};
use crate::domain::value::time::{Now, Timestamp};

/// The persons who may use a capability by a role, or could get it by an elevation.
pub(in crate::domain) fn able(
    organisation: &Organisation,
    capability: CapabilityName,
    at: Timestamp,
) -> BTreeSet<PersonId> {
    able_accounts(organisation, capability, at).into_values().cloned().collect()
}

/// The same by accounts, of people alone.
pub(in crate::domain) fn able_accounts(
    organisation: &Organisation,
    capability: CapabilityName,
    at: Timestamp,
) -> BTreeMap<&AccountId, &PersonId> {
    let person = |id| {
        let (id, account) = organisation.accounts.get_key_value(id)?;
        (!account.is_machine() && organisation.lock_on_account(id).is_none()).then(|| (id, account.person()))
    };
    let mut able: BTreeMap<&AccountId, &PersonId> =
        organisation.standing_holders(capability, at).filter_map(person).collect();
    for (name, terms) in giving(organisation, capability) {
        let asking = terms.requestable_by.iter().flat_map(|role| organisation.members(role));
        let could = asking.filter(|id| could_be_let(organisation, id, name, terms, at));
        able.extend(could.filter_map(person));
    }
    able
}

/// The entitlements by which a capability can be asked for.
fn giving(organisation: &Organisation, capability: CapabilityName) -> impl Iterator<Item = (&EntitlementName, &Terms)> {
    let all = organisation.policy.entitlements.iter().map(|(name, it)| (name, &it.terms));
    all.filter(move |(_, terms)| given_by(&terms.scope).contains(&capability))
}

/// Whether the proposer could still propose: they hold the capability, or could get it by an elevation.
pub(in crate::domain) fn could_propose(organisation: &Organisation, proposal: &Proposal, at: Timestamp) -> bool {
    let (id, capability) = (&proposal.requester, proposal.file.capability());
    let let_in = |(name, terms)| could_be_let(organisation, id, name, terms, at);
    organisation.capability(id, capability, at).is_some() || giving(organisation, capability).any(let_in)
}

/// Whether an account may ask for an entitlement, and distinct eligible persons could approve it.
fn could_be_let(
    organisation: &Organisation,
    id: &AccountId,
    name: &EntitlementName,
    terms: &Terms,
    at: Timestamp,
) -> bool {
    let Some(own) = organisation.accounts.get(id).map(Account::person) else { return false };
    let could_approve = |stage: &Stage| {
        let mut persons: BTreeSet<PersonId> = BTreeSet::new();
        for approver in &stage.by {
            match approver {
                Approver::Role(role) => {
                    let eligible = |id: &&AccountId| {
                        organisation.eligible_in(id, role, at).is_ok()
                            && lock_on_reviewer(organisation, id, approver).is_none()
                    };
                    let members = organisation.members(role).filter(eligible);
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
        && organisation.lock_on_offer(id, name).is_none()
        && can_be_filled(&terms.approval.iter().map(could_approve).collect::<Vec<_>>())
}

/// After any proposal two persons must be able to propose and approve another, now, and also when a review begun now
/// would end if that was so before. A machine may propose for its owner, but approves nothing.
///
/// # Errors
/// `NO_QUORUM`.
pub(in crate::domain) fn two_could_propose(
    before: &Organisation,
    after: &Organisation,
    now: Now,
) -> Result<(), Refusal> {
    let later = now.latest.plus(REVIEW_WITHIN);
    for capability in [CapabilityName::PolicyPropose, CapabilityName::DirectoryPropose] {
        let until = if !two(after, capability, now.latest) {
            String::new()
        } else if two(before, capability, later) && !two(after, capability, later) {
            format!(" at {later}")
        } else {
            continue;
        };
        let name = capability.as_str();
        let detail = format!("no two eligible persons could use `{name}`{until}");
        return Err(Refusal::new(Reason::NoQuorum, detail).with("capability", name));
    }
    Ok(())
}

fn two(organisation: &Organisation, capability: CapabilityName, at: Timestamp) -> bool {
    let able = able(organisation, capability, at);
    let holders = organisation.standing_holders(capability, at);
    let unlocked = holders.filter(|id| organisation.lock_on_account(id).is_none());
    let proposing = unlocked.filter_map(|id| organisation.accounts.get(id)).map(Account::person);
    let proposing: BTreeSet<&PersonId> = proposing.chain(&able).collect();
    able.iter().any(|person| proposing.iter().any(|proposer| *proposer != person))
}
