//! The keys that tokens are signed with: Ed25519, in one file beside the journal that its owner alone may read, the same
//! after a restart. Each signs for a day; the one after it is published for as long before it begins, and each is published
//! until the last token that it signed is over, so that whoever fetches them now and then has none missing and keeps none
//! that is over (known failure E7). The time comes from whoever calls.

use std::io::{Read as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use serde::{Deserialize, Serialize};
use zeroize::{Zeroize as _, Zeroizing};

use crate::domain::value::ids::Digest;
use crate::domain::value::time::{Span, Timestamp};
use crate::domain::value::token::LONGEST_LIFETIME;
use crate::journal::room;
use crate::wire::grant_token::{Claims, KeySet, PublicKey, Seconds, TOKEN_TYPE, Thumbprint};
use crate::wire::token_check::TokenKeys;

/// How long a key signs, and how long the one after it is known before it does.
const SIGNS_FOR: Span = Span::DAY;
const FILE_MAX_BYTES: u64 = 64 * 1024;

/// The keys.
pub(crate) struct SigningKeys {
    /// None: in memory alone, for tests.
    file: Option<PathBuf>,
    held: ArcSwap<Held>,
    /// Whoever makes keys waits for the file; whoever reads them waits for nobody.
    rotating: Mutex<()>,
}

/// The keys of a time, and what others may know of them.
#[derive(Default)]
struct Held {
    keys: Vec<Key>,
    public: KeySet,
    verifying: Option<Arc<TokenKeys>>,
}

/// One key. Never shown: it has no `Debug`.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Key {
    kid: String,
    /// The private key, PKCS #8, base64url.
    pkcs8: String,
    /// It signs what is issued from here on.
    from: Seconds,
    /// It signs nothing any more from here on.
    until: Seconds,
}

