//! Who calls: the verified peer of the connection and nothing else; no header is read (known failure D10). The certificate's
//! end is compared on every call, and again at every beat of an open stream (known failure G12).

use std::pin::Pin;
use std::sync::Arc;

use tokio::sync::watch;
use tokio_stream::Stream;
use tonic::{Extensions, Request, Status};

use super::budget::{Ledger, Place, Turn};
use super::keys::sealed::Seal;
use super::transport::door::{Guest, Guests};
use super::transport::peer::Peer;
use super::transport::standing::Standing;
use crate::domain::record::called_from::CalledFrom;
use crate::domain::rule::spender::Spender;
use crate::domain::rule::visibility::{Viewer, is_shut_out, viewer};
use crate::domain::state::State;
use crate::domain::value::ids::{Identity, Principal};
use crate::domain::value::refusal::{Reason, Refusal};
use crate::domain::value::time::{Now, Timestamp};
use crate::engine::{Done, Engine};
use crate::server::metrics::Metrics;
use crate::wire::commands::Mutation;
use crate::wire::message::InvalidMessage;
use crate::wire::signed_note::NoteKey;
use crate::wire::values::SaidSequence;

/// A stream of messages to a caller.
pub(crate) type Messages<M> = Pin<Box<dyn Stream<Item = Result<M, Status>> + Send>>;

/// A place of a caller's, given back when it is dropped.
pub(crate) type Seat = Place;

/// What every service works on.
#[derive(Clone)]
pub(crate) struct Broker {
    pub(crate) engine: Engine,
    /// Seals texts that only the broker can open.
    pub(crate) seal: Arc<Seal>,
    /// What records are signed with.
    pub(crate) note_key: Arc<NoteKey>,
    pub(crate) metrics: Arc<Metrics>,
    /// What each caller has left of what one may take.
    pub(crate) ledger: Arc<Ledger>,
    /// True once the broker drains: open streams end.
    pub(crate) stopping: watch::Receiver<bool>,
}

/// The verified other end of one call.
#[derive(Debug, Clone)]
pub(crate) struct VerifiedCaller {
    pub(crate) identity: Identity,
    /// What is recorded of who called.
    pub(crate) from: Arc<CalledFrom>,
    pub(crate) not_after: Timestamp,
    standing: Option<Standing>,
    /// Seals sequences for customers, and for callers who are not known here.
    seal: Option<Arc<Seal>>,
    /// The place that they took for dear work.
    place: Option<Arc<Place>>,
}

impl Broker {
    /// Who calls.
    pub(crate) fn caller<T>(&self, request: &Request<T>) -> Result<VerifiedCaller, Status> {
        Ok(self.caller_of(request.extensions())?)
    }

    /// The same, of a request of whatever protocol: the connection put it there.
    pub(crate) fn caller_of(&self, extensions: &Extensions) -> Result<VerifiedCaller, Refusal> {
        let peer = extensions.get::<Peer>().ok_or_else(|| Refusal::new(Reason::NotAuthenticated, ""))?;
        let caller = VerifiedCaller::of(peer, extensions.get::<Standing>().cloned());
        caller.is_in_date(self.engine.latest())?;
        Ok(self.sealing(caller))
    }

    /// The caller, with a place for dear work: taken before what they send is read.
    pub(crate) fn with_place(&self, mut caller: VerifiedCaller) -> Result<VerifiedCaller, Status> {
        if caller.place.is_none() {
            let at = self.engine.latest();
            let (spender, watches_over) = self.engine.read(|state| {
                let organisation = state.organisation();
                (organisation.spender(&caller.identity), organisation.watches_over(&caller.identity, at))
            });
            let place = self.ledger.place(&spender, watches_over).map_err(|refusal| self.counted(refusal))?;
            caller.place = Some(Arc::new(place));
        }
        Ok(caller)
    }

