//! Getting an account: who has none by default asks for one, once the baseline is proved; the manager of record approves,
//! and what comes of it reads and cannot be raised (known failures A1, A2, A4 and B6).

use countersign::wire::v1 as pb;
use tonic::{Code, Status};

use crate::common::certificates::now_millis;
use crate::harness::Broker;
use crate::life::{DAY, account, joined, refused};
use crate::organisation::{Files, Organisation, identity};
use crate::person::{Person, at_millis, call_id, reason, repair};

#[tokio::test]
async fn a_person_without_an_account_asks_for_one_and_their_manager_approves() {
    // given pia, who works here, has no account, and lacks a training
    let broker = Broker::new();
    let (pia, ines) = (broker.person("pia").await, broker.person("ines").await);
    let who = pia.whoami().await;
    assert!(who.account.is_none() && who.person.unwrap().id == "pia");
    let obstacles: Vec<String> = who.obstacles.into_iter().map(|it| it.reason).collect();
    assert_eq!(obstacles, ["NO_ACCOUNT", "NOT_ELIGIBLE"]);
    // when she asks all the same, then the dry run tells what is missing, and the request is refused with it
    assert_eq!(pia.ask_dry(account()).await.unwrap(), ["NOT_ELIGIBLE"]);
    let status = refused(pia.ask(account()).await, "NOT_ELIGIBLE");
    assert!(status.message().contains("`annual-training`"), "{status:?}");
    // when the source of that requirement, and no other, has recorded it
    let (training, noa) = (broker.person("training-feed").await, broker.person("noa").await);
    let met = now_millis() - DAY;
    refused(noa.attest("pia", "annual-training", met).await, "CAPABILITY_MISSING");
    training.attest("pia", "annual-training", met).await.unwrap();
    // then she asks, and sees what she asked for, and nobody else who has no part in it does
    let asked = pia.ask(account()).await.unwrap();
    assert_eq!(
        (asked.state(), asked.requester.as_str(), asked.manager.as_str()),
        (pb::EnrolmentState::Pending, "person:pia", "ines")
    );
    assert_eq!(pia.enrolment(&asked.id).await.unwrap(), asked);
    assert_eq!(pia.enrolment_ids(pb::EnrolmentRelation::Requested).await, std::slice::from_ref(&asked.id));
    assert_eq!(pia.whoami().await.pending_enrolments, std::slice::from_ref(&asked.id));
    let ben = broker.person("ben").await;
    refused(ben.enrolment(&asked.id).await, "NOT_FOUND");
    let text = asked.review.clone().unwrap().approval_text;
    refused(ben.approve_enrolment_text(&asked.id, &text, false).await, "NOT_FOUND");
    refused(pia.approve_enrolment_text(&asked.id, &text, false).await, "NO_ACCOUNT");
    refused(pia.ask(account()).await, "ALREADY_PENDING");
    // and who audits sees it and decides nothing
    refused(broker.person("omar").await.approve_enrolment(&asked.id).await, "NOT_AN_APPROVER");
    // when the manager approves exactly that
    assert_eq!(ines.enrolment_ids(pb::EnrolmentRelation::CanReview).await, std::slice::from_ref(&asked.id));
    let other = ines.approve_enrolment_text(&asked.id, &format!("{text} "), false).await;
    refused(other, "DIGEST_MISMATCH");
    let done = ines.approve_enrolment(&asked.id).await.unwrap();
    assert_eq!(done.enrolment.unwrap().state(), pb::EnrolmentState::Approved);
    let created = pb::ChangedAccount { account: "pia".into(), change: "CREATED".into() };
    assert_eq!(done.effects.unwrap().changed_accounts, [created]);
    // then her certificate means the account, and no longer a person without one
    let who = pia.whoami().await;
    let (it, person) = (who.account.unwrap(), who.person.unwrap());
    assert_eq!(
        (it.id.as_str(), it.state(), it.kind()),
        ("pia", pb::AccountState::Active, pb::AccountKind::ServiceTeam)
    );
    assert_eq!((it.identities, it.memberships.len(), person.logins.len()), (vec![identity("pia")], 0, 0));
    assert!(who.obstacles.is_empty() && who.pending_enrolments.is_empty());
    let training = person.attestations.iter().find(|it| it.requirement == "annual-training").unwrap();
    assert_eq!(training.recorded_by, "account:training-feed");
    assert_eq!(pia.enrolment(&asked.id).await.unwrap().state(), pb::EnrolmentState::Approved);
    assert_eq!(broker.verify().code, Some(0));
}

