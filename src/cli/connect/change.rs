//! What every command that can be tried first shares: a dry run, an id of the call, and one way to show what followed.

use clap::Args;
use serde_json::Value;

use super::session::Session;
use crate::cli::show::effects::effect_lines;
use crate::cli::term::failure::{Exit, Failure, Ran};
use crate::cli::term::table::card;
use crate::cli::term::values;
use crate::sdk::ClientError;
use crate::wire::v1::Effects;

/// How a change is sent.
#[derive(Debug, Clone, Default, Args)]
pub struct ChangeArguments {
    /// Change nothing; show exactly what it would cancel, void, cut, suspend, disable and revoke
    #[arg(long)]
    pub dry_run: bool,
    /// The id of this call: the same one is the same change
    #[arg(long, value_parser = values::request_id, value_name = "UUID")]
    pub request_id: Option<String>,
}

impl ChangeArguments {
    /// The id of the call: the one given, or a new one.
    #[must_use]
    pub fn id(&self) -> String {
        Session::request_id(self.request_id.as_ref())
    }

    /// The answer, or the failure. Of a dry run it does not matter whether it took effect: it has none.
    ///
    /// # Errors
    /// If the broker refused or did not answer.
    pub fn answered<T>(
        &self,
        session: &mut Session<'_>,
        answer: Result<T, ClientError>,
        request_id: &str,
    ) -> Result<T, Failure> {
        match answer {
            Ok(answer) => Ok(answer),
            Err(error) if self.dry_run => Err(error.into()),
            Err(error) => Err(session.failed(error, request_id)),
        }
    }

    /// Shows what followed, or would follow, as data, and in a note what was done and what to do next.
    ///
    /// # Errors
    /// If stdout cannot be written.
    pub fn show_effects(
        &self,
        session: &mut Session<'_>,
        effects: Option<&Effects>,
        value: impl FnOnce() -> Value,
        done: &str,
    ) -> Ran {
        let now = session.now;
        let effects = effects.cloned().unwrap_or_default();
        session.output.data(|width| card(width, &effect_lines(&effects, now)), value)?;
        session.output.note(if self.dry_run { "nothing was changed: this is what it would do" } else { done });
        Ok(Exit::Yes)
    }
}
