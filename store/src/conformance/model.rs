//! Implements a simple model of a store that computes each answer the slow and obvious way.

use super::causes::{self, Sample};
use super::{conditions, percentile, slow};
use crate::context::causes::Blocking;
use crate::dimension::{DimensionValue, device_code, device_of_code};
use crate::load::merge;
use crate::rollup::{DAY_MS, From, HOUR_MS, MINUTE_MS, day_of};
use crate::{
    Around, CauseQuery, Causes, Cell, CellQuery, ClassViewsQuery, ContextProperty, Dimension, Engaged,
    Engagement, EngagementQuery, Erase, GroupBy, LoadBatch, LoadReport, PeriodRows, Retention,
    RetentionEdges, RouteCell, SampleQuery, Samples, SeriesQuery, SiteId, SpoolId, StepCells, StoreError,
    StoredView, StrataQuery, Stratum, Tally, TallyQuery, Total, ValueCell, ViewUpdate,
};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use vitals::gate::{Block, Class, ClassViews, TimedValue};
use vitals::metric::{Metric, Value};
use vitals::view::{NavigationType, TtiGap, ViewId};

/// A store that keeps every page view forever and recomputes each answer from all of them. Retention only hides data.
#[derive(Clone, Debug)]
pub struct Model {
    sites: BTreeSet<SiteId>,
    views: BTreeMap<(SiteId, ViewId), StoredView>,
    cursors: BTreeMap<(SiteId, [u8; 16]), u64>,
    retained: RetentionEdges,
}

impl Default for Model {
    fn default() -> Self {
        Self {
            sites: BTreeSet::new(),
            views: BTreeMap::new(),
            cursors: BTreeMap::new(),
            retained: RetentionEdges::EVERYTHING,
        }
    }
}

impl Model {
    /// Adds a site under the id from the tested store.
    pub fn site_add(&mut self, site: SiteId) {
        self.sites.insert(site);
    }

    /// See [`crate::Sites::site_delete`].
    pub fn site_delete(&mut self, site: SiteId) {
        self.sites.remove(&site);
        self.views.retain(|&(owner, _), _| owner != site);
        self.cursors.retain(|&(owner, _), _| owner != site);
    }

    /// See [`crate::Loading::cursor`].
    #[must_use]
    pub fn cursor(&self, site: SiteId, spool: SpoolId) -> u64 {
        self.cursors.get(&(site, spool.0)).copied().unwrap_or(0)
    }

    /// See [`crate::Loading::load`].
    ///
    /// # Errors
    /// Those of the store.
    pub fn load(&mut self, batch: LoadBatch) -> Result<LoadReport, StoreError> {
        let LoadBatch { site, spool, after, up_to, beacons, senders: _ } = batch;
        if !self.sites.contains(&site) {
            return Err(StoreError::NoSuchSite);
        }
        let at = self.cursor(site, spool);
        if at != after {
            return Err(StoreError::CursorMoved { at, expected: after });
        }
        self.cursors.insert((site, spool.0), up_to);
        // Applies one update at a time against the whole state, without batches.
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
        let merged = merge(known, vec![vec![update]], &self.retained);
        let changed = !merged.changed.is_empty();
        for view in merged.changed.into_iter().filter_map(|change| change.after) {
            self.views.insert(key, *view);
        }
        changed
    }

    /// See [`crate::Maintenance::maintain`].
    pub fn maintain(&mut self, now_ms: i64, retention: Retention) {
        self.retained = self.retained.after(now_ms, retention);
    }

    /// See [`crate::Maintenance::reroute`].
    pub fn reroute(&mut self, site: SiteId, from: &str, to: &str) -> u64 {
        let (from_ms, mut moved) = (self.retained.views_from_ms, 0);
        let of_site = self.views.iter_mut().filter(|((owner, _), _)| *owner == site);
        for (_, view) in of_site.filter(|((_, id), _)| id.start_ms() >= from_ms) {
            if view.update.route == from && from != to {
                to.clone_into(&mut view.update.route);
                moved += 1;
            }
        }
        moved
    }

