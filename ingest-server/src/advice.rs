//! Advice about a site, a route or a selection of page views: the repairs that reach most page views, with reasons.
//!
//! The rating counts of the whole period decide whether a metric needs advice. Only then are causes read, from a
//! sample of the page views: a few thousand show which part dominates. `vitals::advice` has the rules, `text` the
//! sentences.

mod text;

use crate::closed_days::Reader;
use crate::limits::{ADVICE_REASONS_MAX, ADVICE_VIEWS_MAX};
use crate::report::{PeriodReport, SampledReport, unit_name};
use fieldvitals_store::context::causes::Explaining;
use fieldvitals_store::context::causes::slow::SlowPart;
use fieldvitals_store::limits::SAMPLE_VIEWS_MAX;
use fieldvitals_store::{
    AttributionMetric, CauseQuery, Causes, Cell, CellQuery, Dimension, GroupBy, ScanQuery, StoreError,
};
use serde::Serialize;
use std::cmp::Reverse;
use utoipa::ToSchema;
use vitals::advice::{self, Counts, Finding, Silence};
use vitals::metric::{Metric, Metrics, Rating, Unit, Value};
use vitals::view::NavigationType;

/// Advice, its causes, and the metrics without advice.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct AdviceReport {
    /// Values of a metric below which there is no advice about it.
    min_n: i64,
    /// Slow page views with a known cause below which there is no advice about a metric.
    min_slow: i64,
    /// Recommendations, by severity and page views.
    recommendations: Vec<Recommendation>,
    /// The slow page views of each metric that needs advice, by cause.
    causes: Vec<SlowReport>,
    /// Metrics without advice, and why.
    silent: Vec<SilentReport>,
}

/// A recommendation.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Recommendation {
    /// A stable code, such as `lcp-render-delay`.
    code: &'static str,
    metric: &'static str,
    /// `high`: the part alone makes at least 25 % of the page views slow; `medium`: 10 %; `low`: 5 %.
    pub(crate) severity: &'static str,
    /// The repair, in a few words.
    pub(crate) title: &'static str,
    /// The numbers that say so, as a sentence.
    pub(crate) evidence: String,
    /// Page views with a value of the metric, all of the period; for `back-forward-cache`, back and forward navigations
    /// of the sample.
    n: i64,
    /// Slow page views of the sample with a known cause; for `back-forward-cache`, navigations that missed the cache.
    slow_explained: i64,
    /// Set if causes are those of a sample of the page views.
    #[serde(skip_serializing_if = "Option::is_none")]
    sample: Option<SampledReport>,
    /// Slow page views that the part dominates.
    dominated: i64,
    /// `dominated / slow_explained`, 0 to 1.
    share_of_slow: f64,
    /// Estimated share of all page views that the part makes slow, 0 to 1.
    affected_share: f64,
    /// Median of the part in the page views that it dominates; absent for `back-forward-cache`.
    #[serde(skip_serializing_if = "Option::is_none")]
    median: Option<f64>,
    /// Target of the part; LCP only.
    #[serde(skip_serializing_if = "Option::is_none")]
    target: Option<f64>,
    /// Unit of `median` and `target`: `ms` or `score`.
    #[serde(skip_serializing_if = "Option::is_none")]
    unit: Option<&'static str>,
    /// The element that most of these page views name, as a selector.
    #[serde(skip_serializing_if = "Option::is_none")]
    element: Option<String>,
    /// LCP: the URL of the image; INP: the URL of the longest script; `back-forward-cache`: the reason.
    #[serde(skip_serializing_if = "Option::is_none")]
    resource: Option<String>,
    /// Page views that name `element` and `resource`.
    named: i64,
    /// The steps, quickest first.
    pub(crate) steps: Vec<AdviceStep>,
}

/// A step of a recommendation.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
pub struct AdviceStep {
    /// `immediate` (hours), `short-term` (days to weeks) or `long-term` (months).
    horizon: &'static str,
    pub(crate) text: &'static str,
}

/// The slow page views of a metric, by the part that dominates them.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct SlowReport {
    metric: &'static str,
    /// The period of the page views with causes: within their retention.
    period: PeriodReport,
    /// Set if a sample of the page views was read; all numbers are of the sample.
    #[serde(skip_serializing_if = "Option::is_none")]
    sample: Option<SampledReport>,
    /// Page views with a value that is not good.
    slow: i64,
    /// Slow page views with a known cause.
    explained: i64,
    /// By descending page views.
    parts: Vec<PartReport>,
}

/// Slow page views that one part dominates.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct PartReport {
    /// The code of the part.
    code: &'static str,
    /// Its name for people.
    name: &'static str,
    n: i64,
    /// Share of the slow page views with a known cause, 0 to 1.
    share: f64,
    /// Median of the part: milliseconds, or the score of the largest shift.
    median: f64,
    /// The element that most of them name, as a selector.
    #[serde(skip_serializing_if = "Option::is_none")]
    element: Option<String>,
}

