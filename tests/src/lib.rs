//! Shared parts of the end-to-end tests: a real server process, a real browser, and waiting for conditions.

pub mod apps;
pub mod attack;
pub mod authority;
pub mod beacon;
pub mod browser;
pub mod chaos;
pub mod clients;
pub mod clock;
pub mod disk;
pub mod duckdb;
pub mod engines;
pub mod filled;
pub mod load;
pub mod month;
pub mod proxy;
pub mod receiver;
pub mod scenarios;
pub mod server;
pub mod shop;
pub mod trace;

use std::time::{Duration, Instant};

/// Timeout of a wait for a condition.
const PATIENCE: Duration = Duration::from_secs(30);

/// Retries `attempt` until it succeeds, and returns its result.
///
/// # Panics
/// Panics with the last error after 30 s.
pub async fn eventually<T, F: Future<Output = Result<T, String>>>(attempt: impl FnMut() -> F) -> T {
    eventually_within(PATIENCE, attempt).await
}

/// Like [`eventually`], with another timeout.
///
/// # Panics
/// Panics with the last error after the timeout.
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
