//! `whoami` and `entitlements`: what a person may ask for, and what stands in the way.

use clap::Args;

use super::failure::{Exit, Ran};
use super::json;
use super::membership::{ahead_text, membership_text, next_steps};
use super::session::{Session, all_pages};
use super::table::{card, rows};
use super::text::{ending, reason_text, span, when, word};
use crate::domain::value::time::Timestamp;
use crate::wire::v1::{
    ApprovalStage, EmploymentState, Entitlement, EntitlementOffer, ListEntitlementsRequest, Obstacle, Person,
    WhoAmIRequest, WhoAmIResponse,
};

/// `entitlements`.
#[derive(Debug, Clone, Args)]
pub struct EntitlementsArguments {
    /// Only this one, with its terms
    pub entitlement: Option<String>,
    /// For a machine that asks for people: the person
    #[arg(long, value_name = "PERSON")]
    pub on_behalf_of: Option<String>,
}

/// Runs `whoami`.
///
/// # Errors
/// If the broker cannot be asked.
pub async fn whoami(session: &mut Session<'_>) -> Ran {
    let answer = session.client.who_am_i(WhoAmIRequest {}).await?;
    let now = session.now;
    session.output.data(|width| whoami_card(width, &answer, now), || json::of(&answer))?;
    Ok(Exit::Yes)
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

/// Obstacles as lines: what is in the way, and what would take it away.
#[must_use]
pub fn obstacle_lines(obstacles: &[Obstacle]) -> Vec<(&'static str, String)> {
    obstacles
        .iter()
        .flat_map(|obstacle| {
            let remedy = (!obstacle.remedy.is_empty()).then(|| ("remedy", obstacle.remedy.clone()));
            std::iter::once(("obstacle", format!("{}: {}", obstacle.reason, obstacle.text))).chain(remedy)
        })
        .collect()
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

/// An entitlement and its terms.
#[must_use]
pub fn entitlement_lines(entitlement: &Entitlement) -> Vec<(&'static str, String)> {
    let scope = entitlement.scope.clone().unwrap_or_default();
    let length = |duration: &Option<prost_types::Duration>| {
        duration.as_ref().and_then(span).map(|span| span.to_string()).unwrap_or_default()
    };
    let mut lines = vec![
        ("name", entitlement.name.clone()),
        ("title", entitlement.title.clone()),
        ("about", entitlement.description.clone()),
        ("what", scope.actions.join(" ")),
        ("where", scope.resources.join(" ")),
        ("asked by", entitlement.requestable_by.join(", ")),
        ("usually", length(&entitlement.default_duration)),
        ("longest", length(&entitlement.max_duration)),
        ("unbroken", length(&entitlement.max_continuous)),
        ("review in", length(&entitlement.review_within)),
        ("start in", length(&entitlement.start_within)),
    ];
    if entitlement.justification_min_length > 0 {
        lines.push(("why", format!("at least {} characters", entitlement.justification_min_length)));
    }
    lines.push(("ticket", entitlement.ticket.clone()));
    let stage =
        |(number, stage): (u32, &ApprovalStage)| format!("{number}. {} of {}", stage.count, stage.by.join(" or "));
    lines.extend((1..).zip(&entitlement.approval).map(stage).map(|text| ("approval", text)));
    if let Some(way) = &entitlement.emergency {
        lines.push(("emergency", format!("at most {}", length(&way.max_duration))));
        lines.extend((1..).zip(&way.approval).map(stage).map(|text| ("", text)));
        lines.push(("", format!("followed up within {}", length(&way.follow_up_within))));
    }
    lines
}

fn whoami_card(width: u16, answer: &WhoAmIResponse, now: Timestamp) -> String {
    let account = answer.account.clone();
    let person = answer.person.clone().unwrap_or_default();
    let mut lines = vec![("identity", answer.identity.clone())];
    match &account {
        None => lines.push(("account", "none".to_owned())),
        Some(account) => {
            let state = word(account.state().as_str_name(), "ACCOUNT_STATE_");
            let reason = reason_text(&account.state_reason);
            let state = if reason.is_empty() { state } else { format!("{state}: {reason}") };
            lines.push(("account", format!("{} ({state})", account.id)));
        }
    }
    lines.push(("person", person.id.clone()));
    lines.extend(standing_lines(&person, now));
    for membership in account.iter().flat_map(|account| &account.memberships) {
        lines.push(("role", membership_text(membership, now)));
    }
    lines.push(("may", answer.capabilities.join(", ")));
    for attestation in &person.attestations {
        let lapses = when(attestation.lapse_time.as_ref(), now);
        let lapses = if lapses.is_empty() { lapses } else { format!(", lapses {lapses}") };
        lines.push(("proved", format!("{}{lapses}", attestation.requirement)));
    }
    lines.extend(obstacle_lines(&answer.obstacles));
    if answer.obstacles.is_empty() && account.is_some() {
        lines.push(("eligible", "yes".to_owned()));
    }
    lines.extend(answer.lapses_ahead.iter().map(|ahead| ("soon over", ahead_text(ahead, now))));
    lines.extend(answer.pending_enrolments.iter().map(|id| ("pending", format!("enrolment {}", ending(id)))));
    lines.extend(what_next(answer).into_iter().map(|step| ("next", step)));
    lines.push(("certificate", format!("until {}", when(answer.certificate_end_time.as_ref(), now))));
    card(width, &lines)
}

/// Who the manager is, and what HR has announced.
#[must_use]
pub fn standing_lines(person: &Person, now: Timestamp) -> Vec<(&'static str, String)> {
    let manager = match person.awaits_manager {
        true => "none that HR knows: nothing can be kept until there is one".to_owned(),
        false => person.manager.clone(),
    };
    let mut lines = vec![("manager", manager)];
    if let Some(time) = &person.move_time {
        let to = if person.move_manager.is_empty() { "nobody known" } else { &person.move_manager };
        lines.push(("moves", format!("to {to}, {}", when(Some(time), now))));
    }
    lines.push(("leaves", when(person.employment_end_time.as_ref(), now)));
    lines
}

/// What the caller can do about how things stand.
fn what_next(answer: &WhoAmIResponse) -> Vec<String> {
    if let [first, ..] = answer.pending_enrolments.as_slice() {
        return vec![format!("`countersign show {}` says where it stands, and who decides", ending(first))];
    }
    match (&answer.account, &answer.person) {
        (Some(account), _) => next_steps(account),
        (None, Some(person)) if person.employment_state() == EmploymentState::Terminated => Vec::new(),
        (None, Some(person)) if !person.id.is_empty() => {
            vec![
                "`countersign enrol account` asks your manager for an account; with `--dry-run` it says what is missing"
                    .to_owned(),
            ]
        }
        (None, _) => {
            vec!["nobody here is known by this certificate: HR says who joins, and by what identity".to_owned()]
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::sample;
    use crate::wire::v1::{Account, AccountState, Attestation, LapseAhead, Membership, Scope};

    fn obstacle() -> Obstacle {
        Obstacle {
            reason: "REQUIREMENT_LAPSED".into(),
            text: "an attestation has lapsed: `annual-training`".into(),
            remedy: "renew what is named, then ask again".into(),
            ..Default::default()
        }
    }

    #[test]
    fn whoami_says_what_is_held_and_what_stands_in_the_way() {
        let answer = WhoAmIResponse {
            identity: "spiffe://northwind.example/person/ana".into(),
            account: Some(Account {
                id: "ana".into(),
                state: AccountState::Active.into(),
                memberships: vec![Membership {
                    role: "db-engineer".into(),
                    end_time: Some(sample::at(90_000)),
                    ..Default::default()
                }],
                ..Default::default()
            }),
            person: Some(Person {
                id: "ana".into(),
                manager: "ines".into(),
                attestations: vec![Attestation { requirement: "screening".into(), ..Default::default() }],
                ..Default::default()
            }),
            obstacles: vec![obstacle()],
            certificate_end_time: Some(sample::at(3_600)),
            ..Default::default()
        };
        insta::assert_snapshot!(whoami_card(40, &answer, sample::moment()), @r#"
        identity     spiffe://northwind.exampl
                     e/person/ana
        account      ana (active)
        person       ana
        manager      ines
        role         db-engineer, until
                     2026-11-23 23:00:00Z (in
                     1d 1h)
        proved       screening
        obstacle     REQUIREMENT_LAPSED: an
                     attestation has lapsed:
                     `annual-training`
        remedy       renew what is named, then
                     ask again
        certificate  until 2026-11-22
                     23:00:00Z (in 1h)
        "#);
        insta::assert_snapshot!(whoami_card(120, &answer, sample::moment()), @r#"
        identity     spiffe://northwind.example/person/ana
        account      ana (active)
        person       ana
        manager      ines
        role         db-engineer, until 2026-11-23 23:00:00Z (in 1d 1h)
        proved       screening
        obstacle     REQUIREMENT_LAPSED: an attestation has lapsed: `annual-training`
        remedy       renew what is named, then ask again
        certificate  until 2026-11-22 23:00:00Z (in 1h)
        "#);
    }

    #[test]
    fn who_has_no_account_sees_what_to_do_next() {
        // given a person whom HR knows
        let mut answer = WhoAmIResponse {
            identity: "spiffe://northwind.example/person/pia".into(),
            person: Some(Person { id: "pia".into(), manager: "ines".into(), ..Default::default() }),
            certificate_end_time: Some(sample::at(3_600)),
            ..Default::default()
        };
        insta::assert_snapshot!(whoami_card(80, &answer, sample::moment()), @r#"
        identity     spiffe://northwind.example/person/pia
        account      none
        person       pia
        manager      ines
        next         `countersign enrol account` asks your manager for an account;
                     with `--dry-run` it says what is missing
        certificate  until 2026-11-22 23:00:00Z (in 1h)
        "#);
        // given the same, who has asked already
        answer.pending_enrolments = vec![sample::ENROLMENT_ID.into()];
        insta::assert_snapshot!(whoami_card(80, &answer, sample::moment()), @r#"
        identity     spiffe://northwind.example/person/pia
        account      none
        person       pia
        manager      ines
        pending      enrolment ee55ff66
        next         `countersign show ee55ff66` says where it stands, and who decides
        certificate  until 2026-11-22 23:00:00Z (in 1h)
        "#);
        // given nobody
        let nobody = WhoAmIResponse { person: None, pending_enrolments: Vec::new(), ..answer };
        insta::assert_snapshot!(whoami_card(80, &nobody, sample::moment()), @r#"
        identity     spiffe://northwind.example/person/pia
        account      none
        next         nobody here is known by this certificate: HR says who joins, and
                     by what identity
        certificate  until 2026-11-22 23:00:00Z (in 1h)
        "#);
    }

    #[test]
    fn what_is_ahead_and_what_was_taken_is_told() {
        let answer = WhoAmIResponse {
            identity: "spiffe://northwind.example/person/ana".into(),
            account: Some(Account {
                id: "ana".into(),
                state: AccountState::Disabled.into(),
                disabled_by: "LAPSE".into(),
                memberships: vec![Membership {
                    role: "db-engineer".into(),
                    suspended_time: Some(sample::at(-3_600)),
                    cut_by_transfer: true,
                    ..Default::default()
                }],
                ..Default::default()
            }),
            person: Some(Person {
                id: "ana".into(),
                awaits_manager: true,
                move_time: Some(sample::at(86_400)),
                employment_end_time: Some(sample::at(172_800)),
                ..Default::default()
            }),
            lapses_ahead: vec![LapseAhead {
                kind: "REQUIREMENT".into(),
                name: "screening".into(),
                time: Some(sample::at(604_800)),
                days: 7,
                ..Default::default()
            }],
            certificate_end_time: Some(sample::at(3_600)),
            ..Default::default()
        };
        let page = whoami_card(40, &answer, sample::moment());
        assert!(page.lines().all(|line| line.chars().count() <= 40), "{page}");
        insta::assert_snapshot!(whoami_card(100, &answer, sample::moment()), @r#"
        identity     spiffe://northwind.example/person/ana
        account      ana (disabled)
        person       ana
        manager      none that HR knows: nothing can be kept until there is one
        moves        to nobody known, 2026-11-23 22:00:00Z (in 1d)
        leaves       2026-11-24 22:00:00Z (in 2d)
        role         db-engineer, suspended since 2026-11-22 21:00:00Z (1h ago), cut by a transfer
        eligible     yes
        soon over    screening, 2026-11-29 22:00:00Z (in 7d)
        next         once what lapsed is renewed, `countersign enrol restore` asks for what it took
        next         `countersign enrol keep db-engineer` asks your new manager to let you keep it
        certificate  until 2026-11-22 23:00:00Z (in 1h)
        "#);
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
