//! Keeping it: what lapses disables by itself, warnings come ahead, memberships wait unusable, and a renewed attestation
//! with an approved enrolment brings them back (known failures B3 and C9).

use std::sync::Arc;

use countersign::wire::v1 as pb;

use crate::common::certificates::now_millis;
use crate::earlier::Earlier;
use crate::harness::{Broker, Start, eventually};
use crate::life::{ALLOWED, DAY, YEAR, membership, refused, restore, role};
use crate::organisation::{Files, Organisation, days_ago};
use crate::person::{ORDERS, millis, repair};

#[tokio::test]
async fn a_lapsed_baseline_disables_the_account_in_the_middle_of_a_grant_and_restoring_it_takes_an_approval() {
    // given an engineer with a live grant
    let broker = Broker::new();
    let (dev, ben) = broker.hired_engineer("dev", "ben").await;
    let (training, orders) = (broker.person("training-feed").await, broker.person("orders-api").await);
    let grant = dev.granted(repair(), &ben).await;
    assert_eq!(orders.verdict("dev", "db.read", ORDERS).await, ALLOWED);
    // when the training turns out to be of almost a year ago
    let lapses = (now_millis() / 1_000) * 1_000 + 4_000;
    let met = lapses - YEAR;
    let told = training.correct("dev", "annual-training", Some(met), true).await.unwrap().effects.unwrap();
    let done = training.correct("dev", "annual-training", Some(met), false).await.unwrap().effects.unwrap();
    // then the grant is cut to the lapse, as the dry run told
    assert_eq!(told, done);
    let cut = &done.shortened_grants[0];
    assert_eq!((cut.grant_id.as_str(), cut.cause.as_str()), (grant.id.as_str(), "REQUIREMENT_LAPSE"));
    assert_eq!(millis(cut.new_end_time.as_ref()), lapses);
    assert_eq!(orders.verdict("dev", "db.read", ORDERS).await, ALLOWED);
    // and whoami warned
    let ahead = dev.whoami().await.lapses_ahead;
    assert_eq!((ahead[0].kind.as_str(), ahead[0].name.as_str(), ahead[0].days), ("REQUIREMENT", "annual-training", 0));
    // when it lapses, then nobody's call disables the account
    let account = eventually("the account is disabled", async || {
        Some(dev.account().await).filter(|account| account.state() == pb::AccountState::Disabled)
    })
    .await;
    assert_eq!(account.disabled_by, "LAPSE");
    assert!(now_millis() >= lapses);
    // by the journal's own stamp, which may be a little behind the later of both clocks
    let suspended = millis(membership(&account, "db-engineer").suspended_time.as_ref());
    assert!((lapses - 2_000..=lapses).contains(&suspended), "{suspended} is not about {lapses}");
    assert_eq!(orders.verdict("dev", "db.read", ORDERS).await.0, pb::Verdict::Deny);
    refused(dev.request(repair()).await, "ACCOUNT_DISABLED");
    refused(dev.ask(restore()).await, "REQUIREMENT_LAPSED");
    // when it is renewed, then that alone brings nothing back
    training.attest("dev", "annual-training", now_millis() - 1_000).await.unwrap();
    assert_eq!(dev.account().await.state(), pb::AccountState::Disabled);
    refused(dev.request(repair()).await, "ACCOUNT_DISABLED");
    // when restoring is asked for and the manager approves, then all of it is back
    let asked = dev.ask(restore()).await.unwrap();
    let Some(pb::enrolment_ask::Ask::Restore(ask)) = asked.ask.clone().unwrap().ask else { panic!("{asked:?}") };
    assert_eq!((ask.account.as_str(), ask.roles), ("dev", vec!["db-engineer".to_owned()]));
    refused(broker.person("ines").await.approve_enrolment(&asked.id).await, "NOT_FOUND");
    let effects = ben.approve_enrolment(&asked.id).await.unwrap().effects.unwrap();
    assert_eq!(
        (effects.changed_accounts[0].change.as_str(), effects.changed_memberships[0].change.as_str()),
        ("ENABLED", "RESTORED")
    );
    let account = dev.account().await;
    assert_eq!((account.state(), account.disabled_by.as_str()), (pb::AccountState::Active, ""));
    assert!(membership(&account, "db-engineer").suspended_time.is_none());
    dev.granted(repair(), &ben).await;
    assert_eq!(orders.verdict("dev", "db.read", ORDERS).await, ALLOWED);
    assert_eq!(broker.verify().code, Some(0));
}

#[tokio::test]
async fn a_lapsed_requirement_of_a_role_makes_ineligible_in_that_role_alone() {
    // given an engineer whose training as such lapses in a moment
    let broker = Broker::new();
    let (dev, _) = broker.hired_engineer("dev", "ben").await;
    let training = broker.person("training-feed").await;
    let lapses = (now_millis() / 1_000) * 1_000 + 3_000;
    training.correct("dev", "dba-training", Some(lapses - YEAR), false).await.unwrap();
    // when it has lapsed
    let account = eventually("the membership is suspended", async || {
        let account = dev.account().await;
        membership(&account, "db-engineer").suspended_time.is_some().then_some(account)
    })
    .await;
    // then the account is as before, and the role cannot be used
    assert_eq!(account.state(), pb::AccountState::Active);
    assert!(dev.obstacles().await.is_empty());
    let baseline = (pb::Verdict::Allow, pb::CheckReason::Baseline);
    assert_eq!(dev.verdict("dev", "metadata.read", "status/eu").await, baseline);
    let status = dev.request(repair()).await.unwrap_err();
    assert!(["REQUIREMENT_LAPSED", "NOT_ELIGIBLE"].contains(&crate::person::reason(&status).as_str()), "{status:?}");
    // and the role is not had anew by asking for it, before the training is
    refused(dev.ask(role("db-engineer")).await, "REQUIREMENT_LAPSED");
}

