//! `inbox`, `show`, `approve`, `deny`, `withdraw`. An approval is of one request, of what was shown, and typed by hand or
//! bound to a digest: there is no `--yes` (THREATS A16).

use clap::{Args, ValueEnum};

use super::approval::ApprovalText;
use super::elevation_card::{ELEVATION_HEADING, elevation_card, elevation_row, state_word};
use super::failure::{Exit, Failure, Ran};
use super::json;
use super::session::{Session, all_pages};
use super::table::rows;
use super::text::{ending, instant, relative};
use super::values;
use crate::domain::ids::Digest;
use crate::wire::v1::{
    ApproveElevationRequest, ApproveElevationResponse, DenyElevationRequest, Elevation, ElevationRelation,
    ElevationState, GetElevationRequest, GetElevationResponse, ListElevationsRequest, WithdrawElevationRequest,
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
    /// The request, or a unique ending of its id
    pub elevation: String,
}

/// `approve`.
#[derive(Debug, Clone, Args)]
pub struct ApproveArguments {
    /// The request, or a unique ending of its id. One at a time
    pub elevation: String,
    /// SHA-256 of the text that was read, as `show` prints it; without a terminal there is no other way
    #[arg(long, value_parser = values::digest, value_name = "SHA256")]
    pub digest: Option<Digest>,
    /// A word for the record
    #[arg(long, short = 'm', value_name = "TEXT")]
    pub comment: Option<String>,
    /// The id of this call: the same one is the same approval
    #[arg(long, value_parser = values::request_id, value_name = "UUID")]
    pub request_id: Option<String>,
}

/// `deny`.
#[derive(Debug, Clone, Args)]
pub struct DenyArguments {
    /// The request, or a unique ending of its id
    pub elevation: String,
    /// Why, for the requester to read
    #[arg(long, short, value_name = "TEXT")]
    pub reason: String,
    /// The id of this call: the same one is the same denial
    #[arg(long, value_parser = values::request_id, value_name = "UUID")]
    pub request_id: Option<String>,
}

/// `withdraw`.
#[derive(Debug, Clone, Args)]
pub struct WithdrawArguments {
    /// Your request, or a unique ending of its id
    pub elevation: String,
    /// The id of this call: the same one is the same withdrawal
    #[arg(long, value_parser = values::request_id, value_name = "UUID")]
    pub request_id: Option<String>,
}

/// Runs `inbox`.
///
/// # Errors
/// If the broker cannot be asked.
pub async fn inbox(session: &mut Session<'_>, arguments: &InboxArguments) -> Ran {
    let relation = match arguments.of {
        Relation::Review => ElevationRelation::CanReview,
        Relation::Mine => ElevationRelation::Requested,
        Relation::Reviewed => ElevationRelation::Reviewed,
        Relation::Visible => ElevationRelation::Visible,
    };
    let closed_too = arguments.all || arguments.of == Relation::Reviewed;
    let states = if closed_too { Vec::new() } else { vec![ElevationState::Pending.into()] };
    let request = ListElevationsRequest { relation: relation.into(), states, ..Default::default() };
    let elevations = all_pages!(session.client, list_elevations, request, elevations);
    let now = session.now;
    let row = |elevation: &Elevation| elevation_row(elevation, now);
    let text = |width| rows(width, &ELEVATION_HEADING, elevations.iter().map(row).collect());
    session.output.data(text, || json::list(&elevations))?;
    if elevations.is_empty() && !session.output.is_json() {
        session.output.note("nothing waits here");
    }
    Ok(Exit::Yes)
}

/// Runs `show`.
///
/// # Errors
/// If there is no such request, or it cannot be shown whole.
pub async fn show(session: &mut Session<'_>, arguments: ShowArguments) -> Ran {
    let found = session.client.get_elevation(GetElevationRequest { elevation_id: arguments.elevation }).await?;
    let page = page(session, &found, session.output.width())?;
    session.output.data(|_| page, || shown_json(&found))?;
    Ok(Exit::Yes)
}

/// The answer, with the digest that this client computed: the one that `approve --digest` wants.
fn shown_json(found: &GetElevationResponse) -> serde_json::Value {
    let mut value = json::of(found);
    let review = found.elevation.clone().unwrap_or_default().review.unwrap_or_default();
    let digest = Digest::of(review.approval_text.as_bytes()).to_string();
    if let Some(object) = value.as_object_mut() {
        object.insert("approval_digest".to_owned(), digest.into());
    }
    value
}

/// Runs `approve`.
///
/// # Errors
/// If it is not confirmed, or the broker refuses.
pub async fn approve(session: &mut Session<'_>, arguments: ApproveArguments) -> Ran {
    let found = session.client.get_elevation(GetElevationRequest { elevation_id: arguments.elevation }).await?;
    let elevation = found.elevation.clone().unwrap_or_default();
    let text = ApprovalText::read(&elevation.review.clone().unwrap_or_default());
    let text = text.map_err(|error| Failure::Failed(error.to_string()))?;
    if text.value("id") != elevation.id {
        let failure = "the text to approve is of another request than was asked for; nothing was approved";
        return Err(Failure::Failed(failure.to_owned()));
    }
    let digest = match arguments.digest {
        // The broker compares it, so that another text has one reason on every surface, and is on record.
        Some(digest) => digest,
        None => {
            confirm(session, &found)?;
            text.digest()
        }
    };
    let request = ApproveElevationRequest {
        request_id: Session::request_id(arguments.request_id.as_ref()),
        elevation_id: elevation.id,
        approval_digest: digest.bytes().to_vec(),
        comment: arguments.comment.unwrap_or_default(),
    };
    let answer = match session.client.approve_elevation(request.clone()).await {
        Ok(answer) => answer,
        Err(error) => return Err(session.failed(error, &request.request_id)),
    };
    let now = session.now;
    session.output.data(|_| approved(&answer, now), || json::of(&answer))?;
    Ok(Exit::Yes)
}

