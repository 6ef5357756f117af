//! Cascades and dry runs: what a command would cancel, void, cut and revoke is told before, and is exactly what then happens
//! in the same batch (known failures B1, B3 and H1).

use countersign::wire::v1 as pb;

use crate::common::certificates::now_millis;
use crate::harness::Broker;
use crate::life::{ALLOWED, DAY, event, left_urgently, moved, place, refused, role};
use crate::organisation::{Files, Organisation};
use crate::person::{ORDERS, Person, at_millis, call_id, repair};

/// An engineer behind whom there is a bit of everything, and who that is for.
pub struct Scene {
    pub broker: Broker,
    pub dev: Person,
    pub hr: Person,
    /// Live.
    pub grant: pb::Grant,
    /// To start in three days.
    pub scheduled: pb::Grant,
    /// Waits for its approver.
    pub pending: pb::Elevation,
    /// Waits for the manager.
    pub enrolment: pb::Enrolment,
    /// Of a machine that dev owns.
    pub of_machine: pb::Elevation,
}

impl Scene {
    pub async fn set() -> Self {
        let broker = Broker::new();
        let (dev, sam) = broker.hired_engineer("dev", "sam").await;
        let (ben, ines) = (broker.person("ben").await, broker.person("ines").await);
        let grant = dev.granted(repair(), &ben).await;
        let planned = pb::RequestElevationRequest {
            entitlement: "orders-db-maintenance".to_owned(),
            start_time: at_millis((now_millis() / 1_000) * 1_000 + 3 * DAY),
            ticket: String::new(),
            ..repair()
        };
        let scheduled = dev.granted(planned, &ben).await;
        let other = vec!["prod/ap/db/orders/primary".to_owned()];
        let pending = dev.request(pb::RequestElevationRequest { resources: other, ..repair() }).await.unwrap();
        let enrolment = dev.ask(role("auditor")).await.unwrap();
        let bot = pb::MachineAsk {
            account: "lab-bot".to_owned(),
            identities: vec![crate::organisation::identity("lab-bot")],
            roles: vec![pb::MachineRole { role: "deploy-pipeline".to_owned(), end_time: None }],
            ..Default::default()
        };
        let asked = dev.ask(pb::enrolment_ask::Ask::Machine(bot)).await.unwrap();
        sam.approve_enrolment(&asked.id).await.unwrap();
        ines.approve_enrolment(&asked.id).await.unwrap();
        let deploy = pb::RequestElevationRequest {
            request_id: call_id(),
            entitlement: "orders-deploy".to_owned(),
            actions: vec!["deploy.run".to_owned()],
            resources: vec!["prod/eu/apps/orders".to_owned()],
            ..Default::default()
        };
        let of_machine = broker.person("lab-bot").await.request(deploy).await.unwrap();
        let hr = broker.person("hr-sync").await;
        Self { broker, dev, hr, grant, scheduled, pending, enrolment, of_machine }
    }

    /// Tries, then does: the effects, which are the same.
    async fn tried_and_done(&self, events: Vec<pb::HrEvent>) -> pb::Effects {
        let before = self.everything().await;
        let told = self.hr.tell_all(None, events.clone(), true).await.unwrap().effects.unwrap();
        assert_eq!(self.everything().await, before, "a dry run changes nothing");
        let done = self.hr.tell_all(None, events, false).await.unwrap().effects.unwrap();
        assert_eq!(told, done);
        done
    }

    /// How all of it stands.
    pub async fn everything(&self) -> Vec<String> {
        let omar = self.broker.person("omar").await;
        vec![
            format!("{:?}", omar.grant(&self.grant.id).await.unwrap().state()),
            format!("{:?}", omar.grant(&self.scheduled.id).await.unwrap().state()),
            format!("{:?}", omar.elevation(&self.pending.id).await.unwrap().state()),
            format!("{:?}", omar.enrolment(&self.enrolment.id).await.unwrap().state()),
            format!("{:?}", omar.elevation(&self.of_machine.id).await.unwrap().state()),
        ]
    }
}

fn ids<'a>(ids: impl IntoIterator<Item = &'a String>) -> Vec<&'a str> {
    ids.into_iter().map(String::as_str).collect()
}

