//! The lists of what may be asked for, and of what was.

use std::ops::Bound::{Excluded, Unbounded};

use super::explain::as_told_to;
use crate::domain::policy::Entitlement;
use crate::domain::record::elevation::Elevation;
use crate::domain::rule::emergency::ordinary_stages;
use crate::domain::rule::obstacles::standing_obstacles;
use crate::domain::rule::reviewers::{counted, reviewer_in, reviewer_in_stages};
use crate::domain::rule::visibility::{Thing, Viewer, may_see};
use crate::domain::state::State;
use crate::domain::value::ids::{AccountId, ElevationId, EntitlementName, PersonId};
use crate::domain::value::time::Now;
use crate::server::service::method::list::{Draft, Listing};
use crate::server::tenant_view;
use crate::wire::elevations as render;
use crate::wire::queries::{self, Catalogue, Paging};
use crate::wire::v1 as pb;

impl Listing for Catalogue {
    const NAME: &'static str = "entitlements";
    type Key = EntitlementName;
    type Item = pb::EntitlementOffer;

    fn paging(&self) -> &Paging {
        &self.paging
    }

    fn filter(&self) -> String {
        format!("{:?}", (&self.entitlement, &self.on_behalf_of))
    }

    fn walk(
        &self,
        state: &State,
        viewer: &Viewer,
        now: Now,
        after: Option<&EntitlementName>,
        page: &mut Draft<EntitlementName, pb::EntitlementOffer>,
    ) {
        let range = (after.map_or(Unbounded, Excluded), Unbounded);
        for (name, entitlement) in state.organisation().policy().entitlements.range::<EntitlementName, _>(range) {
            let asked = self.entitlement.as_ref().is_none_or(|only| only == name);
            let account = viewer.account().ok().filter(|_| asked);
            let offered = || offer(state, viewer, account?, name, entitlement, self.on_behalf_of.as_ref(), now);
            if !page.offer(name, offered) {
                return;
            }
        }
        page.end();
    }
}

/// What an entitlement offers to an account that may see it.
fn offer(
    state: &State,
    viewer: &Viewer,
    account: &AccountId,
    name: &EntitlementName,
    entitlement: &Entitlement,
    on_behalf_of: Option<&PersonId>,
    now: Now,
) -> Option<pb::EntitlementOffer> {
    let organisation = state.organisation();
    let terms = &entitlement.terms;
    may_see(state, viewer, Thing::Entitlement(name), now).then(|| {
        let obstacles = standing_obstacles(state, account, on_behalf_of, name, terms, now);
        let mut approving = organisation.policy().approving_roles(terms);
        pb::EntitlementOffer {
            entitlement: Some(tenant_view::entitlement(state, viewer, name, entitlement)),
            obstacles: render::obstacles(as_told_to(state, viewer, obstacles)),
            can_review: approving.any(|role| organisation.eligible_in(account, role, now.latest).is_ok()),
        }
    })
}

impl Listing for queries::Elevations {
    const NAME: &'static str = "elevations";
    type Key = ElevationId;
    type Item = pb::Elevation;

    fn paging(&self) -> &Paging {
        &self.paging
    }

    fn filter(&self) -> String {
        format!("{:?}", (self.relation, &self.states, &self.entitlement, &self.requester))
    }

    fn walk(
        &self,
        state: &State,
        viewer: &Viewer,
        now: Now,
        after: Option<&ElevationId>,
        page: &mut Draft<ElevationId, pb::Elevation>,
    ) {
        for (id, it) in state.elevations().before(after).rev() {
            let wanted = || {
                self.entitlement.as_ref().is_none_or(|only| *only == it.entitlement)
                    && self.requester.as_ref().is_none_or(|only| *only == it.requester)
                    && (self.states.is_empty() || self.states.contains(&render::state(it, now)))
                    && relates(state, viewer, it, self.relation, now)
                    && may_see(state, viewer, Thing::Elevation(it), now)
            };
            let shown = || tenant_view::elevation(state, viewer, render::elevation(state.organisation(), it, now));
            if !page.offer(id, || wanted().then(shown)) {
                return;
            }
        }
        page.end();
    }
}

fn relates(state: &State, viewer: &Viewer, it: &Elevation, relation: pb::ElevationRelation, now: Now) -> bool {
    match relation {
        pb::ElevationRelation::Unspecified => false,
        pb::ElevationRelation::Visible => true,
        pb::ElevationRelation::Requested => {
            viewer.account().is_ok_and(|id| *id == it.requester)
                || viewer.person.as_ref().is_some_and(|person| it.behind.contains(person))
        }
        pb::ElevationRelation::Reviewed => viewer.person.as_ref().is_some_and(|person| it.review.has_decided(person)),
        pb::ElevationRelation::FollowUp => {
            let organisation = state.organisation();
            let may = |account| {
                let ordinary = ordinary_stages(it, organisation);
                reviewer_in_stages(organisation, it, ordinary, account, now.latest).is_ok()
            };
            let decided = viewer.person.as_ref().is_none_or(|person| it.review.has_decided(person));
            it.open_follow_up().is_some() && !decided && viewer.account().is_ok_and(may)
        }
        pb::ElevationRelation::CanReview => {
            let open = render::state(it, now) == pb::ElevationState::Pending;
            let undecided = viewer.person.as_ref().is_some_and(|person| !it.review.has_decided(person));
            let stage = counted(state.organisation(), it).open_stage().filter(|_| open && undecided);
            stage.zip(viewer.account().ok()).is_some_and(|((_, stage), account)| {
                reviewer_in(state.organisation(), it, stage, account, now.latest).is_ok()
            })
        }
    }
}
