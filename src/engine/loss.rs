//! A journal whose end may be missing: whether the start goes on (known failure H17).

use super::outcome::Halt;
use crate::domain::record::event::{ChainHead, LossAccepted, MarkRead};
use crate::journal::{Lost, Mark, random_id};

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
            tracing::warn!(%lost, "the loss is accepted once this start is recorded: grants are revoked, requests cancelled, everything is locked");
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
}
