//! Who calls: the verified peer of the connection and nothing else; no header is read (THREATS D10). The certificate's
//! end is compared on every call, and again at every beat of an open stream (THREATS G12).

use std::sync::Arc;

use tokio::sync::watch;
use tonic::{Extensions, Request, Status};

use crate::domain::ids::Identity;
use crate::domain::refusal::{Reason, Refusal};
use crate::domain::state::State;
use crate::domain::time::{Now, Timestamp};
use crate::domain::visibility::{Viewer, is_shut_out, viewer};
use crate::engine::Engine;
use crate::server::metrics::Metrics;
use crate::server::peer::{Peer, Standing};
use crate::wire::page_token::PageTokens;

/// What every service works on.
#[derive(Clone)]
pub(super) struct Broker {
    pub(super) engine: Engine,
    pub(super) tokens: Arc<PageTokens>,
    pub(super) metrics: Arc<Metrics>,
    /// True once the broker drains: open streams end.
    pub(super) stopping: watch::Receiver<bool>,
}

/// The verified other end of one call.
#[derive(Debug, Clone)]
pub(super) struct Caller {
    pub(super) identity: Identity,
    pub(super) not_after: Timestamp,
    standing: Option<Standing>,
}

impl Broker {
    /// Who calls.
    pub(super) fn caller<T>(&self, request: &Request<T>) -> Result<Caller, Status> {
        Ok(self.caller_of(request.extensions())?)
    }

    /// The same, of a request of whatever protocol: the connection put it there.
    pub(super) fn caller_of(&self, extensions: &Extensions) -> Result<Caller, Refusal> {
        let peer = extensions.get::<Peer>().ok_or_else(|| Refusal::new(Reason::NotAuthenticated, ""))?;
        let caller = Caller::of(peer, extensions.get::<Standing>().cloned());
        caller.is_in_date(self.engine.latest())?;
        Ok(caller)
    }

    /// Reads the view as the caller.
    pub(super) fn read<T>(
        &self,
        caller: &Caller,
        read: impl FnOnce(&State, &Viewer, Now) -> Result<T, Refusal>,
    ) -> Result<T, Refusal> {
        let now = self.engine.now();
        self.engine.read(|state| read(state, &viewer(state.organisation(), &caller.identity)?, now))
    }

    /// Whether an open stream of this caller may go on: whoever it is open to, by the present view.
    pub(super) fn still_lets(
        &self,
        caller: &Caller,
        is_open: impl FnOnce(&State, &Viewer, Now) -> Result<(), Refusal>,
    ) -> Result<(), Status> {
        caller.is_in_date(self.engine.latest())?;
        if let Some(standing) = &caller.standing {
            standing.check()?;
        }
        Ok(self.read(caller, is_open)?)
    }

    /// Counts a refused command.
    pub(super) fn counted(&self, refusal: Refusal) -> Status {
        let reason = crate::server::metrics::Reason { reason: refusal.reason.entry().name };
        self.metrics.refusals.get_or_create(&reason).inc();
        refusal.into()
    }
}

impl Caller {
    pub(super) fn of(peer: &Peer, standing: Option<Standing>) -> Self {
        Self { identity: peer.identity.clone(), not_after: peer.not_after, standing }
    }

    pub(super) fn is_in_date(&self, now: Timestamp) -> Result<(), Refusal> {
        if self.not_after.is_over(now) {
            return Err(Refusal::new(Reason::CertificateExpired, format!("it ended at {}", self.not_after)));
        }
        Ok(())
    }
}

/// Whoever is shut out sees nothing any more, so that a stream of theirs has no use.
pub(super) fn is_usable(state: &State, viewer: &Viewer, now: Now) -> Result<(), Refusal> {
    let Ok(id) = viewer.account() else { return Ok(()) };
    if is_shut_out(state.organisation(), viewer, now) {
        return Err(Refusal::new(Reason::AccountDisabled, format!("`{id}`")).with("account", id));
    }
    Ok(())
}
