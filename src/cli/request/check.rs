//! `check`: what a service would be answered. 0 allows, 3 denies; every error is another number.

use clap::Args;

use crate::cli::connect::session::Session;
use crate::cli::show::grant_card::{GRANT_HEADING, grant_row};
use crate::cli::term::failure::{Exit, Ran};
use crate::cli::term::json;
use crate::cli::term::table::{card, rows};
use crate::cli::term::text::{ending, when, word};
use crate::cli::term::values;
use crate::domain::value::time::Timestamp;
use crate::sdk::CheckedAccess;
use crate::wire::v1::{CheckAccessResponse, CheckAnswer, CheckQuery, ExplainCheckRequest, ExplainCheckResponse};

/// `check`.
#[derive(Debug, Clone, Args)]
pub struct CheckArguments {
    /// The account, or one of its identities
    pub subject: String,
    /// The action: db.read
    #[arg(value_parser = values::action)]
    pub action: String,
    /// The resource: prod/eu/db/orders/primary
    #[arg(value_parser = values::resource)]
    pub resource: String,
    /// Say why, what offers it, and what became of grants that covered it
    #[arg(long)]
    pub explain: bool,
}

/// Runs `check`.
///
/// # Errors
/// If it could not be decided: a deny, too, for whoever asks because of it.
pub async fn check(session: &mut Session<'_>, arguments: CheckArguments) -> Ran {
    let CheckArguments { subject, action, resource, explain } = arguments;
    let now = session.now;
    if !explain {
        let answer = session.client.check(&subject, &action, &resource).await?;
        let message = answer.clone().into_message();
        session.output.data(|width| card(width, &answer_lines(&answer, now)), || json::of(&message))?;
        return Ok(exit(&answer));
    }
    let query = CheckQuery { subject, action, resource };
    let explained = session.client.explain_check(ExplainCheckRequest { query: Some(query.clone()) }).await?;
    let answer = explained_answer(&explained);
    session.output.data(|width| explanation(width, &explained, &answer, now), || json::of(&explained))?;
    Ok(exit(&answer))
}

fn exit(answer: &CheckedAccess) -> Exit {
    if answer.is_allowed() { Exit::Yes } else { Exit::Denied }
}

fn explained_answer(explained: &ExplainCheckResponse) -> CheckedAccess {
    let CheckAnswer { verdict, reason, grant_id, valid_until, .. } = explained.answer.clone().unwrap_or_default();
    let (sequence, time) = (explained.sequence.clone(), explained.time);
    CheckedAccess::from(CheckAccessResponse { verdict, reason, grant_id, valid_until, sequence, time })
}

fn answer_lines(answer: &CheckedAccess, now: Timestamp) -> Vec<(&'static str, String)> {
    let verdict = if answer.is_allowed() { "allow" } else { "deny" };
    let message = answer.clone().into_message();
    vec![
        ("verdict", verdict.to_owned()),
        ("reason", word(answer.reason(), "")),
        ("grant", answer.grant_id().map(ending).unwrap_or_default()),
        ("until", when(message.valid_until.as_ref(), now)),
    ]
}

fn explanation(width: u16, explained: &ExplainCheckResponse, answer: &CheckedAccess, now: Timestamp) -> String {
    let mut lines = answer_lines(answer, now);
    lines.push(("explained", explained.text.clone()));
    if !explained.action_offered {
        lines.push(("note", "no entitlement offers such an action".to_owned()));
    }
    if !explained.resource_offered {
        lines.push(("note", "no entitlement offers anything on such a resource".to_owned()));
    }
    lines.push(("offered by", explained.entitlements.join(", ")));
    let mut page = card(width, &lines);
    let grants = rows(width, &GRANT_HEADING, explained.grants.iter().map(|grant| grant_row(grant, now)).collect());
    if !grants.is_empty() {
        page.push('\n');
        page.push_str(&grants);
    }
    page
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::show::sample;
    use crate::wire::v1::{CheckReason, Verdict};

    #[test]
    fn an_allow_says_until_when() {
        let answer = CheckedAccess::from(CheckAccessResponse {
            verdict: Verdict::Allow.into(),
            reason: CheckReason::Granted.into(),
            grant_id: sample::GRANT_ID.into(),
            valid_until: Some(sample::at(840)),
            sequence: "12".into(),
            time: Some(sample::at(0)),
        });
        insta::assert_snapshot!(card(40, &answer_lines(&answer, sample::moment())), @r#"
        verdict  allow
        reason   granted
        grant    cc33dd44
        until    2026-11-22 22:14:00Z (in 14m)
        "#);
        assert_eq!(exit(&answer), Exit::Yes);
    }

    #[test]
    fn an_explained_deny_says_what_offers_it_and_what_became_of_grants() {
        let explained = ExplainCheckResponse {
            answer: Some(CheckAnswer {
                verdict: Verdict::Deny.into(),
                reason: CheckReason::NoGrant.into(),
                ..Default::default()
            }),
            action_offered: true,
            text: "no live grant of `ana` covers it; ask for `orders-db-repair`".into(),
            entitlements: vec!["orders-db-repair".into()],
            grants: vec![sample::grant()],
            ..Default::default()
        };
        let answer = explained_answer(&explained);
        assert_eq!(exit(&answer), Exit::Denied);
        insta::assert_snapshot!(explanation(100, &explained, &answer, sample::moment()), @r#"
        verdict     deny
        reason      no grant
        explained   no live grant of `ana` covers it; ask for `orders-db-repair`
        note        no entitlement offers anything on such a resource
        offered by  orders-db-repair

        ID        HOLDER  ENTITLEMENT       WHERE                      STATE   END
        cc33dd44  ana     orders-db-repair  prod/eu/db/orders/replica  active  in 14m
        "#);
    }

    #[test]
    fn an_answer_without_content_denies() {
        assert_eq!(exit(&explained_answer(&ExplainCheckResponse::default())), Exit::Denied);
    }
}
