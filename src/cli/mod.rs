//! The command line (design.md 12). Data goes to stdout, all else to stderr; every end has an exit code of its own:
//! 0 yes, 1 failed, 2 usage, 3 denied, 4 not found, 5 conflict, 6 still waiting or expired, 7 not authenticated,
//! 8 unreachable.
//!
//! | Room | What it has |
//! |---|---|
//! | [`term`] | the terminal: output, tables, JSON, pages, values, failures |
//! | [`show`] | cards and rows of one thing |
//! | [`connect`] | which broker, as whom; what every call shares |
//! | [`request`], [`review`], [`people`], [`admin`], [`audit`], [`notify`] | the commands that call a broker |
//! | [`help`] | reasons, and completion for shells |
//! | `broker`, `dev`, `demo` | what runs a broker: only with the feature `cli` |
//!
//! The feature `command` alone is the command line without the broker, for the machines that people work on.
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing))]

pub mod admin;
pub mod arguments;
pub mod audit;
#[cfg(feature = "cli")]
pub mod broker;
pub mod connect;
#[cfg(feature = "cli")]
pub mod demo;
#[cfg(feature = "cli")]
pub mod dev;
pub mod help;
pub mod notify;
pub mod people;
pub mod request;
pub mod review;
pub mod show;
pub mod term;

use std::ffi::OsString;
use std::future::Future;
use std::io::{self, Write as _};
use std::process::ExitCode;

use clap::{CommandFactory as _, Parser as _};

use self::admin::policy::PolicyCommand;
use self::admin::{directory, lock, policy, policy_test};
use self::arguments::{Arguments, CallCommand, Command, OfflineCommand};
use self::audit::record::RecordCommand;
use self::audit::{events, record, report};
use self::connect::context::ConnectionArguments;
use self::connect::session::Session;
use self::help::{completion, errors};
use self::notify::{notifier, webhook};
use self::people::{account, attest, enrol, hr, recertify};
use self::request::{ask, check, entitlements, grants, token, whoami};
use self::review::{approve, close, follow_up, inbox, show as show_one};
use self::term::failure::{Failure, Ran};
use self::term::output::{Format, Output};
use self::term::secrets;
#[cfg(feature = "cli")]
use self::{
    arguments::BrokerCommand,
    audit::{events::AuditCommand, verify},
    broker::{init, serve},
};
#[cfg(feature = "cli")]
use crate::server::signals::Signals;

/// Runs the command line to its exit code.
pub fn main(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let arguments: Vec<OsString> = arguments.into_iter().collect();
    #[cfg(feature = "cli")]
    if serve::is_meant(&arguments) {
        // Before anything that takes time, the command line among it.
        Signals::listen_early();
    }
    secrets::keep_out_of_core_dumps();
    let parsed = match Arguments::try_parse_from(&arguments) {
        Ok(parsed) => parsed,
        #[cfg(feature = "cli")]
        Err(error) if serve::is_meant(&arguments) => {
            return serve::not_parsed(move || {
                let _ = not_parsed(&error, &arguments);
            });
        }
        Err(error) => return not_parsed(&error, &arguments),
    };
    let mut output = Output::new(parsed.output);
    match run(parsed, &mut output) {
        Ok(exit) => {
            output.finish(exit);
            ExitCode::from(exit.code())
        }
        Err(failure) => {
            output.failure(&failure);
            ExitCode::from(failure.exit_code())
        }
    }
}

/// Help and versions are data; anything else is a usage error. Clap knows which it is.
fn not_parsed(error: &clap::Error, arguments: &[OsString]) -> ExitCode {
    if !error.use_stderr() {
        return match error.print().and_then(|()| io::stdout().flush()) {
            Ok(()) => ExitCode::SUCCESS,
            Err(unwritten) => {
                let failure = Failure::from(unwritten);
                let format = if wants_json(arguments) { Format::Json } else { Format::Text };
                Output::new(format).failure(&failure);
                ExitCode::from(failure.exit_code())
            }
        };
    }
    #[cfg(not(feature = "cli"))]
    if let Some(failure) = of_the_broker(error) {
        Output::new(if wants_json(arguments) { Format::Json } else { Format::Text }).failure(&failure);
        return ExitCode::from(failure.exit_code());
    }
    if wants_json(arguments) {
        Output::new(Format::Json).failure(&Failure::Usage(mistake_in(&error.to_string())));
    } else {
        drop(error.print());
    }
    ExitCode::from(2)
}

/// The mistake that clap tells of, without the help that it goes on with. Where it answers with help alone, a command is missing.
fn mistake_in(text: &str) -> String {
    if let Some(mistake) = text.strip_prefix("error: ") {
        let end = ["\n\nUsage:", "\n\nFor more"].iter().filter_map(|more| mistake.find(more)).min();
        return mistake.get(..end.unwrap_or(mistake.len())).unwrap_or(mistake).trim_end().to_owned();
    }
    let usage = text.lines().find_map(|line| line.strip_prefix("Usage: ")).unwrap_or_default();
    format!("a command is missing: `{usage}`; `--help` lists them")
}

