//! Answers that nobody reads: each is made, and waits in memory until its reader lets it go out. How much may wait of a
//! connection, and of all connections of one identity, is bounded, and a connection on which nothing goes out is cut (known failure
//! G29).

use std::collections::BTreeMap;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use http_body::{Body as _, Frame, SizeHint};
use tonic::Status;
use tonic::body::Body;
use tonic::codegen::Bytes;
use tonic::codegen::http::Response;

use super::limits::Limits;
use crate::clock::{BootMillis, Clock as _, SystemClock};
use crate::domain::value::ids::Identity;
use crate::domain::value::refusal::{Reason, Refusal};
use crate::domain::value::time::Span;

/// What is handed on at a time: as much as HTTP/2 keeps of a stream whose reader opens no window. What is no longer is not counted.
const PART_BYTES: usize = 16 * 1024;

/// How much may wait, and for how long.
#[derive(Debug, Clone, Copy)]
struct Bounds {
    of_connection: usize,
    of_identity: usize,
    deadline: Span,
}

/// What waits, by identity.
#[derive(Debug)]
pub(super) struct UnreadByIdentity {
    bounds: Bounds,
    waiting: Mutex<BTreeMap<Identity, Weak<AtomicUsize>>>,
}

impl UnreadByIdentity {
    /// Nothing waits yet.
    pub(super) fn new(limits: &Limits) -> Self {
        let bounds = Bounds {
            of_connection: limits.unread_bytes,
            of_identity: limits.unread_bytes_of_identity,
            deadline: span(limits.unread_deadline),
        };
        Self { bounds, waiting: Mutex::default() }
    }

    /// What waits on a connection of this identity, of which there is nothing yet.
    pub(super) fn connected(&self, identity: &Identity) -> Arc<Unread> {
        let mut all = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let of_identity = all.get(identity).and_then(Weak::upgrade).unwrap_or_default();
        all.retain(|_, waiting| waiting.strong_count() > 0);
        all.insert(identity.clone(), Arc::downgrade(&of_identity));
        let (bounds, moved) = (self.bounds, AtomicI64::new(SystemClock.boot().millis()));
        let (of_connection, answers) = (AtomicUsize::new(0), AtomicUsize::new(0));
        Arc::new(Unread { bounds, of_connection, of_identity, answers, moved })
    }
}

fn span(duration: Duration) -> Span {
    let millis = i64::try_from(duration.as_millis()).unwrap_or(i64::MAX);
    Span::from_millis(millis).unwrap_or(Span::MAX)
}

/// What waits on one connection.
#[derive(Debug)]
pub(super) struct Unread {
    bounds: Bounds,
    of_connection: AtomicUsize,
    of_identity: Arc<AtomicUsize>,
    /// Answers that are not over, streams among them.
    answers: AtomicUsize,
    /// When something last went out, or began to wait where nothing did, by the boot clock.
    moved: AtomicI64,
}

impl Unread {
    /// Whether something waits, and nothing has gone out for too long.
    pub(super) fn is_stuck(&self, now: BootMillis) -> bool {
        let moved = BootMillis::new(self.moved.load(Ordering::Relaxed));
        self.of_connection.load(Ordering::Relaxed) > 0 && now.since(moved) >= self.bounds.deadline
    }

    /// Whether an answer is not over.
    pub(super) fn is_answering(&self) -> bool {
        self.answers.load(Ordering::Relaxed) > 0
    }

    /// The answer, whose bytes are counted while they wait.
    ///
    /// # Errors
    /// `OUTCOME_UNKNOWN` in its place, if too many wait with it: what was asked for may have been done.
    pub(super) async fn counted(self: Arc<Self>, response: Response<Body>) -> Result<Response<Body>, Status> {
        let (head, mut body) = response.into_parts();
        // An answer that is one message is there by now, and its length with it. What is still to come waits for nobody.
        let looked = poll_fn(|context| Poll::Ready(Pin::new(&mut body).poll_frame(context))).await;
        let first = match looked {
            Poll::Ready(frame) => Some(frame),
            Poll::Pending => None,
        };
        self.answers.fetch_add(1, Ordering::Relaxed);
        let mut waiting = Waiting { unread: self, bytes: 0 };
        waiting.waits(first.as_ref().and_then(Option::as_ref).map_or(0, length))?;
        Ok(Response::from_parts(head, Body::new(Kept { inner: body, first, rest: Bytes::new(), waiting })))
    }

