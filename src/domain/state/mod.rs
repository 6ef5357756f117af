//! The state: everything that changes an answer. It comes back by replay, bit for bit (invariant 9).

use std::sync::Arc;

use super::record::campaign::{Campaign, LastGrant};
use super::record::counted::Counted;
use super::record::elevation::Elevation;
use super::record::enrolment::Enrolment;
use super::record::event::{ClockPair, Subject};
use super::record::grant::Grant;
use super::record::hr::{Feed, Hold, HrEvent, Part};
use super::record::proposal::Proposal;
use super::record::review::Phase;
use super::state::organisation::Organisation;
use super::value::ids::{
    AccountId, CampaignId, Digest, ElevationId, EnrolmentId, GrantId, HoldId, Identity, JournalId, PersonId, Principal,
    ProposalId, RequestId, RequirementName, RoleName, StreamName, TenantName,
};
use super::value::index::{Index, Map, Set};
use super::value::time::{Span, Timestamp};

pub mod apply;
mod broker;
pub mod formerly;
pub mod granted;
mod grants;
mod held;
mod holding;
pub mod identities;
mod kept;
pub mod organisation;
mod proposals;
mod requests;
mod streams;
mod waits;

use holding::HeldBy;
pub use holding::{HeldIn, Holding};

/// What is open, what closed lately, and the organisation that both rest on.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct State {
    pub(super) sequence: u64,
    pub(super) last_at: Timestamp,
    pub(super) organisation: Organisation,
    pub(super) elevations: Map<ElevationId, Elevation>,
    pub(super) grants: Map<GrantId, Grant>,
    /// By everybody behind a pending elevation.
    pub(super) pending_of: Index<PersonId, ElevationId>,
    pub(super) pending: Set<ElevationId>,
    /// By the account that asked: who owns a machine by now need not be behind what it asked for.
    pub(super) pending_by: Index<AccountId, ElevationId>,
    /// Pending, though approved by all that it needs: a lock stopped one of them, or what was asked for.
    pub(super) complete: Set<ElevationId>,
    /// By approver: pending elevations, and approved ones whose grant is open.
    pub(super) approved_by: Index<PersonId, ElevationId>,
    /// By everybody behind an open grant.
    pub(super) open_grants_of: Index<PersonId, GrantId>,
    /// By holder, for the same reason.
    pub(super) open_grants_by: Index<AccountId, GrantId>,
    /// By the person whom caps and continuity count; closed ones too, while they are kept.
    pub(super) grants_of: Index<PersonId, GrantId>,
    /// What of forgotten grants still counts towards a cap, because no long enough break has passed since.
    pub(super) held_before: Map<HeldBy, Holding>,
    /// By everybody behind an emergency: those whose follow-up is owed.
    pub(super) follow_ups_of: Index<PersonId, ElevationId>,
    pub(super) enrolments: Map<EnrolmentId, Enrolment>,
    pub(super) pending_enrolments: Set<EnrolmentId>,
    /// As of elevations.
    pub(super) complete_enrolments: Set<EnrolmentId>,
    /// By everybody whose standing decides about a pending enrolment: those behind it, the manager, and who has
    /// approved.
    pub(super) pending_enrolments_of: Index<PersonId, EnrolmentId>,
    /// By the account that a pending enrolment is about.
    pub(super) pending_enrolments_about: Index<AccountId, EnrolmentId>,
    pub(super) proposals: Map<ProposalId, Proposal>,
    /// The texts of those that wait for their approval, in pieces.
    pub(super) proposal_texts: Map<ProposalId, Vec<Arc<str>>>,
    pub(super) campaigns: Map<CampaignId, Campaign>,
    pub(super) last_grants: Map<(AccountId, RoleName), LastGrant>,
    pub(super) feeds: Map<StreamName, Feed>,
    /// By the tenant of their senders; none: the own organisation's.
    pub(super) feeds_of: Index<Option<TenantName>, StreamName>,
    /// What a tenant's feed sent on its last day that gives something, and which day that was.
    pub(super) tenant_days: Map<TenantName, DayCount>,
    /// The last number of each retired stream: numbers up to it are not used again.
    pub(super) retired_feeds: Map<StreamName, u64>,
    pub(super) holds: Map<HoldId, Hold>,
    /// By the person whom a held event is about.
    pub(super) held_of: Index<PersonId, HoldId>,
    /// People whom HR added: a directory file that does not name them never knew them.
    pub(super) joined_by_feed: Set<PersonId>,
    /// Accounts that enrolments made, or gave another owner: likewise.
    pub(super) made_by_enrolment: Set<AccountId>,
    /// Whom HR enabled and disabled within the last 24 h: what the brake counts.
    pub(super) hr_touches: Set<(Timestamp, PersonId, Part)>,
    pub(super) due: Set<(Timestamp, Due)>,
    pub(super) starts: Set<(Timestamp, GrantId)>,
    /// Scheduled and live grants.
    pub(super) open_grants: usize,
    pub(super) closed: Set<(Timestamp, Closed)>,
    pub(super) requests: Map<(Principal, RequestId), Bound>,
    pub(super) requests_by_age: Set<(Timestamp, Principal, RequestId)>,
    /// By which identity each of them was sent: it may mean nobody by now.
    pub(super) senders: Map<(Identity, RequestId), Principal>,
    /// About how many bytes of memory all this takes, by who sent it.
    pub(super) kept: Map<Principal, u64>,
    pub(super) refusals: Map<Principal, MinuteCount>,
    /// Tokens of a grant.
    pub(super) tokens: Map<GrantId, MinuteCount>,
    pub(super) clock: Option<ClockPair>,
    /// The journal's name since a loss was accepted; none: the one that it was made with.
    pub(super) journal: Option<JournalId>,
}

