//! How much of the broker one client, or all together, may take (known failures G5, G6 and G14). One number for streams and calls
//! of a connection; caps on connections, which are counted at the door.

use std::time::Duration;

/// Streams of a connection, and calls of a connection worked on at a time.
pub const STREAMS_PER_CONNECTION: u32 = 64;
/// The largest request message; each service sets it: `service.max_decoding_message_size(REQUEST_MAX_BYTES)`.
pub const REQUEST_MAX_BYTES: usize = 64 * 1024;
/// The largest response message; each service sets it: `service.max_encoding_message_size(RESPONSE_MAX_BYTES)`.
pub const RESPONSE_MAX_BYTES: usize = 1024 * 1024;
/// The largest list of headers.
pub const HEADER_LIST_MAX_BYTES: u32 = 8 * 1024;
/// Header fields of a request; a call needs about ten.
pub const HEADERS_MAX: usize = 32;
/// How long a client may take for the head of a request, and stay silent between two, in HTTP/1.1.
pub const HEADER_READ_TIMEOUT: Duration = Duration::from_secs(20);
/// How long a body of HTTP may take: less than the usual `call_timeout`, so that what never came whole is told as that.
pub const BODY_READ_TIMEOUT: Duration = Duration::from_secs(4);
/// Streams that were reset before they were looked at (CVE-2023-44487, rapid reset).
pub const PENDING_ACCEPT_RESET_STREAMS: usize = 20;
/// Streams that the broker itself had to reset (CVE-2025-8671, MadeYouReset; RUSTSEC-2024-0003).
pub const LOCAL_ERROR_RESET_STREAMS: usize = 256;

/// The limits of a listener.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Connections, all together.
    pub connections: usize,
    /// Connections of one address (of one /64, in IPv6), but for those of people and machines on record.
    pub per_address: usize,
    /// Connections of one person, by all their accounts.
    pub of_person: usize,
    /// Connections of one machine's identity, which a fleet may share.
    pub of_machine: usize,
    /// Connections of all certificates together that mean nobody here.
    pub of_unknown: usize,
    /// Connections that are kept for who may take access from others.
    pub kept: usize,
    /// Connections whose handshake is not done.
    pub half_open: usize,
    /// How long a handshake may take.
    pub handshake_timeout: Duration,
    /// How long a call may take until its response begins. A stream that has begun may live on.
    pub call_timeout: Duration,
    /// How often a silent connection is pinged.
    pub keepalive_interval: Duration,
    /// How long it has to answer.
    pub keepalive_timeout: Duration,
    /// After this long a connection is told to go away.
    pub connection_age: Duration,
    /// How long it then has to finish.
    pub connection_age_grace: Duration,
    /// Bytes of answers that may wait on one connection for a client that does not read them.
    pub unread_bytes: usize,
    /// The same, of all connections of one identity.
    pub unread_bytes_of_identity: usize,
    /// How long nothing may go out of a connection while answers wait on it.
    pub unread_deadline: Duration,
    /// How often the certificate of an open connection is asked about again, so that streams end with it.
    pub certificate_beat: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 8_192,
            per_address: 512,
            of_person: 64,
            of_machine: 4_096,
            of_unknown: 1_024,
            kept: 64,
            half_open: 512,
            handshake_timeout: Duration::from_secs(5),
            call_timeout: Duration::from_secs(5),
            keepalive_interval: Duration::from_secs(20),
            keepalive_timeout: Duration::from_secs(10),
            connection_age: Duration::from_secs(15 * 60),
            connection_age_grace: Duration::from_secs(30),
            unread_bytes: 8 * 1024 * 1024,
            unread_bytes_of_identity: 32 * 1024 * 1024,
            unread_deadline: Duration::from_secs(30),
            certificate_beat: Duration::from_secs(2),
        }
    }
}
