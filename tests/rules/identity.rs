//! An identity does not wander: what was behind a request approves nothing in it, and what one person has or had goes to another
//! only by the word of somebody else (known failure B10).

use std::collections::BTreeSet;

use countersign::domain::record::command::{ApproveElevation, Command, CompleteFollowUp};
use countersign::domain::record::elevation::Cancellation;
use countersign::domain::record::emergency::Finding;
use countersign::domain::record::event::{ElevationFact, Event, Fact, ProposalFact};
use countersign::domain::record::grant::{GrantPhase, Revocation};
use countersign::domain::record::hr::{HrChange, HrEvent};
use countersign::domain::record::review::Phase;
use countersign::domain::rule::feed::{IdentityMove, feed_status};
use countersign::domain::value::ids::{ElevationId, Identity};
use countersign::domain::value::refusal::{Reason, Refusal};

use crate::support::feed::{applied, decide, held, hold, id, import, left, named, renamed, tell, world};
use crate::world::enrolments::{a_machine, an_account, machine_with};
use crate::world::{Ask, NOON, World, assert_refused, at, identity, kinds, span};

const MOVED: Cancellation = Cancellation::RequesterNotEligible { reason: Reason::IdentityMoved };

fn because(world: &World, id: ElevationId) -> Cancellation {
    match &world.elevation(id).phase {
        Phase::Cancelled { because, .. } => because.clone(),
        other => panic!("not cancelled but {}", other.name()),
    }
}

fn known_as(world: &World, name: &str) -> Option<String> {
    let identity: Identity = identity(name).parse().unwrap();
    world.state.organisation().principal(&identity).map(ToString::to_string)
}

/// Decides on the only hold that there is.
fn decide_only(world: &mut World, who: &str, release: bool) -> Result<Vec<Event>, Refusal> {
    let only = hold(world);
    decide(world, who, &only, release)
}

#[test]
fn hrs_connector_and_one_certificate_do_not_approve_their_own_request() {
    // given what ana asked for
    let mut world = world(50);
    let asked = Ask::repair().by("ana", &mut world).unwrap();
    // when HR gives her a parked name and ben hers, then the request is over, and ben's new name waits for a person, while
    // the old one is gone
    let events = tell(&mut world, vec![renamed("ana", "parked"), renamed("ben", "ana")]).unwrap();
    assert_eq!(applied(&events), ["RENAMED ana", "RENAMED ben"]);
    assert_eq!((known_as(&world, "ana"), known_as(&world, "ben")), (None, None));
    assert_eq!(because(&world, asked), MOVED);
    assert_eq!(held(&hold(&world)), ["RENAMED ben"]);
    assert_eq!(known_as(&world, "ana"), None);
    // whoever reads what is held reads which identity moves, and between whom
    let status = feed_status(&world.state, world.now());
    let told: Vec<_> = status.moves[&hold(&world).id].iter().collect();
    let [IdentityMove { identity: moved, from, to }] = told[..] else { panic!("{told:?}") };
    assert_eq!((moved.to_string(), to), (identity("ana"), &id("ben")));
    assert_eq!(*from, BTreeSet::from([id("ana")]));
    // and her certificate is nobody's, so that it approves nothing
    assert_refused(world.approve("ana", asked), Reason::NoAccount);
    // and HR gives her her own name again without asking anybody
    tell(&mut world, vec![renamed("ana", "ana")]).unwrap();
    assert_eq!(known_as(&world, "ana"), Some("account:ana".into()));
    assert_eq!(world.phase(asked), "CANCELLED");
}

