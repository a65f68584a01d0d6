//! Advice: which part of a metric to repair first, for how many page views, and how.
//!
//! The input is counts alone: the page views of a metric that are not good, and the part that dominates each slow one. The
//! rules are cautious, because advice costs work:
//!
//! - A metric gets advice if it has at least [`N_MIN`] values, and more than [`NOT_GOOD_MIN`] of them are not good beyond
//!   chance (the lower bound of [`crate::share::at_least`]).
//! - At least [`SLOW_MIN`] of its slow page views must have a known cause.
//! - A part gets advice by the share of all page views that it makes slow: `share not good × share of slow page views
//!   that the part dominates`, with the lower bound of the latter. From 25 % on, the part alone fails the Core Web Vitals
//!   assessment: high. From 10 % on it is medium, from 5 % on low.
//!
//! Which part dominates a value: see [`Part`]. The repairs: see `steps`. Sources: web.dev's "Optimize LCP",
//! "Optimize INP", "Optimize CLS", "Optimize TTFB" and "Back/forward cache".

mod part;
mod steps;

use crate::metric::Metric;
use crate::share::at_least;
pub use part::Part;
pub use steps::Horizon;

/// Values of a metric, or back and forward navigations, below which there is no advice: the minimum of budgets.
pub const N_MIN: i64 = crate::budget::MIN_SAMPLES_DEFAULT as i64;
/// Slow page views with a known cause below which there is no advice.
pub const SLOW_MIN: i64 = 30;
/// Share of not good page views up to which a metric gets no advice: then its 90th percentile is good.
pub const NOT_GOOD_MIN: f64 = 0.10;
/// The metrics with advice.
pub const METRICS: [Metric; 4] = [Metric::Lcp, Metric::Inp, Metric::Cls, Metric::Ttfb];

/// The severity of a finding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// From 5 % of the page views on.
    Low,
    /// From 10 % of the page views on.
    Medium,
    /// From 25 % of the page views on: enough to fail the assessment.
    High,
}

impl Severity {
    /// Returns the severity of a share of page views; `None` below 5 %.
    #[must_use]
    pub fn of(affected: f64) -> Option<Self> {
        [(0.25, Self::High), (0.10, Self::Medium), (0.05, Self::Low)]
            .into_iter()
            .find(|(from, _)| affected >= *from)
            .map(|(_, severity)| severity)
    }

    /// Returns the name in the API.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
        }
    }
}

/// The values of a metric, by their rating.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counts {
    /// Page views with a value.
    pub n: i64,
    /// Page views with a good value.
    pub good: i64,
}

impl Counts {
    fn not_good(self) -> i64 {
        self.n.saturating_sub(self.good)
    }
}

/// The reason why there is no advice about a metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Silence {
    /// Fewer than [`N_MIN`] values.
    TooFewValues,
    /// The metric is good enough.
    Good,
    /// Fewer than [`SLOW_MIN`] slow page views have a known cause.
    TooFewCauses,
    /// No part makes 5 % of the page views slow.
    NoPartDominates,
}

impl Silence {
    /// Returns the code in the API.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::TooFewValues => "too-few-values",
            Self::Good => "good",
            Self::TooFewCauses => "too-few-causes",
            Self::NoPartDominates => "no-part-dominates",
        }
    }
}

/// A part that is worth a repair.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Finding {
    /// The part.
    pub part: Part,
    /// The severity.
    pub severity: Severity,
    /// Slow page views that the part dominates.
    pub dominated: i64,
    /// Their share of the slow page views with a known cause, 0 to 1.
    pub share_of_slow: f64,
    /// Estimated share of all page views of the metric that the part makes slow, 0 to 1.
    pub affected: f64,
}

/// Says whether a metric needs advice, before its causes are read.
///
/// # Errors
/// The reason for no advice.
pub fn needed(counts: Counts) -> Result<(), Silence> {
    if counts.n < N_MIN {
        Err(Silence::TooFewValues)
    } else if at_least(counts.not_good(), counts.n) <= NOT_GOOD_MIN {
        Err(Silence::Good)
    } else {
        Ok(())
    }
}

/// Finds the parts of a metric that are worth a repair, the most frequent first. `slow_explained` counts the slow page
/// views with a known cause, `parts` the slow page views that each part dominates.
///
/// # Errors
/// The reason for no advice.
pub fn findings(
    counts: Counts,
    slow_explained: i64,
    parts: impl IntoIterator<Item = (Part, i64)>,
) -> Result<Vec<Finding>, Silence> {
    needed(counts)?;
    if slow_explained < SLOW_MIN {
        return Err(Silence::TooFewCauses);
    }
    let not_good = counts.not_good() as f64 / counts.n as f64;
    let mut found: Vec<Finding> = parts
        .into_iter()
        .filter_map(|(part, dominated)| {
            let share_of_slow = dominated as f64 / slow_explained as f64;
            let severity = Severity::of(not_good * at_least(dominated, slow_explained))?;
            Some(Finding { part, severity, dominated, share_of_slow, affected: not_good * share_of_slow })
        })
        .collect();
    found.sort_by(|one, other| (other.dominated, one.part).cmp(&(one.dominated, other.part)));
    if found.is_empty() { Err(Silence::NoPartDominates) } else { Ok(found) }
}

