//! What a reviewer of the own organisation should weigh besides the request itself (design.md 4, "who sees what").

use std::collections::BTreeSet;

use crate::domain::directory::AccountKind;
use crate::domain::record::elevation::Elevation;
use crate::domain::record::grant::Grant;
use crate::domain::record::review::Verdict;
use crate::domain::rule::reviewers::reviewer_in_any;
use crate::domain::rule::visibility::Viewer;
use crate::domain::state::State;
use crate::domain::value::ids::RequirementName;
use crate::domain::value::time::{Now, Span, Timestamp};
use crate::wire::values::pb_timestamp;
use crate::wire::{elevations, grants, v1 as pb};

/// How far ahead a lapse is shown.
const SOON: Span = Span::seconds(14 * 86_400);
/// The most entries of a list.
const MOST: usize = 50;

/// For those of the own organisation who may review a pending elevation; none for all others.
pub(crate) fn review_context(state: &State, viewer: &Viewer, it: &Elevation, now: Now) -> Option<pb::ReviewContext> {
    let organisation = state.organisation();
    let account = viewer.account().ok()?;
    let own = matches!(organisation.accounts().get(account)?.kind, AccountKind::ServiceTeam { .. });
    let pending = elevations::state(it, now) == pb::ElevationState::Pending;
    if !own || !pending || reviewer_in_any(organisation, it, account, now.latest).is_err() {
        return None;
    }
    let live: Vec<&Grant> = state.open_grants_of(&it.person).filter(|grant| !grant.end.is_over(now.latest)).collect();
    let requester = organisation.accounts().get(&it.requester);
    let roles = requester.into_iter().flat_map(|account| &account.roles);
    let roles = roles.filter(|(_, membership)| !membership.ends_at().is_over(now.latest));
    Some(pb::ReviewContext {
        requester_roles: roles.map(|(role, _)| role.to_string()).collect(),
        live_grants: live.iter().take(MOST).map(|grant| grants::grant(grant, now)).collect(),
        adds: adds(it, &live),
        recent_elevations: recent(state, it, now),
        lapses: lapses(state, it, now),
    })
}

/// For each resource the actions that no live grant covers there.
fn adds(it: &Elevation, live: &[&Grant]) -> Vec<pb::Scope> {
    let covered = |action, resource| {
        let covers = |grant: &&Grant| {
            grant.scope.actions().contains(action) && grant.scope.resources().iter().any(|held| held.contains(resource))
        };
        live.iter().any(covers)
    };
    let scopes = it.scope.resources().iter().filter_map(|resource| {
        let added = it.scope.actions().iter().filter(|action| !covered(*action, resource));
        let actions: Vec<String> = added.map(ToString::to_string).collect();
        (!actions.is_empty()).then(|| pb::Scope { actions, resources: vec![resource.to_string()] })
    });
    scopes.collect()
}

fn recent(state: &State, it: &Elevation, now: Now) -> Vec<pb::RecentElevation> {
    let others = state.elevations().values().rev().filter(|other| other.person == it.person && other.id != it.id);
    let told = others.take(MOST).map(|other| {
        let denial = other.review.decisions.iter().rfind(|decision| decision.verdict == Verdict::Denied);
        pb::RecentElevation {
            elevation_id: other.id.to_string(),
            entitlement: other.entitlement.to_string(),
            state: elevations::state(other, now).into(),
            create_time: Some(pb_timestamp(other.requested_at)),
            denial_reason: denial.map(|decision| decision.comment.clone()).unwrap_or_default(),
        }
    });
    told.collect()
}

/// What the grant would rest on that lapses or ends soon: attestations of all persons behind it, memberships in the
/// requesting roles, the account itself.
fn lapses(state: &State, it: &Elevation, now: Now) -> Vec<pb::Lapse> {
    let organisation = state.organisation();
    let policy = organisation.policy();
    let soon = |at: Timestamp| at <= now.latest.plus(SOON) && !at.is_over(now.latest);
    let lapse = |kind: pb::LapseKind, name: &str, at: Timestamp| pb::Lapse {
        kind: kind.into(),
        name: name.to_owned(),
        time: Some(pb_timestamp(at)),
    };
    let mut lapses = Vec::new();
    let mut required: BTreeSet<&RequirementName> = policy.baseline.requires.iter().collect();
    let requesting = policy.entitlements.get(&it.entitlement).map(|entitlement| &entitlement.terms.requestable_by);
    if let Some(account) = organisation.accounts().get(&it.requester) {
        let rests_on = account.roles.iter().filter(|(role, _)| requesting.is_some_and(|roles| roles.contains(*role)));
        for (role, membership) in rests_on {
            required.extend(policy.roles.get(role).into_iter().flat_map(|role| &role.requires));
            if soon(membership.ends_at()) {
                lapses.push(lapse(pb::LapseKind::Membership, role.as_str(), membership.ends_at()));
            }
        }
        if soon(account.ends_at()) {
            lapses.push(lapse(pb::LapseKind::Account, it.requester.as_str(), account.ends_at()));
        }
    }
    for person in it.behind.iter().filter_map(|person| organisation.people().get(person)) {
        for (name, met) in person.attestations.iter().filter(|(name, _)| required.contains(name)) {
            let at = policy.requirements.get(name).map(|rule| rule.lapses_at(*met));
            lapses.extend(at.filter(|at| soon(*at)).map(|at| lapse(pb::LapseKind::Attestation, name.as_str(), at)));
        }
    }
    lapses.sort_by_key(|lapse| lapse.time.map(|time| (time.seconds, time.nanos)));
    lapses
}
