//! `entitlements`: what an account may ask for, and on what terms.

use crate::cli::connect::session::{Session, all_pages};
use crate::cli::show::entitlement_card::{entitlement_lines, obstacle_lines};
use crate::cli::term::failure::{Exit, Ran};
use crate::cli::term::json;
use crate::cli::term::table::{card, rows};
use crate::cli::term::text::{span, word};
use crate::wire::v1::{EntitlementOffer, ListEntitlementsRequest};
use clap::Args;

/// `entitlements`.
#[derive(Debug, Clone, Args)]
pub struct EntitlementsArguments {
    /// Only this one, with its terms
    pub entitlement: Option<String>,
    /// For a machine that asks for people: the person
    #[arg(long, value_name = "PERSON")]
    pub on_behalf_of: Option<String>,
}

/// Runs `entitlements`.
///
/// # Errors
/// If the broker cannot be asked.
pub async fn entitlements(session: &mut Session<'_>, arguments: EntitlementsArguments) -> Ran {
    let one = arguments.entitlement.is_some();
    let request = ListEntitlementsRequest {
        entitlement: arguments.entitlement.unwrap_or_default(),
        on_behalf_of: arguments.on_behalf_of.unwrap_or_default(),
        ..Default::default()
    };
    let offers = all_pages!(session.client, list_entitlements, request, offers);
    let text = |width| match offers.as_slice() {
        [offer] if one => offer_card(width, offer),
        offers => rows(width, &OFFER_HEADING, offers.iter().map(offer_row).collect()),
    };
    session.output.data(text, || json::list(&offers))?;
    if offers.is_empty() && !session.output.is_json() {
        session.output.note("nothing is offered to this account; `countersign whoami` says why");
    }
    Ok(Exit::Yes)
}

const OFFER_HEADING: [&str; 4] = ["entitlement", "title", "longest", "you"];

fn offer_row(offer: &EntitlementOffer) -> Vec<String> {
    let entitlement = offer.entitlement.clone().unwrap_or_default();
    let you = match (offer.obstacles.as_slice(), offer.can_review) {
        ([], false) => "may ask".to_owned(),
        ([], true) => "may ask or review".to_owned(),
        (_, true) => "may review".to_owned(),
        ([first, ..], false) => word(&first.reason, ""),
    };
    let longest = entitlement.max_duration.as_ref().and_then(span).map(|span| span.to_string()).unwrap_or_default();
    vec![entitlement.name, entitlement.title, longest, you]
}

fn offer_card(width: u16, offer: &EntitlementOffer) -> String {
    let mut lines = entitlement_lines(&offer.entitlement.clone().unwrap_or_default());
    lines.extend(obstacle_lines(&offer.obstacles));
    if offer.obstacles.is_empty() {
        lines.push(("you", "may ask for it now".to_owned()));
    }
    if offer.can_review {
        lines.push(("you", "are in a role that may review it".to_owned()));
    }
    card(width, &lines)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::v1::{ApprovalStage, Entitlement, Obstacle, Scope};

    fn obstacle() -> Obstacle {
        Obstacle {
            reason: "REQUIREMENT_LAPSED".into(),
            text: "an attestation has lapsed: `annual-training`".into(),
            remedy: "renew what is named, then ask again".into(),
            ..Default::default()
        }
    }

    #[test]
    fn an_offer_says_whether_one_may_ask() {
        let entitlement = Entitlement {
            name: "orders-db-repair".into(),
            title: "Repair the orders database".into(),
            scope: Some(Scope { actions: vec!["db.read".into()], resources: vec!["prod/*/db/orders/**".into()] }),
            requestable_by: vec!["db-engineer".into()],
            max_duration: Some(prost_types::Duration { seconds: 3_600, nanos: 0 }),
            justification_min_length: 10,
            approval: vec![ApprovalStage { by: vec!["incident-commander".into()], count: 1 }],
            ..Default::default()
        };
        let free = EntitlementOffer { entitlement: Some(entitlement.clone()), ..Default::default() };
        let barred = EntitlementOffer { obstacles: vec![obstacle()], ..free.clone() };
        let reviewer = EntitlementOffer { can_review: true, ..barred.clone() };
        let table = rows(100, &OFFER_HEADING, [&free, &barred, &reviewer].map(offer_row).to_vec());
        insta::assert_snapshot!(table, @r#"
        ENTITLEMENT       TITLE                       LONGEST  YOU
        orders-db-repair  Repair the orders database  1h       may ask
        orders-db-repair  Repair the orders database  1h       requirement lapsed
        orders-db-repair  Repair the orders database  1h       may review
        "#);
        insta::assert_snapshot!(offer_card(40, &barred), @r#"
        name      orders-db-repair
        title     Repair the orders database
        what      db.read
        where     prod/*/db/orders/**
        asked by  db-engineer
        longest   1h
        why       at least 10 characters
        approval  1. 1 of incident-commander
        obstacle  REQUIREMENT_LAPSED: an
                  attestation has lapsed:
                  `annual-training`
        remedy    renew what is named, then
                  ask again
        "#);
    }
}
