//! Grant tokens: who may have one signed, of what, for whom, and how long it is good (known failures E3 and E4, invariant 11).

use countersign::domain::record::command::{Command, GrantCommand, IssueGrantToken};
use countersign::domain::record::event::{Event, Fact, GrantFact, GrantTokenIssued};
use countersign::domain::value::ids::{Digest, GrantId};
use countersign::domain::value::refusal::Reason;
use countersign::domain::value::time::Span;

use crate::world::organisation::Account;
use crate::world::{Ask, NOON, Organisation, POLICY, World, assert_refused, at, identity, span};

const GUARD: &str = "[roles.guard]\nfor = \"machines\"\ncapabilities = [\"access.check\"]\n[roles.engineer]";

/// Of a world with two enforcement points: one for all orders of Europe, one for something else.
fn world() -> World {
    let policy = POLICY.replacen("[roles.engineer]", GUARD, 1);
    let mut organisation = Organisation::example();
    for (name, audience) in [("gate", "prod/eu/**"), ("other", "lab/**")] {
        let account = Account {
            owner: Some("ines".into()),
            identities: [identity(name)].into(),
            audience: vec![audience.into()],
            ..Account::default()
        };
        organisation.accounts.insert(name.into(), account);
        organisation.join(name, "guard");
    }
    World::of(&policy, organisation).unwrap()
}

fn ask(grant: GrantId, audience: &str, lifetime: Option<&str>) -> Command {
    let certificate = Digest::of(b"leaf");
    Command::from(IssueGrantToken {
        grant,
        audience: audience.parse().unwrap(),
        lifetime: lifetime.map(span),
        certificate,
    })
}

fn issued(events: &[Event]) -> &GrantTokenIssued {
    let [Event { fact: Fact::Grant(GrantFact::TokenIssued(issued)), .. }] = events else { panic!("{events:?}") };
    issued
}

#[test]
fn a_holder_has_a_token_of_what_the_service_may_check() {
    let mut world = world();
    let id = Ask::repair().on(&["prod/eu/db/orders/1", "prod/us/db/orders/1"]).by("ana", &mut world).unwrap();
    world.approve("ben", id).unwrap();
    let grant = world.grant_of(id).unwrap().id;
    world.pass("1500ms");
    let events = world.send("ana", ask(grant, "gate", None)).unwrap();
    let token = issued(&events);
    // then it says what the audience covers of the grant, and no more
    let resources: Vec<_> = token.scope.resources().iter().map(ToString::to_string).collect();
    assert_eq!(resources, ["prod/eu/db/orders/1"]);
    assert_eq!((token.holder.as_str(), token.audience.as_str()), ("ana", "gate"));
    assert_eq!(token.certificate, Digest::of(b"leaf"));
    // and it is good for a minute, rounded down
    assert_eq!(token.expires, at(NOON).plus(span("61s")));
    let shorter = world.send("ana", ask(grant, "gate", Some("10s"))).unwrap();
    assert_eq!(issued(&shorter).expires, at(NOON).plus(span("11s")));
    assert_ne!(issued(&shorter).token, token.token);
    // and the grant is as it was
    assert!(world.may("ana", "db.read", "prod/us/db/orders/1"));
}

#[test]
fn a_token_ends_with_its_grant_or_before() {
    let mut world = world();
    let (id, grant) = world.granted();
    let end = world.grant_of(id).unwrap().end;
    world.pass("870s");
    assert_eq!(issued(&world.send("ana", ask(grant, "gate", None)).unwrap()).expires, end);
    // when less than a whole second is left, then none is signed, nor after the end
    world.pass("29500ms");
    assert_eq!(issued(&world.send("ana", ask(grant, "gate", Some("1s"))).unwrap()).expires, end);
    world.pass("500ms");
    assert_refused(world.send("ana", ask(grant, "gate", None)), Reason::NotLive);
}

#[test]
fn a_grant_has_sixty_tokens_a_minute() {
    let mut world = world();
    let (_, grant) = world.granted();
    world.pass("1m");
    for _ in 0..60 {
        world.send("ana", ask(grant, "gate", None)).unwrap();
    }
    assert_refused(world.send("ana", ask(grant, "gate", None)), Reason::TooManyTokens);
    // then the next minute has as many
    world.pass("1m");
    world.send("ana", ask(grant, "gate", None)).unwrap();
}

#[test]
fn nobody_else_has_one_signed() {
    let mut world = world();
    let (_, grant) = world.granted();
    // an approver, an administrator, the enforcement point itself, whoever does not know of it
    for (who, reason) in [("ben", Reason::NotHolder), ("gate", Reason::NotFound), ("cleo", Reason::NotFound)] {
        let refusal = world.send(who, ask(grant, "gate", None)).unwrap_err();
        assert!([reason, Reason::NotHolder, Reason::NotFound].contains(&refusal.reason), "{who}: {refusal:?}");
    }
    let unknown = GrantId::from(uuid::Uuid::from_u128(9));
    assert_refused(world.send("ana", ask(unknown, "gate", None)), Reason::NotFound);
}

#[test]
fn a_grant_that_is_not_live_gives_no_token() {
    let mut world = world();
    let (_, grant) = world.granted();
    world.relinquish("ana", grant).unwrap();
    assert_refused(world.send("ana", ask(grant, "gate", None)), Reason::NotLive);
    // nor one that has not started
    let start = world.at.plus(span("10m"));
    let id = Ask::maintenance().starting(start).by("ana", &mut world).unwrap();
    world.approve("ben", id).unwrap();
    let scheduled = world.grant_of(id).unwrap().id;
    assert_refused(world.send("ana", ask(scheduled, "gate", None)), Reason::NotLive);
}

#[test]
fn the_audience_is_an_enforcement_point_that_checks_some_of_it() {
    let mut world = world();
    let (_, grant) = world.granted();
    for audience in ["other", "ben", "ana", "nobody"] {
        assert_refused(world.send("ana", ask(grant, audience, None)), Reason::AudienceInvalid);
    }
    world.send("ana", ask(grant, "gate", None)).unwrap();
    // when it may check no more, then no token is signed for it
    world.change_directory(|all| all.leave("gate", "guard")).unwrap();
    assert_refused(world.send("ana", ask(grant, "gate", None)), Reason::AudienceInvalid);
}

#[test]
fn a_lifetime_is_a_second_to_a_minute_and_a_suspect_clock_signs_nothing() {
    let mut world = world();
    let (_, grant) = world.granted();
    for lifetime in ["61s", "24h", "999ms"] {
        assert_refused(world.send("ana", ask(grant, "gate", Some(lifetime))), Reason::DurationTooLong);
    }
    world.wall_off_by = 60_000;
    assert_refused(world.send("ana", ask(grant, "gate", None)), Reason::ClockSuspect);
    world.wall_off_by = 0;
    // and the same call again makes no second event; with another certificate it is another call
    let envelope = world.envelope("ana", ask(grant, "gate", None));
    assert_eq!(world.execute(&envelope).unwrap().len(), 1);
    assert_eq!(world.execute(&envelope).unwrap().len(), 0);
    let mut other = envelope;
    if let Command::Grant(GrantCommand::IssueToken(IssueGrantToken { certificate, .. })) = &mut other.command {
        *certificate = Digest::of(b"another leaf");
    }
    assert_refused(world.execute(&other), Reason::RequestIdReused);
    assert_eq!(Span::seconds(60), countersign::domain::value::token::LONGEST_LIFETIME);
}
