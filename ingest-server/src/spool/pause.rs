//! Waiting after failures.

use fieldvitals_store::StoreError;
use std::time::Duration;

/// The first pause after a failure; each further one is twice as long, up to the bound.
pub(super) const PAUSE_FIRST: Duration = Duration::from_millis(50);

/// The pauses between failed tries, and what is said about them.
pub(super) struct Pause {
    next: Duration,
    longest: Duration,
    /// What was last said.
    failure: Option<String>,
}

impl Pause {
    pub(super) fn new(longest: Duration) -> Self {
        Self { next: PAUSE_FIRST, longest, failure: None }
    }

    /// Waits after a failure. The same failure is said once.
    pub(super) async fn after(&mut self, error: &StoreError) {
        if matches!(error, StoreError::CursorMoved { .. }) {
            // Another loader was here: no failure, the cursor is read again at once.
            return;
        }
        let failure = error.to_string();
        if self.failure.as_ref() != Some(&failure) {
            tracing::warn!(error = failure, "beacons wait in the spool until the store takes them");
            self.failure = Some(failure);
        }
        tokio::time::sleep(self.next).await;
        self.next = self.next.saturating_mul(2).min(self.longest);
    }

    pub(super) fn over(&mut self) {
        if self.failure.take().is_some() {
            tracing::info!("the store takes beacons again");
        }
        self.next = PAUSE_FIRST.min(self.longest);
    }
}
