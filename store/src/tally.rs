//! Exact counts and percentiles of page views.

use crate::site::SiteId;
use vitals::gate::{INTERVAL_ALPHA, interval_ranks};
use vitals::histogram::rank;
use vitals::limits;
use vitals::metric::{Metric, Value};
use vitals::view::Device;

/// A question how many page views stay within a value.
#[derive(Clone, Debug, PartialEq)]
pub struct TallyQuery {
    /// The site.
    pub site: SiteId,
    /// First start of a page view, UTC milliseconds.
    pub from_ms: i64,
    /// End of the range, excluded.
    pub to_ms: i64,
    /// Only these routes; an empty list takes none.
    pub routes: Vec<String>,
    /// Only this class of device.
    pub device: Option<Device>,
    /// Only this release.
    pub release: Option<String>,
    /// The metric.
    pub metric: Metric,
    /// The value.
    pub at_most: Value,
    /// The percentile that is asked for, 1 to 99.
    pub percent: u8,
}

/// An exact answer from page views.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Page views that have the metric.
    pub n: i64,
    /// Those among them that are at or under the value.
    pub within: i64,
    /// The percentile; `None` without values, and of more than [`vitals::limits::SORT_VIEWS_MAX`].
    pub percentile: Option<Value>,
    /// Its 90 % confidence interval; `None` also with too few values.
    pub interval: Option<[Value; 2]>,
}

/// The ranks of values that a tally tells, from 1 to n.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ranks {
    /// That of the percentile.
    pub percentile: u64,
    /// Those of its interval.
    pub interval: Option<(u64, u64)>,
}

impl Ranks {
    /// The ranks in so many values; `None` if they are not told.
    #[must_use]
    pub fn of(n: i64, percent: u8) -> Option<Self> {
        let count = u64::try_from(n).ok().filter(|count| (1..=limits::SORT_VIEWS_MAX).contains(count))?;
        let percentile = u64::try_from(rank(n, percent)).ok()?;
        Some(Self { percentile, interval: interval_ranks(count, percent, INTERVAL_ALPHA) })
    }

    /// The first and the last of them.
    #[must_use]
    pub fn span(&self) -> (u64, u64) {
        self.interval.unwrap_or((self.percentile, self.percentile))
    }
}

impl Tally {
    /// A tally of counts, and of the values of a metric from the first to the last of the ranks, ascending.
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
