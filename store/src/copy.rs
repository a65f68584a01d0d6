//! Rollups in portable form, for a copy from one store to another. Page views are copied by loading them again.

use crate::dimension::{Code, Labels, NO_VALUE};
use crate::names::Used;
use crate::rollup::{Grain, Part, Row, RowKey, from_slot, slot};
use crate::{Cell, Dimension};
use std::collections::{BTreeMap, HashMap};
use std::hash::BuildHasher;

/// The rollups of one hour or day, one route and one dimension, with names instead of a store's ids and codes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RollupGroup {
    /// The group's key.
    pub key: RollupKey,
    /// One cell per value of the dimension; `None` for page views with an unknown value.
    pub cells: Vec<(Option<String>, Cell)>,
}

/// Key of a [`RollupGroup`]; groups are ordered by it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct RollupKey {
    /// The length of the time step.
    pub grain: Grain,
    /// Start of the step, UTC milliseconds.
    pub start_ms: i64,
    /// The dimension of the values.
    pub dimension: Dimension,
    /// The route.
    pub route: String,
}

/// The size of a site's data in a store.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SiteSize {
    /// Stored page views.
    pub views: u64,
    /// Page views counted by daily rollups, including page views past retention.
    pub counted: i64,
    /// Violations.
    pub violations: u64,
}

/// Converts stored rows to groups. Omits rows whose route or slot is unknown, and those of the whole site, which follow
/// from the others.
#[must_use]
pub fn groups<S: BuildHasher>(
    rows: &BTreeMap<RowKey, Row>,
    routes: &HashMap<i64, String, S>,
    labels: &Labels,
) -> Vec<RollupGroup> {
    let names = Dimension::ALL.map(|dimension| labels.names(dimension));
    let name = |dimension: Dimension, code| {
        let label = names[dimension.index()].get(&code).copied();
        dimension.fixed_name(code).or(label).map(str::to_owned)
    };
    let mut groups: BTreeMap<RollupKey, BTreeMap<Code, Cell>> = BTreeMap::new();
    for (key, row) in rows {
        let route = key.route_id.and_then(|id| routes.get(&id));
        let (Some((dimension, part)), Some(route)) = (from_slot(key.slot), route) else { continue };
        let start_ms = i64::from(key.step) * key.grain.step_ms();
        let key = RollupKey { grain: key.grain, start_ms, dimension, route: route.clone() };
        let cells = groups.entry(key).or_default();
        match (row, part) {
            (Row::Views(views), _) => {
                for (&code, &count) in views {
                    cells.entry(code).or_default().count(count);
                }
            }
            (Row::Metric(values), Part::Metric(metric)) => {
                for (&code, histogram) in values {
                    cells.entry(code).or_default().set_metric(metric, histogram.clone());
                }
            }
            (Row::Metric(_), Part::Views) => {}
        }
    }
    groups
        .into_iter()
        .map(|(key, cells)| {
            let cells = cells.into_iter().map(|(code, cell)| (name(key.dimension, code), cell)).collect();
            RollupGroup { key, cells }
        })
        .collect()
}

/// Returns the names in groups, with their days.
#[must_use]
pub fn used_by(groups: &[RollupGroup]) -> Used<'_> {
    let mut used = Used::default();
    for RollupGroup { key, cells } in groups {
        let day = Grain::Day.step(key.start_ms);
        used.name(None, &key.route, day);
        if Dimension::LABELLED.contains(&key.dimension) {
            for label in cells.iter().filter_map(|(value, _)| value.as_deref()) {
                used.name(Some(key.dimension), label, day);
            }
        }
    }
    used
}

/// Converts groups to rows of routes and of the whole site. `groups` must contain every route of their hours and days,
/// `route_ids` and `labels` every route and label.
#[must_use]
pub fn rows<S: BuildHasher>(
    groups: &[RollupGroup],
    route_ids: &HashMap<String, i64, S>,
    labels: &Labels,
) -> BTreeMap<RowKey, Row> {
    let mut rows: BTreeMap<RowKey, Row> = BTreeMap::new();
    for RollupGroup { key: RollupKey { grain, start_ms, dimension, route }, cells } in groups {
        let Some(&route_id) = route_ids.get(route) else { continue };
        let mut add = |part, code, cell: &Cell| {
            for route_id in [None, Some(route_id)] {
                let (grain, step) = (*grain, grain.step(*start_ms));
                let key = RowKey { grain, slot: slot(*dimension, part), step, route_id };
                rows.entry(key).or_insert_with(|| Row::empty(part)).add_cell(part, code, cell);
            }
        };
        for (value, cell) in cells {
            let code = value.as_deref().map_or(Some(NO_VALUE), |value| {
                dimension.fixed_code(value).or_else(|| labels.code(*dimension, value))
            });
            let Some(code) = code else { continue };
            for part in (0..).map_while(Part::from_number) {
                add(part, code, cell);
            }
        }
    }
    rows
}
