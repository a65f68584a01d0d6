//! The line that states a sample.

use crate::client::answer::SampledAnswer;
use crate::output::Terminal;

/// States the sample of an answer; empty if the answer is of all page views.
pub(super) fn sampled(sample: Option<&SampledAnswer>, terminal: Terminal) -> String {
    let Some(sample) = sample else { return String::new() };
    terminal.wrap("", &format!("Numbers are of {}", text(sample)))
}

/// The end of a sentence about a sample.
pub(super) fn text(sample: &SampledAnswer) -> String {
    let spread = if sample.cut {
        "without a part of the period, because short moments filled it. Ask for a shorter period."
    } else {
        "spread evenly over the period."
    };
    format!("a sample: {:.1} % of about {} page views, {spread}", sample.share * 100.0, sample.of)
}
