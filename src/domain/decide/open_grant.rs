//! An open grant, if the caller may act on it.

use super::caller::Caller;
use crate::domain::policy::CapabilityName;
use crate::domain::record::grant::Grant;
use crate::domain::rule::visibility::{Thing, may_see};
use crate::domain::state::State;
use crate::domain::value::ids::GrantId;
use crate::domain::value::refusal::{Reason, Refusal};
use crate::domain::value::time::Now;

/// The grant, if it is open and the caller may see it. `if_hidden` is the reason that the journal gets if they may not
/// (known failures A14 and H9).
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
    // A suspect clock does not tell whether the grant is over: it can still be taken away, or it might be live again
    // once the clock is put right.
    if grant.is_open() && (now.suspect || !grant.end.is_over(now.latest)) {
        Ok(grant)
    } else {
        let phase = if grant.is_open() { "ENDED" } else { grant.phase.name() };
        Err(Refusal::new(Reason::NotLive, format!("`{id}` is {phase}")).with("state", phase))
    }
}

/// By `grant.revoke`. Narrowed to resources, it reaches the grants that lie wholly within them.
pub(super) fn may_revoke_any(state: &State, caller: &Caller<'_>, grant: &Grant, now: Now) -> bool {
    let mut held = state.organisation.capabilities(caller.account, CapabilityName::GrantRevoke, now.latest);
    held.any(|(capability, _)| {
        let within = |pattern| capability.resources.iter().any(|ours| ours.contains(pattern));
        capability.resources.is_empty() || grant.scope.resources().iter().all(within)
    })
}

/// Whether the caller holds it, or is a person behind it.
pub(super) fn is_behind(caller: &Caller<'_>, grant: &Grant) -> bool {
    grant.holder == *caller.account || caller.viewer.person.as_ref().is_some_and(|person| grant.behind.contains(person))
}
