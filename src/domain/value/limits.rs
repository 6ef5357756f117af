//! The limits that no policy changes.

use super::time::Span;

/// How long a `request_id` stays bound to the command that took effect under it.
pub const REQUESTS_KEPT: Span = Span::DAY;
/// The brake counts whom HR enabled and disabled within this.
pub const BRAKE_WINDOW: Span = Span::DAY;
/// An identity that somebody had is remembered as theirs for so long.
pub const IDENTITIES_REMEMBERED: Span = Span::seconds(180 * 86_400);
/// Days ahead at which a lapse is announced.
pub const WARNED_DAYS: [u32; 3] = [30, 7, 1];
/// Transfers that may be announced of one person at a time: each record of the person names them all.
pub const ANNOUNCED_MOVES: usize = 8;
/// Resources that one request may name: each is compared with each that is held and locked.
pub const REQUESTED_RESOURCES: usize = 32;
/// Actions that one request may name.
pub const REQUESTED_ACTIONS: usize = 16;
/// Identities of one account, or of a person without one: each record of it names them all.
pub const IDENTITIES: usize = 8;
