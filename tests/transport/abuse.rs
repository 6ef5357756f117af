//! What one client may take of the broker: group G, read back by attacking, so that no setting is lost silently.

use std::time::Duration;

use countersign::server::metrics::Spent;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tonic::{Code, Request};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;
use tonic_types::StatusExt as _;

use crate::harness::{Broker, GOAWAY, LONG_BYTES, RST_STREAM, eventually, frame, headers, health, read, slow};

const WATCH: &str = "/grpc.health.v1.Health/Watch";
/// An empty gRPC message.
const EMPTY: [u8; 5] = [0; 5];
const ENHANCE_YOUR_CALM: u32 = 11;
const REFUSED_STREAM: u32 = 7;

fn code(payload: &[u8], at: usize) -> u32 {
    u32::from_be_bytes(payload[at..at + 4].try_into().unwrap())
}

/// known failure G5.
#[tokio::test]
async fn streams_beyond_64_of_one_connection_are_refused() {
    let broker = Broker::start();
    let mut frames = broker.frames().await;
    for stream in (1..).step_by(2).take(70) {
        frames.writer.write_all(&headers(stream, WATCH)).await.unwrap();
        frames.writer.write_all(&frame(0, 1, stream, &EMPTY)).await.unwrap();
    }
    let (mut begun, mut refused) = (0, 0);
    frames.writer.flush().await.unwrap();
    while begun + refused < 70 {
        let read = frames.read().await.expect("the connection lives on");
        match read.kind {
            1 => begun += 1,
            RST_STREAM if code(&read.payload, 0) == REFUSED_STREAM => refused += 1,
            _ => {}
        }
    }
    assert_eq!((begun, refused), (64, 6));
    broker.connect(&broker.ana()).await.unwrap();
}

/// Writes the attack until the broker has had enough, and says what its GOAWAY said and how many streams it reset.
async fn until_goaway(broker: &Broker, attack: impl Fn(u32) -> Vec<u8> + Send + 'static) -> (Option<u32>, usize) {
    let frames = broker.frames().await;
    let (mut reader, mut writer) = (frames.reader, frames.writer);
    let writing = tokio::spawn(async move {
        for batch in 0..200_u32 {
            let bytes: Vec<u8> = (0..50_u32).flat_map(|n| attack(2 * (batch * 50 + n) + 1)).collect();
            if writer.write_all(&bytes).await.is_err() || writer.flush().await.is_err() {
                return;
            }
        }
    });
    let mut resets = 0;
    let mut said = None;
    while let Some(read) = read(&mut reader).await {
        match read.kind {
            GOAWAY => {
                said = Some(code(&read.payload, 4));
                break;
            }
            RST_STREAM => resets += 1,
            _ => {}
        }
    }
    writing.abort();
    (said, resets)
}

/// known failure G1 (CVE-2023-44487).
#[tokio::test]
async fn rapid_resets_end_the_connection() {
    let broker = Broker::start();
    let cancel = 8_u32.to_be_bytes();
    let attack = move |stream| [headers(stream, WATCH), frame(RST_STREAM, 0, stream, &cancel)].concat();
    let (said, _) = until_goaway(&broker, attack).await;
    assert_eq!(said, Some(ENHANCE_YOUR_CALM));
    broker.connect(&broker.ana()).await.unwrap();
}

/// known failure G2 (CVE-2025-8671): errors that make the broker reset streams itself, here windows that overflow.
#[tokio::test]
async fn streams_that_the_broker_must_reset_end_the_connection() {
    let broker = Broker::start();
    let overflow = 0x7fff_ffff_u32.to_be_bytes();
    let attack = move |stream| [headers(stream, WATCH), frame(8, 0, stream, &overflow)].concat();
    let (said, resets) = until_goaway(&broker, attack).await;
    assert_eq!(said, Some(ENHANCE_YOUR_CALM));
    assert!(resets <= 256, "{resets}");
    broker.connect(&broker.ana()).await.unwrap();
}

/// known failure G3: a list of headers without an end.
#[tokio::test]
async fn continuations_without_end_end_the_connection() {
    let broker = Broker::start();
    let frames = broker.frames().await;
    let (mut reader, mut writer) = (frames.reader, frames.writer);
    let writing = tokio::spawn(async move {
        let opening = frame(1, 0, 1, &[0x83, 0x87]);
        // A literal field, again and again: `a: <100 bytes>`.
        let field = [&[0x00, 1, b'a', 100][..], &[b'x'; 100]].concat();
        let continuation = frame(9, 0, 1, &field.repeat(100));
        let mut result = writer.write_all(&opening).await;
        for _ in 0..10_000 {
            if result.is_err() {
                break;
            }
            result = writer.write_all(&continuation).await;
        }
        result.is_err()
    });
    while read(&mut reader).await.is_some_and(|read| read.kind != GOAWAY) {}
    drop(reader);
    assert!(writing.await.unwrap(), "100 MB of headers were read");
    broker.connect(&broker.ana()).await.unwrap();
}