#[tokio::test]
async fn a_new_account_reads_what_the_baseline_allows_and_asks_for_nothing() {
    let broker = Broker::new();
    let (dev, _) = broker.hired("dev", "ines").await;
    // then metadata is allowed by the baseline, and nothing else is
    let baseline = (pb::Verdict::Allow, pb::CheckReason::Baseline);
    assert_eq!(dev.verdict("dev", "metadata.read", "status/eu/db").await, baseline);
    assert_eq!(dev.verdict("dev", "db.read", "prod/eu/db/orders/primary").await.0, pb::Verdict::Deny);
    // and the catalogue and the own history are there to read
    let request = pb::ListEntitlementsRequest::default();
    let offers = dev.elevations().list_entitlements(request).await.unwrap().into_inner().offers;
    assert!(offers.len() >= 3);
    assert!(offers.iter().all(|offer| offer.obstacles.iter().any(|it| it.reason == "NOT_IN_ROLE")));
    assert!(!dev.events(pb::ListEventsRequest::default()).await.is_empty());
    // and no privilege can be asked for
    refused(dev.request(repair()).await, "NOT_IN_ROLE");
}

/// A call under its name, and how it was refused; none: it was answered.
type Called = (&'static str, Option<Status>);

/// What changes something, or would.
async fn changes_by(pia: &Person) -> Vec<Called> {
    let id = call_id;
    let file = |_: ()| tokio_stream::iter(Vec::<pb::ProposeDirectoryRequest>::new());
    let header = pb::ImportHeader {
        request_id: id(),
        place: crate::life::place("people", 1),
        format: pb::PeopleFormat::Csv.into(),
        validate_only: true,
    };
    let piece = pb::ImportPeopleRequest { piece: Some(pb::import_people_request::Piece::Header(header)) };
    let campaign = pb::StartRecertificationRequest {
        request_id: id(),
        role: "db-engineer".into(),
        due_time: at_millis(now_millis() + 9 * DAY),
        validate_only: true,
    };
    let close = pb::CloseAccountRequest { request_id: id(), account: "orders-api".into(), ..Default::default() };
    let end = pb::EndMembershipRequest {
        request_id: id(),
        account: "ana".into(),
        role: "db-engineer".into(),
        ..Default::default()
    };
    vec![
        ("RequestElevation", pia.request(repair()).await.err()),
        ("WithdrawElevation", pia.withdraw(&id()).await.err()),
        ("DenyElevation", pia.deny(&id()).await.err()),
        ("ApproveElevation", pia.approve_text(&id(), "text").await.err()),
        ("RelinquishGrant", pia.relinquish(&id()).await.err()),
        ("RevokeGrant", pia.revoke(&id()).await.err()),
        ("RecordAttestation", pia.attest("pia", "annual-training", now_millis() - DAY).await.err()),
        ("CorrectAttestation", pia.correct("pia", "screening", None, true).await.err()),
        ("EndMembership", pia.accounts().end_membership(end).await.err()),
        ("CloseAccount", pia.accounts().close_account(close).await.err()),
        ("ProposeDirectory", pia.proposals().propose_directory(file(())).await.err()),
        ("ApplyHrEvents", pia.tell(vec![joined("friend", "ines")]).await.err()),
        ("ImportPeople", pia.hr().import_people(tokio_stream::iter([piece])).await.err()),
        ("StartRecertification", pia.campaigns().start_recertification(campaign).await.err()),
    ]
}

/// What only looks.
async fn looks_of(pia: &Person) -> Vec<Called> {
    vec![
        ("CheckAccess", pia.check("pia", "metadata.read", "status/eu").await.err()),
        ("GetElevation", pia.elevation(&call_id()).await.err()),
        ("GetGrant", pia.grant(&call_id()).await.err()),
        ("GetAccount", pia.accounts().get_account(pb::GetAccountRequest { account_id: "ana".into() }).await.err()),
        ("GetPerson", pia.accounts().get_person(pb::GetPersonRequest { person_id: "ana".into() }).await.err()),
        ("GetFeedStatus", pia.feed().await.err()),
        ("GetPolicy", pia.policy().get_policy(pb::GetPolicyRequest::default()).await.err()),
    ]
}

#[tokio::test]
async fn a_person_without_an_account_sees_and_does_nothing_but_ask_for_one() {
    let broker = Broker::new();
    let pia = broker.person("pia").await;
    let before = broker.person("omar").await.events(pb::ListEventsRequest::default()).await;
    // when everything else is called, then it is refused: there is no account, no right to it, or no such thing
    for (call, refusal) in changes_by(&pia).await.into_iter().chain(looks_of(&pia).await) {
        let status = refusal.unwrap_or_else(|| panic!("{call} was answered"));
        let why = reason(&status);
        assert!(
            ["NO_ACCOUNT", "CAPABILITY_MISSING", "NOT_FOUND", "INVALID_MESSAGE"].contains(&why.as_str()),
            "{call}: {status:?}"
        );
        assert!(why != "INVALID_MESSAGE" || call == "ProposeDirectory", "{call}: {status:?}");
    }
    // and lists are empty, but for herself
    let offers = pia.elevations().list_entitlements(pb::ListEntitlementsRequest::default()).await;
    assert!(offers.map_or(true, |page| page.into_inner().offers.is_empty()));
    let elevations = pia.elevations().list_elevations(pb::ListElevationsRequest::default()).await;
    assert!(elevations.map_or(true, |page| page.into_inner().elevations.is_empty()));
    let grants = pia.grants().list_grants(pb::ListGrantsRequest::default()).await;
    assert!(grants.map_or(true, |page| page.into_inner().grants.is_empty()));
    let accounts = pia.accounts().list_accounts(pb::ListAccountsRequest::default()).await;
    assert!(accounts.map_or(true, |page| page.into_inner().accounts.is_empty()));
    let persons = pia.accounts().list_persons(pb::ListPersonsRequest::default()).await;
    let persons = persons.map_or(Vec::new(), |page| page.into_inner().persons);
    assert!(persons.iter().all(|person| person.id == "pia"), "{persons:?}");
    // and nothing came of it but the record of the refusals
    let after = broker.person("omar").await.events(pb::ListEventsRequest::default()).await;
    assert!(after.len() > before.len(), "refusals are on record");
    for event in &after[before.len()..] {
        assert!(event.kind.starts_with("command-refused/") || event.actor == "broker", "{event:?}");
    }
}

#[tokio::test]
async fn without_a_manager_only_those_whom_policy_names_approve() {
    // given somebody without a manager, under a policy that names the people office in a manager's place
    let broker = Broker::new();
    let dev = broker.joined("dev", "").await;
    let asked = dev.ask(account()).await.unwrap();
    refused(broker.person("ines").await.enrolment(&asked.id).await, "NOT_FOUND");
    broker.person("noa").await.approve_enrolment(&asked.id).await.unwrap();
    assert_eq!(dev.account().await.state(), pb::AccountState::Active);
    // given a policy that names nobody
    let mut files = Files::example();
    files.policy = files.policy.replace("manager_missing = [\"people-office\"]", "");
    let strict = Broker::of(Organisation::with(&files));
    let dev = strict.joined("dev", "").await;
    // then nobody could approve, and it is said at once
    refused(dev.ask(account()).await, "NO_APPROVER");
}

#[tokio::test]
async fn nobody_approves_their_own_account_and_one_no_ends_the_request() {
    let broker = Broker::new();
    // given two who asked
    let (first, second) = (broker.joined("first", "ines").await, broker.joined("second", "ines").await);
    let (denied, withdrawn) = (first.ask(account()).await.unwrap(), second.ask(account()).await.unwrap());
    let ines = broker.person("ines").await;
    // when one is denied and the other taken back
    let closed = ines.deny_enrolment(&denied.id).await.unwrap();
    assert_eq!(
        (closed.state(), closed.closing.unwrap().comment.as_str()),
        (pb::EnrolmentState::Denied, "not this quarter")
    );
    let request = pb::WithdrawEnrolmentRequest {
        request_id: call_id(),
        enrolment_id: withdrawn.id.clone(),
        ..Default::default()
    };
    let taken = second.enrolments().withdraw_enrolment(request.clone()).await.unwrap().into_inner();
    assert_eq!(taken.enrolment.unwrap().state(), pb::EnrolmentState::Withdrawn);
    // then neither can be approved any more, a repetition is the same, and no account came of either
    let again = second.enrolments().withdraw_enrolment(request).await.unwrap().into_inner();
    assert_eq!(again.sequence, taken.sequence);
    for id in [&denied.id, &withdrawn.id] {
        refused(ines.approve_enrolment(id).await, "NOT_PENDING");
    }
    assert!(first.whoami().await.account.is_none() && second.whoami().await.account.is_none());
}

#[tokio::test]
async fn a_watch_of_enrolments_tells_each_who_may_see_it() {
    // given pia's own view, her manager's, and one of somebody without a part in it
    let broker = Broker::new();
    let dev = broker.joined("dev", "ines").await;
    let (ines, ben) = (broker.person("ines").await, broker.person("ben").await);
    let mut told = Vec::new();
    for person in [&dev, &ines, &ben] {
        let from = pb::WatchEnrolmentsRequest::default();
        let mut stream = person.enrolments().watch_enrolments(from).await.unwrap().into_inner();
        let first = stream.message().await.unwrap().unwrap();
        assert!(first.event.is_none() && !first.sequence.is_empty());
        told.push(stream);
    }
    // when it is asked for and approved
    let asked = dev.ask(account()).await.unwrap();
    ines.approve_enrolment(&asked.id).await.unwrap();
    // then both hear each step of it, in order
    for stream in &mut told[..2] {
        let mut kinds = Vec::new();
        while kinds.last().is_none_or(|kind| kind != "enrolment-approved") {
            let message = stream.message().await.unwrap().unwrap();
            if let Some(event) = message.event {
                assert_eq!(event.enrolment_id, asked.id);
                kinds.push(event.kind);
            }
        }
        assert_eq!(kinds, ["enrolment-requested", "enrolment-approval-recorded", "enrolment-approved"]);
    }
    // and the third hears that time went on, and nothing else
    let beat = told[2].message().await.unwrap().unwrap();
    assert!(beat.event.is_none(), "{beat:?}");
}

#[tokio::test]
async fn malformed_enrolments_are_refused_with_every_field_that_is_wrong() {
    let broker = Broker::shared();
    let dev = broker.engineer().await;
    let machine = pb::MachineAsk {
        account: "No Such Name".into(),
        identities: vec!["spiffe://northwind.example/service/x".into(), "mailto:x@y".into()],
        audience: vec!["".into()],
        acts_for: 9,
        roles: vec![pb::MachineRole { role: "".into(), end_time: None }],
    };
    let rows: Vec<(Option<pb::enrolment_ask::Ask>, Vec<&str>)> = vec![
        (None, vec!["ask"]),
        (Some(crate::life::role("")), vec!["ask.role.role"]),
        (
            Some(pb::enrolment_ask::Ask::Machine(machine)),
            vec![
                "ask.machine.account",
                "ask.machine.identities[1]",
                "ask.machine.audience[0]",
                "ask.machine.acts_for",
                "ask.machine.roles[0].role",
            ],
        ),
    ];
    for (ask, wanted) in rows {
        let request = pb::RequestEnrolmentRequest {
            request_id: call_id(),
            ask: Some(pb::EnrolmentAsk { ask }),
            ..Default::default()
        };
        let status = dev.enrolments().request_enrolment(request).await.unwrap_err();
        assert_eq!((status.code(), reason(&status).as_str()), (Code::InvalidArgument, "INVALID_MESSAGE"));
        let details = tonic_types::StatusExt::get_details_bad_request(&status).unwrap();
        let fields: Vec<&str> = details.field_violations.iter().map(|it| it.field.as_str()).collect();
        assert_eq!(fields, wanted);
    }
}

#[tokio::test]
async fn what_does_not_fit_a_person_is_refused_naming_it() {
    let broker = Broker::new();
    let (hr, noa) = (broker.person("hr-sync").await, broker.person("noa").await);
    let unknown = noa.attest("nobody", "screening", now_millis() - DAY).await;
    refused(unknown, "PERSON_UNKNOWN");
    let tomorrow = noa.attest("pia", "screening", now_millis() + DAY).await;
    refused(tomorrow, "ATTESTATION_INVALID");
    let own = noa.attest("noa", "screening", now_millis() - 3_600_000).await;
    refused(own, "OWN_STANDING");
    // and an identity that is somebody's is not given to another
    let mut double = joined("double", "ines");
    if let Some(pb::hr_event::Change::Joined(change)) = &mut double.change {
        change.logins = vec![identity("ana")];
    }
    let status = refused(hr.tell(vec![double]).await, "IDENTITY_TAKEN");
    assert!(status.message().contains("ana"), "{status:?}");
}
