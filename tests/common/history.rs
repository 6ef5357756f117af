//! Random histories: valid and invalid commands by everybody, changes of people and policy, clocks that leap, restarts.
#![allow(dead_code, unreachable_pub, reason = "each test crate uses a part of it")]

use countersign::domain::record::command::{
    ApproveElevation, Command, CompleteFollowUp, DenyElevation, Envelope, RelinquishGrant, RevokeGrant,
    WithdrawElevation,
};
use countersign::domain::record::emergency::Finding;
use countersign::domain::rule::reviewers::{candidates, counted, reviewer_in};
use countersign::domain::value::ids::{ElevationId, GrantId};
use countersign::domain::value::refusal::{Reason, Refusal};
use countersign::domain::value::time::{Span, Timestamp};
use proptest::prelude::*;

use crate::world::{Ask, Organisation, POLICY, World, span};

pub const WHO: [&str; 16] = [
    "ana", "dan", "ben", "cleo", "sam", "eve", "bot", "pipe", "ines", "ana-lab", "odo", "rex", "omar", "aud", "pia",
    "mallory",
];

#[derive(Debug, Clone)]
pub enum Step {
    Ask {
        who: usize,
        what: usize,
        scope: usize,
        duration: usize,
        start: usize,
        on_behalf: usize,
    },
    Approve {
        who: usize,
        which: usize,
    },
    /// By somebody who may, if anybody may.
    ApproveAptly {
        which: usize,
    },
    Deny {
        who: usize,
        which: usize,
    },
    Withdraw {
        who: usize,
        which: usize,
    },
    Relinquish {
        who: usize,
        which: usize,
    },
    Revoke {
        who: usize,
        which: usize,
    },
    Repeat {
        which: usize,
        altered: bool,
    },
    Change {
        kind: usize,
        whom: usize,
        how: usize,
    },
    Policy(usize),
    Pass {
        millis: i64,
        tick: bool,
    },
    Clock(i64),
    Restart(bool),
}

/// A history of at most so many steps, and at least half of them. Those who have something to say speak more often.
pub fn history(steps: usize) -> impl Strategy<Value = Vec<Step>> {
    prop::collection::vec(step(), steps / 2..steps)
}

pub fn step() -> impl Strategy<Value = Step> {
    let asker = prop_oneof![8 => prop::sample::select(vec![0, 1, 6, 7, 9]), 1 => 0..WHO.len()];
    let reviewer = || prop_oneof![8 => 2_usize..6, 2 => Just(8), 1 => 0..WHO.len()];
    let often = |apt: Vec<usize>, all: usize| prop_oneof![6 => prop::sample::select(apt), 1 => 0..all];
    let ask = (
        asker,
        often(vec![0, 1, 2, 3, 4], 6),
        often(vec![0, 1], 5),
        often(vec![0, 1, 2, 3], 5),
        often(vec![0], 4),
        often(vec![0], 6),
    );
    let millis =
        prop_oneof![2 => 1_i64..1_000, 4 => 1_000_i64..600_000, 2 => 600_000_i64..7_200_000, 1 => Just(86_400_000_i64)];
    prop_oneof![
        10 => ask.prop_map(|(who, what, scope, duration, start, on_behalf)| Step::Ask { who, what, scope, duration, start, on_behalf }),
        6 => (reviewer(), 0_usize..4).prop_map(|(who, which)| Step::Approve { who, which }),
        14 => (0_usize..3).prop_map(|which| Step::ApproveAptly { which }),
        1 => (reviewer(), 0_usize..4).prop_map(|(who, which)| Step::Deny { who, which }),
        1 => (0..WHO.len(), 0_usize..4).prop_map(|(who, which)| Step::Withdraw { who, which }),
        1 => (0..WHO.len(), 0_usize..4).prop_map(|(who, which)| Step::Relinquish { who, which }),
        1 => (0..WHO.len(), 0_usize..4).prop_map(|(who, which)| Step::Revoke { who, which }),
        3 => (0_usize..40, any::<bool>()).prop_map(|(which, altered)| Step::Repeat { which, altered }),
        4 => (0_usize..11, 0_usize..8, 0_usize..4).prop_map(|(kind, whom, how)| Step::Change { kind, whom, how }),
        1 => (0_usize..4).prop_map(Step::Policy),
        8 => (millis, any::<bool>()).prop_map(|(millis, tick)| Step::Pass { millis, tick }),
        3 => prop_oneof![6 => Just(0_i64), 2 => -2_000_i64..2_000, 1 => -40_000_000_i64..40_000_000].prop_map(Step::Clock),
        1 => prop::bool::weighted(0.3).prop_map(Step::Restart),
    ]
}

