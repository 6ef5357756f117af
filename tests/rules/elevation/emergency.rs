//! Emergency access (issue of guard rails, part 4): asked for by name, another way of approval, a follow-up by those whom
//! it went around, and nothing more of it while one is overdue.

use countersign::domain::policy::parse_policy;
use countersign::domain::record::command::{Command, CompleteFollowUp};
use countersign::domain::record::emergency::Finding;
use countersign::domain::record::event::Event;
use countersign::domain::rule::visibility::{Thing, may_see, viewer};
use countersign::domain::value::ids::{Digest, ElevationId};
use countersign::domain::value::refusal::{Reason, Refusal};

use crate::world::{Ask, Organisation, POLICY, World, assert_refused, identity, kinds, span};

const WAY: &str = "emergency = { max_duration = \"20m\", approval = [{ by = [\"security\"], count = 1 }], \
                   follow_up_within = \"72h\" }";

/// The world in which `repair` and what machines deploy have an emergency way.
fn world() -> World {
    let mut policy = POLICY.replacen("title = \"Repair", &format!("{WAY}\ntitle = \"Repair"), 1);
    policy = policy.replacen("[entitlements.deploy]", &format!("[entitlements.deploy]\n{WAY}"), 1);
    World::of(&policy, Organisation::example()).unwrap()
}

fn emergency() -> Ask {
    Ask::repair().in_an_emergency()
}

/// Ana's emergency, let through by sam.
fn granted(world: &mut World) -> ElevationId {
    let id = emergency().by("ana", world).unwrap();
    world.approve("sam", id).unwrap();
    id
}

fn follow_up(world: &mut World, who: &str, id: ElevationId) -> Result<Vec<Event>, Refusal> {
    let digest = world.state.elevations().get(&id).map_or(Digest::of(b""), |it| it.review.digest());
    let comment = "the database was down".to_owned();
    world.send(who, Command::from(CompleteFollowUp { elevation: id, digest, finding: Finding::Justified, comment }))
}

fn sees(world: &World, who: &str, id: ElevationId) -> bool {
    let viewer = viewer(world.state.organisation(), &identity(who).parse().unwrap()).unwrap();
    may_see(&world.state, &viewer, Thing::Elevation(world.elevation(id)), world.now())
}

#[test]
fn an_emergency_is_approved_by_its_own_approvers_for_its_own_shorter_time() {
    // given an engineer who asks in an emergency
    let mut world = world();
    let id = emergency().lasting("20m").by("ana", &mut world).unwrap();
    assert!(world.elevation(id).review.text.contains("emergency: \"yes\"\n"));
    // when one of the ordinary approvers approves it, then it is not theirs
    assert_refused(world.approve("ben", id), Reason::NotAnApprover);
    // when one of its own does, then there is a grant, marked, and a follow-up is owed
    let events = world.approve("sam", id).unwrap();
    assert_eq!(kinds(&events), ["approval-recorded", "elevation-approved", "grant-issued", "follow-up-opened"]);
    let grant = world.grant_of(id).unwrap();
    assert!(grant.emergency && world.may("ana", "db.write", "prod/eu/db/orders/7"));
    assert_eq!(grant.end, world.at.plus(span("20m")));
    assert_eq!(world.elevation(id).open_follow_up().unwrap().due, world.at.plus(span("72h")));
    // and what is asked for without a duration is no longer than the way allows
    let mut world = self::world();
    let short = WAY.replace("20m", "5m");
    world.propose_policy(WAY, &short).unwrap();
    let id = granted(&mut world);
    assert_eq!(world.grant_of(id).unwrap().end, world.at.plus(span("5m")));
}

#[test]
fn nobody_falls_into_an_emergency() {
    // given an entitlement with such a way, and one without
    let mut world = world();
    // when it is asked for by the ordinary way, then the emergency's approvers are none of it
    let id = Ask::repair().by("ana", &mut world).unwrap();
    assert!(!world.elevation(id).review.text.contains("emergency: \"yes\""));
    assert_refused(world.approve("sam", id), Reason::NotFound);
    world.approve("ben", id).unwrap();
    assert!(!world.grant_of(id).unwrap().emergency && world.elevation(id).emergency.is_none());
    // when there is none, it is refused, and nothing is asked for
    let refused = Ask::maintenance().in_an_emergency().by("ana", &mut world);
    assert_refused(refused, Reason::EmergencyNotOffered);
}

#[test]
fn an_emergency_without_a_reason_is_refused_and_so_is_one_that_lasts_or_starts_later() {
    let mut world = world();
    for (ask, reason) in [
        (emergency().with(|it| it.justification = String::new()), Reason::JustificationRequired),
        // The ordinary way asks for 5 characters here.
        (emergency().with(|it| it.justification = "  it burns ".into()), Reason::JustificationRequired),
        (emergency().lasting("21m"), Reason::DurationTooLong),
        (emergency().starting(world.at.plus(span("5m"))), Reason::StartNotAllowed),
        (emergency().with(|it| it.ticket = None), Reason::TicketRequired),
    ] {
        assert_refused(ask.by("ana", &mut world), reason);
    }
}