/// Says whether the back/forward cache needs advice: whether pages miss it for reasons that they can remove.
///
/// `back_forward` counts back and forward navigations, restored or not; `blocked` the navigations that missed the cache for such a
/// reason; `views` all page views. The severity is that of the share of all page views, in half of the usual steps, because
/// a restore replaces a whole load.
#[must_use]
pub fn back_forward(back_forward: i64, blocked: i64, views: i64) -> Option<Finding> {
    if back_forward < N_MIN || blocked < SLOW_MIN || at_least(blocked, back_forward) <= NOT_GOOD_MIN {
        return None;
    }
    let affected = blocked as f64 / views.max(1) as f64;
    let severity = Severity::of(2.0 * at_least(blocked, views))?;
    let share_of_slow = blocked as f64 / back_forward as f64;
    Some(Finding { part: Part::BackForwardCache, severity, dominated: blocked, share_of_slow, affected })
}

/// Whether a page can remove a reason for a missed back/forward cache. Others are the browser's own, or hidden by it
/// (<https://html.spec.whatwg.org/multipage/browsing-the-web.html#nrr-reason>).
#[must_use]
pub fn is_removable(reason: &str) -> bool {
    !["masked", "navigation-failure", "session-restored", "parser-aborted", "fetch", "(other)"]
        .contains(&reason)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(n: i64, good: i64) -> Counts {
        Counts { n, good }
    }

    #[test]
    fn advice_needs_values_that_are_not_good_beyond_chance() {
        assert_eq!(needed(counts(99, 0)), Err(Silence::TooFewValues));
        assert_eq!(needed(counts(0, 0)), Err(Silence::TooFewValues));
        assert_eq!(needed(counts(1_000, 920)), Err(Silence::Good));
        // 12 of 100 may be chance; 120 of 1,000 are more than a tenth.
        assert_eq!(needed(counts(100, 88)), Err(Silence::Good));
        assert_eq!(needed(counts(1_000, 880)), Ok(()));
    }

    #[test]
    fn part_that_dominates_is_found_with_its_numbers() {
        let parts = [(Part::LcpTtfb, 100), (Part::LcpRenderDelay, 850), (Part::LcpLoadDelay, 50)];
        let found = findings(counts(10_000, 6_000), 1_000, parts).unwrap();
        assert_eq!(found.len(), 1, "the others make under 5 % of the page views slow: {found:?}");
        let one = found[0];
        assert_eq!((one.part, one.severity, one.dominated), (Part::LcpRenderDelay, Severity::High, 850));
        // 40 % are not good, 85 % of them for this reason.
        assert!((one.affected - 0.34).abs() < 1e-9 && (one.share_of_slow - 0.85).abs() < 1e-9);
    }

    #[test]
    fn severity_follows_the_share_of_page_views() {
        for (affected, severity) in [
            (0.25, Some(Severity::High)),
            (0.249, Some(Severity::Medium)),
            (0.10, Some(Severity::Medium)),
            (0.05, Some(Severity::Low)),
            (0.049, None),
            (f64::NAN, None),
        ] {
            assert_eq!(Severity::of(affected), severity, "{affected}");
        }
    }

    #[test]
    fn no_advice_without_causes_or_a_dominant_part() {
        let slow = counts(1_000, 500);
        let parts = [(Part::InpProcessing, 29)];
        assert_eq!(findings(slow, 29, parts), Err(Silence::TooFewCauses));
        assert_eq!(findings(slow, 0, []), Err(Silence::TooFewCauses));
        assert_eq!(
            findings(counts(1_000, 850), 1_000, [(Part::TtfbDns, 200)]),
            Err(Silence::NoPartDominates)
        );
    }

    #[test]
    fn missed_back_forward_cache_needs_removable_reasons() {
        assert_eq!(back_forward(99, 90, 1_000), None);
        assert_eq!(back_forward(200, 29, 1_000), None);
        assert_eq!(back_forward(400, 350, 100_000), None, "under 5 % of the page views, twice counted");
        let found = back_forward(400, 350, 2_000).unwrap();
        assert_eq!((found.severity, found.dominated), (Severity::High, 350));
        assert!(is_removable("unload-listener") && !is_removable("masked"));
    }
}
