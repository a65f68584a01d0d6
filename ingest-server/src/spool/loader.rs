//! The loader: one task that carries rows of the spool into the store.

use super::file::{Epoch, SpoolRow};
use super::pace::Pace;
use super::pause::Pause;
use super::reader::Reader;
use super::writer::Message;
use super::{Spool, SpoolError};
use crate::http::now_ms;
use fieldvitals_store::{Crowded, LoadBatch, Network, Senders, SiteId, Store, StoreError, ViewUpdate};
use rusqlite::Connection;
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Instant;
use tokio::sync::watch;

/// Carries beacons from the spool into the store.
pub struct Loader {
    pub(super) spool: Spool,
    store: Arc<dyn Store>,
    reader: Reader,
    /// The epochs that are not loaded whole, oldest first; the last one is this server's own.
    pub(super) epochs: VecDeque<Epoch>,
    /// Whether no epoch ends before the store's cursor.
    checked: bool,
    /// The last position of which the part of every site is dealt with that is not held.
    pub(super) read_up_to: u64,
    /// For each epoch (its number) and site: the store's cursor, where it is known.
    cursors: HashMap<(i64, SiteId), u64>,
    /// For each site: the last position whose beacons are counted.
    pub(super) counted: HashMap<SiteId, u64>,
    /// Whether a held site was tried last, so that it is the others' turn.
    others_first: bool,
    /// When an epoch may be forgotten whose cursors were out of reach.
    forget_due: Instant,
    pace: Pace,
    pause: Pause,
}

/// What a step came to.
enum Step {
    /// There may be more.
    Done,
    /// Nothing is left.
    Empty,
}

/// Why a step did not succeed.
pub(super) enum StepError {
    /// The store is away; the same step is to be tried again.
    Store(StoreError),
    /// The store refuses what it was given of one site.
    Site(StoreError),
    /// It was too much at a time; the same step is to be tried again with less.
    TooMuch,
    /// The spool cannot be read any more.
    Spool(String),
}

impl From<StoreError> for StepError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Database { passing: false, .. } | StoreError::Node { .. } => Self::Site(error),
            error => Self::Store(error),
        }
    }
}

/// The beacons of one site in some rows, with their positions and the client networks that sent them.
pub(super) type Part = Vec<(u64, (Network, Vec<ViewUpdate>))>;

impl Loader {
    pub(super) fn new(spool: Spool, store: Arc<dyn Store>, reader: Connection, epochs: Vec<Epoch>) -> Self {
        let path = spool.shared.path.clone();
        let pause = Pause::new(Arc::clone(&spool.shared));
        Self {
            spool,
            store,
            reader: Reader::new(path, reader),
            epochs: epochs.into(),
            checked: false,
            read_up_to: 0,
            cursors: HashMap::new(),
            counted: HashMap::new(),
            others_first: false,
            forget_due: Instant::now(),
            pace: Pace::default(),
            pause,
        }
    }

    /// Refuses a spool that ends before the store's cursor. A store that is away is asked later: that
    /// is what the spool is for. The epoch that this server has begun is no copy, and goes on meanwhile.
    pub(super) async fn check(&mut self) -> Result<(), SpoolError> {
        for epoch in self.epochs.iter().rev().skip(1) {
            match self.store.cursor_max(epoch.id).await {
                Ok(loaded) if loaded > epoch.last => return Err(self.older(epoch.last, loaded)),
                // Cursors of some sites are out of reach: each site's is compared when it is read.
                Ok(_) | Err(StoreError::Node { .. }) => {}
                Err(StoreError::Database { passing: true, .. } | StoreError::TooSlow { .. }) => return Ok(()),
                Err(error) => return Err(error.into()),
            }
        }
        self.checked = true;
        Ok(())
    }

    fn older(&self, last: u64, loaded: u64) -> SpoolError {
        SpoolError::OlderThanStore { path: self.spool.shared.path.clone(), last, loaded }
    }

