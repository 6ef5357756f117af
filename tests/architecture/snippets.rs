//! Bad files, each of which must be caught by the rule named, and innocent ones that must not be.

use std::collections::BTreeSet;

use crate::checker::check;

fn dependencies() -> BTreeSet<String> {
    [
        "tokio",
        "tonic",
        "prost",
        "rusqlite",
        "dashmap",
        "chrono",
        "serde",
        "uuid",
        "clap",
        "anyhow",
        "thiserror",
        "rustix",
    ]
    .map(str::to_owned)
    .into()
}

fn rules_broken(path: &str, text: &str) -> BTreeSet<&'static str> {
    check(path, text, &dependencies()).into_iter().map(|fault| fault.rule).collect()
}

#[track_caller]
fn caught(path: &str, rule: &'static str, text: &str) {
    let broken = rules_broken(path, text);
    assert_eq!(broken, BTreeSet::from([rule]), "{path}: {text}");
}

#[track_caller]
fn innocent(path: &str, text: &str) {
    let faults = check(path, text, &dependencies());
    assert!(faults.is_empty(), "{path}: {text}: {faults:?}");
}

#[test]
fn a_layer_is_not_left_by_a_use() {
    caught("src/domain/decide.rs", "layer", "use crate::engine::Engine;");
    caught("src/domain/decide.rs", "layer", "use crate::{domain::ids, journal::{sqlite, memory}};");
    caught("src/domain/decide.rs", "layer", "use super::super::clock::Clock;");
    caught("src/domain/decide.rs", "layer", "use crate::wire as shapes;");
    caught("src/domain/mod.rs", "layer", "use super::engine;");
    caught("src/journal/mod.rs", "layer", "use crate::engine::Batch;");
    caught("src/wire/mod.rs", "layer", "use crate::server::reasons;");
    caught("src/sdk/mod.rs", "layer", "use crate::server::reasons;");
    caught("src/server/check/access.rs", "layer", "use crate::cli::table;");
    caught("src/server/check/access.rs", "layer", "use crate::sdk::Client;");
    caught("src/check/index.rs", "layer", "use crate::clock::Clock;");
    caught("src/clock/anchor.rs", "layer", "use crate::check::Verdict;");
    innocent("src/domain/decide.rs", "use super::ids; use crate::domain::time::Now; use self::inner::X;");
    innocent("src/engine/writer.rs", "use crate::{check, clock, domain::state::State, journal};");
    innocent("src/cli/dev/mod.rs", "use crate::{server, sdk, engine, wire, domain};");
    innocent("src/lib.rs", "pub mod domain; use domain::ids; use crate::engine;");
}

#[test]
fn a_layer_is_not_left_by_a_full_path() {
    caught("src/domain/decide.rs", "layer", "fn f() { crate::engine::start(); }");
    caught("src/domain/decide.rs", "layer", "struct A(super::super::journal::Row);");
    caught("src/domain/decide.rs", "layer", "mod inner { fn f() -> super::super::super::wire::Pb { x } }");
    caught("src/check/index.rs", "layer", "impl crate::engine::Listen for A {}");
    caught("src/journal/row.rs", "layer", "fn f() { log!(crate::server::name(), 1) }");
    caught("src/journal/row.rs", "layer", "macro_rules! m { () => { $crate::engine::start() } }");
    caught("src/journal/row.rs", "layer", "macro_rules! m { () => { use crate::{engine::start}; } }");
    innocent("src/journal/row.rs", "mod inner { fn f() -> super::super::journal::Row { super::engine() } }");
    innocent("src/journal/row.rs", "pub(crate) fn f() {} macro_rules! m { () => { pub(crate) fn g(self) {} } }");
}

#[test]
fn a_layer_is_not_left_by_naming_the_root() {
    caught("src/domain/decide.rs", "layer", "use crate as all;");
    caught("src/domain/decide.rs", "layer", "use crate::{self as all};");
    caught("src/domain/decide.rs", "layer", "use crate::*;");
    caught("src/domain/mod.rs", "layer", "use super::*;");
    innocent("src/domain/value/scope_tests.rs", "use super::*;");
    innocent("src/domain/value/scope.rs", "#[cfg(test)] mod tests { use super::*; }");
}

#[test]
fn a_test_may_not_leave_its_layer_either() {
    caught("src/domain/value/scope_tests.rs", "layer", "use crate::engine::Engine;");
    caught("src/domain/value/scope.rs", "layer", "#[cfg(test)] mod tests { use crate::engine::Engine; }");
}

