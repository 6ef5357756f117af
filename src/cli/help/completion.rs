//! `completion`: what shells need.

use std::io::Write as _;

use clap::{Args, Command};

use crate::cli::term::failure::{Exit, Ran};

/// `completion`.
#[derive(Debug, Clone, Args)]
pub struct CompletionArguments {
    /// The shell
    #[arg(value_enum)]
    pub shell: clap_complete::Shell,
}

/// Runs `completion`.
///
/// # Errors
/// If stdout cannot be written.
pub fn completion(arguments: &CompletionArguments, mut command: Command) -> Ran {
    let mut script = Vec::new();
    clap_complete::generate(arguments.shell, &mut command, "countersign", &mut script);
    std::io::stdout().lock().write_all(&script)?;
    Ok(Exit::Yes)
}
