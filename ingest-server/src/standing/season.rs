//! Hours that are unusual for their time of the week: keeps blocks of the last weeks, and judges each new one.
//!
//! The state of the site keeps the percentiles of four weeks. A look reads the blocks that have ended since the last look:
//! one question a site, every three hours. The first look reads all blocks whose hours are kept: hourly rollups of a whole
//! site are kept as long as page views, 30 days by default.

use super::Condition;
use crate::report::{time_text, unit_name};
use fieldvitals_store::{CellQuery, SeriesQuery, Site, StepCells, Store, StoreError};
use serde::{Deserialize, Serialize};
use serde_json::json;
use vitals::histogram::Estimate;
use vitals::metric::{Metric, Metrics, Value};
use vitals::season::{BLOCK_MS, BLOCKS, Block, Judged, judge};

/// The start of the keys of conditions.
pub(super) const KEY: &str = "anomaly ";
/// The watched metrics: the Core Web Vitals.
const METRICS: [Metric; 3] = [Metric::Lcp, Metric::Inp, Metric::Cls];
/// Time after the end of a block until it is read, in milliseconds: page views are sent when they end.
const LATE_MS: i64 = 30 * 60_000;
/// Longest alert, in blocks: two weeks. A change that lasts is usual then.
const LASTS_MAX: i64 = 2 * vitals::season::WEEK_BLOCKS as i64;

/// The percentile of a metric in a block, in millionths, and its page views.
type Seen = (u32, u64);

/// The last blocks of a site.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Season {
    /// The end of the last block, as a number of blocks since 1970.
    end: i64,
    /// The metrics of each block, oldest first; `None` without a value.
    blocks: Vec<[Option<Seen>; METRICS.len()]>,
}

impl Season {
    /// Returns the blocks that have ended and are not read yet, at most [`BLOCKS`]: their numbers.
    pub(super) fn unread(&self, now_ms: i64, stagger_ms: i64) -> std::ops::Range<i64> {
        let end = now_ms.saturating_sub(LATE_MS + stagger_ms).div_euclid(BLOCK_MS);
        let from = self.end.max(end - BLOCKS as i64);
        from..end.max(from)
    }

    /// Adds blocks, and forgets those that are too old. A gap, such as after weeks without a server, is forgotten history.
    fn push(&mut self, numbers: &std::ops::Range<i64>, found: Vec<[Option<Seen>; METRICS.len()]>) {
        if self.end != numbers.start {
            let gap = usize::try_from(numbers.start - self.end).unwrap_or(BLOCKS).min(BLOCKS);
            if self.end != 0 {
                self.blocks.extend(std::iter::repeat_n([None; METRICS.len()], gap));
            }
        }
        self.blocks.extend(found);
        self.blocks.drain(..self.blocks.len().saturating_sub(BLOCKS));
        self.end = numbers.end;
    }

    fn judge(&self, place: usize, metric: Metric) -> Option<Judged> {
        let blocks: Vec<Option<Block>> = self
            .blocks
            .iter()
            .map(|block| {
                let (micros, n) = block.get(place).copied().flatten()?;
                Some(Block { p75: f64::from(micros) / metric.micros_per_unit(), n })
            })
            .collect();
        judge(metric, &blocks)
    }

    /// Follows the conditions: those that begin, and those that are over.
    fn follow(&self, conditions: &mut Vec<Condition>) {
        let from_ms = (self.end - 1) * BLOCK_MS;
        for (place, metric) in METRICS.into_iter().enumerate() {
            let key = format!("{KEY}{}", metric.name());
            let open = conditions.iter().position(|condition| condition.key == key);
            let judged = self.judge(place, metric);
            match (open, judged) {
                (Some(open), judged) => {
                    let since_ms = conditions.get(open).map_or(from_ms, |condition| condition.since_ms);
                    let lasts = from_ms.saturating_sub(since_ms).div_euclid(BLOCK_MS);
                    if judged.is_some_and(|judged| judged.is_usual) || lasts >= LASTS_MAX {
                        conditions.remove(open);
                    }
                }
                (None, Some(judged)) if judged.is_unusual => {
                    conditions.push(condition(key, from_ms, metric, &judged));
                }
                _ => {}
            }
        }
    }
}

/// Reads the blocks that have ended, and judges the last one.
///
/// # Errors
/// If the store cannot answer.
pub(super) async fn look(
    store: &dyn Store,
    site: &Site,
    (season, conditions): (&mut Season, &mut Vec<Condition>),
    (now_ms, stagger_ms): (i64, i64),
) -> Result<(), StoreError> {
    let unread = season.unread(now_ms, stagger_ms);
    if unread.is_empty() {
        return Ok(());
    }
    let bounds: Vec<i64> = (unread.start..=unread.end).map(|number| number * BLOCK_MS).collect();
    let metrics = METRICS.into_iter().fold(Metrics::NONE, Metrics::with);
    let views =
        CellQuery { metrics, ..CellQuery::new(site.id, unread.start * BLOCK_MS, unread.end * BLOCK_MS) };
    let steps = store.series(&SeriesQuery::new(views, bounds)).await?;
    let mut found: Vec<_> = unread.clone().zip(&steps).map(|(number, step)| seen(number, step)).collect();
    found.resize(usize::try_from(unread.end - unread.start).unwrap_or(0), [None; METRICS.len()]);
    season.push(&unread, found);
    season.follow(conditions);
    Ok(())
}

