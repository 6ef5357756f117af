//! Who the caller is to the broker, what keeps them from asking, and what of it lapses soon.

use std::collections::BTreeSet;

use crate::domain::effect::life::{Lapsing, lapses_ahead};
use crate::domain::policy::CapabilityName;
use crate::domain::record::lock::Lock;
use crate::domain::rule::visibility::{Viewer, viewer};
use crate::domain::state::State;
use crate::domain::state::organisation::Organisation;
use crate::domain::value::ids::{AccountId, PersonId, Principal};
use crate::domain::value::refusal::{Reason, Refusal};
use crate::domain::value::time::Now;
use crate::server::caller::VerifiedCaller;
use crate::wire::elevations::obstacles;
use crate::wire::life::lapse_ahead;
use crate::wire::organisation as render;
use crate::wire::v1 as pb;
use crate::wire::values::pb_timestamp;

/// Answers any verified certificate: what it says, and what the directory has of it.
pub(crate) fn who(state: &State, caller: &VerifiedCaller, now: Now) -> pb::WhoAmIResponse {
    let organisation = state.organisation();
    let mut told = pb::WhoAmIResponse {
        identity: caller.identity.to_string(),
        sequence: caller.sequence_text(state.sequence()),
        broker_time: Some(pb_timestamp(now.latest)),
        certificate_end_time: Some(pb_timestamp(caller.not_after)),
        ..Default::default()
    };
    let viewer = match viewer(organisation, &caller.identity) {
        Ok(viewer) => viewer,
        Err(refusal) => {
            told.obstacles = obstacles(vec![refusal]);
            return told;
        }
    };
    let person = match &viewer.principal {
        Principal::Account(id) => {
            told.account = organisation.accounts().get(id).map(|it| render::account(id, it, now));
            told.capabilities = capabilities(organisation, id, now);
            told.audited = audited(organisation, id, now);
            let mut found = organisation.account_validity(id, now.latest).err().unwrap_or_default();
            let locks = organisation.lock_on_account(id).into_iter().chain(organisation.lock_on_everything());
            found.extend(locks.map(Lock::refusal));
            told.obstacles = obstacles(found);
            organisation.accounts().get(id).map(|account| account.person().clone())
        }
        Principal::Person(id) => {
            let requires = &organisation.policy().baseline.requires;
            let mut missing = organisation.person_validity(id, requires, now.latest).err().unwrap_or_default();
            let locks = organisation.lock_on_person(id).into_iter().chain(organisation.lock_on_everything());
            missing.extend(locks.map(Lock::refusal));
            missing.push(Refusal::new(Reason::NoAccount, format!("`{id}` has no account yet")));
            told.obstacles = obstacles(missing);
            Some(id.clone())
        }
    };
    if let Some(id) = &person {
        told.lapses_ahead = lapses(organisation, &viewer, id, now);
        told.pending_enrolments = pending_enrolments(state, &viewer, id, now);
    }
    let person = person.and_then(|id| organisation.people().get_key_value(&id));
    told.person = person.map(|(id, it)| render::person(organisation, id, it));
    told
}

fn capabilities(organisation: &Organisation, id: &AccountId, now: Now) -> Vec<String> {
    let held = CapabilityName::ALL.into_iter();
    let held = held.filter(|(_, name)| organisation.capability(id, *name, now.latest).is_some());
    held.map(|(text, _)| text.to_owned()).collect()
}

/// What the account's `audit.read` is of, as patterns.
fn audited(organisation: &Organisation, id: &AccountId, now: Now) -> Vec<String> {
    let held = organisation.capabilities(id, CapabilityName::AuditRead, now.latest);
    let patterns = held.flat_map(|(capability, _)| match capability.resources.is_empty() {
        true => vec!["**".to_owned()],
        false => capability.resources.iter().map(ToString::to_string).collect(),
    });
    patterns.collect::<BTreeSet<String>>().into_iter().collect()
}

/// What lapses or ends within 30 days. A machine sees its own, not what its owner has to renew.
fn lapses(organisation: &Organisation, viewer: &Viewer, person: &PersonId, now: Now) -> Vec<pb::LapseAhead> {
    let machine = viewer.account().ok().filter(|_| viewer.person.is_none());
    let concerns = |what: &Lapsing| match (machine, what) {
        (None, _) => true,
        (Some(own), Lapsing::Membership(account, _) | Lapsing::Account(account)) => own == account,
        (Some(_), Lapsing::Requirement(_) | Lapsing::Employment) => false,
    };
    let ahead = lapses_ahead(organisation, person, now).into_iter().filter(|coming| concerns(&coming.what));
    ahead.map(|coming| lapse_ahead(person, &coming, now.latest)).collect()
}

/// What the person has asked for and waits for, machines' and others' requests that they are behind among it.
fn pending_enrolments(state: &State, viewer: &Viewer, person: &PersonId, now: Now) -> Vec<String> {
    let pending = state.pending_enrolments_of(person).filter(|it| !it.review.deadline.is_over(now.latest));
    let own = pending.filter(|it| it.behind.contains(person) && viewer.person.as_ref() == Some(person));
    own.map(|it| it.id.to_string()).collect()
}
