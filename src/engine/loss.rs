//! A journal whose end may be missing: whether the start goes on, and how the mark is watched (known failure H17).

use super::outcome::Halt;
use crate::clock::BootMillis;
use crate::domain::record::event::{ChainHead, LossAccepted, MarkRead};
use crate::domain::value::time::Span;
use crate::journal::{Lost, Mark, MarkStanding, random_id};

/// A mark is written a tenth of a second after what it tells of. One that is so late is not being written.
const LATE: Span = Span::seconds(5);

/// What an operator accepts of what is lost; none if nothing is.
///
/// # Errors
/// If something is lost, and it was not said up to where.
pub(super) fn accepted(lost: Option<Lost>, said: Option<u64>) -> Result<Option<LossAccepted>, Halt> {
    match (lost, said) {
        (None, None) => Ok(None),
        (None, Some(_)) => {
            tracing::info!("the journal holds all that its head mark says: `--accept-loss` has nothing to accept");
            Ok(None)
        }
        (Some(lost), Some(said)) if said == lost.head.sequence => {
            tracing::warn!(%lost, "the loss is accepted: grants are revoked, requests cancelled, everything is locked");
            let mark = lost.mark().map(|Mark { journal, head }| MarkRead {
                journal,
                sequence: head.sequence,
                hash: head.hash,
            });
            let head = ChainHead { sequence: lost.head.sequence, hash: lost.head.hash };
            Ok(Some(LossAccepted { mark, head, journal: random_id() }))
        }
        (Some(lost), said) => Err(Halt::Lost { lost, said }),
    }
}

/// Watches whether the mark keeps up.
#[derive(Debug, Default)]
pub(super) struct MarkWatch {
    /// A row that the mark has not come to, and since when it is waited for.
    awaited: Option<(u64, BootMillis)>,
}

impl MarkWatch {
    /// Whether the mark cannot be written: then nothing that gives access is done, since it could be lost without a word.
    pub(super) fn hinders(&mut self, mark: Option<MarkStanding>, head: u64, boot: BootMillis) -> bool {
        let Some(mark) = mark else { return false };
        if mark.failing.is_some() {
            return true;
        }
        if mark.sequence >= head {
            self.awaited = None;
            return false;
        }
        match self.awaited {
            Some((row, since)) if mark.sequence < row => boot.since(since) >= LATE,
            _ => {
                self.awaited = Some((head, boot));
                false
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::value::ids::Digest;
    use crate::journal::{Head, Loss};

    fn lost() -> Lost {
        let head = |sequence: u64| Head { sequence, hash: Digest::of(&sequence.to_be_bytes()) };
        let journal = random_id();
        Lost { journal, head: head(92), loss: Loss::Behind(Mark { journal, head: head(120) }) }
    }

    #[test]
    fn a_loss_is_accepted_by_the_row_that_is_left_and_by_no_other() {
        assert_eq!(accepted(None, None).unwrap(), None);
        assert_eq!(accepted(None, Some(92)).unwrap(), None);
        let fact = accepted(Some(lost()), Some(92)).unwrap().unwrap();
        assert_eq!((fact.head.sequence, fact.mark.as_ref().unwrap().sequence), (92, 120));
        assert_ne!(fact.journal, fact.mark.unwrap().journal);
        let silent = accepted(Some(lost()), None).unwrap_err().to_string();
        for part in ["92:", "120:", "--accept-loss 92", "evidence", "revokes"] {
            assert!(silent.contains(part), "{part}: {silent}");
        }
        let other = accepted(Some(lost()), Some(120)).unwrap_err().to_string();
        assert!(other.contains("not at 120") && other.contains("--accept-loss 92"), "{other}");
    }

    #[test]
    fn a_mark_that_lags_is_waited_for_and_one_that_fails_or_hangs_hinders() {
        let at = |sequence| Some(MarkStanding { sequence, failing: None });
        let boot = |millis| BootMillis::new(millis);
        let mut watch = MarkWatch::default();
        assert!(!watch.hinders(None, 7, boot(0)));
        assert!(!watch.hinders(at(7), 7, boot(0)));
        // given a mark that follows, always a little behind
        for second in 0..100_u32 {
            let (marked, head) = (u64::from(second), u64::from(second) + 3);
            assert!(!watch.hinders(at(marked), head, boot(i64::from(second) * 1_000)));
        }
        // given one that stays where it is
        let mut watch = MarkWatch::default();
        assert!(!watch.hinders(at(7), 8, boot(10_000)));
        assert!(!watch.hinders(at(7), 9, boot(14_999)));
        assert!(watch.hinders(at(7), 9, boot(15_000)));
        assert!(!watch.hinders(at(8), 9, boot(15_001)));
        assert!(!watch.hinders(at(9), 9, boot(15_002)));
        // given one that fails
        assert!(watch.hinders(Some(MarkStanding { sequence: 9, failing: Some("no".into()) }), 9, boot(15_003)));
    }
}
