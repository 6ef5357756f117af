//! AccountService: who the caller is, accounts, persons and attestations.

mod whoami;

use tonic::{Request, Response, Status};

use self::whoami::who;
use super::method::change::{Changed, carry_out};
use super::method::get::{as_left, whole_id};
use super::method::list::{Draft, Listing, Page, list};
use super::method::past;
use super::method::watch::{Step, Teller, watch};
use crate::domain::directory::AccountKind;
use crate::domain::record::event::{Event, Subject};
use crate::domain::rule::visibility::{Thing, Viewer, may_see};
use crate::domain::state::State;
use crate::domain::value::ids::{AccountId, PersonId};
use crate::domain::value::refusal::Refusal;
use crate::domain::value::time::Now;
use crate::engine::{History, HistoryError};
use crate::server::caller::{Broker, Messages, VerifiedCaller};
use crate::wire::commands::Change;
use crate::wire::enrolments::after_sequence;
use crate::wire::life::account_event;
use crate::wire::organisation as render;
use crate::wire::queries::{self, Paging};
use crate::wire::v1 as pb;
use crate::wire::v1::account_service_server::AccountService;

/// The service.
#[derive(Clone)]
pub(crate) struct Accounts(pub(crate) Broker);

#[tonic::async_trait]
impl AccountService for Accounts {
    async fn who_am_i(&self, request: Request<pb::WhoAmIRequest>) -> Result<Response<pb::WhoAmIResponse>, Status> {
        let caller = self.0.caller(&request)?;
        let now = self.0.engine.now();
        let mut told = self.0.engine.read(|state| who(state, &caller, now));
        if told.person.is_some() && !caller.is_sealed() {
            told.journal = self.0.engine.history().journal_id();
        }
        Ok(Response::new(told))
    }

    async fn get_account(
        &self,
        request: Request<pb::GetAccountRequest>,
    ) -> Result<Response<pb::GetAccountResponse>, Status> {
        let caller = self.0.caller(&request)?;
        let id = whole_id("account_id", &request.get_ref().account_id)?;
        let (account, sequence) = self.account(&caller, &id)?;
        Ok(Response::new(pb::GetAccountResponse { account: Some(account), sequence }))
    }

    async fn list_accounts(
        &self,
        request: Request<pb::ListAccountsRequest>,
    ) -> Result<Response<pb::ListAccountsResponse>, Status> {
        let caller = self.0.caller(&request)?;
        let query = queries::Accounts::try_from(request.get_ref())?;
        let Page { items: accounts, next_page_token, sequence } = list(&self.0, &caller, query).await?;
        Ok(Response::new(pb::ListAccountsResponse { accounts, next_page_token, sequence }))
    }

    async fn get_person(
        &self,
        request: Request<pb::GetPersonRequest>,
    ) -> Result<Response<pb::GetPersonResponse>, Status> {
        let caller = self.0.caller(&request)?;
        let id = whole_id("person_id", &request.get_ref().person_id)?;
        let (person, sequence) = self.person(&caller, &id)?;
        Ok(Response::new(pb::GetPersonResponse { person: Some(person), sequence }))
    }

    async fn list_persons(
        &self,
        request: Request<pb::ListPersonsRequest>,
    ) -> Result<Response<pb::ListPersonsResponse>, Status> {
        let caller = self.0.caller(&request)?;
        let query = queries::Persons::try_from(request.get_ref())?;
        let Page { items: persons, next_page_token, sequence } = list(&self.0, &caller, query).await?;
        Ok(Response::new(pb::ListPersonsResponse { persons, next_page_token, sequence }))
    }

    type WatchAccountsStream = Messages<pb::WatchAccountsResponse>;

    async fn watch_accounts(
        &self,
        request: Request<pb::WatchAccountsRequest>,
    ) -> Result<Response<Self::WatchAccountsStream>, Status> {
        let caller = self.0.caller(&request)?;
        let after = after_sequence(&request.get_ref().after_sequence)?;
        Ok(Response::new(watch(&self.0, caller, after.as_ref(), Steps)?))
    }

    async fn record_attestation(
        &self,
        request: Request<pb::RecordAttestationRequest>,
    ) -> Result<Response<pb::RecordAttestationResponse>, Status> {
        let caller = self.0.caller(&request)?;
        let change = Change::try_from(request.into_inner())?;
        let (person, Changed { sequence, effects, .. }) = self.change_person(&caller, change).await?;
        Ok(Response::new(pb::RecordAttestationResponse { person, sequence, effects: Some(effects) }))
    }

    async fn correct_attestation(
        &self,
        request: Request<pb::CorrectAttestationRequest>,
    ) -> Result<Response<pb::CorrectAttestationResponse>, Status> {
        let caller = self.0.caller(&request)?;
        let change = Change::try_from(request.into_inner())?;
        let (person, Changed { sequence, effects, .. }) = self.change_person(&caller, change).await?;
        Ok(Response::new(pb::CorrectAttestationResponse { person, sequence, effects: Some(effects) }))
    }

    async fn end_membership(
        &self,
        request: Request<pb::EndMembershipRequest>,
    ) -> Result<Response<pb::EndMembershipResponse>, Status> {
        let caller = self.0.caller(&request)?;
        let change = Change::try_from(request.into_inner())?;
        let (account, Changed { sequence, effects, .. }) = self.change_account(&caller, change).await?;
        Ok(Response::new(pb::EndMembershipResponse { account, sequence, effects: Some(effects) }))
    }

