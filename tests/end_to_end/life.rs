//! The life of an account as those do it who take part in it: HR, the training system, managers, and whom it is about.

use countersign::domain::value::refusal::CATALOGUE;
use countersign::server::status::grpc_code;
use countersign::wire::v1 as pb;
use pb::enrolment_ask::Ask;
use pb::enrolment_service_client::EnrolmentServiceClient;
use pb::hr_event::Change;
use pb::hr_service_client::HrServiceClient;
use pb::recertification_service_client::RecertificationServiceClient;
use sha2::{Digest, Sha256};
use tonic::Status;
use tonic::transport::Channel;

use crate::common::certificates::now_millis;
use crate::harness::Broker;
use crate::organisation::identity;
use crate::person::{Person, at_millis, call_id};

pub const DAY: i64 = 86_400_000;
pub const YEAR: i64 = 365 * DAY;

pub const ALLOWED: (pb::Verdict, pb::CheckReason) = (pb::Verdict::Allow, pb::CheckReason::Granted);

impl Person {
    pub fn enrolments(&self) -> EnrolmentServiceClient<Channel> {
        EnrolmentServiceClient::new(self.channel.clone())
    }
    pub fn hr(&self) -> HrServiceClient<Channel> {
        HrServiceClient::new(self.channel.clone())
    }
    pub fn campaigns(&self) -> RecertificationServiceClient<Channel> {
        RecertificationServiceClient::new(self.channel.clone())
    }

    pub async fn whoami(&self) -> pb::WhoAmIResponse {
        self.accounts().who_am_i(pb::WhoAmIRequest {}).await.unwrap().into_inner()
    }

    /// The account that this person's certificate means.
    pub async fn account(&self) -> pb::Account {
        self.whoami().await.account.expect("an account")
    }

    /// All that keeps this person from asking, by reason.
    pub async fn obstacles(&self) -> Vec<String> {
        self.whoami().await.obstacles.into_iter().map(|obstacle| obstacle.reason).collect()
    }

    pub async fn ask(&self, ask: Ask) -> Result<pb::Enrolment, Status> {
        let request = enrolment_request(ask, false);
        let response = self.enrolments().request_enrolment(request).await?.into_inner();
        Ok(response.enrolment.expect("an enrolment"))
    }

    /// All that stands in the way, by reason.
    pub async fn ask_dry(&self, ask: Ask) -> Result<Vec<String>, Status> {
        let request = enrolment_request(ask, true);
        let response = self.enrolments().request_enrolment(request).await?.into_inner();
        Ok(response.obstacles.into_iter().map(|obstacle| obstacle.reason).collect())
    }

    pub async fn enrolment(&self, id: &str) -> Result<pb::Enrolment, Status> {
        let request = pb::GetEnrolmentRequest { enrolment_id: id.to_owned() };
        Ok(self.enrolments().get_enrolment(request).await?.into_inner().enrolment.expect("an enrolment"))
    }

    /// Reads the text, computes its digest, approves.
    pub async fn approve_enrolment(&self, id: &str) -> Result<pb::ApproveEnrolmentResponse, Status> {
        let text = self.enrolment(id).await?.review.expect("a review").approval_text;
        self.approve_enrolment_text(id, &text, false).await
    }

    /// Approves a text, whoever has shown it.
    pub async fn approve_enrolment_text(
        &self,
        id: &str,
        text: &str,
        validate_only: bool,
    ) -> Result<pb::ApproveEnrolmentResponse, Status> {
        let request = pb::ApproveEnrolmentRequest {
            request_id: call_id(),
            enrolment_id: id.to_owned(),
            approval_digest: Sha256::digest(text.as_bytes()).to_vec(),
            comment: String::new(),
            validate_only,
        };
        Ok(self.enrolments().approve_enrolment(request).await?.into_inner())
    }

    pub async fn deny_enrolment(&self, id: &str) -> Result<pb::Enrolment, Status> {
        let (enrolment_id, reason) = (id.to_owned(), "not this quarter".to_owned());
        let request = pb::DenyEnrolmentRequest { request_id: call_id(), enrolment_id, reason, validate_only: false };
        Ok(self.enrolments().deny_enrolment(request).await?.into_inner().enrolment.expect("an enrolment"))
    }

    /// The ids of enrolments that stand so to this person, newest first.
    pub async fn enrolment_ids(&self, relation: pb::EnrolmentRelation) -> Vec<String> {
        let request = pb::ListEnrolmentsRequest { relation: relation.into(), ..Default::default() };
        let page = self.enrolments().list_enrolments(request).await.unwrap().into_inner();
        page.enrolments.into_iter().map(|it| it.id).collect()
    }

    pub async fn attest(
        &self,
        person: &str,
        requirement: &str,
        met: i64,
    ) -> Result<pb::RecordAttestationResponse, Status> {
        let request = pb::RecordAttestationRequest {
            request_id: call_id(),
            person: person.to_owned(),
            requirement: requirement.to_owned(),
            met_time: at_millis(met),
            evidence: "course 17, certificate 4711".to_owned(),
            validate_only: false,
        };
        Ok(self.accounts().record_attestation(request).await?.into_inner())
    }

