//! A small model of the rules, written another way: vectors of facts in plain text and milliseconds, from which who may
//! do what is worked out anew each time. No index, no cascade by who is touched: after every change all is looked at.

#![allow(unreachable_pub, reason = "one test crate uses it")]

use std::collections::BTreeSet;

use crate::world::{Organisation, at};

pub const MINUTE: i64 = 60_000;
const NEVER: i64 = i64::MAX;

/// What the policy of the example offers, as far as histories of the model ask for it.
pub struct Offer {
    pub name: &'static str,
    pub asks: &'static [&'static str],
    pub stages: &'static [(&'static [&'static str], usize)],
    pub usual: i64,
    pub longest: i64,
    pub continuous: i64,
    pub waits: i64,
    pub starts: bool,
}

pub const OFFERS: [Offer; 5] = [
    Offer {
        name: "repair",
        asks: &["engineer"],
        stages: &[(&["commander"], 1)],
        usual: 15 * MINUTE,
        longest: 60 * MINUTE,
        continuous: 120 * MINUTE,
        waits: 30 * MINUTE,
        starts: false,
    },
    Offer {
        name: "critical",
        asks: &["engineer"],
        stages: &[(&["commander", "security"], 2), (&["security"], 1)],
        usual: 15 * MINUTE,
        longest: 30 * MINUTE,
        continuous: NEVER,
        waits: 60 * MINUTE,
        starts: false,
    },
    Offer {
        name: "maintenance",
        asks: &["engineer"],
        stages: &[(&["commander"], 1)],
        usual: 15 * MINUTE,
        longest: 120 * MINUTE,
        continuous: NEVER,
        waits: 4320 * MINUTE,
        starts: true,
    },
    Offer {
        name: "managed",
        asks: &["engineer", "robot"],
        stages: &[(&["@manager"], 1)],
        usual: 15 * MINUTE,
        longest: 60 * MINUTE,
        continuous: NEVER,
        waits: 60 * MINUTE,
        starts: true,
    },
    Offer {
        name: "deploy",
        asks: &["robot", "engineer"],
        stages: &[(&["commander"], 2)],
        usual: 15 * MINUTE,
        longest: 30 * MINUTE,
        continuous: NEVER,
        waits: 60 * MINUTE,
        starts: false,
    },
];

#[derive(Debug, Clone)]
pub struct Wish {
    pub account: String,
    pub person: String,
    pub behind: BTreeSet<String>,
    pub for_whom: Option<String>,
    pub offer: usize,
    pub resource: String,
    pub duration: i64,
    pub start: Option<i64>,
    pub deadline: i64,
    /// Who, from which account, in which stage, and whether it still counts.
    pub yes: Vec<(String, String, usize, bool)>,
    /// When the last of these was given.
    pub yes_at: i64,
    pub pending: bool,
}

#[derive(Debug, Clone)]
pub struct Right {
    pub wish: usize,
    pub start: i64,
    pub end: i64,
    pub since: i64,
    pub started: bool,
    /// When it was ended by anything but its time.
    pub closed: Option<i64>,
}

#[derive(Debug, Clone, Copy)]
pub struct Moment {
    pub latest: i64,
    pub earliest: i64,
    pub stamp: i64,
    pub suspect: bool,
}

pub struct Model {
    pub all: Organisation,
    pub wishes: Vec<Wish>,
    pub rights: Vec<Right>,
    /// Persons whom a lock suspends.
    pub suspended: BTreeSet<String>,
}

fn ms(text: &str) -> i64 {
    at(text).millis()
}

impl Model {
    pub fn usable(&self, account: &str, now: Moment) -> bool {
        let ends = |until: &Option<String>| until.as_ref().map_or(NEVER, |text| ms(text));
        self.all.accounts.get(account).is_some_and(|it| it.disabled.is_none() && ends(&it.until) > now.latest)
    }

    fn person_of(&self, account: &str) -> String {
        let account = &self.all.accounts[account];
        account.person.clone().or_else(|| account.owner.clone()).unwrap()
    }

    fn is_machine(&self, account: &str) -> bool {
        self.all.accounts[account].owner.is_some()
    }

