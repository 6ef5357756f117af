//! Grant tokens: what a token may say is decided here; the shell only signs it. A token never says more than the broker
//! would have answered at that moment, to that enforcement point, of that grant (invariant 11).

use super::super::state::State;
use super::caller::{Caller, make_id};
use super::open_grant::open;
use crate::domain::record::command::{Envelope, IssueGrantToken};
use crate::domain::record::event::{Fact, GrantFact, GrantTokenIssued};
use crate::domain::value::refusal::{Reason, Refusal};
use crate::domain::value::scope::Scope;
use crate::domain::value::time::{Span, Timestamp};
use crate::domain::value::token::{LONGEST_LIFETIME, SCOPE_MAX_BYTES};

/// Tokens that one grant may have in a minute: each is a row of the journal that nobody has to approve.
const MOST_A_MINUTE: u32 = 60;

/// The holder has a token signed.
pub(super) fn issue(
    state: &State,
    caller: &Caller<'_>,
    command: &IssueGrantToken,
    envelope: &Envelope,
) -> Result<Vec<Fact>, Refusal> {
    let &IssueGrantToken { grant: id, ref audience, lifetime, certificate } = command;
    let now = envelope.now;
    let grant = open(state, caller, id, now, Reason::NotHolder)?;
    // Only the account itself: a person behind a machine does not have the machine's certificate.
    if grant.holder != *caller.account {
        return Err(Refusal::new(Reason::NotHolder, format!("`{id}` is held by `{}`", grant.holder)));
    }
    if !grant.is_live(now.latest) {
        let phase = grant.phase.name();
        return Err(Refusal::new(Reason::NotLive, format!("`{id}` is {phase}")).with("state", phase));
    }
    let locks = state.organisation.locks();
    if let Some(lock) = state.organisation.lock_on_grant(grant).or_else(|| locks.on_any_of(&grant.scope)) {
        return Err(lock.refusal());
    }
    if state.tokens.get(&id).is_some_and(|tokens| tokens.at(now.stamp) >= MOST_A_MINUTE) {
        return Err(Refusal::new(Reason::TooManyTokens, format!("`{id}`")).with("limit", MOST_A_MINUTE));
    }
    let lifetime = lifetime.unwrap_or(LONGEST_LIFETIME);
    if lifetime < Span::SECOND || lifetime > LONGEST_LIFETIME {
        let detail = format!("a token lives 1 s to {LONGEST_LIFETIME}, not {lifetime}");
        return Err(Refusal::new(Reason::DurationTooLong, detail));
    }
    let (checks_until, patterns) = state.organisation.may_check(audience, now.latest);
    let scope = Some(&grant.scope).filter(|_| !checks_until.is_over(now.latest));
    let Some(scope) = scope.and_then(|scope| scope.within(&patterns)) else {
        return Err(Refusal::new(Reason::AudienceInvalid, format!("`{audience}`")).with("audience", audience));
    };
    if text_bytes(&scope) > SCOPE_MAX_BYTES {
        return Err(Refusal::new(Reason::TokenTooLarge, format!("`{id}`")));
    }
    let expires = whole_seconds(now.stamp.plus(lifetime).min(grant.end).min(checks_until));
    if expires.is_over(now.latest) {
        return Err(Refusal::new(Reason::NotLive, format!("less than a second is left of `{id}`")));
    }
    Ok(vec![Fact::Grant(GrantFact::TokenIssued(Box::new(GrantTokenIssued {
        token: make_id(envelope, 0).into(),
        grant: id,
        holder: grant.holder.clone(),
        audience: audience.clone(),
        certificate,
        scope,
        expires,
    })))])
}

/// Rounded down: a token ends too early rather than too late.
fn whole_seconds(at: Timestamp) -> Timestamp {
    let past = at.millis().checked_rem(1_000).unwrap_or_default();
    at.minus(Span::from_millis(past).unwrap_or_default())
}

fn text_bytes(scope: &Scope) -> usize {
    let actions = scope.actions().iter().map(|action| action.as_str().len());
    let resources = scope.resources().iter().map(|resource| resource.to_string().len());
    // Quotes and a comma each.
    actions.chain(resources).fold(0, |sum: usize, bytes| sum.saturating_add(bytes).saturating_add(3))
}
