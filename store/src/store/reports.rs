//! Answers questions about page views.

use crate::context::causes::Explaining;
use crate::context::engagement::Counting;
use crate::context::samples::Sorting;
use crate::context::split::Splitting;
use crate::context::texts::TextKind;
use crate::scan::{Gather, Scanned};
use crate::{
    CauseQuery, Causes, CellQuery, ClassViewsQuery, ContextProperty, Dimension, Engagement, EngagementQuery,
    GroupBy, PeriodRows, RouteCell, Said, SampleQuery, Samples, ScanQuery, Selection, SeriesQuery, SiteId,
    StepCells, StoreError, StoredView, StrataQuery, Stratum, Tally, TallyQuery, Total, UrlCounts, ValueCell,
    Version, limits,
};
use async_trait::async_trait;

/// Answers questions about page views.
#[async_trait]
pub trait Reports: Send + Sync {
    /// Returns the version of a site's data, in one short read. An answer that is read later is at least as new.
    async fn version(&self, site: SiteId) -> Result<Version, StoreError>;

    /// Returns the routes with page views that start in the range (UTC milliseconds, end excluded), sorted.
    async fn routes(&self, site: SiteId, from_ms: i64, to_ms: i64) -> Result<Vec<String>, StoreError>;

    /// Returns all routes of a site, of page views and of rollups, sorted.
    async fn route_names(&self, site: SiteId) -> Result<Vec<String>, StoreError>;

    /// Returns one cell per route, sorted by route. Omits routes without page views.
    ///
    /// Queries of one dimension are answered from rollups, which equal a recomputation from page views; the range is
    /// rounded outwards to whole minutes. [`crate::rollup::Plan`] documents how a part of a day or an hour is counted, and when
    /// the period grows to whole hours or days. Several filters and [`CellQuery::exact`] are answered from page views, to the
    /// millisecond.
    ///
    /// # Errors
    /// [`StoreError::TooManyViews`] if the query would read too many page views.
    async fn cells(&self, query: &CellQuery) -> Result<PeriodRows<RouteCell>, StoreError> {
        self.cells_of(query, &Selection::All).await
    }

    /// Returns the selected cells of [`Reports::cells`], in the same order.
    ///
    /// # Errors
    /// Those of [`Reports::cells`].
    async fn cells_of(
        &self,
        query: &CellQuery,
        selection: &Selection,
    ) -> Result<PeriodRows<RouteCell>, StoreError>;

    /// Returns one cell over all routes, or of the filtered one. Answers from rollups or page views as
    /// [`Reports::cells`] does; the rollups of the whole site make it cheaper than the sum of the routes.
    ///
    /// # Errors
    /// Those of [`Reports::cells`].
    async fn total(&self, query: &CellQuery) -> Result<Total, StoreError>;

    /// Returns one cell per value of a dimension or of a column that only page views have, over all routes or the
    /// filtered one. Cells with most page views come first, equal ones sorted by value, the unknown value last.
    /// Answers from rollups or page views as [`Reports::cells`] does.
    ///
    /// # Errors
    /// Those of [`Reports::cells`].
    async fn breakdown(&self, query: &CellQuery, by: GroupBy) -> Result<PeriodRows<ValueCell>, StoreError>;

    /// Returns the cells of each step of a series, as [`Reports::total`] of each step would, or as [`Reports::breakdown`] with
    /// the values that have no line joined. Reads the rows of all steps together.
    ///
    /// # Errors
    /// Those of [`Reports::cells`]. [`StoreError::TooManyViews`] also if all steps together would read too many page views.
    async fn series(&self, query: &SeriesQuery) -> Result<Vec<StepCells>, StoreError>;

    /// Passes the page views of a query to `gather`, in any order, from one state of the store. [`crate::scan`] documents
    /// the bound.
    ///
    /// # Errors
    /// [`StoreError::TooManyViews`] if the query takes no sample and would read too many page views.
    async fn scan(&self, query: &ScanQuery, gather: &mut dyn Gather) -> Result<Scanned, StoreError>;

    /// Returns one cell per value of a context's property, as [`Reports::breakdown`] does, from page views.
    ///
    /// # Errors
    /// Those of [`Reports::scan`].
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
    /// Those of [`Reports::scan`].
    async fn causes(&self, query: &CauseQuery) -> Result<Causes, StoreError> {
        let mut explaining = Explaining::new(query);
        let query = ScanQuery { views: query.views.clone(), views_max: Some(query.views_max) };
        let scanned = self.scan(&query, &mut explaining).await?;
        Ok(explaining.finish(scanned))
    }

    /// Returns page views near a percentile of a metric, or the slowest ones.
    ///
    /// # Errors
    /// Those of [`Reports::scan`].
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
    /// Those of [`Reports::scan`].
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
    /// Those of [`Reports::scan`].
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
    /// [`crate::limits::SAMPLE_VIEWS_MAX`].
    async fn urls(&self, site: SiteId, period: std::ops::Range<i64>) -> Result<UrlCounts, StoreError>;

    /// Returns the page views of some ranges by class, sorted by class, from stored page views.
    ///
    /// # Errors
    /// [`StoreError::TooManyViews`] if the ranges hold more than [`crate::limits::STRATA_VIEWS_MAX`] page views that match.
    async fn strata(&self, query: &StrataQuery) -> Result<Vec<Stratum>, StoreError>;

    /// Returns the values of a metric by class, sorted by class, time and size, from page views.
    ///
    /// # Errors
    /// [`StoreError::TooManyViews`] if more than [`crate::limits::SORT_VIEWS_MAX`] page views match.
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
}
