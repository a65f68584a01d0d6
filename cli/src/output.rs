//! The output of commands: texts escaped for their destination, tables that fit the terminal, CSV.
//!
//! Routes and origins come from beacons that anybody can send. Therefore every text is escaped before it reaches a
//! terminal, a spreadsheet or a pipeline.

pub(crate) mod csv;
pub(crate) mod markdown;
pub(crate) mod spark;
pub(crate) mod table;
mod terminal;

use std::io::Write as _;
pub(crate) use terminal::{Ink, Terminal};
use vitals::metric::{Metric, Unit};

/// Stands for a missing value.
pub(crate) const ABSENT: &str = "–";

/// Prints a text. Ignores a reader that stopped reading, such as `head`.
pub(crate) fn print(text: &str) {
    let mut stdout = std::io::stdout().lock();
    let _ = stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush());
}

/// A text on one line, without characters that control a terminal or change the writing direction.
pub(crate) fn plain(text: &str) -> String {
    text.chars()
        .flat_map(|char| {
            let steers = char.is_control()
                || matches!(char, '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}');
            let (escaped, itself) = if steers { (Some(char.escape_unicode()), None) } else { (None, Some(char)) };
            escaped.into_iter().flatten().chain(itself)
        })
        .collect()
}

/// A value with its unit. Adds decimals if rounding would carry the value over one of these limits.
pub(crate) fn value(metric: Metric, value: f64, limits: &[f64]) -> String {
    match metric.unit() {
        Unit::Score => number(metric, value, limits),
        Unit::Milliseconds => format!("{} ms", number(metric, value, limits)),
    }
}

/// The largest error of rounding to the right side of a limit, as a share of the value. Percentiles are within 0.55 %.
const ROUNDING_MAX: f64 = 0.001;

/// A value without its unit: milliseconds, or a score with three decimals. If rounding would carry the value over a
/// threshold of the metric or one of these limits, shows the next value on the right side, or adds decimals if that is too
/// far away.
pub(crate) fn number(metric: Metric, number: f64, limits: &[f64]) -> String {
    let (places, places_max) = match metric.unit() {
        Unit::Score => (3, 6),
        Unit::Milliseconds if number < 10.0 => (1, 3),
        Unit::Milliseconds => (0, 3),
    };
    let thresholds = metric.thresholds();
    let thresholds = [thresholds.good, thresholds.needs_improvement].map(|value| value.number(metric));
    let is_true = |text: &String| {
        let shown: f64 = text.parse().unwrap_or(number);
        thresholds.iter().chain(limits).all(|limit| (shown <= *limit) == (number <= *limit))
    };
    let rounded = |places: usize| {
        let text = format!("{number:.places$}");
        let nearest: f64 = text.parse().unwrap_or(number);
        let step = 0.1_f64.powi(i32::try_from(places).unwrap_or_default());
        let other = nearest + if nearest < number { step } else { -step };
        let is_near = (other - number).abs() <= ROUNDING_MAX * number;
        [Some(text), is_near.then(|| format!("{other:.places$}"))].into_iter().flatten()
    };
    let mut texts = (places..=places_max).flat_map(rounded);
    texts.find(is_true).unwrap_or_else(|| number.to_string())
}

/// A limit with its unit, at the precision of stored values: `2500 ms`, `0.1`.
pub(crate) fn limit(metric: Metric, limit: f64) -> String {
    match metric.unit() {
        Unit::Score => limit.to_string(),
        Unit::Milliseconds => format!("{limit} ms"),
    }
}

/// A part of a whole as a percentage.
pub(crate) fn share(part: u64, whole: u64) -> String {
    if whole == 0 { ABSENT.to_owned() } else { format!("{:.1} %", part as f64 / whole as f64 * 100.0) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_text_steers_a_terminal() {
        assert_eq!(plain("/caffé/ü"), "/caffé/ü");
        assert_eq!(plain("/a\u{1b}[31m\n\u{202e}b\u{9b}2J"), "/a\\u{1b}[31m\\u{a}\\u{202e}b\\u{9b}2J");
    }

    #[test]
    fn values_are_shown_as_precisely_as_they_mean_something() {
        assert_eq!(value(Metric::Lcp, 2_412.6, &[]), "2413 ms");
        assert_eq!(value(Metric::Fid, 0.84, &[]), "0.8 ms");
        assert_eq!(value(Metric::Cls, 0.10345, &[]), "0.103");
        assert_eq!(limit(Metric::Lcp, 2_500.0), "2500 ms");
        assert_eq!(limit(Metric::Cls, 0.1), "0.1");
        assert_eq!(share(1, 3), "33.3 %");
        assert_eq!(share(0, 0), "–");
    }

    #[test]
    fn rounding_carries_no_value_over_a_threshold() {
        assert_eq!(value(Metric::Lcp, 2_500.0, &[]), "2500 ms");
        // The bound of an interval that begins past a threshold is next to it.
        assert_eq!(value(Metric::Lcp, 2_500.001, &[]), "2501 ms");
        assert_eq!(value(Metric::Lcp, 2_499.6, &[]), "2500 ms");
        assert_eq!(value(Metric::Lcp, 4_000.4, &[]), "4001 ms");
        assert_eq!(value(Metric::Inp, 200.001, &[]), "200.1 ms");
        assert_eq!(value(Metric::Cls, 0.100_2, &[]), "0.1002");
        assert_eq!(value(Metric::Cls, 0.100_000_5, &[]), "0.1001");
        assert_eq!(value(Metric::Lcp, 1_800.2, &[1_800.0]), "1801 ms");
        // A limit between two whole numbers.
        assert_eq!(value(Metric::Lcp, 1_800.2, &[1_800.1]), "1801 ms");
        assert_eq!(value(Metric::Lcp, 1_800.2, &[1_800.1, 1_800.3]), "1800.2 ms");
        assert_eq!(value(Metric::Lcp, 1_800.2, &[]), "1800 ms");
    }
}
