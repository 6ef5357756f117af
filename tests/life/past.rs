//! What happens, step by step: in the core, and in the model what the core took. Of what HR says and of attestations the
//! model says beforehand whether the core must take it.
#![allow(unreachable_pub, reason = "modules of one test crate")]

use std::collections::BTreeSet;

use countersign::domain::directory::AccountState;
use countersign::domain::policy::Approver;
use countersign::domain::record::command::{
    ApplyHrEvents, ApproveElevation, CloseAccount, Command, ConfirmMembership, CorrectAttestation, EndMembership,
    RecordAttestation, StartCampaign,
};
use countersign::domain::record::event::{CampaignFact, Event, Fact};
use countersign::domain::record::hr::{HrChange, HrEvent, StreamPlace};
use countersign::domain::rule::reviewers::{candidates, counted};
use countersign::domain::state::State;
use countersign::domain::value::ids::{CampaignId, PersonId};
use countersign::domain::value::refusal::{Reason, Refusal};
use countersign::domain::value::time::Timestamp;

use crate::model::{Model, What};
use crate::random::{
    Change, MACHINES, PEOPLE, REQUIREMENTS, ROLES, Start, Step, hours, manager_named, organisation, policy,
};
use crate::world::{Ask, NOON, World, at, identity};

/// All who may be asked to decide.
pub const DECIDERS: [&str; 10] = ["ana", "ben", "cid", "dot", "eli", "fay", "gus", "hop", "hal", "omar"];

pub struct Past {
    pub world: World,
    pub model: Model,
    /// The next number of the stream, and what was sent under the ones before.
    pub sent: Vec<HrEvent>,
    /// What a step did: commands that took effect.
    pub took_effect: bool,
    pub enrolments_approved: usize,
    pub kinds: BTreeSet<&'static str>,
}

/// What the model says of a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Must {
    Take,
    /// The refusal of a circle of managers hangs on what is announced.
    TakeOrCircle,
    Refuse,
}

impl Past {
    pub fn new(starts: &[Start]) -> Self {
        Self::with_brake(starts, "{ people = 1000, percent = 100 }")
    }

    pub fn with_brake(starts: &[Start], brake: &str) -> Self {
        let all = organisation(starts);
        let mut model = Model::default();
        let noon = at(NOON);
        for (id, person) in &all.people {
            let login = BTreeSet::from([identity(id)]);
            model.add(noon, What::Hired { person: id.clone(), manager: person.manager.clone(), login });
        }
        for (id, person) in &all.people {
            for (requirement, met_at) in &person.attestations {
                let what =
                    What::Attested { person: id.clone(), requirement: requirement.clone(), met_at: Some(at(met_at)) };
                model.add(noon, what);
            }
        }
        for (id, account) in &all.accounts {
            let person = account.person.clone().or(account.owner.clone()).unwrap();
            model.add(noon, What::Opened { account: id.clone(), person, machine: account.owner.is_some() });
            for (role, until) in &account.roles {
                let until = until.as_deref().map(at);
                model.add(noon, What::Given { account: id.clone(), role: role.clone(), until });
            }
        }
        let world = World::of(&policy(brake), all).unwrap();
        let (sent, kinds) = (Vec::new(), BTreeSet::new());
        Self { world, model, sent, took_effect: false, enrolments_approved: 0, kinds }
    }

    pub fn now(&self) -> Timestamp {
        self.world.now().latest
    }

    pub fn state(&self) -> &State {
        &self.world.state
    }

    /// What names a person by now, as the world takes it.
    pub fn caller(&self, person: &str) -> String {
        caller_in(self.state(), person)
    }

