//! A call that is sent again under its `request_id` is told what the first was told, also when its caller has lost sight of what
//! it was about since (known failure A18). Every call that changes something is here; and each of their rows says who called, by
//! which certificate and from where (known failure B15).

use std::collections::BTreeSet;
use std::pin::Pin;

use countersign::wire::{DESCRIPTOR_SET, v1 as pb};
use pb::lock_service_client::LockServiceClient;
use pb::token_service_client::TokenServiceClient;
use prost::Message as _;
use prost_types::{DescriptorProto, FileDescriptorSet};
use sha2::{Digest, Sha256};
use tonic::Status;

use crate::common::certificates::now_millis;
use crate::harness::Broker;
use crate::hr_feed::{everybody, header, json_lines};
use crate::life::{DAY, account, event, left, moved, place, role};
use crate::organisation::identity;
use crate::person::{Person, at_millis, call_id, repair};

/// What a call was told: what it was about, and all else.
#[derive(Debug, PartialEq)]
struct Told {
    about: String,
    rest: String,
}

type Again = Pin<Box<dyn Future<Output = Result<Told, Status>>>>;

/// A call that was answered, and the same call again.
struct Call {
    name: &'static str,
    caller: String,
    sequence: String,
    first: Told,
    again: Box<dyn Fn() -> Again>,
}

/// Of these who called is shown the thing for good: as it is by now.
const SEEN_STILL: [&str; 14] = [
    "request_elevation",
    "approve_elevation",
    "deny_elevation",
    "withdraw_elevation",
    "complete_follow_up",
    "relinquish_grant",
    "issue_grant_token",
    "request_enrolment",
    "approve_enrolment",
    "deny_enrolment",
    "withdraw_enrolment",
    "propose_policy",
    "propose_directory",
    "start_recertification",
];

/// What is told, apart from the things in the fields that are named.
macro_rules! told {
    ($response:expr $(, $about:ident)*) => {{
        #[allow(unused_mut, reason = "some calls are about nothing that is told")]
        let mut response = $response;
        let about: Vec<String> = vec![$(format!("{:?}", std::mem::take(&mut response.$about))),*];
        Told { about: about.join(" "), rest: format!("{response:?}") }
    }};
}

/// Makes a call, notes what it was told and how to make it again, and gives its answer. A request of many pieces is a list.
macro_rules! call {
    ($calls:ident, $caller:ident, $client:expr, $method:ident, stream $request:expr $(, $about:ident)*) => {
        call!(@ $calls, $caller, $client, $method, $request, tokio_stream::iter, $($about),*)
    };
    ($calls:ident, $caller:ident, $client:expr, $method:ident, $request:expr $(, $about:ident)*) => {
        call!(@ $calls, $caller, $client, $method, $request, tonic::Request::new, $($about),*)
    };
    (@ $calls:ident, $caller:ident, $client:expr, $method:ident, $request:expr, $sent:expr, $($about:ident),*) => {{
        let (client, request) = ($client, $request);
        let first = client.clone().$method($sent(request.clone())).await;
        let first = first.unwrap_or_else(|status| panic!("{}: {status:?}", stringify!($method))).into_inner();
        let again = move || -> Again {
            let (mut client, request) = (client.clone(), request.clone());
            Box::pin(async move { Ok(told!(client.$method($sent(request)).await?.into_inner() $(, $about)*)) })
        };
        $calls.push(Call {
            name: stringify!($method),
            caller: $caller.name.clone(),
            sequence: first.sequence.clone(),
            first: told!(first.clone() $(, $about)*),
            again: Box::new(again),
        });
        first
    }};
}

fn why() -> String {
    "for this test".to_owned()
}

fn digest(text: impl AsRef<[u8]>) -> Vec<u8> {
    Sha256::digest(text).to_vec()
}

fn end(account: &str, role: &str) -> pb::EndMembershipRequest {
    pb::EndMembershipRequest {
        request_id: call_id(),
        account: account.to_owned(),
        role: role.to_owned(),
        reason: why(),
        validate_only: false,
    }
}

