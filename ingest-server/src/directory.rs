//! The directory: caches sites and tokens in one snapshot that requests read without a lock.
//!
//! The store is authoritative; the command line writes to it while the server runs. The server refreshes the snapshot
//! every second, and at once if a key, token or allowed origin is missing. Such refreshes are ≥ 100 ms apart, so that
//! unknown keys do not load the database. A revoked token is refused within a second.

use crate::limits;
use arc_swap::ArcSwap;
use fieldvitals_store::{Scope, Site, SiteId, Store, StoreError, Token, TokenId};
use sha2::{Digest, Sha256};
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::Mutex;

/// Refresh interval of the snapshot.
const REFRESH: Duration = Duration::from_secs(1);
/// Minimum time between two refreshes after a cache miss.
const MISS_REFRESH: Duration = Duration::from_millis(100);

/// Sites by key and name, tokens by hash, at one moment.
#[derive(Debug, Default)]
pub struct Snapshot {
    sites: Vec<Arc<Site>>,
    by_key: HashMap<String, (Arc<Site>, Option<i64>)>,
    tokens: HashMap<[u8; 32], Token>,
}

impl Snapshot {
    /// Builds a snapshot of sites and tokens.
    #[must_use]
    pub fn new(sites: Vec<Site>, tokens: Vec<Token>) -> Self {
        let sites: Vec<Arc<Site>> = sites.into_iter().map(Arc::new).collect();
        let by_key = sites
            .iter()
            .flat_map(|site| {
                site.keys.iter().map(move |key| (key.key.clone(), (Arc::clone(site), key.until_ms)))
            })
            .collect();
        Self { sites, by_key, tokens: tokens.into_iter().map(|token| (token.hash, token)).collect() }
    }

    /// Returns all sites, by name.
    #[must_use]
    pub fn sites(&self) -> &[Arc<Site>] {
        &self.sites
    }

    /// Returns the site of a key, unless the key has expired.
    #[must_use]
    pub fn by_key(&self, key: &str, now_ms: i64) -> Option<&Arc<Site>> {
        let (site, until_ms) = self.by_key.get(key)?;
        until_ms.is_none_or(|until_ms| now_ms < until_ms).then_some(site)
    }

    /// Returns the site with this name or id.
    #[must_use]
    pub fn by_name(&self, name: &str) -> Option<&Arc<Site>> {
        let id = name.parse().ok().map(SiteId);
        self.sites
            .iter()
            .find(|site| site.name == name)
            .or_else(|| self.sites.iter().find(|site| Some(site.id) == id))
    }

    /// Returns whether there are a site and a token.
    #[must_use]
    pub fn is_set_up(&self) -> bool {
        !self.sites.is_empty() && !self.tokens.is_empty()
    }

    /// Returns the token of a secret.
    #[must_use]
    pub fn token(&self, secret: &str) -> Option<&Token> {
        self.tokens.get(&token_hash(secret))
    }

    /// Returns the scope of a token's secret.
    #[must_use]
    pub fn scope(&self, secret: &str) -> Option<Scope> {
        self.token(secret).map(|token| token.scope)
    }

    /// Returns the token with this id.
    #[must_use]
    pub fn token_by_id(&self, id: TokenId) -> Option<&Token> {
        self.tokens().find(|token| token.id == id)
    }

    /// Returns all tokens, in no order.
    pub fn tokens(&self) -> impl Iterator<Item = &Token> {
        self.tokens.values()
    }
}

/// Returns the stored hash of a token's secret. The secret has 256 random bits, so one round is enough.
#[must_use]
pub fn token_hash(secret: &str) -> [u8; 32] {
    Sha256::digest(secret.as_bytes()).into()
}

/// Holds and refreshes the current [`Snapshot`].
pub struct Directory {
    store: Arc<dyn Store>,
    snapshot: ArcSwap<Snapshot>,
    /// Start of the last refresh after a cache miss.
    last_read: Mutex<Instant>,
    /// Time of the first failed refresh, which is logged; `None` after a successful one.
    unread: std::sync::Mutex<Option<Instant>>,
    /// Set if the store was unreachable at the last refresh.
    is_away: AtomicBool,
}

impl Directory {
    /// Reads the first snapshot.
    ///
    /// # Errors
    /// If the store cannot be read.
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

    /// Returns the current snapshot.
    #[must_use]
    pub fn current(&self) -> Arc<Snapshot> {
        self.snapshot.load_full()
    }

    /// Returns the store, unless it was unreachable at the last refresh.
    #[must_use]
    pub fn store(&self) -> Option<&Arc<dyn Store>> {
        (!self.is_away.load(Ordering::Relaxed)).then_some(&self.store)
    }

    /// Looks up `found` in the snapshot. On a miss, refreshes the snapshot and looks up again, because the item may
    /// have just been added. Concurrent misses share one refresh. Does not refresh while the store is unreachable.
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
            // Limits the wait of all callers for a hanging store.
            let patience = Duration::from_millis(limits::DIRECTORY_MISS_MS_MAX);
            if tokio::time::timeout(patience, self.read_again()).await.is_err() {
                self.note(Some("no answer in time".to_owned()));
            }
        }
        drop(last_read);
        found(&self.snapshot.load())
    }

    /// Refreshes the snapshot.
    ///
    /// # Errors
    /// If the store cannot be read. The snapshot then stays unchanged.
    pub async fn refresh(&self) -> Result<(), StoreError> {
        let snapshot = read(self.store.as_ref()).await?;
        self.snapshot.store(Arc::new(snapshot));
        Ok(())
    }

    /// Refreshes the snapshot. On failure, keeps the old one and logs the error.
    pub async fn read_again(&self) {
        let read = self.refresh().await;
        self.is_away.store(read.as_ref().is_err_and(StoreError::is_away), Ordering::Relaxed);
        self.note(read.err().map(|error| error.to_string()));
    }

    /// Logs once that the store cannot be read, and once that it can be read again.
    fn note(&self, error: Option<String>) {
        // No holder of the lock can panic with the value half changed.
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

    /// Refreshes the snapshot periodically, while polled.
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
    Ok(Snapshot::new(sites, tokens))
}
