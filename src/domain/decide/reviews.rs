//! Deciding on what was asked: approve, deny, withdraw.

use super::super::state::State;
use super::caller::{Caller, make_id, principal};
use crate::domain::effect::cascade::struck_out;
use crate::domain::record::command::Envelope;
use crate::domain::record::elevation::Elevation;
use crate::domain::record::emergency::{Completion, Finding};
use crate::domain::record::event::{
    ApprovalStruck, DecisionRecorded, ElevationApproved, ElevationClosed, Fact, FollowUpCompleted, FollowUpOpened,
};
use crate::domain::record::review::Phase;
use crate::domain::record::review::{Decision, StruckOut, Verdict};
use crate::domain::rule::emergency::ordinary_stages;
use crate::domain::rule::issue::issue;
use crate::domain::rule::reviewers::{
    Reviewed, lock_on_reviewer, reviewer_in, reviewer_in_any, reviewer_in_stages, separation_rule_3,
};
use crate::domain::rule::visibility::{Thing, may_see};
use crate::domain::state::organisation::Organisation;
use crate::domain::value::ids::{Digest, ElevationId, PersonId};
use crate::domain::value::refusal::{Reason, Refusal};
use crate::domain::value::time::{Now, Timestamp};

/// An approval of exactly this text. The last one that is needed issues the grant, in the same batch.
pub(super) fn approve(
    state: &State,
    caller: &Caller<'_>,
    id: ElevationId,
    (digest, comment): (Digest, &str),
    envelope: &Envelope,
) -> Result<Vec<Fact>, Refusal> {
    let now = envelope.now;
    let mut elevation = pending(state, caller, id, now, Reason::NotAnApprover)?.clone();
    if let Some(lock) = state.organisation.lock_on_elevation(&elevation) {
        return Err(lock.refusal());
    }
    let (struck, decision) = approval(state, caller, &mut elevation, (digest, comment), now)?;
    let mut facts: Vec<Fact> = struck
        .into_iter()
        .map(|(person, because)| Fact::ApprovalStruck(ApprovalStruck { elevation: id, person, because }))
        .collect();
    facts.push(Fact::ApprovalRecorded(DecisionRecorded { elevation: id, decision }));
    if elevation.review.open_stage().is_none() {
        let grant = issue(state, &elevation, make_id(envelope, 1).into(), now)
            .map_err(|refusal| as_told_by_tenant(state, caller, &elevation, refusal))?;
        facts.push(Fact::ElevationApproved(ElevationApproved { elevation: id, grant: grant.id }));
        let owed = elevation.emergency.as_ref().map(|emergency| FollowUpOpened {
            elevation: id,
            grant: grant.id,
            due: now.stamp.plus(emergency.follow_up_within),
        });
        facts.push(Fact::GrantIssued(Box::new(grant)));
        facts.extend(owed.map(Fact::FollowUpOpened));
    }
    Ok(facts)
}

/// What stands in the way of an employee may be what the same employee holds or owes at another customer: to whoever
/// approves for a tenant it is one answer, and the journal has the reason.
fn as_told_by_tenant(state: &State, caller: &Caller<'_>, elevation: &Elevation, refusal: Refusal) -> Refusal {
    let organisation = &state.organisation;
    let customer = organisation.tenant_of_account(caller.account);
    if customer.is_none() || customer == organisation.tenant_of_account(&elevation.requester) {
        return refusal;
    }
    refusal.instead_told(Reason::HolderNotReady)
}

