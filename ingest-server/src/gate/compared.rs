//! Reads both sides of a budget on an increase, by class.

use super::baseline::{self, Choice, Chosen};
use super::{Question, matching};
use crate::comparison::windows;
use crate::limits::INCREASE_VIEWS_MAX;
use crate::report::Range;
use fieldvitals_store::{CellQuery, ClassViewsQuery, Filters, Site, Store, StoreError};
use vitals::budget::{Baseline, Budget, Increase, OnNoBaseline, Severity};
use vitals::gate::{BLOCK_MS, ClassViews, Comparison, Looks};
use vitals::metric::Metrics;

/// The evidence on a budget on an increase.
pub(super) struct Compared {
    /// Number of matching routes.
    pub(super) routes: usize,
    pub(super) increase: Increase,
    pub(super) comparison: Comparison,
    /// The baseline; `None` if none was found, or nothing is to be compared.
    pub(super) baseline: Option<Chosen>,
    /// The reason why there is no baseline.
    pub(super) absent: Option<String>,
    /// The shares of the time of both sides that were read.
    pub(super) read: [f64; 2],
    /// The start of the first judged page view, UTC milliseconds, to half an hour.
    pub(super) first_ms: Option<i64>,
}

impl Compared {
    /// What follows from an exceeded budget: a missing baseline may only warn.
    pub(super) fn severity(&self, budget: &Budget) -> Severity {
        match (&self.absent, self.increase.on_no_baseline) {
            (Some(_), OnNoBaseline::Warn) => Severity::Warn,
            _ => budget.severity,
        }
    }

    /// Whether the page views of the baseline do not grow with those that are judged.
    pub(super) const fn is_fixed(&self) -> bool {
        !matches!(self.increase.baseline, Baseline::Beside(_))
    }
}

/// Compares the page views of a budget with its baseline.
///
/// # Errors
/// If the store cannot answer.
pub(super) async fn compare(
    store: &dyn Store,
    site: &Site,
    question: &Question,
    (budget, increase): (&Budget, &Increase),
    (filters, routes): (Filters, Vec<String>),
) -> Result<Compared, StoreError> {
    let side = Side { store, site, budget };
    let views = total(store, site, question.range, filters.release.as_deref()).await?;
    let (current, current_read) = side.read((question.range, views), filters.clone(), &routes).await?;
    let blocks = current.iter().flat_map(|class| &class.views).map(|view| i64::from(view.block));
    let first_ms = blocks.min().map(|block| block.saturating_mul(BLOCK_MS));
    let (mut from, mut read, mut baseline, mut absent) = (Vec::new(), 1.0, None, None);
    if let Some(first_ms) = first_ms {
        let judged = (filters.release.as_deref(), first_ms);
        match baseline::choose(store, site, question, &increase.baseline, judged).await? {
            Choice::Absent(why) => absent = Some(why),
            Choice::Chosen(mut chosen) => {
                let retained_from_ms = store.retention_edges().await?.views_from_ms;
                chosen.range.from_ms = chosen.range.from_ms.max(retained_from_ms);
                chosen.range.to_ms = chosen.range.to_ms.max(chosen.range.from_ms);
                let filters = Filters { release: chosen.release.clone(), ..filters };
                // Routes may have other names by now, such as those of new groups.
                let known = store.routes(site.id, chosen.range.from_ms, chosen.range.to_ms).await?;
                let matched = matching(budget, &known, site);
                let views = total(store, site, chosen.range, filters.release.as_deref()).await?;
                (from, read) = side.read((chosen.range, views), filters, &matched).await?;
                if question.looks == Looks::Many && read.min(current_read) < 1.0 {
                    // A sample of a longer time has other page views, for which a sequence of looks is not valid.
                    absent = Some(format!(
                        "no verdict for many looks: baseline or release have more than {INCREASE_VIEWS_MAX} page views, of \
                         which a sample is read; look once, or choose a shorter period"
                    ));
                    from.clear();
                } else if from.is_empty() {
                    let of = chosen.release.as_deref().map_or(String::new(), |name| format!(" of {name}"));
                    absent = Some(format!(
                        "no baseline: no page view{of} on a matching route has this metric, from {} to {}",
                        crate::report::time_text(chosen.range.from_ms),
                        crate::report::time_text(chosen.range.to_ms)
                    ));
                }
                baseline = Some(chosen);
            }
        }
    }
    let comparison = Comparison::new(
        (budget.percentile, increase.allowance()),
        budget.min_samples,
        question.looks,
        [&from, &current],
    );
    Ok(Compared {
        routes: routes.len(),
        increase: increase.clone(),
        comparison,
        baseline,
        absent,
        read: [read, current_read],
        first_ms,
    })
}