#[test]
fn two_commands_an_import_and_a_name_that_is_given_and_taken_within_one_command_are_held_alike() {
    let mut world = world(50);
    tell(&mut world, vec![renamed("ana", "parked")]).unwrap();
    world.pass("30d");
    tell(&mut world, vec![renamed("ben", "ana")]).unwrap();
    assert_eq!((known_as(&world, "ana"), known_as(&world, "ben")), (None, None));
    decide_only(&mut world, "rela", false).unwrap();
    // a whole file says the same
    let mut people = crate::support::feed::file(&world);
    people.get_mut("ben").unwrap().login = BTreeSet::from([identity("ana").parse().unwrap()]);
    let events = import(&mut world, 1, &people).unwrap();
    assert!(known_as(&world, "ana").is_none() && applied(&events).is_empty(), "{events:?}");
    decide_only(&mut world, "rela", false).unwrap();
    // and a name that one has for a moment alone is as much that one's
    let events = tell(&mut world, vec![named("ana", &["parked", "z"]), renamed("ana", "parked"), renamed("ben", "z")]);
    assert_eq!(applied(&events.unwrap()), ["RENAMED ana", "RENAMED ana"]);
    assert_eq!(held(&hold(&world)), ["RENAMED ben"]);
    // while what somebody still has is a mistake, as it was
    assert_refused(tell(&mut world, vec![renamed("cleo", "dan")]), Reason::IdentityTaken);
}

#[test]
fn what_moves_is_let_go_by_neither_of_the_two() {
    // given rela, who may release, and had the name that ben is to have
    let mut world = world(50);
    tell(&mut world, vec![named("rela", &["rela", "old"])]).unwrap();
    tell(&mut world, vec![renamed("rela", "rela")]).unwrap();
    tell(&mut world, vec![renamed("ben", "old")]).unwrap();
    let waiting = hold(&world);
    // then she does not let it go, and somebody else does
    assert_refused(decide(&mut world, "rela", &waiting, true), Reason::OwnStanding);
    let events = decide(&mut world, "relo", &waiting, true).unwrap();
    assert_eq!(applied(&events), ["RENAMED ben"]);
    assert_eq!(known_as(&world, "old"), Some("account:ben".into()));
    // and neither a name for themselves
    tell(&mut world, vec![named("rela", &["rela", "ben"])]).unwrap();
    assert_refused(decide_only(&mut world, "rela", true), Reason::OwnStanding);
}

#[test]
fn after_180_days_a_name_is_free_and_nothing_of_it_is_kept() {
    let mut world = world(50);
    tell(&mut world, vec![renamed("ana", "parked")]).unwrap();
    assert!(world.state.organisation().formerly().oldest().is_some());
    world.pass("179d");
    world.tick();
    assert!(world.state.organisation().formerly().oldest().is_some());
    world.pass("25h");
    assert_eq!(applied(&tell(&mut world, vec![renamed("ben", "ana")]).unwrap()), ["RENAMED ben"]);
    world.pass("180d");
    world.tick();
    // what ben gave up for it is a day younger
    world.pass("1d");
    world.tick();
    assert_eq!(world.state.organisation().formerly().oldest(), None);
}

#[test]
fn the_name_of_somebody_who_left_goes_to_the_next_only_once_it_was_let_go() {
    let mut world = world(50);
    let now = world.at;
    tell(&mut world, vec![left("dan", now)]).unwrap();
    let next = || HrEvent {
        person: id("dora"),
        change: HrChange::Joined {
            login: BTreeSet::from([identity("dan").parse().unwrap()]),
            manager: Some(id("ines")),
        },
    };
    assert!(applied(&tell(&mut world, vec![next()]).unwrap()).is_empty());
    assert_eq!(applied(&decide_only(&mut world, "rela", true).unwrap()), ["JOINED dora"]);
    // and 180 days after the leaving without a word
    let now = world.at;
    tell(&mut world, vec![left("cleo", now)]).unwrap();
    world.pass("181d");
    let login = BTreeSet::from([identity("cleo").parse().unwrap()]);
    let next = HrEvent { person: id("cora"), change: HrChange::Joined { login, manager: Some(id("ines")) } };
    assert_eq!(applied(&tell(&mut world, vec![next]).unwrap()), ["JOINED cora"]);
}

