//! A world with another tenant or without, and what happens in it.

#[path = "../../../tests/common/organisation.rs"]
mod organisation;

use std::sync::Arc;

use tokio::sync::watch;
use tonic::Request;

use self::organisation::Organisation;
use crate::clock::ManualClock;
use crate::domain::decide::Files;
use crate::domain::value::ids::{Digest, Identity};
use crate::domain::value::time::Timestamp;
use crate::engine::{Engine, Settings, Store, initialise};
use crate::journal::MemoryStore;
use crate::server::budget::{Budgets, Ledger};
use crate::server::caller::Broker;
use crate::server::keys::sealed::keys_of;
use crate::server::metrics::Metrics;
use crate::server::service::elevations::Elevations;
use crate::server::service::grants::Grants;
use crate::server::service::hr::Hr;
use crate::server::service::locks::Locks;
use crate::server::transport::peer::{Leaf, Peer};
use crate::wire::v1 as pb;
use crate::wire::v1::elevation_service_server::ElevationService as _;
use crate::wire::v1::grant_service_server::GrantService as _;
use crate::wire::v1::hr_service_server::HrService as _;
use crate::wire::v1::lock_service_server::LockService as _;

const POLICY: &str = r#"
[baseline]
allows = [{ actions = ["metadata.read"], resources = ["status/**"] }]
[limits]
pending_per_person = 50
live_grants_per_person = 50
[roles.engineer]
[roles.zeta-engineer]
[roles.duty]
[roles.admin]
capabilities = ["policy.propose", "directory.propose", "lock.manage", "audit.read"]
[roles.mail-approver]
for = "customers"
approves_for_tenant = true
[roles.mail-user]
for = "customers"
[roles.mail-gate]
for = "customers"
capabilities = ["access.check"]
[roles.tenant-feed]
for = "customers"
capabilities = ["hr.feed"]
[entitlements.mailbox]
title = "Look into a customer's mailbox"
actions = ["mail.read"]
resources = ["tenants/*/mail/**"]
requestable_by = ["engineer", "zeta-engineer", "mail-user"]
max_duration = "1h"
approval = [{ by = ["duty"] }, { by = ["@tenant"] }]
[entitlements.zeta-only]
title = "Something of zeta's"
actions = ["zeta.read"]
resources = ["tenants/zeta/**"]
requestable_by = ["zeta-engineer", "mail-user"]
max_duration = "1h"
approval = [{ by = ["duty"] }, { by = ["@tenant"] }]
[entitlements.look]
title = "Look at databases of customers"
actions = ["db.read"]
resources = ["tenants/*/db/**"]
requestable_by = ["engineer", "zeta-engineer"]
max_duration = "1h"
tenant_approval = "none"
approval = [{ by = ["duty"] }]
"#;

pub(super) const ACME: [&str; 5] = ["acme.lena", "acme.kim", "acme.moe", "acme.gate", "acme.feed"];
pub(super) const MADE_UP: &str = "0197c9a2-7f3b-7cc1-8000-0123456789ab";

/// One thing that happens, of acme or of zeta: `true` is zeta.
#[derive(Debug, Clone, Copy)]
pub(super) struct Step {
    pub(super) zeta: bool,
    pub(super) what: u8,
    pub(super) which: usize,
}

pub(super) struct World {
    pub(super) broker: Broker,
    pub(super) clock: ManualClock,
    /// What was asked for, of each side.
    pub(super) asked: [Vec<String>; 2],
    pub(super) calls: u32,
    pub(super) start: String,
    _stopping: watch::Sender<bool>,
}

fn directory(with_zeta: bool) -> String {
    let tenants: &[&str] = if with_zeta { &["acme", "zeta"] } else { &["acme"] };
    let mut all = Organisation::of_tenants(tenants);
    for (who, role) in
        [("ana", "engineer"), ("zack", "zeta-engineer"), ("sam", "duty"), ("omar", "admin"), ("olga", "admin")]
    {
        all.member(who, role);
    }
    for tenant in tenants {
        for (who, role) in [
            ("lena", "mail-approver"),
            ("kim", "mail-approver"),
            ("moe", "mail-user"),
            ("gate", "mail-gate"),
            ("feed", "tenant-feed"),
        ] {
            let account = all.member(&format!("{tenant}.{who}"), role);
            account.tenant = Some((*tenant).to_owned());
            if who == "gate" {
                account.audience = vec![format!("tenants/{tenant}/**")];
            }
        }
    }
    all.to_toml()
}

impl World {
    pub(super) fn new(with_zeta: bool) -> Self {
        let clock = ManualClock::new(Timestamp::parse_rfc3339("2026-11-22T10:00:00Z").unwrap());
        let store = Store::Memory(MemoryStore::default());
        let directory = directory(with_zeta);
        initialise(&store, Files { policy: POLICY, directory: &directory }, Arc::new(clock.clone())).unwrap();
        let engine = Engine::start(&store, Arc::new(clock.clone()), Settings::default()).unwrap();
        let (stopping, watched) = watch::channel(false);
        let (seal, note_key) = keys_of(&[9; 32], "test").unwrap();
        let (seal, note_key) = (Arc::new(seal), Arc::new(note_key));
        let broker = Broker {
            engine,
            seal,
            note_key,
            metrics: Arc::new(Metrics::default()),
            ledger: Arc::new(Ledger::new(Budgets::default(), &Metrics::default())),
            stopping: watched,
        };
        Self { broker, clock, asked: Default::default(), calls: 0, start: String::new(), _stopping: stopping }
    }

    pub(super) fn by<T>(&self, who: &str, message: T) -> Request<T> {
        let mut request = Request::new(message);
        request.extensions_mut().insert(peer(who));
        request
    }

