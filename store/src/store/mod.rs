//! The storage interface, by role.

mod alerting;
mod loading;
mod maintenance;
mod reports;
mod sites;
mod transfer;

pub use alerting::Alerting;
pub use loading::Loading;
pub use maintenance::Maintenance;
pub use reports::Reports;
pub use sites::Sites;
pub use transfer::Transfer;

use async_trait::async_trait;

/// Stores sites, page views and their rollups: all roles of a store.
#[async_trait]
pub trait Store: Sites + Loading + Reports + Alerting + Maintenance + Transfer {
    /// Waits for running operations, then closes all connections; later calls fail. An embedded store is a single
    /// file afterwards. The caller sets the timeout.
    async fn close(&self);
}