/// known failure G4 (RUSTSEC-2026-0258).
#[tokio::test]
async fn empty_frames_without_end_end_the_connection() {
    let broker = Broker::start();
    let opened = std::sync::atomic::AtomicBool::new(false);
    let attack = move |_| {
        let opening = if opened.swap(true, std::sync::atomic::Ordering::SeqCst) { vec![] } else { headers(1, WATCH) };
        [opening, frame(0, 0, 1, &[]).repeat(100)].concat()
    };
    let (said, _) = until_goaway(&broker, attack).await;
    assert_eq!(said, Some(ENHANCE_YOUR_CALM));
    broker.connect(&broker.ana()).await.unwrap();
}

/// known failure G9 (RUSTSEC-2020-0002): groups within groups to the end of what a message may hold, and one message beyond it.
#[tokio::test]
async fn nesting_without_end_and_a_message_over_64_kib_are_refused() {
    let broker = Broker::start();
    let mut frames = broker.frames().await;
    for (stream, bytes) in [(1, 60_000_u32), (3, 65_537)] {
        let message = [&[0][..], &bytes.to_be_bytes(), &vec![0x0b; bytes as usize]].concat();
        frames.writer.write_all(&headers(stream, "/test.Slow/Wait")).await.unwrap();
        for part in message.chunks(16_384) {
            frames.writer.write_all(&frame(0, 0, stream, part)).await.unwrap();
        }
        frames.writer.write_all(&frame(0, 1, stream, &[])).await.unwrap();
        frames.writer.flush().await.unwrap();
        while frames.read().await.is_some_and(|read| read.kind != 1 && read.kind != RST_STREAM) {}
    }
    assert_eq!(broker.begun.load(std::sync::atomic::Ordering::SeqCst), 0, "one of them was read");
    broker.connect(&broker.ana()).await.unwrap();
}

/// known failure G10.
#[tokio::test]
async fn headers_over_8_kib_or_over_32_are_refused_and_the_connection_lives_on() {
    let broker = Broker::start();
    let channel = broker.connect(&broker.ana()).await.unwrap();
    let mut client = HealthClient::new(channel.clone());
    let with = |count: usize, bytes: usize| {
        let mut request = Request::new(HealthCheckRequest::default());
        for n in 0..count {
            let name: tonic::metadata::AsciiMetadataKey = format!("x-{n}").parse().unwrap();
            request.metadata_mut().insert(name, "a".repeat(bytes).parse().unwrap());
        }
        request
    };
    client.check(with(1, 4_000)).await.unwrap();
    client.check(with(1, 9_000)).await.unwrap_err();
    client.check(with(60, 120)).await.unwrap_err();
    let many = client.check(with(40, 1)).await.unwrap_err();
    assert_eq!(many.code(), Code::ResourceExhausted, "{many:?}");
    health(&channel).await.unwrap();
    assert_eq!(broker.handshakes("accepted"), 1);
}

/// known failure G8.
#[tokio::test]
async fn compressed_requests_are_unimplemented() {
    let broker = Broker::start();
    broker.gate.send_replace(true);
    let channel = broker.connect(&broker.ana()).await.unwrap();
    let gzip = || {
        let mut request = Request::new(HealthCheckRequest::default());
        request.metadata_mut().insert("grpc-encoding", "gzip".parse().unwrap());
        request
    };
    assert_eq!(slow(&channel, gzip()).await.unwrap_err().code(), Code::Unimplemented);
    let refused = HealthClient::new(channel).check(gzip()).await.unwrap_err();
    assert_eq!(refused.code(), Code::Unimplemented);
}

/// known failure G6: more idle connections than may be half-open, and a client still gets in.
#[tokio::test]
async fn a_crowd_that_never_shakes_hands_keeps_nobody_out() {
    let broker = Broker::start_with(|settings| {
        settings.limits.half_open = 8;
        settings.limits.per_address = 16;
    });
    let mut crowd = Vec::new();
    for _ in 0..100 {
        crowd.push(TcpStream::connect(broker.address).await.unwrap());
    }
    let leaf = broker.ana();
    let connecting = tokio::time::timeout(Duration::from_secs(4), broker.connect(&leaf));
    connecting.await.expect("a client connects while the crowd stands there").unwrap();
    eventually("eviction", || broker.handshakes("evicted") >= 80).await;
}

