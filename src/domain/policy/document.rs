//! From text to a TOML document whose every value knows its place, with all that is wrong in the TOML itself reported.
//!
//! A mistake of TOML must not hide the others: what cannot be read is blanked, line by line, and the rest is read. What
//! a blanked line might have said is then not reported as missing. Size and depth are bounded first, because the text
//! may come from the network (known failure G16, resource exhaustion).

use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};
use toml_parser::lexer::TokenKind;

use super::mistake::{Mistake, Places, SourceFile, Warning};
use super::reader::{Reader, Table};
use crate::domain::value::deceptive::deceives_in_a_file;

/// A dotted key has at most this many parts: nesting is memory on the stack.
const DEEPEST_KEY: usize = 16;
/// How often the text is read again without the lines that are no TOML; less often for a large text, since that takes
/// long.
const ROUNDS: usize = 16;
const ROUNDS_IF_LARGE: usize = 2;
const LARGE_BYTES: usize = 1024 * 1024;
/// At most this many mistakes are reported one by one.
const MOST_MISTAKES: usize = 1_000;

/// What was read.
pub(crate) struct Read<T> {
    pub(crate) value: T,
    pub(crate) warnings: Vec<Warning>,
    pub(crate) places: Places,
}

/// Reads `text` and gives its document to `convert`; what that returns counts only if no mistake was reported.
pub(crate) fn read<T>(
    source_file: SourceFile,
    text: &str,
    longest_bytes: usize,
    convert: impl FnOnce(&mut Reader<'_>, &Table<'_>) -> T,
) -> Result<Read<T>, Vec<Mistake>> {
    let mut reader = Reader::new(source_file, text);
    if text.len() > longest_bytes {
        let found = format!("a file of {} bytes", text.len());
        reader.mistake(0, "", found, format!("at most {} KiB", longest_bytes.checked_div(1024).unwrap_or_default()));
        return Err(reader.into_mistakes(MOST_MISTAKES));
    }
    for (at, character) in text.char_indices().filter(|(_, character)| deceives_in_a_file(*character)) {
        deceives(&mut reader, at, character);
    }
    if let Some(at) = too_deep(text) {
        let wanted = format!("at most {DEEPEST_KEY} parts, parted by `.`");
        reader.mistake(at, "", "a key of too many parts", wanted);
        return Err(reader.into_mistakes(MOST_MISTAKES));
    }
    let (root, errors) = DeTable::parse_recoverable(text);
    table_deceives(&mut reader, text, root.get_ref());
    let value = if errors.is_empty() {
        Some(convert(&mut reader, &Table::root(root.get_ref())))
    } else {
        drop(root);
        without_damage(&mut reader, text, errors).map(|sound| {
            let (root, _) = DeTable::parse_recoverable(&sound);
            convert(&mut reader, &Table::root(root.get_ref()))
        })
    };
    match value {
        Some(value) if reader.is_sound() => {
            let (warnings, places) = reader.into_findings();
            Ok(Read { value, warnings, places })
        }
        _ => Err(reader.into_mistakes(MOST_MISTAKES)),
    }
}

fn deceives(reader: &mut Reader<'_>, at: usize, character: char) {
    let found = format!("the character U+{:04X}, which is not seen or moves others", u32::from(character));
    reader.mistake(at, "", found, "a text that says what it shows; in a comment or a title it is left out");
}

/// What deceives is a mistake as an escape as well (`"\u202e"`): what is read and shown later is the character.
fn table_deceives(reader: &mut Reader<'_>, text: &str, table: &DeTable<'_>) {
    for (key, value) in table {
        text_deceives(reader, text, key.span(), key.get_ref());
        value_deceives(reader, text, value);
    }
}

fn value_deceives(reader: &mut Reader<'_>, text: &str, value: &Spanned<DeValue<'_>>) {
    match value.get_ref() {
        DeValue::String(found) => text_deceives(reader, text, value.span(), found),
        DeValue::Array(values) => values.iter().for_each(|value| value_deceives(reader, text, value)),
        DeValue::Table(table) => table_deceives(reader, text, table),
        DeValue::Integer(_) | DeValue::Float(_) | DeValue::Boolean(_) | DeValue::Datetime(_) => {}
    }
}

fn text_deceives(reader: &mut Reader<'_>, text: &str, span: Range<usize>, found: &str) {
    // Those that stand in the text as they are were told.
    let told = text.get(span.clone()).unwrap_or_default();
    for character in found.chars().filter(|character| deceives_in_a_file(*character) && !told.contains(*character)) {
        deceives(reader, span.start, character);
    }
}

