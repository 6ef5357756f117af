//! What a power cut may leave of files, from a record of what a process wrote and synced.
//!
//! `strace` writes the record. What was synced before the cut is there; of what was not, each file keeps a beginning of
//! its own length, the last write of it perhaps torn at a sector. A file that is created or removed is so for good once
//! it or its folder was synced, as on ext4 (known failures H1, H2 and H17).

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::chance::Chance;

/// The calls that change a file or make a change last.
const CALLS: &str =
    "openat,pwrite64,write,ftruncate,fallocate,fsync,fdatasync,unlink,unlinkat,rename,renameat,renameat2";
const SECTOR: usize = 512;

/// Runs a program under the recorder. The program stays the child of whoever starts it, so that killing it is as ever.
pub fn recorder(record: &Path) -> Vec<String> {
    let record = record.display().to_string();
    let trace = format!("trace={CALLS}");
    ["strace", "-D", "-f", "-y", "-ttt", "-xx", "-s", "2097152", "-o", &record, "-e", &trace]
        .map(str::to_owned)
        .to_vec()
}

/// One thing that happened to a file. Times are microseconds of the wall clock.
#[derive(Debug)]
struct Happened {
    begun: u64,
    ended: u64,
    what: What,
}

#[derive(Debug)]
enum What {
    Created(PathBuf),
    Wrote { file: PathBuf, offset: Option<u64>, bytes: Vec<u8> },
    Cut { file: PathBuf, length: u64 },
    Grown { file: PathBuf, length: u64 },
    Removed(PathBuf),
    Renamed { from: PathBuf, to: PathBuf },
    Synced(PathBuf),
}

/// All that a process did to the files of one folder.
pub struct Record {
    folder: PathBuf,
    happened: Vec<Happened>,
}

/// The contents of the files of a folder.
pub type Files = BTreeMap<PathBuf, Vec<u8>>;

/// The files of a folder that a start looks at. What SQLite shares between processes (`-shm`) never outlives a machine.
pub fn files_in(folder: &Path) -> Files {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let kept = entries.filter(|path| path.is_file() && !path.to_string_lossy().ends_with("-shm"));
    kept.map(|path| (path.clone(), std::fs::read(&path).unwrap())).collect()
}

/// Makes a folder's files these.
pub fn put_back(folder: &Path, files: &Files) {
    use std::os::unix::fs::PermissionsExt as _;
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_file() {
            std::fs::remove_file(path).unwrap();
        }
    }
    for (path, bytes) in files {
        std::fs::write(path, bytes).unwrap();
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).unwrap();
    }
}

impl Record {
    /// Reads what the recorder wrote, of the files in a folder.
    pub fn read(record: &Path, folder: &Path) -> Self {
        let text = std::fs::read_to_string(record).unwrap();
        let mut unfinished: BTreeMap<&str, (u64, &str)> = BTreeMap::new();
        let mut happened = Vec::new();
        for line in text.lines() {
            let (thread, rest) = line.split_once(' ').unwrap();
            let (at, call) = rest.trim_start().split_once(' ').unwrap();
            let at = micros(at);
            if let Some(begun) = call.strip_suffix(" <unfinished ...>") {
                unfinished.insert(thread, (at, begun));
            } else if let Some(resumed) = call.strip_prefix("<... ") {
                let Some((begun, first)) = unfinished.remove(thread) else { continue };
                let end = resumed.split_once(" resumed>").map_or("", |(_, end)| end);
                happened.extend(parsed(&format!("{first}{end}"), folder, begun, at));
            } else {
                happened.extend(parsed(call, folder, at, at));
            }
        }
        // A sync that was under way when the process was killed made nothing last.
        Self { folder: folder.to_owned(), happened }
    }

    /// How many of the calls are of a kind: for a look at whether the record is one.
    pub fn syncs(&self) -> usize {
        self.happened.iter().filter(|it| matches!(it.what, What::Synced(_))).count()
    }

    /// The first and the last moment of it.
    pub fn moments(&self) -> (u64, u64) {
        let ends = || self.happened.iter().map(|it| it.ended);
        (ends().min().unwrap_or(0), ends().max().unwrap_or(0))
    }

