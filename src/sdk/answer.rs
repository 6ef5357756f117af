//! The answer to a check, in a form that cannot be read as an allow by mistake.

use crate::domain::value::time::Timestamp;
use crate::wire::v1::{CheckAccessResponse, CheckReason, Verdict};

/// What a broker answered to a check. Everything that is not a plain ALLOW, an unknown value too, is a deny (invariant 7).
#[derive(Debug, Clone, PartialEq)]
#[must_use = "an answer that nobody reads guards nothing"]
pub struct CheckedAccess(CheckAccessResponse);

impl From<CheckAccessResponse> for CheckedAccess {
    fn from(response: CheckAccessResponse) -> Self {
        Self(response)
    }
}

impl CheckedAccess {
    /// Whether the broker said ALLOW, for a reason that allows.
    #[must_use]
    pub fn is_allowed(&self) -> bool {
        self.0.verdict == i32::from(Verdict::Allow)
            && matches!(self.0.reason(), CheckReason::Granted | CheckReason::Baseline)
    }

    /// Why, as the API calls it: `GRANTED`, `NO_GRANT`.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        self.0.reason().as_str_name().trim_start_matches("CHECK_REASON_")
    }

    /// The grant that answers; none with a deny, and none where the baseline allows.
    #[must_use]
    pub fn grant_id(&self) -> Option<&str> {
        Some(self.0.grant_id.as_str()).filter(|id| !id.is_empty())
    }

    /// Until when an ALLOW holds if nothing is revoked: at this very instant it is over. None: it has no end of its own.
    #[must_use]
    pub fn valid_until(&self) -> Option<Timestamp> {
        let until = self.0.valid_until?;
        let millis = until.seconds.checked_mul(1_000)?.checked_add(i64::from(until.nanos).checked_div(1_000_000)?)?;
        Timestamp::from_millis(millis).ok()
    }

    /// The message as it came.
    #[must_use]
    pub fn into_message(self) -> CheckAccessResponse {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(verdict: i32, reason: i32) -> CheckedAccess {
        CheckedAccess::from(CheckAccessResponse { verdict, reason, ..Default::default() })
    }

    #[test]
    fn nothing_but_a_plain_allow_allows() {
        assert!(answer(Verdict::Allow.into(), CheckReason::Granted.into()).is_allowed());
        assert!(answer(Verdict::Allow.into(), CheckReason::Baseline.into()).is_allowed());
        for (verdict, reason) in
            [(0, 0), (0, 1), (1, 0), (1, 6), (1, 99), (2, 1), (2, 6), (3, 1), (-1, 1), (i32::MAX, 1)]
        {
            assert!(!answer(verdict, reason).is_allowed(), "{verdict} {reason}");
        }
    }
}
