//! The text of a proposal, which is what its approver signs: which file, who gains and loses what by it, and what it changes.

use std::collections::BTreeSet;

use crate::domain::record::proposal::Proposal;
use crate::domain::record::review::line;
use crate::domain::value::ids::{AccountId, Digest, EntitlementName, PersonId};

use super::rights::{Right, RightsChange};

/// At most this many bytes each of gains, losses and changes stand in the text that is approved; the rest is only
/// counted.
const TOLD_BYTES: usize = 8 * 1024;

impl Proposal {
    /// The approval text without the line of what it ends: the file by its digest, who gains and loses what, and what
    /// it changes. Made again at approval, it must be the same.
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
        line(&mut text, "gains", &bounded(&by_accounts(says.rights, |change| &change.gains)));
        line(&mut text, "loses", &bounded(&by_accounts(says.rights, |change| &change.loses)));
        line(&mut text, "widens", &joined(says.widens.iter().map(EntitlementName::as_str).collect()));
        line(&mut text, "changes", &bounded(says.changes));
        text
    }

    /// The whole approval text.
    #[must_use]
    pub fn approval_text(&self, says: &Says<'_>, ends: &str) -> String {
        let mut text = self.approval_head(says);
        line(&mut text, "ends", ends);
        text
    }
}

/// What the text of a proposal says of the file.
#[derive(Debug, Clone, Copy)]
pub struct Says<'a> {
    /// Who gains and who loses what.
    pub rights: &'a [RightsChange],
    /// The entitlements that those behind it may not use for a time.
    pub widens: &'a BTreeSet<EntitlementName>,
    /// Each value that it changes.
    pub changes: &'a [String],
}

/// `ana: ask for …, approve …`, a line each: first what is everybody's, then what gives power over the broker itself.
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
fn bounded(lines: &[String]) -> String {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::policy::CapabilityName;

    #[test]
    fn what_does_not_fit_is_counted_and_hides_nothing_else() {
        // given a line that is too long by itself, between two others
        let lines = ["a: x".to_owned(), format!("b: {}", "y".repeat(TOLD_BYTES)), "c: z".to_owned()];
        let all = Digest::of(lines.join("\n").as_bytes());
        assert_eq!(bounded(&lines), format!("a: x; c: z; and 1 more (SHA-256 of all {all})"));
        assert_eq!(bounded(&lines[..1]), "a: x");
        assert_eq!(bounded(&[]), "");
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