/// A world in which a history happens, with every command that was sent.
pub struct Past {
    pub world: World,
    pub sent: Vec<(Envelope, bool)>,
    /// Of what is asked of `repair`, three of four are emergencies.
    pub emergencies: bool,
}

/// The emergency way of `repair`.
const EMERGENCY: &str = "emergency = { max_duration = \"20m\", approval = [{ by = [\"security\"] }], \
                         follow_up_within = \"3h\" }";

impl Past {
    pub fn new() -> Self {
        Self { world: World::new(), sent: Vec::new(), emergencies: false }
    }

    /// A past in which `repair` has an emergency way, and requests use it.
    pub fn with_emergencies() -> Self {
        let policy = POLICY.replacen("title = \"Repair", &format!("{EMERGENCY}\ntitle = \"Repair"), 1);
        let world = World::of(&policy, Organisation::example()).unwrap();
        Self { world, sent: Vec::new(), emergencies: true }
    }

    /// The latest elevations first.
    pub fn elevation(&self, which: usize) -> ElevationId {
        let id = self.world.state.elevations().keys().nth_back(which).copied();
        id.unwrap_or_else(|| ElevationId::from(uuid::Uuid::nil()))
    }

    pub fn grant(&self, which: usize) -> GrantId {
        let id = self.world.state.grants().keys().nth_back(which).copied();
        id.unwrap_or_else(|| GrantId::from(uuid::Uuid::nil()))
    }

    pub fn somebody_apt(&self, id: ElevationId) -> String {
        let state = &self.world.state;
        let apt = state.elevations().get(&id).and_then(|elevation| {
            let (_, stage) = counted(state.organisation(), elevation).open_stage()?;
            let person = candidates(state.organisation(), elevation, stage, self.world.now().latest).pop_last()?;
            let accounts = state.organisation().accounts_of(&person);
            let mut able = accounts.filter(|(id, _)| {
                reviewer_in(state.organisation(), elevation, stage, id, self.world.now().latest).is_ok()
            });
            able.next().map(|(id, _)| id.to_string())
        });
        apt.unwrap_or_else(|| "ben".to_owned())
    }

    pub fn send(&mut self, who: &str, command: Command) -> Result<(), Refusal> {
        let envelope = self.world.envelope(who, command);
        let result = self.world.execute(&envelope);
        self.sent.push((envelope, result.is_ok()));
        result.map(|_| ())
    }

