//! What one person or machine may take of the broker: whoever is over it is told how long to wait, and nobody else notices (known
//! failure G26).

use std::time::Duration;

use countersign::wire::v1 as pb;
use tokio::sync::mpsc::{Sender, channel};
use tokio::task::JoinHandle;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

use crate::harness::{Broker, Start, eventually, free_address, metric, page};
use crate::organisation::Organisation;
use crate::person::{Person, call_id, reason, refused, repair};

/// A broker under which a person has so few commands that a test uses them up.
fn broker(line: &str) -> (Broker, std::net::SocketAddr) {
    let organisation = Organisation::new();
    assert_eq!(organisation.init().code, Some(0));
    organisation.configure(&format!("budgets.{line}"));
    let metrics = free_address();
    let flags = vec!["--metrics-listen".to_owned(), metrics.to_string()];
    (Broker::serve(&organisation.into(), &Start { flags, ..Start::default() }), metrics)
}

fn wait_of(status: &Status) -> Duration {
    status.get_error_details().retry_info().and_then(|info| info.retry_delay).unwrap()
}

/// Withdraws and asks anew, so often.
async fn ask_over_and_over(person: &Person, times: usize) -> Result<(), Status> {
    for _ in 0..times {
        let asked = person.request(repair()).await?;
        person.withdraw(&asked.id).await?;
    }
    Ok(())
}

#[tokio::test]
async fn whoever_is_over_their_budget_waits_and_nobody_else_does() {
    // given an engineer who has used up what a person may send that gives something
    let (broker, metrics) = broker("person_commands = \"3 at once, 1 each 1h\"");
    let (ana, other) = (broker.person("ana").await, broker.engineer().await);
    ask_over_and_over(&ana, 2).await.unwrap();
    let last = ana.request(repair()).await.unwrap();
    // when she asks again, then she is told which budget it is, and how long it takes
    let over = refused(ana.request(repair()).await, Code::ResourceExhausted, "BUDGET_COMMANDS");
    assert!(over.message().contains("`person_commands` is 3 at once, 1 each 1h, and there is more in "), "{over:?}");
    assert!(wait_of(&over) > Duration::from_secs(3_000), "{over:?}");
    // and what she gives up is not refused for that, nor are her reads
    ana.elevation(&last.id).await.unwrap();
    ana.withdraw(&last.id).await.unwrap();
    // and nobody else notices
    ask_over_and_over(&other, 1).await.unwrap();
    // and whoever watches sees it by its name
    let refusals = || metric(metrics, &["budget_refused_total", "budget=\"person_commands\""]);
    eventually("the metric", async || (refusals() >= 1).then_some(())).await;
    assert!(metric(metrics, &["budget_used_total", "budget=\"taking_away\""]) >= 3);
    assert!(metric(metrics, &["budget_used_total", "budget=\"journal_minute\""]) > 1_000);
}

#[tokio::test]
async fn a_certificate_that_means_nobody_reaches_no_queue() {
    let (broker, metrics) = broker("person_commands = \"3 at once, 1 each 1h\"");
    for _ in 0..10 {
        let stranger = broker.person("stranger").await;
        refused(stranger.request(repair()).await, Code::PermissionDenied, "NO_ACCOUNT");
        refused(stranger.withdraw(&call_id()).await, Code::PermissionDenied, "NO_ACCOUNT");
    }
    assert_eq!(metric(metrics, &["budget_used_total"]), 0);
}

#[tokio::test]
async fn what_fills_the_journal_is_waited_for_too() {
    // given a budget of the journal that one request is over
    let (broker, _) = broker("journal_minute = \"500 at once, 1 each 1h\"");
    let ana = broker.person("ana").await;
    let asked = ana.request(repair()).await.unwrap();
    // then the next one waits, and what takes away does not
    refused(ana.request(repair()).await, Code::ResourceExhausted, "BUDGET_JOURNAL");
    ana.withdraw(&asked.id).await.unwrap();
}

