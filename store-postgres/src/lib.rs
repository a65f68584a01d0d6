//! The store for large sites: Postgres 14 and newer, shared by any number of servers.
//!
//! This crate has all SQL of the backend, as static text with bound values. `migrations/postgres` has the schema, and
//! the functions that create and drop partitions. Pure functions of the `store` crate decide the changes of a batch,
//! the encoding of cells, and the tables that answer a query.
//!
//! The store works behind a pooler in transaction mode. The module `sql` lists the requirements.

mod address;
mod alert;
mod audit;
mod budgets;
mod citus;
mod class_views;
mod compute;
mod connection;
mod copied;
mod copy;
mod deploy_mark;
mod diagnosis;
mod digest;
mod erase;
mod error;
mod facts;
mod hung;
pub mod limits;
mod load;
mod locks;
mod maintain;
mod names;
mod nodelay;
mod places;
mod query;
mod reroute;
mod retention;
mod rows;
mod scan;
mod schema;
mod series;
mod site;
mod spread;
mod sql;
mod strata;
mod tally;
#[cfg(feature = "testing")]
pub mod testing;
mod texts;
mod urls;
mod verify;
mod version;
mod view;
mod violation;

pub use citus::{Spread, spread};
pub use diagnosis::diagnose;

use async_trait::async_trait;
use connection::{Pools, Transaction, background, bounded, question};
use error::failed;
use fieldvitals_store::context::texts::TextKind;
use fieldvitals_store::rollup::{Difference, Grain};
use fieldvitals_store::scan::{Gather, ScanQuery, Scanned};
use fieldvitals_store::{
    Alert, AlertChange, Alerting, AppliedBudgets, AuditEntry, CellQuery, ClassViewsQuery, DeployMark, Digest,
    Dimension, Erase, Erased, GroupBy, Judgement, LoadBatch, LoadReport, Loading, Maintenance,
    MaintenanceSummary, Name, NewAlert, NewBudgets, NewSite, NewToken, Notice, PeriodRows, Rebuilt, Reports,
    Reroute, Retention, RetentionEdges, RollupGroup, RouteCell, RouteGroups, Selection, SeriesQuery, Site,
    SiteId, SiteSize, Sites, SpoolId, StepCells, Store, StoreError, StoredView, StrataQuery, Stratum, Tally,
    TallyQuery, Token, TokenId, Total, Transfer, UrlCounts, ValueCell, Version, Violation,
};
use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::time::Duration;
use vitals::gate::ClassViews;
use vitals::view::ViewId;

/// Timeouts of calls. A connection counts as stalled after its call's timeout. [`limits`] has the values of a server.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// A query, or a change of sites, tokens and violations.
    pub call: Duration,
    /// A load.
    pub load: Duration,
    /// The load of a site on Citus, and a call of the loader that asks all nodes.
    pub node: Duration,
    /// A round of maintenance, and the removal of a site's rows.
    pub maintain: Duration,
    /// The removal of texts in one step of an erasure.
    pub clean: Duration,
    /// The reset of a connection for its next user.
    pub back: Duration,
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            call: Duration::from_millis(limits::DATABASE_CALL_MS_MAX),
            load: Duration::from_millis(limits::DATABASE_LOAD_MS_MAX),
            node: Duration::from_millis(limits::CITUS_NODE_MS_MAX),
            maintain: Duration::from_millis(limits::DATABASE_MAINTAIN_MS_MAX),
            clean: Duration::from_millis(limits::DATABASE_CLEAN_MS_MAX),
            back: Duration::from_millis(limits::DATABASE_RETURN_MS_MAX),
        }
    }
}

/// A store in a Postgres database.
pub struct PostgresStore {
    pools: Pools,
    /// Whether the tables are known to be distributed over the nodes of Citus. Loads find out if that changes.
    is_citus: AtomicBool,
    bounds: Bounds,
    /// The nodes of Citus that did not answer.
    hung: hung::Hung,
    /// The days known to have a partition. A cache that saves queries; it may be outdated.
    days: Mutex<BTreeSet<i64>>,
    /// The edges of retention before which this server has removed everything. Nothing is added before an edge, so
    /// there is nothing to look for until an edge moves.
    removed: Mutex<Option<RetentionEdges>>,
    /// Bytes of rollup blocks that folds have replaced since the last vacuum by this store.
    replaced_bytes: AtomicU64,
}

