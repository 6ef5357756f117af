//! Grants on record, and what they are found by.

use super::{Closed, Due, State};
use crate::domain::record::grant::{Grant, GrantPhase};
use crate::domain::value::ids::{GrantId, Principal};
use crate::domain::value::time::Timestamp;

/// What a grant is found by that changes with it.
#[derive(Default)]
struct Found {
    /// Its end, while it is open.
    end: Option<Timestamp>,
    /// Its start, while that is ahead.
    start: Option<Timestamp>,
    /// When it closed.
    closed: Option<Timestamp>,
    /// It gives the capabilities that are in its scope.
    active: bool,
}

impl Found {
    fn by(grant: &Grant) -> Self {
        Self {
            end: grant.is_open().then_some(grant.end),
            start: (grant.phase == GrantPhase::Scheduled).then_some(grant.start),
            closed: grant.closed_at(),
            active: grant.phase == GrantPhase::Active,
        }
    }
}

impl State {
    /// Puts a grant on record.
    pub(super) fn put_grant(&mut self, grant: Grant) {
        self.remove_grant(grant.id);
        self.keeps(Principal::Account(grant.holder.clone()), grant.kept_bytes());
        self.grants_of.insert(grant.person.clone(), grant.id);
        self.find(&grant, &Found::default(), &Found::by(&grant));
        let elevation = grant.elevation;
        self.grants.insert(grant.id, grant);
        self.index_approvals(elevation);
    }

    /// Changes phase or times of a grant. What it is found by as before is left alone: a million may end within a minute.
    pub(super) fn change_grant(&mut self, id: GrantId, change: impl FnOnce(&mut Grant)) {
        let Some(grant) = self.grants.get_mut(&id) else { return };
        let before = Found::by(grant);
        change(grant);
        let Some(grant) = self.grants.shared(&id) else { return };
        self.find(&grant, &before, &Found::by(&grant));
        self.index_approvals(grant.elevation);
    }

    /// Takes a grant off the record.
    pub(super) fn remove_grant(&mut self, id: GrantId) {
        let Some(old) = self.grants.remove(&id) else { return };
        self.keeps_no_more(&Principal::Account(old.holder.clone()), old.kept_bytes());
        self.grants_of.remove(&old.person, &id);
        self.find(&old, &Found::by(&old), &Found::default());
    }

    fn find(&mut self, grant: &Grant, before: &Found, now: &Found) {
        let id = grant.id;
        if before.end != now.end {
            before.end.map(|end| self.due.remove(&(end, Due::GrantEnd(id))));
            now.end.map(|end| self.due.insert((end, Due::GrantEnd(id))));
        }
        match (before.end.is_some(), now.end.is_some()) {
            (false, true) => {
                self.open_grants = self.open_grants.saturating_add(1);
                self.open_grants_by.insert(grant.holder.clone(), id);
                grant.behind.iter().for_each(|person| self.open_grants_of.insert(person.clone(), id));
            }
            (true, false) => {
                self.open_grants = self.open_grants.saturating_sub(1);
                self.open_grants_by.remove(&grant.holder, &id);
                grant.behind.iter().for_each(|person| self.open_grants_of.remove(person, &id));
            }
            (true, true) | (false, false) => {}
        }
        if before.start != now.start {
            before.start.map(|start| self.starts.remove(&(start, id)));
            now.start.map(|start| self.starts.insert((start, id)));
        }
        if before.closed != now.closed {
            before.closed.map(|at| self.closed.remove(&(at, Closed::Grant(id))));
        }
        if now.closed.is_some() {
            self.index_forgetting(grant);
        }
        if now.active {
            self.organisation.granted.put(grant);
        } else if before.active {
            self.organisation.granted.remove(id, &grant.holder);
        }
    }
}
