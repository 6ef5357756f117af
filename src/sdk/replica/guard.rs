//! Work that goes on: a check at its beginning says nothing about its end (known failure C12). What is guarded is checked again
//! before each of its steps, at every change of what is known, when its grant ends and when knowledge grows too old; and
//! it takes no further step once it is denied.

use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::{Sleep, sleep};
use tokio_stream::Stream;
use tokio_stream::wrappers::WatchStream;

use super::Replica;
use super::checked::{Checked, duration};
use crate::check::Query;

/// It looks again at least so often: after a suspend of the machine the runtime's timers are late.
const LONGEST_WAIT: Duration = Duration::from_secs(1);
const SHORTEST_WAIT: Duration = Duration::from_millis(1);

/// Why guarded work did not come to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cut {
    checked: Checked,
    began: bool,
}

impl Cut {
    /// The answer that cut it off.
    pub fn checked(&self) -> Checked {
        self.checked
    }

    /// The reason of that answer.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        self.checked.reason()
    }

    /// Whether any of the work may have been done. If not, it was denied from the outset.
    #[must_use]
    pub fn began(&self) -> bool {
        self.began
    }
}

impl fmt::Display for Cut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let reason = self.reason();
        match self.began {
            true => write!(
                f,
                "access ended in the middle of the work ({reason}); ask for it again, and look at what was done"
            ),
            false => write!(f, "access is denied ({reason}); ask for it first"),
        }
    }
}
impl std::error::Error for Cut {}

impl Replica {
    /// Does the work while it is allowed, and drops it where it stands when it no longer is: at the end of its grant, at a
    /// revocation, or when knowledge grows too old. Work that was denied from the outset is not begun.
    ///
    /// The work must be such that it can be left after any `await`, as in `tokio::time::timeout`; what it hands to other
    /// tasks or threads goes on.
    ///
    /// # Errors
    /// If it was cut off, or not begun.
    pub async fn guard<T>(
        &self,
        subject: &str,
        action: &str,
        resource: &str,
        work: impl Future<Output = T>,
    ) -> Result<T, Cut> {
        let first = self.check(subject, action, resource);
        if !first.is_allowed() {
            return Err(Cut { checked: first, began: false });
        }
        let mut vigil = Vigil::new(self.clone(), subject, action, resource);
        let mut work = pin!(work);
        poll_fn(|context| {
            if let Poll::Ready(checked) = vigil.poll_denied(context) {
                return Poll::Ready(Err(Cut { checked, began: true }));
            }
            work.as_mut().poll(context).map(Ok)
        })
        .await
    }
}

/// Work of many steps that is allowed, each as it comes ([`Replica::steps`]).
#[derive(Debug, Clone)]
#[must_use = "steps that nobody asks for guard nothing"]
pub struct GuardedSteps {
    replica: Replica,
    subject: Box<str>,
    action: Box<str>,
    resource: Box<str>,
}

impl Replica {
    /// For work that blocks a thread, and so cannot be dropped where it stands: before each of its steps it asks whether it
    /// may take that one. A step that has begun goes to its end, so they should be short.
    ///
    /// ```no_run
    /// # use countersign::sdk::{Cut, Replica};
    /// # fn copy(replica: &Replica, rows: Vec<u8>, write: impl Fn(u8)) -> Result<(), Cut> {
    /// let mut steps = replica.steps("ana", "db.read", "prod/eu/db/orders/primary")?;
    /// for row in rows {
    ///     steps.next()?;
    ///     write(row);
    /// }
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// If it is denied from the outset.
    pub fn steps(&self, subject: &str, action: &str, resource: &str) -> Result<GuardedSteps, Cut> {
        let checked = self.check(subject, action, resource);
        if !checked.is_allowed() {
            return Err(Cut { checked, began: false });
        }
        let (subject, action, resource) = (subject.into(), action.into(), resource.into());
        Ok(GuardedSteps { replica: self.clone(), subject, action, resource })
    }
}

impl GuardedSteps {
    /// The next step may be taken.
    ///
    /// # Errors
    /// If it is denied by now: the work was cut off before it.
    #[allow(clippy::should_implement_trait, reason = "what comes is a permission or an error, never an end")]
    pub fn next(&mut self) -> Result<(), Cut> {
        let checked = self.replica.check(&self.subject, &self.action, &self.resource);
        if checked.is_allowed() { Ok(()) } else { Err(Cut { checked, began: true }) }
    }
}

/// Who is told when a vigil ends.
#[derive(Clone)]
pub(super) struct OnCut(Arc<dyn Fn(&Checked) + Send + Sync>);

#[cfg(feature = "tower")]
impl OnCut {
    pub(super) fn new(told: impl Fn(&Checked) + Send + Sync + 'static) -> Self {
        Self(Arc::new(told))
    }
}

/// Watches one question until it is denied.
pub(super) struct Vigil {
    replica: Replica,
    subject: Box<str>,
    action: Box<str>,
    resource: Box<str>,
    changes: WatchStream<u64>,
    timer: Option<Pin<Box<Sleep>>>,
    on_cut: Option<OnCut>,
}

impl Vigil {
    pub(super) fn new(replica: Replica, subject: &str, action: &str, resource: &str) -> Self {
        let changes = WatchStream::from_changes(replica.shared.changed.subscribe());
        let (subject, action, resource) = (subject.into(), action.into(), resource.into());
        Self { replica, subject, action, resource, changes, timer: None, on_cut: None }
    }

    #[cfg(feature = "tower")]
    pub(super) fn telling(self, on_cut: OnCut) -> Self {
        Self { on_cut: Some(on_cut), ..self }
    }

    /// The answer as soon as it is a deny; until then the task is woken when it may have become one.
    pub(super) fn poll_denied(&mut self, context: &mut Context<'_>) -> Poll<Checked> {
        loop {
            let query = Query { subject: &self.subject, action: &self.action, resource: &self.resource };
            let checked = self.replica.shared.look(0, query);
            if !checked.is_allowed() {
                self.replica.shared.checks.count(checked.verdict);
                if let Some(OnCut(told)) = &self.on_cut {
                    told(&checked);
                }
                return Poll::Ready(checked);
            }
            // The sender lives as long as the replica, which this holds.
            if let Poll::Ready(Some(_)) = Pin::new(&mut self.changes).poll_next(context) {
                self.timer = None;
                continue;
            }
            let timer = self.timer.get_or_insert_with(|| Box::pin(sleep(self.replica.next_look(&checked))));
            if timer.as_mut().poll(context).is_pending() {
                return Poll::Pending;
            }
            self.timer = None;
        }
    }
}

impl Replica {
    /// How long an allow can last without a change.
    fn next_look(&self, checked: &Checked) -> Duration {
        let left = checked.valid_for().unwrap_or_default();
        let fresh = duration(self.shared.max_staleness.minus(checked.age));
        // What runs on is stale already.
        let until_stale = if fresh.is_zero() { LONGEST_WAIT } else { fresh };
        left.min(until_stale).clamp(SHORTEST_WAIT, LONGEST_WAIT)
    }
}

#[cfg(test)]
#[path = "guard_tests.rs"]
mod tests;
