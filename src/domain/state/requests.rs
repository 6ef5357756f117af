//! Which command took effect under a `request_id`.

use super::{Bound, State};
use crate::domain::value::ids::{Principal, RequestId};

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
}
