//! `recertify`: campaigns in which the manager of each holder of a role confirms the membership, or it ends.

use clap::{Args, Subcommand};

use super::account::{self, EndMembershipArguments};
use crate::cli::connect::change::ChangeArguments;
use crate::cli::connect::session::{Session, all_pages};
use crate::cli::show::membership::origin_text;
use crate::cli::term::failure::{Exit, Failure, Ran};
use crate::cli::term::json;
use crate::cli::term::table::{card, rows};
use crate::cli::term::text::{clock_text, ending, instant, relative, time_field, when};
use crate::cli::term::values;
use crate::domain::value::time::Timestamp;
use crate::wire::v1::{
    ConfirmMembershipRequest, GetRecertificationRequest, ListRecertificationsRequest, Recertification,
    RecertificationItem, RecertificationOutcome, StartRecertificationRequest,
};

/// `recertify …`.
#[derive(Debug, Clone, Subcommand)]
pub enum RecertifyCommand {
    /// Begin a campaign over everybody who holds a role
    Start(StartArguments),
    /// The campaigns that you may see
    #[command(visible_alias = "ls")]
    List(ListArguments),
    /// One campaign: who holds the role, since when, by whose approval
    Show(ShowArguments),
    /// Confirm that somebody still needs the role
    Confirm(ConfirmArguments),
    /// End somebody's membership now, not at the campaign's date
    End(EndArguments),
}

/// `recertify start`.
#[derive(Debug, Clone, Args)]
pub struct StartArguments {
    /// The role
    pub role: String,
    /// What is not confirmed by then ends: a date (its end in UTC) or an instant
    #[arg(long, value_parser = values::moment, value_name = "TIME")]
    pub due: Timestamp,
    /// How it is sent.
    #[command(flatten)]
    pub change: ChangeArguments,
}

/// `recertify list`.
#[derive(Debug, Clone, Args)]
pub struct ListArguments {
    /// Only those over this role
    #[arg(long, value_name = "ROLE")]
    pub role: Option<String>,
    /// Those that are over as well
    #[arg(long)]
    pub all: bool,
}

/// `recertify show`.
#[derive(Debug, Clone, Args)]
pub struct ShowArguments {
    /// The campaign, or a unique ending of its id
    pub campaign: String,
}

/// `recertify confirm`.
#[derive(Debug, Clone, Args)]
pub struct ConfirmArguments {
    /// The campaign, or a unique ending of its id
    pub campaign: String,
    /// The account that still needs the role. One at a time
    pub account: String,
    /// How it is sent.
    #[command(flatten)]
    pub change: ChangeArguments,
}

/// `recertify end`.
#[derive(Debug, Clone, Args)]
pub struct EndArguments {
    /// The campaign, or a unique ending of its id
    pub campaign: String,
    /// The account that no longer needs the role
    pub account: String,
    /// Why, for the record
    #[arg(long, short, value_name = "TEXT")]
    pub reason: String,
    /// How it is sent.
    #[command(flatten)]
    pub change: ChangeArguments,
}

/// Runs `recertify …`.
///
/// # Errors
/// If the broker refuses.
pub async fn run(session: &mut Session<'_>, command: RecertifyCommand) -> Ran {
    match command {
        RecertifyCommand::Start(arguments) => start(session, arguments).await,
        RecertifyCommand::List(arguments) => list(session, arguments).await,
        RecertifyCommand::Show(arguments) => show(session, arguments).await,
        RecertifyCommand::Confirm(arguments) => confirm(session, arguments).await,
        RecertifyCommand::End(arguments) => end(session, arguments).await,
    }
}

async fn start(session: &mut Session<'_>, arguments: StartArguments) -> Ran {
    let change = arguments.change;
    let request = StartRecertificationRequest {
        request_id: change.id(),
        role: arguments.role,
        due_time: Some(time_field(arguments.due)),
        validate_only: change.dry_run,
    };
    let answer = session.client.start_recertification(request.clone()).await;
    let answer = change.answered(session, answer, &request.request_id)?;
    let campaign = answer.recertification.clone().unwrap_or_default();
    let done = format!(
        "campaign {} is open until {}: each manager confirms by `countersign recertify confirm {} ACCOUNT`, or it ends",
        campaign.id,
        clock_text(arguments.due),
        ending(&campaign.id)
    );
    change.show_effects(session, answer.effects.as_ref(), || json::of(&answer), &done)
}

