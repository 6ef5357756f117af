//! The rules once more, over plain lists and texts, by nobody's code but this: what every path is compared with. Times are
//! plain numbers; a resource is matched segment by segment as design.md 6 says it.

use std::cmp::Reverse;

use countersign::domain::value::ids::GrantId;
use uuid::Uuid;

pub const PATTERNS: [&str; 14] = [
    "**",
    "*",
    "*/db/**",
    "prod/**",
    "prod/*/db",
    "prod/eu/db",
    "prod/eu/*",
    "prod/eu/**",
    "prod/*/db/**",
    "tenants/*/db",
    "tenants/acme/**",
    "tenants/zeta/db",
    "status/**",
    "prod/eu/db/orders",
];
/// And whether each is well formed.
pub const RESOURCES: [(&str, bool); 22] = [
    ("prod", true),
    ("prod/eu", true),
    ("prod/eu/db", true),
    ("prod/us/db", true),
    ("prod/eu/db/orders", true),
    ("prod/us/db/orders/a", true),
    ("prod/eu/db-old", true),
    ("test/db/x", true),
    ("status/x", true),
    ("status/x/y", true),
    ("tenants/acme/db", true),
    ("tenants/zeta/db", true),
    ("tenants/acme", true),
    ("tenants", false),
    ("prod//db", false),
    ("prod/eu/**", false),
    ("prod/eu/db/", false),
    ("/prod/eu/db", false),
    ("prod/../prod/eu/db", false),
    ("prod/eu/d%62", false),
    ("prod/eu/db;a", false),
    ("", false),
];
pub const ACTIONS: [(&str, bool); 7] = [
    ("db.read", true),
    ("db.write", true),
    ("metadata.read", true),
    ("db", true),
    ("DB.READ", false),
    ("db.*", false),
    ("", false),
];
pub const ACCOUNTS: [&str; 6] = ["orders-api", "ana", "ben", "zoe", "dan", "cleo"];
/// The enforcement point.
pub const CHECKER: usize = 0;

#[derive(Debug, Clone, Default)]
pub struct Account {
    pub exists: bool,
    pub active: bool,
    pub locked: bool,
    pub identities: Vec<String>,
    pub baseline_until: i64,
    pub checks_until: i64,
    pub audience: Vec<usize>,
}

#[derive(Debug, Clone)]
pub struct Grant {
    pub holder: usize,
    pub number: u128,
    pub actions: Vec<usize>,
    pub patterns: Vec<usize>,
    pub started: bool,
    pub locked: bool,
    pub end: i64,
}

#[derive(Debug, Clone, Copy)]
pub struct Question<'a> {
    pub subject: &'a str,
    pub action: usize,
    pub resource: usize,
    pub at: i64,
}

/// An answer in a form that all paths can be brought into.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Answer {
    pub reason: &'static str,
    pub grant: Option<GrantId>,
    pub until: Option<i64>,
}

#[derive(Debug, Clone, Default)]
pub struct Model {
    pub accounts: [Account; ACCOUNTS.len()],
    pub grants: Vec<Grant>,
    /// Its actions and patterns.
    pub baseline: (Vec<usize>, Vec<usize>),
    /// Patterns that locks are on.
    pub locked: Vec<usize>,
}

/// Whether each pattern covers each resource, found out once.
pub struct Covers(Vec<Vec<bool>>);

impl Covers {
    pub fn new() -> Self {
        let row =
            |pattern: &str| RESOURCES.iter().map(|(resource, valid)| *valid && covers(pattern, resource)).collect();
        Self(PATTERNS.iter().map(|pattern| row(pattern)).collect())
    }

    fn any(&self, patterns: &[usize], resource: usize) -> bool {
        patterns.iter().any(|pattern| self.0[*pattern][resource])
    }
}

fn covers(pattern: &str, resource: &str) -> bool {
    let (pattern, resource): (Vec<&str>, Vec<&str>) = (pattern.split('/').collect(), resource.split('/').collect());
    if resource[0] == "tenants" && pattern[0] != "tenants" {
        return false;
    }
    let open = pattern.last() == Some(&"**");
    let fixed = if open { &pattern[..pattern.len() - 1] } else { &pattern[..] };
    let long_enough = if open { resource.len() > fixed.len() } else { resource.len() == fixed.len() };
    long_enough && fixed.iter().zip(&resource).all(|(pattern, segment)| *pattern == "*" || pattern == segment)
}

impl Model {
    fn named(&self, name: &str) -> Option<usize> {
        (0..ACCOUNTS.len()).find(|number| {
            let account = &self.accounts[*number];
            account.exists && (ACCOUNTS[*number] == name || account.identities.iter().any(|own| own == name))
        })
    }

    /// What the broker says to an account. None: it takes no question of it.
    pub fn answer(&self, covers: &Covers, caller: usize, asked: Question<'_>) -> Option<Answer> {
        let usable = |account: &&Account| account.exists && account.active && !account.locked;
        let asker = Some(&self.accounts[caller]).filter(usable)?;
        let no = |reason| Some(Answer { reason, grant: None, until: None });
        let subject = self.named(asked.subject);
        let within = asked.at < asker.checks_until && covers.any(&asker.audience, asked.resource);
        if !within && subject != Some(caller) {
            return no("OUT_OF_AUDIENCE");
        }
        if !RESOURCES[asked.resource].1 {
            return no("NO_GRANT");
        }
        let subject_is_locked = subject.is_some_and(|subject| self.accounts[subject].locked);
        if subject_is_locked || covers.any(&self.locked, asked.resource) {
            return no("LOCKED");
        }
        let Some(subject) = subject.filter(|subject| self.accounts[*subject].active) else { return no("NO_GRANT") };
        let (_, action_is_valid) = ACTIONS[asked.action];
        if !action_is_valid {
            return no("NO_GRANT");
        }
        let covering: Vec<&Grant> = self
            .grants
            .iter()
            .filter(|grant| grant.holder == subject && asked.at < grant.end && grant.actions.contains(&asked.action))
            .filter(|grant| covers.any(&grant.patterns, asked.resource))
            .collect();
        let live = covering.iter().filter(|grant| grant.started && !grant.locked);
        if let Some(grant) = live.max_by_key(|grant| (grant.end, Reverse(grant.number))) {
            let id = GrantId::from(Uuid::from_u128(grant.number));
            return Some(Answer { reason: "GRANTED", grant: Some(id), until: Some(grant.end) });
        }
        let (actions, patterns) = &self.baseline;
        let until = self.accounts[subject].baseline_until;
        if asked.at < until && actions.contains(&asked.action) && covers.any(patterns, asked.resource) {
            return Some(Answer { reason: "BASELINE", grant: None, until: Some(until) });
        }
        let waits = !covering.is_empty();
        match covering.iter().any(|grant| grant.locked) {
            true => no("LOCKED"),
            false => no(if waits { "NOT_STARTED" } else { "NO_GRANT" }),
        }
    }
}

#[test]
fn patterns_cover_what_the_design_says() {
    for (pattern, resource, expected) in [
        ("**", "prod", true),
        ("**", "tenants/acme/db", false),
        ("*/db/**", "tenants/db/x", false),
        ("prod/**", "prod", false),
        ("prod/**", "prod/eu/db/orders", true),
        ("prod/eu/db", "prod/eu/db-old", false),
        ("prod/eu/*", "prod/eu/db/orders", false),
        ("tenants/*/db", "tenants/acme/db", true),
    ] {
        assert_eq!(covers(pattern, resource), expected, "{pattern} {resource}");
    }
}