/// What people ask for and decide.
async fn requests_and_grants(broker: &Broker, calls: &mut Vec<Call>) {
    let (ana, ben, sam) = (broker.person("ana").await, broker.person("ben").await, broker.person("sam").await);
    let (eng01, eng02, eng03) =
        (broker.person("eng01").await, broker.person("eng02").await, broker.person("eng03").await);
    let asked = pb::RequestElevationRequest { request_id: call_id(), ..repair() };
    let elevation = call!(calls, ana, ana.elevations(), request_elevation, asked, elevation).elevation.unwrap();
    let approval = pb::ApproveElevationRequest {
        request_id: call_id(),
        elevation_id: elevation.id.clone(),
        approval_digest: digest(&elevation.review.unwrap().approval_text),
        comment: String::new(),
    };
    let grant = call!(calls, ben, ben.elevations(), approve_elevation, approval, elevation, grant).grant.unwrap();
    let denied = eng01.request(repair()).await.unwrap();
    let denial = pb::DenyElevationRequest { request_id: call_id(), elevation_id: denied.id, reason: why() };
    call!(calls, ben, ben.elevations(), deny_elevation, denial, elevation);
    let withdrawn = eng02.request(repair()).await.unwrap();
    let withdrawal = pb::WithdrawElevationRequest { request_id: call_id(), elevation_id: withdrawn.id };
    call!(calls, eng02, eng02.elevations(), withdraw_elevation, withdrawal, elevation);
    let given_up = eng03.granted(repair(), &ben).await;
    let giving = pb::RelinquishGrantRequest { request_id: call_id(), grant_id: given_up.id };
    call!(calls, eng03, eng03.grants(), relinquish_grant, giving, grant);
    // whoever may revoke sees nothing else
    let revocation = pb::RevokeGrantRequest { request_id: call_id(), grant_id: grant.id, reason: why() };
    call!(calls, sam, sam.grants(), revoke_grant, revocation, grant);
    // a token is signed again while its grant stands, and no longer: `end_to_end::tokens`
    let eng05 = broker.person("eng05").await;
    let held = eng05.granted(repair(), &ben).await;
    let asked = pb::IssueGrantTokenRequest {
        request_id: call_id(),
        grant_id: held.id,
        audience: "orders-api".to_owned(),
        lifetime: None,
    };
    call!(calls, eng05, TokenServiceClient::new(eng05.channel.clone()), issue_grant_token, asked);
    let urgent = pb::RequestElevationRequest { emergency: true, ..repair() };
    let urgent = eng03.request(urgent).await.unwrap();
    sam.approve(&urgent.id).await.unwrap();
    let completion = pb::CompleteFollowUpRequest {
        request_id: call_id(),
        elevation_id: urgent.id,
        approval_digest: digest(&urgent.review.unwrap().approval_text),
        finding: pb::FollowUpFinding::Justified.into(),
        comment: why(),
    };
    call!(calls, ben, ben.elevations(), complete_follow_up, completion, elevation);
}

async fn locks(broker: &Broker, calls: &mut Vec<Call>) {
    let sam = broker.person("sam").await;
    let person = pb::lock_target::Target::Person("eng02".to_owned());
    let lock = pb::CreateLockRequest {
        request_id: call_id(),
        target: Some(pb::LockTarget { target: Some(person) }),
        mode: pb::LockMode::Suspend.into(),
        reason: why(),
        ..Default::default()
    };
    let client = LockServiceClient::new(sam.channel.clone());
    let lock = call!(calls, sam, client.clone(), create_lock, lock, lock).lock.unwrap();
    let lifting = pb::DeleteLockRequest { request_id: call_id(), lock_id: lock.id, reason: why() };
    call!(calls, sam, client, delete_lock, lifting);
}

fn asking(ask: pb::enrolment_ask::Ask) -> pb::RequestEnrolmentRequest {
    let ask = Some(pb::EnrolmentAsk { ask: Some(ask) });
    pb::RequestEnrolmentRequest { request_id: call_id(), ask, justification: why(), validate_only: false }
}

