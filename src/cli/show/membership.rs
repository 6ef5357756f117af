//! What is known of a membership, in a line, and what its holder can do about it.

use crate::cli::term::text::{clock_text, ending, instant, when, word};
use crate::domain::value::time::Timestamp;
use crate::wire::v1::{Account, LapseAhead, Membership, Person, RecertificationItem};

/// A membership with its end, and what is out of the ordinary about it.
#[must_use]
pub fn membership_text(membership: &Membership, now: Timestamp) -> String {
    let mut text = membership.role.clone();
    let mut add = |words: &str, time: Option<&prost_types::Timestamp>| {
        let time = when(time, now);
        if !time.is_empty() {
            text.push_str(&format!(", {words} {time}"));
        }
    };
    add("until", membership.end_time.as_ref());
    add("suspended since", membership.suspended_time.as_ref());
    add("over unless confirmed by", membership.confirm_by_time.as_ref());
    if membership.cut_by_transfer {
        text.push_str(", cut by a transfer");
    }
    text
}

/// By whom a membership was given.
#[derive(Debug, Clone, Copy)]
pub struct Origin<'a> {
    /// Since when it is held; none: as far back as the first directory goes.
    pub since: Option<&'a prost_types::Timestamp>,
    /// The enrolment that gave it, if one did.
    pub enrolment_id: &'a str,
    /// The persons whose approval counted.
    pub approved_by: &'a [String],
    /// The account that sent the feed which gave it, if one did.
    pub fed_by: &'a str,
}

impl<'a> From<&'a Membership> for Origin<'a> {
    fn from(it: &'a Membership) -> Self {
        let (enrolment_id, approved_by) = (&it.enrolment_id, &it.approved_by);
        Self { since: it.since_time.as_ref(), enrolment_id, approved_by, fed_by: &it.fed_by }
    }
}

impl<'a> From<&'a RecertificationItem> for Origin<'a> {
    fn from(it: &'a RecertificationItem) -> Self {
        let (enrolment_id, approved_by) = (&it.enrolment_id, &it.approved_by);
        Self { since: it.since_time.as_ref(), enrolment_id, approved_by, fed_by: &it.fed_by }
    }
}

/// Since when, and by whom it was given.
#[must_use]
pub fn origin_text<'a>(of: impl Into<Origin<'a>>) -> String {
    let it = of.into();
    let since = it.since.and_then(instant);
    let since = since.map_or_else(|| "since before the broker".to_owned(), |at| format!("since {}", clock_text(at)));
    let by = match (it.approved_by, it.enrolment_id, it.fed_by) {
        ([], "", "") => "by the directory's file".to_owned(),
        ([], "", sender) => format!("by the feed of {sender}"),
        ([], id, _) => format!("by enrolment {}", ending(id)),
        (persons, _, _) => format!("approved by {}", persons.join(", ")),
    };
    format!("{since}, {by}")
}

/// What lapses or ends soon.
#[must_use]
pub fn ahead_text(ahead: &LapseAhead, now: Timestamp) -> String {
    let what = match ahead.kind.as_str() {
        "REQUIREMENT" => ahead.name.clone(),
        "MEMBERSHIP" => format!("membership of {}", ahead.name),
        "ACCOUNT" => format!("account {}", ahead.name),
        "EMPLOYMENT" => "employment".to_owned(),
        other => format!("{} {}", word(other, ""), ahead.name),
    };
    format!("{what}, {}", when(ahead.time.as_ref(), now))
}

/// What the holder of an account can do about what was taken from it. Nothing, if nothing can be done.
#[must_use]
pub fn next_steps(account: &Account) -> Vec<String> {
    let by_lapse = account.disabled_by == "LAPSE";
    let suspended = account.memberships.iter().any(|membership| membership.suspended_time.is_some());
    let restore = (by_lapse || suspended)
        .then(|| "once what lapsed is renewed, `countersign enrol restore` asks for what it took".to_owned());
    let cut = account.memberships.iter().filter(|membership| membership.cut_by_transfer);
    let keep = cut.map(|membership| {
        format!("`countersign enrol keep {}` asks your new manager to let you keep it", membership.role)
    });
    restore.into_iter().chain(keep).collect()
}

