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
pub use cell::{Cell, CellQuery, PeriodRows, RouteCell, Total, ValueCell, Views};
pub use class_views::{ClassViewsBuilder, ClassViewsQuery};
pub use context::causes::{AttributionMetric, Cause, CauseQuery, Causes};
pub use context::engagement::{Engaged, Engagement, EngagementQuery};
pub use context::property::{ContextFilter, ContextProperty};
pub use context::said::Said;
pub use context::samples::{Around, SampleQuery, Samples};
pub use context::{Context, Detail};
pub use copy::{RollupGroup, RollupKey, SiteSize};
pub use deploy_mark::DeployMark;
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
pub use strata::{StrataQuery, StrataSums, Stratum};
pub use tally::{Tally, TallyBuilder, TallyQuery};
pub use urls::{UrlCount, UrlCounts};
pub use version::Version;
pub use view::{Source, StoredView, ViewUpdate, pack_times, pack_url, unpack_times, unpack_url};
pub use violation::{Judgement, Violation};
pub use weight::{Weight, estimate};

use async_trait::async_trait;
use context::causes::Explaining;
use context::engagement::Counting;
use context::samples::Sorting;
use context::split::Splitting;
use context::texts::TextKind;
use rollup::Difference;
use scan::{Gather, Scanned};
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
        /// Whether the database canceled the statement. If not, the database did not answer and may be unreachable.
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

/// Stores sites, page views and their rollups.
#[async_trait]
pub trait Store: Send + Sync {
    /// Creates the first site and the first token, if missing, in one transaction. If servers start together, one of
    /// them creates each; the others find it.
    async fn first_start(
        &self,
        site: NewSite,
        token: NewToken,
    ) -> Result<(Option<Site>, Option<Token>), StoreError>;
    /// Adds a site with one key.
    async fn site_add(&self, site: NewSite) -> Result<Site, StoreError>;
    /// All sites with their keys, by name.
    async fn sites(&self) -> Result<Vec<Site>, StoreError>;
    /// Replaces a site's name, allowed origins and route rules. Keeps its keys.
    async fn site_update(
        &self,
        site: SiteId,
        name: &str,
        origins: &[String],
        routes: &[String],
    ) -> Result<Site, StoreError>;
    /// Sets a site's time zone, an IANA name that the caller has checked.
    ///
    /// # Errors
    /// [`StoreError::NoSuchSite`] if the site does not exist.
    async fn site_timezone(&self, site: SiteId, timezone: &str) -> Result<Site, StoreError>;
    /// Replaces a site's route groups if they are still `before`. Returns the site: with other groups than `after` if
    /// somebody changed them meanwhile.
    ///
    /// # Errors
    /// [`StoreError::NoSuchSite`] if the site does not exist.
    async fn site_route_groups(
        &self,
        site: SiteId,
        before: &RouteGroups,
        after: &RouteGroups,
    ) -> Result<Site, StoreError>;
    /// Adds a new key to a site. Its other keys stay valid until `old_until_ms` or their own expiry, whichever is
    /// earlier.
    async fn site_rotate_key(
        &self,
        site: SiteId,
        new_key: &str,
        now_ms: i64,
        old_until_ms: i64,
    ) -> Result<Site, StoreError>;
    /// Deletes a site and all of its data.
    async fn site_delete(&self, site: SiteId) -> Result<(), StoreError>;

    /// Adds a token, identified by the hash of its secret.
    async fn token_add(&self, token: NewToken) -> Result<Token, StoreError>;
    /// All tokens, oldest first.
    async fn tokens(&self) -> Result<Vec<Token>, StoreError>;
    /// Removes a token.
    async fn token_revoke(&self, token: TokenId) -> Result<(), StoreError>;

    /// Adds an entry to the audit log. Beyond [`limits::AUDIT_ENTRIES_MAX`], the oldest entries are dropped.
    async fn audit_add(&self, entry: &AuditEntry) -> Result<(), StoreError>;
    /// Returns entries of the audit log with their numbers, newest first: at most `limit` before a number.
    async fn audit(&self, before: Option<i64>, limit: u32) -> Result<Vec<(i64, AuditEntry)>, StoreError>;

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
    /// Loads a batch: [`Store::load_pass`] of it alone.
    ///
    /// # Errors
    /// The error of the batch or of the pass.
    async fn load(&self, batch: LoadBatch) -> Result<LoadReport, StoreError> {
        // A pass has an outcome for each batch.
        self.load_pass(vec![batch]).await?.pop().unwrap_or(Err(StoreError::NoSuchSite))
    }

