//! Tables and cards: rows for lists, `label  value` lines for one thing. Laid out for a width, so that tests can see both
//! a telephone and a desk.

use comfy_table::presets::NOTHING;
use comfy_table::{ContentArrangement, Table};

use super::text::clean;

/// Below this a list that does not fit is shown as cards, one after the other.
const DESK_WIDTH: u16 = 80;

/// A list with a heading; empty rows make an empty text.
#[must_use]
pub fn rows(width: u16, heading: &[&str], rows: Vec<Vec<String>>) -> String {
    if rows.is_empty() {
        return String::new();
    }
    let mut table = plain(width);
    table.set_header(heading.iter().map(|title| title.to_ascii_uppercase()));
    for row in &rows {
        table.add_row(row.iter().map(|cell| clean(cell)));
    }
    if width < DESK_WIDTH && !fits(&table, width) {
        let one = |row: Vec<String>| card(width, &heading.iter().copied().zip(row).collect::<Vec<_>>());
        return rows.into_iter().map(one).collect::<Vec<_>>().join("\n");
    }
    text(&table)
}

fn fits(table: &Table, width: u16) -> bool {
    let mut table = table.clone();
    table.set_content_arrangement(ContentArrangement::Disabled);
    let widest = text(&table).lines().map(|line| line.chars().count()).max().unwrap_or_default();
    widest <= usize::from(width)
}

/// One thing: labels to the left, values to the right, wrapped under themselves. Empty values are left out.
#[must_use]
pub fn card(width: u16, lines: &[(&str, String)]) -> String {
    let mut table = plain(width);
    for (label, value) in lines.iter().filter(|(_, value)| !value.is_empty()) {
        table.add_row(vec![clean(label), clean(value)]);
    }
    if table.is_empty() { String::new() } else { text(&table) }
}

fn plain(width: u16) -> Table {
    let mut table = Table::new();
    table.load_preset(NOTHING).set_content_arrangement(ContentArrangement::Dynamic).set_width(width);
    table
}

fn text(table: &Table) -> String {
    let mut table = table.clone();
    // One space from the left edge is one too many on a narrow screen.
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    table.lines().map(|line| line.trim_end().to_owned() + "\n").collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_card_wraps_its_values_under_themselves() {
        let lines = [
            ("who", "ana".to_owned()),
            ("ticket", String::new()),
            ("where", "prod/eu/db/orders/primary prod/us/db/orders/primary".to_owned()),
        ];
        insta::assert_snapshot!(card(40, &lines), @r#"
        who    ana
        where  prod/eu/db/orders/primary
               prod/us/db/orders/primary
        "#);
        assert!(card(40, &lines).lines().all(|line| line.chars().count() <= 40));
    }

    #[test]
    fn a_list_without_rows_is_no_text() {
        assert_eq!(rows(40, &["id"], Vec::new()), "");
    }
}
