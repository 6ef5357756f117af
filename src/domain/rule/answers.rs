//! What an auditor asks of a state, as it is or as it was: who could do this, by what, and what stands without a grant.
//! Pure functions of a state and an instant; a past state comes by replay.

use crate::domain::directory::AccountKind;
use crate::domain::policy::{Capability, CapabilityName};
use crate::domain::record::counted::Counted;
use crate::domain::record::elevation::Elevation;
use crate::domain::record::grant::{Grant, GrantPhase};
use crate::domain::record::review::Phase;
use crate::domain::state::State;
use crate::domain::value::ids::{AccountId, PersonId, RoleName};
use crate::domain::value::scope::{Action, Pattern, Scope};
use crate::domain::value::time::{Span, Timestamp};

/// Whose access, to do what, on what; a field that is absent matches everything.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct AccessQuestion {
    /// Held by this account.
    pub account: Option<AccountId>,
    /// Held by an account of this person, or by a machine that the person is behind.
    pub person: Option<PersonId>,
    /// This action.
    pub action: Option<Action>,
    /// On this resource, or on something of this subtree.
    pub resource: Option<Pattern>,
}

/// One way by which an account could do something at an instant.
#[derive(Debug, Clone, Copy)]
pub enum Access<'a> {
    /// By a grant that was live.
    Granted {
        /// The grant.
        grant: &'a Grant,
        /// What it came from, with its review.
        elevation: Option<&'a Elevation>,
        /// Whether a lock stopped it: on its resources, its holder or anything else of it.
        locked: bool,
    },
    /// By what the baseline allows to every eligible account.
    Baseline {
        /// The account.
        account: &'a AccountId,
        /// Whose it is.
        person: &'a PersonId,
        /// Until when it is eligible, as things were.
        until: Timestamp,
        /// What it allows.
        scope: &'a Scope,
        /// Whether a lock stopped it.
        locked: bool,
    },
}

/// Somebody with standing power over the broker itself.
#[derive(Debug, Clone, Copy)]
pub struct CapabilityHolder<'a> {
    /// Which account.
    pub account: &'a AccountId,
    /// Whose it is, or who owns the machine.
    pub person: &'a PersonId,
    /// By which role.
    pub role: &'a RoleName,
    /// What, and what it is narrowed to.
    pub capability: &'a Capability,
    /// Until when, as things were.
    pub until: Timestamp,
}

/// How many grants of a state are open, by phase.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct OpenGrants {
    /// Not started.
    pub scheduled: u64,
    /// Live, or over and not recorded yet.
    pub active: u64,
}

/// Every way by which somebody could do what is asked for: grants by their ids, then each scope of the baseline by
/// accounts.
pub fn access<'a>(
    state: &'a State,
    question: &'a AccessQuestion,
    at: Timestamp,
) -> impl Iterator<Item = Access<'a>> + 'a {
    let granted = state.grants().values().filter(move |grant| grant.is_live(at) && is_asked_of_grant(question, grant));
    let granted = granted.map(|grant| Access::Granted {
        grant,
        elevation: state.elevations().get(&grant.elevation),
        locked: is_locked(state, &grant.holder, &grant.scope) || state.organisation().lock_on_grant(grant).is_some(),
    });
    granted.chain(baseline(state, question, at))
}

fn baseline<'a>(
    state: &'a State,
    question: &'a AccessQuestion,
    at: Timestamp,
) -> impl Iterator<Item = Access<'a>> + 'a {
    let organisation = state.organisation();
    let allows = &organisation.policy().baseline.allows;
    let scopes = allows.iter().filter(move |scope| covers(question, scope));
    // Accounts are looked at only for scopes that the question is about.
    scopes.flat_map(move |scope| {
        organisation.accounts().iter().filter_map(move |(id, account)| {
            let own = question.account.as_ref().is_none_or(|only| only == id)
                && question.person.as_ref().is_none_or(|only| only == account.person())
                && matches!(account.kind, AccountKind::ServiceTeam { .. });
            let until = organisation.account_validity(id, at).ok().filter(|_| own)?.until;
            let locked = is_locked(state, id, scope);
            Some(Access::Baseline { account: id, person: account.person(), until, scope, locked })
        })
    })
}

fn is_locked(state: &State, account: &AccountId, scope: &Scope) -> bool {
    let organisation = state.organisation();
    organisation.lock_on_account(account).is_some() || organisation.locks().on_any_of(scope).is_some()
}

fn is_asked_of_grant(question: &AccessQuestion, grant: &Grant) -> bool {
    question.account.as_ref().is_none_or(|only| *only == grant.holder)
        && question.person.as_ref().is_none_or(|only| grant.behind.contains(only))
        && covers(question, &grant.scope)
}

