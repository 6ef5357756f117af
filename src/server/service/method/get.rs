//! The one thing that is meant by an id or by an ending of it, if the caller may see it: from memory, or once it has left
//! memory from the journal, under the same rights (known failure H12).

use std::fmt::Display;
use std::str::FromStr;

use tonic::Status;

use super::{past, work};
use crate::domain::record::campaign::Campaign;
use crate::domain::record::elevation::Elevation;
use crate::domain::record::enrolment::Enrolment;
use crate::domain::record::event::Subject;
use crate::domain::record::grant::Grant;
use crate::domain::record::lock::Lock;
use crate::domain::record::proposal::Proposal;
use crate::domain::rule::visibility::{Thing, Viewer, may_see, viewer};
use crate::domain::state::State;
use crate::domain::value::ids::{CampaignId, ElevationId, EnrolmentId, GrantId, LockId, ProposalId};
use crate::domain::value::index::Map;
use crate::domain::value::refusal::{Reason, Refusal};
use crate::domain::value::time::Now;
use crate::engine::{Done, History, HistoryError};
use crate::server::caller::{Broker, VerifiedCaller};
use crate::wire::message::InvalidMessage;
use crate::wire::values::{Named, named, parsed};

/// What is kept under an id that the broker made.
pub(crate) trait Kept: Clone + Send + 'static {
    type Id: Copy + Ord + Display + Send + 'static;

    /// What one of them is called.
    const KIND: &'static str;

    /// All that are in memory.
    fn all(state: &State) -> &Map<Self::Id, Self>;

    /// What rights are asked about.
    fn thing(&self) -> Thing<'_>;

    /// The id of the one that a command was about.
    fn id_in(about: &Subject) -> Option<Self::Id>;

    /// One as the journal tells it. None: what has left memory is shown no more.
    fn in_journal(_history: &History, _id: Self::Id) -> Result<Option<Past<Self>>, HistoryError> {
        Ok(None)
    }
}

/// One that has left memory.
pub(crate) struct Past<T> {
    it: T,
    /// Of a grant, the elevation that it came from: whoever sees that sees what it led to.
    came_from: Option<Elevation>,
}

impl<T> From<T> for Past<T> {
    fn from(it: T) -> Self {
        Self { it, came_from: None }
    }
}

/// The id or ending of an id in a field.
pub(crate) fn id_or_ending<I: FromStr>(field: &str, text: &str) -> Result<Named<I>, InvalidMessage> {
    named(text).map_err(|wanted| InvalidMessage::one(field, wanted))
}

/// The whole id in a field.
pub(crate) fn whole_id<I: FromStr<Err: Display>>(field: &str, text: &str) -> Result<I, InvalidMessage> {
    parsed(text).map_err(|wanted| InvalidMessage::one(field, wanted))
}

/// Shows the one that is meant, with the sequence of the view that shows it.
pub(crate) async fn get<T: Kept, R>(
    broker: &Broker,
    caller: &VerifiedCaller,
    meant: &Named<T::Id>,
    show: impl Fn(&State, &Viewer, &T, Now) -> R,
) -> Result<(R, String), Status> {
    let id = match meant {
        Named::Whole(id) => *id,
        Named::Ending(ending) => ends_so::<T>(broker, caller, ending.clone()).await?,
    };
    let shown = broker.read(caller, |state, viewer, now| {
        let it = T::all(state).get(&id).filter(|it| may_see(state, viewer, it.thing(), now));
        Ok(it.map(|it| (show(state, viewer, it, now), caller.sequence_text(state.sequence()))))
    })?;
    if let Some(shown) = shown {
        return Ok(shown);
    }
    let past = past::in_turn(broker, caller, move |history| T::in_journal(history, id)).await?;
    let shown = broker.read(caller, |state, viewer, now| {
        let visible = past.filter(|past| is_visible(past, state, viewer, now));
        let it = visible.ok_or_else(|| Refusal::not_found(T::KIND, id))?.it;
        Ok((show(state, viewer, &it, now), caller.sequence_text(state.sequence())))
    });
    Ok(shown?)
}