    /// Until when an attestation holds; none if it does not.
    fn attested(&self, person: &str, requirement: &str, now: Moment) -> Option<i64> {
        let attested = ms(self.all.people.get(person)?.attestations.get(requirement)?);
        let days = match requirement {
            "screening" => return (attested <= now.latest).then_some(NEVER),
            "dba" => 180,
            _ => 365,
        };
        let until = attested + days * 1440 * MINUTE;
        (attested <= now.latest && until > now.latest).then_some(until)
    }

    /// Until when an account is eligible in a role; none if it is not.
    pub fn in_role(&self, account: &str, role: &str, now: Moment) -> Option<i64> {
        let it = self.all.accounts.get(account).filter(|_| self.usable(account, now))?;
        let person = self.person_of(account);
        let membership = it.roles.get(role)?.as_ref().map_or(NEVER, |until| ms(until));
        let kind_fits = self.is_machine(account) == (role == "robot");
        let mut ends = vec![
            membership,
            it.until.as_ref().map_or(NEVER, |until| ms(until)),
            self.attested(&person, "screening", now)?,
        ];
        match role {
            "engineer" => ends.push(self.attested(&person, "dba", now)?),
            "security" => ends.push(self.attested(&person, "training", now)?),
            _ => {}
        }
        (kind_fits && membership > now.latest).then(|| ends.into_iter().min().unwrap())
    }

    fn may_ask(&self, account: &str, offer: usize, now: Moment) -> Option<i64> {
        OFFERS[offer].asks.iter().filter_map(|role| self.in_role(account, role, now)).max()
    }

    /// Who owns a machine stands behind all that it has asked for by then, and for as long as that is open.
    pub fn note_owners(&mut self) {
        for index in 0..self.wishes.len() {
            let is_open = |right: &Right| right.wish == index && right.closed.is_none();
            let owner = self.all.accounts.get(&self.wishes[index].account).and_then(|it| it.owner.clone());
            if self.wishes[index].pending || self.rights.iter().any(is_open) {
                self.wishes[index].behind.extend(owner);
            }
        }
    }

    /// The same for what was asked: whoever is behind it takes it along when leaving.
    pub fn could_still_hold(&self, wish: &Wish, now: Moment) -> Option<i64> {
        let all_are_here = wish.behind.iter().all(|person| self.all.people.contains_key(person));
        self.could_hold(&wish.account, &wish.person, wish.for_whom.as_deref(), wish.offer, now).filter(|_| all_are_here)
    }

    /// Until when an account could hold what it asked for; none if it cannot.
    pub fn could_hold(
        &self,
        account: &str,
        person: &str,
        for_whom: Option<&str>,
        offer: usize,
        now: Moment,
    ) -> Option<i64> {
        let own = self.may_ask(account, offer, now)?;
        let it = &self.all.accounts[account];
        if (it.owner.is_some() && it.acts_for_people) != for_whom.is_some() {
            return None;
        }
        let Some(whom) = for_whom else {
            return (it.owner.is_some() || it.person.as_deref() == Some(person)).then_some(own);
        };
        let theirs = self.all.accounts.iter().filter(|(_, it)| it.person.as_deref() == Some(whom));
        Some(own.min(theirs.filter_map(|(name, _)| self.may_ask(name, offer, now)).max()?))
    }

    pub fn may_review(&self, account: &str, wish: &Wish, stage: usize, now: Moment) -> bool {
        if !self.usable(account, now) || self.is_machine(account) {
            return false;
        }
        let person = self.person_of(account);
        let owner_now = self.all.accounts.get(&wish.account).map(|_| self.person_of(&wish.account));
        if wish.behind.contains(&person)
            || owner_now.as_deref() == Some(&person)
            || wish.for_whom.as_deref() == Some(&person)
        {
            return false;
        }
        if self.attested(&person, "screening", now).is_none() {
            return false;
        }
        OFFERS[wish.offer].stages[stage].0.iter().any(|by| match *by {
            "@manager" => {
                let manages = self.all.people.get(&wish.person).and_then(|it| it.manager.as_ref()) == Some(&person);
                let mut own = self.all.accounts.iter().filter(|(name, _)| self.person_of(name) == person);
                manages && !own.any(|(_, it)| OFFERS[wish.offer].asks.iter().any(|role| it.roles.contains_key(*role)))
            }
            role => self.in_role(account, role, now).is_some(),
        })
    }

