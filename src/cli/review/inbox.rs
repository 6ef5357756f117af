//! `inbox`: the list of requests for access, of enrolments and of proposals alike.

use clap::{Args, ValueEnum};
use serde_json::Value;

use super::lookup::is_without_account;
use crate::cli::connect::session::{Session, all_pages};
use crate::cli::people::enrol;
use crate::cli::show::elevation_card::{ELEVATION_HEADING, elevation_row};
use crate::cli::show::enrolment_card::{ENROLMENT_HEADING, enrolment_row};
use crate::cli::show::proposal_card::{PROPOSAL_HEADING, proposal_row};
use crate::cli::term::failure::{Exit, Failure, Ran};
use crate::cli::term::json;
use crate::cli::term::table::rows;
use crate::domain::value::time::Timestamp;
use crate::wire::v1::{
    Elevation, ElevationRelation, ElevationState, Enrolment, EnrolmentRelation, ListElevationsRequest,
    ListProposalsRequest, Proposal, ProposalRelation, ProposalState,
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
    // Whoever has no account, or a disabled one, may have enrolments and nothing else.
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

/// Requests for access, then enrolments, then proposals: each kind in a table of its own.
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
    use crate::cli::show::sample;

    #[test]
    fn an_inbox_of_all_kinds() {
        let (elevations, enrolments) = (vec![sample::elevation()], vec![sample::enrolment()]);
        let found = Lists { elevations, enrolments, proposals: vec![sample::proposal()] };
        insta::assert_snapshot!(found.tables(120, sample::moment()), @r#"
        ID        WHO  ENTITLEMENT       WHERE                      HOW LONG  STATE    OPEN UNTIL
        aa11bb22  ana  orders-db-repair  prod/eu/db/orders/primary  15m       pending  in 28m

        ID        WHO  ASKS FOR                                             STATE    OPEN UNTIL
        ee55ff66  ana  role db-engineer for ana until 2027-05-21 22:00:00Z  pending  in 6d 23h

        ID        WHO   PROPOSES    STATE    OPEN UNTIL
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
