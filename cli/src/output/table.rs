//! Text tables with aligned columns.

use super::{Colour, Ink};

/// Characters of a cell. Longer texts are cut in the middle, where routes differ least.
const CELL_CHARS_MAX: usize = 60;

/// Alignment of a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Align {
    /// For texts.
    Left,
    /// For numbers.
    Right,
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
    columns: Vec<(String, Align)>,
    rows: Vec<Vec<Cell>>,
}

impl Table {
    /// An empty table with these columns.
    pub(crate) fn new(columns: &[(&str, Align)]) -> Self {
        Self {
            columns: columns.iter().map(|(name, align)| ((*name).to_owned(), *align)).collect(),
            rows: Vec::new(),
        }
    }

    /// Adds a row.
    pub(crate) fn row(&mut self, cells: Vec<Cell>) {
        self.rows.push(cells);
    }

    /// Renders the table, one line per row.
    pub(crate) fn render(&self, colour: Colour) -> String {
        let heading: Vec<Cell> =
            self.columns.iter().map(|(name, _)| Cell::painted(name.as_str(), Ink::Bold)).collect();
        let rows: Vec<Vec<(String, Option<Ink>)>> = core::iter::once(&heading)
            .chain(&self.rows)
            .map(|row| row.iter().map(|cell| (shorten(&cell.text), cell.ink)).collect())
            .collect();
        let widths: Vec<usize> = (0..self.columns.len())
            .map(|column| {
                rows.iter().map(|row| row.get(column).map_or(0, |(text, _)| width(text))).max().unwrap_or(0)
            })
            .collect();
        let mut text = String::new();
        for row in &rows {
            let mut line = String::new();
            for (((cell, ink), (_, align)), columns) in row.iter().zip(&self.columns).zip(&widths) {
                if !line.is_empty() {
                    line.push_str("  ");
                }
                let space = " ".repeat(columns.saturating_sub(width(cell)));
                let painted = ink.map_or_else(|| cell.clone(), |ink| colour.paint(ink, cell));
                match align {
                    Align::Left => line.extend([painted, space]),
                    Align::Right => line.extend([space, painted]),
                }
            }
            text.push_str(line.trim_end());
            text.push('\n');
        }
        text
    }
}

fn width(text: &str) -> usize {
    text.chars().count()
}

fn shorten(text: &str) -> String {
    let chars: Vec<char> = super::plain(text).chars().collect();
    if chars.len() <= CELL_CHARS_MAX {
        return chars.into_iter().collect();
    }
    let half = CELL_CHARS_MAX / 2;
    let (head, tail) = (&chars[..half - 1], &chars[chars.len() - half..]);
    head.iter().chain(core::iter::once(&'…')).chain(tail).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up_whatever_the_colour() {
        let mut table = Table::new(&[("ROUTE", Align::Left), ("LCP", Align::Right)]);
        table.row(vec!["/é".into(), Cell::painted("2500", Ink::Red)]);
        table.row(vec!["/longer/route".into(), "9".into()]);
        assert_eq!(
            table.render(Colour::Off),
            "ROUTE           LCP\n/é             2500\n/longer/route     9\n"
        );
        let coloured = table.render(Colour::On);
        assert!(coloured.contains("/é             \u{1b}[31m2500\u{1b}[0m\n"), "{coloured:?}");
    }

    #[test]
    fn long_and_hostile_cells_stay_on_their_line() {
        let mut table = Table::new(&[("ROUTE", Align::Left)]);
        table.row(vec![format!("/{}\n/end", "a".repeat(500)).into()]);
        let text = table.render(Colour::Off);
        assert_eq!(text.lines().count(), 2);
        let cell = text.lines().nth(1).unwrap();
        assert_eq!(cell.chars().count(), CELL_CHARS_MAX);
        assert!(cell.starts_with("/aaa") && cell.ends_with("a\\u{a}/end"), "{cell}");
    }
}
