//! Requests of elevations, for tests and benches.
#![allow(
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    reason = "each test crate uses a part of it; a test may panic"
)]

use countersign::domain::record::command::{Command, RequestElevation};
use countersign::domain::value::ids::GrantId;
use countersign::domain::value::scope::Pattern;
use countersign::domain::value::time::{Span, Timestamp};

/// A request, with what most tests do not care about filled in.
#[derive(Debug, Clone)]
pub struct Ask(pub RequestElevation);

impl Ask {
    pub fn of(entitlement: &str, actions: &[&str], resources: &[&str]) -> Self {
        Self(RequestElevation {
            entitlement: entitlement.parse().unwrap(),
            actions: actions.iter().map(|action| action.parse().unwrap()).collect(),
            resources: resources.iter().map(|pattern| pattern.parse::<Pattern>().unwrap()).collect(),
            duration: None,
            start: None,
            justification: "orders are stuck".into(),
            ticket: Some("INC-7".into()),
            on_behalf_of: None,
            extends: None,
            emergency: false,
        })
    }

    pub fn repair() -> Self {
        Self::of("repair", &["db.read", "db.write"], &["prod/eu/db/orders/**"])
    }

    pub fn critical() -> Self {
        Self::of("critical", &["db.admin"], &["prod/eu/db/**"])
    }

    pub fn maintenance() -> Self {
        Self::of("maintenance", &["db.schema"], &["prod/eu/db/orders"])
    }

    /// Into a mailbox of a tenant's.
    pub fn mailbox(tenant: &str) -> Self {
        Self::of("mailbox", &["mail.read"], &[&format!("tenants/{tenant}/mail/inbox")])
    }

    pub fn managed() -> Self {
        Self::of("managed", &["report.read"], &["reports/2026"])
    }

    pub fn deploy() -> Self {
        Self::of("deploy", &["deploy.run"], &["prod/eu/apps/orders"])
    }

    pub fn lasting(mut self, text: &str) -> Self {
        self.0.duration = Some(Span::parse(text).unwrap());
        self
    }

    pub fn starting(mut self, start: Timestamp) -> Self {
        self.0.start = Some(start);
        self
    }

    pub fn on(mut self, resources: &[&str]) -> Self {
        self.0.resources = resources.iter().map(|pattern| pattern.parse::<Pattern>().unwrap()).collect();
        self
    }

    pub fn on_behalf_of(mut self, person: &str) -> Self {
        self.0.on_behalf_of = Some(person.parse().unwrap());
        self
    }

    pub fn extending(mut self, grant: GrantId) -> Self {
        self.0.extends = Some(grant);
        self
    }

    pub fn in_an_emergency(mut self) -> Self {
        self.0.emergency = true;
        self
    }

    pub fn with(mut self, change: impl FnOnce(&mut RequestElevation)) -> Self {
        change(&mut self.0);
        self
    }

    pub fn command(self) -> Command {
        Command::from(self.0)
    }
}
