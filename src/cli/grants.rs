//! `grants`, `relinquish`, `revoke`.

use clap::Args;

use super::elevation_card::marked;
use super::failure::{Exit, Failure, Ran};
use super::json;
use super::session::{Session, all_pages};
use super::table::{card, rows};
use super::text::{ending, instant, quoted, relative, when, word};
use super::values;
use crate::clock::{Clock as _, SystemClock};
use crate::domain::value::time::{Span, Timestamp};
use crate::wire::v1::{
    AwaitReplicasResponse, GetGrantRequest, Grant, GrantEndBecause, GrantRelation, GrantState, ListGrantsRequest,
    RelinquishGrantRequest, RevokeGrantRequest,
};

/// `grants`.
#[derive(Debug, Clone, Args)]
pub struct GrantsArguments {
    /// One grant, or a unique ending of its id; left out, those that you hold
    pub grant: Option<String>,
    /// All that you may see, not your own alone
    #[arg(long, conflicts_with = "grant")]
    pub visible: bool,
    /// Those that are over as well
    #[arg(long, conflicts_with = "grant")]
    pub all: bool,
    /// Only those held by this account
    #[arg(long, value_name = "ACCOUNT", conflicts_with = "grant")]
    pub holder: Option<String>,
    /// Only those of this entitlement
    #[arg(long, value_name = "ENTITLEMENT", conflicts_with = "grant")]
    pub entitlement: Option<String>,
}

/// `relinquish`.
#[derive(Debug, Clone, Args)]
pub struct RelinquishArguments {
    /// Your grant, or a unique ending of its id
    pub grant: String,
    /// The id of this call
    #[arg(long, value_parser = values::request_id, value_name = "UUID")]
    pub request_id: Option<String>,
}

/// `revoke`.
#[derive(Debug, Clone, Args)]
pub struct RevokeArguments {
    /// The grant, or a unique ending of its id
    pub grant: String,
    /// Why, for the holder to read
    #[arg(long, short, value_name = "TEXT")]
    pub reason: String,
    /// Wait until it is in force in every replica that is connected, and say so
    #[arg(long)]
    pub wait: bool,
    /// The id of this call
    #[arg(long, value_parser = values::request_id, value_name = "UUID")]
    pub request_id: Option<String>,
}

/// Runs `grants`.
///
/// # Errors
/// If the broker cannot be asked.
pub async fn grants(session: &mut Session<'_>, arguments: GrantsArguments) -> Ran {
    let now = session.now;
    if let Some(grant_id) = arguments.grant {
        let grant = session.client.get_grant(GetGrantRequest { grant_id }).await?.grant.unwrap_or_default();
        session.output.data(|width| grant_card(width, &grant, now), || json::of(&grant))?;
        return Ok(Exit::Yes);
    }
    // Whoever names a holder means more than what is his own.
    let visible = arguments.visible || arguments.holder.is_some();
    let relation = if visible { GrantRelation::Visible } else { GrantRelation::Held };
    let live = [GrantState::Scheduled, GrantState::Active].map(i32::from).to_vec();
    let request = ListGrantsRequest {
        relation: relation.into(),
        states: if arguments.all { Vec::new() } else { live },
        entitlement: arguments.entitlement.unwrap_or_default(),
        holder_account: arguments.holder.unwrap_or_default(),
        ..Default::default()
    };
    let grants = all_pages!(session.client, list_grants, request, grants);
    let text = |width| rows(width, &GRANT_HEADING, grants.iter().map(|grant| grant_row(grant, now)).collect());
    session.output.data(text, || json::list(&grants))?;
    if grants.is_empty() && !session.output.is_json() {
        session.output.note("no grants");
    }
    Ok(Exit::Yes)
}

/// Runs `relinquish`.
///
/// # Errors
/// If the broker refuses.
pub async fn relinquish(session: &mut Session<'_>, arguments: RelinquishArguments) -> Ran {
    let request = RelinquishGrantRequest {
        request_id: Session::request_id(arguments.request_id.as_ref()),
        grant_id: whole_id(session, arguments.grant).await?,
    };
    match session.client.relinquish_grant(request.clone()).await {
        Ok(answer) => over(session, &answer.grant.unwrap_or_default()),
        Err(error) => Err(session.failed(error, &request.request_id)),
    }
}

