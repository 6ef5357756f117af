//! The layer in front of a small service, polled by hand: what passes, what does not, and what is cut off.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::Waker;

use bytes::Bytes;
use http_body::{Body, Frame};
use rcgen::{CertificateParams, KeyPair, SanType};

use super::super::held_tests::{ANA, Held, grant, revoked};
use super::*;
use crate::domain::value::time::Span;

/// Calls that were begun, and whether the answer waits.
#[derive(Clone, Default)]
struct Orders {
    calls: Arc<AtomicUsize>,
    hangs: bool,
}

/// One piece, then nothing for ever.
struct Pieces(Option<Bytes>);

impl Body for Pieces {
    type Data = Bytes;
    type Error = Infallible;
    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.0.take().map_or(Poll::Pending, |piece| Poll::Ready(Some(Ok(Frame::data(piece)))))
    }
}

impl Service<Request<CheckedBody<()>>> for Orders {
    type Response = Response<Pieces>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;
    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }
    fn call(&mut self, request: Request<CheckedBody<()>>) -> Self::Future {
        let orders = self.clone();
        Box::pin(async move {
            orders.calls.fetch_add(1, Ordering::SeqCst);
            if orders.hangs {
                std::future::pending::<()>().await;
            }
            let passed = request.extensions().get::<PassedCheck>().unwrap();
            Ok(Response::new(Pieces(Some(Bytes::from(passed.subject().to_owned())))))
        })
    }
}

type Answer = Response<CheckedBody<Pieces>>;
type Call = Pin<Box<dyn Future<Output = Result<Answer, Infallible>> + Send>>;

/// What was denied: who, what, why, and whether it had begun.
type Denials = Arc<Mutex<Vec<(Option<String>, Option<(String, String)>, &'static str, bool)>>>;

struct Protected {
    held: Held,
    orders: Orders,
    denials: Denials,
}

impl Protected {
    fn new(hangs: bool) -> Self {
        let held = Held::new(&[]);
        held.change(&[grant(1, 60)]);
        Self { held, orders: Orders { hangs, ..Orders::default() }, denials: Denials::default() }
    }

    fn call(&self, request: Request<()>) -> Call {
        let layer = CheckLayer::new(self.held.replica.clone(), |request| {
            let resource = request.uri.path().strip_prefix("/db/")?;
            Some(Act::new("db.read", format!("prod/db/{resource}")))
        });
        let denials = Arc::clone(&self.denials);
        let layer = layer.on_denied(move |denied| {
            let act = denied.act.map(|(action, resource)| (action.to_owned(), resource.to_owned()));
            denials.lock().unwrap().push((denied.subject.map(str::to_owned), act, denied.reason, denied.began));
        });
        layer.layer(self.orders.clone()).call(request)
    }

    fn answer(&self, request: Request<()>) -> Answer {
        polled(&mut self.call(request)).expect("it answers at once")
    }

    fn calls(&self) -> usize {
        self.orders.calls.load(Ordering::SeqCst)
    }
}

fn polled(call: &mut Call) -> Option<Answer> {
    match call.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(Ok(answer)) => Some(answer),
        Poll::Pending => None,
    }
}

type Polled = Poll<Option<Result<Frame<Bytes>, Box<dyn std::error::Error + Send + Sync>>>>;

fn frame(answer: &mut Answer) -> Polled {
    Pin::new(answer.body_mut()).poll_frame(&mut Context::from_waker(Waker::noop()))
}

/// Of ana, as the service's own acceptor would make it.
fn by_ana(path: &str) -> Request<()> {
    let mut params = CertificateParams::default();
    params.subject_alt_names = vec![SanType::URI(ANA.try_into().unwrap())];
    let certificate = params.self_signed(&KeyPair::generate().unwrap()).unwrap();
    let mut request = Request::builder().uri(path).body(()).unwrap();
    request.extensions_mut().insert(VerifiedPeer::from_certificate(certificate.der()).unwrap());
    request
}

fn grpc(mut request: Request<()>) -> Request<()> {
    request.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/grpc+proto"));
    request
}

