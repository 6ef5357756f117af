//! Campaigns of recertification (issue 3, part 8): who holds a role is shown to the manager, confirmed, or over at the date.

use countersign::domain::directory::Membership;
use countersign::domain::record::campaign::{Campaign, CampaignOutcome};
use countersign::domain::record::command::{Command, ConfirmMembership, EndMembership, StartCampaign};
use countersign::domain::record::event::{CampaignFact, Event, Fact};
use countersign::domain::record::grant::EndBecause;
use countersign::domain::rule::visibility::{Thing, may_see, viewer, visible_items};
use countersign::domain::value::ids::{AccountId, CampaignId};
use countersign::domain::value::refusal::{Reason, Refusal};
use countersign::domain::value::time::Timestamp;

use crate::world::{Ask, NOON, Organisation, POLICY, World, assert_refused, at, identity, kinds, names, span};

const DB: &str = "prod/eu/db/orders/1";

fn days(count: u32) -> Timestamp {
    at(NOON).plus(span(&format!("{count}d")))
}

fn begin(world: &mut World, who: &str, role: &str, due: Timestamp) -> Result<CampaignId, Refusal> {
    let events = world.send(who, Command::from(StartCampaign { role: role.parse().unwrap(), due }))?;
    match &events[0].fact {
        Fact::Campaign(CampaignFact::Started(campaign)) => Ok(campaign.id),
        other => panic!("a campaign began with {other:?}"),
    }
}

fn confirm(world: &mut World, who: &str, campaign: CampaignId, account: &str) -> Result<Vec<Event>, Refusal> {
    world.send(who, Command::from(ConfirmMembership { campaign, account: account.parse().unwrap() }))
}

fn held<'a>(world: &'a World, account: &str, role: &str) -> Option<&'a Membership> {
    world.state.organisation().accounts().get(account).unwrap().roles.get(role)
}

fn outcome<'a>(world: &'a World, campaign: CampaignId, account: &str) -> Option<&'a CampaignOutcome> {
    world.state.campaigns().get(&campaign).unwrap().items[account].outcome.as_ref()
}

/// What somebody sees of a campaign.
fn sees(world: &World, who: &str, campaign: &Campaign) -> std::collections::BTreeSet<String> {
    let viewer = viewer(world.state.organisation(), &identity(who).parse().unwrap()).unwrap();
    let items = names(visible_items(&world.state, &viewer, campaign, world.now()).map(|(id, _)| id.as_str()));
    assert_eq!(may_see(&world.state, &viewer, Thing::Campaign(campaign), world.now()), !items.is_empty());
    items
}

#[test]
fn a_campaign_shows_who_holds_the_role_since_when_by_whose_approval_the_last_grant_and_when_it_lapses() {
    // given ana, who holds her role from the first file and had a grant through it, and dan, who got it a day later
    let mut world = World::new();
    world.change_directory(|all| all.leave("dan", "engineer")).unwrap();
    let (_, grant) = world.granted();
    world.pass_and_tick("1d");
    world
        .change_directory(|all| {
            all.accounts.get_mut("dan").unwrap().roles.insert("engineer".into(), Some("2026-12-01T00:00:00Z".into()));
        })
        .unwrap();
    world.pass("1h");
    // when a campaign begins
    let id = begin(&mut world, "omar", "engineer", days(30)).unwrap();
    let campaign = world.state.campaigns().get(&id).unwrap();
    assert_eq!((campaign.started_at, campaign.due), (world.at, days(30)));
    assert_eq!(names(campaign.items.keys().map(AccountId::as_str)), names(["ana", "dan"]));
    // then each item says it all
    let ana = &campaign.items["ana"];
    assert_eq!((ana.person.as_str(), ana.since, &ana.approved), ("ana", None, &None));
    let last = ana.last_grant.unwrap();
    assert_eq!((last.grant, last.at), (grant, at(NOON)));
    assert_eq!(ana.ends_at, Some(days(180)), "`dba` lapses after 180 days");
    let dan = &campaign.items["dan"];
    assert_eq!((dan.since, dan.last_grant), (Some(days(1)), None));
    assert_eq!(dan.ends_at, Some(at("2026-12-01T00:00:00Z")));
    assert!(campaign.items.values().all(|item| item.outcome.is_none()));
}

