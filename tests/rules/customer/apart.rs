//! Customers apart from each other and from the own organisation (issue of guard rails, part 1): what somebody holds at one
//! is nothing to another, no proposal undoes what a tenant's feed made, and nobody answers for another side's people.

use countersign::domain::directory_file::parse_directory;
use countersign::domain::policy::Mistake;
use countersign::domain::record::command::{ApplyHrEvents, Command};
use countersign::domain::record::hr::{HrChange, HrEvent, StreamPlace};
use countersign::domain::record::proposal::ProposedFile;
use countersign::domain::value::refusal::{Reason, Refusal};

use crate::world::organisation::CUSTOMERS;
use crate::world::{Ask, Organisation, POLICY, World, assert_refused};

fn world_of(from: &str, to: &str) -> World {
    let policy = format!("{POLICY}{CUSTOMERS}");
    assert!(policy.contains(from), "{from}");
    World::of(&policy.replacen(from, to, 1), Organisation::example().with_customers()).unwrap()
}

fn world() -> World {
    world_of("", "")
}

fn feed(world: &mut World, who: &str, person: &str, change: HrChange) -> Result<(), Refusal> {
    let events = vec![HrEvent { person: person.parse().unwrap(), change }];
    world.send(who, Command::from(ApplyHrEvents { place: None, events })).map(|_| ())
}

fn joined(login: &str) -> HrChange {
    HrChange::Joined { login: [login.parse().unwrap()].into(), manager: None }
}

/// A mailbox of a tenant's, as far as that tenant's approval; then with it.
fn mailbox(world: &mut World, tenant: &str) -> Result<countersign::domain::value::ids::GrantId, Refusal> {
    let id = Ask::mailbox(tenant).lasting("30m").by("ana", world)?;
    world.approve("sam", id)?;
    world.approve(&format!("{tenant}.lena"), id)?;
    Ok(world.grant_of(id).unwrap().id)
}

#[test]
fn a_proposal_leaves_alone_what_a_tenants_feed_made() {
    // given an account that the tenant's own feed made, in a role
    let mut world = world();
    feed(&mut world, "acme.feed", "acme.nils", joined("spiffe://acme.example/acme.nils")).unwrap();
    let roles = HrChange::Roles { roles: ["mail-approver".parse().unwrap()].into() };
    feed(&mut world, "acme.feed", "acme.nils", roles).unwrap();
    let before = world.state.organisation().accounts().get("acme.nils").cloned().unwrap();
    // when a directory comes into force that never knew it
    world.change_directory(|organisation| organisation.join("dan", "commander")).unwrap_err();
    world.change_directory(|organisation| organisation.leave("dan", "engineer")).unwrap();
    // then it is as it was
    assert_eq!(world.state.organisation().accounts().get("acme.nils"), Some(&before));
    let id = Ask::mailbox("acme").by("ana", &mut world).unwrap();
    world.approve("sam", id).unwrap();
    world.approve("acme.nils", id).unwrap();
}

#[test]
fn what_is_held_at_one_customer_is_nothing_to_another() {
    let mut world = world();
    let at_zeta = mailbox(&mut world, "zeta").unwrap();
    world.pass("10m");
    // then another tenant's grant is no extension of it, and begins a time of its own
    assert_refused(Ask::mailbox("acme").extending(at_zeta).by("ana", &mut world), Reason::ExtensionInvalid);
    let at_acme = mailbox(&mut world, "acme").unwrap();
    let grant = world.state.grants().get(&at_acme).unwrap();
    assert_eq!(grant.continuous_since, grant.start);
    // while that of the same tenant counts on
    let again = mailbox(&mut world, "acme").unwrap();
    let grants = world.state.grants();
    assert_eq!(grants.get(&again).unwrap().continuous_since, grants.get(&at_acme).unwrap().start);
}

