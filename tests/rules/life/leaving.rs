//! Leaving, coming back, and what a name or an address does not carry over (issue 3, part 4; known failures B1 and B5).

use countersign::domain::directory::{AccountState, ActsFor, Disabling, Employment};
use countersign::domain::record::command::{CloseAccount, Command, EnrolmentAsk, RequestEnrolment};
use countersign::domain::record::enrolment::MachineAsk;
use countersign::domain::record::grant::{GrantPhase, Revocation};
use countersign::domain::record::hr::HrChange;
use countersign::domain::value::refusal::Reason;

use crate::support::life::{
    account, attest_now, event, granted_for, hr, joins, leaves, leaves_at_once, moves, noon, person, world,
};
use crate::support::records::touch;
use crate::world::enrolments::{a_role, an_account};
use crate::world::{Ask, World, assert_refused, identity, kinds, span};

fn machine(account: &str) -> EnrolmentAsk {
    EnrolmentAsk::Machine(Box::new(MachineAsk {
        account: account.parse().unwrap(),
        identities: [identity(account).parse().unwrap()].into(),
        audience: ["prod/eu/apps/**".parse().unwrap()].into(),
        acts_for: ActsFor::Itself,
        roles: [("robot".parse().unwrap(), None)].into(),
    }))
}

#[test]
fn an_urgent_leaving_ends_everything_in_one_batch() {
    // given ana with a live grant, a pending request, an approval waiting on her, and a machine
    let mut world = world();
    let live = granted_for(&mut world, "1h");
    let pending = Ask::critical().by("ana", &mut world).unwrap();
    world.enrolled("ana", machine("ana-bot"), &["ines"]);
    let by_machine = Ask::deploy().by("ana-bot", &mut world).unwrap();
    world.approve("ben", by_machine).unwrap();
    // when she leaves at once
    let events = hr(&mut world, vec![leaves_at_once("ana")]).unwrap();
    // then in the same batch all of it is over
    assert_eq!(kinds(&events)[..2], ["hr-event-applied", "person-left"]);
    assert_eq!([live, by_machine].map(|id| world.grant_phase(id)), ["REVOKED", "REVOKED"]);
    assert_eq!(world.phase(pending), "CANCELLED");
    assert!(!world.may("ana", "db.write", "prod/eu/db/orders/primary"));
    let disabled = &account(&world, "ana").state;
    assert!(matches!(disabled, AccountState::Disabled { because: Disabling::Termination, .. }));
    assert!(account(&world, "ana").roles.is_empty() && account(&world, "ana-lab").roles.is_empty());
    assert_eq!(account(&world, "ana-bot").state, AccountState::Closed);
    assert_refused(Ask::repair().by("ana", &mut world), Reason::AccountDisabled);
    assert_refused(world.enrol("ana", a_role("reader")), Reason::AccountDisabled);
}

#[test]
fn on_the_last_day_it_is_over_by_comparison() {
    let mut world = world();
    let id = granted_for(&mut world, "1h");
    // when her last day is announced to end in ten minutes
    hr(&mut world, vec![leaves("ana", noon().plus(span("10m")))]).unwrap();
    // then her grant was cut to it
    assert_eq!(world.grant_of(id).unwrap().end, noon().plus(span("10m")));
    world.pass("10m");
    assert!(!world.may("ana", "db.write", "prod/eu/db/orders/primary"), "no timer has run");
    assert!(Ask::repair().by("ana", &mut world).is_err());
    assert_eq!(person(&world, "ana").employment, Employment::Employed);
    world.tick();
    assert_eq!(person(&world, "ana").employment, Employment::Left);
    // a later day does not lengthen what was known; `stays` takes it back in time
    let mut other = crate::support::life::world();
    hr(&mut other, vec![leaves("ana", noon().plus(span("1d"))), leaves("ana", noon().plus(span("2d")))]).unwrap();
    assert_eq!(person(&other, "ana").employed_until, Some(noon().plus(span("1d"))));
    hr(&mut other, vec![event("ana", HrChange::Stays)]).unwrap();
    assert_eq!(person(&other, "ana").employed_until, None);
}

