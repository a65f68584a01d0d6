//! A disk that is full, fails, lies, or loses power: `disk.c`, preloaded into the server.

use crate::server::Launch;
use std::path::{Path, PathBuf};
use std::process::Command;
use tempfile::TempDir;

/// The disk of one data folder.
pub struct Disk {
    /// With the library in it.
    state: TempDir,
    folder: PathBuf,
}

impl Disk {
    /// A sound one under a folder that is there.
    ///
    /// # Panics
    /// Where it cannot be made.
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

    /// A server started this way has its data on this disk.
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

    /// Whether no file may grow.
    ///
    /// # Panics
    /// Where it was so already.
    pub fn full(&self, is_full: bool) {
        self.tell("full", is_full);
    }

    /// Whether no fsync succeeds.
    ///
    /// # Panics
    /// Where it was so already.
    pub fn broken(&self, is_broken: bool) {
        self.tell("broken", is_broken);
    }

    /// From the next start of a server on, an fsync of these files succeeds and keeps nothing: what
    /// `synchronous=OFF` comes to.
    ///
    /// # Panics
    /// Where the disk cannot be told.
    pub fn lies_about(&self, names: &[&str]) {
        std::fs::write(self.state.path().join("lying"), names.join("\n")).expect("the disk can be told");
    }

    /// Puts every file back to its last fsync, as a power cut does at worst. No server may run.
    ///
    /// # Panics
    /// Where a file cannot be put back.
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
