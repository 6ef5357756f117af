//! `token`: a signed copy of a grant, for a service that cannot reach the broker.

use clap::Args;

use super::grants::whole_id;
use crate::cli::connect::session::Session;
use crate::cli::term::failure::{Exit, Ran};
use crate::cli::term::json;
use crate::cli::term::text::when;
use crate::cli::term::values;
use crate::domain::value::time::Span;
use crate::wire::v1::IssueGrantTokenRequest;
use crate::wire::values::pb_duration;

/// `token`.
#[derive(Debug, Clone, Args)]
pub struct TokenArguments {
    /// Your live grant, or a unique ending of its id
    pub grant: String,
    /// The account of the service that the token is for
    #[arg(long, value_name = "ACCOUNT")]
    pub audience: String,
    /// How long it is good, 60s at most
    #[arg(long, value_parser = values::span, value_name = "DURATION")]
    pub lifetime: Option<Span>,
    /// The id of this call
    #[arg(long, value_parser = values::request_id, value_name = "UUID")]
    pub request_id: Option<String>,
}

/// Runs `token`: the token alone goes to stdout.
///
/// # Errors
/// If the broker refuses.
pub async fn token(session: &mut Session<'_>, arguments: TokenArguments) -> Ran {
    let request = IssueGrantTokenRequest {
        request_id: Session::request_id(arguments.request_id.as_ref()),
        grant_id: whole_id(session, arguments.grant).await?,
        audience: arguments.audience,
        lifetime: arguments.lifetime.map(pb_duration),
    };
    let now = session.now;
    match session.client.issue_grant_token(request.clone()).await {
        Ok(answer) => {
            session.output.data(|_| format!("{}\n", answer.token), || json::of(&answer))?;
            if !session.output.is_json() {
                let until = when(answer.expire_time.as_ref(), now);
                session.output.note(&format!("good with your certificate alone, until {until}"));
            }
            Ok(Exit::Yes)
        }
        Err(error) => Err(session.failed(error, &request.request_id)),
    }
}
