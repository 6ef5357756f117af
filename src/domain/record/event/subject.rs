//! What an event is about: events are listed and seen by it.

use crate::domain::value::ids::{
    AccountId, CampaignId, ElevationId, EnrolmentId, GrantId, HoldId, LockId, PersonId, ProposalId, StreamName,
    TenantName,
};
use crate::domain::value::scope::Scope;

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

/// The tenant that a scope touches.
pub(super) fn tenant_of(scope: &Scope) -> Option<Subject> {
    scope.tenant().and_then(|tenant| tenant.parse().ok()).map(Subject::Tenant)
}

impl std::fmt::Display for Subject {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Elevation(id) => write!(f, "elevation:{id}"),
            Self::Grant(id) => write!(f, "grant:{id}"),
            Self::Enrolment(id) => write!(f, "enrolment:{id}"),
            Self::Proposal(id) => write!(f, "proposal:{id}"),
            Self::Campaign(id) => write!(f, "campaign:{id}"),
            Self::Stream(name) => write!(f, "stream:{name}"),
            Self::Hold(id) => write!(f, "hold:{id}"),
            Self::Lock(id) => write!(f, "lock:{id}"),
            Self::Person(id) => write!(f, "person:{id}"),
            Self::Account(id) => write!(f, "account:{id}"),
            Self::Tenant(name) => write!(f, "tenant:{name}"),
            Self::Policy => f.write_str("policy"),
            Self::Directory => f.write_str("directory"),
            Self::Broker => f.write_str("broker"),
        }
    }
}
