//! One grant, as a card and as a row of a list.

use crate::cli::term::table::card;
use crate::cli::term::text::{ending, instant, quoted, relative, when, word};
use crate::domain::value::time::Timestamp;
use crate::wire::v1::{Grant, GrantEndBecause, GrantState};

/// Where a grant stands, in a word.
#[must_use]
pub fn state_word(grant: &Grant) -> String {
    word(grant.state().as_str_name(), "GRANT_STATE_")
}

/// The heading of [`grant_row`].
pub const GRANT_HEADING: [&str; 6] = ["id", "holder", "entitlement", "where", "state", "end"];

/// One line for a list of grants.
#[must_use]
pub fn grant_row(grant: &Grant, now: Timestamp) -> Vec<String> {
    let time = match grant.state() {
        GrantState::Scheduled => {
            grant.start_time.as_ref().and_then(instant).map(|at| format!("starts {}", relative(at, now)))
        }
        GrantState::Active => grant.end_time.as_ref().and_then(instant).map(|at| relative(at, now)),
        _ => grant
            .closing
            .as_ref()
            .and_then(|closing| closing.time.as_ref())
            .and_then(instant)
            .map(|at| relative(at, now)),
    };
    vec![
        ending(&grant.id),
        grant.holder_account.clone(),
        grant.entitlement.clone(),
        grant.resources.join(" "),
        marked(state_word(grant), grant.emergency),
        time.unwrap_or_default(),
    ]
}

/// What came about by the emergency way says so wherever it is shown.
#[must_use]
pub fn marked(state: String, emergency: bool) -> String {
    if emergency { format!("{state}, emergency") } else { state }
}

/// One grant.
#[must_use]
pub fn grant_card(width: u16, grant: &Grant, now: Timestamp) -> String {
    let because = match grant.end_because() {
        GrantEndBecause::Unspecified | GrantEndBecause::Duration => String::new(),
        because => {
            let word = word(because.as_str_name(), "GRANT_END_BECAUSE_");
            if grant.end_because_name.is_empty() { word } else { format!("{word} of {}", grant.end_because_name) }
        }
    };
    let mut lines = vec![
        ("who", grant.holder_account.clone()),
        ("for", grant.on_behalf_of.clone()),
        ("what", grant.actions.join(" ")),
        ("where", grant.resources.join(" ")),
        ("state", marked(state_word(grant), grant.emergency)),
        ("from", when(grant.start_time.as_ref(), now)),
        ("until", when(grant.end_time.as_ref(), now)),
        ("because of", because),
    ];
    if let Some(closing) = &grant.closing {
        let cause = word(&closing.cause, "");
        lines.push(("closed", format!("{}, by {}: {cause}", when(closing.time.as_ref(), now), closing.actor)));
        if !closing.comment.is_empty() {
            lines.push(("they said", quoted(&closing.comment)));
        }
    }
    lines.extend([
        ("under", grant.entitlement.clone()),
        ("request", grant.elevation_id.clone()),
        ("id", grant.id.clone()),
    ]);
    card(width, &lines)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::show::sample;
    use crate::cli::term::table::rows;
    use crate::wire::v1::Closing;

    #[test]
    fn grants_of_each_state_at_both_widths() {
        let scheduled =
            Grant { state: GrantState::Scheduled.into(), start_time: Some(sample::at(7_200)), ..sample::grant() };
        let revoked = Grant {
            state: GrantState::Revoked.into(),
            closing: Some(Closing {
                time: Some(sample::at(-90)),
                actor: "account:ben".into(),
                cause: "REVOKED".into(),
                comment: "wrong \"database\"".into(),
            }),
            end_because: GrantEndBecause::RequirementLapse.into(),
            end_because_name: "dba-training".into(),
            ..sample::grant()
        };
        let list = |width| {
            let grants = [&sample::grant(), &scheduled, &revoked];
            rows(width, &GRANT_HEADING, grants.map(|grant| grant_row(grant, sample::moment())).to_vec())
        };
        insta::assert_snapshot!(list(120), @r#"
        ID        HOLDER  ENTITLEMENT       WHERE                      STATE      END
        cc33dd44  ana     orders-db-repair  prod/eu/db/orders/replica  active     in 14m
        cc33dd44  ana     orders-db-repair  prod/eu/db/orders/replica  scheduled  starts in 2h
        cc33dd44  ana     orders-db-repair  prod/eu/db/orders/replica  revoked    1m 30s ago
        "#);
        insta::assert_snapshot!(list(40), @r#"
        id           cc33dd44
        holder       ana
        entitlement  orders-db-repair
        where        prod/eu/db/orders/replica
        state        active
        end          in 14m

        id           cc33dd44
        holder       ana
        entitlement  orders-db-repair
        where        prod/eu/db/orders/replica
        state        scheduled
        end          starts in 2h

        id           cc33dd44
        holder       ana
        entitlement  orders-db-repair
        where        prod/eu/db/orders/replica
        state        revoked
        end          1m 30s ago
        "#);
        insta::assert_snapshot!(grant_card(40, &revoked, sample::moment()), @r#"
        who         ana
        what        db.read
        where       prod/eu/db/orders/replica
        state       revoked
        from        2026-11-22 21:59:00Z (1m
                    ago)
        until       2026-11-22 22:14:00Z (in
                    14m)
        because of  requirement lapse of
                    dba-training
        closed      2026-11-22 21:58:30Z (1m
                    30s ago), by account:ben:
                    revoked
        they said   "wrong 'database'"
        under       orders-db-repair
        request     019380a1-0000-7000-8000-00
                    00aa11bb22
        id          019380a1-0000-7000-8000-00
                    00cc33dd44
        "#);
    }
}
