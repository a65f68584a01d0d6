//! What a digest says of a week, as figures.

use super::number::number;
use super::week::Week;
use crate::advice::{AdviceReport, Recommendation};
use crate::closed_days::Reader;
use crate::comparison::{self, ChangeReport, RouteChange};
use crate::limits;
use crate::releases;
use crate::report::{MetricReport, PeriodReport, QualityReport, Range, metrics, time_text, unit_name};
use crate::standing::{SiteState, State};
use fieldvitals_store::rollup::{DAY_MS, day_of};
use fieldvitals_store::{Cell, CellQuery, Site, Store, StoreError, Violation, estimate};
use serde::Serialize;
use std::collections::{BTreeMap, HashSet};
use url::Url;
use utoipa::ToSchema;
use vitals::compare::ChangeVerdict;
use vitals::metric::{Metric, Metrics};
use vitals::view::Device;

/// The percentile of all figures.
const PERCENT: u8 = 75;
/// Days before the week in which a release must not be seen to count as new.
const OLDER_DAYS: i64 = 28;

/// The weekly digest of a site. Without page views, only the fields up to `views` and `links` say something.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct DigestReport {
    /// Identifies the digest: a receiver that gets it twice can tell. A test has a key of its own.
    pub key: String,
    /// `digest`.
    pub event: &'static str,
    /// Whether somebody tries the channel.
    pub test: bool,
    /// One line.
    pub title: String,
    /// The digest as plain text.
    pub text: String,
    /// The site's name.
    pub site: String,
    /// The Monday that begins the week: `2026-11-23`.
    pub week: String,
    /// The time zone of the week: an IANA name.
    pub timezone: String,
    /// The counted period.
    pub period: PeriodReport,
    /// Page views received in the week.
    pub views: i64,
    /// Estimated page views, corrected for sampling (`data-sample`).
    pub views_estimated: i64,
    /// The week before; absent if its data are not complete.
    pub previous: Option<PreviousWeek>,
    /// Assessment of the Core Web Vitals, and the field score; absent without page views.
    pub quality: Option<QualityReport>,
    /// The metrics of the week.
    #[schema(value_type = std::collections::HashMap<String, MetricReport>)]
    pub metrics: BTreeMap<&'static str, MetricReport>,
    /// The change of each metric's 75th percentile since the week before, judged together.
    #[schema(value_type = std::collections::HashMap<String, ChangeReport>)]
    pub changes: BTreeMap<&'static str, ChangeReport>,
    /// The routes whose LCP, INP or CLS clearly changed, the largest change first.
    pub routes: Vec<RouteChange>,
    /// The releases with page views in the week, at most 10: new ones first.
    pub releases: Vec<WeekRelease>,
    /// Releases beyond these.
    pub releases_more: usize,
    /// The budgets.
    pub budgets: WeekBudgets,
    /// The recommendations that reach most page views.
    pub advice: Vec<Recommendation>,
    /// Views of the dashboard; absent without `serve --public-url`.
    pub links: Option<DigestLinks>,
}

/// The week before.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct PreviousWeek {
    /// The counted period.
    pub period: PeriodReport,
    /// Page views received.
    pub views: i64,
    /// Assessment of the Core Web Vitals, and the field score.
    pub quality: Option<QualityReport>,
}

/// A release with page views in the week.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct WeekRelease {
    /// Its name.
    pub release: String,
    /// Page views on the UTC days of the week.
    pub views: i64,
    /// Whether the four weeks before had none of it, but others: in its first week, a site has no new release.
    pub is_new: bool,
    /// When it was deployed, if somebody marked it.
    pub deployed: Option<String>,
}

/// The budgets in a week.
#[derive(Clone, Debug, Default, Serialize, ToSchema)]
pub struct WeekBudgets {
    /// Budgets on the server whose last verdict is `kept`.
    pub kept: usize,
    /// Those that are broken.
    pub broken: usize,
    /// Those without a verdict.
    pub undecided: usize,
    /// Violations that are open now, also those of `check --record`; at most 10, as in each list.
    pub open: Vec<WeekViolation>,
    /// Violations that began in the week and are over.
    pub opened_and_over: Vec<WeekViolation>,
    /// Violations of earlier weeks that ended in the week.
    pub over: Vec<WeekViolation>,
    /// Violations beyond these lists.
    pub more: MoreViolations,
}

/// The number of violations that a list leaves out; of the last 1,000 violations of the site.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, ToSchema)]
pub struct MoreViolations {
    /// Beyond `open`.
    pub open: usize,
    /// Beyond `opened_and_over`.
    pub opened_and_over: usize,
    /// Beyond `over`.
    pub over: usize,
}

