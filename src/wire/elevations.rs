//! Elevations and their reviews as messages. What is over is given as over by comparison with the time, whatever the
//! timer has recorded (invariant 1).

use std::collections::BTreeMap;

use super::v1 as pb;
use super::values::{pb_duration, pb_timestamp};
use crate::domain::policy::{Approver, Stage};
use crate::domain::record::counted::Counted;
use crate::domain::record::elevation::Cancellation;
use crate::domain::record::elevation::Elevation;
use crate::domain::record::emergency::{Emergency, Finding};
use crate::domain::record::review::Phase;
use crate::domain::record::review::{Decision, Review, Verdict, can_be_filled};
use crate::domain::rule::emergency::ordinary_stages;
use crate::domain::rule::reviewers::{Reviewed, candidates, could_approve, counted, lock_on_approval};
use crate::domain::state::organisation::Organisation;
use crate::domain::value::ids::{AccountId, PersonId};
use crate::domain::value::refusal::Refusal;
use crate::domain::value::scope::Scope;
use crate::domain::value::time::{Now, Timestamp};

/// An elevation with its review.
#[must_use]
pub fn elevation(organisation: &Organisation, it: &Elevation, now: Now) -> pb::Elevation {
    let grant_id = it.phase.outcome().map(ToString::to_string).unwrap_or_default();
    let own_person = it.behind.iter().find(|person| Some(*person) != it.on_behalf_of.as_ref());
    let (actions, resources) = scope_texts(&it.scope);
    pb::Elevation {
        id: it.id.to_string(),
        requester_account: it.requester.to_string(),
        requester_person: own_person.unwrap_or(&it.person).to_string(),
        on_behalf_of: it.on_behalf_of.as_ref().map(ToString::to_string).unwrap_or_default(),
        entitlement: it.entitlement.to_string(),
        terms_digest: it.terms.bytes().to_vec(),
        actions,
        resources,
        duration: Some(pb_duration(it.duration)),
        start_time: it.start.map(pb_timestamp),
        justification: it.justification.clone(),
        ticket: it.ticket.clone().unwrap_or_default(),
        extends_grant_id: it.extends.map(|id| id.to_string()).unwrap_or_default(),
        state: state(it, now).into(),
        create_time: Some(pb_timestamp(it.requested_at)),
        closing: closing(it, now),
        grant_id,
        review: Some(review(organisation, it, state(it, now) == pb::ElevationState::Pending, now)),
        emergency: it.emergency.is_some(),
        follow_up: it.emergency.as_ref().and_then(follow_up),
        requester_role: requester_role(organisation, it, now),
    }
}

/// The role in which something is asked for, as things are now; empty where there is none any more.
#[must_use]
pub fn requester_role(organisation: &Organisation, it: &Elevation, now: Now) -> String {
    let terms = organisation.policy().entitlements.get(&it.entitlement).map(|entitlement| &entitlement.terms);
    let role = terms.and_then(|terms| Some(organisation.best_role(&it.requester, terms, now.latest).ok()?.1));
    role.map(ToString::to_string).unwrap_or_default()
}

/// What is owed for an emergency that led to a grant.
fn follow_up(it: &Emergency) -> Option<pb::FollowUp> {
    let follow_up = it.follow_up.as_ref()?;
    let completion = follow_up.completed.as_ref().map(|completed| pb::FollowUpCompletion {
        person: completed.person.to_string(),
        account: completed.account.to_string(),
        role: completed.through.to_string(),
        time: Some(pb_timestamp(completed.at)),
        finding: match completed.finding {
            Finding::Justified => pb::FollowUpFinding::Justified,
            Finding::NotJustified => pb::FollowUpFinding::NotJustified,
        }
        .into(),
        comment: completed.comment.clone(),
    });
    let ordinary_stages = stages(&it.ordinary);
    Some(pb::FollowUp { due_time: Some(pb_timestamp(follow_up.due)), ordinary_stages, completion })
}

/// Stages as policy has them.
#[must_use]
pub fn stages(stages: &[Stage]) -> Vec<pb::ApprovalStage> {
    stages.iter().map(|stage| pb::ApprovalStage { by: approvers(stage), count: stage.count }).collect()
}