/// Who the manager is, and what HR has announced.
#[must_use]
pub fn standing_lines(person: &Person, now: Timestamp) -> Vec<(&'static str, String)> {
    let manager = match person.awaits_manager {
        true => "none that HR knows: nothing can be kept until there is one".to_owned(),
        false => person.manager.clone(),
    };
    let mut lines = vec![("manager", manager)];
    if let Some(time) = &person.move_time {
        let to = if person.move_manager.is_empty() { "nobody known" } else { &person.move_manager };
        lines.push(("moves", format!("to {to}, {}", when(Some(time), now))));
    }
    lines.push(("leaves", when(person.employment_end_time.as_ref(), now)));
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::show::sample;

    #[test]
    fn a_membership_tells_what_became_of_it() {
        let membership = Membership {
            role: "db-engineer".into(),
            end_time: Some(sample::at(86_400)),
            suspended_time: Some(sample::at(-3_600)),
            confirm_by_time: Some(sample::at(7_200)),
            cut_by_transfer: true,
            ..Default::default()
        };
        insta::assert_snapshot!(membership_text(&membership, sample::moment()), @r#"db-engineer, until 2026-11-23 22:00:00Z (in 1d), suspended since 2026-11-22 21:00:00Z (1h ago), over unless confirmed by 2026-11-23 00:00:00Z (in 2h), cut by a transfer"#);
        let account = Account { memberships: vec![membership], ..Default::default() };
        insta::assert_snapshot!(next_steps(&account).join("\n"), @r#"
        once what lapsed is renewed, `countersign enrol restore` asks for what it took
        `countersign enrol keep db-engineer` asks your new manager to let you keep it
        "#);
        assert!(next_steps(&Account::default()).is_empty());
        let disabled = |by: &str| Account { disabled_by: by.into(), ..Default::default() };
        assert_eq!((next_steps(&disabled("LAPSE")).len(), next_steps(&disabled("TERMINATION")).len()), (1, 0));
    }

    #[test]
    fn where_a_membership_comes_from() {
        let file = Membership::default();
        let since = Membership { since_time: Some(sample::at(0)), ..file.clone() };
        let asked = Membership { enrolment_id: sample::ENROLMENT_ID.into(), ..since.clone() };
        let texts = [
            origin_text(&file),
            origin_text(&Membership { approved_by: vec!["ines".into(), "omar".into()], ..asked.clone() }),
            origin_text(&asked),
            origin_text(&Membership { fed_by: "acme.idp".into(), ..since }),
        ];
        insta::assert_snapshot!(texts.join("\n"), @r#"
        since before the broker, by the directory's file
        since 2026-11-22 22:00:00Z, approved by ines, omar
        since 2026-11-22 22:00:00Z, by enrolment ee55ff66
        since 2026-11-22 22:00:00Z, by the feed of acme.idp
        "#);
    }

    #[test]
    fn what_is_ahead_is_named_by_its_kind() {
        let ahead = |kind: &str, name: &str| {
            let ahead = LapseAhead {
                kind: kind.into(),
                name: name.into(),
                time: Some(sample::at(259_200)),
                ..Default::default()
            };
            ahead_text(&ahead, sample::moment())
        };
        let texts = [
            ahead("REQUIREMENT", "annual-training"),
            ahead("MEMBERSHIP", "db-engineer"),
            ahead("ACCOUNT", "ana"),
            ahead("EMPLOYMENT", "ana"),
            ahead("BADGE", "7"),
        ];
        insta::assert_snapshot!(texts.join("\n"), @r#"
        annual-training, 2026-11-25 22:00:00Z (in 3d)
        membership of db-engineer, 2026-11-25 22:00:00Z (in 3d)
        account ana, 2026-11-25 22:00:00Z (in 3d)
        employment, 2026-11-25 22:00:00Z (in 3d)
        badge 7, 2026-11-25 22:00:00Z (in 3d)
        "#);
    }
}
