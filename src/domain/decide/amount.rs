//! How much one command may write (known failure F8): what gives access, a bounded multiple of what was said; what takes it
//! away, as much as it takes.

use serde::Serialize;

use crate::domain::directory::{Account, AccountState, Employment};
use crate::domain::record::command::{
    ApproveElevation, ApproveEnrolment, ApproveProposal, CampaignCommand, Command, DecideHold, ElevationCommand,
    EnrolmentCommand, FeedCommand, ProposalCommand,
};
use crate::domain::record::event::{
    AccountRecorded, CampaignFact, ElevationFact, EnrolmentFact, Event, Fact, FeedFact, GrantFact, LifeFact,
    OrganisationFact, ProposalFact,
};
use crate::domain::state::State;

/// What every command may write that gives access, however short it is.
pub const AT_LEAST_BYTES: usize = 64 * 1024;
/// And this many times what it says itself, or what it approves or lets through.
pub const TIMES: usize = 32;

/// How many bytes of rows a command may write; none: as many as it takes.
#[must_use]
pub fn allowance(state: &State, command: &Command) -> Option<usize> {
    // A campaign names everybody who holds the role: it gives nothing, and ends what nobody confirms.
    if command.takes_away() || matches!(command, Command::Campaign(CampaignCommand::Start(_))) {
        return None;
    }
    let said = length(command).saturating_add(let_through(state, command));
    Some(AT_LEAST_BYTES.saturating_add(TIMES.saturating_mul(said)))
}

/// What was said before, and comes about by this command.
fn let_through(state: &State, command: &Command) -> usize {
    match command {
        Command::Elevation(ElevationCommand::Approve(ApproveElevation { elevation, .. })) => {
            state.elevations.get(elevation).map_or(0, length)
        }
        Command::Enrolment(EnrolmentCommand::Approve(ApproveEnrolment { enrolment, .. })) => {
            state.enrolments.get(enrolment).map_or(0, length)
        }
        Command::Proposal(ProposalCommand::Approve(ApproveProposal { proposal, .. })) => {
            state.proposal_text(*proposal).map_or(0, |text| text.len())
        }
        Command::Feed(FeedCommand::DecideHold(DecideHold { hold, .. })) => state.holds.get(hold).map_or(0, length),
        Command::Elevation(_)
        | Command::Grant(_)
        | Command::Enrolment(_)
        | Command::Attestation(_)
        | Command::Account(_)
        | Command::Feed(_)
        | Command::Campaign(_)
        | Command::Lock(_)
        | Command::Proposal(_) => 0,
    }
}

fn length(of: &impl Serialize) -> usize {
    serde_json::to_vec(of).map_or(0, |json| json.len())
}

/// Which of a command's events count against what it may write: all that do not take something away, and are no consequence
/// of a leaving.
pub fn counted(events: &[Event]) -> impl Iterator<Item = bool> + '_ {
    events.iter().scan(false, |after_leaving, event| {
        if let Fact::Feed(FeedFact::EventApplied(applied)) = &event.fact {
            *after_leaving = applied.event.change.is_leaving();
        }
        Some(!*after_leaving && !takes_away(&event.fact))
    })
}

fn takes_away(fact: &Fact) -> bool {
    match fact {
        Fact::Organisation(fact) => match fact {
            OrganisationFact::PersonRecorded(fact) => fact.person.employment == Employment::Left,
            OrganisationFact::AccountRecorded(AccountRecorded { account, .. }) => is_narrowed(account),
            OrganisationFact::PolicyLoaded(_)
            | OrganisationFact::DirectoryLoaded(_)
            | OrganisationFact::TenantRecorded(_) => false,
        },
        Fact::Life(fact) => match fact {
            LifeFact::RequirementLapsed(_)
            | LifeFact::PersonLeft(_)
            | LifeFact::MembershipEnded(_)
            | LifeFact::MembershipRevoked(_)
            | LifeFact::AccountEnded(_)
            | LifeFact::AccountClosed(_) => true,
            LifeFact::LapseAhead(_)
            | LifeFact::AttestationRecorded(_)
            | LifeFact::AttestationCorrected(_)
            | LifeFact::PersonMoved(_) => false,
        },
        // What the brake holds gives nothing, and a leaving at once writes the rest of a hold anew.
        Fact::Feed(fact) => matches!(fact, FeedFact::Held(_)),
        Fact::Elevation(fact) => matches!(fact, ElevationFact::Cancelled(_) | ElevationFact::ApprovalStruck(_)),
        Fact::Enrolment(fact) => matches!(fact, EnrolmentFact::Cancelled(_) | EnrolmentFact::ApprovalStruck(_)),
        Fact::Proposal(fact) => matches!(fact, ProposalFact::Cancelled(_)),
        Fact::Grant(fact) => matches!(fact, GrantFact::Revoked(_) | GrantFact::Shortened(_)),
        Fact::Campaign(fact) => matches!(fact, CampaignFact::Closed(_)),
        Fact::Lock(_) | Fact::Broker(_) => false,
    }
}

/// An account as a lapse, an end or a closing leaves it.
fn is_narrowed(account: &Account) -> bool {
    account.state != AccountState::Active || account.roles.values().any(|held| held.suspended.is_some())
}
