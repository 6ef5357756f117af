//! How the feed stands: how far each stream was heard, whether one is silent, and how much the brake has left. Silence is a
//! comparison, so that no timer has to notice it (known failure B4).

use std::collections::{BTreeMap, BTreeSet};

use super::visibility::Viewer;
use crate::domain::policy::CapabilityName;
use crate::domain::record::hr::{Feed, Hold, Part};
use crate::domain::state::State;
use crate::domain::value::ids::{HoldId, Identity, PersonId, StreamName};
use crate::domain::value::limits::BRAKE_WINDOW;
use crate::domain::value::refusal::{Reason, Refusal};
use crate::domain::value::time::{Now, Timestamp};

/// How the feed stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FeedStatus {
    /// The streams, by name.
    pub streams: Vec<StreamStatus>,
    /// What the brake holds, oldest first.
    pub holds: Vec<Hold>,
    /// The identities that they would give, from one to another.
    pub moves: BTreeMap<HoldId, Vec<IdentityMove>>,
    /// How many people one import, or any 24 hours, may enable, and as many disable.
    pub brake_limit: usize,
    /// How many more may be enabled now.
    pub enabling_left: usize,
    /// How many more may be disabled now.
    pub disabling_left: usize,
}

/// An identity that would go from one person to another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdentityMove {
    /// The identity.
    pub identity: Identity,
    /// Who has it, or had it lately.
    pub from: BTreeSet<PersonId>,
    /// Who would have it.
    pub to: PersonId,
}

/// A stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamStatus {
    /// Its name.
    pub stream: StreamName,
    /// As far as it was heard.
    pub feed: Feed,
    /// From when it counts as silent.
    pub silent_at: Timestamp,
    /// Whether it does now.
    pub is_silent: bool,
}

/// How the feed stands now.
#[must_use]
pub fn feed_status(state: &State, now: Now) -> FeedStatus {
    let limit = brake_limit(state);
    let left = |part| limit.saturating_sub(touched_lately(state, part, now).len());
    let mut holds: Vec<Hold> = state.holds.values().cloned().collect();
    holds.sort_by_key(|hold| hold.after);
    let moves = holds.iter().map(|hold| (hold.id, moves(state, hold, now))).filter(|(_, moves)| !moves.is_empty());
    FeedStatus {
        moves: moves.collect(),
        streams: streams(state, now).collect(),
        holds,
        brake_limit: limit,
        enabling_left: left(Part::Enabling),
        disabling_left: left(Part::Disabling),
    }
}

/// How the streams stand now: without the holds, which may be long.
pub fn streams(state: &State, now: Now) -> impl Iterator<Item = StreamStatus> {
    state.feeds.iter().map(move |(stream, feed)| stream_status(state, stream, feed, now))
}

/// So many moves of a hold are told.
const MOST_MOVES: usize = 100;

/// The identities that a hold would give from one person to another.
fn moves(state: &State, hold: &Hold, now: Now) -> Vec<IdentityMove> {
    let given =
        hold.events.iter().flat_map(|event| event.change.gives().into_iter().flatten().map(move |it| (event, it)));
    let moves = given.map(|(event, identity)| IdentityMove {
        identity: identity.clone(),
        from: state.organisation.others_with(identity, &event.person, now.latest),
        to: event.person.clone(),
    });
    moves.filter(|it| !it.from.is_empty()).take(MOST_MOVES).collect()
}

/// What an account may see of it: all with `feed.release` or `audit.read`; with `hr.feed` its own streams, and what is held
/// of what it sent.
///
/// # Errors
/// `CAPABILITY_MISSING`; `NO_ACCOUNT` for a person without one.
pub fn feed_status_for(state: &State, viewer: &Viewer, now: Now) -> Result<FeedStatus, Refusal> {
    let id = viewer.account()?;
    let has = |name| state.organisation.capability(id, name, now.latest).is_some();
    let all = has(CapabilityName::FeedRelease) || has(CapabilityName::AuditRead);
    let name = CapabilityName::HrFeed;
    if !all && !has(name) {
        return Err(
            Refusal::new(Reason::CapabilityMissing, format!("`{}`", name.as_str())).with("capability", name.as_str())
        );
    }
    let mut status = feed_status(state, now);
    if state.organisation.tenant_of_account(id).is_some() {
        // A tenant's feed has no brake, and the numbers of other feeds are not for a tenant.
        (status.brake_limit, status.enabling_left, status.disabling_left) = (0, 0, 0);
    }
    if !all {
        status.streams.retain(|stream| stream.feed.sender == *id);
        status.holds.retain(|hold| hold.sender == *id);
    }
    Ok(status)
}

/// The refusal of anything that gives access while a feed is silent: nobody knows who still works here (known failure B4). Counts
/// from a feed's first event. A tenant's feed counts for what touches that tenant.
#[must_use]
pub fn silent_feed(state: &State, touched: Option<&str>, now: Now) -> Option<Refusal> {
    let tenant = touched.and_then(|name| state.organisation.tenants.get_key_value(name)).map(|(tenant, _)| tenant);
    let of_tenant = tenant.into_iter().flat_map(|tenant| state.streams_of(Some(tenant)));
    // The tenant's first: of those it may be told by name.
    let mut streams = of_tenant.chain(state.streams_of(None)).filter_map(|stream| state.feeds.get_key_value(stream));
    let (stream, feed) = streams.find(|(_, feed)| silent_at(state, feed).is_over(now.latest))?;
    let detail = format!("`{stream}` was last heard of at {}", feed.heard_at);
    Some(Refusal::new(Reason::FeedSilent, detail).with("stream", stream).with("heard", feed.heard_at))
}

/// How many people HR may enable, and as many disable, in one import and within any 24 hours: the smaller of the number and
/// the share of all who work here, and at least one.
#[must_use]
pub fn brake_limit(state: &State) -> usize {
    let limits = &state.organisation.policy.limits;
    let percent = usize::try_from(limits.hr_brake_percent).unwrap_or(usize::MAX);
    let share = state.organisation.employed_count().saturating_mul(percent).checked_div(100).unwrap_or_default();
    usize::try_from(limits.hr_brake_people).unwrap_or(usize::MAX).min(share).max(1)
}

/// Whom HR enabled, or disabled, within the last 24 hours, without what a person released.
#[must_use]
pub fn touched_lately(state: &State, part: Part, now: Now) -> BTreeSet<&PersonId> {
    let since = now.stamp.minus(BRAKE_WINDOW);
    let touched = state.hr_touches.iter().rev().take_while(|(at, ..)| *at > since);
    // A tenant's own feed is not braked.
    let own = |person: &&PersonId| state.organisation.tenant_of(person).is_none();
    touched.filter(|(_, _, touched)| *touched == part).map(|(_, person, _)| person).filter(own).collect()
}

fn silent_at(state: &State, feed: &Feed) -> Timestamp {
    feed.heard_at.plus(state.organisation.policy.limits.hr_silence)
}

fn stream_status(state: &State, stream: &StreamName, feed: &Feed, now: Now) -> StreamStatus {
    let silent_at = silent_at(state, feed);
    StreamStatus { stream: stream.clone(), feed: feed.clone(), silent_at, is_silent: silent_at.is_over(now.latest) }
}
