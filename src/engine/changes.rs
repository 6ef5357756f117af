//! From events to what the check index must know.

use std::collections::{BTreeMap, BTreeSet};

use crate::check::{AccountEntry, Change, GrantEntry};
use crate::clock::{BootMillis, ClockRecord};
use crate::domain::directory::{AccountKind, AccountState};
use crate::domain::event::{
    AccountEnded, ClockPair, Event, Fact, GrantClosed, GrantNamed, GrantRevoked, GrantShortened, GrantStarted,
    MembershipEnded,
};
use crate::domain::grant::{Grant, GrantPhase};
use crate::domain::ids::{AccountId, GrantId, PersonId};
use crate::domain::state::State;
use crate::domain::time::{Now, Timestamp};

/// Everything, for an empty index.
pub(super) fn all(state: &State, now: Now) -> Vec<Change> {
    let mut changes = vec![Change::Baseline(state.organisation().policy().baseline.allows.clone())];
    changes.extend(state.organisation().accounts().keys().filter_map(|id| account(state, id, now)));
    changes.extend(state.grants().values().filter_map(grant_entry).map(Change::Grant));
    changes
}

/// What a batch is about.
pub(super) fn touched_by<'a>(events: impl IntoIterator<Item = &'a Event>) -> Touched {
    let mut touched = Touched::default();
    events.into_iter().for_each(|event| touched.note(&event.fact));
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
    for person in &touched.persons {
        touched.accounts.extend(organisation.accounts_of(person).map(|(id, _)| id.clone()));
    }
    changes.extend(touched.accounts.iter().filter_map(|id| account(state, id, now)));
    changes.extend(touched.grants.into_iter().map(|(id, holder)| match state.grants().get(&id) {
        Some(grant) => grant_change(grant),
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
    everything: bool,
}

impl Touched {
    /// The grants that are open in this state.
    pub(super) fn open_grants(&self, state: &State) -> BTreeMap<GrantId, GrantEntry> {
        let grants = self.grants.keys().filter_map(|id| state.grants().get(id));
        grants.filter_map(grant_entry).map(|entry| (entry.id, entry)).collect()
    }

    fn note(&mut self, fact: &Fact) {
        let mut grant = |id: GrantId, holder: &AccountId| {
            self.grants.insert(id, holder.clone());
        };
        match fact {
            Fact::PolicyLoaded(_) => self.everything = true,
            Fact::PersonRecorded(fact) => {
                self.persons.insert(fact.id.clone());
            }
            Fact::RequirementLapsed(fact) => {
                self.persons.insert(fact.person.clone());
            }
            Fact::AccountRecorded(fact) => {
                self.accounts.insert(fact.id.clone());
            }
            Fact::MembershipEnded(MembershipEnded { account, .. }) | Fact::AccountEnded(AccountEnded { account }) => {
                self.accounts.insert(account.clone());
            }
            Fact::GrantIssued(fact) => grant(fact.id, &fact.holder),
            Fact::GrantStarted(GrantStarted { grant: id, holder, .. })
            | Fact::GrantShortened(GrantShortened { grant: id, holder, .. })
            | Fact::GrantEnded(GrantNamed { grant: id, holder })
            | Fact::GrantRelinquished(GrantClosed { grant: id, holder, .. })
            | Fact::GrantRevoked(GrantRevoked { grant: id, holder, .. }) => grant(*id, holder),
            // What is pruned had left the index when it closed; what else changes stands in the records that follow.
            Fact::LapseAhead(_)
            | Fact::AttestationRecorded(_)
            | Fact::AttestationCorrected(_)
            | Fact::PersonLeft(_)
            | Fact::PersonMoved(_)
            | Fact::MembershipRevoked(_)
            | Fact::AccountClosed(_)
            | Fact::HrEventApplied(_)
            | Fact::HrFeedHeard(_)
            | Fact::HrImported(_)
            | Fact::HrHeld(_)
            | Fact::HrHoldDecided(_)
            | Fact::HrStreamRetired(_)
            | Fact::EnrolmentRequested(_)
            | Fact::EnrolmentApprovalRecorded(_)
            | Fact::EnrolmentApprovalStruck(_)
            | Fact::EnrolmentApproved(_)
            | Fact::EnrolmentDenied(_)
            | Fact::EnrolmentWithdrawn(_)
            | Fact::EnrolmentExpired(_)
            | Fact::EnrolmentCancelled(_)
            | Fact::RoundStarted(_)
            | Fact::MembershipConfirmed(_)
            | Fact::RoundClosed(_)
            | Fact::Pruned(_)
            | Fact::DirectoryLoaded(_)
            | Fact::TenantRecorded(_)
            | Fact::ElevationRequested(_)
            | Fact::ApprovalRecorded(_)
            | Fact::ApprovalStruck(_)
            | Fact::ElevationApproved(_)
            | Fact::ElevationDenied(_)
            | Fact::ElevationWithdrawn(_)
            | Fact::ElevationExpired(_)
            | Fact::ElevationCancelled(_)
            | Fact::GrantTokenIssued(_)
            | Fact::CommandRefused(_)
            | Fact::RefusalsCounted(_)
            | Fact::BrokerStarted(_)
            | Fact::ClockRead(_)
            | Fact::ClockAccepted(_)
            | Fact::RowsAbandoned(_) => {}
        }
    }
}

fn grant_change(grant: &Grant) -> Change {
    grant_entry(grant).map_or_else(|| Change::GrantGone { holder: grant.holder.clone(), id: grant.id }, Change::Grant)
}

/// What a check needs to know of a grant, if it is open.
pub(super) fn grant_entry(grant: &Grant) -> Option<GrantEntry> {
    grant.is_open().then(|| GrantEntry {
        id: grant.id,
        holder: grant.holder.clone(),
        scope: grant.scope.clone(),
        end: grant.end,
        started: grant.phase == GrantPhase::Active,
    })
}

fn account(state: &State, id: &AccountId, now: Now) -> Option<Change> {
    let organisation = state.organisation();
    let account = organisation.accounts().get(id)?;
    let employed = organisation.people().get(account.person()).is_some_and(|person| person.is_employed(now.latest));
    let active = account.state == AccountState::Active && !account.ends_at().is_over(now.latest) && employed;
    let rests = organisation.account_rests(id, now.latest);
    let baseline_until = match (&account.kind, rests) {
        (AccountKind::ServiceTeam { .. }, Ok(rest)) => rest.until,
        _ => Timestamp::MIN,
    };
    let (checks_until, audience) = organisation.may_check(id, now.latest);
    Some(Change::Account(AccountEntry {
        id: id.clone(),
        identities: account.identities.clone(),
        active,
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