#[test]
fn approvals_of_who_left_count_no_more() {
    let mut world = world();
    let pending = Ask::critical().by("ana", &mut world).unwrap();
    world.approve("ben", pending).unwrap();
    let scheduled = Ask::maintenance().starting(noon().plus(span("1h"))).by("ana", &mut world).unwrap();
    world.approve("ben", scheduled).unwrap();
    let started = granted_for(&mut world, "1h");
    hr(&mut world, vec![leaves_at_once("ben")]).unwrap();
    assert!(world.elevation(pending).review.approvals().next().is_none());
    assert_eq!(world.grant_phase(scheduled), "REVOKED");
    assert_eq!(world.grant_phase(started), "ACTIVE", "what has started was given by somebody who could");
    // unless HR says that it goes as well
    let mut other = crate::support::life::world();
    let started = granted_for(&mut other, "1h");
    let left = HrChange::Left { at: noon(), urgent: true, also_approved: true };
    hr(&mut other, vec![event("ben", left)]).unwrap();
    assert_eq!(other.grant_phase(started), "REVOKED");
}

#[test]
fn a_termination_goes_on_while_the_clock_is_suspect() {
    let mut world = world();
    let id = granted_for(&mut world, "1h");
    world.wall_off_by = 3_600_000 * 24 * 365;
    assert!(world.now().suspect);
    assert_refused(hr(&mut world, vec![joins("new", None)]), Reason::ClockSuspect);
    hr(&mut world, vec![leaves_at_once("ana")]).unwrap();
    assert_eq!(world.grant_phase(id), "REVOKED");
}

#[test]
fn who_comes_back_starts_with_nothing() {
    let mut world = world();
    granted_for(&mut world, "1h");
    hr(&mut world, vec![moves_to(&mut World::new(), "dan"), leaves_at_once("ines")]).unwrap();
    hr(&mut world, vec![leaves_at_once("ana")]).unwrap();
    world.pass("1m");
    // when both come back
    hr(&mut world, vec![joins("ines", Some("omar")), joins("ana", Some("ines"))]).unwrap();
    // then nothing of what was is theirs
    assert!(person(&world, "ana").attestations.is_empty());
    assert_eq!(account(&world, "ana").state, AccountState::Closed);
    assert!(account(&world, "ana").identities.is_empty());
    assert!(!world.may("ana", "db.write", "prod/eu/db/orders/primary"));
    assert_refused(Ask::repair().by("ana", &mut world), Reason::NoAccount);
    assert_refused(world.enrol("ana", an_account()), Reason::NotEligible);
    // nor is ines anybody's manager any more but of those whom HR gives her
    assert_eq!(person(&world, "ben").manager, None);
    // with everything proved anew she gets a new account under a new id
    world.propose_policy("requires = [\"screening\", \"training\"]", "requires = [\"training\"]").unwrap();
    attest_now(&mut world, "trainer", ("ana", "training")).unwrap();
    attest_now(&mut world, "trainer", ("ines", "training")).unwrap();
    let id = world.enrol("ines", an_account()).unwrap();
    world.approve_enrolment("omar", id).unwrap();
    let id = world.enrol("ana", an_account()).unwrap();
    assert_eq!(world.enrolment(id).ask.account().as_str(), "ana-2");
    world.approve_enrolment("ines", id).unwrap();
    assert!(account(&world, "ana-2").roles.is_empty());
}

fn moves_to(_world: &mut World, person: &str) -> countersign::domain::record::hr::HrEvent {
    crate::support::life::moves(person, Some("omar"), noon())
}

#[test]
fn an_address_that_somebody_else_gets_carries_nothing_over() {
    let mut world = world();
    granted_for(&mut world, "1h");
    let taken = |who: &str| {
        let login = [identity("ana").parse().unwrap()].into();
        event(who, HrChange::Joined { login, manager: Some("ines".parse().unwrap()) })
    };
    // while she works here it is hers
    let refusal = assert_refused(hr(&mut world, vec![taken("anton")]), Reason::IdentityTaken);
    assert_eq!(refusal.facts["holder"], "account:ana");
    hr(&mut world, vec![leaves_at_once("ana")]).unwrap();
    world.pass("181d");
    hr(&mut world, vec![taken("anton")]).unwrap();
    // then whoever has it is another person, and has no account
    assert_refused(Ask::repair().by("ana", &mut world), Reason::NoAccount);
    assert!(!account(&world, "ana").identities.contains(identity("ana").as_str()));
    // a machine's is never given away
    let login = [identity("bot").parse().unwrap()].into();
    let machine = event("berta", HrChange::Joined { login, manager: Some("ines".parse().unwrap()) });
    assert_refused(hr(&mut world, vec![machine]), Reason::IdentityTaken);
}

