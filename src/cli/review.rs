//! `inbox`, `show`, `deny`, `withdraw`: of requests for access, of enrolments and of proposals alike.

use clap::{Args, ValueEnum};
use serde_json::Value;

use super::change::ChangeArguments;
use super::elevation_card::{ELEVATION_HEADING, elevation_row, state_word};
use super::enrol;
use super::enrolment_card::{self, ENROLMENT_HEADING, enrolment_row};
use super::failure::{Exit, Failure, Ran};
use super::found::{Found, find, is_without_account};
use super::json;
use super::proposal_card::{self, PROPOSAL_HEADING, proposal_row};
use super::session::{Session, all_pages};
use super::table::rows;
use super::text::ending;
use super::values;
use crate::domain::value::time::Timestamp;
use crate::wire::v1::{
    DenyElevationRequest, DenyEnrolmentRequest, DenyProposalRequest, Effects, Elevation, ElevationRelation,
    ElevationState, Enrolment, EnrolmentRelation, ListElevationsRequest, ListProposalsRequest, Proposal,
    ProposalRelation, ProposalState, WithdrawElevationRequest, WithdrawEnrolmentRequest, WithdrawProposalRequest,
};

/// `inbox`.
#[derive(Debug, Clone, Args)]
pub struct InboxArguments {
    /// Which requests
    #[arg(long, value_enum, default_value_t = Relation::Review)]
    pub of: Relation,
    /// Those that are closed as well
    #[arg(long)]
    pub all: bool,
}

/// What requests are to the caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Relation {
    /// You could decide them now
    Review,
    /// You asked, or are behind them
    Mine,
    /// You decided them
    Reviewed,
    /// You may see them
    Visible,
}

/// `show`.
#[derive(Debug, Clone, Args)]
pub struct ShowArguments {
    /// The request, enrolment or proposal, or a unique ending of its id
    #[arg(value_name = "ID")]
    pub id: String,
    /// Of a pending proposal: the file that it would put in force, and nothing else
    #[arg(long)]
    pub file: bool,
}

/// `deny`.
#[derive(Debug, Clone, Args)]
pub struct DenyArguments {
    /// The request, enrolment or proposal, or a unique ending of its id
    #[arg(value_name = "ID")]
    pub id: String,
    /// Why, for the requester to read
    #[arg(long, short, value_name = "TEXT")]
    pub reason: String,
    /// Of an enrolment or a proposal: change nothing; tell what it would bring about
    #[arg(long)]
    pub dry_run: bool,
    /// The id of this call: the same one is the same denial
    #[arg(long, value_parser = values::request_id, value_name = "UUID")]
    pub request_id: Option<String>,
}

/// `withdraw`.
#[derive(Debug, Clone, Args)]
pub struct WithdrawArguments {
    /// Your request, enrolment or proposal, or a unique ending of its id
    #[arg(value_name = "ID")]
    pub id: String,
    /// Of an enrolment or a proposal: change nothing; tell what it would bring about
    #[arg(long)]
    pub dry_run: bool,
    /// The id of this call: the same one is the same withdrawal
    #[arg(long, value_parser = values::request_id, value_name = "UUID")]
    pub request_id: Option<String>,
}