    /// The folder as a power cut at that moment may leave it.
    pub fn cut_at(&self, before: &Files, moment: u64, chance: &mut Chance) -> Files {
        let mut disk = Disk { lasting: before.clone(), waiting: BTreeMap::new(), places: BTreeMap::new() };
        for it in self.happened.iter().filter(|it| it.begun <= moment) {
            match &it.what {
                What::Synced(_) if it.ended > moment => {}
                What::Synced(path) if *path == self.folder => disk.sync_names(it.begun),
                What::Synced(path) => disk.sync(path, it.begun),
                _ => disk.waits(it),
            }
        }
        disk.after_cut(chance)
    }
}

/// What lasts, and what waits for a sync.
struct Disk<'a> {
    lasting: Files,
    waiting: BTreeMap<PathBuf, Vec<&'a Happened>>,
    /// Where the next write without an offset goes.
    places: BTreeMap<PathBuf, u64>,
}

impl<'a> Disk<'a> {
    fn waits(&mut self, it: &'a Happened) {
        if let What::Renamed { from, to } = &it.what {
            // The contents go with the name; both are lasting at the next sync of the folder or of the file.
            let mut carried = self.waiting.remove(from).unwrap_or_default();
            carried.push(it);
            self.waiting.entry(to.clone()).or_default().append(&mut carried);
            return;
        }
        self.waiting.entry(it.what.file().to_owned()).or_default().push(it);
    }

    /// A sync makes last what was done before it was begun.
    fn sync(&mut self, path: &Path, begun: u64) {
        let Some(waiting) = self.waiting.get_mut(path) else { return };
        let before = waiting.iter().take_while(|it| it.ended <= begun).count();
        for it in waiting.drain(..before) {
            perform(&mut self.lasting, &mut self.places, &it.what, None);
        }
    }

    /// A folder that is synced has the names that it shows; what is in the files is another matter.
    fn sync_names(&mut self, begun: u64) {
        let of_names = |it: &Happened| {
            it.ended <= begun && matches!(it.what, What::Created(_) | What::Removed(_) | What::Renamed { .. })
        };
        for waiting in self.waiting.values_mut() {
            let Some(last) = waiting.iter().rposition(|it| of_names(it)) else { continue };
            for it in waiting.drain(..=last) {
                perform(&mut self.lasting, &mut self.places, &it.what, None);
            }
        }
    }

    fn after_cut(mut self, chance: &mut Chance) -> Files {
        for (_, waiting) in std::mem::take(&mut self.waiting) {
            let kept = chance.below(waiting.len() + 1);
            for (index, it) in waiting.iter().take(kept).enumerate() {
                let torn = (index + 1 == kept && chance.one_in(3)).then(|| chance.below(1 << 16));
                perform(&mut self.lasting, &mut self.places, &it.what, torn);
            }
        }
        self.lasting
    }
}

impl What {
    fn file(&self) -> &Path {
        match self {
            Self::Created(file) | Self::Removed(file) | Self::Synced(file) => file,
            Self::Wrote { file, .. } | Self::Cut { file, .. } | Self::Grown { file, .. } => file,
            Self::Renamed { to, .. } => to,
        }
    }
}

fn size(length: u64) -> usize {
    usize::try_from(length).unwrap()
}

/// Performs one change; of a torn write only whole sectors at its beginning.
fn perform(files: &mut Files, places: &mut BTreeMap<PathBuf, u64>, what: &What, torn: Option<usize>) {
    match what {
        What::Created(file) => drop(files.entry(file.clone()).or_default()),
        What::Removed(file) => drop(files.remove(file)),
        What::Renamed { from, to } => {
            if let Some(bytes) = files.remove(from) {
                files.insert(to.clone(), bytes);
            }
        }
        What::Cut { file, length } => files.entry(file.clone()).or_default().resize(size(*length), 0),
        What::Grown { file, length } => {
            let bytes = files.entry(file.clone()).or_default();
            bytes.resize(bytes.len().max(size(*length)), 0);
        }
        What::Wrote { file, offset, bytes } => {
            let place = places.entry(file.clone()).or_default();
            let from = size(offset.unwrap_or(*place));
            if offset.is_none() {
                *place += u64::try_from(bytes.len()).unwrap();
            }
            let whole = bytes.len() / SECTOR;
            let kept = torn.map_or(bytes.len(), |torn| torn % (whole + 1) * SECTOR);
            let into = files.entry(file.clone()).or_default();
            into.resize(into.len().max(from + kept), 0);
            into[from..from + kept].copy_from_slice(&bytes[..kept]);
        }
        What::Synced(_) => {}
    }
}

fn micros(text: &str) -> u64 {
    let (seconds, fraction) = text.split_once('.').unwrap();
    seconds.parse::<u64>().unwrap() * 1_000_000 + fraction.parse::<u64>().unwrap()
}

