//! The loader: one task that carries rows of the spool into the store.

use super::file::{self, Epoch, SpoolRow};
use super::{Record, Spool, SpoolError, payload, writer};
use fieldvitals_store::{LoadBatch, SiteId, Store, StoreError, ViewUpdate};
use rusqlite::Connection;
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::watch;

/// The first pause after a failure; each further one is twice as long, up to the bound.
const RETRY_FIRST: Duration = Duration::from_millis(50);

/// Carries beacons from the spool into the store.
pub struct Loader {
    spool: Spool,
    store: Arc<dyn Store>,
    reader: Reader,
    /// The epochs that are not loaded whole, oldest first; the last one is this server's own.
    epochs: VecDeque<Epoch>,
    /// Whether no epoch ends before the store's cursor.
    checked: bool,
    /// The last position of which every site's part is dealt with.
    read_up_to: u64,
    /// Of the first epoch, for each site: the store's cursor, where it is known.
    cursors: HashMap<SiteId, u64>,
    /// Of the first epoch, for each site: the last position whose beacons are counted.
    counted: HashMap<SiteId, u64>,
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
enum StepError {
    /// The store is away, or refuses; the same step is to be tried again.
    Store(StoreError),
    /// The spool cannot be read any more.
    Spool(String),
}

impl From<StoreError> for StepError {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

/// The beacons of one site in some rows, with their positions.
type Part = Vec<(u64, Vec<ViewUpdate>)>;

impl Loader {
    pub(super) fn new(spool: Spool, store: Arc<dyn Store>, reader: Connection, epochs: Vec<Epoch>) -> Self {
        let path = spool.shared.path.clone();
        let pause = Pause { next: RETRY_FIRST, longest: spool.shared.bounds.retry, failure: None };
        Self {
            spool,
            store,
            reader: Reader::new(path, reader),
            epochs: epochs.into(),
            checked: false,
            read_up_to: 0,
            cursors: HashMap::new(),
            counted: HashMap::new(),
            pause,
        }
    }

    /// Refuses a spool that ends before the store's cursor. A store that is away is asked later: that
    /// is what the spool is for.
    pub(super) async fn check(&mut self) -> Result<(), SpoolError> {
        for epoch in &self.epochs {
            match self.store.cursor_max(epoch.id).await {
                Ok(loaded) if loaded > epoch.last => {
                    let path = self.spool.shared.path.clone();
                    return Err(SpoolError::OlderThanStore { path, last: epoch.last, loaded });
                }
                Ok(_) => {}
                Err(StoreError::Database { passing: true, .. }) => return Ok(()),
                Err(error) => return Err(error.into()),
            }
        }
        self.checked = true;
        Ok(())
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
            () = deadline => tracing::warn!("the spool was not emptied in time; the next start goes on with it"),
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
                    tokio::select! {
                        () = self.spool.shared.appended.notified() => {}
                        // Looked at in the next round.
                        _ = stop.changed() => {}
                    }
                    self.gather(false, &mut stop).await;
                }
                Err(StepError::Store(error)) => self.pause.after(&error).await,
                Err(StepError::Spool(reason)) => return self.spool.shared.fail(reason),
            }
        }
    }

    /// Lets beacons gather while there are fewer than one load may take. A load of few costs nearly as
    /// much as one of many, and its syncs are in the way of the writer's.
    async fn gather(&self, stopping: bool, stop: &mut watch::Receiver<bool>) {
        let bounds = self.spool.shared.bounds;
        if stopping || self.spool.stats().waiting >= bounds.load_views as u64 {
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
                // The store is still away; asking for a cursor says how.
                for epoch in &self.epochs {
                    self.store.cursor_max(epoch.id).await?;
                }
            }
        }
        let Some(&epoch) = self.epochs.front() else { return Ok(Step::Empty) };
        let bytes_max = self.spool.shared.bounds.commit_bytes;
        let rows = self.reader.read(epoch.number, self.read_up_to, bytes_max).await?;
        if rows.is_empty() {
            return self.end_epoch(epoch).await;
        }
        let (parts, up_to, bytes) = self.parts(rows)?;
        for (site, part) in parts {
            self.load(epoch, site, part).await?;
        }
        self.read_up_to = up_to;
        // The writer may be closed already; then the next start skips what the cursors tell.
        let _ = self.spool.writer.send(writer::Message::Trim { up_to, bytes });
        Ok(Step::Done)
    }

    /// Splits as many rows by site as one load may take: at least one.
    fn parts(&self, rows: Vec<SpoolRow>) -> Result<(BTreeMap<SiteId, Part>, u64, u64), StepError> {
        let mut parts: BTreeMap<SiteId, Part> = BTreeMap::new();
        let (mut views, mut up_to, mut bytes) = (0, 0, 0);
        for row in rows {
            let records = payload::split(&row.payload).map_err(|reason| {
                let path = self.spool.shared.path.clone();
                let reason = format!("row {}: {reason}", row.position);
                StepError::Spool(SpoolError::Damaged { path, reason }.to_string())
            })?;
            views += records.iter().map(|record| record.updates.len()).sum::<usize>();
            if up_to > 0 && views > self.spool.shared.bounds.load_views {
                break;
            }
            up_to = row.position;
            bytes += file::row_bytes(row.payload.len());
            for Record { site, updates } in records {
                parts.entry(site).or_default().push((row.position, updates));
            }
        }
        Ok((parts, up_to, bytes))
    }

    /// Loads one site's part. After an error the same part comes again: what is counted already is left
    /// out then, and the store's cursor is asked whether the failed load took place after all.
    async fn load(&mut self, epoch: Epoch, site: SiteId, mut part: Part) -> Result<(), StepError> {
        let counted = self.counted.get(&site).copied().unwrap_or(0);
        part.retain(|&(position, _)| position > counted);
        let after = match self.cursors.get(&site) {
            Some(&after) => after,
            None => {
                let after = self.store.cursor(site, epoch.id).await?;
                self.cursors.insert(site, after);
                after
            }
        };
        let before = part.len();
        part.retain(|&(position, _)| position > after);
        let known = (before - part.len()) as u64;
        if known > 0 {
            let own = self.epochs.len() == 1;
            self.count(site, after, |stats| {
                *(if own { &mut stats.loaded } else { &mut stats.superseded }) += known;
                known
            });
        }
        let Some(up_to) = part.last().map(|&(position, _)| position) else { return Ok(()) };
        let beacons: Vec<Vec<ViewUpdate>> = part.into_iter().map(|(_, updates)| updates).collect();
        let n = beacons.len() as u64;
        match self.store.load(LoadBatch { site, spool: epoch.id, after, up_to, beacons }).await {
            Ok(report) => {
                self.cursors.insert(site, up_to);
                self.count(site, up_to, |stats| {
                    stats.loaded += report.loaded;
                    stats.superseded += report.superseded;
                    n
                });
                Ok(())
            }
            Err(StoreError::NoSuchSite) => {
                self.cursors.remove(&site);
                self.count(site, up_to, |stats| {
                    stats.discarded += n;
                    n
                });
                Ok(())
            }
            Err(error) => {
                // It may have been committed all the same; the store knows.
                self.cursors.remove(&site);
                Err(error.into())
            }
        }
    }

    /// Counts what became of a site's beacons up to a position; `count` says how many they are.
    fn count(&mut self, site: SiteId, up_to: u64, count: impl FnOnce(&mut super::Stats) -> u64) {
        let mut stats = self.spool.shared.stats();
        let n = count(&mut stats);
        stats.waiting = stats.waiting.saturating_sub(n);
        drop(stats);
        let counted = self.counted.entry(site).or_default();
        *counted = up_to.max(*counted);
    }

    /// Ends an epoch that has no rows left; the server's own stays.
    async fn end_epoch(&mut self, epoch: Epoch) -> Result<Step, StepError> {
        if self.epochs.len() <= 1 {
            return Ok(Step::Empty);
        }
        self.store.cursors_forget(epoch.id).await?;
        // The writer may be closed already; then the next start ends it.
        let _ = self.spool.writer.send(writer::Message::Forget(epoch.number));
        self.epochs.pop_front();
        self.cursors.clear();
        self.counted.clear();
        Ok(Step::Done)
    }
}

