//! Identities that a directory file moves: from a person who has one, or had it within 180 days, to another. The text names both,
//! and neither of them is behind the file or approves it (known failure B10).

use std::collections::BTreeSet;
use std::fmt;

use crate::domain::record::event::{Fact, OrganisationFact};
use crate::domain::state::organisation::Organisation;
use crate::domain::value::ids::{Identity, PersonId};
use crate::domain::value::refusal::{Reason, Refusal};
use crate::domain::value::time::Timestamp;

/// An identity that moves.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct IdentityMove {
    identity: Identity,
    from: PersonId,
    to: PersonId,
}

impl fmt::Display for IdentityMove {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "identity {} moves: {} -> {}", self.identity, self.from, self.to)
    }
}

/// All that records move.
pub(super) fn between_persons(before: &Organisation, records: &[Fact], at: Timestamp) -> BTreeSet<IdentityMove> {
    let records = records.iter().filter_map(|fact| if let Fact::Organisation(fact) = fact { Some(fact) } else { None });
    let given = records.flat_map(|fact| -> Vec<(&Identity, &PersonId)> {
        match fact {
            OrganisationFact::AccountRecorded(fact) => {
                let old = before.accounts().get(&fact.id);
                // An account that becomes another person's takes all that it has along; a machine is known as itself.
                let same = old.filter(|old| {
                    let (machine, person) = (old.is_machine(), old.person());
                    machine == fact.account.is_machine() && (machine || person == fact.account.person())
                });
                let is_new = |it: &&Identity| same.is_none_or(|old| !old.identities.contains(*it));
                fact.account.identities.iter().filter(is_new).map(|it| (it, fact.account.person())).collect()
            }
            OrganisationFact::PersonRecorded(fact) => {
                let old = before.people().get(&fact.id);
                let is_new = |it: &&Identity| old.is_none_or(|old| !old.login.contains(*it));
                fact.person.login.iter().filter(is_new).map(|it| (it, &fact.id)).collect()
            }
            OrganisationFact::PolicyLoaded(_)
            | OrganisationFact::DirectoryLoaded(_)
            | OrganisationFact::TenantRecorded(_) => Vec::new(),
        }
    });
    let moves = given.flat_map(|(identity, to)| {
        let others = before.others_with(identity, to, at).into_iter();
        others.map(|from| IdentityMove { identity: identity.clone(), from, to: to.clone() })
    });
    moves.collect()
}

/// Neither of the two persons is behind a file that moves an identity from one to the other.
///
/// # Errors
/// `OWN_STANDING`.
pub(super) fn by_others(moves: &BTreeSet<IdentityMove>, authors: &BTreeSet<PersonId>) -> Result<(), Refusal> {
    let own =
        moves.iter().find_map(|it| [&it.from, &it.to].into_iter().find(|one| authors.contains(*one)).zip(Some(it)));
    let Some((author, it)) = own else { return Ok(()) };
    let detail = format!("`{}` would move from `{}` to `{}`", it.identity, it.from, it.to);
    Err(Refusal::new(Reason::OwnStanding, detail).with("person", author).with("identity", &it.identity))
}