/// A metric without advice.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct SilentReport {
    pub(crate) metric: &'static str,
    /// `too-few-values`, `good`, `too-few-causes` or `no-part-dominates`.
    pub(crate) code: &'static str,
    /// The reason for people.
    pub(crate) message: String,
}

impl AdviceReport {
    /// The recommendations, by severity and page views.
    pub(crate) fn into_recommendations(self) -> Vec<Recommendation> {
        self.recommendations
    }

    /// The metrics without advice.
    pub(crate) fn silent(&self) -> &[SilentReport] {
        &self.silent
    }

    /// Reads the causes of a selection's slow page views, and advises. `whole` counts the selection.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn of(store: &Reader, query: &CellQuery, whole: &Cell) -> Result<Self, StoreError> {
        let mut report = Self {
            min_n: advice::N_MIN,
            min_slow: advice::SLOW_MIN,
            recommendations: Vec::new(),
            causes: Vec::new(),
            silent: Vec::new(),
        };
        let mut needed = Vec::new();
        for explained in AttributionMetric::ALL {
            let metric = explained.metric();
            let histogram = whole.metric(metric);
            let counts = Counts { n: histogram.n(), good: histogram.rated(Rating::Good) };
            match advice::needed(counts) {
                Ok(()) => needed.push((explained, counts)),
                Err(silence) => report.silence(metric, counts, 0, silence),
            }
        }
        let explained: Vec<AttributionMetric> = needed.iter().map(|&(explained, _)| explained).collect();
        let mut found: Vec<(Finding, Recommendation)> = Vec::new();
        for ((explained, counts), causes) in
            needed.into_iter().zip(slow_causes(store, query, &explained).await?)
        {
            let metric = explained.metric();
            let slow = &causes.slow;
            let parts = slow.parts.iter().map(|part| (part.part, part.views));
            match advice::findings(counts, slow.explained, parts) {
                Ok(findings) => found.extend(findings.into_iter().filter_map(|finding| {
                    let part = slow.parts.iter().find(|part| part.part == finding.part)?;
                    Some((finding, recommendation(counts, &causes, finding, part)))
                })),
                Err(silence) => report.silence(metric, counts, slow.explained, silence),
            }
            report.causes.push(slow_report(metric, &causes));
        }
        found.extend(back_forward(store, query).await?);
        let reach =
            |one: &Finding, n: i64| (Reverse(one.severity), Reverse((one.affected * n as f64) as i64));
        found.sort_by_key(|(finding, one)| (reach(finding, one.n), finding.part));
        report.recommendations = found.into_iter().map(|(_, recommendation)| recommendation).collect();
        Ok(report)
    }

    fn silence(&mut self, metric: Metric, counts: Counts, explained: i64, silence: Silence) {
        let message = text::silence(counts, explained, silence);
        self.silent.push(SilentReport { metric: metric.name(), code: silence.code(), message });
    }
}

/// Reads the causes of some metrics from a sample of the selected page views. For a metric of which fewer than
/// [`advice::SLOW_MIN`] are slow with a known cause, returns those of a larger sample.
async fn slow_causes(
    store: &Reader,
    query: &CellQuery,
    explained: &[AttributionMetric],
) -> Result<Vec<Causes>, StoreError> {
    let mut found = causes(store, query, explained, ADVICE_VIEWS_MAX).await?;
    let few = |causes: &Causes| causes.sample.is_some() && causes.slow.explained < advice::SLOW_MIN;
    let places: Vec<usize> = (0..found.len()).filter(|&place| few(&found[place])).collect();
    let again: Vec<AttributionMetric> = places.iter().map(|&place| explained[place]).collect();
    for (place, causes) in places.into_iter().zip(causes(store, query, &again, SAMPLE_VIEWS_MAX).await?) {
        found[place] = causes;
    }
    Ok(found)
}

/// Reads the causes of some metrics, in one pass over a sample.
async fn causes(
    store: &Reader,
    query: &CellQuery,
    explained: &[AttributionMetric],
    views_max: u64,
) -> Result<Vec<Causes>, StoreError> {
    if explained.is_empty() {
        return Ok(Vec::new());
    }
    let explain = |&explained| {
        Explaining::new(&CauseQuery { views: query.clone(), explained, limit: ADVICE_REASONS_MAX, views_max })
    };
    let mut explaining: Vec<Explaining> = explained.iter().map(explain).collect();
    let scan = ScanQuery { views: query.clone(), views_max: Some(views_max) };
    let scanned = store.scan(&scan, &mut explaining).await?;
    Ok(explaining.into_iter().map(|explaining| explaining.finish(scanned.clone())).collect())
}