/// The failure, if what was not understood is a command that this build leaves out.
#[cfg(not(feature = "cli"))]
fn of_the_broker(error: &clap::Error) -> Option<Failure> {
    use clap::error::{ContextKind, ContextValue};
    let Some(ContextValue::String(name)) = error.get(ContextKind::InvalidSubcommand) else { return None };
    ["demo", "dev", "init", "serve"].contains(&name.as_str()).then(|| {
        let text =
            format!("`{name}` needs the broker, and this is the command line without it (the feature `command` alone)");
        Failure::Usage(text)
    })
}

/// Whether JSON was asked for, as far as a command line that was not understood shows it.
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
        #[cfg(feature = "cli")]
        Command::Broker(command) => run_broker(command, output),
        Command::Offline(command) => run_offline(command, output),
        Command::Call(CallCommand::Policy(PolicyCommand::Check(arguments))) => policy::check(output, &arguments),
        Command::Call(CallCommand::Policy(PolicyCommand::Test(arguments))) => policy_test::run(output, &arguments),
        #[cfg(feature = "cli")]
        Command::Call(CallCommand::Audit(AuditCommand::Verify(arguments))) => verify::verify(output, &arguments),
        Command::Call(CallCommand::Record(RecordCommand::Verify(arguments))) => record::verify(output, &arguments),
        Command::Call(command) => block_on(run_call(command, &connection, output)),
    }
}

#[cfg(feature = "cli")]
fn run_broker(command: BrokerCommand, output: &mut Output) -> Ran {
    match command {
        BrokerCommand::Demo => demo::run(output),
        BrokerCommand::Dev(arguments) => dev::run(output, &arguments),
        BrokerCommand::Init(arguments) => init::run(output, &arguments),
        BrokerCommand::Serve(arguments) => serve::run(output, &arguments),
    }
}

fn run_offline(command: OfflineCommand, output: &mut Output) -> Ran {
    match command {
        OfflineCommand::Webhook(arguments) => webhook::run(output, &arguments),
        OfflineCommand::Errors(arguments) => errors::errors(output, &arguments),
        OfflineCommand::Completion(arguments) => completion::completion(&arguments, Arguments::command()),
    }
}

async fn run_call(command: CallCommand, connection: &ConnectionArguments, output: &mut Output) -> Ran {
    let mut session = Session::open(connection, output).await?;
    let session = &mut session;
    match command {
        CallCommand::Whoami => whoami::whoami(session).await,
        CallCommand::Entitlements(arguments) => entitlements::entitlements(session, arguments).await,
        CallCommand::Request(arguments) => ask::request(session, arguments).await,
        CallCommand::Inbox(arguments) => inbox::inbox(session, &arguments).await,
        CallCommand::Show(arguments) => show_one::show(session, arguments).await,
        CallCommand::Approve(arguments) => approve::approve(session, arguments).await,
        CallCommand::FollowUp(arguments) => follow_up::follow_up(session, arguments).await,
        CallCommand::Deny(arguments) => close::deny(session, arguments).await,
        CallCommand::Withdraw(arguments) => close::withdraw(session, arguments).await,
        CallCommand::Grants(arguments) => grants::grants(session, arguments).await,
        CallCommand::Extend(arguments) => ask::extend(session, arguments).await,
        CallCommand::Relinquish(arguments) => grants::relinquish(session, arguments).await,
        CallCommand::Revoke(arguments) => grants::revoke(session, arguments).await,
        CallCommand::Lock(command) => lock::run(session, command).await,
        CallCommand::Unlock(arguments) => lock::unlock(session, arguments).await,
        CallCommand::Token(arguments) => token::token(session, arguments).await,
        CallCommand::Check(arguments) => check::check(session, arguments).await,
        CallCommand::Enrol(command) => enrol::run(session, command).await,
        CallCommand::Enrolments(arguments) => enrol::enrolments(session, &arguments).await,
        CallCommand::Attest(command) => attest::run(session, command).await,
        CallCommand::Hr(command) => hr::run(session, command).await,
        CallCommand::Recertify(command) => recertify::run(session, command).await,
        CallCommand::Account(command) => account::run(session, command).await,
        CallCommand::Directory(command) => directory::run(session, command).await,
        CallCommand::Policy(command) => policy::run(session, command).await,
        CallCommand::Audit(command) => events::run(session, command).await,
        CallCommand::Report(command) => report::run(session, command).await,
        CallCommand::Record(command) => record::run(session, &command).await,
        CallCommand::Notify(arguments) => notifier::run(session, arguments).await,
    }
}

/// One connection needs one thread.
fn block_on(command: impl Future<Output = Ran>) -> Ran {
    // Silent unless asked: what a client logs is for whoever debugs it.
    if std::env::var_os("RUST_LOG").is_some_and(|filter| !filter.is_empty()) {
        let filter = tracing_subscriber::EnvFilter::from_default_env();
        let subscriber =
            tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).log_internal_errors(false);
        let _ = subscriber.try_init();
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime =
        runtime.map_err(|error| Failure::Failed(format!("the asynchronous runtime cannot be started: {error}")))?;
    runtime.block_on(command)
}

#[cfg(test)]
mod tests {
    use super::*;

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
