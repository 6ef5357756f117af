//! Events as the rows of one batch.

use super::outcome::Halt;
use crate::domain::record::event::Event;
use crate::domain::record::row::encode;
use crate::journal::Row;

/// The rows of a batch: the last one says so.
pub(super) fn rows(events: &[Event]) -> Result<Vec<Row>, Halt> {
    let last = events.last().map(|event| event.sequence);
    let row = |event: &Event| {
        let body = encode(event, Some(event.sequence) == last).map_err(|error| Halt::System(error.to_string()))?;
        Ok(Row { sequence: event.sequence, body })
    };
    events.iter().map(row).collect()
}

/// Entropy for the ids of one command.
pub(super) fn nonce() -> [u8; 16] {
    uuid::Uuid::new_v4().into_bytes()
}