    /// The caller's next turn for a list or a look into the past.
    pub(crate) async fn turn(&self, caller: &VerifiedCaller) -> Turn {
        let at = self.engine.latest();
        let (spender, watches_over) = self.engine.read(|state| {
            let organisation = state.organisation();
            (organisation.spender(&caller.identity), organisation.watches_over(&caller.identity, at))
        });
        self.ledger.turn(&spender, watches_over).await
    }

    /// A place for a watch of the caller's.
    pub(crate) fn watch_seat(&self, caller: &VerifiedCaller) -> Result<Seat, Status> {
        let spender = self.engine.read(|state| state.organisation().spender(&caller.identity));
        self.ledger.watch(&spender).map_err(|refusal| self.counted(refusal))
    }

    /// The caller, with a seal for sequences if they belong to a tenant or are not known here.
    pub(crate) fn sealing(&self, mut caller: VerifiedCaller) -> VerifiedCaller {
        let is_own = self.engine.read(|state| {
            let organisation = state.organisation();
            match organisation.principal(&caller.identity) {
                Some(Principal::Account(id)) => organisation.tenant_of_account(id).is_none(),
                Some(Principal::Person(id)) => organisation.tenant_of(id).is_none(),
                None => false,
            }
        });
        caller.seal = (!is_own).then(|| Arc::clone(&self.seal));
        caller
    }

    /// Reads the view as the caller.
    pub(crate) fn read<T>(
        &self,
        caller: &VerifiedCaller,
        read: impl FnOnce(&State, &Viewer, Now) -> Result<T, Refusal>,
    ) -> Result<T, Refusal> {
        let now = self.engine.now();
        self.engine.read(|state| read(state, &viewer(state.organisation(), &caller.identity)?, now))
    }

    /// Whether an open stream of this caller may go on; `is_open` decides on the present view.
    pub(crate) fn still_lets(
        &self,
        caller: &VerifiedCaller,
        is_open: impl FnOnce(&State, &Viewer, Now) -> Result<(), Refusal>,
    ) -> Result<(), Status> {
        caller.is_in_date(self.engine.latest())?;
        if let Some(standing) = &caller.standing {
            standing.check()?;
        }
        Ok(self.read(caller, is_open)?)
    }

    /// Tells the door whose a connection is.
    pub(crate) fn guests(&self) -> Guests {
        let engine = self.engine.clone();
        Arc::new(move |identity| {
            let at = engine.latest();
            engine.read(|state| Guest {
                spender: state.organisation().spender(identity),
                takes_away: state.organisation().takes_from_others(identity, at),
            })
        })
    }

    /// Executes a command as the caller. A refusal is counted.
    pub(crate) async fn execute(&self, caller: &VerifiedCaller, mutation: Mutation) -> Result<Done, Status> {
        self.carry_out(caller, mutation).await.map_err(|refusal| self.counted(refusal))
    }

    /// Carries a command out as the caller, within the budgets of whoever that is. All commands of all protocols come by here.
    pub(crate) async fn carry_out(&self, caller: &VerifiedCaller, mutation: Mutation) -> Result<Done, Refusal> {
        let Mutation { request_id, command } = mutation;
        let takes_away = command.takes_away();
        let (spender, kept, is_known) = self.engine.read(|state| {
            let spender = state.organisation().spender(&caller.identity);
            let bound = state.organisation().principal(&caller.identity).and_then(|it| state.bound(it, request_id));
            // What is sent again leaves nothing more behind, and what takes away is never refused for what is kept.
            let kept = if takes_away || bound.is_some() { 0 } else { spender.kept_in(state) };
            // A command may have closed its own sender, who is told what came of it all the same.
            let is_known = spender != Spender::Unknown || state.bound_before(&caller.identity, request_id).is_some();
            (spender, kept, is_known)
        });
        if !is_known {
            return Err(Refusal::new(Reason::NoAccount, format!("`{}`", caller.identity)));
        }
        let has_duty = || {
            let at = self.engine.latest();
            self.engine.read(|state| match takes_away {
                true => state.organisation().takes_from_others(&caller.identity, at),
                false => state.organisation().records_many(&caller.identity, at),
            })
        };
        self.ledger.keep(kept, has_duty)?;
        let admitted = self.ledger.admit(&spender, takes_away, has_duty, self.engine.boot())?;
        let (engine, ledger, from) = (self.engine.clone(), Arc::clone(&self.ledger), Arc::clone(&caller.from));
        // A call that is dropped meanwhile drops neither the command nor what it costs.
        let carried_out = tokio::spawn(async move {
            let done = engine.execute(&from, request_id, command).await?;
            ledger.charge(&admitted, done.journal_bytes, engine.boot());
            Ok(done)
        });
        carried_out.await.unwrap_or_else(|_| Err(Refusal::new(Reason::OutcomeUnknown, "")))
    }