/// Returns the metrics of a block. A step whose period is another one is no block: without hours, it grows to a whole day.
fn seen(number: i64, step: &StepCells) -> [Option<Seen>; METRICS.len()] {
    let is_block = step.period == (number * BLOCK_MS..(number + 1) * BLOCK_MS);
    METRICS.map(|metric| {
        let cell = step.cells.first().filter(|_| is_block)?;
        let estimate = Estimate::of(metric, cell.metric(metric), 75)?;
        Some((Value::new(metric, estimate.value).ok()?.micros(), estimate.n))
    })
}

fn condition(key: String, from_ms: i64, metric: Metric, judged: &Judged) -> Condition {
    let unit = if unit_name(metric) == "ms" { " ms" } else { "" };
    let rounded = |number: f64| match metric {
        Metric::Cls => (number * 1e3).round() / 1e3,
        _ => number.round(),
    };
    let Judged { usual, measured, .. } = *judged;
    let [usual, measured] = [usual, measured].map(rounded);
    let hours = format!("{} to {}", time_text(from_ms), time_text(from_ms + BLOCK_MS));
    Condition {
        key,
        since_ms: from_ms,
        summary: format!(
            "{} p75 is {measured}{unit}, usual at this time of the week are {usual}{unit}",
            metric.name()
        ),
        details: json!({
            "kind": "anomaly", "evidence": format!("page views from {hours}"), "metric": metric.name(),
            "unit": unit_name(metric), "measured": measured, "usual": usual,
            "spreads": (judged.spreads * 10.0).round() / 10.0,
        })
        .to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use fieldvitals_store::Retention;
    use fieldvitals_store::conformance::{DAY0_MS, load, site, update};
    use fieldvitals_store::rollup::DAY_MS;
    use fieldvitals_store_sqlite::SqliteStore;
    use std::sync::Arc;

    #[tokio::test]
    async fn days_without_hours_are_no_blocks() {
        let folder = tempfile::tempdir().unwrap();
        let store: Arc<dyn Store> =
            Arc::new(SqliteStore::open(&folder.path().join("store.db")).await.unwrap());
        site(&store, "shop").await;
        let shop = store.sites().await.unwrap().remove(0);
        let views = (0..6_u8).map(|day| {
            let start_ms = DAY0_MS + i64::from(day) * DAY_MS + BLOCK_MS + 1;
            update(start_ms, u128::from(day), &[(Metric::Lcp, 2_000.0)])
        });
        load(&store, shop.id, 1, views.collect()).await.unwrap();
        let now_ms = DAY0_MS + 6 * DAY_MS + LATE_MS;
        let retention = Retention { raw_days: 2, hourly_days: 2, daily_days: 30 };
        store.maintain(now_ms, retention).await.unwrap();
        let (mut season, mut conditions) = (Season::default(), Vec::new());
        look(store.as_ref(), &shop, (&mut season, &mut conditions), (now_ms, 0)).await.unwrap();
        let start = season.end - BLOCKS as i64;
        let found: Vec<i64> = (start..)
            .zip(&season.blocks)
            .filter(|(_, block)| block[0].is_some())
            .map(|(number, _)| number * BLOCK_MS - DAY0_MS)
            .collect();
        assert_eq!(found, [4 * DAY_MS + BLOCK_MS, 5 * DAY_MS + BLOCK_MS], "days with hours only");
    }

    fn lcp(ms: u32) -> [Option<Seen>; METRICS.len()] {
        [Some((ms * 1_000, 1_000)), None, None]
    }

    #[test]
    fn unusual_block_is_a_condition_until_a_usual_one() {
        let mut season = Season::default();
        let now_ms = 20_000 * BLOCK_MS + LATE_MS + 7;
        let all = BLOCKS as i64;
        assert_eq!(season.unread(now_ms, 8), 19_999 - all..19_999, "the first look reads all blocks");
        assert_eq!(season.unread(now_ms, 0), 20_000 - all..20_000);
        let mut conditions = Vec::new();
        for block in 0..200 {
            season.push(&(block + 1..block + 2), vec![lcp(2_000 + u32::try_from(block * 37 % 11).unwrap())]);
            season.follow(&mut conditions);
            assert_eq!(conditions, [], "block {block}");
        }
        assert_eq!(season.unread(202 * BLOCK_MS + LATE_MS, 0), 201..202);
        for (block, ms, open) in [(201, 3_000, true), (202, 3_100, true), (203, 2_000, false)] {
            season.push(&(block..block + 1), vec![lcp(ms)]);
            season.follow(&mut conditions);
            assert_eq!(conditions.len(), usize::from(open), "block {block}");
            if let Some(condition) = conditions.first() {
                assert_eq!((condition.key.as_str(), condition.since_ms), ("anomaly LCP", 201 * BLOCK_MS));
                assert!(condition.summary.starts_with("LCP p75 is 3000 ms, usual at"), "{condition:?}");
            }
        }
    }

    #[test]
    fn blocks_are_bounded_and_a_gap_keeps_the_time_of_the_week() {
        let mut season = Season::default();
        season.push(&(100..101), vec![lcp(1_000)]);
        season.push(&(104..105), vec![lcp(2_000)]);
        assert_eq!((season.blocks.len(), season.end), (5, 105));
        assert_eq!(season.blocks[1..4], [[None; 3]; 3]);
        season.push(&(105..105 + 1_000), vec![lcp(3_000); 1_000]);
        assert_eq!(season.blocks.len(), BLOCKS);
        season.push(&(9_000..9_001), vec![lcp(3_000)]);
        assert_eq!((season.blocks.len(), season.blocks[0]), (BLOCKS, [None; 3]));
        let text = serde_json::to_string(&season).unwrap();
        assert_eq!(serde_json::from_str::<Season>(&text).unwrap(), season);
    }
}
