//! A campaign against the store: brokers under load are killed, stopped, cut from power and run into full disks, their
//! files are damaged, and they are started again. Nothing that was acknowledged may be gone without a word, nothing that
//! was revoked alive, and no honest start refused (invariant 8, known failures H1 to H3, H5, H6, H8, H10).
//!
//! `scripts/soak` runs it for as long as it is told; the suite runs it not at all.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests may panic")]
#![allow(clippy::as_conversions, clippy::arithmetic_side_effects, unreachable_pub, dead_code, reason = "tests")]
#![allow(clippy::print_stdout, clippy::disallowed_methods, reason = "a campaign lasts for as long as it is told")]

#[path = "store_campaign/chance.rs"]
mod chance;
mod common;
#[path = "end_to_end/harness.rs"]
mod harness;
#[path = "store_campaign/load.rs"]
mod load;
#[path = "end_to_end/organisation.rs"]
mod organisation;
#[path = "end_to_end/person.rs"]
mod person;
#[path = "store_campaign/power_cut.rs"]
mod power_cut;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use chance::Chance;
use harness::{Broker, Start, run};
use load::{Acknowledged, Load, compare, now_micros};
use organisation::Organisation;
use power_cut::{Files, Record, files_in, put_back, recorder};

/// What a broker's own files are, in a folder of their own within the organisation's.
const STORE: &str = "store";

#[derive(Default, Debug)]
struct Counts {
    scenes: BTreeMap<&'static str, usize>,
    acknowledged: usize,
    looked_at: usize,
    starts: usize,
    /// Damage that a start named, and what it named.
    named: usize,
    accepted: usize,
    lost_in_silence: Vec<String>,
    revived: Vec<String>,
    honest_refused: Vec<String>,
}

impl Counts {
    fn faults(&self) -> usize {
        self.lost_in_silence.len() + self.revived.len() + self.honest_refused.len()
    }
}

/// What was done to the files before a start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Damage {
    FlipMain,
    FlipLog,
    FlipSide,
    FlipMark,
    CutLog,
    NoLog,
    NoMark,
    OldCopy,
}

const DAMAGES: [Damage; 8] = [
    Damage::FlipMain,
    Damage::FlipLog,
    Damage::FlipSide,
    Damage::FlipMark,
    Damage::CutLog,
    Damage::NoLog,
    Damage::NoMark,
    Damage::OldCopy,
];

/// An organisation whose store lives on through scenes, and what was acknowledged to its people.
struct Scene {
    organisation: Arc<Organisation>,
    told: Arc<Mutex<Acknowledged>>,
    /// The store as it was at an earlier clean stop.
    earlier: Option<Files>,
}

impl Scene {
    fn new() -> Self {
        let organisation = Organisation::new();
        std::fs::create_dir(organisation.path(STORE)).unwrap();
        organisation.configure_without_budgets();
        let text = std::fs::read_to_string(organisation.path("broker.toml")).unwrap();
        let text = text.replacen("\"journal.db\"", &format!("\"{STORE}/journal.db\""), 1);
        std::fs::write(organisation.path("broker.toml"), text).unwrap();
        let mut init = harness::countersign();
        init.arg("init").arg("--policy").arg(organisation.path("policy.toml"));
        init.arg("--directory").arg(organisation.path("directory.toml"));
        init.arg("--journal").arg(organisation.path(STORE).join("journal.db"));
        let ended = run(&mut init);
        assert_eq!(ended.code, Some(0), "{}{}", ended.stdout, ended.stderr);
        Self { organisation: Arc::new(organisation), told: Arc::default(), earlier: None }
    }

    fn store(&self) -> PathBuf {
        self.organisation.path(STORE)
    }

