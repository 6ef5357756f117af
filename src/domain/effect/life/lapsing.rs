//! Lapses: one of the baseline disables the account, one of a role suspends the membership, and warnings come before.

use super::records::{cascade_of, machines, own_accounts, put_account};
use crate::domain::directory::{Account, AccountKind, AccountState, Disabling, Membership};
use crate::domain::effect::overlay::Overlay;
use crate::domain::record::event::{Fact, LapseAhead, LifeFact, RequirementLapsed};
use crate::domain::value::ids::{PersonId, RequirementName, RoleName};
use crate::domain::value::time::Timestamp;

/// A requirement lapses. One of the baseline disables the person's accounts and suspends all their memberships; a role's
/// own suspends the memberships in roles that require it, those of machines as well.
pub(in crate::domain) fn lapse(overlay: &mut Overlay, person: &PersonId, requirement: &RequirementName) {
    let fact = RequirementLapsed { person: person.clone(), requirement: requirement.clone() };
    overlay.record([Fact::Life(LifeFact::RequirementLapsed(fact))]);
    suspend(overlay, person, requirement);
    cascade_of(overlay, person);
}

/// Records what has lapsed by now of what was attested, where the timer has not.
pub(super) fn settle(overlay: &mut Overlay, person: &PersonId) {
    let organisation = overlay.state().organisation();
    let Some(record) = organisation.people().get(person) else { return };
    let now = overlay.clocks().latest;
    let lapsed = record.attestations.iter().filter(|(name, attested)| {
        let rule = organisation.policy().requirements.get(*name);
        rule.is_some_and(|rule| rule.lapses_at(**attested).is_over(now))
    });
    let lapsed: Vec<RequirementName> = lapsed.map(|(name, _)| name.clone()).collect();
    for requirement in lapsed.iter().filter(|name| is_unrecorded(overlay, person, name)).cloned().collect::<Vec<_>>() {
        lapse(overlay, person, &requirement);
    }
}

/// Whether an account or membership that a lapse should have disabled or suspended is still in use on record.
fn is_unrecorded(overlay: &Overlay, person: &PersonId, requirement: &RequirementName) -> bool {
    let now = overlay.clocks().latest;
    let held = |membership: &Membership| membership.suspended.is_none() && !membership.ends_at().is_over(now);
    let own = own_accounts(overlay, person).into_iter().chain(machines(overlay, person));
    own.into_iter().any(|(_, account)| {
        let (disabled, roles) = hit(overlay, &account, requirement);
        (disabled && account.state == AccountState::Active)
            || roles.iter().any(|role| account.roles.get(role).is_some_and(held))
    })
}

/// Whether a lapse of the requirement disables the account, and the memberships that it suspends.
fn hit(overlay: &Overlay, account: &Account, requirement: &RequirementName) -> (bool, Vec<RoleName>) {
    let policy = overlay.state().organisation().policy();
    let of_people = matches!(account.kind, AccountKind::ServiceTeam { .. });
    let baseline = of_people && policy.baseline.requires.contains(requirement);
    let requires = |role: &RoleName| policy.roles.get(role).is_some_and(|role| role.requires.contains(requirement));
    let roles = account.roles.keys().filter(|role| baseline || requires(role)).cloned().collect();
    (baseline, roles)
}

/// What rests on the requirement is suspended, since the instant at which it lapsed.
pub(in crate::domain) fn suspend(overlay: &mut Overlay, person: &PersonId, requirement: &RequirementName) {
    let now = overlay.clocks();
    let since = lapsed_at(overlay, person, requirement).map_or(now.stamp, |at| at.min(now.stamp));
    for (id, mut account) in own_accounts(overlay, person).into_iter().chain(machines(overlay, person)) {
        let (disabled, roles) = hit(overlay, &account, requirement);
        if disabled && account.state == AccountState::Active {
            let reason = format!("`{requirement}` lapsed at {since}");
            account.state = AccountState::Disabled { reason, because: Disabling::Lapse };
        }
        for role in &roles {
            if let Some(membership) = account.roles.get_mut(role).filter(|it| !it.ends_at().is_over(now.latest)) {
                membership.suspended.get_or_insert(since);
            }
        }
        put_account(overlay, &id, account);
    }
}

fn lapsed_at(overlay: &Overlay, person: &PersonId, requirement: &RequirementName) -> Option<Timestamp> {
    let organisation = overlay.state().organisation();
    let attested = organisation.people().get(person)?.attestations.get(requirement)?;
    Some(organisation.policy().requirements.get(requirement)?.lapses_at(*attested))
}

/// Records a warning that a requirement lapses in so many days.
pub(super) fn warn(overlay: &mut Overlay, person: &PersonId, requirement: &RequirementName, days: u32) {
    let lapses_at = lapsed_at(overlay, person, requirement).unwrap_or(overlay.clocks().stamp);
    let fact = LapseAhead { person: person.clone(), requirement: requirement.clone(), lapses_at, days };
    overlay.record([Fact::Life(LifeFact::LapseAhead(fact))]);
}
