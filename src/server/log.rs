//! The log's way to stderr. Whoever writes a line hands it to a thread and goes on: a reader of stderr that stalls, or is
//! gone, costs lines, which are counted, and never a call, a connection or the end of the process (known failure G17).

use std::io::{self, IsTerminal as _, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::time::Duration;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;

use crate::server::config::LogFormat;

/// Lines that wait for a reader, in number and in bytes.
const LINES: usize = 4_096;
const BYTES: usize = 1 << 20;
/// How long an end waits for the lines before it to be written.
const FLUSH_WITHIN: Duration = Duration::from_millis(500);

enum Piece {
    Line(Vec<u8>),
    /// All lines before it are written.
    Flush(SyncSender<()>),
}

/// Where lines are handed in.
#[derive(Clone, Debug)]
pub struct LogSink {
    pieces: SyncSender<Piece>,
    counts: Arc<Counts>,
}

#[derive(Debug, Default)]
struct Counts {
    waiting_bytes: AtomicUsize,
    dropped: AtomicU64,
}

impl LogSink {
    /// A sink whose lines a thread of its own writes.
    ///
    /// # Errors
    /// If there is no thread.
    pub fn to(writer: impl Write + Send + 'static) -> io::Result<Self> {
        let (pieces, waiting) = sync_channel(LINES);
        let counts = Arc::<Counts>::default();
        let counted = Arc::clone(&counts);
        std::thread::Builder::new().name("log".to_owned()).spawn(move || write(writer, &waiting, &counted))?;
        Ok(Self { pieces, counts })
    }

    /// Has the process write its log here, unless it writes one elsewhere already.
    pub(super) fn take_all(&self, format: LogFormat) {
        // As everywhere, a variable that is empty is not set: an empty filter would leave out all but errors.
        let named = std::env::var(EnvFilter::DEFAULT_ENV).ok().filter(|named| !named.is_empty());
        let filter = named.and_then(|named| EnvFilter::try_new(named).ok()).unwrap_or_else(|| EnvFilter::new("info"));
        let log = tracing_subscriber::fmt()
            .with_env_filter(filter)
            .with_ansi(io::stderr().is_terminal())
            .log_internal_errors(false)
            .with_writer(self.clone());
        let _ = match format {
            LogFormat::Text => log.try_init(),
            LogFormat::Json => log.json().try_init(),
        };
    }

    /// How many lines found no room.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.counts.dropped.load(Ordering::Relaxed)
    }

    /// Hands in one line.
    pub fn line(&self, text: &str) {
        self.hand_in(format!("{text}\n").as_bytes());
    }

    /// Waits a moment for the lines that were handed in before.
    pub fn flush(&self) {
        let (written, waited) = sync_channel(1);
        if self.pieces.try_send(Piece::Flush(written)).is_ok() {
            let _ = waited.recv_timeout(FLUSH_WITHIN);
        }
    }

    fn hand_in(&self, line: &[u8]) {
        let waiting = self.counts.waiting_bytes.fetch_add(line.len(), Ordering::Relaxed);
        let sent = if waiting.saturating_add(line.len()) > BYTES {
            false
        } else {
            match self.pieces.try_send(Piece::Line(line.to_vec())) {
                Ok(()) => true,
                Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => false,
            }
        };
        if !sent {
            self.counts.waiting_bytes.fetch_sub(line.len(), Ordering::Relaxed);
            self.counts.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl Write for &LogSink {
    /// Takes one whole line, or drops it; never fails.
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.hand_in(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for LogSink {
    type Writer = &'a Self;

    fn make_writer(&'a self) -> Self::Writer {
        self
    }
}

/// Writes until all that hand lines in are gone. What cannot be written is dropped.
fn write(mut writer: impl Write, waiting: &Receiver<Piece>, counts: &Counts) {
    while let Ok(piece) = waiting.recv() {
        match piece {
            Piece::Line(line) => {
                if writer.write_all(&line).is_err() {
                    counts.dropped.fetch_add(1, Ordering::Relaxed);
                }
                counts.waiting_bytes.fetch_sub(line.len(), Ordering::Relaxed);
            }
            Piece::Flush(written) => {
                let _ = writer.flush();
                let _ = written.try_send(());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Takes bytes only when it is let.
    struct Stalled(Receiver<()>, std::sync::mpsc::Sender<Vec<u8>>);

    impl Write for Stalled {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.recv().map_err(io::Error::other)?;
            self.1.send(bytes.to_vec()).map_err(io::Error::other)?;
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_reader_that_stalls_costs_lines_which_are_counted_and_nobody_waits() {
        // given a sink whose reader takes nothing
        let (go_on, held) = std::sync::mpsc::channel();
        let (sent, taken) = std::sync::mpsc::channel();
        let sink = LogSink::to(Stalled(held, sent)).unwrap();
        // when more is written than may wait
        let line = vec![b'x'; 1_000];
        for _ in 0..5_000 {
            (&sink).write_all(&line).unwrap();
        }
        // then the writers have gone on, and what found no room is counted
        let kept = u64::try_from(BYTES / line.len()).unwrap();
        assert!((5_000 - kept - 1..=5_000 - kept).contains(&sink.dropped()), "{}", sink.dropped());
        // and once the reader goes on, so do the lines
        for _ in 0..kept {
            go_on.send(()).unwrap();
        }
        assert_eq!(taken.iter().take(usize::try_from(kept).unwrap()).count(), usize::try_from(kept).unwrap());
        drop(go_on);
        sink.flush();
        (&sink).write_all(b"gone").unwrap();
        sink.flush();
        assert!(sink.dropped() > 5_000 - kept - 1);
    }
}