    pub fn step(&mut self, step: &Step) {
        self.world.pass("1s");
        self.took_effect = false;
        let before = self.world.events.len();
        match step {
            Step::Hr { numbered, apt, events } => self.hr(*numbered, *apt, events),
            Step::Again { back } => self.again(*back),
            Step::Train { whom } => self.train(PEOPLE[*whom]),
            Step::Attest { whom, what, hours_ago } => {
                self.attest("school", PEOPLE[*whom], REQUIREMENTS[*what], *hours_ago);
            }
            Step::Correct { whom, what, hours_ago } => {
                self.correct(PEOPLE[*whom], REQUIREMENTS[*what], *hours_ago);
            }
            Step::Ask { who, what, start } => self.ask(*who, *what, *start),
            Step::Approve { which } => self.approve(*which),
            Step::Enrol { .. } => self.enrol(step),
            Step::ApproveEnrolment { which, who } => self.approve_enrolment(*which, *who),
            Step::EndMembership { whom, by } => self.end_membership(PEOPLE[*whom], DECIDERS[*by]),
            Step::CloseAccount { machine } => {
                let account = MACHINES[*machine];
                let command = Command::from(CloseAccount { account: account.parse().unwrap(), reason: String::new() });
                if self.send("omar", command).is_ok() {
                    self.learn(What::Closed { account: account.into() });
                }
            }
            Step::Campaign { role, days: count } => self.campaign(ROLES[*role], *count),
            Step::Confirm { whom } => self.confirm(PEOPLE[*whom]),
            Step::Pass { hours: count, tick } => {
                self.world.at = hours(self.world.at, *count);
                if *tick {
                    self.world.tick();
                }
                self.keep_staff_trained();
            }
        }
        let kinds = self.world.events[before..].iter().map(|event| event.fact.kind());
        self.kinds.extend(kinds);
    }

    pub fn send(&mut self, who: &str, command: Command) -> Result<Vec<Event>, Refusal> {
        let result = self.world.send(who, command);
        self.took_effect |= result.is_ok();
        result
    }

    pub fn learn(&mut self, what: What) {
        self.model.add(self.world.now().latest, what);
    }

    /// Those who run the place renew their own training through each other's machines.
    fn keep_staff_trained(&mut self) {
        for (who, by) in
            [("hal", "academy"), ("omar", "school"), ("lea", "school"), ("lou", "school"), ("hera", "school")]
        {
            self.attest(by, who, "training", 0);
        }
    }

    pub fn train(&mut self, person: &str) {
        for requirement in REQUIREMENTS {
            if !self.model.is_met(person, requirement, self.now()) {
                self.attest("school", person, requirement, 0);
            }
        }
    }

    fn attest(&mut self, by: &str, person: &str, requirement: &str, ago: i64) {
        let (t, met_at) = (self.now(), hours(self.world.at, -ago));
        let present = self.model.on_record(person, requirement, t);
        let must = self.model.is_employed(person, t) && present.is_none_or(|present| present < met_at);
        let command = Command::from(RecordAttestation {
            person: person.parse().unwrap(),
            requirement: requirement.parse().unwrap(),
            met_at,
            evidence: "a certificate".into(),
        });
        let result = self.send(by, command);
        assert_eq!(result.is_ok(), must, "{person} {requirement} {met_at}: {:?}", result.err());
        if must {
            let (person, requirement) = (person.into(), requirement.into());
            self.learn(What::Attested { person, requirement, met_at: Some(met_at) });
        }
    }

    fn correct(&mut self, person: &str, requirement: &str, ago: Option<i64>) {
        let (t, met_at) = (self.now(), ago.map(|ago| hours(self.world.at, -ago)));
        let must = self.model.is_employed(person, t) && self.model.on_record(person, requirement, t).is_some();
        let command = Command::from(CorrectAttestation {
            person: person.parse().unwrap(),
            requirement: requirement.parse().unwrap(),
            met_at,
            reason: "a mistake".into(),
        });
        let result = self.send("school", command);
        assert_eq!(result.is_ok(), must, "{person} {requirement} {met_at:?}: {:?}", result.err());
        if must {
            self.learn(What::Attested { person: person.into(), requirement: requirement.into(), met_at });
        }
    }

