//! Campaigns of recertification: the manager confirms each membership of a role, or it ends at the campaign's date
//! (known failure B7). Each membership carries the date, so that it ends by comparison, without any timer.

use crate::domain::record::command::{CampaignCommand, ConfirmMembership, StartCampaign};
use std::collections::{BTreeMap, BTreeSet};

use super::caller::{Caller, make_id, principal};
use crate::domain::directory::{Account, AccountState, Confirm, Membership};
use crate::domain::effect::cascade::Touched;
use crate::domain::effect::life;
use crate::domain::effect::overlay::Overlay;
use crate::domain::policy::CapabilityName;
use crate::domain::record::campaign::{Campaign, CampaignItem, LONGEST_CAMPAIGN, SHORTEST_CAMPAIGN};
use crate::domain::record::command::Envelope;
use crate::domain::record::event::{AccountRecorded, CampaignFact, CampaignItemNamed, Fact, OrganisationFact};
use crate::domain::rule::campaign::{Holder, ends_by_itself, may_confirm};
use crate::domain::rule::visibility::{Thing, answers_for_role, may_see, visible_items};
use crate::domain::state::State;
use crate::domain::value::ids::{AccountId, CampaignId, PersonId, RoleName};
use crate::domain::value::refusal::{Reason, Refusal};
use crate::domain::value::time::Now;

/// Decides what is asked about a campaign.
///
/// # Errors
/// The first thing that stands in the way.
pub(super) fn decide(
    state: &State,
    caller: &Caller<'_>,
    command: &CampaignCommand,
    envelope: &Envelope,
) -> Result<Vec<Fact>, Refusal> {
    let now = envelope.now;
    match command {
        CampaignCommand::Start(command) => start(state, caller, command, envelope),
        CampaignCommand::Confirm(command) => confirm(state, caller, command, now),
    }
}

/// Begins a campaign over everybody who holds a role now. Grants that outlast its date are cut to it.
fn start(
    state: &State,
    caller: &Caller<'_>,
    command: &StartCampaign,
    envelope: &Envelope,
) -> Result<Vec<Fact>, Refusal> {
    let &StartCampaign { ref role, due } = command;
    let now = envelope.now;
    may_start(state, caller, role, now)?;
    let (earliest, latest) = (now.latest.plus(SHORTEST_CAMPAIGN), now.stamp.plus(LONGEST_CAMPAIGN));
    if due < earliest || latest < due {
        let detail = format!("`{due}` is not from {earliest} to {latest}");
        return Err(Refusal::new(Reason::DueNotAllowed, detail).with("earliest", earliest).with("latest", latest));
    }
    let others: Vec<&Campaign> =
        state.campaigns().values().filter(|it| it.role == *role && it.closed_at.is_none()).collect();
    if let Some(open) = others.iter().find(|campaign| campaign.is_open(now.latest)) {
        let detail = format!("a campaign over `{role}` goes on to {}", open.due);
        return Err(Refusal::new(Reason::AlreadyThere, detail).with("campaign", open.id).with("due", open.due));
    }
    let id = CampaignId::from(make_id(envelope, 0));
    let items = items(state, role, now);
    if items.is_empty() {
        return Err(Refusal::new(Reason::CampaignEmpty, format!("`{role}`")).with("role", role));
    }
    let held: Vec<AccountId> = items.keys().cloned().collect();
    let persons: BTreeSet<PersonId> = items.values().map(|item| item.person.clone()).collect();
    let campaign = Campaign {
        id,
        role: role.clone(),
        started_by: principal(caller),
        started_at: now.stamp,
        due,
        items,
        closed_at: None,
    };
    let mut overlay = Overlay::new(state, crate::domain::record::event::Actor::Caller(principal(caller)), now);
    overlay.record([Fact::Campaign(CampaignFact::Started(Box::new(campaign)))]);
    for account in held {
        change_membership(&mut overlay, &account, role, |it| it.confirm = Some(Confirm { campaign: id, by: due }));
    }
    // Earlier campaigns whose date has passed are closed here, in case no timer has run.
    for over in others.iter().map(|campaign| campaign.id) {
        life::close_campaign(&mut overlay, over);
    }
    overlay.cascade(&Touched::Persons(persons));
    Ok(overlay.into_facts())
}

