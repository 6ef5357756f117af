//! The paths in one process: the broker's index, its batches, and a replica's index that is fed the canonical entries which
//! the audience may see. Random histories, random questions at random times: one verdict, one reason, one grant, one end
//! (invariant 11, known failures F1 and F10).

use std::collections::BTreeSet;

use countersign::check::{
    AccountEntry, Allowed, Change, CheckIndex, GrantEntry, Query, SetDigest, Verdict, read_changes,
};
use countersign::domain::value::scope::{Pattern, Scope};
use countersign::domain::value::time::Timestamp;
use countersign::wire::queries::check_query;
use uuid::Uuid;

use crate::chance::Chance;
use crate::model::{ACCOUNTS, ACTIONS, Account, Answer, CHECKER, Covers, Grant, Model, PATTERNS, Question, RESOURCES};
use crate::tally::Tally;

const STATES_PER_SEED: usize = 4_000;
const QUESTIONS_PER_STATE: usize = 48;
/// What the questions are steered to, a sixth to each.
pub const REASONS: [&str; 6] = ["GRANTED", "BASELINE", "OUT_OF_AUDIENCE", "LOCKED", "NOT_STARTED", "NO_GRANT"];
const TRIES: usize = 24;

fn at(millis: i64) -> Timestamp {
    Timestamp::from_millis(millis).unwrap()
}

fn patterns(numbers: &[usize]) -> BTreeSet<Pattern> {
    numbers.iter().map(|number| PATTERNS[*number].parse().unwrap()).collect()
}

fn scope(actions: &[usize], resources: &[usize]) -> Scope {
    Scope::new(actions.iter().map(|number| ACTIONS[*number].0.parse().unwrap()).collect(), patterns(resources)).unwrap()
}

fn account_entry(number: usize, account: &Account) -> Change {
    let id = ACCOUNTS[number].parse().unwrap();
    if !account.exists {
        return Change::AccountGone(id);
    }
    Change::Account(AccountEntry {
        id,
        identities: account.identities.iter().map(|identity| identity.parse().unwrap()).collect(),
        active: account.active,
        locked: account.locked,
        baseline_until: at(account.baseline_until),
        audience: patterns(&account.audience),
        checks_until: at(account.checks_until),
    })
}

fn grant_entry(grant: &Grant) -> GrantEntry {
    GrantEntry {
        id: Uuid::from_u128(grant.number).into(),
        holder: ACCOUNTS[grant.holder].parse().unwrap(),
        scope: scope(&grant.actions, &grant.patterns),
        end: at(grant.end),
        started: grant.started,
        locked: grant.locked,
    }
}

/// What a feed makes of a change for the checker (design.md 9): of others no audience, of their grants what overlaps.
fn as_the_checker_sees(change: &Change, audience: &BTreeSet<Pattern>) -> Change {
    let checker = ACCOUNTS[CHECKER];
    match change {
        Change::Account(account) if account.id.as_str() != checker => {
            Change::Account(AccountEntry { audience: BTreeSet::new(), checks_until: Timestamp::MIN, ..account.clone() })
        }
        Change::Grant(grant) if grant.holder.as_str() != checker => match grant.scope.within(audience) {
            Some(scope) => Change::Grant(GrantEntry { scope, ..grant.clone() }),
            None => Change::GrantGone { holder: grant.holder.clone(), id: grant.id },
        },
        other => other.clone(),
    }
}

/// Over the wire and back.
fn carried(changes: &[Change]) -> Vec<Change> {
    let mut bytes = Vec::new();
    changes.iter().for_each(|change| change.put(&mut bytes));
    read_changes(&bytes).collect::<Result<_, _>>().unwrap()
}

/// A random history, as the model has it and as the two indexes have it.
struct History {
    chance: Chance,
    model: Model,
    broker: CheckIndex,
    replica: CheckIndex,
}

impl History {
    fn begin(seed: u64) -> Self {
        let mut history = Self {
            chance: Chance::new(seed),
            model: Model::default(),
            broker: CheckIndex::with_set_digest(),
            replica: CheckIndex::with_set_digest(),
        };
        let whole = Account {
            exists: true,
            active: true,
            locked: false,
            identities: Vec::new(),
            baseline_until: 60,
            checks_until: 60,
            audience: vec![3, 12],
        };
        for number in 0..ACCOUNTS.len() {
            let account = Account { identities: vec![identity(number)], ..whole.clone() };
            history.model.accounts[number] = account;
            history.tell(vec![account_entry(number, &history.model.accounts[number])]);
        }
        (0..30).for_each(|_| history.step());
        history
    }