    /// A change that can be: who is here does not join, and who is not here does nothing else.
    fn aptly(&self, whom: usize, change: &Change) -> Change {
        let here = self.model.is_employed(PEOPLE[whom], self.now());
        let apt_manager = |which: &usize| manager_named(*which).is_none_or(|it| self.model.is_employed(it, self.now()));
        match change {
            Change::Join { manager, .. } if here => Change::Move { manager: *manager, hours: 0 },
            Change::Join { manager, login } if apt_manager(manager) => {
                Change::Join { manager: *manager, login: *login }
            }
            _ if !here => Change::Join { manager: PEOPLE.len(), login: 0 },
            other => other.clone(),
        }
    }

    fn hr(&mut self, numbered: bool, apt: bool, events: &[(usize, Change)]) {
        let events = events.iter().map(|(whom, change)| {
            let change = if apt { self.aptly(*whom, change) } else { change.clone() };
            event(*whom, &change, self.world.at)
        });
        let events: Vec<HrEvent> = events.collect();
        let (must, after) = self.expect(&events);
        // What cannot happen is refused in no stream, and set aside in one, of which the model knows nothing.
        let numbered = numbered && matches!(must, Must::Take);
        let number = u64::try_from(self.sent.len()).unwrap() + 1;
        let place = numbered.then(|| StreamPlace { stream: "people".parse().unwrap(), number });
        let result = self.send("feed", Command::from(ApplyHrEvents { place, events: events.clone() }));
        match (&result, must) {
            (Ok(_), Must::Take | Must::TakeOrCircle) => {
                self.model = after;
                if numbered {
                    self.sent.extend(events);
                }
            }
            (Err(refusal), Must::TakeOrCircle) if refusal.reason == Reason::ManagerCycle => {}
            (Err(refusal), Must::Refuse) => assert!(
                matches!(
                    refusal.reason,
                    Reason::PersonKnown | Reason::PersonUnknown | Reason::ManagerCycle | Reason::IdentityTaken
                ),
                "{refusal}"
            ),
            (result, must) => panic!("{must:?} {events:?}: {:?}", result.as_ref().map(Vec::len)),
        }
    }

    /// What the model says of events, one after another, and how it is after them.
    fn expect(&self, events: &[HrEvent]) -> (Must, Model) {
        let (t, mut model) = (self.now(), self.model.clone());
        let mut must = Must::Take;
        for event in events {
            let person = event.person.as_str();
            let known = model.is_employed(person, t);
            let taken = |login: &BTreeSet<_>| {
                login.iter().any(|identity: &countersign::domain::value::ids::Identity| {
                    let holder = model.person_named(identity.as_ref(), t);
                    holder.is_some_and(|holder| holder != person && model.is_employed(&holder, t))
                })
            };
            let texts = |login: &BTreeSet<countersign::domain::value::ids::Identity>| {
                login.iter().map(ToString::to_string).collect::<BTreeSet<_>>()
            };
            let circle = |manager: &PersonId| model.may_close_a_circle(person, manager.as_str(), t);
            let name = |manager: &Option<PersonId>| manager.as_ref().map(ToString::to_string);
            let (fits, campaign, what) = match &event.change {
                HrChange::Joined { login, manager } => {
                    let manages = manager.as_ref().is_none_or(|it| model.is_employed(it.as_str(), t));
                    let campaign = manager.as_ref().is_some_and(circle);
                    let what = What::Hired { person: person.into(), manager: name(manager), login: texts(login) };
                    (!known && manages && !taken(login), campaign, Some(what))
                }
                HrChange::Renamed { login } => {
                    let what = What::Named { person: person.into(), login: texts(login) };
                    (known && !taken(login), false, Some(what))
                }
                // No history here says a difference: `rules::feed::logins` does.
                HrChange::LoginsChanged { .. } => (false, false, None),
                HrChange::Transferred { manager, at } => {
                    let campaign = manager.as_ref().is_some_and(circle);
                    let itself = manager.as_ref().is_some_and(|it| it.as_str() == person);
                    let what = What::Moving { person: person.into(), manager: name(manager), at: *at };
                    let moves = !model.is_no_move(person, name(manager).as_deref(), *at, t);
                    (known && !itself, campaign, moves.then_some(what))
                }
                HrChange::Left { at, urgent, .. } => {
                    let from = if *urgent { t } else { *at };
                    let what = known.then(|| What::Leaving { person: person.into(), from });
                    (model.was_ever_here(person), false, what)
                }
                HrChange::Roles { .. } => (false, false, None),
                HrChange::Stays => (known, false, Some(What::Stays { person: person.into() })),
            };
            if !fits {
                return (Must::Refuse, model);
            }
            if campaign {
                must = Must::TakeOrCircle;
            }
            if let Some(what) = what {
                model.add(t, what);
            }
        }
        (must, model)
    }

