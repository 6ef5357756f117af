//! Enrolments in a world: asking, deciding, and what became of it.

use std::collections::{BTreeMap, BTreeSet};

use countersign::domain::directory::ActsFor;
use countersign::domain::record::command::{
    ApproveEnrolment, Command, DenyEnrolment, EnrolmentAsk, RequestEnrolment, WithdrawEnrolment,
};
use countersign::domain::record::enrolment::{Enrolment, MachineAsk};
use countersign::domain::record::event::{EnrolmentFact, Event, Fact};
use countersign::domain::value::ids::{Digest, EnrolmentId};
use countersign::domain::value::refusal::Refusal;
use countersign::domain::value::time::Timestamp;

use super::{World, identity};

impl World {
    pub fn enrol(&mut self, who: &str, ask: EnrolmentAsk) -> Result<EnrolmentId, Refusal> {
        let events = self.send(who, enrol(ask))?;
        match &events[0].fact {
            Fact::Enrolment(EnrolmentFact::Requested(enrolment)) => Ok(enrolment.id),
            other => panic!("a request led to {other:?}"),
        }
    }

    pub fn approve_enrolment(&mut self, who: &str, enrolment: EnrolmentId) -> Result<Vec<Event>, Refusal> {
        let digest = self.state.enrolments().get(&enrolment).map_or(Digest::of(b""), |it| it.review.digest());
        self.send(who, Command::from(ApproveEnrolment { enrolment, digest, comment: "welcome".into() }))
    }

    pub fn deny_enrolment(&mut self, who: &str, enrolment: EnrolmentId) -> Result<Vec<Event>, Refusal> {
        self.send(who, Command::from(DenyEnrolment { enrolment, reason: "not now".into() }))
    }

    pub fn withdraw_enrolment(&mut self, who: &str, enrolment: EnrolmentId) -> Result<Vec<Event>, Refusal> {
        self.send(who, Command::from(WithdrawEnrolment { enrolment, reason: "no need".into() }))
    }

    pub fn enrolment(&self, id: EnrolmentId) -> &Enrolment {
        self.state.enrolments().get(&id).unwrap()
    }

    pub fn enrolment_phase(&self, id: EnrolmentId) -> &'static str {
        self.enrolment(id).phase.name()
    }

    /// Asked, and approved by these in turn.
    pub fn enrolled(&mut self, who: &str, ask: EnrolmentAsk, approvers: &[&str]) -> EnrolmentId {
        let id = self.enrol(who, ask).unwrap();
        for approver in approvers {
            self.approve_enrolment(approver, id).unwrap();
        }
        assert_eq!(self.enrolment_phase(id), "APPROVED");
        id
    }
}

pub fn enrol(ask: EnrolmentAsk) -> Command {
    Command::from(RequestEnrolment { ask, justification: "new in the team".into() })
}

/// An account, under the person's own id.
pub fn an_account() -> EnrolmentAsk {
    EnrolmentAsk::Account { account: None }
}

pub fn the_account(id: &str) -> EnrolmentAsk {
    EnrolmentAsk::Account { account: Some(id.parse().unwrap()) }
}

/// A role for one's own account.
pub fn a_role(role: &str) -> EnrolmentAsk {
    EnrolmentAsk::Role { account: None, role: role.parse().unwrap(), until: None }
}

pub fn a_role_until(role: &str, until: Timestamp) -> EnrolmentAsk {
    EnrolmentAsk::Role { account: None, role: role.parse().unwrap(), until: Some(until) }
}

pub fn a_role_of(account: &str, role: &str) -> EnrolmentAsk {
    EnrolmentAsk::Role { account: Some(account.parse().unwrap()), role: role.parse().unwrap(), until: None }
}

pub fn keep(role: &str) -> EnrolmentAsk {
    EnrolmentAsk::Keep { account: None, role: role.parse().unwrap() }
}

pub fn restore() -> EnrolmentAsk {
    EnrolmentAsk::Restore { account: None }
}

pub fn a_machine(name: &str, roles: &[&str]) -> EnrolmentAsk {
    machine_with(name, roles, |_| ())
}

pub fn machine_with(name: &str, roles: &[&str], change: impl FnOnce(&mut MachineAsk)) -> EnrolmentAsk {
    let mut machine = MachineAsk {
        account: name.parse().unwrap(),
        identities: BTreeSet::from([identity(name).parse().unwrap()]),
        audience: BTreeSet::new(),
        acts_for: ActsFor::Itself,
        roles: roles.iter().map(|role| (role.parse().unwrap(), None)).collect::<BTreeMap<_, _>>(),
    };
    change(&mut machine);
    EnrolmentAsk::Machine(Box::new(machine))
}

pub fn take_over(machine: &str) -> EnrolmentAsk {
    EnrolmentAsk::TakeOver { account: machine.parse().unwrap() }
}
