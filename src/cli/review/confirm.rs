//! What is to be approved is shown and confirmed by hand, or bound to a digest (known failure A16).

use super::lookup::Found;
use crate::cli::connect::confirm::typed_ending;
use crate::cli::connect::session::Session;
use crate::cli::term::failure::Failure;
use crate::domain::value::ids::Digest;

/// What a person is asked to confirm.
#[derive(Debug, Clone, Copy)]
pub(super) struct Question {
    /// What typing the end of the id does: `approve this`.
    pub(super) act: &'static str,
    /// What is said if they do not type it.
    pub(super) declined: &'static str,
}

/// The digest of what was read: as it was given, or of what is shown now and confirmed.
///
/// # Errors
/// If the text cannot be shown whole, or is not confirmed.
pub(super) fn digest_read(
    session: &mut Session<'_>,
    found: &Found,
    given: Option<Digest>,
    question: Question,
) -> Result<Digest, Failure> {
    let text = found.approval_text()?;
    // The broker compares it, so that another text has one reason on every surface, and is on record.
    if let Some(digest) = given {
        return Ok(digest);
    }
    confirm(session, found, question)?;
    Ok(text.digest())
}

/// Shows what is to be approved, and has the approver type the end of its id.
fn confirm(session: &mut Session<'_>, found: &Found, question: Question) -> Result<(), Failure> {
    if !session.output.can_ask() {
        let text = "there is no terminal to ask at: add `--digest`, as `countersign show` prints it";
        return Err(Failure::Usage(text.to_owned()));
    }
    let page = found.page(session.output.width(), session.now).map_err(|error| Failure::Failed(error.to_string()))?;
    session.output.note(&page);
    typed_ending(session, question.act, &found.id(), question.declined)
}
