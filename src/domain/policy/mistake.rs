//! What is wrong, or worth a look, in a policy, directory or people file: where, what is there, and what would be right.
//!
//! Every mistake is reported at once, with its line, so that a file is corrected in one go; a file that has one takes
//! no effect at all.

use std::collections::BTreeMap;
use std::fmt;

/// Which file something is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SourceFile {
    /// The policy.
    Policy,
    /// The directory.
    Directory,
    /// Everybody whom HR knows, as an import brings them.
    People,
}

/// A mistake: the file is refused. Sorts by file, then place.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
pub struct Mistake {
    /// In which file.
    pub source_file: SourceFile,
    /// From 1; 0 where there is no text to point at (what is compared was loaded before).
    pub line: u32,
    /// In characters, from 1; 0 as above.
    pub column: u32,
    /// The keys that lead there: `entitlements.orders-db-repair.max_duration`. Empty for a mistake of TOML itself.
    pub path: String,
    /// What is there.
    pub found: String,
    /// What would be right.
    pub wanted: String,
}

/// Something that is allowed and probably not meant.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Warning {
    /// In which file.
    pub source_file: SourceFile,
    /// As in [`Mistake`].
    pub line: u32,
    /// As in [`Mistake`].
    pub column: u32,
    /// As in [`Mistake`].
    pub path: String,
    /// What is there.
    pub found: String,
    /// What that means.
    pub meaning: String,
}

impl fmt::Display for Mistake {
    /// `line 12: `path`: found …; wanted …`. The caller puts the file's name before it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        place(f, self.line, &self.path)?;
        write!(f, "found {}; wanted {}", self.found, self.wanted)
    }
}

impl fmt::Display for Warning {
    /// `line 12: `path`: …; …`. The caller puts the file's name before it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        place(f, self.line, &self.path)?;
        write!(f, "{}; {}", self.found, self.meaning)
    }
}

/// Where each thing of a file that another file may contradict is, by its path.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Places(BTreeMap<String, (u32, u32)>);

impl Places {
    pub(crate) fn record(&mut self, path: String, line: u32, column: u32) {
        self.0.insert(path, (line, column));
    }

    /// Gives the mistakes of this file that have no line yet the one that their path has, and sorts them again.
    pub fn locate(&self, source_file: SourceFile, mistakes: &mut [Mistake]) {
        for mistake in mistakes.iter_mut().filter(|mistake| mistake.source_file == source_file && mistake.line == 0) {
            if let Some((line, column)) = self.0.get(&mistake.path) {
                (mistake.line, mistake.column) = (*line, *column);
            }
        }
        mistakes.sort();
    }

    /// The same for warnings.
    pub fn locate_warnings(&self, source_file: SourceFile, warnings: &mut [Warning]) {
        for warning in warnings.iter_mut().filter(|warning| warning.source_file == source_file && warning.line == 0) {
            if let Some((line, column)) = self.0.get(&warning.path) {
                (warning.line, warning.column) = (*line, *column);
            }
        }
        warnings.sort();
    }
}

/// The one of `known` that `text` is probably a slip of: at most two letters wrong, missing, too many or swapped.
pub(crate) fn nearest<'k>(text: &str, known: impl IntoIterator<Item = &'k str>) -> Option<&'k str> {
    let allowed = if text.len() < 5 { 1 } else { 2 };
    let close = known.into_iter().filter(|name| name.len().abs_diff(text.len()) <= allowed);
    let measured = close.map(|name| (distance(text, name), name)).filter(|(distance, _)| *distance <= allowed);
    measured.min().map(|(_, name)| name)
}

fn place(f: &mut fmt::Formatter<'_>, line: u32, path: &str) -> fmt::Result {
    if line > 0 {
        write!(f, "line {line}: ")?;
    }
    if path.is_empty() { Ok(()) } else { write!(f, "`{path}`: ") }
}

/// Levenshtein's distance, two swapped neighbours counting as one.
fn distance(from: &str, to: &str) -> usize {
    let to: Vec<char> = to.chars().collect();
    let at = |row: &[usize], index: usize| row.get(index).copied().unwrap_or(usize::MAX);
    let mut earlier: Vec<usize> = Vec::new();
    let mut above: Vec<usize> = (0..=to.len()).collect();
    let mut previous = None;
    for (row_index, left) in from.chars().enumerate() {
        let mut row = vec![row_index.saturating_add(1)];
        for (index, right) in to.iter().enumerate() {
            let next = index.saturating_add(1);
            let replaced = at(&above, index).saturating_add(usize::from(left != *right));
            let mut least = replaced.min(at(&above, next).saturating_add(1)).min(at(&row, index).saturating_add(1));
            let before = index.checked_sub(1);
            let swapped = previous == Some(*right) && before.and_then(|before| to.get(before)) == Some(&left);
            if let (true, Some(before)) = (swapped, before) {
                least = least.min(at(&earlier, before).saturating_add(1));
            }
            row.push(least);
        }
        earlier = std::mem::replace(&mut above, row);
        previous = Some(left);
    }
    above.last().copied().unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_finds_its_name_and_another_word_finds_none() {
        let known = ["requestable_by", "approval", "actions", "title"];
        assert_eq!(nearest("requestible_by", known), Some("requestable_by"));
        assert_eq!(nearest("aproval", known), Some("approval"));
        assert_eq!(nearest("tilte", known), Some("title"));
        assert_eq!(nearest("owner", known), None);
        assert_eq!(nearest("", known), None);
    }

    #[test]
    fn swapped_neighbours_count_as_one() {
        assert_eq!(
            [distance("abcd", "abdc"), distance("", "abc"), distance("abc", ""), distance("abc", "xbz")],
            [1, 3, 3, 2]
        );
    }
}