/// What is due at a time that is compared with `latest`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Due {
    ReviewDeadline(ElevationId),
    FollowUp(ElevationId),
    GrantEnd(GrantId),
    RequirementLapse(PersonId, RequirementName),
    /// So many days ahead.
    LapseWarning(PersonId, RequirementName, u32),
    Move(PersonId),
    Leaving(PersonId),
    MembershipEnd(AccountId, RoleName),
    AccountEnd(AccountId),
    EnrolmentDeadline(EnrolmentId),
    ProposalDeadline(ProposalId),
    CampaignEnd(CampaignId),
}

/// What closed, for forgetting it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Closed {
    Elevation(ElevationId),
    Grant(GrantId),
    Enrolment(EnrolmentId),
    Campaign(CampaignId),
    Proposal(ProposalId),
}

/// A `request_id` that took effect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bound {
    /// The identity by which it was sent; none: of an event that says none.
    pub by: Option<Identity>,
    /// SHA-256 of the command that it was used for.
    pub command: Digest,
    /// What that command was about.
    pub about: Option<Subject>,
    /// The sequence of its first event.
    pub sequence: u64,
    /// When.
    pub at: Timestamp,
}

/// How often something happened on one day of UTC.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct DayCount {
    pub(super) day: i64,
    pub(super) count: usize,
}

/// How often something happened within one minute.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct MinuteCount {
    pub(super) minute: Timestamp,
    count: u32,
}

impl MinuteCount {
    /// Once more.
    pub(super) fn add(&mut self, at: Timestamp) {
        self.count = self.at(at).saturating_add(1);
        self.minute = minute_of(at);
    }

    /// How often in the minute of this instant.
    pub(super) fn at(&self, at: Timestamp) -> u32 {
        if self.minute == minute_of(at) { self.count } else { 0 }
    }
}

/// The first instant of the minute that an instant lies in.
#[must_use]
pub fn minute_of(at: Timestamp) -> Timestamp {
    let past = at.millis().checked_rem(60_000).unwrap_or_default();
    at.minus(Span::from_millis(past).unwrap_or_default())
}

