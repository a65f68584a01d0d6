//! The capacity plan of a month, from the measurements.

use super::outcome::{Measured, Tried};
use super::target::Usage;
use fieldvitals_traffic::UPDATE_EVERY;
use serde::Serialize;

/// Share of the beacons that are new page views: the others are later snapshots.
const VIEWS_PER_BEACON: f64 = 1.0 - 1.0 / UPDATE_EVERY as f64;
/// Beacons of a real page view: the snapshot at its end, and one more of every second page view that is hidden before.
const BEACONS_PER_VIEW: f64 = 1.5;
/// The busiest hour has this many times the page views of a mean one.
const PEAK: f64 = 3.0;
/// Page views of a visit.
const VIEWS_PER_VISIT: f64 = 3.0;
/// Share of the capacity that a plan uses, so that a spike finds room.
const USE: f64 = 0.5;
/// Seconds of a month of 30 days.
const MONTH_S: f64 = 30.0 * 86_400.0;
/// Bytes of a stored page view with its part of rollups, where the store's growth is not measured (docs/performance.md).
const VIEW_BYTES: f64 = 250.0;
/// Page views from which the growth of a store says something: its files grow in steps.
const VIEWS_MIN: f64 = 20_000.0;

/// The capacity of a server.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct Plan {
    /// The highest rate of a stage that the server held, in beacons per second.
    pub(super) held_per_second: f64,
    /// The rate at which it broke, in beacons per second.
    pub(super) broken_per_second: Option<u64>,
    pub(super) page_views_month: f64,
    pub(super) visits_month: f64,
    /// Bytes of a page view in the store.
    pub(super) view_bytes: f64,
    /// Whether they were measured.
    pub(super) is_view_measured: bool,
    pub(super) disk_bytes_month: f64,
    /// The most memory that the server used, in bytes.
    pub(super) memory_bytes: Option<u64>,
    /// Memory of this machine or of its control group, in bytes.
    pub(super) memory_bytes_max: Option<u64>,
    /// Processor time of a beacon until it is loaded, in microseconds.
    pub(super) cpu_micros: Option<f64>,
}

impl Plan {
    /// Plans from the stages; `None` if the server held none of them.
    pub(super) fn of(
        stages: &[Tried],
        all: &Measured,
        [before, after]: [&Usage; 2],
        peak_bytes: Option<u64>,
    ) -> Option<Self> {
        let held = stages.iter().filter(|tried| !tried.measured.is_broken() && tried.measured.taken > 0);
        let held_per_second = held.map(|tried| tried.measured.per_second()).max_by(f64::total_cmp)?;
        let broken_per_second =
            stages.iter().find(|tried| tried.measured.is_broken()).map(|tried| tried.stage.rate);
        let page_views_month = held_per_second * USE / PEAK / BEACONS_PER_VIEW * MONTH_S;
        let views = all.taken as f64 * VIEWS_PER_BEACON;
        let grown =
            before.store_bytes.zip(after.store_bytes).map(|(before, after)| after.saturating_sub(before));
        // What waits in the spool has cost the store nothing yet.
        let is_loaded = after.waiting == Some(0);
        let measured = grown
            .filter(|&bytes| is_loaded && views >= VIEWS_MIN && bytes > 0)
            .map(|bytes| bytes as f64 / views);
        let view_bytes = measured.unwrap_or(VIEW_BYTES);
        let cpu_s = before.cpu_s.zip(after.cpu_s).map(|(before, after)| (after - before).max(0.0));
        Some(Self {
            held_per_second,
            broken_per_second,
            page_views_month,
            visits_month: page_views_month / VIEWS_PER_VISIT,
            view_bytes,
            is_view_measured: measured.is_some(),
            disk_bytes_month: page_views_month * view_bytes,
            memory_bytes: peak_bytes.max(after.resident_bytes),
            memory_bytes_max: fieldvitals_server::telemetry::process::Resources::read().memory_bytes_max,
            cpu_micros: cpu_s
                .filter(|_| is_loaded && all.taken > 0)
                .map(|seconds| seconds * 1e6 / all.taken as f64),
        })
    }

    /// The assumptions, as a sentence.
    pub(super) fn assumptions(&self) -> String {
        let bytes = if self.is_view_measured {
            "measured here"
        } else {
            "assumed; --data-dir with --token measures it from 20,000 page views on"
        };
        format!(
            "Assumed: {BEACONS_PER_VIEW} beacons a page view, {VIEWS_PER_VISIT} page views a visit, a busiest hour of \
             {PEAK} times the mean, half of the capacity kept free. {:.0} bytes a page view ({bytes}), kept for the 30 days \
             of the default retention; daily rollups of later months take far less.",
            self.view_bytes
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::stages::Stage;
    use std::time::Duration;

    fn tried(rate: u64, taken: u64, failed: u64) -> Tried {
        let mut measured = Measured::new();
        (0..taken).for_each(|_| measured.take(Duration::from_millis(1)));
        (0..failed).for_each(|_| measured.fail("status 503"));
        measured.elapsed = Duration::from_secs(10);
        Tried { stage: Stage { time: Duration::from_secs(10), rate }, measured }
    }

    fn all(stages: &[Tried]) -> Measured {
        let mut all = Measured::new();
        stages.iter().for_each(|tried| all.add(&tried.measured));
        all
    }

    #[test]
    fn plan_follows_from_the_highest_held_rate() {
        let stages = [tried(100, 1_000, 0), tried(200, 2_000, 0), tried(300, 1_000, 2_000)];
        let plan = Plan::of(&stages, &all(&stages), [&Usage::default(); 2], None).unwrap();
        assert_eq!((plan.held_per_second, plan.broken_per_second), (200.0, Some(300)));
        // 200/s · 0.5 / 3 / 1.5 · 2,592,000 s.
        assert_eq!(plan.page_views_month.round(), 57_600_000.0);
        assert_eq!(plan.visits_month.round(), 19_200_000.0);
        assert!(!plan.is_view_measured && plan.assumptions().contains("--data-dir with --token measures it"));
        let spike = [tried(100, 1_000, 0), tried(2_000, 1_000, 2_000), tried(100, 100, 2_000)];
        let plan = Plan::of(&spike, &all(&spike), [&Usage::default(); 2], None).unwrap();
        assert_eq!(plan.broken_per_second, Some(2_000), "the first stage that broke");
        let broken = [tried(300, 1, 2_000)];
        assert_eq!(Plan::of(&broken, &all(&broken), [&Usage::default(); 2], None), None);
    }

    #[test]
    fn growth_of_the_store_is_measured_by_enough_page_views() {
        let stages = [tried(100, 40_000, 0)];
        let usage = |store_bytes, cpu_s| Usage { store_bytes, cpu_s, waiting: Some(0), ..Usage::default() };
        let (before, after) = (usage(Some(1_000), Some(1.0)), usage(Some(7_601_000), Some(3.0)));
        let plan = Plan::of(&stages, &all(&stages), [&before, &after], Some(9)).unwrap();
        assert!(plan.is_view_measured && (plan.view_bytes - 200.0).abs() < 0.1, "{plan:?}");
        assert_eq!((plan.cpu_micros, plan.memory_bytes), (Some(50.0), Some(9)));
        let behind = Usage { waiting: Some(1), ..after };
        let plan = Plan::of(&stages, &all(&stages), [&before, &behind], None).unwrap();
        assert_eq!((plan.is_view_measured, plan.cpu_micros), (false, None), "some beacons are not loaded");
        let few = [tried(100, 100, 0)];
        assert!(!Plan::of(&few, &all(&few), [&before, &after], None).unwrap().is_view_measured);
    }
}
