//! The sentences of advice.

use vitals::advice::{Counts, Finding, N_MIN, SLOW_MIN, Silence};
use vitals::metric::Unit;

/// Says why a metric has no advice.
pub(super) fn silence(counts: Counts, explained: i64, silence: Silence) -> String {
    match silence {
        Silence::TooFewValues => format!("{} page views with a value; advice needs {N_MIN}", counts.n),
        Silence::Good => format!("{} of {} page views are good", share(counts.good, counts.n), counts.n),
        Silence::TooFewCauses => {
            format!("the cause of {explained} slow page views is known; advice needs {SLOW_MIN}")
        }
        Silence::NoPartDominates => "no part makes 5 % of the page views slow".to_owned(),
    }
}

/// The numbers behind a finding. `median` is that of the part, in the metric's unit.
pub(super) fn finding(
    counts: Counts,
    slow_explained: i64,
    finding: Finding,
    median: f64,
    is_sample: bool,
) -> String {
    let part = finding.part;
    let metric = part.metric();
    let size = match (metric.unit(), part.target_ms()) {
        (Unit::Score, _) => format!("the largest shift is the {}: median score {median:.3}", part.name()),
        (_, Some(target)) => {
            format!("the {} exceeds its target most: median {median} ms, target {target} ms", part.name())
        }
        (_, None) => format!("the longest part is the {}: median {median} ms", part.name()),
    };
    format!(
        "{} of {} page views with {} are not good. In {} of {slow_explained} {} with a known cause ({}), {size}.",
        share(counts.n.saturating_sub(counts.good), counts.n),
        counts.n,
        metric.name(),
        finding.dominated,
        if is_sample { "sampled slow ones" } else { "slow ones" },
        share(finding.dominated, slow_explained),
    )
}

/// The numbers behind advice about the back/forward cache.
pub(super) fn back_forward(n: i64, blocked: i64, reason: &str, is_sample: bool) -> String {
    format!(
        "{blocked} of {n} {}back and forward navigations ({}) missed the back/forward cache for the reason {reason}.",
        if is_sample { "sampled " } else { "" },
        share(blocked, n)
    )
}

/// A part of a whole as a percentage with one decimal.
fn share(part: i64, whole: i64) -> String {
    format!("{:.1} %", part as f64 / whole.max(1) as f64 * 100.0)
}
