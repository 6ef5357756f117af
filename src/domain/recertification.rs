//! Rounds of recertification: the manager of each holder of a role confirms the membership, or it ends.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::directory::{Account, AccountKind, ApprovedBy, Membership, Person};
use super::ids::{AccountId, GrantId, PersonId, Principal, RoleName, RoundId};
use super::organisation::Organisation;
use super::refusal::{Reason, Refusal};
use super::reviewers::first;
use super::time::{Span, Timestamp};

/// A round leaves at least this long to confirm.
pub const SHORTEST_ROUND: Span = Span::seconds(3_600);
/// And at most this long.
pub const LONGEST_ROUND: Span = Span::seconds(180 * 86_400);

/// A round over the holders of one role.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Round {
    /// Its id.
    pub id: RoundId,
    /// Whose holders.
    pub role: RoleName,
    /// Who began it.
    pub started_by: Principal,
    /// When.
    pub started_at: Timestamp,
    /// What is not confirmed by then is over.
    pub due: Timestamp,
    /// Everybody who held the role when it began.
    pub items: BTreeMap<AccountId, RoundItem>,
    /// Whether its date has passed, as recorded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub closed_at: Option<Timestamp>,
}

/// A holder, as the manager has to judge: as it was when the round began.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RoundItem {
    /// Whose account it is, or who owns the machine.
    pub person: PersonId,
    /// Since when it is held; none: as far back as the first directory goes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Timestamp>,
    /// By whose approval; none: the directory file's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approved: Option<ApprovedBy>,
    /// The last grant through it; none: none that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_grant: Option<LastGrant>,
    /// When it lapses or ends by itself; none: never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ends_at: Option<Timestamp>,
    /// What was decided; none: nothing yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outcome: Option<RoundOutcome>,
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
pub enum RoundOutcome {
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

impl Round {
    /// Holders about whom nothing is decided.
    pub fn open_items(&self) -> impl Iterator<Item = (&AccountId, &RoundItem)> {
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
        membership.confirm.is_some_and(|confirm| confirm.round == self.id)
    }
}

/// When a membership lapses or ends by itself: its own end, that of its account, the last day of its person, or the first
/// lapse that it rests on, which may lie in the past. None: never.
#[must_use]
pub fn ends_by_itself(
    organisation: &Organisation,
    account: &Account,
    role: &RoleName,
    membership: &Membership,
) -> Option<Timestamp> {
    let policy = organisation.policy();
    let mut ends_at = membership.ends_at().min(account.ends_at());
    if let Some(person) = organisation.people().get(account.person()) {
        let of_role = policy.roles.get(role).into_iter().flat_map(|role| &role.requires);
        // A customer's screening is the tenant's own affair.
        let customer = matches!(account.kind, AccountKind::Customer { .. });
        let of_baseline = policy.baseline.requires.iter().filter(|_| !customer);
        let lapses = of_role.chain(of_baseline).filter_map(|name| {
            let attested = person.attestations.get(name)?;
            Some(policy.requirements.get(name)?.lapses_at(*attested))
        });
        ends_at = lapses.fold(ends_at.min(person.employment_ends_at()), Timestamp::min);
    }
    (ends_at < Timestamp::MAX).then_some(ends_at)
}

/// Whether an account may confirm what a person, or a machine of that person's, holds: it is the manager of record's, or,
/// where there is no manager, in a role that policy names in a manager's place. Nobody confirms for himself: neither whose
/// it was when the round began, nor whose it is now (THREATS A3, B6).
///
/// # Errors
/// `SELF_APPROVAL`, `NOT_OWNER`, or why the account is not eligible.
pub fn may_confirm(
    organisation: &Organisation,
    caller: &AccountId,
    (at_start, by_now): (&PersonId, &PersonId),
    at: Timestamp,
) -> Result<(), Refusal> {
    let not_owner = |why: String| Refusal::new(Reason::NotOwner, why).with("person", by_now);
    let account = organisation.accounts().get(caller).filter(|account| !account.is_machine());
    let Some(confirming) = account.map(Account::person) else {
        return Err(not_owner("machines confirm nothing".to_owned()));
    };
    if confirming == at_start || confirming == by_now {
        let detail = format!("`{confirming}` would confirm for himself");
        return Err(Refusal::new(Reason::SelfApproval, detail).with("person", confirming));
    }
    organisation.account_rests(caller, at).map_err(first)?;
    if organisation.manager_of(by_now, at) == Some(confirming) {
        return Ok(());
    }
    let instead = &organisation.policy().baseline.manager_missing;
    let unmanaged = organisation.people().get(by_now).is_some_and(|person| is_unmanaged(person, at));
    if unmanaged && instead.iter().any(|role| organisation.eligible_in(caller, role, at).is_ok()) {
        return Ok(());
    }
    Err(not_owner(format!("`{confirming}` is not the manager of `{by_now}`")))
}

/// Whether a person has no manager and waits for none. A transfer to somebody unknown leaves a person waiting.
fn is_unmanaged(person: &Person, at: Timestamp) -> bool {
    let moved = person.moves.as_ref().is_some_and(|moves| moves.at.is_over(at));
    !moved && !person.awaits_manager && person.manager.is_none()
}
