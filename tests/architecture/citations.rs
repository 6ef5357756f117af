//! What a text cites is in the repository: a section of docs/design.md, a row of docs/known-failures.md, a page, a heading.
//! The scanner is a function of a file's path and text, and is tested with snippets like the checker.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::sync::LazyLock;

use regex::Regex;

use crate::root;

/// Where there are texts that cite; what is no text is left out.
const PLACES: [&str; 9] = ["src", "tests", "benches", "examples", "fuzz", "proto", "scripts", "docs", ".ci"];
/// The endings of files at the top that are read as well.
const AT_THE_TOP: [&str; 4] = ["md", "toml", "rs", "yaml"];

/// A pattern is made once, and looked for where one of these words stands: there are many files.
type Pattern = (&'static [&'static str], LazyLock<Regex>);

static SECTIONS: Pattern = (
    &["design.md "],
    LazyLock::new(|| Regex::new(r"\bdesign\.md (\d+(?:(?:, and |, | and | to | or )\d+)*)").unwrap()),
);
static ROWS: Pattern = (
    &["nown failure"],
    LazyLock::new(|| {
        Regex::new(r"\b[Kk]nown failures? ([A-Z]\d+(?:(?:, and |, | and | to | or )[A-Z]\d+)*)\b").unwrap()
    }),
);
static PAGES: Pattern = (&["docs/"], LazyLock::new(|| Regex::new(r"(?:^|[^\w/.-])(docs/[\w-]+\.md)").unwrap()));
static ELSEWHERE: Pattern = (
    &["DESIGN", "THREAT", "INV-"],
    LazyLock::new(|| Regex::new(r"\b(DESIGN(?: \d+|\.md)|THREAT[S](?: \w+)?|INV-\d+)").unwrap()),
);
static LINKS: Pattern = (&["]("], LazyLock::new(|| Regex::new(r"\]\(([^)\s]+)\)").unwrap()));

/// What can be cited.
struct Citable {
    /// The numbers of the sections of docs/design.md.
    sections: BTreeSet<u32>,
    /// The first cells of docs/known-failures.md.
    rows: BTreeSet<String>,
    /// Every page by its path, with the anchors of its headings.
    pages: BTreeMap<String, BTreeSet<String>>,
    /// Whether there is such a file or folder.
    exists: fn(&str) -> bool,
}

/// What a scan came to.
#[derive(Default)]
struct Scan {
    citations: usize,
    faults: Vec<String>,
}

impl Citable {
    fn new(texts: &[(String, String)], exists: fn(&str) -> bool) -> Self {
        let text = |name: &str| texts.iter().find(|(path, _)| path == name).map_or("", |(_, text)| text.as_str());
        let firsts = |pattern: &str, text: &str| {
            let pattern = Regex::new(pattern).unwrap();
            pattern.captures_iter(text).map(|found| found[1].to_owned()).collect::<BTreeSet<_>>()
        };
        let sections = firsts(r"(?m)^## (\d+)\. ", text("docs/design.md"));
        let anchors = |text: &str| firsts(r"(?m)^#+ (.+)$", text).iter().map(|heading| anchor(heading)).collect();
        Self {
            sections: sections.iter().map(|number| number.parse().unwrap()).collect(),
            rows: firsts(r"(?m)^\| ([A-Z]\d+) \|", text("docs/known-failures.md")),
            pages: texts
                .iter()
                .filter(|(path, _)| path.ends_with(".md"))
                .map(|(path, text)| (path.clone(), anchors(text)))
                .collect(),
            exists,
        }
    }

    fn scan(&self, path: &str, text: &str) -> Scan {
        let flat = Flat::of(text);
        let mut scan = Scan::default();
        for (found, rest) in flat.all(&SECTIONS) {
            for number in numbers(&rest) {
                scan.cites(
                    self.sections.contains(&number),
                    path,
                    found,
                    &format!("docs/design.md has no section {number}"),
                );
            }
        }
        for (found, rest) in flat.all(&ROWS) {
            for row in rows(&rest) {
                scan.cites(self.rows.contains(&row), path, found, &format!("docs/known-failures.md has no row {row}"));
            }
        }
        for (found, page) in flat.all(&PAGES) {
            scan.cites((self.exists)(&page), path, found, &format!("there is no `{page}`"));
        }
        for (found, cited) in flat.all(&ELSEWHERE) {
            scan.cites(false, path, found, &format!("`{cited}` is not in the repository"));
        }
        if path.ends_with(".md") {
            for (found, target) in flat.all(&LINKS) {
                if let Some(fault) = self.broken_link(path, &target) {
                    scan.cites(false, path, found, &fault);
                }
            }
        }
        scan
    }

