//! The architecture of design.md 2 and the house rules that no lint knows, as a test; after TigerBeetle's `src/tidy.zig`.
//! The checker itself is tested with snippets: for each rule one that breaks it, and what looks alike and does not.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "the helpers of a test may fail it")]

#[path = "architecture/checker.rs"]
mod checker;
#[path = "architecture/circles.rs"]
mod circles;
#[path = "architecture/citations.rs"]
mod citations;
#[path = "architecture/floors.rs"]
mod floors;
#[path = "architecture/handlers.rs"]
mod handlers;
#[path = "architecture/rooms.rs"]
mod rooms;
#[path = "architecture/rules.rs"]
mod rules;
#[path = "architecture/snippets.rs"]
mod snippets;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use checker::{Fault, check};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Every file under `src/`, as (path from the package's root, text). Generated code is in OUT_DIR, not here.
fn sources() -> Vec<(String, String)> {
    files("src")
}

fn files(under: &str) -> Vec<(String, String)> {
    let mut folders = vec![root().join(under)];
    let mut found = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path: PathBuf = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let name = path.strip_prefix(root()).unwrap().to_str().unwrap().to_owned();
                found.push((name, fs::read_to_string(&path).unwrap()));
            }
        }
    }
    found.sort();
    found
}

/// The names of the package's dependencies, of every feature, as code writes them.
fn dependencies() -> BTreeSet<String> {
    let manifest: toml::Table = fs::read_to_string(root().join("Cargo.toml")).unwrap().parse().unwrap();
    let names = |section: &str| manifest[section].as_table().unwrap().keys().cloned().collect::<Vec<_>>();
    names("dependencies").into_iter().map(|name| name.replace('-', "_")).collect()
}

#[test]
fn the_source_keeps_the_architecture() {
    let dependencies = dependencies();
    let faults: Vec<Fault> = sources().iter().flat_map(|(path, text)| check(path, text, &dependencies)).collect();
    let told: Vec<String> = faults.iter().map(ToString::to_string).collect();
    assert!(faults.is_empty(), "{} broken rules:\n{}", told.len(), told.join("\n"));
}

/// Whoever closes a descriptor of a file that SQLite has open drops SQLite's locks on it (known failure H23). So files are
/// opened where it is known which ones they are: the lock beside the journal and new files (`file.rs`), the one
/// descriptor of the journal (`guard.rs`), a copy (`ending.rs`), the log, on which SQLite has no locks (`log.rs`), and the
/// head mark with its folder (`mark.rs`, `marker.rs`).
#[test]
fn no_file_that_sqlite_has_open_is_opened_beside_it() {
    let rooms = ["src/journal/", "src/engine/", "src/cli/demo/", "src/cli/audit/verify.rs", "src/cli/broker/init.rs"];
    let opens = ["fs::read(", "fs::read_to_string(", "fs::copy(", "File::open(", "File::create(", "OpenOptions::new("];
    let mut found = std::collections::BTreeMap::new();
    for (path, text) in sources() {
        if rooms.iter().any(|room| path.starts_with(room)) && !path.ends_with("_tests.rs") {
            let text = text.split("#[cfg(test)]\nmod ").next().unwrap();
            let count: usize = opens.iter().map(|open| text.matches(open).count()).sum();
            if count > 0 {
                found.insert(path, count);
            }
        }
    }
    let known = [("cli/demo/ending", 1), ("journal/file", 4), ("journal/guard", 1)];
    let mark = [("journal/log", 2), ("journal/mark", 2), ("journal/marker", 2)];
    let known = known.into_iter().chain(mark).map(|(path, count)| (format!("src/{path}.rs"), count));
    assert_eq!(found, known.collect());
}

/// Searches for what reads a clock and finds one place for each.
#[test]
fn each_clock_is_read_in_one_place() {
    for reads in ["SystemTime::now(", "clock_gettime("] {
        let places: Vec<(String, usize)> = sources()
            .into_iter()
            .flat_map(|(path, text)| {
                let lines = text.lines().enumerate().filter(|(_, line)| line.contains(reads)).map(|(at, _)| at + 1);
                lines.map(|line| (path.clone(), line)).collect::<Vec<_>>()
            })
            .collect();
        assert_eq!(places.len(), 1, "`{reads}` at {places:?}");
        assert_eq!(places[0].0, rules::CLOCK_FILE);
    }
}

/// docs/known-failures.md names tests that are there.
#[test]
fn every_test_named_in_the_known_failures_is_there() {
    let page = fs::read_to_string(root().join("docs/known-failures.md")).unwrap();
    let code: String = sources().into_iter().chain(files("tests")).map(|(_, text)| text).collect();
    let rows = page.lines().filter(|line| line.starts_with("| ") && !line.starts_with("| row "));
    let mut found = 0;
    for row in rows {
        let tests = row.trim_end_matches(" |").rsplit(" | ").next().unwrap();
        for test in tests.split(", ").map(|test| test.trim_matches('`')) {
            let name = test.rsplit("::").next().unwrap();
            assert!(code.contains(&format!("fn {name}(")), "no test `{test}`, in the row: {row}");
            found += 1;
        }
    }
    assert!(found > 10, "the table was not read: {found} tests found");
}

/// The table has no layer that may use itself by way of another: an architecture is not a ring.
#[test]
fn the_layers_are_in_order() {
    let of = |name: &str| rules::LAYERS.iter().find(|layer| layer.name == name).unwrap();
    for layer in rules::LAYERS {
        for below in layer.may_use {
            assert!(!of(below).may_use.contains(&layer.name), "{} and {below} use each other", layer.name);
            for further in of(below).may_use {
                assert!(layer.may_use.contains(further), "{} uses {below}, which uses {further}", layer.name);
            }
        }
    }
}
