//! The embedded store: one SQLite file with one writing connection and a few reading ones.
//!
//! This crate has all SQL of the backend, as static text with bound values. `migrations/sqlite` has the schema. Pure
//! functions of the `store` crate decide the changes of a batch, the content of rows, and the rows that answer a
//! query.
//!
//! Several processes may open the file at once, such as a command beside a running server. Writers wait for each
//! other. A reader sees one consistent snapshot per query and never waits.

mod alert;
mod audit;
pub mod backup;
mod budgets;
mod bulk;
mod class_views;
mod copy;
mod deltas;
mod deploy_mark;
mod diagnosis;
mod digest;
mod erase;
mod error;
mod fold;
mod load;
mod maintain;
mod names;
mod places;
mod query;
mod reroute;
mod retention;
mod rows;
mod scan;
mod schema;
mod series;
mod site;
mod site_rows;
mod strata;
mod tally;
mod texts;
mod urls;
mod verify;
mod version;
mod view;
mod violation;

pub use diagnosis::diagnose;

use async_trait::async_trait;
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
use sqlx::pool::PoolConnection;
use sqlx::sqlite::SqlitePool;
use sqlx::{Sqlite, Transaction};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use vitals::gate::ClassViews;
use vitals::view::ViewId;

use error::failed;

/// A store in one SQLite file.
pub struct SqliteStore {
    path: PathBuf,
    /// One connection. Writers queue for it in the order of their requests, because SQLite's own lock has no order.
    writer: SqlitePool,
    readers: SqlitePool,
    /// The edges of retention before which this process has removed everything. Nothing is added before an edge, so
    /// there is nothing to look for until an edge moves.
    removed: Mutex<Option<RetentionEdges>>,
}

impl SqliteStore {
    /// Opens the file and migrates its schema. Creates a missing file and its directory. The caller's runtime must
    /// outlive the store.
    ///
    /// # Errors
    /// [`StoreError::NewerSchema`] if a newer fieldvitals wrote the file. [`StoreError::Database`] if the file cannot
    /// be opened, or is no store.
    pub async fn open(path: &Path) -> Result<Self, StoreError> {
        let (writer, readers) = schema::open(path).await?;
        Ok(Self { path: path.to_owned(), writer, readers, removed: Mutex::default() })
    }

    /// Waits for running calls and closes all connections.
    pub async fn close(&self) {
        self.readers.close().await;
        // The writer closes last, because its close carries the log over into the file.
        self.writer.close().await;
    }

