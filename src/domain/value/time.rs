//! Time as a value. UTC milliseconds; intervals are half-open `[start, end)`; arithmetic is checked and bounded, so that
//! no overflow, sign or zone can move an end (known failures C5, C6 and C7). Nothing here reads a clock.

use std::fmt;

use chrono::{DateTime, NaiveDate, SecondsFormat, Utc};
use serde::{Deserialize, Deserializer, Serialize};

/// An instant: milliseconds since 1970-01-01T00:00:00Z, from then to the end of the year 9999.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Default)]
pub struct Timestamp(i64);

/// A length of time: milliseconds, 0 to 100 years.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Default)]
pub struct Span(i64);

/// A value outside what a [`Timestamp`] or a [`Span`] can be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0} ms is out of range")]
pub struct OutOfRange(pub i64);

impl Timestamp {
    /// 1970-01-01T00:00:00Z.
    pub const MIN: Self = Self(0);
    /// 9999-12-31T23:59:59.999Z.
    pub const MAX: Self = Self(253_402_300_799_999);

    /// # Errors
    /// If the instant is before 1970 or after 9999.
    pub fn from_millis(millis: i64) -> Result<Self, OutOfRange> {
        if (Self::MIN.0..=Self::MAX.0).contains(&millis) { Ok(Self(millis)) } else { Err(OutOfRange(millis)) }
    }

    /// Milliseconds since 1970-01-01T00:00:00Z.
    #[must_use]
    pub fn millis(self) -> i64 {
        self.0
    }

    /// The instant `span` later; the latest instant there is, if that is past it.
    #[must_use]
    pub fn plus(self, span: Span) -> Self {
        Self(self.0.saturating_add(span.0).min(Self::MAX.0))
    }

    /// The instant `span` earlier; the earliest instant there is, if that is before it.
    #[must_use]
    pub fn minus(self, span: Span) -> Self {
        Self(self.0.saturating_sub(span.0).max(Self::MIN.0))
    }

    /// How long after `earlier` this is; zero if it is earlier.
    #[must_use]
    pub fn since(self, earlier: Self) -> Span {
        Span(self.0.saturating_sub(earlier.0).clamp(0, Span::MAX.0))
    }

    /// Whether an interval that ends here is over at `now`: half-open, so over at the very instant (known failure C7).
    /// The one comparison that expiry is, on every path.
    #[must_use]
    pub fn is_over(self, now: Self) -> bool {
        now >= self
    }

    /// The first instant of a calendar day in UTC.
    #[must_use]
    pub fn start_of(date: NaiveDate) -> Option<Self> {
        Self::from_millis(date.and_hms_opt(0, 0, 0)?.and_utc().timestamp_millis()).ok()
    }

    /// The end of a calendar day in UTC: the first instant of the next.
    #[must_use]
    pub fn end_of(date: NaiveDate) -> Option<Self> {
        Self::start_of(date.succ_opt()?)
    }

    /// # Errors
    /// If the text is not an RFC 3339 instant within range.
    pub fn parse_rfc3339(text: &str) -> Result<Self, OutOfRange> {
        let instant = DateTime::parse_from_rfc3339(text).map_err(|_| OutOfRange(-1))?;
        Self::from_millis(instant.timestamp_millis())
    }
}

impl fmt::Display for Timestamp {
    /// RFC 3339 in UTC with milliseconds: `2026-11-22T21:43:00.000Z`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let instant = DateTime::<Utc>::from_timestamp_millis(self.0).unwrap_or_default();
        f.write_str(&instant.to_rfc3339_opts(SecondsFormat::Millis, true))
    }
}
impl fmt::Debug for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::from_millis(i64::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}

impl Span {
    /// No time at all.
    pub const ZERO: Self = Self(0);
    /// 100 years of 365.25 days.
    pub const MAX: Self = Self(3_155_760_000_000);
    /// One second.
    pub const SECOND: Self = Self(1_000);
    /// One day of 24 hours.
    pub const DAY: Self = Self(86_400_000);

    /// # Errors
    /// If the length is negative or over 100 years.
    pub const fn from_millis(millis: i64) -> Result<Self, OutOfRange> {
        if millis < 0 || millis > Self::MAX.0 { Err(OutOfRange(millis)) } else { Ok(Self(millis)) }
    }

    /// Whole seconds, at most 100 years.
    #[must_use]
    #[allow(clippy::as_conversions, reason = "it widens, and `i64::from` is not const")]
    pub const fn seconds(seconds: u32) -> Self {
        // A u32 of seconds is 136 years at most, whose milliseconds fit an i64 easily.
        let millis = (seconds as i64).saturating_mul(1_000);
        if millis > Self::MAX.0 { Self::MAX } else { Self(millis) }
    }

    /// Whole days, at most 100 years.
    #[must_use]
    pub fn days(days: u32) -> Self {
        Self::seconds(days.saturating_mul(86_400))
    }

    /// Milliseconds.
    #[must_use]
    pub fn millis(self) -> i64 {
        self.0
    }

