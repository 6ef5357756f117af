//! All that a person could do, by whatever path: by what their accounts and machines are today, by what is shut and could be
//! opened, and by roles that others might give them later. Found out by asking the rules one by one, and not by comparing
//! records.

use std::collections::{BTreeMap, BTreeSet};

use countersign::domain::directory::{Account, AccountKind, AccountState, Disabling, Membership};
use countersign::domain::policy::{Approver, CapabilityName, Entitlement, MemberKind, Stage};
use countersign::domain::record::called_from::Call;
use countersign::domain::record::elevation::Elevation;
use countersign::domain::record::enrolment::{Ask, Enrolment};
use countersign::domain::record::event::{AccountRecorded, Actor, Event, Fact, OrganisationFact};
use countersign::domain::record::review::{Phase, Review};
use countersign::domain::rule::enrolling::standing_in_the_way;
use countersign::domain::rule::reviewers::{Reviewed, reviewer_in};
use countersign::domain::state::State;
use countersign::domain::state::apply::apply;
use countersign::domain::state::organisation::Organisation;
use countersign::domain::value::ids::{AccountId, Digest, PersonId, Principal};
use countersign::domain::value::refusal::Reason;
use countersign::domain::value::scope::Resource;
use countersign::domain::value::time::{Now, Span, Timestamp};

const PROBES: [&str; 4] = ["prod/eu/db/orders/1", "prod/us/apps/orders", "stage/eu/db", "reports/1"];

/// What a person could do at each of these instants, as things stand and as they might come to stand.
pub(crate) fn powers(state: &State, person: &PersonId, instants: &[Timestamp]) -> BTreeSet<String> {
    let mut all = BTreeSet::new();
    let opened = opened(state, person);
    let (now, last) = (&instants[..1], &instants[instants.len() - 1..]);
    for (how, state) in [("as it is", state), ("opened", &opened)] {
        for at in instants.iter().filter(|at| how == "as it is" || now.contains(at) || last.contains(at)) {
            let found = own(state.organisation(), person, *at).into_iter().chain(over_others(state, person, *at));
            all.extend(found.map(|power| format!("{how}, at {at}: {power}")));
        }
    }
    let later = in_every_role(&opened, person);
    for at in now.iter().chain(last) {
        let found = own(later.organisation(), person, *at).into_iter();
        all.extend(found.map(|power| format!("in every role, at {at}: {power}")));
    }
    all
}

/// What a person has by their own record, whoever else there is.
pub(crate) fn own(organisation: &Organisation, person: &PersonId, at: Timestamp) -> BTreeSet<String> {
    let mut all = BTreeSet::new();
    for (id, account) in organisation.accounts_of(person) {
        all.extend(account.identities.iter().map(|identity| format!("is {identity}")));
        all.extend(account.is_machine().then(|| format!("owns {id}")));
        for (text, name) in CapabilityName::ALL {
            let usable = organisation.capabilities(id, name, at);
            all.extend(usable.map(|(it, _)| format!("uses {text} of {:?} {:?}", it.requirements, it.resources)));
        }
        let (_, audience) = organisation.may_check(id, at);
        for probe in PROBES {
            let resource: Resource = probe.parse().unwrap();
            all.extend(audience.iter().any(|it| it.covers(&resource)).then(|| format!("checks {probe}")));
        }
        for (name, entitlement) in &organisation.policy().entitlements {
            if may_ask(organisation, id, account, entitlement, at) {
                all.insert(format!("asks for {name}"));
            }
        }
        for role in organisation.policy().roles.keys() {
            let ask = Ask::Role { account: id.clone(), role: role.clone(), until: None };
            if is_possible(organisation, person, ask, at) {
                all.insert(format!("could be let into {role} by a {}", kind_of(account)));
            }
        }
    }
    all.extend(organisation.people().get(person).into_iter().flat_map(|it| &it.login).map(|it| format!("is {it}")));
    let account = Ask::Account { account: "another".parse().unwrap() };
    all.extend(is_possible(organisation, person, account, at).then(|| "could be let in".to_owned()));
    all
}

fn kind_of(account: &Account) -> &'static str {
    if account.is_machine() { "machine" } else { "person" }
}

fn may_ask(organisation: &Organisation, id: &AccountId, account: &Account, of: &Entitlement, at: Timestamp) -> bool {
    let for_people = matches!(account.kind, AccountKind::Service { acts_for, .. }
        if acts_for == countersign::domain::directory::ActsFor::People);
    if !for_people {
        return organisation.requester_validity(id, None, &of.terms, at).is_ok();
    }
    let mut people = organisation.people().keys();
    people.any(|named| organisation.requester_validity(id, Some(named), &of.terms, at).is_ok())
}

/// Whether nothing but another role of their own, which they could give up, stands in the way; or they have it already.
fn is_possible(organisation: &Organisation, person: &PersonId, ask: Ask, at: Timestamp) -> bool {
    let has_or_could = |reason| matches!(reason, Reason::RoleConflict | Reason::AlreadyThere);
    let obstacles = standing_in_the_way(organisation, &enrolment(organisation, person, ask), Now::exactly(at));
    obstacles.iter().all(|refusal| has_or_could(refusal.reason))
}

