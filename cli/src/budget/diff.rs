//! Compares the promises of two budget files.

use crate::output::{limit, plain};
use vitals::budget::{Budget, Increase, Limit};
use vitals::metric::{Metric, Value};

/// A line for each budget that is added (`+`), removed (`-`) or changed (`~`), by the order of the new file.
pub(super) fn changes(old: &[Budget], new: &[Budget]) -> Vec<String> {
    let find = |all: &[Budget], budget: &Budget| all.iter().position(|one| one.key() == budget.key());
    let mut lines = Vec::new();
    for budget in new {
        match find(old, budget).and_then(|place| old.get(place)) {
            None => lines.push(format!("+ {}", promise(budget))),
            Some(before) => lines.extend(changed(before, budget)),
        }
    }
    let removed = old.iter().filter(|budget| find(new, budget).is_none());
    lines.extend(removed.map(|budget| format!("- {}", promise(budget))));
    lines
}

/// `~ LCP p75 all /cart: 2500 ms becomes 2000 ms (stricter)`
fn changed(old: &Budget, new: &Budget) -> Option<String> {
    let mut parts = Vec::new();
    match (&old.limit, &new.limit) {
        (Limit::Max(before), Limit::Max(after)) if before != after => {
            let number = |max: &Value| limit(new.metric, max.number(new.metric));
            parts.push(becomes("", &number(before), &number(after), after < before));
        }
        (Limit::Increase(before), Limit::Increase(after)) => {
            parts.extend(changed_increase(new.metric, before, after));
        }
        // Limits of one kind: the key has the baseline.
        _ => {}
    }
    if old.severity != new.severity {
        parts.push(format!("severity {} becomes {}", old.severity.name(), new.severity.name()));
    }
    if old.min_samples != new.min_samples {
        parts.push(format!("min_samples {} becomes {}", old.min_samples, new.min_samples));
    }
    if old.except != new.except {
        parts.push("other routes are excepted".to_owned());
    }
    (!parts.is_empty()).then(|| format!("~ {}: {}", plain(&new.key()), parts.join(", ")))
}

/// `max_increase 5 % becomes 2 % (stricter)`
fn changed_increase(metric: Metric, old: &Increase, new: &Increase) -> Vec<String> {
    let mut parts = Vec::new();
    if old.max != new.max {
        let percent = |increase: &Increase| format!("{} %", increase.percent());
        parts.push(becomes("max_increase ", &percent(old), &percent(new), new.max < old.max));
    }
    if old.least != new.least {
        let least = |increase: &Increase| limit(metric, increase.least.number(metric));
        parts.push(becomes("min_increase ", &least(old), &least(new), new.least < old.least));
    }
    let (before, after) = (old.on_no_baseline, new.on_no_baseline);
    if before != after {
        parts.push(format!("on_no_baseline {} becomes {}", before.name(), after.name()));
    }
    parts
}

fn becomes(what: &str, old: &str, new: &str, is_stricter: bool) -> String {
    format!("{what}{old} becomes {new} ({})", if is_stricter { "stricter" } else { "looser" })
}

/// `LCP p75 all /cart: 2500 ms`, `LCP p75 all /cart over previous: +5 %, or +100 ms`
fn promise(budget: &Budget) -> String {
    let metric = budget.metric;
    let promised = match &budget.limit {
        Limit::Max(max) => limit(metric, max.number(metric)),
        Limit::Increase(increase) => {
            format!("+{} %, or +{}", increase.percent(), limit(metric, increase.least.number(metric)))
        }
    };
    format!("{}: {promised}", plain(&budget.key()))
}
