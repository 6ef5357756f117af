//! An entitlement with its terms, and the obstacles between an account and it.

use crate::cli::term::text::span;
use crate::wire::v1::{ApprovalStage, Entitlement, Obstacle};

/// Obstacles as lines: what is in the way, and what would take it away.
#[must_use]
pub fn obstacle_lines(obstacles: &[Obstacle]) -> Vec<(&'static str, String)> {
    obstacles
        .iter()
        .flat_map(|obstacle| {
            let remedy = (!obstacle.remedy.is_empty()).then(|| ("remedy", obstacle.remedy.clone()));
            std::iter::once(("obstacle", format!("{}: {}", obstacle.reason, obstacle.text))).chain(remedy)
        })
        .collect()
}

/// An entitlement and its terms.
#[must_use]
pub fn entitlement_lines(entitlement: &Entitlement) -> Vec<(&'static str, String)> {
    let scope = entitlement.scope.clone().unwrap_or_default();
    let length = |duration: &Option<prost_types::Duration>| {
        duration.as_ref().and_then(span).map(|span| span.to_string()).unwrap_or_default()
    };
    let mut lines = vec![
        ("name", entitlement.name.clone()),
        ("title", entitlement.title.clone()),
        ("about", entitlement.description.clone()),
        ("what", scope.actions.join(" ")),
        ("where", scope.resources.join(" ")),
        ("asked by", entitlement.requestable_by.join(", ")),
        ("usually", length(&entitlement.default_duration)),
        ("longest", length(&entitlement.max_duration)),
        ("unbroken", length(&entitlement.max_continuous)),
        ("break", length(&entitlement.min_break)),
        ("review in", length(&entitlement.review_within)),
        ("start in", length(&entitlement.start_within)),
    ];
    if entitlement.justification_min_length > 0 {
        lines.push(("why", format!("at least {} characters", entitlement.justification_min_length)));
    }
    lines.push(("ticket", entitlement.ticket.clone()));
    let stage =
        |(number, stage): (u32, &ApprovalStage)| format!("{number}. {} of {}", stage.count, stage.by.join(" or "));
    lines.extend((1..).zip(&entitlement.approval).map(stage).map(|text| ("approval", text)));
    if let Some(way) = &entitlement.emergency {
        lines.push(("emergency", format!("at most {}", length(&way.max_duration))));
        lines.extend((1..).zip(&way.approval).map(stage).map(|text| ("", text)));
        lines.push(("", format!("followed up within {}", length(&way.follow_up_within))));
    }
    lines
}
