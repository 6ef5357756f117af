//! A call that is sent again under its `request_id` is told what the first was told, also when its caller has lost sight of what
//! it was about since (known failure A18).

use std::pin::Pin;

use countersign::wire::v1 as pb;
use pb::lock_service_client::LockServiceClient;
use tonic::Status;

use crate::common::certificates::now_millis;
use crate::harness::Broker;
use crate::life::{DAY, moved};
use crate::person::{at_millis, call_id, repair};

type Again = Pin<Box<dyn Future<Output = Result<String, Status>>>>;

/// A call that was answered: its name, what it was told, and the same call again.
type Call = (&'static str, String, Box<dyn Fn() -> Again>);

/// Of these who asked or decided is shown the thing for good.
const SEEN_STILL: [&str; 5] =
    ["request_elevation", "approve_elevation", "deny_elevation", "withdraw_elevation", "relinquish_grant"];

/// Makes a call, notes what it was told and how to make it again, and gives its answer.
macro_rules! call {
    ($calls:ident, $client:expr, $method:ident, $request:expr) => {{
        let (client, request) = ($client, $request);
        let first = client.clone().$method(request.clone()).await.unwrap_or_else(|status| panic!("{status:?}"));
        let first = first.into_inner();
        let again = move || -> Again {
            let (mut client, request) = (client.clone(), request.clone());
            Box::pin(async move { Ok(format!("{:?}", client.$method(request).await?.into_inner())) })
        };
        $calls.push((stringify!($method), format!("{first:?}"), Box::new(again)));
        first
    }};
}

#[tokio::test]
#[allow(clippy::too_many_lines, reason = "a call after another")]
async fn a_repetition_tells_what_the_first_did_though_its_caller_sees_the_thing_no_more() {
    let broker = Broker::new();
    let (ana, ben, sam) = (broker.person("ana").await, broker.person("ben").await, broker.person("sam").await);
    let (eng01, eng02, eng03) =
        (broker.person("eng01").await, broker.person("eng02").await, broker.person("eng03").await);
    let (noa, omar, vera) = (broker.person("noa").await, broker.person("omar").await, broker.person("vera").await);
    let (ines, hr) = (broker.person("ines").await, broker.person("hr-sync").await);
    let mut calls: Vec<Call> = Vec::new();
    let why = || "for this test".to_owned();

    // given a directory that was approved
    let directory = std::fs::read_to_string(broker.organisation.path("directory.toml")).unwrap();
    let without = directory.replace("roles = [\"tenant-approver\"]", "roles = []");
    assert_ne!(without, directory);
    let proposal = omar.propose_directory(&directory, &without).await;
    let text = proposal.review.unwrap().approval_text;
    let approval = pb::ApproveProposalRequest {
        request_id: call_id(),
        proposal_id: proposal.id,
        approval_digest: digest(&text),
        ..Default::default()
    };
    call!(calls, vera.proposals(), approve_proposal, approval);
    // and what people ask for and give back
    let asked = pb::RequestElevationRequest { request_id: call_id(), ..repair() };
    let elevation = call!(calls, ana.elevations(), request_elevation, asked).elevation.unwrap();
    let approval = pb::ApproveElevationRequest {
        request_id: call_id(),
        elevation_id: elevation.id.clone(),
        approval_digest: digest(&elevation.review.unwrap().approval_text),
        comment: String::new(),
    };
    let grant = call!(calls, ben.elevations(), approve_elevation, approval).grant.unwrap();
    let denied = eng01.request(repair()).await.unwrap();
    let denial = pb::DenyElevationRequest { request_id: call_id(), elevation_id: denied.id, reason: why() };
    call!(calls, ben.elevations(), deny_elevation, denial);
    let withdrawn = eng02.request(repair()).await.unwrap();
    let withdrawal = pb::WithdrawElevationRequest { request_id: call_id(), elevation_id: withdrawn.id };
    call!(calls, eng02.elevations(), withdraw_elevation, withdrawal);
    let given_up = eng03.granted(repair(), &ben).await;
    let giving = pb::RelinquishGrantRequest { request_id: call_id(), grant_id: given_up.id };
    call!(calls, eng03.grants(), relinquish_grant, giving);
    // and what takes away: whoever may revoke and lock sees nothing else
    let revocation = pb::RevokeGrantRequest { request_id: call_id(), grant_id: grant.id, reason: why() };
    call!(calls, sam.grants(), revoke_grant, revocation);
    let person = pb::lock_target::Target::Person("eng02".to_owned());
    let lock = pb::CreateLockRequest {
        request_id: call_id(),
        target: Some(pb::LockTarget { target: Some(person) }),
        mode: pb::LockMode::Suspend.into(),
        reason: why(),
        ..Default::default()
    };
    let lock = call!(calls, LockServiceClient::new(sam.channel.clone()), create_lock, lock).lock.unwrap();
    let lifting = pb::DeleteLockRequest { request_id: call_id(), lock_id: lock.id, reason: why() };
    call!(calls, LockServiceClient::new(sam.channel.clone()), delete_lock, lifting);
    // and what changes people and accounts
    let met = pb::RecordAttestationRequest {
        request_id: call_id(),
        person: "eng03".to_owned(),
        requirement: "screening".to_owned(),
        met_time: at_millis(now_millis() - DAY),
        evidence: why(),
        validate_only: false,
    };
    call!(calls, noa.accounts(), record_attestation, met);
    let moving = vec![moved("eng03", "ben", None)];
    let told = pb::ApplyHrEventsRequest { request_id: call_id(), events: moving, ..Default::default() };
    let told = call!(calls, hr.hr(), apply_hr_events, told);
    assert!(!told.effects.unwrap().changed_memberships.is_empty());
    let closing = pb::CloseAccountRequest {
        request_id: call_id(),
        account: "deploy-bot".to_owned(),
        reason: why(),
        validate_only: false,
    };
    call!(calls, ines.accounts(), close_account, closing);
    let end = |account: &str, role: &str| pb::EndMembershipRequest {
        request_id: call_id(),
        account: account.to_owned(),
        role: role.to_owned(),
        reason: why(),
        validate_only: false,
    };
    call!(calls, ines.accounts(), end_membership, end("eng01", "db-engineer"));

    // when those who decided lose their roles, and somebody else answers for what others did
    let security = end("sam", "security-duty");
    call!(calls, omar.accounts(), end_membership, security);
    omar.accounts().end_membership(end("ben", "incident-commander")).await.ok();
    ines.accounts().end_membership(end("ben", "incident-commander")).await.ok();
    noa.accounts().end_membership(end("noa", "people-office")).await.ok();
    omar.accounts().end_membership(end("noa", "people-office")).await.ok();

    // then each is told again what it was told
    for (name, first, again) in &calls {
        let again = again().await.unwrap_or_else(|status| panic!("{name}: {status:?}"));
        if SEEN_STILL.contains(name) {
            // What its caller still sees is told as it is now.
            let told = |text: &str| text.rsplit_once("sequence: ").map(|(_, end)| end.to_owned());
            assert!(told(&again).is_some() && again.contains(&first[..80]), "{name}: {again}");
        } else {
            assert_eq!(again, *first, "{name}");
        }
    }
}

fn digest(text: &str) -> Vec<u8> {
    use sha2::Digest;
    sha2::Sha256::digest(text.as_bytes()).to_vec()
}
