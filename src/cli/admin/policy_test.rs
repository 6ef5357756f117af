//! `policy test`: a file of expectations, kept beside a policy, is compared with policy and directory, without a broker. Each
//! is decided by the rules that the broker decides by.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use clap::Args;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::cli::term::failure::{Exit, Failure, Ran, read_text};
use crate::cli::term::output::Output;
use crate::cli::term::table::rows;
use crate::cli::term::text::wall_time;
use crate::cli::term::values;
use crate::domain::decide::{Files, first_events};
use crate::domain::record::command::RequestElevation;
use crate::domain::record::elevation::Elevation;
use crate::domain::rule::obstacles::think_through;
use crate::domain::rule::reviewers::could_approve;
use crate::domain::state::State;
use crate::domain::state::apply::apply;
use crate::domain::value::ids::{AccountId, EntitlementName, PersonId};
use crate::domain::value::scope::{Action, Pattern};
use crate::domain::value::time::{Now, Span, Timestamp};

/// `policy test`.
#[derive(Debug, Clone, Args)]
pub struct TestArguments {
    /// The expectations
    pub file: PathBuf,
    /// The policy
    #[arg(long, value_name = "FILE")]
    pub policy: PathBuf,
    /// The directory
    #[arg(long, value_name = "FILE")]
    pub directory: PathBuf,
    /// As of when; left out, as the file says, or now
    #[arg(long, value_parser = values::time, value_name = "TIME")]
    pub at: Option<Timestamp>,
}

/// A file of expectations.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Expectations {
    /// As of when; left out, now.
    at: Option<String>,
    expect: Vec<Expectation>,
}

/// One account, one entitlement: whether it may ask, and who could approve.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Expectation {
    account: AccountId,
    may_ask_for: Option<EntitlementName>,
    may_not_ask_for: Option<EntitlementName>,
    /// Why not: the reasons, all of them.
    because: Option<BTreeSet<String>>,
    #[serde(default)]
    actions: BTreeSet<Action>,
    #[serde(default)]
    resources: BTreeSet<String>,
    duration: Option<String>,
    on_behalf_of: Option<PersonId>,
    #[serde(default)]
    emergency: bool,
    /// Stage by stage, the persons: all of them.
    could_approve: Option<Vec<BTreeSet<String>>>,
}

/// What came of one.
struct Outcome {
    what: String,
    /// What is otherwise than expected; nothing if all is as it should be.
    differs: Vec<String>,
}

/// Runs `policy test`.
///
/// # Errors
/// If a file cannot be read, or has mistakes. An expectation that is not met is an answer: exit code 1.
pub fn run(output: &mut Output, arguments: &TestArguments) -> Ran {
    let text = read_text(&arguments.file)?;
    let wrong = |why: &dyn std::fmt::Display| Failure::Failed(format!("`{}`: {why}", arguments.file.display()));
    let expectations: Expectations = toml::from_str(&text).map_err(|error| wrong(&error.to_string().trim_end()))?;
    if expectations.expect.is_empty() {
        return Err(wrong(&"it expects nothing; write `[[expect]]`"));
    }
    let said = expectations.at.as_deref().map(values::time).transpose().map_err(|why| wrong(&why))?;
    let now = Now::exactly(arguments.at.or(said).unwrap_or_else(wall_time));
    let (policy, directory) = (read_text(&arguments.policy)?, read_text(&arguments.directory)?);
    let state = state(Files { policy: &policy, directory: &directory }, now)?;
    let mut outcomes = Vec::new();
    for (number, expectation) in (1_u32..).zip(&expectations.expect) {
        let outcome = expectation.hold_against(&state, now);
        outcomes.push(outcome.map_err(|why| wrong(&format!("expectation {number}: {why}")))?);
    }
    let failed = outcomes.iter().filter(|outcome| !outcome.differs.is_empty()).count();
    let value = || json!({ "expectations": outcomes.len(), "failed": failed, "outcomes": outcomes.iter().map(Outcome::json).collect::<Vec<_>>() });
    output.data(
        |width| rows(width, &["is it so", "what", "instead"], outcomes.iter().map(Outcome::row).collect()),
        value,
    )?;
    match failed {
        0 => {
            output.note(&format!("all {} are as expected", outcomes.len()));
            Ok(Exit::Yes)
        }
        _ => {
            output.note(&format!("{failed} of {} are not as expected", outcomes.len()));
            Ok(Exit::Failed)
        }
    }
}

