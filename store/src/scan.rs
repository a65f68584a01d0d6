//! Reads page views one by one with their contexts, for the questions that rollups cannot answer.
//!
//! [`crate::Reports::scan`] passes page views to a [`Gather`], which computes an answer. So a backend has one statement for
//! all such questions. A scan is bounded: it refuses to read too many page views, or reads a [`Sample`] of them.

use crate::cell::{CellQuery, Views};
use crate::context::Context;
use crate::context::code::decode;
use crate::context::texts::{Code, TextNames};
use crate::context::values::StoredFilters;
use crate::limits;
use crate::rollup::Grain;
use crate::weight::Weight;
use std::ops::{ControlFlow, Range};
use vitals::histogram::EncodingError;
use vitals::metric::Values;
use vitals::view::{TtiGap, ViewId};

/// A query for page views.
#[derive(Clone, Debug, PartialEq)]
pub struct ScanQuery {
    /// Selects the page views, to the millisecond; its metrics are ignored.
    pub views: CellQuery,
    /// The page views after which a sample is read. `None` reads all, or none of more than
    /// [`limits::SCAN_VIEWS_MAX`].
    pub views_max: Option<u64>,
}

/// The columns of a page view.
#[derive(Clone, Copy, Debug)]
pub struct ScanRow<'a> {
    /// The id.
    pub id: ViewId,
    /// The sampling weight.
    pub weight: Weight,
    /// The values of the metrics.
    pub values: Values,
    /// The reason for a missing TTI.
    pub tti_gap: Option<TtiGap>,
    /// The encoded context.
    pub context: Option<&'a [u8]>,
}

/// A page view that matches a query.
#[derive(Clone, Debug)]
pub struct Seen {
    /// The id.
    pub id: ViewId,
    /// Its UTC day since 1970.
    pub day: i32,
    /// The sampling weight.
    pub weight: Weight,
    /// The values of the metrics.
    pub values: Values,
    /// The reason for a missing TTI.
    pub tti_gap: Option<TtiGap>,
    /// The context; its texts are codes of the day.
    pub context: Context<Code>,
}

/// Computes an answer from page views.
pub trait Gather: Send {
    /// Receives the texts of all days, before the first page view.
    fn begin(&mut self, names: &TextNames);
    /// Adds a page view. `names` are those of [`Gather::begin`].
    fn add(&mut self, seen: &Seen, names: &TextNames);
}

/// Computes several answers from the same page views.
impl<G: Gather> Gather for Vec<G> {
    fn begin(&mut self, names: &TextNames) {
        self.iter_mut().for_each(|gather| gather.begin(names));
    }

    fn add(&mut self, seen: &Seen, names: &TextNames) {
        self.iter_mut().for_each(|gather| gather.add(seen, names));
    }
}

/// The page views that a scan has read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scanned {
    /// The counted period: that of the query, limited to the retention of page views.
    pub period: Range<i64>,
    /// Set if only a sample was read.
    pub sample: Option<Sample>,
}

impl Scanned {
    /// Plans a scan. `counted` is the number of page views of the site or route in the period, from rollups.
    #[must_use]
    pub fn plan(period: Range<i64>, counted: u64, views_max: u64) -> Self {
        let sample = (counted > views_max).then_some(Sample { of: counted, max: views_max, is_cut: false });
        Self { period, sample }
    }

    /// Returns the ranges of page view starts to read, ascending.
    #[must_use]
    pub fn ranges(&self) -> Vec<Range<i64>> {
        match &self.sample {
            None => vec![self.period.clone()],
            Some(sample) => sample.windows(&self.period),
        }
    }
}

/// A sample of page views: those that start in short windows, spread over the whole period.
///
/// The period is divided into [`limits::SAMPLE_WINDOWS`] parts of equal length. In each part, the sample has one window
/// at a random place. So each page view has the same chance, busy hours have as many page views as they should, and an
/// index finds the page views of a window. The places follow from their numbers, so an answer can be repeated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sample {
    /// Page views of the site or route in the period, about.
    pub of: u64,
    /// The limit of the sample.
    pub max: u64,
    /// Set if the windows had more page views than the limit, so that the sample lacks some windows.
    pub is_cut: bool,
}

