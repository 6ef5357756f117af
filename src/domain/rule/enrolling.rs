//! What policy asks of an enrolment, what stands in its way, who decides, and what it gives: pure functions of an
//! organisation, used when it is asked for, after every change while it is pending, and at the last approval (rule 4).

mod free;
mod gives;
mod resolve;
mod stages;

use std::collections::BTreeSet;

use super::eligibility::Obstacles;
use crate::domain::directory::{Account, AccountKind, AccountState, Disabling, Membership};
use crate::domain::policy::{Role, fits, separation_rule_2};
use crate::domain::record::enrolment::{Ask, Enrolment, MachineAsk};
use crate::domain::state::identities::When;
use crate::domain::state::organisation::Organisation;
use crate::domain::value::ids::{AccountId, PersonId, RoleName};
use crate::domain::value::refusal::{Reason, Refusal};
use crate::domain::value::time::{Now, Span, Timestamp};

pub use gives::Given;
pub(in crate::domain) use gives::given;
pub use resolve::draft_enrolment;
pub(in crate::domain) use stages::{stages, switched_on, terms};

/// How long an enrolment waits for its decisions.
pub const REVIEW_WITHIN: Span = Span::seconds(7 * 86_400);

/// All that stands in the way of what an enrolment asks, whoever has approved it.
#[must_use]
pub fn standing_in_the_way(organisation: &Organisation, enrolment: &Enrolment, now: Now) -> Obstacles {
    let person = &enrolment.person;
    if let Some(tenant) = organisation.tenant_of(person) {
        let detail = format!("`{person}`, of tenant `{tenant}`");
        return vec![Refusal::new(Reason::TenantProvisions, detail).with("person", person)];
    }
    let mut obstacles = match &enrolment.ask {
        Ask::Role { account, .. } | Ask::Keep { account, .. } | Ask::Restore { account, .. }
            if organisation.accounts.get(account).is_some_and(|it| it.person() != person) =>
        {
            // The machine has changed hands since.
            vec![Refusal::new(Reason::NotOwner, format!("`{account}` is no longer that of `{person}`"))]
        }
        Ask::Account { account } => account_obstacles(organisation, person, account, now),
        Ask::Role { account, role, until } => role_obstacles(organisation, account, role, *until, now),
        Ask::Keep { account, role } => keep_obstacles(organisation, account, role, now),
        Ask::Restore { account, roles } => restore_obstacles(organisation, account, roles, now),
        Ask::Machine(machine) => machine_obstacles(organisation, person, machine, now),
        Ask::TakeOver { account } => take_over_obstacles(organisation, person, account, now),
    };
    if obstacles.is_empty() {
        obstacles.extend(conflicts(organisation, enrolment, now));
    }
    obstacles.sort_by_key(|refusal| refusal.reason);
    obstacles
}

fn account_obstacles(organisation: &Organisation, person: &PersonId, id: &AccountId, now: Now) -> Obstacles {
    let requires = &organisation.policy.baseline.requires;
    let mut obstacles = organisation.person_validity(person, requires, now.latest).err().unwrap_or_default();
    // A disabled account is in the way as well, because it can be enabled by other means, unless a directory took its
    // identities.
    let stands = |it: &Account| {
        !it.is_machine()
            && it.state != AccountState::Closed
            && (it.state == AccountState::Active || !it.identities.is_empty())
    };
    let own = organisation.accounts_of(person).find(|(_, it)| stands(it));
    obstacles.extend(own.map(|(own, _)| free::already(own)));
    obstacles.extend(free::id_obstacle(organisation, person, id));
    let login = organisation.people.get(person).map(|person| &person.login);
    if login.is_none_or(BTreeSet::is_empty) {
        let detail = format!("`{person}` is known by no certificate of its own");
        obstacles.push(Refusal::new(Reason::NotEligible, detail).with("person", person));
    }
    obstacles.extend(login.into_iter().flatten().filter_map(|identity| free::login_obstacle(organisation, identity)));
    obstacles
}