#[test]
fn a_renamed_person_is_the_same_person() {
    let mut world = world();
    let id = granted_for(&mut world, "1h");
    let login = [identity("ana.new").parse().unwrap()].into();
    hr(&mut world, vec![event("ana", HrChange::Renamed { login })]).unwrap();
    assert_refused(world.relinquish("ana", world.grant_of(id).unwrap().id), Reason::NoAccount);
    let grant = world.grant_of(id).unwrap().id;
    world.relinquish("ana.new", grant).unwrap();
    // one who has no account yet is known by the new one, too
    let login = [identity("pia.new").parse().unwrap()].into();
    hr(&mut world, vec![event("pia", HrChange::Renamed { login })]).unwrap();
    world.enrol("pia.new", an_account()).unwrap();
    let login = [identity("ben").parse().unwrap()].into();
    assert_refused(hr(&mut world, vec![event("pia", HrChange::Renamed { login })]), Reason::IdentityTaken);
}

#[test]
fn a_machine_is_closed_with_its_owners_leaving_unless_somebody_took_it_over() {
    // given two machines of ana's, one of which dan takes over
    let mut world = world();
    world.enrolled("ana", machine("one"), &["ines"]);
    world.enrolled("ana", machine("two"), &["ines"]);
    let asked = Ask::deploy().by("two", &mut world).unwrap();
    let id = world.enrol("dan", EnrolmentAsk::TakeOver { account: "two".parse().unwrap() }).unwrap();
    for who in ["ana", "dan"] {
        assert_refused(world.approve_enrolment(who, id), Reason::SelfApproval);
    }
    world.approve_enrolment("ines", id).unwrap();
    assert_eq!(account(&world, "two").person().as_str(), "dan");
    // neither the old nor the new owner approves what it had asked for
    assert_eq!(world.elevation(asked).behind.iter().map(AsRef::as_ref).collect::<Vec<&str>>(), ["ana", "dan"]);
    // when ana leaves
    hr(&mut world, vec![leaves_at_once("ana")]).unwrap();
    assert_eq!(account(&world, "one").state, AccountState::Closed);
    assert_eq!(account(&world, "two").state, AccountState::Active);
    assert_refused(Ask::deploy().by("one", &mut world), Reason::NoAccount);
    // what is closed stays closed
    let again = EnrolmentAsk::TakeOver { account: "one".parse().unwrap() };
    assert_refused(world.enrol("dan", again), Reason::NotFound);
}

#[test]
fn a_machine_is_asked_for_with_free_identities_and_roles_for_machines() {
    let mut world = world();
    let with = |change: &dyn Fn(&mut MachineAsk)| {
        let EnrolmentAsk::Machine(mut asked) = machine("ana-bot") else { panic!("a machine") };
        change(&mut asked);
        EnrolmentAsk::Machine(asked)
    };
    let taken = with(&|it| it.identities = [identity("ben").parse().unwrap()].into());
    assert_refused(world.enrol("ana", taken), Reason::IdentityTaken);
    let known = with(&|it| it.account = "bot".parse().unwrap());
    assert_refused(world.enrol("ana", known), Reason::IdTaken);
    let people = with(&|it| it.roles = [("reader".parse().unwrap(), None)].into());
    assert_refused(world.enrol("ana", people), Reason::NotInRole);
    let tenants = with(&|it| it.audience = ["tenants/acme/**".parse().unwrap()].into());
    assert_refused(world.enrol("ana", tenants), Reason::OutOfScope);
    // and by nobody who would come to stand on both sides: ben approves what robots ask for
    assert_refused(world.enrol("ben", machine("ben-bot")), Reason::RoleConflict);
    let id = world.enrolled("ana", machine("ana-bot"), &["ines"]);
    assert!(world.enrolment(id).review.text.contains("asks_for: \"MACHINE\""));
    assert!(Ask::deploy().by("ana-bot", &mut world).is_ok());
    world
        .send("ana", Command::from(CloseAccount { account: "ana-bot".parse().unwrap(), reason: "done".into() }))
        .unwrap();
    assert_refused(Ask::deploy().by("ana-bot", &mut world), Reason::NoAccount);
}

