//! Weekly digests: once a week, what happened on a site, to the channels that take digests.
//!
//! - `week`: the week, and when its digest is due
//! - `report`: the figures of a week
//! - `text`: its sentences, and the forms that receivers take
//! - `number`: values of metrics in both
//!
//! The store keeps the last week of each site and channel (`Alerting::digests_plan`), so a restart sends nothing twice. A
//! server claims a digest in the store before it sends it, and records the outcome after. Of several servers one gets the
//! claim. A server that is killed between the two leaves a digest that nobody repeats: a crash repeats no digest, only a
//! receiver that does not answer in time may get one again.
//!
//! Each channel is delivered to on its own, so a receiver that hangs delays its own digests only. Nothing is sent by a clock
//! that is not trusted, because the digest of a wrong week takes the place of the right one.

mod number;
mod report;
mod text;
mod week;

pub use report::{DigestLinks, DigestReport, PreviousWeek, WeekBudgets, WeekRelease, WeekViolation};
pub use week::Week;

use crate::alert::{Channel, Outbox, pause_ms};
use crate::clock::{Clock, Jump, now_ms};
use crate::closed_days::{ClosedDays, Reader};
use crate::directory::Directory;
use crate::limits;
use crate::report::time_text;
use crate::retention::Keeping;
use fieldvitals_store::rollup::DAY_MS;
use fieldvitals_store::{Digest, Site, SiteId, Store, StoreError};
use futures_util::StreamExt as _;
use futures_util::stream::{self, FuturesUnordered};
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::{Semaphore, watch};
use tokio::time::MissedTickBehavior;

/// The name of the lease.
const TASK: &str = "weekly digests";
/// The lease, in milliseconds: longer than a delivery takes, for which it is renewed.
const LEASE_MS: i64 = 120_000;
/// Pause between looks for due digests.
const LOOK: Duration = Duration::from_secs(5);
/// Attempts to record the outcome of a delivery: a minute. A digest whose failure is not recorded is not repeated.
const RECORD_ATTEMPTS: u32 = 12;
/// The longest wait for the page views of a site that lie in the spool, in milliseconds, from when its digest is due. A site
/// that the store refuses may stay so.
const BACKLOG_WAIT_MS: i64 = DAY_MS;
/// The error of a digest that is being delivered. It stays if the server ends meanwhile.
const UNDER_WAY: &str = "the delivery has begun; if the server ended meanwhile, it is not repeated";

/// Whether page views of a site may wait in the spool.
type IsBehind = Box<dyn Fn(SiteId) -> bool + Send + Sync>;

/// Sends weekly digests.
pub struct Digests {
    store: Arc<dyn Store>,
    directory: Arc<Directory>,
    days: Arc<ClosedDays>,
    outbox: Arc<Outbox>,
    keeping: Arc<Keeping>,
    is_behind: IsBehind,
    holder: [u8; 16],
    now_ms: fn() -> i64,
    /// Turns to read a digest from the store.
    reading: Semaphore,
    /// The last week that this server planned for each site.
    planned: Mutex<HashMap<SiteId, i32>>,
    /// Whether the server stops.
    stopping: watch::Sender<bool>,
}

/// The clock, and whether it was compared with the data at the start.
struct Watched {
    clock: Clock,
    is_compared: bool,
}

/// The time of a look: its begin, and the time passed since. Deliveries may take many minutes.
#[derive(Clone, Copy)]
struct Moment {
    at_ms: i64,
    at: Instant,
}

impl Moment {
    fn new(at_ms: i64) -> Self {
        Self { at_ms, at: Instant::now() }
    }

    fn now_ms(self) -> i64 {
        self.at_ms.saturating_add(i64::try_from(self.at.elapsed().as_millis()).unwrap_or(i64::MAX))
    }
}

impl Digests {
    /// Sends to the channels of `outbox`.
    #[must_use]
    pub fn new(
        (store, directory): (Arc<dyn Store>, Arc<Directory>),
        days: Arc<ClosedDays>,
        outbox: Arc<Outbox>,
        (keeping, is_behind): (Arc<Keeping>, IsBehind),
        holder: [u8; 16],
    ) -> Self {
        Self {
            store,
            directory,
            days,
            outbox,
            keeping,
            is_behind,
            holder,
            now_ms,
            reading: Semaphore::new(limits::DIGESTS_READING_MAX),
            planned: Mutex::default(),
            stopping: watch::Sender::new(false),
        }
    }

