//! The spool: makes an accepted beacon durable before its `204`, and keeps it until the loader has stored it.
//!
//! The spool is a SQLite file (see [`file`] for its tables) with one row per group commit. [`writer`] writes all
//! queued beacons as one row and answers their callers after the fsync. [`loader`] reads rows in order, and [`pass`]
//! loads each site's part into the store. The writer removes a row once every site's part is loaded. The loader's cursor is in
//! the store and moves in the transaction of the load. So a crash at any point repeats work, but neither loses nor
//! duplicates beacons. If the store refuses one site's part, only that part stays in its row; loading continues with
//! the other sites ([`held`]).
//!
//! Each start opens an epoch with a new id. The loader first loads rows of older epochs, left by a killed server. If
//! an epoch ends before the store's cursor, the file is an older copy. The spool refuses such a file, because it
//! cannot distinguish missing from loaded beacons.

mod age;
mod backoff;
pub mod backup;
mod blocked;
mod examine;
mod file;
mod idle;
mod load_size;
mod loader;
mod overflow;
mod pass;
mod payload;
mod reader;
mod refusal;
mod removal;
mod reply;
mod writer;

pub use blocked::BlockedSite;
pub use examine::{Examined, examine};
pub use idle::{IdleSpool, lock_idle};
pub use loader::Loader;
pub use overflow::OverflowNames;
pub use refusal::{Cause, Refusal};

use crate::clock::now_ms;
use crate::limits;
use crate::telemetry::timing::Timing;
use age::Age;
use blocked::BlockedSites;
use fieldvitals_store::{Network, SiteId, Store, StoreError, ViewUpdate};
use overflow::Overflows;
use refusal::{Refusing, Room};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{Notify, mpsc, oneshot, watch};

/// Age of the oldest waiting beacon from which a site may have page views here, in milliseconds. Loading takes seconds.
const BACKLOG_AGE_MS: i64 = 60_000;

/// One accepted beacon.
#[derive(Clone, Debug, PartialEq)]
pub struct SpoolBeacon {
    /// The site of the page views.
    pub site: SiteId,
    /// The client network that sent it.
    pub network: Network,
    /// Updates of page views.
    pub updates: Vec<ViewUpdate>,
}

/// Errors of opening a spool. Each message says what to do.
#[derive(Debug, thiserror::Error)]
pub enum SpoolError {
    /// Another server uses the file.
    #[error("{} is used by another running server; stop that one, or choose another --data-dir", path.display())]
    InUse {
        /// The file.
        path: PathBuf,
    },
    /// Another release wrote the file.
    #[error(
        "{} holds {beacons} beacons in format {found}, this release reads format {known}; start the release that \
         wrote it once more until its spool is empty, then move the file away; moved earlier, these beacons are given \
         up",
        path.display()
    )]
    OtherVersion {
        /// The file.
        path: PathBuf,
        /// The format found.
        found: i64,
        /// The format that this release reads and writes.
        known: i64,
        /// Backlog of the file, in beacons; 0 if unknown.
        beacons: u64,
    },
    /// The store's cursor is past the end of the file.
    #[error(
        "{} is older than the store: the store has loaded up to position {loaded}, the file ends at {last}; it was \
         put back from a copy, and what is missing cannot be told; move the file away and start again",
        path.display()
    )]
    OlderThanStore {
        /// The file.
        path: PathBuf,
        /// Its last position.
        last: u64,
        /// The store's furthest cursor.
        loaded: u64,
    },
    /// The content of the file cannot be read.
    #[error(
        "{} is damaged ({reason}); move it away and start again: the beacons in it that were not loaded are lost \
         unless a SQLite expert recovers them",
        path.display()
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Description of the damage.
        reason: String,
    },
    /// The file cannot be opened or created.
    #[error("{} cannot be opened: {reason}", path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// The system's error.
        reason: String,
    },
    /// The store's cursor cannot be read.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Errors of [`Spool::append`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AppendError {
    /// The backlog in memory or on disk is at its limit. A retry can succeed later.
    #[error("the spool is full")]
    Full,
    /// The file cannot be written at the moment, for example on a full disk. A retry can succeed later.
    #[error("the spool cannot be written at the moment: {0}")]
    Refused(String),
    /// The disk failed, or the spool is closed. The spool accepts no more beacons.
    #[error("the spool cannot be written: {0}")]
    Failed(String),
}