/// An approval of whatever is under review: who does not count any more, and the decision. Both are put into its review.
///
/// # Errors
/// Why it is no approval: by somebody behind it, a second time, in no open stage, or of another text.
pub(super) fn approval(
    state: &State,
    caller: &Caller<'_>,
    reviewed: &mut impl Reviewed,
    (digest, comment): (Digest, &str),
    now: Now,
) -> Result<(Vec<(PersonId, StruckOut)>, Decision), Refusal> {
    let organisation = &state.organisation;
    let person = person(caller)?;
    separation_rule_3(organisation, reviewed, person)?;
    if reviewed.review().has_decided(person) {
        return Err(Refusal::new(Reason::AlreadyReviewed, format!("`{person}`")));
    }
    // Rule 4, for those who approved before: who could not approve now is struck out, and the stage opens again.
    let struck = struck_out(organisation, reviewed, now);
    for (person, because) in &struck {
        for decision in reviewed.review_mut().decisions.iter_mut().filter(|decision| decision.person == *person) {
            decision.struck = Some(because.clone());
        }
    }
    let decision = decision_in_open_stage(organisation, caller, reviewed, comment, now)?;
    same_text(reviewed, digest)?;
    reviewed.review_mut().decisions.push(decision.clone());
    Ok((struck, decision))
}

/// What was read is what is on record (known failure A9).
fn same_text(reviewed: &impl Reviewed, digest: Digest) -> Result<(), Refusal> {
    if reviewed.review().digest() == digest {
        return Ok(());
    }
    Err(Refusal::new(Reason::DigestMismatch, format!("`{digest}` is not the digest of the text on record")))
}

fn decision_in_open_stage(
    organisation: &Organisation,
    caller: &Caller<'_>,
    reviewed: &impl Reviewed,
    comment: &str,
    now: Now,
) -> Result<Decision, Refusal> {
    let Some((index, stage)) = reviewed.review().open_stage() else {
        return Err(Refusal::new(Reason::NotPending, "all stages are complete"));
    };
    let through =
        reviewer_in(organisation, reviewed, stage, caller.account, now.latest).map_err(
            |refusal| match reviewer_in_any(organisation, reviewed, caller.account, now.latest) {
                Ok((_, approver)) => Refusal::new(Reason::StageNotOpen, format!("`{approver}` is for another stage")),
                Err(_) => refusal,
            },
        )?;
    if let Some(lock) = lock_on_reviewer(organisation, caller.account, &through) {
        return Err(lock.refusal());
    }
    Ok(Decision {
        person: person(caller)?.clone(),
        account: caller.account.clone(),
        through,
        stage: index,
        at: now.stamp,
        verdict: Verdict::Approved,
        comment: comment.to_owned(),
        struck: None,
    })
}

/// A denial of whatever is under review.
///
/// # Errors
/// If the caller may review no stage of it.
pub(super) fn denial(
    state: &State,
    caller: &Caller<'_>,
    reviewed: &impl Reviewed,
    reason: &str,
    now: Now,
) -> Result<Decision, Refusal> {
    let person = person(caller)?;
    let (stage, through) = reviewer_in_any(&state.organisation, reviewed, caller.account, now.latest)?;
    Ok(Decision {
        person: person.clone(),
        account: caller.account.clone(),
        through,
        stage,
        at: now.stamp,
        verdict: Verdict::Denied,
        comment: reason.to_owned(),
        struck: None,
    })
}

/// One denial ends it: by anyone who may review any stage, also by one who had approved.
pub(super) fn deny(
    state: &State,
    caller: &Caller<'_>,
    id: ElevationId,
    reason: &str,
    now: Now,
) -> Result<Vec<Fact>, Refusal> {
    let elevation = pending(state, caller, id, now, Reason::NotAnApprover)?;
    let decision = denial(state, caller, elevation, reason, now)?;
    Ok(vec![Fact::ElevationDenied(DecisionRecorded { elevation: id, decision })])
}

