//! `lock`, `unlock`: an immediate stop, and its lifting.

use clap::{Args, Subcommand};

use crate::cli::connect::change::ChangeArguments;
use crate::cli::connect::replicas::in_replicas;
use crate::cli::connect::session::{Session, all_pages};
use crate::cli::term::failure::{Exit, Ran};
use crate::cli::term::json;
use crate::cli::term::table::{card, rows};
use crate::cli::term::text::{clock_text, ending, quoted, time_field, when, word};
use crate::cli::term::values;
use crate::domain::value::time::Timestamp;
use crate::wire::v1::lock_target::Target;
use crate::wire::v1::{
    CreateLockRequest, DeleteLockRequest, GetLockRequest, ListLocksRequest, Lock, LockMode, LockTarget,
};

/// `lock …`.
#[derive(Debug, Clone, Subcommand)]
pub enum LockCommand {
    /// Stop one account
    Account(NamedArguments),
    /// Stop a person: all accounts and machines of theirs, and every grant that they are behind
    Person(NamedArguments),
    /// Stop what is done by a role
    Role(NamedArguments),
    /// Stop an entitlement and its grants
    Entitlement(NamedArguments),
    /// Stop everybody on some resources: a pattern that begins with a name
    Resources(PatternArguments),
    /// Stop a tenant's accounts, and everybody on its resources
    Tenant(NamedArguments),
    /// Stop everything but taking access away, and lifting this lock
    All(LockArguments),
    /// The locks in force that touch you, or all of them if you may lock
    #[command(visible_alias = "ls")]
    List,
    /// One lock
    Show(ShowArguments),
}

/// `lock account` and its like.
#[derive(Debug, Clone, Args)]
pub struct NamedArguments {
    /// Which
    pub name: String,
    /// How.
    #[command(flatten)]
    pub how: LockArguments,
}

/// `lock resources`.
#[derive(Debug, Clone, Args)]
pub struct PatternArguments {
    /// Which: `prod/eu/db/**`
    #[arg(value_parser = values::pattern)]
    pub pattern: String,
    /// How.
    #[command(flatten)]
    pub how: LockArguments,
}

/// How something is locked.
#[derive(Debug, Clone, Args)]
pub struct LockArguments {
    /// Why, for those whom it touches to read
    #[arg(long, short, value_name = "TEXT")]
    pub reason: String,
    /// End it, not only stop it: grants are revoked, pending requests cancelled, approvals void
    #[arg(long)]
    pub revoke: bool,
    /// When it is lifted by itself: a date (its end in UTC) or an instant; left out, by a person alone
    #[arg(long, value_parser = values::moment, value_name = "TIME")]
    pub until: Option<Timestamp>,
    /// Wait until it is in force in every replica that is connected, and say so
    #[arg(long, conflicts_with = "dry_run")]
    pub wait: bool,
    /// How it is sent.
    #[command(flatten)]
    pub change: ChangeArguments,
}

/// `lock show`.
#[derive(Debug, Clone, Args)]
pub struct ShowArguments {
    /// The lock, or a unique ending of its id
    pub lock: String,
}

/// `unlock`.
#[derive(Debug, Clone, Args)]
pub struct UnlockArguments {
    /// The lock, or a unique ending of its id
    pub lock: String,
    /// Why, for the record
    #[arg(long, short, value_name = "TEXT")]
    pub reason: String,
    /// The id of this call
    #[arg(long, value_parser = values::request_id, value_name = "UUID")]
    pub request_id: Option<String>,
}

/// Runs `lock …`.
///
/// # Errors
/// If the broker refuses.
pub async fn run(session: &mut Session<'_>, command: LockCommand) -> Ran {
    let (target, how) = match command {
        LockCommand::List => return list(session).await,
        LockCommand::Show(arguments) => return show(session, arguments).await,
        LockCommand::Account(NamedArguments { name, how }) => (Target::Account(name), how),
        LockCommand::Person(NamedArguments { name, how }) => (Target::Person(name), how),
        LockCommand::Role(NamedArguments { name, how }) => (Target::Role(name), how),
        LockCommand::Entitlement(NamedArguments { name, how }) => (Target::Entitlement(name), how),
        LockCommand::Resources(PatternArguments { pattern, how }) => (Target::Resources(pattern), how),
        LockCommand::Tenant(NamedArguments { name, how }) => (Target::Tenant(name), how),
        LockCommand::All(how) => (Target::Everything(true), how),
    };
    create(session, target, how).await
}

