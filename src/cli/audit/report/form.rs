//! The form of a report: tables, as JSON, or as a page that prints well.

use clap::Args;

use crate::cli::connect::session::{PAGE, Session};
use crate::cli::term::failure::{Exit, Failure, Ran};
use crate::cli::term::page::{Page, Section};
use crate::cli::term::table::{card, rows};
use crate::cli::term::text::{clock_text, instant};
use crate::wire::v1::{Event, ListEventsRequest};

/// The form of a report.
#[derive(Debug, Clone, Args)]
pub struct Form {
    /// A page of HTML that prints well
    #[arg(long)]
    pub html: bool,
}

/// What a report says, whatever its form.
pub(super) struct Report {
    /// Its title, on a page.
    pub(super) title: &'static str,
    /// Its tables.
    pub(super) sections: Vec<Section>,
}

impl Report {
    /// Writes it in the form that was asked for; `value` is what programs get.
    pub(super) fn write(
        self,
        session: &mut Session<'_>,
        form: &Form,
        value: impl FnOnce() -> serde_json::Value,
    ) -> Ran {
        let sections = self.sections;
        if form.html {
            let page = Page { title: format!("Countersign: {}", self.title), at: clock_text(session.now), sections };
            session.output.raw(page.html().as_bytes())?;
            return Ok(Exit::Yes);
        }
        let empty = sections.iter().all(|section| section.rows.is_empty());
        session.output.data(|width| sections_text(width, &sections), value)?;
        if empty && !session.output.is_json() {
            session.output.note("nothing");
        }
        Ok(Exit::Yes)
    }
}

pub(super) fn sections_text(width: u16, sections: &[Section]) -> String {
    let table = |it: &Section| {
        if it.columns.is_empty() {
            let lines: Vec<(&str, String)> =
                it.rows.iter().filter_map(|row| Some((row.first()?.as_str(), row.get(1)?.clone()))).collect();
            return card(width, &lines);
        }
        rows(width, &it.columns, it.rows.clone())
    };
    let several = sections.len() > 1;
    let section = |it: &Section| if several { format!("{}\n\n{}", it.heading, table(it)) } else { table(it) };
    sections.iter().filter(|it| !it.rows.is_empty()).map(section).collect::<Vec<_>>().join("\n")
}

pub(super) fn time_text(time: Option<&prost_types::Timestamp>) -> String {
    time.and_then(instant).map(clock_text).unwrap_or_default()
}

/// Every event that there is of these. What they are about is named in full by then.
pub(super) async fn events(session: &Session<'_>, request: &mut ListEventsRequest) -> Result<Vec<Event>, Failure> {
    request.page_size = PAGE;
    let mut found = Vec::new();
    loop {
        let page = session.client.list_events(request.clone()).await?;
        found.extend(page.events);
        if !page.about.is_empty() {
            request.about = page.about;
        }
        if page.next_page_token.is_empty() {
            return Ok(found);
        }
        request.page_token = page.next_page_token;
    }
}