/// The one in memory whose id ends so, if the caller may see it. All of them are looked at: in the caller's turn, on a copy
/// that shares its parts, so that nobody else waits for it, and that is made when the turn has come.
async fn ends_so<T: Kept>(broker: &Broker, caller: &VerifiedCaller, ending: String) -> Result<T::Id, Status> {
    let (reader, reading) = (broker.clone(), caller.clone());
    let found = work::in_turn(broker, caller, move || {
        let seen = reader.read(&reading, |state, viewer, now| Ok((state.clone(), viewer.clone(), now)));
        let (state, viewer, now) = seen?;
        let ends = T::all(&state).iter().filter(|(id, _)| id.to_string().ends_with(&ending));
        let mut found = ends.filter(|(_, it)| may_see(&state, &viewer, it.thing(), now)).map(|(id, _)| *id);
        match (found.next(), found.next()) {
            (Some(id), None) => Ok(id),
            (_, Some(_)) => Err(ambiguous(T::KIND, &ending)),
            (None, None) => Err(Refusal::not_found(T::KIND, &ending)),
        }
    });
    Ok(found.await??)
}

/// Shows what a command was about to whoever gave it: as it is now, if they may see it; else as the command left it, which is
/// what its first answer told them (known failure A18). `done`: none, of what was only thought through.
pub(crate) async fn get_subject<T: Kept, R>(
    broker: &Broker,
    caller: &VerifiedCaller,
    about: Option<&Subject>,
    done: Option<&Done>,
    show: impl Fn(&State, &Viewer, &T, Now) -> R,
) -> Result<R, Status> {
    let id = about.and_then(T::id_in).ok_or_else(|| Refusal::not_found(T::KIND, ""))?;
    let Some(done) = done else { return Ok(get(broker, caller, &Named::Whole(id), show).await?.0) };
    let sees = |state: &State, viewer: &Viewer, it: &&T, now| !done.repeated || may_see(state, viewer, it.thing(), now);
    let present = broker.read(caller, |state, viewer, now| {
        let it = T::all(state).get(&id).filter(|it| sees(state, viewer, it, now));
        Ok(it.map(|it| show(state, viewer, it, now)))
    });
    let present = match present {
        // The command took the caller's own identity away: they are told what it led to all the same.
        Err(refusal) if refusal.reason == Reason::NoAccount => None,
        present => present.map_err(|refusal| past::untold(refusal.into()))?,
    };
    match present {
        Some(shown) => Ok(shown),
        None => {
            let shown = as_left(broker, caller, done, |state, viewer, now| {
                T::all(state).get(&id).map(|it| show(state, viewer, it, now))
            });
            shown.await?.ok_or_else(|| past::untold(Refusal::not_found(T::KIND, id).into()))
        }
    }
}

/// What a caller was shown of the state that their command led to.
pub(crate) async fn as_left<R>(
    broker: &Broker,
    caller: &VerifiedCaller,
    done: &Done,
    show: impl FnOnce(&State, &Viewer, Now) -> R,
) -> Result<R, Status> {
    let (state, then) = past::left_by(&broker.engine, done.sequence).await.map_err(past::untold)?;
    let viewer = match broker.read(caller, |_, viewer, _| Ok(viewer.clone())) {
        Err(refusal) if refusal.reason == Reason::NoAccount => who_gave(broker, caller, done).await?,
        viewer => viewer.map_err(|refusal| past::untold(refusal.into()))?,
    };
    Ok(show(&state, &viewer, then))
}

/// Whoever gave a command, as they were before it.
async fn who_gave(broker: &Broker, caller: &VerifiedCaller, done: &Done) -> Result<Viewer, Status> {
    let (before, _) = past::led_to(&broker.engine, done.sequence).await.map_err(past::untold)?;
    viewer(before.organisation(), &caller.identity).map_err(|refusal| past::untold(refusal.into()))
}

/// Several things that the caller may see end alike.
fn ambiguous(kind: &str, ending: &str) -> Refusal {
    Refusal::new(Reason::NotFound, format!("several {kind}s end in `{ending}`; give more digits"))
        .with("ambiguous", ending)
}

