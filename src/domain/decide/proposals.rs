//! Loading policy and directory: proposed by one holder of the capability, approved by another on the digest, and put
//! in force whole or not at all (design.md 7; known failure J2).

mod files;
mod merge;
mod moves;
mod prefixes;

use crate::domain::record::command::{ApproveProposal, DenyProposal, ProposalCommand, ProposeFile, WithdrawProposal};
use std::collections::BTreeSet;

use self::files::{File, ProposalOutcome, outcome_of};
use super::caller::{Caller, make_id, needs, principal};
use super::review::{Signed, approval, denial, still_pending};
use crate::domain::record::command::Envelope;
use crate::domain::record::event::{
    AuthorsWait, Event, Fact, ProposalCancelled, ProposalDecision, ProposalFact, ProposalTextAdded, ProposalWithdrawn,
};
use crate::domain::record::proposal::{
    PIECE_BYTES, PROPOSED_IN_A_DAY, Proposal, ProposalCancellation, ProposedFile, REVIEW_WITHIN,
};
use crate::domain::record::review::Phase;
use crate::domain::record::review::Review;
use crate::domain::rule::identities::identities_stand;
use crate::domain::rule::proposal::quorum::{able, able_accounts, could_propose};
use crate::domain::rule::proposal::rights::difference;
use crate::domain::rule::proposal::text::Says;
use crate::domain::rule::proposal::waiting::{author_waits, widened};
use crate::domain::rule::reviewers::{first, separation_rule_3};
use crate::domain::rule::visibility::{Thing, may_see};
use crate::domain::state::State;
use crate::domain::state::organisation::Organisation;
use crate::domain::value::ids::{AccountId, Digest, EntitlementName, PersonId, ProposalId};
use crate::domain::value::refusal::{Reason, Refusal};
use crate::domain::value::time::{Now, Span, Timestamp};

/// Decides what is asked about another policy or directory.
///
/// # Errors
/// The first thing that stands in the way.
pub(super) fn decide(
    state: &State,
    caller: &Caller<'_>,
    command: &ProposalCommand,
    envelope: &Envelope,
) -> Result<Vec<Fact>, Refusal> {
    let now = envelope.now;
    match command {
        ProposalCommand::Propose(command) => propose(state, caller, command, envelope),
        ProposalCommand::Approve(command) => approve(state, caller, command, envelope),
        ProposalCommand::Deny(command) => deny(state, caller, command, now),
        ProposalCommand::Withdraw(command) => withdraw(state, caller, command, now),
    }
}

pub use self::files::{Files, first_events, initialise};

/// Proposes a file: what it would change is worked out now, and again when it is approved. Machines may propose as
/// well.
fn propose(
    state: &State,
    caller: &Caller<'_>,
    command: &ProposeFile,
    envelope: &Envelope,
) -> Result<Vec<Fact>, Refusal> {
    let &ProposeFile { file, replaces, ref text, ref justification } = command;
    let now = envelope.now;
    let organisation = &state.organisation;
    needs(state, caller, file.capability(), now)?;
    let behind = organisation.persons_behind(caller.account, None);
    let outcome = outcome_of(state, File { file, replaces, text, authors: &behind }, now)?;
    has_room(state, caller.account, file, now)?;
    let able = able(organisation, file.capability(), now.latest);
    if able.is_subset(&behind) {
        let name = file.capability().as_str();
        let detail = format!("nobody else could use `{name}`");
        return Err(Refusal::new(Reason::NoApprover, detail).with("capability", name));
    }
    let mut proposal = Proposal {
        id: make_id(envelope, 0).into(),
        requested_at: now.stamp,
        requester: caller.account.clone(),
        behind,
        call: caller.call.clone(),
        file,
        replaces,
        digest: Digest::of(text.as_bytes()),
        bytes: u64::try_from(text.len()).unwrap_or(u64::MAX),
        justification: justification.to_owned(),
        review: Review {
            stages: file.stages(),
            text: String::new(),
            deadline: now.stamp.plus(REVIEW_WITHIN),
            decisions: Vec::new(),
        },
        phase: Phase::Pending,
    };
    proposal.review.text = with_says(state, &outcome, now, |says| proposal.approval_text(says, &ends(&outcome.facts)));
    let id = proposal.id;
    let pieces = pieces(text)
        .map(|text| Fact::Proposal(ProposalFact::TextAdded(ProposalTextAdded { proposal: id, text: text.to_owned() })));
    Ok([Fact::Proposal(ProposalFact::Made(Box::new(proposal)))].into_iter().chain(pieces).collect())
}

