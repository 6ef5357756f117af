//! Proposals of policy and directory: a file in pieces, bounded before it is kept (known failures F8 and G14), mistakes as data, and
//! what the change takes away. Whoever may not load is refused before the file is taken.

use tonic::{Status, Streaming};

use super::caller::{Broker, Caller};
use super::changes::carry_out;
use super::proposal_reviews::proposal_of;
use crate::domain::directory::Directory;
use crate::domain::directory_file::parse_directory;
use crate::domain::policy::{Mistake, SourceFile, check_together, parse_policy};
use crate::domain::record::command::{Command, ProposeFile};
use crate::domain::record::proposal::ProposedFile;
use crate::domain::rule::proposal::rights::RightsChange;
use crate::domain::value::ids::Digest;
use crate::domain::value::refusal::{Reason, Refusal};
use crate::engine::Engine;
use crate::wire::commands::{Change, Mutation, Proposal};
use crate::wire::message::InvalidMessage;
use crate::wire::organisation::{mistake, warning};
use crate::wire::v1 as pb;

/// A piece is shorter than this.
pub(super) const PIECE_BYTES: usize = 32 * 1024;
/// Mistakes and warnings that come back at most, each.
const MOST_FINDINGS: usize = 500;

/// One message of a proposal.
pub(super) enum Piece {
    Header(pb::ProposalHeader),
    Chunk(Vec<u8>),
    Nothing,
}

/// What a proposal came to.
pub(super) struct Loaded {
    pub(super) digest: Digest,
    pub(super) sequence: u64,
    pub(super) mistakes: Vec<pb::Mistake>,
    pub(super) warnings: Vec<pb::Mistake>,
    pub(super) effects: pb::Effects,
    /// Who gains and loses what.
    pub(super) rights: Vec<RightsChange>,
    pub(super) replaced: Option<Digest>,
    /// What waits for its approval.
    pub(super) proposal: Option<pb::Proposal>,
}

fn most_bytes(file: ProposedFile) -> usize {
    match file {
        ProposedFile::Policy => 256 * 1024,
        ProposedFile::Directory => 16 * 1024 * 1024,
    }
}

/// A file, as its pieces come.
pub(super) struct File {
    bytes: Vec<u8>,
    most: usize,
}

impl File {
    pub(super) fn new(kind: ProposedFile) -> Self {
        Self::of(most_bytes(kind))
    }

    /// Of so many bytes at most.
    pub(super) fn of(most: usize) -> Self {
        Self { bytes: Vec::new(), most }
    }

    pub(super) fn add(&mut self, chunk: &[u8]) -> Result<(), InvalidMessage> {
        if chunk.len() >= PIECE_BYTES {
            let wanted = format!("{} bytes; a piece is shorter than {PIECE_BYTES}", chunk.len());
            return Err(InvalidMessage::one("chunk", wanted));
        }
        if self.bytes.len().saturating_add(chunk.len()) > self.most {
            return Err(InvalidMessage::one("chunk", format!("a file of at most {} bytes is wanted", self.most)));
        }
        self.bytes.extend_from_slice(chunk);
        Ok(())
    }

    pub(super) fn digest(&self) -> Digest {
        Digest::of(&self.bytes)
    }

    pub(super) fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }
}

/// Takes a proposal's header, looks whether the caller may load at all, then takes the file.
pub(super) async fn receive<M: Into<Piece>>(
    broker: &Broker,
    caller: &Caller,
    mut pieces: Streaming<M>,
    kind: ProposedFile,
) -> Result<(Proposal, File), Status> {
    let first = pieces.message().await?.map(Into::into);
    let Some(Piece::Header(header)) = first else {
        return Err(InvalidMessage::one("header", "the first piece is the header").into());
    };
    let header = Proposal::try_from(header)?;
    may_proposal(broker, caller, kind)?;
    let mut file = File::new(kind);
    while let Some(piece) = pieces.message().await? {
        match piece.into() {
            Piece::Chunk(chunk) => file.add(&chunk)?,
            Piece::Header(_) => return Err(InvalidMessage::one("header", "it came before; it comes once").into()),
            Piece::Nothing => return Err(InvalidMessage::one("piece", "missing; a chunk is wanted").into()),
        }
    }
    Ok((header, file))
}

/// Proposals, or with `validate_only` tells what loading would do.
pub(super) async fn propose(
    broker: &Broker,
    caller: &Caller,
    kind: ProposedFile,
    header: Proposal,
    file: File,
) -> Result<Loaded, Status> {
    let digest = file.digest();
    let (in_force, sequence) =
        broker.engine.read(|state| (state.organisation().digest_in_force(kind), state.sequence()));
    let mut loaded = Loaded {
        digest,
        sequence,
        mistakes: Vec::new(),
        warnings: Vec::new(),
        effects: pb::Effects::default(),
        rights: Vec::new(),
        replaced: in_force,
        proposal: None,
    };
    let bytes = file.bytes.clone();
    let text = match examined(broker, kind, file).await? {
        Examined::Wrong(mistakes) => {
            // They come back as data; that such a proposal was tried, and why it was refused, is in the journal.
            if let (Proposal::ForReal(request_id, replaces, justification), Ok(text)) =
                (header, String::from_utf8(bytes))
            {
                let command = Command::from(ProposeFile { file: kind, replaces, text, justification });
                let done = broker.engine.execute(&caller.identity, request_id, command).await;
                match done {
                    // It took effect before, under this `request_id`, or what it was compared with has changed since.
                    Ok(done) => {
                        (loaded.sequence, loaded.replaced) = (done.sequence, Some(replaces));
                        loaded.proposal = Some(proposal_of(broker, caller, done.about.as_ref()).await?);
                        return Ok(loaded);
                    }
                    Err(refusal) => drop(broker.counted(refusal)),
                }
            }
            loaded.mistakes = mistakes;
            return Ok(loaded);
        }
        Examined::Right(text, warnings) => {
            loaded.warnings = warnings;
            text
        }
    };
    match header {
        Proposal::Dry(replaces) => {
            let replaces = replaces.or(in_force).unwrap_or(digest);
            let justification = String::new();
            let change = Change::Dry(Command::from(ProposeFile { file: kind, replaces, text, justification }));
            let told = carry_out(broker, caller, change).await?;
            (loaded.effects, loaded.rights, loaded.sequence) = (told.effects, told.rights, told.sequence);
        }
        Proposal::ForReal(request_id, replaces, justification) => {
            let command = Command::from(ProposeFile { file: kind, replaces, text, justification });
            let done = carry_out(broker, caller, Change::ForReal(Mutation { request_id, command })).await?;
            (loaded.effects, loaded.rights, loaded.sequence) = (done.effects, done.rights, done.sequence);
            loaded.proposal = Some(proposal_of(broker, caller, done.about.as_ref()).await?);
            loaded.replaced = Some(replaces);
        }
    }
    Ok(loaded)
}

