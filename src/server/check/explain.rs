//! Why a check answers as it does. Slow, for people, and never more than the caller may see.

use crate::check::{Allowed, Denied, Verdict};
use crate::domain::record::grant::Grant;
use crate::domain::record::lock::Lock;
use crate::domain::rule::visibility::{Thing, Viewer, may_see};
use crate::domain::state::State;
use crate::domain::value::ids::{AccountId, Principal};
use crate::domain::value::scope::{Action, Resource};
use crate::domain::value::time::Now;
use crate::server::tenant_view;
use crate::wire::values::pb_timestamp;
use crate::wire::{grants, v1 as pb};

/// Grants that an explanation names at most.
const MOST: usize = 20;

/// One question of a check, parsed for people.
pub(super) struct Question {
    pub(super) subject: String,
    pub(super) action: Action,
    pub(super) resource: Resource,
}

/// The answer for a caller who is neither an enforcement point for the resource, nor the subject, nor an auditor.
pub(super) fn withheld() -> pb::ExplainCheckResponse {
    let text = "the resource is outside the caller's audience, and the subject is somebody else; have the directory name it \
                in the caller's audience";
    pb::ExplainCheckResponse { text: text.to_owned(), ..Default::default() }
}

/// Why a check answered so, as far as the caller may know.
pub(super) fn check(
    state: &State,
    viewer: &Viewer,
    question: &Question,
    verdict: Verdict,
    now: Now,
) -> pb::ExplainCheckResponse {
    let Question { action, resource, .. } = question;
    let time = Some(pb_timestamp(now.latest));
    let mut explained = pb::ExplainCheckResponse { time, ..Default::default() };
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
        (Denied::Stale, _) => "what a replica knows is too old; that ends once it reaches a broker".to_owned(),
    }
}
