//! The plain model: what a store must answer, computed the slow and obvious way.

use crate::load::merge;
use crate::rollup::{DAY_MS, HOUR_MS, day_of, hour_of};
use crate::{
    Cell, CellQuery, Kept, LoadBatch, LoadReport, Retention, RouteCell, SiteId, SpoolId, StoreError,
    StoredView, Tally, TallyQuery, ViewUpdate,
};
use std::collections::{BTreeMap, BTreeSet};
use vitals::view::ViewId;

/// A store that keeps every page view for ever and recomputes each answer from all of them. Retention
/// only hides.
#[derive(Clone, Debug)]
pub struct Model {
    sites: BTreeSet<SiteId>,
    views: BTreeMap<(SiteId, ViewId), StoredView>,
    cursors: BTreeMap<(SiteId, [u8; 16]), u64>,
    kept: Kept,
}

impl Default for Model {
    fn default() -> Self {
        Self {
            sites: BTreeSet::new(),
            views: BTreeMap::new(),
            cursors: BTreeMap::new(),
            kept: Kept::EVERYTHING,
        }
    }
}

impl Model {
    /// Adds a site under the id that the store gave it.
    pub fn site_add(&mut self, site: SiteId) {
        self.sites.insert(site);
    }

    /// See [`crate::Store::site_delete`].
    pub fn site_delete(&mut self, site: SiteId) {
        self.sites.remove(&site);
        self.views.retain(|&(owner, _), _| owner != site);
        self.cursors.retain(|&(owner, _), _| owner != site);
    }

    /// See [`crate::Store::cursor`].
    #[must_use]
    pub fn cursor(&self, site: SiteId, spool: SpoolId) -> u64 {
        self.cursors.get(&(site, spool.0)).copied().unwrap_or(0)
    }

    /// See [`crate::Store::load`].
    ///
    /// # Errors
    /// Those of the store.
    pub fn load(&mut self, batch: LoadBatch) -> Result<LoadReport, StoreError> {
        let LoadBatch { site, spool, after, up_to, beacons } = batch;
        if !self.sites.contains(&site) {
            return Err(StoreError::NoSuchSite);
        }
        let at = self.cursor(site, spool);
        if at != after {
            return Err(StoreError::CursorMoved { at, expected: after });
        }
        self.cursors.insert((site, spool.0), up_to);
        // One update at a time, each against all that is known: no batch, no reading ahead.
        let mut report = LoadReport::default();
        for beacon in beacons {
            let mut changed = false;
            for update in beacon {
                changed |= self.take(site, update);
            }
            if changed {
                report.loaded += 1;
            } else {
                report.superseded += 1;
            }
        }
        Ok(report)
    }

    fn take(&mut self, site: SiteId, update: ViewUpdate) -> bool {
        let key = (site, update.id);
        let known = self.views.get(&key).cloned().into_iter().collect();
        let merged = merge(known, vec![vec![update]], &self.kept);
        let changed = !merged.changed.is_empty();
        for change in merged.changed {
            self.views.insert(key, change.after);
        }
        changed
    }

    /// See [`crate::Store::maintain`].
    pub fn maintain(&mut self, now_ms: i64, retention: Retention) {
        self.kept = self.kept.after(now_ms, retention);
    }

    fn site_views(&self, site: SiteId) -> impl Iterator<Item = &ViewUpdate> {
        self.views.iter().filter(move |((owner, _), _)| *owner == site).map(|(_, view)| &view.update)
    }

    fn raw_views(&self, site: SiteId) -> impl Iterator<Item = &ViewUpdate> {
        self.site_views(site).filter(|view| view.id.start_ms() >= self.kept.views_from_ms)
    }

    /// See [`crate::Store::routes`].
    #[must_use]
    pub fn routes(&self, site: SiteId, from_ms: i64, to_ms: i64) -> Vec<String> {
        let routes: BTreeSet<&String> = self
            .raw_views(site)
            .filter(|view| (from_ms..to_ms).contains(&view.id.start_ms()))
            .map(|view| &view.route)
            .collect();
        routes.into_iter().cloned().collect()
    }

    /// See [`crate::Store::cells`].
    #[must_use]
    pub fn cells(&self, query: &CellQuery) -> Vec<RouteCell> {
        let mut cells: BTreeMap<&String, Cell> = BTreeMap::new();
        if query.release.is_some() {
            for view in self.raw_views(query.site).filter(|view| query.takes(view)) {
                cells.entry(&view.route).or_default().add(&view.values, 1);
            }
        } else {
            let rounded = self.rounded(query);
            for view in self.site_views(query.site) {
                if rounded.takes(view) && day_of(view.id.start_ms()) >= self.kept.days_from_ms {
                    cells.entry(&view.route).or_default().add(&view.values, 1);
                }
            }
        }
        cells.into_iter().map(|(route, cell)| RouteCell { route: route.clone(), cell }).collect()
    }

    /// The range as rollups can answer it: whole hours, whole days where there are no hours.
    fn rounded(&self, query: &CellQuery) -> CellQuery {
        let hours_gone = |edge_ms: i64| day_of(edge_ms) < self.kept.hours_from_ms;
        let mut from_ms = hour_of(query.from_ms);
        if hours_gone(from_ms) {
            from_ms = day_of(from_ms);
        }
        let mut to_ms = hour_of(query.to_ms);
        if to_ms < query.to_ms {
            to_ms = to_ms.saturating_add(HOUR_MS);
        }
        if hours_gone(to_ms) && day_of(to_ms) < to_ms {
            to_ms = day_of(to_ms).saturating_add(DAY_MS);
        }
        if query.from_ms >= query.to_ms {
            to_ms = from_ms;
        }
        CellQuery { from_ms, to_ms, ..query.clone() }
    }

    /// See [`crate::Store::tally`].
    #[must_use]
    pub fn tally(&self, query: &TallyQuery) -> Tally {
        let mut tally = Tally::default();
        for view in self.raw_views(query.site) {
            let taken = (query.from_ms..query.to_ms).contains(&view.id.start_ms())
                && query.routes.contains(&view.route)
                && query.device.is_none_or(|device| view.device == Some(device))
                && query.release.as_ref().is_none_or(|release| view.release.as_ref() == Some(release));
            if let (true, Some(value)) = (taken, view.values.get(query.metric)) {
                tally.n += 1;
                tally.within += i64::from(value <= query.at_most);
            }
        }
        tally
    }

    /// See [`crate::Store::view`].
    #[must_use]
    pub fn view(&self, site: SiteId, id: ViewId) -> Option<StoredView> {
        let view = self.views.get(&(site, id))?;
        (id.start_ms() >= self.kept.views_from_ms).then(|| view.clone())
    }
}
