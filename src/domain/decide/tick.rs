//! `decide_tick`: what the passing of time causes. Time is an input like a command; no message parses into it.
//!
//! No access depends on it being called: ends, deadlines and lapses are compared wherever access is decided. Only
//! starts, the ends of locks and what waited for these wait for it, which is the safe side.

use std::collections::BTreeSet;

use super::numbering::events;
use super::own_lock::over_with;
use super::waiting;
use crate::domain::effect::cascade::{surplus_struck_out, with_extensions};
use crate::domain::effect::life;
use crate::domain::effect::overlay::Overlay;
use crate::domain::record::event::{
    Actor, BrokerFact, BrokerStarted, ClockPair, ElevationExpired, ElevationFact, EnrolmentFact, EnrolmentNamed, Event,
    Fact, FollowUpOverdue, GrantFact, GrantNamed, GrantRevoked, GrantShortened, GrantStarted, LockFact, LockNamed,
    ProposalFact, ProposalNamed, Pruned, RowsAbandoned,
};
use crate::domain::record::grant::{EndBecause, Grant, Revocation};
use crate::domain::rule::feed::silent_feed;
use crate::domain::rule::standing::{grant_stands, waits_for_approvers};
use crate::domain::state::{Closed, Due, HeldIn, State};
use crate::domain::value::limits::IDENTITIES_REMEMBERED;
use crate::domain::value::time::{Now, Span, Timestamp};

/// How many due things one tick takes up at most, each with all its events; the rest is due in the next.
pub const AT_ONCE: usize = 1_000;
/// Closed things are forgotten together with those that closed up to a minute later, to save events.
const PRUNE_EVERY: Span = Span::seconds(60);

/// What is due now, one kind at a time; call it until nothing is.
#[must_use]
pub fn decide_tick(state: &State, now: Now, keep_closed: Span) -> Vec<Event> {
    if now.suspect {
        return Vec::new();
    }
    let mut facts = over(state, now);
    if facts.is_empty() {
        facts = lapses(state, now);
    }
    if facts.is_empty() {
        facts = lifted(state, now);
    }
    if facts.is_empty() {
        facts = waiting::given(state, now);
    }
    if facts.is_empty() {
        facts = starts(state, now);
    }
    if facts.is_empty() {
        facts = prune(state, now, keep_closed);
    }
    events(state, now.stamp, &Actor::Broker, None, facts)
}

/// When something is due next: a tick before then finds nothing.
#[must_use]
pub fn next_due(state: &State, keep_closed: Span) -> Option<Timestamp> {
    let forget = |at: Timestamp, keep: Span| at.plus(keep).plus(PRUNE_EVERY);
    let due = state.due.get_min().map(|(at, _)| *at);
    let starts = free_starts(state).next().map(|(at, _)| at);
    let waited = waiting::next(state);
    let lifted = state.organisation.locks().first_end();
    let closed = state.closed.get_min().map(|(at, _)| forget(*at, keep_closed));
    let requests =
        state.requests_by_age.get_min().map(|(at, ..)| forget(*at, crate::domain::value::limits::REQUESTS_KEPT));
    let identities = state.organisation.formerly.oldest().map(|at| forget(at, IDENTITIES_REMEMBERED));
    [due, starts, waited, lifted, closed, requests, identities].into_iter().flatten().min()
}

/// The events of a start of the broker. With `revoke` every open grant is revoked, because the broker is configured so
/// or because the wall clock stands before the last event, so that no end could be trusted (known failures C1 and H8).
#[must_use]
pub fn decide_start(state: &State, now: Now, started: BrokerStarted, revoke: Option<&Revocation>) -> Vec<Event> {
    let mut facts = vec![Fact::Broker(BrokerFact::Started(started))];
    if let Some(because) = revoke {
        let open = state.grants.values().filter(|grant| grant.is_open() && !grant.end.is_over(now.latest));
        let revoked = open.map(|grant| revoked(grant, because.clone())).collect();
        facts.extend(with_extensions(state, revoked, now));
    }
    events(state, now.stamp, &Actor::Broker, None, facts)
}

