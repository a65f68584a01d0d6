//! Who writes: one at a time, in the order of asking.

use crate::error::failed;
use crate::opener::Opener;
use crate::schema;
use fieldvitals_store::StoreError;
use fieldvitals_store::priority::Priority;
use scopeguard::ScopeGuard;
use sqlx::pool::PoolConnection;
use sqlx::sqlite::{SqliteConnection, SqlitePool};
use sqlx::{Sqlite, Transaction};
use std::ops::{Deref, DerefMut};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::sync::{Mutex, OnceCell, OwnedMutexGuard};

/// Longest time for which a writer waits for those before it.
const TURN: Duration = Duration::from_secs(30);

/// The connections that write. Their users queue here, as SQLite's own lock knows no order.
pub(crate) struct Writers {
    path: PathBuf,
    opener: Opener,
    turn: Arc<Mutex<()>>,
    /// Everyone's.
    own: SqlitePool,
    /// That of loads at idle priority, once there was one.
    idle: OnceCell<SqlitePool>,
}

/// Something that writes, until it is dropped.
pub(crate) struct Writing<T> {
    // Dropped before the turn is another's.
    inner: In<T>,
    turn: OwnedMutexGuard<()>,
}

/// Something that is dropped in a runtime, whoever drops it: what gives a connection back to its pool is a task.
type In<T> = ScopeGuard<(T, Handle), fn((T, Handle))>;

fn within<T>(runtime: &Handle, inner: T) -> In<T> {
    scopeguard::guard((inner, runtime.clone()), |(inner, runtime)| {
        let _within = runtime.enter();
        drop(inner);
    })
}

impl<T: Deref<Target = SqliteConnection>> Deref for Writing<T> {
    type Target = SqliteConnection;

    fn deref(&self) -> &SqliteConnection {
        &self.inner.0
    }
}

impl<T: DerefMut<Target = SqliteConnection>> DerefMut for Writing<T> {
    fn deref_mut(&mut self) -> &mut SqliteConnection {
        &mut self.inner.0
    }
}

impl Writing<Transaction<'static, Sqlite>> {
    /// Ends it. What has begun comes to its end, though nobody waits for it any more, and the turn ends after it.
    pub(crate) async fn commit(self) -> Result<(), sqlx::Error> {
        let Self { inner, turn } = self;
        let (inner, runtime) = ScopeGuard::into_inner(inner);
        let committing = runtime.spawn(async move {
            let committed = inner.commit().await;
            drop(turn);
            committed
        });
        committing.await.unwrap_or(Err(sqlx::Error::WorkerCrashed))
    }
}

impl Writers {
    pub(crate) fn new(path: &Path, opener: Opener, own: SqlitePool) -> Self {
        Self { path: path.to_owned(), opener, turn: Arc::default(), own, idle: OnceCell::new() }
    }

    /// Waits for the turn of a writer, and for its connection.
    async fn turn(&self, priority: Priority) -> Result<OwnedMutexGuard<()>, sqlx::Error> {
        let turn = tokio::time::timeout(TURN, Arc::clone(&self.turn).lock_owned()).await;
        let turn = turn.map_err(|_| sqlx::Error::PoolTimedOut)?;
        self.settled(&self.own, Priority::Low, priority).await?;
        if let Some(idle) = self.idle.get() {
            self.settled(idle, Priority::Idle, priority).await?;
        }
        Ok(turn)
    }

    /// Waits until a pool has its connection again: what a transaction that was given up was in the middle of is undone
    /// then, and does not hold the file's lock. One that was closed is opened anew, by who needs it.
    async fn settled(&self, pool: &SqlitePool, of: Priority, needs: Priority) -> Result<(), sqlx::Error> {
        if pool.num_idle() > 0 || (pool.size() == 0 && of != needs) {
            return Ok(());
        }
        let acquiring = pool.acquire();
        // It is hardly ever closed while it is waited for: then it has the priority of who waits.
        let by = if of == needs { of } else { Priority::Low };
        self.opener.open(by, async { acquiring.await.map(drop) }).await
    }