    /// Begins a transaction that reads one snapshot of the store.
    async fn read(&self, what: &'static str) -> Result<Transaction<'static, Sqlite>, StoreError> {
        self.readers.begin().await.map_err(failed(what))
    }

    /// Begins a transaction that may write.
    async fn write(&self, what: &'static str) -> Result<Transaction<'static, Sqlite>, StoreError> {
        // Takes the file's write lock at once. A later lock could fail in mid-transaction because another process
        // wrote.
        self.writer.begin_with("begin immediate").await.map_err(failed(what))
    }

    /// A connection that may write, for a single statement.
    async fn connection(&self) -> Result<PoolConnection<Sqlite>, StoreError> {
        self.writer.acquire().await.map_err(failed("waiting to write"))
    }
}

#[async_trait]
impl Sites for SqliteStore {
    async fn first_start(
        &self,
        site: NewSite,
        token: NewToken,
    ) -> Result<(Option<Site>, Option<Token>), StoreError> {
        site::first(self, site, token).await
    }

    async fn site_add(&self, site: NewSite) -> Result<Site, StoreError> {
        site::add(self, site).await
    }

    async fn sites(&self) -> Result<Vec<Site>, StoreError> {
        site::all(self).await
    }

    async fn site_update(
        &self,
        site: SiteId,
        name: &str,
        origins: &[String],
        routes: &[String],
    ) -> Result<Site, StoreError> {
        site::update(self, site, name, origins, routes).await
    }

    async fn site_timezone(&self, site: SiteId, timezone: &str) -> Result<Site, StoreError> {
        site::set_timezone(self, site, timezone).await
    }

    async fn site_route_groups(
        &self,
        site: SiteId,
        before: &RouteGroups,
        after: &RouteGroups,
    ) -> Result<Site, StoreError> {
        site::set_route_groups(self, site, before, after).await
    }

    async fn site_rotate_key(
        &self,
        site: SiteId,
        new_key: &str,
        now_ms: i64,
        old_until_ms: i64,
    ) -> Result<Site, StoreError> {
        site::rotate_key(self, site, new_key, now_ms, old_until_ms).await
    }

    async fn site_delete(&self, site: SiteId) -> Result<(), StoreError> {
        site::delete(self, site).await?;
        maintain::remove_site(self, site).await
    }

    async fn token_add(&self, token: NewToken) -> Result<Token, StoreError> {
        site::token_add(self, token).await
    }

    async fn tokens(&self) -> Result<Vec<Token>, StoreError> {
        site::tokens(self).await
    }

    async fn token_revoke(&self, token: TokenId) -> Result<(), StoreError> {
        site::token_revoke(self, token).await
    }

    async fn audit_add(&self, entry: &AuditEntry) -> Result<(), StoreError> {
        audit::add(self, entry).await
    }

    async fn audit(&self, before: Option<i64>, limit: u32) -> Result<Vec<(i64, AuditEntry)>, StoreError> {
        audit::list(self, before, limit).await
    }

    async fn deploy_marks_put(&self, site: SiteId, marks: &[DeployMark]) -> Result<(), StoreError> {
        deploy_mark::put(self, site, marks).await
    }

    async fn deploy_marks(&self, site: SiteId) -> Result<Vec<DeployMark>, StoreError> {
        deploy_mark::list(self, site).await
    }
}

#[async_trait]
impl Loading for SqliteStore {
    async fn cursor(&self, site: SiteId, spool: SpoolId) -> Result<u64, StoreError> {
        load::cursor(self, site, spool).await
    }

    async fn cursor_max(&self, spool: SpoolId) -> Result<u64, StoreError> {
        load::cursor_max(self, spool).await
    }

    async fn cursors_forget(&self, spool: SpoolId) -> Result<(), StoreError> {
        load::cursors_forget(self, spool).await
    }

    async fn load_pass(
        &self,
        pass: Vec<LoadBatch>,
    ) -> Result<Vec<Result<LoadReport, StoreError>>, StoreError> {
        load::load(self, pass).await
    }
}

#[async_trait]
impl Reports for SqliteStore {
    async fn version(&self, site: SiteId) -> Result<Version, StoreError> {
        version::version(self, site).await
    }

    async fn routes(&self, site: SiteId, from_ms: i64, to_ms: i64) -> Result<Vec<String>, StoreError> {
        query::routes(self, site, from_ms, to_ms).await
    }

    async fn route_names(&self, site: SiteId) -> Result<Vec<String>, StoreError> {
        query::route_names(self, site).await
    }

    async fn cells_of(
        &self,
        query: &CellQuery,
        selection: &Selection,
    ) -> Result<PeriodRows<RouteCell>, StoreError> {
        query::cells(self, query, selection).await
    }

    async fn total(&self, query: &CellQuery) -> Result<Total, StoreError> {
        query::total(self, query).await
    }

    async fn breakdown(&self, query: &CellQuery, by: GroupBy) -> Result<PeriodRows<ValueCell>, StoreError> {
        query::breakdown(self, query, by).await
    }

    async fn series(&self, query: &SeriesQuery) -> Result<Vec<StepCells>, StoreError> {
        series::series(self, query).await
    }

    async fn scan(&self, query: &ScanQuery, gather: &mut dyn Gather) -> Result<Scanned, StoreError> {
        scan::scan(self, query, gather).await
    }

    async fn labels(&self, site: SiteId, dimension: Dimension) -> Result<Vec<String>, StoreError> {
        names::all_of(self, site, dimension).await
    }

    async fn texts(&self, site: SiteId, kind: TextKind) -> Result<Vec<String>, StoreError> {
        texts::all_of(self, site, kind).await
    }

    async fn urls(&self, site: SiteId, period: Range<i64>) -> Result<UrlCounts, StoreError> {
        urls::urls(self, site, period).await
    }

    async fn strata(&self, query: &StrataQuery) -> Result<Vec<Stratum>, StoreError> {
        strata::strata(self, query).await
    }

    async fn class_views(&self, query: &ClassViewsQuery) -> Result<Vec<ClassViews>, StoreError> {
        class_views::class_views(self, query).await
    }

    async fn tally(&self, query: &TallyQuery) -> Result<Tally, StoreError> {
        tally::tally(self, query).await
    }

    async fn views_of(&self, site: SiteId, ids: &[ViewId]) -> Result<Vec<StoredView>, StoreError> {
        scan::views_of(self, site, ids).await
    }

    async fn view(&self, site: SiteId, id: ViewId) -> Result<Option<StoredView>, StoreError> {
        query::view(self, site, id).await
    }
}

#[async_trait]
impl Alerting for SqliteStore {
    async fn judgements(
        &self,
        site: SiteId,
        now_ms: i64,
        judgements: &[Judgement],
    ) -> Result<(), StoreError> {
        violation::judge(self, site, now_ms, judgements).await
    }

    async fn violation_dismiss(
        &self,
        site: SiteId,
        id: i64,
        now_ms: i64,
        by: &str,
    ) -> Result<bool, StoreError> {
        violation::dismiss(self, site, id, now_ms, by).await
    }

    async fn violations(
        &self,
        site: SiteId,
        open_only: bool,
        skip: u32,
        limit: u32,
    ) -> Result<Vec<Violation>, StoreError> {
        violation::list(self, site, open_only, skip, limit).await
    }

    async fn budgets_put(&self, site: SiteId, budgets: &NewBudgets) -> Result<AppliedBudgets, StoreError> {
        budgets::put(self, site, budgets).await
    }

    async fn budgets(
        &self,
        site: SiteId,
        version: Option<i64>,
    ) -> Result<Option<AppliedBudgets>, StoreError> {
        budgets::get(self, site, version).await
    }

    async fn budget_versions(&self, site: SiteId) -> Result<Vec<AppliedBudgets>, StoreError> {
        budgets::versions(self, site).await
    }

    async fn standing(&self, site: SiteId) -> Result<Option<String>, StoreError> {
        budgets::standing(self, site).await
    }

    async fn standing_put(&self, site: SiteId, state: &str) -> Result<(), StoreError> {
        budgets::standing_put(self, site, state).await
    }

    async fn lease(
        &self,
        task: &str,
        holder: [u8; 16],
        now_ms: i64,
        for_ms: i64,
    ) -> Result<bool, StoreError> {
        alert::lease(self, task, holder, now_ms, for_ms).await
    }

    async fn alert_open(
        &self,
        site: SiteId,
        now_ms: i64,
        alert: &NewAlert,
        notices: &[(String, i64)],
    ) -> Result<Option<i64>, StoreError> {
        alert::open(self, site, now_ms, alert, notices).await
    }

    async fn alert_change(
        &self,
        site: SiteId,
        id: i64,
        now_ms: i64,
        change: &AlertChange,
    ) -> Result<bool, StoreError> {
        alert::change(self, site, id, now_ms, change).await
    }

    async fn alerts(
        &self,
        site: SiteId,
        open_only: bool,
        skip: u32,
        limit: u32,
    ) -> Result<Vec<Alert>, StoreError> {
        alert::list(self, site, open_only, skip, limit).await
    }

    async fn alert(&self, site: SiteId, id: i64) -> Result<Option<Alert>, StoreError> {
        alert::one(self, site, id).await
    }

    async fn notices_due(
        &self,
        now_ms: i64,
        limit: u32,
        without: &[String],
    ) -> Result<Vec<(SiteId, i64, Notice)>, StoreError> {
        alert::due(self, now_ms, limit, without).await
    }

    async fn notice_tried(
        &self,
        site: SiteId,
        alert: i64,
        read: &Notice,
        after: &Notice,
    ) -> Result<(), StoreError> {
        alert::tried(self, site, alert, (read, after)).await
    }

    async fn digests_plan(
        &self,
        site: SiteId,
        week: i32,
        due_ms: i64,
        channels: &[String],
    ) -> Result<(), StoreError> {
        digest::plan(self, site, week, due_ms, channels).await
    }

    async fn digests_due(
        &self,
        now_ms: i64,
        limit: u32,
        channels: &[String],
    ) -> Result<Vec<Digest>, StoreError> {
        digest::due(self, now_ms, limit, channels).await
    }

    async fn digests(&self, site: SiteId) -> Result<Vec<Digest>, StoreError> {
        digest::list(self, site).await
    }

    async fn digest_tried(&self, read: &Digest, after: &Digest) -> Result<bool, StoreError> {
        digest::tried(self, read, after).await
    }
}

#[async_trait]
impl Maintenance for SqliteStore {
    fn has_clock(&self) -> bool {
        false
    }

    async fn retention(&self) -> Result<Option<Retention>, StoreError> {
        retention::get(self).await
    }

    async fn set_retention(&self, retention: Retention) -> Result<(), StoreError> {
        retention::set(self, retention).await
    }

    async fn reroute(&self, site: SiteId, moves: Vec<Reroute>) -> Result<u64, StoreError> {
        reroute::reroute(self, site, &moves).await
    }

    async fn maintain(&self, now_ms: i64, retention: Retention) -> Result<MaintenanceSummary, StoreError> {
        maintain::maintain(self, now_ms, retention).await
    }

    async fn erase(&self, erase: &Erase) -> Result<Erased, StoreError> {
        erase::erase(self, erase).await
    }

    async fn free_names(&self, site: SiteId) -> Result<u64, StoreError> {
        places::free(self, site).await
    }

    async fn erasable(&self, erase: &Erase) -> Result<u64, StoreError> {
        erase::erasable(self, erase).await
    }

    async fn view_days(&self, site: SiteId) -> Result<Vec<i64>, StoreError> {
        verify::view_days(self, site).await
    }

    async fn verify_day(&self, site: SiteId, day_ms: i64) -> Result<Vec<Difference>, StoreError> {
        verify::verify_day(self, site, day_ms).await
    }

    async fn rebuild_day(&self, site: SiteId, day_ms: i64) -> Result<Rebuilt, StoreError> {
        verify::rebuild_day(self, site, day_ms).await
    }
}

#[async_trait]
impl Transfer for SqliteStore {
    async fn names(&self, site: SiteId) -> Result<Vec<Name>, StoreError> {
        places::all(self, site).await
    }

    async fn names_put(&self, site: SiteId, names: &[Name]) -> Result<(), StoreError> {
        places::put(self, site, names).await
    }

    async fn retention_edges(&self) -> Result<RetentionEdges, StoreError> {
        query::retention_edges(&mut *self.read("reading what is kept").await?).await
    }

    async fn keep(&self, retained: RetentionEdges) -> Result<(), StoreError> {
        maintain::keep(self, retained).await
    }

    async fn site_size(&self, site: SiteId) -> Result<SiteSize, StoreError> {
        copy::site_size(self, site).await
    }

    async fn site_put(&self, site: &Site) -> Result<Site, StoreError> {
        site::put(self, site).await
    }

    async fn views(
        &self,
        site: SiteId,
        after: Option<ViewId>,
        limit: u32,
    ) -> Result<Vec<StoredView>, StoreError> {
        copy::views(self, site, after, limit).await
    }

    async fn view_at(&self, site: SiteId, count: u64) -> Result<Option<ViewId>, StoreError> {
        copy::view_at(self, site, count).await
    }

    async fn rollups(
        &self,
        site: SiteId,
        after: Option<(Grain, i64)>,
        limit: u32,
    ) -> Result<Vec<RollupGroup>, StoreError> {
        copy::rollups(self, site, after, limit).await
    }

    async fn rollups_put(&self, site: SiteId, groups: Vec<RollupGroup>) -> Result<(), StoreError> {
        copy::rollups_put(self, site, &groups).await
    }

    async fn violations_put(&self, site: SiteId, violations: &[Violation]) -> Result<(), StoreError> {
        violation::put(self, site, violations).await
    }
}

#[async_trait]
impl Store for SqliteStore {
    async fn close(&self) {
        // Calls the inherent method.
        SqliteStore::close(self).await;
    }
}
