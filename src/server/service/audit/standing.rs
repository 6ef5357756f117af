//! What stood without a grant, and that nothing else did. An auditor whose `audit.read` is narrowed to resources gets the report of
//! what lies wholly within them.

use std::collections::BTreeSet;

use tonic::Status;

use super::as_of::{Asker, asker, instant, missing, one_at_a_time, state_at};
use crate::domain::policy::CapabilityName;
use crate::domain::record::event::{Event, Fact, GrantFact};
use crate::domain::record::grant::Grant;
use crate::domain::rule::answers::{
    CapabilityHolder, baseline_accounts, capability_holders, faults, may_audit, open_grants,
};
use crate::domain::state::State;
use crate::domain::value::ids::GrantId;
use crate::domain::value::scope::{Pattern, Scope};
use crate::domain::value::time::Timestamp;
use crate::engine::{History, HistoryError};
use crate::journal::index::{Filter, Page};
use crate::server::caller::{Broker, VerifiedCaller};
use crate::wire::answers as render;
use crate::wire::v1 as pb;
use crate::wire::values::pb_timestamp;

/// Events that are read at a time.
const READ_AT_ONCE: usize = 500;

/// The report.
pub(super) async fn standing(
    broker: &Broker,
    caller: &VerifiedCaller,
    at: Option<Timestamp>,
) -> Result<pb::ReportStandingResponse, Status> {
    let asker = asker(broker, caller)?;
    if !asker.audits() {
        return Err(missing().into());
    }
    let at = instant(at, asker.now)?;
    one_at_a_time(broker, caller, move |history| {
        history.catch_up()?;
        report(history, &state_at(history, &asker, at)?, &Part::of(&asker), at)
    })
    .await
}

/// The part of the organisation that a report is of.
struct Part<'a> {
    asker: &'a Asker,
    /// None: all of it.
    within: Option<BTreeSet<Pattern>>,
}

impl<'a> Part<'a> {
    /// What they may audit, under the rights of now.
    fn of(asker: &'a Asker) -> Self {
        let organisation = asker.state.organisation();
        let held = organisation.capabilities(&asker.account, CapabilityName::AuditRead, asker.now.latest);
        let within = held.flat_map(|(capability, _)| capability.resources.iter().cloned()).collect();
        Self { asker, within: (!asker.audits_whole).then_some(within) }
    }

    fn has(&self, scope: &Scope) -> bool {
        self.within.is_none() || may_audit(&self.asker.state, &self.asker.account, scope, self.asker.now.latest)
    }

    /// Power that reaches beyond these resources is not of this part.
    fn has_power(&self, it: &CapabilityHolder<'_>) -> bool {
        let Some(within) = &self.within else { return true };
        let resources = &it.capability.resources;
        !resources.is_empty() && resources.iter().all(|theirs| within.iter().any(|ours| ours.contains(theirs)))
    }
}

fn report(
    history: &History,
    state: &State,
    part: &Part<'_>,
    at: Timestamp,
) -> Result<pb::ReportStandingResponse, HistoryError> {
    let sequence = state.sequence();
    let open = open_grants(state, |grant| part.has(&grant.scope));
    let closed = closed(history, sequence, part)?;
    let tally = pb::GrantTally { scheduled: open.scheduled, active: open.active, ..closed };
    let closed = tally.ended.saturating_add(tally.relinquished).saturating_add(tally.revoked);
    let accounted = closed.saturating_add(open.scheduled).saturating_add(open.active) == tally.issued;
    let fault =
        |(grant, text): (&Grant, &str)| pb::GrantFault { grant_id: grant.id.to_string(), text: text.to_owned() };
    let faults: Vec<pb::GrantFault> = faults(state).filter(|(grant, _)| part.has(&grant.scope)).map(fault).collect();
    let allows = &state.organisation().policy().baseline.allows;
    let baseline: Vec<pb::Scope> = allows.iter().filter(|scope| part.has(scope)).map(render::scope).collect();
    let holders = capability_holders(state, at).filter(|it| part.has_power(it));
    Ok(pb::ReportStandingResponse {
        sequence: sequence.to_string(),
        hash: history.hash(sequence)?.map(|hash| hash.to_string()).unwrap_or_default(),
        as_of_time: Some(pb_timestamp(at)),
        baseline_accounts: if baseline.is_empty() { 0 } else { baseline_accounts(state, at) },
        baseline,
        capabilities: holders.map(|it| render::capability_holder(&it)).collect(),
        grants: Some(tally),
        nothing_else_stands: faults.is_empty() && accounted,
        faults,
        resources: part.within.iter().flatten().map(ToString::to_string).collect(),
    })
}

/// How many grants there had been, and how many were over: of all from the index, of a part by reading each.
fn closed(history: &History, sequence: u64, part: &Part<'_>) -> Result<pb::GrantTally, HistoryError> {
    if part.within.is_none() {
        return Ok(pb::GrantTally {
            issued: history.count("grant-issued", sequence)?,
            ended: history.count("grant-ended", sequence)?,
            relinquished: history.count("grant-relinquished", sequence)?,
            revoked: history.count("grant-revoked", sequence)?,
            ..Default::default()
        });
    }
    let mut of_part: BTreeSet<GrantId> = BTreeSet::new();
    each(history, "grant-issued", sequence, |fact| {
        if let GrantFact::Issued(grant) = fact
            && part.has(&grant.scope)
        {
            of_part.insert(grant.id);
        }
    })?;
    let mut tally = pb::GrantTally { issued: counted(of_part.len()), ..Default::default() };
    each(history, "grant-ended", sequence, |fact| {
        if let GrantFact::Ended(it) = fact
            && of_part.contains(&it.grant)
        {
            tally.ended = tally.ended.saturating_add(1);
        }
    })?;
    each(history, "grant-relinquished", sequence, |fact| {
        if let GrantFact::Relinquished(it) = fact
            && of_part.contains(&it.grant)
        {
            tally.relinquished = tally.relinquished.saturating_add(1);
        }
    })?;
    each(history, "grant-revoked", sequence, |fact| {
        if let GrantFact::Revoked(it) = fact
            && of_part.contains(&it.grant)
        {
            tally.revoked = tally.revoked.saturating_add(1);
        }
    })?;
    Ok(tally)
}

fn counted(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}

/// Each event of a kind about grants, up to a sequence.
fn each(history: &History, kind: &str, sequence: u64, mut see: impl FnMut(&GrantFact)) -> Result<(), HistoryError> {
    let filter = Filter { kind: Some(kind.to_owned()), ..Filter::default() };
    let mut after = None;
    loop {
        let past = history.list(&filter, Page { after, limit: READ_AT_ONCE, newest_first: false })?;
        let Some(last) = past.events.last().map(|event| event.sequence) else { return Ok(()) };
        for Event { fact, .. } in past.events.iter().filter(|event| event.sequence <= sequence) {
            if let Fact::Grant(fact) = fact {
                see(fact);
            }
        }
        if last >= sequence {
            return Ok(());
        }
        after = Some(last);
    }
}
