//! AuditService: the journal, to read. With `audit.read` all of it; everybody else the events about themselves, and those
//! that they caused.

mod as_of;
mod meant;
mod standing;
mod tenant_record;
mod wanted;

use std::sync::atomic::{AtomicBool, Ordering};

use tonic::{Request, Response, Status};

use self::tenant_record::Wanted;
use self::wanted::{Meant, STEP_ROWS, narrowed, reads_all, rows};
use super::method::list::{Draft, Page, begin, bound, next_token};
use super::method::past;
use super::method::pieces;
use super::method::watch::{Step, Teller, watch};
use crate::domain::record::event::Event;
use crate::domain::rule::visibility::{Thing, Viewer, may_see};
use crate::domain::state::State;
use crate::domain::value::refusal::Refusal;
use crate::domain::value::time::Now;
use crate::engine::PastRow;
use crate::server::caller::{Broker, Messages, VerifiedCaller};
use crate::server::tenant_view;
use crate::wire::answers::{self, AccessAsOf};
use crate::wire::calls::withheld;
use crate::wire::event_filter::{About, EventFilter};
use crate::wire::events::{event, kind_name};
use crate::wire::queries::Paging;
use crate::wire::v1 as pb;
use crate::wire::v1::audit_service_server::AuditService;
use crate::wire::values::SaidSequence;

/// The service.
#[derive(Clone)]
pub(crate) struct Audit(pub(crate) Broker);

#[tonic::async_trait]
impl AuditService for Audit {
    async fn list_events(
        &self,
        request: Request<pb::ListEventsRequest>,
    ) -> Result<Response<pb::ListEventsResponse>, Status> {
        let caller = self.0.caller(&request)?;
        let (paging, filter) = <(Paging, EventFilter)>::try_from(request.get_ref())?;
        let meant = meant::meant(&self.0, &caller, &filter).await?;
        let Page { items: events, next_page_token, sequence } = self.list(&caller, &paging, &filter, &meant).await?;
        let about = if matches!(filter.about, Some(About::Called(_))) { meant.about } else { None };
        let about = about.unwrap_or_default();
        Ok(Response::new(pb::ListEventsResponse { events, next_page_token, sequence, about }))
    }

    async fn list_access_as_of(
        &self,
        request: Request<pb::ListAccessAsOfRequest>,
    ) -> Result<Response<pb::ListAccessAsOfResponse>, Status> {
        let caller = self.0.caller(&request)?;
        let query = AccessAsOf::try_from(request.get_ref())?;
        let Page { items: accesses, next_page_token, sequence } = as_of::accesses(&self.0, &caller, query).await?;
        Ok(Response::new(pb::ListAccessAsOfResponse { accesses, next_page_token, sequence }))
    }

    async fn report_standing(
        &self,
        request: Request<pb::ReportStandingRequest>,
    ) -> Result<Response<pb::ReportStandingResponse>, Status> {
        let caller = self.0.caller(&request)?;
        let at = answers::as_of(request.get_ref())?;
        Ok(Response::new(standing::standing(&self.0, &caller, at).await?))
    }

    type ExportTenantRecordStream = Messages<pb::ExportTenantRecordResponse>;

    async fn export_tenant_record(
        &self,
        request: Request<pb::ExportTenantRecordRequest>,
    ) -> Result<Response<Self::ExportTenantRecordStream>, Status> {
        let caller = self.0.caller(&request)?;
        let wanted = Wanted::try_from(request.get_ref())?;
        let note = tenant_record::record(&self.0, &caller, wanted).await?;
        Ok(Response::new(self.in_pieces(&note)))
    }

    type WatchEventsStream = Messages<pb::WatchEventsResponse>;

    async fn watch_events(
        &self,
        request: Request<pb::WatchEventsRequest>,
    ) -> Result<Response<Self::WatchEventsStream>, Status> {
        let caller = self.0.caller(&request)?;
        let (after, filter) = <(Option<SaidSequence>, EventFilter)>::try_from(request.get_ref())?;
        let about = meant::about(&self.0, &caller, filter.about.as_ref()).await?;
        Ok(Response::new(watch(&self.0, caller, after.as_ref(), Rows::new(filter, about))?))
    }
}

impl Audit {
    /// A note in pieces, the first of them with the key that verifies it.
    fn in_pieces(&self, note: &str) -> Messages<pb::ExportTenantRecordResponse> {
        let mut verifier_key = self.0.note_key.verifier();
        pieces::send(note.as_bytes(), |chunk| {
            let verifier_key = std::mem::take(&mut verifier_key);
            pb::ExportTenantRecordResponse { verifier_key, chunk }
        })
    }

