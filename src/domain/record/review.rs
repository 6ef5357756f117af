//! The review, written once for all that is reviewed: stages in order, distinct persons, a text with its digest, a
//! deadline, decisions.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::called_from::Call;
use crate::domain::policy::{Approver, Stage};
use crate::domain::value::deceptive::is_deceptive;
use crate::domain::value::ids::{AccountId, Digest, PersonId, Principal};
use crate::domain::value::refusal::Reason;
use crate::domain::value::time::Timestamp;

/// A review under way or done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Review {
    /// The steps, as the terms had them when it was opened.
    pub stages: Vec<Stage>,
    /// What is approved: `key: value` lines, made once.
    pub text: String,
    /// When it expires undecided.
    pub deadline: Timestamp,
    /// In the order in which they were made.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub decisions: Vec<Decision>,
}

/// What became of an elevation, an enrolment or a proposal. Requests expire; grants end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Phase<Outcome, Cause> {
    /// It waits for decisions.
    #[default]
    Pending,
    /// All stages are complete, and it led to this. Final.
    Approved {
        /// When.
        at: Timestamp,
        /// For an elevation, the one grant that it led to.
        outcome: Outcome,
    },
    /// A reviewer said no. Final.
    Denied {
        /// When.
        at: Timestamp,
    },
    /// The requester took it back. Final.
    Withdrawn {
        /// When.
        at: Timestamp,
        /// Who: the requester, or somebody behind the request.
        by: Principal,
        /// In their words.
        reason: String,
    },
    /// Its deadline passed. Final.
    Expired {
        /// When that was recorded.
        at: Timestamp,
    },
    /// A change made it void. Final.
    Cancelled {
        /// When.
        at: Timestamp,
        /// Why.
        because: Cause,
    },
}

/// What one person decided.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Decision {
    /// Who.
    pub person: PersonId,
    /// From which account.
    pub account: AccountId,
    /// By which call.
    pub call: Call,
    /// In which capacity.
    pub through: Approver,
    /// In which stage, counted from 0.
    pub stage: u32,
    /// When.
    pub at: Timestamp,
    /// Yes or no.
    pub verdict: Verdict,
    /// The approver's comment, or the reason of a denial.
    pub comment: String,
    /// Why it no longer counts, if so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub struck: Option<StruckOut>,
}

/// A reviewer's yes or no.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Counts towards its stage.
    Approved,
    /// Ends the review.
    Denied,
}

/// Why an approval no longer counts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StruckOut {
    /// Since when.
    pub at: Timestamp,
    /// Why the approver could not approve now.
    pub reason: Reason,
}

impl<Outcome, Cause> Phase<Outcome, Cause> {
    /// Whether it waits for decisions.
    #[must_use]
    pub fn is_pending(&self) -> bool {
        matches!(self, Self::Pending)
    }

    /// What it led to, if it was approved.
    #[must_use]
    pub fn outcome(&self) -> Option<&Outcome> {
        if let Self::Approved { outcome, .. } = self { Some(outcome) } else { None }
    }

    /// When it closed; none while it is pending.
    #[must_use]
    pub fn closed_at(&self) -> Option<Timestamp> {
        match self {
            Self::Pending => None,
            Self::Approved { at, .. }
            | Self::Denied { at }
            | Self::Withdrawn { at, .. }
            | Self::Expired { at }
            | Self::Cancelled { at, .. } => Some(*at),
        }
    }

    /// In one word, as lists show it.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Pending => "PENDING",
            Self::Approved { .. } => "APPROVED",
            Self::Denied { .. } => "DENIED",
            Self::Withdrawn { .. } => "WITHDRAWN",
            Self::Expired { .. } => "EXPIRED",
            Self::Cancelled { .. } => "CANCELLED",
        }
    }
}

impl Review {
    /// SHA-256 of the text: what an approval must name.
    #[must_use]
    pub fn digest(&self) -> Digest {
        Digest::of(self.text.as_bytes())
    }

    /// The approvals that are not struck out. Whether each counts now, `Counted` says.
    pub fn approvals(&self) -> impl Iterator<Item = &Decision> {
        self.decisions.iter().filter(|d| d.verdict == Verdict::Approved && d.struck.is_none())
    }

    /// The stages with their numbers from 0.
    pub fn numbered_stages(&self) -> impl Iterator<Item = (u32, &Stage)> {
        (0_u32..).zip(&self.stages)
    }

    /// Whether this person decided here before, in whatever way, struck out or not: a person counts once.
    #[must_use]
    pub fn has_decided(&self, person: &PersonId) -> bool {
        self.decisions.iter().any(|decision| decision.person == *person)
    }
}

