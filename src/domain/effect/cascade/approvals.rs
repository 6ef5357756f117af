//! The approvals under review that a change, or a lock in the mode that revokes, strikes out.

use crate::domain::record::review::StruckOut;
use crate::domain::rule::reviewers::{Reviewed, lock_on_approval};
use crate::domain::rule::standing::void_approvals;
use crate::domain::state::organisation::Organisation;
use crate::domain::value::ids::PersonId;
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
