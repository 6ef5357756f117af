//! `--wait` and `--hold`: staying with a request until it is decided, and with its grant until it ends.

use std::time::Duration;

use clap::Args;

use crate::cli::connect::session::Session;
use crate::cli::connect::waiting::{patience, spinner};
use crate::cli::show::elevation_card::state_word;
use crate::cli::term::failure::{Exit, Failure, Ran};
use crate::cli::term::json;
use crate::cli::term::text::{clock_text, ending, instant, quoted, relative, rough, wall_time, word};
use crate::cli::term::values;
use crate::domain::value::refusal::Reason;
use crate::domain::value::time::{Span, Timestamp};
use crate::wire::v1::{
    Elevation, ElevationState, GetElevationRequest, GetGrantRequest, Grant, GrantEvent, GrantState,
    WatchElevationsRequest, WatchElevationsResponse, WatchGrantsRequest,
};

/// Whether and how long to wait.
#[derive(Debug, Clone, Default, Args)]
pub struct WaitArguments {
    /// Wait until it is decided
    #[arg(long)]
    pub wait: bool,
    /// Then stay until the grant ends, and warn before
    #[arg(long, requires = "wait")]
    pub hold: bool,
    /// Give up waiting after this long: 10m; left out, at the request's own deadline
    #[arg(long, requires = "wait", value_parser = values::span, value_name = "DURATION")]
    pub wait_for: Option<Span>,
}

impl WaitArguments {
    /// Whether to wait at all.
    #[must_use]
    pub fn waits(&self) -> bool {
        self.wait || self.hold
    }
}

/// At the longest so long between two looks at the clock.
const LONGEST_SLEEP: Duration = Duration::from_secs(3_600);
/// A broker whose clock is behind this machine's is not asked more often.
const SHORTEST_SLEEP: Duration = Duration::from_millis(250);

/// Waits until a request is decided, and with `--hold` until its grant ends.
///
/// # Errors
/// If the broker can no longer be asked.
pub async fn until_decided(
    session: &mut Session<'_>,
    elevation: &Elevation,
    sequence: String,
    arguments: &WaitArguments,
) -> Ran {
    let spinner = spinner(session, "waiting for approval; Ctrl-C stops waiting, not the request");
    let outcome = tokio::select! {
        ended = wait_for_end(session, elevation, sequence) => Some(ended?),
        () = patience(arguments.wait_for) => None,
        _ = tokio::signal::ctrl_c() => None,
    };
    spinner.finish_and_clear();
    let id = ending(&elevation.id);
    let Some(()) = outcome else {
        session.output.note(&format!(
            "still pending; `countersign show {id}` says where it stands, `countersign withdraw {id}` takes it back"
        ));
        session.output.data(|_| format!("{}\n", elevation.id), || json::of(elevation))?;
        return Ok(Exit::Waiting);
    };
    let answer = session.client.get_elevation(GetElevationRequest { elevation_id: elevation.id.clone() }).await?;
    let elevation = answer.elevation.unwrap_or_default();
    let exit = verdict(&elevation);
    session.output.note(&decision_text(&elevation));
    if exit == Exit::Yes && arguments.hold {
        return hold(session, &elevation.grant_id).await;
    }
    let id = if exit == Exit::Yes { elevation.grant_id.clone() } else { elevation.id.clone() };
    session.output.data(|_| format!("{id}\n"), || json::of(&elevation))?;
    Ok(exit)
}

/// What a decided request means for whoever waits.
fn verdict(elevation: &Elevation) -> Exit {
    match elevation.state() {
        ElevationState::Approved => Exit::Yes,
        ElevationState::Denied | ElevationState::Withdrawn | ElevationState::Cancelled => Exit::Denied,
        ElevationState::Expired | ElevationState::Pending | ElevationState::Unspecified => Exit::Waiting,
    }
}

/// Who decided, and in what words.
fn decision_text(elevation: &Elevation) -> String {
    let state = state_word(elevation);
    let Some(closing) = &elevation.closing else { return state };
    let words = if closing.comment.is_empty() { String::new() } else { format!(": {}", quoted(&closing.comment)) };
    format!("{state} by {}{words}", closing.actor)
}

