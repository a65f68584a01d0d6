//! What a batch of beacons makes of the page views that are known: the part of loading that is not SQL.

use crate::kept::Kept;
use crate::rollup::{Corrections, device_code, hour_of};
use crate::view::{StoredView, ViewUpdate};
use crate::{LoadBatch, LoadReport};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use vitals::limits;
use vitals::view::ViewId;

/// A page view that a batch changes.
#[derive(Clone, Debug, PartialEq)]
pub struct Changed {
    /// What was stored; `None` for a new view.
    pub before: Option<StoredView>,
    /// What is to be stored.
    pub after: StoredView,
}

/// What loading a batch comes to.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Merged {
    /// The page views to be written, by id, each once.
    pub changed: Vec<Changed>,
    /// What became of the beacons.
    pub report: LoadReport,
}

/// The ids of the page views that a batch speaks of, ascending, each once: those to be read (in
/// Postgres, to be locked) before [`merge`].
#[must_use]
pub fn ids(batch: &LoadBatch) -> Vec<ViewId> {
    let mut ids: Vec<ViewId> = batch.beacons.iter().flatten().map(|update| update.id).collect();
    ids.sort_unstable();
    ids.dedup();
    ids
}

/// The route under which page views are counted once a site has as many routes as it may have.
pub const OTHER_ROUTE: &str = "(other)";

/// The distinct routes of a batch.
#[must_use]
pub fn routes(beacons: &[Vec<ViewUpdate>]) -> BTreeSet<&str> {
    beacons.iter().flatten().map(|update| update.route.as_str()).collect()
}

/// Counts updates whose route is neither `known` nor fits under the bound as those of [`OTHER_ROUTE`],
/// where a site has `count` routes already. The first ones in spool order get the places that are left.
///
/// A route once decided is stored on the view, so nothing is counted twice when places become free.
pub fn bound_routes(beacons: &mut [Vec<ViewUpdate>], known: &BTreeSet<String>, count: usize) {
    let mut left = limits::ROUTES_PER_SITE_MAX.saturating_sub(count);
    let mut taken: BTreeSet<String> = BTreeSet::new();
    for update in beacons.iter_mut().flatten() {
        if known.contains(&update.route) || taken.contains(&update.route) || update.route == OTHER_ROUTE {
            continue;
        }
        if left > 0 {
            left -= 1;
            taken.insert(update.route.clone());
        } else {
            OTHER_ROUTE.clone_into(&mut update.route);
        }
    }
}

/// Applies beacons in order to the views that are `known`.
#[must_use]
pub fn merge(known: Vec<StoredView>, beacons: Vec<Vec<ViewUpdate>>, kept: &Kept) -> Merged {
    let known: BTreeMap<ViewId, StoredView> = known.into_iter().map(|view| (view.update.id, view)).collect();
    let mut views: HashMap<ViewId, StoredView> = HashMap::new();
    let mut report = LoadReport::default();
    for beacon in beacons {
        let mut changed = false;
        for update in beacon {
            changed |= take(&known, &mut views, update, kept);
        }
        if changed {
            report.loaded += 1;
        } else {
            report.superseded += 1;
        }
    }
    let mut known = known;
    let mut changed: Vec<Changed> =
        views.into_iter().map(|(id, after)| Changed { before: known.remove(&id), after }).collect();
    changed.sort_unstable_by_key(|changed| changed.after.update.id);
    Merged { changed, report }
}

fn take(
    known: &BTreeMap<ViewId, StoredView>,
    views: &mut HashMap<ViewId, StoredView>,
    update: ViewUpdate,
    kept: &Kept,
) -> bool {
    let id = update.id;
    if id.start_ms() < kept.views_from_ms {
        return false;
    }
    if let Some(view) = views.get_mut(&id) {
        return view.apply(update);
    }
    let Some(before) = known.get(&id) else {
        views.insert(id, StoredView::first(update));
        return true;
    };
    let mut view = before.clone();
    let changed = view.apply(update);
    if changed {
        views.insert(id, view);
    }
    changed
}

/// What changed views change in the rollups, by the start of the hour: old values taken away, new
/// ones added. A view of which only the description changed leaves no trace.
#[must_use]
pub fn corrections(changed: &[Changed]) -> BTreeMap<i64, Corrections<'_>> {
    let mut hours: BTreeMap<i64, Corrections<'_>> = BTreeMap::new();
    for Changed { before, after } in changed {
        let cells = hours.entry(hour_of(after.update.id.start_ms())).or_default();
        let mut count = |update: &'_ ViewUpdate, key, by| {
            let cell: &mut crate::Cell = cells.entry(key).or_default();
            cell.add(&update.values, by);
        };
        if let Some(before) = before {
            count(&before.update, key(&before.update), -1);
        }
        count(&after.update, key(&after.update), 1);
    }
    for cells in hours.values_mut() {
        cells.retain(|_, cell| !cell.is_empty());
    }
    hours.retain(|_, cells| !cells.is_empty());
    hours
}

fn key(update: &ViewUpdate) -> (&str, u8) {
    (&update.route, device_code(update.device))
}
