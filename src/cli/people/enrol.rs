//! `enrol` and `enrolments`: asking for an account, for a role, to keep or restore one, and for machines. What is asked for
//! gives a place, never a privilege on resources; a manager, and the role's owner, decide.

use clap::{Args, Subcommand};

use super::wait::{Patience, until_enrolled};
use crate::cli::connect::session::{Session, all_pages};
use crate::cli::show::enrolment_card::{ENROLMENT_HEADING, ask_words, enrolment_row};
use crate::cli::show::entitlement_card::obstacle_lines;
use crate::cli::term::failure::{Exit, Failure, Ran};
use crate::cli::term::json;
use crate::cli::term::table::{card, rows};
use crate::cli::term::text::{ending, time_field};
use crate::cli::term::values;
use crate::domain::value::time::Timestamp;
use crate::wire::v1::enrolment_ask::Ask;
use crate::wire::v1::{
    AccountAsk, ActsFor, Enrolment, EnrolmentAsk, EnrolmentRelation, EnrolmentState, KeepAsk, ListEnrolmentsRequest,
    MachineAsk, MachineRole, RequestEnrolmentRequest, RequestEnrolmentResponse, RestoreAsk, RoleAsk, TakeOverAsk,
};

/// `enrol …`.
#[derive(Debug, Clone, Subcommand)]
pub enum EnrolCommand {
    /// Ask for an account: your manager approves, and it may ask for nothing privileged yet
    Account(AccountArguments),
    /// Ask for a role, or for a later end of one that you hold
    Role(RoleArguments),
    /// Ask your new manager to let you keep a role that a transfer cut
    Keep(KeepArguments),
    /// Ask for what a lapse took, once what lapsed is renewed
    Restore(RestoreArguments),
    /// Ask for a service account that you will own
    Machine(MachineArguments),
    /// Ask for a service account that somebody else owns
    TakeOver(TakeOverArguments),
}

/// `enrol account`.
#[derive(Debug, Clone, Args)]
pub struct AccountArguments {
    /// The account's id; left out, your person's id, or the first free one made of it
    #[arg(long, value_name = "ACCOUNT")]
    pub id: Option<String>,
    /// How it is asked.
    #[command(flatten)]
    pub details: EnrolDetails,
}

/// `enrol role`.
#[derive(Debug, Clone, Args)]
pub struct RoleArguments {
    /// The role
    pub role: String,
    /// Whose: another account of yours, or a machine that you own
    #[arg(long, value_name = "ACCOUNT")]
    pub account: Option<String>,
    /// Until when: a date or an instant; left out, as late as the role allows
    #[arg(long, value_parser = values::moment, value_name = "TIME")]
    pub until: Option<Timestamp>,
    /// How it is asked.
    #[command(flatten)]
    pub details: EnrolDetails,
}

/// `enrol keep`.
#[derive(Debug, Clone, Args)]
pub struct KeepArguments {
    /// The role
    pub role: String,
    /// Whose, if not the account that you call with
    #[arg(long, value_name = "ACCOUNT")]
    pub account: Option<String>,
    /// How it is asked.
    #[command(flatten)]
    pub details: EnrolDetails,
}

/// `enrol restore`.
#[derive(Debug, Clone, Args)]
pub struct RestoreArguments {
    /// Whose, if not the account that you call with
    #[arg(long, value_name = "ACCOUNT")]
    pub account: Option<String>,
    /// How it is asked.
    #[command(flatten)]
    pub details: EnrolDetails,
}

/// `enrol machine`.
#[derive(Debug, Clone, Args)]
pub struct MachineArguments {
    /// The account's id
    pub account: String,
    /// A SPIFFE ID that means it; once for each
    #[arg(long = "identity", required = true, value_parser = values::identity, value_name = "SPIFFE-ID")]
    pub identities: Vec<String>,
    /// A role for machines, with an end if it is to have one: fleet-writer=2027-01-31; once for each
    #[arg(long = "role", value_parser = values::role_until, value_name = "ROLE[=TIME]")]
    pub roles: Vec<(String, Option<Timestamp>)>,
    /// Resources that it may check; once for each
    #[arg(long = "checks", value_parser = values::pattern, value_name = "PATTERN")]
    pub audience: Vec<String>,
    /// It asks for people, and names one each time; left out, it asks for itself
    #[arg(long)]
    pub for_people: bool,
    /// How it is asked.
    #[command(flatten)]
    pub details: EnrolDetails,
}

/// `enrol take-over`.
#[derive(Debug, Clone, Args)]
pub struct TakeOverArguments {
    /// The service account
    pub account: String,
    /// How it is asked.
    #[command(flatten)]
    pub details: EnrolDetails,
}

/// What every enrolment shares.
#[derive(Debug, Clone, Args)]
pub struct EnrolDetails {
    /// Why, for those who must approve
    #[arg(long, short, value_name = "TEXT")]
    pub reason: Option<String>,
    /// Change nothing; show all that stands in the way
    #[arg(long, conflicts_with = "wait")]
    pub dry_run: bool,
    /// The id of this call: the same one is the same request
    #[arg(long, value_parser = values::request_id, value_name = "UUID")]
    pub request_id: Option<String>,
    /// Whether to wait.
    #[command(flatten)]
    pub patience: Patience,
}

/// `enrolments`.
#[derive(Debug, Clone, Args)]
pub struct EnrolmentsArguments {
    /// All that you may see, not your own alone
    #[arg(long)]
    pub visible: bool,
    /// Those that are closed as well
    #[arg(long)]
    pub all: bool,
}