/// An account has one pending proposal of each file, and a limited number a day, because every file stays in the
/// journal for ever.
fn has_room(state: &State, account: &AccountId, file: ProposedFile, now: Now) -> Result<(), Refusal> {
    // By comparison, whatever the timer has recorded.
    let own = |proposal: &&Proposal| proposal.requester == *account && proposal.file == file;
    if let Some(same) =
        state.pending_proposals().filter(own).find(|proposal| !proposal.review.deadline.is_over(now.latest))
    {
        return Err(Refusal::new(Reason::AlreadyPending, format!("`{}`", same.id)).with("proposal", same.id));
    }
    let recent = |proposal: &&Proposal| {
        proposal.requester == *account && !proposal.requested_at.plus(Span::DAY).is_over(now.latest)
    };
    if state.proposals.values().filter(recent).count() >= PROPOSED_IN_A_DAY {
        let detail = format!("`{account}` has proposed {PROPOSED_IN_A_DAY}");
        return Err(Refusal::new(Reason::TooManyProposals, detail).with("limit", PROPOSED_IN_A_DAY));
    }
    Ok(())
}

/// An approval of exactly this text puts the file in force, in the same batch. Everything is checked again as things
/// are now: the file that it replaces, the proposer, and what it gives to proposer and approver.
fn approve(
    state: &State,
    caller: &Caller<'_>,
    command: &ApproveProposal,
    envelope: &Envelope,
) -> Result<Vec<Fact>, Refusal> {
    let &ApproveProposal { proposal: id, digest, ref comment } = command;
    let now = envelope.now;
    let organisation = &state.organisation;
    let mut proposal = pending(state, caller, id, now, Reason::NotAnApprover)?.clone();
    let (_, decision) = approval(state, caller, &mut proposal, Signed { digest, comment }, now)?;
    if let Some(lock) = organisation.lock_on_account(&proposal.requester) {
        return Err(lock.refusal());
    }
    organisation.account_validity(&proposal.requester, now.latest).map_err(first)?;
    identities_stand(organisation, &proposal)?;
    if !could_propose(organisation, &proposal, now.latest) {
        let capability = proposal.file.capability().as_str();
        let detail = format!("`{}`, who proposed it, holds `{capability}` no more", proposal.requester);
        return Err(Refusal::new(Reason::CapabilityMissing, detail).with("capability", capability));
    }
    let text = state.proposal_text(id).unwrap_or_default();
    let mut persons = proposal.behind.clone();
    persons.extend(organisation.persons_behind(&proposal.requester, None));
    persons.insert(decision.person.clone());
    let outcome = as_signed(state, &proposal, &text, &persons, now)?;
    let mut facts = follows(state, &proposal, outcome, persons, now);
    let others = state.pending_proposals().filter(|other| other.file == proposal.file && other.id != id);
    let because = ProposalCancellation::Stale;
    facts.extend(others.map(|other| {
        Fact::Proposal(ProposalFact::Cancelled(ProposalCancelled { proposal: other.id, because: because.clone() }))
    }));
    facts.insert(0, Fact::Proposal(ProposalFact::Approved(ProposalDecision { proposal: id, decision })));
    Ok(facts)
}

/// What a proposal would change now, refused if that is not what its text says: another file or event may have changed
/// who gains what.
fn as_signed(
    state: &State,
    proposal: &Proposal,
    text: &str,
    persons: &BTreeSet<PersonId>,
    now: Now,
) -> Result<ProposalOutcome, Refusal> {
    let file = |authors| File { file: proposal.file, replaces: proposal.replaces, text, authors };
    let says_so = |outcome: &ProposalOutcome| {
        proposal.review.text.starts_with(&with_says(state, outcome, now, |says| proposal.approval_head(says)))
    };
    let outcome = outcome_of(state, file(persons), now)?;
    if says_so(&outcome) {
        return Ok(outcome);
    }
    if outcome_of(state, file(&proposal.behind), now).is_ok_and(|outcome| says_so(&outcome)) {
        let detail = "it changes what is recorded of whoever approves it";
        return Err(Refusal::new(Reason::OwnStanding, detail));
    }
    Err(Refusal::new(Reason::ProposalStale, "what it gives, takes or changes is not what its text says by now"))
}

/// The events that would follow the approval of a proposal now: for a preview.
///
/// # Errors
/// Why it could not be approved.
pub fn events_of_approval(state: &State, proposal: &Proposal, text: &str, now: Now) -> Result<Vec<Event>, Refusal> {
    let file = File { file: proposal.file, replaces: proposal.replaces, text, authors: &proposal.behind };
    let facts = follows(state, proposal, outcome_of(state, file, now)?, proposal.behind.clone(), now);
    Ok(super::numbering::events(state, now.stamp, &crate::domain::record::event::Actor::Broker, None, facts))
}

