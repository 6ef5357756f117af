//! Each rule of separation of duties is missed when it alone is taken away (design.md 4): a copy of the core is built with
//! one rule disabled, and the tests of tests/separation.rs that bear its name must fail, and no others.
//!
//! The copy is a package of its own, with the core and those tests alone, from the same versions of the same crates; it
//! is built beside this package's own build, so that it is fast the second time.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// What the core is built from; a line of `[dependencies]` in Cargo.toml each.
const CRATES: [&str; 10] =
    ["chrono", "imbl", "regex", "serde", "serde_json", "sha2", "thiserror", "toml", "toml_parser", "uuid"];

/// One place of the core, and what stands there without the rule.
struct Removal {
    file: &'static str,
    from: &'static str,
    to: &'static str,
}

#[test]
fn the_tests_pass_with_every_rule_in_place() {
    let failed = failing_tests("none", &[]);
    assert!(failed.is_empty(), "{failed:?}");
}

#[test]
fn without_separation_rule_1_its_tests_fail() {
    removed(
        "1",
        &[Removal {
            file: "policy/separation.rs",
            from: "requesting.intersection(approving).cloned().collect()",
            to: "requesting.intersection(approving).take(0).cloned().collect()",
        }],
    );
}

#[test]
fn without_separation_rule_2_its_tests_fail() {
    removed(
        "2",
        &[Removal {
            file: "policy/separation.rs",
            from: "    conflicts.sort();\n    conflicts\n",
            to: "    conflicts.clear();\n    conflicts\n",
        }],
    );
}

#[test]
fn without_separation_rule_3_its_tests_fail() {
    removed(
        "3",
        &[Removal {
            file: "rule/reviewers.rs",
            from: "if reviewed.behind().contains(reviewer) || now.contains(reviewer) {",
            to: "if reviewer.as_str().is_empty() && (reviewed.behind().contains(reviewer) || now.contains(reviewer)) {",
        }],
    );
}

#[test]
fn without_separation_rule_3_for_identities_its_tests_fail() {
    removed(
        "3",
        &[Removal {
            file: "rule/identities.rs",
            from: "if asked_by_it || organisation",
            to: "if identity.as_str().is_empty() && asked_by_it || identity.as_str().is_empty() && organisation",
        }],
    );
}

#[test]
fn without_separation_rule_4_for_approvers_its_tests_fail() {
    removed(
        "4",
        &[Removal { file: "rule/standing.rs", from: "    void.collect()\n", to: "    void.take(0).collect()\n" }],
    );
}

#[test]
fn without_separation_rule_4_for_the_requester_its_tests_fail() {
    removed(
        "4",
        &[Removal {
            file: "rule/issue.rs",
            from: "(organisation, elevation.held_by(), terms, now.latest)?;",
            to: "(organisation, elevation.held_by(), terms, now.latest)\n        .unwrap_or(Validity { until: Timestamp::MAX, because: EndBecause::Duration });",
        }],
    );
}

#[test]
fn without_separation_rule_4_for_enrolments_its_tests_fail() {
    removed(
        "4",
        &[
            Removal {
                file: "decide/enrolments.rs",
                from: "standing_in_the_way(&state.organisation, enrolment, now).into_iter().next()",
                to: "standing_in_the_way(&state.organisation, enrolment, now).into_iter().take(0).next()",
            },
            Removal {
                file: "decide/enrolments.rs",
                from: "match void_enrolment(&state.organisation, enrolment, now) {",
                to: "match void_enrolment(&state.organisation, enrolment, now).filter(|_| false) {",
            },
        ],
    );
}

/// Asserts that without the rule some test fails, and that all that fail are named after it.
fn removed(rule: &str, removals: &[Removal]) {
    let failed = failing_tests(rule, removals);
    let name = format!("separation_rule_{rule}_");
    assert!(!failed.is_empty(), "no test misses rule {rule}");
    assert!(failed.iter().all(|test| test.starts_with(&name)), "others than rule {rule} are missing: {failed:?}");
}

/// Builds and tests the core without a rule: the names of the tests that failed.
fn failing_tests(rule: &str, removals: &[Removal]) -> BTreeSet<String> {
    let project = Path::new(env!("CARGO_MANIFEST_DIR"));
    let place = Path::new(env!("CARGO_TARGET_TMPDIR")).join("rule-removal");
    let place_of = removals.first().map_or("whole", |removal| removal.file).replace(['/', '.'], "-");
    let name = format!("rule-{rule}-{place_of}");
    let package = place.join(&name);
    let mut removed = 0;
    for (from, to) in files_of(project) {
        let mut text = fs::read_to_string(project.join(&from)).unwrap();
        for removal in removals.iter().filter(|removal| to == Path::new("src/domain").join(removal.file)) {
            assert_eq!(text.matches(removal.from).count(), 1, "`{}` is in {} once", removal.from, removal.file);
            text = text.replace(removal.from, removal.to);
            removed += 1;
        }
        write(&package.join(to), &text);
    }
    assert_eq!(removed, removals.len(), "each removal was made");
    write(&package.join("src/lib.rs"), "pub mod domain;\n");
    write(&package.join("Cargo.toml"), &manifest(project, &name));
    let output = Command::new(env!("CARGO"))
        .args(["test", "--offline", "--quiet", "--test", "separation", "--no-fail-fast"])
        .current_dir(&package)
        .env("CARGO_TARGET_DIR", place.join("target"))
        .env("CARGO_TERM_COLOR", "never")
        .output()
        .unwrap();
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    // It was built and ran to its end: what failed are tests.
    assert!(out.contains("test result: "), "the tests did not run: {out}\n{err}");
    let failed = out.lines().filter_map(|line| line.strip_prefix("---- ")?.strip_suffix(" stdout ----"));
    let failed: BTreeSet<String> = failed.map(str::to_owned).collect();
    assert_eq!(output.status.success(), failed.is_empty(), "{out}\n{err}");
    failed
}

/// What the package is made of: from where in the project, to where.
fn files_of(project: &Path) -> Vec<(PathBuf, PathBuf)> {
    let mut files: Vec<PathBuf> = vec!["Cargo.lock".into(), "tests/separation.rs".into()];
    let mut folders: Vec<PathBuf> = vec!["src/domain".into(), "tests/common".into()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(project.join(&folder)).unwrap() {
            let entry = entry.unwrap();
            let path = folder.join(entry.file_name());
            if entry.file_type().unwrap().is_dir() {
                folders.push(path);
            } else {
                files.push(path);
            }
        }
    }
    files.into_iter().map(|file| (file.clone(), file)).collect()
}

/// The version is another for each rule: packages of one name and version would take each other's builds for theirs.
fn manifest(project: &Path, name: &str) -> String {
    let own = fs::read_to_string(project.join("Cargo.toml")).unwrap();
    let lines = CRATES.map(|name| {
        let line = own.lines().find(|line| line.starts_with(&format!("{name} = ")));
        line.unwrap_or_else(|| panic!("Cargo.toml has no `{name}`"))
    });
    let dependencies = lines.join("\n").replace(", optional = true", "");
    format!(
        "[package]\nname = \"countersign\"\nversion = \"0.0.0-{name}\"\nedition = \"2024\"\n\n[workspace]\n\n\
         [features]\ndefault = [\"core\"]\ncore = []\n\n\
         [dependencies]\n{dependencies}\n\n[profile.dev]\ndebug = 0\n\n[profile.test]\ndebug = 0\n"
    )
}

/// Leaves a file alone that says this already, so that nothing is built again.
fn write(path: &Path, text: &str) {
    if fs::read_to_string(path).ok().as_deref() != Some(text) {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
}
