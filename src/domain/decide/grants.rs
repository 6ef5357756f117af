//! Ending grants before their time.

use super::super::state::State;
use super::caller::{Caller, principal};
use super::open_grant::{is_behind, may_revoke_any, open};
use super::tokens;
use crate::domain::effect::cascade::with_extensions;
use crate::domain::record::command::{Envelope, GrantCommand, RelinquishGrant, RevokeGrant};
use crate::domain::record::event::{Fact, GrantClosed, GrantFact, GrantRevoked};
use crate::domain::record::grant::{Grant, Revocation};
use crate::domain::rule::emergency::ordinary_stages;
use crate::domain::rule::reviewers::{reviewer_in_any, reviewer_in_stages};
use crate::domain::value::refusal::{Reason, Refusal};
use crate::domain::value::time::Now;

/// Decides what is asked about a grant.
///
/// # Errors
/// The first thing that stands in the way.
pub(super) fn decide(
    state: &State,
    caller: &Caller<'_>,
    command: &GrantCommand,
    envelope: &Envelope,
) -> Result<Vec<Fact>, Refusal> {
    let now = envelope.now;
    match command {
        GrantCommand::Relinquish(command) => relinquish(state, caller, command, now),
        GrantCommand::Revoke(command) => revoke(state, caller, command, now),
        GrantCommand::IssueToken(command) => tokens::issue(state, caller, command, envelope),
    }
}

/// The holder gives a grant up: the account itself, or a person behind it.
fn relinquish(state: &State, caller: &Caller<'_>, command: &RelinquishGrant, now: Now) -> Result<Vec<Fact>, Refusal> {
    let &RelinquishGrant { grant: id, ref reason } = command;
    let grant = open(state, caller, id, now, Reason::NotHolder)?;
    if !is_behind(caller, grant) {
        return Err(Refusal::new(Reason::NotHolder, format!("`{id}` is held by `{}`", grant.holder)));
    }
    let fact =
        GrantClosed { grant: id, holder: grant.holder.clone(), by: principal(caller), reason: reason.to_owned() };
    Ok(with_extensions(state, vec![Fact::Grant(GrantFact::Relinquished(fact))], now))
}

/// Ends somebody's grant. Its reviewers may, the tenant's approvers, the manager, those behind it, and holders of
/// `grant.revoke`.
fn revoke(state: &State, caller: &Caller<'_>, command: &RevokeGrant, now: Now) -> Result<Vec<Fact>, Refusal> {
    let &RevokeGrant { grant: id, ref reason } = command;
    let grant = open(state, caller, id, now, Reason::NotRevoker)?;
    if !may_revoke(state, caller, grant, now) {
        return Err(Refusal::new(Reason::NotRevoker, format!("`{id}`")));
    }
    let because = Revocation::By { by: principal(caller), reason: reason.to_owned() };
    let revoked = GrantRevoked { grant: id, holder: grant.holder.clone(), because };
    Ok(with_extensions(state, vec![Fact::Grant(GrantFact::Revoked(revoked))], now))
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
