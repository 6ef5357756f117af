//! What follows when an operator accepts that the journal's end is lost.

use countersign::domain::decide::loss::accept_loss;
use countersign::domain::record::event::{Actor, ChainHead, LossAccepted};
use countersign::domain::record::lock::{LockMode, Locked};
use countersign::domain::value::ids::{Digest, JournalId};
use countersign::domain::value::refusal::Reason;

use crate::world::{Ask, NOON, World, assert_refused, at, kinds, span};

fn loss(world: &World) -> LossAccepted {
    let sequence = world.state.sequence();
    let journal: JournalId = "0b3e7f4e-6f0c-4b53-9a2a-0d1d6c1c1c11".parse().unwrap();
    LossAccepted { mark: None, head: ChainHead { sequence, hash: Digest::of(b"a head") }, journal }
}

#[test]
fn a_loss_that_is_accepted_ends_what_is_open_and_locks_everything_without_an_end() {
    // given a live grant, a scheduled one and a request
    let mut world = World::new();
    let (live, _) = world.granted();
    let scheduled = Ask::maintenance().starting(at(NOON).plus(span("1h"))).by("ana", &mut world).unwrap();
    world.approve("ben", scheduled).unwrap();
    let pending = Ask::deploy().by("ana", &mut world).unwrap();
    assert_eq!(world.state.journal(), None);
    // when a loss is accepted
    let accepted = loss(&world);
    let events = accept_loss(&world.state, world.now(), accepted.clone(), [7; 16]);
    // then it says so first, by the operator's word, and all that was open is over
    assert_eq!(kinds(&events)[..2], ["loss-accepted", "lock-created"]);
    assert!(events.iter().all(|event| event.actor == Actor::Operator));
    world.commit(events);
    assert_eq!((world.grant_phase(live), world.grant_phase(scheduled)), ("REVOKED", "REVOKED"));
    assert_eq!(world.phase(pending), "CANCELLED");
    // and everything is locked until a person lifts it, under another name of the journal
    let lock = world.state.organisation().locks().on(&Locked::Everything).unwrap().clone();
    assert_eq!((lock.mode, lock.by, lock.until), (LockMode::Revoke, None, None));
    assert_refused(Ask::repair().by("ana", &mut world), Reason::Locked);
    world.pass_and_tick("400d");
    assert!(world.state.organisation().locks().get(lock.id).is_some());
    assert_eq!(world.state.journal(), Some(accepted.journal));
}
