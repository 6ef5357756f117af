//! Why: how a request would fare, and why a check answers as it does. Slow, for people, and never more than the caller
//! may see.

use std::collections::BTreeSet;

use super::tenant_view;
use crate::check::{Allowed, Denied, Verdict};
use crate::domain::policy::Stage;
use crate::domain::record::elevation::Elevation;
use crate::domain::record::grant::Grant;
use crate::domain::record::lock::Lock;
use crate::domain::rule::obstacles::think_through;
use crate::domain::rule::reviewers::could_approve;
use crate::domain::rule::visibility::{Thing, Viewer, may_see};
use crate::domain::state::State;
use crate::domain::value::ids::{AccountId, PersonId, Principal};
use crate::domain::value::refusal::Refusal;
use crate::domain::value::scope::{Action, Resource};
use crate::domain::value::time::Now;
use crate::wire::queries::Explained;
use crate::wire::{elevations, grants, v1 as pb};

/// Grants that an explanation names at most.
const MOST: usize = 20;

/// How a request would fare.
pub(super) fn elevation(
    state: &State,
    viewer: &Viewer,
    query: Explained,
    now: Now,
) -> Result<pb::ExplainElevationResponse, Refusal> {
    let organisation = state.organisation();
    let request = &query.request;
    let account = match &query.account {
        Some(id) if may_see(state, viewer, Thing::Account(id), now) => id,
        Some(id) => return Err(Refusal::not_found("account", id)),
        None => viewer.account()?,
    };
    let unseen = || Refusal::not_found("entitlement", &request.entitlement);
    if !may_see(state, viewer, Thing::Entitlement(&request.entitlement), now) {
        return Err(unseen());
    }
    let entitlement = organisation.policy().entitlements.get(&request.entitlement).ok_or_else(unseen)?;
    let (drafted, obstacles) = think_through(state, account, &query.request, now);
    let stages = drafted.iter().flat_map(|drafted| {
        drafted.review.stages.iter().map(|stage| pb::ExplainedStage {
            by: elevations::approvers(stage),
            required_count: stage.count,
            eligible_count: eligible(state, drafted, stage, now),
        })
    });
    Ok(pb::ExplainElevationResponse {
        entitlement: Some(tenant_view::entitlement(state, viewer, (&request.entitlement, entitlement))),
        sequence: String::new(),
        stages: stages.collect(),
        obstacles: elevations::obstacles(super::elevations::told_to(state, viewer, obstacles)),
    })
}

/// How many distinct eligible persons could approve a stage.
fn eligible(state: &State, drafted: &Elevation, stage: &Stage, now: Now) -> u32 {
    let could = could_approve(state.organisation(), drafted, stage, now.latest);
    let persons: BTreeSet<&PersonId> = could.map(|(_, person)| person).collect();
    u32::try_from(persons.len()).unwrap_or(u32::MAX)
}

/// One question of a check, parsed for people.
pub(super) struct Question {
    pub(super) subject: String,
    pub(super) action: Action,
    pub(super) resource: Resource,
}

/// Why a check answered so, as far as the caller may know. `entitled`: the caller is an enforcement point for the
/// resource, the subject itself, or reads the audit.
pub(super) fn check(
    state: &State,
    viewer: &Viewer,
    question: &Question,
    (verdict, entitled): (Verdict, bool),
    now: Now,
) -> pb::ExplainCheckResponse {
    let Question { action, resource, .. } = question;
    let mut explained = pb::ExplainCheckResponse { sequence: String::new(), ..Default::default() };
    if !entitled {
        explained.text =
            "the resource is outside the caller's audience, and the subject is somebody else; have the directory name it \
             in the caller's audience"
                .to_owned();
        return explained;
    }
    let policy = state.organisation().policy();
    let visible: Vec<_> =
        policy.entitlements.iter().filter(|(name, _)| may_see(state, viewer, Thing::Entitlement(name), now)).collect();
    let scopes = || visible.iter().map(|(_, it)| &it.terms.scope).chain(&policy.baseline.allows);
    explained.action_offered = scopes().any(|scope| scope.actions().contains(action));
    explained.resource_offered = scopes().any(|scope| scope.resources().iter().any(|held| held.covers(resource)));
    let offering = visible.iter().filter(|(_, it)| it.terms.scope.covers(action, resource));
    explained.entitlements = offering.map(|(name, _)| name.to_string()).collect();
    let gone = gone(state, question, now);
    let seen = gone.iter().filter(|grant| may_see(state, viewer, Thing::Grant(grant), now));
    explained.grants = seen.take(MOST).map(|it| tenant_view::grant(state, viewer, grants::grant(it, now))).collect();
    let lock = lock_on(state, question).filter(|_| matches!(verdict, Verdict::Deny { because: Denied::Locked }));
    explained.text = match lock.filter(|lock| may_see(state, viewer, Thing::Lock(lock), now)) {
        Some(lock) => lock.refusal().to_string(),
        None => words(verdict, &explained, gone.first().copied(), now),
    };
    explained
}

