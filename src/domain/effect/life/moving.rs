//! Moving to another manager: memberships are cut to the grace period, and only the new manager can approve keeping
//! them (known failure B2).

use std::collections::{BTreeMap, BTreeSet};

use super::records::{cascade_of, employed, own_accounts, put_account, put_person};
use crate::domain::directory::{Cut, Move, Person};
use crate::domain::effect::cascade::Touched;
use crate::domain::effect::overlay::Overlay;
use crate::domain::record::event::{Fact, LifeFact, PersonNamed};
use crate::domain::value::ids::PersonId;
use crate::domain::value::limits::ANNOUNCED_MOVES;
use crate::domain::value::refusal::{Reason, Refusal};
use crate::domain::value::time::Timestamp;

/// Moves a person to another manager, now or later. If the manager is unknown it takes effect without one. If the
/// person has that manager at that instant anyway, nothing moves. Of two transfers for one instant the later one
/// counts.
///
/// # Errors
/// `PERSON_UNKNOWN` (the person), `MANAGER_CYCLE`, `TOO_MANY_MOVES`.
pub(in crate::domain) fn transfer(
    overlay: &mut Overlay,
    id: &PersonId,
    manager: Option<&PersonId>,
    at: Timestamp,
) -> Result<(), Refusal> {
    let person = employed(overlay, id)?;
    if manager == Some(id) {
        return Err(Refusal::new(Reason::ManagerCycle, format!("`{id}`")).with("person", id));
    }
    let now = overlay.clocks();
    // Whom others have is nobody here.
    let manager = manager.filter(|manager| !is_of_another_side(overlay, id, manager));
    if let Some(manager) = manager {
        no_cycle(overlay, id, manager, at.max(now.latest))?;
    }
    if manager.is_some() && manager == manager_then(overlay, &person, at.max(now.latest)) {
        put_person(overlay, id, person);
        return Ok(());
    }
    if !at.is_over(now.latest) {
        let mut announced = person.announced_by_time();
        announced.insert(at, manager.cloned());
        if announced.len() > ANNOUNCED_MOVES {
            return Err(too_many(id, &announced));
        }
        put_person(overlay, id, Person { moves: Move::in_order(announced), ..person });
        // Memberships get their earlier end now, so that it is a comparison and needs no timer.
        cut(overlay, id, at);
        cascade_of(overlay, id);
        return Ok(());
    }
    moved(overlay, id, person, manager, at);
    Ok(())
}

fn too_many(id: &PersonId, announced: &BTreeMap<Timestamp, Option<PersonId>>) -> Refusal {
    let last = announced.last_key_value().map(|(at, _)| at.to_string()).unwrap_or_default();
    let detail = format!("`{id}` has {ANNOUNCED_MOVES} transfers announced, the last one for `{last}` with this one");
    Refusal::new(Reason::TooManyMoves, detail).with("person", id).with("most", ANNOUNCED_MOVES)
}

/// Changes the manager and keeps all memberships: within a tenant, which gives and takes roles itself.
///
/// # Errors
/// `PERSON_UNKNOWN`, `MANAGER_CYCLE`, `OUTSIDE_TENANT`.
pub(in crate::domain) fn report_to(
    overlay: &mut Overlay,
    id: &PersonId,
    manager: Option<&PersonId>,
) -> Result<(), Refusal> {
    let person = employed(overlay, id)?;
    if let Some(manager) = manager {
        if manager == id {
            return Err(Refusal::new(Reason::ManagerCycle, format!("`{id}`")).with("person", id));
        }
        employed(overlay, manager)?;
        no_cycle(overlay, id, manager, overlay.clocks().latest)?;
    }
    put_person(overlay, id, Person { manager: manager.cloned(), ..person });
    cascade_of(overlay, id);
    Ok(())
}

