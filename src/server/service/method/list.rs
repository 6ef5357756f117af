//! Lists, a page at a time, in the order of keys: what stays while a list is paged is neither repeated nor skipped. The
//! view is read in slices, so that a long list holds nobody up, and rights are checked on every thing of every page.

use std::fmt::Display;
use std::str::FromStr;
use std::time::Duration;

use prost::Message;
use tonic::Status;

use super::work;

use crate::domain::rule::visibility::Viewer;
use crate::domain::state::State;
use crate::domain::value::ids::Digest;
use crate::domain::value::refusal::{Reason, Refusal};
use crate::domain::value::time::Now;
use crate::server::caller::{Broker, VerifiedCaller};
use crate::server::keys::sealed::Bound;
use crate::wire::queries::Paging;

/// Things looked at while the view is held.
const SLICE: usize = 2_000;
/// A page is cut here, so that it fits the largest response.
const PAGE_BYTES: usize = 768 * 1024;
/// How long a list waits for the sequence that it is to reach.
const WAIT_FOR_SEQUENCE: Duration = Duration::from_secs(2);

/// A page.
#[derive(Debug)]
pub(crate) struct Page<T> {
    pub(crate) items: Vec<T>,
    pub(crate) next_page_token: String,
    pub(crate) sequence: String,
}

/// A list that is asked for, and how it is walked.
pub(crate) trait Listing: Send + 'static {
    /// Its name; with the filter and the caller it is what a page token is bound to.
    const NAME: &'static str;
    type Key: Clone + Display + FromStr + Send + 'static;
    type Item: Message + 'static;

    fn paging(&self) -> &Paging;

    /// All that narrows it.
    fn filter(&self) -> String {
        String::new()
    }

    /// Offers what follows a key, in order.
    fn walk(
        &self,
        state: &State,
        viewer: &Viewer,
        now: Now,
        after: Option<&Self::Key>,
        page: &mut Draft<Self::Key, Self::Item>,
    );
}

/// A page in the making.
pub(crate) struct Draft<K, T> {
    size: usize,
    bytes: usize,
    looks_left: usize,
    items: Vec<T>,
    last_taken: Option<K>,
    last_seen: Option<K>,
    stage: Stage,
    /// The sequence of the view that it began from.
    from: Option<u64>,
}

#[derive(PartialEq)]
enum Stage {
    Looking,
    Full,
    Ended,
}

impl<K: Clone, T: Message> Draft<K, T> {
    pub(crate) fn new(size: usize) -> Self {
        let (items, last_taken, last_seen) = (Vec::new(), None, None);
        Self { size, bytes: 0, looks_left: SLICE, items, last_taken, last_seen, stage: Stage::Looking, from: None }
    }

    /// Looks at the next thing in order; `thing` is what the caller gets of it, if it is for them. False: stop here.
    pub(crate) fn offer(&mut self, key: &K, thing: impl FnOnce() -> Option<T>) -> bool {
        if self.looks_left == 0 {
            return false;
        }
        self.looks_left = self.looks_left.saturating_sub(1);
        if let Some(thing) = thing() {
            let bytes = self.bytes.saturating_add(thing.encoded_len());
            if self.items.len() >= self.size || (bytes > PAGE_BYTES && !self.items.is_empty()) {
                self.stage = Stage::Full;
                return false;
            }
            self.bytes = bytes;
            self.items.push(thing);
            self.last_taken = Some(key.clone());
        }
        self.last_seen = Some(key.clone());
        true
    }

    /// There was nothing more.
    pub(crate) fn end(&mut self) {
        self.stage = Stage::Ended;
    }
}

/// Answers one page of a list. It is put together in the caller's turn, and not on a thread that serves.
pub(crate) async fn list<L: Listing>(
    broker: &Broker,
    caller: &VerifiedCaller,
    query: L,
) -> Result<Page<L::Item>, Status> {
    let filter = query.filter();
    let bound = bound(caller, L::NAME, &filter);
    let mut draft = Draft::new(query.paging().size);
    draft.last_seen = begin(broker, caller, &bound, query.paging()).await?;
    let (reader, reading) = (broker.clone(), caller.clone());
    let draft = work::in_turn(broker, caller, move || walked(&reader, &reading, &query, draft)).await??;
    let next_page_token = next_token(broker, &bound, &draft);
    Ok(Page { items: draft.items, next_page_token, sequence: caller.sequence_text(draft.from.unwrap_or_default()) })
}

