//! Proposals over the wire: mistakes as data, a dry run that tells exactly what the load then does, and who may not
//! (known failures J2 and B8).

use countersign::wire::v1 as pb;
use pb::propose_directory_request::Piece as DirectoryPiece;
use pb::propose_policy_request::Piece;
use sha2::{Digest, Sha256};
use tonic::{Code, Status};

use crate::bad_files::five_mistakes;
use crate::harness::Broker;
use crate::organisation::Files;
use crate::person::{ORDERS, Person, call_id, refused, repair};

fn digest(text: &str) -> Vec<u8> {
    Sha256::digest(text.as_bytes()).to_vec()
}

fn header(replaces: &str, validate_only: bool) -> pb::ProposalHeader {
    pb::ProposalHeader { request_id: call_id(), replaces_digest: digest(replaces), validate_only, ..Default::default() }
}

/// Somebody whom `sam` lets change the policy for a while.
async fn policy_changer(broker: &Broker, name: &str) -> Person {
    let (person, sam) = (broker.person(name).await, broker.person("sam").await);
    person.granted(policy_change(), &sam).await;
    person
}

fn policy_change() -> pb::RequestElevationRequest {
    pb::RequestElevationRequest {
        request_id: call_id(),
        entitlement: "policy-change".to_owned(),
        actions: vec!["countersign.policy.propose".to_owned()],
        resources: vec!["countersign/broker".to_owned()],
        justification: "as agreed on Monday".to_owned(),
        ..Default::default()
    }
}

async fn propose_policy(
    person: &Person,
    header: pb::ProposalHeader,
    text: &str,
) -> Result<pb::ProposePolicyResponse, Status> {
    let pieces = text.as_bytes().chunks(1_000).map(|chunk| Piece::Chunk(chunk.to_vec()));
    let pieces: Vec<Piece> = [Piece::Header(header)].into_iter().chain(pieces).collect();
    send(person, pieces).await
}

async fn send(person: &Person, pieces: Vec<Piece>) -> Result<pb::ProposePolicyResponse, Status> {
    let messages = pieces.into_iter().map(|piece| pb::ProposePolicyRequest { piece: Some(piece) });
    let stream = tokio_stream::iter(messages.collect::<Vec<_>>());
    Ok(person.proposals().propose_policy(stream).await?.into_inner())
}

async fn propose_directory(
    person: &Person,
    header: pb::ProposalHeader,
    text: &str,
) -> Result<pb::ProposeDirectoryResponse, Status> {
    let pieces = text.as_bytes().chunks(20_000).map(|chunk| DirectoryPiece::Chunk(chunk.to_vec()));
    let pieces = [DirectoryPiece::Header(header)].into_iter().chain(pieces);
    let messages = pieces.map(|piece| pb::ProposeDirectoryRequest { piece: Some(piece) });
    let stream = tokio_stream::iter(messages.collect::<Vec<_>>());
    Ok(person.proposals().propose_directory(stream).await?.into_inner())
}

#[tokio::test]
async fn a_policy_with_five_mistakes_comes_back_with_five_lines_and_changes_nothing() {
    let omar = policy_changer(Broker::shared(), "omar").await;
    let before = omar.policy().get_policy(pb::GetPolicyRequest {}).await.unwrap().into_inner().policy.unwrap();
    let (policy, lines) = five_mistakes();
    let chunks = policy.as_bytes().chunks(1_000).map(|chunk| pb::ValidatePolicyRequest { chunk: chunk.to_vec() });
    let stream = tokio_stream::iter(chunks.collect::<Vec<_>>());
    let validated = omar.policy().validate_policy(stream).await.unwrap().into_inner().mistakes;
    let loaded = propose_policy(&omar, header(&before.text, false), &policy).await.unwrap().mistakes;
    for mistakes in [validated, loaded] {
        let told: Vec<usize> = mistakes.iter().map(|mistake| mistake.line as usize).collect();
        assert_eq!(told, lines, "{mistakes:?}");
        assert!(mistakes.iter().all(|it| !it.path.is_empty() && !it.text.is_empty() && !it.wanted.is_empty()));
    }
    let after = omar.policy().get_policy(pb::GetPolicyRequest {}).await.unwrap().into_inner().policy.unwrap();
    assert_eq!(after.digest, before.digest);
}