    /// Returns the version of a site's data, in one short read. An answer that is read later is at least as new.
    async fn version(&self, site: SiteId) -> Result<Version, StoreError>;
    /// Returns the routes with page views that start in the range (UTC milliseconds, end excluded), sorted.
    async fn routes(&self, site: SiteId, from_ms: i64, to_ms: i64) -> Result<Vec<String>, StoreError>;
    /// Returns all routes of a site, of page views and of rollups, sorted.
    async fn route_names(&self, site: SiteId) -> Result<Vec<String>, StoreError>;
    /// Returns one cell per route, sorted by route. Omits routes without page views.
    ///
    /// Queries of one dimension are answered from rollups, which equal a recomputation from page views; the range is
    /// rounded outwards to whole minutes. [`rollup::Plan`] documents how a part of a day or an hour is counted, and when
    /// the period grows to whole hours or days. Several filters and [`CellQuery::exact`] are answered from page views, to the
    /// millisecond.
    ///
    /// # Errors
    /// [`StoreError::TooManyViews`] if the query would read too many page views.
    async fn cells(&self, query: &CellQuery) -> Result<PeriodRows<RouteCell>, StoreError>;
    /// Returns one cell over all routes, or of the filtered one. Answers from rollups or page views as
    /// [`Store::cells`] does; the rollups of the whole site make it cheaper than the sum of the routes.
    ///
    /// # Errors
    /// Those of [`Store::cells`].
    async fn total(&self, query: &CellQuery) -> Result<Total, StoreError>;
    /// Returns one cell per value of a dimension or of a column that only page views have, over all routes or the
    /// filtered one. Cells with most page views come first, equal ones sorted by value, the unknown value last.
    /// Answers from rollups or page views as [`Store::cells`] does.
    ///
    /// # Errors
    /// Those of [`Store::cells`].
    async fn breakdown(&self, query: &CellQuery, by: GroupBy) -> Result<PeriodRows<ValueCell>, StoreError>;
    /// Returns the cells of each step of a series, as [`Store::total`] of each step would, or as [`Store::breakdown`] with
    /// the values that have no line joined. Reads the rows of all steps together.
    ///
    /// # Errors
    /// Those of [`Store::cells`]. [`StoreError::TooManyViews`] also if all steps together would read too many page views.
    async fn series(&self, query: &SeriesQuery) -> Result<Vec<StepCells>, StoreError>;
    /// Passes the page views of a query to `gather`, in any order, from one state of the store. [`scan`] documents
    /// the bound.
    ///
    /// # Errors
    /// [`StoreError::TooManyViews`] if the query takes no sample and would read too many page views.
    async fn scan(&self, query: &ScanQuery, gather: &mut dyn Gather) -> Result<Scanned, StoreError>;
    /// Returns one cell per value of a context's property, as [`Store::breakdown`] does, from page views.
    ///
    /// # Errors
    /// Those of [`Store::scan`].
    async fn split(
        &self,
        query: &CellQuery,
        property: &ContextProperty,
    ) -> Result<PeriodRows<ValueCell>, StoreError> {
        let mut splitting = Splitting::new(property, query.metrics);
        let query = ScanQuery { views: query.clone(), views_max: None };
        let scanned = self.scan(&query, &mut splitting).await?;
        Ok(splitting.finish(scanned))
    }
    /// Returns the causes of a metric's values and the other attributes that rollups lack, from page views.
    ///
    /// # Errors
    /// Those of [`Store::scan`].
    async fn causes(&self, query: &CauseQuery) -> Result<Causes, StoreError> {
        let mut explaining = Explaining::new(query);
        let query = ScanQuery { views: query.views.clone(), views_max: Some(query.views_max) };
        let scanned = self.scan(&query, &mut explaining).await?;
        Ok(explaining.finish(scanned))
    }
    /// Returns page views near a percentile of a metric, or the slowest ones.
    ///
    /// # Errors
    /// Those of [`Store::scan`].
    async fn samples(&self, query: &SampleQuery) -> Result<Samples, StoreError> {
        let mut sorting = Sorting::new(query);
        let scan = ScanQuery { views: query.views.clone(), views_max: Some(query.views_max) };
        let scanned = self.scan(&scan, &mut sorting).await?;
        let (samples, ids) = sorting.finish(scanned);
        // Loads between the two reads may have erased or replaced page views.
        let found = self.views_of(query.views.site, &ids).await?;
        Ok(Samples { found, ..samples })
    }
    /// Counts interactions, engaged visitors and marks by buckets of a metric.
    ///
    /// # Errors
    /// Those of [`Store::scan`].
    async fn engagement(&self, query: &EngagementQuery) -> Result<Engagement, StoreError> {
        let mut counting = Counting::new(query);
        let scan = ScanQuery { views: query.views.clone(), views_max: Some(query.views_max) };
        let scanned = self.scan(&scan, &mut counting).await?;
        Ok(counting.finish(scanned))
    }
    /// Lists tags, marks and `Server-Timing` entries of a site, from a sample of its page views in a period (UTC
    /// milliseconds).
    ///
    /// # Errors
    /// Those of [`Store::scan`].
    async fn said(&self, site: SiteId, period: std::ops::Range<i64>) -> Result<Said, StoreError> {
        let (views, mut said) = (CellQuery::new(site, period.start, period.end), Said::default());
        let query = ScanQuery { views, views_max: Some(limits::SAID_VIEWS_MAX) };
        self.scan(&query, &mut said).await?;
        Ok(said)
    }
    /// Returns the labels of a site in a dimension, sorted; empty for dimensions without text values.
    async fn labels(&self, site: SiteId, dimension: Dimension) -> Result<Vec<String>, StoreError>;
    /// Returns the distinct texts of a kind in the contexts of a site's page views, sorted. May include texts of erased
    /// page views.
    async fn texts(&self, site: SiteId, kind: TextKind) -> Result<Vec<String>, StoreError>;
    /// Counts the page views of a period (UTC milliseconds) by URL and route, of a sample if there are more than
    /// [`limits::SAMPLE_VIEWS_MAX`].
    async fn urls(&self, site: SiteId, period: std::ops::Range<i64>) -> Result<UrlCounts, StoreError>;
    /// Gives stored page views other routes, and moves their counts in the rollups, in one transaction. Skips a page
    /// view whose route is not the expected one. A route without a place becomes [`dimension::OTHER`]. Returns the
    /// number of changed page views.
    ///
    /// # Errors
    /// [`StoreError::NoSuchSite`] if the site was deleted.
    async fn reroute(&self, site: SiteId, moves: Vec<Reroute>) -> Result<u64, StoreError>;
    /// Returns the page views of some ranges by class, sorted by class, from stored page views.
    ///
    /// # Errors
    /// [`StoreError::TooManyViews`] if the ranges hold more than [`limits::STRATA_VIEWS_MAX`] page views that match.
    async fn strata(&self, query: &StrataQuery) -> Result<Vec<Stratum>, StoreError>;
    /// Returns the values of a metric by class, sorted by class, time and size, from page views.
    ///
    /// # Errors
    /// [`StoreError::TooManyViews`] if more than [`limits::SORT_VIEWS_MAX`] page views match.
    async fn class_views(&self, query: &ClassViewsQuery)
    -> Result<Vec<vitals::gate::ClassViews>, StoreError>;
    /// Counts the page views within a value, in total and by half hours, and returns their values, from page views.
    async fn tally(&self, query: &TallyQuery) -> Result<Tally, StoreError>;
    /// One page view.
    async fn view(&self, site: SiteId, id: vitals::view::ViewId) -> Result<Option<StoredView>, StoreError>;

