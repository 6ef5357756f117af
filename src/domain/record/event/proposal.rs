//! Facts about another policy or directory under review.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::subject::Subject;
use crate::domain::record::proposal::{Proposal, ProposalCancellation, ProposedFile};
use crate::domain::record::review::Decision;
use crate::domain::value::ids::{EntitlementName, PersonId, Principal, ProposalId};
use crate::domain::value::time::Timestamp;

facts! {
    /// Another policy or directory under review.
    ProposalFact {
        /// A policy or directory was proposed; its text follows in pieces.
        Made(Box<Proposal>) "proposal-made/1";
        /// A piece of the text of a proposed file.
        TextAdded(ProposalTextAdded) "proposal-text-added/1";
        /// Another holder of the capability approved a proposal; the events that it leads to follow.
        Approved(ProposalDecision) "proposal-approved/1";
        /// Another holder of the capability said no to a proposal.
        Denied(ProposalDecision) "proposal-denied/1";
        /// Whoever proposed a proposal took it back.
        Withdrawn(ProposalWithdrawn) "proposal-withdrawn/1";
        /// The deadline of a proposal passed.
        Expired(ProposalNamed) "proposal-expired/1";
        /// A change made a proposal void.
        Cancelled(ProposalCancelled) "proposal-cancelled/1";
        /// Those behind a proposal, and its approver, may not use what it widened for a time.
        AuthorsWait(AuthorsWait) "authors-wait/1";
    }
}

impl ProposalFact {
    /// What it is about.
    #[must_use]
    pub fn about(&self) -> Vec<Subject> {
        match self {
            Self::Made(proposal) => {
                let mut about = vec![Subject::Proposal(proposal.id), Subject::Account(proposal.requester.clone())];
                about.extend(proposal.behind.iter().cloned().map(Subject::Person));
                about.push(match proposal.file {
                    ProposedFile::Policy => Subject::Policy,
                    ProposedFile::Directory => Subject::Directory,
                });
                about
            }
            Self::Approved(fact) | Self::Denied(fact) => {
                vec![Subject::Proposal(fact.proposal), Subject::Person(fact.decision.person.clone())]
            }
            Self::TextAdded(ProposalTextAdded { proposal, .. })
            | Self::Withdrawn(ProposalWithdrawn { proposal, .. })
            | Self::Expired(ProposalNamed { proposal })
            | Self::Cancelled(ProposalCancelled { proposal, .. }) => vec![Subject::Proposal(*proposal)],
            Self::AuthorsWait(fact) => {
                let persons = fact.persons.iter().cloned().map(Subject::Person);
                [Subject::Proposal(fact.proposal)].into_iter().chain(persons).collect()
            }
        }
    }
}

bodies! {
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
}
