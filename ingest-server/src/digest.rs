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

mod number;
mod report;
mod text;
mod week;

pub use report::{DigestLinks, DigestReport, PreviousWeek, WeekBudgets, WeekRelease, WeekViolation};
pub use week::Week;

use crate::alert::{Channel, Outbox, pause_ms};
use crate::clock::now_ms;
use crate::closed_days::{ClosedDays, Reader};
use crate::directory::Directory;
use crate::limits;
use fieldvitals_store::{Digest, Site, SiteId, Store, StoreError};
use futures_util::StreamExt as _;
use futures_util::future::join_all;
use futures_util::stream;
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::watch;

/// The name of the lease.
const TASK: &str = "weekly digests";
/// The lease, in milliseconds: longer than a site takes, for which it is renewed.
const LEASE_MS: i64 = 120_000;
/// Pause between looks for due digests.
const LOOK: Duration = Duration::from_secs(5);
/// Attempts to record the outcome of a delivery: a minute. A digest whose failure is not recorded is not repeated.
const RECORD_ATTEMPTS: u32 = 12;
/// The error of a digest that is being delivered. It stays if the server ends meanwhile.
const UNDER_WAY: &str = "the delivery has begun; if the server ended meanwhile, it is not repeated";

/// Sends weekly digests.
pub struct Digests {
    store: Arc<dyn Store>,
    directory: Arc<Directory>,
    days: Arc<ClosedDays>,
    outbox: Arc<Outbox>,
    holder: [u8; 16],
    /// The last week that this server planned for each site.
    planned: Mutex<HashMap<SiteId, i32>>,
    /// Whether the server stops.
    stopping: watch::Sender<bool>,
}

/// The time of a round, which may take many minutes: the time of its begin, and what has passed since.
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
        holder: [u8; 16],
    ) -> Self {
        let stopping = watch::Sender::new(false);
        Self { store, directory, days, outbox, holder, planned: Mutex::default(), stopping }
    }

    /// Sends without end. Returns at once if no channel takes digests.
    pub async fn run(&self) {
        let channels = self.outbox.channels().all().iter().filter(|channel| channel.has_digest);
        let channels: Vec<String> = channels.map(|channel| channel.name.clone()).collect();
        let mut is_away = false;
        while !channels.is_empty() {
            let done = self.round(&channels, Moment::new(now_ms())).await;
            match &done {
                Err(error) if !is_away => tracing::warn!(%error, "weekly digests wait for the store"),
                _ => {}
            }
            is_away = done.is_err();
            let mut stopping = self.stopping.subscribe();
            let stopped = stopping.wait_for(|&is_stopping| is_stopping);
            if tokio::time::timeout(LOOK, stopped).await.is_ok() {
                return;
            }
        }
    }

    /// Begins no delivery from now on. [`Self::run`] returns when those under way have ended: an orderly stop loses no
    /// digest.
    pub fn stop(&self) {
        self.stopping.send_replace(true);
    }

    async fn round(&self, channels: &[String], moment: Moment) -> Result<(), StoreError> {
        let now_ms = moment.now_ms();
        let directory = self.directory.current();
        let sites = directory.sites();
        let new = self.unplanned(sites, now_ms);
        let is_idle = new.is_empty() && self.store.digests_due(now_ms, 1, channels).await?.is_empty();
        if is_idle || !self.has_lease(now_ms).await? {
            return Ok(());
        }
        for (site, week) in new {
            let of_site: Vec<String> =
                self.outbox.channels().digests(&site.name).map(|channel| channel.name.clone()).collect();
            self.store.digests_plan(site.id, week.day(), week.due_ms, &of_site).await?;
            self.planned.lock().unwrap_or_else(PoisonError::into_inner).insert(site.id, week.day());
        }
        let due = self.store.digests_due(now_ms, limits::DIGESTS_DUE_MAX, channels).await?;
        let mut by_site: BTreeMap<i64, Vec<Digest>> = BTreeMap::new();
        for digest in due {
            by_site.entry(digest.site.0).or_default().push(digest);
        }
        let deliveries = by_site.into_iter().map(|(id, digests)| {
            let site = sites.iter().find(|site| site.id.0 == id).cloned();
            self.deliver(site, digests, moment)
        });
        let done: Vec<_> =
            stream::iter(deliveries).buffer_unordered(limits::DIGESTS_READING_MAX).collect().await;
        done.into_iter().collect()
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

    /// Delivers the digests of a site.
    async fn deliver(
        &self,
        site: Option<Arc<Site>>,
        digests: Vec<Digest>,
        moment: Moment,
    ) -> Result<(), StoreError> {
        if *self.stopping.borrow() || !self.has_lease(moment.now_ms()).await? {
            return Ok(());
        }
        // The digests of a site are of one week, unless another server has planned the next one meanwhile.
        let mut reports: HashMap<i32, Result<DigestReport, String>> = HashMap::new();
        for digest in &digests {
            if let Some(site) = &site
                && !reports.contains_key(&digest.week)
            {
                reports.insert(digest.week, self.read(site, digest.week, moment.now_ms()).await);
            }
        }
        let sent = digests.iter().map(|digest| async {
            let report = reports.get(&digest.week).cloned();
            match report.unwrap_or_else(|| Err("the site is gone".to_owned())) {
                Ok(report) => self.send(digest, &report, moment).await,
                Err(error) => self.fail(digest, digest, error, moment.now_ms()).await,
            }
        });
        join_all(sent).await.into_iter().collect()
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

#[cfg(test)]
mod tests;
