//! AuditService: the journal, to read. With `audit.read` all of it; everybody else the events about themselves, and those
//! that they caused.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};

use tonic::{Request, Response, Status};

use super::caller::{Broker, Caller};
use super::paging::{Draft, begin, next_token};
use super::proposals::PIECE_BYTES;
use super::tenant_record::{self, Wanted};
use super::watch::{Step, Teller, Told, watch};
use super::{answers, past, tenant_view};
use crate::domain::record::event::Event;
use crate::domain::rule::visibility::{Thing, Viewer, audits_tenants, audits_whole, may_see};
use crate::domain::state::State;
use crate::domain::value::ids::Digest;
use crate::domain::value::refusal::Refusal;
use crate::domain::value::time::Now;
use crate::engine::{History, HistoryError};
use crate::journal::index::{Filter, Page};
use crate::wire::answers::{AccessAsOf, as_of};
use crate::wire::events::{event, kind_name};
use crate::wire::queries::{EventFilter, Paging};
use crate::wire::v1 as pb;
use crate::wire::v1::audit_service_server::AuditService;
use crate::wire::values::SaidSequence;

/// Rows that are read from the journal at a time.
const STEP_ROWS: usize = 100;

/// The service.
#[derive(Clone)]
pub(super) struct Audit(pub(super) Broker);

#[tonic::async_trait]
impl AuditService for Audit {
    async fn list_events(
        &self,
        request: Request<pb::ListEventsRequest>,
    ) -> Result<Response<pb::ListEventsResponse>, Status> {
        let caller = self.0.caller(&request)?;
        let (paging, filter) = <(Paging, EventFilter)>::try_from(request.get_ref())?;
        Ok(Response::new(self.list(&caller, &paging, &filter).await?))
    }

    async fn list_access_as_of(
        &self,
        request: Request<pb::ListAccessAsOfRequest>,
    ) -> Result<Response<pb::ListAccessAsOfResponse>, Status> {
        let caller = self.0.caller(&request)?;
        let query = AccessAsOf::try_from(request.get_ref())?;
        Ok(Response::new(answers::access_as_of(&self.0, &caller, query).await?))
    }

    async fn report_standing(
        &self,
        request: Request<pb::ReportStandingRequest>,
    ) -> Result<Response<pb::ReportStandingResponse>, Status> {
        let caller = self.0.caller(&request)?;
        let at = as_of(request.get_ref())?;
        Ok(Response::new(answers::standing(&self.0, &caller, at).await?))
    }

    type ExportTenantRecordStream = Told<pb::ExportTenantRecordResponse>;

    async fn export_tenant_record(
        &self,
        request: Request<pb::ExportTenantRecordRequest>,
    ) -> Result<Response<Self::ExportTenantRecordStream>, Status> {
        let caller = self.0.caller(&request)?;
        let note = tenant_record::record(&self.0, &caller, Wanted::try_from(request.get_ref())?).await?;
        let mut verifier_key = self.0.note_key.verifier();
        let pieces = note.as_bytes().chunks(PIECE_BYTES.saturating_sub(1)).map(|chunk| {
            let verifier_key = std::mem::take(&mut verifier_key);
            Ok(pb::ExportTenantRecordResponse { verifier_key, chunk: chunk.to_vec() })
        });
        let pieces: Vec<_> = pieces.collect();
        Ok(Response::new(Box::pin(tokio_stream::iter(pieces))))
    }

    type WatchEventsStream = Told<pb::WatchEventsResponse>;

    async fn watch_events(
        &self,
        request: Request<pb::WatchEventsRequest>,
    ) -> Result<Response<Self::WatchEventsStream>, Status> {
        let caller = self.0.caller(&request)?;
        let (after, filter) = <(Option<SaidSequence>, EventFilter)>::try_from(request.get_ref())?;
        let after = caller.meant("after_sequence", after.as_ref())?;
        Ok(Response::new(watch(&self.0, caller, after, Rows::new(filter))?))
    }
}

impl Audit {
    async fn list(
        &self,
        caller: &Caller,
        paging: &Paging,
        filter: &EventFilter,
    ) -> Result<pb::ListEventsResponse, Status> {
        let name = ("events", &*format!("{filter:?}"));
        let mut after: Option<u64> = begin(&self.0, caller, name, paging).await?;
        let (filters, audits, sequence) = self.0.read(caller, |state, viewer, now| {
            Ok((narrowed(state, viewer, filter, now), reads_all(state, viewer, now), state.sequence()))
        })?;
        let mut page: Draft<u64, pb::Event> = Draft::new(paging.size);
        'pages: loop {
            let (wanted, from) = (filters.clone(), after);
            let rows = past::blocking(&self.0.engine, move |history| rows(history, &wanted, from, audits)).await?;
            let last = rows.len() < STEP_ROWS;
            for (at, (it, body, hash)) in rows {
                // The page is of the view that it says it is of; what came since is for the next.
                if at > sequence {
                    page.end();
                    break 'pages;
                }
                let told = self.0.read(caller, |state, viewer, now| {
                    let visible = may_see(state, viewer, Thing::Event(&it), now);
                    Ok(visible.then(|| tenant_view::event(state, viewer, &it, event(&it, &body, hash))))
                })?;
                page.look_again();
                if !page.offer(&at, || told.map(|event| pb::Event { sequence: caller.told(at), ..event })) {
                    break 'pages;
                }
                after = Some(at);
            }
            if last {
                page.end();
                break;
            }
        }
        let next_page_token = next_token(&self.0, caller, name, &page);
        Ok(pb::ListEventsResponse { events: page.into_items(), next_page_token, sequence: caller.told(sequence) })
    }
}

