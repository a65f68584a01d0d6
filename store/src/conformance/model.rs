//! The plain model: what a store must answer, computed the slow and obvious way.

use crate::dimension::Said;
use crate::load::merge;
use crate::rollup::{DAY_MS, From, HOUR_MS, day_of, hour_of};
use crate::{
    Cell, CellQuery, Dimension, Erase, Kept, LoadBatch, LoadReport, Retention, RouteCell, SiteId, SpoolId,
    StoreError, StoredView, Tally, TallyQuery, ValueCell, ViewUpdate,
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
        for view in merged.changed.into_iter().filter_map(|change| change.after) {
            self.views.insert(key, view);
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
        for view in self.asked(query, None) {
            cells.entry(&view.route).or_default().add(&view.values, view.weight, 1);
        }
        let only = |cell: Cell| cell.only(query.metrics);
        cells.into_iter().map(|(route, cell)| RouteCell { route: route.clone(), cell: only(cell) }).collect()
    }

    /// See [`crate::Store::breakdown`].
    #[must_use]
    pub fn breakdown(&self, query: &CellQuery, by: Dimension) -> Vec<ValueCell> {
        let mut cells: BTreeMap<Option<String>, Cell> = BTreeMap::new();
        for view in self.asked(query, Some(by)) {
            let value = match by.of(view) {
                Said::Code(code) => by.fixed_name(code).map(str::to_owned),
                Said::Label(label) => Some(label.to_owned()),
            };
            cells.entry(value).or_default().add(&view.values, view.weight, 1);
        }
        let mut cells: Vec<ValueCell> = cells
            .into_iter()
            .map(|(value, cell)| ValueCell { value, cell: cell.only(query.metrics) })
            .collect();
        cells.sort_by_key(|one| (std::cmp::Reverse(one.cell.views), one.value.is_none(), one.value.clone()));
        cells
    }

    /// The page views that a question is about, as far as what it is answered from holds them.
    fn asked(&self, query: &CellQuery, by: Option<Dimension>) -> Vec<&ViewUpdate> {
        match From::question(query, by) {
            From::Views => self.raw_views(query.site).filter(|view| query.takes(view)).collect(),
            From::Rollups(dimension) => {
                let rounded = self.rounded(query, dimension);
                self.site_views(query.site)
                    .filter(|view| rounded.takes(view))
                    .filter(|view| day_of(view.id.start_ms()) >= self.kept.days_from_ms)
                    .collect()
            }
        }
    }

    /// The range as rollups can answer it: whole hours, whole days where there are no hours.
    fn rounded(&self, query: &CellQuery, dimension: Dimension) -> CellQuery {
        let no_hours =
            |edge_ms: i64| dimension != Dimension::Device || day_of(edge_ms) < self.kept.hours_from_ms;
        let mut from_ms = hour_of(query.from_ms);
        if no_hours(from_ms) {
            from_ms = day_of(from_ms);
        }
        let mut to_ms = hour_of(query.to_ms);
        if to_ms < query.to_ms {
            to_ms = to_ms.saturating_add(HOUR_MS);
        }
        if no_hours(to_ms) && day_of(to_ms) < to_ms {
            to_ms = day_of(to_ms).saturating_add(DAY_MS);
        }
        if query.from_ms >= query.to_ms {
            to_ms = from_ms;
        }
        CellQuery { from_ms, to_ms, ..query.clone() }
    }

    /// See [`crate::Store::erase`], to its end.
    pub fn erase(&mut self, erase: &Erase) {
        let kept = self.kept;
        self.views.retain(|&(site, id), view| {
            let day_ms = day_of(id.start_ms());
            let erased = if day_ms >= kept.views_from_ms {
                erase.takes(&view.update)
            } else {
                erase.url.is_none() && erase.from_ms <= day_ms && erase.to_ms >= day_ms.saturating_add(DAY_MS)
            };
            site != erase.site || !erased
        });
    }

    /// See [`crate::Store::view_days`].
    #[must_use]
    pub fn view_days(&self, site: SiteId) -> Vec<i64> {
        let days: BTreeSet<i64> = self.raw_views(site).map(|view| day_of(view.id.start_ms())).collect();
        days.into_iter().collect()
    }

    /// See [`crate::Store::views`].
    #[must_use]
    pub fn views(&self, site: SiteId) -> Vec<StoredView> {
        self.views
            .range((site, ViewId::new(0, 0))..)
            .take_while(|((owner, _), _)| *owner == site)
            .filter(|((_, id), _)| id.start_ms() >= self.kept.views_from_ms)
            .map(|(_, view)| view.clone())
            .collect()
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