/// The rows of a batch without an end are struck out.
#[must_use]
pub fn abandon_rows(state: &State, now: Now, rows: RowsAbandoned) -> Vec<Event> {
    let last = rows.last;
    let mut events =
        events(state, now.stamp, &Actor::Broker, None, vec![Fact::Broker(BrokerFact::RowsAbandoned(rows))]);
    // They keep their numbers, although they have no effect.
    for event in &mut events {
        event.sequence = last.saturating_add(1);
    }
    events
}

/// The readings of both clocks, for a later start to anchor on.
#[must_use]
pub fn clock_read(state: &State, now: Now, pair: ClockPair, accepted: bool) -> Vec<Event> {
    let fact = if accepted {
        Fact::Broker(BrokerFact::ClockAccepted(pair))
    } else {
        Fact::Broker(BrokerFact::ClockRead(pair))
    };
    events(state, now.stamp, &Actor::Broker, None, vec![fact])
}

fn due_until(state: &State, latest: Timestamp) -> impl Iterator<Item = &Due> {
    state.due.iter().take_while(move |(at, _)| at.is_over(latest)).map(|(_, due)| due)
}

fn over(state: &State, now: Now) -> Vec<Fact> {
    let facts = due_until(state, now.latest).filter_map(|due| match due {
        Due::ReviewDeadline(id) => Some(Fact::Elevation(ElevationFact::Expired(ElevationExpired { elevation: *id }))),
        Due::GrantEnd(id) => {
            let holder = state.grants.get(id)?.holder.clone();
            Some(Fact::Grant(GrantFact::Ended(GrantNamed { grant: *id, holder })))
        }
        Due::FollowUp(id) => Some(Fact::Elevation(ElevationFact::FollowUpOverdue(FollowUpOverdue { elevation: *id }))),
        Due::ProposalDeadline(id) => Some(Fact::Proposal(ProposalFact::Expired(ProposalNamed { proposal: *id }))),
        Due::EnrolmentDeadline(id) => Some(Fact::Enrolment(EnrolmentFact::Expired(EnrolmentNamed { enrolment: *id }))),
        // These change records, and are decided one by one in `lapses`.
        Due::RequirementLapse(..)
        | Due::LapseWarning(..)
        | Due::Move(_)
        | Due::Leaving(_)
        | Due::MembershipEnd(..)
        | Due::AccountEnd(_)
        | Due::CampaignEnd(_) => None,
    });
    with_extensions(state, facts.take(AT_ONCE).collect(), now)
}

/// What is due for people, accounts, memberships and campaigns, one after another, with all that follows.
fn lapses(state: &State, now: Now) -> Vec<Fact> {
    let due = state.due.iter().take_while(|(at, _)| at.is_over(now.latest)).take(AT_ONCE);
    let mut overlay = Overlay::new(state, Actor::Broker, now);
    for it in due {
        // An earlier one may have made it void: whoever has left holds no membership that could end.
        if overlay.state().due.contains(it) {
            life::come_due(&mut overlay, &it.1);
        }
    }
    overlay.into_facts()
}

/// Locks end by `earliest`, so that clocks that disagree never lift one too soon. What is over with them is in the same batch.
fn lifted(state: &State, now: Now) -> Vec<Fact> {
    let locks = state.organisation.locks();
    let over = || locks.over(now.earliest).filter_map(|id| locks.get(id)).take(AT_ONCE);
    let ended = over().map(|lock| Fact::Lock(LockFact::Ended(LockNamed { lock: lock.id, on: lock.on.clone() })));
    let mut facts: Vec<Fact> = ended.collect();
    for fact in over().flat_map(|lock| over_with(state, lock, now)) {
        // Two locks may have held back the same thing.
        if !facts.contains(&fact) {
            facts.push(fact);
        }
    }
    with_extensions(state, facts, now)
}

/// Scheduled grants that no lock holds back, neither by what they are nor by who approved them: one that is held starts when
/// the lock is lifted, if that is before its end.
fn free_starts(state: &State) -> impl Iterator<Item = (Timestamp, &Grant)> {
    let organisation = &state.organisation;
    let starts = state.starts.iter().filter_map(|(at, id)| Some((*at, state.grants.get(id)?)));
    starts.filter(|(_, grant)| {
        organisation.lock_on_grant(grant).or_else(|| organisation.locks().on_any_of(&grant.scope)).is_none()
            && !waits_for_approvers(state, grant)
    })
}

