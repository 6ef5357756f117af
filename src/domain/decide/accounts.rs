//! Ending memberships and closing machines, by those who answer for them. What takes away is never held up by what is
//! missing: no requirement has to be met for it, and a suspect clock does not stop it.

use crate::domain::record::command::{AccountCommand, CloseAccount, EndMembership, Envelope};
use std::collections::BTreeSet;

use super::caller::{Caller, principal};
use crate::domain::directory::{Account, AccountState};
use crate::domain::effect::cascade::Touched;
use crate::domain::effect::life;
use crate::domain::effect::overlay::Overlay;
use crate::domain::policy::CapabilityName;
use crate::domain::record::event::{
    AccountClosed, AccountRecorded, Actor, Fact, LifeFact, MembershipRevoked, OrganisationFact,
};
use crate::domain::rule::visibility::{Thing, answers_for_role, may_see};
use crate::domain::state::State;
use crate::domain::value::ids::AccountId;
use crate::domain::value::refusal::{Reason, Refusal};
use crate::domain::value::time::Now;

/// Decides what is asked about an account.
///
/// # Errors
/// The first thing that stands in the way.
pub(super) fn decide(
    state: &State,
    caller: &Caller<'_>,
    command: &AccountCommand,
    envelope: &Envelope,
) -> Result<Vec<Fact>, Refusal> {
    let now = envelope.now;
    match command {
        AccountCommand::EndMembership(command) => end_membership(state, caller, command, now),
        AccountCommand::Close(command) => close(state, caller, command, now),
    }
}

/// Ends a membership. Its holder may, the manager of the holder's person, the owner of the role, the owner of the
/// machine, and a holder of `directory.propose`. What rests on it ends in the same batch, and no directory file gives
/// it back.
fn end_membership(state: &State, caller: &Caller<'_>, command: &EndMembership, now: Now) -> Result<Vec<Fact>, Refusal> {
    let EndMembership { account: id, role, reason } = command;
    let account = seen(state, caller, id, now)?;
    if !account.roles.contains_key(role) {
        return Err(Refusal::not_found("membership", format!("{id}/{role}")));
    }
    let own = id == caller.account || caller.viewer.person.as_ref() == Some(account.person());
    let by_role = || answers_for_role(&state.organisation, caller.viewer, role, now);
    if !own && !answers_for(state, caller, account, now) && !by_role() {
        let detail = format!("the membership of `{id}` in `{role}`");
        return Err(Refusal::new(Reason::NotOwner, detail).with("account", id).with("role", role));
    }
    let mut account = account.clone();
    account.roles.remove(role);
    let person = account.person().clone();
    let mut overlay = Overlay::new(state, Actor::Caller(principal(caller)), now);
    overlay.record([
        Fact::Life(LifeFact::MembershipRevoked(MembershipRevoked {
            account: id.clone(),
            role: role.clone(),
            by: principal(caller),
            reason: reason.to_owned(),
        })),
        Fact::Organisation(OrganisationFact::AccountRecorded(AccountRecorded { id: id.clone(), account })),
    ]);
    life::touch(&mut overlay, &person);
    overlay.cascade(&Touched::Persons(BTreeSet::from([person])));
    Ok(overlay.into_facts())
}

/// Closes a service account for ever. Its owner may, the owner's manager, and a holder of `directory.propose`.
fn close(state: &State, caller: &Caller<'_>, command: &CloseAccount, now: Now) -> Result<Vec<Fact>, Refusal> {
    let CloseAccount { account: id, reason } = command;
    let account = seen(state, caller, id, now)?;
    if !account.is_machine() {
        // People's accounts end with their people.
        return Err(Refusal::not_found("service account", id));
    }
    if !answers_for(state, caller, account, now) {
        let detail = format!("`{id}` is owned by `{}`", account.person());
        return Err(Refusal::new(Reason::NotOwner, detail).with("account", id).with("owner", account.person()));
    }
    if account.state == AccountState::Closed {
        return Err(Refusal::new(Reason::AlreadyThere, format!("`{id}` is closed")).with("account", id));
    }
    let account = life::close_machine(account.clone());
    let owner = account.person().clone();
    let mut overlay = Overlay::new(state, Actor::Caller(principal(caller)), now);
    overlay.record([
        Fact::Life(LifeFact::AccountClosed(AccountClosed {
            account: id.clone(),
            by: principal(caller),
            reason: reason.to_owned(),
        })),
        Fact::Organisation(OrganisationFact::AccountRecorded(AccountRecorded { id: id.clone(), account })),
    ]);
    overlay.cascade(&Touched::Persons(BTreeSet::from([owner])));
    Ok(overlay.into_facts())
}

/// The account, if the caller may know of it (known failures A14 and H9).
fn seen<'a>(state: &'a State, caller: &Caller<'_>, id: &AccountId, now: Now) -> Result<&'a Account, Refusal> {
    let Some(account) = state.organisation.accounts().get(id) else {
        return Err(Refusal::not_found("account", id));
    };
    let may = may_see(state, caller.viewer, Thing::Account(id), now) || answers_for(state, caller, account, now);
    if may { Ok(account) } else { Err(Refusal::hidden("account", id, Reason::NotOwner)) }
}

/// Whether the caller answers for all of an account: the owner of a machine, the manager of record of its person, or a
/// holder of `directory.propose`. By comparison, whatever the timer has recorded.
fn answers_for(state: &State, caller: &Caller<'_>, account: &Account, now: Now) -> bool {
    let organisation = &state.organisation;
    let person = caller.viewer.person.as_ref();
    let works_here = person.is_some_and(|id| organisation.works_here(id, now.latest));
    let owns = works_here && account.is_machine() && person == Some(account.person());
    let manager = organisation.manager_of(account.person(), now.latest);
    let manages = manager.is_some() && manager == person;
    owns || manages || organisation.capability(caller.account, CapabilityName::DirectoryPropose, now.latest).is_some()
}
