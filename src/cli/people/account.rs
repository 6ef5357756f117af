//! `account`: accounts, and the persons behind them.

use clap::{Args, Subcommand, ValueEnum};

use crate::cli::connect::change::ChangeArguments;
use crate::cli::connect::session::{Session, all_pages};
use crate::cli::show::membership::standing_lines;
use crate::cli::show::membership::{membership_text, next_steps, origin_text};
use crate::cli::term::failure::{Exit, Ran};
use crate::cli::term::json;
use crate::cli::term::table::{card, rows};
use crate::cli::term::text::{reason_text, when, word};
use crate::domain::value::time::Timestamp;
use crate::wire::v1::{
    Account, AccountKind, CloseAccountRequest, EndMembershipRequest, GetAccountRequest, GetPersonRequest,
    ListAccountsRequest, Person,
};

/// `account …`.
#[derive(Debug, Clone, Subcommand)]
pub enum AccountCommand {
    /// The accounts that you may see
    #[command(visible_alias = "ls")]
    List(ListArguments),
    /// One account, and the person behind it
    Show(ShowArguments),
    /// End a membership before its time
    EndMembership(EndMembershipArguments),
    /// Close a service account, for ever
    Close(CloseArguments),
}

/// `account end-membership`.
#[derive(Debug, Clone, Args)]
pub struct EndMembershipArguments {
    /// The account's id
    pub account: String,
    /// The role
    pub role: String,
    /// Why, for the record
    #[arg(long, short, value_name = "TEXT")]
    pub reason: String,
    /// How it is sent.
    #[command(flatten)]
    pub change: ChangeArguments,
}

/// `account close`.
#[derive(Debug, Clone, Args)]
pub struct CloseArguments {
    /// The service account's id
    pub account: String,
    /// Why, for the record
    #[arg(long, short, value_name = "TEXT")]
    pub reason: String,
    /// How it is sent.
    #[command(flatten)]
    pub change: ChangeArguments,
}

/// `account list`.
#[derive(Debug, Clone, Args)]
pub struct ListArguments {
    /// Only of this kind
    #[arg(long, value_enum)]
    pub kind: Option<Kind>,
    /// Only those in this role
    #[arg(long, value_name = "ROLE")]
    pub role: Option<String>,
    /// Only those of this person
    #[arg(long, value_name = "PERSON")]
    pub person: Option<String>,
}

/// Whose account it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Kind {
    /// Of a person of the own organisation
    ServiceTeam,
    /// Of a machine
    Service,
    /// Of a person of a tenant
    Customer,
}

/// `account show`.
#[derive(Debug, Clone, Args)]
pub struct ShowArguments {
    /// The account's id
    pub account: String,
}

/// Runs `account …`.
///
/// # Errors
/// If the broker refuses.
pub async fn run(session: &mut Session<'_>, command: AccountCommand) -> Ran {
    match command {
        AccountCommand::List(arguments) => list(session, arguments).await,
        AccountCommand::Show(arguments) => show(session, arguments).await,
        AccountCommand::EndMembership(arguments) => end_membership(session, arguments).await,
        AccountCommand::Close(arguments) => close(session, arguments).await,
    }
}

async fn list(session: &mut Session<'_>, arguments: ListArguments) -> Ran {
    let kind = match arguments.kind {
        None => AccountKind::Unspecified,
        Some(Kind::ServiceTeam) => AccountKind::ServiceTeam,
        Some(Kind::Service) => AccountKind::Service,
        Some(Kind::Customer) => AccountKind::Customer,
    };
    let request = ListAccountsRequest {
        kind: kind.into(),
        role: arguments.role.unwrap_or_default(),
        person: arguments.person.unwrap_or_default(),
        ..Default::default()
    };
    let accounts = all_pages!(session.client, list_accounts, request, accounts);
    let text = |width| rows(width, &HEADING, accounts.iter().map(row).collect());
    session.output.data(text, || json::list(&accounts))?;
    if accounts.is_empty() && !session.output.is_json() {
        session.output.note("no accounts that you may see");
    }
    Ok(Exit::Yes)
}

async fn show(session: &mut Session<'_>, arguments: ShowArguments) -> Ran {
    let request = GetAccountRequest { account_id: arguments.account };
    let account = session.client.get_account(request).await?.account.unwrap_or_default();
    // Whoever sees the account may not see the person: then it is shown without.
    let person = session.client.get_person(GetPersonRequest { person_id: account.person.clone() }).await;
    let person = person.ok().and_then(|answer| answer.person);
    let now = session.now;
    let value = || {
        let mut value = json::of(&account);
        if let (Some(object), Some(person)) = (value.as_object_mut(), &person) {
            object.insert("person_detail".to_owned(), json::of(person));
        }
        value
    };
    session.output.data(|width| account_card(width, &account, person.as_ref(), now), value)?;
    Ok(Exit::Yes)
}

