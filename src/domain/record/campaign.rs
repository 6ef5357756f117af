//! Campaigns of recertification: the manager of each holder of a role confirms the membership, or it ends.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::domain::directory::{ApprovedBy, Membership};
use crate::domain::value::ids::{AccountId, CampaignId, GrantId, PersonId, Principal, RoleName};
use crate::domain::value::time::{Span, Timestamp};

/// A campaign leaves at least this long to confirm.
pub const SHORTEST_CAMPAIGN: Span = Span::seconds(3_600);
/// A campaign leaves at most this long to confirm.
pub const LONGEST_CAMPAIGN: Span = Span::seconds(180 * 86_400);

/// A campaign over the holders of one role.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Campaign {
    /// Its id.
    pub id: CampaignId,
    /// Whose holders.
    pub role: RoleName,
    /// Who began it.
    pub started_by: Principal,
    /// When.
    pub started_at: Timestamp,
    /// What is not confirmed by then is over.
    pub due: Timestamp,
    /// Everybody who held the role when it began.
    pub items: BTreeMap<AccountId, CampaignItem>,
    /// When it was recorded that its date had passed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub closed_at: Option<Timestamp>,
}

/// A holder, as the manager has to judge: as it was when the campaign began.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CampaignItem {
    /// Whose account it is, or who owns the machine.
    pub person: PersonId,
    /// Since when it is held; none: as far back as the first directory goes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Timestamp>,
    /// By whose approval; none: nobody's, but the directory file's or a feed's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approved: Option<ApprovedBy>,
    /// The account that sent the feed which gave it; none: no feed did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fed_by: Option<AccountId>,
    /// The last grant through it, if one is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_grant: Option<LastGrant>,
    /// When it lapses or ends by itself; none: never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ends_at: Option<Timestamp>,
    /// What was decided; none: nothing yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outcome: Option<CampaignOutcome>,
}

/// The last grant through a membership.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LastGrant {
    /// Which.
    pub grant: GrantId,
    /// When it was issued.
    pub at: Timestamp,
}

/// What became of a holder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum CampaignOutcome {
    /// The manager confirmed it.
    Confirmed {
        /// When.
        at: Timestamp,
        /// Who.
        by: Principal,
    },
    /// It ended: by an act, or because nobody confirmed it.
    Ended {
        /// When.
        at: Timestamp,
    },
}

impl Campaign {
    /// Holders about whom nothing is decided.
    pub fn open_items(&self) -> impl Iterator<Item = (&AccountId, &CampaignItem)> {
        self.items.iter().filter(|(_, item)| item.outcome.is_none())
    }

    /// The persons behind those.
    #[must_use]
    pub fn open_persons(&self) -> BTreeSet<&PersonId> {
        self.open_items().map(|(_, item)| &item.person).collect()
    }

    /// Whether memberships can still be confirmed in it: by comparison, whatever the timer has recorded.
    #[must_use]
    pub fn is_open(&self, at: Timestamp) -> bool {
        self.closed_at.is_none() && !self.due.is_over(at)
    }

    /// Whether an account's membership waits to be confirmed in it.
    #[must_use]
    pub fn waits_for(&self, membership: &Membership) -> bool {
        membership.confirm.is_some_and(|confirm| confirm.campaign == self.id)
    }
}