    /// See [`crate::Reports::urls`].
    #[must_use]
    pub fn urls(&self, site: SiteId) -> BTreeMap<(String, String), u64> {
        let mut urls = BTreeMap::new();
        for view in self.raw_views(site) {
            *urls.entry((view.url.clone(), view.route.clone())).or_default() += 1;
        }
        urls
    }

    fn site_views(&self, site: SiteId) -> impl Iterator<Item = &ViewUpdate> {
        self.views.iter().filter(move |((owner, _), _)| *owner == site).map(|(_, view)| &view.update)
    }

    fn raw_views(&self, site: SiteId) -> impl Iterator<Item = &ViewUpdate> {
        self.site_views(site).filter(|view| view.id.start_ms() >= self.retained.views_from_ms)
    }

    /// See [`crate::Reports::routes`].
    #[must_use]
    pub fn routes(&self, site: SiteId, from_ms: i64, to_ms: i64) -> Vec<String> {
        let routes: BTreeSet<&String> = self
            .raw_views(site)
            .filter(|view| (from_ms..to_ms).contains(&view.id.start_ms()))
            .map(|view| &view.route)
            .collect();
        routes.into_iter().cloned().collect()
    }

    /// See [`crate::Reports::cells`].
    #[must_use]
    pub fn cells(&self, query: &CellQuery) -> PeriodRows<RouteCell> {
        let (period, views) = self.asked(query, None, false);
        let mut cells: BTreeMap<&String, Cell> = BTreeMap::new();
        for view in views {
            cells.entry(&view.route).or_default().add(&view.values, view.weight, 1);
        }
        let only = |cell: Cell| cell.only(query.metrics);
        let rows = cells
            .into_iter()
            .map(|(route, cell)| RouteCell { route: route.clone(), cell: only(cell) })
            .collect();
        PeriodRows { period, rows }
    }

    /// See [`crate::Reports::total`].
    #[must_use]
    pub fn total(&self, query: &CellQuery) -> Total {
        let (period, views) = self.asked(query, None, query.route.is_none());
        let mut cell = Cell::default();
        for view in views {
            cell.add(&view.values, view.weight, 1);
        }
        Total { period, cell: cell.only(query.metrics) }
    }

    /// See [`crate::Reports::breakdown`].
    #[must_use]
    pub fn breakdown(&self, query: &CellQuery, by: GroupBy) -> PeriodRows<ValueCell> {
        let (period, views) = self.asked(query, Some(by), query.route.is_none());
        let mut cells: BTreeMap<Option<String>, Cell> = BTreeMap::new();
        for view in views {
            let value = match by.of(view) {
                DimensionValue::Code(code) => by.fixed_name(code).map(str::to_owned),
                DimensionValue::Label(label) => Some(label.to_owned()),
            };
            cells.entry(value).or_default().add(&view.values, view.weight, 1);
        }
        let mut rows: Vec<ValueCell> = cells
            .into_iter()
            .map(|(value, cell)| ValueCell { value, cell: cell.only(query.metrics) })
            .collect();
        rows.sort_by_key(|one| (std::cmp::Reverse(one.cell.views), one.value.is_none(), one.value.clone()));
        PeriodRows { period, rows }
    }

    /// See [`crate::Reports::series`].
    #[must_use]
    pub fn series(&self, query: &SeriesQuery) -> Vec<StepCells> {
        let steps = query.steps().map(|step| match &query.lines {
            None => {
                let Total { period, cell } = self.total(&step);
                StepCells { period, cells: vec![cell] }
            }
            Some(lines) => {
                let PeriodRows { period, rows } = self.breakdown(&step, lines.by);
                let mut cells = vec![Cell::default(); lines.values.len() + 1];
                for row in rows {
                    let line = lines.values.iter().position(|value| *value == row.value);
                    cells[line.unwrap_or(lines.values.len())].merge(&row.cell);
                }
                StepCells { period, cells }
            }
        });
        steps.collect()
    }

