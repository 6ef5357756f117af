//! `report`: what an auditor asks, as tables, as JSON, or as a page that prints well.

mod access;
pub mod arguments;
mod form;
mod journal;
mod standing;

use self::arguments::ReportCommand;
use crate::cli::connect::session::Session;
use crate::cli::term::failure::Ran;

/// Runs `report`.
///
/// # Errors
/// If the broker refuses.
pub async fn run(session: &mut Session<'_>, command: ReportCommand) -> Ran {
    match command {
        ReportCommand::Access(arguments) => access::access(session, arguments).await,
        ReportCommand::Held(arguments) => access::held(session, arguments).await,
        ReportCommand::Refusals(arguments) => journal::refusals(session, arguments).await,
        ReportCommand::About(arguments) => journal::about(session, arguments).await,
        ReportCommand::Standing(arguments) => standing::standing(session, arguments).await,
    }
}
