//! Maintains the store at intervals: folds rollup deltas, removes data past retention, and learns route groups.

use crate::clock::{Clock, Jump, now_ms};
use crate::limits;
use crate::report::time_text;
use crate::retention::Keeping;
use crate::routes::auto::AutoGroups;
use crate::spool::Spool;
use fieldvitals_store::{FailedPart, MaintenancePart, MaintenanceSummary, Retention, SiteId, Store};
use serde::Serialize;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use utoipa::ToSchema;

/// Time between two rounds.
const INTERVAL: Duration = Duration::from_secs(60);
/// Interval at which the wait for the next round checks the clock and the number of loaded beacons.
const LOOK: Duration = Duration::from_secs(1);
/// Retention that removes nothing.
const KEEP_EVERYTHING: Retention =
    Retention { raw_days: u32::MAX, hourly_days: u32::MAX, daily_days: u32::MAX };
/// Beacons loaded since the last round that start the next round early. Queries read page views that are not folded yet
/// one by one; this many cost some hundredths of a second.
const LOADED_MAX: u64 = 500_000;

/// Runs maintenance rounds and records their results.
pub struct Maintenance {
    store: Arc<dyn Store>,
    spool: Spool,
    keeping: Arc<Keeping>,
    history: Mutex<History>,
}

#[derive(Debug, Default)]
struct History {
    rounds: u64,
    failures: u64,
    running_since_ms: Option<i64>,
    last: Option<LastRound>,
    /// Sum of all rounds, except `undone`, which is the last round's.
    total: MaintenanceSummary,
}

impl History {
    /// Adds the result of a round. Returns the failed parts that did not fail in the round before. Returns none if
    /// another server ran the round, because its failed parts are unknown.
    fn add<'a>(&mut self, done: &'a MaintenanceSummary) -> Vec<&'a FailedPart> {
        let total = &mut self.total;
        total.deltas_folded += done.deltas_folded;
        total.days_built += done.days_built;
        total.views_removed += done.views_removed;
        total.rows_removed += done.rows_removed;
        total.names_removed += done.names_removed;
        if done.elsewhere {
            return Vec::new();
        }
        self.failures += u64::from(!done.undone.is_empty());
        let before = std::mem::replace(&mut self.total.undone, done.undone.clone());
        done.undone.iter().filter(|undone| !before.contains(undone)).collect()
    }
}

#[derive(Debug, Clone)]
struct LastRound {
    ended_ms: i64,
    took: Duration,
    error: Option<String>,
}

/// Configuration and results of maintenance.
#[derive(Debug, Serialize, ToSchema)]
pub struct MaintenanceReport {
    /// Days for which page views are kept.
    views_days: u32,
    /// Days for which hourly rollups are kept.
    hourly_days: u32,
    /// Days for which daily rollups are kept.
    daily_days: u32,
    /// Rounds since this server started, failed ones included.
    pub rounds: u64,
    /// Rounds that failed wholly or in part; failed parts are retried.
    pub failures: u64,
    /// Start of the running round, RFC 3339; absent between rounds.
    running_since: Option<String>,
    /// End of the last round.
    last_ended: Option<String>,
    /// Duration of the last round, in milliseconds.
    last_took_ms: Option<u64>,
    /// Error of the last round; absent on success. The server's log has details.
    last_error: Option<String>,
    /// Parts that failed in the last round while other parts succeeded; absent if there are none.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    undone: Vec<UndoneReport>,
    /// Rollup deltas folded since this server started.
    deltas_folded: u64,
    /// UTC days of a site that got rollups of the whole site since this server started. A store from before these
    /// rollups gets them in the background.
    days_built: u64,
    /// Page views past retention removed since this server started.
    views_removed: u64,
    /// Rollup rows past retention removed since this server started.
    rows_removed: u64,
    /// Unused routes, labels and texts of contexts removed since this server started.
    names_removed: u64,
}

/// A part of maintenance that failed.
#[derive(Debug, Serialize, ToSchema)]
pub struct UndoneReport {
    /// The site of the part, by name or id; absent if the part is a day.
    site: Option<String>,
    /// Start of the part's UTC day; absent if the part is a site.
    day: Option<String>,
    /// Error of the store.
    error: String,
}

impl Maintenance {
    /// Maintenance of a store that is loaded from `spool`.
    #[must_use]
    pub fn new(store: Arc<dyn Store>, spool: Spool, keeping: Arc<Keeping>) -> Self {
        Self { store, spool, keeping, history: Mutex::default() }
    }

    fn history(&self) -> MutexGuard<'_, History> {
        // No holder of the lock can panic midway.
        self.history.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs rounds without end: every minute, or earlier after many loaded beacons.
    pub async fn run(&self) {
        let mut clock = Clock::new(Instant::now(), now_ms());
        let mut is_compared = false;
        let mut auto_groups = AutoGroups::default();
        loop {
            let loaded = self.spool.stats().loaded;
            // If reading fails, the round fails for the same reason and logs the error. A longer retention may be set than the one that
            // is known, so nothing is removed.
            let is_known = self.keeping.read(self.store.as_ref()).await.is_ok();
            if is_known && !is_compared {
                is_compared = self.compare(&mut clock).await;
            }
            let may_remove = is_known && is_compared && clock.is_trusted();
            let retention = if may_remove { self.keeping.current().0 } else { KEEP_EVERYTHING };
            if self.round(retention).await {
                auto_groups.round(self.store.as_ref(), now_ms()).await;
            }
            self.wait(loaded, &mut clock).await;
        }
    }

