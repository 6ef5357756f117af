//! StreamCheckAccess: batch after batch over one stream, which costs a message where a call costs a stream of its own.
//! Each batch is pulled when there is room for its answer, and answered in its place, under the rights of that moment
//! (known failure F10); the caller is authorized again at every beat, asked or not (known failure G12).

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::time::{Interval, MissedTickBehavior, interval};
use tokio_stream::Stream;
use tonic::codegen::Bytes;
use tonic::{Status, Streaming};

use super::checker::Checker;
use super::messages::StreamChecked;
use crate::server::caller::is_usable;
use crate::server::transport::served::unreadable;

const BEAT: Duration = Duration::from_secs(2);

/// The answers, as the stream's other direction.
pub(crate) struct Answers {
    checker: Arc<Checker>,
    batches: Streaming<Bytes>,
    beat: Interval,
    stopping: Pin<Box<dyn Future<Output = ()> + Send>>,
    is_over: bool,
}

impl Answers {
    /// Begins, if the caller may ask at all.
    pub(crate) fn begin(checker: Arc<Checker>, batches: Streaming<Bytes>) -> Result<Self, Status> {
        checker.access.begin(&checker.caller)?;
        let mut beat = interval(BEAT);
        beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut stopping = checker.access.broker.stopping.clone();
        let stopping = Box::pin(async move {
            // An error means that the broker is gone, which is the same.
            let _ = stopping.wait_for(|stopping| *stopping).await;
        });
        Ok(Self { checker, batches, beat, stopping, is_over: false })
    }

    fn next(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<StreamChecked, Status>>> {
        if self.is_over || self.stopping.as_mut().poll(context).is_ready() {
            return Poll::Ready(None);
        }
        while self.beat.poll_tick(context).is_ready() {
            self.checker.access.broker.still_lets(&self.checker.caller, is_usable)?;
        }
        match ready!(Pin::new(&mut self.batches).poll_next(context)) {
            Some(Ok(batch)) => Poll::Ready(Some(self.checker.check_stream_batch(&batch))),
            Some(Err(status)) => Poll::Ready(Some(Err(unreadable(status)))),
            None => Poll::Ready(None),
        }
    }
}

impl Stream for Answers {
    type Item = Result<StreamChecked, Status>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let next = self.next(context);
        if let Poll::Ready(None | Some(Err(_))) = next {
            self.is_over = true;
        }
        next
    }
}
