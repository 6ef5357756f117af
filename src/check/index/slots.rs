//! The slots of the table, keyed by hashes; and blocks fetched before they are read.

use std::hash::{BuildHasher, Hasher};
use std::hint::black_box;
use std::sync::Arc;

use dashmap::SharedValue;

use crate::check::block::Block;

const CACHE_LINE_BYTES: usize = 64;
/// How many cache lines of a block are fetched ahead; the rest of a longer one is fetched as it is read.
const TOUCHED_LINES: usize = 16;

/// A name's hash, and its holder's block.
pub(super) type Slot = (u64, SharedValue<Arc<[u8]>>);

/// Whether it is this holder's.
pub(super) fn is_of((key, block): &Slot, hash: u64, holder: &[u8]) -> bool {
    *key == hash && Block::read(block.get()).is_some_and(|block| block.holder() == holder)
}

/// Whether it answers to this name.
#[inline]
pub(super) fn is_slot((key, block): &Slot, hash: u64, name: &[u8]) -> bool {
    *key == hash && Block::read(block.get()).is_some_and(|block| block.is_named(name))
}

/// The places of the bits that are set, the lowest first.
pub(super) fn ascending(mut bits: u64) -> impl Iterator<Item = usize> {
    std::iter::from_fn(move || {
        let lowest = (bits != 0).then(|| bits.trailing_zeros())?;
        bits &= bits.wrapping_sub(1);
        usize::try_from(lowest).ok()
    })
}

/// Asks for each cache line of a block before the first is needed: the misses of a cold block then overlap, where
/// comparing from front to back would wait for them one by one.
#[inline]
pub(super) fn touch(block: &[u8]) {
    let lines = block.chunks(CACHE_LINE_BYTES).take(TOUCHED_LINES);
    let last = block.last().copied().unwrap_or_default();
    black_box(lines.fold(last, |sum, line| sum ^ line.first().copied().unwrap_or_default()));
}

/// The key is a hash, so it is its own hash.
#[derive(Clone, Default)]
pub(super) struct HashedAlready;

/// See [`HashedAlready`].
#[derive(Default)]
pub(super) struct OwnHash(u64);

impl BuildHasher for HashedAlready {
    type Hasher = OwnHash;
    fn build_hasher(&self) -> OwnHash {
        OwnHash::default()
    }
}

impl Hasher for OwnHash {
    fn finish(&self) -> u64 {
        self.0
    }
    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.0 = self.0.rotate_left(8) ^ u64::from(*byte));
    }
    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }
}