fn covers(question: &AccessQuestion, scope: &Scope) -> bool {
    question.action.as_ref().is_none_or(|action| scope.actions().contains(action))
        && question.resource.as_ref().is_none_or(|wanted| scope.resources().iter().any(|held| held.overlaps(wanted)))
}

/// Everybody who holds a capability by a role: standing power, by accounts.
pub fn capability_holders(state: &State, at: Timestamp) -> impl Iterator<Item = CapabilityHolder<'_>> {
    let organisation = state.organisation();
    organisation.accounts().iter().flat_map(move |(id, account)| {
        account.roles.keys().flat_map(move |name| {
            let role = organisation.policy().roles.get_key_value(name);
            let held = role.and_then(|role| Some((role, organisation.eligible_in(id, name, at).ok()?.until)));
            held.into_iter().flat_map(move |((role, terms), until)| {
                let person = account.person();
                terms.capabilities.iter().map(move |capability| CapabilityHolder {
                    account: id,
                    person,
                    role,
                    capability,
                    until,
                })
            })
        })
    })
}

/// How many accounts the baseline allows something to.
#[must_use]
pub fn baseline_accounts(state: &State, at: Timestamp) -> u64 {
    let organisation = state.organisation();
    let eligible = organisation.accounts().iter().filter(|(id, account)| {
        matches!(account.kind, AccountKind::ServiceTeam { .. }) && organisation.account_validity(id, at).is_ok()
    });
    eligible.fold(0, |count, _| count.saturating_add(1))
}

/// The open grants of a state that are asked about.
#[must_use]
pub fn open_grants(state: &State, is_asked: impl Fn(&Grant) -> bool) -> OpenGrants {
    let mut open = OpenGrants::default();
    for grant in state.grants().values().filter(|grant| is_asked(grant)) {
        match grant.phase {
            GrantPhase::Scheduled => open.scheduled = open.scheduled.saturating_add(1),
            GrantPhase::Active => open.active = open.active.saturating_add(1),
            GrantPhase::Ended { .. } | GrantPhase::Relinquished { .. } | GrantPhase::Revoked { .. } => {}
        }
    }
    open
}

/// What an open grant lacks of what each must have: an end within 24 h of its start, and every approval that its review
/// asked for, by distinct persons, none of them behind it. It should lack nothing.
#[must_use]
pub fn fault_of(state: &State, grant: &Grant) -> Option<&'static str> {
    // One that was shortened to before its start never starts.
    if grant.end.since(grant.start) > Span::DAY {
        return Some("it has no end within 24 h of its start");
    }
    let Some(elevation) = state.elevations().get(&grant.elevation) else {
        return Some("the request that it came from is not on record");
    };
    if !matches!(&elevation.phase, Phase::Approved { outcome, .. } if *outcome == grant.id) {
        return Some("the request that it came from did not lead to it");
    }
    let mut persons: Vec<&PersonId> = elevation.review.approvals().map(|decision| &decision.person).collect();
    let given = persons.len();
    persons.sort();
    persons.dedup();
    if !Counted::as_recorded(&elevation.review).is_complete() || persons.len() < given {
        return Some("approvals are missing");
    }
    persons.iter().any(|person| grant.behind.contains(*person)).then_some("somebody behind it approved it")
}

/// Every open grant with a fault.
pub fn faults(state: &State) -> impl Iterator<Item = (&Grant, &'static str)> {
    let open = state.grants().values().filter(|grant| grant.is_open());
    open.filter_map(|grant| Some((grant, fault_of(state, grant)?)))
}

/// Whether an `audit.read` of an account lets it read about this scope: narrowed to resources, what lies wholly within
/// them; not narrowed, all but what is a tenant's.
#[must_use]
pub fn may_audit(state: &State, account: &AccountId, scope: &Scope, at: Timestamp) -> bool {
    let mut held = state.organisation().capabilities(account, CapabilityName::AuditRead, at);
    held.any(|(capability, _)| {
        scope.resources().iter().all(|pattern| match capability.resources.is_empty() {
            true => !pattern.reaches_tenants(),
            false => capability.resources.iter().any(|ours| ours.contains(pattern)),
        })
    })
}

/// Whether an account, or its person, stands behind an access.
#[must_use]
pub fn is_own(access: &Access<'_>, account: &AccountId, person: Option<&PersonId>) -> bool {
    match access {
        Access::Granted { grant, .. } => {
            grant.holder == *account || person.is_some_and(|person| grant.behind.contains(person))
        }
        Access::Baseline { account: own, person: of, .. } => *own == account || person == Some(*of),
    }
}
