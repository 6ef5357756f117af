//! The arguments of `hr`.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

use crate::cli::connect::change::ChangeArguments;
use crate::cli::term::values;
use crate::domain::value::ids::Digest;
use crate::domain::value::time::Timestamp;

/// `hr …`.
#[derive(Debug, Clone, Subcommand)]
pub enum HrCommand {
    /// Apply a file of events, all or none: one JSON object a line
    Apply(ApplyArguments),
    /// Make the directory agree with a file of everybody whom HR knows
    Import(ImportArguments),
    /// Somebody joins, or comes back and starts with nothing
    Joined(JoinedArguments),
    /// Somebody moves to another manager
    Transferred(TransferredArguments),
    /// Somebody leaves
    Left(LeftArguments),
    /// Somebody has other identities from now on
    Renamed(RenamedArguments),
    /// Somebody does not leave after all
    Stays(StaysArguments),
    /// Somebody of a tenant has these roles from now on, and no others
    Roles(RolesArguments),
    /// How far each feed was heard, and what is held
    Status,
    /// Let through what the brake holds, after reading it
    Release(HoldArguments),
    /// Throw away what the brake holds, after reading it
    Discard(HoldArguments),
    /// Expect no more of a stream: its silence stops nothing any longer
    Retire(RetireArguments),
}

/// `hr apply`.
#[derive(Debug, Clone, Args)]
pub struct ApplyArguments {
    /// The file: {"person":"ana","event":"left","at":"2027-01-31"}; events are joined, transferred, left, renamed, stays, roles
    pub file: PathBuf,
    /// Where it stands in its feed.
    #[command(flatten)]
    pub place: PlaceArguments,
    /// How it is sent.
    #[command(flatten)]
    pub change: ChangeArguments,
}

/// `hr import`.
#[derive(Debug, Clone, Args)]
pub struct ImportArguments {
    /// The file
    pub file: PathBuf,
    /// The stream that it is the next message of
    #[arg(long, value_name = "STREAM")]
    pub stream: String,
    /// Its number there: one more than the last, as `hr status` shows it
    #[arg(long, value_name = "NUMBER")]
    pub number: u64,
    /// How it is written; left out, by the file's ending
    #[arg(long, value_enum)]
    pub format: Option<PeopleFormat>,
    /// How it is sent.
    #[command(flatten)]
    pub change: ChangeArguments,
}

/// How a file of people is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum PeopleFormat {
    /// A JSON object a line: person, manager, login, last_day
    JsonLines,
    /// A table headed person,manager,login,last_day
    Csv,
}

/// The place of an event in a stream.
#[derive(Debug, Clone, Args)]
pub struct PlaceArguments {
    /// The stream that it is the next message of; left out, it comes in no stream
    #[arg(long, value_name = "STREAM", requires = "number")]
    pub stream: Option<String>,
    /// The number of the first event there
    #[arg(long, value_name = "NUMBER", requires = "stream")]
    pub number: Option<u64>,
}

/// `hr joined`.
#[derive(Debug, Clone, Args)]
pub struct JoinedArguments {
    /// The person's immutable id
    pub person: String,
    /// The manager's person id
    #[arg(long, value_name = "PERSON")]
    pub manager: Option<String>,
    /// A SPIFFE ID that means the person until there is an account; once for each
    #[arg(long = "login", value_parser = values::identity, value_name = "SPIFFE-ID")]
    pub logins: Vec<String>,
    /// Where it stands in its feed.
    #[command(flatten)]
    pub place: PlaceArguments,
    /// How it is sent.
    #[command(flatten)]
    pub change: ChangeArguments,
}

/// `hr transferred`.
#[derive(Debug, Clone, Args)]
pub struct TransferredArguments {
    /// The person's id
    pub person: String,
    /// The new manager's person id; left out, nothing can be kept until HR names one
    #[arg(long, value_name = "PERSON")]
    pub manager: Option<String>,
    /// From when on: a date (its end in UTC) or an instant; left out, now
    #[arg(long, value_parser = values::moment, value_name = "TIME")]
    pub at: Option<Timestamp>,
    /// Where it stands in its feed.
    #[command(flatten)]
    pub place: PlaceArguments,
    /// How it is sent.
    #[command(flatten)]
    pub change: ChangeArguments,
}

/// `hr left`.
#[derive(Debug, Clone, Args)]
pub struct LeftArguments {
    /// The person's id
    pub person: String,
    /// The last day (its end in UTC), or an instant
    #[arg(long, value_parser = values::moment, value_name = "TIME", required_unless_present = "urgent")]
    pub at: Option<Timestamp>,
    /// At once, whatever the last day; beyond what the brake lets through the person is locked until somebody confirms it
    #[arg(long)]
    pub urgent: bool,
    /// Revoke as well the started grants that the person approved
    #[arg(long)]
    pub also_approved: bool,
    /// Where it stands in its feed.
    #[command(flatten)]
    pub place: PlaceArguments,
    /// How it is sent.
    #[command(flatten)]
    pub change: ChangeArguments,
}

/// `hr renamed`.
#[derive(Debug, Clone, Args)]
pub struct RenamedArguments {
    /// The person's id
    pub person: String,
    /// A SPIFFE ID that means the person from now on; once for each, all others no longer do
    #[arg(long = "login", required = true, value_parser = values::identity, value_name = "SPIFFE-ID")]
    pub logins: Vec<String>,
    /// Where it stands in its feed.
    #[command(flatten)]
    pub place: PlaceArguments,
    /// How it is sent.
    #[command(flatten)]
    pub change: ChangeArguments,
}

/// `hr stays`.
#[derive(Debug, Clone, Args)]
pub struct StaysArguments {
    /// The person's id
    pub person: String,
    /// Where it stands in its feed.
    #[command(flatten)]
    pub place: PlaceArguments,
    /// How it is sent.
    #[command(flatten)]
    pub change: ChangeArguments,
}

/// `hr roles`.
#[derive(Debug, Clone, Args)]
pub struct RolesArguments {
    /// The person's id
    pub person: String,
    /// A role for customers; once for each, all others end
    #[arg(long = "role", value_name = "ROLE")]
    pub roles: Vec<String>,
    /// Where it stands in its feed.
    #[command(flatten)]
    pub place: PlaceArguments,
    /// How it is sent.
    #[command(flatten)]
    pub change: ChangeArguments,
}

/// `hr release` and `hr discard`.
#[derive(Debug, Clone, Args)]
pub struct HoldArguments {
    /// What is held, or a unique ending of its id
    pub hold: String,
    /// SHA-256 of the events that were read, as `hr status -o json` shows it; without a terminal there is no other way
    #[arg(long, value_parser = values::digest, value_name = "SHA256")]
    pub digest: Option<Digest>,
    /// Why, for the record
    #[arg(long, short, value_name = "TEXT")]
    pub reason: String,
    /// How it is sent.
    #[command(flatten)]
    pub change: ChangeArguments,
}

/// `hr retire`.
#[derive(Debug, Clone, Args)]
pub struct RetireArguments {
    /// The stream
    pub stream: String,
    /// Why, for the record
    #[arg(long, short, value_name = "TEXT")]
    pub reason: String,
    /// How it is sent.
    #[command(flatten)]
    pub change: ChangeArguments,
}
