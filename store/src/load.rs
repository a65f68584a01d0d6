//! Computes the page view changes of a batch of beacons: the part of loading that is not SQL.

mod naming;
mod part;
mod reroute;

pub use naming::bound;
pub use part::{Part, used_by};
pub use reroute::{Reroute, reroute};

use crate::dimension::{Dimension, DimensionValue};
use crate::hash::{HashMap, HashSet};
use crate::retention_edges::RetentionEdges;
use crate::rollup::day_of;
use crate::view::{StoredView, ViewUpdate};
use crate::{LoadBatch, LoadReport};
use std::collections::BTreeSet;
use std::hash::Hash;
use vitals::view::ViewId;

/// A changed page view. Boxed, because lists of thousands are sorted and page views are large.
#[derive(Clone, Debug, PartialEq)]
pub struct Changed {
    /// The stored view; `None` for a new one.
    pub before: Option<Box<StoredView>>,
    /// The view to be stored; `None` for an erased one.
    pub after: Option<Box<StoredView>>,
}

/// Returns the starts of the UTC days of changed page views, also of those whose counts stay as they were.
#[must_use]
pub fn days_of(changed: &[Changed]) -> BTreeSet<i64> {
    let views = changed.iter().flat_map(|changed| changed.before.iter().chain(&changed.after));
    views.map(|view| day_of(view.update.id.start_ms())).collect()
}

impl Changed {
    /// Returns the stored update of the view and the new one.
    pub fn updates(&self) -> impl Iterator<Item = &ViewUpdate> {
        self.before.iter().chain(&self.after).map(|view| &view.update)
    }
}

/// The result of merging a batch.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Merged {
    /// The page views to write, by id, each once.
    pub changed: Vec<Changed>,
    /// The outcome of the beacons.
    pub report: LoadReport,
}

/// Returns the distinct ids of a batch, ascending. The backend reads (in Postgres, locks) these page views before
/// [`merge`].
#[must_use]
pub fn ids(batch: &LoadBatch) -> Vec<ViewId> {
    let mut ids: Vec<ViewId> = batch.beacons.iter().flatten().map(|update| update.id).collect();
    ids.sort_unstable();
    ids.dedup();
    ids
}

/// Returns the distinct routes of a batch, sorted.
fn routes(beacons: &[Vec<ViewUpdate>]) -> Vec<&str> {
    distinct(beacons.iter().flatten().map(|update| update.route.as_str()))
}

/// Returns the distinct items, sorted.
fn distinct<T: Copy + Eq + Hash + Ord>(all: impl Iterator<Item = T>) -> Vec<T> {
    let mut distinct: Vec<T> = all.collect::<HashSet<T>>().into_iter().collect();
    distinct.sort_unstable();
    distinct
}

/// Returns the distinct labels of a batch, by dimension, sorted.
fn labels(beacons: &[Vec<ViewUpdate>]) -> Vec<(Dimension, &str)> {
    let updates = beacons.iter().flatten();
    distinct(
        updates
            .flat_map(|update| Dimension::LABELLED.map(|dimension| (dimension, dimension.of(update))))
            .filter_map(|(dimension, said)| match said {
                DimensionValue::Label(label) => Some((dimension, label)),
                DimensionValue::Code(_) => None,
            }),
    )
}

/// Applies beacons in order to the `known` views.
#[must_use]
pub fn merge(known: Vec<StoredView>, beacons: Vec<Vec<ViewUpdate>>, retained: &RetentionEdges) -> Merged {
    let mut views = Views::new(known, beacons.len(), retained);
    let mut report = LoadReport::default();
    for beacon in beacons {
        let mut changed = false;
        for update in beacon {
            changed |= views.take(update);
        }
        if changed {
            report.loaded += 1;
        } else {
            report.superseded += 1;
        }
    }
    let mut changed = views.changed;
    changed.sort_unstable_by_key(|changed| changed.after.as_ref().map(|view| view.update.id));
    Merged { changed, report }
}

/// Page views during the merge, from the known state to the new one.
struct Views<'a> {
    known: HashMap<ViewId, Box<StoredView>>,
    /// The indexes of changed views in the list.
    places: HashMap<ViewId, usize>,
    changed: Vec<Changed>,
    retained: &'a RetentionEdges,
}

impl<'a> Views<'a> {
    fn new(known: Vec<StoredView>, beacons: usize, retained: &'a RetentionEdges) -> Self {
        Self {
            known: known.into_iter().map(|view| (view.update.id, Box::new(view))).collect(),
            places: HashMap::default(),
            changed: Vec::with_capacity(beacons),
            retained,
        }
    }

    /// Applies an update; returns whether it changed anything.
    fn take(&mut self, update: ViewUpdate) -> bool {
        let id = update.id;
        if id.start_ms() < self.retained.views_from_ms {
            return false;
        }
        if let Some(&place) = self.places.get(&id) {
            return self.changed[place].after.as_mut().is_some_and(|view| view.apply(update));
        }
        let (before, after) = match self.known.get(&id) {
            None => (None, Box::new(StoredView::first(update))),
            Some(before) => {
                let mut view = before.clone();
                if !view.apply(update) {
                    return false;
                }
                (self.known.remove(&id), view)
            }
        };
        self.places.insert(id, self.changed.len());
        self.changed.push(Changed { before, after: Some(after) });
        true
    }
}