#[tokio::test]
async fn attestations_are_each_sources_own_and_none_is_of_the_future_or_of_oneself() {
    let broker = Broker::new();
    let (dev, _) = broker.hired("dev", "ben").await;
    let (noa, training) = (broker.person("noa").await, broker.person("training-feed").await);
    let now = now_millis();
    refused(training.attest("dev", "screening", now - DAY).await, "CAPABILITY_MISSING");
    refused(noa.attest("dev", "annual-training", now - DAY).await, "CAPABILITY_MISSING");
    refused(dev.attest("dev", "annual-training", now - DAY).await, "CAPABILITY_MISSING");
    refused(training.attest("dev", "annual-training", now + DAY).await, "ATTESTATION_INVALID");
    refused(training.correct("dev", "annual-training", Some(now + DAY), false).await, "ATTESTATION_INVALID");
    refused(training.attest("dev", "annual-training", now - 9 * DAY).await, "ATTESTATION_INVALID");
    // noa owns the machine: what it records of her would lift her
    refused(training.attest("noa", "annual-training", now - 1_000).await, "OWN_STANDING");
    refused(noa.attest("noa", "screening", now - 1_000).await, "OWN_STANDING");
    // and a correction that takes one back disables at once
    training.correct("dev", "annual-training", None, false).await.unwrap();
    let who = dev.whoami().await;
    assert_eq!(who.account.unwrap().state(), pb::AccountState::Disabled);
    assert!(who.person.unwrap().attestations.iter().all(|it| it.requirement != "annual-training"));
}

#[tokio::test]
async fn warnings_are_told_ahead_in_the_feed_and_to_whoever_asks() {
    // given a watch of dev's own
    let broker = Broker::new();
    let (dev, ben) = broker.hired("dev", "ben").await;
    let training = broker.person("training-feed").await;
    let mut streams = Vec::new();
    for person in [&dev, &ben] {
        let request = pb::WatchAccountsRequest::default();
        let mut stream = person.accounts().watch_accounts(request).await.unwrap().into_inner();
        assert!(stream.message().await.unwrap().unwrap().event.is_none());
        streams.push(stream);
    }
    // when the training comes to be less than seven days from its lapse
    let met = now_millis() - YEAR + 7 * DAY + 3_000;
    training.correct("dev", "annual-training", Some((met / 1_000) * 1_000), false).await.unwrap();
    // then dev and the manager hear of it, once it is seven days ahead
    for stream in &mut streams {
        let ahead = loop {
            let event = stream.message().await.unwrap().unwrap().event;
            if let Some(ahead) = event.and_then(|event| event.lapse_ahead)
                && ahead.days == 7
            {
                break ahead;
            }
        };
        assert_eq!((ahead.kind.as_str(), ahead.name.as_str()), ("REQUIREMENT", "annual-training"));
    }
    let ahead = dev.whoami().await.lapses_ahead;
    assert_eq!((ahead[0].name.as_str(), ahead[0].days), ("annual-training", 6));
}

#[tokio::test]
async fn after_ninety_days_the_account_can_return_and_its_memberships_are_over() {
    // given two engineers, in a journal that began 95 days ago; the training of one lapsed 93 days ago, of one 80 days ago
    let mut files = Files::example();
    let training = |day: &str| format!("annual-training = {day}, dba-training");
    files.directory = files.directory.replace(&days_ago(2), &days_ago(100));
    let attested = training(&days_ago(100));
    for (name, lapsed) in [("eng01", 93), ("eng02", 80)] {
        let (before, of_person) = files.directory.split_once(&format!("[people.{name}]")).unwrap();
        let of_person = of_person.replacen(&attested, &training(&days_ago(365 + lapsed)), 1);
        files.directory = format!("{before}[people.{name}]{of_person}");
    }
    let organisation = Arc::new(Organisation::with(&files));
    Earlier::begun(&organisation, now_millis() - 95 * DAY).stop();
    // when the broker serves again today, then both are disabled since their lapse, whenever that was recorded
    let broker = Broker::serve(&organisation, &Start::default());
    let (training, ines) = (broker.person("training-feed").await, broker.person("ines").await);
    for (name, restored) in [("eng01", vec![]), ("eng02", vec!["db-engineer"])] {
        let engineer = broker.person(name).await;
        eventually("the lapse is recorded", async || (engineer.account().await.disabled_by == "LAPSE").then_some(()))
            .await;
        // and once the training is renewed, the manager restores the account, with what is not older than 90 days
        training.attest(name, "annual-training", now_millis() - DAY).await.unwrap();
        let asked = engineer.ask(restore()).await.unwrap();
        ines.approve_enrolment(&asked.id).await.unwrap();
        let account = engineer.account().await;
        assert_eq!(account.state(), pb::AccountState::Active);
        let usable = account.memberships.iter().filter(|it| it.suspended_time.is_none()).map(|it| it.role.as_str());
        assert_eq!(usable.collect::<Vec<_>>(), restored, "{name}");
        match engineer.request(repair()).await {
            Ok(_) => assert_eq!(name, "eng02"),
            refusal => drop(refused(refusal, "NOT_IN_ROLE")),
        }
    }
}
