//! Nobody comes to decide for themselves by the way: by taking over what holds, extending what was taken away, lifting what stops
//! them, or standing in for the manager of whom they brought (design.md 4; known failures A3, A11 and B6).

use countersign::domain::record::command::{Command, CreateLock, DeleteLock};
use countersign::domain::record::elevation::Cancellation;
use countersign::domain::record::grant::{GrantPhase, Revocation};
use countersign::domain::record::hr::{HrChange, HrEvent};
use countersign::domain::record::lock::{LockMode, Locked};
use countersign::domain::record::review::Phase;
use countersign::domain::value::ids::{ElevationId, GrantId};
use countersign::domain::value::refusal::Reason;

use crate::support::life;
use crate::world::enrolments::{a_role, an_account, take_over};
use crate::world::{Ask, Organisation, POLICY, World, assert_refused, kinds};

#[test]
fn whoever_approved_and_takes_over_the_machine_that_holds_the_grant_ends_it() {
    // given a live grant of a machine's, which ben approved before he left the approving role
    let mut world = World::new();
    let approved = Ask::deploy().by("bot", &mut world).unwrap();
    world.approve("ben", approved).unwrap();
    world.change_directory(|all| all.leave("ben", "commander")).unwrap();
    assert_eq!(world.grant_phase(approved), "ACTIVE");
    // when ben takes the machine over
    world.enrolled("ben", take_over("bot"), &["ines"]);
    // then the grant is revoked with it, because nobody approves for themselves
    let grant = world.grant_of(approved).unwrap();
    let because = Revocation::ApprovalVoid { person: "ben".parse().unwrap(), reason: Reason::SelfApproval };
    assert_eq!(grant.phase, GrantPhase::Revoked { at: world.at, because });
    assert!(!world.may("bot", "deploy.run", "prod/eu/apps/orders"));
    // and by a file as well, while one whom somebody else approved goes on
    let mut world = World::new();
    let (of_ben, of_cleo) = (Ask::deploy().by("bot", &mut world).unwrap(), Ask::deploy().on(&["prod/eu/apps/x"]));
    let of_cleo = of_cleo.by("bot", &mut world).unwrap();
    world.approve("ben", of_ben).unwrap();
    world.approve("cleo", of_cleo).unwrap();
    world.change_directory(|all| all.leave("ben", "commander")).unwrap();
    world.change_directory(|all| all.accounts.get_mut("bot").unwrap().owner = Some("ben".into())).unwrap();
    assert_eq!((world.grant_phase(of_ben), world.grant_phase(of_cleo)), ("REVOKED", "ACTIVE"));
}

/// A live grant of ana's and a pending extension of it, beside a pending request that extends nothing.
fn extended(world: &mut World) -> (GrantId, ElevationId, ElevationId) {
    let (_, grant) = world.granted();
    let extension = Ask::repair().extending(grant).by("ana", world).unwrap();
    let other = Ask::repair().on(&["prod/eu/db/orders/7"]).by("ana", world).unwrap();
    (grant, extension, other)
}

fn assert_gone_with(world: &World, grant: GrantId, extension: ElevationId) {
    let because = Cancellation::ExtendedOver { grant };
    assert_eq!(world.elevation(extension).phase, Phase::Cancelled { at: world.at, because });
    world.assert_replays();
}

