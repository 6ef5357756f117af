//! What a notifier keeps over restarts, in one file: how far it has read, what it waits for, and what it has yet to send.
//! The file is written whole before anything that it says is acted on.

use std::collections::{BTreeMap, VecDeque};
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::cli::term::failure::Failure;
use crate::domain::value::ids::Digest;
use crate::domain::value::time::{Span, Timestamp};

/// Pauses between attempts double, up to this.
const LONGEST_PAUSE: Span = Span::seconds(5 * 60);

/// How far a notifier has come.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Progress {
    /// The sequence of the last event that was read; none: it never read any.
    pub(super) place: Option<u64>,
    /// The journal in which that is its place; none: it never asked.
    #[serde(default)]
    pub(super) journal: Option<String>,
    /// The instant of that event.
    pub(super) time: Option<Timestamp>,
    /// What is not over yet, by `elevation:<id>`, `enrolment:<id>`, `proposal:<id>` or `grant:<id>`.
    #[serde(default)]
    pub(super) open: BTreeMap<String, Open>,
    /// What is to be sent, in order.
    #[serde(default)]
    pub(super) queue: VecDeque<Waiting>,
}

/// Something that is not over.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Open {
    /// The stage that was last announced as open.
    #[serde(default)]
    pub(super) stage: u32,
    /// How many stages of it were announced.
    #[serde(default)]
    pub(super) openings: u32,
    /// When its reminder is to be sent, unless it was: half of its time is gone, or its end is near.
    #[serde(default)]
    pub(super) due: Option<Timestamp>,
    /// That its reminder was sent.
    #[serde(default)]
    pub(super) reminded: bool,
}

/// What a notification tells of as waiting: under review, about to end, or owed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct WaitsFor {
    /// `elevation`, `enrolment`, `proposal`, `grant` or `follow_up`.
    pub(super) kind: String,
    /// Its id; of a follow-up that of the elevation.
    pub(super) id: String,
    /// Under review, the stage that decisions are awaited in; none: whichever.
    pub(super) stage: Option<u64>,
}

impl WaitsFor {
    /// All that could be told of one thing.
    pub(super) fn any_stage(kind: &str, id: &str) -> Self {
        Self { kind: kind.to_owned(), id: id.to_owned(), stage: None }
    }

    /// What a notification tells of as waiting; none: it tells what has happened.
    #[must_use]
    pub(super) fn told_by(message: &Value) -> Option<Self> {
        let text = |key: &str| message.get(key).and_then(Value::as_str);
        let (kind, what) = text("type")?.split_once('.')?;
        let id = match (kind, what) {
            ("elevation" | "enrolment" | "proposal", "opened" | "half_time") | ("grant", "ending") => text(kind)?,
            ("follow_up", "opened" | "overdue") => text("elevation")?,
            _ => return None,
        };
        let stage = message.get("stage").and_then(|stage| stage.get("number")).and_then(Value::as_u64);
        Some(Self { kind: kind.to_owned(), id: id.to_owned(), stage })
    }

    fn includes(&self, told: &Self) -> bool {
        self.kind == told.kind && self.id == told.id && (self.stage.is_none() || self.stage == told.stage)
    }
}

/// A notification on its way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Waiting {
    /// What is sent.
    pub(super) message: Value,
    /// How often it was begun.
    #[serde(default)]
    pub(super) attempts: u32,
    /// Not before this.
    pub(super) not_before: Timestamp,
}

impl Progress {
    /// Queues a notification. Its id comes from `key`, which is the same for the same thing, whoever notices it and
    /// when.
    pub(super) fn enqueue(&mut self, key: &str, mut message: Value, now: Timestamp) {
        let hash = Digest::of(key.as_bytes()).to_string();
        if let Value::Object(fields) = &mut message {
            fields.insert("id".to_owned(), format!("ntf_{}", hash.get(..32).unwrap_or(&hash)).into());
        }
        self.queue.push_back(Waiting { message, attempts: 0, not_before: now });
    }

    /// Whether it knows where it is: nowhere yet, or in the journal of this id, which has come so far.
    ///
    /// # Errors
    /// Why its place means nothing there.
    pub(super) fn is_of(&self, journal: &str, sequence: u64) -> Result<(), String> {
        let Some(place) = self.place else { return Ok(()) };
        match &self.journal {
            Some(own) if own != journal => {
                Err(format!("its place is in another journal (`{own}`, and this is `{journal}`)"))
            }
            _ if place > sequence => Err(format!(
                "its place is event {place}, and this journal ends at {sequence}: it is another one, or lost its end"
            )),
            _ => Ok(()),
        }
    }

