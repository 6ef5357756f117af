//! One connection, from the accepted socket to its end: handshake within its time, the protocol agreed there and no other
//! (HTTP/2; on the second listener HTTP/1.1 too), the limits of known failures G1 to G8, the certificate asked about at every call
//! and at every beat, and an end by age or by drain.
//!
//! tonic's own server is not used for this loop: with a grace period it cuts an old connection without telling it to go
//! away first, and its default takes off hyper's cap on streams reset for the client's errors.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::service::TowerToHyperService;
use tokio::sync::watch;

use super::calls::{Calls, UNREAD};
use super::handshake::{Connection, Failure, handshake};
use super::limits::{
    HEADER_LIST_MAX_BYTES, HEADER_READ_TIMEOUT, HEADERS_MAX, LOCAL_ERROR_RESET_STREAMS, Limits,
    PENDING_ACCEPT_RESET_STREAMS, STREAMS_PER_CONNECTION,
};
use super::served::{Direct, Services};
use super::shared::{Accepted, Phase, Shared};
use crate::clock::{Clock as _, SystemClock};
use crate::server::metrics::Outcome;

/// How long a connection whose certificate is over has to read why.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// Serves one socket to its end.
pub(super) async fn serve<D: Direct>(accepted: Accepted, shared: Arc<Shared>, services: Services<D>) {
    let Accepted { socket, address, place } = accepted;
    let mut phase = shared.phase.clone();
    let outcome = tokio::select! {
        outcome = tokio::time::timeout(shared.limits.handshake_timeout, handshake(socket, address, &shared)) => {
            outcome.unwrap_or_else(|_| Err(Failure::new("timeout", "the handshake took too long".to_owned())))
        }
        () = place.evicted() => Err(Failure::new("evicted", "made room for a newer connection".to_owned())),
        _ = phase.wait_for(|phase| *phase != Phase::Serving) => return,
    };
    place.settle();
    let connection = match outcome {
        Ok(connection) => connection,
        Err(Failure { outcome, text }) => {
            shared.metrics.handshakes.get_or_create(&Outcome { outcome }).inc();
            if shared.log.take() {
                tracing::warn!(%address, outcome, reason = %text, "a client was not let in");
            }
            return;
        }
    };
    shared.metrics.handshakes.get_or_create(&Outcome { outcome: "accepted" }).inc();
    tracing::debug!(%address, identity = %connection.peer.identity, "connected");
    drive(connection, &shared, services, phase).await;
    drop(place);
}

async fn drive<D: Direct>(
    connection: Connection,
    shared: &Shared,
    services: Services<D>,
    mut phase: watch::Receiver<Phase>,
) {
    let limits = &shared.limits;
    let Connection { stream, is_http2, peer, standing } = connection;
    let unread = shared.unread.connected(&peer.identity);
    let metrics = Arc::clone(&shared.metrics);
    let calls = Calls::new(services, peer, standing.clone(), limits.call_timeout, Arc::clone(&unread), metrics);
    let builder = protocol(is_http2, limits);
    let mut serving = pin!(builder.serve_connection(TokioIo::new(stream), TowerToHyperService::new(calls)));
    let mut end = pin!(tokio::time::sleep(limits.connection_age));
    let mut beat = tokio::time::interval(limits.certificate_beat);
    let (mut draining, mut leaving) = (false, false);
    loop {
        tokio::select! {
            result = &mut serving => {
                if let Err(error) = result {
                    tracing::debug!(%error, "a connection broke off");
                }
                return;
            }
            () = &mut end => {
                if leaving {
                    return;
                }
                leaving = true;
                serving.as_mut().graceful_shutdown();
                end.set(tokio::time::sleep(limits.connection_age_grace));
            }
            now = phase.wait_for(|phase| *phase == Phase::Cut || (!draining && *phase == Phase::Draining)) => {
                if !matches!(now.as_deref(), Ok(Phase::Draining)) {
                    return;
                }
                draining = true;
                serving.as_mut().graceful_shutdown();
            }
            _ = beat.tick(), if !leaving => {
                if unread.is_stuck(SystemClock.boot()) {
                    shared.metrics.budget_refused.get_or_create(&UNREAD).inc();
                    tracing::debug!("a client reads no answers; its connection is cut");
                    return;
                }
                if standing.check().is_err() {
                    leaving = true;
                    serving.as_mut().graceful_shutdown();
                    end.set(tokio::time::sleep(LAST_WORDS));
                }
            }
        }
    }
}

/// The protocol that was agreed upon, with its limits.
fn protocol(is_http2: bool, limits: &Limits) -> Builder<TokioExecutor> {
    let builder = Builder::new(TokioExecutor::new());
    let mut builder = if is_http2 { builder.http2_only() } else { builder.http1_only() };
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_READ_TIMEOUT)
        .max_headers(HEADERS_MAX)
        .max_buf_size(usize::try_from(HEADER_LIST_MAX_BYTES).unwrap_or(usize::MAX));
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(STREAMS_PER_CONNECTION)
        .max_pending_accept_reset_streams(PENDING_ACCEPT_RESET_STREAMS)
        .max_local_error_reset_streams(LOCAL_ERROR_RESET_STREAMS)
        .max_header_list_size(HEADER_LIST_MAX_BYTES)
        .keep_alive_interval(limits.keepalive_interval)
        .keep_alive_timeout(limits.keepalive_timeout);
    builder
}
