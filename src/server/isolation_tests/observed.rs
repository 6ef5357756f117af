//! All that an account can ask, asked; masked where two runs differ anyway.

use std::fmt::Debug;
use std::sync::LazyLock;

use http_body_util::BodyExt as _;
use regex::{Captures, Regex};
use tokio_stream::{Stream, StreamExt as _};
use tonic::{Response, Status};
use tower::ServiceExt as _;

use super::world::{World, peer};
use crate::server::caller::{Messages, VerifiedCaller};
use crate::server::check::access::Access;
use crate::server::check::checker::Checker;
use crate::server::https::scim;
use crate::server::service::accounts::Accounts;
use crate::server::service::audit::Audit;
use crate::server::service::elevations::Elevations;
use crate::server::service::enrolments::Enrolments;
use crate::server::service::grants::Grants;
use crate::server::service::hr::Hr;
use crate::server::service::locks::Locks;
use crate::server::service::policies::Policies;
use crate::server::service::proposals::Proposals;
use crate::server::service::recertifications::Recertifications;
use crate::wire::v1 as pb;
use crate::wire::v1::account_service_server::AccountService as _;
use crate::wire::v1::audit_service_server::AuditService as _;
use crate::wire::v1::elevation_service_server::ElevationService as _;
use crate::wire::v1::enrolment_service_server::EnrolmentService as _;
use crate::wire::v1::grant_service_server::GrantService as _;
use crate::wire::v1::hr_service_server::HrService as _;
use crate::wire::v1::lock_service_server::LockService as _;
use crate::wire::v1::policy_service_server::PolicyService as _;
use crate::wire::v1::proposal_service_server::ProposalService as _;
use crate::wire::v1::recertification_service_server::RecertificationService as _;

/// All that an account was told, in order.
struct Told(Vec<String>);

impl Told {
    fn put<T: Debug>(&mut self, what: &str, answer: Result<Response<T>, Status>) {
        let text = match answer {
            Ok(told) => format!("{:?}", told.into_inner()),
            // The binary details say the same as the message.
            Err(status) => format!("{:?} {}", status.code(), status.message()),
        };
        self.0.push(format!("{what}: {}", masked(&text)));
    }

    /// What a stream says before it has to wait for something to happen.
    async fn stream<T: Debug>(
        &mut self,
        what: &str,
        answer: Result<Response<impl Stream<Item = Result<T, Status>> + Unpin>, Status>,
    ) {
        match answer {
            Err(status) => self.put::<()>(what, Err(status)),
            Ok(stream) => {
                let mut stream = stream.into_inner();
                let mut told = Vec::new();
                while let Ok(Some(next)) =
                    tokio::time::timeout(std::time::Duration::from_millis(60), stream.next()).await
                {
                    told.push(match next {
                        Ok(message) => format!("{message:?}"),
                        Err(status) => format!("{:?} {}", status.code(), status.message()),
                    });
                }
                // A message without an event says where the stream has come to, which is sealed.
                told.retain(|text| !text.contains("event: None"));
                self.0.push(format!("{what}: {}", masked(&told.join("\n"))));
            }
        }
    }
}

/// What differs between any two runs, and with what it is masked: ids, digests of what has ids in it, signatures, sealed
/// texts.
static MASKS: LazyLock<Vec<(Regex, &str)>> = LazyLock::new(|| {
    let masks = [
        (r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", "ID"),
        (r"digest: \[[0-9, ]*\]", "digest: D"),
        (r"[0-9a-f]{64}", "HASH"),
        (r"— countersign/test [A-Za-z0-9+/=]+", "SIGNATURE"),
        (r"[A-Za-z0-9_-]{64,}", "SEALED"),
    ];
    masks.into_iter().map(|(pattern, with)| (Regex::new(pattern).unwrap(), with)).collect()
});
static MAPS: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"metadata: \{([^}]*)\}").unwrap());

fn masked(text: &str) -> String {
    let mut text = text.to_owned();
    for (pattern, with) in MASKS.iter() {
        text = pattern.replace_all(&text, *with).into_owned();
    }
    // Maps of messages have no order.
    let sorted = |found: &Captures<'_>| {
        let mut parts: Vec<&str> = found[1].split(", ").collect();
        parts.sort_unstable();
        parts.join(", ")
    };
    MAPS.replace_all(&text, sorted).into_owned()
}

