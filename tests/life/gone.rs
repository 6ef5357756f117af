//! Whoever left: nothing is allowed, on any path (invariant 5, known failure B1).
#![allow(unreachable_pub, reason = "modules of one test crate")]

use std::collections::BTreeSet;

use countersign::domain::decide::decide;
use countersign::domain::directory::Employment;
use countersign::domain::policy::CapabilityName;
use countersign::domain::record::command::{
    ApplyHrEvents, ApproveElevation, ApproveEnrolment, CloseAccount, Command, ConfirmMembership, DenyElevation,
    DenyEnrolment, EndMembership, EnrolmentAsk, ProposeFile, RecordAttestation, RelinquishGrant, RequestEnrolment,
    RevokeGrant, StartCampaign, WithdrawElevation, WithdrawEnrolment,
};
use countersign::domain::record::grant::GrantPhase;
use countersign::domain::record::hr::{HrChange, HrEvent};
use countersign::domain::record::proposal::ProposedFile;
use countersign::domain::state::State;
use countersign::domain::value::ids::{AccountId, Digest, Identity, PersonId, Principal};
use countersign::domain::value::time::Timestamp;

use crate::model::days;
use crate::past::Past;
use crate::random::PEOPLE;
use crate::world::Ask;

/// Nothing is allowed to a person who left, whatever the timer has recorded; and once it is recorded, nothing is open.
pub fn nothing_is_left(past: &mut Past, person: &str) {
    let id: PersonId = person.parse().unwrap();
    let recorded = past.state().organisation().people().get(&id).unwrap().employment == Employment::Left;
    no_function_gives_anything(past, &id);
    no_grant_is_usable(past, &id);
    if recorded {
        nothing_open_hangs_on(past.state(), &id, past.now());
    }
    no_command_is_taken(past, &id, recorded);
}

fn no_function_gives_anything(past: &Past, id: &PersonId) {
    let organisation = past.state().organisation();
    for t in [0, 1, 30, 400].map(|ahead| past.now().plus(days(ahead))) {
        for (account, record) in organisation.accounts_of(id) {
            assert!(organisation.account_validity(account, t).is_err(), "{account} at {t}: {record:?}");
            for role in organisation.policy().roles.keys() {
                assert!(organisation.eligible_in(account, role, t).is_err(), "{account} in {role} at {t}");
            }
            for (_, capability) in CapabilityName::ALL {
                assert!(organisation.capability(account, capability, t).is_none(), "{account} {capability:?}");
            }
            for entitlement in organisation.policy().entitlements.values() {
                let rests = organisation.requester_validity(account, None, &entitlement.terms, t);
                assert!(rests.is_err(), "{account} at {t}");
            }
        }
        assert!(organisation.person_validity(id, [], t).is_err());
        for other in organisation.people().keys() {
            assert_ne!(organisation.manager_of(other, t), Some(id), "who left manages {other} at {t}");
        }
    }
}

fn no_grant_is_usable(past: &Past, id: &PersonId) {
    let state = past.state();
    for grant in state.grants().values().filter(|grant| grant.is_live(past.now())) {
        let owner =
            state.organisation().accounts().get(&grant.holder).map(countersign::domain::directory::Account::person);
        assert!(grant.person != *id && owner != Some(id), "{id} left, and {grant:?} is live");
        assert_ne!(grant.on_behalf_of.as_ref(), Some(id));
    }
}

/// What is over by comparison is not open, whatever the timer has recorded.
fn nothing_open_hangs_on(state: &State, id: &PersonId, now: Timestamp) {
    let pending = state.pending().iter().map(|elevation| state.elevations().get(elevation).unwrap());
    for elevation in pending.filter(|it| !it.review.deadline.is_over(now)) {
        assert!(elevation.review.approvals().all(|decision| decision.person != *id), "{elevation:?}");
        assert!(!elevation.behind.contains(id), "{elevation:?}");
    }
    let scheduled = state.grants().values().filter(|grant| grant.phase == GrantPhase::Scheduled);
    for grant in scheduled.filter(|grant| !grant.end.is_over(now)) {
        let review = &state.elevations().get(&grant.elevation).unwrap().review;
        assert!(review.approvals().all(|decision| decision.person != *id), "{grant:?} has an approval of {id}");
        assert!(!grant.behind.contains(id));
    }
    let pending = state.pending_enrolments().iter().map(|enrolment| state.enrolments().get(enrolment).unwrap());
    for enrolment in pending.filter(|it| !it.review.deadline.is_over(now)) {
        assert!(enrolment.review.approvals().all(|decision| decision.person != *id), "{enrolment:?}");
        assert!(enrolment.person != *id && !matches!(&enrolment.requester, Principal::Person(who) if who == id));
    }
    for (account, record) in state.organisation().accounts_of(id) {
        assert!(record.roles.is_empty() && record.audience.is_empty(), "{account}: {record:?}");
        if record.is_machine() {
            assert!(record.identities.is_empty(), "{account} can be called with");
        }
    }
}

