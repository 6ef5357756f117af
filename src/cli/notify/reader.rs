//! What the journal says, read event by event, and what of it is to be sent to somebody.

use serde_json::Value;

use super::message::{self, Reviewed};
use super::store::{Open, Progress, Store, WaitsFor};
use crate::cli::connect::session::{PAGE, Session, all_pages};
use crate::cli::term::failure::Failure;
use crate::cli::term::text::{instant, time_field, wall_time};
use crate::domain::value::refusal::Reason;
use crate::domain::value::time::Span;
use crate::wire::v1::{
    ElevationRelation, ElevationState, EnrolmentState, Event, GetElevationRequest, GetEnrolmentRequest,
    GetGrantRequest, GetProposalRequest, Grant, GrantRelation, GrantState, ListElevationsRequest,
    ListEnrolmentsRequest, ListEventsRequest, ListGrantsRequest, ListProposalsRequest, ProposalState, WhoAmIRequest,
    WhoAmIResponse,
};

/// How far before now a first catch-up lists events: those that are known are skipped by their sequence.
const LOOK_BACK: Span = Span::seconds(60);

/// Reads the journal, and keeps what is to be sent.
pub(super) struct Reader<'s, 'o> {
    /// The broker, and the two streams.
    pub(super) session: &'s mut Session<'o>,
    /// How far it has come.
    pub(super) progress: Progress,
    /// The file in which that is kept.
    pub(super) store: Store,
    /// How long before its end a grant is announced as about to end.
    pub(super) ending_within: Span,
    /// What its `audit.read` was of when that was last said.
    pub(super) audited: Option<Vec<String>>,
}

impl Reader<'_, '_> {
    /// Reads all that the journal has since the last time, and all that is open: nothing is lost by having been away.
    pub(super) async fn catch_up(&mut self) -> Result<(), Failure> {
        let who = self.session.client.who_am_i(WhoAmIRequest {}).await?;
        let reached = who.sequence.parse().map_err(|_| {
            let text =
                "this account does not see the numbers of events: notify needs an account of the own organisation";
            Failure::Failed(text.to_owned())
        })?;
        self.say_what_is_not_seen(&who);
        self.progress.is_of(&who.journal, reached).map_err(|why| self.store.lost(&why))?;
        self.progress.journal = Some(who.journal.clone());
        match self.progress.place {
            Some(place) => {
                let from_time = self.progress.time.map(time_field);
                let mut request = ListEventsRequest { page_size: PAGE, from_time, ..Default::default() };
                loop {
                    let page = self.session.client.list_events(request.clone()).await?;
                    for event in page.events.iter().filter(|event| sequence(event).is_some_and(|at| at > place)) {
                        self.read(event).await?;
                    }
                    self.save()?;
                    request.page_token = page.next_page_token;
                    if request.page_token.is_empty() {
                        break;
                    }
                }
            }
            None => {
                let now = who.broker_time.as_ref().and_then(instant).unwrap_or_else(wall_time);
                (self.progress.place, self.progress.time) = (Some(reached), Some(now.minus(LOOK_BACK)));
            }
        }
        self.look_at_all().await
    }

    /// What this account never hears of, because its `audit.read` does not reach it: said once, and again if that changes.
    fn say_what_is_not_seen(&mut self, who: &WhoAmIResponse) {
        if self.audited.as_ref() == Some(&who.audited) {
            return;
        }
        self.audited = Some(who.audited.clone());
        if let Some(text) = unseen(&who.audited) {
            self.session.output.note(&text);
        }
    }

