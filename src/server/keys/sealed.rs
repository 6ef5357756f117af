//! Texts that only the broker can open, each bound to the caller it was written for: page tokens, and the sequences
//! given to customers, because a count of events, or that two are the same, would tell of others (design.md 10). None
//! carries a right.

use std::fs;
use std::io::{self, Read as _, Write as _};
use std::path::Path;

use aws_lc_rs::aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use aws_lc_rs::hkdf::{HKDF_SHA256, Salt};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use zeroize::Zeroizing;

use crate::domain::value::ids::Digest;
use crate::journal::file;
use crate::wire::signed_note::NoteKey;

/// Plain texts are filled up to a multiple of this, so that their length tells nothing.
const BLOCK_BYTES: usize = 32;

/// Seals and opens under one key.
pub(crate) struct Seal(RandomizedNonceKey);

impl Seal {
    /// None if the secret, which must be random, cannot be a key; 32 bytes always can.
    pub(crate) fn new(secret: &[u8; 32]) -> Option<Self> {
        RandomizedNonceKey::new(&AES_256_GCM, secret).ok().map(Self)
    }

    /// Seals a text for what it is bound to; the result differs each time.
    pub(crate) fn seal(&self, bound: &[&[u8]], plain: &str) -> String {
        let mut sealed = plain.as_bytes().to_vec();
        let filled = sealed.len().next_multiple_of(BLOCK_BYTES).max(BLOCK_BYTES);
        sealed.resize(filled, 0);
        match self.0.seal_in_place_append_tag(Aad::from(mark(bound)), &mut sealed) {
            Ok(nonce) => {
                sealed.extend_from_slice(nonce.as_ref());
                URL_SAFE_NO_PAD.encode(sealed)
            }
            // Nothing opens this, so the list begins anew.
            Err(_) => String::from("-"),
        }
    }

    /// What was sealed; none if it was not sealed for this.
    pub(crate) fn open(&self, bound: &[&[u8]], text: &str) -> Option<String> {
        let mut sealed = URL_SAFE_NO_PAD.decode(text).ok()?;
        let nonce = sealed.split_off(sealed.len().checked_sub(NONCE_LEN)?);
        let nonce = Nonce::try_assume_unique_for_key(&nonce).ok()?;
        let plain = self.0.open_in_place(nonce, Aad::from(mark(bound)), &mut sealed).ok()?;
        let plain = plain.split(|byte| *byte == 0).next()?.to_vec();
        String::from_utf8(plain).ok()
    }
}

/// Lengths stand before the parts, so that no two lists of parts read the same (known failure F2).
fn mark(bound: &[&[u8]]) -> [u8; 32] {
    let mut message = Vec::new();
    for part in bound {
        message.extend_from_slice(&u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
        message.extend_from_slice(part);
    }
    *Digest::of(&message).bytes()
}

/// What is derived from the secret beside a journal, which its owner alone may read: the same after a restart, so that a
/// customer's watch resumes, and that what was signed is verified by the same key. Made at the first start.
///
/// # Errors
/// What is wrong with the file, and what to do.
pub(crate) fn keys_beside(journal: &Path, journal_id: &str) -> Result<(Seal, NoteKey), String> {
    keys_of(&*secret_beside(journal)?, journal_id)
        .ok_or_else(|| "the secret beside the journal is of no use".to_owned())
}

/// The same of a secret that is known.
pub(crate) fn keys_of(secret: &[u8; 32], journal_id: &str) -> Option<(Seal, NoteKey)> {
    let prk = Salt::new(HKDF_SHA256, b"countersign").extract(secret);
    let derived = |purpose: &[u8]| -> Option<Zeroizing<[u8; 32]>> {
        let mut key = Zeroizing::new([0; 32]);
        prk.expand(&[purpose], HKDF_SHA256).ok()?.fill(&mut *key).ok()?;
        Some(key)
    };
    let name = format!("countersign/{journal_id}");
    Seal::new(&*derived(b"sealed texts v1")?).zip(NoteKey::new(name, &*derived(b"signed notes v1")?))
}

/// Looks at the secret beside a journal, if one is there.
///
/// # Errors
/// Why it is of no use.
pub(crate) fn look_beside(journal: &Path) -> Result<(), String> {
    let is_there = fs::symlink_metadata(file::beside(journal, ".secret")).is_ok();
    if is_there { secret_beside(journal).map(drop) } else { Ok(()) }
}

fn secret_beside(journal: &Path) -> Result<Zeroizing<[u8; 32]>, String> {
    let path = file::beside(journal, ".secret");
    let cannot = |error: io::Error| format!("`{}` cannot be used: {error}", path.display());
    match file::create_private(&path) {
        Ok(mut made) => {
            let mut secret = Zeroizing::new([0; 32]);
            aws_lc_rs::rand::fill(&mut *secret).map_err(|_| "the system gives no random bytes".to_owned())?;
            let written = made.write_all(&*secret).and_then(|()| made.sync_all());
            if written.is_err() {
                // Half of it would be in the way of the next start.
                let _ = fs::remove_file(&path);
            }
            written.map_err(cannot).map(|()| secret)
        }
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            file::check_modes(&path).map_err(|error| error.to_string())?;
            let mut found = Zeroizing::new(Vec::with_capacity(64));
            fs::File::open(&path).and_then(|file| file.take(64).read_to_end(&mut found)).map_err(cannot)?;
            let wanted = || format!("`{}` has not its 32 bytes; delete it, and a new one is made", path.display());
            found.as_slice().try_into().map(Zeroizing::new).map_err(|_| wanted())
        }
        Err(error) => Err(cannot(error)),
    }
}

