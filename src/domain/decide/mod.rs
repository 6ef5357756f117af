//! `decide`: from a state and a command to what happens, or to why not. Reads its arguments and nothing else.

mod accounts;
mod attestations;
mod caller;
mod campaigns;
mod enrolments;
mod feed;
mod grants;
mod locks;
mod numbering;
mod proposals;
pub mod refused;
mod requests;
mod reviews;
pub mod tick;
mod tokens;

use caller::{Caller, usable_account};
use numbering::events;

use super::effect::overlay::Overlay;
use super::record::command::{Command, Envelope};
use super::record::event::{Actor, Event, Fact, RequestMark};
use super::record::hr::HrEvent;
use super::rule::visibility::{Viewer, as_told, viewer};
use super::state::State;
use super::state::apply::{apply, bind};
use super::value::ids::Principal;
use super::value::refusal::{Reason, Refusal};

pub use proposals::{Files, brings, could_approve as could_approve_proposal, initialise};

/// What a command leads to.
#[derive(Debug, Clone)]
pub struct Decided {
    /// In order; none if the same command took effect before under its `request_id`.
    pub events: Vec<Event>,
    /// The state after them, where the decision made it already.
    after: Option<State>,
}

impl Decided {
    /// Brings the state that the decision was made on to where the events lead.
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

/// The same, for whoever lets it take effect: many changes at once have made the state that they lead to.
///
/// # Errors
/// The first thing that stands in the way.
pub fn decide_all(state: &State, envelope: &Envelope) -> Result<Decided, Refusal> {
    decided(state, envelope).map_err(|refusal| match viewer(&state.organisation, &envelope.caller) {
        Ok(Viewer { principal: Principal::Account(id), .. }) => as_told(&state.organisation, &id, refusal),
        _ => refusal,
    })
}

fn decided(state: &State, envelope: &Envelope) -> Result<Decided, Refusal> {
    if envelope.now.suspect && envelope.command.takes_away() && envelope.now != envelope.now.without_leap() {
        return decided(state, &Envelope { now: envelope.now.without_leap(), ..envelope.clone() });
    }
    let viewer = viewer(&state.organisation, &envelope.caller)?;
    // Whoever is known may ask for a place, with an account or without.
    let account = match &envelope.command {
        Command::RequestEnrolment(_) | Command::WithdrawEnrolment { .. } => None,
        _ => Some(usable_account(state, &viewer, envelope.now)?.clone()),
    };
    locks::free(&state.organisation, &viewer, &envelope.command)?;
    let digest = envelope.command.digest();
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
    let (facts, mut after) = match (&envelope.command, &account) {
        (Command::RequestEnrolment(request), _) => (enrolments::request(state, &viewer, request, envelope)?, None),
        (Command::WithdrawEnrolment { enrolment, reason }, _) => {
            (enrolments::withdraw(state, &viewer, *enrolment, reason, envelope.now)?, None)
        }
        (_, Some(account)) => {
            let caller = Caller { viewer: &viewer, account };
            match of_many(state, &caller, envelope) {
                Some(overlay) => {
                    let (facts, after) = overlay?.into_parts();
                    (facts, Some(after))
                }
                None => (by_account(state, &caller, envelope)?, None),
            }
        }
        (_, None) => return Err(Refusal::new(Reason::NoAccount, "")),
    };
    let mark = RequestMark { id: envelope.request_id, command: digest };
    let events = events(state, envelope.now.stamp, &Actor::Caller(viewer.principal), Some(mark), facts);
    if let (Some(after), Some(first)) = (&mut after, events.first()) {
        bind(after, first);
    }
    Ok(Decided { events, after })
}

/// What may change thousands of people at once.
fn of_many(state: &State, caller: &Caller<'_>, envelope: &Envelope) -> Option<Result<Overlay, Refusal>> {
    let now = envelope.now;
    match &envelope.command {
        Command::ApplyHrEvents { place, events } => {
            let events: Vec<HrEvent> = events.iter().map(|event| event.said_at(now.stamp)).collect();
            Some(feed::apply_events(state, caller, place.as_ref(), &events, envelope))
        }
        Command::ImportPeople { place, people } => Some(feed::import(state, caller, place, people, envelope)),
        Command::DecideHold { hold, digest, release, reason } => {
            Some(feed::decide_hold(state, caller, *hold, (*digest, *release), reason, now))
        }
        _ => None,
    }
}

/// What accounts alone may do.
fn by_account(state: &State, caller: &Caller<'_>, envelope: &Envelope) -> Result<Vec<Fact>, Refusal> {
    let now = envelope.now;
    match &envelope.command {
        Command::RequestElevation(request) => requests::request(state, caller, request, envelope),
        Command::ApproveElevation { elevation, digest, comment } => {
            reviews::approve(state, caller, *elevation, (*digest, comment), envelope)
        }
        Command::DenyElevation { elevation, reason } => reviews::deny(state, caller, *elevation, reason, now),
        Command::WithdrawElevation { elevation, reason } => reviews::withdraw(state, caller, *elevation, reason, now),
        Command::CompleteFollowUp { elevation, digest, finding, comment } => {
            reviews::complete_follow_up(state, caller, *elevation, (*digest, *finding, comment), now)
        }
        Command::RelinquishGrant { grant, reason } => grants::relinquish(state, caller, *grant, reason, now),
        Command::RevokeGrant { grant, reason } => grants::revoke(state, caller, *grant, reason, now),
        Command::IssueGrantToken { grant, audience, lifetime, certificate } => {
            tokens::issue(state, caller, *grant, (audience, *lifetime, *certificate), envelope)
        }
        Command::ApproveEnrolment { enrolment, digest, comment } => {
            enrolments::approve(state, caller, *enrolment, (*digest, comment), envelope)
        }
        Command::DenyEnrolment { enrolment, reason } => enrolments::deny(state, caller, *enrolment, reason, now),
        // Those of everybody, and those of many, are decided elsewhere.
        Command::RequestEnrolment(_)
        | Command::WithdrawEnrolment { .. }
        | Command::ApplyHrEvents { .. }
        | Command::ImportPeople { .. }
        | Command::DecideHold { .. } => Ok(Vec::new()),
        Command::RecordAttestation { person, requirement, met_at, evidence } => {
            attestations::record(state, caller, (person, requirement), *met_at, evidence, now)
        }
        Command::CorrectAttestation { person, requirement, met_at, reason } => {
            attestations::correct(state, caller, (person, requirement), *met_at, reason, now)
        }
        Command::EndMembership { account, role, reason } => {
            accounts::end_membership(state, caller, (account, role), reason, now)
        }
        Command::CloseAccount { account, reason } => accounts::close(state, caller, account, reason, now),
        Command::RetireStream { stream, reason } => feed::retire(state, caller, stream, reason, now),
        Command::StartCampaign { role, due } => campaigns::start(state, caller, role, *due, envelope),
        Command::ConfirmMembership { campaign, account } => campaigns::confirm(state, caller, *campaign, account, now),
        Command::CreateLock { on, mode, reason, until } => {
            locks::create(state, caller, (on, *mode), (reason, *until), envelope)
        }
        Command::DeleteLock { lock, reason } => locks::delete(state, caller, *lock, reason, now),
        Command::ProposeFile { file, replaces, text, justification } => {
            proposals::propose(state, caller, (*file, *replaces), (text, justification), envelope)
        }
        Command::ApproveProposal { proposal, digest, comment } => {
            proposals::approve(state, caller, *proposal, (*digest, comment), envelope)
        }
        Command::DenyProposal { proposal, reason } => proposals::deny(state, caller, *proposal, reason, now),
        Command::WithdrawProposal { proposal, reason } => proposals::withdraw(state, caller, *proposal, reason, now),
    }
}
