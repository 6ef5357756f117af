//! `hr release` and `hr discard`: what the brake holds is shown whole, from the very bytes that the digest is over, and the
//! person types the end of its id; without a terminal the digest is named (known failures A16 and B4).

use std::collections::BTreeSet;

use serde_json::{Value, json as value};

use super::arguments::HoldArguments;
use crate::cli::connect::confirm::typed_ending;
use crate::cli::connect::session::Session;
use crate::cli::term::failure::{Failure, Ran};
use crate::cli::term::json;
use crate::cli::term::table::{card, rows};
use crate::cli::term::text::{clock_text, ending, when};
use crate::domain::record::hr::{HrChange, HrEvent};
use crate::domain::value::ids::{Digest, Identity, PersonId};
use crate::domain::value::time::Timestamp;
use crate::wire::hr_event::hr_event;
use crate::wire::v1::{FeedHold, GetFeedStatusRequest, IdentityMove, ReleaseBrakeRequest, ReleaseBrakeResponse};

/// What becomes of what is held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Decision {
    /// It is let through.
    Release,
    /// It is thrown away.
    Discard,
}

/// Runs `hr release` and `hr discard`.
///
/// # Errors
/// If there is no such hold, it is not confirmed, or the broker refuses.
pub(super) async fn decide(session: &mut Session<'_>, arguments: HoldArguments, decision: Decision) -> Ran {
    let status = session.client.get_feed_status(GetFeedStatusRequest {}).await?;
    let hold = &whole(session, find(&status.holds, &arguments.hold)?.clone()).await?;
    let held = Held::read(hold)?;
    let digest = match arguments.digest {
        // The broker compares it, so that other events have one reason on every surface.
        Some(digest) => digest,
        None if arguments.change.dry_run => {
            session.output.note(&page(session.output.width(), hold, &held, session.now));
            held.digest
        }
        None => {
            confirm(session, hold, &held, decision)?;
            held.digest
        }
    };
    let change = arguments.change;
    let request = ReleaseBrakeRequest {
        request_id: change.id(),
        hold_id: hold.id.clone(),
        digest: digest.bytes().to_vec(),
        discard: decision == Decision::Discard,
        reason: arguments.reason,
        validate_only: change.dry_run,
    };
    let answer = session.client.release_brake(request.clone()).await;
    let answer = change.answered(session, answer, &request.request_id)?;
    let done = match decision {
        Decision::Release => released(&answer, &held.events, change.dry_run),
        Decision::Discard => {
            "discarded: none of it is applied; what is true nevertheless must be sent again".to_owned()
        }
    };
    if change.dry_run && answer.left_out_count > 0 {
        session.output.note(&done);
    }
    change.show_effects(session, answer.effects.as_ref(), || json::of(&answer), &done)
}

/// How much of it was applied, and what no longer applied: each by itself, as far as the answer names them.
fn released(answer: &ReleaseBrakeResponse, held: &[HrEvent], dry_run: bool) -> String {
    let (applied, left_out) = (answer.applied_count, answer.left_out_count);
    if left_out == 0 {
        return format!("released: all {applied} events are applied, in their order");
    }
    let would = if dry_run { "would be" } else { "were" };
    let mut text = format!(
        "released: of {} events {applied} {would} applied, in their order; {left_out} no longer apply and {would} left out:",
        applied.saturating_add(left_out)
    );
    // They come in the order of what is held, where those that were applied lie between them.
    let mut rest = held.iter();
    for told in &answer.left_out {
        let Some(event) = rest.find(|event| hr_event(event) == *told) else { break };
        text.push_str("\n  ");
        text.push_str(event_row(event).join(" ").trim_end());
    }
    let omitted = usize::try_from(left_out).unwrap_or(usize::MAX).saturating_sub(answer.left_out.len());
    if omitted > 0 {
        text.push_str(&format!("\n  and {omitted} more"));
    }
    text
}

/// The one hold that is meant.
fn find<'a>(holds: &'a [FeedHold], id: &str) -> Result<&'a FeedHold, Failure> {
    // As short an ending as the broker takes elsewhere.
    let mut found = holds.iter().filter(|hold| hold.id == id || (id.len() >= 4 && hold.id.ends_with(id)));
    match (found.next(), found.next()) {
        (Some(hold), None) => Ok(hold),
        (None, _) => Err(Failure::NotFound(format!(
            "the brake holds nothing whose id ends in `{id}`; `countersign hr status` lists it"
        ))),
        (Some(_), Some(_)) => Err(Failure::Usage(format!("several holds end in `{id}`; give more digits"))),
    }
}

/// A hold with all that it holds: what is too long for the list of holds is fetched by itself.
///
/// # Errors
/// If the broker refuses.
pub(super) async fn whole(session: &Session<'_>, hold: FeedHold) -> Result<FeedHold, Failure> {
    if !hold.events_json.is_empty() {
        return Ok(hold);
    }
    let events_json = session.client.held_events(&hold.id).await?;
    Ok(FeedHold { events_json, ..hold })
}

/// What is held, as the digest is over it.
#[derive(Debug)]
struct Held {
    events: Vec<HrEvent>,
    digest: Digest,
}

