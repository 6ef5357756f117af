//! What a change takes away and gives besides what it says itself: from the events that it makes, and from the state before
//! it and after it. A dry run and the change itself are described by this one function, so that they can be compared.

use std::collections::BTreeSet;

use prost::Message;

use super::elevations::cancellation;
use super::grants::{end_word, revocation};
use super::v1 as pb;
use super::values::{pb_end, pb_timestamp};
use crate::domain::directory::{Account, AccountState, Membership};
use crate::domain::record::event::{
    ElevationFact, EnrolmentFact, Event, Fact, FeedFact, GrantFact, LifeFact, OrganisationFact,
};
use crate::domain::rule::proposal::rights::{Right, RightsChange};
use crate::domain::state::State;
use crate::domain::state::apply::apply;
use crate::domain::value::ids::{AccountId, RoleName};

/// Entries of one list; what goes beyond is counted.
pub const LONGEST_LIST: usize = 1_000;
/// Of all lists together, where names are long: an answer is bounded too.
const MOST_BYTES: usize = 768 * 1024;

/// The effects among a change's events, each list in the order of ids. Without the state before them (a repetition of what
/// took effect long ago) only what the events say themselves.
#[must_use]
pub fn effects(before: Option<&State>, events: &[Event]) -> pb::Effects {
    let mut effects = pb::Effects::default();
    for event in events {
        add(&mut effects, before, &event.fact);
    }
    if let Some(before) = before {
        add_accounts(&mut effects, before, events);
    }
    effects.cancelled_elevations.sort_by(|a, b| a.elevation_id.cmp(&b.elevation_id));
    effects.voided_approvals.sort_by(|a, b| (&a.elevation_id, &a.person).cmp(&(&b.elevation_id, &b.person)));
    effects.shortened_grants.sort_by(|a, b| a.grant_id.cmp(&b.grant_id));
    effects.revoked_grants.sort_by(|a, b| a.grant_id.cmp(&b.grant_id));
    effects.cancelled_enrolments.sort_by(|a, b| a.enrolment_id.cmp(&b.enrolment_id));
    effects.voided_enrolment_approvals.sort_by(|a, b| (&a.enrolment_id, &a.person).cmp(&(&b.enrolment_id, &b.person)));
    shortened(effects)
}

fn add(effects: &mut pb::Effects, before: Option<&State>, fact: &Fact) {
    match fact {
        Fact::Elevation(fact) => add_elevation(effects, before, fact),
        Fact::Enrolment(fact) => add_enrolment(effects, before, fact),
        Fact::Grant(fact) => add_grant(effects, before, fact),
        // What an urgent departure leaves of an older hold is recorded again; it was counted before.
        Fact::Feed(FeedFact::Held(hold)) if before.is_none_or(|state| !state.holds().contains_key(&hold.id)) => {
            let held = u32::try_from(hold.events.len()).unwrap_or(u32::MAX);
            effects.held_count = effects.held_count.saturating_add(held);
        }
        Fact::Feed(_)
        | Fact::Organisation(_)
        | Fact::Life(_)
        | Fact::Proposal(_)
        | Fact::Campaign(_)
        | Fact::Lock(_)
        | Fact::Broker(_) => {}
    }
}

fn add_elevation(effects: &mut pb::Effects, before: Option<&State>, fact: &ElevationFact) {
    if let ElevationFact::Cancelled(fact) = fact {
        let elevation = before.and_then(|state| state.elevations().get(&fact.elevation));
        effects.cancelled_elevations.push(pb::CancelledElevation {
            elevation_id: fact.elevation.to_string(),
            requester_account: elevation.map(|it| it.requester.to_string()).unwrap_or_default(),
            cause: cancellation(&fact.because),
        });
    } else if let ElevationFact::ApprovalStruck(fact) = fact {
        effects.voided_approvals.push(pb::VoidedApproval {
            elevation_id: fact.elevation.to_string(),
            person: fact.person.to_string(),
            cause: fact.because.reason.entry().name.to_owned(),
        });
    }
}