#[test]
fn a_name_more_changes_nothing_and_a_name_less_voids_what_its_person_asked_for_and_approved() {
    // given requests of ana's, an approval of ben's that waits for another, and one that led to a scheduled grant
    let mut world = world(50);
    let pending = Ask::repair().by("ana", &mut world).unwrap();
    let two = Ask::critical().by("dan", &mut world).unwrap();
    world.approve("ben", two).unwrap();
    let scheduled = Ask::maintenance().starting(at(NOON).plus(span("2h"))).by("dan", &mut world).unwrap();
    world.approve("ben", scheduled).unwrap();
    let started = Ask::deploy().by("dan", &mut world).unwrap();
    world.approve("ben", started).unwrap();
    // when both get a name more
    tell(&mut world, vec![named("ana", &["ana", "ana2"]), named("ben", &["ben", "ben2"])]).unwrap();
    assert_eq!((world.phase(pending), world.elevation(two).review.approvals().count()), ("PENDING", 1));
    // and then lose it
    let events = tell(&mut world, vec![named("ana", &["ana"]), named("ben", &["ben"])]).unwrap();
    assert_eq!(because(&world, pending), MOVED);
    assert_eq!(world.elevation(two).review.approvals().count(), 0);
    assert_eq!(world.elevation(two).review.decisions[0].struck.as_ref().unwrap().reason, Reason::IdentityMoved);
    assert!(kinds(&events).contains(&"approval-struck"));
    let void = Revocation::ApprovalVoid { person: id("ben"), reason: Reason::IdentityMoved };
    assert!(
        matches!(&world.grant_of(scheduled).unwrap().phase, GrantPhase::Revoked { because, .. } if *because == void)
    );
    // while a grant that has started goes on
    assert_eq!(world.grant_phase(started), "ACTIVE");
}

#[test]
fn what_takes_a_name_away_counts_at_the_brake_and_a_proposal_does_not() {
    let mut world = world(1);
    assert_eq!(applied(&tell(&mut world, vec![renamed("ana", "parked")]).unwrap()), ["RENAMED ana"]);
    assert!(applied(&tell(&mut world, vec![named("dan", &["dan", "parked2"])]).unwrap()).is_empty());
    assert_eq!(held(&hold(&world)), ["RENAMED dan"]);
    world
        .change_directory(|all| {
            all.accounts.get_mut("ana").unwrap().identities = [identity("parked")].into();
            for name in ["ben", "cleo"] {
                all.accounts.get_mut(name).unwrap().identities = [identity(&format!("{name}2"))].into();
            }
        })
        .unwrap();
    assert_eq!(known_as(&world, "ben2"), Some("account:ben".into()));
}

#[test]
fn enrolments_and_proposals_are_cancelled_alike() {
    let mut world = world(50);
    let machine = world.enrol("ana", a_machine("bot9", &[])).unwrap();
    let account = world.enrol("pia", an_account()).unwrap();
    let proposal = {
        let mut changed = world.organisation.clone();
        changed.leave("ana", "engineer");
        let replaces = world.state.organisation().directory_digest().unwrap();
        let file = countersign::domain::record::proposal::ProposedFile::Directory;
        world.propose("lea", file, replaces, changed.to_toml()).unwrap()
    };
    tell(&mut world, vec![renamed("ana", "parked"), renamed("pia", "pia2"), renamed("lea", "lea2")]).unwrap();
    for id in [machine, account] {
        assert_eq!(world.enrolment_phase(id), "CANCELLED");
    }
    assert_eq!(world.state.proposals().get(&proposal).unwrap().phase.name(), "CANCELLED");
}

#[test]
fn a_machine_takes_no_name_that_somebody_else_had() {
    let mut world = world(50);
    tell(&mut world, vec![renamed("ana", "parked")]).unwrap();
    let ask = || {
        machine_with("bot9", &[], |it| {
            it.identities = BTreeSet::from([identity("ana").parse().unwrap()]);
        })
    };
    assert_refused(world.enrol("dan", ask()), Reason::IdentityTaken);
    world.pass("180d");
    world.enrol("dan", ask()).unwrap();
}

