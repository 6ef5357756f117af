//! Who sees what: one function for Get, List, Watch and shortened ids alike. What it hides is answered as if it did not
//! exist.

use std::collections::BTreeSet;

use super::campaign::{Holder, may_confirm};
use super::reviewers::{Reviewed, reviewer_in_stages};
use crate::domain::directory::{Account, AccountKind};
use crate::domain::policy::{Approver, CapabilityName, Stage};
use crate::domain::record::campaign::{Campaign, CampaignItem};
use crate::domain::record::elevation::Elevation;
use crate::domain::record::enrolment::Enrolment;
use crate::domain::record::event::{BrokerFact, ElevationFact, Event, Fact, GrantFact, Subject};
use crate::domain::record::grant::Grant;
use crate::domain::record::lock::{Lock, Locked};
use crate::domain::record::proposal::Proposal;
use crate::domain::rule::emergency::ordinary_stages;
use crate::domain::state::State;
use crate::domain::state::organisation::Organisation;
use crate::domain::value::ids::{AccountId, EntitlementName, Identity, PersonId, Principal, RoleName, TenantName};
use crate::domain::value::refusal::{Reason, Refusal};
use crate::domain::value::scope::{Pattern, Scope};
use crate::domain::value::time::Now;

/// Whoever looks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Viewer {
    /// As whom.
    pub principal: Principal,
    /// Which person that is; none for a machine, which sees only what it holds itself.
    pub person: Option<PersonId>,
}

