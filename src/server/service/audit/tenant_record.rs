//! A tenant's own record, to keep: every request that touched it and that it was shown, who decided, and what was
//! granted, used and ended. One JSON object a line, signed by the broker.

use serde::Serialize;
use tonic::Status;

use super::as_of;
use crate::domain::record::elevation::Elevation;
use crate::domain::record::event::{ElevationFact, Event, Fact, GrantFact, Subject};
use crate::domain::record::grant::Grant;
use crate::domain::record::review::Phase;
use crate::domain::record::review::{Decision, Verdict, escaped};
use crate::domain::rule::visibility::{Viewer, is_shut_out};
use crate::domain::state::State;
use crate::domain::state::organisation::Organisation;
use crate::domain::value::ids::{AccountId, TenantName};
use crate::domain::value::refusal::{Reason, Refusal};
use crate::domain::value::time::{Now, Timestamp};
use crate::engine::{History, HistoryError};
use crate::journal::index::{Filter, Page};
use crate::server::caller::{Broker, VerifiedCaller};
use crate::wire::elevations::{scope_texts, state as elevation_state};
use crate::wire::event_filter::in_order;
use crate::wire::grants::{closing, state as grant_state};
use crate::wire::message::InvalidMessage;
use crate::wire::v1 as pb;
use crate::wire::values::timestamp;

/// Elevations and tokens in one record.
const MOST: usize = 20_000;
const AT_ONCE: usize = 200;

/// What is wanted.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wanted {
    from: Option<Timestamp>,
    until: Option<Timestamp>,
}

impl TryFrom<&pb::ExportTenantRecordRequest> for Wanted {
    type Error = InvalidMessage;

    fn try_from(message: &pb::ExportTenantRecordRequest) -> Result<Self, InvalidMessage> {
        let instant = |path: &str, said: Option<&prost_types::Timestamp>| {
            said.map(|said| timestamp(said).map_err(|wanted| InvalidMessage::one(path, wanted))).transpose()
        };
        let from = instant("from_time", message.from_time.as_ref())?;
        let until = instant("until_time", message.until_time.as_ref())?;
        in_order(from, until).map_err(|wanted| InvalidMessage::one("until_time", wanted))?;
        Ok(Self { from, until })
    }
}

/// Whoever exports: an approver of a tenant, with what the view has of it.
struct Exporter {
    state: State,
    tenant: TenantName,
    now: Now,
}

/// The record of the caller's tenant, as a signed note.
pub(super) async fn record(broker: &Broker, caller: &VerifiedCaller, wanted: Wanted) -> Result<String, Status> {
    let exporter = broker.read(caller, |state, viewer, now| {
        let tenant = exporting(state.organisation(), viewer, now)?;
        Ok(Exporter { state: state.clone(), tenant, now })
    })?;
    let text = as_of::one_at_a_time(broker, caller, move |history| exporter.text(history, wanted)).await?;
    let text = text.ok_or_else(|| {
        let detail = format!("more than {MOST} requests and tokens; ask for less time by `from_time` and `until_time`");
        Status::from(Refusal::new(Reason::InvalidMessage, detail))
    })?;
    Ok(broker.note_key.sign(&text))
}

fn exporting(organisation: &Organisation, viewer: &Viewer, now: Now) -> Result<TenantName, Refusal> {
    let id = viewer.account()?;
    let tenant = organisation.tenant_of_account(id).filter(|_| !is_shut_out(organisation, viewer, now));
    let approves = |tenant: &&TenantName| organisation.approves_for_tenant(id, tenant.as_str(), now.latest);
    tenant.filter(approves).cloned().ok_or_else(|| {
        let detail = format!("`{id}` approves for no tenant, and a record is of one");
        Refusal::new(Reason::NotAnApprover, detail).with("account", id)
    })
}