    fn told(&self) -> Acknowledged {
        self.told.lock().unwrap().clone()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a campaign: scripts/soak runs it"]
async fn nothing_acknowledged_is_lost_without_a_word() {
    let setting = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let until = Instant::now() + Duration::from_secs(setting("COUNTERSIGN_CAMPAIGN_SECONDS").unwrap_or(60));
    let seed = setting("PROPTEST_RNG_SEED").unwrap_or_else(now_micros);
    println!("seed {seed}");
    let (mut chance, mut counts, mut scene) = (Chance::new(seed), Counts::default(), Scene::new());
    let mut turn = 0;
    while Instant::now() < until {
        // Each kind in turn; what within it, by chance.
        match turn % 5 {
            0 => killed(&mut scene, &mut counts, &mut chance).await,
            1 => stopped(&mut scene, &mut counts, &mut chance).await,
            2 => power_cut_at_many_moments(&mut scene, &mut counts, &mut chance).await,
            3 => full_disk(&mut scene, &mut counts, &mut chance).await,
            _ => scene = damaged(scene, &mut counts, &mut chance).await,
        }
        turn += 1;
    }
    println!("{counts:#?}");
    assert_eq!(counts.faults(), 0);
}

/// Serves what is there, honestly: a refusal is one of the three that must not be.
async fn honest(scene: &mut Scene, counts: &mut Counts, what: &'static str, before: u64) {
    *counts.scenes.entry(what).or_default() += 1;
    counts.starts += 1;
    match Broker::try_serve(&scene.organisation, &Start::default()) {
        Ok(broker) => {
            judge(&broker, &scene.told(), before, counts, what).await;
            broker.terminate();
            broker.ended().await;
        }
        Err(printed) => {
            println!("{what}: refused: {printed}");
            counts.honest_refused.push(format!("{what}: {printed}"));
            *scene = Scene::new();
        }
    }
}

async fn judge(broker: &Broker, told: &Acknowledged, before: u64, counts: &mut Counts, what: &str) {
    let compared = compare(broker, told, before).await;
    counts.looked_at += compared.looked_at;
    if !compared.lost.is_empty() || !compared.revived.is_empty() {
        println!("{what}: {compared:?}");
    }
    counts.lost_in_silence.extend(compared.lost.iter().map(|id| format!("{what}: {id}")));
    counts.revived.extend(compared.revived.iter().map(|id| format!("{what}: {id}")));
}

/// A broker under load for a while, as the scene's next act finds it.
async fn under_load(scene: &Scene, start: &Start, calls: usize, counts: &mut Counts) -> Option<(Broker, Load)> {
    counts.starts += 1;
    match Broker::try_serve(&scene.organisation, start) {
        Ok(broker) => {
            let before = scene.told().count;
            let load = Load::on(&broker, &scene.told).await;
            load.works(calls).await;
            counts.acknowledged += scene.told().count - before;
            Some((broker, load))
        }
        Err(printed) => {
            counts.honest_refused.push(printed);
            None
        }
    }
}

async fn killed(scene: &mut Scene, counts: &mut Counts, chance: &mut Chance) {
    let Some((broker, load)) = under_load(scene, &Start::default(), 10 + chance.below(80), counts).await else {
        return;
    };
    broker.kill();
    load.end().await;
    honest(scene, counts, "killed", u64::MAX).await;
}

async fn stopped(scene: &mut Scene, counts: &mut Counts, chance: &mut Chance) {
    let Some((broker, load)) = under_load(scene, &Start::default(), 10 + chance.below(80), counts).await else {
        return;
    };
    broker.terminate();
    let (code, printed, _) = broker.ended().await;
    assert_eq!(code, Some(0), "{printed}");
    load.end().await;
    assert_eq!(verify_store(scene), Some(0));
    scene.earlier = Some(files_in(&scene.store()));
    honest(scene, counts, "stopped", u64::MAX).await;
}

fn verify_store(scene: &Scene) -> Option<i32> {
    run(harness::countersign().args(["audit", "verify"]).arg(scene.store().join("journal.db"))).code
}

/// One history, recorded, and what power cuts at many moments of it may leave.
async fn power_cut_at_many_moments(scene: &mut Scene, counts: &mut Counts, chance: &mut Chance) {
    let before = files_in(&scene.store());
    let trace = scene.organisation.path("record");
    let start = Start { under: recorder(&trace), ..Start::default() };
    let Some((broker, load)) = under_load(scene, &start, 40 + chance.below(80), counts).await else { return };
    if chance.one_in(3) {
        broker.terminate();
        broker.ended().await;
    } else {
        broker.kill();
    }
    load.end().await;
    // The recorder writes its last line when the process is gone.
    harness::eventually("the record's end", async || {
        std::fs::read_to_string(&trace).is_ok_and(|text| text.trim_end().ends_with("+++")).then_some(())
    })
    .await;
    let (after, told) = (files_in(&scene.store()), scene.told());
    let record = Record::read(&trace, &scene.store());
    assert!(record.syncs() >= 5, "the record is none: {}", record.syncs());
    let (first, last) = record.moments();
    for _ in 0..6 {
        let moment = first + u64::try_from(chance.below(usize::try_from(last - first).unwrap())).unwrap();
        let left = record.cut_at(&before, moment, chance);
        put_back(&scene.store(), &left);
        let faults = counts.faults();
        honest(scene, counts, "power cut", moment).await;
        if counts.faults() > faults {
            keep_for_a_look(&left);
            *scene = Scene::new();
            return;
        }
    }
    put_back(&scene.store(), &after);
    *scene.told.lock().unwrap() = told;
}

/// Files that showed a fault stay, in a folder that is named.
fn keep_for_a_look(files: &Files) {
    let folder = tempfile::tempdir().unwrap().keep();
    for (path, bytes) in files {
        std::fs::write(folder.join(path.file_name().unwrap()), bytes).unwrap();
    }
    println!("kept for a look: {}", folder.display());
}

/// A disk of its own that is filled under load; then a kill, and another start with room.
async fn full_disk(scene: &mut Scene, counts: &mut Counts, chance: &mut Chance) {
    let store = scene.store();
    let size: u64 = files_in(&store).values().map(|bytes| u64::try_from(bytes.len()).unwrap()).sum();
    let room = size + 300_000 + u64::try_from(chance.below(2_000_000)).unwrap();
    let copy = scene.organisation.path("copy");
    let script = format!(
        "cp -a '{store}' '{copy}' && mount -t tmpfs -o size={room},mode=700 tmpfs '{store}' && \
         cp -a '{copy}/.' '{store}/' && exec \"$@\"",
        store = store.display(),
        copy = copy.display()
    );
    let under = ["unshare", "-rm", "sh", "-c", &script, "sh"].map(str::to_owned).to_vec();
    let start = Start { under, ..Start::default() };
    let Some((broker, load)) = under_load(scene, &start, 400, counts).await else { return };
    // As it is at this moment: nothing of it is gone with the name space.
    let stopped = std::process::Command::new("kill").arg("-STOP").arg(broker.id().to_string()).status().unwrap();
    assert!(stopped.success());
    let inside = PathBuf::from(format!("/proc/{}/root{}", broker.id(), store.display()));
    let left: Files =
        files_in(&inside).into_iter().map(|(path, bytes)| (store.join(path.file_name().unwrap()), bytes)).collect();
    broker.kill();
    load.end().await;
    std::fs::remove_dir_all(copy).unwrap();
    put_back(&store, &left);
    honest(scene, counts, "full disk", u64::MAX).await;
}

/// Damage after a kill or a clean stop. A start finds all that was acknowledged, or says what is wrong.
async fn damaged(scene: Scene, counts: &mut Counts, chance: &mut Chance) -> Scene {
    let Some((broker, load)) = under_load(&scene, &Start::default(), 20 + chance.below(60), counts).await else {
        return Scene::new();
    };
    let damage = DAMAGES[chance.below(DAMAGES.len())];
    let by_kill = damage == Damage::CutLog || damage == Damage::NoLog || chance.one_in(2);
    if by_kill {
        // The mark is at most a tenth of a second behind.
        tokio::time::sleep(Duration::from_millis(150)).await;
        broker.kill();
    } else {
        broker.terminate();
        broker.ended().await;
    }
    load.end().await;
    if !damage_files(&scene, damage, chance) {
        return scene;
    }
    *counts.scenes.entry("damaged").or_default() += 1;
    counts.starts += 1;
    let what = format!("{damage:?} after a {}", if by_kill { "kill" } else { "clean stop" });
    let refused = match Broker::try_serve(&scene.organisation, &Start::default()) {
        Ok(broker) => {
            // What was acknowledged in the last tenth of a second before a kill may have no mark yet.
            let before = if by_kill { now_micros_of_mark(&scene) } else { u64::MAX };
            judge(&broker, &scene.told(), before, counts, &what).await;
            return Scene::new();
        }
        Err(refused) => refused,
    };
    counts.named += 1;
    if let Some(accepted) = sequence_to_accept(&refused) {
        let flags = vec!["--accept-loss".to_owned(), accepted];
        match Broker::try_serve(&scene.organisation, &Start { flags, ..Start::default() }) {
            Ok(broker) => {
                counts.accepted += 1;
                nobody_is_let_in(&broker, counts, &what).await;
            }
            Err(printed) => counts.honest_refused.push(format!("{what}, with its loss accepted: {printed}")),
        }
    } else {
        println!("{what}: {}", refused.lines().last().unwrap_or_default());
    }
    Scene::new()
}

/// Before the last tenth of a second (and some more) of what was acknowledged.
fn now_micros_of_mark(scene: &Scene) -> u64 {
    let told = scene.told();
    let newest = told.by_elevation.values().flatten().map(|(at, ..)| *at).max().unwrap_or(0);
    newest.saturating_sub(250_000)
}

fn sequence_to_accept(printed: &str) -> Option<String> {
    let (_, after) = printed.split_once("--accept-loss ")?;
    let digits: String = after.chars().take_while(char::is_ascii_digit).collect();
    (!digits.is_empty()).then_some(digits)
}

async fn nobody_is_let_in(broker: &Broker, counts: &mut Counts, what: &str) {
    let orders = broker.person("orders-api").await;
    for number in 1..=6 {
        let name = format!("eng{number:02}");
        let verdict = orders.verdict(&name, "db.read", person::ORDERS).await.0;
        if verdict == countersign::wire::v1::Verdict::Allow {
            counts.revived.push(format!("{what}: {name} is let in"));
        }
    }
}

/// Does the damage; false where there is nothing of that kind to damage.
fn damage_files(scene: &Scene, damage: Damage, chance: &mut Chance) -> bool {
    let store = scene.store();
    let named = |part: &str| {
        let names = files_in(&store).into_keys();
        names.into_iter().find(|path| path.file_name().unwrap().to_string_lossy().contains(part))
    };
    let flip = |path: Option<PathBuf>, chance: &mut Chance| {
        let Some(path) = path else { return false };
        let mut bytes = std::fs::read(&path).unwrap();
        if bytes.is_empty() {
            return false;
        }
        let at = chance.below(bytes.len());
        bytes[at] ^= 1 << chance.below(8);
        std::fs::write(path, bytes).unwrap();
        true
    };
    let log = store.join("journal.db-wal");
    match damage {
        Damage::FlipMain => flip(Some(store.join("journal.db")), chance),
        Damage::FlipLog => flip(log.exists().then_some(log), chance),
        Damage::FlipSide => flip(named("index"), chance),
        Damage::FlipMark => flip(named("mark"), chance),
        Damage::CutLog => {
            let Ok(bytes) = std::fs::read(&log) else { return false };
            if bytes.is_empty() {
                return false;
            }
            std::fs::write(&log, &bytes[..chance.below(bytes.len())]).unwrap();
            true
        }
        Damage::NoLog => std::fs::remove_file(&log).is_ok(),
        Damage::NoMark => named("mark").is_some_and(|path| std::fs::remove_file(path).is_ok()),
        Damage::OldCopy => {
            let Some(earlier) = &scene.earlier else { return false };
            // All but the mark, as whoever restores a backup of the journal does.
            let mark = files_in(&store).into_iter().filter(|(path, _)| path.to_string_lossy().contains("mark"));
            let mut files = earlier.clone();
            files.extend(mark);
            put_back(&store, &files);
            true
        }
    }
}
