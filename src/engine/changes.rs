//! From events to what the check index must know.

use std::collections::{BTreeMap, BTreeSet};

use crate::check::{AccountEntry, Change, GrantEntry};
use crate::clock::{BootMillis, ClockRecord};
use crate::domain::directory::{Account, AccountKind};
use crate::domain::record::event::{
    AccountEnded, ClockPair, Event, Fact, GrantClosed, GrantFact, GrantNamed, GrantRevoked, GrantShortened,
    GrantStarted, LifeFact, LockDeleted, LockFact, LockNamed, MembershipEnded, OrganisationFact,
};
use crate::domain::record::grant::{Grant, GrantPhase};
use crate::domain::record::lock::Locked;
use crate::domain::state::State;
use crate::domain::value::ids::{AccountId, GrantId, PersonId};
use crate::domain::value::time::{Now, Timestamp};

/// Everything, for an empty index.
pub(super) fn all(state: &State, now: Now) -> Vec<Change> {
    let baseline = Change::Baseline(state.organisation().policy().baseline.allows.clone());
    let mut changes = vec![baseline, Change::Locked(state.organisation().locks().resources())];
    changes.extend(state.organisation().accounts().keys().filter_map(|id| account(state, id, now)));
    changes.extend(state.grants().values().filter_map(|grant| grant_entry(state, grant)).map(Change::Grant));
    changes
}

/// What a batch is about, by the state after it.
pub(super) fn touched_by<'a>(events: impl IntoIterator<Item = &'a Event>, state: &State) -> Touched {
    let mut touched = Touched::default();
    events.into_iter().for_each(|event| touched.note(&event.fact));
    touched.reach_what_is_locked(state);
    touched
}

/// What a batch changed, as it stands after the batch.
pub(super) fn of_batch(state: &State, mut touched: Touched, now: Now) -> Vec<Change> {
    let mut changes = Vec::new();
    let organisation = state.organisation();
    if touched.everything {
        changes.push(Change::Baseline(organisation.policy().baseline.allows.clone()));
        touched.accounts.extend(organisation.accounts().keys().cloned());
    }
    if !touched.locks.is_empty() {
        changes.push(Change::Locked(organisation.locks().resources()));
    }
    for person in &touched.persons {
        touched.accounts.extend(organisation.accounts_of(person).map(|(id, _)| id.clone()));
    }
    changes.extend(touched.accounts.iter().filter_map(|id| account(state, id, now)));
    changes.extend(touched.grants.into_iter().map(|(id, holder)| match state.grants().get(&id) {
        Some(grant) => grant_change(state, grant),
        None => Change::GrantGone { holder, id },
    }));
    changes
}

/// What the events of a batch are about.
#[derive(Default)]
pub(super) struct Touched {
    accounts: BTreeSet<AccountId>,
    persons: BTreeSet<PersonId>,
    grants: BTreeMap<GrantId, AccountId>,
    locks: BTreeSet<Locked>,
    everything: bool,
}

impl Touched {
    /// The touched grants that are open in a state.
    pub(super) fn open_grants(&self, state: &State) -> BTreeMap<GrantId, GrantEntry> {
        let grants = self.grants.keys().filter_map(|id| state.grants().get(id));
        grants.filter_map(|grant| grant_entry(state, grant)).map(|entry| (entry.id, entry)).collect()
    }

    /// Adds the accounts and grants that are under the touched locks. Locks on resources are compared at the check.
    fn reach_what_is_locked(&mut self, state: &State) {
        let organisation = state.organisation();
        for on in self.locks.clone() {
            match &on {
                Locked::Account(id) => {
                    self.accounts.insert(id.clone());
                    self.grants.extend(state.open_grants_by(id).map(|grant| (grant.id, grant.holder.clone())));
                }
                Locked::Person(person) => {
                    self.accounts.extend(organisation.accounts_of(person).map(|(id, _)| id.clone()));
                    self.grants.extend(state.open_grants_of(person).map(|grant| (grant.id, grant.holder.clone())));
                }
                // What it may check as an enforcement point may rest on the role.
                Locked::Role(role) => {
                    self.accounts.extend(organisation.members(role).cloned());
                    self.note_open(state, |grant| grant.through.as_ref() == Some(role));
                }
                Locked::Entitlement(name) => self.note_open(state, |grant| grant.entitlement == *name),
                Locked::Tenant(tenant) => {
                    let of_tenant = |account: &Account| matches!(&account.kind, AccountKind::Customer { tenant: own, .. } if own == tenant);
                    let accounts = organisation.accounts().iter().filter(|(_, account)| of_tenant(account));
                    self.accounts.extend(accounts.map(|(id, _)| id.clone()));
                }
                Locked::Resources(_) | Locked::Everything => {}
            }
        }
    }

    fn note_open(&mut self, state: &State, is_meant: impl Fn(&Grant) -> bool) {
        let meant = state.grants().values().filter(|grant| grant.is_open() && is_meant(grant));
        self.grants.extend(meant.map(|grant| (grant.id, grant.holder.clone())));
    }