#[test]
fn a_new_folder_has_a_place_in_the_table() {
    caught("src/helpers/mod.rs", "layer", "pub fn help() {}");
    caught("src/helpers.rs", "layer", "pub fn help() {}");
}

#[test]
fn a_layer_names_its_own_dependencies_alone() {
    caught("src/domain/decide.rs", "dependency", "use tokio::sync::Mutex;");
    caught("src/domain/decide.rs", "dependency", "fn f() -> tonic::Status { x }");
    caught("src/domain/decide.rs", "dependency", "#[derive(prost::Message)] struct A;");
    caught("src/domain/decide.rs", "dependency", "fn f() { say!(rusqlite::version()) }");
    caught("src/domain/decide.rs", "dependency", "extern crate dashmap;");
    caught("src/domain/decide.rs", "dependency", "type A = ::dashmap::DashMap<u8, u8>;");
    caught("src/engine/writer.rs", "dependency", "fn f() -> tonic::Status { x }");
    caught("src/sdk/mod.rs", "dependency", "fn f() -> anyhow::Result<()> { x }");
    caught("src/server/lists.rs", "dependency", "use rusqlite::Connection;");
    caught("src/wire/ids.rs", "dependency", "use tokio::sync::Mutex;");
    innocent("src/domain/decide.rs", "use serde::Serialize; #[derive(thiserror::Error)] struct E;");
    innocent("src/domain/decide.rs", "#[cfg(test)] mod tests { use tokio::sync::Mutex; }");
    innocent("src/journal/sqlite.rs", "use rusqlite::Connection;");
}

#[test]
fn the_domain_has_no_io_no_async_and_no_order_by_chance() {
    for banned in ["fs", "net", "io", "thread", "process", "env", "time"] {
        caught("src/domain/decide.rs", "domain", &format!("use std::{banned};"));
        caught("src/domain/decide.rs", "domain", &format!("use std::{{fmt, {banned}::{{self, x}}}};"));
        caught("src/domain/decide.rs", "domain", &format!("fn f() {{ std::{banned}::x(); }}"));
        caught("src/domain/decide.rs", "domain", &format!("fn f() {{ say!(std::{banned}::x()) }}"));
    }
    caught("src/domain/decide.rs", "domain", "use core::time::Duration;");
    caught("src/domain/decide.rs", "domain", "use std::*;");
    caught("src/domain/decide.rs", "domain", "use std::collections::HashMap;");
    caught("src/domain/decide.rs", "domain", "fn f() { let a: std::collections::HashSet<u8> = x; }");
    caught("src/domain/decide.rs", "domain", "fn f() { uuid::Uuid::new_v4(); }");
    caught("src/domain/decide.rs", "domain", "async fn f() {}");
    caught("src/domain/decide.rs", "domain", "impl A { async fn f() {} }");
    caught("src/domain/decide.rs", "domain", "trait A { async fn f(); }");
    caught("src/domain/decide.rs", "domain", "fn f() { let a = async { 1 }; }");
    caught("src/domain/decide.rs", "domain", "macro_rules! m { () => { async fn f() {} } }");
    innocent("src/domain/decide.rs", "use std::{collections::BTreeMap, fmt, sync::Arc};");
    innocent(
        "src/domain/decide.rs",
        "//! std::fs, HashMap and async fn are not for the domain.\nfn f() -> &'static str { \"std::fs\" }",
    );
    innocent("src/domain/decide_tests.rs", "use std::collections::HashMap;");
    innocent("src/engine/writer.rs", "use std::{collections::HashMap, thread}; async fn f() {}");
}

#[test]
fn clocks_are_read_in_one_file() {
    for reads in [
        "fn f() { std::time::Instant::now(); }",
        "use std::time::Instant; fn f() { Instant::now(); }",
        "use std::time::Instant as Moment; fn f() { Moment::now(); }",
        "fn f() { x.map_or_else(std::time::SystemTime::now, y); }",
        "fn f() { chrono::Utc::now(); }",
        "use chrono::Local;",
        "fn f() { uuid::Uuid::now_v7(); }",
        "fn f() { tokio::time::Instant::now(); }",
        "fn f(a: A) { a.elapsed(); }",
        "fn f() { rustix::time::clock_gettime(x); }",
        "fn f() { say!(\"{}\", Instant::now()) }",
        "fn f() { say!(started.elapsed()) }",
        "#[cfg(test)] mod tests { fn f() { Instant::now(); } }",
    ] {
        caught("src/server/check/access.rs", "clock", reads);
        assert!(!rules_broken("src/clock.rs", reads).contains("clock"), "{reads}");
    }
    caught("src/clock/timekeeper.rs", "clock", "fn f() { SystemTime::now(); }");
    caught("src/domain/decide.rs", "clock", "fn f(clock: &C) { clock.now(); }");
    innocent("src/engine/writer.rs", "fn f(keeper: &Timekeeper) { keeper.now(last); Timekeeper::now(keeper, last); }");
    innocent("src/engine/writer.rs", "async fn f() { tokio::time::sleep(REFRESH_EVERY).await; }");
    innocent("src/domain/decide.rs", "fn f(now: Now) { Now::exactly(now.latest); }");
}

