//! Enrolments: requesting an account, a role or a machine, and deciding on it. The last approval gives it, in the same
//! batch.

use crate::domain::record::command::{ApproveEnrolment, DenyEnrolment, EnrolmentCommand, WithdrawEnrolment};
use std::collections::BTreeSet;

use super::caller::{Caller, make_id, principal};
use super::review::{self, Signed, approval, denial};
use crate::domain::directory::{Account, AccountState, Disabling};
use crate::domain::effect::cascade::{Touched, void_enrolment};
use crate::domain::effect::life;
use crate::domain::effect::overlay::Overlay;
use crate::domain::record::command::{Envelope, RequestEnrolment};
use crate::domain::record::enrolment::Enrolment;
use crate::domain::record::event::{
    Actor, EnrolmentApprovalStruck, EnrolmentDecision, EnrolmentFact, EnrolmentNamed, EnrolmentWithdrawn, Fact,
};
use crate::domain::record::review::Phase;
use crate::domain::rule::enrolling::{draft_enrolment, given, standing_in_the_way};
use crate::domain::rule::reviewers::counted;
use crate::domain::rule::visibility::{Thing, Viewer, may_see};
use crate::domain::state::State;
use crate::domain::value::ids::{EnrolmentId, PersonId, Principal};
use crate::domain::value::refusal::{Reason, Refusal};
use crate::domain::value::time::Now;

/// Decides what is asked about an enrolment.
///
/// # Errors
/// The first thing that stands in the way.
pub(super) fn decide(
    state: &State,
    viewer: &Viewer,
    command: &EnrolmentCommand,
    envelope: &Envelope,
) -> Result<Vec<Fact>, Refusal> {
    let now = envelope.now;
    let account = || Caller::of(state, viewer, envelope);
    match command {
        EnrolmentCommand::Request(command) => request(state, viewer, command, envelope),
        EnrolmentCommand::Withdraw(command) => withdraw(state, viewer, command, now),
        EnrolmentCommand::Approve(command) => approve(state, &account()?, command, envelope),
        EnrolmentCommand::Deny(command) => deny(state, &account()?, command, now),
    }
}

/// Makes an enrolment. A person without an account may ask, an active account, and one that a lapse disabled. A request
/// is refused with the first of its obstacles.
fn request(
    state: &State,
    viewer: &Viewer,
    request: &RequestEnrolment,
    envelope: &Envelope,
) -> Result<Vec<Fact>, Refusal> {
    may_ask(state, viewer, envelope.now)?;
    let id = make_id(envelope, 0).into();
    let draft = |state: &State| draft_enrolment(state, viewer, request, id, envelope.now);
    let behind = draft(state).0.map(|enrolment| enrolment.behind).unwrap_or_default();
    let settled = settled(state, viewer, &behind, envelope.now);
    let (enrolment, obstacles) = draft(settled.state());
    if let Some(refusal) = obstacles.into_iter().next() {
        return Err(refusal);
    }
    let mut enrolment = enrolment.ok_or_else(|| Refusal::new(Reason::NotFound, ""))?;
    enrolment.call = envelope.call(state.sequence());
    if let Some(lock) = state.organisation.lock_on_enrolment(&enrolment) {
        return Err(lock.refusal());
    }
    // The first event carries the `request_id`, so the request comes before what was due.
    let mut facts = vec![Fact::Enrolment(EnrolmentFact::Requested(Box::new(enrolment)))];
    facts.extend(settled.into_facts());
    Ok(facts)
}

/// An approval of exactly this text. The last one that is needed gives what was asked for, in the same batch. Rule 4:
/// everything is checked again at each, as things are now, with what is due by now recorded.
fn approve(
    state: &State,
    caller: &Caller<'_>,
    command: &ApproveEnrolment,
    envelope: &Envelope,
) -> Result<Vec<Fact>, Refusal> {
    let &ApproveEnrolment { enrolment: id, digest, ref comment } = command;
    let now = envelope.now;
    let asked = pending(state, caller.viewer, id, now, Reason::NotAnApprover)?;
    if let Some(lock) = state.organisation.lock_on_enrolment(asked) {
        return Err(lock.refusal());
    }
    let settled = settled(state, caller.viewer, &asked.behind, now);
    let mut enrolment = settled.state().enrolments.get(&id).unwrap_or(asked).clone();
    if !enrolment.phase.is_pending() {
        // What was due has cancelled it: the refusal is what stands in its way now.
        still_possible(settled.state(), &enrolment, now)?;
    }
    still_pending(&enrolment, now)?;
    let (struck, decision) = approval(settled.state(), caller, &mut enrolment, Signed { digest, comment }, now)?;
    still_possible(settled.state(), &enrolment, now)?;
    // The first event carries the `request_id`, so the decision comes before what was due.
    let mut overlay = Overlay::new(state, Actor::Caller(principal(caller)), now);
    overlay.record(struck.into_iter().map(|(person, because)| {
        Fact::Enrolment(EnrolmentFact::ApprovalStruck(EnrolmentApprovalStruck { enrolment: id, person, because }))
    }));
    overlay.record([Fact::Enrolment(EnrolmentFact::ApprovalRecorded(EnrolmentDecision { enrolment: id, decision }))]);
    overlay.record(settled.into_facts());
    if counted(&state.organisation, &enrolment).is_complete() {
        give(&mut overlay, &enrolment);
    }
    Ok(overlay.into_facts())
}

