//! A load: another policy or directory, proposed by one holder of the capability and approved by another on its digest
//! (DESIGN 7; THREATS J2); and the time for which both keep their hands off what it widened.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::elevation::Phase;
use super::ids::{AccountId, Digest, EntitlementName, LoadId, PersonId};
use super::organisation::Organisation;
use super::policy::{Approver, CapabilityName, Policy, Stage};
use super::refusal::{Reason, Refusal};
use super::review::{Review, line};
use super::reviewers::Reviewed;
use super::rights::{Right, RightsChange, widens};
use super::time::{Span, Timestamp};

/// How long a load waits for its approval.
pub const REVIEW_WITHIN: Span = Span::seconds(3 * 86_400);
/// So many files one account proposes in a day, of policy and directory together.
pub const PROPOSED_IN_A_DAY: usize = 50;
/// The text of a load stands in the journal in pieces of so many bytes at most.
pub const PIECE_BYTES: usize = 64 * 1024;
/// Of who gains, who loses what, and what changes, so many bytes each stand in the text that is approved; the rest is
/// counted there.
const TOLD_BYTES: usize = 8 * 1024;

/// Another policy or directory, under review.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Load {
    /// Its id.
    pub id: LoadId,
    /// When it was proposed.
    pub requested_at: Timestamp,
    /// The account that proposed it: of a person, or a machine.
    pub requester: AccountId,
    /// The person of that account, or the machine's owner: none of them may approve it.
    pub behind: BTreeSet<PersonId>,
    /// What it replaces.
    pub file: LoadedFile,
    /// The file that it replaces: in force when it was proposed, and still so when it is approved.
    pub replaces: Digest,
    /// SHA-256 of the new file.
    pub digest: Digest,
    /// How long that is.
    pub bytes: u64,
    /// Why, in the proposer's own words.
    pub justification: String,
    /// Who decides, and what they decided.
    pub review: Review,
    /// What became of it.
    #[serde(default, skip_serializing_if = "Phase::is_pending")]
    pub phase: Phase<(), LoadCancellation>,
}

/// Which of the two files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LoadedFile {
    /// The policy.
    Policy,
    /// The directory.
    Directory,
}

/// Why a pending load was cancelled.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum LoadCancellation {
    /// Another file came into force in the meantime.
    Stale,
    /// Whoever proposed it may no longer act.
    ProposerNotEligible {
        /// The first obstacle.
        reason: Reason,
    },
}

impl LoadedFile {
    /// What a load of it needs.
    #[must_use]
    pub fn capability(self) -> CapabilityName {
        match self {
            Self::Policy => CapabilityName::PolicyLoad,
            Self::Directory => CapabilityName::DirectoryLoad,
        }
    }

    /// The digest of the file last loaded.
    #[must_use]
    pub fn in_force(self, organisation: &Organisation) -> Option<Digest> {
        match self {
            Self::Policy => organisation.policy().digest,
            Self::Directory => organisation.directory_digest(),
        }
    }

    /// In one word, as lists and the approval text show it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Policy => "POLICY",
            Self::Directory => "DIRECTORY",
        }
    }

    /// Another holder of the capability.
    #[must_use]
    pub fn stages(self) -> Vec<Stage> {
        vec![Stage { by: BTreeSet::from([Approver::Capability(self.capability())]), count: 1 }]
    }
}

impl LoadCancellation {
    /// In one word, as lists show it.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Stale => "STALE",
            Self::ProposerNotEligible { reason } => reason.entry().name,
        }
    }
}

