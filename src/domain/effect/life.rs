//! The life of an account: what joining, lapsing, moving and leaving do to people, accounts and memberships, and all that
//! follows (design.md 4). Commands, HR events and the timer come here, so that each change is written once.
//!
//! Every function records on an [`Overlay`]: a cause, the records that it changes, and the cascade. Access is taken
//! away by comparisons elsewhere; this only records it.

mod ahead;
mod campaigns;
mod joining;
mod lapsing;
mod leaving;
mod moving;
mod records;
mod settling;

use super::overlay::Overlay;
use crate::domain::record::event::{AccountEnded, Fact, LifeFact, MembershipEnded};
use crate::domain::state::Due;
use crate::domain::value::ids::{AccountId, RoleName};

pub use ahead::{Coming, Lapsing, lapses_ahead};
pub(in crate::domain) use campaigns::close_campaign;
pub(in crate::domain) use joining::{Arriving, Claim, LoginsDifference, change_logins, join, named, rename, taken};
pub(in crate::domain) use lapsing::lapse;
pub(in crate::domain) use leaving::{close_machine, leave, stay};
pub(in crate::domain) use moving::{no_cycle, report_to, transfer};
use records::cascade_of_account;
pub(in crate::domain) use records::{cascade_of, put_account, put_person, touch};
pub(in crate::domain) use settling::{settle, settle_lapses};

/// Applies something that has fallen due.
pub(in crate::domain) fn come_due(overlay: &mut Overlay, due: &Due) {
    match due {
        Due::RequirementLapse(person, requirement) => lapse(overlay, person, requirement),
        Due::LapseWarning(person, requirement, days) => lapsing::warn(overlay, person, requirement, *days),
        Due::Move(person) => moving::take_effect(overlay, person),
        Due::Leaving(person) => leaving::depart(overlay, person, false),
        Due::MembershipEnd(account, role) => end_membership(overlay, account, role),
        Due::AccountEnd(account) => end_account(overlay, account),
        Due::CampaignEnd(campaign) => campaigns::close_campaign(overlay, *campaign),
        Due::ReviewDeadline(_)
        | Due::FollowUp(_)
        | Due::EnrolmentDeadline(_)
        | Due::ProposalDeadline(_)
        | Due::GrantEnd(_) => {}
    }
}

fn end_membership(overlay: &mut Overlay, account: &AccountId, role: &RoleName) {
    overlay.record([Fact::Life(LifeFact::MembershipEnded(MembershipEnded {
        account: account.clone(),
        role: role.clone(),
    }))]);
    cascade_of_account(overlay, account);
}

fn end_account(overlay: &mut Overlay, account: &AccountId) {
    overlay.record([Fact::Life(LifeFact::AccountEnded(AccountEnded { account: account.clone() }))]);
    cascade_of_account(overlay, account);
}
