//! Facts about an enrolment.

use serde::{Deserialize, Serialize};

use super::subject::Subject;
use crate::domain::record::enrolment::{Enrolment, EnrolmentCancellation};
use crate::domain::record::review::{Decision, StruckOut};
use crate::domain::value::ids::{EnrolmentId, PersonId, Principal};

facts! {
    /// An enrolment.
    EnrolmentFact {
        /// An enrolment was asked for.
        Requested(Box<Enrolment>) "enrolment-requested/1";
        /// An approver approved an enrolment.
        ApprovalRecorded(EnrolmentDecision) "enrolment-approval-recorded/1";
        /// An approval of an enrolment no longer counts.
        ApprovalStruck(EnrolmentApprovalStruck) "enrolment-approval-struck/1";
        /// All stages are complete; the records that it changes follow.
        Approved(EnrolmentNamed) "enrolment-approved/1";
        /// A reviewer said no.
        Denied(EnrolmentDecision) "enrolment-denied/1";
        /// Who asked took it back.
        Withdrawn(EnrolmentWithdrawn) "enrolment-withdrawn/1";
        /// Its deadline passed.
        Expired(EnrolmentNamed) "enrolment-expired/1";
        /// A change made it void.
        Cancelled(EnrolmentCancelled) "enrolment-cancelled/1";
    }
}

impl EnrolmentFact {
    /// What it is about.
    #[must_use]
    pub fn about(&self) -> Vec<Subject> {
        match self {
            Self::Requested(enrolment) => {
                let account = enrolment.ask.account().clone();
                let mut about = vec![Subject::Enrolment(enrolment.id), Subject::Account(account)];
                about.extend(enrolment.behind.iter().cloned().map(Subject::Person));
                about
            }
            Self::ApprovalRecorded(fact) | Self::Denied(fact) => {
                vec![Subject::Enrolment(fact.enrolment), Subject::Person(fact.decision.person.clone())]
            }
            Self::ApprovalStruck(fact) => {
                vec![Subject::Enrolment(fact.enrolment), Subject::Person(fact.person.clone())]
            }
            Self::Approved(EnrolmentNamed { enrolment })
            | Self::Expired(EnrolmentNamed { enrolment })
            | Self::Withdrawn(EnrolmentWithdrawn { enrolment, .. })
            | Self::Cancelled(EnrolmentCancelled { enrolment, .. }) => vec![Subject::Enrolment(*enrolment)],
        }
    }
}

bodies! {
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
}
