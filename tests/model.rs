//! The core against a small model written another way (tests/common/model.rs), over random histories: every acceptance
//! and refusal of a command, and after each step every verdict of "may this account do this now".
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

#[path = "common/history.rs"]
mod history;
#[path = "common/model.rs"]
mod model;
#[path = "common/world.rs"]
mod world;

use countersign::domain::record::command::{Command, CreateLock, DeleteLock, RequestElevation};
use countersign::domain::record::lock::{LockMode, Locked};
use countersign::domain::value::ids::{ElevationId, GrantId};
use history::{Past, Step, WHO, ask_of, change, step};
use model::{Model, Moment, OFFERS, Right, Wish};
use proptest::prelude::*;

/// A step of a history, or a lock that suspends somebody, or the end of that.
#[derive(Debug, Clone)]
enum Move {
    Step(Step),
    Suspend(&'static str),
    Lift(&'static str),
}

fn any_move() -> impl Strategy<Value = Move> {
    let whom = || prop::sample::select(vec!["ben", "ben", "cleo", "sam", "ana", "ines"]);
    prop_oneof![
        14 => step().prop_map(Move::Step),
        1 => whom().prop_map(Move::Suspend),
        1 => whom().prop_map(Move::Lift),
    ]
}

/// A deployment that one of two commanders approves before they are suspended, or most of that, between other moves.
fn a_wait() -> impl Strategy<Value = Vec<Move>> {
    let pass = |millis| Move::Step(Step::Pass { millis, tick: true });
    let story = vec![
        Move::Step(Step::Ask { who: 0, what: 4, scope: 0, duration: 0, start: 0, on_behalf: 0 }),
        Move::Step(Step::Approve { who: 2, which: 0 }),
        Move::Suspend("ben"),
        Move::Step(Step::Approve { who: 3, which: 0 }),
        pass(1_000),
        Move::Lift("ben"),
        pass(1),
    ];
    let length = story.len();
    prop::sample::subsequence(story, length - 1..=length)
}

/// The example, in which two commanders let a deployment through, and two may lock.
fn past() -> Past {
    let terms = "resources = [\"prod/*/apps/*\"]\nrequestable_by = [\"robot\", \"engineer\"]\nmax_duration = \"30m\"\n\
                 approval = [{ by = [\"commander\"], count = 1 }]";
    assert!(world::POLICY.contains(terms));
    let policy = world::POLICY.replacen(terms, &terms.replace("count = 1", "count = 2"), 1).replacen(
        "[\"grant.revoke\"]",
        "[\"grant.revoke\", \"lock.manage\"]",
        1,
    );
    let mut organisation = world::Organisation::example();
    organisation.join("aud", "revoker");
    Past { world: world::World::of(&policy, organisation).unwrap(), sent: Vec::new(), emergencies: false }
}

struct Both {
    past: Past,
    model: Model,
    /// The model's wishes and rights, by the core's ids.
    wishes: Vec<ElevationId>,
    rights: Vec<GrantId>,
    accepted: u64,
    /// How many of the rights came of a lock's end.
    waited: usize,
}

#[test]
fn the_core_and_the_model_agree() {
    let config =
        ProptestConfig { cases: 96, max_shrink_iters: 400, failure_persistence: None, ..ProptestConfig::default() };
    let totals = std::cell::Cell::new((0, 0, 0));
    let run = |parts: Vec<Vec<Move>>| {
        let past = past();
        let (all, suspended) = (past.world.organisation.clone(), std::collections::BTreeSet::new());
        let model = Model { all, wishes: Vec::new(), rights: Vec::new(), suspended };
        let mut both = Both { past, model, wishes: Vec::new(), rights: Vec::new(), accepted: 0, waited: 0 };
        for it in parts.iter().flatten() {
            match it {
                Move::Step(step) => both.step(step),
                Move::Suspend(person) => both.suspend(person),
                Move::Lift(person) => both.lift(person),
            }
            both.compare(it);
        }
        let (accepted, rights, waited) = totals.get();
        totals.set((accepted + both.accepted, rights + both.rights.len(), waited + both.waited));
        Ok(())
    };
    let part = prop_oneof![30 => any_move().prop_map(|it| vec![it]), 1 => a_wait()];
    proptest::test_runner::TestRunner::new(config).run(&prop::collection::vec(part, 35..70), run).unwrap();
    let (accepted, rights, waited) = totals.get();
    let enough = accepted > 500 && rights > 60 && waited > 10;
    assert!(enough, "too little happened: {accepted} commands accepted, {rights} grants, {waited} of what waited");
}

impl Both {
    fn now(&self) -> Moment {
        let now = self.past.world.now();
        Moment {
            latest: now.latest.millis(),
            earliest: now.earliest.millis(),
            stamp: now.stamp.millis(),
            suspect: now.suspect,
        }
    }

    fn suspend(&mut self, person: &'static str) {
        if self.model.suspended.contains(person) {
            return;
        }
        let (on, mode, reason) = (Locked::Person(person.parse().unwrap()), LockMode::Suspend, "lost".to_owned());
        if self.past.send("rex", Command::from(CreateLock { on, mode, reason, until: None })).is_ok() {
            self.model.suspended.insert(person.to_owned());
        }
    }

    fn lift(&mut self, person: &str) {
        let on = Locked::Person(person.parse().unwrap());
        let locks = self.past.world.state.organisation().locks();
        let Some(lock) = locks.on(&on).map(|lock| lock.id) else { return };
        let reason = "found".to_owned();
        if self.past.send("aud", Command::from(DeleteLock { lock, reason })).is_ok() {
            self.model.suspended.remove(person);
        }
    }

    /// The timer has run: what is over, then what waited, one after another, then what starts.
    fn tick(&mut self) {
        let now = self.now();
        self.model.tick(now);
        while let Some(index) = self.model.complete(now).first().copied() {
            self.model.wishes[index].pending = false;
            let Some(right) = self.right_of(index, now) else { continue };
            self.take(right);
            self.waited += 1;
        }
        self.model.start(now);
    }

    /// The right that both gave.
    fn take(&mut self, right: Right) {
        let elevation = self.wishes[right.wish];
        self.model.wishes[right.wish].pending = false;
        self.model.rights.push(right);
        let grants = self.past.world.state.grants();
        self.rights.push(grants.values().find(|grant| grant.elevation == elevation).unwrap().id);
    }

    fn step(&mut self, step: &Step) {
        match step {
            // Policy stays, and what is repeated or restarted is for the invariants.
            Step::Policy(_) | Step::Repeat { .. } | Step::Restart(_) => return,
            // A timer runs before people change, so that what lapsed before is on record.
            Step::Change { .. } => {
                let _ = self.past.world.tick();
                self.tick();
            }
            _ => {}
        }
        let now = self.now();
        let expected = self.expect(step, now);
        let aimed = self.aim(step);
        let result = self.past.step(step);
        if let Step::Pass { tick: true, .. } = step {
            self.tick();
        }
        if let (Some(expected), Some(result)) = (expected, result) {
            assert_eq!(expected, result.is_ok(), "{step:?}: {result:?}");
            if expected {
                self.accepted += 1;
                self.record(step, aimed, now);
            }
        }
    }

    /// What a step is aimed at: the places of a wish or a right in the model, and who does it.
    fn aim(&self, step: &Step) -> Option<(usize, String)> {
        let wish = |which| self.wishes.iter().position(|id| *id == self.past.elevation(which));
        let right = |which| self.rights.iter().position(|id| *id == self.past.grant(which));
        match *step {
            Step::Approve { who, which } | Step::Deny { who, which } | Step::Withdraw { who, which } => {
                Some((wish(which)?, WHO[who].to_owned()))
            }
            Step::ApproveAptly { which } => Some((wish(which)?, self.past.somebody_apt(self.past.elevation(which)))),
            Step::Relinquish { who, which } | Step::Revoke { who, which } => Some((right(which)?, WHO[who].to_owned())),
            _ => None,
        }
    }

    /// Whether the model accepts a step; none if it is no command.
    fn expect(&mut self, step: &Step, now: Moment) -> Option<bool> {
        if let Step::Ask { .. } = step {
            return Some(self.wish_of(step, now).is_some());
        }
        if let Step::Change { kind, whom, how } = *step {
            let mut all = self.past.world.organisation.clone();
            change(&mut all, self.past.world.at, kind, whom, how);
            let fits =
                |it: &world::organisation::Account| it.roles.keys().all(|role| (role == "robot") == it.owner.is_some());
            return Some(!now.suspect && !self.model.conflicts(&all) && all.accounts.values().all(fits));
        }
        if matches!(step, Step::Pass { .. } | Step::Clock(_)) {
            return None;
        }
        let Some((index, who)) = self.aim(step) else { return Some(false) };
        // What takes away goes on under a leaping clock, by the time that the journal would have.
        let takes_away =
            matches!(step, Step::Deny { .. } | Step::Withdraw { .. } | Step::Relinquish { .. } | Step::Revoke { .. });
        let now = if now.suspect && takes_away { Moment { latest: now.stamp, ..now } } else { now };
        if !self.model.usable(&who, now) {
            return Some(false);
        }
        Some(match step {
            Step::Approve { .. } | Step::ApproveAptly { .. } => self.may_approve(index, &who, now),
            Step::Deny { .. } => {
                let wish = &self.model.wishes[index];
                let stages = 0..OFFERS[wish.offer].stages.len();
                self.waits(index, now) && stages.into_iter().any(|stage| self.model.may_review(&who, wish, stage, now))
            }
            Step::Withdraw { .. } => self.waits(index, now) && self.stands_behind(&who, index),
            Step::Relinquish { .. } => {
                self.is_open(index, now) && self.stands_behind(&who, self.model.rights[index].wish)
            }
            _ => self.is_open(index, now) && self.may_revoke(index, &who, now),
        })
    }

    fn waits(&self, wish: usize, now: Moment) -> bool {
        self.model.wishes[wish].pending && (now.suspect || self.model.wishes[wish].deadline > now.latest)
    }

    fn is_open(&self, right: usize, now: Moment) -> bool {
        self.model.rights[right].closed.is_none() && (now.suspect || self.model.rights[right].end > now.latest)
    }

    fn stands_behind(&self, who: &str, wish: usize) -> bool {
        let wish = &self.model.wishes[wish];
        let person = self.model.all.accounts[who].person.as_ref();
        wish.account == who || person.is_some_and(|person| wish.behind.contains(person))
    }

    fn may_revoke(&self, right: usize, who: &str, now: Moment) -> bool {
        let index = self.model.rights[right].wish;
        let wish = &self.model.wishes[index];
        let person = self.model.all.accounts[who].person.as_deref();
        let manager = self.model.all.people.get(&wish.person).and_then(|it| it.manager.as_deref());
        let decided = wish.yes.iter().any(|(other, ..)| Some(other.as_str()) == person);
        let stages = 0..OFFERS[wish.offer].stages.len();
        self.model.in_role(who, "revoker", now).is_some()
            || decided
            || (manager.is_some() && manager == person)
            || self.stands_behind(who, index)
            || stages.into_iter().any(|stage| self.model.may_review(who, wish, stage, now))
    }

    fn may_approve(&self, index: usize, who: &str, now: Moment) -> bool {
        let person = self.model.all.accounts[who].person.clone();
        let wish = &self.model.wishes[index];
        if now.suspect || !self.waits(index, now) || person.is_none() {
            return false;
        }
        if wish.yes.iter().any(|(other, ..)| Some(other) == person.as_ref()) {
            return false;
        }
        if self.model.is_held(wish) || self.model.suspended.contains(person.as_ref().unwrap()) {
            return false;
        }
        let Model { all, wishes, rights, suspended } = &self.model;
        let (all, suspended) = (all.clone(), suspended.clone());
        let mut after = Model { all, wishes: wishes.clone(), rights: rights.clone(), suspended };
        after.strike(index, now);
        let Some(stage) = after.open_stage(&after.wishes[index]) else { return false };
        if !after.may_review(who, &after.wishes[index], stage, now) {
            return false;
        }
        after.wishes[index].yes.push((person.unwrap(), who.to_owned(), stage, true));
        after.open_stage(&after.wishes[index]).is_some() || self.right_of(index, now).is_some()
    }

    /// The right that a complete review of a wish leads to, if it leads to one.
    fn right_of(&self, index: usize, now: Moment) -> Option<Right> {
        let wish = &self.model.wishes[index];
        let offer = &OFFERS[wish.offer];
        let rests = self.model.could_still_hold(wish, now)?;
        let start = wish.start.map_or(now.stamp, |asked| asked.max(now.stamp));
        let since = self.model.since(&wish.person, wish.offer, start, None);
        let ends = [
            wish.start.unwrap_or(start) + wish.duration,
            start + offer.longest,
            since.saturating_add(offer.continuous),
            rests,
        ];
        let end = ends.into_iter().min().unwrap();
        let started = wish.start.is_none_or(|asked| asked <= now.earliest);
        let room = self.model.held(&wish.person, now) < 3;
        (room && end > now.latest && end > start).then_some(Right {
            wish: index,
            start,
            end,
            since,
            started,
            closed: None,
        })
    }

    fn wish_of(&self, step: &Step, now: Moment) -> Option<Wish> {
        let (who, ask) = ask_of(step, self.past.world.at);
        let RequestElevation { entitlement, resources, duration, start, on_behalf_of, .. } = ask.0;
        let offer = OFFERS.iter().position(|offer| offer.name == entitlement.as_str())?;
        let resource = resources.first()?.to_string();
        if now.suspect || !self.model.usable(who, now) || resource.contains("/*/") || resource.contains("payments") {
            return None;
        }
        let account = &self.model.all.accounts[who];
        let own = account.person.clone().or_else(|| account.owner.clone())?;
        let for_whom = on_behalf_of.map(|person| person.to_string());
        let person = for_whom.clone().unwrap_or_else(|| own.clone());
        let duration = duration.map_or(OFFERS[offer].usual, countersign::domain::value::time::Span::millis);
        let start = start.map(countersign::domain::value::time::Timestamp::millis);
        let window_end = start.map_or(i64::MAX, |start| start + duration);
        let wish = Wish {
            account: who.to_owned(),
            behind: [own].into_iter().chain(for_whom.clone()).collect(),
            person: person.clone(),
            offer,
            resource,
            duration,
            start,
            deadline: (now.stamp + OFFERS[offer].waits).min(window_end),
            yes: Vec::new(),
            yes_at: 0,
            pending: true,
            for_whom: for_whom.clone(),
        };
        if self.model.is_held(&wish) {
            return None;
        }
        self.model.could_hold(who, &person, for_whom.as_deref(), offer, now)?;
        let begins = start.map_or(now.stamp, |asked| asked.max(now.stamp));
        let since = self.model.since(&person, offer, begins, None);
        let others = || {
            let all = self.model.wishes.iter();
            all.filter(|other| other.pending && other.deadline > now.latest && other.person == person)
        };
        let same = others().any(|other| other.offer == offer && other.resource == wish.resource);
        let fits = duration <= OFFERS[offer].longest
            && (start.is_none() || OFFERS[offer].starts)
            && window_end > now.latest
            && since.saturating_add(OFFERS[offer].continuous) > begins
            && !same
            && others().count() < 3
            && self.model.held(&person, now) < 3;
        (fits && self.model.can_be_decided(&wish, now)).then_some(wish)
    }

    /// What the model makes of a step that both accepted.
    fn record(&mut self, step: &Step, aimed: Option<(usize, String)>, now: Moment) {
        match (step, aimed) {
            (Step::Ask { .. }, _) => {
                let wish = self.wish_of(step, now).unwrap();
                self.model.wishes.push(wish);
                self.wishes.push(self.past.elevation(0));
            }
            (Step::Change { .. }, _) => {
                self.model.all = self.past.world.organisation.clone();
                self.model.note_owners();
                self.model.settle(now);
            }
            (Step::Approve { .. } | Step::ApproveAptly { .. }, Some((index, who))) => {
                self.model.strike(index, now);
                let stage = self.model.open_stage(&self.model.wishes[index]).unwrap();
                let person = self.model.all.accounts[&who].person.clone().unwrap();
                self.model.wishes[index].yes.push((person, who, stage, true));
                self.model.wishes[index].yes_at = now.stamp;
                if self.model.open_stage(&self.model.wishes[index]).is_none() {
                    let right = self.right_of(index, now).unwrap();
                    self.take(right);
                }
            }
            (Step::Deny { .. } | Step::Withdraw { .. }, Some((index, _))) => self.model.wishes[index].pending = false,
            (_, Some((index, _))) => self.model.rights[index].closed = Some(now.stamp),
            (_, None) => {}
        }
    }

    fn compare(&self, step: &Move) {
        let now = self.now();
        for (index, wish) in self.model.wishes.iter().enumerate() {
            let Some(elevation) = self.past.world.state.elevations().get(&self.wishes[index]) else { continue };
            let counted = elevation.review.approvals().count();
            assert_eq!(elevation.phase.is_pending(), wish.pending, "{step:?}: {elevation:?}\n{wish:?}");
            if wish.pending {
                assert_eq!(counted, wish.yes.iter().filter(|(_, _, _, counts)| *counts).count(), "{step:?}: {wish:?}");
            }
        }
        for who in WHO {
            for (offer, action) in ["db.write", "db.admin", "db.schema", "report.read", "deploy.run"].iter().enumerate()
            {
                for place in [
                    "prod/eu/db/orders/**",
                    "prod/us/db/orders/**",
                    "prod/eu/db/orders/1",
                    "prod/us/db/orders/1",
                    "prod/eu/apps/orders",
                    "reports/0",
                    "reports/1",
                ] {
                    let concrete = place.replace("**", "1");
                    let mut exact = self.past.world.state.grants().values().filter(|grant| {
                        grant.holder.as_str() == who && grant.scope.resources().iter().any(|it| it.to_string() == place)
                    });
                    let covers = exact.any(|grant| {
                        grant.is_live(self.past.world.now().latest)
                            && grant.scope.covers(&action.parse().unwrap(), &concrete.parse().unwrap())
                    });
                    assert_eq!(covers, self.model.live(who, offer, place, now), "{who} {action} {place}: {step:?}");
                }
            }
        }
    }
}