    fn broken_link(&self, from: &str, target: &str) -> Option<String> {
        if target.contains("://") || target.starts_with("mailto:") {
            return None;
        }
        let (file, anchor) = target.split_once('#').unwrap_or((target, ""));
        let page = if file.is_empty() { from.to_owned() } else { beside(from, file) };
        if !(self.exists)(&page) {
            return Some(format!("the link `{target}` leads to no file"));
        }
        let anchors = self.pages.get(&page).filter(|_| !anchor.is_empty())?;
        (!anchors.contains(anchor)).then(|| format!("the link `{target}` leads to no heading"))
    }
}

impl Scan {
    fn cites(&mut self, is_there: bool, path: &str, line: usize, fault: &str) {
        self.citations += 1;
        if !is_there {
            self.faults.push(format!("{path}:{line}: {fault}"));
        }
    }
}

/// A text with the marks of its comments taken off and its lines joined: a citation may stand on two of them.
struct Flat {
    text: String,
    begins: Vec<usize>,
}

impl Flat {
    fn of(text: &str) -> Self {
        let mut flat = Self { text: String::new(), begins: Vec::new() };
        for line in text.lines() {
            flat.begins.push(flat.text.len());
            flat.text.push_str(line.trim_start().trim_start_matches(['/', '!', '#', '>']).trim());
            flat.text.push(' ');
        }
        flat
    }

    /// The first group of every match, with the number of its line.
    fn all(&self, (words, pattern): &Pattern) -> Vec<(usize, String)> {
        if !words.iter().any(|word| self.text.contains(word)) {
            return Vec::new();
        }
        let groups = pattern.captures_iter(&self.text).map(|captures| captures.get(1).unwrap());
        groups.map(|it| (self.begins.partition_point(|at| *at <= it.start()), it.as_str().to_owned())).collect()
    }
}

/// `3, 5 to 7` is 3, 5, 6 and 7.
fn numbers(list: &str) -> Vec<u32> {
    let mut numbers: Vec<u32> = Vec::new();
    for part in list.split(", ").flat_map(|part| part.split(" and ")).flat_map(|part| part.split(" or ")) {
        let part = part.trim_start_matches("and ");
        let (first, last) = part.split_once(" to ").unwrap_or((part, part));
        numbers.extend(first.parse::<u32>().unwrap()..=last.parse().unwrap());
    }
    numbers
}

/// `A1, B3 to B5` is A1, B3, B4 and B5. A range is within one letter.
fn rows(list: &str) -> Vec<String> {
    let letters: Vec<char> = list.chars().filter(char::is_ascii_uppercase).collect();
    let mut rows = Vec::new();
    let mut at = 0;
    for part in list.split(", ").flat_map(|part| part.split(" and ")).flat_map(|part| part.split(" or ")) {
        let bare: String = part.trim_start_matches("and ").chars().filter(|it| !it.is_ascii_uppercase()).collect();
        rows.extend(numbers(&bare).iter().map(|number| format!("{}{number}", letters[at])));
        at += if part.contains(" to ") { 2 } else { 1 };
    }
    rows
}

/// The anchor that a heading gets: lower case, words joined by hyphens, no punctuation.
fn anchor(heading: &str) -> String {
    let kept = heading
        .to_lowercase()
        .chars()
        .filter(|it| it.is_alphanumeric() || matches!(it, ' ' | '-' | '_'))
        .collect::<String>();
    kept.trim().replace(' ', "-")
}

/// The path of a file that another one names relative to itself.
fn beside(from: &str, target: &str) -> String {
    let mut parts: Vec<&str> = from.split('/').collect();
    parts.pop();
    for part in target.split('/') {
        match part {
            ".." => drop(parts.pop()),
            "." | "" => {}
            _ => parts.push(part),
        }
    }
    parts.join("/")
}

/// Every text of the repository that may cite, as (path from the package's root, text).
fn texts() -> Vec<(String, String)> {
    let at_the_top = fs::read_dir(root()).unwrap().map(|entry| entry.unwrap().path());
    let mut open: Vec<_> = at_the_top
        .filter(|path| path.is_file() && path.extension().is_some_and(|it| AT_THE_TOP.iter().any(|known| it == *known)))
        .chain(PLACES.map(|place| root().join(place)).into_iter().filter(|path| path.exists()))
        .collect();
    let mut texts = Vec::new();
    while let Some(path) = open.pop() {
        if path.is_dir() {
            open.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
        } else if let Ok(text) = fs::read_to_string(&path) {
            texts.push((path.strip_prefix(root()).unwrap().to_str().unwrap().to_owned(), text));
        }
    }
    texts.sort();
    texts
}

#[test]
fn every_citation_leads_somewhere() {
    let texts = texts();
    let citable = Citable::new(&texts, |path| Path::new(root()).join(path).exists());
    let scans: Vec<Scan> = texts.iter().map(|(path, text)| citable.scan(path, text)).collect();
    let faults: Vec<&String> = scans.iter().flat_map(|scan| &scan.faults).collect();
    let told: Vec<&str> = faults.iter().map(|fault| fault.as_str()).collect();
    assert!(faults.is_empty(), "{} citations lead nowhere:\n{}", told.len(), told.join("\n"));
    let citations: usize = scans.iter().map(|scan| scan.citations).sum();
    assert!(citations > 200, "the texts were not read: {citations} citations found");
}