/// Runs `inbox`.
///
/// # Errors
/// If the broker cannot be asked.
pub async fn inbox(session: &mut Session<'_>, arguments: &InboxArguments) -> Ran {
    let (relation, of_enrolments, of_proposals) = match arguments.of {
        Relation::Review => (ElevationRelation::CanReview, EnrolmentRelation::CanReview, ProposalRelation::CanReview),
        Relation::Mine => (ElevationRelation::Requested, EnrolmentRelation::Requested, ProposalRelation::Proposed),
        Relation::Reviewed => (ElevationRelation::Reviewed, EnrolmentRelation::Reviewed, ProposalRelation::Reviewed),
        Relation::Visible => {
            (ElevationRelation::Visible, EnrolmentRelation::Unspecified, ProposalRelation::Unspecified)
        }
    };
    let closed_too = arguments.all || arguments.of == Relation::Reviewed;
    // Who has no account, or a disabled one, has enrolments alone.
    let elevations = match waiting(session, arguments.of, relation, closed_too).await {
        Err(failure) if is_without_account(&failure) => Vec::new(),
        elevations => elevations?,
    };
    let enrolments = enrol::list(session, of_enrolments, closed_too).await?;
    let proposals = match proposals(session, of_proposals, closed_too).await {
        Err(failure) if is_without_account(&failure) => Vec::new(),
        proposals => proposals?,
    };
    let now = session.now;
    let found = Lists { elevations, enrolments, proposals };
    session.output.data(|width| found.tables(width, now), || found.json())?;
    if found.is_empty() && !session.output.is_json() {
        session.output.note("nothing waits here");
    }
    Ok(Exit::Yes)
}

/// Runs `show`.
///
/// # Errors
/// If there is no such request, or it cannot be shown whole.
pub async fn show(session: &mut Session<'_>, arguments: ShowArguments) -> Ran {
    let found = find(session, &arguments.id).await?;
    if arguments.file {
        return show_file(session, &found).await;
    }
    let page = found.page(session.output.width(), session.now);
    let page = page.map_err(|error| Failure::Failed(error.to_string()))?;
    session.output.data(|_| page, || found.json())?;
    Ok(Exit::Yes)
}

/// Exactly the file: what is written here has the digest that the proposal's text names.
async fn show_file(session: &mut Session<'_>, found: &Found) -> Ran {
    let Found::Proposal(_) = found else {
        return Err(Failure::Usage("only a proposal brings a file".to_owned()));
    };
    let bytes = session.client.proposal_text(&found.id()).await?;
    let text = String::from_utf8(bytes).map_err(|_| Failure::Failed("the file is no text".to_owned()))?;
    session.output.data(|_| text.clone(), || text.clone().into())?;
    Ok(Exit::Yes)
}

/// Runs `deny`.
///
/// # Errors
/// If the broker refuses.
pub async fn deny(session: &mut Session<'_>, arguments: DenyArguments) -> Ran {
    let change = ChangeArguments { dry_run: arguments.dry_run, request_id: arguments.request_id };
    // An ending names one thing only as long as no other ends so: what changes something names it whole.
    let found = find(session, &arguments.id).await?;
    let (id, reason, request_id) = (found.id(), arguments.reason, change.id());
    match found {
        Found::Elevation(_) => {
            not_tried(&change)?;
            let request = DenyElevationRequest { request_id: request_id.clone(), elevation_id: id, reason };
            let answer = session.client.deny_elevation(request).await;
            let elevation = change.answered(session, answer, &request_id)?.elevation.unwrap_or_default();
            closed(session, &elevation.id, &state_word(&elevation), json::of(&elevation))
        }
        Found::Enrolment(_) => {
            let validate_only = change.dry_run;
            let request =
                DenyEnrolmentRequest { request_id: request_id.clone(), enrolment_id: id, reason, validate_only };
            let answer = session.client.deny_enrolment(request).await;
            let answer = change.answered(session, answer, &request_id)?;
            let value = json::of(&answer);
            enrolment_closed(session, &change, answer.enrolment.as_ref(), answer.effects.as_ref(), value)
        }
        Found::Proposal(_) => {
            let validate_only = change.dry_run;
            let request =
                DenyProposalRequest { request_id: request_id.clone(), proposal_id: id, reason, validate_only };
            let answer = session.client.deny_proposal(request).await;
            let answer = change.answered(session, answer, &request_id)?;
            proposal_closed(session, &change, answer.proposal.as_ref(), json::of(&answer))
        }
    }
}

