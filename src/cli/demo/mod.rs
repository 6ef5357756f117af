//! `countersign demo`: the whole story in ten seconds against a real broker, driven by the real client, each person with
//! their own certificate. It ends well only if every answer was the expected one.

mod cast;
mod ending;
mod guardrails;
mod life;
mod narrator;
mod people;
mod separation;
mod story;
mod texts;

use self::cast::Cast;
use self::narrator::{Narrator, seconds};
use self::texts::Texts;
use super::dev::folder::TemporaryFolder;
use super::dev::local::{EXAMPLE_DIRECTORY, EXAMPLE_POLICY, LocalBroker, Setup, with_recent_dates};
use super::term::failure::{Exit, Failure, Ran};
use super::term::output::Output;
use crate::clock::{Clock, SystemClock};
use anyhow::Result;
use std::path::Path;

/// Ana's second account: the example's directory does not have it, and the story needs somebody who could try.
const SECOND_ACCOUNT: &str = r#"
[accounts.ana-admin]
person = "ana"
identities = ["spiffe://northwind.example/person/ana-admin"]
roles = []
"#;

/// Runs `demo`: 0 only if every answer was the expected one.
///
/// # Errors
/// The first answer that was not the expected one, or what kept the broker from running.
pub fn run(_output: &mut Output) -> Ran {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime =
        runtime.map_err(|error| Failure::Failed(format!("the asynchronous runtime cannot be started: {error}")))?;
    let mut out = anstream::stdout();
    let ended = runtime.block_on(whole_story(&mut Narrator::new(&mut out)));
    ended.map(|()| Exit::Yes).map_err(|error| Failure::Failed(format!("{error:#}")))
}

/// Nothing of it is left on the disk.
async fn whole_story(narrator: &mut Narrator<'_>) -> Result<()> {
    let folder = TemporaryFolder::make()?;
    let journal = folder.path().join("journal.sqlite");
    let directory = with_recent_dates(EXAMPLE_DIRECTORY, SystemClock.read().wall) + SECOND_ACCOUNT;
    let texts = Texts { policy: EXAMPLE_POLICY.to_owned(), directory };
    let broker = LocalBroker::start(Setup {
        certificates: folder.path().join("certificates"),
        journal: journal.clone(),
        listen: ([127, 0, 0, 1], 0).into(),
        policy: texts.policy.clone(),
        directory: texts.directory.clone(),
    })
    .await?;
    let ended = whole_script(narrator, &broker, &texts).await;
    let stopped = broker.stop().await;
    ended?;
    stopped?;
    finish(narrator, &journal)
}

async fn whole_script(narrator: &mut Narrator<'_>, broker: &LocalBroker, texts: &Texts) -> Result<()> {
    narrator.say(&format!("A broker on {}: mutual TLS, a SQLite journal, the example policy.", broker.address))?;
    narrator.say("Each line is a call by the person named, and what the broker answered.")?;
    let cast = Cast::connect(broker).await?;
    story::nobody_has_privilege(narrator, &cast).await?;
    let asked = story::ana_asks(narrator, &cast).await?;
    story::nobody_approves_for_themselves(narrator, &cast, &asked).await?;
    let repair = story::ben_approves(narrator, &cast, &asked).await?;
    story::the_service_checks(narrator, &cast, &repair).await?;
    ending::no_and_no_longer(narrator, &cast).await?;
    separation::roles_stay_apart(narrator, &cast, texts).await?;
    separation::a_lost_role_counts_no_more(narrator, &cast, texts).await?;
    ending::time_runs_out(narrator, &cast, &repair).await?;
    narrator.say("Chapter two: the life of an account.")?;
    life::pia_gets_an_account(narrator, &cast).await?;
    life::a_role_is_another_request(narrator, &cast).await?;
    life::training_lapses(narrator, &cast).await?;
    life::pia_moves(narrator, &cast).await?;
    life::pia_owns_a_machine(narrator, &cast).await?;
    life::pia_leaves(narrator, &cast).await?;
    narrator.say("Chapter three: guardrails.")?;
    guardrails::a_customer_decides(narrator, &cast).await?;
    let asked = guardrails::an_emergency(narrator, &cast).await?;
    guardrails::a_lock(narrator, &cast).await?;
    guardrails::a_follow_up(narrator, &cast, &asked).await?;
    guardrails::a_change_of_policy(narrator, &cast, texts).await?;
    guardrails::what_stands(narrator, &cast).await
}

fn finish(narrator: &mut Narrator<'_>, journal: &Path) -> Result<()> {
    ending::the_journal_holds(narrator, journal)?;
    let (answers, took) = (narrator.answers(), seconds(narrator.took()));
    narrator.say(&format!("All {answers} answers were the expected ones, in {took}."))
}
