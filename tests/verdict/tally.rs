//! How many questions each path was asked in each reason: what is compared but never comes up shows nothing.

use std::collections::BTreeMap;

#[derive(Debug, Default)]
pub struct Tally(BTreeMap<&'static str, usize>);

impl Tally {
    pub fn add(&mut self, reason: &'static str) {
        *self.0.entry(reason).or_default() += 1;
    }

    pub fn merge(&mut self, other: &Self) {
        for (reason, count) in &other.0 {
            *self.0.entry(reason).or_default() += count;
        }
    }

    pub fn total(&self) -> usize {
        self.0.values().sum()
    }

    /// That each of these reasons is a tenth of it, and that there is no other.
    #[track_caller]
    pub fn is_even(&self, path: &str, reasons: &[&'static str]) {
        for reason in reasons {
            let count = self.0.get(reason).copied().unwrap_or_default();
            assert!(count * 10 >= self.total(), "{path}: {count} of {} are {reason}: {self:?}", self.total());
        }
        assert!(self.0.keys().all(|reason| reasons.contains(reason)), "{path}: {self:?}");
    }
}
