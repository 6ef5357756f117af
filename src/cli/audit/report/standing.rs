//! `report standing`: what stands without a grant, and that nothing else does.

use super::arguments::StandingArguments;
use super::form::{Report, time_text};
use crate::cli::connect::session::Session;
use crate::cli::term::failure::{Exit, Ran};
use crate::cli::term::json;
use crate::cli::term::page::Section;
use crate::cli::term::text::time_field;
use crate::wire::v1::{ReportStandingRequest, ReportStandingResponse, Scope};

pub(super) async fn standing(session: &mut Session<'_>, arguments: StandingArguments) -> Ran {
    let request = ReportStandingRequest { as_of_time: arguments.as_of.map(time_field) };
    let report = session.client.report_standing(request).await?;
    let sections = standing_sections(&report);
    Report { title: "Standing privilege", sections }.write(session, &arguments.form, || json::of(&report))?;
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
        ("only of", report.resources.join(" ")),
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
            rows: proof
                .into_iter()
                .filter(|(_, value)| !value.is_empty())
                .map(|(label, value)| vec![label.to_owned(), value])
                .collect(),
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

#[cfg(test)]
mod tests {
    use super::super::form::sections_text;
    use super::*;
    use crate::cli::show::sample;
    use crate::wire::v1::{CapabilityHolder, GrantTally};

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
