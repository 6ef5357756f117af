//! CSV (RFC 4180): a header that names every column once, then a person a line. Quotes are looked at before the table is
//! read, because a reader of CSV takes any: one that is not closed would swallow the lines after it, people and all.

use ::csv::{ReaderBuilder, StringRecord};

use super::draft::{Draft, Entry, KEYS, lines};
use crate::domain::policy::nearest;
use crate::domain::value::ids::{Identity, excerpt};

pub(super) fn read(draft: &mut Draft, text: &str) {
    let mut numbers = Vec::new();
    let mut sound = String::with_capacity(text.len());
    for (line, text) in lines(text) {
        if text.is_empty() || !draft.is_sound(line, text) {
            continue;
        }
        if !is_well_quoted(text) {
            let wanted = "a field quoted whole and on one line, as in `\"ana\"`, with `\"\"` for a quote within it";
            draft.mistake(line, "", format!("`{}`", excerpt(text)), wanted);
            continue;
        }
        numbers.push(line);
        sound.push_str(text);
        sound.push('\n');
    }
    let mut reader = ReaderBuilder::new().has_headers(false).flexible(true).from_reader(sound.as_bytes());
    // A record is a line: no sound line has a quote that goes on in the next.
    let mut records = numbers.into_iter().zip(reader.records());
    let Some((line, Ok(header))) = records.next() else { return };
    let Some(columns) = columns(draft, line, &header) else { return };
    for (line, record) in records {
        match record {
            Ok(record) if record.len() == KEYS.len() => entry(draft, line, &record, columns),
            Ok(record) => {
                draft.mistake(line, "", format!("{} fields", record.len()), format!("{} fields", KEYS.len()));
            }
            Err(error) => draft.mistake(line, "", format!("no CSV ({error})"), "a line of CSV"),
        }
    }
}

/// Where each of [`KEYS`] stands.
type Columns = [usize; KEYS.len()];

fn columns(draft: &mut Draft, line: u32, header: &StringRecord) -> Option<Columns> {
    let known = KEYS.join(",");
    for (at, name) in header.iter().enumerate() {
        if !KEYS.contains(&name) {
            let meant = nearest(name, KEYS).map_or_else(String::new, |near| format!("`{near}`? The header is "));
            draft.mistake(line, &excerpt(name), "an unknown column", format!("{meant}`{known}`"));
        } else if header.iter().take(at).any(|earlier| earlier == name) {
            draft.mistake(line, name, "a second time", "each column once");
        }
    }
    let mut columns = [0; KEYS.len()];
    for (column, key) in columns.iter_mut().zip(KEYS) {
        match header.iter().position(|name| name == key) {
            Some(at) => *column = at,
            None => draft.mistake(line, key, "no such column", format!("the header `{known}`")),
        }
    }
    draft.mistakes.iter().all(|mistake| mistake.line != line).then_some(columns)
}

fn entry(draft: &mut Draft, line: u32, record: &StringRecord, columns: Columns) {
    let [person, manager, login, last_day] = columns.map(|column| record.get(column).unwrap_or_default());
    let login = login.split(' ').filter(|text| !text.is_empty());
    let entry = Entry {
        line,
        person: draft.parsed(line, "person", person),
        manager: if manager.is_empty() { None } else { draft.parsed(line, "manager", manager) },
        login: login.filter_map(|text| draft.parsed::<Identity>(line, "login", text)).collect(),
        leaves_at: if last_day.is_empty() { None } else { draft.last_day(line, last_day) },
    };
    draft.add(entry);
}

/// Whether each quote opens a field, closes it, or is doubled within it.
fn is_well_quoted(line: &str) -> bool {
    #[derive(Clone, Copy, PartialEq, Eq)]
    enum At {
        Start,
        Bare,
        Quoted,
        /// After a quote within a quoted field: its end, or the first half of a doubled one.
        Closed,
    }
    let mut at = At::Start;
    for byte in line.bytes() {
        at = match (at, byte) {
            (At::Start | At::Bare | At::Closed, b',') => At::Start,
            (At::Start | At::Closed, b'"') => At::Quoted,
            (At::Quoted, b'"') => At::Closed,
            (At::Quoted, _) => At::Quoted,
            (At::Bare, b'"') | (At::Closed, _) => return false,
            (At::Start | At::Bare, _) => At::Bare,
        };
    }
    at != At::Quoted
}
