//! `audit`: reading the journal through the broker.

use clap::{Args, Subcommand};

#[cfg(feature = "cli")]
use super::verify::{self, VerifyArguments};
use crate::cli::connect::session::{PAGE, Session};
use crate::cli::term::failure::{Exit, Ran};
use crate::cli::term::json;
use crate::cli::term::table::rows;
use crate::cli::term::text::{clock_text, instant, time_field};
use crate::cli::term::values;
use crate::domain::value::time::Timestamp;
use crate::wire::v1::{Event, ListEventsRequest, WatchEventsRequest};

/// `audit …`.
#[derive(Debug, Clone, Subcommand)]
pub enum AuditCommand {
    /// Events, oldest first
    Ls(ListArguments),
    /// Every event from now on
    Watch(WatchArguments),
    /// Verify a journal, or a copy of one; needs no broker
    #[cfg(feature = "cli")]
    Verify(VerifyArguments),
}

/// Which events.
#[derive(Debug, Clone, Default, Args)]
pub struct Filter {
    /// Only caused by: account:ana, broker, or person:ana with all accounts that were theirs
    #[arg(long, value_parser = values::not_empty, value_name = "WHO")]
    pub actor: Option<String>,
    /// Only of this kind: elevation-requested
    #[arg(long, value_parser = values::not_empty, value_name = "KIND")]
    pub kind: Option<String>,
    /// Only about this: `elevation:ID`, account:ana, tenant:acme; an ending of an id or a name, as lists print it, will do
    #[arg(long, value_parser = values::not_empty, value_name = "WHAT")]
    pub about: Option<String>,
}

/// `audit ls`.
#[derive(Debug, Clone, Args)]
pub struct ListArguments {
    /// Which.
    #[command(flatten)]
    pub filter: Filter,
    /// Only at or after this
    #[arg(long, value_parser = values::time, value_name = "TIME")]
    pub from: Option<Timestamp>,
    /// Only before this
    #[arg(long, value_parser = values::time, value_name = "TIME")]
    pub until: Option<Timestamp>,
    /// At most so many; 0: all of them
    #[arg(long, default_value_t = 500, value_name = "COUNT")]
    pub limit: usize,
}

/// `audit watch`.
#[derive(Debug, Clone, Args)]
pub struct WatchArguments {
    /// Which.
    #[command(flatten)]
    pub filter: Filter,
    /// After this sequence, not from now
    #[arg(long, value_name = "SEQUENCE")]
    pub after: Option<String>,
}

/// Runs what needs a broker.
///
/// # Errors
/// If the broker refuses.
pub async fn run(session: &mut Session<'_>, command: AuditCommand) -> Ran {
    match command {
        AuditCommand::Ls(arguments) => list(session, arguments).await,
        AuditCommand::Watch(arguments) => watch(session, arguments).await,
        #[cfg(feature = "cli")]
        AuditCommand::Verify(arguments) => verify::verify(session.output, &arguments),
    }
}

async fn list(session: &mut Session<'_>, arguments: ListArguments) -> Ran {
    let limit = if arguments.limit == 0 { usize::MAX } else { arguments.limit };
    let mut request = ListEventsRequest {
        page_size: i32::try_from(limit).unwrap_or(PAGE).min(PAGE),
        actor: arguments.filter.actor.unwrap_or_default(),
        kind: arguments.filter.kind.unwrap_or_default(),
        about: arguments.filter.about.unwrap_or_default(),
        from_time: arguments.from.map(time_field),
        until_time: arguments.until.map(time_field),
        ..Default::default()
    };
    let mut events = Vec::new();
    let more = loop {
        let page = session.client.list_events(request.clone()).await?;
        events.extend(page.events);
        request.page_token = page.next_page_token;
        if !page.about.is_empty() {
            // By then an ending may be another's, too.
            request.about = page.about;
        }
        if events.len() >= limit || request.page_token.is_empty() {
            break !request.page_token.is_empty() || events.len() > limit;
        }
    };
    events.truncate(limit);
    let text = |width| rows(width, &HEADING, events.iter().map(row).collect());
    session.output.data(text, || json::list(&events))?;
    if more {
        session.output.note(&format!("there are more than these {}: add --limit 0, or narrow it down", events.len()));
    }
    Ok(Exit::Yes)
}

async fn watch(session: &mut Session<'_>, arguments: WatchArguments) -> Ran {
    let mut watch = session.client.watch_events(WatchEventsRequest {
        after_sequence: arguments.after.unwrap_or_default(),
        actor: arguments.filter.actor.unwrap_or_default(),
        kind: arguments.filter.kind.unwrap_or_default(),
        about: arguments.filter.about.unwrap_or_default(),
    });
    loop {
        let step = tokio::select! {
            step = watch.next() => step?,
            _ = tokio::signal::ctrl_c() => {
                session.output.note(&format!("to go on from here: --after {}", watch.after()));
                return Ok(Exit::Yes);
            }
        };
        if let Some(event) = step.event {
            session.output.step(&(row(&event).join("  ") + "\n"), || json::of(&event))?;
        }
    }
}

const HEADING: [&str; 5] = ["sequence", "time", "who", "kind", "about"];

fn row(event: &Event) -> Vec<String> {
    vec![
        event.sequence.clone(),
        event.time.as_ref().and_then(instant).map(clock_text).unwrap_or_default(),
        event.actor.clone(),
        event.kind.clone(),
        event.about.join(" "),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::show::sample;

    #[test]
    fn events_in_a_list() {
        let event = Event {
            sequence: "17".into(),
            time: Some(sample::at(0)),
            actor: "account:ana".into(),
            kind: "elevation-requested/1".into(),
            about: vec![format!("elevation:{}", sample::ELEVATION_ID), "account:ana".into()],
            facts_json: "{}".into(),
            ..Default::default()
        };
        insta::assert_snapshot!(rows(160, &HEADING, vec![row(&event)]), @r#"
        SEQUENCE  TIME                  WHO          KIND                   ABOUT
        17        2026-11-22 22:00:00Z  account:ana  elevation-requested/1  elevation:019380a1-0000-7000-8000-0000aa11bb22 account:ana
        "#);
        assert!(rows(40, &HEADING, vec![row(&event)]).lines().all(|line| line.chars().count() <= 40));
    }
}