fn reason(answer: &Answer) -> &str {
    answer.headers()[REASON_HEADER].to_str().unwrap()
}

#[tokio::test]
async fn what_is_granted_passes_and_says_by_what_right() {
    let protected = Protected::new(false);
    let mut answer = protected.answer(by_ana("/db/orders"));
    assert_eq!(answer.status(), 200);
    let Poll::Ready(Some(Ok(piece))) = frame(&mut answer) else { panic!("a piece") };
    assert_eq!(piece.into_data().unwrap(), ANA);
    assert!(frame(&mut answer).is_pending());
}

#[tokio::test]
async fn each_denial_is_told_once_with_who_what_and_why() {
    let protected = Protected::new(false);
    let (ana, orders) = (Some(ANA.to_owned()), Some(("db.read".to_owned(), "prod/db/orders".to_owned())));
    // given what passes, and is told to nobody
    let mut answer = protected.answer(by_ana("/db/orders"));
    assert!(matches!(frame(&mut answer), Poll::Ready(Some(Ok(_)))));
    assert_eq!(*protected.denials.lock().unwrap(), []);
    // when its body is cut off, and others are denied
    protected.held.change(&[revoked(1)]);
    assert!(matches!(frame(&mut answer), Poll::Ready(Some(Err(_)))));
    assert!(matches!(frame(&mut answer), Poll::Ready(None)));
    protected.answer(by_ana("/db/orders"));
    protected.answer(by_ana("/elsewhere"));
    protected.answer(Request::builder().uri("/db/orders").body(()).unwrap());
    // then each is told
    let told = [
        (ana.clone(), orders.clone(), "NO_GRANT", true),
        (ana.clone(), orders.clone(), "NO_GRANT", false),
        (ana, None, "UNKNOWN_ACT", false),
        (None, orders, "NO_SUBJECT", false),
    ];
    assert_eq!(*protected.denials.lock().unwrap(), told);
}

#[tokio::test]
async fn what_cannot_be_told_is_denied_and_never_reaches_the_service() {
    let protected = Protected::new(false);
    // who asks: no certificate, whatever headers say
    let mut nobody = Request::builder().uri("/db/orders").body(()).unwrap();
    for name in ["x-forwarded-client-cert", "x-subject", "authorization"] {
        nobody.headers_mut().insert(name, HeaderValue::from_static(ANA));
    }
    // what nobody could cut off
    let (mut tunnel, mut upgrade) = (by_ana("/db/orders"), by_ana("/db/orders"));
    *tunnel.method_mut() = Method::CONNECT;
    upgrade.headers_mut().insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    // what it is, whether it is written as a resource is, and whether it is held
    let requests = [
        (nobody, "NO_SUBJECT"),
        (by_ana("/admin"), "UNKNOWN_ACT"),
        (tunnel, "LEAVES_HTTP"),
        (upgrade, "LEAVES_HTTP"),
        (by_ana("/db/../db/orders"), "OUT_OF_AUDIENCE"),
        (by_ana("/db/%2e%2e/orders"), "OUT_OF_AUDIENCE"),
        (by_ana("/db//orders"), "OUT_OF_AUDIENCE"),
        (by_ana("/db/"), "OUT_OF_AUDIENCE"),
    ];
    for (request, expected) in requests {
        // then over HTTP it is 403 with the reason
        let again = grpc(request.clone());
        let path = request.uri().to_string();
        let mut answer = protected.answer(request);
        assert_eq!((answer.status().as_u16(), reason(&answer)), (403, expected), "{path}");
        let Poll::Ready(Some(Ok(text))) = frame(&mut answer) else { panic!("a text") };
        assert!(!text.into_data().unwrap().is_empty());
        assert!(matches!(frame(&mut answer), Poll::Ready(None)));
        // and over gRPC PERMISSION_DENIED
        let answer = protected.answer(again);
        assert_eq!((answer.status().as_u16(), reason(&answer)), (200, expected), "{path}");
        assert_eq!(answer.headers()["grpc-status"], "7");
        assert!(answer.body().is_end_stream());
    }
    assert_eq!(protected.calls(), 0);
}

