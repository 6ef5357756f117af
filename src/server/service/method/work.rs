//! Dear work: what takes long, on a thread for that. Whoever asks takes a place for it before their message is read, and the work
//! keeps it until it is over: a caller who goes away drops a future, and no thread (known failure G28).

use std::time::Duration;

use tokio::task::{JoinError, JoinHandle};

use tonic::Status;

use crate::domain::value::refusal::{Reason, Refusal};
use crate::domain::value::time::Span;
use crate::server::caller::{Broker, VerifiedCaller};

/// Work that is not begun any more once nobody waits for it.
struct Working<T>(JoinHandle<T>);

impl<T> Drop for Working<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// How long a caller waits for their turn: less than a call may take, so that they are told why.
const LONGEST_WAIT: Duration = Duration::from_secs(3);

fn no_turn() -> Refusal {
    let refusal = Refusal::new(Reason::BudgetWork, "no turn came within 3 s for a list or a look into the past");
    Refusal { retry_after: Some(Span::SECOND), ..refusal }
}

/// Puts something together in the caller's turn, on a thread for that: not on the one that serves others too.
///
/// # Errors
/// If it broke off.
pub(crate) async fn in_turn<T: Send + 'static>(
    broker: &Broker,
    caller: &VerifiedCaller,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Status> {
    let waits = tokio::time::timeout(LONGEST_WAIT, broker.turn(caller)).await;
    let turn = waits.map_err(|_| broker.counted(no_turn()))?;
    let mut working = Working(tokio::task::spawn_blocking(move || {
        let _kept = turn;
        work()
    }));
    (&mut working.0).await.map_err(|error| {
        tracing::error!(%error, "what was looked up broke off");
        Refusal::new(Reason::StorageUnavailable, "what was looked up broke off").into()
    })
}

/// Works on a thread for that, which keeps the place of whoever asked, if they took one.
///
/// # Errors
/// If it broke off.
pub(crate) async fn on_a_thread<T: Send + 'static>(
    caller: &VerifiedCaller,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, JoinError> {
    let place = caller.place();
    let mut working = Working(tokio::task::spawn_blocking(move || {
        let _kept = place;
        work()
    }));
    (&mut working.0).await
}
