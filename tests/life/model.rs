//! A model of who works here, who answers for whom and who may do what in which role, written another way than the core:
//! it keeps the list of all that ever happened, and answers every question by going through that list.
#![allow(unreachable_pub, reason = "modules of one test crate")]

use std::collections::{BTreeMap, BTreeSet};

use countersign::domain::value::time::{Span, Timestamp};

/// Something that happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Deed {
    pub when: Timestamp,
    pub what: What,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum What {
    Hired {
        person: String,
        manager: Option<String>,
        login: BTreeSet<String>,
    },
    Named {
        person: String,
        login: BTreeSet<String>,
    },
    Leaving {
        person: String,
        from: Timestamp,
    },
    Stays {
        person: String,
    },
    Moving {
        person: String,
        manager: Option<String>,
        at: Timestamp,
    },
    Attested {
        person: String,
        requirement: String,
        met_at: Option<Timestamp>,
    },
    Opened {
        account: String,
        person: String,
        machine: bool,
    },
    Closed {
        account: String,
    },
    TakenOver {
        account: String,
        person: String,
    },
    Given {
        account: String,
        role: String,
        until: Option<Timestamp>,
    },
    Taken {
        account: String,
        role: String,
    },
    Kept {
        account: String,
        role: String,
    },
    /// The account, where no role is named.
    Restored {
        account: String,
        role: Option<String>,
    },
    Questioned {
        role: String,
        due: Timestamp,
        accounts: BTreeSet<String>,
    },
    Confirmed {
        account: String,
        role: String,
    },
}

use What as W;

/// What policy says, as far as the model needs it.
pub const VALID: [(&str, Option<u32>); 3] = [("screening", None), ("training", Some(365)), ("dba", Some(180))];
pub const BASELINE: [&str; 2] = ["screening", "training"];
pub const GRACE_DAYS: u32 = 14;

pub fn requires(role: &str) -> &'static [&'static str] {
    if role == "engineer" { &["dba"] } else { &[] }
}

pub fn longest(role: &str) -> Option<u32> {
    (role == "commander").then_some(180)
}

pub fn days(count: u32) -> Span {
    Span::from_millis(i64::from(count) * 86_400_000).unwrap()
}

#[derive(Debug, Clone, Default)]
pub struct Model {
    pub deeds: Vec<Deed>,
}

impl Model {
    pub fn add(&mut self, when: Timestamp, what: What) {
        self.deeds.push(Deed { when, what });
    }

    fn until(&self, t: Timestamp) -> impl DoubleEndedIterator<Item = (usize, &Deed)> {
        self.deeds.iter().enumerate().filter(move |(_, deed)| deed.when <= t)
    }

    /// Where in the list a person began to work here, the last time.
    fn hired(&self, person: &str, t: Timestamp) -> Option<usize> {
        let hired = |deed: &Deed| matches!(&deed.what, W::Hired { person: who, .. } if who == person);
        self.until(t).rev().find(|(_, deed)| hired(deed)).map(|(index, _)| index)
    }

    pub fn was_ever_here(&self, person: &str) -> bool {
        self.deeds.iter().any(|deed| matches!(&deed.what, W::Hired { person: who, .. } if who == person))
    }

    /// The first instant at which a person no longer works here, as it was known at a time.
    fn leaves(&self, person: &str, t: Timestamp) -> Option<Timestamp> {
        let hired = self.hired(person, t)?;
        let stays = self.until(t).filter(|(_, deed)| matches!(&deed.what, W::Stays { person: who } if who == person));
        let since = stays.map(|(index, _)| index).next_back().map_or(hired, |index| index.max(hired));
        let leavings = self.until(t).filter(|(index, _)| *index > since).filter_map(|(_, deed)| match &deed.what {
            W::Leaving { person: who, from } if who == person => Some((*from).max(deed.when)),
            _ => None,
        });
        Some(leavings.min().unwrap_or(Timestamp::MAX))
    }

    pub fn is_employed(&self, person: &str, t: Timestamp) -> bool {
        self.leaves(person, t).is_some_and(|from| t < from)
    }

    /// The manager of record, if somebody who works here.
    pub fn manager(&self, person: &str, t: Timestamp) -> Option<String> {
        self.named_manager(person, t)?.filter(|manager| self.is_employed(manager, t))
    }

