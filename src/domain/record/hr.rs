//! What the HR feed says: people who join, are renamed, move and leave. Events are numbered by stream, and what would
//! enable or disable many waits behind a brake (known failure B4).

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::domain::value::ids::{AccountId, Digest, HoldId, Identity, LockId, PersonId, RoleName, StreamName};
use crate::domain::value::refusal::Reason;
use crate::domain::value::time::Timestamp;

/// One thing that happened to a person, as HR says it. The immutable person id decides who is meant (known failure B5).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HrEvent {
    /// Who.
    pub person: PersonId,
    /// What.
    pub change: HrChange,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum HrChange {
    /// Joined, or came back: who comes back starts with nothing.
    Joined {
        /// Identities that mean the person until there is an account.
        login: BTreeSet<Identity>,
        /// The manager of record.
        manager: Option<PersonId>,
    },
    /// Has exactly these identities from now on: of the account, or of the person while there is none.
    Renamed {
        /// All of them.
        login: BTreeSet<Identity>,
    },
    /// Has some identities more and some no longer, whichever the others are by then. None is in both.
    LoginsChanged {
        /// What is given.
        added: BTreeSet<Identity>,
        /// What is taken away, from whichever of the person's own accounts has it.
        removed: BTreeSet<Identity>,
    },
    /// Moves to another manager.
    Transferred {
        /// The new manager; somebody unknown: it takes effect without one.
        manager: Option<PersonId>,
        /// From this instant on.
        at: Timestamp,
    },
    /// Leaves.
    Left {
        /// The first instant at which the person no longer works here.
        at: Timestamp,
        /// At once, whatever `at` says.
        urgent: bool,
        /// Started grants that the person approved are revoked as well.
        also_approved: bool,
    },
    /// Does not leave after all: a leaving that was announced and whose time has not come.
    Stays,
    /// Has these customers' roles from now on, and no others: by a tenant's own feed alone.
    Roles {
        /// All of them.
        roles: BTreeSet<RoleName>,
    },
}

/// A person as a whole-file import has them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ImportedPerson {
    /// The manager of record.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub manager: Option<PersonId>,
    /// The person's identities.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub login: BTreeSet<Identity>,
    /// The first instant at which the person no longer works here, if it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub leaves_at: Option<Timestamp>,
}

/// Whether a change enables or disables, as the brake counts it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Part {
    /// It gives somebody something: joined, renamed, given identities, stays.
    Enabling,
    /// It takes something away or cuts memberships: transferred, left, identities taken away and none given.
    Disabling,
}

impl HrEvent {
    /// The event with its instant. One sent without an instant carries the earliest there is, so that a repeated call
    /// is the same command; here it gets the time of the call.
    #[must_use]
    pub fn said_at(&self, now: Timestamp) -> Self {
        let mut event = self.clone();
        if let HrChange::Transferred { at, .. } | HrChange::Left { at, .. } = &mut event.change
            && *at == Timestamp::MIN
        {
            *at = now;
        }
        event
    }
}

impl HrEvent {
    /// What is left of it once some identities are given no longer; none: nothing. What a person joins with stays, because
    /// who has yet to join has nothing that could be taken.
    #[must_use]
    pub fn without(mut self, gone: &BTreeSet<Identity>) -> Option<Self> {
        if let HrChange::Renamed { login: given } | HrChange::LoginsChanged { added: given, .. } = &mut self.change {
            given.retain(|identity| !gone.contains(identity));
        }
        Some(self).filter(|event| {
            event.change != HrChange::LoginsChanged { added: BTreeSet::new(), removed: BTreeSet::new() }
        })
    }
}

impl HrChange {
    /// Whether it gives any of these to somebody who works here.
    #[must_use]
    pub fn gives_any(&self, of: &BTreeSet<Identity>) -> bool {
        !matches!(self, Self::Joined { .. }) && self.gives().is_some_and(|given| !given.is_disjoint(of))
    }

    /// The identities that it gives, if it gives any.
    #[must_use]
    pub fn gives(&self) -> Option<&BTreeSet<Identity>> {
        match self {
            Self::Joined { login, .. } | Self::Renamed { login } | Self::LoginsChanged { added: login, .. } => {
                Some(login)
            }
            Self::Transferred { .. } | Self::Left { .. } | Self::Stays | Self::Roles { .. } => None,
        }
    }

