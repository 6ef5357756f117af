//! The second chapter: the life of an account. pia joined yesterday; pia asks for an account and a role, has a training
//! lapse in the middle of a grant, moves to another manager, owns a machine, and leaves in the middle of a grant.

use anyhow::{Result, ensure};

use super::cast::{Actor, Cast, Question, Wish, ending, state, verdict};
use super::narrator::{Answer, Narrator, seconds};
use super::people::{account_state, disabled, effects, enrolment_state, imported, met, on_record};
use super::story::{approval, asks_about, text_of};
use crate::domain::value::time::{Span, Timestamp};
use crate::wire::v1;
use crate::wire::v1::enrolment_ask::Ask;
use crate::wire::v1::hr_event::Change;

const WORK: Wish = Wish {
    entitlement: "orders-db-maintenance",
    actions: &["db.read"],
    resource: "prod/eu/db/orders/primary",
    duration: Span::seconds(600),
    justification: "look at last night's orders",
    ticket: "",
};
const QUESTION: Question = Question { subject: "pia", action: "db.read", resource: "prod/eu/db/orders/primary" };
/// What is left of pia's training in the middle of a grant of ten minutes.
const TRAINING_LEFT: Span = Span::seconds(2);
/// How long a check after the lapse may still be answered late, at most.
const CLOCK_MARGIN: Span = Span::seconds(1);

pub(super) async fn pia_gets_an_account(narrator: &mut Narrator<'_>, cast: &Cast) -> Result<()> {
    narrator.step("pia joined yesterday: known by a certificate, without an account")?;
    let asked = cast.pia.request(&WORK).await;
    narrator.answer("pia: request orders-db-maintenance", &Answer::of(&asked, state), "NO_ACCOUNT")?;
    let account = Ask::Account(v1::AccountAsk::default());
    let early = cast.pia.enrol(account.clone()).await;
    narrator.answer("pia: enrol, an account", &Answer::of(&early, enrolment_state), "NOT_ELIGIBLE")?;
    let foreign = cast.training_feed.attest(met("pia", "screening", a_moment_ago(narrator))).await;
    narrator.answer("training-feed: attest pia's screening", &Answer::of(&foreign, on_record), "CAPABILITY_MISSING")?;
    for requirement in ["annual-training", "dba-training"] {
        let passed = cast.training_feed.attest(met("pia", requirement, a_moment_ago(narrator))).await;
        let asked = format!("training-feed: attest pia's {requirement}");
        narrator.answer(&asked, &Answer::of(&passed, on_record), "on record")?;
    }
    let asked = cast.pia.enrol(account).await;
    narrator.answer("pia: enrol, an account", &Answer::of(&asked, enrolment_state), "PENDING")?;
    let asked = asked?;
    let own = cast.pia.accept(&asked).await;
    narrator.answer("pia: approve it", &Answer::of(&own, enrolment_state), "NO_ACCOUNT")?;
    accepted(narrator, &cast.ines, "pia's manager", &asked, "APPROVED").await?;
    let asked = cast.pia.request(&WORK).await;
    narrator.answer("pia: request orders-db-maintenance", &Answer::of(&asked, state), "NOT_IN_ROLE")
}

pub(super) async fn a_role_is_another_request(narrator: &mut Narrator<'_>, cast: &Cast) -> Result<()> {
    narrator.step("A role is a request of its own, and never one that brings asking and approving into one hand")?;
    let asked = cast.pia.enrol(role("db-engineer")).await;
    narrator.answer("pia: enrol, db-engineer", &Answer::of(&asked, enrolment_state), "PENDING")?;
    accepted(narrator, &cast.ines, "pia's manager and the role's owner", &asked?, "APPROVED").await?;
    let other = cast.pia.enrol(role("incident-commander")).await;
    narrator.answer("pia: enrol, incident-commander", &Answer::of(&other, enrolment_state), "ROLE_CONFLICT")
}

