//! Locks, both ways.

use super::commands::{Change, Mutation, change, mutation, request_id};
use super::message::{Fields, InvalidMessage};
use super::queries::{Paging, known};
use super::v1 as pb;
use super::values::{LONGEST_TEXT_BYTES, parsed, pb_timestamp, text, timestamp};
use crate::domain::record::command::{Command, CreateLock, DeleteLock};
use crate::domain::record::lock::{Lock, LockMode, Locked};
use pb::lock_target::Target;

impl TryFrom<pb::CreateLockRequest> for Change {
    type Error = InvalidMessage;

    fn try_from(message: pb::CreateLockRequest) -> Result<Self, InvalidMessage> {
        let mut fields = Fields::default();
        let on = target(&mut fields, message.target.and_then(|it| it.target));
        let mode = fields.take("mode", mode(message.mode));
        let reason = fields.take("reason", text(message.reason, 1, LONGEST_TEXT_BYTES));
        let until = fields.take("end_time", message.end_time.as_ref().map(timestamp).transpose());
        let command = || Some(Command::from(CreateLock { on: on?, mode: mode?, reason: reason?, until: until? }));
        let command = command();
        change(fields, &message.request_id, message.validate_only, command)
    }
}

impl TryFrom<pb::DeleteLockRequest> for Mutation {
    type Error = InvalidMessage;

    fn try_from(message: pb::DeleteLockRequest) -> Result<Self, InvalidMessage> {
        let mut fields = Fields::default();
        let request_id = request_id(&mut fields, &message.request_id, false);
        let lock = fields.take("lock_id", parsed(&message.lock_id));
        let reason = fields.take("reason", text(message.reason, 1, LONGEST_TEXT_BYTES));
        let command = lock.zip(reason).map(|(lock, reason)| Command::from(DeleteLock { lock, reason }));
        mutation(fields, request_id, command)
    }
}

impl TryFrom<&pb::ListLocksRequest> for Paging {
    type Error = InvalidMessage;

    fn try_from(message: &pb::ListLocksRequest) -> Result<Self, InvalidMessage> {
        let mut fields = Fields::default();
        let paging = Self::parse(&mut fields, message.page_size, &message.page_token, &message.min_sequence);
        fields.finish(paging)
    }
}

fn target(fields: &mut Fields, target: Option<Target>) -> Option<Locked> {
    match target {
        None => fields.take("target", Err("missing; say what to lock".to_owned())),
        Some(Target::Account(id)) => fields.take("target.account", parsed(&id)).map(Locked::Account),
        Some(Target::Person(id)) => fields.take("target.person", parsed(&id)).map(Locked::Person),
        Some(Target::Role(name)) => fields.take("target.role", parsed(&name)).map(Locked::Role),
        Some(Target::Entitlement(name)) => fields.take("target.entitlement", parsed(&name)).map(Locked::Entitlement),
        Some(Target::Resources(pattern)) => fields.take("target.resources", parsed(&pattern)).map(Locked::Resources),
        Some(Target::Tenant(name)) => fields.take("target.tenant", parsed(&name)).map(Locked::Tenant),
        Some(Target::Everything(true)) => Some(Locked::Everything),
        Some(Target::Everything(false)) => fields.take("target.everything", Err("false; say what to lock".to_owned())),
    }
}

fn mode(mode: i32) -> Result<LockMode, String> {
    known(mode).map(|mode: pb::LockMode| match mode {
        pb::LockMode::Revoke => LockMode::Revoke,
        pb::LockMode::Suspend | pb::LockMode::Unspecified => LockMode::Suspend,
    })
}

/// A lock.
#[must_use]
pub fn lock(it: &Lock) -> pb::Lock {
    let target = match &it.on {
        Locked::Account(id) => Target::Account(id.to_string()),
        Locked::Person(id) => Target::Person(id.to_string()),
        Locked::Role(name) => Target::Role(name.to_string()),
        Locked::Entitlement(name) => Target::Entitlement(name.to_string()),
        Locked::Resources(pattern) => Target::Resources(pattern.to_string()),
        Locked::Tenant(name) => Target::Tenant(name.to_string()),
        Locked::Everything => Target::Everything(true),
    };
    let mode = match it.mode {
        LockMode::Suspend => pb::LockMode::Suspend,
        LockMode::Revoke => pb::LockMode::Revoke,
    };
    pb::Lock {
        id: it.id.to_string(),
        target: Some(pb::LockTarget { target: Some(target) }),
        mode: mode.into(),
        reason: it.reason.clone(),
        creator: it.by.as_ref().map_or_else(|| "operator".to_owned(), ToString::to_string),
        create_time: Some(pb_timestamp(it.at)),
        end_time: it.until.map(pb_timestamp),
    }
}