fn add_enrolment(effects: &mut pb::Effects, before: Option<&State>, fact: &EnrolmentFact) {
    if let EnrolmentFact::Cancelled(fact) = fact {
        let enrolment = before.and_then(|state| state.enrolments().get(&fact.enrolment));
        effects.cancelled_enrolments.push(pb::CancelledEnrolment {
            enrolment_id: fact.enrolment.to_string(),
            person: enrolment.map(|it| it.person.to_string()).unwrap_or_default(),
            cause: fact.because.name().to_owned(),
        });
    } else if let EnrolmentFact::ApprovalStruck(fact) = fact {
        effects.voided_enrolment_approvals.push(pb::VoidedEnrolmentApproval {
            enrolment_id: fact.enrolment.to_string(),
            person: fact.person.to_string(),
            cause: fact.because.reason.entry().name.to_owned(),
        });
    }
}

fn add_grant(effects: &mut pb::Effects, before: Option<&State>, fact: &GrantFact) {
    if let GrantFact::Shortened(fact) = fact {
        let grant = before.and_then(|state| state.grants().get(&fact.grant));
        effects.shortened_grants.push(pb::ShortenedGrant {
            grant_id: fact.grant.to_string(),
            holder_account: fact.holder.to_string(),
            old_end_time: grant.map(|grant| pb_timestamp(grant.end)),
            new_end_time: Some(pb_timestamp(fact.end)),
            cause: end_word(&fact.because).to_owned(),
        });
    } else if let GrantFact::Revoked(fact) = fact {
        effects.revoked_grants.push(pb::RevokedGrant {
            grant_id: fact.grant.to_string(),
            holder_account: fact.holder.to_string(),
            cause: revocation(&fact.because).to_owned(),
        });
    }
}

/// How accounts and their memberships changed over all the events together.
fn add_accounts(effects: &mut pb::Effects, before: &State, events: &[Event]) {
    let mut after = before.clone();
    events.iter().for_each(|event| apply(&mut after, event));
    let changed: BTreeSet<&AccountId> = events.iter().filter_map(|event| account_of(&event.fact)).collect();
    for id in changed {
        let old = before.organisation().accounts().get(id);
        let Some(new) = after.organisation().accounts().get(id) else { continue };
        effects.changed_accounts.extend(
            account_changes(old, new)
                .into_iter()
                .map(|change| pb::ChangedAccount { account: id.to_string(), change: change.to_owned() }),
        );
        let roles: BTreeSet<&RoleName> =
            old.into_iter().flat_map(|it| it.roles.keys()).chain(new.roles.keys()).collect();
        for role in roles {
            let (held, holds) = (old.and_then(|it| it.roles.get(role)), new.roles.get(role));
            effects.changed_memberships.extend(membership_changes(held, holds).into_iter().map(|change| {
                pb::ChangedMembership {
                    account: id.to_string(),
                    role: role.to_string(),
                    change: change.to_owned(),
                    new_end_time: holds.and_then(|it| pb_end(it.ends_at())),
                }
            }));
        }
    }
}

fn account_of(fact: &Fact) -> Option<&AccountId> {
    if let Fact::Organisation(OrganisationFact::AccountRecorded(fact)) = fact {
        return Some(&fact.id);
    }
    let Fact::Life(fact) = fact else { return None };
    match fact {
        LifeFact::MembershipEnded(fact) => Some(&fact.account),
        LifeFact::MembershipRevoked(fact) => Some(&fact.account),
        LifeFact::AccountEnded(fact) => Some(&fact.account),
        LifeFact::AccountClosed(fact) => Some(&fact.account),
        LifeFact::RequirementLapsed(_)
        | LifeFact::LapseAhead(_)
        | LifeFact::AttestationRecorded(_)
        | LifeFact::AttestationCorrected(_)
        | LifeFact::PersonLeft(_)
        | LifeFact::PersonMoved(_) => None,
    }
}