    /// What waits and what is live, as it is now: so the loss of the file costs nothing that is still open.
    async fn look_at_all(&mut self) -> Result<(), Failure> {
        let pending = ListElevationsRequest {
            relation: ElevationRelation::Visible.into(),
            states: vec![ElevationState::Pending.into()],
            ..Default::default()
        };
        let client = &self.session.client;
        let elevations = all_pages!(client, list_elevations, pending, elevations);
        let live = ListGrantsRequest {
            relation: GrantRelation::Visible.into(),
            states: vec![GrantState::Active.into(), GrantState::Scheduled.into()],
            ..Default::default()
        };
        let grants = all_pages!(client, list_grants, live, grants);
        let states = vec![EnrolmentState::Pending.into()];
        let pending = ListEnrolmentsRequest { states, ..Default::default() };
        let enrolments = all_pages!(client, list_enrolments, pending, enrolments);
        let pending = ListProposalsRequest { states: vec![ProposalState::Pending.into()], ..Default::default() };
        let proposals = all_pages!(client, list_proposals, pending, proposals);
        for elevation in elevations {
            self.look("elevation", &elevation.id).await?;
        }
        for enrolment in enrolments {
            self.look("enrolment", &enrolment.id).await?;
        }
        for proposal in proposals {
            self.look("proposal", &proposal.id).await?;
        }
        for grant in grants {
            self.expect_end(&grant);
        }
        Ok(())
    }

    /// What an event means for somebody.
    pub(super) async fn read(&mut self, event: &Event) -> Result<(), Failure> {
        let kind = event.kind.split('/').next().unwrap_or_default();
        let about = |prefix: &str| event.about.iter().find_map(|about| about.strip_prefix(prefix)).map(str::to_owned);
        let place = sequence(event);
        match kind {
            "elevation-requested" | "approval-recorded" | "approval-struck" => {
                if let Some(id) = about("elevation:") {
                    self.look("elevation", &id).await?;
                }
            }
            "enrolment-requested" | "enrolment-approval-recorded" | "enrolment-approval-struck" => {
                if let Some(id) = about("enrolment:") {
                    self.look("enrolment", &id).await?;
                }
            }
            "elevation-approved"
            | "elevation-denied"
            | "elevation-withdrawn"
            | "elevation-expired"
            | "elevation-cancelled" => self.decided("elevation", about("elevation:")).await?,
            "proposal-made" => {
                if let Some(id) = about("proposal:") {
                    self.look("proposal", &id).await?;
                }
            }
            "proposal-approved" | "proposal-denied" | "proposal-withdrawn" | "proposal-expired"
            | "proposal-cancelled" => {
                self.decided("proposal", about("proposal:")).await?;
            }
            "enrolment-approved"
            | "enrolment-denied"
            | "enrolment-withdrawn"
            | "enrolment-expired"
            | "enrolment-cancelled" => self.decided("enrolment", about("enrolment:")).await?,
            "grant-issued" | "grant-started" | "grant-shortened" => self.grant(about("grant:"), false).await?,
            "grant-ended" | "grant-relinquished" | "grant-revoked" => self.grant(about("grant:"), true).await?,
            // A lock may open a stage to others, and its end may close that again.
            "lock-created" | "lock-deleted" | "lock-ended" => self.look_at_all().await?,
            "lapse-ahead" => self.of_event("lapse.ahead", event),
            "follow-up-opened" => self.follow_up("follow_up.opened", about("elevation:"), event).await?,
            "follow-up-completed" => {
                if let Some(id) = about("elevation:") {
                    self.progress.forget_waiting(&WaitsFor::any_stage("follow_up", &id));
                }
            }
            "follow-up-overdue" => self.follow_up("follow_up.overdue", about("elevation:"), event).await?,
            _ => {}
        }
        self.progress.place = place.or(self.progress.place);
        self.progress.time = event.time.as_ref().and_then(instant).or(self.progress.time);
        Ok(())
    }

    /// What an event says by itself.
    fn of_event(&mut self, kind: &str, event: &Event) {
        self.progress.enqueue(&format!("{kind}:{}", event.sequence), message::of_event(kind, event), wall_time());
    }

