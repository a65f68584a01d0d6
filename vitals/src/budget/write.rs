//! Writes budgets as TOML, so that budgets of other tools can become ours.

use super::{
    Baseline, Budget, BudgetFilters, Increase, Limit, MIN_SAMPLES_DEFAULT, OnNoBaseline, PERCENTILE_DEFAULT,
    ROUTE_DEFAULT, Severity, mistake,
};
use crate::metric::{Metric, Value};
use crate::view::Device;

impl Budget {
    /// Returns the budget as a table of TOML, without the keys that have their default.
    #[must_use]
    pub fn toml(&self) -> String {
        let Self { route, except, metric, limit, percentile, filters, severity, min_samples, line: _ } = self;
        let mut lines = vec!["[[budget]]".to_owned()];
        if route != ROUTE_DEFAULT {
            lines.push(format!("route = {}", quoted(route)));
        }
        if !except.is_empty() {
            lines.push(format!(
                "except = [{}]",
                except.iter().map(|one| quoted(one)).collect::<Vec<_>>().join(", ")
            ));
        }
        lines.push(format!("metric = \"{}\"", metric.name()));
        match limit {
            Limit::Max(max) => lines.push(format!("max = {}", value(*metric, *max))),
            Limit::Increase(increase) => lines.extend(increase_lines(*metric, increase)),
        }
        if *percentile != PERCENTILE_DEFAULT {
            lines.push(format!("percentile = {percentile}"));
        }
        lines.extend(filters.device.map(|device| format!("device = \"{}\"", Device::name(device))));
        lines.extend(
            BudgetFilters::further(filters).map(|(name, value)| format!("{name} = {}", quoted(value))),
        );
        if *severity != Severity::default() {
            lines.push(format!("severity = \"{}\"", severity.name()));
        }
        if *min_samples != MIN_SAMPLES_DEFAULT {
            lines.push(format!("min_samples = {min_samples}"));
        }
        lines.join("\n") + "\n"
    }
}

/// The keys of a limit on an increase.
fn increase_lines(metric: Metric, increase: &Increase) -> Vec<String> {
    let Increase { least, baseline, on_no_baseline, .. } = increase;
    let mut lines = vec![format!("max_increase = \"{}%\"", increase.percent())];
    if *least != Increase::least_default(metric) {
        lines.push(format!("min_increase = {}", value(metric, *least)));
    }
    if *baseline != Baseline::Previous {
        lines.push(format!("baseline = {}", quoted(&baseline.to_string())));
    }
    if *on_no_baseline != OnNoBaseline::default() {
        lines.push(format!("on_no_baseline = \"{}\"", on_no_baseline.name()));
    }
    lines
}

/// A value, with its unit if the parser would take the number alone for a mistake.
fn value(metric: Metric, value: Value) -> String {
    let number = value.number(metric);
    if mistake::unit(metric, number).is_some() { format!("\"{number}ms\"") } else { number.to_string() }
}

/// A basic string of TOML.
fn quoted(text: &str) -> String {
    let mut quoted = String::from("\"");
    for char in text.chars() {
        match char {
            '"' | '\\' => quoted.extend(['\\', char]),
            char if char.is_control() => quoted.push_str(&format!("\\u{:04X}", u32::from(char))),
            char => quoted.push(char),
        }
    }
    quoted.push('"');
    quoted
}

#[cfg(test)]
mod tests {
    use crate::budget::{Budget, parse};

    #[test]
    fn written_budgets_are_read_again() {
        let text = "[[budget]]\nroute = '/a\"\\b*'\nexcept = ['/c', '/d*']\nmetric = 'INP'\nmax = '0.5ms'\npercentile = 90\n\
            device = 'phone'\nbrowser = 'Firefox'\ncountry = 'DE'\nrelease = '1.4'\nseverity = 'warn'\nmin_samples = 5\n\
            [[budget]]\nmetric = 'CLS'\nmax = 0.1\n\
            [[budget]]\nmetric = 'INP'\nmax_increase = '2.5 %'\nmin_increase = '0.5ms'\nbaseline = 'release:\"5\"'\non_no_baseline = 'warn'\n\
            [[budget]]\nmetric = 'LCP'\nmax_increase = '10%'\nmin_increase = 100\n";
        let budgets = parse(text).unwrap().budgets;
        let written: String = budgets.iter().map(Budget::toml).collect();
        let again = parse(&written).unwrap().budgets;
        let without_lines = |budgets: &[Budget]| -> Vec<Budget> {
            budgets.iter().map(|budget| Budget { line: 0, ..budget.clone() }).collect()
        };
        assert_eq!(without_lines(&again), without_lines(&budgets), "{written}");
        assert_eq!(budgets[1].toml(), "[[budget]]\nmetric = \"CLS\"\nmax = 0.1\n");
        assert_eq!(budgets[3].toml(), "[[budget]]\nmetric = \"LCP\"\nmax_increase = \"10%\"\n");
    }
}