#[tokio::test]
async fn what_is_kept_of_one_is_bounded_and_what_was_asked_before_is_answered() {
    // given an engineer of whom as much is kept as may be
    let (broker, metrics) = broker("kept = 20000");
    let (ana, other) = (broker.person("ana").await, broker.engineer().await);
    let first = repair();
    let asked = ana.request(first.clone()).await.unwrap();
    ana.withdraw(&asked.id).await.unwrap();
    let filled = ask_over_and_over(&ana, 20).await;
    // when they ask again, then they are told which budget it is
    let over = refused(filled, Code::ResourceExhausted, "BUDGET_KEPT");
    assert!(over.message().contains("`kept` is 20000 bytes, and "), "{over:?}");
    assert!(wait_of(&over) > Duration::from_secs(60), "{over:?}");
    // and what was asked before is answered as before, and nobody else notices
    assert_eq!(ana.request(first).await.unwrap().id, asked.id);
    ask_over_and_over(&other, 1).await.unwrap();
    assert!(metric(metrics, &["budget_refused_total", "budget=\"kept\""]) >= 1);
    // and a restart forgets nothing of it
    let broker = Broker::serve(&broker.kill(), &Start::default());
    let ana = broker.person("ana").await;
    refused(ana.request(repair()).await, Code::ResourceExhausted, "BUDGET_KEPT");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lists_of_one_wait_for_each_other_and_keep_no_service_waiting() {
    // given one turn for each, and an auditor who asks for very many lists at once
    let (broker, _) = broker("lists_each = 1");
    let (ana, auditor) = (broker.person("ana").await, broker.person("vera").await);
    ask_over_and_over(&ana, 10).await.unwrap();
    let list = |who: &Person| {
        let mut audit = who.audit();
        async move { audit.list_events(pb::ListEventsRequest { page_size: 500, ..Default::default() }).await }
    };
    let mut asked = tokio::task::JoinSet::new();
    for _ in 0..30 {
        asked.spawn(list(&auditor));
    }
    // then others have theirs meanwhile, and a command does not wait for one
    ana.request(repair()).await.unwrap();
    list(&ana).await.unwrap();
    // and each of the many is answered, or told why not
    let mut told = 0;
    while let Some(answer) = asked.join_next().await {
        match answer.unwrap() {
            Ok(answer) => told += usize::from(!answer.into_inner().events.is_empty()),
            Err(status) => assert_eq!(reason(&status), "BUDGET_WORK", "{status:?}"),
        }
    }
    assert!(told >= 1);
}

#[tokio::test]
async fn one_has_so_many_watches_and_one_that_is_closed_makes_room() {
    let (broker, metrics) = broker("watches = 2");
    let (ana, other) = (broker.person("ana").await, broker.engineer().await);
    let watch = async |who: &Person| {
        let watched = who.audit().watch_events(pb::WatchEventsRequest::default()).await?;
        Ok::<_, Status>(watched.into_inner())
    };
    // given a person with as many watches as one may have, on two connections
    let again = broker.person("ana").await;
    let (first, _second) = (watch(&ana).await.unwrap(), watch(&again).await.unwrap());
    // then one more is refused on either, and nobody else notices
    for who in [&ana, &again] {
        let over = refused(watch(who).await.map(|_| ()), Code::ResourceExhausted, "BUDGET_WATCHES");
        assert!(over.message().contains("they have 2"), "{over:?}");
    }
    watch(&other).await.unwrap();
    assert!(metric(metrics, &["budget_refused_total", "budget=\"watches\""]) >= 2);
    // when one is closed, then there is room
    drop(first);
    eventually("room for a watch", async || watch(&ana).await.ok()).await;
}

#[tokio::test]
async fn budgets_are_read_again_at_sighup_and_mistakes_leave_them_as_they_were() {
    let (broker, _) = broker("person_commands = \"1 at once, 1 each 7d\"");
    let ana = broker.person("ana").await;
    ask_over_and_over(&ana, 1).await.unwrap();
    refused(ana.request(repair()).await, Code::ResourceExhausted, "BUDGET_COMMANDS");
    let path = broker.organisation.path("broker.toml");
    let text = std::fs::read_to_string(&path).unwrap();
    let reload = |rate: &str| {
        std::fs::write(&path, text.replace("1 at once, 1 each 7d", rate)).unwrap();
        let hung_up = std::process::Command::new("kill").arg("-HUP").arg(broker.id().to_string()).status();
        assert!(hung_up.unwrap().success());
    };
    // when what is read again has a mistake, then it is told, and nothing changes
    reload("0 at once, 1 each 1s");
    eventually("the mistake", async || broker.printed().contains("a rate such as").then_some(())).await;
    refused(ana.request(repair()).await, Code::ResourceExhausted, "BUDGET_COMMANDS");
    // and when it has none, then it counts from the next command on
    reload("100 at once, 1000 each 1ms");
    eventually("the other rate", async || ana.request(repair()).await.ok()).await;
}

/// Each name that the examples of alerts and of a dashboard use is one that the broker has.
#[tokio::test]
async fn alerts_and_dashboards_name_what_a_broker_tells() {
    let (broker, metrics) = broker("person_commands = \"1 at once, 1 each 7d\"");
    let ana = broker.person("ana").await;
    let waiting = ana.request(repair()).await.unwrap();
    refused(ana.request(repair()).await, Code::ResourceExhausted, "BUDGET_COMMANDS");
    eventually("one waits", async || (metric(metrics, &["elevations_pending "]) == 1).then_some(())).await;
    ana.withdraw(&waiting.id).await.unwrap();
    eventually("none waits", async || (metric(metrics, &["elevations_pending "]) == 0).then_some(())).await;
    assert_eq!(metric(metrics, &["countersign_build_info", env!("CARGO_PKG_VERSION")]), 1);
    // and how long things take, how many rows an append had, and when certificates end
    for (name, least) in [
        ("countersign_queue_seconds_count", 2),
        ("countersign_decide_seconds_count", 2),
        ("countersign_append_seconds_count", 2),
        ("countersign_batch_rows_count", 2),
        ("countersign_call_seconds_count{method=\"/countersign.v1.ElevationService/RequestElevation\"}", 1),
        ("countersign_certificate_end_seconds{of=\"broker\"}", 1_700_000_000),
        ("countersign_certificate_end_seconds{of=\"authority\"}", 1_700_000_000),
        ("countersign_requirements_lapsing ", 0),
    ] {
        eventually(name, async || (metric(metrics, &[name]) >= least).then_some(())).await;
        assert!(page(metrics).contains(name), "{name}");
    }
    let (other, approver) = (broker.engineer().await, broker.person("ben").await);
    other.granted(repair(), &approver).await;
    eventually("one is open", async || (metric(metrics, &["grants_open "]) == 1).then_some(())).await;
    let page = page(metrics);
    let alerts = include_str!("../../examples/alerts.yaml");
    let dashboard = include_str!("../../examples/grafana.json");
    let panels: serde_json::Value = serde_json::from_str(dashboard).unwrap();
    let named: Vec<String> = panels["panels"]
        .as_array()
        .unwrap()
        .iter()
        .flat_map(|panel| {
            let targets = panel["targets"].as_array().unwrap();
            targets.iter().map(|target| target["expr"].as_str().unwrap().to_owned())
        })
        .collect();
    let families: Vec<&str> = page.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next()).collect();
    for (text, least) in [(alerts, 12), (&*named.join(" "), 20)] {
        let names: std::collections::BTreeSet<&str> = text
            .split(|character: char| !character.is_ascii_alphanumeric() && character != '_')
            .filter(|word| word.starts_with("countersign_"))
            .collect();
        assert!(names.len() >= least, "{names:?}");
        for name in names {
            let family = name.trim_end_matches("_total").trim_end_matches("_bucket");
            // What has not been counted yet is not on the page.
            let registered = format!("\"{}\"", family.trim_start_matches("countersign_"));
            let is_known = include_str!("../../src/server/metrics.rs").contains(&registered);
            assert!(families.contains(&family) || is_known, "{name} is not among\n{page}");
        }
    }
    for text in alerts.split("See \"").skip(1) {
        let heading = text.split('"').next().unwrap();
        assert!(include_str!("../../docs/operations.md").contains(&format!("\n## {heading}\n")), "{heading}");
    }
}

