//! A world for tests of the core: a state, its journal, a clock, and people who call. Every event goes through its
//! stored form before it is applied, and when a world ends its journal is replayed and the whole state compared.
#![allow(dead_code, unreachable_pub, reason = "each test crate uses a part of it")]

use std::collections::BTreeSet;

use countersign::domain::decide::refused::refused;
use countersign::domain::decide::tick::{decide_start, decide_tick};
use countersign::domain::decide::{Files, decide_all, initialise};
use countersign::domain::record::command::{
    ApproveElevation, ApproveProposal, Command, DenyElevation, Envelope, ProposeFile, RelinquishGrant, RevokeGrant,
    WithdrawElevation,
};
use countersign::domain::record::elevation::Elevation;
use countersign::domain::record::event::{BrokerStarted, ClockPair, ElevationFact, Event, Fact, ProposalFact};
use countersign::domain::record::grant::{Grant, Revocation};
use countersign::domain::record::proposal::ProposedFile;
use countersign::domain::record::row::{decode, encode};
use countersign::domain::state::State;
use countersign::domain::state::apply::apply;
use countersign::domain::value::ids::{Digest, ElevationId, GrantId, ProposalId, RequestId};
use countersign::domain::value::refusal::{Reason, Refusal};
use countersign::domain::value::time::{Now, Span, Timestamp};

pub mod ask;
pub mod calls;
pub mod enrolments;
pub mod organisation;
pub use ask::Ask;
pub use organisation::{NOON, Organisation, POLICY, identity};

/// How long what closed is kept.
pub const KEEP: Span = Span::DAY;

#[derive(Clone)]
pub struct World {
    pub state: State,
    /// What the journal would hold.
    pub rows: Vec<String>,
    pub events: Vec<Event>,
    /// What the projected clock says, whatever was journaled.
    pub at: Timestamp,
    /// How far the wall clock is off, in milliseconds.
    pub wall_off_by: i64,
    pub organisation: Organisation,
    pub policy: String,
    ids_made: u64,
}

pub fn at(text: &str) -> Timestamp {
    Timestamp::parse_rfc3339(text).unwrap()
}

pub fn span(text: &str) -> Span {
    Span::parse(text).unwrap()
}

impl World {
    /// The example organisation, at noon.
    pub fn new() -> Self {
        Self::of(POLICY, Organisation::example()).unwrap()
    }

    pub fn of(policy: &str, organisation: Organisation) -> Result<Self, Refusal> {
        let at = at(NOON);
        let directory = organisation.to_toml();
        let events = initialise(Files { policy, directory: &directory }, Now::exactly(at))?;
        let mut world = Self {
            state: State::default(),
            rows: Vec::new(),
            events: Vec::new(),
            at,
            wall_off_by: 0,
            organisation,
            policy: policy.to_owned(),
            ids_made: 0,
        };
        world.commit(events);
        Ok(world)
    }

    pub fn now(&self) -> Now {
        let wall = Timestamp::from_millis(self.at.millis() + self.wall_off_by).unwrap();
        Now::new(wall, self.at, self.state.last_at())
    }

    /// Applies events as replay would: from their stored form.
    pub fn commit(&mut self, events: Vec<Event>) {
        let count = events.len();
        for (index, event) in events.into_iter().enumerate() {
            assert_eq!(event.sequence, self.state.sequence() + 1, "events are numbered without gaps");
            assert!(event.at >= self.state.last_at(), "stamps never run backwards");
            let row = encode(&event, index + 1 == count).unwrap();
            let (decoded, last) = decode(&row).unwrap();
            assert_eq!((&decoded, last), (&event, index + 1 == count), "{row}");
            apply(&mut self.state, &decoded);
            self.rows.push(row);
            self.events.push(decoded);
        }
    }

    pub fn envelope(&mut self, who: &str, command: Command) -> Envelope {
        self.ids_made += 1;
        let mut nonce = [0; 16];
        nonce[..8].copy_from_slice(&self.ids_made.to_be_bytes());
        Envelope {
            caller: calls::calling(identity(who).parse().unwrap()),
            request_id: RequestId::from(uuid::Uuid::from_u128(u128::from(self.ids_made))),
            now: self.now(),
            nonce,
            command,
        }
    }

    /// Decides and applies; a refusal is journaled as the engine does it.
    pub fn execute(&mut self, envelope: &Envelope) -> Result<Vec<Event>, Refusal> {
        match decide_all(&self.state, envelope) {
            Ok(decided) => {
                let mut after = self.state.clone();
                let events = decided.take_effect(&mut after);
                assert_says_who_called(&events, envelope);
                self.commit(events.clone());
                assert!(after == self.state, "the decision made another state than its events lead to: {events:?}");
                Ok(events)
            }
            Err(refusal) => {
                let told = refused(&self.state, envelope, &refusal);
                assert_says_who_called(told.as_slice(), envelope);
                self.commit(told.into_iter().collect());
                Err(refusal)
            }
        }
    }

