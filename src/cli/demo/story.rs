//! The promise itself: nobody has privilege, ana asks, cannot approve it, ben approves what ben has read, and the
//! service that guards the database asks before it acts.

use anyhow::{Context, Result};

use super::cast::{Cast, Question, Wish, ending, state, timestamp, verdict};
use super::narrator::{Answer, Narrator, seconds};
use crate::domain::value::ids::Digest;
use crate::domain::value::time::{Span, Timestamp};
use crate::wire::v1;

/// What ana asks for: four seconds, so that the story sees them end.
const REPAIR: Wish = Wish {
    entitlement: "orders-db-repair",
    actions: &["db.read", "db.write"],
    resource: "prod/eu/db/orders/primary",
    duration: Span::seconds(4),
    justification: "orders are stuck after the failover",
    ticket: "INC-4711",
};
/// What the service asks about.
pub(super) const REPAIR_QUESTION: Question =
    Question { subject: "ana", action: "db.write", resource: "prod/eu/db/orders/primary" };

/// A grant that the story comes back to.
pub(super) struct Held {
    pub(super) id: String,
    pub(super) start: Timestamp,
    pub(super) end: Timestamp,
}

pub(super) async fn nobody_has_privilege(narrator: &mut Narrator<'_>, cast: &Cast) -> Result<()> {
    narrator.step("Nobody holds privilege by standing right")?;
    let mut held = Ok(0_usize);
    let mut roles = Vec::new();
    for actor in cast.people() {
        let who = actor.client.who_am_i(v1::WhoAmIRequest {}).await;
        let who = who.with_context(|| format!("whoami of `{}`", actor.account))?;
        roles.push(format!("{}: {}", actor.account, roles_of(&who)));
        let grants = actor.grants().await.map(|grants| grants.len());
        held = held.and_then(|sum| grants.map(|grants| sum.saturating_add(grants)));
    }
    let answer = Answer::of(&held, |held| Answer::new(format!("{held} grants"), ""));
    narrator.answer("each of five accounts: whoami, grants", &answer, "0 grants")?;
    narrator.note(&roles.join("; "))?;
    let checked = cast.orders_api.check(REPAIR_QUESTION).await;
    let answer = Answer::of(&checked, verdict);
    narrator.answer(&asks_about(REPAIR_QUESTION), &answer, "DENY NO_GRANT")
}

pub(super) async fn ana_asks(narrator: &mut Narrator<'_>, cast: &Cast) -> Result<v1::Elevation> {
    narrator.step("ana asks, for four seconds; whoever asks cannot approve it")?;
    let without_ticket = cast.ana.request(&Wish { ticket: "", ..REPAIR }).await;
    let answer = Answer::of(&without_ticket, state);
    narrator.answer("ana: request orders-db-repair, without a ticket", &answer, "TICKET_REQUIRED")?;
    let asked = cast.ana.request(&REPAIR).await;
    let answer = Answer::of(&asked, |asked| Answer { detail: format!("…{}", ending(&asked.id)), ..state(asked) });
    narrator.answer("ana: the same with INC-4711", &answer, "PENDING")?;
    Ok(asked?)
}

pub(super) async fn nobody_approves_for_themselves(
    narrator: &mut Narrator<'_>,
    cast: &Cast,
    asked: &v1::Elevation,
) -> Result<()> {
    for (actor, whose) in [(&cast.ana, ""), (&cast.ana_admin, ", ana's second account")] {
        let seen = actor.elevation(&asked.id).await?;
        let approved = actor.approve(&asked.id, text_of(&seen)).await;
        let answer = Answer::of(&approved, approval);
        narrator.answer(&format!("{}: approve{whose}", actor.account), &answer, "SELF_APPROVAL")?;
    }
    Ok(())
}

