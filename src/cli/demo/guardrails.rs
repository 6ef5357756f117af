//! Chapter three: a customer who decides, an emergency and its follow-up, a lock, a change of policy, and the report on what stands.

use anyhow::{Context, Result};

use super::cast::{Cast, Question, Wish, ending, request_id, state, verdict};
use super::narrator::{Answer, Narrator};
use super::separation::proposal_state;
use super::story::{approval, asks_about, held, text_of};
use super::texts::Texts;
use super::texts::replaced;
use crate::domain::value::ids::Digest;
use crate::domain::value::time::Span;
use crate::wire::v1;
use crate::wire::v1::lock_target::Target;

const EMERGENCY: Wish = Wish {
    entitlement: "orders-db-repair",
    actions: &["db.write"],
    resource: "prod/eu/db/orders/primary",
    duration: Span::seconds(600),
    justification: "orders are lost by the minute, and ben does not answer",
    ticket: "INC-4712",
};
const QUESTION: Question = Question { subject: "ana", action: "db.write", resource: "prod/eu/db/orders/primary" };

const MAILBOX: Wish = Wish {
    entitlement: "mailbox-support",
    actions: &["mail.read"],
    resource: "tenants/acme/mail/inbox",
    duration: Span::seconds(600),
    justification: "lena has not seen any mail since noon",
    ticket: "INC-4713",
};
const MAIL_QUESTION: Question = Question { subject: "ana", action: "mail.read", resource: "tenants/acme/mail/inbox" };
const MAIL_ASKED: &str = "mail-api: may ana mail.read tenants/acme/mail/inbox?";

const POLICY_CHANGE: Wish = Wish {
    entitlement: "policy-change",
    actions: &["countersign.policy.propose"],
    resource: "countersign/broker",
    duration: Span::seconds(600),
    justification: "longer repairs, as agreed on Monday",
    ticket: "",
};

/// After the own organisation the customer itself decides, and cuts it.
pub(super) async fn a_customer_decides(narrator: &mut Narrator<'_>, cast: &Cast) -> Result<()> {
    narrator.step("A customer decides who looks into its own mailbox, and cuts it")?;
    let asked = cast.ana.request(&MAILBOX).await;
    narrator.answer("ana: request mailbox-support, on acme's inbox", &Answer::of(&asked, state), "PENDING")?;
    let asked = asked?;
    let seen = cast.lena.elevation(&asked.id).await;
    narrator.answer("acme.lena, of that customer: show it", &Answer::of(&seen, state), "NOT_FOUND")?;
    for (actor, expected) in [(&cast.sam, "PENDING"), (&cast.lena, "APPROVED")] {
        let seen = actor.elevation(&asked.id).await?;
        let approved = actor.approve(&asked.id, text_of(&seen)).await;
        narrator.answer(&format!("{}: approve", actor.account), &Answer::of(&approved, approval), expected)?;
    }
    let checked = cast.mail_api.check(MAIL_QUESTION).await;
    narrator.answer(MAIL_ASKED, &Answer::of(&checked, verdict), "ALLOW GRANTED")?;
    let grant = cast.lena.elevation(&asked.id).await?.grant_id;
    let revoked = cast.lena.revoke(&grant, "that was enough").await;
    narrator.answer("acme.lena: revoke it", &Answer::of(&revoked, |_| Answer::new("REVOKED", "")), "REVOKED")?;
    let checked = cast.mail_api.check(MAIL_QUESTION).await;
    narrator.answer(MAIL_ASKED, &Answer::of(&checked, verdict), "DENY NO_GRANT")
}

/// An emergency is asked for by name, approved by others, and owes a follow-up. Returns the request.
pub(super) async fn an_emergency(narrator: &mut Narrator<'_>, cast: &Cast) -> Result<v1::Elevation> {
    narrator.step("An emergency is asked for by name: other approvers, a shorter time, and a follow-up")?;
    let short = Wish { justification: "help", ..EMERGENCY };
    let refused = cast.ana.request_in_an_emergency(&short).await;
    narrator.answer(
        "ana: request orders-db-repair, --emergency, why: help",
        &Answer::of(&refused, state),
        "JUSTIFICATION_REQUIRED",
    )?;
    let asked = cast.ana.request_in_an_emergency(&EMERGENCY).await;
    narrator.answer("ana: the same, and why", &Answer::of(&asked, state), "PENDING")?;
    let asked = asked?;
    for (actor, expected) in [(&cast.ana_admin, "SELF_APPROVAL"), (&cast.ben, "NOT_AN_APPROVER")] {
        let seen = actor.elevation(&asked.id).await?;
        let approved = actor.approve(&asked.id, text_of(&seen)).await;
        narrator.answer(&format!("{}: approve", actor.account), &Answer::of(&approved, approval), expected)?;
    }
    let seen = cast.sam.elevation(&asked.id).await?;
    let approved = cast.sam.approve(&asked.id, text_of(&seen)).await;
    narrator.answer("sam, security-duty: approve", &Answer::of(&approved, approval), "APPROVED")?;
    held(approved?.grant)?;
    let checked = cast.orders_api.check(QUESTION).await;
    narrator.answer(&asks_about(QUESTION), &Answer::of(&checked, verdict), "ALLOW GRANTED")?;
    Ok(asked)
}

