//! Moving and leaving: a transfer cuts, the new manager alone can keep; the last day ends everything, urgently at once; who
//! comes back starts with nothing, and an address means nobody for ever (known failures B1, B2, B3 and B5).

use countersign::wire::v1 as pb;
use sha2::Digest as _;

use crate::common::certificates::now_millis;
use crate::harness::{Broker, eventually};
use crate::life::{ALLOWED, DAY, account, event, joined, keep, left, left_urgently, membership, moved, refused, role};
use crate::organisation::{Files, Organisation};
use crate::person::{ORDERS, millis, repair};

#[tokio::test]
async fn a_transfer_cuts_to_the_grace_and_only_the_new_manager_keeps() {
    // given ben's engineer, with a grant and a pending enrolment
    let broker = Broker::new();
    let (dev, ben) = broker.hired_engineer("dev", "ben").await;
    let (sam, hr, orders) =
        (broker.person("sam").await, broker.person("hr-sync").await, broker.person("orders-api").await);
    dev.granted(repair(), &ben).await;
    let before = millis(membership(&dev.account().await, "db-engineer").end_time.as_ref());
    let pending = dev.ask(role("auditor")).await.unwrap();
    refused(dev.ask(keep("db-engineer")).await, "NOTHING_TO_KEEP");
    // when dev is transferred to sam
    let done = hr.tell(vec![moved("dev", "sam", None)]).await.unwrap().effects.unwrap();
    // then what was pending at the old manager is cancelled, and the membership ends with the grace
    let cancelled = pb::CancelledEnrolment {
        enrolment_id: pending.id.clone(),
        person: "dev".into(),
        cause: "MANAGER_CHANGED".into(),
    };
    assert_eq!(done.cancelled_enrolments, [cancelled]);
    assert_eq!(done.changed_memberships.iter().map(|it| it.change.as_str()).collect::<Vec<_>>(), ["CUT"]);
    let it = dev.account().await;
    let held = membership(&it, "db-engineer");
    let end = millis(held.end_time.as_ref());
    assert!(held.cut_by_transfer && (end - now_millis() - 14 * DAY).abs() < 60_000);
    assert_eq!(dev.whoami().await.person.unwrap().manager, "sam");
    assert_eq!(orders.verdict("dev", "db.read", ORDERS).await, ALLOWED, "the grant is shorter than the grace");
    // when keeping it is asked for, then the old manager is nobody any more and the new one gives back what it was
    let asked = dev.ask(keep("db-engineer")).await.unwrap();
    refused(ben.approve_enrolment(&asked.id).await, "NOT_FOUND");
    sam.approve_enrolment(&asked.id).await.unwrap();
    let it = dev.account().await;
    let held = membership(&it, "db-engineer");
    assert_eq!((millis(held.end_time.as_ref()), held.cut_by_transfer), (before, false));
    assert_eq!(held.approved_by, ["sam"]);
}

#[tokio::test]
async fn a_transfer_cuts_grants_to_it_and_to_somebody_unknown_nothing_can_be_kept() {
    // given a policy whose grace is short
    let mut files = Files::example();
    files.policy = files.policy.replace("transfer_grace = \"14d\"", "transfer_grace = \"3s\"");
    let broker = Broker::of(Organisation::with(&files));
    let (dev, ben) = broker.hired_engineer("dev", "ben").await;
    let (hr, orders) = (broker.person("hr-sync").await, broker.person("orders-api").await);
    let grant = dev.granted(repair(), &ben).await;
    // when dev moves to somebody whom nobody knows
    let done = hr.tell(vec![moved("dev", "nobody-yet", None)]).await.unwrap().effects.unwrap();
    // then the grant is cut, and nobody could keep anything
    assert_eq!(
        (done.shortened_grants[0].grant_id.as_str(), done.shortened_grants[0].cause.as_str()),
        (grant.id.as_str(), "MEMBERSHIP_END")
    );
    let person = dev.whoami().await.person.unwrap();
    assert!(person.manager.is_empty() && person.awaits_manager);
    refused(dev.ask(keep("db-engineer")).await, "NO_APPROVER");
    // and at its end the membership is over, whatever was allowed
    eventually("the grace is over", async || {
        (orders.verdict("dev", "db.read", ORDERS).await.0 == pb::Verdict::Deny).then_some(())
    })
    .await;
    refused(dev.request(repair()).await, "NOT_IN_ROLE");
    assert_eq!(dev.grant(&grant.id).await.unwrap().state(), pb::GrantState::Ended);
}