/// Runs `enrol …`.
///
/// # Errors
/// If the broker refuses.
pub async fn run(session: &mut Session<'_>, command: EnrolCommand) -> Ran {
    let (ask, details) = command.taken_apart();
    let request = RequestEnrolmentRequest {
        request_id: Session::request_id(details.request_id.as_ref()),
        ask: Some(EnrolmentAsk { ask: Some(ask) }),
        justification: details.reason.unwrap_or_default(),
        validate_only: details.dry_run,
    };
    let answer = match session.client.request_enrolment(request.clone()).await {
        Ok(answer) => answer,
        Err(error) if details.dry_run => return Err(error.into()),
        Err(error) => return Err(session.failed(error, &request.request_id)),
    };
    if details.dry_run {
        return dry_run(session, &answer);
    }
    let enrolment = answer.enrolment.unwrap_or_default();
    if details.patience.wait {
        session.output.note(&format!("enrolment {} is pending", enrolment.id));
        return until_enrolled(session, &enrolment, answer.sequence, &details.patience).await;
    }
    session.output.data(|_| format!("{}\n", enrolment.id), || json::of(&enrolment))?;
    session.output.note(&next_step(&enrolment));
    Ok(Exit::Yes)
}

/// Runs `enrolments`.
///
/// # Errors
/// If the broker cannot be asked.
pub async fn enrolments(session: &mut Session<'_>, arguments: &EnrolmentsArguments) -> Ran {
    let relation = if arguments.visible { EnrolmentRelation::Unspecified } else { EnrolmentRelation::Requested };
    let found = list(session, relation, arguments.all).await?;
    let now = session.now;
    let row = |enrolment: &Enrolment| enrolment_row(enrolment, now);
    let text = |width| rows(width, &ENROLMENT_HEADING, found.iter().map(row).collect());
    session.output.data(text, || json::list(&found))?;
    if found.is_empty() && !session.output.is_json() {
        session.output.note("nothing is asked for; `countersign enrol` asks for an account, a role or a machine");
    }
    Ok(Exit::Yes)
}

/// Enrolments by what they are to the caller; closed ones only where they are asked for.
///
/// # Errors
/// If the broker cannot be asked.
pub async fn list(
    session: &Session<'_>,
    relation: EnrolmentRelation,
    closed_too: bool,
) -> Result<Vec<Enrolment>, Failure> {
    let states = if closed_too { Vec::new() } else { vec![EnrolmentState::Pending.into()] };
    let request = ListEnrolmentsRequest { relation: relation.into(), states, ..Default::default() };
    Ok(all_pages!(session.client, list_enrolments, request, enrolments))
}

impl EnrolCommand {
    fn taken_apart(self) -> (Ask, EnrolDetails) {
        match self {
            Self::Account(it) => (Ask::Account(AccountAsk { account: it.id.unwrap_or_default() }), it.details),
            Self::Role(it) => {
                let (account, end_time) = (it.account.unwrap_or_default(), it.until.map(time_field));
                (Ask::Role(RoleAsk { account, role: it.role, end_time }), it.details)
            }
            Self::Keep(it) => {
                (Ask::Keep(KeepAsk { account: it.account.unwrap_or_default(), role: it.role }), it.details)
            }
            Self::Restore(it) => {
                let account = it.account.unwrap_or_default();
                (Ask::Restore(RestoreAsk { account, roles: Vec::new() }), it.details)
            }
            Self::Machine(it) => machine(it),
            Self::TakeOver(it) => (Ask::TakeOver(TakeOverAsk { account: it.account }), it.details),
        }
    }
}

fn machine(arguments: MachineArguments) -> (Ask, EnrolDetails) {
    let roles = arguments.roles.into_iter().map(|(role, until)| MachineRole { role, end_time: until.map(time_field) });
    let acts_for = if arguments.for_people { ActsFor::People } else { ActsFor::Itself };
    let ask = MachineAsk {
        account: arguments.account,
        identities: arguments.identities,
        audience: arguments.audience,
        acts_for: acts_for.into(),
        roles: roles.collect(),
    };
    (Ask::Machine(ask), arguments.details)
}

/// What stands in the way, or what would be asked and of whom.
fn dry_run(session: &mut Session<'_>, answer: &RequestEnrolmentResponse) -> Ran {
    let obstacles = &answer.obstacles;
    let text = |width| {
        let mut lines = answer.enrolment.iter().flat_map(would_be).collect::<Vec<_>>();
        lines.extend(obstacle_lines(obstacles));
        card(width, &lines)
    };
    session.output.data(text, || json::of(answer))?;
    if obstacles.is_empty() {
        session.output.note("it would be accepted, and wait for its approval");
        return Ok(Exit::Yes);
    }
    Ok(Exit::Denied)
}

fn would_be(enrolment: &Enrolment) -> Vec<(&'static str, String)> {
    let mut lines = vec![("asks for", ask_words(enrolment))];
    for stage in enrolment.review.iter().flat_map(|review| &review.stages) {
        lines.push(("needs", format!("{} by {}", stage.required_count, stage.by.join(" or "))));
    }
    lines
}

fn next_step(enrolment: &Enrolment) -> String {
    let id = ending(&enrolment.id);
    let by = enrolment.review.iter().flat_map(|review| review.stages.first()).map(|stage| stage.by.join(" or "));
    let by = by.map(|by| format!(" for {by} to approve")).next().unwrap_or_default();
    let manager =
        if enrolment.manager.is_empty() { String::new() } else { format!(" (manager: {})", enrolment.manager) };
    format!("it is pending{by}{manager}; `countersign show {id}` says where it stands")
}

#[cfg(test)]
#[path = "enrol_tests.rs"]
mod tests;