pub(super) async fn ben_approves(narrator: &mut Narrator<'_>, cast: &Cast, asked: &v1::Elevation) -> Result<Held> {
    narrator.step("ben, in another role, reads what is to be approved")?;
    let inbox = cast.ben.inbox().await;
    let waiting = Answer::of(&inbox, |inbox| {
        let here = inbox.iter().any(|elevation| elevation.id == asked.id);
        Answer::new(if here { "waits for ben" } else { "not there" }, "")
    });
    narrator.answer("ben: inbox", &waiting, "waits for ben")?;
    let seen = cast.ben.elevation(&asked.id).await?;
    let text = text_of(&seen);
    // What was left empty says nothing; ben's client shows it, this story is short.
    for line in text.lines().filter(|line| !line.ends_with(": \"\"")) {
        narrator.note(&format!("| {line}"))?;
    }
    narrator.note(&format!("SHA-256, computed by ben's client: {}", Digest::of(text.as_bytes())))?;
    let other = text.replace("\"4s\"", "\"8h\"");
    let answer = Answer::of(&cast.ben.approve(&asked.id, &other).await, approval);
    narrator.answer("ben: approve a text that says 8h", &answer, "DIGEST_MISMATCH")?;
    let approved = cast.ben.approve(&asked.id, text).await;
    narrator.answer("ben: approve the text as it was shown", &Answer::of(&approved, approval), "APPROVED")?;
    held(approved?.grant)
}

pub(super) async fn the_service_checks(narrator: &mut Narrator<'_>, cast: &Cast, repair: &Held) -> Result<()> {
    narrator.step("orders-api checks before it acts, in its own process, by a replica of what it may check")?;
    let checked = cast.orders_api.check(REPAIR_QUESTION).await;
    let answer = Answer::of(&checked, |checked| {
        let until = checked.valid_until().unwrap_or(Timestamp::MIN);
        // Both are the broker's: how long the grant lasts from its start.
        let lasts = seconds(until.since(repair.start));
        let ours = checked.grant().is_some_and(|grant| grant.to_string() == repair.id);
        Answer {
            detail: format!("by {}, {lasts} in all", if ours { "that grant" } else { "another grant" }),
            ..verdict(checked)
        }
    });
    narrator.answer(&asks_about(REPAIR_QUESTION), &answer, "ALLOW GRANTED")?;
    let others = [
        (Question { action: "db.schema", ..REPAIR_QUESTION }, "DENY NO_GRANT"),
        (Question { resource: "prod/us/db/orders/primary", ..REPAIR_QUESTION }, "DENY NO_GRANT"),
        (Question { resource: "prod/eu/db/payments/ledger", ..REPAIR_QUESTION }, "DENY OUT_OF_AUDIENCE"),
        (Question { subject: "ben", ..REPAIR_QUESTION }, "DENY NO_GRANT"),
    ];
    for (question, expected) in others {
        let answer = Answer::of(&cast.orders_api.check(question).await, verdict);
        narrator.answer(&asks_about(question), &answer, expected)?;
    }
    Ok(())
}

/// A question as the story tells it.
pub(super) fn asks_about(question: Question) -> String {
    let Question { subject, action, resource } = question;
    format!("orders-api: may {subject} {action} {resource}?")
}

/// What an approval came to.
pub(super) fn approval(response: &v1::ApproveElevationResponse) -> Answer {
    let answer = response.elevation.as_ref().map_or_else(|| Answer::new("nothing", ""), state);
    match &response.grant {
        Some(grant) => Answer { detail: format!("grant …{}", ending(&grant.id)), ..answer },
        None => answer,
    }
}

/// The text that is approved, as it came.
pub(super) fn text_of(elevation: &v1::Elevation) -> &str {
    elevation.review.as_ref().map_or("", |review| review.approval_text.as_str())
}

/// The grant of a last approval.
pub(super) fn held(grant: Option<v1::Grant>) -> Result<Held> {
    let grant = grant.context("the last approval brought no grant")?;
    let start = timestamp(grant.start_time).context("the grant has no start")?;
    let end = timestamp(grant.end_time).context("the grant has no end")?;
    Ok(Held { id: grant.id, start, end })
}

fn roles_of(who: &v1::WhoAmIResponse) -> String {
    let memberships = who.account.as_ref().map(|account| account.memberships.as_slice()).unwrap_or_default();
    let roles: Vec<&str> = memberships.iter().map(|membership| membership.role.as_str()).collect();
    if roles.is_empty() { "none".to_owned() } else { roles.join(", ") }
}
