//! What a filter of events means, once names are looked up: a thing by an ending of its id, and what a person did by the accounts
//! that were theirs. Only what the caller may see is found.

use tonic::Status;

use super::wanted::{Acting, Meant, STEP_ROWS, audits_all, narrowed, rows};
use crate::domain::directory::Account;
use crate::domain::record::event::{Actor, Fact, OrganisationFact, Subject};
use crate::domain::rule::visibility::{Thing, may_see};
use crate::domain::state::State;
use crate::domain::value::ids::{AccountId, PersonId, Principal};
use crate::domain::value::refusal::Refusal;
use crate::engine::{History, HistoryError};
use crate::journal::index::{Filter, Page};
use crate::server::caller::{Broker, VerifiedCaller};
use crate::server::service::method::past;
use crate::wire::event_filter::{About, Called, Caused, EventFilter};

/// So many candidates are listed to whoever means one of several.
const MOST_CANDIDATES: usize = 20;

/// What a list's filter means.
pub(super) async fn meant(broker: &Broker, caller: &VerifiedCaller, filter: &EventFilter) -> Result<Meant, Status> {
    let about = about(broker, caller, filter.about.as_ref()).await?;
    let actors = match &filter.actor {
        None => None,
        Some(Caused::By(actor)) => Some(vec![Acting::always(actor.clone())]),
        Some(Caused::Person(person)) => {
            let person = person.clone();
            Some(past::in_turn(broker, caller, move |history| acts_of(history, &person)).await?)
        }
    };
    if let Some(About::Whole(text)) = &filter.about
        && let Some((kind, name)) = text.split_once(':')
        && !matches!(kind, "tenant" | "stream")
        && !is_known(broker, caller, text).await?
    {
        return Err(Refusal::not_found(kind, name).into());
    }
    if let Some(actor) = &filter.actor {
        did_or_is(broker, caller, actor, actors.as_ref()).await?;
    }
    let EventFilter { kind, from, until, .. } = filter.clone();
    Ok(Meant { actors, kind, about, from, until })
}

/// Refuses somebody of whom the caller sees nothing: neither themselves, nor an event of theirs or about them. It is one answer
/// for nobody and for whom the caller may not see; who has left is still found.
async fn did_or_is(
    broker: &Broker,
    caller: &VerifiedCaller,
    actor: &Caused,
    acts: Option<&Vec<Acting>>,
) -> Result<(), Status> {
    let subject = match actor {
        Caused::By(text) => text.clone(),
        Caused::Person(person) => Subject::Person(person.clone()).to_string(),
    };
    // The broker and the operator are always there.
    let Some((kind, name)) = subject.split_once(':') else { return Ok(()) };
    let by = Meant { actors: acts.cloned(), ..Meant::default() };
    if is_known(broker, caller, &subject).await? || sees(broker, caller, &by).await? {
        return Ok(());
    }
    Err(Refusal::not_found(kind, name).into())
}

/// Whether the caller sees what is called so, as things are, or some event about it.
async fn is_known(broker: &Broker, caller: &VerifiedCaller, subject: &str) -> Result<bool, Status> {
    let is_there = broker.read(caller, |state, viewer, now| {
        let organisation = state.organisation();
        let account = subject.strip_prefix("account:").and_then(|id| id.parse::<AccountId>().ok());
        let account = account.filter(|id| organisation.accounts().contains_key(id));
        let person = subject.strip_prefix("person:").and_then(|id| id.parse::<PersonId>().ok());
        let person = person.filter(|id| organisation.people().contains_key(id));
        let is_own = viewer.principal.to_string() == subject || (person.is_some() && viewer.person == person);
        Ok(is_own
            || account.is_some_and(|id| may_see(state, viewer, Thing::Account(&id), now))
            || person.is_some_and(|id| may_see(state, viewer, Thing::Person(&id), now)))
    })?;
    Ok(is_there || sees_about(broker, caller, subject).await?)
}

/// Whether somebody is meant by a filter, as things are: of events that have just happened.
pub(super) fn is_by_now(state: &State, meant: Option<&Caused>, actor: &Actor) -> bool {
    let of_person = |person: &PersonId| match actor {
        Actor::Caller(Principal::Person(id)) => id == person,
        Actor::Caller(Principal::Account(id)) => {
            state.organisation().accounts().get(id).is_some_and(|account| is_persons(account, person))
        }
        Actor::Broker | Actor::Operator => false,
    };
    match meant {
        None => true,
        Some(Caused::By(text)) => actor.to_string() == *text,
        Some(Caused::Person(person)) => of_person(person),
    }
}