#[test]
fn a_certificate_that_was_behind_an_emergency_does_not_complete_its_follow_up() {
    // given an emergency of ana's that led to a grant, and her certificate, which is ben's by now, let go by somebody
    let way = "emergency = { max_duration = \"20m\", approval = [{ by = [\"security\"], count = 1 }], follow_up_within = \"72h\" }";
    let plain = world(50);
    let policy = plain.policy.replacen("[entitlements.repair]", &format!("[entitlements.repair]\n{way}"), 1);
    let mut world = World::of(&policy, plain.organisation.clone()).unwrap();
    let asked = Ask::repair().in_an_emergency().by("ana", &mut world).unwrap();
    world.approve("sam", asked).unwrap();
    tell(&mut world, vec![renamed("ana", "parked"), named("ben", &["ben", "ana"])]).unwrap();
    decide_only(&mut world, "rela", true).unwrap();
    assert_eq!(known_as(&world, "ana"), Some("account:ben".into()));
    let complete = |world: &World| {
        let digest = world.elevation(asked).review.digest();
        let (finding, comment) = (Finding::Justified, "fine".to_owned());
        Command::from(CompleteFollowUp { elevation: asked, digest, finding, comment })
    };
    // then that certificate does not say that all was well, and ben's own does
    let command = complete(&world);
    let refusal = assert_refused(world.send("ana", command), Reason::SelfApproval);
    assert!(refusal.detail.contains(&identity("ana")), "{refusal}");
    let command = complete(&world);
    world.send("ben", command).unwrap();
}

#[test]
fn a_file_that_moves_an_identity_names_both_and_is_by_others() {
    // given zoe and yan, whom only files have named, and that zoe's certificate became another
    let mut world = World::new();
    let change = |to: &'static str, from: &'static str| {
        move |all: &mut crate::world::Organisation| {
            all.accounts.get_mut(from).unwrap().identities = [identity("parked")].into();
            all.accounts.get_mut(to).unwrap().identities.insert(identity(from));
        }
    };
    let mut changed = world.organisation.clone();
    change("dan", "ana")(&mut changed);
    let replaces = world.state.organisation().directory_digest().unwrap();
    let file = countersign::domain::record::proposal::ProposedFile::Directory;
    // when others propose and approve it, then the text names both, and it is so
    let proposal = world.propose("lea", file, replaces, changed.to_toml()).unwrap();
    let text = world.state.proposals().get(&proposal).unwrap().review.text.clone();
    assert!(text.contains(&format!("identity {} moves: ana -> dan", identity("ana"))), "{text}");
    let pending = Ask::repair().by("ana", &mut world).unwrap();
    let events = world.approve_proposal("lou", proposal).unwrap();
    assert!(matches!(&events[0].fact, Fact::Proposal(ProposalFact::Approved(_))));
    assert_eq!(known_as(&world, "ana"), Some("account:dan".into()));
    assert_eq!(because(&world, pending), MOVED);
    world.organisation = changed;
    // while neither of the two makes it, nor approves it
    for (from, to) in [("lea", "dan"), ("dan", "lea"), ("lou", "dan"), ("dan", "lou")] {
        let mut changed = world.organisation.clone();
        change(to, from)(&mut changed);
        changed.accounts.get_mut(from).unwrap().identities = [identity(&format!("{from}2"))].into();
        let replaces = world.state.organisation().directory_digest().unwrap();
        let refused = match world.propose("lea", file, replaces, changed.to_toml()) {
            Ok(proposal) => {
                let refused = world.approve_proposal("lou", proposal).unwrap_err();
                let reason = String::new();
                let withdraw = countersign::domain::record::command::WithdrawProposal { proposal, reason };
                world.send("lea", Command::from(withdraw)).unwrap();
                refused
            }
            Err(refused) => refused,
        };
        assert_eq!(refused.reason, Reason::OwnStanding, "{from} -> {to}: {refused}");
    }
}

