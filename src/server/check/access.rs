//! What enforcement points ask before they act, whatever protocol they speak. A check reads memory alone, awaits
//! nothing, and an error is never an allow (known failures D11, F6 and F10; invariant 7).

use prometheus_client::metrics::counter::Counter;
use tonic::Status;

use super::explain::{self, Question};
use super::messages::pb_answer;
use crate::check::{self, CheckIndex, Denied, Query, Verdict};
use crate::domain::policy::CapabilityName;
use crate::domain::rule::visibility::viewer;
use crate::domain::value::refusal::{Reason, Refusal};
use crate::domain::value::time::Timestamp;
use crate::server::caller::{Broker, VerifiedCaller};
use crate::server::metrics;
use crate::wire::message::{Fields, InvalidMessage};
use crate::wire::queries::check_query;
use crate::wire::v1 as pb;

/// The reasons that verdicts are counted by. `STALE`, which only a replica answers, is not among them.
const COUNTED: [(&str, &str); 6] = [
    ("allow", "GRANTED"),
    ("allow", "BASELINE"),
    ("deny", "OUT_OF_AUDIENCE"),
    ("deny", "LOCKED"),
    ("deny", "NOT_STARTED"),
    ("deny", "NO_GRANT"),
];

/// The way from a caller to the core.
#[derive(Clone)]
pub(crate) struct Access {
    pub(crate) broker: Broker,
    /// In the order of [`COUNTED`].
    counters: [Counter; COUNTED.len()],
}

/// One call: who asks, and the moment that it is answered at.
pub(crate) struct Asking<'a> {
    checks: &'a CheckIndex,
    pub(crate) asker: check::CheckCaller,
    /// All that led to this sequence is in the answers.
    pub(crate) sequence: u64,
    /// The time that it is answered for.
    pub(crate) now: Timestamp,
}

impl Asking<'_> {
    pub(crate) fn verdict(&self, query: Query<'_>) -> Verdict {
        self.checks.check(&self.asker, query, self.now)
    }

    pub(crate) fn verdicts(&self, queries: &[Query<'_>]) -> Vec<Verdict> {
        let mut verdicts = Vec::new();
        self.checks.check_batch(&self.asker, queries, self.now, &mut verdicts);
        verdicts
    }
}

impl Access {
    /// The counters are taken out of their family once: a look-up there takes a lock that all calls share.
    pub(crate) fn new(broker: Broker) -> Self {
        let counter =
            |(verdict, reason)| broker.metrics.checks.get_or_create_owned(&metrics::Verdict { verdict, reason });
        Self { counters: COUNTED.map(counter), broker }
    }

    /// Whether the caller may ask at all. The time is read last, so that nothing is answered by an older one.
    pub(crate) fn begin(&self, caller: &VerifiedCaller) -> Result<Asking<'_>, Refusal> {
        let (asker, sequence) = (self.asker(caller)?, self.broker.engine.sequence());
        let now = self.broker.engine.latest();
        caller.is_in_date(now)?;
        Ok(Asking { checks: self.broker.engine.checks(), asker, sequence, now })
    }

    /// Counts what was answered. All threads write to the same counters, so a run of one reason adds to it once.
    pub(crate) fn count(&self, verdicts: &[Verdict]) {
        for run in verdicts.chunk_by(|one, next| one.reason() == next.reason()) {
            let reason = run.first().map(Verdict::reason);
            for ((_, counted), counter) in COUNTED.iter().zip(&self.counters) {
                if Some(*counted) == reason {
                    counter.inc_by(u64::try_from(run.len()).unwrap_or_default());
                }
            }
        }
    }

    /// Why a check answers as it does.
    pub(crate) fn explain(
        &self,
        caller: &VerifiedCaller,
        asked: pb::ExplainCheckRequest,
    ) -> Result<pb::ExplainCheckResponse, Status> {
        let asking = self.begin(caller)?;
        let asked = asked.query.ok_or_else(|| InvalidMessage::one("query", "missing; say what to ask"))?;
        let question = question(asked)?;
        let query = Query {
            subject: &question.subject,
            action: question.action.as_str(),
            resource: question.resource.as_str(),
        };
        let verdict = asking.verdict(query);
        let mut explained = self.broker.read(caller, |state, viewer, now| {
            let audits = |id| state.organisation().capability(id, CapabilityName::AuditRead, now.latest).is_some();
            let is_outside = matches!(verdict, Verdict::Deny { because: Denied::OutOfAudience });
            let explained = match is_outside && !viewer.account().is_ok_and(audits) {
                true => explain::withheld(),
                false => explain::check(state, viewer, &question, verdict, now),
            };
            Ok(pb::ExplainCheckResponse { sequence: caller.sequence_text(state.sequence()), ..explained })
        })?;
        explained.answer = Some(pb_answer(0, verdict));
        Ok(explained)
    }

    /// The caller as the index knows it. Why it does not is looked up off the check path.
    fn asker(&self, caller: &VerifiedCaller) -> Result<check::CheckCaller, Refusal> {
        if let Some(asker) = self.broker.engine.checks().caller(caller.identity.as_str()) {
            return Ok(asker);
        }
        self.broker.engine.read(|state| {
            let organisation = state.organisation();
            let known = viewer(organisation, &caller.identity)?;
            let account = known.account()?;
            match organisation.lock_on_account(account) {
                Some(lock) => Err(lock.refusal()),
                None => Err(Refusal::new(Reason::AccountDisabled, format!("`{account}`")).with("account", account)),
            }
        })
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
