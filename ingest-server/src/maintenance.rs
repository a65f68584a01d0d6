//! What the store needs done now and then: rollup deltas folded, old data removed.

use crate::clock::{Clock, Jump};
use crate::http::now_ms;
use crate::report::time_text;
use crate::spool::Spool;
use fieldvitals_store::{Concern, Maintained, Retention, SiteId, Store, Undone};
use serde::Serialize;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use utoipa::ToSchema;
use vitals::limits;

/// Time between two rounds.
const INTERVAL: Duration = Duration::from_secs(60);
/// Time between two looks at what was loaded and at the clock.
const LOOK: Duration = Duration::from_secs(1);
/// Removes nothing.
const KEEP_EVERYTHING: Retention =
    Retention { raw_days: u32::MAX, hourly_days: u32::MAX, daily_days: u32::MAX };
/// Beacons loaded since the last round at which the next one begins: questions read what is not folded
/// yet one page view after the other, which this many cost some hundredths of a second.
const LOADED_MAX: u64 = 500_000;

/// Keeps the store in order.
pub struct Maintenance {
    store: Arc<dyn Store>,
    spool: Spool,
    retention: Retention,
    history: Mutex<History>,
}

#[derive(Debug, Default)]
struct History {
    rounds: u64,
    failures: u64,
    running_since_ms: Option<i64>,
    last: Option<Round>,
    /// All that was done; of what is undone, the last word.
    total: Maintained,
}

impl History {
    /// Takes note of what a round has done; returns what it left undone and the one before did not. What another
    /// server left undone is not known.
    fn add<'a>(&mut self, done: &'a Maintained) -> Vec<&'a Undone> {
        let total = &mut self.total;
        total.deltas_folded += done.deltas_folded;
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
struct Round {
    ended_ms: i64,
    took: Duration,
    error: Option<String>,
}

/// What keeps the store in order, and how it goes.
#[derive(Debug, Serialize, ToSchema)]
pub struct MaintenanceReport {
    /// Days for which page views are kept.
    views_days: u32,
    /// Days for which hourly rollups are kept.
    hourly_days: u32,
    /// Days for which daily rollups are kept.
    daily_days: u32,
    /// Rounds since this server started, failed ones included.
    rounds: u64,
    /// Rounds that failed, or left something undone; they are tried again.
    failures: u64,
    /// Since when a round is under way, RFC 3339; absent between two.
    running_since: Option<String>,
    /// When the last round ended.
    last_ended: Option<String>,
    /// How long it took, in milliseconds.
    last_took_ms: Option<u64>,
    /// Why it failed; absent where it did not. The server's log says more.
    last_error: Option<String>,
    /// What it left undone while the rest went on; absent where it did everything.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    undone: Vec<UndoneReport>,
    /// Rollup deltas folded since this server started.
    deltas_folded: u64,
    /// Page views past retention removed.
    views_removed: u64,
    /// Rollup rows past retention removed.
    rows_removed: u64,
    /// Routes and labels removed of which nothing is kept any more.
    names_removed: u64,
}

/// A part of maintenance that failed.
#[derive(Debug, Serialize, ToSchema)]
pub struct UndoneReport {
    /// The site that it is about, by name or id; absent where it is about a day.
    site: Option<String>,
    /// The start of the UTC day whose page views it is about.
    day: Option<String>,
    /// What the store said.
    error: String,
}

impl Maintenance {
    /// Maintenance of a store that is loaded from a spool.
    #[must_use]
    pub fn new(store: Arc<dyn Store>, spool: Spool, retention: Retention) -> Self {
        Self { store, spool, retention, history: Mutex::default() }
    }

    fn history(&self) -> MutexGuard<'_, History> {
        // Nothing that holds the lock can panic half-way.
        self.history.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs rounds for as long as it is polled: every minute, and sooner while much is loaded.
    pub async fn run(&self) {
        let mut clock = Clock::new(Instant::now(), now_ms());
        let mut is_compared = false;
        loop {
            let loaded = self.spool.stats().loaded;
            if !is_compared {
                is_compared = self.compare(&mut clock).await;
            }
            let may_remove = is_compared && clock.is_trusted();
            self.round(if may_remove { self.retention } else { KEEP_EVERYTHING }).await;
            self.wait(loaded, &mut clock).await;
        }
    }