/// The page, slice by slice. It names the sequence of the first: whoever watches from there misses nothing of what came while
/// the rest was read.
fn walked<L: Listing>(
    broker: &Broker,
    caller: &VerifiedCaller,
    query: &L,
    mut draft: Draft<L::Key, L::Item>,
) -> Result<Draft<L::Key, L::Item>, Status> {
    loop {
        let after = draft.last_seen.clone();
        draft.looks_left = SLICE;
        let at = broker.read(caller, |state, viewer, now| {
            query.walk(state, viewer, now, after.as_ref(), &mut draft);
            Ok(state.sequence())
        })?;
        draft.from.get_or_insert(at);
        if draft.stage != Stage::Looking {
            return Ok(draft);
        }
        std::thread::yield_now();
    }
}

/// The key that a page begins after, once the view has come as far as was asked.
pub(crate) async fn begin<K: FromStr>(
    broker: &Broker,
    caller: &VerifiedCaller,
    bound: &Bound<'_>,
    paging: &Paging,
) -> Result<Option<K>, Status> {
    let least = caller.sequence_meant("min_sequence", paging.min_sequence.as_ref())?;
    reach(broker, caller, least).await?;
    if paging.token.is_empty() {
        return Ok(None);
    }
    let key = broker.seal.open(&bound.parts(), &paging.token);
    let key = key.and_then(|key| key.parse().ok());
    Ok(Some(key.ok_or_else(|| Refusal::new(Reason::PageTokenInvalid, ""))?))
}

/// The token of the page that follows a draft; empty if none does.
pub(crate) fn next_token<K: Display, T>(broker: &Broker, bound: &Bound<'_>, draft: &Draft<K, T>) -> String {
    match &draft.last_taken {
        Some(key) if draft.stage == Stage::Full => broker.seal.seal(&bound.parts(), &key.to_string()),
        _ => String::new(),
    }
}

impl<K, T> Draft<K, T> {
    /// Gives it a whole slice again, where the view is not held meanwhile.
    pub(crate) fn look_again(&mut self) {
        self.looks_left = SLICE;
    }

    pub(crate) fn into_items(self) -> Vec<T> {
        self.items
    }
}

/// Waits until the view has come to a sequence, if one is named.
async fn reach(broker: &Broker, caller: &VerifiedCaller, sequence: Option<u64>) -> Result<(), Status> {
    match sequence {
        Some(sequence) => {
            let reached = broker.engine.reached(sequence, WAIT_FOR_SEQUENCE).await;
            Ok(reached.map_err(|refusal| caller.redacted(refusal))?)
        }
        None => Ok(()),
    }
}

/// What the tokens of a list are bound to.
pub(crate) fn bound<'a>(caller: &'a VerifiedCaller, name: &'a str, filter: &str) -> Bound<'a> {
    Bound { caller: caller.identity.as_str(), list: name, filter: Digest::of(filter.as_bytes()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Words = Draft<String, String>;

    fn words() -> Words {
        Draft::new(2)
    }

    fn walk(draft: &mut Words, words: &[&str]) {
        for word in words {
            if !draft.offer(&(*word).to_owned(), || (!word.starts_with('-')).then(|| (*word).to_owned())) {
                return;
            }
        }
        draft.end();
    }

    #[test]
    fn a_page_is_full_only_if_something_follows_it() {
        let mut exact = words();
        walk(&mut exact, &["a", "-", "b", "-"]);
        assert!(exact.stage == Stage::Ended && exact.items == ["a", "b"]);
        let mut more = words();
        walk(&mut more, &["a", "b", "-", "c"]);
        assert!(more.stage == Stage::Full && more.items == ["a", "b"]);
        assert_eq!(more.last_taken.as_deref(), Some("b"));
    }

    #[test]
    fn a_page_is_cut_where_a_response_would_be_too_large_yet_never_empty() {
        let large = "x".repeat(PAGE_BYTES);
        let mut draft: Words = Draft::new(9);
        walk(&mut draft, &[&large, "b"]);
        assert!(draft.stage == Stage::Full && draft.items.len() == 1);
    }

    #[test]
    fn a_slice_ends_where_it_has_looked_at_enough_and_goes_on_from_there() {
        let mut draft: Words = Draft::new(2);
        draft.looks_left = 3;
        walk(&mut draft, &["-1", "-2", "-3", "-4"]);
        assert!(draft.stage == Stage::Looking);
        assert_eq!(draft.last_seen.as_deref(), Some("-3"));
    }
}
