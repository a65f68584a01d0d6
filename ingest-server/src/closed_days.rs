//! Keeps merged cells of closed UTC days in memory, so that a question about a month merges only today's anew.
//!
//! Cells add up over time. A [`Reader`] splits a question at the ends of UTC days: the parts of days at both ends are
//! asked for each time, and the whole days between are kept by their [`Version::of_days`]. The last days are kept one by
//! one, because late beacons still change them.

use fieldvitals_store::rollup::{DAY_MS, From as Source, day_of};
use fieldvitals_store::{
    Cell, CellQuery, GroupBy, PeriodRows, RouteCell, Selection, Store, StoreError, Total, ValueCell, Version,
};
use moka::future::Cache;
use moka::policy::EvictionPolicy;
use serde::Serialize;
use sha2::{Digest as _, Sha256};
use std::cmp::{Ordering, Reverse};
use std::ops::{Deref, Range};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering as Atomic};
use std::time::Duration;
use utoipa::ToSchema;
use vitals::metric::Metric;

/// Days before today that are kept one by one. Beacons are accepted for 48 hours, so they rarely change earlier days.
const RECENT_DAYS: i64 = 3;

/// Fewer whole days are not worth keeping.
const DAYS_MIN: i64 = 2;

/// Cells that no question reads are dropped after this time, so that a quiet server returns memory.
const IDLE: Duration = Duration::from_secs(60 * 60);

/// Identifies kept cells: a hash of the question, the days and their version.
type Key = [u8; 16];

/// A question whose answer adds up over time.
#[derive(Clone, Copy, Debug)]
enum Question<'a> {
    Cells(&'a Selection),
    Total,
    Breakdown(GroupBy),
}

impl Question<'_> {
    async fn ask(self, store: &dyn Store, query: &CellQuery) -> Result<Sums, StoreError> {
        Ok(match self {
            Self::Cells(selection) => {
                let PeriodRows { period, rows } = store.cells_of(query, selection).await?;
                let rows = rows.into_iter().map(|RouteCell { route, cell }| (Some(route), cell));
                Sums { period, rows: rows.collect() }
            }
            Self::Total => {
                let Total { period, cell } = store.total(query).await?;
                Sums { period, rows: vec![(None, cell)] }
            }
            Self::Breakdown(by) => {
                let PeriodRows { period, rows } = store.breakdown(query, by).await?;
                let mut rows: Vec<_> =
                    rows.into_iter().map(|ValueCell { value, cell }| (value, cell)).collect();
                rows.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
                Sums { period, rows }
            }
        })
    }

    const fn by(self) -> Option<GroupBy> {
        match self {
            Self::Cells(_) | Self::Total => None,
            Self::Breakdown(by) => Some(by),
        }
    }
}

/// Cells of a period by route or value, sorted by it; the cell of a total has none.
#[derive(Clone, Debug)]
struct Sums {
    period: Range<i64>,
    rows: Vec<(Option<String>, Cell)>,
}

impl Sums {
    /// Adds the cells of the next period.
    fn add(&mut self, next: &Self) {
        self.period.end = next.period.end;
        let mut merged = Vec::with_capacity(self.rows.len().max(next.rows.len()));
        let (mut mine, mut theirs) =
            (std::mem::take(&mut self.rows).into_iter().peekable(), next.rows.iter().peekable());
        loop {
            let order = match (mine.peek(), theirs.peek()) {
                (Some((a, _)), Some((b, _))) => a.cmp(b),
                (Some(_), None) => Ordering::Less,
                (None, Some(_)) => Ordering::Greater,
                (None, None) => break,
            };
            let row = if order == Ordering::Greater { None } else { mine.next() };
            let other = if order == Ordering::Less { None } else { theirs.next() };
            merged.extend(match (row, other) {
                (Some((key, mut cell)), Some((_, other))) => {
                    cell.merge(other);
                    Some((key, cell))
                }
                (Some(row), None) => Some(row),
                (None, other) => other.cloned(),
            });
        }
        self.rows = merged;
    }