/// Whose requests a person decides on.
fn over_others(state: &State, person: &PersonId, at: Timestamp) -> BTreeSet<String> {
    let organisation = state.organisation();
    let own: Vec<&AccountId> = organisation.accounts_of(person).map(|(id, _)| id).collect();
    let decides = |reviewed: &dyn Fn() -> Under| {
        let under = reviewed();
        own.iter().any(|id| under.may_be_decided_by(organisation, id, at))
    };
    let mut all = BTreeSet::new();
    for (id, account) in organisation.accounts().iter().filter(|(_, it)| it.person() != person) {
        for (name, entitlement) in &organisation.policy().entitlements {
            let by_manager = entitlement.terms.approval.iter().any(|stage| stage.by.contains(&Approver::Manager));
            // Who approves by a role does so for everybody: one account stands for all.
            if by_manager || account.person().as_str() == "eve" {
                let under =
                    || Under::Elevation(Box::new(elevation(organisation, id, account, entitlement, name.as_str())));
                all.extend(decides(&under).then(|| format!("approves {name} of {id}")));
            }
        }
    }
    for other in organisation.people().keys().filter(|other| *other != person) {
        let ask = || Ask::Account { account: "another".parse().unwrap() };
        let under = || Under::Enrolment(Box::new(enrolment(organisation, other, ask())));
        all.extend(decides(&under).then(|| format!("decides who {other} is here")));
        let ask = || Ask::Keep { account: other.as_str().parse().unwrap(), role: "engineer".parse().unwrap() };
        let under = || Under::Enrolment(Box::new(enrolment(organisation, other, ask())));
        all.extend(decides(&under).then(|| format!("decides what {other} keeps")));
    }
    // Who owns a role decides for everybody.
    let eve: PersonId = "eve".parse().unwrap();
    for role in organisation.policy().roles.keys() {
        let under = || {
            let ask = Ask::Role { account: "eve".parse().unwrap(), role: role.clone(), until: None };
            let mut enrolment = enrolment(organisation, &eve, ask);
            enrolment.review.stages = vec![Stage { by: [Approver::RoleOwner].into(), count: 1 }];
            Under::Enrolment(Box::new(enrolment))
        };
        all.extend(decides(&under).then(|| format!("decides who is in {role}")));
    }
    all
}

enum Under {
    Elevation(Box<Elevation>),
    Enrolment(Box<Enrolment>),
}

impl Under {
    fn may_be_decided_by(&self, organisation: &Organisation, id: &AccountId, at: Timestamp) -> bool {
        fn may(organisation: &Organisation, it: &impl Reviewed, id: &AccountId, at: Timestamp) -> bool {
            it.review().stages.iter().any(|stage| reviewer_in(organisation, it, stage, id, at).is_ok())
        }
        match self {
            Self::Elevation(it) => may(organisation, &**it, id, at),
            Self::Enrolment(it) => may(organisation, &**it, id, at),
        }
    }
}

fn review(stages: Vec<Stage>) -> Review {
    Review { stages, text: String::new(), deadline: Timestamp::MAX, decisions: Vec::new() }
}

fn elevation(organisation: &Organisation, id: &AccountId, of: &Account, it: &Entitlement, name: &str) -> Elevation {
    Elevation {
        id: uuid::Uuid::from_u128(1).into(),
        requested_at: Timestamp::MIN,
        call: Call::thought_through(0),
        requester: id.clone(),
        person: of.person().clone(),
        behind: organisation.persons_behind(id, None),
        on_behalf_of: None,
        entitlement: name.parse().unwrap(),
        terms: it.terms_digest,
        scope: it.terms.scope.clone(),
        duration: Span::days(1),
        start: None,
        justification: String::new(),
        ticket: None,
        extends: None,
        emergency: None,
        review: review(it.terms.approval.clone()),
        phase: Phase::Pending,
    }
}

fn enrolment(organisation: &Organisation, person: &PersonId, ask: Ask) -> Enrolment {
    Enrolment {
        id: uuid::Uuid::from_u128(1).into(),
        requested_at: Timestamp::MIN,
        call: Call::thought_through(0),
        requester: Principal::Person(person.clone()),
        person: person.clone(),
        behind: BTreeSet::from([person.clone()]),
        ask,
        terms: Digest::of(b""),
        manager: organisation.manager_of(person, Timestamp::MIN).cloned(),
        justification: String::new(),
        review: review(vec![Stage { by: [Approver::Manager].into(), count: 1 }]),
        phase: Phase::Pending,
    }
}

/// As if all of a person's accounts that anything could still open were open.
fn opened(state: &State, person: &PersonId) -> State {
    with_each_account(state, person, |_, account| {
        let could = match account.state {
            AccountState::Closed | AccountState::Disabled { because: Disabling::Termination, .. } => false,
            AccountState::Active | AccountState::Disabled { .. } => true,
        };
        if could {
            (account.state, account.until) = (AccountState::Active, None);
        }
    })
}

/// As if each of a person's accounts were in every role that there is for its kind.
fn in_every_role(state: &State, person: &PersonId) -> State {
    let roles = state.organisation().policy().roles.clone();
    with_each_account(state, person, |_, account| {
        let kind = match account.kind {
            AccountKind::ServiceTeam { .. } => MemberKind::People,
            AccountKind::Service { .. } => MemberKind::Machines,
            AccountKind::Customer { .. } => MemberKind::Customers,
        };
        let fitting = roles.iter().filter(|(_, role)| role.member_kind == kind);
        account.roles = fitting.map(|(name, _)| (name.clone(), Membership::default())).collect::<BTreeMap<_, _>>();
    })
}

fn with_each_account(state: &State, person: &PersonId, change: impl Fn(&AccountId, &mut Account)) -> State {
    let mut changed = state.clone();
    for (id, account) in state.organisation().accounts_of(person) {
        let mut account = account.clone();
        change(id, &mut account);
        let fact = Fact::Organisation(OrganisationFact::AccountRecorded(AccountRecorded { id: id.clone(), account }));
        let (sequence, at) = (changed.sequence() + 1, changed.last_at());
        apply(&mut changed, &Event { sequence, at, actor: Actor::Broker, request: None, from: None, fact });
    }
    changed
}