/// A policy that is sent for validation and does not end until the sender is dropped.
async fn validating(person: &Person) -> (Sender<pb::ValidatePolicyRequest>, JoinHandle<Result<(), Status>>) {
    let (pieces, sent) = channel(1);
    let mut policy = person.policy();
    let call = async move { policy.validate_policy(ReceiverStream::new(sent)).await.map(|_| ()) };
    let call = tokio::spawn(call);
    pieces.send(pb::ValidatePolicyRequest { chunk: b"[roles.x]\n".to_vec() }).await.unwrap();
    (pieces, call)
}

/// known failure G28
#[tokio::test]
async fn dear_work_has_few_places_and_whoever_goes_away_gives_theirs_back() {
    // given one who has as many files examined as one may, none of which ends
    let (broker, metrics) = broker("dear_places = 4");
    let (ana, omar) = (broker.person("ana").await, broker.person("omar").await);
    let first = validating(&ana).await;
    let second = validating(&ana).await;
    let one_more = async || {
        let (pieces, call) = validating(&ana).await;
        drop(pieces);
        call.await.unwrap()
    };
    // then one more is refused before it is read
    let refusal = eventually("they are all there", async || one_more().await.err()).await;
    assert_eq!((refusal.code(), reason(&refusal).as_str()), (Code::ResourceExhausted, "BUDGET_WORK"), "{refusal:?}");
    // and others, and an auditor with a question about the past, have theirs
    let (pieces, third) = validating(&broker.engineer().await).await;
    drop(pieces);
    third.await.unwrap().unwrap();
    omar.audit().report_standing(pb::ReportStandingRequest::default()).await.unwrap();
    // when one is dropped in the middle, and one ends, then both places are free
    first.1.abort();
    drop(first.0);
    drop(second.0);
    second.1.await.unwrap().unwrap();
    eventually("a place is free", async || one_more().await.ok()).await;
    assert!(metric(metrics, &["budget_refused_total", "dear_places"]) >= 1);
}