    /// An estimate of the memory, in bytes.
    fn bytes(&self) -> usize {
        let row = |(key, cell): &(Option<String>, Cell)| {
            let buckets: usize = Metric::ALL.into_iter().map(|metric| cell.metric(metric).bytes()).sum();
            size_of::<(Option<String>, Cell)>() + key.as_ref().map_or(0, String::len) + buckets
        };
        self.rows.iter().map(row).sum()
    }
}

/// The kept cells.
pub struct ClosedDays {
    kept: Cache<Key, Arc<Sums>>,
    bytes_max: u64,
    hits: AtomicU64,
    computed: AtomicU64,
}

/// The cells of closed days kept in memory.
#[derive(Debug, Serialize, ToSchema)]
pub struct ClosedDaysReport {
    /// Size of the kept cells.
    pub bytes: u64,
    /// Limit of the size: half of `--answers-mib`.
    pub bytes_max: u64,
    /// Ranges of days from memory since the server started.
    pub hits: u64,
    /// Ranges of days read from the store.
    pub computed: u64,
}

impl ClosedDays {
    /// Keeps up to `bytes_max` bytes of cells.
    #[must_use]
    pub fn new(bytes_max: u64) -> Self {
        let kept = Cache::builder()
            .max_capacity(bytes_max)
            .weigher(|key: &Key, sums: &Arc<Sums>| {
                u32::try_from(key.len() + sums.bytes()).unwrap_or(u32::MAX)
            })
            // Cells of old versions are never asked for again, however often they were.
            .eviction_policy(EvictionPolicy::lru())
            .time_to_idle(IDLE)
            .build();
        Self { kept, bytes_max, hits: AtomicU64::new(0), computed: AtomicU64::new(0) }
    }

    /// Reports the size and the counters.
    pub async fn report(&self) -> ClosedDaysReport {
        // Applies evictions, which the cache does later by itself.
        self.kept.run_pending_tasks().await;
        ClosedDaysReport {
            bytes: self.kept.weighted_size(),
            bytes_max: self.bytes_max,
            hits: self.hits.load(Atomic::Relaxed),
            computed: self.computed.load(Atomic::Relaxed),
        }
    }
}

/// Reads a site's data at one version or later, with the kept cells of closed days.
#[derive(Clone)]
pub struct Reader {
    store: Arc<dyn Store>,
    days: Arc<ClosedDays>,
    version: Version,
    now_ms: i64,
}

impl Deref for Reader {
    type Target = dyn Store;

    fn deref(&self) -> &Self::Target {
        self.store.as_ref()
    }
}

impl AsRef<dyn Store> for Reader {
    fn as_ref(&self) -> &(dyn Store + 'static) {
        self.store.as_ref()
    }
}

impl Reader {
    /// A reader of the site whose data have this version.
    #[must_use]
    pub const fn new(store: Arc<dyn Store>, days: Arc<ClosedDays>, version: Version, now_ms: i64) -> Self {
        Self { store, days, version, now_ms }
    }

    /// As [`Reports::cells`].
    ///
    /// # Errors
    /// Those of [`Reports::cells`].
    pub async fn cells(&self, query: &CellQuery) -> Result<PeriodRows<RouteCell>, StoreError> {
        self.cells_of(query, &Selection::All).await
    }

    /// As [`Reports::cells_of`].
    ///
    /// # Errors
    /// Those of [`Reports::cells_of`].
    pub async fn cells_of(
        &self,
        query: &CellQuery,
        selection: &Selection,
    ) -> Result<PeriodRows<RouteCell>, StoreError> {
        let Sums { period, rows } = self.answer(Question::Cells(selection), query).await?;
        let rows = rows.into_iter().filter_map(|(route, cell)| Some(RouteCell { route: route?, cell }));
        Ok(PeriodRows { period, rows: rows.collect() })
    }

    /// As [`Reports::total`].
    ///
    /// # Errors
    /// Those of [`Reports::total`].
    pub async fn total(&self, query: &CellQuery) -> Result<Total, StoreError> {
        let Sums { period, mut rows } = self.answer(Question::Total, query).await?;
        Ok(Total { period, cell: rows.pop().map(|(_, cell)| cell).unwrap_or_default() })
    }

