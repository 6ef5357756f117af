//! `report access` and `report held`: who could do something, and what a person held.

use super::arguments::{AccessArguments, HeldArguments};
use super::form::{Report, events, time_text};
use crate::cli::connect::session::{Session, all_pages};
use crate::cli::show::grant_card::marked;
use crate::cli::term::failure::Ran;
use crate::cli::term::json;
use crate::cli::term::page::Section;
use crate::cli::term::text::{clock_text, ending, quoted, time_field, word};
use crate::wire::v1::{Access, AccessKind, GetGrantRequest, Grant, ListAccessAsOfRequest, ListEventsRequest};

const ACCESS: [&str; 7] = ["who", "by", "what", "where", "until", "approved by", "why"];

pub(super) async fn access(session: &mut Session<'_>, arguments: AccessArguments) -> Ran {
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
    Report { title: "Access", sections: vec![section] }.write(session, &arguments.form, || json::list(&found))
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

pub(super) async fn held(session: &mut Session<'_>, arguments: HeldArguments) -> Ran {
    let issued = events(
        session,
        &mut ListEventsRequest {
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
    Report { title: "Grants", sections: vec![section] }.write(session, &arguments.form, || json::list(&grants))
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::show::sample;
    use crate::wire::v1::{AccessKind, Decision, Scope};

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
}