#[test]
fn files_and_functions_are_short() {
    let lines = |count: usize| "    x();\n".repeat(count);
    let long = format!("fn f() {{\n{}}}\n", lines(69));
    caught("src/engine/writer.rs", "function-length", &long);
    caught("src/engine/writer.rs", "function-length", &format!("impl A {{ {long} }}"));
    caught("src/engine/writer.rs", "function-length", &format!("trait A {{ {long} }}"));
    caught("src/engine/writer.rs", "file-length", &"// a line\n".repeat(501));
    caught("src/engine/writer_tests.rs", "file-length", &"// a line\n".repeat(501));
    innocent("src/engine/writer.rs", &format!("fn f() {{\n{}}}\n", lines(68)));
    innocent("src/engine/writer.rs", &format!("#[test]\n{long}"));
    innocent("src/engine/writer.rs", &"// a line\n".repeat(500));
}

#[test]
fn nothing_is_left_for_later() {
    caught("src/engine/writer.rs", "unfinished", "fn f() { todo!() }");
    caught("src/engine/writer.rs", "unfinished", "fn f() { unimplemented!(\"later\") }");
    caught("src/engine/writer.rs", "unfinished", "fn f() { x.map(|_| say!(std::todo!())) }");
    caught("src/engine/writer.rs", "ignored-test", "#[cfg(test)] mod tests { #[test] #[ignore] fn f() {} }");
    caught("src/engine/writer.rs", "ignored-test", "#[test] #[ignore = \"slow\"] fn f() {}");
    caught("src/engine/writer.rs", "ignored-test", "#[cfg_attr(test, ignore)] fn f() {}");
    innocent("src/engine/writer.rs", "fn f(todo: u8) { ignore(todo) }");
}

#[test]
fn a_silenced_lint_says_why() {
    caught("src/engine/writer.rs", "reason", "#[allow(dead_code)] fn f() {}");
    caught("src/engine/writer.rs", "reason", "#![allow(dead_code)]");
    caught("src/engine/writer.rs", "reason", "#[expect(clippy::panic, reason = \"\")] fn f() {}");
    caught("src/engine/writer.rs", "reason", "#[cfg_attr(unix, allow(dead_code))] fn f() {}");
    innocent("src/engine/writer.rs", "#[allow(dead_code, reason = \"the wire needs it\")] fn f() {}");
    innocent("src/engine/writer.rs", "#![cfg_attr(test, allow(clippy::unwrap_used))]");
}

#[test]
fn what_does_not_parse_is_a_fault() {
    caught("src/engine/writer.rs", "parse", "fn f( {");
}

#[test]
fn a_floor_of_the_domain_is_not_left_upward() {
    caught("src/domain/record/lock.rs", "floor", "use crate::domain::state::organisation::Organisation;");
    caught("src/domain/record/lock.rs", "floor", "use super::super::rule::reviewers::first;");
    caught("src/domain/value/ids.rs", "floor", "fn f() -> crate::domain::policy::Policy {}");
    caught("src/domain/directory.rs", "floor", "use super::policy::Policy;");
    caught("src/domain/effect/life.rs", "floor", "fn f() { crate::domain::decide::decide(); }");
    caught("src/domain/rule/issue.rs", "floor", "fn f() { vec![super::super::effect::overlay::X]; }");
    innocent("src/domain/decide/mod.rs", "use super::{effect, rule::visibility, state::State, value};");
    innocent("src/domain/record/lock.rs", "use super::review::Review; use crate::domain::policy::Stage;");
    innocent("src/domain/record/lock.rs", "pub(in crate::domain) struct S;");
    innocent("src/domain/record/lock.rs", "#[cfg(test)] mod tests { use crate::domain::decide::decide; }");
    innocent("src/domain/mod.rs", "pub mod decide; pub use decide::decide;");
}
