//! Reads values out of a TOML document: each accessor says what is wrong, where, and what would be right, and goes on.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fmt::Display;
use std::ops::{Range, RangeInclusive};
use std::str::FromStr;

use toml::de::{DeTable, DeValue};

use super::mistake::{Mistake, Places, SourceFile, Warning, nearest};
use crate::domain::value::ids::{InvalidId, excerpt};
use crate::domain::value::time::Span;

/// A suggestion costs a comparison with every known name: after this many, mistakes get none.
const MOST_SUGGESTIONS: usize = 50;
/// Since a directory has up to 16 MiB, mistakes beyond this number are only counted.
const MOST_COLLECTED: usize = 10_000;

/// Collects what is wrong while a document is read.
pub(crate) struct Reader<'t> {
    source_file: SourceFile,
    text: &'t str,
    line_starts: Vec<usize>,
    header_starts: Vec<usize>,
    mistakes: Vec<Mistake>,
    warnings: Vec<Warning>,
    places: Places,
    damage: Vec<Range<usize>>,
    suggestions: usize,
    uncollected: usize,
}

/// A value, with its place.
#[derive(Clone)]
pub(crate) struct Node<'d> {
    pub(crate) path: String,
    pub(crate) at: usize,
    value: &'d DeValue<'d>,
}

/// A table, with its place.
#[derive(Clone)]
pub(crate) struct Table<'d> {
    pub(crate) path: String,
    pub(crate) at: usize,
    entries: &'d DeTable<'d>,
}

impl<'d> Table<'d> {
    pub(crate) fn root(entries: &'d DeTable<'d>) -> Self {
        Self { path: String::new(), at: 0, entries }
    }

    /// The value of a key, if it is there.
    pub(crate) fn key(&self, key: &str) -> Option<Node<'d>> {
        let value = self.entries.get(key)?;
        Some(Node { path: self.path_of(key), at: value.span().start, value: value.get_ref() })
    }

    pub(crate) fn path_of(&self, key: &str) -> String {
        if self.path.is_empty() { excerpt(key) } else { format!("{}.{}", self.path, excerpt(key)) }
    }
}

impl Node<'_> {
    /// The text, if it is one.
    pub(crate) fn as_text(&self) -> Option<&str> {
        self.value.as_str()
    }

    /// True or false, if it is one of them.
    pub(crate) fn as_bool(&self) -> Option<bool> {
        self.value.as_bool()
    }

    /// A date or a time, if it is one.
    pub(crate) fn as_datetime(&self) -> Option<&toml::value::Datetime> {
        self.value.as_datetime()
    }

    /// What it is, for a message.
    pub(crate) fn kind(&self) -> &'static str {
        match self.value {
            DeValue::String(_) => "text",
            DeValue::Integer(_) => "a number",
            DeValue::Float(_) => "a fraction",
            DeValue::Boolean(_) => "true or false",
            DeValue::Datetime(_) => "a date or time",
            DeValue::Array(_) => "a list",
            DeValue::Table(_) => "a table",
        }
    }

    pub(crate) fn is_table(&self) -> bool {
        self.value.is_table()
    }

    /// The value of a key, if this is a table that has it; nothing is reported.
    pub(crate) fn get(&self, key: &str) -> Option<Self> {
        let value = self.value.as_table()?.get(key)?;
        Some(Self { path: format!("{}.{}", self.path, excerpt(key)), at: value.span().start, value: value.get_ref() })
    }
}

impl<'t> Reader<'t> {
    pub(crate) fn new(source_file: SourceFile, text: &'t str) -> Self {
        let ends = text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n');
        let line_starts: Vec<usize> = std::iter::once(0).chain(ends.map(|(at, _)| at.saturating_add(1))).collect();
        let is_header = |start: &usize| {
            text.get(*start..).is_some_and(|rest| rest.trim_start_matches([' ', '\t']).starts_with('['))
        };
        let header_starts = line_starts.iter().copied().filter(is_header).collect();
        Self {
            source_file,
            text,
            line_starts,
            header_starts,
            mistakes: Vec::new(),
            warnings: Vec::new(),
            places: Places::default(),
            damage: Vec::new(),
            suggestions: 0,
            uncollected: 0,
        }
    }