fn is_visible<T: Kept>(past: &Past<T>, state: &State, viewer: &Viewer, now: Now) -> bool {
    let sees_origin = |it| may_see(state, viewer, Thing::Elevation(it), now);
    may_see(state, viewer, past.it.thing(), now) || past.came_from.as_ref().is_some_and(sees_origin)
}

impl Kept for Elevation {
    type Id = ElevationId;
    const KIND: &'static str = "elevation";

    fn all(state: &State) -> &Map<ElevationId, Self> {
        state.elevations()
    }

    fn thing(&self) -> Thing<'_> {
        Thing::Elevation(self)
    }

    fn id_in(about: &Subject) -> Option<ElevationId> {
        if let Subject::Elevation(id) = about { Some(*id) } else { None }
    }

    fn in_journal(history: &History, id: ElevationId) -> Result<Option<Past<Self>>, HistoryError> {
        Ok(history.only(&Subject::Elevation(id))?.elevations().get(&id).cloned().map(Past::from))
    }
}

impl Kept for Enrolment {
    type Id = EnrolmentId;
    const KIND: &'static str = "enrolment";

    fn all(state: &State) -> &Map<EnrolmentId, Self> {
        state.enrolments()
    }

    fn thing(&self) -> Thing<'_> {
        Thing::Enrolment(self)
    }

    fn id_in(about: &Subject) -> Option<EnrolmentId> {
        if let Subject::Enrolment(id) = about { Some(*id) } else { None }
    }

    fn in_journal(history: &History, id: EnrolmentId) -> Result<Option<Past<Self>>, HistoryError> {
        Ok(history.only(&Subject::Enrolment(id))?.enrolments().get(&id).cloned().map(Past::from))
    }
}

impl Kept for Proposal {
    type Id = ProposalId;
    const KIND: &'static str = "proposal";

    fn all(state: &State) -> &Map<ProposalId, Self> {
        state.proposals()
    }

    fn thing(&self) -> Thing<'_> {
        Thing::Proposal(self)
    }

    fn id_in(about: &Subject) -> Option<ProposalId> {
        if let Subject::Proposal(id) = about { Some(*id) } else { None }
    }

    fn in_journal(history: &History, id: ProposalId) -> Result<Option<Past<Self>>, HistoryError> {
        Ok(history.only(&Subject::Proposal(id))?.proposals().get(&id).cloned().map(Past::from))
    }
}

impl Kept for Grant {
    type Id = GrantId;
    const KIND: &'static str = "grant";

    fn all(state: &State) -> &Map<GrantId, Self> {
        state.grants()
    }

    fn thing(&self) -> Thing<'_> {
        Thing::Grant(self)
    }

    fn id_in(about: &Subject) -> Option<GrantId> {
        if let Subject::Grant(id) = about { Some(*id) } else { None }
    }

    fn in_journal(history: &History, id: GrantId) -> Result<Option<Past<Self>>, HistoryError> {
        let Some(it) = history.only(&Subject::Grant(id))?.grants().get(&id).cloned() else { return Ok(None) };
        let came_from = history.only(&Subject::Elevation(it.elevation))?.elevations().get(&it.elevation).cloned();
        Ok(Some(Past { it, came_from }))
    }
}

impl Kept for Campaign {
    type Id = CampaignId;
    const KIND: &'static str = "recertification";

    fn all(state: &State) -> &Map<CampaignId, Self> {
        state.campaigns()
    }

    fn thing(&self) -> Thing<'_> {
        Thing::Campaign(self)
    }

    fn id_in(about: &Subject) -> Option<CampaignId> {
        if let Subject::Campaign(id) = about { Some(*id) } else { None }
    }
}

impl Kept for Lock {
    type Id = LockId;
    const KIND: &'static str = "lock";

    fn all(state: &State) -> &Map<LockId, Self> {
        state.organisation().locks().all()
    }

    fn thing(&self) -> Thing<'_> {
        Thing::Lock(self)
    }

    fn id_in(about: &Subject) -> Option<LockId> {
        if let Subject::Lock(id) = about { Some(*id) } else { None }
    }
}
