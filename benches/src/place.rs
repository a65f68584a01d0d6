//! Working folders of the benches, under `target/bench`.

use anyhow::{Context as _, Result};
use std::path::{Path, PathBuf};

/// Creates and returns the folder of the benches: `FIELDVITALS_BENCH_DIR` or `target/bench`.
pub(crate) fn folder() -> Result<PathBuf> {
    let target = match std::env::var_os("FIELDVITALS_BENCH_DIR") {
        Some(dir) => PathBuf::from(dir),
        // Two levels above the binary: target/release/fieldvitals-bench.
        None => std::env::current_exe()?
            .parent()
            .and_then(Path::parent)
            .context("the bench is run from cargo's target folder")?
            .join("bench"),
    };
    std::fs::create_dir_all(&target).with_context(|| format!("{} cannot be made", target.display()))?;
    Ok(target)
}

/// Creates an empty subfolder, deleting an existing one of that name.
pub(crate) fn empty(name: &str) -> Result<PathBuf> {
    let dir = folder()?.join(name);
    if dir.exists() {
        std::fs::remove_dir_all(&dir).with_context(|| format!("{} cannot be emptied", dir.display()))?;
    }
    std::fs::create_dir_all(&dir)?;
    Ok(dir)
}