/// Transfers whose time has come take effect.
pub(super) fn take_effect(overlay: &mut Overlay, id: &PersonId) {
    let now = overlay.clocks().latest;
    loop {
        let Some(mut person) = overlay.state().organisation().people().get(id).cloned() else { return };
        let Some(moves) = person.moves.first().filter(|moves| moves.at.is_over(now)).cloned() else { return };
        person.moves.remove(0);
        overlay.record([Fact::Life(LifeFact::PersonMoved(PersonNamed { person: id.clone() }))]);
        moved(overlay, id, person, moves.manager.as_ref(), moves.at);
    }
}

/// The manager of record at an instant, as far as that is known by now, if somebody who works here then.
fn manager_then<'a>(overlay: &'a Overlay, person: &'a Person, at: Timestamp) -> Option<&'a PersonId> {
    let organisation = overlay.state().organisation();
    person.manager_at(at).filter(|manager| organisation.works_here(manager, at))
}

fn moved(overlay: &mut Overlay, id: &PersonId, person: Person, manager: Option<&PersonId>, at: Timestamp) {
    let now = overlay.clocks().latest;
    let fits = |manager: &&PersonId| employed(overlay, manager).is_ok() && no_cycle(overlay, id, manager, now).is_ok();
    let known = manager.filter(fits);
    let before = person.manager.clone();
    let awaits_manager = known.is_none();
    put_person(overlay, id, Person { manager: known.cloned(), awaits_manager, ..person });
    cut(overlay, id, at);
    // The old manager may no longer approve, and the new one may.
    let touched = [Some(id.clone()), before, known.cloned()];
    overlay.cascade(&Touched::Persons(touched.into_iter().flatten().collect()));
}

/// Memberships end with the grace period, or sooner if they would have. `Cut` keeps the end that they had.
fn cut(overlay: &mut Overlay, id: &PersonId, at: Timestamp) {
    let end = at.plus(overlay.state().organisation().policy().baseline.transfer_grace);
    for (account_id, mut account) in own_accounts(overlay, id) {
        for membership in account.roles.values_mut().filter(|it| it.until.is_none_or(|until| until > end)) {
            membership.cut.get_or_insert(Cut { until: membership.until });
            membership.until = Some(end);
        }
        put_account(overlay, &account_id, account);
    }
}

/// A manager is of the same tenant as their reports, or of the own organisation with them: a customer answers for no
/// employee.
fn of_another_side(manager: &PersonId) -> Refusal {
    let detail = format!("`{manager}`, who is not of the same organisation");
    Refusal::new(Reason::OutsideTenant, detail).with("manager", manager)
}

fn is_of_another_side(overlay: &Overlay, id: &PersonId, manager: &PersonId) -> bool {
    let people = overlay.state().organisation().people();
    let sides = people.get(id).zip(people.get(manager)).map(|(person, above)| (&person.tenant, &above.tenant));
    sides.is_some_and(|(own, theirs)| own != theirs)
}

/// Whether with this manager a person would be their own manager at any time from an instant on, directly or over
/// others. Only the chain above the manager is walked. Whoever is on it may move, so it is walked again from each such
/// instant.
///
/// # Errors
/// `MANAGER_CYCLE`; `OUTSIDE_TENANT` of a manager of another organisation.
pub(in crate::domain) fn no_cycle(
    overlay: &Overlay,
    id: &PersonId,
    manager: &PersonId,
    from: Timestamp,
) -> Result<(), Refusal> {
    let people = overlay.state().organisation().people();
    if is_of_another_side(overlay, id, manager) {
        return Err(of_another_side(manager));
    }
    let mut instant = Some(from);
    while let Some(at) = instant.take() {
        let mut seen = BTreeSet::new();
        let mut next = Some(manager);
        while let Some(above) = next.filter(|above| seen.insert(*above)) {
            if above == id {
                let detail = format!("`{manager}` reports to `{id}`");
                return Err(Refusal::new(Reason::ManagerCycle, detail).with("person", id).with("manager", manager));
            }
            let Some(person) = people.get(above) else { break };
            let moves_at = person.moves.iter().map(|moves| moves.at).find(|moves_at| *moves_at > at);
            instant = instant.into_iter().chain(moves_at).min();
            next = person.manager_at(at);
        }
    }
    Ok(())
}
