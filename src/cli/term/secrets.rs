//! What keeps secrets of a process out of files: every command has a private key in its memory.

/// Nobody writes the memory of this process to a file when it ends by a fault, and nobody but root looks into it. What it cannot
/// have is not asked for twice: the system's own settings then hold.
pub fn keep_out_of_core_dumps() {
    #[cfg(unix)]
    {
        use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
        let Rlimit { maximum, .. } = getrlimit(Resource::Core);
        // The hard limit stays: what a command of the person's own does with its memory is its own affair.
        let _ = setrlimit(Resource::Core, Rlimit { current: Some(0), maximum });
    }
    // A program that takes dumps over a pipe is not asked what the limit is.
    #[cfg(target_os = "linux")]
    let _ = rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable);
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use rustix::process::{DumpableBehavior, Resource, dumpable_behavior, getrlimit};

    #[test]
    fn nobody_writes_this_memory_to_a_file() {
        super::keep_out_of_core_dumps();
        assert_eq!(getrlimit(Resource::Core).current, Some(0));
        assert_eq!(dumpable_behavior().unwrap(), DumpableBehavior::NotDumpable);
    }
}