    /// What a step led to: of a command whether it took effect, else nothing.
    pub fn step(&mut self, step: &Step) -> Option<Result<(), Refusal>> {
        let digest = |past: &Self, id| {
            let elevation = past.world.state.elevations().get(&id);
            elevation.map_or(countersign::domain::value::ids::Digest::of(b""), |it| it.review.digest())
        };
        let text = String::new;
        Some(match *step {
            Step::Ask { .. } => {
                let (who, mut ask) = ask_of(step, self.world.at);
                let emergency = self.emergencies && !self.sent.len().is_multiple_of(4);
                if emergency && ask.0.entitlement.as_str() == "repair" {
                    ask = ask.in_an_emergency().with(|it| it.start = None);
                }
                self.send(who, ask.command())
            }
            Step::Approve { who, which } => {
                let elevation = self.elevation(which);
                let digest = digest(self, elevation);
                let owed = self.world.state.elevations().get(&elevation).and_then(|it| it.open_follow_up());
                if owed.is_some() {
                    let finding = Finding::Justified;
                    let followed_up = Command::from(CompleteFollowUp { elevation, digest, finding, comment: text() });
                    return Some(self.send(WHO[who], followed_up));
                }
                self.send(WHO[who], Command::from(ApproveElevation { elevation, digest, comment: text() }))
            }
            Step::ApproveAptly { which } => {
                let elevation = self.elevation(which);
                let digest = digest(self, elevation);
                let who = self.somebody_apt(elevation);
                self.send(&who, Command::from(ApproveElevation { elevation, digest, comment: text() }))
            }
            Step::Deny { who, which } => {
                self.send(WHO[who], Command::from(DenyElevation { elevation: self.elevation(which), reason: text() }))
            }
            Step::Withdraw { who, which } => self
                .send(WHO[who], Command::from(WithdrawElevation { elevation: self.elevation(which), reason: text() })),
            Step::Relinquish { who, which } => {
                self.send(WHO[who], Command::from(RelinquishGrant { grant: self.grant(which), reason: text() }))
            }
            Step::Revoke { who, which } => {
                self.send(WHO[who], Command::from(RevokeGrant { grant: self.grant(which), reason: text() }))
            }
            Step::Repeat { which, altered } => return self.repeat(which, altered),
            Step::Change { kind, whom, how } => {
                let now = self.world.at;
                self.world.change_directory(|all| change(all, now, kind, whom, how)).map(|_| ())
            }
            Step::Policy(which) => {
                let (one, other) = POLICY_CHANGES[which];
                let (from, to) = if self.world.policy.contains(one) { (one, other) } else { (other, one) };
                self.world.propose_policy(from, to).map(|_| ())
            }
            Step::Pass { millis, tick } => {
                self.world.at = self.world.at.plus(Span::from_millis(millis).unwrap());
                if tick {
                    self.world.tick();
                }
                return None;
            }
            Step::Clock(off) => {
                let least = -self.world.at.millis();
                self.world.wall_off_by = off.max(least);
                return None;
            }
            Step::Restart(revoke) => {
                self.world.restart(revoke.then_some(&countersign::domain::record::grant::Revocation::Restart));
                return None;
            }
        })
    }

    /// Sends an earlier command again, as it was or with another body. If it had taken effect within the last 24 h,
    /// then nothing may happen (invariant 13).
    fn repeat(&mut self, which: usize, altered: bool) -> Option<Result<(), Refusal>> {
        let index = self.sent.len().checked_sub(which + 1)?;
        let (mut envelope, took_effect) = self.sent[index].clone();
        let made_at = envelope.now.stamp;
        envelope.now = self.world.now();
        envelope.nonce[8] ^= 1;
        if altered {
            envelope.command = Ask::managed().lasting("59m").command();
        }
        // An altered command may have taken effect before: then this is that one again.
        let altered = envelope.command != self.sent[index].0.command;
        let before = self.world.state.clone();
        let result = self.world.execute(&envelope);
        let within = envelope.now.stamp.since(made_at) <= Span::DAY;
        if took_effect && within {
            match &result {
                Ok(events) => {
                    assert!(events.is_empty(), "a request_id took effect twice");
                    assert!(!altered, "another body was taken for the same");
                }
                Err(refusal) if altered => assert!(
                    matches!(
                        refusal.reason,
                        Reason::RequestIdReused | Reason::AccountDisabled | Reason::NoAccount | Reason::Locked
                    ),
                    "{refusal}"
                ),
                Err(refusal) => {
                    let shut_out =
                        matches!(refusal.reason, Reason::AccountDisabled | Reason::NoAccount | Reason::Locked);
                    assert!(shut_out, "{refusal}");
                }
            }
            assert_eq!(before.elevations(), self.world.state.elevations());
            assert_eq!(before.grants(), self.world.state.grants());
        }
        self.sent[index].1 |= result.is_ok();
        if !took_effect && result.is_ok() {
            self.sent[index].0 = envelope;
        }
        Some(result.map(|_| ()))
    }
}

const POLICY_CHANGES: [(&str, &str); 4] = [
    ("resources = [\"prod/*/db/orders/**\"]", "resources = [\"prod/us/db/orders/**\"]"),
    ("max_duration = \"2h\"", "max_duration = \"1h\""),
    ("valid_for = \"180d\"", "valid_for = \"1h\""),
    ("title = \"Deploy\"", "title = \"Ship\""),
];