    fn id(&mut self) -> String {
        self.calls += 1;
        format!("0197c9a2-7f3b-4cc1-8000-{:012}", self.calls)
    }

    /// Something happens, or is refused: either way time goes on by as much.
    pub(super) async fn happen(&mut self, step: Step) {
        let side = usize::from(step.zeta);
        let (tenant, engineer) = if step.zeta { ("zeta", "zack") } else { ("acme", "ana") };
        let member = |who: &str| format!("{tenant}.{who}");
        let request_id = self.id();
        let number = step.which % 4;
        let elevation = match self.asked[side].as_slice() {
            [] => MADE_UP.to_owned(),
            asked => asked[step.which % asked.len()].clone(),
        };
        match step.what {
            0..=2 => {
                let requester = if step.what == 2 { member("moe") } else { engineer.to_owned() };
                let (entitlement, action, kind) =
                    if step.what == 1 { ("look", "db.read", "db") } else { ("mailbox", "mail.read", "mail") };
                let message = pb::RequestElevationRequest {
                    request_id,
                    entitlement: entitlement.to_owned(),
                    actions: vec![action.to_owned()],
                    resources: vec![format!("tenants/{tenant}/{kind}/{number}")],
                    justification: format!("of {tenant}"),
                    ..Default::default()
                };
                let told = Elevations(self.broker.clone()).request_elevation(self.by(&requester, message)).await;
                self.asked[side].extend(told.ok().map(|it| it.into_inner().elevation.unwrap().id));
            }
            3..=6 => {
                let who = match step.what {
                    3 | 4 => "sam".to_owned(),
                    5 => member("lena"),
                    _ => member("kim"),
                };
                self.approve(&who, &elevation, request_id).await;
            }
            7 => {
                let who = if number == 0 { "sam".to_owned() } else { member("kim") };
                let message = pb::DenyElevationRequest {
                    request_id,
                    elevation_id: elevation,
                    reason: format!("{tenant} says no"),
                };
                drop(Elevations(self.broker.clone()).deny_elevation(self.by(&who, message)).await);
            }
            8 => {
                let grant = self.grant(&elevation).await;
                let who = if number < 2 { member("lena") } else { engineer.to_owned() };
                let message =
                    pb::RevokeGrantRequest { request_id, grant_id: grant, reason: format!("enough, {tenant}") };
                drop(Grants(self.broker.clone()).revoke_grant(self.by(&who, message)).await);
            }
            9 | 10 => self.provision(tenant, number, request_id).await,
            _ => {
                use pb::lock_target::Target;
                let target = match number {
                    0 => Target::Tenant(tenant.to_owned()),
                    1 => Target::Person(engineer.to_owned()),
                    2 => Target::Resources(format!("tenants/{tenant}/mail/**")),
                    _ => Target::Account(member("kim")),
                };
                let message = pb::CreateLockRequest {
                    request_id,
                    target: Some(pb::LockTarget { target: Some(target) }),
                    reason: format!("because of {tenant}"),
                    ..Default::default()
                };
                drop(Locks(self.broker.clone()).create_lock(self.by("omar", message)).await);
            }
        }
    }

    async fn provision(&self, tenant: &str, number: usize, request_id: String) {
        use pb::hr_event::Change;
        let new = format!("{tenant}.new{number}");
        let change = match number {
            0 | 1 => Change::Joined(pb::Joined {
                logins: vec![format!("spiffe://{tenant}.example/{new}")],
                ..Default::default()
            }),
            2 => Change::Roles(pb::Roles { roles: vec!["mail-approver".to_owned()] }),
            _ => Change::Left(pb::Left { urgent: true, ..Default::default() }),
        };
        let person = if number == 2 { format!("{tenant}.new0") } else { new };
        let message = pb::ApplyHrEventsRequest {
            request_id,
            events: vec![pb::HrEvent { person, change: Some(change) }],
            ..Default::default()
        };
        drop(Hr(self.broker.clone()).apply_hr_events(self.by(&format!("{tenant}.feed"), message)).await);
    }

    async fn approve(&self, who: &str, elevation: &str, request_id: String) {
        let get = pb::GetElevationRequest { elevation_id: elevation.to_owned() };
        let service = Elevations(self.broker.clone());
        let Ok(told) = service.get_elevation(self.by("sam", get)).await else { return };
        let text = told.into_inner().elevation.unwrap().review.unwrap().approval_text;
        let message = pb::ApproveElevationRequest {
            request_id,
            elevation_id: elevation.to_owned(),
            approval_digest: Digest::of(text.as_bytes()).bytes().to_vec(),
            comment: format!("by {who}"),
        };
        drop(service.approve_elevation(self.by(who, message)).await);
    }

    async fn grant(&self, elevation: &str) -> String {
        let get = pb::GetElevationRequest { elevation_id: elevation.to_owned() };
        let told = Elevations(self.broker.clone()).get_elevation(self.by("sam", get)).await;
        let grant = told.map(|it| it.into_inner().elevation.unwrap().grant_id).unwrap_or_default();
        if grant.is_empty() { MADE_UP.to_owned() } else { grant }
    }
}

pub(super) fn identity(who: &str) -> Identity {
    organisation::identity(who).parse().unwrap()
}

pub(super) fn peer(who: &str) -> Peer {
    let identity = identity(who);
    Peer::new(
        Leaf {
            trust_domain: identity.trust_domain().parse().unwrap(),
            identity,
            not_after: Timestamp::MAX,
            digest: Digest::of(b"leaf"),
            serial: "07".to_owned(),
        },
        "127.0.0.1:9".parse().unwrap(),
    )
}