#[test]
fn the_manager_confirms_and_what_is_not_confirmed_by_the_date_ends() {
    let mut world = World::new();
    let id = begin(&mut world, "olga", "engineer", days(7)).unwrap();
    assert_eq!(held(&world, "ana", "engineer").unwrap().ends_at(), days(7));
    let events = confirm(&mut world, "ines", id, "ana").unwrap();
    assert_eq!(kinds(&events), ["membership-confirmed", "account-recorded"]);
    assert_eq!(held(&world, "ana", "engineer").unwrap().ends_at(), Timestamp::MAX);
    assert!(
        matches!(outcome(&world, id, "ana"), Some(CampaignOutcome::Confirmed { by, .. }) if by.to_string().contains("ines"))
    );
    // when the date passes
    let events = world.pass_and_tick("7d");
    // then who was confirmed goes on, and who was not is out
    assert!(kinds(&events).contains(&"campaign-closed"));
    assert_eq!(kinds(&events).iter().filter(|kind| **kind == "membership-ended").count(), 1);
    assert!(held(&world, "ana", "engineer").is_some() && held(&world, "dan", "engineer").is_none());
    assert_eq!(outcome(&world, id, "dan"), Some(&CampaignOutcome::Ended { at: days(7) }));
    assert_eq!(world.state.campaigns().get(&id).unwrap().closed_at, Some(days(7)));
    assert!(Ask::repair().by("ana", &mut world).is_ok());
    assert_refused(Ask::repair().by("dan", &mut world), Reason::NotInRole);
    // and the campaign leaves memory in the end
    world.pass_and_tick("25h");
    assert!(world.state.campaigns().is_empty());
}

#[test]
fn an_unconfirmed_membership_is_over_by_comparison_and_no_timer_is_needed() {
    let mut world = World::new();
    begin(&mut world, "olga", "engineer", days(7)).unwrap();
    world.pass("604799999ms");
    let pending = Ask::repair().by("ana", &mut world).unwrap();
    world.pass("1ms");
    assert_refused(Ask::repair().by("dan", &mut world), Reason::NotInRole);
    assert!(world.approve("ben", pending).is_err(), "what was asked before is not granted either");
    assert!(held(&world, "dan", "engineer").is_some(), "nothing was recorded yet");
}

#[test]
fn a_grant_through_the_membership_is_cut_to_the_date_and_a_confirmation_does_not_lengthen_it() {
    let mut world = World::new();
    let (grant_of, grant) = world.granted();
    world.pass("1m");
    let late = Ask::maintenance().lasting("2h").by("ana", &mut world).unwrap();
    world.approve("ben", late).unwrap();
    let due = world.at.plus(span("1h"));
    let id = begin(&mut world, "olga", "engineer", due).unwrap();
    let cut = world.grant_of(late).unwrap();
    assert_eq!(cut.end, due);
    assert!(matches!(&cut.end_because, EndBecause::MembershipEnds { role, .. } if role.as_str() == "engineer"));
    assert_eq!(world.state.grants().get(&grant).unwrap().end, at(NOON).plus(span("15m")), "it ends before anyhow");
    confirm(&mut world, "ines", id, "ana").unwrap();
    assert_eq!(world.grant_of(late).unwrap().end, due);
    world.pass("1h");
    assert!(!world.may("ana", "db.schema", "prod/eu/db/orders"));
    assert!(world.grant_phase(grant_of) == "ACTIVE" && !world.may("ana", "db.read", DB));
}

#[test]
fn a_campaign_is_begun_by_the_role_s_owner_or_by_directory_propose_and_by_nobody_else() {
    let mut world = World::new();
    for who in ["ana", "ines", "sam", "aud", "bot"] {
        let refusal = begin(&mut world, who, "engineer", days(7)).unwrap_err();
        let member = who == "ana";
        assert_eq!(refusal.reason, if member { Reason::NotOwner } else { Reason::NotFound }, "{who}");
    }
    // to whoever is no member a role looks as none
    let none = assert_refused(begin(&mut world, "ana", "nothing", days(7)), Reason::NotFound);
    let hidden = assert_refused(begin(&mut world, "ana", "security", days(7)), Reason::NotFound);
    assert_eq!(none.detail.replace("nothing", "security"), hidden.detail);
    assert_eq!(hidden.true_reason, Some(Reason::NotOwner));
    begin(&mut world, "ines", "commander", days(7)).unwrap();
    begin(&mut world, "omar", "engineer", days(7)).unwrap();
    // an owner who does not work here any more owns nothing
    let mut world = World::new();
    world.change_directory(|all| all.people.get_mut("ines").unwrap().attestations.clear()).unwrap();
    assert!(begin(&mut world, "ines", "commander", days(7)).is_ok(), "beginning one gives nothing to anybody");
}

#[test]
fn due_not_allowed_in_the_past_too_soon_or_too_late() {
    let mut world = World::new();
    world.pass("1d");
    for due in [at(NOON), days(1), days(1).plus(span("3599999ms")), days(182), Timestamp::MAX] {
        let refusal = assert_refused(begin(&mut world, "omar", "engineer", due), Reason::DueNotAllowed);
        assert_eq!(refusal.facts["latest"], days(181).to_string());
    }
    assert!(world.state.campaigns().is_empty() && held(&world, "ana", "engineer").unwrap().confirm.is_none());
    begin(&mut world, "omar", "engineer", days(1).plus(span("1h"))).unwrap();
    begin(&mut world, "omar", "commander", days(181)).unwrap();
}

