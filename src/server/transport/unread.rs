//! Answers that nobody reads: each is made, and waits in memory until its reader lets it go out. How much may wait of a
//! connection, and of all connections of one identity, is bounded, and a connection on which nothing goes out is cut (known failure
//! G29).

use std::collections::BTreeMap;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use http_body::{Body as _, Frame, SizeHint};
use tokio::time::Instant;
use tonic::Status;
use tonic::body::Body;
use tonic::codegen::Bytes;
use tonic::codegen::http::Response;

use crate::domain::value::ids::Identity;
use crate::domain::value::refusal::{Reason, Refusal};

/// What may wait on one connection.
const OF_CONNECTION_BYTES: usize = 8 * 1024 * 1024;
/// What may wait on all connections of one identity.
const OF_IDENTITY_BYTES: usize = 32 * 1024 * 1024;
/// An answer that is no longer than this is never refused: there are at most as many as streams.
const SMALL_BYTES: usize = 16 * 1024;
/// How long nothing may go out while something waits.
const DEADLINE: Duration = Duration::from_secs(30);

/// What waits, by identity.
#[derive(Debug, Default)]
pub(super) struct UnreadByIdentity(Mutex<BTreeMap<Identity, Weak<AtomicUsize>>>);

impl UnreadByIdentity {
    /// What waits on a connection of this identity, of which there is nothing yet.
    pub(super) fn connected(&self, identity: &Identity) -> Arc<Unread> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let of_identity = all.get(identity).and_then(Weak::upgrade).unwrap_or_default();
        all.retain(|_, waiting| waiting.strong_count() > 0);
        all.insert(identity.clone(), Arc::downgrade(&of_identity));
        Arc::new(Unread { of_connection: AtomicUsize::new(0), of_identity, moved: Mutex::new(Instant::now()) })
    }
}

/// What waits on one connection.
#[derive(Debug)]
pub(super) struct Unread {
    of_connection: AtomicUsize,
    of_identity: Arc<AtomicUsize>,
    /// When something last went out, or began to wait where nothing did.
    moved: Mutex<Instant>,
}

impl Unread {
    /// Whether something waits, and nothing has gone out for too long.
    pub(super) fn is_stuck(&self, now: Instant) -> bool {
        let moved = *self.moved.lock().unwrap_or_else(PoisonError::into_inner);
        self.of_connection.load(Ordering::Relaxed) > 0 && now.saturating_duration_since(moved) >= DEADLINE
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
        let bytes = first.as_ref().and_then(Option::as_ref).map_or(0, length);
        self.has_room(bytes)?;
        let mut waiting = Waiting { unread: self, bytes: 0 };
        waiting.waits(bytes);
        Ok(Response::from_parts(head, Body::new(Kept { inner: body, first, waiting })))
    }

    fn has_room(&self, bytes: usize) -> Result<(), Status> {
        let with = |waiting: &AtomicUsize| waiting.load(Ordering::Relaxed).saturating_add(bytes);
        let is_over = with(&self.of_connection) > OF_CONNECTION_BYTES || with(&self.of_identity) > OF_IDENTITY_BYTES;
        if bytes <= SMALL_BYTES || !is_over {
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
    fn waits(&mut self, bytes: usize) {
        self.bytes = self.bytes.saturating_add(bytes);
        let before = self.unread.of_connection.fetch_add(bytes, Ordering::Relaxed);
        self.unread.of_identity.fetch_add(bytes, Ordering::Relaxed);
        if before == 0 {
            self.moves();
        }
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
        *self.unread.moved.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.went_out();
    }
}

type Framed = Result<Frame<Bytes>, Status>;

fn length(frame: &Framed) -> usize {
    frame.as_ref().ok().and_then(Frame::data_ref).map_or(0, Bytes::len)
}

/// An answer's body. It is asked for its next part once the one before has gone out, which is how that is known.
struct Kept {
    inner: Body,
    /// What was looked at already: a part, or that there is none.
    first: Option<Option<Framed>>,
    waiting: Waiting,
}

impl http_body::Body for Kept {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Framed>> {
        let this = &mut *self;
        if let Some(first) = this.first.take() {
            return Poll::Ready(first);
        }
        this.waiting.went_out();
        let frame = ready!(Pin::new(&mut this.inner).poll_frame(context));
        this.waiting.waits(frame.as_ref().map_or(0, length));
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        match &self.first {
            Some(first) => first.is_none(),
            // Not while the last part waits: it would be forgotten as soon as it is handed on.
            None => self.waiting.bytes == 0 && self.inner.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        let rest = self.inner.size_hint();
        let first = self.first.as_ref().and_then(Option::as_ref).map_or(0, length);
        let whole = rest.exact().zip(u64::try_from(first).ok()).map(|(rest, first)| rest.saturating_add(first));
        whole.map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt as _;
    use http_body_util::Full;

    use super::*;

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
    async fn an_answer_is_counted_until_it_has_gone_out_and_is_whole() {
        let unread = UnreadByIdentity::default().connected(&identity("ana"));
        // given an answer that nobody reads yet
        let mut body = Arc::clone(&unread).counted(answer(1_000_000)).await.unwrap().into_body();
        assert_eq!(
            (waits(&unread), body.size_hint().exact(), body.is_end_stream()),
            (1_000_000, Some(1_000_000), false)
        );
        // when it is handed on, then it still waits; and no more once the next part is asked for
        let part = body.frame().await.unwrap().unwrap();
        assert_eq!(
            (part.into_data().unwrap().len(), waits(&unread), body.is_end_stream()),
            (1_000_000, 1_000_000, false)
        );
        assert!(body.frame().await.is_none());
        assert_eq!(waits(&unread), 0);
        // nor once it is given up, and one that is empty never did
        drop(Arc::clone(&unread).counted(answer(5)).await.unwrap());
        let empty = Arc::clone(&unread).counted(Response::new(Body::empty())).await.unwrap().into_body();
        assert_eq!((waits(&unread), empty.is_end_stream()), (0, true));
    }

    #[tokio::test]
    async fn more_than_is_kept_of_a_connection_or_an_identity_is_refused_and_small_answers_never_are() {
        let all = UnreadByIdentity::default();
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
        let unread = UnreadByIdentity::default().connected(&identity("ana"));
        assert!(!unread.is_stuck(Instant::now() + DEADLINE * 2));
        // given two answers, of which one goes out later
        let one = Arc::clone(&unread).counted(answer(100)).await.unwrap();
        let mut two = Arc::clone(&unread).counted(answer(100)).await.unwrap().into_body();
        let both = Instant::now();
        tokio::time::sleep(Duration::from_millis(2)).await;
        while two.frame().await.is_some() {}
        // then the time runs from that on
        assert!(!unread.is_stuck(both + DEADLINE));
        assert!(unread.is_stuck(Instant::now() + DEADLINE));
        drop(one);
        assert!(!unread.is_stuck(Instant::now() + DEADLINE));
    }
}
