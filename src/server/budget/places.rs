//! Places for dear work: what takes long on a thread or in memory, such as examining a file, thinking a change through, or
//! replaying the past. There are few, one spender has fewer, and some are kept for who watches over others, so that the many do
//! not keep an auditor waiting, nor whoever has security duty (known failure G28).

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::domain::rule::spender::Spender;
use crate::domain::value::refusal::{Reason, Refusal};
use crate::domain::value::time::Span;

/// Of all places one of so many parts is kept for who watches over others.
const KEPT_SHARE: usize = 4;
/// When whoever found no place may look again.
const AGAIN: Span = Span::SECOND;

/// How many places there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PlaceLimits {
    /// In all.
    pub all: usize,
    /// Of one spender.
    pub each: usize,
}

impl Default for PlaceLimits {
    fn default() -> Self {
        Self { all: 8, each: 2 }
    }
}

/// The places.
#[derive(Debug)]
pub struct Places {
    /// Why one is refused.
    reason: Reason,
    taken: Mutex<Taken>,
}

#[derive(Debug, Default)]
struct Taken {
    limits: PlaceLimits,
    all: usize,
    by: BTreeMap<Spender, usize>,
}

/// One place: it is free again when this is dropped, by the work that it was taken for.
#[derive(Debug)]
pub struct Place {
    places: Arc<Places>,
    spender: Spender,
}

impl Places {
    /// None is taken. `reason`: why one is refused.
    #[must_use]
    pub fn new(reason: Reason, limits: PlaceLimits) -> Arc<Self> {
        let taken = Taken { limits, ..Taken::default() };
        Arc::new(Self { reason, taken: Mutex::new(taken) })
    }

    /// Other numbers from now on. Who is in stays in.
    pub fn reload(&self, limits: PlaceLimits) {
        self.taken().limits = limits;
    }

    /// Takes a place.
    ///
    /// # Errors
    /// `BUDGET_WORK`, if the spender has as many as one may, or none is free that is theirs to take.
    pub fn take(self: &Arc<Self>, spender: &Spender, watches_over: bool) -> Result<Place, Refusal> {
        let mut taken = self.taken();
        let PlaceLimits { all, each } = taken.limits;
        let of_spender = taken.by.get(spender).copied().unwrap_or_default();
        let kept = if watches_over { 0 } else { all.div_ceil(KEPT_SHARE) };
        // With one place alone nothing can be kept.
        let room = all.saturating_sub(kept).max(1);
        if of_spender >= each {
            return Err(self.full(format!("they have {each}")));
        }
        if taken.all >= room {
            return Err(self.full(format!("there are {}, of all callers", taken.all)));
        }
        taken.all = taken.all.saturating_add(1);
        taken.by.insert(spender.clone(), of_spender.saturating_add(1));
        Ok(Place { places: Arc::clone(self), spender: spender.clone() })
    }

    fn taken(&self) -> MutexGuard<'_, Taken> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn full(&self, detail: String) -> Refusal {
        Refusal { retry_after: Some(AGAIN), ..Refusal::new(self.reason, detail) }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.places.taken();
        taken.all = taken.all.saturating_sub(1);
        if let Some(of_spender) = taken.by.get_mut(&self.spender) {
            *of_spender = of_spender.saturating_sub(1);
            if *of_spender == 0 {
                taken.by.remove(&self.spender);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn person(name: &str) -> Spender {
        Spender::Person(name.parse().unwrap())
    }

    #[test]
    fn one_has_few_and_all_together_leave_some_to_who_watches_over_them() {
        // given one who has as many as one may
        let places = Places::new(Reason::BudgetWork, PlaceLimits::default());
        let ana = [places.take(&person("ana"), false).unwrap(), places.take(&person("ana"), false).unwrap()];
        assert_eq!(places.take(&person("ana"), false).unwrap_err().reason, Reason::BudgetWork);
        // and others who have the rest, but for what is kept
        let others: Vec<Place> = (0..4).map(|n| places.take(&person(&format!("p{n}")), false).unwrap()).collect();
        assert_eq!(places.take(&person("eve"), false).unwrap_err().reason, Reason::BudgetWork);
        // then whoever watches over them still has theirs
        let auditor = [places.take(&person("aud"), true).unwrap(), places.take(&person("aud"), true).unwrap()];
        assert_eq!(places.take(&person("sam"), true).unwrap_err().reason, Reason::BudgetWork);
        // and each is free again when its work is over
        drop((ana, others, auditor));
        assert!(places.taken().by.is_empty() && places.taken().all == 0);
        assert!(places.take(&person("ana"), false).is_ok());
    }

    #[test]
    fn other_numbers_count_at_once_and_one_place_alone_is_a_place() {
        let places = Places::new(Reason::BudgetWork, PlaceLimits::default());
        places.reload(PlaceLimits { all: 1, each: 1 });
        let one = places.take(&person("ana"), false).unwrap();
        assert!(places.take(&person("aud"), true).is_err());
        places.reload(PlaceLimits { all: 2, each: 1 });
        assert!(places.take(&person("ben"), false).is_err());
        let kept = places.take(&person("aud"), true).unwrap();
        drop((one, kept));
        assert!(places.take(&person("ben"), false).is_ok());
    }
}
