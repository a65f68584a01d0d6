//! Releases that are worse than the one before: sees which release leads, and compares it at three looks.
//!
//! A release leads when most page views of an hour are its own. The server finds the leading release from the counts of the
//! running day: one question a site an hour, about rollups. A release that never leads, such as a canary or a name that a stranger invents, is not compared.

use super::Condition;
use crate::gate::{ReleaseVerdict, compare_releases};
use crate::report::Range;
use fieldvitals_store::dimension::OTHER;
use fieldvitals_store::rollup::{DAY_MS, HOUR_MS, day_of};
use fieldvitals_store::{CellQuery, Dimension, GroupBy, Site, Store, StoreError};
use serde::{Deserialize, Serialize};
use serde_json::json;
use vitals::gate::Verdict;
use vitals::metric::Metrics;

/// The start of the keys of conditions.
pub(super) const KEY: &str = "regression ";
/// Ages at which a release is compared, in hours. The first one tells soon, the others have whole days.
const LOOKS_HOURS: [i64; 3] = [3, 24, 72];
/// Page views of an hour that tell which release leads.
const LEADING_VIEWS_MIN: i64 = 20;
/// Releases of the running day whose counts are kept: those with most page views.
const COUNTED: usize = 10;

/// What is known of the releases of a site.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Releases {
    /// Time of the last look, UTC milliseconds.
    looked_ms: i64,
    /// Page views of that day until then, of the releases with most.
    counts: Vec<(String, i64)>,
    /// The release that leads.
    leading: Option<Leading>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Leading {
    name: String,
    /// When it began to lead, UTC milliseconds, to an hour.
    since_ms: i64,
    /// The release that led before; `None` for the first one that was seen.
    before: Option<String>,
    /// Looks that are over.
    looks: usize,
}

/// A comparison that is due: the release before and the one that leads, each with its range.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Due {
    before: (String, [i64; 2]),
    after: (String, [i64; 2]),
}

impl Releases {
    /// Whether an hour is over since the last look. Sites take turns within an hour.
    pub(super) fn is_due(&self, now_ms: i64, stagger_ms: i64) -> bool {
        let hour = |ms: i64| ms.saturating_sub(stagger_ms).div_euclid(HOUR_MS);
        hour(now_ms) != hour(self.looked_ms)
    }

    /// Takes the counts of the running day. Returns whether another release leads now.
    fn follow(&mut self, now_ms: i64, mut counts: Vec<(String, i64)>) -> bool {
        counts.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
        counts.truncate(COUNTED);
        let is_same_day = day_of(now_ms) == day_of(self.looked_ms);
        let known = |name: &String| {
            let known = self.counts.iter().find(|(other, _)| is_same_day && other == name);
            known.map_or(0, |(_, views)| *views)
        };
        let new: Vec<(&String, i64)> =
            counts.iter().map(|(name, views)| (name, (views - known(name)).max(0))).collect();
        let all: i64 = new.iter().map(|(_, views)| views).sum();
        let leader = new.iter().max_by_key(|(_, views)| *views).filter(|(_, views)| views * 2 > all);
        let mut changed = false;
        if let Some((name, _)) = leader.filter(|_| all >= LEADING_VIEWS_MIN)
            && self.leading.as_ref().is_none_or(|leading| leading.name != **name)
        {
            let before = self.leading.take().map(|leading| leading.name);
            // It took over since the last look; after a pause of the server, within the last hour as far as is known.
            let since_ms = self.looked_ms.max(now_ms - HOUR_MS);
            self.leading = Some(Leading { name: (*name).clone(), since_ms, before, looks: 0 });
            changed = true;
        }
        self.counts = counts;
        self.looked_ms = now_ms;
        changed
    }

    /// Returns the comparison that is due, and counts its look. Looks that were missed are left out.
    ///
    /// The release before is compared in the same hours of the days before, because hours differ.
    fn due(&mut self, now_ms: i64) -> Option<Due> {
        let leading = self.leading.as_mut()?;
        let before = leading.before.clone()?;
        let age_ms = now_ms.saturating_sub(leading.since_ms);
        let looks = LOOKS_HOURS.iter().filter(|hours| **hours * HOUR_MS <= age_ms).count();
        if looks <= leading.looks {
            return None;
        }
        leading.looks = looks;
        let shift_ms = age_ms.div_euclid(DAY_MS).max(1) * DAY_MS;
        let range = [leading.since_ms, now_ms];
        let earlier = range.map(|ms| ms.saturating_sub(shift_ms).min(leading.since_ms));
        Some(Due { before: (before, earlier), after: (leading.name.clone(), range) })
    }
}

