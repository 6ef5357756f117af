//! What a notification says: who, what, by when, who could review, what became of it. No address that decides anything:
//! whoever approves reads what they sign, and signs it with their own certificate (design.md 12; known failures A13 and A16).

use serde_json::{Map, Value, json};

use crate::cli::term::text::instant;
use crate::domain::value::time::{Span, Timestamp};
use crate::wire::v1::{
    Closing, Elevation, ElevationState, EnrolmentState, Event, GetElevationResponse, GetEnrolmentResponse,
    GetProposalResponse, Grant, GrantState, ProposalState, Review, Reviewer,
};

/// Something under review, as far as notifications go: an elevation, an enrolment or a proposal.
#[derive(Debug, Clone)]
pub(super) struct Reviewed {
    /// `elevation`, `enrolment` or `proposal`.
    pub(super) kind: &'static str,
    /// Its id.
    pub(super) id: String,
    /// Whether decisions are awaited.
    pub(super) pending: bool,
    /// In one word: `APPROVED`.
    pub(super) state: String,
    /// When it was asked for.
    pub(super) asked: Option<Timestamp>,
    /// Its review.
    pub(super) review: Review,
    /// How it ended.
    pub(super) closing: Option<Closing>,
    /// What was asked for, and by whom.
    pub(super) what: Map<String, Value>,
    /// Who could approve now.
    pub(super) could_review: Vec<Reviewer>,
    /// Whom its end concerns.
    pub(super) asker: Value,
}

/// An elevation, as it is now; none if there is none in the answer.
#[must_use]
pub(super) fn elevation(response: GetElevationResponse) -> Option<Reviewed> {
    let it = response.elevation?;
    Some(Reviewed {
        kind: "elevation",
        id: it.id.clone(),
        pending: it.state() == ElevationState::Pending,
        state: bare(it.state().as_str_name(), "ELEVATION_STATE_"),
        asked: it.create_time.as_ref().and_then(instant),
        what: object(elevation_fields(&it)),
        could_review: response.could_review,
        asker: json!({ "account": it.requester_account, "person": it.requester_person }),
        review: it.review.unwrap_or_default(),
        closing: it.closing,
    })
}

fn elevation_fields(it: &Elevation) -> Value {
    json!({
        "elevation": it.id,
        "who": {
            "account": it.requester_account,
            "person": it.requester_person,
            "role": it.requester_role,
            "on_behalf_of": it.on_behalf_of,
        },
        "what": {
            "entitlement": it.entitlement,
            "actions": it.actions,
            "resources": it.resources,
            "seconds": it.duration.as_ref().map(|duration| duration.seconds),
            "start": text(it.start_time.as_ref().and_then(instant)),
            "emergency": it.emergency,
        },
        "why": it.justification,
        "ticket": it.ticket,
    })
}

/// An enrolment, as it is now.
#[must_use]
pub(super) fn enrolment(response: GetEnrolmentResponse) -> Option<Reviewed> {
    let it = response.enrolment?;
    let what = json!({
        "enrolment": it.id,
        "who": { "account": it.requester, "person": it.person },
        "what": { "asks": crate::cli::term::json::of(&it).get("ask").cloned() },
        "why": it.justification,
    });
    Some(Reviewed {
        kind: "enrolment",
        id: it.id.clone(),
        pending: it.state() == EnrolmentState::Pending,
        state: bare(it.state().as_str_name(), "ENROLMENT_STATE_"),
        asked: it.create_time.as_ref().and_then(instant),
        what: object(what),
        could_review: response.could_review,
        asker: json!({ "account": it.requester, "person": it.person }),
        review: it.review.clone().unwrap_or_default(),
        closing: it.closing,
    })
}

/// A proposal of policy or directory, as it is now.
#[must_use]
pub(super) fn proposal(response: GetProposalResponse) -> Option<Reviewed> {
    let it = response.proposal?;
    let asker = json!({ "account": it.requester, "person": it.persons.first() });
    let what = json!({
        "proposal": it.id,
        "who": asker,
        "what": { "file": bare(it.file().as_str_name(), "PROPOSAL_FILE_"), "digest": crate::cli::term::json::hexadecimal(&it.digest) },
        "why": it.justification,
    });
    Some(Reviewed {
        kind: "proposal",
        id: it.id.clone(),
        pending: it.state() == ProposalState::Pending,
        state: bare(it.state().as_str_name(), "PROPOSAL_STATE_"),
        asked: it.create_time.as_ref().and_then(instant),
        what: object(what),
        could_review: response.could_review,
        asker,
        review: it.review.clone().unwrap_or_default(),
        closing: it.closing,
    })
}

/// An instant as people and programs read it.
fn text(at: Option<Timestamp>) -> Option<String> {
    at.map(|at| at.to_string())
}

/// A word of the API without its prefix.
fn bare(name: &str, prefix: &str) -> String {
    name.trim_start_matches(prefix).to_owned()
}

fn people(reviewers: &[Reviewer]) -> Vec<Value> {
    reviewers.iter().map(|it| json!({ "account": it.account, "person": it.person })).collect()
}

impl Reviewed {
    /// `elevation:<id>`: the name under which its progress is stored.
    #[must_use]
    pub(super) fn key(&self) -> String {
        format!("{}:{}", self.kind, self.id)
    }

