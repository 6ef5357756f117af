//! How it ends: a denial, a revocation, the end of time, and a journal that holds.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use tokio::task::JoinHandle;

use super::cast::{Cast, Question, Wish, state, verdict};
use super::narrator::{Answer, Narrator, seconds};
use super::story::{Held, REPAIR_QUESTION, approval, asks_about, held, text_of};
use crate::clock::{BootMillis, Clock as _, SystemClock};
use crate::domain::value::time::{Span, Timestamp};
use crate::journal::{OpenError, copy, verify_file};
use crate::sdk::Cut;

const REPLICA: Wish = Wish {
    entitlement: "orders-db-repair",
    actions: &["db.read"],
    resource: "prod/eu/db/orders/replica",
    duration: Span::seconds(600),
    justification: "compare the replica with the primary",
    ticket: "INC-4711",
};
const REPLICA_QUESTION: Question =
    Question { subject: "ana", action: "db.read", resource: "prod/eu/db/orders/replica" };
/// More than there will be time for.
const ROWS: u32 = 10_000;
const A_ROW: Duration = Duration::from_millis(2);
/// How long after the end a check may still be allowed, at most: the clock of the check path is refreshed far more
/// often.
const CLOCK_MARGIN: Span = Span::seconds(1);

/// A reviewer may say no, and what was granted can be taken away at once.
pub(super) async fn no_and_no_longer(narrator: &mut Narrator<'_>, cast: &Cast) -> Result<()> {
    narrator.step("A reviewer may say no, and a grant can be taken away in the middle of an act")?;
    let archive = Wish { resource: "prod/eu/db/orders/archive", ..REPLICA };
    let asked = cast.ana.request(&archive).await?;
    let denied = cast.ben.deny(&asked.id, "the archive has nothing to do with this incident").await;
    narrator.answer("ben: deny ana's request for the archive", &Answer::of(&denied, state), "DENIED")?;
    let asked = cast.ana.request(&REPLICA).await?;
    let seen = cast.ben.elevation(&asked.id).await?;
    let approved = cast.ben.approve(&asked.id, text_of(&seen)).await;
    narrator.answer("ben: approve ana's request for the replica, 10m", &Answer::of(&approved, approval), "APPROVED")?;
    let grant = held(approved?.grant)?;
    let before = cast.orders_api.check(REPLICA_QUESTION).await;
    narrator.answer(&asks_about(REPLICA_QUESTION), &Answer::of(&before, verdict), "ALLOW GRANTED")?;
    let act = Act::begin(cast);
    act.is_under_way().await?;
    let asked_at = narrator.now().boot;
    let revoked = cast.sam.revoke(&grant.id, "the incident is over").await;
    let answer =
        Answer::of(&revoked, |grant| Answer::new(grant.state().as_str_name().trim_start_matches("GRANT_STATE_"), ""));
    narrator.answer("sam, security-duty: revoke it", &answer, "REVOKED")?;
    let (reason, row, cut_at) = act.end().await?;
    let took = cut_at.since(asked_at).millis();
    let answer = Answer::new(format!("cut off: {reason}"), format!("at row {row}, {took} ms after sam asked"));
    narrator.answer("orders-api: ana's comparison of the tables, under way", &answer, "cut off: NO_GRANT")?;
    let after = cast.orders_api.check(REPLICA_QUESTION).await;
    narrator.answer(&asks_about(REPLICA_QUESTION), &Answer::of(&after, verdict), "DENY NO_GRANT")
}

/// Something that takes its time: a comparison row by row, done only as long as a grant covers it.
struct Act {
    rows_done: Arc<AtomicU32>,
    ends: JoinHandle<(Result<(), Cut>, BootMillis)>,
}

impl Act {
    fn begin(cast: &Cast) -> Self {
        let rows_done = Arc::new(AtomicU32::new(0));
        let (replica, done) = (cast.orders_api.replica.clone(), Arc::clone(&rows_done));
        let ends = tokio::spawn(async move {
            let Question { subject, action, resource } = REPLICA_QUESTION;
            let rows = async {
                for row in 1..=ROWS {
                    tokio::time::sleep(A_ROW).await;
                    done.store(row, Ordering::Relaxed);
                }
            };
            let ended = replica.guard(subject, action, resource, rows).await;
            (ended, SystemClock.boot())
        });
        Self { rows_done, ends }
    }

