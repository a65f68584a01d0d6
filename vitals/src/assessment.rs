//! The Core Web Vitals assessment of a site or route, as PageSpeed Insights and the Chrome UX Report define it.
//!
//! A page passes if the 75th percentiles of LCP, INP and CLS are good. The exact counters decide: the 75th percentile is
//! good if and only if at least 75 % of the values are good. A metric with fewer values than the minimum is missing.
//! If LCP or CLS is missing, there is no verdict. INP may be missing, because many page views have no interaction: the other
//! two then decide. Source: <https://developers.google.com/speed/docs/insights/v5/about#cwv>.

use crate::histogram::Histogram;
use crate::metric::{Metric, Rating};

/// The percentile that decides.
const PERCENT: u8 = 75;
/// Values of a metric below which it is missing: the minimum of budgets.
pub const MIN_SAMPLES: i64 = crate::budget::MIN_SAMPLES_DEFAULT as i64;

/// The verdict.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Assessment {
    /// The 75th percentile of every metric is good.
    Pass,
    /// The 75th percentile of a metric is not good.
    Fail,
    /// LCP or CLS has too few values.
    NotEnoughData,
}

impl Assessment {
    /// Assesses the histograms of LCP, INP and CLS.
    #[must_use]
    pub fn of<'a>(histogram: impl Fn(Metric) -> &'a Histogram) -> Self {
        let [lcp, inp, cls] = Metric::CORE.map(|metric| is_good(histogram(metric)));
        match (lcp, cls) {
            (Some(lcp), Some(cls)) if lcp && cls && inp.unwrap_or(true) => Self::Pass,
            (Some(_), Some(_)) => Self::Fail,
            _ => Self::NotEnoughData,
        }
    }

    /// Returns the name in the API: `pass`, `fail` or `not-enough-data`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Fail => "fail",
            Self::NotEnoughData => "not-enough-data",
        }
    }
}

/// Whether the 75th percentile is good; `None` with too few values.
fn is_good(histogram: &Histogram) -> Option<bool> {
    (histogram.n() >= MIN_SAMPLES).then(|| histogram.rating(PERCENT) == Rating::Good)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metric::Value;

    fn counts(metric: Metric, good: i64, poor: i64) -> Histogram {
        let mut histogram = Histogram::default();
        histogram.add(metric, Value::ZERO, good);
        histogram.add(metric, Value::from_micros(metric, 60_000_000).unwrap(), poor);
        histogram
    }

    fn assess(lcp: (i64, i64), inp: (i64, i64), cls: (i64, i64)) -> Assessment {
        let [lcp, inp, cls] = [(Metric::Lcp, lcp), (Metric::Inp, inp), (Metric::Cls, cls)]
            .map(|(metric, (good, poor))| counts(metric, good, poor));
        Assessment::of(|metric| match metric {
            Metric::Lcp => &lcp,
            Metric::Inp => &inp,
            _ => &cls,
        })
    }

    #[test]
    fn three_quarters_of_each_metric_must_be_good() {
        let good = (100, 0);
        assert_eq!(assess((75, 25), (75, 25), (75, 25)), Assessment::Pass);
        assert_eq!(assess((74, 26), good, good), Assessment::Fail);
        assert_eq!(assess(good, (74, 26), good), Assessment::Fail);
        assert_eq!(assess(good, good, (74, 26)), Assessment::Fail);
        assert_eq!(assess((75_000_000, 25_000_001), good, good), Assessment::Fail, "exact");
    }

    #[test]
    fn inp_may_be_missing_but_not_lcp_and_cls() {
        let (good, few) = ((100, 0), (0, 99));
        assert_eq!(assess(good, few, good), Assessment::Pass);
        assert_eq!(assess((0, 100), few, good), Assessment::Fail);
        assert_eq!(assess(few, good, good), Assessment::NotEnoughData);
        assert_eq!(assess((0, 100), good, few), Assessment::NotEnoughData);
    }
}
