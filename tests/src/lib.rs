//! What the end-to-end tests share: a real server process, a real browser, and waiting for conditions.

pub mod attack;
pub mod beacon;
pub mod browser;
pub mod chaos;
pub mod disk;
pub mod engines;
pub mod filled;
pub mod load;
pub mod proxy;
pub mod scenarios;
pub mod server;
pub mod trace;

use std::time::{Duration, Instant};

/// Longest time that a condition is waited for.
const PATIENCE: Duration = Duration::from_secs(30);

/// Waits until `attempt` gives something, and gives it; fails with the last reason when it never does.
///
/// # Panics
/// After half a minute.
pub async fn eventually<T, F: Future<Output = Result<T, String>>>(attempt: impl FnMut() -> F) -> T {
    eventually_within(PATIENCE, attempt).await
}

/// [`eventually`], for what may take longer.
///
/// # Panics
/// After so long.
pub async fn eventually_within<T, F: Future<Output = Result<T, String>>>(
    patience: Duration,
    mut attempt: impl FnMut() -> F,
) -> T {
    let start = Instant::now();
    loop {
        match attempt().await {
            Ok(value) => return value,
            Err(reason) => assert!(start.elapsed() < patience, "waited for {patience:?}: {reason}"),
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
