//! The body of a request or an answer that was allowed when it began: it ends when that does (known failure C12).

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{Buf, Bytes};
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};
use tonic::Status;

use super::Checked;
use super::guard::Vigil;

/// A body behind a [`CheckLayer`](super::CheckLayer). Cut off, an answer of gRPC ends with PERMISSION_DENIED, and any other
/// body with an error, so that nobody takes it for whole.
pub struct CheckedBody<B>(Kind<B>);

enum Kind<B> {
    /// Of a deny.
    Text(Option<Bytes>),
    Guarded {
        body: Pin<Box<B>>,
        vigil: Box<Vigil>,
        is_grpc: bool,
    },
    Cut,
}

/// Cut off in the middle.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{}", .0.denied_text())]
pub struct BodyCut(Checked);

impl<B> fmt::Debug for CheckedBody<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CheckedBody")
    }
}

impl<B> Default for CheckedBody<B> {
    fn default() -> Self {
        Self::empty()
    }
}

impl<B> CheckedBody<B> {
    pub(super) fn empty() -> Self {
        Self(Kind::Text(None))
    }

    pub(super) fn text(text: String) -> Self {
        Self(Kind::Text(Some(text.into())))
    }

    pub(super) fn guarded(body: B, vigil: Vigil, is_grpc: bool) -> Self {
        Self(Kind::Guarded { body: Box::pin(body), vigil: Box::new(vigil), is_grpc })
    }
}

impl<B> Body for CheckedBody<B>
where
    B: Body,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    type Data = Bytes;
    type Error = Box<dyn std::error::Error + Send + Sync>;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let (checked, is_grpc) = match &mut self.0 {
            Kind::Text(text) => return Poll::Ready(text.take().map(|text| Ok(Frame::data(text)))),
            Kind::Cut => return Poll::Ready(None),
            Kind::Guarded { body, vigil, is_grpc } => match vigil.poll_denied(context) {
                Poll::Ready(checked) => (checked, *is_grpc),
                Poll::Pending => {
                    let frame = body.as_mut().poll_frame(context);
                    let whole = |frame: Frame<B::Data>| frame.map_data(|mut data| data.copy_to_bytes(data.remaining()));
                    return frame.map(|frame| frame.map(|frame| frame.map(whole).map_err(Into::into)));
                }
            },
        };
        // The rest is dropped here, not when the client has read the end.
        self.0 = Kind::Cut;
        if !is_grpc {
            return Poll::Ready(Some(Err(Box::new(BodyCut(checked)))));
        }
        let mut trailers = HeaderMap::new();
        // What cannot be written as trailers ends the stream without any, which no client takes for OK.
        let _ = Status::permission_denied(checked.denied_text()).add_header(&mut trailers);
        Poll::Ready(Some(Ok(Frame::trailers(trailers))))
    }

    fn is_end_stream(&self) -> bool {
        match &self.0 {
            Kind::Text(text) => text.is_none(),
            Kind::Cut => true,
            Kind::Guarded { body, .. } => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.0 {
            Kind::Text(text) => {
                SizeHint::with_exact(text.as_ref().map_or(0, |text| u64::try_from(text.len()).unwrap_or(0)))
            }
            Kind::Cut => SizeHint::with_exact(0),
            Kind::Guarded { body, .. } => body.size_hint(),
        }
    }
}
