//! Joining, coming back, and being known by other certificates. The immutable person id decides who is meant: whoever
//! gets an address or identity that somebody else had gets nothing else of theirs (known failure B5).

use std::collections::BTreeSet;

use super::leaving::close_machine;
use super::moving::no_cycle;
use super::records::{cascade_of, employed, machines, own_accounts, put_account, put_person, record_person};
use super::settling::settle;
use crate::domain::directory::{Account, AccountState, BroughtBy, Employment, Move, Person};
use crate::domain::effect::overlay::Overlay;
use crate::domain::rule::identities::was_anothers;
use crate::domain::state::organisation::Organisation;
use crate::domain::value::ids::{AccountId, Identity, PersonId, Principal, TenantName};
use crate::domain::value::limits::IDENTITIES;
use crate::domain::value::refusal::{Reason, Refusal};
use crate::domain::value::time::Timestamp;

/// Somebody who joins.
#[derive(Clone, Copy)]
pub(in crate::domain) struct Arriving<'a> {
    /// The tenant; none: the own organisation.
    pub(in crate::domain) tenant: Option<&'a TenantName>,
    /// The feed that brings them.
    pub(in crate::domain) by: Option<&'a BroughtBy>,
    pub(in crate::domain) person: &'a PersonId,
    pub(in crate::domain) login: &'a BTreeSet<Identity>,
    pub(in crate::domain) manager: Option<&'a PersonId>,
}

/// Whoever says whose an identity is.
#[derive(Clone, Copy)]
struct Claimer<'a> {
    person: &'a PersonId,
    /// What is the person's already stays so; who comes back has nothing.
    has_own: bool,
    /// Somebody let it go: what another had lately may be taken.
    let_go: bool,
}

/// Somebody joins, or comes back and starts with nothing, in a tenant or in the own organisation. `let_go`: somebody with
/// `feed.release` let it through, so that it may take an identity which another had lately.
///
/// # Errors
/// `PERSON_KNOWN`; `PERSON_UNKNOWN`, `OUTSIDE_TENANT` or `MANAGER_CYCLE` for the manager; `IDENTITY_TAKEN`,
/// `TOO_MANY_IDENTITIES`.
pub(in crate::domain) fn join(overlay: &mut Overlay, arriving: Arriving<'_>, let_go: bool) -> Result<(), Refusal> {
    let Arriving { tenant, by, person: id, login, manager } = arriving;
    let now = overlay.clocks().latest;
    let known = overlay.state().organisation().people().get(id);
    // A person belongs to one tenant, or to the own organisation, for good.
    if known.is_some_and(|person| person.is_employed(now) || person.tenant.as_ref() != tenant) {
        return Err(Refusal::new(Reason::PersonKnown, format!("`{id}`")).with("person", id));
    }
    // This comes first: whoever reported to the person before no longer does, and may be their manager now.
    let comes_back = known.is_some();
    arrives(overlay, id, comes_back);
    if comes_back {
        leave_nothing(overlay, id);
    }
    if let Some(manager) = manager {
        if manager == id {
            return Err(Refusal::new(Reason::ManagerCycle, format!("`{id}`")).with("person", id));
        }
        // Whom others have is nobody here.
        if employed(overlay, manager)?.tenant.as_ref() != tenant {
            return Err(Refusal::new(Reason::PersonUnknown, format!("`{manager}`")).with("person", manager));
        }
        no_cycle(overlay, id, manager, now)?;
    }
    fit(id, login)?;
    claim(overlay, tenant, login, Claimer { person: id, has_own: false, let_go })?;
    let (login, manager, tenant) = (login.clone(), manager.cloned(), tenant.cloned());
    let person = Person { login, manager, tenant, brought_by: by.cloned(), ..Person::default() };
    put_person(overlay, id, person);
    cascade_of(overlay, id);
    Ok(())
}

/// Somebody is about to work here. Transfers to them that are due took effect without a manager, and that is recorded
/// now; later ones no longer name somebody who comes back, because they start with nothing.
fn arrives(overlay: &mut Overlay, id: &PersonId, comes_back: bool) {
    let named: Vec<PersonId> = overlay.state().organisation().moves_to(id).cloned().collect();
    for person in named {
        settle(overlay, &person);
        let Some(record) = overlay.state().organisation().people().get(&person).cloned() else { continue };
        let mut announced = record.announced_by_time();
        announced.values_mut().filter(|manager| comes_back && manager.as_ref() == Some(id)).for_each(|it| *it = None);
        let moves = Move::in_order(announced);
        if moves != record.moves {
            put_person(overlay, &person, Person { moves, ..record });
        }
    }
}