impl Exporter {
    /// None: it is too long.
    fn text(&self, history: &History, wanted: Wanted) -> Result<Option<String>, HistoryError> {
        let mut lines = vec![line(&Head {
            record: "countersign-tenant-record/1",
            broker: history.journal_id(),
            tenant: &self.tenant,
            from: text(wanted.from),
            until: text(wanted.until),
            made: self.now.stamp.to_string(),
        })];
        let filter = Filter {
            kind: Some("elevation-requested".to_owned()),
            about: Some(Subject::Tenant(self.tenant.clone()).to_string()),
            from: wanted.from,
            until: wanted.until,
            ..Filter::default()
        };
        let (mut after, mut tokens) = (None, 0_usize);
        loop {
            let page = history.list(&filter, Page { after, limit: AT_ONCE, newest_first: false })?;
            let Some(last) = page.events.last() else { break };
            after = Some(last.sequence);
            for event in &page.events {
                let Some(requested) = self.request(history, event)? else { continue };
                tokens = tokens.saturating_add(requested.grant.as_ref().map_or(0, |grant| grant.tokens.len()));
                lines.push(line(&requested));
                if lines.len().saturating_add(tokens) > MOST {
                    return Ok(None);
                }
            }
        }
        Ok(Some(lines.concat()))
    }

    /// A request that the tenant was shown, and what became of it.
    fn request(&self, history: &History, event: &Event) -> Result<Option<Requested>, HistoryError> {
        let Fact::Elevation(ElevationFact::Requested(asked)) = &event.fact else { return Ok(None) };
        let present = self.state.elevations().get(&asked.id).cloned();
        let subject = Subject::Elevation(asked.id);
        let elevation = match present {
            Some(elevation) => elevation,
            None => match history.only(&subject)?.elevations().get(&asked.id) {
                Some(elevation) => elevation.clone(),
                None => return Ok(None),
            },
        };
        if !elevation.is_disclosed() {
            return Ok(None);
        }
        let grant = match &elevation.phase {
            Phase::Approved { outcome, .. } => match self.state.grants().get(outcome) {
                Some(grant) => Some(grant.clone()),
                None => history.only(&Subject::Grant(*outcome))?.grants().get(outcome).cloned(),
            },
            _ => None,
        };
        let tokens = match &grant {
            Some(grant) => self.tokens(history, grant)?,
            None => Vec::new(),
        };
        Ok(Some(self.requested(&elevation, grant.as_ref(), tokens)))
    }

    /// Every token of a grant, or more than a record may have: then no record is made, and none is left out of one.
    fn tokens(&self, history: &History, grant: &Grant) -> Result<Vec<Token>, HistoryError> {
        let filter = Filter {
            kind: Some("grant-token-issued".to_owned()),
            about: Some(Subject::Grant(grant.id).to_string()),
            ..Filter::default()
        };
        let (mut after, mut tokens) = (None, Vec::new());
        while tokens.len() <= MOST {
            let issued = history.list(&filter, Page { after, limit: AT_ONCE, newest_first: false })?;
            let Some(last) = issued.events.last() else { break };
            after = Some(last.sequence);
            tokens.extend(issued.events.iter().filter_map(|event| match &event.fact {
                Fact::Grant(GrantFact::TokenIssued(fact)) => Some(Token {
                    time: event.at.to_string(),
                    audience: fact.audience.clone(),
                    expires: fact.expires.to_string(),
                }),
                _ => None,
            }));
        }
        Ok(tokens)
    }