/// What a page token is bound to: the last key of a page, sealed to the caller, the list and its filter. A made-up or
/// borrowed token opens nothing. It carries no right either: rights are checked on every page (known failure F9).
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bound<'a> {
    /// Who lists.
    pub(crate) caller: &'a str,
    /// Which list.
    pub(crate) list: &'a str,
    /// SHA-256 of all that narrows it.
    pub(crate) filter: Digest,
}

impl Bound<'_> {
    /// All of it, each part by itself.
    pub(crate) fn parts(&self) -> [&[u8]; 4] {
        [b"page", self.caller.as_bytes(), self.list.as_bytes(), self.filter.bytes()]
    }
}

impl std::fmt::Debug for Seal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Seal(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bound<'a>(caller: &'a str, list: &'a str, filter: &str) -> Bound<'a> {
        Bound { caller, list, filter: Digest::of(filter.as_bytes()) }
    }

    fn seal_of(secret: u8) -> Seal {
        Seal::new(&[secret; 32]).unwrap()
    }

    #[test]
    fn a_token_opens_for_its_caller_list_and_filter_alone() {
        let seal = seal_of(7);
        let own = bound("account:ana", "elevations", "pending");
        let token = seal.seal(&own.parts(), "0198-key");
        assert_eq!(seal.open(&own.parts(), &token).as_deref(), Some("0198-key"));
        for other in [
            bound("account:ben", "elevations", "pending"),
            bound("account:ana", "grants", "pending"),
            bound("account:ana", "elevations", "denied"),
            bound("account:anaelevations", "", "pending"),
        ] {
            assert_eq!(seal.open(&other.parts(), &token), None, "{other:?}");
        }
        assert_eq!(seal_of(8).open(&own.parts(), &token), None, "another broker's");
        for made_up in ["", "-", "0198-key", &token[1..], &format!("{token}A")] {
            assert_eq!(seal.open(&own.parts(), made_up), None, "{made_up}");
        }
    }

    #[test]
    fn a_sealed_text_tells_neither_what_is_in_it_nor_how_long_that_is_nor_whether_it_is_the_same() {
        let seal = seal_of(7);
        let (one, again, far) = (seal.seal(&[b"a"], "7"), seal.seal(&[b"a"], "7"), seal.seal(&[b"a"], "1234567890"));
        assert_ne!(one, again);
        assert_eq!(one.len(), far.len());
        assert_eq!(seal.open(&[b"a"], &one).as_deref(), Some("7"));
        assert_eq!(seal.open(&[b"b"], &one), None);
    }
}
