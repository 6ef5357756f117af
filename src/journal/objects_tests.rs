use rusqlite::Connection;

use super::super::schema;
use super::super::schema::OBJECTS;
use super::*;

fn after(sql: &str) -> Result<(), Wrong> {
    let connection = Connection::open_in_memory().unwrap();
    schema::create(&connection, crate::journal::random_id()).unwrap();
    connection.execute_batch(sql).unwrap();
    check(&read(&connection).unwrap(), &OBJECTS)
}

/// What was found to be foreign, and how it is removed; it is done, and then nothing is wrong any more.
#[track_caller]
fn foreign(sql: &str) -> (String, String) {
    let Err(Wrong::Foreign { what, remedy, .. }) = after(sql) else { panic!("{sql}") };
    assert_eq!(after(&format!("{sql}; {remedy}")), Ok(()), "{remedy}");
    (what, remedy)
}

#[test]
fn tables_of_known_form_are_harmless_and_of_any_other_form_are_not() {
    assert_eq!(after(""), Ok(()));
    // Litestream's statements, word for word.
    let litestream = "CREATE TABLE IF NOT EXISTS _litestream_seq (id INTEGER PRIMARY KEY, seq INTEGER); \
        CREATE TABLE IF NOT EXISTS _litestream_lock (id INTEGER);";
    assert_eq!(after(litestream), Ok(()));
    assert_eq!(after("INSERT INTO journal VALUES (1, 'x', x''); ANALYZE;"), Ok(()));
    // A table that counts itself leaves its counter behind.
    assert_eq!(after("CREATE TABLE t(id INTEGER PRIMARY KEY AUTOINCREMENT); DROP TABLE t;"), Ok(()));
    for other in [
        "CREATE TABLE _litestream_seq (id INTEGER PRIMARY KEY, seq INTEGER, more TEXT)",
        "CREATE TABLE _litestream_lock (id TEXT)",
        "CREATE TABLE _Litestream_lock (id INTEGER)",
        "CREATE VIEW _litestream_lock AS SELECT 1 AS id",
    ] {
        let (what, _) = foreign(other);
        assert!(what.to_lowercase().contains("_litestream"), "{what}");
    }
    // On a table that may be there nothing else may stand.
    let (what, remedy) = foreign(&format!("{litestream} CREATE INDEX seqs ON _litestream_seq(seq)"));
    assert_eq!((what.as_str(), remedy.as_str()), ("index `seqs`", "DROP INDEX seqs;"));
}

#[test]
fn what_is_foreign_is_named_with_the_statements_that_remove_it() {
    let named = |sql: &str| foreign(sql);
    let pair = |what: &str, remedy: &str| (what.to_owned(), remedy.to_owned());
    assert_eq!(named("CREATE TABLE x(a)"), pair("table `x`", "DROP TABLE x;"));
    assert_eq!(named("CREATE VIEW v AS SELECT 1"), pair("view `v`", "DROP VIEW v;"));
    assert_eq!(named("CREATE INDEX i ON journal(body)"), pair("index `i`", "DROP INDEX i;"));
    let trigger = "CREATE TRIGGER t AFTER INSERT ON journal BEGIN DELETE FROM journal; END";
    assert_eq!(named(trigger), pair("trigger `t`", "DROP TRIGGER t;"));
    assert_eq!(named(r#"CREATE TABLE "a ""b"(a)"#), pair("table `a \"b`", r#"DROP TABLE "a ""b";"#));
    // What SQLite makes with a table goes with it.
    assert_eq!(named("CREATE TABLE x(a UNIQUE); CREATE INDEX b ON x(a)"), pair("table `x`", "DROP TABLE x;"));
    assert_eq!(named("CREATE VIRTUAL TABLE f USING fts5(a)"), pair("table `f`", "DROP TABLE f;"));
    assert_eq!(
        named("CREATE TABLE a(a); CREATE VIEW b AS SELECT 1"),
        pair("table `a`, view `b`", "DROP TABLE a; DROP VIEW b;")
    );
}

#[test]
fn many_are_named_in_part() {
    let tables: String = (0..12).map(|n| format!("CREATE TABLE t{n:02}(a);")).collect();
    let Err(Wrong::Foreign { what, remedy, .. }) = after(&tables) else { panic!() };
    assert!(what.ends_with("table `t07`, 4 more") && remedy.ends_with("DROP TABLE t07;"), "{what} {remedy}");
}

#[test]
fn the_journals_own_are_compared_word_for_word() {
    for sql in [
        "DROP VIEW event",
        "DROP VIEW event; CREATE VIEW event AS SELECT 1",
        "ALTER TABLE journal ADD COLUMN more TEXT",
        "DROP TABLE journal_id",
    ] {
        let wrong = after(sql).unwrap_err();
        assert!(matches!(&wrong, Wrong::Altered(what) if what.contains("missing or was changed")), "{wrong:?}");
    }
}

#[test]
fn only_an_index_over_the_rows_is_in_the_way_of_an_append() {
    let in_the_way = |sql| match after(sql).unwrap_err() {
        Wrong::Foreign { is_in_the_way, .. } => is_in_the_way,
        Wrong::Altered(what) => panic!("{what}"),
    };
    assert!(in_the_way("CREATE INDEX i ON journal(body)"));
    assert!(!in_the_way("CREATE TABLE x(a); CREATE INDEX i ON x(a)"));
    assert!(!in_the_way("CREATE TRIGGER t AFTER INSERT ON journal BEGIN DELETE FROM journal; END"));
}
