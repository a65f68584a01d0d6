//! Values of metrics for people.

use vitals::metric::Metric;

/// Formats a value of a metric: `2310 ms`, `0.082`.
pub(super) fn number(name: &str, unit: &str, value: f64) -> String {
    if unit == "ms" {
        return format!("{value:.0} ms");
    }
    // CLS has at most 4 places that tell something.
    let places = if Metric::from_name(name) == Some(Metric::Cls) { 1e4 } else { 1e6 };
    format!("{}", (value * places).round() / places)
}
