//! How long those behind a proposal wait, as it is on record.

use super::organisation::Organisation;
use crate::domain::policy::Policy;
use crate::domain::record::event::AuthorsWait;
use crate::domain::value::time::{Span, Timestamp};

impl Organisation {
    /// A wait that a policy shortens keeps its old length until that much time has passed.
    pub(in crate::domain) fn shorten_waits(&mut self, before: &Policy, at: Timestamp) {
        let was = before.limits.author_waits;
        if before.digest.is_none() || self.policy.limits.author_waits >= was {
            return;
        }
        let earlier = self.waited_before.filter(|(_, until)| !until.is_over(at));
        let (span, until) = earlier.unwrap_or((Span::ZERO, at));
        self.waited_before = Some((span.max(was), until.max(at.plus(was))));
    }

    /// Puts on record who waits for what; waits that are over are forgotten.
    pub(in crate::domain) fn put_waits(&mut self, wait: &AuthorsWait, at: Timestamp) {
        let AuthorsWait { persons, entitlements: names, until, .. } = wait;
        let over: Vec<_> =
            self.waits.iter().filter(|(_, until)| until.is_over(at)).map(|(key, _)| key.clone()).collect();
        over.iter().for_each(|key| {
            self.waits.remove(key);
        });
        for key in names.iter().flat_map(|name| persons.iter().map(move |person| (name.clone(), person.clone()))) {
            let later = self.waits.get(&key).map_or(*until, |known| *until.max(known));
            self.waits.insert(key, later);
        }
    }
}
