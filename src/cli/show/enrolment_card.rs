//! `show` of an enrolment: what is asked for, from the text that is approved alone, then where it stands; on 40 columns.

use super::approval::{ApprovalText, ENROLMENT_KEYS, Unreadable};
use super::review_card::{Standing, said};
use crate::cli::term::table::card;
use crate::cli::term::text::{clock_text, ending, instant, quoted, relative, word};
use crate::domain::value::time::Timestamp;
use crate::wire::v1::enrolment_ask::Ask;
use crate::wire::v1::{Closing, Enrolment, EnrolmentState};

/// The whole card.
///
/// # Errors
/// If the text that is decided on cannot be shown.
pub fn enrolment_card(width: u16, enrolment: &Enrolment, now: Timestamp) -> Result<String, Unreadable> {
    let review = enrolment.review.clone().unwrap_or_default();
    let text = ApprovalText::read(&review)?;
    let standing = Standing {
        state: state_word(enrolment),
        is_pending: enrolment.state() == EnrolmentState::Pending,
        create_time: enrolment.create_time.as_ref(),
        closing: enrolment.closing.as_ref(),
        review: &review,
    };
    let mut lines = standing.lines(now);
    lines.push(("manager", enrolment.manager.clone()));
    let ids = [("id", enrolment.id.clone()), ("digest", text.digest().to_string())];
    Ok([card(width, &asked(&text)), card(width, &lines), card(width, &ids)].join("\n"))
}

/// Where an enrolment stands, in a word.
#[must_use]
pub fn state_word(enrolment: &Enrolment) -> String {
    word(enrolment.state().as_str_name(), "ENROLMENT_STATE_")
}

/// What is decided on, from the text alone.
fn asked(text: &ApprovalText) -> Vec<(&str, String)> {
    let acts_for = match text.value("acts_for") {
        "itself" => "itself, without a person",
        other => other,
    };
    let mut lines = vec![
        ("who", who(text)),
        ("asks for", meaning(text.value("asks_for"))),
        ("account", text.value("account").to_owned()),
        ("roles", text.value("roles").to_owned()),
        ("means", text.value("identities").to_owned()),
        ("checks", text.value("audience").to_owned()),
        ("acts for", acts_for.to_owned()),
        ("why", said(text.value("justification"))),
    ];
    lines.extend(text.others(&ENROLMENT_KEYS).map(|(key, value)| (key, quoted(value))));
    lines
}

/// `ana`, `ana-admin, of ana`, `pia, who has no account`.
fn who(text: &ApprovalText) -> String {
    let (who, person) = (text.value("who"), text.value("person"));
    match who.split_once(':') {
        Some(("account", account)) if account == person => person.to_owned(),
        Some(("account", account)) => format!("{account}, of {person}"),
        Some(("person", asker)) if asker == person => format!("{person}, who has no account"),
        _ => format!("{who}, of {person}"),
    }
}

/// What approving it would bring about. What this version does not know is shown as it came.
fn meaning(ask: &str) -> String {
    let meaning = match ask {
        "ACCOUNT" => "an account, which may ask for nothing privileged yet",
        "ROLE" => "a role",
        "KEEP" => "to keep a role that their transfer cut",
        "RESTORE" => "to have back what a lapse took",
        "MACHINE" => "a service account, to own it",
        "TAKE_OVER" => "to own a service account that is somebody else's",
        other => return quoted(other),
    };
    meaning.to_owned()
}

/// What is asked for, in a line, as lists show it.
#[must_use]
pub fn ask_words(enrolment: &Enrolment) -> String {
    let until = |end: Option<&prost_types::Timestamp>| {
        end.and_then(instant).map_or_else(String::new, |at| format!(" until {}", clock_text(at)))
    };
    match enrolment.ask.as_ref().and_then(|ask| ask.ask.as_ref()) {
        Some(Ask::Account(ask)) => format!("account {}", ask.account),
        Some(Ask::Role(ask)) => format!("role {} for {}{}", ask.role, ask.account, until(ask.end_time.as_ref())),
        Some(Ask::Keep(ask)) => format!("keep role {} of {}", ask.role, ask.account),
        Some(Ask::Restore(ask)) if ask.roles.is_empty() => format!("restore account {}", ask.account),
        Some(Ask::Restore(ask)) => format!("restore account {} with {}", ask.account, ask.roles.join(" ")),
        Some(Ask::Machine(ask)) => {
            let roles: Vec<_> =
                ask.roles.iter().map(|role| format!("{}{}", role.role, until(role.end_time.as_ref()))).collect();
            let roles = if roles.is_empty() { String::new() } else { format!(" with {}", roles.join(", ")) };
            format!("machine {}{roles}", ask.account)
        }
        Some(Ask::TakeOver(ask)) => format!("take over {}", ask.account),
        None => "something that this version does not know".to_owned(),
    }
}

/// The heading of [`enrolment_row`].
pub const ENROLMENT_HEADING: [&str; 5] = ["id", "who", "asks for", "state", "open until"];

/// One line for a list of enrolments.
#[must_use]
pub fn enrolment_row(enrolment: &Enrolment, now: Timestamp) -> Vec<String> {
    let deadline = enrolment.review.as_ref().and_then(|review| review.deadline.as_ref()).and_then(instant);
    let left = match (enrolment.state(), deadline) {
        (EnrolmentState::Pending, Some(at)) => relative(at, now),
        _ => String::new(),
    };
    vec![ending(&enrolment.id), enrolment.person.clone(), ask_words(enrolment), state_word(enrolment), left]
}

/// What became of an enrolment, and what its person can do next.
#[must_use]
pub fn outcome(enrolment: &Enrolment) -> String {
    let state = state_word(enrolment);
    let closing = enrolment.closing.clone().unwrap_or_default();
    let next = match (enrolment.state(), enrolment.ask.as_ref().and_then(|ask| ask.ask.as_ref())) {
        (EnrolmentState::Approved, Some(Ask::Account(ask))) => {
            format!("account {} is there; `countersign enrol role ROLE` asks for a role", ask.account)
        }
        (EnrolmentState::Approved, Some(Ask::Role(ask))) => {
            format!("{} holds {}; `countersign entitlements` lists what it may ask for", ask.account, ask.role)
        }
        (EnrolmentState::Approved, Some(Ask::Keep(ask))) => format!("{} keeps {}", ask.account, ask.role),
        (EnrolmentState::Approved, Some(Ask::Restore(ask))) => format!("account {} is as it was", ask.account),
        (EnrolmentState::Approved, Some(Ask::Machine(ask))) => format!("machine {} is there", ask.account),
        (EnrolmentState::Approved, Some(Ask::TakeOver(ask))) => {
            format!("machine {} has {} as its owner", ask.account, enrolment.person)
        }
        (EnrolmentState::Cancelled, _) => {
            format!("{}; `countersign enrol` asks anew, under what holds now", word(&closing.cause, ""))
        }
        (EnrolmentState::Expired, _) => "nobody decided in time; `countersign enrol` asks anew".to_owned(),
        _ => return with_words(&state, &closing),
    };
    format!("{state}: {next}")
}

fn with_words(state: &str, closing: &Closing) -> String {
    let by = if closing.actor.is_empty() { String::new() } else { format!(" by {}", closing.actor) };
    let words = if closing.comment.is_empty() { String::new() } else { format!(": {}", quoted(&closing.comment)) };
    format!("{state}{by}{words}")
}

#[cfg(test)]
#[path = "enrolment_card_tests.rs"]
mod tests;