#[tokio::test]
async fn what_is_not_held_or_not_known_any_more_is_denied() {
    let protected = Protected::new(false);
    protected.held.clock.advance(Span::seconds(5));
    assert_eq!(reason(&protected.answer(by_ana("/db/orders"))), "STALE");
    protected.held.hear(8);
    protected.held.change(&[revoked(1)]);
    assert_eq!(reason(&protected.answer(by_ana("/db/orders"))), "NO_GRANT");
    assert_eq!(protected.calls(), 0);
}

#[tokio::test]
async fn a_call_is_cut_off_by_a_revocation() {
    let protected = Protected::new(true);
    let (mut plain, mut over_grpc) = (protected.call(by_ana("/db/orders")), protected.call(grpc(by_ana("/db/orders"))));
    assert!(polled(&mut plain).is_none() && polled(&mut over_grpc).is_none());
    assert_eq!(protected.calls(), 2);
    protected.held.change(&[revoked(1)]);
    let answer = polled(&mut plain).unwrap();
    assert_eq!((answer.status().as_u16(), reason(&answer)), (403, "NO_GRANT"));
    assert_eq!(polled(&mut over_grpc).unwrap().headers()["grpc-status"], "7");
}

#[tokio::test]
async fn a_body_is_cut_off_so_that_nobody_takes_it_for_whole() {
    let protected = Protected::new(false);
    let mut plain = protected.answer(by_ana("/db/orders"));
    let mut over_grpc = protected.answer(grpc(by_ana("/db/orders")));
    assert!(frame(&mut plain).is_ready() && frame(&mut over_grpc).is_ready());
    assert!(frame(&mut plain).is_pending() && frame(&mut over_grpc).is_pending());
    // when the grant ends
    protected.held.clock.advance(Span::seconds(60));
    protected.held.hear(9);
    // then HTTP sees an error, and gRPC the status
    let Poll::Ready(Some(Err(error))) = frame(&mut plain) else { panic!("an error") };
    assert!(error.to_string().contains("NO_GRANT"));
    let Poll::Ready(Some(Ok(last))) = frame(&mut over_grpc) else { panic!("trailers") };
    assert_eq!(last.into_trailers().unwrap()["grpc-status"], "7");
    for answer in [&mut plain, &mut over_grpc] {
        assert!(matches!(frame(answer), Poll::Ready(None)));
    }
}

/// Takes what is sent, and reads it elsewhere.
#[derive(Clone, Default)]
struct Uploads(Arc<std::sync::Mutex<Option<CheckedBody<Pieces>>>>);

impl Service<Request<CheckedBody<Pieces>>> for Uploads {
    type Response = Response<Pieces>;
    type Error = Infallible;
    type Future = std::future::Ready<Result<Self::Response, Infallible>>;
    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }
    fn call(&mut self, request: Request<CheckedBody<Pieces>>) -> Self::Future {
        *self.0.lock().unwrap() = Some(request.into_body());
        std::future::ready(Ok(Response::new(Pieces(None))))
    }
}

#[tokio::test]
async fn what_is_still_being_sent_ends_with_the_grant() {
    // given a request whose body a service reads on, whatever becomes of its answer
    let held = Held::new(&[]);
    held.change(&[grant(1, 60)]);
    let uploads = Uploads::default();
    let layer = CheckLayer::new(held.replica.clone(), |_| Some(Act::new("db.read", "prod/db/orders")));
    let request = by_ana("/db/orders").map(|()| Pieces(Some(Bytes::from_static(b"rows"))));
    drop(layer.layer(uploads.clone()).call(request).await.unwrap());
    let mut body = uploads.0.lock().unwrap().take().unwrap();
    let mut next = || Pin::new(&mut body).poll_frame(&mut Context::from_waker(Waker::noop()));
    assert!(matches!(next(), Poll::Ready(Some(Ok(_)))));
    // when the grant is revoked
    held.change(&[revoked(1)]);
    // then nothing more comes, and nobody takes it for whole
    let Poll::Ready(Some(Err(error))) = next() else { panic!("an error") };
    assert!(error.to_string().contains("NO_GRANT"));
    assert!(matches!(next(), Poll::Ready(None)));
}
