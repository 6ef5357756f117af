//! What can be asked of the core. A message parses into one of these or into nothing; none parses into a tick.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::emergency::Finding;
use super::enrolment::MachineAsk;
use super::hr::{HrEvent, ImportedPerson, StreamPlace};
use super::lock::{LockMode, Locked};
use super::proposal::ProposedFile;
use crate::domain::value::ids::{
    AccountId, CampaignId, Digest, ElevationId, EnrolmentId, EntitlementName, GrantId, HoldId, Identity, LockId,
    PersonId, ProposalId, RequestId, RequirementName, RoleName, StreamName,
};
use crate::domain::value::scope::{Action, Pattern};
use crate::domain::value::time::{Now, Span, Timestamp};

/// A command with everything that a decision may look at besides the state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Envelope {
    /// The verified identity of the client certificate.
    pub caller: Identity,
    /// The caller's own id of this call.
    pub request_id: RequestId,
    /// What the clocks say.
    pub now: Now,
    /// Entropy for the ids that this command makes.
    pub nonce: [u8; 16],
    /// What is asked.
    pub command: Command,
}

/// What an account asks the broker to do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Command {
    /// Ask for an entitlement on named resources for a duration.
    RequestElevation(RequestElevation),
    /// Approve exactly this text.
    ApproveElevation {
        /// Which.
        elevation: ElevationId,
        /// SHA-256 of the text that was shown, computed by the client.
        digest: Digest,
        /// For the record.
        comment: String,
    },
    /// End a pending elevation with a no.
    DenyElevation {
        /// Which.
        elevation: ElevationId,
        /// Told to the requester.
        reason: String,
    },
    /// Take one's own pending elevation back.
    WithdrawElevation {
        /// Which.
        elevation: ElevationId,
        /// For the record.
        reason: String,
    },
    /// Say what was found of an emergency.
    CompleteFollowUp {
        /// Which.
        elevation: ElevationId,
        /// SHA-256 of the text that was shown, computed by the client.
        digest: Digest,
        /// What was found.
        finding: Finding,
        /// In their words.
        comment: String,
    },
    /// Give up a grant that one holds.
    RelinquishGrant {
        /// Which.
        grant: GrantId,
        /// For the record.
        reason: String,
    },
    /// End somebody's grant before its time.
    RevokeGrant {
        /// Which.
        grant: GrantId,
        /// Told to the holder.
        reason: String,
    },
    /// Have a token of one's own live grant signed, for one enforcement point.
    IssueGrantToken {
        /// Which.
        grant: GrantId,
        /// The enforcement point's account.
        audience: AccountId,
        /// None: as long as tokens live.
        lifetime: Option<Span>,
        /// SHA-256 of the certificate that the caller presented: the token is good with it alone.
        certificate: Digest,
    },
    /// Ask for an account, for a role, to keep or restore one, or for a machine.
    RequestEnrolment(RequestEnrolment),
    /// Approve exactly this text.
    ApproveEnrolment {
        /// Which.
        enrolment: EnrolmentId,
        /// SHA-256 of the text that was shown, computed by the client.
        digest: Digest,
        /// For the record.
        comment: String,
    },
    /// End a pending enrolment with a no.
    DenyEnrolment {
        /// Which.
        enrolment: EnrolmentId,
        /// Told to whoever asked.
        reason: String,
    },
    /// Take one's own pending enrolment back.
    WithdrawEnrolment {
        /// Which.
        enrolment: EnrolmentId,
        /// For the record.
        reason: String,
    },
    /// Record that a person met a requirement.
    RecordAttestation {
        /// Who.
        person: PersonId,
        /// What.
        requirement: RequirementName,
        /// When; never in the future.
        met_at: Timestamp,
        /// What shows it: a reference, for the record.
        evidence: String,
    },
    /// Put an attestation right, or take it back.
    CorrectAttestation {
        /// Whose.
        person: PersonId,
        /// Of what.
        requirement: RequirementName,
        /// When it was really met; none: it was not.
        met_at: Option<Timestamp>,
        /// For the record.
        reason: String,
    },
    /// End a membership before its time.
    EndMembership {
        /// Whose.
        account: AccountId,
        /// Of what.
        role: RoleName,
        /// For the record.
        reason: String,
    },
    /// Close a service account, for ever.
    CloseAccount {
        /// Which.
        account: AccountId,
        /// For the record.
        reason: String,
    },
    /// What HR says happened, in order.
    ApplyHrEvents {
        /// The place of the first event in a stream; none: it comes in no stream, and nobody waits for more.
        place: Option<StreamPlace>,
        /// All of them, or none. Empty: the feed lives and has nothing to say.
        events: Vec<HrEvent>,
    },
    /// Everybody whom HR knows: the directory is made to agree.
    ImportPeople {
        /// Its place in a stream.
        place: StreamPlace,
        /// Everybody.
        people: BTreeMap<PersonId, ImportedPerson>,
    },
    /// Let through what the brake holds, or throw it away.
    DecideHold {
        /// Which.
        hold: HoldId,
        /// SHA-256 over its events, computed by the client from what was shown.
        digest: Digest,
        /// Whether it goes through.
        release: bool,
        /// For the record.
        reason: String,
    },
    /// Expect no more of a stream.
    RetireStream {
        /// Which.
        stream: StreamName,
        /// For the record.
        reason: String,
    },
    /// Begin a campaign of recertification over the holders of a role.
    StartCampaign {
        /// Which role.
        role: RoleName,
        /// What is not confirmed by then is over.
        due: Timestamp,
    },
    /// Confirm a membership in a campaign.
    ConfirmMembership {
        /// The campaign.
        campaign: CampaignId,
        /// Whose.
        account: AccountId,
    },
    /// Stop something at once.
    CreateLock {
        /// What.
        on: Locked,
        /// What becomes of what it touches.
        mode: LockMode,
        /// Told to those whom it touches.
        reason: String,
        /// When it is lifted by itself; none: by a person alone.
        until: Option<Timestamp>,
    },
    /// Lift a lock.
    DeleteLock {
        /// Which.
        lock: LockId,
        /// For the record.
        reason: String,
    },
    /// Propose another policy or directory.
    ProposeFile {
        /// Which.
        file: ProposedFile,
        /// Digest of the file last loaded.
        replaces: Digest,
        /// The new file.
        text: String,
        /// Why, in the proposer's own words.
        justification: String,
    },
    /// Put exactly this in force.
    ApproveProposal {
        /// Which.
        proposal: ProposalId,
        /// SHA-256 of the text that was shown, computed by the client.
        digest: Digest,
        /// For the record.
        comment: String,
    },
    /// End a pending proposal with a no.
    DenyProposal {
        /// Which.
        proposal: ProposalId,
        /// Told to whoever proposed it.
        reason: String,
    },
    /// Take one's own pending proposal back.
    WithdrawProposal {
        /// Which.
        proposal: ProposalId,
        /// For the record.
        reason: String,
    },
}