/// known failure G6.
#[tokio::test]
async fn a_handshake_that_takes_too_long_is_cut() {
    let broker = Broker::start_with(|settings| settings.limits.handshake_timeout = Duration::from_millis(100));
    let mut idle = TcpStream::connect(broker.address).await.unwrap();
    let end = tokio::time::timeout(Duration::from_secs(4), idle.read(&mut [0; 16])).await.unwrap();
    assert!(matches!(end, Ok(0) | Err(_)));
    eventually("counted", || broker.handshakes("timeout") == 1).await;
}

#[tokio::test]
async fn one_address_has_so_many_connections_and_another_still_gets_in() {
    let broker = Broker::start_with(|settings| settings.limits.per_address = 2);
    let leaf = broker.stranger();
    let _held = [broker.connect(&leaf).await.unwrap(), broker.connect(&leaf).await.unwrap()];
    broker.connect(&leaf).await.unwrap_err();
    eventually("counted", || broker.connections_refused("per_address") >= 1).await;
    let elsewhere = broker.endpoint(Some(&leaf)).local_address(Some("127.0.0.2".parse().unwrap()));
    health(&elsewhere.connect().await.unwrap()).await.unwrap();
}

/// known failure G36.
#[tokio::test]
async fn whoever_has_as_many_connections_as_one_may_is_told_so_and_others_get_in() {
    // given a person with as many as one may have, each of them in use
    let broker = Broker::start_with(|settings| {
        settings.limits.of_person = 2;
        settings.limits.per_address = 1;
    });
    let held = [broker.connect(&broker.ana()).await.unwrap(), broker.connect(&broker.ana()).await.unwrap()];
    // when one more comes, then its calls are refused with why, and it is cut
    let third = broker.endpoint(Some(&broker.ana())).connect().await.unwrap();
    let refused = health(&third).await.unwrap_err();
    assert_eq!(refused.code(), Code::ResourceExhausted, "{refused:?}");
    assert_eq!(refused.get_error_details().error_info().unwrap().reason, "BUDGET_CONNECTIONS");
    eventually("it is cut", || broker.metrics.connections_open.get() == 2).await;
    assert!(broker.connections_refused("per_holder") >= 1);
    // and those that are open go on, and somebody else gets in
    for channel in &held {
        health(channel).await.unwrap();
    }
    health(&broker.connect(&broker.stranger()).await.unwrap()).await.unwrap();
}

/// known failure G36.
#[tokio::test]
async fn when_all_are_taken_who_is_unknown_makes_room() {
    let broker = Broker::start_with(|settings| {
        settings.limits.connections = 2;
        settings.limits.kept = 0;
    });
    let held = broker.connect(&broker.ana()).await.unwrap();
    health(&held).await.unwrap();
    let stranger = broker.connect(&broker.stranger()).await.unwrap();
    health(&stranger).await.unwrap();
    // when one more comes who is known
    let other = broker.connect(&broker.ana()).await.unwrap();
    // then the stranger has gone, and nobody else
    eventually("the stranger has gone", || broker.metrics.connections_open.get() == 2).await;
    health(&held).await.unwrap();
    health(&other).await.unwrap();
}

#[tokio::test]
async fn all_together_have_so_many_connections() {
    let broker = Broker::start_with(|settings| settings.limits.connections = 1);
    let held = broker.connect(&broker.ana()).await.unwrap();
    broker.connect(&broker.ana()).await.unwrap_err();
    eventually("counted", || broker.connections_refused("connections") >= 1).await;
    health(&held).await.unwrap();
    drop(held);
    eventually("the place given back", || broker.metrics.connections_open.get() == 0).await;
    broker.connect(&broker.ana()).await.unwrap();
}

/// A ClientHello of TLS 1.2, without the extension that would offer 1.3.
#[tokio::test]
async fn tls_1_2_is_refused_with_its_alert() {
    let broker = Broker::start();
    let mut body = vec![3, 3];
    body.extend([7; 32]);
    // No session id; ECDHE-ECDSA and ECDHE-RSA with AES-128-GCM; no compression; P-256 and two signature schemes.
    body.extend([0, 0, 4, 0xc0, 0x2b, 0xc0, 0x2f, 1, 0]);
    let extensions = [0, 10, 0, 4, 0, 2, 0, 23, 0, 13, 0, 6, 0, 4, 4, 3, 8, 4];
    body.extend([0, extensions.len() as u8]);
    body.extend(extensions);
    let mut hello = vec![22, 3, 1, 0, body.len() as u8 + 4, 1, 0, 0, body.len() as u8];
    hello.extend(body);
    let mut socket = TcpStream::connect(broker.address).await.unwrap();
    socket.write_all(&hello).await.unwrap();
    let mut answer = [0; 7];
    tokio::time::timeout(Duration::from_secs(4), socket.read_exact(&mut answer)).await.unwrap().unwrap();
    assert_eq!((answer[0], answer[6]), (21, 70), "the alert protocol_version");
    eventually("counted", || broker.handshakes("incompatible") == 1).await;
}

