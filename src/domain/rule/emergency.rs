//! Emergency access and what it owes: who may complete a follow-up, and that nobody with an overdue one gets more.

use crate::domain::policy::Stage;
use crate::domain::record::elevation::Elevation;
use crate::domain::state::State;
use crate::domain::state::organisation::Organisation;
use crate::domain::value::refusal::{Reason, Refusal};
use crate::domain::value::time::Timestamp;

/// The stages that an emergency skipped, as they were and as they are, so that somebody can still follow up after
/// policy renames a role. None if it is no emergency.
pub fn ordinary_stages<'a>(
    elevation: &'a Elevation,
    organisation: &'a Organisation,
) -> impl Iterator<Item = &'a Stage> {
    let now = organisation.policy().entitlements.get(&elevation.entitlement).map(|it| &it.terms.approval);
    let emergency = elevation.emergency.as_ref();
    emergency.into_iter().flat_map(move |emergency| emergency.ordinary.iter().chain(now.into_iter().flatten()))
}

/// Nobody gets further emergency access while a follow-up of theirs is overdue: nor from another account, nor by a machine.
///
/// # Errors
/// `FOLLOW_UP_OVERDUE`.
pub(in crate::domain) fn none_overdue(state: &State, elevation: &Elevation, latest: Timestamp) -> Result<(), Refusal> {
    let open = elevation.behind.iter().flat_map(|person| state.follow_ups_of.of(person));
    let owed = open.filter_map(|id| state.elevations.get(id)).filter_map(|it| Some((it, it.open_follow_up()?)));
    match owed.into_iter().find(|(_, follow_up)| follow_up.due.is_over(latest)) {
        Some((it, follow_up)) => {
            let detail = format!("of `{}`, since {}", it.id, follow_up.due);
            Err(Refusal::new(Reason::FollowUpOverdue, detail).with("elevation", it.id).with("due", follow_up.due))
        }
        None => Ok(()),
    }
}
