//! TLS 1.3 with client certificates, always (design.md 13): the files, who is let in, and the configuration in force. Nothing is
//! resumed: each connection proves itself anew.

mod files;
mod store;
mod verifier;

pub use files::{AuthoritySettings, TlsMistake, TlsSettings};
pub use store::{Reloaded, TlsStore};
pub use verifier::{CERTIFICATE_MAX_BYTES, CHAIN_MAX, NowSource, PeerRefusal, provider};
