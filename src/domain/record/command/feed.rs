//! Commands about the HR feed.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::domain::record::hr::{HrEvent, ImportedPerson, StreamPlace};
use crate::domain::value::ids::{Digest, HoldId, PersonId, StreamName};

commands! {
    /// What HR says.
    FeedCommand in Feed {
        /// What HR says happened, in order.
        ApplyEvents(ApplyHrEvents) "apply-hr-events";
        /// Everybody whom HR knows: the directory is made to agree.
        Import(ImportPeople) "import-people";
        /// Let through what the brake holds, or throw it away.
        DecideHold(DecideHold) "decide-hold";
        /// Expect no more of a stream.
        RetireStream(RetireStream) "retire-stream";
    }
}

impl FeedCommand {
    /// Whether it only takes access away: it goes first, and goes on while the clock is suspect.
    #[must_use]
    pub fn takes_away(&self) -> bool {
        match self {
            Self::ApplyEvents(ApplyHrEvents { events, .. }) => {
                !events.is_empty() && events.iter().all(|event| event.change.is_leaving())
            }
            Self::Import(_) | Self::DecideHold(_) | Self::RetireStream(_) => false,
        }
    }

    /// What it is about, for the record of a refusal.
    #[must_use]
    pub fn about(&self) -> Option<String> {
        match self {
            Self::ApplyEvents(command) => command.place.as_ref().map(|place| format!("stream:{}", place.stream)),
            Self::Import(command) => Some(format!("stream:{}", command.place.stream)),
            Self::DecideHold(command) => Some(format!("hold:{}", command.hold)),
            Self::RetireStream(command) => Some(format!("stream:{}", command.stream)),
        }
    }

    /// How many bytes of free text it adds to the journal; none if it adds sets of any size as well.
    #[must_use]
    pub fn words_bytes(&self) -> Option<usize> {
        match self {
            // What they say was measured where it was read.
            Self::ApplyEvents(_) | Self::Import(_) => Some(0),
            Self::DecideHold(command) => Some(command.reason.len()),
            Self::RetireStream(command) => Some(command.reason.len()),
        }
    }
}

/// What HR says happened, in order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ApplyHrEvents {
    /// The place of the first event in a stream; none: it comes in no stream, and nobody waits for more.
    pub place: Option<StreamPlace>,
    /// All of them, or none. Empty: the feed lives and has nothing to say.
    pub events: Vec<HrEvent>,
}

/// Everybody whom HR knows: the directory is made to agree.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ImportPeople {
    /// Its place in a stream.
    pub place: StreamPlace,
    /// Everybody.
    pub people: BTreeMap<PersonId, ImportedPerson>,
}

/// Let through what the brake holds, or throw it away.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DecideHold {
    /// Which.
    pub hold: HoldId,
    /// SHA-256 over its events, computed by the client from what was shown.
    pub digest: Digest,
    /// Whether it goes through.
    pub release: bool,
    /// For the record.
    pub reason: String,
}

/// Expect no more of a stream.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RetireStream {
    /// Which.
    pub stream: StreamName,
    /// For the record.
    pub reason: String,
}
