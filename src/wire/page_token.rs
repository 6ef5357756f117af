//! Page tokens: the last key of a page, sealed to the caller, the list and its filter. A made-up or borrowed token opens
//! nothing. It carries no right either: rights are checked on every page (THREATS F9).

use sha2::{Digest as _, Sha256};

use crate::domain::ids::Digest;

/// Makes and opens page tokens under a secret that lives as long as the process.
pub struct PageTokens {
    secret: [u8; 32],
}

/// What a token is bound to.
#[derive(Debug, Clone, Copy)]
pub struct Bound<'a> {
    /// Who lists.
    pub caller: &'a str,
    /// Which list.
    pub list: &'a str,
    /// SHA-256 of all that narrows it.
    pub filter: Digest,
}

impl PageTokens {
    /// Under this secret, which must be random.
    #[must_use]
    pub fn new(secret: [u8; 32]) -> Self {
        Self { secret }
    }

    /// The token of the page that follows `key`.
    #[must_use]
    pub fn seal(&self, bound: Bound<'_>, key: &str) -> String {
        format!("{}.{key}", self.mark(bound, key))
    }

    /// The key that the page follows; none if this token was not given to this caller for this list.
    #[must_use]
    pub fn open(&self, bound: Bound<'_>, token: &str) -> Option<String> {
        let (mark, key) = token.split_once('.')?;
        let mark: Digest = mark.parse().ok()?;
        // Compared by digest under the secret, so that the time it takes tells nothing of the mark.
        let blind = |digest: Digest| self.keyed(digest.bytes());
        (blind(mark) == blind(self.mark(bound, key))).then(|| key.to_owned())
    }

    fn mark(&self, bound: Bound<'_>, key: &str) -> Digest {
        let mut message = Vec::new();
        for part in [bound.caller.as_bytes(), bound.list.as_bytes(), bound.filter.bytes(), key.as_bytes()] {
            // Lengths stand before the parts, so that no two lists of parts read the same (THREATS F2).
            message.extend_from_slice(&u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
            message.extend_from_slice(part);
        }
        self.keyed(&message)
    }

    /// SHA-256 keyed inside and outside: a fixed-length key before, and no length to extend after.
    fn keyed(&self, message: &[u8]) -> Digest {
        let inner = Sha256::new().chain_update(self.secret).chain_update(message).finalize();
        let outer = Sha256::new().chain_update(self.secret).chain_update([1]).chain_update(inner).finalize();
        let bytes: [u8; 32] = outer.into();
        bytes.into()
    }
}

impl std::fmt::Debug for PageTokens {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("PageTokens(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bound<'a>(caller: &'a str, list: &'a str, filter: &str) -> Bound<'a> {
        Bound { caller, list, filter: Digest::of(filter.as_bytes()) }
    }

    #[test]
    fn a_token_opens_for_its_caller_its_list_and_its_filter_alone() {
        let tokens = PageTokens::new([7; 32]);
        let token = tokens.seal(bound("account:ana", "elevations", "pending"), "k.1");
        let open = |caller, list, filter| tokens.open(bound(caller, list, filter), &token);
        assert_eq!(open("account:ana", "elevations", "pending").as_deref(), Some("k.1"));
        assert_eq!(open("account:ben", "elevations", "pending"), None);
        assert_eq!(open("account:ana", "grants", "pending"), None);
        assert_eq!(open("account:ana", "elevations", "denied"), None);
        assert_eq!(PageTokens::new([8; 32]).open(bound("account:ana", "elevations", "pending"), &token), None);
    }

    #[test]
    fn a_made_up_token_opens_nothing() {
        let tokens = PageTokens::new([7; 32]);
        let mine = bound("account:ana", "elevations", "");
        let token = tokens.seal(mine, "k1");
        let other_key = token.replace(".k1", ".k2");
        let shifted = format!("{}.{}", "0".repeat(64), "k1");
        for made_up in ["", ".", "k1", "x.k1", &other_key, &shifted, &token.to_uppercase(), &format!("{token} ")] {
            assert_eq!(tokens.open(mine, made_up), None, "{made_up}");
        }
    }

    #[test]
    fn parts_that_join_to_one_text_are_told_apart() {
        let tokens = PageTokens::new([7; 32]);
        let token = tokens.seal(bound("account:a", "bc", ""), "k");
        assert_eq!(tokens.open(bound("account:ab", "c", ""), &token), None);
    }
}