/// Runs `withdraw`.
///
/// # Errors
/// If the broker refuses.
pub async fn withdraw(session: &mut Session<'_>, arguments: WithdrawArguments) -> Ran {
    let change = ChangeArguments { dry_run: arguments.dry_run, request_id: arguments.request_id };
    let found = find(session, &arguments.id).await?;
    let (id, request_id) = (found.id(), change.id());
    match found {
        Found::Elevation(_) => {
            not_tried(&change)?;
            let request = WithdrawElevationRequest { request_id: request_id.clone(), elevation_id: id };
            let answer = session.client.withdraw_elevation(request).await;
            let elevation = change.answered(session, answer, &request_id)?.elevation.unwrap_or_default();
            closed(session, &elevation.id, &state_word(&elevation), json::of(&elevation))
        }
        Found::Enrolment(_) => {
            let request = WithdrawEnrolmentRequest {
                request_id: request_id.clone(),
                enrolment_id: id,
                reason: String::new(),
                validate_only: change.dry_run,
            };
            let answer = session.client.withdraw_enrolment(request).await;
            let answer = change.answered(session, answer, &request_id)?;
            let value = json::of(&answer);
            enrolment_closed(session, &change, answer.enrolment.as_ref(), answer.effects.as_ref(), value)
        }
        Found::Proposal(_) => {
            let (validate_only, reason) = (change.dry_run, String::new());
            let request =
                WithdrawProposalRequest { request_id: request_id.clone(), proposal_id: id, reason, validate_only };
            let answer = session.client.withdraw_proposal(request).await;
            let answer = change.answered(session, answer, &request_id)?;
            proposal_closed(session, &change, answer.proposal.as_ref(), json::of(&answer))
        }
    }
}

/// What the proposal is by now: after a dry run what it was, as nothing else follows from it.
fn proposal_closed(
    session: &mut Session<'_>,
    change: &ChangeArguments,
    proposal: Option<&Proposal>,
    value: Value,
) -> Ran {
    let (id, state) = proposal.map(|it| (ending(&it.id), proposal_card::state_word(it))).unwrap_or_default();
    let unchanged = if change.dry_run { ": this would be done, nothing was changed" } else { "" };
    session.output.data(|_| format!("{id} is {state}{unchanged}\n"), || value)?;
    Ok(Exit::Yes)
}

/// Only enrolments and proposals can be tried: what ends a request for access is told by its text.
fn not_tried(change: &ChangeArguments) -> Result<(), Failure> {
    if !change.dry_run {
        return Ok(());
    }
    Err(Failure::Usage("only an enrolment or a proposal can be tried: this is a request for access".to_owned()))
}

/// The same lines and the same fields whether it is tried or done.
fn enrolment_closed(
    session: &mut Session<'_>,
    change: &ChangeArguments,
    enrolment: Option<&Enrolment>,
    effects: Option<&Effects>,
    value: Value,
) -> Ran {
    let (id, state) = enrolment.map(|it| (ending(&it.id), enrolment_card::state_word(it))).unwrap_or_default();
    change.told(session, effects, || value, &format!("{id} is {state}"))
}

fn closed(session: &mut Session<'_>, id: &str, state: &str, value: Value) -> Ran {
    session.output.data(|_| format!("{} is {state}\n", ending(id)), || value)?;
    Ok(Exit::Yes)
}

/// Requests, and after those that wait for a decision the emergencies that wait for their follow-up.
async fn waiting(
    session: &Session<'_>,
    of: Relation,
    relation: ElevationRelation,
    closed_too: bool,
) -> Result<Vec<Elevation>, Failure> {
    let mut found = elevations(session, relation, closed_too).await?;
    if of == Relation::Review {
        found.extend(elevations(session, ElevationRelation::FollowUp, true).await?);
    }
    Ok(found)
}

async fn elevations(
    session: &Session<'_>,
    relation: ElevationRelation,
    closed_too: bool,
) -> Result<Vec<Elevation>, Failure> {
    let states = if closed_too { Vec::new() } else { vec![ElevationState::Pending.into()] };
    let request = ListElevationsRequest { relation: relation.into(), states, ..Default::default() };
    Ok(all_pages!(session.client, list_elevations, request, elevations))
}

