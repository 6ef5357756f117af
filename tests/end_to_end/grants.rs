//! Grants in all their lives: scheduled, extended, given up, taken away, of two stages, for another by a machine.

use countersign::wire::v1 as pb;
use tonic::Code;

use crate::common::certificates::now_millis;
use crate::harness::{Broker, eventually};
use crate::person::{ORDERS, Person, at_millis, millis, refused, repair, seconds};

const ALLOWED: (pb::Verdict, pb::CheckReason) = (pb::Verdict::Allow, pb::CheckReason::Granted);
const NO_GRANT: (pb::Verdict, pb::CheckReason) = (pb::Verdict::Deny, pb::CheckReason::NoGrant);

/// Somebody of one's own, and the three whom every test may use.
async fn cast() -> (Person, Person, Person, Person) {
    let broker = Broker::shared();
    let (ben, sam, orders) =
        (broker.person("ben").await, broker.person("sam").await, broker.person("orders-api").await);
    (broker.engineer().await, ben, sam, orders)
}

fn maintenance(start_millis: i64) -> pb::RequestElevationRequest {
    pb::RequestElevationRequest {
        entitlement: "orders-db-maintenance".to_owned(),
        start_time: at_millis(start_millis),
        ticket: String::new(),
        ..repair()
    }
}

#[tokio::test]
async fn a_scheduled_grant_covers_nothing_until_its_start_and_then_its_window_alone() {
    let (engineer, ben, _, orders) = cast().await;
    // given a grant of four seconds that starts in two
    let start = now_millis() + 2_000;
    let grant =
        engineer.granted(pb::RequestElevationRequest { duration: seconds(4), ..maintenance(start) }, &ben).await;
    assert_eq!((grant.state(), millis(grant.start_time.as_ref())), (pb::GrantState::Scheduled, start));
    assert_eq!(millis(grant.end_time.as_ref()), start + 4_000);
    // then a check says that it has not started
    let early = orders.verdict(&engineer.name, "db.read", ORDERS).await;
    assert_eq!(early, (pb::Verdict::Deny, pb::CheckReason::NotStarted));
    // when it starts, then it is allowed, and not before
    let allowed = eventually("the start", async || {
        let answer = orders.check(&engineer.name, "db.read", ORDERS).await.unwrap();
        (answer.verdict() == pb::Verdict::Allow).then_some(answer)
    })
    .await;
    assert!(now_millis() >= start, "it started too early");
    assert_eq!((allowed.grant_id.as_str(), millis(allowed.valid_until.as_ref())), (grant.id.as_str(), start + 4_000));
    assert_eq!(engineer.grant(&grant.id).await.unwrap().state(), pb::GrantState::Active);
    // when its window is over, then it is denied
    eventually("the end", async || (orders.verdict(&engineer.name, "db.read", ORDERS).await == NO_GRANT).then_some(()))
        .await;
    assert!(now_millis() >= start + 3_950, "it ended too early");
}

#[tokio::test]
async fn a_scheduled_grant_is_revoked_before_its_start_like_any_other() {
    let (engineer, ben, sam, orders) = cast().await;
    let grant = engineer.granted(maintenance(now_millis() + 600_000), &ben).await;
    // when somebody with `grant.revoke` takes it away
    let revoked = sam.revoke(&grant.id).await.unwrap();
    assert_eq!((revoked.state(), revoked.closing.unwrap().actor.as_str()), (pb::GrantState::Revoked, "account:sam"));
    assert_eq!(orders.verdict(&engineer.name, "db.read", ORDERS).await, NO_GRANT);
    refused(sam.revoke(&grant.id).await, Code::FailedPrecondition, "NOT_LIVE");
}

