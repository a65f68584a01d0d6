//! Counts the page views that decide on a budget, and keeps the values that its report shows.

use super::Question;
use fieldvitals_store::{Cell, CellQuery, Filters, RouteCell, Site, Store, StoreError, TallyQuery};
use vitals::budget::Budget;
use vitals::gate::{ALPHA, Block, DesignEffect, Sample, design_effect};
use vitals::histogram::{Histogram, rank};
use vitals::metric::{Metric, Metrics, Value};

/// The evidence on one budget.
pub(super) struct Counts {
    /// Number of matching routes.
    pub(super) routes: usize,
    /// The counts.
    pub(super) sample: Sample,
    /// The design effect of the counts and its source.
    pub(super) effect: DesignEffect,
    /// The start of the first page view, UTC milliseconds, to half an hour; `None` if unknown.
    pub(super) first_ms: Option<i64>,
    metric: Metric,
    at_most: Value,
    shown: Shown,
}

/// The values that a report may show.
enum Shown {
    /// Values around the percentile; the first one has this rank.
    Values(u64, Vec<Value>),
    /// Of more page views than the store sorts: within the error of a histogram.
    Histogram(Box<Histogram>),
    /// Of more page views than the store sorts, over a period that rollups do not tell.
    Nothing,
}

impl Counts {
    /// The rank of the percentile, from 1.
    fn percentile_rank(&self) -> u64 {
        let n = i64::try_from(self.sample.n).unwrap_or(i64::MAX);
        u64::try_from(rank(n, self.sample.percent)).unwrap_or(1)
    }

    /// Returns the percentile, in the metric's unit.
    pub(super) fn percentile(&self) -> Option<f64> {
        self.at(self.percentile_rank(), |[low, high]| f64::midpoint(low, high))
    }

    /// Returns the values at two ranks: at most the first and at least the second.
    pub(super) fn interval(&self, (low, high): (u64, u64)) -> Option<[f64; 2]> {
        Some([self.at(low, |[low, _]| low)?, self.at(high, |[_, high]| high)?])
    }

    /// Returns the value at a rank; `choose` takes one of the bounds of an inexact one.
    fn at(&self, rank: u64, choose: impl Fn([f64; 2]) -> f64) -> Option<f64> {
        match &self.shown {
            Shown::Values(first, values) => {
                let place = usize::try_from(rank.checked_sub(*first)?).ok()?;
                Some(values.get(place)?.number(self.metric))
            }
            Shown::Histogram(histogram) => {
                let told = choose(histogram.bounds_at_rank(self.metric, i64::try_from(rank).ok()?)?);
                // The first `within` values are at or under the budget, exactly.
                let most = self.at_most.number(self.metric);
                let over = Value::from_micros(self.metric, self.at_most.micros().saturating_add(1));
                let over = over.map_or(most, |value| value.number(self.metric));
                Some(if rank <= self.sample.within { told.min(most) } else { told.max(over) })
            }
            Shown::Nothing => None,
        }
    }
}

/// Counts for the budgets of one check. Reads each cell of rollups once.
pub(super) struct Counter<'a> {
    store: &'a dyn Store,
    site: &'a Site,
    question: &'a Question,
    /// Number of budgets in the check.
    budgets: usize,
    /// Page views that are counted one by one.
    views_max: u64,
    /// Whether the site has more page views in the period.
    is_large: bool,
    /// Cells by metric and filters; `None` if rollups do not tell the period.
    cells: Vec<(Metric, Filters, Option<Vec<RouteCell>>)>,
}

impl<'a> Counter<'a> {
    pub(super) async fn new(
        store: &'a dyn Store,
        site: &'a Site,
        question: &'a Question,
        budgets: usize,
        views_max: u64,
    ) -> Result<Self, StoreError> {
        let all = CellQuery {
            metrics: Metrics::NONE,
            ..CellQuery::new(site.id, question.range.from_ms, question.range.to_ms)
        };
        let views = store.total(&all).await?.cell.views;
        let is_large = u64::try_from(views).unwrap_or(0) > views_max;
        Ok(Self { store, site, question, budgets, views_max, is_large, cells: Vec::new() })
    }

