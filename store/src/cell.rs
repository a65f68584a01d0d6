//! Rollup cells, and the questions that are answered with them.

use crate::site::SiteId;
use crate::view::ViewUpdate;
use vitals::histogram::{EncodingError, Histogram, read_varint, write_varint};
use vitals::metric::{Metric, Value, Values};
use vitals::view::Device;

/// What a group of page views measured: their number and a histogram a metric.
///
/// Counts are signed, so a cell can also be a correction: a view's old values taken away, its new
/// ones added.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cell {
    /// Page views.
    pub views: i64,
    metrics: [Histogram; Metric::COUNT],
}

impl Cell {
    /// Counts a page view with its values, `by` 1 to add it and -1 to take it away.
    pub fn add(&mut self, values: &Values, by: i64) {
        self.views = self.views.saturating_add(by);
        for (metric, value) in values.iter() {
            self.metrics[metric.index()].add(metric, value, by);
        }
    }

    /// Adds all counts of another cell.
    pub fn merge(&mut self, other: &Self) {
        self.views = self.views.saturating_add(other.views);
        for (mine, theirs) in self.metrics.iter_mut().zip(&other.metrics) {
            mine.merge(theirs);
        }
    }

    /// The histogram of a metric.
    #[must_use]
    pub fn metric(&self, metric: Metric) -> &Histogram {
        &self.metrics[metric.index()]
    }

    /// Replaces the histogram of a metric, when a cell is put together from its stored parts.
    pub fn set_metric(&mut self, metric: Metric, histogram: Histogram) {
        self.metrics[metric.index()] = histogram;
    }

    /// Whether nothing is counted, not even a correction.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.views == 0 && self.metrics.iter().all(Histogram::is_empty)
    }

    /// Appends the cell's bytes: the number of views (zigzag), a bit mask of the metrics that follow,
    /// and their histograms.
    pub fn encode(&self, bytes: &mut Vec<u8>) {
        write_varint(bytes, ((self.views << 1) ^ (self.views >> 63)) as u64);
        let mask = Metric::ALL
            .into_iter()
            .filter(|&metric| !self.metric(metric).is_empty())
            .fold(0_u64, |mask, metric| mask | 1 << metric.index());
        write_varint(bytes, mask);
        for histogram in self.metrics.iter().filter(|histogram| !histogram.is_empty()) {
            histogram.encode(bytes);
        }
    }

    /// Reads a cell from the front of `bytes` and moves them past it.
    ///
    /// # Errors
    /// Where the bytes are not a cell.
    pub fn decode(bytes: &mut &[u8]) -> Result<Self, EncodingError> {
        let views = read_varint(bytes)?;
        let mask = read_varint(bytes)?;
        if mask >> Metric::COUNT != 0 {
            return Err(EncodingError);
        }
        let mut cell = Self { views: (views >> 1) as i64 ^ -(views as i64 & 1), ..Self::default() };
        for metric in Metric::ALL {
            if mask & (1 << metric.index()) != 0 {
                cell.metrics[metric.index()] = Histogram::decode(bytes)?;
            }
        }
        Ok(cell)
    }
}

/// A question about what was measured.
#[derive(Clone, Debug, PartialEq)]
pub struct CellQuery {
    /// The site.
    pub site: SiteId,
    /// First start of a page view, UTC milliseconds, on a whole hour.
    pub from_ms: i64,
    /// End of the range, excluded, on a whole hour.
    pub to_ms: i64,
    /// Only this route.
    pub route: Option<String>,
    /// Only this class of device.
    pub device: Option<Device>,
    /// Only this release; answered from page views, within their retention.
    pub release: Option<String>,
}

impl CellQuery {
    /// Whether a page view of the site is asked for.
    #[must_use]
    pub fn takes(&self, view: &ViewUpdate) -> bool {
        let start_ms = view.id.start_ms();
        (self.from_ms..self.to_ms).contains(&start_ms)
            && self.route.as_ref().is_none_or(|route| *route == view.route)
            && self.device.is_none_or(|device| Some(device) == view.device)
            && self.release.as_ref().is_none_or(|release| Some(release) == view.release.as_ref())
    }
}

/// A route's cell over a range.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RouteCell {
    /// The route.
    pub route: String,
    /// What was measured.
    pub cell: Cell,
}

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
}

/// An exact answer from page views.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Page views that have the metric.
    pub n: i64,
    /// Those among them that are at or under the value.
    pub within: i64,
}
