//! Who writes: one at a time, in the order of asking.

use crate::error::failed;
use crate::schema;
use fieldvitals_store::StoreError;
use fieldvitals_store::priority::Priority;
use sqlx::pool::PoolConnection;
use sqlx::sqlite::{SqliteConnection, SqlitePool};
use sqlx::{Sqlite, Transaction};
use std::ops::{Deref, DerefMut};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::sync::{Mutex, OnceCell, OwnedMutexGuard};

/// Longest time for which a writer waits for those before it.
const TURN: Duration = Duration::from_secs(30);

/// The connections that write. Their users queue here, as SQLite's own lock knows no order.
pub(crate) struct Writers {
    path: PathBuf,
    turn: Arc<Mutex<()>>,
    /// Everyone's.
    own: SqlitePool,
    /// That of loads at idle priority, once there was one.
    idle: OnceCell<SqlitePool>,
    loads_idle: AtomicBool,
}

/// Something that writes, until it is dropped.
pub(crate) struct Writing<T> {
    // Dropped before the turn is another's.
    inner: T,
    _turn: OwnedMutexGuard<()>,
}

impl<T: Deref<Target = SqliteConnection>> Deref for Writing<T> {
    type Target = SqliteConnection;

    fn deref(&self) -> &SqliteConnection {
        &self.inner
    }
}

impl<T: DerefMut<Target = SqliteConnection>> DerefMut for Writing<T> {
    fn deref_mut(&mut self) -> &mut SqliteConnection {
        &mut self.inner
    }
}

impl Writing<Transaction<'static, Sqlite>> {
    pub(crate) async fn commit(self) -> Result<(), sqlx::Error> {
        self.inner.commit().await
    }
}

impl Writers {
    pub(crate) fn new(path: &Path, own: SqlitePool) -> Self {
        Self {
            path: path.to_owned(),
            turn: Arc::default(),
            own,
            idle: OnceCell::new(),
            loads_idle: AtomicBool::new(false),
        }
    }

    async fn turn(&self) -> Result<OwnedMutexGuard<()>, sqlx::Error> {
        let turn = tokio::time::timeout(TURN, Arc::clone(&self.turn).lock_owned()).await;
        turn.map_err(|_| sqlx::Error::PoolTimedOut)
    }

    async fn begin_on(
        &self,
        pool: &SqlitePool,
    ) -> Result<Writing<Transaction<'static, Sqlite>>, sqlx::Error> {
        let turn = self.turn().await?;
        // The file's write lock at once: a transaction never fails in its middle because another writer came first.
        Ok(Writing { inner: pool.begin_with("begin immediate").await?, _turn: turn })
    }

    /// Begins a transaction.
    pub(crate) async fn begin(&self) -> Result<Writing<Transaction<'static, Sqlite>>, sqlx::Error> {
        self.begin_on(&self.own).await
    }

    /// Begins that of a load.
    pub(crate) async fn begin_load(&self) -> Result<Writing<Transaction<'static, Sqlite>>, sqlx::Error> {
        let idle = self.idle.get().filter(|_| self.loads_idle.load(Ordering::Relaxed));
        self.begin_on(idle.unwrap_or(&self.own)).await
    }

    /// For a single statement.
    pub(crate) async fn connection(&self) -> Result<Writing<PoolConnection<Sqlite>>, sqlx::Error> {
        let turn = self.turn().await?;
        Ok(Writing { inner: self.own.acquire().await?, _turn: turn })
    }

    /// From now on loads are written at this priority.
    pub(crate) async fn load_at(&self, priority: Priority) -> Result<(), StoreError> {
        if priority == Priority::Idle {
            self.idle.get_or_try_init(|| schema::writer(&self.path, priority)).await?;
        }
        self.loads_idle.store(priority == Priority::Idle, Ordering::Relaxed);
        Ok(())
    }

    pub(crate) async fn close(&self) {
        self.own.close().await;
        if let Some(idle) = self.idle.get() {
            idle.close().await;
        }
    }
}

impl crate::SqliteStore {
    /// Begins a transaction that may write.
    pub(crate) async fn write(
        &self,
        what: &'static str,
    ) -> Result<Writing<Transaction<'static, Sqlite>>, StoreError> {
        self.writers.begin().await.map_err(failed(what))
    }

    /// A connection that may write, for a single statement.
    pub(crate) async fn connection(&self) -> Result<Writing<PoolConnection<Sqlite>>, StoreError> {
        self.writers.connection().await.map_err(failed("waiting to write"))
    }
}
