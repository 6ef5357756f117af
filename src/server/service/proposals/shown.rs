//! Proposals as viewers are shown them, one or a page.

use crate::domain::decide::could_approve_proposal;
use crate::domain::record::proposal::Proposal;
use crate::domain::rule::reviewers::{counted, reviewer_in};
use crate::domain::rule::visibility::{Thing, Viewer, audits_whole, may_see};
use crate::domain::state::State;
use crate::domain::value::ids::ProposalId;
use crate::domain::value::time::Now;
use crate::server::service::method::list::{Draft, Listing};
use crate::wire::calls;
use crate::wire::elevations::reviewers;
use crate::wire::proposals::{self as render, Proposals as Query};
use crate::wire::queries::Paging;
use crate::wire::v1 as pb;

/// A proposal as a viewer is shown it, but for the sequence of the view.
pub(super) fn shown(state: &State, viewer: &Viewer, it: &Proposal, now: Now) -> pb::GetProposalResponse {
    let organisation = state.organisation();
    let pending = it.phase.is_pending() && !it.review.deadline.is_over(now.latest);
    let audits = audits_whole(organisation, viewer, now);
    let could_review = match pending && audits {
        true => reviewers(could_approve_proposal(organisation, it, now.latest)),
        false => Vec::new(),
    };
    let proposal = Some(render::proposal(organisation, it, now));
    let calls = if audits { calls::of_proposal(it) } else { Vec::new() };
    pb::GetProposalResponse { proposal, sequence: String::new(), could_review, calls }
}

impl Listing for Query {
    const NAME: &'static str = "proposals";
    type Key = ProposalId;
    type Item = pb::Proposal;

    fn paging(&self) -> &Paging {
        &self.paging
    }

    fn filter(&self) -> String {
        format!("{:?}", (self.relation, &self.states))
    }

    fn walk(
        &self,
        state: &State,
        viewer: &Viewer,
        now: Now,
        after: Option<&ProposalId>,
        page: &mut Draft<ProposalId, pb::Proposal>,
    ) {
        for (id, it) in state.proposals().before(after).rev() {
            let wanted = || {
                (self.states.is_empty() || self.states.contains(&render::state(it, now)))
                    && self.relation.is_none_or(|relation| relates(state, viewer, it, relation, now))
                    && may_see(state, viewer, Thing::Proposal(it), now)
            };
            if !page.offer(id, || wanted().then(|| render::proposal(state.organisation(), it, now))) {
                return;
            }
        }
        page.end();
    }
}

fn relates(state: &State, viewer: &Viewer, it: &Proposal, relation: pb::ProposalRelation, now: Now) -> bool {
    match relation {
        pb::ProposalRelation::Unspecified => true,
        pb::ProposalRelation::Proposed => {
            viewer.account().is_ok_and(|id| *id == it.requester)
                || viewer.person.as_ref().is_some_and(|person| it.behind.contains(person))
        }
        pb::ProposalRelation::Reviewed => viewer.person.as_ref().is_some_and(|person| it.review.has_decided(person)),
        pb::ProposalRelation::CanReview => {
            let open = render::state(it, now) == pb::ProposalState::Pending;
            let stage = counted(state.organisation(), it).open_stage().filter(|_| open);
            stage.zip(viewer.account().ok()).is_some_and(|((_, stage), account)| {
                reviewer_in(state.organisation(), it, stage, account, now.latest).is_ok()
            })
        }
    }
}
