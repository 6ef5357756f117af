//! Files that are named, read with an end: neither one that goes on for ever nor a pipe that nobody writes holds whoever reads.

use std::io::{self, Read as _};
use std::path::Path;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

/// How long a file that is none, a pipe say, has to come to its end where nothing else is said.
#[cfg(any(feature = "command", feature = "server"))]
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

/// The whole file, if it has at most so many bytes. What is no regular file has to come to its end in time: opening a pipe
/// waits for who writes, and reading it for who closes.
///
/// # Errors
/// If it cannot be read, is longer, or does not end in time.
pub(crate) fn read(path: &Path, most_bytes: u64, within: Duration) -> io::Result<Vec<u8>> {
    if std::fs::metadata(path)?.is_file() {
        return read_bounded(path, most_bytes);
    }
    let (sender, receiver) = mpsc::sync_channel(1);
    let pipe = path.to_owned();
    // Nothing ends a thread that opens a pipe but the end of the process, or whoever writes at last.
    thread::Builder::new().name("reading".to_owned()).spawn(move || {
        let _ = sender.send(read_bounded(&pipe, most_bytes));
    })?;
    receiver.recv_timeout(within).unwrap_or_else(|_| {
        let text = format!(
            "it is no regular file, and nobody wrote it to its end within {} ms; name a file",
            within.as_millis()
        );
        Err(io::Error::new(io::ErrorKind::TimedOut, text))
    })
}

fn read_bounded(path: &Path, most_bytes: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    std::fs::File::open(path)?.take(most_bytes.saturating_add(1)).read_to_end(&mut bytes)?;
    if u64::try_from(bytes.len()).unwrap_or(u64::MAX) > most_bytes {
        return Err(io::Error::other(format!("it is over {most_bytes} bytes, and no file here is as long")));
    }
    Ok(bytes)
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn a_pipe_that_nobody_writes_is_given_up_and_one_that_ends_is_read() {
        let directory = tempfile::tempdir().unwrap();
        let pipe = directory.path().join("pipe");
        assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        // given a pipe that nobody writes
        let error = read(&pipe, 10, Duration::from_millis(50)).unwrap_err();
        assert!(error.to_string().contains("nobody wrote it to its end within 50 ms"), "{error}");
        // given one that is written, as a shell's `<(…)` is
        let other = directory.path().join("other");
        assert!(std::process::Command::new("mkfifo").arg(&other).status().unwrap().success());
        let writes = other.clone();
        let writer = thread::spawn(move || std::fs::write(writes, "words").unwrap());
        assert_eq!(read(&other, 10, Duration::from_secs(60)).unwrap(), b"words");
        writer.join().unwrap();
    }
}
