//! Facts about an elevation, and the follow-up of an emergency.

use serde::{Deserialize, Serialize};

use super::subject::{Subject, tenant_of};
use crate::domain::record::elevation::{Cancellation, Elevation};
use crate::domain::record::emergency::Completion;
use crate::domain::record::review::{Decision, StruckOut};
use crate::domain::value::ids::{ElevationId, GrantId, PersonId, Principal};
use crate::domain::value::time::Timestamp;

facts! {
    /// An elevation, and the follow-up of an emergency.
    ElevationFact {
        /// An elevation was asked for.
        Requested(Box<Elevation>) "elevation-requested/1";
        /// An approver approved.
        ApprovalRecorded(DecisionRecorded) "approval-recorded/1";
        /// An approval no longer counts.
        ApprovalStruck(ApprovalStruck) "approval-struck/1";
        /// All stages are complete.
        Approved(ElevationApproved) "elevation-approved/1";
        /// A reviewer said no.
        Denied(DecisionRecorded) "elevation-denied/1";
        /// The requester took it back.
        Withdrawn(ElevationClosed) "elevation-withdrawn/1";
        /// Its deadline passed.
        Expired(ElevationExpired) "elevation-expired/1";
        /// A change made it void.
        Cancelled(ElevationCancelled) "elevation-cancelled/1";
        /// An emergency led to a grant: those who would have reviewed it by the ordinary way owe a follow-up.
        FollowUpOpened(FollowUpOpened) "follow-up-opened/1";
        /// A follow-up's time passed.
        FollowUpOverdue(FollowUpOverdue) "follow-up-overdue/1";
        /// One of the ordinary approvers said what was found.
        FollowUpCompleted(FollowUpCompleted) "follow-up-completed/1";
    }
}

impl ElevationFact {
    /// What it is about.
    #[must_use]
    pub fn about(&self) -> Vec<Subject> {
        match self {
            Self::Requested(elevation) => {
                let mut about = vec![Subject::Elevation(elevation.id), Subject::Account(elevation.requester.clone())];
                about.extend(elevation.behind.iter().cloned().map(Subject::Person));
                about.extend(tenant_of(&elevation.scope));
                about
            }
            Self::ApprovalRecorded(fact) | Self::Denied(fact) => {
                vec![Subject::Elevation(fact.elevation), Subject::Person(fact.decision.person.clone())]
            }
            Self::ApprovalStruck(fact) => {
                let mut about = vec![Subject::Elevation(fact.elevation), Subject::Person(fact.person.clone())];
                about.extend(fact.grant.map(Subject::Grant));
                about
            }
            Self::Approved(fact) => vec![Subject::Elevation(fact.elevation), Subject::Grant(fact.grant)],
            Self::Withdrawn(ElevationClosed { elevation, .. })
            | Self::Expired(ElevationExpired { elevation })
            | Self::Cancelled(ElevationCancelled { elevation, .. })
            | Self::FollowUpOpened(FollowUpOpened { elevation, .. })
            | Self::FollowUpOverdue(FollowUpOverdue { elevation })
            | Self::FollowUpCompleted(FollowUpCompleted { elevation, .. }) => vec![Subject::Elevation(*elevation)],
        }
    }
}

bodies! {
    /// A decision of a reviewer.
    DecisionRecorded { elevation: ElevationId, decision: Decision }
    /// An approval that no longer counts, and why.
    ApprovalStruck {
        elevation: ElevationId,
        person: PersonId,
        because: StruckOut,
        /// The scheduled grant that stands without it, because others approved as well; none while the request is pending.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        grant: Option<GrantId>,
    }
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
}
