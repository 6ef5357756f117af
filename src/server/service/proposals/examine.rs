//! What is wrong with a file of policy or directory: by itself, and together with what is in force. Mistakes are data.

use tonic::Status;

use crate::domain::directory::Directory;
use crate::domain::directory_file::parse_directory;
use crate::domain::policy::{Mistake, SourceFile, check_together, parse_policy};
use crate::domain::record::event::{Event, Fact, ProposalFact};
use crate::domain::record::proposal::ProposedFile;
use crate::domain::state::State;
use crate::domain::state::organisation::Organisation;
use crate::domain::value::refusal::{Reason, Refusal};
use crate::server::caller::{Broker, VerifiedCaller};
use crate::server::service::method::past;
use crate::server::service::method::pieces::File;
use crate::server::service::method::work::on_a_thread;
use crate::wire::organisation::{mistake, warning};
use crate::wire::v1 as pb;

/// The largest policy.
pub(crate) const LONGEST_POLICY_BYTES: usize = 256 * 1024;
/// The largest directory.
const LONGEST_DIRECTORY_BYTES: usize = 16 * 1024 * 1024;
/// Mistakes and warnings that come back at most, each.
const MOST_FINDINGS: usize = 500;

/// How large a file may be.
pub(super) fn longest(kind: ProposedFile) -> usize {
    match kind {
        ProposedFile::Policy => LONGEST_POLICY_BYTES,
        ProposedFile::Directory => LONGEST_DIRECTORY_BYTES,
    }
}

/// What a file by itself, and together with what is in force, comes to.
pub(crate) enum Examined {
    Wrong(Vec<pb::Mistake>),
    Right(String, Vec<pb::Mistake>),
}

/// Parses a file and compares it with its counterpart in force, on a thread for long work.
pub(super) async fn examined(
    broker: &Broker,
    caller: &VerifiedCaller,
    kind: ProposedFile,
    file: File,
) -> Result<Examined, Status> {
    // A copy that shares all that does not change.
    let in_force = broker.engine.read(State::clone);
    let examined = on_a_thread(caller, move || match file.into_text() {
        Ok(text) => examine(in_force.organisation(), kind, text),
        Err(mistake) => Examined::Wrong(vec![mistake]),
    });
    examined.await.map_err(|error| unexamined(&error))
}

/// What whoever made a proposal was warned of: compared with what was in force right before (known failure A18).
pub(super) async fn warned_then(
    broker: &Broker,
    caller: &VerifiedCaller,
    made: u64,
) -> Result<Vec<pb::Mistake>, Status> {
    let (before, events) = past::led_to(&broker.engine, made).await?;
    let examined = on_a_thread(caller, move || {
        let Some((kind, text)) = proposed_by(&events) else { return Vec::new() };
        match examine(before.organisation(), kind, text) {
            Examined::Right(_, warnings) => warnings,
            Examined::Wrong(_) => Vec::new(),
        }
    });
    examined.await.map_err(|error| unexamined(&error))
}

/// The file that the events of a proposal brought.
pub(crate) fn proposed_by(events: &[Event]) -> Option<(ProposedFile, String)> {
    let Fact::Proposal(ProposalFact::Made(proposal)) = &events.first()?.fact else { return None };
    let piece = |event: &Event| match &event.fact {
        Fact::Proposal(ProposalFact::TextAdded(piece)) => Some(piece.text.clone()),
        _ => None,
    };
    Some((proposal.file, events.iter().filter_map(piece).collect()))
}

/// A policy file by itself: compared with nothing that its sender may not see.
pub(crate) async fn policy_alone(caller: &VerifiedCaller, file: File) -> Result<Examined, Status> {
    let examined = on_a_thread(caller, move || {
        let text = match file.into_text() {
            Ok(text) => text,
            Err(mistake) => return Examined::Wrong(vec![mistake]),
        };
        match parse_policy(&text) {
            Err(mistakes) => wrong(&mistakes),
            Ok(parsed) => Examined::Right(text, parsed.warnings.iter().take(MOST_FINDINGS).map(warning).collect()),
        }
    });
    examined.await.map_err(|error| unexamined(&error))
}

fn unexamined(error: &tokio::task::JoinError) -> Status {
    tracing::error!(%error, "a file could not be examined");
    Refusal::new(Reason::Overloaded, "the file could not be examined").into()
}

fn examine(in_force: &Organisation, kind: ProposedFile, text: String) -> Examined {
    let directory = || {
        let (tenants, people) = (in_force.tenants().clone(), in_force.people().clone());
        Directory { tenants, people, accounts: in_force.accounts().clone() }
    };
    let (together, mut warnings, places, source) = match kind {
        ProposedFile::Policy => match parse_policy(&text) {
            Err(mistakes) => return wrong(&mistakes),
            Ok(parsed) => {
                let together = check_together(&parsed.policy, &directory());
                (together, parsed.warnings, parsed.places, SourceFile::Policy)
            }
        },
        ProposedFile::Directory => match parse_directory(&text) {
            Err(mistakes) => return wrong(&mistakes),
            Ok(parsed) => {
                let together = check_together(in_force.policy(), &parsed.directory);
                (together, parsed.warnings, parsed.places, SourceFile::Directory)
            }
        },
    };
    match together {
        Err(mut mistakes) => {
            places.locate(source, &mut mistakes);
            wrong(&mistakes)
        }
        Ok(more) => {
            warnings.extend(more);
            places.locate_warnings(source, &mut warnings);
            Examined::Right(text, warnings.iter().take(MOST_FINDINGS).map(warning).collect())
        }
    }
}

fn wrong(mistakes: &[Mistake]) -> Examined {
    Examined::Wrong(mistakes.iter().take(MOST_FINDINGS).map(mistake).collect())
}
