//! `approve`: of one request, of what was shown, typed by hand or bound to a digest. There is no `--yes` (known failure A16).

use clap::Args;

use super::confirm::{Question, digest_read};
use super::lookup::{Found, find};
use crate::cli::connect::change::ChangeArguments;
use crate::cli::connect::session::Session;
use crate::cli::show::effects::effect_lines;
use crate::cli::show::effects::rights_lines;
use crate::cli::show::elevation_card::state_word;
use crate::cli::show::enrolment_card::{self, outcome};
use crate::cli::term::failure::{Exit, Failure, Ran};
use crate::cli::term::json::{self, hexadecimal};
use crate::cli::term::table::card;
use crate::cli::term::text::{ending, instant, relative, word};
use crate::cli::term::values;
use crate::domain::value::ids::Digest;
use crate::domain::value::time::Timestamp;
use crate::wire::v1::{
    ApproveElevationRequest, ApproveElevationResponse, ApproveEnrolmentRequest, ApproveEnrolmentResponse,
    ApproveProposalRequest, EnrolmentState, Review,
};

/// `approve`.
#[derive(Debug, Clone, Args)]
pub struct ApproveArguments {
    /// The request, enrolment or proposal, or a unique ending of its id. One at a time
    #[arg(value_name = "ID")]
    pub id: String,
    /// SHA-256 of the text that was read, as `show` prints it; without a terminal there is no other way
    #[arg(long, value_parser = values::digest, value_name = "SHA256")]
    pub digest: Option<Digest>,
    /// A word for the record
    #[arg(long, short = 'm', value_name = "TEXT")]
    pub comment: Option<String>,
    /// Of an enrolment or a proposal: change nothing; show what approving it would bring about
    #[arg(long)]
    pub dry_run: bool,
    /// The id of this call: the same one is the same approval
    #[arg(long, value_parser = values::request_id, value_name = "UUID")]
    pub request_id: Option<String>,
}

/// Runs `approve`.
///
/// # Errors
/// If it is not confirmed, or the broker refuses.
pub async fn approve(session: &mut Session<'_>, arguments: ApproveArguments) -> Ran {
    let found = find(session, &arguments.id).await?;
    let digest = if arguments.dry_run && arguments.digest.is_none() {
        found.approval_text()?.digest()
    } else {
        let question = Question { act: "approve this", declined: "nothing was approved" };
        digest_read(session, &found, arguments.digest, question)?
    };
    match &found {
        Found::Elevation(_) => approve_elevation(session, found.id(), digest, arguments).await,
        Found::Enrolment(_) => approve_enrolment(session, found.id(), digest, arguments).await,
        Found::Proposal(_) => approve_proposal(session, found.id(), digest, arguments).await,
    }
}

async fn approve_elevation(
    session: &mut Session<'_>,
    elevation_id: String,
    digest: Digest,
    arguments: ApproveArguments,
) -> Ran {
    if arguments.dry_run {
        let text = "only the approval of an enrolment or a proposal can be tried: that of a request takes nothing away";
        return Err(Failure::Usage(text.to_owned()));
    }
    let request = ApproveElevationRequest {
        request_id: Session::request_id(arguments.request_id.as_ref()),
        elevation_id,
        approval_digest: digest.bytes().to_vec(),
        comment: arguments.comment.unwrap_or_default(),
    };
    let answer = match session.client.approve_elevation(request.clone()).await {
        Ok(answer) => answer,
        Err(error) => return Err(session.failed(error, &request.request_id)),
    };
    let now = session.now;
    session.output.data(|_| approved(&answer, now), || json::of(&answer))?;
    Ok(Exit::Yes)
}

async fn approve_enrolment(
    session: &mut Session<'_>,
    enrolment_id: String,
    digest: Digest,
    arguments: ApproveArguments,
) -> Ran {
    let change = ChangeArguments { dry_run: arguments.dry_run, request_id: arguments.request_id };
    let request = ApproveEnrolmentRequest {
        request_id: change.id(),
        enrolment_id,
        approval_digest: digest.bytes().to_vec(),
        comment: arguments.comment.unwrap_or_default(),
        validate_only: change.dry_run,
    };
    let answer = session.client.approve_enrolment(request.clone()).await;
    let answer = change.answered(session, answer, &request.request_id)?;
    if change.dry_run {
        return change.show_effects(session, answer.effects.as_ref(), || json::of(&answer), "");
    }
    let now = session.now;
    session.output.data(|width| enrolled(width, &answer, now), || json::of(&answer))?;
    Ok(Exit::Yes)
}

