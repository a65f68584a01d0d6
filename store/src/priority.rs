//! Which threads come first where there are more of them than cores.
//!
//! What has to be quick is the answer to a beacon, which is in the spool by then, and to a person. Loading and
//! maintenance lag on a machine that is busy with those, and the spool is what holds the difference.

/// What a thread has of the cores.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Priority {
    /// A core that is free, or a small share of one.
    Low,
    /// Little more than what nobody else wants. A core on which such a thread runs counts as free for others that wake
    /// up, which niceness does not make it; but where all cores are always busy, a transaction may stand still for
    /// seconds. So it may on a busy disk: the kernel takes its I/O for that of the idle class (ioprio_set(2)).
    Idle,
}

impl Priority {
    /// Lowers this thread to this priority, with every thread that it starts from now on. There is no way back without
    /// rights; a thread of another priority is started by one that is not lower.
    pub fn take(self) {
        // On Linux a thread has a priority of its own, and no rights are needed to lower it. Where the system
        // refuses all the same, everything works as it does with equal ones.
        #[cfg(target_os = "linux")]
        match self {
            Self::Low => {
                let _ = rustix::process::setpriority_process(None, NICE);
            }
            Self::Idle => {
                let _ = rustix::process::setpriority_process(None, NICE);
                use thread_priority::unix::{
                    NormalThreadSchedulePolicy, ThreadSchedulePolicy, set_thread_priority_and_policy,
                    thread_native_id,
                };
                let policy = ThreadSchedulePolicy::Normal(NormalThreadSchedulePolicy::Idle);
                let _ = set_thread_priority_and_policy(
                    thread_native_id(),
                    thread_priority::ThreadPriority::Min,
                    policy,
                );
            }
        }
    }
}

/// Steps of niceness: a thread with this weighs about a ninth of one without (sched(7)).
#[cfg(target_os = "linux")]
const NICE: i32 = 10;