    /// Returns in the middle of it.
    async fn is_under_way(&self) -> Result<()> {
        while self.rows_done.load(Ordering::Relaxed) == 0 {
            ensure!(!self.ends.is_finished(), "the comparison was not begun");
            tokio::time::sleep(A_ROW).await;
        }
        Ok(())
    }

    /// Why it ended, at which row, and when.
    async fn end(self) -> Result<(&'static str, u32, BootMillis)> {
        let (ended, at) = self.ends.await.context("the comparison broke off")?;
        let reason = ended.err().map_or("it was done to its end", |cut| cut.reason());
        Ok((reason, self.rows_done.load(Ordering::Relaxed), at))
    }
}

/// The grant of four seconds ends by itself: asked again and again until the answer changes.
pub(super) async fn time_runs_out(narrator: &mut Narrator<'_>, cast: &Cast, repair: &Held) -> Result<()> {
    narrator.step("Time runs out, and nobody has to do anything")?;
    let mut last_allow = None;
    loop {
        let sent = narrator.now().wall;
        let answer = verdict(&cast.orders_api.look(REPAIR_QUESTION));
        if answer.what != "ALLOW GRANTED" {
            return ended(narrator, repair, Change { last_allow, denied: sent, answer });
        }
        ensure!(
            sent < repair.end.plus(CLOCK_MARGIN),
            "the grant ended at {}, and a check sent at {sent} was answered ALLOW",
            repair.end
        );
        last_allow = Some(sent);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// When the answer changed from ALLOW, and to what.
struct Change {
    last_allow: Option<Timestamp>,
    denied: Timestamp,
    answer: Answer,
}

fn ended(narrator: &mut Narrator<'_>, repair: &Held, change: Change) -> Result<()> {
    let Change { last_allow, denied, answer } = change;
    let after = |at: Timestamp| seconds(at.since(repair.start));
    let before = last_allow.map(|at| format!(", ALLOW at {}", after(at))).unwrap_or_default();
    let answer = Answer { detail: format!("at {}{before}", after(denied)), ..answer };
    narrator.answer(&asks_about(REPAIR_QUESTION), &answer, "DENY NO_GRANT")?;
    // Early would be as wrong as late.
    ensure!(
        denied.plus(CLOCK_MARGIN) >= repair.end,
        "the grant was to end at {}, and a check sent at {denied} was denied",
        repair.end
    );
    Ok(())
}

/// The journal, offline: as it is, and with one letter changed in a copy.
pub(super) fn the_journal_holds(narrator: &mut Narrator<'_>, journal: &Path) -> Result<()> {
    narrator.step("The broker has stopped; its journal is verified from the file alone")?;
    let verified = verify_file(journal, None);
    let answer = match &verified {
        Ok(verified) => {
            let head = verified.recovered.head;
            let hash = head.hash.to_string();
            let beginning = hash.get(..12).unwrap_or(&hash);
            Answer::new("verified", format!("{} rows, head {beginning}…", head.sequence))
        }
        Err(error) => Answer::new("broken", error.to_string()),
    };
    narrator.answer("audit verify", &answer, "verified")?;
    let altered = with_other_words(journal)?;
    let answer = match verify_file(&altered, None) {
        Ok(_) => Answer::new("verified", ""),
        Err(OpenError::Broken { sequence, .. }) => Answer::new("broken", format!("at row {sequence}")),
        Err(error) => Answer::new("unreadable", error.to_string()),
    };
    narrator.answer("audit verify, of a copy in which `stuck` became `stock`", &answer, "broken")
}

/// A copy of the journal with one letter of ana's justification changed.
fn with_other_words(journal: &Path) -> Result<std::path::PathBuf> {
    // Not read as it is: this process may have it open still, and would drop its locks on it.
    let altered = journal.with_extension("altered.sqlite");
    copy(journal, &altered).context("cannot copy the journal")?;
    let mut bytes = std::fs::read(&altered).context("cannot read a copy of the journal")?;
    let (from, to) = (b"orders are stuck", b"orders are stock");
    let places: Vec<usize> =
        bytes.windows(from.len()).enumerate().filter(|(_, window)| *window == from).map(|(at, _)| at).collect();
    ensure!(!places.is_empty(), "the journal does not hold ana's words");
    for at in places {
        if let Some(place) = bytes.get_mut(at..at.saturating_add(to.len())) {
            place.copy_from_slice(to);
        }
    }
    std::fs::write(&altered, bytes).context("cannot write a copy of the journal")?;
    Ok(altered)
}