/// What is looked at.
#[derive(Debug, Clone, Copy)]
pub enum Thing<'a> {
    /// An entitlement of the catalogue.
    Entitlement(&'a EntitlementName),
    /// An elevation with its review.
    Elevation(&'a Elevation),
    /// An enrolment with its review.
    Enrolment(&'a Enrolment),
    /// A proposal with its review, and the file that it brings.
    Proposal(&'a Proposal),
    /// A grant.
    Grant(&'a Grant),
    /// An account.
    Account(&'a AccountId),
    /// A person.
    Person(&'a PersonId),
    /// A campaign of recertification: whoever sees one of its items.
    Campaign(&'a Campaign),
    /// A lock: its reason and its end.
    Lock(&'a Lock),
    /// The text of the policy.
    PolicyText,
    /// An event.
    Event(&'a Event),
}

/// The viewer behind an identity.
///
/// # Errors
/// `NO_ACCOUNT`.
pub fn viewer(organisation: &Organisation, identity: &Identity) -> Result<Viewer, Refusal> {
    let Some(principal) = organisation.principal(identity) else {
        return Err(Refusal::new(Reason::NoAccount, format!("`{identity}`")));
    };
    let person = match principal {
        Principal::Person(person) => Some(person.clone()),
        Principal::Account(id) => {
            let account = organisation.accounts().get(id).filter(|account| !account.is_machine());
            account.map(|account| account.person().clone())
        }
    };
    Ok(Viewer { principal: principal.clone(), person })
}

impl Viewer {
    /// The account that looks.
    ///
    /// # Errors
    /// `NO_ACCOUNT` for a person without one.
    pub fn account(&self) -> Result<&AccountId, Refusal> {
        match &self.principal {
            Principal::Account(id) => Ok(id),
            Principal::Person(id) => Err(Refusal::new(Reason::NoAccount, format!("`{id}` has no account yet"))),
        }
    }

    fn has(&self, organisation: &Organisation, capability: CapabilityName, now: Now) -> bool {
        self.account().is_ok_and(|id| organisation.capability(id, capability, now.latest).is_some())
    }
}

/// Whether the viewer may see the thing.
#[must_use]
pub fn may_see(state: &State, viewer: &Viewer, thing: Thing<'_>, now: Now) -> bool {
    let organisation = &state.organisation;
    // Whoever has no usable account still sees the enrolments that they are behind.
    if let Thing::Enrolment(enrolment) = thing
        && is_behind(viewer, enrolment)
    {
        return true;
    }
    if is_shut_out(organisation, viewer, now) {
        return false;
    }
    let audits = || audits_whole(organisation, viewer, now);
    let audits_scope =
        |scope: &Scope| viewer.account().is_ok_and(|id| super::answers::may_audit(state, id, scope, now.latest));
    match thing {
        Thing::Entitlement(name) => viewer.account().is_ok_and(|id| sees_entitlement(organisation, id, name)),
        Thing::Elevation(elevation) => {
            sees_elevation(organisation, viewer, elevation, now) || audits_scope(&elevation.scope)
        }
        Thing::Enrolment(enrolment) => sees_enrolment(organisation, viewer, enrolment, now) || audits(),
        Thing::Proposal(proposal) => {
            is_own(viewer, &proposal.requester, proposal.behind.iter())
                || viewer.person.as_ref().is_some_and(|person| proposal.review.has_decided(person))
                || viewer.has(organisation, proposal.file.capability(), now)
                || audits()
        }
        Thing::Grant(grant) => {
            let elevation = state.elevations.get(&grant.elevation);
            is_own(viewer, &grant.holder, grant.behind.iter())
                || manages(organisation, viewer, &grant.person, now)
                || elevation.is_some_and(|elevation| sees_elevation(organisation, viewer, elevation, now))
                || audits_scope(&grant.scope)
        }
        Thing::Account(id) => {
            sees_account(organisation, viewer, id, now)
                || feeds_tenant(organisation, viewer, organisation.tenant_of_account(id), now)
                || audits()
        }
        Thing::Person(id) => {
            viewer.person.as_ref() == Some(id)
                || manages(organisation, viewer, id, now)
                || feeds_tenant(organisation, viewer, organisation.tenant_of(id), now)
                || audits()
        }
        Thing::Campaign(campaign) => visible_items(state, viewer, campaign, now).next().is_some(),
        Thing::Lock(lock) => {
            touches(organisation, viewer, lock) || viewer.has(organisation, CapabilityName::LockManage, now) || audits()
        }
        Thing::PolicyText => viewer.has(organisation, CapabilityName::PolicyPropose, now) || audits(),
        Thing::Event(event) => {
            is_about(state, viewer, event, now) || scope_of(state, event).map_or_else(audits, audits_scope)
        }
    }
}

/// Whether the viewer audits whatever has no resources of its own: with `audit.read` that is not narrowed, or is to `**`.
#[must_use]
pub fn audits_whole(organisation: &Organisation, viewer: &Viewer, now: Now) -> bool {
    let held = |id| organisation.capabilities(id, CapabilityName::AuditRead, now.latest);
    let is_everything = |pattern: &Pattern| pattern.is_subtree() && pattern.segments().is_empty();
    let whole = |resources: &BTreeSet<Pattern>| resources.is_empty() || resources.iter().any(is_everything);
    viewer.account().is_ok_and(|id| held(id).any(|(capability, _)| whole(&capability.resources)))
}

/// Whether the viewer audits every tenant as well.
#[must_use]
pub fn audits_tenants(organisation: &Organisation, viewer: &Viewer, now: Now) -> bool {
    let held = |id| organisation.capabilities(id, CapabilityName::AuditRead, now.latest);
    let all = |pattern: &Pattern| pattern.reaches_tenants() && pattern.is_subtree() && pattern.segments().len() == 1;
    viewer.account().is_ok_and(|id| held(id).any(|(capability, _)| capability.resources.iter().any(all)))
}

/// The scope of the elevation or grant that an event is about, while it is in memory.
fn scope_of<'a>(state: &'a State, event: &'a Event) -> Option<&'a Scope> {
    if let Fact::Elevation(ElevationFact::Requested(elevation)) = &event.fact {
        return Some(&elevation.scope);
    }
    if let Fact::Grant(GrantFact::Issued(grant)) = &event.fact {
        return Some(&grant.scope);
    }
    event.fact.about().iter().find_map(|subject| {
        if let Subject::Elevation(id) = subject {
            state.elevations.get(id).map(|it| &it.scope)
        } else if let Subject::Grant(id) = subject {
            state.grants.get(id).map(|it| &it.scope)
        } else {
            None
        }
    })
}

/// Whether the viewer provisions the accounts of a tenant: its own feed does.
fn feeds_tenant(organisation: &Organisation, viewer: &Viewer, of: Option<&TenantName>, now: Now) -> bool {
    let own = viewer.account().ok().and_then(|id| organisation.tenant_of_account(id));
    of.is_some() && own == of && viewer.has(organisation, CapabilityName::HrFeed, now)
}

/// Whether a lock stops the viewer, or something that the viewer could do.
fn touches(organisation: &Organisation, viewer: &Viewer, lock: &Lock) -> bool {
    let account = viewer.account().ok().and_then(|id| organisation.accounts().get_key_value(id));
    let is_customer = account.is_some_and(|(_, account)| account.tenant().is_some());
    let holds = |role: &RoleName| account.is_some_and(|(_, account)| account.roles.contains_key(role));
    match &lock.on {
        Locked::Account(id) => {
            let of = organisation.accounts().get(id).map(Account::person);
            account.is_some_and(|(own, _)| own == id) || (of.is_some() && of == viewer.person.as_ref())
        }
        Locked::Person(id) => {
            viewer.person.as_ref() == Some(id) || account.is_some_and(|(_, account)| account.person() == id)
        }
        // Why a role or an entitlement is locked is for no customer to read: it may be another's trouble.
        Locked::Role(_) | Locked::Entitlement(_) if is_customer => false,
        Locked::Role(role) => holds(role),
        Locked::Entitlement(name) => account.is_some_and(|(id, _)| sees_entitlement(organisation, id, name)),
        Locked::Tenant(tenant) => account.is_some_and(
            |(_, account)| matches!(&account.kind, AccountKind::Customer { tenant: own, .. } if own == tenant),
        ),
        // Whoever is stopped by it learns that from the refusal.
        Locked::Resources(_) => false,
        // It stops everybody, and so tells everybody why and until when.
        Locked::Everything => true,
    }
}

/// The items of a campaign that a viewer sees. The owner of the role and holders of `directory.propose` or `audit.read`
/// see all; everybody else sees those that they may confirm.
pub fn visible_items<'a>(
    state: &'a State,
    viewer: &'a Viewer,
    campaign: &'a Campaign,
    now: Now,
) -> impl Iterator<Item = (&'a AccountId, &'a CampaignItem)> {
    let organisation = &state.organisation;
    // A campaign is of all who hold a role, of whatever tenant: no customer takes part in it.
    let customer = viewer.account().is_ok_and(|id| organisation.tenant_of_account(id).is_some());
    let shut_out = customer || is_shut_out(organisation, viewer, now);
    let all = !shut_out
        && (answers_for_role(organisation, viewer, &campaign.role, now)
            || viewer.has(organisation, CapabilityName::DirectoryPropose, now)
            || viewer.has(organisation, CapabilityName::AuditRead, now));
    campaign.items.iter().filter(move |(id, item)| {
        let person = organisation.accounts().get(*id).map_or(&item.person, Account::person);
        let confirms =
            |own| may_confirm(organisation, own, Holder { at_start: &item.person, by_now: person }, now.latest).is_ok();
        all || (!shut_out && viewer.account().is_ok_and(confirms))
    })
}

/// Whether the viewer is the owner of a role, and works here by now.
#[must_use]
pub fn answers_for_role(organisation: &Organisation, viewer: &Viewer, role: &RoleName, now: Now) -> bool {
    let owner = organisation.policy().roles.get(role).and_then(|role| role.owner.as_ref());
    owner.is_some_and(|owner| organisation.works_here(owner, now.latest)) && owner == viewer.person.as_ref()
}

/// Whether an account sees an entitlement. The own organisation sees all without a tenant pattern; everybody sees what
/// their roles may ask for or approve.
#[must_use]
pub fn sees_entitlement(organisation: &Organisation, id: &AccountId, name: &EntitlementName) -> bool {
    let Some((account, entitlement)) =
        organisation.accounts().get(id).zip(organisation.policy().entitlements.get(name))
    else {
        return false;
    };
    let terms = &entitlement.terms;
    let holds = |role: &crate::domain::value::ids::RoleName| account.roles.contains_key(role);
    let asks_or_approves =
        || terms.requestable_by.iter().any(holds) || organisation.policy().approving_roles(terms).any(holds);
    match account.tenant() {
        // A customer sees only an entitlement that reaches its own tenant.
        Some(tenant) => terms.scope.of_tenant(tenant.as_str()).is_some() && asks_or_approves(),
        None => !terms.scope.resources().iter().any(Pattern::reaches_tenants) || asks_or_approves(),
    }
}

fn sees_elevation(organisation: &Organisation, viewer: &Viewer, elevation: &Elevation, now: Now) -> bool {
    is_own(viewer, &elevation.requester, elevation.behind.iter())
        || viewer.person.as_ref().is_some_and(|person| elevation.review.has_decided(person))
        || manages(organisation, viewer, &elevation.person, now)
        || viewer.account().is_ok_and(|id| {
            if organisation.tenant_of_account(id).is_some() {
                return sees_as_tenant(organisation, id, elevation, now);
            }
            let stages = || elevation.review.stages.iter().chain(ordinary_stages(elevation, organisation));
            could_review(organisation, id, elevation, stages, now)
        })
}

/// A tenant's approvers see what touches their tenant once the own organisation agrees, and for good; also an elevation
/// that policy lets pass without them.
fn sees_as_tenant(organisation: &Organisation, id: &AccountId, elevation: &Elevation, now: Now) -> bool {
    let touched = elevation.tenant().is_some_and(|tenant| organisation.approves_for_tenant(id, tenant, now.latest));
    touched && elevation.is_disclosed()
}

/// Whether the viewer asked for it, or stands behind it.
fn is_behind(viewer: &Viewer, enrolment: &Enrolment) -> bool {
    enrolment.requester == viewer.principal
        || viewer.person.as_ref().is_some_and(|person| enrolment.behind.contains(person))
}

fn sees_enrolment(organisation: &Organisation, viewer: &Viewer, enrolment: &Enrolment, now: Now) -> bool {
    viewer.person.as_ref().is_some_and(|person| enrolment.review.has_decided(person))
        || manages(organisation, viewer, &enrolment.person, now)
        || viewer
            .account()
            .is_ok_and(|id| could_review(organisation, id, enrolment, || enrolment.review.stages.iter(), now))
}

/// Whether an account may review, or could if its requirements were met: whoever has lapsed still sees what is pending.
fn could_review<'a, S: Iterator<Item = &'a Stage>>(
    organisation: &Organisation,
    id: &AccountId,
    reviewed: &impl Reviewed,
    stages: impl Fn() -> S,
    now: Now,
) -> bool {
    let in_role = || {
        let roles = organisation.accounts().get(id).map(|account| &account.roles);
        stages().flat_map(|stage| &stage.by).any(|approver| match approver {
            Approver::Role(role) => roles.and_then(|r| r.get(role)).is_some_and(|m| !m.ends_at().is_over(now.latest)),
            Approver::Manager | Approver::RoleOwner | Approver::Tenant | Approver::Capability(_) => false,
        })
    };
    in_role() || reviewer_in_stages(organisation, reviewed, stages(), id, now.latest).is_ok()
}

fn is_own<'a>(viewer: &Viewer, holder: &AccountId, mut behind: impl Iterator<Item = &'a PersonId>) -> bool {
    viewer.account().is_ok_and(|id| id == holder)
        || viewer.person.as_ref().is_some_and(|person| behind.any(|other| other == person))
}

/// By comparison: a transfer whose time has come counts, whatever the timer has recorded.
fn manages(organisation: &Organisation, viewer: &Viewer, person: &PersonId, now: Now) -> bool {
    let manager = organisation.manager_of(person, now.latest);
    manager.is_some() && manager == viewer.person.as_ref()
}

fn sees_account(organisation: &Organisation, viewer: &Viewer, id: &AccountId, now: Now) -> bool {
    let Some(account) = organisation.accounts().get(id) else { return false };
    let own = |account: &Account| viewer.person.as_ref() == Some(account.person());
    let owns_role = || {
        let roles = account.roles.keys().filter_map(|role| organisation.policy().roles.get(role));
        viewer.person.is_some() && roles.map(|role| role.owner.as_ref()).any(|owner| owner == viewer.person.as_ref())
    };
    viewer.account().is_ok_and(|own| own == id)
        || own(account)
        || manages(organisation, viewer, account.person(), now)
        || owns_role()
}

/// Refusals of what does not exist and of what is hidden must look alike to the caller, so neither event is shown to
/// them.
fn tells_what_is_hidden(fact: &Fact) -> bool {
    matches!(fact, Fact::Broker(BrokerFact::CommandRefused(refused)) if refused.told.is_some() || refused.reason == Reason::NotFound)
}

/// Whether an event is about the viewer: done by, named in, or of what the viewer stands behind.
fn is_about(state: &State, viewer: &Viewer, event: &Event, now: Now) -> bool {
    let own = viewer.account().ok().filter(|id| state.organisation.tenant_of_account(id).is_some());
    let of_tenant = |scope: &Scope| own.is_some() && scope.tenant().is_some();
    let sees = |it: &Elevation| own.is_some_and(|id| sees_as_tenant(&state.organisation, id, it, now));
    let acted = match &event.actor {
        crate::domain::record::event::Actor::Caller(principal) => *principal == viewer.principal,
        crate::domain::record::event::Actor::Broker | crate::domain::record::event::Actor::Operator => false,
    };
    (acted && !tells_what_is_hidden(&event.fact))
        || event.fact.about().iter().any(|subject| match subject {
            Subject::Person(id) => viewer.person.as_ref() == Some(id),
            Subject::Account(id) => viewer.account().is_ok_and(|own| own == id),
            Subject::Elevation(id) => {
                let elevation = state.elevations.get(id);
                elevation.is_some_and(|it| {
                    is_own(viewer, &it.requester, it.behind.iter()) || (of_tenant(&it.scope) && sees(it))
                })
            }
            Subject::Grant(id) => state.grants.get(id).is_some_and(|grant| {
                let elevation = || state.elevations.get(&grant.elevation);
                is_own(viewer, &grant.holder, grant.behind.iter())
                    || (of_tenant(&grant.scope) && elevation().is_some_and(sees))
            }),
            Subject::Enrolment(id) => {
                let enrolment = state.enrolments.get(id);
                enrolment.is_some_and(|it| {
                    it.requester == viewer.principal
                        || viewer.person.as_ref().is_some_and(|person| it.behind.contains(person))
                })
            }
            Subject::Proposal(id) => {
                state.proposals.get(id).is_some_and(|it| is_own(viewer, &it.requester, it.behind.iter()))
            }
            // A tenant's approvers see its events by the elevations and grants above, not by the tenant.
            Subject::Tenant(_)
            | Subject::Campaign(_)
            | Subject::Stream(_)
            | Subject::Hold(_)
            | Subject::Lock(_)
            | Subject::Policy
            | Subject::Directory
            | Subject::Broker => false,
        })
}

/// A refusal as the account may see it. Of a lock that is neither on itself nor on everything a customer learns only that there is
/// one.
#[must_use]
pub fn as_told(organisation: &Organisation, account: &AccountId, refusal: Refusal) -> Refusal {
    let customer = organisation.tenant_of_account(account).is_some();
    let on_all = refusal.facts.get("on").is_some_and(|on| *on == Locked::Everything.kind());
    if customer && refusal.reason == Reason::Locked && !on_all && organisation.lock_on_account(account).is_none() {
        return Refusal::new(Reason::Locked, "");
    }
    refusal
}

/// A disabled or closed account, one at its own end, and whoever works here no longer, sees nothing but itself (`whoami`
/// says why).
#[must_use]
pub fn is_shut_out(organisation: &Organisation, viewer: &Viewer, now: Now) -> bool {
    let account = viewer.account().ok().and_then(|id| organisation.accounts().get(id));
    let person = viewer.person.as_ref().or(account.map(Account::person));
    let works_here = person.is_some_and(|id| organisation.works_here(id, now.latest));
    !works_here || account.is_some_and(|account| !account.is_in_use(now.latest))
}