    /// Returns the stored page views with these ids, in the order of the ids.
    async fn views_of(
        &self,
        site: SiteId,
        ids: &[vitals::view::ViewId],
    ) -> Result<Vec<StoredView>, StoreError>;
    /// Marks deploys of releases; a new mark of a release replaces the old one. Beyond
    /// [`limits::DEPLOY_MARKS_PER_SITE_MAX`], the oldest marks are dropped.
    ///
    /// # Errors
    /// [`StoreError::NoSuchSite`] if the site does not exist.
    async fn deploy_marks_put(&self, site: SiteId, marks: &[DeployMark]) -> Result<(), StoreError>;
    /// Returns a site's deploy marks, the latest first.
    async fn deploy_marks(&self, site: SiteId) -> Result<Vec<DeployMark>, StoreError>;

    /// Records judged budgets. A broken budget opens its violation or renews the open one; a kept budget resolves the
    /// violation; an undecided budget leaves it unchanged.
    async fn judgements(&self, site: SiteId, now_ms: i64, judgements: &[Judgement])
    -> Result<(), StoreError>;
    /// Dismisses an open violation. Returns `false` if there is no open violation of this id.
    async fn violation_dismiss(
        &self,
        site: SiteId,
        id: i64,
        now_ms: i64,
        by: &str,
    ) -> Result<bool, StoreError>;
    /// Returns violations, open ones before dismissed ones before resolved ones, each newest first; skips `skip` and returns
    /// at most `limit`.
    async fn violations(
        &self,
        site: SiteId,
        open_only: bool,
        skip: u32,
        limit: u32,
    ) -> Result<Vec<Violation>, StoreError>;