#[test]
fn all_four_rules_of_separation_hold_in_an_emergency() {
    // rules 1 and 2: its approvers are approvers, when a policy and when a directory is proposed
    let both = POLICY.replacen("title = \"Repair", &format!("{WAY}\ntitle = \"Repair"), 1);
    let peers = both.replacen("[\"security\"], count = 1 }], follow", "[\"engineer\"], count = 1 }], follow", 1);
    assert!(parse_policy(&both).is_ok() && parse_policy(&peers).is_err());
    let mut world = world();
    assert!(world.change_directory(|organisation| organisation.join("ana-lab", "security")).is_err());
    // rule 3: none behind it, from whatever account, and no machine
    let id = emergency().by("ana", &mut world).unwrap();
    for who in ["ana", "ana-lab"] {
        assert_refused(world.approve(who, id), Reason::SelfApproval);
    }
    // rule 4: an approver who lost the role does not count when the grant is issued
    let two = WAY.replace("count = 1", "count = 2");
    world.withdraw("ana", id).unwrap();
    world.propose_policy(WAY, &two).unwrap();
    let id = emergency().by("ana", &mut world).unwrap();
    world.approve("sam", id).unwrap();
    world.change_directory(|organisation| organisation.leave("sam", "security")).unwrap();
    world.approve("eve", id).unwrap();
    assert_eq!((world.phase(id), world.grant_of(id)), ("PENDING", None));
}

#[test]
fn everyone_who_could_have_reviewed_by_the_ordinary_way_sees_it_and_may_revoke_it() {
    // given an emergency that waits
    let mut world = world();
    let id = emergency().by("ana", &mut world).unwrap();
    // then its own approvers see it, and the ordinary ones, and nobody else who has nothing to do with it
    for (who, wanted) in [("sam", true), ("ben", true), ("cleo", true), ("ines", true), ("dan", false), ("rex", false)]
    {
        assert_eq!(sees(&world, who, id), wanted, "{who}");
    }
    // and an ordinary request is none of those who approve in an emergency
    let ordinary = Ask::repair().on(&["prod/eu/db/orders/1"]).by("ana", &mut world).unwrap();
    assert!(!sees(&world, "sam", ordinary));
    // when it led to a grant, one whom it went around ends it
    world.approve("sam", id).unwrap();
    let grant = world.grant_of(id).unwrap().id;
    world.revoke("cleo", grant).unwrap();
    assert_eq!(world.grant_phase(id), "REVOKED");
    assert!(world.elevation(id).open_follow_up().is_some(), "it is owed all the same");
}

#[test]
fn the_follow_up_is_for_an_ordinary_approver_who_is_not_behind_it_and_did_not_let_it_through() {
    // given an emergency that led to a grant
    let mut world = world();
    let id = granted(&mut world);
    // then neither the holder, nor who approved it, nor the other of those, completes its follow-up
    assert_refused(follow_up(&mut world, "ana", id), Reason::SelfApproval);
    assert_refused(follow_up(&mut world, "ana-lab", id), Reason::SelfApproval);
    assert_refused(follow_up(&mut world, "sam", id), Reason::AlreadyReviewed);
    assert_refused(follow_up(&mut world, "eve", id), Reason::NotAnApprover);
    assert_refused(follow_up(&mut world, "dan", id), Reason::NotFound);
    // nor whoever read something else
    let other = Command::from(CompleteFollowUp {
        elevation: id,
        digest: Digest::of(b"another text"),
        finding: Finding::Justified,
        comment: "fine".into(),
    });
    assert_refused(world.send("ben", other), Reason::DigestMismatch);
    // when one of the ordinary approvers does, then it is on record, and a second time there is nothing to do
    let events = follow_up(&mut world, "ben", id).unwrap();
    assert_eq!(kinds(&events), ["follow-up-completed"]);
    assert!(world.elevation(id).open_follow_up().is_none());
    assert_refused(follow_up(&mut world, "cleo", id), Reason::NoFollowUp);
    // and of what was no emergency none is owed
    let (ordinary, _) = {
        world.pass("25m");
        world.tick();
        world.granted()
    };
    assert_refused(follow_up(&mut world, "cleo", ordinary), Reason::NoFollowUp);
}