#[tokio::test]
async fn a_directory_that_names_an_unknown_role_comes_back_with_its_line() {
    // given a broker of its own, whose directory's text is known
    let broker = Broker::new();
    let omar = broker.person("omar").await;
    let text = std::fs::read_to_string(broker.organisation.path("directory.toml")).unwrap();
    let wrong = text.replacen("[\"db-engineer\"]", "[\"db-enginer\"]", 1);
    let line = 1 + wrong.lines().position(|line| line.contains("db-enginer")).unwrap();
    let mistakes = propose_directory(&omar, header(&text, false), &wrong).await.unwrap().mistakes;
    assert_eq!(mistakes.iter().map(|mistake| mistake.line as usize).collect::<Vec<_>>(), [line], "{mistakes:?}");
    assert!(mistakes[0].text.contains("`db-enginer`") && mistakes[0].wanted.contains("db-engineer"), "{mistakes:?}");
}

#[tokio::test]
async fn a_proposal_does_exactly_what_its_dry_run_told() {
    // given one pending elevation, one grant that a narrower policy still covers, and two that it does not
    let broker = Broker::new();
    let (ben, sam) = (broker.person("ben").await, broker.person("sam").await);
    let (omar, vera) = (policy_changer(&broker, "omar").await, policy_changer(&broker, "vera").await);
    let orders = broker.person("orders-api").await;
    let (one, two, three) = (broker.person("eng01").await, broker.person("eng02").await, broker.person("eng03").await);
    let pending = one.request(repair()).await.unwrap();
    let covered = two.granted(repair(), &ben).await;
    let in_asia = pb::RequestElevationRequest { resources: vec!["prod/ap/db/orders/primary".to_owned()], ..repair() };
    let outside = three.granted(in_asia, &ben).await;
    let payments = pb::RequestElevationRequest {
        entitlement: "payments-db-admin".to_owned(),
        resources: vec!["prod/eu/db/payments/primary".to_owned()],
        ..repair()
    };
    let payment = one.request(payments).await.unwrap();
    ben.approve(&payment.id).await.unwrap();
    let payment = sam.approve(&payment.id).await.unwrap().grant.unwrap();
    // when the policy offers Europe alone, and payments no more
    let policy = Files::example().policy;
    let narrower =
        policy.replacen("resources = [\"prod/*/db/orders/**\"]", "resources = [\"prod/eu/db/orders/**\"]", 1);
    let from = narrower.find("# Two stages").unwrap();
    let narrower = format!("{}{}", &narrower[..from], &narrower[narrower.find("# Planned work").unwrap()..]);
    let told = propose_policy(&omar, header(&policy, true), &narrower).await.unwrap();
    // then the dry run tells what it would take away, and takes away nothing
    let effects = told.effects.clone().unwrap();
    // and who would gain or lose what
    assert!(told.rights.iter().any(|it| it.account == "eng01" && !it.loses.is_empty()), "{:?}", told.rights);
    let cancelled: Vec<&str> = effects.cancelled_elevations.iter().map(|it| it.elevation_id.as_str()).collect();
    assert_eq!(cancelled, [&pending.id]);
    assert_eq!(effects.cancelled_elevations[0].requester_account, "eng01");
    let revoked: Vec<&str> = effects.revoked_grants.iter().map(|it| it.grant_id.as_str()).collect();
    assert_eq!(revoked, [&outside.id, &payment.id]);
    assert_eq!(one.elevation(&pending.id).await.unwrap().state(), pb::ElevationState::Pending);
    assert_eq!(told.replaced_digest, digest(&policy));
    // when it is proposed, then it would do the same, and has done nothing
    let proposed = propose_policy(&omar, header(&policy, false), &narrower).await.unwrap();
    assert_eq!((&proposed.rights, proposed.effects.as_ref()), (&told.rights, Some(&effects)));
    assert_eq!((proposed.mistakes, proposed.digest), (vec![], digest(&narrower)));
    assert_eq!(two.grant(&outside.id).await.unwrap_err().code(), Code::NotFound);
    assert_eq!(three.grant(&outside.id).await.unwrap().state(), pb::GrantState::Active);
    // when another holder approves it, then that is what happens
    let done = vera.approve_proposal(proposed.proposal).await.unwrap();
    assert_eq!((done.rights, done.effects), (told.rights, Some(effects)));
    assert_eq!(done.proposal.unwrap().digest, digest(&narrower));
    assert_eq!(one.elevation(&pending.id).await.unwrap().state(), pb::ElevationState::Cancelled);
    for (holder, grant) in [(&three, &outside), (&one, &payment)] {
        let closing = holder.grant(&grant.id).await.unwrap();
        assert_eq!(
            (closing.state(), closing.closing.unwrap().cause.as_str()),
            (pb::GrantState::Revoked, "TERMS_CHANGED")
        );
    }
    let allowed = (pb::Verdict::Allow, pb::CheckReason::Granted);
    assert_eq!(orders.verdict("eng02", "db.read", ORDERS).await, allowed);
    assert_eq!(orders.verdict("eng03", "db.read", "prod/ap/db/orders/primary").await.0, pb::Verdict::Deny);
    assert_eq!(two.grant(&covered.id).await.unwrap().state(), pb::GrantState::Active);
    // and the file that it replaced cannot be replaced again
    refused(propose_policy(&omar, header(&policy, false), &narrower).await, Code::FailedPrecondition, "PROPOSAL_STALE");
}