#[tokio::test]
async fn an_announced_transfer_cuts_at_once_and_takes_effect_at_its_instant_without_anybodys_call() {
    let broker = Broker::new();
    let (dev, ben) = broker.hired_engineer("dev", "ben").await;
    let (sam, hr) = (broker.person("sam").await, broker.person("hr-sync").await);
    let at = (now_millis() / 1_000) * 1_000 + 4_000;
    // when HR announces it, then what is held ends with the grace after that instant, and ben is the manager till then
    hr.tell(vec![moved("dev", "sam", Some(at))]).await.unwrap();
    assert_eq!(millis(membership(&dev.account().await, "db-engineer").end_time.as_ref()), at + 14 * DAY);
    assert_eq!(dev.whoami().await.person.unwrap().manager, "ben");
    let asked = dev.ask(role("auditor")).await.unwrap();
    // when its instant comes, then what waited for ben is cancelled, and sam decides
    eventually("the transfer takes effect", async || {
        (dev.whoami().await.person.unwrap().manager == "sam").then_some(())
    })
    .await;
    assert!(now_millis() >= at);
    let cancelled = eventually("what waited is cancelled", async || {
        Some(dev.enrolment(&asked.id).await.unwrap()).filter(|it| it.state() == pb::EnrolmentState::Cancelled)
    })
    .await;
    assert_eq!(cancelled.closing.unwrap().cause, "MANAGER_CHANGED");
    let keeps = dev.ask(keep("db-engineer")).await.unwrap();
    refused(ben.approve_enrolment(&keeps.id).await, "NOT_FOUND");
    sam.approve_enrolment(&keeps.id).await.unwrap();
    assert!(millis(membership(&dev.account().await, "db-engineer").end_time.as_ref()) > at + 15 * DAY);
}

#[tokio::test]
async fn the_last_day_cuts_what_is_held_and_ends_everything_at_its_instant() {
    let broker = Broker::new();
    let (dev, ben) = broker.hired_engineer("dev", "ben").await;
    let (hr, orders) = (broker.person("hr-sync").await, broker.person("orders-api").await);
    let grant = dev.granted(repair(), &ben).await;
    // when HR says that dev leaves in a moment
    let at = (now_millis() / 1_000) * 1_000 + 3_000;
    let done = hr.tell(vec![left("dev", Some(at))]).await.unwrap().effects.unwrap();
    // then the grant ends then, and until then it goes on
    let cut = &done.shortened_grants[0];
    assert_eq!(
        (cut.grant_id.as_str(), millis(cut.new_end_time.as_ref()), cut.cause.as_str()),
        (grant.id.as_str(), at, "EMPLOYMENT_END")
    );
    assert_eq!(orders.verdict("dev", "db.read", ORDERS).await, ALLOWED);
    let who = dev.whoami().await;
    assert!(who.lapses_ahead.iter().any(|it| it.kind == "EMPLOYMENT" && millis(it.time.as_ref()) == at), "{who:?}");
    // and at it the account is disabled, without a role
    let gone = eventually("the account is disabled", async || {
        Some(dev.account().await).filter(|account| account.state() == pb::AccountState::Disabled)
    })
    .await;
    assert_eq!((gone.disabled_by.as_str(), gone.memberships.len()), ("TERMINATION", 0));
    assert!(now_millis() >= at);
    assert_eq!(orders.verdict("dev", "db.read", ORDERS).await.0, pb::Verdict::Deny);
    refused(dev.request(repair()).await, "ACCOUNT_DISABLED");
}

