//! Compares the contents of two stores.

use crate::output::table::{Cell, Column, Table};
use crate::output::{Ink, Terminal};
use crate::progress::{count, grouped};
use fieldvitals_store::{CellQuery, Dimension, GroupBy, SiteId, SiteSize, Store, StoreError};
use std::collections::BTreeMap;
use vitals::metric::Metrics;

/// Maximum number of differing names printed per site.
const NAMES_TOLD_MAX: usize = 10;

/// A kind of names, and a name of that kind; `None` counts page views whose value is unknown.
type NameOf = (&'static str, Option<String>);

/// The page views per route and per label, as rollups count them.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Names(BTreeMap<NameOf, i64>);

impl Names {
    /// Reads the names of a site.
    pub(crate) async fn of(store: &dyn Store, site: SiteId) -> Result<Self, StoreError> {
        let all = CellQuery { metrics: Metrics::NONE, ..CellQuery::new(site, i64::MIN, i64::MAX) };
        let routes = store.cells(&all).await?.rows.into_iter();
        let mut names: BTreeMap<NameOf, i64> =
            routes.map(|one| (("route", Some(one.route)), one.cell.views)).collect();
        for dimension in Dimension::ALL {
            let values = store.breakdown(&all, GroupBy::Rolled(dimension)).await?.rows.into_iter();
            names.extend(values.map(|one| ((dimension.name(), one.value), one.cell.views)));
        }
        Ok(Self(names))
    }

    /// The names with different counts, with both counts.
    fn differences<'a>(&'a self, other: &'a Self) -> impl Iterator<Item = (&'a NameOf, i64, i64)> {
        let only_there = other.0.keys().filter(|name| !self.0.contains_key(*name));
        let views = |names: &Self, name: &NameOf| names.0.get(name).copied().unwrap_or(0);
        let all =
            self.0.keys().chain(only_there).map(move |name| (name, views(self, name), views(other, name)));
        all.filter(|(_, here, there)| here != there)
    }
}

/// The contents of a site in both stores.
pub(crate) struct Compared {
    /// The site.
    pub(crate) site: String,
    /// In the source.
    pub(crate) source: SiteSize,
    /// In the target.
    pub(crate) target: SiteSize,
    /// The names in the source and in the target.
    pub(crate) names: [Names; 2],
}

impl Compared {
    fn rows(&self) -> [(&'static str, u64, u64); 4] {
        let counted = |site_size: &SiteSize| u64::try_from(site_size.counted).unwrap_or_default();
        [
            ("page views", self.source.views, self.target.views),
            ("counted in rollups", counted(&self.source), counted(&self.target)),
            ("violations", self.source.violations, self.target.violations),
            ("routes and labels", self.names[0].0.len() as u64, self.names[1].0.len() as u64),
        ]
    }
}

/// Whether all counts agree: in total, and per route and label.
pub(crate) fn agree(all: &[Compared]) -> bool {
    all.iter().all(|one| one.source == one.target && one.names[0] == one.names[1])
}

/// The first differing names of each site, one per line.
pub(crate) fn different_names(all: &[Compared]) -> String {
    let mut text = String::new();
    for Compared { site, names: [source, target], .. } in all {
        for ((kind, name), here, there) in source.differences(target).take(NAMES_TOLD_MAX) {
            let name = name.as_deref().map_or_else(|| "unknown".to_owned(), |name| format!("`{name}`"));
            text.push_str(&format!(
                "{site}: {kind} {name}: {} in the source, {} in the target\n",
                count(u64::try_from(here).unwrap_or(0), "page view"),
                count(u64::try_from(there).unwrap_or(0), "page view")
            ));
        }
    }
    text
}

/// The counts as a table that marks differences.
pub(crate) fn table(all: &[Compared], terminal: Terminal) -> String {
    let columns = [
        Column::text("SITE"),
        Column::word(""),
        Column::number("SOURCE"),
        Column::number("TARGET"),
        Column::word(""),
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
    table.render(terminal)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_differs_is_seen() {
        let site_size = SiteSize { views: 1_000, counted: 1_200, violations: 0 };
        let names = |routes: &[(&str, i64)]| {
            Names(routes.iter().map(|&(route, views)| (("route", Some(route.to_owned())), views)).collect())
        };
        let compared = |target, names| Compared { site: "shop".to_owned(), source: site_size, target, names };
        let same = || [names(&[("/", 9), ("/a", 1)]), names(&[("/", 9), ("/a", 1)])];
        assert!(agree(&[compared(site_size, same())]));
        let moved =
            [compared(site_size, [names(&[("/", 9), ("/a", 1)]), names(&[("/", 9), ("(other)", 1)])])];
        assert!(!agree(&moved), "one name is not another");
        assert_eq!(
            different_names(&moved),
            "shop: route `/a`: 1 page view in the source, 0 page views in the target\n\
             shop: route `(other)`: 0 page views in the source, 1 page view in the target\n"
        );
        let less = SiteSize { views: 999, ..site_size };
        let all = [compared(less, same())];
        assert!(!agree(&all));
        let text = table(&all, Terminal::PIPE);
        let line = text.lines().find(|line| line.contains("page views")).unwrap();
        assert!(line.contains("1,000") && line.contains("999") && line.ends_with("differs"), "{text}");
        assert_eq!(text.matches("differs").count(), 1);
    }
}