#[tokio::test]
async fn whoever_leaves_the_directory_loses_everything_in_the_same_proposal() {
    let broker = Broker::new();
    let (ben, orders) = (broker.person("ben").await, broker.person("orders-api").await);
    let (omar, vera) = (broker.person("omar").await, broker.person("vera").await);
    let leaver = broker.person("eng07").await;
    let grant = leaver.granted(repair(), &ben).await;
    let pending = leaver.request(repair()).await.unwrap();
    let text = std::fs::read_to_string(broker.organisation.path("directory.toml")).unwrap();
    let without = text.replace(&crate::organisation::engineer("eng07"), "");
    assert_ne!(text, without);
    // when a directory without them is thought through, then loaded
    let told = propose_directory(&omar, header(&text, true), &without).await.unwrap().effects.unwrap();
    assert_eq!(orders.verdict("eng07", "db.read", ORDERS).await.0, pb::Verdict::Allow);
    let proposed = propose_directory(&omar, header(&text, false), &without).await.unwrap().proposal;
    let done = vera.approve_proposal(proposed).await.unwrap().effects.unwrap();
    // then both told of the grant and the request, and nothing is allowed any more
    assert_eq!(told, done);
    assert_eq!(done.revoked_grants.iter().map(|it| &it.grant_id).collect::<Vec<_>>(), [&grant.id]);
    assert_eq!(done.cancelled_elevations.iter().map(|it| &it.elevation_id).collect::<Vec<_>>(), [&pending.id]);
    assert_eq!(orders.verdict("eng07", "db.read", ORDERS).await.0, pb::Verdict::Deny);
    refused(ben.approve(&pending.id).await, Code::FailedPrecondition, "NOT_PENDING");
    let status = leaver.request(repair()).await.unwrap_err();
    assert!(["NO_ACCOUNT", "ACCOUNT_DISABLED"].contains(&crate::person::reason(&status).as_str()), "{status:?}");
}

