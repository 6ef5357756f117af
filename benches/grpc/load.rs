//! The load: clients on connections of their own, each sending its next call when the one before has been answered.

use std::io::BufRead as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use countersign::wire::v1::access_service_client::AccessServiceClient;
use countersign::wire::v1::{CheckAccessRequest, Verdict};
use prost::Message as _;
use tonic::transport::Channel;

use crate::connection::connect;
use crate::round::{Measured, Order, Round, on_threads};
use crate::world::{CHECKER, Random, question};
use crate::{echo, pairs, streams};

const QUESTIONS: usize = 16_384;

/// The child's part: an order a line, and its outcome.
pub fn obey(folder: &Path, grants: u64) {
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    let questions: Arc<Vec<CheckAccessRequest>> =
        Arc::new((0..QUESTIONS).map(|_| question(&mut random, grants)).collect());
    assert!(questions.iter().all(|question| question.encoded_len() == echo::REQUEST_BYTES));
    for line in std::io::stdin().lock().lines() {
        let order = Order::read(&line.unwrap());
        let measured = match order.what.as_str() {
            "pairs" => pairs::round(folder, &order),
            streamed if streamed.contains('-') => streams::round(folder, &order, &questions),
            _ => round(folder, &order, &questions),
        };
        println!("{}", measured.text());
    }
}

fn round(folder: &Path, order: &Order, questions: &Arc<Vec<CheckAccessRequest>>) -> Measured {
    let round = Round::new(order.threads);
    let threads = {
        let (round, order) = (Arc::clone(&round), order.clone());
        let (folder, questions): (PathBuf, _) = (folder.to_owned(), Arc::clone(questions));
        on_threads(order.threads, move |number| {
            drive(number, Arc::clone(&round), folder.clone(), order.clone(), Arc::clone(&questions))
        })
    };
    round.measure(order, || threads.into_iter().for_each(|thread| thread.join().unwrap()))
}

async fn drive(
    number: usize,
    round: Arc<Round>,
    folder: PathBuf,
    order: Order,
    questions: Arc<Vec<CheckAccessRequest>>,
) {
    let mut channels = Vec::new();
    for _ in 0..order.connections / order.threads {
        channels.push(connect(&folder, CHECKER, &order.address).await);
    }
    round.ready.wait();
    let mut clients = tokio::task::JoinSet::new();
    for client in 0..order.in_flight / order.threads {
        let channel = channels[client % channels.len()].clone();
        let (round, questions) = (Arc::clone(&round), Arc::clone(&questions));
        let first = (number + client) * 977;
        if order.what == "check" {
            clients.spawn_local(check_again_and_again(round, channel, questions, first));
        } else {
            let question = echo::question();
            clients.spawn_local(async move {
                let call = || async {
                    assert!(!echo::call(&channel, question.clone()).await.unwrap().text.is_empty());
                };
                round.repeat(call).await;
            });
        }
    }
    while let Some(ended) = clients.join_next().await {
        ended.unwrap();
    }
}

async fn check_again_and_again(
    round: Arc<Round>,
    channel: Channel,
    questions: Arc<Vec<CheckAccessRequest>>,
    first: usize,
) {
    let next = std::cell::Cell::new(first);
    let call = || {
        next.set(next.get() + 1);
        let question = questions[next.get() % QUESTIONS].clone();
        let mut client = AccessServiceClient::new(channel.clone());
        async move {
            let answer = client.check_access(question).await.unwrap().into_inner();
            assert_eq!(answer.verdict(), Verdict::Allow, "{answer:?}");
        }
    };
    round.repeat(call).await;
}