    /// Something is over, or waits for others by now: what would tell of it as waiting is told no more.
    pub(super) fn forget_waiting(&mut self, of: &WaitsFor) {
        self.queue.retain(|waiting| WaitsFor::told_by(&waiting.message).is_none_or(|told| !of.includes(&told)));
    }

    /// The first that may be sent now.
    #[must_use]
    pub(super) fn next(&self, now: Timestamp) -> Option<usize> {
        self.queue.iter().position(|waiting| waiting.not_before <= now)
    }

    /// When there is something to do without an event.
    #[must_use]
    pub(super) fn wakes_at(&self) -> Option<Timestamp> {
        let due = self.open.values().filter_map(|open| open.due);
        due.chain(self.queue.iter().map(|waiting| waiting.not_before)).min()
    }

    /// What is due by now, by its key.
    #[must_use]
    pub(super) fn due(&self, now: Timestamp) -> Vec<String> {
        let due = self.open.iter().filter(|(_, open)| open.due.is_some_and(|at| at <= now));
        due.map(|(key, _)| key.clone()).collect()
    }
}

impl Waiting {
    /// It is begun once more: should it fail, it waits, longer each time.
    pub(super) fn begin(&mut self, now: Timestamp) {
        self.attempts = self.attempts.saturating_add(1);
        let doubled = 1_u32.checked_shl(self.attempts.min(20)).unwrap_or(u32::MAX);
        self.not_before = now.plus(Span::seconds(doubled).min(LONGEST_PAUSE));
        if let Value::Object(fields) = &mut self.message {
            fields.insert("attempt".to_owned(), self.attempts.into());
        }
    }
}

/// The file, which one notifier has at a time.
#[derive(Debug)]
pub(super) struct Store {
    path: PathBuf,
    lock: File,
}

impl Store {
    /// Opens it, or begins one.
    ///
    /// # Errors
    /// What is wrong with it, and what to do.
    pub(super) fn open(path: &Path) -> Result<(Self, Progress), String> {
        let shown = path.display();
        match fs::symlink_metadata(path) {
            Ok(found) if found.is_symlink() || (found.is_file() && found.nlink() > 1) => {
                let why = "under another name another notifier may have it; name the file";
                return Err(format!("`{shown}` is a link: {why}"));
            }
            Ok(found) if !found.is_file() => return Err(format!("`{shown}` is no file; name another")),
            _ => {}
        }
        let lock = locked(&beside(path, ".lock")).map_err(|why| match why {
            NotLocked::Taken => format!("another notifier has `{shown}`: one at a time, or everything is sent twice"),
            NotLocked::Unusable(why) => format!("`{shown}.lock`: {why}"),
        })?;
        let progress = match fs::read(path) {
            Ok(bytes) => serde_json::from_slice(&bytes).map_err(|error| {
                format!("`{shown}` is damaged ({error}); remove it, and what is open is announced anew")
            })?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Progress::default(),
            Err(error) => return Err(format!("`{shown}`: {error}")),
        };
        Ok((Self { path: path.to_owned(), lock }, progress))
    }

    /// The failure of a file that is of another journal, or of more than there is, and what to do.
    #[must_use]
    pub(super) fn lost(&self, why: &str) -> Failure {
        Failure::Conflict(format!(
            "`{}`: {why}; move it away, and notify begins at this journal's end and announces anew what is open",
            self.path.display()
        ))
    }

    /// Writes it: whole or not at all, whenever the machine stops.
    ///
    /// # Errors
    /// If it cannot be written.
    pub(super) fn write(&self, progress: &Progress) -> Result<(), String> {
        let lock = beside(&self.path, ".lock");
        if !stands(&lock, &self.lock).unwrap_or(false) {
            return Err(format!(
                "`{}` is no longer the lock that this notifier holds: it was removed or exchanged, and another may have \
                 `{}` by now; end all of them and start one",
                lock.display(),
                self.path.display()
            ));
        }
        let new = beside(&self.path, ".new");
        let written = || -> io::Result<()> {
            // What a notifier that was killed has left, or somebody has put there, is not written through.
            let _ = fs::remove_file(&new);
            let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&new)?;
            file.write_all(&serde_json::to_vec(progress)?)?;
            file.sync_all()?;
            fs::rename(&new, &self.path)?;
            let folder = self.path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
            File::open(folder)?.sync_all()
        };
        written().map_err(|error| format!("`{}` cannot be written: {error}", self.path.display()))
    }
}

