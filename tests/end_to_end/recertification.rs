//! Recertification: the manager of each holder of a role confirms, or the membership ends (known failure B7).

use std::sync::Arc;

use countersign::domain::record::command::{Command, ConfirmMembership, StartCampaign};
use countersign::domain::record::event::Subject;
use countersign::wire::v1 as pb;
use tonic::Status;

use crate::common::certificates::now_millis;
use crate::earlier::{Earlier, instant};
use crate::harness::{Broker, Start, eventually};
use crate::life::{ALLOWED, DAY, membership, refused};
use crate::organisation::Organisation;
use crate::person::{ORDERS, Person, at_millis, call_id, millis, repair};

async fn start(
    person: &Person,
    role: &str,
    due: i64,
    validate_only: bool,
) -> Result<pb::StartRecertificationResponse, Status> {
    let (role, due_time) = (role.to_owned(), at_millis(due));
    let request = pb::StartRecertificationRequest { request_id: call_id(), role, due_time, validate_only };
    Ok(person.campaigns().start_recertification(request).await?.into_inner())
}

async fn confirm(person: &Person, campaign: &str, account: &str) -> Result<pb::ConfirmMembershipResponse, Status> {
    let request = pb::ConfirmMembershipRequest {
        request_id: call_id(),
        recertification_id: campaign.to_owned(),
        account: account.to_owned(),
        validate_only: false,
    };
    Ok(person.campaigns().confirm_membership(request).await?.into_inner())
}

async fn campaign(person: &Person, id: &str) -> Result<pb::Recertification, Status> {
    let request = pb::GetRecertificationRequest { recertification_id: id.to_owned() };
    Ok(person.campaigns().get_recertification(request).await?.into_inner().recertification.unwrap())
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
    // when somebody who does not answer for the role begins a campaign, or one that is too short, then it is refused
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
    // and ben sees the items that are theirs to judge, while dev sees no campaign
    let seen = campaign(&ben, &begun.id).await.unwrap();
    assert_eq!(seen.items.iter().map(|item| item.account.as_str()).collect::<Vec<_>>(), ["dev"]);
    refused(campaign(&dev, &begun.id).await, "NOT_FOUND");
    let request = pb::ListRecertificationsRequest { open_only: true, ..Default::default() };
    let listed = ben.campaigns().list_recertifications(request).await.unwrap().into_inner().recertifications;
    assert_eq!(listed.iter().map(|it| &it.id).collect::<Vec<_>>(), [&begun.id]);
    // when ben confirms, then it ends when it would have
    refused(confirm(&ana, &begun.id, "dev").await, "NOT_FOUND");
    let done = confirm(&ben, &begun.id, "dev").await.unwrap().recertification.unwrap();
    let item = done.items.iter().find(|item| item.account == "dev").unwrap();
    assert_eq!((item.outcome(), item.confirmer.as_str()), (pb::RecertificationOutcome::Confirmed, "account:ben"));
    let account = dev.account().await;
    let held = membership(&account, "db-engineer");
    assert!(held.confirm_by_time.is_none() && millis(held.end_time.as_ref()) > due);
    // when ines ends another one, then the campaign says so, and its holder asks for nothing any more
    let effects = end(&ines, "ana", "db-engineer").await.unwrap().effects.unwrap();
    assert_eq!(
        (effects.changed_memberships[0].account.as_str(), effects.changed_memberships[0].change.as_str()),
        ("ana", "ENDED")
    );
    let seen = campaign(&ines, &begun.id).await.unwrap();
    let item = seen.items.iter().find(|item| item.account == "ana").unwrap();
    assert_eq!(item.outcome(), pb::RecertificationOutcome::Ended);
    refused(ana.request(repair()).await, "NOT_IN_ROLE");
}

