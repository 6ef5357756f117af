//! The door: who is in, and who is on the threshold. Until a handshake says who comes, connections are counted by address; from
//! then on by whoever they are of, so that neither a crowd of strangers nor one account takes the places of others (known
//! failures G6 and G36).

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use super::limits::Limits;
use crate::clock::{BootMillis, Clock as _, SystemClock};
use crate::domain::rule::spender::Spender;
use crate::domain::value::ids::Identity;
use crate::domain::value::refusal::{Reason, Refusal};
use crate::domain::value::time::Span;

/// After so long without a call and without an answer that is still being read a connection is idle.
const IDLE_AFTER: Span = Span::seconds(10);

/// Whose a connection is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Guest {
    /// With whom it is counted.
    pub spender: Spender,
    /// Whether they may take access from others.
    pub takes_away: bool,
}

/// Tells whose an identity is.
pub type Guests = Arc<dyn Fn(&Identity) -> Guest + Send + Sync>;

/// Why a connection was not admitted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Full {
    /// All connections are taken.
    Connections,
    /// The address has as many as one may have.
    PerAddress,
    /// The person or machine has as many as one may have, or those whom nobody knows have, all together.
    PerHolder,
}

impl Full {
    /// The name under which it is counted.
    #[must_use]
    pub fn reason(self) -> &'static str {
        match self {
            Self::Connections => "connections",
            Self::PerAddress => "per_address",
            Self::PerHolder => "per_holder",
        }
    }
}

impl From<Full> for Refusal {
    fn from(full: Full) -> Self {
        let detail = match full {
            Full::Connections => "all that there are for those who cannot take access away are in use",
            Full::PerAddress => "this address has as many as one may have",
            Full::PerHolder => "this person or machine has as many as one may have, and all of them are in use",
        };
        let refusal = Self::new(Reason::BudgetConnections, detail);
        Self { retry_after: Some(IDLE_AFTER), ..refusal.with("budget", full.reason()) }
    }
}

/// The door: counts who is in and who is on the threshold.
#[derive(Debug)]
pub struct Door {
    limits: Limits,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    next: u64,
    open: usize,
    /// Of those who are not known to be anybody here.
    per_address: BTreeMap<IpAddr, usize>,
    /// By order of arrival.
    half_open: BTreeMap<u64, Arc<Seat>>,
    settled: BTreeMap<u64, Settled>,
    of: BTreeMap<Spender, usize>,
    unknown: BTreeSet<u64>,
}

/// A connection whose handshake is done.
#[derive(Debug)]
struct Settled {
    guest: Guest,
    seat: Arc<Seat>,
}

/// What its connection and the door know of a place.
#[derive(Debug)]
struct Seat {
    address: IpAddr,
    evicted: Notify,
    /// When it was last seen in use, by the boot clock.
    active: AtomicI64,
}

/// A place of an admitted connection; dropping it gives the place back.
#[derive(Debug)]
pub struct Place {
    door: Arc<Door>,
    number: u64,
    seat: Arc<Seat>,
}

impl Door {
    /// A door with nobody in.
    #[must_use]
    pub fn new(limits: &Limits) -> Arc<Self> {
        Arc::new(Self { limits: limits.clone(), state: Mutex::new(State::default()) })
    }

    /// Admits a connection. Whoever has been shaking hands longest makes room for it: an honest handshake takes
    /// milliseconds, so that a crowd of idle connections keeps nobody out (known failure G6). Where nobody does, one whom
    /// nobody knows makes room, and then the one that has been idle for longest.
    ///
    /// # Errors
    /// Which limit is reached, if nobody can make room.
    pub fn admit(self: &Arc<Self>, address: IpAddr) -> Result<Place, Full> {
        let (address, now) = (network(address), SystemClock.boot());
        let mut state = self.lock();
        if state.per_address.get(&address).copied().unwrap_or_default() >= self.limits.per_address
            && !state.evict_half_open(Some(address))
        {
            return Err(Full::PerAddress);
        }
        if state.open >= self.limits.connections && !state.make_room(now) {
            return Err(Full::Connections);
        }
        if state.half_open.len() >= self.limits.half_open {
            state.evict_half_open(None);
        }
        let number = state.next;
        state.next = number.wrapping_add(1);
        state.open = state.open.saturating_add(1);
        let count = state.per_address.entry(address).or_default();
        *count = count.saturating_add(1);
        let seat = Seat { address, evicted: Notify::new(), active: AtomicI64::new(now.millis()) };
        let seat = Arc::new(seat);
        state.half_open.insert(number, Arc::clone(&seat));
        Ok(Place { door: Arc::clone(self), number, seat })
    }

    /// Sends one connection away, if one can be: the process is out of descriptors.
    pub fn make_room(&self) {
        self.lock().make_room(SystemClock.boot());
    }

