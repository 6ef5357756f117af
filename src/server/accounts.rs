//! AccountService: who the caller is, accounts, persons, attestations, and the directory that they come from.

use tonic::{Request, Response, Status, Streaming};

use super::caller::{Broker, Caller};
use super::changes::carry_out;
use super::paging::{Draft, list};
use super::proposals::{self, Piece};
use super::watch::{Step, Teller, Told, watch};
use super::whoami::who;
use crate::domain::directory::AccountKind;
use crate::domain::record::event::{Event, Subject};
use crate::domain::record::proposal::ProposedFile;
use crate::domain::rule::visibility::{Thing, Viewer, may_see};
use crate::domain::state::State;
use crate::domain::value::ids::{AccountId, PersonId};
use crate::domain::value::refusal::Refusal;
use crate::domain::value::time::Now;
use crate::engine::{History, HistoryError};
use crate::wire::commands::Change;
use crate::wire::effects::{omitted_rights, rights};
use crate::wire::enrolments::after_sequence;
use crate::wire::life::account_event;
use crate::wire::message::InvalidMessage;
use crate::wire::v1 as pb;
use crate::wire::v1::account_service_server::AccountService;
use crate::wire::values::parsed;
use crate::wire::{organisation as render, queries};

/// The service.
#[derive(Clone)]
pub(super) struct Accounts(pub(super) Broker);

#[tonic::async_trait]
impl AccountService for Accounts {
    async fn who_am_i(&self, request: Request<pb::WhoAmIRequest>) -> Result<Response<pb::WhoAmIResponse>, Status> {
        let caller = self.0.caller(&request)?;
        let now = self.0.engine.now();
        Ok(Response::new(self.0.engine.read(|state| who(state, &caller, now))))
    }

    async fn get_account(
        &self,
        request: Request<pb::GetAccountRequest>,
    ) -> Result<Response<pb::GetAccountResponse>, Status> {
        let caller = self.0.caller(&request)?;
        let id: AccountId = parsed(&request.get_ref().account_id).map_err(|w| InvalidMessage::one("account_id", w))?;
        let response = self.0.read(&caller, |state, viewer, now| {
            let account = account(state, viewer, &id, now).ok_or_else(|| Refusal::not_found("account", &id))?;
            Ok(pb::GetAccountResponse { account: Some(account), sequence: caller.told(state.sequence()) })
        });
        Ok(Response::new(response?))
    }

    async fn list_accounts(
        &self,
        request: Request<pb::ListAccountsRequest>,
    ) -> Result<Response<pb::ListAccountsResponse>, Status> {
        let caller = self.0.caller(&request)?;
        let query = queries::Accounts::try_from(request.get_ref())?;
        let filter = format!("{:?}", (query.kind, &query.role, &query.person));
        let listed = list(&self.0, &caller, ("accounts", filter), &query.paging, |state, viewer, now, after, page| {
            accounts(state, viewer, now, &query, after, page);
        });
        let listed = listed.await?;
        let (accounts, next_page_token, sequence) = (listed.items, listed.next_page_token, listed.sequence);
        Ok(Response::new(pb::ListAccountsResponse { accounts, next_page_token, sequence }))
    }

    async fn get_person(
        &self,
        request: Request<pb::GetPersonRequest>,
    ) -> Result<Response<pb::GetPersonResponse>, Status> {
        let caller = self.0.caller(&request)?;
        let id: PersonId = parsed(&request.get_ref().person_id).map_err(|w| InvalidMessage::one("person_id", w))?;
        let response = self.0.read(&caller, |state, viewer, now| {
            let person = person(state, viewer, &id, now).ok_or_else(|| Refusal::not_found("person", &id))?;
            Ok(pb::GetPersonResponse { person: Some(person), sequence: caller.told(state.sequence()) })
        });
        Ok(Response::new(response?))
    }

