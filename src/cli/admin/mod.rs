//! What rules the broker: the policy, the directory, and locks.

pub mod directory;
pub mod findings;
pub mod lock;
pub mod policy;
pub mod policy_test;
pub mod proposal;
