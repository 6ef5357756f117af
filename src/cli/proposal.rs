//! Proposing a policy or a directory: first what it would do, then, if the person says so, the very same file.

use std::path::PathBuf;

use clap::Args;

use super::effects::effect_lines;
use super::failure::{Exit, Failure, Ran, read_file};
use super::json::{self, hexadecimal};
use super::session::Session;
use super::table::card;
use super::text::ending;
use super::values;
use crate::domain::value::ids::Digest;
use crate::domain::value::time::Timestamp;
use crate::sdk::ClientError;
use crate::wire::v1::{
    Effects, Mistake, Proposal, ProposalHeader, ProposeDirectoryResponse, ProposePolicyResponse, RightsChange,
};

/// `policy load` and `account load`.
#[derive(Debug, Clone, Args)]
pub struct ProposalArguments {
    /// The file
    pub file: PathBuf,
    /// Change nothing; tell what it would cancel, shorten and revoke
    #[arg(long)]
    pub dry_run: bool,
    /// SHA-256 of the file that it replaces, as `--dry-run` tells it; without a terminal there is no other way
    #[arg(long, value_parser = values::digest, value_name = "SHA256", conflicts_with = "dry_run")]
    pub replaces: Option<Digest>,
    /// Why, for whoever is to approve it
    #[arg(long, short = 'm', value_name = "TEXT")]
    pub reason: Option<String>,
    /// The id of this call: the same one is the same load
    #[arg(long, value_parser = values::request_id, value_name = "UUID")]
    pub request_id: Option<String>,
}

/// What is loaded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Which {
    /// The policy.
    Policy,
    /// The directory.
    Directory,
}