    fn has_room(&self, bytes: usize) -> Result<(), Status> {
        let with = |waiting: &AtomicUsize| waiting.load(Ordering::Relaxed).saturating_add(bytes);
        let is_over =
            with(&self.of_connection) > self.bounds.of_connection || with(&self.of_identity) > self.bounds.of_identity;
        if !is_over {
            return Ok(());
        }
        let detail = "more answers wait here than are kept for a client that does not read; read them first";
        Err(Refusal::new(Reason::OutcomeUnknown, detail).into())
    }
}

/// What one answer has waiting.
struct Waiting {
    unread: Arc<Unread>,
    bytes: usize,
}

impl Waiting {
    /// Counts what is longer than one part.
    fn waits(&mut self, bytes: usize) -> Result<(), Status> {
        if bytes <= PART_BYTES {
            return Ok(());
        }
        self.unread.has_room(bytes)?;
        self.bytes = self.bytes.saturating_add(bytes);
        let before = self.unread.of_connection.fetch_add(bytes, Ordering::Relaxed);
        self.unread.of_identity.fetch_add(bytes, Ordering::Relaxed);
        if before == 0 {
            self.moves();
        }
        Ok(())
    }

    fn went_out(&mut self) {
        let bytes = std::mem::take(&mut self.bytes);
        if bytes > 0 {
            self.unread.of_connection.fetch_sub(bytes, Ordering::Relaxed);
            self.unread.of_identity.fetch_sub(bytes, Ordering::Relaxed);
            self.moves();
        }
    }

    fn moves(&self) {
        self.unread.moved.store(SystemClock.boot().millis(), Ordering::Relaxed);
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.went_out();
        self.unread.answers.fetch_sub(1, Ordering::Relaxed);
    }
}

type Framed = Result<Frame<Bytes>, Status>;

fn length(frame: &Framed) -> usize {
    frame.as_ref().ok().and_then(Frame::data_ref).map_or(0, Bytes::len)
}

/// An answer's body, handed on in parts: it is asked for the next one when there is room for that on its way.
struct Kept {
    inner: Body,
    /// What was looked at already: a frame, or that there is none.
    first: Option<Option<Framed>>,
    /// What is left of a long frame.
    rest: Bytes,
    waiting: Waiting,
}

impl Kept {
    /// A copy, so that the last part does not keep the whole.
    fn part(&mut self) -> Bytes {
        let part = Bytes::copy_from_slice(&self.rest.split_to(self.rest.len().min(PART_BYTES)));
        self.waiting.moves();
        if self.rest.is_empty() {
            self.rest = Bytes::new();
            self.waiting.went_out();
        }
        part
    }
}

impl http_body::Body for Kept {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Framed>> {
        let this = &mut *self;
        if this.rest.is_empty() {
            let frame = match this.first.take() {
                Some(first) => first,
                None => {
                    let frame = ready!(Pin::new(&mut this.inner).poll_frame(context));
                    match this.waiting.waits(frame.as_ref().map_or(0, length)) {
                        Ok(()) => frame,
                        Err(status) => Some(Err(status)),
                    }
                }
            };
            match frame {
                Some(Ok(frame)) if frame.data_ref().is_some_and(|data| data.len() > PART_BYTES) => {
                    this.rest = frame.into_data().unwrap_or_default();
                }
                frame => return Poll::Ready(frame),
            }
        }
        Poll::Ready(Some(Ok(Frame::data(this.part()))))
    }