/// A machine acts for itself, whoever owns it.
fn is_persons(account: &Account, person: &PersonId) -> bool {
    !account.is_machine() && account.person() == person
}

/// A person as themselves, and each account while it was theirs.
fn acts_of(history: &History, person: &PersonId) -> Result<Vec<Acting>, HistoryError> {
    let recorded = |subject: Subject| {
        all(
            history,
            &Filter {
                kind: Some("account-recorded".to_owned()),
                about: Some(subject.to_string()),
                ..Filter::default()
            },
        )
    };
    let own = recorded(Subject::Person(person.clone()))?;
    let ids: std::collections::BTreeSet<AccountId> =
        own.into_iter().filter(|(_, _, account)| is_persons(account, person)).map(|(_, id, _)| id).collect();
    let mut acts = vec![Acting::always(Principal::Person(person.clone()).to_string())];
    for id in ids {
        let turns = recorded(Subject::Account(id.clone()))?;
        let turns = turns.iter().map(|(at, _, account)| (*at, is_persons(account, person))).collect();
        acts.push(Acting { actor: Principal::Account(id).to_string(), turns: Some(turns) });
    }
    Ok(acts)
}

/// Every record of an account that meets a filter, with its sequence.
fn all(history: &History, filter: &Filter) -> Result<Vec<(u64, AccountId, Account)>, HistoryError> {
    let (mut found, mut after) = (Vec::new(), None);
    loop {
        let past = history.list(filter, Page { after, limit: STEP_ROWS, newest_first: false })?;
        let Some(last) = past.events.last() else { return Ok(found) };
        after = Some(last.sequence);
        found.extend(past.events.into_iter().filter_map(|event| {
            let Fact::Organisation(OrganisationFact::AccountRecorded(it)) = event.fact else { return None };
            Some((event.sequence, it.id, it.account))
        }));
    }
}

/// What events are to be about, in full.
///
/// # Errors
/// If nothing that the caller may see is called so, or several things are.
pub(super) async fn about(
    broker: &Broker,
    caller: &VerifiedCaller,
    about: Option<&About>,
) -> Result<Option<String>, Status> {
    let called = match about {
        None => return Ok(None),
        Some(About::Whole(text)) => return Ok(Some(text.clone())),
        Some(About::Called(called)) => called.clone(),
    };
    let Called { whole, ending, .. } = called.clone();
    let subjects = past::in_turn(broker, caller, move |history| history.subjects(&whole, ending.as_ref())).await?;
    let mut found = Vec::new();
    for subject in subjects {
        if found.len() <= MOST_CANDIDATES && sees_about(broker, caller, &subject).await? {
            found.push(subject);
        }
    }
    match found.as_slice() {
        [] => Err(Refusal::not_found("thing", &called.text).into()),
        [one] => Ok(Some(one.clone())),
        several => {
            let listed = several.get(..MOST_CANDIDATES).unwrap_or(several);
            Err(called.ambiguous(listed, several.len() > listed.len()).into())
        }
    }
}

/// Whether a caller may see some event about this.
async fn sees_about(broker: &Broker, caller: &VerifiedCaller, subject: &str) -> Result<bool, Status> {
    sees(broker, caller, &Meant { about: Some(subject.to_owned()), ..Meant::default() }).await
}

/// Whether a caller may see some event that is meant.
async fn sees(broker: &Broker, caller: &VerifiedCaller, meant: &Meant) -> Result<bool, Status> {
    let (filters, audits_all) = broker
        .read(caller, |state, viewer, now| Ok((narrowed(state, viewer, meant, now), audits_all(state, viewer, now))))?;
    let mut after = None;
    loop {
        let (filters, from) = (filters.clone(), after);
        let found = past::in_turn(broker, caller, move |history| rows(history, &filters, from, false)).await?;
        let Some((last, _)) = found.last_key_value() else { return Ok(false) };
        let (last, complete) = (*last, found.len() < STEP_ROWS);
        let visible = broker.read(caller, |state, viewer, now| {
            let sees = |it| audits_all || may_see(state, viewer, Thing::Event(it), now);
            Ok(found.iter().any(|(at, (it, ..))| meant.is_by(&it.actor, *at) && sees(it)))
        })?;
        if visible || complete {
            return Ok(visible);
        }
        after = Some(last);
    }
}