impl State {
    /// A copy that shares no nodes of the large collections: for two states that will both change in many places.
    #[must_use]
    pub fn unshared(&self) -> Self {
        Self {
            elevations: self.elevations.unshared(),
            grants: self.grants.unshared(),
            approved_by: self.approved_by.unshared(),
            open_grants_of: self.open_grants_of.unshared(),
            open_grants_by: self.open_grants_by.unshared(),
            grants_of: self.grants_of.unshared(),
            due: self.due.iter().cloned().collect(),
            closed: self.closed.iter().copied().collect(),
            ..self.clone()
        }
    }

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
    pub fn elevations(&self) -> &Map<ElevationId, Elevation> {
        &self.elevations
    }

    /// What is open, and what closed lately.
    #[must_use]
    pub fn grants(&self) -> &Map<GrantId, Grant> {
        &self.grants
    }

    /// What is open, and what closed lately.
    #[must_use]
    pub fn enrolments(&self) -> &Map<EnrolmentId, Enrolment> {
        &self.enrolments
    }

    /// The ids of enrolments that wait for decisions.
    #[must_use]
    pub fn pending_enrolments(&self) -> &Set<EnrolmentId> {
        &self.pending_enrolments
    }

    /// Pending enrolments about which a person's standing decides.
    pub fn pending_enrolments_of(&self, person: &PersonId) -> impl Iterator<Item = &Enrolment> {
        self.pending_enrolments_of.of(person).filter_map(|id| self.enrolments.get(id))
    }

    /// Campaigns of recertification that are open, and what closed lately.
    #[must_use]
    pub fn campaigns(&self) -> &Map<CampaignId, Campaign> {
        &self.campaigns
    }

    /// The last grant that an account had through a role.
    #[must_use]
    pub fn last_grant(&self, account: &AccountId, role: &RoleName) -> Option<LastGrant> {
        self.last_grants.get(&(account.clone(), role.clone())).copied()
    }

    /// The streams of the HR feed.
    #[must_use]
    pub fn feeds(&self) -> &Map<StreamName, Feed> {
        &self.feeds
    }

    /// What the HR brake holds.
    #[must_use]
    pub fn holds(&self) -> &Map<HoldId, Hold> {
        &self.holds
    }

    /// What is held of a person, and in which hold, in the order in which it was said.
    pub fn held_of(&self, person: &PersonId) -> impl Iterator<Item = (&Hold, &HrEvent)> {
        let mut holds: Vec<_> = self.held_of.of(person).filter_map(|id| self.holds.get(id)).collect();
        holds.sort_by_key(|hold| hold.after);
        let events = holds.into_iter().flat_map(|hold| hold.events.iter().map(move |event| (hold, event)));
        events.filter(move |(_, event)| event.person == *person)
    }

    /// The ids of what waits for decisions.
    #[must_use]
    pub fn pending(&self) -> &Set<ElevationId> {
        &self.pending
    }

    /// Pending elevations that a person is behind.
    pub fn pending_of(&self, person: &PersonId) -> impl Iterator<Item = &Elevation> {
        self.pending_of.of(person).filter_map(|id| self.elevations.get(id))
    }

    /// Pending elevations that an account asked for.
    pub fn pending_by(&self, account: &AccountId) -> impl Iterator<Item = &Elevation> {
        self.pending_by.of(account).filter_map(|id| self.elevations.get(id))
    }

    /// Scheduled and live grants that a person is behind.
    pub fn open_grants_of(&self, person: &PersonId) -> impl Iterator<Item = &Grant> {
        self.open_grants_of.of(person).filter_map(|id| self.grants.get(id))
    }

    /// Scheduled and live grants that an account holds.
    pub fn open_grants_by(&self, account: &AccountId) -> impl Iterator<Item = &Grant> {
        self.open_grants_by.of(account).filter_map(|id| self.grants.get(id))
    }

    /// How many grants are scheduled or live.
    #[must_use]
    pub fn open_grant_count(&self) -> usize {
        self.open_grants
    }

