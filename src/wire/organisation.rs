//! Accounts, persons and entitlements as messages.

use super::elevations::{scope_texts, stages};
use super::v1 as pb;
use super::values::{pb_duration, pb_end, pb_timestamp};
use crate::domain::directory::{Account, AccountKind, AccountState, ActsFor, Disabling, Employment, Person};
use crate::domain::policy::{Entitlement, Mistake, Warning};
use crate::domain::state::organisation::Organisation;
use crate::domain::value::ids::{AccountId, EntitlementName, PersonId};
use crate::domain::value::time::Now;

/// An account. One at its own end is given as disabled, whatever the timer has recorded.
#[must_use]
pub fn account(id: &AccountId, it: &Account, now: Now) -> pb::Account {
    let (kind, acts_for, tenant) = match &it.kind {
        AccountKind::ServiceTeam { .. } => (pb::AccountKind::ServiceTeam, pb::ActsFor::Unspecified, String::new()),
        AccountKind::Service { acts_for, .. } => {
            let acts_for = match acts_for {
                ActsFor::Itself => pb::ActsFor::Itself,
                ActsFor::People => pb::ActsFor::People,
            };
            (pb::AccountKind::Service, acts_for, String::new())
        }
        AccountKind::Customer { tenant, .. } => {
            (pb::AccountKind::Customer, pb::ActsFor::Unspecified, tenant.to_string())
        }
    };
    let (state, state_reason) = match &it.state {
        AccountState::Active if it.ends_at().is_over(now.latest) => {
            (pb::AccountState::Disabled, "ACCOUNT_ENDED".to_owned())
        }
        AccountState::Active => (pb::AccountState::Active, String::new()),
        AccountState::Disabled { reason, .. } => (pb::AccountState::Disabled, one_word(reason)),
        AccountState::Closed => (pb::AccountState::Closed, "CLOSED".to_owned()),
    };
    let memberships = it.roles.iter().map(|(role, membership)| pb::Membership {
        role: role.to_string(),
        end_time: pb_end(membership.ends_at()),
        since_time: membership.since.map(pb_timestamp),
        enrolment_id: membership.approved.as_ref().map(|it| it.enrolment.to_string()).unwrap_or_default(),
        approved_by: membership.approved.iter().flat_map(|it| &it.persons).map(ToString::to_string).collect(),
        fed_by: membership.fed_by.as_ref().map(ToString::to_string).unwrap_or_default(),
        suspended_time: membership.suspended.map(pb_timestamp),
        cut_by_transfer: membership.cut.is_some(),
        confirm_by_time: membership.confirm.map(|confirm| pb_timestamp(confirm.by)),
    });
    let disabled_by = match &it.state {
        AccountState::Disabled { because: Disabling::Directory, .. } => "DIRECTORY",
        AccountState::Disabled { because: Disabling::Lapse, .. } => "LAPSE",
        AccountState::Disabled { because: Disabling::Termination, .. } => "TERMINATION",
        AccountState::Active | AccountState::Closed => "",
    };
    pb::Account {
        id: id.to_string(),
        kind: kind.into(),
        state: state.into(),
        state_reason,
        person: it.person().to_string(),
        identities: it.identities.iter().map(ToString::to_string).collect(),
        memberships: memberships.collect(),
        audience: it.audience.iter().map(ToString::to_string).collect(),
        acts_for: acts_for.into(),
        end_time: it.until.map(pb_timestamp),
        tenant,
        disabled_by: disabled_by.to_owned(),
    }
}

/// A person, with what they met and when it lapses.
#[must_use]
pub fn person(organisation: &Organisation, id: &PersonId, it: &Person) -> pb::Person {
    let employment_state = match it.employment {
        Employment::Employed => pb::EmploymentState::Employed,
        Employment::Left => pb::EmploymentState::Terminated,
    };
    let attestations = it.attestations.iter().map(|(name, met)| pb::Attestation {
        requirement: name.to_string(),
        met_time: Some(pb_timestamp(*met)),
        lapse_time: organisation.policy().requirements.get(name).and_then(|rule| pb_end(rule.lapses_at(*met))),
        recorded_by: it.attested_by.get(name).map_or_else(|| "broker".to_owned(), ToString::to_string),
    });
    let tenant = organisation.accounts_of(id).find_map(|(_, account)| match &account.kind {
        AccountKind::Customer { tenant, .. } => Some(tenant.to_string()),
        AccountKind::ServiceTeam { .. } | AccountKind::Service { .. } => None,
    });
    pb::Person {
        id: id.to_string(),
        manager: it.manager.as_ref().map(ToString::to_string).unwrap_or_default(),
        employment_state: employment_state.into(),
        logins: it.login.iter().map(ToString::to_string).collect(),
        attestations: attestations.collect(),
        accounts: organisation.accounts_of(id).map(|(account, _)| account.to_string()).collect(),
        tenant: tenant.unwrap_or_default(),
        employment_end_time: it.employed_until.map(pb_timestamp),
        move_time: it.moves.first().map(|moves| pb_timestamp(moves.at)),
        move_manager: it.moves.first().and_then(|it| it.manager.as_ref()).map(ToString::to_string).unwrap_or_default(),
        awaits_manager: it.awaits_manager,
    }
}

/// An entitlement with its terms.
#[must_use]
pub fn entitlement(name: &EntitlementName, it: &Entitlement) -> pb::Entitlement {
    let terms = &it.terms;
    let (actions, resources) = scope_texts(&terms.scope);
    pb::Entitlement {
        name: name.to_string(),
        title: it.title.clone(),
        description: it.description.clone(),
        scope: Some(pb::Scope { actions, resources }),
        requestable_by: terms.requestable_by.iter().map(ToString::to_string).collect(),
        default_duration: Some(pb_duration(terms.default_duration)),
        max_duration: Some(pb_duration(terms.max_duration)),
        max_continuous: terms.max_continuous.map(pb_duration),
        min_break: terms.min_break.map(pb_duration),
        review_within: Some(pb_duration(terms.review_within)),
        start_within: terms.start_within.map(pb_duration),
        justification_min_length: terms.justification_min_length.unwrap_or_default(),
        ticket: terms.ticket.as_ref().map(|pattern| pattern.as_str().to_owned()).unwrap_or_default(),
        approval: stages(&terms.approval),
        terms_digest: it.terms_digest.bytes().to_vec(),
        emergency: terms.emergency.as_ref().map(|way| pb::EmergencyWay {
            max_duration: Some(pb_duration(way.max_duration)),
            approval: stages(&way.approval),
            follow_up_within: Some(pb_duration(way.follow_up_within)),
        }),
    }
}

/// A mistake in a file.
#[must_use]
pub fn mistake(it: &Mistake) -> pb::Mistake {
    let (text, wanted) = (it.found.clone(), it.wanted.clone());
    pb::Mistake { line: it.line, column: it.column, path: it.path.clone(), text, wanted }
}

/// A warning about a file.
#[must_use]
pub fn warning(it: &Warning) -> pb::Mistake {
    let (text, wanted) = (it.found.clone(), it.meaning.clone());
    pb::Mistake { line: it.line, column: it.column, path: it.path.clone(), text, wanted }
}

/// `no longer in the directory` as `NO_LONGER_IN_THE_DIRECTORY`.
fn one_word(reason: &str) -> String {
    let words = reason.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
    words.collect::<Vec<_>>().join("_").to_ascii_uppercase()
}
