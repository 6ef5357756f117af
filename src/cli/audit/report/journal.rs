//! `report refusals` and `report about`: refusals, and the story of one object, from the journal.

use std::collections::BTreeMap;

use super::arguments::{AboutArguments, RefusalsArguments};
use super::form::{Report, events, time_text};
use crate::cli::connect::session::Session;
use crate::cli::term::failure::Ran;
use crate::cli::term::json;
use crate::cli::term::page::Section;
use crate::cli::term::text::{quoted, time_field};
use crate::wire::v1::{Event, ListEventsRequest};

const REFUSALS: [&str; 5] = ["time", "who", "asked for", "about", "reason"];

pub(super) async fn refusals(session: &mut Session<'_>, arguments: RefusalsArguments) -> Ran {
    let refused = events(
        session,
        &mut ListEventsRequest {
            kind: "command-refused".to_owned(),
            actor: arguments.actor.unwrap_or_default(),
            from_time: arguments.from.map(time_field),
            until_time: arguments.until.map(time_field),
            ..Default::default()
        },
    )
    .await?;
    let section = Section {
        heading: "Refusals".to_owned(),
        columns: REFUSALS.to_vec(),
        rows: refused.iter().map(refusal_row).collect(),
    };
    Report { title: "Refusals", sections: vec![section] }.write(session, &arguments.form, || json::list(&refused))
}

fn refusal_row(event: &Event) -> Vec<String> {
    let facts = facts(event);
    let said = |key: &str| facts.get(key).and_then(|value| value.as_str()).unwrap_or_default().to_owned();
    let detail = said("detail");
    let reason = if detail.is_empty() { said("reason") } else { format!("{}: {detail}", said("reason")) };
    vec![time_text(event.time.as_ref()), event.actor.clone(), said("command"), said("about"), reason]
}

const ABOUT: [&str; 5] = ["sequence", "time", "who", "what happened", "in their words"];

pub(super) async fn about(session: &mut Session<'_>, arguments: AboutArguments) -> Ran {
    let mut request = ListEventsRequest { about: arguments.object.clone(), ..Default::default() };
    let found = events(session, &mut request).await?;
    let section = Section {
        heading: format!("All about {}", request.about),
        columns: ABOUT.to_vec(),
        rows: found.iter().map(about_row).collect(),
    };
    Report { title: "One object", sections: vec![section] }.write(session, &arguments.form, || json::list(&found))
}

fn about_row(event: &Event) -> Vec<String> {
    let kind = event.kind.split('/').next().unwrap_or_default().replace('-', " ");
    let facts = facts(event);
    let words = ["justification", "reason", "comment"].iter().find_map(|key| deep(&facts, key)).unwrap_or_default();
    let words = if words.is_empty() { words } else { quoted(&words) };
    vec![event.sequence.clone(), time_text(event.time.as_ref()), event.actor.clone(), kind, words]
}

fn facts(event: &Event) -> BTreeMap<String, serde_json::Value> {
    serde_json::from_str(&event.facts_json).unwrap_or_default()
}

/// A text of this name, in the facts or in what they hold.
fn deep(facts: &BTreeMap<String, serde_json::Value>, key: &str) -> Option<String> {
    let own = facts.get(key).and_then(|value| value.as_str());
    let held = || facts.values().filter_map(|value| value.get(key)).find_map(|value| value.as_str());
    own.or_else(held).filter(|text| !text.is_empty()).map(str::to_owned)
}
