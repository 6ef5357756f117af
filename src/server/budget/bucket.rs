//! A bucket that refills with time: how much one may take at once, and how fast it comes back. It is pure: the time is a value
//! of the boot clock, which nobody can set, so that a clock that leaps gives and takes nothing.

use std::fmt;

use crate::clock::BootMillis;
use crate::domain::value::time::Span;

/// The largest number of a rate: bytes of a day as well.
pub const MOST: u32 = 1_000_000_000;
/// The longest time of a rate.
const LONGEST: Span = Span::seconds(7 * 86_400);

/// How much at once, and how much of it comes back how fast.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// What a full bucket holds.
    pub at_once: u32,
    /// What comes back within [`every`](Self::every).
    pub back: u32,
    /// How long that takes.
    pub every: Span,
}

impl Rate {
    /// So much at once, and so much back each second.
    #[must_use]
    pub const fn a_second(at_once: u32, back: u32) -> Self {
        Self { at_once, back, every: Span::SECOND }
    }

    /// Reads `30 at once, 1 each 1s`; numbers from 1 to [`MOST`], at most a week.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let number = |text: &str| text.parse().ok().filter(|number| (1..=MOST).contains(number));
        let (at_once, rest) = text.split_once(" at once, ")?;
        let (back, every) = rest.split_once(" each ")?;
        let every = Span::parse(every).ok().filter(|every| *every <= LONGEST)?;
        Some(Self { at_once: number(at_once)?, back: number(back)?, every })
    }

    /// A full bucket in shares of `1 / every`: whole numbers, so that nothing is lost in rounding.
    fn full(self) -> i64 {
        self.shares(u64::from(self.at_once))
    }

    fn shares(self, amount: u64) -> i64 {
        i64::try_from(amount).unwrap_or(i64::MAX).saturating_mul(self.every.millis())
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at once, {} each {}", self.at_once, self.back, self.every)
    }
}

/// What is left of a rate. It may be less than nothing, where the price is known only afterwards.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Bucket {
    shares: i64,
    at: BootMillis,
}

impl Bucket {
    pub(super) fn full(rate: Rate, now: BootMillis) -> Self {
        Self { shares: rate.full(), at: now }
    }

    /// Whether an amount is there.
    ///
    /// # Errors
    /// After how long it will be.
    pub(super) fn wait(&mut self, rate: Rate, now: BootMillis, amount: u32) -> Result<(), Span> {
        self.refill(rate, now);
        let missing = rate.shares(u64::from(amount)).saturating_sub(self.shares);
        if missing <= 0 {
            return Ok(());
        }
        let back = i64::from(rate.back.max(1));
        let millis = missing.saturating_add(back.saturating_sub(1)).checked_div(back).unwrap_or(missing);
        Err(Span::from_millis(millis.min(Span::MAX.millis())).unwrap_or(Span::MAX))
    }

    /// Takes an amount that is spent already, whether it is there or not. At most a whole bucket is owed, so that one large file
    /// keeps nobody waiting for longer than it takes to fill two.
    pub(super) fn spend(&mut self, rate: Rate, now: BootMillis, amount: u64) {
        self.refill(rate, now);
        self.shares = self.shares.saturating_sub(rate.shares(amount)).max(rate.full().saturating_neg());
    }

    /// Whether nothing is missing.
    pub(super) fn is_full(&mut self, rate: Rate, now: BootMillis) -> bool {
        self.refill(rate, now);
        self.shares >= rate.full()
    }

    fn refill(&mut self, rate: Rate, now: BootMillis) {
        let back = now.since(self.at).millis().saturating_mul(i64::from(rate.back));
        self.shares = self.shares.saturating_add(back).min(rate.full());
        self.at = self.at.max(now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RATE: Rate = Rate::a_second(3, 2);

    fn at(millis: i64) -> BootMillis {
        BootMillis::new(millis)
    }

    fn take(bucket: &mut Bucket, millis: i64, amount: u32) -> Result<(), i64> {
        bucket.wait(RATE, at(millis), amount).map_err(Span::millis)?;
        bucket.spend(RATE, at(millis), u64::from(amount));
        Ok(())
    }

    #[test]
    fn what_is_there_is_taken_at_once_and_the_rest_comes_back_with_time() {
        // given a full bucket of three, of which two come back each second
        let mut bucket = Bucket::full(RATE, at(1_000));
        // when it is emptied, then the next waits half a second, and not a millisecond longer
        assert_eq!(take(&mut bucket, 1_000, 3), Ok(()));
        assert_eq!(take(&mut bucket, 1_000, 1), Err(500));
        assert_eq!(take(&mut bucket, 1_499, 1), Err(1));
        assert_eq!(take(&mut bucket, 1_500, 1), Ok(()));
    }

    #[test]
    fn a_rate_reads_as_it_is_shown_and_nothing_absurd_is_one() {
        assert_eq!(Rate::parse("3 at once, 2 each 1s"), Some(RATE));
        assert_eq!(Rate::parse(&RATE.to_string()), Some(RATE));
        for absurd in [
            "",
            "3",
            "3 at once",
            "0 at once, 2 each 1s",
            "3 at once, 0 each 1s",
            "-3 at once, 2 each 1s",
            "3 at once, 2 each 0s",
            "3 at once, 2 each 800d",
            "4294967296 at once, 2 each 1s",
            "1000000001 at once, 2 each 1s",
            "3 at once, 2 each",
        ] {
            assert_eq!(Rate::parse(absurd), None, "{absurd}");
        }
    }

    #[test]
    fn it_never_holds_more_than_it_may_however_long_nothing_is_taken() {
        let mut bucket = Bucket::full(RATE, at(0));
        assert_eq!(take(&mut bucket, i64::MAX, 3), Ok(()));
        assert!(take(&mut bucket, i64::MAX, 1).is_err());
    }

    #[test]
    fn a_price_that_is_known_afterwards_is_owed() {
        // given a command that took five of three
        let mut bucket = Bucket::full(RATE, at(0));
        bucket.spend(RATE, at(0), 5);
        // then the next one waits until more than the debt has come back
        assert_eq!(bucket.wait(RATE, at(0), 1).unwrap_err().millis(), 1_500);
        assert!(!bucket.is_full(RATE, at(2_499)));
        assert!(bucket.is_full(RATE, at(2_500)));
        // and what is owed is at most a whole bucket, whatever it took
        bucket.spend(RATE, at(2_500), u64::MAX);
        assert_eq!(bucket.wait(RATE, at(2_500), 1).unwrap_err().millis(), 2_000);
    }

    #[test]
    fn a_reading_that_is_older_than_the_last_gives_nothing_back_and_takes_nothing() {
        let mut bucket = Bucket::full(RATE, at(1_000));
        bucket.spend(RATE, at(1_000), 3);
        assert_eq!(bucket.wait(RATE, at(0), 1).unwrap_err().millis(), 500);
        assert_eq!(bucket.wait(RATE, at(1_500), 1), Ok(()));
    }

    #[test]
    fn a_rate_that_gives_nothing_back_and_amounts_beyond_any_bucket_are_no_overflow() {
        let rate = Rate { at_once: u32::MAX, back: 0, every: Span::MAX };
        let mut bucket = Bucket::full(rate, at(0));
        bucket.spend(rate, at(0), u64::MAX);
        assert_eq!(bucket.wait(rate, at(0), 1), Err(Span::MAX));
    }
}
