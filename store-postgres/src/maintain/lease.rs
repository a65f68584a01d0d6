//! The lease of maintenance, and locks between maintenance, loads and erasures.

use crate::PostgresStore;
use crate::connection::Transaction;
use crate::error::{code, failed};
use crate::sql::{self, query};
use fieldvitals_store::StoreError;
use sqlx::postgres::PgConnection;
use sqlx::types::Uuid;

const LEASING: &str = "taking the lease of maintenance";
const WAITING: &str = "waiting for loads";

/// SQLSTATE of a lock timeout and of a deadlock.
const LOCK_NOT_HAD: [&str; 2] = ["55P03", "40P01"];

pub(super) fn not_had(error: &sqlx::Error) -> bool {
    code(error).is_some_and(|code| LOCK_NOT_HAD.contains(&code.as_str()))
}

/// The lease of maintenance. Each step renews the lease for 1 min.
pub(super) struct Lease<'a> {
    pub(super) store: &'a PostgresStore,
    holder: Uuid,
}

impl<'a> Lease<'a> {
    /// Takes the lease; `None` if another server holds it.
    pub(super) async fn take(store: &'a PostgresStore) -> Result<Option<Self>, StoreError> {
        let mut holder = [0; 16];
        getrandom::fill(&mut holder).map_err(|error| StoreError::Database {
            what: LEASING,
            reason: format!("the system gave no random numbers ({error})"),
            transient: true,
        })?;
        let holder = Uuid::from_bytes(holder);
        let mut transaction = store.write(LEASING).await?;
        let taken = query(
            "/* lease.take */ update maintenance_claim set holder = $1, until = clock_timestamp() + interval '1 minute' \
             where name = 'maintenance' and until < clock_timestamp()",
        )
        .bind(holder)
        .execute(&mut *transaction)
        .await
        .map_err(failed(LEASING))?;
        transaction.commit().await.map_err(failed(LEASING))?;
        Ok((taken.rows_affected() == 1).then_some(Self { store, holder }))
    }

    /// Begins a step. The lease cannot change its holder before the step's transaction ends.
    pub(super) async fn step(&self, what: &'static str) -> Result<Transaction, StoreError> {
        let mut transaction = self.store.begin(what, sql::MAINTAIN).await?;
        let renewed = query(
            "/* lease.renew */ update maintenance_claim set until = clock_timestamp() + interval '1 minute' \
             where name = 'maintenance' and holder = $1",
        )
        .bind(self.holder)
        .execute(&mut *transaction)
        .await
        .map_err(failed(what))?;
        if renewed.rows_affected() == 1 {
            return Ok(transaction);
        }
        Err(StoreError::Database {
            what,
            reason: "another server has taken over maintenance, as this one was too slow".to_owned(),
            transient: true,
        })
    }

    pub(super) async fn release(&self) -> Result<(), StoreError> {
        let mut transaction = self.store.write(LEASING).await?;
        query(
            "/* lease.release */ update maintenance_claim set until = '-infinity' \
             where name = 'maintenance' and holder = $1",
        )
        .bind(self.holder)
        .execute(&mut *transaction)
        .await
        .map_err(failed(LEASING))?;
        transaction.commit().await.map_err(failed(LEASING))
    }
}

/// Waits for running loads, and blocks new loads until the transaction ends. Returns `false` on a lock timeout.
///
/// Loads share a lock on the one row of `kept`. An exclusive lock on that row would starve while loads overlap, because
/// new sharers pass a waiting transaction. A table lock has a queue.
pub(crate) async fn hold_off_loads(connection: &mut PgConnection) -> Result<bool, StoreError> {
    match query("/* load.hold_off */ lock table kept in exclusive mode").execute(connection).await {
        Ok(_) => Ok(true),
        Err(error) if not_had(&error) => Ok(false),
        Err(error) => Err(failed(WAITING)(error)),
    }
}

/// Sets a lock timeout of 1 s, because loads queue behind a waiting lock.
pub(crate) async fn wait_little(connection: &mut PgConnection) -> Result<(), StoreError> {
    query("/* lock.little */ set local lock_timeout = '1s'")
        .execute(connection)
        .await
        .map(drop)
        .map_err(failed(WAITING))
}

/// Waits for the running step of maintenance, and blocks further steps until the transaction ends. Must be the
/// transaction's first statement: locking a table takes no snapshot, so the following statements see the result of that
/// step.
pub(crate) async fn exclude(connection: &mut PgConnection) -> Result<(), StoreError> {
    query("/* lease.exclude */ lock table maintenance_claim in share row exclusive mode")
        .execute(connection)
        .await
        .map(drop)
        .map_err(failed(LEASING))
}
