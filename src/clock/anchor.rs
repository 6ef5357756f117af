//! A pair of readings that ties the boot clock to the time of day. Pure: the projection follows the wall clock only
//! slowly, so that a leap neither ends nor lengthens anything for good (known failures C1, C4 and C8).

use serde::{Deserialize, Serialize};

use super::{BootId, BootMillis, Reading};
use crate::domain::value::time::{Span, Timestamp};

/// For each so many milliseconds of boot time the projection moves one millisecond towards the wall clock: 500 parts in
/// a million, the most by which the kernel slews (known failure C8).
const BOOT_MILLIS_PER_FOLLOWED: i64 = 2_000;

/// The time of day at one reading of the boot clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Anchor {
    wall: Timestamp,
    boot: BootMillis,
    /// Boot milliseconds since the projection last moved, below [`BOOT_MILLIS_PER_FOLLOWED`]. Without them an anchor
    /// that is refreshed ten times a second would never move towards the wall clock.
    waited_millis: i64,
}

/// What goes into the journal at start and each minute, so that a restart within one boot does not have to believe the
/// wall clock.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClockRecord {
    /// The time of day as projected, not as the wall clock said: a leap never enters the journal.
    pub wall: Timestamp,
    /// The boot clock at that moment.
    pub boot: BootMillis,
    /// Which boot; a record without it anchors nothing.
    pub boot_id: Option<BootId>,
}

impl Anchor {
    /// Believes the wall clock of this reading.
    #[must_use]
    pub fn at(reading: Reading) -> Self {
        Self { wall: reading.wall, boot: reading.boot, waited_millis: 0 }
    }

    /// The anchor of a pair recorded earlier, if that was in this very boot; if not, none: the wall clock has to be
    /// believed.
    #[must_use]
    pub fn from_journal(record: &ClockRecord, reading: Reading, boot_id: Option<&BootId>) -> Option<Self> {
        let same_boot = boot_id.is_some() && record.boot_id.as_ref() == boot_id && record.boot <= reading.boot;
        same_boot.then(|| Self::at(Reading { wall: record.wall, boot: record.boot }))
    }

    /// The time of day now, by the boot clock alone.
    #[must_use]
    pub fn project(&self, boot: BootMillis) -> Timestamp {
        self.wall.plus(boot.since(self.boot))
    }

    /// The anchor moved to this reading, and towards its wall clock by at most 500 ppm of the boot time since.
    #[must_use]
    pub fn slewed(&self, reading: Reading) -> Self {
        let projected = self.project(reading.boot);
        let waited = self.waited_millis.saturating_add(reading.boot.since(self.boot).millis());
        let most = waited.saturating_div(BOOT_MILLIS_PER_FOLLOWED);
        let apart = reading.wall.millis().saturating_sub(projected.millis());
        let followed = apart.clamp(most.saturating_neg(), most);
        let by = Span::from_millis(followed.saturating_abs()).unwrap_or(Span::MAX);
        let left = waited.saturating_sub(followed.saturating_abs().saturating_mul(BOOT_MILLIS_PER_FOLLOWED));
        Self {
            wall: if followed < 0 { projected.minus(by) } else { projected.plus(by) },
            boot: reading.boot.max(self.boot),
            // Time that was not needed is not saved up: after a year of agreement a step of hours is followed as slowly
            // as ever.
            waited_millis: left.min(BOOT_MILLIS_PER_FOLLOWED.saturating_sub(1)),
        }
    }

    /// The anchor of a time of day that cannot be before `earliest`: a broker's clock begins no earlier than its last
    /// event.
    #[must_use]
    pub fn not_before(self, earliest: Timestamp, boot: BootMillis) -> Self {
        if self.project(boot) < earliest { Self::at(Reading { wall: earliest, boot }) } else { self }
    }
}