impl PostgresStore {
    /// Connects to the database at `postgres://USER:PASSWORD@HOST:PORT/NAME`, with parameters such as `sslmode`, and
    /// migrates its schema.
    ///
    /// # Errors
    /// [`StoreError::NewerSchema`] if a newer fieldvitals has migrated the schema. [`StoreError::Database`] if the
    /// database cannot be reached, refuses the connection, or is older than Postgres 14.
    pub async fn open(url: &str) -> Result<Self, StoreError> {
        Self::open_with(url, Bounds::default()).await
    }

    /// Opens the store with other timeouts.
    ///
    /// # Errors
    /// As [`PostgresStore::open`].
    pub async fn open_with(url: &str, bounds: Bounds) -> Result<Self, StoreError> {
        let (pools, is_citus) = schema::open(url).await?;
        Ok(Self {
            pools,
            is_citus: AtomicBool::new(is_citus),
            bounds,
            hung: hung::Hung::default(),
            days: Mutex::default(),
            removed: Mutex::default(),
            replaced_bytes: AtomicU64::new(0),
        })
    }

    /// Waits for running calls and closes all connections.
    pub async fn close(&self) {
        // A stalled connection ends with the process.
        let _ = tokio::time::timeout(self.bounds.back, self.pools.close()).await;
    }

    /// Begins a transaction. The statement `begin` sets its kind.
    pub(crate) async fn begin(
        &self,
        what: &'static str,
        begin: &'static str,
    ) -> Result<Transaction, StoreError> {
        Transaction::begin(self.pools.own(), self.bounds.back, begin).await.map_err(failed(what))
    }

    /// Begins a transaction that writes.
    async fn write(&self, what: &'static str) -> Result<Transaction, StoreError> {
        self.begin(what, sql::WRITE).await
    }

    /// Begins a transaction that reads one snapshot of the store.
    async fn read(&self, what: &'static str) -> Result<Transaction, StoreError> {
        self.begin(what, sql::READ).await
    }
}

#[async_trait]
impl Sites for PostgresStore {
    async fn first_start(
        &self,
        site: NewSite,
        token: NewToken,
    ) -> Result<(Option<Site>, Option<Token>), StoreError> {
        bounded(self.bounds.call, site::first(self, site, token)).await
    }

    async fn site_add(&self, site: NewSite) -> Result<Site, StoreError> {
        bounded(self.bounds.call, site::add(self, site)).await
    }

    async fn sites(&self) -> Result<Vec<Site>, StoreError> {
        bounded(self.bounds.call, site::all(self)).await
    }

    async fn site_update(
        &self,
        site: SiteId,
        name: &str,
        origins: &[String],
        routes: &[String],
    ) -> Result<Site, StoreError> {
        bounded(self.bounds.call, site::update(self, site, name, origins, routes)).await
    }

    async fn site_timezone(&self, site: SiteId, timezone: &str) -> Result<Site, StoreError> {
        bounded(self.bounds.call, site::set_timezone(self, site, timezone)).await
    }

    async fn site_route_groups(
        &self,
        site: SiteId,
        before: &RouteGroups,
        after: &RouteGroups,
    ) -> Result<Site, StoreError> {
        bounded(self.bounds.call, site::set_route_groups(self, site, before, after)).await
    }

    async fn site_rotate_key(
        &self,
        site: SiteId,
        new_key: &str,
        now_ms: i64,
        old_until_ms: i64,
    ) -> Result<Site, StoreError> {
        bounded(self.bounds.call, site::rotate_key(self, site, new_key, now_ms, old_until_ms)).await
    }

    async fn site_delete(&self, site: SiteId) -> Result<(), StoreError> {
        bounded(self.bounds.call, site::delete(self, site)).await?;
        bounded(self.bounds.maintain, maintain::remove_site(self, site)).await
    }

    async fn token_add(&self, token: NewToken) -> Result<Token, StoreError> {
        bounded(self.bounds.call, site::token_add(self, token)).await
    }

    async fn tokens(&self) -> Result<Vec<Token>, StoreError> {
        bounded(self.bounds.call, site::tokens(self)).await
    }

    async fn token_revoke(&self, token: TokenId) -> Result<(), StoreError> {
        bounded(self.bounds.call, site::token_revoke(self, token)).await
    }

    async fn audit_add(&self, entry: &AuditEntry) -> Result<(), StoreError> {
        bounded(self.bounds.call, audit::add(self, entry)).await
    }

