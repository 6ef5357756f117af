//! The state: everything that changes an answer. It comes back by replay, bit for bit (invariant 9).

use std::collections::{BTreeMap, BTreeSet};

use super::elevation::{Elevation, Phase};
use super::event::{ClockPair, Subject};
use super::grant::{Grant, GrantPhase};
use super::ids::{
    AccountId, Digest, ElevationId, EntitlementName, GrantId, PersonId, Principal, RequestId, RequirementName, RoleName,
};
use super::index::Index;
use super::organisation::Organisation;
use super::time::Timestamp;

/// What is open, what closed lately, and the organisation that both rest on.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct State {
    pub(super) sequence: u64,
    pub(super) last_at: Timestamp,
    pub(super) organisation: Organisation,
    pub(super) elevations: BTreeMap<ElevationId, Elevation>,
    pub(super) grants: BTreeMap<GrantId, Grant>,
    /// By everybody behind a pending elevation.
    pub(super) pending_of: Index<PersonId, ElevationId>,
    pub(super) pending: BTreeSet<ElevationId>,
    /// By the account that asked: who owns a machine by now need not be behind what it asked for.
    pub(super) pending_by: Index<AccountId, ElevationId>,
    /// By approver: pending elevations, and approved ones whose grant has not started.
    pub(super) approved_by: Index<PersonId, ElevationId>,
    /// By everybody behind an open grant.
    pub(super) open_grants_of: Index<PersonId, GrantId>,
    /// By holder, for the same reason.
    pub(super) open_grants_by: Index<AccountId, GrantId>,
    /// By the person whom caps and continuity count; closed ones too, while they are kept.
    pub(super) grants_of: Index<PersonId, GrantId>,
    pub(super) due: BTreeSet<(Timestamp, Due)>,
    pub(super) starts: BTreeSet<(Timestamp, GrantId)>,
    pub(super) closed: BTreeSet<(Timestamp, Closed)>,
    pub(super) requests: BTreeMap<(Principal, RequestId), Bound>,
    pub(super) requests_by_age: BTreeSet<(Timestamp, Principal, RequestId)>,
    pub(super) refusals: BTreeMap<Principal, RefusalWindow>,
    pub(super) clock: Option<ClockPair>,
}

/// What is due at a time that is compared with `latest`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Due {
    ReviewDeadline(ElevationId),
    GrantEnd(GrantId),
    RequirementLapse(PersonId, RequirementName),
    MembershipEnd(AccountId, RoleName),
    AccountEnd(AccountId),
}

/// What closed, for forgetting it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Closed {
    Elevation(ElevationId),
    Grant(GrantId),
}

/// A `request_id` that took effect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bound {
    /// SHA-256 of the command that it was used for.
    pub command: Digest,
    /// What that command was about.
    pub about: Option<Subject>,
    /// The sequence of its first event.
    pub sequence: u64,
    /// When.
    pub at: Timestamp,
}

/// Refusals of one caller within one minute.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct RefusalWindow {
    pub(super) minute: Timestamp,
    pub(super) told: u32,
}

impl State {
    /// The sequence of the last event.
    #[must_use]
    pub fn sequence(&self) -> u64 {
        self.sequence
    }

    /// The stamp of the last event.
    #[must_use]
    pub fn last_at(&self) -> Timestamp {
        self.last_at
    }

    /// Policy, people, accounts.
    #[must_use]
    pub fn organisation(&self) -> &Organisation {
        &self.organisation
    }

    /// What is open, and what closed lately.
    #[must_use]
    pub fn elevations(&self) -> &BTreeMap<ElevationId, Elevation> {
        &self.elevations
    }

    /// What is open, and what closed lately.
    #[must_use]
    pub fn grants(&self) -> &BTreeMap<GrantId, Grant> {
        &self.grants
    }

    /// The ids of what waits for decisions.
    #[must_use]
    pub fn pending(&self) -> &BTreeSet<ElevationId> {
        &self.pending
    }

    /// Pending elevations that a person is behind.
    pub fn pending_of(&self, person: &PersonId) -> impl Iterator<Item = &Elevation> {
        self.pending_of.of(person).filter_map(|id| self.elevations.get(id))
    }

    /// Scheduled and live grants that a person is behind.
    pub fn open_grants_of(&self, person: &PersonId) -> impl Iterator<Item = &Grant> {
        self.open_grants_of.of(person).filter_map(|id| self.grants.get(id))
    }

    /// What a `request_id` was bound to, within the last 24 h.
    #[must_use]
    pub fn bound(&self, principal: &Principal, id: RequestId) -> Option<&Bound> {
        self.requests.get(&(principal.clone(), id))
    }

    /// The clocks as last journaled.
    #[must_use]
    pub fn clock(&self) -> Option<&ClockPair> {
        self.clock.as_ref()
    }

