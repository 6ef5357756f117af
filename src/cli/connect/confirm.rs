//! A person confirms by typing the end of an id: a `yes` comes too easily.

use super::session::Session;
use crate::cli::term::failure::Failure;

/// Has the person type the last digits of an id.
///
/// # Errors
/// If they do not.
pub(in crate::cli) fn typed_ending(
    session: &mut Session<'_>,
    what: &str,
    id: &str,
    declined: &str,
) -> Result<(), Failure> {
    let last: String = id.chars().skip(id.chars().count().saturating_sub(4)).collect();
    let answer = session.output.ask(&format!("to {what}, type the last four digits of its id ({last}):"))?;
    if answer.is_some_and(|answer| is_confirmed(&answer, id)) {
        return Ok(());
    }
    Err(Failure::Declined(declined.to_owned()))
}

/// Whether what was typed is an ending of the id, of at least four digits.
fn is_confirmed(answer: &str, id: &str) -> bool {
    answer.len() >= 4 && !id.is_empty() && id.ends_with(answer)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::show::sample;

    #[test]
    fn only_an_ending_of_the_id_confirms() {
        assert!(is_confirmed("bb22", sample::ELEVATION_ID) && is_confirmed("aa11bb22", sample::ELEVATION_ID));
        for answer in ["", "yes", "y", "b22", "bb2", "bb23", " bb22", "BB22"] {
            assert!(!is_confirmed(answer, sample::ELEVATION_ID), "{answer:?}");
        }
        assert!(!is_confirmed("", "") && !is_confirmed("yes!", ""));
    }
}
