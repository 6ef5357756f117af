//! From what the caller asks for to the enrolment, with all that stands in its way.

use std::collections::BTreeSet;

use super::{REVIEW_WITHIN, restorable, stages, standing_in_the_way, switched_on, terms};
use crate::domain::directory::{Account, AccountState};
use crate::domain::record::called_from::Call;
use crate::domain::record::command::{EnrolmentAsk, RequestEnrolment};
use crate::domain::record::enrolment::{Ask, Enrolment};
use crate::domain::record::review::Phase;
use crate::domain::record::review::Review;
use crate::domain::rule::eligibility::Obstacles;
use crate::domain::rule::reviewers::can_be_completed;
use crate::domain::rule::visibility::Viewer;
use crate::domain::state::State;
use crate::domain::state::organisation::Organisation;
use crate::domain::value::ids::{AccountId, EnrolmentId, PersonId, Principal};
use crate::domain::value::refusal::{Reason, Refusal};
use crate::domain::value::time::{Now, Timestamp};

/// The enrolment that a request makes, and all that stands in its way. There is no enrolment if it cannot be resolved
/// whose it would be.
#[must_use]
pub fn draft_enrolment(
    state: &State,
    viewer: &Viewer,
    request: &RequestEnrolment,
    id: EnrolmentId,
    now: Now,
) -> (Option<Enrolment>, Obstacles) {
    let organisation = &state.organisation;
    // Before anything is looked up, so that a customer finds out nothing by naming it.
    let asks = viewer.person.as_ref().and_then(|person| organisation.tenant_of(person).map(|tenant| (person, tenant)));
    if let Some((person, tenant)) = asks {
        let refusal = Refusal::new(Reason::TenantProvisions, format!("`{person}`, of tenant `{tenant}`"));
        return (None, vec![refusal.with("person", person)]);
    }
    let (ask, person, mut behind) = match resolved(organisation, viewer, &request.ask, now) {
        Ok(resolved) => resolved,
        Err(refusal) => return (None, vec![refusal]),
    };
    behind.extend(viewer.person.clone());
    behind.insert(person.clone());
    let stages = stages(organisation, &ask, &person, &behind, now.latest);
    let mut enrolment = Enrolment {
        id,
        requested_at: now.stamp,
        requester: viewer.principal.clone(),
        terms: terms(organisation, &ask, &stages),
        manager: organisation.manager_of(&person, now.latest).cloned(),
        person,
        behind,
        call: Call::thought_through(state.sequence()),
        ask,
        justification: request.justification.clone(),
        review: Review { stages, text: String::new(), deadline: now.stamp.plus(REVIEW_WITHIN), decisions: Vec::new() },
        phase: Phase::Pending,
    };
    enrolment.review.text = enrolment.approval_text(&switched_on(organisation, &enrolment.ask));
    let mut obstacles = Vec::new();
    if now.suspect {
        obstacles.push(Refusal::new(Reason::ClockSuspect, ""));
    }
    obstacles.extend(standing_in_the_way(organisation, &enrolment, now));
    if obstacles.is_empty() {
        // Who could approve is disclosed only to a caller with no other obstacle.
        obstacles.extend(has_approvers(organisation, &enrolment, now.latest).err());
    }
    obstacles.extend(room(state, &enrolment, now));
    obstacles.sort_by_key(|refusal| refusal.reason);
    (Some(enrolment), obstacles)
}

/// What exactly is asked for, for whom, and who else is behind it.
fn resolved(
    organisation: &Organisation,
    viewer: &Viewer,
    ask: &EnrolmentAsk,
    now: Now,
) -> Result<(Ask, PersonId, BTreeSet<PersonId>), Refusal> {
    let Some(person) = viewer.person.clone() else {
        return Err(Refusal::new(Reason::NotOwner, "a machine asks for no place; its owner does"));
    };
    let only = |ask: Ask| Ok((ask, person.clone(), BTreeSet::new()));
    match ask {
        EnrolmentAsk::Account { account } => {
            if let Principal::Account(own) = &viewer.principal {
                return Err(Refusal::new(Reason::AlreadyThere, format!("the account `{own}`")).with("account", own));
            }
            let account = account.clone().map_or_else(|| free_id(organisation, &person), Ok)?;
            only(Ask::Account { account })
        }
        EnrolmentAsk::Role { account, role, until } => {
            only(Ask::Role { account: own(organisation, viewer, account.as_ref())?, role: role.clone(), until: *until })
        }
        EnrolmentAsk::Keep { account, role } => {
            only(Ask::Keep { account: own(organisation, viewer, account.as_ref())?, role: role.clone() })
        }
        EnrolmentAsk::Restore { account } => {
            let account = own(organisation, viewer, account.as_ref())?;
            let roles = organisation.accounts.get(&account).map(|it| restorable(organisation, it, now));
            only(Ask::Restore { account, roles: roles.unwrap_or_default() })
        }
        EnrolmentAsk::Machine(machine) => {
            viewer.account()?;
            only(Ask::Machine(machine.clone()))
        }
        EnrolmentAsk::TakeOver { account } => {
            viewer.account()?;
            // The owner before is behind it as well: neither of the two decides that it changes hands.
            let open = |it: &&Account| it.is_machine() && it.state != AccountState::Closed;
            let machine = organisation.accounts.get(account).filter(open);
            let Some(machine) = machine else { return Err(Refusal::not_found("service account", account)) };
            Ok((Ask::TakeOver { account: account.clone() }, person, BTreeSet::from([machine.person().clone()])))
        }
    }
}

