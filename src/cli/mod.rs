//! The command line (design.md 12). Data goes to stdout, all else to stderr; every end has an exit code of its own:
//! 0 yes, 1 failed, 2 usage, 3 denied, 4 not found, 5 conflict, 6 still waiting or expired, 7 not authenticated,
//! 8 unreachable.
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing))]

pub mod account;
pub mod approval;
pub mod approve;
pub mod attest;
pub mod audit;
pub mod certificates;
pub mod change;
pub mod check;
pub mod context;
pub mod demo;
pub mod dev;
pub mod effects;
pub mod elevation_card;
pub mod enrol;
pub mod enrolment_card;
pub mod errors;
pub mod failure;
pub mod follow_up;
pub mod found;
pub mod grants;
pub mod hr;
mod hr_feed;
pub mod hr_file;
mod hr_hold;
pub mod init;
pub mod json;
pub mod lock;
pub mod membership;
pub mod notify;
pub mod output;
pub mod page;
pub mod policy;
pub mod policy_test;
pub mod proposal;
pub mod proposal_card;
pub mod recertify;
pub mod record;
pub mod report;
pub mod request;
pub mod review;
pub mod review_card;
#[cfg(test)]
mod sample;
pub mod serve;
pub mod session;
pub mod table;
pub mod text;
pub mod token;
pub mod values;
pub mod wait;
pub mod wait_enrolled;
pub mod webhook;
pub mod whoami;

use std::ffi::OsString;
use std::future::Future;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use context::ConnectionArguments;
use failure::{Failure, Ran};
use output::{Format, Output};
use session::Session;

const EXIT_CODES: &str = "Exit codes: 0 yes, 1 failed, 2 usage, 3 denied, 4 not found, 5 conflict, 6 still waiting or \
                          expired, 7 not authenticated, 8 unreachable";

/// Just-in-time privileged access: ask, be approved by somebody else, hold it for minutes
#[derive(Debug, Clone, Parser)]
#[command(name = "countersign", version, after_help = EXIT_CODES, max_term_width = 100, propagate_version = false)]
pub struct Arguments {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
    /// How to write data
    #[arg(long, short, global = true, value_enum, default_value_t = Format::Text)]
    pub output: Format,
    /// Where the broker is, and who you are.
    #[command(flatten)]
    pub connection: ConnectionArguments,
}