#[test]
fn a_pending_extension_goes_with_its_grant_in_whatever_way_that_ends() {
    // by a person
    let mut world = World::new();
    let (grant, extension, other) = extended(&mut world);
    let events = world.revoke("ben", grant).unwrap();
    assert_eq!(kinds(&events), ["grant-revoked", "elevation-cancelled"]);
    assert_gone_with(&world, grant, extension);
    assert_eq!(world.phase(other), "PENDING");
    assert_refused(world.approve("cleo", extension), Reason::NotPending);
    // by a restart that voids
    let mut world = World::new();
    let (grant, extension, _) = extended(&mut world);
    world.restart(Some(&Revocation::Restart));
    assert_gone_with(&world, grant, extension);
    // by an approver who leaves under suspicion
    let mut world = life::world();
    let (grant, extension, _) = extended(&mut world);
    let approver =
        world.elevation(world.state.grants().get(&grant).unwrap().elevation).review.decisions[0].person.clone();
    let change = countersign::domain::record::hr::HrChange::Left { at: world.at, urgent: true, also_approved: true };
    life::hr(&mut world, vec![life::event(approver.as_str(), change)]).unwrap();
    assert_gone_with(&world, grant, extension);
    // by a lock that revokes what the grant covers and the extension does not: here all of it, recorded once
    let mut world = locking();
    let (grant, extension, _) = extended(&mut world);
    let lock = CreateLock {
        on: Locked::Role("engineer".parse().unwrap()),
        mode: LockMode::Revoke,
        reason: "a leak".into(),
        until: None,
    };
    let events = world.send("rex", Command::from(lock)).unwrap();
    let closed = kinds(&events).into_iter().filter(|kind| *kind == "elevation-cancelled").count();
    assert_eq!((closed, world.phase(extension)), (2, "CANCELLED"));
    assert!(!world.state.grants().get(&grant).unwrap().is_open());
    // by whoever gives it up
    let mut world = World::new();
    let (grant, extension, other) = extended(&mut world);
    let events = world.relinquish("ana", grant).unwrap();
    assert_eq!(kinds(&events), ["grant-relinquished", "elevation-cancelled"]);
    assert_gone_with(&world, grant, extension);
    assert_eq!(world.phase(other), "PENDING");
    // by its end, with the timer and without
    let mut world = World::new();
    let (grant, extension, other) = extended(&mut world);
    world.pass("15m");
    assert_refused(world.clone().approve("cleo", extension), Reason::NotPending);
    assert_eq!(kinds(&world.tick()), ["grant-ended", "elevation-cancelled"]);
    assert_gone_with(&world, grant, extension);
    assert_refused(world.approve("cleo", extension), Reason::NotPending);
    world.approve("cleo", other).unwrap();
}

/// The example, in which rex and ana may lock, and ana is an engineer as before.
fn locking() -> World {
    let policy =
        POLICY.replacen("[roles.engineer]", "[roles.locker]\ncapabilities = [\"lock.manage\"]\n[roles.engineer]", 1);
    let mut organisation = Organisation::example();
    organisation.join("rex", "locker");
    organisation.join("ana", "locker");
    World::of(&policy, organisation).unwrap()
}

#[test]
fn whoever_holds_a_grant_that_a_lock_stops_does_not_lift_it() {
    let role = |name: &str| Locked::Role(name.parse().unwrap());
    let stopping = [
        role("engineer"),
        Locked::Entitlement("repair".parse().unwrap()),
        Locked::Resources("prod/eu/**".parse().unwrap()),
        Locked::Everything,
    ];
    for on in stopping {
        // given a lock that stops a grant of ana's, who may lock
        let mut world = locking();
        let (_, grant) = world.granted();
        let lock = CreateLock { on: on.clone(), mode: LockMode::Suspend, reason: "a leak".into(), until: None };
        world.send("rex", Command::from(lock)).unwrap();
        let lock = *world.state.organisation().locks().all().keys().next().unwrap();
        let lift = || Command::from(DeleteLock { lock, reason: "it was nothing".into() });
        // then ana does not lift it, and hears of which grant
        let refusal = assert_refused(world.send("ana", lift()), Reason::OwnLock);
        assert_eq!(refusal.facts["grant"], grant.to_string(), "{on}");
        // and somebody else does, or ana once the grant is given up
        let mut other = world.clone();
        other.send("rex", lift()).unwrap();
        world.relinquish("ana", grant).unwrap();
        world.send("ana", lift()).unwrap();
    }
    // and one that stops nothing of theirs they lift
    let mut world = locking();
    world.granted();
    for on in
        [role("commander"), Locked::Entitlement("deploy".parse().unwrap()), Locked::Tenant("acme".parse().unwrap())]
    {
        let lock = CreateLock { on, mode: LockMode::Suspend, reason: "a leak".into(), until: None };
        world.send("rex", Command::from(lock)).unwrap();
        let lock = *world.state.organisation().locks().all().keys().next().unwrap();
        world.send("ana", Command::from(DeleteLock { lock, reason: "it was nothing".into() })).unwrap();
    }
}

