//! Texts signed by the broker, in the form of C2SP signed notes (<https://c2sp.org/signed-note>): readable as they are, and
//! verified by whoever has the verifier key, without the broker.

use aws_lc_rs::signature::{ED25519, UnparsedPublicKey};
#[cfg(feature = "server")]
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest as _, Sha256};

/// Ed25519, in the numbering of signed notes.
const ALGORITHM: u8 = 1;

/// A key with its name, which says whose it is.
#[cfg(feature = "server")]
pub(crate) struct NoteKey {
    name: String,
    pair: Ed25519KeyPair,
}

#[cfg(feature = "server")]
impl NoteKey {
    /// From a secret seed.
    pub(crate) fn new(name: String, seed: &[u8; 32]) -> Option<Self> {
        Ed25519KeyPair::from_seed_unchecked(seed).ok().map(|pair| Self { name, pair })
    }

    /// What others verify with: `name+hash+key`.
    pub(crate) fn verifier(&self) -> String {
        let public = self.pair.public_key().as_ref();
        let mut key = vec![ALGORITHM];
        key.extend_from_slice(public);
        let hash: String = key_hash(&self.name, public).iter().map(|byte| format!("{byte:02x}")).collect();
        format!("{}+{hash}+{}", self.name, STANDARD.encode(key))
    }

    /// The text with its signature. The text ends with a newline.
    pub(crate) fn sign(&self, text: &str) -> String {
        let mut signature = key_hash(&self.name, self.pair.public_key().as_ref()).to_vec();
        signature.extend_from_slice(self.pair.sign(text.as_bytes()).as_ref());
        format!("{text}\n\u{2014} {} {}\n", self.name, STANDARD.encode(signature))
    }
}

/// The text of a note, if the note is what the key of this verifier key has signed, from its first byte to its last: the
/// text, an empty line, and the one signature. Other lines there would be read by whoever reads lines (known failure H28).
///
/// # Errors
/// What is wrong with the key or the note.
pub(crate) fn verified<'a>(note: &'a str, verifier: &str) -> Result<&'a str, String> {
    let (name, key) = parsed(verifier).ok_or("the verifier key is malformed; it is `name+hash+key`")?;
    let (text, signatures) = note.rsplit_once("\n\n").ok_or("there is no signature at its end")?;
    let text = note.get(..text.len().saturating_add(1)).unwrap_or_default();
    let line = signatures.strip_suffix('\n').unwrap_or_default();
    let signature = line.strip_prefix(&format!("\u{2014} {name} ")).and_then(|text| STANDARD.decode(text).ok());
    let signature = signature.unwrap_or_default();
    let signature = signature.split_at_checked(4).filter(|(hash, _)| *hash == key_hash(&name, &key));
    let (_, signature) = signature.ok_or_else(|| {
        format!("it does not end with one signature of `{name}`; text behind a signature was signed by nobody")
    })?;
    let verified = UnparsedPublicKey::new(&ED25519, &key).verify(text.as_bytes(), signature);
    verified.map(|()| text).map_err(|_| "it was changed since it was signed, or by another key".into())
}

fn parsed(verifier: &str) -> Option<(String, Vec<u8>)> {
    // The last part is base64, which may have a `+` itself.
    let mut parts = verifier.splitn(3, '+');
    let (name, hash, key) = (parts.next()?, parts.next()?, STANDARD.decode(parts.next()?).ok()?);
    let (algorithm, key) = key.split_first()?;
    let own_hash: String = key_hash(name, key).iter().map(|byte| format!("{byte:02x}")).collect();
    (*algorithm == ALGORITHM && key.len() == 32 && own_hash == hash).then(|| (name.to_owned(), key.to_vec()))
}

fn key_hash(name: &str, public: &[u8]) -> [u8; 4] {
    let hash = Sha256::new().chain_update(name).chain_update([b'\n', ALGORITHM]).chain_update(public).finalize();
    let mut first = [0; 4];
    first.iter_mut().zip(hash.iter()).for_each(|(to, from)| *to = *from);
    first
}

#[cfg(all(test, feature = "server"))]
mod tests {
    use super::*;

    #[test]
    fn a_note_is_verified_by_its_key_alone_and_shows_every_change() {
        let key = NoteKey::new("countersign/one".into(), &[7; 32]).unwrap();
        let text = "first line\n\nsecond — line\n";
        let note = key.sign(text);
        assert_eq!(verified(&note, &key.verifier()), Ok(text));
        // when anything of it is another
        let other = NoteKey::new("countersign/one".into(), &[8; 32]).unwrap();
        assert!(verified(&note, &other.verifier()).unwrap_err().contains("one signature of"));
        assert!(verified(&note.replacen("first", "First", 1), &key.verifier()).unwrap_err().contains("changed"));
        assert!(verified(&note.replacen("second", "\nsecond", 1), &key.verifier()).is_err());
        assert!(verified(text, &key.verifier()).is_err());
        // and when anything is added, in front of it or behind
        let signature = note.rsplit_once("\n\n").unwrap().1;
        for added in [
            format!("{note}{{\"seq\":9}}\n"),
            format!("{note}{{\"seq\":9}}"),
            format!("{note}\n"),
            format!("{note}{signature}"),
            format!("{note}\u{2014} other AAAAAAAA\n"),
            format!("\n{note}"),
            format!("{note}\0"),
            note.trim_end().to_owned(),
            note.replace('\n', "\r\n"),
        ] {
            assert!(verified(&added, &key.verifier()).is_err(), "{added:?}");
        }
        for bad in ["", "a+b", "countersign/one+00000000+AQ==", &key.verifier()[1..]] {
            assert!(verified(&note, bad).unwrap_err().contains("verifier key"), "{bad}");
        }
    }

    /// The example of the specification's own text.
    #[test]
    fn the_form_is_that_of_others() {
        let vkey = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";
        let note = "If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n\n\
                    \u{2014} PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n";
        assert!(verified(note, vkey).is_ok(), "{:?}", verified(note, vkey));
    }
}
