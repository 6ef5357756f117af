//! `hr apply`, `hr import`, single events, `hr status`, `hr retire`.

use std::path::Path;

use prost::Message as _;

use super::arguments::{ApplyArguments, ImportArguments, PeopleFormat, PlaceArguments, RetireArguments};
use super::file::{LineMistake, PersonEvent, parse_events};
use super::hold::{hold_json, hold_row, whole};
use crate::cli::connect::change::ChangeArguments;
use crate::cli::connect::session::Session;
use crate::cli::show::effects::effect_lines;
use crate::cli::show::mistakes::mistake_lines;
use crate::cli::term::failure::{Exit, Failure, Ran, read_file, read_text};
use crate::cli::term::json;
use crate::cli::term::table::{card, rows};
use crate::cli::term::text::{ending, when};
use crate::domain::value::time::Timestamp;
use crate::wire::v1::{
    ApplyHrEventsRequest, ApplyHrEventsResponse, EventSetAside, FeedHold, FeedStream, GetFeedStatusRequest,
    GetFeedStatusResponse, ImportHeader, ImportPeopleResponse, PeopleFormat as WireFormat, RetireStreamRequest,
    StreamPlace,
};

/// What the broker reads as one message, with room for the frame.
const LONGEST_MESSAGE_BYTES: usize = 60 * 1024;

/// Runs `hr apply`.
///
/// # Errors
/// If the file has mistakes, or the broker refuses.
pub(super) async fn apply_file(session: &mut Session<'_>, arguments: &ApplyArguments) -> Ran {
    let name = arguments.file.display().to_string();
    let events = match parse_events(&read_text(&arguments.file)?) {
        Ok(events) => events,
        Err(mistakes) => return not_read(session, &name, &mistakes),
    };
    let count = events.len();
    let done = format!("{count} events of `{name}` are applied");
    apply(session, events, arguments.place.clone(), &arguments.change, &done).await
}

/// Applies events, all or none.
///
/// # Errors
/// If the broker refuses.
pub(super) async fn apply(
    session: &mut Session<'_>,
    events: Vec<PersonEvent>,
    place: PlaceArguments,
    change: &ChangeArguments,
    done: &str,
) -> Ran {
    let request = ApplyHrEventsRequest {
        request_id: change.id(),
        place: place.stream.map(|stream| StreamPlace { stream, number: place.number.unwrap_or_default() }),
        events: events.into_iter().map(PersonEvent::message).collect(),
        validate_only: change.dry_run,
    };
    let bytes = request.encoded_len();
    if bytes > LONGEST_MESSAGE_BYTES {
        let text = format!(
            "{} events are {bytes} bytes; at most {LONGEST_MESSAGE_BYTES} go at once, all or none: give them in parts, \
             numbered on with `--number`, or everybody by `countersign hr import`",
            request.events.len()
        );
        return Err(Failure::Usage(text));
    }
    let answer = session.client.apply_hr_events(request.clone()).await;
    let answer = change.answered(session, answer, &request.request_id)?;
    let done = after(&answer, request.events.len(), done);
    if change.dry_run && (!answer.set_aside.is_empty() || !answer.hold_id.is_empty()) {
        session.output.note(&waits(&answer, true));
    }
    change.show_effects(session, answer.effects.as_ref(), || json::of(&answer), &done)
}

/// What was done, unless it was known before or is held.
fn after(answer: &ApplyHrEventsResponse, count: usize, done: &str) -> String {
    let skipped = usize::try_from(answer.skipped_count).unwrap_or(usize::MAX);
    if !answer.set_aside.is_empty() || !answer.hold_id.is_empty() {
        return waits(answer, false);
    }
    if count > 0 && skipped >= count {
        return "nothing new: the stream was heard that far before".to_owned();
    }
    match skipped {
        0 => done.to_owned(),
        skipped => format!("{done}; {skipped} had been heard before"),
    }
}

fn waits(answer: &ApplyHrEventsResponse, dry_run: bool) -> String {
    let mut text = aside_and_held(&answer.set_aside, &answer.hold_id, &answer.in_force_persons, dry_run);
    if !answer.suspended_person.is_empty() {
        let is = if dry_run { "would be" } else { "is" };
        text.push_str(&format!("\n`{}` {is} stopped by a lock until then", answer.suspended_person));
    }
    text
}

/// What could not happen, what waits for a person, and whose leaving is in force though it waits as well.
fn aside_and_held(all: &[EventSetAside], hold_id: &str, in_force: &[String], dry_run: bool) -> String {
    let mut parts = Vec::new();
    if !all.is_empty() {
        parts.push(aside(all, dry_run));
    }
    if !hold_id.is_empty() {
        parts.push(held(hold_id, dry_run));
    }
    if !in_force.is_empty() {
        let persons: Vec<String> = in_force.iter().map(|person| format!("`{person}`")).collect();
        let is = if dry_run { "would be" } else { "is" };
        parts.push(format!(
            "the leaving of {} {is} in force; it comes once more after what is held of them, so that nothing takes it back",
            persons.join(", ")
        ));
    }
    parts.join("\n")
}

