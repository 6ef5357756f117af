//! A queue in which whoever waits takes turns: one that fills it waits behind themselves (known failure G26).

use std::collections::{BTreeMap, VecDeque};

use crate::domain::rule::spender::Spender;

/// What waits, by who sent it. The order of one sender's is that in which it came.
pub(super) struct FairQueue<T> {
    waiting: BTreeMap<Spender, VecDeque<T>>,
    /// Whose turn it is: everybody of whom something waits, once.
    turns: VecDeque<Spender>,
    length: usize,
}

impl<T> Default for FairQueue<T> {
    fn default() -> Self {
        Self { waiting: BTreeMap::new(), turns: VecDeque::new(), length: 0 }
    }
}

impl<T> FairQueue<T> {
    pub(super) fn len(&self) -> usize {
        self.length
    }

    pub(super) fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// How much of one sender waits.
    pub(super) fn len_of(&self, sender: &Spender) -> usize {
        self.waiting.get(sender).map_or(0, VecDeque::len)
    }

    pub(super) fn push(&mut self, sender: Spender, item: T) {
        let of_sender = self.waiting.entry(sender.clone()).or_default();
        if of_sender.is_empty() {
            self.turns.push_back(sender);
        }
        of_sender.push_back(item);
        self.length = self.length.saturating_add(1);
    }

    /// The oldest of whoever's turn it is; who has more waits for their next turn.
    pub(super) fn pop(&mut self) -> Option<T> {
        let sender = self.turns.pop_front()?;
        let of_sender = self.waiting.get_mut(&sender)?;
        let item = of_sender.pop_front();
        if of_sender.is_empty() {
            self.waiting.remove(&sender);
        } else {
            self.turns.push_back(sender);
        }
        self.length = self.length.saturating_sub(1);
        item
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn person(name: &str) -> Spender {
        Spender::Person(name.parse().unwrap())
    }

    #[test]
    fn whoever_sent_very_much_waits_behind_themselves_and_nobody_else_does() {
        // given one who has sent a thousand, and then two others
        let mut queue = FairQueue::default();
        (0..1_000).for_each(|n| queue.push(person("ana"), n));
        queue.push(person("ben"), 5_000);
        queue.push(person("eve"), 6_000);
        queue.push(person("ben"), 5_001);
        // then each has a turn before anybody has the next one
        let first: Vec<i32> = std::iter::from_fn(|| queue.pop()).take(6).collect();
        assert_eq!(first, [0, 5_000, 6_000, 1, 5_001, 2]);
        assert_eq!((queue.len(), queue.len_of(&person("ana")), queue.len_of(&person("ben"))), (997, 997, 0));
    }

    #[test]
    fn what_is_taken_is_what_was_put_in_and_nothing_is_left() {
        let mut queue = FairQueue::default();
        (0..10).for_each(|n| queue.push(person(&format!("p{}", n % 3)), n));
        let mut all: Vec<i32> = std::iter::from_fn(|| queue.pop()).collect();
        all.sort_unstable();
        assert_eq!(all, (0..10).collect::<Vec<_>>());
        assert!(queue.is_empty() && queue.waiting.is_empty() && queue.turns.is_empty());
    }
}