    /// How many are in, those half-open included.
    #[must_use]
    pub fn open(&self) -> usize {
        self.lock().open
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn limit_of(&self, spender: &Spender) -> usize {
        match spender {
            Spender::Person(_) => self.limits.of_person,
            Spender::Machine(_) => self.limits.of_machine,
            Spender::Unknown => self.limits.of_unknown,
        }
    }
}

impl Place {
    /// The handshake is done, and this is who came. One that is refused stays on the threshold, where it is the first to make
    /// room, for as long as it takes to say why.
    ///
    /// # Errors
    /// Which limit is reached, if none of theirs that is idle can make room, nor anybody else's where all are taken.
    pub fn settle(&self, guest: Guest, now: BootMillis) -> Result<(), Full> {
        let door = &self.door;
        let mut state = door.lock();
        let own = |settled: &Settled| settled.guest.spender == guest.spender;
        if state.of.get(&guest.spender).copied().unwrap_or_default() >= door.limit_of(&guest.spender)
            && !state.evict_idle(now, own)
        {
            return Err(Full::PerHolder);
        }
        let open_to_all = door.limits.connections.saturating_sub(door.limits.kept).max(1);
        if !guest.takes_away && state.settled.len() >= open_to_all {
            let is_known = guest.spender != Spender::Unknown;
            let has_room = (is_known && state.evict_unknown()) || state.evict_idle(now, |it| !it.guest.takes_away);
            if !has_room {
                return Err(Full::Connections);
            }
        }
        state.half_open.remove(&self.number);
        match guest.spender {
            Spender::Unknown => drop(state.unknown.insert(self.number)),
            // By now it is counted by who they are: a whole fleet may come from one address.
            Spender::Person(_) | Spender::Machine(_) => state.leave_address(&self.seat.address),
        }
        let count = state.of.entry(guest.spender.clone()).or_default();
        *count = count.saturating_add(1);
        self.used(now);
        state.settled.insert(self.number, Settled { guest, seat: Arc::clone(&self.seat) });
        Ok(())
    }

    /// It is in use.
    pub fn used(&self, now: BootMillis) {
        self.seat.active.store(now.millis(), Ordering::Relaxed);
    }

    /// Resolves when this connection has to make room for another.
    pub async fn evicted(&self) {
        self.seat.evicted.notified().await;
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut state = self.door.lock();
        state.half_open.remove(&self.number);
        state.open = state.open.saturating_sub(1);
        let was_known = state.leave(self.number).is_some_and(|guest| guest.spender != Spender::Unknown);
        if !was_known {
            state.leave_address(&self.seat.address);
        }
    }
}

impl State {
    /// Sends somebody away, whoever is the first to go. Their place is given back when they have gone, which is at their next
    /// turn: the caps may be passed by as many as are on their way out.
    fn make_room(&mut self, now: BootMillis) -> bool {
        self.evict_half_open(None) || self.evict_unknown() || self.evict_idle(now, |it| !it.guest.takes_away)
    }

    /// The oldest half-open connection, of one address or of any.
    fn evict_half_open(&mut self, address: Option<IpAddr>) -> bool {
        let oldest = self.half_open.iter().find(|(_, seat)| address.is_none_or(|address| address == seat.address));
        let Some(number) = oldest.map(|(number, _)| *number) else { return false };
        if let Some(seat) = self.half_open.remove(&number) {
            seat.evicted.notify_one();
        }
        true
    }

    /// The oldest connection of somebody whom nobody knows.
    fn evict_unknown(&mut self) -> bool {
        let Some(number) = self.unknown.first().copied() else { return false };
        self.evict(number)
    }

    /// The connection that has been idle for longest, among some.
    fn evict_idle(&mut self, now: BootMillis, among: impl Fn(&Settled) -> bool) -> bool {
        let active = |settled: &Settled| BootMillis::new(settled.seat.active.load(Ordering::Relaxed));
        let among = self.settled.iter().filter(|(_, settled)| among(settled));
        let idlest = among.min_by_key(|(_, settled)| active(settled));
        match idlest.filter(|(_, settled)| now.since(active(settled)) >= IDLE_AFTER).map(|(number, _)| *number) {
            Some(number) => self.evict(number),
            None => false,
        }
    }

    fn evict(&mut self, number: u64) -> bool {
        let Some(settled) = self.settled.get(&number) else { return false };
        settled.seat.evicted.notify_one();
        // It is no longer of anybody, so that it is not sent away twice, but of its address until it has gone.
        if settled.guest.spender != Spender::Unknown {
            let address = settled.seat.address;
            let count = self.per_address.entry(address).or_default();
            *count = count.saturating_add(1);
        }
        self.leave(number);
        true
    }

    fn leave(&mut self, number: u64) -> Option<Guest> {
        let Settled { guest, .. } = self.settled.remove(&number)?;
        self.unknown.remove(&number);
        if let Some(count) = self.of.get_mut(&guest.spender) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                self.of.remove(&guest.spender);
            }
        }
        Some(guest)
    }

    fn leave_address(&mut self, address: &IpAddr) {
        if let Some(count) = self.per_address.get_mut(address) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                self.per_address.remove(address);
            }
        }
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
#[path = "door_tests.rs"]
mod tests;