/// A broken budget.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct WeekViolation {
    /// The budget: `LCP p75 of /checkout, phone ≤ 2500 ms`.
    pub budget: String,
    /// The metric.
    pub metric: &'static str,
    /// `ms` or `score`.
    pub unit: &'static str,
    /// The percentile that was measured last.
    pub measured: Option<f64>,
    /// When it began.
    pub opened: String,
    /// When it ended.
    pub resolved: Option<String>,
    /// Whether it began in the week.
    pub is_new: bool,
}

/// Addresses of the dashboard.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct DigestLinks {
    /// The week.
    pub overview: String,
    /// The week beside the week before.
    pub compare: String,
    /// The budgets and their violations.
    pub budgets: String,
    /// The alerts.
    pub alerts: String,
}

impl DigestReport {
    /// Reads a week of a site. `link` is the address of the dashboard.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn read(
        reader: &Reader,
        site: &Site,
        week: &Week,
        link: Option<&str>,
    ) -> Result<Self, StoreError> {
        let of = |range: Range| CellQuery::new(site.id, range.from_ms, range.to_ms);
        let total = reader.total(&of(week.range)).await?;
        let whole = total.cell;
        let links = link.and_then(|link| DigestLinks::new(link, &site.name, week));
        let mut report = Self {
            key: format!("fieldvitals-digest-{}-{}", site.id.0, week.monday),
            event: "digest",
            test: false,
            title: format!("{}: the week from {}", site.name, week.title()),
            text: String::new(),
            site: site.name.clone(),
            week: week.monday.to_string(),
            timezone: site.timezone.clone(),
            period: PeriodReport::counted(total.period.clone(), week.range),
            views: whole.views,
            views_estimated: estimate(whole.weight_milli),
            previous: None,
            quality: None,
            metrics: BTreeMap::new(),
            changes: BTreeMap::new(),
            routes: Vec::new(),
            releases: Vec::new(),
            releases_more: 0,
            budgets: WeekBudgets::default(),
            advice: Vec::new(),
            links,
        };
        if whole.views > 0 {
            report.add_figures(reader, site, week, (&total.period, &whole)).await?;
        }
        report.text = report.plain();
        Ok(report)
    }

    async fn add_figures(
        &mut self,
        reader: &Reader,
        site: &Site,
        week: &Week,
        (period, whole): (&std::ops::Range<i64>, &Cell),
    ) -> Result<(), StoreError> {
        let of = |range: Range| CellQuery::new(site.id, range.from_ms, range.to_ms);
        self.quality = QualityReport::of(whole, Metrics::ALL);
        self.metrics = metrics(whole, false);
        if week.range.is_about(period) {
            let before = reader.total(&of(week.before)).await?;
            if week.before.is_about(&before.period) && before.cell.views > 0 {
                self.changes = comparison::changes(Metrics::ALL, PERCENT, &before.cell, whole);
                self.previous = Some(PreviousWeek {
                    period: before.period.into(),
                    views: before.cell.views,
                    quality: QualityReport::of(&before.cell, Metrics::ALL),
                });
                let core: Metrics = Metric::CORE.into_iter().collect();
                let cells = |range| CellQuery { metrics: core, ..of(range) };
                let before = reader.cells(&cells(week.before)).await?;
                let now = reader.cells(&cells(week.range)).await?;
                // Retention may have moved on since the totals were read.
                if week.before.is_about(&before.period) && week.range.is_about(&now.period) {
                    let sides = (before.rows.as_slice(), now.rows.as_slice());
                    let mut moved = comparison::routes(core, PERCENT, sides, limits::DIGEST_ROUTES_MAX);
                    moved.retain(|one| {
                        matches!(one.change.verdict, ChangeVerdict::Worse | ChangeVerdict::Better)
                    });
                    self.routes = moved;
                }
            }
        }
        (self.releases, self.releases_more) = releases_of(reader.as_ref(), site, week).await?;
        self.budgets = budgets_of(reader.as_ref(), site, week.range).await?;
        let advice = AdviceReport::of(reader, &of(week.range), whole).await?;
        self.advice = advice.into_recommendations();
        self.advice.truncate(limits::DIGEST_ADVICE_MAX);
        Ok(())
    }

    /// Makes it a test: it has a key of its own, so that no receiver takes the real digest for its repetition.
    #[must_use]
    pub fn into_test(mut self, now_ms: i64) -> Self {
        self.key = format!("{}-test-{now_ms}", self.key);
        self.test = true;
        self.title = format!("test: {}", self.title);
        self
    }
}

