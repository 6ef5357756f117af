//! What the journal costs beside the least that could be done: the same rows into a plain SQLite table of the same
//! settings, already encoded and hashed, and into a plain file with fdatasync. The four are interleaved commit by
//! commit, so that a slow moment of the disk meets all of them; printed are medians over chunks of commits.
//!
//! `cargo bench --bench append`. Criterion measures one thing after another, so it is not used here.
#![allow(clippy::disallowed_methods, clippy::print_stdout, clippy::unwrap_used, clippy::as_conversions)]
#![allow(clippy::indexing_slicing)]

use std::fs::File;
use std::hint::black_box;
use std::io::Write as _;
use std::path::Path;
use std::time::{Duration, Instant};

use countersign::domain::value::ids::Digest;
use countersign::journal::{Head, Journal, MarkedJournal, Options, Row, SqliteJournal};
use rusqlite::{Connection, params};
use serde::Serialize;
use sha2::{Digest as _, Sha256};

const CHUNKS: usize = 20;

/// Rows a commit, and commits a chunk.
const CASES: [(u64, usize); 3] = [(1, 40), (16, 25), (128, 20)];

#[derive(Serialize)]
struct Event<'a> {
    seq: u64,
    at: u64,
    actor: &'a str,
    kind: &'a str,
    about: [&'a str; 3],
    facts: Facts<'a>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    last: bool,
}

#[derive(Serialize)]
struct Facts<'a> {
    elevation: &'a str,
    approver: &'a str,
    stage: u32,
    text_digest: &'a str,
    note: &'a str,
}

fn main() {
    // Without `--bench` cargo only asks whether this runs at all.
    let in_earnest = std::env::args().any(|argument| argument == "--bench");
    println!("rows/commit   rows/s   of plain SQLite + encoding + hashing   of plain SQLite   of a plain file");
    for (rows, commits) in CASES {
        let directory = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let mut four = Four::new(directory.path());
        four.commit(rows);
        let (chunks, commits) = if in_earnest { (CHUNKS, commits) } else { (1, 1) };
        let chunks: Vec<[f64; 4]> = (0..chunks)
            .map(|_| {
                let mut sums = [0.0; 4];
                for _ in 0..commits {
                    let times = four.commit(rows);
                    sums.iter_mut().zip(times).for_each(|(sum, time)| *sum += time.as_secs_f64());
                }
                sums
            })
            .collect();
        let over = |ratio: &dyn Fn(&[f64; 4]) -> f64| median(chunks.iter().map(ratio).collect());
        println!(
            "{rows:>11} {:>8.0} {:>38.3} {:>17.3} {:>17.3}",
            over(&|[ours, ..]| (rows as f64) * (commits as f64) / ours),
            over(&|[ours, plain, _, encoding]| (plain + encoding) / ours),
            over(&|[ours, plain, ..]| plain / ours),
            over(&|[ours, _, file, _]| file / ours),
        );
        drop(four);
        let begin = Instant::now();
        let path = directory.path().join("journal.db");
        let (_, found) = SqliteJournal::open(&path, Options::default(), &mut |_| Ok(())).unwrap();
        let seconds = begin.elapsed().as_secs_f64();
        println!("{:>11} opening verifies {:.0} rows/s", "", (found.head.sequence as f64) / seconds);
    }
    println!("rows/commit   of the same without a head mark");
    for (rows, _) in CASES {
        println!("{rows:>11} {:>33.3}", with_mark(rows, in_earnest));
    }
}

/// The rate of a journal that its head mark follows, by that of one without; the median of neighbouring pairs, each as
/// long as several marks.
fn with_mark(rows: u64, in_earnest: bool) -> f64 {
    let directory = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let (pairs, lasting) = if in_earnest { (60, Duration::from_millis(250)) } else { (1, Duration::ZERO) };
    let path = |name| directory.path().join(name);
    let mut plain = SqliteJournal::create(&path("plain.db"), Options::default()).unwrap();
    drop(SqliteJournal::create(&path("marked.db"), Options::default()).unwrap());
    let mut marked = MarkedJournal::open(&path("marked.db"), Options::default(), &mut |_| Ok(())).unwrap().journal;
    marked.settle().unwrap();
    let ratios = (0..pairs).map(|pair| {
        let journals: [&mut dyn Journal; 2] = [&mut plain, &mut marked];
        let mut rates = [0.0; 2];
        for step in 0..2 {
            let which = (step + pair) % 2;
            rates[which] = commits_a_second(journals[which], rows, lasting);
        }
        rates[1] / rates[0]
    });
    median(ratios.collect())
}

