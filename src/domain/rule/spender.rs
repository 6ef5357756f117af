//! Who answers for the work that a call makes: what one person, with all their accounts, or one machine takes of the broker is
//! counted together, so that nobody has more by having more accounts (design.md 3).

use crate::domain::directory::AccountKind;
use crate::domain::policy::CapabilityName;
use crate::domain::state::State;
use crate::domain::state::organisation::Organisation;
use crate::domain::value::ids::{AccountId, Identity, PersonId, Principal};
use crate::domain::value::time::Timestamp;

/// With whose work a call is counted.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Spender {
    /// A person, by whichever of their own accounts, or without one.
    Person(PersonId),
    /// A machine. It is counted by itself, so that one of an owner's machines does not starve the others, or the owner.
    Machine(AccountId),
    /// All certificates together that mean nobody here: one authority may sign thousands.
    Unknown,
}

/// Who may take access from others: a lock, a revocation and a leaving have places that nobody else can fill.
const TAKES_FROM_OTHERS: [CapabilityName; 3] =
    [CapabilityName::LockManage, CapabilityName::GrantRevoke, CapabilityName::HrFeed];
/// Who watches over others, or says who still works here, and is not kept waiting by them.
const WATCHES_OVER: [CapabilityName; 4] =
    [CapabilityName::AuditRead, CapabilityName::LockManage, CapabilityName::GrantRevoke, CapabilityName::HrFeed];
/// Who records facts about many: whole staffs in a morning.
const RECORDS_MANY: [CapabilityName; 2] = [CapabilityName::HrFeed, CapabilityName::AttestationRecord];

impl Spender {
    /// How much memory what is kept of them takes, about.
    #[must_use]
    pub fn kept_in(&self, state: &State) -> u64 {
        let by = |id: &AccountId| state.kept_by(&Principal::Account(id.clone()));
        match self {
            Self::Person(person) => {
                let own = state.organisation().accounts_of(person).filter(|(_, account)| !account.is_machine());
                let without_account = state.kept_by(&Principal::Person(person.clone()));
                own.map(|(id, _)| by(id)).fold(without_account, u64::saturating_add)
            }
            Self::Machine(id) => by(id),
            Self::Unknown => 0,
        }
    }
}

impl Organisation {
    /// With whose work a call by this identity is counted.
    #[must_use]
    pub fn spender(&self, identity: &Identity) -> Spender {
        match self.principal(identity) {
            Some(Principal::Person(person)) => Spender::Person(person.clone()),
            Some(Principal::Account(id)) => match self.accounts().get(id).map(|account| &account.kind) {
                Some(AccountKind::Service { .. }) => Spender::Machine(id.clone()),
                Some(AccountKind::ServiceTeam { person } | AccountKind::Customer { person, .. }) => {
                    Spender::Person(person.clone())
                }
                None => Spender::Unknown,
            },
            None => Spender::Unknown,
        }
    }

    /// Whether a call by this identity may take access from others than whoever calls.
    #[must_use]
    pub fn takes_from_others(&self, identity: &Identity, at: Timestamp) -> bool {
        self.has_any_of(identity, &TAKES_FROM_OTHERS, at)
    }

    /// Whether a call by this identity may record what is so of many.
    #[must_use]
    pub fn records_many(&self, identity: &Identity, at: Timestamp) -> bool {
        self.has_any_of(identity, &RECORDS_MANY, at)
    }

    /// Whether a call by this identity is by somebody who watches over others.
    #[must_use]
    pub fn watches_over(&self, identity: &Identity, at: Timestamp) -> bool {
        self.has_any_of(identity, &WATCHES_OVER, at)
    }

    fn has_any_of(&self, identity: &Identity, names: &[CapabilityName], at: Timestamp) -> bool {
        let Some(Principal::Account(id)) = self.principal(identity) else { return false };
        names.iter().any(|name| self.capability(id, *name, at).is_some())
    }
}
