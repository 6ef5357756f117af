//! `deny` and `withdraw`: ending a request, an enrolment or a proposal without its approval.

use super::lookup::{Found, find};
use crate::cli::connect::change::ChangeArguments;
use crate::cli::connect::session::Session;
use crate::cli::show::elevation_card::state_word;
use crate::cli::show::enrolment_card::{self};
use crate::cli::show::proposal_card::{self};
use crate::cli::term::failure::{Exit, Failure, Ran};
use crate::cli::term::json;
use crate::cli::term::text::ending;
use crate::cli::term::values;
use crate::wire::v1::{
    DenyElevationRequest, DenyEnrolmentRequest, DenyProposalRequest, Effects, Enrolment, Proposal,
    WithdrawElevationRequest, WithdrawEnrolmentRequest, WithdrawProposalRequest,
};
use clap::Args;
use serde_json::Value;

/// `deny`.
#[derive(Debug, Clone, Args)]
pub struct DenyArguments {
    /// The request, enrolment or proposal, or a unique ending of its id
    #[arg(value_name = "ID")]
    pub id: String,
    /// Why, for the requester to read
    #[arg(long, short, value_name = "TEXT")]
    pub reason: String,
    /// Of an enrolment or a proposal: change nothing; show what it would bring about
    #[arg(long)]
    pub dry_run: bool,
    /// The id of this call: the same one is the same denial
    #[arg(long, value_parser = values::request_id, value_name = "UUID")]
    pub request_id: Option<String>,
}

/// `withdraw`.
#[derive(Debug, Clone, Args)]
pub struct WithdrawArguments {
    /// Your request, enrolment or proposal, or a unique ending of its id
    #[arg(value_name = "ID")]
    pub id: String,
    /// Of an enrolment or a proposal: change nothing; show what it would bring about
    #[arg(long)]
    pub dry_run: bool,
    /// The id of this call: the same one is the same withdrawal
    #[arg(long, value_parser = values::request_id, value_name = "UUID")]
    pub request_id: Option<String>,
}

/// Runs `deny`.
///
/// # Errors
/// If the broker refuses.
pub async fn deny(session: &mut Session<'_>, arguments: DenyArguments) -> Ran {
    let change = ChangeArguments { dry_run: arguments.dry_run, request_id: arguments.request_id };
    // An ending may become ambiguous, so a change names the whole id.
    let found = find(session, &arguments.id).await?;
    let (id, reason, request_id) = (found.id(), arguments.reason, change.id());
    match found {
        Found::Elevation(_) => {
            not_tried(&change)?;
            let request = DenyElevationRequest { request_id: request_id.clone(), elevation_id: id, reason };
            let answer = session.client.deny_elevation(request).await;
            let elevation = change.answered(session, answer, &request_id)?.elevation.unwrap_or_default();
            closed(session, &elevation.id, &state_word(&elevation), json::of(&elevation))
        }
        Found::Enrolment(_) => {
            let validate_only = change.dry_run;
            let request =
                DenyEnrolmentRequest { request_id: request_id.clone(), enrolment_id: id, reason, validate_only };
            let answer = session.client.deny_enrolment(request).await;
            let answer = change.answered(session, answer, &request_id)?;
            let value = json::of(&answer);
            enrolment_closed(session, &change, answer.enrolment.as_ref(), answer.effects.as_ref(), value)
        }
        Found::Proposal(_) => {
            let validate_only = change.dry_run;
            let request =
                DenyProposalRequest { request_id: request_id.clone(), proposal_id: id, reason, validate_only };
            let answer = session.client.deny_proposal(request).await;
            let answer = change.answered(session, answer, &request_id)?;
            proposal_closed(session, &change, answer.proposal.as_ref(), json::of(&answer))
        }
    }
}

/// Runs `withdraw`.
///
/// # Errors
/// If the broker refuses.
pub async fn withdraw(session: &mut Session<'_>, arguments: WithdrawArguments) -> Ran {
    let change = ChangeArguments { dry_run: arguments.dry_run, request_id: arguments.request_id };
    let found = find(session, &arguments.id).await?;
    let (id, request_id) = (found.id(), change.id());
    match found {
        Found::Elevation(_) => {
            not_tried(&change)?;
            let request = WithdrawElevationRequest { request_id: request_id.clone(), elevation_id: id };
            let answer = session.client.withdraw_elevation(request).await;
            let elevation = change.answered(session, answer, &request_id)?.elevation.unwrap_or_default();
            closed(session, &elevation.id, &state_word(&elevation), json::of(&elevation))
        }
        Found::Enrolment(_) => {
            let request = WithdrawEnrolmentRequest {
                request_id: request_id.clone(),
                enrolment_id: id,
                reason: String::new(),
                validate_only: change.dry_run,
            };
            let answer = session.client.withdraw_enrolment(request).await;
            let answer = change.answered(session, answer, &request_id)?;
            let value = json::of(&answer);
            enrolment_closed(session, &change, answer.enrolment.as_ref(), answer.effects.as_ref(), value)
        }
        Found::Proposal(_) => {
            let (validate_only, reason) = (change.dry_run, String::new());
            let request =
                WithdrawProposalRequest { request_id: request_id.clone(), proposal_id: id, reason, validate_only };
            let answer = session.client.withdraw_proposal(request).await;
            let answer = change.answered(session, answer, &request_id)?;
            proposal_closed(session, &change, answer.proposal.as_ref(), json::of(&answer))
        }
    }
}

/// What the proposal is by now: after a dry run what it was, as nothing else follows from it.
fn proposal_closed(
    session: &mut Session<'_>,
    change: &ChangeArguments,
    proposal: Option<&Proposal>,
    value: Value,
) -> Ran {
    let (id, state) = proposal.map(|it| (ending(&it.id), proposal_card::state_word(it))).unwrap_or_default();
    let unchanged = if change.dry_run { ": this would be done, nothing was changed" } else { "" };
    session.output.data(|_| format!("{id} is {state}{unchanged}\n"), || value)?;
    Ok(Exit::Yes)
}

/// Only enrolments and proposals can be tried: that of a request for access takes nothing away but the request.
fn not_tried(change: &ChangeArguments) -> Result<(), Failure> {
    if !change.dry_run {
        return Ok(());
    }
    Err(Failure::Usage("only an enrolment or a proposal can be tried: this is a request for access".to_owned()))
}

/// The same lines and the same fields whether it is tried or done.
fn enrolment_closed(
    session: &mut Session<'_>,
    change: &ChangeArguments,
    enrolment: Option<&Enrolment>,
    effects: Option<&Effects>,
    value: Value,
) -> Ran {
    let (id, state) = enrolment.map(|it| (ending(&it.id), enrolment_card::state_word(it))).unwrap_or_default();
    change.show_effects(session, effects, || value, &format!("{id} is {state}"))
}

fn closed(session: &mut Session<'_>, id: &str, state: &str, value: Value) -> Ran {
    session.output.data(|_| format!("{} is {state}\n", ending(id)), || value)?;
    Ok(Exit::Yes)
}