/// Ends for good what was left of an earlier time here: accounts, identities, reports.
fn leave_nothing(overlay: &mut Overlay, id: &PersonId) {
    // A last day that no timer has recorded.
    settle(overlay, id);
    for (account_id, mut account) in own_accounts(overlay, id) {
        account.state = AccountState::Closed;
        account.identities.clear();
        account.roles.clear();
        account.audience.clear();
        put_account(overlay, &account_id, account);
    }
    // A directory file leaves out a machine without closing it.
    for (account_id, machine) in machines(overlay, id) {
        put_account(overlay, &account_id, close_machine(machine));
    }
    let reports: Vec<PersonId> = overlay.state().organisation().reports_of(id).cloned().collect();
    for report in reports {
        let record = overlay.state().organisation().people().get(&report).cloned();
        if let Some(person) = record.filter(|person| person.employment == Employment::Employed) {
            record_person(overlay, &report, Person { manager: None, ..person });
        }
    }
}

/// Gives a person other identities: in their account, or as logins while they have none.
///
/// # Errors
/// `PERSON_UNKNOWN`, `IDENTITY_TAKEN`, `TOO_MANY_IDENTITIES`.
pub(in crate::domain) fn rename(
    overlay: &mut Overlay,
    by: Option<&BroughtBy>,
    id: &PersonId,
    login: &BTreeSet<Identity>,
    let_go: bool,
) -> Result<(), Refusal> {
    let known = employed(overlay, id)?;
    // Who says which certificate somebody has could have brought them as well.
    let person = Person { brought_by: by.cloned().or_else(|| known.brought_by.clone()), ..known };
    fit(id, login)?;
    claim(overlay, person.tenant.as_ref(), login, Claimer { person: id, has_own: true, let_go })?;
    match named(overlay.state().organisation(), id).map(|(account_id, account)| (account_id.clone(), account.clone())) {
        Some((account_id, mut account)) => {
            let elsewhere = |identity: &&Identity| {
                let holder = overlay.state().organisation().principal(identity);
                !matches!(holder, Some(Principal::Account(other)) if *other != account_id)
            };
            account.identities = login.iter().filter(elsewhere).cloned().collect();
            put_account(overlay, &account_id, account);
            put_person(overlay, id, Person { login: BTreeSet::new(), ..person });
        }
        None => put_person(overlay, id, Person { login: login.clone(), ..person }),
    }
    cascade_of(overlay, id);
    Ok(())
}

/// What identities a person has more, and which no longer.
pub(in crate::domain) struct LoginsDifference<'a> {
    pub(in crate::domain) added: &'a BTreeSet<Identity>,
    pub(in crate::domain) removed: &'a BTreeSet<Identity>,
    /// Somebody with `feed.release` let it through.
    pub(in crate::domain) let_go: bool,
}

/// Gives a person identities beside those that they have, and takes some away, wherever they have them.
///
/// # Errors
/// `PERSON_UNKNOWN`, `IDENTITY_TAKEN`, `TOO_MANY_IDENTITIES`.
pub(in crate::domain) fn change_logins(
    overlay: &mut Overlay,
    by: Option<&BroughtBy>,
    id: &PersonId,
    difference: &LoginsDifference<'_>,
) -> Result<(), Refusal> {
    let &LoginsDifference { added, removed, let_go } = difference;
    let mut person = employed(overlay, id)?;
    claim(overlay, person.tenant.as_ref(), added, Claimer { person: id, has_own: true, let_go })?;
    let own = given_to(overlay.state().organisation(), id).cloned();
    for (account_id, mut account) in own_accounts(overlay, id) {
        account.identities.retain(|identity| !removed.contains(identity));
        put_account(overlay, &account_id, account);
    }
    person.login.retain(|identity| !removed.contains(identity));
    if !added.is_empty() {
        person.brought_by = by.cloned().or(person.brought_by);
    }
    let account = own.and_then(|it| overlay.state().organisation().accounts().get_key_value(&it));
    match account.map(|(account_id, account)| (account_id.clone(), account.clone())) {
        Some((account_id, mut account)) => {
            let is_elsewhere = |identity: &&Identity| {
                let holder = overlay.state().organisation().principal(identity);
                matches!(holder, Some(Principal::Account(other)) if *other != account_id)
            };
            account.identities.extend(added.iter().filter(|identity| !is_elsewhere(identity)).cloned());
            fit(id, &account.identities)?;
            person.login.retain(|identity| !added.contains(identity));
            put_account(overlay, &account_id, account);
        }
        None => {
            person.login.extend(added.iter().cloned());
            fit(id, &person.login)?;
        }
    }
    put_person(overlay, id, person);
    cascade_of(overlay, id);
    Ok(())
}

/// The one of a person's own accounts to which an identity more is given: the one that is called like them, also while it
/// has none, so that what takes the place of a stolen one does not go to another account of theirs.
fn given_to<'a>(organisation: &'a Organisation, id: &PersonId) -> Option<&'a AccountId> {
    let named = named(organisation, id)?;
    let mut own = organisation.accounts_of(id).filter(|(_, it)| !it.is_machine() && it.state == named.1.state);
    own.find(|(account_id, _)| account_id.as_str() == id.as_str()).or(Some(named)).map(|(account_id, _)| account_id)
}