/// Where it stands at `now`.
#[must_use]
pub fn state(it: &Elevation, now: Now) -> pb::ElevationState {
    match &it.phase {
        Phase::Pending if it.review.deadline.is_over(now.latest) => pb::ElevationState::Expired,
        Phase::Pending => pb::ElevationState::Pending,
        Phase::Approved { .. } => pb::ElevationState::Approved,
        Phase::Denied { .. } => pb::ElevationState::Denied,
        Phase::Withdrawn { .. } => pb::ElevationState::Withdrawn,
        Phase::Expired { .. } => pb::ElevationState::Expired,
        Phase::Cancelled { .. } => pb::ElevationState::Cancelled,
    }
}

/// In one word, why something was cancelled.
#[must_use]
pub fn cancellation(because: &Cancellation) -> String {
    match because {
        Cancellation::TermsChanged => "TERMS_CHANGED".to_owned(),
        Cancellation::RequesterNotEligible { reason } => reason.entry().name.to_owned(),
        Cancellation::ExtendedOver { .. } => "EXTENDED_OVER".to_owned(),
    }
}

/// The texts of a scope, in its own order.
#[must_use]
pub fn scope_texts(scope: &Scope) -> (Vec<String>, Vec<String>) {
    let actions = scope.actions().iter().map(ToString::to_string).collect();
    (actions, scope.resources().iter().map(ToString::to_string).collect())
}

/// An obstacle as data.
#[must_use]
pub fn obstacle(refusal: &Refusal) -> pb::Obstacle {
    let entry = refusal.reason.entry();
    let text =
        if refusal.detail.is_empty() { entry.text.to_owned() } else { format!("{}: {}", entry.text, refusal.detail) };
    pb::Obstacle {
        reason: entry.name.to_owned(),
        text,
        remedy: entry.remedy.to_owned(),
        metadata: refusal.facts.clone().into_iter().collect(),
    }
}

/// Obstacles in the catalogue's order, each once.
#[must_use]
pub fn obstacles(refusals: Vec<Refusal>) -> Vec<pb::Obstacle> {
    let mut refusals = refusals;
    refusals.sort_by_key(|refusal| refusal.reason);
    refusals.dedup();
    refusals.iter().map(obstacle).collect()
}

/// The names of those who may approve in a stage.
#[must_use]
pub fn approvers(stage: &Stage) -> Vec<String> {
    stage.by.iter().map(Approver::to_string).collect()
}

/// The review of whatever is under review; `pending` while its decisions are awaited.
#[must_use]
pub fn review(organisation: &Organisation, reviewed: &impl Reviewed, pending: bool, now: Now) -> pb::Review {
    let it = reviewed.review();
    let counted = if pending { counted(organisation, reviewed) } else { Counted::as_recorded(it) };
    let stages = it.numbered_stages().map(|(index, stage)| pb::ReviewStage {
        by: approvers(stage),
        required_count: stage.count,
        approved_count: counted.approvals_in(index),
    });
    let open = counted.open_stage().filter(|_| pending);
    let shown = |it| if pending { decision_under(organisation, it) } else { decision(it) };
    pb::Review {
        stages: stages.collect(),
        decisions: it.decisions.iter().map(shown).collect(),
        deadline: Some(pb_timestamp(it.deadline)),
        open_stage: open.map(|(index, _)| index.saturating_add(1)).unwrap_or_default(),
        approval_text: it.text.clone(),
        digest: it.digest().bytes().to_vec(),
        no_approver: if pending { no_approver(organisation, reviewed, now.latest) } else { None },
    }
}

/// Reviewers that are listed; more are not notified one by one.
const MOST_REVIEWERS: usize = 100;

/// Who could approve in the open stage now, each once.
#[must_use]
pub fn could_review(organisation: &Organisation, it: &impl Reviewed, at: Timestamp) -> Vec<pb::Reviewer> {
    let open = counted(organisation, it).open_stage().into_iter();
    let could = open.flat_map(|(_, stage)| could_approve(organisation, it, stage, at));
    reviewers(could)
}

/// Who could complete the follow-up that an emergency owes, each once.
#[must_use]
pub fn could_follow_up(organisation: &Organisation, it: &Elevation, at: Timestamp) -> Vec<pb::Reviewer> {
    reviewers(ordinary_stages(it, organisation).flat_map(|stage| could_approve(organisation, it, stage, at)))
}

/// As many of them as are listed.
#[must_use]
pub fn reviewers<'a>(could: impl IntoIterator<Item = (&'a AccountId, &'a PersonId)>) -> Vec<pb::Reviewer> {
    let each: BTreeMap<&AccountId, &PersonId> = could.into_iter().collect();
    let listed = each.into_iter().take(MOST_REVIEWERS);
    listed.map(|(account, person)| pb::Reviewer { account: account.to_string(), person: person.to_string() }).collect()
}

