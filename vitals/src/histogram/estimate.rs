//! A percentile with its uncertainty.

use super::Histogram;
use crate::gate::INTERVAL_ALPHA;
use crate::metric::Metric;

/// A percentile of one group of page views, in the metric's unit.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Estimate {
    /// Page views with a value. For weighted page views, the number of equal weights with the same error.
    pub n: u64,
    /// The percentile.
    pub value: f64,
    /// The 90 % confidence interval; `None` with too few page views.
    pub interval: Option<[f64; 2]>,
}

impl Estimate {
    /// Estimates a percentile of a histogram; `None` without values.
    #[must_use]
    pub fn of(metric: Metric, histogram: &Histogram, percent: u8) -> Option<Self> {
        Some(Self {
            n: u64::try_from(histogram.n()).ok()?,
            value: histogram.percentile(metric, percent)?,
            interval: histogram.interval(metric, percent, INTERVAL_ALPHA),
        })
    }
}
