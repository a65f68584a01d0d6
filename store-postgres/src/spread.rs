//! Finds out whether the tables are distributed over the nodes of Citus.

use crate::error::failed;
use crate::sql::{self, query};
use fieldvitals_store::StoreError;
use sqlx::postgres::PgConnection;
use sqlx::{Connection as _, Row as _};

const LOOKING: &str = "looking for distributed tables";

/// Whether page views are distributed. The database must have Citus' catalog.
pub(crate) async fn is_spread(connection: &mut PgConnection) -> Result<bool, StoreError> {
    query(
        "/* citus.is_spread */ select exists (select from pg_dist_partition \
         where logicalrelid = 'page_view'::regclass)",
    )
    .fetch_one(connection)
    .await
    .and_then(|row| row.try_get(0))
    .map_err(failed(LOOKING))
}

/// Whether page views are distributed, in a transaction of its own. The database may have no Citus.
pub(crate) async fn look(connection: &mut PgConnection) -> Result<bool, StoreError> {
    let mut transaction = connection.begin_with(sql::LOOK).await.map_err(failed(LOOKING))?;
    let has_catalog: bool = query(
        "/* citus.catalog */ select to_regclass('pg_catalog.pg_dist_partition') is not null \
         and to_regclass('page_view') is not null",
    )
    .fetch_one(&mut *transaction)
    .await
    .and_then(|row| row.try_get(0))
    .map_err(failed(LOOKING))?;
    let is_spread = has_catalog && is_spread(&mut transaction).await?;
    transaction.commit().await.map_err(failed(LOOKING))?;
    Ok(is_spread)
}