/// What one of those found whom an emergency went around: eligible as for a decision, not behind it, and not one of those
/// who let it through.
pub(super) fn complete_follow_up(
    state: &State,
    caller: &Caller<'_>,
    id: ElevationId,
    (digest, finding, comment): (Digest, Finding, &str),
    now: Now,
) -> Result<Vec<Fact>, Refusal> {
    let organisation = &state.organisation;
    let elevation = visible(state, caller, id, now, Reason::NotAnApprover)?;
    if elevation.open_follow_up().is_none() {
        return Err(Refusal::new(Reason::NoFollowUp, format!("`{id}`")));
    }
    let person = person(caller)?;
    separation_rule_3(organisation, elevation, person)?;
    if elevation.review.has_decided(person) {
        return Err(Refusal::new(Reason::AlreadyReviewed, format!("`{person}`")));
    }
    let through = reviewer_in_stages(
        organisation,
        elevation,
        ordinary_stages(elevation, organisation),
        caller.account,
        now.latest,
    )?;
    if let Some(lock) = lock_on_reviewer(organisation, caller.account, &through) {
        return Err(lock.refusal());
    }
    same_text(elevation, digest)?;
    let (person, account, comment) = (person.clone(), caller.account.clone(), comment.to_owned());
    let completion = Completion { at: now.stamp, person, account, through, finding, comment };
    Ok(vec![Fact::FollowUpCompleted(FollowUpCompleted { elevation: id, completion })])
}

/// Whoever is behind a request may take it back.
pub(super) fn withdraw(
    state: &State,
    caller: &Caller<'_>,
    id: ElevationId,
    reason: &str,
    now: Now,
) -> Result<Vec<Fact>, Refusal> {
    let elevation = pending(state, caller, id, now, Reason::NotHolder)?;
    let behind = caller.viewer.person.as_ref().is_some_and(|person| elevation.behind.contains(person));
    if elevation.requester != *caller.account && !behind {
        return Err(Refusal::new(Reason::NotHolder, "only those behind a request withdraw it; a reviewer denies it"));
    }
    Ok(vec![Fact::ElevationWithdrawn(ElevationClosed {
        elevation: id,
        by: principal(caller),
        reason: reason.to_owned(),
    })])
}

/// The elevation, if the caller may see it. `if_hidden` is what the journal has of a caller who may not (known failures A14 and H9).
fn visible<'a>(
    state: &'a State,
    caller: &Caller<'_>,
    id: ElevationId,
    now: Now,
    if_hidden: Reason,
) -> Result<&'a Elevation, Refusal> {
    let elevation = state.elevations.get(&id).ok_or_else(|| Refusal::not_found("elevation", id))?;
    if !may_see(state, caller.viewer, Thing::Elevation(elevation), now) {
        return Err(Refusal::hidden("elevation", id, if_hidden));
    }
    Ok(elevation)
}

/// The elevation, if the caller may see it and it is still pending: by comparison with its deadline, whatever the timer
/// has recorded.
fn pending<'a>(
    state: &'a State,
    caller: &Caller<'_>,
    id: ElevationId,
    now: Now,
    if_hidden: Reason,
) -> Result<&'a Elevation, Refusal> {
    let elevation = visible(state, caller, id, now, if_hidden)?;
    still_pending(id, &elevation.phase, elevation.review.deadline, now)?;
    Ok(elevation)
}

/// Whether what is under review still waits for decisions, whatever the timer has recorded.
///
/// # Errors
/// `NOT_PENDING`, with the state.
pub(super) fn still_pending<Outcome, Cause>(
    id: impl std::fmt::Display,
    phase: &Phase<Outcome, Cause>,
    deadline: Timestamp,
    now: Now,
) -> Result<(), Refusal> {
    // While the clock is suspect nothing is approved, and what is denied or withdrawn must not wait for it.
    let over = deadline.is_over(now.latest) && !now.suspect;
    let state = if phase.is_pending() && over { "EXPIRED" } else { phase.name() };
    if phase.is_pending() && !over {
        return Ok(());
    }
    Err(Refusal::new(Reason::NotPending, format!("`{id}` is {state}")).with("state", state))
}

fn person<'a>(caller: &'a Caller<'_>) -> Result<&'a PersonId, Refusal> {
    let machine = || Refusal::new(Reason::NotAnApprover, "machines never approve");
    caller.viewer.person.as_ref().ok_or_else(machine)
}