fn commits_a_second(journal: &mut dyn Journal, rows: u64, lasting: Duration) -> f64 {
    let begin = Instant::now();
    let mut commits = 0.0;
    while commits < 1.0 || begin.elapsed() < lasting {
        journal.append(journal.head(), &encode(journal.head(), rows)).unwrap();
        journal.maintain();
        commits += 1.0;
    }
    let rate = commits / begin.elapsed().as_secs_f64();
    // What is left to be marked is not the other one's burden.
    journal.flush_mark();
    rate
}

/// The journal and what it is compared with, each at its own place on the same disk.
struct Four {
    journal: SqliteJournal,
    plain: Connection,
    file: File,
    turn: usize,
}

impl Four {
    fn new(directory: &Path) -> Self {
        let plain = Connection::open(directory.join("plain.db")).unwrap();
        plain
            .execute_batch(
                "PRAGMA journal_mode = wal; PRAGMA synchronous = full; PRAGMA wal_autocheckpoint = 1000;
                 CREATE TABLE journal(seq INTEGER PRIMARY KEY, body TEXT NOT NULL, hash BLOB NOT NULL) STRICT;",
            )
            .unwrap();
        Self {
            journal: SqliteJournal::create(&directory.join("journal.db"), Options::default()).unwrap(),
            plain,
            file: File::create(directory.join("plain.log")).unwrap(),
            turn: 0,
        }
    }

    /// One commit of each, beginning with another each time: the journal, plain SQLite, a file, encoding and hashing.
    fn commit(&mut self, count: u64) -> [Duration; 4] {
        let head = self.journal.head();
        let rows = encode(head, count);
        let hashes = hash(head, &rows);
        let mut times = [Duration::ZERO; 4];
        for step in 0..4 {
            let which = (step + self.turn) % 4;
            let begin = Instant::now();
            match which {
                0 => {
                    self.journal.append(head, &encode(head, count)).unwrap();
                    self.journal.maintain();
                }
                1 => insert(&mut self.plain, &rows, &hashes),
                2 => write(&mut self.file, &rows, &hashes),
                _ => drop(black_box(hash(head, &encode(head, count)))),
            }
            times[which] = begin.elapsed();
        }
        self.turn += 1;
        times
    }
}

fn encode(head: Head, count: u64) -> Vec<Row> {
    (1..=count)
        .map(|n| {
            let facts = Facts {
                elevation: "0197c9a2-7f3b-7cc1-8000-0123456789ab",
                approver: "person:ben",
                stage: 1,
                text_digest: "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
                note: "read the ticket, the scope is right, go on",
            };
            let event = Event {
                seq: head.sequence + n,
                at: 1_763_849_000_000 + n,
                actor: "account:ben",
                kind: "elevation-approved/1",
                about: ["elevation:0197c9a2-7f3b-7cc1-8000-0123456789ab", "person:ana", "person:ben"],
                facts,
                last: n == count,
            };
            Row { sequence: event.seq, body: serde_json::to_string(&event).unwrap() }
        })
        .collect()
}

fn hash(head: Head, rows: &[Row]) -> Vec<Digest> {
    let mut previous = head.hash;
    rows.iter()
        .map(|row| {
            let hash = Sha256::new().chain_update(previous.bytes()).chain_update(&row.body).finalize();
            previous = Digest::from(<[u8; 32]>::from(hash));
            previous
        })
        .collect()
}

fn insert(plain: &mut Connection, rows: &[Row], hashes: &[Digest]) {
    let transaction = plain.transaction().unwrap();
    {
        let sql = "INSERT INTO journal(seq, body, hash) VALUES (?1, ?2, ?3)";
        let mut insert = transaction.prepare_cached(sql).unwrap();
        for (row, hash) in rows.iter().zip(hashes) {
            insert.execute(params![row.sequence as i64, row.body, hash.bytes().as_slice()]).unwrap();
        }
    }
    transaction.commit().unwrap();
}

fn write(file: &mut File, rows: &[Row], hashes: &[Digest]) {
    let mut bytes = Vec::new();
    for (row, hash) in rows.iter().zip(hashes) {
        bytes.extend_from_slice(row.body.as_bytes());
        bytes.extend_from_slice(hash.bytes());
    }
    file.write_all(&bytes).unwrap();
    file.sync_data().unwrap();
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
