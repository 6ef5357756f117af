//! The messages of checks, read in place and written without being built: at thousands of checks a second, copying
//! texts out and building answers costs more than the check.
//!
//! What is read here is what every library writes: known fields, one after another. All else that protobuf allows, and
//! all that it does not, is left to prost, so that there is one judge of what a message is.

use std::num::NonZero;

use bytes::BufMut;
use prost::{DecodeError, Message};
use uuid::Uuid;

use crate::check::{Allowed, Denied, Query, Verdict};
use crate::domain::value::ids::GrantId;
use crate::domain::value::time::Timestamp;
use crate::wire::queries::LARGEST_BATCH;
use crate::wire::v1 as pb;
use crate::wire::values::{pb_end, pb_timestamp};

/// The key of a number in the first field; each later field adds 8.
const NUMBER_1: u8 = 0x08;
/// The same for what has a length: a text or a message.
const COUNTED_1: u8 = 0x0a;
const COUNTED_2: u8 = COUNTED_1 + FIELD;
const COUNTED_3: u8 = COUNTED_2 + FIELD;
const FIELD: u8 = 8;
/// A number that takes more bytes is left to prost.
const NUMBER_BYTES: usize = 9;
/// Room for so many questions is made at once.
const QUERIES: usize = 16;
/// The longest answer.
const ANSWER_BYTES: usize = 80;
/// The longest time: two fields of at most 10 and 5 bytes.
const TIMESTAMP_BYTES: usize = 17;

/// Several questions.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Batch<'a> {
    /// The sender's number; 0 if there is none.
    pub(crate) id: u64,
    /// As many as one batch may have, and no more.
    pub(crate) queries: Vec<Query<'a>>,
    /// How many there are.
    pub(crate) count: usize,
}

/// An answer, and the sequence that it was decided at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Checked {
    pub(crate) verdict: Verdict,
    pub(crate) sequence: ToldSequence,
    /// What the verdict was given for.
    pub(crate) time: Timestamp,
}

/// A sequence as the caller gets it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ToldSequence {
    /// In the own organisation.
    Number(u64),
    /// To customers.
    Sealed(String),
}

/// Answers in the order of their questions, and the sequence that all were decided at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct BatchChecked {
    pub(crate) verdicts: Vec<Verdict>,
    pub(crate) sequence: ToldSequence,
    /// What all verdicts were given for.
    pub(crate) time: Timestamp,
}

/// The same, of one batch of a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct StreamChecked {
    pub(crate) batch_id: u64,
    pub(crate) answers: BatchChecked,
}

/// A message that is written without being built: byte for byte as prost writes it.
pub(crate) trait Written {
    /// Appends it.
    fn write(&self, out: &mut impl BufMut);
}

