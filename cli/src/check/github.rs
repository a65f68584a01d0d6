//! Renders a check as GitHub workflow commands: annotations at the lines of the budget file.
//! <https://docs.github.com/actions/reference/workflows-and-actions/workflow-commands>

use super::{Checked, Level, text};
use crate::output::Terminal;
use vitals::gate::Verdict;

/// Annotations of one level that GitHub shows for a step. GitHub drops further annotations silently.
const ANNOTATIONS_MAX: usize = 10;

pub(super) fn render(checked: &Checked<'_>) -> String {
    let mut commands = String::new();
    for (level, name) in [(Level::Error, "error"), (Level::Warning, "warning"), (Level::Note, "notice")] {
        let shown: Vec<_> =
            checked.findings().filter(|(_, found)| *found == level).map(|(budget, _)| budget).collect();
        // The last annotation counts the budgets that exceed the limit.
        let whole = if shown.len() > ANNOTATIONS_MAX { ANNOTATIONS_MAX - 1 } else { shown.len() };
        for budget in shown.iter().take(whole) {
            let what = match budget.verdict {
                Verdict::Fail => "exceeded",
                _ => "inconclusive",
            };
            let lab = if budget.lab { "Lab: " } else { "" };
            let title = format!("{lab}{} budget {what}", budget.metric.name());
            commands.push_str(&command(name, checked.file, budget.line, &title, &checked.finding(budget)));
        }
        if let Some(first) = shown.get(whole) {
            let message = format!("{} further budgets; the log has them all", shown.len() - whole);
            commands.push_str(&command(name, checked.file, first.line, "Further budgets", &message));
        }
    }
    commands + &text::render(checked, Terminal::PIPE)
}

fn command(level: &str, file: &str, line: usize, title: &str, message: &str) -> String {
    format!("::{level} file={},line={line},title={}::{}\n", property(file), property(title), data(message))
}

/// Escapes the message of a command.
fn data(text: &str) -> String {
    text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A")
}

/// Escapes a property of a command.
fn property(text: &str) -> String {
    data(text).replace(':', "%3A").replace(',', "%2C")
}

#[cfg(test)]
mod tests {
    use super::command;

    #[test]
    fn texts_cannot_end_their_place() {
        assert_eq!(
            command("error", "a,b:c.toml", 3, "50 %", "x\n::warning::y: 1,2"),
            "::error file=a%2Cb%3Ac.toml,line=3,title=50 %25::x%0A::warning::y: 1,2\n"
        );
    }
}