/// A person without an account asks for one and gets it, and is somebody with an account when they ask again.
async fn enrolments(broker: &Broker, calls: &mut Vec<Call>) {
    let (dev, ben) = (broker.joined("dev", "ben").await, broker.person("ben").await);
    let asked = call!(calls, dev, dev.enrolments(), request_enrolment, asking(account()), enrolment);
    let enrolment = asked.enrolment.unwrap();
    let approval = pb::ApproveEnrolmentRequest {
        request_id: call_id(),
        enrolment_id: enrolment.id,
        approval_digest: digest(&enrolment.review.unwrap().approval_text),
        comment: String::new(),
        validate_only: false,
    };
    call!(calls, ben, ben.enrolments(), approve_enrolment, approval, enrolment);
    let asked = dev.ask(role("security-duty")).await.unwrap();
    let denial =
        pb::DenyEnrolmentRequest { request_id: call_id(), enrolment_id: asked.id, reason: why(), validate_only: false };
    call!(calls, ben, ben.enrolments(), deny_enrolment, denial, enrolment);
    let asked = dev.ask(role("people-office")).await.unwrap();
    let withdrawal = pb::WithdrawEnrolmentRequest {
        request_id: call_id(),
        enrolment_id: asked.id,
        reason: why(),
        validate_only: false,
    };
    call!(calls, dev, dev.enrolments(), withdraw_enrolment, withdrawal, enrolment);
}

async fn people(broker: &Broker, calls: &mut Vec<Call>) {
    let (noa, ines, hr) = (broker.person("noa").await, broker.person("ines").await, broker.person("hr-sync").await);
    let met = pb::RecordAttestationRequest {
        request_id: call_id(),
        person: "eng03".to_owned(),
        requirement: "screening".to_owned(),
        met_time: at_millis(now_millis() - DAY),
        evidence: why(),
        validate_only: false,
    };
    call!(calls, noa, noa.accounts(), record_attestation, met, person);
    let corrected = pb::CorrectAttestationRequest {
        request_id: call_id(),
        person: "eng04".to_owned(),
        requirement: "screening".to_owned(),
        met_time: None,
        reason: why(),
        validate_only: false,
    };
    call!(calls, noa, noa.accounts(), correct_attestation, corrected, person);
    let moving = vec![moved("eng03", "ben", None), moved("dev", "ines", None)];
    let place = place("joiners", 1);
    let told = pb::ApplyHrEventsRequest { request_id: call_id(), place, events: moving, validate_only: false };
    let told = call!(calls, hr, hr.hr(), apply_hr_events, told);
    assert!(!told.effects.unwrap().changed_memberships.is_empty());
    let closing = pb::CloseAccountRequest {
        request_id: call_id(),
        account: "deploy-bot".to_owned(),
        reason: why(),
        validate_only: false,
    };
    call!(calls, ines, ines.accounts(), close_account, closing, account);
    call!(calls, ines, ines.accounts(), end_membership, end("eng01", "db-engineer"), account);
    let campaign = pb::StartRecertificationRequest {
        request_id: call_id(),
        role: "db-engineer".to_owned(),
        due_time: at_millis(now_millis() / 1_000 * 1_000 + 30 * DAY),
        validate_only: false,
    };
    let campaign = call!(calls, ines, ines.campaigns(), start_recertification, campaign, recertification);
    let confirmation = pb::ConfirmMembershipRequest {
        request_id: call_id(),
        recertification_id: campaign.recertification.unwrap().id,
        account: "eng03".to_owned(),
        validate_only: false,
    };
    let ben = broker.person("ben").await;
    call!(calls, ben, ben.campaigns(), confirm_membership, confirmation, recertification);
}

/// What HR's files say, what waits for a person, and a stream that comes no more.
async fn feeds(broker: &Broker, calls: &mut Vec<Call>) {
    use pb::import_people_request::Piece;
    let (noa, hr) = (broker.person("noa").await, broker.person("hr-sync").await);
    let mut lines = everybody();
    lines.extend([("new", "ben"), ("dev", "ines")].map(|(id, manager)| (id.into(), manager.into(), identity(id))));
    let text = json_lines(&lines).into_bytes();
    let pieces = [Piece::Header(header(1, pb::PeopleFormat::JsonLines, false)), Piece::Chunk(text)];
    let pieces = pieces.map(|piece| pb::ImportPeopleRequest { piece: Some(piece) });
    let imported = call!(calls, hr, hr.hr(), import_people, stream pieces);
    assert!(imported.applied_count > 0 && imported.mistakes.is_empty(), "{imported:?}");
    let known_as = |person: &str, name: &str| {
        event(person, pb::hr_event::Change::Renamed(pb::Renamed { logins: vec![identity(name)] }))
    };
    let hold_id = hr.tell(vec![known_as("eng11", "parked"), known_as("eng10", "eng11")]).await.unwrap().hold_id;
    let hold = noa.feed().await.unwrap().holds.into_iter().find(|hold| hold.id == hold_id).unwrap();
    let release = pb::ReleaseBrakeRequest {
        request_id: call_id(),
        hold_id,
        digest: digest(&hold.events_json),
        discard: false,
        reason: why(),
        validate_only: false,
    };
    call!(calls, noa, noa.hr(), release_brake, release);
    let retirement = pb::RetireStreamRequest {
        request_id: call_id(),
        stream: "joiners".to_owned(),
        reason: why(),
        validate_only: false,
    };
    call!(calls, noa, noa.hr(), retire_stream, retirement);
}

