//! Ctrl-C in a long work that can be left between two of its steps.

use std::process;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// The exit code of a program that Ctrl-C ended, as shells have it: 128 and the signal's number.
pub(crate) const INTERRUPTED: i32 = 130;
/// The same of SIGTERM.
pub(crate) const TERMINATED: i32 = 143;

/// Whether the work is to be left.
pub(crate) struct Interrupt(Arc<AtomicBool>);

impl Interrupt {
    /// From now on the first Ctrl-C is a request, and the second one ends the program. `step` is what is
    /// finished first, in words.
    pub(crate) fn watch(step: &'static str) -> Self {
        let asked = Arc::new(AtomicBool::new(false));
        let flag = Arc::clone(&asked);
        tokio::spawn(async move {
            // Fails where no handler can be installed; then Ctrl-C ends the program as ever.
            if tokio::signal::ctrl_c().await.is_ok() {
                flag.store(true, Ordering::Relaxed);
                eprintln!("\nstopping after {step}; Ctrl-C again stops at once");
                if tokio::signal::ctrl_c().await.is_ok() {
                    process::exit(INTERRUPTED);
                }
            }
        });
        Self(asked)
    }

    /// Whether Ctrl-C was pressed.
    pub(crate) fn asked(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}
