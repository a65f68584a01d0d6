//! Chooses the page views that a budget on an increase compares with.

use super::{GateError, Question};
use crate::report::Range;
use crate::{limits, releases};
use fieldvitals_store::dimension::OTHER;
use fieldvitals_store::rollup::day_of;
use fieldvitals_store::{CellQuery, Dimension, Filters, GroupBy, Site, Store, StoreError};
use std::collections::BTreeSet;
use vitals::budget::{Baseline, Budget};
use vitals::metric::Metrics;

const HOUR_MS: i64 = 3_600_000;
const DAY_MS: i64 = 24 * HOUR_MS;

/// The page views of a baseline.
#[derive(Clone, Debug)]
pub(super) struct Chosen {
    /// Their release; `None` for all.
    pub(super) release: Option<String>,
    /// Their starts.
    pub(super) range: Range,
}

/// A baseline, or the reason why there is none.
pub(super) enum Choice {
    Chosen(Chosen),
    Absent(String),
}

/// Refuses a baseline of releases without a release to judge, and a release that the site never had.
///
/// # Errors
/// [`GateError`] with the line of the budget; those of the store.
pub(super) async fn check(
    store: &dyn Store,
    site: &Site,
    budgets: &[Budget],
    filters: impl Fn(&Budget) -> Filters,
) -> Result<(), GateError> {
    let mut known: Option<BTreeSet<String>> = None;
    for budget in budgets {
        let Some(increase) = budget.limit.increase().filter(|increase| increase.baseline.is_of_releases())
        else {
            continue;
        };
        let (line, baseline) = (budget.line, increase.baseline.to_string());
        let Some(judged) = filters(budget).release else {
            return Err(GateError::NoRelease { line, baseline });
        };
        let Some(name) = increase.baseline.release() else { continue };
        if name == judged {
            return Err(GateError::SameRelease { line, baseline });
        }
        let known = match &mut known {
            Some(known) => known,
            None => known.insert(releases(store, site).await?),
        };
        if !known.contains(name) {
            let known = known.iter().cloned().collect();
            return Err(GateError::UnknownRelease { line, release: name.to_owned(), known });
        }
    }
    Ok(())
}

/// The releases that a site had or will have: of page views, and of deploy marks.
async fn releases(store: &dyn Store, site: &Site) -> Result<BTreeSet<String>, StoreError> {
    let mut releases: BTreeSet<String> =
        store.labels(site.id, Dimension::Release).await?.into_iter().collect();
    releases.extend(store.deploy_marks(site.id).await?.into_iter().map(|mark| mark.release));
    Ok(releases)
}

/// Chooses the baseline of page views that begin at `first_ms`, of this release.
///
/// # Errors
/// If the store cannot answer.
pub(super) async fn choose(
    store: &dyn Store,
    site: &Site,
    question: &Question,
    baseline: &Baseline,
    (judged, first_ms): (Option<&str>, i64),
) -> Result<Choice, StoreError> {
    let Range { from_ms, to_ms } = question.range;
    let release = baseline.release().map(str::to_owned);
    let chosen = |from_ms, to_ms| Chosen { release: release.clone(), range: Range { from_ms, to_ms } };
    Ok(match baseline {
        Baseline::Release(_) => Choice::Chosen(chosen(0, to_ms)),
        Baseline::Beside(_) => Choice::Chosen(chosen(from_ms.max(first_ms), to_ms)),
        Baseline::Period(hours) => {
            Choice::Chosen(chosen(from_ms.saturating_sub(i64::from(*hours) * HOUR_MS), from_ms))
        }
        Baseline::Previous => {
            let judged = judged.unwrap_or_default();
            let marks = store.deploy_marks(site.id).await?;
            let marked = marks.iter().find(|mark| mark.release == judged);
            let start_ms = match marked {
                Some(mark) => mark.at_ms,
                None => first_seen(store, site, judged, first_ms).await?,
            };
            let before_ms = start_ms.saturating_sub(to_ms.saturating_sub(from_ms));
            // The release that most visitors had in the day before; on a quiet site, in the whole time before.
            let day_ms = start_ms.saturating_sub(DAY_MS).max(before_ms);
            let mut found = None;
            for from_ms in [day_ms, before_ms] {
                if found.is_none() {
                    found = most_viewed(store, site, (from_ms, start_ms), judged).await?;
                }
            }
            match found {
                Some(release) => Choice::Chosen(Chosen {
                    release: Some(release),
                    range: Range { from_ms: before_ms, to_ms },
                }),
                None => Choice::Absent(format!(
                    "no baseline: no other release has page views in the {} before {}",
                    length_text(start_ms.saturating_sub(before_ms)),
                    crate::report::time_text(start_ms)
                )),
            }
        }
    })
}

/// Returns the start of a release without a deploy mark: `first_ms`, its first judged page view, or the start of the first
/// UTC day with page views of it, if that day is earlier.
async fn first_seen(store: &dyn Store, site: &Site, release: &str, first_ms: i64) -> Result<i64, StoreError> {
    let range = releases::range(first_ms);
    let found = releases::releases(store, site.id, range, limits::RELEASE_ROWS_MAX).await?;
    let seen = found.iter().find(|found| found.name == release).and_then(|found| found.seen);
    Ok(seen.map(|[day_ms, _]| day_ms).filter(|&day_ms| day_ms < day_of(first_ms)).unwrap_or(first_ms))
}

/// Returns the release with most page views in a range, other than `judged`.
async fn most_viewed(
    store: &dyn Store,
    site: &Site,
    (from_ms, to_ms): (i64, i64),
    judged: &str,
) -> Result<Option<String>, StoreError> {
    let query = CellQuery { metrics: Metrics::NONE, ..CellQuery::new(site.id, from_ms, to_ms) };
    let found = store.breakdown(&query, GroupBy::Rolled(Dimension::Release)).await?;
    let mut names = found.rows.into_iter().filter(|row| row.cell.views > 0).filter_map(|row| row.value);
    Ok(names.find(|name| name != judged && name != OTHER))
}

/// Formats a length of time: `7 days`, `5 hours`.
fn length_text(ms: i64) -> String {
    let hours = ms.saturating_add(HOUR_MS - 1).div_euclid(HOUR_MS).max(1);
    let (count, unit) = if hours % 24 == 0 { (hours / 24, "day") } else { (hours, "hour") };
    if count == 1 { unit.to_owned() } else { format!("{count} {unit}s") }
}
