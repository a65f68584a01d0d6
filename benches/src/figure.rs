//! Measured figures, their bounds, and their output as a table or JSON.

use anyhow::Result;
use serde::Serialize;
use std::io::Write as _;

/// The bound of a figure.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Bound {
    /// The ratio to the yardstick is at least this.
    RatioAtLeast(f64),
    /// The ratio to the yardstick is at most this.
    RatioAtMost(f64),
    /// The value is at least this.
    AtLeast(f64),
    /// The value is at most this.
    AtMost(f64),
}

/// A measured number.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Figure {
    name: String,
    value: f64,
    unit: &'static str,
    yardstick: Option<Yardstick>,
    ratio: Option<f64>,
    bound: Option<Bound>,
    ok: Option<bool>,
}

/// The reference value of a figure.
#[derive(Clone, Debug, Serialize)]
struct Yardstick {
    name: String,
    value: f64,
}

impl Figure {
    /// Creates a figure without yardstick or bound.
    pub(crate) fn new(name: impl Into<String>, value: f64, unit: &'static str) -> Self {
        Self { name: name.into(), value, unit, yardstick: None, ratio: None, bound: None, ok: None }
    }

    /// Sets the yardstick; the ratio is figure / yardstick.
    pub(crate) fn beside(self, yardstick: impl Into<String>, value: f64) -> Self {
        let ratio = self.value / value;
        self.compared(yardstick, value, ratio)
    }

    /// Sets a slower yardstick for a time; the ratio is yardstick / figure, the speed-up.
    pub(crate) fn faster_than(self, yardstick: impl Into<String>, value: f64) -> Self {
        let ratio = value / self.value;
        self.compared(yardstick, value, ratio)
    }

    /// Sets the yardstick and a ratio computed by the caller, such as the median over rounds.
    pub(crate) fn compared(mut self, yardstick: impl Into<String>, value: f64, ratio: f64) -> Self {
        self.yardstick = Some(Yardstick { name: yardstick.into(), value });
        self.ratio = Some(ratio);
        self
    }

    /// Sets the bound and judges the figure by it.
    pub(crate) fn bound(mut self, bound: Bound) -> Self {
        let ratio = self.ratio.unwrap_or(f64::NAN);
        self.ok = Some(match bound {
            Bound::RatioAtLeast(least) => ratio >= least,
            Bound::RatioAtMost(most) => ratio <= most,
            Bound::AtLeast(least) => self.value >= least,
            Bound::AtMost(most) => self.value <= most,
        });
        self.bound = Some(bound);
        self
    }
}

/// Prints the figures and returns the number of figures that miss their bound.
pub(crate) fn show(figures: &[Figure], json: bool) -> Result<usize> {
    let text = if json {
        let report = serde_json::json!({"machine": crate::process::machine(), "figures": figures});
        serde_json::to_string_pretty(&report)? + "\n"
    } else {
        table(figures)
    };
    std::io::stdout().write_all(text.as_bytes())?;
    Ok(figures.iter().filter(|figure| figure.ok == Some(false)).count())
}

fn table(figures: &[Figure]) -> String {
    if figures.is_empty() {
        return String::new();
    }
    let mut rows = vec![["figure", "value", "yardstick", "ratio", "bound", ""].map(str::to_owned)];
    rows.extend(figures.iter().map(|figure| {
        [
            figure.name.clone(),
            format!("{} {}", number(figure.value), figure.unit),
            figure.yardstick.as_ref().map_or_else(String::new, |yardstick| {
                format!("{} {}: {}", number(yardstick.value), figure.unit, yardstick.name)
            }),
            figure.ratio.map_or_else(String::new, number),
            figure.bound.map_or_else(String::new, |bound| match bound {
                Bound::RatioAtLeast(least) => format!("ratio ≥ {}", number(least)),
                Bound::RatioAtMost(most) => format!("ratio ≤ {}", number(most)),
                Bound::AtLeast(least) => format!("≥ {}", number(least)),
                Bound::AtMost(most) => format!("≤ {}", number(most)),
            }),
            figure.ok.map_or("", |ok| if ok { "ok" } else { "not ok" }).to_owned(),
        ]
    }));
    let mut widths = [0; 6];
    for row in &rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = cell.chars().count().max(*width);
        }
    }
    let mut text = format!("{}\n\n", crate::process::machine());
    for row in &rows {
        let line: Vec<String> =
            row.iter().zip(widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
        text.push_str(line.join("  ").trim_end());
        text.push('\n');
    }
    text
}

/// Formats a number with three significant digits, and three decimals below 1. From 100 on, formats a whole number with
/// thousands separators.
fn number(value: f64) -> String {
    let magnitude = value.abs();
    if magnitude >= 100.0 {
        return thousands(value.round());
    }
    let digits = match magnitude {
        _ if magnitude == 0.0 => 0,
        10.0.. => 1,
        1.0.. => 2,
        _ => 3,
    };
    format!("{value:.digits$}")
}

fn thousands(whole: f64) -> String {
    let digits = format!("{:.0}", whole.abs());
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    if whole < 0.0 { format!("-{text}") } else { text }
}

/// Returns the median by nearest rank, or NaN for an empty slice.
pub(crate) fn median(numbers: &[f64]) -> f64 {
    percentile(numbers, 50.0)
}

/// Returns a percentile by nearest rank, or NaN for an empty slice.
pub(crate) fn percentile(numbers: &[f64], percent: f64) -> f64 {
    let mut sorted = numbers.to_vec();
    sorted.sort_by(f64::total_cmp);
    let rank = (sorted.len() as f64 * percent / 100.0).ceil() as usize;
    sorted.get(rank.saturating_sub(1)).copied().unwrap_or(f64::NAN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bound_is_judged_by_what_it_is_about() {
        let figure = Figure::new("x", 50.0, "/s").beside("y", 100.0);
        assert_eq!(figure.clone().bound(Bound::RatioAtLeast(0.45)).ok, Some(true));
        assert_eq!(figure.clone().bound(Bound::RatioAtLeast(0.51)).ok, Some(false));
        assert_eq!(figure.bound(Bound::AtMost(49.0)).ok, Some(false));
        assert_eq!(Figure::new("x", 2.0, "ms").faster_than("y", 300.0).ratio, Some(150.0));
        assert_eq!(Figure::new("x", f64::NAN, "ms").bound(Bound::AtMost(1.0)).ok, Some(false));
        assert_eq!(Figure::new("x", 1.0, "ms").bound(Bound::RatioAtMost(1.0)).ok, Some(false));
    }

    #[test]
    fn numbers_are_short() {
        assert_eq!(
            [0.0, 0.4567, 5.678, 56.78, 1234567.8, -1000.0].map(number),
            ["0", "0.457", "5.68", "56.8", "1,234,568", "-1,000"]
        );
        assert_eq!(median(&[3.0, 1.0, 2.0]), 2.0);
        assert_eq!(percentile(&[1.0, 2.0, 3.0, 4.0], 99.0), 4.0);
    }
}
