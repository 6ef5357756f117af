//! Why the core says no. One table: reason, gRPC code, exit code, meaning, remedy. docs/errors.md is printed from it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::time::Span;

/// A gRPC status code, by name: the core knows no transport.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Code {
    /// The message itself is malformed.
    InvalidArgument,
    /// Nobody is known by this certificate.
    Unauthenticated,
    /// Who asks may not.
    PermissionDenied,
    /// It is not there, or the caller may not know that it is.
    NotFound,
    /// The state forbids it.
    FailedPrecondition,
    /// Another call under the same id said something else.
    AlreadyExists,
    /// A cap is reached.
    ResourceExhausted,
    /// It cannot be decided now; a retry helps.
    Unavailable,
    /// What was asked for is gone from here; begin anew.
    OutOfRange,
}

macro_rules! catalogue {
    ($($(#[$doc:meta])* $reason:ident $name:literal $code:ident $exit:literal, $text:literal, $remedy:literal;)*) => {
        /// Why something was refused. The order is that of the catalogue: of several obstacles the caller gets the
        /// first.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub enum Reason {
            $($(#[$doc])* #[doc = $text] #[serde(rename = $name)] $reason,)*
        }
        /// Every reason with its codes and texts, in order.
        pub const CATALOGUE: &[Entry] = &[
            $(Entry { reason: Reason::$reason, name: $name, code: Code::$code, exit: $exit, text: $text, remedy: $remedy },)*
        ];
        impl Reason {
            /// Its row in the catalogue.
            #[must_use]
            pub fn entry(self) -> &'static Entry {
                match self {
                    $(Self::$reason => const {
                        &Entry { reason: Reason::$reason, name: $name, code: Code::$code, exit: $exit, text: $text, remedy: $remedy }
                    },)*
                }
            }
        }
    };
}

/// One row of the catalogue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The reason.
    pub reason: Reason,
    /// What `ErrorInfo.reason` says.
    pub name: &'static str,
    /// The gRPC code.
    pub code: Code,
    /// The exit code of the command line: 1 failed, 2 usage, 3 denied, 4 not found, 5 conflict, 6 waiting or expired,
    /// 7 not authenticated, 8 unreachable.
    pub exit: u8,
    /// What it means.
    pub text: &'static str,
    /// What to do next.
    pub remedy: &'static str,
}

catalogue! {
    ClockSuspect "CLOCK_SUSPECT" Unavailable 8, "the broker's clocks disagree, so nothing that gives access is decided",
        "wait until they agree, or have an operator restart it with --accept-clock";
    NoAccount "NO_ACCOUNT" PermissionDenied 3, "the certificate's identity belongs to no account",
        "ask for one with `countersign enrol account`";
    AccountDisabled "ACCOUNT_DISABLED" PermissionDenied 3, "the account cannot be used",
        "see `countersign whoami` for the reason; after a lapse renew what lapsed, then `countersign enrol restore`";
    Locked "LOCKED" PermissionDenied 3, "a lock stops it",
        "ask whoever made it, or somebody with the capability `lock.manage`; what takes access away still works";
    NotEligible "NOT_ELIGIBLE" PermissionDenied 3, "something that eligibility rests on is missing",
        "have what is named recorded, then ask again";
    HolderNotReady "HOLDER_NOT_READY" FailedPrecondition 5, "whoever asked may not be given it at this moment",
        "tell the requester; until its deadline it can be approved again, or denied";
    RequirementLapsed "REQUIREMENT_LAPSED" PermissionDenied 3, "an attestation has lapsed",
        "renew what is named, then ask again";
    NotFound "NOT_FOUND" NotFound 4, "there is no such thing, or it is not yours to see",
        "check the id; lists show what you may see";
    NotInRole "NOT_IN_ROLE" PermissionDenied 3, "no role of the account may request this entitlement",
        "ask for membership of one of the requesting roles";
    RoleConflict "ROLE_CONFLICT" FailedPrecondition 5, "one person would hold a requesting and an approving role of one entitlement",
        "give one of the two roles to somebody else";
    AlreadyThere "ALREADY_THERE" FailedPrecondition 5, "what is asked for is there already",
        "see `countersign whoami` and `countersign account` for what there is";
    IdTaken "ID_TAKEN" FailedPrecondition 5, "an id is given once, and one that begins with a tenant's name and a dot by that tenant alone",
        "choose another id";
    IdentityTaken "IDENTITY_TAKEN" FailedPrecondition 5, "an identity belongs to one account, or to one person without one",
        "have the other one's identity changed first, or use another; what somebody else had in the last 180 days moves by a proposal of others, or where HR says so by somebody else with `feed.release`";
    IdentityMoved "IDENTITY_MOVED" FailedPrecondition 5, "an identity of somebody who asked or approved was taken away or moved since",
        "ask again";
    MembershipTooLong "MEMBERSHIP_TOO_LONG" FailedPrecondition 2, "the membership would last longer than its role allows",
        "ask for an earlier end, or leave it out";
    NothingToKeep "NOTHING_TO_KEEP" FailedPrecondition 5, "no transfer has cut this membership, or it is over",
        "ask for the role anew";
    NothingToRestore "NOTHING_TO_RESTORE" FailedPrecondition 5, "no lapse has disabled the account or suspended a membership that can return",
        "have the lapsed requirement attested again first; after 90 days ask for the role anew";
    NotOwner "NOT_OWNER" PermissionDenied 3, "the caller does not answer for this account or membership",
        "ask its owner, its owner's manager or the owner of the role";
    OnBehalfRequired "ON_BEHALF_REQUIRED" FailedPrecondition 2, "this machine asks for people, so each request names the person",
        "name an eligible person on whose behalf it asks";
    OnBehalfForbidden "ON_BEHALF_FORBIDDEN" PermissionDenied 3, "this account asks for itself alone",
        "leave out the person on whose behalf it asks";
    OutOfScope "OUT_OF_SCOPE" PermissionDenied 3, "the request reaches beyond the entitlement",
        "ask for actions and resources within what the entitlement offers";
    TenantsMixed "TENANTS_MIXED" FailedPrecondition 2, "one request reaches into several tenants",
        "make one request for each tenant";
    EmergencyNotOffered "EMERGENCY_NOT_OFFERED" FailedPrecondition 2, "the entitlement has no emergency way",
        "ask by the ordinary way, or for an entitlement that has one";
    FollowUpOverdue "FOLLOW_UP_OVERDUE" FailedPrecondition 3, "the follow-up of an earlier emergency is overdue",
        "have an ordinary approver of that one complete its follow-up, or ask by the ordinary way";
    DurationTooLong "DURATION_TOO_LONG" FailedPrecondition 2, "the duration is not one that can be asked for",
        "ask for one within the limits that are named";
    StartNotAllowed "START_NOT_ALLOWED" FailedPrecondition 2, "the start asked for lies outside what the entitlement allows",
        "leave out the start, or choose one within the window";
    ContinuousTooLong "CONTINUOUS_TOO_LONG" FailedPrecondition 3, "the person has held this entitlement for as long as it may be held without a break",
        "let the present grant end first, or ask somebody else to take over";
    ExtensionInvalid "EXTENSION_INVALID" FailedPrecondition 2, "the grant named is not a live one of the same holder and entitlement",
        "make a request of its own instead of an extension";
    JustificationRequired "JUSTIFICATION_REQUIRED" FailedPrecondition 2, "the justification is missing or too short",
        "say why, for those who must approve";
    TicketRequired "TICKET_REQUIRED" FailedPrecondition 2, "the ticket is missing or not of the form asked for",
        "name the ticket that this work belongs to";
    PersonUnknown "PERSON_UNKNOWN" FailedPrecondition 5, "the person is not on record, or no longer works here",
        "have HR record the person first";
    PersonKnown "PERSON_KNOWN" FailedPrecondition 5, "the person works here already",
        "send what changed about the person instead";
    ManagerCycle "MANAGER_CYCLE" FailedPrecondition 5, "the person would be their own manager, over however many others",
        "name another manager";
    TooManyIdentities "TOO_MANY_IDENTITIES" FailedPrecondition 5, "a person is known by as many identities as one may be",
        "have those removed that are no longer used, then add others";
    TooManyMoves "TOO_MANY_MOVES" FailedPrecondition 5, "as many transfers of the person are announced as may be",
        "announce the next one when the first has taken effect, or say another manager for an instant that is announced";
    AttestationInvalid "ATTESTATION_INVALID" FailedPrecondition 2, "the attestation does not name a known requirement and a time that can be recorded",
        "correct what is named";
    OwnStanding "OWN_STANDING" PermissionDenied 3, "nobody widens what they themselves, or their machine's owner, may do",
        "have somebody else record it";
    AuthorWaits "AUTHOR_WAITS" PermissionDenied 3, "whoever made or approved a proposal uses nothing yet of what it widened",
        "wait until the time that is named, or have somebody else ask or review";
    FeedGap "FEED_GAP" FailedPrecondition 5, "numbers of the stream are missing",
        "send the events from the number that is named";
    FeedOld "FEED_OLD" FailedPrecondition 5, "the stream is past this number, and what is old changes nothing",
        "send a file with the next number, taken now";
    FeedOfAnother "FEED_OF_ANOTHER" PermissionDenied 3, "another account sends this stream, or whole files come in another",
        "use a stream of your own, or have the one that is named retired";
    FeedSilent "FEED_SILENT" Unavailable 8, "a feed of HR is silent, so nobody knows who still works here",
        "have the feed mended, or retired by a person with `feed.release`";
    OutsideTenant "OUTSIDE_TENANT" PermissionDenied 3, "a tenant's feed tells of its own people and accounts, and no other feed does",
        "name people and streams that begin with the tenant's name and a dot, identities of its own trust domain, and roles for customers";
    TenantProvisions "TENANT_PROVISIONS" FailedPrecondition 3, "a tenant's people get their accounts and roles from the tenant's own feed",
        "have the tenant's own system give it";
    Held "HELD" FailedPrecondition 5, "the brake holds an earlier change of this person",
        "have a person with `feed.release` decide about it first";
    TenantFull "TENANT_FULL" FailedPrecondition 1, "the tenant has as much as policy lets it fill",
        "retire what is not needed, or ask whoever answers for the policy for more (`[tenant_limits]`); a leaving is taken all the same";
    ImportInvalid "IMPORT_INVALID" InvalidArgument 1, "the file has mistakes, and none of it was imported",
        "mend the lines that are named";
    CampaignOver "CAMPAIGN_OVER" FailedPrecondition 5, "this is decided, or the campaign is over",
        "ask for the role anew";
    CampaignEmpty "CAMPAIGN_EMPTY" FailedPrecondition 5, "nobody holds the role, so there is nothing to confirm",
        "name a role that somebody holds";
    DueNotAllowed "DUE_NOT_ALLOWED" FailedPrecondition 2, "the date of a campaign is too soon or too late",
        "name a date from an hour to 180 days ahead";
    NoApprover "NO_APPROVER" FailedPrecondition 3, "no assignment of distinct eligible persons fills every stage of the approval",
        "tell the owner of the policy that the approving roles need eligible members";
    AlreadyPending "ALREADY_PENDING" FailedPrecondition 5, "the person already has a pending request for the same",
        "wait for that one, or withdraw it";
    TooManyPending "TOO_MANY_PENDING" ResourceExhausted 5, "the person has as many pending requests as one may have",
        "wait for one to be decided, or withdraw one";
    TooManyGrants "TOO_MANY_GRANTS" ResourceExhausted 5, "the person has as many live grants as one may have",
        "relinquish one that is no longer needed";
    TooManyTokens "TOO_MANY_TOKENS" ResourceExhausted 8, "as many tokens as one grant may have in a minute were signed",
        "use the token that you have until it ends, and ask again in a minute";
    TooManyProposals "TOO_MANY_PROPOSALS" ResourceExhausted 5, "the account has proposed as many files as one may in a day",
        "propose less often, or have somebody else propose";
    SelfApproval "SELF_APPROVAL" PermissionDenied 3, "a person behind the request cannot review it",
        "ask somebody in an approving role; nobody approves for themselves, from whatever account";
    NotAnApprover "NOT_AN_APPROVER" PermissionDenied 3, "the caller is in no role that may review this",
        "see the stages of the review for who may";
    AlreadyReviewed "ALREADY_REVIEWED" FailedPrecondition 5, "this person has decided on this before, and counts once",
        "leave the rest to another approver; a denial is still possible";
    ApprovalStruck "APPROVAL_STRUCK" FailedPrecondition 5, "this person's approval here was struck out and no longer counts, and a person approves once",
        "leave it to those who can decide; a denial is still possible";
    StageNotOpen "STAGE_NOT_OPEN" FailedPrecondition 6, "the caller's stage of the review is not open yet",
        "wait until the stages before it are complete";
    NotPending "NOT_PENDING" FailedPrecondition 5, "the request is no longer pending",
        "see how it ended; a new request is needed for more";
    AudienceInvalid "AUDIENCE_INVALID" FailedPrecondition 5, "the account named checks nothing that the grant covers",
        "name the account of the service that the token is for";
    TokenTooLarge "TOKEN_TOO_LARGE" FailedPrecondition 5, "the grant covers more than a token can say",
        "have the service ask the broker, or keep a replica";
    NoFollowUp "NO_FOLLOW_UP" FailedPrecondition 5, "no follow-up is owed here",
        "see the elevation: it was no emergency, led to no grant, or somebody has completed it";
    DigestMismatch "DIGEST_MISMATCH" FailedPrecondition 5, "what was approved is not what is on record",
        "read the text again and send the digest of that text";
    NotLive "NOT_LIVE" FailedPrecondition 5, "the grant is not live",
        "see its state and its start; a grant that is over needs a new request";
    NotHolder "NOT_HOLDER" PermissionDenied 3, "the caller does not hold this",
        "use `revoke` if you may review its entitlement; only the holder relinquishes";
    NotRevoker "NOT_REVOKER" PermissionDenied 3, "the caller may not revoke this grant",
        "ask one of its approvers, or somebody with the capability `grant.revoke`";
    CapabilityMissing "CAPABILITY_MISSING" PermissionDenied 3, "the caller does not hold the capability that this needs",
        "ask somebody who holds the capability that is named";
    LockInvalid "LOCK_INVALID" FailedPrecondition 2, "such a lock cannot be",
        "name resources by a pattern that begins with a name, or lock everything; an end lies ahead";
    OwnLock "OWN_LOCK" PermissionDenied 3, "nobody lifts a lock on themselves, or one that holds back a grant or a request of theirs; what waited for a lock of their own is over when that ends",
        "ask somebody else with the capability `lock.manage`, or give the grant up, or withdraw the request, first; what is over is asked for again";
    NobodyCouldUnlock "NOBODY_COULD_UNLOCK" FailedPrecondition 5, "after this nobody could lift the lock",
        "give it an end, or give another person the capability `lock.manage` first";
    RequestIdReused "REQUEST_ID_REUSED" AlreadyExists 5, "this request_id was used within 24 h for another command",
        "use a new UUID for each new command";
    ProposalStale "PROPOSAL_STALE" FailedPrecondition 5, "the proposal replaces a file that is no longer in force, or its effect has changed",
        "fetch the present file, compare, and propose with its digest";
    PolicyInvalid "POLICY_INVALID" InvalidArgument 1, "the policy has mistakes, and none of it was loaded",
        "mend the lines that are named, and check with `countersign policy check`";
    DirectoryInvalid "DIRECTORY_INVALID" InvalidArgument 1, "the directory has mistakes, and none of it was loaded",
        "mend the lines that are named, and check with `countersign policy check`";
    PersonTouched "PERSON_TOUCHED" FailedPrecondition 5, "a command or HR has changed this person since, and the file would give what they do not have",
        "take it out of the file: enrolments, attestations and HR events give it";
    NoQuorum "NO_QUORUM" FailedPrecondition 5, "after this no two persons could change policy or directory again, one to propose and one to approve",
        "leave two eligible persons with each of the two capabilities, by a role or by an entitlement";
    InvalidMessage "INVALID_MESSAGE" InvalidArgument 2, "the message is malformed",
        "correct the fields that are named";
    PageTokenInvalid "PAGE_TOKEN_INVALID" InvalidArgument 2, "the page token was not given to this caller for this list",
        "begin again without a page token";
    CertificateExpired "CERTIFICATE_EXPIRED" Unauthenticated 7, "the client certificate is no longer valid",
        "renew it and connect again";
    CertificateUntrusted "CERTIFICATE_UNTRUSTED" Unauthenticated 7, "the client certificate's authority is no longer trusted",
        "get a certificate from an authority that the broker trusts";
    NotAuthenticated "NOT_AUTHENTICATED" Unauthenticated 7, "the connection has no verified identity",
        "connect with a client certificate with exactly one SPIFFE ID from a trusted authority";
    Unrecordable "UNRECORDABLE" FailedPrecondition 1, "the journal could not be read again with what this would write, so nothing has happened",
        "this is a fault of the broker: tell whoever runs it what was asked; its log names what could not be written";
    TooMuch "TOO_MUCH" ResourceExhausted 2, "this would write far more into the journal than it says",
        "ask for less at a time";
    OutcomeUnknown "OUTCOME_UNKNOWN" Unavailable 8, "no answer could be given, which says nothing about whether it took effect",
        "send the same again under the same request_id: it takes effect once, and the answer is that of the first";
    BudgetCommands "BUDGET_COMMANDS" ResourceExhausted 8, "whoever asks has sent more commands than one person or machine may, with all their accounts",
        "wait as long as is said, then send the same request_id again; what takes access away is counted apart";
    BudgetWork "BUDGET_WORK" ResourceExhausted 8, "as much is examined, thought through or looked up in the past as may be at a time",
        "ask again in a moment, one after another";
    BudgetJournal "BUDGET_JOURNAL" ResourceExhausted 8, "what whoever asks has sent has filled as much of the journal as one person or machine may",
        "wait as long as is said, then send the same request_id again; what takes access away is not refused for this";
    BudgetWatches "BUDGET_WATCHES" ResourceExhausted 8, "whoever asks has as many watches open as one person or machine may",
        "close those that nobody reads; one watch may tell many things";
    BudgetConnections "BUDGET_CONNECTIONS" ResourceExhausted 8, "as many connections are open as may be, of whoever asks or in all",
        "use one connection for many calls, and close those that are not used";
    BudgetKept "BUDGET_KEPT" ResourceExhausted 8, "as much is kept of whoever asks, of what is open and of what closed within a day, as may be",
        "close what is open and not needed, and ask again when what closed is forgotten; what takes access away is not refused for this";
    Overloaded "OVERLOADED" ResourceExhausted 8, "the broker has as much work queued as it takes",
        "wait a little and send the same request_id again";
    StorageUnavailable "STORAGE_UNAVAILABLE" Unavailable 8, "the journal took nothing, so nothing has happened",
        "send the same request_id again; if it goes on, an operator must look at the journal's disk";
    Halted "HALTED" Unavailable 8, "the broker has stopped writing, because it cannot know what its journal holds",
        "it restarts and recovers; then send the same request_id again";
    Resync "RESYNC" OutOfRange 1, "the place to resume from is not held any more",
        "list anew, then watch from the sequence of that list";
    BehindSequence "BEHIND_SEQUENCE" Unavailable 8, "the broker has not reached the sequence asked for",
        "ask again in a moment";
}

/// The core said no. Neither a malformed message nor a fault: those are types of their own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    /// Why.
    pub reason: Reason,
    /// What exactly, for a person: lower case, no full stop, user input in backticks.
    pub detail: String,
    /// The same for programs.
    pub facts: BTreeMap<String, String>,
    /// When a retry may help.
    pub retry_after: Option<Span>,
    /// The true reason, for the journal alone, where `reason` hides it from the caller.
    pub true_reason: Option<Reason>,
}

