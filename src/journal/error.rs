//! What can go wrong with a journal. Each text says what to do next.

use std::path::PathBuf;

use super::loss::{Loss, Mark};
use super::{BoxError, Head};

/// Why a batch was not acknowledged. The writer's next step depends on which of the two it is.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AppendError {
    /// Known not to have happened: the head is as it was, and the writer may go on.
    #[error("the journal took nothing: {reason}")]
    NotAppended {
        /// Why.
        reason: Refused,
    },
    /// The batch may be there or not, after a failed write, fsync or commit. Nothing that this process reads from the
    /// file from now on proves what is on the disk (known failure H3), so the writer stops for good.
    #[error("the journal's state is unknown: {what}; stop the broker, look at the disk and start it again")]
    Unknown {
        /// What failed.
        what: String,
    },
}

/// Why a journal took nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// The caller's picture of the journal is not the journal's.
    #[error("it is at {head}, not at {expected}; read what is new first")]
    HeadMoved {
        /// What the caller named.
        expected: Head,
        /// Where the journal is.
        head: Head,
    },
    /// There is nothing to append.
    #[error("the batch has no rows; append at least one")]
    Empty,
    /// Sequences count on from the head, one by one.
    #[error("row {found} stands where row {wanted} belongs; number rows on from the head")]
    OutOfSequence {
        /// The number that follows.
        wanted: u64,
        /// The number given.
        found: u64,
    },
    /// The body is longer than [`super::MAX_BODY_BYTES`].
    #[error("row {sequence} has {bytes} bytes, over the limit of 1048576; send less")]
    TooLarge {
        /// The row.
        sequence: u64,
        /// Its length.
        bytes: usize,
    },
    /// The body is not what a body must be.
    #[error("row {sequence}: {fault}")]
    Malformed {
        /// The row.
        sequence: u64,
        /// What is wrong.
        fault: Fault,
    },
    /// No room on the disk, or the size limit is reached.
    #[error("the disk is full; make room and try again")]
    DiskFull,
    /// Its log could not be copied into its file: everything acknowledged is in the log, and there it stays for now.
    #[error("its log cannot be copied into its file ({what}); make room on its disk, it is tried again by itself")]
    NotCopied {
        /// What the store said.
        what: String,
    },
    /// Something stands in the file that is not the journal's.
    #[error("its file holds {what}, which does not belong in it; run `{remedy}` in it with `sqlite3`")]
    Foreign {
        /// What.
        what: String,
        /// The statement that removes it.
        remedy: String,
    },
    /// The journal's own tables are not what they were.
    #[error("{what}; stop the broker and restore a copy that `countersign audit verify` accepts")]
    Altered {
        /// What is wrong.
        what: String,
    },
    /// Somebody else holds the file's write lock, or memory ran out.
    #[error("the journal is busy ({what}); try again")]
    Busy {
        /// What the store said.
        what: String,
    },
}

impl Refused {
    /// Whether the same batch may be taken later, when somebody has done something about it.
    #[must_use]
    pub fn may_pass(&self) -> bool {
        match self {
            Self::DiskFull | Self::NotCopied { .. } | Self::Foreign { .. } | Self::Altered { .. } => true,
            Self::Busy { .. } => true,
            Self::HeadMoved { .. } | Self::Empty | Self::OutOfSequence { .. } => false,
            Self::TooLarge { .. } | Self::Malformed { .. } => false,
        }
    }
}

/// What is wrong with one row.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// The chain breaks here.
    #[error(
        "its hash is not that of the row before it and its body: the body, the hash or the journal's id was changed"
    )]
    Hash,
    /// A number is left out.
    #[error("it is missing: row {found} follows")]
    Missing {
        /// The next number there is.
        found: i64,
    },
    /// A number that no row of a journal has.
    #[error("a row numbered {found} stands in its place")]
    OutOfPlace {
        /// The number there.
        found: i64,
    },
    /// The column and the body disagree.
    #[error("its body says `seq` {body}")]
    OtherSequence {
        /// What the body says.
        body: u64,
    },
    /// Not one JSON object with a `seq`.
    #[error("its body is not one JSON object with a `seq`: {what}")]
    NotJson {
        /// What the parser said.
        what: String,
    },
    /// A value of another type than text or blob, or no UTF-8.
    #[error("column `{column}` is not {wanted}")]
    Column {
        /// Which.
        column: &'static str,
        /// What it should be.
        wanted: &'static str,
    },
    /// Longer than [`super::MAX_BODY_BYTES`].
    #[error("its body has {bytes} bytes, over the limit of 1048576")]
    TooLarge {
        /// Its length.
        bytes: usize,
    },
    /// `last` must stand on a batch's last row and on no other.
    #[error("`last` must be true on the last row of a batch and absent from the others")]
    Last,
    /// The store cannot read it.
    #[error("it cannot be read: {what}")]
    Unreadable {
        /// What the store said.
        what: String,
    },
}