/// Ends a membership, and shows what ended with it.
///
/// # Errors
/// If the broker refuses.
pub async fn end_membership(session: &mut Session<'_>, arguments: EndMembershipArguments) -> Ran {
    let change = arguments.change;
    let request = EndMembershipRequest {
        request_id: change.id(),
        account: arguments.account,
        role: arguments.role,
        reason: arguments.reason,
        validate_only: change.dry_run,
    };
    let answer = session.client.end_membership(request.clone()).await;
    let answer = change.answered(session, answer, &request.request_id)?;
    let done =
        format!("{} no longer holds {}; `countersign enrol role` asks for it anew", request.account, request.role);
    change.show_effects(session, answer.effects.as_ref(), || json::of(&answer), &done)
}

async fn close(session: &mut Session<'_>, arguments: CloseArguments) -> Ran {
    let change = arguments.change;
    let request = CloseAccountRequest {
        request_id: change.id(),
        account: arguments.account,
        reason: arguments.reason,
        validate_only: change.dry_run,
    };
    let answer = session.client.close_account(request.clone()).await;
    let answer = change.answered(session, answer, &request.request_id)?;
    let done = format!("{} is closed; its id is nobody else's for ever", request.account);
    change.show_effects(session, answer.effects.as_ref(), || json::of(&answer), &done)
}

const HEADING: [&str; 5] = ["account", "kind", "person", "roles", "state"];

fn row(account: &Account) -> Vec<String> {
    let roles: Vec<_> = account.memberships.iter().map(|membership| membership.role.as_str()).collect();
    vec![
        account.id.clone(),
        word(account.kind().as_str_name(), "ACCOUNT_KIND_"),
        account.person.clone(),
        roles.join(", "),
        state_text(account),
    ]
}

fn state_text(account: &Account) -> String {
    let state = word(account.state().as_str_name(), "ACCOUNT_STATE_");
    if account.state_reason.is_empty() { state } else { format!("{state}: {}", reason_text(&account.state_reason)) }
}

fn account_card(width: u16, account: &Account, person: Option<&Person>, now: Timestamp) -> String {
    let until = |time: Option<&prost_types::Timestamp>, word: &str| {
        let text = when(time, now);
        if text.is_empty() { text } else { format!(", {word} {text}") }
    };
    let mut lines = vec![
        ("account", account.id.clone()),
        ("kind", word(account.kind().as_str_name(), "ACCOUNT_KIND_")),
        ("state", state_text(account)),
        ("until", when(account.end_time.as_ref(), now)),
        ("tenant", account.tenant.clone()),
        ("person", account.person.clone()),
        ("identity", account.identities.join(" ")),
    ];
    for membership in &account.memberships {
        lines.push(("role", membership_text(membership, now)));
        lines.push(("held", origin_text(membership)));
    }
    lines.push(("checks", account.audience.join(" ")));
    if let Some(person) = person {
        lines.extend(standing_lines(person, now));
        lines.push(("employment", word(person.employment_state().as_str_name(), "EMPLOYMENT_STATE_")));
        for attestation in &person.attestations {
            let lapses = until(attestation.lapse_time.as_ref(), "lapses");
            lines.push(("proved", format!("{}{lapses}", attestation.requirement)));
        }
    }
    lines.extend(next_steps(account).into_iter().map(|step| ("next", step)));
    card(width, &lines)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::show::sample;
    use crate::wire::v1::{AccountState, Attestation, EmploymentState, Membership};

    #[test]
    fn an_account_with_its_person() {
        let account = Account {
            id: "ana".into(),
            kind: AccountKind::ServiceTeam.into(),
            state: AccountState::Disabled.into(),
            state_reason: "NOT_IN_DIRECTORY".into(),
            person: "ana".into(),
            identities: vec!["spiffe://northwind.example/person/ana".into()],
            memberships: vec![Membership {
                role: "db-engineer".into(),
                end_time: Some(sample::at(86_400)),
                ..Default::default()
            }],
            ..Default::default()
        };
        let person = Person {
            id: "ana".into(),
            manager: "ines".into(),
            employment_state: EmploymentState::Employed.into(),
            attestations: vec![Attestation {
                requirement: "annual-training".into(),
                lapse_time: Some(sample::at(172_800)),
                ..Default::default()
            }],
            ..Default::default()
        };
        insta::assert_snapshot!(account_card(80, &account, Some(&person), sample::moment()), @r#"
        account     ana
        kind        service team
        state       disabled: not in directory
        person      ana
        identity    spiffe://northwind.example/person/ana
        role        db-engineer, until 2026-11-23 22:00:00Z (in 1d)
        held        since before the broker, by the directory's file
        manager     ines
        employment  employed
        proved      annual-training, lapses 2026-11-24 22:00:00Z (in 2d)
        "#);
        insta::assert_snapshot!(rows(80, &HEADING, vec![row(&account)]), @r#"
        ACCOUNT  KIND          PERSON  ROLES        STATE
        ana      service team  ana     db-engineer  disabled: not in directory
        "#);
    }
}