#[test]
fn campaign_empty_if_nobody_holds_the_role() {
    let mut world = World::new();
    world
        .change_directory(|all| {
            all.leave("ana", "engineer");
            all.accounts.get_mut("dan").unwrap().roles.insert("engineer".into(), Some("2026-11-22T13:00:00Z".into()));
        })
        .unwrap();
    // a membership that is over by comparison is none
    world.pass("1h");
    assert_refused(begin(&mut world, "omar", "engineer", days(7)), Reason::CampaignEmpty);
}

#[test]
fn already_there_while_another_campaign_over_the_role_is_open() {
    let mut world = World::new();
    let first = begin(&mut world, "omar", "engineer", days(7)).unwrap();
    let refusal = assert_refused(begin(&mut world, "olga", "engineer", days(9)), Reason::AlreadyThere);
    assert_eq!(refusal.facts["campaign"], first.to_string());
    assert!(begin(&mut world, "omar", "commander", days(9)).is_ok(), "one over another role is another");
    // once its date has passed the next can begin, though no timer has run: it closes the first
    confirm(&mut world, "ines", first, "ana").unwrap();
    world.pass("7d");
    let second = begin(&mut world, "omar", "engineer", days(14)).unwrap();
    assert_eq!(
        names(world.state.campaigns().get(&second).unwrap().items.keys().map(AccountId::as_str)),
        names(["ana"])
    );
    assert_eq!(world.state.campaigns().get(&first).unwrap().closed_at, Some(days(7)));
    assert!(held(&world, "dan", "engineer").is_none());
    assert_eq!(held(&world, "ana", "engineer").unwrap().ends_at(), days(14));
}

#[test]
fn nobody_confirms_for_themselves_or_for_their_machine() {
    // given a manager who is in the role herself, a machine, and a role for managers' reports
    let mut world = World::new();
    world.change_directory(|all| all.join("ines", "commander")).unwrap();
    let id = begin(&mut world, "omar", "commander", days(7)).unwrap();
    assert_refused(confirm(&mut world, "ines", id, "ines"), Reason::SelfApproval);
    confirm(&mut world, "omar", id, "ines").unwrap();
    let refusal = assert_refused(confirm(&mut world, "ben", id, "ben"), Reason::NotFound);
    assert_eq!(refusal.true_reason, Some(Reason::SelfApproval), "they do not even see the campaign");
    // a machine's owner is behind the machine; the owner's manager confirms
    let robots = begin(&mut world, "omar", "robot", days(7)).unwrap();
    assert_eq!(
        assert_refused(confirm(&mut world, "odo", robots, "bot"), Reason::NotFound).true_reason,
        Some(Reason::SelfApproval)
    );
    assert_refused(confirm(&mut world, "bot", robots, "bot"), Reason::NotFound);
    confirm(&mut world, "omar", robots, "bot").unwrap();
    // and whose it was when the campaign began confirms no more than whose it is
    world
        .change_directory(|all| {
            all.people.get_mut("ana").unwrap().manager = Some("odo".into());
            all.accounts.get_mut("pipe").unwrap().owner = Some("ana".into());
        })
        .unwrap();
    assert!(confirm(&mut world, "odo", robots, "pipe").is_err());
}

#[test]
fn not_owner_for_whoever_is_not_the_manager_of_record_by_then() {
    let mut world = World::new();
    let id = begin(&mut world, "omar", "engineer", days(7)).unwrap();
    // olga sees all of it, and is nobody's manager; omar is not the manager of ana either
    for who in ["olga", "omar", "aud"] {
        assert_refused(confirm(&mut world, who, id, "ana"), Reason::NotOwner);
    }
    for who in ["ben", "dan", "sam", "bot"] {
        assert_refused(confirm(&mut world, who, id, "ana"), Reason::NotFound);
    }
    // the manager by then, not the one when the campaign began
    world.change_directory(|all| all.people.get_mut("ana").unwrap().manager = Some("omar".into())).unwrap();
    assert_eq!(
        assert_refused(confirm(&mut world, "ines", id, "ana"), Reason::NotFound).true_reason,
        Some(Reason::NotOwner)
    );
    confirm(&mut world, "omar", id, "ana").unwrap();
    // a manager whose own baseline is missing confirms nothing
    world.change_directory(|all| all.people.get_mut("ines").unwrap().attestations.clear()).unwrap();
    assert!(confirm(&mut world, "ines", id, "dan").is_err());
}

