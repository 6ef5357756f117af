//! Imports: a whole file of people in pieces, bounded before it is kept (known failures F8 and G14), mistakes as data, read on a
//! thread for long work. Whoever may not import is refused before the file is taken.

use std::collections::BTreeMap;

use tonic::{Status, Streaming};

use super::caller::{Broker, Caller};
use super::changes::{execute, think_through};
use super::hr::{applied, counted, held, hold_id};
use super::proposals::{File, not_text};
use crate::domain::policy::CapabilityName;
use crate::domain::record::command::{Command, ImportPeople};
use crate::domain::record::hr::ImportedPerson;
use crate::domain::value::ids::PersonId;
use crate::domain::value::refusal::{Reason, Refusal};
use crate::wire::hr::Import;
use crate::wire::message::InvalidMessage;
use crate::wire::organisation::mistake;
use crate::wire::people_file::{LONGEST_PEOPLE_BYTES, PeopleFormat, parse_people};
use crate::wire::v1 as pb;

/// What stands before the number of a mistake among the variables of a refusal.
const MISTAKE: &str = "mistake.";

/// Takes an import's header, looks whether the caller may import at all, then takes the file.
pub(super) async fn receive(
    broker: &Broker,
    caller: &Caller,
    mut pieces: Streaming<pb::ImportPeopleRequest>,
) -> Result<(Import, File), Status> {
    use pb::import_people_request::Piece;
    let Some(Piece::Header(header)) = pieces.message().await?.and_then(|message| message.piece) else {
        return Err(InvalidMessage::one("header", "the first piece is the header").into());
    };
    let header = Import::try_from(header)?;
    may_import(broker, caller)?;
    let mut file = File::of(LONGEST_PEOPLE_BYTES);
    while let Some(message) = pieces.message().await? {
        match message.piece {
            Some(Piece::Chunk(chunk)) => file.add(&chunk)?,
            Some(Piece::Header(_)) => return Err(InvalidMessage::one("header", "it came before; it comes once").into()),
            None => return Err(InvalidMessage::one("piece", "missing; a chunk is wanted").into()),
        }
    }
    Ok((header, file))
}

/// Imports, or with `validate_only` tells what importing would do.
pub(super) async fn import(
    broker: &Broker,
    caller: &Caller,
    header: Import,
    file: File,
) -> Result<pb::ImportPeopleResponse, Status> {
    let mut told = pb::ImportPeopleResponse {
        digest: file.digest().bytes().to_vec(),
        sequence: caller.told(broker.engine.sequence()),
        ..Default::default()
    };
    let format = header.format;
    let read = tokio::task::spawn_blocking(move || read(format, file.into_bytes())).await;
    let people = match read.map_err(|error| unread(&error))? {
        Ok(people) => people,
        Err(mistakes) => {
            told.mistakes = mistakes;
            return Ok(told);
        }
    };
    told.people_count = counted(people.len());
    let command = Command::from(ImportPeople { place: header.place, people });
    let tried = match header.request_id {
        None => think_through(broker, caller, command).await?,
        Some(request_id) => execute(broker, caller, request_id, command).await?,
    };
    match tried {
        Ok(done) => {
            told.sequence = caller.told(done.sequence);
            (told.applied_count, told.held_count) = (counted(applied(&done)), counted(held(&done)));
            told.hold_id = hold_id(&done);
            told.effects = Some(done.effects);
            Ok(told)
        }
        Err(refusal) if refusal.reason == Reason::ImportInvalid => {
            told.mistakes = mistakes_of(&refusal);
            // It is counted as any other; how it is told is another matter.
            drop(broker.counted(refusal));
            Ok(told)
        }
        Err(refusal) => Err(broker.counted(refusal)),
    }
}

/// What does not fit together in a file that can be read by itself.
fn mistakes_of(refusal: &Refusal) -> Vec<pb::Mistake> {
    let mistakes = refusal.facts.iter().filter(|(name, _)| name.starts_with(MISTAKE));
    let wanted = "a file in which everybody's manager is, no identity is named twice, and managers form no circle";
    let told = mistakes.map(|(_, text)| pb::Mistake {
        text: text.clone(),
        wanted: wanted.to_owned(),
        path: "people".to_owned(),
        ..Default::default()
    });
    let mut told: Vec<pb::Mistake> = told.collect();
    if told.is_empty() {
        told.push(pb::Mistake { text: refusal.detail.clone(), wanted: wanted.to_owned(), ..Default::default() });
    }
    told
}

fn read(format: PeopleFormat, bytes: Vec<u8>) -> Result<BTreeMap<PersonId, ImportedPerson>, Vec<pb::Mistake>> {
    let text = String::from_utf8(bytes);
    let text = text.map_err(|error| vec![not_text(error.as_bytes(), error.utf8_error().valid_up_to())])?;
    parse_people(format, &text).map_err(|mistakes| mistakes.iter().map(mistake).collect())
}

fn unread(error: &tokio::task::JoinError) -> Status {
    tracing::error!(%error, "a file of people could not be read");
    Refusal::new(Reason::Overloaded, "the file could not be read").into()
}

fn may_import(broker: &Broker, caller: &Caller) -> Result<(), Status> {
    let name = CapabilityName::HrFeed;
    let allowed = broker.read(caller, |state, viewer, now| {
        let held = state.organisation().capability(viewer.account()?, name, now.latest);
        let missing = || Refusal::new(Reason::CapabilityMissing, format!("`{name}`", name = name.as_str()));
        held.map(|_| ()).ok_or_else(|| missing().with("capability", name.as_str()))
    });
    allowed.map_err(|refusal| broker.counted(refusal))
}
