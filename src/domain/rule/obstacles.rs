//! All that stands in the way of a request, as data: one function for the catalogue, for `validate_only`, for `explain`,
//! and for the request itself, which is refused with the first.

use std::collections::BTreeSet;

use super::eligibility::{Obstacles, nobody_may_request};
use super::emergency::none_overdue;
use super::feed::silent_feed;
use super::issue::{has_approvers, has_room};
use crate::domain::directory::{Account, AccountKind, ActsFor};
use crate::domain::policy::{Entitlement, Terms, Way};
use crate::domain::record::called_from::Call;
use crate::domain::record::command::RequestElevation;
use crate::domain::record::elevation::Elevation;
use crate::domain::record::emergency::{Emergency, SHORTEST_REASON};
use crate::domain::record::lock::Lock;
use crate::domain::record::review::Phase;
use crate::domain::record::review::Review;
use crate::domain::state::organisation::Organisation;
use crate::domain::state::{HeldIn, Holding, State};
use crate::domain::value::ids::{AccountId, ElevationId, EntitlementName, PersonId, TenantName};
use crate::domain::value::refusal::{Reason, Refusal};
use crate::domain::value::scope::{Pattern, Scope};
use crate::domain::value::time::{Now, Span, Timestamp};

/// The shortest duration that may be asked for, whatever policy says.
pub const SHORTEST_DURATION: Span = Span::SECOND;

/// The elevation that a request makes, and all that stands in its way. There is no elevation if the account may not see
/// the entitlement, if actions or resources are empty, or if the entitlement has no emergency way that was asked for.
#[must_use]
pub fn draft(
    state: &State,
    account: &AccountId,
    request: &RequestElevation,
    id: ElevationId,
    now: Now,
) -> (Option<Elevation>, Obstacles) {
    let organisation = &state.organisation;
    let visible = super::visibility::sees_entitlement(organisation, account, &request.entitlement);
    let Some(entitlement) = organisation.policy().entitlements.get(&request.entitlement).filter(|_| visible) else {
        return (None, vec![Refusal::not_found("entitlement", &request.entitlement)]);
    };
    let terms = &entitlement.terms;
    if let Some(refusal) = not_told_of(&state.organisation, account, request.on_behalf_of.as_ref(), terms, now) {
        return (None, vec![refusal]);
    }
    let mut obstacles = who(state, account, request.on_behalf_of.as_ref(), terms, now);
    // Whoever is named by an account that asks for itself alone is not looked up.
    let on_behalf_of = request.on_behalf_of.clone().filter(|_| asks_for_people(organisation, account));
    let request = &RequestElevation { on_behalf_of, ..request.clone() };
    let Some(own_person) = organisation.accounts().get(account).map(Account::person) else {
        return (None, obstacles);
    };
    let Some(scope) = Scope::new(request.actions.clone(), request.resources.clone()) else {
        obstacles.push(Refusal::new(Reason::OutOfScope, "at least one action and one resource are named"));
        return (None, obstacles);
    };
    let Some(way) = terms.way(request.emergency) else {
        let detail = format!("`{}`", request.entitlement);
        obstacles.push(Refusal::new(Reason::EmergencyNotOffered, detail).with("entitlement", &request.entitlement));
        return (None, obstacles);
    };
    obstacles.extend(what(organisation, account, request.on_behalf_of.as_ref(), terms, &scope));
    obstacles.extend(author_waits(organisation, account, request.on_behalf_of.as_ref(), &request.entitlement, now));
    let elevation = compose(state, Asked { account, own_person, request, entitlement, way }, scope, id, now);
    obstacles.extend(organisation.lock_on_elevation(&elevation).map(Lock::refusal));
    obstacles.extend(when(state, &elevation, terms, way, now));
    obstacles.extend(why(terms, request));
    if request.emergency {
        obstacles.extend(none_overdue(state, &elevation, now.latest).err());
    }
    if obstacles.is_empty() {
        // Who could approve is disclosed only to a caller with no other obstacle.
        obstacles.extend(has_approvers(state, &elevation, now).err());
    }
    obstacles.extend(room(state, &elevation, now));
    obstacles.extend(
        silent_feed(state, elevation.tenant(), now).map(|refusal| as_the_account_may_know(state, account, refusal)),
    );
    obstacles.sort_by_key(|refusal| refusal.reason);
    (Some(elevation), obstacles)
}

/// Which feed of the own organisation is silent, and since when, is for no customer to read.
fn as_the_account_may_know(state: &State, account: &AccountId, silent: Refusal) -> Refusal {
    let Some(tenant) = state.organisation().tenant_of_account(account) else { return silent };
    let own = silent.facts.get("stream").and_then(|stream| stream.strip_prefix(tenant.as_str()));
    if own.is_some_and(|rest| rest.starts_with('.')) { silent } else { Refusal::new(silent.reason, "") }
}

