//! What a person or a machine does, by the generated client alone, and how a refusal is looked at.

use countersign::wire::v1 as pb;
use pb::access_service_client::AccessServiceClient;
use pb::account_service_client::AccountServiceClient;
use pb::audit_service_client::AuditServiceClient;
use pb::elevation_service_client::ElevationServiceClient;
use pb::grant_service_client::GrantServiceClient;
use pb::policy_service_client::PolicyServiceClient;
use pb::proposal_service_client::ProposalServiceClient;
use sha2::{Digest, Sha256};
use tonic::transport::Channel;
use tonic::{Code, Status};
use tonic_types::StatusExt;

pub const ORDERS: &str = "prod/eu/db/orders/primary";

#[derive(Clone)]
pub struct Person {
    pub name: String,
    pub channel: Channel,
}

/// A new id of a call.
pub fn call_id() -> String {
    uuid::Uuid::new_v4().to_string()
}

pub fn seconds(seconds: i64) -> Option<prost_types::Duration> {
    Some(prost_types::Duration { seconds, nanos: 0 })
}

pub fn at_millis(millis: i64) -> Option<prost_types::Timestamp> {
    let nanos = i32::try_from(millis.rem_euclid(1_000)).unwrap() * 1_000_000;
    Some(prost_types::Timestamp { seconds: millis.div_euclid(1_000), nanos })
}

pub fn millis(at: Option<&prost_types::Timestamp>) -> i64 {
    let at = at.expect("an instant");
    at.seconds * 1_000 + i64::from(at.nanos / 1_000_000)
}

/// A request that nothing stands in the way of.
pub fn repair() -> pb::RequestElevationRequest {
    pb::RequestElevationRequest {
        request_id: call_id(),
        entitlement: "orders-db-repair".to_owned(),
        actions: vec!["db.read".to_owned()],
        resources: vec![ORDERS.to_owned()],
        duration: seconds(600),
        justification: "orders have been stuck since noon".to_owned(),
        ticket: "INC-4711".to_owned(),
        ..Default::default()
    }
}

impl Person {
    pub fn elevations(&self) -> ElevationServiceClient<Channel> {
        ElevationServiceClient::new(self.channel.clone())
    }
    pub fn grants(&self) -> GrantServiceClient<Channel> {
        GrantServiceClient::new(self.channel.clone())
    }
    pub fn access(&self) -> AccessServiceClient<Channel> {
        AccessServiceClient::new(self.channel.clone())
    }
    pub fn accounts(&self) -> AccountServiceClient<Channel> {
        AccountServiceClient::new(self.channel.clone())
    }
    pub fn proposals(&self) -> ProposalServiceClient<Channel> {
        ProposalServiceClient::new(self.channel.clone())
    }
    /// Proposes a directory in place of another.
    pub async fn propose_directory(&self, replaces: &str, text: &str) -> pb::Proposal {
        use pb::propose_directory_request::Piece;
        let replaces_digest = Sha256::digest(replaces.as_bytes()).to_vec();
        let header = pb::ProposalHeader { request_id: call_id(), replaces_digest, ..Default::default() };
        let chunks = text.as_bytes().chunks(20_000).map(|chunk| Piece::Chunk(chunk.to_vec()));
        let pieces = [Piece::Header(header)].into_iter().chain(chunks);
        let messages: Vec<_> = pieces.map(|piece| pb::ProposeDirectoryRequest { piece: Some(piece) }).collect();
        let proposed = self.proposals().propose_directory(tokio_stream::iter(messages)).await.unwrap();
        proposed.into_inner().proposal.expect("a proposal")
    }
    /// Approves a proposal by the text of it that this one reads.
    pub async fn approve_proposal(
        &self,
        proposal: Option<pb::Proposal>,
    ) -> Result<pb::ApproveProposalResponse, Status> {
        let proposal_id = proposal.expect("a proposal").id;
        let seen = self
            .proposals()
            .get_proposal(pb::GetProposalRequest { proposal_id: proposal_id.clone() })
            .await?
            .into_inner();
        let text = seen.proposal.unwrap().review.unwrap().approval_text;
        let approval_digest = Sha256::digest(text.as_bytes()).to_vec();
        let request =
            pb::ApproveProposalRequest { request_id: call_id(), proposal_id, approval_digest, ..Default::default() };
        Ok(self.proposals().approve_proposal(request).await?.into_inner())
    }
    pub fn policy(&self) -> PolicyServiceClient<Channel> {
        PolicyServiceClient::new(self.channel.clone())
    }
    pub fn audit(&self) -> AuditServiceClient<Channel> {
        AuditServiceClient::new(self.channel.clone())
    }

    pub async fn request(&self, request: pb::RequestElevationRequest) -> Result<pb::Elevation, Status> {
        let response = self.elevations().request_elevation(request).await?.into_inner();
        Ok(response.elevation.expect("an elevation"))
    }

