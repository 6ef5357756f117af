//! What a check is held against: the barest layout that a server could answer the same question from, while a writer
//! changes it. One table from a hash to one allocation a holder, in which names, ends, actions and patterns lie inline.
//!
//! It does: look a holder up by its id or its identity, under the lock of a shard of the same map; compare that name
//! whole; ask whether the resource is in the caller's audience, one literal prefix; answer by the grant that ends last
//! of those whose action and literal prefix match, if what is left of the resource is valid segments.
//!
//! It does not: know of `*`, exact patterns, more than one pattern or two actions a grant, accounts that cannot be
//! used, grants to come, their ids, a baseline, enforcement points that end, names of one hash, nor give a reason.

use std::hash::{BuildHasher, BuildHasherDefault, Hasher};
use std::hint::black_box;
use std::sync::Arc;

use dashmap::DashMap;
use dashmap::mapref::one::Ref;

/// Queries looked up before the first is answered.
const TOGETHER: usize = 16;
const SHARDS: usize = 64;

pub(crate) struct Floor {
    table: DashMap<u64, Arc<[u8]>, BuildHasherDefault<Hashed>>,
    hasher: foldhash::quality::RandomState,
    audience: &'static str,
}

/// One grant: its end, its actions and the text that every resource of it begins with.
pub(crate) struct Held<'a> {
    pub(crate) end: i64,
    pub(crate) actions: [&'a str; 2],
    pub(crate) prefix: String,
}

impl Floor {
    /// For a caller that may ask about what begins so.
    pub(crate) fn new(audience: &'static str) -> Self {
        let table = DashMap::with_hasher_and_shard_amount(BuildHasherDefault::default(), SHARDS);
        Self { table, hasher: foldhash::quality::RandomState::default(), audience }
    }

    /// The grant that ends last comes first.
    pub(crate) fn put(&self, names: [&str; 2], grants: &[Held<'_>]) {
        let mut block = Vec::new();
        names.iter().for_each(|name| counted(&mut block, name.as_bytes()));
        for grant in grants {
            block.extend_from_slice(&grant.end.to_le_bytes());
            grant.actions.iter().for_each(|action| counted(&mut block, action.as_bytes()));
            counted(&mut block, grant.prefix.as_bytes());
        }
        let block: Arc<[u8]> = block.into();
        for name in names {
            self.table.insert(self.hash(name), Arc::clone(&block));
        }
    }

    /// The end of the grant that allows it.
    #[inline]
    pub(crate) fn check(&self, holder: &str, action: &str, resource: &str, now: i64) -> Option<i64> {
        self.table.view(&self.hash(holder), |_, block| self.read(block, holder, action, resource, now)).flatten()
    }

    /// The same for several, whose blocks are fetched together.
    pub(crate) fn check_batch(&self, queries: &[(&str, &str, &str)], now: i64, ends: &mut Vec<Option<i64>>) {
        for together in queries.chunks(TOGETHER) {
            let mut found: [Option<Ref<'_, u64, Arc<[u8]>>>; TOGETHER] = Default::default();
            for (place, (holder, ..)) in found.iter_mut().zip(together) {
                *place = self.table.get(&self.hash(holder));
            }
            // One word of each cache line, before any is read in earnest.
            for block in found.iter().flatten() {
                for byte in block.iter().step_by(64) {
                    black_box(*byte);
                }
            }
            ends.extend(together.iter().zip(&found).map(|((holder, action, resource), block)| {
                block.as_ref().and_then(|block| self.read(block, holder, action, resource, now))
            }));
        }
    }

    fn hash(&self, name: &str) -> u64 {
        let mut hasher = self.hasher.build_hasher();
        hasher.write(name.as_bytes());
        hasher.finish()
    }

    #[inline]
    fn read(&self, block: &[u8], holder: &str, action: &str, resource: &str, now: i64) -> Option<i64> {
        if !resource.starts_with(self.audience) {
            return None;
        }
        let (id, rest) = take(block)?;
        let (identity, mut rest) = take(rest)?;
        if identity != holder.as_bytes() && id != holder.as_bytes() {
            return None;
        }
        while let Some((end, after)) = rest.split_first_chunk::<8>() {
            let (one, after) = take(after)?;
            let (two, after) = take(after)?;
            let (prefix, after) = take(after)?;
            let end = i64::from_le_bytes(*end);
            if end <= now {
                return None;
            }
            let named = one == action.as_bytes() || two == action.as_bytes();
            if named && resource.as_bytes().strip_prefix(prefix).is_some_and(is_tail) {
                return Some(end);
            }
            rest = after;
        }
        None
    }
}

/// Segments, none of them empty or of dots alone, of the right alphabet.
fn is_tail(tail: &[u8]) -> bool {
    tail.split(|byte| *byte == b'/').all(|segment| {
        !matches!(segment, b"" | b"." | b"..") && segment.iter().all(|byte| IN_SEGMENTS[usize::from(*byte)])
    })
}

static IN_SEGMENTS: [bool; 256] = {
    let mut table = [false; 256];
    let allowed = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._@:+=-";
    let mut position = 0;
    while position < allowed.len() {
        table[allowed[position] as usize] = true;
        position += 1;
    }
    table
};

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
#[derive(Default, Clone)]
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
