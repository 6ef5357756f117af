//! What HR says happened to a person, as a message: also for the command line, which compares what is held with it.

use std::collections::BTreeSet;

use super::v1 as pb;
use super::values::pb_timestamp;
use crate::domain::record::hr::{HrChange, HrEvent};
use crate::domain::value::ids::{Identity, PersonId};

/// An event of HR.
#[must_use]
pub fn hr_event(it: &HrEvent) -> pb::HrEvent {
    use pb::hr_event::Change as Said;
    let named = |manager: &Option<PersonId>| manager.as_ref().map(ToString::to_string).unwrap_or_default();
    let logins = |login: &BTreeSet<Identity>| login.iter().map(ToString::to_string).collect();
    let change = match &it.change {
        HrChange::Joined { login, manager } => {
            Said::Joined(pb::Joined { logins: logins(login), manager: named(manager) })
        }
        HrChange::Renamed { login } => Said::Renamed(pb::Renamed { logins: logins(login) }),
        HrChange::LoginsChanged { added, removed } => {
            Said::LoginsChanged(pb::LoginsChanged { added: logins(added), removed: logins(removed) })
        }
        HrChange::Transferred { manager, at } => {
            Said::Transferred(pb::Transferred { manager: named(manager), time: Some(pb_timestamp(*at)) })
        }
        HrChange::Left { at, urgent, also_approved } => {
            let (urgent, also_approved) = (*urgent, *also_approved);
            Said::Left(pb::Left { time: Some(pb_timestamp(*at)), urgent, also_approved })
        }
        HrChange::Stays => Said::Stays(pb::Stays {}),
        HrChange::Roles { roles } => Said::Roles(pb::Roles { roles: roles.iter().map(ToString::to_string).collect() }),
    };
    pb::HrEvent { person: it.person.to_string(), change: Some(change) }
}
