//! Who calls, as every decision needs it: the account, whether it can be used, and what it may do in the broker.

use crate::domain::policy::CapabilityName;
use crate::domain::record::called_from::Call;
use crate::domain::record::command::Envelope;
use crate::domain::rule::visibility::Viewer;
use crate::domain::state::State;
use crate::domain::value::ids::{AccountId, Identity, Principal};
use crate::domain::value::refusal::{Reason, Refusal};
use crate::domain::value::time::{Now, Timestamp};

/// Who calls, once that is known.
pub(super) struct Caller<'a> {
    pub(super) viewer: &'a Viewer,
    pub(super) account: &'a AccountId,
    /// The certificate's, which is not all that the account has.
    pub(super) identity: &'a Identity,
    /// What is recorded of where the call came from.
    pub(super) call: Call,
}

impl<'a> Caller<'a> {
    /// Whoever calls from an account that can be used at all.
    ///
    /// # Errors
    /// `NO_ACCOUNT`, `ACCOUNT_DISABLED`.
    pub(super) fn of(state: &'a State, viewer: &'a Viewer, envelope: &'a Envelope) -> Result<Self, Refusal> {
        let account = usable_account(state, viewer, envelope.now)?;
        Ok(Self { viewer, account, identity: &envelope.caller.identity, call: envelope.call(state.sequence()) })
    }
}

/// The caller's account, if it can be used at all. Each command decides what else the account needs, because what takes
/// access away must not wait for a missing requirement.
pub(super) fn usable_account<'a>(state: &'a State, viewer: &'a Viewer, now: Now) -> Result<&'a AccountId, Refusal> {
    let id = viewer.account()?;
    state.organisation.account_in_use(id, now.latest).map(|_| id)
}

/// Whether the caller holds a capability, however narrowed.
///
/// # Errors
/// `CAPABILITY_MISSING`.
pub(super) fn needs(state: &State, caller: &Caller<'_>, capability: CapabilityName, now: Now) -> Result<(), Refusal> {
    if state.organisation.capability(caller.account, capability, now.latest).is_some() {
        return Ok(());
    }
    let name = capability.as_str();
    Err(Refusal::new(Reason::CapabilityMissing, format!("`{name}`")).with("capability", name))
}

/// The caller as events name it.
pub(super) fn principal(caller: &Caller<'_>) -> Principal {
    caller.viewer.principal.clone()
}

/// The ids that a command makes: UUIDv7 of the stamp, with nine bytes of the envelope's nonce; after them `which` keeps
/// several ids of one command apart.
pub(super) fn make_id(envelope: &Envelope, which: u8) -> uuid::Uuid {
    id_at(envelope.now.stamp, envelope.nonce, which)
}

/// The same, of what no command asked for.
pub(super) fn id_at(stamp: Timestamp, nonce: [u8; 16], which: u8) -> uuid::Uuid {
    let [a, b, c, d, e, f, g, h, i, ..] = nonce;
    let random = [a, b, c, d, e, f, g, h, i, which];
    let millis = u64::try_from(stamp.millis()).unwrap_or_default();
    uuid::Builder::from_unix_timestamp_millis(millis, &random).into_uuid()
}

/// The same, of as many as there may be in one command: of entropy that no other id takes. The number is mixed into that, so that
/// the ids of two commands do not end alike.
pub(super) fn make_numbered_id(envelope: &Envelope, number: u32) -> uuid::Uuid {
    let [.., a, b, c, d, e, f] = envelope.nonce;
    let [g, h, i, j] = (number ^ u32::from_be_bytes([a, b, c, d])).to_be_bytes();
    let millis = u64::try_from(envelope.now.stamp.millis()).unwrap_or_default();
    uuid::Builder::from_unix_timestamp_millis(millis, &[a, b, c, d, e, f, g, h, i, j]).into_uuid()
}
