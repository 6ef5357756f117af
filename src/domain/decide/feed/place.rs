//! Places in a stream: repeated numbers change nothing, and missing ones are refused (known failure B4).

use super::super::caller::Caller;
use crate::domain::record::hr::{HrEvent, StreamPlace};
use crate::domain::state::State;
use crate::domain::value::refusal::{Reason, Refusal};

/// What is new in a command.
pub(super) struct Arrival<'a> {
    /// How far the stream reaches with it; none if it advances no stream.
    pub(super) heard: Option<StreamPlace>,
    /// Each with its own place.
    pub(super) fresh: Vec<(Option<StreamPlace>, &'a HrEvent)>,
}

/// The new ones among numbered events: those up to the stream's last number are repetitions. A heartbeat names the next
/// number and uses none.
///
/// # Errors
/// `FEED_OF_ANOTHER`, `FEED_GAP`, `FEED_OLD` (a heartbeat of a source that lags), `INVALID_MESSAGE`.
pub(super) fn of_events<'a>(
    state: &State,
    caller: &Caller<'_>,
    place: Option<&StreamPlace>,
    events: &'a [HrEvent],
) -> Result<Arrival<'a>, Refusal> {
    let unnumbered = || events.iter().map(|event| (None, event)).collect();
    let Some(place) = place else {
        if events.is_empty() {
            return Err(Refusal::new(Reason::InvalidMessage, "without a stream there is at least one event"));
        }
        return Ok(Arrival { heard: None, fresh: unnumbered() });
    };
    let last = last_number(state, caller, place)?;
    let next = last.saturating_add(1);
    if place.number > next {
        // An urgent leaving is applied although earlier numbers are missing. When it comes again in its place it
        // changes nothing.
        return match events {
            [event] if event.change.is_urgent() => Ok(Arrival { heard: None, fresh: unnumbered() }),
            _ => Err(gap(place, next)),
        };
    }
    let Some(first) = events.first() else {
        return if place.number < next {
            Err(old(place, next))
        } else {
            Ok(Arrival { heard: Some(StreamPlace { stream: place.stream.clone(), number: last }), fresh: Vec::new() })
        };
    };
    let numbered = (place.number..).zip(std::iter::once(first).chain(events.iter().skip(1)));
    let mut reaches = place.number;
    let mut fresh = Vec::new();
    for (number, event) in numbered {
        reaches = number;
        if number > last {
            fresh.push((Some(StreamPlace { stream: place.stream.clone(), number }), event));
        }
    }
    Ok(Arrival { heard: Some(StreamPlace { stream: place.stream.clone(), number: reaches }), fresh })
}

/// Checks the number of a whole file, which must be the next one. Only one stream may send whole files, because whoever
/// is missing from one has left.
///
/// # Errors
/// `FEED_OF_ANOTHER`, `FEED_GAP`, `FEED_OLD`.
pub(super) fn of_import(state: &State, caller: &Caller<'_>, place: &StreamPlace) -> Result<(), Refusal> {
    let next = last_number(state, caller, place)?.saturating_add(1);
    if let Some((other, _)) = state.feeds.iter().find(|(stream, feed)| feed.whole_files && **stream != place.stream) {
        let detail = format!("whole files come in `{other}`, and who is not in `{}` would leave", place.stream);
        return Err(Refusal::new(Reason::FeedOfAnother, detail).with("stream", other));
    }
    match place.number.cmp(&next) {
        std::cmp::Ordering::Less => Err(old(place, next)),
        std::cmp::Ordering::Equal => Ok(()),
        std::cmp::Ordering::Greater => Err(gap(place, next)),
    }
}

fn last_number(state: &State, caller: &Caller<'_>, place: &StreamPlace) -> Result<u64, Refusal> {
    let stream = &place.stream;
    if place.number == 0 {
        return Err(Refusal::new(Reason::InvalidMessage, "the numbers of a stream begin with 1"));
    }
    match state.feeds.get(stream) {
        // The numbers of a retired stream stay used, whichever account continues it.
        None => Ok(state.retired_feeds.get(stream).copied().unwrap_or_default()),
        Some(feed) if feed.sender == *caller.account => Ok(feed.last_number),
        Some(_) => Err(Refusal::new(Reason::FeedOfAnother, format!("`{stream}`")).with("stream", stream)),
    }
}

fn gap(place: &StreamPlace, next: u64) -> Refusal {
    let detail = format!("`{}` goes on with {next}, and {} came", place.stream, place.number);
    Refusal::new(Reason::FeedGap, detail).with("stream", &place.stream).with("next", next)
}

fn old(place: &StreamPlace, next: u64) -> Refusal {
    let detail = format!("`{}` goes on with {next}, and {} came", place.stream, place.number);
    Refusal::new(Reason::FeedOld, detail).with("stream", &place.stream).with("next", next)
}