    fn tell(&mut self, changes: Vec<Change>) {
        self.broker.apply(&changes);
        let audience = patterns(&self.model.accounts[CHECKER].audience);
        let seen: Vec<Change> = changes.iter().map(|change| as_the_checker_sees(change, &audience)).collect();
        self.replica.apply(&carried(&seen));
    }

    /// Everything anew, as after a change of the audience.
    fn sync_anew(&mut self) {
        self.replica = CheckIndex::with_set_digest();
        let audience = patterns(&self.model.accounts[CHECKER].audience);
        let changes = self.all().iter().map(|change| as_the_checker_sees(change, &audience)).collect::<Vec<_>>();
        self.replica.apply(&carried(&changes));
    }

    fn all(&self) -> Vec<Change> {
        let accounts = self.model.accounts.iter().enumerate().filter(|(_, account)| account.exists);
        let mut all: Vec<Change> = accounts.map(|(number, account)| account_entry(number, account)).collect();
        all.extend(self.model.grants.iter().map(|grant| Change::Grant(grant_entry(grant))));
        let (actions, resources) = &self.model.baseline;
        let baseline = if actions.is_empty() { Vec::new() } else { vec![scope(actions, resources)] };
        all.push(Change::Baseline(baseline));
        all.push(Change::Locked(patterns(&self.model.locked)));
        all
    }

    /// Something happens.
    fn step(&mut self) {
        let chance = &mut self.chance;
        let number = chance.below(ACCOUNTS.len());
        match chance.below(14) {
            0 => {
                let account = &mut self.model.accounts[number];
                account.exists = number == CHECKER || !chance.one_in(5);
                account.active = !chance.one_in(4) || number == CHECKER;
                account.locked = chance.one_in(6) && number != CHECKER;
                account.baseline_until = 10 * time(chance);
                if number == CHECKER {
                    account.checks_until = 10 * time(chance).max(5);
                    account.audience = (0..1 + chance.below(3)).map(|_| chance.below(PATTERNS.len())).collect();
                    if !chance.one_in(4) {
                        account.audience.extend([3, 12]);
                    }
                }
                let entry = account_entry(number, account);
                self.tell(vec![entry]);
                if number == CHECKER {
                    self.sync_anew();
                }
            }
            // Locks come and go.
            12 => {
                self.model.locked = (0..chance.below(3)).map(|_| chance.below(PATTERNS.len())).collect();
                self.tell(vec![Change::Locked(patterns(&self.model.locked))]);
            }
            13 => {
                self.model.locked.clear();
                self.tell(vec![Change::Locked(BTreeSet::new())]);
            }
            // An identity goes from one to another, in one batch.
            1 => {
                let to = chance.below(ACCOUNTS.len());
                if let Some(taken) = self.model.accounts[number].identities.pop() {
                    self.model.accounts[to].identities.push(taken);
                }
                let told = [number, to].map(|number| account_entry(number, &self.model.accounts[number]));
                self.tell(told.to_vec());
            }
            2 => {
                self.model.baseline = (vec![2, 0], vec![*chance.pick(&[12, 3, 5, 8])]);
                let (actions, patterns) = &self.model.baseline;
                let scope = scope(actions, patterns);
                self.tell(vec![Change::Baseline(vec![scope])]);
            }
            3 | 4 if !self.model.grants.is_empty() => {
                let place = chance.below(self.model.grants.len());
                let gone = self.model.grants.swap_remove(place);
                let holder = ACCOUNTS[gone.holder].parse().unwrap();
                self.tell(vec![Change::GrantGone { holder, id: Uuid::from_u128(gone.number).into() }]);
            }
            _ => {
                let grant = Grant {
                    holder: number,
                    number: u128::try_from(number * 10 + chance.below(6)).unwrap(),
                    actions: (0..1 + chance.below(2)).map(|_| chance.below(3)).collect(),
                    patterns: (0..1 + chance.below(3)).map(|_| chance.below(PATTERNS.len())).collect(),
                    started: chance.one_in(2),
                    locked: chance.one_in(4),
                    end: 10 * time(chance),
                };
                self.model.grants.retain(|known| known.number != grant.number);
                let entry = Change::Grant(grant_entry(&grant));
                self.model.grants.push(grant);
                self.tell(vec![entry]);
            }
        }
    }

