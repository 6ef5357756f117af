//! The gRPC services, a file or folder each, and in `method` how all of them get, list, watch and change. Each handler
//! finds out who calls, parses, executes and encodes.

pub(super) mod accounts;
pub(super) mod audit;
pub(super) mod elevations;
pub(super) mod enrolments;
pub(super) mod grants;
pub(super) mod hr;
pub(super) mod locks;
mod method;
pub(super) mod policies;
pub(super) mod proposals;
pub(super) mod recertifications;
pub(super) mod tokens;