/// What could not happen, a line each. A dry run has made no hold.
fn aside(all: &[EventSetAside], dry_run: bool) -> String {
    let line = |it: &EventSetAside| {
        let (number, person, why) = (it.number, &it.person, format!("{}: {}", it.reason, it.text));
        match dry_run {
            true => format!("{number} of `{person}` would be set aside ({why})\n"),
            false => format!("{number} of `{person}` is set aside ({why}), held as {}\n", ending(&it.hold_id)),
        }
    };
    let lines: String = all.iter().map(line).collect();
    let went = if dry_run { "would go" } else { "went" };
    format!(
        "{lines}the stream {went} on past it; somebody with `feed.release` decides, by `countersign hr release ID` once it can \
         happen, or `countersign hr discard ID`"
    )
}

fn held(hold_id: &str, dry_run: bool) -> String {
    let id = if dry_run { "ID".to_owned() } else { ending(hold_id) };
    let is = if dry_run { "would be" } else { "is" };
    format!(
        "a part {is} held: what is too much at once, what gives somebody what another has or had, what widens the standing of \
         whoever sends it, or what comes after something that waits; somebody with `feed.release` reads it and decides, by \
         `countersign hr release {id}` or `countersign hr discard {id}`"
    )
}

/// Runs `hr import`.
///
/// # Errors
/// If the broker refuses. Mistakes in the file are an answer.
pub(super) async fn import(session: &mut Session<'_>, arguments: ImportArguments) -> Ran {
    let format = arguments.format.or_else(|| by_ending(&arguments.file));
    let format = format.ok_or_else(|| {
        let text = format!("`{}` does not say how it is written: add `--format`", arguments.file.display());
        Failure::Usage(text)
    })?;
    let file = read_file(&arguments.file)?;
    let change = arguments.change;
    let header = ImportHeader {
        request_id: change.id(),
        place: Some(StreamPlace { stream: arguments.stream, number: arguments.number }),
        format: format.wire().into(),
        validate_only: change.dry_run,
    };
    let request_id = header.request_id.clone();
    let answer = session.client.import_people(header, &file).await;
    let answer = change.answered(session, answer, &request_id)?;
    let name = arguments.file.display().to_string();
    let now = session.now;
    session.output.data(|width| import_page(width, &name, &answer, now), || json::of(&answer))?;
    if !answer.mistakes.is_empty() {
        session.output.note(&format!("{} mistakes; nothing was changed", answer.mistakes.len()));
        return Ok(Exit::Failed);
    }
    session.output.note(&imported(&name, &answer, change.dry_run));
    Ok(Exit::Yes)
}

fn imported(name: &str, answer: &ImportPeopleResponse, dry_run: bool) -> String {
    let waits = aside_and_held(&answer.set_aside, &answer.hold_id, &answer.in_force_persons, dry_run);
    match (dry_run, waits.is_empty()) {
        (true, true) => "nothing was changed: this is what it would do".to_owned(),
        (true, false) => format!("{waits}\nnothing was changed: this is what it would do"),
        (false, true) => format!("the directory agrees with `{name}`"),
        (false, false) => format!("{} events are applied; {waits}", answer.applied_count),
    }
}

fn import_page(width: u16, name: &str, answer: &ImportPeopleResponse, now: Timestamp) -> String {
    let mut page = mistake_lines(name, "error", &answer.mistakes);
    if answer.mistakes.is_empty() {
        let mut lines = vec![
            ("people", answer.people_count.to_string()),
            ("events", format!("{} to apply, {} to hold", answer.applied_count, answer.held_count)),
        ];
        if answer.set_aside_count > 0 {
            lines.push(("set aside", answer.set_aside_count.to_string()));
        }
        lines.extend(effect_lines(&answer.effects.clone().unwrap_or_default(), now));
        page.push_str(&card(width, &lines));
    }
    page
}

fn by_ending(file: &Path) -> Option<PeopleFormat> {
    match file.extension().and_then(|ending| ending.to_str()).map(str::to_ascii_lowercase).as_deref() {
        Some("csv") => Some(PeopleFormat::Csv),
        Some("jsonl" | "ndjson") => Some(PeopleFormat::JsonLines),
        _ => None,
    }
}

impl PeopleFormat {
    fn wire(self) -> WireFormat {
        match self {
            Self::JsonLines => WireFormat::JsonLines,
            Self::Csv => WireFormat::Csv,
        }
    }
}

