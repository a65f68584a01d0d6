//! Connections with timeouts.
//!
//! A network can lose packets silently, and a database can hang with open sockets. Every call therefore has a timeout.
//! Preparing a connection for its next user has a timeout too, because the pool alone would wait for a stalled
//! connection without end and lose its slot.

use crate::sql::Script;
use fieldvitals_store::StoreError;
use sqlx::pool::PoolConnection;
use sqlx::postgres::{PgConnection, PgPool, PgRow};
use sqlx::{AssertSqlSafe, Executor as _, Postgres};
use std::ops::{Deref, DerefMut};
use std::time::Duration;

tokio::task_local! {
    /// The user of the current call, if it has a pool of its own.
    static USER: User;
}

#[derive(Clone, Copy)]
enum User {
    Question,
    Background,
}

/// Three pools. A connection's events run on the threads of the runtime that opened it, and the threads of questions,
/// of loading and of maintenance have lower priority than all others.
pub(crate) struct Pools {
    /// For short calls.
    pub(crate) front: PgPool,
    /// For questions about page views.
    pub(crate) reading: PgPool,
    /// For loading and maintenance.
    pub(crate) background: PgPool,
}

impl Pools {
    /// The pool of the current task.
    pub(crate) fn own(&self) -> &PgPool {
        match USER.try_with(|user| *user) {
            Ok(User::Background) => &self.background,
            Ok(User::Question) => &self.reading,
            Err(_) => &self.front,
        }
    }

    pub(crate) async fn close(&self) {
        tokio::join!(self.front.close(), self.reading.close(), self.background.close());
    }
}

/// Runs `work` on background connections.
pub(crate) async fn background<T>(work: impl Future<Output = T>) -> T {
    USER.scope(User::Background, work).await
}

/// Runs `work` on connections of questions.
pub(crate) async fn question<T>(work: impl Future<Output = T>) -> T {
    USER.scope(User::Question, work).await
}

/// Runs `call` with a timeout. A call may take effect although it timed out; callers that must know ask the store.
pub(crate) async fn bounded<T>(
    limit: Duration,
    call: impl Future<Output = Result<T, StoreError>>,
) -> Result<T, StoreError> {
    tokio::time::timeout(limit, call).await.unwrap_or_else(|_| {
        Err(StoreError::Database { what: "asking Postgres", reason: no_answer(limit), transient: true })
    })
}

/// Like [`bounded`], for a load. The error says [`StoreError::TooSlow`], because the batch may have been too large.
pub(crate) async fn bounded_load<T>(
    limit: Duration,
    load: impl Future<Output = Result<T, StoreError>>,
) -> Result<T, StoreError> {
    tokio::time::timeout(limit, load).await.unwrap_or_else(|_| {
        Err(StoreError::TooSlow { what: "loading into Postgres", reason: no_answer(limit), answered: false })
    })
}

fn no_answer(limit: Duration) -> String {
    let seconds = limit.as_secs();
    format!("no answer within {seconds} s: the database hangs, or the network between loses what is sent")
}

/// A transaction on a connection of the pool. Dropping the transaction without [`Self::commit`] rolls it back.
pub(crate) struct Transaction {
    /// `None` only while the transaction is dropped.
    connection: Option<PoolConnection<Postgres>>,
    open: bool,
    back: Duration,
}

impl Transaction {
    /// Begins a transaction with the statement `begin`, which sets the isolation level and the timeouts. `back` is the
    /// timeout for returning the connection to the pool.
    pub(crate) async fn begin(
        pool: &PgPool,
        back: Duration,
        begin: &'static str,
    ) -> Result<Self, sqlx::Error> {
        let connection = acquire(pool).await?;
        // Open before the statement runs, because a statement that timed out may have taken effect.
        let mut transaction = Self { connection: Some(connection), open: true, back };
        transaction.execute(begin).await?;
        Ok(transaction)
    }

    /// Begins a transaction with a script. Returns the rows of its statements, in the text format.
    pub(crate) async fn begin_with(
        pool: &PgPool,
        back: Duration,
        script: Script,
    ) -> Result<(Self, Vec<PgRow>), sqlx::Error> {
        let connection = acquire(pool).await?;
        let mut transaction = Self { connection: Some(connection), open: true, back };
        // A script has static text, numbers and hexadecimal digits only.
        let script = sqlx::raw_sql(AssertSqlSafe(script.into_text()));
        let rows = script.fetch_all(&mut *transaction).await?;
        Ok((transaction, rows))
    }

    /// Runs a statement that cannot run in a transaction and leaves no state in the session.
    pub(crate) async fn alone(
        pool: &PgPool,
        back: Duration,
        statement: &'static str,
    ) -> Result<(), sqlx::Error> {
        let mut alone = Self::begin(pool, back, statement).await?;
        alone.open = false;
        Ok(())
    }

    /// Commits. After an error, only the database knows whether the commit took effect.
    pub(crate) async fn commit(mut self) -> Result<(), sqlx::Error> {
        self.execute("commit").await?;
        self.open = false;
        Ok(())
    }
}

/// Takes a connection from the pool. A caller that is dropped meanwhile does not break off a connection that is being
/// opened: the connection goes to the pool, which closes it as Postgres expects.
async fn acquire(pool: &PgPool) -> Result<PoolConnection<Postgres>, sqlx::Error> {
    let pool = pool.clone();
    // The task ends early only with the runtime.
    tokio::spawn(async move { pool.acquire().await }).await.unwrap_or(Err(sqlx::Error::PoolClosed))
}

impl Deref for Transaction {
    type Target = PgConnection;

    fn deref(&self) -> &PgConnection {
        match &self.connection {
            Some(connection) => connection,
            None => unreachable!("it has a connection until it is dropped"),
        }
    }
}

impl DerefMut for Transaction {
    fn deref_mut(&mut self) -> &mut PgConnection {
        match &mut self.connection {
            Some(connection) => connection,
            None => unreachable!("it has a connection until it is dropped"),
        }
    }
}

impl Drop for Transaction {
    fn drop(&mut self) {
        let (Some(mut connection), Ok(runtime)) =
            (self.connection.take(), tokio::runtime::Handle::try_current())
        else {
            return;
        };
        let (open, back) = (self.open, self.back);
        runtime.spawn(async move {
            let rolled_back = match open {
                true => tokio::time::timeout(back, connection.execute("rollback")).await,
                false => Ok(Ok(Default::default())),
            };
            match rolled_back {
                // The pool pings the connection. A timeout closes the connection and frees its slot.
                Ok(Ok(_)) => drop(tokio::time::timeout(back, connection.return_to_pool()).await),
                // Broken or stalled: closes the connection without a terminate message and frees its slot.
                Ok(Err(_)) | Err(_) => drop(connection.detach()),
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use crate::limits;
    use crate::sql;

    #[test]
    fn postgres_gives_up_before_we_do() {
        let timeout = format!("statement_timeout = '{}s'", limits::DATABASE_STATEMENT_MS_MAX / 1_000);
        assert!(sql::READ.contains(&timeout) && sql::WRITE.contains(&timeout));
    }
}
