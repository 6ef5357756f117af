//! The small values that messages are made of, parsed strictly and rendered: names, times, lengths of time, digests,
//! sequences, endings of ids. What is empty, huge, negative or finer than a millisecond is said to be so (known failure C6).

use std::fmt::Display;
use std::str::FromStr;

use prost_types::{Duration, Timestamp as PbTimestamp};

use crate::domain::value::ids::{Digest, excerpt};
use crate::domain::value::time::{Span, Timestamp};

/// Free text of a request: a justification, a comment, a reason.
pub const LONGEST_TEXT_BYTES: usize = 2_048;
/// A ticket.
pub const LONGEST_TICKET_BYTES: usize = 128;
/// The longest that may be asked for.
pub const LONGEST_DURATION: Span = Span::DAY;

/// Parses what must be there.
///
/// # Errors
/// What would be right.
pub fn parsed<T: FromStr>(text: &str) -> Result<T, String>
where
    T::Err: Display,
{
    if text.is_empty() { Err("missing; it is required".to_owned()) } else { text.parse().map_err(said) }
}

/// Parses what may be empty.
///
/// # Errors
/// What would be right.
pub fn optional<T: FromStr>(text: &str) -> Result<Option<T>, String>
where
    T::Err: Display,
{
    if text.is_empty() { Ok(None) } else { text.parse().map(Some).map_err(said) }
}

/// Free text within a bound.
///
/// # Errors
/// What would be right.
pub fn text(text: String, least: usize, most: usize) -> Result<String, String> {
    if (least..=most).contains(&text.len()) {
        Ok(text)
    } else if text.is_empty() {
        Err(format!("missing; {least} to {most} bytes of text are wanted"))
    } else {
        Err(format!("{} bytes of text; at most {most} are taken", text.len()))
    }
}

/// An instant in whole milliseconds, 1970 to 9999.
///
/// # Errors
/// What would be right.
pub fn timestamp(value: &PbTimestamp) -> Result<Timestamp, String> {
    let nanos = Some(value.nanos).filter(|nanos| (0..1_000_000_000).contains(nanos));
    let Some(nanos) = nanos else { return Err("nanos outside 0 to 999999999".to_owned()) };
    if nanos.checked_rem(1_000_000) != Some(0) {
        return Err("finer than a millisecond; whole milliseconds are wanted".to_owned());
    }
    let millis = i64::from(nanos).checked_div(1_000_000);
    let millis = value.seconds.checked_mul(1_000).zip(millis).and_then(|(whole, part)| whole.checked_add(part));
    millis
        .and_then(|millis| Timestamp::from_millis(millis).ok())
        .ok_or_else(|| "out of range; an instant from 1970 to 9999 is wanted".to_owned())
}

/// A length of time in whole milliseconds, 1 s to 24 h.
///
/// # Errors
/// What would be right.
pub fn duration(value: &Duration) -> Result<Span, String> {
    duration_of_at_least(Span::SECOND, value)
}

/// The same, with another least.
///
/// # Errors
/// What is wrong with it and what would be right.
pub fn duration_of_at_least(least: Span, value: &Duration) -> Result<Span, String> {
    let wanted = match least {
        Span::SECOND => "1 s to 24 h is wanted".to_owned(),
        _ => format!("{} ms to 24 h is wanted", least.millis()),
    };
    let sane = value.nanos.checked_abs().is_some_and(|nanos| nanos < 1_000_000_000);
    if !sane || (value.seconds > 0 && value.nanos < 0) || (value.seconds < 0 && value.nanos > 0) {
        return Err("not a duration: seconds and nanos disagree".to_owned());
    }
    if value.seconds < 0 || value.nanos < 0 {
        return Err(format!("negative; {wanted}"));
    }
    if value.nanos.checked_rem(1_000_000) != Some(0) {
        return Err("finer than a millisecond; whole milliseconds are wanted".to_owned());
    }
    let part = i64::from(value.nanos).checked_div(1_000_000);
    let millis = value.seconds.checked_mul(1_000).zip(part).and_then(|(whole, part)| whole.checked_add(part));
    let span = millis.and_then(|millis| Span::from_millis(millis).ok());
    match span {
        Some(Span::ZERO) => Err(format!("zero; {wanted}")),
        Some(span) if span < least => Err(format!("{span}; {wanted}")),
        Some(span) if span <= LONGEST_DURATION => Ok(span),
        Some(span) => Err(format!("{span}; {wanted}")),
        None => Err(format!("out of range; {wanted}")),
    }
}