    /// The sum, at most 100 years.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0).min(Self::MAX.0))
    }

    /// What is left of this after `other`; zero if nothing is.
    #[must_use]
    pub fn minus(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0).max(0))
    }

    /// Parses `90s`, `15m`, `4h`, `730d`: a whole number and one unit (`ms s m h d`), more than zero.
    ///
    /// # Errors
    /// If the text has another form, or is longer than 100 years.
    pub fn parse(text: &str) -> Result<Self, OutOfRange> {
        let split = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
        let (digits, unit) = text.split_at(split);
        let unit_millis: i64 = match unit {
            "ms" => 1,
            "s" => 1_000,
            "m" => 60_000,
            "h" => 3_600_000,
            "d" => 86_400_000,
            _ => return Err(OutOfRange(-1)),
        };
        let canonical = !digits.starts_with('0');
        let number: i64 = digits.parse().map_err(|_| OutOfRange(-1))?;
        let millis = number.checked_mul(unit_millis).filter(|_| canonical).ok_or(OutOfRange(-1))?;
        Self::from_millis(millis)
    }
}

impl fmt::Display for Span {
    /// The largest unit that it is a whole number of: `15m`, `36h`, `730d`, `1500ms`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (unit, millis) in [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000)] {
            if self.0 != 0 && self.0.checked_rem(millis) == Some(0) {
                return write!(f, "{}{unit}", self.0.checked_div(millis).unwrap_or_default());
            }
        }
        write!(f, "{}ms", self.0)
    }
}
impl fmt::Debug for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::from_millis(i64::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}

/// What a decision knows of the time (design.md 5). `stamp` goes on events; what ends compares with `latest`, what begins
/// with `earliest`, so that every doubt falls on the side of less access.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Now {
    /// max(wall, projected, last event): ends, deadlines, lapses.
    pub latest: Timestamp,
    /// min(wall, projected): starts.
    pub earliest: Timestamp,
    /// max(projected, last event): the stamp of events. A leap of the wall clock never enters the journal (known
    /// failure C4).
    pub stamp: Timestamp,
    /// Wall and projected disagree by more than [`SUSPECT_AFTER`]: nothing that gives access is decided.
    pub suspect: bool,
}

/// Wall clock and projection may differ by this much before the clock is suspect.
pub const SUSPECT_AFTER: Span = Span(2_000);

impl Now {
    /// Combines what the clocks say with the stamp of the last event.
    #[must_use]
    pub fn new(wall: Timestamp, projected: Timestamp, last_event: Timestamp) -> Self {
        let apart = wall.since(projected).max(projected.since(wall));
        Self {
            latest: wall.max(projected).max(last_event),
            earliest: wall.min(projected),
            stamp: projected.max(last_event),
            suspect: apart > SUSPECT_AFTER,
        }
    }

    /// The same without the leap of the wall clock. Commands that take access away use it, so that they neither end
    /// what is not over nor overlook what will be live again once the clock is put right.
    #[must_use]
    pub fn without_leap(self) -> Self {
        Self { latest: self.stamp, earliest: self.earliest.min(self.stamp), ..self }
    }

    /// The same for a broker that may end things and begin none: no start has come, and no lock's end.
    #[must_use]
    pub fn without_starts(self) -> Self {
        Self { earliest: Timestamp::MIN, ..self }
    }

    /// All clocks agree on `at`: for tests, and for what is asked as of a given instant.
    #[must_use]
    pub fn exactly(at: Timestamp) -> Self {
        Self { latest: at, earliest: at, stamp: at, suspect: false }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn arithmetic_never_leaves_the_range(at in any::<i64>(), span in any::<i64>()) {
            let (Ok(at), Ok(span)) = (Timestamp::from_millis(at.checked_rem(Timestamp::MAX.0).unwrap().abs()), Span::from_millis(span.checked_rem(Span::MAX.0).unwrap().abs())) else {
                panic!("both are within range");
            };
            prop_assert!(at.plus(span) >= at && at.plus(span) <= Timestamp::MAX);
            prop_assert!(at.minus(span) <= at && at.minus(span) >= Timestamp::MIN);
            prop_assert!(at.plus(span).since(at) <= span);
        }

        #[test]
        fn stamps_and_latest_never_run_backwards(wall in 0..10_000_000_i64, projected in 0..10_000_000_i64, last in 0..10_000_000_i64) {
            let at = |millis| Timestamp::from_millis(millis).unwrap();
            let now = Now::new(at(wall), at(projected), at(last));
            prop_assert!(now.stamp >= at(last) && now.latest >= now.stamp && now.earliest <= now.latest);
        }
    }

    #[test]
    fn an_interval_is_over_at_its_end_and_not_a_millisecond_before() {
        let end = Timestamp::from_millis(1_000).unwrap();
        let at = |millis| Timestamp::from_millis(millis).unwrap();
        assert_eq!([end.is_over(at(999)), end.is_over(at(1_000)), end.is_over(at(1_001))], [false, true, true]);
    }

    #[test]
    fn spans_parse_one_number_and_one_unit() {
        assert_eq!(Span::parse("15m"), Ok(Span(900_000)));
        assert_eq!(Span::parse("730d").unwrap().to_string(), "730d");
        for text in ["", "15", "m", "0s", "-5m", "1.5h", "15 m", "015m", "1h30m", "999999999999d", "٣m"] {
            assert!(Span::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_leap_of_the_wall_clock_is_suspect_and_not_stamped() {
        let at = |millis| Timestamp::from_millis(millis).unwrap();
        let now = Now::new(at(9_000_000), at(1_000), at(900));
        assert!(now.suspect);
        assert_eq!((now.stamp, now.latest, now.earliest), (at(1_000), at(9_000_000), at(1_000)));
    }
}