    /// Transferred to nobody who is here: until HR names a manager, nobody stands in.
    pub fn awaits_manager(&self, person: &str, t: Timestamp) -> bool {
        let Some(hired) = self.hired(person, t) else { return false };
        let moved = self.until(t).any(|(index, deed)| {
            index > hired && matches!(&deed.what, W::Moving { person: who, at, .. } if who == person && *at <= t)
        });
        moved && self.named_manager(person, t).flatten().is_none()
    }

    /// Whom HR named last as manager, as far as it has taken effect. Somebody who is not here at that time is nobody.
    fn named_manager(&self, person: &str, t: Timestamp) -> Option<Option<String>> {
        let hired = self.hired(person, t)?;
        let W::Hired { manager, .. } = &self.deeds[hired].what else { return None };
        let mut known = (manager.clone(), self.deeds[hired].when);
        let mut ahead: BTreeMap<Timestamp, (Option<String>, usize)> = BTreeMap::new();
        // Who came back after it was announced is another, who was named by nobody.
        let effect = |at: Timestamp, manager: Option<String>, announced: usize| {
            let came_back = |it: &String| {
                self.hired(it, at).is_some_and(|hired| hired > announced && self.was_here_before(it, hired))
            };
            (manager.filter(|it| self.is_employed(it, at) && !came_back(it)), at)
        };
        for (index, deed) in self.until(t).filter(|(index, _)| *index > hired) {
            let W::Moving { person: who, manager, at } = &deed.what else { continue };
            if who != person {
                continue;
            }
            while let Some(next) = ahead.first_entry().filter(|next| *next.key() <= deed.when) {
                let (at, (manager, announced)) = next.remove_entry();
                known = effect(at, manager, announced);
            }
            if *at <= deed.when {
                // As it was then: who joins later within the same batch was nobody yet.
                let before = Self { deeds: self.deeds[..index].to_vec() };
                known = (manager.clone().filter(|it| before.is_employed(it, deed.when)), deed.when);
            } else {
                ahead.insert(*at, (manager.clone(), index));
            }
        }
        for (at, (manager, announced)) in ahead.into_iter().filter(|(at, _)| *at <= t) {
            known = effect(at, manager, announced);
        }
        let (manager, since) = known;
        // Who left and came back begins with nobody.
        let is_back = |it: &String| self.hired(it, t).is_some_and(|index| self.deeds[index].when > since);
        Some(manager.filter(|it| !is_back(it)))
    }

    /// Transfers that have been announced and whose time has not come: when, and to whom.
    fn announced(&self, person: &str, t: Timestamp) -> Vec<(Timestamp, Option<String>)> {
        let Some(hired) = self.hired(person, t) else { return Vec::new() };
        let moves = self.until(t).filter(|(index, _)| *index > hired).filter_map(|(_, deed)| match &deed.what {
            W::Moving { person: who, manager, at } if who == person => Some((*at, manager.clone())),
            _ => None,
        });
        moves.filter(|(at, _)| *at > t).collect()
    }

    /// Whether a transfer changes nothing, because by all that is known that is the manager at its instant anyway.
    pub fn is_no_move(&self, person: &str, manager: Option<&str>, at: Timestamp, t: Timestamp) -> bool {
        manager.is_some() && self.manager(person, at.max(t)).as_deref() == manager
    }

    fn was_here_before(&self, person: &str, index: usize) -> bool {
        self.deeds[..index].iter().any(|deed| matches!(&deed.what, W::Hired { person: who, .. } if who == person))
    }

    /// Whether somebody would be their own manager by what is in force or announced, if a person got this manager.
    pub fn may_close_a_circle(&self, person: &str, manager: &str, t: Timestamp) -> bool {
        let mut reached = BTreeSet::from([manager.to_owned()]);
        loop {
            let above = reached.iter().flat_map(|who| {
                let later = self.announced(who, t).into_iter().map(|(_, manager)| manager);
                later.chain([self.named_manager(who, t).flatten()])
            });
            let more: BTreeSet<String> = above.flatten().filter(|who| !reached.contains(who)).collect();
            if reached.contains(person) {
                return true;
            }
            if more.is_empty() {
                return false;
            }
            reached.extend(more);
        }
    }

