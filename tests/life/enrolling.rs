//! Enrolments in a random past: asking, deciding, and what an approved one gave, with what the model says of each.
#![allow(unreachable_pub, reason = "modules of one test crate")]

use std::collections::BTreeSet;

use countersign::domain::directory::{AccountState, ActsFor, Disabling, Membership};
use countersign::domain::policy::Approver;
use countersign::domain::record::command::{ApproveEnrolment, Command, EnrolmentAsk, RequestEnrolment};
use countersign::domain::record::enrolment::{Ask as Asked, MachineAsk};
use countersign::domain::record::event::{EnrolmentFact, Event, Fact};
use countersign::domain::value::ids::{AccountId, EnrolmentId};
use countersign::domain::value::time::Timestamp;

use crate::model::{BASELINE, What, days, longest, requires};
use crate::past::{DECIDERS, Past, account_named};
use crate::random::{PEOPLE, ROLES, Step, hours};
use crate::world::identity;

impl Past {
    pub fn enrol(&mut self, step: &Step) {
        let Step::Enrol { who, apt, kind, role, days: length, machine } = step else { return };
        let (person, role) = (PEOPLE[*who], ROLES[*role].parse().unwrap());
        let kind = if *apt { self.apt_kind(person, *kind) } else { *kind };
        if *apt {
            self.train(person);
            self.world.pass("1s");
        }
        let until = length.map(|length| hours(self.world.at, length * 24));
        let account: AccountId = ["bot", "pump", "robo"][*machine].parse().unwrap();
        let ask = match kind {
            0 => EnrolmentAsk::Account { account: None },
            1 | 2 => EnrolmentAsk::Role { account: None, role, until },
            3 => EnrolmentAsk::Keep { account: None, role },
            4 => EnrolmentAsk::Restore { account: None },
            5 => EnrolmentAsk::Machine(Box::new(MachineAsk {
                account: account.clone(),
                identities: [identity(&format!("robo-{}", self.state().sequence())).parse().unwrap()].into(),
                audience: BTreeSet::new(),
                acts_for: ActsFor::Itself,
                roles: [("robot".parse().unwrap(), until)].into(),
            })),
            6 => EnrolmentAsk::TakeOver { account },
            _ => EnrolmentAsk::Role { account: Some(account), role: "robot".parse().unwrap(), until },
        };
        let request = RequestEnrolment { ask, justification: "to work".into() };
        drop(self.send(&self.caller(person), Command::from(request)));
    }

    /// What there is to be had, by the records.
    fn apt_kind(&self, person: &str, kind: usize) -> usize {
        let own = account_named(self.state(), person);
        let Some(account) = self.state().organisation().accounts().get(own.as_str()) else { return 0 };
        let lapsed = |it: &AccountState| matches!(it, AccountState::Disabled { because: Disabling::Lapse, .. });
        let some = |what: fn(&Membership) -> bool| account.roles.values().any(what);
        match &account.state {
            AccountState::Closed => 0,
            state if lapsed(state) || some(|it| it.suspended.is_some()) => 4,
            AccountState::Active if some(|it| it.cut.is_some()) => 3,
            _ => kind,
        }
    }

    pub fn approve_enrolment(&mut self, which: usize, who: Option<usize>) {
        let pending = self.state().pending_enrolments();
        let Some(id) = which.checked_rem(pending.len()).and_then(|which| pending.iter().rev().nth(which).copied())
        else {
            return;
        };
        let all: Vec<&str> = who.map_or(DECIDERS.to_vec(), |who| vec![PEOPLE[who]]);
        for who in all {
            let enrolment = self.state().enrolments().get(&id).unwrap().clone();
            let digest = enrolment.review.digest();
            let command = Command::from(ApproveEnrolment { enrolment: id, digest, comment: String::new() });
            let Ok(events) = self.send(&self.caller(who), command) else { continue };
            self.enrolment_was_approvable(id, who, &events);
            if events.iter().any(|event| matches!(event.fact, Fact::Enrolment(EnrolmentFact::Approved(_)))) {
                self.enrolments_approved += 1;
                self.enrolled(id);
                return;
            }
        }
    }

