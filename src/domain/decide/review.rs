//! What every review has in common: an approval bound to the text that was read, a denial, and the check that it is
//! still pending.

use std::collections::BTreeSet;

use super::super::state::State;
use super::caller::Caller;
use crate::domain::effect::cascade::struck_out;
use crate::domain::record::review::Phase;
use crate::domain::record::review::{Decision, StruckOut, Verdict};
use crate::domain::rule::identities::separation_rule_3_identity;
use crate::domain::rule::reviewers::{
    Reviewed, could_approve, counted, lock_on_reviewer, reviewer_in, reviewer_in_any, separation_rule_3,
};
use crate::domain::state::organisation::Organisation;
use crate::domain::value::ids::{Digest, PersonId};
use crate::domain::value::refusal::{Reason, Refusal};
use crate::domain::value::time::{Now, Timestamp};

/// What an approver sends back.
#[derive(Clone, Copy)]
pub(super) struct Signed<'a> {
    /// SHA-256 of the text that was shown, computed by the client.
    pub(super) digest: Digest,
    /// For the record.
    pub(super) comment: &'a str,
}

/// Approves what is under review. Gives back the approvals that no longer count, and the decision; both are put into
/// the review.
///
/// # Errors
/// Why it does not count: given by somebody behind the request, a second time, outside the open stage, or for another
/// text.
pub(super) fn approval(
    state: &State,
    caller: &Caller<'_>,
    reviewed: &mut impl Reviewed,
    signed: Signed<'_>,
    now: Now,
) -> Result<(Vec<(PersonId, StruckOut)>, Decision), Refusal> {
    let organisation = &state.organisation;
    let person = person(caller)?;
    separation_rule_3(organisation, reviewed, person)?;
    separation_rule_3_identity(organisation, reviewed, caller.identity)?;
    decided_nothing_yet(organisation, reviewed, person, now)?;
    // Rule 4, for those who approved before: whoever could not approve now is struck out, and the stage opens again. Whoever
    // is suspended by a lock is not: their approval is left out of the count while that lasts.
    let struck = struck_out(organisation, reviewed, now);
    for (person, because) in &struck {
        for decision in reviewed.review_mut().decisions.iter_mut().filter(|decision| decision.person == *person) {
            decision.struck = Some(because.clone());
        }
    }
    let decision = decision_in_open_stage(organisation, caller, reviewed, signed.comment, now)?;
    same_text(reviewed, signed.digest)?;
    reviewed.review_mut().decisions.push(decision.clone());
    Ok((struck, decision))
}

/// A person counts once in a review. Whoever was struck out hears that, and who can decide instead.
///
/// # Errors
/// `ALREADY_REVIEWED`, `APPROVAL_STRUCK`.
fn decided_nothing_yet(
    organisation: &Organisation,
    reviewed: &impl Reviewed,
    person: &PersonId,
    now: Now,
) -> Result<(), Refusal> {
    let review = reviewed.review();
    if !review.has_decided(person) {
        return Ok(());
    }
    let own = || review.decisions.iter().filter(|decision| decision.person == *person);
    let Some(struck) = own().find_map(|decision| decision.struck.as_ref()) else {
        return Err(Refusal::new(Reason::AlreadyReviewed, format!("`{person}`")));
    };
    let because = struck.reason.entry().name;
    let detail =
        format!("that of `{person}`, since {} ({because}); {}", struck.at, who_can(organisation, reviewed, now));
    Err(Refusal::new(Reason::ApprovalStruck, detail).with("person", person).with("cause", because))
}

/// Persons named at most.
const NAMED: usize = 10;

/// Who can decide in the open stage: in which capacity, and which persons of the own organisation.
fn who_can(organisation: &Organisation, reviewed: &impl Reviewed, now: Now) -> String {
    let Some((_, stage)) = counted(organisation, reviewed).open_stage() else {
        return "no stage waits for anybody".to_owned();
    };
    let by: Vec<String> = stage.by.iter().map(|approver| format!("`{approver}`")).collect();
    let could = could_approve(organisation, reviewed, stage, now.latest).map(|(_, person)| person);
    let persons: BTreeSet<&PersonId> = could.filter(|person| organisation.tenant_of(person).is_none()).collect();
    let named: Vec<String> = persons.iter().take(NAMED).map(|person| format!("`{person}`")).collect();
    let by = by.join(" or ");
    match named.as_slice() {
        [] => format!("{by} can decide"),
        _ => format!("{by} can decide: {}", named.join(", ")),
    }
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
        call: caller.call.clone(),
        through,
        stage,
        at: now.stamp,
        verdict: Verdict::Denied,
        comment: reason.to_owned(),
        struck: None,
    })
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
    // Under a suspect clock nothing can be approved, so the deadline is not enforced: denying and withdrawing must not
    // wait.
    let over = deadline.is_over(now.latest) && !now.suspect;
    let state = if phase.is_pending() && over { "EXPIRED" } else { phase.name() };
    if phase.is_pending() && !over {
        return Ok(());
    }
    Err(Refusal::new(Reason::NotPending, format!("`{id}` is {state}")).with("state", state))
}

pub(super) fn person<'a>(caller: &'a Caller<'_>) -> Result<&'a PersonId, Refusal> {
    let machine = || Refusal::new(Reason::NotAnApprover, "machines never approve");
    caller.viewer.person.as_ref().ok_or_else(machine)
}

fn decision_in_open_stage(
    organisation: &Organisation,
    caller: &Caller<'_>,
    reviewed: &impl Reviewed,
    comment: &str,
    now: Now,
) -> Result<Decision, Refusal> {
    let Some((index, stage)) = counted(organisation, reviewed).open_stage() else {
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
        call: caller.call.clone(),
        through,
        stage: index,
        at: now.stamp,
        verdict: Verdict::Approved,
        comment: comment.to_owned(),
        struck: None,
    })
}

/// The text that was read must be the one on record (known failure A9).
pub(super) fn same_text(reviewed: &impl Reviewed, digest: Digest) -> Result<(), Refusal> {
    if reviewed.review().digest() == digest {
        return Ok(());
    }
    Err(Refusal::new(Reason::DigestMismatch, format!("`{digest}` is not the digest of the text on record")))
}
