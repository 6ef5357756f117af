//! `show`: one request, decision first, on 40 columns.

use super::approval::{ApprovalText, Unreadable};
use super::table::card;
use super::text::{ending, instant, quoted, relative, span, when, word};
use crate::domain::time::{Span, Timestamp};
use crate::wire::v1::{
    Decision, DecisionKind, Elevation, ElevationState, Grant, GrantState, Lapse, LapseKind, Review, ReviewContext,
    Scope,
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

/// What is decided on, from the text alone.
fn asked(text: &ApprovalText) -> Vec<(&str, String)> {
    let (who, person, on_behalf_of) = (text.value("who"), text.value("person"), text.value("on_behalf_of"));
    let who = if who == person { who.to_owned() } else { format!("{who}, of {person}") };
    let start = Some(text.value("start")).filter(|start| *start != "at approval").unwrap_or_default();
    let emergency = Some(text.value("emergency")).filter(|emergency| *emergency != "no").unwrap_or_default();
    let mut lines = vec![
        ("who", who),
        ("for", on_behalf_of.to_owned()),
        ("what", text.value("actions").to_owned()),
        ("where", text.value("resources").to_owned()),
        ("how long", text.value("duration").to_owned()),
        ("from", start.to_owned()),
        ("why", said(text.value("justification"))),
        ("ticket", text.value("ticket").to_owned()),
        ("extends", text.value("extends").to_owned()),
        ("emergency", emergency.to_owned()),
        ("under", text.value("entitlement").to_owned()),
    ];
    lines.extend(text.others().map(|(key, value)| (key, quoted(value))));
    lines
}

fn standing(elevation: &Elevation, review: &Review, now: Timestamp) -> Vec<(&'static str, String)> {
    let mut lines = vec![("state", state_word(elevation)), ("asked", when(elevation.create_time.as_ref(), now))];
    if elevation.state() == ElevationState::Pending {
        lines.push(("open until", when(review.deadline.as_ref(), now)));
    }
    for (number, stage) in (1_u32..).zip(&review.stages) {
        let open = if number == review.open_stage { ", open now" } else { "" };
        let by = stage.by.join(" or ");
        lines.push(("needs", format!("{} of {} by {by}{open}", stage.approved_count, stage.required_count)));
    }
    lines.extend(review.decisions.iter().map(|decision| ("decided", decided(decision, now))));
    for missing in review.no_approver.iter().flat_map(|no_approver| &no_approver.missing) {
        let by = missing.by.join(" or ");
        lines.push(("nobody", format!("stage {} lacks {} by {by}", missing.stage, missing.missing_count)));
    }
    if let Some(closing) = &elevation.closing {
        let cause = word(&closing.cause, "");
        lines.push(("closed", format!("{}, by {}: {cause}", when(closing.time.as_ref(), now), closing.actor)));
        lines.push(("they said", said(&closing.comment)));
    }
    lines.push(("grant", elevation.grant_id.clone()));
    lines
}

fn decided(decision: &Decision, now: Timestamp) -> String {
    let verb = match decision.kind() {
        DecisionKind::Approved => "approved",
        DecisionKind::Denied => "denied",
        DecisionKind::Unspecified => "decided",
    };
    let mut text = format!("{verb} by {} ({})", decision.person, decision.role);
    if let Some(time) = decision.time.as_ref().and_then(instant) {
        text.push_str(&format!(", {}", relative(time, now)));
    }
    if let Some(struck_out) = &decision.struck_out {
        text.push_str(&format!("; no longer counts: {}", word(&struck_out.reason, "")));
    }
    if !decision.comment.is_empty() {
        text.push_str(&format!(": {}", quoted(&decision.comment)));
    }
    text
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

fn said(words: &str) -> String {
    if words.is_empty() { String::new() } else { quoted(words) }
}

/// One line for a list of requests.
#[must_use]
pub fn elevation_row(elevation: &Elevation, now: Timestamp) -> Vec<String> {
    let deadline = elevation.review.as_ref().and_then(|review| review.deadline.as_ref()).and_then(instant);
    let left = match (elevation.state(), deadline) {
        (ElevationState::Pending, Some(at)) => relative(at, now),
        _ => String::new(),
    };
    let length = elevation.duration.as_ref().and_then(span).map_or_else(String::new, |span: Span| span.to_string());
    vec![
        ending(&elevation.id),
        elevation.requester_account.clone(),
        elevation.entitlement.clone(),
        elevation.resources.join(" "),
        length,
        state_word(elevation),
        left,
    ]
}

/// The heading of [`elevation_row`].
pub const ELEVATION_HEADING: [&str; 7] = ["id", "who", "entitlement", "where", "how long", "state", "open until"];

#[cfg(test)]
#[path = "elevation_card_tests.rs"]
mod tests;
