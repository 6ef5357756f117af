//! A tenant's own feed: it says who the tenant's people are, and so makes their accounts and roles. It reaches nobody
//! else: what belongs to another tenant and what does not exist get the same answer.
//!
//! No brake holds it: it can harm nobody but its own tenant, whose requests then wait for approvers. Its silence stops
//! only what touches the tenant.

use std::collections::BTreeSet;

use super::happening::{applied, happen};
use crate::domain::directory::{Account, AccountKind, AccountState, BroughtBy, Membership, Person, is_named_by};
use crate::domain::effect::life;
use crate::domain::effect::overlay::Overlay;
use crate::domain::policy::{MemberKind, Policy, separation_rule_2};
use crate::domain::record::hr::{HrChange, HrEvent, StreamPlace};
use crate::domain::rule::tenant_limits::room_to_join;
use crate::domain::state::organisation::Organisation;
use crate::domain::value::ids::{AccountId, Identity, PersonId, RoleName, TenantName};
use crate::domain::value::refusal::{Reason, Refusal};
use crate::domain::value::time::Now;

/// The most accounts that one person can have had, one after another.
const MOST_ACCOUNTS: u32 = 999;

/// One event of a tenant's feed, and all that follows.
pub(super) fn apply(
    overlay: &mut Overlay,
    tenant: &TenantName,
    by: &BroughtBy,
    place: Option<&StreamPlace>,
    released: bool,
    event: &HrEvent,
) -> Result<(), Refusal> {
    within(overlay.state().organisation(), tenant, event, overlay.clocks())?;
    match &event.change {
        HrChange::Roles { roles } => {
            overlay.record([applied(place, released, event)]);
            set_roles(overlay, tenant, &by.sender, &event.person, roles)
        }
        HrChange::Joined { .. } => {
            room_to_join(overlay.state(), tenant, &event.person)?;
            happen(overlay, Some(tenant), Some(by), place, released, event)?;
            make_account(overlay, tenant, &event.person)
        }
        HrChange::Renamed { .. }
        | HrChange::LoginsChanged { .. }
        | HrChange::Transferred { .. }
        | HrChange::Left { .. }
        | HrChange::Stays => happen(overlay, Some(tenant), Some(by), place, released, event),
    }
}

pub(super) fn outside(tenant: &TenantName, what: impl std::fmt::Display) -> Refusal {
    Refusal::new(Reason::OutsideTenant, format!("`{what}` is not of tenant `{tenant}`")).with("tenant", tenant)
}

/// Whether a person is, or by this name may become, one of the tenant's.
fn is_own(organisation: &Organisation, tenant: &TenantName, id: &PersonId) -> bool {
    match organisation.people().get(id) {
        Some(person) => person.tenant.as_ref() == Some(tenant),
        None => is_named_by(tenant, id.as_str()),
    }
}

pub(super) fn within(
    organisation: &Organisation,
    tenant: &TenantName,
    event: &HrEvent,
    now: Now,
) -> Result<(), Refusal> {
    let own = |id: &PersonId| if is_own(organisation, tenant, id) { Ok(()) } else { Err(outside(tenant, id)) };
    own(&event.person)?;
    let domain = organisation.tenants().get(tenant).map(|tenant| tenant.trust_domain.as_str());
    let speaks = |identity: &&Identity| Some(identity.trust_domain()) == domain;
    match &event.change {
        HrChange::Joined { login, .. } | HrChange::Renamed { login } | HrChange::LoginsChanged { added: login, .. } => {
            if let Some(foreign) = login.iter().find(|identity| !speaks(identity)) {
                return Err(outside(tenant, foreign));
            }
        }
        HrChange::Transferred { at, .. } if !at.is_over(now.latest) => {
            return Err(Refusal::new(Reason::InvalidMessage, "within a tenant a transfer takes effect at once"));
        }
        HrChange::Transferred { .. } | HrChange::Left { .. } | HrChange::Stays | HrChange::Roles { .. } => {}
    }
    if let HrChange::Joined { manager: Some(manager), .. } | HrChange::Transferred { manager: Some(manager), .. } =
        &event.change
    {
        own(manager)?;
    }
    Ok(())
}