/// Runs `hr status`.
///
/// # Errors
/// If the broker refuses.
pub(super) async fn status(session: &mut Session<'_>) -> Ran {
    let mut answer = session.client.get_feed_status(GetFeedStatusRequest {}).await?;
    if session.output.is_json() {
        // JSON has each hold's digest, so the events that it is over are fetched whole.
        for hold in &mut answer.holds {
            *hold = whole(session, std::mem::take(hold)).await?;
        }
    }
    let now = session.now;
    session.output.data(|width| status_page(width, &answer, now), || status_json(&answer))?;
    let silent: Vec<_> = answer.streams.iter().filter(|stream| stream.silent).map(|it| it.stream.as_str()).collect();
    if !silent.is_empty() {
        session.output.note(&format!(
            "no new grants while {} is silent: mend the feed, or `countersign hr retire STREAM`",
            silent.join(", ")
        ));
    }
    if let [first, ..] = answer.holds.as_slice() {
        let id = ending(&first.id);
        session.output.note(&format!("`countersign hr release {id}` shows what is held, and asks"));
    }
    Ok(Exit::Yes)
}

const STREAM_HEADING: [&str; 5] = ["stream", "sent by", "last", "heard", "silent from"];
const HOLD_HEADING: [&str; 6] = ["held", "sent by", "stream", "events", "since", "why"];

fn status_page(width: u16, answer: &GetFeedStatusResponse, now: Timestamp) -> String {
    let streams = rows(width, &STREAM_HEADING, answer.streams.iter().map(|it| stream_row(it, now)).collect());
    let holds = rows(
        width,
        &HOLD_HEADING,
        (0..).zip(&answer.holds).map(|(at, it)| hold_row(it, before(&answer.holds, at, it), now)).collect(),
    );
    let brake = card(
        width,
        &[(
            "brake",
            format!(
                "{} in 24h; {} more may be enabled, {} more disabled",
                if answer.brake_limit == 1 { "1 person".to_owned() } else { format!("{} people", answer.brake_limit) },
                answer.enabling_left,
                answer.disabling_left
            ),
        )],
    );
    let more = match answer.omitted_hold_count {
        0 => String::new(),
        count => format!("and {count} more, shown once older ones are decided\n"),
    };
    let parts = [streams, holds + &more, brake];
    parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join("\n")
}

/// The first hold before this one that is about one of the same persons.
fn before<'a>(holds: &'a [FeedHold], at: usize, hold: &FeedHold) -> Option<&'a FeedHold> {
    let is_about = |earlier: &&FeedHold| {
        earlier.events.iter().any(|event| hold.events.iter().any(|later| later.person == event.person))
    };
    holds.iter().take(at).find(is_about)
}

fn stream_row(stream: &FeedStream, now: Timestamp) -> Vec<String> {
    let silent = when(stream.silent_time.as_ref(), now);
    vec![
        stream.stream.clone(),
        stream.sender.clone(),
        stream.last_number.to_string(),
        when(stream.heard_time.as_ref(), now),
        if stream.silent { format!("SILENT since {silent}") } else { silent },
    ]
}

fn status_json(answer: &GetFeedStatusResponse) -> serde_json::Value {
    let mut value = json::of(answer);
    if let Some(object) = value.as_object_mut() {
        object.insert("holds".to_owned(), answer.holds.iter().map(hold_json).collect());
    }
    value
}

/// Runs `hr retire`.
///
/// # Errors
/// If the broker refuses.
pub(super) async fn retire(session: &mut Session<'_>, arguments: RetireArguments) -> Ran {
    let change = arguments.change;
    let request = RetireStreamRequest {
        request_id: change.id(),
        stream: arguments.stream,
        reason: arguments.reason,
        validate_only: change.dry_run,
    };
    let answer = session.client.retire_stream(request.clone()).await;
    let answer = change.answered(session, answer, &request.request_id)?;
    let stream = &request.stream;
    let done = format!("`{stream}` is expected no more: its silence stops nothing any longer");
    change.show_effects(session, None, || json::of(&answer), &done)
}

/// Shows the mistakes as editors read them; nothing was sent.
fn not_read(session: &mut Session<'_>, name: &str, mistakes: &[LineMistake]) -> Ran {
    let text = || mistakes.iter().map(|it| format!("{name}:{}: error: {}\n", it.line, it.text)).collect::<String>();
    let value = || mistakes.iter().map(|it| serde_json::json!({ "line": it.line, "text": it.text })).collect();
    session
        .output
        .data(|_| text(), || serde_json::json!({ "mistakes": serde_json::Value::from_iter::<Vec<_>>(value()) }))?;
    session.output.note(&format!("{} mistakes; nothing was sent", mistakes.len()));
    Ok(Exit::Failed)
}

#[cfg(test)]
#[path = "feed_tests.rs"]
mod tests;
