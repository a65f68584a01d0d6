//! Replays standing budgets over the last weeks, to tell what a limit would have done.

use super::sequence::{Sequence, State};
use crate::gate;
use crate::limits;
use fieldvitals_store::rollup::{DAY_MS, HOUR_MS, day_of};
use fieldvitals_store::{CellQuery, SeriesQuery, Site, Store, StoreError, TallyQuery};
use std::ops::Range;
use vitals::budget::{Budget, Severity};
use vitals::gate::{ALPHA, Block, Looks, Sample, Verdict, design_effect, judge};
use vitals::metric::Metrics;

/// What budgets would have done.
#[derive(Debug)]
pub struct Replay {
    /// The replayed period, UTC milliseconds: up to 28 days, fewer of a site with very many page views.
    pub period: Range<i64>,
    /// The budgets, in their order.
    pub budgets: Vec<Simulated>,
}

/// What a budget would have done.
#[derive(Clone, Debug, PartialEq)]
pub struct Simulated {
    /// Page views with the metric.
    pub n: u64,
    /// Those within the limit.
    pub within: u64,
    /// The state at the end.
    pub state: State,
    /// The times in which it would have been broken, oldest first.
    pub broken: Vec<Episode>,
}

/// A time in which a budget would have been broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Episode {
    /// The alert, UTC milliseconds.
    pub from_ms: i64,
    /// The recovery; `None` if it would still be broken.
    pub to_ms: Option<i64>,
}

/// Replays budgets by looking once an hour. `kept_days` is the retention of page views.
///
/// # Errors
/// If the store cannot answer.
pub async fn what_if(
    store: &dyn Store,
    site: &Site,
    budgets: &[Budget],
    now_ms: i64,
    kept_days: u32,
) -> Result<Replay, StoreError> {
    let period = period(store, site, now_ms).await?;
    let routes = store.routes(site.id, period.start, period.end).await?;
    let mut counted = Vec::with_capacity(budgets.len());
    for budget in budgets {
        let Some(at_most) = budget.limit.max() else { continue };
        let matched = gate::routes_of(budget, &routes, site);
        let mut blocks = Vec::new();
        let mut from_ms = period.start;
        // By days, because the store counts half hours of a bounded number of page views at a time.
        while from_ms < period.end {
            let to_ms = day_of(from_ms).saturating_add(DAY_MS).min(period.end);
            let query = TallyQuery {
                site: site.id,
                from_ms,
                to_ms,
                routes: matched.clone(),
                filters: gate::filters_of(budget),
                metric: budget.metric,
                at_most,
            };
            blocks.extend(store.tally(&query).await?.blocks);
            from_ms = to_ms;
        }
        counted.push(blocks);
    }
    let budgets = replay(budgets, &counted, &period, kept_days);
    Ok(Replay { period, budgets })
}

/// Returns the last days whose page views may be read, whole days but for the first and the last one.
async fn period(store: &dyn Store, site: &Site, now_ms: i64) -> Result<Range<i64>, StoreError> {
    let kept_ms = store.retention_edges().await?.views_from_ms;
    let first_ms = now_ms.saturating_sub(limits::WHAT_IF_DAYS_MAX * DAY_MS).max(kept_ms).min(now_ms);
    let mut bounds = vec![now_ms];
    while let Some(&end_ms) = bounds.last().filter(|&&end_ms| end_ms > first_ms) {
        bounds.push(day_of(end_ms.saturating_sub(1)).max(first_ms));
    }
    bounds.reverse();
    let views = CellQuery { metrics: Metrics::NONE, ..CellQuery::new(site.id, first_ms, now_ms) };
    let days = store.series(&SeriesQuery::new(views, bounds.clone())).await?;
    let (mut from_ms, mut read) = (now_ms, 0_u64);
    for (day, &start_ms) in days.iter().zip(&bounds).rev() {
        let views = day.cells.first().map_or(0, |cell| cell.views);
        let views = u64::try_from(views).unwrap_or(0);
        read = read.saturating_add(views);
        // A day with more page views than the store sorts has no half hours.
        if read > limits::WHAT_IF_VIEWS_MAX || views > fieldvitals_store::limits::SORT_VIEWS_MAX {
            break;
        }
        from_ms = start_ms;
    }
    Ok(from_ms..now_ms)
}

