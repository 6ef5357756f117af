//! What each spender has left of each budget. A command over one is refused here, before the writer's queue: what waits there,
//! and what is journaled, is never more than the budgets let in (known failure G26).

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use dashmap::DashMap;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;

use super::bucket::{Bucket, Rate};
use super::places::{Place, PlaceLimits, Places};
use super::settings::{Budget, Budgets, KeptLimits, Rates, Watches};
use super::turns::{Turn, TurnLimits, Turns};
use crate::clock::BootMillis;
use crate::domain::rule::spender::Spender;
use crate::domain::value::refusal::{Reason, Refusal};
use crate::domain::value::time::Span;
use crate::server::metrics::{Metrics, Spent};

/// Spenders that are kept before those that owe nothing are looked for.
const KEPT: usize = 1_024;
/// After how long to look again whether enough was forgotten.
const FORGETTING: Span = Span::seconds(600);

/// What each spender has left.
#[derive(Debug)]
pub struct Ledger {
    rates: RwLock<Arc<Rates>>,
    kept: RwLock<KeptLimits>,
    purses: DashMap<Spender, Purse>,
    /// When as many are kept, those that owe nothing are forgotten.
    sweep_at: AtomicUsize,
    places: Arc<Places>,
    watches: Arc<Places>,
    turns: RwLock<Arc<Turns>>,
    used: Family<Spent, Counter>,
    refused: Family<Spent, Counter>,
}

/// What one spender has left, where that is not all.
#[derive(Debug, Default)]
struct Purse(BTreeMap<Budget, Bucket>);

/// A command that may go to the writer: what it will have made of the journal is counted with these budgets.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use]
pub struct Admitted {
    spender: Spender,
    charged: &'static [Budget],
}

/// A budget that is used up, and after how long it is not.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Over {
    budget: Budget,
    rate: Rate,
    wait: Span,
}

/// What anybody's command that gives is counted with, when it is known what it has made of the journal.
const ORDINARY: &[Budget] = &[Budget::JournalMinute, Budget::JournalDay];
/// The same, where it is a duty to record much.
const OF_DUTY: &[Budget] = &[Budget::RecordingJournal];

impl Ledger {
    /// Everybody has everything left. What is used, and what is refused, is counted by budget.
    #[must_use]
    pub fn new(budgets: Budgets, metrics: &Metrics) -> Self {
        let (used, refused) = (metrics.budget_used.clone(), metrics.budget_refused.clone());
        let ledger = Self {
            rates: RwLock::default(),
            kept: RwLock::default(),
            purses: DashMap::new(),
            sweep_at: AtomicUsize::default(),
            places: Places::new(Reason::BudgetWork, PlaceLimits::default()),
            watches: Places::new(Reason::BudgetWatches, Watches::default().into()),
            turns: RwLock::new(Turns::new(TurnLimits::default())),
            used,
            refused,
        };
        ledger.reload(budgets);
        ledger
    }

    /// Other budgets from now on. What was spent stays spent.
    pub fn reload(&self, Budgets { rates, kept, places, watches, lists }: Budgets) {
        *self.kept.write().unwrap_or_else(PoisonError::into_inner) = kept;
        *self.rates.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(rates);
        self.places.reload(places);
        self.watches.reload(watches.into());
        // Turns that were taken, or are waited for, are of those before.
        *self.turns.write().unwrap_or_else(PoisonError::into_inner) = Turns::new(lists);
    }

    /// A place for dear work.
    ///
    /// # Errors
    /// `BUDGET_WORK`.
    pub fn place(&self, spender: &Spender, watches_over: bool) -> Result<Place, Refusal> {
        self.taken("dear_places", self.places.take(spender, watches_over))
    }

    /// A place for a watch.
    ///
    /// # Errors
    /// `BUDGET_WATCHES`.
    pub fn watch(&self, spender: &Spender) -> Result<Place, Refusal> {
        self.taken("watches", self.watches.take(spender, true))
    }