#[test]
fn without_a_manager_only_whom_policy_names_confirms() {
    let mut world = World::new();
    let id = begin(&mut world, "omar", "admin", days(7)).unwrap();
    for who in ["omar", "olga"] {
        let other = if who == "omar" { "olga" } else { "omar" };
        assert_refused(confirm(&mut world, who, id, other), Reason::NotOwner);
        assert_refused(confirm(&mut world, who, id, who), Reason::SelfApproval);
    }
    let policy = POLICY.replacen("[baseline]\n", "[baseline]\nmanager_missing = [\"admin\"]\n", 1);
    let mut world = World::of(&policy, Organisation::example()).unwrap();
    let id = begin(&mut world, "omar", "admin", days(7)).unwrap();
    assert_refused(confirm(&mut world, "omar", id, "omar"), Reason::SelfApproval);
    confirm(&mut world, "omar", id, "olga").unwrap();
    confirm(&mut world, "olga", id, "omar").unwrap();
    world.pass_and_tick("7d");
    assert!(held(&world, "omar", "admin").is_some() && held(&world, "olga", "admin").is_some());
    // and nobody of those confirms for whoever has a manager
    let id = begin(&mut world, "omar", "engineer", days(14)).unwrap();
    assert_refused(confirm(&mut world, "olga", id, "ana"), Reason::NotOwner);
}

#[test]
fn campaign_over_after_its_date_and_for_what_is_decided() {
    let mut world = World::new();
    let id = begin(&mut world, "omar", "engineer", days(7)).unwrap();
    confirm(&mut world, "ines", id, "ana").unwrap();
    assert_refused(confirm(&mut world, "ines", id, "ana"), Reason::CampaignOver);
    assert_refused(confirm(&mut world, "ines", id, "ben"), Reason::NotFound);
    // no timer has run, and the date is over all the same
    world.pass("7d");
    assert_refused(confirm(&mut world, "ines", id, "dan"), Reason::CampaignOver);
    world.tick();
    assert_refused(confirm(&mut world, "ines", id, "dan"), Reason::CampaignOver);
    let nothing = CampaignId::from(uuid::Uuid::from_u128(7));
    assert_refused(confirm(&mut world, "ines", nothing, "dan"), Reason::NotFound);
}

#[test]
fn the_manager_ends_a_membership_in_the_middle_of_a_campaign() {
    let mut world = World::new();
    let id = begin(&mut world, "omar", "engineer", days(7)).unwrap();
    let (elevation, _) = world.granted();
    let end = Command::from(EndMembership {
        account: "ana".parse().unwrap(),
        role: "engineer".parse().unwrap(),
        reason: "moved on".into(),
    });
    world.send("ines", end).unwrap();
    assert_eq!(world.grant_phase(elevation), "REVOKED");
    assert_eq!(outcome(&world, id, "ana"), Some(&CampaignOutcome::Ended { at: at(NOON) }));
    assert_refused(confirm(&mut world, "ines", id, "ana"), Reason::CampaignOver);
}

#[test]
fn a_reload_of_the_file_does_not_give_back_what_nobody_confirmed() {
    let mut world = World::new();
    begin(&mut world, "omar", "engineer", days(7)).unwrap();
    // while the campaign is open the file changes nothing of it
    world.change_directory(|_| ()).unwrap();
    assert_eq!(held(&world, "dan", "engineer").unwrap().ends_at(), days(7));
    world.pass("7d");
    world.change_directory(|_| ()).unwrap();
    assert_refused(Ask::repair().by("dan", &mut world), Reason::NotInRole);
    world.tick();
    let refusal = assert_refused(world.change_directory(|_| ()), Reason::PersonTouched);
    assert_eq!(refusal.facts["person"], "ana");
    assert!(refusal.facts["gives"].contains("engineer"), "{refusal:?}");
}

#[test]
fn a_campaign_is_seen_by_the_role_s_owner_audit_directory_propose_and_by_managers_their_own_items() {
    let mut world = World::of(&POLICY.replace("[roles.engineer]\n", "[roles.engineer]\nowner = \"sam\"\n"), {
        let mut all = crate::world::Organisation::example();
        all.people.get_mut("dan").unwrap().manager = Some("odo".into());
        all
    })
    .unwrap();
    let id = begin(&mut world, "sam", "engineer", days(7)).unwrap();
    let campaign = world.state.campaigns().get(&id).unwrap().clone();
    for who in ["sam", "omar", "olga", "aud"] {
        assert_eq!(sees(&world, who, &campaign), names(["ana", "dan"]), "{who}");
    }
    assert_eq!(sees(&world, "ines", &campaign), names(["ana"]));
    assert_eq!(sees(&world, "odo", &campaign), names(["dan"]));
    for who in ["ana", "dan", "ben", "bot", "pia"] {
        assert!(sees(&world, who, &campaign).is_empty(), "{who}");
    }
}
