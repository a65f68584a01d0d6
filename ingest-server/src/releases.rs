//! The releases of a site: when page views of them were first and last seen, and when they were deployed.

use crate::limits;
use fieldvitals_store::rollup::{DAY_MS, day_of};
use fieldvitals_store::{
    CellQuery, Dimension, GroupBy, Lines, SeriesQuery, SiteId, Store, StoreError, dimension::OTHER,
    limits::SERIES_STEPS_MAX,
};
use std::collections::HashMap;
use std::ops::Range;
use vitals::metric::Metrics;

/// A release.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Release {
    /// Its name.
    pub name: String,
    /// The first and the last UTC day with page views within the range (their starts); `None` without page views.
    pub seen: Option<[i64; 2]>,
    /// Page views within the range.
    pub views: i64,
    /// When it was deployed, UTC milliseconds, if somebody marked it.
    pub deployed_ms: Option<i64>,
}

impl Release {
    /// The start of the release: its deploy, or the first day with page views.
    #[must_use]
    pub fn start_ms(&self) -> Option<i64> {
        self.deployed_ms.or(self.seen.map(|[first, _]| first))
    }
}

/// Returns the range of UTC days that one query about releases may cover, up to now.
#[must_use]
pub fn range(now_ms: i64) -> Range<i64> {
    let end_ms = day_of(now_ms).saturating_add(DAY_MS);
    end_ms.saturating_sub(limits::QUERY_DAYS_MAX * DAY_MS)..end_ms
}

/// Returns the releases with page views or a deploy mark in a range of whole UTC days, the latest start first, at most
/// `limit`: those that were seen or deployed last.
///
/// # Errors
/// Those of the store.
pub async fn releases(
    store: &dyn Store,
    site: SiteId,
    range: Range<i64>,
    limit: usize,
) -> Result<Vec<Release>, StoreError> {
    let marks = store.deploy_marks(site).await?;
    let mut last_seen: HashMap<String, i64> = HashMap::new();
    for mark in marks.iter().filter(|mark| range.contains(&mark.at_ms)) {
        last_seen.insert(mark.release.clone(), mark.at_ms);
    }
    for name in store.names(site).await? {
        let last_ms = i64::from(name.last_day).saturating_mul(DAY_MS);
        if name.dimension == Some(Dimension::Release) && name.text != OTHER && last_ms >= range.start {
            let seen = last_seen.entry(name.text).or_insert(last_ms);
            *seen = last_ms.max(*seen);
        }
    }
    let mut latest: Vec<(i64, String)> =
        last_seen.into_iter().map(|(name, last_ms)| (last_ms, name)).collect();
    latest.sort_by(|a, b| b.0.cmp(&a.0).then_with(|| a.1.cmp(&b.1)));
    latest.truncate(limit);
    let values: Vec<Option<String>> = latest.into_iter().map(|(_, name)| Some(name)).collect();
    let days = (range.end - day_of(range.start)).div_euclid(DAY_MS).clamp(0, SERIES_STEPS_MAX as i64);
    let bounds: Vec<i64> = (0..=days).map(|day| range.end - (days - day) * DAY_MS).collect();
    let views = CellQuery { metrics: Metrics::NONE, ..CellQuery::new(site, range.start, range.end) };
    let lines = Lines { by: GroupBy::Rolled(Dimension::Release), values };
    let query = SeriesQuery { lines: Some(lines.clone()), ..SeriesQuery::new(views, bounds) };
    let steps = store.series(&query).await?;
    let deployed: HashMap<&str, i64> = marks.iter().map(|mark| (mark.release.as_str(), mark.at_ms)).collect();
    let mut releases = Vec::with_capacity(lines.values.len());
    for (line, name) in lines.values.into_iter().flatten().enumerate() {
        let days = query.bounds.iter().zip(&steps).map(|(&day_ms, step)| (day_ms, step.cells[line].views));
        let seen: Vec<(i64, i64)> = days.filter(|(_, views)| *views > 0).collect();
        let (first, last) = (seen.first(), seen.last());
        releases.push(Release {
            deployed_ms: deployed.get(name.as_str()).copied(),
            seen: first.zip(last).map(|(first, last)| [first.0, last.0]),
            views: seen.iter().map(|(_, views)| views).sum(),
            name,
        });
    }
    releases.retain(|release| release.start_ms().is_some());
    releases.sort_by(|a, b| b.start_ms().cmp(&a.start_ms()).then_with(|| b.name.cmp(&a.name)));
    Ok(releases)
}

#[cfg(test)]
mod tests {
    use super::*;
    use fieldvitals_store::conformance::{DAY0_MS, load, site, update};
    use fieldvitals_store::{DeployMark, Retention};
    use fieldvitals_store_sqlite::SqliteStore;
    use std::sync::Arc;

    #[tokio::test]
    async fn releases_are_told_with_their_first_and_last_day_and_their_deploy() {
        let folder = tempfile::tempdir().unwrap();
        let store: Arc<dyn Store> =
            Arc::new(SqliteStore::open(&folder.path().join("store.db")).await.unwrap());
        let shop = site(&store, "shop").await;
        let view = |day: i64, number: u128, release: &str| {
            let mut view = update(DAY0_MS + day * DAY_MS + 5, number, &[]);
            view.release = Some(release.to_owned());
            view
        };
        let views = vec![
            view(0, 1, "5.0"),
            view(1, 2, "5.0"),
            view(1, 3, "5.1"),
            view(4, 4, "5.1"),
            view(4, 5, "5.1"),
        ];
        load(&store, shop, 1, views).await.unwrap();
        store.maintain(DAY0_MS + 5 * DAY_MS, Retention::default()).await.unwrap();
        let deploy = |release: &str, at_ms| DeployMark { release: release.to_owned(), at_ms };
        let marks = [deploy("5.0", DAY0_MS - 7), deploy("6.0", DAY0_MS + 4 * DAY_MS + 9)];
        store.deploy_marks_put(shop, &marks).await.unwrap();
        let found = |limit| releases(store.as_ref(), shop, range(DAY0_MS + 5 * DAY_MS), limit);
        let release = |name: &str, seen: Option<[i64; 2]>, views, deployed_ms| Release {
            name: name.to_owned(),
            seen: seen.map(|days| days.map(|day| DAY0_MS + day * DAY_MS)),
            views,
            deployed_ms,
        };
        let [newest, middle, oldest] = [
            release("6.0", None, 0, Some(DAY0_MS + 4 * DAY_MS + 9)),
            release("5.1", Some([1, 4]), 3, None),
            release("5.0", Some([0, 1]), 2, Some(DAY0_MS - 7)),
        ];
        assert_eq!(found(10).await.unwrap(), [newest.clone(), middle.clone(), oldest]);
        assert_eq!(found(2).await.unwrap(), [newest, middle]);
        assert_eq!(found(0).await.unwrap(), []);
    }
}