    /// Whether anything is scheduled or live.
    #[must_use]
    pub fn is_anything_live(&self) -> bool {
        self.due.iter().any(|(_, due)| matches!(due, Due::GrantEnd(_)))
    }

    /// Since when a person would have held an entitlement without a break, if a grant of it began at `start`.
    #[must_use]
    pub fn continuous_since(
        &self,
        person: &PersonId,
        entitlement: &EntitlementName,
        start: Timestamp,
        except: Option<GrantId>,
    ) -> Timestamp {
        let others = self.grants_of.of(person).filter(|id| Some(**id) != except).filter_map(|id| self.grants.get(id));
        let touching = others.filter(|grant| {
            let was_live = !matches!(grant.phase, GrantPhase::Scheduled);
            let over_at = grant.closed_at().map_or(grant.end, |closed| closed.min(grant.end));
            grant.entitlement == *entitlement && was_live && grant.start <= start && start <= over_at
        });
        touching.map(|grant| grant.continuous_since).min().map_or(start, |since| since.min(start))
    }

    pub(super) fn put_elevation(&mut self, elevation: Elevation) {
        self.remove_elevation(elevation.id);
        if elevation.phase.is_pending() {
            self.pending.insert(elevation.id);
            self.pending_by.insert(elevation.requester.clone(), elevation.id);
            for person in &elevation.behind {
                self.pending_of.insert(person.clone(), elevation.id);
            }
            self.due.insert((elevation.review.deadline, Due::ReviewDeadline(elevation.id)));
        }
        if self.rests_on_approvals(&elevation) {
            for decision in &elevation.review.decisions {
                self.approved_by.insert(decision.person.clone(), elevation.id);
            }
        }
        if let Some(at) = forgotten_alone(&elevation) {
            self.closed.insert((at, Closed::Elevation(elevation.id)));
        }
        self.elevations.insert(elevation.id, elevation);
    }

    pub(super) fn remove_elevation(&mut self, id: ElevationId) {
        let Some(old) = self.elevations.remove(&id) else { return };
        self.pending.remove(&id);
        self.pending_by.remove(&old.requester, &id);
        for person in &old.behind {
            self.pending_of.remove(person, &id);
        }
        for decision in &old.review.decisions {
            self.approved_by.remove(&decision.person, &id);
        }
        self.due.remove(&(old.review.deadline, Due::ReviewDeadline(id)));
        if let Some(at) = forgotten_alone(&old) {
            self.closed.remove(&(at, Closed::Elevation(id)));
        }
    }

    pub(super) fn put_grant(&mut self, grant: Grant) {
        self.remove_grant(grant.id);
        let elevation = grant.elevation;
        self.grants_of.insert(grant.person.clone(), grant.id);
        if grant.is_open() {
            self.open_grants_by.insert(grant.holder.clone(), grant.id);
            for person in &grant.behind {
                self.open_grants_of.insert(person.clone(), grant.id);
            }
            self.due.insert((grant.end, Due::GrantEnd(grant.id)));
        }
        if grant.phase == GrantPhase::Scheduled {
            self.starts.insert((grant.start, grant.id));
        }
        if let Some(at) = grant.closed_at() {
            self.closed.insert((at, Closed::Grant(grant.id)));
        }
        self.grants.insert(grant.id, grant);
        // Whether the approvals still bear something depends on the grant: index the elevation again.
        if let Some(elevation) = self.elevations.get(&elevation).cloned() {
            self.put_elevation(elevation);
        }
    }

    pub(super) fn remove_grant(&mut self, id: GrantId) {
        let Some(old) = self.grants.remove(&id) else { return };
        self.grants_of.remove(&old.person, &id);
        self.open_grants_by.remove(&old.holder, &id);
        for person in &old.behind {
            self.open_grants_of.remove(person, &id);
        }
        self.due.remove(&(old.end, Due::GrantEnd(id)));
        self.starts.remove(&(old.start, id));
        if let Some(at) = old.closed_at() {
            self.closed.remove(&(at, Closed::Grant(id)));
        }
    }

    fn rests_on_approvals(&self, elevation: &Elevation) -> bool {
        match &elevation.phase {
            Phase::Pending => true,
            Phase::Approved { grant, .. } => {
                self.grants.get(grant).is_none_or(|grant| grant.phase == GrantPhase::Scheduled)
            }
            _ => false,
        }
    }
}

/// When an elevation that led to no grant closed. One that did is forgotten together with its grant, because the grant's
/// revokers and rule 4 read its review.
fn forgotten_alone(elevation: &Elevation) -> Option<Timestamp> {
    elevation.phase.closed_at().filter(|_| !matches!(elevation.phase, Phase::Approved { .. }))
}
