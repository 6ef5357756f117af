//! `serve`: the broker.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use clap::Args;

use crate::cli::term::failure::{Exit, Failure, Ran, read_text};
use crate::cli::term::output::Output;
use crate::server::assembly::{self, Accepted};
use crate::server::config::{self, ConfigMistakes, ServeOverrides, ServeSettings};
use crate::server::log::LogSink;
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
    // First of all: until then a signal does what the system does with it, and SIGHUP would end the broker. A look at the
    // configuration ends as any command does.
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
    let settings = settings(arguments)?;
    config::check(&settings).map_err(|mistakes| config_failure(&mistakes))?;
    for warning in config::warnings(&settings.tls) {
        log.line(&output.note_text(&format!("warning: {warning}")));
    }
    let Some(signals) = signals else {
        log.line(&output.note_text("the configuration is in order"));
        return Ok(Exit::Yes);
    };
    let accepted = Accepted { clock: arguments.accept_clock, loss: arguments.accept_loss };
    let served = assembly::serve(settings, accepted, signals, log);
    served.map(|()| Exit::Yes).map_err(|error| Failure::Failed(error.to_string()))
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
