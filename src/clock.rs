//! The only reader of clocks (design.md 5). Everything else is given the time.
//!
//! A decision reads two clocks together: the wall clock, which anybody with the right may set, and the boot clock
//! (CLOCK_BOOTTIME), which nobody can set and which counts suspend (known failure C2: `Instant` stops there).
//! [`Anchor`] ties one to the other; [`Timekeeper`] makes of them the [`Now`](crate::domain::value::time::Now) of a
//! decision and the time of a check, which reads the boot clock alone.
#![deny(clippy::arithmetic_side_effects)]

mod anchor;
mod manual;
mod timekeeper;

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustix::time::{ClockId, clock_gettime};
use serde::{Deserialize, Serialize};

use crate::domain::value::time::{Span, Timestamp};

pub use anchor::{Anchor, ClockRecord};
pub use manual::ManualClock;
pub use timekeeper::{REFRESH_EVERY, Refresher, Timekeeper};

/// Milliseconds of the boot clock: since the machine started, suspend included. Comparable only within one boot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, Default)]
pub struct BootMillis(i64);

impl BootMillis {
    /// A journaled or made-up value; below zero is zero.
    #[must_use]
    pub fn new(millis: i64) -> Self {
        Self(millis.max(0))
    }

    /// Milliseconds since the machine started.
    #[must_use]
    pub fn millis(self) -> i64 {
        self.0
    }

    /// How long after `earlier` this is; zero if it is earlier.
    #[must_use]
    pub fn since(self, earlier: Self) -> Span {
        let millis = self.0.saturating_sub(earlier.0).clamp(0, Span::MAX.millis());
        Span::from_millis(millis).unwrap_or(Span::MAX)
    }

    /// The reading `span` later.
    #[must_use]
    pub fn plus(self, span: Span) -> Self {
        Self(self.0.saturating_add(span.millis()))
    }
}

/// How long something takes that a process does: no rule hangs on it, and what the machine sleeps meanwhile is not counted.
#[derive(Debug, Clone, Copy)]
pub struct Stopwatch(std::time::Instant);

#[allow(clippy::disallowed_methods, reason = "the one place that reads clocks")]
impl Stopwatch {
    /// From now on.
    #[must_use]
    pub fn start() -> Self {
        Self(std::time::Instant::now())
    }

    /// How long ago that was.
    #[must_use]
    pub fn took(&self) -> Duration {
        self.0.elapsed()
    }
}

/// Which start of the machine a [`BootMillis`] counts from: 36 characters, as the kernel gives them.
#[derive(Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct BootId(Arc<str>);

/// A text that is no boot id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a boot id: 36 characters of `0-9 a-f -` are wanted, as in /proc/sys/kernel/random/boot_id")]
pub struct InvalidBootId;

impl BootId {
    /// The text as the kernel gave it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}
impl FromStr for BootId {
    type Err = InvalidBootId;
    fn from_str(text: &str) -> Result<Self, InvalidBootId> {
        let known = |b: u8| b.is_ascii_digit() || matches!(b, b'a'..=b'f' | b'-');
        if text.len() == 36 && text.bytes().all(known) { Ok(Self(text.into())) } else { Err(InvalidBootId) }
    }
}
impl TryFrom<String> for BootId {
    type Error = InvalidBootId;
    fn try_from(text: String) -> Result<Self, InvalidBootId> {
        text.parse()
    }
}
impl From<BootId> for String {
    fn from(id: BootId) -> Self {
        id.as_str().to_owned()
    }
}
impl fmt::Display for BootId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
impl fmt::Debug for BootId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Both clocks at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reading {
    /// What the wall clock said.
    pub wall: Timestamp,
    /// What the boot clock said.
    pub boot: BootMillis,
}

/// Where time comes from: [`SystemClock`], or a [`ManualClock`] in tests.
pub trait Clock: Send + Sync {
    /// Both clocks at one moment.
    fn read(&self) -> Reading;
    /// The boot clock alone: the one read of the check path.
    fn boot(&self) -> BootMillis;
    /// Which boot this is; none if the system does not say.
    fn boot_id(&self) -> Option<BootId>;
}

/// The clocks of the machine.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

/// Counts suspend.
#[cfg(target_os = "linux")]
const BOOT_CLOCK: ClockId = ClockId::Boottime;
/// The nearest that other systems share; the command line and the SDK run there, the broker does not. On macOS this clock
/// counts sleep, as Linux's boot clock does: the manual page of its clock functions says that CLOCK_MONOTONIC "will continue to
/// increment while the system is asleep" (CLOCK_UPTIME_RAW, which `Instant` reads, does not).
#[cfg(not(target_os = "linux"))]
const BOOT_CLOCK: ClockId = ClockId::Monotonic;

/// Two boot readings around a wall reading may be this far apart for the three to count as one moment.
const ONE_MOMENT_MILLIS: i64 = 1;
/// After so many interrupted attempts the last one is taken: at worst the clock is suspect until the next reading.
const ATTEMPTS: usize = 8;

impl Clock for SystemClock {
    /// The wall clock between two readings of the boot clock, again if the process was held up between them: a pause
    /// must not look like a step of the wall clock.
    fn read(&self) -> Reading {
        let mut before = self.boot();
        let mut reading = Reading { wall: wall(), boot: before };
        for _ in 0..ATTEMPTS {
            let after = self.boot();
            if after.since(before).millis() <= ONE_MOMENT_MILLIS {
                break;
            }
            before = after;
            reading = Reading { wall: wall(), boot: before };
        }
        reading
    }

    fn boot(&self) -> BootMillis {
        let time = clock_gettime(BOOT_CLOCK);
        let millis = time.tv_sec.saturating_mul(1_000).saturating_add(time.tv_nsec.saturating_div(1_000_000));
        BootMillis::new(millis)
    }

    fn boot_id(&self) -> Option<BootId> {
        std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?.trim_end().parse().ok()
    }
}

/// A wall clock before 1970 reads as 1970, one after 9999 as its end: far from the projection, so suspect either way.
#[allow(clippy::disallowed_methods, reason = "the one place that reads the wall clock")]
fn wall() -> Timestamp {
    let since_epoch: Duration = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since_epoch.as_millis())
        .ok()
        .and_then(|millis| Timestamp::from_millis(millis).ok())
        .unwrap_or(Timestamp::MAX)
}

#[cfg(test)]
#[path = "clock_tests.rs"]
mod tests;
