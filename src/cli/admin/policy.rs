//! `policy`: checking files without a broker, and reading, explaining and replacing the one in force.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::findings::Findings;
use super::policy_test;
use super::proposal::{self, ProposalArguments, ProposedFile};
use crate::cli::connect::session::Session;
use crate::cli::show::entitlement_card::{entitlement_lines, obstacle_lines};
use crate::cli::term::failure::{Exit, Ran};
use crate::cli::term::json::{self, hexadecimal};
use crate::cli::term::output::Output;
use crate::cli::term::table::card;
use crate::cli::term::text::{duration_field, time_field, when};
use crate::cli::term::values;
use crate::domain::value::time::{Span, Timestamp};
use crate::wire::v1::{ExplainElevationRequest, ExplainElevationResponse, GetPolicyRequest};

/// `policy …`.
#[derive(Debug, Clone, Subcommand)]
pub enum PolicyCommand {
    /// Find every mistake in a policy, and in a directory with it; needs no broker
    Check(CheckArguments),
    /// Compare who may ask for what, and who could approve it, with what a file expects; needs no broker
    Test(policy_test::TestArguments),
    /// How a request by an account for an entitlement would fare
    Explain(ExplainArguments),
    /// Propose a file in place of the policy, once you have seen what it would take away
    Propose(ProposalArguments),
    /// The policy in force
    Show,
}

/// `policy check`.
#[derive(Debug, Clone, Args)]
pub struct CheckArguments {
    /// The policy
    pub file: PathBuf,
    /// The directory that it is to work with
    #[arg(long, value_name = "FILE")]
    pub directory: Option<PathBuf>,
}

/// `policy explain`.
#[derive(Debug, Clone, Args)]
pub struct ExplainArguments {
    /// The account that would ask
    pub account: String,
    /// The entitlement that it would ask for
    pub entitlement: String,
    /// The resources; left out, obstacles of scope are not looked for
    #[arg(value_parser = values::requested, value_name = "RESOURCE")]
    pub resources: Vec<String>,
    /// The actions; left out, all that it offers
    #[arg(long = "action", short = 'a', value_parser = values::action, value_name = "ACTION")]
    pub actions: Vec<String>,
    /// How long
    #[arg(long = "for", visible_alias = "duration", value_parser = values::span, value_name = "DURATION")]
    pub duration: Option<Span>,
    /// From when, not from approval
    #[arg(long, value_parser = values::time, value_name = "TIME")]
    pub start: Option<Timestamp>,
    /// The person, for a machine that asks for people
    #[arg(long, value_name = "PERSON")]
    pub on_behalf_of: Option<String>,
    /// By the emergency way
    #[arg(long)]
    pub emergency: bool,
}

/// Runs what needs a broker.
///
/// # Errors
/// If the broker refuses.
pub async fn run(session: &mut Session<'_>, command: PolicyCommand) -> Ran {
    match command {
        PolicyCommand::Check(arguments) => check(session.output, &arguments),
        PolicyCommand::Test(arguments) => policy_test::run(session.output, &arguments),
        PolicyCommand::Explain(arguments) => explain(session, arguments).await,
        PolicyCommand::Propose(arguments) => proposal::run(session, ProposedFile::Policy, arguments).await,
        PolicyCommand::Show => show(session).await,
    }
}

/// Runs `policy check`.
///
/// # Errors
/// If a file cannot be read. Mistakes in it are an answer.
pub fn check(output: &mut Output, arguments: &CheckArguments) -> Ran {
    let findings = Findings::of(&arguments.file, arguments.directory.as_deref())?;
    output.data(|_| findings.lines().concat(), || findings.json())?;
    match findings.mistakes.len() {
        0 => {
            output.note("no mistakes");
            Ok(Exit::Yes)
        }
        1 => {
            output.note("1 mistake");
            Ok(Exit::Failed)
        }
        count => {
            output.note(&format!("{count} mistakes"));
            Ok(Exit::Failed)
        }
    }
}

async fn explain(session: &mut Session<'_>, arguments: ExplainArguments) -> Ran {
    let request = ExplainElevationRequest {
        account: arguments.account,
        entitlement: arguments.entitlement,
        actions: arguments.actions,
        resources: arguments.resources,
        duration: arguments.duration.map(duration_field),
        start_time: arguments.start.map(time_field),
        on_behalf_of: arguments.on_behalf_of.unwrap_or_default(),
        emergency: arguments.emergency,
    };
    let answer = session.client.explain_elevation(request).await?;
    session.output.data(|width| explanation(width, &answer), || json::of(&answer))?;
    Ok(if answer.obstacles.is_empty() { Exit::Yes } else { Exit::Denied })
}

fn explanation(width: u16, answer: &ExplainElevationResponse) -> String {
    let mut lines = obstacle_lines(&answer.obstacles);
    if answer.obstacles.is_empty() {
        lines.push(("request", "would be accepted".to_owned()));
    }
    for (number, stage) in (1_u32..).zip(&answer.stages) {
        let by = stage.by.join(" or ");
        let text = format!("{number}. {} of {by}; {} could", stage.required_count, stage.eligible_count);
        lines.push(("stage", text));
    }
    let terms = card(width, &entitlement_lines(&answer.entitlement.clone().unwrap_or_default()));
    format!("{}\n{terms}", card(width, &lines))
}

async fn show(session: &mut Session<'_>) -> Ran {
    let policy = session.client.get_policy(GetPolicyRequest {}).await?.policy.unwrap_or_default();
    if session.output.is_json() {
        session.output.data(|_| String::new(), || json::of(&policy))?;
        return Ok(Exit::Yes);
    }
    let since = when(policy.load_time.as_ref(), session.now);
    session.output.note(&format!(
        "digest {}, in force since {since}, by {}",
        hexadecimal(&policy.digest),
        policy.loaded_by
    ));
    session.output.raw(policy.text.as_bytes())?;
    Ok(Exit::Yes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::v1::{ExplainedStage, Obstacle};

    #[test]
    fn an_explanation_says_what_is_in_the_way_and_who_could_approve() {
        let answer = ExplainElevationResponse {
            obstacles: vec![Obstacle {
                reason: "NOT_IN_ROLE".into(),
                text: "no".into(),
                remedy: "ask".into(),
                ..Default::default()
            }],
            stages: vec![ExplainedStage { by: vec!["a".into(), "b".into()], required_count: 1, eligible_count: 3 }],
            ..Default::default()
        };
        insta::assert_snapshot!(explanation(80, &answer), @r#"
        obstacle  NOT_IN_ROLE: no
        remedy    ask
        stage     1. 1 of a or b; 3 could
        "#);
    }
}
