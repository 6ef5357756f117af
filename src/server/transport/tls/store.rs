//! The TLS configuration in force. Files are read again without a restart; a broken new file leaves the old configuration in
//! force.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;

use super::files::{Files, Loaded, TlsMistake, TlsSettings};
use super::verifier::{NowSource, PeerVerifier};
use crate::domain::value::ids::Digest;
use crate::domain::value::time::Timestamp;

/// The TLS configuration in force, read again when its files change.
pub struct TlsStore {
    settings: TlsSettings,
    now: NowSource,
    current: ArcSwap<Loaded>,
    generation: AtomicU64,
    /// The content that failed last, so that the same broken files are logged once.
    failed: Mutex<Option<Digest>>,
}

/// What reading the files again came to.
#[derive(Debug, PartialEq, Eq)]
pub enum Reloaded {
    /// The files are as they were.
    Unchanged,
    /// New files are in force.
    Changed,
    /// The new files are broken in the same way as at the last look; the old ones stay in force.
    StillBroken,
}

impl TlsStore {
    /// Reads and checks all files.
    ///
    /// # Errors
    /// Every mistake in them, each with its file and what would be right.
    pub fn load(settings: TlsSettings, now: NowSource) -> Result<Arc<Self>, Vec<TlsMistake>> {
        let files = Files::read(&settings)?;
        let loaded = files.build(&settings, &now, 1)?;
        Ok(Arc::new(Self {
            settings,
            now,
            current: ArcSwap::from_pointee(loaded),
            generation: AtomicU64::new(1),
            failed: Mutex::new(None),
        }))
    }

    /// When the first certificate of the broker's chain ends, and when the first of the authorities does, as far as that can be
    /// read.
    #[must_use]
    pub fn ends(&self) -> (Option<Timestamp>, Option<Timestamp>) {
        let loaded = self.current.load();
        (loaded.broker_end, loaded.authority_end)
    }

    /// Reads the files again. Connections that are open are verified against the new authorities at their next call.
    ///
    /// # Errors
    /// Every mistake in the new files; the old ones stay in force.
    pub fn reload(&self) -> Result<Reloaded, Vec<TlsMistake>> {
        let files = Files::read(&self.settings)?;
        let content = files.content();
        if content == self.current.load().content {
            return Ok(Reloaded::Unchanged);
        }
        let mut failed = self.failed.lock().unwrap_or_else(PoisonError::into_inner);
        if *failed == Some(content) {
            return Ok(Reloaded::StillBroken);
        }
        let generation = self.generation.fetch_add(1, Ordering::AcqRel).saturating_add(1);
        match files.build(&self.settings, &self.now, generation) {
            Ok(loaded) => {
                *failed = None;
                self.current.store(Arc::new(loaded));
                Ok(Reloaded::Changed)
            }
            Err(mistakes) => {
                *failed = Some(content);
                Err(mistakes)
            }
        }
    }

    /// The time, as the broker's clock has it.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        (self.now)()
    }

    pub(crate) fn current(&self) -> Arc<Loaded> {
        self.current.load_full()
    }

    pub(crate) fn verifier(&self) -> (u64, Arc<PeerVerifier>) {
        let loaded = self.current.load();
        (loaded.generation, Arc::clone(&loaded.verifier))
    }
}

impl fmt::Debug for TlsStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsStore").field("settings", &self.settings).finish_non_exhaustive()
    }
}
