//! The command that is run for each notification: JSON on its stdin, and a time within which it has to end. It gets none
//! of the notifier's own credentials.

use std::process::Stdio;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;

/// A command's process group, which is killed if it is dropped before the command has ended.
struct Group(Option<Pid>);

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(group) = self.0 {
            let _ = kill_process_group(group, Signal::KILL);
        }
    }
}

/// What is run.
#[derive(Debug, Clone)]
pub(super) struct Hook {
    /// A program and its arguments.
    pub(super) words: Vec<String>,
    /// How long one may take.
    pub(super) within: Duration,
}

impl Hook {
    /// Runs it once.
    ///
    /// # Errors
    /// Why the notification was not taken.
    pub(super) async fn run(&self, input: Vec<u8>) -> Result<(), String> {
        let (program, arguments) = self.words.split_first().ok_or("there is no command")?;
        let mut command = Command::new(program);
        command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::inherit());
        command.kill_on_drop(true).process_group(0);
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("COUNTERSIGN_") {
                command.env_remove(name);
            }
        }
        let mut child = command.spawn().map_err(|error| format!("`{program}` cannot be run: {error}"))?;
        let mut group = Group(child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw));
        let stdin = child.stdin.take();
        let ended = async {
            if let Some(mut stdin) = stdin {
                // Whoever does not read to the end may still have taken it.
                let _ = stdin.write_all(&input).await;
                drop(stdin);
            }
            let status = child.wait().await;
            // What it has left to run in the background is its own affair.
            group.0 = None;
            status
        };
        match tokio::time::timeout(self.within, ended).await {
            Ok(Ok(status)) if status.success() => Ok(()),
            Ok(Ok(status)) => Err(format!("`{program}` ended with {status}")),
            Ok(Err(error)) => Err(format!("`{program}`: {error}")),
            // Dropped with the call, it is killed, and all that it has started.
            Err(_) => Err(format!("`{program}` did not end within {} s", self.within.as_secs())),
        }
    }
}
