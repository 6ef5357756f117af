//! Facts about the HR feed.

use serde::{Deserialize, Serialize};

use super::subject::Subject;
use crate::domain::record::hr::{Hold, HrEvent, StreamPlace};
use crate::domain::value::ids::{AccountId, HoldId, StreamName};

facts! {
    /// The HR feed.
    FeedFact {
        /// HR said that something happened to a person. The records that it changes follow.
        EventApplied(HrEventApplied) "hr-event-applied/1";
        /// A stream was heard up to a number; also without an event, as a sign that the feed lives.
        Heard(HrFeedHeard) "hr-feed-heard/1";
        /// A whole file from HR was compared with the directory; what differs is in the same batch.
        Imported(HrImported) "hr-imported/1";
        /// The brake holds what would enable or disable many.
        Held(Box<Hold>) "hr-held/1";
        /// An event could not happen; the stream goes on, and a person decides about it.
        SetAside(Box<Hold>) "hr-set-aside/1";
        /// What the brake held was let through, or thrown away.
        HoldDecided(HrHoldDecided) "hr-hold-decided/1";
        /// What the brake held was let through, and this of it no longer applied.
        EventLeftOut(HrEventLeftOut) "hr-event-left-out/1";
        /// A stream is no longer expected.
        StreamRetired(HrStreamRetired) "hr-stream-retired/1";
    }
}

impl FeedFact {
    /// What it is about.
    #[must_use]
    pub fn about(&self) -> Vec<Subject> {
        match self {
            Self::EventApplied(fact) => vec![Subject::Person(fact.event.person.clone())],
            Self::Heard(HrFeedHeard { place, .. }) | Self::Imported(HrImported { place, .. }) => {
                vec![Subject::Stream(place.stream.clone())]
            }
            // What stood in its way may be another's, so that it is not the person's own to read.
            Self::Held(hold) | Self::SetAside(hold) => vec![Subject::Hold(hold.id)],
            Self::HoldDecided(fact) => vec![Subject::Hold(fact.hold)],
            Self::EventLeftOut(fact) => vec![Subject::Hold(fact.hold)],
            Self::StreamRetired(fact) => vec![Subject::Stream(fact.stream.clone())],
        }
    }
}

bodies! {
    /// What, its place in a stream, if it came in one, and whether a person let it through the brake.
    HrEventApplied {
        place: Option<StreamPlace>,
        event: HrEvent,
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        released: bool,
    }
    /// Up to which number, and from which account.
    HrFeedHeard { place: StreamPlace, sender: AccountId }
    /// Its place and sender, how many people it named, how many changes were applied, and how many the brake held.
    HrImported { place: StreamPlace, sender: AccountId, people: u32, changes: u32, held: u32 }
    /// Which, and whether it went through.
    HrHoldDecided { hold: HoldId, released: bool, reason: String }
    /// Of which hold, and what.
    HrEventLeftOut { hold: HoldId, event: HrEvent }
    /// Which.
    HrStreamRetired { stream: StreamName, reason: String }
}