/// A release in a range, for comparisons of several metrics.
pub(super) struct ReleaseSide<'a> {
    release: &'a str,
    range: Range,
    /// The routes of the site in the range.
    routes: Vec<String>,
    /// The page views of the release in the range.
    views: i64,
}

impl<'a> ReleaseSide<'a> {
    /// Reads the routes and the number of page views.
    ///
    /// # Errors
    /// If the store cannot answer.
    pub(super) async fn read(
        store: &dyn Store,
        site: &Site,
        (release, range): (&'a str, Range),
    ) -> Result<Self, StoreError> {
        let routes = store.routes(site.id, range.from_ms, range.to_ms).await?;
        let views = total(store, site, range, Some(release)).await?;
        Ok(Self { release, range, routes, views })
    }
}

/// Compares the page views of two releases, each in a range of its own.
///
/// # Errors
/// If the store cannot answer.
pub(super) async fn releases(
    store: &dyn Store,
    site: &Site,
    (budget, increase): (&Budget, &Increase),
    sides: &[ReleaseSide<'_>; 2],
) -> Result<Compared, StoreError> {
    let side = Side { store, site, budget };
    let (mut views, mut read, mut count) = ([Vec::new(), Vec::new()], [1.0; 2], 0);
    for (of, (views, read)) in sides.iter().zip(views.iter_mut().zip(&mut read)) {
        let filters = Filters { release: Some(of.release.to_owned()), ..Filters::NONE };
        let matched = matching(budget, &of.routes, site);
        count = matched.len();
        (*views, *read) = side.read((of.range, of.views), filters, &matched).await?;
    }
    let [from, current] = &views;
    let limits = (budget.percentile, increase.allowance());
    let comparison = Comparison::new(limits, budget.min_samples, Looks::One, [from, current]);
    let [ReleaseSide { release, range, .. }, _] = sides;
    Ok(Compared {
        routes: count,
        increase: increase.clone(),
        comparison,
        baseline: Some(Chosen { release: Some((*release).to_owned()), range: *range }),
        absent: None,
        read,
        first_ms: None,
    })
}

/// Returns the number of page views of a release, or else of the site, in a range.
async fn total(
    store: &dyn Store,
    site: &Site,
    range: Range,
    release: Option<&str>,
) -> Result<i64, StoreError> {
    let all = CellQuery {
        filters: Filters { release: release.map(str::to_owned), ..Filters::NONE },
        metrics: Metrics::NONE,
        ..CellQuery::new(site.id, range.from_ms, range.to_ms)
    };
    Ok(store.total(&all).await?.cell.views)
}

struct Side<'a> {
    store: &'a dyn Store,
    site: &'a Site,
    budget: &'a Budget,
}

impl Side<'_> {
    /// Returns the page views of a side by class, and the share of its time that was read. The [`total`] `views` decide
    /// whether a sample is read.
    async fn read(
        &self,
        (range, views): (Range, i64),
        filters: Filters,
        routes: &[String],
    ) -> Result<(Vec<ClassViews>, f64), StoreError> {
        let share = (INCREASE_VIEWS_MAX as f64 / views.max(1) as f64).min(1.0);
        let query = ClassViewsQuery {
            site: self.site.id,
            windows: windows(range, share),
            routes: routes.to_vec(),
            filters,
            metric: self.budget.metric,
        };
        Ok((self.store.class_views(&query).await?, share))
    }
}
