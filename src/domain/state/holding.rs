//! What somebody held without a break, and of what: as values.

use crate::domain::record::grant::{Grant, GrantPhase};
use crate::domain::value::ids::{EntitlementName, PersonId};
use crate::domain::value::time::{Span, Timestamp};

/// An entitlement as it is held within one tenant, or outside all of them.
#[derive(Debug, Clone, Copy)]
pub struct HeldIn<'a> {
    /// Which.
    pub entitlement: &'a EntitlementName,
    /// Of which tenant.
    pub tenant: Option<&'a str>,
}

/// What somebody held without a break.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Holding {
    /// Since when.
    pub since: Timestamp,
    /// The first instant at which it was over, or will be.
    pub until: Timestamp,
}

/// Whose holding of what, within which tenant.
pub(super) type HeldBy = (PersonId, EntitlementName, Option<String>);

impl Holding {
    /// That of one grant; none if it was never held.
    pub(super) fn of(grant: &Grant) -> Option<Self> {
        let until = grant.closed_at().map_or(grant.end, |closed| closed.min(grant.end));
        let was_live = grant.phase != GrantPhase::Scheduled && grant.start < until;
        was_live.then_some(Self { since: grant.continuous_since, until })
    }

    /// Whether what begins at `start` goes on with it.
    pub(super) fn goes_on(self, start: Timestamp, min_break: Span) -> bool {
        start <= self.until || start < self.until.plus(min_break)
    }
}