/// The manager of the member's person, or of the machine's owner, confirms a membership: it goes on to its own end. Grants
/// that the campaign cut stay cut, because an end never moves later.
fn confirm(state: &State, caller: &Caller<'_>, command: &ConfirmMembership, now: Now) -> Result<Vec<Fact>, Refusal> {
    let &ConfirmMembership { campaign: id, account: ref account_id } = command;
    let campaign = state.campaigns().get(&id).ok_or_else(|| Refusal::not_found("campaign", id))?;
    if !may_see(state, caller.viewer, Thing::Campaign(campaign), now) {
        // Whoever would confirm for themselves gets the same answer as others; the journal has the true reason.
        let own =
            campaign.items.get(account_id).is_some_and(|item| caller.viewer.person.as_ref() == Some(&item.person));
        return Err(Refusal::hidden("campaign", id, if own { Reason::SelfApproval } else { Reason::NotOwner }));
    }
    let Some((item, account)) = campaign.items.get(account_id).zip(state.organisation.accounts().get(account_id))
    else {
        return Err(Refusal::not_found("membership in this campaign", account_id));
    };
    if !visible_items(state, caller.viewer, campaign, now).any(|(id, _)| id == account_id) {
        let hidden =
            if caller.viewer.person.as_ref() == Some(&item.person) { Reason::SelfApproval } else { Reason::NotOwner };
        return Err(Refusal::hidden("membership in this campaign", account_id, hidden));
    }
    may_confirm(
        &state.organisation,
        caller.account,
        Holder { at_start: &item.person, by_now: account.person() },
        now.latest,
    )?;
    let over =
        |why: String| Err(Refusal::new(Reason::CampaignOver, why).with("campaign", id).with("account", account_id));
    if !campaign.is_open(now.latest) {
        return over(format!("the campaign ended at {}", campaign.due));
    }
    if item.outcome.is_some() {
        return over(format!("`{account_id}` is decided about"));
    }
    let waits =
        account.roles.get(&campaign.role).filter(|it| campaign.waits_for(it) && !it.ends_at().is_over(now.latest));
    if waits.is_none() {
        return over(format!("`{account_id}` no longer holds `{}` as when the campaign began", campaign.role));
    }
    let mut overlay = Overlay::new(state, crate::domain::record::event::Actor::Caller(principal(caller)), now);
    overlay.record([Fact::Campaign(CampaignFact::MembershipConfirmed(CampaignItemNamed {
        campaign: id,
        account: account_id.clone(),
    }))]);
    change_membership(&mut overlay, account_id, &campaign.role, |it| it.confirm = None);
    Ok(overlay.into_facts())
}

/// The owner of the role may begin campaigns over it, and so may a holder of `directory.propose`.
fn may_start(state: &State, caller: &Caller<'_>, role: &RoleName, now: Now) -> Result<(), Refusal> {
    let organisation = &state.organisation;
    let known = organisation.policy().roles.contains_key(role);
    let loads = organisation.capability(caller.account, CapabilityName::DirectoryPropose, now.latest).is_some();
    if known && (loads || answers_for_role(organisation, caller.viewer, role, now)) {
        return Ok(());
    }
    let members = organisation.members(role).any(|id| id == caller.account);
    let Some(owner) = organisation.policy().roles.get(role).filter(|_| members) else {
        // A role is no secret to its members; everybody else gets the answer for a role that does not exist.
        return Err(if known {
            Refusal::hidden("role", role, Reason::NotOwner)
        } else {
            Refusal::not_found("role", role)
        });
    };
    let detail = owner.owner.as_ref().map_or_else(
        || format!("`{role}` has no owner: a holder of `directory.propose` begins it"),
        |owner| format!("`{role}` is owned by `{owner}`"),
    );
    Err(Refusal::new(Reason::NotOwner, detail).with("role", role))
}

/// Who holds the role, with what the manager needs to decide.
fn items(state: &State, role: &RoleName, now: Now) -> BTreeMap<AccountId, CampaignItem> {
    let organisation = &state.organisation;
    let held = organisation.members(role).filter_map(|id| {
        let account = organisation.accounts().get(id).filter(|account| account.state != AccountState::Closed)?;
        let membership = account.roles.get(role).filter(|it| !it.ends_at().is_over(now.latest))?;
        let item = CampaignItem {
            person: account.person().clone(),
            since: membership.since,
            approved: membership.approved.clone(),
            fed_by: membership.fed_by.clone(),
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
    overlay
        .record([Fact::Organisation(OrganisationFact::AccountRecorded(AccountRecorded { id: id.clone(), account }))]);
}
