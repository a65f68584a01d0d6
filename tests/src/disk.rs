//! A faulty disk: full, failing, lying or losing power. Preloads `disk.c` into the server.

use crate::server::Launch;
use std::path::{Path, PathBuf};
use std::process::Command;
use tempfile::TempDir;

/// The simulated disk of one data folder.
pub struct Disk {
    /// State folder: the compiled library, the fault flags and the synced copies.
    state: TempDir,
    folder: PathBuf,
}

impl Disk {
    /// Creates a sound disk for an existing folder.
    ///
    /// # Panics
    /// If the library cannot be compiled.
    #[must_use]
    pub fn new(folder: &Path) -> Self {
        let state = TempDir::new().expect("a temporary folder");
        std::fs::create_dir(state.path().join("synced")).expect("a folder in it");
        let source = state.path().join("disk.c");
        std::fs::write(&source, include_str!("disk.c")).expect("the folder can be written");
        let disk = Self { state, folder: folder.to_owned() };
        let compiled = Command::new("cc")
            .args(["-O2", "-shared", "-fPIC", "-o"])
            .args([&disk.library(), &source])
            .args(["-ldl", "-lpthread"])
            .output()
            .expect("a C compiler, which Rust links with too: `cc`");
        assert!(compiled.status.success(), "{}", String::from_utf8_lossy(&compiled.stderr));
        disk
    }

    fn library(&self) -> PathBuf {
        self.state.path().join("disk.so")
    }

    /// Makes the launched server keep its data on this disk.
    #[must_use]
    pub fn under(&self, launch: Launch) -> Launch {
        let text = |path: &Path| path.to_str().expect("a path that is text").to_owned();
        launch
            .env("LD_PRELOAD", &text(&self.library()))
            .env("FAULTY_DISK_FOLDER", &text(&self.folder))
            .env("FAULTY_DISK_STATE", &text(self.state.path()))
    }

    fn tell(&self, what: &str, is_so: bool) {
        let path = self.state.path().join(what);
        let done = if is_so { std::fs::write(path, "") } else { std::fs::remove_file(path) };
        done.expect("the disk can be told");
    }

    /// Sets whether the disk is full: no file may grow.
    ///
    /// # Panics
    /// If the flag cannot be changed, for example if it is cleared twice.
    pub fn full(&self, is_full: bool) {
        self.tell("full", is_full);
    }

    /// Sets whether every fsync fails.
    ///
    /// # Panics
    /// If the flag cannot be changed, for example if it is cleared twice.
    pub fn broken(&self, is_broken: bool) {
        self.tell("broken", is_broken);
    }

    /// Makes an fsync of these files succeed without effect, as with `synchronous=OFF`. Takes effect at the next start
    /// of a server.
    ///
    /// # Panics
    /// If the list cannot be written.
    pub fn lies_about(&self, names: &[&str]) {
        std::fs::write(self.state.path().join("lying"), names.join("\n")).expect("the disk can be told");
    }

    /// Reverts every file to its last fsync, the worst case of a power cut. Deletes files that were never synced. No
    /// server may be running.
    ///
    /// # Panics
    /// If a file cannot be reverted.
    pub fn cut_power(&self) {
        for entry in std::fs::read_dir(&self.folder).expect("the data folder") {
            let entry = entry.expect("the data folder");
            let synced = self.state.path().join("synced").join(entry.file_name());
            if synced.exists() {
                std::fs::copy(&synced, entry.path()).expect("the file is put back");
            } else {
                std::fs::remove_file(entry.path()).expect("the file goes");
            }
        }
    }
}
