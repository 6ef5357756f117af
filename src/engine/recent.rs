//! The newest events, in memory. They are bounded in number and in bytes: few large ones are as many as many small ones (known
//! failure G35).

use std::collections::VecDeque;
use std::sync::Arc;

use crate::domain::record::event::Event;

/// The newest events, and what each took of the journal.
#[derive(Debug, Default)]
pub struct Recent {
    held: VecDeque<Held>,
    bytes: usize,
    most: usize,
    most_bytes: usize,
}

#[derive(Debug)]
struct Held {
    event: Arc<Event>,
    bytes: usize,
}

impl Recent {
    /// None yet, and at most so many, with so many bytes of rows.
    #[must_use]
    pub fn new(most: usize, most_bytes: usize) -> Self {
        Self { most, most_bytes, ..Self::default() }
    }

    /// Takes the next event in; the oldest ones make room.
    pub(super) fn push(&mut self, event: Arc<Event>, bytes: usize) {
        self.held.push_back(Held { event, bytes });
        self.bytes = self.bytes.saturating_add(bytes);
        while self.held.len() > self.most || self.bytes > self.most_bytes {
            let Some(oldest) = self.held.pop_front() else { return };
            self.bytes = self.bytes.saturating_sub(oldest.bytes);
        }
    }

    /// The sequence of the oldest one that is held.
    pub(super) fn oldest(&self) -> Option<u64> {
        self.held.front().map(|held| held.event.sequence)
    }

    /// The first one after a sequence.
    pub(super) fn after(&self, sequence: u64) -> Option<Arc<Event>> {
        let index = self.held.partition_point(|held| held.event.sequence <= sequence);
        self.held.get(index).map(|held| Arc::clone(&held.event))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::record::event::{Actor, BrokerFact, ClockPair, Fact};
    use crate::domain::value::time::Timestamp;

    fn event(sequence: u64) -> Arc<Event> {
        let clock = ClockPair { wall: Timestamp::MIN, boot_millis: 0, boot_id: String::new() };
        let fact = Fact::Broker(BrokerFact::ClockRead(clock));
        Arc::new(Event { sequence, at: Timestamp::MIN, actor: Actor::Broker, request: None, from: None, fact })
    }

    #[test]
    fn the_oldest_make_room_for_number_and_for_bytes() {
        // given three that fit by number and bytes
        let mut recent = Recent::new(3, 100);
        (1..=3).for_each(|sequence| recent.push(event(sequence), 30));
        assert_eq!(recent.oldest(), Some(1));
        // when one more comes, the oldest goes; when a large one comes, as many as it takes
        recent.push(event(4), 30);
        assert_eq!(recent.oldest(), Some(2));
        recent.push(event(5), 70);
        assert_eq!((recent.oldest(), recent.after(3).map(|it| it.sequence)), (Some(4), Some(4)));
        // and one that alone is too large leaves nothing to resume over, rather than a bound that is none
        recent.push(event(6), 101);
        assert_eq!((recent.oldest(), recent.after(0)), (None, None));
    }
}
