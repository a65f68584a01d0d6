//! Text tables with aligned columns, which fit a terminal.
//!
//! Widths are columns of the terminal, not characters: a Chinese character and an emoji take two. A table that is too
//! wide first cuts its text columns, then drops its least important columns, and says which.

use super::{Ink, Terminal};
use unicode_width::UnicodeWidthChar as _;
use unicode_width::UnicodeWidthStr as _;

/// Width to which text columns are cut before a column is dropped.
const TEXT_WIDTH_MIN: usize = 20;
/// Width to which text columns are cut if no column is left to drop.
const TEXT_WIDTH_LAST: usize = 8;
/// The space between columns.
const GAP: &str = "  ";

/// A column: its heading and its part in fitting.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Column {
    name: &'static str,
    align: Align,
    /// Whether cells may be cut.
    cut: bool,
    /// Order in which columns are dropped, from 1 on; 0 for columns that stay.
    drop: u8,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Align {
    Left,
    Right,
}

impl Column {
    /// A column of short words, which are never cut.
    pub(crate) const fn word(name: &'static str) -> Self {
        Self { name, align: Align::Left, cut: false, drop: 0 }
    }

    /// A column of texts of any length, such as routes.
    pub(crate) const fn text(name: &'static str) -> Self {
        Self { name, align: Align::Left, cut: true, drop: 0 }
    }

    /// A column of numbers, which are never cut.
    pub(crate) const fn number(name: &'static str) -> Self {
        Self { name, align: Align::Right, cut: false, drop: 0 }
    }

    /// Allows to drop the column. Smaller orders are dropped first.
    pub(crate) const fn dropped(mut self, order: u8) -> Self {
        self.drop = order;
        self
    }
}

/// A cell: a text with an optional color.
#[derive(Clone, Debug)]
pub(crate) struct Cell {
    text: String,
    ink: Option<Ink>,
}

impl Cell {
    /// A colored cell.
    pub(crate) fn painted(text: impl Into<String>, ink: Ink) -> Self {
        Self { text: text.into(), ink: Some(ink) }
    }
}

impl<T: Into<String>> From<T> for Cell {
    fn from(text: T) -> Self {
        Self { text: text.into(), ink: None }
    }
}

/// A table under construction.
#[derive(Clone, Debug)]
pub(crate) struct Table {
    columns: Vec<Column>,
    rows: Vec<Row>,
}

#[derive(Clone, Debug)]
struct Row {
    cells: Vec<Cell>,
    /// A text below the row; may be empty.
    note: String,
}

impl Table {
    /// An empty table with these columns.
    pub(crate) fn new(columns: &[Column]) -> Self {
        Self { columns: columns.to_vec(), rows: Vec::new() }
    }

    /// Whether the table has no row.
    pub(crate) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Adds a row.
    pub(crate) fn row(&mut self, cells: Vec<Cell>) {
        self.noted_row(cells, String::new());
    }

    /// Adds a row with a text below it, which wraps.
    pub(crate) fn noted_row(&mut self, mut cells: Vec<Cell>, note: String) {
        for cell in &mut cells {
            cell.text = super::plain(&cell.text);
        }
        self.rows.push(Row { cells, note });
    }

    /// Renders the table, one line per row, and a line that names dropped columns.
    pub(crate) fn render(&self, terminal: Terminal) -> String {
        let widths = self.fit(terminal.columns.unwrap_or(usize::MAX));
        let heading: Vec<Cell> =
            self.columns.iter().map(|column| Cell::painted(column.name, Ink::Bold)).collect();
        let mut text = self.line(&heading, &widths, terminal);
        for row in &self.rows {
            text.push_str(&self.line(&row.cells, &widths, terminal));
            if !row.note.is_empty() {
                text.push_str(&terminal.wrap("    ", &row.note));
            }
        }
        let dropped = self.columns.iter().zip(&widths).filter(|(_, width)| width.is_none());
        let dropped: Vec<&str> = dropped.map(|(column, _)| column.name).collect();
        if !dropped.is_empty() {
            let note = format!(
                "Too narrow for {}; a wider terminal, or COLUMNS=200, shows all.",
                dropped.join(", ")
            );
            text.push_str(&terminal.wrap("", &note));
        }
        text
    }

    fn line(&self, cells: &[Cell], widths: &[Option<usize>], terminal: Terminal) -> String {
        let mut line = String::new();
        for ((cell, column), columns) in cells.iter().zip(&self.columns).zip(widths) {
            let Some(columns) = *columns else { continue };
            if !line.is_empty() {
                line.push_str(GAP);
            }
            let shown = shorten(&cell.text, columns);
            let space = " ".repeat(columns.saturating_sub(shown.width()));
            let painted = match cell.ink {
                Some(ink) => terminal.paint(ink, &shown),
                None => shown,
            };
            match column.align {
                Align::Left => line.extend([painted, space]),
                Align::Right => line.extend([space, painted]),
            }
        }
        line.truncate(line.trim_end().len());
        line.push('\n');
        line
    }

    /// The width of each column; `None` for dropped columns.
    fn fit(&self, columns: usize) -> Vec<Option<usize>> {
        let natural = |(at, column): (usize, &Column)| {
            let cells = self.rows.iter().filter_map(|row| row.cells.get(at));
            Some(cells.map(|cell| cell.text.width()).max().unwrap_or(0).max(column.name.width()))
        };
        let mut widths: Vec<Option<usize>> = self.columns.iter().enumerate().map(natural).collect();
        loop {
            let cut = self.cut(&widths, columns, TEXT_WIDTH_MIN);
            if total(&cut) <= columns {
                return cut;
            }
            let droppable = self.columns.iter().zip(&mut widths);
            let droppable = droppable.filter(|(column, width)| column.drop > 0 && width.is_some());
            match droppable.min_by_key(|(column, _)| column.drop) {
                Some((_, width)) => *width = None,
                None => return self.cut(&widths, columns, TEXT_WIDTH_LAST),
            }
        }
    }

