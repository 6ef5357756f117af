//! Which ids and identities can be had. What cannot is told in one way, whoever has it and whether anybody does: what others
//! are called and known by is nothing to find out by asking for it (known failure A14).

use crate::domain::directory::tenant_named_by;
use crate::domain::record::enrolment::MachineAsk;
use crate::domain::rule::eligibility::Obstacles;
use crate::domain::rule::identities::was_anothers;
use crate::domain::state::organisation::Organisation;
use crate::domain::value::ids::{AccountId, Identity, PersonId};
use crate::domain::value::refusal::{Reason, Refusal};
use crate::domain::value::time::Timestamp;

/// Why an id cannot be had for a new account: what is one's own is there already, and all else is one answer.
pub(super) fn id_obstacle(organisation: &Organisation, person: &PersonId, id: &AccountId) -> Option<Refusal> {
    let holder = organisation.accounts.get(id);
    if holder.is_some_and(|account| account.person() == person) {
        return Some(already(id));
    }
    let is_free = holder.is_none() && tenant_named_by(&organisation.tenants, id.as_str()).is_none();
    (!is_free).then(|| Refusal::new(Reason::IdTaken, format!("`{id}`")).with("account", id))
}

/// Why a machine cannot be known by an identity: it belongs to persons alone, as policy says for all to know; or it is, or was
/// lately, somebody else's, or of a tenant's trust domain, which is one answer.
pub(super) fn identity_obstacles(
    organisation: &Organisation,
    owner: &PersonId,
    machine: &MachineAsk,
    at: Timestamp,
) -> Obstacles {
    let taken = |identity: &Identity| {
        if organisation.policy.is_of_persons(identity) {
            let detail = format!("`{identity}` is of those that belong to persons alone, by `person_identities`");
            return Some(Refusal::new(Reason::IdentityTaken, detail).with("identity", identity));
        }
        let is_free = organisation.principals.get(identity).is_none()
            && !is_of_a_tenant(organisation, identity)
            && was_anothers(organisation, identity, owner, at).is_none();
        (!is_free).then(|| not_to_be_had(identity))
    };
    machine.identities.iter().filter_map(taken).collect()
}

/// Why a person's own identity does not become their account's: a tenant's people speak from its trust domain, and nobody
/// else does.
pub(super) fn login_obstacle(organisation: &Organisation, identity: &Identity) -> Option<Refusal> {
    is_of_a_tenant(organisation, identity).then(|| not_to_be_had(identity))
}

/// What is one's own is there already.
pub(super) fn already(id: &AccountId) -> Refusal {
    Refusal::new(Reason::AlreadyThere, format!("the account `{id}`")).with("account", id)
}

fn is_of_a_tenant(organisation: &Organisation, identity: &Identity) -> bool {
    organisation.tenants.values().any(|tenant| tenant.trust_domain.as_str() == identity.trust_domain())
}

fn not_to_be_had(identity: &Identity) -> Refusal {
    Refusal::new(Reason::IdentityTaken, format!("`{identity}`")).with("identity", identity)
}
