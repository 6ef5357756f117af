//! Commands about what people have proved.

use serde::Serialize;

use crate::domain::value::ids::{PersonId, RequirementName};
use crate::domain::value::time::Timestamp;

commands! {
    /// What people have proved.
    AttestationCommand in Attestation {
        /// Record that a person met a requirement.
        Record(RecordAttestation) "record-attestation";
        /// Put an attestation right, or take it back.
        Correct(CorrectAttestation) "correct-attestation";
    }
}

impl AttestationCommand {
    /// Whether it only takes access away: it goes first, and goes on while the clock is suspect.
    #[must_use]
    pub fn takes_away(&self) -> bool {
        match self {
            Self::Record(_) => false,
            Self::Correct(command) => command.met_at.is_none(),
        }
    }

    /// What it is about, for the record of a refusal.
    #[must_use]
    pub fn about(&self) -> Option<String> {
        let person = match self {
            Self::Record(command) => &command.person,
            Self::Correct(command) => &command.person,
        };
        Some(format!("person:{person}"))
    }

    /// How many bytes of free text it adds to the journal; none if it adds sets of any size as well.
    #[must_use]
    pub fn words_bytes(&self) -> Option<usize> {
        match self {
            Self::Record(command) => Some(command.evidence.len()),
            Self::Correct(command) => Some(command.reason.len()),
        }
    }
}

/// Record that a person met a requirement.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RecordAttestation {
    /// Who.
    pub person: PersonId,
    /// What.
    pub requirement: RequirementName,
    /// When; never in the future.
    pub met_at: Timestamp,
    /// What shows it: a reference, for the record.
    pub evidence: String,
}

/// Put an attestation right, or take it back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CorrectAttestation {
    /// Whose.
    pub person: PersonId,
    /// Of what.
    pub requirement: RequirementName,
    /// When it was really met; none: it was not.
    pub met_at: Option<Timestamp>,
    /// For the record.
    pub reason: String,
}
