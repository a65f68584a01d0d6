//! Implements a simple model of a store that computes each answer the slow and obvious way.

use super::{conditions, percentile};
use crate::context::causes::{Blocking, Script};
use crate::dimension::{DimensionValue, device_code, device_of_code};
use crate::load::merge;
use crate::rollup::{DAY_MS, From, HOUR_MS, MINUTE_MS, day_of};
use crate::{
    AttributionMetric, Cause, CauseQuery, Causes, Cell, CellQuery, Context, Dimension, Erase, GroupBy,
    LoadBatch, LoadReport, PeriodRows, Retention, RetentionEdges, RouteCell, SeriesQuery, SiteId, SpoolId,
    StepCells, StoreError, StoredView, StrataQuery, Stratum, Tally, TallyQuery, Total, ValueCell, ViewUpdate,
};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use vitals::attribution::LoadState;
use vitals::fetch;
use vitals::gate::Block;
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

    /// See [`crate::Store::maintain`].
    pub fn maintain(&mut self, now_ms: i64, retention: Retention) {
        self.retained = self.retained.after(now_ms, retention);
    }

    fn site_views(&self, site: SiteId) -> impl Iterator<Item = &ViewUpdate> {
        self.views.iter().filter(move |((owner, _), _)| *owner == site).map(|(_, view)| &view.update)
    }

    fn raw_views(&self, site: SiteId) -> impl Iterator<Item = &ViewUpdate> {
        self.site_views(site).filter(|view| view.id.start_ms() >= self.retained.views_from_ms)
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

    /// See [`crate::Store::total`].
    #[must_use]
    pub fn total(&self, query: &CellQuery) -> Total {
        let (period, views) = self.asked(query, None, query.route.is_none());
        let mut cell = Cell::default();
        for view in views {
            cell.add(&view.values, view.weight, 1);
        }
        Total { period, cell: cell.only(query.metrics) }
    }

    /// See [`crate::Store::breakdown`].
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

    /// See [`crate::Store::series`].
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

    /// See [`crate::Store::strata`].
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

    /// See [`crate::Store::causes`].
    #[must_use]
    pub fn causes(&self, query: &CauseQuery) -> Causes {
        let metric = query.explained.metric();
        let period = after(query.views.from_ms..query.views.to_ms, self.retained.views_from_ms);
        let mut answer = Causes { period, ..Causes::default() };
        let (mut groups, mut tbt) = (BTreeMap::<(String, String), Vec<Sample>>::new(), Vec::new());
        let mut seen = Vec::new();
        for view in self.raw_views(query.views.site).filter(|view| query.views.takes(view)) {
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
            seen.extend(view.context.conditions.as_deref().map(|conditions| (value.micros(), conditions)));
            if let Some((key, sample)) = Sample::of(query.explained, value, &view.context) {
                answer.explained += 1;
                groups.entry(key).or_default().push(sample);
            }
        }
        answer.found = groups.len();
        answer.causes =
            groups.into_iter().map(|(key, samples)| cause(query.explained, key, &samples)).collect();
        answer.causes.sort_by_key(|cause| std::cmp::Reverse(cause.views));
        answer.causes.truncate(query.limit);
        answer.conditions = conditions::found(&seen, query.limit);
        let n = tbt.len() as i64;
        answer.tbt = Blocking { n, p50_micros: percentile(&tbt, 50), p75_micros: percentile(&tbt, 75) };
        answer
    }

    /// See [`crate::Store::erase`], repeated to its end.
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
            .filter(|((_, id), _)| id.start_ms() >= self.retained.views_from_ms)
            .map(|(_, view)| view.clone())
            .collect()
    }

    /// See [`crate::Store::tally`].
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

    /// See [`crate::Store::view`].
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

/// A page view's attribution of the metric.
struct Sample {
    value: u32,
    parts_ms: Vec<u32>,
    at_ms: u32,
    shift: u32,
    load_state: Option<LoadState>,
    script: Option<(String, u32)>,
}

impl Sample {
    fn of(explained: AttributionMetric, value: Value, context: &Context) -> Option<((String, String), Self)> {
        let none = Self {
            value: value.micros(),
            parts_ms: vec![],
            at_ms: 0,
            shift: 0,
            load_state: None,
            script: None,
        };
        if explained == AttributionMetric::Ttfb {
            let parts_ms = context.conditions.as_deref()?.ttfb_parts_ms?;
            let longest = parts_ms.iter().max()?;
            let (_, name) = parts_ms.iter().zip(fetch::PARTS).rfind(|(ms, _)| *ms == longest)?;
            return Some(((String::new(), name.to_owned()), Self { parts_ms: parts_ms.to_vec(), ..none }));
        }
        let detail = context.detail.as_deref()?;
        match explained {
            AttributionMetric::Lcp => {
                let lcp = detail.lcp.clone()?;
                Some(((lcp.target, lcp.url), Self { parts_ms: lcp.parts_ms.to_vec(), ..none }))
            }
            AttributionMetric::Inp => {
                let inp = detail.inp.clone()?;
                let script = (!inp.script.is_empty()).then_some((inp.script, inp.script_ms));
                let (parts_ms, load_state) = (inp.parts_ms.to_vec(), Some(inp.load_state));
                let sample = Self { parts_ms, at_ms: inp.at_ms, load_state, script, ..none };
                Some(((inp.target, inp.event), sample))
            }
            AttributionMetric::Cls => {
                let cls = detail.cls.clone()?;
                let (shift, load_state) = (cls.value_micros, Some(cls.load_state));
                Some(((cls.target, String::new()), Self { at_ms: cls.at_ms, shift, load_state, ..none }))
            }
            AttributionMetric::Ttfb => None,
        }
    }
}

fn cause(explained: AttributionMetric, (target, what): (String, String), samples: &[Sample]) -> Cause {
    let of = |number: &dyn Fn(&Sample) -> u32, percent| {
        percentile(&samples.iter().map(number).collect::<Vec<_>>(), percent)
    };
    let states = |state| samples.iter().filter(|one| one.load_state == Some(state)).count() as i64;
    let mut scripts: BTreeMap<String, Vec<u32>> = BTreeMap::new();
    for (url, ran_ms) in samples.iter().filter_map(|one| one.script.clone()) {
        scripts.entry(url).or_default().push(ran_ms);
    }
    let script = scripts.into_iter().min_by_key(|(_, ran)| std::cmp::Reverse(ran.len()));
    Cause {
        target,
        what,
        views: samples.len() as i64,
        p75_micros: of(&|one| one.value, 75),
        parts_ms: (0..samples[0].parts_ms.len()).map(|part| of(&|one| one.parts_ms[part], 50)).collect(),
        at_ms: matches!(explained, AttributionMetric::Inp | AttributionMetric::Cls)
            .then(|| of(&|one| one.at_ms, 50)),
        shift_micros: (explained == AttributionMetric::Cls).then(|| of(&|one| one.shift, 50)),
        load_states: LoadState::ALL.map(states),
        script: script.map(|(url, ran)| Script {
            url,
            views: ran.len() as i64,
            median_ms: percentile(&ran, 50),
        }),
    }
}
