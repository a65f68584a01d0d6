//! A settable clock for a server.

use crate::server::Launch;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// A settable clock for a server, by libfaketime.
#[derive(Debug)]
pub struct Clock(TempDir);

impl Default for Clock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock {
    /// A clock with real time.
    ///
    /// # Panics
    /// If no file can be written.
    #[must_use]
    pub fn new() -> Self {
        let clock = Self(TempDir::new().expect("a temporary folder"));
        clock.set("+0");
        clock
    }

    fn file(&self) -> PathBuf {
        self.0.path().join("offset")
    }

    /// Sets the clock to real time plus an offset such as `+3d`, or in seconds.
    ///
    /// # Panics
    /// If no file can be written.
    pub fn set(&self, offset: &str) {
        // Renames, because the server reads the file continuously and must not see a partial one.
        let new = self.0.path().join("new");
        std::fs::write(&new, offset).expect("the offset is written");
        std::fs::rename(new, self.file()).expect("the offset is renamed");
    }

    /// A server with this clock and these arguments.
    ///
    /// # Panics
    /// If libfaketime is not installed.
    #[must_use]
    pub fn launch(&self, args: &[&str]) -> Launch {
        let library = std::fs::read_dir("/usr/lib").into_iter().flatten().flatten().map(|entry| entry.path());
        let library =
            library.chain([PathBuf::from("/usr/lib")]).map(|dir| dir.join("faketime/libfaketimeMT.so.1"));
        let library = library.into_iter().find(|file| file.exists());
        let library = library.expect("libfaketime: `apt-get install faketime`");
        let text = |path: &Path| path.display().to_string();
        Launch::with(args)
            .env("LD_PRELOAD", &text(&library))
            .env("FAKETIME_TIMESTAMP_FILE", &text(&self.file()))
            .env("FAKETIME_NO_CACHE", "1")
            // Timeouts use the monotonic clock, which must not jump.
            .env("FAKETIME_DONT_FAKE_MONOTONIC", "1")
            .env("DONT_FAKE_MONOTONIC", "1")
    }
}
