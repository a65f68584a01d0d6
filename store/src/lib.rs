//! Defines the storage interface: the trait [`Store`], its row types, and the merging of page view updates.
//!
//! A method answers a whole batch or query, not a row. Each backend is a crate of its own that holds all of its SQL;
//! callers of this trait do not know the backend. All other logic is here, as pure functions that every backend
//! calls: [`load`] computes the changes of a batch; [`rollup`] encodes cells and plans the reads of a query.

mod alert;
mod audit;
mod budgets;
mod cell;
mod class_views;
mod columns;
#[cfg(feature = "conformance")]
pub mod conformance;
pub mod context;
pub mod copy;
mod deploy_mark;
pub mod diagnosis;
mod digest;
pub mod dimension;
mod erase;
mod filter;
pub mod hash;
pub mod limits;
pub mod load;
mod maintenance;
pub mod names;
mod place;
pub mod places;
pub mod priority;
pub mod private;
mod retention_edges;
pub mod rollup;
pub mod route_groups;
pub mod scan;
pub mod schema;
mod series;
mod site;
mod store;
mod strata;
mod tally;
pub mod urls;
pub mod version;
mod view;
mod violation;
mod weight;

pub use alert::{Alert, AlertChange, AlertEvent, NewAlert, Notice};
pub use audit::AuditEntry;
pub use budgets::{AppliedBudgets, NewBudgets};
pub use cell::{Cell, CellQuery, PeriodRows, RouteCell, Selection, Total, ValueCell, Views};
pub use class_views::{ClassViewsBuilder, ClassViewsQuery};
pub use context::causes::{AttributionMetric, Cause, CauseQuery, Causes};
pub use context::engagement::{Engaged, Engagement, EngagementQuery};
pub use context::property::{ContextFilter, ContextProperty};
pub use context::said::Said;
pub use context::samples::{Around, SampleQuery, Samples};
pub use context::{Context, Detail};
pub use copy::{RollupGroup, RollupKey, SiteSize};
pub use deploy_mark::DeployMark;
pub use digest::Digest;
pub use dimension::Dimension;
pub use erase::{Erase, Erased};
pub use filter::{Filters, GroupBy};
pub use load::Reroute;
pub use maintenance::{FailedPart, MaintenancePart, MaintenanceRound, MaintenanceSummary, groups_to_fold};
pub use place::{Name, Network, Overflow, Place, Senders, Standing};
pub use retention_edges::RetentionEdges;
pub use route_groups::RouteGroups;
pub use scan::{Sample, ScanQuery};
pub use series::{Lines, SeriesQuery, StepCells};
pub use site::{NewSite, NewToken, Scope, Site, SiteId, SiteKey, Token, TokenId};
pub use store::{Alerting, Loading, Maintenance, Reports, Sites, Store, Transfer};
pub use strata::{StrataQuery, StrataSums, Stratum};
pub use tally::{Tally, TallyBuilder, TallyQuery};
pub use urls::{UrlCount, UrlCounts};
pub use version::Version;
pub use view::{Source, StoredView, ViewUpdate, pack_times, pack_url, unpack_times, unpack_url};
pub use violation::{Judgement, Violation};
pub use weight::{Weight, estimate};

use serde::{Deserialize, Serialize};

/// The error of a store operation.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// A site of this name already exists.
    #[error("a site named `{0}` exists already")]
    SiteExists(String),
    /// The site does not exist; it may have been deleted.
    #[error("there is no such site")]
    NoSuchSite,
    /// The token does not exist.
    #[error("there is no such token")]
    NoSuchToken,
    /// The cursor differs from the caller's expectation because another loader moved it. The caller must read the
    /// cursor again.
    #[error("the load cursor of this spool is at {at}, not at {expected}")]
    CursorMoved {
        /// The stored cursor.
        at: u64,
        /// The caller's cursor.
        expected: u64,
    },
    /// The query would read more page views than the limit.
    #[error(
        "the question would read {views} page views, more than {max}: rollups hold one dimension at a time, and \
         no attribution; ask for a shorter time, one route, or fewer filters"
    )]
    TooManyViews {
        /// Page views in the query's range.
        views: u64,
        /// The limit.
        max: u64,
    },
    /// The operation timed out; a smaller one may succeed.
    #[error("{what}: {reason}")]
    TooSlow {
        /// The failed operation.
        what: &'static str,
        /// The error message of the database.
        reason: String,
        /// Whether the database is known to answer: it canceled the statement, or only a node of it is silent. If not, the
        /// database may be unreachable.
        answered: bool,
    },
    /// A database node that holds the rows of some sites is unreachable or refuses the operation. Other sites are on
    /// other nodes.
    #[error("{what}: {reason}")]
    Node {
        /// The failed operation.
        what: &'static str,
        /// The error message of the database.
        reason: String,
    },
    /// The store was written by a newer fieldvitals.
    #[error(
        "the store has schema version {found}, this fieldvitals knows up to {known}; install the newer release that wrote it"
    )]
    NewerSchema {
        /// Version found.
        found: i64,
        /// The newest version that this release supports.
        known: i64,
    },
    /// The database cannot be opened or reached, or it refused the operation.
    #[error("{what}: {reason}")]
    Database {
        /// The failed operation.
        what: &'static str,
        /// The error message of the database.
        reason: String,
        /// Whether a retry can help (busy, unreachable). `false` means a fault in the data.
        transient: bool,
    },
}

impl StoreError {
    /// Whether the store is unreachable: every query and load fails until the store is back.
    #[must_use]
    pub const fn is_away(&self) -> bool {
        matches!(self, Self::Database { transient: true, .. } | Self::TooSlow { answered: false, .. })
    }
}

/// Identifies one epoch of one spool file. Every start of a server creates a new one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct SpoolId(pub [u8; 16]);

/// The beacons of one site from one spool epoch, loaded in the transaction that moves the site's cursor.
#[derive(Clone, Debug)]
pub struct LoadBatch {
    /// The site.
    pub site: SiteId,
    /// The spool epoch of the beacons.
    pub spool: SpoolId,
    /// The cursor before the load: the last spool position of this site in the store (0: none).
    pub after: u64,
    /// The cursor after the load: the last spool position in this batch.
    pub up_to: u64,
    /// The page view updates of each beacon, in spool order.
    pub beacons: Vec<Vec<ViewUpdate>>,
    /// The client networks of the beacons.
    pub senders: Senders,
}

/// Counts the beacons of a batch by outcome, each beacon once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LoadReport {
    /// Beacons with at least one update that changed a page view.
    pub loaded: u64,
    /// Beacons without any change: the store already has the same or newer data.
    pub superseded: u64,
    /// Updates whose name was counted under `(other)`.
    pub overflow: Overflow,
}

/// Retention, in days.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retention {
    /// Page views.
    pub raw_days: u32,
    /// Hourly rollups.
    pub hourly_days: u32,
    /// Daily rollups; at least as long as the others. They tell which names page views still use.
    pub daily_days: u32,
}

impl Default for Retention {
    fn default() -> Self {
        Self { raw_days: 30, hourly_days: 14, daily_days: 762 }
    }
}

/// The result of rebuilding the rollups of a day.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rebuilt {
    /// Page views counted.
    pub views: u64,
    /// Rollup rows written.
    pub rows: u64,
}