/// Looks which release leads, and compares it if a comparison is due.
///
/// # Errors
/// If the store cannot answer.
pub(super) async fn look(
    store: &dyn Store,
    site: &Site,
    (releases, conditions): (&mut Releases, &mut Vec<Condition>),
    now_ms: i64,
) -> Result<(), StoreError> {
    let day_ms = day_of(now_ms);
    let query = CellQuery { metrics: Metrics::NONE, ..CellQuery::new(site.id, day_ms, day_ms + DAY_MS) };
    let found = store.breakdown(&query, GroupBy::Rolled(Dimension::Release)).await?;
    let named = found.rows.into_iter().filter_map(|row| Some((row.value?, row.cell.views)));
    let mut after = releases.clone();
    let changed = after.follow(now_ms, named.filter(|(name, _)| name != OTHER).collect());
    if changed {
        // The releases before are no more what visitors get.
        conditions.retain(|condition| !condition.key.starts_with(KEY));
    }
    let since_ms = after.leading.as_ref().map_or(now_ms, |leading| leading.since_ms);
    let due = after.due(now_ms);
    // Before the comparison, which reads many page views: a comparison that fails is not repeated each round.
    *releases = after;
    if let Some(Due { before, after: of }) = due {
        let range = |[from_ms, to_ms]: [i64; 2]| Range { from_ms, to_ms };
        let sides = [(before.0.as_str(), range(before.1)), (of.0.as_str(), range(of.1))];
        let verdicts = compare_releases(store, site, sides, LOOKS_HOURS.len(), now_ms).await?;
        apply(conditions, &of.0, since_ms, &verdicts);
    }
    Ok(())
}

