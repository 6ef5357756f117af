//! `report`: what an auditor asks, as tables, as JSON, or as a page that prints well.

use std::collections::BTreeMap;

use clap::{Args, Subcommand};

use super::elevation_card::marked;
use super::failure::{Exit, Failure, Ran};
use super::json;
use super::page::{Page, Section};
use super::session::{PAGE, Session, all_pages};
use super::table::{card, rows};
use super::text::{clock_text, ending, instant, quoted, time_field, word};
use super::values;
use crate::domain::value::time::Timestamp;
use crate::wire::v1::{
    Access, AccessKind, Event, GetGrantRequest, Grant, ListAccessAsOfRequest, ListEventsRequest, ReportStandingRequest,
    ReportStandingResponse, Scope,
};

/// `report …`.
#[derive(Debug, Clone, Subcommand)]
pub enum ReportCommand {
    /// Who could do something at a time, by what, and who approved it
    Access(AccessArguments),
    /// Every grant that a person had, and how each ended
    Held(HeldArguments),
    /// Every refusal, and its reason
    Refusals(RefusalsArguments),
    /// All that the journal tells about one object
    About(AboutArguments),
    /// What stands without a grant, and that nothing else does
    Standing(StandingArguments),
}

/// How a report is told.
#[derive(Debug, Clone, Args)]
pub struct Form {
    /// A page of HTML that prints well
    #[arg(long)]
    pub html: bool,
}

/// `report access`.
#[derive(Debug, Clone, Args)]
pub struct AccessArguments {
    /// On this resource, or on something of a subtree
    #[arg(value_parser = values::requested, value_name = "RESOURCE")]
    pub resource: Option<String>,
    /// This action alone
    #[arg(long, short = 'a', value_parser = values::action, value_name = "ACTION")]
    pub action: Option<String>,
    /// Held by this account alone
    #[arg(long, value_name = "ACCOUNT")]
    pub account: Option<String>,
    /// Held by accounts of this person, or by machines for which the person stands
    #[arg(long, value_name = "PERSON")]
    pub person: Option<String>,
    /// When; left out, now
    #[arg(long, value_parser = values::time, value_name = "TIME")]
    pub as_of: Option<Timestamp>,
    /// How it is told.
    #[command(flatten)]
    pub form: Form,
}

/// `report held`.
#[derive(Debug, Clone, Args)]
pub struct HeldArguments {
    /// The person
    pub person: String,
    /// Only what was issued at or after this
    #[arg(long, value_parser = values::time, value_name = "TIME")]
    pub from: Option<Timestamp>,
    /// Only what was issued before this
    #[arg(long, value_parser = values::time, value_name = "TIME")]
    pub until: Option<Timestamp>,
    /// How it is told.
    #[command(flatten)]
    pub form: Form,
}

/// `report refusals`.
#[derive(Debug, Clone, Args)]
pub struct RefusalsArguments {
    /// Only of this caller: account:ana, person:ana
    #[arg(long, value_name = "WHO")]
    pub actor: Option<String>,
    /// Only at or after this
    #[arg(long, value_parser = values::time, value_name = "TIME")]
    pub from: Option<Timestamp>,
    /// Only before this
    #[arg(long, value_parser = values::time, value_name = "TIME")]
    pub until: Option<Timestamp>,
    /// How it is told.
    #[command(flatten)]
    pub form: Form,
}

/// `report about`.
#[derive(Debug, Clone, Args)]
pub struct AboutArguments {
    /// The object: `grant:ID`, `elevation:ID`, account:ana, person:ana, policy
    pub object: String,
    /// How it is told.
    #[command(flatten)]
    pub form: Form,
}

/// `report standing`.
#[derive(Debug, Clone, Args)]
pub struct StandingArguments {
    /// When; left out, now
    #[arg(long, value_parser = values::time, value_name = "TIME")]
    pub as_of: Option<Timestamp>,
    /// How it is told.
    #[command(flatten)]
    pub form: Form,
}

