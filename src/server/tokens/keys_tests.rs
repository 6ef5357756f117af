use super::*;

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_millis(seconds * 1_000).unwrap()
}

const NOON: i64 = 1_795_348_800;
const DAY: i64 = 86_400;

#[test]
fn a_rotation_leaves_no_gap_and_keeps_no_key_that_is_over() {
    // given keys that are looked at every 20 minutes for five days, and a reader who fetched them an hour ago or less
    let keys = SigningKeys::in_memory(at(NOON));
    let mut fetched = keys.public().unwrap();
    let mut signers = std::collections::BTreeSet::new();
    for step in 0..(5 * DAY / 1_200) {
        let now = NOON + step * 1_200;
        keys.rotate(at(now)).unwrap();
        if step % 3 == 0 {
            fetched = keys.public().unwrap();
        }
        // then whatever signs now is known to the reader, and stands for this time
        let held = keys.keys.lock().unwrap();
        let signing: Vec<_> = held.iter().filter(|key| key.from.whole() <= now && now < key.until.whole()).collect();
        assert_eq!(signing.len(), 1);
        let known = fetched.keys.iter().find(|key| key.kid == signing[0].kid).unwrap();
        assert!(known.nbf.whole() <= now && now + 60 <= known.exp.whole());
        signers.insert(known.kid.clone());
        // and the one after it has been known, or will be, for a day before it signs
        assert!(held.iter().map(|key| key.until.whole()).max().unwrap() > now + DAY);
        assert!(held.len() <= 3 && held.iter().all(|key| key.until.whole() + 60 > now));
    }
    assert_eq!(signers.len(), 5);
}

#[test]
fn keys_are_the_same_after_a_restart_and_nobody_else_may_read_them() {
    let folder = tempfile::tempdir().unwrap();
    let journal = folder.path().join("journal.db");
    let first = SigningKeys::open(&journal, at(NOON)).unwrap().public().unwrap();
    let file = folder.path().join("journal.db.token-keys");
    assert_eq!(std::fs::metadata(&file).unwrap().mode() & 0o777, 0o600);
    assert_eq!(SigningKeys::open(&journal, at(NOON + 60)).unwrap().public().unwrap(), first);
    // when others may read it, or it is damaged, then the broker does not start with it
    let text = std::fs::read_to_string(&file).unwrap();
    let refused = |mode: u32, text: &str| {
        use std::os::unix::fs::PermissionsExt as _;
        std::fs::write(&file, text).unwrap();
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(mode)).unwrap();
        SigningKeys::open(&journal, at(NOON)).err().unwrap()
    };
    assert!(refused(0o644, &text).contains("others may read it"));
    assert!(refused(0o600, &text[..text.len() / 2]).contains("damaged"));
    assert!(refused(0o600, &text.replacen("\"pkcs8\":\"", "\"pkcs8\":\"AAAA", 1)).contains("is none"));
    assert!(!refused(0o644, &text).contains("pkcs8"));
}

#[test]
fn a_clock_that_leaps_leaves_a_key_that_signs() {
    let keys = SigningKeys::in_memory(at(NOON));
    for now in [NOON + 400 * DAY, NOON, NOON - 400 * DAY, NOON + 3 * DAY] {
        keys.rotate(at(now)).unwrap();
        let held = keys.keys.lock().unwrap();
        assert!(held.iter().any(|key| key.from.whole() <= now && now < key.until.whole()), "{now}");
        assert!(held.len() <= 4);
    }
}
