//! `[entitlements.<name>]`: reads what is offered, and checks the first separation rule on it.

use std::collections::{BTreeMap, BTreeSet};

use super::ACTION_PREFIX;
use super::reader::{Node, Reader, Table};
use super::separation::separation_rule_1;
use super::stage_file::{Names, ReviewOf, Stages};
use super::{CapabilityName, Emergency, Entitlement, MemberKind, Terms, TicketPattern};
use crate::domain::value::ids::RoleName;
use crate::domain::value::scope::{Action, Pattern, Scope};
use crate::domain::value::time::Span;

const KEYS: [&str; 16] = [
    "title",
    "description",
    "actions",
    "resources",
    "requestable_by",
    "default_duration",
    "max_duration",
    "max_continuous",
    "min_break",
    "review_within",
    "start_within",
    "justification",
    "ticket",
    "approval",
    "emergency",
    "tenant_approval",
];

/// The duration of a request that says none, unless the longest is shorter.
pub(super) const DEFAULT_DURATION: Span = Span::seconds(15 * 60);
/// How long a request waits for its decisions, unless policy says.
pub(super) const DEFAULT_REVIEW_WITHIN: Span = Span::seconds(3_600);
/// When the ordinary approvers must have looked at an emergency, unless policy says.
pub(super) const DEFAULT_FOLLOW_UP_WITHIN: Span = Span::seconds(72 * 3_600);
const MILLISECOND: Span = match Span::from_millis(1) {
    Ok(span) => span,
    Err(_) => Span::SECOND,
};
const MONTH: Span = Span::seconds(30 * 86_400);
const YEAR: Span = Span::seconds(365 * 86_400);

/// One entitlement; none if it cannot even be built, which is always a reported mistake.
pub(super) fn entitlement(reader: &mut Reader<'_>, node: &Node<'_>, names: &Names) -> Option<Entitlement> {
    let table = reader.table(node, &KEYS)?;
    let title = reader.required(&table, "title", "a line for people that says what this is for");
    let title = title.and_then(|title| reader.prose(&title, 120, false));
    let description = table.key("description").map(|node| reader.prose(&node, 2_000, true).unwrap_or_default());
    let scope = scope(reader, &table);
    let requestable_by = requestable_by(reader, &table, names);
    let durations = durations(reader, &table);
    let review_within = table.key("review_within").and_then(|node| reader.span(&node, Span::SECOND..=MONTH));
    let start_within = table.key("start_within").and_then(|node| reader.span(&node, Span::SECOND..=YEAR));
    let justification = table.key("justification").and_then(|node| justification(reader, &node));
    let ticket = table.key("ticket").and_then(|node| ticket(reader, &node));
    let approval = reader.required(&table, "approval", "who must approve: `[{ by = [\"a-role\"], count = 1 }]`");
    let approval = approval.map(|node| names.stages(reader, &node, ReviewOf::Elevation)).unwrap_or_default();
    let emergency = table.key("emergency").and_then(|node| emergency(reader, &node, names, durations.max));
    let emergency_stages = emergency.as_ref().map(|(_, stages)| stages);
    check_rule_1(reader, node, names, &requestable_by, &approval, emergency_stages);
    check_capabilities(reader, &table, names, scope.as_ref(), &requestable_by);
    let tenant_approval = tenant_approval(reader, &table, scope.as_ref(), &approval, emergency_stages);
    let terms = Terms {
        scope: scope?,
        requestable_by: requestable_by.into_keys().collect(),
        default_duration: durations.default,
        max_duration: durations.max,
        max_continuous: durations.max_continuous,
        min_break: durations.min_break,
        review_within: review_within.unwrap_or(DEFAULT_REVIEW_WITHIN),
        start_within,
        justification_min_length: justification,
        ticket,
        approval: approval.stages,
        emergency: emergency.map(|(emergency, _)| emergency),
        tenant_approval,
    };
    let terms_digest = terms.digest();
    Some(Entitlement { title: title?, description: description.unwrap_or_default(), terms, terms_digest })
}

/// Actions on resource patterns, at least one of each.
pub(super) fn scope(reader: &mut Reader<'_>, table: &Table<'_>) -> Option<Scope> {
    let wanted = "a list of at least one action, as in `[\"db.read\"]`";
    let actions = reader.required(table, "actions", wanted);
    let actions = actions.map(|node| reader.filled_set::<Action>(&node, wanted)).unwrap_or_default();
    let wanted = "a list of at least one resource pattern, as in `[\"prod/*/db/orders/**\"]`";
    let resources = reader.required(table, "resources", wanted);
    let resources = resources.map(|node| reader.filled_set::<Pattern>(&node, wanted)).unwrap_or_default();
    Scope::new(actions.into_keys().collect(), resources.into_keys().collect())
}