impl Held {
    fn read(hold: &FeedHold) -> Result<Self, Failure> {
        let events = serde_json::from_slice(&hold.events_json).map_err(|_| {
            let text = "what is held is not in a form that this version can show; nothing was decided";
            Failure::Failed(text.to_owned())
        })?;
        Ok(Self { events, digest: Digest::of(&hold.events_json) })
    }
}

fn confirm(session: &mut Session<'_>, hold: &FeedHold, held: &Held, decision: Decision) -> Result<(), Failure> {
    if !session.output.can_ask() {
        let text = "there is no terminal to ask at: add `--digest`, as `countersign hr status -o json` shows it";
        return Err(Failure::Usage(text.to_owned()));
    }
    let page = page(session.output.width(), hold, held, session.now);
    session.output.note(&page);
    let what = match decision {
        Decision::Release => "let all of this through",
        Decision::Discard => "throw all of this away",
    };
    typed_ending(session, what, &hold.id, "nothing was decided")
}

const EVENT_HEADING: [&str; 3] = ["person", "what", "detail"];

fn page(width: u16, hold: &FeedHold, held: &Held, now: Timestamp) -> String {
    let stream = if hold.stream.is_empty() { String::new() } else { format!(", in `{}`", hold.stream) };
    let mut lines = vec![
        ("held", when(hold.held_time.as_ref(), now)),
        ("sent by", format!("{}{stream}", hold.sender)),
        ("events", held.events.len().to_string()),
    ];
    if !hold.reason.is_empty() {
        lines.push(("set aside", format!("number {}: {}: {}", hold.number, hold.reason, hold.text)));
    }
    if !hold.lock_id.is_empty() {
        lines.push(("suspended", format!("until this is decided, by the lock {}", ending(&hold.lock_id))));
    }
    let moves: Vec<String> = hold.moves.iter().map(identity_moves).collect();
    lines.extend(moves.into_iter().map(|it| ("moves", it)));
    let events = rows(width, &EVENT_HEADING, held.events.iter().map(event_row).collect());
    let ids = [("id", hold.id.clone()), ("digest", held.digest.to_string())];
    format!("{}\n{events}\n{}", card(width, &lines), card(width, &ids))
}

fn identity_moves(it: &IdentityMove) -> String {
    let IdentityMove { identity, from_persons, to_person } = it;
    let from = from_persons.join(" and ");
    format!("{identity}: {from} has it, or had it within 180 days; {to_person} would have it; none of them lets it go")
}

fn event_row(event: &HrEvent) -> Vec<String> {
    let identities = |login: &BTreeSet<Identity>| login.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ");
    let manager =
        |manager: &Option<PersonId>| manager.as_ref().map_or_else(|| "nobody".to_owned(), ToString::to_string);
    let (what, detail) = match &event.change {
        HrChange::Joined { login, manager: of } => ("joins", format!("manager {}; {}", manager(of), identities(login))),
        HrChange::Renamed { login } => ("is meant by", identities(login)),
        HrChange::LoginsChanged { added, removed } => {
            let part = |word: &str, login: &BTreeSet<Identity>| {
                Some(format!("{word} {}", identities(login))).filter(|_| !login.is_empty())
            };
            let parts = [part("also by", added), part("no longer by", removed)];
            ("is meant", parts.into_iter().flatten().collect::<Vec<_>>().join("; "))
        }
        HrChange::Transferred { manager: to, at } => ("moves", format!("to {} from {}", manager(to), clock_text(*at))),
        HrChange::Left { at, urgent, also_approved } => {
            let at = if *urgent { "at once".to_owned() } else { clock_text(*at) };
            let also = if *also_approved { ", with the grants that they approved" } else { "" };
            ("leaves", format!("{at}{also}"))
        }
        HrChange::Stays => ("stays", String::new()),
        HrChange::Roles { roles } => {
            ("has the roles", roles.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "))
        }
    };
    vec![event.person.to_string(), what.to_owned(), detail]
}

/// One line for a list of what is held.
pub(super) fn hold_row(hold: &FeedHold, before: Option<&FeedHold>, now: Timestamp) -> Vec<String> {
    let why = match (before, hold.reason.is_empty()) {
        (_, false) => format!("{} at {}", hold.reason, hold.number),
        _ if !hold.moves.is_empty() => "an identity moves".to_owned(),
        (Some(before), true) => format!("comes after {}", ending(&before.id)),
        (None, true) => "the brake".to_owned(),
    };
    vec![
        ending(&hold.id),
        hold.sender.clone(),
        hold.stream.clone(),
        hold.event_count.to_string(),
        when(hold.held_time.as_ref(), now),
        why,
    ]
}

/// The hold, with the bytes that the digest is over as a text, and the digest that this client computed: the one that
/// `--digest` wants.
pub(super) fn hold_json(hold: &FeedHold) -> Value {
    let mut object = json::of(hold);
    if let Some(object) = object.as_object_mut() {
        object.insert("digest".to_owned(), value!(Digest::of(&hold.events_json).to_string()));
        object.insert("events_json".to_owned(), value!(String::from_utf8_lossy(&hold.events_json)));
    }
    object
}

#[cfg(test)]
#[path = "hold_tests.rs"]
mod tests;