#[test]
fn each_request_and_decision_says_where_it_came_from() {
    let mut world = World::new();
    let (asked, _) = world.granted();
    let denied = Ask::repair().on(&["prod/eu/db/orders/7"]).by("dan", &mut world).unwrap();
    world.deny("ben", denied).unwrap();
    let enrolment = world.enrol("pia", an_account()).unwrap();
    world.approve_enrolment("ines", enrolment).unwrap();
    world.change_directory(|all| all.leave("eve", "security")).unwrap();
    let from = |name: &str| Some(crate::world::calls::calling(identity(name).parse().unwrap()));
    let elevation = world.elevation(asked);
    assert_eq!(elevation.call.from, from("ana"));
    assert_eq!(elevation.review.decisions[0].call.from, from("ben"));
    assert_eq!(world.elevation(denied).review.decisions[0].call.from, from("ben"));
    assert_eq!(world.enrolment(enrolment).call.from, from("pia"));
    assert_eq!(world.enrolment(enrolment).review.decisions[0].call.from, from("ines"));
    let proposal = world.state.proposals().values().next().unwrap();
    assert_eq!(
        (proposal.call.from.clone(), proposal.review.decisions[0].call.from.clone()),
        (from("lea"), from("lou"))
    );
    // the sequence is the one right before each
    let made = |event: &Event| matches!(&event.fact, Fact::Elevation(ElevationFact::Requested(it)) if it.id == asked);
    let event = world.events.iter().find(|event| made(event)).unwrap();
    assert_eq!(world.elevation(asked).call.after + 1, event.sequence);
}

#[test]
fn a_certificate_of_whoever_is_behind_it_approves_nothing_whomever_it_means() {
    // given a request whose identity means an approver without that anything else would have noticed: rule 3 stands by itself
    let mut world = world(50);
    let asked = Ask::repair().by("ana", &mut world).unwrap();
    let mut elevation = world.elevation(asked).clone();
    elevation.call.from = Some(crate::world::calls::calling(identity("ben").parse().unwrap()));
    let organisation = world.state.organisation();
    let of = |name: &str| {
        let identity = identity(name).parse().unwrap();
        countersign::domain::rule::identities::separation_rule_3_identity(organisation, &elevation, &identity)
    };
    assert_refused(of("ben"), Reason::SelfApproval);
    of("cleo").unwrap();
    // (where it means ana, persons are compared)
    of("ana").unwrap();
    assert_refused(world.clone().approve("ana", asked), Reason::SelfApproval);
    // and one that ana has lost since, whoever has it
    tell(&mut world, vec![named("ana", &["ana", "z"])]).unwrap();
    tell(&mut world, vec![named("ana", &["ana"]), named("ben", &["ben", "z"])]).unwrap();
    decide_only(&mut world, "rela", true).unwrap();
    let organisation = world.state.organisation();
    let z = identity("z").parse().unwrap();
    let refused = countersign::domain::rule::identities::separation_rule_3_identity(organisation, &elevation, &z);
    assert_refused(refused, Reason::SelfApproval);
    // (by then the request is over as well)
    let digest = elevation.review.digest();
    let command = Command::from(ApproveElevation { elevation: asked, digest, comment: String::new() });
    assert_refused(world.send("z", command), Reason::NotPending);
}

#[test]
fn separation_rule_3_a_certificate_that_asked_approves_nothing_whatever_else_would_stop_it() {
    // given what ana asked for, and that her certificate is ben's since, by a change that has cancelled nothing
    let mut world = world(50);
    let asked = Ask::repair().by("ana", &mut world).unwrap();
    let (anas, parked): (Identity, Identity) = (identity("ana").parse().unwrap(), identity("parked").parse().unwrap());
    crate::support::records::change_account(&mut world, "ana", |it| it.identities = [parked].into());
    crate::support::records::change_account(&mut world, "ben", |it| {
        it.identities.insert(anas);
    });
    assert_eq!(known_as(&world, "ana"), Some("account:ben".into()));
    assert_eq!(world.phase(asked), "PENDING");
    // then by that certificate it is not approved, and the reason is that it asked
    assert_refused(world.approve("ana", asked), Reason::SelfApproval);
}
