//! Groups routes by their first path segment.

use fieldvitals_store::RouteCell;
use std::collections::BTreeMap;

/// A row of a ranking: a route, or a section of routes.
#[derive(Clone, Debug)]
pub struct Row {
    /// The name and the measurements.
    pub route: RouteCell,
    /// Number of routes in it: 1 unless it is a section.
    pub routes: usize,
}

impl From<RouteCell> for Row {
    fn from(route: RouteCell) -> Self {
        Self { route, routes: 1 }
    }
}

/// Returns the section of a route: a pattern of its first path segment, such as `/c/*` for `/c/lamps`. A route of one
/// segment is a section of its own.
pub(super) fn section(route: &str) -> String {
    let path = route.strip_prefix('/').unwrap_or(route);
    match path.split_once('/') {
        Some((first, _)) => {
            let start = route.len().saturating_sub(path.len());
            format!("{}{first}/*", route.get(..start).unwrap_or_default())
        }
        None => route.to_owned(),
    }
}

/// Merges routes into their sections.
#[must_use]
pub(super) fn sections(routes: impl Iterator<Item = RouteCell>) -> Vec<Row> {
    let mut sections: BTreeMap<String, Row> = BTreeMap::new();
    for RouteCell { route, cell } in routes {
        let name = section(&route);
        match sections.get_mut(&name) {
            Some(row) => {
                row.route.cell.merge(&cell);
                row.routes += 1;
            }
            None => {
                sections.insert(name.clone(), RouteCell { route: name, cell }.into());
            }
        }
    }
    sections.into_values().collect()
}

#[cfg(test)]
mod tests {
    use super::section;

    #[test]
    fn section_is_a_pattern_of_the_first_segment() {
        for (route, expected) in [
            ("/c/lamps", "/c/*"),
            ("/c/lamps/red", "/c/*"),
            ("/c/", "/c/*"),
            ("/c", "/c"),
            ("/", "/"),
            ("/:id/reviews", "/:id/*"),
            ("/é/x", "/é/*"),
            ("(other)", "(other)"),
            ("", ""),
        ] {
            assert_eq!(section(route), expected);
            assert!(vitals::budget::matches(expected, route), "{expected} matches {route}");
        }
    }
}
