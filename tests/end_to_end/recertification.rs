//! Recertification: the manager of each holder of a role confirms, or the membership ends (THREATS B7).

use countersign::wire::v1 as pb;
use tonic::Status;

use crate::common::certificates::now_millis;
use crate::harness::Broker;
use crate::life::{DAY, membership, refused};
use crate::person::{Person, at_millis, call_id, millis, repair};

async fn start(
    person: &Person,
    role: &str,
    due: i64,
    validate_only: bool,
) -> Result<pb::StartRecertificationResponse, Status> {
    let (role, due_time) = (role.to_owned(), at_millis(due));
    let request = pb::StartRecertificationRequest { request_id: call_id(), role, due_time, validate_only };
    Ok(person.rounds().start_recertification(request).await?.into_inner())
}

async fn confirm(person: &Person, round: &str, account: &str) -> Result<pb::ConfirmMembershipResponse, Status> {
    let request = pb::ConfirmMembershipRequest {
        request_id: call_id(),
        recertification_id: round.to_owned(),
        account: account.to_owned(),
        validate_only: false,
    };
    Ok(person.rounds().confirm_membership(request).await?.into_inner())
}

async fn round(person: &Person, id: &str) -> Result<pb::Recertification, Status> {
    let request = pb::GetRecertificationRequest { recertification_id: id.to_owned() };
    Ok(person.rounds().get_recertification(request).await?.into_inner().recertification.unwrap())
}

async fn end(person: &Person, account: &str, role: &str) -> Result<pb::EndMembershipResponse, Status> {
    let request = pb::EndMembershipRequest {
        request_id: call_id(),
        account: account.to_owned(),
        role: role.to_owned(),
        reason: "not in the team any more".to_owned(),
        validate_only: false,
    };
    Ok(person.accounts().end_membership(request).await?.into_inner())
}

#[tokio::test]
async fn each_holder_is_confirmed_by_the_manager_or_ends() {
    // given an engineer of ben's, with a grant
    let broker = Broker::new();
    let (dev, ben) = broker.hired_engineer("dev", "ben").await;
    let (ines, ana) = (broker.person("ines").await, broker.person("ana").await);
    let grant = dev.granted(repair(), &ben).await;
    let due = (now_millis() / 1_000) * 1_000 + 30 * DAY;
    // when somebody who does not answer for the role begins a round, or one that is too short, then it is refused
    let status = start(&ana, "db-engineer", due, false).await.unwrap_err();
    assert!(["NOT_OWNER", "NOT_FOUND"].contains(&crate::person::reason(&status).as_str()), "{status:?}");
    refused(start(&ines, "db-engineer", now_millis() + 60_000, false).await, "DUE_NOT_ALLOWED");
    // when its owner does, then the dry run tells whom it asks about, and changes nothing
    let told = start(&ines, "db-engineer", due, true).await.unwrap();
    assert!(told.recertification.is_none());
    let asked = told.effects.clone().unwrap();
    assert!(asked.changed_memberships.iter().any(|it| it.account == "dev" && it.change == "TO_CONFIRM"));
    let begun = start(&ines, "db-engineer", due, false).await.unwrap();
    assert_eq!(begun.effects.unwrap(), asked);
    let begun = begun.recertification.unwrap();
    // then it says of each since when, by whose approval, the last grant, and when it lapses
    let item = begun.items.iter().find(|item| item.account == "dev").unwrap();
    assert_eq!((item.person.as_str(), &item.approved_by), ("dev", &vec!["ben".to_owned(), "ines".to_owned()]));
    assert!(item.since_time.is_some() && item.end_time.is_some() && !item.enrolment_id.is_empty());
    assert_eq!(item.last_grant_id, grant.id);
    assert!(begun.items.len() > 60, "all engineers");
    // and the membership ends by comparison unless it is confirmed
    let account = dev.account().await;
    assert_eq!(millis(membership(&account, "db-engineer").end_time.as_ref()), due);
    // and ben sees the items that are his to judge, while dev sees no round
    let seen = round(&ben, &begun.id).await.unwrap();
    assert_eq!(seen.items.iter().map(|item| item.account.as_str()).collect::<Vec<_>>(), ["dev"]);
    refused(round(&dev, &begun.id).await, "NOT_FOUND");
    let request = pb::ListRecertificationsRequest { open_only: true, ..Default::default() };
    let listed = ben.rounds().list_recertifications(request).await.unwrap().into_inner().recertifications;
    assert_eq!(listed.iter().map(|it| &it.id).collect::<Vec<_>>(), [&begun.id]);
    // when ben confirms, then it ends when it would have
    refused(confirm(&ana, &begun.id, "dev").await, "NOT_FOUND");
    let done = confirm(&ben, &begun.id, "dev").await.unwrap().recertification.unwrap();
    let item = done.items.iter().find(|item| item.account == "dev").unwrap();
    assert_eq!((item.outcome(), item.confirmer.as_str()), (pb::RecertificationOutcome::Confirmed, "account:ben"));
    let account = dev.account().await;
    let held = membership(&account, "db-engineer");
    assert!(held.confirm_by_time.is_none() && millis(held.end_time.as_ref()) > due);
    // when ines ends another one, then the round says so, and its holder asks for nothing any more
    let effects = end(&ines, "ana", "db-engineer").await.unwrap().effects.unwrap();
    assert_eq!(
        (effects.changed_memberships[0].account.as_str(), effects.changed_memberships[0].change.as_str()),
        ("ana", "ENDED")
    );
    let seen = round(&ines, &begun.id).await.unwrap();
    let item = seen.items.iter().find(|item| item.account == "ana").unwrap();
    assert_eq!(item.outcome(), pb::RecertificationOutcome::Ended);
    refused(ana.request(repair()).await, "NOT_IN_ROLE");
}

#[tokio::test]
async fn nobody_confirms_for_himself_and_nobody_ends_what_is_no_business_of_his() {
    let broker = Broker::new();
    let (omar, ben, ines) = (broker.person("omar").await, broker.person("ben").await, broker.person("ines").await);
    let due = now_millis() + 7 * DAY;
    let begun =
        start(&ines, "incident-commander", (due / 1_000) * 1_000, false).await.unwrap().recertification.unwrap();
    let status = confirm(&ben, &begun.id, "ben").await.unwrap_err();
    assert!(["SELF_APPROVAL", "NOT_FOUND"].contains(&crate::person::reason(&status).as_str()), "{status:?}");
    let status = end(&ben, "sam", "security-duty").await.unwrap_err();
    assert!(["NOT_OWNER", "NOT_FOUND"].contains(&crate::person::reason(&status).as_str()), "{status:?}");
    // a holder gives up his own, and who loads directories may end any
    end(&ben, "ben", "incident-commander").await.unwrap();
    end(&omar, "sam", "security-duty").await.unwrap();
    assert_eq!(ben.account().await.memberships, []);
}