    /// Something under review, as it is now. Nothing, if this account may not see it or it is not there any more.
    async fn reviewed(&mut self, kind: &str, id: &str) -> Result<Option<Reviewed>, Failure> {
        let client = &self.session.client;
        let found = match kind {
            "elevation" => {
                let request = GetElevationRequest { elevation_id: id.to_owned() };
                client.get_elevation(request).await.map(message::elevation)
            }
            "proposal" => {
                let request = GetProposalRequest { proposal_id: id.to_owned() };
                client.get_proposal(request).await.map(message::proposal)
            }
            _ => {
                let request = GetEnrolmentRequest { enrolment_id: id.to_owned() };
                client.get_enrolment(request).await.map(message::enrolment)
            }
        };
        match found {
            Ok(found) => Ok(found),
            Err(error) if error.reason() == Some(Reason::NotFound) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// A notification for those whose stage has opened.
    async fn look(&mut self, kind: &str, id: &str) -> Result<(), Failure> {
        let Some(it) = self.reviewed(kind, id).await?.filter(|it| it.pending) else { return Ok(()) };
        let known = self.progress.open.get(&it.key()).cloned();
        let stage = it.review.open_stage;
        let mut openings = known.as_ref().map_or(0, |known| known.openings);
        if known.as_ref().is_none_or(|known| known.stage != stage) {
            // Whoever could decide in an earlier stage is told nothing more of it.
            self.progress.forget_waiting(&WaitsFor::any_stage(kind, id));
        }
        // What has every approval waits for a lock alone, and for nobody.
        if stage > 0 && known.as_ref().is_none_or(|known| known.stage != stage) {
            // A stage that opens again, because an approval was struck out or is not counted, is announced again, by another id:
            // who gets it drops what has one that is known.
            openings = openings.saturating_add(1);
            self.progress.enqueue(&format!("{}.opened:{stage}:{openings}", it.key()), it.opened(), wall_time());
        }
        let reminded = known.as_ref().is_some_and(|known| known.reminded);
        let due = it.half_time().filter(|_| !reminded);
        self.progress.open.insert(it.key(), Open { stage, openings, due, reminded });
        Ok(())
    }

    /// How something under review ended, to whoever asked for it.
    async fn decided(&mut self, kind: &str, id: Option<String>) -> Result<(), Failure> {
        let Some(id) = id else { return Ok(()) };
        self.progress.open.remove(&format!("{kind}:{id}"));
        self.progress.forget_waiting(&WaitsFor::any_stage(kind, &id));
        if let Some(it) = self.reviewed(kind, &id).await? {
            self.progress.enqueue(&format!("{}.decided", it.key()), it.decided(), wall_time());
        }
        Ok(())
    }

    /// What an emergency owes, to those who could do it.
    async fn follow_up(&mut self, kind: &str, id: Option<String>, event: &Event) -> Result<(), Failure> {
        let Some(elevation_id) = id else { return Ok(()) };
        match self.session.client.get_elevation(GetElevationRequest { elevation_id }).await {
            Ok(found) => {
                let message = message::follow_up(kind, &found);
                self.progress.enqueue(&format!("{kind}:{}", event.sequence), message, wall_time());
                Ok(())
            }
            Err(error) if error.reason() == Some(Reason::NotFound) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// A grant that was issued, or has another end, or is over.
    async fn grant(&mut self, id: Option<String>, over: bool) -> Result<(), Failure> {
        let Some(id) = id else { return Ok(()) };
        let key = format!("grant:{id}");
        if over {
            self.progress.open.remove(&key);
            self.progress.forget_waiting(&WaitsFor::any_stage("grant", &id));
        }
        let Some(grant) = self.grant_now(id).await? else { return Ok(()) };
        if over {
            self.progress.enqueue(&format!("{key}.ended"), message::grant("ended", &grant), wall_time());
        } else if message::is_open(&grant) {
            self.expect_end(&grant);
        }
        Ok(())
    }

    async fn grant_now(&self, grant_id: String) -> Result<Option<Grant>, Failure> {
        match self.session.client.get_grant(GetGrantRequest { grant_id }).await {
            Ok(found) => Ok(found.grant),
            Err(error) if error.reason() == Some(Reason::NotFound) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Notes when a grant is to be announced as about to end.
    fn expect_end(&mut self, grant: &Grant) {
        let times = grant.start_time.as_ref().and_then(instant).zip(grant.end_time.as_ref().and_then(instant));
        let Some((start, end)) = times else { return };
        let half = end.since(start).millis().checked_div(2).and_then(|millis| Span::from_millis(millis).ok());
        let ahead = half.map_or(self.ending_within, |half| half.min(self.ending_within));
        let open = self.progress.open.entry(format!("grant:{}", grant.id)).or_default();
        open.due = Some(end.minus(ahead)).filter(|_| !open.reminded);
    }

    /// Whether it still is as a notification is to tell: its end may be known to the broker before it is read here, and it may have
    /// waited in the queue for long.
    pub(super) async fn is_so(&mut self, message: &Value) -> Result<bool, Failure> {
        let Some(told) = WaitsFor::told_by(message) else { return Ok(true) };
        match told.kind.as_str() {
            "grant" => Ok(self.grant_now(told.id).await?.as_ref().is_some_and(message::is_open)),
            "follow_up" => {
                let found = self.session.client.get_elevation(GetElevationRequest { elevation_id: told.id }).await;
                match found {
                    Ok(found) => Ok(message::owes_follow_up(&found)),
                    Err(error) if error.reason() == Some(Reason::NotFound) => Ok(false),
                    Err(error) => Err(error.into()),
                }
            }
            kind => {
                let now = self.reviewed(kind, &told.id).await?.filter(|it| it.pending);
                Ok(now.is_some_and(|it| told.stage.is_none_or(|stage| stage == u64::from(it.review.open_stage))))
            }
        }
    }

    /// Queues what has become due by now, if it is still so.
    pub(super) async fn send_due(&mut self) -> Result<(), Failure> {
        let now = wall_time();
        for key in self.progress.due(now) {
            let Some((kind, id)) = key.split_once(':').map(|(kind, id)| (kind.to_owned(), id.to_owned())) else {
                continue;
            };
            let message = match kind.as_str() {
                "grant" => {
                    let live = self.grant_now(id).await?.filter(message::is_open);
                    live.map(|grant| message::grant("ending", &grant))
                }
                _ => self.reviewed(&kind, &id).await?.filter(|it| it.pending).map(|it| it.half_gone()),
            };
            if let Some(open) = self.progress.open.get_mut(&key) {
                (open.due, open.reminded) = (None, true);
            }
            if let Some(message) = message {
                self.progress.enqueue(&format!("{key}.due"), message, now);
            }
        }
        self.save()
    }

    /// Writes the progress to its file.
    pub(super) fn save(&self) -> Result<(), Failure> {
        self.store.write(&self.progress).map_err(Failure::Failed)
    }
}

fn sequence(event: &Event) -> Option<u64> {
    event.sequence.parse().ok()
}

/// What an account with an `audit.read` of these resources never hears of; none: nothing.
fn unseen(audited: &[String]) -> Option<String> {
    let has = |pattern: &str| audited.iter().any(|it| it == pattern);
    match (audited, has("**"), has("tenants/**")) {
        ([], ..) => Some(
            "this account has no `audit.read`: it tells of what it asked for, holds or could review itself, and of nothing else; give \
             its role the capability, with `resources = [\"**\", \"tenants/**\"]` for all there is"
                .to_owned(),
        ),
        (_, true, true) => None,
        (_, true, false) => Some(
            "this account's `audit.read` does not reach `tenants/**`: what touches customers is not told, or only as far as it is \
             narrowed to"
                .to_owned(),
        ),
        _ => Some(format!(
            "this account's `audit.read` is narrowed to {}: of requests and grants elsewhere, of enrolments, proposals and lapses \
             nothing is told",
            audited.join(" ")
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_account_never_hears_of_is_said() {
        let said = |audited: &[&str]| unseen(&audited.iter().map(|it| (*it).to_owned()).collect::<Vec<_>>());
        assert_eq!(said(&["**", "tenants/**"]), None);
        assert!(said(&[]).unwrap().contains("no `audit.read`"));
        assert!(said(&["**"]).unwrap().contains("customers"));
        assert!(said(&["prod/**"]).unwrap().contains("narrowed to prod/**"));
    }
}
