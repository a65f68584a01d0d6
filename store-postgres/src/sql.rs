//! Statements and transactions as a pooler in transaction mode can take them.
//!
//! PgBouncer may give every transaction another session. So nothing may outlive a transaction: no named
//! prepared statements, no settings but `set local`, no session locks, and no statement outside of a
//! transaction (the driver prepares and executes in two steps, which would meet two sessions).
//!
//! The statements of a load are about many sites: the site is a column of their arrays. Citus routes a statement to a
//! node only by a constant, and does not lock rows on several nodes. So each of these statements has a parameter, the
//! site if there is only one ([`alone`]), in a condition `($1::bigint is null or site_id = $1)`. The planner removes the
//! condition if the parameter is null, and takes it for `site_id = …` if not.

use sqlx::Postgres;
use sqlx::postgres::PgArguments;
use sqlx::query::Query;

pub(crate) type Statement = Query<'static, Postgres, PgArguments>;

/// A statement that leaves nothing behind in its session.
pub(crate) fn query(sql: &'static str) -> Statement {
    sqlx::query(sql).persistent(false)
}

/// Returns the site of a statement, if it is about one site only. `sites` are in order.
pub(crate) fn alone(sites: &[i64]) -> Option<i64> {
    let (first, last) = (sites.first()?, sites.last()?);
    (first == last).then_some(*first)
}

/// A value in the text of a script.
pub(crate) enum Literal<'a> {
    Number(i64),
    Text(&'a str),
}

/// Statements of one simple query, which cost one round trip together: a prepared statement costs two of its own, and may
/// not outlive a transaction. A simple query has no parameters. So a value becomes a number or hexadecimal digits, which
/// nothing can take for SQL.
pub(crate) struct Script(String);

impl Script {
    /// Starts with a statement that begins a transaction.
    pub(crate) fn new(begin: &'static str) -> Self {
        Self(begin.to_owned())
    }

    /// Adds a statement with values for `$1`, `$2` and so on.
    pub(crate) fn then(mut self, statement: &'static str, values: &[Literal<'_>]) -> Self {
        let mut statement = statement.to_owned();
        for (place, value) in values.iter().enumerate().rev() {
            let text = match value {
                Literal::Number(number) => format!("({number})"),
                Literal::Text(text) => {
                    let digits: String = text.bytes().map(|byte| format!("{byte:02x}")).collect();
                    format!("convert_from(decode('{digits}', 'hex'), 'UTF8')")
                }
            };
            statement = statement.replace(&format!("${}", place + 1), &text);
        }
        self.0.push_str("; ");
        self.0.push_str(&statement);
        self
    }

    pub(crate) fn into_text(self) -> String {
        self.0
    }
}

// All turn off the compiler of plans: a plan over the partitions of a month takes it seconds, and the plan
// milliseconds.

/// Begins a transaction that writes. Each statement sees what is committed when it begins.
pub(crate) const WRITE: &str = "begin isolation level read committed; set local statement_timeout = '30s'; \
    set local lock_timeout = '20s'; set local idle_in_transaction_session_timeout = '30s'; set local jit = off";

/// Begins a read-only transaction that inspects the schema.
pub(crate) const LOOK: &str = "begin isolation level read committed read only; set local statement_timeout = '30s'; \
    set local idle_in_transaction_session_timeout = '30s'";

/// Begins a transaction that sees one state of the store. Postgres ends its statement within a second if the connection
/// was closed, as that of a question whose client has gone.
pub(crate) const READ: &str = "begin isolation level repeatable read read only; \
    set local statement_timeout = '30s'; set local idle_in_transaction_session_timeout = '30s'; \
    set local client_connection_check_interval = '1s'; set local jit = off";

/// Begins a transaction that reads a day of page views in one state of the store.
pub(crate) const VERIFY: &str = "begin isolation level repeatable read read only; \
    set local statement_timeout = '590s'; set local idle_in_transaction_session_timeout = '60s'; \
    set local jit = off";

