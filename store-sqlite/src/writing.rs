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
        Self { path: path.to_owned(), turn: Arc::default(), own, idle: OnceCell::new() }
    }

    async fn turn(&self) -> Result<OwnedMutexGuard<()>, sqlx::Error> {
        let turn = tokio::time::timeout(TURN, Arc::clone(&self.turn).lock_owned()).await;
        let turn = turn.map_err(|_| sqlx::Error::PoolTimedOut)?;
        settled(&self.own, Priority::Low).await?;
        if let Some(idle) = self.idle.get() {
            settled(idle, Priority::Idle).await?;
        }
        Ok(turn)
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
    pub(crate) async fn begin(
        &self,
        priority: Priority,
        what: &'static str,
    ) -> Result<Writing<Transaction<'static, Sqlite>>, StoreError> {
        let pool = match priority {
            Priority::Low => &self.own,
            Priority::Idle => self.idle.get_or_try_init(|| schema::writer(&self.path, priority)).await?,
        };
        self.begin_on(pool).await.map_err(failed(what))
    }

    /// For a single statement.
    pub(crate) async fn connection(&self) -> Result<Writing<PoolConnection<Sqlite>>, sqlx::Error> {
        let turn = self.turn().await?;
        Ok(Writing { inner: self.own.acquire().await?, _turn: turn })
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
        self.writers.begin(Priority::Low, what).await
    }

    /// A connection that may write, for a single statement.
    pub(crate) async fn connection(&self) -> Result<Writing<PoolConnection<Sqlite>>, StoreError> {
        self.writers.connection().await.map_err(failed("waiting to write"))
    }
}

/// Waits until a pool has its connection again: what a transaction that was given up was in the middle of is undone then,
/// and does not hold the file's lock. One that was closed is opened anew, at its priority.
async fn settled(pool: &SqlitePool, priority: Priority) -> Result<(), sqlx::Error> {
    if pool.num_idle() == 0 {
        drop(schema::at_priority(priority, pool.acquire()).await?);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::SqliteStore;
    use fieldvitals_store::priority::Priority;
    use std::time::Duration;
    use tokio::time::timeout;

    #[tokio::test]
    async fn whose_turn_it_is_finds_the_file_free() {
        const LONG: &str = "with recursive n (n) as (select 1 union all select n + 1 from n limit 1000000) \
                            select count(*) from n";
        let directory = tempfile::tempdir().expect("a folder");
        let store = SqliteStore::open(&directory.path().join("store.db")).await.expect("a store");
        for priority in [Priority::Idle, Priority::Low] {
            let mut given_up = store.writers.begin(priority, "a test").await.expect("it begins");
            let statement = sqlx::query(LONG).fetch_one(&mut *given_up);
            assert!(timeout(Duration::from_millis(10), statement).await.is_err(), "it takes longer");
            drop(given_up);
            let mut connection = store.connection().await.expect("its turn");
            for statement in ["pragma busy_timeout = 0", "delete from load_cursor"] {
                let done = sqlx::query(statement).execute(&mut *connection).await;
                done.expect("nothing is to be waited for");
            }
        }
    }
}
