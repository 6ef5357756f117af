//! `hr`: what HR says happens to people, how far its feeds were heard, and what the brake holds (known failure B4).

pub mod arguments;
mod feed;
pub mod file;
mod hold;

use self::arguments::{HrCommand, PlaceArguments};
use self::file::{Change, PersonEvent};
use self::hold::Decision;
use crate::cli::connect::change::ChangeArguments;
use crate::cli::connect::session::Session;
use crate::cli::term::failure::Ran;

/// Runs `hr …`.
///
/// # Errors
/// If the broker refuses, a file has mistakes, or the person says no.
pub async fn run(session: &mut Session<'_>, command: HrCommand) -> Ran {
    match command {
        HrCommand::Apply(it) => feed::apply_file(session, &it).await,
        HrCommand::Import(it) => feed::import(session, it).await,
        HrCommand::Status => feed::status(session).await,
        HrCommand::Release(it) => hold::decide(session, it, Decision::Release).await,
        HrCommand::Discard(it) => hold::decide(session, it, Decision::Discard).await,
        HrCommand::Retire(it) => feed::retire(session, it).await,
        HrCommand::Joined(it) => {
            let change = Change::Joined { manager: it.manager, login: it.logins };
            one(session, it.person, change, it.place, &it.change).await
        }
        HrCommand::Transferred(it) => {
            let change = Change::Transferred { manager: it.manager, at: it.at };
            one(session, it.person, change, it.place, &it.change).await
        }
        HrCommand::Left(it) => {
            let change = Change::Left { at: it.at, urgent: it.urgent, also_approved: it.also_approved };
            one(session, it.person, change, it.place, &it.change).await
        }
        HrCommand::Renamed(it) => {
            let change = Change::Renamed { login: it.logins };
            one(session, it.person, change, it.place, &it.change).await
        }
        HrCommand::Roles(it) => one(session, it.person, Change::Roles { roles: it.roles }, it.place, &it.change).await,
        HrCommand::Stays(it) => one(session, it.person, Change::Stays, it.place, &it.change).await,
    }
}

async fn one(
    session: &mut Session<'_>,
    person: String,
    change: Change,
    place: PlaceArguments,
    how: &ChangeArguments,
) -> Ran {
    let event = PersonEvent { person, change };
    let done = event.outcome(session.now);
    feed::apply(session, vec![event], place, how, &done).await
}