    /// Cuts the widest text columns until the table fits, but none below a width.
    fn cut(&self, widths: &[Option<usize>], columns: usize, least: usize) -> Vec<Option<usize>> {
        let mut widths = widths.to_vec();
        while total(&widths) > columns {
            let texts = self.columns.iter().zip(&mut widths).filter(|(column, _)| column.cut);
            let texts = texts.filter_map(|(column, width)| {
                width.as_mut().filter(|width| **width > least.max(column.name.width()))
            });
            match texts.max_by_key(|width| **width) {
                Some(width) => *width -= 1,
                None => break,
            }
        }
        widths
    }
}

fn total(widths: &[Option<usize>]) -> usize {
    let shown = widths.iter().flatten().count();
    widths.iter().flatten().sum::<usize>() + shown.saturating_sub(1) * GAP.len()
}

/// Cuts a text in the middle, where routes differ least.
fn shorten(text: &str, columns: usize) -> String {
    if text.width() <= columns {
        return text.to_owned();
    }
    let room = columns.saturating_sub(1);
    let tail_room = room / 2;
    let tail_start =
        text.char_indices().rev().map(|(at, _)| at).take_while(|at| text[*at..].width() <= tail_room);
    let tail = &text[tail_start.last().unwrap_or(text.len())..];
    // Without its base character, a combining mark would change the ellipsis.
    let tail = tail.trim_start_matches(|char: char| char.width() == Some(0));
    let ends = text.char_indices().map(|(at, char)| at + char.len_utf8());
    let head = ends.take_while(|end| text[..*end].width() <= room - tail.width()).last().unwrap_or(0);
    format!("{}…{tail}", &text[..head])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn terminal(columns: usize) -> Terminal {
        Terminal { color: false, columns: Some(columns) }
    }

    #[test]
    fn columns_line_up_with_and_without_color() {
        let mut table = Table::new(&[Column::text("ROUTE"), Column::number("LCP")]);
        table.row(vec!["/é".into(), Cell::painted("2500", Ink::Red)]);
        table.row(vec!["/longer/route".into(), "9".into()]);
        assert_eq!(
            table.render(Terminal::PIPE),
            "ROUTE           LCP\n/é             2500\n/longer/route     9\n"
        );
        let colored = table.render(Terminal { color: true, columns: None });
        assert!(colored.contains("/é             \u{1b}[31m2500\u{1b}[0m\n"), "{colored:?}");
    }

    #[test]
    fn wide_characters_take_two_columns() {
        let mut table = Table::new(&[Column::text("ROUTE"), Column::number("N")]);
        table.row(vec!["/你好/🚀".into(), "1".into()]);
        table.row(vec!["/abcdefg".into(), "2".into()]);
        assert_eq!(table.render(Terminal::PIPE), "ROUTE     N\n/你好/🚀  1\n/abcdefg  2\n");
    }

    #[test]
    fn table_that_is_too_wide_cuts_texts_then_drops_columns_and_says_so() {
        let columns = [
            Column::text("ROUTE"),
            Column::number("P75"),
            Column::number("P90").dropped(1),
            Column::number("P95").dropped(2),
        ];
        let mut table = Table::new(&columns);
        for route in ["/a".repeat(30), "/商品/".repeat(12)] {
            table.row(vec![route.into(), "1234567".into(), "1234567".into(), "1234567".into()]);
        }
        for columns in 20..=100 {
            let text = table.render(terminal(columns));
            assert!(text.lines().all(|line| line.width() <= columns), "{columns}:\n{text}");
            assert!(text.contains("1234567") && text.contains('…') == (columns < 99), "{columns}:\n{text}");
            let dropped = |name: &str| !text.lines().next().unwrap().contains(name);
            let expected = [columns < 47, columns < 38];
            assert_eq!([dropped("P90"), dropped("P95")], expected, "{columns}:\n{text}");
            assert_eq!(text.contains("Too narrow for P90"), dropped("P90"), "{columns}:\n{text}");
        }
        assert!(!table.render(Terminal::PIPE).contains('…'), "a pipe has whole texts");
    }

    #[test]
    fn notes_stand_below_their_rows() {
        let mut table = Table::new(&[Column::word("VERDICT")]);
        table.noted_row(vec!["pass".into()], "kept by most page views".to_owned());
        assert_eq!(table.render(terminal(20)), "VERDICT\npass\n    kept by most\n    page views\n");
    }

    #[test]
    fn hostile_cells_stay_on_their_line() {
        let mut table = Table::new(&[Column::text("ROUTE")]);
        table.row(vec![format!("/{}\n/end", "a".repeat(500)).into()]);
        let text = table.render(terminal(60));
        assert_eq!(text.lines().count(), 2);
        let cell = text.lines().nth(1).unwrap();
        assert_eq!(cell.width(), 60);
        assert!(cell.starts_with("/aaa") && cell.ends_with("a\\u{a}/end"), "{cell}");
    }

    #[test]
    fn cut_texts_are_as_wide_as_possible_and_no_wider() {
        assert_eq!(shorten("/abcdefgh", 9), "/abcdefgh");
        assert_eq!(shorten("/abcdefgh", 6), "/ab…gh");
        assert_eq!(shorten("你好你好", 7), "你好…好");
        assert_eq!(shorten("你好你好", 6), "你…好");
        assert_eq!(shorten("abcde\u{301}", 3), "a…e\u{301}");
        assert_eq!(shorten("abc", 0), "…");
    }
}
