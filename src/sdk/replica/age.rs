//! How old a replica's knowledge is, and what time it is at the broker: functions of the boot clock alone. The wall clock
//! of this machine is not read at all, so that whoever sets it moves nothing (known failures C1 and C10).

use crate::clock::BootMillis;
use crate::domain::value::time::{Span, Timestamp};

/// Two clocks that nobody sets may drift apart by 500 ppm: one part in so many (known failure C8).
const DRIFT_PARTS: i64 = 2_000;

/// A ping that was answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Beat {
    /// When the ping was sent, not when its answer came: what the broker knew is at least as new (known failure F3).
    pub(super) sent: BootMillis,
    /// The broker's time, which it read after that.
    pub(super) time: Timestamp,
}

impl Beat {
    /// How old the answer may be. A boot clock that ran backwards cannot be trusted: the age is then infinite.
    pub(super) fn age(self, boot: BootMillis) -> Span {
        if boot < self.sent { Span::MAX } else { boot.since(self.sent) }
    }

    /// The broker's time, or somewhat later: never earlier than it is there, however long the answer took and whichever
    /// of the clocks is the slower one. What ends is therefore never late here.
    pub(super) fn now(self, boot: BootMillis) -> Timestamp {
        let age = self.age(boot);
        let drift = Span::from_millis(age.millis().checked_div(DRIFT_PARTS).unwrap_or_default()).unwrap_or(Span::MAX);
        self.time.plus(age).plus(drift)
    }
}

/// Half-open, as every interval: at `longest` it is too old.
pub(super) fn is_stale(age: Span, longest: Span) -> bool {
    age >= longest
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(millis: i64) -> Timestamp {
        Timestamp::from_millis(millis).unwrap()
    }

    fn span(millis: i64) -> Span {
        Span::from_millis(millis).unwrap()
    }

    #[test]
    fn age_runs_from_the_sending() {
        let beat = Beat { sent: BootMillis::new(10_000), time: at(1_000_000) };
        assert_eq!(beat.age(BootMillis::new(10_000)), Span::ZERO);
        assert_eq!(beat.age(BootMillis::new(12_345)), span(2_345));
        assert_eq!([4_999, 5_000, 5_001].map(|age| is_stale(span(age), span(5_000))), [false, true, true]);
    }

    #[test]
    fn a_boot_clock_that_ran_backwards_is_stale_and_past_every_end() {
        let beat = Beat { sent: BootMillis::new(10_000), time: at(1_000_000) };
        assert!(is_stale(beat.age(BootMillis::new(9_999)), Span::DAY));
        assert!(beat.now(BootMillis::new(9_999)) > at(1_000_000).plus(Span::DAY));
    }

    proptest! {
        /// known failures C8 and C10: whatever both clocks show, and at whatever rates within 500 ppm they run, the broker's time is
        /// never later than the replica takes it to be.
        #[test]
        fn ends_are_never_late(
            sent in 0..1_000_000_000_i64, held_up in 0..10_000_i64, time in 0..2_000_000_000_000_i64,
            elapsed in 0..86_400_000_i64, slow_ppm in 0..=500_i64,
        ) {
            // given a broker that read its clock some time after the ping was sent, and a slow clock here
            let beat = Beat { sent: BootMillis::new(sent), time: at(time) };
            let shown = elapsed - elapsed * slow_ppm / 1_000_000;
            // when so much time has passed since the sending
            let now = beat.now(BootMillis::new(sent + shown));
            // then the broker, which has seen the part of it since its reading, is not ahead; a millisecond is the resolution
            let there = at(time).plus(span((elapsed - held_up).max(0)));
            prop_assert!(now.plus(span(1)) >= there, "{now} {there}");
        }
    }
}