/// `RequestElevation`. No field of it carries a state, an approver or an approval (known failures A1 and A5).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RequestElevation {
    /// What is asked for.
    pub entitlement: EntitlementName,
    /// At least one.
    pub actions: BTreeSet<Action>,
    /// At least one: concrete resources or subtrees.
    pub resources: BTreeSet<Pattern>,
    /// None: the entitlement's default.
    pub duration: Option<Span>,
    /// None: at the last approval.
    pub start: Option<Timestamp>,
    /// Why, in the requester's own words.
    pub justification: String,
    /// The ticket that the work belongs to.
    pub ticket: Option<String>,
    /// The person for whom a machine asks.
    pub on_behalf_of: Option<PersonId>,
    /// The grant that this is to follow without a break.
    pub extends: Option<GrantId>,
    /// By the emergency way: asked for by name, never fallen into.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub emergency: bool,
}

/// `RequestEnrolment`. No field of it carries a state, an approver or an approval (known failures A1 and A5).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RequestEnrolment {
    /// What is asked for.
    pub ask: EnrolmentAsk,
    /// Why, in the requester's own words.
    pub justification: String,
}

/// What an enrolment asks for, as it is put: what is left out, the broker fills in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum EnrolmentAsk {
    /// An account for oneself.
    Account {
        /// Its id; none: the person's id, or the first free one made of it.
        account: Option<AccountId>,
    },
    /// A membership.
    Role {
        /// Whose; none: the caller's own account.
        account: Option<AccountId>,
        /// Of what.
        role: RoleName,
        /// Its end; none: as late as the role allows.
        until: Option<Timestamp>,
    },
    /// A membership that a transfer cut.
    Keep {
        /// Whose; none: the caller's own account.
        account: Option<AccountId>,
        /// Of what.
        role: RoleName,
    },
    /// What a lapse disabled and suspended: all that can be restored by now.
    Restore {
        /// Whose; none: the caller's own account.
        account: Option<AccountId>,
    },
    /// A service account.
    Machine(Box<MachineAsk>),
    /// Somebody else's service account.
    TakeOver {
        /// Which.
        account: AccountId,
    },
}

