//! Guarded work by hand: each test polls it, so that it is known what woke it and how far it came.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Wake, Waker};

use super::super::held_tests::{ANA, Held, grant, revoked};
use super::*;
use crate::domain::value::time::Span;

/// Counts how often the work was woken.
#[derive(Default)]
struct Woken(AtomicUsize);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

/// Work that never ends by itself, and counts its steps.
async fn endless(steps: Arc<AtomicUsize>) {
    poll_fn(|_| {
        steps.fetch_add(1, Ordering::SeqCst);
        Poll::<()>::Pending
    })
    .await;
}

struct Guarded {
    held: Held,
    steps: Arc<AtomicUsize>,
    woken: Arc<Woken>,
    work: Pin<Box<dyn Future<Output = Result<(), Cut>>>>,
}

impl Guarded {
    /// Of a grant of ten seconds.
    fn new(run_on: &[&str]) -> Self {
        let held = Held::new(run_on);
        held.change(&[grant(1, 10)]);
        let steps = Arc::new(AtomicUsize::new(0));
        let (replica, work) = (held.replica.clone(), endless(Arc::clone(&steps)));
        let work = Box::pin(async move { replica.guard(ANA, "db.read", "prod/db/orders", work).await });
        Self { held, steps, woken: Arc::default(), work }
    }

    /// How it ended, if it did.
    fn poll(&mut self) -> Option<Cut> {
        let waker = Waker::from(Arc::clone(&self.woken));
        match self.work.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(ended) => Some(ended.unwrap_err()),
            Poll::Pending => None,
        }
    }

    fn steps(&self) -> usize {
        self.steps.load(Ordering::SeqCst)
    }

    fn times_woken(&self) -> usize {
        self.woken.0.load(Ordering::SeqCst)
    }
}

#[tokio::test]
async fn work_that_ends_gives_its_result_and_work_that_is_denied_does_not_begin() {
    let held = Held::new(&[]);
    let begun = AtomicUsize::new(0);
    let work = || async { begun.fetch_add(1, Ordering::SeqCst) };
    let cut = held.replica.guard(ANA, "db.read", "prod/db/orders", work()).await.unwrap_err();
    assert_eq!((cut.reason(), cut.began(), begun.load(Ordering::SeqCst)), ("NO_GRANT", false, 0));
    held.change(&[grant(1, 10)]);
    assert_eq!(held.replica.guard(ANA, "db.read", "prod/db/orders", work()).await, Ok(0));
}

#[tokio::test]
async fn a_revocation_wakes_work_and_cuts_it() {
    let mut guarded = Guarded::new(&[]);
    assert_eq!(guarded.poll(), None);
    assert_eq!((guarded.steps(), guarded.times_woken()), (1, 0));
    // when the grant is revoked while nothing else happens
    guarded.held.change(&[revoked(1)]);
    assert_eq!(guarded.times_woken(), 1);
    // then it takes no further step
    let cut = guarded.poll().unwrap();
    assert_eq!((cut.reason(), cut.began(), guarded.steps()), ("NO_GRANT", true, 1));
}

#[tokio::test]
async fn another_change_wakes_work_and_lets_it_go_on() {
    let mut guarded = Guarded::new(&[]);
    guarded.poll();
    guarded.held.change(&[grant(2, 20)]);
    assert_eq!((guarded.times_woken(), guarded.poll()), (1, None));
    // and the union of grants counts
    guarded.held.change(&[revoked(1)]);
    assert_eq!((guarded.poll(), guarded.steps()), (None, 3));
}

#[tokio::test]
async fn work_takes_no_step_at_the_end_of_its_grant_or_after_it() {
    let mut guarded = Guarded::new(&[]);
    for _ in 0..3 {
        guarded.held.clock.advance(Span::from_millis(3_333).unwrap());
        guarded.held.hear(5);
        assert_eq!(guarded.poll(), None);
    }
    assert_eq!(guarded.steps(), 3);
    guarded.held.clock.advance(Span::from_millis(1).unwrap());
    assert_eq!((guarded.poll().unwrap().reason(), guarded.steps()), ("NO_GRANT", 3));
}

#[tokio::test]
async fn work_is_cut_when_knowledge_is_too_old_but_for_what_runs_on() {
    let mut guarded = Guarded::new(&[]);
    let mut runs_on = Guarded::new(&["prod/db/orders"]);
    for guarded in [&mut guarded, &mut runs_on] {
        assert_eq!(guarded.poll(), None);
        guarded.held.clock.advance(Span::seconds(5));
    }
    assert_eq!((guarded.poll().unwrap().reason(), guarded.steps()), ("STALE", 1));
    assert_eq!(runs_on.poll(), None);
    // broken trust cuts that too
    runs_on.held.break_trust();
    assert_eq!((runs_on.times_woken(), runs_on.poll().unwrap().reason()), (1, "STALE"));
}

#[tokio::test]
async fn work_looks_again_by_itself_when_its_grant_ends() {
    // given work that nothing wakes, and a grant whose end comes within half a second of the runtime's time
    let held = Held::new(&[]);
    held.change(&[grant(1, 10)]);
    let replica = held.replica.clone();
    let work = replica.guard(ANA, "db.read", "prod/db/orders", std::future::pending::<()>());
    held.clock.advance(Span::from_millis(9_500).unwrap());
    held.hear(3);
    let first = held.replica.check(ANA, "db.read", "prod/db/orders");
    assert_eq!(held.replica.next_look(&first), Duration::from_millis(500));
    // when the time has come by the boot clock, then the guard's own timer finds it
    let (cut, ()) = tokio::join!(work, async { held.clock.advance(Span::from_millis(500).unwrap()) });
    assert_eq!(cut.unwrap_err().reason(), "NO_GRANT");
}
