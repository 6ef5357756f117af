//! The calls of one message and one answer, as the API lists them.

use super::client::Client;
use super::error::ClientError;
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
        /// Records what the follow-up of an emergency found.
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
        list_proposals(ListProposalsRequest) -> ListProposalsResponse;
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
        /// Begins a campaign over the holders of a role.
        start_recertification(StartRecertificationRequest) -> StartRecertificationResponse;
        /// One campaign, by its id or a unique ending of it.
        get_recertification(GetRecertificationRequest) -> GetRecertificationResponse;
        /// A page of campaigns, newest first.
        list_recertifications(ListRecertificationsRequest) -> ListRecertificationsResponse;
        /// Confirms a membership in a campaign.
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
