//! What the engine does for replicas.

use std::sync::Arc;

use super::Engine;
use super::replication::{Awaited, Place, Replica, Subscription};
use crate::domain::directory::AccountKind;
use crate::domain::policy::CapabilityName;
use crate::domain::value::ids::AccountId;
use crate::domain::value::refusal::{Reason, Refusal};

impl Engine {
    /// Follows an account's feed: from where a replica left off, if that is still known, else from a snapshot, which
    /// has at least the sequence `at_least` if that is reached.
    ///
    /// # Errors
    /// `OVERLOADED` or `HALTED`. Whether it may is asked before, by [`Engine::may_follow`].
    pub async fn replicate(
        &self,
        account: &AccountId,
        who: Replica,
        at_least: u64,
        place: Option<Place>,
    ) -> Result<Subscription, Refusal> {
        let hub = Arc::clone(&self.shared.hub);
        let channel = match hub.known(account) {
            Some(channel) => channel,
            None => {
                let (of, its) = (account.clone(), Arc::clone(&hub));
                let boot = self.shared.keeper.boot();
                self.ask(move |state, _| its.open(&of, state, boot)).await??
            }
        };
        let mut subscription = Subscription::new(hub, channel, Arc::clone(&self.shared.keeper), who)?;
        subscription.begin(&self.shared.queues, at_least, place).await?;
        Ok(subscription)
    }

    /// Whether the account may have a feed now; asked at each beat too.
    ///
    /// # Errors
    /// `CAPABILITY_MISSING`.
    pub fn may_follow(&self, account: &AccountId) -> Result<(), Refusal> {
        let now = self.latest();
        let checks = self.checks().caller(account.as_str()).is_some_and(|caller| caller.may_check(now));
        // Feeds do not yet keep from a customer what it may not know of others.
        let is_customer = self.read(|state| {
            let account = state.organisation().accounts().get(account);
            account.is_some_and(|account| matches!(account.kind, AccountKind::Customer { .. }))
        });
        if checks && !is_customer {
            return Ok(());
        }
        let capability = CapabilityName::AccessCheck.as_str();
        Err(Refusal::new(Reason::CapabilityMissing, format!("`{capability}`")).with("capability", capability))
    }

    /// How many replicas follow a feed.
    #[must_use]
    pub fn replicas(&self) -> usize {
        self.shared.hub.connected()
    }

    /// The replicas that are known now, and what is published by now.
    #[must_use]
    pub fn await_replicas(&self) -> Awaited {
        Awaited::new(&self.shared.hub, &self.shared.keeper)
    }
}