    pub(crate) fn is_sound(&self) -> bool {
        self.mistakes.is_empty()
    }

    pub(crate) fn into_findings(mut self) -> (Vec<Warning>, Places) {
        self.warnings.sort();
        (self.warnings, self.places)
    }

    /// In the order of the text; beyond `most`, the last one says how many more there are.
    pub(crate) fn into_mistakes(mut self, most: usize) -> Vec<Mistake> {
        self.mistakes.sort();
        self.mistakes.dedup();
        let more = self.mistakes.len().saturating_sub(most).saturating_add(self.uncollected);
        self.mistakes.truncate(most);
        if let (true, Some(last)) = (more > 0, self.mistakes.last().cloned()) {
            let found = format!("{more} more mistakes");
            self.mistakes.push(Mistake {
                path: String::new(),
                found,
                wanted: "the ones above corrected first".into(),
                ..last
            });
        }
        self.mistakes
    }

    pub(crate) fn mistake(&mut self, at: usize, path: &str, found: impl Into<String>, wanted: impl Into<String>) {
        if self.mistakes.len() >= MOST_COLLECTED {
            self.uncollected = self.uncollected.saturating_add(1);
            return;
        }
        let (line, column) = self.line_and_column(at);
        let source_file = self.source_file;
        let (found, wanted) = (found.into(), wanted.into());
        self.mistakes.push(Mistake { source_file, line, column, path: path.to_owned(), found, wanted });
    }

    /// A mistake of TOML itself: one a line, since what follows on the line is read wrongly because of it.
    pub(crate) fn syntax_mistake(&mut self, at: usize, found: String, wanted: &str) {
        let (line, _) = self.line_and_column(at);
        if self.mistakes.iter().all(|mistake| mistake.line != line) {
            self.mistake(at, "", found, wanted);
        }
    }

    pub(crate) fn warn(&mut self, at: usize, path: &str, found: impl Into<String>, meaning: impl Into<String>) {
        let (line, column) = self.line_and_column(at);
        let source_file = self.source_file;
        let (found, meaning) = (found.into(), meaning.into());
        self.warnings.push(Warning { source_file, line, column, path: path.to_owned(), found, meaning });
    }

    /// Remembers where `path` is, for what the other file may contradict.
    pub(crate) fn record(&mut self, path: String, at: usize) {
        let (line, column) = self.line_and_column(at);
        self.places.record(path, line, column);
    }

    pub(crate) fn damage(&mut self, range: Range<usize>) {
        self.damage.push(range);
    }

    pub(crate) fn is_damaged(&self, at: usize) -> bool {
        self.damage.iter().any(|range| range.start <= at && at <= range.end)
    }

    /// Whether what could not be read speaks of `name`: then it may have defined it.
    pub(crate) fn may_have_said(&mut self, name: &str) -> bool {
        self.suggestions = self.suggestions.saturating_add(1);
        if self.suggestions > MOST_COLLECTED {
            return !self.damage.is_empty();
        }
        self.damage.iter().filter_map(|range| self.text.get(range.clone())).any(|damage| damage.contains(name))
    }