/// The state that the two files would begin with, at whatever instant. That by then nobody could change them any more is no matter of
/// the expectations.
fn state(files: Files<'_>, now: Now) -> Result<State, Failure> {
    let (events, _) = first_events(files, now, now.stamp.max(wall_time())).map_err(|refusal| {
        let facts: BTreeMap<_, _> = refusal.facts.iter().filter(|(key, _)| key.starts_with("mistake.")).collect();
        let lines: Vec<&str> = facts.into_values().map(String::as_str).collect();
        Failure::Failed(format!("{refusal}\n{}", lines.join("\n")))
    })?;
    let mut state = State::default();
    events.iter().for_each(|event| apply(&mut state, event));
    Ok(state)
}

impl Expectation {
    fn request(&self) -> Result<(RequestElevation, bool), String> {
        let (entitlement, may) = match (&self.may_ask_for, &self.may_not_ask_for) {
            (Some(name), None) => (name, true),
            (None, Some(name)) => (name, false),
            _ => return Err("one of `may_ask_for` and `may_not_ask_for` is wanted".to_owned()),
        };
        let resources: Result<BTreeSet<Pattern>, _> = self
            .resources
            .iter()
            .map(|text| Pattern::parse_requested(text).map_err(|error| error.to_string()))
            .collect();
        let duration = self.duration.as_deref().map(|text| Span::parse(text).map_err(|error| error.to_string()));
        let request = RequestElevation {
            entitlement: entitlement.clone(),
            actions: self.actions.clone(),
            resources: resources?,
            duration: duration.transpose()?,
            start: None,
            justification: String::new(),
            ticket: None,
            on_behalf_of: self.on_behalf_of.clone(),
            extends: None,
            emergency: self.emergency,
        };
        Ok((request, may))
    }

    fn hold_against(&self, state: &State, now: Now) -> Result<Outcome, String> {
        let (request, may) = self.request()?;
        if may && self.because.is_some() {
            return Err("`because` says why not, beside `may_not_ask_for`".to_owned());
        }
        if !state.organisation().accounts().contains_key(&self.account) {
            return Err(format!("`{}` is no account of the directory", self.account));
        }
        if !state.organisation().policy().entitlements.contains_key(&request.entitlement) {
            return Err(format!("`{}` is no entitlement of the policy", request.entitlement));
        }
        let (drafted, obstacles) = think_through(state, &self.account, &request, now);
        let reasons: BTreeSet<String> =
            obstacles.iter().map(|refusal| refusal.reason.entry().name.to_owned()).collect();
        let mut differs = Vec::new();
        match (may, reasons.is_empty()) {
            (true, false) => differs.extend(obstacles.iter().map(ToString::to_string)),
            (false, true) => differs.push("it may".to_owned()),
            _ => {}
        }
        if let Some(because) = self.because.as_ref().filter(|because| !reasons.is_empty() && **because != reasons) {
            differs.push(format!("because {}, not {}", listed(&reasons), listed(because)));
        }
        if let Some(expected) = &self.could_approve {
            let found = drafted.as_ref().map(|drafted| stages(state, drafted, now)).unwrap_or_default();
            if *expected != found {
                let stages: Vec<String> = found.iter().map(listed).collect();
                differs.push(format!("could approve: {}", stages.join(", then ")));
            }
        }
        let what =
            format!("{} {} {}", self.account, if may { "may ask for" } else { "may not ask for" }, request.entitlement);
        let what = if self.emergency { format!("{what}, in an emergency") } else { what };
        Ok(Outcome { what, differs })
    }
}

