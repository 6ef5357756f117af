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
use super::door::{Full, Place};
use super::handshake::{Connection, Failure, handshake};
use super::limits::{
    HEADER_LIST_MAX_BYTES, HEADER_READ_TIMEOUT, HEADERS_MAX, LOCAL_ERROR_RESET_STREAMS, Limits,
    PENDING_ACCEPT_RESET_STREAMS, STREAMS_PER_CONNECTION,
};
use super::served::{Direct, Services};
use super::shared::{Accepted, Phase, Shared};
use crate::clock::{Clock as _, SystemClock};
use crate::domain::value::refusal::Refusal;
use crate::server::metrics::{Outcome, Reason};

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
    let settled = place.settle((services.guests)(&connection.peer.identity), SystemClock.boot());
    if let Err(full) = settled {
        shared.metrics.connections_refused.get_or_create(&Reason { reason: full.reason() }).inc();
        if shared.log.take() {
            let identity = &connection.peer.identity;
            tracing::warn!(%address, %identity, reason = full.reason(), "a connection was refused; see `limits` in the configuration");
        }
    }
    drive(connection, &shared, services, phase, (&place, settled.err())).await;
    drop(place);
}

async fn drive<D: Direct>(
    connection: Connection,
    shared: &Shared,
    services: Services<D>,
    mut phase: watch::Receiver<Phase>,
    (place, full): (&Place, Option<Full>),
) {
    let limits = &shared.limits;
    let Connection { stream, is_http2, peer, standing } = connection;
    let unread = shared.unread.connected(&peer.identity);
    let metrics = Arc::clone(&shared.metrics);
    let refusal = full.map(Refusal::from);
    let calls =
        Calls::new(services, peer, standing.clone(), refusal, limits.call_timeout, Arc::clone(&unread), metrics);
    let (counters, mut begun) = (calls.counters(), 0);
    let builder = protocol(is_http2, limits);
    let mut serving = pin!(builder.serve_connection(TokioIo::new(stream), TowerToHyperService::new(calls)));
    // One that is refused has as long as it takes to hear why.
    let mut end = pin!(tokio::time::sleep(if full.is_some() { LAST_WORDS } else { limits.connection_age }));
    let mut beat = tokio::time::interval(limits.certificate_beat);
    let (mut draining, mut leaving) = (false, full.is_some());
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
            () = place.evicted(), if !leaving => {
                leaving = true;
                serving.as_mut().graceful_shutdown();
                end.set(tokio::time::sleep(LAST_WORDS));
            }
            _ = beat.tick(), if !leaving => {
                let began = std::mem::replace(&mut begun, counters.begun()) != begun;
                if began || unread.is_answering() {
                    place.used(SystemClock.boot());
                }
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