/// Hands on what a [`pb::CheckAccessRequest`] asks.
///
/// # Errors
/// As prost's.
pub(crate) fn read_check<T>(message: &[u8], then: impl FnOnce(Query<'_>) -> T) -> Result<T, DecodeError> {
    if let Some(query) = query(message) {
        return Ok(then(query));
    }
    let pb::CheckAccessRequest { subject, action, resource } = Message::decode(message)?;
    Ok(then(Query { subject: &subject, action: &action, resource: &resource }))
}

/// Hands on what a [`pb::BatchCheckAccessRequest`] asks.
///
/// # Errors
/// As prost's.
pub(crate) fn read_batch<T>(message: &[u8], then: impl FnOnce(Batch<'_>) -> T) -> Result<T, DecodeError> {
    if let Some(batch) = batch(0, message, COUNTED_1) {
        return Ok(then(batch));
    }
    let pb::BatchCheckAccessRequest { queries } = Message::decode(message)?;
    Ok(then(batch_of(0, &queries)))
}

/// Hands on what a [`pb::StreamCheckAccessRequest`] asks.
///
/// # Errors
/// As prost's.
pub(crate) fn read_stream_batch<T>(message: &[u8], then: impl FnOnce(Batch<'_>) -> T) -> Result<T, DecodeError> {
    if let Some(batch) = stream_batch(message) {
        return Ok(then(batch));
    }
    let pb::StreamCheckAccessRequest { batch_id, queries } = Message::decode(message)?;
    Ok(then(batch_of(batch_id, &queries)))
}

/// An answer, built: for the messages that are not asked for often.
pub(crate) fn pb_answer(query_index: u32, verdict: Verdict) -> pb::CheckAnswer {
    let (verdict_of, reason) = verdict_and_reason(verdict);
    let (grant_id, valid_until) = match verdict {
        Verdict::Allow { because, valid_until } => (grant_of(because), pb_end(valid_until)),
        Verdict::Deny { .. } => (None, None),
    };
    pb::CheckAnswer {
        query_index,
        verdict: verdict_of.into(),
        reason: reason.into(),
        grant_id: grant_id.map(|grant| grant.to_string()).unwrap_or_default(),
        valid_until,
    }
}

fn verdict_and_reason(verdict: Verdict) -> (pb::Verdict, pb::CheckReason) {
    match verdict {
        Verdict::Allow { because: Allowed::Granted { .. }, .. } => (pb::Verdict::Allow, pb::CheckReason::Granted),
        Verdict::Allow { because: Allowed::Baseline, .. } => (pb::Verdict::Allow, pb::CheckReason::Baseline),
        Verdict::Deny { because } => (pb::Verdict::Deny, denied(because)),
    }
}

fn denied(because: Denied) -> pb::CheckReason {
    match because {
        Denied::OutOfAudience => pb::CheckReason::OutOfAudience,
        Denied::Locked => pb::CheckReason::Locked,
        Denied::NotStarted => pb::CheckReason::NotStarted,
        Denied::NoGrant => pb::CheckReason::NoGrant,
        Denied::Stale => pb::CheckReason::Stale,
    }
}

fn grant_of(because: Allowed) -> Option<GrantId> {
    match because {
        Allowed::Granted { grant } => Some(grant),
        Allowed::Baseline => None,
    }
}

fn batch_of(id: u64, queries: &[pb::CheckQuery]) -> Batch<'_> {
    let in_place = queries.iter().take(LARGEST_BATCH).map(query_of).collect();
    Batch { id, queries: in_place, count: queries.len() }
}

fn query_of(query: &pb::CheckQuery) -> Query<'_> {
    Query { subject: &query.subject, action: &query.action, resource: &query.resource }
}

fn stream_batch(message: &[u8]) -> Option<Batch<'_>> {
    let (id, rest) = match message.split_first() {
        Some((&NUMBER_1, rest)) => number(rest)?,
        _ => (0, message),
    };
    batch(id, rest, COUNTED_2)
}

fn batch(id: u64, mut message: &[u8], key: u8) -> Option<Batch<'_>> {
    let mut batch = Batch { id, queries: Vec::with_capacity(QUERIES), count: 0 };
    while !message.is_empty() {
        let (bytes, rest) = counted(message.strip_prefix(&[key])?)?;
        let query = query(bytes)?;
        if batch.count < LARGEST_BATCH {
            batch.queries.push(query);
        }
        batch.count = batch.count.saturating_add(1);
        message = rest;
    }
    Some(batch)
}

/// A question, in either of its messages.
fn query(mut message: &[u8]) -> Option<Query<'_>> {
    let mut query = Query { subject: "", action: "", resource: "" };
    while let Some((key, rest)) = message.split_first() {
        let field = match *key {
            COUNTED_1 => &mut query.subject,
            COUNTED_2 => &mut query.action,
            COUNTED_3 => &mut query.resource,
            _ => return None,
        };
        let (text, rest) = counted(rest)?;
        *field = std::str::from_utf8(text).ok()?;
        message = rest;
    }
    Some(query)
}

/// What is behind its length, and what follows.
fn counted(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = number(bytes)?;
    rest.split_at_checked(usize::try_from(length).ok()?)
}

fn number(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let mut value = 0;
    for (shift, (byte, at)) in (0_u32..).step_by(7).zip(bytes.iter().zip(1..=NUMBER_BYTES)) {
        value |= u64::from(byte & 0x7f).checked_shl(shift)?;
        if byte & 0x80 == 0 {
            return Some((value, bytes.get(at..)?));
        }
    }
    None
}

