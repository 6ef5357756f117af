//! `request` and `extend`: asking, with what was left out filled in from the offer and shown before it is sent.

use clap::Args;

use super::wait::{self, WaitArguments};
use crate::cli::connect::session::Session;
use crate::cli::show::entitlement_card::obstacle_lines;
use crate::cli::term::failure::{Exit, Failure, Ran};
use crate::cli::term::json;
use crate::cli::term::table::card;
use crate::cli::term::text::{clock_text, duration_field, ending, rough, time_field};
use crate::cli::term::values;
use crate::domain::value::scope::Pattern;
use crate::domain::value::time::{Span, Timestamp};
use crate::wire::v1::{
    GetGrantRequest, ListEntitlementsRequest, RequestElevationRequest, RequestElevationResponse, Scope,
};

/// `request`.
#[derive(Debug, Clone, Args)]
pub struct RequestArguments {
    /// The entitlement: `countersign entitlements` lists them
    pub entitlement: String,
    /// The resources; left out, those that the entitlement offers, if it offers concrete ones
    #[arg(value_parser = values::requested, value_name = "RESOURCE")]
    pub resources: Vec<String>,
    /// The actions; left out, all that the entitlement offers
    #[arg(long = "action", short = 'a', value_parser = values::action, value_name = "ACTION")]
    pub actions: Vec<String>,
    /// The person, for a machine that asks for people
    #[arg(long, value_name = "PERSON")]
    pub on_behalf_of: Option<String>,
    /// From when, not from the last approval
    #[arg(long, value_parser = values::time, value_name = "TIME")]
    pub start: Option<Timestamp>,
    /// By the emergency way: other approvers, a shorter time, and a follow-up by the ordinary approvers
    #[arg(long, conflicts_with = "start", requires = "reason")]
    pub emergency: bool,
    /// What is asked, and for how long.
    #[command(flatten)]
    pub details: RequestDetails,
}

/// `extend`.
#[derive(Debug, Clone, Args)]
pub struct ExtendArguments {
    /// The grant, or a unique ending of its id
    pub grant: String,
    /// What is asked, and for how long.
    #[command(flatten)]
    pub details: RequestDetails,
}

/// What `request` and `extend` share.
#[derive(Debug, Clone, Args)]
pub struct RequestDetails {
    /// How long: 15m; left out, what the entitlement usually gives
    #[arg(long = "for", visible_alias = "duration", value_parser = values::span, value_name = "DURATION")]
    pub duration: Option<Span>,
    /// Why, for those who must approve
    #[arg(long, short, value_name = "TEXT")]
    pub reason: Option<String>,
    /// The ticket that this belongs to
    #[arg(long, short, value_name = "TICKET")]
    pub ticket: Option<String>,
    /// Change nothing; show all that stands in the way
    #[arg(long, conflicts_with_all = ["wait", "hold"])]
    pub dry_run: bool,
    /// The id of this call: the same one is the same request
    #[arg(long, value_parser = values::request_id, value_name = "UUID")]
    pub request_id: Option<String>,
    /// Whether to wait.
    #[command(flatten)]
    pub wait: WaitArguments,
}

/// Runs `request`.
///
/// # Errors
/// If the broker refuses, or what is left out cannot be filled in.
pub async fn request(session: &mut Session<'_>, arguments: RequestArguments) -> Ran {
    let mut message = RequestElevationRequest {
        entitlement: arguments.entitlement,
        actions: arguments.actions,
        resources: arguments.resources,
        start_time: arguments.start.map(time_field),
        on_behalf_of: arguments.on_behalf_of.unwrap_or_default(),
        emergency: arguments.emergency,
        ..Default::default()
    };
    if message.actions.is_empty() || message.resources.is_empty() {
        let offered = offered_scope(session, &message).await?;
        fill_in(&mut message, offered)?;
    }
    send(session, message, arguments.details).await
}

/// Runs `extend`: a new request, the whole way, that names the grant.
///
/// # Errors
/// If there is no such grant, or the broker refuses.
pub async fn extend(session: &mut Session<'_>, arguments: ExtendArguments) -> Ran {
    let found = session.client.get_grant(GetGrantRequest { grant_id: arguments.grant }).await?;
    let grant = found.grant.unwrap_or_default();
    let message = RequestElevationRequest {
        entitlement: grant.entitlement,
        actions: grant.actions,
        resources: grant.resources,
        on_behalf_of: grant.on_behalf_of,
        extends_grant_id: grant.id,
        ..Default::default()
    };
    send(session, message, arguments.details).await
}

