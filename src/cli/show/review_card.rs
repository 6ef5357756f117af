//! Where a request stands in its review: the same lines for elevations, enrolments and proposals.

use crate::cli::term::text::{instant, quoted, relative, when, word};
use crate::domain::value::time::Timestamp;
use crate::wire::v1::{Closing, Decision, DecisionKind, Review};

/// A request, as far as its review goes.
#[derive(Debug)]
pub struct Standing<'a> {
    /// Its state, in a word.
    pub state: String,
    /// Whether it is still open.
    pub is_pending: bool,
    /// When it was asked for.
    pub create_time: Option<&'a prost_types::Timestamp>,
    /// How it ended.
    pub closing: Option<&'a Closing>,
    /// Its review.
    pub review: &'a Review,
}

impl Standing<'_> {
    /// State, stages, decisions, and how it ended.
    #[must_use]
    pub fn lines(&self, now: Timestamp) -> Vec<(&'static str, String)> {
        let review = self.review;
        let mut lines = vec![("state", self.state.clone()), ("asked", when(self.create_time, now))];
        if self.is_pending {
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
        if let Some(closing) = self.closing {
            let cause = word(&closing.cause, "");
            lines.push(("closed", format!("{}, by {}: {cause}", when(closing.time.as_ref(), now), closing.actor)));
            lines.push(("they said", said(&closing.comment)));
        }
        lines
    }
}

/// Somebody's own words, if there are any.
#[must_use]
pub fn said(words: &str) -> String {
    if words.is_empty() { String::new() } else { quoted(words) }
}

fn decided(decision: &Decision, now: Timestamp) -> String {
    let verb = match decision.kind() {
        DecisionKind::Approved => "approved",
        DecisionKind::Denied => "denied",
        DecisionKind::Unspecified => "decided",
    };
    let by = if decision.role.is_empty() { String::new() } else { format!(" ({})", decision.role) };
    let mut text = format!("{verb} by {}{by}", decision.person);
    if let Some(time) = decision.time.as_ref().and_then(instant) {
        text.push_str(&format!(", {}", relative(time, now)));
    }
    if let Some(struck_out) = &decision.struck_out {
        text.push_str(&format!("; no longer counts: {}", word(&struck_out.reason, "")));
    }
    if let Some(suspended) = &decision.suspended {
        let end = suspended.until_time.as_ref();
        let end = end.map_or_else(|| "a lock is lifted".to_owned(), |end| when(Some(end), now));
        text.push_str(&format!("; does not count while they are suspended, until {end}"));
    }
    if !decision.comment.is_empty() {
        text.push_str(&format!(": {}", quoted(&decision.comment)));
    }
    text
}
