//! `serve`: the broker.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;

use crate::cli::term::failure::{Exit, Failure, Ran, read_text};
use crate::cli::term::output::Output;
use crate::server::assembly::{Accepted, ServeError};
use crate::server::config::{self, ConfigMistakes, ServeOverrides, ServeSettings};
use crate::server::log::LogSink;
use crate::server::serving;
use crate::server::signals::Signals;

/// `serve`. What a flag sets goes before the environment (`COUNTERSIGN_LISTEN`), and that before the file.
#[derive(Debug, Clone, Args)]
pub struct ServeArguments {
    /// The configuration
    #[arg(long, value_name = "FILE")]
    pub config: PathBuf,
    /// Look at the configuration and what it names, and stop
    #[arg(long)]
    pub check_config: bool,
    /// Take the wall clock as right although it disagrees with the journal; this is journaled
    #[arg(long, conflicts_with = "check_config")]
    pub accept_clock: bool,
    /// Go on although rows after this one are missing at the journal's end; this is journaled, revokes every grant,
    /// cancels what is pending, and locks everything until a person lifts it
    #[arg(long, value_name = "SEQUENCE", conflicts_with = "check_config")]
    pub accept_loss: Option<u64>,
    /// Where to listen
    #[arg(long, value_name = "ADDRESS")]
    pub listen: Option<String>,
    /// The journal's file
    #[arg(long, value_name = "FILE")]
    pub journal: Option<String>,
    /// Where to serve metrics: a loopback address
    #[arg(long, value_name = "ADDRESS")]
    pub metrics_listen: Option<String>,
    /// Threads that serve
    #[arg(long, value_name = "COUNT")]
    pub runtimes: Option<String>,
    /// What becomes of live grants at a restart: resume or void
    #[arg(long, value_name = "WHAT")]
    pub grants_on_restart: Option<String>,
    /// How long calls have to finish at a stop
    #[arg(long, value_name = "DURATION")]
    pub drain_deadline: Option<String>,
    /// How to log: text or json
    #[arg(long, value_name = "FORMAT")]
    pub log_format: Option<String>,
}

/// Runs `serve` until a signal, or looks at its configuration.
///
/// # Errors
/// If the configuration has mistakes, or the broker cannot start.
pub fn run(output: &mut Output, arguments: &ServeArguments) -> Ran {
    // Before any file is read: until then a signal does what the system does with it, and SIGHUP would end the broker. A
    // look at the configuration ends as any command does.
    let signals =
        if arguments.check_config { None } else { Some(Signals::listen().map_err(|error| cannot_run(&error))?) };
    let log = LogSink::to(std::io::stderr()).map_err(|error| cannot_run(&error))?;
    let ran = serve(output, arguments, signals, &log).map_err(|failure| {
        // By the log's thread as well: a process that must end does not wait for who reads stderr.
        log.line(&output.failure_text(&failure));
        Failure::Told(failure.exit_code())
    });
    log.flush();
    ran
}

fn serve(output: &Output, arguments: &ServeArguments, signals: Option<Signals>, log: &LogSink) -> Ran {
    let Some(signals) = signals else {
        prepared(output, arguments, log)?;
        log.line(&output.note_text("the configuration is in order"));
        return Ok(Exit::Yes);
    };
    let accepted = Accepted { clock: arguments.accept_clock, loss: arguments.accept_loss };
    let (tells, again) = (output.clone(), arguments.clone());
    let reads_budgets = move || {
        let read = settings(&again).map(|settings| settings.budgets);
        read.map_err(|failure| tells.failure_text(&failure))
    };
    let (output, arguments, sink) = (output.clone(), arguments.clone(), log.clone());
    // On a thread of its own: a file may be long in coming, and a signal is not to wait for it.
    let prepared = move || prepared(&output, &arguments, &sink);
    serving::serve(prepared, Box::new(reads_budgets), accepted, signals, log).map(|()| Exit::Yes)
}

/// The settings, looked at with all that they name.
fn prepared(output: &Output, arguments: &ServeArguments, log: &LogSink) -> Result<ServeSettings, Failure> {
    let settings = settings(arguments)?;
    config::check(&settings).map_err(|mistakes| config_failure(&mistakes))?;
    for warning in config::warnings(&settings.tls) {
        log.line(&output.note_text(&format!("warning: {warning}")));
    }
    Ok(settings)
}

impl From<ServeError> for Failure {
    fn from(error: ServeError) -> Self {
        Self::Failed(error.to_string())
    }
}

/// Says what is wrong with a command line for a broker. Signals are ours by then: one to stop is not kept waiting by whoever
/// does not read stderr.
pub fn not_parsed(tell: impl FnOnce() + Send + 'static) -> ExitCode {
    match Signals::listen() {
        Ok(signals) => signals.until_stopped(tell),
        Err(_) => tell(),
    }
    ExitCode::from(2)
}

/// Whether the words of a command line begin a broker: `serve`, behind options, each of which has a value. Not a look at its
/// configuration or its help, which end as any command does.
#[must_use]
pub fn is_meant(words: &[OsString]) -> bool {
    if words.iter().any(|word| ["--check-config", "--help", "-h"].iter().any(|only| word == only)) {
        return false;
    }
    let mut words = words.iter().skip(1);
    while let Some(word) = words.next() {
        let text = word.to_string_lossy();
        if !text.starts_with('-') {
            return text == "serve";
        }
        if !text.contains('=') {
            words.next();
        }
    }
    false
}

fn cannot_run(error: &std::io::Error) -> Failure {
    Failure::Failed(format!("the broker cannot run: {error}"))
}

fn settings(arguments: &ServeArguments) -> Result<ServeSettings, Failure> {
    let text = read_text(&arguments.config)?;
    let folder = arguments.config.parent().unwrap_or(Path::new(""));
    let environment: BTreeMap<String, String> = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        // As everywhere, one that is empty is not set.
        .filter(|(_, value)| !value.is_empty())
        .collect();
    let overrides = ServeOverrides {
        listen: arguments.listen.clone(),
        journal: arguments.journal.clone(),
        metrics_listen: arguments.metrics_listen.clone(),
        runtimes: arguments.runtimes.clone(),
        grants_on_restart: arguments.grants_on_restart.clone(),
        drain_deadline: arguments.drain_deadline.clone(),
        log_format: arguments.log_format.clone(),
    };
    config::parse(&text, folder, &environment, &overrides).map_err(|mistakes| config_failure(&mistakes))
}

/// All of them at once, a line each.
fn config_failure(mistakes: &ConfigMistakes) -> Failure {
    let lines = mistakes.0.iter().map(|mistake| format!("\n  {}: {}", mistake.place, mistake.problem));
    Failure::Usage(format!("the configuration has mistakes{}", lines.collect::<String>()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_broker_is_known_by_its_words_before_they_are_parsed() {
        let is_meant = |line: &str| is_meant(&line.split(' ').map(OsString::from).collect::<Vec<_>>());
        for line in
            ["countersign serve", "countersign serve --config x", "c -o json serve", "c --addr=x --ca y serve -z"]
        {
            assert!(is_meant(line), "{line}");
        }
        for line in
            ["countersign", "c whoami", "c --as serve whoami", "c show serve", "c serve --check-config --config x"]
        {
            assert!(!is_meant(line), "{line}");
        }
        assert!(!is_meant("c serve --help"));
    }
}
