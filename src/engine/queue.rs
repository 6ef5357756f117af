//! Two bounded queues, so that what takes access away never waits behind what gives it; and questions, beside them.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::oneshot;

use super::outcome::Done;
use crate::domain::record::called_from::CalledFrom;
use crate::domain::record::command::Command;
use crate::domain::state::State;
use crate::domain::value::ids::RequestId;
use crate::domain::value::refusal::{Reason, Refusal};
use crate::domain::value::time::{Now, Span};

/// A command that waits, with where its answer goes.
pub(super) struct Job {
    pub(super) caller: CalledFrom,
    pub(super) request_id: RequestId,
    pub(super) command: Command,
    pub(super) reply: oneshot::Sender<Result<Done, Refusal>>,
}

/// A pure question to the writer's state.
pub(super) type Task = Box<dyn FnOnce(&State, Now) + Send>;

/// What the writer took.
pub(super) struct Taken {
    pub(super) jobs: Vec<Job>,
    pub(super) questions: Vec<Task>,
    /// Nothing more will come.
    pub(super) closed: bool,
}

pub(super) struct Queues {
    capacity: usize,
    waiting: Mutex<Waiting>,
    ready: Condvar,
}

#[derive(Default)]
struct Waiting {
    urgent: VecDeque<Job>,
    ordinary: VecDeque<Job>,
    questions: VecDeque<Task>,
    closed: Option<Reason>,
}

/// Questions between two batches, so that a flood of them cannot hold commands up.
const QUESTIONS_AT_ONCE: usize = 16;

impl Queues {
    pub(super) fn new(capacity: usize) -> Self {
        Self { capacity, waiting: Mutex::default(), ready: Condvar::new() }
    }

    pub(super) fn push(&self, job: Job) -> Result<(), Refusal> {
        let mut waiting = self.open()?;
        let queue = if job.command.takes_away() { &mut waiting.urgent } else { &mut waiting.ordinary };
        if queue.len() >= self.capacity {
            return Err(overloaded());
        }
        queue.push_back(job);
        drop(waiting);
        self.ready.notify_one();
        Ok(())
    }

    /// Puts a question to the writer's state, and waits for the answer.
    pub(super) async fn answer<T: Send + 'static>(
        &self,
        question: impl FnOnce(&State, Now) -> T + Send + 'static,
    ) -> Result<T, Refusal> {
        let (reply, answer) = oneshot::channel();
        self.ask(Box::new(move |state, now| {
            // Who asked may have gone.
            let _ = reply.send(question(state, now));
        }))?;
        answer.await.map_err(|_| Refusal::new(Reason::Halted, ""))
    }

    fn ask(&self, task: Task) -> Result<(), Refusal> {
        let mut waiting = self.open()?;
        if waiting.questions.len() >= self.capacity.div_ceil(2) {
            return Err(overloaded());
        }
        waiting.questions.push_back(task);
        drop(waiting);
        self.ready.notify_one();
        Ok(())
    }

    /// Waits for work, at most so long; at once if there is some.
    pub(super) fn take(&self, most: usize, wait: Duration) -> Taken {
        let waiting = self.lock();
        let idle = |waiting: &mut Waiting| {
            waiting.urgent.is_empty()
                && waiting.ordinary.is_empty()
                && waiting.questions.is_empty()
                && waiting.closed.is_none()
        };
        let (mut waiting, _) =
            self.ready.wait_timeout_while(waiting, wait, idle).unwrap_or_else(PoisonError::into_inner);
        let urgent = waiting.urgent.len().min(most);
        let mut jobs: Vec<Job> = waiting.urgent.drain(..urgent).collect();
        let ordinary = waiting.ordinary.len().min(most.saturating_sub(urgent));
        jobs.extend(waiting.ordinary.drain(..ordinary));
        let questions = waiting.questions.len().min(QUESTIONS_AT_ONCE);
        let questions: Vec<Task> = waiting.questions.drain(..questions).collect();
        let closed = waiting.closed.is_some() && jobs.is_empty() && questions.is_empty();
        Taken { jobs, questions, closed }
    }

    /// Refuses what comes from now on; what waits is still taken.
    pub(super) fn close(&self, reason: Reason) {
        self.lock().closed.get_or_insert(reason);
        self.ready.notify_all();
    }

    /// Throws away what waits: whoever asked learns that the broker halted, because its answer can no longer come.
    pub(super) fn abandon(&self) {
        let mut waiting = self.lock();
        waiting.closed.get_or_insert(Reason::Halted);
        let closed = waiting.closed;
        let thrown_away = std::mem::replace(&mut *waiting, Waiting { closed, ..Waiting::default() });
        drop(waiting);
        // Outside the lock: a question may hold the last handle of the engine, whose end locks again.
        drop(thrown_away);
    }

    fn open(&self) -> Result<MutexGuard<'_, Waiting>, Refusal> {
        let waiting = self.lock();
        match waiting.closed {
            Some(reason) => Err(Refusal::new(reason, "")),
            None => Ok(waiting),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        // Nothing panics while it is held; were it so, the queues are whole all the same.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn overloaded() -> Refusal {
    let mut refusal = Refusal::new(Reason::Overloaded, "");
    refusal.retry_after = Some(Span::SECOND);
    refusal
}