    /// See [`crate::Reports::strata`].
    #[must_use]
    pub fn strata(&self, query: &StrataQuery) -> Vec<Stratum> {
        let mut strata: BTreeMap<_, Cell> = BTreeMap::new();
        for view in self.raw_views(query.views.site) {
            let in_windows = query.windows.iter().any(|window| window.contains(&view.id.start_ms()));
            if in_windows && query.views.takes(view) {
                let kind = view.navigation_type.map(|kind| kind as u8);
                let key = (device_code(view.device), kind.map_or(0, |kind| kind + 1), view.country.clone());
                strata.entry(key).or_default().add(&view.values, view.weight, 1);
            }
        }
        let stratum = |((device, kind, country), cell): ((u8, u8, _), _)| Stratum {
            device: device_of_code(device),
            country,
            navigation_type: kind.checked_sub(1).and_then(NavigationType::from_number),
            cell,
        };
        strata.into_iter().map(stratum).collect()
    }

    /// Returns the period that an answer counts, and its page views. `is_site`: the answer is of the whole site.
    fn asked(&self, query: &CellQuery, by: Option<GroupBy>, is_site: bool) -> (Range<i64>, Vec<&ViewUpdate>) {
        let period = match From::question(query, by) {
            From::Views => after(query.from_ms..query.to_ms, self.retained.views_from_ms),
            From::Rollups(dimension) => self.rounded(query, dimension, is_site),
        };
        let counted = CellQuery { from_ms: period.start, to_ms: period.end, ..query.clone() };
        let views = self.site_views(query.site).filter(|view| counted.takes(view)).collect();
        (period, views)
    }

    /// Rounds the period as rollups require: to whole minutes while page views are kept, then to whole hours while those
    /// are kept, then to whole days.
    fn rounded(&self, query: &CellQuery, dimension: Dimension, is_site: bool) -> Range<i64> {
        let hours_from_ms =
            if is_site { self.retained.site_hours_from_ms } else { self.retained.hours_from_ms };
        let step_ms = |edge_ms: i64| {
            let day_ms = day_of(edge_ms);
            match dimension == Dimension::Device && day_ms >= hours_from_ms {
                _ if day_ms >= self.retained.views_from_ms => MINUTE_MS,
                true => HOUR_MS,
                false => DAY_MS,
            }
        };
        let start_of = |edge_ms: i64, step_ms: i64| edge_ms.saturating_sub(edge_ms.rem_euclid(step_ms));
        let from_ms = start_of(query.from_ms, step_ms(query.from_ms));
        if query.from_ms >= query.to_ms {
            let from_ms = start_of(query.from_ms, MINUTE_MS);
            return after(from_ms..from_ms, self.retained.days_from_ms);
        }
        let to_step_ms = step_ms(query.to_ms);
        let mut to_ms = start_of(query.to_ms, to_step_ms);
        if to_ms < query.to_ms {
            to_ms = to_ms.saturating_add(to_step_ms);
        }
        after(from_ms..to_ms, self.retained.days_from_ms)
    }

    /// Returns the period of a scan, and its page views.
    fn scanned(&self, query: &CellQuery) -> (Range<i64>, Vec<&ViewUpdate>) {
        let period = after(query.from_ms..query.to_ms, self.retained.views_from_ms);
        (period, self.raw_views(query.site).filter(|view| query.takes(view)).collect())
    }

    /// See [`crate::Reports::split`].
    #[must_use]
    pub fn split(&self, query: &CellQuery, property: &ContextProperty) -> PeriodRows<ValueCell> {
        let (period, views) = self.scanned(query);
        let mut cells: BTreeMap<Option<String>, Cell> = BTreeMap::new();
        for view in views {
            let value = property.value(&view.context, |text| text.as_str()).map(str::to_owned);
            cells.entry(value).or_default().add(&view.values, view.weight, 1);
        }
        let cell =
            |(value, cell): (Option<String>, Cell)| ValueCell { value, cell: cell.only(query.metrics) };
        let mut rows: Vec<ValueCell> = cells.into_iter().map(cell).collect();
        rows.sort_by_key(|one| (std::cmp::Reverse(one.cell.views), one.value.is_none(), one.value.clone()));
        PeriodRows { period, rows }
    }

