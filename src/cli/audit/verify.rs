//! `audit verify`: a file of the journal is verified, without a broker.

use std::path::PathBuf;

use clap::Args;
use serde_json::json;

use crate::cli::term::failure::{Exit, Failure, Ran};
use crate::cli::term::output::Output;
use crate::cli::term::table::card;
use crate::domain::record::row::decode;
use crate::domain::value::ids::InvalidId;
use crate::journal::{Head, Row, Verified, verify_each};

/// `audit verify`.
#[derive(Debug, Clone, Args)]
pub struct VerifyArguments {
    /// The journal's file
    pub file: PathBuf,
    /// A head that was noted earlier, as this command prints it; without one a cut-off end cannot show
    #[arg(long, value_name = "SEQUENCE:SHA256", value_parser = head)]
    pub expect_head: Option<Head>,
}

/// Runs `audit verify`.
///
/// # Errors
/// With the first bad row, or what else is wrong with the file.
pub fn verify(output: &mut Output, arguments: &VerifyArguments) -> Ran {
    // As a start reads it: a row may be well chained, and one that this version does not understand.
    let mut readable = |row: &Row| decode(&row.body).map(|_| ()).map_err(Into::into);
    let verified = verify_each(&arguments.file, arguments.expect_head, &mut readable);
    let verified = verified.map_err(|error| Failure::Failed(error.to_string()))?;
    output.data(|width| verified_card(width, &verified), || verified_json(&verified))?;
    if arguments.expect_head.is_none() {
        output.note("a cut-off end shows only against a head noted earlier: keep this one for --expect-head");
    }
    Ok(Exit::Yes)
}

fn head(text: &str) -> Result<Head, String> {
    text.parse().map_err(|error: InvalidId| error.to_string())
}

fn verified_card(width: u16, verified: &Verified) -> String {
    let abandoned = verified.recovered.abandoned.clone();
    let abandoned = abandoned.map_or_else(String::new, |rows| format!("rows {} to {}", rows.start(), rows.end()));
    card(
        width,
        &[
            ("verdict", "every row verifies".to_owned()),
            ("journal", verified.id.to_string()),
            ("rows", verified.recovered.head.sequence.to_string()),
            ("head", verified.recovered.head.to_string()),
            ("no effect", abandoned),
        ],
    )
}

fn verified_json(verified: &Verified) -> serde_json::Value {
    let abandoned = verified.recovered.abandoned.clone().map(|rows| json!([rows.start(), rows.end()]));
    json!({
        "journal": verified.id.to_string(),
        "rows": verified.recovered.head.sequence,
        "head": verified.recovered.head.to_string(),
        "abandoned": abandoned,
    })
}
