//! Streams of HR's feeds by whose they are, and what a tenant's feed has sent today.

use super::State;
use crate::domain::value::ids::{AccountId, StreamName, TenantName};
use crate::domain::value::time::Timestamp;

const DAY_MILLIS: i64 = 24 * 3_600 * 1_000;

impl State {
    /// The streams of a tenant's feed, or of the own organisation's.
    pub fn streams_of(&self, tenant: Option<&TenantName>) -> impl Iterator<Item = &StreamName> {
        self.feeds_of.of(&tenant.cloned())
    }

    /// How many events that give something a tenant's feed has sent on the day of UTC in which an instant lies.
    #[must_use]
    pub fn sent_today_by(&self, tenant: &TenantName, at: Timestamp) -> usize {
        self.tenant_days.get(tenant).filter(|it| it.day == day(at)).map_or(0, |it| it.count)
    }

    pub(super) fn count_of_tenant(&mut self, sender: &AccountId, at: Timestamp) {
        let Some(tenant) = self.organisation.tenant_of_account(sender).cloned() else { return };
        let count = self.sent_today_by(&tenant, at).saturating_add(1);
        let today = self.tenant_days.or_default(tenant);
        (today.day, today.count) = (day(at), count);
    }

    pub(super) fn note_stream(&mut self, sender: &AccountId, stream: &StreamName) {
        let tenant = self.organisation.tenant_of_account(sender).cloned();
        self.feeds_of.insert(tenant, stream.clone());
    }

    pub(super) fn forget_stream(&mut self, sender: &AccountId, stream: &StreamName) {
        let tenant = self.organisation.tenant_of_account(sender).cloned();
        self.feeds_of.remove(&tenant, stream);
    }
}

fn day(at: Timestamp) -> i64 {
    at.millis().div_euclid(DAY_MILLIS)
}
