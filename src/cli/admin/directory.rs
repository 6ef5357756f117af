//! `directory`: proposing a file in place of the one in force.

use clap::Subcommand;

use super::proposal::{self, ProposalArguments, ProposedFile};
use crate::cli::connect::session::Session;
use crate::cli::term::failure::Ran;

/// `directory …`.
#[derive(Debug, Clone, Subcommand)]
pub enum DirectoryCommand {
    /// Propose a file in place of the directory, once you have seen what it would take away
    Propose(ProposalArguments),
}

/// Runs `directory …`.
///
/// # Errors
/// If the file has mistakes, the person declines, or the broker refuses.
pub async fn run(session: &mut Session<'_>, command: DirectoryCommand) -> Ran {
    match command {
        DirectoryCommand::Propose(arguments) => proposal::run(session, ProposedFile::Directory, arguments).await,
    }
}