    pub async fn elevation(&self, id: &str) -> Result<pb::Elevation, Status> {
        let request = pb::GetElevationRequest { elevation_id: id.to_owned() };
        Ok(self.elevations().get_elevation(request).await?.into_inner().elevation.expect("an elevation"))
    }

    pub async fn grant(&self, id: &str) -> Result<pb::Grant, Status> {
        let request = pb::GetGrantRequest { grant_id: id.to_owned() };
        Ok(self.grants().get_grant(request).await?.into_inner().grant.expect("a grant"))
    }

    /// Reads the text, computes its digest, approves.
    pub async fn approve(&self, id: &str) -> Result<pb::ApproveElevationResponse, Status> {
        let text = self.elevation(id).await?.review.expect("a review").approval_text;
        self.approve_text(id, &text).await
    }

    /// Approves a text, whoever has shown it.
    pub async fn approve_text(&self, id: &str, text: &str) -> Result<pb::ApproveElevationResponse, Status> {
        let request = pb::ApproveElevationRequest {
            request_id: call_id(),
            elevation_id: id.to_owned(),
            approval_digest: Sha256::digest(text.as_bytes()).to_vec(),
            comment: String::new(),
        };
        Ok(self.elevations().approve_elevation(request).await?.into_inner())
    }

    /// Asks and has the other approve: a grant.
    pub async fn granted(&self, request: pb::RequestElevationRequest, approver: &Self) -> pb::Grant {
        let elevation = self.request(request).await.unwrap();
        approver.approve(&elevation.id).await.unwrap().grant.expect("a grant")
    }

    pub async fn check(&self, subject: &str, action: &str, resource: &str) -> Result<pb::CheckAccessResponse, Status> {
        let (subject, action, resource) = (subject.to_owned(), action.to_owned(), resource.to_owned());
        let request = pb::CheckAccessRequest { subject, action, resource };
        Ok(self.access().check_access(request).await?.into_inner())
    }

    /// What a check says, as a word.
    pub async fn verdict(&self, subject: &str, action: &str, resource: &str) -> (pb::Verdict, pb::CheckReason) {
        let answer = self.check(subject, action, resource).await.unwrap();
        (answer.verdict(), answer.reason())
    }

    pub async fn relinquish(&self, id: &str) -> Result<pb::Grant, Status> {
        let request = pb::RelinquishGrantRequest { request_id: call_id(), grant_id: id.to_owned() };
        Ok(self.grants().relinquish_grant(request).await?.into_inner().grant.expect("a grant"))
    }

    pub async fn revoke(&self, id: &str) -> Result<pb::Grant, Status> {
        let reason = "the repair took another turn".to_owned();
        let request = pb::RevokeGrantRequest { request_id: call_id(), grant_id: id.to_owned(), reason };
        Ok(self.grants().revoke_grant(request).await?.into_inner().grant.expect("a grant"))
    }

    pub async fn deny(&self, id: &str) -> Result<pb::Elevation, Status> {
        let reason = "not during the freeze".to_owned();
        let request = pb::DenyElevationRequest { request_id: call_id(), elevation_id: id.to_owned(), reason };
        Ok(self.elevations().deny_elevation(request).await?.into_inner().elevation.expect("an elevation"))
    }

    pub async fn withdraw(&self, id: &str) -> Result<pb::Elevation, Status> {
        let request = pb::WithdrawElevationRequest { request_id: call_id(), elevation_id: id.to_owned() };
        Ok(self.elevations().withdraw_elevation(request).await?.into_inner().elevation.expect("an elevation"))
    }

    /// Every event that this person may see and that a filter lets through, oldest first.
    pub async fn events(&self, filter: pb::ListEventsRequest) -> Vec<pb::Event> {
        let mut events = Vec::new();
        let mut page_token = String::new();
        loop {
            let request = pb::ListEventsRequest { page_size: 500, page_token, ..filter.clone() };
            let page = self.audit().list_events(request).await.unwrap().into_inner();
            events.extend(page.events);
            page_token = page.next_page_token;
            if page_token.is_empty() {
                return events;
            }
        }
    }
}

/// The reason of a refusal, after a look at its form: one `ErrorInfo` of this domain, and a text that says what to do.
#[track_caller]
pub fn reason(status: &Status) -> String {
    let details = status.get_error_details();
    let info = details.error_info().unwrap_or_else(|| panic!("no reason: {status:?}"));
    assert_eq!(info.domain, "countersign", "{status:?}");
    let text = status.message();
    assert!(!text.starts_with(char::is_uppercase) && !text.ends_with('.') && text.contains("; "), "{text}");
    for word in ["Option", "Some(", "Err(", "::", "prost", "struct"] {
        assert!(!text.contains(word), "{text}");
    }
    info.reason.clone()
}

/// That a call was refused with this code and reason.
#[track_caller]
pub fn refused<T: std::fmt::Debug>(result: Result<T, Status>, code: Code, wanted: &str) -> Status {
    let status = result.expect_err("it was not refused");
    assert_eq!((reason(&status).as_str(), status.code()), (wanted, code), "{status:?}");
    status
}
