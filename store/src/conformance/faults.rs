//! A store that fails on demand, for the tests of whatever stands in front of one.

use crate::context::texts::TextKind;
use crate::rollup::{Difference, Grain};
use crate::scan::{Gather, ScanQuery, Scanned};
use crate::{
    Alert, AlertChange, Alerting, AppliedBudgets, AuditEntry, CellQuery, ClassViewsQuery, DeployMark, Digest,
    Dimension, Erase, Erased, GroupBy, Judgement, LoadBatch, LoadReport, Loading, Maintenance,
    MaintenanceSummary, Name, NewAlert, NewBudgets, NewSite, NewToken, Notice, PeriodRows, Rebuilt, Reports,
    Reroute, Retention, RetentionEdges, RollupGroup, RouteCell, RouteGroups, Selection, SeriesQuery, Site,
    SiteId, SiteSize, Sites, SpoolId, StepCells, Store, StoreError, StoredView, StrataQuery, Stratum, Tally,
    TallyQuery, Token, TokenId, Total, Transfer, UrlCounts, ValueCell, Version, Violation,
};
use async_trait::async_trait;
use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use vitals::gate::ClassViews;
use vitals::view::ViewId;

/// Passes everything on to another store, except for the faults that are due.
pub struct FaultyStore {
    inner: Arc<dyn Store>,
    /// How many further calls of the loader's methods take place before those that fail.
    fine: AtomicU64,
    /// How many further calls of the loader's methods fail without any effect.
    before: AtomicU64,
    /// How many further loads take place, and lose their answer.
    after: AtomicU64,
    /// How many further breakdowns and class views are answered before those that fail, and how many of them fail.
    comparisons: [AtomicU64; 2],
    /// Beacons of each load that came.
    loads: Mutex<Vec<usize>>,
    /// The most beacons that can be loaded in time.
    in_time: AtomicU64,
    /// Whether loads that take too long get no answer.
    silent: AtomicBool,
    /// Whether a node is gone that has rows of some sites: calls about all sites fail.
    node_gone: AtomicBool,
    /// The sites on a node that hangs.
    hung: Mutex<BTreeSet<SiteId>>,
}

impl FaultyStore {
    /// A store without faults yet.
    #[must_use]
    pub fn new(inner: Arc<dyn Store>) -> Self {
        let [fine, before, after] = std::array::from_fn(|_| AtomicU64::new(0));
        let (in_time, node_gone) = (AtomicU64::new(u64::MAX), AtomicBool::new(false));
        let (silent, loads) = (AtomicBool::new(false), Mutex::default());
        let comparisons = std::array::from_fn(|_| AtomicU64::new(0));
        let hung = Mutex::default();
        Self { inner, fine, before, after, comparisons, loads, in_time, silent, node_gone, hung }
    }

    /// The next `calls` of the loader's methods fail as if the database was away.
    pub fn away(&self, calls: u64) {
        self.away_after(0, calls);
    }

    /// After `fine` more calls of the loader's methods, the next `calls` fail as if the database was
    /// away.
    pub fn away_after(&self, fine: u64, calls: u64) {
        self.fine.store(fine, Ordering::SeqCst);
        self.before.store(calls, Ordering::SeqCst);
    }

    /// After `fine` more breakdowns and class views, the next `calls` of them fail as if the database was away.
    pub fn comparisons_away_after(&self, fine: u64, calls: u64) {
        let [left, failing] = &self.comparisons;
        left.store(fine, Ordering::SeqCst);
        failing.store(calls, Ordering::SeqCst);
    }

    /// The next `calls` of `load` commit, and then fail as if the connection was lost.
    pub fn lose_answers(&self, calls: u64) {
        self.after.store(calls, Ordering::SeqCst);
    }

    /// Whether a node is gone that has rows of some sites: the loader's calls about all sites fail.
    pub fn node_gone(&self, is_gone: bool) {
        self.node_gone.store(is_gone, Ordering::SeqCst);
    }

    /// From now on loads of these sites take too long, while other sites of the same pass are loaded.
    pub fn hang(&self, sites: impl IntoIterator<Item = SiteId>) {
        *self.hung.lock().unwrap_or_else(PoisonError::into_inner) = sites.into_iter().collect();
    }

