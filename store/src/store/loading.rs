//! Loads the page views of beacons, each once.

use crate::{LoadBatch, LoadReport, SiteId, SpoolId, StoreError};
use async_trait::async_trait;

/// Loads the page views of beacons, each once.
#[async_trait]
pub trait Loading: Send + Sync {
    /// Returns a site's load cursor in a spool: the last position whose beacons are in the store; 0 if none is.
    async fn cursor(&self, site: SiteId, spool: SpoolId) -> Result<u64, StoreError>;

    /// Returns the furthest cursor of any site in a spool. The server detects a spool that is older than the store by
    /// it.
    async fn cursor_max(&self, spool: SpoolId) -> Result<u64, StoreError>;

    /// Deletes the cursors of a spool epoch that is fully loaded and deleted.
    async fn cursors_forget(&self, spool: SpoolId) -> Result<(), StoreError>;

    /// Loads the batches of a pass: page views, rollup corrections and cursors of all its sites, in one transaction.
    /// Each site occurs at most once. Returns the outcome of each batch, in order.
    ///
    /// Loading is idempotent: an update changes nothing if the store has the same or newer data. An update of a view
    /// past retention changes nothing either.
    ///
    /// A batch fails alone with [`StoreError::CursorMoved`] if its cursor is not at `after`, and with
    /// [`StoreError::NoSuchSite`] if its site was deleted; the others are loaded. A store on several nodes may use more
    /// transactions, so other errors can be of one batch too.
    ///
    /// # Errors
    /// If the pass failed as a whole: [`StoreError::TooSlow`] on timeout; other errors may be the fault of one batch.
    /// A failed pass changes nothing.
    async fn load_pass(
        &self,
        pass: Vec<LoadBatch>,
    ) -> Result<Vec<Result<LoadReport, StoreError>>, StoreError>;

    /// Loads a batch: [`Loading::load_pass`] of it alone.
    ///
    /// # Errors
    /// The error of the batch or of the pass.
    async fn load(&self, batch: LoadBatch) -> Result<LoadReport, StoreError> {
        // A pass has an outcome for each batch.
        self.load_pass(vec![batch]).await?.pop().unwrap_or(Err(StoreError::NoSuchSite))
    }
}