    fn requested(&self, it: &Elevation, grant: Option<&Grant>, tokens: Vec<Token>) -> Requested {
        let (actions, resources) = scope_texts(&it.scope);
        let end = crate::wire::elevations::elevation(self.state.organisation(), it, self.now).closing;
        let own = |account: &AccountId| self.state.organisation().tenant_of_account(account) == Some(&self.tenant);
        Requested {
            request: it.id.to_string(),
            time: it.requested_at.to_string(),
            account: it.requester.clone(),
            person: it.person.to_string(),
            role: role(self.state.organisation(), it, grant, self.now),
            on_behalf_of: it.on_behalf_of.as_ref().map(ToString::to_string),
            entitlement: it.entitlement.to_string(),
            actions,
            resources,
            duration: it.duration.to_string(),
            start: text(it.start),
            why: it.justification.clone(),
            ticket: it.ticket.clone(),
            emergency: it.emergency.is_some(),
            approval_text_sha256: it.review.digest().to_string(),
            decisions: it
                .review
                .decisions
                .iter()
                .map(|decision| Decided::of(decision, own(&decision.account)))
                .collect(),
            state: word(elevation_state(it, self.now).as_str_name(), "ELEVATION_STATE_"),
            ended_by: end.map(|end| end.cause).unwrap_or_default(),
            grant: grant.map(|grant| Granted {
                grant: grant.id.to_string(),
                start: grant.start.to_string(),
                end: grant.end.to_string(),
                state: word(grant_state(grant, self.now).as_str_name(), "GRANT_STATE_"),
                closed: text(grant.closed_at()),
                closed_by: closing(grant, self.now).map(|end| end.actor).unwrap_or_default(),
                cause: closing(grant, self.now).map(|end| end.cause).unwrap_or_default(),
                tokens,
            }),
        }
    }
}

/// The role in which somebody asked: that of the grant, or the one in which it could be asked for now.
fn role(organisation: &Organisation, it: &Elevation, grant: Option<&Grant>, now: Now) -> String {
    match grant.and_then(|grant| grant.through.as_ref()) {
        Some(role) => role.to_string(),
        None => crate::wire::elevations::requester_role(organisation, it, now),
    }
}

fn text(at: Option<Timestamp>) -> Option<String> {
    at.map(|at| at.to_string())
}

fn word(name: &str, prefix: &str) -> String {
    name.trim_start_matches(prefix).to_owned()
}

fn line(value: &impl Serialize) -> String {
    let mut line = escaped(&serde_json::to_string(value).unwrap_or_default());
    line.push('\n');
    line
}

#[derive(Serialize)]
struct Head<'a> {
    record: &'static str,
    broker: String,
    tenant: &'a TenantName,
    from: Option<String>,
    until: Option<String>,
    made: String,
}

/// A request and what became of it.
#[derive(Serialize)]
struct Requested {
    request: String,
    time: String,
    account: AccountId,
    person: String,
    role: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    on_behalf_of: Option<String>,
    entitlement: String,
    actions: Vec<String>,
    resources: Vec<String>,
    duration: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    start: Option<String>,
    why: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    ticket: Option<String>,
    emergency: bool,
    approval_text_sha256: String,
    decisions: Vec<Decided>,
    state: String,
    ended_by: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    grant: Option<Granted>,
}

#[derive(Serialize)]
struct Decided {
    person: String,
    account: AccountId,
    /// In which capacity.
    role: String,
    stage: u32,
    time: String,
    verdict: &'static str,
    /// Empty if the own organisation wrote it: that is not for the tenant.
    #[serde(skip_serializing_if = "String::is_empty")]
    comment: String,
    struck_out: bool,
}

impl Decided {
    fn of(it: &Decision, own: bool) -> Self {
        Self {
            person: it.person.to_string(),
            account: it.account.clone(),
            role: it.through.to_string(),
            stage: it.stage.saturating_add(1),
            time: it.at.to_string(),
            verdict: match it.verdict {
                Verdict::Approved => "APPROVED",
                Verdict::Denied => "DENIED",
            },
            comment: if own { it.comment.clone() } else { String::new() },
            struck_out: it.struck.is_some(),
        }
    }
}

#[derive(Serialize)]
struct Granted {
    grant: String,
    start: String,
    end: String,
    state: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    closed: Option<String>,
    #[serde(skip_serializing_if = "String::is_empty")]
    closed_by: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    cause: String,
    /// What was signed for services to check with. Checks themselves are answered from memory and leave no trace.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tokens: Vec<Token>,
}

#[derive(Serialize)]
struct Token {
    time: String,
    audience: AccountId,
    expires: String,
}
