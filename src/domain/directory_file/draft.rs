//! What was read of a directory file so far, and the places of all that must be compared with the rest.

use std::collections::BTreeMap;

use crate::domain::directory::Directory;
use crate::domain::value::ids::{AccountId, Identity, PersonId, TenantName};
use crate::domain::value::scope::Pattern;

/// What was read so far, and the places of all that must be compared with the rest.
#[derive(Default)]
pub(super) struct Draft {
    pub(super) directory: Directory,
    /// Every mention of a person, to be found among the people.
    pub(super) persons_named: Vec<(PersonId, usize, String)>,
    pub(super) managers: BTreeMap<PersonId, (usize, String)>,
    pub(super) identities: Vec<NamedIdentity>,
    pub(super) audiences: Vec<(AccountId, Pattern, usize)>,
    pub(super) tenants_named: Vec<(TenantName, usize, String)>,
    pub(super) places_of_accounts: BTreeMap<AccountId, (usize, String)>,
}

/// An identity, whose it is said to be, and where.
pub(super) struct NamedIdentity {
    pub(super) identity: Identity,
    pub(super) holder: Holder,
    pub(super) at: usize,
    pub(super) path: String,
}

#[derive(Clone, PartialEq, Eq)]
pub(super) enum Holder {
    Login(PersonId),
    Account(AccountId),
}

impl std::fmt::Display for Holder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Login(person) => write!(f, "people.{person}.login"),
            Self::Account(account) => write!(f, "accounts.{account}.identities"),
        }
    }
}
