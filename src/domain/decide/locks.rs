//! Locking and lifting. Locking takes access away and goes first; lifting gives it back, and nobody lifts a lock on
//! themselves.

use super::super::directory::Account;
use super::super::policy::{Capability, CapabilityName};
use super::super::state::State;
use super::caller::{Caller, make_id, principal};
use super::own_lock::stopped_of_own;
use crate::domain::effect::cascade::locked;
use crate::domain::record::command::Envelope;
use crate::domain::record::command::{Command, CreateLock, DeleteLock, LockCommand};
use crate::domain::record::event::{Fact, LockDeleted, LockFact};
use crate::domain::record::lock::{Lock, LockMode, Locked};
use crate::domain::rule::visibility::{Thing, Viewer, may_see};
use crate::domain::state::organisation::Organisation;
use crate::domain::value::refusal::{Reason, Refusal};
use crate::domain::value::time::{Now, Timestamp};

/// Decides what is asked about a lock.
///
/// # Errors
/// The first thing that stands in the way.
pub(super) fn decide(
    state: &State,
    caller: &Caller<'_>,
    command: &LockCommand,
    envelope: &Envelope,
) -> Result<Vec<Fact>, Refusal> {
    let now = envelope.now;
    match command {
        LockCommand::Create(command) => create(state, caller, command, envelope),
        LockCommand::Delete(command) => delete(state, caller, command, now),
    }
}

/// Somebody with the capability stops something at once.
fn create(state: &State, caller: &Caller<'_>, command: &CreateLock, envelope: &Envelope) -> Result<Vec<Fact>, Refusal> {
    let &CreateLock { ref on, mode, ref reason, until } = command;
    let organisation = &state.organisation;
    may_manage(organisation, caller, on, envelope.now)?;
    is_there(organisation, on)?;
    let invalid = |detail: String| Err(Refusal::new(Reason::LockInvalid, detail));
    if let Locked::Resources(pattern) = on
        && !pattern.may_be_locked()
    {
        return invalid(format!("`{pattern}` begins with no name"));
    }
    if let Some(until) = until.filter(|until| until.is_over(envelope.now.latest)) {
        return invalid(format!("{until} is past"));
    }
    let lock = Lock {
        id: make_id(envelope, 0).into(),
        on: on.clone(),
        mode,
        reason: reason.to_owned(),
        by: Some(principal(caller)),
        at: envelope.now.stamp,
        until,
    };
    let mut after = organisation.clone();
    after.locks.put(lock.clone());
    if until.is_none() && !somebody_could_lift(&after, &lock, envelope.now) {
        return Err(Refusal::new(Reason::NobodyCouldUnlock, format!("{on}")));
    }
    let mut facts = vec![Fact::Lock(LockFact::Created(Box::new(lock.clone())))];
    if mode == LockMode::Revoke {
        facts.extend(locked(state, &lock, envelope.now));
    }
    Ok(facts)
}

/// Somebody with the capability lifts a lock that is not on themselves, and holds back nothing that they hold or asked for.
fn delete(state: &State, caller: &Caller<'_>, command: &DeleteLock, now: Now) -> Result<Vec<Fact>, Refusal> {
    let &DeleteLock { lock: id, ref reason } = command;
    let organisation = &state.organisation;
    let lock = organisation.locks().get(id).ok_or_else(|| Refusal::not_found("lock", id))?;
    if !may_see(state, caller.viewer, Thing::Lock(lock), now) {
        return Err(Refusal::hidden("lock", id, Reason::CapabilityMissing));
    }
    may_manage(organisation, caller, &lock.on, now)?;
    let account = organisation.accounts().get(caller.account);
    if account.is_some_and(|account| is_on_own_person(organisation, &lock.on, account)) {
        return Err(Refusal::new(Reason::OwnLock, format!("{}", lock.on)).with("lock", id));
    }
    if let Some((what, stopped)) = account.and_then(|account| stopped_of_own(state, lock, account, now)) {
        let detail = format!("{}, which holds back your {what} `{stopped}`", lock.on);
        return Err(Refusal::new(Reason::OwnLock, detail).with("lock", id).with(what, stopped));
    }
    let deleted = LockDeleted { lock: id, on: lock.on.clone(), by: principal(caller), reason: reason.to_owned() };
    Ok(vec![Fact::Lock(LockFact::Deleted(deleted))])
}

