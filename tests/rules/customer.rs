//! Customers (issue of guard rails, part 1): they decide about their own data, see and touch their own tenant alone, and
//! provision their own people and nobody else.

mod apart;

use countersign::domain::record::command::{ApplyHrEvents, Command, CreateLock};
use countersign::domain::record::event::Event;
use countersign::domain::record::hr::{HrChange, HrEvent, StreamPlace};
use countersign::domain::rule::feed::{feed_status_for, silent_feed};
use countersign::domain::rule::visibility::{Thing, may_see, sees_entitlement, viewer};
use countersign::domain::value::ids::ElevationId;
use countersign::domain::value::refusal::{Reason, Refusal};

use crate::world::organisation::CUSTOMERS;
use crate::world::{Ask, Organisation, POLICY, World, assert_refused, identity, kinds};

fn world() -> World {
    World::of(&format!("{POLICY}{CUSTOMERS}"), Organisation::example().with_customers()).unwrap()
}

/// Ana's request for a mailbox of acme's, let through by the own organisation.
fn before_acme(world: &mut World) -> ElevationId {
    let id = Ask::mailbox("acme").by("ana", world).unwrap();
    world.approve("sam", id).unwrap();
    id
}

fn sees(world: &World, who: &str, id: ElevationId) -> bool {
    let viewer = viewer(world.state.organisation(), &identity(who).parse().unwrap()).unwrap();
    let elevation = world.elevation(id);
    let sees = may_see(&world.state, &viewer, Thing::Elevation(elevation), world.now());
    if let Some(grant) = world.grant_of(id) {
        assert_eq!(may_see(&world.state, &viewer, Thing::Grant(grant), world.now()), sees, "{who}");
    }
    sees
}

fn feed(world: &mut World, who: &str, person: &str, change: HrChange) -> Result<Vec<Event>, Refusal> {
    let events = vec![HrEvent { person: person.parse().unwrap(), change }];
    world.send(who, Command::from(ApplyHrEvents { place: None, events }))
}

fn joined(login: &str) -> HrChange {
    HrChange::Joined { login: [login.parse().unwrap()].into(), manager: None }
}

fn roles(names: &[&str]) -> HrChange {
    HrChange::Roles { roles: names.iter().map(|name| name.parse().unwrap()).collect() }
}

fn left() -> HrChange {
    HrChange::Left { at: countersign::domain::value::time::Timestamp::MIN, urgent: true, also_approved: false }
}

#[test]
fn a_customer_is_asked_after_the_own_organisation_and_decides_about_its_own_data() {
    // given a request into a tenant's space
    let mut world = world();
    let id = Ask::mailbox("acme").by("ana", &mut world).unwrap();
    // then the tenant knows nothing of it, and cannot say anything, before the own organisation agrees
    assert!(!sees(&world, "acme.lena", id));
    assert_refused(world.approve("acme.lena", id), Reason::NotFound);
    assert_refused(world.deny("acme.lena", id), Reason::NotFound);
    // when it does
    world.approve("sam", id).unwrap();
    // then that tenant's approvers see it: nobody else of that tenant, and no other tenant
    assert!(sees(&world, "acme.lena", id) && sees(&world, "acme.kim", id));
    for other in ["acme.moe", "acme.feed", "zeta.lena", "zeta.kim"] {
        assert!(!sees(&world, other, id), "{other}");
        let reason = assert_refused(world.approve(other, id), Reason::NotFound).true_reason;
        assert_eq!(reason, Some(Reason::NotAnApprover), "{other}");
    }
    // and no colleague of the requester approves in the tenant's place
    assert_refused(world.approve("eve", id), Reason::StageNotOpen);
    world.approve("acme.lena", id).unwrap();
    assert!(world.may("ana", "mail.read", "tenants/acme/mail/inbox"));
    // and the tenant ends it when it likes
    let grant = world.grant_of(id).unwrap().id;
    assert_refused(world.revoke("zeta.lena", grant), Reason::NotFound);
    world.revoke("acme.kim", grant).unwrap();
    assert!(!world.may("ana", "mail.read", "tenants/acme/mail/inbox"));
}

