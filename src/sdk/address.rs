//! Addresses as people write them.

use tonic::codegen::http::uri::Authority;

/// Whether what stands behind the host is a port, or nothing: a port that is none (`:99999`, `:0`, `:`) is otherwise taken for
/// one that was left out, and the call goes to the usual port of whoever else is there. `forbidden` does not stand in it.
pub(crate) fn has_port_or_none(authority: &Authority, forbidden: char) -> bool {
    let text = authority.as_str();
    let rest = text.strip_prefix(authority.host()).unwrap_or(":");
    let port = rest.strip_prefix(':').map(str::parse::<u16>);
    !text.contains(forbidden) && (rest.is_empty() || matches!(port, Some(Ok(1..))))
}