    /// The text of a suggestion, or nothing.
    pub(crate) fn suggest<'k>(&mut self, text: &str, known: impl IntoIterator<Item = &'k str>) -> String {
        self.suggestions = self.suggestions.saturating_add(1);
        let found = if self.suggestions > MOST_SUGGESTIONS { None } else { nearest(text, known) };
        found.map(|name| format!("perhaps `{name}`: ")).unwrap_or_default()
    }

    /// A table with no keys but these.
    pub(crate) fn table<'d>(&mut self, node: &Node<'d>, known: &[&str]) -> Option<Table<'d>> {
        let table = self.named_tables(node)?;
        self.only_known_keys(&table, known);
        Some(table)
    }

    pub(crate) fn only_known_keys(&mut self, table: &Table<'_>, known: &[&str]) {
        for key in table.entries.keys().filter(|key| !known.contains(&key.get_ref().as_ref())) {
            let suggestion = self.suggest(key.get_ref(), known.iter().copied());
            let list: Vec<String> = known.iter().map(|key| format!("`{key}`")).collect();
            let wanted = format!("{suggestion}one of the keys {}", list.join(", "));
            self.mistake(key.span().start, &table.path_of(key.get_ref()), "an unknown key", wanted);
        }
    }

    /// A table whose keys are names that the file chooses.
    pub(crate) fn named_tables<'d>(&mut self, node: &Node<'d>) -> Option<Table<'d>> {
        let DeValue::Table(entries) = node.value else {
            self.wrong_type(node, "a table");
            return None;
        };
        Some(Table { path: node.path.clone(), at: node.at, entries })
    }

    /// Each value under its name. A name that is none is reported and left out.
    pub(crate) fn named<'d, N: FromStr<Err = InvalidId>>(&mut self, table: &Table<'d>) -> Vec<(N, Node<'d>)> {
        let mut found = Vec::new();
        for (key, value) in table.entries {
            let path = table.path_of(key.get_ref());
            match key.get_ref().parse() {
                Ok(name) => found.push((name, Node { path, at: value.span().start, value: value.get_ref() })),
                Err(invalid) => self.invalid(key.span().start, &path, &invalid),
            }
        }
        found
    }

    /// The value of a key that must be there.
    pub(crate) fn required<'d>(&mut self, table: &Table<'d>, key: &str, wanted: &str) -> Option<Node<'d>> {
        let node = table.key(key);
        let section = self.section_around(table.at);
        let lost = || self.damage.iter().any(|range| range.start < section.end && section.start < range.end);
        if node.is_none() && !lost() {
            self.mistake(table.at, &table.path_of(key), "nothing", wanted);
        }
        node
    }

    pub(crate) fn wrong_type(&mut self, node: &Node<'_>, wanted: &str) {
        self.mistake(node.at, &node.path, node.kind(), wanted);
    }

    pub(crate) fn invalid(&mut self, at: usize, path: &str, invalid: &InvalidId) {
        self.mistake(at, path, format!("`{}`", invalid.text), invalid.wanted);
    }

    pub(crate) fn text<'d>(&mut self, node: &Node<'d>, wanted: &str) -> Option<&'d str> {
        let DeValue::String(text) = node.value else {
            self.wrong_type(node, wanted);
            return None;
        };
        Some(text)
    }

    /// A text that is a name, an identity, a pattern.
    pub(crate) fn parsed<T: FromStr<Err = InvalidId>>(&mut self, node: &Node<'_>) -> Option<T> {
        let text = self.text(node, "text")?;
        text.parse().map_err(|invalid| self.invalid(node.at, &node.path, &invalid)).ok()
    }

    /// A text for people: one to `longest` characters, none of them a control character (known failure H11).
    pub(crate) fn prose(&mut self, node: &Node<'_>, longest: usize, lines: bool) -> Option<String> {
        let wanted = format!("text of 1 to {longest} characters, none of them a control character");
        let text = self.text(node, &wanted)?;
        let fit = |c: char| !c.is_control() || (lines && c == '\n');
        if !text.trim().is_empty() && text.chars().count() <= longest && text.chars().all(fit) {
            return Some(text.to_owned());
        }
        self.mistake(node.at, &node.path, format!("`{}`", excerpt(text)), wanted);
        None
    }

    /// A length of time within bounds.
    pub(crate) fn span(&mut self, node: &Node<'_>, bounds: RangeInclusive<Span>) -> Option<Span> {
        let (least, most) = (bounds.start(), bounds.end());
        let wanted = format!(
            "a length of time from `{least}` to `{most}`: a whole number and `ms`, `s`, `m`, `h` or `d`, as in `\"15m\"`"
        );
        let text = self.text(node, &wanted)?;
        match Span::parse(text) {
            Ok(span) if bounds.contains(&span) => Some(span),
            _ => {
                self.mistake(node.at, &node.path, format!("`{}`", excerpt(text)), wanted);
                None
            }
        }
    }

    /// A whole number within bounds.
    pub(crate) fn number(&mut self, node: &Node<'_>, bounds: RangeInclusive<u32>) -> Option<u32> {
        let wanted = format!("a whole number from {} to {}", bounds.start(), bounds.end());
        let DeValue::Integer(integer) = node.value else {
            self.wrong_type(node, &wanted);
            return None;
        };
        let number = i64::from_str_radix(integer.as_str(), integer.radix()).ok().and_then(|n| u32::try_from(n).ok());
        let number = number.filter(|number| bounds.contains(number));
        if number.is_none() {
            self.mistake(node.at, &node.path, format!("`{}`", excerpt(&integer.to_string())), wanted);
        }
        number
    }

    /// The elements of a list.
    pub(crate) fn list<'d>(&mut self, node: &Node<'d>, wanted: &str) -> Option<Vec<Node<'d>>> {
        let DeValue::Array(items) = node.value else {
            self.wrong_type(node, wanted);
            return None;
        };
        let element = |(index, item): (usize, &'d toml::Spanned<DeValue<'d>>)| Node {
            path: format!("{}[{index}]", node.path),
            at: item.span().start,
            value: item.get_ref(),
        };
        Some(items.iter().enumerate().map(element).collect())
    }

    /// A list of different texts, each with its place.
    pub(crate) fn set<T>(&mut self, node: &Node<'_>, wanted: &str) -> BTreeMap<T, usize>
    where
        T: FromStr<Err = InvalidId> + Ord + Display,
    {
        let mut set = BTreeMap::new();
        for item in self.list(node, wanted).unwrap_or_default() {
            if let Some(value) = self.parsed::<T>(&item) {
                match set.entry(value) {
                    Entry::Vacant(place) => {
                        place.insert(item.at);
                    }
                    Entry::Occupied(first) => {
                        let found = format!("`{}` a second time", first.key());
                        self.mistake(item.at, &item.path, found, "each one once");
                    }
                }
            }
        }
        set
    }

    /// The same, but an empty list is a mistake.
    pub(crate) fn filled_set<T>(&mut self, node: &Node<'_>, wanted: &str) -> BTreeMap<T, usize>
    where
        T: FromStr<Err = InvalidId> + Ord + Display,
    {
        if matches!(node.value, DeValue::Array(items) if items.is_empty()) {
            self.mistake(node.at, &node.path, "an empty list", wanted);
        }
        self.set(node, wanted)
    }

    /// From the table header at or before `at` to the next one.
    pub(crate) fn section_around(&self, at: usize) -> Range<usize> {
        let next = self.header_starts.partition_point(|start| *start <= at);
        let start = next.checked_sub(1).and_then(|index| self.header_starts.get(index));
        start.copied().unwrap_or_default()..self.header_starts.get(next).copied().unwrap_or(self.text.len())
    }

    fn line_and_column(&self, at: usize) -> (u32, u32) {
        let line = self.line_starts.partition_point(|start| *start <= at);
        let start = self.line_starts.get(line.saturating_sub(1)).copied().unwrap_or_default();
        let before = self.text.get(start..at).map_or(0, |before| before.chars().count());
        (u32::try_from(line).unwrap_or(u32::MAX), u32::try_from(before.saturating_add(1)).unwrap_or(u32::MAX))
    }
}
