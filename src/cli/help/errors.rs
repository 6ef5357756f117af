//! `errors`: the catalogue of reasons.

use clap::Args;
use serde_json::json;

use crate::cli::term::failure::{Exit, Failure, Ran};
use crate::cli::term::output::Output;
use crate::cli::term::table::{card, rows};
use crate::domain::value::refusal::{CATALOGUE, Entry, catalogue_markdown};

/// `errors`.
#[derive(Debug, Clone, Args)]
pub struct ErrorsArguments {
    /// One reason: SELF_APPROVAL
    pub reason: Option<String>,
    /// As docs/errors.md
    #[arg(long, conflicts_with = "reason")]
    pub markdown: bool,
}

/// Runs `errors`.
///
/// # Errors
/// If there is no such reason.
pub fn errors(output: &mut Output, arguments: &ErrorsArguments) -> Ran {
    if arguments.markdown {
        output.raw(catalogue_markdown().as_bytes())?;
        return Ok(Exit::Yes);
    }
    match &arguments.reason {
        None => {
            let row = |entry: &Entry| vec![entry.name.to_owned(), entry.exit.to_string(), entry.text.to_owned()];
            let text = |width| rows(width, &["reason", "exit", "what it means"], CATALOGUE.iter().map(row).collect());
            output.data(text, || CATALOGUE.iter().map(entry_json).collect())?;
        }
        Some(name) => {
            let known = CATALOGUE.iter().find(|entry| entry.name.eq_ignore_ascii_case(name));
            let entry = known.ok_or_else(|| {
                Failure::Usage(format!("there is no reason `{name}`; `countersign errors` lists them"))
            })?;
            output.data(|width| entry_card(width, entry), || entry_json(entry))?;
        }
    }
    Ok(Exit::Yes)
}

fn entry_card(width: u16, entry: &Entry) -> String {
    card(
        width,
        &[
            ("reason", entry.name.to_owned()),
            ("means", entry.text.to_owned()),
            ("do", entry.remedy.to_owned()),
            ("gRPC code", format!("{:?}", entry.code)),
            ("exit code", entry.exit.to_string()),
        ],
    )
}

fn entry_json(entry: &Entry) -> serde_json::Value {
    json!({
        "reason": entry.name,
        "code": format!("{:?}", entry.code),
        "exit": entry.exit,
        "text": entry.text,
        "remedy": entry.remedy,
    })
}
