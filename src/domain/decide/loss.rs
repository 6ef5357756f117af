//! What follows when an operator accepts that rows at the journal's end are gone (known failure H17). Nobody knows what they
//! said: a grant may have been revoked, an approver may have left. So nothing that was open goes on, and everything is
//! locked until a person has looked.

use super::caller::id_at;
use super::numbering::events;
use crate::domain::effect::cascade::locked;
use crate::domain::record::event::{Actor, BrokerFact, Event, Fact, LockFact, LossAccepted};
use crate::domain::record::lock::{Lock, LockMode, Locked};
use crate::domain::state::State;
use crate::domain::value::time::Now;

/// The acceptance, a lock on everything without an end, and what that lock ends.
#[must_use]
pub fn accept_loss(state: &State, now: Now, loss: LossAccepted, nonce: [u8; 16]) -> Vec<Event> {
    let said = loss
        .mark
        .as_ref()
        .map_or_else(|| "no mark could be read".to_owned(), |mark| format!("its mark said {}", mark.sequence));
    // Short enough to be told whole in a refusal.
    let reason = format!("the journal lost what followed row {}; {said}", loss.head.sequence);
    let lock = Lock {
        id: id_at(now.stamp, nonce, 0).into(),
        on: Locked::Everything,
        mode: LockMode::Revoke,
        reason,
        by: None,
        at: now.stamp,
        until: None,
    };
    let ended = locked(state, &lock, now);
    let mut facts = vec![Fact::Broker(BrokerFact::LossAccepted(loss)), Fact::Lock(LockFact::Created(Box::new(lock)))];
    facts.extend(ended);
    events(state, now.stamp, &Actor::Operator, None, facts)
}