#[test]
fn while_a_follow_up_is_overdue_nobody_behind_it_gets_further_emergency_access() {
    // given an emergency whose follow-up is due at an instant
    let mut world = world();
    let first = granted(&mut world);
    let due = world.elevation(first).open_follow_up().unwrap().due;
    world.pass("30m");
    world.tick();
    // when it is not due yet, another emergency is possible
    let second = granted(&mut world);
    world.pass("71h");
    let waits = emergency().on(&["prod/eu/db/orders/2"]).by("ana", &mut world).unwrap();
    // when that instant has come, by comparison, with no timer running
    world.at = due;
    // then a further one is refused, from whatever account, and one that waited leads to no grant
    let refusal = assert_refused(emergency().by("ana", &mut world), Reason::FollowUpOverdue);
    assert!(refusal.to_string().contains(&first.to_string()), "{refusal}");
    let (state, pending) = (&world.state, world.elevation(waits).clone());
    assert_eq!(pending.phase.name(), "PENDING");
    let issued = countersign::domain::rule::issue::issue(state, &pending, uuid::Uuid::nil().into(), world.now());
    assert_refused(issued, Reason::FollowUpOverdue);
    // and the ordinary way is open, and so is the emergency way of others
    Ask::repair().on(&["prod/eu/db/orders/3"]).by("ana", &mut world).unwrap();
    emergency().by("dan", &mut world).unwrap();
    // and the timer records it, once
    assert!(kinds(&world.tick()).contains(&"follow-up-overdue"));
    assert!(!kinds(&world.pass_and_tick("1m")).contains(&"follow-up-overdue"));
    // when the follow-up is completed late, then emergency access is possible again, until the next is overdue
    follow_up(&mut world, "ben", first).unwrap();
    emergency().on(&["prod/eu/db/orders/4"]).by("ana", &mut world).unwrap();
    world.pass("1h");
    assert_refused(emergency().on(&["prod/eu/db/orders/5"]).by("ana", &mut world), Reason::FollowUpOverdue);
    follow_up(&mut world, "cleo", second).unwrap();
}

#[test]
fn a_machines_emergency_is_owed_by_everybody_behind_it() {
    // given a machine that asks for ana in an emergency
    let mut world = world();
    let id = Ask::deploy().in_an_emergency().on_behalf_of("ana").by("pipe", &mut world).unwrap();
    world.approve("sam", id).unwrap();
    // when its follow-up is overdue
    world.pass("73h");
    // then neither she nor another machine of its owner gets emergency access
    assert_refused(emergency().by("ana", &mut world), Reason::FollowUpOverdue);
    let again = Ask::deploy().in_an_emergency().on(&["prod/us/apps/orders"]).on_behalf_of("dan");
    assert_refused(again.by("pipe", &mut world), Reason::FollowUpOverdue);
}

#[test]
fn what_is_owed_is_kept_until_it_is_done_and_forgotten_then() {
    // given an emergency that is long over
    let mut world = world();
    let id = granted(&mut world);
    world.pass("25m");
    world.tick();
    world.pass("30d");
    world.tick();
    // then it is still in memory, with its grant, and the same after a restart
    assert_eq!(world.grant_phase(id), "ENDED");
    world.restart(None);
    assert!(world.elevation(id).open_follow_up().is_some());
    assert_refused(emergency().by("ana", &mut world), Reason::FollowUpOverdue);
    // when its follow-up is completed, then it leaves
    follow_up(&mut world, "ben", id).unwrap();
    world.pass("5m");
    world.tick();
    assert!(world.state.elevations().get(&id).is_none() && world.state.grants().is_empty());
    emergency().by("ana", &mut world).unwrap();
}

#[test]
fn a_proposal_that_takes_the_ordinary_role_away_leaves_somebody_to_follow_up() {
    // given an emergency, and a policy by which others approve in the ordinary way
    let mut world = world();
    let id = granted(&mut world);
    world
        .propose_policy("approval = [{ by = [\"commander\"], count = 1 }]\n", "approval = [{ by = [\"revoker\"] }]\n")
        .unwrap();
    // then those of then and those of now may complete it
    assert!(sees(&world, "rex", id) && sees(&world, "ben", id));
    follow_up(&mut world, "rex", id).unwrap();
}

#[test]
fn an_emergency_into_a_tenant_asks_the_tenant_too() {
    let tenant = |emergency: &str| {
        format!(
            "[roles.engineer]\n[roles.duty]\n[entitlements.mail]\ntitle = \"Mail\"\nactions = [\"mail.read\"]\n\
             resources = [\"tenants/*/mail/**\"]\nrequestable_by = [\"engineer\"]\nmax_duration = \"1h\"\n\
             approval = [{{ by = [\"@tenant\"] }}]\n\
             emergency = {{ max_duration = \"10m\", approval = [{emergency}] }}\n"
        )
    };
    assert!(parse_policy(&tenant("{ by = [\"duty\"] }, { by = [\"@tenant\"] }")).is_ok());
    let mistakes = parse_policy(&tenant("{ by = [\"duty\"] }")).unwrap_err();
    assert_eq!(mistakes[0].found, "an emergency way into `tenants/` that no tenant approves");
}
