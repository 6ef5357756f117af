//! Descriptors: each connection takes one, and most systems give a process few until it asks for more.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// What the journal, the listeners and the runtimes take besides.
const BESIDES: u64 = 256;

/// Asks for as many descriptors as the process may have, and says so where that is fewer than its connections take.
pub(crate) fn raise(connections: usize) {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    let raised = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum });
    let have = getrlimit(Resource::Nofile).current;
    let need = u64::try_from(connections).unwrap_or(u64::MAX).saturating_add(BESIDES);
    if raised.is_err() || have.is_some_and(|have| have < need) {
        let have = have.unwrap_or_default();
        tracing::warn!(
            have,
            need,
            "fewer descriptors than `limits.connections` takes; raise `LimitNOFILE`, or lower it"
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_many_are_asked_for_as_may_be_had() {
        raise(1);
        let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
        assert_eq!(current, maximum);
    }
}
