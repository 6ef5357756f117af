//! What an auditor asks as of a time: read from the state that the journal is replayed to. Rights are those of now.

use tokio::sync::Semaphore;
use tonic::Status;

use crate::domain::policy::CapabilityName;
use crate::domain::rule::answers::{Access, access, is_own, may_audit};
use crate::domain::rule::visibility::{audits_whole, is_shut_out};
use crate::domain::state::State;
use crate::domain::value::ids::{AccountId, PersonId};
use crate::domain::value::refusal::{Reason, Refusal};
use crate::domain::value::time::{Now, Timestamp};
use crate::engine::{History, HistoryError};
use crate::server::caller::{Broker, VerifiedCaller};
use crate::server::service::method::list::{Draft, Page, begin, bound, next_token};
use crate::server::service::method::past;
use crate::wire::answers as render;
use crate::wire::message::InvalidMessage;
use crate::wire::v1 as pb;

/// One replay at a time: whoever asks much keeps themselves waiting, and not the checks.
static REPLAYS: Semaphore = Semaphore::const_new(1);

/// Reads the past for one at a time. A caller who leaves meanwhile does not free the turn before the reading is over.
pub(super) async fn one_at_a_time<T: Send + 'static>(
    broker: &Broker,
    caller: &VerifiedCaller,
    read: impl FnOnce(&History) -> Result<T, HistoryError> + Send + 'static,
) -> Result<T, Status> {
    let place = broker.with_place(caller.clone())?.place();
    // The semaphore is never closed.
    let permit = REPLAYS.acquire().await.ok();
    past::blocking(&broker.engine, move |history| {
        let _held_until_read = (permit, place);
        read(history)
    })
    .await
}

/// Whoever asks, under the rights of now.
pub(super) struct Asker {
    pub(super) state: State,
    pub(super) account: AccountId,
    person: Option<PersonId>,
    /// A disabled account sees nothing but itself, by `whoami`.
    shut_out: bool,
    /// Whether they audit all that is not a tenant's.
    pub(super) audits_whole: bool,
    pub(super) now: Now,
}

impl Asker {
    fn sees(&self, it: &Access<'_>) -> bool {
        let scope = match it {
            Access::Granted { grant, .. } => &grant.scope,
            Access::Baseline { scope, .. } => *scope,
        };
        !self.shut_out
            && (is_own(it, &self.account, self.person.as_ref())
                || may_audit(&self.state, &self.account, scope, self.now.latest))
    }

    /// Whether they hold `audit.read`, however narrowed.
    pub(super) fn audits(&self) -> bool {
        self.state.organisation().capability(&self.account, CapabilityName::AuditRead, self.now.latest).is_some()
    }
}

pub(super) fn asker(broker: &Broker, caller: &VerifiedCaller) -> Result<Asker, Status> {
    let asker = broker.read(caller, |state, viewer, now| {
        let (account, person) = (viewer.account()?.clone(), viewer.person.clone());
        let shut_out = is_shut_out(state.organisation(), viewer, now);
        let audits_whole = audits_whole(state.organisation(), viewer, now);
        Ok(Asker { state: state.clone(), account, person, shut_out, audits_whole, now })
    });
    Ok(asker?)
}

pub(super) fn missing() -> Refusal {
    let name = CapabilityName::AuditRead.as_str();
    Refusal::new(Reason::CapabilityMissing, format!("`{name}`")).with("capability", name)
}

/// The instant that is meant.
pub(super) fn instant(at: Option<Timestamp>, now: Now) -> Result<Timestamp, Status> {
    match at {
        Some(at) if at > now.latest => {
            let wanted = format!("`{at}`, which is later than now; a report is of what was");
            Err(InvalidMessage::one("as_of_time", wanted).into())
        }
        Some(at) => Ok(at),
        None => Ok(now.latest),
    }
}

/// The state as it was then: the view itself, if that is now.
pub(super) fn state_at(history: &History, asker: &Asker, at: Timestamp) -> Result<State, HistoryError> {
    if at >= asker.now.latest { Ok(asker.state.clone()) } else { Ok(history.as_of(at)?.unwrap_or_default()) }
}

/// Who could do something then, by what, and who approved it.
pub(super) async fn accesses(
    broker: &Broker,
    caller: &VerifiedCaller,
    query: render::AccessAsOf,
) -> Result<Page<pb::Access>, Status> {
    let bound = bound(caller, "access", &format!("{:?}", (query.at, &query.question)));
    let after: Option<String> = begin(broker, caller, &bound, &query.paging).await?;
    let asker = asker(broker, caller)?;
    let at = instant(query.at, asker.now)?;
    let question = query.question;
    let about_own = question.account.as_ref() == Some(&asker.account)
        || (question.person.is_some() && question.person == asker.person);
    if !about_own && !asker.audits() {
        return Err(missing().into());
    }
    let mut page: Draft<String, pb::Access> = Draft::new(query.paging.size);
    let walk = move |history: &History| {
        let state = state_at(history, &asker, at)?;
        let mut ended = true;
        for (key, it) in keyed(access(&state, &question, at)).skip_while(|(key, _)| after.as_ref() >= Some(key)) {
            page.look_again();
            if !page.offer(&key, || asker.sees(&it).then(|| render::access(&it))) {
                ended = false;
                break;
            }
        }
        if ended {
            page.end();
        }
        Ok((page, state.sequence()))
    };
    let (page, sequence) = one_at_a_time(broker, caller, walk).await?;
    let next_page_token = next_token(broker, &bound, &page);
    Ok(Page { items: page.into_items(), next_page_token, sequence: caller.sequence_text(sequence) })
}

/// Each access under the key that a page ends with: they come in the order of these.
fn keyed<'a>(all: impl Iterator<Item = Access<'a>>) -> impl Iterator<Item = (String, Access<'a>)> {
    let (mut scope, mut last) = (0_u32, None);
    all.map(move |it| match it {
        Access::Granted { grant, .. } => (format!("1{}", grant.id), it),
        Access::Baseline { account, .. } => {
            // Accounts begin anew with each scope of the baseline.
            if last.is_some_and(|last| account <= last) {
                scope = scope.saturating_add(1);
            }
            last = Some(account);
            (format!("2{scope:04}{account}"), it)
        }
    })
}
