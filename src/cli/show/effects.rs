//! What a change brings about besides what it says itself: the same lines for every dry run and for every command that did
//! it. What is taken away from somebody's work comes first.

use crate::cli::term::text::{ending, when, word};
use crate::domain::value::time::Timestamp;
use crate::wire::v1::{ChangedAccount, ChangedMembership, Effects, RightsChange};

/// All that a change cancels, voids, cuts, suspends, disables and revokes, a line each.
#[must_use]
pub fn effect_lines(effects: &Effects, now: Timestamp) -> Vec<(&'static str, String)> {
    let mut lines = request_lines(effects);
    lines.extend(effects.changed_accounts.iter().map(account_line));
    lines.extend(effects.changed_memberships.iter().map(|changed| membership_line(changed, now)));
    for shortened in &effects.shortened_grants {
        let (id, end) = (ending(&shortened.grant_id), when(shortened.new_end_time.as_ref(), now));
        lines.push(("shortens", format!("grant {id} of {} to {end}: {}", shortened.holder_account, shortened.cause)));
    }
    for revoked in &effects.revoked_grants {
        let id = ending(&revoked.grant_id);
        lines.push(("revokes", format!("grant {id} of {}: {}", revoked.holder_account, revoked.cause)));
    }
    if effects.omitted_count > 0 {
        lines.push(("and", format!("{} more", effects.omitted_count)));
    }
    if effects.held_count > 0 {
        let events = if effects.held_count == 1 { "event" } else { "events" };
        lines.push(("holds back", format!("{} {events}, for a person with `feed.release`", effects.held_count)));
    }
    if lines.is_empty() {
        lines.push(("takes away", "nothing".to_owned()));
    }
    lines
}

fn request_lines(effects: &Effects) -> Vec<(&'static str, String)> {
    let mut lines = Vec::new();
    for cancelled in &effects.cancelled_elevations {
        let (id, who) = (ending(&cancelled.elevation_id), &cancelled.requester_account);
        lines.push(("cancels", format!("request {id} of {who}: {}", cancelled.cause)));
    }
    for cancelled in &effects.cancelled_enrolments {
        let (id, who) = (ending(&cancelled.enrolment_id), &cancelled.person);
        lines.push(("cancels", format!("enrolment {id} of {who}: {}", cancelled.cause)));
    }
    for voided in &effects.voided_approvals {
        let id = ending(&voided.elevation_id);
        lines.push(("voids", format!("approval by {} of {id}: {}", voided.person, voided.cause)));
    }
    for voided in &effects.voided_enrolment_approvals {
        let id = ending(&voided.enrolment_id);
        lines.push(("voids", format!("approval by {} of enrolment {id}: {}", voided.person, voided.cause)));
    }
    lines
}

fn account_line(changed: &ChangedAccount) -> (&'static str, String) {
    let account = &changed.account;
    match changed.change.as_str() {
        "CREATED" => ("creates", format!("account {account}")),
        "ENABLED" => ("enables", format!("account {account}")),
        "DISABLED" => ("disables", format!("account {account}")),
        "CLOSED" => ("closes", format!("account {account}, for ever")),
        "OWNER_CHANGED" => ("hands over", format!("account {account}, to another owner")),
        "IDENTITIES_CHANGED" => ("renames", format!("account {account}: other certificates mean it")),
        other => ("changes", format!("account {account}: {}", word(other, ""))),
    }
}

fn membership_line(changed: &ChangedMembership, now: Timestamp) -> (&'static str, String) {
    let role = format!("role {} of {}", changed.role, changed.account);
    let end = when(changed.new_end_time.as_ref(), now);
    let until = if end.is_empty() { String::new() } else { format!(", until {end}") };
    match changed.change.as_str() {
        "GIVEN" => ("gives", format!("{role}{until}")),
        "ENDED" => ("ends", role),
        "CUT" if end.is_empty() => ("cuts", role),
        "CUT" => ("cuts", format!("{role} to {end}")),
        "EXTENDED" => ("extends", format!("{role}{until}")),
        "SUSPENDED" => ("suspends", role),
        "RESTORED" => ("restores", format!("{role}{until}")),
        "TO_CONFIRM" if end.is_empty() => ("asks for", format!("confirmation of {role}")),
        // Its own end may be nearer than the campaign's.
        "TO_CONFIRM" => ("asks for", format!("confirmation of {role}; without it, it ends {end}")),
        other => ("changes", format!("{role}: {}{until}", word(other, ""))),
    }
}