/// A decision, and whether a lock keeps it from being counted: told of what waits, and of a grant that has not started.
#[must_use]
pub fn decision_under(organisation: &Organisation, it: &Decision) -> pb::Decision {
    let counts = it.verdict == Verdict::Approved && it.struck.is_none();
    let lock = if counts { lock_on_approval(organisation, it) } else { None };
    let suspended = lock.map(|lock| pb::SuspendedApproval { until_time: lock.until.map(pb_timestamp) });
    pb::Decision { suspended, ..decision(it) }
}

/// A decision.
#[must_use]
pub fn decision(it: &Decision) -> pb::Decision {
    let kind = match it.verdict {
        Verdict::Approved => pb::DecisionKind::Approved,
        Verdict::Denied => pb::DecisionKind::Denied,
    };
    let struck_out = it.struck.as_ref().map(|struck| pb::StruckOut {
        time: Some(pb_timestamp(struck.at)),
        reason: struck.reason.entry().name.to_owned(),
    });
    pb::Decision {
        person: it.person.to_string(),
        account: it.account.to_string(),
        role: it.through.to_string(),
        stage: it.stage.saturating_add(1),
        kind: kind.into(),
        time: Some(pb_timestamp(it.at)),
        comment: it.comment.clone(),
        struck_out,
        suspended: None,
    }
}

/// What is missing for all stages to be filled by distinct persons. The stages are filled in order; where the matching
/// no longer holds, that stage lacks as many as must be left out for it to hold again.
#[must_use]
pub fn no_approver(organisation: &Organisation, it: &impl Reviewed, at: Timestamp) -> Option<pb::NoApprover> {
    let mut filled = Vec::new();
    let mut missing = Vec::new();
    let counted = counted(organisation, it);
    for (index, stage) in it.review().numbered_stages() {
        let needed = counted.missing_in(index, stage);
        let could = candidates(organisation, it, stage, at);
        let mut seats = needed;
        loop {
            filled.push((seats, could.clone()));
            if seats == 0 || can_be_filled(&filled) {
                break;
            }
            filled.pop();
            seats = seats.saturating_sub(1);
        }
        if seats < needed {
            let missing_count = needed.saturating_sub(seats);
            missing.push(pb::MissingApprovers { stage: index.saturating_add(1), by: approvers(stage), missing_count });
        }
    }
    (!missing.is_empty()).then_some(pb::NoApprover { missing })
}

fn closing(it: &Elevation, now: Now) -> Option<pb::Closing> {
    phase_closing(&it.phase, &it.review, cancellation, now)
}

/// How whatever is under review came to its end; `cause` is the word of a cancellation.
#[must_use]
pub fn phase_closing<T, C>(
    phase: &Phase<T, C>,
    review: &Review,
    cause: impl Fn(&C) -> String,
    now: Now,
) -> Option<pb::Closing> {
    let closing = |at: Timestamp, actor: String, cause: &str, comment: &str| {
        let (cause, comment) = (cause.to_owned(), comment.to_owned());
        Some(pb::Closing { time: Some(pb_timestamp(at)), actor, cause, comment })
    };
    let broker = || "broker".to_owned();
    match phase {
        Phase::Pending if review.deadline.is_over(now.latest) => closing(review.deadline, broker(), "EXPIRED", ""),
        Phase::Pending => None,
        Phase::Approved { at, .. } => {
            // What waited until a lock was gone was not completed by the last who approved.
            let last = review.approvals().last().filter(|decision| decision.at == *at);
            let actor = last.map(|decision| format!("account:{}", decision.account));
            closing(*at, actor.unwrap_or_else(broker), "APPROVED", last.map_or("", |decision| &decision.comment))
        }
        Phase::Denied { at } => {
            let last = review.decisions.iter().rfind(|decision| decision.verdict == Verdict::Denied);
            let actor = last.map(|decision| format!("account:{}", decision.account));
            closing(*at, actor.unwrap_or_else(broker), "DENIED", last.map_or("", |decision| &decision.comment))
        }
        Phase::Withdrawn { at, by, reason } => closing(*at, by.to_string(), "WITHDRAWN", reason),
        Phase::Expired { .. } => closing(review.deadline, broker(), "EXPIRED", ""),
        Phase::Cancelled { at, because } => closing(*at, broker(), &cause(because), ""),
    }
}