#[tokio::test]
async fn nobody_confirms_for_themselves_and_nobody_ends_what_is_no_business_of_theirs() {
    let broker = Broker::new();
    let (omar, ben, ines) = (broker.person("omar").await, broker.person("ben").await, broker.person("ines").await);
    let due = now_millis() + 7 * DAY;
    let begun =
        start(&ines, "incident-commander", (due / 1_000) * 1_000, false).await.unwrap().recertification.unwrap();
    let status = confirm(&ben, &begun.id, "ben").await.unwrap_err();
    assert!(["SELF_APPROVAL", "NOT_FOUND"].contains(&crate::person::reason(&status).as_str()), "{status:?}");
    let status = end(&ben, "sam", "security-duty").await.unwrap_err();
    assert!(["NOT_OWNER", "NOT_FOUND"].contains(&crate::person::reason(&status).as_str()), "{status:?}");
    // a holder gives up their own, and who proposes directories may end any
    end(&ben, "ben", "incident-commander").await.unwrap();
    end(&omar, "sam", "security-duty").await.unwrap();
    assert_eq!(ben.account().await.memberships, []);
}

#[tokio::test]
async fn what_is_not_confirmed_by_the_date_ends_by_itself_in_the_middle_of_a_grant() {
    // given a campaign that began an hour ago and is due in a moment; ines confirmed one holder, and not another
    let organisation = Arc::new(Organisation::new());
    let due = (now_millis() / 1_000) * 1_000 + 15_000;
    let earlier = Earlier::begun(&organisation, due - 3_600_000);
    let role = "db-engineer".parse().unwrap();
    let begun = earlier.run("ines", Command::from(StartCampaign { role, due: instant(due) })).await;
    let Some(Subject::Campaign(id)) = begun.about else { panic!("about {:?}", begun.about) };
    let confirmed = Command::from(ConfirmMembership { campaign: id, account: "eng01".parse().unwrap() });
    earlier.run("ines", confirmed).await;
    // and both got a grant of an hour, half an hour ago
    earlier.pass_to(due - 1_800_000);
    let (kept, cut) = (earlier.granted("eng01", None).await, earlier.granted("eng02", None).await);
    earlier.stop();
    // when the real broker goes on with it, then both are allowed until then
    let broker = Broker::serve(&organisation, &Start::default());
    let orders = broker.person("orders-api").await;
    for holder in ["eng01", "eng02"] {
        assert_eq!(orders.verdict(holder, "db.read", ORDERS).await, ALLOWED, "{holder}");
    }
    assert!(now_millis() < due, "the broker took too long to start");
    let (first, second) = (broker.person("eng01").await, broker.person("eng02").await);
    assert_eq!(millis(second.grant(&cut).await.unwrap().end_time.as_ref()), due);
    // and from the date on nobody's call ends what nobody confirmed, and nothing else
    eventually("the date has passed", async || {
        (orders.verdict("eng02", "db.read", ORDERS).await.0 == pb::Verdict::Deny).then_some(())
    })
    .await;
    assert!(now_millis() >= due);
    assert_eq!(orders.verdict("eng01", "db.read", ORDERS).await, ALLOWED);
    refused(second.request(repair()).await, "NOT_IN_ROLE");
    let ines = broker.person("ines").await;
    let closed = eventually("the campaign is closed", async || {
        Some(campaign(&ines, &id.to_string()).await.unwrap()).filter(|campaign| campaign.close_time.is_some())
    })
    .await;
    let outcome = |account: &str| closed.items.iter().find(|item| item.account == account).unwrap().outcome();
    use pb::RecertificationOutcome::{Confirmed, Ended};
    assert_eq!((outcome("eng01"), outcome("eng02"), outcome("ana")), (Confirmed, Ended, Ended));
    assert_eq!(second.account().await.memberships, []);
    assert!(membership(&first.account().await, "db-engineer").confirm_by_time.is_none());
    assert_eq!(millis(first.grant(&kept).await.unwrap().end_time.as_ref()), due + 1_800_000);
    // and it cannot be confirmed any more
    refused(confirm(&ines, &id.to_string(), "eng02").await, "CAMPAIGN_OVER");
    assert_eq!(broker.verify().code, Some(0));
}