/// What a file by itself, and together with what is in force, comes to.
pub(super) enum Examined {
    Wrong(Vec<pb::Mistake>),
    Right(String, Vec<pb::Mistake>),
}

/// Parses a file and compares it with its counterpart in force, on a thread for long work.
pub(super) async fn examined(broker: &Broker, kind: ProposedFile, file: File) -> Result<Examined, Status> {
    let engine = broker.engine.clone();
    let examined = tokio::task::spawn_blocking(move || examine(&engine, kind, file.bytes)).await;
    examined.map_err(|error| unexamined(&error))
}

/// A policy file by itself: compared with nothing that its sender may not see.
pub(super) async fn examined_alone(file: File) -> Result<Examined, Status> {
    let examined = tokio::task::spawn_blocking(move || {
        let text = match String::from_utf8(file.bytes) {
            Ok(text) => text,
            Err(error) => return Examined::Wrong(vec![not_text(error.as_bytes(), error.utf8_error().valid_up_to())]),
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

fn examine(engine: &Engine, kind: ProposedFile, bytes: Vec<u8>) -> Examined {
    let text = match String::from_utf8(bytes) {
        Ok(text) => text,
        Err(error) => return Examined::Wrong(vec![not_text(error.as_bytes(), error.utf8_error().valid_up_to())]),
    };
    let in_force = || {
        engine.read(|state| {
            let organisation = state.organisation();
            let (tenants, people) = (organisation.tenants().clone(), organisation.people().clone());
            let directory = Directory { tenants, people, accounts: organisation.accounts().clone() };
            (organisation.policy().clone(), directory)
        })
    };
    let (together, mut warnings, places, source) = match kind {
        ProposedFile::Policy => match parse_policy(&text) {
            Err(mistakes) => return wrong(&mistakes),
            Ok(parsed) => {
                let together = check_together(&parsed.policy, &in_force().1);
                (together, parsed.warnings, parsed.places, SourceFile::Policy)
            }
        },
        ProposedFile::Directory => match parse_directory(&text) {
            Err(mistakes) => return wrong(&mistakes),
            Ok(parsed) => {
                let policy = engine.read(|state| state.organisation().policy().clone());
                let together = check_together(&policy, &parsed.directory);
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

pub(super) fn not_text(bytes: &[u8], valid_up_to: usize) -> pb::Mistake {
    let lines = bytes.iter().take(valid_up_to).filter(|byte| **byte == b'\n').count();
    pb::Mistake {
        line: u32::try_from(lines.saturating_add(1)).unwrap_or_default(),
        text: format!("byte {} is not UTF-8", valid_up_to.saturating_add(1)),
        wanted: "UTF-8 text".to_owned(),
        ..Default::default()
    }
}

fn may_proposal(broker: &Broker, caller: &Caller, kind: ProposedFile) -> Result<(), Status> {
    let name = kind.capability().as_str();
    let allowed = broker.read(caller, |state, viewer, now| {
        let held = state.organisation().capability(viewer.account()?, kind.capability(), now.latest);
        let missing = || Refusal::new(Reason::CapabilityMissing, format!("`{name}`")).with("capability", name);
        held.map(|_| ()).ok_or_else(missing)
    });
    allowed.map_err(|refusal| broker.counted(refusal))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_bounded_in_its_pieces_and_as_a_whole() {
        let mut policy = File::new(ProposedFile::Policy);
        assert!(policy.add(&vec![b'x'; PIECE_BYTES]).is_err());
        for _ in 0..8 {
            policy.add(&vec![b'x'; PIECE_BYTES - 1]).unwrap();
        }
        // 8 bytes are left of 256 KiB
        assert!(policy.add(&[b'x'; 9]).is_err());
        assert!(policy.add(&[b'x'; 8]).is_ok());
        assert!(policy.add(b"x").unwrap_err().to_string().contains("at most 262144 bytes"));
    }

    #[test]
    fn what_is_no_text_is_a_mistake_at_its_line() {
        let bytes = [b"one\ntwo\n".as_slice(), &[0xff]].concat();
        let valid = std::str::from_utf8(&bytes).unwrap_err().valid_up_to();
        let mistake = not_text(&bytes, valid);
        assert_eq!((mistake.line, mistake.text.as_str()), (3, "byte 9 is not UTF-8"));
    }
}
