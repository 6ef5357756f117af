use prost_types::Timestamp as PbTimestamp;

use super::*;
use crate::domain::record::command::{ApproveEnrolment, EnrolmentCommand};

const ID: &str = "0197c9a2-7f3b-4cc1-8000-0123456789ab";

fn request(ask: pb::enrolment_ask::Ask) -> pb::RequestEnrolmentRequest {
    let ask = Some(pb::EnrolmentAsk { ask: Some(ask) });
    pb::RequestEnrolmentRequest { request_id: ID.to_owned(), ask, ..Default::default() }
}

fn machine() -> pb::MachineAsk {
    pb::MachineAsk {
        account: "ana-bot".to_owned(),
        identities: vec!["spiffe://northwind.example/service/ana-bot".to_owned()],
        audience: vec!["prod/*/db/orders/**".to_owned()],
        acts_for: pb::ActsFor::People.into(),
        roles: vec![pb::MachineRole { role: "deploy-pipeline".to_owned(), end_time: None }],
    }
}

fn wrong(message: pb::RequestEnrolmentRequest) -> Vec<(String, String)> {
    let error = Change::try_from(message).unwrap_err();
    error.fields.into_iter().map(|field| (field.path, field.wanted)).collect()
}

fn asked_in(message: pb::RequestEnrolmentRequest) -> EnrolmentAsk {
    let command = match Change::try_from(message).unwrap() {
        Change::Dry(command) => command,
        Change::ForReal(mutation) => mutation.command,
    };
    let Command::Enrolment(EnrolmentCommand::Request(asked)) = command else { panic!("{command:?}") };
    asked.ask
}

#[test]
fn each_ask_becomes_the_one_that_it_says() {
    use pb::enrolment_ask::Ask as Said;
    let role = || "db-engineer".parse().unwrap();
    assert_eq!(asked_in(request(Said::Account(pb::AccountAsk::default()))), EnrolmentAsk::Account { account: None });
    let end_time = Some(PbTimestamp { seconds: 1_800_000_000, nanos: 0 });
    let said = pb::RoleAsk { account: "ana".to_owned(), role: "db-engineer".to_owned(), end_time };
    let until = Some(Timestamp::from_millis(1_800_000_000_000).unwrap());
    let account = Some("ana".parse().unwrap());
    assert_eq!(asked_in(request(Said::Role(said))), EnrolmentAsk::Role { account, role: role(), until });
    let said = pb::KeepAsk { role: "db-engineer".to_owned(), ..Default::default() };
    assert_eq!(asked_in(request(Said::Keep(said))), EnrolmentAsk::Keep { account: None, role: role() });
    let said = Said::Restore(pb::RestoreAsk::default());
    assert_eq!(asked_in(request(said)), EnrolmentAsk::Restore { account: None });
    let said = Said::TakeOver(pb::TakeOverAsk { account: "deploy-bot".to_owned() });
    assert_eq!(asked_in(request(said)), EnrolmentAsk::TakeOver { account: "deploy-bot".parse().unwrap() });
    let EnrolmentAsk::Machine(asked) = asked_in(request(Said::Machine(machine()))) else { panic!("a machine") };
    assert_eq!((asked.account.as_str(), asked.acts_for), ("ana-bot", ActsFor::People));
    assert_eq!((asked.identities.len(), asked.audience.len(), asked.roles.len()), (1, 1, 1));
}