fn role_obstacles(
    organisation: &Organisation,
    id: &AccountId,
    role_name: &RoleName,
    until: Option<Timestamp>,
    now: Now,
) -> Obstacles {
    let mut obstacles = organisation.account_validity(id, now.latest).err().unwrap_or_default();
    let Some((account, role)) = organisation.accounts.get(id).zip(organisation.policy.roles.get(role_name)) else {
        return vec![Refusal::not_found("role", role_name)];
    };
    obstacles.extend(for_role(organisation, account, account.person(), role_name, role, until, now));
    let end = gives::end_of(role, until, now);
    let held = account.roles.get(role_name).filter(|it| it.suspended.is_none() && !it.ends_at().is_over(now.latest));
    if obstacles.is_empty() && held.is_some_and(|held| held.ends_at() >= end.unwrap_or(Timestamp::MAX)) {
        let detail = format!("`{id}` is in `{role_name}` for as long already");
        obstacles.push(Refusal::new(Reason::AlreadyThere, detail).with("account", id).with("role", role_name));
    }
    obstacles
}

/// What a role asks of a new member and of the membership's end.
fn for_role(
    organisation: &Organisation,
    account: &Account,
    person: &PersonId,
    name: &RoleName,
    role: &Role,
    until: Option<Timestamp>,
    now: Now,
) -> Obstacles {
    let mut obstacles = organisation.person_validity(person, &role.requires, now.latest).err().unwrap_or_default();
    if !fits(role, account) {
        let detail = format!("`{name}` is for {}", role.member_kind.as_str());
        obstacles.push(Refusal::new(Reason::NotInRole, detail).with("role", name));
    }
    let longest = role.longest_membership.map(|longest| now.stamp.plus(longest));
    if let Some(until) = until
        && (until.is_over(now.latest) || longest.is_some_and(|longest| until > longest))
    {
        let latest = longest.map_or_else(|| "any later day".to_owned(), |at| at.to_string());
        let detail = format!("an end at {until}; a membership of `{name}` ends between now and {latest}");
        obstacles.push(Refusal::new(Reason::MembershipTooLong, detail).with("role", name));
    }
    obstacles
}

fn keep_obstacles(organisation: &Organisation, id: &AccountId, role: &RoleName, now: Now) -> Obstacles {
    let account = organisation.accounts.get(id);
    let held = account.and_then(|account| account.roles.get(role));
    let cut = held.filter(|it| it.cut.is_some() && !it.ends_at().is_over(now.latest));
    // While the transfer is only announced the old manager is still the manager, and may keep nothing (known failure
    // B2).
    let person = account.and_then(|account| organisation.people.get(account.person()));
    let is_ahead = person.and_then(|it| it.moves.first()).is_some_and(|moves| !moves.at.is_over(now.latest));
    if cut.is_none() || is_ahead {
        let detail = format!("of `{id}` in `{role}`");
        return vec![Refusal::new(Reason::NothingToKeep, detail).with("account", id).with("role", role)];
    }
    organisation.eligible_in(id, role, now.latest).err().unwrap_or_default()
}

fn restore_obstacles(organisation: &Organisation, id: &AccountId, roles: &BTreeSet<RoleName>, now: Now) -> Obstacles {
    let Some(account) = organisation.accounts.get(id) else { return vec![Refusal::not_found("account", id)] };
    let nothing = |why: String| vec![Refusal::new(Reason::NothingToRestore, why).with("account", id)];
    let disabled = match &account.state {
        _ if account.ends_at().is_over(now.latest) => return nothing(format!("`{id}` ended at {}", account.ends_at())),
        AccountState::Disabled { because: Disabling::Lapse, .. } => true,
        AccountState::Active => false,
        AccountState::Disabled { .. } | AccountState::Closed => {
            return nothing(format!("`{id}` was not disabled by a lapse"));
        }
    };
    let of_people = matches!(account.kind, AccountKind::ServiceTeam { .. });
    let requires = organisation.policy.baseline.requires.iter().filter(|_| of_people || account.is_machine());
    let mut obstacles = organisation.person_validity(account.person(), requires, now.latest).err().unwrap_or_default();
    let gone = roles.iter().find(|role| !can_return(organisation, account, role, now));
    if let Some(role) = gone {
        obstacles.extend(nothing(format!("the membership of `{id}` in `{role}`")));
    }
    if obstacles.is_empty() && !disabled && roles.is_empty() {
        obstacles.extend(nothing(format!("`{id}` is active, and no suspended membership of it can return")));
    }
    obstacles
}

/// Whether a membership is suspended and not over, and its role's requirements are met again.
fn can_return(organisation: &Organisation, account: &Account, role: &RoleName, now: Now) -> bool {
    let held = account.roles.get(role).filter(|it| it.suspended.is_some() && !it.ends_at().is_over(now.latest));
    let rule = organisation.policy.roles.get(role);
    let met = |role: &Role| organisation.person_validity(account.person(), &role.requires, now.latest).is_ok();
    held.is_some() && rule.is_some_and(met)
}