    async fn list_persons(
        &self,
        request: Request<pb::ListPersonsRequest>,
    ) -> Result<Response<pb::ListPersonsResponse>, Status> {
        let caller = self.0.caller(&request)?;
        let query = queries::Persons::try_from(request.get_ref())?;
        let filter = format!("{:?}", &query.manager);
        let listed = list(&self.0, &caller, ("persons", filter), &query.paging, |state, viewer, now, after, page| {
            persons(state, viewer, now, &query, after, page);
        });
        let listed = listed.await?;
        let (persons, next_page_token, sequence) = (listed.items, listed.next_page_token, listed.sequence);
        Ok(Response::new(pb::ListPersonsResponse { persons, next_page_token, sequence }))
    }

    async fn propose_directory(
        &self,
        request: Request<Streaming<pb::ProposeDirectoryRequest>>,
    ) -> Result<Response<pb::ProposeDirectoryResponse>, Status> {
        let caller = self.0.caller(&request)?;
        let (header, file) =
            proposals::receive(&self.0, &caller, request.into_inner(), ProposedFile::Directory).await?;
        let loaded = proposals::propose(&self.0, &caller, ProposedFile::Directory, header, file).await?;
        Ok(Response::new(pb::ProposeDirectoryResponse {
            digest: loaded.digest.bytes().to_vec(),
            sequence: caller.told(loaded.sequence),
            mistakes: loaded.mistakes,
            warnings: loaded.warnings,
            effects: Some(loaded.effects),
            omitted_rights_count: omitted_rights(&loaded.rights),
            rights: rights(&loaded.rights),
            replaced_digest: loaded.replaced.map(|digest| digest.bytes().to_vec()).unwrap_or_default(),
            proposal: loaded.proposal,
        }))
    }

    type WatchAccountsStream = Told<pb::WatchAccountsResponse>;

    async fn watch_accounts(
        &self,
        request: Request<pb::WatchAccountsRequest>,
    ) -> Result<Response<Self::WatchAccountsStream>, Status> {
        let caller = self.0.caller(&request)?;
        let after = after_sequence(&request.get_ref().after_sequence)?;
        let after = caller.meant("after_sequence", after.as_ref())?;
        Ok(Response::new(watch(&self.0, caller, after, Steps)?))
    }

    async fn record_attestation(
        &self,
        request: Request<pb::RecordAttestationRequest>,
    ) -> Result<Response<pb::RecordAttestationResponse>, Status> {
        let caller = self.0.caller(&request)?;
        let done = carry_out(&self.0, &caller, Change::try_from(request.into_inner())?).await?;
        let person = self.person_of(&caller, done.about.as_ref())?;
        let (sequence, effects) = (caller.told(done.sequence), Some(done.effects));
        Ok(Response::new(pb::RecordAttestationResponse { person, sequence, effects }))
    }

    async fn correct_attestation(
        &self,
        request: Request<pb::CorrectAttestationRequest>,
    ) -> Result<Response<pb::CorrectAttestationResponse>, Status> {
        let caller = self.0.caller(&request)?;
        let done = carry_out(&self.0, &caller, Change::try_from(request.into_inner())?).await?;
        let person = self.person_of(&caller, done.about.as_ref())?;
        let (sequence, effects) = (caller.told(done.sequence), Some(done.effects));
        Ok(Response::new(pb::CorrectAttestationResponse { person, sequence, effects }))
    }

    async fn end_membership(
        &self,
        request: Request<pb::EndMembershipRequest>,
    ) -> Result<Response<pb::EndMembershipResponse>, Status> {
        let caller = self.0.caller(&request)?;
        let done = carry_out(&self.0, &caller, Change::try_from(request.into_inner())?).await?;
        let account = self.account_of(&caller, done.about.as_ref())?;
        let (sequence, effects) = (caller.told(done.sequence), Some(done.effects));
        Ok(Response::new(pb::EndMembershipResponse { account, sequence, effects }))
    }

    async fn close_account(
        &self,
        request: Request<pb::CloseAccountRequest>,
    ) -> Result<Response<pb::CloseAccountResponse>, Status> {
        let caller = self.0.caller(&request)?;
        let done = carry_out(&self.0, &caller, Change::try_from(request.into_inner())?).await?;
        let account = self.account_of(&caller, done.about.as_ref())?;
        let (sequence, effects) = (caller.told(done.sequence), Some(done.effects));
        Ok(Response::new(pb::CloseAccountResponse { account, sequence, effects }))
    }
}