#[test]
fn every_bad_field_of_an_ask_is_told_with_its_path() {
    use pb::enrolment_ask::Ask as Said;
    type Row = (fn(&mut pb::MachineAsk), &'static str, &'static str);
    let rows: &[Row] = &[
        (|m| m.account.clear(), "ask.machine.account", "missing"),
        (|m| m.account = "Bot".to_owned(), "ask.machine.account", "an account's id"),
        (|m| m.identities.clear(), "ask.machine.identities", "at least one"),
        (|m| m.identities = vec!["ana".to_owned()], "ask.machine.identities[0]", "SPIFFE"),
        (
            |m| m.identities = (0..9).map(|n| format!("spiffe://n.example/x{n}")).collect(),
            "ask.machine.identities",
            "over 8",
        ),
        (|m| m.audience = vec!["prod/../x".to_owned()], "ask.machine.audience[0]", ""),
        (|m| m.acts_for = 9, "ask.machine.acts_for", "`9`"),
        (|m| m.roles[0].role.clear(), "ask.machine.roles[0].role", "missing"),
        (|m| m.roles.push(m.roles[0].clone()), "ask.machine.roles[1].role", "twice"),
        (
            |m| m.roles[0].end_time = Some(PbTimestamp { seconds: 1, nanos: 7 }),
            "ask.machine.roles[0].end_time",
            "millisecond",
        ),
    ];
    for (change, path, wanted) in rows {
        let mut asked = machine();
        change(&mut asked);
        let found = wrong(request(Said::Machine(asked)));
        assert_eq!(found.len(), 1, "{found:?}");
        assert_eq!(found[0].0, *path, "{found:?}");
        assert!(found[0].1.contains(wanted), "{found:?} should say {wanted}");
    }
    let restore = pb::RestoreAsk { roles: vec!["db-engineer".to_owned()], ..Default::default() };
    assert_eq!(wrong(request(Said::Restore(restore)))[0].0, "ask.restore.roles");
    assert_eq!(wrong(request(Said::Role(pb::RoleAsk::default())))[0].0, "ask.role.role");
    assert_eq!(wrong(request(Said::TakeOver(pb::TakeOverAsk::default())))[0].0, "ask.take_over.account");
    let mut long = request(Said::Account(pb::AccountAsk::default()));
    long.justification = "x".repeat(2_049);
    assert_eq!(wrong(long)[0].0, "justification");
}

#[test]
fn messages_left_at_their_defaults_are_refused() {
    assert!(Change::try_from(pb::RequestEnrolmentRequest::default()).is_err());
    assert!(Change::try_from(pb::ApproveEnrolmentRequest::default()).is_err());
    assert!(Change::try_from(pb::DenyEnrolmentRequest::default()).is_err());
    assert!(Change::try_from(pb::WithdrawEnrolmentRequest::default()).is_err());
    let empty = pb::EnrolmentAsk::default();
    let none = pb::RequestEnrolmentRequest { request_id: ID.to_owned(), ask: Some(empty), ..Default::default() };
    assert_eq!(wrong(none)[0].0, "ask");
}

#[test]
fn a_decision_names_a_whole_id_and_the_digest_of_what_was_read() {
    let approve = |id: &str, digest: usize, validate_only: bool| {
        let message = pb::ApproveEnrolmentRequest {
            request_id: if validate_only { String::new() } else { ID.to_owned() },
            enrolment_id: id.to_owned(),
            approval_digest: vec![1; digest],
            comment: String::new(),
            validate_only,
        };
        Change::try_from(message).map_err(|error| error.fields.iter().map(|f| f.path.clone()).collect::<Vec<_>>())
    };
    assert!(matches!(approve(ID, 32, false), Ok(Change::ForReal(_))));
    assert!(matches!(
        approve(ID, 32, true),
        Ok(Change::Dry(Command::Enrolment(EnrolmentCommand::Approve(ApproveEnrolment { .. }))))
    ));
    assert_eq!(approve("89ab", 31, false).unwrap_err(), ["enrolment_id", "approval_digest"]);
    let deny = |reason: &str| {
        let (request_id, enrolment_id) = (ID.to_owned(), ID.to_owned());
        let reason = reason.to_owned();
        Change::try_from(pb::DenyEnrolmentRequest { request_id, enrolment_id, reason, validate_only: false })
    };
    assert!(deny("no").is_ok());
    assert_eq!(deny("").unwrap_err().fields[0].path, "reason");
    assert!(deny(&"x".repeat(2_049)).is_err());
}

#[test]
fn a_list_takes_no_value_that_it_does_not_know() {
    let list = |relation: i32, states: Vec<i32>| {
        let message = pb::ListEnrolmentsRequest { relation, states, ..Default::default() };
        Enrolments::try_from(&message).map_err(|error| error.fields[0].path.clone())
    };
    assert_eq!(list(0, Vec::new()).unwrap().relation, None);
    assert_eq!(list(2, vec![1]).unwrap().relation, Some(pb::EnrolmentRelation::CanReview));
    assert_eq!(list(9, Vec::new()).unwrap_err(), "relation");
    assert_eq!(list(0, vec![1, 0]).unwrap_err(), "states[1]");
}