#[tokio::test]
async fn a_last_day_ahead_can_be_taken_back_and_no_end_moves_later() {
    let broker = Broker::new();
    let (dev, ben, hr) = (broker.engineer().await, broker.person("ben").await, broker.person("hr-sync").await);
    let grant = dev.granted(repair(), &ben).await;
    // when dev is to leave in five minutes, and then stays
    let at = (now_millis() / 1_000) * 1_000 + 300_000;
    hr.tell(vec![left(&dev.name, Some(at))]).await.unwrap();
    let person = dev.whoami().await.person.unwrap();
    assert_eq!(millis(person.employment_end_time.as_ref()), at);
    hr.tell(vec![event(&dev.name, pb::hr_event::Change::Stays(pb::Stays {}))]).await.unwrap();
    // then there is no last day, and the grant that was cut stays so
    assert!(dev.whoami().await.person.unwrap().employment_end_time.is_none());
    assert_eq!(millis(dev.grant(&grant.id).await.unwrap().end_time.as_ref()), at);
}

#[tokio::test]
async fn an_urgent_termination_in_the_middle_of_a_grant_is_at_once_for_holder_and_approver() {
    // given two engineers with grants that ben approved, and a request that waits for ben
    let broker = Broker::new();
    let (dev, ben) = broker.hired_engineer("dev", "sam").await;
    let (other, hr, orders) =
        (broker.engineer().await, broker.person("hr-sync").await, broker.person("orders-api").await);
    assert_eq!(ben.name, "sam");
    let ben = broker.person("ben").await;
    let (of_dev, of_other) = (dev.granted(repair(), &ben).await, other.granted(repair(), &ben).await);
    // when dev leaves at once, then the very next check denies
    let done = hr.tell(vec![left_urgently("dev", false)]).await.unwrap().effects.unwrap();
    assert_eq!(orders.verdict("dev", "db.read", ORDERS).await.0, pb::Verdict::Deny);
    assert_eq!(done.revoked_grants.iter().map(|it| &it.grant_id).collect::<Vec<_>>(), [&of_dev.id]);
    assert_eq!(dev.account().await.disabled_by, "TERMINATION");
    assert_eq!(orders.verdict(&other.name, "db.read", ORDERS).await, ALLOWED);
    // when the approver leaves as well, with what they approved
    let done = hr.tell(vec![left_urgently("ben", true)]).await.unwrap().effects.unwrap();
    let revoked: Vec<(&str, &str)> =
        done.revoked_grants.iter().map(|it| (it.grant_id.as_str(), it.cause.as_str())).collect();
    assert_eq!(revoked, [(of_other.id.as_str(), "APPROVER_LEFT")]);
    assert_eq!(orders.verdict(&other.name, "db.read", ORDERS).await.0, pb::Verdict::Deny);
    // and saying it again changes nothing
    hr.tell(vec![left_urgently("dev", false)]).await.unwrap();
    refused(hr.tell(vec![left_urgently("never-seen", false)]).await, "PERSON_UNKNOWN");
}

#[tokio::test]
async fn who_comes_back_starts_with_nothing_and_an_address_means_whoever_has_it_now() {
    // given an engineer who left
    let broker = Broker::new();
    let (dev, _) = broker.hired_engineer("dev", "ben").await;
    let hr = broker.person("hr-sync").await;
    hr.tell(vec![left("dev", None)]).await.unwrap();
    assert_eq!(dev.account().await.state(), pb::AccountState::Disabled);
    // when dev comes back, then there is neither account nor attestation
    hr.tell(vec![joined("dev", "ben")]).await.unwrap();
    let who = dev.whoami().await;
    assert!(who.account.is_none());
    assert_eq!(who.person.unwrap().attestations, []);
    refused(dev.ask(account()).await, "NOT_ELIGIBLE");
    refused(hr.tell(vec![joined("dev", "ben")]).await, "PERSON_KNOWN");
    // when dev leaves again, and another person gets that address
    hr.tell(vec![left("dev", None)]).await.unwrap();
    let mut successor = joined("dev-two", "ben");
    if let Some(pb::hr_event::Change::Joined(change)) = &mut successor.change {
        change.logins = vec![crate::organisation::identity("dev")];
    }
    let told = hr.tell(vec![successor]).await.unwrap();
    // then that waits for somebody who lets it go: it was dev's a moment ago
    assert!(dev.whoami().await.person.is_none());
    let noa = broker.person("noa").await;
    let hold = noa.feed().await.unwrap().holds.remove(0);
    assert_eq!(told.hold_id, hold.id);
    let release = pb::ReleaseBrakeRequest {
        request_id: crate::person::call_id(),
        hold_id: hold.id.clone(),
        digest: sha2::Sha256::digest(&hold.events_json).to_vec(),
        reason: "the address is theirs now".into(),
        ..Default::default()
    };
    noa.hr().release_brake(release).await.unwrap();
    // and then the certificate means that person
    let who = dev.whoami().await;
    assert!(who.account.is_none());
    assert_eq!(who.person.unwrap().id, "dev-two");
}