/// What there is to do.
#[derive(Debug, Clone, Subcommand)]
pub enum Command {
    /// Run the whole story once, against a broker of its own
    Demo,
    /// Run a broker with example people, on this machine alone
    Dev(dev::DevArguments),
    /// Make a journal from a policy and a directory
    Init(init::InitArguments),
    /// Run the broker
    Serve(serve::ServeArguments),
    /// Who you are to the broker, and what stands in your way
    Whoami,
    /// What you may ask for, and on what terms
    Entitlements(whoami::EntitlementsArguments),
    /// Ask for an entitlement
    Request(request::RequestArguments),
    /// Requests and enrolments that wait for you
    Inbox(review::InboxArguments),
    /// One request, enrolment or load, with what a reviewer should know
    Show(review::ShowArguments),
    /// Approve one request, enrolment or load, after reading it
    Approve(approve::ApproveArguments),
    /// Say what was found of an emergency that went around you
    FollowUp(follow_up::FollowUpArguments),
    /// Deny a request, enrolment or load
    Deny(review::DenyArguments),
    /// Take your request, enrolment or load back
    Withdraw(review::WithdrawArguments),
    /// The grants that you hold
    Grants(grants::GrantsArguments),
    /// Ask for more time: a request of its own, the whole way again
    Extend(request::ExtendArguments),
    /// Give your grant up
    Relinquish(grants::RelinquishArguments),
    /// Take a grant away at once
    Revoke(grants::RevokeArguments),
    /// Stop something at once, on every path
    #[command(subcommand)]
    Lock(lock::LockCommand),
    /// Lift a lock
    Unlock(lock::UnlockArguments),
    /// A signed copy of your grant, for a service that cannot reach the broker
    Token(token::TokenArguments),
    /// Whether a subject may do something now: exits 0 to allow, 3 to deny
    Check(check::CheckArguments),
    /// Ask for an account, a role or a machine, or to keep or restore one
    #[command(subcommand)]
    Enrol(enrol::EnrolCommand),
    /// What you asked for by `enrol`
    Enrolments(enrol::EnrolmentsArguments),
    /// Record what people have proved
    #[command(subcommand)]
    Attest(attest::AttestCommand),
    /// What HR says: who joins, moves and leaves
    #[command(subcommand)]
    Hr(hr::HrCommand),
    /// Campaigns in which the holders of a role are confirmed, or end
    #[command(subcommand)]
    Recertify(recertify::RecertifyCommand),
    /// Accounts, and the directory
    #[command(subcommand)]
    Account(account::AccountCommand),
    /// The policy
    #[command(subcommand)]
    Policy(policy::PolicyCommand),
    /// The journal
    #[command(subcommand)]
    Audit(audit::AuditCommand),
    /// What an auditor asks, as of now or of a time
    #[command(subcommand)]
    Report(report::ReportCommand),
    /// A customer's own record, signed
    #[command(subcommand)]
    Record(record::RecordCommand),
    /// Run a command for each thing that somebody should know
    Notify(notify::NotifyArguments),
    /// Send what is on stdin to a signed webhook
    Webhook(webhook::WebhookArguments),
    /// Why a broker says no, and what to do
    Errors(errors::ErrorsArguments),
    /// What your shell needs to complete commands
    Completion(errors::CompletionArguments),
}

/// Runs the command line to its exit code.
pub fn main(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let arguments: Vec<OsString> = arguments.into_iter().collect();
    let parsed = match Arguments::try_parse_from(&arguments) {
        Ok(parsed) => parsed,
        Err(error) => return not_parsed(&error, &arguments),
    };
    let mut output = Output::new(parsed.output);
    match run(parsed, &mut output) {
        Ok(exit) => ExitCode::from(exit.code()),
        Err(failure) => {
            output.failure(&failure);
            ExitCode::from(failure.exit_code())
        }
    }
}

/// Help and versions are data; the rest is a usage error. Clap knows which.
fn not_parsed(error: &clap::Error, arguments: &[OsString]) -> ExitCode {
    if !error.use_stderr() {
        let _ = error.print();
        return ExitCode::SUCCESS;
    }
    let text = error.to_string();
    let told = text.split("\n\nUsage:").next().and_then(|text| text.split("\n\nFor more").next());
    match told.and_then(|told| told.strip_prefix("error: ")) {
        Some(told) if wants_json(arguments) => Output::new(Format::Json).failure(&Failure::Usage(told.to_owned())),
        _ => drop(error.print()),
    }
    ExitCode::from(2)
}

/// What was asked for, as far as it can be told of what was not understood.
fn wants_json(arguments: &[OsString]) -> bool {
    let words: Vec<_> = arguments.iter().map(|argument| argument.to_string_lossy()).collect();
    let one = words.iter().any(|word| matches!(&**word, "-ojson" | "-o=json" | "--output=json"));
    one || words
        .windows(2)
        .any(|pair| matches!(pair, [flag, json] if (flag == "-o" || flag == "--output") && json == "json"))
}

/// Runs a command.
///
/// # Errors
/// If it could not do its work.
pub fn run(arguments: Arguments, output: &mut Output) -> Ran {
    let connection = arguments.connection;
    match arguments.command {
        Command::Demo => demo::run(output),
        Command::Dev(arguments) => dev::run(output, &arguments),
        Command::Init(arguments) => init::run(output, &arguments),
        Command::Serve(arguments) => serve::run(output, &arguments),
        Command::Errors(arguments) => errors::errors(output, &arguments),
        Command::Completion(arguments) => errors::completion(&arguments),
        Command::Policy(policy::PolicyCommand::Check(arguments)) => policy::check(output, &arguments),
        Command::Policy(policy::PolicyCommand::Test(arguments)) => policy_test::run(output, &arguments),
        Command::Audit(audit::AuditCommand::Verify(arguments)) => audit::verify(output, &arguments),
        Command::Record(record::RecordCommand::Verify(arguments)) => record::verify(output, &arguments),
        Command::Webhook(arguments) => webhook::run(output, &arguments),
        command => block_on(ask_broker(command, &connection, output)),
    }
}