/// Follows the verdicts of a look: a metric that is worse is a condition until a look finds it kept.
fn apply(conditions: &mut Vec<Condition>, release: &str, since_ms: i64, verdicts: &[ReleaseVerdict]) {
    for ReleaseVerdict { metric, verdict, report } in verdicts {
        let key = format!("{KEY}{}", metric.name());
        match verdict {
            Verdict::Pass => conditions.retain(|condition| condition.key != key),
            Verdict::Fail if conditions.iter().all(|condition| condition.key != key) => {
                let comparison = report.comparison().unwrap_or_default();
                conditions.push(Condition {
                    key,
                    since_ms,
                    summary: format!("{} p75 of {release}: {comparison}", metric.name()),
                    details: json!({
                        "kind": "regression", "evidence": report.evidence(), "release": release, "budget": report,
                    })
                    .to_string(),
                });
            }
            Verdict::Fail | Verdict::Inconclusive => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use fieldvitals_store::SiteId;
    use fieldvitals_store::conformance::{DAY0_MS, FaultyStore, load, site, update};
    use fieldvitals_store_sqlite::SqliteStore;
    use std::sync::Arc;
    use vitals::metric::Metric;

    /// Page views of a release, spread over some hours, whose LCP is about `lcp` milliseconds.
    async fn load_views(store: &Arc<dyn Store>, site: SiteId, release: &str, hours: [i64; 2], lcp: f64) {
        let [from_ms, to_ms] = hours.map(|hour| DAY0_MS + hour * HOUR_MS);
        // 300 an hour.
        let views = (0..(to_ms - from_ms) / 12_000).map(|number| {
            let start_ms = from_ms + number * 12_000;
            let value = lcp * (0.6 + 0.8 * ((number * 37 % 100) as f64 / 100.0));
            let mut view =
                update(start_ms, start_ms as u128 * 7 + 1, &[(Metric::Lcp, value), (Metric::Cls, 0.01)]);
            view.release = Some(release.to_owned());
            view
        });
        load(store, site, 1, views.collect()).await.unwrap();
    }

    #[tokio::test]
    async fn worse_release_is_a_condition_until_another_one_leads() {
        let folder = tempfile::tempdir().unwrap();
        let store: Arc<dyn Store> =
            Arc::new(SqliteStore::open(&folder.path().join("store.db")).await.unwrap());
        site(&store, "shop").await;
        let shop = store.sites().await.unwrap().remove(0);
        load_views(&store, shop.id, "5.0", [8, 34], 1_500.0).await;
        let (mut releases, mut conditions) = (Releases::default(), Vec::new());
        let at = |hour: i64| DAY0_MS + hour * HOUR_MS;
        let mut look = async |now_ms| {
            super::look(store.as_ref(), &shop, (&mut releases, &mut conditions), now_ms).await.unwrap();
            conditions.iter().map(|one| (one.key.clone(), one.summary.clone())).collect::<Vec<_>>()
        };
        assert_eq!(look(at(34)).await, []);
        load_views(&store, shop.id, "5.1", [34, 38], 3_000.0).await;
        assert_eq!(look(at(35)).await, [], "it leads");
        let worse = look(at(38)).await;
        assert_eq!(worse.len(), 1, "LCP, and not CLS: {worse:?}");
        assert_eq!(worse[0].0, "regression LCP");
        assert!(worse[0].1.starts_with("LCP p75 of 5.1: "), "{worse:?}");
        assert!(worse[0].1.contains("more than in 5.0"), "{worse:?}");
        assert_eq!(look(at(39)).await, worse);
        load_views(&store, shop.id, "5.2", [39, 40], 1_500.0).await;
        assert_eq!(look(at(40)).await, []);
    }

    #[tokio::test]
    async fn failed_comparison_counts_as_a_look() {
        let folder = tempfile::tempdir().unwrap();
        let store: Arc<dyn Store> =
            Arc::new(SqliteStore::open(&folder.path().join("store.db")).await.unwrap());
        site(&store, "shop").await;
        let shop = store.sites().await.unwrap().remove(0);
        load_views(&store, shop.id, "5.0", [8, 34], 1_500.0).await;
        let (mut releases, mut conditions) = (Releases::default(), Vec::new());
        let faulty = FaultyStore::new(Arc::clone(&store));
        let at = |hour: i64| DAY0_MS + hour * HOUR_MS;
        let mut look =
            async |now_ms| super::look(&faulty, &shop, (&mut releases, &mut conditions), now_ms).await;
        look(at(34)).await.unwrap();
        load_views(&store, shop.id, "5.1", [34, 38], 3_000.0).await;
        look(at(35)).await.unwrap();
        // The question for the leading release is answered, and that for its page views is not.
        faulty.comparisons_away_after(1, 1);
        assert!(look(at(38)).await.is_err());
        let looks = releases.leading.as_ref().map(|leading| leading.looks);
        assert_eq!((looks, releases.looked_ms), (Some(1), at(38)));
        assert_eq!(releases.due(at(39)), None);
    }

    fn counts(of: &[(&str, i64)]) -> Vec<(String, i64)> {
        of.iter().map(|(name, views)| ((*name).to_owned(), *views)).collect()
    }

    #[test]
    fn release_leads_by_the_page_views_of_the_last_hour() {
        let start_ms = 100 * DAY_MS + 5 * HOUR_MS;
        let at = |hour: i64| start_ms + hour * HOUR_MS;
        let mut releases = Releases::default();
        assert!(releases.follow(at(0), counts(&[("5.0", 400)])));
        assert_eq!(releases.due(at(90)), None, "nothing is known of the release before");
        for (hour, of, leads) in [
            (1, &[("5.0", 800), ("5.1", 100)][..], "5.0"),
            (2, &[("5.0", 900), ("5.1", 400)], "5.1"),
            (3, &[("5.0", 905), ("5.1", 410)], "5.1"),
            (4, &[("5.0", 1_000), ("5.1", 700)], "5.1"),
        ] {
            releases.follow(at(hour), counts(of));
            assert_eq!(releases.leading.as_ref().unwrap().name, leads, "hour {hour}");
        }
        let leading = releases.leading.clone().unwrap();
        assert_eq!((leading.since_ms, leading.before.as_deref()), (at(1), Some("5.0")));
        // The next day counts from 0.
        releases.follow(at(20), counts(&[("5.0", 10), ("5.1", 90)]));
        assert_eq!(releases.leading, Some(leading));
    }

    #[test]
    fn leading_release_is_compared_thrice_with_the_same_hours_before() {
        let since_ms = 100 * DAY_MS;
        let leading = Leading { name: "5.1".to_owned(), since_ms, before: Some("5.0".to_owned()), looks: 0 };
        let mut releases = Releases { leading: Some(leading), ..Releases::default() };
        let at = |hour: i64| since_ms + hour * HOUR_MS;
        assert_eq!(releases.due(at(2)), None);
        let due = releases.due(at(3)).unwrap();
        assert_eq!(
            (due.before, due.after),
            (("5.0".to_owned(), [at(-24), at(-21)]), ("5.1".to_owned(), [at(0), at(3)]))
        );
        assert_eq!(releases.due(at(4)), None);
        let due = releases.due(at(30)).unwrap();
        assert_eq!(due.before.1, [at(-24), at(0)], "never later than the change");
        assert_eq!(releases.due(at(73)).unwrap().before.1, [at(-72), at(0)]);
        assert_eq!(releases.due(at(900)), None);
    }

    #[test]
    fn sites_take_turns_within_an_hour() {
        let releases = Releases { looked_ms: 10 * HOUR_MS + 5, ..Releases::default() };
        assert!(!releases.is_due(11 * HOUR_MS - 1, 0) && releases.is_due(11 * HOUR_MS, 0));
        assert!(
            releases.is_due(10 * HOUR_MS + 60_000, 60_000) && !releases.is_due(10 * HOUR_MS + 59_999, 60_000)
        );
    }
}
