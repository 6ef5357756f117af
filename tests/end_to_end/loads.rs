//! Loads over the wire: mistakes as data, a dry run that tells exactly what the load then does, and who may not
//! (THREATS J2, B8).

use countersign::wire::v1 as pb;
use pb::load_directory_request::Piece as DirectoryPiece;
use pb::load_policy_request::Piece;
use sha2::{Digest, Sha256};
use tonic::{Code, Status};

use crate::bad_files::five_mistakes;
use crate::harness::Broker;
use crate::organisation::Files;
use crate::person::{ORDERS, Person, call_id, refused, repair};

fn digest(text: &str) -> Vec<u8> {
    Sha256::digest(text.as_bytes()).to_vec()
}

fn header(replaces: &str, validate_only: bool) -> pb::LoadHeader {
    pb::LoadHeader { request_id: call_id(), replaces_digest: digest(replaces), validate_only }
}

async fn load_policy(person: &Person, header: pb::LoadHeader, text: &str) -> Result<pb::LoadPolicyResponse, Status> {
    let pieces = text.as_bytes().chunks(1_000).map(|chunk| Piece::Chunk(chunk.to_vec()));
    let pieces: Vec<Piece> = [Piece::Header(header)].into_iter().chain(pieces).collect();
    send(person, pieces).await
}

async fn send(person: &Person, pieces: Vec<Piece>) -> Result<pb::LoadPolicyResponse, Status> {
    let messages = pieces.into_iter().map(|piece| pb::LoadPolicyRequest { piece: Some(piece) });
    let stream = tokio_stream::iter(messages.collect::<Vec<_>>());
    Ok(person.policy().load_policy(stream).await?.into_inner())
}

async fn load_directory(
    person: &Person,
    header: pb::LoadHeader,
    text: &str,
) -> Result<pb::LoadDirectoryResponse, Status> {
    let pieces = text.as_bytes().chunks(20_000).map(|chunk| DirectoryPiece::Chunk(chunk.to_vec()));
    let pieces = [DirectoryPiece::Header(header)].into_iter().chain(pieces);
    let messages = pieces.map(|piece| pb::LoadDirectoryRequest { piece: Some(piece) });
    let stream = tokio_stream::iter(messages.collect::<Vec<_>>());
    Ok(person.accounts().load_directory(stream).await?.into_inner())
}

#[tokio::test]
async fn a_policy_with_five_mistakes_comes_back_with_five_lines_and_changes_nothing() {
    let omar = Broker::shared().person("omar").await;
    let before = omar.policy().get_policy(pb::GetPolicyRequest {}).await.unwrap().into_inner().policy.unwrap();
    let (policy, lines) = five_mistakes();
    let chunks = policy.as_bytes().chunks(1_000).map(|chunk| pb::ValidatePolicyRequest { chunk: chunk.to_vec() });
    let stream = tokio_stream::iter(chunks.collect::<Vec<_>>());
    let validated = omar.policy().validate_policy(stream).await.unwrap().into_inner().mistakes;
    let loaded = load_policy(&omar, header(&before.text, false), &policy).await.unwrap().mistakes;
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
    let mistakes = load_directory(&omar, header(&text, false), &wrong).await.unwrap().mistakes;
    assert_eq!(mistakes.iter().map(|mistake| mistake.line as usize).collect::<Vec<_>>(), [line], "{mistakes:?}");
    assert!(mistakes[0].text.contains("`db-enginer`") && mistakes[0].wanted.contains("db-engineer"), "{mistakes:?}");
}

#[tokio::test]
async fn a_load_does_exactly_what_its_dry_run_told() {
    // given one pending elevation, one grant that a narrower policy still covers, and two that it does not
    let broker = Broker::new();
    let (ben, sam, omar) = (broker.person("ben").await, broker.person("sam").await, broker.person("omar").await);
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
    let told = load_policy(&omar, header(&policy, true), &narrower).await.unwrap();
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
    // when it is loaded, then that is what happens
    let done = load_policy(&omar, header(&policy, false), &narrower).await.unwrap();
    assert_eq!(done.rights, told.rights);
    assert_eq!((done.mistakes, done.effects, done.digest), (vec![], Some(effects), digest(&narrower)));
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
    refused(load_policy(&omar, header(&policy, false), &narrower).await, Code::FailedPrecondition, "LOAD_STALE");
}

#[tokio::test]
async fn whoever_leaves_the_directory_loses_everything_in_the_same_load() {
    let broker = Broker::new();
    let (ben, omar, orders) =
        (broker.person("ben").await, broker.person("omar").await, broker.person("orders-api").await);
    let leaver = broker.person("eng07").await;
    let grant = leaver.granted(repair(), &ben).await;
    let pending = leaver.request(repair()).await.unwrap();
    let text = std::fs::read_to_string(broker.organisation.path("directory.toml")).unwrap();
    let without = text.replace(&crate::organisation::engineer("eng07"), "");
    assert_ne!(text, without);
    // when a directory without them is thought through, then loaded
    let told = load_directory(&omar, header(&text, true), &without).await.unwrap().effects.unwrap();
    assert_eq!(orders.verdict("eng07", "db.read", ORDERS).await.0, pb::Verdict::Allow);
    let done = load_directory(&omar, header(&text, false), &without).await.unwrap().effects.unwrap();
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
async fn a_load_needs_its_capability_the_right_predecessor_and_whole_pieces() {
    let broker = Broker::shared();
    let (engineer, omar) = (broker.engineer().await, broker.person("omar").await);
    let policy = Files::example().policy;
    let named = refused(
        load_policy(&engineer, header(&policy, false), &policy).await,
        Code::PermissionDenied,
        "CAPABILITY_MISSING",
    );
    assert!(named.message().contains("`policy.load`"), "{named:?}");
    let named = refused(
        load_directory(&engineer, header(&policy, true), "").await,
        Code::PermissionDenied,
        "CAPABILITY_MISSING",
    );
    assert!(named.message().contains("`directory.load`"), "{named:?}");
    let stale = load_policy(&omar, header("another file", false), &policy).await;
    refused(stale, Code::FailedPrecondition, "LOAD_STALE");
    let rows: [(Vec<Piece>, &str); 5] = [
        (vec![], "no header"),
        (vec![Piece::Chunk(vec![b'#'])], "a chunk first"),
        (vec![Piece::Header(header(&policy, true)), Piece::Header(header(&policy, true))], "two headers"),
        (vec![Piece::Header(header(&policy, true)), Piece::Chunk(vec![b'#'; 32 * 1024])], "a large piece"),
        (vec![Piece::Header(pb::LoadHeader { replaces_digest: vec![1], ..header("", false) })], "a short digest"),
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
    let alone =
        policy.replace("capabilities = [\"policy.load\", \"directory.load\"]", "capabilities = [\"directory.load\"]");
    refused(load_policy(&omar, header(&policy, false), &alone).await, Code::FailedPrecondition, "NOBODY_COULD_LOAD");
}
