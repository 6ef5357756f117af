//! `audit verify`: a file of the journal is verified, without a broker.

use std::path::PathBuf;

use clap::Args;
use serde_json::json;

use crate::cli::term::failure::{Exit, Failure, Ran};
use crate::cli::term::output::Output;
use crate::cli::term::table::card;
use crate::domain::record::row::decode;
use crate::domain::value::ids::InvalidId;
use crate::journal::{Head, Known, Loss, Mark, OpenError, Row, Unmarked, Verified, mark, verify_known};

/// `audit verify`.
#[derive(Debug, Clone, Args)]
pub struct VerifyArguments {
    /// The journal's file
    pub file: PathBuf,
    /// A head that was noted earlier, as this command prints it; without one a cut-off end cannot show
    #[arg(long, value_name = "SEQUENCE:SHA256", value_parser = head)]
    pub expect_head: Option<Head>,
    /// The journal's head mark, to compare its end with; by default the one that lies beside it
    #[arg(long, value_name = "FILE")]
    pub mark: Option<PathBuf>,
}

/// Runs `audit verify`.
///
/// # Errors
/// With the first bad row, or what else is wrong with the file.
pub fn verify(output: &mut Output, arguments: &VerifyArguments) -> Ran {
    // Before the journal: a broker that runs only ever moves its end beyond the mark.
    let mark = known_mark(arguments)?;
    let known = Known { head: arguments.expect_head, mark };
    // As a start reads it: a row may be well chained, and one that this version does not understand.
    let mut readable = |row: &Row| decode(&row.body).map(|_| ()).map_err(Into::into);
    let verified = verify_known(&arguments.file, known, &mut readable);
    let verified = verified.map_err(|error| Failure::Failed(error.to_string()))?;
    let end = match (mark, arguments.expect_head) {
        (Some(_), Some(_)) => "beyond the head mark and the head expected",
        (Some(_), None) => "beyond the head mark",
        (None, Some(_)) => "beyond the head expected",
        (None, None) => "end not compared",
    };
    output.data(|width| verified_card(width, &verified, end), || verified_json(&verified, &known))?;
    if known.head.is_none() && known.mark.is_none() {
        output.note("end not compared: rows that are missing there show only against the journal's head mark (--mark) or a head noted earlier (--expect-head)");
    }
    Ok(Exit::Yes)
}

/// The mark that was named, which must be one; or the one beside the journal, if there is one.
fn known_mark(arguments: &VerifyArguments) -> Result<Option<Mark>, Failure> {
    let read = match &arguments.mark {
        Some(named) => mark::read(named),
        // Beside the journal itself, by whatever name it was called.
        None => match arguments.file.canonicalize().map(|file| mark::read(&mark::beside(&file))) {
            // Where there is no journal either, that is told in its place.
            Err(_) | Ok(Err(Unmarked::Missing { .. })) => return Ok(None),
            Ok(read) => read,
        },
    };
    read.map(Some).map_err(|unmarked| Failure::Failed(OpenError::Mark(Loss::Unmarked(unmarked)).to_string()))
}

fn head(text: &str) -> Result<Head, String> {
    text.parse().map_err(|error: InvalidId| error.to_string())
}

fn verified_card(width: u16, verified: &Verified, end: &str) -> String {
    let abandoned = verified.recovered.abandoned.clone();
    let abandoned = abandoned.map_or_else(String::new, |rows| format!("rows {} to {}", rows.start(), rows.end()));
    card(
        width,
        &[
            ("verdict", "every row verifies".to_owned()),
            ("journal", verified.id.to_string()),
            ("rows", verified.recovered.head.sequence.to_string()),
            ("head", verified.recovered.head.to_string()),
            ("end", end.to_owned()),
            ("no effect", abandoned),
        ],
    )
}

fn verified_json(verified: &Verified, known: &Known) -> serde_json::Value {
    let abandoned = verified.recovered.abandoned.clone().map(|rows| json!([rows.start(), rows.end()]));
    json!({
        "journal": verified.id.to_string(),
        "rows": verified.recovered.head.sequence,
        "head": verified.recovered.head.to_string(),
        "mark": known.mark.map(|mark| mark.head.to_string()),
        "end_compared": known.mark.is_some() || known.head.is_some(),
        "abandoned": abandoned,
    })
}
