//! Spreading the tables over the nodes of a Citus cluster, by site.
//!
//! Sites, keys, tokens and what maintenance keeps are few rows and stay on the coordinator. Partitions that are made
//! later follow `page_view` by themselves.

use crate::error::failed;
use crate::sql::query;
use crate::{address, schema};
use fieldvitals_store::StoreError;
use sqlx::postgres::PgConnection;
use sqlx::{Connection as _, Row as _};

const SPREADING: &str = "spreading the tables over the nodes of Citus";

/// The tables of sites' data. The others are in the group of the first one, which is a group of its own: in one with
/// tables of other programs, each would wait for the other's changes of tables.
const TABLES: [&str; 10] = [
    "route",
    "label",
    "page_view",
    "context_text",
    "context_text_doubt",
    "load_cursor",
    "rollup_delta",
    "rollup_hour",
    "rollup_day",
    "violation",
];

/// Begins the transaction that moves a table; a large one takes as long as it takes.
const MOVE: &str = "begin isolation level read committed; set local statement_timeout = 0; \
    set local lock_timeout = '2min'";

/// How the tables of a Citus cluster are spread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Spread {
    /// Tables that are spread.
    pub tables: usize,
    /// Those of them that were not before.
    pub moved: usize,
    /// Nodes over which they are spread.
    pub nodes: usize,
}

/// Spreads the tables at `url`, which the store has migrated, and moves the rows that they hold. Tables that are spread
/// stay as they are, so a call that was cut short can be repeated.
///
/// # Errors
/// [`StoreError::Database`] where the database is not the coordinator of a Citus cluster with nodes, and as the store.
pub async fn spread(url: &str) -> Result<Spread, StoreError> {
    let connecting = schema::connect(address::options(url)?).await;
    let (mut connection, _) = connecting.map_err(failed(SPREADING))?;
    let nodes = nodes(&mut connection).await?;
    let mut moved = 0;
    for table in TABLES {
        moved += usize::from(spread_table(&mut connection, table).await?);
    }
    // The rows that were moved are still on the coordinator's disk, where nobody sees them and no erasure finds them.
    query("/* citus.clean */ select truncate_local_data_after_distributing_table(name::regclass) from unnest($1::text[]) name")
        .bind(TABLES.as_slice())
        .execute(&mut connection)
        .await
        .map_err(failed(SPREADING))?;
    // Nothing is left to be done on it, so it does not matter how it ends.
    let _ = connection.close().await;
    Ok(Spread { tables: TABLES.len(), moved, nodes })
}

/// Nodes that take rows.
async fn nodes(connection: &mut PgConnection) -> Result<usize, StoreError> {
    let refused =
        |reason: &str| StoreError::Database { what: SPREADING, reason: reason.to_owned(), passing: false };
    let has_citus: bool =
        query("/* citus.exists */ select exists (select from pg_extension where extname = 'citus')")
            .fetch_one(&mut *connection)
            .await
            .and_then(|row| row.try_get(0))
            .map_err(failed(SPREADING))?;
    if !has_citus {
        return Err(refused(
            "the database has no extension citus: `create extension citus` as a superuser, in this database on every \
             node (docs/scaling.md, step 4)",
        ));
    }
    let nodes: i64 = query(
        "/* citus.nodes */ select count(*) from pg_dist_node \
         where noderole = 'primary' and isactive and shouldhaveshards",
    )
    .fetch_one(connection)
    .await
    .and_then(|row| row.try_get(0))
    .map_err(failed(SPREADING))?;
    match usize::try_from(nodes) {
        Ok(nodes @ 1..) => Ok(nodes),
        _ => Err(refused(
            "no node is registered in this database: `select citus_add_node('WORKER', 5432)` as a superuser, on the \
             coordinator (docs/scaling.md, step 4)",
        )),
    }
}

/// Spreads a table, and says whether it was not spread before.
async fn spread_table(connection: &mut PgConnection, table: &'static str) -> Result<bool, StoreError> {
    let first = TABLES.first().copied().unwrap_or_default();
    let group = if table == first { "none" } else { first };
    let mut transaction = connection.begin_with(MOVE).await.map_err(failed(SPREADING))?;
    // The lock of migrations, which ends with the transaction.
    query("/* schema.lock */ select pg_advisory_xact_lock(736374510, -1)")
        .execute(&mut *transaction)
        .await
        .map_err(failed(SPREADING))?;
    let moved = query(
        "/* citus.spread */ select create_distributed_table($1::text::regclass, 'site_id', colocate_with => $2) \
         where not exists (select from pg_dist_partition where logicalrelid = $1::text::regclass)",
    )
    .bind(table)
    .bind(group)
    .execute(&mut *transaction)
    .await
    .map_err(failed(SPREADING))?;
    transaction.commit().await.map_err(failed(SPREADING))?;
    Ok(moved.rows_affected() == 1)
}

#[cfg(all(test, feature = "testing"))]
mod tests {
    use super::*;
    use crate::testing::Database;

    #[tokio::test]
    async fn database_without_citus_is_refused_with_what_to_do() {
        let database = Database::migrated().await;
        let refused = spread(&database.url).await.unwrap_err().to_string();
        assert!(refused.contains("create extension citus"), "{refused}");
    }
}