    /// When half of the time for its decision is gone.
    #[must_use]
    pub(super) fn half_time(&self) -> Option<Timestamp> {
        let (asked, deadline) = (self.asked?, self.deadline()?);
        let half = deadline.since(asked).millis().checked_div(2).and_then(|millis| Span::from_millis(millis).ok());
        half.map(|half| asked.plus(half))
    }

    fn deadline(&self) -> Option<Timestamp> {
        self.review.deadline.as_ref().and_then(instant)
    }

    /// It waits for those of the open stage.
    #[must_use]
    pub(super) fn opened(&self) -> Value {
        self.waits("opened")
    }

    /// Half of the time is gone.
    #[must_use]
    pub(super) fn half_gone(&self) -> Value {
        self.waits("half_time")
    }

    fn waits(&self, event: &str) -> Value {
        let index = usize::try_from(self.review.open_stage.saturating_sub(1)).unwrap_or(usize::MAX);
        let stage = self.review.stages.get(index).cloned().unwrap_or_default();
        let could = people(&self.could_review);
        let missing = stage.required_count.saturating_sub(stage.approved_count);
        let more = json!({
            "to": could,
            "deadline": text(self.deadline()),
            "stage": {
                "number": self.review.open_stage,
                "of": self.review.stages.len(),
                "by": stage.by,
                "missing": missing,
                "could_review": could,
            },
        });
        self.message(event, more)
    }

    /// What became of it, and by whom.
    #[must_use]
    pub(super) fn decided(&self) -> Value {
        let closing = self.closing.clone().unwrap_or_default();
        let decisions = self.review.decisions.iter().map(|it| {
            json!({
                "person": it.person,
                "account": it.account,
                "role": it.role,
                "decision": it.kind().as_str_name().trim_start_matches("DECISION_KIND_"),
                "comment": it.comment,
            })
        });
        let more = json!({
            "to": [self.asker],
            "outcome": self.state,
            "by": closing.actor,
            "cause": closing.cause,
            "comment": closing.comment,
            "decisions": decisions.collect::<Vec<_>>(),
        });
        self.message("decided", more)
    }

    fn message(&self, event: &str, more: Value) -> Value {
        message(&format!("{}.{event}", self.kind), [Value::Object(self.what.clone()), more])
    }
}

/// What happened to a grant, as `grant.ending` or `grant.ended`.
#[must_use]
pub(super) fn grant(event: &str, it: &Grant) -> Value {
    let closing = it.closing.clone().unwrap_or_default();
    let fields = json!({
        "to": [{ "account": it.holder_account, "person": it.holder_person }],
        "grant": it.id,
        "elevation": it.elevation_id,
        "who": { "account": it.holder_account, "person": it.holder_person, "on_behalf_of": it.on_behalf_of },
        "what": {
            "entitlement": it.entitlement,
            "actions": it.actions,
            "resources": it.resources,
            "emergency": it.emergency,
        },
        "start": text(it.start_time.as_ref().and_then(instant)),
        "end": text(it.end_time.as_ref().and_then(instant)),
        "end_because": bare(it.end_because().as_str_name(), "GRANT_END_BECAUSE_"),
        "state": bare(it.state().as_str_name(), "GRANT_STATE_"),
        "by": closing.actor,
        "cause": closing.cause,
        "comment": closing.comment,
    });
    message(&format!("grant.{event}"), [fields])
}

/// Whether a grant is not over.
#[must_use]
pub(super) fn is_open(it: &Grant) -> bool {
    matches!(it.state(), GrantState::Scheduled | GrantState::Active)
}

/// The follow-up that an emergency owes, by when, and who could complete it.
#[must_use]
pub(super) fn follow_up(kind: &str, found: &GetElevationResponse) -> Value {
    let it = found.elevation.clone().unwrap_or_default();
    let due = it.follow_up.as_ref().and_then(|follow_up| follow_up.due_time.as_ref()).and_then(instant);
    let more = json!({ "to": people(&found.could_review), "deadline": text(due) });
    message(kind, [elevation_fields(&it), more])
}

/// Whether an elevation still owes its follow-up.
#[must_use]
pub(super) fn owes_follow_up(found: &GetElevationResponse) -> bool {
    let owed = found.elevation.as_ref().and_then(|it| it.follow_up.as_ref());
    owed.is_some_and(|owed| owed.completion.is_none())
}

/// What an event says by itself: a lapse ahead.
#[must_use]
pub(super) fn of_event(kind: &str, event: &Event) -> Value {
    let facts: Value = serde_json::from_str(&event.facts_json).unwrap_or_default();
    let persons = event.about.iter().filter_map(|about| about.strip_prefix("person:"));
    let to: Vec<Value> = persons.map(|person| json!({ "person": person })).collect();
    message(kind, [json!({ "to": to, "about": event.about, "facts": facts })])
}

fn message(kind: &str, parts: impl IntoIterator<Item = Value>) -> Value {
    let mut all = Map::new();
    all.insert("type".to_owned(), kind.into());
    all.extend(parts.into_iter().flat_map(object));
    Value::Object(all)
}

fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(map) => map,
        _ => Map::new(),
    }
}
