//! Grants as messages. A grant is given as ended from its end on, whatever the timer has recorded (invariant 1).

use super::elevations::scope_texts;
use super::v1 as pb;
use super::values::pb_timestamp;
use crate::domain::record::grant::{EndBecause, Grant, GrantPhase, Revocation};
use crate::domain::value::time::{Now, Timestamp};

/// A grant.
#[must_use]
pub fn grant(it: &Grant, now: Now) -> pb::Grant {
    let own_person = it.behind.iter().find(|person| Some(*person) != it.on_behalf_of.as_ref());
    let (actions, resources) = scope_texts(&it.scope);
    let (because, name) = end_because(&it.end_because);
    pb::Grant {
        id: it.id.to_string(),
        elevation_id: it.elevation.to_string(),
        holder_account: it.holder.to_string(),
        holder_person: own_person.unwrap_or(&it.person).to_string(),
        on_behalf_of: it.on_behalf_of.as_ref().map(ToString::to_string).unwrap_or_default(),
        entitlement: it.entitlement.to_string(),
        actions,
        resources,
        start_time: Some(pb_timestamp(it.start)),
        end_time: Some(pb_timestamp(it.end)),
        end_because: because.into(),
        end_because_name: name,
        state: state(it, now).into(),
        closing: closing(it, now),
        continuous_since: Some(pb_timestamp(it.continuous_since)),
        emergency: it.emergency,
    }
}

/// Where it stands at `now`.
#[must_use]
pub fn state(it: &Grant, now: Now) -> pb::GrantState {
    match &it.phase {
        GrantPhase::Scheduled | GrantPhase::Active if it.end.is_over(now.latest) => pb::GrantState::Ended,
        GrantPhase::Scheduled => pb::GrantState::Scheduled,
        GrantPhase::Active => pb::GrantState::Active,
        GrantPhase::Ended { .. } => pb::GrantState::Ended,
        GrantPhase::Relinquished { .. } => pb::GrantState::Relinquished,
        GrantPhase::Revoked { .. } => pb::GrantState::Revoked,
    }
}

/// What sets an end, and the name of what lapses or ends.
#[must_use]
pub fn end_because(because: &EndBecause) -> (pb::GrantEndBecause, String) {
    match because {
        EndBecause::Duration => (pb::GrantEndBecause::Duration, String::new()),
        EndBecause::LongestDuration => (pb::GrantEndBecause::MaxDuration, String::new()),
        EndBecause::LongestContinuous => (pb::GrantEndBecause::MaxContinuous, String::new()),
        EndBecause::RequirementLapses { requirement, .. } => {
            (pb::GrantEndBecause::RequirementLapse, requirement.to_string())
        }
        EndBecause::MembershipEnds { role, .. } => (pb::GrantEndBecause::MembershipEnd, role.to_string()),
        EndBecause::AccountEnds { account } => (pb::GrantEndBecause::AccountEnd, account.to_string()),
        EndBecause::EmploymentEnds { person } => (pb::GrantEndBecause::EmploymentEnd, person.to_string()),
    }
}

/// In one word, what an end is the end of: `DURATION`.
#[must_use]
pub fn end_word(because: &EndBecause) -> &'static str {
    match because {
        EndBecause::Duration => "DURATION",
        EndBecause::LongestDuration => "MAX_DURATION",
        EndBecause::LongestContinuous => "MAX_CONTINUOUS",
        EndBecause::RequirementLapses { .. } => "REQUIREMENT_LAPSE",
        EndBecause::MembershipEnds { .. } => "MEMBERSHIP_END",
        EndBecause::AccountEnds { .. } => "ACCOUNT_END",
        EndBecause::EmploymentEnds { .. } => "EMPLOYMENT_END",
    }
}

/// In one word, why it was revoked: `APPROVAL_VOID`.
#[must_use]
pub fn revocation(because: &Revocation) -> &'static str {
    match because {
        Revocation::By { .. } => "REVOKED",
        Revocation::ApprovalVoid { .. } => "APPROVAL_VOID",
        Revocation::ApproverLeft { .. } => "APPROVER_LEFT",
        Revocation::NotEligible { reason } => reason.entry().name,
        Revocation::TermsChanged => "TERMS_CHANGED",
        Revocation::Restart => "RESTART",
        Revocation::Clock => "CLOCK",
        Revocation::ContinuousTooLong => "CONTINUOUS_TOO_LONG",
    }
}

/// How it came to its end; none while it is open.
#[must_use]
pub fn closing(it: &Grant, now: Now) -> Option<pb::Closing> {
    let closing = |at: Timestamp, actor: String, cause: &str, comment: &str| {
        let (cause, comment) = (cause.to_owned(), comment.to_owned());
        Some(pb::Closing { time: Some(pb_timestamp(at)), actor, cause, comment })
    };
    let broker = || "broker".to_owned();
    match &it.phase {
        // It was over at its end, whenever that was recorded.
        GrantPhase::Scheduled | GrantPhase::Active if it.end.is_over(now.latest) => {
            closing(it.end, broker(), end_word(&it.end_because), "")
        }
        GrantPhase::Scheduled | GrantPhase::Active => None,
        GrantPhase::Ended { .. } => closing(it.end, broker(), end_word(&it.end_because), ""),
        GrantPhase::Relinquished { at, by, reason } => closing(*at, by.to_string(), "RELINQUISHED", reason),
        GrantPhase::Revoked { at, because: because @ Revocation::By { by, reason } } => {
            closing(*at, by.to_string(), revocation(because), reason)
        }
        GrantPhase::Revoked { at, because } => closing(*at, broker(), revocation(because), ""),
    }
}
