//! The calls of the API over one connection, each with its time limit, its retries and its typed error.

use std::future::Future;
use std::time::Duration;

use backon::{ExponentialBuilder, Retryable as _};
use tonic::transport::Channel;
use tonic::{Request, Response, Status, Streaming};

use super::answer::CheckedAccess;
use super::builder::ClientBuilder;
use super::error::ClientError;
use super::watch::Watch;
use crate::wire::v1;
use crate::wire::v1::access_service_client::AccessServiceClient;
use crate::wire::v1::account_service_client::AccountServiceClient;
use crate::wire::v1::audit_service_client::AuditServiceClient;
use crate::wire::v1::elevation_service_client::ElevationServiceClient;
use crate::wire::v1::enrolment_service_client::EnrolmentServiceClient;
use crate::wire::v1::grant_service_client::GrantServiceClient;
use crate::wire::v1::hr_service_client::HrServiceClient;
use crate::wire::v1::lock_service_client::LockServiceClient;
use crate::wire::v1::policy_service_client::PolicyServiceClient;
use crate::wire::v1::proposal_service_client::ProposalServiceClient;
use crate::wire::v1::recertification_service_client::RecertificationServiceClient;
use crate::wire::v1::token_service_client::TokenServiceClient;
use crate::wire::v1::{import_people_request, propose_directory_request, propose_policy_request};

/// The longest piece of a file that is sent at once: the API takes less than 32 KiB.
const PIECE_BYTES: usize = 24 * 1024;
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// A connection to a broker. Cheap to clone; all clones share it.
///
/// Every mutating message carries a `request_id`, so a call that met no answer is sent again as it is: it takes effect
/// once (design.md 4, Idempotency).
#[derive(Debug, Clone)]
pub struct Client {
    channel: Channel,
    address: String,
    call_timeout: Duration,
    retries: usize,
}

