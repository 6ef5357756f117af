//! What a change takes away besides what it says itself, from the events that it makes.

use std::collections::BTreeMap;

use super::elevations::cancellation;
use super::grants::{end_word, revocation};
use super::v1 as pb;
use super::values::pb_timestamp;
use crate::domain::event::{Event, Fact};
use crate::domain::ids::{AccountId, ElevationId, GrantId};
use crate::domain::state::State;
use crate::domain::time::Timestamp;

/// Entries of one list; what goes beyond is counted.
pub const LONGEST_LIST: usize = 1_000;

/// What the events do not say themselves: who asked, and until when grants would have gone on.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Before {
    requesters: BTreeMap<ElevationId, AccountId>,
    ends: BTreeMap<GrantId, Timestamp>,
}

impl Before {
    /// Of all that the events touch, as it was before them.
    #[must_use]
    pub fn of(state: &State, events: &[Event]) -> Self {
        let mut before = Self::default();
        for event in events {
            match &event.fact {
                Fact::ElevationCancelled(fact) => {
                    if let Some(elevation) = state.elevations().get(&fact.elevation) {
                        before.requesters.insert(fact.elevation, elevation.requester.clone());
                    }
                }
                Fact::GrantShortened(fact) => {
                    if let Some(grant) = state.grants().get(&fact.grant) {
                        before.ends.insert(fact.grant, grant.end);
                    }
                }
                _ => {}
            }
        }
        before
    }
}

/// The effects among a change's events, each list in the order of ids.
#[must_use]
pub fn effects<'a>(events: impl IntoIterator<Item = &'a Event>, before: &Before) -> pb::Effects {
    let mut effects = pb::Effects::default();
    for event in events {
        match &event.fact {
            Fact::ElevationCancelled(fact) => effects.cancelled_elevations.push(pb::CancelledElevation {
                elevation_id: fact.elevation.to_string(),
                requester_account: before.requesters.get(&fact.elevation).map(ToString::to_string).unwrap_or_default(),
                cause: cancellation(&fact.because),
            }),
            Fact::ApprovalStruck(fact) => effects.voided_approvals.push(pb::VoidedApproval {
                elevation_id: fact.elevation.to_string(),
                person: fact.person.to_string(),
                cause: fact.because.reason.entry().name.to_owned(),
            }),
            Fact::GrantShortened(fact) => effects.shortened_grants.push(pb::ShortenedGrant {
                grant_id: fact.grant.to_string(),
                holder_account: fact.holder.to_string(),
                old_end_time: before.ends.get(&fact.grant).copied().map(pb_timestamp),
                new_end_time: Some(pb_timestamp(fact.end)),
                cause: end_word(&fact.because).to_owned(),
            }),
            Fact::GrantRevoked(fact) => effects.revoked_grants.push(pb::RevokedGrant {
                grant_id: fact.grant.to_string(),
                holder_account: fact.holder.to_string(),
                cause: revocation(&fact.because).to_owned(),
            }),
            _ => {}
        }
    }
    effects.cancelled_elevations.sort_by(|a, b| a.elevation_id.cmp(&b.elevation_id));
    effects.voided_approvals.sort_by(|a, b| (&a.elevation_id, &a.person).cmp(&(&b.elevation_id, &b.person)));
    effects.shortened_grants.sort_by(|a, b| a.grant_id.cmp(&b.grant_id));
    effects.revoked_grants.sort_by(|a, b| a.grant_id.cmp(&b.grant_id));
    let omitted = [
        cut(&mut effects.cancelled_elevations),
        cut(&mut effects.voided_approvals),
        cut(&mut effects.shortened_grants),
        cut(&mut effects.revoked_grants),
    ];
    let omitted = omitted.into_iter().fold(0_usize, usize::saturating_add);
    effects.omitted_count = u32::try_from(omitted).unwrap_or(u32::MAX);
    effects
}

fn cut<T>(list: &mut Vec<T>) -> usize {
    let omitted = list.len().saturating_sub(LONGEST_LIST);
    list.truncate(LONGEST_LIST);
    omitted
}