#[test]
fn grants_that_a_suspect_approved_go_at_once_though_the_last_day_is_to_come() {
    // given a started grant, a scheduled one, and one that somebody else approved
    let mut world = world();
    let started = granted_for(&mut world, "1h");
    let scheduled = Ask::maintenance().starting(noon().plus(span("1h"))).by("ana", &mut world).unwrap();
    world.approve("ben", scheduled).unwrap();
    let other = Ask::deploy().by("ana", &mut world).unwrap();
    world.approve("cleo", other).unwrap();
    // when HR announces that ben leaves, and that what ben approved goes as well
    let left = HrChange::Left { at: noon().plus(span("5d")), urgent: false, also_approved: true };
    hr(&mut world, vec![event("ben", left)]).unwrap();
    // then both go now, and nothing else
    let because = Revocation::ApproverLeft { person: "ben".parse().unwrap() };
    for id in [started, scheduled] {
        let GrantPhase::Revoked { because: told, .. } = &world.grant_of(id).unwrap().phase else { panic!("revoked") };
        assert_eq!(*told, because);
    }
    assert_eq!(world.grant_phase(other), "ACTIVE");
    assert_eq!(person(&world, "ben").employment, Employment::Employed);
}

#[test]
fn the_last_day_ends_to_the_millisecond_on_every_path_with_no_timer_running() {
    // given ana, and ben who approved for her, who both leave in ten minutes
    let mut world = world();
    let pending = Ask::critical().by("dan", &mut world).unwrap();
    world.approve("ben", pending).unwrap();
    let of_machine = Ask::deploy().on_behalf_of("ana").by("pipe", &mut world).unwrap();
    world.approve("cleo", of_machine).unwrap();
    let end = noon().plus(span("10m"));
    hr(&mut world, vec![leaves("ana", end), leaves("ben", end)]).unwrap();
    world.at = end.minus(countersign::domain::value::time::Span::from_millis(1).unwrap());
    assert!(Ask::repair().by("ana", &mut world).is_ok());
    assert!(world.may("pipe", "deploy.run", "prod/eu/apps/orders"));
    // when the time comes, and nothing records it
    world.at = end;
    assert!(Ask::repair().by("ana", &mut world).is_err());
    assert!(!world.may("pipe", "deploy.run", "prod/eu/apps/orders"), "nor through a machine");
    assert_refused(world.deny("ben", pending), Reason::NotFound);
    assert_refused(world.enrol("ana", a_role("reader")), Reason::AccountDisabled);
    // then ben's approval no longer counts when the others have approved
    world.approve("cleo", pending).unwrap();
    world.approve("sam", pending).unwrap();
    assert_eq!(world.phase(pending), "PENDING");
    assert_refused(hr(&mut world, vec![event("ana", HrChange::Stays)]), Reason::PersonUnknown);
}

#[test]
fn who_comes_back_before_any_timer_recorded_the_leaving_starts_with_nothing_too() {
    let mut world = world();
    world.enrolled("ana", machine("ana-bot"), &["ines"]);
    hr(&mut world, vec![leaves("ana", noon().plus(span("1d")))]).unwrap();
    world.pass("1d");
    hr(&mut world, vec![joins("ana", Some("ines"))]).unwrap();
    assert_eq!([&account(&world, "ana").state, &account(&world, "ana-bot").state], [&AccountState::Closed; 2]);
    assert!(account(&world, "ana").roles.is_empty() && person(&world, "ana").attestations.is_empty());
    assert_eq!(person(&world, "ana").employed_until, None);
    assert_eq!(world.tick(), []);
}

