//! What the store needs done now and then: rollup deltas folded, old data removed.

use fieldvitals_store::{Maintained, Retention, Store};
use std::sync::Arc;
use std::time::Duration;

/// Time between two rounds.
const INTERVAL: Duration = Duration::from_secs(60);

/// Runs rounds of maintenance for as long as it is polled.
pub async fn run(store: Arc<dyn Store>) {
    let retention = Retention::default();
    loop {
        match store.maintain(crate::http::now_ms(), retention).await {
            Ok(done) if done == Maintained::default() => {}
            Ok(done) => tracing::info!(
                deltas_folded = done.deltas_folded,
                views_removed = done.views_removed,
                cells_removed = done.cells_removed,
                "maintenance"
            ),
            Err(error) => tracing::warn!(%error, "maintenance failed; it is tried again"),
        }
        tokio::time::sleep(INTERVAL).await;
    }
}
