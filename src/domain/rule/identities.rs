//! Identities behind a request: they approve nothing in it, whoever they mean by then, and a request does not outlive them
//! (known failure B10).

use super::reviewers::Reviewed;
use crate::domain::record::review::Decision;
use crate::domain::state::organisation::Organisation;
use crate::domain::value::ids::{Identity, PersonId};
use crate::domain::value::refusal::{Reason, Refusal};
use crate::domain::value::time::Timestamp;

/// An identity that another person has, or had within 180 days, is not simply taken.
pub(in crate::domain) fn was_anothers(
    organisation: &Organisation,
    identity: &Identity,
    claimer: &PersonId,
    at: Timestamp,
) -> Option<Refusal> {
    let others = organisation.others_with(identity, claimer, at);
    let other = others.first()?;
    let detail = format!("`{identity}` is, or was lately, that of `{other}`");
    Some(Refusal::new(Reason::IdentityTaken, detail).with("identity", identity).with("holder", other))
}

/// Separation of duties, rule 3, for the certificate: an identity that somebody behind the request has, or had within the time
/// that is remembered, approves nothing in it, whomever it means by now: also one that was another's before the request was
/// made, because a certificate outlives the change of its name. Where it means somebody behind it, persons are compared already.
///
/// # Errors
/// `SELF_APPROVAL`.
pub fn separation_rule_3_identity(
    organisation: &Organisation,
    reviewed: &impl Reviewed,
    identity: &Identity,
) -> Result<(), Refusal> {
    let now = reviewed.behind_now(organisation);
    let behind = |person: &PersonId| reviewed.behind().contains(person) || now.contains(person);
    if organisation.person_of(identity).is_some_and(behind) {
        return Ok(());
    }
    let asked_by_it = reviewed.call().identity() == Some(identity);
    if asked_by_it || organisation.who_had(identity).any(behind) {
        let detail = format!("`{identity}` is behind this request, or was lately that of somebody who is");
        return Err(Refusal::new(Reason::SelfApproval, detail).with("identity", identity));
    }
    Ok(())
}

/// Separation of duties, rule 4, for the certificates: nobody behind the request has lost an identity since it was made.
///
/// # Errors
/// `IDENTITY_MOVED`.
pub fn identities_stand(organisation: &Organisation, reviewed: &impl Reviewed) -> Result<(), Refusal> {
    let (after, account) = (reviewed.call().after, reviewed.asked_from());
    let now = reviewed.behind_now(organisation);
    let mut behind = reviewed.behind().union(&now);
    behind
        .find(|person| organisation.has_lost_since(person, after, account))
        .map_or(Ok(()), |person| Err(moved(person)))
}

/// The same for an approval: by whoever decided, and by a certificate that was not behind the request.
///
/// # Errors
/// `IDENTITY_MOVED`, `SELF_APPROVAL`.
pub fn approval_stands(
    organisation: &Organisation,
    reviewed: &impl Reviewed,
    decision: &Decision,
) -> Result<(), Refusal> {
    if organisation.has_lost_since(&decision.person, decision.call.after, Some(&decision.account)) {
        return Err(moved(&decision.person));
    }
    match decision.call.identity() {
        Some(identity) => separation_rule_3_identity(organisation, reviewed, identity),
        None => Ok(()),
    }
}

fn moved(person: &PersonId) -> Refusal {
    Refusal::new(Reason::IdentityMoved, format!("of `{person}`")).with("person", person)
}