    async fn list(
        &self,
        caller: &VerifiedCaller,
        paging: &Paging,
        filter: &EventFilter,
        meant: &Meant,
    ) -> Result<Page<pb::Event>, Status> {
        // As it was meant: the next page may name in full what this one named by an ending.
        let EventFilter { actor, kind, from, until, .. } = filter;
        let bound = bound(caller, "events", &format!("{:?}", (actor, kind, &meant.about, from, until)));
        let mut after: Option<u64> = begin(&self.0, caller, &bound, paging).await?;
        let (filters, audits, sequence) = self.0.read(caller, |state, viewer, now| {
            Ok((narrowed(state, viewer, meant, now), reads_all(state, viewer, now), state.sequence()))
        })?;
        let mut page: Draft<u64, pb::Event> = Draft::new(paging.size);
        'pages: loop {
            let (wanted, from) = (filters.clone(), after);
            let rows = past::in_turn(&self.0, caller, move |history| rows(history, &wanted, from, audits)).await?;
            let last = rows.len() < STEP_ROWS;
            for (at, (it, body, hash)) in rows {
                // The list ends at the sequence that it names; later events are not part of it.
                if at > sequence {
                    page.end();
                    break 'pages;
                }
                let told = self.0.read(caller, |state, viewer, now| {
                    let visible = meant.is_by(&it.actor, at) && may_see(state, viewer, Thing::Event(&it), now);
                    let told = tenant_view::event(state, viewer, &it, event(&it, &body, hash));
                    Ok(visible.then(|| if audits { told } else { withheld(told) }))
                })?;
                page.look_again();
                if !page.offer(&at, || told.map(|event| pb::Event { sequence: caller.sequence_text(at), ..event })) {
                    break 'pages;
                }
                after = Some(at);
            }
            if last {
                page.end();
                break;
            }
        }
        let next_page_token = next_token(&self.0, &bound, &page);
        Ok(Page { items: page.into_items(), next_page_token, sequence: caller.sequence_text(sequence) })
    }
}

/// Tells events as rows of the journal.
struct Rows {
    filter: EventFilter,
    /// What they are to be about, in full.
    about: Option<String>,
    /// Whether the viewer of the event just looked at reads all, and so the hashes as well.
    audits: AtomicBool,
    /// Whether its facts are withheld from the viewer.
    withheld: AtomicBool,
}

impl Rows {
    fn new(filter: EventFilter, about: Option<String>) -> Self {
        Self { filter, about, audits: AtomicBool::new(false), withheld: AtomicBool::new(false) }
    }
}

impl Teller for Rows {
    type Told = pb::Event;
    type Message = pb::WatchEventsResponse;

    fn step(&self, state: &State, viewer: &Viewer, event: &Event, now: Now) -> Result<Step<Self::Told>, Refusal> {
        let is = |wanted: &Option<String>, actual: &str| wanted.as_ref().is_none_or(|wanted| wanted == actual);
        let about = &self.about;
        let wanted = meant::is_by_now(state, self.filter.actor.as_ref(), &event.actor)
            && is(&self.filter.kind, kind_name(&event.fact))
            && (about.is_none() || event.fact.about().iter().any(|subject| is(about, &subject.to_string())));
        let told = wanted && may_see(state, viewer, Thing::Event(event), now);
        self.audits.store(told && reads_all(state, viewer, now), Ordering::Relaxed);
        self.withheld.store(tenant_view::withholds(state, viewer, event), Ordering::Relaxed);
        // The row as stored says more than the event: whether it ends its batch.
        Ok(if told { Step::Row } else { Step::Skip })
    }

    fn of_row(&self, row: &PastRow) -> Option<Self::Told> {
        let audits = self.audits.load(Ordering::Relaxed);
        let mut told = event(&row.event, &row.body, row.hash.filter(|_| audits));
        if self.withheld.load(Ordering::Relaxed) {
            told.facts_json.clear();
        }
        Some(if audits { told } else { withheld(told) })
    }

    fn message(&self, sequence: String, told: Option<Self::Told>) -> Self::Message {
        let event = told.map(|event| pb::Event { sequence: sequence.clone(), ..event });
        pb::WatchEventsResponse { sequence, event }
    }
}
