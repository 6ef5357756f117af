//! What an event is about: events are listed and seen by it.

use super::*;
use crate::domain::record::proposal::ProposedFile;

impl Fact {
    /// What it is about.
    #[must_use]
    pub fn about(&self) -> Vec<Subject> {
        use Subject as S;
        match self {
            Self::EnrolmentRequested(enrolment) => {
                let mut about = vec![S::Enrolment(enrolment.id), S::Account(enrolment.ask.account().clone())];
                about.extend(enrolment.behind.iter().cloned().map(S::Person));
                about
            }
            Self::EnrolmentApprovalRecorded(fact) | Self::EnrolmentDenied(fact) => {
                vec![S::Enrolment(fact.enrolment), S::Person(fact.decision.person.clone())]
            }
            Self::EnrolmentApprovalStruck(fact) => {
                vec![S::Enrolment(fact.enrolment), S::Person(fact.person.clone())]
            }
            Self::EnrolmentApproved(EnrolmentNamed { enrolment })
            | Self::EnrolmentExpired(EnrolmentNamed { enrolment })
            | Self::EnrolmentWithdrawn(EnrolmentWithdrawn { enrolment, .. })
            | Self::EnrolmentCancelled(EnrolmentCancelled { enrolment, .. }) => vec![S::Enrolment(*enrolment)],
            Self::CampaignStarted(campaign) => vec![S::Campaign(campaign.id)],
            Self::MembershipConfirmed(fact) => vec![S::Campaign(fact.campaign), S::Account(fact.account.clone())],
            Self::CampaignClosed(fact) => vec![S::Campaign(fact.campaign)],
            Self::ElevationRequested(elevation) => {
                let mut about = vec![S::Elevation(elevation.id), S::Account(elevation.requester.clone())];
                about.extend(elevation.behind.iter().cloned().map(S::Person));
                about.extend(tenant_of(&elevation.scope));
                about
            }
            Self::ApprovalRecorded(fact) | Self::ElevationDenied(fact) => {
                vec![S::Elevation(fact.elevation), S::Person(fact.decision.person.clone())]
            }
            Self::ApprovalStruck(fact) => vec![S::Elevation(fact.elevation), S::Person(fact.person.clone())],
            Self::ElevationApproved(fact) => vec![S::Elevation(fact.elevation), S::Grant(fact.grant)],
            Self::ElevationWithdrawn(ElevationClosed { elevation, .. })
            | Self::ElevationExpired(ElevationExpired { elevation })
            | Self::ElevationCancelled(ElevationCancelled { elevation, .. }) => vec![S::Elevation(*elevation)],
            Self::FollowUpOpened(FollowUpOpened { elevation, .. })
            | Self::FollowUpOverdue(FollowUpOverdue { elevation })
            | Self::FollowUpCompleted(FollowUpCompleted { elevation, .. }) => vec![S::Elevation(*elevation)],
            Self::GrantIssued(grant) => {
                let mut about =
                    vec![S::Grant(grant.id), S::Elevation(grant.elevation), S::Account(grant.holder.clone())];
                about.extend(grant.behind.iter().cloned().map(S::Person));
                about.extend(tenant_of(&grant.scope));
                about
            }
            Self::GrantStarted(GrantStarted { grant, holder, .. })
            | Self::GrantShortened(GrantShortened { grant, holder, .. })
            | Self::GrantEnded(GrantNamed { grant, holder })
            | Self::GrantRelinquished(GrantClosed { grant, holder, .. })
            | Self::GrantRevoked(GrantRevoked { grant, holder, .. }) => {
                vec![S::Grant(*grant), S::Account(holder.clone())]
            }
            Self::GrantTokenIssued(fact) => {
                vec![S::Grant(fact.grant), S::Account(fact.holder.clone()), S::Account(fact.audience.clone())]
            }
            Self::LockCreated(lock) => about_lock(lock.id, &lock.on),
            Self::LockDeleted(LockDeleted { lock, on, .. }) | Self::LockEnded(LockNamed { lock, on }) => {
                about_lock(*lock, on)
            }
            Self::CommandRefused(_)
            | Self::RefusalsCounted(_)
            | Self::Pruned(_)
            | Self::BrokerStarted(_)
            | Self::ClockRead(_)
            | Self::ClockAccepted(_)
            | Self::RowsAbandoned(_) => vec![S::Broker],
            _ => self.about_whom(),
        }
    }

