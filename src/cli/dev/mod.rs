//! `countersign dev`: a broker with example people, to try things out. Loopback alone, yet with real mutual TLS: nothing
//! here is switched off that production has on.

pub mod certificates;
pub(crate) mod folder;
pub(crate) mod local;

use std::io::Write as _;
use std::net::SocketAddr;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow, bail};
use clap::Args;

use self::folder::TemporaryFolder;
use self::local::{EXAMPLE_DIRECTORY, EXAMPLE_POLICY, LocalBroker, Setup, with_recent_dates};
use crate::cli::connect::context::{DEV_FILE, DEV_FOLDER, DevFile};
use crate::cli::term::failure::{Exit, Failure, Ran};
use crate::cli::term::output::Output;
use crate::clock::{Clock, SystemClock};

/// `dev`.
#[derive(Debug, Clone, Args)]
pub struct DevArguments {
    /// Where to listen: a loopback address; port 0 is any free one
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:0")]
    pub listen: SocketAddr,
    /// The policy to begin with, not the example's
    #[arg(long, value_name = "FILE")]
    pub policy: Option<PathBuf>,
    /// The directory to begin with, not the example's
    #[arg(long, value_name = "FILE")]
    pub directory: Option<PathBuf>,
    /// Keep the journal here; one that is there already goes on with its own policy and directory
    #[arg(long, value_name = "FILE")]
    pub journal: Option<PathBuf>,
}

/// Runs `dev` until Ctrl-C or SIGTERM.
///
/// # Errors
/// What keeps the broker from running.
pub fn run(output: &mut Output, arguments: &DevArguments) -> Ran {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime =
        runtime.map_err(|error| Failure::Failed(format!("the asynchronous runtime cannot be started: {error}")))?;
    let ran = runtime.block_on(serve(output, arguments));
    ran.map(|()| Exit::Yes).map_err(|error| Failure::Failed(format!("{error:#}")))
}

async fn serve(output: &mut Output, arguments: &DevArguments) -> Result<()> {
    if !arguments.listen.ip().is_loopback() {
        let listen = arguments.listen;
        bail!("`{listen}` is not a loopback address: `dev` is for this machine alone; use `127.0.0.1:PORT`");
    }
    let now = SystemClock.read().wall;
    let temporary = TemporaryFolder::make()?;
    let journal = arguments.journal.clone().unwrap_or_else(|| temporary.path().join("journal.sqlite"));
    let example = |text: &str| with_recent_dates(text, now);
    let policy = arguments.policy.as_deref().map_or_else(|| Ok(example(EXAMPLE_POLICY)), read)?;
    let directory = arguments.directory.as_deref().map_or_else(|| Ok(example(EXAMPLE_DIRECTORY)), read)?;
    let folder = PathBuf::from(DEV_FOLDER);
    let broker = LocalBroker::start(Setup {
        certificates: folder.clone(),
        journal: journal.clone(),
        listen: arguments.listen,
        policy,
        directory,
    })
    .await?;
    let context = DevFile { address: format!("https://{}", broker.address) };
    write_owned(&folder.join(DEV_FILE), &context.text())?;
    output
        .text(&instructions(arguments, &broker, &journal))
        .map_err(|failure| anyhow!("{}", failure.lines().join("\n")))?;
    let ended = broker.until_stopped().await;
    // Nobody is to look for a broker that is gone.
    let _ = std::fs::remove_file(folder.join(DEV_FILE));
    ended
}

/// What to type next.
fn instructions(arguments: &DevArguments, broker: &LocalBroker, journal: &Path) -> String {
    let program = std::env::args().next().unwrap_or_else(|| "countersign".to_owned());
    let fate = if arguments.journal.is_some() { "kept" } else { "removed at the end" };
    let names: Vec<&str> = broker.clients.iter().map(|(name, _)| name.as_str()).collect();
    let mut text = format!(
        "A broker for trying things out, on {}: loopback only, mutual TLS.\n\
         Certificates: {DEV_FOLDER}/, throwaway, for {}.\n\
         Journal: {}, {fate}.\n\n\
         In another terminal, in this folder:\n\n",
        broker.address,
        names.join(", "),
        journal.display(),
    );
    let own_files = arguments.policy.is_some() || arguments.directory.is_some();
    let commands: &[&str] = if own_files { OWN_COMMANDS } else { EXAMPLE_COMMANDS };
    for command in commands {
        text.push_str(&format!("  {program} {command}\n"));
    }
    text.push_str("\nCtrl-C stops it.\n");
    text
}

const EXAMPLE_COMMANDS: &[&str] = &[
    "--as ana whoami",
    "--as ana request orders-db-repair prod/eu/db/orders/primary --for 5m --ticket INC-4711 --reason 'orders are stuck'",
    "--as ben inbox",
    "--as ben approve ID     # the ID that inbox shows",
    "--as orders-api check ana db.write prod/eu/db/orders/primary",
];
const OWN_COMMANDS: &[&str] = &["--as NAME whoami", "--as NAME entitlements", "--as NAME inbox"];

/// Removed first, so that neither an old file's mode nor a link stays.
fn write_owned(path: &Path, text: &str) -> Result<()> {
    let _ = std::fs::remove_file(path);
    let mut options = std::fs::OpenOptions::new();
    let file = options.write(true).create_new(true).mode(0o600).open(path);
    file.and_then(|mut file| file.write_all(text.as_bytes()))
        .with_context(|| format!("cannot write `{}`", path.display()))
}

fn read(path: &Path) -> Result<String> {
    std::fs::read_to_string(path).with_context(|| format!("cannot read `{}`", path.display()))
}
