//! Sites and tokens as every request sees them: one snapshot in memory, read without a lock.
//!
//! The store is the truth; the command line writes to it beside a running server. The snapshot is read
//! again every second, and at once when a key or token is not found (at most every 100 ms, so that
//! unknown keys cost the database nothing). A revoked token is refused within a second.

use arc_swap::ArcSwap;
use fieldvitals_store::{Scope, Site, SiteId, Store, StoreError};
use sha2::{Digest, Sha256};
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::Mutex;
use vitals::limits;

/// How old the snapshot may grow.
const REFRESH: Duration = Duration::from_secs(1);
/// Time between two reads for something that is not found.
const MISS_REFRESH: Duration = Duration::from_millis(100);

/// Sites by key and name, tokens by hash, at one moment.
#[derive(Debug, Default)]
pub struct Snapshot {
    sites: Vec<Arc<Site>>,
    by_key: HashMap<String, (Arc<Site>, Option<i64>)>,
    tokens: HashMap<[u8; 32], Scope>,
}

impl Snapshot {
    /// The snapshot of these sites and tokens.
    #[must_use]
    pub fn new(sites: Vec<Site>, tokens: HashMap<[u8; 32], Scope>) -> Self {
        let sites: Vec<Arc<Site>> = sites.into_iter().map(Arc::new).collect();
        let by_key = sites
            .iter()
            .flat_map(|site| {
                site.keys.iter().map(move |key| (key.key.clone(), (Arc::clone(site), key.until_ms)))
            })
            .collect();
        Self { sites, by_key, tokens }
    }

    /// All sites, by name.
    #[must_use]
    pub fn sites(&self) -> &[Arc<Site>] {
        &self.sites
    }

    /// The site that a key belongs to, unless the key's time is over.
    #[must_use]
    pub fn by_key(&self, key: &str, now_ms: i64) -> Option<&Arc<Site>> {
        let (site, until_ms) = self.by_key.get(key)?;
        until_ms.is_none_or(|until_ms| now_ms < until_ms).then_some(site)
    }

    /// The site of this name or id.
    #[must_use]
    pub fn by_name(&self, name: &str) -> Option<&Arc<Site>> {
        let id = name.parse().ok().map(SiteId);
        self.sites
            .iter()
            .find(|site| site.name == name)
            .or_else(|| self.sites.iter().find(|site| Some(site.id) == id))
    }

    /// Whether there is a site, and a token.
    #[must_use]
    pub fn is_set_up(&self) -> bool {
        !self.sites.is_empty() && !self.tokens.is_empty()
    }

    /// What a token's secret allows.
    #[must_use]
    pub fn scope(&self, secret: &str) -> Option<Scope> {
        self.tokens.get(&token_hash(secret)).copied()
    }
}

/// The hash under which a token's secret is kept. The secret is 256 random bits, so one round is enough.
#[must_use]
pub fn token_hash(secret: &str) -> [u8; 32] {
    Sha256::digest(secret.as_bytes()).into()
}

/// The current [`Snapshot`].
pub struct Directory {
    store: Arc<dyn Store>,
    snapshot: ArcSwap<Snapshot>,
    /// When the last read for something that was missed began.
    last_read: Mutex<Instant>,
    /// Since when the store cannot be read, which was said.
    unread: std::sync::Mutex<Option<Instant>>,
    /// Whether the store did not answer the last read.
    is_away: AtomicBool,
}

impl Directory {
    /// Reads the first snapshot.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub async fn open(store: Arc<dyn Store>) -> Result<Self, StoreError> {
        let snapshot = read(store.as_ref()).await?;
        Ok(Self {
            store,
            snapshot: ArcSwap::from_pointee(snapshot),
            last_read: Mutex::new(Instant::now()),
            unread: std::sync::Mutex::default(),
            is_away: AtomicBool::new(false),
        })
    }

    /// The snapshot as it is.
    #[must_use]
    pub fn current(&self) -> Arc<Snapshot> {
        self.snapshot.load_full()
    }

    /// The store, unless it did not answer when the snapshot was read last.
    #[must_use]
    pub fn store(&self) -> Option<&dyn Store> {
        (!self.is_away.load(Ordering::Relaxed)).then_some(self.store.as_ref())
    }

    /// What `found` finds in the snapshot, or, where it finds nothing, in one that is read afterwards: what
    /// it looks for may have been added a moment ago. Callers that miss at the same time share one read. None is tried
    /// while the store is away.
    pub async fn find<T>(&self, found: impl Fn(&Snapshot) -> Option<T>) -> Option<T> {
        let known = found(&self.snapshot.load());
        if known.is_some() || self.store().is_none() {
            return known;
        }
        let missed = Instant::now();
        let mut last_read = self.last_read.lock().await;
        if *last_read <= missed {
            tokio::time::sleep_until((*last_read + MISS_REFRESH).into()).await;
            *last_read = Instant::now();
            // A store that hangs must not make all who miss wait for it.
            let patience = Duration::from_millis(limits::DIRECTORY_MISS_MS_MAX);
            if tokio::time::timeout(patience, self.read_again()).await.is_err() {
                self.note(Some("no answer in time".to_owned()));
            }
        }
        drop(last_read);
        found(&self.snapshot.load())
    }

    /// Reads the snapshot again.
    ///
    /// # Errors
    /// Where the store cannot be read; the snapshot stays as it was.
    pub async fn refresh(&self) -> Result<(), StoreError> {
        let snapshot = read(self.store.as_ref()).await?;
        self.snapshot.store(Arc::new(snapshot));
        Ok(())
    }

    /// Reads the snapshot again; where that fails, it stays as it was.
    pub async fn read_again(&self) {
        let read = self.refresh().await;
        self.is_away.store(read.as_ref().is_err_and(StoreError::is_away), Ordering::Relaxed);
        self.note(read.err().map(|error| error.to_string()));
    }

    /// Says once that the store cannot be read, and once that it can be again.
    fn note(&self, error: Option<String>) {
        // Nothing that holds the lock can panic half-way.
        let mut unread = self.unread.lock().unwrap_or_else(PoisonError::into_inner);
        match (error, *unread) {
            (Some(error), None) => {
                tracing::warn!(error, "sites and tokens could not be read again; the last known stay");
                *unread = Some(Instant::now());
            }
            (Some(error), Some(_)) => tracing::debug!(error, "sites and tokens still cannot be read"),
            (None, Some(since)) => {
                tracing::info!(seconds = since.elapsed().as_secs(), "sites and tokens are read again");
                *unread = None;
            }
            (None, None) => {}
        }
    }

    /// Keeps the snapshot fresh for as long as it is polled.
    pub async fn keep_fresh(&self) {
        loop {
            tokio::time::sleep(REFRESH).await;
            self.read_again().await;
        }
    }
}

async fn read(store: &dyn Store) -> Result<Snapshot, StoreError> {
    let sites = store.sites().await?;
    let tokens = store.tokens().await?;
    Ok(Snapshot::new(sites, tokens.into_iter().map(|token| (token.hash, token.scope)).collect()))
}
