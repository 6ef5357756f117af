//! Turns of what is looked up: a list, or something of the past. There are few at a time, each caller has fewer, and whoever finds
//! none waits in line: one who asks for forty lists at once has them one after another (known failure G39).

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::domain::rule::spender::Spender;

/// Turns that are kept for who watches over others.
const KEPT: usize = 2;

/// How many turns there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TurnLimits {
    /// In all, but for those that are kept.
    pub all: usize,
    /// Of one spender.
    pub each: usize,
}

impl Default for TurnLimits {
    fn default() -> Self {
        Self { all: 6, each: 2 }
    }
}

/// The turns.
#[derive(Debug)]
pub struct Turns {
    all: Arc<Semaphore>,
    kept: Arc<Semaphore>,
    limits: TurnLimits,
    each: Mutex<BTreeMap<Spender, Weak<Semaphore>>>,
}

/// One turn: the next one comes when it is dropped, by the work that it was taken for.
#[derive(Debug)]
#[must_use]
pub struct Turn {
    /// `None`: there are no more turns, because the broker ends.
    _taken: [Option<OwnedSemaphorePermit>; 2],
    /// The spender's, while any of theirs is under way or waits.
    _own: Arc<Semaphore>,
}

impl Turns {
    /// All of them are free.
    #[must_use]
    pub fn new(limits: TurnLimits) -> Arc<Self> {
        let (all, kept) = (Arc::new(Semaphore::new(limits.all)), Arc::new(Semaphore::new(KEPT)));
        Arc::new(Self { all, kept, limits, each: Mutex::default() })
    }

    /// The next turn of a spender's. Safe to drop before it comes.
    pub async fn take(&self, spender: &Spender, watches_over: bool) -> Turn {
        let own = self.of(spender);
        let first = Arc::clone(&own).acquire_owned().await.ok();
        let (all, kept) = (Arc::clone(&self.all), Arc::clone(&self.kept));
        let second = match watches_over {
            true => tokio::select! {
                biased;
                turn = all.acquire_owned() => turn.ok(),
                turn = kept.acquire_owned() => turn.ok(),
            },
            false => all.acquire_owned().await.ok(),
        };
        Turn { _taken: [first, second], _own: own }
    }

    fn of(&self, spender: &Spender) -> Arc<Semaphore> {
        let mut each = self.each.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(own) = each.get(spender).and_then(Weak::upgrade) {
            return own;
        }
        each.retain(|_, own| own.strong_count() > 0);
        let own = Arc::new(Semaphore::new(self.limits.each));
        each.insert(spender.clone(), Arc::downgrade(&own));
        own
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn person(name: &str) -> Spender {
        Spender::Person(name.parse().unwrap())
    }

    async fn waits(turns: &Turns, name: &str, watches_over: bool) -> bool {
        let (name, soon) = (person(name), Duration::from_millis(20));
        tokio::time::timeout(soon, turns.take(&name, watches_over)).await.is_err()
    }

    #[tokio::test]
    async fn one_has_few_turns_at_a_time_and_others_have_theirs() {
        let turns = Turns::new(TurnLimits { all: 4, each: 2 });
        // given one who has as many as one may
        let (first, _second) = (turns.take(&person("ana"), false).await, turns.take(&person("ana"), false).await);
        assert!(waits(&turns, "ana", false).await && waits(&turns, "ana", true).await);
        // then others have theirs, until all are taken
        let others = [turns.take(&person("ben"), false).await, turns.take(&person("dan"), false).await];
        assert!(waits(&turns, "eve", false).await);
        // and whoever watches over others has one all the same
        let kept = [turns.take(&person("aud"), true).await, turns.take(&person("sam"), true).await];
        assert!(waits(&turns, "rex", true).await);
        // when one is over, the next has it
        drop(first);
        assert!(!waits(&turns, "eve", false).await && !waits(&turns, "ana", false).await);
        // and nobody is remembered who has none
        drop((others, kept, _second));
        drop(turns.take(&person("eve"), false).await);
        drop(turns.take(&person("ana"), false).await);
        assert_eq!(turns.each.lock().unwrap().len(), 1);
    }
}
