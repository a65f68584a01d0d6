//! States the sample of an answer that reads page views.

use fieldvitals_store::Sample;
use serde::Serialize;
use utoipa::ToSchema;

/// A sample of the page views, taken because the site or route has more than one question reads. Page views that start in
/// short windows of time, which are spread evenly over the period.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct SampledReport {
    /// Page views of the site or route in the period, about, regardless of filters.
    of: u64,
    /// The share of them in the sample, about, 0 to 1.
    share: f64,
    /// The largest number of page views that one question reads.
    max: u64,
    /// Set if short moments had so many page views that reading stopped at `max`: the sample lacks a part of the period.
    cut: bool,
}

impl From<Sample> for SampledReport {
    fn from(sample: Sample) -> Self {
        Self { of: sample.of, share: sample.share(), max: sample.max, cut: sample.is_cut }
    }
}
