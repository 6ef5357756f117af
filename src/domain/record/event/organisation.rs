//! Facts about the files in force, and the records of people and accounts.

use serde::{Deserialize, Serialize};

use super::subject::Subject;
use crate::domain::directory::{Account, Person, Tenant};
use crate::domain::value::ids::{AccountId, Digest, PersonId, TenantName};

facts! {
    /// The files in force, and the records of people and accounts.
    OrganisationFact {
        /// A policy came into force.
        PolicyLoaded(FileLoaded) "policy-loaded/1";
        /// A directory came into force; the records that it changed, and what follows from them, are in the same batch.
        DirectoryLoaded(FileDigest) "directory-loaded/1";
        /// A tenant is on record as this.
        TenantRecorded(TenantRecorded) "tenant-recorded/1";
        /// A person is on record as this.
        PersonRecorded(PersonRecorded) "person-recorded/1";
        /// An account is on record as this.
        AccountRecorded(AccountRecorded) "account-recorded/1";
    }
}

impl OrganisationFact {
    /// What it is about.
    #[must_use]
    pub fn about(&self) -> Vec<Subject> {
        match self {
            Self::PolicyLoaded(_) => vec![Subject::Policy],
            Self::DirectoryLoaded(_) | Self::TenantRecorded(_) => vec![Subject::Directory],
            Self::PersonRecorded(fact) => vec![Subject::Person(fact.id.clone())],
            Self::AccountRecorded(fact) => {
                vec![Subject::Account(fact.id.clone()), Subject::Person(fact.account.person().clone())]
            }
        }
    }
}

bodies! {
    /// A file as a whole.
    FileLoaded { digest: Digest, replaces: Option<Digest>, text: String }
    /// A file by its digest.
    FileDigest { digest: Digest, replaces: Option<Digest> }
    /// A tenant's record.
    TenantRecorded { id: TenantName, tenant: Tenant }
    /// A person's record.
    PersonRecorded { id: PersonId, person: Person }
    /// An account's record.
    AccountRecorded { id: AccountId, account: Account }
}