    /// Loads until it is told to stop (`true`, or the sender is gone); then what is still there, as far
    /// as the time for it goes. What remains is loaded at the next start.
    ///
    /// Where the spool cannot be read any more, [`Spool::failed`] says so.
    pub async fn run(mut self, stop: watch::Receiver<bool>) {
        let spool = self.spool.clone();
        let mut stopped = stop.clone();
        let deadline = async move {
            // An error means that the sender is gone, which is a request to stop too.
            let _ = stopped.wait_for(|&stop| stop).await;
            tokio::time::sleep(spool.shared.bounds.drain).await;
        };
        tokio::select! {
            () = self.work(stop) => {}
            () = deadline => {
                tracing::warn!("the spool was not emptied in time; the next start goes on with it");
            }
        }
        // Waited for: the spool's log goes with the last connection that is closed.
        self.reader.close().await;
    }

    async fn work(&mut self, mut stop: watch::Receiver<bool>) {
        loop {
            // Looked at before the spool is: what was appended before the stop must be seen.
            let stopping = *stop.borrow() || stop.has_changed().is_err();
            match self.step().await {
                Ok(Step::Done) => {
                    self.pause.over();
                    self.gather(stopping, &mut stop).await;
                }
                Ok(Step::Empty) if stopping => return,
                Ok(Step::Empty) => {
                    self.pause.over();
                    let due = self.spool.shared.held().next(self.read_up_to).map(|(_, due)| due.into());
                    tokio::select! {
                        () = self.spool.shared.appended.notified() => {}
                        () = tokio::time::sleep_until(due.unwrap_or_else(far)), if due.is_some() => continue,
                        // Looked at in the next round.
                        _ = stop.changed() => {}
                    }
                    self.gather(false, &mut stop).await;
                }
                Err(StepError::Store(error) | StepError::Site(error)) => self.pause.after(&error).await,
                Err(StepError::TooMuch) => {}
                Err(StepError::Spool(reason)) => {
                    self.spool.shared.fail(reason);
                    return;
                }
            }
        }
    }

    /// Lets beacons gather while there are fewer than one load may take. A load of few costs nearly as
    /// much as one of many, and its syncs are in the way of the writer's.
    async fn gather(&self, stopping: bool, stop: &mut watch::Receiver<bool>) {
        let bounds = self.spool.shared.bounds;
        let (held, due) = {
            let held = self.spool.shared.held();
            (held.beacons(), held.next(self.read_up_to).is_some_and(|(_, due)| due <= Instant::now()))
        };
        // Epochs that have ended get no more.
        let ended = self.epochs.iter().rev().nth(1).is_some_and(|epoch| self.read_up_to < epoch.last);
        if stopping
            || ended
            || due
            || self.spool.stats().waiting.saturating_sub(held) >= bounds.load_views as u64
        {
            return;
        }
        tokio::select! {
            () = tokio::time::sleep(bounds.gather) => {}
            // Looked at in the next round.
            _ = stop.changed() => {}
        }
    }

    /// Loads some rows, or ends an epoch.
    async fn step(&mut self) -> Result<Step, StepError> {
        if !self.checked {
            self.check().await.map_err(|error| match error {
                SpoolError::Store(error) => StepError::Store(error),
                other => StepError::Spool(other.to_string()),
            })?;
            if !self.checked {
                // The store is still away; asking for a cursor says how, unless it is there again.
                for epoch in &self.epochs {
                    self.store.cursor_max(epoch.id).await?;
                }
                return Ok(Step::Done);
            }
        }
        // One that was refused among rows that are to be loaded again has nothing before them.
        let due = self.spool.shared.held().next(self.read_up_to).filter(|&(_, due)| due <= Instant::now());
        match due {
            Some((site, _)) if !self.others_first => {
                self.others_first = true;
                self.try_again(site).await
            }
            _ => {
                self.others_first = false;
                match self.load_next().await? {
                    Step::Empty if due.is_some() => Ok(Step::Done),
                    step => Ok(step),
                }
            }
        }
    }

    async fn read(&self, after: u64) -> Result<Vec<SpoolRow>, StepError> {
        let bytes_max = self.spool.shared.bounds.commit_bytes;
        self.reader.read(after, bytes_max).await.map_err(StepError::Spool)
    }