/// A lock that such a check meets.
fn lock_on<'a>(state: &'a State, question: &Question) -> Option<&'a Lock> {
    let organisation = state.organisation();
    let on_resource = |lock: &&Lock| lock.on.resources().iter().any(|pattern| pattern.covers(&question.resource));
    let covering = |grant: &&Grant| grant.scope.covers(&question.action, &question.resource);
    let holder = holder(state, question);
    let on_holder = || organisation.lock_on_account(holder.as_ref()?);
    let on_grant = || {
        let held = state.open_grants_by(holder.as_ref()?).filter(covering);
        held.filter_map(|grant| organisation.lock_on_grant(grant)).next()
    };
    organisation.locks().all().values().find(on_resource).or_else(on_holder).or_else(on_grant)
}

/// The account that the subject means.
fn holder(state: &State, question: &Question) -> Option<AccountId> {
    let by_identity = question.subject.parse().ok().and_then(|identity| state.organisation().principal(&identity));
    match by_identity {
        Some(Principal::Account(id)) => Some(id.clone()),
        _ => question.subject.parse().ok(),
    }
}

/// The subject's grants that cover it and are not live: scheduled or closed, newest first.
fn gone<'a>(state: &'a State, question: &Question, now: Now) -> Vec<&'a Grant> {
    let Some(holder) = holder(state, question) else { return Vec::new() };
    let covers = |grant: &&Grant| {
        grant.holder == holder && !grant.is_live(now.latest) && grant.scope.covers(&question.action, &question.resource)
    };
    state.grants().values().rev().filter(covers).collect()
}

fn words(verdict: Verdict, explained: &pb::ExplainCheckResponse, gone: Option<&Grant>, now: Now) -> String {
    let denied = match verdict {
        Verdict::Allow { because: Allowed::Granted { grant }, valid_until } => {
            return format!("allowed by grant `{grant}` until {valid_until}");
        }
        Verdict::Allow { because: Allowed::Baseline, .. } => {
            return "allowed to every eligible account by the baseline".to_owned();
        }
        Verdict::Deny { because } => because,
    };
    let ask = match explained.entitlements.as_slice() {
        [] if !explained.action_offered => "no entitlement offers this action; check how it is written".to_owned(),
        [] if !explained.resource_offered => "no entitlement offers this resource; check how it is written".to_owned(),
        [] => "no entitlement offers this action on this resource".to_owned(),
        names => format!("ask for {}", names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(" or ")),
    };
    match (denied, gone) {
        (Denied::OutOfAudience, _) => "the resource is outside the caller's audience".to_owned(),
        (Denied::Locked, _) => "a lock is on it; ask somebody with the capability `lock.manage`".to_owned(),
        (Denied::NotStarted, Some(grant)) => {
            format!("grant `{}` covers it and starts at {}; wait until then", grant.id, grant.start)
        }
        (Denied::NotStarted, None) => "a grant covers it and has not started; wait until then".to_owned(),
        (Denied::NoGrant, Some(grant)) => {
            let told = grants::grant(grant, now);
            let closing = told.closing.unwrap_or_default();
            let state = pb::GrantState::try_from(told.state).unwrap_or_default().as_str_name();
            let state = state.trim_start_matches("GRANT_STATE_");
            format!("grant `{}` covered it and is {state} ({}); {ask}", grant.id, closing.cause)
        }
        (Denied::NoGrant, None) => format!("no grant of the subject covers it; {ask}"),
        (Denied::Stale, _) => "what a replica knows is too old; it mends by itself once it reaches a broker".to_owned(),
    }
}