    /// Is an enrolment approvable by this person? By the manager; by the owner of the role; where nobody is the manager,
    /// by whom policy names; by nobody who is behind it.
    fn enrolment_was_approvable(&self, id: EnrolmentId, who: &str, events: &[Event]) {
        let (model, t, enrolment) = (&self.model, self.now(), self.state().enrolments().get(&id).unwrap());
        let decision = events.iter().find_map(|event| match &event.fact {
            Fact::Enrolment(EnrolmentFact::ApprovalRecorded(fact)) => Some(&fact.decision),
            _ => None,
        });
        let decision = decision.expect("an approval is recorded");
        assert_eq!(decision.person.as_str(), who);
        assert!(!enrolment.behind.contains(who) && enrolment.person.as_str() != who, "{who} is behind it");
        assert!(model.accounts_of(who, t).iter().any(|account| model.is_usable(account, t)), "{who} is not eligible");
        let manager = model.manager(enrolment.person.as_str(), t);
        match &decision.through {
            Approver::Manager if manager.is_none() => {
                assert!(!matches!(enrolment.ask, Asked::Keep { .. }), "what was cut is kept by the manager alone");
                let own = model.accounts_of(who, t);
                assert!(own.iter().any(|account| model.may_use(account, "people-office", t)), "{who}: {enrolment:?}");
                assert!(!model.awaits_manager(enrolment.person.as_str(), t), "nobody stands in for {enrolment:?}");
            }
            Approver::Manager => assert_eq!(manager.as_deref(), Some(who), "{enrolment:?}"),
            Approver::RoleOwner => {
                let owned = enrolment.ask.roles().iter().any(|role| role.as_str() == "commander");
                assert!(who == "hal" && owned, "{who} owns no role that is asked for");
            }
            Approver::Role(_) | Approver::Tenant | Approver::Capability(_) => {
                panic!("nobody else has a say: {decision:?}")
            }
        }
    }

    /// What an approved enrolment gave, and that it could be given.
    fn enrolled(&mut self, id: EnrolmentId) {
        let (t, enrolment) = (self.now(), self.state().enrolments().get(&id).unwrap().clone());
        let (account, person) = (enrolment.ask.account().to_string(), enrolment.person.to_string());
        assert!(self.model.is_employed(&person, t));
        for requirement in BASELINE {
            assert!(self.model.is_met(&person, requirement, t), "{requirement} of {person}: {enrolment:?}");
        }
        let until = |past: &Self, role: &str, asked: Option<Timestamp>| {
            let recorded = past.state().organisation().accounts().get(account.as_str()).unwrap().roles[role].until;
            let most = longest(role).map(|most| t.plus(days(most)));
            assert!(most.is_none_or(|most| recorded.is_some_and(|it| it <= most)), "{role} until {recorded:?}");
            assert!(asked.is_none_or(|asked| recorded.is_some_and(|it| it <= asked)), "{role} until {recorded:?}");
            asked.or(most)
        };
        match &enrolment.ask {
            Asked::Account { .. } => self.learn(What::Opened { account, person, machine: false }),
            Asked::Role { role, until: asked, .. } => {
                assert!(requires(role.as_str()).iter().all(|it| self.model.is_met(&person, it, t)));
                assert!(self.model.is_usable(&account, t), "{account} cannot be used");
                let until = until(self, role.as_str(), *asked);
                self.learn(What::Given { account, role: role.to_string(), until });
            }
            Asked::Keep { role, .. } => {
                let end = self.model.membership_ends(&account, role.as_str(), t);
                assert!(end.is_some_and(|end| t < end), "{role} of {account} is over, and was kept");
                self.learn(What::Kept { account, role: role.to_string() });
            }
            Asked::Restore { roles, .. } => {
                for role in roles {
                    let since = self.model.suspended(&account, role.as_str(), t).expect("it was suspended");
                    assert!(t < since.plus(days(90)), "{role} of {account} is restored after 90 days");
                    assert!(self.model.membership_ends(&account, role.as_str(), t).is_some_and(|end| t < end));
                    self.learn(What::Restored { account: account.clone(), role: Some(role.to_string()) });
                }
                self.learn(What::Restored { account, role: None });
            }
            Asked::Machine(asked) => {
                let roles: Vec<_> =
                    asked.roles.iter().map(|(role, end)| (role.clone(), until(self, role.as_str(), *end))).collect();
                self.learn(What::Opened { account: account.clone(), person, machine: true });
                for (role, until) in roles {
                    self.learn(What::Given { account: account.clone(), role: role.to_string(), until });
                }
            }
            Asked::TakeOver { .. } => self.learn(What::TakenOver { account, person }),
        }
    }
}
