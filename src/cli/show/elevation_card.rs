//! `show`: one request, decision first, on 40 columns.

use super::approval::{ApprovalText, ELEVATION_KEYS, Unreadable};
use super::grant_card::marked;
use super::review_card::{Standing, said};
use crate::cli::term::table::card;
use crate::cli::term::text::{ending, instant, quoted, relative, span, when, word};
use crate::domain::value::time::{Span, Timestamp};
use crate::wire::v1::{
    Elevation, ElevationState, FollowUp, Grant, GrantState, Lapse, LapseKind, Review, ReviewContext, Scope,
};

/// The whole card.
///
/// # Errors
/// If the text that is decided on cannot be shown.
pub fn elevation_card(
    width: u16,
    elevation: &Elevation,
    context: Option<&ReviewContext>,
    now: Timestamp,
) -> Result<String, Unreadable> {
    let review = elevation.review.clone().unwrap_or_default();
    let text = ApprovalText::read(&review)?;
    let mut page = card(width, &asked(&text));
    page.push('\n');
    page.push_str(&card(width, &standing(elevation, &review, now)));
    if let Some(context) = context {
        let known = card(width, &weighed(context, now));
        if !known.is_empty() {
            page.push('\n');
            page.push_str(&known);
        }
    }
    page.push('\n');
    page.push_str(&card(width, &[("id", elevation.id.clone()), ("digest", text.digest().to_string())]));
    Ok(page)
}

/// Where a request stands, in a word.
#[must_use]
pub fn state_word(elevation: &Elevation) -> String {
    word(elevation.state().as_str_name(), "ELEVATION_STATE_")
}

fn standing(elevation: &Elevation, review: &Review, now: Timestamp) -> Vec<(&'static str, String)> {
    let standing = Standing {
        state: state_word(elevation),
        is_pending: elevation.state() == ElevationState::Pending,
        create_time: elevation.create_time.as_ref(),
        closing: elevation.closing.as_ref(),
        review,
    };
    let mut lines = standing.lines(now);
    lines.push(("asks as", elevation.requester_role.clone()));
    lines.push(("grant", elevation.grant_id.clone()));
    lines.extend(elevation.follow_up.iter().flat_map(|follow_up| follow_up_lines(follow_up, now)));
    lines
}

/// What an emergency owes, or what was found of it.
fn follow_up_lines(follow_up: &FollowUp, now: Timestamp) -> Vec<(&'static str, String)> {
    let Some(found) = &follow_up.completion else {
        let by: Vec<String> = follow_up.ordinary_stages.iter().flat_map(|stage| stage.by.clone()).collect();
        return vec![("follow-up", format!("{} by {}", owed(follow_up, now), by.join(" or ")))];
    };
    let finding = word(found.finding().as_str_name(), "FOLLOW_UP_FINDING_");
    let time = when(found.time.as_ref(), now);
    vec![("follow-up", format!("{finding}, by {} ({}), {time}: {}", found.person, found.role, quoted(&found.comment)))]
}

fn owed(follow_up: &FollowUp, now: Timestamp) -> String {
    let due = follow_up.due_time.as_ref().and_then(instant);
    match due {
        Some(due) if due.is_over(now) => format!("overdue since {}", when(follow_up.due_time.as_ref(), now)),
        _ => format!("due {}", when(follow_up.due_time.as_ref(), now)),
    }
}

/// What is decided on, from the text alone.
fn asked(text: &ApprovalText) -> Vec<(&str, String)> {
    let (who, person, on_behalf_of) = (text.value("who"), text.value("person"), text.value("on_behalf_of"));
    let who = if who == person { who.to_owned() } else { format!("{who}, of {person}") };
    let start = Some(text.value("start")).filter(|start| *start != "at approval").unwrap_or_default();
    let emergency = Some(text.value("emergency")).filter(|emergency| *emergency != "no").unwrap_or_default();
    let mut lines = vec![
        ("emergency", emergency.to_owned()),
        ("who", who),
        ("for", on_behalf_of.to_owned()),
        ("what", text.value("actions").to_owned()),
        ("where", text.value("resources").to_owned()),
        ("how long", text.value("duration").to_owned()),
        ("from", start.to_owned()),
        ("why", said(text.value("justification"))),
        ("ticket", text.value("ticket").to_owned()),
        ("extends", text.value("extends").to_owned()),
        ("under", text.value("entitlement").to_owned()),
    ];
    lines.extend(text.others(&ELEVATION_KEYS).map(|(key, value)| (key, quoted(value))));
    lines
}

