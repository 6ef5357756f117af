//! From a filter and a page to SQL.

use rusqlite::types::Value;

use super::side_file::signed;
use super::wanted::{Filter, Page};

/// An elevation or a grant.
const THING: &str = "(about >= 'elevation:' AND about < 'elevation;' OR about >= 'grant:' AND about < 'grant;')";

/// So many subjects are found by an ending: whoever means one of more gives more digits.
pub const MOST_SUBJECTS: u32 = 100;

/// The SQL that finds subjects: these, and those that begin and end so.
pub(super) fn subjects(whole: &[String], ending: Option<&(Vec<&'static str>, String)>) -> (String, Vec<Value>) {
    let mut values: Vec<Value> = whole.iter().cloned().map(Value::from).collect();
    let mut parts =
        vec![format!("SELECT DISTINCT about FROM about WHERE about IN ({})", vec!["?"; whole.len()].join(", "))];
    if let Some((kinds, ending)) = ending {
        for kind in kinds {
            // `;` is the byte after `:`.
            let after = format!("{};", kind.trim_end_matches(':'));
            parts.push(
                "SELECT DISTINCT about FROM about WHERE about >= ? AND about < ? AND substr(about, ?) = ?".to_owned(),
            );
            let from_end = i64::try_from(ending.len()).unwrap_or(i64::MAX).saturating_neg();
            values.extend([(*kind).to_owned().into(), after.into(), from_end.into(), ending.clone().into()]);
        }
    }
    (format!("{} ORDER BY about LIMIT {MOST_SUBJECTS}", parts.join(" UNION ")), values)
}

/// Only the shape of the text depends on the filter; every value is bound.
pub(super) fn query(filter: &Filter, page: Page) -> (String, Vec<Value>) {
    let mut sql = String::from("SELECT seq FROM event WHERE 1");
    let mut values: Vec<Value> = Vec::new();
    let mut and = |condition: &str, with: Vec<Value>| {
        sql.push_str(" AND ");
        sql.push_str(condition);
        values.extend(with);
    };
    if let Some(actor) = &filter.actor {
        and("actor = ?", vec![actor.clone().into()]);
    }
    if let Some(kind) = &filter.kind {
        if kind.contains('/') {
            and("kind = ?", vec![kind.clone().into()]);
        } else {
            // `0` is the byte after `/`: every version of the kind, and nothing that only begins alike.
            and("kind > ? AND kind < ?", vec![format!("{kind}/").into(), format!("{kind}0").into()]);
        }
    }
    if let Some(about) = &filter.about {
        and("seq IN (SELECT seq FROM about WHERE about = ?)", vec![about.clone().into()]);
    }
    if let Some(any) = &filter.about_any {
        let marks = vec!["?"; any.len()].join(", ");
        let condition = format!("seq IN (SELECT seq FROM about WHERE about IN ({marks}))");
        and(&condition, any.iter().cloned().map(Value::from).collect());
    }
    if let Some(any) = &filter.about_things_of {
        let marks = vec!["?"; any.len()].join(", ");
        let own = format!("SELECT seq FROM about WHERE about IN ({marks})");
        let linked = format!("SELECT about FROM about WHERE seq IN ({own}) AND {THING}");
        let condition = format!("(seq IN ({own}) OR seq IN (SELECT seq FROM about WHERE about IN ({linked})))");
        and(&condition, any.iter().chain(any).cloned().map(Value::from).collect());
    }
    if filter.of_no_tenant {
        let own = "SELECT seq FROM about WHERE about >= 'tenant:' AND about < 'tenant;'";
        let linked = format!("SELECT about FROM about WHERE seq IN ({own}) AND {THING}");
        and(&format!("seq NOT IN (SELECT seq FROM about WHERE about IN ({linked}))"), Vec::new());
    }
    if let Some(from) = filter.from {
        and("at >= ?", vec![from.millis().into()]);
    }
    if let Some(until) = filter.until {
        and("at < ?", vec![until.millis().into()]);
    }
    if let Some(after) = page.after {
        and(if page.newest_first { "seq < ?" } else { "seq > ?" }, vec![signed(after).into()]);
    }
    sql.push_str(if page.newest_first { " ORDER BY seq DESC LIMIT ?" } else { " ORDER BY seq LIMIT ?" });
    values.push(i64::try_from(page.limit).unwrap_or(i64::MAX).into());
    (sql, values)
}