    /// Sends without end. Returns at once if no channel takes digests.
    pub async fn run(&self) {
        let channels = self.outbox.channels().all().iter().filter(|channel| channel.has_digest);
        let channels: Vec<String> = channels.map(|channel| channel.name.clone()).collect();
        if channels.is_empty() {
            return;
        }
        let mut watched = Watched { clock: Clock::new(Instant::now(), (self.now_ms)()), is_compared: false };
        let mut is_away = false;
        // The channels that are delivered to.
        let mut busy: Vec<String> = Vec::new();
        let mut deliveries = FuturesUnordered::new();
        let mut look = tokio::time::interval(LOOK);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut stopping = self.stopping.subscribe();
        loop {
            let done = tokio::select! {
                () = stop_asked(&mut stopping) => break,
                _ = look.tick() => {
                    let free: Vec<String> =
                        channels.iter().filter(|channel| !busy.contains(channel)).cloned().collect();
                    let moment = Moment::new((self.now_ms)());
                    match self.look(&mut watched, &free, moment).await {
                        Ok(due) => {
                            for (channel, digests) in due {
                                busy.push(channel.clone());
                                deliveries.push(self.deliver(channel, digests, moment));
                            }
                            Ok(())
                        }
                        Err(error) => Err(error),
                    }
                }
                Some((channel, done)) = deliveries.next() => {
                    busy.retain(|other| *other != channel);
                    done
                }
            };
            match &done {
                Err(error) if !is_away => tracing::warn!(%error, "weekly digests wait for the store"),
                _ => {}
            }
            is_away = done.is_err();
        }
        while deliveries.next().await.is_some() {}
    }

    /// Begins no delivery from now on. [`Self::run`] returns when those under way have ended: an orderly stop loses no
    /// digest.
    pub fn stop(&self) {
        self.stopping.send_replace(true);
    }

    /// Returns the due digests of each of these channels; none by a clock that is not trusted.
    async fn look(
        &self,
        watched: &mut Watched,
        channels: &[String],
        moment: Moment,
    ) -> Result<BTreeMap<String, Vec<Digest>>, StoreError> {
        if self.is_trusted(watched, moment).await? {
            self.due(channels, moment.now_ms()).await
        } else {
            Ok(BTreeMap::new())
        }
    }

    /// Whether the clock is trusted: it has not jumped forward in the last hour, and at the start it was not days ahead of
    /// the last maintenance.
    async fn is_trusted(&self, watched: &mut Watched, moment: Moment) -> Result<bool, StoreError> {
        let Watched { clock, is_compared } = watched;
        if let Some(Jump::Forward(by_ms)) = clock.look(moment.at, moment.at_ms) {
            tracing::warn!(by_ms, "the clock jumped forward; no weekly digest is sent for an hour");
        }
        if !*is_compared {
            self.keeping.read(self.store.as_ref()).await?;
            let edges = self.store.retention_edges().await?;
            let days = edges.leap_days(moment.at_ms, self.keeping.current().0);
            if days > limits::CLOCK_LEAP_DAYS_MAX {
                tracing::warn!(
                    days,
                    clock = time_text(moment.at_ms),
                    "the last maintenance is so many days ago, or the clock is wrong: no weekly digest is sent for an hour"
                );
                clock.doubt(moment.at);
            }
            *is_compared = true;
        }
        Ok(clock.is_trusted())
    }