    fn is_hung(&self, site: SiteId) -> bool {
        self.hung.lock().unwrap_or_else(PoisonError::into_inner).contains(&site)
    }

    fn fail_if_node_gone(&self) -> Result<(), StoreError> {
        match self.node_gone.load(Ordering::SeqCst) {
            true => Err(StoreError::Node { what: "a test's fault", reason: "a node is gone".to_owned() }),
            false => Ok(()),
        }
    }

    /// From now on loads of more beacons fail without any effect, as taking too long.
    pub fn slow(&self, in_time: u64) {
        self.in_time.store(in_time, Ordering::SeqCst);
    }

    /// From now on loads that take too long get no answer, as from a database that is too busy or away.
    pub fn silent(&self) {
        self.silent.store(true, Ordering::SeqCst);
    }

    /// Beacons of each load that came until now, failed loads included.
    #[must_use]
    pub fn loads(&self) -> Vec<usize> {
        self.loads.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn due(left: &AtomicU64) -> bool {
        left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_ok()
    }

    fn fail_if_away(&self) -> Result<(), StoreError> {
        Self::fail_after([&self.fine, &self.before])
    }

    fn fail_comparison_if_away(&self) -> Result<(), StoreError> {
        Self::fail_after(self.comparisons.each_ref())
    }

    fn fail_after([fine, failing]: [&AtomicU64; 2]) -> Result<(), StoreError> {
        if Self::due(fine) {
            return Ok(());
        }
        if Self::due(failing) { Err(fault("the database is away")) } else { Ok(()) }
    }
}

fn fault(reason: &str) -> StoreError {
    StoreError::Database { what: "a test's fault", reason: reason.to_owned(), transient: true }
}

fn slow(answered: bool) -> StoreError {
    StoreError::TooSlow { what: "a test's fault", reason: "it took too long".to_owned(), answered }
}

#[async_trait]
impl Sites for FaultyStore {
    async fn first_start(
        &self,
        site: NewSite,
        token: NewToken,
    ) -> Result<(Option<Site>, Option<Token>), StoreError> {
        self.inner.first_start(site, token).await
    }

    async fn site_add(&self, site: NewSite) -> Result<Site, StoreError> {
        self.inner.site_add(site).await
    }

    async fn sites(&self) -> Result<Vec<Site>, StoreError> {
        self.inner.sites().await
    }

    async fn site_update(
        &self,
        site: SiteId,
        name: &str,
        origins: &[String],
        routes: &[String],
    ) -> Result<Site, StoreError> {
        self.inner.site_update(site, name, origins, routes).await
    }

    async fn site_timezone(&self, site: SiteId, timezone: &str) -> Result<Site, StoreError> {
        self.inner.site_timezone(site, timezone).await
    }

    async fn site_route_groups(
        &self,
        site: SiteId,
        before: &RouteGroups,
        after: &RouteGroups,
    ) -> Result<Site, StoreError> {
        self.inner.site_route_groups(site, before, after).await
    }

    async fn site_rotate_key(
        &self,
        site: SiteId,
        new_key: &str,
        now_ms: i64,
        old_until_ms: i64,
    ) -> Result<Site, StoreError> {
        self.inner.site_rotate_key(site, new_key, now_ms, old_until_ms).await
    }

    async fn site_delete(&self, site: SiteId) -> Result<(), StoreError> {
        self.inner.site_delete(site).await
    }

    async fn token_add(&self, token: NewToken) -> Result<Token, StoreError> {
        self.inner.token_add(token).await
    }

    async fn tokens(&self) -> Result<Vec<Token>, StoreError> {
        self.inner.tokens().await
    }

    async fn token_revoke(&self, token: TokenId) -> Result<(), StoreError> {
        self.inner.token_revoke(token).await
    }

    async fn audit_add(&self, entry: &AuditEntry) -> Result<(), StoreError> {
        self.inner.audit_add(entry).await
    }

    async fn audit(&self, before: Option<i64>, limit: u32) -> Result<Vec<(i64, AuditEntry)>, StoreError> {
        self.inner.audit(before, limit).await
    }

