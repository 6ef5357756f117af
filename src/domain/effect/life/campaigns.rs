//! The end of a campaign of recertification: what nobody has confirmed is over.

use std::collections::BTreeSet;

use super::records::touch;
use crate::domain::effect::cascade::Touched;
use crate::domain::effect::overlay::Overlay;
use crate::domain::record::event::{
    AccountRecorded, CampaignFact, CampaignNamed, Fact, LifeFact, MembershipEnded, OrganisationFact,
};
use crate::domain::state::Due;
use crate::domain::value::ids::CampaignId;

/// A campaign's date has passed: what nobody has confirmed is over by comparison, and is recorded so. A directory file does
/// not give it back.
pub(in crate::domain) fn close_campaign(overlay: &mut Overlay, id: CampaignId) {
    let Some(campaign) = overlay.state().campaigns().get(&id).filter(|campaign| campaign.closed_at.is_none()).cloned()
    else {
        return;
    };
    let mut persons = BTreeSet::new();
    for account_id in campaign.items.keys() {
        let accounts = overlay.state().organisation().accounts();
        let Some(account) = accounts.get(account_id) else { continue };
        let Some(membership) = account.roles.get(&campaign.role).filter(|it| campaign.waits_for(it)) else { continue };
        let due = (membership.ends_at(), Due::MembershipEnd(account_id.clone(), campaign.role.clone()));
        let mut account = account.clone();
        account.roles.remove(&campaign.role);
        persons.insert(account.person().clone());
        // The timer may have recorded the end already, while the account's record still has the membership.
        if overlay.state().due.contains(&due) {
            let ended = MembershipEnded { account: account_id.clone(), role: campaign.role.clone() };
            overlay.record([Fact::Life(LifeFact::MembershipEnded(ended))]);
        }
        overlay.record([Fact::Organisation(OrganisationFact::AccountRecorded(AccountRecorded {
            id: account_id.clone(),
            account,
        }))]);
    }
    persons.iter().for_each(|person| touch(overlay, person));
    overlay.record([Fact::Campaign(CampaignFact::Closed(CampaignNamed { campaign: id }))]);
    if !persons.is_empty() {
        overlay.cascade(&Touched::Persons(persons));
    }
}