/// All that an account can ask, asked. `ids`: of acme's elevations, and of whatever is not acme's.
pub(super) async fn observed(world: &World, who: &str, own: &[String], others: &[String]) -> Vec<String> {
    let mut told = Told(Vec::new());
    let broker = || world.broker.clone();
    let (elevations, grants, audit) = (Elevations(broker()), Grants(broker()), Audit(broker()));
    let (accounts, hr, locks) = (Accounts(broker()), Hr(broker()), Locks(broker()));
    told.put("whoami", accounts.who_am_i(world.by(who, pb::WhoAmIRequest {})).await);
    told.put("policy", Policies(broker()).get_policy(world.by(who, pb::GetPolicyRequest {})).await);
    let offers = elevations.list_entitlements(world.by(who, pb::ListEntitlementsRequest::default())).await;
    told.put("entitlements", offers);
    for relation in [pb::ElevationRelation::Visible, pb::ElevationRelation::CanReview, pb::ElevationRelation::Requested]
    {
        let mut page_token = String::new();
        loop {
            let message =
                pb::ListElevationsRequest { page_size: 2, page_token, relation: relation.into(), ..Default::default() };
            let page = elevations.list_elevations(world.by(who, message)).await;
            page_token = page.as_ref().map(|page| page.get_ref().next_page_token.clone()).unwrap_or_default();
            told.put("elevations", page);
            if page_token.is_empty() {
                break;
            }
        }
    }
    let visible = pb::ListGrantsRequest { relation: pb::GrantRelation::Visible.into(), ..Default::default() };
    told.put("grants", grants.list_grants(world.by(who, visible)).await);
    let all = pb::ListEventsRequest { page_size: 500, ..Default::default() };
    told.put("events", audit.list_events(world.by(who, all)).await);
    told.put("locks", locks.list_locks(world.by(who, pb::ListLocksRequest::default())).await);
    told.put("accounts", accounts.list_accounts(world.by(who, pb::ListAccountsRequest::default())).await);
    told.put("persons", accounts.list_persons(world.by(who, pb::ListPersonsRequest::default())).await);
    told.put("feed", hr.get_feed_status(world.by(who, pb::GetFeedStatusRequest {})).await);
    let enrolments =
        pb::ListEnrolmentsRequest { relation: pb::EnrolmentRelation::CanReview.into(), ..Default::default() };
    told.put("enrolments", Enrolments(broker()).list_enrolments(world.by(who, enrolments)).await);
    let proposals = pb::ListProposalsRequest::default();
    told.put("proposals", Proposals(broker()).list_proposals(world.by(who, proposals)).await);
    let campaigns = pb::ListRecertificationsRequest::default();
    told.put("campaigns", Recertifications(broker()).list_recertifications(world.by(who, campaigns)).await);
    let own_access = pb::ListAccessAsOfRequest { account: who.to_owned(), ..Default::default() };
    told.put("access", audit.list_access_as_of(world.by(who, own_access)).await);
    let all_access = pb::ListAccessAsOfRequest { resource: "tenants/zeta/mail/1".to_owned(), ..Default::default() };
    told.put("access of all", audit.list_access_as_of(world.by(who, all_access)).await);
    told.put("standing", audit.report_standing(world.by(who, pb::ReportStandingRequest::default())).await);
    for name in ["acme.moe", "zeta.lena", "nobody", "ana"] {
        told.put(
            name,
            accounts.get_account(world.by(who, pb::GetAccountRequest { account_id: name.to_owned() })).await,
        );
        told.put(name, accounts.get_person(world.by(who, pb::GetPersonRequest { person_id: name.to_owned() })).await);
    }
    singles(world, who, own, others, &mut told).await;
    checks(world, who, &mut told);
    // Streams take waiting time; two accounts stand for all.
    if ["acme.lena", "acme.moe"].contains(&who) {
        streams(world, who, &mut told).await;
    }
    told.0
}

