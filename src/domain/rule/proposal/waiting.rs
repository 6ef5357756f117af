//! Whoever made or approved a proposal that widens an entitlement may not use it for a time.

use std::collections::BTreeSet;

use crate::domain::policy::{Policy, Terms};
use crate::domain::state::organisation::Organisation;
use crate::domain::value::ids::{EntitlementName, PersonId};
use crate::domain::value::refusal::{Reason, Refusal};
use crate::domain::value::time::{Span, Timestamp};

use super::rights::widens;

/// The entitlements that a policy adds, or offers to more, for more, or past fewer hurdles than another did.
#[must_use]
pub fn widened(before: &Policy, after: &Policy) -> BTreeSet<EntitlementName> {
    let is_wider = |name: &EntitlementName, is: &Terms| {
        let Some(was) = before.entitlements.get(name).map(|it| &it.terms) else { return true };
        widens(was, is) || !is.requestable_by.is_subset(&was.requestable_by)
    };
    let wider = after.entitlements.iter().filter(|(name, it)| is_wider(name, &it.terms));
    wider.map(|(name, _)| name.clone()).collect()
}

/// How long those behind a proposal wait: by the policy before or the one after it, whichever is longer, and no shorter
/// than the time that a recent policy has shortened.
#[must_use]
pub fn author_waits(before: &Organisation, after: &Policy, at: Timestamp) -> Span {
    let until_lately = before.waited_before.filter(|(_, until)| !until.is_over(at));
    let waited = until_lately.map_or(Span::ZERO, |(span, _)| span);
    before.policy.limits.author_waits.max(after.limits.author_waits).max(waited)
}

impl Organisation {
    /// Refuses a person an entitlement that a proposal of theirs has widened too recently.
    ///
    /// # Errors
    /// `AUTHOR_WAITS`, with the first instant at which it is over.
    pub fn author_waits(&self, name: &EntitlementName, person: &PersonId, at: Timestamp) -> Result<(), Refusal> {
        let until = self.waits.get(&(name.clone(), person.clone())).filter(|until| !until.is_over(at));
        until.map_or(Ok(()), |until| {
            let detail = format!("`{person}` made or approved a proposal that widened `{name}`, until {until}");
            let refusal = Refusal::new(Reason::AuthorWaits, detail).with("person", person);
            Err(refusal.with("entitlement", name).with("until", until))
        })
    }
}