/// Limits of a spool; see [`limits`] for a server's values.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Bytes in [`Spool::append`] calls without an answer yet.
    pub in_flight_bytes: usize,
    /// Bytes of rows in the backlog.
    pub spool_bytes: u64,
    /// Beacons in one group commit.
    pub commit_beacons: usize,
    /// Bytes in one group commit.
    pub commit_bytes: usize,
    /// Page view updates in one group commit, and in one load of all sites.
    pub load_views: usize,
    /// Bytes of rows in one load of all sites.
    pub load_bytes: usize,
    /// Time for which a load that is not full collects beacons.
    pub gather: Duration,
    /// Longest back-off of the loader.
    pub retry: Duration,
    /// Longest back-off of a single refused site.
    pub site_retry: Duration,
    /// Time to empty the spool when the server stops.
    pub drain: Duration,
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            in_flight_bytes: limits::IN_FLIGHT_BYTES_MAX,
            spool_bytes: limits::SPOOL_BYTES_MAX,
            commit_beacons: limits::COMMIT_BEACONS_MAX,
            commit_bytes: limits::COMMIT_BYTES_MAX,
            load_views: fieldvitals_store::limits::LOAD_VIEWS_MAX,
            load_bytes: vitals::limits::LOAD_BYTES_MAX,
            gather: Duration::from_millis(limits::LOAD_GATHER_MS_MAX),
            retry: Duration::from_millis(limits::LOAD_RETRY_MS_MAX),
            site_retry: Duration::from_millis(limits::LOAD_SITE_RETRY_MS_MAX),
            drain: Duration::from_millis(limits::DRAIN_MS_MAX),
        }
    }
}

/// Counts of accepted beacons. Invariant: `appended = loaded + superseded + discarded + waiting`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Beacons appended since the start (including commits in progress) or found in the file at the start.
    pub appended: u64,
    /// Beacons that changed a page view in the store. If a connection lost the store's answer: all beacons of a batch
    /// that the store has.
    pub loaded: u64,
    /// Beacons without news for the store: an equal or newer update was stored, or a killed server had loaded them.
    pub superseded: u64,
    /// Beacons of sites deleted since.
    pub discarded: u64,
    /// The backlog, in beacons.
    pub waiting: u64,
    /// Group commits since the start.
    pub commits: u64,
    /// Bytes of rows on disk, including loaded rows that are not removed yet.
    pub bytes: u64,
    /// Bytes of the rows that hold beacons of refused sites.
    pub held_bytes: u64,
}

/// A failure that persists at the moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trouble {
    /// Start of the failure, UTC milliseconds.
    pub since_ms: i64,
    /// The last error, and what to do.
    pub error: String,
}

/// Accepts beacons into the spool. Cheap to clone.
#[derive(Clone)]
pub struct Spool {
    shared: Arc<Shared>,
    writer: mpsc::UnboundedSender<writer::Message>,
}

/// State shared by the writer, the loader and all [`Spool`] handles.
struct Shared {
    path: PathBuf,
    bounds: Bounds,
    in_flight_bytes: AtomicUsize,
    stats: Mutex<Stats>,
    held: Mutex<BlockedSites>,
    /// Set while beacons are refused.
    refusing: Mutex<Option<Refusing>>,
    overflows: Mutex<Overflows>,
    /// Set while loading fails.
    stalled: Mutex<Option<Trouble>>,
    failed: watch::Sender<Option<String>>,
    /// Wakes the loader for a new row.
    appended: Notify,
    age: Mutex<Age>,
    /// Durations of group commits, with their fsync.
    commit_times: Timing,
    /// Durations of loads.
    load_times: Timing,
}