/// The 32 bytes of a SHA-256 digest.
///
/// # Errors
/// What would be right.
pub fn digest(bytes: &[u8]) -> Result<Digest, String> {
    let array: Result<[u8; 32], _> = bytes.try_into();
    array.map(Digest::from).map_err(|_| format!("{} bytes; the 32 bytes of a SHA-256 digest are wanted", bytes.len()))
}

/// A sequence as it was given out. Clients take it as opaque.
///
/// # Errors
/// What would be right.
pub fn sequence(text: &str) -> Result<Option<SaidSequence>, String> {
    if text.is_empty() {
        return Ok(None);
    }
    let number: Option<u64> = text.parse().ok().filter(|number: &u64| number.to_string() == text);
    if let Some(number) = number {
        return Ok(Some(SaidSequence::Number(number)));
    }
    // As long as a sealed one is, and of its letters; the broker opens it.
    let letters = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    if (64..=128).contains(&text.len()) && text.bytes().all(letters) {
        return Ok(Some(SaidSequence::Sealed(text.to_owned())));
    }
    Err(format!("`{}` is no sequence; pass one back as it was given", excerpt(text)))
}

/// A sequence as a message has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SaidSequence {
    /// A number, as the own organisation reads it.
    Number(u64),
    /// Sealed, as customers read it.
    Sealed(String),
}

/// Renders an instant.
#[must_use]
pub fn pb_timestamp(at: Timestamp) -> PbTimestamp {
    let millis = at.millis();
    let nanos = millis.rem_euclid(1_000).saturating_mul(1_000_000);
    PbTimestamp { seconds: millis.div_euclid(1_000), nanos: i32::try_from(nanos).unwrap_or_default() }
}

/// Renders an end: absent if there is none.
#[must_use]
pub fn pb_end(at: Timestamp) -> Option<PbTimestamp> {
    (at < Timestamp::MAX).then(|| pb_timestamp(at))
}

/// Renders a length of time.
#[must_use]
pub fn pb_duration(span: Span) -> Duration {
    let millis = span.millis();
    let nanos = millis.rem_euclid(1_000).saturating_mul(1_000_000);
    Duration { seconds: millis.div_euclid(1_000), nanos: i32::try_from(nanos).unwrap_or_default() }
}

/// Which thing a Get means: the whole id, or an ending that is unique among what the caller may see.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Named<I> {
    /// The whole id.
    Whole(I),
    /// At least four digits of its end.
    Ending(String),
}

/// Parses an id or an ending of one.
///
/// # Errors
/// What would be right.
pub fn named<I: FromStr>(text: &str) -> Result<Named<I>, String> {
    if let Ok(id) = text.parse() {
        return Ok(Named::Whole(id));
    }
    let digits = text.bytes().filter(u8::is_ascii_hexdigit).count();
    let plain = text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f' | b'-'));
    if plain && digits >= 4 && text.len() < 36 {
        Ok(Named::Ending(text.to_owned()))
    } else {
        Err(format!(
            "`{}` is neither an id nor an ending of one; a UUID in lower case, or at least 4 digits of its end, is wanted",
            excerpt(text)
        ))
    }
}

fn said(error: impl Display) -> String {
    error.to_string()
}

#[cfg(test)]
#[path = "values_tests.rs"]
mod tests;