/// How a request would fare, without its justification and ticket: for a preview. Absent actions mean all that are
/// offered; absent resources are not checked.
#[must_use]
pub fn think_through(
    state: &State,
    account: &AccountId,
    request: &RequestElevation,
    now: Now,
) -> (Option<Elevation>, Obstacles) {
    let organisation = &state.organisation;
    let mut request = request.clone();
    let any_scope = request.resources.is_empty();
    let offered = organisation.policy().entitlements.get(&request.entitlement).map(|it| &it.terms.scope);
    if let Some(offered) = offered {
        if any_scope {
            // A customer asks for its own tenant's resources.
            let own = organisation.tenant_of_account(account).and_then(|tenant| offered.of_tenant(tenant.as_str()));
            request.resources = own.as_ref().unwrap_or(offered).resources().clone();
        }
        if request.actions.is_empty() {
            request.actions = offered.actions().clone();
        }
    }
    let (drafted, mut obstacles) = draft(state, account, &request, uuid::Uuid::nil().into(), now);
    obstacles.retain(|refusal| {
        // A preview has no justification or ticket, so they are not missing.
        let words = matches!(refusal.reason, Reason::JustificationRequired | Reason::TicketRequired);
        // Without resources it is not known which tenant would approve.
        let scope = matches!(
            refusal.reason,
            Reason::OutOfScope | Reason::TenantsMixed | Reason::AlreadyPending | Reason::NoApprover
        );
        !(words || (scope && any_scope))
    });
    let which_tenant_is_open = |drafted: &Elevation| {
        let asks = |stage: &crate::domain::policy::Stage| stage.by.contains(&crate::domain::policy::Approver::Tenant);
        any_scope && drafted.review.stages.iter().any(asks)
    };
    if let Some(drafted) = drafted.as_ref().filter(|it| obstacles.is_empty() && !which_tenant_is_open(it)) {
        obstacles.extend(has_approvers(state, drafted, now).err());
    }
    (drafted, obstacles)
}

/// What stands in the way of an account that would ask for an entitlement, whatever the scope: for the catalogue.
#[must_use]
pub fn standing_obstacles(
    state: &State,
    account: &AccountId,
    on_behalf_of: Option<&PersonId>,
    name: &EntitlementName,
    terms: &Terms,
    now: Now,
) -> Obstacles {
    if let Some(refusal) = not_told_of(&state.organisation, account, on_behalf_of, terms, now) {
        return vec![refusal];
    }
    let mut obstacles = who(state, account, on_behalf_of, terms, now);
    obstacles.extend(state.organisation.lock_on_offer(account, name).map(Lock::refusal));
    let on_behalf_of = on_behalf_of.filter(|_| asks_for_people(&state.organisation, account));
    obstacles.extend(author_waits(&state.organisation, account, on_behalf_of, name, now));
    obstacles.sort_by_key(|refusal| refusal.reason);
    obstacles
}

/// The one answer about whoever is named and is nothing for the machine to know of: nobody, and a customer who may not ask
/// for this. Nothing else is looked up of either, so that the two are alike in whatever is told besides (known failure A14).
fn not_told_of(
    organisation: &Organisation,
    account: &AccountId,
    on_behalf_of: Option<&PersonId>,
    terms: &Terms,
    now: Now,
) -> Option<Refusal> {
    let person = on_behalf_of.filter(|_| asks_for_people(organisation, account))?;
    let known = organisation.people().get(person);
    let hidden = known.is_none_or(|known| known.tenant.is_some())
        && organisation.person_may_request(person, terms, now.latest).is_err();
    hidden.then(|| Refusal::new(Reason::NotEligible, nobody_may_request(person)).with("person", person))
}

fn asks_for_people(organisation: &Organisation, account: &AccountId) -> bool {
    let kind = organisation.accounts().get(account).map(|account| &account.kind);
    matches!(kind, Some(AccountKind::Service { acts_for: ActsFor::People, .. }))
}

/// Whoever is behind a proposal that widened an entitlement asks for it only after a while (`AUTHOR_WAITS`).
fn author_waits(
    organisation: &Organisation,
    account: &AccountId,
    on_behalf_of: Option<&PersonId>,
    name: &EntitlementName,
    now: Now,
) -> Option<Refusal> {
    let behind = organisation.persons_behind(account, on_behalf_of);
    behind.iter().find_map(|person| organisation.author_waits(name, person, now.latest).err())
}