/// The caller's own account, or a machine that they own. Any other is refused as if it did not exist.
fn own(organisation: &Organisation, viewer: &Viewer, named: Option<&AccountId>) -> Result<AccountId, Refusal> {
    let Some(id) = named else { return viewer.account().cloned() };
    let account = organisation.accounts.get(id);
    if account.is_some_and(|account| viewer.person.as_ref() == Some(account.person())) {
        return Ok(id.clone());
    }
    Err(match account {
        Some(_) => Refusal::hidden("account", id, Reason::NotOwner),
        None => Refusal::not_found("account", id),
    })
}

/// The person's id, or the first free one made of it: ids of accounts are never given to others.
fn free_id(organisation: &Organisation, person: &PersonId) -> Result<AccountId, Refusal> {
    let numbered = (2_u32..).map(|number| format!("{person}-{number}"));
    let mut ids = [person.to_string()].into_iter().chain(numbered).map_while(|name| name.parse::<AccountId>().ok());
    // A long id leaves no room for a number.
    let taken = || Refusal::new(Reason::AlreadyThere, format!("the account `{person}`; name another id"));
    ids.find(|id| !organisation.accounts.contains_key(id)).ok_or_else(taken)
}

/// # Errors
/// `NO_APPROVER`.
fn has_approvers(organisation: &Organisation, enrolment: &Enrolment, at: Timestamp) -> Result<(), Refusal> {
    if can_be_completed(organisation, enrolment, at) {
        return Ok(());
    }
    let stages = enrolment.review.stages.iter().map(|stage| {
        let by: Vec<String> = stage.by.iter().map(ToString::to_string).collect();
        format!("{} of {}", stage.count, by.join(" or "))
    });
    let manager = match &enrolment.manager {
        Some(manager) => format!("the manager of record is `{manager}`"),
        None => "there is no manager of record".to_owned(),
    };
    let detail = format!("the stages ask for {}; {manager}", stages.collect::<Vec<_>>().join(", then "));
    Err(Refusal::new(Reason::NoApprover, detail).with("person", &enrolment.person))
}

/// A person has one pending enrolment of a kind for an account and role, and no more in all than the limit.
fn room(state: &State, enrolment: &Enrolment, now: Now) -> Option<Refusal> {
    let open = |other: &&Enrolment| !other.review.deadline.is_over(now.latest);
    let of_person = state.pending_enrolments_of.of(&enrolment.person).filter_map(|id| state.enrolments.get(id));
    let of_person: Vec<&Enrolment> = of_person.filter(open).filter(|other| other.person == enrolment.person).collect();
    let same = of_person.iter().find(|other| {
        let place = match (&enrolment.ask, &other.ask) {
            (Ask::Account { .. }, Ask::Account { .. }) => true,
            (Ask::Role { role: one, .. }, Ask::Role { role: another, .. })
            | (Ask::Keep { role: one, .. }, Ask::Keep { role: another, .. }) => one == another,
            (one, another) => one.name() == another.name(),
        };
        let account = matches!(enrolment.ask, Ask::Account { .. }) || other.ask.account() == enrolment.ask.account();
        place && account
    });
    if let Some(other) = same {
        return Some(Refusal::new(Reason::AlreadyPending, format!("`{}`", other.id)).with("enrolment", other.id));
    }
    let limit = state.organisation.policy.limits.pending_per_person;
    if u32::try_from(of_person.len()).unwrap_or(u32::MAX) >= limit {
        let detail = format!("`{}` has {} of at most {limit}", enrolment.person, of_person.len());
        return Some(Refusal::new(Reason::TooManyPending, detail).with("limit", limit));
    }
    None
}
