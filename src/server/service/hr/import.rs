//! Imports: a whole file of people in pieces, bounded before it is kept (known failures F8 and G14), mistakes as data, read on a
//! thread for long work. Whoever may not import is refused before the file is taken.

use std::collections::BTreeMap;

use tonic::{Status, Streaming};

use crate::domain::policy::CapabilityName;
use crate::domain::record::command::{Command, ImportPeople};
use crate::domain::record::event::{Fact, FeedFact};
use crate::domain::record::hr::ImportedPerson;
use crate::domain::value::ids::PersonId;
use crate::domain::value::refusal::{Reason, Refusal};
use crate::server::caller::{Broker, VerifiedCaller};
use crate::server::service::method::change::{Changed, attempt, think_through};
use crate::server::service::method::pieces::{self, File, Piece};
use crate::server::service::method::work::on_a_thread;
use crate::wire::hr::{Import, in_force_and_held, set_aside};
use crate::wire::organisation::mistake;
use crate::wire::people_file::{LONGEST_PEOPLE_BYTES, PeopleFormat, parse_people};
use crate::wire::v1 as pb;

/// So many of the events that were set aside are told.
const MOST_SET_ASIDE: usize = 500;
/// The prefix of the variables in which a refusal lists mistakes.
const MISTAKE: &str = "mistake.";

/// Takes an import's header, looks whether the caller may import at all, then takes the file.
pub(super) async fn receive(
    broker: &Broker,
    caller: &VerifiedCaller,
    messages: Streaming<pb::ImportPeopleRequest>,
) -> Result<(Import, File), Status> {
    let admit = |header| {
        let header = Import::try_from(header)?;
        pieces::needs(broker, caller, CapabilityName::HrFeed, header.request_id)?;
        Ok(header)
    };
    pieces::receive(messages, LONGEST_PEOPLE_BYTES, admit).await
}

impl From<pb::ImportPeopleRequest> for Piece<pb::ImportHeader> {
    fn from(message: pb::ImportPeopleRequest) -> Self {
        match message.piece {
            Some(pb::import_people_request::Piece::Header(header)) => Self::Header(header),
            Some(pb::import_people_request::Piece::Chunk(chunk)) => Self::Chunk(chunk),
            None => Self::Nothing,
        }
    }
}

/// Imports, or with `validate_only` tells what importing would do.
pub(super) async fn import(
    broker: &Broker,
    caller: &VerifiedCaller,
    header: Import,
    file: File,
) -> Result<pb::ImportPeopleResponse, Status> {
    let mut answer = pb::ImportPeopleResponse {
        digest: file.digest().bytes().to_vec(),
        sequence: caller.sequence_text(broker.engine.sequence()),
        ..Default::default()
    };
    let format = header.format;
    let read = on_a_thread(caller, move || read(format, file)).await;
    let people = match read.map_err(|error| unread(&error))? {
        Ok(people) => people,
        Err(mistakes) => {
            answer.mistakes = mistakes;
            return Ok(answer);
        }
    };
    answer.people_count = counted(people.len());
    let command = Command::from(ImportPeople { place: header.place, people });
    let tried = match header.request_id {
        None => think_through(broker, caller, command).await?,
        Some(request_id) => attempt(broker, caller, request_id, command).await?,
    };
    match tried {
        Ok(done) => {
            (answer.applied_count, answer.held_count) = (counted(applied(&done)), counted(held(&done)));
            answer.hold_id = hold_id(&done);
            answer.in_force_persons = in_force(&done);
            answer.set_aside = set_aside(&done.events).take(MOST_SET_ASIDE).collect();
            answer.set_aside_count = counted(set_aside(&done.events).count());
            (answer.sequence, answer.effects) = (done.sequence, Some(done.effects));
            Ok(answer)
        }
        Err(refusal) if refusal.reason == Reason::ImportInvalid => {
            answer.mistakes = mistakes_of(&refusal);
            // It is counted as any other, though it is answered as data.
            drop(broker.counted(refusal));
            Ok(answer)
        }
        Err(refusal) => Err(broker.counted(refusal)),
    }
}

/// What does not fit together in a file that can be read by itself.
fn mistakes_of(refusal: &Refusal) -> Vec<pb::Mistake> {
    let mistakes = refusal.facts.iter().filter(|(name, _)| name.starts_with(MISTAKE));
    let wanted = "a file that has everybody's manager, names no identity twice, and has no circle of managers";
    let found = mistakes.map(|(_, text)| pb::Mistake {
        text: text.clone(),
        wanted: wanted.to_owned(),
        path: "people".to_owned(),
        ..Default::default()
    });
    let mut found: Vec<pb::Mistake> = found.collect();
    if found.is_empty() {
        found.push(pb::Mistake { text: refusal.detail.clone(), wanted: wanted.to_owned(), ..Default::default() });
    }
    found
}

fn read(format: PeopleFormat, file: File) -> Result<BTreeMap<PersonId, ImportedPerson>, Vec<pb::Mistake>> {
    let text = file.into_text().map_err(|mistake| vec![mistake])?;
    parse_people(format, &text).map_err(|mistakes| mistakes.iter().map(mistake).collect())
}

fn unread(error: &tokio::task::JoinError) -> Status {
    tracing::error!(%error, "a file of people could not be read");
    Refusal::new(Reason::Overloaded, "the file could not be read").into()
}

/// How many events a change applied.
pub(super) fn applied(done: &Changed) -> usize {
    done.events.iter().filter(|event| matches!(event.fact, Fact::Feed(FeedFact::EventApplied(_)))).count()
}

/// How many the brake caught of it.
pub(super) fn held(done: &Changed) -> usize {
    usize::try_from(done.effects.held_count).unwrap_or(usize::MAX)
}

/// Whose leaving is in force, though it is held as well.
pub(super) fn in_force(done: &Changed) -> Vec<String> {
    in_force_and_held(&done.events).iter().take(MOST_SET_ASIDE).map(ToString::to_string).collect()
}

/// Under which id, if any.
pub(super) fn hold_id(done: &Changed) -> String {
    let caught = held(done) > 0;
    let hold = done.events.iter().rev().filter(|_| caught).find_map(|event| match &event.fact {
        Fact::Feed(FeedFact::Held(hold)) => Some(hold.id.to_string()),
        _ => None,
    });
    hold.unwrap_or_default()
}

pub(super) fn counted(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}