    async fn begin_on(
        &self,
        pool: &SqlitePool,
        priority: Priority,
    ) -> Result<Writing<Transaction<'static, Sqlite>>, sqlx::Error> {
        let turn = self.turn(priority).await?;
        // The file's write lock at once: a transaction never fails in its middle because another writer came first.
        let inner = pool.begin_with("begin immediate").await?;
        Ok(Writing { inner: within(self.opener.runtime(), inner), turn })
    }

    /// Begins a transaction.
    pub(crate) async fn begin(
        &self,
        priority: Priority,
        what: &'static str,
    ) -> Result<Writing<Transaction<'static, Sqlite>>, StoreError> {
        let pool = match priority {
            Priority::Low => &self.own,
            Priority::Idle => {
                self.idle.get_or_try_init(|| schema::writer(&self.path, &self.opener, priority)).await?
            }
        };
        self.begin_on(pool, priority).await.map_err(failed(what))
    }

    /// For a single statement.
    pub(crate) async fn connection(&self) -> Result<Writing<PoolConnection<Sqlite>>, sqlx::Error> {
        let turn = self.turn(Priority::Low).await?;
        let inner = self.own.acquire().await?;
        Ok(Writing { inner: within(self.opener.runtime(), inner), turn })
    }

    pub(crate) async fn close(&self) {
        if let Some(idle) = self.idle.get() {
            idle.close().await;
        }
        // The last one carries the log over into the file, which is no work for idle priority.
        self.own.close().await;
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

#[cfg(test)]
mod tests {
    use crate::SqliteStore;
    use fieldvitals_store::priority::Priority;
    use std::collections::BTreeMap;
    use std::sync::Arc;
    use std::time::Duration;
    use tokio::sync::Mutex;
    use tokio::time::timeout;

    /// The threads of connections are those of this process.
    static ALONE: Mutex<()> = Mutex::const_new(());
    const LONG: &str = "with recursive n (n) as (select 1 union all select n + 1 from n limit 200000) \
                        select count(*) from n";

    async fn open(directory: &tempfile::TempDir) -> SqliteStore {
        SqliteStore::open(&directory.path().join("store.db")).await.expect("a store")
    }

    #[tokio::test]
    async fn whose_turn_it_is_finds_the_file_free() {
        let _alone = ALONE.lock().await;
        let directory = tempfile::tempdir().expect("a folder");
        let store = open(&directory).await;
        for priority in [Priority::Idle, Priority::Low] {
            let mut given_up = store.writers.begin(priority, "a test").await.expect("it begins");
            let statement = sqlx::query(LONG).fetch_one(&mut *given_up);
            assert!(timeout(Duration::from_millis(3), statement).await.is_err(), "it takes longer");
            drop(given_up);
            // Those who do not wait that long leave nothing behind.
            for wait in [Some(Duration::from_millis(1)), None] {
                let connecting = store.connection();
                let connected = match wait {
                    Some(wait) => timeout(wait, connecting).await,
                    None => Ok(connecting.await),
                };
                let Ok(connected) = connected else { continue };
                let mut connection = connected.expect("its turn");
                for statement in ["pragma busy_timeout = 0", "delete from load_cursor"] {
                    let done = sqlx::query(statement).execute(&mut *connection).await;
                    done.expect("nothing is to be waited for");
                }
            }
        }
        assert_eq!(store.writers.own.size(), 1, "no connection was lost");
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn what_threads_that_stand_still_have_given_up_is_undone() {
        let _alone = ALONE.lock().await;
        let directory = tempfile::tempdir().expect("a folder");
        let store = Arc::new(open(&directory).await);
        let writing = Arc::clone(&store);
        let given_up = move || {
            let still =
                tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            let begun = still.block_on(writing.writers.begin(Priority::Idle, "a test")).expect("it begins");
            let within = still.enter();
            drop(begun);
            drop(within);
            // Nothing drives it any more.
            still
        };
        let still = tokio::task::spawn_blocking(given_up).await.expect("no panic");
        let connection = timeout(Duration::from_secs(20), store.connection()).await.expect("in time");
        connection.expect("its turn");
        still.shutdown_background();
    }

    /// The policies (sched(7)) of the threads of connections of this process, by their ids: `/proc/<pid>/task/<tid>/stat`,
    /// fields 41 and 1 of proc_pid_stat(5).
    #[cfg(target_os = "linux")]
    fn policies() -> BTreeMap<String, String> {
        let tasks = std::fs::read_dir("/proc/self/task").expect("its threads");
        let stats = tasks.flatten().filter_map(|task| std::fs::read_to_string(task.path().join("stat")).ok());
        stats
            .filter_map(|stat| {
                let (head, fields) = stat.rsplit_once(')')?;
                let (id, _) = head.split_once(" (sqlx-sqlite")?;
                Some((id.to_owned(), fields.split_whitespace().nth(38)?.to_owned()))
            })
            .collect()
    }

    #[cfg(target_os = "linux")]
    #[tokio::test(flavor = "multi_thread")]
    async fn a_writer_that_is_opened_anew_for_an_idle_thread_has_its_own_priority() {
        let _alone = ALONE.lock().await;
        let directory = tempfile::tempdir().expect("a folder");
        // Another test's may not have ended yet.
        let before = policies();
        let store = open(&directory).await;
        let own = store.writers.own.acquire().await.expect("the writer");
        own.close().await.expect("it closes");
        let runtime = tokio::runtime::Handle::current();
        let idle = move || {
            Priority::Idle.take();
            for priority in [Priority::Idle, Priority::Low] {
                let begun = runtime.block_on(store.writers.begin(priority, "a test")).expect("it begins");
                runtime.block_on(begun.commit()).expect("it ends");
            }
            policies()
        };
        let mut policies = tokio::task::spawn_blocking(idle).await.expect("no panic");
        policies.retain(|id, _| !before.contains_key(id));
        let idle = policies.values().filter(|policy| *policy == "5").count();
        assert_eq!(idle, 1, "{policies:?}");
        assert!(policies.len() > 2, "{policies:?}");
    }
}
