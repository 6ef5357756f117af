//! Values of the command line, parsed where it is read, so that a mistake is a usage error with the right form beside it.

use chrono::NaiveDate;

use crate::domain::value::ids::{Digest, Identity, RequestId, RoleName};
use crate::domain::value::scope::{Action, Pattern, Resource};
use crate::domain::value::time::{Span, Timestamp};

/// `90s`, `15m`, `4h`.
///
/// # Errors
/// If the text has another form.
pub fn span(text: &str) -> Result<Span, String> {
    Span::parse(text).map_err(|_| "a whole number and a unit is wanted: `90s`, `15m`, `4h`".to_owned())
}

/// RFC 3339.
///
/// # Errors
/// If the text has another form.
pub fn time(text: &str) -> Result<Timestamp, String> {
    Timestamp::parse_rfc3339(text).map_err(|_| "an instant is wanted: `2026-11-22T21:43:00Z`".to_owned())
}

/// RFC 3339, or a date: the end of it in UTC, as one means a last day.
///
/// # Errors
/// If the text has another form.
pub fn moment(text: &str) -> Result<Timestamp, String> {
    let end = day(text).and_then(Timestamp::end_of).or_else(|| Timestamp::parse_rfc3339(text).ok());
    end.ok_or_else(|| no_time(text, "its end in UTC"))
}

/// RFC 3339, or a date: its beginning in UTC, so that what was met that day lapses no later than it may.
///
/// # Errors
/// If the text has another form.
pub fn met(text: &str) -> Result<Timestamp, String> {
    let start = day(text).and_then(Timestamp::start_of).or_else(|| Timestamp::parse_rfc3339(text).ok());
    start.ok_or_else(|| no_time(text, "its beginning in UTC"))
}

/// Something that narrows: an empty one, of a variable that is not set say, would be the widest.
///
/// # Errors
/// If it is empty.
pub fn not_empty(text: &str) -> Result<String, String> {
    if text.is_empty() { Err("it is empty; leave it out for all".to_owned()) } else { Ok(text.to_owned()) }
}

/// An action.
///
/// # Errors
/// If the text has another form.
pub fn action(text: &str) -> Result<String, String> {
    text.parse::<Action>().map(|action| action.to_string()).map_err(|error| error.to_string())
}

/// A concrete resource.
///
/// # Errors
/// If the text has another form.
pub fn resource(text: &str) -> Result<String, String> {
    text.parse::<Resource>().map(|resource| resource.to_string()).map_err(|error| error.to_string())
}

/// A concrete resource, or a subtree of them.
///
/// # Errors
/// If the text has another form.
pub fn requested(text: &str) -> Result<String, String> {
    Pattern::parse_requested(text).map(|pattern| pattern.to_string()).map_err(|error| error.to_string())
}

/// A role, with the end of its membership if one is given: `fleet-writer`, `fleet-writer=2027-01-31`.
///
/// # Errors
/// If the text has another form.
pub fn role_until(text: &str) -> Result<(String, Option<Timestamp>), String> {
    let (role, until) = text.split_once('=').map_or((text, None), |(role, until)| (role, Some(until)));
    let role = role.parse::<RoleName>().map_err(|error| error.to_string())?;
    Ok((role.to_string(), until.map(moment).transpose()?))
}

/// A pattern of resources.
///
/// # Errors
/// If the text has another form.
pub fn pattern(text: &str) -> Result<String, String> {
    text.parse::<Pattern>().map(|pattern| pattern.to_string()).map_err(|error| error.to_string())
}

/// An identity: a SPIFFE ID.
///
/// # Errors
/// If the text has another form.
pub fn identity(text: &str) -> Result<String, String> {
    text.parse::<Identity>().map(|identity| identity.to_string()).map_err(|error| error.to_string())
}

/// SHA-256 in hexadecimal.
///
/// # Errors
/// If the text has another form.
pub fn digest(text: &str) -> Result<Digest, String> {
    text.parse().map_err(|error: crate::domain::value::ids::InvalidId| error.to_string())
}

/// A caller's own id of a call.
///
/// # Errors
/// If the text is no UUID.
pub fn request_id(text: &str) -> Result<String, String> {
    text.parse::<RequestId>().map(|id| id.to_string()).map_err(|error| error.to_string())
}

/// A new id of a call.
#[must_use]
pub fn new_request_id() -> String {
    uuid::Uuid::new_v4().to_string()
}

/// A date that two readers read alike: `2027-1-31` is none.
fn day(text: &str) -> Option<NaiveDate> {
    let day: NaiveDate = text.parse().ok()?;
    (day.to_string() == text).then_some(day)
}

fn no_time(text: &str, day: &str) -> String {
    format!("`{text}` is no time: a date, as in `2027-01-31` ({day}), or an instant, as in `2027-01-31T18:00:00Z`")
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;

    #[test]
    fn what_narrows_is_not_empty() {
        let refused = |words: &[&str]| {
            let words = ["countersign"].iter().chain(words);
            crate::cli::arguments::Arguments::try_parse_from(words).map(|_| ()).unwrap_err().to_string()
        };
        for words in [
            ["audit", "ls", "--about", ""].as_slice(),
            &["audit", "ls", "--actor", ""],
            &["audit", "ls", "--kind", ""],
            &["report", "about", ""],
            &["report", "held", ""],
            &["report", "access", "--person", ""],
            &["report", "access", "--account", ""],
            &["report", "refusals", "--actor", ""],
        ] {
            assert!(refused(words).contains("it is empty; leave it out for all"), "{words:?}: {}", refused(words));
        }
    }

    #[test]
    fn a_date_ends_what_runs_and_begins_what_was_met() {
        let at = |text| Timestamp::parse_rfc3339(text).unwrap();
        assert_eq!(moment("2027-01-31"), Ok(at("2027-02-01T00:00:00Z")));
        assert_eq!(met("2027-01-31"), Ok(at("2027-01-31T00:00:00Z")));
        for instant in ["2027-01-31T18:00:00Z", "2027-01-31T19:00:00+01:00"] {
            assert_eq!(
                (moment(instant), met(instant)),
                (Ok(at("2027-01-31T18:00:00Z")), Ok(at("2027-01-31T18:00:00Z")))
            );
        }
        for text in ["2027-1-31", "+2027-1-31", "31.01.2027", "2027-02-30", "2027-01-31T18:00:00", "tomorrow", ""] {
            assert!(moment(text).is_err() && met(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_role_may_have_an_end() {
        assert_eq!(role_until("fleet-writer"), Ok(("fleet-writer".into(), None)));
        let end = moment("2027-01-31").ok();
        assert_eq!(role_until("fleet-writer=2027-01-31"), Ok(("fleet-writer".into(), end)));
        assert!(role_until("Fleet Writer").is_err() && role_until("fleet-writer=").is_err());
    }
}