/// Whoever joins gets an account at once, because the tenant decides who its people are.
fn make_account(overlay: &mut Overlay, tenant: &TenantName, id: &PersonId) -> Result<(), Refusal> {
    let organisation = overlay.state().organisation();
    let Some(person) = organisation.people().get(id).cloned() else { return Ok(()) };
    let names = std::iter::once(id.to_string()).chain((2..=MOST_ACCOUNTS).map(|number| format!("{id}-{number}")));
    let mut free = names.filter_map(|name| name.parse::<AccountId>().ok());
    let account_id = free.find(|name| !organisation.accounts().contains_key(name));
    let account_id = account_id.ok_or_else(|| outside(tenant, id))?;
    let account = Account {
        kind: AccountKind::Customer { person: id.clone(), tenant: tenant.clone() },
        identities: person.login.clone(),
        audience: BTreeSet::new(),
        roles: std::collections::BTreeMap::new(),
        until: None,
        state: AccountState::Active,
    };
    life::put_person(overlay, id, Person { login: BTreeSet::new(), ..person });
    life::put_account(overlay, &account_id, account);
    Ok(())
}

/// Sets all the customers' roles that a person has. Roles with a capability are given by the own organisation alone.
fn set_roles(
    overlay: &mut Overlay,
    tenant: &TenantName,
    sender: &AccountId,
    id: &PersonId,
    roles: &BTreeSet<RoleName>,
) -> Result<(), Refusal> {
    let now = overlay.clocks();
    let organisation = overlay.state().organisation();
    let policy = std::sync::Arc::clone(organisation.policy());
    if let Some(role) = roles.iter().find(|role| !is_given_by_tenants(&policy, role)) {
        return Err(outside(tenant, role));
    }
    let unknown = || Refusal::new(Reason::PersonUnknown, format!("`{id}`"));
    let (account_id, mut account) =
        life::named(organisation, id).map(|(id, it)| (id.clone(), it.clone())).ok_or_else(unknown)?;
    if account.state != AccountState::Active {
        return Err(unknown());
    }
    account.roles.retain(|role, it| {
        let stays = roles.contains(role) && !it.ends_at().is_over(now.latest);
        stays || !is_given_by_tenants(&policy, role)
    });
    for role in roles {
        let longest = policy.roles.get(role).and_then(|role| role.longest_membership);
        let until = longest.map(|longest| now.stamp.plus(longest));
        let since = Some(now.stamp);
        let given = Membership { until, since, fed_by: Some(sender.clone()), ..Membership::default() };
        account.roles.entry(role.clone()).or_insert(given);
    }
    let others = organisation.accounts_of(id).filter(|(other, _)| **other != account_id);
    if let Some(conflict) = separation_rule_2(&policy, others.chain([(&account_id, &account)])).into_iter().next() {
        // The name of another tenant's entitlement is not disclosed.
        let terms = policy.entitlements.get(&conflict.entitlement).map(|entitlement| &entitlement.terms);
        if terms.is_none_or(|terms| terms.scope.of_tenant(tenant.as_str()).is_none()) {
            return Err(Refusal::new(Reason::RoleConflict, format!("`{}`", conflict.person)));
        }
        let detail = format!("`{}`, of `{}`", conflict.person, conflict.entitlement);
        return Err(Refusal::new(Reason::RoleConflict, detail).with("entitlement", conflict.entitlement));
    }
    life::put_account(overlay, &account_id, account);
    life::cascade_of(overlay, id);
    Ok(())
}

fn is_given_by_tenants(policy: &Policy, role: &RoleName) -> bool {
    let role = policy.roles.get(role);
    role.is_some_and(|role| role.member_kind == MemberKind::Customers && role.capabilities.is_empty())
}
