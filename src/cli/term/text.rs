//! The small texts: words of people, times, ids, digests.

use crate::clock::{Clock as _, SystemClock};
use crate::domain::value::deceptive::is_deceptive;
use crate::domain::value::time::{Span, Timestamp};

/// The digits of an id that are shown: enough to be unique among what one person sees. Ids share their beginnings.
const ENDING_DIGITS: usize = 8;

/// This machine's clock: for what people read and for when to look again. No broker decides by it.
#[must_use]
pub fn wall_time() -> Timestamp {
    SystemClock.read().wall
}

/// Text on one line, without the characters that could deceive its reader (known failures D2 and H11).
#[must_use]
pub fn clean(text: &str) -> String {
    let spaced = text.replace(['\n', '\t'], " ");
    spaced.chars().filter(|character| !is_deceptive(*character)).collect()
}

/// The same, keeping the lines.
#[must_use]
pub fn clean_lines(text: &str) -> String {
    text.chars().filter(|character| *character == '\n' || !is_deceptive(*character)).collect()
}

/// Somebody's own words, in quotes that they cannot close.
#[must_use]
pub fn quoted(text: &str) -> String {
    format!("\"{}\"", clean(text).replace('"', "'"))
}

/// The instant of a message's field; none if it is out of range.
#[must_use]
pub fn instant(time: &prost_types::Timestamp) -> Option<Timestamp> {
    let millis = time.seconds.checked_mul(1_000)?.checked_add(i64::from(time.nanos).checked_div(1_000_000)?)?;
    Timestamp::from_millis(millis).ok()
}

/// The length of a message's field; none if it is out of range.
#[must_use]
pub fn span(duration: &prost_types::Duration) -> Option<Span> {
    let millis = duration.seconds.checked_mul(1_000)?.checked_add(i64::from(duration.nanos).checked_div(1_000_000)?)?;
    Span::from_millis(millis).ok()
}

/// A length as a message's field.
#[must_use]
pub fn duration_field(span: Span) -> prost_types::Duration {
    let (seconds, millis) = split(span.millis());
    prost_types::Duration { seconds, nanos: millis.saturating_mul(1_000_000) }
}

/// An instant as a message's field.
#[must_use]
pub fn time_field(at: Timestamp) -> prost_types::Timestamp {
    let (seconds, millis) = split(at.millis());
    prost_types::Timestamp { seconds, nanos: millis.saturating_mul(1_000_000) }
}

/// `2026-11-22 21:43:00Z (in 14m)`.
#[must_use]
pub fn when(time: Option<&prost_types::Timestamp>, now: Timestamp) -> String {
    match time.and_then(instant) {
        Some(at) => format!("{} ({})", clock_text(at), relative(at, now)),
        None => String::new(),
    }
}

/// `2026-11-22 21:43:00Z`: always UTC.
#[must_use]
pub fn clock_text(at: Timestamp) -> String {
    let text = at.to_string();
    text.get(..19).map_or_else(|| text.clone(), |seconds| seconds.replace('T', " ") + "Z")
}

/// `in 14m`, `3h ago`, `now`: rounded down, in the largest unit that leaves no doubt.
#[must_use]
pub fn relative(at: Timestamp, now: Timestamp) -> String {
    if at > now {
        format!("in {}", rough(at.since(now)))
    } else if now.since(at) < Span::SECOND {
        "now".to_owned()
    } else {
        format!("{} ago", rough(now.since(at)))
    }
}

