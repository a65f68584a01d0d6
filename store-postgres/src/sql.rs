//! Statements and transactions as a pooler in transaction mode can take them.
//!
//! PgBouncer may give every transaction another session. So nothing may outlive a transaction: no named
//! prepared statements, no settings but `set local`, no session locks, and no statement outside of a
//! transaction (the driver prepares and executes in two steps, which would meet two sessions).

use sqlx::Postgres;
use sqlx::postgres::PgArguments;
use sqlx::query::Query;

pub(crate) type Statement = Query<'static, Postgres, PgArguments>;

/// A statement that leaves nothing behind in its session.
pub(crate) fn query(sql: &'static str) -> Statement {
    sqlx::query(sql).persistent(false)
}

/// Begins a transaction that writes. Each statement sees what is committed when it begins.
pub(crate) const WRITE: &str = "begin isolation level read committed; set local statement_timeout = '30s'; \
    set local lock_timeout = '20s'; set local idle_in_transaction_session_timeout = '30s'";

/// Begins a transaction that sees one state of the store.
pub(crate) const READ: &str = "begin isolation level repeatable read read only; \
    set local statement_timeout = '30s'; set local idle_in_transaction_session_timeout = '30s'";

/// Begins a step of maintenance. It gives up soon where it would make others wait behind it.
pub(crate) const MAINTAIN: &str = "begin isolation level read committed; \
    set local statement_timeout = '60s'; set local lock_timeout = '1s'; \
    set local idle_in_transaction_session_timeout = '60s'";
