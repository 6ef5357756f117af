//! Attestations: recorded and corrected by capability, each source for its own requirements, none in the future, and
//! none that widens one's own standing.

use super::caller::{Caller, principal};
use crate::domain::directory::{Account, Person};
use crate::domain::effect::life;
use crate::domain::effect::overlay::Overlay;
use crate::domain::policy::CapabilityName;
use crate::domain::record::command::{AttestationCommand, CorrectAttestation, Envelope, RecordAttestation};
use crate::domain::record::event::{Actor, AttestationCorrected, AttestationRecorded, Fact, LifeFact};
use crate::domain::state::State;
use crate::domain::value::ids::{PersonId, RequirementName};
use crate::domain::value::refusal::{Reason, Refusal};
use crate::domain::value::time::{Now, Timestamp};

/// Decides what is asked about what people have proved.
///
/// # Errors
/// The first thing that stands in the way.
pub(super) fn decide(
    state: &State,
    caller: &Caller<'_>,
    command: &AttestationCommand,
    envelope: &Envelope,
) -> Result<Vec<Fact>, Refusal> {
    let now = envelope.now;
    match command {
        AttestationCommand::Record(command) => record(state, caller, command, now),
        AttestationCommand::Correct(command) => correct(state, caller, command, now),
    }
}

/// Records that a person met a requirement, later than what is on record.
fn record(state: &State, caller: &Caller<'_>, command: &RecordAttestation, now: Now) -> Result<Vec<Fact>, Refusal> {
    let &RecordAttestation { person: ref id, ref requirement, met_at, ref evidence } = command;
    may_attest(state, caller, requirement, now)?;
    let mut overlay = Overlay::new(state, Actor::Caller(principal(caller)), now);
    let person = attested_person(&overlay, id, requirement)?;
    not_own(state, caller, id)?;
    not_ahead(met_at, now)?;
    if let Some(present) = person.attestations.get(requirement).filter(|present| met_at <= **present) {
        let detail = format!("{present} is on record, which is not before {met_at}; use a correction to change it");
        return Err(Refusal::new(Reason::AttestationInvalid, detail).with("present", present));
    }
    overlay.record([Fact::Life(LifeFact::AttestationRecorded(AttestationRecorded {
        person: id.clone(),
        requirement: requirement.clone(),
        met_at,
        evidence: evidence.to_owned(),
    }))]);
    put(&mut overlay, caller, id, requirement, Some(met_at));
    Ok(overlay.into_facts())
}

/// Corrects an attestation, or takes it back: if the requirement has lapsed by the corrected date, what rests on it
/// lapses at once.
fn correct(state: &State, caller: &Caller<'_>, command: &CorrectAttestation, now: Now) -> Result<Vec<Fact>, Refusal> {
    let &CorrectAttestation { person: ref id, ref requirement, met_at, ref reason } = command;
    may_attest(state, caller, requirement, now)?;
    let mut overlay = Overlay::new(state, Actor::Caller(principal(caller)), now);
    let person = attested_person(&overlay, id, requirement)?;
    let Some(before) = person.attestations.get(requirement).copied() else {
        let detail = format!("`{id}` has no attestation of `{requirement}` to correct");
        return Err(Refusal::new(Reason::AttestationInvalid, detail));
    };
    if let Some(met_at) = met_at {
        not_ahead(met_at, now)?;
        if met_at > before {
            not_own(state, caller, id)?;
        }
    }
    overlay.record([Fact::Life(LifeFact::AttestationCorrected(AttestationCorrected {
        person: id.clone(),
        requirement: requirement.clone(),
        before: Some(before),
        met_at,
        reason: reason.to_owned(),
    }))]);
    put(&mut overlay, caller, id, requirement, met_at);
    Ok(overlay.into_facts())
}

/// Records the attestation, and the lapse that it may mean. What had lapsed before is recorded first, so that a renewed
/// attestation alone restores nothing.
fn put(
    overlay: &mut Overlay,
    caller: &Caller<'_>,
    id: &PersonId,
    requirement: &RequirementName,
    met_at: Option<Timestamp>,
) {
    life::settle(overlay, id);
    let Some(mut person) = overlay.state().organisation().people().get(id).cloned() else { return };
    match met_at {
        Some(at) => {
            person.attestations.insert(requirement.clone(), at);
            person.attested_by.insert(requirement.clone(), principal(caller));
        }
        None => {
            person.attestations.remove(requirement);
            person.attested_by.remove(requirement);
        }
    }
    life::put_person(overlay, id, person);
    let rule = overlay.state().organisation().policy().requirements.get(requirement).copied();
    let lapses_at = met_at.zip(rule).map(|(met_at, rule)| rule.lapses_at(met_at));
    if lapses_at.is_none_or(|at| at.is_over(overlay.clocks().latest)) {
        life::lapse(overlay, id, requirement);
    } else {
        // An earlier date makes what rests on it end sooner.
        overlay.cascade(&crate::domain::effect::cascade::Touched::Persons([id.clone()].into()));
    }
}

/// Whether the caller has the capability for this requirement: not narrowed, or narrowed to requirements that include
/// it.
fn may_attest(state: &State, caller: &Caller<'_>, requirement: &RequirementName, now: Now) -> Result<(), Refusal> {
    let mut held = state.organisation.capabilities(caller.account, CapabilityName::AttestationRecord, now.latest);
    if held.any(|(it, _)| it.requirements.is_empty() || it.requirements.contains(requirement)) {
        return Ok(());
    }
    let name = CapabilityName::AttestationRecord.as_str();
    let detail = format!("`{name}` for `{requirement}`");
    Err(Refusal::new(Reason::CapabilityMissing, detail).with("capability", name).with("requirement", requirement))
}

fn attested_person(overlay: &Overlay, id: &PersonId, requirement: &RequirementName) -> Result<Person, Refusal> {
    let organisation = overlay.state().organisation();
    if !organisation.policy().requirements.contains_key(requirement) {
        let detail = format!("`{requirement}` is no requirement of the policy");
        return Err(Refusal::new(Reason::AttestationInvalid, detail).with("requirement", requirement));
    }
    // A customer's people are no more to be found here than those whom nobody knows (known failure D14).
    let person = organisation.employed(id, overlay.clocks().latest).filter(|person| person.tenant.is_none());
    person.cloned().ok_or_else(|| Refusal::new(Reason::PersonUnknown, format!("`{id}`")).with("person", id))
}

/// Nobody attests what widens their own standing, nor does a machine for its owner.
fn not_own(state: &State, caller: &Caller<'_>, id: &PersonId) -> Result<(), Refusal> {
    let own = state.organisation.accounts().get(caller.account).map(Account::person);
    if own == Some(id) {
        return Err(Refusal::new(Reason::OwnStanding, format!("`{id}` is behind `{}`", caller.account)));
    }
    Ok(())
}

fn not_ahead(met_at: Timestamp, now: Now) -> Result<(), Refusal> {
    if met_at > now.stamp {
        let detail = format!("{met_at} is in the future");
        return Err(Refusal::new(Reason::AttestationInvalid, detail).with("now", now.stamp));
    }
    Ok(())
}
