//! Commands about a campaign of recertification.

use serde::Serialize;

use crate::domain::value::ids::{AccountId, CampaignId, RoleName};
use crate::domain::value::time::Timestamp;

commands! {
    /// A campaign of recertification.
    CampaignCommand in Campaign {
        /// Begin a campaign of recertification over the holders of a role.
        Start(StartCampaign) "start-campaign";
        /// Confirm a membership in a campaign.
        Confirm(ConfirmMembership) "confirm-membership";
    }
}

impl CampaignCommand {
    /// Whether it only takes access away: it goes first, and goes on while the clock is suspect.
    #[must_use]
    pub fn takes_away(&self) -> bool {
        match self {
            Self::Start(_) | Self::Confirm(_) => false,
        }
    }

    /// What it is about, for the record of a refusal.
    #[must_use]
    pub fn about(&self) -> Option<String> {
        match self {
            Self::Start(command) => Some(format!("role:{}", command.role)),
            Self::Confirm(command) => Some(format!("campaign:{}", command.campaign)),
        }
    }

    /// How many bytes of free text it adds to the journal; none if it adds sets of any size as well.
    #[must_use]
    pub fn words_bytes(&self) -> Option<usize> {
        match self {
            // Who holds a role is a set of any size.
            Self::Start(_) => None,
            Self::Confirm(_) => Some(0),
        }
    }
}

/// Begin a campaign of recertification over the holders of a role.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct StartCampaign {
    /// Which role.
    pub role: RoleName,
    /// What is not confirmed by then is over.
    pub due: Timestamp,
}

/// Confirm a membership in a campaign.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ConfirmMembership {
    /// The campaign.
    pub campaign: CampaignId,
    /// Whose.
    pub account: AccountId,
}