async fn send(session: &mut Session<'_>, message: RequestElevationRequest, details: RequestDetails) -> Ran {
    let message = RequestElevationRequest {
        request_id: Session::request_id(details.request_id.as_ref()),
        duration: details.duration.map(duration_field),
        justification: details.reason.unwrap_or_default(),
        ticket: details.ticket.unwrap_or_default(),
        validate_only: details.dry_run,
        ..message
    };
    session.output.note(&asking(&message, details.duration));
    let answer = match session.client.request_elevation(message.clone()).await {
        Ok(answer) => answer,
        Err(error) => return Err(session.failed(error, &message.request_id)),
    };
    if details.dry_run {
        return dry_run(session, &answer);
    }
    let elevation = answer.elevation.unwrap_or_default();
    if details.wait.waits() {
        session.output.note(&format!("request {} is pending", elevation.id));
        return wait::until_decided(session, &elevation, answer.sequence, &details.wait).await;
    }
    let text = |_| format!("{}\n", elevation.id);
    session.output.data(text, || json::of(&elevation))?;
    let next = format!("it is pending; `countersign show {}` says where it stands", ending(&elevation.id));
    session.output.note(&next);
    Ok(Exit::Yes)
}

fn dry_run(session: &mut Session<'_>, answer: &RequestElevationResponse) -> Ran {
    let obstacles = &answer.obstacles;
    session.output.data(|width| card(width, &obstacle_lines(obstacles)), || json::of(answer))?;
    if obstacles.is_empty() {
        session.output.note("it would be accepted, and wait for its approval");
        return Ok(Exit::Yes);
    }
    Ok(Exit::Denied)
}

fn asking(message: &RequestElevationRequest, duration: Option<Span>) -> String {
    let length = duration.map_or_else(String::new, |span| format!(" for {}", rough(span)));
    let start = message.start_time.as_ref().and_then(crate::cli::term::text::instant);
    let start = start.map_or_else(String::new, |at| format!(" from {}", clock_text(at)));
    let (actions, resources) = (message.actions.join(" "), message.resources.join(" "));
    let emergency = if message.emergency { " in an emergency" } else { "" };
    format!("asking for {actions} on {resources}{length}{start}{emergency}, as `{}`", message.entitlement)
}

async fn offered_scope(session: &Session<'_>, message: &RequestElevationRequest) -> Result<Scope, Failure> {
    let request = ListEntitlementsRequest {
        entitlement: message.entitlement.clone(),
        on_behalf_of: message.on_behalf_of.clone(),
        ..Default::default()
    };
    let answer = session.client.list_entitlements(request).await?;
    let offer = answer.offers.into_iter().find_map(|offer| offer.entitlement);
    offer
        .filter(|entitlement| entitlement.name == message.entitlement)
        .and_then(|entitlement| entitlement.scope)
        .ok_or_else(|| {
            let text = format!(
                "there is no entitlement `{}` that you may see; `countersign entitlements` lists them",
                message.entitlement
            );
            Failure::Usage(text)
        })
}

/// Takes what was left out from the offer. Nobody asks for `*`: what has one must be named.
fn fill_in(message: &mut RequestElevationRequest, offered: Scope) -> Result<(), Failure> {
    if message.actions.is_empty() {
        message.actions = offered.actions;
    }
    if message.resources.is_empty() {
        let open = offered.resources.iter().filter(|pattern| Pattern::parse_requested(pattern).is_err());
        let open: Vec<_> = open.map(|pattern| format!("`{pattern}`")).collect();
        if !open.is_empty() {
            let text = format!(
                "`{}` offers {}: name the resources within it that you need",
                message.entitlement,
                open.join(", ")
            );
            return Err(Failure::Usage(text));
        }
        message.resources = offered.resources;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn offered(resources: &[&str]) -> Scope {
        Scope {
            actions: vec!["db.read".into(), "db.write".into()],
            resources: resources.iter().map(|&resource| resource.into()).collect(),
        }
    }

    #[test]
    fn what_is_left_out_is_filled_in_where_it_is_concrete() {
        let mut message = RequestElevationRequest { entitlement: "repair".into(), ..Default::default() };
        fill_in(&mut message, offered(&["prod/db/orders", "prod/db/orders/**"])).unwrap();
        assert_eq!(message.resources, ["prod/db/orders", "prod/db/orders/**"]);
        let span = Span::parse("15m").unwrap();
        insta::assert_snapshot!(asking(&message, Some(span)), @r#"asking for db.read db.write on prod/db/orders prod/db/orders/** for 15m, as `repair`"#);
    }

    #[test]
    fn what_has_a_wildcard_must_be_named() {
        let mut message = RequestElevationRequest { entitlement: "repair".into(), ..Default::default() };
        let failure = fill_in(&mut message, offered(&["prod/db/a", "prod/*/db/**"])).unwrap_err();
        assert_eq!(failure.exit_code(), 2);
        insta::assert_snapshot!(failure.lines().join("\n"), @r#"error: `repair` offers `prod/*/db/**`: name the resources within it that you need"#);
        assert!(message.resources.is_empty());
    }

    #[test]
    fn what_is_given_is_never_widened() {
        let mut message = RequestElevationRequest {
            actions: vec!["db.read".into()],
            resources: vec!["prod/eu/db/a".into()],
            ..Default::default()
        };
        fill_in(&mut message, offered(&["prod/*/db/**"])).unwrap();
        assert_eq!((message.actions, message.resources), (vec!["db.read".to_owned()], vec!["prod/eu/db/a".to_owned()]));
    }
}