    /// Loads the next rows, but for what they have of sites that are held; or ends an epoch.
    async fn load_next(&mut self) -> Result<Step, StepError> {
        let rows = self.read(self.read_up_to).await?;
        let Some(&own) = self.epochs.back() else { return Ok(Step::Empty) };
        // An epoch without rows is read to its end, and so are those before the rows'.
        let at = rows.first().map_or(own.number, |row| row.epoch);
        let before = self.epochs.iter().filter(|epoch| epoch.number < at).map(|epoch| epoch.last).max();
        self.read_up_to = self.read_up_to.max(before.unwrap_or(0));
        if let Some(epoch) = self.read_to_its_end().filter(|_| self.forget_due <= Instant::now()) {
            match self.end_epoch(epoch).await {
                // The rest goes on meanwhile.
                Err(StepError::Site(error)) => {
                    tracing::debug!(%error, "an epoch of the spool is loaded, and forgotten later");
                    self.forget_due = Instant::now() + self.spool.shared.bounds.site_retry;
                }
                done => {
                    done?;
                    return Ok(Step::Done);
                }
            }
        }
        let Some(epoch) = self.epochs.iter().find(|epoch| epoch.number == at).copied() else {
            return Err(self.damaged(&format!("its rows are of epoch {at}, which is not there")));
        };
        if rows.is_empty() {
            return Ok(Step::Empty);
        }
        let held = self.spool.shared.held().sites();
        let (parts, rows) = self.parts(rows, |site| !held.contains(&site))?;
        for (site, part) in parts {
            let began = Instant::now();
            match self.load(epoch, site, part).await {
                Err(StepError::Site(error)) => self.hold(site, &error, began),
                done => done?,
            }
        }
        self.settle(&rows).await?;
        Ok(Step::Done)
    }

    /// Loads some of what waits of a site that is held.
    async fn try_again(&mut self, site: SiteId) -> Result<Step, StepError> {
        let began = Instant::now();
        let after = self.spool.shared.held().after(site);
        let mut rows = self.read(after).await?;
        rows.retain(|row| row.position <= self.read_up_to);
        let epoch = rows.first().and_then(|row| self.epochs.iter().find(|epoch| epoch.number == row.epoch));
        let Some(&epoch) = epoch else {
            self.release(site);
            return Ok(Step::Done);
        };
        let (mut parts, rows) = self.parts(rows, |other| other == site)?;
        let part = parts.remove(&site).unwrap_or_default();
        match self.load(epoch, site, part).await {
            Err(StepError::Site(error)) => {
                self.hold(site, &error, began);
                return Ok(Step::Done);
            }
            done => done?,
        }
        let (settled, _) = self.settled(&rows, after, |other| other != site)?;
        {
            let mut stats = self.spool.shared.stats();
            stats.held_bytes = stats.held_bytes.saturating_sub(settled.bytes);
        }
        self.tell(settled).await;
        let up_to = rows.last().map_or(after, |row| row.position);
        self.spool.shared.held().move_on(site, up_to);
        if up_to >= self.read_up_to {
            self.release(site);
        }
        Ok(Step::Done)
    }

    /// Holds a site back that the store refuses; the same refusal is said once.
    fn hold(&self, site: SiteId, error: &StoreError, began: Instant) {
        let error = error.to_string();
        let longest = self.spool.shared.bounds.site_retry;
        let when = (began, longest, now_ms());
        if self.spool.shared.held().hold(site, self.read_up_to, error.clone(), when) {
            tracing::error!(
                site = site.0,
                error,
                "a site's beacons wait in the spool: the store refuses them"
            );
        }
    }

    fn release(&self, site: SiteId) {
        self.spool.shared.held().release(site);
    }

    /// Loads one site's part. After an error the same part comes again: what is counted already is left
    /// out then, and the store's cursor is asked whether the failed load took place after all.
    async fn load(&mut self, epoch: Epoch, site: SiteId, mut part: Part) -> Result<(), StepError> {
        let counted = self.counted.get(&site).copied().unwrap_or(0);
        part.retain(|&(position, _)| position > counted);
        let key = (epoch.number, site);
        let after = match self.cursors.get(&key) {
            Some(&after) => after,
            None => {
                let after = self.store.cursor(site, epoch.id).await?;
                let is_own = self.epochs.back().is_some_and(|own| own.number == epoch.number);
                if !is_own && after > epoch.last {
                    return Err(StepError::Spool(self.older(epoch.last, after).to_string()));
                }
                self.cursors.insert(key, after);
                after
            }
        };
        let before = part.len();
        part.retain(|&(position, _)| position > after);
        let known = (before - part.len()) as u64;
        if known > 0 {
            let own = self.epochs.back().is_some_and(|own| own.number == epoch.number);
            self.count(site, after, |stats| {
                *(if own { &mut stats.loaded } else { &mut stats.superseded }) += known;
                known
            });
        }
        let (mut part, mut after) = (part.into(), after);
        loop {
            let some = self.pace.take(site, &mut part);
            let Some(&(up_to, _)) = some.last() else { return Ok(()) };
            self.load_some((epoch, site), after, some).await?;
            after = up_to;
        }
    }

