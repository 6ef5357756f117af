//! Separation of duties, rule 4: what was asked for and approved is looked at again when it is given, and again when a
//! scheduled grant starts (known failures A10, A11 and C11).

use super::eligibility::Validity;
use super::identities::approval_stands;
use super::reviewers::{Reviewed, counted, first, reviewer_in};
use crate::domain::directory::HeldBy;
use crate::domain::policy::Terms;
use crate::domain::record::counted::Counted;
use crate::domain::record::grant::{Grant, GrantPhase, Revocation};
use crate::domain::state::State;
use crate::domain::state::organisation::Organisation;
use crate::domain::value::ids::PersonId;
use crate::domain::value::refusal::{Reason, Refusal};
use crate::domain::value::time::{Now, Timestamp};

/// Separation of duties, rule 4, for whoever asked: they could ask for it now, and until when they may hold it.
///
/// # Errors
/// The first thing that stands in the way.
pub fn separation_rule_4_requester(
    organisation: &Organisation,
    held_by: HeldBy<'_>,
    terms: &Terms,
    at: Timestamp,
) -> Result<Validity, Refusal> {
    organisation.holder_validity(held_by, terms, at).map_err(first)
}

/// Separation of duties, rule 4, for whoever approved: the review is complete by the approvals that could be given now, and
/// none is by somebody who is behind the request by now. One more than was needed is not missed. Locks are left out, as in
/// `void_approvals`.
///
/// # Errors
/// The first approval that could not be given now, and why.
pub fn separation_rule_4_approvers(
    organisation: &Organisation,
    reviewed: &impl Reviewed,
    at: Timestamp,
) -> Result<(), (PersonId, Refusal)> {
    let mut void = void_approvals(organisation, reviewed, at);
    if let Some(own) = void.iter().position(|(_, refusal)| refusal.reason == Reason::SelfApproval) {
        return Err(void.swap_remove(own));
    }
    let without = Counted::without(reviewed.review(), void.iter().map(|(person, _)| person).collect());
    if without.is_complete() {
        return Ok(());
    }
    void.into_iter().next().map_or(Ok(()), Err)
}

/// The approvals that no longer count, and why: rule 4 applied to the approvers. Each is checked as at its decision, but for
/// locks: what they stop goes on when they are lifted, so they strike nothing out.
#[must_use]
pub fn void_approvals(
    organisation: &Organisation,
    reviewed: &impl Reviewed,
    at: Timestamp,
) -> Vec<(PersonId, Refusal)> {
    let void = reviewed.review().approvals().filter_map(|decision| {
        let index = usize::try_from(decision.stage).ok()?;
        let stage = reviewed.review().stages.get(index)?;
        let account = organisation.accounts().get(&decision.account);
        let refusal = if account.is_some_and(|account| *account.person() != decision.person) {
            // Who has the account now did not approve (known failure B5).
            Refusal::new(Reason::NotEligible, format!("`{}` is another person's now", decision.account))
        } else if let Err(refusal) = approval_stands(organisation, reviewed, decision) {
            refusal
        } else {
            reviewer_in(organisation, reviewed, stage, &decision.account, at).err()?
        };
        Some((decision.person.clone(), refusal))
    });
    void.collect()
}

/// Whether a scheduled grant waits because a lock stops somebody whose approval it needs.
#[must_use]
pub fn waits_for_approvers(state: &State, grant: &Grant) -> bool {
    let organisation = &state.organisation;
    !organisation.locks().all().is_empty()
        && state.elevations.get(&grant.elevation).is_some_and(|it| !counted(organisation, it).is_complete())
}

/// Until when an open grant can go on under an organisation; separation rule 4 for one that has not started yet.
///
/// # Errors
/// Why it must be revoked.
pub fn grant_stands(after: &Organisation, state: &State, grant: &Grant, now: Now) -> Result<Validity, Revocation> {
    let Some(entitlement) = after.policy().entitlements.get(&grant.entitlement) else {
        return Err(Revocation::TermsChanged);
    };
    let unstarted = grant.phase == GrantPhase::Scheduled;
    let same_terms = entitlement.terms_digest == grant.terms;
    // A started grant outlasts a change of terms that still covers it; an unstarted one was approved under other terms.
    if (unstarted && !same_terms) || !entitlement.terms.scope.contains(&grant.scope) {
        return Err(Revocation::TermsChanged);
    }
    let validity = separation_rule_4_requester(after, grant.held_by(), &entitlement.terms, now.latest)
        .map_err(|refusal| Revocation::NotEligible { reason: refusal.reason })?;
    // Whoever approved and answers for the holder by now approved for themselves, also where the grant has started.
    if let Some(elevation) = state.elevations.get(&grant.elevation) {
        let behind = elevation.behind_now(after);
        if let Some(own) = elevation.review.approvals().find(|decision| behind.contains(&decision.person)) {
            return Err(Revocation::ApprovalVoid { person: own.person.clone(), reason: Reason::SelfApproval });
        }
    }
    if unstarted {
        let Some(elevation) = state.elevations.get(&grant.elevation) else {
            return Err(Revocation::NotEligible { reason: Reason::NotFound });
        };
        separation_rule_4_approvers(after, elevation, now.latest)
            .map_err(|(person, refusal)| Revocation::ApprovalVoid { person, reason: refusal.reason })?;
    }
    Ok(validity)
}