    /// See [`crate::Reports::samples`].
    #[must_use]
    pub fn samples(&self, query: &SampleQuery) -> Samples {
        let (period, views) = self.scanned(&query.views);
        let mut answer = Samples { period, ..Samples::default() };
        let mut sorted: Vec<(Value, ViewId)> = Vec::new();
        for view in views {
            answer.views.add(view.weight.milli(), 1);
            sorted.extend(view.values.get(query.metric).map(|value| (value, view.id)));
        }
        sorted.sort();
        let n = sorted.len();
        answer.measured = n as i64;
        let (percent, above) = match query.around {
            Around::Percentile(percent) => (usize::from(percent), query.limit / 2),
            Around::Worst => (99, 0),
        };
        let at = (n * percent).div_ceil(100);
        answer.percentile = at.checked_sub(1).map(|place| sorted[place].0);
        let end = match query.around {
            Around::Percentile(_) => n.min(query.limit.max(at + above)),
            Around::Worst => at,
        };
        sorted.truncate(end);
        sorted.drain(..end.saturating_sub(query.limit));
        let of = |(_, id): &(Value, ViewId)| self.view(query.views.site, *id);
        answer.found = sorted.iter().rev().filter_map(of).collect();
        answer
    }

    /// See [`crate::Reports::engagement`].
    #[must_use]
    pub fn engagement(&self, query: &EngagementQuery) -> Engagement {
        let (period, views) = self.scanned(&query.views);
        let mut answer = Engagement { period, ..Engagement::default() };
        answer.buckets = vec![Engaged::default(); query.ends.len() + 1];
        for view in views {
            answer.views.add(view.weight.milli(), 1);
            let Some(value) = view.values.get(query.metric) else { continue };
            answer.measured += 1;
            let Some(conditions) = &view.context.conditions else { continue };
            let Some(engaged) = conditions.engaged else { continue };
            let values = [Metric::Inp, Metric::Fid].map(|metric| view.values.get(metric));
            let interacted = conditions.first_input_ms.is_some() || values != [None; 2];
            let marks = view.context.detail.iter().flat_map(|detail| &detail.marks);
            let marked = marks.filter(|(name, _)| Some(name) == query.mark.as_ref()).count() > 0;
            let place = query.ends.iter().filter(|end| value > **end).count();
            let bucket = &mut answer.buckets[place];
            bucket.n += 1;
            bucket.interacted += i64::from(interacted);
            bucket.engaged += i64::from(interacted || engaged);
            bucket.marked += i64::from(marked);
        }
        answer
    }

    /// See [`crate::Reports::causes`].
    #[must_use]
    pub fn causes(&self, query: &CauseQuery) -> Causes {
        let metric = query.explained.metric();
        let (period, views) = self.scanned(&query.views);
        let mut answer = Causes { period, ..Causes::default() };
        let (mut groups, mut tbt) = (BTreeMap::<(String, String), Vec<Sample>>::new(), Vec::new());
        let (mut seen, mut measured) = (Vec::new(), Vec::new());
        for view in views {
            answer.views.add(view.weight.milli(), 1);
            answer.tti_reached += i64::from(view.values.get(Metric::Tti).is_some());
            for (gap, count) in TtiGap::ALL.iter().zip(&mut answer.tti_gaps) {
                *count += i64::from(view.tti_gap == Some(*gap));
            }
            for (bit, count) in answer.errors.iter_mut().enumerate() {
                *count += i64::from(view.context.errors & 1 << bit != 0);
            }
            tbt.extend(view.context.tbt.map(Value::micros));
            let Some(value) = view.values.get(metric) else { continue };
            answer.measured += 1;
            measured.push((value, &view.context));
            seen.extend(view.context.conditions.as_deref().map(|conditions| (value.micros(), conditions)));
            if let Some((key, sample)) = Sample::of(query.explained, value, &view.context) {
                answer.explained += 1;
                groups.entry(key).or_default().push(sample);
            }
        }
        let first_of = causes::first_selectors(&groups);
        answer.causes = causes::of(query.explained, groups);
        answer.found = answer.causes.len();
        answer.causes.truncate(query.limit);
        answer.conditions = conditions::found(&seen, query.limit);
        answer.slow = slow::found(query.explained, &measured, &first_of);
        let n = tbt.len() as i64;
        answer.tbt = Blocking { n, p50_micros: percentile(&tbt, 50), p75_micros: percentile(&tbt, 75) };
        answer
    }