    async fn deploy_marks_put(&self, site: SiteId, marks: &[DeployMark]) -> Result<(), StoreError> {
        self.inner.deploy_marks_put(site, marks).await
    }

    async fn deploy_marks(&self, site: SiteId) -> Result<Vec<DeployMark>, StoreError> {
        self.inner.deploy_marks(site).await
    }
}

#[async_trait]
impl Loading for FaultyStore {
    async fn cursor(&self, site: SiteId, spool: SpoolId) -> Result<u64, StoreError> {
        self.fail_if_away()?;
        self.inner.cursor(site, spool).await
    }

    async fn cursor_max(&self, spool: SpoolId) -> Result<u64, StoreError> {
        self.fail_if_away()?;
        self.fail_if_node_gone()?;
        self.inner.cursor_max(spool).await
    }

    async fn cursors_forget(&self, spool: SpoolId) -> Result<(), StoreError> {
        self.fail_if_away()?;
        self.fail_if_node_gone()?;
        self.inner.cursors_forget(spool).await
    }

    async fn load_pass(
        &self,
        pass: Vec<LoadBatch>,
    ) -> Result<Vec<Result<LoadReport, StoreError>>, StoreError> {
        let beacons = pass.iter().map(|batch| batch.beacons.len()).sum();
        self.loads.lock().unwrap_or_else(PoisonError::into_inner).push(beacons);
        self.fail_if_away()?;
        if beacons as u64 > self.in_time.load(Ordering::SeqCst) {
            return Err(slow(!self.silent.load(Ordering::SeqCst)));
        }
        let is_hung: Vec<bool> = pass.iter().map(|batch| self.is_hung(batch.site)).collect();
        let (_, others): (Vec<_>, Vec<_>) = pass.into_iter().partition(|batch| self.is_hung(batch.site));
        let mut others = self.inner.load_pass(others).await?.into_iter();
        let hang = |is_hung: bool| match is_hung {
            true => Some(Err(slow(true))),
            false => others.next(),
        };
        let loaded = is_hung.into_iter().filter_map(hang).collect();
        if Self::due(&self.after) { Err(fault("the answer was lost")) } else { Ok(loaded) }
    }
}

#[async_trait]
impl Reports for FaultyStore {
    async fn routes(&self, site: SiteId, from_ms: i64, to_ms: i64) -> Result<Vec<String>, StoreError> {
        self.inner.routes(site, from_ms, to_ms).await
    }

    async fn route_names(&self, site: SiteId) -> Result<Vec<String>, StoreError> {
        self.inner.route_names(site).await
    }

    async fn version(&self, site: SiteId) -> Result<Version, StoreError> {
        self.inner.version(site).await
    }

    async fn cells_of(
        &self,
        query: &CellQuery,
        selection: &Selection,
    ) -> Result<PeriodRows<RouteCell>, StoreError> {
        self.inner.cells_of(query, selection).await
    }

    async fn total(&self, query: &CellQuery) -> Result<Total, StoreError> {
        self.inner.total(query).await
    }

    async fn breakdown(&self, query: &CellQuery, by: GroupBy) -> Result<PeriodRows<ValueCell>, StoreError> {
        self.fail_comparison_if_away()?;
        self.inner.breakdown(query, by).await
    }

    async fn series(&self, query: &SeriesQuery) -> Result<Vec<StepCells>, StoreError> {
        self.inner.series(query).await
    }

    async fn scan(&self, query: &ScanQuery, gather: &mut dyn Gather) -> Result<Scanned, StoreError> {
        self.inner.scan(query, gather).await
    }

    async fn labels(&self, site: SiteId, dimension: Dimension) -> Result<Vec<String>, StoreError> {
        self.inner.labels(site, dimension).await
    }

    async fn texts(&self, site: SiteId, kind: TextKind) -> Result<Vec<String>, StoreError> {
        self.inner.texts(site, kind).await
    }

    async fn views_of(&self, site: SiteId, ids: &[ViewId]) -> Result<Vec<StoredView>, StoreError> {
        self.inner.views_of(site, ids).await
    }

    async fn urls(&self, site: SiteId, period: Range<i64>) -> Result<UrlCounts, StoreError> {
        self.inner.urls(site, period).await
    }

