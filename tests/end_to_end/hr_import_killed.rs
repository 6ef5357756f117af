//! `kill -9` in the middle of a large import: afterwards all of it is there, or nothing, and sending it again finishes it
//! (known failure B8; invariants 8 and 13).

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use countersign::journal::mark;
use countersign::wire::v1 as pb;

use crate::harness::{Broker, Start, verify};
use crate::hr_feed::{everybody, header, import, json_lines};
use crate::organisation::{Files, Organisation, identity};
use crate::person::{Person, reason};

/// So many worked here before, and so many join by the file: rows for more than the store keeps in memory.
const BEFORE: usize = 4_500;
const JOIN: usize = 4_000;

/// When the broker is killed.
#[derive(Debug, Clone, Copy)]
enum Moment {
    /// So long after the file began to be sent.
    After(Duration),
    /// When the store has written so many bytes of it.
    Written(u64),
}

struct Scene {
    organisation: Arc<Organisation>,
    /// The journal as it was before the import.
    kept: PathBuf,
    file: String,
    header: pb::ImportHeader,
}

fn worker(number: usize) -> String {
    format!("worker{number:04}")
}

fn joiner(number: usize) -> String {
    format!("joiner{number:04}")
}

impl Scene {
    fn set() -> Self {
        let mut files = Files::example();
        let brake = "hr_brake = { people = 50, percent = 20 }";
        assert!(files.policy.contains(brake));
        files.policy = files.policy.replace(brake, "hr_brake = { people = 1000000, percent = 100 }");
        let mut people = everybody();
        for number in 0..BEFORE {
            files.directory.push_str(&format!(
                "[people.{0}]\nlogin = [\"{1}\"]\nmanager = \"ines\"\n",
                worker(number),
                identity(&worker(number))
            ));
            people.push((worker(number), "ines".to_owned(), identity(&worker(number))));
        }
        people.extend((0..JOIN).map(|number| (joiner(number), "ines".to_owned(), identity(&joiner(number)))));
        let organisation = Arc::new(Organisation::with(&files));
        assert_eq!(organisation.init().code, Some(0));
        let kept = organisation.path("before.db");
        std::fs::copy(organisation.journal(), &kept).unwrap();
        std::fs::copy(mark::beside(&organisation.journal()), mark::beside(&kept)).unwrap();
        let header = header(1, pb::PeopleFormat::JsonLines, false);
        Self { organisation, kept, file: json_lines(&people), header }
    }

    /// The journal as it was.
    fn put_back(&self) {
        for entry in std::fs::read_dir(self.organisation.folder.path()).unwrap() {
            let path = entry.unwrap().path();
            if path.file_name().unwrap().to_str().unwrap().starts_with("journal.db") {
                std::fs::remove_file(path).unwrap();
            }
        }
        std::fs::copy(&self.kept, self.organisation.journal()).unwrap();
        std::fs::copy(mark::beside(&self.kept), mark::beside(&self.organisation.journal())).unwrap();
    }

    fn written(&self) -> u64 {
        std::fs::metadata(self.organisation.path("journal.db-wal")).map_or(0, |file| file.len())
    }

    /// Serves, sends the file, and kills at that moment: whether it had begun to be written, and whether it was answered.
    /// The import, sent again for as long as it is not known whether it took effect, as a client does.
    async fn imported(&self, hr: &Person) -> pb::ImportPeopleResponse {
        loop {
            match import(hr, self.header.clone(), &self.file).await {
                Err(status) if reason(&status) == "OUTCOME_UNKNOWN" => {}
                answer => return answer.unwrap(),
            }
        }
    }

    async fn import_and_kill(&self, moment: Moment) -> (bool, bool) {
        let broker = Broker::serve(&self.organisation, &Start::default());
        let hr = broker.person("hr-sync").await;
        let (header, file, before) = (self.header.clone(), self.file.clone(), self.written());
        let sending = tokio::spawn(async move { import(&hr, header, &file).await });
        match moment {
            Moment::After(time) => tokio::time::sleep(time).await,
            Moment::Written(bytes) => {
                while self.written() < before + bytes && !sending.is_finished() {
                    tokio::time::sleep(Duration::from_millis(1)).await;
                }
            }
        }
        drop(broker.kill());
        let answered = sending.await.unwrap().is_ok();
        (self.written() > before, answered)
    }

    /// How many of the file's people the journal has joined, by its rows.
    fn joined(&self) -> usize {
        let journal = rusqlite::Connection::open(self.organisation.journal()).unwrap();
        let count = "SELECT count(*) FROM journal WHERE json_extract(body, '$.kind') = 'hr-event-applied/1'";
        let joined: i64 = journal.query_row(count, [], |row| row.get(0)).unwrap();
        usize::try_from(joined).unwrap()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_in_the_middle_of_an_import_all_of_it_or_nothing_is_there_and_sending_it_again_finishes_it() {
    let scene = Scene::set();
    let millis = |millis| Moment::After(Duration::from_millis(millis));
    let moments = [millis(40), millis(400), Moment::Written(1), Moment::Written(1_000_000), Moment::Written(2_500_000)];
    let (mut broken_off, mut attempts) = (0, 0);
    // when it is killed at one moment and another, until it once was in the middle of writing
    for moment in moments.into_iter().chain(std::iter::repeat(Moment::Written(500_000))) {
        assert!(attempts < 15, "no kill broke a write off");
        if attempts >= moments.len() && broken_off > 0 {
            break;
        }
        attempts += 1;
        scene.put_back();
        let (written, answered) = scene.import_and_kill(moment).await;
        // then the chain is whole, and has all of it or nothing; all, if that was acknowledged
        let verified = verify(&scene.organisation);
        assert_eq!(verified.code, Some(0), "{moment:?}: {}", verified.stderr);
        let joined = scene.joined();
        assert!(joined == 0 || joined == JOIN, "{moment:?}: {joined} of {JOIN}");
        assert!(!answered || joined == JOIN, "{moment:?}: acknowledged, and {joined} are there");
        broken_off += usize::from(written && joined == 0);
        // and so does the broker that goes on
        let broker = Broker::serve(&scene.organisation, &Start::default());
        for number in [0, JOIN / 2, JOIN - 1] {
            let known = broker.person(&joiner(number)).await.whoami().await.person.is_some();
            assert_eq!(known, joined == JOIN, "{moment:?}: {}", joiner(number));
        }
        // when the very same is sent again, then it is there, once
        let hr = broker.person("hr-sync").await;
        let done = scene.imported(&hr).await;
        assert_eq!((done.applied_count as usize, done.held_count), (JOIN, 0), "{moment:?}");
        assert_eq!(scene.joined(), JOIN);
        let again = scene.imported(&hr).await;
        assert_eq!((again.sequence, again.applied_count), (done.sequence, done.applied_count));
        let last = broker.person(&joiner(JOIN - 1)).await.whoami().await.person;
        assert_eq!(last.unwrap().manager, "ines");
        let streams = broker.person("noa").await.feed().await.unwrap().streams;
        assert_eq!((streams.len(), streams[0].last_number), (1, 1));
    }
}
