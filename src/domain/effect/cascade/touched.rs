//! Whose standing a change may have changed.

use std::collections::BTreeSet;

use crate::domain::value::ids::PersonId;

/// Whose standing may have changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Touched {
    /// That of these persons.
    Persons(BTreeSet<PersonId>),
    /// Everybody's: the policy changed.
    All,
}
