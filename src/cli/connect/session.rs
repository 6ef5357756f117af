//! What every command that talks to a broker has in hand.

use super::context::{ConnectionArguments, connect};
use crate::cli::term::failure::Failure;
use crate::cli::term::output::Output;
use crate::cli::term::values::new_request_id;
use crate::domain::value::time::Timestamp;
use crate::sdk::{Client, ClientError};

/// The longest page that the API gives.
pub const PAGE: i32 = 500;

/// A connection and the two streams.
#[derive(Debug)]
pub struct Session<'o> {
    /// The broker.
    pub client: Client,
    /// The person or program.
    pub output: &'o mut Output,
    /// The time from which `in 14m` and `3h ago` are counted.
    pub now: Timestamp,
}

impl<'o> Session<'o> {
    /// Connects.
    ///
    /// # Errors
    /// If it is not said where and as whom, or the broker cannot be reached.
    pub async fn open(connection: &ConnectionArguments, output: &'o mut Output) -> Result<Self, Failure> {
        Ok(Self { client: connect(connection).await?, output, now: crate::cli::term::text::wall_time() })
    }

    /// The id of a call: the one given, or a new one.
    #[must_use]
    pub fn request_id(given: Option<&String>) -> String {
        given.cloned().unwrap_or_else(new_request_id)
    }

    /// The failure of a command; if nobody knows whether it took effect, says how to send the same again.
    pub fn failed(&mut self, error: ClientError, request_id: &str) -> Failure {
        if error.is_lost() {
            self.output.note(&format!("to try the same again, add --request-id {request_id}"));
        }
        error.into()
    }
}

/// Fetches all pages of a list.
macro_rules! all_pages {
    ($client:expr, $method:ident, $request:expr, $field:ident) => {{
        let mut request = $request;
        request.page_size = $crate::cli::connect::session::PAGE;
        let mut items = Vec::new();
        loop {
            let page = $client.$method(request.clone()).await?;
            items.extend(page.$field);
            if page.next_page_token.is_empty() {
                break items;
            }
            request.page_token = page.next_page_token;
        }
    }};
}
pub(crate) use all_pages;