/// The one of a person's own accounts whose identities HR sets: an active one first, then one that has identities.
pub(in crate::domain) fn named<'a>(
    organisation: &'a Organisation,
    id: &PersonId,
) -> Option<(&'a AccountId, &'a Account)> {
    let own = organisation.accounts_of(id).filter(|(_, it)| !it.is_machine() && it.state != AccountState::Closed);
    own.min_by_key(|(_, it)| (it.state != AccountState::Active, it.identities.is_empty()))
}

/// No more than one may be known by.
fn fit(id: &PersonId, identities: &BTreeSet<Identity>) -> Result<(), Refusal> {
    if identities.len() <= IDENTITIES {
        return Ok(());
    }
    let detail = format!("`{id}` would have {}, at most {IDENTITIES}", identities.len());
    Err(Refusal::new(Reason::TooManyIdentities, detail).with("person", id).with("most", IDENTITIES))
}

/// Checks that the identities are free, and frees those of people who left; nothing else goes along with them. What somebody else
/// had within 180 days goes on only once a person has let it go.
fn claim(
    overlay: &mut Overlay,
    tenant: Option<&TenantName>,
    login: &BTreeSet<Identity>,
    claimer: Claimer<'_>,
) -> Result<(), Refusal> {
    let own = Some(claimer.person).filter(|_| claimer.has_own);
    let now = overlay.clocks().latest;
    for identity in login {
        let organisation = overlay.state().organisation();
        // A tenant's trust domain speaks for that tenant alone, and nobody else speaks for it.
        let mut tenants = organisation.tenants().iter();
        let speaks_for = tenants.find(|(_, it)| it.trust_domain.as_str() == identity.trust_domain());
        if speaks_for.map(|(name, _)| name) != tenant {
            let detail = format!("`{identity}` is of another trust domain");
            return Err(Refusal::new(Reason::IdentityTaken, detail).with("identity", identity));
        }
        let lately = was_anothers(organisation, identity, claimer.person, now).filter(|_| !claimer.let_go);
        let holder = organisation.principal(identity).cloned();
        let is_a_persons = tenant.is_some() || organisation.policy().may_be_a_persons(identity);
        match (taken(organisation, identity, own, now), holder) {
            (Claim::Own, _) => {}
            (Claim::Taken, Some(holder)) => {
                let detail = format!("`{identity}` is that of `{holder}`");
                return Err(Refusal::new(Reason::IdentityTaken, detail)
                    .with("identity", identity)
                    .with("holder", holder));
            }
            (Claim::Free | Claim::Taken, _) if !is_a_persons => {
                let detail = format!("`{identity}` is none of those that belong to persons, by `person_identities`");
                return Err(Refusal::new(Reason::IdentityTaken, detail).with("identity", identity));
            }
            (Claim::Free | Claim::Taken, holder) => match (lately, holder) {
                (Some(refusal), _) => return Err(refusal),
                (None, Some(holder)) => free(overlay, identity, &holder),
                (None, None) => {}
            },
        }
    }
    Ok(())
}

/// What claiming an identity meets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::domain) enum Claim {
    /// It is the claimer's already.
    Own,
    /// It is nobody's, or that of somebody who left.
    Free,
    /// It is that of somebody who works here, or of a machine.
    Taken,
}

/// Whose an identity is, for a person who claims it.
pub(in crate::domain) fn taken(
    organisation: &Organisation,
    identity: &Identity,
    own: Option<&PersonId>,
    at: Timestamp,
) -> Claim {
    let (person, machine) = match organisation.principal(identity) {
        None => return Claim::Free,
        Some(Principal::Person(person)) => (Some(person), false),
        Some(Principal::Account(id)) => {
            let account = organisation.accounts().get(id);
            (account.map(Account::person), account.is_some_and(Account::is_machine))
        }
    };
    if own.is_some() && person == own && !machine {
        return Claim::Own;
    }
    let works_here = person.is_some_and(|id| organisation.works_here(id, at));
    if machine || works_here { Claim::Taken } else { Claim::Free }
}

fn free(overlay: &mut Overlay, identity: &Identity, holder: &Principal) {
    match holder {
        Principal::Account(id) => take_from_account(overlay, id, identity),
        Principal::Person(id) => {
            let Some(mut person) = overlay.state().organisation().people().get(id).cloned() else { return };
            person.login.remove(identity);
            put_person(overlay, id, person);
        }
    }
}

fn take_from_account(overlay: &mut Overlay, id: &AccountId, identity: &Identity) {
    let Some(mut account) = overlay.state().organisation().accounts().get(id).cloned() else { return };
    account.identities.remove(identity);
    put_account(overlay, id, account);
}
