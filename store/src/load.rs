//! What a batch of beacons makes of the page views that are known: the part of loading that is not SQL.

use crate::dimension::{Dimension, Labels, OTHER, Said};
use crate::hash::{HashMap, HashSet};
use crate::kept::Kept;
use crate::rollup::{DAY_MS, day_of};
use crate::view::{StoredView, ViewUpdate};
use crate::{LoadBatch, LoadReport};
use std::hash::Hash;
use vitals::limits;
use vitals::view::ViewId;

/// A page view that changes. In boxes: a list of thousands is sorted, and page views are large.
#[derive(Clone, Debug, PartialEq)]
pub struct Changed {
    /// What was stored; `None` for a new view.
    pub before: Option<Box<StoredView>>,
    /// What is to be stored; `None` for one that is erased.
    pub after: Option<Box<StoredView>>,
}

impl Changed {
    /// What was said of the view, and what is.
    pub fn updates(&self) -> impl Iterator<Item = &ViewUpdate> {
        self.before.iter().chain(&self.after).map(|view| &view.update)
    }
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

/// The distinct routes of a batch, in order.
#[must_use]
pub fn routes(beacons: &[Vec<ViewUpdate>]) -> Vec<&str> {
    distinct(beacons.iter().flatten().map(|update| update.route.as_str()))
}

/// Each once, in order.
fn distinct<T: Copy + Eq + Hash + Ord>(all: impl Iterator<Item = T>) -> Vec<T> {
    let mut distinct: Vec<T> = all.collect::<HashSet<T>>().into_iter().collect();
    distinct.sort_unstable();
    distinct
}

/// Counts updates whose route is neither `known` nor fits under the bound as those of [`OTHER`],
/// where a site has `count` routes already. The first ones in spool order get the places that are left.
///
/// A route once decided is stored on the view, so nothing is counted twice when places become free.
pub fn bound_routes(beacons: &mut [Vec<ViewUpdate>], known: &HashSet<String>, count: usize) {
    let mut left = limits::ROUTES_PER_SITE_MAX.saturating_sub(count);
    let mut taken: HashSet<String> = HashSet::default();
    for update in beacons.iter_mut().flatten() {
        if known.contains(&update.route) || taken.contains(&update.route) || update.route == OTHER {
            continue;
        }
        if left > 0 {
            left -= 1;
            taken.insert(update.route.clone());
        } else {
            OTHER.clone_into(&mut update.route);
        }
    }
}

/// The distinct labels of a batch, by dimension and in order.
#[must_use]
pub fn labels(beacons: &[Vec<ViewUpdate>]) -> Vec<(Dimension, &str)> {
    let updates = beacons.iter().flatten();
    distinct(
        updates
            .flat_map(|update| Dimension::LABELLED.map(|dimension| (dimension, dimension.of(update))))
            .filter_map(|(dimension, said)| match said {
                Said::Label(label) => Some((dimension, label)),
                Said::Code(_) => None,
            }),
    )
}

/// How many labels a site has, of each dimension.
#[derive(Clone, Copy, Debug, Default)]
pub struct LabelCounts {
    /// Those that were seen within raw retention.
    pub seen: [usize; Dimension::COUNT],
    /// All that are kept.
    pub all: [usize; Dimension::COUNT],
}

/// How many labels of a dimension may have been seen within raw retention. Labels are kept for as long as daily
/// rollups: even where each span of raw retention brings as many new ones, all that are kept find a code, and the
/// next ones do.
fn labels_max(dimension: Dimension, kept: &Kept, today_ms: i64) -> usize {
    let max = dimension.labels_max();
    if kept.days_from_ms == i64::MIN {
        return max;
    }
    let days = |from_ms: i64| usize::try_from(today_ms.saturating_sub(from_ms) / DAY_MS).unwrap_or(0).max(1);
    let (raw, all) = (days(kept.views_from_ms), days(kept.days_from_ms));
    max.min(limits::LABELS_KEPT_MAX.saturating_mul(raw) / all.saturating_add(raw))
}

/// Replaces labels that are neither `known` nor fit under their dimension's bound by [`OTHER`], where a
/// site has `counts` labels. The first ones in spool order get the places that are left.
///
/// A label once decided is stored on the view, so nothing is counted twice when places become free.
pub fn bound_labels(beacons: &mut [Vec<ViewUpdate>], known: &Labels, counts: &LabelCounts, kept: &Kept) {
    let starts = beacons.iter().flatten().map(|update| update.id.start_ms());
    let today_ms = day_of(starts.max().unwrap_or(0));
    for dimension in Dimension::LABELLED {
        let seen = counts.seen[dimension.index()];
        let codes = limits::LABELS_KEPT_MAX.saturating_sub(counts.all[dimension.index()]);
        let mut left = labels_max(dimension, kept, today_ms).saturating_sub(seen).min(codes);
        let mut taken: HashSet<String> = HashSet::default();
        for update in beacons.iter_mut().flatten() {
            let Some(label) = dimension.label_mut(update) else { continue };
            if label == OTHER || known.code(dimension, label).is_some() || taken.contains(label) {
                continue;
            }
            if left > 0 {
                left -= 1;
                taken.insert(label.clone());
            } else {
                OTHER.clone_into(label);
            }
        }
    }
}

/// Applies beacons in order to the views that are `known`.
#[must_use]
pub fn merge(known: Vec<StoredView>, beacons: Vec<Vec<ViewUpdate>>, kept: &Kept) -> Merged {
    let mut views = Views::new(known, beacons.len(), kept);
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

/// Page views on their way from what is known to what is to be stored.
struct Views<'a> {
    known: HashMap<ViewId, Box<StoredView>>,
    /// Where those that change are in the list.
    places: HashMap<ViewId, usize>,
    changed: Vec<Changed>,
    kept: &'a Kept,
}

impl<'a> Views<'a> {
    fn new(known: Vec<StoredView>, beacons: usize, kept: &'a Kept) -> Self {
        Self {
            known: known.into_iter().map(|view| (view.update.id, Box::new(view))).collect(),
            places: HashMap::default(),
            changed: Vec::with_capacity(beacons),
            kept,
        }
    }

    /// Applies an update; whether it changed anything.
    fn take(&mut self, update: ViewUpdate) -> bool {
        let id = update.id;
        if id.start_ms() < self.kept.views_from_ms {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Retention;

    #[test]
    fn labels_find_codes_for_as_long_as_they_are_kept() {
        let today_ms = 20_000 * DAY_MS;
        for (raw_days, daily_days) in [(30, 762), (2, 762), (7, 365), (2, 3_660), (3_660, 3_660)] {
            let retention = Retention { raw_days, hourly_days: 1, daily_days };
            let kept = Kept::EVERYTHING.after(today_ms, retention);
            let max = labels_max(Dimension::Release, &kept, today_ms);
            let windows = daily_days.div_ceil(raw_days) as usize + 1;
            assert!(
                max > 0 && max * windows <= limits::LABELS_KEPT_MAX + max,
                "{raw_days} of {daily_days}: {max}"
            );
        }
        let kept = Kept::EVERYTHING.after(today_ms, Retention::default());
        for dimension in Dimension::LABELLED {
            assert_eq!(labels_max(dimension, &kept, today_ms), dimension.labels_max(), "by default");
        }
        assert_eq!(
            labels_max(Dimension::Release, &Kept::EVERYTHING, today_ms),
            limits::RELEASES_PER_SITE_MAX
        );
    }
}