/// The facts that follow the approval of a proposal. `persons`, its authors and approver, wait before they use what it
/// widens.
fn follows(
    state: &State,
    proposal: &Proposal,
    outcome: ProposalOutcome,
    persons: BTreeSet<PersonId>,
    now: Now,
) -> Vec<Fact> {
    let entitlements = wider(state, &outcome);
    let until = now.stamp.plus(author_waits(&state.organisation, &outcome.after.policy, now.latest));
    // Pending proposals of the same file are left out here: they are cancelled as stale, whoever proposed them.
    let is_proposal = |fact: &Fact| {
        let Fact::Proposal(ProposalFact::Cancelled(fact)) = fact else { return false };
        state.proposals.get(&fact.proposal).is_some_and(|other| other.file == proposal.file)
    };
    let mut facts: Vec<Fact> = outcome.facts.into_iter().filter(|fact| !is_proposal(fact)).collect();
    if !entitlements.is_empty() {
        facts.insert(
            1,
            Fact::Proposal(ProposalFact::AuthorsWait(AuthorsWait {
                proposal: proposal.id,
                persons,
                entitlements,
                until,
            })),
        );
    }
    facts
}

/// Makes a part of a proposal's text from what it would change now.
fn with_says<T>(state: &State, outcome: &ProposalOutcome, now: Now, text: impl FnOnce(&Says<'_>) -> T) -> T {
    let rights = difference(&state.organisation, &outcome.after, now.latest);
    text(&Says { rights: &rights, widens: &wider(state, outcome), changes: &outcome.changes })
}

/// Who could approve a proposal: holders of the capability, and whoever could ask for it. None of those behind it.
#[must_use]
pub fn could_approve<'a>(
    organisation: &'a Organisation,
    proposal: &Proposal,
    at: Timestamp,
) -> Vec<(&'a AccountId, &'a PersonId)> {
    let able = able_accounts(organisation, proposal.file.capability(), at).into_iter();
    let other = |person: &PersonId| separation_rule_3(organisation, proposal, person).is_ok();
    able.filter(|(_, person)| other(person)).collect()
}

/// The entitlements that a proposal widens, which those behind it may not use for a time.
fn wider(state: &State, outcome: &ProposalOutcome) -> BTreeSet<EntitlementName> {
    widened(&state.organisation.policy, &outcome.after.policy)
}

/// One denial ends it: by any other holder of the capability.
fn deny(state: &State, caller: &Caller<'_>, command: &DenyProposal, now: Now) -> Result<Vec<Fact>, Refusal> {
    let &DenyProposal { proposal: id, ref reason } = command;
    let proposal = pending(state, caller, id, now, Reason::NotAnApprover)?;
    let decision = denial(state, caller, proposal, reason, now)?;
    Ok(vec![Fact::Proposal(ProposalFact::Denied(ProposalDecision { proposal: id, decision }))])
}

/// Whoever proposed it, or is behind the proposal, may take it back.
fn withdraw(state: &State, caller: &Caller<'_>, command: &WithdrawProposal, now: Now) -> Result<Vec<Fact>, Refusal> {
    let &WithdrawProposal { proposal: id, ref reason } = command;
    let proposal = pending(state, caller, id, now, Reason::NotHolder)?;
    let behind = caller.viewer.person.as_ref().is_some_and(|person| proposal.behind.contains(person));
    if proposal.requester != *caller.account && !behind {
        return Err(Refusal::new(Reason::NotHolder, "only those behind a proposal withdraw it; a reviewer denies it"));
    }
    let withdrawn = ProposalWithdrawn { proposal: id, by: principal(caller), reason: reason.to_owned() };
    Ok(vec![Fact::Proposal(ProposalFact::Withdrawn(withdrawn))])
}

/// The proposal, if the caller may see it and it is still pending: by comparison with its deadline.
fn pending<'a>(
    state: &'a State,
    caller: &Caller<'_>,
    id: ProposalId,
    now: Now,
    if_hidden: Reason,
) -> Result<&'a Proposal, Refusal> {
    let proposal = state.proposals.get(&id).ok_or_else(|| Refusal::not_found("proposal", id))?;
    if !may_see(state, caller.viewer, Thing::Proposal(proposal), now) {
        return Err(Refusal::hidden("proposal", id, if_hidden));
    }
    still_pending(id, &proposal.phase, proposal.review.deadline, now)?;
    Ok(proposal)
}

/// What a proposal ends, in numbers.
fn ends(facts: &[Fact]) -> String {
    let kinds = [
        ("elevation-cancelled/1", "requests for access cancelled"),
        ("enrolment-cancelled/1", "enrolments cancelled"),
        ("approval-struck/1", "approvals struck out"),
        ("grant-shortened/1", "grants shortened"),
        ("grant-revoked/1", "grants revoked"),
    ];
    let counted = kinds.into_iter().filter_map(|(kind, what)| {
        let count = facts.iter().filter(|fact| fact.kind() == kind).count();
        (count > 0).then(|| format!("{what}: {count}"))
    });
    let counted: Vec<String> = counted.collect();
    if counted.is_empty() { "nothing".to_owned() } else { counted.join(", ") }
}

/// A text in pieces that fit a row, cut between characters.
fn pieces(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        let (piece, after) = rest.split_at_checked(rest.floor_char_boundary(PIECE_BYTES))?;
        rest = after;
        (!piece.is_empty()).then_some(piece)
    })
}
