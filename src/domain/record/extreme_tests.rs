//! The extremes of every kind of fact: the longest names and texts, the last instants, many of whatever there can be many
//! of. A kind without one here fails the tests that read rows back.

use serde_json::{Value, json};

use super::event::Fact;
use crate::domain::value::limits::ANNOUNCED_MOVES;
use crate::domain::value::time::{Span, Timestamp};

/// One fact of every kind, as large as it comes.
pub(crate) fn extremes() -> Vec<Fact> {
    let read = |kind| {
        let facts = facts(kind).to_string();
        Fact::read(kind, &facts).unwrap_or_else(|error| panic!("{kind}: {error}: {facts}")).unwrap()
    };
    Fact::kinds().map(read).collect()
}

const ID: &str = "ffffffff-ffff-7fff-bfff-ffffffffffff";
const DIGEST: &str = "ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff";
const MANY: usize = 1_000;

fn at() -> Value {
    json!(Timestamp::MAX.millis())
}

/// A name of 64 characters.
fn name() -> String {
    format!("n{}", "z".repeat(63))
}

/// So many of them.
fn names(count: usize) -> Vec<String> {
    (0..count).map(|number| format!("n{number:05}{}", "z".repeat(58))).collect()
}

fn ids(count: usize) -> Vec<String> {
    (0..count).map(|number| format!("ffffffff-ffff-7fff-bfff-{number:012x}")).collect()
}

/// Words of a caller, each byte of which is escaped to six.
fn words() -> String {
    "\u{1}".repeat(2_048)
}

fn identities() -> Vec<String> {
    names(8).iter().map(|name| format!("spiffe://northwind.example/person/{name}")).collect()
}

fn pattern(first: usize) -> String {
    let segment = "x".repeat(128);
    format!("{first:0128}/{}", [segment.as_str(); 15].join("/"))
}

fn scope() -> Value {
    json!({ "actions": ["db.read", "db.write"], "resources": (0..8).map(pattern).collect::<Vec<_>>() })
}

fn principal() -> Value {
    json!({ "account": name() })
}

fn place() -> Value {
    json!({ "stream": name(), "number": u64::MAX })
}

/// Where a call came from, as long as it comes.
pub(crate) fn called_from() -> Value {
    let address = format!("[{}%{}]:65535", ["ffff"; 8].join(":"), u32::MAX);
    json!({ "identity": identities().pop(), "certificate": DIGEST, "serial": "f".repeat(40), "address": address })
}

fn call() -> Value {
    json!({ "from": called_from(), "after": u64::MAX })
}

fn decision() -> Value {
    json!({ "person": name(), "account": name(), "call": call(), "through": name(), "stage": u32::MAX, "at": at(), "verdict": "approved",
        "comment": words(), "struck": { "at": at(), "reason": "LOCKED" } })
}

fn stages() -> Value {
    let by = [names(16), vec!["@manager".to_owned(), "@role-owner".to_owned(), "@tenant".to_owned()]].concat();
    json!([{ "by": by, "count": u32::MAX }, { "by": ["@policy.propose", "@directory.propose"], "count": 1 }])
}

fn review() -> Value {
    json!({ "stages": stages(), "text": "\"".repeat(60_000), "deadline": at(), "decisions": [decision(), decision()] })
}

fn withdrawn() -> Value {
    json!({ "withdrawn": { "at": at(), "by": principal(), "reason": words() } })
}

fn elevation() -> Value {
    let completed = json!({ "at": at(), "call": call(), "person": name(), "account": name(), "through": "@tenant", "finding": "not_justified",
        "comment": words() });
    let follow_up = json!({ "due": at(), "overdue": at(), "completed": completed });
    json!({ "id": ID, "call": call(), "requested_at": at(), "requester": name(), "person": name(), "behind": names(3), "on_behalf_of": name(),
        "entitlement": name(), "terms": DIGEST, "scope": scope(), "duration": Span::MAX.millis(), "start": at(),
        "justification": words(), "ticket": words(), "extends": ID,
        "emergency": { "ordinary": stages(), "follow_up_within": Span::MAX.millis(), "follow_up": follow_up },
        "review": review(), "phase": withdrawn() })
}