    /// Whether a lock stops somebody behind a wish, or the owner of the machine that has it.
    pub fn is_held(&self, wish: &Wish) -> bool {
        let owner = self.all.accounts.get(&wish.account).map(|_| self.person_of(&wish.account));
        let mut behind = wish.behind.iter().chain([&wish.person]).chain(&owner);
        behind.any(|person| self.suspended.contains(person))
    }

    /// By those whom no lock stops.
    pub fn open_stage(&self, wish: &Wish) -> Option<usize> {
        let stages = OFFERS[wish.offer].stages.iter().enumerate();
        let counts = |yes: &&(String, String, usize, bool)| {
            yes.3 && !self.suspended.contains(&yes.0) && !self.is_suspended(&yes.1)
        };
        let counted = |stage| wish.yes.iter().filter(counts).filter(|(_, _, at, _)| *at == stage).count();
        stages
            .map(|(stage, (_, wanted))| (stage, *wanted))
            .find(|(stage, wanted)| counted(*stage) < *wanted)
            .map(|(stage, _)| stage)
    }

    fn is_suspended(&self, account: &str) -> bool {
        self.all.accounts.contains_key(account) && self.suspended.contains(&self.person_of(account))
    }

    /// Tries every way to give each place of each stage to another person.
    pub fn can_be_decided(&self, wish: &Wish, now: Moment) -> bool {
        let places: Vec<usize> =
            OFFERS[wish.offer].stages.iter().enumerate().flat_map(|(stage, (_, count))| vec![stage; *count]).collect();
        self.fill(wish, &places, &mut BTreeSet::new(), now)
    }

    fn fill(&self, wish: &Wish, places: &[usize], used: &mut BTreeSet<String>, now: Moment) -> bool {
        let Some((stage, rest)) = places.split_first() else { return true };
        self.all.accounts.keys().any(|account| {
            let person = self.person_of(account);
            if used.contains(&person)
                || self.suspended.contains(&person)
                || !self.may_review(account, wish, *stage, now)
            {
                return false;
            }
            used.insert(person.clone());
            let filled = self.fill(wish, rest, used, now);
            used.remove(&person);
            filled
        })
    }

    pub fn held(&self, person: &str, now: Moment) -> usize {
        let open = self.rights.iter().filter(|right| right.closed.is_none() && right.end > now.latest);
        open.filter(|right| self.wishes[right.wish].person == person).count()
    }

    pub fn since(&self, person: &str, offer: usize, start: i64, except: Option<usize>) -> i64 {
        // A break is one from a tenth of the cap on.
        let min_break = if OFFERS[offer].continuous == NEVER { 0 } else { OFFERS[offer].continuous / 10 };
        let touching = self.rights.iter().enumerate().filter(|(index, right)| {
            let over = right.closed.map_or(right.end, |closed| closed.min(right.end));
            let wish = &self.wishes[right.wish];
            Some(*index) != except
                && right.started
                && wish.person == person
                && wish.offer == offer
                && right.start <= start
                && (start <= over || start < over + min_break)
        });
        touching.map(|(_, right)| right.since).chain([start]).min().unwrap()
    }

    /// After any change: all that no longer stands falls.
    pub fn settle(&mut self, now: Moment) {
        for index in 0..self.wishes.len() {
            let wish = self.wishes[index].clone();
            if wish.pending && wish.deadline > now.latest {
                if self.could_still_hold(&wish, now).is_none() {
                    self.wishes[index].pending = false;
                }
                self.strike(index, now);
            }
        }
        for index in 0..self.rights.len() {
            let right = self.rights[index].clone();
            if right.closed.is_some() || right.end <= now.latest {
                continue;
            }
            match self.stands(&right, now) {
                None => self.rights[index].closed = Some(now.stamp),
                Some(until) => {
                    self.rights[index].end = right.end.min(until);
                    if !right.started {
                        self.strike(right.wish, now);
                    }
                }
            }
        }
    }