/// Stage by stage, who could approve.
fn stages(state: &State, drafted: &Elevation, now: Now) -> Vec<BTreeSet<String>> {
    let stages = drafted.review.stages.iter().map(|stage| {
        let could = could_approve(state.organisation(), drafted, stage, now.latest);
        could.map(|(_, person)| person.to_string()).collect()
    });
    stages.collect()
}

fn listed(names: &BTreeSet<String>) -> String {
    if names.is_empty() { "nobody".to_owned() } else { names.iter().cloned().collect::<Vec<_>>().join(" ") }
}

impl Outcome {
    fn row(&self) -> Vec<String> {
        let so = if self.differs.is_empty() { "yes" } else { "NO" };
        vec![so.to_owned(), self.what.clone(), self.differs.join("; ")]
    }

    fn json(&self) -> Value {
        json!({ "what": self.what, "met": self.differs.is_empty(), "instead": self.differs })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const POLICY: &str = include_str!("../../../examples/policy.toml");
    const DIRECTORY: &str = include_str!("../../../examples/directory.toml");

    fn held(text: &str) -> Result<Vec<Vec<String>>, String> {
        let now = Now::exactly(Timestamp::parse_rfc3339("2026-11-22T12:00:00Z").unwrap());
        let state = state(Files { policy: POLICY, directory: DIRECTORY }, now).unwrap();
        let all: Expectations = toml::from_str(text).map_err(|error| error.to_string())?;
        all.expect.iter().map(|it| it.hold_against(&state, now).map(|outcome| outcome.differs)).collect()
    }

    #[test]
    fn the_examples_expectations_are_met() {
        let found = held(include_str!("../../../examples/policy_test.toml")).unwrap();
        assert!(found.len() > 5 && found.iter().all(Vec::is_empty), "{found:?}");
    }

    #[test]
    fn what_is_otherwise_is_said() {
        let found = held(
            r#"
            [[expect]]
            account = "ben"
            may_ask_for = "orders-db-repair"
            [[expect]]
            account = "ana"
            may_not_ask_for = "orders-db-repair"
            [[expect]]
            account = "ben"
            may_not_ask_for = "orders-db-repair"
            because = ["REQUIREMENT_LAPSED"]
            [[expect]]
            account = "ana"
            may_ask_for = "payments-db-admin"
            could_approve = [["sam"], ["ben"]]
            "#,
        );
        let found: Vec<String> = found.unwrap().iter().map(|differs| differs.join("; ")).collect();
        assert!(found[0].starts_with("no role of the account may request this entitlement"), "{found:?}");
        assert_eq!(found[1], "it may");
        assert_eq!(found[2], "because NOT_IN_ROLE, not REQUIREMENT_LAPSED");
        assert_eq!(found[3], "could approve: ben, then sam");
    }

    #[test]
    fn an_expectation_that_cannot_be_meant_is_a_mistake() {
        let mistake = |lines: &str| held(&format!("[[expect]]\n{lines}")).unwrap_err();
        assert!(mistake("account = \"ana\"").contains("one of `may_ask_for`"));
        assert!(mistake("account = \"nobody\"\nmay_ask_for = \"orders-db-repair\"").contains("no account"));
        assert!(mistake("account = \"ana\"\nmay_ask_for = \"nothing\"").contains("no entitlement"));
        assert!(
            mistake("account = \"ana\"\nmay_ask_for = \"orders-db-repair\"\nbecause = [\"LOCKED\"]")
                .contains("why not")
        );
        assert!(
            mistake("account = \"ana\"\nmay_ask_for = \"orders-db-repair\"\nresources = [\"prod/*\"]")
                .contains("wanted")
                || mistake("account = \"ana\"\nmay_ask_for = \"orders-db-repair\"\nresources = [\"prod/*\"]")
                    .contains("is not")
        );
        assert!(mistake("account = \"ana\"\nmay_ask_four = \"x\"").contains("unknown field"));
    }
}