fn who(state: &State, account_id: &AccountId, on_behalf_of: Option<&PersonId>, terms: &Terms, now: Now) -> Obstacles {
    let mut obstacles = Vec::new();
    if now.suspect {
        obstacles.push(Refusal::new(Reason::ClockSuspect, ""));
    }
    let kind = state.organisation.accounts().get(account_id).map(|account| &account.kind);
    let named = match (kind, on_behalf_of) {
        (Some(AccountKind::Service { acts_for: ActsFor::People, .. }), None) => {
            obstacles.push(Refusal::new(Reason::OnBehalfRequired, ""));
            None
        }
        (Some(AccountKind::Service { acts_for: ActsFor::People, .. }), Some(person)) => Some(person),
        (_, Some(person)) => {
            obstacles.push(Refusal::new(Reason::OnBehalfForbidden, format!("`{person}` is named")));
            None
        }
        (_, None) => None,
    };
    obstacles
        .extend(state.organisation.requester_validity(account_id, named, terms, now.latest).err().unwrap_or_default());
    obstacles
}

fn what(
    organisation: &Organisation,
    account: &AccountId,
    on_behalf_of: Option<&PersonId>,
    terms: &Terms,
    scope: &Scope,
) -> Obstacles {
    let mut obstacles = Vec::new();
    let beyond = |what: &str| Refusal::new(Reason::OutOfScope, format!("`{what}` is not offered")).with("beyond", what);
    obstacles.extend(scope.actions().difference(terms.scope.actions()).map(|action| beyond(action.as_str())));
    // No message parses into a wildcard; the core refuses it all the same (known failure D5).
    let offered = |pattern: &&Pattern| {
        pattern.may_be_requested() && terms.scope.resources().iter().any(|ours| ours.contains(pattern))
    };
    // A customer asks for its own tenant's resources; another tenant's get the same answer as those of none.
    let meant = on_behalf_of.and_then(|person| organisation.tenant_of(person));
    let own = organisation.tenant_of_account(account).or(meant).map(TenantName::as_str);
    let reachable = |pattern: &&Pattern| match (own, pattern.tenant()) {
        (Some(own), tenant) => tenant == Some(own),
        (None, Some(tenant)) => organisation.tenants().contains_key(tenant),
        (None, None) => true,
    };
    let within = |pattern: &&Pattern| offered(pattern) && reachable(pattern);
    obstacles.extend(scope.resources().iter().filter(|p| !within(p)).map(|pattern| beyond(&pattern.to_string())));
    let tenants: BTreeSet<Option<&str>> = scope.resources().iter().map(Pattern::tenant).collect();
    if tenants.len() > 1 && tenants.iter().any(Option::is_some) {
        obstacles.push(Refusal::new(Reason::TenantsMixed, "resources of one tenant, or of none"));
    }
    obstacles
}

fn when(state: &State, elevation: &Elevation, terms: &Terms, way: Way<'_>, now: Now) -> Obstacles {
    let mut obstacles = Vec::new();
    if elevation.duration > way.max_duration || elevation.duration < SHORTEST_DURATION {
        let detail = format!("{} was asked for, of at most {}", elevation.duration, way.max_duration);
        obstacles.push(Refusal::new(Reason::DurationTooLong, detail).with("max_duration", way.max_duration));
    }
    if let Some(start) = elevation.start {
        let latest = terms.start_within.map(|within| now.stamp.plus(within));
        let detail = match latest {
            _ if elevation.emergency.is_some() => Some("an emergency starts when it is approved".to_owned()),
            // Scheduled, it could begin when what it follows is long over (known failure A19).
            _ if elevation.extends.is_some() => Some("an extension starts when it is approved".to_owned()),
            None => Some("it offers no start of one's own choice".to_owned()),
            Some(latest) if start > latest => Some(format!("{start} is later than {latest}")),
            Some(_) if elevation.window_end().is_over(now.latest) => Some(format!("{start} and the duration are past")),
            Some(_) => None,
        };
        obstacles.extend(detail.map(|detail| Refusal::new(Reason::StartNotAllowed, detail)));
    }
    let start = elevation.start.map_or(now.stamp, |asked| asked.max(now.stamp));
    let held = HeldIn { entitlement: &elevation.entitlement, tenant: elevation.tenant() };
    let holding = state.holding(&elevation.person, held, start, None);
    obstacles.extend(holding.and_then(|holding| held_too_long(terms, holding, start)));
    if let Some(id) = elevation.extends {
        let extended = state.grants.get(&id).filter(|grant| {
            grant.is_live(now.latest)
                && grant.holder == elevation.requester
                && grant.person == elevation.person
                && grant.entitlement == elevation.entitlement
                && grant.scope.tenant() == elevation.tenant()
        });
        if extended.is_none() {
            obstacles.push(Refusal::new(Reason::ExtensionInvalid, format!("`{id}`")).with("extends", id));
        }
    }
    obstacles
}