#[tokio::test]
async fn a_client_that_does_not_offer_h2_is_refused() {
    for alpn in [&[][..], &["http/1.1"][..]] {
        let broker = Broker::start();
        if let Ok(mut stream) = broker.raw(&broker.ana(), alpn).await {
            let end = tokio::time::timeout(Duration::from_secs(4), stream.read(&mut [0; 16])).await.unwrap();
            assert!(matches!(end, Ok(0) | Err(_)), "{alpn:?}");
        }
        eventually("counted", || broker.handshakes("no_h2") == 1).await;
    }
}

/// known failures G14 and G16: calls of one connection that take too long give their place back.
#[tokio::test]
async fn a_call_that_takes_too_long_ends_and_a_stream_that_began_lives_on() {
    let broker = Broker::start_with(|settings| settings.limits.call_timeout = Duration::from_millis(100));
    let channel = broker.connect(&broker.ana()).await.unwrap();
    let watching = HealthClient::new(channel.clone()).watch(HealthCheckRequest::default()).await.unwrap();
    let mut watching = watching.into_inner();
    watching.message().await.unwrap().unwrap();
    let late = slow(&channel, Request::new(HealthCheckRequest::default())).await.unwrap_err();
    // It never says that nothing happened: nobody knows (known failure H23).
    let told = tonic_types::StatusExt::get_error_details(&late).error_info().map(|info| info.reason.clone());
    assert_eq!((late.code(), told.as_deref()), (Code::Unavailable, Some("OUTCOME_UNKNOWN")), "{late:?}");
    assert!(late.message().contains("under the same request_id"), "{late:?}");
    let more = tokio::time::timeout(Duration::from_millis(300), watching.message()).await;
    assert!(more.is_err(), "the stream goes on: {more:?}");
}

/// known failures J5 and F13: made-up paths are unimplemented, and make no labels.
#[tokio::test]
async fn made_up_methods_are_unimplemented_and_counted_as_one() {
    let broker = Broker::start();
    let channel = broker.connect(&broker.ana()).await.unwrap();
    for path in ["/made.Up/Method", "/grpc.health.v1.Health/check", "//grpc.health.v1.Health/Check", "/%2f"] {
        let mut client = tonic::client::Grpc::new(channel.clone());
        client.ready().await.unwrap();
        let codec = tonic_prost::ProstCodec::<HealthCheckRequest, HealthCheckRequest>::default();
        let path = path.parse().unwrap();
        let status = client.unary(Request::new(HealthCheckRequest::default()), path, codec).await.unwrap_err();
        assert_eq!(status.code(), Code::Unimplemented);
    }
    let text = broker.metrics.text();
    assert!(text.contains(r#"countersign_calls_total{method="unknown",code="Unimplemented"} 4"#), "{text}");
    assert!(text.contains(r#"countersign_calls_total{method="/grpc.health.v1.Health/Check",code="Ok"} 1"#), "{text}");
}

/// known failure G29.
#[tokio::test]
async fn answers_that_nobody_reads_are_bounded_and_their_connection_is_cut() {
    for path in ["/test.Long/Get", "/test.Past/Get"] {
        let broker = Broker::start_with(|settings| {
            settings.limits.unread_bytes = 2 * LONG_BYTES;
            settings.limits.unread_deadline = Duration::from_millis(500);
            settings.limits.certificate_beat = Duration::from_millis(50);
        });
        let other = broker.connect(&broker.ana()).await.unwrap();
        // given a client that asks much at once, by the router or past it, and opens no window for the answers
        let mut frames = broker.frames().await;
        for stream in [1, 3, 5, 7, 9] {
            frames.writer.write_all(&headers(stream, path)).await.unwrap();
            frames.writer.write_all(&frame(0, 1, stream, &EMPTY)).await.unwrap();
        }
        frames.writer.flush().await.unwrap();
        // then two answers wait, the others are refused, and at last its connection is cut
        let mut heads = 0;
        while let Some(read) = frames.read().await {
            heads += usize::from(read.kind == 1);
        }
        assert_eq!(heads, 5, "{path}");
        let refused = || broker.metrics.budget_refused.get_or_create(&Spent { budget: "unread_answers" }).get();
        assert_eq!(refused(), 3 + 1, "{path}");
        // and others of the same identity go on
        crate::harness::health(&other).await.unwrap();
    }
}
