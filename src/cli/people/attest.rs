//! `attest`: recording that a person met a requirement, and putting such a record right.

use clap::{Args, Subcommand};

use crate::cli::connect::change::ChangeArguments;
use crate::cli::connect::session::Session;
use crate::cli::term::failure::Ran;
use crate::cli::term::json;
use crate::cli::term::text::{instant, relative, time_field};
use crate::cli::term::values;
use crate::domain::value::time::Timestamp;
use crate::wire::v1::{CorrectAttestationRequest, Person, RecordAttestationRequest};

/// `attest …`.
#[derive(Debug, Clone, Subcommand)]
pub enum AttestCommand {
    /// Record that a person met a requirement
    Record(RecordArguments),
    /// Put the record of a person and requirement right, or take it back
    Correct(CorrectArguments),
}

/// `attest record`.
#[derive(Debug, Clone, Args)]
pub struct RecordArguments {
    /// The person's id
    pub person: String,
    /// The requirement's name
    pub requirement: String,
    /// When it was met: a date (its beginning in UTC) or an instant, never in the future
    #[arg(long, value_parser = values::met, value_name = "TIME")]
    pub met: Timestamp,
    /// What shows it: a reference, for the record
    #[arg(long, value_name = "TEXT")]
    pub evidence: Option<String>,
    /// How it is sent.
    #[command(flatten)]
    pub change: ChangeArguments,
}

/// `attest correct`.
#[derive(Debug, Clone, Args)]
pub struct CorrectArguments {
    /// The person's id
    pub person: String,
    /// The requirement's name
    pub requirement: String,
    /// When it was really met
    #[arg(long, value_parser = values::met, value_name = "TIME", required_unless_present = "never")]
    pub met: Option<Timestamp>,
    /// It was never met: the record goes
    #[arg(long, conflicts_with = "met")]
    pub never: bool,
    /// Why, for the record
    #[arg(long, short, value_name = "TEXT")]
    pub reason: String,
    /// How it is sent.
    #[command(flatten)]
    pub change: ChangeArguments,
}

/// Runs `attest …`.
///
/// # Errors
/// If the broker refuses.
pub async fn run(session: &mut Session<'_>, command: AttestCommand) -> Ran {
    match command {
        AttestCommand::Record(arguments) => record(session, arguments).await,
        AttestCommand::Correct(arguments) => correct(session, arguments).await,
    }
}

async fn record(session: &mut Session<'_>, arguments: RecordArguments) -> Ran {
    let change = arguments.change;
    let request = RecordAttestationRequest {
        request_id: change.id(),
        person: arguments.person,
        requirement: arguments.requirement,
        met_time: Some(time_field(arguments.met)),
        evidence: arguments.evidence.unwrap_or_default(),
        validate_only: change.dry_run,
    };
    let answer = session.client.record_attestation(request.clone()).await;
    let answer = change.answered(session, answer, &request.request_id)?;
    let done = recorded(&request.person, answer.person.as_ref(), &request.requirement, session.now);
    change.show_effects(session, answer.effects.as_ref(), || json::of(&answer), &done)
}

async fn correct(session: &mut Session<'_>, arguments: CorrectArguments) -> Ran {
    let change = arguments.change;
    let request = CorrectAttestationRequest {
        request_id: change.id(),
        person: arguments.person,
        requirement: arguments.requirement,
        met_time: arguments.met.map(time_field),
        reason: arguments.reason,
        validate_only: change.dry_run,
    };
    let answer = session.client.correct_attestation(request.clone()).await;
    let answer = change.answered(session, answer, &request.request_id)?;
    let done = match request.met_time {
        Some(_) => recorded(&request.person, answer.person.as_ref(), &request.requirement, session.now),
        None => format!("it is now on record that {} has not met {}", request.person, request.requirement),
    };
    change.show_effects(session, answer.effects.as_ref(), || json::of(&answer), &done)
}

/// What is on record by now, as far as the caller may see it. By itself it restores nothing: that is asked for, and a manager
/// approves it.
fn recorded(id: &str, person: Option<&Person>, requirement: &str, now: Timestamp) -> String {
    let mut attestations = person.iter().flat_map(|person| &person.attestations);
    let lapses = match attestations.find(|attestation| attestation.requirement == requirement) {
        None => String::new(),
        Some(attestation) => match attestation.lapse_time.as_ref().and_then(instant) {
            Some(at) if at.is_over(now) => format!(", which has lapsed ({})", relative(at, now)),
            Some(at) => format!(", which lapses {}", relative(at, now)),
            None => ", which never lapses".to_owned(),
        },
    };
    format!("{id} met {requirement}{lapses}; what a lapse took returns by `countersign enrol restore`")
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::cli::Arguments;
    use crate::cli::show::sample;
    use crate::wire::v1::Attestation;

    #[test]
    fn what_was_recorded_says_until_when_it_holds() {
        let person = |lapses: Option<i64>| Person {
            id: "pia".into(),
            attestations: vec![Attestation {
                requirement: "annual-training".into(),
                lapse_time: lapses.map(sample::at),
                ..Default::default()
            }],
            ..Default::default()
        };
        let texts = [Some(86_400), Some(-60), None]
            .map(|lapses| recorded("pia", Some(&person(lapses)), "annual-training", sample::moment()));
        insta::assert_snapshot!(texts.join("\n"), @r#"
        pia met annual-training, which lapses in 1d; what a lapse took returns by `countersign enrol restore`
        pia met annual-training, which has lapsed (1m ago); what a lapse took returns by `countersign enrol restore`
        pia met annual-training, which never lapses; what a lapse took returns by `countersign enrol restore`
        "#);
        // and whoever may not see the person is shown no more than was sent
        let unseen = recorded("pia", None, "annual-training", sample::moment());
        assert_eq!(unseen, "pia met annual-training; what a lapse took returns by `countersign enrol restore`");
    }

    #[test]
    fn a_correction_says_when_or_never_and_why() {
        let parses = |line: &str| Arguments::try_parse_from(line.split(' ')).is_ok();
        assert!(parses("countersign attest correct pia screening --met 2026-11-02 --reason typo"));
        assert!(parses("countersign attest correct pia screening --never --reason other-pia"));
        for line in [
            "countersign attest correct pia screening --reason typo",
            "countersign attest correct pia screening --met 2026-11-02 --never --reason typo",
            "countersign attest correct pia screening --never",
            "countersign attest record pia screening",
            "countersign attest record pia screening --met yesterday",
        ] {
            assert!(!parses(line), "{line}");
        }
    }
}