async fn approve_proposal(
    session: &mut Session<'_>,
    proposal_id: String,
    digest: Digest,
    arguments: ApproveArguments,
) -> Ran {
    let change = ChangeArguments { dry_run: arguments.dry_run, request_id: arguments.request_id };
    let request = ApproveProposalRequest {
        request_id: change.id(),
        proposal_id,
        approval_digest: digest.bytes().to_vec(),
        comment: arguments.comment.unwrap_or_default(),
        validate_only: change.dry_run,
    };
    let answer = session.client.approve_proposal(request.clone()).await;
    let answer = change.answered(session, answer, &request.request_id)?;
    let (proposal, verb) =
        (answer.proposal.clone().unwrap_or_default(), if change.dry_run { "would be" } else { "is" });
    let file = word(proposal.file().as_str_name(), "PROPOSAL_FILE_");
    let mut lines = rights_lines(&answer.rights, answer.omitted_rights_count);
    lines.extend(effect_lines(&answer.effects.clone().unwrap_or_default(), session.now));
    let digest = hexadecimal(&proposal.digest);
    let page = |width| format!("the {file} in force {verb} {digest}\n{}", card(width, &lines));
    session.output.data(page, || json::of(&answer))?;
    Ok(Exit::Yes)
}

fn approved(answer: &ApproveElevationResponse, now: Timestamp) -> String {
    match &answer.grant {
        Some(grant) => {
            let end = grant.end_time.as_ref().and_then(instant);
            let end = end.map(|end| format!(", which ends {}", relative(end, now))).unwrap_or_default();
            format!("approved: {} holds grant {}{end}\n", grant.holder_account, ending(&grant.id))
        }
        None => {
            let elevation = answer.elevation.clone().unwrap_or_default();
            still(&elevation.id, &state_word(&elevation), &elevation.review.clone().unwrap_or_default())
        }
    }
}

fn enrolled(width: u16, answer: &ApproveEnrolmentResponse, now: Timestamp) -> String {
    let enrolment = answer.enrolment.clone().unwrap_or_default();
    if enrolment.state() == EnrolmentState::Pending {
        let state = enrolment_card::state_word(&enrolment);
        return still(&enrolment.id, &state, &enrolment.review.clone().unwrap_or_default());
    }
    let effects = answer.effects.clone().unwrap_or_default();
    format!("{}\n{}", outcome(&enrolment), card(width, &effect_lines(&effects, now)))
}

fn still(id: &str, state: &str, review: &Review) -> String {
    let stage = review.open_stage.checked_sub(1).and_then(|at| review.stages.get(usize::try_from(at).ok()?));
    let by = stage.map(|stage| stage.by.join(" or ")).unwrap_or_default();
    format!("approved: {} is still {state}, for {by} to decide\n", ending(id))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::show::sample;
    use crate::wire::v1::{ChangedMembership, Effects};

    #[test]
    fn an_approval_says_what_it_led_to() {
        let last = ApproveElevationResponse { grant: Some(sample::grant()), ..Default::default() };
        assert_eq!(approved(&last, sample::moment()), "approved: ana holds grant cc33dd44, which ends in 14m\n");
        let more = ApproveElevationResponse { elevation: Some(sample::elevation()), ..Default::default() };
        let text = approved(&more, sample::moment());
        assert_eq!(text, "approved: aa11bb22 is still pending, for incident-commander to decide\n");
    }

    #[test]
    fn an_approved_enrolment_says_what_it_gave() {
        let mut enrolment = sample::enrolment();
        enrolment.review.as_mut().unwrap().open_stage = 2;
        let more = ApproveEnrolmentResponse { enrolment: Some(enrolment.clone()), ..Default::default() };
        let text = enrolled(80, &more, sample::moment());
        assert_eq!(text, "approved: ee55ff66 is still pending, for @role-owner to decide\n");
        enrolment.state = EnrolmentState::Approved.into();
        let given = ChangedMembership {
            account: "ana".into(),
            role: "db-engineer".into(),
            change: "GIVEN".into(),
            new_end_time: Some(sample::at(15_552_000)),
        };
        let effects = Some(Effects { changed_memberships: vec![given], ..Default::default() });
        let last = ApproveEnrolmentResponse { enrolment: Some(enrolment), effects, ..Default::default() };
        insta::assert_snapshot!(enrolled(100, &last, sample::moment()), @r#"
        approved: ana holds db-engineer; `countersign entitlements` lists what it may ask for
        gives  role db-engineer of ana, until 2027-05-21 22:00:00Z (in 180d)
        "#);
    }
}
