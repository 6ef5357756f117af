//! What happened, as facts in the past tense: the journal's rows. The state is derived from these and nothing else.

mod about;

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::campaign::Campaign;
use super::elevation::{Cancellation, Elevation};
use super::emergency::Completion;
use super::enrolment::{Enrolment, EnrolmentCancellation};
use super::grant::{EndBecause, Grant, Revocation};
use super::hr::{Hold, HrEvent, StreamPlace};
use super::lock::{Lock, Locked};
use super::proposal::{Proposal, ProposalCancellation};
use super::review::{Decision, StruckOut};
use crate::domain::directory::{Account, Person, Tenant};
use crate::domain::value::ids::{
    AccountId, CampaignId, Digest, ElevationId, EnrolmentId, EntitlementName, GrantId, HoldId, LockId, PersonId,
    Principal, ProposalId, RequestId, RequirementName, RoleName, StreamName, TenantName, TokenId,
};
use crate::domain::value::refusal::Reason;
use crate::domain::value::scope::Scope;
use crate::domain::value::time::Timestamp;

/// One row of the journal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// Its place in the journal; the first is 1.
    pub sequence: u64,
    /// Its stamp; never earlier than the one before.
    pub at: Timestamp,
    /// Who caused it.
    pub actor: Actor,
    /// On the first event of a command that carried a `request_id`.
    pub request: Option<RequestMark>,
    /// What happened.
    pub fact: Fact,
}

/// Who caused an event.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Actor {
    /// Somebody who called.
    Caller(Principal),
    /// The broker itself: time passed, or it started.
    Broker,
    /// Whoever runs the binary on the broker's own machine: `init`.
    Operator,
}

/// Binds a `request_id` to the command that took effect under it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RequestMark {
    /// The caller's id of the call.
    pub id: RequestId,
    /// SHA-256 of the parsed command.
    pub command: Digest,
}

/// What an event is about; events are listed and seen by it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Subject {
    /// An elevation.
    Elevation(ElevationId),
    /// A grant.
    Grant(GrantId),
    /// An enrolment.
    Enrolment(EnrolmentId),
    /// A proposal.
    Proposal(ProposalId),
    /// A campaign of recertification.
    Campaign(CampaignId),
    /// A stream of the HR feed.
    Stream(StreamName),
    /// What the HR brake holds.
    Hold(HoldId),
    /// A lock.
    Lock(LockId),
    /// A person.
    Person(PersonId),
    /// An account.
    Account(AccountId),
    /// The tenant that is touched.
    Tenant(TenantName),
    /// The policy.
    Policy,
    /// The directory as a whole.
    Directory,
    /// The broker.
    Broker,
}

/// Readings of both clocks at one moment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClockPair {
    /// The wall clock.
    pub wall: Timestamp,
    /// CLOCK_BOOTTIME in milliseconds.
    pub boot_millis: i64,
    /// Which boot that counts from; empty where the system does not tell.
    pub boot_id: String,
}