#[tokio::test]
async fn a_proposal_needs_its_capability_the_right_predecessor_and_whole_pieces() {
    let broker = Broker::shared();
    let (engineer, omar) = (broker.engineer().await, policy_changer(broker, "vera").await);
    let policy = Files::example().policy;
    let named = refused(
        propose_policy(&engineer, header(&policy, false), &policy).await,
        Code::PermissionDenied,
        "CAPABILITY_MISSING",
    );
    assert!(named.message().contains("`policy.propose`"), "{named:?}");
    let named = refused(
        propose_directory(&engineer, header(&policy, true), "").await,
        Code::PermissionDenied,
        "CAPABILITY_MISSING",
    );
    assert!(named.message().contains("`directory.propose`"), "{named:?}");
    let stale = propose_policy(&omar, header("another file", false), &policy).await;
    refused(stale, Code::FailedPrecondition, "PROPOSAL_STALE");
    let rows: [(Vec<Piece>, &str); 5] = [
        (vec![], "no header"),
        (vec![Piece::Chunk(vec![b'#'])], "a chunk first"),
        (vec![Piece::Header(header(&policy, true)), Piece::Header(header(&policy, true))], "two headers"),
        (vec![Piece::Header(header(&policy, true)), Piece::Chunk(vec![b'#'; 32 * 1024])], "a large piece"),
        (vec![Piece::Header(pb::ProposalHeader { replaces_digest: vec![1], ..header("", false) })], "a short digest"),
    ];
    for (pieces, what) in rows {
        let status = send(&omar, pieces).await.expect_err(what);
        assert_eq!(
            (status.code(), crate::person::reason(&status).as_str()),
            (Code::InvalidArgument, "INVALID_MESSAGE")
        );
    }
    let endless = [Piece::Header(header(&policy, true))].into_iter().chain(vec![Piece::Chunk(vec![b'#'; 30_000]); 9]);
    refused(send(&omar, endless.collect()).await, Code::InvalidArgument, "INVALID_MESSAGE");
    // when nobody could load any more
    let alone = policy.replace("\"countersign.policy.propose\"", "\"countersign.feed.release\"");
    refused(propose_policy(&omar, header(&policy, false), &alone).await, Code::FailedPrecondition, "NO_QUORUM");
}

/// The file that a proposal would put in force, as its reviewer reads it.
async fn proposed_text(reviewer: &Person, proposal: &str) -> Vec<u8> {
    let request = pb::GetProposalTextRequest { proposal_id: proposal.to_owned() };
    let mut pieces = reviewer.proposals().get_proposal_text(request).await.unwrap().into_inner();
    let mut bytes = Vec::new();
    while let Some(piece) = pieces.message().await.unwrap() {
        bytes.extend(piece.chunk);
    }
    bytes
}