#[test]
fn a_customers_no_ends_it() {
    let mut world = world();
    let id = before_acme(&mut world);
    world.deny("acme.kim", id).unwrap();
    assert_eq!(world.phase(id), "DENIED");
    assert!(sees(&world, "acme.lena", id), "what was asked stays theirs to see");
    // and what the own organisation did not let through never was before the tenant
    let other = Ask::mailbox("acme").by("dan", &mut world).unwrap();
    world.deny("sam", other).unwrap();
    assert!(!sees(&world, "acme.lena", other));
}

#[test]
fn where_policy_asks_no_tenant_it_sees_what_was_granted_and_ends_it() {
    // given what reaches a tenant with `tenant_approval = "none"`
    let mut world = world();
    let id = Ask::of("support", &["db.read"], &["tenants/acme/db/users"]).by("ana", &mut world).unwrap();
    assert!(!sees(&world, "acme.lena", id));
    world.approve("sam", id).unwrap();
    // then the tenant sees the grant, and may end it
    assert!(sees(&world, "acme.lena", id) && !sees(&world, "zeta.lena", id));
    let grant = world.grant_of(id).unwrap().id;
    world.revoke("acme.lena", grant).unwrap();
    assert_eq!(world.grant_phase(id), "REVOKED");
}

#[test]
fn one_request_reaches_one_tenant_that_is_there() {
    let mut world = world();
    let both = Ask::of("mailbox", &["mail.read"], &["tenants/acme/mail/a", "tenants/zeta/mail/a"]);
    assert_refused(both.by("ana", &mut world), Reason::TenantsMixed);
    assert_refused(Ask::mailbox("nobody").by("ana", &mut world), Reason::OutOfScope);
    // a customer asks for its own tenant's alone; whether another is there is answered alike
    let told = |refusal: Refusal| (refusal.reason, refusal.detail.replace("zeta", "T").replace("nobody", "T"));
    let of_other = assert_refused(Ask::mailbox("zeta").by("acme.moe", &mut world), Reason::OutOfScope);
    let of_nobody = assert_refused(Ask::mailbox("nobody").by("acme.moe", &mut world), Reason::OutOfScope);
    assert_eq!(told(of_other), told(of_nobody));
    let own = Ask::mailbox("acme").by("acme.moe", &mut world).unwrap();
    assert_eq!(world.phase(own), "PENDING");
}

#[test]
fn a_tenant_without_anybody_who_approves_lets_nobody_in() {
    let mut world = world();
    feed(&mut world, "acme.feed", "acme.lena", left()).unwrap();
    feed(&mut world, "acme.feed", "acme.kim", left()).unwrap();
    assert_refused(Ask::mailbox("acme").by("ana", &mut world), Reason::NoApprover);
    Ask::mailbox("zeta").by("ana", &mut world).unwrap();
}

#[test]
fn an_approval_by_a_customer_who_leaves_before_the_start_is_void() {
    let policy = format!("{POLICY}{CUSTOMERS}").replace(
        "requestable_by = [\"engineer\", \"mail-user\"]",
        "requestable_by = [\"engineer\", \"mail-user\"]\nstart_within = \"7d\"",
    );
    let mut world = World::of(&policy, Organisation::example().with_customers()).unwrap();
    let start = world.at.plus(crate::world::span("2h"));
    let id = Ask::mailbox("acme").starting(start).by("ana", &mut world).unwrap();
    world.approve("sam", id).unwrap();
    world.approve("acme.lena", id).unwrap();
    feed(&mut world, "acme.feed", "acme.lena", left()).unwrap();
    assert_eq!(world.grant_phase(id), "REVOKED");
}