impl Refusal {
    /// A refusal with what exactly was wrong.
    #[must_use]
    pub fn new(reason: Reason, detail: impl Into<String>) -> Self {
        Self { reason, detail: detail.into(), facts: BTreeMap::new(), retry_after: None, true_reason: None }
    }

    /// The same with a fact for programs.
    #[must_use]
    pub fn with(mut self, key: &str, value: impl ToString) -> Self {
        self.facts.insert(key.to_owned(), value.to_string());
        self
    }

    /// Nothing of that kind exists, or the caller may not know: one text for both (known failure A14).
    #[must_use]
    pub fn not_found(kind: &str, id: impl std::fmt::Display) -> Self {
        Self::new(Reason::NotFound, format!("there is no {kind} `{id}` that you may see"))
    }

    /// The thing exists and the caller may not know: every word is as if it did not, and the journal has the reason.
    #[must_use]
    pub fn hidden(kind: &str, id: impl std::fmt::Display, true_reason: Reason) -> Self {
        Self { true_reason: Some(true_reason), ..Self::not_found(kind, id) }
    }

    /// Another reason without detail in place of this one; the journal has the true reason.
    #[must_use]
    pub fn instead_told(self, told: Reason) -> Self {
        Self { true_reason: Some(self.true_reason.unwrap_or(self.reason)), ..Self::new(told, "") }
    }
}