fn held_too_long(terms: &Terms, holding: Holding, start: Timestamp) -> Option<Refusal> {
    let Holding { since, until } = holding;
    let longest = terms.max_continuous.filter(|_| terms.continuous_end(since) <= start)?;
    let min_break = terms.min_break.unwrap_or_default();
    let again = until.plus(min_break);
    let detail = format!(
        "held since {since}, at most {longest} without a break of {min_break}: after {until} it may start again at {again}"
    );
    let refusal = Refusal::new(Reason::ContinuousTooLong, detail).with("max_continuous", longest);
    Some(refusal.with("min_break", min_break).with("from", again))
}

fn why(terms: &Terms, request: &RequestElevation) -> Obstacles {
    let mut obstacles = Vec::new();
    let of_emergencies = request.emergency.then_some(SHORTEST_REASON);
    if let Some(least) = terms.justification_min_length.max(of_emergencies) {
        let given = request.justification.trim().chars().count();
        if u32::try_from(given).unwrap_or(u32::MAX) < least {
            let detail = format!("{given} characters, of at least {least}");
            obstacles.push(Refusal::new(Reason::JustificationRequired, detail).with("min_length", least));
        }
    }
    if let Some(pattern) = &terms.ticket {
        let fits = request.ticket.as_ref().is_some_and(|ticket| pattern.matches(ticket));
        if !fits {
            let detail = format!("it must match `{}`", pattern.as_str());
            obstacles.push(Refusal::new(Reason::TicketRequired, detail).with("pattern", pattern.as_str()));
        }
    }
    obstacles
}

fn room(state: &State, elevation: &Elevation, now: Now) -> Obstacles {
    let mut obstacles = Vec::new();
    // By comparison, whatever the timer has recorded.
    let waits = |other: &&Elevation| other.person == elevation.person && !other.review.deadline.is_over(now.latest);
    let own = || state.pending_of(&elevation.person).filter(waits);
    let same = own().find(|other| other.entitlement == elevation.entitlement && other.scope == elevation.scope);
    if let Some(same) = same {
        let detail = format!("`{}`", same.id);
        obstacles.push(Refusal::new(Reason::AlreadyPending, detail).with("elevation", same.id));
    }
    let limit = state.organisation.policy().limits.pending_per_person;
    let pending = own().count();
    if u32::try_from(pending).unwrap_or(u32::MAX) >= limit {
        let detail = format!("`{}` has {pending} of at most {limit}", elevation.person);
        obstacles.push(Refusal::new(Reason::TooManyPending, detail).with("limit", limit));
    }
    obstacles.extend(has_room(state, elevation, now).err());
    obstacles
}

/// A request, with the records that it names.
struct Asked<'a> {
    account: &'a AccountId,
    own_person: &'a PersonId,
    request: &'a RequestElevation,
    entitlement: &'a Entitlement,
    way: Way<'a>,
}

fn compose(state: &State, asked: Asked<'_>, scope: Scope, id: ElevationId, now: Now) -> Elevation {
    let Asked { account, own_person, request, entitlement, way } = asked;
    let terms = &entitlement.terms;
    let mut elevation = Elevation {
        id,
        requested_at: now.stamp,
        requester: account.clone(),
        person: request.on_behalf_of.clone().unwrap_or_else(|| own_person.clone()),
        behind: state.organisation.persons_behind(account, request.on_behalf_of.as_ref()),
        call: Call::thought_through(state.sequence()),
        on_behalf_of: request.on_behalf_of.clone(),
        entitlement: request.entitlement.clone(),
        terms: entitlement.terms_digest,
        scope,
        duration: request.duration.unwrap_or(terms.default_duration.min(way.max_duration)),
        start: request.start,
        justification: request.justification.clone(),
        ticket: request.ticket.clone(),
        extends: request.extends,
        emergency: terms.emergency.as_ref().filter(|_| request.emergency).map(|emergency| Emergency {
            ordinary: terms.approval.clone(),
            follow_up_within: emergency.follow_up_within,
            follow_up: None,
        }),
        review: Review {
            stages: way.approval.to_vec(),
            text: String::new(),
            deadline: now.stamp.plus(terms.review_within),
            decisions: Vec::new(),
        },
        phase: Phase::Pending,
    };
    elevation.review.deadline = elevation.review.deadline.min(elevation.window_end());
    elevation.review.text = elevation.approval_text();
    elevation
}
