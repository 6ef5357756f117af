//! The beats of the threads that serve: whoever asks whether the broker lives is told of one that no longer gets to its
//! work, and not only that the process is there (known failure G17).

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use crate::clock::{BootMillis, Clock as _, SystemClock};
use crate::domain::value::time::Span;

const BEAT_EVERY: Duration = Duration::from_secs(1);
/// A thread that was silent for as long does not serve. Longer than any work that yields, or a machine that swaps.
const SILENT_FOR: Span = Span::seconds(10);

/// When each thread last beat, in milliseconds of the boot clock. One that has not begun has just beaten.
#[derive(Debug)]
pub struct Pulse(Vec<AtomicI64>);

impl Pulse {
    pub(super) fn of(threads: usize) -> Self {
        let now = now().millis();
        Self((0..threads).map(|_| AtomicI64::new(now)).collect())
    }

    /// Beats for one thread, on that thread, for ever.
    pub(super) async fn beat(&self, thread: usize) {
        let mut each = tokio::time::interval(BEAT_EVERY);
        each.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            each.tick().await;
            if let Some(beat) = self.0.get(thread) {
                beat.store(now().millis(), Ordering::Relaxed);
            }
        }
    }

    /// Whether all threads have beaten lately.
    #[must_use]
    pub fn is_steady(&self) -> bool {
        self.is_steady_at(now())
    }

    fn is_steady_at(&self, now: BootMillis) -> bool {
        let last = |beat: &AtomicI64| BootMillis::new(beat.load(Ordering::Relaxed));
        self.0.iter().all(|beat| now.since(last(beat)) < SILENT_FOR)
    }
}

fn now() -> BootMillis {
    SystemClock.boot()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_thread_that_is_silent_is_enough() {
        let pulse = Pulse(vec![AtomicI64::new(20_000), AtomicI64::new(12_000)]);
        assert!(pulse.is_steady_at(BootMillis::new(21_999)));
        assert!(!pulse.is_steady_at(BootMillis::new(22_000)));
    }
}