    /// The next turn for a list or a look into the past.
    pub async fn turn(&self, spender: &Spender, watches_over: bool) -> Turn {
        let turns = Arc::clone(&self.turns.read().unwrap_or_else(PoisonError::into_inner));
        turns.take(spender, watches_over).await
    }

    fn taken(&self, budget: &'static str, place: Result<Place, Refusal>) -> Result<Place, Refusal> {
        let counted = if place.is_ok() { &self.used } else { &self.refused };
        counted.get_or_create(&Spent { budget }).inc();
        place.map_err(|refusal| refusal.with("budget", budget))
    }

    /// That there is room for what a command that gives would leave behind.
    ///
    /// # Errors
    /// `BUDGET_KEPT`.
    pub fn keep(&self, kept: u64, has_duty: impl FnOnce() -> bool) -> Result<(), Refusal> {
        let limits = *self.kept.read().unwrap_or_else(PoisonError::into_inner);
        let (budget, limit) = match kept < limits.each {
            true => return Ok(()),
            false if has_duty() => ("recording_kept", limits.recording),
            false => ("kept", limits.each),
        };
        if kept < limit {
            return Ok(());
        }
        self.refused.get_or_create(&Spent { budget }).inc();
        let refusal = Refusal::new(Reason::BudgetKept, format!("`{budget}` is {limit} bytes, and {kept} are kept"));
        Err(Refusal { retry_after: Some(FORGETTING), ..refusal.with("budget", budget) })
    }

    /// Counts one command. Whether its sender has a duty that needs more, to take from others or to record much, is asked only
    /// where what everybody has is used up.
    ///
    /// # Errors
    /// `BUDGET_COMMANDS` or `BUDGET_JOURNAL`, and when it will be there.
    pub fn admit(
        &self,
        spender: &Spender,
        takes_away: bool,
        has_duty: impl FnOnce() -> bool,
        now: BootMillis,
    ) -> Result<Admitted, Refusal> {
        let commands = match (takes_away, spender) {
            (true, _) => Budget::TakingAway,
            (false, Spender::Machine(_)) => Budget::MachineCommands,
            (false, Spender::Person(_) | Spender::Unknown) => Budget::PersonCommands,
        };
        let ordinary = self.take(spender, commands, if takes_away { &[] } else { ORDINARY }, now);
        let admitted = match (ordinary, takes_away) {
            (Err(over), _) if !has_duty() => Err(over),
            (Err(_), true) => self.take(spender, Budget::TakingFromOthers, &[], now),
            (Err(_), false) => self.take(spender, Budget::RecordingCommands, OF_DUTY, now),
            (Ok(admitted), _) => Ok(admitted),
        };
        admitted.map_err(|over| {
            self.refused.get_or_create(&over.budget.counted()).inc();
            over.into()
        })
    }

    /// Counts what an admitted command has made of the journal.
    pub fn charge(&self, admitted: &Admitted, bytes: u64, now: BootMillis) {
        if admitted.charged.is_empty() || bytes == 0 {
            return;
        }
        let rates = self.rates();
        let mut purse = self.purses.entry(admitted.spender.clone()).or_default();
        for budget in admitted.charged {
            purse.bucket(&rates, *budget, now).spend(rates.of(*budget), now, bytes);
            self.used.get_or_create(&budget.counted()).inc_by(bytes);
        }
    }

    /// Takes one command, if nothing is owed where its bytes will be counted.
    fn take(
        &self,
        spender: &Spender,
        commands: Budget,
        charged: &'static [Budget],
        now: BootMillis,
    ) -> Result<Admitted, Over> {
        let rates = self.rates();
        self.forget_who_owes_nothing(&rates, now);
        let mut purse = self.purses.entry(spender.clone()).or_default();
        for budget in charged.iter().chain([&commands]) {
            let rate = rates.of(*budget);
            let wait = purse.bucket(&rates, *budget, now).wait(rate, now, 1);
            wait.map_err(|wait| Over { budget: *budget, rate, wait })?;
        }
        purse.bucket(&rates, commands, now).spend(rates.of(commands), now, 1);
        self.used.get_or_create(&commands.counted()).inc();
        Ok(Admitted { spender: spender.clone(), charged })
    }