/// Runs `revoke`.
///
/// # Errors
/// If the broker refuses.
pub async fn revoke(session: &mut Session<'_>, arguments: RevokeArguments) -> Ran {
    let request = RevokeGrantRequest {
        request_id: Session::request_id(arguments.request_id.as_ref()),
        grant_id: whole_id(session, arguments.grant).await?,
        reason: arguments.reason,
    };
    match session.client.revoke_grant(request.clone()).await {
        Ok(answer) => {
            let grant = answer.grant.unwrap_or_default();
            if arguments.wait { cut_off(session, &grant, &answer.sequence).await } else { over(session, &grant) }
        }
        Err(error) => Err(session.failed(error, &request.request_id)),
    }
}

/// Waits for the replicas, and says how many have cut it off and in what time.
async fn cut_off(session: &mut Session<'_>, grant: &Grant, sequence: &str) -> Ran {
    // It is revoked already, whatever comes of the waiting.
    if !session.output.is_json() {
        over(session, grant)?;
    }
    let (last, took) = awaited(session, sequence).await?;
    if session.output.is_json() {
        let AwaitReplicasResponse { connected, reached, lost } = last;
        let replicas =
            serde_json::json!({ "connected": connected, "reached": reached, "lost": lost, "millis": took.millis() });
        let told = || {
            let mut told = json::of(grant);
            if let serde_json::Value::Object(fields) = &mut told {
                fields.insert("replicas".to_owned(), replicas);
            }
            told
        };
        session.output.data(|_| String::new(), told)?;
    }
    Ok(told_of(session, &last, took, "cut off"))
}

/// Waits for the replicas, and says in how many of them what was done is in force.
///
/// # Errors
/// If the broker cannot be asked.
pub(super) async fn in_replicas(session: &mut Session<'_>, sequence: &str, done: &str) -> Ran {
    let (last, took) = awaited(session, sequence).await?;
    Ok(told_of(session, &last, took, done))
}

async fn awaited(session: &Session<'_>, sequence: &str) -> Result<(AwaitReplicasResponse, Span), Failure> {
    let clock = SystemClock;
    let begun = clock.boot();
    let mut told = session.client.await_replicas(sequence).await?;
    let mut last = AwaitReplicasResponse::default();
    while let Some(all) = told.message().await.map_err(|status| Failure::Failed(status.message().to_owned()))? {
        last = all;
    }
    Ok((last, clock.boot().since(begun)))
}

fn told_of(session: &mut Session<'_>, last: &AwaitReplicasResponse, took: Span, done: &str) -> Exit {
    let AwaitReplicasResponse { connected, reached, lost } = *last;
    session.output.note(&format!("{done} in {reached} of {connected} connected replicas, after {} ms", took.millis()));
    if lost > 0 {
        session.output.note(&format!("{lost} more have lost their connection, and are not too old to allow it yet"));
    }
    if reached < connected || lost > 0 {
        session.output.note("those deny once they are older than their services allow; look at their `status`");
        return Exit::Waiting;
    }
    Exit::Yes
}

/// Where a grant stands, in a word.
#[must_use]
pub fn state_word(grant: &Grant) -> String {
    word(grant.state().as_str_name(), "GRANT_STATE_")
}

/// The whole id of a grant that is named by an ending.
pub(super) async fn whole_id(session: &Session<'_>, grant_id: String) -> Result<String, Failure> {
    let found = session.client.get_grant(GetGrantRequest { grant_id }).await?;
    Ok(found.grant.unwrap_or_default().id)
}

fn over(session: &mut Session<'_>, grant: &Grant) -> Ran {
    let text = |_| format!("{} is {}\n", ending(&grant.id), state_word(grant));
    session.output.data(text, || json::of(grant))?;
    Ok(Exit::Yes)
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
    use crate::cli::sample;
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
