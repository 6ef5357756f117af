//! Dear work: what takes long, on a thread for that. Whoever asks takes a place for it before their message is read, and the work
//! keeps it until it is over: a caller who goes away drops a future, and no thread (known failure G28).

use tokio::task::{JoinError, JoinHandle};

use crate::server::caller::VerifiedCaller;

/// Work that is not begun any more once nobody waits for it.
struct Working<T>(JoinHandle<T>);

impl<T> Drop for Working<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
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