/// The part of the limit that a sample is planned to use, in per mille, because windows have more or fewer page views.
const PLANNED_PERMILLE: u128 = 900;

impl Sample {
    /// Returns the share of the page views in the sample, 0 to 1.
    #[must_use]
    pub fn share(&self) -> f64 {
        (self.max as f64 * PLANNED_PERMILLE as f64 / 1_000.0 / self.of.max(1) as f64).min(1.0)
    }

    /// Whether reading all page views of the site in the windows reads fewer rows than reading all page views of the route.
    /// `site_views` are the page views of the site in the period.
    #[must_use]
    pub fn is_cheaper_by_time(&self, site_views: u64) -> bool {
        site_views as f64 * self.share() <= self.of as f64
    }

    fn windows(&self, period: &Range<i64>) -> Vec<Range<i64>> {
        let length = period.end.saturating_sub(period.start);
        let count = limits::SAMPLE_WINDOWS.min(length.max(1));
        let edge = |place: i64| period.start.saturating_add(scaled(length, place, count));
        let window = |place: i64| {
            let (start, end) = (edge(place), edge(place.saturating_add(1)));
            let part = u128::from(end.saturating_sub(start).unsigned_abs());
            let width = part * u128::from(self.max) * PLANNED_PERMILLE / 1_000 / u128::from(self.of.max(1));
            let width = i64::try_from(width.clamp(1, part.max(1))).unwrap_or(i64::MAX);
            let room = end.saturating_sub(start).saturating_sub(width).max(0);
            let at = start.saturating_add((random(place) % (room.unsigned_abs() + 1)).cast_signed());
            at..at.saturating_add(width)
        };
        (0..count).map(window).collect()
    }
}

/// Returns `length * place / count` without overflow.
fn scaled(length: i64, place: i64, count: i64) -> i64 {
    let scaled = i128::from(length) * i128::from(place) / i128::from(count.max(1));
    i64::try_from(scaled).unwrap_or(i64::MAX)
}

