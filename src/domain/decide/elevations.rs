//! Elevations: requesting, approving, denying, withdrawing, and the follow-up of an emergency.

use super::super::state::State;
use super::caller::{Caller, make_id, principal};
use super::review::{Signed, approval, denial, person, same_text, still_pending};
use crate::domain::record::command::Envelope;
use crate::domain::record::command::{
    ApproveElevation, CompleteFollowUp, DenyElevation, ElevationCommand, RequestElevation, WithdrawElevation,
};
use crate::domain::record::elevation::Elevation;
use crate::domain::record::emergency::Completion;
use crate::domain::record::event::{
    ApprovalStruck, DecisionRecorded, ElevationApproved, ElevationClosed, ElevationFact, Fact, FollowUpCompleted,
    FollowUpOpened, GrantFact,
};
use crate::domain::rule::emergency::ordinary_stages;
use crate::domain::rule::identities::separation_rule_3_identity;
use crate::domain::rule::issue::issue;
use crate::domain::rule::obstacles::draft;
use crate::domain::rule::reviewers::{counted, lock_on_reviewer, reviewer_in_stages, separation_rule_3};
use crate::domain::rule::visibility::{Thing, may_see};
use crate::domain::value::ids::{ElevationId, GrantId};
use crate::domain::value::refusal::{Reason, Refusal};
use crate::domain::value::time::Now;

/// Decides what is asked about an elevation.
///
/// # Errors
/// The first thing that stands in the way.
pub(super) fn decide(
    state: &State,
    caller: &Caller<'_>,
    command: &ElevationCommand,
    envelope: &Envelope,
) -> Result<Vec<Fact>, Refusal> {
    let now = envelope.now;
    match command {
        ElevationCommand::Request(command) => request(state, caller, command, envelope),
        ElevationCommand::Approve(command) => approve(state, caller, command, envelope),
        ElevationCommand::Deny(command) => deny(state, caller, command, now),
        ElevationCommand::Withdraw(command) => withdraw(state, caller, command, now),
        ElevationCommand::CompleteFollowUp(command) => complete_follow_up(state, caller, command, now),
    }
}

/// A request is refused with the first of its obstacles.
fn request(
    state: &State,
    caller: &Caller<'_>,
    request: &RequestElevation,
    envelope: &Envelope,
) -> Result<Vec<Fact>, Refusal> {
    let id = make_id(envelope, 0).into();
    let (elevation, obstacles) = draft(state, caller.account, request, id, envelope.now);
    if let Some(refusal) = obstacles.into_iter().next() {
        return Err(refusal);
    }
    let mut elevation = elevation.ok_or_else(|| Refusal::new(Reason::NotFound, ""))?;
    elevation.call = caller.call.clone();
    Ok(vec![Fact::Elevation(ElevationFact::Requested(Box::new(elevation)))])
}

/// An approval of exactly this text. The last one that is needed issues the grant, in the same batch.
fn approve(
    state: &State,
    caller: &Caller<'_>,
    command: &ApproveElevation,
    envelope: &Envelope,
) -> Result<Vec<Fact>, Refusal> {
    let &ApproveElevation { elevation: id, digest, ref comment } = command;
    let now = envelope.now;
    let mut elevation = pending(state, caller, id, now, Reason::NotAnApprover)?.clone();
    if extends_what_is_over(state, &elevation, now) {
        // As once that end is recorded: nothing hangs on the timer.
        return Err(Refusal::new(Reason::NotPending, format!("`{id}` is CANCELLED")).with("state", "CANCELLED"));
    }
    if let Some(lock) = state.organisation.lock_on_elevation(&elevation) {
        return Err(lock.refusal());
    }
    let (struck, decision) = approval(state, caller, &mut elevation, Signed { digest, comment }, now)?;
    let mut facts: Vec<Fact> = struck
        .into_iter()
        .map(|(person, because)| {
            let struck = ApprovalStruck { elevation: id, person, because, grant: None };
            Fact::Elevation(ElevationFact::ApprovalStruck(struck))
        })
        .collect();
    facts.push(Fact::Elevation(ElevationFact::ApprovalRecorded(DecisionRecorded { elevation: id, decision })));
    if counted(&state.organisation, &elevation).is_complete() {
        let issued = issued(state, &elevation, make_id(envelope, 1).into(), now);
        facts.extend(issued.map_err(|refusal| as_told_by_tenant(state, caller, &elevation, refusal))?);
    }
    Ok(facts)
}

