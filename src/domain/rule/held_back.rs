//! What a lock holds back of what was asked for: by stopping it, or by stopping those who approved it or could. Asked where
//! those behind it come near the lock, because whoever holds back their own request chooses when it begins.

use crate::domain::policy::CapabilityName;
use crate::domain::record::elevation::Elevation;
use crate::domain::record::enrolment::Enrolment;
use crate::domain::record::grant::{Grant, GrantPhase};
use crate::domain::record::lock::{Lock, Locks};
use crate::domain::record::proposal::Proposal;
use crate::domain::rule::proposal::quorum::{able, could_propose};
use crate::domain::rule::reviewers::{Reviewed, lock_on_approval, separation_rule_3};
use crate::domain::state::State;
use crate::domain::state::organisation::Organisation;
use crate::domain::value::ids::PersonId;
use crate::domain::value::time::Timestamp;

/// The organisation as if a lock were the only one.
#[must_use]
pub(in crate::domain) fn alone(organisation: &Organisation, lock: &Lock) -> Organisation {
    let mut under = organisation.clone();
    under.locks = Locks::default();
    under.locks.put(lock.clone());
    under
}

/// Whether a person is behind something, as it was made or as things are now.
#[must_use]
pub(in crate::domain) fn is_behind(organisation: &Organisation, reviewed: &impl Reviewed, person: &PersonId) -> bool {
    separation_rule_3(organisation, reviewed, person).is_err()
}

/// Whether the locks of an organisation stop an elevation, or leave an approval of it out of the count.
#[must_use]
pub(in crate::domain) fn holds_elevation(under: &Organisation, elevation: &Elevation) -> bool {
    under.lock_on_elevation(elevation).is_some() || leaves_out(under, elevation)
}

/// The same of an enrolment.
#[must_use]
pub(in crate::domain) fn holds_enrolment(under: &Organisation, enrolment: &Enrolment) -> bool {
    under.lock_on_enrolment(enrolment).is_some() || leaves_out(under, enrolment)
}

/// Whether they stop a grant, or keep it from starting.
#[must_use]
pub(in crate::domain) fn holds_grant(under: &Organisation, state: &State, grant: &Grant) -> bool {
    let starts = || {
        grant.phase == GrantPhase::Scheduled
            && state.elevations.get(&grant.elevation).is_some_and(|it| leaves_out(under, it))
    };
    under.lock_on_grant(grant).or_else(|| under.locks.on_any_of(&grant.scope)).is_some() || starts()
}

/// Whether they stop whoever made a proposal: `organisation` says whether they could have proposed it otherwise.
#[must_use]
pub(in crate::domain) fn holds_proposal(
    under: &Organisation,
    organisation: &Organisation,
    proposal: &Proposal,
    at: Timestamp,
) -> bool {
    under.lock_on_account(&proposal.requester).or(under.lock_on_everything()).is_some()
        // Or the lock is on the last role or entitlement by which it could be proposed.
        || (could_propose(organisation, proposal, at) && !could_propose(under, proposal, at))
}

/// Whether somebody is left who could approve a proposal.
#[must_use]
pub(in crate::domain) fn could_be_approved(organisation: &Organisation, proposal: &Proposal, at: Timestamp) -> bool {
    let capability: CapabilityName = proposal.file.capability();
    able(organisation, capability, at).iter().any(|person| !is_behind(organisation, proposal, person))
}

/// Whether nobody is left who could complete a review because of a lock: of this one alone, or of the last of several.
#[must_use]
pub(in crate::domain) fn leaves_nobody(
    organisation: &Organisation,
    lock: &Lock,
    could: impl Fn(&Organisation) -> bool,
) -> bool {
    let mut free = organisation.clone();
    free.locks = Locks::default();
    let mut without = organisation.clone();
    without.locks.remove(lock.id);
    (could(&free) && !could(&alone(organisation, lock))) || (could(&without) && !could(organisation))
}

fn leaves_out(under: &Organisation, reviewed: &impl Reviewed) -> bool {
    reviewed.review().approvals().any(|decision| lock_on_approval(under, decision).is_some())
}