/// Replays the looks at budgets, whose page views are counted by half hours.
fn replay(budgets: &[Budget], counted: &[Vec<Block>], period: &Range<i64>, kept_days: u32) -> Vec<Simulated> {
    let mut sequences: Vec<Sequence> = budgets.iter().map(|_| Sequence::new(period.start)).collect();
    let mut simulated: Vec<Simulated> = counted
        .iter()
        .map(|blocks| Simulated {
            n: blocks.iter().map(|block| block.n).sum(),
            within: blocks.iter().map(|block| block.within).sum(),
            state: State::Undecided,
            broken: Vec::new(),
        })
        .collect();
    let mut look_ms = (period.start.div_euclid(HOUR_MS) + 1) * HOUR_MS;
    while look_ms <= period.end {
        let samples: Vec<Sample> = budgets
            .iter()
            .zip(counted)
            .zip(&sequences)
            .map(|((budget, blocks), sequence)| sample(budget, between(blocks, sequence.from_ms, look_ms)))
            .collect();
        let verdicts = verdicts(budgets, &samples);
        let verdicts = verdicts.into_iter().zip(samples.iter().map(|sample| sample.n));
        for ((sequence, looked), simulated) in sequences.iter_mut().zip(verdicts).zip(&mut simulated) {
            let before = sequence.state;
            sequence.look(looked, look_ms, kept_days);
            simulated.state = sequence.state;
            match (before == State::Broken, sequence.state == State::Broken) {
                (false, true) => simulated.broken.push(Episode { from_ms: look_ms, to_ms: None }),
                (true, false) => {
                    if let Some(last) = simulated.broken.last_mut() {
                        last.to_ms = Some(look_ms);
                    }
                }
                _ => {}
            }
        }
        look_ms += HOUR_MS;
    }
    simulated
}

/// The half hours that begin within a time.
fn between(blocks: &[Block], from_ms: i64, to_ms: i64) -> &[Block] {
    let place = |ms: i64| blocks.partition_point(|block| block.start_ms() < ms);
    blocks.get(place(from_ms)..place(to_ms)).unwrap_or_default()
}

fn sample(budget: &Budget, blocks: &[Block]) -> Sample {
    Sample {
        n: blocks.iter().map(|block| block.n).sum(),
        within: blocks.iter().map(|block| block.within).sum(),
        percent: budget.percentile,
        min_samples: budget.min_samples,
        design_effect: design_effect(blocks, Looks::Many, ALPHA).value,
    }
}

/// Judges the budgets of each severity together, as the gate does.
fn verdicts(budgets: &[Budget], samples: &[Sample]) -> Vec<Verdict> {
    let mut verdicts = vec![Verdict::Inconclusive; budgets.len()];
    for severity in Severity::ALL {
        let places: Vec<usize> =
            (0..budgets.len()).filter(|&place| budgets[place].severity == *severity).collect();
        let of: Vec<Sample> = places.iter().map(|&place| samples[place]).collect();
        for (&place, judged) in places.iter().zip(judge(&of, Looks::Many, ALPHA)) {
            verdicts[place] = judged.verdict;
        }
    }
    verdicts
}

#[cfg(test)]
mod tests {
    use super::*;
    use vitals::gate::BLOCK_MS;

    #[test]
    fn bad_days_would_have_been_one_alert_and_a_recovery() {
        let budget = vitals::budget::parse("[[budget]]\nmetric = 'LCP'\nmax = 2500\n").unwrap().budgets;
        let start_ms = 1_000 * DAY_MS;
        let blocks: Vec<Block> = (0..14 * 48)
            .map(|number| {
                // Of ten days, the sixth and the seventh are bad.
                let is_bad = (5 * 48..7 * 48).contains(&number);
                let within = if is_bad { 50 } else { 95 };
                Block { number: start_ms / BLOCK_MS + number, n: 100, within }
            })
            .collect();
        let period = start_ms..start_ms + 14 * DAY_MS;
        let found = replay(&budget, std::slice::from_ref(&blocks), &period, 30).remove(0);
        assert_eq!((found.n, found.state, found.broken.len()), (67_200, State::Kept, 1));
        let Episode { from_ms, to_ms } = found.broken[0];
        let hour = |ms: i64| (ms - start_ms) / HOUR_MS;
        assert!((121..132).contains(&hour(from_ms)), "{}", hour(from_ms));
        assert!(to_ms.is_some_and(|ms| (169..176).contains(&hour(ms))), "{to_ms:?}");
        let none = replay(&budget, &[Vec::new()], &period, 30).remove(0);
        assert_eq!((none.state, none.broken), (State::Undecided, Vec::new()));
    }
}