#[test]
fn whom_a_directory_file_left_out_owns_no_machine_after_coming_back() {
    // given ana, whose machine a directory file left out together with her
    let mut world = world();
    let machine_of_ana = crate::world::organisation::Account {
        owner: Some("ana".into()),
        identities: [identity("ana-bot")].into(),
        roles: [("robot".to_owned(), None)].into(),
        ..Default::default()
    };
    world.change_directory(|all| all.accounts.extend([("ana-bot".to_owned(), machine_of_ana)])).unwrap();
    world
        .change_directory(|all| {
            all.remove_person("ana");
            all.accounts.remove("ana-bot").unwrap();
        })
        .unwrap();
    assert!(matches!(account(&world, "ana-bot").state, AccountState::Disabled { .. }));
    // when HR has her again
    hr(&mut world, vec![joins("ana", Some("ines"))]).unwrap();
    // then it is closed, as are her accounts
    for id in ["ana", "ana-lab", "ana-bot"] {
        assert_eq!(account(&world, id).state, AccountState::Closed, "{id}");
    }
}

#[test]
fn a_call_of_the_former_life_is_not_the_answer_to_one_of_the_new() {
    // given a request of ana's under an id, and her coming back under the same certificate
    let mut world = world();
    let envelope = world.envelope("ana", Ask::managed().command());
    world.execute(&envelope).unwrap();
    hr(&mut world, vec![leaves_at_once("ana")]).unwrap();
    hr(&mut world, vec![joins("ana", Some("ines"))]).unwrap();
    // when she sends it again
    let now = world.now();
    let again = countersign::domain::record::command::Envelope { now, ..envelope };
    // then it is judged by what she is now
    assert_refused(world.execute(&again), Reason::NoAccount);
}

#[test]
fn nor_is_one_of_somebody_without_an_account() {
    // given pia, who asked for an account, left and came back, within a day
    let mut world = world();
    let ask = RequestEnrolment { ask: an_account(), justification: String::new() };
    let envelope = world.envelope("pia", Command::from(ask));
    world.execute(&envelope).unwrap();
    hr(&mut world, vec![leaves_at_once("pia")]).unwrap();
    hr(&mut world, vec![joins("pia", Some("ines"))]).unwrap();
    // when she sends it again, then it is judged by what she has proved since, which is nothing
    let again = |world: &World| countersign::domain::record::command::Envelope { now: world.now(), ..envelope.clone() };
    let sent = again(&world);
    assert_refused(world.execute(&sent), Reason::NotEligible);
    // and once that is something, it is a request of its own
    let met_at = world.at;
    touch(&mut world, "pia", |pia| {
        pia.attestations = ["screening", "training"].map(|name| (name.parse().unwrap(), met_at)).into();
    });
    let sent = again(&world);
    assert_eq!(world.execute(&sent).unwrap().len(), 1);
    assert!(world.execute(&sent).unwrap().is_empty(), "and takes effect once");
    // nor is it forgotten by who comes to be known otherwise than by joining
    hr(&mut world, vec![event("pia", HrChange::Renamed { login: [identity("pia").parse().unwrap()].into() })]).unwrap();
    let sent = again(&world);
    assert!(world.execute(&sent).unwrap().is_empty());
}

#[test]
fn what_fell_due_with_the_leaving_is_not_told_of_somebody_who_left() {
    // given ana's last day, which is also the last of her `dba` and of her memberships
    let mut world = world();
    let end = noon().plus(span("180d"));
    hr(&mut world, vec![leaves("ana", end), moves("ana", Some("odo"), end)]).unwrap();
    world.at = end;
    let told = world.tick();
    let after = told.iter().skip_while(|event| event.fact.kind() != "person-left/1");
    let late: Vec<&str> = after
        .filter(|event| {
            event.fact.about().iter().any(|it| ["person:ana", "account:ana"].contains(&it.to_string().as_str()))
        })
        .map(|event| event.fact.kind())
        .filter(|kind| !kind.contains("recorded") && !kind.starts_with("grant"))
        .collect();
    assert_eq!(late, ["person-left/1"], "{:?}", kinds(&told));
}

#[test]
fn a_leaving_that_only_a_leaping_clock_has_reached_stays_announced() {
    let mut world = world();
    let id = granted_for(&mut world, "1h");
    world.wall_off_by = 3_600_000 * 24 * 365;
    hr(&mut world, vec![leaves("ana", noon().plus(span("30d")))]).unwrap();
    // then she is still there when the clock is put right
    world.wall_off_by = 0;
    assert_eq!(person(&world, "ana").employment, Employment::Employed);
    assert_eq!(world.grant_phase(id), "ACTIVE");
    world.pass_and_tick("30d");
    assert_eq!(person(&world, "ana").employment, Employment::Left);
}
