//! Proposing a policy or a directory: first what it would do, then, if the person says so, the very same file.

use std::path::PathBuf;

use clap::Args;

use crate::cli::connect::session::Session;
use crate::cli::show::effects::effect_lines;
use crate::cli::show::effects::rights_lines;
use crate::cli::show::mistakes::mistake_lines;
use crate::cli::term::failure::{Exit, Failure, Ran, read_file};
use crate::cli::term::json::{self, hexadecimal};
use crate::cli::term::table::card;
use crate::cli::term::text::ending;
use crate::cli::term::values;
use crate::domain::value::ids::Digest;
use crate::domain::value::time::Timestamp;
use crate::sdk::ClientError;
use crate::wire::v1::{
    Effects, Mistake, Proposal, ProposalHeader, ProposeDirectoryResponse, ProposePolicyResponse, RightsChange,
};

/// `policy propose` and `directory propose`.
#[derive(Debug, Clone, Args)]
pub struct ProposalArguments {
    /// The file
    pub file: PathBuf,
    /// Change nothing; show what it would cancel, shorten and revoke
    #[arg(long)]
    pub dry_run: bool,
    /// SHA-256 of the file that it replaces, as `--dry-run` shows it; without a terminal there is no other way
    #[arg(long, value_parser = values::digest, value_name = "SHA256", conflicts_with = "dry_run")]
    pub replaces: Option<Digest>,
    /// Why, for whoever is to approve it
    #[arg(long, short = 'm', value_name = "TEXT")]
    pub reason: Option<String>,
    /// The id of this call: the same one is the same proposal
    #[arg(long, value_parser = values::request_id, value_name = "UUID")]
    pub request_id: Option<String>,
}

/// Which file is proposed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProposedFile {
    /// The policy.
    Policy,
    /// The directory.
    Directory,
}

/// An answer to a proposal: those of policy and directory have the same fields.
struct Answer {
    digest: Vec<u8>,
    replaced_digest: Vec<u8>,
    mistakes: Vec<Mistake>,
    warnings: Vec<Mistake>,
    effects: Effects,
    rights: Vec<RightsChange>,
    omitted_rights: u32,
    /// What waits for its approval.
    proposal: Option<Proposal>,
    json: serde_json::Value,
}

/// Runs a proposal.
///
/// # Errors
/// If the file has mistakes, the person declines, or the broker refuses.
pub async fn run(session: &mut Session<'_>, which: ProposedFile, arguments: ProposalArguments) -> Ran {
    let file = read_file(&arguments.file)?;
    let request_id = Session::request_id(arguments.request_id.as_ref());
    let name = arguments.file.display().to_string();
    let replaces_digest = match arguments.replaces {
        Some(digest) => digest.bytes().to_vec(),
        None => {
            let header = ProposalHeader { validate_only: true, request_id: request_id.clone(), ..Default::default() };
            let would = send(session, which, header, &file).await?;
            if arguments.dry_run || !would.mistakes.is_empty() {
                return show_answer(session, &name, &would);
            }
            confirm(session, &name, &would)?;
            would.replaced_digest
        }
    };
    let justification = arguments.reason.unwrap_or_default();
    let header =
        ProposalHeader { request_id: request_id.clone(), replaces_digest, validate_only: false, justification };
    match send(session, which, header, &file).await {
        Ok(answer) => show_answer(session, &name, &answer),
        Err(error) => Err(session.failed(error, &request_id)),
    }
}

async fn send(
    session: &Session<'_>,
    which: ProposedFile,
    header: ProposalHeader,
    file: &[u8],
) -> Result<Answer, ClientError> {
    match which {
        ProposedFile::Policy => session.client.propose_policy(header, file).await.map(Answer::from),
        ProposedFile::Directory => session.client.propose_directory(header, file).await.map(Answer::from),
    }
}

fn confirm(session: &mut Session<'_>, name: &str, would: &Answer) -> Result<(), Failure> {
    if !session.output.can_ask() {
        let text = "there is no terminal to ask at: add `--replaces`, with the digest that `--dry-run` shows";
        return Err(Failure::Usage(text.to_owned()));
    }
    let page = page(session.output.width(), name, would, session.now);
    session.output.note(&page);
    match session.output.ask("to propose it, type yes:")? {
        Some(answer) if answer == "yes" => Ok(()),
        _ => Err(Failure::Declined("nothing was proposed".to_owned())),
    }
}

