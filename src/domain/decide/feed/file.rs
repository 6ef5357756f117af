//! Whether a whole file agrees with itself: managers who are in it, no circles, no identity twice. All conflicts are
//! reported together, and nothing of the file is imported.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use crate::domain::record::hr::ImportedPerson;
use crate::domain::value::ids::{Identity, PersonId};
use crate::domain::value::refusal::{Reason, Refusal};

/// The people of a file.
pub(super) type People = BTreeMap<PersonId, ImportedPerson>;

/// At most this many conflicts are reported one by one.
const TOLD: usize = 500;

/// Something in a file that contradicts the rest, or the directory.
pub(super) struct Conflict {
    pub(super) reason: Reason,
    pub(super) text: String,
}

impl Conflict {
    pub(super) fn new(reason: Reason, text: String) -> Self {
        Self { reason, text }
    }
}

/// One refusal for all conflicts, with their reason if they share one.
///
/// # Errors
/// If there are any.
pub(super) fn refuse(conflicts: &[Conflict]) -> Result<(), Refusal> {
    let Some(first) = conflicts.first() else { return Ok(()) };
    let alike = conflicts.iter().all(|conflict| conflict.reason == first.reason);
    let reason = if alike { first.reason } else { Reason::ImportInvalid };
    let mut refusal = Refusal::new(reason, format!("{}; {} to mend", first.text, conflicts.len()));
    for (number, conflict) in (1_u32..).zip(conflicts.iter().take(TOLD)) {
        refusal = refusal.with(&format!("mistake.{number:04}"), &conflict.text);
    }
    Err(refusal)
}

/// The people of a file, managers before their reports. A manager who is missing, and a circle of managers, is a
/// conflict.
pub(super) fn from_the_top<'a>(people: &'a People, conflicts: &mut Vec<Conflict>) -> Vec<&'a PersonId> {
    let mut reports: BTreeMap<&PersonId, Vec<&PersonId>> = BTreeMap::new();
    let mut next = VecDeque::new();
    for (id, person) in people {
        match &person.manager {
            Some(manager) if people.contains_key(manager) => reports.entry(manager).or_default().push(id),
            Some(manager) => {
                let text = format!("`{id}`: the manager `{manager}` is not in the file");
                conflicts.push(Conflict::new(Reason::ImportInvalid, text));
                next.push_back(id);
            }
            None => next.push_back(id),
        }
    }
    let mut ordered = Vec::with_capacity(people.len());
    while let Some(id) = next.pop_front() {
        ordered.push(id);
        next.extend(reports.remove(id).into_iter().flatten());
    }
    if ordered.len() < people.len() {
        circles(people, &ordered, conflicts);
    }
    ordered
}

/// Whoever is not reached from the top is in a circle, or below one. Each circle is reported once.
fn circles(people: &People, ordered: &[&PersonId], conflicts: &mut Vec<Conflict>) {
    let mut done: BTreeSet<&PersonId> = ordered.iter().copied().collect();
    for start in people.keys() {
        let mut way: Vec<&PersonId> = Vec::new();
        let mut at = Some(start);
        while let Some(id) = at.filter(|id| done.insert(id)) {
            way.push(id);
            at = people.get(id).and_then(|person| person.manager.as_ref());
        }
        // It is a new circle only if this walk has come back to itself.
        let Some(from) = at.and_then(|id| way.iter().position(|met| *met == id)) else { continue };
        let circle: Vec<String> = way.iter().skip(from).map(|id| format!("`{id}`")).collect();
        let text = match circle.as_slice() {
            [first, rest @ ..] if !rest.is_empty() => {
                format!("{first} would be their own manager, over {}", rest.join(", "))
            }
            _ => format!("{} would be their own manager", circle.concat()),
        };
        conflicts.push(Conflict::new(Reason::ImportInvalid, text));
    }
}

/// No identity means two persons.
pub(super) fn claims<'a>(people: &'a People, conflicts: &mut Vec<Conflict>) -> BTreeMap<&'a Identity, &'a PersonId> {
    let mut claims: BTreeMap<&Identity, &PersonId> = BTreeMap::new();
    for (id, person) in people {
        for identity in &person.login {
            if let Some(other) = claims.insert(identity, id) {
                let text = format!("`{id}` and `{other}`: both have the identity `{identity}`");
                conflicts.push(Conflict::new(Reason::ImportInvalid, text));
            }
        }
    }
    claims
}
