//! Which identities belong to persons: `person_identities`.

use super::Policy;
use crate::domain::value::ids::Identity;

impl Policy {
    /// Whether a person may be known by an identity: where policy says which belong to persons, no other. A machine's certificate,
    /// which its owner has, would else be made to mean whoever approves for them (known failure B16).
    #[must_use]
    pub fn may_be_a_persons(&self, identity: &Identity) -> bool {
        self.person_identities.is_empty() || self.is_of_persons(identity)
    }

    /// Whether an identity is of those that belong to persons alone.
    #[must_use]
    pub fn is_of_persons(&self, identity: &Identity) -> bool {
        self.person_identities.iter().any(|pattern| pattern.fits(identity))
    }
}