/// Advises about the back/forward cache, if page views miss it for a reason that pages can remove.
async fn back_forward(
    store: &Reader,
    query: &CellQuery,
) -> Result<Option<(Finding, Recommendation)>, StoreError> {
    let filters = &query.filters;
    if filters.navigation_type.is_some() {
        return Ok(None);
    }
    // Rollups count navigations of one route or the whole site. With filters, only page views have them.
    let is_rolled = filters.given().next().is_none() && filters.context.is_empty();
    if is_rolled && !has_missed(store, query).await? {
        return Ok(None);
    }
    // All counts are of one sample: its windows are the same for all filters.
    let of = |kind| {
        let mut query = query.clone();
        query.filters.navigation_type = kind;
        async move {
            let explained = AttributionMetric::Ttfb;
            let (views, views_max) = (query, ADVICE_VIEWS_MAX);
            store.causes(&CauseQuery { views, explained, limit: ADVICE_REASONS_MAX, views_max }).await
        }
    };
    let missed = of(Some(NavigationType::BackForward)).await?;
    let reasons = &missed.conditions.not_restored;
    let Some((reason, blocked)) = reasons.iter().find(|(reason, _)| advice::is_removable(reason)) else {
        return Ok(None);
    };
    let restored = of(Some(NavigationType::BackForwardCache)).await?.views.count;
    let views = of(None).await?.views.count;
    let n = restored.saturating_add(missed.views.count);
    let Some(finding) = advice::back_forward(n, *blocked, views) else { return Ok(None) };
    let recommendation = Recommendation {
        evidence: text::back_forward(n, *blocked, reason, missed.sample.is_some()),
        n,
        slow_explained: missed.views.count,
        sample: missed.sample.map(SampledReport::from),
        resource: Some(reason.clone()),
        named: *blocked,
        ..of_finding(finding)
    };
    Ok(Some((finding, recommendation)))
}

/// Whether enough back and forward navigations missed the cache for advice about it.
async fn has_missed(store: &Reader, query: &CellQuery) -> Result<bool, StoreError> {
    let by = GroupBy::Rolled(Dimension::NavigationType);
    let query = CellQuery { metrics: Metrics::NONE, ..query.clone() };
    let rows = store.breakdown(&query, by).await?.rows;
    let views = |kind: NavigationType| -> i64 {
        let of_kind = rows.iter().filter(|row| row.value.as_deref() == Some(kind.name()));
        of_kind.map(|row| row.cell.views).sum()
    };
    let [restored, missed] = [NavigationType::BackForwardCache, NavigationType::BackForward].map(views);
    Ok(restored.saturating_add(missed) >= advice::N_MIN && missed >= advice::SLOW_MIN)
}

fn recommendation(counts: Counts, causes: &Causes, finding: Finding, seen: &SlowPart) -> Recommendation {
    let slow_explained = causes.slow.explained;
    let filled = |text: &String| (!text.is_empty()).then(|| text.clone());
    let part = finding.part;
    let median = size(part.metric(), seen.median);
    Recommendation {
        evidence: text::finding(counts, slow_explained, finding, median, causes.sample.is_some()),
        n: counts.n,
        slow_explained,
        sample: causes.sample.clone().map(SampledReport::from),
        median: Some(median),
        target: part.target_ms().map(f64::from),
        unit: Some(unit_name(part.metric())),
        element: filled(&seen.target),
        resource: filled(&seen.resource),
        named: if seen.target.is_empty() && seen.resource.is_empty() { 0 } else { seen.named },
        ..of_finding(finding)
    }
}

/// The fields that follow from a finding alone.
fn of_finding(finding: Finding) -> Recommendation {
    let part = finding.part;
    let steps = part.steps().iter();
    Recommendation {
        code: part.code(),
        metric: part.metric().name(),
        severity: finding.severity.name(),
        title: part.title(),
        evidence: String::new(),
        n: 0,
        slow_explained: 0,
        sample: None,
        dominated: finding.dominated,
        share_of_slow: finding.share_of_slow,
        affected_share: finding.affected,
        median: None,
        target: None,
        unit: None,
        element: None,
        resource: None,
        named: 0,
        steps: steps.map(|&(horizon, text)| AdviceStep { horizon: horizon.name(), text }).collect(),
    }
}

fn slow_report(metric: Metric, causes: &Causes) -> SlowReport {
    let slow = &causes.slow;
    let mut parts: Vec<PartReport> = slow
        .parts
        .iter()
        .map(|part| PartReport {
            code: part.part.code(),
            name: part.part.name(),
            n: part.views,
            share: part.views as f64 / slow.explained.max(1) as f64,
            median: size(metric, part.median),
            element: (!part.target.is_empty()).then(|| part.target.clone()),
        })
        .collect();
    parts.sort_by_key(|part| Reverse(part.n));
    SlowReport {
        metric: metric.name(),
        period: causes.period.clone().into(),
        sample: causes.sample.clone().map(SampledReport::from),
        slow: slow.views,
        explained: slow.explained,
        parts,
    }
}

/// The size of a part in the unit of its metric.
fn size(metric: Metric, size: u32) -> f64 {
    match metric.unit() {
        Unit::Milliseconds => f64::from(size),
        Unit::Score => Value::from_micros(metric, size).map_or(0.0, |value| value.number(metric)),
    }
}