/// Grants start by `earliest`, so that clocks that disagree never start one too soon. Separation rule 4 is applied
/// again.
fn starts(state: &State, now: Now) -> Vec<Fact> {
    let due = free_starts(state).take_while(|(at, _)| at.is_over(now.earliest)).take(AT_ONCE);
    with_extensions(state, due.flat_map(|(_, grant)| start(state, grant, now)).collect(), now)
}

fn start(state: &State, grant: &Grant, now: Now) -> Vec<Fact> {
    let validity = match grant_stands(&state.organisation, state, grant, now) {
        Ok(validity) => validity,
        Err(because) => return vec![revoked(grant, because)],
    };
    let struck = surplus_struck_out(&state.organisation, state, grant, now);
    if !struck.is_empty() {
        // The next round starts it, unless a lock stops one of those who are left.
        return struck;
    }
    if let Some(refusal) = silent_feed(state, grant.scope.tenant(), now) {
        return vec![revoked(grant, Revocation::NotEligible { reason: refusal.reason })];
    }
    let since = state.continuous_since(
        &grant.person,
        HeldIn { entitlement: &grant.entitlement, tenant: grant.scope.tenant() },
        grant.start,
        Some(grant.id),
    );
    let terms = state.organisation.policy().entitlements.get(&grant.entitlement).map(|entitlement| &entitlement.terms);
    let continuous_end = terms.map_or(Timestamp::MAX, |terms| terms.continuous_end(since));
    if continuous_end.is_over(now.latest) || continuous_end <= grant.start {
        return vec![revoked(grant, Revocation::ContinuousTooLong)];
    }
    let started = GrantStarted { grant: grant.id, holder: grant.holder.clone(), continuous_since: since };
    let mut facts = vec![Fact::Grant(GrantFact::Started(started))];
    let (end, because) = if continuous_end < validity.until {
        (continuous_end, EndBecause::LongestContinuous)
    } else {
        (validity.until, validity.because)
    };
    if end < grant.end {
        facts.push(Fact::Grant(GrantFact::Shortened(GrantShortened {
            grant: grant.id,
            holder: grant.holder.clone(),
            end,
            because,
        })));
    }
    facts
}

fn revoked(grant: &Grant, because: Revocation) -> Fact {
    Fact::Grant(GrantFact::Revoked(GrantRevoked { grant: grant.id, holder: grant.holder.clone(), because }))
}

fn prune(state: &State, now: Now, keep_closed: Span) -> Vec<Fact> {
    let is_due = |at: Timestamp, keep: Span| at.plus(keep).plus(PRUNE_EVERY).is_over(now.latest);
    let closed_due = state.closed.get_min().is_some_and(|(at, _)| is_due(*at, keep_closed));
    let requests_due = state
        .requests_by_age
        .get_min()
        .is_some_and(|(at, ..)| is_due(*at, crate::domain::value::limits::REQUESTS_KEPT));
    let identities_due = state.organisation.formerly.oldest().is_some_and(|at| is_due(at, IDENTITIES_REMEMBERED));
    if !closed_due && !requests_due && !identities_due {
        return Vec::new();
    }
    let mut pruned = Pruned {
        elevations: BTreeSet::new(),
        grants: BTreeSet::new(),
        enrolments: BTreeSet::new(),
        campaigns: BTreeSet::new(),
        proposals: BTreeSet::new(),
        requests_before: now.stamp.minus(crate::domain::value::limits::REQUESTS_KEPT),
        identities_before: now.stamp.minus(IDENTITIES_REMEMBERED),
    };
    let old = state.closed.iter().take_while(|(at, _)| at.plus(keep_closed).is_over(now.latest)).take(AT_ONCE);
    for (_, closed) in old {
        match closed {
            Closed::Elevation(id) => {
                pruned.elevations.insert(*id);
            }
            Closed::Grant(id) => {
                pruned.elevations.extend(state.grants.get(id).map(|grant| grant.elevation));
                pruned.grants.insert(*id);
            }
            Closed::Enrolment(id) => {
                pruned.enrolments.insert(*id);
            }
            Closed::Campaign(id) => {
                pruned.campaigns.insert(*id);
            }
            Closed::Proposal(id) => {
                pruned.proposals.insert(*id);
            }
        }
    }
    vec![Fact::Broker(BrokerFact::Pruned(pruned))]
}
