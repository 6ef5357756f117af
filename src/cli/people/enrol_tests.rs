use clap::Parser as _;

use super::*;
use crate::cli::arguments::{Arguments, CallCommand, Command};
use crate::cli::show::sample;
use crate::wire::v1::Obstacle;

fn ask(line: &str) -> Ask {
    let words = format!("countersign enrol {line}");
    match Arguments::try_parse_from(words.split(' ')).unwrap().command {
        Command::Call(CallCommand::Enrol(command)) => command.taken_apart().0,
        other => panic!("{other:?}"),
    }
}

#[test]
fn each_command_asks_for_one_thing() {
    assert_eq!(ask("account"), Ask::Account(AccountAsk::default()));
    assert_eq!(ask("account --id pia-2"), Ask::Account(AccountAsk { account: "pia-2".into() }));
    let end = time_field(values::moment("2027-01-31").unwrap());
    assert_eq!(
        ask("role db-engineer --until 2027-01-31"),
        Ask::Role(RoleAsk { role: "db-engineer".into(), end_time: Some(end), ..Default::default() })
    );
    assert_eq!(
        ask("keep db-engineer --account ana-admin"),
        Ask::Keep(KeepAsk { account: "ana-admin".into(), role: "db-engineer".into() })
    );
    assert_eq!(ask("restore"), Ask::Restore(RestoreAsk::default()));
    assert_eq!(ask("take-over orders-api"), Ask::TakeOver(TakeOverAsk { account: "orders-api".into() }));
    assert_eq!(
        ask(
            "machine lathe --identity spiffe://northwind.example/service/lathe --role cutter=2027-01-31 --role oiler --checks prod/** --for-people"
        ),
        Ask::Machine(MachineAsk {
            account: "lathe".into(),
            identities: vec!["spiffe://northwind.example/service/lathe".into()],
            audience: vec!["prod/**".into()],
            acts_for: ActsFor::People.into(),
            roles: vec![
                MachineRole { role: "cutter".into(), end_time: Some(end) },
                MachineRole { role: "oiler".into(), end_time: None },
            ],
        })
    );
}

#[test]
fn a_machine_without_an_identity_or_with_a_crooked_one_is_a_usage_error() {
    for line in [
        "countersign enrol machine lathe",
        "countersign enrol machine lathe --identity lathe",
        "countersign enrol machine lathe --identity spiffe://a.example/b --role Cutter",
        "countersign enrol account --dry-run --wait",
        "countersign enrol role",
    ] {
        assert!(Arguments::try_parse_from(line.split(' ')).is_err(), "{line}");
    }
}

#[test]
fn what_was_asked_for_names_who_decides_and_how_to_follow_it() {
    insta::assert_snapshot!(next_step(&sample::enrolment()), @r#"it is pending for @manager to approve (manager: ines); `countersign show ee55ff66` says where it stands"#);
}

#[test]
fn a_dry_run_says_what_would_be_asked_and_of_whom() {
    insta::assert_snapshot!(card(60, &would_be(&sample::enrolment())), @r#"
    asks for  role db-engineer for ana until 2027-05-21
              22:00:00Z
    needs     1 by @manager
    needs     1 by @role-owner
    "#);
    let obstacle =
        Obstacle { reason: "ROLE_CONFLICT".into(), text: "no".into(), remedy: "choose".into(), ..Default::default() };
    insta::assert_snapshot!(card(60, &obstacle_lines(&[obstacle])), @r#"
    obstacle  ROLE_CONFLICT: no
    remedy    choose
    "#);
}