    /// Who is meant by an identity: the last who was given it, while it is still among theirs.
    pub fn person_named(&self, identity: &str, t: Timestamp) -> Option<String> {
        let namings = self.until(t).filter_map(|(index, deed)| match &deed.what {
            W::Hired { person, login, .. } | W::Named { person, login } => Some((index, person, login)),
            _ => None,
        });
        let namings: Vec<_> = namings.collect();
        let (index, person, _) = namings.iter().rfind(|(.., login)| login.contains(identity))?;
        let last = namings.iter().rfind(|(_, who, _)| who == person)?;
        (last.0 == *index || last.2.contains(identity)).then(|| (*person).clone())
    }

    /// The attestations of a requirement since a person is here: when it was recorded, and what it says.
    fn attested(&self, person: &str, requirement: &str, t: Timestamp) -> Vec<(Timestamp, Option<Timestamp>)> {
        let Some(hired) = self.hired(person, t) else { return Vec::new() };
        let since = self.until(t).filter(|(index, _)| *index > hired);
        since
            .filter_map(|(_, deed)| match &deed.what {
                W::Attested { person: who, requirement: what, met_at } if who == person && what == requirement => {
                    Some((deed.when, *met_at))
                }
                _ => None,
            })
            .collect()
    }

    /// When a requirement was met, as it is on record.
    pub fn on_record(&self, person: &str, requirement: &str, t: Timestamp) -> Option<Timestamp> {
        self.attested(person, requirement, t).last().and_then(|(_, met_at)| *met_at)
    }

    pub fn is_met(&self, person: &str, requirement: &str, t: Timestamp) -> bool {
        self.on_record(person, requirement, t).is_some_and(|met_at| t < lapse_of(requirement, met_at))
    }

    /// The instants after one and up to another at which a requirement was lost.
    fn lapses(&self, person: &str, requirement: &str, after: Timestamp, t: Timestamp) -> Vec<Timestamp> {
        let all = self.attested(person, requirement, t);
        let next = all.iter().skip(1).map(|(when, _)| *when).chain([t]);
        let lost = all.iter().zip(next).filter_map(|((when, met_at), next)| {
            let lost = met_at.map_or(*when, |met_at| lapse_of(requirement, met_at).max(*when));
            (lost > after && lost <= next).then_some(lost)
        });
        lost.collect()
    }

    /// Whose an account is, whether a machine's, and where in the list that began.
    fn opened(&self, account: &str, t: Timestamp) -> Option<(String, bool, usize)> {
        let mut found = None;
        for (index, deed) in self.until(t) {
            match &deed.what {
                W::Opened { account: id, person, machine } if id == account => {
                    found = Some((person.clone(), *machine, index));
                }
                W::TakenOver { account: id, person } if id == account => {
                    found = found.map(|(_, machine, index)| (person.clone(), machine, index));
                }
                W::Closed { account: id } if id == account => found = None,
                _ => {}
            }
        }
        let (person, machine, index) = found?;
        // Somebody left since: a machine closed with its owner then, and an own account brings nothing back.
        let begins = |deed: &Deed| match &deed.what {
            W::Opened { account: id, .. } | W::TakenOver { account: id, .. } => id == account,
            _ => false,
        };
        let answers = self.until(t).filter(|(_, deed)| begins(deed)).map(|(index, _)| index).next_back()?;
        let stayed = self.hired(&person, t).is_some_and(|hired| hired <= answers) && self.is_employed(&person, t);
        stayed.then_some((person, machine, index))
    }

    pub fn person_of(&self, account: &str, t: Timestamp) -> Option<String> {
        self.opened(account, t).map(|(person, ..)| person)
    }

    /// The accounts that are a person's, and the machines that are.
    pub fn accounts_of(&self, person: &str, t: Timestamp) -> BTreeSet<String> {
        let opened = self.deeds.iter().filter_map(|deed| match &deed.what {
            W::Opened { account, .. } => Some(account.clone()),
            _ => None,
        });
        opened.filter(|account| self.person_of(account, t).as_deref() == Some(person)).collect()
    }

    /// Whether an account can be used at all.
    pub fn is_usable(&self, account: &str, t: Timestamp) -> bool {
        let Some((person, machine, index)) = self.opened(account, t) else { return false };
        let restored = self.restored(account, None, index, t);
        BASELINE.iter().all(|requirement| {
            self.is_met(&person, requirement, t)
                && (machine || self.lapses(&person, requirement, restored, t).is_empty())
        })
    }