#[test]
fn nor_whoever_asked_for_what_it_stops() {
    let locked = |world: &mut World, on: &Locked| {
        let lock = CreateLock { on: on.clone(), mode: LockMode::Suspend, reason: "a leak".into(), until: None };
        world.send("rex", Command::from(lock)).unwrap();
        let lock = *world.state.organisation().locks().all().keys().next().unwrap();
        Command::from(DeleteLock { lock, reason: "it was nothing".into() })
    };
    let role = |name: &str| Locked::Role(name.parse().unwrap());
    // given a pending request of ana's, who may lock, and a lock that stops it
    for on in [
        role("engineer"),
        Locked::Entitlement("repair".parse().unwrap()),
        Locked::Resources("prod/eu/**".parse().unwrap()),
        Locked::Everything,
    ] {
        let mut world = locking();
        let asked = Ask::repair().by("ana", &mut world).unwrap();
        let lift = locked(&mut world, &on);
        // then ana does not lift it, and hears of which request; once that is withdrawn it is none of theirs
        let refusal = assert_refused(world.send("ana", lift.clone()), Reason::OwnLock);
        assert_eq!(refusal.facts["elevation"], asked.to_string(), "{on}");
        let mut other = world.clone();
        other.withdraw("ana", asked).unwrap();
        other.send("ana", lift.clone()).unwrap();
        world.send("rex", lift).unwrap();
    }
    // and one at a customer
    let mut world = locking();
    Ask::of("support", &["db.read"], &["tenants/acme/db/main"]).by("ana", &mut world).unwrap();
    let lift = locked(&mut world, &Locked::Tenant("acme".parse().unwrap()));
    assert_refused(world.send("ana", lift), Reason::OwnLock);
    // and of their machine
    let mut world = locking();
    world.change_directory(|all| all.accounts.get_mut("bot").unwrap().owner = Some("ana".into())).unwrap();
    Ask::deploy().by("bot", &mut world).unwrap();
    let lift = locked(&mut world, &Locked::Entitlement("deploy".parse().unwrap()));
    assert_refused(world.send("ana", lift), Reason::OwnLock);
}

#[test]
fn nor_whoever_asked_for_a_role_that_it_is_on() {
    let mut world = locking();
    let asked = world.enrol("rex", a_role("engineer")).unwrap();
    let on = Locked::Role("engineer".parse().unwrap());
    let lock = CreateLock { on, mode: LockMode::Suspend, reason: "a leak".into(), until: None };
    world.send("ana", Command::from(lock)).unwrap();
    let lock = *world.state.organisation().locks().all().keys().next().unwrap();
    let lift = || Command::from(DeleteLock { lock, reason: "it was nothing".into() });
    let refusal = assert_refused(world.send("rex", lift()), Reason::OwnLock);
    assert_eq!(refusal.facts["enrolment"], asked.to_string());
    world.send("ana", lift()).unwrap();
}

#[test]
fn a_lock_on_a_tenant_is_not_lifted_by_whoever_holds_a_grant_there() {
    let mut world = locking();
    let support = Ask::of("support", &["db.read"], &["tenants/acme/db/main"]).by("ana", &mut world).unwrap();
    world.approve("sam", support).unwrap();
    let on = Locked::Tenant("acme".parse().unwrap());
    let lock = CreateLock { on, mode: LockMode::Suspend, reason: "a leak".into(), until: None };
    world.send("rex", Command::from(lock)).unwrap();
    let lock = *world.state.organisation().locks().all().keys().next().unwrap();
    let lift = || Command::from(DeleteLock { lock, reason: "it was nothing".into() });
    assert_refused(world.send("ana", lift()), Reason::OwnLock);
    world.send("rex", lift()).unwrap();
}

#[test]
fn whoever_was_struck_out_and_is_in_the_role_again_hears_who_can_decide() {
    // given a request that needs two, approved by ben, who then left the role and came back
    let mut world = World::new();
    let id = Ask::critical().by("ana", &mut world).unwrap();
    world.approve("ben", id).unwrap();
    world.change_directory(|all| all.leave("ben", "commander")).unwrap();
    world.change_directory(|all| all.join("ben", "commander")).unwrap();
    // when ben approves again
    let refusal = assert_refused(world.approve("ben", id), Reason::ApprovalStruck);
    // then ben hears that it no longer counts, and why, and who can decide
    assert_eq!(refusal.facts["cause"], "NOT_AN_APPROVER");
    for told in ["`ben`", "NOT_AN_APPROVER", "`commander` or `security` can decide: `cleo`, `eve`, `sam`"] {
        assert!(refusal.detail.contains(told), "{told}: {}", refusal.detail);
    }
    // and whoever was not struck out counts once, as ever
    world.approve("cleo", id).unwrap();
    assert_refused(world.approve("cleo", id), Reason::AlreadyReviewed);
    // and ben may still say no
    world.deny("ben", id).unwrap();
}

