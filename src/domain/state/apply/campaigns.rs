//! What is recorded of campaigns of recertification. What they change of memberships stands in records of accounts.

use crate::domain::record::campaign::{Campaign, CampaignOutcome};
use crate::domain::record::event::{Actor, CampaignFact, Event};
use crate::domain::state::State;
use crate::domain::value::ids::{AccountId, CampaignId, RoleName};
use crate::domain::value::time::Timestamp;

pub(super) fn record(state: &mut State, fact: &CampaignFact, event: &Event) {
    let at = event.at;
    match fact {
        CampaignFact::Started(campaign) => state.put_campaign((**campaign).clone()),
        CampaignFact::MembershipConfirmed(fact) => change(state, fact.campaign, |campaign| {
            if let (Some(item), Actor::Caller(by)) = (campaign.items.get_mut(&fact.account), &event.actor) {
                item.outcome = Some(CampaignOutcome::Confirmed { at, by: by.clone() });
            }
        }),
        CampaignFact::Closed(fact) => close(state, fact.campaign, at),
    }
}

/// Items without an outcome have ended some other way, with the account or the person. One that is still held was given
/// anew by an enrolment, and this campaign does not decide about it.
fn close(state: &mut State, id: CampaignId, at: Timestamp) {
    let accounts = state.organisation.accounts.clone();
    change(state, id, |campaign| {
        for (account, item) in &mut campaign.items {
            let held = accounts.get(account).is_some_and(|account| account.roles.contains_key(&campaign.role));
            if item.outcome.is_none() && !held {
                item.outcome = Some(CampaignOutcome::Ended { at });
            }
        }
        campaign.closed_at = Some(at);
    });
}

/// A membership ended by an act or by its own time: about that there is nothing left to decide.
pub(super) fn end(state: &mut State, account: &AccountId, role: &RoleName, at: Timestamp) {
    let concerned = |campaign: &Campaign| {
        campaign.closed_at.is_none()
            && campaign.role == *role
            && campaign.items.get(account).is_some_and(|item| item.outcome.is_none())
    };
    let campaigns: Vec<CampaignId> =
        state.campaigns.values().filter(|it| concerned(it)).map(|campaign| campaign.id).collect();
    for id in campaigns {
        change(state, id, |campaign| {
            if let Some(item) = campaign.items.get_mut(account) {
                item.outcome = Some(CampaignOutcome::Ended { at });
            }
        });
    }
}

fn change(state: &mut State, id: CampaignId, change: impl FnOnce(&mut Campaign)) {
    if let Some(mut campaign) = state.campaigns.get(&id).cloned() {
        change(&mut campaign);
        state.put_campaign(campaign);
    }
}