    async fn strata(&self, query: &StrataQuery) -> Result<Vec<Stratum>, StoreError> {
        self.inner.strata(query).await
    }

    async fn class_views(&self, query: &ClassViewsQuery) -> Result<Vec<ClassViews>, StoreError> {
        self.fail_comparison_if_away()?;
        self.inner.class_views(query).await
    }

    async fn tally(&self, query: &TallyQuery) -> Result<Tally, StoreError> {
        self.inner.tally(query).await
    }

    async fn view(&self, site: SiteId, id: ViewId) -> Result<Option<StoredView>, StoreError> {
        self.inner.view(site, id).await
    }
}

#[async_trait]
impl Alerting for FaultyStore {
    async fn judgements(
        &self,
        site: SiteId,
        now_ms: i64,
        judgements: &[Judgement],
    ) -> Result<(), StoreError> {
        self.inner.judgements(site, now_ms, judgements).await
    }

    async fn violation_dismiss(
        &self,
        site: SiteId,
        id: i64,
        now_ms: i64,
        by: &str,
    ) -> Result<bool, StoreError> {
        self.inner.violation_dismiss(site, id, now_ms, by).await
    }

    async fn violations(
        &self,
        site: SiteId,
        open_only: bool,
        skip: u32,
        limit: u32,
    ) -> Result<Vec<Violation>, StoreError> {
        self.inner.violations(site, open_only, skip, limit).await
    }

    async fn budgets_put(&self, site: SiteId, budgets: &NewBudgets) -> Result<AppliedBudgets, StoreError> {
        self.inner.budgets_put(site, budgets).await
    }

    async fn budgets(
        &self,
        site: SiteId,
        version: Option<i64>,
    ) -> Result<Option<AppliedBudgets>, StoreError> {
        self.inner.budgets(site, version).await
    }

    async fn budget_versions(&self, site: SiteId) -> Result<Vec<AppliedBudgets>, StoreError> {
        self.inner.budget_versions(site).await
    }

    async fn standing(&self, site: SiteId) -> Result<Option<String>, StoreError> {
        self.inner.standing(site).await
    }

    async fn standing_put(&self, site: SiteId, state: &str) -> Result<(), StoreError> {
        self.inner.standing_put(site, state).await
    }

    async fn lease(
        &self,
        task: &str,
        holder: [u8; 16],
        now_ms: i64,
        for_ms: i64,
    ) -> Result<bool, StoreError> {
        self.inner.lease(task, holder, now_ms, for_ms).await
    }

    async fn alert_open(
        &self,
        site: SiteId,
        now_ms: i64,
        alert: &NewAlert,
        notices: &[(String, i64)],
    ) -> Result<Option<i64>, StoreError> {
        self.inner.alert_open(site, now_ms, alert, notices).await
    }

    async fn alert_change(
        &self,
        site: SiteId,
        id: i64,
        now_ms: i64,
        change: &AlertChange,
    ) -> Result<bool, StoreError> {
        self.inner.alert_change(site, id, now_ms, change).await
    }

    async fn alerts(
        &self,
        site: SiteId,
        open_only: bool,
        skip: u32,
        limit: u32,
    ) -> Result<Vec<Alert>, StoreError> {
        self.inner.alerts(site, open_only, skip, limit).await
    }

    async fn alert(&self, site: SiteId, id: i64) -> Result<Option<Alert>, StoreError> {
        self.inner.alert(site, id).await
    }

    async fn notices_due(
        &self,
        now_ms: i64,
        limit: u32,
        without: &[String],
    ) -> Result<Vec<(SiteId, i64, Notice)>, StoreError> {
        self.inner.notices_due(now_ms, limit, without).await
    }

    async fn notice_tried(
        &self,
        site: SiteId,
        alert: i64,
        read: &Notice,
        after: &Notice,
    ) -> Result<(), StoreError> {
        self.inner.notice_tried(site, alert, read, after).await
    }

    async fn digests_plan(
        &self,
        site: SiteId,
        week: i32,
        due_ms: i64,
        channels: &[String],
    ) -> Result<(), StoreError> {
        self.inner.digests_plan(site, week, due_ms, channels).await
    }