    pub fn send(&mut self, who: &str, command: Command) -> Result<Vec<Event>, Refusal> {
        let envelope = self.envelope(who, command);
        self.execute(&envelope)
    }

    pub fn approve(&mut self, who: &str, elevation: ElevationId) -> Result<Vec<Event>, Refusal> {
        let digest = self.state.elevations().get(&elevation).map_or(Digest::of(b""), |it| it.review.digest());
        self.send(who, Command::from(ApproveElevation { elevation, digest, comment: "looks right".into() }))
    }

    pub fn deny(&mut self, who: &str, elevation: ElevationId) -> Result<Vec<Event>, Refusal> {
        self.send(who, Command::from(DenyElevation { elevation, reason: "not now".into() }))
    }

    pub fn withdraw(&mut self, who: &str, elevation: ElevationId) -> Result<Vec<Event>, Refusal> {
        self.send(who, Command::from(WithdrawElevation { elevation, reason: "no need".into() }))
    }

    pub fn relinquish(&mut self, who: &str, grant: GrantId) -> Result<Vec<Event>, Refusal> {
        self.send(who, Command::from(RelinquishGrant { grant, reason: "done".into() }))
    }

    pub fn revoke(&mut self, who: &str, grant: GrantId) -> Result<Vec<Event>, Refusal> {
        self.send(who, Command::from(RevokeGrant { grant, reason: "enough".into() }))
    }

    /// Puts the directory in force as changed, by a proposal and its approval.
    pub fn change_directory(&mut self, change: impl FnOnce(&mut Organisation)) -> Result<Vec<Event>, Refusal> {
        let mut changed = self.organisation.clone();
        change(&mut changed);
        let replaces = self.state.organisation().directory_digest().unwrap();
        let events = self.put_in_force(ProposedFile::Directory, replaces, changed.to_toml())?;
        self.organisation = changed;
        Ok(events)
    }

    /// Proposed by `lea`, approved by `lou`, to whom no test gives anything. The events of the new file.
    fn put_in_force(&mut self, file: ProposedFile, replaces: Digest, text: String) -> Result<Vec<Event>, Refusal> {
        let proposed = self.propose("lea", file, replaces, text)?;
        let mut events = self.approve_proposal("lou", proposed)?;
        events.retain(|event| {
            !matches!(
                event.fact,
                Fact::Proposal(ProposalFact::Approved(_)) | Fact::Proposal(ProposalFact::AuthorsWait(_))
            )
        });
        Ok(events)
    }

    pub fn propose(
        &mut self,
        who: &str,
        file: ProposedFile,
        replaces: Digest,
        text: String,
    ) -> Result<ProposalId, Refusal> {
        let justification = "as agreed".to_owned();
        let events = self.send(who, Command::from(ProposeFile { file, replaces, text, justification }))?;
        match &events[0].fact {
            Fact::Proposal(ProposalFact::Made(proposal)) => Ok(proposal.id),
            other => panic!("{other:?}"),
        }
    }

    pub fn approve_proposal(&mut self, who: &str, proposal: ProposalId) -> Result<Vec<Event>, Refusal> {
        let digest = self.state.proposals().get(&proposal).map_or(Digest::of(b""), |it| it.review.digest());
        self.send(who, Command::from(ApproveProposal { proposal, digest, comment: String::new() }))
    }

    /// Puts the policy in force with one part of its text replaced, by a proposal and its approval.
    pub fn propose_policy(&mut self, from: &str, to: &str) -> Result<Vec<Event>, Refusal> {
        assert!(self.policy.contains(from), "the policy has no `{from}`");
        let text = self.policy.replace(from, to);
        let replaces = Digest::of(self.policy.as_bytes());
        let events = self.put_in_force(ProposedFile::Policy, replaces, text.clone())?;
        self.policy = text;
        Ok(events)
    }

    /// Time passes; no timer runs.
    pub fn pass(&mut self, text: &str) {
        self.at = self.at.plus(span(text));
    }

    /// The timer runs until nothing is due. What it recorded.
    pub fn tick(&mut self) -> Vec<Event> {
        let mut all = Vec::new();
        for _ in 0..1_000 {
            let events = decide_tick(&self.state, self.now(), KEEP);
            if events.is_empty() {
                return all;
            }
            self.commit(events.clone());
            all.extend(events);
        }
        panic!("the tick never comes to an end: {:?}", all.last());
    }

    pub fn pass_and_tick(&mut self, text: &str) -> Vec<Event> {
        self.pass(text);
        self.tick()
    }