    fn restored(&self, account: &str, role: Option<&str>, since: usize, t: Timestamp) -> Timestamp {
        let mut restored = self.until(t).filter(|(index, deed)| {
            *index > since
                && matches!(&deed.what, W::Restored { account: id, role: what }
                    if id == account && what.as_deref() == role)
        });
        restored.next_back().map_or(self.deeds[since].when, |(_, deed)| deed.when)
    }

    /// Where in the list a membership was given, if it was not taken since.
    fn given(&self, account: &str, role: &str, t: Timestamp) -> Option<usize> {
        let (.., opened) = self.opened(account, t)?;
        let mut given = None;
        for (index, deed) in self.until(t).filter(|(index, _)| *index > opened) {
            match &deed.what {
                W::Given { account: id, role: what, .. } if id == account && what == role => given = Some(index),
                W::Taken { account: id, role: what } if id == account && what == role => given = None,
                _ => {}
            }
        }
        given
    }

    /// Since when a membership is suspended, because something that it rests on was lost and not restored.
    pub fn suspended(&self, account: &str, role: &str, t: Timestamp) -> Option<Timestamp> {
        let given = self.given(account, role, t)?;
        let (person, machine, _) = self.opened(account, t)?;
        let restored = self.restored(account, Some(role), given, t);
        let own = requires(role).iter();
        let all: Vec<&str> = if machine { own.copied().collect() } else { own.chain(&BASELINE).copied().collect() };
        all.iter().flat_map(|requirement| self.lapses(&person, requirement, restored, t)).min()
    }

    /// The first instant at which a membership is over, as known at a time.
    pub fn membership_ends(&self, account: &str, role: &str, t: Timestamp) -> Option<Timestamp> {
        let given = self.given(account, role, t)?;
        let (person, machine, _) = self.opened(account, t)?;
        let W::Given { until, .. } = &self.deeds[given].what else { return None };
        let whole = until.unwrap_or(Timestamp::MAX);
        let grace = |at: Timestamp| at.plus(days(GRACE_DAYS));
        // A transfer that is announced cuts what is given before its time as well.
        let announced = |t: Timestamp| {
            if machine { None } else { self.announced(&person, t).into_iter().map(|(at, _)| grace(at)).min() }
        };
        let mut end = whole.min(announced(self.deeds[given].when).unwrap_or(Timestamp::MAX));
        let mut asked: Option<Timestamp> = None;
        for (_, deed) in self.until(t).filter(|(index, _)| *index > given) {
            match &deed.what {
                W::Moving { person: who, at, .. } if *who == person && !machine => end = end.min(grace(*at)),
                W::Kept { account: id, role: what } if id == account && what == role => {
                    let longest = longest(role).map_or(Timestamp::MAX, |span| deed.when.plus(days(span)));
                    let kept = whole.min(longest).max(end);
                    end = kept.min(announced(deed.when).unwrap_or(Timestamp::MAX));
                }
                W::Questioned { role: what, due, accounts } if what == role && accounts.contains(account) => {
                    asked = Some(*due);
                }
                W::Confirmed { account: id, role: what } if id == account && what == role => asked = None,
                _ => {}
            }
        }
        Some(asked.map_or(end, |due| end.min(due)))
    }

    /// May this account be used in this role now?
    pub fn may_use(&self, account: &str, role: &str, t: Timestamp) -> bool {
        let Some((person, ..)) = self.opened(account, t) else { return false };
        self.is_usable(account, t)
            && self.membership_ends(account, role, t).is_some_and(|end| t < end)
            && self.suspended(account, role, t).is_none()
            && requires(role).iter().all(|requirement| self.is_met(&person, requirement, t))
    }

    /// Memberships that an account has or could have again: what separation of duties counts.
    pub fn holds(&self, account: &str, role: &str, t: Timestamp) -> bool {
        let over = |since: Timestamp| since.plus(days(90)) <= t;
        self.membership_ends(account, role, t).is_some_and(|end| t < end)
            && !self.suspended(account, role, t).is_some_and(over)
    }
}

pub fn lapse_of(requirement: &str, met_at: Timestamp) -> Timestamp {
    let (_, valid) = VALID.iter().find(|(name, _)| *name == requirement).unwrap();
    valid.map_or(Timestamp::MAX, |valid| met_at.plus(days(valid)))
}
