//! Waiting until what was done is in force in every replica.

use super::session::Session;
use crate::cli::term::failure::{Exit, Failure, Ran};
use crate::clock::{Clock as _, SystemClock};
use crate::domain::value::time::Span;
use crate::wire::v1::AwaitReplicasResponse;

/// Where the replicas are.
pub(in crate::cli) struct Reached {
    /// How many are connected, how many of them have it, and how many were lost.
    pub(in crate::cli) replicas: AwaitReplicasResponse,
    /// How long that took.
    pub(in crate::cli) took: Span,
}

/// Waits for the replicas, and says in how many of them what was done is in force.
///
/// # Errors
/// If the broker cannot be asked.
pub(in crate::cli) async fn in_replicas(session: &mut Session<'_>, sequence: &str, done: &str) -> Ran {
    let reached = await_replicas(session, sequence).await?;
    Ok(reached.show(session, done))
}

/// Waits until every connected replica has what was done, or the broker stops waiting.
///
/// # Errors
/// If the broker cannot be asked.
pub(in crate::cli) async fn await_replicas(session: &Session<'_>, sequence: &str) -> Result<Reached, Failure> {
    let clock = SystemClock;
    let begun = clock.boot();
    let mut answers = session.client.await_replicas(sequence).await?;
    let mut replicas = AwaitReplicasResponse::default();
    while let Some(answer) = answers.message().await.map_err(|status| Failure::Failed(status.message().to_owned()))? {
        replicas = answer;
    }
    Ok(Reached { replicas, took: clock.boot().since(begun) })
}

impl Reached {
    /// Says in how many replicas `done` is in force. The exit code is that of still waiting if some lack it.
    pub(in crate::cli) fn show(&self, session: &mut Session<'_>, done: &str) -> Exit {
        let AwaitReplicasResponse { connected, reached, lost } = self.replicas;
        let millis = self.took.millis();
        session.output.note(&format!("{done} in {reached} of {connected} connected replicas, after {millis} ms"));
        if lost > 0 {
            session.output.note(&format!("{lost} more have lost their connection, and may still allow it"));
        }
        if reached < connected || lost > 0 {
            session.output.note("those deny once they are older than their services allow; look at their `status`");
            return Exit::Waiting;
        }
        Exit::Yes
    }
}