/// The loader's connection to the spool. It is used on threads that may wait for the disk.
struct Reader {
    path: PathBuf,
    connection: Arc<Mutex<Option<Connection>>>,
}

impl Reader {
    fn new(path: PathBuf, connection: Connection) -> Self {
        Self { path, connection: Arc::new(Mutex::new(Some(connection))) }
    }

    async fn read(&self, epoch: i64, after: u64, bytes_max: usize) -> Result<Vec<SpoolRow>, StepError> {
        let connection = Arc::clone(&self.connection);
        let reading = tokio::task::spawn_blocking(move || {
            let connection = connection.lock().unwrap_or_else(PoisonError::into_inner);
            connection.as_ref().map(|connection| file::read(connection, epoch, after, bytes_max))
        });
        match reading.await {
            Ok(Some(Ok(rows))) => Ok(rows),
            Ok(Some(Err(error))) => Err(StepError::Spool(file::open_error(&self.path, &error).to_string())),
            Ok(None) => Err(StepError::Spool("its reader is closed".to_owned())),
            Err(error) => Err(StepError::Spool(error.to_string())),
        }
    }

    async fn close(&self) {
        let connection = Arc::clone(&self.connection);
        let closing = tokio::task::spawn_blocking(move || {
            let connection = connection.lock().unwrap_or_else(PoisonError::into_inner).take();
            connection.and_then(|connection| connection.close().err().map(|(_, error)| error))
        });
        if let Ok(Some(error)) = closing.await {
            tracing::debug!(%error, "a connection to the spool was not closed cleanly");
        }
    }
}

/// The pauses between failed tries, and what is said about them.
struct Pause {
    next: Duration,
    longest: Duration,
    /// What was last said.
    failure: Option<String>,
}

impl Pause {
    /// Waits after a failure. The same failure is said once.
    async fn after(&mut self, error: &StoreError) {
        if matches!(error, StoreError::CursorMoved { .. }) {
            // Another loader was here: no failure, the cursor is read again at once.
            return;
        }
        let failure = error.to_string();
        if self.failure.as_ref() != Some(&failure) {
            tracing::warn!(error = failure, "beacons wait in the spool until the store takes them");
            self.failure = Some(failure);
        }
        tokio::time::sleep(self.next).await;
        self.next = self.next.saturating_mul(2).min(self.longest);
    }

    fn over(&mut self) {
        if self.failure.take().is_some() {
            tracing::info!("the store takes beacons again");
        }
        self.next = RETRY_FIRST.min(self.longest);
    }
}
