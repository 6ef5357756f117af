//! `--wait` of an enrolment: staying with it until it is decided.

use clap::Args;

use crate::cli::connect::session::Session;
use crate::cli::connect::waiting::{patience, spinner};
use crate::cli::show::enrolment_card::outcome;
use crate::cli::term::failure::{Exit, Failure, Ran};
use crate::cli::term::json;
use crate::cli::term::text::ending;
use crate::cli::term::values;
use crate::domain::value::refusal::Reason;
use crate::domain::value::time::Span;
use crate::wire::v1::{
    Enrolment, EnrolmentState, GetEnrolmentRequest, GetEnrolmentResponse, WatchEnrolmentsRequest,
    WatchEnrolmentsResponse,
};

/// Whether and how long to wait.
#[derive(Debug, Clone, Default, Args)]
pub struct Patience {
    /// Wait until it is decided
    #[arg(long)]
    pub wait: bool,
    /// Give up waiting after this long: 10m; left out, at the request's own deadline
    #[arg(long, requires = "wait", value_parser = values::span, value_name = "DURATION")]
    pub wait_for: Option<Span>,
}

/// Waits until an enrolment is decided.
///
/// # Errors
/// If the broker can no longer be asked.
pub async fn until_enrolled(
    session: &mut Session<'_>,
    enrolment: &Enrolment,
    sequence: String,
    arguments: &Patience,
) -> Ran {
    let spinner = spinner(session, "waiting for approval; Ctrl-C stops waiting, not the request");
    let ended = tokio::select! {
        ended = wait_for_end(session, enrolment, sequence) => Some(ended?),
        () = patience(arguments.wait_for) => None,
        _ = tokio::signal::ctrl_c() => None,
    };
    spinner.finish_and_clear();
    let id = ending(&enrolment.id);
    let Some(()) = ended else {
        session.output.note(&format!(
            "still pending; `countersign show {id}` says where it stands, `countersign withdraw {id}` takes it back"
        ));
        session.output.data(|_| format!("{}\n", enrolment.id), || json::of(enrolment))?;
        return Ok(Exit::Waiting);
    };
    let request = GetEnrolmentRequest { enrolment_id: enrolment.id.clone() };
    let enrolment = session.client.get_enrolment(request).await?.enrolment.unwrap_or_default();
    session.output.note(&outcome(&enrolment));
    session.output.data(|_| format!("{}\n", enrolment.id), || json::of(&enrolment))?;
    Ok(verdict(&enrolment))
}

/// What a decided enrolment means for whoever waits.
fn verdict(enrolment: &Enrolment) -> Exit {
    match enrolment.state() {
        EnrolmentState::Approved => Exit::Yes,
        EnrolmentState::Denied | EnrolmentState::Withdrawn | EnrolmentState::Cancelled => Exit::Denied,
        EnrolmentState::Expired | EnrolmentState::Pending | EnrolmentState::Unspecified => Exit::Waiting,
    }
}

async fn wait_for_end(session: &Session<'_>, enrolment: &Enrolment, sequence: String) -> Result<(), Failure> {
    let watch_after = |after_sequence| session.client.watch_enrolments(WatchEnrolmentsRequest { after_sequence });
    let mut watch = watch_after(sequence);
    loop {
        let missed = match watch.next().await {
            Ok(step) if is_about(&step, &enrolment.id) => false,
            Ok(_) => continue,
            // What was missed is read from the enrolment itself, and the watch begins anew from there.
            Err(error) if error.reason() == Some(Reason::Resync) => true,
            Err(error) => return Err(error.into()),
        };
        let request = GetEnrolmentRequest { enrolment_id: enrolment.id.clone() };
        let answer = session.client.get_enrolment(request).await?;
        if is_decided(&answer) {
            return Ok(());
        }
        if missed {
            watch = watch_after(answer.sequence);
        }
    }
}

fn is_about(step: &WatchEnrolmentsResponse, id: &str) -> bool {
    step.event.as_ref().is_some_and(|event| event.enrolment_id == id)
}

/// A state that this version does not know ends the waiting too: the exit code then says that it is not decided.
fn is_decided(answer: &GetEnrolmentResponse) -> bool {
    answer.enrolment.as_ref().is_some_and(|enrolment| enrolment.state != i32::from(EnrolmentState::Pending))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::show::sample;
    use crate::wire::v1::EnrolmentEvent;

    #[test]
    fn each_end_has_its_exit_code() {
        let of = |state: i32| verdict(&Enrolment { state, ..Default::default() }).code();
        let states = [
            EnrolmentState::Approved,
            EnrolmentState::Denied,
            EnrolmentState::Withdrawn,
            EnrolmentState::Cancelled,
            EnrolmentState::Expired,
        ];
        assert_eq!(states.map(|state| of(state.into())), [0, 3, 3, 3, 6]);
        assert_eq!(of(99), 6);
    }

    #[test]
    fn only_events_of_the_one_enrolment_are_looked_at_and_only_an_end_ends_the_waiting() {
        let step = |id: &str| WatchEnrolmentsResponse {
            event: Some(EnrolmentEvent { enrolment_id: id.into(), ..Default::default() }),
            ..Default::default()
        };
        assert!(is_about(&step(sample::ENROLMENT_ID), sample::ENROLMENT_ID));
        assert!(!is_about(&step(sample::ELEVATION_ID), sample::ENROLMENT_ID));
        assert!(!is_about(&WatchEnrolmentsResponse::default(), sample::ENROLMENT_ID));
        let answer = |state: i32| GetEnrolmentResponse {
            enrolment: Some(Enrolment { state, ..Default::default() }),
            ..Default::default()
        };
        assert!(!is_decided(&answer(EnrolmentState::Pending.into())) && !is_decided(&GetEnrolmentResponse::default()));
        assert!(is_decided(&answer(EnrolmentState::Denied.into())) && is_decided(&answer(99)));
    }
}