/// Returns the releases with page views in a week, and the number of those that are left out.
async fn releases_of(
    store: &dyn Store,
    site: &Site,
    week: &Week,
) -> Result<(Vec<WeekRelease>, usize), StoreError> {
    let first = day_of(week.range.from_ms);
    let days = first..day_of(week.range.to_ms.saturating_sub(1)).saturating_add(DAY_MS);
    let older = first.saturating_sub(OLDER_DAYS * DAY_MS)..first;
    let known = releases::releases(store, site.id, older, limits::RELEASE_ROWS_MAX).await?;
    let known: HashSet<&str> =
        known.iter().filter(|one| one.seen.is_some()).map(|one| one.name.as_str()).collect();
    let seen = releases::releases(store, site.id, days, limits::RELEASE_ROWS_MAX).await?;
    let mut seen: Vec<WeekRelease> = seen
        .into_iter()
        .filter(|release| release.views > 0)
        .map(|release| WeekRelease {
            views: release.views,
            // Without a release before, every release would be new.
            is_new: !known.is_empty() && !known.contains(release.name.as_str()),
            deployed: release.deployed_ms.map(time_text),
            release: release.name,
        })
        .collect();
    // New ones first, because the others are no news.
    seen.sort_by(|a, b| {
        (b.is_new, b.views).cmp(&(a.is_new, a.views)).then_with(|| a.release.cmp(&b.release))
    });
    let more = seen.len().saturating_sub(limits::DIGEST_RELEASES_MAX);
    seen.truncate(limits::DIGEST_RELEASES_MAX);
    Ok((seen, more))
}

/// Returns the budgets of a site, and the violations of a week.
async fn budgets_of(store: &dyn Store, site: &Site, week: Range) -> Result<WeekBudgets, StoreError> {
    let mut budgets = WeekBudgets::default();
    if store.budgets(site.id, None).await?.is_some() {
        let state = SiteState::read(store, site.id).await?;
        for watched in &state.budgets {
            match watched.sequence.state {
                State::Kept => budgets.kept += 1,
                State::Broken => budgets.broken += 1,
                State::Undecided => budgets.undecided += 1,
            }
        }
    }
    let within = |at_ms: i64| (week.from_ms..week.to_ms).contains(&at_ms);
    for violation in store.violations(site.id, false, 0, limits::DIGEST_VIOLATIONS_READ_MAX).await? {
        let is_new = within(violation.opened_ms);
        let WeekBudgets { open, opened_and_over, over, more, .. } = &mut budgets;
        let (list, more) = match violation.resolved_ms {
            None if violation.dismissed.is_none() => (open, &mut more.open),
            Some(_) if is_new => (opened_and_over, &mut more.opened_and_over),
            Some(ended_ms) if within(ended_ms) => (over, &mut more.over),
            None | Some(_) => continue,
        };
        if list.len() < limits::DIGEST_VIOLATIONS_MAX {
            list.push(violation_of(&violation, is_new));
        } else {
            *more += 1;
        }
    }
    Ok(budgets)
}

fn violation_of(violation: &Violation, is_new: bool) -> WeekViolation {
    let judgement = &violation.judgement;
    let metric = judgement.metric;
    let device = judgement.device.map(|device: Device| format!(", {}", device.name()));
    let release = judgement.release.as_ref().map(|release| format!(", release {release}"));
    let limit = number(metric.name(), unit_name(metric), judgement.at_most.number(metric));
    WeekViolation {
        budget: format!(
            "{} p{} of {}{}{} ≤ {limit}",
            metric.name(),
            judgement.percentile,
            judgement.route,
            device.unwrap_or_default(),
            release.unwrap_or_default()
        ),
        metric: metric.name(),
        unit: unit_name(metric),
        measured: judgement.measured.map(|value| value.number(metric)),
        opened: time_text(violation.opened_ms),
        resolved: violation.resolved_ms.map(time_text),
        is_new,
    }
}

impl DigestLinks {
    /// Returns `None` if the address of the dashboard is no URL.
    fn new(link: &str, site: &str, week: &Week) -> Option<Self> {
        let base = Url::parse(&format!("{}/", link.trim_end_matches('/'))).ok()?;
        let to = |parameters: &[(&str, &str)]| {
            let mut url = base.clone();
            url.query_pairs_mut().append_pair("site", site).extend_pairs(parameters);
            url.to_string()
        };
        let (from, until) = (time_text(week.range.from_ms), time_text(week.range.to_ms));
        let period = [("from", from.as_str()), ("to", until.as_str())];
        Some(Self {
            overview: to(&period),
            compare: to(&[period[0], period[1], ("view", "compare")]),
            budgets: to(&[("view", "budgets")]),
            alerts: to(&[("view", "alerts")]),
        })
    }
}