fn proposing(text: &str, replaces: &str) -> (pb::ProposalHeader, Vec<Vec<u8>>) {
    let header = pb::ProposalHeader { request_id: call_id(), replaces_digest: digest(replaces), ..Default::default() };
    (header, text.as_bytes().chunks(20_000).map(<[u8]>::to_vec).collect())
}

/// A directory is approved, another denied, another withdrawn.
async fn directories(broker: &Broker, calls: &mut Vec<Call>) {
    use pb::propose_directory_request::Piece;
    let (omar, vera) = (broker.person("omar").await, broker.person("vera").await);
    let directory = std::fs::read_to_string(broker.organisation.path("directory.toml")).unwrap();
    let without = directory.replace("roles = [\"tenant-approver\"]", "roles = []");
    assert_ne!(without, directory);
    let proposal = omar.propose_directory(&directory, &without).await;
    let approval = pb::ApproveProposalRequest {
        request_id: call_id(),
        proposal_id: proposal.id,
        approval_digest: digest(&proposal.review.unwrap().approval_text),
        ..Default::default()
    };
    call!(calls, vera, vera.proposals(), approve_proposal, approval, proposal);
    let other = without.replace("roles = [\"tenant-feed\"]", "roles = []");
    assert_ne!(other, without);
    let (header, chunks) = proposing(&other, &without);
    let pieces = [Piece::Header(header)].into_iter().chain(chunks.into_iter().map(Piece::Chunk));
    let pieces: Vec<_> = pieces.map(|piece| pb::ProposeDirectoryRequest { piece: Some(piece) }).collect();
    let made = call!(calls, omar, omar.proposals(), propose_directory, stream pieces, proposal);
    assert!(made.effects.unwrap() != pb::Effects::default() && !made.rights.is_empty());
    let denial = pb::DenyProposalRequest {
        request_id: call_id(),
        proposal_id: made.proposal.unwrap().id,
        reason: why(),
        validate_only: false,
    };
    call!(calls, vera, vera.proposals(), deny_proposal, denial, proposal);
    let withdrawn = omar.propose_directory(&without, &other).await;
    let withdrawal = pb::WithdrawProposalRequest {
        request_id: call_id(),
        proposal_id: withdrawn.id,
        reason: why(),
        validate_only: false,
    };
    call!(calls, omar, omar.proposals(), withdraw_proposal, withdrawal, proposal);
}

/// Once the one machine in a role is closed, a policy without that role, with which the directories do not fit that were proposed.
async fn policy(broker: &Broker, calls: &mut Vec<Call>) {
    use pb::propose_policy_request::Piece;
    let (vera, sam, bot) = (broker.person("vera").await, broker.person("sam").await, broker.person("config-bot").await);
    let policy = std::fs::read_to_string(broker.organisation.path("policy.toml")).unwrap();
    let role = "[roles.deploy-pipeline]\nfor = \"machines\"\nowner = \"ines\"\n";
    let narrower = policy.replace(role, "").replace("[\"deploy-pipeline\", \"db-engineer\"]", "[\"db-engineer\"]");
    assert!(!narrower.contains("deploy-pipeline"));
    let (header, chunks) = proposing(&narrower, &policy);
    let pieces = [Piece::Header(header)].into_iter().chain(chunks.into_iter().map(Piece::Chunk));
    let pieces: Vec<_> = pieces.map(|piece| pb::ProposePolicyRequest { piece: Some(piece) }).collect();
    let made = call!(calls, bot, bot.proposals(), propose_policy, stream pieces, proposal);
    let change = pb::RequestElevationRequest {
        entitlement: "policy-change".to_owned(),
        actions: vec!["countersign.policy.propose".to_owned()],
        resources: vec!["countersign/broker".to_owned()],
        ..repair()
    };
    vera.granted(pb::RequestElevationRequest { ticket: String::new(), ..change }, &sam).await;
    vera.approve_proposal(made.proposal).await.unwrap();
}

