use super::*;
use crate::wire::token_check::Presented;

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_millis(seconds * 1_000).unwrap()
}

const NOON: i64 = 1_795_348_800;
const DAY: i64 = 86_400;

#[test]
fn a_rotation_leaves_no_gap_and_keeps_no_key_that_is_over() {
    // given keys that are looked at every 20 minutes for five days, and a reader who fetched them an hour ago or less
    let keys = SigningKeys::in_memory(at(NOON));
    let mut fetched = keys.public();
    let mut signers = std::collections::BTreeSet::new();
    for step in 0..(5 * DAY / 1_200) {
        let now = NOON + step * 1_200;
        keys.rotate(at(now)).unwrap();
        if step % 3 == 0 {
            fetched = keys.public();
        }
        // then whatever signs now is known to the reader, and stands for this time
        let held = &keys.held.load().keys;
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
    let first = SigningKeys::open(&journal, at(NOON)).unwrap().public();
    let file = folder.path().join("journal.db.token-keys");
    assert_eq!(std::fs::metadata(&file).unwrap().mode() & 0o777, 0o600);
    assert_eq!(SigningKeys::open(&journal, at(NOON + 60)).unwrap().public(), first);
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

/// The token of a key's last second is over in the next key's time.
#[test]
fn what_is_signed_is_verified_by_what_is_published_over_every_rotation() {
    let keys = SigningKeys::in_memory(at(NOON));
    for now in [NOON, NOON + DAY - 1, NOON + DAY, NOON + 2 * DAY - 1, NOON + 2 * DAY] {
        keys.rotate(at(now)).unwrap();
        let claims = claims(now);
        let token = keys.sign(&claims).unwrap();
        for later in [now, now + 59] {
            keys.rotate(at(later)).unwrap();
            let audience = claims.aud.clone();
            let verified = keys.verifying().unwrap().verified(
                &token,
                Presented {
                    audience: &audience,
                    peer_leaf_der: b"leaf",
                    action: "db.read",
                    resource: "prod/x",
                    now: at(later),
                },
            );
            assert_eq!(verified.map(|claims| claims.iat.whole()), Ok(now), "{later}");
        }
    }
}

fn claims(now: i64) -> Claims {
    let grant = "0197c9a2-7f3b-7cc1-8000-0123456789ac";
    serde_json::from_value(serde_json::json!({
        "iss": "countersign", "aud": "orders-api", "sub": "ana", "iat": now, "exp": now + 60,
        "jti": "0197c9a2-7f3b-7cc1-8000-0123456789ab", "grant_id": grant,
        "cnf": {"x5t#S256": Thumbprint(Digest::of(b"leaf")).to_string()},
        "authorization_details": [{"type": "countersign", "actions": ["db.read"], "resources": ["prod/**"]}],
        "sequence": "7"
    }))
    .unwrap()
}

#[test]
fn a_key_that_cannot_be_written_keeps_nobody_from_the_one_that_stands() {
    let folder = tempfile::tempdir().unwrap();
    let keys = SigningKeys::open(&folder.path().join("journal.db"), at(NOON)).unwrap();
    // when the next key is due, and there is no file to write it to
    folder.close().unwrap();
    assert!(keys.rotate(at(NOON + 2 * DAY - 10)).is_err());
    // then the one that signs now goes on, until it is over
    assert_eq!(keys.ready(at(NOON + 2 * DAY - 10)), Ok(()));
    assert!(keys.sign(&claims(NOON + 2 * DAY - 10)).is_ok());
    assert!(keys.ready(at(NOON + 2 * DAY)).unwrap_err().contains("cannot be written"));
}

#[test]
fn a_clock_that_leaps_leaves_a_key_that_signs() {
    let keys = SigningKeys::in_memory(at(NOON));
    for now in [NOON + 400 * DAY, NOON, NOON - 400 * DAY, NOON + 3 * DAY] {
        keys.rotate(at(now)).unwrap();
        let held = &keys.held.load().keys;
        assert!(held.iter().any(|key| key.from.whole() <= now && now < key.until.whole()), "{now}");
        assert!(held.len() <= 4);
    }
}
