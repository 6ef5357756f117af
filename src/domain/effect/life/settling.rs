//! Applies what is due by now, even if no timer has run.

use std::collections::BTreeSet;

use super::{lapsing, leaving, moving};
use crate::domain::directory::Employment;
use crate::domain::effect::overlay::Overlay;
use crate::domain::state::Due;
use crate::domain::value::ids::PersonId;

/// Applies what is due for a person by now, even if no timer has run; a command about a person begins with it. It goes
/// by the person's record, not by the list of what is due.
pub(in crate::domain) fn settle(overlay: &mut Overlay, id: &PersonId) {
    let now = overlay.clocks().latest;
    let Some(person) = overlay.state().organisation().people().get(id) else { return };
    if person.employment == Employment::Left {
        return;
    }
    if !person.is_employed(now) {
        leaving::depart(overlay, id, false);
        return;
    }
    if person.moves.first().is_some_and(|moves| moves.at.is_over(now)) {
        moving::take_effect(overlay, id);
    }
    lapsing::settle(overlay, id);
}

/// Records everybody's lapses up to now, even if no timer has, before a new file could make them look as if nothing had
/// lapsed.
pub(in crate::domain) fn settle_lapses(overlay: &mut Overlay) {
    let latest = overlay.clocks().latest;
    let due = overlay.state().due.iter().take_while(|(at, _)| at.is_over(latest));
    let persons: BTreeSet<PersonId> = due
        .filter_map(|(_, due)| if let Due::RequirementLapse(person, _) = due { Some(person.clone()) } else { None })
        .collect();
    persons.iter().for_each(|person| lapsing::settle(overlay, person));
}
