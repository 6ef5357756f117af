//! How much of the broker one spender may take. Every number is a key of the configuration (docs/operations.md, Budgets).

use std::collections::BTreeMap;

use super::bucket::Rate;
use super::places::PlaceLimits;
use super::turns::TurnLimits;
use crate::domain::value::refusal::Reason;
use crate::domain::value::time::Span;
use crate::server::metrics::Spent;

/// What is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Budget {
    /// Commands that may give something, of a person.
    PersonCommands,
    /// The same, of a machine.
    MachineCommands,
    /// The same, beyond those, of whoever records what is so of many (`hr.feed`, `attestation.record`).
    RecordingCommands,
    /// Commands that take something away.
    TakingAway,
    /// The same, beyond those, of whoever may take from others (`lock.manage`, `grant.revoke`, `hr.feed`).
    TakingFromOthers,
    /// Bytes of the journal that commands which give something made, within a minute.
    JournalMinute,
    /// The same, within a day.
    JournalDay,
    /// The same as within a minute, of whoever records what is so of many.
    RecordingJournal,
}

impl Budget {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::PersonCommands,
        Self::MachineCommands,
        Self::RecordingCommands,
        Self::TakingAway,
        Self::TakingFromOthers,
        Self::JournalMinute,
        Self::JournalDay,
        Self::RecordingJournal,
    ];

    /// Its key in the configuration.
    #[must_use]
    pub const fn key(self) -> &'static str {
        match self {
            Self::PersonCommands => "budgets.person_commands",
            Self::MachineCommands => "budgets.machine_commands",
            Self::RecordingCommands => "budgets.recording_commands",
            Self::TakingAway => "budgets.taking_away",
            Self::TakingFromOthers => "budgets.taking_from_others",
            Self::JournalMinute => "budgets.journal_minute",
            Self::JournalDay => "budgets.journal_day",
            Self::RecordingJournal => "budgets.recording_journal",
        }
    }

    /// The label that it is counted under, and what a refusal calls it.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.key().trim_start_matches("budgets.")
    }

    /// What it is counted under.
    pub(super) fn counted(self) -> Spent {
        Spent { budget: self.name() }
    }

    /// Its rate where the configuration says nothing.
    const fn usual(self) -> Rate {
        match self {
            Self::PersonCommands => Rate::a_second(30, 1),
            Self::MachineCommands => Rate::a_second(100, 10),
            Self::RecordingCommands => Rate::a_second(400, 200),
            Self::TakingAway => Rate::a_second(200, 20),
            Self::TakingFromOthers => Rate::a_second(20_000, 2_000),
            Self::JournalMinute => mebibytes(1, Span::seconds(60)),
            Self::JournalDay => mebibytes(64, Span::DAY),
            Self::RecordingJournal => mebibytes(256, Span::seconds(60)),
        }
    }

    /// Why a command over it is refused.
    pub(super) const fn reason(self) -> Reason {
        match self {
            Self::PersonCommands
            | Self::MachineCommands
            | Self::RecordingCommands
            | Self::TakingAway
            | Self::TakingFromOthers => Reason::BudgetCommands,
            Self::JournalMinute | Self::JournalDay | Self::RecordingJournal => Reason::BudgetJournal,
        }
    }
}

/// So much at once, which comes back within a time.
const fn mebibytes(count: u32, every: Span) -> Rate {
    let bytes = count.saturating_mul(1024 * 1024);
    Rate { at_once: bytes, back: bytes, every }
}

/// The rates that the configuration sets; every other budget has its usual one.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rates(BTreeMap<Budget, Rate>);

impl Rates {
    /// The rate of one budget.
    #[must_use]
    pub fn of(&self, budget: Budget) -> Rate {
        self.0.get(&budget).copied().unwrap_or(budget.usual())
    }

    /// Sets one.
    pub fn set(&mut self, budget: Budget, rate: Rate) {
        self.0.insert(budget, rate);
    }
}

/// How much memory what is kept of one spender may take, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeptLimits {
    /// Of anybody.
    pub each: u64,
    /// Of whoever records what is so of many (`hr.feed`, `attestation.record`).
    pub recording: u64,
}

impl Default for KeptLimits {
    fn default() -> Self {
        Self { each: 16 * 1024 * 1024, recording: 256 * 1024 * 1024 }
    }
}

/// How many watches one spender may have open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Watches(pub usize);

impl Default for Watches {
    fn default() -> Self {
        Self(16)
    }
}

impl From<Watches> for PlaceLimits {
    /// In all there are as many as there are streams.
    fn from(Watches(each): Watches) -> Self {
        Self { all: usize::MAX, each }
    }
}

/// All that the table `[budgets]` says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Budgets {
    /// How much of what is counted.
    pub rates: Rates,
    /// How much is kept.
    pub kept: KeptLimits,
    /// How many places for dear work.
    pub places: PlaceLimits,
    /// How many watches of one spender.
    pub watches: Watches,
    /// How many lists and looks into the past at a time.
    pub lists: TurnLimits,
}
