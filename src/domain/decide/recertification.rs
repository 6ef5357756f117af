//! Rounds of recertification: who holds a role is confirmed by the manager, or is over at the round's date (issue 3, part
//! 8; THREATS B7). The date is in each membership, so that it ends by comparison, with all timers off too.

use std::collections::{BTreeMap, BTreeSet};

use super::{Caller, make_id, principal};
use crate::domain::cascade::Touched;
use crate::domain::command::Envelope;
use crate::domain::directory::{Account, AccountState, Confirm, Membership};
use crate::domain::event::{AccountRecorded, Fact, MembershipEnded, RoundItemNamed, RoundNamed};
use crate::domain::ids::{AccountId, PersonId, RoleName, RoundId};
use crate::domain::overlay::Overlay;
use crate::domain::policy::CapabilityName;
use crate::domain::recertification::{LONGEST_ROUND, Round, RoundItem, SHORTEST_ROUND, ends_by_itself, may_confirm};
use crate::domain::refusal::{Reason, Refusal};
use crate::domain::state::{Due, State};
use crate::domain::time::{Now, Timestamp};
use crate::domain::visibility::{Thing, answers_for_role, may_see, visible_items};

/// Begins a round over everybody who holds a role now. Grants that outlast its date are cut to it.
pub(super) fn start(
    state: &State,
    caller: &Caller<'_>,
    role: &RoleName,
    due: Timestamp,
    envelope: &Envelope,
) -> Result<Vec<Fact>, Refusal> {
    let now = envelope.now;
    may_start(state, caller, role, now)?;
    let (earliest, latest) = (now.latest.plus(SHORTEST_ROUND), now.stamp.plus(LONGEST_ROUND));
    if due < earliest || latest < due {
        let detail = format!("`{due}` is not from {earliest} to {latest}");
        return Err(Refusal::new(Reason::DueNotAllowed, detail).with("earliest", earliest).with("latest", latest));
    }
    let others: Vec<&Round> = state.rounds().values().filter(|it| it.role == *role && it.closed_at.is_none()).collect();
    if let Some(open) = others.iter().find(|round| round.is_open(now.latest)) {
        let detail = format!("a round over `{role}` goes on to {}", open.due);
        return Err(Refusal::new(Reason::AlreadyThere, detail).with("round", open.id).with("due", open.due));
    }
    let id = RoundId::from(make_id(envelope, 0));
    let items = items(state, role, now);
    if items.is_empty() {
        return Err(Refusal::new(Reason::RoundEmpty, format!("`{role}`")).with("role", role));
    }
    let held: Vec<AccountId> = items.keys().cloned().collect();
    let persons: BTreeSet<PersonId> = items.values().map(|item| item.person.clone()).collect();
    let round = Round {
        id,
        role: role.clone(),
        started_by: principal(caller),
        started_at: now.stamp,
        due,
        items,
        closed_at: None,
    };
    let mut overlay = Overlay::new(state, crate::domain::event::Actor::Caller(principal(caller)), now);
    overlay.record([Fact::RoundStarted(Box::new(round))]);
    for account in held {
        change_membership(&mut overlay, &account, role, |it| it.confirm = Some(Confirm { round: id, by: due }));
    }
    // Whose date has passed, though no timer has run.
    for over in others.iter().map(|round| round.id) {
        close_round(&mut overlay, over);
    }
    overlay.cascade(&Touched::Persons(persons));
    Ok(overlay.into_facts())
}

/// The manager of the member's person, or of the machine's owner, confirms a membership: it goes on to its own end. Grants
/// that the round cut stay cut, because an end never moves later.
pub(super) fn confirm(
    state: &State,
    caller: &Caller<'_>,
    id: RoundId,
    account_id: &AccountId,
    now: Now,
) -> Result<Vec<Fact>, Refusal> {
    let round = state.rounds().get(&id).ok_or_else(|| Refusal::not_found("round", id))?;
    if !may_see(state, caller.viewer, Thing::Round(round), now) {
        // Who would confirm for himself is told no more than others; the journal says that it was that.
        let own = round.items.get(account_id).is_some_and(|item| caller.viewer.person.as_ref() == Some(&item.person));
        return Err(Refusal::hidden("round", id, if own { Reason::SelfApproval } else { Reason::NotOwner }));
    }
    let Some((item, account)) = round.items.get(account_id).zip(state.organisation.accounts().get(account_id)) else {
        return Err(Refusal::not_found("membership in this round", account_id));
    };
    if !visible_items(state, caller.viewer, round, now).any(|(id, _)| id == account_id) {
        let hidden =
            if caller.viewer.person.as_ref() == Some(&item.person) { Reason::SelfApproval } else { Reason::NotOwner };
        return Err(Refusal::hidden("membership in this round", account_id, hidden));
    }
    may_confirm(&state.organisation, caller.account, (&item.person, account.person()), now.latest)?;
    let over = |why: String| Err(Refusal::new(Reason::RoundOver, why).with("round", id).with("account", account_id));
    if !round.is_open(now.latest) {
        return over(format!("the round ended at {}", round.due));
    }
    if item.outcome.is_some() {
        return over(format!("`{account_id}` is decided about"));
    }
    let waits = account.roles.get(&round.role).filter(|it| round.waits_for(it) && !it.ends_at().is_over(now.latest));
    if waits.is_none() {
        return over(format!("`{account_id}` no longer holds `{}` as when the round began", round.role));
    }
    let mut overlay = Overlay::new(state, crate::domain::event::Actor::Caller(principal(caller)), now);
    overlay.record([Fact::MembershipConfirmed(RoundItemNamed { round: id, account: account_id.clone() })]);
    change_membership(&mut overlay, account_id, &round.role, |it| it.confirm = None);
    Ok(overlay.into_facts())
}