impl Written for Checked {
    fn write(&self, out: &mut impl BufMut) {
        put_verdict(out, NUMBER_1, self.verdict);
        put_sequence(out, COUNTED_1 + 4 * FIELD, &self.sequence);
        put_time(out, COUNTED_1 + 5 * FIELD, Some(pb_timestamp(self.time)));
    }
}

impl Written for BatchChecked {
    fn write(&self, out: &mut impl BufMut) {
        self.put(out, COUNTED_1);
    }
}

impl Written for StreamChecked {
    fn write(&self, out: &mut impl BufMut) {
        put_number(out, NUMBER_1, self.batch_id);
        self.answers.put(out, COUNTED_2);
    }
}

impl BatchChecked {
    fn put(&self, out: &mut impl BufMut, key: u8) {
        let mut answer = Vec::with_capacity(ANSWER_BYTES);
        for (index, verdict) in (0..).zip(&self.verdicts) {
            answer.clear();
            put_number(&mut answer, NUMBER_1, index);
            put_verdict(&mut answer, NUMBER_1 + FIELD, *verdict);
            put_counted(out, key, &answer);
        }
        put_sequence(out, key + FIELD, &self.sequence);
        put_time(out, key + 2 * FIELD, Some(pb_timestamp(self.time)));
    }
}

/// Verdict, reason, grant and end: four fields, the first of them with this key.
fn put_verdict(out: &mut impl BufMut, key: u8, verdict: Verdict) {
    let (verdict_of, reason) = verdict_and_reason(verdict);
    put_number(out, key, positive(verdict_of.into()));
    put_number(out, key + FIELD, positive(reason.into()));
    let Verdict::Allow { because, valid_until } = verdict else { return };
    // The key two fields on, of a field with a length.
    let key = key + 2 * FIELD + COUNTED_1 - NUMBER_1;
    if let Some(grant) = grant_of(because) {
        let mut text = Uuid::encode_buffer();
        put_counted(out, key, grant.uuid().hyphenated().encode_lower(&mut text).as_bytes());
    }
    put_time(out, key + FIELD, pb_end(valid_until));
}

fn put_time(out: &mut impl BufMut, key: u8, time: Option<prost_types::Timestamp>) {
    if let Some(prost_types::Timestamp { seconds, nanos }) = time {
        let mut end = [0; TIMESTAMP_BYTES];
        let mut free = end.as_mut_slice();
        put_number(&mut free, NUMBER_1, seconds.cast_unsigned());
        put_number(&mut free, NUMBER_1 + FIELD, positive(nanos));
        let written = TIMESTAMP_BYTES - free.len();
        put_counted(out, key, end.get(..written).unwrap_or_default());
    }
}

fn put_sequence(out: &mut impl BufMut, key: u8, sequence: &ToldSequence) {
    match sequence {
        ToldSequence::Number(number) => put_counted(out, key, number.to_string().as_bytes()),
        ToldSequence::Sealed(text) => put_counted(out, key, text.as_bytes()),
    }
}

/// A field; none if it is zero, as proto3 has it.
fn put_number(out: &mut impl BufMut, key: u8, value: u64) {
    if value != 0 {
        out.put_u8(key);
        put_varint(out, value);
    }
}

/// A text, not empty, or a message.
fn put_counted(out: &mut impl BufMut, key: u8, bytes: &[u8]) {
    out.put_u8(key);
    put_varint(out, u64::try_from(bytes.len()).unwrap_or_default());
    out.put_slice(bytes);
}

fn put_varint(out: &mut impl BufMut, mut value: u64) {
    while let Some(more) = NonZero::new(value >> 7) {
        out.put_u8(low_seven_bits(value) | 0x80);
        value = more.get();
    }
    out.put_u8(low_seven_bits(value));
}

fn low_seven_bits(value: u64) -> u8 {
    u8::try_from(value & 0x7f).unwrap_or_default()
}

/// Of an enum, or of parts of a second: neither is below zero.
fn positive(value: i32) -> u64 {
    u64::try_from(value).unwrap_or_default()
}

#[cfg(test)]
#[path = "messages_tests.rs"]
mod tests;