/// Why there is no lock.
enum NotLocked {
    Taken,
    Unusable(String),
}

/// The lock's file, which is followed through no link: by one, two notifiers would lock two files. It still stands under its
/// name once it is locked, or whoever comes next would lock another.
fn locked(path: &Path) -> Result<File, NotLocked> {
    let unusable = |error: io::Error| {
        let is_link = error.raw_os_error() == Some(rustix::io::Errno::LOOP.raw_os_error());
        NotLocked::Unusable(if is_link { "it is a link; remove it".to_owned() } else { error.to_string() })
    };
    let no_follow = i32::try_from(rustix::fs::OFlags::NOFOLLOW.bits()).unwrap_or_default();
    let mut options = fs::OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false).mode(0o600).custom_flags(no_follow);
    let file = options.open(path).map_err(unusable)?;
    let ours = file.metadata().map_err(unusable)?;
    if !ours.is_file() || ours.nlink() > 1 {
        return Err(NotLocked::Unusable("it is no file of its own; remove it".to_owned()));
    }
    file.try_lock().map_err(|_| NotLocked::Taken)?;
    if !stands(path, &file).map_err(unusable)? {
        return Err(NotLocked::Unusable("it was exchanged while it was locked; try again".to_owned()));
    }
    Ok(file)
}