/// Runs `deny`.
///
/// # Errors
/// If the broker refuses.
pub async fn deny(session: &mut Session<'_>, arguments: DenyArguments) -> Ran {
    let request = DenyElevationRequest {
        request_id: Session::request_id(arguments.request_id.as_ref()),
        elevation_id: whole_id(session, arguments.elevation).await?,
        reason: arguments.reason,
    };
    match session.client.deny_elevation(request.clone()).await {
        Ok(answer) => closed(session, &answer.elevation.unwrap_or_default()),
        Err(error) => Err(session.failed(error, &request.request_id)),
    }
}

/// Runs `withdraw`.
///
/// # Errors
/// If the broker refuses.
pub async fn withdraw(session: &mut Session<'_>, arguments: WithdrawArguments) -> Ran {
    let request = WithdrawElevationRequest {
        request_id: Session::request_id(arguments.request_id.as_ref()),
        elevation_id: whole_id(session, arguments.elevation).await?,
    };
    match session.client.withdraw_elevation(request.clone()).await {
        Ok(answer) => closed(session, &answer.elevation.unwrap_or_default()),
        Err(error) => Err(session.failed(error, &request.request_id)),
    }
}

/// An ending names one thing only as long as no other ends so: what changes something names it whole.
async fn whole_id(session: &Session<'_>, elevation_id: String) -> Result<String, Failure> {
    let found = session.client.get_elevation(GetElevationRequest { elevation_id }).await?;
    Ok(found.elevation.unwrap_or_default().id)
}

fn page(session: &Session<'_>, found: &GetElevationResponse, width: u16) -> Result<String, Failure> {
    let elevation = found.elevation.clone().unwrap_or_default();
    elevation_card(width, &elevation, found.context.as_ref(), session.now)
        .map_err(|error| Failure::Failed(error.to_string()))
}

/// Shows what is to be approved, and has the approver type the end of its id: a `yes` comes too easily.
fn confirm(session: &mut Session<'_>, found: &GetElevationResponse) -> Result<(), Failure> {
    if !session.output.can_ask() {
        let text = "there is no terminal to ask at: add `--digest`, as `countersign show` prints it";
        return Err(Failure::Usage(text.to_owned()));
    }
    let page = page(session, found, session.output.width())?;
    session.output.note(&page);
    let id = found.elevation.clone().unwrap_or_default().id;
    let last: String = id.chars().skip(id.chars().count().saturating_sub(4)).collect();
    let answer = session.output.ask(&format!("to approve this, type the last four digits of its id ({last}):"))?;
    if answer.is_some_and(|answer| is_confirmed(&answer, &id)) {
        return Ok(());
    }
    Err(Failure::Declined("nothing was approved".to_owned()))
}

/// Whether what was typed is an ending of the id, of at least four digits.
fn is_confirmed(answer: &str, id: &str) -> bool {
    answer.len() >= 4 && !id.is_empty() && id.ends_with(answer)
}

fn approved(answer: &ApproveElevationResponse, now: crate::domain::time::Timestamp) -> String {
    match &answer.grant {
        Some(grant) => {
            let end = grant.end_time.as_ref().and_then(instant);
            let end = end.map(|end| format!(", which ends {}", relative(end, now))).unwrap_or_default();
            format!("approved: {} holds grant {}{end}\n", grant.holder_account, ending(&grant.id))
        }
        None => {
            let elevation = answer.elevation.clone().unwrap_or_default();
            let review = elevation.review.clone().unwrap_or_default();
            let stage = review.open_stage.checked_sub(1).and_then(|at| review.stages.get(usize::try_from(at).ok()?));
            let by = stage.map(|stage| stage.by.join(" or ")).unwrap_or_default();
            format!("approved: {} is still {}, for {by} to decide\n", ending(&elevation.id), state_word(&elevation))
        }
    }
}

fn closed(session: &mut Session<'_>, elevation: &Elevation) -> Ran {
    let text = |_| format!("{} is {}\n", ending(&elevation.id), state_word(elevation));
    session.output.data(text, || json::of(elevation))?;
    Ok(Exit::Yes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::sample;

    #[test]
    fn only_an_ending_of_the_id_confirms() {
        assert!(is_confirmed("bb22", sample::ELEVATION_ID) && is_confirmed("aa11bb22", sample::ELEVATION_ID));
        for answer in ["", "yes", "y", "b22", "bb2", "bb23", " bb22", "BB22"] {
            assert!(!is_confirmed(answer, sample::ELEVATION_ID), "{answer:?}");
        }
        assert!(!is_confirmed("", "") && !is_confirmed("yes!", ""));
    }

    #[test]
    fn an_approval_says_what_it_led_to() {
        let last = ApproveElevationResponse { grant: Some(sample::grant()), ..Default::default() };
        assert_eq!(approved(&last, sample::moment()), "approved: ana holds grant cc33dd44, which ends in 14m\n");
        let more = ApproveElevationResponse { elevation: Some(sample::elevation()), ..Default::default() };
        let text = approved(&more, sample::moment());
        assert_eq!(text, "approved: aa11bb22 is still pending, for incident-commander to decide\n");
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
