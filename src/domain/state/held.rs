//! Since when somebody holds an entitlement without a break. A break counts only from the terms' `min_break` on: time held on
//! both sides of a shorter one is one holding, and the break is a part of it.

use std::collections::BTreeSet;

use super::State;
use super::holding::{HeldBy, HeldIn, Holding};
use crate::domain::value::ids::{EntitlementName, GrantId, PersonId};
use crate::domain::value::time::{Span, Timestamp};

impl State {
    /// Since when a person would have held an entitlement without a break, if a grant of it began at `start`: within one
    /// tenant, or outside all of them. What is held at one customer is nothing for another to find out.
    #[must_use]
    pub fn continuous_since(
        &self,
        person: &PersonId,
        held: HeldIn<'_>,
        start: Timestamp,
        except: Option<GrantId>,
    ) -> Timestamp {
        self.holding(person, held, start, except).map_or(start, |holding| holding.since.min(start))
    }

    /// The holding with which a grant that began at `start` would go on; none after a break that counts.
    #[must_use]
    pub fn holding(
        &self,
        person: &PersonId,
        held: HeldIn<'_>,
        start: Timestamp,
        except: Option<GrantId>,
    ) -> Option<Holding> {
        let min_break = self.min_break(held.entitlement);
        let others = self.grants_of.of(person).filter(|id| Some(**id) != except).filter_map(|id| self.grants.get(id));
        let same = others.filter(|it| it.entitlement == *held.entitlement && it.scope.tenant() == held.tenant);
        let begun = same.filter(|grant| grant.start <= start).filter_map(Holding::of);
        let key = (person.clone(), held.entitlement.clone(), held.tenant.map(str::to_owned));
        let all = begun.chain(self.held_before.get(&key).copied());
        let going_on = all.filter(|holding| holding.goes_on(start, min_break));
        going_on.reduce(|one, other| Holding { since: one.since.min(other.since), until: one.until.max(other.until) })
    }

    fn min_break(&self, entitlement: &EntitlementName) -> Span {
        let terms = self.organisation.policy.entitlements.get(entitlement).map(|it| &it.terms);
        terms.and_then(|terms| terms.min_break).unwrap_or(Span::ZERO)
    }

    /// Closed grants are forgotten sooner than a long break is over. What of them counts stays, for as long as it does.
    pub(super) fn keep_holdings(&mut self, forgotten: &BTreeSet<GrantId>, at: Timestamp) {
        for grant in forgotten.iter().filter_map(|id| self.grants.get(id)) {
            let Some(holding) = Holding::of(grant) else { continue };
            let tenant = grant.scope.tenant().map(str::to_owned);
            let key: HeldBy = (grant.person.clone(), grant.entitlement.clone(), tenant);
            if self.held_before.get(&key).is_none_or(|known| known.until < holding.until) {
                self.held_before.insert(key, holding);
            }
        }
        let goes_on = |(key, holding): &(&HeldBy, &Holding)| at < holding.until.plus(self.min_break(&key.1));
        let over: Vec<HeldBy> = self.held_before.iter().filter(|it| !goes_on(it)).map(|(key, _)| key.clone()).collect();
        over.iter().for_each(|key| {
            self.held_before.remove(key);
        });
    }
}
