//! The digest of a set that is kept while the set changes: two copies that agree in count and digest hold the same
//! (invariant 12). A sum, because it depends on no order and what leaves is subtracted; modulo 2^256, because SHA-256 of
//! each entry is as long.

use std::fmt;

use crate::domain::value::ids::Digest;

/// The sum modulo 2^256 of SHA-256 of each entry of a set; of the empty set it is zero.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub struct SetDigest {
    /// The lowest first.
    words: [u64; 4],
}

impl SetDigest {
    /// The set has one entry more.
    #[must_use]
    pub fn with(self, entry: &Digest) -> Self {
        let mut carry = false;
        self.combined(entry, |own, other| {
            let (sum, over) = own.overflowing_add(other);
            let (sum, again) = sum.overflowing_add(u64::from(carry));
            carry = over || again;
            sum
        })
    }

    /// The set has one entry less.
    #[must_use]
    pub fn without(self, entry: &Digest) -> Self {
        let mut borrow = false;
        self.combined(entry, |own, other| {
            let (rest, under) = own.overflowing_sub(other);
            let (rest, again) = rest.overflowing_sub(u64::from(borrow));
            borrow = under || again;
            rest
        })
    }

    /// The two sums together, as of two sets that share nothing.
    #[must_use]
    pub fn plus(self, other: &Self) -> Self {
        self.with(&Digest::from(other.bytes()))
    }

    /// What is left of a sum without another.
    #[must_use]
    pub fn minus(self, other: &Self) -> Self {
        self.without(&Digest::from(other.bytes()))
    }

    /// 32 bytes, the lowest first.
    #[must_use]
    pub fn bytes(&self) -> [u8; 32] {
        let mut bytes = [0; 32];
        for (chunk, word) in bytes.as_chunks_mut::<8>().0.iter_mut().zip(self.words) {
            *chunk = word.to_le_bytes();
        }
        bytes
    }

    fn combined(self, entry: &Digest, mut combine: impl FnMut(u64, u64) -> u64) -> Self {
        let mut words = self.words;
        for (own, other) in words.iter_mut().zip(entry.bytes().as_chunks::<8>().0) {
            *own = combine(*own, u64::from_le_bytes(*other));
        }
        Self { words }
    }
}

impl From<[u8; 32]> for SetDigest {
    fn from(bytes: [u8; 32]) -> Self {
        Self::default().with(&Digest::from(bytes))
    }
}

impl fmt::Debug for SetDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", Digest::from(self.bytes()))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn it_depends_on_the_set_alone(mut entries in proptest::collection::vec(any::<[u8; 32]>(), 0..12), order in any::<u64>()) {
            let sum = |entries: &[[u8; 32]]| {
                entries.iter().fold(SetDigest::default(), |sum, bytes| sum.with(&Digest::from(*bytes)))
            };
            let whole = sum(&entries);
            entries.sort_by_key(|bytes| u64::from_le_bytes(bytes[..8].try_into().unwrap()).wrapping_mul(order | 1));
            prop_assert_eq!(sum(&entries), whole);
            let emptied = entries.iter().fold(whole, |sum, bytes| sum.without(&Digest::from(*bytes)));
            prop_assert_eq!(emptied, SetDigest::default());
            prop_assert_eq!(SetDigest::from(whole.bytes()), whole);
        }
    }

    #[test]
    fn a_carry_goes_through_all_words_and_out() {
        let (most, one) = (Digest::from([0xff; 32]), Digest::from(std::array::from_fn(|at| u8::from(at == 0))));
        let all = SetDigest::default().with(&most);
        assert_eq!(all.bytes(), [0xff; 32]);
        assert_eq!(all.with(&one), SetDigest::default());
        assert_eq!(SetDigest::default().without(&one), all);
    }
}