/// Runs `report`.
///
/// # Errors
/// If the broker refuses.
pub async fn run(session: &mut Session<'_>, command: ReportCommand) -> Ran {
    match command {
        ReportCommand::Access(arguments) => access(session, arguments).await,
        ReportCommand::Held(arguments) => held(session, arguments).await,
        ReportCommand::Refusals(arguments) => refusals(session, arguments).await,
        ReportCommand::About(arguments) => about(session, arguments).await,
        ReportCommand::Standing(arguments) => standing(session, arguments).await,
    }
}

const ACCESS: [&str; 7] = ["who", "by", "what", "where", "until", "approved by", "why"];

async fn access(session: &mut Session<'_>, arguments: AccessArguments) -> Ran {
    let at = arguments.as_of.unwrap_or(session.now);
    let request = ListAccessAsOfRequest {
        as_of_time: arguments.as_of.map(time_field),
        account: arguments.account.unwrap_or_default(),
        person: arguments.person.unwrap_or_default(),
        action: arguments.action.unwrap_or_default(),
        resource: arguments.resource.unwrap_or_default(),
        ..Default::default()
    };
    let asked = asked(&request);
    let found = all_pages!(session.client, list_access_as_of, request, accesses);
    let heading = format!("Who could act as of {}{asked}", clock_text(at));
    let section = Section { heading, columns: ACCESS.to_vec(), rows: found.iter().map(access_row).collect() };
    told(session, &arguments.form, "Access", vec![section], || json::list(&found))
}

fn asked(request: &ListAccessAsOfRequest) -> String {
    let said = [
        ("do", &request.action),
        ("on", &request.resource),
        ("by account", &request.account),
        ("by person", &request.person),
    ];
    said.iter().filter(|(_, value)| !value.is_empty()).map(|(name, value)| format!(", {name} {value}")).collect()
}

fn access_row(it: &Access) -> Vec<String> {
    let who = match (it.account == it.person, it.on_behalf_of.as_str()) {
        (true, _) => it.account.clone(),
        (false, "") => format!("{}, of {}", it.account, it.person),
        (false, other) => format!("{}, of {}, for {other}", it.account, it.person),
    };
    let by = match it.kind() {
        AccessKind::Baseline => "the baseline".to_owned(),
        AccessKind::Grant | AccessKind::Unspecified => {
            marked(format!("grant {} of {}", ending(&it.grant_id), it.entitlement), it.emergency)
        }
    };
    let by = if it.locked { format!("{by}, stopped by a lock") } else { by };
    let scope = it.scope.clone().unwrap_or_default();
    let approved = it.approvals.iter().map(|decision| format!("{} ({})", decision.person, decision.role));
    let why = if it.justification.is_empty() { String::new() } else { quoted(&it.justification) };
    let why = if it.ticket.is_empty() { why } else { format!("{} {why}", it.ticket) };
    let until = time_text(it.end_time.as_ref());
    let (approved, what) = (approved.collect::<Vec<_>>().join(", "), scope.actions.join(" "));
    vec![who, by, what, scope.resources.join(" "), until, approved, why]
}

const HELD: [&str; 7] = ["grant", "entitlement", "what", "where", "from", "until", "how it ended"];

async fn held(session: &mut Session<'_>, arguments: HeldArguments) -> Ran {
    let issued = events(
        session,
        ListEventsRequest {
            kind: "grant-issued".to_owned(),
            about: format!("person:{}", arguments.person),
            from_time: arguments.from.map(time_field),
            until_time: arguments.until.map(time_field),
            ..Default::default()
        },
    )
    .await?;
    let mut grants = Vec::new();
    for event in issued {
        let Some(grant_id) = event.about.iter().find_map(|about| about.strip_prefix("grant:")) else { continue };
        let grant = session.client.get_grant(GetGrantRequest { grant_id: grant_id.to_owned() }).await?;
        grants.extend(grant.grant);
    }
    let section = Section {
        heading: format!("Grants of {}", arguments.person),
        columns: HELD.to_vec(),
        rows: grants.iter().map(held_row).collect(),
    };
    told(session, &arguments.form, "Grants", vec![section], || json::list(&grants))
}

