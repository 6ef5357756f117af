//! What one person, one machine and all unknown certificates together may take of the broker, so that nobody waits behind a
//! neighbour's mistake. Budgets are refusals before the writer: no state of theirs is journaled, and none decides who may do what.

pub mod bucket;
mod ledger;
mod places;
mod settings;
mod turns;

pub use ledger::{Admitted, Ledger};
pub use places::{Place, PlaceLimits, Places};
pub use settings::{Budget, Budgets, KeptLimits, Rates, Watches};
pub use turns::{Turn, TurnLimits, Turns};
