//! `decide`: from a state and a command to events, or to a refusal. Reads its arguments and nothing else.

mod accounts;
pub mod amount;
mod attestations;
mod caller;
mod campaigns;
mod elevations;
mod enrolments;
mod feed;
mod grants;
mod locks;
pub mod loss;
mod numbering;
mod open_grant;
mod own_lock;
mod proposals;
pub mod refused;
mod review;
pub mod tick;
mod tokens;
mod waiting;

use caller::{Caller, usable_account};
use numbering::events;

use super::effect::overlay::Overlay;
use super::record::command::{Command, Envelope};
use super::record::event::{Actor, Event, Fact, RequestMark};
use super::rule::visibility::{Viewer, as_told, viewer};
use super::state::State;
use super::state::apply::{apply, bind};
use super::value::ids::Principal;
use super::value::refusal::{Reason, Refusal};

pub use proposals::{Files, could_approve as could_approve_proposal, events_of_approval, first_events, initialise};

/// What a command leads to.
#[derive(Debug, Clone)]
pub struct Decided {
    /// In order; none if the same command took effect before under its `request_id`.
    pub events: Vec<Event>,
    /// The state after them, where the decision made it already.
    after: Option<State>,
}

impl Decided {
    /// Applies the events to the state that the decision was made on.
    pub fn take_effect(self, state: &mut State) -> Vec<Event> {
        match self.after {
            Some(after) => *state = after,
            None => self.events.iter().for_each(|event| apply(state, event)),
        }
        self.events
    }
}

/// What a command leads to: its events in order; none if the same command took effect before under its `request_id`.
///
/// # Errors
/// The first thing that stands in the way.
pub fn decide(state: &State, envelope: &Envelope) -> Result<Vec<Event>, Refusal> {
    decide_all(state, envelope).map(|decided| decided.events)
}

/// The same, for whoever applies it: a decision on many changes has already built the state after them, and keeps it.
///
/// # Errors
/// The first thing that stands in the way.
pub fn decide_all(state: &State, envelope: &Envelope) -> Result<Decided, Refusal> {
    decided(state, envelope).map_err(|refusal| match viewer(&state.organisation, &envelope.caller.identity) {
        Ok(Viewer { principal: Principal::Account(id), .. }) => as_told(&state.organisation, &id, refusal),
        _ => refusal,
    })
}

fn decided(state: &State, envelope: &Envelope) -> Result<Decided, Refusal> {
    if envelope.now.suspect && envelope.command.takes_away() && envelope.now != envelope.now.without_leap() {
        return decided(state, &Envelope { now: envelope.now.without_leap(), ..envelope.clone() });
    }
    let digest = envelope.command.digest();
    // Before anything about the account: the command may have closed it.
    if state.bound_before(&envelope.caller.identity, envelope.request_id).is_some_and(|it| it.command == digest) {
        return Ok(Decided { events: Vec::new(), after: None });
    }
    let viewer = viewer(&state.organisation, &envelope.caller.identity)?;
    if envelope.command.needs_account() {
        usable_account(state, &viewer, envelope.now)?;
    }
    locks::free(&state.organisation, &viewer, &envelope.command)?;
    if let Some(bound) = state.bound(&viewer.principal, envelope.request_id) {
        return if bound.command == digest {
            Ok(Decided { events: Vec::new(), after: None })
        } else {
            Err(Refusal::new(Reason::RequestIdReused, format!("`{}`", envelope.request_id)))
        };
    }
    if envelope.now.suspect && !envelope.command.takes_away() {
        return Err(Refusal::new(Reason::ClockSuspect, ""));
    }
    let Change { facts, mut after } = change(state, &viewer, envelope)?;
    let mark = RequestMark { id: envelope.request_id, command: digest };
    let mut events = events(state, envelope.now.stamp, &Actor::Caller(viewer.principal), Some(mark), facts);
    if let Some(first) = events.first_mut() {
        // Here and not by each family, so that no command can be forgotten.
        first.from = Some(Box::new(envelope.caller.clone()));
        if let Some(after) = &mut after {
            bind(after, first);
        }
    }
    Ok(Decided { events, after })
}

/// What a command changes.
struct Change {
    facts: Vec<Fact>,
    /// The state that it leads to, where the decision made it already: what may change thousands of people at once.
    after: Option<State>,
}

impl From<Vec<Fact>> for Change {
    fn from(facts: Vec<Fact>) -> Self {
        Self { facts, after: None }
    }
}

impl From<Overlay> for Change {
    fn from(overlay: Overlay) -> Self {
        let (facts, after) = overlay.into_parts();
        Self { facts, after: Some(after) }
    }
}

/// Each family of commands decides its own.
fn change(state: &State, viewer: &Viewer, envelope: &Envelope) -> Result<Change, Refusal> {
    let account = || Caller::of(state, viewer, envelope);
    match &envelope.command {
        Command::Elevation(command) => elevations::decide(state, &account()?, command, envelope).map(Change::from),
        Command::Grant(command) => grants::decide(state, &account()?, command, envelope).map(Change::from),
        Command::Enrolment(command) => enrolments::decide(state, viewer, command, envelope).map(Change::from),
        Command::Attestation(command) => attestations::decide(state, &account()?, command, envelope).map(Change::from),
        Command::Account(command) => accounts::decide(state, &account()?, command, envelope).map(Change::from),
        Command::Feed(command) => feed::decide(state, &account()?, command, envelope).map(Change::from),
        Command::Campaign(command) => campaigns::decide(state, &account()?, command, envelope).map(Change::from),
        Command::Lock(command) => locks::decide(state, &account()?, command, envelope).map(Change::from),
        Command::Proposal(command) => proposals::decide(state, &account()?, command, envelope).map(Change::from),
    }
}
