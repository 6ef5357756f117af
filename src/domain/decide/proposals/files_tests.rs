use super::*;
use crate::domain::value::time::Span;

const POLICY: &str = include_str!("../../../../examples/policy.toml");
const DIRECTORY: &str = include_str!("../../../../examples/directory.toml");

fn at(text: &str) -> Timestamp {
    Timestamp::parse_rfc3339(text).unwrap()
}

fn loaded(directory: &str, at: Timestamp) -> Result<Organisation, Refusal> {
    let events = initialise(Files { policy: POLICY, directory }, Now::exactly(at))?;
    let mut state = State::default();
    events.iter().for_each(|event| crate::domain::state::apply::apply(&mut state, event));
    Ok(state.organisation)
}

fn end_of_anas_role(organisation: &Organisation) -> Option<Timestamp> {
    organisation.accounts.get("ana").unwrap().roles["db-engineer"].until
}

#[test]
fn a_membership_ends_after_the_longest_that_its_role_allows() {
    // given a role with a longest membership, and a member without an end of their own
    let first = at("2026-11-03T00:00:00Z");
    let before = loaded(DIRECTORY, first).unwrap();
    let end = first.plus(Span::parse("180d").unwrap());
    assert_eq!(end_of_anas_role(&before), Some(end));
    // when the same file is loaded later, then the end stays
    let later = Now::exactly(first.plus(Span::DAY));
    let parsed = parse_directory(DIRECTORY).unwrap();
    let again = with_ends(&before, parsed.directory, &before.policy, &parsed.places, later.stamp).unwrap();
    assert_eq!(again.accounts, before.accounts);
}

#[test]
fn a_membership_that_would_last_longer_is_refused_with_its_line() {
    let too_long = DIRECTORY.replacen(
        r#"roles = ["db-engineer"]"#,
        r#"roles = [{ role = "db-engineer", until = 2028-01-01 }]"#,
        1,
    );
    assert_ne!(too_long, DIRECTORY);
    let refusal = loaded(&too_long, at("2026-11-03T00:00:00Z")).unwrap_err();
    assert_eq!(refusal.reason, Reason::DirectoryInvalid);
    let mistake = &refusal.facts["mistake.0001"];
    assert!(mistake.starts_with("line ") && mistake.contains("within 180d"), "{mistake}");
}