#[tokio::test]
async fn an_extension_goes_the_whole_way_again_and_keeps_the_old_grant_until_then() {
    let (engineer, ben, _, orders) = cast().await;
    let first = engineer.granted(repair(), &ben).await;
    // when she asks to extend it
    let request =
        pb::RequestElevationRequest { extends_grant_id: first.id.clone(), duration: seconds(900), ..repair() };
    let elevation = engineer.request(request).await.unwrap();
    assert_eq!(elevation.extends_grant_id, first.id);
    // then nothing is longer yet, and she cannot approve that either
    assert_eq!(millis(engineer.grant(&first.id).await.unwrap().end_time.as_ref()), millis(first.end_time.as_ref()));
    refused(engineer.approve(&elevation.id).await, Code::PermissionDenied, "SELF_APPROVAL");
    // when another approves, then there is a new grant, counted from when she has held it without a break
    let second = ben.approve(&elevation.id).await.unwrap().grant.unwrap();
    assert_ne!(second.id, first.id);
    assert_eq!(millis(second.continuous_since.as_ref()), millis(first.continuous_since.as_ref()));
    assert!(millis(second.end_time.as_ref()) > millis(first.end_time.as_ref()));
    let answer = orders.check(&engineer.name, "db.read", ORDERS).await.unwrap();
    assert_eq!((answer.verdict(), answer.grant_id), (pb::Verdict::Allow, second.id));
    // and nobody extends what is another's
    let other = Broker::shared().engineer().await;
    let theirs = pb::RequestElevationRequest { extends_grant_id: first.id, ..repair() };
    refused(other.request(theirs).await, Code::FailedPrecondition, "EXTENSION_INVALID");
}

#[tokio::test]
async fn giving_a_grant_up_for_a_moment_begins_no_new_time_of_holding_it() {
    // given a grant that is given up and asked for again at once
    let (engineer, ben, ..) = cast().await;
    let first = engineer.granted(repair(), &ben).await;
    engineer.relinquish(&first.id).await.unwrap();
    let second = engineer.granted(repair(), &ben).await;
    // then it is one holding, and the terms say how long a break must be
    assert!(millis(second.start_time.as_ref()) > millis(first.start_time.as_ref()));
    assert_eq!(millis(second.continuous_since.as_ref()), millis(first.continuous_since.as_ref()));
    let listed = engineer.elevations().list_entitlements(pb::ListEntitlementsRequest::default()).await.unwrap();
    let listed = listed.into_inner().offers;
    let offered = listed.iter().filter_map(|it| it.entitlement.as_ref()).find(|it| it.name == "orders-db-repair");
    assert_eq!(offered.unwrap().min_break, seconds(24 * 60));
}

#[tokio::test]
async fn what_its_holder_gives_up_is_over_at_once_and_only_the_holder_can() {
    let (engineer, ben, sam, orders) = cast().await;
    let grant = engineer.granted(repair(), &ben).await;
    assert_eq!(orders.verdict(&engineer.name, "db.read", ORDERS).await, ALLOWED);
    refused(ben.relinquish(&grant.id).await, Code::PermissionDenied, "NOT_HOLDER");
    let over = engineer.relinquish(&grant.id).await.unwrap();
    assert_eq!(over.state(), pb::GrantState::Relinquished);
    assert_eq!(orders.verdict(&engineer.name, "db.read", ORDERS).await, NO_GRANT);
    refused(ben.revoke(&grant.id).await, Code::FailedPrecondition, "NOT_LIVE");
    drop(sam);
}

#[tokio::test]
async fn what_an_approver_takes_away_is_over_before_the_answer() {
    let (engineer, ben, _, orders) = cast().await;
    let grant = engineer.granted(repair(), &ben).await;
    // given another grant of hers that covers the same
    let wider = pb::RequestElevationRequest {
        resources: vec!["prod/eu/db/orders/**".to_owned()],
        actions: vec!["db.read".to_owned(), "db.write".to_owned()],
        ..repair()
    };
    let wider = engineer.granted(wider, &ben).await;
    // when one is taken away, then the other still allows
    ben.revoke(&grant.id).await.unwrap();
    let answer = orders.check(&engineer.name, "db.read", ORDERS).await.unwrap();
    assert_eq!((answer.verdict(), &answer.grant_id), (pb::Verdict::Allow, &wider.id));
    // when that is taken away too, then nothing does
    ben.revoke(&wider.id).await.unwrap();
    assert_eq!(orders.verdict(&engineer.name, "db.read", ORDERS).await, NO_GRANT);
    let told = engineer.grant(&wider.id).await.unwrap().closing.unwrap();
    assert_eq!((told.actor.as_str(), told.comment.as_str()), ("account:ben", "the repair took another turn"));
}

