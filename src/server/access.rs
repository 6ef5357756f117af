//! AccessService: what enforcement points ask before they act. A check reads memory alone, awaits nothing, and an error
//! is never an allow (THREATS D11, F6, F10; invariant 7).

use prometheus_client::metrics::counter::Counter;
use tonic::{Request, Response, Status, Streaming};

use super::access_stream::Answers;
use super::caller::{Broker, Caller};
use super::explain::{self, Question};
use super::replication::replicate;
use super::watch::Told;
use crate::check::{self, Allowed, Denied, Query, Verdict};
use crate::domain::policy::CapabilityName;
use crate::domain::refusal::{Reason, Refusal};
use crate::domain::visibility::viewer;
use crate::server::metrics;
use crate::wire::message::{Fields, InvalidMessage};
use crate::wire::queries::{LARGEST_BATCH, check_query};
use crate::wire::v1 as pb;
use crate::wire::v1::access_service_server::AccessService;
use crate::wire::values::pb_end;

/// The service.
#[derive(Clone)]
pub(super) struct Access {
    pub(super) broker: Broker,
    granted: Counter,
    baseline: Counter,
    out_of_audience: Counter,
    locked: Counter,
    not_started: Counter,
    no_grant: Counter,
}

#[tonic::async_trait]
impl AccessService for Access {
    async fn check_access(
        &self,
        request: Request<pb::CheckAccessRequest>,
    ) -> Result<Response<pb::CheckAccessResponse>, Status> {
        let caller = self.broker.caller(&request)?;
        let asked = request.get_ref();
        check_query("", &asked.subject, &asked.action, &asked.resource)?;
        let (asker, sequence) = (self.asker(&caller)?, self.broker.engine.sequence());
        let query = Query { subject: &asked.subject, action: &asked.action, resource: &asked.resource };
        let verdict = self.broker.engine.checks().check(&asker, query, self.broker.engine.latest());
        self.count(verdict);
        let answer = answer(0, verdict);
        Ok(Response::new(pb::CheckAccessResponse {
            verdict: answer.verdict,
            reason: answer.reason,
            grant_id: answer.grant_id,
            valid_until: answer.valid_until,
            sequence: sequence.to_string(),
        }))
    }

    async fn batch_check_access(
        &self,
        request: Request<pb::BatchCheckAccessRequest>,
    ) -> Result<Response<pb::BatchCheckAccessResponse>, Status> {
        let caller = self.broker.caller(&request)?;
        let (answers, sequence) = self.answers(&caller, &request.get_ref().queries)?;
        Ok(Response::new(pb::BatchCheckAccessResponse { answers, sequence }))
    }

    type StreamCheckAccessStream = Answers;

    async fn stream_check_access(
        &self,
        request: Request<Streaming<pb::StreamCheckAccessRequest>>,
    ) -> Result<Response<Self::StreamCheckAccessStream>, Status> {
        let caller = self.broker.caller(&request)?;
        Ok(Response::new(Answers::begin(self.clone(), caller, request.into_inner())?))
    }

    type ReplicateGrantsStream = Told<pb::ReplicateGrantsResponse>;

    async fn replicate_grants(
        &self,
        request: Request<Streaming<pb::ReplicateGrantsRequest>>,
    ) -> Result<Response<Self::ReplicateGrantsStream>, Status> {
        let caller = self.broker.caller(&request)?;
        Ok(Response::new(replicate(&self.broker, caller, request.into_inner()).await?))
    }

    async fn explain_check(
        &self,
        request: Request<pb::ExplainCheckRequest>,
    ) -> Result<Response<pb::ExplainCheckResponse>, Status> {
        let caller = self.broker.caller(&request)?;
        let asked =
            request.into_inner().query.ok_or_else(|| InvalidMessage::one("query", "missing; say what to ask"))?;
        let question = question(asked)?;
        let asker = self.asker(&caller)?;
        let query = Query {
            subject: &question.subject,
            action: question.action.as_str(),
            resource: question.resource.as_str(),
        };
        let verdict = self.broker.engine.checks().check(&asker, query, self.broker.engine.latest());
        let mut explained = self.broker.read(&caller, |state, viewer, now| {
            let organisation = state.organisation();
            let audits = viewer
                .account()
                .is_ok_and(|id| organisation.capability(id, CapabilityName::AuditRead, now.latest).is_some());
            let outside = matches!(verdict, Verdict::Deny { because: Denied::OutOfAudience });
            Ok(explain::check(state, viewer, &question, (verdict, audits || !outside), now))
        })?;
        explained.answer = Some(answer(0, verdict));
        Ok(Response::new(explained))
    }
}

