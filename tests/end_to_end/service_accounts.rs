//! Service accounts: asked for by an owner who is a person, with the bare minimum; taken over by an approved enrolment, or
//! closed with the owner's leaving; neither old nor new owner approves what it asks (known failures A3 and B9).

use countersign::wire::v1 as pb;
use pb::enrolment_ask::Ask;

use crate::harness::Broker;
use crate::life::{left_urgently, refused, role};
use crate::organisation::identity;
use crate::person::{ORDERS, Person, call_id};

fn machine(name: &str, roles: &[&str]) -> Ask {
    let roles = roles.iter().map(|role| pb::MachineRole { role: (*role).to_owned(), end_time: None });
    Ask::Machine(pb::MachineAsk {
        account: name.to_owned(),
        identities: vec![identity(name)],
        audience: vec!["prod/*/db/orders/**".to_owned()],
        acts_for: pb::ActsFor::Itself.into(),
        roles: roles.collect(),
    })
}

fn take_over(name: &str) -> Ask {
    Ask::TakeOver(pb::TakeOverAsk { account: name.to_owned() })
}

fn deploy() -> pb::RequestElevationRequest {
    pb::RequestElevationRequest {
        request_id: call_id(),
        entitlement: "orders-deploy".to_owned(),
        actions: vec!["deploy.run".to_owned()],
        resources: vec!["prod/eu/apps/orders".to_owned()],
        ..Default::default()
    }
}

async fn close(person: &Person, account: &str) -> Result<pb::CloseAccountResponse, tonic::Status> {
    let request = pb::CloseAccountRequest {
        request_id: call_id(),
        account: account.to_owned(),
        reason: "the service is gone".to_owned(),
        validate_only: false,
    };
    Ok(person.accounts().close_account(request).await?.into_inner())
}

/// A machine that dev owns, who reports to ben: approved by ben, and by the owner of its role.
async fn owned(broker: &Broker, name: &str) -> (Person, Person) {
    let (dev, ben) = broker.hired("dev", "sam").await;
    let asked = dev.ask(machine(name, &["deploy-pipeline"])).await.unwrap();
    ben.approve_enrolment(&asked.id).await.unwrap();
    broker.person("ines").await.approve_enrolment(&asked.id).await.unwrap();
    (dev, broker.person(name).await)
}

#[tokio::test]
async fn an_owner_asks_for_a_machine_with_the_bare_minimum() {
    let broker = Broker::new();
    let (dev, bot) = owned(&broker, "lab-bot").await;
    // then it is the machine's own account, owned by dev, with the one role
    let account = bot.account().await;
    assert_eq!(
        (account.kind(), account.person.as_str(), account.acts_for()),
        (pb::AccountKind::Service, "dev", pb::ActsFor::Itself)
    );
    assert_eq!(account.memberships.iter().map(|it| it.role.as_str()).collect::<Vec<_>>(), ["deploy-pipeline"]);
    assert_eq!(account.audience, ["prod/*/db/orders/**"]);
    assert!(bot.whoami().await.capabilities.is_empty());
    // and a second one of the same id or identity, with a role for people, or that sees into a tenant's space, is refused
    refused(dev.ask(machine("lab-bot", &[])).await, "ALREADY_THERE");
    let Ask::Machine(mut twin) = machine("lab-bot-2", &[]) else { panic!("a machine was made") };
    twin.identities = vec![identity("lab-bot")];
    refused(dev.ask(Ask::Machine(twin)).await, "IDENTITY_TAKEN");
    refused(dev.ask(machine("lab-bot-3", &["incident-commander"])).await, "NOT_IN_ROLE");
    let Ask::Machine(mut wide) = machine("lab-bot-4", &[]) else { panic!("a machine was made") };
    wide.audience = vec!["tenants/acme/**".to_owned()];
    refused(dev.ask(Ask::Machine(wide)).await, "OUT_OF_SCOPE");
    // and a machine asks for no place
    refused(bot.ask(machine("lab-bot-5", &[])).await, "NOT_OWNER");
    // while several of one owner are no matter
    let second = dev.ask(machine("lab-bot-6", &["enforcement-point"])).await.unwrap();
    broker.person("sam").await.approve_enrolment(&second.id).await.unwrap();
    broker.person("omar").await.approve_enrolment(&second.id).await.unwrap();
    let checker = broker.person("lab-bot-6").await;
    assert_eq!(checker.whoami().await.capabilities, ["access.check"]);
    // and what that one may check is as narrow as was asked for and approved
    let denied = |reason| (pb::Verdict::Deny, reason);
    let inside = checker.verdict("ana", "db.read", ORDERS).await;
    assert_eq!(inside, denied(pb::CheckReason::NoGrant));
    let outside = checker.verdict("ana", "db.read", "prod/eu/db/payments/ledger").await;
    assert_eq!(outside, denied(pb::CheckReason::OutOfAudience));
}