    async fn audit(&self, before: Option<i64>, limit: u32) -> Result<Vec<(i64, AuditEntry)>, StoreError> {
        bounded(self.bounds.call, audit::list(self, before, limit)).await
    }

    async fn deploy_marks_put(&self, site: SiteId, marks: &[DeployMark]) -> Result<(), StoreError> {
        bounded(self.bounds.call, deploy_mark::put(self, site, marks)).await
    }

    async fn deploy_marks(&self, site: SiteId) -> Result<Vec<DeployMark>, StoreError> {
        bounded(self.bounds.call, deploy_mark::list(self, site)).await
    }
}

#[async_trait]
impl Loading for PostgresStore {
    async fn cursor(&self, site: SiteId, spool: SpoolId) -> Result<u64, StoreError> {
        background(bounded(self.bounds.call, load::cursor(self, site, spool))).await
    }

    async fn cursor_max(&self, spool: SpoolId) -> Result<u64, StoreError> {
        background(citus::bounded(self, load::cursor_max(self, spool))).await
    }

    async fn cursors_forget(&self, spool: SpoolId) -> Result<(), StoreError> {
        background(citus::bounded(self, load::cursors_forget(self, spool))).await
    }

    async fn load_pass(
        &self,
        pass: Vec<LoadBatch>,
    ) -> Result<Vec<Result<LoadReport, StoreError>>, StoreError> {
        background(load::load(self, pass)).await
    }
}

#[async_trait]
impl Reports for PostgresStore {
    async fn version(&self, site: SiteId) -> Result<Version, StoreError> {
        bounded(self.bounds.call, version::version(self, site)).await
    }

    async fn routes(&self, site: SiteId, from_ms: i64, to_ms: i64) -> Result<Vec<String>, StoreError> {
        question(bounded(self.bounds.call, query::routes(self, site, from_ms, to_ms))).await
    }

    async fn route_names(&self, site: SiteId) -> Result<Vec<String>, StoreError> {
        question(bounded(self.bounds.call, query::route_names(self, site))).await
    }

    async fn cells_of(
        &self,
        query: &CellQuery,
        selection: &Selection,
    ) -> Result<PeriodRows<RouteCell>, StoreError> {
        question(bounded(self.bounds.call, query::cells(self, query, selection))).await
    }

    async fn total(&self, query: &CellQuery) -> Result<Total, StoreError> {
        question(bounded(self.bounds.call, query::total(self, query))).await
    }

    async fn breakdown(&self, query: &CellQuery, by: GroupBy) -> Result<PeriodRows<ValueCell>, StoreError> {
        question(bounded(self.bounds.call, query::breakdown(self, query, by))).await
    }

    async fn series(&self, query: &SeriesQuery) -> Result<Vec<StepCells>, StoreError> {
        question(bounded(self.bounds.call, series::series(self, query))).await
    }

    async fn scan(&self, query: &ScanQuery, gather: &mut dyn Gather) -> Result<Scanned, StoreError> {
        question(bounded(self.bounds.call, scan::scan(self, query, gather))).await
    }

    async fn labels(&self, site: SiteId, dimension: Dimension) -> Result<Vec<String>, StoreError> {
        question(bounded(self.bounds.call, names::all_of(self, site, dimension))).await
    }

    async fn texts(&self, site: SiteId, kind: TextKind) -> Result<Vec<String>, StoreError> {
        question(bounded(self.bounds.call, texts::all_of(self, site, kind))).await
    }

    async fn urls(&self, site: SiteId, period: Range<i64>) -> Result<UrlCounts, StoreError> {
        question(bounded(self.bounds.call, urls::urls(self, site, period))).await
    }

    async fn strata(&self, query: &StrataQuery) -> Result<Vec<Stratum>, StoreError> {
        question(bounded(self.bounds.call, strata::strata(self, query))).await
    }

    async fn class_views(&self, query: &ClassViewsQuery) -> Result<Vec<ClassViews>, StoreError> {
        question(bounded(self.bounds.call, class_views::class_views(self, query))).await
    }

    async fn tally(&self, query: &TallyQuery) -> Result<Tally, StoreError> {
        question(bounded(self.bounds.call, tally::tally(self, query))).await
    }

    async fn views_of(&self, site: SiteId, ids: &[ViewId]) -> Result<Vec<StoredView>, StoreError> {
        question(bounded(self.bounds.call, scan::views_of(self, site, ids))).await
    }

    async fn view(&self, site: SiteId, id: ViewId) -> Result<Option<StoredView>, StoreError> {
        bounded(self.bounds.call, query::view(self, site, id)).await
    }
}