fn grant() -> Value {
    json!({ "id": ID, "elevation": ID, "holder": name(), "person": name(), "behind": names(3), "on_behalf_of": name(),
        "entitlement": name(), "through": name(), "terms": DIGEST, "scope": scope(), "start": at(), "end": at(),
        "end_because": { "membership_ends": { "account": name(), "role": name() } }, "continuous_since": at(),
        "emergency": true,
        "phase": { "revoked": { "at": at(), "because": { "by": { "by": principal(), "reason": words() } } } } })
}

fn enrolment() -> Value {
    let roles: serde_json::Map<String, Value> = names(64).into_iter().map(|role| (role, at())).collect();
    let machine = json!({ "account": name(), "identities": identities(), "audience": (0..64).map(pattern).collect::<Vec<_>>(),
        "acts_for": "people", "roles": roles });
    json!({ "id": ID, "call": call(), "requested_at": at(), "requester": { "person": name() }, "person": name(), "behind": names(3),
        "ask": { "machine": machine }, "terms": DIGEST, "manager": name(), "justification": words(), "review": review(),
        "phase": withdrawn() })
}

fn proposal() -> Value {
    json!({ "id": ID, "call": call(), "requested_at": at(), "requester": name(), "behind": names(3), "file": "directory", "replaces": DIGEST,
        "digest": DIGEST, "bytes": u64::MAX, "justification": words(), "review": review(), "phase": withdrawn() })
}

fn approved() -> Value {
    json!({ "enrolment": ID, "persons": names(8) })
}

fn campaign() -> Value {
    let item = |account: String| {
        let item = json!({ "person": name(), "since": at(), "approved": approved(), "last_grant": { "grant": ID, "at": at() },
            "ends_at": at(), "outcome": { "confirmed": { "at": at(), "by": principal() } } });
        (account, item)
    };
    let items: serde_json::Map<String, Value> = names(MANY / 2).into_iter().map(item).collect();
    json!({ "id": ID, "role": name(), "started_by": principal(), "started_at": at(), "due": at(), "items": items,
        "closed_at": at() })
}

fn person() -> Value {
    let of_each = |value: Value| names(32).into_iter().map(|it| (it, value.clone())).collect::<serde_json::Map<_, _>>();
    let moves: Vec<Value> = (0..ANNOUNCED_MOVES)
        .map(|number| json!({ "at": Timestamp::MAX.millis() - 9 + i64::try_from(number).unwrap(), "manager": name() }))
        .collect();
    json!({ "login": identities(), "tenant": name(), "manager": name(), "attestations": of_each(at()),
        "attested_by": of_each(principal()), "employment": "employed", "employed_until": at(), "moves": moves,
        "awaits_manager": true, "touched": true, "brought_by": { "sender": name(), "author": name() } })
}

fn account() -> Value {
    let membership = json!({ "until": at(), "since": at(), "approved": approved(), "fed_by": name(), "suspended": at(), "cut": { "until": at() },
        "confirm": { "campaign": ID, "by": at() } });
    let roles: serde_json::Map<String, Value> = names(64).into_iter().map(|role| (role, membership.clone())).collect();
    json!({ "kind": { "service": { "owner": name(), "acts_for": "itself" } }, "identities": identities(),
        "audience": (0..64).map(pattern).collect::<Vec<_>>(), "roles": roles, "until": at(),
        "state": { "disabled": { "reason": words(), "because": "lapse" } } })
}

fn hr_event() -> Value {
    json!({ "person": name(), "change": { "joined": { "login": identities(), "manager": name() } } })
}

