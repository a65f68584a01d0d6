//! Tells watching clients that a site's data changed.
//!
//! One task a site asks the store for the version of the data, however many clients watch, and only while one does.
//! A change is a state, not a queue: a slow client gets the latest one.

use crate::limits;
use fieldvitals_store::{SiteId, Version};
use serde::Serialize;
use sha2::{Digest as _, Sha256};
use std::collections::HashMap;
use std::fmt::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use utoipa::ToSchema;

/// Time between two questions about a site. Loads gather for 200 ms, so a visit is seen within half a second.
const LOOK: Duration = Duration::from_millis(250);

/// What clients watch of a site.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Seen {
    /// Fingerprint of the version of the site's data. Answers repeat it in the header `Data-Version`.
    pub version: String,
    /// Beacons of the site, and of unknown sites, that this server refused since it started.
    pub refused: u64,
}

/// Returns the fingerprint of a version, as hexadecimal digits.
#[must_use]
pub fn fingerprint(version: &Version) -> String {
    let hash = Sha256::digest(version.as_bytes());
    hash.iter().take(8).fold(String::with_capacity(16), |mut text, byte| {
        // Writing to a string never fails.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// No more clients may watch: too many do, or the server is stopping.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refused;

/// The watched sites.
pub struct Live {
    handle: Handle,
    shared: Arc<Shared>,
    streams: Arc<Semaphore>,
}

struct Shared {
    sites: Mutex<HashMap<SiteId, watch::Sender<Option<Seen>>>>,
    is_ended: watch::Sender<bool>,
    looks: AtomicU64,
}

/// The state of live updates.
#[derive(Debug, Serialize, ToSchema)]
pub struct LiveReport {
    /// Clients that watch.
    pub streams: usize,
    /// Limit of them.
    pub streams_max: usize,
    /// Watched sites.
    pub sites: usize,
    /// Questions about the version of a site since the server started: four a second and watched site.
    pub looks: u64,
}

impl Live {
    /// Watches with tasks of a runtime.
    #[must_use]
    pub fn new(handle: Handle) -> Self {
        Self {
            handle,
            shared: Arc::new(Shared {
                sites: Mutex::default(),
                is_ended: watch::Sender::new(false),
                looks: AtomicU64::new(0),
            }),
            streams: Arc::new(Semaphore::new(limits::LIVE_STREAMS_MAX)),
        }
    }

    /// Begins to watch a site. `look` asks for its state, and returns `None` on an error; the first watcher's is used.
    ///
    /// # Errors
    /// If too many clients watch, or the server is stopping.
    pub fn watch<F>(&self, site: SiteId, look: impl Fn() -> F + Send + 'static) -> Result<Watch, Refused>
    where
        F: Future<Output = Option<Seen>> + Send,
    {
        let place = Arc::clone(&self.streams).try_acquire_owned().map_err(|_| Refused)?;
        let is_ended = self.shared.is_ended.subscribe();
        if *is_ended.borrow() {
            return Err(Refused);
        }
        let mut sites = self.shared.sites();
        let mut seen = match sites.get(&site) {
            Some(watched) => watched.subscribe(),
            None => {
                let (watched, seen) = watch::channel(None);
                sites.insert(site, watched.clone());
                let shared = Arc::clone(&self.shared);
                self.handle.spawn(async move { shared.follow(site, watched, look).await });
                seen
            }
        };
        drop(sites);
        seen.mark_changed();
        Ok(Watch { seen, is_ended, _place: place })
    }

    /// Ends all watching.
    pub fn end(&self) {
        self.shared.is_ended.send_replace(true);
    }

    /// Reports the state.
    #[must_use]
    pub fn report(&self) -> LiveReport {
        LiveReport {
            streams: limits::LIVE_STREAMS_MAX.saturating_sub(self.streams.available_permits()),
            streams_max: limits::LIVE_STREAMS_MAX,
            sites: self.shared.sites().len(),
            looks: self.shared.looks.load(Ordering::Relaxed),
        }
    }
}

impl Shared {
    /// Asks for the state of a site until nobody watches it.
    async fn follow<F>(&self, site: SiteId, watched: watch::Sender<Option<Seen>>, look: impl Fn() -> F)
    where
        F: Future<Output = Option<Seen>>,
    {
        let mut is_ended = self.is_ended.subscribe();
        loop {
            self.looks.fetch_add(1, Ordering::Relaxed);
            if let Some(seen) = look().await {
                watched.send_if_modified(|known| {
                    let is_new = known.as_ref() != Some(&seen);
                    *known = Some(seen);
                    is_new
                });
            }
            let is_over = tokio::select! {
                () = tokio::time::sleep(LOOK) => false,
                _ = is_ended.wait_for(|is_ended| *is_ended) => true,
            };
            // Under the lock that gives out receivers, so that no new one loses its task.
            let mut sites = self.sites();
            if is_over || watched.receiver_count() == 0 {
                sites.remove(&site);
                return;
            }
        }
    }

    fn sites(&self) -> std::sync::MutexGuard<'_, HashMap<SiteId, watch::Sender<Option<Seen>>>> {
        self.sites.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One client that watches a site.
pub struct Watch {
    seen: watch::Receiver<Option<Seen>>,
    is_ended: watch::Receiver<bool>,
    _place: OwnedSemaphorePermit,
}

impl Watch {
    /// Waits for the site's state at first, and for each change later. Returns `None` at the end.
    pub async fn next(&mut self) -> Option<Seen> {
        loop {
            tokio::select! {
                _ = self.is_ended.wait_for(|is_ended| *is_ended) => return None,
                changed = self.seen.changed() => changed.ok()?,
            }
            if let Some(seen) = self.seen.borrow_and_update().clone() {
                return Some(seen);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(number: u64) -> Seen {
        Seen { version: number.to_string(), refused: 0 }
    }

    #[tokio::test]
    async fn many_watchers_make_one_question_and_none_without_them() {
        let live = Live::new(Handle::current());
        let (asked, mut asks) = tokio::sync::mpsc::unbounded_channel();
        let number = Arc::new(AtomicU64::new(0));
        let look = move || {
            let count = number.fetch_add(1, Ordering::Relaxed);
            // The receiver lives as long as the test.
            let _ = asked.send(count);
            async move { Some(seen(count)) }
        };
        let mut watches = Vec::new();
        for _ in 0..50 {
            watches.push(live.watch(SiteId(1), look.clone()).expect("a place"));
        }
        for expected in 0..3 {
            for watch in &mut watches {
                assert_eq!(watch.next().await, Some(seen(expected)));
            }
        }
        let report = live.report();
        assert_eq!((report.streams, report.sites, report.looks), (50, 1, 3));
        drop(watches);
        while live.report().sites > 0 {
            tokio::task::yield_now().await;
        }
        let mut count = 0;
        while asks.try_recv().is_ok() {
            count += 1;
        }
        assert_eq!(count, live.report().looks);
    }

    #[tokio::test]
    async fn watching_has_a_limit_and_an_end() {
        let live = Live::new(Handle::current());
        let look = || async { Some(seen(7)) };
        let mut watches: Vec<_> =
            (0..limits::LIVE_STREAMS_MAX).map(|_| live.watch(SiteId(1), look).expect("a place")).collect();
        assert_eq!(live.watch(SiteId(1), look).err(), Some(Refused));
        drop(watches.pop());
        assert!(live.watch(SiteId(2), look).is_ok(), "a place is free again");
        assert_eq!(watches[0].next().await, Some(seen(7)));
        live.end();
        assert_eq!(watches[0].next().await, None);
        assert_eq!(live.watch(SiteId(1), look).err(), Some(Refused));
    }
}
