//! One load, on threads of the priority of now.

use super::haste::{self, Haste, Left};
use fieldvitals_store::priority::Priority;
use fieldvitals_store::{LoadBatch, LoadReport, Store, StoreError};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::runtime::Handle;
use tokio::sync::{oneshot, watch};
use tokio::task::JoinSet;
use tokio::time::timeout;

/// Has batches loaded.
pub(super) struct Loads {
    store: Arc<dyn Store>,
    haste: Haste,
    /// The threads of idle priority, where there are any, and what tells of a stop.
    idle: Option<(Handle, watch::Receiver<bool>)>,
}

impl Loads {
    /// All at low priority.
    pub(super) fn new(store: Arc<dyn Store>) -> Self {
        Self { store, haste: Haste::new(Instant::now()), idle: None }
    }

    /// From now on at idle priority too, until a stop.
    pub(super) fn idle_on(&mut self, idle: Handle, stop: watch::Receiver<bool>) {
        self.idle = self.store.loads_itself().then_some((idle, stop));
    }

    /// `None` where it was given up, as idle priority did not get it done. It may have been committed all the same, or
    /// be yet; the store knows, and refuses a second one.
    pub(super) async fn load(&mut self, batch: LoadBatch) -> Option<Result<LoadReport, StoreError>> {
        let Some(idle) = self.idle() else { return Some(self.store.load(batch).await) };
        let store = Arc::clone(&self.store);
        let loaded = in_time(idle, async move { store.load_idle(batch).await }).await;
        self.unless_slow(loaded)
    }

    /// Does what comes before loads; `None` as there.
    pub(super) async fn prepare<T: Send + 'static>(
        &mut self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Option<T> {
        let Some(idle) = self.idle() else { return Some(work()) };
        let done = in_time(idle, async move { work() }).await;
        self.unless_slow(done)
    }

    /// The threads of idle priority, if it is that now.
    fn idle(&self) -> Option<&Handle> {
        let (idle, stop) = self.idle.as_ref()?;
        // A sender that is gone is a stop too.
        let stops = *stop.borrow() || stop.has_changed().is_err();
        (!stops && self.haste.priority() == Priority::Idle).then_some(idle)
    }

    fn unless_slow<T>(&mut self, done: Option<T>) -> Option<T> {
        if done.is_none() {
            let low_for = self.haste.slow(Instant::now());
            tell(low_for, "a load at idle priority took too long");
        }
        done
    }

    /// After loads, and where there was nothing to load.
    pub(super) fn left(&mut self, left: Left) {
        if let Some(low_for) = self.haste.left(left, Instant::now())
            && self.idle.is_some()
        {
            tell(low_for, "more comes than is loaded at idle priority");
        }
    }

    /// Something has come after a time in which nothing waited.
    pub(super) fn wake(&mut self) {
        self.haste.wake(Instant::now());
    }
}

fn tell(low_for: Duration, reason: &str) {
    tracing::info!(seconds = low_for.as_secs(), reason, "loading takes its share of the cores for a while");
}

/// Does something on threads of idle priority, unless these do not come to it, or not to its end, in time. The clock is
/// the caller's: theirs may stand still with them.
async fn in_time<T: Send + 'static>(
    idle: &Handle,
    work: impl Future<Output = T> + Send + 'static,
) -> Option<T> {
    let (begin, begun) = oneshot::channel();
    // Aborted where it is dropped.
    let mut running = JoinSet::new();
    running.spawn_on(
        async move {
            // Nobody may be waiting any more.
            let _ = begin.send(());
            work.await
        },
        idle,
    );
    // While it has not begun nobody waits for it.
    if timeout(haste::START_MAX, begun).await.is_err() {
        return None;
    }
    match timeout(haste::LOAD_MAX, running.join_next()).await.ok()?? {
        Ok(done) => Some(done),
        Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
        // The threads have ended, and the server with them.
        Err(_) => None,
    }
}
