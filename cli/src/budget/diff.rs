//! Compares the promises of two budget files.

use crate::output::{limit, plain};
use vitals::budget::Budget;

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
    let number = |budget: &Budget| limit(budget.metric, budget.max.number(budget.metric));
    let mut parts = Vec::new();
    if old.max != new.max {
        let direction = if new.max < old.max { "stricter" } else { "looser" };
        parts.push(format!("{} becomes {} ({direction})", number(old), number(new)));
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

/// `LCP p75 all /cart: 2500 ms`
fn promise(budget: &Budget) -> String {
    format!("{}: {}", plain(&budget.key()), limit(budget.metric, budget.max.number(budget.metric)))
}
