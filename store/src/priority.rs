//! Which threads come first where there are more of them than cores.

/// Gives way: from now on this thread, and every thread that it starts, has a core only where the others leave
/// one, or a small share of it.
///
/// For loading and maintenance. What has to be quick is the answer to a beacon, which is in the spool by then,
/// and to a person; on a machine that is busy with those, loading lags, and the spool is what holds the
/// difference.
pub fn give_way() {
    // On Linux a thread has a priority of its own, and no rights are needed to lower it. Where the system
    // refuses all the same, everything works as it does with equal ones.
    #[cfg(target_os = "linux")]
    let _ = rustix::process::setpriority_process(None, NICE);
}

/// Steps of niceness: a thread with this weighs about a ninth of one without (sched(7)).
#[cfg(target_os = "linux")]
const NICE: i32 = 10;