impl Access {
    /// The counters are taken out of their family once: a look-up there takes a lock that all calls share.
    pub(super) fn new(broker: Broker) -> Self {
        let counter =
            |verdict, reason| broker.metrics.checks.get_or_create_owned(&metrics::Verdict { verdict, reason });
        Self {
            granted: counter("allow", "GRANTED"),
            baseline: counter("allow", "BASELINE"),
            out_of_audience: counter("deny", "OUT_OF_AUDIENCE"),
            locked: counter("deny", "LOCKED"),
            not_started: counter("deny", "NOT_STARTED"),
            no_grant: counter("deny", "NO_GRANT"),
            broker,
        }
    }

    /// The answers to a batch, each naming its question, and the sequence of all.
    pub(super) fn answers(
        &self,
        caller: &Caller,
        queries: &[pb::CheckQuery],
    ) -> Result<(Vec<pb::CheckAnswer>, String), Status> {
        let queries = all_valid(queries)?;
        let (verdicts, sequence) = self.verdicts(caller, &queries)?;
        let answers = (0_u32..).zip(verdicts).map(|(index, verdict)| answer(index, verdict)).collect();
        Ok((answers, sequence.to_string()))
    }

    /// The verdicts, and the sequence of all: the one way from a caller to the core, whatever protocol asks.
    pub(super) fn verdicts(&self, caller: &Caller, queries: &[Query<'_>]) -> Result<(Vec<Verdict>, u64), Refusal> {
        let (asker, sequence) = (self.asker(caller)?, self.broker.engine.sequence());
        let mut verdicts = Vec::new();
        self.broker.engine.checks().check_batch(&asker, queries, self.broker.engine.latest(), &mut verdicts);
        verdicts.iter().for_each(|verdict| self.count(*verdict));
        Ok((verdicts, sequence))
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

    fn count(&self, verdict: Verdict) {
        let counter = match verdict {
            Verdict::Allow { because: Allowed::Granted { .. }, .. } => &self.granted,
            Verdict::Allow { because: Allowed::Baseline, .. } => &self.baseline,
            Verdict::Deny { because: Denied::OutOfAudience } => &self.out_of_audience,
            Verdict::Deny { because: Denied::Locked } => &self.locked,
            Verdict::Deny { because: Denied::NotStarted } => &self.not_started,
            Verdict::Deny { because: Denied::NoGrant | Denied::Stale } => &self.no_grant,
        };
        counter.inc();
    }
}

/// All questions of a batch, or every one that is malformed, by its index.
fn all_valid(queries: &[pb::CheckQuery]) -> Result<Vec<Query<'_>>, InvalidMessage> {
    let mut fields = Fields::default();
    if queries.is_empty() || queries.len() > LARGEST_BATCH {
        fields.wrong("queries", format!("{} of them; 1 to {LARGEST_BATCH} are wanted", queries.len()));
        return fields.finish(None);
    }
    let mut wrong = Vec::new();
    for (index, query) in queries.iter().enumerate() {
        if let Err(invalid) = check_query("", &query.subject, &query.action, &query.resource) {
            let named = invalid.fields.into_iter().map(|mut field| {
                field.path = format!("queries[{index}].{}", field.path);
                field
            });
            wrong.extend(named);
        }
    }
    if !wrong.is_empty() {
        return Err(InvalidMessage { fields: wrong });
    }
    let queries =
        queries.iter().map(|query| Query { subject: &query.subject, action: &query.action, resource: &query.resource });
    Ok(queries.collect())
}

fn question(asked: pb::CheckQuery) -> Result<Question, InvalidMessage> {
    check_query("query.", &asked.subject, &asked.action, &asked.resource)?;
    let mut fields = Fields::default();
    let action = fields.take("query.action", asked.action.parse());
    let resource = fields.take("query.resource", asked.resource.parse());
    let both = action.zip(resource);
    fields.finish(both.map(|(action, resource)| Question { subject: asked.subject, action, resource }))
}

fn answer(query_index: u32, verdict: Verdict) -> pb::CheckAnswer {
    match verdict {
        Verdict::Allow { because, valid_until } => pb::CheckAnswer {
            query_index,
            verdict: pb::Verdict::Allow.into(),
            reason: allowed(because).into(),
            grant_id: match because {
                Allowed::Granted { grant } => grant.to_string(),
                Allowed::Baseline => String::new(),
            },
            valid_until: pb_end(valid_until),
        },
        Verdict::Deny { because } => pb::CheckAnswer {
            query_index,
            verdict: pb::Verdict::Deny.into(),
            reason: denied(because).into(),
            grant_id: String::new(),
            valid_until: None,
        },
    }
}

fn allowed(because: Allowed) -> pb::CheckReason {
    match because {
        Allowed::Granted { .. } => pb::CheckReason::Granted,
        Allowed::Baseline => pb::CheckReason::Baseline,
    }
}

fn denied(because: Denied) -> pb::CheckReason {
    match because {
        Denied::OutOfAudience => pb::CheckReason::OutOfAudience,
        Denied::Locked => pb::CheckReason::Locked,
        Denied::NotStarted => pb::CheckReason::NotStarted,
        Denied::NoGrant => pb::CheckReason::NoGrant,
        Denied::Stale => pb::CheckReason::Stale,
    }
}