/// Where HR asked for it, started grants that the person approved are gone as well.
pub fn nothing_rests_on_approvals_of(past: &Past, person: &str) {
    let state = past.state();
    for grant in state.grants().values().filter(|grant| grant.is_live(past.now())) {
        let review = &state.elevations().get(&grant.elevation).unwrap().review;
        let counted = review.approvals().any(|decision| decision.person.as_str() == person);
        assert!(!counted, "{person} left with all that they approved, and {grant:?} is live");
    }
}

/// Every command there is, from every identity of the person and of their machines, is refused. Before a timer has
/// recorded the leaving, one may still give up what one has.
fn no_command_is_taken(past: &mut Past, id: &PersonId, recorded: bool) {
    let organisation = past.state().organisation();
    let known = organisation.people().get(id).unwrap().login.iter();
    let accounts: Vec<(AccountId, BTreeSet<Identity>)> =
        organisation.accounts_of(id).map(|(account, record)| (account.clone(), record.identities.clone())).collect();
    let identities: BTreeSet<Identity> =
        known.cloned().chain(accounts.iter().flat_map(|(_, identities)| identities.iter().cloned())).collect();
    for identity in identities {
        for command in commands(past, id, accounts.first().map(|(account, _)| account)) {
            if !recorded && command.takes_away() {
                continue;
            }
            let mut envelope = past.world.envelope(id.as_str(), command);
            envelope.caller = crate::world::calls::calling(identity.clone());
            let taken = decide(past.state(), &envelope);
            assert!(taken.is_err(), "{id} left, and {identity} may {:?}", envelope.command);
        }
    }
}

fn commands(past: &Past, id: &PersonId, account: Option<&AccountId>) -> Vec<Command> {
    let state = past.state();
    let text = String::new;
    let mut all = vec![Ask::of("repair", &["db.write"], &["prod/eu/1"]).command()];
    for elevation in state.pending() {
        let digest = state.elevations().get(elevation).unwrap().review.digest();
        all.push(Command::from(ApproveElevation { elevation: *elevation, digest, comment: text() }));
        all.push(Command::from(DenyElevation { elevation: *elevation, reason: text() }));
        all.push(Command::from(WithdrawElevation { elevation: *elevation, reason: text() }));
    }
    for grant in state.grants().keys() {
        all.push(Command::from(RelinquishGrant { grant: *grant, reason: text() }));
        all.push(Command::from(RevokeGrant { grant: *grant, reason: text() }));
    }
    for enrolment in state.pending_enrolments() {
        let digest = state.enrolments().get(enrolment).unwrap().review.digest();
        all.push(Command::from(ApproveEnrolment { enrolment: *enrolment, digest, comment: text() }));
        all.push(Command::from(DenyEnrolment { enrolment: *enrolment, reason: text() }));
        all.push(Command::from(WithdrawEnrolment { enrolment: *enrolment, reason: text() }));
    }
    let role: countersign::domain::value::ids::RoleName = "engineer".parse().unwrap();
    let asks = [
        EnrolmentAsk::Account { account: None },
        EnrolmentAsk::Role { account: None, role: role.clone(), until: None },
        EnrolmentAsk::Keep { account: None, role: role.clone() },
        EnrolmentAsk::Restore { account: None },
        EnrolmentAsk::TakeOver { account: "bot".parse().unwrap() },
    ];
    all.extend(asks.map(|ask| Command::from(RequestEnrolment { ask, justification: "please".into() })));
    let back = HrChange::Joined { login: BTreeSet::new(), manager: None };
    all.push(Command::from(ApplyHrEvents { place: None, events: vec![HrEvent { person: id.clone(), change: back }] }));
    for person in [id.as_str(), PEOPLE[0]] {
        all.push(Command::from(RecordAttestation {
            person: person.parse().unwrap(),
            requirement: "training".parse().unwrap(),
            met_at: past.now(),
            evidence: text(),
        }));
    }
    for account in account.into_iter().chain(state.organisation().accounts().keys().next()) {
        all.push(Command::from(EndMembership { account: account.clone(), role: role.clone(), reason: text() }));
        all.push(Command::from(CloseAccount { account: account.clone(), reason: text() }));
        for campaign in state.campaigns().keys() {
            all.push(Command::from(ConfirmMembership { campaign: *campaign, account: account.clone() }));
        }
    }
    all.push(Command::from(StartCampaign { role, due: past.now().plus(days(7)) }));
    let replaces = countersign::domain::value::ids::Digest::of(past.world.policy.as_bytes());
    all.push(proposed(ProposedFile::Policy, replaces, past.world.policy.clone()));
    let replaces = state.organisation().directory_digest().unwrap();
    all.push(proposed(ProposedFile::Directory, replaces, past.world.organisation.to_toml()));
    all
}

fn proposed(file: ProposedFile, replaces: Digest, text: String) -> Command {
    Command::from(ProposeFile { file, replaces, text, justification: String::new() })
}
