//! A request's body, bounded in size and time before it is read (known failure G14).

use axum::http::StatusCode;
use tonic::codegen::Bytes;

use crate::server::transport::limits::{BODY_READ_TIMEOUT, REQUEST_MAX_BYTES};

/// Why there is no body: nothing of the request was carried out.
pub(super) struct Unread {
    pub(super) status: StatusCode,
    pub(super) text: String,
}

pub(super) async fn read(body: axum::body::Body) -> Result<Bytes, Unread> {
    let reading = tokio::time::timeout(BODY_READ_TIMEOUT, axum::body::to_bytes(body, REQUEST_MAX_BYTES)).await;
    let unread = |status, text| Err(Unread { status, text });
    match reading {
        Ok(Ok(bytes)) => Ok(bytes),
        Ok(Err(error)) if is_too_long(&error) => {
            unread(StatusCode::PAYLOAD_TOO_LARGE, format!("the body is over {REQUEST_MAX_BYTES} bytes"))
        }
        Ok(Err(_)) => unread(StatusCode::BAD_REQUEST, "the body broke off; send it again".to_owned()),
        Err(_) => {
            let text = format!("the body did not come within {} s; nothing was done", BODY_READ_TIMEOUT.as_secs());
            unread(StatusCode::REQUEST_TIMEOUT, text)
        }
    }
}

fn is_too_long(error: &axum::Error) -> bool {
    std::error::Error::source(error).is_some_and(<dyn std::error::Error>::is::<http_body_util::LengthLimitError>)
}
