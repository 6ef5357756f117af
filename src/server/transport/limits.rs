//! How much of the broker one client, or all together, may take (known failures G5, G6 and G14). One number for streams and calls
//! of a connection; caps on connections, on those half-open, and on those of one address.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;

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
    /// Connections of one address (of one /64, in IPv6).
    pub per_address: usize,
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
            connections: 4096,
            per_address: 512,
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

/// Why a connection was not admitted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Full {
    /// All connections are taken.
    Connections,
    /// The address has as many as one may have.
    PerAddress,
}

impl Full {
    /// The name under which it is counted.
    #[must_use]
    pub fn reason(self) -> &'static str {
        match self {
            Self::Connections => "connections",
            Self::PerAddress => "per_address",
        }
    }
}

/// The door: counts who is in and who is on the threshold.
#[derive(Debug)]
pub struct Door {
    connections: usize,
    per_address: usize,
    half_open: usize,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    next: u64,
    open: usize,
    per_address: BTreeMap<IpAddr, usize>,
    /// By order of arrival.
    half_open: BTreeMap<u64, (IpAddr, Arc<Notify>)>,
}

/// A place of an admitted connection; dropping it gives the place back.
#[derive(Debug)]
pub struct Place {
    door: Arc<Door>,
    number: u64,
    address: IpAddr,
    evicted: Arc<Notify>,
}

impl Door {
    /// A door with nobody in.
    #[must_use]
    pub fn new(limits: &Limits) -> Arc<Self> {
        Arc::new(Self {
            connections: limits.connections,
            per_address: limits.per_address,
            half_open: limits.half_open,
            state: Mutex::new(State::default()),
        })
    }

    /// Admits a connection. Whoever has been shaking hands longest makes room for it: an honest handshake takes
    /// milliseconds, so that a crowd of idle connections keeps nobody out (known failure G6).
    ///
    /// # Errors
    /// Which limit is reached, if nobody half-open can make room.
    pub fn admit(self: &Arc<Self>, address: IpAddr) -> Result<Place, Full> {
        let address = network(address);
        let mut state = self.lock();
        if state.per_address.get(&address).copied().unwrap_or_default() >= self.per_address
            && !state.evict_of(Some(address))
        {
            return Err(Full::PerAddress);
        }
        if state.open >= self.connections && !state.evict_of(None) {
            return Err(Full::Connections);
        }
        if state.half_open.len() >= self.half_open {
            state.evict_of(None);
        }
        let number = state.next;
        state.next = number.wrapping_add(1);
        state.open = state.open.saturating_add(1);
        let count = state.per_address.entry(address).or_default();
        *count = count.saturating_add(1);
        let evicted = Arc::new(Notify::new());
        state.half_open.insert(number, (address, Arc::clone(&evicted)));
        Ok(Place { door: Arc::clone(self), number, address, evicted })
    }

    /// Sends away the oldest half-open connection, if there is one: the process is out of descriptors.
    pub fn make_room(&self) {
        self.lock().evict_of(None);
    }

    /// How many are in, those half-open included.
    #[must_use]
    pub fn open(&self) -> usize {
        self.lock().open
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Place {
    /// The handshake is done.
    pub fn settle(&self) {
        self.door.lock().half_open.remove(&self.number);
    }

    /// Resolves when this connection has to make room for another.
    pub async fn evicted(&self) {
        self.evicted.notified().await;
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut state = self.door.lock();
        state.half_open.remove(&self.number);
        state.open = state.open.saturating_sub(1);
        if let Some(count) = state.per_address.get_mut(&self.address) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                state.per_address.remove(&self.address);
            }
        }
    }
}

impl State {
    /// Sends away the oldest half-open connection, of one address or of any. Its place is given back when it has gone,
    /// which is at its next turn: the caps may be passed by as many as are on their way out.
    fn evict_of(&mut self, address: Option<IpAddr>) -> bool {
        let oldest = self.half_open.iter().find(|(_, (of, _))| address.is_none_or(|address| address == *of));
        let Some(number) = oldest.map(|(number, _)| *number) else { return false };
        if let Some((_, evicted)) = self.half_open.remove(&number) {
            evicted.notify_one();
        }
        true
    }
}

/// One subscriber holds a whole /64 of IPv6, so that is what counts as one address.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => {
            let [a, b, c, d, ..] = v6.segments();
            IpAddr::from([a, b, c, d, 0, 0, 0, 0])
        }
        v4 @ IpAddr::V4(_) => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn door(connections: usize, per_address: usize, half_open: usize) -> Arc<Door> {
        Door::new(&Limits { connections, per_address, half_open, ..Limits::default() })
    }
    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn a_place_is_given_back_when_its_connection_is_over() {
        let door = door(1, 1, 1);
        let place = door.admit(ip("192.0.2.1")).unwrap();
        place.settle();
        assert_eq!(door.admit(ip("192.0.2.2")).err(), Some(Full::Connections));
        drop(place);
        assert_eq!(door.open(), 0);
        assert!(door.admit(ip("192.0.2.2")).is_ok());
    }

    #[test]
    fn one_address_or_one_ipv6_network_cannot_take_all() {
        let door = door(10, 2, 10);
        let places: Vec<_> = ["2001:db8::1", "2001:db8::2"].iter().map(|text| door.admit(ip(text)).unwrap()).collect();
        places.iter().for_each(Place::settle);
        assert_eq!(door.admit(ip("2001:db8::3")).err(), Some(Full::PerAddress));
        assert!(door.admit(ip("2001:db8:0:1::1")).is_ok());
    }

    #[tokio::test]
    async fn the_oldest_handshake_makes_room_and_a_settled_connection_does_not() {
        let door = door(10, 10, 2);
        let settled = door.admit(ip("192.0.2.1")).unwrap();
        settled.settle();
        let oldest = door.admit(ip("192.0.2.1")).unwrap();
        let younger = door.admit(ip("192.0.2.1")).unwrap();
        let _newest = door.admit(ip("192.0.2.9")).unwrap();
        oldest.evicted().await;
        assert!(tokio::time::timeout(Duration::from_millis(20), younger.evicted()).await.is_err());
        assert!(tokio::time::timeout(Duration::from_millis(20), settled.evicted()).await.is_err());
    }
}
