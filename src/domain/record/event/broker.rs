//! Facts about the broker itself.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::ClockPair;
use super::subject::Subject;
use crate::domain::value::ids::{
    CampaignId, Digest, ElevationId, EnrolmentId, GrantId, JournalId, Principal, ProposalId,
};
use crate::domain::value::refusal::Reason;
use crate::domain::value::time::Timestamp;

facts! {
    /// The broker itself.
    BrokerFact {
        /// A command was refused.
        CommandRefused(CommandRefused) "command-refused/1";
        /// More commands of a caller were refused than are recorded one by one.
        RefusalsCounted(RefusalsCounted) "refusals-counted/1";
        /// What closed long ago left memory.
        Pruned(Pruned) "pruned/1";
        /// The broker started.
        Started(BrokerStarted) "broker-started/1";
        /// Both clocks, while anything is live.
        ClockRead(ClockPair) "clock-read/1";
        /// An operator accepted the wall clock as it is.
        ClockAccepted(ClockPair) "clock-accepted/1";
        /// An operator accepted that rows at the journal's end are gone.
        LossAccepted(LossAccepted) "loss-accepted/1";
        /// Rows without an end of their batch have no effect.
        RowsAbandoned(RowsAbandoned) "rows-abandoned/1";
    }
}

impl BrokerFact {
    /// What it is about.
    #[must_use]
    pub fn about(&self) -> Vec<Subject> {
        vec![Subject::Broker]
    }
}

bodies! {
    /// The true reason, and what the caller was told if that was less.
    CommandRefused { command: String, reason: Reason, told: Option<Reason>, detail: String, facts: BTreeMap<String, String>, about: Option<String> }
    /// How many were not recorded one by one, within the minute that begins at `minute`.
    RefusalsCounted { caller: Principal, minute: Timestamp, count: u32 }
    /// What left.
    Pruned {
        elevations: BTreeSet<ElevationId>,
        grants: BTreeSet<GrantId>,
        #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
        enrolments: BTreeSet<EnrolmentId>,
        #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
        campaigns: BTreeSet<CampaignId>,
        #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
        proposals: BTreeSet<ProposalId>,
        requests_before: Timestamp,
        identities_before: Timestamp,
    }
    /// With which version and clocks.
    BrokerStarted { version: String, clock: ClockPair }
    /// What the mark said, if one could be read; where the journal ended; and the journal's name from then on.
    LossAccepted { mark: Option<MarkRead>, head: ChainHead, journal: JournalId }
    /// Whose mark, and what it said.
    MarkRead { journal: JournalId, sequence: u64, hash: Digest }
    /// A row, and the hash of the chain there.
    ChainHead { sequence: u64, hash: Digest }
    /// Which rows.
    RowsAbandoned { first: u64, last: u64 }
}