async fn singles(world: &World, who: &str, own: &[String], others: &[String], told: &mut Told) {
    let elevations = Elevations(world.broker.clone());
    for id in own.iter().chain(others) {
        let get = pb::GetElevationRequest { elevation_id: id.clone() };
        told.put("elevation", elevations.get_elevation(world.by(who, get)).await);
        let get = pb::GetElevationRequest { elevation_id: id[28..].to_owned() };
        if others.contains(id) {
            let answer = elevations.get_elevation(world.by(who, get)).await.map(|_| ());
            told.0.push(format!("by ending: {:?}", answer.map_err(|status| status.code())));
        }
    }
    for (tenant, name) in [("acme", "mailbox"), ("zeta", "mailbox"), ("zeta", "zeta-only"), ("nobody", "mailbox")] {
        let message = pb::RequestElevationRequest {
            entitlement: name.to_owned(),
            actions: vec!["mail.read".to_owned()],
            resources: vec![format!("tenants/{tenant}/mail/9")],
            justification: "a look".to_owned(),
            validate_only: true,
            ..Default::default()
        };
        told.put(tenant, elevations.request_elevation(world.by(who, message)).await);
    }
    for name in ["mailbox", "zeta-only"] {
        let message = pb::ExplainElevationRequest { entitlement: name.to_owned(), ..Default::default() };
        told.put(name, elevations.explain_elevation(world.by(who, message)).await);
    }
    let joined = pb::hr_event::Change::Joined(pb::Joined::default());
    let foreign = pb::ApplyHrEventsRequest {
        events: vec![pb::HrEvent { person: "zeta.lena".to_owned(), change: Some(joined) }],
        validate_only: true,
        ..Default::default()
    };
    told.put("foreign feed", Hr(world.broker.clone()).apply_hr_events(world.by(who, foreign)).await);
    let mut users = axum::http::Request::get("/scim/v2/Users").body(axum::body::Body::empty()).unwrap();
    users.extensions_mut().insert(peer(who));
    let answer = scim::router(&world.broker).oneshot(users).await.unwrap();
    let body = answer.into_body().collect().await.unwrap().to_bytes();
    told.0.push(masked(&String::from_utf8_lossy(&body)));
}

fn checks(world: &World, who: &str, told: &mut Told) {
    let caller = world.broker.sealing(VerifiedCaller::of(&peer(who), None));
    let checker = Checker { access: Access::new(world.broker.clone()), caller };
    for subject in [who, "ana", "zack", "zeta.moe", "nobody"] {
        for resource in ["tenants/acme/mail/1", "tenants/zeta/mail/1", "tenants/nobody/mail/1", "status/x"] {
            let (action, query) = ("mail.read", (subject.to_owned(), resource.to_owned()));
            let query = pb::CheckQuery { subject: query.0, action: action.to_owned(), resource: query.1 };
            let explained = checker.access.explain(&checker.caller, pb::ExplainCheckRequest { query: Some(query) });
            told.put("check", explained.map(Response::new));
        }
    }
}

async fn streams(world: &World, who: &str, told: &mut Told) {
    let (elevations, grants, audit) =
        (Elevations(world.broker.clone()), Grants(world.broker.clone()), Audit(world.broker.clone()));
    // The sequence, as this account is given it, at which the world began.
    let caller = world.broker.sealing(VerifiedCaller::of(&peer(who), None));
    let after_sequence = caller.sequence_text(world.start.parse().unwrap());
    let message = pb::WatchElevationsRequest { after_sequence: after_sequence.clone(), ..Default::default() };
    told.stream("watch elevations", elevations.watch_elevations(world.by(who, message)).await).await;
    let message = pb::WatchGrantsRequest { after_sequence: after_sequence.clone(), ..Default::default() };
    told.stream("watch grants", grants.watch_grants(world.by(who, message)).await).await;
    let message = pb::WatchEventsRequest { after_sequence, ..Default::default() };
    told.stream("watch events", audit.watch_events(world.by(who, message)).await).await;
    // A plain number is refused for them, even the right one.
    let message = pb::WatchGrantsRequest { after_sequence: world.start.clone(), ..Default::default() };
    told.stream("by number", grants.watch_grants(world.by(who, message)).await).await;
    let record = pb::ExportTenantRecordRequest::default();
    told.stream("record", audit.export_tenant_record(world.by(who, record)).await.map(|pieces| pieces.map(texts)))
        .await;
}

/// The pieces of a record as text.
fn texts(pieces: Messages<pb::ExportTenantRecordResponse>) -> impl Stream<Item = Result<String, Status>> + Unpin {
    pieces.map(|piece| piece.map(|piece| String::from_utf8_lossy(&piece.chunk).into_owned()))
}
