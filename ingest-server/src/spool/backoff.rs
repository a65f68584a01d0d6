//! Back-off after failed loads.

use super::{Shared, Trouble};
use crate::clock::now_ms;
use fieldvitals_store::StoreError;
use std::sync::Arc;
use std::time::Duration;

/// The first back-off after a failure. Each failure doubles the back-off, up to the bound.
pub(super) const BACKOFF_FIRST: Duration = Duration::from_millis(50);

/// The back-off between retries, and its log messages.
pub(super) struct Backoff {
    next: Duration,
    /// Publishes the error that stalls loading.
    shared: Arc<Shared>,
}

impl Backoff {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self { next: BACKOFF_FIRST, shared }
    }

    /// Waits after a failure. Logs a repeated failure only once.
    pub(super) async fn after(&mut self, error: &StoreError) {
        self.note(error.to_string());
        tokio::time::sleep(self.next).await;
        self.next = self.next.saturating_mul(2).min(self.shared.bounds.retry);
    }

    fn note(&self, error: String) {
        let mut stalled = self.shared.stalled();
        let since_ms = match stalled.as_ref() {
            Some(known) if known.error == error => return,
            Some(known) => known.since_ms,
            None => now_ms(),
        };
        tracing::warn!(error, "beacons wait in the spool until the store takes them");
        *stalled = Some(Trouble { since_ms, error });
    }

    pub(super) fn over(&mut self) {
        if self.shared.stalled().take().is_some() {
            tracing::info!("the store takes beacons again");
        }
        self.next = BACKOFF_FIRST.min(self.shared.bounds.retry);
    }
}
