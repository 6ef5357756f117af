//! `show`: one request, enrolment or proposal as a reviewer reads it.

use super::lookup::{Found, find};
use crate::cli::connect::session::Session;
use crate::cli::term::failure::{Exit, Failure, Ran};
use clap::Args;

/// `show`.
#[derive(Debug, Clone, Args)]
pub struct ShowArguments {
    /// The request, enrolment or proposal, or a unique ending of its id
    #[arg(value_name = "ID")]
    pub id: String,
    /// Of a pending proposal: the file that it would put in force, and nothing else
    #[arg(long)]
    pub file: bool,
}

/// Runs `show`.
///
/// # Errors
/// If there is no such request, or it cannot be shown whole.
pub async fn show(session: &mut Session<'_>, arguments: ShowArguments) -> Ran {
    let found = find(session, &arguments.id).await?;
    if arguments.file {
        return show_file(session, &found).await;
    }
    let page = found.page(session.output.width(), session.now);
    let page = page.map_err(|error| Failure::Failed(error.to_string()))?;
    session.output.data(|_| page, || found.json())?;
    Ok(Exit::Yes)
}

/// Exactly the file: what is written here has the digest that the proposal's text names.
async fn show_file(session: &mut Session<'_>, found: &Found) -> Ran {
    let Found::Proposal(_) = found else {
        return Err(Failure::Usage("only a proposal has a file".to_owned()));
    };
    let bytes = session.client.proposal_text(&found.id()).await?;
    session.output.file(bytes)?;
    Ok(Exit::Yes)
}