    fn about_whom(&self) -> Vec<Subject> {
        use Subject as S;
        match self {
            Self::ProposalMade(proposal) => {
                let mut about = vec![S::Proposal(proposal.id), S::Account(proposal.requester.clone())];
                about.extend(proposal.behind.iter().cloned().map(S::Person));
                about.push(match proposal.file {
                    ProposedFile::Policy => S::Policy,
                    ProposedFile::Directory => S::Directory,
                });
                about
            }
            Self::ProposalApproved(fact) | Self::ProposalDenied(fact) => {
                vec![S::Proposal(fact.proposal), S::Person(fact.decision.person.clone())]
            }
            Self::ProposalTextAdded(ProposalTextAdded { proposal, .. })
            | Self::ProposalWithdrawn(ProposalWithdrawn { proposal, .. })
            | Self::ProposalExpired(ProposalNamed { proposal })
            | Self::ProposalCancelled(ProposalCancelled { proposal, .. }) => vec![S::Proposal(*proposal)],
            Self::AuthorsWait(fact) => {
                [S::Proposal(fact.proposal)].into_iter().chain(fact.persons.iter().cloned().map(S::Person)).collect()
            }
            Self::PolicyLoaded(_) => vec![S::Policy],
            Self::DirectoryLoaded(_) | Self::TenantRecorded(_) => vec![S::Directory],
            Self::PersonRecorded(fact) => vec![S::Person(fact.id.clone())],
            Self::AccountRecorded(fact) => {
                vec![S::Account(fact.id.clone()), S::Person(fact.account.person().clone())]
            }
            Self::RequirementLapsed(RequirementLapsed { person, .. })
            | Self::LapseAhead(LapseAhead { person, .. })
            | Self::AttestationRecorded(AttestationRecorded { person, .. })
            | Self::AttestationCorrected(AttestationCorrected { person, .. })
            | Self::PersonLeft(PersonNamed { person })
            | Self::PersonMoved(PersonNamed { person }) => vec![S::Person(person.clone())],
            Self::MembershipEnded(MembershipEnded { account, .. })
            | Self::AccountEnded(AccountEnded { account })
            | Self::MembershipRevoked(MembershipRevoked { account, .. })
            | Self::AccountClosed(AccountClosed { account, .. }) => vec![S::Account(account.clone())],
            Self::HrEventApplied(fact) => vec![S::Person(fact.event.person.clone())],
            Self::HrFeedHeard(HrFeedHeard { place, .. }) | Self::HrImported(HrImported { place, .. }) => {
                vec![S::Stream(place.stream.clone())]
            }
            Self::HrHeld(hold) => vec![S::Hold(hold.id)],
            Self::HrHoldDecided(fact) => vec![S::Hold(fact.hold)],
            Self::HrStreamRetired(fact) => vec![S::Stream(fact.stream.clone())],
            _ => Vec::new(),
        }
    }
}

fn tenant_of(scope: &Scope) -> Option<Subject> {
    scope.tenant().and_then(|tenant| tenant.parse().ok()).map(Subject::Tenant)
}

/// The lock, and whom it is on: those are told.
fn about_lock(lock: LockId, on: &Locked) -> Vec<Subject> {
    let whom = match on {
        Locked::Account(id) => Some(Subject::Account(id.clone())),
        Locked::Person(id) => Some(Subject::Person(id.clone())),
        Locked::Role(_) | Locked::Entitlement(_) | Locked::Resources(_) | Locked::Tenant(_) | Locked::Everything => {
            None
        }
    };
    [Subject::Lock(lock)].into_iter().chain(whom).collect()
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
