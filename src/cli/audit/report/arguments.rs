//! The arguments of `report`.

use clap::{Args, Subcommand};

use super::form::Form;
use crate::cli::term::values;
use crate::domain::value::time::Timestamp;

/// `report …`.
#[derive(Debug, Clone, Subcommand)]
pub enum ReportCommand {
    /// Who could do something at a time, by what, and who approved it
    Access(AccessArguments),
    /// Every grant that a person had, and how each ended
    Held(HeldArguments),
    /// Every refusal, and its reason
    Refusals(RefusalsArguments),
    /// All that the journal has about one object
    About(AboutArguments),
    /// What stands without a grant, and that nothing else does
    Standing(StandingArguments),
}

/// `report access`.
#[derive(Debug, Clone, Args)]
pub struct AccessArguments {
    /// On this resource, or on something of a subtree
    #[arg(value_parser = values::requested, value_name = "RESOURCE")]
    pub resource: Option<String>,
    /// This action alone
    #[arg(long, short = 'a', value_parser = values::action, value_name = "ACTION")]
    pub action: Option<String>,
    /// Held by this account alone
    #[arg(long, value_parser = values::not_empty, value_name = "ACCOUNT")]
    pub account: Option<String>,
    /// Held by accounts of this person, or by machines for which the person stands
    #[arg(long, value_parser = values::not_empty, value_name = "PERSON")]
    pub person: Option<String>,
    /// When; left out, now
    #[arg(long, value_parser = values::time, value_name = "TIME")]
    pub as_of: Option<Timestamp>,
    /// Its form.
    #[command(flatten)]
    pub form: Form,
}

/// `report held`.
#[derive(Debug, Clone, Args)]
pub struct HeldArguments {
    /// The person
    #[arg(value_parser = values::not_empty)]
    pub person: String,
    /// Only what was issued at or after this
    #[arg(long, value_parser = values::time, value_name = "TIME")]
    pub from: Option<Timestamp>,
    /// Only what was issued before this
    #[arg(long, value_parser = values::time, value_name = "TIME")]
    pub until: Option<Timestamp>,
    /// Its form.
    #[command(flatten)]
    pub form: Form,
}

/// `report refusals`.
#[derive(Debug, Clone, Args)]
pub struct RefusalsArguments {
    /// Only of this caller: account:ana, or person:ana with all accounts that were theirs
    #[arg(long, value_parser = values::not_empty, value_name = "WHO")]
    pub actor: Option<String>,
    /// Only at or after this
    #[arg(long, value_parser = values::time, value_name = "TIME")]
    pub from: Option<Timestamp>,
    /// Only before this
    #[arg(long, value_parser = values::time, value_name = "TIME")]
    pub until: Option<Timestamp>,
    /// Its form.
    #[command(flatten)]
    pub form: Form,
}

/// `report about`.
#[derive(Debug, Clone, Args)]
pub struct AboutArguments {
    /// The object: `grant:ID`, `proposal:ID`, account:ana, tenant:acme, policy; an ending of an id or a name, as lists print it, will do
    #[arg(value_parser = values::not_empty)]
    pub object: String,
    /// Its form.
    #[command(flatten)]
    pub form: Form,
}

/// `report standing`.
#[derive(Debug, Clone, Args)]
pub struct StandingArguments {
    /// When; left out, now
    #[arg(long, value_parser = values::time, value_name = "TIME")]
    pub as_of: Option<Timestamp>,
    /// Its form.
    #[command(flatten)]
    pub form: Form,
}