#[async_trait]
impl Alerting for PostgresStore {
    async fn judgements(
        &self,
        site: SiteId,
        now_ms: i64,
        judgements: &[Judgement],
    ) -> Result<(), StoreError> {
        bounded(self.bounds.call, violation::judge(self, site, now_ms, judgements)).await
    }

    async fn violation_dismiss(
        &self,
        site: SiteId,
        id: i64,
        now_ms: i64,
        by: &str,
    ) -> Result<bool, StoreError> {
        bounded(self.bounds.call, violation::dismiss(self, site, id, now_ms, by)).await
    }

    async fn violations(
        &self,
        site: SiteId,
        open_only: bool,
        skip: u32,
        limit: u32,
    ) -> Result<Vec<Violation>, StoreError> {
        bounded(self.bounds.call, violation::list(self, site, open_only, skip, limit)).await
    }

    async fn budgets_put(&self, site: SiteId, budgets: &NewBudgets) -> Result<AppliedBudgets, StoreError> {
        bounded(self.bounds.call, budgets::put(self, site, budgets)).await
    }

    async fn budgets(
        &self,
        site: SiteId,
        version: Option<i64>,
    ) -> Result<Option<AppliedBudgets>, StoreError> {
        bounded(self.bounds.call, budgets::get(self, site, version)).await
    }

    async fn budget_versions(&self, site: SiteId) -> Result<Vec<AppliedBudgets>, StoreError> {
        bounded(self.bounds.call, budgets::versions(self, site)).await
    }

    async fn standing(&self, site: SiteId) -> Result<Option<String>, StoreError> {
        bounded(self.bounds.call, budgets::standing(self, site)).await
    }

    async fn standing_put(&self, site: SiteId, state: &str) -> Result<(), StoreError> {
        bounded(self.bounds.call, budgets::standing_put(self, site, state)).await
    }

    async fn lease(
        &self,
        task: &str,
        holder: [u8; 16],
        _now_ms: i64,
        for_ms: i64,
    ) -> Result<bool, StoreError> {
        bounded(self.bounds.call, alert::lease(self, task, holder, for_ms)).await
    }

    async fn alert_open(
        &self,
        site: SiteId,
        now_ms: i64,
        alert: &NewAlert,
        notices: &[(String, i64)],
    ) -> Result<Option<i64>, StoreError> {
        bounded(self.bounds.call, alert::open(self, site, now_ms, alert, notices)).await
    }

    async fn alert_change(
        &self,
        site: SiteId,
        id: i64,
        now_ms: i64,
        change: &AlertChange,
    ) -> Result<bool, StoreError> {
        bounded(self.bounds.call, alert::change(self, site, id, now_ms, change)).await
    }

    async fn alerts(
        &self,
        site: SiteId,
        open_only: bool,
        skip: u32,
        limit: u32,
    ) -> Result<Vec<Alert>, StoreError> {
        bounded(self.bounds.call, alert::list(self, site, open_only, skip, limit)).await
    }

    async fn alert(&self, site: SiteId, id: i64) -> Result<Option<Alert>, StoreError> {
        bounded(self.bounds.call, alert::one(self, site, id)).await
    }

    async fn notices_due(
        &self,
        now_ms: i64,
        limit: u32,
        without: &[String],
    ) -> Result<Vec<(SiteId, i64, Notice)>, StoreError> {
        bounded(self.bounds.call, alert::due(self, now_ms, limit, without)).await
    }

    async fn notice_tried(
        &self,
        site: SiteId,
        alert: i64,
        read: &Notice,
        after: &Notice,
    ) -> Result<(), StoreError> {
        bounded(self.bounds.call, alert::tried(self, site, alert, (read, after))).await
    }

    async fn digests_plan(
        &self,
        site: SiteId,
        week: i32,
        due_ms: i64,
        channels: &[String],
    ) -> Result<(), StoreError> {
        bounded(self.bounds.call, digest::plan(self, site, week, due_ms, channels)).await
    }

    async fn digests_due(
        &self,
        now_ms: i64,
        limit: u32,
        channels: &[String],
    ) -> Result<Vec<Digest>, StoreError> {
        bounded(self.bounds.call, digest::due(self, now_ms, limit, channels)).await
    }

    async fn digests(&self, site: SiteId) -> Result<Vec<Digest>, StoreError> {
        bounded(self.bounds.call, digest::list(self, site)).await
    }