/// Those who called lose their roles, and somebody else answers for what they did.
async fn what_they_saw_it_by_goes(broker: &Broker) {
    let (omar, hr) = (broker.person("omar").await, broker.person("hr-sync").await);
    hr.tell(vec![moved("eng03", "ines", None), left("eng04", None)]).await.unwrap();
    for (account, role) in [
        ("sam", "security-duty"),
        ("ben", "incident-commander"),
        ("noa", "people-office"),
        ("hr-sync", "hr-sync"),
        ("config-bot", "config-pipeline"),
        ("vera", "policy-admin"),
        ("omar", "policy-admin"),
    ] {
        omar.accounts().end_membership(end(account, role)).await.unwrap_or_else(|status| panic!("{account}: {status}"));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_repetition_tells_what_the_first_did_though_its_caller_sees_the_thing_no_more() {
    let broker = Broker::new();
    let calls = &mut Vec::new();
    // given each call that changes something
    directories(&broker, calls).await;
    requests_and_grants(&broker, calls).await;
    locks(&broker, calls).await;
    enrolments(&broker, calls).await;
    people(&broker, calls).await;
    feeds(&broker, calls).await;
    policy(&broker, calls).await;
    let told: BTreeSet<String> = calls.iter().map(|call| call.name.replace('_', "")).collect();
    assert_eq!(told, mutating(), "every method with a `request_id` is tried here, and no other");
    // then who audits reads of each who called, by which certificate and from where
    let omar: Person = broker.person("omar").await;
    let events = omar.events(pb::ListEventsRequest::default()).await;
    for Call { name, caller, sequence, .. } in calls.iter() {
        let event = events.iter().find(|event| event.sequence == *sequence).unwrap_or_else(|| panic!("{name}"));
        let call = event.call.as_ref().unwrap_or_else(|| panic!("{name}: {event:?}"));
        assert_eq!((&call.identity, &call.caller), (&identity(caller), &event.actor), "{name}");
        assert!(call.address.starts_with("127.0.0.1:") && call.certificate_digest.len() == 32, "{name}: {call:?}");
    }
    // when those who called lose sight of it
    what_they_saw_it_by_goes(&broker).await;
    // then each is told again what it was told
    for Call { name, first, again, .. } in calls.iter() {
        let again = again().await.unwrap_or_else(|status| panic!("{name}: {status:?}"));
        assert_eq!(again.rest, first.rest, "{name}");
        // What its caller still sees is told as it is now.
        let as_it_was = again.about == first.about;
        assert!(as_it_was || (SEEN_STILL.contains(name) && again.about.starts_with("Some(")), "{name}: {again:?}");
    }
}

/// The methods whose request has a `request_id`, in lower case.
fn mutating() -> BTreeSet<String> {
    let set = FileDescriptorSet::decode(DESCRIPTOR_SET).unwrap();
    let ours = || set.file.iter().filter(|file| file.package() == "countersign.v1");
    let named = |name: &str| -> Option<&DescriptorProto> {
        let name = name.strip_prefix(".countersign.v1.")?;
        ours().flat_map(|file| &file.message_type).find(|message| message.name() == name)
    };
    // A request of many pieces says it in its header.
    let carries = |message: &DescriptorProto| {
        let has = |message: &DescriptorProto| message.field.iter().any(|field| field.name() == "request_id");
        has(message) || message.field.iter().filter_map(|field| named(field.type_name())).any(has)
    };
    let methods = ours().flat_map(|file| &file.service).flat_map(|service| &service.method);
    let mutating = methods.filter(|method| named(method.input_type()).is_some_and(carries));
    mutating.map(|method| method.name().to_lowercase()).collect()
}