/// A length in at most two units: `45s`, `14m`, `1h 5m`, `3d 2h`.
#[must_use]
pub fn rough(span: Span) -> String {
    let seconds = span.millis().checked_div(1_000).unwrap_or_default();
    let unit = |size: i64| seconds.checked_div(size).unwrap_or_default();
    let rest = |size: i64, smaller: i64| {
        seconds.checked_rem(size).and_then(|rest| rest.checked_div(smaller)).unwrap_or_default()
    };
    let two = |whole: i64, name: &str, rest: i64, rest_name: &str| {
        if rest == 0 { format!("{whole}{name}") } else { format!("{whole}{name} {rest}{rest_name}") }
    };
    match seconds {
        ..60 => format!("{seconds}s"),
        60..600 => two(unit(60), "m", rest(60, 1), "s"),
        600..3_600 => format!("{}m", unit(60)),
        3_600..86_400 => two(unit(3_600), "h", rest(3_600, 60), "m"),
        _ => two(unit(86_400), "d", rest(86_400, 3_600), "h"),
    }
}

/// The ending of an id, which every command takes in its place.
#[must_use]
pub fn ending(id: &str) -> String {
    let digits: Vec<char> = id.chars().filter(|character| *character != '-').collect();
    digits.iter().skip(digits.len().saturating_sub(ENDING_DIGITS)).collect()
}

/// `PENDING` of `ELEVATION_STATE_PENDING`, in small letters.
#[must_use]
pub fn word(name: &str, prefix: &str) -> String {
    name.strip_prefix(prefix).unwrap_or(name).to_ascii_lowercase().replace('_', " ")
}

/// Why something is as it is: one of the broker's words in small letters, somebody's text as it came.
#[must_use]
pub fn reason_text(reason: &str) -> String {
    let is_word = reason.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_');
    if is_word { word(reason, "") } else { clean(reason) }
}

fn split(millis: i64) -> (i64, i32) {
    let seconds = millis.div_euclid(1_000);
    (seconds, i32::try_from(millis.rem_euclid(1_000)).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_people_cannot_leave_their_quotes_or_their_line() {
        assert_eq!(quoted("stuck\norders\" approved: \"yes"), "\"stuck orders' approved: 'yes\"");
        assert_eq!(quoted("a\u{202e}b\u{1b}[2Jc\u{200b}"), "\"ab[2Jc\"");
    }

    #[test]
    fn remainders_are_rough_and_rounded_down() {
        let at = |seconds: i64| Timestamp::from_millis(seconds * 1_000).unwrap();
        let texts = [0, 45, 60, 125, 899, 3_600, 3_900, 86_400, 93_600].map(|ahead| relative(at(100 + ahead), at(100)));
        assert_eq!(texts, ["now", "in 45s", "in 1m", "in 2m 5s", "in 14m", "in 1h", "in 1h 5m", "in 1d", "in 1d 2h"]);
        assert_eq!(relative(at(10), at(100)), "1m 30s ago");
        assert_eq!(clock_text(at(1_700_000_000)), "2023-11-14 22:13:20Z");
    }

    #[test]
    fn fields_of_time_go_both_ways() {
        for millis in [0, 1, 999, 1_000, 1_234_567_890_123] {
            let at = Timestamp::from_millis(millis).unwrap();
            assert_eq!(instant(&time_field(at)), Some(at));
            let length = Span::from_millis(millis.min(Span::MAX.millis())).unwrap();
            assert_eq!(span(&duration_field(length)), Some(length));
        }
        assert_eq!(instant(&prost_types::Timestamp { seconds: i64::MAX, nanos: 0 }), None);
        assert_eq!(span(&prost_types::Duration { seconds: -1, nanos: 0 }), None);
    }

    #[test]
    fn a_reason_is_a_word_of_the_broker_or_a_text() {
        assert_eq!(reason_text("NOT_IN_DIRECTORY"), "not in directory");
        assert_eq!(
            reason_text("`db-training` lapsed at 2026-11-23T02:50Z"),
            "`db-training` lapsed at 2026-11-23T02:50Z"
        );
    }

    #[test]
    fn an_ending_has_digits_alone() {
        assert_eq!(ending("0193a1b2-0000-7000-8000-00000012ab34"), "0012ab34");
        assert_eq!(ending("12"), "12");
    }
}