/// An action `countersign.<capability>` puts a capability behind an entitlement. Not `access.check`: services check all
/// day, so that one is held by a role alone.
fn check_capabilities(
    reader: &mut Reader<'_>,
    table: &Table<'_>,
    names: &Names,
    scope: Option<&Scope>,
    requestable_by: &BTreeMap<RoleName, usize>,
) {
    let Some((scope, node)) = scope.zip(table.key("actions")) else { return };
    let texts = scope.actions().iter().map(Action::as_str).filter(|text| text.starts_with(ACTION_PREFIX));
    let texts: Vec<&str> = texts.collect();
    for text in &texts {
        let name = CapabilityName::ALL.iter().find(|(name, _)| text.strip_prefix(ACTION_PREFIX) == Some(*name));
        if name.is_none_or(|(_, name)| *name == CapabilityName::AccessCheck) {
            let wanted = "an action `countersign.<capability>`, of any capability but `access.check`";
            reader.mistake(node.at, &node.path, format!("`{text}`"), wanted);
        }
    }
    let customers =
        requestable_by.iter().find(|(role, _)| names.roles.get(*role) == Some(&Some(MemberKind::Customers)));
    if let (false, Some((role, at))) = (texts.is_empty(), customers) {
        let wanted = "roles for people or machines: no customer has power over the broker";
        reader.mistake(*at, &table.path_of("requestable_by"), format!("`{role}`, a role for customers"), wanted);
    }
}

fn requestable_by(reader: &mut Reader<'_>, table: &Table<'_>, names: &Names) -> BTreeMap<RoleName, usize> {
    let wanted = "a list of at least one role that may ask, as in `[\"db-engineer\"]`";
    let Some(node) = reader.required(table, "requestable_by", wanted) else { return BTreeMap::new() };
    let roles = reader.filled_set::<RoleName>(&node, wanted);
    names.check_roles(reader, &node.path, &roles);
    roles
}

struct Durations {
    default: Span,
    max: Span,
    max_continuous: Option<Span>,
    min_break: Option<Span>,
}

fn durations(reader: &mut Reader<'_>, table: &Table<'_>) -> Durations {
    let node = reader.required(table, "max_duration", "the longest duration, from `1s` to `24h`");
    let given = node.and_then(|node| reader.span(&node, Span::SECOND..=Span::DAY));
    let max = given.unwrap_or(Span::DAY);
    let default = table.key("default_duration").and_then(|node| {
        let span = reader.span(&node, Span::SECOND..=Span::DAY)?;
        if span > max {
            reader.mistake(
                node.at,
                &node.path,
                format!("`{span}`"),
                format!("at most `max_duration`, which is `{max}`"),
            );
        }
        Some(span)
    });
    let max_continuous = table.key("max_continuous").and_then(|node| {
        let span = reader.span(&node, Span::SECOND..=YEAR)?;
        if given.is_some_and(|max| span < max) {
            let wanted = format!("at least `max_duration`, which is `{max}`");
            reader.mistake(node.at, &node.path, format!("`{span}`"), wanted);
        }
        Some(span)
    });
    let min_break = min_break(reader, table, max_continuous);
    Durations { default: default.unwrap_or(DEFAULT_DURATION.min(max)), max, max_continuous, min_break }
}

/// The shortest break that counts where there is a cap; a tenth of it, unless policy says.
fn min_break(reader: &mut Reader<'_>, table: &Table<'_>, cap: Option<Span>) -> Option<Span> {
    let tenth = || cap.and_then(|cap| Span::from_millis(cap.millis().checked_div(10)?).ok());
    let Some(node) = table.key("min_break") else { return tenth() };
    let span = reader.span(&node, MILLISECOND..=YEAR)?;
    match cap {
        Some(cap) if span > cap => {
            let wanted = format!("at most `max_continuous`, which is `{cap}`");
            reader.mistake(node.at, &node.path, format!("`{span}`"), wanted);
        }
        None if table.key("max_continuous").is_none() => {
            reader.mistake(node.at, &node.path, format!("`{span}`"), "it beside `max_continuous`, which it is for");
        }
        Some(_) | None => {}
    }
    Some(span)
}

fn justification(reader: &mut Reader<'_>, node: &Node<'_>) -> Option<u32> {
    let table = reader.table(node, &["min_length"])?;
    let min_length = reader.required(&table, "min_length", "the least number of characters, from 1 to 500")?;
    reader.number(&min_length, 1..=500)
}

fn ticket(reader: &mut Reader<'_>, node: &Node<'_>) -> Option<TicketPattern> {
    let wanted = "a regular expression that a whole ticket matches, as in `\"INC-[0-9]+\"`";
    let text = reader.text(node, wanted)?;
    let pattern = TicketPattern::new(text);
    // A pattern that matches the empty text would accept a missing ticket.
    let fault = match &pattern {
        Err(error) => error.lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned(),
        Ok(pattern) if pattern.matches("") => "it matches the empty text".to_owned(),
        Ok(_) => return pattern.ok(),
    };
    let found =
        format!("`{}` ({})", crate::domain::value::ids::excerpt(text), crate::domain::value::ids::excerpt(&fault));
    reader.mistake(node.at, &node.path, found, wanted);
    None
}