/// Three pages of two sections and four rows. A tilde in a snippet stands for nothing, so that this file cites none of it.
fn faults(path: &str, snippet: &str) -> Vec<String> {
    let page = |path: &str, text: &str| (path.to_owned(), text.to_owned());
    let pages = [
        page("docs/design.md", "# Design\n## 1. Words\n\n## 2. Shape\n### 3. of no section\n"),
        page("docs/known-failures.md", "| row | what |\n|---|---|\n| A1 | x |\n| A2 | y |\n| A3 | z |\n| B12 | u |\n"),
        page("docs/policy.md", "# Policy and `directory` files\n\n## What it says, and why\n"),
    ];
    let there = |path: &str| matches!(path, "docs/design.md" | "docs/policy.md" | "README.md" | "examples/policy.toml");
    Citable::new(&pages, there).scan(path, &snippet.replace('~', "")).faults
}

#[track_caller]
fn caught(path: &str, snippet: &str, faults_wanted: &[&str]) {
    let faults = faults(path, snippet);
    assert_eq!(faults.len(), faults_wanted.len(), "{snippet}: {faults:?}");
    for (fault, wanted) in faults.iter().zip(faults_wanted) {
        let wanted = &wanted.replace('~', "");
        assert!(fault.starts_with(path) && fault.contains(wanted), "{snippet}: {fault}, not {wanted}");
    }
}

#[track_caller]
fn innocent(path: &str, snippet: &str) {
    assert_eq!(faults(path, snippet), [""; 0], "{snippet}");
}

#[test]
fn a_section_that_is_not_there_is_caught() {
    caught("src/a.rs", "//! Time (design~.md 5).", &["no section 5"]);
    caught("src/a.rs", "// x (design~.md 1, 9; more)", &["no section 9"]);
    caught("src/a.rs", "// design~.md 1 to 4", &["no section 3", "no section 4"]);
    caught("src/a.rs", "fn f() {}\n    /// as design~.md\n    /// 7 has it", &[":3: docs/design.md has no section 7"]);
    caught("clippy.toml", "# handed on (design~.md 0)", &["no section 0"]);
    innocent("src/a.rs", "//! Words (design~.md 1 and 2, rule 5; docs/design.md). 9 lines.");
    innocent("src/a.rs", "// redesign~.md 9, design~.md, 9");
}

#[test]
fn a_row_that_is_not_there_is_caught() {
    caught("src/a.rs", "//! x (known fail~ure Z9).", &["no row Z9"]);
    caught("src/a.rs", "// known fail~ures A1, B2 and C3; A9", &["no row B2", "no row C3"]);
    caught("src/a.rs", "// known fail~ures A2 to A4, B12, and B13", &["no row A4", "no row B13"]);
    caught(
        "docs/policy.md",
        "Known fail~ure A1, and known\nfail~ure A12.",
        &[":2: docs/known-failures.md has no row A12"],
    );
    innocent("src/a.rs", "//! x (known fail~ures A1 to A3 and B12; design~.md 2). Known fail~ures of others: Z9.");
    innocent("src/a.rs", "// known fail~ure A1, CVE-2020-1; unknown fail~ures: all; a known fail~ure a9");
}

#[test]
fn a_page_that_is_not_there_is_caught() {
    caught("src/a.rs", "// every key is in doc~s/polcy.md.", &["no `doc~s/polcy.md`"]);
    caught("docs/policy.md", "[here](desing~.md), [there](../REA~D.md)", &["`desing.md` leads", "`../READ.md` leads"]);
    caught("docs/policy.md", "[up](#what-it-say) and [up](design.md#2-shap)", &["no heading", "no heading"]);
    innocent("src/a.rs", "// doc~s/policy.md; https://example.org/doc~s/other.md; its-doc~s/other.md; [x](y)");
    innocent(
        "docs/policy.md",
        "[a](design.md#2-shape) [b](#what-it-says-and-why) [c](../README.md#any) [d](../examples/policy.toml)\n\
         [e](https://example.org/x.md) [f](policy.md#policy-and-directory-files)",
    );
}

#[test]
fn a_page_outside_the_repository_is_caught() {
    caught("src/a.rs", "//! (DESI~GN 7; THR~EATS A1, A2)", &["`DESI~GN 7`", "`THR~EATS A1`"]);
    caught(
        "README.md",
        "as DESI~GN.md says, IN~V-3, THR~EATS group G",
        &["`DESI~GN.md`", "`IN~V-3`", "`THR~EATS group`"],
    );
    innocent("src/a.rs", "// DESI~GNED 7, a DESI~GN, thr~eats A1, IN~V-X; fn thr~eats_f12_x() {}");
}