fn lock() -> Value {
    json!({ "id": ID, "on": { "resources": pattern(1) }, "mode": "revoke", "reason": words(), "by": principal(), "at": at(),
        "until": at() })
}

fn clock() -> Value {
    json!({ "wall": at(), "boot_millis": i64::MAX, "boot_id": name() })
}

#[allow(clippy::too_many_lines, reason = "a table, a line or two for each kind")]
fn facts(kind: &str) -> Value {
    let (subject, _) = kind.split_once('/').unwrap();
    match subject {
        "policy-loaded" => json!({ "digest": DIGEST, "replaces": DIGEST, "text": "\"".repeat(256 * 1024) }),
        "directory-loaded" => json!({ "digest": DIGEST, "replaces": DIGEST }),
        "tenant-recorded" => json!({ "id": name(), "tenant": { "trust_domain": "northwind.example" } }),
        "person-recorded" => json!({ "id": name(), "person": person() }),
        "account-recorded" => json!({ "id": name(), "account": account() }),
        "requirement-lapsed" => json!({ "person": name(), "requirement": name() }),
        "lapse-ahead" => json!({ "person": name(), "requirement": name(), "lapses_at": at(), "days": u32::MAX }),
        "attestation-recorded" => {
            json!({ "person": name(), "requirement": name(), "met_at": at(), "evidence": words() })
        }
        "attestation-corrected" => {
            json!({ "person": name(), "requirement": name(), "before": at(), "met_at": at(), "reason": words() })
        }
        "person-left" | "person-moved" => json!({ "person": name() }),
        "membership-ended" => json!({ "account": name(), "role": name() }),
        "membership-revoked" => {
            json!({ "account": name(), "role": name(), "by": principal(), "reason": words() })
        }
        "account-ended" => json!({ "account": name() }),
        "account-closed" => json!({ "account": name(), "by": principal(), "reason": words() }),
        "proposal-made" => proposal(),
        "proposal-text-added" => json!({ "proposal": ID, "text": "\u{1}".repeat(64 * 1024) }),
        "proposal-approved" | "proposal-denied" => json!({ "proposal": ID, "decision": decision() }),
        "proposal-withdrawn" => json!({ "proposal": ID, "by": principal(), "reason": words() }),
        "proposal-expired" => json!({ "proposal": ID }),
        "proposal-cancelled" => {
            json!({ "proposal": ID, "because": { "proposer_not_eligible": { "reason": "LOCKED" } } })
        }
        "authors-wait" => {
            json!({ "proposal": ID, "persons": names(3), "entitlements": names(MANY), "until": at() })
        }
        "hr-event-applied" => json!({ "place": place(), "event": hr_event(), "released": true }),
        "hr-feed-heard" => json!({ "place": place(), "sender": name() }),
        "hr-imported" => json!({ "place": place(), "sender": name(), "people": u32::MAX, "changes": u32::MAX,
            "held": u32::MAX }),
        "hr-held" => json!({ "id": ID, "held_at": at(), "sender": name(), "author": name(), "stream": name(),
            "from_import": true, "after": u64::MAX, "events": vec![hr_event(); MANY / 4] }),
        "hr-set-aside" => json!({ "id": ID, "held_at": at(), "sender": name(), "author": name(), "stream": name(),
            "from_import": true, "after": u64::MAX, "events": vec![hr_event(); MANY / 4],
            "aside": { "number": u64::MAX, "reason": "LOCKED", "detail": words() } }),
        "hr-hold-decided" => json!({ "hold": ID, "released": true, "reason": words() }),
        "hr-event-left-out" => json!({ "hold": ID, "event": hr_event() }),
        "hr-stream-retired" => json!({ "stream": name(), "reason": words() }),
        "enrolment-requested" => enrolment(),
        "enrolment-approval-recorded" | "enrolment-denied" => json!({ "enrolment": ID, "decision": decision() }),
        "enrolment-approval-struck" => {
            json!({ "enrolment": ID, "person": name(), "because": { "at": at(), "reason": "LOCKED" } })
        }
        "enrolment-approved" | "enrolment-expired" => json!({ "enrolment": ID }),
        "enrolment-withdrawn" => json!({ "enrolment": ID, "by": principal(), "reason": words() }),
        "enrolment-cancelled" => {
            json!({ "enrolment": ID, "because": { "no_longer_possible": { "reason": "LOCKED" } } })
        }
        "campaign-started" => campaign(),
        "membership-confirmed" => json!({ "campaign": ID, "account": name() }),
        "campaign-closed" => json!({ "campaign": ID }),
        "elevation-requested" => elevation(),
        "approval-recorded" | "elevation-denied" => json!({ "elevation": ID, "decision": decision() }),
        "approval-struck" => {
            json!({ "elevation": ID, "person": name(), "because": { "at": at(), "reason": "LOCKED" } })
        }
        "elevation-approved" => json!({ "elevation": ID, "grant": ID }),
        "elevation-withdrawn" => json!({ "elevation": ID, "by": principal(), "reason": words() }),
        "elevation-expired" | "follow-up-overdue" => json!({ "elevation": ID }),
        "elevation-cancelled" => {
            json!({ "elevation": ID, "because": { "requester_not_eligible": { "reason": "LOCKED" } } })
        }
        "follow-up-opened" => json!({ "elevation": ID, "grant": ID, "due": at() }),
        "follow-up-completed" => {
            json!({ "elevation": ID, "completion": { "at": at(), "call": call(), "person": name(), "account": name(),
            "through": "@role-owner", "finding": "justified", "comment": words() } })
        }
        "grant-issued" => grant(),
        "grant-started" => json!({ "grant": ID, "holder": name(), "continuous_since": at() }),
        "grant-shortened" => json!({ "grant": ID, "holder": name(), "end": at(),
            "because": { "requirement_lapses": { "person": name(), "requirement": name() } } }),
        "grant-ended" => json!({ "grant": ID, "holder": name() }),
        "grant-relinquished" => json!({ "grant": ID, "holder": name(), "by": principal(), "reason": words() }),
        "grant-revoked" => json!({ "grant": ID, "holder": name(),
            "because": { "approval_void": { "person": name(), "reason": "LOCKED" } } }),
        "grant-token-issued" => json!({ "token": ID, "grant": ID, "holder": name(), "audience": name(),
            "certificate": DIGEST, "scope": scope(), "expires": at() }),
        "lock-created" => lock(),
        "lock-deleted" => {
            json!({ "lock": ID, "on": { "resources": pattern(1) }, "by": principal(), "reason": words() })
        }
        "lock-ended" => json!({ "lock": ID, "on": "everything" }),
        "command-refused" => {
            let words: String = words().chars().take(400).collect();
            let facts: serde_json::Map<String, Value> =
                names(8).into_iter().map(|key| (key, json!(words.clone()))).collect();
            json!({ "command": name(), "reason": "LOCKED", "told": "LOCKED", "detail": words, "facts": facts,
                "about": words })
        }
        "refusals-counted" => json!({ "caller": principal(), "minute": at(), "count": u32::MAX }),
        "pruned" => {
            json!({ "elevations": ids(MANY), "grants": ids(MANY), "enrolments": ids(MANY), "campaigns": ids(MANY),
            "proposals": ids(MANY), "requests_before": at(), "identities_before": at() })
        }
        "broker-started" => json!({ "version": name(), "clock": clock() }),
        "clock-read" | "clock-accepted" => clock(),
        "loss-accepted" => json!({ "mark": { "journal": ID, "sequence": u64::MAX, "hash": DIGEST },
            "head": { "sequence": u64::MAX, "hash": DIGEST }, "journal": ID }),
        "rows-abandoned" => json!({ "first": u64::MAX, "last": u64::MAX }),
        other => panic!("no extreme of `{other}`: add one, so that its rows are known to read back"),
    }
}