macro_rules! facts {
    ($($(#[$doc:meta])* $variant:ident($body:ty) $kind:literal;)*) => {
        /// What happened.
        #[derive(Debug, Clone, PartialEq, Eq)]
        pub enum Fact {
            $($(#[$doc])* $variant($body),)*
        }
        impl Fact {
            /// Its kind with the version of its form.
            #[must_use]
            pub fn kind(&self) -> &'static str {
                match self { $(Self::$variant(_) => $kind,)* }
            }
            /// Every kind there is.
            pub const KINDS: &'static [&'static str] = &[$($kind),*];

            pub(in crate::domain) fn write(&self) -> Result<Box<serde_json::value::RawValue>, serde_json::Error> {
                match self { $(Self::$variant(body) => serde_json::value::to_raw_value(body),)* }
            }
            pub(in crate::domain) fn read(kind: &str, body: &str) -> Result<Option<Self>, serde_json::Error> {
                match kind {
                    $($kind => serde_json::from_str::<$body>(body).map(|body| Some(Self::$variant(body))),)*
                    _ => Ok(None),
                }
            }
        }
    };
}

facts! {
    /// A policy came into force.
    PolicyLoaded(FileLoaded) "policy-loaded/1";
    /// A directory came into force; the records that it changed, and what follows from them, are in the same batch.
    DirectoryLoaded(FileDigest) "directory-loaded/1";
    /// A proposal of policy or directory was proposed; its text follows in pieces.
    ProposalMade(Box<Proposal>) "proposal-made/1";
    /// A piece of the text of a proposed load.
    ProposalTextAdded(ProposalTextAdded) "proposal-text-added/1";
    /// Another holder of the capability approved a proposal; what it brings follows.
    ProposalApproved(ProposalDecision) "proposal-approved/1";
    /// Another holder of the capability said no to a proposal.
    ProposalDenied(ProposalDecision) "proposal-denied/1";
    /// Whoever proposed a proposal took it back.
    ProposalWithdrawn(ProposalWithdrawn) "proposal-withdrawn/1";
    /// The deadline of a proposal passed.
    ProposalExpired(ProposalNamed) "proposal-expired/1";
    /// A change made a proposal void.
    ProposalCancelled(ProposalCancelled) "proposal-cancelled/1";
    /// Those behind a proposal, and who approved it, use nothing yet of what it widened.
    AuthorsWait(AuthorsWait) "authors-wait/1";
    /// A tenant is on record as this.
    TenantRecorded(TenantRecorded) "tenant-recorded/1";
    /// A person is on record as this.
    PersonRecorded(PersonRecorded) "person-recorded/1";
    /// An account is on record as this.
    AccountRecorded(AccountRecorded) "account-recorded/1";
    /// A requirement of a person lapsed.
    RequirementLapsed(RequirementLapsed) "requirement-lapsed/1";
    /// A membership came to its end.
    MembershipEnded(MembershipEnded) "membership-ended/1";
    /// An account came to its own end.
    AccountEnded(AccountEnded) "account-ended/1";
    /// A requirement of a person lapses soon: 30, 7 and 1 days ahead.
    LapseAhead(LapseAhead) "lapse-ahead/1";
    /// Somebody whose task it is recorded that a person met a requirement; the person's record follows.
    AttestationRecorded(AttestationRecorded) "attestation-recorded/1";
    /// An attestation was corrected, or taken back; the person's record follows.
    AttestationCorrected(AttestationCorrected) "attestation-corrected/1";
    /// A person left: the last day is over. The records that it changes follow.
    PersonLeft(PersonNamed) "person-left/1";
    /// A transfer took effect. The records that it changes follow.
    PersonMoved(PersonNamed) "person-moved/1";
    /// Somebody ended a membership before its time; the account's record follows.
    MembershipRevoked(MembershipRevoked) "membership-revoked/1";
    /// Somebody closed an account; its record follows.
    AccountClosed(AccountClosed) "account-closed/1";
    /// HR said that something happened to a person. The records that it changes follow.
    HrEventApplied(HrEventApplied) "hr-event-applied/1";
    /// HR's numbers were heard; where there is nothing to say, this says that the feed lives.
    HrFeedHeard(HrFeedHeard) "hr-feed-heard/1";
    /// A whole file from HR was compared with the directory; what differs is in the same batch.
    HrImported(HrImported) "hr-imported/1";
    /// The brake holds what would enable or disable many.
    HrHeld(Box<Hold>) "hr-held/1";
    /// What the brake held was let through, or thrown away.
    HrHoldDecided(HrHoldDecided) "hr-hold-decided/1";
    /// A stream is no longer expected.
    HrStreamRetired(HrStreamRetired) "hr-stream-retired/1";
    /// An enrolment was asked for.
    EnrolmentRequested(Box<Enrolment>) "enrolment-requested/1";
    /// An approver approved an enrolment.
    EnrolmentApprovalRecorded(EnrolmentDecision) "enrolment-approval-recorded/1";
    /// An approval of an enrolment no longer counts.
    EnrolmentApprovalStruck(EnrolmentApprovalStruck) "enrolment-approval-struck/1";
    /// All stages are complete; the records that it changes follow.
    EnrolmentApproved(EnrolmentNamed) "enrolment-approved/1";
    /// A reviewer said no.
    EnrolmentDenied(EnrolmentDecision) "enrolment-denied/1";
    /// Who asked took it back.
    EnrolmentWithdrawn(EnrolmentWithdrawn) "enrolment-withdrawn/1";
    /// Its deadline passed.
    EnrolmentExpired(EnrolmentNamed) "enrolment-expired/1";
    /// A change made it void.
    EnrolmentCancelled(EnrolmentCancelled) "enrolment-cancelled/1";
    /// A campaign of recertification began; each membership must be confirmed by its date.
    CampaignStarted(Box<Campaign>) "campaign-started/1";
    /// A manager confirmed a membership; the account's record follows.
    MembershipConfirmed(CampaignItemNamed) "membership-confirmed/1";
    /// A campaign's date passed.
    CampaignClosed(CampaignNamed) "campaign-closed/1";
    /// An elevation was asked for.
    ElevationRequested(Box<Elevation>) "elevation-requested/1";
    /// An approver approved.
    ApprovalRecorded(DecisionRecorded) "approval-recorded/1";
    /// An approval no longer counts.
    ApprovalStruck(ApprovalStruck) "approval-struck/1";
    /// All stages are complete.
    ElevationApproved(ElevationApproved) "elevation-approved/1";
    /// A reviewer said no.
    ElevationDenied(DecisionRecorded) "elevation-denied/1";
    /// The requester took it back.
    ElevationWithdrawn(ElevationClosed) "elevation-withdrawn/1";
    /// Its deadline passed.
    ElevationExpired(ElevationExpired) "elevation-expired/1";
    /// A change made it void.
    ElevationCancelled(ElevationCancelled) "elevation-cancelled/1";
    /// An emergency led to a grant: those who would have reviewed it by the ordinary way owe a follow-up.
    FollowUpOpened(FollowUpOpened) "follow-up-opened/1";
    /// A follow-up's time passed.
    FollowUpOverdue(FollowUpOverdue) "follow-up-overdue/1";
    /// One of the ordinary approvers said what was found.
    FollowUpCompleted(FollowUpCompleted) "follow-up-completed/1";
    /// A grant came to be.
    GrantIssued(Box<Grant>) "grant-issued/1";
    /// A scheduled grant started.
    GrantStarted(GrantStarted) "grant-started/1";
    /// A grant's end moved forward in time; it never moves back.
    GrantShortened(GrantShortened) "grant-shortened/1";
    /// A grant's time came.
    GrantEnded(GrantNamed) "grant-ended/1";
    /// The holder gave it up.
    GrantRelinquished(GrantClosed) "grant-relinquished/1";
    /// An act or event ended it before its time.
    GrantRevoked(GrantRevoked) "grant-revoked/1";
    /// The holder had a token signed, for one enforcement point.
    GrantTokenIssued(Box<GrantTokenIssued>) "grant-token-issued/1";
    /// Something was stopped at once. What a revoking lock ends follows.
    LockCreated(Box<Lock>) "lock-created/1";
    /// Somebody lifted a lock.
    LockDeleted(LockDeleted) "lock-deleted/1";
    /// A lock's time came.
    LockEnded(LockNamed) "lock-ended/1";
    /// A command was refused.
    CommandRefused(CommandRefused) "command-refused/1";
    /// More commands of a caller were refused than are told one by one.
    RefusalsCounted(RefusalsCounted) "refusals-counted/1";
    /// What closed long ago left memory.
    Pruned(Pruned) "pruned/1";
    /// The broker started.
    BrokerStarted(BrokerStarted) "broker-started/1";
    /// Both clocks, while anything is live.
    ClockRead(ClockPair) "clock-read/1";
    /// An operator accepted the wall clock as it is.
    ClockAccepted(ClockPair) "clock-accepted/1";
    /// Rows without an end of their batch have no effect.
    RowsAbandoned(RowsAbandoned) "rows-abandoned/1";
}

macro_rules! bodies {
    ($($(#[$doc:meta])* $name:ident { $($(#[$field_attribute:meta])* $field:ident: $type:ty),* $(,)? })*) => {
        $($(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
        #[serde(deny_unknown_fields)]
        pub struct $name { $($(#[$field_attribute])* pub $field: $type),* })*
    };
}

bodies! {
    /// A file as a whole.
    FileLoaded { digest: Digest, replaces: Option<Digest>, text: String }
    /// A file by its digest.
    FileDigest { digest: Digest, replaces: Option<Digest> }
    /// A piece of a file, in order.
    ProposalTextAdded { proposal: ProposalId, text: String }
    /// A decision of a reviewer.
    ProposalDecision { proposal: ProposalId, decision: Decision }
    /// Which, by whom, and why.
    ProposalWithdrawn { proposal: ProposalId, by: Principal, reason: String }
    /// Which.
    ProposalNamed { proposal: ProposalId }
    /// Why.
    ProposalCancelled { proposal: ProposalId, because: ProposalCancellation }
    /// Who, of what, and the first instant at which it is over.
    AuthorsWait { proposal: ProposalId, persons: BTreeSet<PersonId>, entitlements: BTreeSet<EntitlementName>, until: Timestamp }
    /// A tenant's record.
    TenantRecorded { id: TenantName, tenant: Tenant }
    /// A person's record.
    PersonRecorded { id: PersonId, person: Person }
    /// An account's record.
    AccountRecorded { id: AccountId, account: Account }
    /// What lapsed.
    RequirementLapsed { person: PersonId, requirement: RequirementName }
    /// What ended.
    MembershipEnded { account: AccountId, role: RoleName }
    /// What ended.
    AccountEnded { account: AccountId }
    /// What lapses, when, and how many days ahead this is told.
    LapseAhead { person: PersonId, requirement: RequirementName, lapses_at: Timestamp, days: u32 }
    /// What was met, when, and what shows it.
    AttestationRecorded { person: PersonId, requirement: RequirementName, met_at: Timestamp, evidence: String }
    /// What stood, what stands now (none: nothing), and why.
    AttestationCorrected { person: PersonId, requirement: RequirementName, before: Option<Timestamp>, met_at: Option<Timestamp>, reason: String }
    /// Who.
    PersonNamed { person: PersonId }
    /// Which, and why.
    MembershipRevoked { account: AccountId, role: RoleName, by: Principal, reason: String }
    /// Which, and why.
    AccountClosed { account: AccountId, by: Principal, reason: String }
    /// What, its place in a stream, if it came in one, and whether a person let it through the brake.
    HrEventApplied {
        place: Option<StreamPlace>,
        event: HrEvent,
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        released: bool,
    }
    /// Up to which number, and from which account.
    HrFeedHeard { place: StreamPlace, sender: AccountId }
    /// Its place, what it held, and how much of it was new.
    HrImported { place: StreamPlace, sender: AccountId, people: u32, changes: u32, held: u32 }
    /// Which, and whether it went through.
    HrHoldDecided { hold: HoldId, released: bool, reason: String }
    /// Which.
    HrStreamRetired { stream: StreamName, reason: String }
    /// A decision of a reviewer.
    EnrolmentDecision { enrolment: EnrolmentId, decision: Decision }
    /// An approval that no longer counts, and why.
    EnrolmentApprovalStruck { enrolment: EnrolmentId, person: PersonId, because: StruckOut }
    /// Which.
    EnrolmentNamed { enrolment: EnrolmentId }
    /// Which, by whom, and why.
    EnrolmentWithdrawn { enrolment: EnrolmentId, by: Principal, reason: String }
    /// Why.
    EnrolmentCancelled { enrolment: EnrolmentId, because: EnrolmentCancellation }
    /// Whose membership.
    CampaignItemNamed { campaign: CampaignId, account: AccountId }
    /// Which.
    CampaignNamed { campaign: CampaignId }
    /// A decision of a reviewer.
    DecisionRecorded { elevation: ElevationId, decision: Decision }
    /// An approval that no longer counts, and why.
    ApprovalStruck { elevation: ElevationId, person: PersonId, because: StruckOut }
    /// The grant that it led to.
    ElevationApproved { elevation: ElevationId, grant: GrantId }
    /// Closed by the requester.
    ElevationClosed { elevation: ElevationId, by: Principal, reason: String }
    /// Its deadline.
    ElevationExpired { elevation: ElevationId }
    /// Why.
    ElevationCancelled { elevation: ElevationId, because: Cancellation }
    /// A follow-up is owed.
    FollowUpOpened { elevation: ElevationId, grant: GrantId, due: Timestamp }
    /// A follow-up is late.
    FollowUpOverdue { elevation: ElevationId }
    /// A follow-up is done.
    FollowUpCompleted { elevation: ElevationId, completion: Completion }
    /// A grant, by its id.
    GrantNamed { grant: GrantId, holder: AccountId }
    /// Since when its person holds the entitlement without a break.
    GrantStarted { grant: GrantId, holder: AccountId, continuous_since: Timestamp }
    /// Its new end.
    GrantShortened { grant: GrantId, holder: AccountId, end: Timestamp, because: EndBecause }
    /// Closed by the holder.
    GrantClosed { grant: GrantId, holder: AccountId, by: Principal, reason: String }
    /// Why.
    GrantRevoked { grant: GrantId, holder: AccountId, because: Revocation }
    /// All that the token says; not the token.
    GrantTokenIssued { token: TokenId, grant: GrantId, holder: AccountId, audience: AccountId, certificate: Digest, scope: Scope, expires: Timestamp }
    /// Which, on what, by whom, and why.
    LockDeleted { lock: LockId, on: Locked, by: Principal, reason: String }
    /// Which, and on what.
    LockNamed { lock: LockId, on: Locked }
    /// The true reason, and what the caller was told if that was less.
    CommandRefused { command: String, reason: Reason, told: Option<Reason>, detail: String, facts: BTreeMap<String, String>, about: Option<String> }
    /// How many within the minute that begins at `minute`.
    RefusalsCounted { caller: Principal, minute: Timestamp, count: u32 }
    /// What left.
    Pruned {
        elevations: BTreeSet<ElevationId>,
        grants: BTreeSet<GrantId>,
        #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
        enrolments: BTreeSet<EnrolmentId>,
        #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
        campaigns: BTreeSet<CampaignId>,
        #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
        proposals: BTreeSet<ProposalId>,
        requests_before: Timestamp,
    }
    /// With which version and clocks.
    BrokerStarted { version: String, clock: ClockPair }
    /// Which rows.
    RowsAbandoned { first: u64, last: u64 }
}

impl std::fmt::Display for Actor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Caller(principal) => write!(f, "{principal}"),
            Self::Broker => f.write_str("broker"),
            Self::Operator => f.write_str("operator"),
        }
    }
}