impl Shared {
    /// The last position of the file is `last`.
    fn new(path: &Path, bounds: Bounds, stats: Stats, last: u64) -> Self {
        Self {
            path: path.to_owned(),
            bounds,
            in_flight_bytes: AtomicUsize::new(0),
            stats: Mutex::new(stats),
            held: Mutex::default(),
            refusing: Mutex::default(),
            overflows: Mutex::default(),
            stalled: Mutex::default(),
            failed: watch::Sender::new(None),
            appended: Notify::new(),
            age: Mutex::new(Age::new(last, now_ms())),
            commit_times: Timing::default(),
            load_times: Timing::default(),
        }
    }

    fn stats(&self) -> MutexGuard<'_, Stats> {
        // No holder of the lock can panic with the value half changed.
        self.stats.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn held(&self) -> MutexGuard<'_, BlockedSites> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn overflows(&self) -> MutexGuard<'_, Overflows> {
        self.overflows.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn age(&self) -> MutexGuard<'_, Age> {
        self.age.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn stalled(&self) -> MutexGuard<'_, Option<Trouble>> {
        self.stalled.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Stops acknowledgments and makes the server end.
    fn fail(&self, reason: String) {
        tracing::error!(path = %self.path.display(), reason, "spool failed");
        self.failed.send_if_modified(|failed| {
            let first = failed.is_none();
            failed.get_or_insert(reason);
            first
        });
    }
}

/// Bytes counted as in flight until this is dropped.
struct InFlight {
    shared: Arc<Shared>,
    bytes: usize,
}

impl InFlight {
    fn hold(shared: &Arc<Shared>, bytes: usize) -> Option<Self> {
        let before = shared.in_flight_bytes.fetch_add(bytes, Ordering::Relaxed);
        let held = Self { shared: Arc::clone(shared), bytes };
        (before.saturating_add(bytes) <= shared.bounds.in_flight_bytes).then_some(held)
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.shared.in_flight_bytes.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

impl Spool {
    /// Opens the spool file, or creates it if missing, and begins a new epoch in it.
    ///
    /// The spool accepts beacons at once. Nothing is loaded before [`Loader::run`].
    ///
    /// # Errors
    /// The error says what is wrong with the file and what to do.
    pub async fn open(path: &Path, store: Arc<dyn Store>) -> Result<(Self, Loader), SpoolError> {
        Self::open_with(path, store, Bounds::default()).await
    }

    /// Opens the spool file with custom bounds.
    ///
    /// # Errors
    /// As [`Spool::open`].
    pub async fn open_with(
        path: &Path,
        store: Arc<dyn Store>,
        bounds: Bounds,
    ) -> Result<(Self, Loader), SpoolError> {
        let file::OpenSpool { lock, writer, reader, checkpointer, epochs, beacons, bytes } =
            file::open(path)?;
        let stats = Stats { appended: beacons, waiting: beacons, bytes, ..Stats::default() };
        let last = epochs.last().map_or(0, |epoch| epoch.last);
        let shared = Arc::new(Shared::new(path, bounds, stats, last));
        let (sender, receiver) = mpsc::unbounded_channel();
        let spool = Self { shared: Arc::clone(&shared), writer: sender };
        let current = epochs.last().map_or(0, |epoch| epoch.number);
        let mut loader = Loader::new(spool.clone(), store, reader, epochs);
        loader.check().await?;
        // The writer has its own thread. Loading and folding use whole cores for tens of milliseconds, and must not
        // delay commits.
        let failed = |error: std::io::Error| SpoolError::Open {
            path: path.to_owned(),
            reason: format!("its writer cannot be started: {error}"),
        };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().map_err(failed)?;
        let writing = writer::run(shared, lock, writer, checkpointer, current, last, receiver);
        let thread = std::thread::Builder::new().name("spool writer".to_owned());
        thread.spawn(move || runtime.block_on(writing)).map_err(failed)?;
        Ok((spool, loader))
    }

    /// Makes a beacon durable. `Ok` means that the beacon is on disk, synced.
    ///
    /// If the caller cancels before the answer, the beacon stays in the queue: the writer still keeps and counts it.
    ///
    /// # Errors
    /// See [`AppendError`].
    pub async fn append(&self, record: SpoolBeacon) -> Result<(), AppendError> {
        if let Some(reason) = self.shared.failed.borrow().as_ref() {
            return Err(AppendError::Failed(reason.clone()));
        }
        let views = record.updates.len();
        let bytes = payload::encode_record(&record)
            .map_err(|error| AppendError::Failed(format!("a beacon cannot be encoded: {error}")))?;
        let held = InFlight::hold(&self.shared, bytes.len());
        match self.shared.room(record.site, 0) {
            Room::Full => return Err(self.shed(Cause::Full, &self.shared.full_reason())),
            Room::SiteFull => {
                self.shared.held().shed(record.site);
                return Err(AppendError::Full);
            }
            Room::Free => {}
        }
        let held = held.ok_or_else(|| self.shed(Cause::InFlight, "more beacons come than the disk syncs"))?;
        let (waiting, answer) = reply::wait();
        let closed = || AppendError::Failed("the spool is closed".to_owned());
        self.writer
            .send(writer::Message::Append(writer::Append { bytes, views, waiting, _held: held }))
            .map_err(|_| closed())?;
        answer.await.unwrap_or_else(|_| Err(closed()))
    }

    /// Refuses a beacon. The writer checks each second whether the refusal is over, even without new beacons.
    fn shed(&self, cause: Cause, reason: &str) -> AppendError {
        if self.shared.refuse(cause, reason, 1) {
            // The send fails only if the writer has ended.
            let _ = self.writer.send(writer::Message::Refused);
        }
        AppendError::Full
    }

    /// Returns the counts of accepted beacons.
    #[must_use]
    pub fn stats(&self) -> Stats {
        *self.shared.stats()
    }

    /// Returns the age of the oldest beacon that is not loaded, in milliseconds; 0 without one. Beacons of an earlier start
    /// count from the start on, and held ones do not count.
    #[must_use]
    pub fn age_ms(&self) -> i64 {
        self.shared.age().ms(now_ms())
    }

    /// Whether page views of a site may wait here.
    #[must_use]
    pub fn is_behind(&self, site: SiteId) -> bool {
        self.age_ms() > BACKLOG_AGE_MS || self.held().iter().any(|held| held.site == site)
    }

    /// Returns the limit of the backlog, in bytes.
    #[must_use]
    pub fn bytes_max(&self) -> u64 {
        self.shared.bounds.spool_bytes
    }

    /// Returns the durations of group commits.
    #[must_use]
    pub fn commit_times(&self) -> &Timing {
        &self.shared.commit_times
    }

    /// Returns the durations of loads.
    #[must_use]
    pub fn load_times(&self) -> &Timing {
        &self.shared.load_times
    }

    /// Returns the sites whose beacons are held because the store refuses them.
    #[must_use]
    pub fn held(&self) -> Vec<BlockedSite> {
        self.shared.held().list()
    }

    /// Returns the sites whose dictionaries are full.
    #[must_use]
    pub fn crowded(&self) -> Vec<OverflowNames> {
        self.shared.overflows().shown(now_ms())
    }

    /// Returns the reason for refusing beacons. The writer checks each second whether the refusal is over, even
    /// without new beacons.
    #[must_use]
    pub fn refusal(&self) -> Option<Refusal> {
        self.shared.refusal()
    }

    /// Returns the store's failure while loading is stalled.
    #[must_use]
    pub fn stalled(&self) -> Option<Trouble> {
        self.shared.stalled().clone()
    }

    /// Returns whether the spool has failed for good, because its file cannot be written or read.
    #[must_use]
    pub fn is_failed(&self) -> bool {
        self.shared.failed.borrow().is_some()
    }

    /// Waits until the spool fails, and returns the reason. The server must then end: after a failed fsync the content
    /// of the disk is unknown, and only a new start reads it again.
    pub async fn failed(&self) -> String {
        let mut failed = self.shared.failed.subscribe();
        // The sender is in `shared`, so waiting cannot fail.
        failed.wait_for(Option::is_some).await.ok().and_then(|reason| reason.clone()).unwrap_or_default()
    }

    /// Writes all queued beacons, then closes the file. Later appends fail.
    pub async fn close(&self) {
        let (reply, closed) = oneshot::channel();
        if self.writer.send(writer::Message::Close(reply)).is_ok() {
            // No answer: the writer has ended already.
            let _ = closed.await;
        }
    }
}