impl Drop for Key {
    fn drop(&mut self) {
        self.pkcs8.zeroize();
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stored {
    keys: Vec<Key>,
}

impl SigningKeys {
    /// Looks at the keys beside a journal, if there are any.
    ///
    /// # Errors
    /// Why they are of no use.
    pub(crate) fn look_beside(journal: &Path) -> Result<(), String> {
        Held::of(read(&beside(journal))?).map(drop)
    }

    /// Reads the keys beside a journal, or makes the first.
    ///
    /// # Errors
    /// What is wrong with the file, and what to do.
    pub(crate) fn open(journal: &Path, now: Timestamp) -> Result<Self, String> {
        let file = beside(journal);
        let held = Held::of(read(&file)?)?;
        let keys = Self { file: Some(file), held: ArcSwap::from_pointee(held), rotating: Mutex::default() };
        match keys.rotate(now) {
            // No room for a new key keeps nobody from starting: what needs one is refused until it is made.
            Err(problem) if !room::is_left(journal) => tracing::warn!(%problem, "no new key for tokens can be kept"),
            rotated => rotated?,
        }
        Ok(keys)
    }

    #[cfg(test)]
    pub(crate) fn in_memory(now: Timestamp) -> Self {
        let keys = Self { file: None, held: ArcSwap::default(), rotating: Mutex::default() };
        keys.rotate(now).unwrap();
        keys
    }

    /// Makes the keys that are due and drops those that are over. A new key is in the file before anybody sees it.
    ///
    /// # Errors
    /// If a key cannot be made or the file cannot be written. The keys are then as they were.
    pub(crate) fn rotate(&self, now: Timestamp) -> Result<(), String> {
        let _turn = self.rotating.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(rotated) = rotated(&self.held.load().keys, now)? {
            let held = Held::of(rotated.clone())?;
            if let Some(file) = &self.file {
                let cannot = |error: std::io::Error| format!("`{}` cannot be written: {error}", file.display());
                write(file, &Stored { keys: rotated }).map_err(cannot)?;
            }
            self.held.store(Arc::new(held));
        }
        Ok(())
    }

    /// Makes sure that there is a key to sign with, even before the regular rotation. A later key that cannot be made
    /// does not stop the use of the present ones.
    ///
    /// # Errors
    /// As [`SigningKeys::rotate`].
    pub(crate) fn ready(&self, now: Timestamp) -> Result<(), String> {
        let signs = |key: &Key| key.from.0.is_over(now) && !key.until.0.is_over(now);
        if self.held.load().keys.iter().any(signs) { Ok(()) } else { self.rotate(now) }
    }

    /// All that tokens are verified with now, the next one among them.
    pub(crate) fn public(&self) -> KeySet {
        self.held.load().public.clone()
    }

    /// The same, to verify with.
    pub(crate) fn verifying(&self) -> Option<Arc<TokenKeys>> {
        self.held.load().verifying.clone()
    }

    /// Signs with the key of the instant at which the token was issued.
    ///
    /// # Errors
    /// If there is none.
    pub(crate) fn sign(&self, claims: &Claims) -> Result<String, String> {
        let issued = claims.iat.whole();
        let held = self.held.load();
        let signs = |key: &&Key| key.from.whole() <= issued && issued < key.until.whole();
        let key = held.keys.iter().filter(signs).max_by_key(|key| key.from);
        let key = key.ok_or_else(|| "no key is in force".to_owned())?;
        let mut header = Header::new(Algorithm::EdDSA);
        header.typ = Some(TOKEN_TYPE.to_owned());
        header.kid = Some(key.kid.clone());
        encode(&header, claims, &EncodingKey::from_ed_der(&key.der()?)).map_err(|error| error.to_string())
    }
}

impl Held {
    fn of(keys: Vec<Key>) -> Result<Self, String> {
        let public = KeySet { keys: keys.iter().map(Key::public).collect::<Result<_, _>>()? };
        let verifying = TokenKeys::of(public.clone()).ok().map(Arc::new);
        Ok(Self { keys, public, verifying })
    }
}

impl Key {
    fn make(from: Timestamp) -> Result<Self, String> {
        let failed = |_| "the system gives no random bytes".to_owned();
        let pkcs8 = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).map_err(failed)?;
        let pair = Ed25519KeyPair::from_pkcs8(pkcs8.as_ref()).map_err(|error| error.to_string())?;
        let kid = Thumbprint(Digest::of(pair.public_key().as_ref())).to_string();
        let (from, until) = (Seconds(from), Seconds(from.plus(SIGNS_FOR)));
        Ok(Self { kid, pkcs8: URL_SAFE_NO_PAD.encode(pkcs8.as_ref()), from, until })
    }

    fn der(&self) -> Result<Zeroizing<Vec<u8>>, String> {
        let der = URL_SAFE_NO_PAD.decode(&self.pkcs8).map(Zeroizing::new);
        der.map_err(|_| format!("the key `{}` is not base64url", self.kid))
    }

    fn public(&self) -> Result<PublicKey, String> {
        let pair = Ed25519KeyPair::from_pkcs8(&self.der()?);
        let pair = pair.map_err(|error| format!("the key `{}` is none: {error}", self.kid))?;
        Ok(PublicKey {
            kty: "OKP".to_owned(),
            crv: "Ed25519".to_owned(),
            alg: "EdDSA".to_owned(),
            usage: "sig".to_owned(),
            kid: self.kid.clone(),
            x: URL_SAFE_NO_PAD.encode(pair.public_key().as_ref()),
            nbf: self.from,
            exp: self.stands_until(),
        })
    }

    /// The last token that it signed is over then.
    fn stands_until(&self) -> Seconds {
        Seconds(self.until.0.plus(LONGEST_LIFETIME))
    }
}

/// The keys as they are to be at `now`; none if they are so.
fn rotated(held: &[Key], now: Timestamp) -> Result<Option<Vec<Key>>, String> {
    let now = Timestamp::from_millis(Seconds(now).whole().saturating_mul(1_000)).unwrap_or(now);
    // A clock that was once far ahead has left keys that begin in the future.
    let horizon = now.plus(SIGNS_FOR).plus(SIGNS_FOR);
    let stands = |key: &&Key| !key.stands_until().0.is_over(now) && key.from.0 < horizon;
    let mut keys: Vec<Key> = held.iter().filter(stands).cloned().collect();
    let mut changed = keys.len() != held.len();
    if !keys.iter().any(|key| key.from.0.is_over(now) && !key.until.0.is_over(now)) {
        keys.push(Key::make(now)?);
        changed = true;
    }
    let last = keys.iter().map(|key| key.until.0).max().unwrap_or(now);
    if last.since(now) <= SIGNS_FOR {
        keys.push(Key::make(last)?);
        changed = true;
    }
    Ok(changed.then_some(keys))
}

fn beside(journal: &Path) -> PathBuf {
    let mut file = journal.as_os_str().to_owned();
    file.push(".token-keys");
    PathBuf::from(file)
}

fn read(file: &Path) -> Result<Vec<Key>, String> {
    let named = |problem: &str| format!("the keys of tokens, `{}`: {problem}", file.display());
    // A pipe would be waited for.
    if std::fs::metadata(file).is_ok_and(|found| !found.is_file()) {
        return Err(named("it is no file; move it away, and new keys are made"));
    }
    let opened = match std::fs::File::open(file) {
        Ok(opened) => opened,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(named(&format!("cannot be opened: {error}; check its owner"))),
    };
    let metadata = opened.metadata().map_err(|error| named(&format!("cannot be read: {error}")))?;
    let mode = metadata.mode() & 0o7777;
    if mode & 0o077 != 0 {
        return Err(named(&format!("others may read it (mode {mode:04o}); remove it, and new keys are made")));
    }
    let mut text = Zeroizing::new(String::new());
    let read = opened.take(FILE_MAX_BYTES).read_to_string(&mut text);
    read.map_err(|error| named(&format!("cannot be read: {error}")))?;
    let unreadable = |why: String| named(&format!("{why}; remove it, and new keys are made"));
    let stored: Stored = serde_json::from_str(&text).map_err(|error| unreadable(format!("it is damaged: {error}")))?;
    for key in &stored.keys {
        key.public().map_err(unreadable)?;
    }
    Ok(stored.keys)
}

/// Whole or not at all, whenever the machine stops.
fn write(file: &Path, stored: &Stored) -> std::io::Result<()> {
    let mut new = file.as_os_str().to_owned();
    new.push(".new");
    let new = PathBuf::from(new);
    match std::fs::remove_file(&new) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut opened = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&new)?;
    opened.write_all(&Zeroizing::new(serde_json::to_vec(stored)?))?;
    opened.sync_all()?;
    std::fs::rename(&new, file)?;
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    std::fs::File::open(folder)?.sync_all()
}

#[cfg(test)]
#[path = "signing_tests.rs"]
mod tests;