fn held_row(grant: &Grant) -> Vec<String> {
    let ended = grant.closing.as_ref().map_or_else(
        || word(grant.state().as_str_name(), "GRANT_STATE_"),
        |closing| format!("{}, by {}, {}", word(&closing.cause, ""), closing.actor, time_text(closing.time.as_ref())),
    );
    vec![
        ending(&grant.id),
        grant.entitlement.clone(),
        grant.actions.join(" "),
        grant.resources.join(" "),
        time_text(grant.start_time.as_ref()),
        time_text(grant.end_time.as_ref()),
        marked(ended, grant.emergency),
    ]
}

const REFUSALS: [&str; 5] = ["time", "who", "asked for", "about", "reason"];

async fn refusals(session: &mut Session<'_>, arguments: RefusalsArguments) -> Ran {
    let refused = events(
        session,
        ListEventsRequest {
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
    told(session, &arguments.form, "Refusals", vec![section], || json::list(&refused))
}

fn refusal_row(event: &Event) -> Vec<String> {
    let facts = facts(event);
    let said = |key: &str| facts.get(key).and_then(|value| value.as_str()).unwrap_or_default().to_owned();
    let detail = said("detail");
    let reason = if detail.is_empty() { said("reason") } else { format!("{}: {detail}", said("reason")) };
    vec![time_text(event.time.as_ref()), event.actor.clone(), said("command"), said("about"), reason]
}

const ABOUT: [&str; 5] = ["sequence", "time", "who", "what happened", "in their words"];

async fn about(session: &mut Session<'_>, arguments: AboutArguments) -> Ran {
    let request = ListEventsRequest { about: arguments.object.clone(), ..Default::default() };
    let found = events(session, request).await?;
    let section = Section {
        heading: format!("All about {}", arguments.object),
        columns: ABOUT.to_vec(),
        rows: found.iter().map(about_row).collect(),
    };
    told(session, &arguments.form, "One object", vec![section], || json::list(&found))
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

async fn standing(session: &mut Session<'_>, arguments: StandingArguments) -> Ran {
    let request = ReportStandingRequest { as_of_time: arguments.as_of.map(time_field) };
    let report = session.client.report_standing(request).await?;
    let sections = standing_sections(&report);
    told(session, &arguments.form, "Standing privilege", sections, || json::of(&report))?;
    if report.nothing_else_stands {
        return Ok(Exit::Yes);
    }
    session.output.note("something stands that should not: see the faults");
    Ok(Exit::Failed)
}

fn standing_sections(report: &ReportStandingResponse) -> Vec<Section> {
    let tally = report.grants.unwrap_or_default();
    let stands = if report.nothing_else_stands { "nothing" } else { "see the faults" };
    let proof = [
        ("as of", time_text(report.as_of_time.as_ref())),
        ("stands besides", stands.to_owned()),
        ("grants issued", tally.issued.to_string()),
        ("ended in time", tally.ended.to_string()),
        ("given up", tally.relinquished.to_string()),
        ("revoked", tally.revoked.to_string()),
        ("open now", format!("{} live, {} scheduled", tally.active, tally.scheduled)),
        ("events", report.sequence.clone()),
        ("hash", report.hash.clone()),
    ];
    let allowed =
        |scope: &Scope| vec![scope.actions.join(" "), scope.resources.join(" "), report.baseline_accounts.to_string()];
    let holders = report.capabilities.iter().map(|it| {
        let who =
            if it.account == it.person { it.account.clone() } else { format!("{}, of {}", it.account, it.person) };
        let narrowed = [it.requirements.join(" "), it.resources.join(" ")].join(" ");
        vec![it.capability.clone(), who, it.role.clone(), narrowed.trim().to_owned(), time_text(it.end_time.as_ref())]
    });
    let mut sections = vec![
        Section {
            heading: "Every grant is bounded, approved, and ended or open".to_owned(),
            columns: Vec::new(),
            rows: proof.into_iter().map(|(label, value)| vec![label.to_owned(), value]).collect(),
        },
        Section {
            heading: "What the baseline allows to every eligible account".to_owned(),
            columns: vec!["what", "where", "accounts"],
            rows: report.baseline.iter().map(allowed).collect(),
        },
        Section {
            heading: "Holders of capabilities".to_owned(),
            columns: vec!["capability", "who", "by role", "narrowed to", "until"],
            rows: holders.collect(),
        },
    ];
    if !report.faults.is_empty() {
        sections.push(Section {
            heading: "Faults".to_owned(),
            columns: vec!["grant", "what is wrong"],
            rows: report.faults.iter().map(|fault| vec![fault.grant_id.clone(), fault.text.clone()]).collect(),
        });
    }
    sections
}

/// Every event that there is of these.
async fn events(session: &Session<'_>, mut request: ListEventsRequest) -> Result<Vec<Event>, Failure> {
    request.page_size = PAGE;
    let mut found = Vec::new();
    loop {
        let page = session.client.list_events(request.clone()).await?;
        found.extend(page.events);
        if page.next_page_token.is_empty() {
            return Ok(found);
        }
        request.page_token = page.next_page_token;
    }
}

fn time_text(time: Option<&prost_types::Timestamp>) -> String {
    time.and_then(instant).map(clock_text).unwrap_or_default()
}

/// A report in the form that was asked for.
fn told(
    session: &mut Session<'_>,
    form: &Form,
    title: &str,
    sections: Vec<Section>,
    value: impl FnOnce() -> serde_json::Value,
) -> Ran {
    if form.html {
        let page = Page { title: format!("Countersign: {title}"), at: clock_text(session.now), sections };
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

fn sections_text(width: u16, sections: &[Section]) -> String {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::sample;
    use crate::wire::v1::{CapabilityHolder, Decision, GrantTally};

    #[test]
    fn an_access_says_who_by_what_until_when_and_who_approved_it() {
        let access = Access {
            kind: AccessKind::Grant.into(),
            account: "deploy-bot".into(),
            person: "ines".into(),
            on_behalf_of: "ana".into(),
            grant_id: sample::GRANT_ID.into(),
            entitlement: "orders-deploy".into(),
            scope: Some(Scope { actions: vec!["deploy.run".into()], resources: vec!["prod/eu/apps/orders".into()] }),
            end_time: Some(sample::at(60)),
            emergency: true,
            locked: true,
            justification: "it \"burns\"".into(),
            ticket: "INC-7".into(),
            approvals: vec![Decision { person: "sam".into(), role: "security-duty".into(), ..Default::default() }],
            ..Default::default()
        };
        assert_eq!(
            access_row(&access),
            [
                "deploy-bot, of ines, for ana",
                "grant cc33dd44 of orders-deploy, emergency, stopped by a lock",
                "deploy.run",
                "prod/eu/apps/orders",
                "2026-11-22 22:01:00Z",
                "sam (security-duty)",
                "INC-7 \"it 'burns'\"",
            ]
        );
    }

    #[test]
    fn the_report_on_standing_privilege_at_a_desk() {
        let report = ReportStandingResponse {
            sequence: "17".into(),
            hash: "ab".into(),
            as_of_time: Some(sample::at(0)),
            baseline: vec![Scope { actions: vec!["metadata.read".into()], resources: vec!["status/**".into()] }],
            baseline_accounts: 6,
            capabilities: vec![CapabilityHolder {
                capability: "audit.read".into(),
                account: "omar".into(),
                person: "omar".into(),
                role: "auditor".into(),
                ..Default::default()
            }],
            grants: Some(GrantTally { issued: 3, ended: 1, revoked: 1, active: 1, ..Default::default() }),
            nothing_else_stands: true,
            ..Default::default()
        };
        insta::assert_snapshot!(sections_text(100, &standing_sections(&report)), @r#"
        Every grant is bounded, approved, and ended or open

        as of           2026-11-22 22:00:00Z
        stands besides  nothing
        grants issued   3
        ended in time   1
        given up        0
        revoked         1
        open now        1 live, 0 scheduled
        events          17
        hash            ab

        What the baseline allows to every eligible account

        WHAT           WHERE      ACCOUNTS
        metadata.read  status/**  6

        Holders of capabilities

        CAPABILITY  WHO   BY ROLE  NARROWED TO  UNTIL
        audit.read  omar  auditor
        "#);
    }
}
