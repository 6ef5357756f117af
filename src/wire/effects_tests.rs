use prost::Message;
use uuid::Uuid;

use super::*;
use crate::domain::directory::{AccountKind, Cut, Disabling};
use crate::domain::record::elevation::Cancellation;
use crate::domain::record::event::{
    AccountRecorded, Actor, ElevationCancelled, ElevationFact, FeedFact, GrantFact, GrantRevoked, OrganisationFact,
};
use crate::domain::record::grant::Revocation;
use crate::domain::record::hr::{Hold, HrChange, HrEvent};
use crate::domain::value::refusal::Reason;
use crate::domain::value::time::Timestamp;

/// The largest answer that is sent (`server::limits`): the effects leave room in it for the thing itself.
const RESPONSE_MAX_BYTES: usize = 1024 * 1024;

fn events(facts: Vec<Fact>) -> Vec<Event> {
    let facts = (1_u64..).zip(facts);
    let event = |(sequence, fact)| Event {
        sequence,
        at: Timestamp::MIN,
        actor: Actor::Broker,
        request: None,
        from: None,
        fact,
    };
    facts.map(event).collect()
}

fn id<T: From<Uuid>>(number: usize) -> T {
    Uuid::from_u128(u128::try_from(number).unwrap()).into()
}

fn revoked(number: usize) -> Fact {
    let holder = "ana".parse().unwrap();
    Fact::Grant(GrantFact::Revoked(GrantRevoked { grant: id(number), holder, because: Revocation::Clock }))
}

fn cancelled(number: usize) -> Fact {
    Fact::Elevation(ElevationFact::Cancelled(ElevationCancelled {
        elevation: id(number),
        because: Cancellation::TermsChanged,
    }))
}

fn account(roles: &[(&str, Membership)]) -> Account {
    Account {
        kind: AccountKind::ServiceTeam { person: "ana".parse().unwrap() },
        identities: BTreeSet::new(),
        audience: BTreeSet::new(),
        roles: roles.iter().map(|(role, it)| (role.parse().unwrap(), it.clone())).collect(),
        until: None,
        state: AccountState::Active,
    }
}

fn recorded(id: &str, account: &Account) -> Fact {
    Fact::Organisation(OrganisationFact::AccountRecorded(AccountRecorded {
        id: id.parse().unwrap(),
        account: account.clone(),
    }))
}

/// What becomes of an account, and of its memberships, from one record to the next.
fn changes(before: &Account, after: Vec<Fact>) -> (Vec<String>, Vec<(String, String)>) {
    let mut state = State::default();
    events(vec![recorded("ana", before)]).iter().for_each(|event| apply(&mut state, event));
    let effects = effects(Some(&state), &events(after));
    assert_eq!(effects.omitted_count, 0);
    assert!(effects.changed_accounts.iter().all(|it| it.account == "ana"));
    assert!(effects.changed_memberships.iter().all(|it| it.account == "ana"));
    let accounts = effects.changed_accounts.into_iter().map(|it| it.change).collect();
    (accounts, effects.changed_memberships.into_iter().map(|it| (it.role, it.change)).collect())
}

#[test]
fn what_goes_beyond_a_thousand_of_one_list_is_counted_and_the_lowest_ids_are_told() {
    // given as many as are told, backwards, and in two kinds
    let both = |most: usize| (0..most).rev().flat_map(|number| [revoked(number), cancelled(number)]).collect();
    let told = effects(None, &events(both(LONGEST_LIST)));
    let lengths = |told: &pb::Effects| (told.revoked_grants.len(), told.cancelled_elevations.len(), told.omitted_count);
    assert_eq!(lengths(&told), (LONGEST_LIST, LONGEST_LIST, 0));
    // when there is one more of each, then both are counted
    let more = effects(None, &events(both(LONGEST_LIST + 1)));
    assert_eq!(lengths(&more), (LONGEST_LIST, LONGEST_LIST, 2));
    // and what is told is the same: a list is cut after it is put in order
    assert_eq!((&more.revoked_grants, &more.cancelled_elevations), (&told.revoked_grants, &told.cancelled_elevations));
    let ids: Vec<&String> = told.revoked_grants.iter().map(|it| &it.grant_id).collect();
    assert!(ids.is_sorted() && ids[999] == &id::<crate::domain::value::ids::GrantId>(999).to_string());
}

#[test]
fn each_list_is_cut_by_itself_and_accounts_and_memberships_as_well() {
    let role = Membership::default();
    let facts = (0..1_250).map(|number| recorded(&format!("a{number:04}"), &account(&[("reader", role.clone())])));
    let told = effects(Some(&State::default()), &events(facts.chain([revoked(1)]).collect()));
    assert_eq!((told.changed_accounts.len(), told.changed_memberships.len()), (1_000, 1_000));
    assert_eq!((told.revoked_grants.len(), told.omitted_count), (1, 500));
    assert_eq!(told.changed_accounts[999].account, "a0999");
}

