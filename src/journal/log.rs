//! The write-ahead log, emptied: what a stop leaves behind and what a start finds may not lie over the journal's own file
//! (known failure H17).

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use rusqlite::{Connection, ErrorCode};

use super::file;
use super::mark::sync_directory_of;
use super::room;

/// What came of emptying the log.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Emptied {
    /// All of it is in the journal's file, and nothing is in the log: durably.
    Whole,
    /// Somebody reads in it; processes of others that do, as far as the system says.
    Held { by: Vec<u32> },
    /// There is no room to copy it.
    NoRoom,
}

/// Copies the log into the journal's file and cuts it off, which SQLite itself leaves to the next power cut.
pub(super) fn empty(connection: &Connection, journal: &Path) -> Result<Emptied, String> {
    let answer = connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get::<_, i64>(0));
    match answer {
        Ok(0) => {}
        // A reader in the way is told in the row, and is no error.
        Ok(_) => return Ok(held(journal)),
        Err(error) => {
            return match error.sqlite_error_code() {
                Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => Ok(held(journal)),
                _ if room::is_log_whole_after(&error) => Ok(Emptied::NoRoom),
                _ => Err(error.to_string()),
            };
        }
    }
    // No lock of SQLite's is on the log itself, so that it may be opened and closed here.
    match File::open(file::beside(journal, "-wal")) {
        Ok(log) => log.sync_all().map_err(|error| error.to_string())?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error.to_string()),
    }
    sync_directory_of(journal).map_err(|error| error.to_string())?;
    Ok(Emptied::Whole)
}

/// Says who keeps the log from being emptied.
pub(super) fn warn(emptied: &Emptied, when: &str) {
    match emptied {
        Emptied::Whole => {}
        Emptied::Held { by } => {
            let processes = by.iter().map(u32::to_string).collect::<Vec<_>>().join(", ");
            tracing::warn!(processes, "{when} somebody reads the journal, so its log stays beside it: keep both files");
        }
        Emptied::NoRoom => tracing::warn!("{when} the disk is full, so the journal's log stays beside it: make room"),
    }
}

fn held(journal: &Path) -> Emptied {
    let index = fs::metadata(file::beside(journal, "-shm")).map(|metadata| metadata.ino());
    let locks = fs::read_to_string("/proc/locks").unwrap_or_default();
    Emptied::Held { by: index.map(|inode| holders(&locks, inode)).unwrap_or_default() }
}

/// The other processes that hold a lock on a file, by what `/proc/locks` says: `1: POSIX ADVISORY READ 77 08:01:4711 123 123`.
fn holders(locks: &str, inode: u64) -> Vec<u32> {
    let holder = |line: &str| {
        let mut words = line.split_ascii_whitespace().skip_while(|word| !matches!(*word, "READ" | "WRITE")).skip(1);
        let process: u32 = words.next()?.parse().ok()?;
        let locked: u64 = words.next()?.rsplit(':').next()?.parse().ok()?;
        (locked == inode && process != std::process::id()).then_some(process)
    };
    let mut holders: Vec<u32> = locks.lines().filter_map(holder).collect();
    holders.sort_unstable();
    holders.dedup();
    holders
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_holds_a_log_is_read_from_what_the_system_says() {
        let own = std::process::id();
        let locks = format!(
            "1: POSIX  ADVISORY  READ 77 08:01:4711 123 123\n2: POSIX  ADVISORY  READ 77 08:01:4711 128 128\n\
             3: FLOCK  ADVISORY  WRITE 78 08:01:4711 0 EOF\n4: POSIX  ADVISORY  READ 79 08:01:4712 123 123\n\
             5: POSIX  ADVISORY  READ {own} 08:01:4711 123 123\n6: -> POSIX  ADVISORY  WRITE x 08:01:4711 0 0\n"
        );
        assert_eq!(holders(&locks, 4711), [77, 78]);
        assert_eq!(holders(&locks, 1), Vec::<u32>::new());
    }
}
