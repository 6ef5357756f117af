//! Issuing: from a complete review to the one grant of an elevation, and when that grant ends.

use super::eligibility::Validity;
use super::emergency::none_overdue;
use super::feed::silent_feed;
use super::identities::identities_stand;
use super::reviewers::can_be_completed;
use super::standing::separation_rule_4_requester;
use crate::domain::policy::Terms;
use crate::domain::record::elevation::Elevation;
use crate::domain::record::grant::{EndBecause, Grant, GrantPhase};
use crate::domain::state::{HeldIn, State};
use crate::domain::value::ids::GrantId;
use crate::domain::value::refusal::{Reason, Refusal};
use crate::domain::value::time::{Now, Span, Timestamp};

/// The grant that a complete review leads to. Separation rule 4: whoever asked is checked again, under the policy of this
/// moment. The counted approvers are checked again by the review, just before (known failures A10 and A11).
///
/// # Errors
/// What the requester, or the request, no longer fulfils.
pub fn issue(state: &State, elevation: &Elevation, id: GrantId, now: Now) -> Result<Grant, Refusal> {
    let organisation = &state.organisation;
    let entitlement = organisation.policy().entitlements.get(&elevation.entitlement);
    let Some(entitlement) = entitlement.filter(|entitlement| entitlement.terms_digest == elevation.terms) else {
        return Err(Refusal::new(Reason::DigestMismatch, "the entitlement's terms have changed since the request"));
    };
    let terms = &entitlement.terms;
    let validity = separation_rule_4_requester(organisation, elevation.held_by(), terms, now.latest)?;
    identities_stand(organisation, elevation)?;
    if !terms.scope.contains(&elevation.scope) {
        return Err(Refusal::new(Reason::OutOfScope, "policy no longer offers all of it"));
    }
    let (validity, through) = match organisation.best_role(&elevation.requester, terms, now.latest) {
        // It ends with the role that it is held in; one that a lock is on carries it no further.
        Ok((own, role)) => (validity.sooner(own), Some(role.clone())),
        Err(_) => (validity, None),
    };
    for person in &elevation.behind {
        organisation.author_waits(&elevation.entitlement, person, now.latest)?;
    }
    has_room(state, elevation, now)?;
    if elevation.emergency.is_some() {
        none_overdue(state, elevation, now.latest)?;
    }
    if let Some(refusal) = silent_feed(state, elevation.tenant(), now) {
        return Err(refusal);
    }
    let start = elevation.start.map_or(now.stamp, |asked| asked.max(now.stamp));
    let continuous_since = state.continuous_since(
        &elevation.person,
        HeldIn { entitlement: &elevation.entitlement, tenant: elevation.tenant() },
        start,
        None,
    );
    let (end, end_because) = end_of(elevation, terms, start, continuous_since, validity);
    if end.is_over(now.latest) || end <= start {
        let by_cap = end_because == EndBecause::LongestContinuous;
        let reason = if by_cap { Reason::ContinuousTooLong } else { Reason::NotPending };
        return Err(Refusal::new(reason, format!("it would have ended at {end}, before it started")));
    }
    // A start that only some clocks have reached waits for the tick, which goes by `earliest`.
    let starts_later = elevation.start.is_some_and(|asked| asked > now.earliest);
    Ok(Grant {
        id,
        elevation: elevation.id,
        holder: elevation.requester.clone(),
        person: elevation.person.clone(),
        behind: elevation.behind.clone(),
        on_behalf_of: elevation.on_behalf_of.clone(),
        entitlement: elevation.entitlement.clone(),
        through,
        terms: elevation.terms,
        scope: elevation.scope.clone(),
        start,
        end,
        end_because,
        continuous_since,
        emergency: elevation.emergency.is_some(),
        phase: if starts_later { GrantPhase::Scheduled } else { GrantPhase::Active },
    })
}

/// `min(start + duration, start + longest, all that it rests on)`, and which. A start that was asked for makes a window:
/// a late approval gets the rest of it.
fn end_of(
    elevation: &Elevation,
    terms: &Terms,
    start: Timestamp,
    continuous_since: Timestamp,
    validity: Validity,
) -> (Timestamp, EndBecause) {
    let window_start = elevation.start.unwrap_or(start);
    let longest = terms.way(elevation.emergency.is_some()).map_or(Span::ZERO, |way| way.max_duration);
    let continuous = terms.continuous_end(continuous_since);
    let ends = [
        (window_start.plus(elevation.duration), EndBecause::Duration),
        (start.plus(longest), EndBecause::LongestDuration),
        (continuous, EndBecause::LongestContinuous),
        (validity.until, validity.because),
    ];
    // Of several equal ends the first is the one recorded.
    let first = ends.into_iter().reduce(|a, b| if b.0 < a.0 { b } else { a });
    first.unwrap_or((start, EndBecause::Duration))
}

/// Whether the person may hold one more grant.
///
/// # Errors
/// `TOO_MANY_GRANTS`.
pub fn has_room(state: &State, elevation: &Elevation, now: Now) -> Result<(), Refusal> {
    let limit = state.organisation.policy().limits.live_grants_per_person;
    let open = state.open_grants_of(&elevation.person);
    // A grant that is over does not count, whatever the timer has recorded.
    let held = open.filter(|grant| grant.person == elevation.person && !grant.end.is_over(now.latest)).count();
    if u32::try_from(held).unwrap_or(u32::MAX) >= limit {
        let detail = format!("`{}` has {held} of at most {limit}", elevation.person);
        return Err(Refusal::new(Reason::TooManyGrants, detail).with("limit", limit));
    }
    Ok(())
}

/// Whether distinct eligible persons could fill every stage.
///
/// # Errors
/// `NO_APPROVER`.
pub fn has_approvers(state: &State, elevation: &Elevation, now: Now) -> Result<(), Refusal> {
    if can_be_completed(&state.organisation, elevation, now.latest) {
        return Ok(());
    }
    let stages: Vec<String> = elevation
        .review
        .stages
        .iter()
        .map(|stage| {
            let by: Vec<String> = stage.by.iter().map(ToString::to_string).collect();
            format!("{} of {}", stage.count, by.join(" or "))
        })
        .collect();
    let detail = format!("the stages ask for {}", stages.join(", then "));
    Err(Refusal::new(Reason::NoApprover, detail).with("entitlement", &elevation.entitlement))
}