async fn wait_for_end(session: &Session<'_>, elevation: &Elevation, sequence: String) -> Result<(), Failure> {
    let elevation_id = elevation.id.clone();
    let watch_after = |after_sequence| {
        let request = WatchElevationsRequest { after_sequence, elevation_id: elevation_id.clone() };
        session.client.watch_elevations(request)
    };
    let mut watch = watch_after(sequence);
    loop {
        match watch.next().await {
            Ok(step) if is_end(&step) => return Ok(()),
            Ok(_) => {}
            // What was missed is read from the request itself, and the watch begins anew from there.
            Err(error) if error.reason() == Some(Reason::Resync) => {
                let request = GetElevationRequest { elevation_id: elevation_id.clone() };
                let answer = session.client.get_elevation(request).await?;
                if answer.elevation.is_some_and(|elevation| elevation.state() != ElevationState::Pending) {
                    return Ok(());
                }
                watch = watch_after(answer.sequence);
            }
            Err(error) => return Err(error.into()),
        }
    }
}

/// Whether a step says that the request is decided. What this version does not know ends the waiting too: it is looked
/// up then.
fn is_end(step: &WatchElevationsResponse) -> bool {
    step.event.as_ref().is_some_and(|event| event.state() != ElevationState::Pending)
}

/// Stays with a grant until it ends.
async fn hold(session: &mut Session<'_>, grant_id: &str) -> Ran {
    let answer = session.client.get_grant(GetGrantRequest { grant_id: grant_id.to_owned() }).await?;
    let grant = answer.grant.unwrap_or_default();
    let end = grant.end_time.as_ref().and_then(instant).unwrap_or(Timestamp::MIN);
    session.output.note(&format!("grant {} until {} ({})", grant.id, clock_text(end), relative(end, wall_time())));
    session.output.data(|_| format!("{}\n", grant.id), || json::of(&grant))?;
    let client = session.client.clone();
    let request = WatchGrantsRequest { after_sequence: answer.sequence, grant_id: grant.id.clone() };
    let mut watch = client.watch_grants(request);
    let mut held = Held::new(&grant);
    let spinner = spinner(session, &format!("holding {}", ending(&grant.id)));
    let exit = loop {
        tokio::select! {
            step = watch.next() => {
                let event = step?.event;
                if let Some(exit) = event.and_then(|event| held.after(&event)) {
                    break exit;
                }
            }
            () = tokio::time::sleep(held.next_word(wall_time())) => {
                if let Some(warning) = held.warning(wall_time()) {
                    spinner.suspend(|| session.output.note(&warning));
                }
                // This machine's clock may be wrong: the broker says when it is over.
                if held.is_over(wall_time()) {
                    let request = GetGrantRequest { grant_id: grant.id.clone() };
                    let grant = client.get_grant(request).await?.grant.unwrap_or_default();
                    if let Some(exit) = held.seen(&grant) {
                        break exit;
                    }
                }
            }
            _ = tokio::signal::ctrl_c() => {
                spinner.finish_and_clear();
                session.output.note(&format!(
                    "the grant goes on until {}; `countersign relinquish {}` gives it up",
                    clock_text(held.end), ending(&grant.id)
                ));
                return Ok(Exit::Yes);
            }
        }
    };
    spinner.finish_and_clear();
    session.output.note(&format!("the grant is over: {}", held.because));
    Ok(exit)
}

/// What is known of a grant that is held.
struct Held {
    end: Timestamp,
    warn_before: Span,
    warned: bool,
    because: String,
    id: String,
}

impl Held {
    fn new(grant: &Grant) -> Self {
        let start = grant.start_time.as_ref().and_then(instant).unwrap_or(Timestamp::MIN);
        let end = grant.end_time.as_ref().and_then(instant).unwrap_or(Timestamp::MIN);
        // A minute, or a tenth of a short grant.
        let tenth = end.since(start).millis().checked_div(10).and_then(|millis| Span::from_millis(millis).ok());
        let warn_before = tenth.unwrap_or(Span::ZERO).min(Span::seconds(60));
        Self { end, warn_before, warned: false, because: "its time came".to_owned(), id: grant.id.clone() }
    }

    /// Takes an event in; some exit if the grant is over.
    fn after(&mut self, event: &GrantEvent) -> Option<Exit> {
        self.stands(event.state(), event.end_time.as_ref(), &event.actor, &event.cause)
    }

    /// The same of the grant itself.
    fn seen(&mut self, grant: &Grant) -> Option<Exit> {
        let closing = grant.closing.clone().unwrap_or_default();
        self.stands(grant.state(), grant.end_time.as_ref(), &closing.actor, &closing.cause)
    }

