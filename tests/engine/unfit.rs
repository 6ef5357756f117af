//! Known failure H21: what the reader would refuse is not appended, and refuses nobody else's command.

use countersign::domain::record::command::{Command, RequestElevation};
use countersign::domain::record::event::Event;
use countersign::domain::record::row::{Unreadable, decode};
use countersign::domain::value::refusal::Reason;
use countersign::engine::Settings;

use super::common::*;

const UNFIT: &str = "a reader of the next version chokes on this";

/// A reader that refuses rows with certain words, as the real one once refused rows that were nested too deep; but not the
/// record of a refusal.
fn chokes(body: &str) -> Result<(Event, bool), Unreadable> {
    if body.contains(UNFIT) { Err(Unreadable::Form("recursion limit exceeded".into())) } else { decode(body) }
}

/// A reader that takes every row, and understands some of them as something else.
fn misreads(body: &str) -> Result<(Event, bool), Unreadable> {
    decode(&body.replace(UNFIT, "something else"))
}

fn unfit_request() -> Command {
    Command::from(RequestElevation { justification: UNFIT.to_owned(), ..asking(RESOURCE) })
}

#[tokio::test]
async fn only_the_command_is_refused_that_the_reader_would_not_take() {
    for reads_row in [chokes as countersign::engine::ReadsRow, misreads] {
        // given a writer that is held while twenty ask, one of them for what cannot be read back
        let broker = Broker::with(Settings { reads_row, ..Settings::default() }, 20);
        let held = hold(&broker.engine).await;
        let names: Vec<String> = (0..20).map(|n| format!("e{n}")).collect();
        let mut calls = Vec::new();
        for name in &names {
            let command = if name == "e7" { unfit_request() } else { Command::from(asking(RESOURCE)) };
            calls.push(sent(run(&broker.engine, name, command)).await);
        }
        held.release();
        // then that one is refused with why, and all others have what they asked for
        for (name, call) in names.iter().zip(calls) {
            match within(call).await {
                Ok(done) => assert!(name != "e7" && !done.repeated),
                Err(refusal) => {
                    assert_eq!((name.as_str(), refusal.reason), ("e7", Reason::Unrecordable));
                    assert_eq!(refusal.facts["kind"], "elevation-requested/1");
                }
            }
        }
        assert_eq!(broker.state().elevations().len(), 19);
        assert_eq!(broker.replayed(), broker.state());
        assert_eq!(kinds(broker.memory(), 0).iter().filter(|kind| **kind == "command-refused/1").count(), 1);
        // and every row is one that a start reads
        let broker = broker.restart();
        assert_eq!(broker.state().elevations().len(), 19);
        // and whoever only asks what it would do is told the same
        let preview = broker.engine.preview(&calling("e7"), unfit_request()).await;
        assert_eq!(preview.unwrap_err().reason, Reason::Unrecordable);
    }
}

#[tokio::test]
async fn what_is_due_and_cannot_be_recorded_stops_no_command() {
    /// The end of a grant cannot be read back, as long as anybody looks.
    fn no_ends(body: &str) -> Result<(Event, bool), Unreadable> {
        if body.contains("grant-ended/1") { Err(Unreadable::Form("no".into())) } else { decode(body) }
    }
    let broker = Broker::with(Settings { reads_row: no_ends, ..Settings::default() }, 2);
    let grant = broker.grant("ana", "ben").await;
    broker.clock.advance(minutes(15));
    // access has ended by comparison, and commands go on
    assert_eq!(broker.check("ana"), NO);
    broker.request("e1").await;
    assert!(broker.state().grants().get(&grant).is_some_and(countersign::domain::record::grant::Grant::is_open));
    assert_eq!(broker.replayed(), broker.state());
    // and a broker that can read it records the end at once
    let Broker { engine, clock, store, .. } = broker;
    drop(engine);
    let broker = Broker::started(&store, &clock, &Settings::default()).unwrap();
    broker.recorded(0, "grant-ended/1").await;
}
