//! The loader: one task that loads rows of the spool into the store.

use super::backoff::Backoff;
use super::file::{Epoch, SpoolRow};
use super::load_size::LoadSize;
use super::reader::Reader;
use super::writer::Message;
use super::{Bounds, Spool, SpoolError};
use crate::clock::now_ms;
use fieldvitals_store::{SiteId, Store, StoreError};
use rusqlite::Connection;
use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::Arc;
use std::time::Instant;
use tokio::sync::watch;

/// Loads beacons from the spool into the store.
pub struct Loader {
    pub(super) spool: Spool,
    pub(super) store: Arc<dyn Store>,
    reader: Reader,
    /// Epochs that are not fully loaded, oldest first; the last one is the current epoch.
    pub(super) epochs: VecDeque<Epoch>,
    /// Set once the loader knows that no epoch ends before the store's cursor.
    checked: bool,
    /// The loader has processed all rows up to this position, except parts of held sites.
    pub(super) read_up_to: u64,
    /// The store's cursor by epoch number and site, if known.
    pub(super) cursors: HashMap<(i64, SiteId), u64>,
    /// The last position whose beacons are counted, by site.
    pub(super) counted: HashMap<SiteId, u64>,
    /// Set after a retry of a held site, so that the next step loads other sites.
    others_first: bool,
    /// Time of the next attempt to forget an epoch whose cursors were unreachable.
    forget_due: Instant,
    pub(super) load_size: LoadSize,
    backoff: Backoff,
}

/// Result of a step.
enum Step {
    /// There may be more to load.
    Done,
    /// Nothing is left to load.
    Empty,
}

/// Errors of a step.
pub(super) enum StepError {
    /// The store is unreachable or fails; the loader retries the same step.
    Store(StoreError),
    /// The store refuses one site's part.
    Site(StoreError),
    /// The batch was too large; the loader retries the step with a smaller batch.
    TooMuch,
    /// The spool cannot be read any more.
    Spool(String),
}

impl From<StoreError> for StepError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Database { transient: false, .. } | StoreError::Node { .. } => Self::Site(error),
            error => Self::Store(error),
        }
    }
}

