//! What a tenant's own feed may fill (`[tenant_limits]`), so that no customer's system fills what all share (known failure G38).
//! What takes something away is never over a limit.

use crate::domain::state::State;
use crate::domain::value::ids::{PersonId, StreamName, TenantName};
use crate::domain::value::refusal::{Reason, Refusal};
use crate::domain::value::time::Now;

/// Events of one tenant that could not happen and wait for a person.
const MOST_SET_ASIDE: usize = 1_000;
/// Streams of the own organisation's that a heartbeat may begin.
const OWN_STREAMS: usize = 16;

/// That there is room for a stream, where it is a new one: of a tenant for any, of the own organisation for one that says
/// nothing yet.
///
/// # Errors
/// `TENANT_FULL`.
pub fn room_for_stream(
    state: &State,
    tenant: Option<&TenantName>,
    stream: &StreamName,
    is_heartbeat: bool,
) -> Result<(), Refusal> {
    if state.feeds().contains_key(stream) {
        return Ok(());
    }
    let present = state.streams_of(tenant).count();
    match tenant {
        Some(tenant) => {
            let most = state.organisation().policy().tenant_limits.streams;
            room(present < size(most), tenant, "streams", most)
        }
        None if is_heartbeat && present >= OWN_STREAMS => {
            let detail =
                format!("there are {present} streams; send the first event of `{stream}` with it, or retire one");
            Err(Refusal::new(Reason::TenantFull, detail))
        }
        None => Ok(()),
    }
}

/// That a tenant's events of a day leave room for so many that give something. Counted by days of UTC.
///
/// # Errors
/// `TENANT_FULL`.
pub fn room_for_events(state: &State, tenant: &TenantName, giving: usize, now: Now) -> Result<(), Refusal> {
    let most = state.organisation().policy().tenant_limits.events_a_day;
    let sent = state.sent_today_by(tenant, now.stamp);
    room(giving == 0 || sent.saturating_add(giving) <= size(most), tenant, "events a day", most)
}

/// That there is room for an event that could not happen to wait for a person.
///
/// # Errors
/// `TENANT_FULL`.
pub fn room_to_set_aside(state: &State, tenant: &TenantName) -> Result<(), Refusal> {
    let of_tenant = |sender| state.organisation().tenant_of_account(sender) == Some(tenant);
    let waiting = state.holds().values().filter(|hold| of_tenant(&hold.sender)).count();
    let most = u32::try_from(MOST_SET_ASIDE).unwrap_or(u32::MAX);
    room(waiting < MOST_SET_ASIDE, tenant, "events that could not happen", most)
}

/// That there is room for whoever joins: for a new person, and for an account.
///
/// # Errors
/// `TENANT_FULL`.
pub fn room_to_join(state: &State, tenant: &TenantName, person: &PersonId) -> Result<(), Refusal> {
    let organisation = state.organisation();
    let (limits, present) = (organisation.policy().tenant_limits, organisation.of_tenant(tenant));
    let is_known = organisation.people().contains_key(person);
    room(is_known || present.people < size(limits.people), tenant, "people", limits.people)?;
    room(present.accounts < size(limits.accounts), tenant, "accounts", limits.accounts)
}

fn room(is_there: bool, tenant: &TenantName, of: &str, most: u32) -> Result<(), Refusal> {
    if is_there {
        return Ok(());
    }
    let detail = format!("`{tenant}` has as many {of} as it may: {most}");
    Err(Refusal::new(Reason::TenantFull, detail).with("tenant", tenant).with("limit", most))
}

fn size(number: u32) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}