    /// Numbers that were heard before change nothing, under whatever request_id.
    fn again(&mut self, back: u64) {
        let heard = u64::try_from(self.sent.len()).unwrap();
        let Some(number) = heard.checked_sub(back).filter(|number| *number > 0) else { return };
        let events = self.sent[usize::try_from(number - 1).unwrap()..].to_vec();
        let before = self.state().clone();
        let place = StreamPlace { stream: "people".parse().unwrap(), number };
        self.send("feed", Command::from(ApplyHrEvents { place: Some(place), events })).unwrap();
        assert!(before.organisation() == self.state().organisation(), "a replay changed who works here");
        assert!(before.grants() == self.state().grants() && before.elevations() == self.state().elevations());
        assert!(before.enrolments() == self.state().enrolments() && before.holds() == self.state().holds());
    }

    fn ask(&mut self, who: usize, what: usize, start: Option<i64>) {
        let (now, model) = (self.now(), &self.model);
        let asks = |name: &&&str| ["engineer", "robot"].iter().any(|role| model.may_use(name, role, now));
        let able: Vec<&&str> = PEOPLE.iter().chain(&MACHINES).filter(asks).collect();
        // Mostly by somebody who may.
        let account = able.get(who).copied().or_else(|| PEOPLE.iter().chain(&MACHINES).nth(who)).unwrap();
        let (entitlement, action) =
            [("repair", "db.write"), ("managed", "report.read"), ("deploy", "deploy.run")][what];
        let resource = format!("prod/eu/{}", self.world.state.sequence());
        let mut ask = Ask::of(entitlement, &[action], &[&resource]).lasting("24h");
        ask.0.start = start.map(|ahead| hours(self.world.at, ahead));
        if self.send(&self.caller(account), ask.command()).is_ok() {
            let account = account_named(self.state(), account);
            let t = self.now();
            let roles: &[&str] = if what == 2 { &["engineer", "robot"] } else { &["engineer"] };
            assert!(
                roles.iter().any(|role| self.model.may_use(&account, role, t)),
                "{account} asked for {entitlement}"
            );
        }
    }

    fn approve(&mut self, which: usize) {
        let latest = self.now();
        let pending = self.state().pending();
        let Some(id) = which.checked_rem(pending.len()).and_then(|which| pending.iter().rev().nth(which).copied())
        else {
            return;
        };
        let elevation = self.state().elevations().get(&id).unwrap();
        let (digest, requester) = (elevation.review.digest(), elevation.requester.to_string());
        let Some((_, stage)) = counted(self.state().organisation(), elevation).open_stage() else { return };
        let by_manager = stage.by.contains(&Approver::Manager);
        let Some(who) = candidates(self.state().organisation(), elevation, stage, latest).pop_last() else { return };
        let command = Command::from(ApproveElevation { elevation: id, digest, comment: String::new() });
        if self.send(&self.caller(who.as_str()), command).is_ok() {
            let (model, who) = (&self.model, who.as_str());
            let person = model.person_of(&requester, latest).unwrap();
            assert_ne!(person, who);
            let own = model.accounts_of(who, latest);
            if by_manager {
                assert!(model.manager(&person, latest).as_deref() == Some(who), "{who} is not the manager of {person}");
                assert!(own.iter().any(|it| model.is_usable(it, latest)));
            } else {
                assert!(own.iter().any(|it| model.may_use(it, "commander", latest)), "{who} approved");
            }
        }
    }

