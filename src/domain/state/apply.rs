//! `apply`: records what was decided. One match; no policy, no clock, nothing refused. Replay is this, over the journal.

use super::{Bound, State};
use crate::domain::record::event::{Actor, Event, Fact, LockDeleted, LockNamed, Pruned, RefusalsCounted};
use crate::domain::value::ids::LockId;
use crate::domain::value::time::Timestamp;

mod campaigns;
mod elevations;
mod enrolments;
mod feed;
mod grants;
mod organisation;
mod proposals;

/// Records one event.
pub fn apply(state: &mut State, event: &Event) {
    state.sequence = event.sequence;
    state.last_at = state.last_at.max(event.at);
    bind(state, event);
    record(state, event);
}

/// Binds the `request_id` that the event carries, if it does.
pub(in crate::domain) fn bind(state: &mut State, event: &Event) {
    if let (Some(mark), Actor::Caller(principal)) = (&event.request, &event.actor) {
        let about = event.fact.about().into_iter().next();
        let bound = Bound { command: mark.command, about, sequence: event.sequence, at: event.at };
        state.requests.insert((principal.clone(), mark.id), bound);
        state.requests_by_age.insert((event.at, principal.clone(), mark.id));
    }
}

fn record(state: &mut State, event: &Event) {
    match &event.fact {
        Fact::PolicyLoaded(_)
        | Fact::DirectoryLoaded(_)
        | Fact::TenantRecorded(_)
        | Fact::PersonRecorded(_)
        | Fact::AccountRecorded(_)
        | Fact::RequirementLapsed(_)
        | Fact::MembershipEnded(_)
        | Fact::AccountEnded(_)
        | Fact::LapseAhead(_)
        | Fact::MembershipRevoked(_) => organisation::record(state, event),
        Fact::ProposalMade(_)
        | Fact::ProposalTextAdded(_)
        | Fact::ProposalApproved(_)
        | Fact::ProposalDenied(_)
        | Fact::ProposalWithdrawn(_)
        | Fact::ProposalExpired(_)
        | Fact::ProposalCancelled(_)
        | Fact::AuthorsWait(_) => proposals::record(state, event),
        Fact::HrEventApplied(_)
        | Fact::HrFeedHeard(_)
        | Fact::HrImported(_)
        | Fact::HrHeld(_)
        | Fact::HrHoldDecided(_)
        | Fact::HrStreamRetired(_) => feed::record(state, event),
        Fact::EnrolmentRequested(_)
        | Fact::EnrolmentApprovalRecorded(_)
        | Fact::EnrolmentApprovalStruck(_)
        | Fact::EnrolmentApproved(_)
        | Fact::EnrolmentDenied(_)
        | Fact::EnrolmentWithdrawn(_)
        | Fact::EnrolmentExpired(_)
        | Fact::EnrolmentCancelled(_) => enrolments::record(state, event),
        Fact::CampaignStarted(_) | Fact::MembershipConfirmed(_) | Fact::CampaignClosed(_) => {
            campaigns::record(state, event)
        }
        Fact::ElevationRequested(_)
        | Fact::ApprovalRecorded(_)
        | Fact::ApprovalStruck(_)
        | Fact::ElevationApproved(_)
        | Fact::ElevationDenied(_)
        | Fact::ElevationWithdrawn(_)
        | Fact::ElevationExpired(_)
        | Fact::ElevationCancelled(_)
        | Fact::FollowUpOpened(_)
        | Fact::FollowUpOverdue(_)
        | Fact::FollowUpCompleted(_) => elevations::record(state, event),
        Fact::GrantIssued(_)
        | Fact::GrantStarted(_)
        | Fact::GrantShortened(_)
        | Fact::GrantEnded(_)
        | Fact::GrantRelinquished(_)
        | Fact::GrantRevoked(_) => grants::record(state, event),
        // What they change is in the records that follow.
        Fact::AttestationRecorded(_)
        | Fact::AttestationCorrected(_)
        | Fact::PersonLeft(_)
        | Fact::PersonMoved(_)
        | Fact::AccountClosed(_)
        | Fact::RowsAbandoned(_) => {}
        // A token is a copy of what the grant says: nothing else hangs on it here.
        Fact::GrantTokenIssued(fact) => state.tokens.or_default(fact.grant).add(event.at),
        Fact::LockCreated(lock) => state.organisation.locks.put((**lock).clone()),
        Fact::LockDeleted(LockDeleted { lock, .. }) | Fact::LockEnded(LockNamed { lock, .. }) => unlock(state, *lock),
        Fact::CommandRefused(_) => count_refusal(state, event),
        Fact::RefusalsCounted(fact) => refusals_counted(state, fact),
        Fact::Pruned(fact) => prune(state, fact),
        Fact::BrokerStarted(fact) => state.clock = Some(fact.clock.clone()),
        Fact::ClockRead(pair) | Fact::ClockAccepted(pair) => state.clock = Some(pair.clone()),
    }
}

fn unlock(state: &mut State, lock: LockId) {
    state.organisation.locks.remove(lock);
}

fn refusals_counted(state: &mut State, fact: &RefusalsCounted) {
    // The count comes late: what is told in another minute by then stays counted.
    if state.refusals.get(&fact.caller).is_some_and(|window| window.minute == fact.minute) {
        state.refusals.remove(&fact.caller);
    }
}

fn prune(state: &mut State, fact: &Pruned) {
    fact.elevations.iter().for_each(|id| state.remove_elevation(*id));
    fact.grants.iter().for_each(|id| state.remove_grant(*id));
    fact.enrolments.iter().for_each(|id| state.remove_enrolment(*id));
    fact.campaigns.iter().for_each(|id| state.remove_campaign(*id));
    fact.proposals.iter().for_each(|id| state.remove_proposal(*id));
    forget_requests(state, fact.requests_before);
}

fn count_refusal(state: &mut State, event: &Event) {
    let Actor::Caller(principal) = &event.actor else { return };
    state.refusals.or_default(principal.clone()).add(event.at);
}

fn forget_requests(state: &mut State, before: Timestamp) {
    while let Some((at, principal, id)) = state.requests_by_age.get_min().filter(|(at, ..)| *at < before).cloned() {
        state.requests_by_age.remove(&(at, principal.clone(), id));
        state.requests.remove(&(principal, id));
    }
    let old = state.refusals.iter().filter(|(_, window)| window.minute < before).map(|(who, _)| who.clone());
    old.collect::<Vec<_>>().iter().for_each(|who| {
        state.refusals.remove(who);
    });
    let old = state.tokens.iter().filter(|(_, count)| count.minute < before).map(|(grant, _)| *grant);
    old.collect::<Vec<_>>().iter().for_each(|grant| {
        state.tokens.remove(grant);
    });
}
