//! `init`: fills an empty journal, once, with a policy and a directory.

use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;
use serde_json::json;

use crate::cli::admin::findings::Findings;
use crate::cli::term::failure::{Exit, Failure, Ran, read_text};
use crate::cli::term::output::Output;
use crate::cli::term::table::card;
use crate::clock::SystemClock;
use crate::domain::decide::Files;
use crate::engine::{self, Store};
use crate::journal::verify_file;

/// `init`.
#[derive(Debug, Clone, Args)]
pub struct InitArguments {
    /// The policy
    #[arg(long, value_name = "FILE")]
    pub policy: PathBuf,
    /// The directory
    #[arg(long, value_name = "FILE")]
    pub directory: PathBuf,
    /// The journal to make; there must be none
    #[arg(long, value_name = "FILE")]
    pub journal: PathBuf,
}

/// Runs `init`. Nothing is made unless both files are without mistakes.
///
/// # Errors
/// If a file has mistakes, the journal exists, or it cannot be written.
pub fn run(output: &mut Output, arguments: &InitArguments) -> Ran {
    let findings = Findings::of(&arguments.policy, Some(&arguments.directory))?;
    for line in findings.lines() {
        output.note(&line);
    }
    if !findings.mistakes.is_empty() {
        let text = format!("{} mistakes; no journal was made", findings.mistakes.len());
        return Err(Failure::Failed(text));
    }
    let (policy, directory) = (read_text(&arguments.policy)?, read_text(&arguments.directory)?);
    let files = Files { policy: &policy, directory: &directory };
    let store = Store::File(arguments.journal.clone());
    engine::initialise(&store, files, Arc::new(SystemClock)).map_err(|error| Failure::Failed(error.to_string()))?;
    let made = verify_file(&arguments.journal, None).map_err(|error| Failure::Failed(error.to_string()))?;
    let (id, head) = (made.id.to_string(), made.recovered.head.to_string());
    let lines = [("journal", arguments.journal.display().to_string()), ("id", id.clone()), ("head", head.clone())];
    let value = || json!({ "journal": arguments.journal, "id": id, "head": head });
    output.data(|width| card(width, &lines), value)?;
    output.note("next: countersign serve --config FILE, with `journal` set to this file");
    Ok(Exit::Yes)
}