fn account_changes(old: Option<&Account>, new: &Account) -> Vec<&'static str> {
    let Some(old) = old else { return vec!["CREATED"] };
    let mut changes = Vec::new();
    match (&old.state, &new.state) {
        (AccountState::Closed, _) | (AccountState::Active, AccountState::Active) => {}
        (_, AccountState::Closed) => return vec!["CLOSED"],
        (AccountState::Active, AccountState::Disabled { .. }) => changes.push("DISABLED"),
        (AccountState::Disabled { .. }, AccountState::Active) => changes.push("ENABLED"),
        (AccountState::Disabled { .. }, AccountState::Disabled { .. }) => {}
    }
    if old.person() != new.person() {
        changes.push("OWNER_CHANGED");
    }
    if old.identities != new.identities {
        changes.push("IDENTITIES_CHANGED");
    }
    changes
}

fn membership_changes(old: Option<&Membership>, new: Option<&Membership>) -> Vec<&'static str> {
    let (old, new) = match (old, new) {
        (None, None) => return Vec::new(),
        (None, Some(_)) => return vec!["GIVEN"],
        (Some(_), None) => return vec!["ENDED"],
        (Some(old), Some(new)) => (old, new),
    };
    let mut changes = Vec::new();
    match (old.suspended, new.suspended) {
        (None, Some(_)) => changes.push("SUSPENDED"),
        (Some(_), None) => changes.push("RESTORED"),
        _ => {}
    }
    if old.confirm.is_none() && new.confirm.is_some() {
        changes.push("TO_CONFIRM");
    }
    let end = |membership: &Membership| membership.until.unwrap_or(crate::domain::value::time::Timestamp::MAX);
    match end(new).cmp(&end(old)) {
        std::cmp::Ordering::Less => changes.push("CUT"),
        std::cmp::Ordering::Greater => changes.push("EXTENDED"),
        std::cmp::Ordering::Equal => {}
    }
    changes
}

/// Cut to what an answer holds. A change that took effect is never answered with an error because it did too much.
fn shortened(mut effects: pb::Effects) -> pb::Effects {
    let (mut most, mut omitted) = (LONGEST_LIST, 0_usize);
    loop {
        omitted = cut_to(&mut effects, most).into_iter().fold(omitted, usize::saturating_add);
        effects.omitted_count = u32::try_from(omitted).unwrap_or(u32::MAX);
        if effects.encoded_len() <= MOST_BYTES || most == 0 {
            return effects;
        }
        most /= 2;
    }
}

fn cut_to(effects: &mut pb::Effects, most: usize) -> [usize; 8] {
    [
        cut(&mut effects.cancelled_elevations, most),
        cut(&mut effects.voided_approvals, most),
        cut(&mut effects.shortened_grants, most),
        cut(&mut effects.revoked_grants, most),
        cut(&mut effects.cancelled_enrolments, most),
        cut(&mut effects.voided_enrolment_approvals, most),
        cut(&mut effects.changed_accounts, most),
        cut(&mut effects.changed_memberships, most),
    ]
}

fn cut<T>(list: &mut Vec<T>, most: usize) -> usize {
    let omitted = list.len().saturating_sub(most);
    list.truncate(most);
    omitted
}

/// Accounts that are listed with what they gain and lose.
const MOST_ACCOUNTS: usize = 1_000;

/// Who gains what and who loses what.
#[must_use]
pub fn rights(changes: &[RightsChange]) -> Vec<pb::RightsChange> {
    let texts = |rights: &BTreeSet<Right>| rights.iter().map(ToString::to_string).collect();
    let listed = changes.iter().take(MOST_ACCOUNTS).map(|change| pb::RightsChange {
        account: change.account.as_ref().map(ToString::to_string).unwrap_or_default(),
        gains: texts(&change.gains),
        loses: texts(&change.loses),
    });
    listed.collect()
}

/// How many more accounts gain or lose something.
#[must_use]
pub fn omitted_rights(changes: &[RightsChange]) -> u32 {
    u32::try_from(changes.len().saturating_sub(MOST_ACCOUNTS)).unwrap_or(u32::MAX)
}

#[cfg(test)]
#[path = "effects_tests.rs"]
mod tests;