    /// Plans the digests of a new week, and returns the due ones of each of these channels.
    async fn due(
        &self,
        channels: &[String],
        now_ms: i64,
    ) -> Result<BTreeMap<String, Vec<Digest>>, StoreError> {
        let mut due: BTreeMap<String, Vec<Digest>> = BTreeMap::new();
        let directory = self.directory.current();
        let new = self.unplanned(directory.sites(), now_ms);
        let is_idle = new.is_empty() && self.store.digests_due(now_ms, 1, channels).await?.is_empty();
        if is_idle || !self.has_lease(now_ms).await? {
            return Ok(due);
        }
        for (site, week) in new {
            let of_site: Vec<String> =
                self.outbox.channels().digests(&site.name).map(|channel| channel.name.clone()).collect();
            self.store.digests_plan(site.id, week.day(), week.due_ms, &of_site).await?;
            self.planned.lock().unwrap_or_else(PoisonError::into_inner).insert(site.id, week.day());
        }
        for channel in channels {
            let found = self
                .store
                .digests_due(now_ms, limits::DIGESTS_DUE_MAX, std::slice::from_ref(channel))
                .await?;
            let found: Vec<Digest> =
                found.into_iter().filter(|digest| !self.waits(digest, directory.sites(), now_ms)).collect();
            if !found.is_empty() {
                due.insert(channel.clone(), found);
            }
        }
        Ok(due)
    }

    /// Whether a digest waits for page views of its week that lie in the spool.
    fn waits(&self, digest: &Digest, sites: &[Arc<Site>], now_ms: i64) -> bool {
        let site = sites.iter().find(|site| site.id == digest.site);
        let week = site.and_then(|site| Week::of_day(digest.week, &site.timezone));
        week.is_some_and(|week| now_ms.saturating_sub(week.due_ms) < BACKLOG_WAIT_MS)
            && (self.is_behind)(digest.site)
    }

    async fn has_lease(&self, now_ms: i64) -> Result<bool, StoreError> {
        self.store.lease(TASK, self.holder, now_ms, LEASE_MS).await
    }

    /// Returns the sites whose digest is due and was not planned by this server, with the week. A site that is younger than
    /// the week has none.
    fn unplanned(&self, sites: &[Arc<Site>], now_ms: i64) -> Vec<(Arc<Site>, Week)> {
        let planned = self.planned.lock().unwrap_or_else(PoisonError::into_inner);
        let of = |site: &Arc<Site>| {
            self.outbox.channels().digests(&site.name).next()?;
            let week = Week::last(now_ms, &site.timezone).filter(|week| week.is_due(now_ms))?;
            let is_new = planned.get(&site.id) != Some(&week.day());
            (is_new && site.created_ms < week.range.to_ms).then(|| (Arc::clone(site), week))
        };
        sites.iter().filter_map(of).collect()
    }

    /// Delivers the digests of a channel. Returns the channel.
    async fn deliver(
        &self,
        channel: String,
        digests: Vec<Digest>,
        moment: Moment,
    ) -> (String, Result<(), StoreError>) {
        let handled = digests.into_iter().map(|digest| self.handle(digest, moment));
        let handled = stream::iter(handled).buffer_unordered(limits::NOTICES_SENDING_MAX as usize);
        let done: Vec<Result<(), StoreError>> = handled.collect().await;
        (channel, done.into_iter().collect())
    }

    /// Reads and sends a due digest.
    async fn handle(&self, digest: Digest, moment: Moment) -> Result<(), StoreError> {
        let turn = self.reading.acquire().await;
        if *self.stopping.borrow() || !self.has_lease(moment.now_ms()).await? {
            return Ok(());
        }
        let site = self.directory.current().sites().iter().find(|site| site.id == digest.site).cloned();
        let report = match site {
            Some(site) => self.read(&site, digest.week, moment.now_ms()).await,
            None => Err("the site is gone".to_owned()),
        };
        drop(turn);
        match report {
            Ok(report) => self.send(&digest, &report, moment).await,
            Err(error) => self.fail(&digest, &digest, error, moment.now_ms()).await,
        }
    }

    async fn read(&self, site: &Site, day: i32, now_ms: i64) -> Result<DigestReport, String> {
        let week = Week::of_day(day, &site.timezone).filter(|week| !week.is_late(now_ms));
        let week = week.ok_or_else(|| "it could not be delivered for three days".to_owned())?;
        let report = async {
            let version = self.store.version(site.id).await?;
            let reader = Reader::new(Arc::clone(&self.store), Arc::clone(&self.days), version, now_ms);
            DigestReport::read(&reader, site, &week, self.outbox.link()).await
        };
        report.await.map_err(|error| error.to_string())
    }

