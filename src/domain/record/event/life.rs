//! Facts about what time and acts do to people, memberships and accounts.

use serde::{Deserialize, Serialize};

use super::subject::Subject;
use crate::domain::value::ids::{AccountId, PersonId, Principal, RequirementName, RoleName};
use crate::domain::value::time::Timestamp;

facts! {
    /// What time and acts do to people, memberships and accounts.
    LifeFact {
        /// A requirement of a person lapsed.
        RequirementLapsed(RequirementLapsed) "requirement-lapsed/1";
        /// A requirement of a person lapses soon: 30, 7 and 1 days ahead.
        LapseAhead(LapseAhead) "lapse-ahead/1";
        /// It was recorded that a person met a requirement; the person's record follows.
        AttestationRecorded(AttestationRecorded) "attestation-recorded/1";
        /// An attestation was corrected, or taken back; the person's record follows.
        AttestationCorrected(AttestationCorrected) "attestation-corrected/1";
        /// A person left: the last day is over. The records that it changes follow.
        PersonLeft(PersonNamed) "person-left/1";
        /// A transfer took effect. The records that it changes follow.
        PersonMoved(PersonNamed) "person-moved/1";
        /// A membership came to its end.
        MembershipEnded(MembershipEnded) "membership-ended/1";
        /// Somebody ended a membership before its time; the account's record follows.
        MembershipRevoked(MembershipRevoked) "membership-revoked/1";
        /// An account came to its own end.
        AccountEnded(AccountEnded) "account-ended/1";
        /// Somebody closed an account; its record follows.
        AccountClosed(AccountClosed) "account-closed/1";
    }
}

impl LifeFact {
    /// What it is about.
    #[must_use]
    pub fn about(&self) -> Vec<Subject> {
        match self {
            Self::RequirementLapsed(RequirementLapsed { person, .. })
            | Self::LapseAhead(LapseAhead { person, .. })
            | Self::AttestationRecorded(AttestationRecorded { person, .. })
            | Self::AttestationCorrected(AttestationCorrected { person, .. })
            | Self::PersonLeft(PersonNamed { person })
            | Self::PersonMoved(PersonNamed { person }) => vec![Subject::Person(person.clone())],
            Self::MembershipEnded(MembershipEnded { account, .. })
            | Self::AccountEnded(AccountEnded { account })
            | Self::MembershipRevoked(MembershipRevoked { account, .. })
            | Self::AccountClosed(AccountClosed { account, .. }) => vec![Subject::Account(account.clone())],
        }
    }
}

bodies! {
    /// What lapsed.
    RequirementLapsed { person: PersonId, requirement: RequirementName }
    /// What lapses, when, and how many days ahead this is told.
    LapseAhead { person: PersonId, requirement: RequirementName, lapses_at: Timestamp, days: u32 }
    /// What was met, when, and what shows it.
    AttestationRecorded { person: PersonId, requirement: RequirementName, met_at: Timestamp, evidence: String }
    /// What stood, what stands now (none: nothing), and why.
    AttestationCorrected { person: PersonId, requirement: RequirementName, before: Option<Timestamp>, met_at: Option<Timestamp>, reason: String }
    /// Who.
    PersonNamed { person: PersonId }
    /// What ended.
    MembershipEnded { account: AccountId, role: RoleName }
    /// Which, and why.
    MembershipRevoked { account: AccountId, role: RoleName, by: Principal, reason: String }
    /// What ended.
    AccountEnded { account: AccountId }
    /// Which, and why.
    AccountClosed { account: AccountId, by: Principal, reason: String }
}
