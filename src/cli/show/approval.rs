//! What an approver reads: the text that the broker asks to have approved, taken apart, and SHA-256 of its bytes as this
//! client computed it. Nothing of what is decided on comes from any other field of the answer (known failure A6).

use crate::domain::value::ids::Digest;
use crate::wire::v1::Review;

/// An approval text that was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApprovalText {
    lines: Vec<(String, String)>,
    digest: Digest,
}

/// A text that is not of the form `key: "value"`, line by line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the text to approve is not in a form that this version can show; nothing was approved")]
pub struct Unreadable;

/// The keys of an elevation that have a place of their own on its card. Every other one is shown as it is.
pub const ELEVATION_KEYS: [&str; 14] = [
    "id",
    "who",
    "person",
    "on_behalf_of",
    "entitlement",
    "terms",
    "actions",
    "resources",
    "duration",
    "start",
    "justification",
    "ticket",
    "extends",
    "emergency",
];

/// The same of an enrolment.
pub const ENROLMENT_KEYS: [&str; 11] = [
    "id",
    "who",
    "person",
    "asks_for",
    "account",
    "roles",
    "identities",
    "audience",
    "acts_for",
    "terms",
    "justification",
];

/// The same of a proposal.
pub const PROPOSAL_KEYS: [&str; 13] = [
    "id",
    "who",
    "persons",
    "file",
    "digest",
    "bytes",
    "replaces",
    "justification",
    "gains",
    "loses",
    "widens",
    "changes",
    "ends",
];

impl ApprovalText {
    /// Reads the text of a review and hashes its bytes.
    ///
    /// # Errors
    /// If a line has another form, or a key comes twice: what cannot be shown whole cannot be approved.
    pub fn read(review: &Review) -> Result<Self, Unreadable> {
        let text = &review.approval_text;
        let mut lines: Vec<(String, String)> = Vec::new();
        for line in text.strip_suffix('\n').ok_or(Unreadable)?.split('\n') {
            let (key, value) = line.split_once(": ").ok_or(Unreadable)?;
            let value = serde_json::from_str::<String>(value).map_err(|_| Unreadable)?;
            let plain = !key.is_empty() && key.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_');
            if !plain || lines.iter().any(|(known, _)| known == key) {
                return Err(Unreadable);
            }
            lines.push((key.to_owned(), value));
        }
        Ok(Self { lines, digest: Digest::of(text.as_bytes()) })
    }

    /// SHA-256 of the bytes that were read: what an approval sends.
    #[must_use]
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// The value of a key; empty if there is none.
    #[must_use]
    pub fn value(&self, key: &str) -> &str {
        self.lines.iter().find(|(known, _)| known == key).map_or("", |(_, value)| value)
    }

    /// What a later broker may have added: shown too, so that nothing is approved unseen.
    pub fn others<'a>(&'a self, placed: &'a [&str]) -> impl Iterator<Item = (&'a str, &'a str)> {
        let placed = |key: &str| placed.contains(&key);
        self.lines.iter().filter(move |(key, _)| !placed(key)).map(|(key, value)| (key.as_str(), value.as_str()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn review(text: &str) -> Review {
        Review { approval_text: text.into(), digest: vec![7; 32], ..Default::default() }
    }

    #[test]
    fn the_digest_is_of_the_bytes_that_were_read_not_the_one_that_was_sent() {
        let text = "id: \"1\"\njustification: \"a\\u202e b\"\n";
        let read = ApprovalText::read(&review(text)).unwrap();
        assert_eq!(read.digest(), Digest::of(text.as_bytes()));
        assert_eq!((read.value("id"), read.value("justification"), read.value("ticket")), ("1", "a\u{202e} b", ""));
    }

    #[test]
    fn a_key_that_is_not_known_is_kept_to_be_shown() {
        let read = ApprovalText::read(&review("who: \"ana\"\ntenant: \"acme\"\n")).unwrap();
        assert_eq!(read.others(&ELEVATION_KEYS).collect::<Vec<_>>(), [("tenant", "acme")]);
    }

    #[test]
    fn what_cannot_be_shown_whole_cannot_be_approved() {
        for text in [
            "",
            "who: \"ana\"",
            "who ana\n",
            "who: ana\n",
            "who: \"a\"\nwho: \"b\"\n",
            "Who: \"a\"\n",
            "who: \"a\"\n\n",
        ] {
            assert_eq!(ApprovalText::read(&review(text)), Err(Unreadable), "{text:?}");
        }
    }

    #[test]
    fn the_text_that_the_core_makes_is_read_whole() {
        let mut text = String::new();
        for key in ELEVATION_KEYS {
            text.push_str(&format!("{key}: \"x\"\n"));
        }
        assert_eq!(ApprovalText::read(&review(&text)).unwrap().others(&ELEVATION_KEYS).count(), 0);
    }
}