/// Whether a file is still the one under its name.
fn stands(path: &Path, file: &File) -> io::Result<bool> {
    let (named, held) = (fs::symlink_metadata(path)?, file.metadata()?);
    Ok((named.dev(), named.ino()) == (held.dev(), held.ino()))
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_millis(seconds * 1_000).unwrap()
    }

    #[test]
    fn what_is_kept_comes_back_and_one_notifier_has_it() {
        // given what a notifier kept
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notify.json");
        let (store, mut progress) = Store::open(&path).unwrap();
        assert_eq!(progress, Progress::default());
        progress.place = Some(7);
        progress.open.insert("grant:x".into(), Open { due: Some(at(9)), ..Open::default() });
        progress.enqueue("elevation.opened:x:1", json!({ "type": "elevation.opened" }), at(1));
        store.write(&progress).unwrap();
        // then nobody else has it meanwhile, and it is there for the next
        assert!(Store::open(&path).unwrap_err().contains("another notifier"));
        drop(store);
        assert_eq!(Store::open(&path).unwrap().1, progress);
        // and under another name nobody has it beside
        for (name, link) in [("soft", true), ("hard", false)] {
            let other = folder.path().join(name);
            if link { std::os::unix::fs::symlink(&path, &other) } else { fs::hard_link(&path, &other) }.unwrap();
            assert!(Store::open(&other).unwrap_err().contains("is a link"), "{name}");
            fs::remove_file(&other).unwrap();
        }
        // and its lock is no link either, by which two would lock two files
        for link in [true, false] {
            let (lock, elsewhere) = (folder.path().join("notify.json.lock"), folder.path().join("elsewhere"));
            fs::remove_file(&lock).unwrap();
            fs::write(&elsewhere, "").unwrap();
            if link { std::os::unix::fs::symlink(&elsewhere, &lock) } else { fs::hard_link(&elsewhere, &lock) }
                .unwrap();
            let refused = Store::open(&path).unwrap_err();
            assert!(refused.contains("notify.json.lock`: it is") && refused.ends_with("remove it"), "{refused}");
        }
        fs::remove_file(folder.path().join("notify.json.lock")).unwrap();
        // and what is in the way is not written through
        let (victim, new) = (folder.path().join("victim"), folder.path().join("notify.json.new"));
        fs::write(&victim, "theirs").unwrap();
        std::os::unix::fs::symlink(&victim, &new).unwrap();
        Store::open(&path).unwrap().0.write(&progress).unwrap();
        assert_eq!(fs::read_to_string(&victim).unwrap(), "theirs");
        // and what is damaged is said to be
        std::fs::write(&path, "{").unwrap();
        assert!(Store::open(&path).unwrap_err().contains("damaged"));
    }

    #[test]
    fn a_notifier_whose_lock_was_removed_writes_no_more() {
        for exchanged in [false, true] {
            // given a notifier that runs
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("notify.json");
            let (store, mut progress) = Store::open(&path).unwrap();
            progress.place = Some(7);
            store.write(&progress).unwrap();
            // when its lock is removed, and another one begins by that
            fs::remove_file(folder.path().join("notify.json.lock")).unwrap();
            let other = exchanged.then(|| Store::open(&path).unwrap().0);
            // then it does not write over what the other one keeps, and says why
            progress.place = Some(8);
            let refused = store.write(&progress).unwrap_err();
            assert!(refused.contains("notify.json.lock` is no longer the lock"), "{refused}");
            assert!(fs::read_to_string(&path).unwrap().contains("\"place\":7"));
            if let Some(other) = other {
                other.write(&progress).unwrap();
            }
        }
    }

    #[test]
    fn a_failing_one_waits_longer_each_time_and_holds_up_no_other() {
        let mut progress = Progress::default();
        progress.enqueue("a", json!({}), at(0));
        progress.enqueue("b", json!({}), at(0));
        assert_eq!(progress.next(at(0)), Some(0));
        progress.queue[0].begin(at(0));
        assert_eq!((progress.next(at(0)), progress.next(at(2))), (Some(1), Some(0)));
        for _ in 0..40 {
            progress.queue[0].begin(at(10));
        }
        assert_eq!(progress.queue[0].not_before, at(10).plus(LONGEST_PAUSE));
        // the id is that of the thing, however often it is begun
        assert_eq!(progress.queue[0].message["attempt"], 41);
        let mut again = Progress::default();
        again.enqueue("a", json!({}), at(5));
        assert_eq!(again.queue[0].message["id"], progress.queue[0].message["id"]);
        assert_ne!(progress.queue[1].message["id"], progress.queue[0].message["id"]);
    }

    #[test]
    fn what_is_over_is_told_no_more_as_waiting() {
        let mut progress = Progress::default();
        let opened =
            |id: &str, stage: u32| json!({ "type": "elevation.opened", "elevation": id, "stage": { "number": stage } });
        let others = [
            json!({ "type": "elevation.decided", "elevation": "a" }),
            json!({ "type": "grant.ending", "grant": "a" }),
            json!({ "type": "follow_up.opened", "elevation": "a" }),
            opened("b", 1),
        ];
        for message in
            [opened("a", 1), json!({ "type": "elevation.half_time", "elevation": "a", "stage": { "number": 1 } })]
        {
            progress.enqueue("x", message, at(0));
        }
        others.iter().for_each(|message| progress.enqueue("y", message.clone(), at(0)));
        let kinds = |progress: &Progress| {
            progress
                .queue
                .iter()
                .map(|waiting| waiting.message["type"].as_str().unwrap().to_owned())
                .collect::<Vec<_>>()
        };
        progress.forget_waiting(&WaitsFor::any_stage("elevation", "a"));
        assert_eq!(kinds(&progress), ["elevation.decided", "grant.ending", "follow_up.opened", "elevation.opened"]);
        progress.forget_waiting(&WaitsFor::any_stage("follow_up", "a"));
        progress.forget_waiting(&WaitsFor::any_stage("grant", "a"));
        assert_eq!(kinds(&progress), ["elevation.decided", "elevation.opened"]);
        assert_eq!(WaitsFor::told_by(&opened("b", 2)).unwrap().stage, Some(2));
    }

    #[test]
    fn a_place_is_one_in_its_own_journal() {
        let mut progress = Progress::default();
        assert_eq!(progress.is_of("j", 0), Ok(()));
        progress.place = Some(7);
        assert!(progress.is_of("j", 7).is_ok() && progress.is_of("j", 6).unwrap_err().contains("event 7"));
        progress.journal = Some("j".into());
        assert!(progress.is_of("j", 7).is_ok() && progress.is_of("k", 7).unwrap_err().contains("another journal"));
    }

    #[test]
    fn it_wakes_for_what_is_due_first() {
        let mut progress = Progress::default();
        assert_eq!(progress.wakes_at(), None);
        progress.open.insert("grant:x".into(), Open { due: Some(at(9)), ..Open::default() });
        progress.open.insert("grant:y".into(), Open { due: Some(at(5)), ..Open::default() });
        progress.open.insert("grant:z".into(), Open::default());
        assert_eq!(progress.wakes_at(), Some(at(5)));
        assert_eq!(progress.due(at(5)), ["grant:y"]);
        progress.enqueue("a", json!({}), at(3));
        assert_eq!(progress.wakes_at(), Some(at(3)));
    }
}
