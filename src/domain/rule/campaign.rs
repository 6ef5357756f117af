//! Recertification: when a membership ends by itself, and who may confirm one.

use crate::domain::directory::{Account, AccountKind, Membership, Person};
use crate::domain::state::organisation::Organisation;
use crate::domain::value::ids::{AccountId, PersonId, RoleName};
use crate::domain::value::refusal::{Reason, Refusal};
use crate::domain::value::time::Timestamp;

use super::reviewers::first;

/// When a membership lapses or ends by itself: its own end, that of its account, the last day of its person, or the first
/// lapse that it rests on, which may lie in the past. None: never.
#[must_use]
pub fn ends_by_itself(
    organisation: &Organisation,
    account: &Account,
    role: &RoleName,
    membership: &Membership,
) -> Option<Timestamp> {
    let policy = organisation.policy();
    let mut ends_at = membership.ends_at().min(account.ends_at());
    if let Some(person) = organisation.people().get(account.person()) {
        let of_role = policy.roles.get(role).into_iter().flat_map(|role| &role.requires);
        // A customer's screening is the tenant's own affair.
        let customer = matches!(account.kind, AccountKind::Customer { .. });
        let of_baseline = policy.baseline.requires.iter().filter(|_| !customer);
        let lapses = of_role.chain(of_baseline).filter_map(|name| {
            let attested = person.attestations.get(name)?;
            Some(policy.requirements.get(name)?.lapses_at(*attested))
        });
        ends_at = lapses.fold(ends_at.min(person.employment_ends_at()), Timestamp::min);
    }
    (ends_at < Timestamp::MAX).then_some(ends_at)
}

/// Whose membership is to be confirmed: the person's, or that of a machine of theirs.
#[derive(Debug, Clone, Copy)]
pub struct Holder<'a> {
    /// Whose it was when the campaign began.
    pub at_start: &'a PersonId,
    /// Whose it is now.
    pub by_now: &'a PersonId,
}

/// Whether an account may confirm what a person or their machine holds: it belongs to the manager of record or, if
/// there is no manager, is in a role that policy names in a manager's place. Nobody confirms for themselves: neither
/// the person whose it was when the campaign began, nor the one whose it is now (known failures A3 and B6).
///
/// # Errors
/// `SELF_APPROVAL`, `NOT_OWNER`, or why the account is not eligible.
pub fn may_confirm(
    organisation: &Organisation,
    caller: &AccountId,
    of: Holder<'_>,
    at: Timestamp,
) -> Result<(), Refusal> {
    let Holder { at_start, by_now } = of;
    let not_owner = |why: String| Refusal::new(Reason::NotOwner, why).with("person", by_now);
    let account = organisation.accounts().get(caller).filter(|account| !account.is_machine());
    let Some(confirming) = account.map(Account::person) else {
        return Err(not_owner("machines confirm nothing".to_owned()));
    };
    if confirming == at_start || confirming == by_now {
        let detail = format!("`{confirming}` would confirm for themselves");
        return Err(Refusal::new(Reason::SelfApproval, detail).with("person", confirming));
    }
    organisation.account_validity(caller, at).map_err(first)?;
    if organisation.manager_of(by_now, at) == Some(confirming) {
        return Ok(());
    }
    let unmanaged = organisation.people().get(by_now).is_some_and(|person| is_unmanaged(person, at));
    if unmanaged && organisation.may_stand_in(caller, by_now, at) {
        return Ok(());
    }
    Err(not_owner(format!("`{confirming}` is not the manager of `{by_now}`")))
}

/// Whether a person has no manager and awaits none. After a transfer to somebody unknown a person awaits one.
fn is_unmanaged(person: &Person, at: Timestamp) -> bool {
    let moved = person.moves.first().is_some_and(|moves| moves.at.is_over(at));
    !moved && !person.awaits_manager && person.manager.is_none()
}