#[tokio::test]
async fn part_3_proposals_by_two_persons() {
    // given two who may ask to change the policy, the machine that proposes what was merged, and the auditor
    let broker = Broker::new();
    let (omar, bot) = (broker.person("omar").await, broker.person("config-bot").await);
    let policy = Files::example().policy;
    let longer = policy.replacen("max_duration = \"1h\"\nmax_cont", "max_duration = \"2h\"\nmax_cont", 1);
    assert_ne!(policy, longer);
    // then nobody has the right standing
    let standing = propose_policy(&omar, header(&policy, false), &longer).await;
    refused(standing, Code::PermissionDenied, "CAPABILITY_MISSING");
    // when the machine proposes it, then it may not approve, and whoever owns it may not
    let proposed = propose_policy(&bot, header(&policy, false), &longer).await.unwrap().proposal;
    let proposal = proposed.clone().unwrap();
    assert_eq!(
        (proposal.requester.as_str(), proposal.persons.as_slice()),
        ("config-bot", ["ines".to_owned()].as_slice())
    );
    refused(bot.approve_proposal(proposed.clone()).await, Code::PermissionDenied, "NOT_AN_APPROVER");
    let second = propose_policy(&bot, header(&policy, false), &longer).await;
    refused(second, Code::FailedPrecondition, "ALREADY_PENDING");
    let withdrawal =
        pb::WithdrawProposalRequest { request_id: call_id(), proposal_id: proposal.id, ..Default::default() };
    let withdrawn = bot.proposals().withdraw_proposal(withdrawal).await.unwrap().into_inner().proposal.unwrap();
    assert_eq!(withdrawn.state(), pb::ProposalState::Withdrawn);
    // when one of the two has the right, and proposes it
    let omar_now = policy_changer(&broker, "omar").await;
    let proposed = propose_policy(&omar_now, header(&policy, false), &longer).await.unwrap().proposal;
    let proposal = proposed.clone().unwrap();
    // then those who audit see who could approve it
    let seen = omar
        .proposals()
        .get_proposal(pb::GetProposalRequest { proposal_id: proposal.id.clone() })
        .await
        .unwrap()
        .into_inner();
    let could: Vec<&str> = seen.could_review.iter().map(|it| it.account.as_str()).collect();
    assert_eq!(could, ["vera"]);
    let text = proposal.review.as_ref().unwrap().approval_text.clone();
    assert!(text.contains("widens: \"orders-db-repair\"\n") && text.contains("eng01: wider terms"), "{text}");
    let value = r#"changes: "entitlements.orders-db-repair.max_duration: \"1h\" -> \"2h\"""#;
    assert!(text.contains(value), "{text}");
    // then another reads exactly what would come into force, and the author approves nothing
    let vera = policy_changer(&broker, "vera").await;
    let bytes = proposed_text(&vera, &proposal.id).await;
    assert_eq!((bytes.as_slice(), proposal.digest.as_slice()), (longer.as_bytes(), digest(&longer).as_slice()));
    refused(omar.approve_proposal(proposed.clone()).await, Code::PermissionDenied, "SELF_APPROVAL");
    let request = pb::ApproveProposalRequest {
        request_id: call_id(),
        proposal_id: proposal.id.clone(),
        approval_digest: digest("another text"),
        ..Default::default()
    };
    refused(vera.proposals().approve_proposal(request).await, Code::FailedPrecondition, "DIGEST_MISMATCH");
    // and to an engineer there is no such proposal
    let engineer = broker.person("eng01").await;
    let hidden = engineer.proposals().get_proposal(pb::GetProposalRequest { proposal_id: proposal.id.clone() }).await;
    refused(hidden, Code::NotFound, "NOT_FOUND");
    let waiting = pb::ListProposalsRequest { relation: pb::ProposalRelation::CanReview.into(), ..Default::default() };
    let told = async |who: &Person| {
        who.proposals().list_proposals(waiting.clone()).await.unwrap().into_inner().proposals.len()
    };
    assert_eq!((told(&vera).await, told(&omar).await, told(&engineer).await), (1, 0, 0));
    // when vera approves it, then it is in force, and over a restart as well
    let approved = vera.approve_proposal(proposed).await.unwrap().proposal.unwrap();
    assert_eq!(approved.state(), pb::ProposalState::Approved);
    let in_force = omar.policy().get_policy(pb::GetPolicyRequest {}).await.unwrap().into_inner().policy.unwrap();
    assert_eq!(in_force.digest, digest(&longer));
    refused(propose_policy(&vera, header(&policy, false), &policy).await, Code::FailedPrecondition, "PROPOSAL_STALE");
    // and a file that gives its author a role that decides is refused, whoever of the two it would be
    let directory = std::fs::read_to_string(broker.organisation.path("directory.toml")).unwrap();
    let omars = "person/omar\"]\nroles = [\"policy-admin\", \"auditor\"";
    let own = directory.replacen(omars, &format!("{omars}, \"people-office\""), 1);
    assert_ne!(directory, own);
    refused(propose_directory(&omar, header(&directory, false), &own).await, Code::PermissionDenied, "OWN_STANDING");
    let veras = propose_directory(&vera, header(&directory, false), &own).await.unwrap().proposal;
    refused(omar.approve_proposal(veras).await, Code::PermissionDenied, "OWN_STANDING");
    // nor is one with which two roles of a person would decide about each other
    let both = directory.replacen(omars, &format!("{omars}, \"security-duty\""), 1);
    let mistakes = propose_directory(&omar, header(&directory, false), &both).await.unwrap().mistakes;
    assert!(mistakes.iter().any(|it| it.text.contains("policy-change")), "{mistakes:?}");
}