#[tokio::test]
async fn a_termination_takes_all_that_the_person_is_behind_in_one_batch() {
    let scene = Scene::set().await;
    let done = scene.tried_and_done(vec![left_urgently("dev", false)]).await;
    // then the effects name each thing once
    let mut revoked = vec![scene.grant.id.as_str(), scene.scheduled.id.as_str()];
    revoked.sort_unstable();
    assert_eq!(ids(done.revoked_grants.iter().map(|it| &it.grant_id)), revoked);
    let mut cancelled = vec![scene.pending.id.as_str(), scene.of_machine.id.as_str()];
    cancelled.sort_unstable();
    assert_eq!(ids(done.cancelled_elevations.iter().map(|it| &it.elevation_id)), cancelled);
    assert_eq!(ids(done.cancelled_enrolments.iter().map(|it| &it.enrolment_id)), [scene.enrolment.id.as_str()]);
    let changes: Vec<(&str, &str)> =
        done.changed_accounts.iter().map(|it| (it.account.as_str(), it.change.as_str())).collect();
    assert_eq!(changes, [("dev", "DISABLED"), ("lab-bot", "CLOSED")]);
    // and so it is
    assert_eq!(scene.everything().await, ["Revoked", "Revoked", "Cancelled", "Cancelled", "Cancelled"]);
    let orders = scene.broker.person("orders-api").await;
    assert_eq!(orders.verdict("dev", "db.read", ORDERS).await.0, pb::Verdict::Deny);
    // and all of it is one batch of the journal
    let omar = scene.broker.person("omar").await;
    let filter = pb::ListEventsRequest { about: "person:dev".to_owned(), ..Default::default() };
    let events = omar.events(filter).await;
    let left = events.iter().position(|it| it.kind.starts_with("person-left/")).unwrap();
    assert!(events[left..].iter().all(|it| it.time == events[left].time && it.actor == "account:hr-sync"));
    assert_eq!(scene.broker.verify().code, Some(0));
}

#[tokio::test]
async fn an_approver_who_leaves_voids_what_has_not_started_and_with_a_word_what_has() {
    let scene = Scene::set().await;
    // when ben leaves, who had approved: the scheduled grant goes, the live one stays
    let told = scene.hr.tell_all(None, vec![left_urgently("ben", true)], true).await.unwrap().effects.unwrap();
    let mut both = vec![scene.grant.id.as_str(), scene.scheduled.id.as_str()];
    both.sort_unstable();
    assert_eq!(ids(told.revoked_grants.iter().map(|it| &it.grant_id)), both);
    let done = scene.tried_and_done(vec![left_urgently("ben", false)]).await;
    let revoked: Vec<(&str, &str)> =
        done.revoked_grants.iter().map(|it| (it.grant_id.as_str(), it.cause.as_str())).collect();
    assert_eq!(revoked, [(scene.scheduled.id.as_str(), "APPROVAL_VOID")]);
    let orders = scene.broker.person("orders-api").await;
    assert_eq!(orders.verdict("dev", "db.read", ORDERS).await, ALLOWED);
}

#[tokio::test]
async fn a_manager_who_leaves_takes_along_what_was_asked_of_him() {
    // given an enrolment in two stages of which the first is approved by sam
    let broker = Broker::new();
    let (dev, sam) = broker.hired("dev", "sam").await;
    let training = broker.person("training-feed").await;
    training.attest("dev", "dba-training", now_millis() - DAY).await.unwrap();
    let asked = dev.ask(role("db-engineer")).await.unwrap();
    sam.approve_enrolment(&asked.id).await.unwrap();
    let hr = broker.person("hr-sync").await;
    // when sam leaves: tried, then done
    let told = hr.tell_all(None, vec![left_urgently("sam", false)], true).await.unwrap().effects.unwrap();
    let done = hr.tell_all(None, vec![left_urgently("sam", false)], false).await.unwrap().effects.unwrap();
    assert_eq!(told, done);
    // then it is void with its manager, and the owner of the role has nothing to decide
    let cancelled: Vec<(&str, &str)> =
        done.cancelled_enrolments.iter().map(|it| (it.enrolment_id.as_str(), it.cause.as_str())).collect();
    assert_eq!(cancelled, [(asked.id.as_str(), "MANAGER_CHANGED")]);
    refused(broker.person("ines").await.approve_enrolment(&asked.id).await, "NOT_PENDING");
    assert_eq!(dev.account().await.memberships, []);
}