#[test]
fn a_tenants_feed_provisions_its_own_people_and_nobody_else() {
    let mut world = world();
    // given somebody who joins the tenant: there is an account at once, with the roles that the tenant gives
    feed(&mut world, "acme.feed", "acme.nils", joined("spiffe://acme.example/acme.nils")).unwrap();
    let id = before_acme(&mut world);
    assert_refused(world.approve("acme.nils", id), Reason::NotFound);
    let events = feed(&mut world, "acme.feed", "acme.nils", roles(&["mail-approver"])).unwrap();
    assert_eq!(kinds(&events), ["hr-event-applied", "account-recorded"]);
    world.approve("acme.nils", id).unwrap();
    // when it names what is not its own, then it is refused, whether that is there or not, and in the same words
    let outside = |who: &str, change: HrChange, world: &mut World| {
        let refusal = assert_refused(feed(world, "acme.feed", who, change), Reason::OutsideTenant);
        refusal.detail.replace(who, "X")
    };
    let own = "spiffe://acme.example/x";
    let told: Vec<String> = ["ana", "nobody", "zeta.lena", "zeta.nobody"]
        .into_iter()
        .flat_map(|who| [outside(who, joined(own), &mut world), outside(who, left(), &mut world)])
        .collect();
    assert!(told.iter().all(|text| *text == told[0]), "{told:?}");
    // nor an identity of another trust domain, nor a manager elsewhere, nor a role of colleagues, nor one with power
    outside("acme.uma", joined("spiffe://zeta.example/uma"), &mut world);
    outside("acme.uma", joined("spiffe://northwind.example/uma"), &mut world);
    let under_ines = HrChange::Joined { login: [own.parse().unwrap()].into(), manager: Some("ines".parse().unwrap()) };
    outside("acme.uma", under_ines, &mut world);
    for role in ["security", "engineer", "tenant-feed", "no-such-role"] {
        outside("acme.nils", roles(&[role]), &mut world);
    }
    // nor a stream that does not begin with its name
    let heard = |stream: &str| {
        let place = Some(StreamPlace { stream: stream.parse().unwrap(), number: 1 });
        Command::from(ApplyHrEvents { place, events: Vec::new() })
    };
    assert_refused(world.send("acme.feed", heard("hr")), Reason::OutsideTenant);
    assert_refused(world.send("acme.feed", heard("zeta.idp")), Reason::OutsideTenant);
    world.send("acme.feed", heard("acme.idp")).unwrap();
    // nor its own standing; nor does anybody else of the tenant provision
    assert_refused(feed(&mut world, "acme.feed", "acme.feed", roles(&["mail-user"])), Reason::OwnStanding);
    assert_refused(feed(&mut world, "acme.lena", "acme.moe", left()), Reason::CapabilityMissing);
}

#[test]
fn the_own_organisations_feed_does_not_speak_for_a_tenant() {
    let policy = format!("{POLICY}{CUSTOMERS}")
        .replace("[roles.robot]", "[roles.hr]\nfor = \"machines\"\ncapabilities = [\"hr.feed\"]\n[roles.robot]");
    let mut organisation = Organisation::example().with_customers();
    organisation.join("bot", "hr");
    let mut world = World::of(&policy, organisation).unwrap();
    assert_refused(feed(&mut world, "bot", "acme.lena", left()), Reason::OutsideTenant);
    assert_refused(feed(&mut world, "bot", "ana", roles(&["mail-user"])), Reason::OutsideTenant);
    let stolen = joined("spiffe://acme.example/new");
    assert_refused(feed(&mut world, "bot", "new", stolen), Reason::IdentityTaken);
}

#[test]
fn who_left_a_tenant_comes_back_with_nothing() {
    let mut world = world();
    let id = before_acme(&mut world);
    feed(&mut world, "acme.feed", "acme.lena", left()).unwrap();
    feed(&mut world, "acme.feed", "acme.lena", joined("spiffe://acme.example/acme.lena")).unwrap();
    let organisation = world.state.organisation();
    let account = organisation.accounts().get("acme.lena-2").unwrap();
    assert!(account.roles.is_empty() && account.tenant().is_some_and(|tenant| tenant.as_str() == "acme"));
    assert_refused(world.approve("acme.lena", id), Reason::NotFound);
}

