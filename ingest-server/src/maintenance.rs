//! What the store needs done now and then: rollup deltas folded, old data removed.

use crate::clock::{Clock, Jump};
use crate::http::now_ms;
use fieldvitals_store::{Maintained, Retention, Store};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Time between two rounds.
const INTERVAL: Duration = Duration::from_secs(60);
/// Time between two looks at the clock.
const LOOK: Duration = Duration::from_secs(1);
/// Removes nothing.
const KEEP_EVERYTHING: Retention =
    Retention { raw_days: u32::MAX, hourly_days: u32::MAX, daily_days: u32::MAX };

/// Runs rounds of maintenance for as long as it is polled.
pub async fn run(store: Arc<dyn Store>) {
    let mut clock = Clock::new(Instant::now(), now_ms());
    loop {
        let retention = if clock.is_trusted() { Retention::default() } else { KEEP_EVERYTHING };
        match store.maintain(now_ms(), retention).await {
            Ok(done) if done == Maintained::default() => {}
            Ok(done) => tracing::info!(
                deltas_folded = done.deltas_folded,
                views_removed = done.views_removed,
                cells_removed = done.cells_removed,
                "maintenance"
            ),
            Err(error) => tracing::warn!(%error, "maintenance failed; it is tried again"),
        }
        wait(&mut clock).await;
    }
}

/// Waits for the next round. A jump of the clock brings it at once: edges of what is kept that lie in the
/// future would have the store take page views for old.
async fn wait(clock: &mut Clock) {
    let began = Instant::now();
    while began.elapsed() < INTERVAL {
        tokio::time::sleep(LOOK).await;
        match clock.look(Instant::now(), now_ms()) {
            None => {}
            Some(Jump::Forward(by_ms)) => {
                return tracing::error!(by_ms, "the clock jumped forward; nothing is removed for an hour");
            }
            Some(Jump::Back(by_ms)) => return tracing::warn!(by_ms, "the clock jumped back"),
        }
    }
}