    fn end_membership(&mut self, whom: &str, by: &str) {
        let account = account_named(self.state(), whom);
        let Some(record) = self.state().organisation().accounts().get(account.as_str()) else { return };
        let Some(role) = record.roles.keys().next().cloned() else { return };
        let id = account.parse().unwrap();
        let command = Command::from(EndMembership { account: id, role: role.clone(), reason: String::new() });
        if self.send(&self.caller(by), command).is_ok() {
            self.learn(What::Taken { account, role: role.to_string() });
        }
    }

    fn campaign(&mut self, role: &str, count: i64) {
        let due = hours(self.world.at, count * 24);
        let Ok(events) = self.send("omar", Command::from(StartCampaign { role: role.parse().unwrap(), due })) else {
            return;
        };
        let Fact::Campaign(CampaignFact::Started(campaign)) = &events[0].fact else {
            panic!("a campaign began with {:?}", events[0])
        };
        let accounts = campaign.items.keys().map(ToString::to_string).collect();
        self.learn(What::Questioned { role: role.into(), due, accounts });
    }

    fn confirm(&mut self, whom: &str) {
        let (account, t) = (account_named(self.state(), whom), self.now());
        let open: Vec<(CampaignId, String)> =
            self.state().campaigns().values().map(|campaign| (campaign.id, campaign.role.to_string())).collect();
        let by = self.model.manager(whom, t).unwrap_or_else(|| whom.to_owned());
        for (campaign, role) in open {
            let command = Command::from(ConfirmMembership { campaign, account: account.parse().unwrap() });
            if self.send(&self.caller(&by), command).is_ok() {
                assert_ne!(by, whom, "nobody confirms for themselves");
                self.learn(What::Confirmed { account: account.clone(), role });
            }
        }
    }
}

/// What HR says, in full.
pub fn event(whom: usize, change: &Change, now: Timestamp) -> HrEvent {
    let person: PersonId = PEOPLE[whom].parse().unwrap();
    let named = |which: usize| match which {
        0 => identity(PEOPLE[whom]),
        shared => identity(&format!("shared-{shared}")),
    };
    let login = |which: usize| BTreeSet::from([named(which).parse().unwrap()]);
    let manager = |which: usize| manager_named(which).map(|name| name.parse().unwrap());
    let change = match *change {
        Change::Join { manager: by, login: which } => HrChange::Joined { login: login(which), manager: manager(by) },
        Change::Rename { login: which } => HrChange::Renamed { login: login(which) },
        Change::Move { manager: to, hours: ahead } => {
            HrChange::Transferred { manager: manager(to), at: hours(now, ahead) }
        }
        Change::Leave { hours: ahead, urgent, also_approved } => {
            HrChange::Left { at: hours(now, ahead), urgent, also_approved }
        }
        Change::Stay => HrChange::Stays,
    };
    HrEvent { person, change }
}

/// The own account of a person that is not closed, or the account of that name.
pub fn account_named(state: &State, name: &str) -> String {
    let person: PersonId = name.parse().unwrap();
    let mut own = state
        .organisation()
        .accounts_of(&person)
        .filter(|(_, account)| !account.is_machine() && account.state != AccountState::Closed);
    own.next().map_or_else(|| name.to_owned(), |(id, _)| id.to_string())
}

/// An identity of a person, or of the machine of that name, without what all have in common.
pub fn caller_in(state: &State, name: &str) -> String {
    let account = state.organisation().accounts().get(account_named(state, name).as_str());
    let known = account.and_then(|account| account.identities.first());
    let login = state.organisation().people().get(name).and_then(|person| person.login.first());
    let prefix = identity("");
    let known = known.or(login).map(ToString::to_string);
    known.map_or_else(|| name.to_owned(), |known| known.strip_prefix(&prefix).unwrap().to_owned())
}