    /// Keeps a budget file as the newest version of a site's budgets, and its routes as those with reserved places. Returns
    /// the newest version if it has the same text. Drops versions before the last [`limits::BUDGET_VERSIONS_MAX`].
    ///
    /// # Errors
    /// [`StoreError::NoSuchSite`] if the site does not exist.
    async fn budgets_put(&self, site: SiteId, budgets: &NewBudgets) -> Result<AppliedBudgets, StoreError>;
    /// Returns a version of a site's budgets, or the newest.
    async fn budgets(&self, site: SiteId, version: Option<i64>)
    -> Result<Option<AppliedBudgets>, StoreError>;
    /// Returns the versions of a site's budgets without their texts, the newest first.
    async fn budget_versions(&self, site: SiteId) -> Result<Vec<AppliedBudgets>, StoreError>;
    /// Returns the state that the server keeps about a site's standing budgets.
    async fn standing(&self, site: SiteId) -> Result<Option<String>, StoreError>;
    /// Replaces that state.
    ///
    /// # Errors
    /// [`StoreError::NoSuchSite`] if the site does not exist.
    async fn standing_put(&self, site: SiteId, state: &str) -> Result<(), StoreError>;

    /// Takes or renews the lease of a task for some time, so that one of several servers does it. Returns whether `holder`
    /// has it. A store without a clock of its own uses `now_ms`.
    async fn lease(&self, task: &str, holder: [u8; 16], now_ms: i64, for_ms: i64)
    -> Result<bool, StoreError>;
    /// Opens an alert, with notices to channels that are due at some time each. Returns its id; `None` if its key has an
    /// open alert, or had one for the same start. Drops resolved alerts before the last [`limits::ALERTS_PER_SITE_MAX`].
    ///
    /// # Errors
    /// [`StoreError::NoSuchSite`] if the site does not exist.
    async fn alert_open(
        &self,
        site: SiteId,
        now_ms: i64,
        alert: &NewAlert,
        notices: &[(String, i64)],
    ) -> Result<Option<i64>, StoreError>;
    /// Changes an open alert. Returns `false` if there is no open alert of this id.
    ///
    /// Acknowledging ends reminders. Snoozing moves the notices to its end. Resolving makes notices of the end due at once,
    /// and drops those of the start that were never tried. Raising changes an open warning only.
    async fn alert_change(
        &self,
        site: SiteId,
        id: i64,
        now_ms: i64,
        change: &AlertChange,
    ) -> Result<bool, StoreError>;
    /// Returns alerts with their notices, open ones before resolved ones, each newest first; skips `skip` and returns at
    /// most `limit`.
    async fn alerts(
        &self,
        site: SiteId,
        open_only: bool,
        skip: u32,
        limit: u32,
    ) -> Result<Vec<Alert>, StoreError>;
    /// Returns the alert of a site with this id.
    async fn alert(&self, site: SiteId, id: i64) -> Result<Option<Alert>, StoreError>;
    /// Returns the notices of all sites that are due, with the site and the alert of each; those due longest first.
    async fn notices_due(&self, now_ms: i64, limit: u32) -> Result<Vec<(SiteId, i64, Notice)>, StoreError>;
    /// Records an attempt to deliver a notice, unless its event has changed since.
    async fn notice_tried(&self, site: SiteId, alert: i64, notice: &Notice) -> Result<(), StoreError>;