pub(super) async fn training_lapses(narrator: &mut Narrator<'_>, cast: &Cast) -> Result<()> {
    narrator.step("Training lapses in the middle of a grant: grant and account end by themselves")?;
    let grant = granted(narrator, cast).await?;
    let year = Span::seconds(365 * 86_400);
    let began = narrator.now().wall;
    let met_at = began.minus(year).plus(TRAINING_LEFT);
    let corrected = cast.training_feed.correct(met("pia", "annual-training", met_at)).await;
    let asked = "training-feed: correct it: 365 days ago, less two seconds";
    narrator.answer(asked, &Answer::of(&corrected, effects), "1 shortened")?;
    let checked = cast.orders_api.check(QUESTION).await;
    narrator.answer(&asks_about(QUESTION), &Answer::of(&checked, verdict), "ALLOW GRANTED")?;
    loop {
        let answer = Answer::of(&cast.orders_api.check(QUESTION).await, verdict);
        if answer.what != "ALLOW GRANTED" {
            let after = narrator.now().wall.since(grant);
            let answer = Answer { detail: format!("{} into ten minutes", seconds(after)), ..answer };
            narrator.answer(&asks_about(QUESTION), &answer, "DENY NO_GRANT")?;
            break;
        }
        ensure!(narrator.now().wall < began.plus(TRAINING_LEFT).plus(CLOCK_MARGIN), "the grant outlasts the training");
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    let who = disabled(&cast.pia).await;
    narrator.answer("pia: whoami", &Answer::of(&who, account_state), "DISABLED LAPSE")?;
    let renewed = cast.training_feed.attest(met("pia", "annual-training", a_moment_ago(narrator))).await;
    narrator.answer("training-feed: attest that it was renewed", &Answer::of(&renewed, on_record), "on record")?;
    let asked = cast.pia.request(&WORK).await;
    narrator.answer("pia: request orders-db-maintenance", &Answer::of(&asked, state), "ACCOUNT_DISABLED")?;
    let restore = cast.pia.enrol(Ask::Restore(v1::RestoreAsk::default())).await;
    narrator.answer("pia: enrol, to have it restored", &Answer::of(&restore, enrolment_state), "PENDING")?;
    accepted(narrator, &cast.ines, "pia's manager", &restore?, "APPROVED").await
}

pub(super) async fn pia_moves(narrator: &mut Narrator<'_>, cast: &Cast) -> Result<()> {
    narrator.step("HR moves pia to omar: what pia holds is cut, and only the new manager can keep it")?;
    let moved = Change::Transferred(v1::Transferred { manager: "omar".to_owned(), time: None });
    let applied = cast.hr_sync.hr("pia", moved, false).await;
    narrator.answer("hr-sync: pia is transferred to omar", &Answer::of(&applied, effects), "1 cut")?;
    let keep = v1::KeepAsk { account: String::new(), role: "db-engineer".to_owned() };
    let asked = cast.pia.enrol(Ask::Keep(keep)).await;
    narrator.answer("pia: enrol, to keep db-engineer", &Answer::of(&asked, enrolment_state), "PENDING")?;
    let asked = asked?;
    let old = cast.ines.accept(&asked).await;
    narrator.answer("ines, pia's old manager: approve", &Answer::of(&old, enrolment_state), "NOT_FOUND")?;
    accepted(narrator, &cast.omar, "pia's manager", &asked, "APPROVED").await
}

pub(super) async fn pia_owns_a_machine(narrator: &mut Narrator<'_>, cast: &Cast) -> Result<()> {
    narrator.step("A machine is its owner's: the manager approves it, then whoever owns its role")?;
    let machine = v1::MachineAsk {
        account: "orders-bot".to_owned(),
        identities: vec!["spiffe://northwind.example/service/orders-bot".to_owned()],
        acts_for: v1::ActsFor::Itself.into(),
        roles: vec![v1::MachineRole { role: "deploy-pipeline".to_owned(), end_time: None }],
        ..Default::default()
    };
    let asked = cast.pia.enrol(Ask::Machine(machine)).await;
    narrator.answer("pia: enrol, the machine orders-bot", &Answer::of(&asked, enrolment_state), "PENDING")?;
    let asked = asked?;
    accepted(narrator, &cast.omar, "pia's manager", &asked, "PENDING").await?;
    accepted(narrator, &cast.ines, "owner of deploy-pipeline", &asked, "APPROVED").await
}

pub(super) async fn pia_leaves(narrator: &mut Narrator<'_>, cast: &Cast) -> Result<()> {
    narrator.step("pia leaves in the middle of a grant, at once; and no broken file takes anybody else along")?;
    granted(narrator, cast).await?;
    let checked = cast.orders_api.check(QUESTION).await;
    narrator.answer(&asks_about(QUESTION), &Answer::of(&checked, verdict), "ALLOW GRANTED")?;
    let cut_off = cast.hr_sync.import("person,manager,login,last_day\nomar,,,\nnoa,omar,,\n").await;
    narrator.answer("hr-sync: import a file that was cut off", &Answer::of(&cut_off, imported), "all held")?;
    let left = || Change::Left(v1::Left { time: None, urgent: true, also_approved: false });
    let tried = cast.hr_sync.hr("pia", left(), true).await;
    let expected = "1 revoked, 1 disabled, 1 closed";
    narrator.answer("hr-sync: pia leaves at once, --dry-run", &Answer::of(&tried, effects), expected)?;
    let checked = cast.orders_api.check(QUESTION).await;
    narrator.answer(&asks_about(QUESTION), &Answer::of(&checked, verdict), "ALLOW GRANTED")?;
    let applied = cast.hr_sync.hr("pia", left(), false).await;
    narrator.answer("hr-sync: the same for real", &Answer::of(&applied, effects), expected)?;
    let checked = cast.orders_api.check(QUESTION).await;
    narrator.answer(&asks_about(QUESTION), &Answer::of(&checked, verdict), "DENY NO_GRANT")?;
    let who = disabled(&cast.pia).await;
    narrator.answer("pia: whoami", &Answer::of(&who, account_state), "DISABLED TERMINATION")
}

/// A grant of ten minutes, approved by sam. When it began.
async fn granted(narrator: &mut Narrator<'_>, cast: &Cast) -> Result<Timestamp> {
    let asked = cast.pia.request(&WORK).await;
    narrator.answer("pia: request orders-db-maintenance for 10m", &Answer::of(&asked, state), "PENDING")?;
    let asked = asked?;
    let seen = cast.sam.elevation(&asked.id).await?;
    let approved = cast.sam.approve(&asked.id, text_of(&seen)).await;
    narrator.answer("sam, security-duty: approve", &Answer::of(&approved, approval), "APPROVED")?;
    Ok(narrator.now().wall)
}

async fn accepted(
    narrator: &mut Narrator<'_>,
    by: &Actor,
    as_what: &str,
    asked: &v1::Enrolment,
    expected: &str,
) -> Result<()> {
    let approved = by.accept(asked).await;
    let answer = Answer::of(&approved, |it| Answer { detail: format!("…{}", ending(&it.id)), ..enrolment_state(it) });
    narrator.answer(&format!("{}, {as_what}: approve", by.account), &answer, expected)
}

/// The broker's clock may be a few milliseconds behind.
fn a_moment_ago(narrator: &Narrator<'_>) -> Timestamp {
    narrator.now().wall.minus(Span::SECOND)
}

fn role(name: &str) -> Ask {
    Ask::Role(v1::RoleAsk { account: String::new(), role: name.to_owned(), end_time: None })
}