#[tokio::test]
async fn neither_the_old_nor_the_new_owner_approves_what_it_asked() {
    // given a machine of dev's, which asked for a deployment
    let broker = Broker::new();
    let (dev, bot) = owned(&broker, "lab-bot").await;
    let (ines, sam) = (broker.person("ines").await, broker.person("sam").await);
    let asked = bot.request(deploy()).await.unwrap();
    // when somebody who approves such requests would take it over, or its owner would come to, then that is a conflict
    refused(broker.person("ben").await.ask(take_over("lab-bot")).await, "ROLE_CONFLICT");
    refused(dev.ask(role("incident-commander")).await, "ROLE_CONFLICT");
    // when an heir takes it over, approved by the heir's manager and the owner of its role
    let (heir, ben) = broker.hired("heir", "ben").await;
    let enrolment = heir.ask(take_over("lab-bot")).await.unwrap();
    refused(dev.approve_enrolment(&enrolment.id).await, "SELF_APPROVAL");
    ben.approve_enrolment(&enrolment.id).await.unwrap();
    ines.approve_enrolment(&enrolment.id).await.unwrap();
    assert_eq!(bot.account().await.person, "heir");
    refused(heir.ask(take_over("lab-bot")).await, "ALREADY_THERE");
    // then the owner before, who may approve such requests from now on, does not approve that one
    let commander = dev.ask(role("incident-commander")).await.unwrap();
    sam.approve_enrolment(&commander.id).await.unwrap();
    ines.approve_enrolment(&commander.id).await.unwrap();
    refused(dev.approve(&asked.id).await, "SELF_APPROVAL");
    // and the new one cannot come to
    refused(heir.ask(role("incident-commander")).await, "ROLE_CONFLICT");
    ben.approve(&asked.id).await.unwrap();
}

#[tokio::test]
async fn a_machine_is_closed_with_its_owners_leaving_unless_it_was_taken_over() {
    // given two machines of dev's, one of which an heir takes over
    let broker = Broker::new();
    let (dev, kept) = owned(&broker, "kept-bot").await;
    let asked = dev.ask(machine("lost-bot", &["deploy-pipeline"])).await.unwrap();
    broker.person("sam").await.approve_enrolment(&asked.id).await.unwrap();
    let ines = broker.person("ines").await;
    ines.approve_enrolment(&asked.id).await.unwrap();
    let lost = broker.person("lost-bot").await;
    let (heir, ben) = broker.hired("heir", "ben").await;
    let taken = heir.ask(take_over("kept-bot")).await.unwrap();
    ben.approve_enrolment(&taken.id).await.unwrap();
    ines.approve_enrolment(&taken.id).await.unwrap();
    let pending = lost.request(deploy()).await.unwrap();
    // when dev leaves at once
    let hr = broker.person("hr-sync").await;
    let done = hr.tell(vec![left_urgently("dev", false)]).await.unwrap().effects.unwrap();
    // then the one is closed with what it asked for, and the other goes on
    let closed = pb::ChangedAccount { account: "lost-bot".into(), change: "CLOSED".into() };
    assert!(done.changed_accounts.contains(&closed), "{done:?}");
    assert_eq!(done.cancelled_elevations.iter().map(|it| &it.elevation_id).collect::<Vec<_>>(), [&pending.id]);
    assert_eq!(lost.obstacles().await, ["NO_ACCOUNT"]);
    assert_eq!(kept.account().await.state(), pb::AccountState::Active);
}

#[tokio::test]
async fn a_service_account_is_closed_by_those_who_answer_for_it_and_for_ever() {
    let broker = Broker::new();
    let (dev, bot) = owned(&broker, "lab-bot").await;
    let status = close(&broker.person("ana").await, "lab-bot").await.unwrap_err();
    assert!(["NOT_OWNER", "NOT_FOUND"].contains(&crate::person::reason(&status).as_str()), "{status:?}");
    close(&dev, "lab-bot").await.unwrap();
    assert_eq!(bot.obstacles().await, ["NO_ACCOUNT"]);
    // and its id is never given again
    refused(dev.ask(machine("lab-bot", &[])).await, "ALREADY_THERE");
    refused(bot.request(deploy()).await, "NO_ACCOUNT");
}
