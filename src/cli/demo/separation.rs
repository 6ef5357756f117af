//! Separation of duties, through the broker: a policy in which one role asks and approves, a directory that gives one
//! person both roles, and an approver who loses the role before the grant is issued. (Self-approval is the story's own.)

use anyhow::{Context, Result, ensure};

use super::cast::{Called, Cast, Wish, state};
use super::narrator::{Answer, Narrator};
use super::story::{approval, text_of};
use super::texts::Texts;
use super::texts::replaced;
use crate::domain::value::time::Span;
use crate::wire::v1;

const PAYMENTS: Wish = Wish {
    entitlement: "payments-db-admin",
    actions: &["db.admin"],
    resource: "prod/eu/db/payments/ledger",
    duration: Span::seconds(600),
    justification: "rebuild the ledger's broken index",
    ticket: "CHG-88",
};

/// Rules 1 and 2: neither policy nor directory lets one person stand on both sides of an entitlement.
pub(super) async fn roles_stay_apart(narrator: &mut Narrator<'_>, cast: &Cast, texts: &Texts) -> Result<()> {
    narrator.step("Neither policy nor directory brings asking and approving into one hand")?;
    let approval = "approval = [{ by = [\"incident-commander\"], count = 1 }]";
    let own_role = "approval = [{ by = [\"incident-commander\", \"db-engineer\"], count = 1 }]";
    let one_role = replaced(&texts.policy, approval, own_role)?;
    let proposed = cast.config_bot.propose_policy(&texts.policy, &one_role).await;
    let found = proposed.map(|proposed| proposed.mistakes);
    narrator.answer(
        "config-bot: propose a policy where db-engineer also approves",
        &outcome(&found),
        "not proposed",
    )?;
    because(narrator, &found, "`db-engineer`, which may also ask for this")?;

    let second = "person/ana-admin\"]\nroles = []";
    let both_roles = replaced(&texts.directory, second, "person/ana-admin\"]\nroles = [\"incident-commander\"]")?;
    let proposed = cast.omar.propose_directory(&texts.directory, &both_roles).await;
    let found = proposed.map(|proposed| proposed.mistakes);
    narrator.answer("omar: propose a directory that makes ana-admin an approver", &outcome(&found), "not proposed")?;
    because(narrator, &found, "for `ana`, who may ask for it as `db-engineer` in account `ana`")
}

/// Rule 4: an approval counts only if the approver could still give it when the grant is issued.
pub(super) async fn a_lost_role_counts_no_more(narrator: &mut Narrator<'_>, cast: &Cast, texts: &Texts) -> Result<()> {
    narrator.step("An approver who loses the role counts no more: two stages, ben and then sam")?;
    let asked = cast.ana.request(&PAYMENTS).await;
    narrator.answer("ana: request payments-db-admin for 10m", &Answer::of(&asked, state), "PENDING")?;
    let asked = asked?;
    let first = cast.ben.elevation(&asked.id).await?;
    let approved = cast.ben.approve(&asked.id, text_of(&first)).await;
    narrator.answer("ben: approve, the first of two stages", &Answer::of(&approved, approval), "PENDING")?;

    let bens = "roles = [\"incident-commander\"]";
    let without_ben = replaced(&texts.directory, bens, "roles = []")?;
    let proposed = cast.propose_directory(&texts.directory, &without_ben).await;
    narrator.answer(
        "omar proposes a directory in which ben has lost that role, vera approves",
        &Answer::of(&proposed, proposal_state),
        "APPROVED",
    )?;

    let second = cast.sam.elevation(&asked.id).await?;
    let approved = cast.sam.approve(&asked.id, text_of(&second)).await;
    narrator.answer("sam: approve, the second stage", &Answer::of(&approved, approval), "STAGE_NOT_OPEN")?;
    let review = cast.sam.elevation(&asked.id).await;
    let answer = Answer::of(&review, reopened);
    narrator.answer("sam: show it: the open stage, and ben's approval", &answer, "stage 1, NOT_AN_APPROVER")?;
    let withdrawn = cast.ana.withdraw(&asked.id).await;
    narrator.answer("ana: withdraw it", &Answer::of(&withdrawn, state), "WITHDRAWN")?;
    let proposed = cast.propose_directory(&without_ben, &texts.directory).await;
    narrator.answer(
        "omar proposes the directory as it was, vera approves",
        &Answer::of(&proposed, proposal_state),
        "APPROVED",
    )
}

/// Which stage is open, and why the first approval no longer counts.
fn reopened(elevation: &v1::Elevation) -> Answer {
    let Some(review) = &elevation.review else { return Answer::new("no review", "") };
    let struck = review.decisions.first().and_then(|decision| decision.struck_out.as_ref());
    let reason = struck.map_or("still counts", |struck| struck.reason.as_str());
    Answer::new(format!("stage {}, {reason}", review.open_stage), "")
}

/// Where a proposal stands once it was approved: `APPROVED`.
pub(super) fn proposal_state(answer: &v1::ApproveProposalResponse) -> Answer {
    let state =
        answer.proposal.as_ref().map(|proposal| proposal.state().as_str_name().trim_start_matches("PROPOSAL_STATE_"));
    Answer::new(state.unwrap_or("nothing"), "")
}

/// What a proposal came to: mistakes come back as data, and with one of them nothing is proposed.
fn outcome(mistakes: &Called<Vec<v1::Mistake>>) -> Answer {
    Answer::of(mistakes, |mistakes| match mistakes.len() {
        0 => Answer::new("proposed", ""),
        1 => Answer::new("not proposed", "1 mistake"),
        many => Answer::new("not proposed", format!("{many} mistakes")),
    })
}

/// Shows the first mistake, which must be the expected one: a proposal can be refused for the wrong reason, too.
fn because(narrator: &mut Narrator<'_>, mistakes: &Called<Vec<v1::Mistake>>, expected: &str) -> Result<()> {
    let first = mistakes.as_ref().ok().and_then(|mistakes| mistakes.first()).context("no mistake came back")?;
    narrator.note(&format!("line {}: {}", first.line, first.text))?;
    ensure!(first.text.contains(expected), "the proposal was refused because of {}, and not of {expected}", first.text);
    Ok(())
}