    /// A question and the model's answer to it, of a wanted reason if one is found in time.
    fn question(&mut self, covers: &Covers, caller: usize, names: &[String], wanted: &str) -> (Asked, Option<Answer>) {
        let mut last = None;
        for _ in 0..TRIES {
            let chance = &mut self.chance;
            let (action, resource) = if chance.one_in(8) {
                (chance.below(ACTIONS.len()), chance.below(RESOURCES.len()))
            } else {
                (chance.below(3), chance.below(12))
            };
            // Ends are at multiples of ten, so that a question is often asked at the very instant.
            let at = if chance.one_in(3) { 10 * time(chance) } else { i64::try_from(chance.below(70)).unwrap() };
            let mut asked = Asked { name: chance.below(names.len()), action, resource, at };
            // What is rare is looked for where it may be: near a grant, or where the baseline reaches.
            if ["GRANTED", "NOT_STARTED"].contains(&wanted) && !self.model.grants.is_empty() {
                let grant = chance.pick(&self.model.grants);
                let at = i64::try_from(chance.below(usize::try_from(grant.end.max(1)).unwrap())).unwrap();
                asked = Asked { name: grant.holder, action: *chance.pick(&grant.actions), at, ..asked };
            }
            if wanted == "BASELINE" {
                let action = *chance.pick(&[0, 2]);
                asked = Asked {
                    name: chance.below(names.len().min(2 * ACCOUNTS.len())),
                    action,
                    at: asked.at % 40,
                    ..asked
                };
            }
            let answer = self.model.answer(covers, caller, asked.of(names));
            let found = answer.is_some_and(|answer| answer.reason == wanted);
            last = Some((asked, answer));
            if found {
                break;
            }
        }
        last.unwrap()
    }
}

#[derive(Debug, Clone, Copy)]
struct Asked {
    name: usize,
    action: usize,
    resource: usize,
    at: i64,
}

impl Asked {
    fn of(self, names: &[String]) -> Question<'_> {
        Question { subject: &names[self.name], action: self.action, resource: self.resource, at: self.at }
    }

    fn query(self, names: &[String]) -> Query<'_> {
        Query { subject: &names[self.name], action: ACTIONS[self.action].0, resource: RESOURCES[self.resource].0 }
    }
}

fn identity(number: usize) -> String {
    format!("spiffe://northwind.example/{number}")
}

fn time(chance: &mut Chance) -> i64 {
    i64::try_from(chance.below(7)).unwrap()
}

fn said(verdict: Verdict) -> Answer {
    let (grant, until) = match verdict {
        Verdict::Allow { because: Allowed::Granted { grant }, valid_until } => {
            (Some(grant), Some(valid_until.millis()))
        }
        Verdict::Allow { because: Allowed::Baseline, valid_until } => (None, Some(valid_until.millis())),
        Verdict::Deny { .. } => (None, None),
    };
    Answer { reason: verdict.reason(), grant, until }
}

