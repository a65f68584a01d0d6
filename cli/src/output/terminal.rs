//! The capabilities of standard output: colors and width.

use std::io::IsTerminal as _;
use vitals::metric::Rating;

/// The width of a pipe, and of a terminal that does not tell its width.
const COLUMNS_DEFAULT: usize = 80;
/// The narrowest width that texts are fitted to. A narrower terminal breaks lines itself.
const COLUMNS_MIN: usize = 40;

/// Where a command prints its text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Terminal {
    /// Whether to print ANSI colors.
    pub(crate) color: bool,
    /// The width to fit texts to. `None` for files and agents: programs and searches need whole texts.
    pub(crate) columns: Option<usize>,
}

impl Terminal {
    /// A file: no colors, no limit.
    pub(crate) const PIPE: Self = Self { color: false, columns: None };

    /// The terminal of standard output; 80 columns without colors for a pipe, because people read logs and mails, too.
    /// Programs have JSON and CSV. `COLUMNS` overrides the width that the terminal tells; `NO_COLOR`
    /// (<https://no-color.org>) and `TERM=dumb` turn off colors.
    pub(crate) fn of_stdout() -> Self {
        Self::of(std::io::stdout().is_terminal())
    }

    /// As [`Self::of_stdout`], of standard error. In a log an error is one line, so that it is found by its words.
    pub(crate) fn of_stderr() -> Self {
        let is_terminal = std::io::stderr().is_terminal();
        let terminal = Self::of(is_terminal);
        let columns = terminal.columns.filter(|_| is_terminal || std::env::var_os("COLUMNS").is_some());
        Self { columns, ..terminal }
    }

    fn of(is_terminal: bool) -> Self {
        let is_set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
        let is_dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        let given = std::env::var("COLUMNS").ok().and_then(|columns| columns.parse().ok());
        let told =
            || terminal_size::terminal_size().filter(|_| is_terminal).map(|(width, _)| usize::from(width.0));
        let columns = given.or_else(told).filter(|columns| *columns > 0).unwrap_or(COLUMNS_DEFAULT);
        Self {
            color: is_terminal && !is_set("NO_COLOR") && !is_dumb,
            columns: Some(columns.max(COLUMNS_MIN)),
        }
    }

    /// Wraps a text in the sequences of a color.
    pub(crate) fn paint(self, ink: Ink, text: &str) -> String {
        if self.color { format!("\u{1b}[{}m{text}\u{1b}[0m", ink as u8) } else { text.to_owned() }
    }

    /// Breaks a text between words into lines that start with `indent`.
    pub(crate) fn wrap(self, indent: &str, text: &str) -> String {
        self.fill(indent, indent, text)
    }

    /// Breaks a text, whose first line starts with `label`, into lines.
    pub(crate) fn labeled(self, label: &str, text: &str) -> String {
        self.fill(label, "", text)
    }

    /// Joins items by commas. The first line starts with `label`, further lines are aligned with it.
    pub(crate) fn list(self, label: &str, items: &[String]) -> String {
        self.item(label, &items.join(", "))
    }

    /// Breaks a text between words. The first line starts with `label`, further lines are aligned with it.
    pub(crate) fn item(self, label: &str, text: &str) -> String {
        self.fill(label, &" ".repeat(label.len()), text)
    }

    fn fill(self, first: &str, further: &str, text: &str) -> String {
        let columns = self.columns.unwrap_or(usize::MAX);
        let options = textwrap::Options::new(columns)
            .initial_indent(first)
            .subsequent_indent(further)
            .break_words(false)
            // Named, because the defaults depend on features that other crates of a build may enable.
            .wrap_algorithm(textwrap::WrapAlgorithm::FirstFit)
            .word_separator(textwrap::WordSeparator::AsciiSpace)
            .word_splitter(textwrap::WordSplitter::NoHyphenation);
        let mut wrapped = textwrap::wrap(text, options).join("\n");
        wrapped.push('\n');
        wrapped
    }
}

/// A terminal color, by its ANSI number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Ink {
    /// For headings.
    Bold = 1,
    /// Poor, failed.
    Red = 31,
    /// Good, passed.
    Green = 32,
    /// Between good and poor.
    Yellow = 33,
}

impl From<Rating> for Ink {
    fn from(rating: Rating) -> Self {
        match rating {
            Rating::Good => Self::Green,
            Rating::NeedsImprovement => Self::Yellow,
            Rating::Poor => Self::Red,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn color_is_added_only_if_it_is_on() {
        let terminal = Terminal { color: true, columns: None };
        assert_eq!(Terminal::PIPE.paint(Ink::Red, "x"), "x");
        assert_eq!(terminal.paint(Rating::Poor.into(), "x"), "\u{1b}[31mx\u{1b}[0m");
    }

    #[test]
    fn text_wraps_at_the_width_of_the_terminal_and_never_in_a_pipe() {
        let text = "one two-three 四五六 seven";
        assert_eq!(Terminal::PIPE.wrap("  ", text), format!("  {text}\n"));
        let narrow = Terminal { color: false, columns: Some(16) };
        assert_eq!(narrow.wrap("  ", text), "  one two-three\n  四五六 seven\n");
        let items = ["/a".to_owned(), "/bcd".to_owned()];
        assert_eq!(narrow.list("  routes ", &items), "  routes /a,\n         /bcd\n");
    }
}