    /// Loads rows of one site that one load may take.
    async fn load_some(
        &mut self,
        (epoch, site): (Epoch, SiteId),
        after: u64,
        part: Part,
    ) -> Result<(), StepError> {
        let (Some(&(first, _)), Some(&(up_to, _))) = (part.first(), part.last()) else { return Ok(()) };
        let key = (epoch.number, site);
        let (networks, beacons): (Vec<Network>, Vec<Vec<ViewUpdate>>) =
            part.into_iter().map(|(_, beacon)| beacon).unzip();
        let n = beacons.len();
        let senders = Senders::Networks(networks);
        let batch = LoadBatch { site, spool: epoch.id, after, up_to, beacons, senders };
        match self.store.load(batch).await {
            Ok(report) => {
                self.cursors.insert(key, up_to);
                self.pace.faster(site, self.spool.shared.bounds.load_views);
                self.spool.shared.held().loaded(site);
                self.note_crowded(site, &report.crowded);
                self.count(site, up_to, |stats| {
                    stats.loaded += report.loaded;
                    stats.superseded += report.superseded;
                    n as u64
                });
                Ok(())
            }
            Err(StoreError::NoSuchSite) => {
                self.cursors.remove(&key);
                self.count(site, up_to, |stats| {
                    stats.discarded += n as u64;
                    n as u64
                });
                Ok(())
            }
            Err(error) => {
                // It may have been committed all the same; the store knows.
                self.cursors.remove(&key);
                match error {
                    StoreError::TooSlow { answered, .. } if first < up_to => {
                        let beacons = self.pace.slower(site, n);
                        tracing::warn!(site = site.0, %error, beacons, "a load is tried again with fewer beacons");
                        // Where there was no answer, the database may be away.
                        Err(if answered { StepError::TooMuch } else { StepError::Store(error) })
                    }
                    StoreError::TooSlow { answered: true, .. } => Err(StepError::Site(error)),
                    error => Err(error.into()),
                }
            }
        }
    }

    /// Takes note of names that have no place.
    fn note_crowded(&self, site: SiteId, crowded: &Crowded) {
        if *crowded == Crowded::default() {
            return;
        }
        for names in self.spool.shared.crowds().note(site, crowded, now_ms()) {
            tracing::warn!(
                site = site.0,
                kind = names.kind(),
                "the site has more names than it has places; page views of further ones count under (other). Made-up \
                 names: `fieldvitals site erase`. URLs with ids in them: `fieldvitals site update --route`"
            );
        }
    }

    /// Counts what became of a site's beacons up to a position; `count` says how many they are.
    fn count(&mut self, site: SiteId, up_to: u64, count: impl FnOnce(&mut super::Stats) -> u64) {
        let mut stats = self.spool.shared.stats();
        let n = count(&mut stats);
        stats.waiting = stats.waiting.saturating_sub(n);
        drop(stats);
        self.spool.shared.held().take(site, n);
        let counted = self.counted.entry(site).or_default();
        *counted = up_to.max(*counted);
    }

    /// The first epoch, once it is read to its end and nothing waits in it; the server's own goes on.
    fn read_to_its_end(&self) -> Option<Epoch> {
        let first = self.epochs.front().filter(|_| self.epochs.len() > 1)?;
        (first.last <= self.read_up_to.min(self.spool.shared.held().settled())).then_some(*first)
    }

    async fn end_epoch(&mut self, epoch: Epoch) -> Result<(), StepError> {
        self.store.cursors_forget(epoch.id).await.map_err(|error| match error {
            StoreError::Node { .. } => StepError::Site(error),
            error => StepError::Store(error),
        })?;
        // The writer may be closed already; then the next start ends it.
        let _ = self.spool.writer.send(Message::Forget(epoch.number));
        self.epochs.pop_front();
        self.cursors.retain(|&(number, _), _| number != epoch.number);
        Ok(())
    }
}

/// A moment that is not waited for.
fn far() -> tokio::time::Instant {
    tokio::time::Instant::now()
}