    /// Counts the page views of a budget on these routes.
    ///
    /// Up to `views_max` page views are counted one by one. More are counted by rollups if these count exactly: if
    /// the budget's value is a threshold of the ratings or the edge of a bucket.
    ///
    /// # Errors
    /// If the store cannot answer.
    pub(super) async fn count(
        &mut self,
        (budget, at_most): (&Budget, Value),
        filters: Filters,
        routes: Vec<String>,
    ) -> Result<Counts, StoreError> {
        let metric = budget.metric;
        let count = |number: i64| u64::try_from(number).unwrap_or(0);
        if self.is_large
            && let Some(histogram) = self.histogram(metric, &filters, &routes).await?
            && count(histogram.n()) > self.views_max
            && let Some(within) = histogram.exactly_within(metric, at_most)
        {
            let counted = (count(histogram.n()), count(within));
            return Ok(self.counts(
                (budget, at_most),
                routes.len(),
                counted,
                None,
                Shown::Histogram(Box::new(histogram)),
            ));
        }
        let query = TallyQuery {
            site: self.site.id,
            from_ms: self.question.range.from_ms,
            to_ms: self.question.range.to_ms,
            routes,
            filters,
            metric,
            at_most,
        };
        let tally = self.store.tally(&query).await?;
        let counted = (tally.n, tally.within);
        let routes = query.routes.len();
        if tally.values.is_empty() && tally.n > 0 {
            let histogram = self.histogram(metric, &query.filters, &query.routes).await?;
            let shown = histogram.map_or(Shown::Nothing, |histogram| Shown::Histogram(Box::new(histogram)));
            return Ok(self.counts((budget, at_most), routes, counted, None, shown));
        }
        let shown = Shown::Values(1, tally.values);
        let mut counts = self.counts((budget, at_most), routes, counted, Some(&tally.blocks), shown);
        self.shorten(&mut counts);
        Ok(counts)
    }

    fn counts(
        &self,
        (budget, at_most): (&Budget, Value),
        routes: usize,
        (n, within): (u64, u64),
        blocks: Option<&[Block]>,
        shown: Shown,
    ) -> Counts {
        let effect =
            blocks.map_or(DesignEffect::MAX, |blocks| design_effect(blocks, self.question.looks, ALPHA));
        let (percent, min_samples, design_effect) = (budget.percentile, budget.min_samples, effect.value);
        Counts {
            routes,
            sample: Sample { n, within, percent, min_samples, design_effect },
            effect,
            first_ms: blocks.and_then(<[Block]>::first).map(Block::start_ms),
            metric: budget.metric,
            at_most,
            shown,
        }
    }

    /// Drops the values that no report of this check can show, because a check may have hundreds of budgets.
    fn shorten(&self, counts: &mut Counts) {
        // The strictest level that Holm's correction may require.
        let level = ALPHA / self.budgets.max(1) as f64;
        let rank = counts.percentile_rank();
        let Some((low, high)) = counts.sample.ranks(self.question.looks, level, ALPHA) else { return };
        let (low, high) = (low.min(rank), high.max(rank));
        if let Shown::Values(first, values) = &mut counts.shown {
            let place = |rank: u64| usize::try_from(rank).unwrap_or(usize::MAX).min(values.len());
            *values = values.get(place(low.saturating_sub(1))..place(high)).unwrap_or_default().to_vec();
            *first = low;
        }
    }

    /// Returns the histogram of a metric over routes; `None` if rollups do not tell it for exactly the period.
    async fn histogram(
        &mut self,
        metric: Metric,
        filters: &Filters,
        routes: &[String],
    ) -> Result<Option<Histogram>, StoreError> {
        let known = self.cells.iter().position(|(of, by, _)| (*of, by) == (metric, filters));
        let place = match known {
            Some(place) => place,
            None => {
                let cells = self.read_cells(metric, filters).await?;
                self.cells.push((metric, filters.clone(), cells));
                self.cells.len().saturating_sub(1)
            }
        };
        let Some((_, _, Some(cells))) = self.cells.get(place) else { return Ok(None) };
        let mut pooled = Cell::default();
        for row in cells.iter().filter(|row| routes.binary_search(&row.route).is_ok()) {
            pooled.merge(&row.cell);
        }
        Ok(Some(pooled.metric(metric).clone()))
    }

    async fn read_cells(
        &self,
        metric: Metric,
        filters: &Filters,
    ) -> Result<Option<Vec<RouteCell>>, StoreError> {
        let range = &self.question.range;
        let query = CellQuery {
            filters: filters.clone(),
            metrics: Metrics::only(metric),
            ..CellQuery::new(self.site.id, range.from_ms, range.to_ms)
        };
        match self.store.cells(&query).await {
            Ok(found) => Ok((found.period == (range.from_ms..range.to_ms)).then_some(found.rows)),
            Err(StoreError::TooManyViews { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }
}
