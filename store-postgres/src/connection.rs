//! Connections that may stall.
//!
//! A network can lose what is sent without a word, and a database can hang with its sockets open. Every call
//! therefore has a time after which it is given up, and so has making a connection fit for its next user:
//! the pool alone would wait for a stalled one for ever, and lose its place.

use fieldvitals_store::StoreError;
use sqlx::pool::PoolConnection;
use sqlx::postgres::{PgConnection, PgPool};
use sqlx::{Executor as _, Postgres};
use std::ops::{Deref, DerefMut};
use std::time::Duration;

tokio::task_local! {
    /// Set where work is done that nobody waits for.
    static BACKGROUND: ();
}

/// Connections, apart by who uses them: what comes on one is seen by the threads of the runtime that opened it,
/// and those of loading and maintenance give way to all others.
pub(crate) struct Pools {
    /// For those who wait for an answer.
    pub(crate) front: PgPool,
    /// For loading and maintenance.
    pub(crate) background: PgPool,
}

impl Pools {
    /// Those of whoever asks.
    pub(crate) fn own(&self) -> &PgPool {
        match BACKGROUND.try_with(|()| ()) {
            Ok(()) => &self.background,
            Err(_) => &self.front,
        }
    }

    pub(crate) async fn close(&self) {
        tokio::join!(self.front.close(), self.background.close());
    }
}

/// Does work on the connections for what nobody waits for.
pub(crate) async fn background<T>(work: impl Future<Output = T>) -> T {
    BACKGROUND.scope((), work).await
}

/// What `call` comes to, or after `limit` the error of a connection that is stalled. What was on its way may
/// take place all the same; callers that must know ask the store.
pub(crate) async fn bounded<T>(
    limit: Duration,
    call: impl Future<Output = Result<T, StoreError>>,
) -> Result<T, StoreError> {
    tokio::time::timeout(limit, call).await.unwrap_or_else(|_| {
        Err(StoreError::Database { what: "asking Postgres", reason: no_answer(limit), passing: true })
    })
}

/// The same of a load, which may have been too much at a time.
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

/// A transaction on a connection of the pool; rolled back where it is dropped without [`Self::commit`].
pub(crate) struct Transaction {
    /// Empty only while it is dropped.
    connection: Option<PoolConnection<Postgres>>,
    open: bool,
    back: Duration,
}

impl Transaction {
    /// Begins one with a statement that says what kind it is; after its end the connection must be fit for
    /// the next user within the time `back`.
    pub(crate) async fn begin(
        pool: &PgPool,
        back: Duration,
        begin: &'static str,
    ) -> Result<Self, sqlx::Error> {
        let connection = pool.acquire().await?;
        // Open before it is: whether a statement that was given up took place is not known.
        let mut transaction = Self { connection: Some(connection), open: true, back };
        transaction.execute(begin).await?;
        Ok(transaction)
    }

    /// Runs a statement that cannot be part of a transaction, and leaves nothing behind in its session.
    pub(crate) async fn alone(
        pool: &PgPool,
        back: Duration,
        statement: &'static str,
    ) -> Result<(), sqlx::Error> {
        let mut alone = Self::begin(pool, back, statement).await?;
        alone.open = false;
        Ok(())
    }

    /// Commits it. Where that fails, only the database knows whether it took place.
    pub(crate) async fn commit(mut self) -> Result<(), sqlx::Error> {
        self.execute("commit").await?;
        self.open = false;
        Ok(())
    }
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
                // The pool asks whether it is alive; given up, that closes it and frees its place.
                Ok(Ok(_)) => drop(tokio::time::timeout(back, connection.return_to_pool()).await),
                // Broken or stalled: closed without another word to it, its place freed.
                Ok(Err(_)) | Err(_) => drop(connection.detach()),
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use crate::sql;
    use vitals::limits;

    #[test]
    fn postgres_gives_up_before_we_do() {
        let timeout = format!("statement_timeout = '{}s'", limits::DATABASE_STATEMENT_MS_MAX / 1_000);
        assert!(sql::READ.contains(&timeout) && sql::WRITE.contains(&timeout));
    }
}
