//! Ending grants before their time.

use super::super::policy::CapabilityName;
use super::super::state::State;
use super::caller::{Caller, principal};
use crate::domain::record::event::{Fact, GrantClosed, GrantRevoked};
use crate::domain::record::grant::{Grant, Revocation};
use crate::domain::rule::emergency::ordinary_stages;
use crate::domain::rule::reviewers::{reviewer_in_any, reviewer_in_stages};
use crate::domain::rule::visibility::{Thing, may_see};
use crate::domain::value::ids::GrantId;
use crate::domain::value::refusal::{Reason, Refusal};
use crate::domain::value::time::Now;

/// The holder gives a grant up: the account itself, or a person behind it.
pub(super) fn relinquish(
    state: &State,
    caller: &Caller<'_>,
    id: GrantId,
    reason: &str,
    now: Now,
) -> Result<Vec<Fact>, Refusal> {
    let grant = open(state, caller, id, now, Reason::NotHolder)?;
    if !is_behind(caller, grant) {
        return Err(Refusal::new(Reason::NotHolder, format!("`{id}` is held by `{}`", grant.holder)));
    }
    let fact =
        GrantClosed { grant: id, holder: grant.holder.clone(), by: principal(caller), reason: reason.to_owned() };
    Ok(vec![Fact::GrantRelinquished(fact)])
}

/// Somebody who could have refused it ends it, or somebody with the capability to.
pub(super) fn revoke(
    state: &State,
    caller: &Caller<'_>,
    id: GrantId,
    reason: &str,
    now: Now,
) -> Result<Vec<Fact>, Refusal> {
    let grant = open(state, caller, id, now, Reason::NotRevoker)?;
    if !may_revoke(state, caller, grant, now) {
        return Err(Refusal::new(Reason::NotRevoker, format!("`{id}`")));
    }
    let because = Revocation::By { by: principal(caller), reason: reason.to_owned() };
    Ok(vec![Fact::GrantRevoked(GrantRevoked { grant: id, holder: grant.holder.clone(), because })])
}

fn may_revoke(state: &State, caller: &Caller<'_>, grant: &Grant, now: Now) -> bool {
    let organisation = &state.organisation;
    let elevation = state.elevations.get(&grant.elevation);
    let by_tenant =
        grant.scope.tenant().is_some_and(|tenant| organisation.approves_for_tenant(caller.account, tenant, now.latest));
    let by_review = elevation.is_some_and(|elevation| {
        let approved = caller.viewer.person.as_ref().is_some_and(|person| elevation.review.has_decided(person));
        let ordinary = ordinary_stages(elevation, organisation);
        approved
            || reviewer_in_any(organisation, elevation, caller.account, now.latest).is_ok()
            || reviewer_in_stages(organisation, elevation, ordinary, caller.account, now.latest).is_ok()
    });
    let manager = organisation.manager_of(&grant.person, now.latest);
    let by_manager = manager.is_some() && manager == caller.viewer.person.as_ref();
    may_revoke_any(state, caller, grant, now) || by_tenant || by_review || by_manager || is_behind(caller, grant)
}

/// By `grant.revoke`. Narrowed to resources, it reaches the grants that lie wholly within them.
fn may_revoke_any(state: &State, caller: &Caller<'_>, grant: &Grant, now: Now) -> bool {
    let mut held = state.organisation.capabilities(caller.account, CapabilityName::GrantRevoke, now.latest);
    held.any(|(capability, _)| {
        let within = |pattern| capability.resources.iter().any(|ours| ours.contains(pattern));
        capability.resources.is_empty() || grant.scope.resources().iter().all(within)
    })
}

fn is_behind(caller: &Caller<'_>, grant: &Grant) -> bool {
    grant.holder == *caller.account || caller.viewer.person.as_ref().is_some_and(|person| grant.behind.contains(person))
}

/// `if_hidden` is what the journal has of a caller who may not see it (known failures A14 and H9).
pub(super) fn open<'a>(
    state: &'a State,
    caller: &Caller<'_>,
    id: GrantId,
    now: Now,
    if_hidden: Reason,
) -> Result<&'a Grant, Refusal> {
    let grant = state.grants.get(&id).ok_or_else(|| Refusal::not_found("grant", id))?;
    let seen = may_see(state, caller.viewer, Thing::Grant(grant), now) || may_revoke_any(state, caller, grant, now);
    if !seen {
        return Err(Refusal::hidden("grant", id, if_hidden));
    }
    // A clock that leaps says nothing of the end: taking away goes on, lest the grant be live again when it is put right.
    if grant.is_open() && (now.suspect || !grant.end.is_over(now.latest)) {
        Ok(grant)
    } else {
        let phase = if grant.is_open() { "ENDED" } else { grant.phase.name() };
        Err(Refusal::new(Reason::NotLive, format!("`{id}` is {phase}")).with("state", phase))
    }
}
