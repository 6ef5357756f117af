//! `grants`, `relinquish`, `revoke`.

use clap::Args;

use crate::cli::connect::replicas::await_replicas;
use crate::cli::connect::session::{Session, all_pages};
use crate::cli::show::grant_card::{GRANT_HEADING, grant_card, grant_row, state_word};
use crate::cli::term::failure::{Exit, Failure, Ran};
use crate::cli::term::json;
use crate::cli::term::table::rows;
use crate::cli::term::text::ending;
use crate::cli::term::values;
use crate::wire::v1::{
    AwaitReplicasResponse, GetGrantRequest, Grant, GrantRelation, GrantState, ListGrantsRequest,
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
    // Whoever names a holder means more than their own.
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
    let reached = await_replicas(session, sequence).await?;
    if session.output.is_json() {
        let AwaitReplicasResponse { connected, reached: have_it, lost } = reached.replicas;
        let millis = reached.took.millis();
        let replicas =
            serde_json::json!({ "connected": connected, "reached": have_it, "lost": lost, "millis": millis });
        let value = || {
            let mut value = json::of(grant);
            if let serde_json::Value::Object(fields) = &mut value {
                fields.insert("replicas".to_owned(), replicas);
            }
            value
        };
        session.output.data(|_| String::new(), value)?;
    }
    Ok(reached.show(session, "cut off"))
}

/// The whole id of a grant that is named by an ending. A whole one is passed on: whoever may revoke a grant need not see it, and
/// whoever sends a call again may see it no more (known failure A18).
pub(in crate::cli) async fn whole_id(session: &Session<'_>, grant_id: String) -> Result<String, Failure> {
    if grant_id.parse::<crate::domain::value::ids::GrantId>().is_ok() {
        return Ok(grant_id);
    }
    let found = session.client.get_grant(GetGrantRequest { grant_id }).await?;
    Ok(found.grant.unwrap_or_default().id)
}

fn over(session: &mut Session<'_>, grant: &Grant) -> Ran {
    let text = |_| format!("{} is {}\n", ending(&grant.id), state_word(grant));
    session.output.data(text, || json::of(grant))?;
    Ok(Exit::Yes)
}