impl Command {
    /// What the journal calls it.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::RequestElevation(_) => "request-elevation",
            Self::ApproveElevation { .. } => "approve-elevation",
            Self::DenyElevation { .. } => "deny-elevation",
            Self::WithdrawElevation { .. } => "withdraw-elevation",
            Self::CompleteFollowUp { .. } => "complete-follow-up",
            Self::RelinquishGrant { .. } => "relinquish-grant",
            Self::RevokeGrant { .. } => "revoke-grant",
            Self::IssueGrantToken { .. } => "issue-grant-token",
            Self::RequestEnrolment(_) => "request-enrolment",
            Self::ApproveEnrolment { .. } => "approve-enrolment",
            Self::DenyEnrolment { .. } => "deny-enrolment",
            Self::WithdrawEnrolment { .. } => "withdraw-enrolment",
            Self::RecordAttestation { .. } => "record-attestation",
            Self::CorrectAttestation { .. } => "correct-attestation",
            Self::EndMembership { .. } => "end-membership",
            Self::CloseAccount { .. } => "close-account",
            Self::ApplyHrEvents { .. } => "apply-hr-events",
            Self::ImportPeople { .. } => "import-people",
            Self::DecideHold { .. } => "decide-hold",
            Self::RetireStream { .. } => "retire-stream",
            Self::StartCampaign { .. } => "start-campaign",
            Self::ConfirmMembership { .. } => "confirm-membership",
            Self::CreateLock { .. } => "create-lock",
            Self::DeleteLock { .. } => "delete-lock",
            Self::ProposeFile { file: ProposedFile::Policy, .. } => "propose-policy",
            Self::ProposeFile { file: ProposedFile::Directory, .. } => "propose-directory",
            Self::ApproveProposal { .. } => "approve-proposal",
            Self::DenyProposal { .. } => "deny-proposal",
            Self::WithdrawProposal { .. } => "withdraw-proposal",
        }
    }

    /// Whether it only takes access away: it goes first, and goes on while the clock is suspect.
    #[must_use]
    pub fn takes_away(&self) -> bool {
        match self {
            Self::DenyElevation { .. }
            | Self::WithdrawElevation { .. }
            | Self::RelinquishGrant { .. }
            | Self::RevokeGrant { .. }
            | Self::DenyEnrolment { .. }
            | Self::WithdrawEnrolment { .. }
            | Self::DenyProposal { .. }
            | Self::WithdrawProposal { .. }
            | Self::EndMembership { .. }
            | Self::CloseAccount { .. }
            | Self::CreateLock { .. } => true,
            Self::ApplyHrEvents { events, .. } => !events.is_empty() && events.iter().all(|it| it.change.is_leaving()),
            Self::CorrectAttestation { met_at, .. } => met_at.is_none(),
            Self::RequestElevation(_)
            | Self::ApproveElevation { .. }
            | Self::CompleteFollowUp { .. }
            | Self::IssueGrantToken { .. }
            | Self::RequestEnrolment(_)
            | Self::ApproveEnrolment { .. }
            | Self::RecordAttestation { .. }
            | Self::ImportPeople { .. }
            | Self::DecideHold { .. }
            | Self::RetireStream { .. }
            | Self::StartCampaign { .. }
            | Self::ConfirmMembership { .. }
            | Self::DeleteLock { .. }
            | Self::ProposeFile { .. }
            | Self::ApproveProposal { .. } => false,
        }
    }

    /// SHA-256 of the parsed command: two calls under one `request_id` are the same if this is.
    #[must_use]
    pub fn digest(&self) -> Digest {
        Digest::of(&serde_json::to_vec(self).unwrap_or_default())
    }
}