#[test]
fn one_person_of_a_tenant_does_not_ask_and_approve() {
    let mut world = world();
    // given by the tenant's feed
    let both = roles(&["mail-user", "mail-approver"]);
    assert_refused(feed(&mut world, "acme.feed", "acme.moe", both), Reason::RoleConflict);
    // or by a directory
    let loaded = world.change_directory(|organisation| organisation.join("acme.moe", "mail-approver"));
    assert_refused(loaded, Reason::RoleConflict);
    // or by a policy in which the role that `@tenant` means may ask
    let asks = "requestable_by = [\"engineer\", \"mail-user\", \"mail-approver\"]";
    let policy = world.propose_policy("requestable_by = [\"engineer\", \"mail-user\"]", asks);
    let refusal = assert_refused(policy, Reason::PolicyInvalid);
    assert!(refusal.facts.values().any(|text| text.contains("`mail-approver`, which may also ask")), "{refusal:?}");
}

#[test]
fn the_silence_of_a_tenants_feed_stops_what_touches_that_tenant_alone() {
    let mut world = world();
    let place = Some(StreamPlace { stream: "acme.idp".parse().unwrap(), number: 1 });
    world.send("acme.feed", Command::from(ApplyHrEvents { place, events: Vec::new() })).unwrap();
    world.pass_and_tick("27h");
    assert!(silent_feed(&world.state, Some("acme"), world.now()).is_some());
    assert_refused(Ask::mailbox("acme").by("ana", &mut world), Reason::FeedSilent);
    Ask::mailbox("zeta").by("ana", &mut world).unwrap();
    world.granted();
    // and a tenant's feed is told of its own streams, and of no brake
    let seen = |who: &str| {
        let viewer = viewer(world.state.organisation(), &identity(who).parse().unwrap()).unwrap();
        feed_status_for(&world.state, &viewer, world.now()).unwrap()
    };
    assert_eq!((seen("acme.feed").streams.len(), seen("acme.feed").brake_limit), (1, 0));
    assert_eq!(seen("zeta.feed").streams, []);
}

#[test]
fn a_tenants_people_are_none_of_the_brakes() {
    let mut world = world();
    let before = countersign::domain::rule::feed::feed_status(&world.state, world.now());
    for number in 0..60 {
        let person = format!("acme.new{number}");
        feed(&mut world, "acme.feed", &person, joined(&format!("spiffe://acme.example/new{number}"))).unwrap();
    }
    let after = countersign::domain::rule::feed::feed_status(&world.state, world.now());
    assert_eq!((before.brake_limit, before.enabling_left), (after.brake_limit, after.enabling_left));
}

#[test]
fn a_customers_enrolments_come_from_its_own_feed() {
    let mut world = world();
    let ask = countersign::domain::record::command::EnrolmentAsk::Role {
        account: None,
        role: "mail-approver".parse().unwrap(),
        until: None,
    };
    let request = |ask| {
        let justification = "mine, please".into();
        Command::from(countersign::domain::record::command::RequestEnrolment { ask, justification })
    };
    assert_refused(world.send("acme.moe", request(ask)), Reason::TenantProvisions);
    // and whatever it names, it finds nothing out
    for account in ["bot", "nobody", "zeta.feed"] {
        let ask = countersign::domain::record::command::EnrolmentAsk::TakeOver { account: account.parse().unwrap() };
        assert_refused(world.send("acme.moe", request(ask)), Reason::TenantProvisions);
    }
}

#[test]
fn a_customer_sees_what_its_own_roles_may_ask_or_approve_in_its_own_space() {
    let world = world();
    let organisation = world.state.organisation();
    let sees = |who: &str, name: &str| sees_entitlement(organisation, &who.parse().unwrap(), &name.parse().unwrap());
    assert!(sees("acme.lena", "mailbox") && sees("acme.moe", "mailbox") && sees("ana", "mailbox"));
    for (who, name) in [("acme.lena", "repair"), ("acme.lena", "support"), ("acme.feed", "mailbox"), ("ben", "mailbox")]
    {
        assert!(!sees(who, name), "{who} {name}");
    }
}

