//! What is asked of the index, and what it answers.

use std::collections::BTreeSet;

use crate::domain::value::time::Timestamp;

/// Which events a list wants: those that meet every condition given.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    /// Who did it, as the body says.
    pub actor: Option<String>,
    /// The kind: `grant-revoked/1`, or `grant-revoked` for every version of it.
    pub kind: Option<String>,
    /// What it is about: `person:ana`.
    pub about: Option<String>,
    /// About any one of these, which is how a caller is kept to what they may see. An empty set allows nothing.
    pub about_any: Option<BTreeSet<String>>,
    /// About any one of these, or about an elevation or a grant that an event about one of them is about as well: what
    /// a person may see is among it, and whether they may is asked for each event.
    pub about_things_of: Option<BTreeSet<String>>,
    /// About nothing that touches a tenant: neither that itself nor any elevation or grant that does.
    pub of_no_tenant: bool,
    /// At this instant or later.
    pub from: Option<Timestamp>,
    /// Before this instant.
    pub until: Option<Timestamp>,
}

/// Which part of a list is wanted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Page {
    /// The last sequence of the page before: what follows it in the order asked for.
    pub after: Option<u64>,
    /// The most to answer.
    pub limit: usize,
    /// From the newest to the oldest.
    pub newest_first: bool,
}

/// A page of a list.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Listed {
    /// The events, by sequence, in the order asked for.
    pub sequences: Vec<u64>,
    /// How far the index had come: no event after this is in it.
    pub reached: u64,
}