    /// How many requirements lapse before an instant, of all people.
    #[must_use]
    pub fn lapses_before(&self, until: Timestamp) -> usize {
        let due = self.due.iter().take_while(|(at, _)| *at < until);
        due.filter(|(_, due)| matches!(due, Due::RequirementLapse(..))).count()
    }

    /// Whether anything is scheduled or live.
    #[must_use]
    pub fn is_anything_live(&self) -> bool {
        self.due.iter().any(|(_, due)| matches!(due, Due::GrantEnd(_)))
    }

    pub(super) fn put_elevation(&mut self, elevation: Elevation) {
        self.remove_elevation(elevation.id);
        self.keeps(Principal::Account(elevation.requester.clone()), elevation.kept_bytes());
        if elevation.phase.is_pending() {
            self.pending.insert(elevation.id);
            if Counted::as_recorded(&elevation.review).is_complete() {
                self.complete.insert(elevation.id);
            }
            self.pending_by.insert(elevation.requester.clone(), elevation.id);
            for person in &elevation.behind {
                self.pending_of.insert(person.clone(), elevation.id);
            }
            self.due.insert((elevation.review.deadline, Due::ReviewDeadline(elevation.id)));
        }
        if let Some(at) = forgotten_alone(&elevation) {
            self.closed.insert((at, Closed::Elevation(elevation.id)));
        }
        if let Some(follow_up) = elevation.open_follow_up() {
            for person in &elevation.behind {
                self.follow_ups_of.insert(person.clone(), elevation.id);
            }
            if follow_up.overdue.is_none() {
                self.due.insert((follow_up.due, Due::FollowUp(elevation.id)));
            }
        }
        let id = elevation.id;
        let grant = elevation.phase.outcome().copied();
        self.elevations.insert(id, elevation);
        self.index_approvals(id);
        // An elevation that awaits its follow-up is kept until that is done.
        if let Some(grant) = grant.and_then(|id| self.grants.get(&id).cloned()) {
            self.index_forgetting(&grant);
        }
    }

    fn index_forgetting(&mut self, grant: &Grant) {
        let Some(at) = grant.closed_at() else { return };
        let entry = (at, Closed::Grant(grant.id));
        if self.elevations.get(&grant.elevation).is_some_and(|it| it.open_follow_up().is_some()) {
            self.closed.remove(&entry);
        } else {
            self.closed.insert(entry);
        }
    }

    /// Whether approvals still matter depends on the grant as well.
    fn index_approvals(&mut self, id: ElevationId) {
        let Some(elevation) = self.elevations.get(&id) else { return };
        let bears = match &elevation.phase {
            Phase::Pending => true,
            Phase::Approved { outcome: grant, .. } => self.grants.get(grant).is_none_or(Grant::is_open),
            Phase::Denied { .. } | Phase::Withdrawn { .. } | Phase::Expired { .. } | Phase::Cancelled { .. } => false,
        };
        for decision in &elevation.review.decisions {
            if bears {
                self.approved_by.insert(decision.person.clone(), id);
            } else {
                self.approved_by.remove(&decision.person, &id);
            }
        }
    }

    /// The new owner of a machine is behind all that it has asked for, even when somebody else owns it later (known
    /// failure A3).
    pub(super) fn put_behind(&mut self, machine: &AccountId, owner: &PersonId) {
        let held: Vec<GrantId> = self.open_grants_by.of(machine).copied().collect();
        let mut asked: Vec<ElevationId> = self.pending_by.of(machine).copied().collect();
        asked.extend(held.iter().filter_map(|id| self.grants.get(id)).map(|grant| grant.elevation));
        for id in asked {
            let Some(mut elevation) = self.elevations.get(&id).cloned() else { continue };
            elevation.behind.insert(owner.clone());
            self.put_elevation(elevation);
        }
    }