/// Who gains what and who loses what, a line for each account.
pub(in crate::cli) fn rights_lines(rights: &[RightsChange], omitted: u32) -> Vec<(&'static str, String)> {
    let mut lines = Vec::new();
    for change in rights {
        let who = if change.account.is_empty() { "everybody" } else { &change.account };
        for (word, texts) in [("gains", &change.gains), ("loses", &change.loses)] {
            if !texts.is_empty() {
                lines.push((word, format!("{who}: {}", texts.join(", "))));
            }
        }
    }
    match (lines.is_empty(), omitted) {
        (true, _) => lines.push(("gains", "nobody gains or loses a right".to_owned())),
        (false, 0) => {}
        (false, omitted) => lines.push(("and", format!("{omitted} more accounts"))),
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::show::sample;
    use crate::cli::term::table::card;
    use crate::wire::v1::{CancelledEnrolment, RevokedGrant, VoidedEnrolmentApproval};

    #[test]
    fn everything_that_follows_has_its_line() {
        let account = |account: &str, change: &str| ChangedAccount { account: account.into(), change: change.into() };
        let membership = |role: &str, change: &str, end: Option<i64>| ChangedMembership {
            account: "ana".into(),
            role: role.into(),
            change: change.into(),
            new_end_time: end.map(sample::at),
        };
        let effects = Effects {
            cancelled_enrolments: vec![CancelledEnrolment {
                enrolment_id: sample::ENROLMENT_ID.into(),
                person: "pia".into(),
                cause: "MANAGER_CHANGED".into(),
            }],
            voided_enrolment_approvals: vec![VoidedEnrolmentApproval {
                enrolment_id: sample::ENROLMENT_ID.into(),
                person: "ines".into(),
                cause: "NOT_ELIGIBLE".into(),
            }],
            changed_accounts: vec![
                account("ana", "DISABLED"),
                account("bot", "CLOSED"),
                account("lathe", "OWNER_CHANGED"),
                account("eva", "MELTED"),
            ],
            changed_memberships: vec![
                membership("auditor", "CUT", Some(86_400)),
                membership("db-engineer", "SUSPENDED", None),
                membership("driver", "ENDED", None),
                membership("clerk", "TO_CONFIRM", Some(172_800)),
                membership("guard", "GIVEN", Some(172_800)),
            ],
            revoked_grants: vec![RevokedGrant {
                grant_id: sample::GRANT_ID.into(),
                holder_account: "ana".into(),
                cause: "REQUIREMENT_LAPSED".into(),
            }],
            held_count: 51,
            ..Default::default()
        };
        insta::assert_snapshot!(card(100, &effect_lines(&effects, sample::moment())), @r#"
        cancels     enrolment ee55ff66 of pia: MANAGER_CHANGED
        voids       approval by ines of enrolment ee55ff66: NOT_ELIGIBLE
        disables    account ana
        closes      account bot, for ever
        hands over  account lathe, to another owner
        changes     account eva: melted
        cuts        role auditor of ana to 2026-11-23 22:00:00Z (in 1d)
        suspends    role db-engineer of ana
        ends        role driver of ana
        asks for    confirmation of role clerk of ana; without it, it ends 2026-11-24 22:00:00Z (in 2d)
        gives       role guard of ana, until 2026-11-24 22:00:00Z (in 2d)
        revokes     grant cc33dd44 of ana: REQUIREMENT_LAPSED
        holds back  51 events, for a person with `feed.release`
        "#);
    }

    #[test]
    fn what_takes_nothing_away_says_so() {
        insta::assert_snapshot!(card(40, &effect_lines(&Effects::default(), sample::moment())), @r#"takes away  nothing"#);
    }
}