/// Compares all paths over one seed's histories. How many questions each path was asked, by reason.
fn compare(seed: u64, states: usize) -> Tally {
    let covers = Covers::new();
    let mut names: Vec<String> = ACCOUNTS.map(str::to_owned).to_vec();
    names.extend((0..ACCOUNTS.len()).map(identity));
    names.extend(["nobody".to_owned(), "Ana".to_owned(), String::new(), "spiffe://northwind.example/".to_owned()]);
    names.extend(["/", "/.", "/../x"].map(|tail| identity(0) + tail));
    let mut tally = Tally::default();
    let mut history = History::begin(seed);
    for state in 0..states {
        if state % 64 == 63 {
            history = History::begin(seed.wrapping_add(1_000_003 * u64::try_from(state).unwrap()));
        }
        history.step();
        let asked: Vec<(Asked, Option<Answer>)> = (0..QUESTIONS_PER_STATE)
            .map(|number| history.question(&covers, CHECKER, &names, REASONS[number % REASONS.len()]))
            .collect();
        let caller = history.broker.caller(ACCOUNTS[CHECKER]).unwrap();
        let known = history.replica.caller(ACCOUNTS[CHECKER]).unwrap();
        for (asked, expected) in &asked {
            let (query, expected) = (asked.query(&names), expected.unwrap());
            let broker = said(history.broker.check(&caller, query, at(asked.at)));
            assert_eq!(broker, expected, "the broker, seed {seed} state {state}: {query:?} at {}", asked.at);
            let replica = said(history.replica.check(&known, query, at(asked.at)));
            assert_eq!(replica, expected, "the replica, seed {seed} state {state}: {query:?} at {}", asked.at);
            // Its services look for what is malformed among the denied alone.
            let allowed = ["GRANTED", "BASELINE"].contains(&expected.reason);
            let well_formed = check_query("", query.subject, query.action, query.resource).is_ok();
            assert!(well_formed || !allowed, "malformed and allowed: {query:?}");
            tally.add(expected.reason);
        }
        // A batch is asked at one time: that of its first question.
        let now = asked[0].0.at;
        let queries: Vec<Query<'_>> = asked.iter().map(|(asked, _)| asked.query(&names)).collect();
        for (index, asker) in [(&history.broker, &caller), (&history.replica, &known)] {
            let mut verdicts = Vec::new();
            index.check_batch(asker, &queries, at(now), &mut verdicts);
            assert_eq!(verdicts.len(), queries.len());
            for (verdict, (asked, _)) in verdicts.into_iter().zip(&asked) {
                let question = Question { at: now, ..asked.of(&names) };
                let expected = history.model.answer(&covers, CHECKER, question).unwrap();
                assert_eq!(said(verdict), expected, "a batch, seed {seed} state {state}: {question:?}");
            }
        }
    }
    // What was told bit by bit is what would have been told at once.
    let (count, digest) = history.replica.count_and_digest();
    history.sync_anew();
    assert_eq!((count, digest), history.replica.count_and_digest());
    assert_ne!(digest, SetDigest::default());
    tally
}

/// Each question goes four ways: the broker's check and batch, the replica's check and batch.
#[test]
fn invariant_11_one_verdict_in_memory() {
    // The same seeds each time, with which every reason comes up often; `scripts/soak` gives others.
    let round: Option<u64> = std::env::var("PROPTEST_RNG_SEED").ok().map(|round| round.parse().unwrap());
    let begin = |seed: u64| std::thread::spawn(move || compare(seed + round.unwrap_or_default(), STATES_PER_SEED));
    let threads: Vec<_> = (1..=2).map(begin).collect();
    let mut tally = Tally::default();
    threads.into_iter().for_each(|thread| tally.merge(&thread.join().unwrap()));
    assert!(tally.total() * 4 >= 1_500_000, "{}", tally.total());
    if round.is_none() {
        tally.is_even("in memory", &REASONS);
    }
}

/// Whoever is no enforcement point asks about itself alone, and is answered alike.
#[test]
fn whoever_asks_about_itself_is_told_by_the_same_rules() {
    let covers = Covers::new();
    let names: Vec<String> = ACCOUNTS.map(str::to_owned).to_vec();
    let mut history = History::begin(7);
    let (mut own, mut foreign) = (0, 0);
    for round in 0..6_000 {
        history.step();
        let caller = 1 + round % (ACCOUNTS.len() - 1);
        let (mut asked, _) = history.question(&covers, caller, &names, REASONS[round % REASONS.len()]);
        if (round / REASONS.len()).is_multiple_of(2) {
            asked.name = caller;
        }
        let expected = history.model.answer(&covers, caller, asked.of(&names));
        let asker = history.broker.caller(ACCOUNTS[caller]);
        assert_eq!(asker.is_some(), expected.is_some(), "{}", ACCOUNTS[caller]);
        let (Some(asker), Some(expected)) = (asker, expected) else { continue };
        let answer = said(history.broker.check(&asker, asked.query(&names), at(asked.at)));
        assert_eq!(answer, expected, "{} asks {asked:?}", ACCOUNTS[caller]);
        if expected.reason == "OUT_OF_AUDIENCE" { foreign += 1 } else { own += 1 }
    }
    assert!(own > 300 && foreign > 300, "{own} {foreign}");
}