    /// As [`Reports::breakdown`].
    ///
    /// # Errors
    /// Those of [`Reports::breakdown`].
    pub async fn breakdown(
        &self,
        query: &CellQuery,
        by: GroupBy,
    ) -> Result<PeriodRows<ValueCell>, StoreError> {
        let Sums { period, rows } = self.answer(Question::Breakdown(by), query).await?;
        let mut rows: Vec<_> = rows.into_iter().map(|(value, cell)| ValueCell { value, cell }).collect();
        rows.sort_by(|a, b| {
            let place = |row: &ValueCell| (Reverse(row.cell.views), row.value.is_none());
            place(a).cmp(&place(b)).then_with(|| a.value.cmp(&b.value))
        });
        Ok(PeriodRows { period, rows })
    }

    async fn answer(&self, question: Question<'_>, query: &CellQuery) -> Result<Sums, StoreError> {
        let mut sums: Option<Sums> = None;
        for (range, is_closed) in parts(query, question.by(), self.now_ms) {
            let part = CellQuery { from_ms: range.start, to_ms: range.end, ..query.clone() };
            let next = if is_closed {
                self.kept(question, &part).await?
            } else {
                Arc::new(question.ask(self.as_ref(), &part).await?)
            };
            match &mut sums {
                None => sums = Some(Arc::unwrap_or_clone(next)),
                Some(sums) if sums.period.end == next.period.start => sums.add(&next),
                // A part is past retention, so the periods have a gap.
                Some(_) => return question.ask(self.as_ref(), query).await,
            }
        }
        match sums {
            Some(sums) => Ok(sums),
            None => question.ask(self.as_ref(), query).await,
        }
    }

    /// Returns the cells of whole closed days.
    async fn kept(&self, question: Question<'_>, query: &CellQuery) -> Result<Arc<Sums>, StoreError> {
        let key = key(question, query, &self.version);
        if let Some(sums) = self.days.kept.get(&key).await {
            self.days.hits.fetch_add(1, Atomic::Relaxed);
            return Ok(sums);
        }
        let sums = Arc::new(question.ask(self.as_ref(), query).await?);
        self.days.computed.fetch_add(1, Atomic::Relaxed);
        self.days.kept.insert(key, Arc::clone(&sums)).await;
        Ok(sums)
    }
}

/// Splits the range of a question: the parts, in order, and whether each consists of closed days. No parts if the answer
/// does not add up, or if nothing is worth keeping.
fn parts(query: &CellQuery, by: Option<GroupBy>, now_ms: i64) -> Vec<(Range<i64>, bool)> {
    // The bound of page views that a question may read is of the whole question.
    if Source::question(query, by) == Source::Views {
        return Vec::new();
    }
    let (from_ms, to_ms) = (query.from_ms, query.to_ms);
    let today_ms = day_of(now_ms);
    let first = day_of(from_ms.max(0).saturating_add(DAY_MS - 1));
    let last = day_of(to_ms).min(today_ms);
    if last.saturating_sub(first) < DAYS_MIN * DAY_MS {
        return Vec::new();
    }
    let recent = (today_ms - RECENT_DAYS * DAY_MS).clamp(first, last);
    let day = |number: i64| recent + number * DAY_MS..recent + (number + 1) * DAY_MS;
    let days = (0..(last - recent) / DAY_MS).map(|number| (day(number), true));
    let before = [(from_ms..first, false), (first..recent, true)];
    let parts = before.into_iter().chain(days).chain([(last..to_ms, false)]);
    parts.filter(|(range, _)| !range.is_empty()).collect()
}

/// Hashes everything that the cells of closed days depend on.
fn key(question: Question<'_>, query: &CellQuery, version: &Version) -> Key {
    let version = version.of_days(&(query.from_ms..query.to_ms));
    let mut hash = Sha256::new();
    // The debug form of a question quotes texts, so different questions have different forms.
    hash.update(format!("{question:?} {query:?} ").as_bytes());
    hash.update(version);
    let mut key = Key::default();
    key.copy_from_slice(&hash.finalize()[..16]);
    key
}
