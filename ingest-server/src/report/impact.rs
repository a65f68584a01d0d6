//! The impact of a route: the page views that a repair would reach.
//!
//! Impact is the number of page views that are not good: `page views with the metric × share not good`. The share
//! is the lower bound of [`vitals::share::at_least`], so that few page views count for less than they show. Sampled page
//! views count with their weight.
//!
//! If no metric is chosen, the Core Web Vital with the largest impact counts. A route is as bad as its worst metric,
//! because all three must be good to pass.

use fieldvitals_store::{Cell, Weight};
use serde::Serialize;
use utoipa::ToSchema;
use vitals::metric::{Metric, Rating};
use vitals::share;

/// The page views of a route that are not good.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct Impact {
    /// The metric: the asked one, or the Core Web Vital with the largest impact.
    pub metric: &'static str,
    /// Estimated page views that are not good, by `share_at_least`.
    pub views: f64,
    /// Share of the page views with the metric that are not good, 0 to 1.
    pub share: f64,
    /// Lower bound of `share`: the true share is smaller with a probability of 5 %.
    pub share_at_least: f64,
}

impl Impact {
    /// Returns the largest impact among metrics with at least `min_n` values; `None` if there is no such metric.
    #[must_use]
    pub fn of(cell: &Cell, metrics: &[Metric], min_n: i64) -> Option<Self> {
        let impacts = metrics.iter().filter_map(|&metric| Self::of_metric(cell, metric, min_n));
        impacts.reduce(|best, other| if other.views > best.views { other } else { best })
    }

    fn of_metric(cell: &Cell, metric: Metric, min_n: i64) -> Option<Self> {
        let histogram = cell.metric(metric);
        let n = histogram.n();
        if n < min_n.max(1) {
            return None;
        }
        let not_good = n.saturating_sub(histogram.rated(Rating::Good));
        let share_at_least = share::at_least(not_good, n);
        // The mean weight of the route's page views.
        let weight = cell.weight_milli as f64 / (cell.views.max(1) as f64 * Weight::ONE_MILLI as f64);
        Some(Self {
            metric: metric.name(),
            views: n as f64 * share_at_least * weight,
            share: not_good as f64 / n as f64,
            share_at_least,
        })
    }
}
