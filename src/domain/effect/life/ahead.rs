//! What lapses and ends soon, for those whom it concerns.

use crate::domain::state::organisation::Organisation;
use crate::domain::value::ids::{AccountId, PersonId, RequirementName, RoleName};
use crate::domain::value::limits::WARNED_DAYS;
use crate::domain::value::time::Span;
use crate::domain::value::time::{Now, Timestamp};

/// Something that a person's standing rests on, and when it is over.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Coming {
    /// The first instant at which it no longer holds.
    pub at: Timestamp,
    /// What.
    pub what: Lapsing,
}

/// What lapses or ends.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Lapsing {
    /// An attestation.
    Requirement(RequirementName),
    /// A membership.
    Membership(AccountId, RoleName),
    /// An account.
    Account(AccountId),
    /// The employment itself.
    Employment,
}

/// What lapses or ends for a person within 30 days, the next first, without what is over already.
#[must_use]
pub fn lapses_ahead(organisation: &Organisation, person: &PersonId, now: Now) -> Vec<Coming> {
    let Some(record) = organisation.people().get(person) else { return Vec::new() };
    let [longest, ..] = WARNED_DAYS;
    let until = now.latest.plus(Span::days(longest));
    let attested = record.attestations.iter().filter_map(|(name, attested)| {
        let at = organisation.policy().requirements.get(name)?.lapses_at(*attested);
        Some(Coming { at, what: Lapsing::Requirement(name.clone()) })
    });
    let accounts = organisation.accounts_of(person).flat_map(|(id, account)| {
        let memberships = account.roles.iter().map(|(role, membership)| Coming {
            at: membership.ends_at(),
            what: Lapsing::Membership(id.clone(), role.clone()),
        });
        memberships.chain([Coming { at: account.ends_at(), what: Lapsing::Account(id.clone()) }]).collect::<Vec<_>>()
    });
    let employment = [Coming { at: record.employment_ends_at(), what: Lapsing::Employment }];
    let all = attested.chain(accounts).chain(employment);
    let mut coming: Vec<Coming> = all.filter(|it| !it.at.is_over(now.latest) && it.at <= until).collect();
    coming.sort();
    coming
}
