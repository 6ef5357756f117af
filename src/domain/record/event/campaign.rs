//! Facts about a campaign of recertification.

use serde::{Deserialize, Serialize};

use super::subject::Subject;
use crate::domain::record::campaign::Campaign;
use crate::domain::value::ids::{AccountId, CampaignId};

facts! {
    /// A campaign of recertification.
    CampaignFact {
        /// A campaign of recertification began; each membership must be confirmed by its date.
        Started(Box<Campaign>) "campaign-started/1";
        /// A manager confirmed a membership; the account's record follows.
        MembershipConfirmed(CampaignItemNamed) "membership-confirmed/1";
        /// A campaign's date passed.
        Closed(CampaignNamed) "campaign-closed/1";
    }
}

impl CampaignFact {
    /// What it is about.
    #[must_use]
    pub fn about(&self) -> Vec<Subject> {
        match self {
            Self::Started(campaign) => vec![Subject::Campaign(campaign.id)],
            Self::MembershipConfirmed(fact) => {
                vec![Subject::Campaign(fact.campaign), Subject::Account(fact.account.clone())]
            }
            Self::Closed(fact) => vec![Subject::Campaign(fact.campaign)],
        }
    }
}

bodies! {
    /// Whose membership.
    CampaignItemNamed { campaign: CampaignId, account: AccountId }
    /// Which.
    CampaignNamed { campaign: CampaignId }
}