    /// Whoever has everything left again is as good as never seen, so that memory follows who is busy.
    fn forget_who_owes_nothing(&self, rates: &Rates, now: BootMillis) {
        if self.purses.len() <= self.sweep_at.load(Ordering::Relaxed).max(KEPT) {
            return;
        }
        self.purses.retain(|_, purse| {
            purse.0.retain(|budget, bucket| !bucket.is_full(rates.of(*budget), now));
            !purse.0.is_empty()
        });
        self.sweep_at.store(self.purses.len().saturating_mul(2), Ordering::Relaxed);
    }

    fn rates(&self) -> Arc<Rates> {
        Arc::clone(&self.rates.read().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Purse {
    fn bucket(&mut self, rates: &Rates, budget: Budget, now: BootMillis) -> &mut Bucket {
        self.0.entry(budget).or_insert_with(|| Bucket::full(rates.of(budget), now))
    }
}

impl From<Over> for Refusal {
    fn from(Over { budget, rate, wait }: Over) -> Self {
        let name = budget.name();
        // As a person reads it; a program has it to the millisecond.
        let seconds = wait.millis().saturating_add(999).checked_div(1_000).unwrap_or_default();
        let told = u32::try_from(seconds).map_or(wait, Span::seconds);
        let refusal = Self::new(budget.reason(), format!("`{name}` is {rate}, and there is more in {told}"));
        let refusal = refusal.with("budget", name);
        Self { retry_after: Some(wait), ..refusal }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::value::refusal::Reason;

    fn now() -> BootMillis {
        BootMillis::new(1_000)
    }

    fn person(name: &str) -> Spender {
        Spender::Person(name.parse().unwrap())
    }

    fn machine(name: &str) -> Spender {
        Spender::Machine(name.parse().unwrap())
    }

    fn refused(admitted: Result<Admitted, Refusal>) -> Option<(Reason, i64)> {
        admitted.err().map(|refusal| (refusal.reason, refusal.retry_after.unwrap().millis()))
    }

    /// Sends so many commands that give, and says how many were admitted.
    fn admitted(ledger: &Ledger, spender: &Spender, takes_away: bool, has_duty: bool, sent: u32) -> usize {
        (0..sent).filter(|_| ledger.admit(spender, takes_away, || has_duty, now()).is_ok()).count()
    }

    #[test]
    fn what_one_person_used_up_is_missing_to_nobody_else() {
        // given a person who has sent all they may at once
        let ledger = Ledger::new(Budgets::default(), &Metrics::default());
        assert_eq!(admitted(&ledger, &person("ana"), false, false, 100), 30);
        // then they are told when to come back, and everybody else goes on
        let over = ledger.admit(&person("ana"), false, || false, now());
        assert_eq!(refused(over), Some((Reason::BudgetCommands, 1_000)));
        assert_eq!(admitted(&ledger, &person("ben"), false, false, 30), 30);
        assert_eq!(admitted(&ledger, &machine("orders-api"), false, false, 200), 100);
        assert_eq!(admitted(&ledger, &machine("payments-api"), false, false, 100), 100);
    }

    #[test]
    fn what_is_kept_of_one_is_bounded_and_duty_has_more() {
        let ledger = Ledger::new(Budgets::default(), &Metrics::default());
        let mebibytes = |count: u64| count * 1024 * 1024;
        assert!(ledger.keep(mebibytes(16) - 1, || false).is_ok());
        let over = ledger.keep(mebibytes(16), || false).unwrap_err();
        assert_eq!((over.reason, over.facts["budget"].as_str()), (Reason::BudgetKept, "kept"));
        assert!(over.retry_after.is_some());
        assert!(ledger.keep(mebibytes(255), || true).is_ok());
        assert_eq!(ledger.keep(mebibytes(256), || true).unwrap_err().facts["budget"], "recording_kept");
        // and another limit counts from when it is read
        ledger.reload(Budgets { kept: KeptLimits { each: 10, recording: 20 }, ..Budgets::default() });
        assert!(ledger.keep(10, || false).is_err() && ledger.keep(19, || true).is_ok());
    }

    #[test]
    fn what_takes_away_has_a_budget_of_its_own_and_duty_a_larger_one() {
        // given a person over what they may ask for
        let ledger = Ledger::new(Budgets::default(), &Metrics::default());
        admitted(&ledger, &person("ana"), false, false, 100);
        // then what they give up is not refused for that
        assert_eq!(admitted(&ledger, &person("ana"), true, false, 1_000), 200);
        // and whoever may take from others is not stopped by what an ordinary person may
        assert_eq!(admitted(&ledger, &person("sam"), true, true, 10_000), 10_000);
    }

    #[test]
    fn a_command_that_filled_the_journal_is_paid_for_before_the_next_one_that_gives() {
        let ledger = Ledger::new(Budgets::default(), &Metrics::default());
        let first = ledger.admit(&person("ana"), false, || false, now()).unwrap();
        ledger.charge(&first, 2 * 1024 * 1024, now());
        let next = ledger.admit(&person("ana"), false, || false, now());
        assert!(matches!(refused(next), Some((Reason::BudgetJournal, 60_000..=60_001))));
        // what takes away goes on, and is not counted
        let taking = ledger.admit(&person("ana"), true, || false, now()).unwrap();
        ledger.charge(&taking, u64::MAX, now());
        assert_eq!(admitted(&ledger, &person("ana"), true, false, 50), 50);
        // and a minute and a half later it is another day's matter alone
        let later = now().plus(Span::seconds(121));
        assert!(ledger.admit(&person("ana"), false, || false, later).is_ok());
    }

    #[test]
    fn an_import_of_a_whole_staff_is_a_duty() {
        let ledger = Ledger::new(Budgets::default(), &Metrics::default());
        let connector = machine("hr-connector");
        let import = ledger.admit(&connector, false, || true, now()).unwrap();
        ledger.charge(&import, 30 * 1024 * 1024, now());
        assert_eq!(admitted(&ledger, &connector, false, true, 1_000), 400);
    }

    #[test]
    fn who_owes_nothing_is_forgotten_and_who_owes_is_not() {
        // given very many who sent one command each, and one who is over
        let ledger = Ledger::new(Budgets::default(), &Metrics::default());
        (0..2_000).for_each(|n| assert!(ledger.admit(&person(&format!("p{n}")), false, || false, now()).is_ok()));
        let later = now().plus(Span::seconds(20));
        (0..30).for_each(|_| assert!(ledger.admit(&person("ana"), false, || false, later).is_ok()));
        // when others come, then the first are gone, and the one is still over
        (2_000..6_000).for_each(|n| assert!(ledger.admit(&person(&format!("p{n}")), false, || false, later).is_ok()));
        assert!(ledger.purses.len() < 5_000, "{}", ledger.purses.len());
        assert!(ledger.admit(&person("ana"), false, || false, later).is_err());
    }

    #[test]
    fn other_rates_count_from_the_next_command_on() {
        let ledger = Ledger::new(Budgets::default(), &Metrics::default());
        admitted(&ledger, &person("ana"), false, false, 30);
        let mut rates = Rates::default();
        rates.set(Budget::PersonCommands, Rate::a_second(30, 1_000));
        ledger.reload(Budgets { rates, ..Budgets::default() });
        assert!(ledger.admit(&person("ana"), false, || false, now().plus(Span::from_millis(1).unwrap())).is_ok());
    }
}