impl Load {
    /// What is approved, as a text, but for what it ends: which file by its digest, who gains and loses what by it, and what it
    /// changes. Found out again when it is approved, it must be the same.
    #[must_use]
    pub fn approval_head(&self, says: &Says<'_>) -> String {
        let mut text = String::new();
        let joined = |names: Vec<&str>| names.join(" ");
        line(&mut text, "id", &self.id.to_string());
        line(&mut text, "who", self.requester.as_str());
        line(&mut text, "persons", &joined(self.behind.iter().map(PersonId::as_str).collect()));
        line(&mut text, "file", self.file.name());
        line(&mut text, "digest", &self.digest.to_string());
        line(&mut text, "bytes", &self.bytes.to_string());
        line(&mut text, "replaces", &self.replaces.to_string());
        line(&mut text, "justification", &self.justification);
        line(&mut text, "gains", &told(&by_accounts(says.rights, |change| &change.gains)));
        line(&mut text, "loses", &told(&by_accounts(says.rights, |change| &change.loses)));
        line(&mut text, "widens", &joined(says.widens.iter().map(EntitlementName::as_str).collect()));
        line(&mut text, "changes", &told(says.changes));
        text
    }

    /// The whole of it.
    #[must_use]
    pub fn approval_text(&self, says: &Says<'_>, ends: &str) -> String {
        let mut text = self.approval_head(says);
        line(&mut text, "ends", ends);
        text
    }
}

/// What the text of a load says of the file.
#[derive(Debug, Clone, Copy)]
pub struct Says<'a> {
    /// Who gains and who loses what.
    pub rights: &'a [RightsChange],
    /// The entitlements that those behind it leave alone for a time.
    pub widens: &'a BTreeSet<EntitlementName>,
    /// Each value that it changes.
    pub changes: &'a [String],
}

/// `ana: ask for …, approve …`, a line each: first what is everybody's, then what is to be done in the broker itself.
fn by_accounts(rights: &[RightsChange], of: impl Fn(&RightsChange) -> &BTreeSet<Right>) -> Vec<String> {
    let over_the_broker = |right: &Right| matches!(right, Right::Use(..) | Right::Admit | Right::StandIn);
    let mut changes: Vec<&RightsChange> = rights.iter().filter(|change| !of(change).is_empty()).collect();
    changes.sort_by_key(|change| match change.account {
        None => 0,
        Some(_) if of(change).iter().any(over_the_broker) => 1,
        Some(_) => 2,
    });
    let lines = changes.into_iter().map(|change| {
        let who = change.account.as_ref().map_or("everybody", AccountId::as_str);
        let what: Vec<String> = of(change).iter().map(ToString::to_string).collect();
        format!("{who}: {}", what.join(", "))
    });
    lines.collect()
}

/// As many of the lines as fit. Of the others it says how many, and what all of them are, by their digest.
fn told(lines: &[String]) -> String {
    let mut text = String::new();
    let mut omitted = 0_usize;
    for line in lines {
        if text.len().saturating_add(line.len()) > TOLD_BYTES {
            omitted = omitted.saturating_add(1);
        } else {
            text.push_str(if text.is_empty() { "" } else { "; " });
            text.push_str(line);
        }
    }
    if omitted > 0 {
        let all = Digest::of(lines.join("\n").as_bytes());
        text.push_str(&format!("; and {omitted} more (SHA-256 of all {all})"));
    }
    text
}

impl Reviewed for Load {
    fn review(&self) -> &Review {
        &self.review
    }

    fn review_mut(&mut self) -> &mut Review {
        &mut self.review
    }

    fn behind(&self) -> &BTreeSet<PersonId> {
        &self.behind
    }

    /// Whoever owns a machine by now is behind what it has proposed.
    fn behind_now(&self, organisation: &Organisation) -> BTreeSet<PersonId> {
        organisation.persons_behind(&self.requester, None)
    }

    fn accounts_meant<'a>(
        &self,
        organisation: &'a Organisation,
        approver: &Approver,
        at: Timestamp,
    ) -> Vec<&'a AccountId> {
        match approver {
            Approver::Capability(name) => organisation.holders(*name, at).collect(),
            Approver::Role(_) | Approver::Manager | Approver::RoleOwner | Approver::Tenant => Vec::new(),
        }
    }
}

/// The entitlements that a policy adds, or offers to more, for more, or past fewer hurdles than another did.
#[must_use]
pub fn widened(before: &Policy, after: &Policy) -> BTreeSet<EntitlementName> {
    let is_wider = |name: &EntitlementName, is: &super::policy::Terms| {
        let Some(was) = before.entitlements.get(name).map(|it| &it.terms) else { return true };
        widens(was, is) || !is.requestable_by.is_subset(&was.requestable_by)
    };
    let wider = after.entitlements.iter().filter(|(name, it)| is_wider(name, &it.terms));
    wider.map(|(name, _)| name.clone()).collect()
}

