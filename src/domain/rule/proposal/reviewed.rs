//! A proposal as something under review: another holder of the capability decides.

use std::collections::BTreeSet;

use crate::domain::policy::Approver;
use crate::domain::record::called_from::Call;
use crate::domain::record::proposal::Proposal;
use crate::domain::record::review::Review;
use crate::domain::rule::reviewers::Reviewed;
use crate::domain::state::organisation::Organisation;
use crate::domain::value::ids::{AccountId, PersonId};
use crate::domain::value::time::Timestamp;

impl Reviewed for Proposal {
    fn call(&self) -> &Call {
        &self.call
    }

    fn asked_from(&self) -> Option<&AccountId> {
        Some(&self.requester)
    }

    fn review(&self) -> &Review {
        &self.review
    }

    fn review_mut(&mut self) -> &mut Review {
        &mut self.review
    }

    fn behind(&self) -> &BTreeSet<PersonId> {
        &self.behind
    }

    /// Whoever owns a machine by now is behind what it has proposed.
    fn behind_now(&self, organisation: &Organisation) -> BTreeSet<PersonId> {
        organisation.persons_behind(&self.requester, None)
    }

    fn accounts_meant<'a>(
        &self,
        organisation: &'a Organisation,
        approver: &Approver,
        at: Timestamp,
    ) -> Vec<&'a AccountId> {
        match approver {
            Approver::Capability(name) => organisation.holders(*name, at).collect(),
            Approver::Role(_) | Approver::Manager | Approver::RoleOwner | Approver::Tenant => Vec::new(),
        }
    }
}
