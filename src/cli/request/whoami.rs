//! `whoami`: who the caller is to the broker, and what stands in the way.

use crate::cli::connect::session::Session;
use crate::cli::show::entitlement_card::obstacle_lines;
use crate::cli::show::membership::standing_lines;
use crate::cli::show::membership::{ahead_text, membership_text, next_steps};
use crate::cli::term::failure::{Exit, Ran};
use crate::cli::term::json;
use crate::cli::term::table::card;
use crate::cli::term::text::{ending, reason_text, when, word};
use crate::domain::value::time::Timestamp;
use crate::wire::v1::{EmploymentState, WhoAmIRequest, WhoAmIResponse};

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
    use crate::cli::show::sample;
    use crate::wire::v1::{Account, AccountState, Attestation, LapseAhead, Membership, Obstacle, Person};

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
    fn what_is_ahead_and_what_was_taken_is_shown() {
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
}
