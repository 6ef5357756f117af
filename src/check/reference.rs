//! The same rules over plain maps and the domain's own functions, slow and short: what the index is compared with.

use std::collections::{BTreeMap, BTreeSet};

use super::{AccountEntry, Allowed, Change, Denied, GrantEntry, Query, Verdict};
use crate::domain::value::ids::{AccountId, GrantId};
use crate::domain::value::scope::{Action, Pattern, Resource, Scope};
use crate::domain::value::time::Timestamp;

#[derive(Debug, Clone, Default)]
pub(crate) struct Reference {
    pub(crate) accounts: BTreeMap<AccountId, AccountEntry>,
    pub(crate) grants: BTreeMap<(AccountId, GrantId), GrantEntry>,
    pub(crate) baseline: Vec<Scope>,
    pub(crate) locked: BTreeSet<Pattern>,
}

impl Reference {
    pub(crate) fn apply(&mut self, change: &Change) {
        match change.clone() {
            Change::Account(account) => drop(self.accounts.insert(account.id.clone(), account)),
            Change::AccountGone(id) => drop(self.accounts.remove(&id)),
            Change::Grant(grant) => drop(self.grants.insert((grant.holder.clone(), grant.id), grant)),
            Change::GrantGone { holder, id } => drop(self.grants.remove(&(holder, id))),
            Change::Baseline(scopes) => self.baseline = scopes,
            Change::Locked(patterns) => self.locked = patterns,
        }
    }

    /// Everything that is in it; with the baseline, and with what is locked, if that was ever said.
    pub(crate) fn entries(&self, baseline: bool, locked: bool) -> Vec<Change> {
        let accounts = self.accounts.values().cloned().map(Change::Account);
        let grants = self.grants.values().cloned().map(Change::Grant);
        let baseline = baseline.then(|| Change::Baseline(self.baseline.clone()));
        let locked = locked.then(|| Change::Locked(self.locked.clone()));
        accounts.chain(grants).chain(baseline).chain(locked).collect()
    }

    pub(crate) fn named(&self, name: &str) -> Option<&AccountEntry> {
        let is_own = |account: &AccountEntry| account.identities.iter().any(|identity| identity.as_str() == name);
        self.accounts.values().find(|account| account.id.as_str() == name || is_own(account))
    }

    /// None: there is no such caller.
    pub(crate) fn check(&self, caller: &str, query: Query<'_>, now: Timestamp) -> Option<Verdict> {
        let caller = self.named(caller).filter(|account| account.active && !account.locked)?;
        let resource = query.resource.parse::<Resource>().ok();
        let subject = self.named(query.subject);
        let in_audience = resource.as_ref().is_some_and(|r| caller.audience.iter().any(|pattern| pattern.covers(r)));
        let is_self = subject.is_some_and(|subject| subject.id == caller.id);
        if !(now < caller.checks_until && in_audience || is_self) {
            return Some(Verdict::Deny { because: Denied::OutOfAudience });
        }
        let none = Some(Verdict::Deny { because: Denied::NoGrant });
        let locked = Some(Verdict::Deny { because: Denied::Locked });
        let Some(resource) = resource else { return none };
        if self.locked.iter().any(|pattern| pattern.covers(&resource)) || subject.is_some_and(|subject| subject.locked)
        {
            return locked;
        }
        let Ok(action) = query.action.parse::<Action>() else { return none };
        let Some(subject) = subject.filter(|subject| subject.active) else { return none };
        let covering: Vec<&GrantEntry> = self
            .grants
            .values()
            .filter(|grant| grant.holder == subject.id && now < grant.end && grant.scope.covers(&action, &resource))
            .collect();
        let live = covering.iter().filter(|grant| grant.started && !grant.locked);
        if let Some(grant) = live.max_by_key(|grant| (grant.end, std::cmp::Reverse(grant.id))) {
            let because = Allowed::Granted { grant: grant.id };
            return Some(Verdict::Allow { because, valid_until: grant.end });
        }
        if now < subject.baseline_until && self.baseline.iter().any(|scope| scope.covers(&action, &resource)) {
            return Some(Verdict::Allow { because: Allowed::Baseline, valid_until: subject.baseline_until });
        }
        if covering.iter().any(|grant| grant.locked) {
            return locked;
        }
        if covering.is_empty() { none } else { Some(Verdict::Deny { because: Denied::NotStarted }) }
    }
}
