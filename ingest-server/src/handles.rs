//! File handles: each connection is one, and the system's default limit is for programs with few.

/// Raises the soft limit of file handles to the hard one, and returns it; none if the system has no limit.
#[cfg(unix)]
#[must_use]
pub fn raise() -> Option<u64> {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
    // Some systems have a lower limit than they say; then the soft one stays.
    match setrlimit(Resource::Nofile, raised) {
        Ok(()) => limit.maximum,
        Err(_) => limit.current,
    }
}

/// There is no such limit here.
#[cfg(not(unix))]
#[must_use]
pub fn raise() -> Option<u64> {
    None
}
