//! Rows that are told to whoever watches: each is read once, however many watch it (known failure G37).

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::OnceCell;

use super::history::{History, HistoryError, PastRow};

/// So many of the newest rows are kept.
const KEPT: usize = 32;

/// The rows that were read lately, and those that are being read.
#[derive(Debug, Default)]
pub(super) struct ToldRows(Mutex<VecDeque<Told>>);

/// A row, once it has been read.
type Read = Arc<OnceCell<Option<Arc<PastRow>>>>;

#[derive(Debug)]
struct Told {
    sequence: u64,
    row: Read,
}

impl ToldRows {
    fn of(&self, sequence: u64) -> Read {
        let mut rows = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // The newest ones are asked for most.
        if let Some(told) = rows.iter().rev().find(|told| told.sequence == sequence) {
            return Arc::clone(&told.row);
        }
        if rows.len() >= KEPT {
            rows.pop_front();
        }
        let row = Read::default();
        rows.push_back(Told { sequence, row: Arc::clone(&row) });
        row
    }

    /// One row of the journal; none if there is none of this number. Who asks for one that is being read waits for that, on
    /// no thread of their own.
    pub(super) async fn row(
        &self,
        history: &Arc<History>,
        sequence: u64,
    ) -> Result<Option<Arc<PastRow>>, HistoryError> {
        let read = self.of(sequence);
        let row = read.get_or_try_init(|| async {
            let history = Arc::clone(history);
            let row = tokio::task::spawn_blocking(move || history.row(sequence)).await;
            row.unwrap_or(Err(HistoryError::BrokeOff)).map(|row| row.map(Arc::new))
        });
        row.await.cloned()
    }
}