    async fn close_account(
        &self,
        request: Request<pb::CloseAccountRequest>,
    ) -> Result<Response<pb::CloseAccountResponse>, Status> {
        let caller = self.0.caller(&request)?;
        let change = Change::try_from(request.into_inner())?;
        let (account, Changed { sequence, effects, .. }) = self.change_account(&caller, change).await?;
        Ok(Response::new(pb::CloseAccountResponse { account, sequence, effects: Some(effects) }))
    }
}

impl Accounts {
    fn account(&self, caller: &VerifiedCaller, id: &AccountId) -> Result<(pb::Account, String), Refusal> {
        self.0.read(caller, |state, viewer, now| {
            let account = account(state, viewer, id, now).ok_or_else(|| Refusal::not_found("account", id))?;
            Ok((account, caller.sequence_text(state.sequence())))
        })
    }

    fn person(&self, caller: &VerifiedCaller, id: &PersonId) -> Result<(pb::Person, String), Refusal> {
        self.0.read(caller, |state, viewer, now| {
            let person = person(state, viewer, id, now).ok_or_else(|| Refusal::not_found("person", id))?;
            Ok((person, caller.sequence_text(state.sequence())))
        })
    }

    /// Carries a change out, and shows the person as on record by now, if the caller may see them.
    async fn change_person(
        &self,
        caller: &VerifiedCaller,
        change: Change,
    ) -> Result<(Option<pb::Person>, Changed), Status> {
        let changed = carry_out(&self.0, caller, change).await?;
        let Some(Subject::Person(id)) = &changed.about else { return Ok((None, changed)) };
        let person = self.now_or_as_left(caller, &changed, |state, viewer, now| person(state, viewer, id, now)).await?;
        Ok((person, changed))
    }

    /// Carries a change out, and shows the account as it is by now, if the caller may see it.
    async fn change_account(
        &self,
        caller: &VerifiedCaller,
        change: Change,
    ) -> Result<(Option<pb::Account>, Changed), Status> {
        let changed = carry_out(&self.0, caller, change).await?;
        let Some(Subject::Account(id)) = &changed.about else { return Ok((None, changed)) };
        let account =
            self.now_or_as_left(caller, &changed, |state, viewer, now| account(state, viewer, id, now)).await?;
        Ok((account, changed))
    }

    /// What the caller sees now; of a repetition, where they see nothing any more, what they saw right after the first.
    async fn now_or_as_left<R>(
        &self,
        caller: &VerifiedCaller,
        changed: &Changed,
        show: impl Fn(&State, &Viewer, Now) -> Option<R>,
    ) -> Result<Option<R>, Status> {
        let present = self.0.read(caller, |state, viewer, now| Ok(show(state, viewer, now)));
        match (present.map_err(|refusal| past::untold(refusal.into()))?, &changed.done) {
            (None, Some(done)) if done.repeated => as_left(&self.0, caller, done, show).await,
            (present, _) => Ok(present),
        }
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

fn account(state: &State, viewer: &Viewer, id: &AccountId, now: Now) -> Option<pb::Account> {
    let it = state.organisation().accounts().get(id)?;
    may_see(state, viewer, Thing::Account(id), now).then(|| render::account(id, it, now))
}

fn person(state: &State, viewer: &Viewer, id: &PersonId, now: Now) -> Option<pb::Person> {
    let it = state.organisation().people().get(id)?;
    may_see(state, viewer, Thing::Person(id), now).then(|| render::person(state.organisation(), id, it))
}

impl Listing for queries::Accounts {
    const NAME: &'static str = "accounts";
    type Key = AccountId;
    type Item = pb::Account;

    fn paging(&self) -> &Paging {
        &self.paging
    }

    fn filter(&self) -> String {
        format!("{:?}", (self.kind, &self.role, &self.person))
    }

    fn walk(
        &self,
        state: &State,
        viewer: &Viewer,
        now: Now,
        after: Option<&AccountId>,
        page: &mut Draft<AccountId, pb::Account>,
    ) {
        for (id, it) in state.organisation().accounts().after(after) {
            let kind = match &it.kind {
                AccountKind::ServiceTeam { .. } => pb::AccountKind::ServiceTeam,
                AccountKind::Service { .. } => pb::AccountKind::Service,
                AccountKind::Customer { .. } => pb::AccountKind::Customer,
            };
            let wanted = self.kind.is_none_or(|only| only == kind)
                && self.role.as_ref().is_none_or(|role| it.roles.contains_key(role))
                && self.person.as_ref().is_none_or(|person| it.person() == person);
            if !page.offer(id, || account(state, viewer, id, now).filter(|_| wanted)) {
                return;
            }
        }
        page.end();
    }
}

impl Listing for queries::Persons {
    const NAME: &'static str = "persons";
    type Key = PersonId;
    type Item = pb::Person;

    fn paging(&self) -> &Paging {
        &self.paging
    }

    fn filter(&self) -> String {
        format!("{:?}", &self.manager)
    }

    fn walk(
        &self,
        state: &State,
        viewer: &Viewer,
        now: Now,
        after: Option<&PersonId>,
        page: &mut Draft<PersonId, pb::Person>,
    ) {
        for (id, it) in state.organisation().people().after(after) {
            let wanted = self.manager.is_none() || it.manager == self.manager;
            if !page.offer(id, || if wanted { person(state, viewer, id, now) } else { None }) {
                return;
            }
        }
        page.end();
    }
}
