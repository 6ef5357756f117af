//! Which rows of the journal are read for whom: a filter without anything left to look up, and what a viewer's rights leave of it.

use std::collections::{BTreeMap, BTreeSet};

use crate::domain::record::event::{Actor, Event};
use crate::domain::rule::visibility::{Viewer, audits_tenants, audits_whole};
use crate::domain::state::State;
use crate::domain::value::ids::Digest;
use crate::domain::value::time::{Now, Timestamp};
use crate::engine::{History, HistoryError};
use crate::journal::index::{self, Filter};

/// Rows that are read from the journal at a time.
pub(super) const STEP_ROWS: usize = 100;

/// A filter without anything left to look up.
#[derive(Debug, Clone, Default)]
pub(super) struct Meant {
    /// By one of these; none: by whomever.
    pub(super) actors: Option<Vec<Acting>>,
    pub(super) kind: Option<String>,
    pub(super) about: Option<String>,
    pub(super) from: Option<Timestamp>,
    pub(super) until: Option<Timestamp>,
}

/// An actor, and when what it did counts.
#[derive(Debug, Clone)]
pub(super) struct Acting {
    pub(super) actor: String,
    /// From which events on the account was the person's, and from which on it was not; none: always.
    pub(super) turns: Option<Vec<(u64, bool)>>,
}

impl Meant {
    /// Whether an event at a sequence is by one of those who are meant.
    pub(super) fn is_by(&self, actor: &Actor, at: u64) -> bool {
        let Some(actors) = &self.actors else { return true };
        let actor = actor.to_string();
        actors.iter().any(|acting| acting.actor == actor && acting.counts(at))
    }
}

impl Acting {
    pub(super) fn always(actor: String) -> Self {
        Self { actor, turns: None }
    }

    fn counts(&self, at: u64) -> bool {
        let Some(turns) = &self.turns else { return true };
        turns.iter().take_while(|(from, _)| *from <= at).last().is_some_and(|(_, counts)| *counts)
    }
}

/// Whether the viewer's `audit.read` is of the whole journal, but for what touches tenants.
pub(super) fn reads_all(state: &State, viewer: &Viewer, now: Now) -> bool {
    audits_whole(state.organisation(), viewer, now)
}

/// Whether that is so, and of what touches tenants as well.
pub(super) fn audits_all(state: &State, viewer: &Viewer, now: Now) -> bool {
    reads_all(state, viewer, now) && audits_tenants(state.organisation(), viewer, now)
}

/// The filters to ask the index with: for each actor one for a reader of everything, up to three for all others.
pub(super) fn narrowed(state: &State, viewer: &Viewer, meant: &Meant, now: Now) -> Vec<Filter> {
    let by = |actor: Option<String>| Filter {
        actor,
        kind: meant.kind.clone(),
        about: meant.about.clone(),
        about_any: None,
        about_things_of: None,
        of_no_tenant: false,
        from: meant.from,
        until: meant.until,
    };
    let all: Vec<Filter> = match &meant.actors {
        None => vec![by(None)],
        Some(actors) => actors.iter().map(|acting| by(Some(acting.actor.clone()))).collect(),
    };
    if audits_all(state, viewer, now) {
        return all;
    }
    let organisation = state.organisation();
    let own = viewer.principal.to_string();
    let tenant = viewer.account().ok().and_then(|id| organisation.tenant_of_account(id));
    let about = viewer.person.iter().map(|person| format!("person:{person}")).chain([own.clone()]);
    let about: BTreeSet<String> = about.chain(tenant.map(|tenant| format!("tenant:{tenant}"))).collect();
    let mut filters: Vec<Filter> =
        all.iter().map(|it| Filter { about_things_of: Some(about.clone()), ..it.clone() }).collect();
    if reads_all(state, viewer, now) {
        filters.extend(all.iter().map(|it| Filter { of_no_tenant: true, ..it.clone() }));
    }
    if all.iter().any(|it| it.actor.as_ref().is_none_or(|actor| *actor == own)) {
        filters.push(by(Some(own)));
    }
    filters
}

/// An event, its row as stored, and for auditors the chain's hash there.
pub(super) type Stored = (Event, String, Option<Digest>);

/// At most [`STEP_ROWS`] rows that meet one of the filters, by sequence.
pub(super) fn rows(
    history: &History,
    filters: &[Filter],
    after: Option<u64>,
    with_hash: bool,
) -> Result<BTreeMap<u64, Stored>, HistoryError> {
    let mut rows = BTreeMap::new();
    for filter in filters {
        let past = history.list(filter, index::Page { after, limit: STEP_ROWS, newest_first: false })?;
        for (event, body) in past.events.into_iter().zip(past.bodies) {
            let hash = if with_hash { history.hash(event.sequence)? } else { None };
            rows.insert(event.sequence, (event, body, hash));
        }
    }
    // Only so many are complete: beyond them a filter may have rows that were not read.
    Ok(rows.into_iter().take(STEP_ROWS).collect())
}
