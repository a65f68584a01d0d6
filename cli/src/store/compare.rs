//! What two stores hold, beside each other.

use crate::output::table::{Align, Cell, Table};
use crate::output::{Colour, Ink};
use crate::progress::grouped;
use fieldvitals_store::Holding;

/// What both stores hold of a site.
pub(crate) struct Compared {
    /// The site.
    pub(crate) site: String,
    /// In the source.
    pub(crate) source: Holding,
    /// In the target.
    pub(crate) target: Holding,
}

impl Compared {
    fn rows(&self) -> [(&'static str, u64, u64); 3] {
        let counted = |holding: &Holding| u64::try_from(holding.counted).unwrap_or_default();
        [
            ("page views", self.source.views, self.target.views),
            ("counted in rollups", counted(&self.source), counted(&self.target)),
            ("violations", self.source.violations, self.target.violations),
        ]
    }
}

/// Whether both hold the same, as far as counts tell.
pub(crate) fn agree(all: &[Compared]) -> bool {
    all.iter().all(|one| one.source == one.target)
}

/// The counts as a table; those that differ stand out.
pub(crate) fn table(all: &[Compared], colour: Colour) -> String {
    let columns = [
        ("SITE", Align::Left),
        ("", Align::Left),
        ("SOURCE", Align::Right),
        ("TARGET", Align::Right),
        ("", Align::Left),
    ];
    let mut table = Table::new(&columns);
    for one in all {
        for (what, source, target) in one.rows() {
            let sign = if source == target {
                Cell::painted("=", Ink::Green)
            } else {
                Cell::painted("differs", Ink::Red)
            };
            table.row(vec![
                one.site.clone().into(),
                what.into(),
                grouped(source).into(),
                grouped(target).into(),
                sign,
            ]);
        }
    }
    table.render(colour)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_differs_is_seen() {
        let holding = Holding { views: 1_000, counted: 1_200, violations: 0 };
        let same = Compared { site: "shop".to_owned(), source: holding, target: holding };
        assert!(agree(&[same]));
        let less = Holding { views: 999, ..holding };
        let all = [Compared { site: "shop".to_owned(), source: holding, target: less }];
        assert!(!agree(&all));
        let text = table(&all, Colour::Off);
        let line = text.lines().find(|line| line.contains("page views")).unwrap();
        assert!(line.contains("1,000") && line.contains("999") && line.ends_with("differs"), "{text}");
        assert_eq!(text.matches("differs").count(), 1);
    }
}