#[test]
fn the_most_that_is_told_fits_into_an_answer() {
    let name = || "n".repeat(64);
    let (uuid, at) = (|| Uuid::max().to_string(), || Some(pb_timestamp(Timestamp::MAX)));
    let longest = crate::domain::value::refusal::CATALOGUE.iter().map(|entry| entry.name.len()).max().unwrap();
    let cause = || "C".repeat(longest);
    let many = LONGEST_LIST;
    let told = pb::Effects {
        cancelled_elevations: vec![
            pb::CancelledElevation {
                elevation_id: uuid(),
                requester_account: name(),
                cause: cause()
            };
            many
        ],
        voided_approvals: vec![pb::VoidedApproval { elevation_id: uuid(), person: name(), cause: cause() }; many],
        shortened_grants: vec![
            pb::ShortenedGrant {
                grant_id: uuid(),
                holder_account: name(),
                old_end_time: at(),
                new_end_time: at(),
                cause: cause()
            };
            many
        ],
        revoked_grants: vec![pb::RevokedGrant { grant_id: uuid(), holder_account: name(), cause: cause() }; many],
        omitted_count: u32::MAX,
        cancelled_enrolments: vec![
            pb::CancelledEnrolment { enrolment_id: uuid(), person: name(), cause: cause() };
            many
        ],
        voided_enrolment_approvals: vec![
            pb::VoidedEnrolmentApproval {
                enrolment_id: uuid(),
                person: name(),
                cause: cause()
            };
            many
        ],
        changed_accounts: vec![pb::ChangedAccount { account: name(), change: "IDENTITIES_CHANGED".into() }; many],
        changed_memberships: vec![
            pb::ChangedMembership {
                account: name(),
                role: name(),
                change: "SUSPENDED".into(),
                new_end_time: at()
            };
            many
        ],
        held_count: u32::MAX,
    };
    assert!(told.encoded_len() > MOST_BYTES, "{} bytes", told.encoded_len());
    // when all that has to be told has the longest names, then less of it is told, and the rest counted
    let mut told = told;
    told.omitted_count = 0;
    let all = |told: &pb::Effects| told.changed_accounts.len() * 8;
    let cut = shortened(told.clone());
    assert!(cut.encoded_len() <= MOST_BYTES && MOST_BYTES < RESPONSE_MAX_BYTES / 10 * 9, "{} bytes", cut.encoded_len());
    assert_eq!(all(&cut) + usize::try_from(cut.omitted_count).unwrap(), all(&told));
}

#[test]
fn of_many_records_of_one_account_the_difference_in_all_is_told() {
    let until = |days: i64| Some(Timestamp::from_millis(days * 86_400_000).unwrap());
    let lasting = |days| Membership { until: until(days), ..Membership::default() };
    let suspended = Membership { suspended: until(1), ..lasting(9) };
    let cut = Membership { cut: Some(Cut { until: until(9) }), ..lasting(4) };
    let before = account(&[("reader", lasting(9)), ("engineer", suspended.clone()), ("gone", lasting(9))]);
    let disabled = AccountState::Disabled { reason: "a lapse".into(), because: Disabling::Directory };
    // when it is disabled, enabled again, renamed, and each membership goes its way, some to and fro
    let mut middle = before.clone();
    middle.state = disabled.clone();
    middle.roles = account(&[("reader", suspended), ("fleeting", lasting(1))]).roles;
    let mut after = account(&[("reader", cut), ("engineer", lasting(12)), ("new", lasting(9))]);
    after.identities = ["spiffe://n.example/ana".parse().unwrap()].into();
    let (accounts, memberships) = changes(&before, vec![recorded("ana", &middle), recorded("ana", &after)]);
    assert_eq!(accounts, ["IDENTITIES_CHANGED"]);
    let wanted =
        [("engineer", "RESTORED"), ("engineer", "EXTENDED"), ("gone", "ENDED"), ("new", "GIVEN"), ("reader", "CUT")];
    assert_eq!(memberships, wanted.map(|(role, change)| (role.to_owned(), change.to_owned())));
    // and what is as it was is not told
    assert_eq!(changes(&before, vec![recorded("ana", &before)]), (vec![], vec![]));
    // and a disabled one is disabled, a closed one closed and nothing besides
    let mut closed = before.clone();
    closed.state = AccountState::Closed;
    assert_eq!(changes(&middle, vec![recorded("ana", &closed)]).0, ["CLOSED"]);
    assert_eq!(changes(&closed, vec![recorded("ana", &closed)]).0, [""; 0]);
}

#[test]
fn what_is_held_anew_is_counted_once() {
    let event = |person: &str| HrEvent { person: person.parse().unwrap(), change: HrChange::Stays };
    let hold = |number: usize, events: Vec<HrEvent>| {
        Box::new(Hold {
            id: id(number),
            held_at: Timestamp::MIN,
            sender: "hr-sync".parse().unwrap(),
            stream: None,
            from_import: false,
            author: None,
            after: 0,
            aside: None,
            suspends: None,
            events,
        })
    };
    let mut state = State::default();
    let old = events(vec![Fact::Feed(FeedFact::Held(hold(1, vec![event("ana"), event("ben")])))]);
    old.iter().for_each(|event| apply(&mut state, event));
    // when what is left of an older hold is written anew beside a new one
    let facts = events(vec![
        Fact::Feed(FeedFact::Held(hold(1, vec![event("ben")]))),
        Fact::Feed(FeedFact::Held(hold(2, vec![event("eva")]))),
    ]);
    // then the new one counts
    assert_eq!(effects(Some(&state), &facts).held_count, 1);
    // and a cause is told by the name that the catalogue has for it
    let because = Cancellation::RequesterNotEligible { reason: Reason::RequirementLapsed };
    let fact = Fact::Elevation(ElevationFact::Cancelled(ElevationCancelled { elevation: id(7), because }));
    assert_eq!(effects(None, &events(vec![fact])).cancelled_elevations[0].cause, "REQUIREMENT_LAPSED");
}