    /// Sends a digest, unless another server has claimed it.
    async fn send(&self, digest: &Digest, report: &DigestReport, moment: Moment) -> Result<(), StoreError> {
        let Some(channel) = self.outbox.channels().find(&digest.channel) else { return Ok(()) };
        if *self.stopping.borrow() {
            return Ok(());
        }
        if !channel.is_for(&report.site) {
            let gone = Digest {
                due_ms: None,
                error: Some("the channel takes this site no more".to_owned()),
                ..digest.clone()
            };
            return self.store.digest_tried(digest, &gone).await.map(drop);
        }
        let claimed = Digest {
            attempts: digest.attempts.saturating_add(1),
            due_ms: None,
            error: Some(UNDER_WAY.to_owned()),
            ..digest.clone()
        };
        if !self.store.digest_tried(digest, &claimed).await? {
            return Ok(());
        }
        match self.post(channel, report, moment.now_ms()).await {
            Ok(()) => {
                tracing::info!(site = report.site, channel = channel.name, week = report.week, "digest sent");
                let sent = Digest { sent_ms: Some(moment.now_ms()), error: None, ..claimed.clone() };
                self.record(&claimed, &sent).await
            }
            Err(error) => self.fail(digest, &claimed, error, moment.now_ms()).await,
        }
    }

    async fn post(&self, channel: &Channel, report: &DigestReport, now_ms: i64) -> Result<(), String> {
        let parcel = report.parcel(&channel.receiver).ok_or("the channel takes no digests")?;
        self.outbox.send(channel, parcel, now_ms).await.map_err(|error| error.to_string())
    }

    /// Records a failed attempt: the next one follows after the same pause as that of a notice. `read` is the digest before
    /// the attempt, `kept` the digest in the store.
    async fn fail(&self, read: &Digest, kept: &Digest, error: String, now_ms: i64) -> Result<(), StoreError> {
        let attempts = read.attempts.saturating_add(1);
        let site = self.directory.current().sites().iter().find(|site| site.id == read.site).cloned();
        let week = site.as_ref().and_then(|site| Week::of_day(read.week, &site.timezone));
        let is_over = week.is_none_or(|week| week.is_late(now_ms)) || attempts >= limits::NOTICE_ATTEMPTS_MAX;
        let due_ms = (!is_over).then(|| now_ms.saturating_add(pause_ms(attempts)));
        if attempts == 1 || due_ms.is_none() {
            let site = site.map(|site| site.name.clone());
            tracing::warn!(
                site,
                channel = read.channel,
                error,
                is_repeated = due_ms.is_some(),
                "a digest cannot be delivered"
            );
        }
        self.record(kept, &Digest { attempts, due_ms, error: Some(error), ..kept.clone() }).await
    }

    /// Records the outcome of an attempt, also if the store is away for a while.
    async fn record(&self, kept: &Digest, after: &Digest) -> Result<(), StoreError> {
        let mut attempts = 1;
        loop {
            match self.store.digest_tried(kept, after).await {
                Err(_) if attempts < RECORD_ATTEMPTS => tokio::time::sleep(LOOK).await,
                done => return done.map(drop),
            }
            attempts += 1;
        }
    }

    /// Reads the digest as it would be sent now.
    ///
    /// # Errors
    /// Those of the store. `Ok(None)` beyond the calendar.
    pub async fn preview(
        store: Arc<dyn Store>,
        days: Arc<ClosedDays>,
        site: &Site,
        link: Option<&str>,
    ) -> Result<Option<DigestReport>, StoreError> {
        let now_ms = now_ms();
        let Some(week) = Week::last(now_ms, &site.timezone) else { return Ok(None) };
        let version = store.version(site.id).await?;
        let reader = Reader::new(store, days, version, now_ms);
        DigestReport::read(&reader, site, &week, link).await.map(Some)
    }
}

/// Waits until the server stops. A sender that is gone has stopped.
async fn stop_asked(stopping: &mut watch::Receiver<bool>) {
    let _ = stopping.wait_for(|&is_stopping| is_stopping).await;
}

#[cfg(test)]
mod tests;