/// The suspended memberships that can return.
#[must_use]
pub fn restorable(organisation: &Organisation, account: &Account, now: Now) -> BTreeSet<RoleName> {
    account.roles.keys().filter(|role| can_return(organisation, account, role, now)).cloned().collect()
}

fn machine_obstacles(organisation: &Organisation, owner: &PersonId, machine: &MachineAsk, now: Now) -> Obstacles {
    let mut obstacles = owner_obstacles(organisation, owner, now);
    obstacles.extend(free::id_obstacle(organisation, owner, &machine.account));
    obstacles.extend(free::identity_obstacles(organisation, owner, machine, now.latest));
    if machine.identities.is_empty() {
        obstacles.push(Refusal::new(Reason::NotEligible, "a machine is known by at least one certificate"));
    }
    // Nobody has standing sight of a tenant's space (design.md 6).
    for pattern in machine.audience.iter().filter(|pattern| pattern.reaches_tenants()) {
        obstacles.push(Refusal::new(Reason::OutOfScope, format!("`{pattern}` reaches into a tenant's space")));
    }
    let account = gives::machine(owner, machine, None, organisation, now);
    for (name, until) in &machine.roles {
        match organisation.policy.roles.get(name) {
            Some(role) => obstacles.extend(for_role(organisation, &account, owner, name, role, *until, now)),
            None => obstacles.push(Refusal::not_found("role", name)),
        }
    }
    obstacles
}

fn take_over_obstacles(organisation: &Organisation, owner: &PersonId, id: &AccountId, now: Now) -> Obstacles {
    let open = |account: &&Account| account.is_machine() && account.state != AccountState::Closed;
    let Some(account) = organisation.accounts.get(id).filter(open) else {
        return vec![Refusal::not_found("service account", id)];
    };
    if account.person() == owner {
        return vec![Refusal::new(Reason::AlreadyThere, format!("`{owner}` owns `{id}`")).with("account", id)];
    }
    let mut obstacles = owner_obstacles(organisation, owner, now);
    for role in account.roles.keys().filter_map(|role| organisation.policy.roles.get(role)) {
        obstacles.extend(organisation.person_validity(owner, &role.requires, now.latest).err().unwrap_or_default());
    }
    obstacles
}

/// A machine needs an eligible human owner of the own organisation, with an account of the owner's own (known failure B9).
fn owner_obstacles(organisation: &Organisation, owner: &PersonId, now: Now) -> Obstacles {
    let of_service_team = |account: &Account| matches!(account.kind, AccountKind::ServiceTeam { .. });
    let own = organisation.accounts_of(owner).filter(|(_, account)| of_service_team(account));
    let mut refused = vec![Refusal::new(Reason::NoAccount, format!("`{owner}` has no account")).with("person", owner)];
    for (id, _) in own {
        match organisation.account_validity(id, now.latest) {
            Ok(_) => return Vec::new(),
            Err(obstacles) => refused = obstacles,
        }
    }
    refused
}

/// Separation of duties, rule 2: nobody gets on both sides of an entitlement, over all accounts and machines.
/// Memberships that are over do not count.
fn conflicts(organisation: &Organisation, enrolment: &Enrolment, now: Now) -> Obstacles {
    let mut after = organisation.clone();
    let given = given(organisation, enrolment, BTreeSet::new(), now);
    // Who has which roles is all that is looked at.
    let when = When { at: now.stamp, sequence: u64::MAX };
    given.accounts.into_iter().for_each(|(id, account)| after.put_account(id, account, when));
    let accounts: Vec<(AccountId, Account)> = after
        .accounts_of(&enrolment.person)
        .map(|(id, account)| {
            let mut account = account.clone();
            account.roles.retain(|_, it: &mut Membership| !it.ends_at().is_over(now.latest));
            (id.clone(), account)
        })
        .collect();
    let found = separation_rule_2(&after.policy, accounts.iter().map(|(id, account)| (id, account)));
    let told = found.into_iter().map(|conflict| {
        let detail = format!(
            "`{}` would ask for `{}` as `{}` of `{}` and approve it as `{}` of `{}`",
            conflict.person,
            conflict.entitlement,
            conflict.requesting.1,
            conflict.requesting.0,
            conflict.approving.1,
            conflict.approving.0
        );
        Refusal::new(Reason::RoleConflict, detail)
            .with("person", &conflict.person)
            .with("entitlement", &conflict.entitlement)
    });
    told.collect()
}