async fn list(session: &mut Session<'_>, arguments: ListArguments) -> Ran {
    let request = ListRecertificationsRequest {
        role: arguments.role.unwrap_or_default(),
        open_only: !arguments.all,
        ..Default::default()
    };
    let campaigns = all_pages!(session.client, list_recertifications, request, recertifications);
    let now = session.now;
    let row = |campaign: &Recertification| campaign_row(campaign, now);
    session
        .output
        .data(|width| rows(width, &CAMPAIGN_HEADING, campaigns.iter().map(row).collect()), || json::list(&campaigns))?;
    if campaigns.is_empty() && !session.output.is_json() {
        session.output.note("no campaigns that you may see");
    }
    Ok(Exit::Yes)
}

async fn show(session: &mut Session<'_>, arguments: ShowArguments) -> Ran {
    let campaign = get(session, arguments.campaign).await?;
    let now = session.now;
    session.output.data(|width| campaign_page(width, &campaign, now), || json::of(&campaign))?;
    Ok(Exit::Yes)
}

async fn confirm(session: &mut Session<'_>, arguments: ConfirmArguments) -> Ran {
    let campaign = get(session, arguments.campaign).await?;
    let change = arguments.change;
    let request = ConfirmMembershipRequest {
        request_id: change.id(),
        // An ending may become ambiguous, so a change names the whole id.
        recertification_id: campaign.id,
        account: arguments.account,
        validate_only: change.dry_run,
    };
    let answer = session.client.confirm_membership(request.clone()).await;
    let answer = change.answered(session, answer, &request.request_id)?;
    if change.dry_run {
        session.output.data(|_| "takes away nothing\n".to_owned(), || json::of(&answer))?;
        session.output.note("it would be confirmed");
        return Ok(Exit::Yes);
    }
    let campaign = answer.recertification.clone().unwrap_or_default();
    let text = |_| format!("{} keeps {}; {}\n", request.account, campaign.role, left(&campaign));
    session.output.data(text, || json::of(&answer))?;
    Ok(Exit::Yes)
}

async fn end(session: &mut Session<'_>, arguments: EndArguments) -> Ran {
    let campaign = get(session, arguments.campaign).await?;
    let is_listed = campaign.items.iter().any(|item| item.account == arguments.account);
    // If the campaign is not listed whole, the broker says whether the account is in it.
    if !is_listed && campaign.omitted_item_count == 0 {
        let text = format!("`{}` is not in campaign {} that you may see", arguments.account, ending(&campaign.id));
        return Err(Failure::NotFound(text));
    }
    let (account, role) = (arguments.account, campaign.role);
    let arguments = EndMembershipArguments { account, role, reason: arguments.reason, change: arguments.change };
    account::end_membership(session, arguments).await
}

async fn get(session: &Session<'_>, recertification_id: String) -> Result<Recertification, Failure> {
    let answer = session.client.get_recertification(GetRecertificationRequest { recertification_id }).await?;
    Ok(answer.recertification.unwrap_or_default())
}

/// How many holders are still to be decided about.
fn open(campaign: &Recertification) -> usize {
    campaign.items.iter().filter(|item| item.outcome() == RecertificationOutcome::Unspecified).count()
}

fn left(campaign: &Recertification) -> String {
    match open(campaign) {
        0 => "all of those that you may see are decided".to_owned(),
        1 => "1 is still to be decided".to_owned(),
        count => format!("{count} are still to be decided"),
    }
}

const CAMPAIGN_HEADING: [&str; 5] = ["id", "role", "begun by", "due", "to decide"];

fn campaign_row(campaign: &Recertification, now: Timestamp) -> Vec<String> {
    let due = if campaign.close_time.is_some() { "over".to_owned() } else { when(campaign.due_time.as_ref(), now) };
    let more = if campaign.omitted_item_count == 0 { "" } else { " and more" };
    let decided = format!("{} of {}{more}", open(campaign), campaign.items.len());
    vec![ending(&campaign.id), campaign.role.clone(), campaign.starter.clone(), due, decided]
}

const ITEM_HEADING: [&str; 6] = ["account", "person", "held", "last used", "ends by itself", "outcome"];

