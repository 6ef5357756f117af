//! AccountService: who the caller is, accounts, persons, and the directory that they come from.

use std::ops::Bound::{Excluded, Unbounded};

use tonic::{Request, Response, Status, Streaming};

use super::caller::{Broker, Caller};
use super::loads::{self, Piece, SourceKind};
use super::paging::{Draft, list};
use crate::domain::directory::AccountKind;
use crate::domain::ids::{AccountId, PersonId, Principal};
use crate::domain::organisation::Organisation;
use crate::domain::refusal::{Reason, Refusal};
use crate::domain::state::State;
use crate::domain::time::Now;
use crate::domain::visibility::{Thing, Viewer, may_see, viewer};
use crate::wire::elevations::obstacles;
use crate::wire::message::InvalidMessage;
use crate::wire::v1 as pb;
use crate::wire::v1::account_service_server::AccountService;
use crate::wire::values::{parsed, pb_timestamp};
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
            Ok(pb::GetAccountResponse { account: Some(account), sequence: state.sequence().to_string() })
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
            Ok(pb::GetPersonResponse { person: Some(person), sequence: state.sequence().to_string() })
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

    async fn load_directory(
        &self,
        request: Request<Streaming<pb::LoadDirectoryRequest>>,
    ) -> Result<Response<pb::LoadDirectoryResponse>, Status> {
        let caller = self.0.caller(&request)?;
        let (header, file) = loads::receive(&self.0, &caller, request.into_inner(), SourceKind::Directory).await?;
        let loaded = loads::load(&self.0, &caller, SourceKind::Directory, header, file).await?;
        Ok(Response::new(pb::LoadDirectoryResponse {
            digest: loaded.digest.bytes().to_vec(),
            sequence: loaded.sequence.to_string(),
            mistakes: loaded.mistakes,
            warnings: loaded.warnings,
            effects: Some(loaded.effects),
            replaced_digest: loaded.replaced.map(|digest| digest.bytes().to_vec()).unwrap_or_default(),
        }))
    }
}

impl From<pb::LoadDirectoryRequest> for Piece {
    fn from(message: pb::LoadDirectoryRequest) -> Self {
        match message.piece {
            Some(pb::load_directory_request::Piece::Header(header)) => Self::Header(header),
            Some(pb::load_directory_request::Piece::Chunk(chunk)) => Self::Chunk(chunk),
            None => Self::Nothing,
        }
    }
}

/// Told to any verified certificate: what it says, and what the directory has of it.
fn who(state: &State, caller: &Caller, now: Now) -> pb::WhoAmIResponse {
    let organisation = state.organisation();
    let mut told = pb::WhoAmIResponse {
        identity: caller.identity.to_string(),
        sequence: state.sequence().to_string(),
        broker_time: Some(pb_timestamp(now.latest)),
        certificate_end_time: Some(pb_timestamp(caller.not_after)),
        ..Default::default()
    };
    let viewer = match viewer(organisation, &caller.identity) {
        Ok(viewer) => viewer,
        Err(refusal) => {
            told.obstacles = obstacles(vec![refusal]);
            return told;
        }
    };
    let person = match &viewer.principal {
        Principal::Account(id) => {
            told.account = organisation.accounts().get(id).map(|it| render::account(id, it, now));
            told.capabilities = capabilities(organisation, id, now);
            told.obstacles = obstacles(organisation.account_rests(id, now.latest).err().unwrap_or_default());
            organisation.accounts().get(id).map(|account| account.person().clone())
        }
        Principal::Person(id) => {
            let requires = &organisation.policy().baseline.requires;
            let mut missing = organisation.person_rests(id, requires, now.latest).err().unwrap_or_default();
            missing.push(Refusal::new(Reason::NoAccount, format!("`{id}` has no account yet")));
            told.obstacles = obstacles(missing);
            Some(id.clone())
        }
    };
    let person = person.and_then(|id| organisation.people().get_key_value(&id));
    told.person = person.map(|(id, it)| render::person(organisation, id, it));
    told
}

fn capabilities(organisation: &Organisation, id: &AccountId, now: Now) -> Vec<String> {
    let held = crate::domain::policy::CapabilityName::ALL.into_iter();
    let held = held.filter(|(_, name)| organisation.capability(id, *name, now.latest).is_some());
    held.map(|(text, _)| text.to_owned()).collect()
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
    let range = (after.map_or(Unbounded, Excluded), Unbounded);
    for (id, it) in state.organisation().accounts().range::<AccountId, _>(range) {
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
    let range = (after.map_or(Unbounded, Excluded), Unbounded);
    for (id, it) in state.organisation().people().range::<PersonId, _>(range) {
        let wanted = query.manager.is_none() || it.manager == query.manager;
        if !page.offer(id, || if wanted { person(state, viewer, id, now) } else { None }) {
            return;
        }
    }
    page.end();
}