#[test]
fn why_an_employee_may_not_hold_it_is_not_for_a_customer_to_read() {
    // given whoever holds as much as one may, of it something at another customer's
    let mut world = world();
    mailbox(&mut world, "zeta").unwrap();
    let id = Ask::mailbox("acme").by("ana", &mut world).unwrap();
    world.approve("sam", id).unwrap();
    world.granted();
    world.granted();
    // when the tenant approves
    let refusal = assert_refused(world.approve("acme.lena", id), Reason::HolderNotReady);
    // then it is told nothing of that, and the journal has it
    assert!(refusal.detail.is_empty() && refusal.facts.is_empty(), "{refusal:?}");
    assert_eq!(refusal.true_reason, Some(Reason::TooManyGrants));
    assert_eq!(world.phase(id), "PENDING");
}

#[test]
fn nobody_manages_people_of_another_side() {
    let mut organisation = Organisation::example().with_customers();
    organisation.people.get_mut("ana").unwrap().manager = Some("acme.lena".into());
    organisation.people.get_mut("acme.moe").unwrap().manager = Some("ines".into());
    let mistakes: Vec<Mistake> = parse_directory(&organisation.to_toml()).unwrap_err();
    let told: Vec<String> = mistakes.iter().map(ToString::to_string).collect();
    assert!(told.len() == 2 && told.iter().all(|it| it.contains("who is not of the same organisation as")), "{told:?}");
    // nor by what the own organisation's feed tells
    let mut organisation = Organisation::example().with_customers();
    organisation.join("bot", "hr");
    let hr = "[roles.hr]\nfor = \"machines\"\ncapabilities = [\"hr.feed\"]\n[roles.robot]";
    let policy = format!("{POLICY}{CUSTOMERS}").replace("[roles.robot]", hr);
    let mut world = World::of(&policy, organisation).unwrap();
    let lena = || Some("acme.lena".parse().unwrap());
    let at = world.at;
    let moved = HrChange::Transferred { manager: lena(), at };
    // to it they are nobody, whether they are there or not
    feed(&mut world, "bot", "ana", moved).unwrap();
    let ana = world.state.organisation().people().get("ana").unwrap();
    assert!(ana.manager.is_none() && ana.awaits_manager);
    let new = |manager: &str| {
        let login = ["spiffe://northwind.example/new".parse().unwrap()].into();
        HrChange::Joined { login, manager: Some(manager.parse().unwrap()) }
    };
    let told = ["acme.lena", "acme.nobody"].map(|manager| {
        let refusal = assert_refused(feed(&mut world, "bot", "new", new(manager)), Reason::PersonUnknown);
        refusal.detail.replace(manager, "X")
    });
    assert_eq!(told[0], told[1]);
}

#[test]
fn a_role_is_answered_for_by_somebody_of_the_own_organisation() {
    let mut world = world();
    let owned = world.propose_policy("[roles.commander]\nowner = \"ines\"", "[roles.commander]\nowner = \"acme.lena\"");
    let refusal = assert_refused(owned, Reason::PolicyInvalid);
    assert!(refusal.facts.values().any(|it| it.contains("who is a customer's")), "{refusal:?}");
}

#[test]
fn a_trust_domain_on_record_is_that_tenants_alone_whatever_a_file_leaves_out() {
    let mut world = world();
    // given a file without one of the tenants
    let mut without = world.organisation.clone();
    without.people.retain(|name, _| !name.starts_with("zeta."));
    without.accounts.retain(|name, _| !name.starts_with("zeta."));
    let directory = without.to_toml().replace("[tenants.zeta]\ntrust_domain = \"zeta.example\"\n", "");
    assert!(!directory.contains("zeta"), "{directory}");
    let mut propose = |more: &str| {
        let replaces = world.state.organisation().directory_digest().unwrap();
        let id = world.propose("lea", ProposedFile::Directory, replaces, format!("{directory}{more}"))?;
        world.approve_proposal("lou", id)
    };
    // when it gives the domain to another, or to an account of the own organisation
    let other = "[tenants.other]\ntrust_domain = \"zeta.example\"\n";
    let own = "[accounts.\"ines-2\"]\nperson = \"ines\"\nidentities = [\"spiffe://zeta.example/ines\"]\n";
    for more in [other, own] {
        assert_refused(propose(more), Reason::IdentityTaken);
    }
    // then it is refused, and the file alone is not
    propose("").unwrap();
    // nor does a new tenant get the domain in which somebody speaks whom the file leaves alone
    let northwind = "[tenants.late]\ntrust_domain = \"northwind.example\"\n";
    assert!(parse_directory(&format!("{}{northwind}", world.organisation.to_toml())).is_err());
}