#[test]
fn whoever_owns_the_feed_that_brought_somebody_stands_in_for_no_manager_of_theirs() {
    // given noa, who owns HR's machine and is in the office that stands in for managers, with nobody else in it
    let joins = |world: &mut World, name: &str| {
        life::hr(world, vec![life::joins(name, None)]).unwrap();
        for requirement in ["screening", "training"] {
            let met = world.now().stamp;
            crate::support::records::touch(world, name, |it| {
                let _ = it.attestations.insert(requirement.parse().unwrap(), met);
            });
        }
    };
    let mut world = life::world();
    joins(&mut world, "second");
    // then whom the machine brings is let in by nobody
    assert_refused(world.enrol("second", an_account()), Reason::NoApprover);
    // given another in that office, then by that one, and not by noa
    let mut all = life::organisation();
    all.join("rex", "people-office");
    let mut world = World::of(&life::policy(), all).unwrap();
    joins(&mut world, "second");
    let asked = world.enrol("second", an_account()).unwrap();
    assert_refused(world.approve_enrolment("noa", asked), Reason::NotFound);
    // nor once somebody else owns the machine: noa did when it brought them, and the new owner does by now
    let before = world.clone();
    world.enrolled("ana", take_over("hr-sync"), &["ines"]);
    assert_refused(world.approve_enrolment("noa", asked), Reason::NotFound);
    world.approve_enrolment("rex", asked).unwrap();
    assert!(world.state.organisation().accounts().contains_key("second"));
    // a machine of theirs is as they are
    world = before;
    world.enrolled("rex", take_over("hr-sync"), &["omar"]);
    assert_refused(world.approve_enrolment("rex", asked), Reason::NotFound);
    // and for those whom a file names noa stands in as before
    let mut all = life::organisation();
    all.person("kim", None).login.insert(crate::world::identity("kim"));
    let mut world = World::of(&life::policy(), all).unwrap();
    let asked = world.enrol("kim", an_account()).unwrap();
    world.approve_enrolment("noa", asked).unwrap();
}

#[test]
fn nor_of_those_to_whom_it_gave_another_certificate() {
    // given kim, without a manager, whom a file brought, and noa, who owns HR's machine and stands in for managers
    let mut all = life::organisation();
    all.person("kim", None).login.insert(crate::world::identity("kim"));
    let mut world = World::of(&life::policy(), all).unwrap();
    let change = HrChange::Renamed { login: [crate::world::identity("kim-new").parse().unwrap()].into() };
    // when that machine gives kim another certificate, which may be noa's, then noa does not let them in
    life::hr(&mut world, vec![HrEvent { person: "kim".parse().unwrap(), change }]).unwrap();
    assert_refused(world.enrol("kim-new", an_account()), Reason::NoApprover);
}

#[test]
fn nobodys_manager_is_made_to_mean_a_machines_certificate() {
    // given a policy that says which identities belong to persons
    let policy = format!("person_identities = [\"spiffe://northwind.example/person/*\"]\n{}", life::policy());
    let mut world = World::of(&policy, life::organisation()).unwrap();
    let renamed = |to: &str| {
        let login = [to.parse().unwrap()].into();
        vec![HrEvent { person: "ines".parse().unwrap(), change: HrChange::Renamed { login } }]
    };
    // when HR's machine says that ana's manager is known by what one of ana's machines could show, then nothing happens
    let machines = "spiffe://northwind.example/service/of-ana";
    let refusal = assert_refused(life::hr(&mut world, renamed(machines)), Reason::IdentityTaken);
    assert!(refusal.detail.contains("`person_identities`"), "{}", refusal.detail);
    // nor by a joining
    let login = [machines.parse().unwrap()].into();
    let joins = HrEvent { person: "second".parse().unwrap(), change: HrChange::Joined { login, manager: None } };
    assert_refused(life::hr(&mut world, vec![joins]), Reason::IdentityTaken);
    // while another name of a person's kind is given as before
    life::hr(&mut world, renamed("spiffe://northwind.example/person/ines-b")).unwrap();
}