/// Returns a pseudo-random number: splitmix64 (Steele et al. 2014).
const fn random(place: i64) -> u64 {
    let mut hash = place.cast_unsigned().wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    hash = (hash ^ (hash >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    hash = (hash ^ (hash >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    hash ^ (hash >> 31)
}

/// Passes page views to a [`Gather`].
pub struct Scan<'a> {
    scanned: Scanned,
    filters: StoredFilters<'a>,
    gather: &'a mut dyn Gather,
    left: u64,
}

impl<'a> Scan<'a> {
    /// Starts a scan. `names` must hold the texts of the days in the period.
    pub fn new(query: &'a ScanQuery, scanned: Scanned, names: TextNames, gather: &'a mut dyn Gather) -> Self {
        gather.begin(&names);
        let filters = StoredFilters::new(&query.views.filters.context, names);
        // Without a sample, all page views are read: an answer that states none is complete.
        let left = scanned.sample.as_ref().map_or(u64::MAX, |sample| sample.max);
        Self { scanned, filters, gather, left }
    }

    /// Ends the scan.
    #[must_use]
    pub fn finish(self) -> Scanned {
        self.scanned
    }

    /// Adds a page view that matches all of the query's filters except for those of the context. Breaks when the limit
    /// of a sample is reached.
    ///
    /// # Errors
    /// If the context is damaged.
    pub fn add(&mut self, row: &ScanRow<'_>) -> Result<ControlFlow<()>, EncodingError> {
        let Some(left) = self.left.checked_sub(1) else {
            if let Some(sample) = &mut self.scanned.sample {
                sample.is_cut = true;
            }
            return Ok(ControlFlow::Break(()));
        };
        self.left = left;
        let day = Grain::Day.step(row.id.start_ms());
        let context = row.context.map_or(Ok(Context::NONE), decode)?;
        if self.filters.take(day, &context) {
            let ScanRow { id, weight, values, tti_gap, .. } = *row;
            self.gather.add(&Seen { id, day, weight, values, tti_gap, context }, self.filters.names());
        }
        Ok(ControlFlow::Continue(()))
    }
}

impl Views {
    /// Counts a page view of a scan.
    pub(crate) const fn see(&mut self, seen: &Seen) {
        self.add(seen.weight.milli(), 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR_MS: i64 = 3_600_000;

    #[test]
    fn few_page_views_are_read_all() {
        let scanned = Scanned::plan(0..HOUR_MS, 100, 100);
        assert_eq!(
            (&scanned.sample, scanned.ranges().as_slice()),
            (&None, std::slice::from_ref(&(0..HOUR_MS)))
        );
    }

    #[test]
    fn windows_of_a_sample_are_in_order_and_have_its_share_of_every_part() {
        for (period, of) in
            [(5..5 + HOUR_MS, 101), (0..28 * 24 * HOUR_MS, 10_000), (7..40, 1_000), (3..3, 999)]
        {
            let scanned = Scanned::plan(period.clone(), of, 100);
            let windows = scanned.ranges();
            assert!(windows.windows(2).all(|two| two[0].end <= two[1].start), "{period:?}");
            assert!(
                windows
                    .iter()
                    .all(|one| one.start >= period.start && one.end <= period.end.max(one.start + 1))
            );
            let length = (period.end - period.start) as f64;
            let whole: i64 = windows.iter().map(|one| one.end - one.start).sum();
            let share = scanned.sample.as_ref().map_or(1.0, Sample::share);
            // A window is at least 1 ms long.
            let error = limits::SAMPLE_WINDOWS as f64;
            assert!((whole as f64 - length * share).abs() <= error, "{period:?}: {whole} ms, {share}");
            let half = windows.iter().filter(|one| one.start < (period.start + period.end) / 2).count();
            assert!(half * 2 <= windows.len() + 2 && half * 2 + 2 >= windows.len(), "{period:?}");
        }
    }

    #[test]
    fn places_of_windows_differ() {
        let windows = Scanned::plan(0..28 * 24 * HOUR_MS, 1_000_000, 1_000).ranges();
        let part = 28 * 24 * HOUR_MS / limits::SAMPLE_WINDOWS;
        let mean = windows.iter().map(|one| one.start % part).sum::<i64>() / windows.len() as i64;
        assert!((part * 4 / 10..part * 6 / 10).contains(&mean), "{mean} of {part}");
    }

    #[test]
    fn scan_ends_at_the_limit() {
        struct Count(u64);
        impl Gather for Count {
            fn begin(&mut self, _: &TextNames) {}
            fn add(&mut self, _: &Seen, _: &TextNames) {
                self.0 += 1;
            }
        }
        let views = CellQuery::new(crate::SiteId(1), 0, 1);
        let query = ScanQuery { views, views_max: Some(2) };
        let id = ViewId::new(1, 1);
        let row = ScanRow { id, weight: Weight::ONE, values: Values::EMPTY, tti_gap: None, context: None };
        for (counted, adds, expected, is_cut) in [
            (3, 4, vec![true, true, false, false], Some(true)),
            (3, 2, vec![true; 2], Some(false)),
            (2, 4, vec![true; 4], None),
        ] {
            let mut count = Count(0);
            let mut scan =
                Scan::new(&query, Scanned::plan(0..1, counted, 2), TextNames::default(), &mut count);
            let added: Vec<_> = (0..adds).map(|_| scan.add(&row).unwrap().is_continue()).collect();
            assert_eq!(added, expected);
            assert_eq!(scan.finish().sample.map(|sample| sample.is_cut), is_cut, "{counted}");
            assert_eq!(count.0, expected.iter().filter(|is_added| **is_added).count() as u64);
        }
    }

    #[test]
    fn large_route_is_read_by_time_and_small_route_by_its_index() {
        let sample = |of| Sample { of, max: 100, is_cut: false };
        assert!(sample(1_000).is_cheaper_by_time(10_000));
        assert!(!sample(200).is_cheaper_by_time(10_000));
    }
}