#[test]
fn whoever_asks_for_a_customer_asks_within_that_customers_tenant() {
    // given a machine that asks for people, of an entitlement that customers may ask for as well
    let from = "requestable_by = [\"engineer\", \"mail-user\"]";
    let mut world = world_of(from, "requestable_by = [\"engineer\", \"mail-user\", \"robot\"]");
    let machine = world
        .organisation
        .accounts
        .iter()
        .find(|(_, account)| account.acts_for_people)
        .map(|(name, _)| name.clone())
        .unwrap();
    let ask = |tenant: &str, world: &mut World| Ask::mailbox(tenant).on_behalf_of("acme.moe").by(&machine, world);
    let refusal = ask("zeta", &mut world).unwrap_err();
    assert_eq!(refusal.reason, Reason::OutOfScope, "{refusal:?}");
}

#[test]
fn a_conflict_with_what_another_tenant_has_is_told_without_its_name() {
    let zetas = "[entitlements.zeta-restore]\ntitle = \"Restore\"\nactions = [\"mail.restore\"]\n\
                 resources = [\"tenants/zeta/mail/**\"]\nrequestable_by = [\"mail-clerk\"]\nmax_duration = \"1h\"\n\
                 approval = [{ by = [\"@tenant\"], count = 1 }]\n[roles.mail-clerk]\nfor = \"customers\"\n\
                 [roles.mail-user]\nfor";
    let mut world = world_of("[roles.mail-user]\nfor", zetas);
    let both = HrChange::Roles { roles: ["mail-clerk", "mail-approver"].map(|it| it.parse().unwrap()).into() };
    let refusal = assert_refused(feed(&mut world, "acme.feed", "acme.moe", both), Reason::RoleConflict);
    assert!(!format!("{refusal:?}").contains("zeta"), "{refusal:?}");
}

#[test]
fn what_a_tenant_decided_on_it_does_not_forget() {
    // given a request that two of a tenant's approve, and one has
    let two = "{ by = [\"@tenant\"], count = 2 }";
    let mut world = world_of("{ by = [\"@tenant\"], count = 1 }", two);
    let id = Ask::mailbox("acme").by("ana", &mut world).unwrap();
    world.approve("sam", id).unwrap();
    world.approve("acme.lena", id).unwrap();
    // when the approval of the own organisation before it is void
    world.change_directory(|organisation| organisation.leave("sam", "security")).unwrap();
    // then the tenant still knows of it
    assert!(world.elevation(id).review.decisions.iter().any(|it| it.struck.is_some()));
    assert!(world.elevation(id).is_disclosed());
}

#[test]
fn which_feed_of_the_own_organisation_is_silent_is_not_for_a_customer_to_read() {
    let mut world = world_of("[\"audit.read\"]", "[\"audit.read\", \"hr.feed\"]");
    let heard = |world: &mut World, who: &str, stream: &str| {
        let place = Some(StreamPlace { stream: stream.parse().unwrap(), number: 1 });
        world.send(who, Command::from(ApplyHrEvents { place, events: Vec::new() })).unwrap();
    };
    heard(&mut world, "aud", "workday");
    let mut both = world.clone();
    heard(&mut both, "acme.feed", "acme.idp");
    world.pass("27h");
    // it is told that there is one, and no more; a colleague is told which
    let refusal = assert_refused(Ask::mailbox("acme").by("acme.moe", &mut world), Reason::FeedSilent);
    assert_eq!((refusal.detail.as_str(), refusal.facts.len()), ("", 0));
    let refusal = assert_refused(Ask::mailbox("acme").by("ana", &mut world), Reason::FeedSilent);
    assert_eq!(refusal.facts["stream"], "workday");
    // and of a silent one of its own it is told by name
    both.pass("27h");
    let refusal = assert_refused(Ask::mailbox("acme").by("acme.moe", &mut both), Reason::FeedSilent);
    assert_eq!(refusal.facts["stream"], "acme.idp");
}