    /// Counts a refused command.
    pub(crate) fn counted(&self, refusal: Refusal) -> Status {
        let reason = crate::server::metrics::Reason { reason: refusal.reason.entry().name };
        self.metrics.refusals.get_or_create(&reason).inc();
        refusal.into()
    }
}

impl VerifiedCaller {
    pub(crate) fn of(peer: &Peer, standing: Option<Standing>) -> Self {
        let from = Arc::clone(&peer.called_from);
        Self { identity: peer.identity.clone(), from, not_after: peer.not_after, standing, seal: None, place: None }
    }

    /// The text of a sequence for this caller.
    pub(crate) fn sequence_text(&self, sequence: u64) -> String {
        match &self.seal {
            Some(seal) => seal.seal(&[b"sequence", self.identity.as_str().as_bytes()], &sequence.to_string()),
            None => sequence.to_string(),
        }
    }

    /// The refusal; for a caller whose sequences are sealed, without numbers that show how far the broker is.
    pub(crate) fn redacted(&self, refusal: Refusal) -> Refusal {
        match refusal.reason {
            Reason::Resync | Reason::BehindSequence if self.is_sealed() => Refusal::new(refusal.reason, ""),
            _ => refusal,
        }
    }

    /// The place that they took, for the work that is to keep it.
    pub(crate) fn place(&self) -> Option<Arc<Place>> {
        self.place.clone()
    }

    /// Whether sequences are sealed for this caller.
    pub(crate) fn is_sealed(&self) -> bool {
        self.seal.is_some()
    }

    /// The sequence that this caller means by a text. A caller who gets sealed sequences must send sealed ones: the
    /// answer to a plain number would show how far the broker has come.
    ///
    /// # Errors
    /// If it was not given to this caller.
    pub(crate) fn sequence_meant(
        &self,
        field: &str,
        said: Option<&SaidSequence>,
    ) -> Result<Option<u64>, InvalidMessage> {
        let Some(said) = said else { return Ok(None) };
        let meant = match (&self.seal, said) {
            (None, SaidSequence::Number(number)) => Some(*number),
            (Some(seal), SaidSequence::Sealed(text)) => {
                let bound: [&[u8]; 2] = [b"sequence", self.identity.as_str().as_bytes()];
                seal.open(&bound, text).and_then(|plain| plain.parse().ok())
            }
            (None, SaidSequence::Sealed(_)) | (Some(_), SaidSequence::Number(_)) => None,
        };
        let wanted = "not a sequence that this caller was given; pass one back as it was given";
        meant.map(Some).ok_or_else(|| InvalidMessage::one(field, wanted))
    }

    pub(crate) fn is_in_date(&self, now: Timestamp) -> Result<(), Refusal> {
        if self.not_after.is_over(now) {
            return Err(Refusal::new(Reason::CertificateExpired, format!("it ended at {}", self.not_after)));
        }
        Ok(())
    }
}

/// An account that is shut out sees nothing, so its streams end.
pub(crate) fn is_usable(state: &State, viewer: &Viewer, now: Now) -> Result<(), Refusal> {
    let Ok(id) = viewer.account() else { return Ok(()) };
    if is_shut_out(state.organisation(), viewer, now) {
        return Err(Refusal::new(Reason::AccountDisabled, format!("`{id}`")).with("account", id));
    }
    Ok(())
}