/// Whether distinct persons can fill every slot: `slots[i]` needs so many out of its candidates. A person fills one slot
/// at most, so this is a matching, not a count for each stage (design.md 4).
///
/// Augmenting paths (Kuhn); a review has few slots, and candidates are cut to as many as there are slots in all, which
/// changes nothing: a stage with that many can always be served from what the others leave.
#[must_use]
pub fn can_be_filled(slots: &[(u32, BTreeSet<PersonId>)]) -> bool {
    let total =
        slots.iter().fold(0_usize, |sum, (count, _)| sum.saturating_add(usize::try_from(*count).unwrap_or(usize::MAX)));
    let mut taken: BTreeMap<&PersonId, usize> = BTreeMap::new();
    let mut seats: Vec<Vec<&PersonId>> = Vec::new();
    for (count, candidates) in slots {
        let few: Vec<&PersonId> = candidates.iter().take(total).collect();
        if usize::try_from(*count).is_ok_and(|count| count > few.len()) {
            return false;
        }
        seats.extend((0..*count).map(|_| few.clone()));
    }
    (0..seats.len()).all(|seat| seat_somebody(seat, &seats, &mut taken, &mut BTreeSet::new()))
}

fn seat_somebody<'a>(
    seat: usize,
    seats: &[Vec<&'a PersonId>],
    taken: &mut BTreeMap<&'a PersonId, usize>,
    tried: &mut BTreeSet<&'a PersonId>,
) -> bool {
    for person in seats.get(seat).into_iter().flatten() {
        if !tried.insert(person) {
            continue;
        }
        let free = match taken.get(person) {
            None => true,
            Some(other) => seat_somebody(*other, seats, taken, tried),
        };
        if free {
            taken.insert(person, seat);
            return true;
        }
    }
    false
}

/// One `key: value` line of an approval text. The value is a JSON string; characters that could deceive a reader
/// (controls, bidirectional marks, zero-width characters) are escaped as well (known failures D2 and H11).
pub(in crate::domain) fn line(text: &mut String, key: &str, value: &str) {
    text.push_str(key);
    text.push_str(": ");
    text.push_str(&escaped(&serde_json::to_string(value).unwrap_or_default()));
    text.push('\n');
}

/// JSON in which what could deceive its reader is escaped; line ends are its layout.
#[must_use]
pub fn escaped(json: &str) -> String {
    let mut escaped = String::with_capacity(json.len());
    for character in json.chars() {
        if character == '\n' || !is_deceptive(character) {
            escaped.push(character);
        } else {
            let mut units = [0_u16; 2];
            for unit in character.encode_utf16(&mut units) {
                escaped.push_str(&format!("\\u{unit:04x}"));
            }
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn people(names: &[&str]) -> BTreeSet<PersonId> {
        names.iter().map(|name| name.parse().unwrap()).collect()
    }

    #[test]
    fn the_matching_not_a_count_for_each_stage_decides() {
        // given two stages with two candidates between them, but the same one in both
        assert!(!can_be_filled(&[(1, people(&["ben"])), (1, people(&["ben"]))]));
        // a person who could serve in both leaves the stage where somebody else can
        assert!(can_be_filled(&[(1, people(&["ben", "eva"])), (1, people(&["ben"]))]));
        // three stages, each with two candidates, two persons in all
        let both = people(&["ben", "eva"]);
        assert!(!can_be_filled(&[(1, both.clone()), (1, both.clone()), (1, both)]));
    }

    /// Tries every assignment: slow, and written another way.
    fn by_trying(slots: &[(u32, BTreeSet<PersonId>)], used: &BTreeSet<PersonId>) -> bool {
        match slots {
            [] => true,
            [(0, _), rest @ ..] => by_trying(rest, used),
            [(count, candidates), rest @ ..] => candidates.difference(used).any(|person| {
                let mut used = used.clone();
                used.insert(person.clone());
                let mut slots = vec![(count - 1, candidates.clone())];
                slots.extend_from_slice(rest);
                by_trying(&slots, &used)
            }),
        }
    }

    proptest! {
        #[test]
        fn matching_agrees_with_trying_everything(
            slots in prop::collection::vec((0_u32..3, prop::collection::btree_set("[a-e]", 0..5)), 0..4)
        ) {
            let slots: Vec<_> = slots.into_iter()
                .map(|(count, names)| (count, names.iter().map(|n| n.parse().unwrap()).collect::<BTreeSet<PersonId>>()))
                .collect();
            prop_assert_eq!(can_be_filled(&slots), by_trying(&slots, &BTreeSet::new()));
        }

        #[test]
        fn a_line_stays_one_line_and_shows_no_deceptive_character(value in "\\PC{0,30}|[\\x00-\\x1f\u{202e}\u{200b}]{0,9}") {
            let mut text = String::new();
            line(&mut text, "why", &value);
            prop_assert_eq!(text.matches('\n').count(), 1);
            prop_assert!(!text.trim_end_matches('\n').chars().any(is_deceptive));
            let quoted = text.strip_prefix("why: ").unwrap();
            prop_assert_eq!(serde_json::from_str::<String>(quoted).unwrap(), value);
        }
    }
}
