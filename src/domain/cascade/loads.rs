//! What a change does to pending loads: cancelled where whoever proposed one may no longer act. There are few: one for each
//! account and file.

use crate::domain::event::{Fact, LoadCancelled};
use crate::domain::load::{Load, LoadCancellation};
use crate::domain::loaders::could_propose;
use crate::domain::organisation::Organisation;
use crate::domain::refusal::Reason;
use crate::domain::reviewers::first;
use crate::domain::state::State;
use crate::domain::time::Now;

pub(super) fn consequences(after: &Organisation, state: &State, now: Now) -> Vec<Fact> {
    cancelled(state, now, |load| {
        let moved = after.accounts().get(&load.requester).is_none_or(|it| !load.behind.contains(it.person()));
        let rests = after.account_rests(&load.requester, now.latest);
        let could = || could_propose(after, load, now.latest);
        let obstacle = rests.err().map(|obstacles| first(obstacles).reason).or(moved.then_some(Reason::NotEligible));
        obstacle.or_else(|| (!could()).then_some(Reason::CapabilityMissing))
    })
}

/// Those that a lock stops.
pub(super) fn locked(under: &Organisation, state: &State, now: Now) -> Vec<Fact> {
    let everything = under.locks().on(&crate::domain::lock::Locked::Everything);
    let on = |load: &Load| under.lock_on_account(&load.requester).or(everything).is_some();
    // On the last role or entitlement by which it could be proposed.
    let could = |organisation: &Organisation, load: &Load| could_propose(organisation, load, now.latest);
    let no_more = |load: &Load| could(&state.organisation, load) && !could(under, load);
    cancelled(state, now, |load| (on(load) || no_more(load)).then_some(Reason::Locked))
}

fn cancelled(state: &State, now: Now, why: impl Fn(&Load) -> Option<Reason>) -> Vec<Fact> {
    let pending = state.pending_loads().filter(|load| !load.review.deadline.is_over(now.latest));
    let void = pending.filter_map(|load| {
        let because = LoadCancellation::ProposerNotEligible { reason: why(load)? };
        Some(Fact::LoadCancelled(LoadCancelled { load: load.id, because }))
    });
    void.collect()
}