fn show_answer(session: &mut Session<'_>, name: &str, answer: &Answer) -> Ran {
    let now = session.now;
    session.output.data(|width| page(width, name, answer, now), || answer.json.clone())?;
    if let Some(proposal) = &answer.proposal {
        let id = ending(&proposal.id);
        session
            .output
            .note(&format!("proposed: another holder of the capability approves it with `countersign approve {id}`"));
    }
    if answer.mistakes.is_empty() {
        return Ok(Exit::Yes);
    }
    session.output.note(&format!("{} mistakes; nothing was proposed", answer.mistakes.len()));
    Ok(Exit::Failed)
}

fn page(width: u16, name: &str, answer: &Answer, now: Timestamp) -> String {
    let mut page = mistake_lines(name, "error", &answer.mistakes);
    page.push_str(&mistake_lines(name, "warning", &answer.warnings));
    if answer.mistakes.is_empty() {
        let mut lines =
            vec![("digest", hexadecimal(&answer.digest)), ("would replace", hexadecimal(&answer.replaced_digest))];
        lines.extend(rights_lines(&answer.rights, answer.omitted_rights));
        lines.extend(effect_lines(&answer.effects, now));
        page.push_str(&card(width, &lines));
    }
    page
}

impl From<ProposePolicyResponse> for Answer {
    fn from(answer: ProposePolicyResponse) -> Self {
        let json = json::of(&answer);
        let effects = answer.effects.unwrap_or_default();
        let (rights, omitted_rights) = (answer.rights, answer.omitted_rights_count);
        let ProposePolicyResponse { digest, replaced_digest, mistakes, warnings, proposal, .. } = answer;
        Self { digest, replaced_digest, mistakes, warnings, effects, rights, omitted_rights, proposal, json }
    }
}

impl From<ProposeDirectoryResponse> for Answer {
    fn from(answer: ProposeDirectoryResponse) -> Self {
        let json = json::of(&answer);
        let effects = answer.effects.unwrap_or_default();
        let (rights, omitted_rights) = (answer.rights, answer.omitted_rights_count);
        let ProposeDirectoryResponse { digest, replaced_digest, mistakes, warnings, proposal, .. } = answer;
        Self { digest, replaced_digest, mistakes, warnings, effects, rights, omitted_rights, proposal, json }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::show::sample;
    use crate::wire::v1::{CancelledElevation, RevokedGrant, ShortenedGrant};

    #[test]
    fn a_proposal_says_what_it_takes_away() {
        let answer = ProposePolicyResponse {
            digest: vec![1; 32],
            replaced_digest: vec![2; 32],
            effects: Some(Effects {
                cancelled_elevations: vec![CancelledElevation {
                    elevation_id: sample::ELEVATION_ID.into(),
                    requester_account: "ana".into(),
                    cause: "TERMS_CHANGED".into(),
                }],
                shortened_grants: vec![ShortenedGrant {
                    grant_id: sample::GRANT_ID.into(),
                    holder_account: "ana".into(),
                    new_end_time: Some(sample::at(60)),
                    cause: "MEMBERSHIP_END".into(),
                    ..Default::default()
                }],
                revoked_grants: vec![RevokedGrant {
                    grant_id: sample::GRANT_ID.into(),
                    holder_account: "ana".into(),
                    cause: "APPROVAL_VOID".into(),
                }],
                omitted_count: 3,
                ..Default::default()
            }),
            rights: vec![RightsChange {
                account: "ana".into(),
                gains: vec!["ask for `a`".into(), "approve `b`".into()],
                loses: vec!["use `audit.read`".into()],
            }],
            omitted_rights_count: 7,
            ..Default::default()
        };
        insta::assert_snapshot!(page(100, "policy.toml", &answer.into(), sample::moment()), @r#"
        digest         0101010101010101010101010101010101010101010101010101010101010101
        would replace  0202020202020202020202020202020202020202020202020202020202020202
        gains          ana: ask for `a`, approve `b`
        loses          ana: use `audit.read`
        and            7 more accounts
        cancels        request aa11bb22 of ana: TERMS_CHANGED
        shortens       grant cc33dd44 of ana to 2026-11-22 22:01:00Z (in 1m): MEMBERSHIP_END
        revokes        grant cc33dd44 of ana: APPROVAL_VOID
        and            3 more
        "#);
    }
}
