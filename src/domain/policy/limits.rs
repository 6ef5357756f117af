//! How much of the broker one person, HR and each tenant may take, as policy has it.

use crate::domain::value::time::Span;

/// `[limits]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Pending elevations one person may have, over all accounts (known failure A16).
    pub pending_per_person: u32,
    /// Live and scheduled grants one person may have, over all accounts.
    pub live_grants_per_person: u32,
    /// A feed silent for this long stops new grants; counts from a feed's first event.
    pub hr_silence: Span,
    /// People that one import, or any 24 hours, may disable or enable.
    pub hr_brake_people: u32,
    /// The same as a share of all people, in percent.
    pub hr_brake_percent: u32,
    /// How long the author of a proposal waits before using what it widened.
    pub author_waits: Span,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            pending_per_person: 5,
            live_grants_per_person: 10,
            hr_silence: Span::seconds(26 * 3_600),
            hr_brake_people: 50,
            hr_brake_percent: 2,
            author_waits: Span::DAY,
        }
    }
}

/// `[tenant_limits]`: what each tenant's own feed may fill, so that no customer's system fills what all share (known failure
/// G38).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TenantLimits {
    /// People on record, those who left among them.
    pub people: u32,
    /// Accounts, the closed ones among them.
    pub accounts: u32,
    /// Streams of its feed.
    pub streams: u32,
    /// Events of a day that give something.
    pub events_a_day: u32,
}

impl Default for TenantLimits {
    fn default() -> Self {
        Self { people: 10_000, accounts: 20_000, streams: 16, events_a_day: 20_000 }
    }
}