/// Begins a transaction that writes what follows from a day of page views in one state of the store.
pub(crate) const REBUILD: &str = "begin isolation level repeatable read; set local statement_timeout = '590s'; \
    set local lock_timeout = '60s'; set local idle_in_transaction_session_timeout = '60s'; set local jit = off";

/// Begins a step of maintenance.
pub(crate) const MAINTAIN: &str = "begin isolation level read committed; \
    set local statement_timeout = '60s'; set local lock_timeout = '60s'; \
    set local idle_in_transaction_session_timeout = '60s'; set local jit = off";

#[cfg(test)]
mod scripts {
    use super::{Literal, Script};

    #[test]
    fn values_of_a_script_are_numbers_and_digits() {
        let text = "'; drop table site; -- $1 é";
        let script = Script::new("begin").then("select $1, $2", &[Literal::Number(-7), Literal::Text(text)]);
        let digits: String = text.bytes().map(|byte| format!("{byte:02x}")).collect();
        let expected = format!("begin; select (-7), convert_from(decode('{digits}', 'hex'), 'UTF8')");
        assert_eq!(script.into_text(), expected);
    }
}

#[cfg(all(test, feature = "testing"))]
mod tests {
    use super::*;
    use crate::PostgresStore;
    use crate::testing::Database;
    use fieldvitals_store::conformance::{DAY0_MS, load, site, update};
    use fieldvitals_store::{CellQuery, Erase, Retention, Store};
    use sqlx::Row;
    use std::sync::Arc;

    #[tokio::test]
    async fn no_transaction_compiles_its_plans() {
        let database = Database::empty();
        let store = PostgresStore::open(&database.url).await.unwrap();
        for begin in [WRITE, READ, VERIFY, REBUILD, MAINTAIN] {
            let mut connection = store.pools.front.acquire().await.unwrap();
            sqlx::raw_sql(begin).execute(&mut *connection).await.unwrap();
            let row = query("show jit").fetch_one(&mut *connection).await.unwrap();
            assert_eq!(row.get::<String, _>(0), "off", "{begin}");
            sqlx::raw_sql("rollback").execute(&mut *connection).await.unwrap();
        }
    }

    #[tokio::test]
    async fn nothing_stays_behind_in_a_session() {
        let database = Database::empty();
        let postgres = Arc::new(PostgresStore::open(&database.url).await.unwrap());
        let store: Arc<dyn Store> = postgres.clone();
        let site = site(&store, "a").await;
        for seq in 0..2 {
            load(&store, site, seq, vec![update(DAY0_MS, 1, &[])]).await.unwrap();
            store.maintain(DAY0_MS, Retention::default()).await.unwrap();
        }
        store.cells(&CellQuery::new(site, DAY0_MS, DAY0_MS + 1)).await.unwrap();
        store.rebuild_day(site, DAY0_MS).await.unwrap();
        store.erase(&Erase { site, from_ms: 0, to_ms: i64::MAX, url: None }).await.unwrap();
        store.site_delete(site).await.unwrap();
        let mut connections = Vec::new();
        let pools = &postgres.pools;
        for pool in [&pools.front, &pools.reading, &pools.background] {
            // The last one may be on its way back to the pool.
            connections.push(pool.acquire().await.unwrap());
            while pool.num_idle() > 0 {
                connections.push(pool.acquire().await.unwrap());
            }
        }
        for connection in &mut connections {
            let row = query(
                "select (select count(*) from pg_prepared_statements where name <> '') \
                 + (select count(*) from pg_locks where pid = pg_backend_pid() and locktype = 'advisory') \
                 + (select count(*) from pg_settings where source = 'session' \
                 and name similar to 'jit|enable%|%timeout')",
            )
            .fetch_one(&mut **connection)
            .await
            .unwrap();
            assert_eq!(row.get::<i64, _>(0), 0);
        }
    }
}