async fn proposals(
    session: &Session<'_>,
    relation: ProposalRelation,
    closed_too: bool,
) -> Result<Vec<Proposal>, Failure> {
    let states = if closed_too { Vec::new() } else { vec![ProposalState::Pending.into()] };
    let request = ListProposalsRequest { relation: relation.into(), states, ..Default::default() };
    Ok(all_pages!(session.client, list_proposals, request, proposals))
}

/// Requests for access, then requests for places, then loads: each kind with what one asks of it first.
struct Lists {
    elevations: Vec<Elevation>,
    enrolments: Vec<Enrolment>,
    proposals: Vec<Proposal>,
}

impl Lists {
    fn is_empty(&self) -> bool {
        self.elevations.is_empty() && self.enrolments.is_empty() && self.proposals.is_empty()
    }

    fn tables(&self, width: u16, now: Timestamp) -> String {
        let tables = [
            rows(width, &ELEVATION_HEADING, self.elevations.iter().map(|it| elevation_row(it, now)).collect()),
            rows(width, &ENROLMENT_HEADING, self.enrolments.iter().map(|it| enrolment_row(it, now)).collect()),
            rows(width, &PROPOSAL_HEADING, self.proposals.iter().map(|it| proposal_row(it, now)).collect()),
        ];
        let filled: Vec<String> = tables.into_iter().filter(|table| !table.is_empty()).collect();
        filled.join("\n")
    }

    /// One list; `type` tells them apart.
    fn json(&self) -> Value {
        let typed = |mut value: Value, name: &str| {
            if let Some(object) = value.as_object_mut() {
                object.insert("type".to_owned(), name.into());
            }
            value
        };
        let elevations = self.elevations.iter().map(|it| typed(json::of(it), "elevation"));
        let enrolments = self.enrolments.iter().map(|it| typed(json::of(it), "enrolment"));
        elevations.chain(enrolments).chain(self.proposals.iter().map(|it| typed(json::of(it), "proposal"))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::sample;

    #[test]
    fn an_inbox_of_all_kinds() {
        let (elevations, enrolments) = (vec![sample::elevation()], vec![sample::enrolment()]);
        let found = Lists { elevations, enrolments, proposals: vec![sample::proposal()] };
        insta::assert_snapshot!(found.tables(120, sample::moment()), @r#"
        ID        WHO  ENTITLEMENT       WHERE                      HOW LONG  STATE    OPEN UNTIL
        aa11bb22  ana  orders-db-repair  prod/eu/db/orders/primary  15m       pending  in 28m

        ID        WHO  ASKS FOR                                             STATE    OPEN UNTIL
        ee55ff66  ana  role db-engineer for ana until 2027-05-21 22:00:00Z  pending  in 6d 23h

        ID        WHO   LOADS       STATE    OPEN UNTIL
        77aa88bb  omar  the policy  pending  in 28m
        "#);
        let value = found.json();
        let kinds: Vec<&Value> = (0..3).map(|at| &value[at]["type"]).collect();
        assert_eq!(kinds, ["elevation", "enrolment", "proposal"]);
        let none = Lists { elevations: Vec::new(), enrolments: Vec::new(), proposals: Vec::new() };
        assert_eq!((none.tables(120, sample::moment()), none.json().to_string()), (String::new(), "[]".to_owned()));
    }

    #[test]
    fn an_inbox_at_both_widths() {
        let row = || vec![elevation_row(&sample::elevation(), sample::moment())];
        insta::assert_snapshot!(rows(120, &ELEVATION_HEADING, row()), @r#"
        ID        WHO  ENTITLEMENT       WHERE                      HOW LONG  STATE    OPEN UNTIL
        aa11bb22  ana  orders-db-repair  prod/eu/db/orders/primary  15m       pending  in 28m
        "#);
        insta::assert_snapshot!(rows(40, &ELEVATION_HEADING, row()), @r#"
        id           aa11bb22
        who          ana
        entitlement  orders-db-repair
        where        prod/eu/db/orders/primary
        how long     15m
        state        pending
        open until   in 28m
        "#);
    }
}