async fn create(session: &mut Session<'_>, target: Target, how: LockArguments) -> Ran {
    let change = how.change;
    let request = CreateLockRequest {
        request_id: change.id(),
        target: Some(LockTarget { target: Some(target) }),
        mode: if how.revoke { LockMode::Revoke } else { LockMode::Suspend }.into(),
        reason: how.reason,
        end_time: how.until.map(time_field),
        validate_only: change.dry_run,
    };
    let answer = session.client.create_lock(request.clone()).await;
    let answer = change.answered(session, answer, &request.request_id)?;
    let lock = answer.lock.clone().unwrap_or_default();
    let until =
        how.until.map_or_else(|| "until somebody lifts it".to_owned(), |at| format!("until {}", clock_text(at)));
    let done = format!("{} is locked {until}; lift it by `countersign unlock {}`", on(&lock), ending(&lock.id));
    let shown = change.show_effects(session, answer.effects.as_ref(), || json::of(&answer), &done)?;
    if how.wait { in_replicas(session, &answer.sequence, "in force").await } else { Ok(shown) }
}

async fn list(session: &mut Session<'_>) -> Ran {
    let request = ListLocksRequest { min_sequence: String::new(), ..Default::default() };
    let locks = all_pages!(session.client, list_locks, request, locks);
    let now = session.now;
    let row = |lock: &Lock| {
        vec![ending(&lock.id), on(lock), mode(lock), lock.creator.clone(), end(lock, now), quoted(&lock.reason)]
    };
    let heading = ["id", "on", "mode", "by", "until", "because"];
    session.output.data(|width| rows(width, &heading, locks.iter().map(row).collect()), || json::list(&locks))?;
    if locks.is_empty() && !session.output.is_json() {
        session.output.note("no locks that you may see");
    }
    Ok(Exit::Yes)
}

async fn show(session: &mut Session<'_>, arguments: ShowArguments) -> Ran {
    let answer = session.client.get_lock(GetLockRequest { lock_id: arguments.lock }).await?;
    let (lock, now) = (answer.lock.unwrap_or_default(), session.now);
    let lines = [
        ("on", on(&lock)),
        ("mode", mode(&lock)),
        ("because", quoted(&lock.reason)),
        ("by", lock.creator.clone()),
        ("since", when(lock.create_time.as_ref(), now)),
        ("until", end(&lock, now)),
        ("id", lock.id.clone()),
    ];
    session.output.data(|width| card(width, &lines), || json::of(&lock))?;
    Ok(Exit::Yes)
}

/// Runs `unlock`.
///
/// # Errors
/// If the broker refuses.
pub async fn unlock(session: &mut Session<'_>, arguments: UnlockArguments) -> Ran {
    // An ending may become ambiguous, so a change names the whole id.
    let found = session.client.get_lock(GetLockRequest { lock_id: arguments.lock }).await?.lock.unwrap_or_default();
    let request_id = Session::request_id(arguments.request_id.as_ref());
    let request = DeleteLockRequest { request_id, lock_id: found.id.clone(), reason: arguments.reason };
    match session.client.delete_lock(request.clone()).await {
        Ok(answer) => {
            session.output.data(|_| format!("{} is no longer locked by this\n", on(&found)), || json::of(&answer))?;
            Ok(Exit::Yes)
        }
        Err(error) => Err(session.failed(error, &request.request_id)),
    }
}

fn on(lock: &Lock) -> String {
    match lock.target.as_ref().and_then(|it| it.target.as_ref()) {
        Some(Target::Account(id)) => format!("account {id}"),
        Some(Target::Person(id)) => format!("person {id}"),
        Some(Target::Role(name)) => format!("role {name}"),
        Some(Target::Entitlement(name)) => format!("entitlement {name}"),
        Some(Target::Resources(pattern)) => pattern.clone(),
        Some(Target::Tenant(name)) => format!("tenant {name}"),
        Some(Target::Everything(_)) => "everything".to_owned(),
        None => String::new(),
    }
}

fn mode(lock: &Lock) -> String {
    word(lock.mode().as_str_name(), "LOCK_MODE_")
}

fn end(lock: &Lock, now: Timestamp) -> String {
    lock.end_time.as_ref().map_or_else(|| "somebody lifts it".to_owned(), |at| when(Some(at), now))
}