#[tokio::test]
async fn a_void_approval_reopens_the_stage_of_an_enrolment() {
    // given somebody without a manager, for whom noa or sam may decide, and the first of two stages approved by noa
    let mut files = Files::example();
    let roles = "roles = [\"security-duty\"]";
    assert!(files.directory.contains(roles));
    files.directory = files.directory.replacen(roles, "roles = [\"security-duty\", \"people-office\"]", 1);
    let broker = Broker::of(Organisation::with(&files));
    let dev = broker.joined("dev", "").await;
    let (noa, sam, ines) = (broker.person("noa").await, broker.person("sam").await, broker.person("ines").await);
    noa.approve_enrolment(&dev.ask(crate::life::account()).await.unwrap().id).await.unwrap();
    broker.person("training-feed").await.attest("dev", "dba-training", now_millis() - DAY).await.unwrap();
    let asked = dev.ask(role("db-engineer")).await.unwrap();
    noa.approve_enrolment(&asked.id).await.unwrap();
    // when noa loses the role in which she approved: tried, then done
    let end = |validate_only| pb::EndMembershipRequest {
        request_id: call_id(),
        account: "noa".to_owned(),
        role: "people-office".to_owned(),
        reason: "another office".to_owned(),
        validate_only,
    };
    let mut omar = broker.person("omar").await.accounts();
    let told = omar.end_membership(end(true)).await.unwrap().into_inner().effects.unwrap();
    let done = omar.end_membership(end(false)).await.unwrap().into_inner().effects.unwrap();
    // then her approval counts no more, and the first stage is open again
    assert_eq!(told, done);
    let voided = done.voided_enrolment_approvals.iter().map(|it| (it.enrolment_id.as_str(), it.person.as_str()));
    assert_eq!(voided.collect::<Vec<_>>(), [(asked.id.as_str(), "noa")]);
    assert_eq!(done.cancelled_enrolments, []);
    refused(ines.approve_enrolment(&asked.id).await, "STAGE_NOT_OPEN");
    assert_eq!(dev.account().await.memberships, []);
    // and with another approval of it the membership rests on those who count
    sam.approve_enrolment(&asked.id).await.unwrap();
    ines.approve_enrolment(&asked.id).await.unwrap();
    assert_eq!(crate::life::membership(&dev.account().await, "db-engineer").approved_by, ["ines", "sam"]);
}

#[tokio::test]
async fn a_transfer_and_a_lost_role_are_told_as_they_come() {
    let scene = Scene::set().await;
    // when dev moves: the scheduled grant is within the grace, and the enrolment at the old manager is void
    let at = (now_millis() / 1_000) * 1_000;
    let moves = scene.tried_and_done(vec![moved("dev", "ben", Some(at))]).await;
    assert_eq!(ids(moves.cancelled_enrolments.iter().map(|it| &it.enrolment_id)), [scene.enrolment.id.as_str()]);
    assert_eq!(moves.changed_memberships.iter().map(|it| it.change.as_str()).collect::<Vec<_>>(), ["CUT"]);
    assert!(moves.revoked_grants.is_empty());
    // when dev gives the role up: tried, then done
    let end = |validate_only| pb::EndMembershipRequest {
        request_id: call_id(),
        account: "dev".to_owned(),
        role: "db-engineer".to_owned(),
        reason: String::new(),
        validate_only,
    };
    let mut client = scene.dev.accounts();
    let told = client.end_membership(end(true)).await.unwrap().into_inner();
    assert_eq!(told.account.unwrap().memberships.len(), 1);
    let done = client.end_membership(end(false)).await.unwrap().into_inner();
    assert_eq!(told.effects, done.effects);
    assert!(done.account.unwrap().memberships.is_empty());
    let effects = done.effects.unwrap();
    assert_eq!(effects.revoked_grants.len(), 2, "{effects:?}");
    assert_eq!(ids(effects.cancelled_elevations.iter().map(|it| &it.elevation_id)), [scene.pending.id.as_str()]);
}

#[tokio::test]
async fn a_repetition_takes_no_second_effect_and_another_body_is_refused() {
    let broker = Broker::new();
    let hr = broker.person("hr-sync").await;
    // given a transfer without an instant, which is of now
    let request = pb::ApplyHrEventsRequest {
        request_id: call_id(),
        place: place("workday", 1),
        events: vec![moved("eng01", "sam", None)],
        validate_only: false,
    };
    let mut client = hr.hr();
    let done = client.apply_hr_events(request.clone()).await.unwrap().into_inner();
    tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    let again = client.apply_hr_events(request.clone()).await.unwrap().into_inner();
    assert_eq!(again.sequence, done.sequence);
    let stays = event("eng01", pb::hr_event::Change::Stays(pb::Stays {}));
    let other = pb::ApplyHrEventsRequest { events: vec![stays], ..request };
    refused(client.apply_hr_events(other).await, "REQUEST_ID_REUSED");
}