    pub async fn correct(
        &self,
        person: &str,
        requirement: &str,
        met: Option<i64>,
        validate_only: bool,
    ) -> Result<pb::CorrectAttestationResponse, Status> {
        let request = pb::CorrectAttestationRequest {
            request_id: call_id(),
            person: person.to_owned(),
            requirement: requirement.to_owned(),
            met_time: met.and_then(at_millis),
            reason: "entered under the wrong date".to_owned(),
            validate_only,
        };
        Ok(self.accounts().correct_attestation(request).await?.into_inner())
    }

    /// Events that come in no stream.
    pub async fn tell(&self, events: Vec<pb::HrEvent>) -> Result<pb::ApplyHrEventsResponse, Status> {
        self.tell_all(None, events, false).await
    }

    pub async fn tell_all(
        &self,
        place: Option<pb::StreamPlace>,
        events: Vec<pb::HrEvent>,
        validate_only: bool,
    ) -> Result<pb::ApplyHrEventsResponse, Status> {
        let request = pb::ApplyHrEventsRequest { request_id: call_id(), place, events, validate_only };
        Ok(self.hr().apply_hr_events(request).await?.into_inner())
    }

    pub async fn feed(&self) -> Result<pb::GetFeedStatusResponse, Status> {
        Ok(self.hr().get_feed_status(pb::GetFeedStatusRequest {}).await?.into_inner())
    }
}

impl Broker {
    /// Joins, proves what the baseline asks, asks for an account and gets it: the person, and the manager.
    pub async fn hired(&self, name: &str, manager: &str) -> (Person, Person) {
        let (person, manager) = (self.joined(name, manager).await, self.person(manager).await);
        let asked = person.ask(account()).await.unwrap();
        manager.approve_enrolment(&asked.id).await.unwrap();
        (person, manager)
    }

    /// Joins and proves what the baseline asks: no account yet.
    pub async fn joined(&self, name: &str, manager: &str) -> Person {
        self.person("hr-sync").await.tell(vec![joined(name, manager)]).await.unwrap();
        let (office, training) = (self.person("noa").await, self.person("training-feed").await);
        let met = now_millis() - 2 * DAY;
        office.attest(name, "screening", met).await.unwrap();
        office.attest(name, "background-check", met).await.unwrap();
        training.attest(name, "annual-training", met).await.unwrap();
        self.person(name).await
    }

    /// The same, and an engineer of databases by now.
    pub async fn hired_engineer(&self, name: &str, manager: &str) -> (Person, Person) {
        let (person, manager) = self.hired(name, manager).await;
        self.person("training-feed").await.attest(name, "dba-training", now_millis() - 2 * DAY).await.unwrap();
        let asked = person.ask(role("db-engineer")).await.unwrap();
        manager.approve_enrolment(&asked.id).await.unwrap();
        let ines = self.person("ines").await;
        if ines.name != manager.name {
            ines.approve_enrolment(&asked.id).await.unwrap();
        }
        (person, manager)
    }
}

fn enrolment_request(ask: Ask, validate_only: bool) -> pb::RequestEnrolmentRequest {
    pb::RequestEnrolmentRequest {
        request_id: call_id(),
        ask: Some(pb::EnrolmentAsk { ask: Some(ask) }),
        justification: "joining the storage team".to_owned(),
        validate_only,
    }
}

pub fn account() -> Ask {
    Ask::Account(pb::AccountAsk::default())
}

pub fn role(role: &str) -> Ask {
    Ask::Role(pb::RoleAsk { role: role.to_owned(), ..Default::default() })
}

pub fn keep(role: &str) -> Ask {
    Ask::Keep(pb::KeepAsk { account: String::new(), role: role.to_owned() })
}

pub fn restore() -> Ask {
    Ask::Restore(pb::RestoreAsk::default())
}

pub fn event(person: &str, change: Change) -> pb::HrEvent {
    pb::HrEvent { person: person.to_owned(), change: Some(change) }
}

pub fn joined(person: &str, manager: &str) -> pb::HrEvent {
    event(person, Change::Joined(pb::Joined { logins: vec![identity(person)], manager: manager.to_owned() }))
}

/// Now, or at an instant.
pub fn moved(person: &str, manager: &str, at: Option<i64>) -> pb::HrEvent {
    let (manager, time) = (manager.to_owned(), at.and_then(at_millis));
    event(person, Change::Transferred(pb::Transferred { manager, time }))
}

/// Now, or at an instant.
pub fn left(person: &str, at: Option<i64>) -> pb::HrEvent {
    event(person, Change::Left(pb::Left { time: at.and_then(at_millis), urgent: false, also_approved: false }))
}

pub fn left_urgently(person: &str, also_approved: bool) -> pb::HrEvent {
    event(person, Change::Left(pb::Left { time: None, urgent: true, also_approved }))
}

pub fn place(stream: &str, number: u64) -> Option<pb::StreamPlace> {
    Some(pb::StreamPlace { stream: stream.to_owned(), number })
}

/// A membership of an account.
#[track_caller]
pub fn membership<'a>(account: &'a pb::Account, role: &str) -> &'a pb::Membership {
    account.memberships.iter().find(|it| it.role == role).unwrap_or_else(|| panic!("{role}: {account:?}"))
}

/// That a call was refused for this reason, with the code that the catalogue has for it.
#[track_caller]
pub fn refused<T: std::fmt::Debug>(result: Result<T, Status>, wanted: &str) -> Status {
    let entry = CATALOGUE.iter().find(|entry| entry.name == wanted).expect("a reason of the catalogue");
    crate::person::refused(result, grpc_code(entry.code), wanted)
}