    /// Distrusts the clock if maintenance would remove very many days at once. Returns whether the store could be read.
    async fn compare(&self, clock: &mut Clock) -> bool {
        if self.store.has_clock() {
            return true;
        }
        // If reading fails, the round fails for the same reason and logs the error.
        let Ok(retained) = self.store.retention_edges().await else { return false };
        let days = retained.leap_days(now_ms(), self.keeping.current().0);
        if days > limits::CLOCK_LEAP_DAYS_MAX {
            tracing::error!(
                days,
                clock = time_text(now_ms()),
                "by this clock so many days are past retention at once; where no server ran for as long, this is \
                 right, else the clock is wrong: nothing is removed for an hour"
            );
            clock.doubt(Instant::now());
        }
        true
    }

    /// Waits for the next round. A jump of the clock ends the wait, because retention edges in the future would make
    /// the store reject page views as old.
    async fn wait(&self, loaded: u64, clock: &mut Clock) {
        let due = Instant::now() + INTERVAL;
        while Instant::now() < due && self.spool.stats().loaded.saturating_sub(loaded) < LOADED_MAX {
            tokio::time::sleep(LOOK).await;
            match clock.look(Instant::now(), now_ms()) {
                None => {}
                Some(Jump::Forward(by_ms)) => {
                    return tracing::error!(
                        by_ms,
                        "the clock jumped forward; nothing is removed for an hour"
                    );
                }
                Some(Jump::Back(by_ms)) => return tracing::warn!(by_ms, "the clock jumped back"),
            }
        }
    }

    /// Runs a round. Returns whether this server maintained the store.
    async fn round(&self, retention: Retention) -> bool {
        let began = Instant::now();
        self.history().running_since_ms = Some(now_ms());
        let done = self.store.maintain(now_ms(), retention).await;
        let took = began.elapsed();
        let is_here = done.as_ref().is_ok_and(|done| !done.elsewhere);
        let mut history = self.history();
        history.rounds += 1;
        history.running_since_ms = None;
        let error = match done {
            Ok(done) => {
                for undone in history.add(&done) {
                    let (site, day) = place(undone.part);
                    tracing::warn!(
                        site,
                        day,
                        error = undone.error,
                        "a part of maintenance failed; it is tried again"
                    );
                }
                let (undone, elsewhere) = (done.undone.clone(), done.elsewhere);
                if done != (MaintenanceSummary { undone, elsewhere, ..MaintenanceSummary::default() }) {
                    tracing::info!(
                        deltas_folded = done.deltas_folded,
                        days_built = done.days_built,
                        views_removed = done.views_removed,
                        rows_removed = done.rows_removed,
                        names_removed = done.names_removed,
                        took_ms = took.as_millis() as u64,
                        "maintenance"
                    );
                }
                None
            }
            Err(error) => {
                history.failures += 1;
                tracing::warn!(%error, "maintenance failed; it is tried again");
                Some(error.to_string())
            }
        };
        history.last = Some(LastRound { ended_ms: now_ms(), took, error });
        is_here
    }

    /// Reports configuration and results; `name` returns the name of a site.
    #[must_use]
    pub fn report(&self, name: impl Fn(SiteId) -> String) -> MaintenanceReport {
        let history = self.history();
        let last = history.last.as_ref();
        let (retention, _) = self.keeping.current();
        MaintenanceReport {
            views_days: retention.raw_days,
            hourly_days: retention.hourly_days,
            daily_days: retention.daily_days,
            rounds: history.rounds,
            failures: history.failures,
            running_since: history.running_since_ms.map(time_text),
            last_ended: last.map(|round| time_text(round.ended_ms)),
            last_took_ms: last.map(|round| u64::try_from(round.took.as_millis()).unwrap_or(u64::MAX)),
            last_error: last.and_then(|round| round.error.clone()),
            undone: history.total.undone.iter().map(|undone| show(undone, &name)).collect(),
            deltas_folded: history.total.deltas_folded,
            days_built: history.total.days_built,
            views_removed: history.total.views_removed,
            rows_removed: history.total.rows_removed,
            names_removed: history.total.names_removed,
        }
    }
}

/// Returns the site or the day of a part.
fn place(part: MaintenancePart) -> (Option<i64>, Option<String>) {
    match part {
        MaintenancePart::Site(site) => (Some(site.0), None),
        MaintenancePart::Day(day_ms) => (None, Some(time_text(day_ms))),
    }
}

fn show(undone: &FailedPart, name: impl Fn(SiteId) -> String) -> UndoneReport {
    let (site, day) = place(undone.part);
    UndoneReport { site: site.map(|id| name(SiteId(id))), day, error: undone.error.clone() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_undone_stays_so_while_another_server_maintains() {
        let undone = FailedPart { part: MaintenancePart::Site(SiteId(1)), error: "refused".to_owned() };
        let failed = MaintenanceSummary { undone: vec![undone], ..MaintenanceSummary::default() };
        let elsewhere = MaintenanceSummary { elsewhere: true, ..MaintenanceSummary::default() };
        let mut history = History::default();
        let said = [&failed, &failed, &elsewhere, &failed].map(|done| history.add(done).len());
        assert_eq!((said, history.failures, history.total.undone.len()), ([1, 0, 0, 0], 3, 1));
        history.add(&elsewhere);
        assert_eq!(history.total.undone, failed.undone);
        assert!(history.add(&MaintenanceSummary::default()).is_empty() && history.total.undone.is_empty());
    }
}