/// One command stops a person everywhere, and what they hold goes on when it is lifted.
pub(super) async fn a_lock(narrator: &mut Narrator<'_>, cast: &Cast) -> Result<()> {
    narrator.step("One command stops anything: ana's laptop is gone")?;
    let request = v1::CreateLockRequest {
        request_id: request_id(),
        target: Some(v1::LockTarget { target: Some(Target::Person("ana".to_owned())) }),
        mode: v1::LockMode::Suspend.into(),
        reason: "the laptop is gone".to_owned(),
        ..Default::default()
    };
    let locked = cast.sam.client.create_lock(request).await;
    let answer = Answer::of(&locked, |locked| {
        Answer::new("locked", locked.lock.as_ref().map_or_else(String::new, |lock| format!("…{}", ending(&lock.id))))
    });
    narrator.answer("sam: lock person ana", &answer, "locked")?;
    let lock = locked?.lock.context("there is no lock")?;
    let checked = cast.orders_api.check(QUESTION).await;
    narrator.answer(&asks_about(QUESTION), &Answer::of(&checked, verdict), "DENY LOCKED")?;
    let asked = cast.ana.request(&EMERGENCY).await;
    narrator.answer("ana: request orders-db-repair", &Answer::of(&asked, state), "LOCKED")?;
    let unlock = v1::DeleteLockRequest {
        request_id: request_id(),
        lock_id: lock.id,
        reason: "it was under the desk".to_owned(),
    };
    let lifted = cast.sam.client.delete_lock(unlock).await;
    narrator.answer("sam: unlock", &Answer::of(&lifted, |_| Answer::new("lifted", "")), "lifted")?;
    let checked = cast.orders_api.check(QUESTION).await;
    narrator.answer(&asks_about(QUESTION), &Answer::of(&checked, verdict), "ALLOW GRANTED")
}

/// One of those whom the emergency went around says what they found.
pub(super) async fn a_follow_up(narrator: &mut Narrator<'_>, cast: &Cast, asked: &v1::Elevation) -> Result<()> {
    narrator.step("Those whom it went around look at it, and say what they found")?;
    for (actor, expected) in [(&cast.sam, "ALREADY_REVIEWED"), (&cast.ben, "JUSTIFIED")] {
        let seen = actor.elevation(&asked.id).await?;
        let request = v1::CompleteFollowUpRequest {
            request_id: request_id(),
            elevation_id: asked.id.clone(),
            approval_digest: Digest::of(text_of(&seen).as_bytes()).bytes().to_vec(),
            finding: v1::FollowUpFinding::Justified.into(),
            comment: "orders were lost, and that stopped it".to_owned(),
        };
        let completed = actor.client.complete_follow_up(request).await;
        narrator.answer(&format!("{}: follow-up", actor.account), &Answer::of(&completed, finding), expected)?;
    }
    Ok(())
}

fn finding(response: &v1::CompleteFollowUpResponse) -> Answer {
    let follow_up = response.elevation.as_ref().and_then(|elevation| elevation.follow_up.as_ref());
    let found = follow_up.and_then(|follow_up| follow_up.completion.as_ref());
    found.map_or_else(
        || Answer::new("nothing", ""),
        |found| Answer::new(found.finding().as_str_name().trim_start_matches("FOLLOW_UP_FINDING_"), ""),
    )
}

/// The rules change by two persons, and nobody changes them for themselves.
pub(super) async fn a_change_of_policy(narrator: &mut Narrator<'_>, cast: &Cast, texts: &Texts) -> Result<()> {
    narrator.step("The rules change by two persons: omar wants longer grants for orders-db-repair")?;
    for (actor, line) in [(&cast.omar, "omar: request policy-change, sam approves"), (&cast.vera, "vera: the same")] {
        let asked = actor.request(&POLICY_CHANGE).await?;
        let approved = cast.sam.approve(&asked.id, text_of(&cast.sam.elevation(&asked.id).await?)).await;
        narrator.answer(line, &Answer::of(&approved, approval), "APPROVED")?;
    }
    let longer =
        replaced(&texts.policy, "max_duration = \"1h\"\nmax_continuous", "max_duration = \"2h\"\nmax_continuous")?;
    let proposed = cast.omar.propose_policy(&texts.policy, &longer).await;
    let answer = Answer::of(&proposed, |it| Answer::new("PENDING", format!("{} accounts gain", it.rights.len())));
    narrator.answer("omar: propose the policy", &answer, "PENDING")?;
    let proposal = proposed?.proposal.context("there is no proposal")?;
    for (actor, line, expected) in [
        (&cast.omar, "omar: approve it, as its author", "SELF_APPROVAL"),
        (&cast.vera, "vera: approve it, by the digest of the text shown", "APPROVED"),
    ] {
        narrator.answer(line, &Answer::of(&actor.approve_proposal(&proposal).await, proposal_state), expected)?;
    }
    Ok(())
}

/// What stands without a grant, and that nothing else does.
pub(super) async fn what_stands(narrator: &mut Narrator<'_>, cast: &Cast) -> Result<()> {
    narrator.step("And what stands? Every grant that ever was is bounded, approved, and ended or open")?;
    let report = cast.omar.client.report_standing(v1::ReportStandingRequest::default()).await;
    let answer = Answer::of(&report, |report| {
        let tally = report.grants.unwrap_or_default();
        let stands = if report.nothing_else_stands { "nothing else stands" } else { "something else stands" };
        let holders = report.capabilities.len();
        Answer::new(stands, format!("{} issued, {} open, {holders} capabilities", tally.issued, tally.active))
    });
    narrator.answer("omar, auditor: report standing", &answer, "nothing else stands")
}
