//! The spool: where an accepted beacon is durable before its `204`, until the loader has put it into
//! the store.
//!
//! A SQLite file (see [`file`] for its tables) with one row a group commit. [`writer`] takes what waits,
//! writes it as one row, and answers all of it after the fsync; then it takes what came meanwhile.
//! [`loader`] reads rows in order, hands each site's part to the store, and has the rows removed that
//! every site has. The loader's cursor lives in the store and moves in the transaction that loads, so a
//! crash anywhere repeats work, and neither loses nor doubles it. Where the store refuses one site's part,
//! that part stays in its row, the rest of the row goes, and the others go on ([`held`]).
//!
//! Each start opens an epoch with an id of its own. Rows of older epochs, left by a server that was
//! killed, are loaded first. An epoch whose end lies before the store's cursor is an older copy of the
//! file: what is missing cannot be told from what was loaded, so the file is refused.

mod crowded;
mod file;
mod held;
mod loader;
mod pace;
mod pause;
mod payload;
mod reader;
mod refusal;
mod reply;
mod rest;
mod settle;
mod writer;

pub use crowded::CrowdedNames;
pub use held::HeldSite;
pub use loader::Loader;
pub use refusal::{Cause, Refusal};
pub use rest::{Rest, rest};

use crowded::Crowds;
use fieldvitals_store::{Network, SiteId, Store, StoreError, ViewUpdate};
use held::Held;
use refusal::{Refusing, Room};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{Notify, mpsc, oneshot, watch};
use vitals::limits;

/// One accepted beacon.
#[derive(Clone, Debug, PartialEq)]
pub struct Record {
    /// The site that it is about.
    pub site: SiteId,
    /// The client network that sent it.
    pub network: Network,
    /// What it says about page views.
    pub updates: Vec<ViewUpdate>,
}

/// Why a spool cannot be used. Each message says what to do.
#[derive(Debug, thiserror::Error)]
pub enum SpoolError {
    /// Another server has it.
    #[error("{} is used by another running server; stop that one, or choose another --data-dir", path.display())]
    InUse {
        /// The file.
        path: PathBuf,
    },
    /// It was written by another release.
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
        /// Beacons that wait in the file, as far as can be told.
        beacons: u64,
    },
    /// The store has loaded more of it than it holds.
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
    /// Its content cannot be read.
    #[error(
        "{} is damaged ({reason}); move it away and start again: the beacons in it that were not loaded are lost \
         unless a SQLite expert recovers them",
        path.display()
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// It cannot be opened or created.
    #[error("{} cannot be opened: {reason}", path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// What the system said.
        reason: String,
    },
    /// The store cannot say how far it has loaded.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Why a beacon was not kept.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AppendError {
    /// As much is waiting, in memory or on disk, as may; later it will be taken again.
    #[error("the spool is full")]
    Full,
    /// The file takes nothing at the moment, such as on a disk that is full; later it will be taken again.
    #[error("the spool cannot be written at the moment: {0}")]
    Refused(String),
    /// The disk failed, or the spool is closed: no beacon is taken any more.
    #[error("the spool cannot be written: {0}")]
    Failed(String),
}

/// How much a spool may hold; see [`limits`] for the values a server runs with.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Bytes between [`Spool::append`] and its answer.
    pub in_flight_bytes: usize,
    /// Bytes of rows that wait for the loader.
    pub spool_bytes: u64,
    /// Beacons in one group commit.
    pub commit_beacons: usize,
    /// Bytes in one group commit.
    pub commit_bytes: usize,
    /// Page view updates in one group commit, and in one load.
    pub load_views: usize,
    /// Time for which beacons gather before a load that is not full.
    pub gather: Duration,
    /// Longest pause between two tries of the loader.
    pub retry: Duration,
    /// Longest pause between two tries to load a site that fails alone.
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
            load_views: limits::LOAD_VIEWS_MAX,
            gather: Duration::from_millis(limits::LOAD_GATHER_MS_MAX),
            retry: Duration::from_millis(limits::LOAD_RETRY_MS_MAX),
            site_retry: Duration::from_millis(limits::LOAD_SITE_RETRY_MS_MAX),
            drain: Duration::from_millis(limits::DRAIN_MS_MAX),
        }
    }
}

/// Where accepted beacons are. At every moment
/// `appended = loaded + superseded + discarded + waiting`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Beacons in the file: appended since the start (those being written included), or found then.
    pub appended: u64,
    /// Those that changed a page view in the store. Where the store's answer was lost with a
    /// connection, all of a batch that turns out to be in the store.
    pub loaded: u64,
    /// Those that said nothing which the store did not know better, or that a killed server had
    /// loaded already.
    pub superseded: u64,
    /// Those whose site was deleted meanwhile.
    pub discarded: u64,
    /// Those that wait for the loader.
    pub waiting: u64,
    /// Group commits since the start.
    pub commits: u64,
    /// Bytes of rows on disk, those included that are loaded and about to be removed.
    pub bytes: u64,
    /// Those of them that hold beacons of sites which the store refuses.
    pub held_bytes: u64,
}

/// Something that does not go at the moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trouble {
    /// Since when, UTC milliseconds.
    pub since_ms: i64,
    /// What was said last, and what to do.
    pub error: String,
}

/// The end of the spool that takes beacons. Cheap to clone.
#[derive(Clone)]
pub struct Spool {
    shared: Arc<Shared>,
    writer: mpsc::UnboundedSender<writer::Message>,
}

