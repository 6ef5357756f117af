//! Leaving: on the last day, or at once. Everything ends in one batch, and waits for nothing that is missing (known
//! failure B1).

use super::records::{cascade_of, employed, machines, own_accounts, put_account, put_person};
use crate::domain::directory::{Account, AccountState, Disabling, Employment, Person};
use crate::domain::effect::cascade::with_extensions;
use crate::domain::effect::overlay::Overlay;
use crate::domain::record::event::{Fact, GrantFact, GrantRevoked, LifeFact, PersonNamed};
use crate::domain::record::grant::{GrantPhase, Revocation};
use crate::domain::record::review::Phase;
use crate::domain::value::ids::PersonId;
use crate::domain::value::refusal::{Reason, Refusal};
use crate::domain::value::time::Timestamp;

/// Somebody leaves, now or later. If they have left already, only the grants that they approved may still be revoked.
///
/// # Errors
/// `PERSON_UNKNOWN`.
pub(in crate::domain) fn leave(
    overlay: &mut Overlay,
    id: &PersonId,
    at: Timestamp,
    urgent: bool,
    also_approved: bool,
) -> Result<(), Refusal> {
    let Some(person) = overlay.state().organisation().people().get(id).cloned() else {
        return Err(Refusal::new(Reason::PersonUnknown, format!("`{id}`")).with("person", id));
    };
    let open = |phase: &GrantPhase| matches!(phase, GrantPhase::Active | GrantPhase::Scheduled);
    if person.employment == Employment::Left {
        if also_approved {
            revoke_approved(overlay, id, open);
        }
        return Ok(());
    }
    let now = overlay.clocks();
    if urgent || at.is_over(now.latest) {
        depart(overlay, id, also_approved);
        return Ok(());
    }
    let until = person.employed_until.map_or(at, |known| known.min(at));
    put_person(overlay, id, Person { employed_until: Some(until), ..person });
    if also_approved {
        // Until the last day the approvals still count, so scheduled grants must be revoked here or they would start.
        revoke_approved(overlay, id, open);
    }
    cascade_of(overlay, id);
    Ok(())
}

/// Takes back an announced leaving.
///
/// # Errors
/// `PERSON_UNKNOWN`.
pub(in crate::domain) fn stay(overlay: &mut Overlay, id: &PersonId) -> Result<(), Refusal> {
    let person = employed(overlay, id)?;
    put_person(overlay, id, Person { employed_until: None, ..person });
    Ok(())
}

/// The last day is over: all eligibilities are revoked, the accounts disabled, and machines that nobody took over closed.
pub(super) fn depart(overlay: &mut Overlay, id: &PersonId, also_approved: bool) {
    overlay.record([Fact::Life(LifeFact::PersonLeft(PersonNamed { person: id.clone() }))]);
    let tenant = overlay.state().organisation().tenant_of(id).cloned();
    put_person(overlay, id, Person { employment: Employment::Left, tenant, ..Person::default() });
    for (account_id, mut account) in own_accounts(overlay, id) {
        let reason = "the person left".to_owned();
        account.state = AccountState::Disabled { reason, because: Disabling::Termination };
        account.roles.clear();
        account.audience.clear();
        put_account(overlay, &account_id, account);
    }
    for (account_id, machine) in machines(overlay, id) {
        put_account(overlay, &account_id, close_machine(machine));
    }
    if also_approved {
        revoke_approved(overlay, id, |phase| *phase == GrantPhase::Active);
    }
    // The person alone: what others asked for hangs on it by approvals and managers, and is found by those.
    cascade_of(overlay, id);
}

/// What is left of a machine that is closed for ever.
pub(in crate::domain) fn close_machine(mut machine: Account) -> Account {
    machine.state = AccountState::Closed;
    machine.identities.clear();
    machine.roles.clear();
    machine.audience.clear();
    machine
}

/// Revokes grants that the person approved. If they have left, the cascade revokes the unstarted ones.
fn revoke_approved(overlay: &mut Overlay, id: &PersonId, reaches: impl Fn(&GrantPhase) -> bool) {
    let (state, latest) = (overlay.state(), overlay.clocks().latest);
    let approved = state.approved_by.of(id).filter_map(|elevation| {
        let elevation = state.elevations().get(elevation)?;
        let Phase::Approved { outcome, .. } = &elevation.phase else { return None };
        let counted = elevation.review.approvals().any(|decision| decision.person == *id);
        let grant = state.grants().get(outcome).filter(|_| counted)?;
        (reaches(&grant.phase) && !grant.end.is_over(latest)).then(|| {
            let because = Revocation::ApproverLeft { person: id.clone() };
            Fact::Grant(GrantFact::Revoked(GrantRevoked { grant: grant.id, holder: grant.holder.clone(), because }))
        })
    });
    let facts = with_extensions(state, approved.collect(), overlay.clocks());
    overlay.record(facts);
}