async fn ask_broker(command: Command, connection: &ConnectionArguments, output: &mut Output) -> Ran {
    let mut session = Session::open(connection, output).await?;
    let session = &mut session;
    match command {
        Command::Whoami => whoami::whoami(session).await,
        Command::Entitlements(arguments) => whoami::entitlements(session, arguments).await,
        Command::Request(arguments) => request::request(session, arguments).await,
        Command::Inbox(arguments) => review::inbox(session, &arguments).await,
        Command::Show(arguments) => review::show(session, arguments).await,
        Command::Approve(arguments) => approve::approve(session, arguments).await,
        Command::FollowUp(arguments) => follow_up::follow_up(session, arguments).await,
        Command::Deny(arguments) => review::deny(session, arguments).await,
        Command::Withdraw(arguments) => review::withdraw(session, arguments).await,
        Command::Grants(arguments) => grants::grants(session, arguments).await,
        Command::Extend(arguments) => request::extend(session, arguments).await,
        Command::Relinquish(arguments) => grants::relinquish(session, arguments).await,
        Command::Revoke(arguments) => grants::revoke(session, arguments).await,
        Command::Lock(command) => lock::run(session, command).await,
        Command::Unlock(arguments) => lock::unlock(session, arguments).await,
        Command::Token(arguments) => token::token(session, arguments).await,
        Command::Check(arguments) => check::check(session, arguments).await,
        Command::Enrol(command) => enrol::run(session, command).await,
        Command::Enrolments(arguments) => enrol::enrolments(session, &arguments).await,
        Command::Attest(command) => attest::run(session, command).await,
        Command::Hr(command) => hr::run(session, command).await,
        Command::Recertify(command) => recertify::run(session, command).await,
        Command::Account(command) => account::run(session, command).await,
        Command::Policy(command) => policy::run(session, command).await,
        Command::Audit(command) => audit::run(session, command).await,
        Command::Report(command) => report::run(session, command).await,
        Command::Notify(arguments) => notify::run(session, arguments).await,
        Command::Record(record::RecordCommand::Export(arguments)) => record::export(session, &arguments).await,
        Command::Record(record::RecordCommand::Verify(arguments)) => record::verify(session.output, &arguments),
        Command::Demo
        | Command::Dev(_)
        | Command::Init(_)
        | Command::Serve(_)
        | Command::Webhook(_)
        | Command::Errors(_)
        | Command::Completion(_) => Err(Failure::Failed("this command needs no broker".to_owned())),
    }
}

/// One connection needs one thread.
fn block_on(command: impl Future<Output = Ran>) -> Ran {
    // Silent unless asked: what a client logs is for whoever debugs it.
    if std::env::var_os("RUST_LOG").is_some() {
        let filter = tracing_subscriber::EnvFilter::from_default_env();
        let subscriber = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
        let _ = subscriber.try_init();
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Failure::Failed(format!("this machine gives no runtime: {error}")))?;
    runtime.block_on(command)
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    #[test]
    fn the_command_line_is_consistent() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn nothing_approves_several_or_without_reading() {
        let parses = |line: &str| Arguments::try_parse_from(line.split(' ')).is_ok();
        assert!(parses("countersign approve aa11bb22"));
        for line in [
            "countersign approve a b",
            "countersign approve a --yes",
            "countersign approve a -y",
            "countersign approve",
        ] {
            assert!(!parses(line), "{line}");
        }
    }
}
