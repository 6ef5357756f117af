//! Checks in batches over a stream, an echo of the same messages and one of as many bytes in one text: a connection has
//! one stream and so many messages on their way.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use countersign::wire::v1::access_service_client::AccessServiceClient;
use countersign::wire::v1::{
    CheckAccessRequest, CheckQuery, StreamCheckAccessRequest, StreamCheckAccessResponse, Verdict,
};
use prost::Message as _;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;
use tonic::transport::Channel;

use crate::connection::connect;
use crate::echo;
use crate::round::{Measured, Order, Round, on_threads};
use crate::world::CHECKER;

/// One round of `text-16`, `echo-16`, `check-128` and their like.
pub fn round(folder: &Path, order: &Order, questions: &Arc<Vec<CheckAccessRequest>>) -> Measured {
    let (kind, size) = order.what.split_once('-').unwrap();
    let (kind, size): (Kind, usize) = (Kind::of(kind), size.parse().unwrap());
    let batches = Arc::new(batches(questions, size));
    let round = Round::new(order.threads);
    let threads = {
        let (round, order, folder): (_, _, PathBuf) = (Arc::clone(&round), order.clone(), folder.to_owned());
        on_threads(order.threads, move |number| {
            let (round, folder, order, batches) =
                (Arc::clone(&round), folder.clone(), order.clone(), Arc::clone(&batches));
            async move {
                let mut channels = Vec::new();
                for _ in 0..order.connections / order.threads {
                    channels.push(connect(&folder, CHECKER, &order.address).await);
                }
                round.ready.wait();
                let window = order.in_flight / order.connections;
                let mut streams = tokio::task::JoinSet::new();
                for (place, channel) in channels.into_iter().enumerate() {
                    let (round, batches) = (Arc::clone(&round), Arc::clone(&batches));
                    let first = (number + place * 2) * 61;
                    match kind {
                        Kind::Text => streams.spawn_local(repeat(round, channel, batches, first, window)),
                        Kind::Echo => streams.spawn_local(check(round, channel, true, batches, first, window)),
                        Kind::Check => streams.spawn_local(check(round, channel, false, batches, first, window)),
                    };
                }
                while let Some(ended) = streams.join_next().await {
                    ended.unwrap();
                }
            }
        })
    };
    round.measure(order, || threads.into_iter().for_each(|thread| thread.join().unwrap()))
}

#[derive(Clone, Copy)]
enum Kind {
    Text,
    Echo,
    Check,
}

impl Kind {
    fn of(name: &str) -> Self {
        match name {
            "text" => Self::Text,
            "echo" => Self::Echo,
            _ => Self::Check,
        }
    }
}

fn batches(questions: &[CheckAccessRequest], size: usize) -> Vec<StreamCheckAccessRequest> {
    let query = |asked: &CheckAccessRequest| CheckQuery {
        subject: asked.subject.clone(),
        action: asked.action.clone(),
        resource: asked.resource.clone(),
    };
    let batch = |(number, asked): (u64, &[CheckAccessRequest])| StreamCheckAccessRequest {
        batch_id: number,
        queries: asked.iter().map(query).collect(),
    };
    (1..).zip(questions.chunks_exact(size)).map(batch).collect()
}

/// As many bytes as these answers have: all of them allow by a grant.
fn reply_bytes(size: usize) -> usize {
    let sequence = "100".to_owned();
    let (answers, time) = (vec![echo::granted(); size], echo::granted().valid_until);
    StreamCheckAccessResponse { batch_id: 1, answers, sequence, time }.encoded_len()
}

async fn check(
    round: Arc<Round>,
    channel: Channel,
    is_echo: bool,
    batches: Arc<Vec<StreamCheckAccessRequest>>,
    first: usize,
    window: usize,
) {
    let (sender, receiver) = mpsc::channel(window);
    let asked = ReceiverStream::new(receiver);
    let answers = if is_echo {
        echo::stream(&channel, "/bench.Echo/Messages", asked).await.unwrap()
    } else {
        AccessServiceClient::new(channel).stream_check_access(asked).await.unwrap().into_inner()
    };
    let next = |number: usize| batches[(first + number) % batches.len()].clone();
    let is_right = |answer: &StreamCheckAccessResponse| {
        assert!(answer.answers.iter().all(|one| one.verdict() == Verdict::Allow));
        answer.answers.len()
    };
    pump(&round, sender, answers, window, next, is_right).await;
}

async fn repeat(
    round: Arc<Round>,
    channel: Channel,
    batches: Arc<Vec<StreamCheckAccessRequest>>,
    first: usize,
    window: usize,
) {
    let size = batches[0].queries.len();
    let reply_bytes = reply_bytes(size);
    let (sender, receiver) = mpsc::channel(window);
    let answers = echo::stream(&channel, "/bench.Echo/Stream", ReceiverStream::new(receiver)).await.unwrap();
    let next = |number: usize| {
        let bytes = batches[(first + number) % batches.len()].encoded_len();
        echo::question_of(bytes, reply_bytes)
    };
    let is_right = |answer: &echo::Answer| {
        assert!(answer.text.len().abs_diff(reply_bytes) < 16);
        size
    };
    pump(&round, sender, answers, window, next, is_right).await;
}

/// Keeps the window full until the round is over.
async fn pump<Q, A>(
    round: &Round,
    sender: mpsc::Sender<Q>,
    mut answers: Streaming<A>,
    window: usize,
    next: impl Fn(usize) -> Q,
    is_right: impl Fn(&A) -> usize,
) {
    let mut nanos = Vec::with_capacity(1 << 14);
    let mut sent = VecDeque::new();
    for number in 0..window {
        sent.push_back(Instant::now());
        sender.send(next(number)).await.ok().unwrap();
    }
    let mut number = window;
    while !round.over.load(Ordering::Relaxed) {
        let answer = answers.message().await.unwrap().unwrap();
        let begun = sent.pop_front().unwrap();
        let checks = is_right(&answer);
        if round.counting.load(Ordering::Relaxed) {
            nanos.push(begun.elapsed().as_nanos() as u64);
            round.counted.fetch_add(checks as u64, Ordering::Relaxed);
        }
        number += 1;
        sent.push_back(Instant::now());
        sender.send(next(number)).await.ok().unwrap();
    }
    round.nanos.lock().unwrap().extend(nanos);
}