    fn is_end_stream(&self) -> bool {
        match &self.first {
            Some(first) => first.is_none(),
            None => self.rest.is_empty() && self.inner.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        let first = self.first.as_ref().and_then(Option::as_ref).map_or(0, length);
        let here = u64::try_from(first.saturating_add(self.rest.len())).ok();
        let whole = self.inner.size_hint().exact().zip(here).map(|(rest, here)| rest.saturating_add(here));
        whole.map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt as _;
    use http_body_util::Full;

    use super::*;

    const DEADLINE: Span = Span::seconds(30);

    fn now() -> BootMillis {
        SystemClock.boot()
    }

    fn identity(name: &str) -> Identity {
        format!("spiffe://northwind.example/person/{name}").parse().unwrap()
    }

    fn answer(bytes: usize) -> Response<Body> {
        Response::new(Body::new(Full::new(Bytes::from(vec![7; bytes]))))
    }

    fn waits(unread: &Unread) -> usize {
        unread.of_connection.load(Ordering::Relaxed)
    }

    #[tokio::test]
    async fn an_answer_is_counted_until_its_last_part_has_been_asked_for_and_is_whole() {
        let unread = UnreadByIdentity::new(&Limits::default()).connected(&identity("ana"));
        // given an answer that nobody reads yet
        let mut body = Arc::clone(&unread).counted(answer(40_000)).await.unwrap().into_body();
        assert_eq!((waits(&unread), body.size_hint().exact(), body.is_end_stream()), (40_000, Some(40_000), false));
        // when it is asked for part by part, then it waits whole until the last one
        for (part, (waiting, left)) in [(16_384, (40_000, 23_616)), (16_384, (40_000, 7_232)), (7_232, (0, 0))] {
            assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap(), vec![7; part]);
            assert_eq!(
                (waits(&unread), body.size_hint().exact(), body.is_end_stream()),
                (waiting, Some(left), left == 0)
            );
        }
        assert!(body.frame().await.is_none());
        // nor does one that is given up; and one of a single part, or an empty one, never did
        drop(Arc::clone(&unread).counted(answer(40_000)).await.unwrap());
        let small = Arc::clone(&unread).counted(answer(PART_BYTES)).await.unwrap();
        let empty = Arc::clone(&unread).counted(Response::new(Body::empty())).await.unwrap().into_body();
        assert_eq!((waits(&unread), empty.is_end_stream()), (0, true));
        assert_eq!(small.into_body().collect().await.unwrap().to_bytes(), vec![7; PART_BYTES]);
    }

    #[tokio::test]
    async fn more_than_is_kept_of_a_connection_or_an_identity_is_refused_and_small_answers_never_are() {
        let all = UnreadByIdentity::new(&Limits::default());
        let mebibyte = 1024 * 1024;
        // given connections of one identity that have as much waiting as one connection may
        let mut kept = Vec::new();
        let connections: Vec<Arc<Unread>> = (0..5).map(|_| all.connected(&identity("ana"))).collect();
        for connection in &connections[..4] {
            for _ in 0..8 {
                kept.push(Arc::clone(connection).counted(answer(mebibyte)).await.unwrap());
            }
        }
        // then one more is refused on each, and on another that has nothing waiting
        for connection in &connections {
            let refused = Arc::clone(connection).counted(answer(mebibyte)).await.unwrap_err();
            assert!(refused.message().contains("read them first"), "{refused:?}");
            kept.push(Arc::clone(connection).counted(answer(16 * 1024)).await.unwrap());
        }
        // and nobody else notices
        assert!(all.connected(&identity("ben")).counted(answer(mebibyte)).await.is_ok());
        // when it has gone out, there is room
        drop(kept);
        assert!(Arc::clone(&connections[4]).counted(answer(mebibyte)).await.is_ok());
        drop(connections);
        assert_eq!(all.connected(&identity("ana")).of_identity.load(Ordering::Relaxed), 0);
    }

    #[tokio::test]
    async fn a_connection_on_which_nothing_goes_out_is_stuck_and_an_idle_one_is_not() {
        let unread = UnreadByIdentity::new(&Limits::default()).connected(&identity("ana"));
        assert!(!unread.is_stuck(now().plus(DEADLINE).plus(DEADLINE)));
        // given two answers, of which one goes out later
        let one = Arc::clone(&unread).counted(answer(40_000)).await.unwrap();
        let mut two = Arc::clone(&unread).counted(answer(40_000)).await.unwrap().into_body();
        let both = now();
        tokio::time::sleep(Duration::from_millis(2)).await;
        while two.frame().await.is_some() {}
        // then the time runs from that on
        assert!(!unread.is_stuck(both.plus(DEADLINE)));
        assert!(unread.is_stuck(now().plus(DEADLINE)));
        drop(one);
        assert!(!unread.is_stuck(now().plus(DEADLINE)));
    }
}
