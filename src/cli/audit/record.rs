//! `record`: a customer's own record, signed by the broker, and whether a record is one.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use serde_json::json;

use crate::cli::connect::session::Session;
use crate::cli::term::failure::{Exit, Failure, Ran, read_text};
use crate::cli::term::output::Output;
use crate::cli::term::text::time_field;
use crate::cli::term::values;
use crate::domain::value::time::Timestamp;
use crate::wire::signed_note::verified;
use crate::wire::v1::ExportTenantRecordRequest;

/// `record …`.
#[derive(Debug, Clone, Subcommand)]
pub enum RecordCommand {
    /// Every request that touched your tenant, who decided, and what was granted, used and ended: signed, for your files
    Export(ExportArguments),
    /// Whether a record is as the broker signed it; needs no broker
    Verify(VerifyArguments),
}

/// `record export`.
#[derive(Debug, Clone, Args)]
pub struct ExportArguments {
    /// Only requests made at or after this
    #[arg(long, value_parser = values::time, value_name = "TIME")]
    pub from: Option<Timestamp>,
    /// Only requests made before this
    #[arg(long, value_parser = values::time, value_name = "TIME")]
    pub until: Option<Timestamp>,
}

/// `record verify`.
#[derive(Debug, Clone, Args)]
pub struct VerifyArguments {
    /// The record's file
    pub file: PathBuf,
    /// What the broker's records are verified with, as `record export` prints it
    #[arg(long, value_name = "NAME+HASH+KEY")]
    pub verifier: String,
}

/// Runs `record …`.
///
/// # Errors
/// If the broker refuses, or the record is not as it was signed.
pub async fn run(session: &mut Session<'_>, command: &RecordCommand) -> Ran {
    match command {
        RecordCommand::Export(arguments) => export(session, arguments).await,
        RecordCommand::Verify(arguments) => verify(session.output, arguments),
    }
}

/// `record export`: the record itself goes to stdout, as it was signed.
///
/// # Errors
/// If the broker refuses.
pub async fn export(session: &mut Session<'_>, arguments: &ExportArguments) -> Ran {
    let request = ExportTenantRecordRequest {
        from_time: arguments.from.map(time_field),
        until_time: arguments.until.map(time_field),
    };
    let (key, record) = session.client.export_tenant_record(request).await?;
    session.output.raw(&record)?;
    session.output.note(&format!("verify it with: countersign record verify FILE --verifier {key}"));
    Ok(Exit::Yes)
}

/// `record verify`.
///
/// # Errors
/// If it is not as the broker signed it.
pub fn verify(output: &mut Output, arguments: &VerifyArguments) -> Ran {
    let file = arguments.file.display();
    let note = read_text(&arguments.file)?;
    let text = verified(&note, &arguments.verifier).map_err(|why| Failure::Failed(format!("`{file}`: {why}")))?;
    let requests = text.lines().count().saturating_sub(1);
    let text = |_| format!("as it was signed: {requests} requests");
    output.data(text, || json!({ "verified": true, "requests": requests }))?;
    Ok(Exit::Yes)
}