impl std::fmt::Display for Refusal {
    /// What, then what to do next.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let entry = self.reason.entry();
        if self.detail.is_empty() {
            write!(f, "{}; {}", entry.text, entry.remedy)
        } else {
            write!(f, "{}: {}; {}", entry.text, self.detail, entry.remedy)
        }
    }
}

/// docs/errors.md, as it must stand.
#[must_use]
pub fn catalogue_markdown() -> String {
    let mut page = String::from(
        "# Errors\n\nPrinted from the catalogue in `src/domain/value/refusal.rs`; a test compares. Every error is a \
         `google.rpc.Status` with one `ErrorInfo` (domain `countersign`).\n\n\
         | reason | gRPC code | exit | what it means | what to do |\n|---|---|---|---|---|\n",
    );
    for entry in CATALOGUE {
        page.push_str(&format!(
            "| `{}` | {:?} | {} | {} | {} |\n",
            entry.name, entry.code, entry.exit, entry.text, entry.remedy
        ));
    }
    page
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_has_one_row_and_its_text_follows_the_house_style() {
        for (index, entry) in CATALOGUE.iter().enumerate() {
            assert_eq!(entry.reason.entry(), entry);
            assert_eq!(serde_json::to_string(&entry.reason).unwrap(), format!("\"{}\"", entry.name));
            assert!(CATALOGUE.iter().skip(index + 1).all(|other| other.name != entry.name));
            for text in [entry.text, entry.remedy] {
                assert!(!text.ends_with('.') && !text.starts_with(char::is_uppercase) && !text.is_empty(), "{text}");
            }
        }
    }
}