/// The two answers have the same fields under two names.
struct Loaded {
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
/// If the file has mistakes, the person says no, or the broker refuses.
pub async fn run(session: &mut Session<'_>, which: Which, arguments: ProposalArguments) -> Ran {
    let file = read_file(&arguments.file)?;
    let request_id = Session::request_id(arguments.request_id.as_ref());
    let name = arguments.file.display().to_string();
    let replaces_digest = match arguments.replaces {
        Some(digest) => digest.bytes().to_vec(),
        None => {
            let header = ProposalHeader { validate_only: true, request_id: request_id.clone(), ..Default::default() };
            let would = send(session, which, header, &file).await?;
            if arguments.dry_run || !would.mistakes.is_empty() {
                return told(session, &name, &would, "would replace");
            }
            confirm(session, &name, &would)?;
            would.replaced_digest
        }
    };
    let justification = arguments.reason.unwrap_or_default();
    let header =
        ProposalHeader { request_id: request_id.clone(), replaces_digest, validate_only: false, justification };
    match send(session, which, header, &file).await {
        Ok(loaded) => told(session, &name, &loaded, "would replace"),
        Err(error) => Err(session.failed(error, &request_id)),
    }
}

async fn send(session: &Session<'_>, which: Which, header: ProposalHeader, file: &[u8]) -> Result<Loaded, ClientError> {
    match which {
        Which::Policy => session.client.propose_policy(header, file).await.map(Loaded::from),
        Which::Directory => session.client.propose_directory(header, file).await.map(Loaded::from),
    }
}

fn confirm(session: &mut Session<'_>, name: &str, would: &Loaded) -> Result<(), Failure> {
    if !session.output.can_ask() {
        let text = "there is no terminal to ask at: add `--replaces`, with the digest that `--dry-run` tells";
        return Err(Failure::Usage(text.to_owned()));
    }
    let page = page(session.output.width(), name, would, "would replace", session.now);
    session.output.note(&page);
    match session.output.ask("to propose it, type yes:")? {
        Some(answer) if answer == "yes" => Ok(()),
        _ => Err(Failure::Declined("nothing was proposed".to_owned())),
    }
}

fn told(session: &mut Session<'_>, name: &str, loaded: &Loaded, verb: &str) -> Ran {
    let now = session.now;
    session.output.data(|width| page(width, name, loaded, verb, now), || loaded.json.clone())?;
    if let Some(proposal) = &loaded.proposal {
        let id = ending(&proposal.id);
        session
            .output
            .note(&format!("proposed: another holder of the capability approves it with `countersign approve {id}`"));
    }
    if loaded.mistakes.is_empty() {
        return Ok(Exit::Yes);
    }
    session.output.note(&format!("{} mistakes; nothing was proposed", loaded.mistakes.len()));
    Ok(Exit::Failed)
}

fn page(width: u16, name: &str, loaded: &Loaded, verb: &str, now: Timestamp) -> String {
    let mut page = mistake_lines(name, "error", &loaded.mistakes);
    page.push_str(&mistake_lines(name, "warning", &loaded.warnings));
    if loaded.mistakes.is_empty() {
        let mut lines = vec![("digest", hexadecimal(&loaded.digest)), (verb, hexadecimal(&loaded.replaced_digest))];
        lines.extend(rights_lines(&loaded.rights, loaded.omitted_rights));
        lines.extend(effect_lines(&loaded.effects, now));
        page.push_str(&card(width, &lines));
    }
    page
}

/// Who gains what and who loses what, a line for each account.
pub(super) fn rights_lines(rights: &[RightsChange], omitted: u32) -> Vec<(&'static str, String)> {
    let mut lines = Vec::new();
    for change in rights {
        let who = if change.account.is_empty() { "everybody" } else { &change.account };
        for (word, texts) in [("gains", &change.gains), ("loses", &change.loses)] {
            if !texts.is_empty() {
                lines.push((word, format!("{who}: {}", texts.join(", "))));
            }
        }
    }
    match (lines.is_empty(), omitted) {
        (true, _) => lines.push(("gains", "nobody gains or loses a right".to_owned())),
        (false, 0) => {}
        (false, omitted) => lines.push(("and", format!("{omitted} more accounts"))),
    }
    lines
}

/// `policy.toml:12:5: error: `key`: found …; wanted …`, as editors read it.
#[must_use]
pub fn mistake_lines(name: &str, level: &str, mistakes: &[Mistake]) -> String {
    mistakes
        .iter()
        .map(|mistake| {
            let place = match (mistake.line, mistake.column) {
                (0, _) => String::new(),
                (line, 0) => format!("{line}:"),
                (line, column) => format!("{line}:{column}:"),
            };
            let path = if mistake.path.is_empty() { String::new() } else { format!("`{}`: ", mistake.path) };
            let wanted = if mistake.wanted.is_empty() { String::new() } else { format!("; wanted {}", mistake.wanted) };
            format!("{name}:{place} {level}: {path}{}{wanted}\n", mistake.text)
        })
        .collect()
}

impl From<ProposePolicyResponse> for Loaded {
    fn from(answer: ProposePolicyResponse) -> Self {
        let json = json::of(&answer);
        let effects = answer.effects.unwrap_or_default();
        let (rights, omitted_rights) = (answer.rights, answer.omitted_rights_count);
        let ProposePolicyResponse { digest, replaced_digest, mistakes, warnings, proposal, .. } = answer;
        Self { digest, replaced_digest, mistakes, warnings, effects, rights, omitted_rights, proposal, json }
    }
}

impl From<ProposeDirectoryResponse> for Loaded {
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
    use crate::cli::sample;
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
        insta::assert_snapshot!(page(100, "policy.toml", &answer.into(), "would replace", sample::moment()), @r#"
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

    #[test]
    fn every_mistake_has_its_place() {
        let mistake = |line, column, path: &str| Mistake {
            line,
            column,
            path: path.into(),
            text: "found `15x`".into(),
            wanted: "a duration".into(),
        };
        let mistakes = [mistake(3, 5, "entitlements.a.max_duration"), mistake(4, 0, "b"), mistake(0, 0, "")];
        insta::assert_snapshot!(mistake_lines("policy.toml", "error", &mistakes), @r#"
        policy.toml:3:5: error: `entitlements.a.max_duration`: found `15x`; wanted a duration
        policy.toml:4: error: `b`: found `15x`; wanted a duration
        policy.toml: error: found `15x`; wanted a duration
        "#);
    }
}