/// How long those behind a load wait: by the policy before or the one after it, whichever is longer, and not shorter than by
/// a policy that an own load has just shortened.
#[must_use]
pub fn author_waits(before: &Organisation, after: &Policy, at: Timestamp) -> Span {
    let until_lately = before.waited_before.filter(|(_, until)| !until.is_over(at));
    let waited = until_lately.map_or(Span::ZERO, |(span, _)| span);
    before.policy.limits.author_waits.max(after.limits.author_waits).max(waited)
}

impl Organisation {
    /// Whether a person uses nothing of an entitlement yet, because a load of his widened it.
    ///
    /// # Errors
    /// `AUTHOR_WAITS`, with the first instant at which it is over.
    pub fn author_waits(&self, name: &EntitlementName, person: &PersonId, at: Timestamp) -> Result<(), Refusal> {
        let until = self.waits.get(&(name.clone(), person.clone())).filter(|until| !until.is_over(at));
        until.map_or(Ok(()), |until| {
            let detail = format!("`{person}` made or approved a load that widened `{name}`, until {until}");
            let refusal = Refusal::new(Reason::AuthorWaits, detail).with("person", person);
            Err(refusal.with("entitlement", name).with("until", until))
        })
    }

    /// What a policy shortens holds on for as long as it was.
    pub(super) fn shorten_waits(&mut self, before: &Policy, at: Timestamp) {
        let was = before.limits.author_waits;
        if before.digest.is_none() || self.policy.limits.author_waits >= was {
            return;
        }
        let earlier = self.waited_before.filter(|(_, until)| !until.is_over(at));
        let (span, until) = earlier.unwrap_or((Span::ZERO, at));
        self.waited_before = Some((span.max(was), until.max(at.plus(was))));
    }

    pub(super) fn put_waits(
        &mut self,
        (persons, names): (&BTreeSet<PersonId>, &BTreeSet<EntitlementName>),
        until: Timestamp,
        at: Timestamp,
    ) {
        let over: Vec<_> =
            self.waits.iter().filter(|(_, until)| until.is_over(at)).map(|(key, _)| key.clone()).collect();
        over.iter().for_each(|key| {
            self.waits.remove(key);
        });
        for key in names.iter().flat_map(|name| persons.iter().map(move |person| (name.clone(), person.clone()))) {
            let later = self.waits.get(&key).map_or(until, |known| until.max(*known));
            self.waits.insert(key, later);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_fit_is_counted_and_hides_nothing_else() {
        // given a line that is too long by itself, between two others
        let lines = ["a: x".to_owned(), format!("b: {}", "y".repeat(TOLD_BYTES)), "c: z".to_owned()];
        let all = Digest::of(lines.join("\n").as_bytes());
        assert_eq!(told(&lines), format!("a: x; c: z; and 1 more (SHA-256 of all {all})"));
        assert_eq!(told(&lines[..1]), "a: x");
        assert_eq!(told(&[]), "");
    }

    #[test]
    fn what_is_everybodys_comes_first_and_then_what_is_done_in_the_broker() {
        let change = |account: Option<&str>, right: Right| RightsChange {
            account: account.map(|it| it.parse().unwrap()),
            gains: BTreeSet::from([right]),
            loses: BTreeSet::new(),
        };
        let rights = [
            change(Some("ana"), Right::Approve("repair".parse().unwrap())),
            change(Some("zoe"), Right::Use(CapabilityName::LockManage, BTreeSet::new())),
            change(None, Right::Without("oath".parse().unwrap())),
        ];
        assert_eq!(
            by_accounts(&rights, |change| &change.gains),
            ["everybody: do without `oath`", "zoe: use `lock.manage`", "ana: approve `repair`"]
        );
        assert!(by_accounts(&rights, |change| &change.loses).is_empty());
    }
}
