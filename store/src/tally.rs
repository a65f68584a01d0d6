//! Defines exact counts and percentiles of page views.

use crate::limits;
use crate::site::SiteId;
use vitals::gate::{INTERVAL_ALPHA, interval_ranks};
use vitals::histogram::rank;
use vitals::metric::{Metric, Value};
use vitals::view::Device;

/// A query for the number of page views within a value.
#[derive(Clone, Debug, PartialEq)]
pub struct TallyQuery {
    /// The site.
    pub site: SiteId,
    /// First start of a page view, UTC milliseconds.
    pub from_ms: i64,
    /// End of the range, excluded.
    pub to_ms: i64,
    /// Selects these routes only; an empty list selects none.
    pub routes: Vec<String>,
    /// Selects this class of device only.
    pub device: Option<Device>,
    /// Selects this release only.
    pub release: Option<String>,
    /// The metric.
    pub metric: Metric,
    /// The value.
    pub at_most: Value,
    /// The percentile to compute, 1 to 99.
    pub percent: u8,
}

/// An exact answer, from page views.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Page views with the metric.
    pub n: i64,
    /// Page views with the metric at or under the value.
    pub within: i64,
    /// The percentile; `None` without values, or with more than [`crate::limits::SORT_VIEWS_MAX`].
    pub percentile: Option<Value>,
    /// Its 90 % confidence interval; also `None` with too few values.
    pub interval: Option<[Value; 2]>,
}

/// The ranks of the values in a tally, from 1 to n.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ranks {
    /// The rank of the percentile.
    pub percentile: u64,
    /// The ranks of its interval.
    pub interval: Option<(u64, u64)>,
}

impl Ranks {
    /// Returns the ranks among `n` values; `None` without values, or with more than the bound.
    #[must_use]
    pub fn of(n: i64, percent: u8) -> Option<Self> {
        let count = u64::try_from(n).ok().filter(|count| (1..=limits::SORT_VIEWS_MAX).contains(count))?;
        let percentile = u64::try_from(rank(n, percent)).ok()?;
        Some(Self { percentile, interval: interval_ranks(count, percent, INTERVAL_ALPHA) })
    }

    /// Returns the first and the last rank.
    #[must_use]
    pub fn span(&self) -> (u64, u64) {
        self.interval.unwrap_or((self.percentile, self.percentile))
    }
}

impl Tally {
    /// Computes a tally from counts, and from the ascending values between the first and the last rank.
    #[must_use]
    pub fn new(metric: Metric, n: i64, within: i64, ranks: Option<Ranks>, values: &[u32]) -> Self {
        let at = |ranks: Ranks, rank: u64| {
            let place = usize::try_from(rank.checked_sub(ranks.span().0)?).ok()?;
            Value::from_micros(metric, *values.get(place)?)
        };
        let interval = |ranks: Ranks| {
            let (low, high) = ranks.interval?;
            Some([at(ranks, low)?, at(ranks, high)?])
        };
        Self {
            n,
            within,
            percentile: ranks.and_then(|ranks| at(ranks, ranks.percentile)),
            interval: ranks.and_then(interval),
        }
    }
}
