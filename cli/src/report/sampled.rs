//! The line that states a sample.

use crate::client::answer::SampledAnswer;
use crate::output::Terminal;

/// States the sample of an answer; empty if the answer is of all page views.
pub(super) fn sampled(sample: Option<&SampledAnswer>, terminal: Terminal) -> String {
    let Some(sample) = sample else { return String::new() };
    let spread = if sample.cut {
        "without a part of the period, because short moments filled it. Ask for a shorter period."
    } else {
        "spread evenly over the period."
    };
    let line = format!(
        "Numbers are of a sample: {:.1} % of about {} page views, {spread}",
        sample.share * 100.0,
        sample.of
    );
    terminal.wrap("", &line)
}
