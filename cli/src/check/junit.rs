//! A check as JUnit XML.
//!
//! Valid by the schemas of Ant (`JUnit.xsd`, Windy Road) and of Jenkins (`junit-10.xsd`, xUnit plugin): Ant asks for every
//! element and attribute of a suite that is here, and permits no further one.

use super::{Checked, OnInconclusive};
use crate::client::answer::gate::BudgetAnswer;
use vitals::budget::Severity;
use vitals::gate::Verdict;

/// A suite a route, a case a budget. Inconclusive budgets are skipped, or failed with `--on-inconclusive fail`.
pub(super) fn render(checked: &Checked<'_>, now: jiff::Timestamp) -> String {
    let mut routes: Vec<&str> = Vec::new();
    for budget in &checked.answer.budgets {
        if !routes.contains(&budget.route.as_str()) {
            routes.push(&budget.route);
        }
    }
    let source = if checked.answer.lab.is_some() { "lab" } else { "rum" };
    let mut text = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites>\n");
    for (id, route) in routes.into_iter().enumerate() {
        let budgets = || checked.answer.budgets.iter().filter(|budget| budget.route == route);
        let count = |wanted| budgets().filter(|budget| result(checked, budget) == wanted).count();
        text.push_str(&format!(
            "  <testsuite name=\"{}\" package=\"fieldvitals\" id=\"{id}\" hostname=\"localhost\" timestamp=\"{}\" \
             tests=\"{}\" failures=\"{}\" errors=\"0\" skipped=\"{}\" time=\"0\">\n    <properties/>\n",
            escape(&format!("{source}.{route}")),
            now.strftime("%Y-%m-%dT%H:%M:%S"),
            budgets().count(),
            count(Verdict::Fail),
            count(Verdict::Inconclusive),
        ));
        for budget in budgets() {
            text.push_str(&case(checked, budget));
        }
        text.push_str("    <system-out/>\n    <system-err/>\n  </testsuite>\n");
    }
    text.push_str("</testsuites>\n");
    text
}

/// The result of a budget in the pipeline; a warning is skipped.
fn result(checked: &Checked<'_>, budget: &BudgetAnswer) -> Verdict {
    match (budget.verdict, budget.severity, checked.on_inconclusive) {
        (Verdict::Fail, Severity::Warn, _) => Verdict::Inconclusive,
        (Verdict::Inconclusive, Severity::Error, Some(OnInconclusive::Fail)) => Verdict::Fail,
        (verdict, ..) => verdict,
    }
}

fn case(checked: &Checked<'_>, budget: &BudgetAnswer) -> String {
    let device = budget.device.as_ref().map(|device| format!(".{device}")).unwrap_or_default();
    let further: String = budget.filters.iter().map(|(name, value)| format!(".{name}={value}")).collect();
    let over = budget.increase.as_ref().map(|increase| format!(".over-{}", increase.baseline));
    let name = format!("{}{device}{further}{}", budget.rule(), over.unwrap_or_default());
    let message =
        escape(&format!("{}, measured {}: {}", budget.promise(), budget.measurement(), budget.why()));
    let file = format!("{}:{}", checked.file, budget.line);
    let inside = match result(checked, budget) {
        Verdict::Pass => String::new(),
        Verdict::Fail => {
            format!("<failure type=\"budget\" message=\"{message}\">{}</failure>", escape(&file))
        }
        Verdict::Inconclusive => format!("<skipped message=\"{message}\"/>"),
    };
    format!(
        "    <testcase classname=\"{}\" name=\"{}\" time=\"0\">{inside}</testcase>\n",
        escape(&budget.route),
        escape(&name)
    )
}

/// A text in XML 1.0, which has no place for most control characters, escaped or not.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for char in text.chars() {
        match char {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&apos;"),
            '\t' | '\n' | '\r' => escaped.push_str(&format!("&#{};", u32::from(char))),
            '\u{fffe}' | '\u{ffff}' => escaped.push('\u{fffd}'),
            char if char.is_control() => escaped.push('\u{fffd}'),
            char => escaped.push(char),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::escape;

    #[test]
    fn nothing_in_a_text_is_markup() {
        assert_eq!(escape("a<b>&\"'\n\0\u{1b}é"), "a&lt;b&gt;&amp;&quot;&apos;&#10;\u{fffd}\u{fffd}é");
    }
}