    /// Doubts the clock where it would have very much removed at once; whether the store could say.
    async fn compare(&self, clock: &mut Clock) -> bool {
        if self.store.has_clock() {
            return true;
        }
        // Where it could not, the round fails for the same reason, and tells it.
        let Ok(kept) = self.store.kept().await else { return false };
        let days = kept.leap_days(now_ms(), self.retention);
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

    /// Waits for the next round. A jump of the clock brings it at once: edges of what is kept that lie in
    /// the future would have the store take page views for old.
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

    async fn round(&self, retention: Retention) {
        let began = Instant::now();
        self.history().running_since_ms = Some(now_ms());
        let done = self.store.maintain(now_ms(), retention).await;
        let took = began.elapsed();
        let mut history = self.history();
        history.rounds += 1;
        history.running_since_ms = None;
        let error = match done {
            Ok(done) => {
                for undone in history.add(&done) {
                    let (site, day) = place(undone.concern);
                    tracing::warn!(
                        site,
                        day,
                        error = undone.error,
                        "a part of maintenance failed; it is tried again"
                    );
                }
                let (undone, elsewhere) = (done.undone.clone(), done.elsewhere);
                if done != (Maintained { undone, elsewhere, ..Maintained::default() }) {
                    tracing::info!(
                        deltas_folded = done.deltas_folded,
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
        history.last = Some(Round { ended_ms: now_ms(), took, error });
    }

    /// How it goes; `name` gives the name of a site.
    #[must_use]
    pub fn report(&self, name: impl Fn(SiteId) -> String) -> MaintenanceReport {
        let history = self.history();
        let last = history.last.as_ref();
        MaintenanceReport {
            views_days: self.retention.raw_days,
            hourly_days: self.retention.hourly_days,
            daily_days: self.retention.daily_days,
            rounds: history.rounds,
            failures: history.failures,
            running_since: history.running_since_ms.map(time_text),
            last_ended: last.map(|round| time_text(round.ended_ms)),
            last_took_ms: last.map(|round| u64::try_from(round.took.as_millis()).unwrap_or(u64::MAX)),
            last_error: last.and_then(|round| round.error.clone()),
            undone: history.total.undone.iter().map(|undone| show(undone, &name)).collect(),
            deltas_folded: history.total.deltas_folded,
            views_removed: history.total.views_removed,
            rows_removed: history.total.rows_removed,
            names_removed: history.total.names_removed,
        }
    }
}

/// The site, or the day, that a part is about.
fn place(part: Concern) -> (Option<i64>, Option<String>) {
    match part {
        Concern::Site(site) => (Some(site.0), None),
        Concern::Day(day_ms) => (None, Some(time_text(day_ms))),
    }
}

fn show(undone: &Undone, name: impl Fn(SiteId) -> String) -> UndoneReport {
    let (site, day) = place(undone.concern);
    UndoneReport { site: site.map(|id| name(SiteId(id))), day, error: undone.error.clone() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_undone_stays_so_while_another_server_maintains() {
        let undone = Undone { concern: Concern::Site(SiteId(1)), error: "refused".to_owned() };
        let failed = Maintained { undone: vec![undone], ..Maintained::default() };
        let elsewhere = Maintained { elsewhere: true, ..Maintained::default() };
        let mut history = History::default();
        let said = [&failed, &failed, &elsewhere, &failed].map(|done| history.add(done).len());
        assert_eq!((said, history.failures, history.total.undone.len()), ([1, 0, 0, 0], 3, 1));
        history.add(&elsewhere);
        assert_eq!(history.total.undone, failed.undone);
        assert!(history.add(&Maintained::default()).is_empty() && history.total.undone.is_empty());
    }
}