/// A round's date has passed: what nobody has confirmed is over by comparison, and is recorded so. A directory file does
/// not give it back.
pub(in crate::domain) fn close_round(overlay: &mut Overlay, id: RoundId) {
    let Some(round) = overlay.state().rounds().get(&id).filter(|round| round.closed_at.is_none()).cloned() else {
        return;
    };
    let mut persons = BTreeSet::new();
    for account_id in round.items.keys() {
        let accounts = overlay.state().organisation().accounts();
        let Some(account) = accounts.get(account_id) else { continue };
        let Some(membership) = account.roles.get(&round.role).filter(|it| round.waits_for(it)) else { continue };
        let due = (membership.ends_at(), Due::MembershipEnd(account_id.clone(), round.role.clone()));
        let mut account = account.clone();
        account.roles.remove(&round.role);
        persons.insert(account.person().clone());
        // The timer may have recorded that it ended; the record still has it.
        if overlay.state().due.contains(&due) {
            let ended = MembershipEnded { account: account_id.clone(), role: round.role.clone() };
            overlay.record([Fact::MembershipEnded(ended)]);
        }
        overlay.record([Fact::AccountRecorded(AccountRecorded { id: account_id.clone(), account })]);
    }
    persons.iter().for_each(|person| super::accounts::touch(overlay, person));
    overlay.record([Fact::RoundClosed(RoundNamed { round: id })]);
    if !persons.is_empty() {
        overlay.cascade(&Touched::Persons(persons));
    }
}

/// The owner of the role begins rounds over it, and whoever may load a directory.
fn may_start(state: &State, caller: &Caller<'_>, role: &RoleName, now: Now) -> Result<(), Refusal> {
    let organisation = &state.organisation;
    let known = organisation.policy().roles.contains_key(role);
    let loads = organisation.capability(caller.account, CapabilityName::DirectoryLoad, now.latest).is_some();
    if known && (loads || answers_for_role(organisation, caller.viewer, role, now)) {
        return Ok(());
    }
    let members = organisation.members(role).any(|id| id == caller.account);
    let Some(owner) = organisation.policy().roles.get(role).filter(|_| members) else {
        // Roles are no secret to their members; to everybody else they are as none.
        return Err(if known {
            Refusal::hidden("role", role, Reason::NotOwner)
        } else {
            Refusal::not_found("role", role)
        });
    };
    let detail = owner.owner.as_ref().map_or_else(
        || format!("`{role}` has no owner: a holder of `directory.load` begins it"),
        |owner| format!("`{role}` is owned by `{owner}`"),
    );
    Err(Refusal::new(Reason::NotOwner, detail).with("role", role))
}

/// Who holds the role, with what the manager has to judge. By the index of its members.
fn items(state: &State, role: &RoleName, now: Now) -> BTreeMap<AccountId, RoundItem> {
    let organisation = &state.organisation;
    let held = organisation.members(role).filter_map(|id| {
        let account = organisation.accounts().get(id).filter(|account| account.state != AccountState::Closed)?;
        let membership = account.roles.get(role).filter(|it| !it.ends_at().is_over(now.latest))?;
        let item = RoundItem {
            person: account.person().clone(),
            since: membership.since,
            approved: membership.approved.clone(),
            last_grant: state.last_grant(id, role),
            ends_at: ends_by_itself(organisation, account, role, membership),
            outcome: None,
        };
        Some((id.clone(), item))
    });
    held.collect()
}

fn change_membership(overlay: &mut Overlay, id: &AccountId, role: &RoleName, change: impl FnOnce(&mut Membership)) {
    let Some(mut account): Option<Account> = overlay.state().organisation().accounts().get(id).cloned() else { return };
    let Some(membership) = account.roles.get_mut(role) else { return };
    change(membership);
    overlay.record([Fact::AccountRecorded(AccountRecorded { id: id.clone(), account })]);
}