    /// The broker stops and starts again; `revoke`: why the start revokes live grants, if it does.
    pub fn restart(&mut self, revoke: Option<&Revocation>) -> Vec<Event> {
        self.state = replay(&self.rows);
        let now = self.now();
        let wall = Timestamp::from_millis(self.at.millis() + self.wall_off_by).unwrap();
        let clock = ClockPair { wall, boot_millis: 1, boot_id: "b".into() };
        let events = decide_start(&self.state, now, BrokerStarted { version: "0".into(), clock }, revoke);
        self.commit(events.clone());
        events
    }

    pub fn elevation(&self, id: ElevationId) -> &Elevation {
        self.state.elevations().get(&id).unwrap()
    }

    pub fn phase(&self, id: ElevationId) -> &'static str {
        self.elevation(id).phase.name()
    }

    /// The grant that an elevation led to.
    pub fn grant_of(&self, id: ElevationId) -> Option<&Grant> {
        self.state.grants().values().find(|grant| grant.elevation == id)
    }

    pub fn grant_phase(&self, id: ElevationId) -> &'static str {
        self.grant_of(id).unwrap().phase.name()
    }

    /// What a check asks: whether some live grant of the account covers it.
    pub fn may(&self, who: &str, action: &str, resource: &str) -> bool {
        may_in(&self.state, self.now().latest, who, action, resource)
    }

    /// `repair` on the orders database, asked by ana and approved by ben.
    pub fn granted(&mut self) -> (ElevationId, GrantId) {
        let id = Ask::repair().by("ana", self).unwrap();
        self.approve("ben", id).unwrap();
        (id, self.grant_of(id).unwrap().id)
    }

    /// Every event comes back from its row, and all of them to the same state (invariant 9).
    pub fn assert_replays(&self) {
        assert!(replay(&self.rows) == self.state, "replay makes another state");
    }
}

impl Drop for World {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            self.assert_replays();
        }
    }
}

/// What a check asks of any state at any time.
pub fn may_in(state: &State, latest: Timestamp, who: &str, action: &str, resource: &str) -> bool {
    let (action, resource) = (action.parse().unwrap(), resource.parse().unwrap());
    let mut held = state.grants().values().filter(|grant| grant.holder.as_str() == who);
    held.any(|grant| grant.is_live(latest) && grant.scope.covers(&action, &resource))
}

/// Whether two histories led to the same organisation, wherever in their journals an identity was lost.
pub fn same_but_for_places(one: &State, other: &State) -> bool {
    let (one, other) = (one.organisation(), other.organisation());
    let known = one.accounts().values().flat_map(|it| &it.identities);
    let known = known.chain(one.people().values().flat_map(|it| &it.login));
    let nobody = "nobody".parse().unwrap();
    let remembered =
        |it: &countersign::domain::state::organisation::Organisation, of| it.others_with(of, &nobody, Timestamp::MIN);
    one.people() == other.people()
        && one.accounts() == other.accounts()
        && one.tenants() == other.tenants()
        && one.policy_text() == other.policy_text()
        && one.locks() == other.locks()
        && one.directory_digest() == other.directory_digest()
        && one.employed_count() == other.employed_count()
        && one.formerly().oldest() == other.formerly().oldest()
        && known.into_iter().all(|identity| remembered(one, identity) == remembered(other, identity))
}

pub fn replay<'a>(rows: impl IntoIterator<Item = &'a String>) -> State {
    let mut state = State::default();
    for row in rows {
        apply(&mut state, &decode(row).unwrap().0);
    }
    state
}

impl Ask {
    /// Sends the request.
    pub fn by(self, who: &str, world: &mut World) -> Result<ElevationId, Refusal> {
        let events = world.send(who, self.command())?;
        match &events[0].fact {
            Fact::Elevation(ElevationFact::Requested(elevation)) => Ok(elevation.id),
            other => panic!("a request led to {other:?}"),
        }
    }
}

/// The kinds of some events, without their versions.
pub fn kinds(events: &[Event]) -> Vec<&'static str> {
    events.iter().map(|event| event.fact.kind().trim_end_matches("/1")).collect()
}

/// That the first row of a command says by which certificate it was called and from where, whatever the command (known failure
/// B15).
#[track_caller]
fn assert_says_who_called(events: &[Event], envelope: &Envelope) {
    let said: Vec<_> = events.iter().map(|event| event.from.as_deref()).collect();
    assert!(said.first().is_none_or(|first| *first == Some(&envelope.caller)), "{events:?}");
    assert!(said.iter().skip(1).all(Option::is_none), "once a command: {events:?}");
}

/// Asserts that something was refused, and why.
#[track_caller]
pub fn assert_refused<T: std::fmt::Debug>(result: Result<T, Refusal>, reason: Reason) -> Refusal {
    let refusal = result.expect_err("it was not refused");
    assert_eq!(refusal.reason, reason, "{refusal}");
    refusal
}

pub fn names<T: AsRef<str>>(items: impl IntoIterator<Item = T>) -> BTreeSet<String> {
    items.into_iter().map(|item| item.as_ref().to_owned()).collect()
}