macro_rules! calls {
    ($($service:ident { $($(#[$doc:meta])* $method:ident($request:ident) -> $response:ident;)* })*) => {
        impl Client {
            $($(
                $(#[$doc])*
                ///
                /// # Errors
                /// If the broker refuses, cannot be reached or does not answer in time.
                pub async fn $method(&self, request: v1::$request) -> Result<v1::$response, ClientError> {
                    self.call(request, |channel, request| async move {
                        $service::new(channel).$method(request).await
                    }).await
                }
            )*)*
        }
    };
}

calls! {
    ElevationServiceClient {
        /// What policy offers to the caller, and all that stands in the way of asking for it now.
        list_entitlements(ListEntitlementsRequest) -> ListEntitlementsResponse;
        /// Asks for an entitlement on named resources for a duration.
        request_elevation(RequestElevationRequest) -> RequestElevationResponse;
        /// One elevation, by its id or a unique ending of it.
        get_elevation(GetElevationRequest) -> GetElevationResponse;
        /// A page of elevations, newest first.
        list_elevations(ListElevationsRequest) -> ListElevationsResponse;
        /// Approves. The digest is SHA-256 over the bytes of the text that the approver was shown: compute it over those.
        approve_elevation(ApproveElevationRequest) -> ApproveElevationResponse;
        /// Denies, which ends the review.
        deny_elevation(DenyElevationRequest) -> DenyElevationResponse;
        /// Says what was found of an emergency.
        complete_follow_up(CompleteFollowUpRequest) -> CompleteFollowUpResponse;
        /// Takes a pending request back.
        withdraw_elevation(WithdrawElevationRequest) -> WithdrawElevationResponse;
        /// How a request would fare.
        explain_elevation(ExplainElevationRequest) -> ExplainElevationResponse;
    }
    GrantServiceClient {
        /// One grant, by its id or a unique ending of it.
        get_grant(GetGrantRequest) -> GetGrantResponse;
        /// A page of grants, newest first. To guard something, check; never list.
        list_grants(ListGrantsRequest) -> ListGrantsResponse;
        /// Gives a grant up.
        relinquish_grant(RelinquishGrantRequest) -> RelinquishGrantResponse;
        /// Takes a grant away.
        revoke_grant(RevokeGrantRequest) -> RevokeGrantResponse;
    }
    LockServiceClient {
        /// Stops something at once, on every path.
        create_lock(CreateLockRequest) -> CreateLockResponse;
        /// Lifts a lock.
        delete_lock(DeleteLockRequest) -> DeleteLockResponse;
        /// One lock in force, by its id or a unique ending of it.
        get_lock(GetLockRequest) -> GetLockResponse;
        /// A page of the locks in force, newest first.
        list_locks(ListLocksRequest) -> ListLocksResponse;
    }
    AccessServiceClient {
        /// One check, as the API has it. [`Client::check`] is the safer form.
        check_access(CheckAccessRequest) -> CheckAccessResponse;
        /// Up to 128 checks at one sequence.
        batch_check_access(BatchCheckAccessRequest) -> BatchCheckAccessResponse;
        /// Why a check answers as it does. Slow; for people.
        explain_check(ExplainCheckRequest) -> ExplainCheckResponse;
    }
    AccountServiceClient {
        /// Who the caller is to the broker.
        who_am_i(WhoAmIRequest) -> WhoAmIResponse;
        /// One account.
        get_account(GetAccountRequest) -> GetAccountResponse;
        /// A page of accounts, by id.
        list_accounts(ListAccountsRequest) -> ListAccountsResponse;
        /// One person.
        get_person(GetPersonRequest) -> GetPersonResponse;
        /// A page of persons, by id.
        list_persons(ListPersonsRequest) -> ListPersonsResponse;
        /// Records that a person met a requirement.
        record_attestation(RecordAttestationRequest) -> RecordAttestationResponse;
        /// Puts an attestation right, or takes it back.
        correct_attestation(CorrectAttestationRequest) -> CorrectAttestationResponse;
        /// Ends a membership before its time.
        end_membership(EndMembershipRequest) -> EndMembershipResponse;
        /// Closes a service account for ever.
        close_account(CloseAccountRequest) -> CloseAccountResponse;
    }
    EnrolmentServiceClient {
        /// Asks for an account, for a role, to keep or restore one, or for a machine.
        request_enrolment(RequestEnrolmentRequest) -> RequestEnrolmentResponse;
        /// One enrolment, by its id or a unique ending of it.
        get_enrolment(GetEnrolmentRequest) -> GetEnrolmentResponse;
        /// A page of enrolments, newest first.
        list_enrolments(ListEnrolmentsRequest) -> ListEnrolmentsResponse;
        /// Approves. The digest is SHA-256 over the bytes of the text that the approver was shown: compute it over those.
        approve_enrolment(ApproveEnrolmentRequest) -> ApproveEnrolmentResponse;
        /// Denies, which ends the review.
        deny_enrolment(DenyEnrolmentRequest) -> DenyEnrolmentResponse;
        /// Takes a pending enrolment back.
        withdraw_enrolment(WithdrawEnrolmentRequest) -> WithdrawEnrolmentResponse;
    }
    ProposalServiceClient {
        /// One proposal of policy or directory.
        get_proposal(GetProposalRequest) -> GetProposalResponse;
        /// A page of proposals, newest first.
        list_proposals(ListLoadsRequest) -> ListLoadsResponse;
        /// Approves. The digest is SHA-256 over the bytes of the text that the approver was shown: compute it over those.
        approve_proposal(ApproveProposalRequest) -> ApproveProposalResponse;
        /// Denies, which ends the review.
        deny_proposal(DenyProposalRequest) -> DenyProposalResponse;
        /// Takes a pending proposal back.
        withdraw_proposal(WithdrawProposalRequest) -> WithdrawProposalResponse;
    }
    HrServiceClient {
        /// Applies what HR says happened, all of it or nothing.
        apply_hr_events(ApplyHrEventsRequest) -> ApplyHrEventsResponse;
        /// Lets through what the brake holds, or throws it away.
        release_brake(ReleaseBrakeRequest) -> ReleaseBrakeResponse;
        /// Expects no more of a stream.
        retire_stream(RetireStreamRequest) -> RetireStreamResponse;
        /// How far each stream was heard, and what the brake holds.
        get_feed_status(GetFeedStatusRequest) -> GetFeedStatusResponse;
    }
    RecertificationServiceClient {
        /// Begins a round over the holders of a role.
        start_recertification(StartRecertificationRequest) -> StartRecertificationResponse;
        /// One round, by its id or a unique ending of it.
        get_recertification(GetRecertificationRequest) -> GetRecertificationResponse;
        /// A page of rounds, newest first.
        list_recertifications(ListRecertificationsRequest) -> ListRecertificationsResponse;
        /// Confirms a membership in a round.
        confirm_membership(ConfirmMembershipRequest) -> ConfirmMembershipResponse;
    }
    TokenServiceClient {
        /// A token of the caller's own live grant, for one enforcement point.
        issue_grant_token(IssueGrantTokenRequest) -> IssueGrantTokenResponse;
        /// The keys as the broker publishes them. [`Client::token_keys`] reads them.
        get_signing_keys(GetSigningKeysRequest) -> GetSigningKeysResponse;
    }
    PolicyServiceClient {
        /// The policy in force.
        get_policy(GetPolicyRequest) -> GetPolicyResponse;
    }
    AuditServiceClient {
        /// A page of events, oldest first.
        list_events(ListEventsRequest) -> ListEventsResponse;
        /// Who could do something at an instant, by what, and who approved it.
        list_access_as_of(ListAccessAsOfRequest) -> ListAccessAsOfResponse;
        /// What stood without a grant at an instant, and that nothing else did.
        report_standing(ReportStandingRequest) -> ReportStandingResponse;
    }
}

impl Client {
    /// Begins to build a client of the broker at `address`: `https://host:port`, or `host:port`.
    pub fn builder(address: impl Into<String>) -> ClientBuilder {
        ClientBuilder::new(address)
    }

    /// Whether `subject` (an account, or one of its identities) may do `action` on `resource` now.
    ///
    /// # Errors
    /// If it could not be decided. Take that as a deny.
    pub async fn check(&self, subject: &str, action: &str, resource: &str) -> Result<CheckedAccess, ClientError> {
        let request = v1::CheckAccessRequest {
            subject: subject.to_owned(),
            action: action.to_owned(),
            resource: resource.to_owned(),
        };
        self.check_access(request).await.map(CheckedAccess::from)
    }

    /// Proposes a policy, or with `validate_only` tells what it would do.
    ///
    /// # Errors
    /// If the broker refuses, cannot be reached or does not answer in time. Mistakes in the file are no error.
    pub async fn propose_policy(
        &self,
        header: v1::ProposalHeader,
        file: &[u8],
    ) -> Result<v1::ProposePolicyResponse, ClientError> {
        let first = propose_policy_request::Piece::Header(header);
        let chunks = file.chunks(PIECE_BYTES).map(|chunk| propose_policy_request::Piece::Chunk(chunk.to_vec()));
        let pieces: Vec<_> =
            std::iter::once(first).chain(chunks).map(|piece| v1::ProposePolicyRequest { piece: Some(piece) }).collect();
        self.call(pieces, |channel, pieces| async move {
            PolicyServiceClient::new(channel).propose_policy(pieces.map(tokio_stream::iter)).await
        })
        .await
    }

    /// Finds every mistake of a policy by itself. Changes nothing.
    ///
    /// # Errors
    /// If the broker refuses, cannot be reached or does not answer in time.
    pub async fn validate_policy(&self, file: &[u8]) -> Result<v1::ValidatePolicyResponse, ClientError> {
        let chunks = file.chunks(PIECE_BYTES).map(|chunk| v1::ValidatePolicyRequest { chunk: chunk.to_vec() });
        self.call(chunks.collect::<Vec<_>>(), |channel, pieces| async move {
            PolicyServiceClient::new(channel).validate_policy(pieces.map(tokio_stream::iter)).await
        })
        .await
    }

    /// Proposes a directory, or with `validate_only` tells what it would do.
    ///
    /// # Errors
    /// If the broker refuses, cannot be reached or does not answer in time. Mistakes in the file are no error.
    pub async fn propose_directory(
        &self,
        header: v1::ProposalHeader,
        file: &[u8],
    ) -> Result<v1::ProposeDirectoryResponse, ClientError> {
        let first = propose_directory_request::Piece::Header(header);
        let chunks = file.chunks(PIECE_BYTES).map(|chunk| propose_directory_request::Piece::Chunk(chunk.to_vec()));
        let pieces: Vec<_> = std::iter::once(first)
            .chain(chunks)
            .map(|piece| v1::ProposeDirectoryRequest { piece: Some(piece) })
            .collect();
        self.call(pieces, |channel, pieces| async move {
            AccountServiceClient::new(channel).propose_directory(pieces.map(tokio_stream::iter)).await
        })
        .await
    }

    /// Makes the directory agree with a file of everybody whom HR knows, or with `validate_only` tells what that would do.
    ///
    /// # Errors
    /// If the broker refuses, cannot be reached or does not answer in time. Mistakes in the file are no error.
    pub async fn import_people(
        &self,
        header: v1::ImportHeader,
        file: &[u8],
    ) -> Result<v1::ImportPeopleResponse, ClientError> {
        let first = import_people_request::Piece::Header(header);
        let chunks = file.chunks(PIECE_BYTES).map(|chunk| import_people_request::Piece::Chunk(chunk.to_vec()));
        let pieces: Vec<_> =
            std::iter::once(first).chain(chunks).map(|piece| v1::ImportPeopleRequest { piece: Some(piece) }).collect();
        self.call(pieces, |channel, pieces| async move {
            HrServiceClient::new(channel).import_people(pieces.map(tokio_stream::iter)).await
        })
        .await
    }

    /// All that the brake holds under one id, as the JSON that a release names the digest of.
    ///
    /// # Errors
    /// If the broker refuses, cannot be reached or does not answer in time.
    pub async fn held_events(&self, hold_id: &str) -> Result<Vec<u8>, ClientError> {
        let request = v1::GetHeldEventsRequest { hold_id: hold_id.to_owned() };
        let pieces =
            self.call(request, |channel, request| async move {
                HrServiceClient::new(channel).get_held_events(request).await
            })
            .await?;
        self.gather(pieces, |bytes: &mut Vec<u8>, piece| bytes.extend(piece.chunk)).await
    }

    /// The file that a pending proposal would put in force.
    ///
    /// # Errors
    /// If the broker refuses, cannot be reached or does not answer in time.
    pub async fn proposal_text(&self, proposal_id: &str) -> Result<Vec<u8>, ClientError> {
        let request = v1::GetProposalTextRequest { proposal_id: proposal_id.to_owned() };
        let pieces = self
            .call(request, |channel, request| async move {
                ProposalServiceClient::new(channel).get_proposal_text(request).await
            })
            .await?;
        self.gather(pieces, |bytes: &mut Vec<u8>, piece| bytes.extend(piece.chunk)).await
    }

    /// The record of the caller's own tenant, as the broker signed it, and what it is verified with.
    ///
    /// # Errors
    /// If the broker refuses, cannot be reached or does not answer in time.
    pub async fn export_tenant_record(
        &self,
        request: v1::ExportTenantRecordRequest,
    ) -> Result<(String, Vec<u8>), ClientError> {
        let pieces = self
            .call(request, |channel, request| async move {
                AuditServiceClient::new(channel).export_tenant_record(request).await
            })
            .await?;
        self.gather(pieces, |(verifier_key, record): &mut (String, Vec<u8>), piece| {
            verifier_key.push_str(&piece.verifier_key);
            record.extend(piece.chunk);
        })
        .await
    }

    /// All that is told in pieces, put together.
    async fn gather<Piece, Whole: Default>(
        &self,
        mut pieces: Streaming<Piece>,
        add: impl Fn(&mut Whole, Piece),
    ) -> Result<Whole, ClientError> {
        let mut whole = Whole::default();
        let failed = |status: Status| ClientError::from_status(&status, &self.address, self.call_timeout);
        while let Some(piece) = pieces.message().await.map_err(failed)? {
            add(&mut whole, piece);
        }
        Ok(whole)
    }

    /// In how many of the replicas that are connected now everything up to a sequence is in force: told each time that it
    /// changes, until it is all of them or 30 s have passed.
    ///
    /// # Errors
    /// If the broker refuses or cannot be reached.
    pub async fn await_replicas(&self, sequence: &str) -> Result<Streaming<v1::AwaitReplicasResponse>, ClientError> {
        let request = v1::AwaitReplicasRequest { sequence: sequence.to_owned() };
        self.call(
            request,
            |channel, request| async move { GrantServiceClient::new(channel).await_replicas(request).await },
        )
        .await
    }

    /// Every event about the elevations that the caller may see, or about one of them, resuming where it broke off.
    #[must_use]
    pub fn watch_elevations(&self, request: v1::WatchElevationsRequest) -> Watch<v1::WatchElevationsResponse> {
        let channel = self.channel.clone();
        let after = request.after_sequence.clone();
        self.watch(
            after,
            Box::new(move |after_sequence| {
                let request = v1::WatchElevationsRequest { after_sequence, ..request.clone() };
                let mut service = ElevationServiceClient::new(channel.clone());
                Box::pin(async move { service.watch_elevations(request).await.map(Response::into_inner) })
            }),
        )
    }

    /// Every event about the enrolments that the caller may see, resuming where it broke off.
    #[must_use]
    pub fn watch_enrolments(&self, request: v1::WatchEnrolmentsRequest) -> Watch<v1::WatchEnrolmentsResponse> {
        let channel = self.channel.clone();
        self.watch(
            request.after_sequence,
            Box::new(move |after_sequence| {
                let mut service = EnrolmentServiceClient::new(channel.clone());
                let request = v1::WatchEnrolmentsRequest { after_sequence };
                Box::pin(async move { service.watch_enrolments(request).await.map(Response::into_inner) })
            }),
        )
    }

    /// Every event about the accounts and persons that the caller may see, resuming where it broke off.
    #[must_use]
    pub fn watch_accounts(&self, request: v1::WatchAccountsRequest) -> Watch<v1::WatchAccountsResponse> {
        let channel = self.channel.clone();
        self.watch(
            request.after_sequence,
            Box::new(move |after_sequence| {
                let mut service = AccountServiceClient::new(channel.clone());
                let request = v1::WatchAccountsRequest { after_sequence };
                Box::pin(async move { service.watch_accounts(request).await.map(Response::into_inner) })
            }),
        )
    }

    /// Every event about the grants that the caller may see, or about one of them, resuming where it broke off.
    #[must_use]
    pub fn watch_grants(&self, request: v1::WatchGrantsRequest) -> Watch<v1::WatchGrantsResponse> {
        let channel = self.channel.clone();
        let after = request.after_sequence.clone();
        self.watch(
            after,
            Box::new(move |after_sequence| {
                let request = v1::WatchGrantsRequest { after_sequence, ..request.clone() };
                let mut service = GrantServiceClient::new(channel.clone());
                Box::pin(async move { service.watch_grants(request).await.map(Response::into_inner) })
            }),
        )
    }

    /// Every event that the caller may see, resuming where it broke off.
    #[must_use]
    pub fn watch_events(&self, request: v1::WatchEventsRequest) -> Watch<v1::WatchEventsResponse> {
        let channel = self.channel.clone();
        let after = request.after_sequence.clone();
        self.watch(
            after,
            Box::new(move |after_sequence| {
                let request = v1::WatchEventsRequest { after_sequence, ..request.clone() };
                let mut service = AuditServiceClient::new(channel.clone());
                Box::pin(async move { service.watch_events(request).await.map(Response::into_inner) })
            }),
        )
    }

    pub(super) fn new(channel: Channel, address: String, call_timeout: Duration, retries: usize) -> Self {
        Self { channel, address, call_timeout, retries }
    }

    fn watch<T>(&self, after: String, open: super::watch::Open<T>) -> Watch<T> {
        Watch::new(open, after, self.address.clone(), self.pauses())
    }

    fn pauses(&self) -> ExponentialBuilder {
        ExponentialBuilder::default()
            .with_jitter()
            .with_min_delay(FIRST_PAUSE)
            .with_max_delay(LONGEST_PAUSE)
            .with_max_times(self.retries)
    }

    pub(super) fn channel(&self) -> Channel {
        self.channel.clone()
    }

    pub(super) fn call_timeout(&self) -> Duration {
        self.call_timeout
    }

    pub(super) fn address(&self) -> &str {
        &self.address
    }

    async fn call<Message, Answer, Sent>(
        &self,
        message: Message,
        send: impl Fn(Channel, Request<Message>) -> Sent,
    ) -> Result<Answer, ClientError>
    where
        Message: Clone,
        Sent: Future<Output = Result<Response<Answer>, Status>>,
    {
        let attempt = || async {
            let mut request = Request::new(message.clone());
            request.set_timeout(self.call_timeout);
            let answer = send(self.channel.clone(), request).await;
            answer
                .map(Response::into_inner)
                .map_err(|status| ClientError::from_status(&status, &self.address, self.call_timeout))
        };
        attempt
            .retry(self.pauses())
            .when(ClientError::is_transient)
            .adjust(|error, pause| pause.map(|pause| pause.max(asked_pause(error))))
            .await
    }
}

/// The pause that the broker asked for, within reason.
pub(super) fn asked_pause(error: &ClientError) -> Duration {
    match error {
        ClientError::Refused(refused) => refused.retry_after.unwrap_or_default().min(LONGEST_PAUSE),
        _ => Duration::ZERO,
    }
}

#[cfg(all(test, feature = "server", feature = "cli"))]
#[path = "client_tests.rs"]
mod tests;
