//! CPU priority of the threads for loading and maintenance.
//!
//! Responses to beacons and to people must be quick. Beacons are already in the spool when they are answered, so
//! loading and maintenance may lag on a busy machine.

/// Lowers this thread, and every thread that it starts later, to niceness 10. Raising the priority again needs
/// privileges. Does nothing on systems other than Linux, because niceness does not belong to a thread there.
pub fn lower() {
    // A refusal is ignored, because everything works at normal priority too.
    #[cfg(target_os = "linux")]
    let _ = rustix::process::setpriority_process(None, NICENESS);
}

/// The scheduler gives a thread of niceness 10 about a ninth of the weight of niceness 0 (sched(7)).
#[cfg(target_os = "linux")]
const NICENESS: i32 = 10;