/// What they hold already, and what is unusual.
fn weighed(context: &ReviewContext, now: Timestamp) -> Vec<(&'static str, String)> {
    let mut lines = vec![("roles", context.requester_roles.join(", "))];
    if context.live_grants.is_empty() {
        lines.push(("holds", "nothing now".to_owned()));
    }
    lines.extend(context.live_grants.iter().map(|grant| ("holds", held(grant, now))));
    if context.adds.is_empty() {
        lines.push(("adds", "nothing to what they hold".to_owned()));
    }
    lines.extend(context.adds.iter().map(|scope| ("adds", scope_text(scope))));
    for recent in &context.recent_elevations {
        let state = word(recent.state().as_str_name(), "ELEVATION_STATE_");
        let asked = recent.create_time.as_ref().and_then(instant).map(|at| relative(at, now)).unwrap_or_default();
        let reason = said(&recent.denial_reason);
        let reason = if reason.is_empty() { reason } else { format!(": {reason}") };
        lines.push(("recently", format!("{} {state}, asked {asked}{reason}", recent.entitlement)));
    }
    lines.extend(context.lapses.iter().map(|lapse| ("lapses", lapse_text(lapse, now))));
    lines
}

fn held(grant: &Grant, now: Timestamp) -> String {
    let what = grant.actions.join(" ");
    let places = grant.resources.join(" ");
    match grant.state() {
        GrantState::Scheduled => format!("{what} on {places}, from {}", when(grant.start_time.as_ref(), now)),
        _ if grant.emergency => format!("{what} on {places}, until {}, emergency", when(grant.end_time.as_ref(), now)),
        _ => format!("{what} on {places}, until {}", when(grant.end_time.as_ref(), now)),
    }
}

fn lapse_text(lapse: &Lapse, now: Timestamp) -> String {
    let kind = match lapse.kind() {
        LapseKind::Membership => "membership of ",
        LapseKind::Account => "account ",
        LapseKind::Attestation | LapseKind::Unspecified => "",
    };
    format!("{kind}{}, {}", lapse.name, when(lapse.time.as_ref(), now))
}

fn scope_text(scope: &Scope) -> String {
    format!("{} on {}", scope.actions.join(" "), scope.resources.join(" "))
}

/// One line for a list of requests.
#[must_use]
pub fn elevation_row(elevation: &Elevation, now: Timestamp) -> Vec<String> {
    let deadline = elevation.review.as_ref().and_then(|review| review.deadline.as_ref()).and_then(instant);
    let left = match (elevation.state(), deadline) {
        (ElevationState::Pending, Some(at)) => relative(at, now),
        _ => String::new(),
    };
    let left = match &elevation.follow_up {
        Some(follow_up) if follow_up.completion.is_none() => format!("follow-up {}", owed(follow_up, now)),
        _ => left,
    };
    let length = elevation.duration.as_ref().and_then(span).map_or_else(String::new, |span: Span| span.to_string());
    vec![
        ending(&elevation.id),
        elevation.requester_account.clone(),
        elevation.entitlement.clone(),
        elevation.resources.join(" "),
        length,
        marked(state_word(elevation), elevation.emergency),
        left,
    ]
}

/// The heading of [`elevation_row`].
pub const ELEVATION_HEADING: [&str; 7] = ["id", "who", "entitlement", "where", "how long", "state", "open until"];

#[cfg(test)]
#[path = "elevation_card_tests.rs"]
mod tests;