    pub fn strike(&mut self, index: usize, now: Moment) {
        let wish = self.wishes[index].clone();
        for (place, (person, account, stage, _)) in wish.yes.iter().enumerate() {
            let same = self.all.accounts.contains_key(account) && self.person_of(account) == *person;
            if !same || !self.may_review(account, &wish, *stage, now) {
                self.wishes[index].yes[place].3 = false;
            }
        }
    }

    fn stands(&self, right: &Right, now: Moment) -> Option<i64> {
        let wish = &self.wishes[right.wish];
        let until = self.could_still_hold(wish, now)?;
        // One yes more than a stage needs is not missed; whom a lock suspends has still said it.
        let holds = |(person, account, at, counts): &&(String, String, usize, bool)| {
            *counts
                && self.all.accounts.contains_key(account)
                && self.person_of(account) == *person
                && self.may_review(account, wish, *at, now)
        };
        let mut stages = OFFERS[wish.offer].stages.iter().enumerate();
        let approved = stages
            .all(|(stage, (_, wanted))| wish.yes.iter().filter(holds).filter(|yes| yes.2 == stage).count() >= *wanted);
        // Whoever approved and stands behind it now, as the owner of its machine, has approved their own.
        let own = wish.yes.iter().any(|(person, _, _, counts)| *counts && wish.behind.contains(person));
        (!own && (right.started || approved)).then_some(until)
    }

    /// Time passed and a timer runs: what is over. What begins is another thing.
    pub fn tick(&mut self, now: Moment) {
        if now.suspect {
            return;
        }
        for wish in &mut self.wishes {
            wish.pending &= wish.deadline > now.latest;
        }
        // What a tick found over stays so, even if a clock goes back a little.
        for right in self.rights.iter_mut().filter(|right| right.closed.is_none() && right.end <= now.latest) {
            right.closed = Some(now.stamp);
        }
        self.settle(now);
    }

    /// The wishes that have every yes that they need, and that no lock holds.
    pub fn complete(&self, now: Moment) -> Vec<usize> {
        let is_due = |wish: &Wish| wish.pending && wish.yes_at <= now.earliest && !now.suspect;
        let complete = |wish: &Wish| is_due(wish) && self.open_stage(wish).is_none() && !self.is_held(wish);
        (0..self.wishes.len()).filter(|index| complete(&self.wishes[*index])).collect()
    }

    /// The timer, for what starts.
    pub fn start(&mut self, now: Moment) {
        if now.suspect {
            return;
        }
        let mut due: Vec<usize> = (0..self.rights.len()).collect();
        due.sort_by_key(|index| self.rights[*index].start);
        for index in due {
            let right = self.rights[index].clone();
            if right.started || right.closed.is_some() || right.end <= now.latest || right.start > now.earliest {
                continue;
            }
            let wish = &self.wishes[right.wish];
            if self.is_held(wish) || self.open_stage(wish).is_some() {
                continue;
            }
            let since = self.since(&wish.person, wish.offer, right.start, Some(index));
            self.rights[index].since = since;
            self.rights[index].started = true;
            self.rights[index].end = right.end.min(since.saturating_add(OFFERS[wish.offer].continuous));
        }
    }

    pub fn live(&self, account: &str, offer: usize, resource: &str, now: Moment) -> bool {
        self.rights.iter().any(|right| {
            let wish = &self.wishes[right.wish];
            right.started
                && right.closed.is_none()
                && right.end > now.latest
                && wish.account == account
                && wish.offer == offer
                && wish.resource == resource
        })
    }

    /// Whether somebody would hold both sides of one offer, over all accounts and machines.
    pub fn conflicts(&self, all: &Organisation) -> bool {
        let holds = |person: &str, role: &str| {
            let mut own = all
                .accounts
                .values()
                .filter(|it| it.person.as_deref() == Some(person) || it.owner.as_deref() == Some(person));
            own.any(|it| it.roles.contains_key(role))
        };
        all.people.keys().any(|person| {
            OFFERS.iter().any(|offer| {
                let approves = offer.stages.iter().flat_map(|(by, _)| by.iter()).any(|role| holds(person, role));
                approves && offer.asks.iter().any(|role| holds(person, role))
                // `support`, which the model does not ask for, is approved by security
            }) || (holds(person, "engineer") && holds(person, "security"))
        })
    }
}