    fn stands(
        &mut self,
        state: GrantState,
        end: Option<&prost_types::Timestamp>,
        actor: &str,
        cause: &str,
    ) -> Option<Exit> {
        self.end = end.and_then(instant).unwrap_or(self.end);
        let exit = match state {
            GrantState::Scheduled | GrantState::Active => return None,
            GrantState::Ended => return Some(Exit::Yes),
            GrantState::Relinquished => Exit::Yes,
            GrantState::Revoked | GrantState::Unspecified => Exit::Denied,
        };
        let state = word(state.as_str_name(), "GRANT_STATE_");
        self.because = format!("{state} by {actor}: {}", word(cause, ""));
        Some(exit)
    }

    fn next_word(&self, now: Timestamp) -> Duration {
        let at = if self.warned { self.end } else { self.end.minus(self.warn_before) };
        Duration::from_millis(at.since(now).millis().unsigned_abs()).clamp(SHORTEST_SLEEP, LONGEST_SLEEP)
    }

    fn warning(&mut self, now: Timestamp) -> Option<String> {
        if self.warned || now < self.end.minus(self.warn_before) {
            return None;
        }
        self.warned = true;
        let id = ending(&self.id);
        let left = rough(self.end.since(now));
        Some(format!("the grant ends in {left}: finish, or ask anew with `countersign extend {id}`"))
    }

    fn is_over(&self, now: Timestamp) -> bool {
        self.end.is_over(now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::show::sample;
    use crate::wire::v1::{Closing, ElevationEvent};

    #[test]
    fn each_end_has_its_exit_code() {
        let of = |state: ElevationState| verdict(&Elevation { state: state.into(), ..Default::default() }).code();
        let states =
            [ElevationState::Approved, ElevationState::Denied, ElevationState::Withdrawn, ElevationState::Expired];
        assert_eq!(states.map(of), [0, 3, 3, 6]);
        assert_eq!([ElevationState::Cancelled, ElevationState::Unspecified].map(of), [3, 6]);
        assert_eq!(verdict(&Elevation { state: 99, ..Default::default() }), Exit::Waiting);
    }

    #[test]
    fn only_a_state_after_pending_ends_the_waiting() {
        let step = |state: i32| WatchElevationsResponse {
            event: Some(ElevationEvent { state, ..Default::default() }),
            ..Default::default()
        };
        assert!(!is_end(&WatchElevationsResponse::default()));
        assert!(!is_end(&step(ElevationState::Pending.into())));
        assert!(is_end(&step(ElevationState::Denied.into())) && is_end(&step(99)));
    }

    #[test]
    fn a_decision_is_shown_in_the_deciders_words() {
        let mut elevation = sample::elevation();
        elevation.state = ElevationState::Denied.into();
        elevation.closing =
            Some(Closing { actor: "account:ben".into(), comment: "use \"replica\"".into(), ..Default::default() });
        assert_eq!(decision_text(&elevation), "denied by account:ben: \"use 'replica'\"");
    }

    #[test]
    fn a_held_grant_warns_once_before_its_end_and_follows_a_shortening() {
        // given a grant of 15 minutes that ends in 14
        let mut held = Held::new(&sample::grant());
        let after = |seconds| sample::moment().plus(Span::seconds(seconds));
        assert_eq!(held.warning(after(779)), None);
        // when it is shortened to 5 minutes from now
        let shortened =
            GrantEvent { state: GrantState::Active.into(), end_time: Some(sample::at(300)), ..Default::default() };
        assert_eq!(held.after(&shortened), None);
        assert_eq!(held.next_word(after(0)), Duration::from_secs(240));
        // then it warns a minute before, once, and is over at its end
        let warning = held.warning(after(240)).unwrap();
        assert!(warning.starts_with("the grant ends in 1m: finish"), "{warning}");
        assert_eq!((held.warning(after(250)), held.is_over(after(299)), held.is_over(after(300))), (None, false, true));
    }

    #[test]
    fn a_revocation_ends_the_holding_with_its_cause() {
        let mut held = Held::new(&sample::grant());
        let revoked = GrantEvent {
            state: GrantState::Revoked.into(),
            actor: "account:ben".into(),
            cause: "TERMS_CHANGED".into(),
            ..Default::default()
        };
        assert_eq!(held.after(&revoked), Some(Exit::Denied));
        assert_eq!(held.because, "revoked by account:ben: terms changed");
        let ended = GrantEvent { state: GrantState::Ended.into(), ..Default::default() };
        assert_eq!(held.after(&ended), Some(Exit::Yes));
    }
}
