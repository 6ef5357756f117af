//! A change: carried out, or with `validate_only` only thought through, and what it takes away and gives. One function
//! describes both, from the state before and the events.

use tonic::Status;

use super::past;
use super::work::on_a_thread;
use crate::domain::decide::events_of_approval;
use crate::domain::record::command::Command;
use crate::domain::record::event::{Event, Fact, OrganisationFact, ProposalFact, Subject};
use crate::domain::rule::proposal::rights::{RightsChange, difference};
use crate::domain::state::State;
use crate::domain::state::apply::apply;
use crate::domain::value::ids::RequestId;
use crate::domain::value::refusal::{Reason, Refusal};
use crate::domain::value::time::Now;
use crate::engine::{Done, Engine, is_of_same_command};
use crate::server::caller::{Broker, VerifiedCaller};
use crate::server::service::proposals::examine::proposed_by;
use crate::wire::commands::{Change, Mutation};
use crate::wire::effects::effects;
use crate::wire::v1 as pb;

/// What a change came to.
pub(crate) struct Changed {
    /// Of its first event; of a dry run that of the state it was decided on. As the caller is told it.
    pub(crate) sequence: String,
    /// What it is about.
    pub(crate) about: Option<Subject>,
    /// What was done; none: it was thought through.
    pub(crate) done: Option<Done>,
    pub(crate) effects: pb::Effects,
    /// Its events, in order; of a dry run those that it would make.
    pub(crate) events: Vec<Event>,
    /// Of a proposed file, who gains and loses what.
    pub(crate) rights: Vec<RightsChange>,
}

/// Carries a change out, or thinks it through.
pub(crate) async fn carry_out(broker: &Broker, caller: &VerifiedCaller, change: Change) -> Result<Changed, Status> {
    let tried = match change {
        Change::Dry(command) => think_through(broker, &broker.with_place(caller.clone())?, command).await,
        Change::ForReal(Mutation { request_id, command }) => attempt(broker, caller, request_id, command).await,
    };
    tried?.map_err(|refusal| broker.counted(refusal))
}

/// What a command would do, or why it would be refused.
pub(crate) async fn think_through(
    broker: &Broker,
    caller: &VerifiedCaller,
    command: Command,
) -> Result<Result<Changed, Refusal>, Status> {
    let (events, before) = match broker.engine.preview_on_state(&caller.from, command).await {
        Ok(previewed) => previewed,
        Err(refusal) => return Ok(Err(refusal)),
    };
    let sequence = caller.sequence_text(before.sequence());
    let about = events.first().and_then(|first| first.fact.about().into_iter().next());
    let (events, effects, rights) = consequences(caller, Some(before), events).await?;
    Ok(Ok(Changed { sequence, about, done: None, effects, events, rights }))
}

/// Does it, or says why not.
pub(crate) async fn attempt(
    broker: &Broker,
    caller: &VerifiedCaller,
    request_id: RequestId,
    command: Command,
) -> Result<Result<Changed, Refusal>, Status> {
    // A copy that shares all that does not change.
    let before = broker.engine.read(State::clone);
    let done = match broker.carry_out(caller, Mutation { request_id, command }).await {
        Ok(done) => done,
        Err(refusal) => return Ok(Err(refusal)),
    };
    let (before, events) = events_of(&broker.engine, &done, before).await.map_err(past::untold)?;
    let (events, effects, rights) = consequences(caller, before, events).await.map_err(past::untold)?;
    let sequence = caller.sequence_text(done.sequence);
    Ok(Ok(Changed { sequence, about: done.about.clone(), done: Some(done), effects, events, rights }))
}

/// Of a file that comes into force, who gains and loses what.
fn rights(before: &State, events: &[Event]) -> Vec<RightsChange> {
    let is_loading = |event: &Event| {
        matches!(
            event.fact,
            Fact::Organisation(OrganisationFact::PolicyLoaded(_))
                | Fact::Organisation(OrganisationFact::DirectoryLoaded(_))
        )
    };
    let Some(loading) = events.iter().find(|event| is_loading(event)) else { return Vec::new() };
    let mut after = before.clone();
    events.iter().for_each(|event| apply(&mut after, event));
    difference(before.organisation(), after.organisation(), loading.at)
}

/// Of a proposal that was made, the events that its approval would bring.
fn would_follow(before: &State, events: &[Event]) -> Option<Vec<Event>> {
    let Fact::Proposal(ProposalFact::Made(proposal)) = &events.first()?.fact else { return None };
    let (_, text) = proposed_by(events)?;
    events_of_approval(before, proposal, &text, Now::exactly(proposal.requested_at)).ok()
}

/// The events again, with what they take away and give. On a thread for long work: a whole file of people makes very many
/// events.
async fn consequences(
    caller: &VerifiedCaller,
    before: Option<State>,
    events: Vec<Event>,
) -> Result<(Vec<Event>, pb::Effects, Vec<RightsChange>), Status> {
    let found = on_a_thread(caller, move || {
        // The effects of a proposal are those that its approval would have.
        let outcome = before.as_ref().and_then(|before| would_follow(before, &events));
        let leading = outcome.as_ref().unwrap_or(&events);
        let effects = effects(before.as_ref(), leading);
        let rights = before.map(|before| rights(&before, leading)).unwrap_or_default();
        (events, effects, rights)
    });
    found.await.map_err(|error| {
        tracing::error!(%error, "the effects could not be told");
        Refusal::new(Reason::Overloaded, "what it takes away cannot be told now").into()
    })
}

/// The events of a command that was carried out, with the state right before them: the copy, brought up to there. Of a
/// repetition, or of what the feed no longer holds, both from the journal: a repetition tells what the first did (known
/// failure A18).
async fn events_of(engine: &Engine, done: &Done, copy: State) -> Result<(Option<State>, Vec<Event>), Status> {
    let followed = if done.repeated { None } else { from_the_feed(engine, done, copy).await };
    let (before, events) = match followed {
        Some(followed) => followed,
        None => past::led_to(engine, done.sequence).await?,
    };
    Ok((Some(before), events))
}

async fn from_the_feed(engine: &Engine, done: &Done, mut before: State) -> Option<(State, Vec<Event>)> {
    let mut events: Vec<Event> = Vec::new();
    let newest = engine.sequence();
    let mut follower = engine.follow(before.sequence()).ok()?;
    while follower.place() < newest {
        let event = follower.next().await.ok()?;
        if event.sequence < done.sequence {
            apply(&mut before, &event);
        } else if events.first().is_none_or(|first| is_of_same_command(first, &event)) {
            events.push((*event).clone());
        } else {
            break;
        }
    }
    Some((before, events))
}
