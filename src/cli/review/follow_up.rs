//! `follow-up`: what one of the ordinary approvers found of an emergency that went around them.

use clap::{Args, ValueEnum};

use super::confirm::{Question, digest_read};
use super::lookup::{Found, find};
use crate::cli::connect::session::Session;
use crate::cli::show::elevation_card::state_word;
use crate::cli::term::failure::{Exit, Failure, Ran};
use crate::cli::term::json;
use crate::cli::term::text::ending;
use crate::cli::term::values;
use crate::domain::value::ids::Digest;
use crate::wire::v1::{CompleteFollowUpRequest, FollowUpFinding};

/// `follow-up`.
#[derive(Debug, Clone, Args)]
pub struct FollowUpArguments {
    /// The request, or a unique ending of its id
    #[arg(value_name = "ID")]
    pub id: String,
    /// Whether it was an emergency
    #[arg(value_enum)]
    pub finding: Finding,
    /// What you found, for the record
    #[arg(long, short = 'm', value_name = "TEXT")]
    pub comment: String,
    /// SHA-256 of the text that was read, as `show` prints it; without a terminal there is no other way
    #[arg(long, value_parser = values::digest, value_name = "SHA256")]
    pub digest: Option<Digest>,
    /// The id of this call: the same one is the same follow-up
    #[arg(long, value_parser = values::request_id, value_name = "UUID")]
    pub request_id: Option<String>,
}

/// What was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Finding {
    /// It was an emergency
    Justified,
    /// It was none
    NotJustified,
}

/// Runs `follow-up`.
///
/// # Errors
/// If it is not confirmed, or the broker refuses.
pub async fn follow_up(session: &mut Session<'_>, arguments: FollowUpArguments) -> Ran {
    let found = find(session, &arguments.id).await?;
    if let Found::Enrolment(_) | Found::Proposal(_) = found {
        return Err(Failure::Usage("only a request for access can be an emergency: this is none".to_owned()));
    }
    let question = Question { act: "complete this follow-up", declined: "nothing was recorded" };
    let digest = digest_read(session, &found, arguments.digest, question)?;
    let finding = match arguments.finding {
        Finding::Justified => FollowUpFinding::Justified,
        Finding::NotJustified => FollowUpFinding::NotJustified,
    };
    let request = CompleteFollowUpRequest {
        request_id: Session::request_id(arguments.request_id.as_ref()),
        elevation_id: found.id(),
        approval_digest: digest.bytes().to_vec(),
        finding: finding.into(),
        comment: arguments.comment,
    };
    let elevation = match session.client.complete_follow_up(request.clone()).await {
        Ok(answer) => answer.elevation.unwrap_or_default(),
        Err(error) => return Err(session.failed(error, &request.request_id)),
    };
    let state = state_word(&elevation);
    session
        .output
        .data(|_| format!("{} is {state}, and followed up\n", ending(&elevation.id)), || json::of(&elevation))?;
    Ok(Exit::Yes)
}
