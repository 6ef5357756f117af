//! Proposing a file of policy or directory: mistakes come back as data, and so does what the change would take away.

use tonic::{Status, Streaming};

use super::examine::{Examined, examined, longest, warned_then};
use super::shown::shown;
use crate::domain::record::command::{Command, ProposeFile};
use crate::domain::record::proposal::ProposedFile;
use crate::domain::rule::proposal::rights::RightsChange;
use crate::domain::value::ids::Digest;
use crate::server::caller::{Broker, VerifiedCaller};
use crate::server::service::method::change::{Changed, attempt, carry_out};
use crate::server::service::method::get::get_subject;
use crate::server::service::method::past;
use crate::server::service::method::pieces::{self, File, Piece};
use crate::wire::commands::{Change, Mutation, Proposal as Header};
use crate::wire::v1 as pb;

/// A file that is proposed, and how.
pub(super) struct Asked {
    kind: ProposedFile,
    header: Header,
    file: File,
}

/// What proposing came to.
pub(super) struct Proposed {
    pub(super) digest: Digest,
    pub(super) sequence: String,
    pub(super) mistakes: Vec<pb::Mistake>,
    pub(super) warnings: Vec<pb::Mistake>,
    pub(super) effects: pb::Effects,
    /// Who gains and loses what.
    pub(super) rights: Vec<RightsChange>,
    /// The file that it would replace.
    pub(super) replaced: Option<Digest>,
    /// What waits for its approval.
    pub(super) proposal: Option<pb::Proposal>,
}

/// Takes the header, looks whether the caller may propose at all, then takes the file.
pub(super) async fn receive<M: Into<Piece<pb::ProposalHeader>>>(
    broker: &Broker,
    caller: &VerifiedCaller,
    messages: Streaming<M>,
    kind: ProposedFile,
) -> Result<Asked, Status> {
    let admit = |header| {
        let header = Header::try_from(header)?;
        let request_id = match &header {
            Header::ForReal(request_id, ..) => Some(*request_id),
            Header::Dry(_) => None,
        };
        pieces::needs(broker, caller, kind.capability(), request_id)?;
        Ok(header)
    };
    let (header, file) = pieces::receive(messages, longest(kind), admit).await?;
    Ok(Asked { kind, header, file })
}

/// Proposes, or with `validate_only` says what the file would change.
pub(super) async fn propose(broker: &Broker, caller: &VerifiedCaller, asked: Asked) -> Result<Proposed, Status> {
    let Asked { kind, header, file } = asked;
    let (in_force, sequence) =
        broker.engine.read(|state| (state.organisation().digest_in_force(kind), state.sequence()));
    let mut proposed = Proposed {
        digest: file.digest(),
        sequence: caller.sequence_text(sequence),
        mistakes: Vec::new(),
        warnings: Vec::new(),
        effects: pb::Effects::default(),
        rights: Vec::new(),
        replaced: in_force,
        proposal: None,
    };
    let bytes = file.bytes().to_vec();
    match (examined(broker, caller, kind, file).await?, header) {
        (Examined::Wrong(mistakes), Header::Dry(_)) => proposed.mistakes = mistakes,
        (Examined::Wrong(mistakes), Header::ForReal(request_id, replaces, justification)) => {
            let Ok(text) = String::from_utf8(bytes) else {
                proposed.mistakes = mistakes;
                return Ok(proposed);
            };
            let command = Command::from(ProposeFile { file: kind, replaces, text, justification });
            // Mistakes come back as data; that such a file was proposed, and why it was refused, is in the journal. It is not
            // refused if it took effect before, under this `request_id`, or what it was compared with has changed since.
            match attempt(broker, caller, request_id, command).await? {
                Ok(done) => {
                    proposed.replaced = Some(replaces);
                    proposed.made(broker, caller, done).await?;
                }
                Err(refusal) => {
                    drop(broker.counted(refusal));
                    proposed.mistakes = mistakes;
                }
            }
        }
        (Examined::Right(text, warnings), Header::Dry(replaces)) => {
            let replaces = replaces.or(in_force).unwrap_or(proposed.digest);
            let command = Command::from(ProposeFile { file: kind, replaces, text, justification: String::new() });
            proposed.warnings = warnings;
            proposed.take(carry_out(broker, caller, Change::Dry(command)).await?);
        }
        (Examined::Right(text, warnings), Header::ForReal(request_id, replaces, justification)) => {
            let command = Command::from(ProposeFile { file: kind, replaces, text, justification });
            let done = carry_out(broker, caller, Change::ForReal(Mutation { request_id, command })).await?;
            proposed.warnings = warnings;
            proposed.replaced = Some(replaces);
            proposed.made(broker, caller, done).await?;
        }
    }
    Ok(proposed)
}

impl Proposed {
    /// What was made by it. A repetition is warned of what the first was.
    async fn made(&mut self, broker: &Broker, caller: &VerifiedCaller, done: Changed) -> Result<(), Status> {
        self.proposal = get_subject(broker, caller, done.about.as_ref(), done.done.as_ref(), shown).await?.proposal;
        if let Some(first) = done.done.as_ref().filter(|done| done.repeated) {
            self.warnings = warned_then(broker, caller, first.sequence).await.map_err(past::untold)?;
        }
        self.take(done);
        Ok(())
    }

    fn take(&mut self, done: Changed) {
        (self.sequence, self.effects, self.rights) = (done.sequence, done.effects, done.rights);
    }
}
