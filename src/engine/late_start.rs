//! A start that the journal does not take yet: its disk is full, say. Checks, reads and the feed go on from what was
//! durable before; nothing is decided until the start is recorded (known failure H25).

use super::outcome::Halt;
use super::writer::{Failed, Writer};
use crate::domain::state::State;
use crate::journal::AppendError;

impl Writer {
    /// Leaves the start for later, if the journal may take it later. Not one that revokes: until that is recorded, checks
    /// would allow what is to be revoked.
    pub(super) fn put_off(&mut self, error: AppendError, revokes: bool) -> Result<(), Halt> {
        let reason = match error {
            AppendError::NotAppended { reason } if reason.may_pass() => reason,
            AppendError::NotAppended { .. } | AppendError::Unknown { .. } => return Err(error.into()),
        };
        if revokes {
            return Err(Halt::MustRevoke(reason));
        }
        if self.waits_for.as_ref() != Some(&reason) {
            tracing::error!(%reason, "the start cannot be recorded yet: reads and checks go on, commands are refused");
        }
        // What the start led to did not happen.
        self.state = self.view.read(State::clone);
        self.waits_for = Some(reason);
        self.held_back = true;
        Ok(())
    }

    /// Records a start that was put off, before anything else is decided.
    pub(super) fn begin_at_last(&mut self) -> Result<(), Failed> {
        if self.waits_for.is_none() {
            return Ok(());
        }
        match self.begin() {
            Ok(()) => match &self.waits_for {
                None => {
                    tracing::info!("the start is recorded, commands are taken again");
                    Ok(())
                }
                Some(reason) => Err(Failed::NotAppended(reason.clone())),
            },
            Err(error) => {
                tracing::error!(%error, "the start cannot be recorded");
                Err(Failed::Unknown)
            }
        }
    }
}
