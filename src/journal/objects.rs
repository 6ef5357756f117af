//! What stands in a journal's file: its own tables, and those that well-known tools leave there, each of exactly known form.
//! Everything else is refused by name, at the opening and while the broker runs (known failure H26).

use rusqlite::Connection;

use super::Refused;

/// What may stand in the file without being the journal's, as `sqlite_schema` has it. It holds nothing that is read here.
const HARMLESS: [(&str, &str); 5] = [
    // What ANALYZE and AUTOINCREMENT make. Only SQLite itself can make a name that begins like this.
    ("sqlite_sequence", "CREATE TABLE sqlite_sequence(name,seq)"),
    ("sqlite_stat1", "CREATE TABLE sqlite_stat1(tbl,idx,stat)"),
    ("sqlite_stat4", "CREATE TABLE sqlite_stat4(tbl,idx,neq,nlt,ndlt,sample)"),
    // Litestream's, by which it holds and counts its transactions.
    ("_litestream_lock", "CREATE TABLE _litestream_lock (id INTEGER)"),
    ("_litestream_seq", "CREATE TABLE _litestream_seq (id INTEGER PRIMARY KEY, seq INTEGER)"),
];

/// So many are named.
const MOST_NAMED: usize = 8;

/// One definition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Object {
    kind: String,
    name: String,
    /// The table that an index or a trigger is of.
    table: String,
    /// None for what SQLite makes together with a table.
    sql: Option<String>,
}

/// What is wrong with the definitions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Wrong {
    /// The journal's own are not what they must be.
    Altered(String),
    /// Something else stands there.
    Foreign {
        /// What.
        what: String,
        /// The statements that remove it.
        remedy: String,
        /// Whether it changes what an append does. Triggers do not: no connection of the broker runs any.
        is_in_the_way: bool,
    },
}

impl Wrong {
    fn refused(&self) -> Refused {
        match self {
            Self::Altered(what) => Refused::Altered { what: what.clone() },
            Self::Foreign { what, remedy, .. } => Refused::Foreign { what: what.clone(), remedy: remedy.clone() },
        }
    }
}

/// Every definition in the file, by name.
pub(super) fn read(connection: &Connection) -> rusqlite::Result<Vec<Object>> {
    let mut statement = connection.prepare("SELECT type, name, tbl_name, sql FROM sqlite_schema ORDER BY name")?;
    let objects = statement.query_map([], |row| {
        Ok(Object { kind: row.get(0)?, name: row.get(1)?, table: row.get(2)?, sql: row.get(3)? })
    })?;
    objects.collect()
}

/// Compares what was found with what must be there: kind, name and text of each.
pub(super) fn check(found: &[Object], own: &[(&str, &str, &str)]) -> Result<(), Wrong> {
    let is_own = |object: &Object| own.iter().any(|(_, name, _)| *name == object.name);
    let foreign: Vec<&Object> = found.iter().filter(|object| !is_own(object) && !is_harmless(object)).collect();
    if !foreign.is_empty() {
        return Err(named(&foreign, own));
    }
    for (kind, name, sql) in own {
        let same =
            |object: &&Object| object.kind == *kind && object.name == *name && object.sql.as_deref() == Some(*sql);
        if found.iter().filter(same).count() != 1 {
            return Err(Wrong::Altered(format!("the definition of {kind} `{name}` is missing or was changed")));
        }
    }
    for (at, object) in found.iter().enumerate() {
        if found.iter().skip(at.saturating_add(1)).any(|other| other.name == object.name) {
            return Err(Wrong::Altered(format!(
                "the definition of {} `{}` stands in it twice",
                object.kind, object.name
            )));
        }
    }
    Ok(())
}

fn is_harmless(object: &Object) -> bool {
    let form = |(name, sql): &(&str, &str)| object.name == *name && object.sql.as_deref() == Some(*sql);
    object.kind == "table" && HARMLESS.iter().any(form)
}

/// What is foreign, with the statements that remove it. What goes with its table is not named beside it.
fn named(foreign: &[&Object], own: &[(&str, &str, &str)]) -> Wrong {
    let goes_with_its_table = |object: &Object| {
        object.name != object.table && foreign.iter().any(|other| other.name == object.table && other.kind == "table")
    };
    let virtual_table = |object: &Object| {
        object.sql.as_deref().is_some_and(|sql| sql.to_ascii_uppercase().starts_with("CREATE VIRTUAL TABLE"))
    };
    let shadows = |object: &Object| {
        let beginning = |other: &&&Object| virtual_table(other) && object.name.starts_with(&format!("{}_", other.name));
        foreign.iter().find(beginning).is_some()
    };
    let mut what = Vec::new();
    let mut remedy = Vec::new();
    for object in foreign.iter().filter(|object| !goes_with_its_table(object) && !shadows(object)) {
        what.push(format!("{} `{}`", object.kind, object.name));
        remedy.push(format!("DROP {} {};", object.kind.to_uppercase(), quoted(&object.name)));
    }
    if what.len() > MOST_NAMED {
        let more = what.len().saturating_sub(MOST_NAMED);
        what.truncate(MOST_NAMED);
        remedy.truncate(MOST_NAMED);
        what.push(format!("{more} more"));
    }
    let is_of_ours = |object: &&Object| own.iter().any(|(_, name, _)| *name == object.table);
    let is_in_the_way = foreign.iter().any(|object| object.kind == "index" && is_of_ours(object));
    Wrong::Foreign { what: what.join(", "), remedy: remedy.join(" "), is_in_the_way }
}

/// A name as SQL takes it.
fn quoted(name: &str) -> String {
    let is_plain = |text: &str| text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    let begins_plainly = name.bytes().next().is_some_and(|byte| byte.is_ascii_alphabetic() || byte == b'_');
    if begins_plainly && is_plain(name) { name.to_owned() } else { format!("\"{}\"", name.replace('"', "\"\"")) }
}

/// The definitions of a journal that is open, looked at again whenever somebody has changed one.
#[derive(Debug, Default)]
pub(super) struct Watched {
    version: Option<i64>,
    wrong: Option<Wrong>,
}

impl Watched {
    /// Looks whether anything was changed, and if so at all of it. True if it was. Within a transaction that holds the
    /// write lock nobody can change it any more.
    pub(super) fn look(&mut self, connection: &Connection, own: &[(&str, &str, &str)]) -> rusqlite::Result<bool> {
        let mut statement = connection.prepare_cached("PRAGMA schema_version")?;
        let version: i64 = statement.query_row([], |row| row.get(0))?;
        if self.version == Some(version) {
            return Ok(false);
        }
        self.wrong = check(&read(connection)?, own).err();
        self.version = Some(version);
        Ok(true)
    }

    /// Why nothing that gives access is to be appended.
    pub(super) fn trouble(&self) -> Option<Refused> {
        self.wrong.as_ref().map(Wrong::refused)
    }

    /// Why nothing at all can be appended.
    pub(super) fn obstacle(&self) -> Option<Refused> {
        match &self.wrong {
            None | Some(Wrong::Foreign { is_in_the_way: false, .. }) => None,
            Some(wrong) => Some(wrong.refused()),
        }
    }
}

#[cfg(test)]
#[path = "objects_tests.rs"]
mod tests;
