//! Two bounded queues, so that what takes access away never waits behind what gives it; and questions, beside them. In each, who
//! waits takes turns, and no one fills it: of the urgent one a quarter is kept for who may take access from others.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::oneshot;

use super::fair::FairQueue;
use super::outcome::Done;
use crate::clock::Stopwatch;
use crate::domain::record::called_from::CalledFrom;
use crate::domain::record::command::Command;
use crate::domain::rule::spender::Spender;
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
    /// Since it came.
    pub(super) waits: Stopwatch,
}

/// A pure question to the writer's state.
pub(super) type Task = Box<dyn FnOnce(&State, Now) + Send>;

/// Who sends what waits.
pub(super) struct Sender {
    pub(super) spender: Spender,
    /// They may take access from others.
    pub(super) takes_from_others: bool,
}

/// What the writer found when it looked.
pub(super) struct Found {
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
    urgent: FairQueue<Job>,
    ordinary: FairQueue<Job>,
    /// Questions of the broker itself, which are short.
    questions: VecDeque<Task>,
    /// Questions of callers, each of which may take as long as a command.
    dear: FairQueue<Task>,
    closed: Option<Reason>,
}

impl Waiting {
    fn is_empty(&self) -> bool {
        self.urgent.is_empty() && self.ordinary.is_empty() && self.questions.is_empty() && self.dear.is_empty()
    }
}

/// Questions between two batches, so that a flood of them cannot hold commands up; of those that may take as long as a
/// command, one.
const QUESTIONS_AT_ONCE: usize = 16;
/// One sender's share of a queue is one of so many.
const SHARES: usize = 8;
/// Of the urgent queue one of so many parts is kept for who may take access from others.
const KEPT_SHARE: usize = 4;

impl Queues {
    pub(super) fn new(capacity: usize) -> Self {
        Self { capacity, waiting: Mutex::default(), ready: Condvar::new() }
    }

    /// Who is nobody here waits for nothing urgent.
    pub(super) fn push(&self, sender: Sender, job: Job) -> Result<(), Refusal> {
        let mut waiting = self.open()?;
        let is_urgent = job.command.takes_away() && sender.spender != Spender::Unknown;
        let (queue, room) = match (is_urgent, sender.takes_from_others) {
            (true, true) => (&mut waiting.urgent, self.capacity),
            (true, false) => (&mut waiting.urgent, self.capacity.saturating_sub(share(self.capacity, KEPT_SHARE))),
            (false, _) => (&mut waiting.ordinary, self.capacity),
        };
        let has_share = sender.takes_from_others || queue.len_of(&sender.spender) < share(self.capacity, SHARES);
        if queue.len() >= room || !has_share {
            return Err(overloaded());
        }
        queue.push(sender.spender, job);
        drop(waiting);
        self.ready.notify_one();
        Ok(())
    }

    /// Puts a question to the writer's state, and waits for the answer. A caller's may take as long as a command, and waits its
    /// turn; one of the broker itself, which has no sender, is short. It is not asked for whoever has gone by then.
    pub(super) async fn answer<T: Send + 'static>(
        &self,
        sender: Option<Spender>,
        question: impl FnOnce(&State, Now) -> T + Send + 'static,
    ) -> Result<T, Refusal> {
        let (reply, answer) = oneshot::channel();
        let task = move |state: &State, now| {
            if !reply.is_closed() {
                let _ = reply.send(question(state, now));
            }
        };
        self.ask(sender, Box::new(task))?;
        answer.await.map_err(|_| Refusal::new(Reason::Halted, ""))
    }

    fn ask(&self, sender: Option<Spender>, task: Task) -> Result<(), Refusal> {
        let mut waiting = self.open()?;
        let room = self.capacity.div_ceil(2);
        match sender {
            None if waiting.questions.len() < room => waiting.questions.push_back(task),
            Some(sender)
                if waiting.dear.len() < room && waiting.dear.len_of(&sender) < share(self.capacity, SHARES) =>
            {
                waiting.dear.push(sender, task);
            }
            _ => return Err(overloaded()),
        }
        drop(waiting);
        self.ready.notify_one();
        Ok(())
    }

    /// Waits for work, at most so long, and not at all if there is some. Commands stay, to be taken one by one.
    pub(super) fn wait(&self, wait: Duration) -> Found {
        let waiting = self.lock();
        let idle = |waiting: &mut Waiting| waiting.is_empty() && waiting.closed.is_none();
        let (mut waiting, _) =
            self.ready.wait_timeout_while(waiting, wait, idle).unwrap_or_else(PoisonError::into_inner);
        let closed = waiting.closed.is_some() && waiting.is_empty();
        let questions = waiting.questions.len().min(QUESTIONS_AT_ONCE);
        let mut questions: Vec<Task> = waiting.questions.drain(..questions).collect();
        questions.extend(waiting.dear.pop());
        Found { questions, closed }
    }

    /// The next command: what is urgent goes before the rest, also if it came while a batch was being decided.
    pub(super) fn next(&self) -> Option<Job> {
        let mut waiting = self.lock();
        waiting.urgent.pop().or_else(|| waiting.ordinary.pop())
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

fn share(capacity: usize, of: usize) -> usize {
    capacity.checked_div(of).unwrap_or(capacity).max(1)
}

fn overloaded() -> Refusal {
    let mut refusal = Refusal::new(Reason::Overloaded, "");
    refusal.retry_after = Some(Span::SECOND);
    refusal
}