fn campaign_page(width: u16, campaign: &Recertification, now: Timestamp) -> String {
    let lines = [
        ("role", campaign.role.clone()),
        ("begun", format!("{}, by {}", when(campaign.create_time.as_ref(), now), campaign.starter)),
        ("due", when(campaign.due_time.as_ref(), now)),
        ("over", when(campaign.close_time.as_ref(), now)),
        ("id", campaign.id.clone()),
    ];
    let items = rows(width, &ITEM_HEADING, campaign.items.iter().map(|item| item_row(item, now)).collect());
    let more = match campaign.omitted_item_count {
        0 => String::new(),
        count => format!("and {count} more\n"),
    };
    format!("{}\n{items}{more}", card(width, &lines))
}

fn item_row(item: &RecertificationItem, now: Timestamp) -> Vec<String> {
    let ago = |time: Option<&prost_types::Timestamp>| time.and_then(instant).map(|at| relative(at, now));
    let at = ago(item.outcome_time.as_ref()).map(|at| format!(", {at}")).unwrap_or_default();
    let outcome = match item.outcome() {
        RecertificationOutcome::Unspecified => "to decide".to_owned(),
        RecertificationOutcome::Confirmed => format!("confirmed by {}{at}", item.confirmer),
        RecertificationOutcome::Ended => format!("ended{at}"),
    };
    vec![
        item.account.clone(),
        item.person.clone(),
        origin_text(item),
        ago(item.last_grant_time.as_ref()).unwrap_or_else(|| "no use known".to_owned()),
        ago(item.end_time.as_ref()).unwrap_or_else(|| "never".to_owned()),
        outcome,
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::show::sample;

    fn campaign() -> Recertification {
        let item = |account: &str| RecertificationItem {
            account: account.into(),
            person: account.into(),
            ..Default::default()
        };
        Recertification {
            id: sample::ENROLMENT_ID.into(),
            role: "db-engineer".into(),
            starter: "account:ines".into(),
            create_time: Some(sample::at(-86_400)),
            due_time: Some(sample::at(86_400)),
            close_time: None,
            items: vec![
                RecertificationItem {
                    since_time: Some(sample::at(-864_000)),
                    enrolment_id: sample::ENROLMENT_ID.into(),
                    approved_by: vec!["ines".into()],
                    last_grant_id: sample::GRANT_ID.into(),
                    last_grant_time: Some(sample::at(-172_800)),
                    end_time: Some(sample::at(8_640_000)),
                    ..item("ana")
                },
                RecertificationItem {
                    outcome: RecertificationOutcome::Confirmed.into(),
                    outcome_time: Some(sample::at(-3_600)),
                    confirmer: "account:omar".into(),
                    ..item("ben")
                },
                RecertificationItem {
                    outcome: RecertificationOutcome::Ended.into(),
                    outcome_time: Some(sample::at(-60)),
                    ..item("eva")
                },
            ],
            omitted_item_count: 0,
        }
    }

    #[test]
    fn a_campaign_shows_what_a_manager_has_to_judge() {
        insta::assert_snapshot!(campaign_page(160, &campaign(), sample::moment()), @r#"
        role   db-engineer
        begun  2026-11-21 22:00:00Z (1d ago), by account:ines
        due    2026-11-23 22:00:00Z (in 1d)
        id     019380a1-0000-7000-8000-0000ee55ff66

        ACCOUNT  PERSON  HELD                                              LAST USED     ENDS BY ITSELF  OUTCOME
        ana      ana     since 2026-11-12 22:00:00Z, approved by ines      2d ago        in 100d         to decide
        ben      ben     since before the broker, by the directory's file  no use known  never           confirmed by account:omar, 1h ago
        eva      eva     since before the broker, by the directory's file  no use known  never           ended, 1m ago
        "#);
        let narrow = campaign_page(40, &campaign(), sample::moment());
        assert!(narrow.lines().all(|line| line.chars().count() <= 40), "{narrow}");
    }

    #[test]
    fn a_list_of_campaigns_shows_how_much_is_left() {
        let table =
            |campaign: Recertification| rows(120, &CAMPAIGN_HEADING, vec![campaign_row(&campaign, sample::moment())]);
        insta::assert_snapshot!(table(campaign()), @r#"
        ID        ROLE         BEGUN BY      DUE                           TO DECIDE
        ee55ff66  db-engineer  account:ines  2026-11-23 22:00:00Z (in 1d)  1 of 3
        "#);
        let over = Recertification { close_time: Some(sample::at(-60)), ..campaign() };
        insta::assert_snapshot!(table(over), @r#"
        ID        ROLE         BEGUN BY      DUE   TO DECIDE
        ee55ff66  db-engineer  account:ines  over  1 of 3
        "#);
        assert_eq!(left(&campaign()), "1 is still to be decided");
    }
}