impl Accounts {
    /// A person as on record by now, if the caller may see them.
    fn person_of(&self, caller: &Caller, about: Option<&Subject>) -> Result<Option<pb::Person>, Status> {
        let Some(Subject::Person(id)) = about else { return Ok(None) };
        Ok(self.0.read(caller, |state, viewer, now| Ok(person(state, viewer, id, now)))?)
    }

    /// An account as it is by now, if the caller may see it.
    fn account_of(&self, caller: &Caller, about: Option<&Subject>) -> Result<Option<pb::Account>, Status> {
        let Some(Subject::Account(id)) = about else { return Ok(None) };
        Ok(self.0.read(caller, |state, viewer, now| Ok(account(state, viewer, id, now)))?)
    }
}

/// Tells the events of accounts and persons.
struct Steps;

impl Teller for Steps {
    type Told = pb::AccountEvent;
    type Message = pb::WatchAccountsResponse;

    fn step(&self, state: &State, viewer: &Viewer, event: &Event, now: Now) -> Result<Step<Self::Told>, Refusal> {
        let sees = |subject: &Subject| match subject {
            Subject::Account(id) => may_see(state, viewer, Thing::Account(id), now),
            Subject::Person(id) => may_see(state, viewer, Thing::Person(id), now),
            _ => false,
        };
        let told = account_event(event).filter(|_| event.fact.about().iter().any(sees));
        Ok(told.map_or(Step::Skip, Step::Tell))
    }

    fn look_back(&self, _history: &History, event: &Event) -> Result<Option<Self::Told>, HistoryError> {
        Ok(account_event(event))
    }

    fn message(&self, sequence: String, told: Option<Self::Told>) -> Self::Message {
        let event = told.map(|event| pb::AccountEvent { sequence: sequence.clone(), ..event });
        pb::WatchAccountsResponse { sequence, event }
    }
}

impl From<pb::ProposeDirectoryRequest> for Piece {
    fn from(message: pb::ProposeDirectoryRequest) -> Self {
        match message.piece {
            Some(pb::propose_directory_request::Piece::Header(header)) => Self::Header(header),
            Some(pb::propose_directory_request::Piece::Chunk(chunk)) => Self::Chunk(chunk),
            None => Self::Nothing,
        }
    }
}

fn account(state: &State, viewer: &Viewer, id: &AccountId, now: Now) -> Option<pb::Account> {
    let it = state.organisation().accounts().get(id)?;
    may_see(state, viewer, Thing::Account(id), now).then(|| render::account(id, it, now))
}

fn person(state: &State, viewer: &Viewer, id: &PersonId, now: Now) -> Option<pb::Person> {
    let it = state.organisation().people().get(id)?;
    may_see(state, viewer, Thing::Person(id), now).then(|| render::person(state.organisation(), id, it))
}

fn accounts(
    state: &State,
    viewer: &Viewer,
    now: Now,
    query: &queries::Accounts,
    after: Option<&AccountId>,
    page: &mut Draft<AccountId, pb::Account>,
) {
    for (id, it) in state.organisation().accounts().after(after) {
        let kind = match &it.kind {
            AccountKind::ServiceTeam { .. } => pb::AccountKind::ServiceTeam,
            AccountKind::Service { .. } => pb::AccountKind::Service,
            AccountKind::Customer { .. } => pb::AccountKind::Customer,
        };
        let wanted = query.kind.is_none_or(|only| only == kind)
            && query.role.as_ref().is_none_or(|role| it.roles.contains_key(role))
            && query.person.as_ref().is_none_or(|person| it.person() == person);
        if !page.offer(id, || account(state, viewer, id, now).filter(|_| wanted)) {
            return;
        }
    }
    page.end();
}

fn persons(
    state: &State,
    viewer: &Viewer,
    now: Now,
    query: &queries::Persons,
    after: Option<&PersonId>,
    page: &mut Draft<PersonId, pb::Person>,
) {
    for (id, it) in state.organisation().people().after(after) {
        let wanted = query.manager.is_none() || it.manager == query.manager;
        if !page.offer(id, || if wanted { person(state, viewer, id, now) } else { None }) {
            return;
        }
    }
    page.end();
}
