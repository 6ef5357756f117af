//! Which command took effect under a `request_id`.

use super::{Bound, State, kept};
use crate::domain::directory::AccountState;
use crate::domain::value::ids::{AccountId, Identity, Principal, RequestId};

impl State {
    /// What a `request_id` was bound to, within the last 24 h: by this caller, or by the same person while they had no account.
    #[must_use]
    pub fn bound(&self, principal: &Principal, id: RequestId) -> Option<&Bound> {
        let person = || match principal {
            Principal::Account(account) => {
                let account = self.organisation.accounts().get(account).filter(|account| !account.is_machine());
                account.map(|account| Principal::Person(account.person().clone()))
            }
            Principal::Person(_) => None,
        };
        self.requests.get(&(principal.clone(), id)).or_else(|| self.requests.get(&(person()?, id)))
    }

    /// What a `request_id` was bound to by an identity that means nobody now, or an account that is closed: by the very command,
    /// say. None where anybody else had that identity as well, who must not learn what it was.
    #[must_use]
    pub fn bound_before(&self, identity: &Identity, id: RequestId) -> Option<&Bound> {
        let organisation = &self.organisation;
        let sender = self.senders.get(&(identity.clone(), id))?;
        let is_closed = |account: &AccountId| {
            organisation.accounts().get(account).is_some_and(|account| account.state == AccountState::Closed)
        };
        let is_gone = match organisation.principal(identity) {
            None => true,
            Some(Principal::Account(account)) => is_closed(account),
            Some(Principal::Person(_)) => false,
        };
        let is_same = organisation.principal(identity).is_none_or(|present| present == sender);
        let of_one = organisation.who_had(identity).count() <= 1;
        (is_gone && is_same && of_one).then(|| self.requests.get(&(sender.clone(), id))).flatten()
    }

    pub(super) fn forget_request(&mut self, principal: Principal, id: RequestId) {
        let key = (principal, id);
        let Some(bound) = self.requests.remove(&key) else { return };
        self.keeps_no_more(&key.0, kept::REQUEST_BYTES);
        if let Some(identity) = &bound.by {
            self.senders.remove(&(identity.clone(), id));
        }
    }
}