/// Why a journal could not be created, opened or verified.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// There is none.
    #[error("no journal at `{}`: run `countersign init`, or name another file", path.display())]
    Missing {
        /// Where it was looked for.
        path: PathBuf,
    },
    /// There is one already.
    #[error("`{}` exists: a journal is never overwritten, name another file", path.display())]
    Exists {
        /// The file.
        path: PathBuf,
    },
    /// A mark lies where the journal is to be made, and says that there was one.
    #[error(
        "`{}` says that a journal was here, up to {}: bring that journal back, or move its mark, and its log if one is there, away to begin anew", path.display(), mark.head
    )]
    MarkOfAnother {
        /// The mark's file.
        path: PathBuf,
        /// What it says.
        mark: Mark,
    },
    /// The mark to compare with is that of another journal, or cannot be read.
    #[error("the end cannot be compared: {0}; name the mark that belongs to this journal")]
    Mark(Loss),
    /// Another broker has it (known failure H16).
    #[error("another broker has the journal `{}` open: stop it first", path.display())]
    InUse {
        /// The journal.
        path: PathBuf,
    },
    /// A lock there does not keep a second broker out (known failure H16).
    #[error(
        "`{}` lies on {name}, where a lock does not keep a second broker out: move the journal to a disk of this host, in a container to a volume", path.display()
    )]
    FileSystem {
        /// The file or its folder.
        path: PathBuf,
        /// The kind of file system.
        name: &'static str,
    },
    /// Something stands in it that is not the journal's.
    #[error("the journal's file holds {what}, which does not belong in it: run `{remedy}` in it with `sqlite3`")]
    Foreign {
        /// What.
        what: String,
        /// The statement that removes it.
        remedy: String,
    },
    /// Others than the owner could read or write it (known failure H15).
    #[error("`{}` has mode {mode:04o}, open to others than its owner: run `chmod 600` on it", path.display())]
    LooseMode {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// Neither a regular file nor the journal's own.
    #[error("`{}` is not a regular file: name the journal's file itself", path.display())]
    NotAFile {
        /// The path.
        path: PathBuf,
    },
    /// What is written there would be written into another file.
    #[error(
        "`{}` is a link or another name of a file beside it, which would be written over: move it away, and keep it",
        path.display()
    )]
    Linked {
        /// The path.
        path: PathBuf,
    },
    /// A log lies where the journal is to be made.
    #[error(
        "`{}` is the log of a journal that is not here and may hold what that acknowledged last: bring that journal back, or move its log away",
        path.display()
    )]
    LogOfAnother {
        /// The log.
        path: PathBuf,
    },
    /// The store in this build is too old, or does not do what it is asked to (known failures H2 and H4).
    #[error("this build cannot keep a journal safely: {what}; use a released build")]
    Unsafe {
        /// What is wrong.
        what: String,
    },
    /// Not a journal, or of another format, or somebody changed its tables.
    #[error("not a journal of this version: {what}; restore it from a copy that `countersign audit verify` accepts")]
    NotAJournal {
        /// What is wrong.
        what: String,
    },
    /// The first bad row (known failure H5).
    #[error(
        "row {sequence} is bad: {fault}; keep this file as evidence and restore a copy that `countersign audit verify` accepts"
    )]
    Broken {
        /// Which.
        sequence: u64,
        /// What is wrong with it.
        fault: Fault,
    },
    /// The chain does not pass through the head that the caller knows (known failures H6 and H7).
    #[error(
        "row {} is not the one that was expected: expected {expected}, found {found}; the end was cut off or the journal rewritten, compare with a copy", expected.sequence
    )]
    HeadDiffers {
        /// What the caller knows.
        expected: Head,
        /// The chain at that row, or its last row if it ends before.
        found: Head,
    },
    /// The caller could not use a row.
    #[error(
        "row {sequence} was not understood: {source}; use the version of countersign that wrote it, or a later one"
    )]
    Refused {
        /// Which.
        sequence: u64,
        /// What the caller said.
        source: BoxError,
    },
    /// The file system or the store failed.
    #[error("the journal `{}` cannot be opened: {what}; check the path, its permissions and the disk", path.display())]
    Store {
        /// The file.
        path: PathBuf,
        /// What failed.
        what: String,
    },
}

/// Why rows could not be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// A row is bad or missing, though the chain was verified at start.
    #[error("row {sequence} is bad: {fault}; run `countersign audit verify` on the journal")]
    Broken {
        /// Which.
        sequence: u64,
        /// What is wrong with it.
        fault: Fault,
    },
    /// The store failed.
    #[error("the journal cannot be read: {what}; try again, and look at the disk if it stays so")]
    Store {
        /// What it said.
        what: String,
    },
}