    pub(super) fn remove_elevation(&mut self, id: ElevationId) {
        let Some(old) = self.elevations.remove(&id) else { return };
        self.keeps_no_more(&Principal::Account(old.requester.clone()), old.kept_bytes());
        self.pending.remove(&id);
        self.complete.remove(&id);
        self.pending_by.remove(&old.requester, &id);
        for person in &old.behind {
            self.pending_of.remove(person, &id);
        }
        for decision in &old.review.decisions {
            self.approved_by.remove(&decision.person, &id);
        }
        self.due.remove(&(old.review.deadline, Due::ReviewDeadline(id)));
        if let Some(follow_up) = old.open_follow_up() {
            for person in &old.behind {
                self.follow_ups_of.remove(person, &id);
            }
            self.due.remove(&(follow_up.due, Due::FollowUp(id)));
        }
        if let Some(at) = forgotten_alone(&old) {
            self.closed.remove(&(at, Closed::Elevation(id)));
        }
    }

    pub(super) fn put_enrolment(&mut self, enrolment: Enrolment) {
        self.remove_enrolment(enrolment.id);
        self.keeps(enrolment.requester.clone(), enrolment.kept_bytes());
        if enrolment.phase.is_pending() {
            self.pending_enrolments.insert(enrolment.id);
            if Counted::as_recorded(&enrolment.review).is_complete() {
                self.complete_enrolments.insert(enrolment.id);
            }
            self.pending_enrolments_about.insert(enrolment.ask.account().clone(), enrolment.id);
            for person in hangs_on(&enrolment) {
                self.pending_enrolments_of.insert(person.clone(), enrolment.id);
            }
            self.due.insert((enrolment.review.deadline, Due::EnrolmentDeadline(enrolment.id)));
        }
        if let Some(at) = enrolment.phase.closed_at() {
            self.closed.insert((at, Closed::Enrolment(enrolment.id)));
        }
        self.enrolments.insert(enrolment.id, enrolment);
    }

    pub(super) fn remove_enrolment(&mut self, id: EnrolmentId) {
        let Some(old) = self.enrolments.remove(&id) else { return };
        self.keeps_no_more(&old.requester, old.kept_bytes());
        self.pending_enrolments.remove(&id);
        self.complete_enrolments.remove(&id);
        self.pending_enrolments_about.remove(old.ask.account(), &id);
        for person in hangs_on(&old) {
            self.pending_enrolments_of.remove(person, &id);
        }
        self.due.remove(&(old.review.deadline, Due::EnrolmentDeadline(id)));
        if let Some(at) = old.phase.closed_at() {
            self.closed.remove(&(at, Closed::Enrolment(id)));
        }
    }

    pub(super) fn put_campaign(&mut self, campaign: Campaign) {
        self.remove_campaign(campaign.id);
        if let Some(at) = campaign.closed_at {
            self.closed.insert((at, Closed::Campaign(campaign.id)));
        } else {
            self.due.insert((campaign.due, Due::CampaignEnd(campaign.id)));
        }
        self.campaigns.insert(campaign.id, campaign);
    }

    pub(super) fn remove_campaign(&mut self, id: CampaignId) {
        let Some(old) = self.campaigns.remove(&id) else { return };
        self.due.remove(&(old.due, Due::CampaignEnd(id)));
        if let Some(at) = old.closed_at {
            self.closed.remove(&(at, Closed::Campaign(id)));
        }
    }
}

/// Whose standing decides about a pending enrolment.
fn hangs_on(enrolment: &Enrolment) -> impl Iterator<Item = &PersonId> {
    let approvers = enrolment.review.decisions.iter().map(|decision| &decision.person);
    enrolment.behind.iter().chain([&enrolment.person]).chain(&enrolment.manager).chain(approvers)
}

/// When an elevation that led to no grant closed. One that did is forgotten together with its grant, because the grant's
/// revokers and rule 4 read its review.
fn forgotten_alone(elevation: &Elevation) -> Option<Timestamp> {
    elevation.phase.closed_at().filter(|_| !matches!(elevation.phase, Phase::Approved { .. }))
}