/// Where a dotted key goes too deep.
fn too_deep(text: &str) -> Option<usize> {
    let mut dots = 0_usize;
    for token in toml_parser::Source::new(text).lex() {
        let begins_anew = matches!(
            token.kind(),
            TokenKind::Equals
                | TokenKind::Comma
                | TokenKind::Newline
                | TokenKind::LeftSquareBracket
                | TokenKind::LeftCurlyBracket
        );
        if begins_anew {
            dots = 0;
        } else if token.kind() == TokenKind::Dot {
            dots = dots.saturating_add(1);
        }
        if dots >= DEEPEST_KEY {
            return Some(token.span().start());
        }
    }
    None
}

/// Reports what is no TOML and gives the text without it, byte for byte in the same places; none if that does not help.
fn without_damage(reader: &mut Reader<'_>, text: &str, mut errors: Vec<toml::de::Error>) -> Option<String> {
    let mut sound = text.to_owned();
    let rounds = if text.len() > LARGE_BYTES { ROUNDS_IF_LARGE } else { ROUNDS };
    for round in 0..rounds {
        let mut blanked_now = false;
        for error in errors.iter().take(MOST_MISTAKES) {
            let at = error.span().map_or(0, |span| span.start).min(text.len());
            let line = line_around(text, at);
            let Some(there) = sound.get(line.clone()) else { continue };
            if there.trim().is_empty() {
                // The next line after a blanked one that said the same: an unclosed string or list, most often.
                if round == 0 && !reader.is_damaged(line.start) {
                    report(reader, text, at, error);
                }
                continue;
            }
            // In later rounds, what follows a blanked line directly was part of it.
            if round == 0 || !continues_damage(reader, text, line.start) {
                report(reader, text, at, error);
            }
            let damage = if there.trim_start().starts_with('[') { reader.section_around(at) } else { line };
            blank(&mut sound, damage.clone());
            reader.damage(damage);
            blanked_now = true;
        }
        if !blanked_now {
            return None;
        }
        errors = DeTable::parse_recoverable(&sound).1;
        if errors.is_empty() {
            return Some(sound);
        }
    }
    None
}

fn report(reader: &mut Reader<'_>, text: &str, at: usize, error: &toml::de::Error) {
    let line = text.get(line_around(text, at)).unwrap_or_default();
    let value = line.split_once('=').map(|(_, value)| value.trim_start());
    let bare = value.is_some_and(|value| value.starts_with(|c: char| c.is_ascii_alphanumeric() || "@*/".contains(c)));
    let wanted = match error.message() {
        message if message.contains("duplicate key") => "each key and each table once",
        _ if bare => "a value of TOML: text stands in double quotes, as in `\"15m\"`",
        _ => "a line of TOML, such as `key = \"value\"`, `key = [\"a\", \"b\"]` or `[table.name]`",
    };
    reader.syntax_mistake(at, format!("invalid TOML ({})", error.message()), wanted);
}

fn continues_damage(reader: &Reader<'_>, text: &str, line_start: usize) -> bool {
    let before = line_start.checked_sub(1).map(|before| line_around(text, before));
    before.is_some_and(|before| reader.is_damaged(before.start))
}

fn blank(text: &mut String, range: Range<usize>) {
    let blanks: String =
        text.get(range.clone()).unwrap_or_default().bytes().map(|b| if b == b'\n' { '\n' } else { ' ' }).collect();
    text.replace_range(range, &blanks);
}

/// The line that `at` is in, without its end.
fn line_around(text: &str, at: usize) -> Range<usize> {
    let (before, after) = (text.as_bytes().get(..at), text.as_bytes().get(at..));
    let start =
        before.and_then(|before| before.iter().rposition(|b| *b == b'\n')).map_or(0, |end| end.saturating_add(1));
    let length = after.and_then(|after| after.iter().position(|b| *b == b'\n'));
    start..length.map_or(text.len(), |length| at.saturating_add(length))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(text: &str) -> Vec<u32> {
        let outcome = read(SourceFile::Policy, text, 1_000_000, |_, _| ());
        outcome.err().unwrap_or_default().iter().map(|mistake| mistake.line).collect()
    }

    #[test]
    fn a_mistake_of_toml_hides_no_later_one() {
        // An unclosed list is noticed on the line after it.
        assert_eq!(lines("a = 1h\nb = 2\nc d\ne = [1,\n[t]\nf = \"x\n[t]\n"), [1, 3, 5, 6, 7]);
    }

    #[test]
    fn depth_and_size_are_bounded_before_anything_is_built() {
        let deep = "a.".repeat(1_000_000);
        assert_eq!(lines(&format!("\n{deep}b = 1")), [1], "over the size: nothing is read");
        let deep = "a.".repeat(100_000);
        assert_eq!(lines(&format!("\n{deep}b = 1")), [2]);
        assert_eq!(lines(&format!("x = {}", "[".repeat(100_000))), [1]);
        assert_eq!(lines(&format!("x = {}", "{ a = ".repeat(100_000))), [1]);
    }
}