#[test]
fn a_locked_tenant_asks_and_approves_nothing() {
    let mut world = world();
    let manage = "capabilities = [\"grant.revoke\", \"lock.manage\"]";
    world.propose_policy("capabilities = [\"grant.revoke\"]", manage).unwrap();
    let id = before_acme(&mut world);
    let on = countersign::domain::record::lock::Locked::Tenant("acme".parse().unwrap());
    let mode = countersign::domain::record::lock::LockMode::Suspend;
    let lock = Command::from(CreateLock { on, mode, reason: "a breach of zeta's".into(), until: None });
    world.send("rex", lock).unwrap();
    assert_refused(world.approve("acme.lena", id), Reason::Locked);
    world.deny("acme.lena", id).unwrap();
    // of a lock on somebody else a customer learns that there is one, and no more
    let other = Ask::mailbox("zeta").by("ana", &mut world).unwrap();
    world.approve("sam", other).unwrap();
    let on = countersign::domain::record::lock::Locked::Person("ana".parse().unwrap());
    world.send("rex", Command::from(CreateLock { on, mode, reason: "about acme".into(), until: None })).unwrap();
    let refusal = assert_refused(world.approve("zeta.lena", other), Reason::Locked);
    assert!(refusal.detail.is_empty() && refusal.facts.is_empty(), "{refusal:?}");
}

#[test]
fn who_audits_without_more_reads_nothing_in_tenants() {
    let mut world = world();
    let id = before_acme(&mut world);
    let (own, _) = world.granted();
    assert!(!sees(&world, "aud", id) && sees(&world, "aud", own));
    let all = "capabilities = [{ name = \"audit.read\", resources = [\"**\", \"tenants/**\"] }]";
    world.propose_policy("capabilities = [\"audit.read\"]", all).unwrap();
    assert!(sees(&world, "aud", id) && sees(&world, "aud", own));
}

#[test]
fn files_say_who_decides_for_a_tenant_without_doubt() {
    use countersign::domain::directory_file::parse_directory;
    use countersign::domain::policy::{Mistake, parse_policy};
    let told = |mistakes: Vec<Mistake>| mistakes.iter().map(|it| format!("{it}")).collect::<Vec<_>>().join("\n");
    // given a policy that would let somebody approve in a customer's place, before it, or say it of other roles
    let policy = format!("{POLICY}{CUSTOMERS}");
    for (from, to, found) in [
        ("by = [\"@tenant\"]", "by = [\"@tenant\", \"security\"]", "`@tenant` beside others in one stage"),
        (
            "{ by = [\"security\"], count = 1 }, { by = [\"@tenant\"], count = 1 }",
            "{ by = [\"@tenant\"], count = 1 }, { by = [\"security\"], count = 1 }",
            "`@tenant` before a stage of the own organisation",
        ),
        (
            "[roles.commander]",
            "[roles.commander]\napproves_for_tenant = true",
            "`approves_for_tenant` in a role for people",
        ),
        (
            "capabilities = [\"hr.feed\"]",
            "capabilities = [\"hr.feed\"]\napproves_for_tenant = true",
            "beside `hr.feed`",
        ),
        ("approves_for_tenant = true", "approves_for_tenant = \"yes\"", "found text; wanted `true` or `false`"),
    ] {
        assert!(policy.contains(from), "{from}");
        let mistakes = told(parse_policy(&policy.replacen(from, to, 1)).unwrap_err());
        assert!(mistakes.contains(found), "{found}: {mistakes}");
    }
    // or a directory in which a person is on two sides, or a tenant's name begins with another's
    let directory = Organisation::example().with_customers().to_toml();
    let own = "[accounts.\"lena-admin\"]\nperson = \"acme.lena\"\nidentities = [\"spiffe://northwind.example/lena\"]\n";
    let two = "[accounts.\"zeta.lena-2\"]\nperson = \"acme.lena\"\ntenant = \"zeta\"\n\
               identities = [\"spiffe://zeta.example/lena2\"]\n";
    let machine = "[accounts.lenas]\nowner = \"acme.lena\"\nidentities = [\"spiffe://northwind.example/lenas\"]\n";
    for more in [own, two, machine] {
        let mistakes = told(parse_directory(&format!("{directory}{more}")).unwrap_err());
        assert!(
            mistakes.contains("`acme.lena`, who is of tenant `acme` by another account")
                || mistakes.contains("by another account"),
            "{mistakes}"
        );
    }
    let within = format!("{directory}[tenants.\"acme.eu\"]\ntrust_domain = \"eu.example\"\n");
    assert!(told(parse_directory(&within).unwrap_err()).contains("does not begin with `acme.`"));
}
