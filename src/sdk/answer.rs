//! The answer to a check, in a form that cannot be read as an allow by mistake.

use crate::clock::{BootMillis, Clock as _, SystemClock};
use crate::domain::value::time::{Span, Timestamp};
use crate::wire::v1::{CheckAccessResponse, CheckReason, Verdict};

/// What a broker answered to a check. Everything that is not a plain ALLOW, an unknown value too, is a deny (invariant 7).
#[derive(Debug, Clone, PartialEq)]
#[must_use = "an answer that nobody reads guards nothing"]
pub struct CheckedAccess {
    message: CheckAccessResponse,
    /// When the question was sent, or before.
    asked: BootMillis,
}

impl From<CheckAccessResponse> for CheckedAccess {
    /// Of a question that was sent just now; of an older one, [`CheckedAccess::asked_at`].
    fn from(message: CheckAccessResponse) -> Self {
        Self { message, asked: SystemClock.boot() }
    }
}

impl CheckedAccess {
    /// The answer to a question that was sent at this reading of the machine's boot clock, or after it.
    pub fn asked_at(asked: BootMillis, message: CheckAccessResponse) -> Self {
        Self { message, asked }
    }

    /// Whether the broker said ALLOW, for a reason that allows, and it holds still: an answer that was long on its way, or
    /// was kept, is a deny once more time has passed since the question was sent than the grant had left when it was given
    /// (known failure C13).
    #[must_use]
    pub fn is_allowed(&self) -> bool {
        self.is_allowed_at(SystemClock.boot())
    }

    fn is_allowed_at(&self, now: BootMillis) -> bool {
        let allowed = self.message.verdict == i32::from(Verdict::Allow)
            && matches!(self.message.reason(), CheckReason::Granted | CheckReason::Baseline);
        allowed && self.left().is_none_or(|left| now.since(self.asked) < left)
    }

    /// How long it had left when it was given; none: it has no end. Whoever does not say the time says no length, either.
    fn left(&self) -> Option<Span> {
        self.message.valid_until.as_ref()?;
        let left = self.valid_until().zip(self.message.time.as_ref().and_then(instant));
        Some(left.map_or(Span::ZERO, |(until, given)| until.since(given)))
    }

    /// Why, as the API calls it: `GRANTED`, `NO_GRANT`.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        self.message.reason().as_str_name().trim_start_matches("CHECK_REASON_")
    }

    /// The grant that answers; none with a deny, and none where the baseline allows.
    #[must_use]
    pub fn grant_id(&self) -> Option<&str> {
        Some(self.message.grant_id.as_str()).filter(|id| !id.is_empty())
    }

    /// Until when an ALLOW holds if nothing is revoked: at this very instant it is over. None: it has no end of its own.
    #[must_use]
    pub fn valid_until(&self) -> Option<Timestamp> {
        self.message.valid_until.as_ref().and_then(instant)
    }

    /// The message as it came.
    #[must_use]
    pub fn into_message(self) -> CheckAccessResponse {
        self.message
    }
}

/// The instant of a field; none if it is out of range.
fn instant(time: &prost_types::Timestamp) -> Option<Timestamp> {
    let millis = time.seconds.checked_mul(1_000)?.checked_add(i64::from(time.nanos).checked_div(1_000_000)?)?;
    Timestamp::from_millis(millis).ok()
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

    #[test]
    fn an_allow_is_a_deny_once_its_time_is_gone_on_the_way() {
        // given an ALLOW with two seconds left, to a question that was sent at 10 s of the boot clock
        let at = |seconds| Some(prost_types::Timestamp { seconds, nanos: 0 });
        let message = CheckAccessResponse {
            verdict: Verdict::Allow.into(),
            reason: CheckReason::Granted.into(),
            valid_until: at(1_002),
            time: at(1_000),
            ..Default::default()
        };
        let asked = BootMillis::new(10_000);
        let checked = CheckedAccess::asked_at(asked, message.clone());
        // then it holds for two seconds from then on, whatever the wall clock says here
        assert!(checked.is_allowed_at(BootMillis::new(11_999)));
        assert!(!checked.is_allowed_at(BootMillis::new(12_000)));
        // and one that does not say for when it was given holds for nothing, but one without an end does
        let timeless = CheckedAccess::asked_at(asked, CheckAccessResponse { time: None, ..message.clone() });
        assert!(!timeless.is_allowed_at(asked));
        let endless = CheckedAccess::asked_at(asked, CheckAccessResponse { valid_until: None, ..message });
        assert!(endless.is_allowed_at(BootMillis::new(i64::MAX)));
    }
}