    /// Says for each kind of fact whether checks must know of it. What is pruned left the index when it closed; other
    /// changes stand in the records that follow.
    fn note(&mut self, fact: &Fact) {
        match fact {
            Fact::Organisation(fact) => self.note_organisation(fact),
            Fact::Life(fact) => self.note_life(fact),
            Fact::Grant(fact) => self.note_grant(fact),
            Fact::Lock(LockFact::Created(lock)) => drop(self.locks.insert(lock.on.clone())),
            Fact::Lock(LockFact::Deleted(LockDeleted { on, .. }) | LockFact::Ended(LockNamed { on, .. })) => {
                self.locks.insert(on.clone());
            }
            Fact::Proposal(_)
            | Fact::Feed(_)
            | Fact::Enrolment(_)
            | Fact::Campaign(_)
            | Fact::Elevation(_)
            | Fact::Broker(_) => {}
        }
    }

    fn note_organisation(&mut self, fact: &OrganisationFact) {
        match fact {
            OrganisationFact::PolicyLoaded(_) => self.everything = true,
            OrganisationFact::PersonRecorded(fact) => drop(self.persons.insert(fact.id.clone())),
            OrganisationFact::AccountRecorded(fact) => drop(self.accounts.insert(fact.id.clone())),
            OrganisationFact::DirectoryLoaded(_) | OrganisationFact::TenantRecorded(_) => {}
        }
    }

    fn note_life(&mut self, fact: &LifeFact) {
        match fact {
            LifeFact::RequirementLapsed(fact) => drop(self.persons.insert(fact.person.clone())),
            LifeFact::MembershipEnded(MembershipEnded { account, .. })
            | LifeFact::AccountEnded(AccountEnded { account }) => drop(self.accounts.insert(account.clone())),
            LifeFact::LapseAhead(_)
            | LifeFact::AttestationRecorded(_)
            | LifeFact::AttestationCorrected(_)
            | LifeFact::PersonLeft(_)
            | LifeFact::PersonMoved(_)
            | LifeFact::MembershipRevoked(_)
            | LifeFact::AccountClosed(_) => {}
        }
    }

    fn note_grant(&mut self, fact: &GrantFact) {
        let (id, holder) = match fact {
            GrantFact::Issued(grant) => (grant.id, &grant.holder),
            GrantFact::Started(GrantStarted { grant, holder, .. })
            | GrantFact::Shortened(GrantShortened { grant, holder, .. })
            | GrantFact::Ended(GrantNamed { grant, holder })
            | GrantFact::Relinquished(GrantClosed { grant, holder, .. })
            | GrantFact::Revoked(GrantRevoked { grant, holder, .. }) => (*grant, holder),
            GrantFact::TokenIssued(_) => return,
        };
        self.grants.insert(id, holder.clone());
    }
}

fn grant_change(state: &State, grant: &Grant) -> Change {
    grant_entry(state, grant)
        .map_or_else(|| Change::GrantGone { holder: grant.holder.clone(), id: grant.id }, Change::Grant)
}

/// What a check needs to know of a grant, if it is open.
pub(super) fn grant_entry(state: &State, grant: &Grant) -> Option<GrantEntry> {
    grant.is_open().then(|| GrantEntry {
        id: grant.id,
        holder: grant.holder.clone(),
        scope: grant.scope.clone(),
        end: grant.end,
        started: grant.phase == GrantPhase::Active,
        locked: state.organisation().lock_on_grant(grant).is_some(),
    })
}

fn account(state: &State, id: &AccountId, now: Now) -> Option<Change> {
    let organisation = state.organisation();
    let account = organisation.accounts().get(id)?;
    let active = account.is_in_use(now.latest) && organisation.works_here(account.person(), now.latest);
    let validity = organisation.account_validity(id, now.latest);
    let baseline_until = match (&account.kind, validity) {
        (AccountKind::ServiceTeam { .. }, Ok(validity)) => validity.until,
        _ => Timestamp::MIN,
    };
    let (checks_until, audience) = organisation.may_check(id, now.latest);
    Some(Change::Account(AccountEntry {
        id: id.clone(),
        identities: account.identities.clone(),
        active,
        locked: organisation.lock_on_account(id).is_some(),
        baseline_until,
        checks_until,
        audience,
    }))
}

/// A journaled pair of clock readings, as the clock takes it.
pub(super) fn clock_record(pair: &ClockPair) -> Option<ClockRecord> {
    let boot_id = pair.boot_id.parse().ok()?;
    Some(ClockRecord { wall: pair.wall, boot: BootMillis::new(pair.boot_millis), boot_id: Some(boot_id) })
}

/// The same the other way round.
pub(super) fn clock_pair(record: &ClockRecord) -> ClockPair {
    let boot_id = record.boot_id.as_ref().map(ToString::to_string).unwrap_or_default();
    ClockPair { wall: record.wall, boot_millis: record.boot.millis(), boot_id }
}
