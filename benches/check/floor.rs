//! What a check is held against: the barest layout that could answer the same question, for one thread, without a writer,
//! audiences, a baseline or grants to come. One table from a hash to one allocation a holder, in which ends, actions
//! and patterns lie inline.

use std::collections::HashMap;
use std::hash::{BuildHasher, BuildHasherDefault, Hasher};
use std::hint::black_box;

/// Queries looked up before the first is answered.
const TOGETHER: usize = 16;

#[derive(Default)]
pub(crate) struct Floor {
    table: HashMap<u64, Box<[u8]>, BuildHasherDefault<Hashed>>,
    hasher: foldhash::quality::RandomState,
}

/// One grant: its end, its actions and the text that every resource of it begins with.
pub(crate) struct Held<'a> {
    pub(crate) end: i64,
    pub(crate) actions: [&'a str; 2],
    pub(crate) prefix: String,
}

impl Floor {
    pub(crate) fn put(&mut self, holder: &str, grants: &[Held<'_>]) {
        let mut block = Vec::new();
        counted(&mut block, holder.as_bytes());
        for grant in grants {
            block.extend_from_slice(&grant.end.to_le_bytes());
            grant.actions.iter().for_each(|action| counted(&mut block, action.as_bytes()));
            counted(&mut block, grant.prefix.as_bytes());
        }
        self.table.insert(self.hasher.hash_one(holder.as_bytes()), block.into_boxed_slice());
    }

    /// The end of a grant that allows it.
    #[inline]
    pub(crate) fn check(&self, holder: &str, action: &str, resource: &str, now: i64) -> Option<i64> {
        let block = self.table.get(&self.hasher.hash_one(holder.as_bytes()))?;
        read(block, holder, action, resource, now)
    }

    /// The same for several, whose blocks are fetched together.
    pub(crate) fn check_batch(&self, queries: &[(&str, &str, &str)], now: i64, ends: &mut Vec<Option<i64>>) {
        for together in queries.chunks(TOGETHER) {
            let mut found: [Option<&[u8]>; TOGETHER] = [None; TOGETHER];
            for (place, (holder, ..)) in found.iter_mut().zip(together) {
                *place = self.table.get(&self.hasher.hash_one(holder.as_bytes())).map(|block| &**block);
            }
            // One word of each cache line, before any is read in earnest.
            for block in found.iter().flatten() {
                for byte in block.iter().step_by(64) {
                    black_box(*byte);
                }
            }
            ends.extend(together.iter().zip(found).map(|((holder, action, resource), block)| {
                block.and_then(|block| read(block, holder, action, resource, now))
            }));
        }
    }
}

#[inline]
fn read(block: &[u8], holder: &str, action: &str, resource: &str, now: i64) -> Option<i64> {
    let (name, mut rest) = take(block)?;
    if name != holder.as_bytes() {
        return None;
    }
    while let Some((end, after)) = rest.split_first_chunk::<8>() {
        let (one, after) = take(after)?;
        let (two, after) = take(after)?;
        let (prefix, after) = take(after)?;
        let end = i64::from_le_bytes(*end);
        let named = one == action.as_bytes() || two == action.as_bytes();
        if end > now && named && resource.as_bytes().starts_with(prefix) {
            return Some(end);
        }
        rest = after;
    }
    None
}

fn counted(block: &mut Vec<u8>, text: &[u8]) {
    block.push(u8::try_from(text.len()).unwrap());
    block.extend_from_slice(text);
}

#[inline]
fn take(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = bytes.split_first()?;
    rest.split_at_checked(usize::from(*length))
}

/// Takes a hash for what it is.
#[derive(Default)]
struct Hashed(u64);

impl Hasher for Hashed {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, _: &[u8]) {}

    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }
}
