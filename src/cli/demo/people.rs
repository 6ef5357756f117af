//! The further calls of the second chapter, and how their answers are shown.

use std::time::Duration;

use super::cast::{Actor, Called, request_id};
use super::narrator::Answer;
use crate::domain::value::ids::Digest;
use crate::domain::value::time::Timestamp;
use crate::wire::v1;
use crate::wire::v1::enrolment_ask::Ask;
use crate::wire::v1::hr_event::Change;
use crate::wire::values::pb_timestamp;

/// Who met what, and when.
pub(super) struct Met {
    person: &'static str,
    requirement: String,
    at: Timestamp,
}

pub(super) fn met(person: &'static str, requirement: &str, at: Timestamp) -> Met {
    Met { person, requirement: requirement.to_owned(), at }
}

impl Actor {
    pub(super) async fn enrol(&self, ask: Ask) -> Called<v1::Enrolment> {
        let request = v1::RequestEnrolmentRequest {
            request_id: request_id(),
            ask: Some(v1::EnrolmentAsk { ask: Some(ask) }),
            justification: "for my work on the orders".to_owned(),
            validate_only: false,
        };
        self.client.request_enrolment(request).await.map(|response| response.enrolment.unwrap_or_default())
    }

    /// Approves what it reads: the digest is computed here, over the very bytes that the broker shows this one.
    pub(super) async fn accept(&self, asked: &v1::Enrolment) -> Called<v1::Enrolment> {
        let seen = self.client.get_enrolment(v1::GetEnrolmentRequest { enrolment_id: asked.id.clone() }).await?;
        let text = seen.enrolment.and_then(|it| it.review).map(|review| review.approval_text).unwrap_or_default();
        let request = v1::ApproveEnrolmentRequest {
            request_id: request_id(),
            enrolment_id: asked.id.clone(),
            approval_digest: Digest::of(text.as_bytes()).bytes().to_vec(),
            ..Default::default()
        };
        self.client.approve_enrolment(request).await.map(|response| response.enrolment.unwrap_or_default())
    }

    pub(super) async fn attest(&self, met: Met) -> Called<v1::Person> {
        let request = v1::RecordAttestationRequest {
            request_id: request_id(),
            person: met.person.to_owned(),
            requirement: met.requirement,
            met_time: Some(pb_timestamp(met.at)),
            evidence: "course 7, passed".to_owned(),
            validate_only: false,
        };
        self.client.record_attestation(request).await.map(|response| response.person.unwrap_or_default())
    }

    pub(super) async fn correct(&self, met: Met) -> Called<v1::Effects> {
        let request = v1::CorrectAttestationRequest {
            request_id: request_id(),
            person: met.person.to_owned(),
            requirement: met.requirement,
            met_time: Some(pb_timestamp(met.at)),
            reason: "the day was mistyped".to_owned(),
            validate_only: false,
        };
        self.client.correct_attestation(request).await.map(|response| response.effects.unwrap_or_default())
    }

    pub(super) async fn hr(&self, person: &str, change: Change, dry: bool) -> Called<v1::Effects> {
        let request = v1::ApplyHrEventsRequest {
            request_id: request_id(),
            place: None,
            events: vec![v1::HrEvent { person: person.to_owned(), change: Some(change) }],
            validate_only: dry,
        };
        self.client.apply_hr_events(request).await.map(|response| response.effects.unwrap_or_default())
    }

    pub(super) async fn import(&self, file: &str) -> Called<v1::ImportPeopleResponse> {
        let header = v1::ImportHeader {
            request_id: request_id(),
            place: Some(v1::StreamPlace { stream: "people".to_owned(), number: 1 }),
            format: v1::PeopleFormat::Csv.into(),
            validate_only: false,
        };
        self.client.import_people(header, file.as_bytes()).await
    }
}

/// The account behind a certificate, once it is recorded that it is disabled: nothing was allowed to it from the very
/// instant, but the record follows.
pub(super) async fn disabled(actor: &Actor) -> Called<v1::Account> {
    for _ in 0..100 {
        let account = actor.client.who_am_i(v1::WhoAmIRequest {}).await?.account.unwrap_or_default();
        if account.state() != v1::AccountState::Active {
            return Ok(account);
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    actor.client.who_am_i(v1::WhoAmIRequest {}).await.map(|who| who.account.unwrap_or_default())
}

/// Where an enrolment stands: `PENDING`.
pub(super) fn enrolment_state(enrolment: &v1::Enrolment) -> Answer {
    Answer::new(enrolment.state().as_str_name().trim_start_matches("ENROLMENT_STATE_"), "")
}

/// Whether an account can be used, and what disabled it.
pub(super) fn account_state(account: &v1::Account) -> Answer {
    let state = account.state().as_str_name().trim_start_matches("ACCOUNT_STATE_");
    Answer::new(format!("{state} {}", account.disabled_by).trim_end(), "")
}

/// It was taken; a source of attestations does not see the person's record itself.
pub(super) fn on_record(_person: &v1::Person) -> Answer {
    Answer::new("on record", "")
}

/// What a change took away, in counts.
pub(super) fn effects(effects: &v1::Effects) -> Answer {
    let accounts = |change: &str| effects.changed_accounts.iter().filter(|it| it.change == change).count();
    let cut = effects.changed_memberships.iter().filter(|it| it.change == "CUT").count();
    let counts = [
        (effects.revoked_grants.len(), "revoked"),
        (effects.shortened_grants.len(), "shortened"),
        (accounts("DISABLED"), "disabled"),
        (accounts("CLOSED"), "closed"),
        (cut, "cut"),
    ];
    let present = counts.into_iter().filter(|(count, _)| *count > 0).map(|(count, what)| format!("{count} {what}"));
    Answer::new(present.collect::<Vec<_>>().join(", "), "")
}

/// How much of an import the brake holds.
pub(super) fn imported(response: &v1::ImportPeopleResponse) -> Answer {
    match (response.mistakes.first(), response.applied_count, response.held_count) {
        (Some(mistake), ..) => Answer::new("mistakes", mistake.text.clone()),
        (None, 0, held) if held > 0 => Answer::new("all held", format!("{held} people would have left")),
        (None, applied, held) => Answer::new(format!("{applied} applied, {held} held"), ""),
    }
}
