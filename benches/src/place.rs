//! Where benches keep what they make: under `target/bench`.

use anyhow::{Context as _, Result};
use std::path::{Path, PathBuf};

/// The folder of the benches, which is made.
pub(crate) fn folder() -> Result<PathBuf> {
    let target = match std::env::var_os("FIELDVITALS_BENCH_DIR") {
        Some(dir) => PathBuf::from(dir),
        // Beside the binary's own folder: target/release/fieldvitals-bench.
        None => std::env::current_exe()?
            .parent()
            .and_then(Path::parent)
            .context("the bench is run from cargo's target folder")?
            .join("bench"),
    };
    std::fs::create_dir_all(&target).with_context(|| format!("{} cannot be made", target.display()))?;
    Ok(target)
}

/// An empty folder there, what was in it removed.
pub(crate) fn empty(name: &str) -> Result<PathBuf> {
    let dir = folder()?.join(name);
    if dir.exists() {
        std::fs::remove_dir_all(&dir).with_context(|| format!("{} cannot be emptied", dir.display()))?;
    }
    std::fs::create_dir_all(&dir)?;
    Ok(dir)
}
