//! `policy`: checking files without a broker, and reading, explaining and loading the one in force.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use serde_json::json;

use super::failure::{Exit, Failure, Ran, read_text};
use super::json::{self, hexadecimal};
use super::output::Output;
use super::policy_test;
use super::proposal::{self, ProposalArguments, Which};
use super::session::Session;
use super::table::card;
use super::text::{duration_field, time_field, when};
use super::values;
use super::whoami::{entitlement_lines, obstacle_lines};
use crate::domain::directory_file::parse_directory;
use crate::domain::policy::{Mistake, SourceFile, Warning, check_together, parse_policy};
use crate::domain::value::time::{Span, Timestamp};
use crate::wire::v1::{ExplainElevationRequest, ExplainElevationResponse, GetPolicyRequest};

/// `policy …`.
#[derive(Debug, Clone, Subcommand)]
pub enum PolicyCommand {
    /// Find every mistake in a policy, and in a directory with it; needs no broker
    Check(CheckArguments),
    /// Whether who may ask for what, and who could approve it, is as a file expects; needs no broker
    Test(policy_test::TestArguments),
    /// How a request by an account for an entitlement would fare
    Explain(ExplainArguments),
    /// Propose a file in place of the policy, once you have seen what that takes away
    Proposal(ProposalArguments),
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
        PolicyCommand::Proposal(arguments) => proposal::run(session, Which::Policy, arguments).await,
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

/// All that is wrong with, or odd in, a policy and a directory.
#[derive(Debug, Default)]
pub struct Findings {
    policy: String,
    directory: String,
    /// What has to be mended.
    pub mistakes: Vec<Mistake>,
    /// What deserves a look.
    pub warnings: Vec<Warning>,
}

impl Findings {
    /// Reads the files and looks at them alone and together.
    ///
    /// # Errors
    /// If a file cannot be read.
    pub fn of(policy: &Path, directory: Option<&Path>) -> Result<Self, Failure> {
        let policy_text = read_text(policy)?;
        let directory_text = directory.map(read_text).transpose()?;
        let name = |path: &Path| path.display().to_string();
        let mut findings =
            Self { policy: name(policy), directory: directory.map(name).unwrap_or_default(), ..Self::default() };
        findings.look(&policy_text, directory_text.as_deref());
        Ok(findings)
    }

    /// One line each, as editors read it: `policy.toml:12:5: error: …`.
    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        let place = |file: SourceFile, line: u32, column: u32| match (line, column) {
            (0, _) => format!("{}:", self.name(file)),
            (line, 0) => format!("{}:{line}:", self.name(file)),
            (line, column) => format!("{}:{line}:{column}:", self.name(file)),
        };
        let path = |path: &str| if path.is_empty() { String::new() } else { format!("`{path}`: ") };
        let mistakes = self.mistakes.iter().map(|mistake| {
            let place = place(mistake.source_file, mistake.line, mistake.column);
            format!("{place} error: {}found {}; wanted {}\n", path(&mistake.path), mistake.found, mistake.wanted)
        });
        let warnings = self.warnings.iter().map(|warning| {
            let place = place(warning.source_file, warning.line, warning.column);
            format!("{place} warning: {}{}; {}\n", path(&warning.path), warning.found, warning.meaning)
        });
        mistakes.chain(warnings).collect()
    }

    fn look(&mut self, policy_text: &str, directory_text: Option<&str>) {
        let policy = parse_policy(policy_text).map_err(|mistakes| self.mistakes.extend(mistakes)).ok();
        let directory = directory_text
            .and_then(|text| parse_directory(text).map_err(|mistakes| self.mistakes.extend(mistakes)).ok());
        self.warnings.extend(policy.iter().flat_map(|parsed| parsed.warnings.clone()));
        self.warnings.extend(directory.iter().flat_map(|parsed| parsed.warnings.clone()));
        if let (Some(policy), Some(directory)) = (policy, directory) {
            match check_together(&policy.policy, &directory.directory) {
                Ok(warnings) => self.warnings.extend(warnings),
                Err(mistakes) => self.mistakes.extend(mistakes),
            }
            for (places, file) in [(&policy.places, SourceFile::Policy), (&directory.places, SourceFile::Directory)] {
                places.locate(file, &mut self.mistakes);
                places.locate_warnings(file, &mut self.warnings);
            }
        }
        self.mistakes.sort();
        self.warnings.sort();
    }

    fn name(&self, file: SourceFile) -> &str {
        match file {
            SourceFile::Policy => &self.policy,
            SourceFile::Directory => &self.directory,
            // `policy check` reads none.
            SourceFile::People => "",
        }
    }

    fn json(&self) -> serde_json::Value {
        let mistakes = self.mistakes.iter().map(|mistake| {
            json!({ "file": self.name(mistake.source_file), "line": mistake.line, "column": mistake.column,
                    "path": mistake.path, "found": mistake.found, "wanted": mistake.wanted })
        });
        let warnings = self.warnings.iter().map(|warning| {
            json!({ "file": self.name(warning.source_file), "line": warning.line, "column": warning.column,
                    "path": warning.path, "found": warning.found, "meaning": warning.meaning })
        });
        json!({ "mistakes": mistakes.collect::<Vec<_>>(), "warnings": warnings.collect::<Vec<_>>() })
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
    let loaded = when(policy.load_time.as_ref(), session.now);
    session.output.note(&format!("digest {}, loaded {loaded} by {}", hexadecimal(&policy.digest), policy.loaded_by));
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