/// Separation of duties, rule 4: nothing is given that could not be asked for now.
fn still_possible(state: &State, enrolment: &Enrolment, now: Now) -> Result<(), Refusal> {
    if let Some(refusal) = standing_in_the_way(&state.organisation, enrolment, now).into_iter().next() {
        return Err(refusal);
    }
    match void_enrolment(&state.organisation, enrolment, now) {
        None => Ok(()),
        Some(because) => {
            let detail = format!("`{}` is void: {}", enrolment.id, because.name());
            Err(Refusal::new(Reason::NotPending, detail).with("cause", because.name()))
        }
    }
}

/// Records what a complete review gives, and all that follows.
pub(super) fn give(overlay: &mut Overlay, enrolment: &Enrolment) {
    let counted = counted(overlay.state().organisation(), enrolment);
    let approvers: BTreeSet<PersonId> = counted.approvals().map(|it| it.person.clone()).collect();
    let given = given(overlay.state().organisation(), enrolment, approvers, overlay.clocks());
    overlay.record([Fact::Enrolment(EnrolmentFact::Approved(EnrolmentNamed { enrolment: enrolment.id }))]);
    // People first: their logins must be free before they become identities of the account.
    for (id, person) in given.people {
        life::put_person(overlay, &id, person);
    }
    for (id, account) in given.accounts {
        life::put_account(overlay, &id, account);
    }
    overlay.cascade(&Touched::Persons(enrolment.behind.clone()));
}

/// One denial ends it: by anyone who may review any stage, also by one who had approved.
fn deny(state: &State, caller: &Caller<'_>, command: &DenyEnrolment, now: Now) -> Result<Vec<Fact>, Refusal> {
    let &DenyEnrolment { enrolment: id, ref reason } = command;
    let enrolment = pending(state, caller.viewer, id, now, Reason::NotAnApprover)?;
    let decision = denial(state, caller, enrolment, reason, now)?;
    Ok(vec![Fact::Enrolment(EnrolmentFact::Denied(EnrolmentDecision { enrolment: id, decision }))])
}

/// Whoever is behind a request may take it back.
fn withdraw(state: &State, viewer: &Viewer, command: &WithdrawEnrolment, now: Now) -> Result<Vec<Fact>, Refusal> {
    let &WithdrawEnrolment { enrolment: id, ref reason } = command;
    let enrolment = pending(state, viewer, id, now, Reason::NotHolder)?;
    // The owner of a machine that somebody else would take over is behind the enrolment, but may not withdraw it.
    let own = enrolment.requester == viewer.principal || viewer.person.as_ref() == Some(&enrolment.person);
    if !own {
        return Err(Refusal::new(Reason::NotHolder, "only those who asked withdraw it; a reviewer denies it"));
    }
    let by = viewer.principal.clone();
    Ok(vec![Fact::Enrolment(EnrolmentFact::Withdrawn(EnrolmentWithdrawn {
        enrolment: id,
        by,
        reason: reason.to_owned(),
    }))])
}

/// A person without an account may ask, and an account that is active, or that a lapse disabled and can return.
fn may_ask(state: &State, viewer: &Viewer, now: Now) -> Result<(), Refusal> {
    let Principal::Account(id) = &viewer.principal else { return Ok(()) };
    let account = state.organisation.accounts.get(id);
    let lapsed = |it: &Account| matches!(it.state, AccountState::Disabled { because: Disabling::Lapse, .. });
    if account.is_some_and(|it| lapsed(it) && !it.ends_at().is_over(now.latest)) {
        return Ok(());
    }
    super::caller::usable_account(state, viewer, now).map(|_| ())
}

/// The state after everything that is due by now for those behind an enrolment, even if no timer has run.
fn settled(state: &State, viewer: &Viewer, behind: &BTreeSet<PersonId>, now: Now) -> Overlay {
    let mut overlay = Overlay::new(state, Actor::Caller(viewer.principal.clone()), now);
    behind.iter().for_each(|person| life::settle(&mut overlay, person));
    overlay
}

/// The enrolment, if the viewer may see it and it is still pending: by comparison with its deadline. `if_hidden` is the
/// reason that the journal gets if the viewer may not see it (known failures A14 and H9).
fn pending<'a>(
    state: &'a State,
    viewer: &Viewer,
    id: EnrolmentId,
    now: Now,
    if_hidden: Reason,
) -> Result<&'a Enrolment, Refusal> {
    let enrolment = state.enrolments.get(&id).ok_or_else(|| Refusal::not_found("enrolment", id))?;
    if !may_see(state, viewer, Thing::Enrolment(enrolment), now) {
        return Err(Refusal::hidden("enrolment", id, if_hidden));
    }
    still_pending(enrolment, now)?;
    Ok(enrolment)
}

fn still_pending(enrolment: &Enrolment, now: Now) -> Result<(), Refusal> {
    let pending = review::still_pending(enrolment.id, &enrolment.phase, enrolment.review.deadline, now);
    pending.map_err(|mut refusal| {
        if let Phase::Cancelled { because, .. } = &enrolment.phase {
            refusal.detail.push_str(&format!(": {}", because.name()));
        }
        refusal
    })
}