/// Whose request an `Ask` is, and for what.
pub fn ask_of(step: &Step, now: Timestamp) -> (&'static str, Ask) {
    let Step::Ask { who, what, scope, duration, start, on_behalf } = *step else { panic!("an ask") };
    let who = WHO[who];
    let eu = |rest: &str| format!("prod/{}/{rest}", ["eu", "us", "eu", "us", "*"][scope]);
    let ask = match what {
        0 => Ask::repair().on(&[&eu("db/orders/**")]),
        1 => Ask::critical().on(&[&eu("db/orders/1")]),
        2 => Ask::maintenance().on(&[&eu("db/orders/1")]),
        3 => Ask::managed().on(&[&format!("reports/{scope}")]),
        4 => Ask::deploy().on(&[&eu("apps/orders")]),
        _ => Ask::repair().on(&[&eu("db/payments/1")]),
    };
    let ask = ask.with(|it| {
        it.duration = [None, Some("1s"), Some("10m"), Some("30m"), Some("2h")][duration].map(span);
        it.start = [None, None, Some(now.plus(span("20m"))), Some(now.minus(span("5m")))][start];
    });
    // Machines that ask for people mostly name one; others mostly do not.
    let for_whom = if who == "pipe" { ["ana", "dan", "ana", "dan", "ines", ""] } else { ["", "", "", "", "", "dan"] };
    match for_whom[on_behalf] {
        "" => (who, ask),
        person => (who, ask.on_behalf_of(person)),
    }
}

/// Changes the directory in one of many ways.
pub fn change(all: &mut Organisation, now: Timestamp, kind: usize, whom: usize, how: usize) {
    let soon = |text: &str| now.plus(span(text)).to_string();
    let name = WHO[whom];
    let role = ["engineer", "commander", "security", "robot"][how];
    match kind {
        // memberships: for good, for a while, not at all; also some that must be refused
        0 => {
            let own = ["engineer", "engineer", "commander", "commander", "security", "security", "robot", "robot"];
            if let Some(account) = all.accounts.get_mut(name) {
                match how {
                    0 | 1 => account.roles.remove(own[whom]),
                    2 => account.roles.insert(own[whom].into(), Some(soon("10m"))),
                    _ => account.roles.insert(own[whom].into(), None),
                };
            }
        }
        1 if all.accounts.contains_key(name) => all.join(name, role),
        // attestations: renewed, about to lapse, withdrawn
        2 | 3 => {
            if let Some(person) = all.people.get_mut(name) {
                let (requirement, days) = if kind == 2 { ("dba", "180d") } else { ("training", "365d") };
                let about_to_lapse = now.minus(span(days)).plus(span("5m")).to_string();
                match how {
                    0 => drop(person.attestations.remove(requirement)),
                    1 => drop(person.attestations.insert(requirement.into(), about_to_lapse)),
                    _ => drop(person.attestations.insert(requirement.into(), now.to_string())),
                }
            }
        }
        // people leave, and come back
        4 if all.people.contains_key(name) && !matches!(name, "ines") => all.remove_person(name),
        4 | 5 if whom < 6 && !all.people.contains_key(name) => {
            all.person(name, all.people.contains_key("ines").then_some("ines"));
            all.account(name, name);
            let own = ["engineer", "engineer", "commander", "commander", "security", "security"];
            all.join(name, own[whom]);
        }
        6 => {
            if let Some(account) = all.accounts.get_mut(name) {
                account.disabled = (how < 2).then(|| "away".to_owned());
            }
        }
        7 => {
            if let Some(person) = all.people.get_mut(name) {
                person.manager = [None, Some("omar"), Some("ines"), Some("ines")][how].map(str::to_owned);
            }
        }
        8 => {
            if let Some(account) = all.accounts.get_mut(["bot", "pipe"][whom % 2]) {
                account.owner =
                    Some(["odo", "ines", "odo", "ana"][how].into()).filter(|it| all.people.contains_key(it));
                account.owner.get_or_insert("odo".into());
            }
        }
        9 => {
            if let Some(account) = all.accounts.get_mut(name) {
                account.until = (how == 0).then(|| soon("15m"));
            }
        }
        10 => {
            if let Some(account) = all.accounts.get_mut(["bot", "pipe"][whom % 2]) {
                account.acts_for_people = how < 2;
            }
        }
        _ => {}
    }
    // What machines are owned by stays in the directory.
    let people: Vec<String> = all.people.keys().cloned().collect();
    for account in all.accounts.values_mut() {
        if let Some(owner) = account.owner.as_mut().filter(|owner| !people.contains(*owner)) {
            *owner = "odo".into();
        }
    }
}
