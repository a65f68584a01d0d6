//! CPU priority of the threads that load and maintain.
//!
//! The answer to a beacon, which is in the spool by then, and the answer to a person must be quick. Loading and
//! maintenance may lag on a busy machine, because the spool holds the backlog.

/// Lowers the priority of this thread, and of every thread that it starts from now on, to niceness 10. Raising it again
/// needs rights. Does nothing on other systems than Linux, where niceness is not a thread's.
pub fn lower() {
    // Without the lower priority everything still works, so a refusal is no error.
    #[cfg(target_os = "linux")]
    let _ = rustix::process::setpriority_process(None, NICENESS);
}

/// A thread of this niceness weighs about a ninth of one of niceness 0 (sched(7)).
#[cfg(target_os = "linux")]
const NICENESS: i32 = 10;