    /// Which way it goes.
    #[must_use]
    pub fn part(&self) -> Part {
        match self {
            Self::LoginsChanged { .. } if self.only_takes_logins() => Part::Disabling,
            Self::Joined { .. }
            | Self::Renamed { .. }
            | Self::LoginsChanged { .. }
            | Self::Stays
            | Self::Roles { .. } => Part::Enabling,
            Self::Transferred { .. } | Self::Left { .. } => Part::Disabling,
        }
    }

    /// Whether it is about identities of somebody who has joined.
    #[must_use]
    pub fn is_of_logins(&self) -> bool {
        matches!(self, Self::Renamed { .. } | Self::LoginsChanged { .. })
    }

    /// Whether it takes identities away and does nothing else: that widens nothing and waits for nothing.
    #[must_use]
    pub fn only_takes_logins(&self) -> bool {
        matches!(self, Self::LoginsChanged { added, .. } if added.is_empty())
    }

    /// Whether it takes something away and gives nothing: a day's limit never stops that.
    #[must_use]
    pub fn takes_alone(&self) -> bool {
        self.is_leaving() || self.only_takes_logins()
    }

    /// Whether it is a leaving: what goes on under a suspect clock.
    #[must_use]
    pub fn is_leaving(&self) -> bool {
        matches!(self, Self::Left { .. })
    }

    /// Whether it is a leaving whose time has come.
    #[must_use]
    pub fn is_leaving_now(&self, latest: Timestamp) -> bool {
        matches!(self, Self::Left { at, urgent, .. } if *urgent || at.is_over(latest))
    }

    /// Whether it is a leaving that waits for nothing.
    #[must_use]
    pub fn is_urgent(&self) -> bool {
        matches!(self, Self::Left { urgent: true, .. })
    }

    /// In one word, as lists show it.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Joined { .. } => "JOINED",
            Self::Renamed { .. } | Self::LoginsChanged { .. } => "RENAMED",
            Self::Transferred { .. } => "TRANSFERRED",
            Self::Left { .. } => "LEFT",
            Self::Stays => "STAYS",
            Self::Roles { .. } => "ROLES",
        }
    }
}

/// A place in a stream.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StreamPlace {
    /// The stream.
    pub stream: StreamName,
    /// The number within it; the first is 1.
    pub number: u64,
}

/// A stream as far as it was heard.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Feed {
    /// The account that first sent it, and alone may.
    pub sender: AccountId,
    /// The last number; 0 before the first.
    pub last_number: u64,
    /// When it was last heard of: silence counts from here.
    pub heard_at: Timestamp,
    /// Whole files come in it. One stream alone says who is here at all.
    pub whole_files: bool,
}

/// What the brake holds, or what could not happen, until a person with `feed.release` lets it through or throws it away.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Hold {
    /// Its id.
    pub id: HoldId,
    /// When it was caught.
    pub held_at: Timestamp,
    /// The account that sent it.
    pub sender: AccountId,
    /// The person behind that account when it was sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub author: Option<PersonId>,
    /// The stream, if it came in one.
    pub stream: Option<StreamName>,
    /// From a whole-file import: the next import of the stream takes its place.
    pub from_import: bool,
    /// The journal's sequence when it was caught: what was caught earlier is decided first, where both are about one person.
    pub after: u64,
    /// Why it could not happen; none: the brake caught it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub aside: Option<Aside>,
    /// The lock that stops the person until it is decided on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub suspends: Option<LockId>,
    /// In the order in which they are applied.
    pub events: Vec<HrEvent>,
}

/// Why an event could not happen as things were: it is set aside by its number, and its stream goes on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Aside {
    /// Its number in the stream; of a whole file, that of the file.
    pub number: u64,
    /// What stood in its way.
    pub reason: Reason,
    /// The same for a person.
    pub detail: String,
}

impl Hold {
    /// Whether what comes later of its persons waits for it. What was set aside because it is another side's never happens, or
    /// one side could hold up the other's people by naming them.
    #[must_use]
    pub fn is_waited_for(&self) -> bool {
        self.aside.as_ref().is_none_or(|aside| aside.reason != Reason::OutsideTenant)
    }

    /// How many persons its events of a part are about.
    #[must_use]
    pub fn persons(&self, part: Part) -> usize {
        let events = self.events.iter().filter(|event| event.change.part() == part);
        events.map(|event| &event.person).collect::<BTreeSet<_>>().len()
    }

    /// SHA-256 over the JSON of its events: what a release must name, computed from what was shown.
    #[must_use]
    pub fn digest(&self) -> Digest {
        Digest::of(&serde_json::to_vec(&self.events).unwrap_or_default())
    }
}
