//! What enforcement points ask before they act, whatever protocol they speak. A check reads memory alone, awaits nothing, and an error
//! is never an allow (THREATS D11, F6, F10; invariant 7).

use prometheus_client::metrics::counter::Counter;
use tonic::Status;

use super::caller::{Broker, Caller};
use super::check_messages::pb_answer;
use super::explain::{self, Question};
use crate::check::{self, Allowed, Denied, Query, Verdict};
use crate::domain::policy::CapabilityName;
use crate::domain::refusal::{Reason, Refusal};
use crate::domain::time::Timestamp;
use crate::domain::visibility::viewer;
use crate::server::metrics;
use crate::wire::message::{Fields, InvalidMessage};
use crate::wire::queries::check_query;
use crate::wire::v1 as pb;

/// What the verdicts are counted by.
const COUNTED: [(&str, &str); 6] = [
    ("allow", "GRANTED"),
    ("allow", "BASELINE"),
    ("deny", "OUT_OF_AUDIENCE"),
    ("deny", "LOCKED"),
    ("deny", "NOT_STARTED"),
    ("deny", "NO_GRANT"),
];

/// The one way from a caller to the core.
#[derive(Clone)]
pub(super) struct Access {
    pub(super) broker: Broker,
    /// As [`COUNTED`] has them.
    counters: [Counter; COUNTED.len()],
}

impl Access {
    /// The counters are taken out of their family once: a look-up there takes a lock that all calls share.
    pub(super) fn new(broker: Broker) -> Self {
        let counter =
            |(verdict, reason)| broker.metrics.checks.get_or_create_owned(&metrics::Verdict { verdict, reason });
        Self { counters: COUNTED.map(counter), broker }
    }

    /// The verdict, and the sequence that it was decided at.
    pub(super) fn verdict(&self, caller: &Caller, query: Query<'_>) -> Result<(Verdict, u64), Refusal> {
        let (asker, sequence, now) = self.begin(caller)?;
        let verdict = self.broker.engine.checks().check(&asker, query, now);
        self.count(&[verdict]);
        Ok((verdict, sequence))
    }

    /// The same of several, all decided at once.
    pub(super) fn verdicts(&self, caller: &Caller, queries: &[Query<'_>]) -> Result<(Vec<Verdict>, u64), Refusal> {
        let (asker, sequence, now) = self.begin(caller)?;
        let mut verdicts = Vec::new();
        self.broker.engine.checks().check_batch(&asker, queries, now, &mut verdicts);
        self.count(&verdicts);
        Ok((verdicts, sequence))
    }

    fn begin(&self, caller: &Caller) -> Result<(check::Caller, u64, Timestamp), Refusal> {
        let now = self.broker.engine.latest();
        caller.is_in_date(now)?;
        Ok((self.asker(caller)?, self.broker.engine.sequence(), now))
    }

    /// Why a check answers as it does.
    pub(super) fn explain(
        &self,
        caller: &Caller,
        asked: pb::ExplainCheckRequest,
    ) -> Result<pb::ExplainCheckResponse, Status> {
        let asked = asked.query.ok_or_else(|| InvalidMessage::one("query", "missing; say what to ask"))?;
        let question = question(asked)?;
        let query = Query {
            subject: &question.subject,
            action: question.action.as_str(),
            resource: question.resource.as_str(),
        };
        let (asker, _, now) = self.begin(caller)?;
        let verdict = self.broker.engine.checks().check(&asker, query, now);
        let mut explained = self.broker.read(caller, |state, viewer, now| {
            let organisation = state.organisation();
            let audits = viewer
                .account()
                .is_ok_and(|id| organisation.capability(id, CapabilityName::AuditRead, now.latest).is_some());
            let outside = matches!(verdict, Verdict::Deny { because: Denied::OutOfAudience });
            Ok(explain::check(state, viewer, &question, (verdict, audits || !outside), now))
        })?;
        explained.answer = Some(pb_answer(0, verdict));
        Ok(explained)
    }

    /// The caller as the index knows it. Why it does not is looked up off the check path.
    pub(super) fn asker(&self, caller: &Caller) -> Result<check::Caller, Refusal> {
        if let Some(asker) = self.broker.engine.checks().caller(caller.identity.as_str()) {
            return Ok(asker);
        }
        let known = self.broker.engine.read(|state| viewer(state.organisation(), &caller.identity));
        let account = known?.account()?.clone();
        Err(Refusal::new(Reason::AccountDisabled, format!("`{account}`")).with("account", account))
    }

    /// All threads write to the same counters, so a batch adds to each once.
    fn count(&self, verdicts: &[Verdict]) {
        for (place, counter) in self.counters.iter().enumerate() {
            let of_place = verdicts.iter().filter(|verdict| counted_at(**verdict) == place).count();
            if of_place > 0 {
                counter.inc_by(u64::try_from(of_place).unwrap_or_default());
            }
        }
    }
}

/// The place in [`COUNTED`].
fn counted_at(verdict: Verdict) -> usize {
    match verdict {
        Verdict::Allow { because: Allowed::Granted { .. }, .. } => 0,
        Verdict::Allow { because: Allowed::Baseline, .. } => 1,
        Verdict::Deny { because: Denied::OutOfAudience } => 2,
        Verdict::Deny { because: Denied::Locked } => 3,
        Verdict::Deny { because: Denied::NotStarted } => 4,
        Verdict::Deny { because: Denied::NoGrant | Denied::Stale } => 5,
    }
}

fn question(asked: pb::CheckQuery) -> Result<Question, InvalidMessage> {
    check_query("query.", &asked.subject, &asked.action, &asked.resource)?;
    let mut fields = Fields::default();
    let action = fields.take("query.action", asked.action.parse());
    let resource = fields.take("query.resource", asked.resource.parse());
    let both = action.zip(resource);
    fields.finish(both.map(|(action, resource)| Question { subject: asked.subject, action, resource }))
}