    async fn digests_due(
        &self,
        now_ms: i64,
        limit: u32,
        channels: &[String],
    ) -> Result<Vec<Digest>, StoreError> {
        self.inner.digests_due(now_ms, limit, channels).await
    }

    async fn digests(&self, site: SiteId) -> Result<Vec<Digest>, StoreError> {
        self.inner.digests(site).await
    }

    async fn digest_tried(&self, read: &Digest, after: &Digest) -> Result<bool, StoreError> {
        self.inner.digest_tried(read, after).await
    }
}

#[async_trait]
impl Maintenance for FaultyStore {
    fn has_clock(&self) -> bool {
        self.inner.has_clock()
    }

    async fn retention(&self) -> Result<Option<Retention>, StoreError> {
        self.inner.retention().await
    }

    async fn set_retention(&self, retention: Retention) -> Result<(), StoreError> {
        self.inner.set_retention(retention).await
    }

    async fn reroute(&self, site: SiteId, moves: Vec<Reroute>) -> Result<u64, StoreError> {
        self.inner.reroute(site, moves).await
    }

    async fn maintain(&self, now_ms: i64, retention: Retention) -> Result<MaintenanceSummary, StoreError> {
        self.inner.maintain(now_ms, retention).await
    }

    async fn erase(&self, erase: &Erase) -> Result<Erased, StoreError> {
        self.inner.erase(erase).await
    }

    async fn free_names(&self, site: SiteId) -> Result<u64, StoreError> {
        self.inner.free_names(site).await
    }

    async fn erasable(&self, erase: &Erase) -> Result<u64, StoreError> {
        self.inner.erasable(erase).await
    }

    async fn view_days(&self, site: SiteId) -> Result<Vec<i64>, StoreError> {
        self.inner.view_days(site).await
    }

    async fn verify_day(&self, site: SiteId, day_ms: i64) -> Result<Vec<Difference>, StoreError> {
        self.inner.verify_day(site, day_ms).await
    }

    async fn rebuild_day(&self, site: SiteId, day_ms: i64) -> Result<Rebuilt, StoreError> {
        self.inner.rebuild_day(site, day_ms).await
    }
}

#[async_trait]
impl Transfer for FaultyStore {
    async fn names(&self, site: SiteId) -> Result<Vec<Name>, StoreError> {
        self.inner.names(site).await
    }

    async fn names_put(&self, site: SiteId, names: &[Name]) -> Result<(), StoreError> {
        self.inner.names_put(site, names).await
    }

    async fn retention_edges(&self) -> Result<RetentionEdges, StoreError> {
        self.inner.retention_edges().await
    }

    async fn keep(&self, retained: RetentionEdges) -> Result<(), StoreError> {
        self.inner.keep(retained).await
    }

    async fn site_size(&self, site: SiteId) -> Result<SiteSize, StoreError> {
        self.inner.site_size(site).await
    }

    async fn site_put(&self, site: &Site) -> Result<Site, StoreError> {
        self.inner.site_put(site).await
    }

    async fn views(
        &self,
        site: SiteId,
        after: Option<ViewId>,
        limit: u32,
    ) -> Result<Vec<StoredView>, StoreError> {
        self.inner.views(site, after, limit).await
    }

    async fn view_at(&self, site: SiteId, count: u64) -> Result<Option<ViewId>, StoreError> {
        self.inner.view_at(site, count).await
    }

    async fn rollups(
        &self,
        site: SiteId,
        after: Option<(Grain, i64)>,
        limit: u32,
    ) -> Result<Vec<RollupGroup>, StoreError> {
        self.inner.rollups(site, after, limit).await
    }

    async fn rollups_put(&self, site: SiteId, groups: Vec<RollupGroup>) -> Result<(), StoreError> {
        self.inner.rollups_put(site, groups).await
    }

    async fn violations_put(&self, site: SiteId, violations: &[Violation]) -> Result<(), StoreError> {
        self.inner.violations_put(site, violations).await
    }
}

#[async_trait]
impl Store for FaultyStore {
    async fn close(&self) {
        self.inner.close().await;
    }
}
