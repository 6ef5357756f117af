//! The hash chain and the shape of a row: what every store checks before it writes and after it reads (design.md 8,
//! known failures F8, H5 and H13). Written once, so that two stores cannot differ.

use std::borrow::Cow;
use std::ops::RangeInclusive;

use serde::Deserialize;
use sha2::{Digest as _, Sha256};

use super::{ABANDONED_KIND, AppendError, Fault, Head, JournalId, MAX_BODY_BYTES, OpenError, Recovered, Refused, Row};
use crate::domain::value::ids::Digest;

/// The rows that this row strikes out, if it is an [`ABANDONED_KIND`].
#[must_use]
pub fn abandoned_by(body: &str) -> Option<RangeInclusive<u64>> {
    #[derive(Deserialize)]
    struct Kind<'a> {
        #[serde(borrow)]
        kind: Cow<'a, str>,
    }
    #[derive(Deserialize)]
    struct Range {
        first: u64,
        last: u64,
    }
    #[derive(Deserialize)]
    struct Facts {
        facts: Range,
    }
    if serde_json::from_str::<Kind<'_>>(body).ok()?.kind != ABANDONED_KIND {
        return None;
    }
    let Range { first, last } = serde_json::from_str::<Facts>(body).ok()?.facts;
    Some(first..=last)
}

/// The head of a journal without rows.
pub(super) fn origin(id: JournalId) -> Head {
    let hash = Sha256::new().chain_update("countersign journal v1").chain_update(id.to_string()).finalize();
    Head { sequence: 0, hash: Digest::from(<[u8; 32]>::from(hash)) }
}

/// The head after a row with that body.
pub(super) fn following(head: &Head, body: &[u8]) -> Head {
    let hash = Sha256::new().chain_update(head.hash.bytes()).chain_update(body).finalize();
    Head { sequence: head.sequence.saturating_add(1), hash: Digest::from(<[u8; 32]>::from(hash)) }
}

/// Checks that a batch may follow `head`, before any store writes it.
pub(super) fn check_batch(head: Head, expected: Head, rows: &[Row]) -> Result<(), AppendError> {
    batch_fault(head, expected, rows).map_or(Ok(()), |reason| Err(AppendError::NotAppended { reason }))
}

fn batch_fault(head: Head, expected: Head, rows: &[Row]) -> Option<Refused> {
    if expected != head {
        return Some(Refused::HeadMoved { expected, head });
    }
    let Some((final_row, _)) = rows.split_last() else { return Some(Refused::Empty) };
    let mut wanted = head.sequence;
    for row in rows {
        wanted = wanted.saturating_add(1);
        let sequence = row.sequence;
        if sequence != wanted || i64::try_from(sequence).is_err() {
            return Some(Refused::OutOfSequence { wanted, found: sequence });
        }
        if row.body.len() > MAX_BODY_BYTES {
            return Some(Refused::TooLarge { sequence, bytes: row.body.len() });
        }
        let last = match envelope(sequence, &row.body) {
            Ok(envelope) => envelope.last,
            Err(fault) => return Some(Refused::Malformed { sequence, fault }),
        };
        if last != std::ptr::eq(row, final_row) {
            return Some(Refused::Malformed { sequence, fault: Fault::Last });
        }
    }
    None
}

/// The fields of a body that belong to the journal.
#[derive(Deserialize)]
struct Envelope {
    seq: u64,
    #[serde(default)]
    last: bool,
}

fn envelope(sequence: u64, body: &str) -> Result<Envelope, Fault> {
    // A derived struct would also be read from an array.
    if !body.starts_with('{') {
        return Err(Fault::NotJson { what: "it does not begin with a brace".into() });
    }
    let envelope: Envelope = serde_json::from_str(body).map_err(|error| Fault::NotJson { what: error.to_string() })?;
    if envelope.seq == sequence { Ok(envelope) } else { Err(Fault::OtherSequence { body: envelope.seq }) }
}

/// Walks a chain row by row, and stops at the first bad one.
pub(super) struct Verifier {
    head: Head,
    open_from: Option<u64>,
    expected: Vec<Head>,
    row: Row,
}

impl Verifier {
    /// Begins before the first row. The chain must pass through each head that is expected.
    pub(super) fn new(id: JournalId, expected: impl IntoIterator<Item = Head>) -> Result<Self, OpenError> {
        let expected = expected.into_iter().collect();
        let verifier = Self { head: origin(id), open_from: None, expected, row: Row::default() };
        verifier.check_expected()?;
        Ok(verifier)
    }

    /// The number that the next row must have.
    pub(super) fn next_sequence(&self) -> u64 {
        self.head.sequence.saturating_add(1)
    }

    /// Takes the next row, as its columns hold it.
    pub(super) fn accept(&mut self, sequence: i64, body: &[u8], hash: &[u8]) -> Result<&Row, OpenError> {
        let wanted = self.next_sequence();
        let next = self.check(wanted, sequence, body, hash);
        let (next, last) = next.map_err(|fault| OpenError::Broken { sequence: wanted, fault })?;
        self.head = next;
        self.check_expected()?;
        self.open_from = if last { None } else { Some(self.open_from.unwrap_or(wanted)) };
        Ok(&self.row)
    }

    /// What was found, at the end of the rows.
    pub(super) fn finish(self) -> Result<Recovered, OpenError> {
        if let Some(expected) = self.expected.iter().find(|expected| expected.sequence > self.head.sequence) {
            return Err(OpenError::HeadDiffers { expected: *expected, found: self.head });
        }
        let abandoned = self.open_from.map(|first| first..=self.head.sequence);
        Ok(Recovered { head: self.head, abandoned })
    }

    fn check_expected(&self) -> Result<(), OpenError> {
        let found = self.head;
        let differs = |expected: &&Head| expected.sequence == found.sequence && **expected != found;
        self.expected
            .iter()
            .find(differs)
            .map_or(Ok(()), |expected| Err(OpenError::HeadDiffers { expected: *expected, found }))
    }

    fn check(&mut self, wanted: u64, sequence: i64, body: &[u8], hash: &[u8]) -> Result<(Head, bool), Fault> {
        match u64::try_from(sequence) {
            Ok(found) if found == wanted => {}
            Ok(found) if found > wanted => return Err(Fault::Missing { found: sequence }),
            _ => return Err(Fault::OutOfPlace { found: sequence }),
        }
        if body.len() > MAX_BODY_BYTES {
            return Err(Fault::TooLarge { bytes: body.len() });
        }
        let next = following(&self.head, body);
        if next.hash.bytes() != hash {
            return Err(Fault::Hash);
        }
        let text = std::str::from_utf8(body).map_err(|_| Fault::Column { column: "body", wanted: "UTF-8 text" })?;
        let last = envelope(wanted, text)?.last;
        self.row.sequence = wanted;
        self.row.body.clear();
        self.row.body.push_str(text);
        Ok((next, last))
    }
}