    /// See [`crate::Maintenance::erase`], repeated to its end.
    pub fn erase(&mut self, erase: &Erase) {
        let retained = self.retained;
        self.views.retain(|&(site, id), view| {
            let day_ms = day_of(id.start_ms());
            let erased = if day_ms >= retained.views_from_ms {
                erase.takes(&view.update)
            } else {
                erase.url.is_none() && erase.from_ms <= day_ms && erase.to_ms >= day_ms.saturating_add(DAY_MS)
            };
            site != erase.site || !erased
        });
    }

    /// See [`crate::Maintenance::view_days`].
    #[must_use]
    pub fn view_days(&self, site: SiteId) -> Vec<i64> {
        let days: BTreeSet<i64> = self.raw_views(site).map(|view| day_of(view.id.start_ms())).collect();
        days.into_iter().collect()
    }

    /// See [`crate::Transfer::views`].
    #[must_use]
    pub fn views(&self, site: SiteId) -> Vec<StoredView> {
        self.views
            .range((site, ViewId::new(0, 0))..)
            .take_while(|((owner, _), _)| *owner == site)
            .filter(|((_, id), _)| id.start_ms() >= self.retained.views_from_ms)
            .map(|(_, view)| view.clone())
            .collect()
    }

    /// See [`crate::Reports::tally`].
    #[must_use]
    pub fn tally(&self, query: &TallyQuery) -> Tally {
        let (mut values, mut blocks) = (Vec::new(), BTreeMap::<i64, Block>::new());
        for view in self.raw_views(query.site) {
            let start_ms = view.id.start_ms();
            let taken = (query.from_ms..query.to_ms).contains(&start_ms)
                && query.routes.contains(&view.route)
                && query.filters.take(view);
            let Some(value) = view.values.get(query.metric).filter(|_| taken) else { continue };
            values.push(value);
            let number = start_ms.div_euclid(30 * 60 * 1_000);
            let block = blocks.entry(number).or_insert(Block { number, ..Block::default() });
            block.n += 1;
            block.within += u64::from(value <= query.at_most);
        }
        values.sort_unstable();
        Tally {
            n: values.len() as u64,
            within: values.iter().filter(|&&value| value <= query.at_most).count() as u64,
            blocks: blocks.into_values().collect(),
            values,
        }
    }

    /// See [`crate::Reports::class_views`].
    #[must_use]
    pub fn class_views(&self, query: &ClassViewsQuery) -> Vec<ClassViews> {
        let mut classes: BTreeMap<Class, Vec<TimedValue>> = BTreeMap::new();
        for view in self.raw_views(query.site) {
            let start_ms = view.id.start_ms();
            let taken = query.windows.iter().any(|window| window.contains(&start_ms))
                && query.routes.contains(&view.route)
                && query.filters.take(view);
            let Some(value) = view.values.get(query.metric).filter(|_| taken) else { continue };
            let class = Class {
                device: view.device,
                navigation_type: view.navigation_type,
                country: view.country.clone(),
            };
            let block = start_ms.div_euclid(30 * 60 * 1_000) as i32;
            classes.entry(class).or_default().push(TimedValue { block, value });
        }
        let sorted = |(class, mut views): (Class, Vec<TimedValue>)| {
            views.sort_unstable();
            ClassViews { class, views }
        };
        classes.into_iter().map(sorted).collect()
    }

    /// See [`crate::Reports::view`].
    #[must_use]
    pub fn view(&self, site: SiteId, id: ViewId) -> Option<StoredView> {
        let view = self.views.get(&(site, id))?;
        (id.start_ms() >= self.retained.views_from_ms).then(|| view.clone())
    }
}

/// Returns the part of a range from a moment onwards.
fn after(range: Range<i64>, from_ms: i64) -> Range<i64> {
    let start_ms = range.start.max(from_ms);
    start_ms..range.end.max(start_ms)
}