#[tokio::test]
async fn who_comes_back_and_is_hired_anew_has_another_account_and_nothing_of_the_old_one() {
    // given an engineer with a live grant, who left and came back
    let broker = Broker::new();
    let (dev, ben) = broker.hired_engineer("dev", "ben").await;
    let grant = dev.granted(repair(), &ben).await;
    let (hr, orders) = (broker.person("hr-sync").await, broker.person("orders-api").await);
    hr.tell(vec![left_urgently("dev", false)]).await.unwrap();
    // when everything is proved anew, and the manager approves
    let (dev, ben) = broker.hired("dev", "ben").await;
    // then it is another account, with the certificate of the person and no role
    let account = dev.account().await;
    assert_eq!((account.id.as_str(), account.memberships.len()), ("dev-2", 0));
    let omar = broker.person("omar").await;
    let old = omar.accounts().get_account(pb::GetAccountRequest { account_id: "dev".into() }).await.unwrap();
    let old = old.into_inner().account.unwrap();
    assert_eq!((old.state(), old.identities.len()), (pb::AccountState::Closed, 0));
    // and neither the certificate nor any of the names is allowed what the old account was
    let certificate = crate::organisation::identity("dev");
    for subject in ["dev", "dev-2", &certificate] {
        assert_eq!(orders.verdict(subject, "db.read", ORDERS).await.0, pb::Verdict::Deny, "{subject}");
    }
    refused(dev.request(repair()).await, "NOT_IN_ROLE");
    assert_eq!(omar.grant(&grant.id).await.unwrap().state(), pb::GrantState::Revoked);
    // and the next approval of a role begins it anew
    broker.person("training-feed").await.attest("dev", "dba-training", now_millis() - DAY).await.unwrap();
    let asked = dev.ask(role("db-engineer")).await.unwrap();
    ben.approve_enrolment(&asked.id).await.unwrap();
    broker.person("ines").await.approve_enrolment(&asked.id).await.unwrap();
    dev.granted(repair(), &ben).await;
    assert_eq!(orders.verdict(&certificate, "db.read", ORDERS).await, ALLOWED);
    assert_eq!(orders.verdict("dev", "db.read", ORDERS).await.0, pb::Verdict::Deny);
}

#[tokio::test]
async fn a_rename_moves_the_identity_of_the_account_and_a_circle_of_managers_is_refused() {
    let broker = Broker::new();
    let (dev, _) = broker.hired("dev", "ben").await;
    let hr = broker.person("hr-sync").await;
    let renamed = pb::Renamed { logins: vec![crate::organisation::identity("devi")] };
    hr.tell(vec![crate::life::event("dev", pb::hr_event::Change::Renamed(renamed))]).await.unwrap();
    // then the new certificate is dev's account, and the old one is nobody's
    let devi = broker.person("devi").await;
    assert_eq!(devi.account().await.id, "dev");
    assert_eq!(dev.obstacles().await, ["NO_ACCOUNT"]);
    // and nobody becomes their own manager
    let status = refused(hr.tell(vec![moved("ben", "dev", None)]).await, "MANAGER_CYCLE");
    assert!(status.message().contains("`dev`") || status.message().contains("`ben`"), "{status:?}");
    // and one wrong event among several changes nothing
    let several = vec![moved("dev", "sam", None), left("never-seen", None)];
    refused(hr.tell(several).await, "PERSON_UNKNOWN");
    assert_eq!(devi.whoami().await.person.unwrap().manager, "ben");
}
