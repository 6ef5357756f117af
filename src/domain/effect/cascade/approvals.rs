//! The approvals under review that a change, or a lock in the mode that revokes, strikes out.

use crate::domain::record::counted::Counted;
use crate::domain::record::event::{ApprovalStruck, ElevationFact, Fact};
use crate::domain::record::grant::{Grant, GrantPhase};
use crate::domain::record::review::StruckOut;
use crate::domain::rule::reviewers::{Reviewed, lock_on_approval};
use crate::domain::rule::standing::void_approvals;
use crate::domain::state::State;
use crate::domain::state::organisation::Organisation;
use crate::domain::value::ids::PersonId;
use crate::domain::value::refusal::Reason;
use crate::domain::value::time::Now;

/// The approvals under review that no longer count, and why.
#[must_use]
pub fn struck_out(after: &Organisation, reviewed: &impl Reviewed, now: Now) -> Vec<(PersonId, StruckOut)> {
    let void = void_approvals(after, reviewed, now.latest).into_iter();
    void.map(|(person, refusal)| (person, StruckOut { at: now.stamp, reason: refusal.reason })).collect()
}

pub(super) fn locked_approvers<'a>(
    under: &'a Organisation,
    reviewed: &'a impl Reviewed,
) -> impl Iterator<Item = PersonId> + 'a {
    let approvals = reviewed.review().approvals();
    approvals.filter(|it| lock_on_approval(under, it).is_some()).map(|decision| decision.person.clone())
}

/// The approvals of a scheduled grant that no longer count, where it stands without them. They are struck out, so that none
/// counts again when another of its approvals falls and they would be needed.
#[must_use]
pub fn surplus_struck_out(after: &Organisation, state: &State, grant: &Grant, now: Now) -> Vec<Fact> {
    let unstarted = Some(grant).filter(|grant| grant.phase == GrantPhase::Scheduled);
    let elevation = unstarted.and_then(|grant| state.elevations.get(&grant.elevation));
    let struck = elevation.into_iter().flat_map(|elevation| struck_out(after, elevation, now));
    struck.map(|(person, because)| surplus(grant, person, because)).collect()
}

/// What a revoking lock does to the approvals of a scheduled grant: those of whoever it is on are void.
pub(super) enum Locked {
    /// Others are enough.
    Surplus(Vec<Fact>),
    /// This one is missing.
    Missing(PersonId),
}

pub(super) fn locked_scheduled(under: &Organisation, state: &State, grant: &Grant, now: Now) -> Locked {
    let unstarted = Some(grant).filter(|grant| grant.phase == GrantPhase::Scheduled);
    let Some(elevation) = unstarted.and_then(|grant| state.elevations.get(&grant.elevation)) else {
        return Locked::Surplus(Vec::new());
    };
    let persons: Vec<PersonId> = locked_approvers(under, elevation).collect();
    match persons.first() {
        Some(first) if !Counted::without(&elevation.review, persons.iter().collect()).is_complete() => {
            Locked::Missing(first.clone())
        }
        _ => {
            let because = StruckOut { at: now.stamp, reason: Reason::Locked };
            Locked::Surplus(persons.into_iter().map(|person| surplus(grant, person, because.clone())).collect())
        }
    }
}

fn surplus(grant: &Grant, person: PersonId, because: StruckOut) -> Fact {
    let struck = ApprovalStruck { elevation: grant.elevation, person, because, grant: Some(grant.id) };
    Fact::Elevation(ElevationFact::ApprovalStruck(struck))
}