/// What writer, loader and takers share.
struct Shared {
    path: PathBuf,
    bounds: Bounds,
    in_flight_bytes: AtomicUsize,
    stats: Mutex<Stats>,
    held: Mutex<Held>,
    /// Set while beacons are refused.
    refusing: Mutex<Option<Refusing>>,
    crowds: Mutex<Crowds>,
    /// Set while loading fails.
    stalled: Mutex<Option<Trouble>>,
    failed: watch::Sender<Option<String>>,
    /// Tells the loader that there is a new row.
    appended: Notify,
}

impl Shared {
    fn stats(&self) -> MutexGuard<'_, Stats> {
        // Nothing that holds the lock can panic half-way.
        self.stats.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn crowds(&self) -> MutexGuard<'_, Crowds> {
        self.crowds.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn stalled(&self) -> MutexGuard<'_, Option<Trouble>> {
        self.stalled.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From now on nothing is acknowledged, and the server is told to end.
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
    /// Opens the spool file, which is created if it is missing, and begins a new epoch in it.
    ///
    /// The loader does nothing until it is run; beacons are taken from now on.
    ///
    /// # Errors
    /// With what is wrong with the file, and what to do.
    pub async fn open(path: &Path, store: Arc<dyn Store>) -> Result<(Self, Loader), SpoolError> {
        Self::open_with(path, store, Bounds::default()).await
    }

    /// Opens the spool file with bounds of one's own.
    ///
    /// # Errors
    /// As [`Spool::open`].
    pub async fn open_with(
        path: &Path,
        store: Arc<dyn Store>,
        bounds: Bounds,
    ) -> Result<(Self, Loader), SpoolError> {
        let file::Opened { lock, writer, reader, checkpointer, epochs, beacons, bytes } = file::open(path)?;
        let shared = Arc::new(Shared {
            path: path.to_owned(),
            bounds,
            in_flight_bytes: AtomicUsize::new(0),
            stats: Mutex::new(Stats { appended: beacons, waiting: beacons, bytes, ..Stats::default() }),
            held: Mutex::default(),
            refusing: Mutex::default(),
            crowds: Mutex::default(),
            stalled: Mutex::default(),
            failed: watch::Sender::new(None),
            appended: Notify::new(),
        });
        let (sender, receiver) = mpsc::unbounded_channel();
        let spool = Self { shared: Arc::clone(&shared), writer: sender };
        let last = epochs.last().map_or(0, |epoch| epoch.last);
        let current = epochs.last().map_or(0, |epoch| epoch.number);
        let mut loader = Loader::new(spool.clone(), store, reader, epochs);
        loader.check().await?;
        // A thread of its own: beacons that wait must not wait for loading and folding, which take whole
        // cores for tens of milliseconds.
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

    /// Keeps a beacon. `Ok` means that it is on disk, synced.
    ///
    /// A caller that is gone before the answer leaves its beacon in the queue: it is kept and counted.
    ///
    /// # Errors
    /// See [`AppendError`].
    pub async fn append(&self, record: Record) -> Result<(), AppendError> {
        if let Some(reason) = self.shared.failed.borrow().as_ref() {
            return Err(AppendError::Failed(reason.clone()));
        }
        let views = record.updates.len();
        let bytes = payload::encode_record(&record)
            .map_err(|error| AppendError::Failed(format!("a beacon cannot be encoded: {error}")))?;
        let held = InFlight::hold(&self.shared, bytes.len());
        match self.shared.room(record.site) {
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

    /// Refuses a beacon. The writer looks each second whether the refusal is over, also where no beacon comes.
    fn shed(&self, cause: Cause, reason: &str) -> AppendError {
        if self.shared.refuse(cause, reason, 1) {
            // A writer that has ended needs no waking.
            let _ = self.writer.send(writer::Message::Refused);
        }
        AppendError::Full
    }

    /// Where accepted beacons are now.
    #[must_use]
    pub fn stats(&self) -> Stats {
        *self.shared.stats()
    }

    /// The sites whose beacons wait because the store refuses them, and nothing else.
    #[must_use]
    pub fn held(&self) -> Vec<HeldSite> {
        self.shared.held().list()
    }

    /// Sites that have more names than places.
    #[must_use]
    pub fn crowded(&self) -> Vec<CrowdedNames> {
        self.shared.crowds().shown(crate::http::now_ms())
    }

    /// Why beacons are refused. Without beacons the writer tries each second whether that is over.
    #[must_use]
    pub fn refusal(&self) -> Option<Refusal> {
        self.shared.refusal()
    }

    /// Why nothing is loaded at the moment, where the store fails.
    #[must_use]
    pub fn stalled(&self) -> Option<Trouble> {
        self.shared.stalled().clone()
    }

    /// Whether nothing is taken any more because the file cannot be written or read.
    #[must_use]
    pub fn is_failed(&self) -> bool {
        self.shared.failed.borrow().is_some()
    }

    /// Waits until the spool fails, and says why. The server must end then: after a failed fsync nobody
    /// knows what is on disk, and only a new start reads it again.
    pub async fn failed(&self) -> String {
        let mut failed = self.shared.failed.subscribe();
        // The sender lives in `shared`, so waiting cannot fail.
        failed.wait_for(Option::is_some).await.ok().and_then(|reason| reason.clone()).unwrap_or_default()
    }

    /// Writes what was appended before, then closes the file; later appends fail.
    pub async fn close(&self) {
        let (reply, closed) = oneshot::channel();
        if self.writer.send(writer::Message::Close(reply)).is_ok() {
            // No answer means that the writer has ended already.
            let _ = closed.await;
        }
    }
}
