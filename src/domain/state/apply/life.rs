//! What is recorded of the lives of people and accounts: what was due and has come about. What it changes of people and
//! accounts stands in the records that follow.

use super::campaigns;
use super::dues::forget_due;
use crate::domain::record::event::LifeFact;
use crate::domain::state::{Due, State};
use crate::domain::value::time::Timestamp;

pub(super) fn record(state: &mut State, fact: &LifeFact, at: Timestamp) {
    match fact {
        LifeFact::RequirementLapsed(fact) => {
            forget_due(state, &Due::RequirementLapse(fact.person.clone(), fact.requirement.clone()));
        }
        LifeFact::LapseAhead(fact) => {
            forget_due(state, &Due::LapseWarning(fact.person.clone(), fact.requirement.clone(), fact.days));
        }
        LifeFact::MembershipEnded(fact) => {
            forget_due(state, &Due::MembershipEnd(fact.account.clone(), fact.role.clone()));
            campaigns::end(state, &fact.account, &fact.role, at);
        }
        LifeFact::MembershipRevoked(fact) => campaigns::end(state, &fact.account, &fact.role, at),
        LifeFact::AccountEnded(fact) => forget_due(state, &Due::AccountEnd(fact.account.clone())),
        LifeFact::AttestationRecorded(_)
        | LifeFact::AttestationCorrected(_)
        | LifeFact::PersonLeft(_)
        | LifeFact::PersonMoved(_)
        | LifeFact::AccountClosed(_) => {}
    }
}
