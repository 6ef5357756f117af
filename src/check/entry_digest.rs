//! The text of an entry, made again from what a block holds of it: so that an index can give the digest of what it holds
//! without keeping a digest for each entry.

use super::block::draft::Draft;
use super::bytes::{Cursor, put_counted_u16};
use super::compiled::pattern_texts;
use super::entry::{ACCOUNT, GRANT, account_flags, grant_flags};
use crate::domain::value::ids::Digest;

/// The digest of the account's entry, if the account is there.
pub(super) fn account_digest(draft: &Draft<'_>) -> Option<Digest> {
    let account = draft.account()?;
    let (holder, identities) = draft.names().split_first()?;
    let mut body = vec![ACCOUNT];
    put_counted_u16(&mut body, holder);
    body.push(account_flags(account.active, account.locked));
    body.extend_from_slice(&account.baseline_until.millis().to_le_bytes());
    body.extend_from_slice(&account.checks_until.millis().to_le_bytes());
    put_texts(&mut body, identities.iter().map(|identity| identity.to_vec()).collect());
    put_texts(&mut body, pattern_texts(account.audience));
    Some(Digest::of(&body))
}

/// The digest of a grant's entry, if the holder has that grant.
pub(super) fn grant_digest(draft: &Draft<'_>, id: &[u8; 16]) -> Option<Digest> {
    let grant = draft.grant(id)?;
    let mut body = vec![GRANT];
    put_counted_u16(&mut body, draft.names().first()?);
    body.extend_from_slice(id);
    body.push(grant_flags(grant.started, grant.locked));
    body.extend_from_slice(&grant.end.millis().to_le_bytes());
    let mut actions = Cursor(&grant.actions);
    let mut texts = Vec::new();
    while !actions.is_empty() {
        texts.push(actions.counted_u8()?.to_vec());
    }
    put_texts(&mut body, texts);
    put_texts(&mut body, pattern_texts(&grant.patterns));
    Some(Digest::of(&body))
}

/// Sorted by bytes, whatever order they are kept in.
fn put_texts(body: &mut Vec<u8>, mut texts: Vec<Vec<u8>>) {
    texts.sort_unstable();
    body.extend_from_slice(&u16::try_from(texts.len()).unwrap_or(u16::MAX).to_le_bytes());
    texts.iter().for_each(|text| put_counted_u16(body, text));
}