    async fn digest_tried(&self, read: &Digest, after: &Digest) -> Result<bool, StoreError> {
        bounded(self.bounds.call, digest::tried(self, read, after)).await
    }
}

#[async_trait]
impl Maintenance for PostgresStore {
    fn has_clock(&self) -> bool {
        true
    }

    async fn retention(&self) -> Result<Option<Retention>, StoreError> {
        bounded(self.bounds.call, retention::get(self)).await
    }

    async fn set_retention(&self, retention: Retention) -> Result<(), StoreError> {
        bounded(self.bounds.call, retention::set(self, retention)).await
    }

    async fn reroute(&self, site: SiteId, moves: Vec<Reroute>) -> Result<u64, StoreError> {
        background(bounded(self.bounds.load, reroute::reroute(self, site, moves))).await
    }

    async fn maintain(&self, now_ms: i64, retention: Retention) -> Result<MaintenanceSummary, StoreError> {
        background(bounded(self.bounds.maintain, maintain::maintain(self, now_ms, retention))).await
    }

    async fn erase(&self, erase: &Erase) -> Result<Erased, StoreError> {
        bounded(self.bounds.load, erase::erase(self, erase)).await
    }

    async fn free_names(&self, site: SiteId) -> Result<u64, StoreError> {
        bounded(self.bounds.load, places::free(self, site)).await
    }

    async fn erasable(&self, erase: &Erase) -> Result<u64, StoreError> {
        bounded(self.bounds.call, erase::erasable(self, erase)).await
    }

    async fn view_days(&self, site: SiteId) -> Result<Vec<i64>, StoreError> {
        bounded(self.bounds.call, verify::view_days(self, site)).await
    }

    async fn verify_day(&self, site: SiteId, day_ms: i64) -> Result<Vec<Difference>, StoreError> {
        bounded(self.bounds.maintain, verify::verify_day(self, site, day_ms)).await
    }

    async fn rebuild_day(&self, site: SiteId, day_ms: i64) -> Result<Rebuilt, StoreError> {
        bounded(self.bounds.maintain, verify::rebuild_day(self, site, day_ms)).await
    }
}

#[async_trait]
impl Transfer for PostgresStore {
    async fn names(&self, site: SiteId) -> Result<Vec<Name>, StoreError> {
        bounded(self.bounds.call, places::all(self, site)).await
    }

    async fn names_put(&self, site: SiteId, names: &[Name]) -> Result<(), StoreError> {
        bounded(self.bounds.load, places::put(self, site, names)).await
    }

    async fn retention_edges(&self) -> Result<RetentionEdges, StoreError> {
        bounded(self.bounds.call, copy::retained(self)).await
    }

    async fn keep(&self, retained: RetentionEdges) -> Result<(), StoreError> {
        bounded(self.bounds.call, copy::keep(self, retained)).await
    }

    async fn site_size(&self, site: SiteId) -> Result<SiteSize, StoreError> {
        bounded(self.bounds.call, copy::site_size(self, site)).await
    }

    async fn site_put(&self, site: &Site) -> Result<Site, StoreError> {
        bounded(self.bounds.call, site::put(self, site)).await
    }

    async fn views(
        &self,
        site: SiteId,
        after: Option<ViewId>,
        limit: u32,
    ) -> Result<Vec<StoredView>, StoreError> {
        bounded(self.bounds.call, copy::views(self, site, after, limit)).await
    }

    async fn view_at(&self, site: SiteId, count: u64) -> Result<Option<ViewId>, StoreError> {
        bounded(self.bounds.call, copy::view_at(self, site, count)).await
    }

    async fn rollups(
        &self,
        site: SiteId,
        after: Option<(Grain, i64)>,
        limit: u32,
    ) -> Result<Vec<RollupGroup>, StoreError> {
        bounded(self.bounds.call, copy::rollups(self, site, after, limit)).await
    }

    async fn rollups_put(&self, site: SiteId, groups: Vec<RollupGroup>) -> Result<(), StoreError> {
        bounded(self.bounds.load, copy::rollups_put(self, site, &groups)).await
    }

    async fn violations_put(&self, site: SiteId, violations: &[Violation]) -> Result<(), StoreError> {
        bounded(self.bounds.call, violation::put(self, site, violations)).await
    }
}

#[async_trait]
impl Store for PostgresStore {
    async fn close(&self) {
        // Calls the inherent method.
        PostgresStore::close(self).await;
    }
}