impl Loader {
    pub(super) fn new(spool: Spool, store: Arc<dyn Store>, reader: Connection, epochs: Vec<Epoch>) -> Self {
        let path = spool.shared.path.clone();
        let backoff = Backoff::new(Arc::clone(&spool.shared));
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
            load_size: LoadSize::default(),
            backoff,
        }
    }

    /// Refuses a spool with an earlier epoch that ends before the store's cursor. Returns `Ok` and leaves `checked`
    /// unset if the store is unreachable; the loader then checks later, because the spool must accept beacons during
    /// an outage. The current epoch cannot be a copy, so it is not checked.
    pub(super) async fn check(&mut self) -> Result<(), SpoolError> {
        for epoch in self.epochs.iter().rev().skip(1) {
            match self.store.cursor_max(epoch.id).await {
                Ok(loaded) if loaded > epoch.last => return Err(self.older(epoch.last, loaded)),
                // The cursors of some sites are unreachable: `load` compares each site's cursor.
                Ok(_) | Err(StoreError::Node { .. }) => {}
                Err(StoreError::Database { transient: true, .. } | StoreError::TooSlow { .. }) => {
                    return Ok(());
                }
                Err(error) => return Err(error.into()),
            }
        }
        self.checked = true;
        Ok(())
    }

    pub(super) fn older(&self, last: u64, loaded: u64) -> SpoolError {
        SpoolError::OlderThanStore { path: self.spool.shared.path.clone(), last, loaded }
    }

    /// Loads until the stop signal (`true`, or a dropped sender), then drains the spool with a timeout. The next start
    /// loads the remaining backlog.
    ///
    /// If the spool cannot be read any more, [`Spool::failed`] returns the reason.
    pub async fn run(mut self, stop: watch::Receiver<bool>) {
        let spool = self.spool.clone();
        let mut stopped = stop.clone();
        let deadline = async move {
            // An error means that the sender was dropped, which is a stop signal too.
            let _ = stopped.wait_for(|&stop| stop).await;
            tokio::time::sleep(spool.shared.bounds.drain).await;
        };
        tokio::select! {
            () = self.work(stop) => {}
            () = deadline => {
                tracing::warn!("the spool was not emptied in time; the next start goes on with it");
            }
        }
        // Waits for the reader: SQLite removes the log when the last connection closes.
        self.reader.close().await;
    }

    async fn work(&mut self, mut stop: watch::Receiver<bool>) {
        loop {
            let began = Instant::now();
            // Reads the stop signal before the spool, so that the last step sees all beacons appended before the stop.
            let stopping = *stop.borrow() || stop.has_changed().is_err();
            match self.step().await {
                Ok(Step::Done) => {
                    self.backoff.over();
                    self.gather(began, stopping, &mut stop).await;
                }
                Ok(Step::Empty) if stopping => return,
                Ok(Step::Empty) => {
                    self.backoff.over();
                    let due = self.spool.shared.held().next(self.read_up_to).map(|(_, due)| due.into());
                    tokio::select! {
                        () = self.spool.shared.appended.notified() => {}
                        () = tokio::time::sleep_until(due.unwrap_or_else(far)), if due.is_some() => continue,
                        // The next iteration reads the signal.
                        _ = stop.changed() => {}
                    }
                    self.gather(Instant::now(), false, &mut stop).await;
                }
                Err(StepError::Store(error) | StepError::Site(error)) => self.backoff.after(&error).await,
                Err(StepError::TooMuch) => {}
                Err(StepError::Spool(reason)) => {
                    self.spool.shared.fail(reason);
                    return;
                }
            }
        }
    }

    /// Waits for more beacons if the backlog is smaller than one load. A small load costs nearly as much as a large
    /// one, and its syncs delay the writer's. Beacons gather since `began`: the wait does not add to the time of a load.
    async fn gather(&self, began: Instant, stopping: bool, stop: &mut watch::Receiver<bool>) {
        let bounds = self.spool.shared.bounds;
        let (held, due) = {
            let held = self.spool.shared.held();
            (held.beacons(), held.next(self.read_up_to).is_some_and(|(_, due)| due <= Instant::now()))
        };
        // Ended epochs get no more beacons.
        let ended = self.epochs.iter().rev().nth(1).is_some_and(|epoch| self.read_up_to < epoch.last);
        if stopping
            || ended
            || due
            || self.spool.stats().waiting.saturating_sub(held) >= bounds.load_views as u64
        {
            return;
        }
        tokio::select! {
            () = tokio::time::sleep_until((began + bounds.gather).into()) => {}
            // The next iteration reads the signal.
            _ = stop.changed() => {}
        }
    }

    /// Retries a held site, loads the next rows, or ends an epoch.
    async fn step(&mut self) -> Result<Step, StepError> {
        if !self.checked {
            self.check().await.map_err(|error| match error {
                SpoolError::Store(error) => StepError::Store(error),
                other => StepError::Spool(other.to_string()),
            })?;
            if !self.checked {
                // The store was unreachable. The query returns its current error, or succeeds if the store is
                // reachable again.
                for epoch in &self.epochs {
                    self.store.cursor_max(epoch.id).await?;
                }
                return Ok(Step::Done);
            }
        }
        // `due` skips sites without unloaded beacons before `read_up_to`: the rows of their refusal are to be loaded
        // again.
        let due = self.spool.shared.held().due(self.read_up_to, Instant::now());
        let is_due = due.is_some();
        match due {
            Some((after, sites)) if !self.others_first => {
                self.others_first = true;
                self.try_again(after, sites).await
            }
            _ => {
                self.others_first = false;
                match self.load_next().await? {
                    Step::Empty if is_due => Ok(Step::Done),
                    step => Ok(step),
                }
            }
        }
    }

    async fn read(&self, after: u64) -> Result<Vec<SpoolRow>, StepError> {
        let Bounds { load_views, load_bytes, .. } = self.spool.shared.bounds;
        self.reader.read(after, load_views, load_bytes).await.map_err(StepError::Spool)
    }

    /// Loads the next rows without the parts of held sites, or ends an epoch.
    async fn load_next(&mut self) -> Result<Step, StepError> {
        let rows = self.read(self.read_up_to).await?;
        let Some(&own) = self.epochs.back() else { return Ok(Step::Empty) };
        // Epochs before the first row have no rows left, so they count as read to their end.
        let at = rows.first().map_or(own.number, |row| row.epoch);
        let before = self.epochs.iter().filter(|epoch| epoch.number < at).map(|epoch| epoch.last).max();
        self.read_up_to = self.read_up_to.max(before.unwrap_or(0));
        self.spool.shared.age().loaded(self.read_up_to);
        if let Some(epoch) = self.read_to_its_end().filter(|_| self.forget_due <= Instant::now()) {
            match self.end_epoch(epoch).await {
                // Loading continues; a later step forgets the epoch.
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
        self.load(epoch, &rows, parts).await?;
        self.request_removal(&rows).await?;
        Ok(Step::Done)
    }

    /// Loads part of the backlog of held sites that are processed up to a position. Sites that were refused together are
    /// retried together.
    async fn try_again(&mut self, after: u64, mut sites: BTreeSet<SiteId>) -> Result<Step, StepError> {
        let mut rows = self.read(after).await?;
        rows.retain(|row| row.position <= self.read_up_to);
        let epoch = rows.first().and_then(|row| self.epochs.iter().find(|epoch| epoch.number == row.epoch));
        let Some(&epoch) = epoch else {
            sites.into_iter().for_each(|site| self.release(site));
            return Ok(Step::Done);
        };
        let (parts, rows) = self.parts(rows, |site| sites.contains(&site))?;
        for refused in self.load(epoch, &rows, parts).await? {
            sites.remove(&refused);
        }
        if sites.is_empty() {
            return Ok(Step::Done);
        }
        let (removal, _) = self.removal(&rows, after, |site| !sites.contains(&site))?;
        {
            let mut stats = self.spool.shared.stats();
            stats.held_bytes = stats.held_bytes.saturating_sub(removal.bytes);
        }
        self.tell(removal).await;
        let up_to = rows.last().map_or(after, |row| row.position);
        for site in sites {
            self.spool.shared.held().move_on(site, up_to);
            if up_to >= self.read_up_to {
                self.release(site);
            }
        }
        Ok(Step::Done)
    }

    /// Holds back a site that the store refuses. Logs a repeated refusal once.
    pub(super) fn hold(&self, site: SiteId, error: &StoreError, began: Instant) {
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

    /// Returns the first epoch if all of its rows are loaded, held parts included. Never returns the current epoch.
    fn read_to_its_end(&self) -> Option<Epoch> {
        let first = self.epochs.front().filter(|_| self.epochs.len() > 1)?;
        (first.last <= self.read_up_to.min(self.spool.shared.held().processed_up_to())).then_some(*first)
    }

    async fn end_epoch(&mut self, epoch: Epoch) -> Result<(), StepError> {
        self.store.cursors_forget(epoch.id).await.map_err(|error| match error {
            StoreError::Node { .. } => StepError::Site(error),
            error => StepError::Store(error),
        })?;
        // Sending fails if the writer has ended; then the next start ends the epoch.
        let _ = self.spool.writer.send(Message::Forget(epoch.number));
        self.epochs.pop_front();
        self.cursors.retain(|&(number, _), _| number != epoch.number);
        Ok(())
    }
}

/// Placeholder for a disabled `select!` branch.
fn far() -> tokio::time::Instant {
    tokio::time::Instant::now()
}