fn emergency(reader: &mut Reader<'_>, node: &Node<'_>, names: &Names, longest: Span) -> Option<(Emergency, Stages)> {
    let table = reader.table(node, &["max_duration", "approval", "follow_up_within"])?;
    let max = reader.required(&table, "max_duration", "the longest duration in an emergency").and_then(|node| {
        let span = reader.span(&node, Span::SECOND..=Span::DAY)?;
        if span > longest {
            let wanted = format!("at most the entitlement's own `max_duration`, which is `{longest}`");
            reader.mistake(node.at, &node.path, format!("`{span}`"), wanted);
        }
        Some(span)
    });
    let approval = reader.required(&table, "approval", "who must approve in an emergency");
    let stages = approval.map(|node| names.stages(reader, &node, ReviewOf::Elevation)).unwrap_or_default();
    let follow_up = table.key("follow_up_within").and_then(|node| reader.span(&node, Span::SECOND..=MONTH));
    let emergency = Emergency {
        max_duration: max.unwrap_or(longest),
        approval: stages.stages.clone(),
        follow_up_within: follow_up.unwrap_or(DEFAULT_FOLLOW_UP_WITHIN),
    };
    Some((emergency, stages))
}

/// Rule 1 on what was read, whatever else is wrong with it.
fn check_rule_1(
    reader: &mut Reader<'_>,
    node: &Node<'_>,
    names: &Names,
    requestable_by: &BTreeMap<RoleName, usize>,
    approval: &Stages,
    emergency: Option<&Stages>,
) {
    let requesting: BTreeSet<RoleName> = requestable_by.keys().cloned().collect();
    let mut approving = emergency.map(|stages| stages.roles.clone()).unwrap_or_default();
    approving.extend(approval.roles.clone());
    if let Some(at) = approval.tenant_at.as_ref().or(emergency.and_then(|stages| stages.tenant_at.as_ref())) {
        approving.extend(names.tenant_approvers.iter().map(|role| (role.clone(), at.clone())));
    }
    for role in separation_rule_1(&requesting, &approving.keys().cloned().collect()) {
        let (at, path) = approving.get(&role).cloned().unwrap_or((node.at, node.path.clone()));
        let wanted = "an approving role that is not in `requestable_by`: nobody approves in the role that asks";
        reader.mistake(at, &path, format!("`{role}`, which may also ask for this"), wanted);
    }
}

/// An entitlement that reaches a tenant's space must say whether the tenant approves: by a stage with `@tenant`, or
/// `"none"`.
fn tenant_approval(
    reader: &mut Reader<'_>,
    table: &Table<'_>,
    scope: Option<&Scope>,
    approval: &Stages,
    emergency: Option<&Stages>,
) -> bool {
    let none = table.key("tenant_approval").is_some_and(|node| {
        let none = node.as_text() == Some("none");
        if !none {
            let found = node
                .as_text()
                .map_or(node.kind().to_owned(), |text| format!("`{}`", crate::domain::value::ids::excerpt(text)));
            reader.mistake(node.at, &node.path, found, "`\"none\"`, or a stage with `@tenant` and no such key");
        }
        none
    });
    let Some(scope) = scope else { return !none };
    let reaches = scope.resources().iter().any(Pattern::reaches_tenants);
    let asks = approval.asks_tenant();
    let tenant_at = approval.tenant_at.as_ref().or(emergency.and_then(|stages| stages.tenant_at.as_ref()));
    match (reaches, none, tenant_at) {
        (true, true, Some((at, path))) => {
            reader.mistake(*at, path, "`@tenant` beside `tenant_approval = \"none\"`", "one of the two");
        }
        (true, false, _) if !asks => {
            let wanted = "a stage `{ by = [\"@tenant\"], count = 1 }` in `approval`, or `tenant_approval = \"none\"`";
            reader.mistake(table.at, &table.path, "resources in `tenants/` that no tenant approves", wanted);
        }
        // An emergency skips the ordinary approvers, not the tenant whose data it is.
        (true, false, _) if emergency.is_some_and(|stages| !stages.asks_tenant()) => {
            let wanted = "a stage `{ by = [\"@tenant\"], count = 1 }` in `emergency.approval` as well";
            reader.mistake(table.at, &table.path, "an emergency way into `tenants/` that no tenant approves", wanted);
        }
        (false, _, Some((at, path))) => {
            let wanted = "no `@tenant`: this has no resource in `tenants/`, which no wildcard reaches";
            reader.mistake(*at, path, "`@tenant`", wanted);
        }
        (false, true, _) => {
            let meaning = "it has no effect: this has no resource in `tenants/`, which no wildcard reaches";
            reader.warn(table.at, &table.path_of("tenant_approval"), "`tenant_approval`", meaning);
        }
        _ => {}
    }
    reaches && !none
}
