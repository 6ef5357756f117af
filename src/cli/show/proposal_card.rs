//! `show` of a proposal: which file by its digest, who gains and loses what by it, then where it stands; on 40 columns.

use super::approval::{ApprovalText, PROPOSAL_KEYS, Unreadable};
use super::review_card::{Standing, said};
use crate::cli::term::table::card;
use crate::cli::term::text::{ending, instant, quoted, relative, word};
use crate::domain::value::time::Timestamp;
use crate::wire::v1::{Proposal, ProposalState};

/// The whole card.
///
/// # Errors
/// If the text that is decided on cannot be shown.
pub fn proposal_card(width: u16, proposal: &Proposal, now: Timestamp) -> Result<String, Unreadable> {
    let review = proposal.review.clone().unwrap_or_default();
    let text = ApprovalText::read(&review)?;
    let standing = Standing {
        state: state_word(proposal),
        is_pending: proposal.state() == ProposalState::Pending,
        create_time: proposal.create_time.as_ref(),
        closing: proposal.closing.as_ref(),
        review: &review,
    };
    let ids = [("id", proposal.id.clone()), ("digest", text.digest().to_string())];
    Ok([card(width, &asked(&text)), card(width, &standing.lines(now)), card(width, &ids)].join("\n"))
}

/// Where a proposal stands, in a word.
#[must_use]
pub fn state_word(proposal: &Proposal) -> String {
    word(proposal.state().as_str_name(), "PROPOSAL_STATE_")
}

/// What is decided on, from the text alone.
fn asked(text: &ApprovalText) -> Vec<(&str, String)> {
    let or = |key: &str, nothing: &str| {
        let value = text.value(key);
        if value.is_empty() { nothing.to_owned() } else { value.to_owned() }
    };
    let mut lines = vec![
        ("who", text.value("who").to_owned()),
        ("of", text.value("persons").to_owned()),
        ("proposes", format!("the {}, {} bytes", text.value("file").to_lowercase(), text.value("bytes"))),
        ("file", text.value("digest").to_owned()),
        ("replaces", text.value("replaces").to_owned()),
        ("why", said(text.value("justification"))),
        ("gains", or("gains", "nobody gains a right")),
        ("loses", or("loses", "nobody loses a right")),
        ("widens", or("widens", "no entitlement")),
        ("changes", or("changes", "no value")),
        ("ends", text.value("ends").to_owned()),
    ];
    lines.extend(text.others(&PROPOSAL_KEYS).map(|(key, value)| (key, quoted(value))));
    lines
}

/// The heading of [`proposal_row`].
pub const PROPOSAL_HEADING: [&str; 5] = ["id", "who", "proposes", "state", "open until"];

/// One line for a list of proposals.
#[must_use]
pub fn proposal_row(proposal: &Proposal, now: Timestamp) -> Vec<String> {
    let deadline = proposal.review.as_ref().and_then(|review| review.deadline.as_ref()).and_then(instant);
    let left = match (proposal.state(), deadline) {
        (ProposalState::Pending, Some(at)) => relative(at, now),
        _ => String::new(),
    };
    let file = word(proposal.file().as_str_name(), "PROPOSAL_FILE_");
    vec![ending(&proposal.id), proposal.requester.clone(), format!("the {file}"), state_word(proposal), left]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::show::sample;

    #[test]
    fn a_proposal_shows_what_is_signed_first() {
        let card = proposal_card(60, &sample::proposal(), sample::moment()).unwrap();
        insta::assert_snapshot!(card, @r#"
        who       omar
        of        omar
        proposes  the policy, 4711 bytes
        file      010101010101010101010101010101010101010101010101
                  0101010101010101
        replaces  020202020202020202020202020202020202020202020202
                  0202020202020202
        why       "longer for night shifts"
        gains     ana: wider terms of `orders-db-repair`
        loses     nobody loses a right
        widens    orders-db-repair
        changes   entitlements.orders-db-repair.max_duration: "1h"
                  -> "2h"
        ends      requests for access cancelled: 1

        state       pending
        asked       2026-11-22 21:58:00Z (2m ago)
        open until  2026-11-22 22:28:00Z (in 28m)
        needs       0 of 1 by @policy.propose, open now

        id      019380a1-0000-7000-8000-000077aa88bb
        digest  49cf3c6db19f2f7963d00cfff30b21bb1452f1545d84043168
                d5f5d595c5388f
        "#);
        assert_eq!(
            proposal_row(&sample::proposal(), sample::moment()),
            ["77aa88bb", "omar", "the policy", "pending", "in 28m"]
        );
    }
}
