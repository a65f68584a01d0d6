//! Distributes the tables over the nodes of a Citus cluster, by site, and finds the sites of a node that hangs.
//!
//! Sites, keys, tokens and the state of maintenance have few rows and stay on the coordinator. Later partitions follow
//! `page_view` by themselves.

use crate::error::failed;
use crate::sql::query;
use crate::{PostgresStore, address, connection, schema};
use fieldvitals_store::{SiteId, StoreError};
use sqlx::postgres::PgConnection;
use sqlx::{Connection as _, Row as _};
use std::collections::BTreeSet;
use std::sync::atomic::Ordering;
use std::time::Duration;

const SPREADING: &str = "spreading the tables over the nodes of Citus";
const ASKING: &str = "asking the nodes of Citus";

/// The tables of sites' data. The first table has its own colocation group, and the others join it. In a group shared
/// with another program's tables, each program would wait for the other's schema changes.
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

/// Begins the transaction that moves a table. It has no statement timeout, because a large table takes long.
const MOVE: &str = "begin isolation level read committed; set local statement_timeout = 0; \
    set local lock_timeout = '2min'";

/// The distribution of the tables over a Citus cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Spread {
    /// Number of distributed tables.
    pub tables: usize,
    /// Number of tables that this call distributed.
    pub moved: usize,
    /// Number of nodes that hold the tables.
    pub nodes: usize,
}

/// Distributes the tables at `url`, which the store must have migrated, and moves their rows. Skips distributed
/// tables, so that an interrupted call can be repeated.
///
/// # Errors
/// [`StoreError::Database`] if the database is not the coordinator of a Citus cluster with nodes. Otherwise the errors
/// of the store.
pub async fn spread(url: &str) -> Result<Spread, StoreError> {
    let connecting = schema::connect(address::options(url)?).await;
    let (mut connection, _) = connecting.map_err(failed(SPREADING))?;
    let nodes = nodes(&mut connection).await?;
    let mut moved = 0;
    for table in TABLES {
        moved += usize::from(spread_table(&mut connection, table).await?);
    }
    // Removes the local copies of the moved rows. Queries do not see these copies, and no erasure finds them.
    query("/* citus.clean */ select truncate_local_data_after_distributing_table(name::regclass) from unnest($1::text[]) name")
        .bind(TABLES.as_slice())
        .execute(&mut connection)
        .await
        .map_err(failed(SPREADING))?;
    // The result does not matter, because the connection is no longer needed.
    let _ = connection.close().await;
    Ok(Spread { tables: TABLES.len(), moved, nodes })
}

/// Number of nodes that accept rows.
async fn nodes(connection: &mut PgConnection) -> Result<usize, StoreError> {
    let refused =
        |reason: &str| StoreError::Database { what: SPREADING, reason: reason.to_owned(), transient: false };
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

/// Bounds a call of the loader that asks all nodes. Without an answer, the error is [`StoreError::Node`] if the coordinator
/// answers: the call is then one that a single node holds up.
pub(crate) async fn bounded<T>(
    store: &PostgresStore,
    call: impl Future<Output = Result<T, StoreError>>,
) -> Result<T, StoreError> {
    if !store.is_citus.load(Ordering::Relaxed) {
        return connection::bounded(store.bounds.call, call).await;
    }
    match tokio::time::timeout(store.bounds.node, call).await {
        Ok(done) => done,
        Err(_) => {
            // That there is an answer is what counts.
            sites_beside(store, SiteId(0)).await?;
            Err(StoreError::Node { what: ASKING, reason: no_answer(store.bounds.node) })
        }
    }
}

/// Returns the sites whose rows are on the same node as those of `site`. Only the coordinator is asked, so the answer also says
/// that the coordinator is well.
pub(crate) async fn sites_beside(
    store: &PostgresStore,
    site: SiteId,
) -> Result<BTreeSet<SiteId>, StoreError> {
    connection::bounded(store.bounds.back, async {
        let mut transaction = store.read(ASKING).await?;
        let rows = query(
            // The function is volatile: in a join or a condition it would run for each placement.
            "/* citus.beside */ with s as materialized (select site_id, \
             get_shard_id_for_distribution_column('page_view', site_id) shard_id from site) \
             select s.site_id from s join pg_dist_placement p on p.shardid = s.shard_id where p.groupid in \
             (select groupid from pg_dist_placement where shardid = \
             (select get_shard_id_for_distribution_column('page_view', $1::bigint)))",
        )
        .bind(site.0)
        .fetch_all(&mut *transaction)
        .await
        .map_err(failed(ASKING))?;
        rows.iter().map(|row| row.try_get(0).map(SiteId).map_err(failed(ASKING))).collect()
    })
    .await
}

/// The reason of an error if the coordinator answers, and a node does not.
pub(crate) fn no_answer(limit: Duration) -> String {
    let seconds = limit.as_secs();
    format!(
        "no answer from a node of Citus within {seconds} s, while the coordinator answers; see whether that node hangs, and \
         its own log (docs/scaling.md, step 4)"
    )
}

/// Distributes a table. Returns whether this call did it.
async fn spread_table(connection: &mut PgConnection, table: &'static str) -> Result<bool, StoreError> {
    let first = TABLES.first().copied().unwrap_or_default();
    let group = if table == first { "none" } else { first };
    let mut transaction = connection.begin_with(MOVE).await.map_err(failed(SPREADING))?;
    // Takes the lock of migrations until the transaction ends.
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