/// What a complete review leads to: the elevation is approved, its grant issued, and for an emergency a follow-up owed.
///
/// # Errors
/// What the requester, or the request, no longer fulfils.
pub(super) fn issued(state: &State, elevation: &Elevation, grant: GrantId, now: Now) -> Result<Vec<Fact>, Refusal> {
    let id = elevation.id;
    let issued = issue(state, elevation, grant, now)?;
    let approved = ElevationFact::Approved(ElevationApproved { elevation: id, grant });
    let mut facts = vec![Fact::Elevation(approved), Fact::Grant(GrantFact::Issued(Box::new(issued)))];
    facts.extend(elevation.emergency.as_ref().map(|emergency| {
        let due = now.stamp.plus(emergency.follow_up_within);
        Fact::Elevation(ElevationFact::FollowUpOpened(FollowUpOpened { elevation: id, grant, due }))
    }));
    Ok(facts)
}

/// The obstacle may be what the requester holds or owes at another customer. Whoever approves for a tenant therefore
/// always gets the same answer, and the journal has the reason.
fn as_told_by_tenant(state: &State, caller: &Caller<'_>, elevation: &Elevation, refusal: Refusal) -> Refusal {
    let organisation = &state.organisation;
    let customer = organisation.tenant_of_account(caller.account);
    if customer.is_none() || customer == organisation.tenant_of_account(&elevation.requester) {
        return refusal;
    }
    refusal.instead_told(Reason::HolderNotReady)
}

/// One denial ends it: by anyone who may review any stage, also by one who had approved.
fn deny(state: &State, caller: &Caller<'_>, command: &DenyElevation, now: Now) -> Result<Vec<Fact>, Refusal> {
    let &DenyElevation { elevation: id, ref reason } = command;
    let elevation = pending(state, caller, id, now, Reason::NotAnApprover)?;
    let decision = denial(state, caller, elevation, reason, now)?;
    Ok(vec![Fact::Elevation(ElevationFact::Denied(DecisionRecorded { elevation: id, decision }))])
}

/// Records what an ordinary approver found of an emergency. They must be eligible as for a decision, not behind it, and
/// not one of those who approved it.
fn complete_follow_up(
    state: &State,
    caller: &Caller<'_>,
    command: &CompleteFollowUp,
    now: Now,
) -> Result<Vec<Fact>, Refusal> {
    let &CompleteFollowUp { elevation: id, digest, finding, ref comment } = command;
    let organisation = &state.organisation;
    let elevation = visible(state, caller, id, now, Reason::NotAnApprover)?;
    if elevation.open_follow_up().is_none() {
        return Err(Refusal::new(Reason::NoFollowUp, format!("`{id}`")));
    }
    let person = person(caller)?;
    separation_rule_3(organisation, elevation, person)?;
    separation_rule_3_identity(organisation, elevation, caller.identity)?;
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
    let call = caller.call.clone();
    let completion = Completion { at: now.stamp, person, account, call, through, finding, comment };
    Ok(vec![Fact::Elevation(ElevationFact::FollowUpCompleted(FollowUpCompleted { elevation: id, completion }))])
}

/// Whoever is behind a request may take it back.
fn withdraw(state: &State, caller: &Caller<'_>, command: &WithdrawElevation, now: Now) -> Result<Vec<Fact>, Refusal> {
    let &WithdrawElevation { elevation: id, ref reason } = command;
    let elevation = pending(state, caller, id, now, Reason::NotHolder)?;
    let behind = caller.viewer.person.as_ref().is_some_and(|person| elevation.behind.contains(person));
    if elevation.requester != *caller.account && !behind {
        return Err(Refusal::new(Reason::NotHolder, "only those behind a request withdraw it; a reviewer denies it"));
    }
    Ok(vec![Fact::Elevation(ElevationFact::Withdrawn(ElevationClosed {
        elevation: id,
        by: principal(caller),
        reason: reason.to_owned(),
    }))])
}

/// The elevation, if the caller may see it. `if_hidden` is the reason that the journal gets if the caller may not
/// (known failures A14 and H9).
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

/// Whether the grant that a request would extend is over, whatever the timer has recorded.
fn extends_what_is_over(state: &State, elevation: &Elevation, now: Now) -> bool {
    let over = |id| state.grants.get(id).is_none_or(|grant| !grant.is_open() || grant.end.is_over(now.latest));
    elevation.extends.as_ref().is_some_and(over)
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