#[tokio::test]
async fn two_stages_are_two_persons_in_their_order() {
    let (engineer, ben, sam, _) = cast().await;
    let request = pb::RequestElevationRequest {
        entitlement: "payments-db-admin".to_owned(),
        resources: vec!["prod/eu/db/payments/primary".to_owned()],
        ..repair()
    };
    let elevation = engineer.request(request).await.unwrap();
    // when the second approver comes first, then the stage is not open
    refused(sam.approve(&elevation.id).await, Code::FailedPrecondition, "STAGE_NOT_OPEN");
    let half = ben.approve(&elevation.id).await.unwrap();
    assert_eq!((half.grant, half.elevation.unwrap().state()), (None, pb::ElevationState::Pending));
    refused(ben.approve(&elevation.id).await, Code::FailedPrecondition, "ALREADY_REVIEWED");
    let whole = sam.approve(&elevation.id).await.unwrap();
    assert_eq!(whole.elevation.unwrap().state(), pb::ElevationState::Approved);
    assert!(whole.grant.is_some());
    refused(ben.deny(&elevation.id).await, Code::FailedPrecondition, "NOT_PENDING");
}

#[tokio::test]
async fn a_denial_ends_it_and_a_withdrawal_is_the_requesters_own() {
    let (engineer, ben, _, _) = cast().await;
    let elevation = engineer.request(repair()).await.unwrap();
    refused(engineer.deny(&elevation.id).await, Code::PermissionDenied, "SELF_APPROVAL");
    refused(engineer.request(repair()).await, Code::FailedPrecondition, "ALREADY_PENDING");
    assert_eq!(ben.deny(&elevation.id).await.unwrap().state(), pb::ElevationState::Denied);
    refused(ben.approve(&elevation.id).await, Code::FailedPrecondition, "NOT_PENDING");
    let again = engineer.request(repair()).await.unwrap();
    refused(ben.withdraw(&again.id).await, Code::PermissionDenied, "NOT_HOLDER");
    assert_eq!(engineer.withdraw(&again.id).await.unwrap().state(), pb::ElevationState::Withdrawn);
    refused(engineer.withdraw(&again.id).await, Code::FailedPrecondition, "NOT_PENDING");
}

#[tokio::test]
async fn a_machine_asks_for_a_person_who_then_counts_as_requester() {
    let (engineer, ben, _, _) = cast().await;
    let bot = Broker::shared().person("deploy-bot").await;
    let request = pb::RequestElevationRequest {
        entitlement: "orders-deploy".to_owned(),
        actions: vec!["deploy.run".to_owned()],
        resources: vec!["prod/eu/apps/orders".to_owned()],
        ticket: String::new(),
        ..repair()
    };
    refused(bot.request(request.clone()).await, Code::FailedPrecondition, "ON_BEHALF_REQUIRED");
    let named = |who: &str| pb::RequestElevationRequest { on_behalf_of: who.to_owned(), ..request.clone() };
    let elevation = bot.request(named(&engineer.name)).await.unwrap();
    assert_eq!((elevation.requester_account.as_str(), elevation.requester_person.as_str()), ("deploy-bot", "ines"));
    assert_eq!(elevation.on_behalf_of, engineer.name);
    let grant = ben.approve(&elevation.id).await.unwrap().grant.unwrap();
    assert_eq!((grant.holder_account.as_str(), grant.on_behalf_of.as_str()), ("deploy-bot", engineer.name.as_str()));
    // the person behind it may give it up
    assert_eq!(engineer.relinquish(&grant.id).await.unwrap().state(), pb::GrantState::Relinquished);
}