    /// Folds rollup deltas and deletes data past retention, in short steps that never block loading. A failure of one
    /// site or day does not stop the others, and is reported with the result.
    async fn maintain(&self, now_ms: i64, retention: Retention) -> Result<MaintenanceSummary, StoreError>;
    /// Whether [`Store::maintain`] also reads the store's own clock, and deletes only data that is past retention by
    /// both clocks.
    fn has_clock(&self) -> bool;
    /// Erases a part of the requested data, in one transaction. The caller repeats the call while data is left.
    ///
    /// Deletes page views and subtracts them from every rollup. If the page views of a day are past retention, the
    /// rollups of the day are deleted only if the range covers the whole day and names no URL: rollups do not separate
    /// URLs.
    ///
    /// # Errors
    /// [`StoreError::NoSuchSite`] if the site was deleted.
    async fn erase(&self, erase: &Erase) -> Result<Erased, StoreError>;
    /// Deletes the routes and labels that no page view and no rollup uses, which frees their places. Returns their
    /// number. Every erasure ends with this call.
    ///
    /// # Errors
    /// [`StoreError::NoSuchSite`] if the site was deleted.
    async fn free_names(&self, site: SiteId) -> Result<u64, StoreError>;
    /// Counts the page views that [`Store::erase`] would delete, up to [`crate::limits::ERASABLE_MAX`].
    async fn erasable(&self, erase: &Erase) -> Result<u64, StoreError>;

    /// Returns the starts of the UTC days with stored page views of a site, ascending. The rollups of these days can
    /// be verified and rebuilt.
    async fn view_days(&self, site: SiteId) -> Result<Vec<i64>, StoreError>;
    /// Compares the rollups of a UTC day, unfolded deltas included, with its page views, in one snapshot of the
    /// store. Returns the differences; a sound store has none. Skips a day without page views, unless its page views
    /// are past retention.
    async fn verify_day(&self, site: SiteId, day_ms: i64) -> Result<Vec<Difference>, StoreError>;
    /// Rebuilds the rollups of a UTC day from its page views, concurrently with loads. Skips a day whose page views
    /// are past retention.
    async fn rebuild_day(&self, site: SiteId, day_ms: i64) -> Result<Rebuilt, StoreError>;

    /// Returns the starts of the stored data, by kind.
    async fn retention_edges(&self) -> Result<RetentionEdges, StoreError>;
    /// Sets the starts of the stored data, in a copy of another store. Deletes nothing.
    async fn keep(&self, retained: RetentionEdges) -> Result<(), StoreError>;
    /// Returns the size of a site's stored data.
    async fn site_size(&self, site: SiteId) -> Result<SiteSize, StoreError>;
    /// Adds a copy of a site under a new id: name, keys, origins, routes, route groups, time zone and creation time.
    ///
    /// # Errors
    /// [`StoreError::SiteExists`] if the name is taken.
    async fn site_put(&self, site: &Site) -> Result<Site, StoreError>;
    /// Returns all routes and labels of a site, sorted by kind and text.
    async fn names(&self, site: SiteId) -> Result<Vec<Name>, StoreError>;
    /// Writes the names of another store, replacing existing ones.
    async fn names_put(&self, site: SiteId, names: &[Name]) -> Result<(), StoreError>;
    /// Returns at most `limit` stored page views after an id, by id.
    async fn views(
        &self,
        site: SiteId,
        after: Option<vitals::view::ViewId>,
        limit: u32,
    ) -> Result<Vec<StoredView>, StoreError>;
    /// Returns the last id of the first `count` stored page views, by id; `None` if there are fewer.
    async fn view_at(&self, site: SiteId, count: u64) -> Result<Option<vitals::view::ViewId>, StoreError>;
    /// Returns folded rollups of days whose page views are past retention, sorted by key: about `limit` groups after
    /// one. Never splits an hour or day. Returns an empty list at the end.
    async fn rollups(
        &self,
        site: SiteId,
        after: Option<(rollup::Grain, i64)>,
        limit: u32,
    ) -> Result<Vec<RollupGroup>, StoreError>;
    /// Writes the rollups of another store, replacing existing ones.
    async fn rollups_put(&self, site: SiteId, groups: Vec<RollupGroup>) -> Result<(), StoreError>;
    /// Writes the violations of another store; keeps existing ones.
    async fn violations_put(&self, site: SiteId, violations: &[Violation]) -> Result<(), StoreError>;

    /// Waits for running operations, then closes all connections; later calls fail. An embedded store is a single
    /// file afterwards. The caller sets the timeout.
    async fn close(&self);
}
