//! What a replica says in the log: one line at a loss, with its cause, and one when the feed is back. A broker that comes and
//! goes fills no log: of each no more than one loss a minute is told.

use std::collections::BTreeMap;

use super::view::Break;
use crate::clock::BootMillis;
use crate::domain::value::time::Span;
use crate::sdk::ClientError;

/// How often losses of one kind at one broker are told at most.
const EVERY: Span = Span::seconds(60);

/// What became of what is held.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Loss {
    /// The broker closed the feed in good order, as it does when it restarts or a connection is old.
    Closed,
    /// It grows old.
    Lost,
    /// Changes are missing.
    Gap,
    /// It is not believed any more.
    Broken(Break),
}

/// What was told, and when.
#[derive(Debug, Default)]
pub(super) struct Telling {
    told: BTreeMap<(String, Loss), BootMillis>,
    /// Since when the feed is lost, if that was told.
    lost: Option<BootMillis>,
}

impl Telling {
    /// Tells a loss, if it is time to.
    pub(super) fn lost(&mut self, broker: &str, loss: Loss, cause: &ClientError, boot: BootMillis) {
        if loss == Loss::Closed {
            tracing::debug!(broker, "the broker closed the feed");
            return;
        }
        if !self.is_due(broker, loss, boot) {
            return;
        }
        let what = match loss {
            Loss::Closed | Loss::Lost => "the feed was lost: what is known grows old",
            Loss::Gap => "changes are missing: what is known is good until it is too old, no longer",
            Loss::Broken(Break::Refused) => "the broker does not let this account check: everything is denied",
            Loss::Broken(_) => {
                "the feed cannot be believed: everything is denied until all of it has been received anew"
            }
        };
        match loss {
            Loss::Broken(_) => tracing::error!(broker, %cause, "{what}"),
            Loss::Closed | Loss::Lost | Loss::Gap => tracing::warn!(broker, %cause, "{what}"),
        }
    }

    /// Tells that the feed is back, if its loss was told.
    pub(super) fn back(&mut self, broker: &str, boot: BootMillis) {
        if let Some(since) = self.lost.take() {
            tracing::info!(broker, lost_for_ms = boot.since(since).millis(), "the feed is followed again");
        }
    }

    fn is_due(&mut self, broker: &str, loss: Loss, boot: BootMillis) -> bool {
        self.told.retain(|_, told| *told <= boot && boot.since(*told) < EVERY);
        let key = (broker.to_owned(), loss);
        if self.told.contains_key(&key) {
            return false;
        }
        self.told.insert(key, boot);
        self.lost.get_or_insert(boot);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_of_loss_at_each_broker_is_told_once_a_minute() {
        // given losses at two brokers, again and again
        let mut telling = Telling::default();
        let mut told = Vec::new();
        for second in 0..120 {
            for broker in ["one", "two"] {
                if telling.is_due(broker, Loss::Lost, BootMillis::new(second * 1_000)) {
                    told.push((broker, second));
                }
            }
        }
        // then each is told at once, and again after a minute
        assert_eq!(told, [("one", 0), ("two", 0), ("one", 60), ("two", 60)]);
        // and one of another kind does not wait for that
        assert!(telling.is_due("one", Loss::Broken(Break::Digest), BootMillis::new(119_000)));
        // and its end is told once
        assert!(telling.lost.is_some());
        telling.back("one", BootMillis::new(120_000));
        assert!(telling.lost.is_none());
    }
}
