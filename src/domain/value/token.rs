//! What is fixed of grant tokens: how long they live, how large they are.

use super::time::Span;

/// How long a token lives by default, and at most. It is the longest that a revocation goes unseen by whoever has the
/// token alone (known failure E4).
pub const LONGEST_LIFETIME: Span = Span::seconds(60);
/// No token is longer; a longer one is refused before it is looked at.
pub const TOKEN_MAX_BYTES: usize = 8 * 1024;
/// The texts of a token's actions and resources together: with these the token stays below its own limit.
pub const SCOPE_MAX_BYTES: usize = 4 * 1024;