/// Whether the caller may give this command under the locks in force. Whatever takes access away is free. A lock on the
/// caller stops all else, lock commands too; the lock on everything lets lock commands pass.
///
/// # Errors
/// `LOCKED`.
pub(super) fn free(organisation: &Organisation, viewer: &Viewer, command: &Command) -> Result<(), Refusal> {
    let locks_or_lifts = matches!(command, Command::Lock(LockCommand::Create(_) | LockCommand::Delete(_)));
    if organisation.locks().all().is_empty() || (command.takes_away() && !locks_or_lifts) {
        return Ok(());
    }
    let on_person = || organisation.lock_on_person(viewer.person.as_ref()?);
    let own = viewer.account().ok().and_then(|id| organisation.lock_on_account(id)).or_else(on_person);
    let everything = organisation.locks().on(&Locked::Everything).filter(|_| !locks_or_lifts);
    own.or(everything).map_or(Ok(()), |lock| Err(lock.refusal()))
}

/// By `lock.manage`; narrowed to resources, it reaches locks on those.
fn may_manage(organisation: &Organisation, caller: &Caller<'_>, on: &Locked, now: Now) -> Result<(), Refusal> {
    let mut held = organisation.capabilities(caller.account, CapabilityName::LockManage, now.latest);
    if held.any(|(capability, _)| reaches(capability, on)) {
        return Ok(());
    }
    let name = CapabilityName::LockManage.as_str();
    Err(Refusal::new(Reason::CapabilityMissing, format!("`{name}`")).with("capability", name))
}

fn reaches(capability: &Capability, on: &Locked) -> bool {
    let resources = on.resources();
    let within = |pattern| capability.resources.iter().any(|ours| ours.contains(pattern));
    capability.resources.is_empty() || (!resources.is_empty() && resources.iter().all(within))
}

/// What a lock names must exist: a typing error in an incident must not look like a lock.
fn is_there(organisation: &Organisation, on: &Locked) -> Result<(), Refusal> {
    let policy = organisation.policy();
    let found = match on {
        Locked::Account(id) => organisation.accounts().contains_key(id),
        Locked::Person(id) => organisation.people().contains_key(id),
        Locked::Role(name) => policy.roles.contains_key(name),
        Locked::Entitlement(name) => policy.entitlements.contains_key(name),
        Locked::Tenant(name) => organisation.tenants().contains_key(name),
        Locked::Resources(_) | Locked::Everything => true,
    };
    if found { Ok(()) } else { Err(Refusal::new(Reason::NotFound, format!("there is no {on}"))) }
}

fn is_on_own_person(organisation: &Organisation, on: &Locked, own: &Account) -> bool {
    match on {
        Locked::Person(id) => id == own.person(),
        Locked::Account(id) => organisation.accounts().get(id).is_some_and(|it| it.person() == own.person()),
        Locked::Role(_) | Locked::Entitlement(_) | Locked::Resources(_) | Locked::Tenant(_) | Locked::Everything => {
            false
        }
    }
}

/// Whether a person with the whole capability is left whom neither this lock nor another stops.
fn somebody_could_lift(after: &Organisation, lock: &Lock, now: Now) -> bool {
    let roles = after.policy().roles.iter();
    let managing = roles.filter(|(_, role)| role.capabilities.iter().any(|it| it.name == CapabilityName::LockManage));
    managing.flat_map(|(name, _)| after.members(name)).any(|id| {
        let whole = |(capability, _): (&Capability, Timestamp)| reaches(capability, &lock.on);
        let account = after.accounts().get(id);
        after.lock_on_account(id).is_none()
            && account.is_some_and(|it| !it.is_machine() && !is_on_own_person(after, &lock.on, it))
            && after.capabilities(id, CapabilityName::LockManage, now.latest).any(whole)
    })
}
