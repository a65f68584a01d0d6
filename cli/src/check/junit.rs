//! A check as JUnit XML.

use super::{Checked, OnInconclusive};
use crate::client::answer::BudgetAnswer;
use vitals::gate::Verdict;

/// A suite a route, a case a budget. What is inconclusive is skipped, or failed where it is to fail.
pub(super) fn render(checked: &Checked<'_>) -> String {
    let mut routes: Vec<&str> = Vec::new();
    for budget in &checked.answer.budgets {
        if !routes.contains(&budget.route.as_str()) {
            routes.push(&budget.route);
        }
    }
    let all: Vec<&BudgetAnswer> = checked.answer.budgets.iter().collect();
    let mut text = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
    text.push_str(&format!("<testsuites name=\"fieldvitals\" {}>\n", counts(checked, &all)));
    for route in routes {
        let budgets: Vec<&BudgetAnswer> =
            all.iter().copied().filter(|budget| budget.route == route).collect();
        let name = escape(&format!("rum.{route}"));
        text.push_str(&format!("  <testsuite name=\"{name}\" {}>\n", counts(checked, &budgets)));
        for budget in budgets {
            text.push_str(&case(checked, budget));
        }
        text.push_str("  </testsuite>\n");
    }
    text.push_str("</testsuites>\n");
    text
}

fn counts(checked: &Checked<'_>, budgets: &[&BudgetAnswer]) -> String {
    let count = |wanted| budgets.iter().filter(|budget| result(checked, budget.verdict) == wanted).count();
    format!(
        "tests=\"{}\" failures=\"{}\" skipped=\"{}\" errors=\"0\"",
        budgets.len(),
        count(Verdict::Fail),
        count(Verdict::Inconclusive)
    )
}

/// What becomes of a verdict in the pipeline.
fn result(checked: &Checked<'_>, verdict: Verdict) -> Verdict {
    match (verdict, checked.on_inconclusive) {
        (Verdict::Inconclusive, Some(OnInconclusive::Fail)) => Verdict::Fail,
        (verdict, _) => verdict,
    }
}

fn case(checked: &Checked<'_>, budget: &BudgetAnswer) -> String {
    let device = budget.device.as_ref().map(|device| format!(".{device}")).unwrap_or_default();
    let name = format!("{}.p{}{device}", budget.metric.name().to_lowercase(), budget.percentile);
    let message =
        escape(&format!("{}, measured {}: {}", budget.promise(), budget.measurement(), budget.why()));
    let file = format!("{}:{}", checked.file, budget.line);
    let inside = match result(checked, budget.verdict) {
        Verdict::Pass => String::new(),
        Verdict::Fail => {
            format!("<failure type=\"budget\" message=\"{message}\">{}</failure>", escape(&file))
        }
        Verdict::Inconclusive => format!("<skipped message=\"{message}\"/>"),
    };
    format!(
        "    <testcase classname=\"{}\" name=\"{}\" file=\"{}\">{inside}</testcase>\n",
        escape(&budget.route),
        escape(&name),
        escape(checked.file)
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