/// One call of the record, if it succeeded and is of the folder.
fn parsed(call: &str, folder: &Path, begun: u64, ended: u64) -> Option<Happened> {
    let (name, rest) = call.split_once('(')?;
    let (arguments, result) = rest.rsplit_once(") = ")?;
    if result.starts_with('-') || result.starts_with('?') {
        return None;
    }
    let arguments: Vec<&str> = arguments.split(", ").collect();
    let of_descriptor = || path_in(arguments.first()?);
    let number = |index: usize| arguments.get(index)?.parse::<u64>().ok();
    let named = |index: usize| Some(PathBuf::from(String::from_utf8(bytes_in(arguments.get(index)?)).ok()?));
    let what = match name {
        "openat" if arguments.get(2)?.contains("O_CREAT") => What::Created(path_in(result)?),
        "pwrite64" => What::Wrote { file: of_descriptor()?, offset: Some(number(3)?), bytes: bytes_in(arguments[1]) },
        "write" => What::Wrote { file: of_descriptor()?, offset: None, bytes: bytes_in(arguments[1]) },
        "ftruncate" => What::Cut { file: of_descriptor()?, length: number(1)? },
        "fallocate" => What::Grown { file: of_descriptor()?, length: number(2)? + number(3)? },
        "fsync" | "fdatasync" => What::Synced(of_descriptor()?),
        "unlink" => What::Removed(named(0)?),
        "unlinkat" => What::Removed(named(1)?),
        "rename" => What::Renamed { from: named(0)?, to: named(1)? },
        "renameat" | "renameat2" => What::Renamed { from: named(1)?, to: named(3)? },
        _ => return None,
    };
    let file = what.file();
    let ours = file == folder || file.parent() == Some(folder);
    let shared = file.to_string_lossy().ends_with("-shm");
    (ours && !shared).then_some(Happened { begun, ended, what })
}

/// The path beside a descriptor: `3<\x2f\x74>`.
fn path_in(descriptor: &str) -> Option<PathBuf> {
    let (_, path) = descriptor.split_once('<')?;
    Some(PathBuf::from(String::from_utf8(bytes_in(path)).ok()?))
}

/// The bytes of a text that is written as `\x2f\x74`.
fn bytes_in(text: &str) -> Vec<u8> {
    let digits = text.split("\\x").skip(1);
    digits.map(|digits| u8::from_str_radix(&digits[..2], 16).unwrap()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_synced_is_there_and_what_was_not_may_be_gone() {
        // given a record of two writes, of which the first was synced, and of one that was under way
        let folder = tempfile::tempdir().unwrap();
        let (record, path) = (folder.path().join("record"), folder.path().join("file"));
        let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("\\x{byte:02x}")).collect::<String>();
        let name = hex(path.as_os_str().as_encoded_bytes());
        let lines = [
            format!("7 1.000001 openat(AT_FDCWD<{name}>, \"{name}\", O_RDWR|O_CREAT, 0600) = 3<{name}>"),
            format!("7 1.000002 pwrite64(3<{name}>, \"{}\", 2, 0) = 2", hex(b"ab")),
            format!("7 1.000003 fdatasync(3<{name}> <unfinished ...>"),
            format!("8 1.000004 pwrite64(3<{name}>, \"{}\", 2, 2) = 2", hex(b"cd")),
            "7 1.000005 <... fdatasync resumed>) = 0".to_owned(),
            format!("7 1.000006 ftruncate(3<{name}>, 1) = 0"),
        ];
        std::fs::write(&record, lines.join("\n")).unwrap();
        let record = Record::read(&record, folder.path());
        assert_eq!((record.syncs(), record.moments()), (1, (1_000_001, 1_000_006)));
        let mut seen = std::collections::BTreeSet::new();
        for seed in 0..200 {
            let files = record.cut_at(&Files::new(), 1_000_005, &mut Chance::new(seed));
            seen.insert(files.get(&path).cloned());
        }
        // then the synced one is always there, the other only sometimes
        let is = |bytes: &[u8]| Some(bytes.to_vec());
        assert!(seen.is_subset(&[is(b"ab"), is(b"abcd")].into()), "{seen:?}");
        assert_eq!(seen.len(), 2);
        // and before the sync had ended, nothing need be there
        let early = |seed| record.cut_at(&Files::new(), 1_000_004, &mut Chance::new(seed));
        assert!((0..200).any(|seed| early(seed).is_empty()));
    }
}