/// Whether the viewer's `audit.read` is of the whole journal, but for what touches tenants.
fn reads_all(state: &State, viewer: &Viewer, now: Now) -> bool {
    audits_whole(state.organisation(), viewer, now)
}

/// What to ask the index for: one question for who reads all, two for who reads about themselves.
fn narrowed(state: &State, viewer: &Viewer, filter: &EventFilter, now: Now) -> Vec<Filter> {
    let all = Filter {
        actor: filter.actor.clone(),
        kind: filter.kind.clone(),
        about: filter.about.clone(),
        about_any: None,
        about_things_of: None,
        of_no_tenant: false,
        from: filter.from,
        until: filter.until,
    };
    let organisation = state.organisation();
    let reads_all = reads_all(state, viewer, now);
    if reads_all && audits_tenants(organisation, viewer, now) {
        return vec![all];
    }
    let own = viewer.principal.to_string();
    let tenant = viewer.account().ok().and_then(|id| organisation.tenant_of_account(id));
    let about = viewer.person.iter().map(|person| format!("person:{person}")).chain([own.clone()]);
    let about: BTreeSet<String> = about.chain(tenant.map(|tenant| format!("tenant:{tenant}"))).collect();
    let mut filters = vec![Filter { about_things_of: Some(about), ..all.clone() }];
    if reads_all {
        filters.push(Filter { of_no_tenant: true, ..all.clone() });
    }
    if all.actor.as_ref().is_none_or(|actor| *actor == own) {
        filters.push(Filter { actor: Some(own), ..all });
    }
    filters
}

/// An event, its row as stored, and for auditors the chain's hash there.
type Stored = (Event, String, Option<Digest>);

/// At most [`STEP_ROWS`] rows that meet one of the filters, by sequence.
fn rows(
    history: &History,
    filters: &[Filter],
    after: Option<u64>,
    with_hash: bool,
) -> Result<BTreeMap<u64, Stored>, HistoryError> {
    let mut rows = BTreeMap::new();
    for filter in filters {
        let past = history.list(filter, Page { after, limit: STEP_ROWS, newest_first: false })?;
        for (event, body) in past.events.into_iter().zip(past.bodies) {
            let hash = if with_hash { history.hash(event.sequence)? } else { None };
            rows.insert(event.sequence, (event, body, hash));
        }
    }
    // Past the shorter answer the other may have more that is not here yet.
    Ok(rows.into_iter().take(STEP_ROWS).collect())
}

/// Tells events as rows of the journal.
struct Rows {
    filter: EventFilter,
    /// Whether the viewer of the event just looked at reads all, and so the hashes as well.
    audits: AtomicBool,
    /// Whether its facts are nothing for the viewer.
    withheld: AtomicBool,
}

impl Rows {
    fn new(filter: EventFilter) -> Self {
        Self { filter, audits: AtomicBool::new(false), withheld: AtomicBool::new(false) }
    }
}

impl Teller for Rows {
    type Told = pb::Event;
    type Message = pb::WatchEventsResponse;

    fn step(&self, state: &State, viewer: &Viewer, event: &Event, now: Now) -> Result<Step<Self::Told>, Refusal> {
        let is = |wanted: &Option<String>, actual: &str| wanted.as_ref().is_none_or(|wanted| wanted == actual);
        let about = &self.filter.about;
        let wanted = is(&self.filter.actor, &event.actor.to_string())
            && is(&self.filter.kind, kind_name(&event.fact))
            && (about.is_none() || event.fact.about().iter().any(|subject| is(about, &subject.to_string())));
        let told = wanted && may_see(state, viewer, Thing::Event(event), now);
        self.audits.store(told && reads_all(state, viewer, now), Ordering::Relaxed);
        self.withheld.store(tenant_view::withholds(state, viewer, event), Ordering::Relaxed);
        // The row as stored says more than the event: whether it ends its batch.
        Ok(if told { Step::Past } else { Step::Skip })
    }

    fn look_back(&self, history: &History, it: &Event) -> Result<Option<Self::Told>, HistoryError> {
        let page = Page { after: it.sequence.checked_sub(1), limit: 1, newest_first: false };
        let past = history.list(&Filter::default(), page)?;
        let row = past.events.first().zip(past.bodies.first()).filter(|(found, _)| found.sequence == it.sequence);
        let hash = if self.audits.load(Ordering::Relaxed) { history.hash(it.sequence)? } else { None };
        let withheld = self.withheld.load(Ordering::Relaxed);
        Ok(row.map(|(found, body)| {
            let mut told = event(found, body, hash);
            if withheld {
                told.facts_json.clear();
            }
            told
        }))
    }

    fn message(&self, sequence: String, told: Option<Self::Told>) -> Self::Message {
        let event = told.map(|event| pb::Event { sequence: sequence.clone(), ..event });
        pb::WatchEventsResponse { sequence, event }
    }
}
